/**
 * What the runner asks of an engine under test. Plain V8 (v8.ts) is the baseline; Perdure's own engines do the same
 * by way of compiler, verifier and space. Every method may be asynchronous.
 *
 * An engine links instances to each other by its own means: `Extern` is opaque to the runner, which only carries it
 * from `export` to the `resolve` of a later module.
 */
import type { Value } from './script.ts';

/** Kinds of trap, told apart as far as every engine can tell them. */
export type TrapKind =
  | 'unreachable'
  | 'memory' // an access outside a memory, data segments included
  | 'table' // an access or call outside a table, element segments included
  | 'indirect' // call_indirect of an empty slot or of another type
  | 'null' // use of a null reference
  | 'divide' // by zero
  | 'overflow' // of an integer: division or conversion
  | 'conversion' // of a NaN to an integer
  | 'unaligned' // atomic access
  | 'exhausted' // call stack
  | 'other';

export type Outcome =
  | { readonly kind: 'values'; readonly values: readonly Value[] }
  | { readonly kind: 'trap'; readonly trap: TrapKind; readonly message: string }
  /** An exception of the program itself got out. */
  | { readonly kind: 'exception' };

/** A module that the engine refuses. */
export class RefusedModule extends Error {
  override name = 'RefusedModule';
}
/** A module whose imports are missing or of another type. */
export class LinkFailure extends Error {
  override name = 'LinkFailure';
}
/** Instantiation that ran into a trap or an exception. */
export class StartFailure extends Error {
  override name = 'StartFailure';
  readonly outcome: Outcome;
  constructor(outcome: Outcome) {
    super(outcome.kind === 'trap' ? outcome.message : outcome.kind);
    this.outcome = outcome;
  }
}
/** The engine (or an adapter) cannot do this at all; the assertion fails unless it is on the skip list. */
export class Incapable extends Error {
  override name = 'Incapable';
}

export type Extern = unknown;
/** What is registered under these names, or undefined. */
export type Imports = (module: string, name: string) => Extern | undefined;

export interface Instance {
  /** An export, to be given to `resolve` of another module. */
  export(name: string): Extern | undefined;
  invoke(name: string, args: readonly Value[]): Outcome | Promise<Outcome>;
  /** The value of an exported global. */
  global(name: string): Value | Promise<Value>;
}

export interface Engine {
  readonly name: string;
  /** Decodes and validates. Throws RefusedModule. */
  compile(bytes: Uint8Array): unknown;
  /** Throws LinkFailure or StartFailure. `module` is what `compile` gave. */
  instantiate(module: unknown, resolve: Imports): Instance | Promise<Instance>;
  /** Called after each script, to let go of what its instances hold. */
  reset?(): void | Promise<void>;
}
