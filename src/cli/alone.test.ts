/** Programs in processes of their own, as users of the tool and of the library see them: real children, real signals. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canBuild, guest } from '../../guests/build.ts';
import { folderFor } from '../base/folder.testing.ts';
import { Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';
import { Tool } from './cli.testing.ts';

const FOREVER = '(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))';

/** Processes of the host whose parent this is. */
function childrenOf(owner: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === owner);
}
function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? -1 : Number(parent);
  } catch {
    return -1; // it has ended
  }
}

async function until(what: string, ready: () => boolean): Promise<void> {
  for (let n = 0; !ready(); n++) {
    if (n > 3000) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What a program writes, and how it ends. */
async function outcome(space: Space, name: string, args: readonly string[], isolation: 'space' | 'process') {
  let text = '';
  const bytes = readFileSync(await guest(name));
  const domain = await space.spawn(bytes, { name: 'same', arguments: [name, ...args], isolation });
  await domain.follow((piece) => {
    text += Buffer.from(piece).toString('latin1');
  });
  const { exitCode, reason } = await domain.ended();
  await domain.remove();
  return { text, exitCode, reason };
}

test('programs say in a process of their own what they say in the space, and end alike', async (t) => {
  await using space = await Space.open(folderFor(t));
  const programs: [string, string[]][] = [
    ['queens', ['9']],
    ['primes', ['800']],
    ['control', []],
    ['args', ['a', 'b c']],
    ['lines', ['120', '20']],
    ['deep', ['4000', '1000']],
    ['grow', ['8', '1024']],
    ['files', []],
    ['wasi', []],
    ['trap', ['2']],
  ];
  for (const [name, args] of programs) {
    if (canBuild(name) !== undefined) continue;
    const expected = await outcome(space, name, args, 'space');
    assert.deepEqual(await outcome(space, name, args, 'process'), expected, name);
  }
});

test('its process killed whenever it has said something, a program says the rest, once', async (t) => {
  const problems: string[] = [];
  await using space = await Space.open(folderFor(t), { problem: (text) => void problems.push(text) });
  let text = '';
  let lines = 0;
  let kills = 0;
  const ticks = readFileSync(await guest('ticks'));
  const domain = await space.spawn(ticks, {
    isolation: 'process',
    stdout: (piece) => {
      text += Buffer.from(piece).toString();
      if (text.split('\n').length - lines < 4) return;
      lines = text.split('\n').length;
      for (const pid of childrenOf(process.pid)) {
        process.kill(pid, 'SIGKILL');
        kills++;
      }
    },
  });
  assert.equal((await domain.ended()).exitCode, 0);
  const expected = Array.from({ length: 40 }, (_, n) => `tick ${String(n).padStart(2, '0')}\n`).join('');
  assert.equal(text, expected);
  assert.ok(kills >= 1, `${kills} kills`);
  for (const problem of problems) {
    assert.match(
      problem,
      /^program: its process ended \(SIGKILL\); it goes on in another from its last call$/,
    );
  }
});

test('a database is the same in both kinds, whatever happens to its process', async (t) => {
  if (canBuild('sqlite3') !== undefined) return t.skip('no compiler for C');
  await using space = await Space.open(folderFor(t));
  const sqlite = readFileSync(await guest('sqlite3'));
  const sql = `CREATE TABLE part(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
    ${Array.from(
      { length: 6 },
      (_, round) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
        INSERT INTO part(name, weight) SELECT printf('part %d of ${round}', i * 7919 % 300), i * 1.25 FROM n;
      SELECT ${round}, count(*), sum(weight), max(name) FROM part;`,
    ).join('\n')}
    CREATE INDEX names ON part(name); DELETE FROM part WHERE id % 3 = 0; VACUUM; PRAGMA integrity_check;
    SELECT name, weight FROM part ORDER BY name, id LIMIT 20;\n`;
  const results: { text: string; file: string }[] = [];
  for (const isolation of ['space', 'process'] as const) {
    let text = '';
    let killed = 0;
    const domain = await space.spawn(sqlite, { name: isolation, arguments: ['sqlite3', '/db'], isolation });
    await domain.follow((piece) => {
      text += Buffer.from(piece).toString('latin1');
      if (isolation === 'space' || text.split('\n').length < 2 * killed + 3) return;
      killed++;
      for (const pid of childrenOf(process.pid)) process.kill(pid, 'SIGKILL');
    });
    domain.write(Buffer.from(sql));
    domain.endInput();
    assert.equal((await domain.ended()).exitCode, 0, text);
    const file = await domain.files('/db');
    assert.ok(file.kind === 'file' && file.bytes.length > 4096);
    results.push({ text, file: Buffer.from(file.bytes).toString('latin1') });
  }
  assert.match(results[0]!.text, /\nok\n/);
  assert.equal(results[1]!.text, results[0]!.text);
  assert.ok(results[1]!.file === results[0]!.file, 'the database files differ');
});

test('a program exported from one kind goes on in the other, and a closed space goes on where it was', async (t) => {
  const folder = folderFor(t);
  const queens = readFileSync(await guest('queens'));
  let text = '';
  const take = (piece: Uint8Array): void => {
    text += Buffer.from(piece).toString();
  };
  {
    await using space = await Space.open(folder);
    const domain = await space.spawn(queens, { name: 'q', arguments: ['q', '13'], stdout: take });
    await until('two solutions', () => / 2: /.test(text));
    const archive = await domain.export();
    await domain.remove({ force: true });
    const alone = await space.import(archive, { name: 'q', isolation: 'process' });
    await alone.follow(take);
    const seen = text.split('\n').length;
    await until('some more', () => text.split('\n').length > seen + 2);
    assert.equal((await alone.inspect()).isolation, 'process');
  }
  await using space = await Space.open(folder, { create: false });
  const again = await space.get('q');
  await again.follow(take);
  const seen = text.split('\n').length;
  await until('more', () => text.split('\n').length > seen + 2);
  const back = await space.import(await again.export(), { name: 'back' });
  await back.follow(take);
  assert.equal((await back.ended()).exitCode, 0);
  const numbers = [...text.matchAll(/^ *(\d+): /gm)].map((found) => Number(found[1]));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  );
  assert.match(text, /done: 73712 placements/);
});

test('limits hold, and what cannot be is said', async (t) => {
  await using space = await Space.open(folderFor(t));
  const forever = await space.spawn(await wat(FOREVER), { isolation: 'process', cpuLimitMs: 300 });
  const { exitCode, reason } = await forever.ended();
  assert.deepEqual([exitCode, reason], [137, 'used up its processor time of 300ms (--cpu)']);
  const greedy = await wat(`(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
      (loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))
      (call $exit (memory.size))))`);
  const bounded = await space.spawn(greedy, { isolation: 'process', memoryLimitBytes: 5 << 20 });
  assert.deepEqual(
    [(await bounded.ended()).exitCode, (await bounded.ended()).reason],
    [65, null],
    'it had one page and four times sixteen',
  );
  const unknown = await wat('(module (import "env" "f" (func)) (func (export "_start") (call 0)))');
  await assert.rejects(space.spawn(unknown, { isolation: 'process' }), /env\.f/);
  const trapping = await space.spawn(unknown, { isolation: 'process', trapUnknownImports: true });
  assert.match((await trapping.ended()).reason ?? '', /unknown import env\.f/);
});

test('a program that never stops holds up nobody, and its process ends with ours', async (t) => {
  const tool = new Tool(t);
  writeFileSync(join(tool.folder, 'forever.wasm'), await wat(FOREVER));
  const owner = tool.start(['run', '--isolation', 'process', '--name', 'loop', 'forever.wasm']);
  await until('it runs', () => childrenOf(owner.child.pid!).length > 0);
  const [child] = childrenOf(owner.child.pid!);
  const beside = await tool.run('run', await guest('queens'), '6');
  assert.match(beside.stdout, /done: 4 placements/);
  const listed = await tool.run('ps');
  assert.match(listed.stdout, /^NAME +STATE +ISOLATION.*\n(.*\n)*loop +running +process/);
  owner.child.kill('SIGKILL');
  await until('its process is gone', () => parentOf(child!) === -1);
  const bad = await tool.run('run', '--isolation', 'prison', 'forever.wasm');
  assert.equal(bad.stderr, 'perdure: --isolation: there is no kind "prison" (space or process)\n');
});
