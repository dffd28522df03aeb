import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { APPEND_OFFSET, ATTRIBUTE, OPERATION, OPTION, STREAM_OFFSET, SUBMIT } from '../../abi/ring.ts';
import { FakePorts } from '../../personalities/wasi/ports.testing.ts';
import type { Held } from '../capability/capabilities.ts';
import { TestSystem } from '../kernel.testing.ts';
import { byteAt, FakeFile } from '../segment/file.testing.ts';
import { Tree } from '../tree.ts';
import { RingUser, type Submission } from './ring.testing.ts';

const op = OPERATION;
const OUT = 0x8000;

/** A path as the first buffer. */
const path = (user: RingUser, text: string, at = 0x6000): Submission => ({
  op: 0,
  first: at,
  firstLength: user.write(at, text),
});
const second = (user: RingUser, data: string | Uint8Array): Partial<Submission> => ({
  second: 0x7000,
  secondLength: user.write(0x7000, data),
});
const grant = (user: RingUser, held: Held, rights = RIGHTS_ALL): number =>
  user.system.kernel.authority.grant(user.id, { name: 'it', ...held, rights });

async function treeUser(rights = RIGHTS_ALL): Promise<{ user: RingUser; handle: number; tree: Tree }> {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 16);
  const tree = Tree.open(system.space, 0n);
  return { user, tree, handle: grant(user, system.kernel.core.nodes.capability(tree.root), rights) };
}
const names = (listing: Uint8Array): string[] => {
  const view = new DataView(listing.buffer);
  const found: string[] = [];
  for (let at = 0; at < listing.length; ) {
    const length = view.getUint32(at + 16, true);
    found.push(new TextDecoder().decode(listing.subarray(at + 24, at + 24 + length)));
    at += 24 + length;
  }
  return found;
};

test('files of the tree: made, written, read, listed, described, renamed, linked, removed', async () => {
  const { user, handle } = await treeUser();
  const open = (text: string, options: number) =>
    user.run({ ...path(user, text), op: op.open, handle, options, rights: RIGHT.read | RIGHT.write });
  const made = open('one', OPTION.create | OPTION.write | OPTION.read);
  assert.ok(made.result > 0);
  assert.equal(made.value, 4n);
  const file = made.result;
  user.write(0x6000, 'hello');
  user.write(0x6100, ' world');
  const vectors = new Uint32Array([0x6000, 5, 0x6100, 6, 0x6000, 0]);
  user.write(0x5000, new Uint8Array(vectors.buffer));
  const write = { op: op.write, handle: file, first: 0x5000, firstLength: 3, flags: SUBMIT.vector };
  assert.deepEqual(user.run(write), { user: 0n, result: 11, value: 0n });
  assert.equal(user.run({ ...write, offset: APPEND_OFFSET }).value, 22n);
  assert.equal(user.run({ op: op.read, handle: file, first: OUT, firstLength: 100, offset: 3n }).result, 19);
  assert.equal(user.text(OUT, 19), 'lo worldhello world');
  assert.equal(user.run({ op: op.read, handle: file, first: OUT, firstLength: 9, offset: 22n }).result, 0);
  assert.equal(open('gone', OPTION.read).result, -ERRNO.NOENT);
  assert.equal(
    user.run({ ...path(user, 'folder'), op: op.create, handle, options: OPTION.directory }).result,
    0,
  );
  const link = {
    ...path(user, 'soft'),
    ...second(user, 'one'),
    op: op.create,
    handle,
    options: OPTION.symbolic,
  };
  assert.equal(user.run(link).result, 0);
  const says = { ...path(user, 'soft'), op: op.readLink, handle, second: OUT, secondLength: 50 };
  assert.equal(user.run(says).result, 3);
  assert.equal(user.text(OUT, 3), 'one');
  assert.equal(
    user.run({ ...path(user, 'one'), ...second(user, 'folder/two'), op: op.link, handle }).result,
    0,
  );
  assert.equal(user.run({ ...path(user, 'one'), ...second(user, 'uno'), op: op.rename, handle }).result, 0);
  const describe = { ...path(user, 'folder/two'), op: op.describe, handle, second: OUT, secondLength: 64 };
  assert.equal(user.run(describe).result, 64);
  const at = user.base + OUT;
  assert.equal(user.system.space.view.getBigUint64(at + ATTRIBUTE.size, true), 22n);
  assert.equal(user.system.space.view.getBigUint64(at + ATTRIBUTE.links, true), 2n);
  const listed = user.run({ op: op.list, handle, first: OUT, firstLength: 1000 });
  assert.deepEqual(names(user.read(OUT, listed.result)).sort(), ['folder', 'soft', 'uno']);
  const change = new BigUint64Array([5n, 0n, 7n]);
  const changed = { ...second(user, new Uint8Array(change.buffer)), op: op.change, handle: file };
  assert.equal(user.run({ ...changed, options: OPTION.size | OPTION.modified }).result, 0);
  assert.equal(user.run({ op: op.read, handle: file, first: OUT, firstLength: 100 }).result, 5);
  assert.equal(
    user.run({ ...path(user, 'folder'), op: op.remove, handle, options: OPTION.directory }).result,
    -ERRNO.NOTEMPTY,
  );
  assert.equal(user.run({ ...path(user, 'folder/two'), op: op.remove, handle }).result, 0);
  assert.equal(user.run({ ...path(user, '../x'), op: op.open, handle }).result, -ERRNO.PERM);
  assert.equal(user.run({ op: op.sync, handle: file }).result, 0);
  assert.equal(user.run({ op: op.close, handle: file }).result, 0);
  assert.equal(user.run({ op: op.read, handle: file, first: OUT, firstLength: 1 }).result, -ERRNO.BADF);
});

