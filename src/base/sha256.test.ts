import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Prng, seedFrom } from './prng.ts';
import { sha256 } from './sha256.ts';

test('gives what the host gives, for every length around the ends of a block', () => {
  const random = new Prng(seedFrom(process.env.PERDURE_SEED, 1));
  for (let length = 0; length < 200; length++) {
    const message = Uint8Array.from({ length }, () => random.u32());
    assert.deepEqual(
      Buffer.from(sha256(message)),
      createHash('sha256').update(message).digest(),
      `${length}`,
    );
  }
});
