/**
 * What a personality sees of the kernel: the caller of a system call, and what a personality gives the kernel in turn.
 *
 * A personality's function is called as `fn(caller, ...arguments)`, with i32 as numbers (signed), i64 as bigints, and
 * returns what the import's type says. It never throws on what a guest gave it. To wait it calls `caller.block()`,
 * which does not return: the same function is called again with the same arguments when the domain has been woken,
 * possibly in another process. What it must remember till then goes to the scratch words.
 *
 * The caller is valid only during the call: never keep it. Guest memory belongs to code that may be hostile, and later
 * to several threads: read each byte once, copy before checking. Global addresses got from `range` are good until the
 * call returns; nothing a personality may call moves a domain.
 *
 * Why: RATIONALE.md#a-waiting-call-is-made-again
 */
import type { FunctionShape } from '../abi/program.ts';
import type { Space } from '../space/index.ts';
import type { Core } from './core.ts';
import type { Ports } from './ports.ts';

/** Words of 64 bits a call can keep while it waits. */
export const SCRATCH_WORDS = 8;

export interface Caller {
  readonly space: Space;
  /** Number of the calling domain; never used twice in a space. */
  readonly domainId: number;
  readonly name: string;
  /** Address (in the kernel heap) of the personality's own state for this domain, 0 before it set one. */
  personalityState: number;
  /** Bytes of the guest's memory 0 now. */
  readonly memoryBytes: number;

  /**
   * Global address of [pointer, pointer + length) in the guest's memory 0, or in a window of it, or -1 where any of it is
   * outside. In a window that may not be written it is outside where it `writes`.
   */
  range(pointer: number, length: number, writes?: boolean): number;
  /** A copy of guest bytes, or null where they are not in its memory. */
  readBytes(pointer: number, length: number): Uint8Array<ArrayBuffer> | null;
  /** Copies to guest memory and marks it. False, with nothing written, where it does not fit. */
  writeBytes(pointer: number, data: Uint8Array): boolean;
  /** Single values at any alignment: the value, or -1 (-1n) where it is outside. */
  getU8(pointer: number): number;
  getU16(pointer: number): number;
  getU32(pointer: number): number;
  getU64(pointer: number): bigint;
  /** False, with nothing written, where it is outside. Values wrap to their width. */
  setU8(pointer: number, value: number): boolean;
  setU16(pointer: number, value: number): boolean;
  setU32(pointer: number, value: number): boolean;
  setU64(pointer: number, value: bigint): boolean;

  /** Scratch word 0..SCRATCH_WORDS-1 of this call: zero at its first run, kept while it blocks, over restarts too. */
  getScratch(word: number): bigint;
  setScratch(word: number, value: bigint): void;

  /** Monotonic time of the space, ns; goes on over restarts. */
  now(): bigint;
  /** Processor time the domain has used, ns. */
  cpuTime(): bigint;
  /**
   * Suspends the domain until `kernel.wake(domainId)`, or the deadline (in `now()` terms); then the call is made
   * again from its start. Wakes may be spurious.
   */
  block(deadline?: bigint): never;
  /** Ends the domain's slice after this call, so that others run. */
  yield(): void;
  /** Ends the domain with this exit code. */
  exit(code: number): never;
  /** Ends the domain as a trap does, with a reason for people ("abort", "unknown import env.f"). */
  trap(reason: string): never;
}

export type ImportValue = number | bigint;
// biome-ignore lint/suspicious/noConfusingVoidType: functions without a result return nothing
export type SystemCall = (caller: Caller, ...args: never[]) => ImportValue | void;

/** How a domain ended, as its personality is told. */
export interface Ending {
  readonly kind: 'exit' | 'trap' | 'limit' | 'killed' | 'removed';
  readonly code: number;
}

/**
 * The supplier of a program's imports. One object serves all domains of a kernel; it keeps its state in the space.
 */
export interface Personality {
  /**
   * The function for an import of this shape, or undefined where there is none: the program is then refused, naming
   * it. The function may trust the types of its arguments, so it must not be given for another shape.
   */
  resolve(module: string, name: string, shape: FunctionShape): SystemCall | undefined;
  /**
   * The same for imports that are no functions (globals, tables, tags). They are shared by all domains that import
   * them, so only embedders that want that (test suites) have any.
   */
  provide?(
    module: string,
    name: string,
    kind: WebAssembly.ExternKindName,
  ): WebAssembly.ExternValue | undefined;
  /** What a function gives where the space is full and it has not noticed; where there is no such answer, its domain ends. */
  whenFull?(module: string, name: string): ImportValue | undefined;
  /** The outside, where it knows it: what host objects stand for, unless the kernel is given another. */
  readonly ports?: Ports;
  /** The kernel that it serves, before any domain is there. */
  attach?(core: Core): void;
  /**
   * A domain with personality state has been made, has come from elsewhere, or is there again after a restart; it has not run
   * since. It gets capabilities to what its state stands for.
   * @throws EnvironmentError where it may not have that many, SpaceFullError
   */
  bind?(domainId: number, personalityState: number): void;
  /** The domain ends, or is dropped (a volatile one, at recovery): free its state and give its objects back. */
  release?(space: Space, domainId: number, personalityState: number, ending: Ending): void;
  /**
   * State for a domain that a program makes, with nothing granted; 0 where none is needed.
   * @throws SpaceFullError with nothing changed
   */
  begin?(space: Space, name: string): number;
  /** The domain's state as plain data, for export; `adopt` makes state of it in another space. */
  describe?(space: Space, domainId: number, personalityState: number): unknown;
  /**
   * State for a domain of this name from what `describe` gave, which may be hostile.
   * @throws MalformedError with nothing changed
   */
  adopt?(space: Space, domainId: number, data: unknown, name: string): number;
}
