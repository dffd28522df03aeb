/** Programs that know nothing of Perdure, over a folder that is served in TypeScript; over restarts, too. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { canBuild, guest } from '../guests/build.ts';
import { folderFor } from '../src/base/folder.testing.ts';
import { ERRNO, Space } from '../src/index.ts';
import { wat } from '../src/wasm/wat.testing.ts';
import { MemoryFile, MemoryFolder } from './memory-folder.ts';

const skip = canBuild('tree') ?? false;
let tree: Uint8Array;
let files: Uint8Array;

before(async () => {
  if (skip !== false) return;
  tree = readFileSync(await guest('tree'));
  files = readFileSync(await guest('files'));
});

const text = (folder: MemoryFolder, name: string): string => {
  const file = folder.entries.get(name);
  assert(file instanceof MemoryFile, name);
  return Buffer.from(file.bytes).toString();
};

test('ls, cat, write, mkdir, rename and rm work in a served folder as in any', { skip }, async (t) => {
  await using space = await Space.open(folderFor(t));
  const root = new MemoryFolder();
  await using served = await space.serve('tree', root);
  const run = async (...args: string[]): Promise<string> => {
    let out = '';
    const stdout = (bytes: Uint8Array): void => {
      out += Buffer.from(bytes).toString();
    };
    const imports = { '/d': served };
    const domain = await space.spawn(tree, { arguments: ['tree', ...args], imports, stdout });
    assert.equal(await domain.finished(), 0);
    await domain.remove();
    return out;
  };
  assert.equal(
    await run('ls', '/d', 'write', '/d/a', 'cat', '/d/a', 'mkdir', '/d/sub', 'write', '/d/sub/b', 'ls', '/d'),
    'ls /d:\nwrite /d/a: ok\ncat /d/a: written\nmkdir /d/sub: ok\nwrite /d/sub/b: ok\nls /d: a sub/\n',
  );
  assert.equal(text(root, 'a'), 'written');
  const sub = root.entries.get('sub');
  assert(sub instanceof MemoryFolder);
  sub.entries.set(
    'from-typescript',
    Object.assign(root.open('x', CREATE) as MemoryFile, { bytes: Buffer.from('hi') }),
  );
  assert.equal(
    await run(
      'cat',
      '/d/sub/from-typescript',
      'ls',
      '/d/sub',
      'mv',
      '/d/a',
      'mv',
      '/d/sub',
      'ls',
      '/d',
      'rm',
      '/d/a.moved',
    ),
    'cat /d/sub/from-typescript: hi\nls /d/sub: b from-typescript\nmv /d/a: ok\nmv /d/sub: ok\n' +
      'ls /d: a.moved sub.moved/ x\nrm /d/a.moved: ok\n',
  );
  const { NOENT, EXIST, NOTDIR, PERM } = ERRNO;
  assert.equal(
    await run('cat', '/d/none', 'mkdir', '/d/x', 'cat', '/d/x/y', 'rm', '/d/none', 'ls', '/d/../..'),
    `cat /d/none: error ${NOENT}\nmkdir /d/x: error ${EXIST}\ncat /d/x/y: error ${NOTDIR}\n` +
      `rm /d/none: error ${NOENT}\nls /d/../..: error ${PERM}\n`,
  );
});

test('a program that writes, reads back, appends, cuts, renames and lists finds every byte', {
  skip,
}, async (t) => {
  await using space = await Space.open(folderFor(t));
  const root = new MemoryFolder();
  await using served = await space.serve('tree', root);
  let out = '';
  const domain = await space.spawn(files, {
    arguments: ['files', '/d', '5', '20'],
    imports: { '/d': served },
    stdout: (bytes) => {
      out += Buffer.from(bytes).toString();
    },
  });
  assert.equal(await domain.finished(), 0, out);
  assert.doesNotMatch(out, /FAILED/);
  assert(root.entries.size > 3);
});

/** Opens `log` in its first folder and writes 0, 1, 2 … as u32 into it, so many as it is told; nothing else keeps count. */
const COUNTER = `(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "log")
  (data (i32.const 16) "\\20\\00\\00\\00\\04\\00\\00\\00")
  (func (export "_start") (local $n i32)
    (if (call $open (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 1) (i64.const 0x1fffffff)
                    (i64.const 0x1fffffff) (i32.const 0) (i32.const 24)) (then unreachable))
    (loop $more
      (i32.store (i32.const 32) (local.get $n))
      (if (call $write (i32.load (i32.const 24)) (i32.const 16) (i32.const 1) (i32.const 28)) (then unreachable))
      (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 150))))))`;

test('a file that is open stays open over a restart, whatever it is called by then', async (t) => {
  const folder = folderFor(t);
  const root = new MemoryFolder();
  {
    await using space = await Space.open(folder);
    // Not disposed of: that would end it, where closing the space only leaves it.
    const served = await space.serve('tree', root);
    const domain = await space.spawn(await wat(COUNTER), { name: 'counter', imports: { '/d': served } });
    assert(domain);
    const written = (): number => (root.entries.get('log') as MemoryFile | undefined)?.bytes.length ?? 0;
    while (written() < 40) await space.checkpoint();
  }
  root.rename('log', { folder: root, path: 'renamed' });
  const file = root.entries.get('renamed');
  assert(file instanceof MemoryFile && file.bytes.length < 600);
  await using space = await Space.open(folder);
  await space.serve('tree', root);
  assert.equal(await (await space.get('counter')).finished(), 0);
  const numbers = new Uint32Array(file.bytes.slice().buffer);
  assert.deepEqual([...numbers], [...numbers.keys()]);
  assert.deepEqual([numbers.length, root.entries.size], [150, 1]);
});

const CREATE = {
  create: true,
  exclusive: false,
  truncate: false,
  folder: false,
  follow: true,
  read: true,
  write: true,
};
