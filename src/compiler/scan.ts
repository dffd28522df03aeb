/**
 * One quick look over all code before anything is placed: which bulk memory templates it needs, whether references to
 * functions are values in it, whether its tables change while it runs, what it does to segments.
 *
 * Why: RATIONALE.md#tables-stay-v8s
 */
import type { TemplateEvidence } from '../abi/evidence.ts';
import { UnsupportedError } from '../base/errors.ts';
import { CATCH_ALL_REF, CATCH_REF, InstructionCursor } from '../wasm/instructions.ts';
import type { Module } from '../wasm/module.ts';
import { OP, OP_LIMIT } from '../wasm/opcodes.ts';
import { EXNREF, FUNCREF, type TableType, type ValueType } from '../wasm/types.ts';
import { QuietFunctions, STOPPING } from './quiet.ts';

export interface ScanFacts {
  templates: TemplateEvidence[];
  /** References to functions are values somewhere. */
  usesRefs: boolean;
  /** Exceptions are values somewhere. */
  usesExceptions: boolean;
  tablesChange: boolean;
  /** Types that call_indirect names. */
  /** By function: 1 for those that can never be suspended. */
  quiet: Uint8Array;
  indirectTypes: ReadonlySet<number>;
  /** Instructions on segments, each once. */
  segmentOps: SegmentOp[];
}

/** memory.init, data.drop, table.init or elem.drop, with its indices in the order of the bytes. */
export interface SegmentOp {
  readonly op: number;
  readonly a: number;
  readonly b: number;
}

export const segmentKey = ({ op, a, b }: SegmentOp): string => `${op}:${a}:${b}`;

export function scan(bytes: Uint8Array, module: Module, isolate: boolean): ScanFacts {
  return new Scan(module, isolate).facts(bytes);
}

class Scan {
  readonly #module: Module;
  readonly #isolate: boolean;
  readonly #tables: readonly TableType[];
  readonly #templates = new Map<string, TemplateEvidence>();
  readonly #segmentOps = new Map<string, SegmentOp>();
  readonly #indirectTypes = new Set<number>();
  readonly #quiet: QuietFunctions;
  #usesRefs: boolean;
  #usesExceptions: boolean;
  #tablesChange: boolean;

  constructor(module: Module, isolate: boolean) {
    this.#module = module;
    this.#isolate = isolate;
    const functions = module.imports.filter((item) => item.kind === 'func').length;
    this.#quiet = new QuietFunctions(functions);
    const imported = module.imports.flatMap((item) => (item.kind === 'table' ? [item.table] : []));
    this.#tables = [...imported, ...module.tables];
    this.#tablesChange = imported.length > 0; // what comes from outside may change behind the program's back
    this.#usesRefs = typesMention(module, FUNCREF) || keepsReferences(module);
    this.#usesExceptions = typesMention(module, EXNREF);
  }

  facts(bytes: Uint8Array): ScanFacts {
    this.#module.datas.forEach((data, i) => {
      if (data.mode === 'active') this.#need('init', data.memory, i);
    });
    const cursor = new InstructionCursor(bytes);
    for (const code of this.#module.codes) {
      this.#quiet.begin(code.end - code.start);
      for (const { type } of code.locals) {
        if (type === FUNCREF) this.#usesRefs = true;
        if (type === EXNREF) this.#usesExceptions = true;
      }
      cursor.reset(code.start, code.end);
      while (cursor.nextOf(MATTERS)) this.#look(cursor);
      this.#quiet.end();
    }
    return {
      templates: [...this.#templates.values()],
      segmentOps: [...this.#segmentOps.values()],
      usesRefs: this.#usesRefs,
      usesExceptions: this.#usesExceptions,
      tablesChange: this.#tablesChange,
      indirectTypes: this.#indirectTypes,
      quiet: this.#quiet.find(),
    };
  }

  #need(kind: TemplateEvidence['kind'], a: number, b: number): void {
    if (this.#isolate) this.#templates.set(`${kind}:${a}:${b}`, { kind, a, b });
  }
  #onSegment(op: number, a: number, b: number): void {
    this.#segmentOps.set(segmentKey({ op, a, b }), { op, a, b });
  }

  #look(cursor: InstructionCursor): void {
    const { op, imm0, imm1 } = cursor;
    this.#quiet.look(op, imm0);
    switch (op) {
      case OP.memory_fill:
        return this.#need('fill', imm0, 0);
      case OP.memory_copy:
        return this.#need('copy', imm0, imm1);
      case OP.memory_init:
        this.#need('init', imm1, imm0);
        if (!this.#isolate) this.#onSegment(op, imm0, imm1);
        return;
      case OP.data_drop:
      case OP.elem_drop:
        return this.#onSegment(op, imm0, 0);
      case OP.table_init:
        this.#onSegment(op, imm0, imm1);
        return this.#changes(imm1, cursor.offset);
      case OP.table_set:
      case OP.table_fill:
      case OP.table_copy:
      case OP.table_grow:
        return this.#changes(imm0, cursor.offset);
      case OP.call_indirect:
        this.#indirectTypes.add(imm0);
        return;
      case OP.try_table:
        this.#usesExceptions ||= givesExceptions(cursor);
        return;
      case OP.ref_null:
        this.#usesExceptions ||= imm0 === EXNREF;
        return;
      case OP.ref_func:
      case OP.table_get:
        this.#usesRefs = true;
    }
  }

  #changes(table: number, offset: number): void {
    this.#tablesChange = true;
    refuseExceptions(this.#tables[table], offset);
  }
}

/** By number: 1 for the instructions that `#look` looks at. */
const MATTERS = new Uint8Array(OP_LIMIT);
for (const op of [
  ...[OP.memory_fill, OP.memory_copy, OP.memory_init, OP.data_drop, OP.elem_drop],
  ...[OP.table_init, OP.table_set, OP.table_get, OP.table_fill, OP.table_copy, OP.table_grow],
  ...[OP.call_indirect, OP.try_table, OP.ref_null, OP.ref_func],
  ...[OP.call, ...STOPPING],
]) {
  MATTERS[op] = 1;
}

/** Some clause of the try_table the cursor is at hands the exception on. */
function givesExceptions({ catches, catchCount }: InstructionCursor): boolean {
  return catches.slice(0, catchCount).some(({ kind }) => kind === CATCH_REF || kind === CATCH_ALL_REF);
}

const typesMention = (module: Module, type: ValueType): boolean =>
  module.types.some(({ params, results }) => params.includes(type) || results.includes(type));

/** Some mutable global holds a reference to a function. */
function keepsReferences(module: Module): boolean {
  const imported = module.imports.flatMap((item) => (item.kind === 'global' ? [item.global] : []));
  return [...imported, ...module.globals].some((global) => global.type === FUNCREF && global.mutable);
}

/** Exceptions cannot be told apart from outside, so a checkpoint would lose them. */
function refuseExceptions(table: TableType | undefined, offset: number): void {
  if (table?.element === EXNREF)
    throw new UnsupportedError('a table of type exnref that changes cannot be kept in a checkpoint', offset);
}
