import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRNO, errnoName } from '../abi/errno.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { Space } from '../space/index.ts';
import { type ListedEntry, type NodeStat, Tree } from './tree.ts';
import { hashName } from './tree-directory.ts';
import { Model, type ModelNode } from './tree-model.testing.ts';
import * as paths from './tree-path.ts';
import { pathOf, removeAll } from './tree-whole.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** Everything in a directory, by cookies. */
function list(tree: Tree, directory: number, from = 0): ListedEntry[] {
  const all: ListedEntry[] = [];
  for (let at = from; ; ) {
    const entry = tree.next(directory, at);
    if (entry === null) return all;
    all.push(entry);
    at = entry.cookie;
  }
}
const names = (entries: ListedEntry[]): string[] => entries.map((e) => text(e.name));

/** The space after a cut and a crash: loaded from the pages a checkpoint would hold. */
function recover(space: Space, stored: Map<number, Uint8Array>): Space {
  const cut = space.dirty.collect();
  const data = space.dirty.copyPages(cut.pages);
  for (const page of cut.freed) stored.delete(page);
  for (const [i, page] of cut.pages.entries()) stored.set(page, data.slice(i * 4096, (i + 1) * 4096));
  return Space.load(Array.from(stored, ([page, image]) => ({ page, bytes: image })));
}

/** Compares a directory of the tree with one of the model, and all below. */
function compare(tree: Tree, node: number, model: ModelNode, path: string): void {
  const found = list(tree, node);
  assert.deepEqual(names(found.slice(0, 2)), ['.', '..'], path);
  const rest = found.slice(2);
  assert.deepEqual(names(rest).sort(), [...model.entries.keys()].sort(), path);
  assert.deepEqual(
    rest.map((e) => e.cookie),
    rest.map((e) => e.cookie).sort((a, b) => a - b),
    'cookies ascend',
  );
  let directories = 0;
  for (const [name, expected] of model.entries) {
    const child = tree.lookup(node, bytes(name));
    const stat = tree.stat(child);
    const where = `${path}/${name}`;
    if (expected.type === 'directory') {
      directories++;
      assert.equal(stat.type, 3, where);
      assert.equal(tree.parent(child), node, where);
      compare(tree, child, expected, where);
      continue;
    }
    assert.equal(stat.links, expected.links, `${where}: links`);
    if (expected.type === 'link') {
      assert.equal(text(tree.readLink(child) as Uint8Array), expected.target, where);
    } else {
      assert.equal(stat.size, expected.bytes.length, `${where}: size`);
      const got = tree.space.segments.readBytes(tree.segment(child), 0, stat.size);
      assert.deepEqual(Array.from(got), expected.bytes, where);
    }
  }
  assert.equal(tree.stat(node).links, 2 + directories, `${path}: links of a directory`);
}

function countNodes(model: ModelNode, seen = new Set<ModelNode>()): number {
  seen.add(model);
  for (const child of model.entries.values()) if (!seen.has(child)) countNodes(child, seen);
  return seen.size;
}

const WORDS = ['a', 'b', 'c', 'dir', 'x', 'long-name-of-a-file', 'ü'];

function randomPath(random: Prng): string {
  const parts: string[] = [];
  const depth = 1 + random.below(4);
  for (let i = 0; i < depth; i++)
    parts.push(random.chance(0.08) ? '..' : random.chance(0.05) ? '.' : random.pick(WORDS));
  let path = parts.join(random.chance(0.05) ? '//' : '/');
  if (random.chance(0.08)) path += '/';
  if (random.chance(0.01)) path = `/${path}`;
  return random.chance(0.005) ? '' : path;
}

