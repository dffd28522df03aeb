/**
 * `npm run kill [-- --kills N] [--seed S] [--program NAME] [--lives N] [--alone] [--keep FOLDER]`: the long kill test. Programs live in
 * processes that are killed with SIGKILL at random moments and resumed, until so many kills have met a living process;
 * whatever is seen from outside is compared with an undisturbed run on plain V8. One line a program; exit code 1 and
 * the life's folder under FOLDER where something differed. Each life has a seed of its own, which is printed where it
 * failed: `--program NAME --seed THAT --lives 1` lives it again.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { live } from '../conformance/kill-driver.ts';
import { expected, unavailable, VICTIMS, type Victim } from '../conformance/kill-programs.ts';
import { EnvironmentError } from '../src/base/errors.ts';
import { Prng, seedFrom } from '../src/base/prng.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '350' },
    lives: { type: 'string', default: 'Infinity' },
    seed: { type: 'string' },
    program: { type: 'string', multiple: true },
    alone: { type: 'boolean', default: false },
    keep: { type: 'string', default: '.perdure/kill' },
  },
});

interface Tally {
  lives: number;
  failed: number;
  unborn: number;
  readonly kills: Record<'starting' | 'running' | 'writing', number>;
}

const count = ({ kills }: Pick<Tally, 'kills'>): number => kills.starting + kills.running + kills.writing;

async function killProgram(victim: Victim, seed: number, wanted: number, folder: string): Promise<Tally> {
  const undisturbed = await expected(victim, folder);
  const tally: Tally = { lives: 0, failed: 0, unborn: 0, kills: { starting: 0, running: 0, writing: 0 } };
  for (; count(tally) < wanted && tally.lives < Number(values.lives); tally.lives++) {
    const one = (seed + tally.lives) >>> 0;
    const kept = join(values.keep, `${victim.name}-${one}`);
    rmSync(kept, { recursive: true, force: true });
    // Drawn from another sequence than the life's own moments.
    const kills = 3 + new Prng(one ^ 0x5eed).below(12);
    const life = await live(victim, undisturbed, { seed: one, kills, folder: kept, alone: values.alone });
    for (const moment of ['starting', 'running', 'writing'] as const)
      tally.kills[moment] += life.kills[moment];
    tally.unborn += life.unborn;
    if (life.problem === undefined) continue;
    tally.failed++;
    process.stdout.write(`FAILED ${victim.name}, --seed ${one}: ${life.problem}\n  its folder: ${kept}\n`);
  }
  return tally;
}

function summary(name: string, { lives, failed, unborn, kills }: Tally): string {
  const { starting, running, writing } = kills;
  const all = starting + running + writing;
  const when = `${starting} while starting (${unborn} before it was in the space), ${running} while running, ${writing} while writing`;
  return `${name.padEnd(9)} ${all} kills in ${lives} lives: ${when}; ${failed} lives differ\n`;
}

async function main(): Promise<void> {
  const seed = seedFrom(values.seed ?? process.env.PERDURE_SEED, Date.now());
  process.stdout.write(`kill test: PERDURE_SEED=${seed}\n`);
  // Programs in processes of their own make no code.
  const able = VICTIMS.filter(({ compiler }) => !(values.alone && compiler));
  const wanted = able.filter(({ name }) => values.program?.includes(name) ?? true);
  if (wanted.length === 0) throw new EnvironmentError('usage', 'there is no such program');
  mkdirSync(values.keep, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'perdure-kill-'));
  const total: Tally = { lives: 0, failed: 0, unborn: 0, kills: { starting: 0, running: 0, writing: 0 } };
  try {
    for (const victim of wanted) {
      const missing = await unavailable(victim.guest);
      if (missing !== undefined) {
        process.stdout.write(`${victim.name.padEnd(9)} skipped: ${missing}\n`);
        continue;
      }
      const tally = await killProgram(victim, seed, Math.ceil(Number(values.kills) / wanted.length), folder);
      process.stdout.write(summary(victim.name, tally));
      for (const key of ['lives', 'failed', 'unborn'] as const) total[key] += tally[key];
      for (const key of ['starting', 'running', 'writing'] as const) total.kills[key] += tally.kills[key];
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(summary('all', total));
  process.exitCode = total.failed > 0 ? 1 : 0;
}

await main();
