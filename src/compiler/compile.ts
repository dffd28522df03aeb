/**
 * From a program to its rewritten module (the contract is in abi/: system.ts, evidence.ts, layout.ts).
 *
 *     const { bytes, evidence } = compile(program, { isolate: true, suspend: true, track: true });
 *
 * The input is validated by V8 first, so everything behind may rely on types. Large and untrusted: whatever comes out
 * of here, the verifier looks at it as if an adversary had made it.
 */
import type { Evidence } from '../abi/evidence.ts';
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import { type Code, encodeModule } from '../wasm/module.ts';
import { assemble, evidenceOf } from './assemble.ts';
import { BranchHints } from './branchhints.ts';
import type { EmittedFunction } from './emitter.ts';
import { helperTypes } from './helpers.ts';
import { HintsEncoder } from './hints.ts';
import {
  emitFunctionAt,
  emitFunctionOf,
  emitInit,
  emitLoadExn,
  emitOnSegment,
  emitRestoreGlobals,
  emitSaveExn,
  emitSaveGlobals,
  emitWrapper,
} from './parts.ts';
import type { CompileOptions } from './plan.ts';
import { fixedFunctions, Program } from './program.ts';
import { type CompiledShare, placeShare, rangeOf } from './share.ts';

export interface Compiled {
  /** The rewritten module, evidence included. */
  bytes: Uint8Array<ArrayBuffer>;
  evidence: Evidence;
}

/** For a domain in the shared space. */
export const FULL: CompileOptions = { isolate: true, suspend: true, track: true };
/** For a program with a process, and memories, of its own. */
export const ALONE: CompileOptions = { isolate: false, suspend: true, track: true };

/**
 * Rewrites a program.
 * @throws MalformedError where it is not a module, UnsupportedError where it uses what Perdure does not take.
 */
export function compile(bytes: Uint8Array, options: CompileOptions = FULL): Compiled {
  const compilation = new Compilation(bytes, options);
  compilation.compile(1);
  return compilation.finish();
}

/**
 * A program being rewritten, whose functions may be compiled in shares on several threads: `compile` does the first
 * share here, `place` takes the others in their order (share.ts). What comes out is the same bytes, however many.
 */
export class Compilation {
  readonly program: Program;
  readonly #codes: Code[] = [];
  readonly #hints = new HintsEncoder();
  readonly #branches = new BranchHints();

  /** @throws as `compile` */
  constructor(bytes: Uint8Array, options: CompileOptions) {
    const program = new Program(bytes, options);
    this.program = program;
    program.expectAll();
    if (!WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) throw invalid(bytes);
    const { plan, emitter: e } = program;
    for (const { body } of fixedFunctions(plan)) {
      const locals = [{ count: body[1]!, type: body[2]! }];
      this.#add({
        code: { locals, source: body, start: 3, end: body.length },
        limits: [],
        loops: [],
        unlikely: [],
      });
    }
    for (let i = 0; i < plan.importedFunctions; i++) {
      emitWrapper(e, i);
      this.#add(e.finish());
    }
  }

  #add(emitted: EmittedFunction): void {
    const { code, limits, loops } = emitted;
    const index = this.program.plan.preludeStart + this.#codes.length;
    this.#hints.add({ index, limits, loops });
    this.#branches.add(index, emitted);
    this.#codes.push(code);
  }

  /** Bytes of the program's code. */
  get codeBytes(): number {
    return this.program.module.codes.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** The first of so many shares. */
  compile(shares: number): void {
    const [, to] = rangeOf(this.program.module.codes, 0, shares);
    for (let i = 0; i < to; i++) this.#add(this.program.defined(i));
  }

  /** The next share, compiled elsewhere; its code is changed. */
  place(share: CompiledShare): void {
    const { plan, emitter } = this.program;
    for (const emitted of placeShare(share, plan, emitter.frameEnds.length)) this.#add(emitted);
    emitter.frameEnds.raw(share.frameEnds);
  }

  finish(): Compiled {
    const program = this.program;
    const { plan, emitter: e } = program;
    for (const part of [emitInit, emitSaveGlobals, emitRestoreGlobals]) {
      part(e);
      this.#add(e.finish());
    }
    if (plan.options.suspend) addHelpers(program, (emitted) => this.#add(emitted));
    const types = program.outputTypes;
    assert(types.length === this.#codes.length, 'each function has its type');
    const evidence = evidenceOf(program);
    const parts = { types, codes: this.#codes, hints: this.#hints.bytes(), branches: this.#branches.bytes() };
    return {
      bytes: encodeModule(assemble(program, parts, evidence), (source) => e.release(source)),
      evidence,
    };
  }
}

/** In the order of `helperTypes`. */
function addHelpers(program: Program, add: (emitted: EmittedFunction) => void): void {
  const { plan, emitter: e } = program;
  emitFunctionAt(e);
  add(e.finish());
  if (plan.usesRefs) {
    emitFunctionOf(e);
    add(e.finish());
  }
  if (plan.usesExceptions) {
    emitSaveExn(e);
    add(e.finish());
    emitLoadExn(e);
    add(e.finish());
  }
  const types = helperTypes(plan).slice(-plan.segmentOps.length);
  plan.segmentOps.forEach((op, i) => {
    emitOnSegment(e, op, types[i]!.params);
    add(e.finish());
  });
}

/** V8's reason, with its offset, as an error of ours. */
function invalid(bytes: Uint8Array): MalformedError {
  try {
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  } catch (error) {
    const { message } = error as Error;
    const offset = /@\+(\d+)/.exec(message);
    return new MalformedError(
      message.replace(/^WebAssembly\.Module\(\): /, '').replace(/ @\+\d+$/, ''),
      offset ? Number(offset[1]) : -1,
    );
  }
  return new MalformedError('V8 refuses the module', -1);
}
