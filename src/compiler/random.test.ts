import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { wat } from '../wasm/wat.testing.ts';
import { randomProgram } from './generate.testing.ts';
import { type Call, sameBytes } from './same.testing.ts';

const ROUNDS = Number(process.env.PERDURE_ROUNDS ?? 100);

test('random programs do what they do on plain V8, rewritten and unwound everywhere', async () => {
  const first = seedFrom(process.env.PERDURE_SEED, Date.now());
  let unwinds = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const seed = (first + round) >>> 0;
    const random = new Prng(seed);
    const { text, functions } = randomProgram(random);
    const calls: Call[] = [];
    for (let n = 0; n < 3; n++) {
      calls.push(['fuel'], [`f${random.below(functions)}`, random.below(70000), BigInt(random.below(1000))]);
    }
    try {
      const bytes = await wat(text);
      unwinds += sameBytes(bytes, calls, () => ({ m: { id: (x: number) => x } })).always.unwinds;
    } catch (error) {
      console.log(`PERDURE_SEED=${seed} PERDURE_ROUNDS=1 replays this`);
      throw error;
    }
  }
  assert.ok(ROUNDS < 50 || unwinds > ROUNDS, `${unwinds} unwinds`);
});
