/** What each instruction does to the sets of what is live (liveness.ts), by its number. */
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';

export const NOTHING = 0;
export const GET = 1;
/** local.set, local.tee. */
export const SET = 2;
/** Uses base and limit of a memory. */
export const ACCESS = 3;
/** A call, or carried out by the kernel or its templates. */
export const CALL = 4;
export const CONTROL = 5;

export const KIND: Uint8Array = kinds();

function kinds(): Uint8Array {
  const list = OP_ACCESS.map((access) => (access === ACCESS_NONE ? NOTHING : ACCESS));
  const set = (kind: number, ...ops: number[]): void => {
    for (const op of ops) list[op] = kind;
  };
  set(GET, OP.local_get);
  set(SET, OP.local_set, OP.local_tee);
  set(ACCESS, OP.memory_size);
  set(CALL, OP.call, OP.call_indirect, OP.return_call, OP.return_call_indirect);
  set(CALL, OP.memory_grow);
  set(CALL, OP.memory_atomic_wait32, OP.memory_atomic_wait64, OP.memory_atomic_notify);
  set(CONTROL, OP.block, OP.loop, OP.if, OP.try_table, OP.else, OP.end);
  set(CONTROL, OP.br, OP.br_if, OP.br_table, OP.return, OP.unreachable, OP.throw, OP.throw_ref);
  return list;
}