test('rights shrink on the way, and revoking a folder ends what was opened through it', async () => {
  const { user, handle, tree } = await treeUser();
  tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  const shared = user.run({ op: op.share, handle, rights: RIGHT.read | RIGHT.derive }).result;
  const open = { ...path(user, 'f'), op: op.open, handle: shared };
  const folder = { ...path(user, 'd', 0x6800), op: op.create, handle: shared, options: OPTION.directory };
  assert.equal(user.run({ ...open, options: OPTION.write }).result, -ERRNO.NOTCAPABLE);
  assert.equal(user.run(folder).result, -ERRNO.NOTCAPABLE);
  const file = user.run({ ...open, options: OPTION.read }).result;
  assert.ok(file > 0);
  assert.equal(
    user.run({ op: op.write, handle: file, first: OUT, firstLength: 1 }).result,
    -ERRNO.NOTCAPABLE,
  );
  assert.equal(user.run({ op: op.read, handle: file, first: OUT, firstLength: 1 }).result, 0);
  assert.equal(user.call('cap_revoke', handle), 0);
  assert.equal(user.run({ op: op.read, handle: file, first: OUT, firstLength: 1 }).result, -ERRNO.REVOKED);
  assert.equal(user.run({ ...open, options: OPTION.read }).result, -ERRNO.REVOKED);
  assert.equal(user.run({ op: op.describe, handle, second: OUT, secondLength: 64 }).result, 64);
});

test('buffers outside of memory, paths too long, offsets past any file: a clear error each', async () => {
  const { user, handle, tree } = await treeUser();
  tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  const file = user.run({ ...path(user, 'f'), op: op.open, handle }).result;
  const end = 16 * 65536;
  const cases: [number, Submission][] = [
    [ERRNO.FAULT, { op: op.read, handle: file, first: end - 1, firstLength: 2 }],
    [ERRNO.FAULT, { op: op.read, handle: file, first: 0xffff_ffff, firstLength: 0xffff_ffff }],
    [ERRNO.FAULT, { op: op.read, handle: file, first: end - 8, firstLength: 2, flags: SUBMIT.vector }],
    [ERRNO.FAULT, { op: op.describe, handle, first: 0, firstLength: 0, second: end, secondLength: 64 }],
    [ERRNO.NAMETOOLONG, { op: op.open, handle, first: 0, firstLength: 4097 }],
    [ERRNO.INVAL, { op: op.read, handle: file, first: 0, firstLength: 8, offset: STREAM_OFFSET }],
    [ERRNO.INVAL, { op: op.write, handle: file, first: 0, firstLength: 8, offset: 1n << 63n }],
    [ERRNO.INVAL, { op: op.describe, handle, second: OUT, secondLength: 63 }],
    [ERRNO.INVAL, { op: op.open, handle, flags: SUBMIT.vector }],
    [ERRNO.INVAL, { op: op.read, handle: file, options: 1 << 20 }],
    [ERRNO.ISDIR, { op: op.read, handle, first: 0, firstLength: 8 }],
    [ERRNO.NOTDIR, { op: op.list, handle: file, first: 0, firstLength: 8 }],
    [ERRNO.ISDIR, { op: op.map, handle }],
    [ERRNO.NOTSUP, { op: op.read, handle: user.handle }],
  ];
  for (const [errno, submission] of cases) {
    assert.equal(
      user.run(submission).result,
      -errno,
      JSON.stringify(submission, (_, v) => String(v)),
    );
  }
});

function hosted(): { system: TestSystem; ports: FakePorts } {
  const ports = new FakePorts();
  return { system: new TestSystem({ ports }), ports };
}

