/**
 * Where everything of a program goes in its rewritten module: the index spaces, the types, the state zone. Made once a
 * module, then only read (but for types, which grow as the emitters ask for block types).
 *
 * The order of things is the contract of abi/ (system.ts, evidence.ts): system imports, the program's imports,
 * prelude, templates, wrappers of imported functions, quick functions, init, save, restore, helpers (helpers.ts).
 */

import type { MemoryEvidence, TemplateEvidence } from '../abi/evidence.ts';
import { RESULTS_OFFSET, VALUE_BYTES } from '../abi/layout.ts';
import { COMPILER_MODULE, type MadePlace, type MadeZone } from '../abi/made.ts';
import { KERNEL_MODULE, MAPPING_CALLS } from '../abi/objects.ts';
import { PRELUDE_ORDER, type PreludeName, type TemplateMemory } from '../abi/prelude.ts';
import { controlBytes, SYSTEM_IMPORTS, SYSTEM_MODULE } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { UnsupportedError } from '../base/errors.ts';
import {
  MADE_RESULTS_MAX,
  MADE_STATE_BYTES,
  MAX_MEMORIES,
  MEMORY32_MAX_PAGES,
  MEMORY64_MAX_PAGES,
} from '../base/limits.ts';
import type { Module } from '../wasm/module.ts';
import {
  EMPTY_BLOCK,
  EXNREF,
  EXTERNREF,
  FUNCREF,
  type FuncType,
  type GlobalType,
  I32,
  I64,
  isRefType,
  type MemoryType,
  type TableType,
  type TagType,
  type ValueType,
} from '../wasm/types.ts';

import { type Helpers, helpersOf } from './helpers.ts';
import type { ScanFacts, SegmentOp } from './scan.ts';
import { TypeIndex } from './typeindex.ts';

export interface CompileOptions {
  /** Rewrite memory accesses into the space. Off for a program that has a process of its own. */
  isolate: boolean;
  /** Safepoints, unwinding, continuations. Off only to measure. */
  suspend: boolean;
  /** Mark changed pages. Off only to measure. */
  track: boolean;
  /**
   * Near addresses of memory 0 from WINDOW_BASE up may be windows (windows.ts). A program that imports a call which maps
   * segments is compiled so whatever is said here.
   */
  windows?: boolean;
  /** Count the accesses in globals, by PROOFS (memory.ts). Only to measure: the verifier refuses such a module. */
  count?: boolean;
  /** It is a made module (abi/made.ts) for a domain in which it has this place. */
  made?: MadePlace;
}

/** Types of functions for whose calls types of blocks are foreseen: no real program has as many. */
const FORESEEN_MAX = 10_000;
/** Counters of accesses: PROOFS in memory.ts. */
export const COUNTERS = 4;
/** Exports of the counters: this and the number. */
export const COUNTER_EXPORT = 'count';

export class Plan {
  readonly module: Module;
  readonly options: CompileOptions;
  /** The output's types: the program's first, unchanged. */
  readonly types: FuncType[];
  readonly #typeIndex = new TypeIndex();
  readonly #callBlocks = new Map<FuncType, number>();
  readonly #indirectBlocks = new Map<FuncType, number>();
  /** So many of them are the same whatever is compiled and in which order. */
  readonly fixedTypes: number;

  // The program's index spaces, imports included.
  /** Type index of each function. */
  readonly functionTypes: number[] = [];
  readonly importedFunctions: number;
  readonly globals: GlobalType[] = [];
  readonly importedGlobals: number;
  readonly tables: TableType[] = [];
  readonly tags: TagType[] = [];
  readonly memories: (MemoryType & { imported: readonly [string, string] | null })[] = [];

  /** By memory of the program: 1 where addresses are 64-bit. */
  readonly wide: Uint8Array = new Uint8Array(MAX_MEMORIES);

  // The output's index spaces.
  readonly preludeStart: number;
  readonly templateStart: number;
  readonly wrapperStart: number;
  /** The template that copies masks and trailers; -1 without `suspend`. */
  readonly frameTemplate: number;
  readonly quickStart: number;
  /** init, save, restore; behind them the helpers. */
  readonly partsStart: number;
  readonly helpers: Helpers;
  readonly templates: TemplateEvidence[] = [];
  readonly #templateIndex = new Map<string, number>();
  readonly memoryEvidence: MemoryEvidence[] = [];
  /** Index of the memory that is the space. */
  readonly spaceMemory: number;
  /** First of the hidden globals that carry reference results between two frames, by kind. */
  readonly hiddenGlobals = new Map<string, number>();
  readonly hdrGlobal: number;
  /** First of the globals that count accesses, -1 where there are none. */
  readonly countersStart: number;
  readonly systemGlobalCount: number;
  readonly systemGlobalStart: number;
  readonly refsTable: number;

