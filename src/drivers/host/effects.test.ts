import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERRNO, errnoName } from '../../abi/errno.ts';
import type { Image } from '../../kernel/outbox-memory.testing.ts';
import { type HostDirectory, type HostFile, type Operation, WOULD_BLOCK } from '../../kernel/ports.ts';
import { openOptions, scratch, shape, TestProcess, tick } from './testing.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const ROOT = 1; // the first object of a space is the folder granted in these tests

interface Case {
  readonly name: string;
  /** Something a stranger did between the crash and the restart, and what then comes of it. */
  readonly stranger?: (folder: string) => void;
  readonly call: (op: Operation, root: HostDirectory, file: HostFile) => unknown;
  readonly errno?: number;
  readonly after: Record<string, string>;
}

const START = { a: 'aaaa', d: 'directory', 'd/x': 'xx', e: 'directory', l: '-> a' };
const open = openOptions({ create: true, exclusive: true, write: true });

/** Every kind of effect; `errno` and `after` hold wherever the process dies. */
const CASES: readonly Case[] = [
  { name: 'create', call: (op, root) => root.open(op, bytes('new'), open), after: { ...START, new: '' } },
  {
    name: 'makeDirectory',
    call: (op, root) => root.makeDirectory(op, bytes('n')),
    after: { ...START, n: 'directory' },
  },
  {
    name: 'removeDirectory',
    call: (op, root) => root.removeDirectory(op, bytes('e')),
    after: { a: 'aaaa', d: 'directory', 'd/x': 'xx', l: '-> a' },
  },
  {
    name: 'removeDirectory of a full one',
    call: (op, root) => root.removeDirectory(op, bytes('d')),
    errno: ERRNO.NOTEMPTY,
    after: START,
  },
  {
    name: 'unlink',
    call: (op, root) => root.unlink(op, bytes('d/x')),
    after: { a: 'aaaa', d: 'directory', e: 'directory', l: '-> a' },
  },
  {
    name: 'rename',
    call: (op, root) => root.rename(op, bytes('a'), root, bytes('e/b')),
    after: { d: 'directory', 'd/x': 'xx', e: 'directory', 'e/b': 'aaaa', l: '-> a' },
  },
  {
    name: 'rename over another',
    call: (op, root) => root.rename(op, bytes('a'), root, bytes('d/x')),
    after: { d: 'directory', 'd/x': 'aaaa', e: 'directory', l: '-> a' },
  },
  {
    name: 'rename of a directory',
    call: (op, root) => root.rename(op, bytes('d'), root, bytes('e')),
    after: { a: 'aaaa', e: 'directory', 'e/x': 'xx', l: '-> a' },
  },
  {
    name: 'link',
    call: (op, root) => root.link(op, bytes('a'), false, root, bytes('e/b')),
    after: { ...START, 'e/b': '= a' },
  },
  {
    name: 'symlink',
    call: (op, root) => root.symlink(op, bytes('../a'), bytes('e/s')),
    after: { ...START, 'e/s': '-> ../a' },
  },
  { name: 'setSize', call: (op, _root, file) => file.setSize(op, 2), after: { ...START, a: 'aa' } },
  {
    name: 'truncation by opening',
    call: (op, root) => root.open(op, bytes('a'), openOptions({ truncate: true, write: true })),
    after: { ...START, a: '' },
  },
  {
    name: 'setTimes',
    call: (op, root) => root.setTimes(op, bytes('l'), true, { accessedNs: null, modifiedNs: 7_000_000_000n }),
    after: START,
  },
  { name: 'sync', call: (op, _root, file) => file.sync(op), after: START },
  {
    name: 'write then sync',
    call: (op, _root, file) => {
      if (op.effect === 0) assert.equal(file.write(op, bytes('BB'), 3), 2);
      return file.sync(op);
    },
    after: { ...START, a: 'aaaBB' },
  },
];

function fill(folder: string): void {
  fs.mkdirSync(join(folder, 'd'));
  fs.mkdirSync(join(folder, 'e'));
  fs.writeFileSync(join(folder, 'a'), 'aaaa');
  fs.writeFileSync(join(folder, 'd', 'x'), 'xx');
  fs.symlinkSync('a', join(folder, 'l'));
}

interface Begun {
  readonly image: Image;
  readonly file: number;
  readonly effect: number;
}

