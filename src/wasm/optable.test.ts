import assert from 'node:assert/strict';
import { test } from 'node:test';
import wabt from 'wabt';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { InstructionCursor } from './instructions.ts';
import { decodeModule, emptyModule, encodeModule } from './module.ts';
import { OP, OP_LIMIT, PREFIX_FC, PREFIX_FD, PREFIX_FE } from './opcodes.ts';
import {
  ACCESS_ATOMIC_LOAD,
  ACCESS_NONE,
  ADDRESS,
  IMM_F32,
  IMM_F64,
  IMM_FENCE,
  IMM_I32,
  IMM_I64,
  IMM_INDEX,
  IMM_INDEX2,
  IMM_LANE,
  IMM_MEMARG,
  IMM_MEMARG_LANE,
  IMM_NONE,
  IMM_UNKNOWN,
  IMM_V128,
  OP_ACCESS,
  OP_ACCESS_BYTES,
  OP_ALIGN,
  OP_IMMEDIATE,
  OP_NAME,
  OP_POPS,
  OP_PUSHES,
  opName,
  writeOp,
} from './optable.ts';
import { FUNCREF, I32, I64, type ValueType, valueTypeName } from './types.ts';
import { Writer } from './writer.ts';

const EMPTY = { source: new Uint8Array(0), start: 0, end: 0 };

/** A module with one function that applies `body` to its parameters; memory 0 is 32-bit, memory 1 64-bit. */
function moduleOf(
  params: readonly ValueType[],
  results: readonly ValueType[],
  body: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const w = new Writer();
  for (let i = 0; i < params.length; i++) {
    w.u8(OP.local_get);
    w.u32(i);
  }
  w.raw(body);
  w.u8(OP.end);
  const module = emptyModule();
  module.types = [{ params, results }];
  module.functions = [0];
  module.memories = [
    { min: 1n, max: 1n, shared: false, is64: false },
    { min: 1n, max: 1n, shared: false, is64: true },
  ];
  module.exports = [{ name: 'f', kind: 'func', index: 0 }];
  module.elements = [
    { mode: 'passive', table: 0, offset: undefined, type: FUNCREF, functions: [0], expressions: undefined },
  ];
  module.dataCount = 1;
  module.datas = [{ mode: 'passive', memory: 0, offset: undefined, ...EMPTY }];
  module.codes = [{ locals: [], source: w.bytes, start: 0, end: w.length }];
  return encodeModule(module);
}

interface Choice {
  align: number;
  lane: number;
  memory: number;
}

function bodyOf(op: number, choice: Choice): Uint8Array {
  const w = new Writer();
  writeOp(w, op);
  switch (OP_IMMEDIATE[op]) {
    case IMM_NONE:
      break;
    case IMM_INDEX:
      w.u32(op === OP.memory_size || op === OP.memory_grow || op === OP.memory_fill ? choice.memory : 0);
      break;
    case IMM_INDEX2:
      w.u32(0);
      w.u32(choice.memory);
      break;
    case IMM_I32:
    case IMM_I64:
    case IMM_FENCE:
      w.u8(0);
      break;
    case IMM_F32:
      w.f32bits(0);
      break;
    case IMM_F64:
      w.f64bits(0n);
      break;
    case IMM_V128:
      w.raw(new Uint8Array(16));
      break;
    case IMM_LANE:
      w.u8(choice.lane);
      break;
    case IMM_MEMARG:
    case IMM_MEMARG_LANE:
      w.u32(choice.align | 0x40);
      w.u32(choice.memory);
      w.u64(0);
      if (OP_IMMEDIATE[op] === IMM_MEMARG_LANE) w.u8(choice.lane);
      break;
    default:
      assert.fail(`${OP_NAME[op]} has a signature but immediates this test does not know`);
  }
  return w.toBytes();
}

function valid(op: number, choice: Partial<Choice>): boolean {
  const all = { align: OP_ALIGN[op]!, lane: 0, memory: 0, ...choice };
  const address = all.memory === 0 ? I32 : I64;
  const concrete = (types: readonly ValueType[]): ValueType[] =>
    types.map((type) => (type === ADDRESS ? address : type));
  const bytes = moduleOf(concrete(OP_POPS[op]!), concrete(OP_PUSHES[op]!), bodyOf(op, all));
  return WebAssembly.validate(bytes);
}

const FIXED = [...Array(OP_LIMIT).keys()].filter((op) => OP_POPS[op] !== null);

test('V8 agrees with the operands and results of every instruction that has fixed ones', () => {
  assert.ok(FIXED.length > 450, `${FIXED.length} instructions`);
  for (const op of FIXED) assert.ok(valid(op, {}), opName(op));
});

test('V8 agrees that ADDRESS is i64 where the memory is 64-bit', () => {
  const addressed = FIXED.filter((op) => OP_POPS[op]!.includes(ADDRESS) || OP_PUSHES[op]!.includes(ADDRESS));
  assert.ok(addressed.length > 100);
  for (const op of addressed) assert.ok(valid(op, { memory: 1 }), opName(op));
});