/** One random operation on both; results must be alike. Returns what it was, for messages. */
function step(random: Prng, tree: Tree, model: Model, now: bigint): string {
  const path = randomPath(random);
  const other = randomPath(random);
  const same = (what: string, got: number, expected: number): string => {
    const say = (n: number): string => (n < 0 ? errnoName(-n) : 'ok');
    assert.equal(say(got), say(expected), what);
    return what;
  };
  switch (random.below(9)) {
    case 0:
    case 1: {
      const exclusive = random.chance(0.3);
      const expected = model.create(path, exclusive);
      const options = {
        create: true,
        exclusive,
        truncate: false,
        directory: false,
        follow: true,
        write: true,
      };
      const node = paths.openAt(tree, tree.root, bytes(path), options, now);
      const what = same(`create ${path} ${exclusive}`, node, typeof expected === 'number' ? expected : 0);
      if (typeof expected !== 'number') writeSome(random, tree, node, expected, now);
      return what;
    }
    case 2:
      return same(
        `mkdir ${path}`,
        paths.makeDirectoryAt(tree, tree.root, bytes(path), now),
        model.mkdir(path),
      );
    case 3:
      return same(
        `rmdir ${path}`,
        paths.removeDirectoryAt(tree, tree.root, bytes(path), now),
        model.rmdir(path),
      );
    case 4:
      return same(`unlink ${path}`, paths.unlinkAt(tree, tree.root, bytes(path), now), model.unlink(path));
    case 5:
      return same(
        `link ${path} ${other}`,
        paths.linkAt(tree, tree.root, bytes(path), false, tree.root, bytes(other), now),
        model.link(path, other),
      );
    case 6:
      return same(
        `symlink ${other} ${path}`,
        paths.symlinkAt(tree, tree.root, bytes(other), bytes(path), now),
        model.symlink(other, path),
      );
    default:
      return same(
        `rename ${path} ${other}`,
        paths.renameAt(tree, tree.root, bytes(path), tree.root, bytes(other), now),
        model.rename(path, other),
      );
  }
}

/** A write or a new size on a file of both. */
function writeSome(random: Prng, tree: Tree, node: number, model: ModelNode, now: bigint): void {
  const offset = random.below(random.chance(0.1) ? 9000 : 60);
  const length = random.below(random.chance(0.1) ? 6000 : 40);
  if (random.chance(0.2)) {
    assert.equal(tree.setSize(node, offset, now), 0);
    model.bytes.length = Math.min(model.bytes.length, offset);
    while (model.bytes.length < offset) model.bytes.push(0);
    return;
  }
  const data = Uint8Array.from({ length }, () => random.below(256));
  const from = tree.space.heap.alloc(Math.max(length, 1));
  tree.space.writeBytes(from, data);
  assert.equal(tree.write(node, offset, from, length, now), length);
  tree.space.heap.free(from);
  if (length === 0) return;
  while (model.bytes.length < offset) model.bytes.push(0);
  for (let i = 0; i < length; i++) model.bytes[offset + i] = data[i] as number;
}

