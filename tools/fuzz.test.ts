import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seedFrom } from '../src/base/prng.ts';
import { BROKEN } from './fuzzing/breaks.ts';
import { guard } from './fuzzing/guard.ts';
import { type Found, makeKind } from './fuzzing/kinds.ts';
import { Comparer, callsOf } from './fuzzing/sameness.ts';

// Short forms of `npm run fuzz`, which also replays what is found here.
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
const REGRESSIONS = join(import.meta.dirname, 'fuzzing', 'regressions');

async function tryKind(name: string, cases: number): Promise<void> {
  const kind = await makeKind(name, guard);
  assert.ok(kind);
  for (let n = 0; n < cases; n++) {
    const one = (seed + n) >>> 0;
    const found: Found | null = await kind.run(one);
    assert.equal(found?.problem, undefined, `npm run fuzz -- ${name} --seed ${one} --cases 1`);
  }
  console.log(`${name}, PERDURE_SEED=${seed}: ${kind.summary()}`);
}

test('random programs about memory and loops do what they do on plain V8, suspended anywhere', () =>
  tryKind('edges', 25));

test('programs of Binaryen’s generator do what they do on plain V8, suspended anywhere', () =>
  tryKind('binaryen', 3));

test('bytes that are no module are refused with a place, and what is taken of them does what plain V8 does', () =>
  tryKind('malformed', 250));

test('programs that once went wrong do what they do on plain V8', () => {
  const comparer = new Comparer(guard);
  for (const file of readdirSync(REGRESSIONS).filter((name) => name.endsWith('.wasm'))) {
    const bytes = new Uint8Array(readFileSync(join(REGRESSIONS, file)));
    for (let n = 0; n < 4; n++) assert.equal(comparer.compare(bytes, n, callsOf(bytes)), null, file);
  }
  assert.ok(comparer.tally.calls > 0);
});

test('every rule that broken.ts breaks stands in the verifier, once', () => {
  const folder = join(import.meta.dirname, '..', 'src', 'verifier');
  for (const { name, file, from, to } of BROKEN) {
    const times = readFileSync(join(folder, file), 'utf8').split(from).length - 1;
    assert.equal(times, 1, `tools/fuzzing/breaks.ts, "${name}": ${file} has this ${times} times: ${from}`);
    assert.notEqual(from, to);
  }
});
