import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MalformedError } from '../base/errors.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { bigintOf, Reader } from './reader.ts';
import { Writer } from './writer.ts';

type Method = 'u32' | 's32' | 's33' | 'u64' | 's64';
const METHODS: readonly Method[] = ['u32', 's32', 's33', 'u64', 's64'];

function write(method: Method, value: bigint): Uint8Array {
  const w = new Writer(16);
  if (method === 'u64' || method === 's64') w[method](value);
  else w[method](Number(value));
  return w.toBytes();
}

/** LEB128 as its definition says, by bigints and without limits; undefined where the bytes do not end. */
function reference(bytes: Uint8Array, signed: boolean): { value: bigint; length: number } | undefined {
  let value = 0n;
  for (let i = 0; i < bytes.length; i++) {
    value |= BigInt(bytes[i]! & 0x7f) << BigInt(7 * i);
    if (bytes[i]! < 0x80) {
      const bits = BigInt(7 * (i + 1));
      return { value: signed ? BigInt.asIntN(Number(bits), value) : value, length: i + 1 };
    }
  }
  return undefined;
}

const BITS: Readonly<Record<Method, number>> = { u32: 32, s32: 32, s33: 33, u64: 64, s64: 64 };

/** What the specification says: the value, or undefined for a malformed integer. */
function expected(method: Method, bytes: Uint8Array): { value: bigint; length: number } | undefined {
  const bits = BITS[method];
  const signed = method.startsWith('s');
  const found = reference(bytes, signed);
  if (found === undefined || found.length > Math.ceil(bits / 7)) return undefined;
  const fits = signed
    ? BigInt.asIntN(bits, found.value) === found.value
    : BigInt.asUintN(bits, found.value) === found.value;
  return fits ? found : undefined;
}

test('integers read as the specification says, in every length and with every last byte', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  let refused = 0;
  for (let round = 0; round < 40_000; round++) {
    const bytes = new Uint8Array(1 + random.below(11));
    const filler = random.pick([0x80, 0xff, -1]);
    for (let i = 0; i < bytes.length; i++) bytes[i] = filler < 0 ? random.u32() | 0x80 : filler;
    if (random.chance(0.9)) bytes[bytes.length - 1] = random.below(128);
    for (const method of METHODS) {
      const want = expected(method, bytes);
      const r = new Reader(bytes);
      if (want === undefined) {
        refused++;
        assert.throws(
          () => r[method](),
          MalformedError,
          `${method} of ${Buffer.from(bytes).toString('hex')}`,
        );
      } else {
        assert.equal(BigInt(r[method]()), want.value, `${method} of ${Buffer.from(bytes).toString('hex')}`);
        assert.equal(r.pos, want.length);
      }
    }
  }
  assert.ok(refused > 1000);
});

test('integers are written in their shortest form and read back', () => {
  for (const method of METHODS) {
    const bits = BigInt(BITS[method]);
    for (let shift = 0n; shift <= bits; shift++) {
      for (const near of [-2n, -1n, 0n, 1n, 2n]) {
        for (const sign of [1n, -1n]) {
          const value = sign * (1n << shift) + near;
          const wrapped = method.startsWith('s')
            ? BigInt.asIntN(Number(bits), value)
            : BigInt.asUintN(Number(bits), value);
          if (wrapped !== value) continue;
          const bytes = write(method, value);
          assert.deepEqual(expected(method, bytes), { value, length: bytes.length }, `${method} ${value}`);
          const shorter = bytes.slice(0, -1);
          if (shorter.length > 0) {
            shorter[shorter.length - 1]! &= 0x7f;
            assert.notEqual(expected(method, shorter)?.value, value, `${method} ${value} has a shorter form`);
          }
        }
      }
    }
  }
});

test('numbers and halves write what bigints write', () => {
  for (const value of [0, 1, 127, 128, 0xffff_ffff, 0x1_0000_0000, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER]) {
    const w = new Writer(16);
    w.u64(value);
    assert.deepEqual(w.toBytes(), write('u64', BigInt(value)));
    w.clear();
    w.s64(value);
    assert.deepEqual(w.toBytes(), write('s64', BigInt(value)));
    w.clear();
    w.s64(-value);
    assert.deepEqual(w.toBytes(), write('s64', BigInt(-value)));
    w.clear();
    w.s64parts(Number(BigInt.asIntN(32, BigInt(value))), Math.floor(value / 2 ** 32));
    assert.deepEqual(w.toBytes(), write('s64', BigInt(value)));
  }
});

test('floats keep their bits', () => {
  const w = new Writer(16);
  w.f32bits(0x7fa0_0001);
  w.f32bits(0xffff_ffff);
  w.f64bits(0x7ff4_0000_0000_0001n);
  const r = new Reader(w.subarray());
  assert.equal(r.f32bits(), 0x7fa0_0001);
  assert.equal(r.f32bits(), 0xffff_ffff);
  assert.equal(r.f64bits(), 0x7ff4_0000_0000_0001n);
  assert.throws(() => r.f32bits(), { offset: 16, message: /unexpected end/ });
  assert.equal(bigintOf(-1, 0x7fff_ffff, true), 2n ** 63n - 1n);
});

test('a reader stops at its end, not at the end of the bytes', () => {
  const r = new Reader(Uint8Array.of(0x80, 0x80, 1, 5), 0, 2);
  assert.throws(() => r.u32(), { offset: 2, message: /unexpected end/ });
  assert.throws(() => r.take(3), { offset: 0, message: /unexpected end/ });
  r.pos = 2;
  assert.throws(() => r.u8(), { offset: 2 });
  assert.throws(() => r.u32(), { offset: 2 });
});

test('names are exactly UTF-8', () => {
  const w = new Writer(16);
  w.name('naïve \u{1f600}\0\ufeff');
  assert.equal(new Reader(w.subarray()).name(), 'naïve \u{1f600}\0\ufeff');
  for (const bad of [[0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
    assert.throws(() => new Reader(Uint8Array.of(bad.length, ...bad)).name(), {
      offset: 1,
      message: /UTF-8/,
    });
  }
});

test('lengths nest, in shortest form or in five bytes', () => {
  const w = new Writer(16);
  w.u8(9);
  const outer = w.beginSize();
  const inner = w.beginSize();
  w.raw(new Uint8Array(200).fill(7));
  assert.equal(w.endSize(inner), 3);
  w.u8(8);
  assert.equal(w.endSize(outer), 3);
  const padded = w.beginSize();
  w.raw(Uint8Array.of(1, 2, 3));
  w.endPaddedSize(padded);
  const r = new Reader(w.subarray());
  assert.equal(r.u8(), 9);
  assert.equal(r.u32(), 203);
  assert.equal(r.u32(), 200);
  assert.deepEqual([...r.take(200)], new Array(200).fill(7));
  assert.equal(r.u8(), 8);
  assert.equal(r.u32(), 3);
  assert.equal(r.pos, w.length - 3);
  assert.deepEqual([...r.take(3)], [1, 2, 3]);
});

test('ranges are copied whole, short and long', () => {
  const source = Uint8Array.from({ length: 100 }, (_, i) => i);
  for (const length of [0, 1, 24, 25, 90]) {
    const w = new Writer(16);
    w.u8(255);
    w.rawRange(source, 5, 5 + length);
    assert.deepEqual([...w.subarray()], [255, ...source.subarray(5, 5 + length)]);
  }
});
