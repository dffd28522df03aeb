import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { constExpr, decodeConstExpr } from './constexpr.ts';
import { emitInstruction } from './emit.ts';
import { BODY, CATCH, CATCH_ALL_REF, CATCH_REF, InstructionCursor } from './instructions.ts';
import { decodeModule } from './module.ts';
import { OP, OP_LIMIT } from './opcodes.ts';
import { Reader } from './reader.ts';
import { EXNREF, EXTERNREF, FUNCREF, I32 } from './types.ts';
import { wat } from './wat.testing.ts';
import { Writer } from './writer.ts';

/** A cursor behind the first instruction of a body; an `end` is put behind it. */
function first(...bytes: number[]): InstructionCursor {
  const body = Uint8Array.of(...bytes, OP.end);
  const cursor = new InstructionCursor(body);
  cursor.reset(0, body.length);
  assert.ok(cursor.next());
  assert.equal(cursor.offset, 0);
  assert.equal(cursor.end, bytes.length);
  return cursor;
}

function assertRefused(bytes: number[], offset: number, message: RegExp, kind = MalformedError): void {
  const cursor = new InstructionCursor(Uint8Array.from(bytes));
  cursor.reset(0, bytes.length);
  assert.throws(
    () => {
      while (cursor.next());
    },
    (error: unknown) => {
      assert.ok(error instanceof kind, String(error));
      assert.match(error.message, message);
      assert.equal(error.offset, offset, error.message);
      return true;
    },
  );
}

test('constants come as halves, and as bigints on request', () => {
  assert.equal(first(OP.i32_const, 0x7f).imm0, -1);
  assert.equal(first(OP.i32_const, 0x80, 0x80, 0x80, 0x80, 0x78).imm0, -(2 ** 31));
  const wide = first(OP.i64_const, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f);
  assert.deepEqual([wide.lo, wide.hi, wide.i64], [0, -(2 ** 31), -(2n ** 63n)]);
  assert.equal(first(OP.f32_const, 1, 0, 0xa0, 0xff).imm0 >>> 0, 0xffa0_0001);
  const double = first(OP.f64_const, 1, 0, 0, 0, 0, 0, 0xf4, 0xff);
  assert.equal(double.f64bits, 0xfff4_0000_0000_0001n);
});

test('a memory access has its memory, alignment, lane and an offset that is exact below 2^53', () => {
  const plain = first(OP.i32_load, 2, 16);
  assert.deepEqual([plain.imm0, plain.imm1, plain.memOffset], [0, 2, 16]);
  const other = first(OP.i64_store, 0x43, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f);
  assert.deepEqual([other.imm0, other.imm1, other.memOffset], [5, 3, 2 ** 53 - 1]);
  const far = first(OP.i64_store, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1);
  assert.deepEqual([far.memOffset, far.memOffset64], [2 ** 64, 2n ** 64n - 1n]);
  const lane = first(0xfd, 0x54, 0x40, 3, 9, 15);
  assert.deepEqual(
    [lane.op, lane.imm0, lane.imm1, lane.imm2, lane.memOffset],
    [OP.v128_load8_lane, 3, 0, 15, 9],
  );
  assertRefused([OP.i32_load, 0x80, 1, 0], 1, /memop flags/);
});

test('numbers after a prefix may be longer than needed', () => {
  assert.equal(first(0xfd, 0x8e, 0x80, 0).op, OP.i8x16_swizzle);
  assert.equal(first(0xfc, 0x8b, 0x80, 0x80, 0, 0).op, OP.memory_fill);
  assertRefused([0xfd, 0x80, 0x80, 4], 0, /illegal opcode 0xfd 65536/);
  assertRefused([0xff, 0], 0, /illegal opcode 0xff/);
});

