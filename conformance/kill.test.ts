/** The short kill test; `node tools/kill.ts` is the long one. A few lives of each program, some tens of kills in all. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { seedFrom } from '../src/base/prng.ts';
import { type Life, live } from './kill-driver.ts';
import { expected, unavailable, VICTIMS } from './kill-programs.ts';

/** Kills for each program, at least. */
const KILLS = 4;

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);
const root = mkdtempSync(join(tmpdir(), 'perdure-kill-'));
after(() => rmSync(root, { recursive: true, force: true }));

const killsOf = ({ kills }: Life): number => kills.starting + kills.running + kills.writing;

// Workers are killed in cli/workers.test.ts.
for (const victim of VICTIMS.filter(({ name }) => name !== 'workers')) {
  test(`${victim.name}, killed again and again, is from outside one run on plain V8`, async (t) => {
    const missing = await unavailable(victim.guest);
    if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
    const undisturbed = await expected(victim, root);
    let met = 0;
    // A life may end before its kills are used up; then there is another.
    for (let lives = 0; met < KILLS; lives++) {
      assert.ok(lives < 100, 'processes can be killed before they end');
      const folder = join(root, `${victim.name}-${lives}`);
      const life = await live(victim, undisturbed, {
        seed: (seed + lives) >>> 0,
        kills: KILLS - met,
        folder,
      });
      assert.equal(life.problem, undefined, `life ${lives}: --program ${victim.name} --seed ${seed + lives}`);
      met += killsOf(life);
    }
  });
}

for (const victim of VICTIMS.filter(({ name }) => ['lines', 'deep', 'flite-host'].includes(name))) {
  test(`${victim.name} in a process of its own, both killed again and again, is one run on plain V8`, async (t) => {
    const missing = await unavailable(victim.guest);
    if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
    const undisturbed = await expected(victim, root);
    const folder = join(root, `${victim.name}-alone`);
    const life = await live(victim, undisturbed, { seed, kills: 2, folder, alone: true });
    assert.equal(life.problem, undefined, `--alone --program ${victim.name} --seed ${seed} --lives 1`);
  });
}

test('a life that is not that of an undisturbed run is told from it', async (t) => {
  const victim = VICTIMS.find(({ name }) => name === 'lines')!;
  const missing = await unavailable(victim.guest);
  if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
  const short = { ...victim, arguments: ['20'] };
  const undisturbed = await expected(short, root);
  const judge = async (other: Partial<typeof undisturbed>) => {
    const folder = join(root, 'other');
    const { problem } = await live(short, { ...undisturbed, ...other }, { seed, kills: 0, folder });
    rmSync(folder, { recursive: true, force: true });
    return problem ?? '';
  };
  assert.equal(await judge({}), '');
  const { output } = undisturbed;
  assert.match(await judge({ output: Buffer.concat([output, output.subarray(0, 10)]) }), /output differs/);
  assert.match(await judge({ output: output.subarray(0, -1) }), /output differs/);
  assert.match(await judge({ code: 3 }), /exit code 0, not 3/);
  assert.match(await judge({ files: new Map([['/x', Buffer.from('x')]]) }), /no file|no files/);
});
