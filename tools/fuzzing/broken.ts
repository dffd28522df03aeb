/**
 * Is the attack any good? `node tools/fuzzing/broken.ts [--seconds N] [--seed N] [NAME…]` breaks the verifier in a copy, one rule
 * at a time, and prints for each which test notices it, and what the fuzzer finds within so many seconds of each kind
 * (0, the default: it is not asked). Exit code 1 where neither notices. Takes a few minutes, with the fuzzer hours; run it
 * after changing the verifier's rules, its tests or the fuzzer.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BROKEN } from './breaks.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Tests of the verifier, the quick ones first. What fuzzes is not among them. */
const TESTS = [
  ...['access', 'control', 'loops', 'rounds', 'bounds', 'windows', 'rules', 'resume', 'hints'],
  ...['shares', 'reading', 'opcodes'],
];
const KINDS = ['mutants', 'random', 'continuations'];

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '0' }, seed: { type: 'string', default: '1' } },
  allowPositionals: true,
});
let unnoticed = 0;
console.log('rule that is broken | noticed by the test | by the fuzzer');
for (const { name, file, from, to } of BROKEN) {
  if (positionals.length > 0 && !positionals.some((word) => name.includes(word))) continue;
  const { test, fuzz } = tryBroken(file, from, to);
  console.log(`${name} | ${test ?? 'none'} | ${fuzz ?? (values.seconds === '0' ? 'not asked' : 'no')}`);
  if (test === null && fuzz === null) unnoticed++;
}
if (unnoticed > 0) console.log(`NOT NOTICED: ${unnoticed}`);
process.exitCode = unnoticed > 0 ? 1 : 0;

/** Which test fails first, and the fuzzer's first finding; null for none. */
function tryBroken(file: string, from: string, to: string): { test: string | null; fuzz: string | null } {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-broken-'));
  try {
    for (const part of ['package.json', 'src', 'tools'])
      cpSync(join(ROOT, part), join(folder, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const path = join(folder, 'src', 'verifier', file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} has "${from}" not once`);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
    return { test: failing(folder), fuzz: values.seconds === '0' ? null : finding(folder) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The first test in this folder that fails, or null. */
function failing(folder: string): string | null {
  for (const name of TESTS) {
    const file = `src/verifier/${name}.test.ts`;
    const run = spawnSync(process.execPath, ['--test-reporter=tap', file], {
      ...{ cwd: folder, encoding: 'utf8', timeout: 300_000 },
    });
    const failed = /^not ok \d+ - (.*)$/m.exec(run.stdout)?.[1];
    if (failed !== undefined) return `${name}: ${failed.replace(/ \(.*/, '')}`;
    if (run.status !== 0) throw new Error(`${file} failed: ${run.stdout.slice(-500)} ${run.stderr}`);
  }
  return null;
}

/** What the fuzzer in this folder finds first, or null. */
function finding(folder: string): string | null {
  for (const kind of KINDS) {
    const limits = ['--seed', values.seed, '--cases', '1000000', '--seconds', values.seconds, '--most', '1'];
    const args = ['tools/fuzz.ts', kind, ...limits, '--keep', join(folder, 'kept')];
    const started = Date.now();
    const run = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    const seconds = Math.round((Date.now() - started) / 1000);
    const found = /FOUND by (\S+ --seed \d+)/.exec(run.stdout)?.[1];
    if (found !== undefined) return `${found} (${seconds} s)`;
    if (/^RefusedError/m.test(run.stderr)) return `${kind}: what is right is refused (${seconds} s)`;
    if (run.status !== 0)
      throw new Error(`the fuzzer failed: ${run.stdout.slice(-500)} ${run.stderr.slice(0, 2000)}`);
  }
  return null;
}
