import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContinuedHunt } from '../../tools/fuzzing/continued.ts';
import { Hunt } from '../../tools/fuzzing/hunt.ts';
import { MalformedError } from '../base/errors.ts';
import { seedFrom } from '../base/prng.ts';
import { ESCAPES } from './escapes.testing.ts';
import { verify } from './verify.ts';

// The short form of `npm run fuzz -- mutants random`, which replays what is found here.
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

async function hunt(name: 'mutants' | 'random', cases: number): Promise<Hunt> {
  const one = await Hunt.make(name);
  for (let i = 0; i < cases; i++) {
    const at = (seed + i) >>> 0;
    const found = await one.run(at);
    assert.equal(found?.problem, undefined, `npm run fuzz -- ${name} --seed ${at} --cases 1`);
  }
  console.log(`${name}, PERDURE_SEED=${seed}: ${one.summary()}`);
  return one;
}

test('no accepted mutant of a program touches a byte outside its domain', async () => {
  const { counts } = await hunt('mutants', 4000);
  assert.ok(counts.refused > 400 && counts.run > 400 && counts.calls > 4000, JSON.stringify(counts));
});

test('no accepted mutant of a continuation touches a byte outside its domain', async () => {
  const one = await ContinuedHunt.make();
  for (let i = 0; i < 2000; i++) {
    const at = (seed + i) >>> 0;
    const found = await one.run(at);
    assert.equal(found?.problem, undefined, `npm run fuzz -- continuations --seed ${at} --cases 1`);
  }
  console.log(`continuations, PERDURE_SEED=${seed}: ${one.summary()}`);
  assert.ok(one.counts.refused > 100 && one.counts.run > 100, one.summary());
});

test('no random module that the verifier lets pass touches a byte outside its domain', async () => {
  const { counts } = await hunt('random', 60);
  assert.ok(counts.run === 60 && counts.calls > 500, JSON.stringify(counts));
});

test('the oracle sees: of random modules that the verifier refuses, many do escape when run', async () => {
  const one = await Hunt.make('random');
  let escapes = 0;
  for (let i = 0; i < 40; i++) if (one.unrepaired((seed + i) >>> 0)) escapes++;
  console.log(`${escapes} of 40 escape, PERDURE_SEED=${seed}`);
  assert.ok(escapes >= 5, `${escapes} of 40, PERDURE_SEED=${seed}`);
});

test('modules that the verifier once let escape are refused', () => {
  for (const [name, make] of Object.entries(ESCAPES)) {
    const bytes = make();
    assert.ok(WebAssembly.validate(bytes), `V8 would run ${name}`);
    assert.throws(
      () => verify(bytes),
      (error) => error instanceof MalformedError && error.offset > 0 && !error.message.startsWith('evidence'),
      name,
    );
  }
});
