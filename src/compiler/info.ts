/**
 * What the kernel asks about a program beyond its rewritten module (kernel/program.ts, ProgramInfo): names, frames,
 * the meaning of a trap. Worked out again from the program's own bytes when asked, function by function, so that
 * nothing of it has to be stored, loaded or believed. The compiler is deterministic: compiling a function again gives
 * the same code, this time with a map.
 *
 * Why: RATIONALE.md#saved-frames-are-the-programs-not-the-compilers
 */

import { KIND_BEFORE } from '../abi/frame.ts';
import type { MadeZone } from '../abi/made.ts';
import type {
  FrameLayout,
  FrameSite,
  FunctionShape,
  ImportName,
  NativePlace,
  ProgramInfo,
  ProgramPlace,
  StateSlot,
  TrapDescription,
} from '../abi/program.ts';
import { resumeModuleNumber } from '../abi/resume.ts';
import { SYSTEM_IMPORTS } from '../abi/system.ts';
import { InstructionCursor } from '../wasm/instructions.ts';
import { decodeModule } from '../wasm/module.ts';
import { decodeNames, type Names } from '../wasm/names.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import { demangled } from '../wasm/rustnames.ts';
import { EXNREF, I32, type ValueType } from '../wasm/types.ts';
import { type Compilation, FULL } from './compile.ts';
import type { MapEntry } from './emitter.ts';
import type { FrameShape } from './frames.ts';
import { entryShape } from './parts.ts';
import type { CompileOptions } from './plan.ts';
import { Program } from './program.ts';
import { compileResume } from './resume.ts';
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
  const program = new Program(original, options);
  return new Info(() => program, rewritten);
}

/** What was decoded and planned of the last few programs that are explained in passing. */
class Held {
  static readonly #most = 8;
  static readonly #recent: Held[] = [];
  readonly #bytes: Uint8Array;
  readonly #options: CompileOptions;
  #program: Program | null = null;

  constructor(program: Program, options: CompileOptions) {
    this.#bytes = program.bytes;
    this.#options = options;
    this.#hold(program);
  }
  #hold(program: Program): Program {
    this.#program = program;
    if (Held.#recent.push(this) > Held.#most) Held.#recent.shift()!.#program = null;
    return program;
  }
  readonly get = (): Program => this.#program ?? this.#hold(new Program(this.#bytes, this.#options));
}

/**
 * The same of a program that has just been compiled, for one of very many: what it was decoded and planned to, which is
 * much more than its bytes, is worked out again where nobody has needed it for long.
 */
export function passingInfo(
  { program }: Compilation,
  rewritten: Uint8Array,
  options: CompileOptions,
): ProgramInfo {
  return new Info(new Held(program, options).get, rewritten);
}

interface Types {
  /** Type of each function, by index. */
  readonly functions: readonly number[];
  readonly all: readonly FunctionShape[];
}

interface Resumed {
  readonly sites: readonly FrameSite[];
  readonly starts: readonly number[];
}

class Info implements ProgramInfo {
  readonly #held: () => Program;
  readonly #rewritten: Uint8Array | null;
  readonly #known = new Map<number, Known>();
  #names: Names | undefined;
  /** What resume modules were made for, by number, and where in them the code of their functions began. */
  readonly #resumed = new Map<number, Resumed>();
  /** First byte of each defined function's code in the rewritten module. */
  #starts: number[] | undefined;

  constructor(held: () => Program, rewritten: Uint8Array | null) {
    this.#held = held;
    this.#rewritten = rewritten;
  }

