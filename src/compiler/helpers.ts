/**
 * The helpers of a rewritten module: functions behind init, save and restore that code calls where an instruction would
 * not do, or would not do in a resume module. In this order, those that the program has a use for:
 *
 *   functionAt (i32) -> funcref      a function of this module by its index: export `k:function`
 *   functionOf (i32) -> funcref      the program's function with this index, null for a negative one
 *   saveExn (exnref) -> (), loadExn () -> exnref     an exception to and from the frame stack
 *   one for each instruction on segments     which are this instance's own
 */

import { OP } from '../wasm/opcodes.ts';
import { EXNREF, FUNCREF, type FuncType, I32, I64 } from '../wasm/types.ts';
import type { Plan } from './plan.ts';
import { type SegmentOp, segmentKey } from './scan.ts';

/** Indices in the rewritten module; -1 for those it does not have. */
export interface Helpers {
  readonly functionAt: number;
  readonly functionOf: number;
  readonly saveExn: number;
  readonly loadExn: number;
  /** By `segmentKey`. */
  readonly segments: ReadonlyMap<string, number>;
}

/** What helpers there are: the first has index `start`. */
export function helpersOf(plan: Plan, start: number): Helpers {
  let next = start;
  const { suspend } = plan.options;
  const place = (wanted: boolean): number => (suspend && wanted ? next++ : -1);
  const functionAt = place(true);
  const functionOf = place(plan.usesRefs);
  const saveExn = place(plan.usesExceptions);
  const loadExn = place(plan.usesExceptions);
  const segments = new Map(plan.segmentOps.map((op) => [segmentKey(op), place(true)]));
  return { functionAt, functionOf, saveExn, loadExn, segments };
}

/** Their types, in order. */
export function helperTypes(plan: Plan): FuncType[] {
  if (!plan.options.suspend) return [];
  const lookup = { params: [I32], results: [FUNCREF] };
  return [
    lookup,
    ...(plan.usesRefs ? [lookup] : []),
    ...(plan.usesExceptions
      ? [
          { params: [EXNREF], results: [] },
          { params: [], results: [EXNREF] },
        ]
      : []),
    ...plan.segmentOps.map((op) => segmentType(plan, op)),
  ];
}

/** memory.init and table.init take (to, from, count). */
function segmentType(plan: Plan, { op, b }: SegmentOp): FuncType {
  if (op === OP.data_drop || op === OP.elem_drop) return { params: [], results: [] };
  const to = op === OP.table_init ? plan.tables[b]! : plan.memories[b]!;
  return { params: [to.is64 ? I64 : I32, I32, I32], results: [] };
}
