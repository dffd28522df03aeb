/**
 * Instructions about a memory that are no access: its size, growing it, and the address of a wait or notify.
 */
import { SYSTEM } from '../abi/system.ts';
import { emitI64Const } from '../wasm/emit.ts';
import { OP } from '../wasm/opcodes.ts';
import { OP_ACCESS_BYTES } from '../wasm/optable.ts';
import { EMPTY_BLOCK, I32, I64 } from '../wasm/types.ts';
import type { FlatBody } from './body.ts';
import type { Emitter } from './emitter.ts';
import { addressType, emitCheck, K_ALWAYS_TRAPS } from './memory.ts';
import { emitAsked, hasWindows } from './windows.ts';

/** memory.size: pages, from the limit. */
export function emitSize(e: Emitter, memory: number): void {
  e.get(e.role('limit', memory));
  emitI64Const(e.w, 16);
  e.op(OP.i64_shr_u);
  if (addressType(e, memory) === I32) e.op(OP.i32_wrap_i64);
}

/** memory.grow: the kernel's to do. */
export function emitGrow(e: Emitter, memory: number): void {
  const wide = addressType(e, memory) === I64;
  const delta = e.scratch(I64, 1);
  if (!wide) e.op(OP.i64_extend_i32_u);
  e.set(delta);
  e.w.u8(OP.i32_const);
  e.w.s32(memory);
  e.get(delta);
  e.call(SYSTEM.grow);
  if (!wide) e.op(OP.i32_wrap_i64);
}

/**
 * The checks that wait and notify share: in bounds, aligned. Takes the address off the stack, leaves the memory's
 * index and the effective near address (i64) there, ready for the kernel's function.
 */
export function emitAtomicAddress(e: Emitter, body: FlatBody, i: number): void {
  const memory = body.a[i]!;
  const offset = body.offset[i]!;
  const size = OP_ACCESS_BYTES[body.op[i]!]!;
  const ea = e.scratch(I64, 1);
  if (hasWindows(e, memory)) {
    e.op(OP.i64_extend_i32_u);
    e.set(ea);
    emitAsked(e, ea, offset, size);
  } else emitCheck(e, memory, offset + size, ea);
  const near = e.scratch(I64, 2);
  e.get(ea);
  emitI64Const(e.w, offset >= K_ALWAYS_TRAPS ? 0 : offset);
  e.op(OP.i64_add);
  e.tee(near);
  emitI64Const(e.w, size - 1);
  e.op(OP.i64_and);
  e.op(OP.i64_eqz);
  e.op(OP.i32_eqz);
  e.open(OP.if, EMPTY_BLOCK);
  e.note(body.start[i]!, 'unaligned atomic');
  e.op(OP.unreachable);
  e.close();
  e.note(body.start[i]!);
  e.w.u8(OP.i32_const);
  e.w.s32(memory);
  e.get(near);
}