test('a stream that has nothing lets its reader wait, over a restart too', async () => {
  const { system, ports } = hosted();
  const user = await RingUser.make(system, 'a');
  const { hosts } = system.kernel.core;
  const stdin = grant(user, hosts.capability({ kind: 'stream', domain: user.id, which: 0 }));
  const pipe = ports.stdin;
  user.submit(
    { op: op.read, user: 1n, handle: stdin, first: OUT, firstLength: 10, flags: SUBMIT.link },
    { op: op.read, user: 2n, handle: stdin, first: OUT + 100, firstLength: 10, limit: 1000n },
  );
  assert.deepEqual(user.results(), {});
  assert.ok(pipe.subscribers.has(user.id));
  system.checkpoint();
  system.crash();
  system.kernel.run();
  pipe.say('hello');
  system.kernel.wake(user.id);
  system.kernel.run();
  assert.deepEqual(user.results(), { 1: 5 });
  assert.equal(user.text(OUT, 5), 'hello');
  system.powers.ns += 1000n;
  system.kernel.run();
  assert.deepEqual(user.results(), { 2: -ERRNO.TIMEDOUT });
  // One that was cancelled takes nothing.
  user.submit({ op: op.read, user: 3n, handle: stdin, first: OUT, firstLength: 10 });
  user.submit({ op: op.cancel, user: 4n, offset: 3n });
  pipe.say('more');
  system.kernel.wake(user.id);
  system.kernel.run();
  assert.deepEqual(user.results(), { 3: -ERRNO.CANCELED, 4: 0 });
  assert.equal(pipe.text(), 'more');
  // One whose capability is revoked while it waits gets nothing.
  pipe.bytes = [];
  user.submit({ op: op.read, user: 5n, handle: stdin, first: OUT, firstLength: 10 });
  const [copy] = [user.call('cap_copy', stdin, RIGHTS_ALL)];
  assert.ok(copy > 0);
  pipe.say('secret');
  system.kernel.core.capabilities.revoke(capabilityOf(user, stdin));
  system.kernel.wake(user.id);
  system.kernel.run();
  assert.deepEqual(user.results(), { 5: -ERRNO.REVOKED });
  assert.equal(system.kernel.core.rings.count, 0);
});

test('a file of the host is mapped: a segment whose bytes are read when they are touched', async () => {
  const { system, ports } = hosted();
  const user = await RingUser.make(system, 'a');
  const { core } = system.kernel;
  const file = new FakeFile(1, 200_000);
  ports.objects.set(1, file);
  const handle = grant(user, core.hosts.capability({ kind: 'port', id: 1 }));
  const { result } = user.run({ op: op.map, handle, rights: RIGHT.read | RIGHT.map });
  assert.ok(result > 0);
  assert.equal(file.reads, 1, 'whether it can be read');
  user.run({ op: op.close, handle });
  assert.equal(file.closed, false, 'the segment has it');
  assert.equal(
    user.run({ op: op.read, handle: result, first: OUT, firstLength: 8, offset: 150_000n }).result,
    8,
  );
  assert.deepEqual(
    [...user.read(OUT, 8)],
    Array.from({ length: 8 }, (_, i) => byteAt(150_000 + i)),
  );
  assert.equal(
    user.run({ op: op.write, handle: result, first: OUT, firstLength: 8 }).result,
    -ERRNO.NOTCAPABLE,
  );
  file.modifiedNs++;
  assert.equal(
    user.run({ op: op.read, handle: result, first: OUT, firstLength: 8, offset: 9n }).result,
    -ERRNO.STALE,
  );
  user.run({ op: op.close, handle: result });
  assert.ok(file.closed);
  const other = new FakeFile(2, 100);
  other.failing = -ERRNO.BADF;
  ports.objects.set(2, other);
  const written = grant(user, core.hosts.capability({ kind: 'port', id: 2 }));
  assert.equal(user.run({ op: op.map, handle: written }).result, -ERRNO.BADF, 'opened to be written alone');
});

function capabilityOf(user: RingUser, handle: number): number {
  const { core } = user.system.kernel;
  const domain = core.peek(user.id);
  assert.ok(domain);
  const found = core.clists.find(domain, handle);
  assert.ok(typeof found !== 'number');
  return found.capability;
}

test('output, readiness, the clock and random bytes', async () => {
  const { system, ports } = hosted();
  const user = await RingUser.make(system, 'a');
  const { hosts } = system.kernel.core;
  const out = grant(user, hosts.capability({ kind: 'stream', domain: user.id, which: 1 }));
  user.write(OUT, 'abc');
  assert.equal(user.run({ op: op.write, handle: out, first: OUT, firstLength: 3 }).result, 3);
  assert.equal(ports.stdout.text(), 'abc');
  assert.equal(user.run({ op: op.wait, handle: out, options: OPTION.write }).result, OPTION.write);
  const clock = grant(user, hosts.capability({ kind: 'clock' }));
  assert.equal(user.run({ op: op.read, handle: clock, first: OUT, firstLength: 8 }).result, 8);
  assert.equal(system.space.view.getBigUint64(user.base + OUT, true), ports.time - 1n);
  const random = grant(user, hosts.capability({ kind: 'random' }));
  assert.equal(user.run({ op: op.read, handle: random, first: OUT, firstLength: 64 }).result, 64);
  assert.ok(new Set(user.read(OUT, 64)).size > 10);
  assert.equal(user.run({ op: op.write, handle: random, first: OUT, firstLength: 64 }).result, -ERRNO.NOTSUP);
});
