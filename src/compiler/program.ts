/**
 * A program decoded and planned: what compiling it, explaining its traps and making continuations have in common.
 */
import {
  copyTemplate,
  fillTemplate,
  frameTemplate,
  initTemplate,
  preludeFunctions,
  type TemplateFunction,
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
  readonly #locals = new Uint8Array(LOCALS_MAX);

  constructor(bytes: Uint8Array, options: CompileOptions) {
    this.bytes = bytes;
    this.module = decodeModule(bytes);
    this.plan = new Plan(this.module, options, scan(bytes, this.module, options.isolate));
    this.body = new FlatBody(bytes, this.plan.quiet);
    this.emitter = new Emitter(this.plan);
    this.#compiler = new FunctionCompiler(this.emitter, this.body, this.#liveness);
  }

  /** What is known of the accesses of the function compiled last. */
  get addresses(): Addresses {
    return this.#compiler.addresses;
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
    const { start, end } = this.module.codes[defined]!;
    const input = this.input(defined);
    this.body.load(start, end, this.plan.options.suspend, this.plan.entries.has(input.index));
    this.#liveness.run(this.body, input.locals.length, this.plan.memories.length);
    this.#compiler.quick(input);
    return this.#compiler;
  }

  /** Compiles a defined function. @throws UnsupportedError */
  defined(defined: number): EmittedFunction {
    this.quick(defined);
    const emitted = this.emitter.finish();
    if (this.plan.options.suspend) this.#checkResumable(defined, emitted);
    return emitted;
  }

  /**
   * A continuation in the middle of loops holds each of them once more (continuation.ts), and ends of frames at length.
   * It is said now when V8 would not take it then.
   */
  #checkResumable(defined: number, { code }: EmittedFunction): void {
    const bytes = code.end - code.start;
    if (2 * bytes * (1 + this.body.repeated()) < FUNCTION_MAX_BYTES) return;
    throw new UnsupportedError(
      `function ${this.plan.importedFunctions + defined} is too large to be resumed in its loops: ${bytes} bytes rewritten`,
      this.module.codes[defined]!.start,
    );
  }
}

/** Prelude and templates. */
export function fixedFunctions(plan: Plan): TemplateFunction[] {
  return [
    ...preludeFunctions(plan.hdrGlobal, plan.spaceMemory),
    ...plan.templates.map(({ kind, a, b }) => {
      if (kind === 'frame') return frameTemplate(plan.hdrGlobal, b, plan.spaceMemory);
      const memory = plan.templateMemory(a);
      if (kind === 'fill') return fillTemplate(memory);
      return kind === 'copy' ? copyTemplate(memory, plan.templateMemory(b)) : initTemplate(memory, b);
    }),
  ];
}

/** Types of the rewritten module's own functions, by index in the output's types, from the prelude on. */
export function outputTypes(plan: Plan): number[] {
  const plain = { params: [], results: [] };
  const helpers = [plain, plain, plain, ...helperTypes(plan)];
  return [
    ...fixedFunctions(plan).map(({ params, results }) => plan.typeIndex(params, results)),
    ...plan.functionTypes,
    ...helpers.map(({ params, results }) => plan.typeIndex(params, results)),
  ];
}
