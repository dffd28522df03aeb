/**
 * `npm run fuzz [-- KIND…] [--seconds N] [--cases N] [--seed N] [--keep FOLDER]`: random attacks for as long as one likes.
 * The kinds (all without any named, in turn) are those of `fuzzing/kinds.ts`. The seed is printed; case i of a kind has
 * the seed plus i, so `KIND --seed N --cases 1` replays one. What is found is written to FOLDER, made smaller where that
 * can be done, and makes the exit code 1; after `--most` finds (10) it stops.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { seedFrom } from '../src/base/prng.ts';
import { guard } from './fuzzing/guard.ts';
import { type Found, KINDS, type Kind, makeKind } from './fuzzing/kinds.ts';

/** How long one kind runs before it is the next one's turn, and how often a line is printed, in milliseconds. */
const TURN_MS = 2000;
const REPORT_MS = 30_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '300' },
    cases: { type: 'string', default: 'Infinity' },
    seed: { type: 'string' },
    keep: { type: 'string', default: '.perdure/fuzz' },
    most: { type: 'string', default: '10' },
  },
});
const seed = seedFrom(values.seed, Date.now());
const cases = Number(values.cases);
const end = Date.now() + Number(values.seconds) * 1000;
const kinds: Kind[] = [];
for (const name of positionals.length > 0 ? positionals : KINDS) {
  const kind = await makeKind(name, guard);
  if (kind === undefined) {
    console.log(`fuzz: there is no kind "${name}"; there are: ${KINDS.join(', ')}`);
    process.exit(2);
  }
  kinds.push(kind);
}
console.log(`fuzz: --seed ${seed}, ${kinds.map(({ name }) => name).join(', ')}`);

let findings = 0;
let reported = Date.now();
const next = new Map(kinds.map((kind) => [kind, 0]));
const open = (): boolean => Date.now() < end && findings < Number(values.most);
while (open() && kinds.some((kind) => next.get(kind)! < cases)) {
  for (const kind of kinds) await turn(kind);
  if (Date.now() - reported < REPORT_MS) continue;
  report();
  reported = Date.now();
}
report();
process.exitCode = findings > 0 ? 1 : 0;

async function turn(kind: Kind): Promise<void> {
  const stop = Date.now() + TURN_MS;
  let n = next.get(kind)!;
  for (; n < cases && open() && Date.now() < stop; n++) {
    const one = (seed + n) >>> 0;
    let found: Found | null;
    try {
      found = await kind.run(one);
    } catch (error) {
      console.log(`${kind.name} --seed ${one} --cases 1 replays this:`);
      throw error;
    }
    if (found !== null) keep(kind, one, found);
  }
  next.set(kind, n);
}

function keep(kind: Kind, one: number, found: Found): void {
  findings++;
  mkdirSync(values.keep, { recursive: true });
  const file = join(values.keep, `${kind.name}-${one}.wasm`);
  writeFileSync(file, found.bytes);
  console.log(`FOUND by ${kind.name} --seed ${one} --cases 1: ${found.problem}\n  ${file}`);
  if (found.reduced === undefined) return;
  const smaller = join(values.keep, `${kind.name}-${one}.small.wasm`);
  writeFileSync(smaller, found.reduced());
  console.log(`  ${smaller}`);
}

function report(): void {
  for (const kind of kinds) console.log(`${kind.name}: ${next.get(kind)} cases; ${kind.summary()}`);
}
