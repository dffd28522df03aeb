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
import { OP } from '../wasm/opcodes.ts';
import { EXNREF, FUNCREF, type TableType, type ValueType } from '../wasm/types.ts';

export interface ScanFacts {
  templates: TemplateEvidence[];
  /** References to functions are values somewhere. */
  usesRefs: boolean;
  /** Exceptions are values somewhere. */
  usesExceptions: boolean;
  tablesChange: boolean;
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
  const templates = new Map<string, TemplateEvidence>();
  const need = (kind: TemplateEvidence['kind'], a: number, b: number): void => {
    if (isolate) templates.set(`${kind}:${a}:${b}`, { kind, a, b });
  };
  module.datas.forEach((data, i) => {
    if (data.mode === 'active') need('init', data.memory, i);
  });
  const segmentOps = new Map<string, SegmentOp>();
  let usesRefs = typesMention(module, FUNCREF) || keepsReferences(module);
  let usesExceptions = typesMention(module, EXNREF);
  let tablesChange = false;
  const tables = [...module.imports.flatMap((i) => (i.kind === 'table' ? [i.table] : [])), ...module.tables];
  const cursor = new InstructionCursor(bytes);
  const onSegment = (b: number): void => {
    const found = { op: cursor.op, a: cursor.imm0, b };
    segmentOps.set(segmentKey(found), found);
  };
  for (const code of module.codes) {
    if (code.locals.some((run) => run.type === FUNCREF)) usesRefs = true;
    if (code.locals.some((run) => run.type === EXNREF)) usesExceptions = true;
    cursor.reset(code.start, code.end);
    while (cursor.next()) {
      switch (cursor.op) {
        case OP.memory_fill:
          need('fill', cursor.imm0, 0);
          break;
        case OP.memory_copy:
          need('copy', cursor.imm0, cursor.imm1);
          break;
        case OP.memory_init:
          need('init', cursor.imm1, cursor.imm0);
          if (!isolate) onSegment(cursor.imm1);
          break;
        case OP.data_drop:
        case OP.elem_drop:
          onSegment(0);
          break;
        case OP.table_init:
          onSegment(cursor.imm1);
          tablesChange = true;
          refuseExceptions(tables[cursor.imm1], cursor.offset);
          break;
        case OP.table_set:
        case OP.table_fill:
        case OP.table_copy:
        case OP.table_grow:
          tablesChange = true;
          refuseExceptions(tables[cursor.imm0], cursor.offset);
          break;
        case OP.try_table:
          if (givesExceptions(cursor)) usesExceptions = true;
          break;
        case OP.ref_null:
          if (cursor.imm0 === EXNREF) usesExceptions = true;
          break;
        case OP.ref_func:
        case OP.table_get:
          usesRefs = true;
          break;
      }
    }
  }
  // A table that comes from outside may change behind the program's back.
  if (module.imports.some((i) => i.kind === 'table')) tablesChange = true;
  return {
    ...{ templates: [...templates.values()], segmentOps: [...segmentOps.values()] },
    ...{ usesRefs, usesExceptions, tablesChange },
  };
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
