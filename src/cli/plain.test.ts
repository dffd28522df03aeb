import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MalformedError } from '../base/errors.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { decodePlain, encodePlain } from './plain.ts';

const encode = (value: unknown) => new Uint8Array(Buffer.concat([...encodePlain(value)]));

const SAMPLE = {
  name: 'dömain',
  none: null,
  flags: [true, false],
  numbers: [0, -0, 1.5, 2 ** 40, Number.POSITIVE_INFINITY, Number.NaN],
  big: [0n, 1n, -1n, 2n ** 64n - 1n, -(2n ** 63n)],
  bytes: Uint8Array.of(1, 2, 3),
  table: Int32Array.of(-1, 7),
  deep: [{ a: [{ b: 'c' }] }],
};

test('plain data comes back as it was', () => {
  assert.deepEqual(decodePlain(encode(SAMPLE)), SAMPLE);
  assert.equal(decodePlain(encode(undefined)), null);
});

test('every cut and every changed byte is refused or is plain data again, and nothing else happens', () => {
  const prng = new Prng(seedFrom(process.env.PERDURE_SEED, Date.now()));
  const bytes = encode(SAMPLE);
  for (let end = 0; end < bytes.length; end++) {
    assert.throws(() => decodePlain(bytes.subarray(0, end)), MalformedError, `cut at ${end}`);
  }
  for (let round = 0; round < 3000; round++) {
    const mutant = bytes.slice();
    for (let count = 1 + prng.below(3); count > 0; count--)
      mutant[prng.below(mutant.length)] = prng.below(256);
    try {
      decodePlain(mutant);
    } catch (error) {
      assert(error instanceof MalformedError, `seed ${prng.seed}: ${error}`);
    }
  }
});

test('a count cannot promise more than there is, nesting is bounded, and no name reaches a prototype', () => {
  const hostile = [
    Uint8Array.of(0x61, 255, 255, 255, 255),
    Uint8Array.from(Array.from({ length: 500 }, () => [0x61, 1, 0, 0, 0]).flat()),
    new Uint8Array(Buffer.concat([Buffer.of(0x6f, 1, 0, 0, 0, 9, 0, 0, 0), Buffer.from('__proto__n')])),
    Uint8Array.of(0x69, 1, 0, 0, 0, 0),
    Uint8Array.of(0x6e, 0x6e),
    Uint8Array.of(0x73, 1, 0, 0, 0, 0xff),
  ];
  for (const bytes of hostile) assert.throws(() => decodePlain(bytes), MalformedError);
});