  readonly windows: boolean;

  // The state zone.
  readonly maxResults: number;
  /** Mutable globals with their places in the state zone. */
  readonly savedGlobals: { index: number; type: ValueType; offset: number }[] = [];
  readonly dataFlags: number;
  readonly elementFlags: number;
  /** Past its state, bytes from hdr. */
  readonly stateEnd: number;
  readonly controlBytes: number;
  /** Where modules made by the program have their state; null where it makes none. */
  readonly madeZone: MadeZone | null;
  /** Its number in its domain: 0 for a program. */
  readonly moduleNumber: number;
  readonly usesRefs: boolean;
  readonly usesExceptions: boolean;
  readonly tablesChange: boolean;
  readonly segmentOps: readonly SegmentOp[];
  /** By function of the program: 1 for those that can never be suspended. */
  readonly quiet: Uint8Array;
  /** Functions of the program that can be called from outside: exported ones, and the start function. */
  readonly entries: ReadonlySet<number>;

  /** `facts`: what a scan of the code found; see `scan.ts`. */
  constructor(module: Module, options: CompileOptions, facts: ScanFacts) {
    this.module = module;
    this.options = options;
    this.types = [...module.types];
    this.types.forEach((type, i) => {
      this.#typeIndex.place(type.params, type.results, i);
    });
    this.#indexSpaces();
    this.#foresee(facts.indirectTypes);
    this.fixedTypes = this.types.length;
    this.importedFunctions = this.functionTypes.length - module.functions.length;
    this.importedGlobals = this.globals.length - module.globals.length;
    this.entries = new Set([
      ...module.exports.filter((item) => item.kind === 'func').map((item) => item.index),
      ...(module.start === undefined ? [] : [module.start]),
    ]);
    const { made } = options;
    this.moduleNumber = made?.number ?? 0;
    const makes = made === undefined && module.imports.some((item) => item.module === COMPILER_MODULE);
    // What the program makes goes into its tables, and tells its functions from others'.
    this.tablesChange = facts.tablesChange || makes;
    this.quiet = facts.quiet;
    this.usesRefs = facts.usesRefs || this.tablesChange || made !== undefined;
    this.usesExceptions = facts.usesExceptions;
    this.segmentOps = facts.segmentOps;
    this.templates = facts.templates;
    this.windows = hasWindows(this);
    if (this.windows)
      this.templates.unshift(...[0, 1, 2, 3].map((a) => ({ kind: 'window' as const, a, b: 0 })));
    // Masks and trailers of all frames lie in a data segment of ours, behind the program's.
    if (options.suspend) this.templates.push({ kind: 'frame', a: 0, b: module.datas.length });
    this.templates.forEach((t, i) => {
      this.#templateIndex.set(templateKey(t.kind, t.a, t.b), i);
    });
    this.spaceMemory = options.isolate ? 0 : this.memories.length;

    const system = SYSTEM_IMPORTS.length;
    this.preludeStart = system + this.importedFunctions;
    this.templateStart = this.preludeStart + PRELUDE_ORDER.length;
    this.wrapperStart = this.templateStart + this.templates.length;
    this.frameTemplate = options.suspend ? this.wrapperStart - 1 : -1;
    this.quickStart = this.wrapperStart + this.importedFunctions;
    this.partsStart = this.quickStart + module.functions.length;
    this.helpers = helpersOf(this, this.partsStart + 3);

    const most = this.types.reduce((n, type) => Math.max(n, type.results.length), 1);
    this.maxResults = makes ? Math.max(most, MADE_RESULTS_MAX) : most;
    this.#hideReferences();
    const hidden = this.globals.length + this.hiddenGlobals.size;
    this.countersStart = options.count ? hidden : -1;
    this.systemGlobalStart = hidden + (options.count ? COUNTERS : 0);
    this.hdrGlobal = this.systemGlobalStart;
    this.systemGlobalCount = 1 + Math.max(0, this.memories.length * 2 - 1);
    this.#placeMemories();
    this.refsTable = this.usesRefs ? this.tables.length : -1;

    let at = made?.stateStart ?? RESULTS_OFFSET + this.maxResults * VALUE_BYTES;
    this.globals.forEach((global, index) => {
      // Those that a made module imports are the program's, which saves them itself.
      if (!global.mutable || (made !== undefined && index < this.importedGlobals)) return;
      this.savedGlobals.push({ index, type: global.type, offset: at });
      at += VALUE_BYTES;
    });
    this.dataFlags = at;
    this.elementFlags = at + module.datas.length * VALUE_BYTES;
    this.stateEnd = this.elementFlags + module.elements.length * VALUE_BYTES;
    this.madeZone = makes ? { start: this.stateEnd, end: this.stateEnd + MADE_STATE_BYTES } : null;
    this.controlBytes = made?.controlBytes ?? controlBytes(this.madeZone?.end ?? this.stateEnd);
    if (made !== undefined) checkMade(this, made);
  }