  get #program(): Program {
    return this.#held();
  }

  // What is asked often is kept, so that the program need not be held for it.
  #imports: readonly ImportName[] | undefined;
  #types: Types | undefined;
  #importedFunctions: number | undefined;
  #mutableTables: readonly number[] | undefined;
  #stateSlots: readonly StateSlot[] | undefined;

  get imports(): readonly ImportName[] {
    this.#imports ??= this.#program.module.imports;
    return this.#imports;
  }
  get functionCount(): number {
    return this.#typesOf().functions.length;
  }
  get importedFunctionCount(): number {
    this.#importedFunctions ??= this.#program.plan.importedFunctions;
    return this.#importedFunctions;
  }
  #typesOf(): Types {
    if (this.#types === undefined) {
      const { functionTypes: functions, types: all } = this.#program.plan;
      this.#types = { functions, all };
    }
    return this.#types;
  }
  get startFunction(): number {
    return this.#program.module.start ?? -1;
  }
  get mutableTables(): readonly number[] {
    this.#mutableTables ??= this.#findMutableTables();
    return this.#mutableTables;
  }
  #findMutableTables(): readonly number[] {
    const { plan, module } = this.#program;
    if (!plan.tablesChange) return [];
    // Those that a made module imports are the program's; those of exceptions never change.
    const first = plan.moduleNumber > 0 ? plan.tables.length - module.tables.length : 0;
    return plan.tables.flatMap(({ element }, i) => (i < first || element === EXNREF ? [] : [i]));
  }
  get madeZone(): MadeZone | null {
    return this.#program.plan.madeZone;
  }
  get stateSlots(): readonly StateSlot[] {
    this.#stateSlots ??= this.#findStateSlots();
    return this.#stateSlots;
  }
  #findStateSlots(): readonly StateSlot[] {
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
    const { functions, all } = this.#typesOf();
    return all[functions[functionIndex]!]!;
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
    return { live: shape.locals, locals: known.locals, operands: shape.operands };
  }

  /** A function without safepoints can still be begun from a frame. */
  #entryLayout(functionIndex: number, offset: number, kind: number, known: Known): FrameLayout | null {
    if (kind !== KIND_BEFORE || offset !== this.firstInstruction(functionIndex)) return null;
    if (functionIndex < this.importedFunctionCount) return null;
    const { params } = this.functionShape(functionIndex);
    return { live: params.map((_, i) => i), locals: known.locals, operands: [] };
  }

  #frames(functionIndex: number): Known {
    let known = this.#known.get(functionIndex);
    if (known) return known;
    const program = this.#program;
    const defined = functionIndex - program.plan.importedFunctions;
    if (defined < 0) {
      const { params } = this.functionShape(functionIndex);
      // What a made module imports is the program's, and has its frames there.
      if (program.plan.moduleNumber > 0) known = { locals: params, shapes: [] };
      else known = { locals: params, shapes: [entryShape(functionIndex, params.length, 0)] };
    } else {
      known = { shapes: program.prepared(defined).shapes, locals: Array.from(program.input(defined).locals) };
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
    if (named !== undefined) return demangled(named);
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

  resumeModule(sites: readonly FrameSite[], number: number): Uint8Array<ArrayBuffer> {
    const { bytes, starts } = compileResume(this.#program, sites, number);
    this.#resumed.set(number, { sites, starts });
    return bytes;
  }

  describeTrap(at: NativePlace, message: string): TrapDescription | null {
    const { templateStart, wrapperStart } = this.#program.plan;
    const kind = trapKind(message);
    const main = resumeModuleNumber(at.module) === undefined;
    if (main && at.functionIndex >= templateStart && at.functionIndex < wrapperStart) {
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

  #locate(at: NativePlace): { functionIndex: number; entry: MapEntry } | null {
    const number = resumeModuleNumber(at.module);
    if (number === undefined) return this.#locateMain(at);
    const made = this.#resumed.get(number);
    return made === undefined ? null : this.#locateResumed(at, made);
  }

  #locateMain({ functionIndex: at, offset }: NativePlace): { functionIndex: number; entry: MapEntry } | null {
    const program = this.#program;
    const { plan, module, emitter } = program;
    const functionIndex = at - plan.wrapperStart; // wrappers and functions stand in the program's order
    const defined = functionIndex - plan.importedFunctions;
    if (functionIndex < 0 || defined >= module.codes.length) return null;
    if (defined < 0) return plan.moduleNumber > 0 ? null : { functionIndex, entry: { at: 0, origin: 0 } };
    emitter.frameEnds.clear();
    emitter.map = [];
    program.quick(defined);
    const map = emitter.map;
    emitter.map = null;
    this.#starts ??= this.#rewritten ? decodeModule(this.#rewritten).codes.map((code) => code.start) : [];
    const imported = SYSTEM_IMPORTS.length + plan.importedFunctions;
    const entry = entryAt(map, offset - (this.#starts[at - imported] ?? 0));
    return entry && { functionIndex, entry };
  }

  #locateResumed(
    { functionIndex, offset }: NativePlace,
    { sites, starts }: Resumed,
  ): { functionIndex: number; entry: MapEntry } | null {
    // The same code as then, but perhaps at another place: the program has got more types since. Its number is in its name.
    const { imported, parts } = compileResume(this.#program, sites, 0, true);
    const part = parts[functionIndex - imported];
    const start = starts[functionIndex - imported];
    // An entry is the system's; what it calls has the place.
    if (part === undefined || part.entry || start === undefined) return null;
    const entry = entryAt(part.map, offset - start) ?? { at: 0, origin: part.site.offset };
    return { functionIndex: part.site.functionIndex, entry };
  }
}

/** The last entry of a map that is not behind an offset, or the first. */
function entryAt(map: readonly MapEntry[], at: number): MapEntry | null {
  let entry = map[0];
  for (const candidate of map) if (candidate.at <= at) entry = candidate;
  return entry ?? null;
}
