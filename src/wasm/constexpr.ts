/**
 * Constant expressions: the initial values of globals, the offsets of segments, the elements of element
 * segments. A decoded one keeps its bytes (it is written back unchanged) and lists its instructions. Make a
 * new one with `constExpr`. Only the instructions that may stand in one are taken; any other is malformed
 * here.
 */
import { assert } from '../base/assert.ts';
import { emitI32Const, emitI64Const, emitIndex, emitOp } from './emit.ts';
import { BODY, InstructionCursor } from './instructions.ts';
import { OP } from './opcodes.ts';
import { opName } from './optable.ts';
import { Reader } from './reader.ts';
import type { ByteRange } from './types.ts';
import { Writer } from './writer.ts';

/**
 * One instruction of a constant expression. `value` by instruction: i32.const an int32; i64.const a signed
 * bigint; f32.const its bits as an unsigned number; f64.const and v128.const their bits as unsigned bigints
 * (little endian); global.get and ref.func the index; ref.null the reference type; arithmetic 0.
 */
export interface ConstOp {
  readonly op: number;
  readonly value: number | bigint;
}

/** The bytes, the closing `end` included, and the instructions without it. */
export interface ConstExpr extends ByteRange {
  readonly ops: readonly ConstOp[];
}

const cursors = new WeakMap<Uint8Array, InstructionCursor>();

function cursorOver(bytes: Uint8Array): InstructionCursor {
  let cursor = cursors.get(bytes);
  if (cursor === undefined) {
    cursor = new InstructionCursor(bytes);
    cursors.set(bytes, cursor);
  }
  return cursor;
}

export function decodeConstExpr(r: Reader): ConstExpr {
  const cursor = cursorOver(r.bytes);
  const start = r.pos;
  const ops: ConstOp[] = [];
  cursor.resetExpression(start, r.end);
  while (cursor.next()) {
    if (cursor.op === OP.end && cursor.imm0 === BODY) break;
    const value = constValue(cursor);
    if (value === undefined) r.fail(`${opName(cursor.op)} is not a constant instruction`, cursor.offset);
    ops.push({ op: cursor.op, value });
  }
  r.pos = cursor.end;
  return { source: r.bytes, start, end: cursor.end, ops };
}

function constValue(c: InstructionCursor): number | bigint | undefined {
  switch (c.op) {
    case OP.i32_const:
    case OP.global_get:
    case OP.ref_func:
    case OP.ref_null:
      return c.imm0;
    case OP.f32_const:
      return c.imm0 >>> 0;
    case OP.i64_const:
      return c.i64;
    case OP.f64_const:
      return c.f64bits;
    case OP.v128_const:
      return v128At(c.bytes, c.end - 16);
    case OP.i32_add:
    case OP.i32_sub:
    case OP.i32_mul:
    case OP.i64_add:
    case OP.i64_sub:
    case OP.i64_mul:
      return 0;
    default:
      return undefined;
  }
}

function v128At(bytes: Uint8Array, at: number): bigint {
  const r = new Reader(bytes, at, at + 16);
  const low = r.f64bits();
  return low | (r.f64bits() << 64n);
}

/** Writes the expression as it is. */
export function encodeConstExpr(w: Writer, expr: ConstExpr): void {
  w.rawRange(expr.source, expr.start, expr.end);
}

/** A constant expression of these instructions; see `ConstOp` for the values. */
export function constExpr(ops: readonly ConstOp[]): ConstExpr {
  const w = new Writer(16);
  for (const { op, value } of ops) writeConstOp(w, op, value);
  w.u8(OP.end);
  return { source: w.toBytes(), start: 0, end: w.length, ops };
}

function writeConstOp(w: Writer, op: number, value: number | bigint): void {
  if (op === OP.i32_const) emitI32Const(w, Number(value));
  else if (op === OP.i64_const) emitI64Const(w, value);
  else if (op === OP.global_get || op === OP.ref_func) emitIndex(w, op, Number(value));
  else {
    emitOp(w, op);
    if (op === OP.ref_null) w.u8(Number(value));
    else if (op === OP.f32_const) w.f32bits(Number(value));
    else if (op === OP.f64_const) w.f64bits(BigInt(value));
    else if (op === OP.v128_const) {
      w.f64bits(BigInt.asUintN(64, BigInt(value)));
      w.f64bits(BigInt(value) >> 64n);
    } else assert(value === 0, `${opName(op)} has no value`);
  }
}
