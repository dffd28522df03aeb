import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../src/base/prng.ts';
import { f32Bits, f64Bits, integerBits, isNan } from './numbers.ts';

const view = new DataView(new ArrayBuffer(8));
function bits64(n: number): bigint {
  view.setFloat64(0, n);
  return view.getBigUint64(0);
}
function bits32(n: number): bigint {
  view.setFloat32(0, n);
  return BigInt(view.getUint32(0));
}

test('integers wrap to their width', () => {
  assert.equal(integerBits('-1', 32), 0xffff_ffffn);
  assert.equal(integerBits('0xffff_ffff', 32), 0xffff_ffffn);
  assert.equal(integerBits('-0x8000_0000_0000_0000', 64), 1n << 63n);
});

test('a decimal double is what JavaScript reads', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  for (let i = 0; i < 2000; i++) {
    view.setUint32(0, random.u32());
    view.setUint32(4, random.u32());
    const n = view.getFloat64(0);
    if (!Number.isFinite(n)) continue;
    assert.equal(f64Bits(String(n)), bits64(n), String(n));
  }
  for (const n of [0, 5e-324, 2.2250738585072014e-308, Number.MAX_VALUE])
    assert.equal(f64Bits(`-${n}`), bits64(-n));
});

test('a decimal float is rounded once', () => {
  // halfway between two floats but for a digit a double cannot hold: rounding by way of a double goes wrong
  assert.equal(f32Bits('1.00000005960464477539062501'), bits32(1 + 2 ** -23));
  assert.equal(f32Bits('1.000000059604644775390625'), bits32(1));
  assert.equal(f32Bits('0x1p-149'), 1n);
  assert.equal(f32Bits('0x1p-150'), 0n);
  assert.equal(f32Bits('0x1.fffffep127'), 0x7f7fffffn);
  assert.equal(f32Bits('3.5e38'), 0x7f800000n);
});

test('NaN patterns tell canonical from arithmetic', () => {
  assert.equal(f32Bits('-nan:0x200000'), 0xffa00000n);
  assert.ok(isNan(0xffc00000n, 32, 'canonical'));
  assert.ok(!isNan(0x7fc00001n, 32, 'canonical'));
  assert.ok(isNan(0x7fc00001n, 32, 'arithmetic'));
  assert.ok(!isNan(0x7fa00000n, 32, 'arithmetic'));
});