test('blocks say their type, and an end says what it closes', () => {
  const bytes = Uint8Array.of(
    2,
    0x40,
    3,
    0x7f,
    4,
    0x85,
    1,
    5,
    11,
    0x1f,
    0x40,
    0,
    11,
    4,
    0x7b,
    11,
    11,
    11,
    11,
  );
  const cursor = new InstructionCursor(bytes);
  cursor.reset(0, bytes.length);
  const seen: [number, number, number][] = [];
  while (cursor.next()) {
    const closes = cursor.op === OP.end || cursor.op === OP.else;
    seen.push([cursor.op, closes ? cursor.imm0 : cursor.blockType, cursor.depth]);
  }
  assert.deepEqual(seen, [
    [OP.block, -64, 1],
    [OP.loop, -1, 2],
    [OP.if, 133, 3],
    [OP.else, OP.if, 3],
    [OP.end, OP.else, 2],
    [OP.try_table, -64, 3],
    [OP.end, OP.try_table, 2],
    [OP.if, -5, 3],
    [OP.end, OP.if, 2],
    [OP.end, OP.loop, 1],
    [OP.end, OP.block, 0],
    [OP.end, BODY, -1],
  ]);
  assert.equal(cursor.next(), false);
  assert.equal(cursor.end, bytes.length);
});

test('a thousand blocks nest', () => {
  const bytes = new Uint8Array(3 * 1000 + 1).fill(OP.end);
  for (let i = 0; i < 1000; i++) bytes.set([i % 2 ? OP.loop : OP.block, 0x40], 2 * i);
  const cursor = new InstructionCursor(bytes);
  cursor.reset(0, bytes.length);
  for (let i = 0; i < 1000; i++) cursor.next();
  assert.equal(cursor.depth, 1000);
  for (let i = 999; i >= 0; i--) {
    cursor.next();
    assert.equal(cursor.imm0, i % 2 ? OP.loop : OP.block);
  }
});

test('blocks that are not nested, not closed or of no known type are refused', () => {
  assertRefused([OP.else, OP.end], 0, /else without if/);
  assertRefused([OP.block, 0x40, OP.else, OP.end, OP.end], 2, /else without if/);
  assertRefused([OP.if, 0x40, OP.else, OP.else, OP.end, OP.end], 3, /else without if/);
  assertRefused([OP.loop, 0x40, OP.end], 3, /before its end/);
  assertRefused([OP.end, OP.nop], 1, /behind its end/);
  assertRefused([OP.block, 0x7a, OP.end, OP.end], 1, /value type/);
  assertRefused([OP.block, 0xbf, 0x7f, OP.end, OP.end], 1, /block type/);
  assertRefused([OP.block, 0x64, 0x70, OP.end, OP.end], 1, /ref/, UnsupportedError);
});

test('br_table gives its labels and the default', () => {
  const cursor = first(OP.br_table, 3, 1, 0, 0x82, 1, 9);
  assert.deepEqual([...cursor.targets.subarray(0, cursor.targetCount)], [1, 0, 130]);
  assert.equal(cursor.imm0, 9);
  const many = new Array(500).fill(0).map((_, i) => i % 100);
  const long = first(OP.br_table, 0xf4, 3, ...many, 7);
  assert.deepEqual([...long.targets.subarray(0, long.targetCount)], many);
  assertRefused([OP.br_table, 9, 0, 0], 1, /9 labels do not fit/);
});

test('try_table gives its clauses', () => {
  const cursor = first(OP.try_table, 0x7f, 3, CATCH, 5, 1, CATCH_REF, 6, 0, CATCH_ALL_REF, 2);
  assert.equal(cursor.blockType, -1);
  assert.deepEqual(cursor.catches.slice(0, cursor.catchCount), [
    { kind: CATCH, tag: 5, label: 1 },
    { kind: CATCH_REF, tag: 6, label: 0 },
    { kind: CATCH_ALL_REF, tag: 0, label: 2 },
  ]);
  assertRefused([OP.try_table, 0x40, 1, 4, 0, OP.end, OP.end], 3, /catch clause/);
});

test('legacy exception handling and typed references are refused by name', () => {
  const refused: [number, RegExp][] = [
    [0x06, /^try /],
    [0x07, /^catch /],
    [0x09, /^rethrow /],
    [0x18, /^delegate /],
    [0x19, /^catch_all /],
    [0x14, /^call_ref /],
    [0xd5, /^br_on_null /],
  ];
  for (const [byte, name] of refused) assertRefused([OP.nop, byte, 0, OP.end], 1, name, UnsupportedError);
});

