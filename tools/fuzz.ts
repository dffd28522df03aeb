/**
 * `npm run fuzz [-- --seconds N] [--cases N] [--seed N] [--keep FOLDER] [--random]`: the verifier's fuzzer for as long as one likes. Mutants
 * of compiled programs and random modules are verified, and whatever is accepted is run among canaries. The seed is
 * printed; the same seed gives the same cases. With --random only random modules, up to the first finding. Exit code 1 and the module in FOLDER when something got through.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { seedFrom } from '../src/base/prng.ts';
import { compile } from '../src/compiler/index.ts';
import { makeArena } from './fuzzing/guard.ts';
import { programs } from './fuzzing/programs.ts';
import { type Finding, noCounts, Target, tryGenerated, tryMutant } from './fuzzing/run.ts';

const BUILT = join(dirname(dirname(fileURLToPath(import.meta.url))), 'guests', 'built');
/** Programs larger than this make slow mutants. */
const SMALL = 100_000;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    cases: { type: 'string', default: 'Infinity' },
    random: { type: 'boolean', default: false },
    seed: { type: 'string' },
    keep: { type: 'string', default: '.perdure/fuzz' },
  },
});
const seed = seedFrom(values.seed, Date.now());
console.log(`verifier fuzz: PERDURE_SEED=${seed}, ${values.seconds} s`);

const targets = values.random ? [] : [...(await programs()), ...guests()].map((made) => new Target(made));
console.log(`mutants of ${targets.map(({ name }) => name).join(', ')}; random modules`);
const arena = makeArena();
const counts = noCounts();
const probes = noCounts();
const findings: Finding[] = [];
const end = Date.now() + Number(values.seconds) * 1000;
const most = values.random ? 1 : 10;
for (let n = 0; n < Number(values.cases) && Date.now() < end && findings.length < most; n++) {
  const one = (seed + n) >>> 0;
  const found =
    targets.length === 0 || n % 2 === 0
      ? tryGenerated(arena, one, counts)
      : tryMutant(targets[(n >>> 1) % targets.length]!, arena, one, counts);
  if (n % 40 === 0 && !values.random) tryGenerated(arena, one, probes, true);
  if (found) report(found);
  if (n % 500 === 499) console.log(summary());
}
console.log(summary());
process.exitCode = findings.length > 0 ? 1 : 0;

function guests(): { name: string; bytes: Uint8Array<ArrayBuffer> }[] {
  if (!existsSync(BUILT)) return [];
  return readdirSync(BUILT)
    .filter((file) => file.endsWith('.wasm'))
    .map((file) => ({ name: file, source: new Uint8Array(readFileSync(join(BUILT, file))) }))
    .filter(({ source }) => source.length < SMALL)
    .map(({ name, source }) => ({ name, bytes: compile(source).bytes }));
}

function report(found: Finding): void {
  findings.push(found);
  mkdirSync(values.keep, { recursive: true });
  const file = join(values.keep, `${found.name}-${found.seed}.wasm`);
  writeFileSync(file, found.bytes);
  console.log(`GOT THROUGH: ${found.problem}\n  ${found.name}, seed ${found.seed}: ${found.what}\n  ${file}`);
}

function summary(): string {
  const { mutants, refused, refusedValid, invalid, run, calls, traps, stopped } = counts;
  return (
    `${mutants} cases: ${refused} refused (${refusedValid} of them V8 would run), ${invalid} refused by V8 alone, ` +
    `${run} run with ${calls} calls (${traps} traps, ${stopped} stopped); ${findings.length} got through. ` +
    `Of ${probes.probed} refused and run all the same, ${probes.probedEscapes} escaped.`
  );
}
