/** How many operands and results instructions have. */
import { OP, OP_LIMIT } from '../wasm/opcodes.ts';
import { OP_POPS, OP_PUSHES } from '../wasm/optable.ts';
import type { FlatBody } from './body.ts';
import type { Plan } from './plan.ts';

/** By number: operands and results of what always has the same number of them; in `POPS` MANY for all others. */
export const POPS: Uint8Array = new Uint8Array(OP_LIMIT);
export const PUSHES: Uint8Array = new Uint8Array(OP_LIMIT);
/** Control flow, calls, throws; and numbers that no instruction has. */
export const MANY = 255;

for (let op: number = 0; op < OP_LIMIT; op++) {
  POPS[op] = OP_POPS[op]?.length ?? MANY;
  PUSHES[op] = OP_PUSHES[op]?.length ?? 0;
}
const set = (pops: number, pushes: number, ...ops: number[]): void => {
  for (const op of ops) [POPS[op], PUSHES[op]] = [pops, pushes];
};
set(3, 1, OP.select, OP.select_t);
set(1, 0, OP.drop, OP.global_set);
set(0, 1, OP.global_get, OP.table_size, OP.ref_null, OP.ref_func, OP.memory_size);
set(1, 1, OP.ref_is_null, OP.table_get, OP.memory_grow);
set(2, 0, OP.table_set);
set(2, 1, OP.table_grow);
set(3, 0, OP.table_fill, OP.table_copy, OP.table_init, OP.memory_fill, OP.memory_copy, OP.memory_init);

/** Operands of a throw. */
export function thrownBy(op: number, body: FlatBody, i: number, plan: Plan): number {
  return op === OP.throw_ref ? 1 : plan.types[plan.tags[body.a[i]!]!.type]!.params.length;
}
