import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MalformedError } from '../../base/errors.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { Space } from '../../space/index.ts';
import { OFLAGS, RIGHT, RIGHTS_ALL } from './abi.ts';
import { Guest } from './guest.testing.ts';
import type { StateImage } from './image.ts';

const CREAT = { oflags: OFLAGS.CREAT };
const DIRECTORY = {
  oflags: OFLAGS.DIRECTORY,
  rights: BigInt(RIGHT.FD_READDIR | RIGHT.PATH_OPEN | RIGHT.FD_FILESTAT_GET),
  inheriting: -1n,
};

/** A guest that has a bit of everything open. */
function busyGuest(): Guest {
  const g = new Guest({
    args: ['prog', 'arg'],
    env: ['A=1'],
    grants: [
      { kind: 'tree', path: '/home/busy', guest: '/' },
      { kind: 'tree', path: '/shared/data', guest: '/data', readOnly: true },
      { kind: 'host', id: 77, guest: '/host' },
      { kind: 'socket', id: 78 },
    ],
  });
  const big = g.open('big', CREAT); // 7
  for (let i = 0; i < 5; i++) {
    g.seek(big, i * 100_000, 0);
    g.write(big, `piece ${i}`);
  }
  g.ok('path_create_directory', 3, ...g.put('dir'));
  g.ok('path_create_directory', 3, ...g.put('dir/deeper'));
  const inner = g.open('dir/deeper/file', CREAT); // 8
  g.write(inner, 'inside');
  g.seek(inner, 2, 0);
  g.ok('path_link', 3, 0, ...g.put('dir/deeper/file'), 3, ...g.put('twin'));
  g.ok('path_symlink', ...g.put('dir/deeper'), 3, ...g.put('link'));
  const lost = g.open('lost', CREAT); // 9
  g.write(lost, 'without a name');
  g.ok('path_unlink_file', 3, ...g.put('lost'));
  g.open('dir/deeper', DIRECTORY); // 10
  g.ok('path_create_directory', 3, ...g.put('gone'));
  g.open('gone', DIRECTORY); // 11
  g.ok('path_remove_directory', 3, ...g.put('gone'));
  return g;
}

const stat = (g: Guest, fd: number): bigint[] => {
  const out = g.room(64);
  g.ok('fd_filestat_get', fd, out);
  return [g.u64(out + 8), g.u64(out + 32), g.u64(out + 48)];
};
function listing(g: Guest, fd: number): string {
  const [buffer, out] = [g.room(4096), g.room(4)];
  g.ok('fd_readdir', fd, buffer, 4096, 2n, out);
  return Buffer.from(g.bytesAt(buffer, g.u32(out))).toString('hex');
}
const describeOf = (g: Guest): StateImage => g.wasi.describe(g.space, 1, g.state);
/** Moves a guest's state to another one, by its image. */
function carry(from: Guest, to: Guest, name: string): void {
  const image = structuredClone(describeOf(from));
  to.wasi.release(to.space, 1, to.state, { kind: 'exit', code: 0 });
  to.state = to.wasi.adopt(to.space, 1, image, name);
}

