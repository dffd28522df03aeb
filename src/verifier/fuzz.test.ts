import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeArena } from '../../tools/fuzzing/guard.ts';
import { programs } from '../../tools/fuzzing/programs.ts';
import {
  type Counts,
  type Finding,
  noCounts,
  Target,
  tryGenerated,
  tryMutant,
} from '../../tools/fuzzing/run.ts';
import { seedFrom } from '../base/prng.ts';

// The short form of `npm run fuzz`. Everything is replayed from the seed that is printed.
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);
const arena = makeArena();

function none(found: Finding | null): void {
  if (found) assert.fail(`seed ${found.seed}, ${found.name}: ${found.what}: ${found.problem}`);
}
const line = (what: string, c: Counts): void =>
  console.log(
    `${what}: ${c.mutants} cases, ${c.refused} refused, ${c.run} run, ${c.calls} calls, ${c.stopped} stopped`,
  );

test('no accepted mutant of a compiled program touches a byte outside its domain', async () => {
  const targets = (await programs()).map((made) => new Target(made));
  const counts = noCounts();
  for (let i = 0; i < 300; i++)
    none(tryMutant(targets[i % targets.length]!, arena, (seed + i) >>> 0, counts));
  line('mutants', counts);
  assert.ok(counts.refused > 50 && counts.run > 20 && counts.calls > 100, JSON.stringify(counts));
});

test('no random module that the verifier lets pass touches a byte outside its domain', () => {
  const counts = noCounts();
  for (let i = 0; i < 80; i++) none(tryGenerated(arena, (seed + i) >>> 0, counts));
  line('random modules', counts);
  assert.ok(counts.run === 80 && counts.calls > 1000, JSON.stringify(counts));
});

test('the oracle sees: of random modules that the verifier refuses, many do escape when run', () => {
  const counts = noCounts();
  for (let i = 0; i < 40; i++) tryGenerated(arena, (seed + i) >>> 0, counts, true);
  console.log(`${counts.probedEscapes} of ${counts.probed} refused modules escape`);
  assert.ok(counts.probedEscapes >= 5, JSON.stringify(counts));
});
