/** Memory mapped for programs that know nothing of Perdure: from a shell, and over kill -9. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { canBuild, guest } from '../../guests/build.ts';
import { Tool } from './cli.testing.ts';

const skip = canBuild('words') ?? false;
let words: string;

before(async () => {
  if (skip === false) words = await guest('words');
});

/** Longer than a frame, so that it takes more than one entry of a window table. */
const TEXT = 'the quick brown fox jumps over the lazy dog\n'.repeat(2000);
const COUNTED = `18000 words of ${TEXT.length} bytes`;

function tool(t: TestContext): Tool {
  const made = new Tool(t);
  copyFileSync(words, join(made.folder, 'words.wasm'));
  writeFileSync(join(made.folder, 'text'), TEXT);
  return made;
}

test('a program gets a file and new memory as ordinary memory, and is told where', { skip }, async (t) => {
  const { run } = bound(tool(t));
  const { code, stdout, stderr } = await run(
    'run',
    '--map',
    'text=text',
    '--map',
    'sum=new:64K',
    'words.wasm',
    '3',
  );
  assert.deepEqual([code, stderr], [0, '']);
  const lines = [1, 2, 3].map((i) => `round ${i}: ${COUNTED}, sum ${18000 * i}\n`);
  assert.equal(stdout, lines.join(''));
  const bare = await run('run', 'words.wasm');
  assert.deepEqual([bare.code, bare.stderr], [2, 'there is no text\n']);
});

test('what is read only is not written; what was begun with other memory stays apart', {
  skip,
}, async (t) => {
  const { run } = bound(tool(t));
  assert.equal((await run('run', '--map', 'text=text', 'words.wasm', 'poke')).code, 0);
  const poked = await run('run', '--map', 'text=text:ro', 'words.wasm', 'poke');
  assert.equal(poked.code, 134);
  assert.match(poked.stderr, /out of bounds/);
});

test('a mapping outlives kill -9, and can be shared with a program that comes later', { skip }, async (t) => {
  const made = tool(t);
  const { run } = bound(made);
  const args = ['--map', 'text=text:ro', '--map', 'sum=new:64K', '--name', 'first', 'words.wasm', '40', '25'];
  const first = made.start(['run', ...args], { input: '' });
  await first.saw(/round 5:/);
  first.child.kill('SIGKILL');
  await first.ended;
  const page = (await run('inspect', 'first')).stdout;
  assert.match(page, /maps +0x80010000 {2}85\.9 KiB {2}text, read only\n +0x80040000 {2}64\.0 KiB {2}sum\n/);
  const inspected = JSON.parse((await run('inspect', '--json', 'first')).stdout);
  assert.deepEqual(
    inspected.mappings.map(
      ({ address, bytes, writable }: { address: number; bytes: number; writable: boolean }) => [
        address,
        bytes,
        writable,
      ],
    ),
    [
      [0x80010000, TEXT.length, false],
      [0x80040000, 65536, true],
    ],
  );
  const second = [
    '--map',
    'text=first#text:ro',
    '--map',
    'sum=first#sum',
    '--name',
    'second',
    'words.wasm',
    '1',
  ];
  const shared = await run('run', ...second);
  assert.equal(shared.stderr, '');
  const sum = Number(/sum (\d+)/.exec(shared.stdout)?.[1]);
  assert(sum % 18000 === 0 && sum >= 5 * 18000, `the sum of both: ${sum}`);
  const up = await run('up', '--exit-when-idle');
  assert.match(up.stdout, new RegExp(`round 40: ${COUNTED}, sum ${18000 * 41}\n$`));
});

test('what cannot be mapped is said before anything is begun', { skip }, async (t) => {
  const { run } = bound(tool(t));
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await run('run', ...args, 'words.wasm');
    assert.equal(code, 125, stderr);
    return stderr;
  };
  assert.match(await refused('--map', 'text'), /"text" is not NAME=WHAT\[:ro\].*--map words=FILE/);
  assert.match(await refused('--map', 'text=nothing'), /cannot map nothing: there is none.*new:SIZE/);
  assert.match(await refused('--map', 'text=.'), /it is not a file/);
  assert.match(await refused('--map', 'te-xt=text'), /under the name "te-xt"/);
  assert.match(await refused('--map', 'text=text', '--map', 'text=text'), /mapped more than once/);
  assert.match(await refused('--map', 'text=new:many'), /"many" is not a size/);
  assert.match(
    await refused('--map', 'text=text', '--isolation', 'process'),
    /not together with --isolation process/,
  );
  assert.match(await refused('--mpa', 'text=text'), /did you mean --map\?/);
  assert.match(await refused('--map', 'text=nobody#text'), /no program called nobody/);
  assert.match(await refused('--map', 'text=new:4G'), /may not have 4294967296 bytes more|2 GiB/);
  assert.match(await refused('--memory', '2M', '--map', 'text=new:2M'), /it may not have 2097152 bytes more/);
  assert.equal((await run('ps', '--names')).stdout, '');
});

const bound = (made: Tool): { run: Tool['run'] } => ({ run: (...args) => made.run(...args) });