describe('the file tree', () => {
  it('does what a simple model does, over thousands of random operations and through crashes', () => {
    const random = new Prng(seedFrom(process.env.PERDURE_SEED, Date.now()));
    console.log(`seed ${random.seed}`);
    for (let round = 0; round < 4; round++) {
      const stored = new Map<number, Uint8Array>();
      let space = Space.create();
      let tree = Tree.open(space, 1n);
      const model = new Model();
      for (let i = 0; i < 1500; i++) {
        const what = step(random, tree, model, BigInt(i));
        if (random.chance(0.01)) {
          compare(tree, tree.root, model.root, what);
          assert.equal(tree.nodes, countNodes(model.root), `nodes after ${what}`);
        }
        if (random.chance(0.003)) {
          space = recover(space, stored);
          tree = Tree.open(space, 0n);
          compare(tree, tree.root, model.root, `recovered after ${what}`);
        }
      }
      compare(tree, tree.root, model.root, '');
    }
  });

  it('gives back every block and segment when all is removed', () => {
    const space = Space.create();
    const tree = Tree.open(space, 1n);
    const cycle = (): void => {
      const directory = tree.createDirectory(tree.root, bytes('d'), 1n);
      for (let i = 0; i < 300; i++) {
        const file = tree.createFile(directory, bytes(`f${i}`), 1n);
        tree.setSize(file, i, 1n);
        tree.createLink(directory, bytes(`l${i}`), bytes(`f${i}`), 1n);
      }
      assert.equal(tree.nodes, 602);
      for (const entry of list(tree, directory).slice(2)) tree.unlink(directory, entry.name, 1n);
      assert.equal(tree.removeDirectory(tree.root, bytes('d'), 1n), 0);
      assert.deepEqual([tree.nodes, space.segments.count], [1, 0]);
    };
    cycle(); // the table of segments and the root's own arrays stay once they are there
    const blocks = space.heap.blockCount;
    cycle();
    assert.equal(space.heap.blockCount, blocks);
  });

  it('keeps a file without a name while it is held', () => {
    const space = Space.create();
    const tree = Tree.open(space, 1n);
    const file = tree.createFile(tree.root, bytes('f'), 1n);
    tree.retain(file);
    tree.retain(file);
    assert.equal(tree.unlink(tree.root, bytes('f'), 2n), 0);
    assert.equal(tree.setSize(file, 10, 3n), 0);
    assert.equal(tree.stat(file).links, 0);
    assert.equal(tree.link(file, tree.root, bytes('again'), 3n), -ERRNO.NOENT);
    tree.release(file);
    assert.equal(tree.stat(file).size, 10);
    assert.equal(tree.nodes, 2);
    tree.release(file);
    assert.equal(tree.nodes, 1);
  });

  it('makes nothing in a directory that was removed while it is held', () => {
    const tree = Tree.open(Space.create(), 1n);
    const directory = tree.createDirectory(tree.root, bytes('d'), 1n);
    tree.retain(directory);
    assert.equal(tree.removeDirectory(tree.root, bytes('d'), 1n), 0);
    assert.equal(tree.createFile(directory, bytes('f'), 1n), -ERRNO.NOENT);
    assert.equal(paths.nodeAt(tree, directory, bytes('..'), true), -ERRNO.PERM);
    assert.deepEqual(names(list(tree, directory)), ['.', '..']);
    tree.release(directory);
    assert.equal(tree.nodes, 1);
  });

  it('lists every entry that stays exactly once, whatever comes and goes meanwhile', () => {
    const random = new Prng(seedFrom(process.env.PERDURE_SEED, Date.now()));
    console.log(`seed ${random.seed}`);
    const tree = Tree.open(Space.create(), 1n);
    const staying = Array.from({ length: 200 }, (_, i) => `stay${i}`);
    for (const name of staying) tree.createFile(tree.root, bytes(name), 1n);
    const passing: string[] = [];
    const seen = new Map<string, number>();
    let next = 0;
    for (let cookie = 0; ; ) {
      const entry = tree.next(tree.root, cookie);
      if (entry === null) break;
      cookie = entry.cookie;
      seen.set(text(entry.name), (seen.get(text(entry.name)) ?? 0) + 1);
      for (let i = random.below(6); i > 0 && next < 3000; i--) {
        passing.push(`pass${next++}`);
        assert.ok(tree.createFile(tree.root, bytes(passing[passing.length - 1] as string), 1n) > 0);
      }
      for (let i = random.below(8); i > 0 && passing.length > 0; i--) {
        const [gone] = passing.splice(random.below(passing.length), 1);
        assert.equal(tree.unlink(tree.root, bytes(gone as string), 1n), 0);
      }
    }
    for (const name of staying) assert.equal(seen.get(name), 1, name);
  });

  it('refuses names that are none, and keeps the times it should', () => {
    const tree = Tree.open(Space.create(), 5n);
    for (const name of ['', '.', '..', 'a/b', 'a\0b']) {
      assert.equal(tree.createFile(tree.root, bytes(name), 1n), -ERRNO.INVAL, JSON.stringify(name));
    }
    assert.equal(tree.createFile(tree.root, bytes('n'.repeat(256)), 1n), -ERRNO.NAMETOOLONG);
    const file = tree.createFile(tree.root, bytes('n'.repeat(255)), 10n);
    tree.setTimes(file, 3n, null, 20n);
    const times = ({ accessed, modified, changed }: NodeStat): bigint[] => [accessed, modified, changed];
    assert.deepEqual(times(tree.stat(file)), [3n, 10n, 20n]);
    assert.deepEqual(times(tree.stat(tree.root)), [5n, 10n, 10n]);
  });

  it('never lets a path lead above where it starts', () => {
    const tree = Tree.open(Space.create(), 1n);
    const home = tree.createDirectory(tree.root, bytes('home'), 1n);
    tree.createFile(tree.root, bytes('secret'), 1n);
    const inner = tree.createDirectory(home, bytes('inner'), 1n);
    const at = (path: string, base = home): number => paths.nodeAt(tree, base, bytes(path), true);
    assert.equal(at('..'), -ERRNO.PERM);
    assert.equal(at('inner/../..'), -ERRNO.PERM);
    assert.equal(at('/secret'), -ERRNO.PERM);
    assert.equal(at('inner/..'), home);
    tree.createLink(inner, bytes('up'), bytes('../../secret'), 1n);
    tree.createLink(home, bytes('abs'), bytes('/secret'), 1n);
    assert.equal(at('inner/up'), -ERRNO.PERM);
    assert.equal(at('abs'), -ERRNO.PERM);
    tree.createLink(inner, bytes('ok'), bytes('../inner/../inner/./'), 1n);
    assert.equal(at('inner/ok/ok/ok'), inner);
    assert.equal(at('ok', inner), -ERRNO.PERM, 'from further down the same link leads out');
  });

  it('ends loops of symbolic links, and follows forty', () => {
    const tree = Tree.open(Space.create(), 1n);
    tree.createFile(tree.root, bytes('l0'), 1n);
    for (let i = 1; i <= 41; i++) tree.createLink(tree.root, bytes(`l${i}`), bytes(`l${i - 1}`), 1n);
    assert.equal(paths.nodeAt(tree, tree.root, bytes('l40'), true), tree.lookup(tree.root, bytes('l0')));
    assert.equal(paths.nodeAt(tree, tree.root, bytes('l41'), true), -ERRNO.LOOP);
    tree.createLink(tree.root, bytes('self'), bytes('self'), 1n);
    assert.equal(paths.nodeAt(tree, tree.root, bytes('self/x'), false), -ERRNO.LOOP);
  });

  it('hashes names by a published function under the key of the space', () => {
    const id = Uint8Array.from({ length: 16 }, (_, i) => i - 8); // the key is 0 1 2 3 4 5 6 7
    const space = Space.create({ id });
    const other = Space.create();
    const hashes = new Set<number>();
    for (let length = 0; length < 64; length++) {
      const name = Uint8Array.from({ length }, (_, i) => i);
      hashes.add(hashName(space, name));
      assert.notEqual(hashName(space, name), hashName(other, name));
    }
    assert.equal(hashes.size, 64);
    // Low bits are as good as high ones: names fall into buckets evenly.
    const buckets = new Uint32Array(64);
    for (let i = 0; i < 64 * 64; i++) buckets[hashName(space, bytes(`file-${i}`)) & 63]!++;
    assert.ok(Math.max(...buckets) < 110 && Math.min(...buckets) > 30);
  });

  it('removes a folder however deep it is, and knows where things lie', () => {
    const tree = Tree.open(Space.create(), 1n);
    let at = tree.createDirectory(tree.root, bytes('top'), 1n);
    const side = tree.createDirectory(at, bytes('side'), 1n);
    for (let i = 0; i < 20_000; i++) {
      at = tree.createDirectory(at, bytes('d'), 1n);
      if (i % 1000 === 0) tree.createFile(at, bytes('file'), 1n);
    }
    assert.deepEqual(pathOf(tree, side)?.map(text), ['top', 'side']);
    assert.equal(pathOf(tree, at)?.length, 20_001);
    tree.retain(at);
    assert.equal(removeAll(tree, tree.root, bytes('top'), 2n), 0);
    assert.equal(pathOf(tree, at), null);
    assert.equal(tree.nodes, 2);
    tree.release(at);
    assert.equal(removeAll(tree, tree.root, bytes('top'), 2n), -ERRNO.NOENT);
    assert.equal(tree.nodes, 1);
  });

  it('says NOSPC and changes nothing when the space is full', () => {
    const space = Space.create({ maxFrames: 1024 });
    const tree = Tree.open(space, 1n);
    const file = tree.createFile(tree.root, bytes('f'), 1n);
    const from = space.heap.alloc(8);
    let size = 0;
    for (;;) {
      const result = tree.write(file, size, from, 65536, 2n);
      if (result < 0) {
        assert.equal(result, -ERRNO.NOSPC);
        break;
      }
      size += result;
    }
    assert.equal(tree.stat(file).size, size);
    assert.ok(size > 32 << 20);
    let made = 0;
    for (; made < 10000; made++) {
      const result = tree.createFile(tree.root, bytes(`g${made}`), 1n);
      if (result < 0) {
        assert.equal(result, -ERRNO.NOSPC);
        break;
      }
    }
    assert.ok(made < 10000);
    assert.equal(list(tree, tree.root).length, made + 3);
    assert.equal(tree.unlink(tree.root, bytes('f'), 3n), 0);
    assert.ok(tree.createFile(tree.root, bytes('room again'), 4n) > 0);
  });
});