test('select and ref.null give types', () => {
  assert.deepEqual(first(OP.select_t, 1, I32).selectTypes, [I32]);
  for (const type of [FUNCREF, EXTERNREF, EXNREF]) assert.equal(first(OP.ref_null, type).imm0, type);
  assertRefused([OP.ref_null, 0x7f, OP.end], 1, /malformed/);
  assertRefused([OP.ref_null, 0x6e, OP.end], 1, /anyref/, UnsupportedError);
  assertRefused([OP.ref_null, 0, OP.end], 1, /defined type/, UnsupportedError);
  assertRefused([0xfe, 3, 1, OP.end], 2, /zero byte/);
});

test('an instruction is copied as it is, and written again in its shortest form', () => {
  const cursor = first(OP.i32_const, 0x80, 0x80, 0x80, 0);
  const w = new Writer(16);
  cursor.copyTo(w);
  assert.deepEqual([...w.subarray()], [OP.i32_const, 0x80, 0x80, 0x80, 0]);
  w.clear();
  emitInstruction(w, cursor);
  assert.deepEqual([...w.subarray()], [OP.i32_const, 0]);
});

test('a constant expression ends at its own end', () => {
  const expression = constExpr([
    { op: OP.i32_const, value: 7 },
    { op: OP.f32_const, value: 0xffc0_0001 },
    { op: OP.f64_const, value: 0xfff8_0000_0000_0001n },
    { op: OP.v128_const, value: (0xffff_0000_0000_0001n << 64n) | 3n },
    { op: OP.global_get, value: 300 },
    { op: OP.ref_func, value: 4 },
    { op: OP.ref_null, value: EXTERNREF },
    { op: OP.i64_const, value: -1n },
    { op: OP.i64_mul, value: 0 },
  ]);
  const bytes = Uint8Array.of(1, 2, ...expression.source, 99, 99);
  const r = new Reader(bytes, 2);
  const read = decodeConstExpr(r);
  assert.deepEqual(read.ops, expression.ops);
  assert.equal(r.pos, bytes.length - 2);
  assert.deepEqual([read.start, read.end], [2, bytes.length - 2]);
});

test('going to the next of some instructions finds those that a walk finds', async () => {
  const bytes =
    await wat(`(module (memory 1) (memory 1) (tag $t) (func $f (param i32) (result i64) (local v128)
    (block $b (loop (br_if $b (i32.load offset=70000 (local.get 0)))
      (i32.store 1 offset=300 (local.get 0) (i32.const -70000))
      (local.set 1 (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 32 (local.get 1) (v128.const i64x2 32 32)))
      (try_table (catch $t $b) (drop (call $f (i32.const 32))))
      (br_table 0 1 2 (i32.const 33))))
    (i64.trunc_sat_f64_s (f64.const 32)) (drop (f32.const 1e9)) (drop (i64.const -9223372036854775808))
    (memory.copy 0 1 (i32.const 0) (i32.const 0) (i32.const 0))
    (i64.add (i64.const 32))))`);
  const [code] = decodeModule(bytes).codes;
  const cursor = new InstructionCursor(bytes);
  const all: [op: number, at: number][] = [];
  cursor.reset(code!.start, code!.end);
  while (cursor.next()) all.push([cursor.op, cursor.offset]);
  for (const wanted of new Set(all.map(([op]) => op))) {
    const found: [op: number, at: number][] = [];
    cursor.reset(code!.start, code!.end);
    const table = new Uint8Array(OP_LIMIT);
    table[wanted] = 1;
    while (cursor.nextOf(table)) found.push([cursor.op, cursor.offset]);
    assert.deepEqual(
      found,
      all.filter(([op]) => op === wanted),
    );
  }
  for (let end = code!.start; end < code!.end; end++) {
    cursor.reset(code!.start, end);
    assert.throws(() => {
      while (cursor.nextOf(new Uint8Array(OP_LIMIT))); // steps over what is cut off, and says so
    }, MalformedError);
  }
});
