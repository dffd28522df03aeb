/**
 * Is the fuzzer any good? `node tools/fuzzing/broken.ts [--seconds N] [--seed N] [NAME…]` breaks the verifier in a copy, one rule at a
 * time, and lets the fuzzer look for modules that get through, for so many seconds by mutants and then by random modules. Exit code 1 when a broken verifier went unnoticed.
 * Takes minutes; run it after changing the verifier's rules or the fuzzer.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** What is broken, where, and how: text in a file of the verifier and what stands there instead. */
const BROKEN: readonly (readonly [string, string, string, string])[] = [
  ['locals outlive a loop head', 'control.ts', 'this.#locals.floor = this.at;', ''],
  ['joins forget nothing', 'control.ts', 'this.#values.join(frame.start, this.at);', ''],
  [
    'bases are set behind a join',
    'control.ts',
    'this.#locals.assigned = frame.reachedAssigned;',
    'this.#locals.assigned = -1;',
  ],
  ['parts of an if bring no bits of bases', 'control.ts', 'frame.reachedAssigned &= assigned;', ''],
  ['loops set what they like', 'locals.ts', 'this.#named[local]! < this.#hinted', 'false'],
  ['loops forget nothing that varies', 'locals.ts', 'this.define(local, NONE, at);', ';'],
  ['rounds may be one too many', 'rounds.ts', 'step * (rounds - 1)', 'step * (rounds - 2)'],
  ['reach is not counted', 'rounds.ts', '(rounds - 1) + reach', '(rounds - 1)'],
  ['pointers move on', 'rounds.ts', 'values.constant[id]! > step', 'values.constant[id]! > step + 1'],
  ['rounds count nothing', 'rounds.ts', 'locals.peek(fuel) !== condition', 'false'],
  ['any branch is a round', 'rounds.ts', 'values.kind[condition] !== DECREMENT', 'condition !== 0 && false'],
  [
    'bounds are one less',
    'values.ts',
    'this.#minimum[memory]! - most)',
    'this.#minimum[memory]! - most + 1)',
  ],
  ['sums do not wrap', 'bounds.ts', 'most <= I32_MAX ? most : Infinity', 'most % 2 ** 32'],
  [
    'asked bounds are kept for good',
    'values.ts',
    'this.remember(this.extend(x), WORD',
    'this.#most[this.extend(x)] = most; this.remember(this.extend(x), WORD',
  ],
  ['heads know a byte more', 'rounds.ts', '(root, memory, reach, at)', '(root, memory, reach + 1, at)'],
  ['any number is one less', 'values.ts', 'this.literalOf(y) === one', 'this.literalOf(y) >= 0'],
  ['inner loops name what they like', 'locals.ts', 'this.#named[local] !== this.#hinted', 'false'],
  ['64-bit addresses may wrap', 'values.ts', 'bound === 0 || this.#isBounded(root)', 'true'],
  ['one byte too many', 'access.ts', 'reach <= known', 'reach <= known + 1'],
  ['the control area is open', 'access.ts', 'first < front', 'false'],
  ['a mark may be one page too far', 'access.ts', 'reach < front + known', 'reach < front + known + 4096'],
  ['a mark may be anything', 'access.ts', 'values.literalOf(access.top) !== 1', 'false'],
  [
    'a check need not trap',
    'control.ts',
    'if (live) this.#edge(frame);\n    if (frame.kind === IF)',
    'if (frame.kind === IF)',
  ],
  [
    'a check proves its first part',
    'pass.ts',
    'this.#openTyped(IF, this.#control.pop());',
    'const c2 = this.#control.pop(); this.#openTyped(IF, c2); this.#values.isZero(c2, this.#control.at);',
  ],
  [
    'nothing is ever void',
    'values.ts',
    'isVoid(stamp: number): boolean {',
    'isVoid(stamp: number): boolean {\n    if (stamp >= 0) return false;',
  ],
  ['facts are never void', 'values.ts', 'fact !== 0 && this.isVoid(this.#stamps[fact]!)', 'false'],
  ['unknown extensions are one value', 'values.ts', 'if (id === NONE) return this.fresh(I32_MAX);', ''],
  ['subtracting is adding', 'results.ts', 'case 0x7c:', 'case 0x7d: case 0x7c:'],
  ['sign extension is below 2^32', 'pass.ts', 'op === 0xad ?', 'op === 0xad || op === 0xac ?'],
  ['comparing signed is a check', 'results.ts', 'case 0x56:', 'case 0x55: case 0x56:'],
  ['a base local may be set to anything', 'locals.ts', 'role !== id', 'false'],
  [
    'sums lose their constant',
    'values.ts',
    'rootX === ZERO ? rootY : rootX, base, constant)',
    'rootX === ZERO ? rootY : rootX, base, 0)',
  ],
  ['templates may be anything', 'verify.ts', 'body[i] !== m.bytes[start + i]', 'false'],
  [
    'globals of the system may be written',
    'pass.ts',
    'c.u32() >= this.#evidence.systemGlobals.start',
    'c.u32() < 0',
  ],
  ['tables begin with anything', 'rules.ts', 'demand(isCallable(evidence, index)', 'demand(true'],
  [
    'exports of the system are anything',
    'rules.ts',
    'system.kind === kind && system.index === index',
    'true',
  ],
  [
    'tables of the system are open',
    'rules.ts',
    'return table < evidence.programTables ||',
    'return table >= 0 ||',
  ],
];

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
  allowPositionals: true,
});
let unnoticed = 0;
for (const [name, file, from, to] of BROKEN) {
  if (positionals.length > 0 && !positionals.some((word) => name.includes(word))) continue;
  const text = tryBroken(file, from, to);
  console.log(`${name}: ${text ?? 'NOT NOTICED'}`);
  if (text === null) unnoticed++;
}
process.exitCode = unnoticed > 0 ? 1 : 0;

/** Gives the fuzzer's first finding, or null. */
function tryBroken(file: string, from: string, to: string): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-broken-'));
  try {
    for (const part of ['package.json', 'src', 'tools'])
      cpSync(join(ROOT, part), join(folder, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const path = join(folder, 'src', 'verifier', file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(from)) throw new Error(`${file} has no "${from}"`);
    writeFileSync(path, text.replace(from, to));
    for (const kind of ['mutants', 'random']) {
      const found = findingOf(folder, kind);
      if (found !== null) return found;
    }
    return null;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the fuzzer in this folder finds by one kind of attack, or null. */
function findingOf(folder: string, kind: string): string | null {
  const limits = ['--seed', values.seed, '--cases', '200000', '--seconds', values.seconds, '--most', '1'];
  const args = ['tools/fuzz.ts', kind, ...limits, '--keep', join(folder, 'kept')];
  const started = Date.now();
  const run = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  const found = /FOUND by .*/.exec(run.stdout)?.[0];
  if (found !== undefined) return `${found} (${Math.round((Date.now() - started) / 1000)} s)`;
  if (run.status !== 0)
    throw new Error(`the fuzzer failed: ${run.stdout.slice(-500)} ${run.stderr.slice(0, 2000)}`);
  return null;
}
