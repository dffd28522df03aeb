/** How many operands and results an instruction has whose signature depends on what it names. */
import { OP } from '../wasm/opcodes.ts';
import type { FlatBody } from './body.ts';
import type { Plan } from './plan.ts';

/** Operands and results of what has no fixed signature and is neither control flow nor a call. */
export function arityOf(op: number, body: FlatBody, i: number, plan: Plan): { pops: number; pushes: number } {
  switch (op) {
    case OP.select:
    case OP.select_t:
      return { pops: 3, pushes: 1 };
    case OP.drop:
    case OP.global_set:
    case OP.ref_is_null:
      return { pops: 1, pushes: op === OP.ref_is_null ? 1 : 0 };
    case OP.global_get:
    case OP.table_size:
    case OP.ref_null:
    case OP.ref_func:
    case OP.memory_size:
      return { pops: 0, pushes: 1 };
    case OP.table_get:
    case OP.memory_grow:
      return { pops: 1, pushes: 1 };
    case OP.table_set:
      return { pops: 2, pushes: 0 };
    case OP.table_grow:
      return { pops: 2, pushes: 1 };
    case OP.table_fill:
    case OP.table_copy:
    case OP.table_init:
    case OP.memory_fill:
    case OP.memory_copy:
    case OP.memory_init:
      return { pops: 3, pushes: 0 };
    case OP.throw:
      return { pops: plan.types[plan.tags[body.a[i]!]!.type]!.params.length, pushes: 0 };
    case OP.throw_ref:
      return { pops: 1, pushes: 0 };
    default:
      return { pops: 0, pushes: 0 };
  }
}