describe('a domain carried to another space', () => {
  it('finds its files, descriptors and positions as they were', () => {
    const from = busyGuest();
    const to = new Guest({ space: Space.create({ id: Uint8Array.from({ length: 16 }, () => 9) }) });
    const before = [3, 7, 8, 9, 10, 11].map((fd) => stat(from, fd));
    const lists = [3, 10].map((fd) => listing(from, fd));
    carry(from, to, 'busy');
    assert.deepEqual(
      [3, 7, 8, 9, 10, 11].map((fd) => stat(to, fd)),
      before,
      'numbers, sizes and times',
    );
    assert.deepEqual(
      [3, 10].map((fd) => listing(to, fd)),
      lists,
      'cookies and numbers of entries',
    );
    assert.equal(to.read(8, 10), 'side');
    to.seek(9, 0, 0);
    assert.equal(to.read(9, 20), 'without a name');
    to.seek(7, 300_000, 0);
    assert.equal(to.read(7, 7), 'piece 3');
    const out = to.room(64);
    to.ok('path_filestat_get', 3, 0, ...to.put('twin'), out);
    assert.equal(to.u64(out + 24), 2n, 'two names of one file');
    assert.equal(to.errno('path_create_directory', 4, ...to.put('x')), 'ROFS');
    assert.equal(to.errno('path_open', 11, 0, ...to.put('x'), 1, 0n, 0n, 0, out), 'NOTCAPABLE');
    to.ok('args_sizes_get', out, out + 4);
    assert.deepEqual([to.u32(out), to.u32(out + 4)], [2, 9]);
    assert.deepEqual(describeOf(to).nodes.length, describeOf(from).nodes.length);
    assert.ok(to.wasi.tree.nodes > 10);
    to.wasi.release(to.space, 1, to.state, { kind: 'exit', code: 0 });
  });

  it('has lost what is of the host, until it is granted again', () => {
    const from = busyGuest();
    const to = new Guest({ space: Space.create() });
    carry(from, to, 'busy');
    const out = to.room(64);
    to.ok('fd_prestat_get', 5, out);
    assert.equal(to.errno('path_create_directory', 5, ...to.put('x')), 'STALE');
    assert.equal(to.errno('fd_read', 6, ...to.vectors([out, 4]), out), 'CONNRESET');
    assert.ok(!to.wasi.grantAgain(to.state, { kind: 'host', id: 5, guest: '/other' }));
    assert.ok(to.wasi.grantAgain(to.state, { kind: 'host', id: 5, guest: '/host', readOnly: true }));
    assert.equal(to.errno('path_create_directory', 5, ...to.put('x')), 'ROFS');
  });

  it('never comes into a folder that is there', () => {
    const from = busyGuest();
    const to = new Guest({ grants: [{ kind: 'tree', path: '/home/busy', guest: '/' }] });
    to.write(to.open('mine', CREAT), 'of another');
    carry(from, to, 'busy');
    assert.equal(to.tryOpen('mine'), 'NOENT');
    const { tree } = to.wasi;
    const name = (text: string): Uint8Array => new TextEncoder().encode(text);
    const home = tree.lookup(tree.root, name('home'));
    assert.ok(tree.lookup(home, name('busy-2')) > 0);
    assert.ok(tree.lookup(tree.lookup(tree.root, name('imported')), name('data')) > 0);
  });

  it('gains no right that its descriptors could not have', () => {
    const image = describeOf(busyGuest());
    for (const descriptor of image.descriptors) descriptor.rights = RIGHTS_ALL;
    const to = new Guest();
    to.state = to.wasi.adopt(to.space, 1, image, 'greedy');
    const out = to.room(8);
    assert.equal(to.errno('fd_write', 0, ...to.vectors(to.put('x')), out), 'NOTCAPABLE');
    assert.equal(to.errno('fd_read', 1, ...to.vectors([out, 4]), out), 'NOTCAPABLE');
    assert.equal(to.errno('fd_seek', 3, 0n, 0, out), 'ISDIR');
  });

  it('is refused when anything of it is damaged, and leaves nothing', () => {
    const random = new Prng(seedFrom(process.env.PERDURE_SEED, Date.now()));
    console.log(`seed ${random.seed}`);
    const image = describeOf(busyGuest());
    const to = new Guest();
    to.wasi.release(to.space, 1, to.wasi.adopt(to.space, 1, image, 'warm'), { kind: 'exit', code: 0 });
    let refused = 0;
    for (let i = 0; i < 600; i++) {
      const damaged = structuredClone(image);
      damage(random, damaged as unknown as Record<string, unknown>);
      const before = [to.space.heap.blockCount, to.space.segments.count, to.wasi.tree.nodes];
      try {
        const state = to.wasi.adopt(to.space, 1, damaged, 'test');
        to.wasi.release(to.space, 1, state, { kind: 'exit', code: 0 });
      } catch (error) {
        assert.ok(error instanceof MalformedError, String(error));
        assert.deepEqual([to.space.heap.blockCount, to.space.segments.count, to.wasi.tree.nodes], before);
        refused++;
      }
    }
    assert.ok(refused > 150, `${refused} refused`);
  });
});

/** Changes one value somewhere in plain data. */
function damage(random: Prng, data: Record<string, unknown>): void {
  let at: Record<string, unknown> = data;
  for (;;) {
    const keys = Object.keys(at);
    if (keys.length === 0) return;
    const key = random.pick(keys);
    const value = at[key];
    const goOn = typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
    if (goOn && random.chance(0.9)) {
      at = value as Record<string, unknown>;
      continue;
    }
    at[key] = random.pick<unknown>([
      0,
      1,
      2,
      3,
      4,
      5,
      -1,
      99,
      2 ** 53,
      0.5,
      null,
      'x',
      true,
      1n,
      -1n,
      [],
      {},
      new Uint8Array(3),
    ]);
    return;
  }
}
