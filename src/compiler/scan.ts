/**
 * One quick look over all code before anything is placed: which bulk memory templates it needs, whether references to
 * functions are values in it, whether its tables change while it runs.
 *
 * Why: RATIONALE.md#tables-stay-v8s
 */
import type { TemplateEvidence } from '../abi/evidence.ts';
import { UnsupportedError } from '../base/errors.ts';
import { CATCH_ALL_REF, CATCH_REF, InstructionCursor } from '../wasm/instructions.ts';
import type { Module } from '../wasm/module.ts';
import { OP } from '../wasm/opcodes.ts';
import { EXNREF, FUNCREF, type FuncType, type TableType } from '../wasm/types.ts';

export interface ScanFacts {
  templates: TemplateEvidence[];
  /** References to functions are values somewhere. */
  usesRefs: boolean;
  /** Exceptions are values somewhere. */
  usesExceptions: boolean;
  tablesChange: boolean;
}

export function scan(bytes: Uint8Array, module: Module, isolate: boolean): ScanFacts {
  const templates = new Map<string, TemplateEvidence>();
  const need = (kind: TemplateEvidence['kind'], a: number, b: number): void => {
    if (isolate) templates.set(`${kind}:${a}:${b}`, { kind, a, b });
  };
  module.datas.forEach((data, i) => {
    if (data.mode === 'active') need('init', data.memory, i);
  });
  const mentions = (type: FuncType): boolean =>
    type.params.includes(FUNCREF) || type.results.includes(FUNCREF);
  const globals = [
    ...module.imports.flatMap((i) => (i.kind === 'global' ? [i.global] : [])),
    ...module.globals,
  ];
  let usesRefs = module.types.some(mentions) || globals.some((g) => g.type === FUNCREF && g.mutable);
  let usesExceptions = module.types.some((t) => t.params.includes(EXNREF) || t.results.includes(EXNREF));
  let tablesChange = false;
  const tables = [...module.imports.flatMap((i) => (i.kind === 'table' ? [i.table] : [])), ...module.tables];
  const cursor = new InstructionCursor(bytes);
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
          break;
        case OP.table_set:
        case OP.table_fill:
        case OP.table_copy:
        case OP.table_grow:
          tablesChange = true;
          refuseExceptions(tables[cursor.imm0], cursor.offset);
          break;
        case OP.table_init:
          tablesChange = true;
          refuseExceptions(tables[cursor.imm1], cursor.offset);
          break;
        case OP.try_table:
          for (let i = 0; i < cursor.catchCount; i++) {
            const { kind } = cursor.catches[i]!;
            if (kind === CATCH_REF || kind === CATCH_ALL_REF) usesExceptions = true;
          }
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
  return { templates: [...templates.values()], usesRefs, usesExceptions, tablesChange };
}

/** Exceptions cannot be told apart from outside, so a checkpoint would lose them. */
function refuseExceptions(table: TableType | undefined, offset: number): void {
  if (table?.element === EXNREF)
    throw new UnsupportedError('a table of type exnref that changes cannot be kept in a checkpoint', offset);
}