  #indexSpaces(): void {
    const { module } = this;
    for (const item of module.imports) {
      if (item.module === SYSTEM_MODULE) {
        throw new UnsupportedError(
          `the program imports from "${SYSTEM_MODULE}", which is the system's own`,
          -1,
        );
      }
      if (item.kind === 'func') this.functionTypes.push(item.type);
      else if (item.kind === 'global') this.globals.push(item.global);
      else if (item.kind === 'table') this.tables.push(item.table);
      else if (item.kind === 'tag') this.tags.push(item.tag);
      else this.memories.push({ ...item.memory, imported: [item.module, item.name] });
    }
    // Not with a spread: a million arguments are too many.
    for (const type of module.functions) this.functionTypes.push(type);
    for (const global of module.globals) this.globals.push(global);
    for (const table of module.tables) this.tables.push(table);
    for (const tag of module.tags) this.tags.push(tag);
    for (const memory of module.memories) this.memories.push({ ...memory, imported: null });
    if (this.memories.length > MAX_MEMORIES) {
      throw new UnsupportedError(`${this.memories.length} memories; ${MAX_MEMORIES} is the most`, -1);
    }
    for (const global of this.globals) {
      if (global.mutable && global.type === EXNREF) {
        throw new UnsupportedError('a mutable global of type exnref cannot be kept in a checkpoint', -1);
      }
    }
  }

  /** Results of reference type travel between two frames in globals of their own: nothing may keep them elsewhere. */
  #hideReferences(): void {
    const most = new Map<ValueType, number>();
    for (const type of this.types) {
      type.results.forEach((result, i) => {
        if (isRefType(result)) most.set(result, Math.max(most.get(result) ?? 0, i + 1));
      });
    }
    let index = this.globals.length;
    for (const [type, count] of [...most].sort((a, b) => a[0] - b[0])) {
      for (let i = 0; i < count; i++) this.hiddenGlobals.set(`${type}:${i}`, index++);
    }
  }

  #placeMemories(): void {
    this.memories.forEach((memory, i) => {
      this.wide[i] = memory.is64 ? 1 : 0;
      const most = memory.is64 ? MEMORY64_MAX_PAGES : MEMORY32_MAX_PAGES;
      if (memory.min > BigInt(most)) {
        throw new UnsupportedError(
          `memory ${i} is declared with ${memory.min} pages; ${most} is the most`,
          -1,
        );
      }
      const max =
        memory.max === undefined ? -1 : Number(memory.max < BigInt(most) ? memory.max : BigInt(most));
      this.memoryEvidence.push({
        is64: memory.is64,
        shared: memory.shared,
        min: Number(memory.min),
        max,
        imported: memory.imported,
        baseGlobal: i === 0 ? this.hdrGlobal : this.hdrGlobal + 2 * i,
        limitGlobal: i === 0 ? this.hdrGlobal + 1 : this.hdrGlobal + 2 * i + 1,
      });
    });
  }

  /** Index of a function type in the output, made where there is none. */
  typeIndex(params: readonly ValueType[], results: readonly ValueType[]): number {
    const index = this.#typeIndex.place(params, results, this.types.length);
    if (index === this.types.length) this.types.push({ params, results });
    return index;
  }

  /** The types of blocks about calls, so that few of them need a number of fixed width. */
  #foresee(indirect: ReadonlySet<number>): void {
    const called = new Set(this.functionTypes);
    if (called.size + indirect.size > FORESEEN_MAX) return;
    const known = (index: number): FuncType[] => (this.types[index] === undefined ? [] : [this.types[index]]);
    const add = ({ params, results }: FuncType): void => {
      this.typeIndex(params, results);
      this.typeIndex(params, []);
    };
    for (const type of [...called].flatMap(known)) add(type);
    for (const { params, results } of [...indirect].flatMap(known))
      add({ params: [...params, I32], results });
  }

  /** A block type as an s33, from the output's types. */
  blockType({ params, results }: FuncType): number {
    if (params.length === 0 && results.length === 0) return EMPTY_BLOCK;
    if (params.length === 0 && results.length === 1) return results[0]! - 128;
    return this.typeIndex(params, results);
  }

  /**
   * Type of a block about a call of a function of this type: takes its operands, gives its results. `index`: the type of
   * an indirect call's index, which is one of the operands; 0 for none.
   */
  callBlock(type: FuncType, index: ValueType): number {
    if (index === I64) return this.blockType({ params: [...type.params, I64], results: type.results });
    const known = index === I32 ? this.#indirectBlocks : this.#callBlocks;
    let block = known.get(type);
    if (block === undefined) {
      const params = index === I32 ? [...type.params, I32] : type.params;
      block = this.blockType({ params, results: type.results });
      known.set(type, block);
    }
    return block;
  }

  functionType(index: number): FuncType {
    return this.types[this.functionTypes[index]!]!;
  }

  /** Where the program's function lies in the output: its wrapper or quick version. */
  functionIndex(index: number): number {
    return index < this.importedFunctions
      ? this.wrapperStart + index
      : this.quickStart + index - this.importedFunctions;
  }

  prelude(name: PreludeName): number {
    return this.preludeStart + PRELUDE_PLACE[name];
  }

  template(kind: TemplateEvidence['kind'], a: number, b: number): number {
    const at = this.#templateIndex.get(templateKey(kind, a, b));
    assert(at !== undefined, 'the scan saw every bulk instruction');
    return this.templateStart + at;
  }

  templateMemory(index: number): TemplateMemory {
    const evidence = this.memoryEvidence[index]!;
    return {
      is64: evidence.is64,
      baseGlobal: evidence.baseGlobal,
      limitGlobal: evidence.limitGlobal,
      offset: index === 0 ? this.controlBytes : 0,
      windows: this.windows && index === 0 ? this.templateStart : -1,
    };
  }
}