/** Runs a case to where its intent is in a checkpoint, and lets it go as far as `reach` says. */
async function begin(
  folder: string,
  each: Case,
  reach: 'before' | 'intent' | 'applied' | 'recorded',
): Promise<Begun> {
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  assert.equal(root.id, ROOT);
  const file = await p.open(root, 'a', { write: true });
  let image = p.cut();
  const op: Operation = { domain: 1, effect: 0 };
  if (reach === 'before') {
    assert.equal(each.call(op, root, file), WOULD_BLOCK);
    // Not durable, so nothing may have reached the host.
    assert.deepEqual(shape(folder), START);
    await p.folders.close();
    return { image, file: file.id, effect: 0 };
  }
  assert.equal(each.call(op, root, file), WOULD_BLOCK);
  image = p.cut();
  assert.equal(p.folders.wantsCheckpoint(), false);
  assert.deepEqual(shape(folder), START);
  if (reach !== 'intent') {
    p.folders.durable(p.seq);
    await p.settle();
    assert.deepEqual(shape(folder), each.after, each.name);
    assert.ok(p.woken.includes(1));
    if (reach === 'recorded') image = p.cut();
  }
  await p.folders.close();
  return { image, file: file.id, effect: op.effect };
}

/** Starts again from the checkpoint and goes on with the call. */
async function goOn(each: Case, { image, file, effect }: Begun): Promise<unknown> {
  const p = new TestProcess(image);
  const root = p.folders.object(ROOT) as HostDirectory;
  const object = p.folders.object(file) as HostFile;
  const op: Operation = { domain: 1, effect };
  for (;;) {
    await p.settle();
    const result = each.call(op, root, object);
    if (result !== WOULD_BLOCK) {
      // The outcome was collected: nothing of the effect stays behind.
      await p.checkpoint();
      await p.folders.close();
      return typeof result === 'object' ? 0 : result;
    }
    await p.checkpoint();
  }
}

for (const reach of ['before', 'intent', 'applied', 'recorded'] as const) {
  test(`every effect happens once when the process dies at: ${reach}`, async (t) => {
    for (const each of CASES) {
      const folder = scratch(t);
      fill(folder);
      const begun = await begin(folder, each, reach);
      const result = await goOn(each, begun);
      assert.equal(
        result === 0 ? 'SUCCESS' : errnoName(-(result as number)),
        errnoName(each.errno ?? 0),
        each.name,
      );
      assert.deepEqual(shape(folder), each.after, each.name);
    }
  });
}

const put = (path: string, text: string) => (folder: string) => {
  fs.rmSync(join(folder, path), { force: true, recursive: true });
  fs.writeFileSync(join(folder, path), text);
};
const remove = (path: string) => (folder: string) => fs.rmSync(join(folder, path));
/** What strangers did meanwhile is not taken for ours, nor undone. */
const STRANGERS: (Case & { readonly reach: 'intent' | 'applied' })[] = [
  {
    name: 'a link was in the way',
    reach: 'intent',
    stranger: (folder) => fs.symlinkSync('elsewhere', join(folder, 'new')),
    call: (op, root) => root.open(op, bytes('new'), open),
    errno: ERRNO.EXIST,
    after: { ...START, new: '-> elsewhere' },
  },
  {
    name: 'a directory came where a file was to be',
    reach: 'intent',
    stranger: (folder) => fs.mkdirSync(join(folder, 'new')),
    call: (op, root) => root.open(op, bytes('new'), open),
    errno: ERRNO.EXIST,
    after: { ...START, new: 'directory' },
  },
  {
    name: 'the name was unlinked, and used for another file',
    reach: 'applied',
    stranger: put('d/x', 'another'),
    call: (op, root) => root.unlink(op, bytes('d/x')),
    after: { ...START, 'd/x': 'another' },
  },
  {
    name: 'the file to be renamed was taken away',
    reach: 'intent',
    stranger: remove('a'),
    call: (op, root) => root.rename(op, bytes('a'), root, bytes('b')),
    errno: ERRNO.NOENT,
    after: { d: 'directory', 'd/x': 'xx', e: 'directory', l: '-> a' },
  },
  {
    name: 'the file to be renamed was replaced',
    reach: 'intent',
    stranger: (folder) => {
      fs.writeFileSync(join(folder, 'other'), 'other');
      fs.renameSync(join(folder, 'other'), join(folder, 'a'));
    },
    call: (op, root) => root.rename(op, bytes('a'), root, bytes('b')),
    errno: ERRNO.NOENT,
    after: { ...START, a: 'other' },
  },
  {
    name: 'a symbolic link says something else',
    reach: 'intent',
    stranger: (folder) => fs.symlinkSync('other', join(folder, 'e/s')),
    call: (op, root) => root.symlink(op, bytes('../a'), bytes('e/s')),
    errno: ERRNO.EXIST,
    after: { ...START, 'e/s': '-> other' },
  },
  {
    name: 'another file has the name of the link',
    reach: 'intent',
    stranger: put('e/b', 'b'),
    call: (op, root) => root.link(op, bytes('a'), false, root, bytes('e/b')),
    errno: ERRNO.EXIST,
    after: { ...START, 'e/b': 'b' },
  },
];

