/** What laying out a body (body.ts) does with each instruction, by its number. */
import { OP } from '../wasm/opcodes.ts';
import {
  ACCESS_NONE,
  IMM_I32,
  IMM_INDEX,
  IMM_MEMARG,
  IMM_NONE,
  OP_ACCESS,
  OP_IMMEDIATE,
} from '../wasm/optable.ts';

export const PLAIN = 0;
export const ACCESS = 1;
/** block, loop, if, try_table. */
export const BLOCK = 2;
export const ELSE = 3;
export const END = 4;
/** br, br_if. */
export const BRANCH = 5;
export const BR_TABLE = 6;
export const CALL = 7;
/** Other instructions behind which nothing in their block is reached. */
export const LEAVES = 8;
export const SELECT = 9;
/** Those that the kernel, its templates or helpers carry out: growing, waiting, bulk memory, filling tables. */
export const KERNELS = 10;

export const KIND: Uint8Array = kinds();

function kinds(): Uint8Array {
  const list = OP_ACCESS.map((access) => (access === ACCESS_NONE ? PLAIN : ACCESS));
  const set = (kind: number, ...ops: number[]): void => {
    for (const op of ops) list[op] = kind;
  };
  set(BLOCK, OP.block, OP.loop, OP.if, OP.try_table);
  set(ELSE, OP.else);
  set(END, OP.end);
  set(BRANCH, OP.br, OP.br_if);
  set(BR_TABLE, OP.br_table);
  set(CALL, OP.call, OP.call_indirect, OP.return_call, OP.return_call_indirect);
  set(LEAVES, OP.unreachable, OP.return, OP.throw, OP.throw_ref);
  set(SELECT, OP.select_t);
  set(KERNELS, OP.memory_atomic_wait32, OP.memory_atomic_wait64, OP.memory_atomic_notify);
  set(KERNELS, OP.memory_size, OP.memory_grow, OP.memory_fill, OP.memory_copy, OP.memory_init, OP.table_init);
  return list;
}

// How an instruction of one byte is read where it is not the cursor's to read.
export const CURSORS = 0;
export const BARE = 1;
/** One unsigned integer. */
export const INDEX = 2;
/** One signed integer. */
export const CONSTANT = 3;
export const MEMARG = 4;
/** Bytes that one of them takes at most, with the integers that are read here. */
export const STRAIGHT_MAX = 12;

export const STRAIGHT: Uint8Array = KIND.slice(0, 256).map((kind, op) => {
  const form = OP_IMMEDIATE[op];
  if (kind === ACCESS) return form === IMM_MEMARG ? MEMARG : CURSORS;
  if (kind !== PLAIN) return CURSORS;
  return form === IMM_NONE ? BARE : form === IMM_INDEX ? INDEX : form === IMM_I32 ? CONSTANT : CURSORS;
});
