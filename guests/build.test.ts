import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BenchWasi } from '../bench/wasi.ts';
import { canBuild, guest, guestSources } from './build.ts';

/** Runs a guest on plain V8. */
async function run(name: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const module = new WebAssembly.Module(readFileSync(await guest(name)));
  const wasi = new BenchWasi([name, ...args]);
  const { exports } = new WebAssembly.Instance(module, wasi.imports(module));
  wasi.attach(() => (exports.memory as WebAssembly.Memory).buffer);
  return { code: wasi.run(exports._start as () => void), output: wasi.output };
}

const noC = canBuild('deep') ?? false;
const lines = (output: string): string[] => output.trimEnd().split('\n');

test('guests have unique names', () => {
  const names = guestSources().map((g) => g.name);
  assert.equal(new Set(names).size, names.length);
});

test('an unknown guest is an error that says so', async () => {
  await assert.rejects(guest('nobody'), /there is no guest nobody/);
  assert.match(canBuild('nobody')!, /no guest/);
});

test('AssemblyScript: the queens of npm start are counted right and reported on the way', async () => {
  const { code, output } = await run('queens', '8');
  assert.equal(code, 0);
  assert.match(output, /done: 92 placements/);
  assert.equal(lines(output).length, 2 + 42);
});

test('AssemblyScript: primes', async () => {
  const { output } = await run('primes', '2000');
  assert.match(output, / 1000\. prime 7919,/);
  assert.match(output, / 2000\. prime 17389,/);
});

test('WAT: every round of the control guest says something, the same each time', async () => {
  const first = await run('control');
  assert.equal(lines(first.output).length, 24);
  assert.equal(new Set(lines(first.output)).size, 24);
  assert.deepEqual(await run('control'), first);
});

test('WAT: ticks counts from 00 to 39', async () => {
  const { output } = await run('ticks');
  assert.deepEqual(
    lines(output),
    Array.from({ length: 40 }, (_, i) => `tick ${String(i).padStart(2, '0')}`),
  );
});

test('C: every program does its work on plain V8', { skip: noC }, async () => {
  assert.match((await run('args', 'a b', '--exit=3')).output, /arg 1: a b\n/);
  assert.equal((await run('args', '--exit=3')).code, 3);
  assert.match((await run('deep', '1000')).output, /^down 1000 \w+\nup 1000 \w+\nsum \w{16}\n$/);
  assert.equal(lines((await run('fnptr', '3')).output).length, 3);
  assert.equal(lines((await run('longloop', '2', '1')).output).length, 2);
  assert.equal(lines((await run('lines', '7', '1', '1')).output).length, 7);
  assert.match((await run('lisp', '2')).output, /^round 0: \(55 2646700 1\)/);
  assert.match((await run('grow', '20', '64')).output, /checked 20 MiB/);
  assert.deepEqual(await run('cat'), { code: 0, output: 'total: 0 lines 0 bytes 811c9dc5\n' });
});

test('C: every way to end badly is the trap it should be', { skip: noC }, async () => {
  const traps: readonly (readonly [string, RegExp])[] = [
    ['unreachable', /unreachable/],
    ['abort', /unreachable/],
    ['divide', /divide by zero/],
    ['overflow', /divide result unrepresentable/],
    ['load', /memory access out of bounds/],
    ['store', /memory access out of bounds/],
    ['null', /null function|signature/],
    ['signature', /null function|signature/],
  ];
  for (const [how, message] of traps)
    await assert.rejects(run('trap', how), { name: 'RuntimeError', message }, how);
  assert.equal((await run('trap', 'exit', '17')).code, 17);
  await assert.rejects(run('exhaust'), { name: 'RangeError' });
  await assert.rejects(run('exhaust', 'memory'), { name: 'RuntimeError', message: /out of bounds/ });
});

test("SQLite's shell, built from Debian's sources, answers", {
  skip: canBuild('sqlite3') ?? false,
}, async (t) => {
  try {
    await guest('sqlite3');
  } catch (error) {
    // no network, or no source packages: elsewhere a reason to skip, in an automatic check an error
    if (process.env.CI) throw error;
    t.skip((error as Error).message);
    return;
  }
  const sql = `create table t(a, b); insert into t select value, value * value from generate_series(1, 100);
    delete from t where a % 7 = 0; vacuum; pragma integrity_check; select count(*), sum(b) from t;`;
  const { code, output } = await run('sqlite3', '/x.db', sql);
  assert.equal(code, 0);
  assert.match(output, /ok\n86\|288615\n$/);
});