test('what strangers did meanwhile is not taken for ours, nor undone', async (t) => {
  for (const each of STRANGERS) {
    const folder = scratch(t);
    fill(folder);
    const applied = each.reach === 'applied';
    const expected = {
      ...each,
      after: applied ? { a: 'aaaa', d: 'directory', e: 'directory', l: '-> a' } : each.after,
    };
    const begun = await begin(folder, expected, each.reach);
    each.stranger?.(folder);
    const result = await goOn(each, begun);
    assert.equal(
      result === 0 ? 'SUCCESS' : errnoName(-(result as number)),
      errnoName(each.errno ?? 0),
      each.name,
    );
    assert.deepEqual(shape(folder), each.after, each.name);
  }
});

test('reads see what is queued, the host only what is durable', async (t) => {
  const folder = scratch(t);
  fs.writeFileSync(join(folder, 'f'), '0123456789');
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { write: true });
  const op: Operation = { domain: 1, effect: 0 };
  assert.equal(file.write(op, bytes('AB'), 2), 2);
  assert.equal(file.write(op, bytes('Z'), 13), 1);
  const into = Buffer.alloc(20, '.');
  assert.equal(file.read(into, 0), 14);
  assert.equal(into.toString('latin1', 0, 14), '01AB456789\0\0\0Z');
  assert.equal(file.read(into, 11), 3);
  assert.equal(file.read(into, 14), 0);
  assert.equal(file.size(), 14);
  const stat = root.stat(bytes('f'), true);
  assert.equal(typeof stat === 'number' ? stat : stat.size, 14);
  const again = await p.open(root, 'f', {});
  await tick();
  assert.equal(again.read(into.subarray(0, 4), 1), 4);
  assert.equal(into.toString('latin1', 0, 4), '1AB4');
  assert.equal(fs.readFileSync(join(folder, 'f'), 'latin1'), '0123456789');
  assert.equal(p.folders.wantsCheckpoint(), true);
  await p.checkpoint();
  assert.equal(fs.readFileSync(join(folder, 'f'), 'latin1'), '01AB456789\0\0\0Z');
  assert.equal(file.read(into, 0), 14);
  assert.equal(p.folders.wantsCheckpoint(), false);
  await p.folders.close();
});

test('a full queue makes writers wait, and small writes share a block', async (t) => {
  const folder = scratch(t);
  const p = new TestProcess(undefined, 10000);
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  const op: Operation = { domain: 1, effect: 0 };
  const before = p.memory.blocks;
  let at = 0;
  for (; at < 3000; at += 3) assert.equal(file.write(op, bytes('abc'), at), 3);
  assert.ok(p.memory.blocks - before <= 1);
  const taken = file.write(op, new Uint8Array(50000), at);
  assert.ok(taken > 5000 && taken < 7000, `what lies beside the bytes counts: ${taken}`);
  at += taken;
  assert.ok(p.meter.of(1) > 9900 && p.meter.of(1) <= 10000);
  assert.equal(file.write(op, bytes('x'), 20000), WOULD_BLOCK);
  assert.ok(p.meter.waiting.has(1), 'it is told when there is room');
  const image = p.cut();
  await p.checkpoint();
  assert.equal(p.meter.total, 0);
  assert.equal(file.write(op, bytes('x'), at), 1);
  const after = new TestProcess(image);
  await after.checkpoint();
  assert.equal(after.meter.total, 0, 'what an earlier process had queued is given back by the next');
  await after.folders.close();
  file.close();
  assert.equal(p.folders.object(file.id), undefined);
  await p.checkpoint();
  assert.equal(fs.statSync(join(folder, 'f')).size, at + 1, 'a closed file still gets what was written');
  p.folders.forget(1);
  await p.checkpoint();
  assert.equal(p.memory.blocks, 1, 'nothing is left but the root');
  await p.folders.close();
});

