/**
 * What the kernel asks about a program beyond its rewritten module (kernel/program.ts, ProgramInfo): names, frames,
 * the meaning of a trap. Worked out again from the program's own bytes when asked, function by function, so that
 * nothing of it has to be stored, loaded or believed. The compiler is deterministic: compiling a function again gives
 * the same code, this time with a map.
 *
 * Why: RATIONALE.md#saved-frames-are-the-programs-not-the-compilers
 */

import { KIND_BEFORE } from '../abi/frame.ts';
import type {
  FrameLayout,
  FunctionShape,
  ImportName,
  NativePlace,
  ProgramInfo,
  ProgramPlace,
  StateSlot,
  TrapDescription,
} from '../abi/program.ts';
import { SYSTEM_IMPORTS } from '../abi/system.ts';
import { InstructionCursor } from '../wasm/instructions.ts';
import { decodeModule } from '../wasm/module.ts';
import { decodeNames, type Names } from '../wasm/names.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import { EXNREF, I32, type ValueType } from '../wasm/types.ts';
import { FULL, Program } from './compile.ts';
import type { MapEntry } from './emitter.ts';
import type { FrameShape } from './frames.ts';
import type { CompileOptions } from './plan.ts';
import { trapKind } from './traps.ts';

/** What is known of one function's frames. */
interface Known {
  locals: readonly ValueType[];
  shapes: FrameShape[];
}

/**
 * @param original the program as it was shipped
 * @param rewritten what `compile` made of it; needed for `describeTrap` and `placeOf` only
 * @param options those it was made with
 */
export function programInfo(
  original: Uint8Array,
  rewritten: Uint8Array | null,
  options: CompileOptions = FULL,
): ProgramInfo {
  return new Info(original, rewritten, options);
}

class Info implements ProgramInfo {
  readonly #program: Program;
  readonly #rewritten: Uint8Array | null;
  readonly #known = new Map<number, Known>();
  #names: Names | undefined;
  /** First byte of each defined function's code in the rewritten module. */
  #starts: number[] | undefined;

  constructor(original: Uint8Array, rewritten: Uint8Array | null, options: CompileOptions) {
    this.#program = new Program(original, options);
    this.#rewritten = rewritten;
  }

  get imports(): readonly ImportName[] {
    return this.#program.module.imports;
  }
  get functionCount(): number {
    return this.#program.plan.functionTypes.length;
  }
  get importedFunctionCount(): number {
    return this.#program.plan.importedFunctions;
  }
  get startFunction(): number {
    return this.#program.module.start ?? -1;
  }
  get mutableTables(): readonly number[] {
    const { plan } = this.#program;
    if (!plan.tablesChange) return [];
    return plan.tables.flatMap(({ element }, i) => (element === EXNREF ? [] : [i])); // those never change
  }
  get stateSlots(): readonly StateSlot[] {
    const { plan, module } = this.#program;
    const flags = (kind: 'data' | 'element', count: number, offset: number): StateSlot[] =>
      Array.from({ length: count }, (_, index) => ({ kind, index, type: I32, offset: offset + index * 16 }));
    return [
      ...plan.savedGlobals.map(({ index, type, offset }) => ({
        kind: 'global' as const,
        index,
        type,
        offset,
      })),
      ...flags('data', module.datas.length, plan.dataFlags),
      ...flags('element', module.elements.length, plan.elementFlags),
    ];
  }

  functionShape(functionIndex: number): FunctionShape {
    return this.#program.plan.functionType(functionIndex);
  }

  exportedFunction(name: string): number {
    return this.#program.module.exports.find((e) => e.kind === 'func' && e.name === name)?.index ?? -1;
  }

  exportedMemory(name: string): number {
    return this.#program.module.exports.find((e) => e.kind === 'memory' && e.name === name)?.index ?? -1;
  }

  firstInstruction(functionIndex: number): number {
    const defined = functionIndex - this.importedFunctionCount;
    if (defined < 0) return 0;
    return this.#program.module.codes[defined]!.start;
  }

  frameLayout(functionIndex: number, offset: number, kind: number): FrameLayout | null {
    const { plan } = this.#program;
    if (functionIndex < 0 || functionIndex >= plan.functionTypes.length) return null;
    const known = this.#frames(functionIndex);
    const site = known.shapes.findIndex((shape) => shape?.offset === offset && shape.kind === kind);
    if (site < 0) return this.#entryLayout(functionIndex, offset, kind, known);
    const shape = known.shapes[site]!;
    return { site, live: shape.locals, locals: known.locals, operands: shape.operands };
  }

