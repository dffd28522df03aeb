/**
 * Writes instructions. One function for each kind of immediates, and `emitInstruction`, which writes what a
 * cursor just decoded in its shortest form (use the cursor's `copyTo` to keep the bytes as they are). `op` is
 * a number of `opcodes.ts`; nothing here checks that it takes the immediates it is given.
 */
import { CATCH_ALL, type CatchClause, type InstructionCursor } from './instructions.ts';
import { OP, PREFIX_FC } from './opcodes.ts';
import {
  IMM_BLOCK,
  IMM_BR_TABLE,
  IMM_ELSE,
  IMM_END,
  IMM_F32,
  IMM_F64,
  IMM_FENCE,
  IMM_I32,
  IMM_I64,
  IMM_INDEX,
  IMM_INDEX2,
  IMM_LABEL,
  IMM_LANE,
  IMM_MEMARG,
  IMM_MEMARG_LANE,
  IMM_NONE,
  IMM_REF_NULL,
  IMM_SELECT,
  IMM_TRY_TABLE,
  IMM_V128,
  OP_IMMEDIATE,
  writeOp,
} from './optable.ts';
import type { ValueType } from './types.ts';
import type { Writer } from './writer.ts';

/** An instruction without immediates. */
export function emitOp(w: Writer, op: number): void {
  if (op < PREFIX_FC) w.u8(op);
  else writeOp(w, op);
}

/** An instruction with one index or label. */
export function emitIndex(w: Writer, op: number, index: number): void {
  emitOp(w, op);
  w.u32(index);
}

/** An instruction with two indices, in the order of the binary format. */
export function emitIndex2(w: Writer, op: number, first: number, second: number): void {
  emitOp(w, op);
  w.u32(first);
  w.u32(second);
}

export function emitI32Const(w: Writer, value: number): void {
  w.byteAndS32(OP.i32_const, value);
}

export function emitI64Const(w: Writer, value: bigint | number): void {
  if (typeof value === 'number' && (value | 0) === value) return w.byteAndS32(OP.i64_const, value);
  w.u8(OP.i64_const);
  w.s64(value);
}

/** block, loop or if, with a block type as the cursor gives it. */
export function emitBlock(w: Writer, op: number, blockType: number): void {
  w.u8(op);
  w.s33(blockType);
}

/** The first part of a memarg: alignment (log2) and memory. Follow it with the offset as a u64. */
function alignAndMemory(w: Writer, memory: number, align: number): void {
  if (memory === 0) {
    w.u32(align);
  } else {
    w.u32(align | 0x40);
    w.u32(memory);
  }
}

/** An access without a lane. `offset` is exact up to 2^53 as a number; give larger ones as a bigint. */
export function emitAccess(
  w: Writer,
  op: number,
  memory: number,
  align: number,
  offset: number | bigint,
): void {
  emitOp(w, op);
  alignAndMemory(w, memory, align);
  w.u64(offset);
}

/** An access to one lane. */
export function emitLaneAccess(
  w: Writer,
  op: number,
  memory: number,
  align: number,
  offset: number | bigint,
  lane: number,
): void {
  emitAccess(w, op, memory, align, offset);
  w.u8(lane);
}

/** br_table over the first `count` labels, then the default. */
export function emitBranchTable(
  w: Writer,
  targets: ArrayLike<number>,
  count: number,
  fallback: number,
): void {
  w.u8(OP.br_table);
  w.u32(count);
  for (let i = 0; i < count; i++) w.u32(targets[i]!);
  w.u32(fallback);
}

/** try_table with the first `count` clauses. */
export function emitTryTable(
  w: Writer,
  blockType: number,
  catches: readonly CatchClause[],
  count: number = catches.length,
): void {
  emitBlock(w, OP.try_table, blockType);
  w.u32(count);
  for (let i = 0; i < count; i++) {
    const { kind, tag, label } = catches[i]!;
    w.u8(kind);
    if (kind < CATCH_ALL) w.u32(tag);
    w.u32(label);
  }
}

/** select with a list of types. */
export function emitSelect(w: Writer, types: readonly ValueType[]): void {
  w.u8(OP.select_t);
  w.u32(types.length);
  for (const type of types) w.u8(type);
}

/** The instruction the cursor just decoded, with every integer in its shortest form. */
export function emitInstruction(w: Writer, c: InstructionCursor): void {
  const op = c.op;
  switch (OP_IMMEDIATE[op]) {
    case IMM_NONE:
    case IMM_ELSE:
    case IMM_END:
      emitOp(w, op);
      break;
    case IMM_INDEX:
    case IMM_LABEL:
      emitIndex(w, op, c.imm0);
      break;
    case IMM_I32:
      emitI32Const(w, c.imm0);
      break;
    case IMM_MEMARG:
      emitAccess(w, op, c.imm0, c.imm1, exactOffset(c));
      break;
    case IMM_BLOCK:
      emitBlock(w, op, c.blockType);
      break;
    case IMM_I64:
      w.u8(op);
      w.s64parts(c.lo, c.hi);
      break;
    case IMM_INDEX2:
      emitIndex2(w, op, c.imm0, c.imm1);
      break;
    case IMM_BR_TABLE:
      emitBranchTable(w, c.targets, c.targetCount, c.imm0);
      break;
    default:
      emitRare(w, c, op);
      break;
  }
}

function exactOffset(c: InstructionCursor): number | bigint {
  return c.memOffset < Number.MAX_SAFE_INTEGER ? c.memOffset : c.memOffset64;
}

function emitRare(w: Writer, c: InstructionCursor, op: number): void {
  switch (OP_IMMEDIATE[op]) {
    case IMM_F32:
      w.u8(op);
      w.f32bits(c.imm0);
      break;
    case IMM_F64:
      w.u8(op);
      w.f32bits(c.lo);
      w.f32bits(c.hi);
      break;
    case IMM_V128:
      emitOp(w, op);
      w.rawRange(c.bytes, c.end - 16, c.end);
      break;
    case IMM_LANE:
      emitOp(w, op);
      w.u8(c.imm2);
      break;
    case IMM_MEMARG_LANE:
      emitLaneAccess(w, op, c.imm0, c.imm1, exactOffset(c), c.imm2);
      break;
    case IMM_SELECT:
      emitSelect(w, c.selectTypes);
      break;
    case IMM_REF_NULL:
      w.u8(op);
      w.u8(c.imm0);
      break;
    case IMM_TRY_TABLE:
      emitTryTable(w, c.blockType, c.catches, c.catchCount);
      break;
    case IMM_FENCE:
      emitOp(w, op);
      w.u8(0);
      break;
  }
}