test('what leaves nothing to pay with is told so, and does not wait for ever', async (t) => {
  const folder = scratch(t);
  const p = new TestProcess(undefined, 100);
  const root = p.folders.grant(1, folder, false);
  const op: Operation = { domain: 1, effect: 0 };
  assert.equal(root.makeDirectory(op, bytes('d')), -ERRNO.DQUOT);
  await p.folders.close();
});

test('a file that is gone after a restart is stale; writes to it are dropped and told of', async (t) => {
  const folder = scratch(t);
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  const other = await p.open(root, 'g', { create: true, write: true });
  file.write({ domain: 1, effect: 0 }, bytes('lost'), 0);
  const image = p.cut();
  await p.folders.close();
  fs.rmSync(join(folder, 'f'));
  fs.rmSync(join(folder, 'g'));
  fs.writeFileSync(join(folder, 'g'), 'a stranger');
  const q = new TestProcess(image);
  await q.settle();
  assert.deepEqual(
    q.problems.map(({ path, errno, waits }) => ({ path, errno, waits })),
    [{ path: 'f', errno: ERRNO.STALE, waits: false }],
  );
  for (const id of [file.id, other.id]) {
    const found = q.folders.object(id) as HostFile;
    assert.equal(found.read(new Uint8Array(4), 0), -ERRNO.STALE);
    assert.equal(found.write({ domain: 1, effect: 0 }, bytes('x'), 0), -ERRNO.STALE);
    assert.equal(found.sync({ domain: 1, effect: 0 }), -ERRNO.STALE);
  }
  await q.folders.close();
});

test('what a domain that is gone had open is closed, and what it wrote still arrives', async (t) => {
  const folder = scratch(t);
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  file.write({ domain: 1, effect: 0 }, bytes('last words'), 0);
  assert.equal(root.makeDirectory({ domain: 1, effect: 0 }, bytes('d')), WOULD_BLOCK);
  const image = p.cut();
  await p.folders.close();
  const q = new TestProcess(image);
  q.folders.keepOnly(new Set([2]));
  assert.equal(q.folders.object(ROOT), undefined);
  await q.checkpoint();
  assert.deepEqual(shape(folder), { d: 'directory', f: 'last words' });
  assert.equal(q.memory.blocks, 1, 'nothing is left but the root');
  await q.folders.close();
});

test('a write the host refuses is told of, and makes the next sync fail', async (t) => {
  const folder = scratch(t);
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  assert.equal(file.write({ domain: 1, effect: 0 }, bytes('x'), Number.MAX_SAFE_INTEGER - 1), 1);
  await p.checkpoint();
  assert.deepEqual(
    p.problems.map((each) => [each.path, errnoName(each.errno)]),
    [['f', 'FBIG']],
  );
  assert.equal(await p.run((op) => file.sync(op)), -ERRNO.IO);
  assert.equal(await p.run((op) => file.sync(op)), 0);
  await p.folders.close();
});

test('a folder that is missing is waited for; one that was copied is taken by its paths', async (t) => {
  const home = scratch(t);
  const folder = join(home, 'folder');
  fs.mkdirSync(folder);
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  file.write({ domain: 1, effect: 0 }, bytes('text'), 0);
  const image = p.cut();
  await p.folders.close();
  fs.renameSync(folder, join(home, 'away'));
  const q = new TestProcess(image);
  q.folders.durable(1);
  assert.deepEqual(
    q.problems.map((each) => [each.folder, errnoName(each.errno), each.waits]),
    [[folder, 'NOENT', true]],
  );
  assert.equal(q.folders.settled(), false);
  fs.cpSync(join(home, 'away'), folder, { recursive: true });
  q.folders.durable(2);
  await q.settle();
  assert.equal(fs.readFileSync(join(folder, 'f'), 'latin1'), 'text');
  assert.equal((q.folders.object(file.id) as HostFile).size(), 4);
  assert.deepEqual(q.folders.granted(1), [{ id: ROOT, path: folder, readOnly: false }]);
  await q.folders.close();
});
