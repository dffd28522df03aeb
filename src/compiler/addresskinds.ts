/** What each instruction is to the look at addresses (addresses.ts). */
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import { MANY, POPS } from './arity.ts';

/** Control flow, calls, and what has operands that depend on types. */
export const OTHER = 0;
export const GET = 1;
export const SET = 2;
export const TEE = 3;
export const CONSTANT = 4;
/** An i32 instruction of two operands of whose result something can be known. */
export const BINARY = 5;
export const ACCESS = 6;
/** Takes and gives so many operands: POPS, PUSHES. */
export const FIXED = 7;

/** By number: one of these. */
export const KIND: Uint8Array = kinds();

function kinds(): Uint8Array {
  const list = OP_ACCESS.map((access, op) =>
    access !== ACCESS_NONE ? ACCESS : POPS[op] !== MANY ? FIXED : OTHER,
  );
  const set = (kind: number, ...ops: number[]): void => {
    for (const op of ops) list[op] = kind;
  };
  set(GET, OP.local_get);
  set(SET, OP.local_set);
  set(TEE, OP.local_tee);
  set(CONSTANT, OP.i32_const);
  set(OTHER, OP.global_get, OP.global_set);
  set(BINARY, OP.i32_add, OP.i32_sub, OP.i32_shl, OP.i32_mul, OP.i32_and, OP.i32_shr_u, OP.i32_rem_u);
  return list;
}