test('V8 agrees with the natural alignment of every access', () => {
  const accesses = FIXED.filter((op) => OP_ACCESS[op] !== ACCESS_NONE);
  for (const op of accesses) {
    const align = OP_ALIGN[op]!;
    assert.equal(1 << align, OP_ACCESS_BYTES[op]);
    assert.ok(!valid(op, { align: align + 1 }), `${OP_NAME[op]} with a larger alignment`);
    const atomic = OP_ACCESS[op]! >= ACCESS_ATOMIC_LOAD;
    if (align > 0)
      assert.equal(valid(op, { align: align - 1 }), !atomic, `${OP_NAME[op]} with a smaller one`);
  }
});

test('V8 agrees with the lanes that an access to one lane has', () => {
  for (const op of FIXED.filter((op) => OP_IMMEDIATE[op] === IMM_MEMARG_LANE)) {
    const lanes = 16 / OP_ACCESS_BYTES[op]!;
    assert.ok(valid(op, { lane: lanes - 1 }), opName(op));
    assert.ok(!valid(op, { lane: lanes }), opName(op));
  }
});

test('names are those of the text format', async () => {
  const tools = await wabt();
  const features = { simd: true, relaxed_simd: true, threads: true, memory64: true };
  for (const op of FIXED) {
    const name = OP_NAME[op]!;
    const types = (list: readonly ValueType[]) =>
      list.map((t) => valueTypeName(t === ADDRESS ? I32 : t)).join(' ');
    const gets = OP_POPS[op]!.map((_, i) => `local.get ${i}`).join(' ');
    const text = `(module (memory 1) (data "x") (elem func 0)
      (func (param ${types(OP_POPS[op]!)}) (result ${types(OP_PUSHES[op]!)}) ${gets} ${name} ${textImmediates(op)}))`;
    const parsed = tools.parseWat('t.wat', text, features);
    const { buffer } = parsed.toBinary({});
    parsed.destroy();
    const code = decodeModule(buffer).codes[0]!;
    const cursor = new InstructionCursor(buffer);
    cursor.reset(code.start, code.end);
    for (let i = 0; i <= OP_POPS[op]!.length; i++) assert.ok(cursor.next());
    assert.equal(cursor.op, op, name);
  }
});

function textImmediates(op: number): string {
  switch (OP_IMMEDIATE[op]) {
    case IMM_INDEX:
    case IMM_INDEX2:
      return op === OP.memory_size || op === OP.memory_grow || op === OP.memory_fill ? '' : '0';
    case IMM_I32:
    case IMM_I64:
    case IMM_F32:
    case IMM_F64:
    case IMM_LANE:
    case IMM_MEMARG_LANE:
      return '0';
    case IMM_V128:
      return op === OP.v128_const ? 'i32x4 0 0 0 0' : '0 '.repeat(16);
    default:
      return '';
  }
}

test('a number without an instruction is refused, and as unsupported where V8 knows it', () => {
  for (let op = 0; op < OP_LIMIT; op++) {
    if (OP_IMMEDIATE[op] !== IMM_UNKNOWN || (op >= 0xfb && op <= 0xfe)) continue;
    if (op >= PREFIX_FD && op < PREFIX_FE && op - PREFIX_FD >= 0x200) continue;
    const w = new Writer();
    writeOp(w, op);
    w.raw(new Uint8Array(24));
    const bytes = moduleOf([], [], w.toBytes());
    const code = decodeModule(bytes).codes[0]!;
    const cursor = new InstructionCursor(bytes);
    cursor.reset(code.start, code.end);
    let refused: unknown;
    try {
      cursor.next();
    } catch (error) {
      refused = error;
    }
    assert.ok(refused instanceof MalformedError, `number 0x${op.toString(16)}`);
    assert.equal(refused.offset, code.start);
    assert.equal(refused instanceof UnsupportedError, isKnownToV8(bytes), `number 0x${op.toString(16)}`);
  }
  assert.equal(OP_IMMEDIATE[PREFIX_FC + 0x12], IMM_UNKNOWN);
});

test('instructions of garbage collection are refused by name', () => {
  for (let n = 0; n < 40; n++) {
    const bytes = moduleOf([], [], Uint8Array.of(0xfb, n, 0, 0, 0, 0));
    const code = decodeModule(bytes).codes[0]!;
    const cursor = new InstructionCursor(bytes);
    cursor.reset(code.start, code.end);
    assert.throws(
      () => cursor.next(),
      (error) =>
        error instanceof UnsupportedError === n <= 30 && /0xfb|unsupported|illegal/.test(String(error)),
    );
  }
});

function isKnownToV8(bytes: Uint8Array<ArrayBuffer>): boolean {
  try {
    new WebAssembly.Module(bytes);
    return true;
  } catch (error) {
    return !/invalid( numeric| simd| atomic| gc)? ?opcode/i.test(String(error));
  }
}