/** True where memory 0 may have windows: it was asked for, or the program can map segments. */
function hasWindows({ module, memories, options }: Plan): boolean {
  const maps = module.imports.some(
    (item) => item.module === KERNEL_MODULE && MAPPING_CALLS.includes(item.name),
  );
  return (
    options.isolate &&
    (options.made?.windows ?? (options.windows === true || maps)) &&
    memories[0]?.is64 === false
  );
}

/** What made modules may not have: see abi/made.ts. @throws UnsupportedError */
function checkMade(plan: Plan, made: MadePlace): void {
  const { module, memories } = plan;
  const refuse = (what: string): never => {
    throw new UnsupportedError(`a module made at run time ${what}`, -1);
  };
  if (module.start !== undefined) refuse('has a start function: export it, and call it');
  if (module.memories.length > 0) refuse('has a memory of its own: import the one of the program');
  if (memories.length > 1) refuse('imports more than one memory');
  if (module.tags.length > 0) refuse('has a tag of its own: import one of the program');
  const exceptions = plan.tables.some(({ element }) => element === EXNREF);
  if (exceptions || plan.usesExceptions || plan.globals.some(({ type }) => type === EXNREF))
    refuse('holds exceptions as values (exnref)');
  if (plan.types.some(({ results }) => results.length > MADE_RESULTS_MAX)) {
    refuse(`has a type with more than ${MADE_RESULTS_MAX} results`);
  }
  if (plan.stateEnd > made.stateEnd) refuse('has more globals and segments than there is room for');
}

const templateKey = (kind: TemplateEvidence['kind'], a: number, b: number): string => `${kind}:${a}:${b}`;

const PRELUDE_PLACE = Object.fromEntries(PRELUDE_ORDER.map((name, i) => [name, i])) as Record<
  PreludeName,
  number
>;

/** True for types whose values mean nothing outside this instance and are saved as numbers. */
export function isKeptAsIndex(type: ValueType): boolean {
  return type === FUNCREF || type === EXTERNREF;
}

/** Types of the globals in which results of reference type travel. */
export function hiddenTypes(plan: Plan): GlobalType[] {
  return [...plan.hiddenGlobals.keys()].map((key) => ({ type: Number(key.split(':')[0]), mutable: true }));
}

/** The init of a system global. */
export const SYSTEM_GLOBAL: GlobalType = { type: I64, mutable: true };
