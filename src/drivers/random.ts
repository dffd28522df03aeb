/**
 * Randomness as a port: the host's, fit for keys; and a seeded one, which is not, for tests and replays. What a program
 * drew after its last checkpoint is drawn anew after a crash: nobody outside has seen it.
 */
import { randomFillSync } from 'node:crypto';
import { Prng } from '../base/prng.ts';
import type { Random } from '../kernel/ports.ts';

const POOL_BYTES = 4096;

export function hostRandom(): Random {
  const pool = new Uint8Array(POOL_BYTES);
  let left = 0;
  const take = (into: Uint8Array): void => {
    if (left < into.length) {
      randomFillSync(pool);
      left = POOL_BYTES;
    }
    const from = POOL_BYTES - left;
    into.set(pool.subarray(from, from + into.length));
    pool.fill(0, from, from + into.length);
    left -= into.length;
  };
  return {
    fill: (into) => {
      for (let at = 0; at < into.length; at += POOL_BYTES) take(into.subarray(at, at + POOL_BYTES));
    },
  };
}

/** The same bytes for the same seed. Never for anything secret. */
export function seededRandom(seed: number): Random {
  const random = new Prng(seed);
  return {
    fill: (into) => {
      for (let at = 0; at < into.length; at++) into[at] = random.u32();
    },
  };
}
