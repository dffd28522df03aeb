/**
 * How many of a program's memory accesses need no check of their own as they run, and by which rule: the compiler makes
 * a version that counts them. `minimum`: below the declared minimum of the memory, a constant or a bounded index into a
 * table; `anchor`: covered by an earlier check of the same pointer; `loop`: by the test of a loop's pointers for many
 * rounds at once. What is left is `check`.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { PROOFS } from '../src/compiler/index.ts';
import type { Group } from './groups.ts';
import { aim, table } from './stats.ts';
import { standard } from './taxes.ts';
import { makeCounted } from './variants.ts';

const percent = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(1)} %`;

/** The group `proofs`. */
export const proofs: Group = async (args, print) => {
  const [path, ...rest] = args;
  const list = path === undefined ? await standard(print) : [[basename(path), path, rest] as const];
  const rows: string[][] = [];
  const figures: Record<string, unknown> = {};
  const shares: number[] = [];
  for (const [name, file, programArgs] of list) {
    const { counts = [] } = makeCounted(readFileSync(file)).run([basename(file), ...programArgs]);
    const all = counts.reduce((sum, n) => sum + n, 0);
    const proven = 1 - counts[0]! / all;
    shares.push(proven);
    figures[name] = {
      accesses: all,
      proven,
      ...Object.fromEntries(PROOFS.map((p, n) => [p, counts[n]! / all])),
    };
    rows.push([
      name,
      `${Math.round(all / 1e6)} M`,
      ...counts.map((n) => percent(n, all)),
      percent(proven, 1),
    ]);
  }
  const mean = shares.reduce((sum, s) => sum + s, 0) / shares.length;
  if (shares.length > 1) rows.push(['mean', '', ...PROOFS.map(() => ''), percent(mean, 1)]);
  print(table([['program', 'accesses', ...PROOFS, 'proven'], ...rows]));
  print('of the memory accesses made while the program runs, by the rule that shows them to be inside');
  if (shares.length > 1) print(aim('proven, mean in percent', mean * 100, 70, true));
  return { mean, programs: figures };
};
