/**
 * A program decoded and planned: what compiling it, explaining its traps and making continuations have in common.
 */
import { maskWordsFor, TRAILER_BYTES } from '../abi/frame.ts';
import {
  copyTemplate,
  fillTemplate,
  frameTemplate,
  initTemplate,
  preludeFunctions,
  type TemplateFunction,
  windowTemplate,
} from '../abi/prelude.ts';
import { assert } from '../base/assert.ts';
import { UnsupportedError } from '../base/errors.ts';
import { FUNCTION_MAX_BYTES, LOCALS_MAX } from '../base/limits.ts';
import { decodeModule, type Module } from '../wasm/module.ts';
import type { Addresses } from './addresses.ts';
import { FlatBody } from './body.ts';
import { type EmittedFunction, Emitter } from './emitter.ts';
import { FunctionCompiler } from './function.ts';
import { helperTypes } from './helpers.ts';
import { Liveness } from './liveness.ts';
import { type CompileOptions, Plan } from './plan.ts';
import { Prepared, type PreparedFunction } from './prepared.ts';
import { scan } from './scan.ts';
import type { FunctionInput } from './state.ts';

export class Program {
  readonly bytes: Uint8Array;
  readonly module: Module;
  readonly plan: Plan;
  readonly body: FlatBody;
  readonly emitter: Emitter;
  readonly #liveness = new Liveness();
  readonly #compiler: FunctionCompiler;
  readonly #prepared = new Prepared();
  #outputTypes: readonly number[] | undefined;
  readonly #locals = new Uint8Array(LOCALS_MAX);

  constructor(bytes: Uint8Array, options: CompileOptions) {
    this.bytes = bytes;
    this.module = decodeModule(bytes);
    this.plan = new Plan(this.module, options, scan(bytes, this.module, options.isolate));
    this.body = new FlatBody(bytes, this.plan.quiet);
    this.emitter = new Emitter(this.plan);
    this.#compiler = new FunctionCompiler(this.emitter, this.body, this.#liveness);
  }

  /** All functions, or many, are to be compiled: makes room for the longest, and for the ends of frames. */
  expectAll(): void {
    let longest = 0;
    let code = 0;
    for (const { start, end } of this.module.codes) {
      longest = Math.max(longest, end - start);
      code += end - start;
    }
    this.body.expect(longest);
    this.emitter.frameEnds.reserve(code); // costs nothing where it is not written to
  }

  /** What is known of the accesses of the function compiled last. */
  get addresses(): Addresses {
    return this.#compiler.addresses;
  }

  /** Types of the rewritten module's own functions, by index in the output's types, from the prelude on. */
  get outputTypes(): readonly number[] {
    this.#outputTypes ??= outputTypes(this.plan);
    return this.#outputTypes;
  }

  /** What is known of a defined function, by its place among `module.codes`. Good until the next call. */
  input(defined: number): FunctionInput {
    const index = this.plan.importedFunctions + defined;
    const type = this.plan.functionType(index);
    const runs = this.module.codes[defined]!.locals;
    let count = type.params.length;
    this.#locals.set(type.params);
    for (const run of runs) {
      assert(count + run.count <= LOCALS_MAX, 'V8 has validated the program');
      this.#locals.fill(run.type, count, count + run.count);
      count += run.count;
    }
    return { index, type, locals: this.#locals.subarray(0, count), runs };
  }

  /** Emits a defined function; afterwards `compiler.shapes` are its frames. */
  quick(defined: number): FunctionCompiler {
    this.#emit(defined, { body: this.body, liveness: this.#liveness, compiler: this.#compiler });
    return this.#compiler;
  }

  /** The same, for its frames and continuations only: what is found out of it is kept for a while. Uses the emitter. */
  prepared(defined: number): FunctionCompiler {
    return this.#prepared.of(defined, () => {
      const body = new FlatBody(this.bytes, this.plan.quiet);
      const liveness = new Liveness();
      const made = { body, liveness, compiler: new FunctionCompiler(this.emitter, body, liveness) };
      this.emitter.frameEnds.clear();
      this.#emit(defined, made);
      return made;
    });
  }

  #emit(defined: number, { body, liveness, compiler }: PreparedFunction): void {
    const { start, end } = this.module.codes[defined]!;
    const input = this.input(defined);
    body.load(start, end, this.plan.options.suspend, this.plan.entries.has(input.index));
    liveness.run(body, input.locals.length, this.plan.memories.length);
    compiler.quick(input);
  }

  /** Compiles a defined function. @throws UnsupportedError */
  defined(defined: number): EmittedFunction {
    this.quick(defined);
    const emitted = this.emitter.finish();
    if (this.plan.options.suspend) this.#checkResumable(defined, emitted);
    return emitted;
  }

  /**
   * A continuation holds no instruction of the function twice, but ends of frames at length. It is said now when V8 would
   * not take it then.
   */
  #checkResumable(defined: number, { code }: EmittedFunction): void {
    const words = maskWordsFor(this.input(defined).locals.length) + TRAILER_BYTES / 8;
    const ends = (this.emitter.saves * words + this.body.sites) * PUSHED_WORD_BYTES;
    const bytes = code.end - code.start;
    if (bytes + ends < FUNCTION_MAX_BYTES) return;
    throw new UnsupportedError(
      `function ${this.plan.importedFunctions + defined} is too large to be resumed: ${bytes} bytes rewritten, and ${ends} for its frames`,
      this.module.codes[defined]!.start,
    );
  }
}

/** Most bytes of code that push a word which is known, or set a local to it. */
const PUSHED_WORD_BYTES = 16;

/** Prelude and templates. */
export function fixedFunctions(plan: Plan): TemplateFunction[] {
  return [
    ...preludeFunctions(plan.hdrGlobal, plan.spaceMemory),
    ...plan.templates.map(({ kind, a, b }) => {
      if (kind === 'window') return windowTemplate(plan.hdrGlobal, a);
      if (kind === 'frame') return frameTemplate(plan.hdrGlobal, b, plan.spaceMemory);
      const memory = plan.templateMemory(a);
      if (kind === 'fill') return fillTemplate(memory);
      return kind === 'copy' ? copyTemplate(memory, plan.templateMemory(b)) : initTemplate(memory, b);
    }),
  ];
}

function outputTypes(plan: Plan): number[] {
  const plain = { params: [], results: [] };
  const helpers = [plain, plain, plain, ...helperTypes(plan)];
  return [
    ...fixedFunctions(plan).map(({ params, results }) => plan.typeIndex(params, results)),
    ...plan.functionTypes,
    ...helpers.map(({ params, results }) => plan.typeIndex(params, results)),
  ];
}