  /** A function without safepoints can still be begun from a frame, where it is exported: by a stub, site 1. */
  #entryLayout(functionIndex: number, offset: number, kind: number, known: Known): FrameLayout | null {
    if (kind !== KIND_BEFORE || offset !== this.firstInstruction(functionIndex)) return null;
    const { params } = this.functionShape(functionIndex);
    return { site: 1, live: params.map((_, i) => i), locals: known.locals, operands: [] };
  }

  #frames(functionIndex: number): Known {
    let known = this.#known.get(functionIndex);
    if (known) return known;
    const program = this.#program;
    const defined = functionIndex - program.plan.importedFunctions;
    if (defined < 0) {
      const { params } = this.functionShape(functionIndex);
      const shape = {
        functionIndex,
        offset: 0,
        kind: KIND_BEFORE,
        locals: params.map((_, i) => i),
        operands: [],
      };
      known = { locals: params, shapes: [shape] };
    } else {
      program.emitter.map = null;
      known = { shapes: program.quick(defined).shapes, locals: Array.from(program.input(defined).locals) };
    }
    this.#known.set(functionIndex, known);
    return known;
  }

  tagParams(tagIndex: number): readonly ValueType[] | null {
    const { plan } = this.#program;
    const tag = plan.tags[tagIndex];
    return tag ? plan.types[tag.type]!.params : null;
  }

  functionName(functionIndex: number): string {
    const { module, plan } = this.#program;
    const named = this.#nameSection().functions.get(functionIndex);
    if (named !== undefined) return named;
    if (functionIndex < plan.importedFunctions) {
      const item = module.imports.filter((i) => i.kind === 'func')[functionIndex]!;
      return `${item.module}.${item.name}`;
    }
    const exported = module.exports.find((e) => e.kind === 'func' && e.index === functionIndex);
    return exported ? exported.name : `function ${functionIndex}`;
  }

  localName(functionIndex: number, local: number): string | undefined {
    return this.#nameSection().locals.get(functionIndex)?.get(local);
  }

  #nameSection(): Names {
    this.#names ??= decodeNames(this.#program.module.customs);
    return this.#names;
  }

  describeTrap(at: NativePlace, message: string): TrapDescription | null {
    const { plan } = this.#program;
    const kind = trapKind(message);
    const { functionIndex: outputFunction } = at;
    if (outputFunction >= plan.templateStart && outputFunction < plan.wrapperStart) {
      return { functionIndex: -1, offset: 0, kind: 'out of bounds memory access' };
    }
    const found = this.#locate(at);
    if (found === null) return null;
    const { functionIndex, entry } = found;
    const place = { functionIndex, offset: entry.origin };
    if (kind !== 'unreachable') return { ...place, kind };
    if (entry.kind !== undefined) return { ...place, kind: entry.kind };
    const accesses = OP_ACCESS[this.#opAt(entry.origin)] !== ACCESS_NONE;
    return { ...place, kind: accesses ? 'out of bounds memory access' : kind };
  }

  placeOf(at: NativePlace): ProgramPlace | null {
    const found = this.#locate(at);
    return found && { functionIndex: found.functionIndex, offset: found.entry.origin };
  }

  /** The instruction at an offset of the program that is the start of one. */
  #opAt(offset: number): number {
    const cursor = new InstructionCursor(this.#program.bytes);
    cursor.reset(offset, this.#program.bytes.length);
    // An else or end cannot be read out of its block, but neither of them traps.
    if (this.#program.bytes[offset] === OP.end || this.#program.bytes[offset] === OP.else) return OP.end;
    cursor.next();
    return cursor.op;
  }

  #locate({
    functionIndex: outputFunction,
    offset: outputOffset,
  }: NativePlace): { functionIndex: number; entry: MapEntry } | null {
    const { plan, module, emitter } = this.#program;
    const program = this.#program;
    let defined = outputFunction - plan.quickStart;
    let resumed = false;
    if (defined < 0) {
      const imported = outputFunction - plan.wrapperStart;
      return imported < 0 ? null : { functionIndex: imported, entry: { at: 0, origin: 0 } };
    }
    if (defined >= module.codes.length) {
      const index = plan.resumed[outputFunction - plan.resumeStart];
      if (index === undefined) return null;
      if (index < plan.importedFunctions) return { functionIndex: index, entry: { at: 0, origin: 0 } };
      defined = index - plan.importedFunctions;
      resumed = true;
    }
    emitter.map = [];
    const compiler = program.quick(defined);
    if (resumed) {
      emitter.map = [];
      compiler.resume(program.input(defined));
    }
    const map = emitter.map;
    emitter.map = null;
    const at = outputOffset - this.#start(outputFunction);
    let entry = map[0];
    for (const candidate of map) if (candidate.at <= at) entry = candidate;
    return entry ? { functionIndex: plan.importedFunctions + defined, entry } : null;
  }

  #start(outputFunction: number): number {
    if (this.#starts === undefined) {
      this.#starts = this.#rewritten ? decodeModule(this.#rewritten).codes.map((code) => code.start) : [];
    }
    const imports = SYSTEM_IMPORTS.length + this.#program.plan.importedFunctions;
    return this.#starts[outputFunction - imports] ?? 0;
  }
}
