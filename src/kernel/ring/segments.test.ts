import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { APPEND_OFFSET, ATTRIBUTE, OPERATION, OPTION, STREAM_OFFSET, SUBMIT } from '../../abi/ring.ts';
import { usedOf } from '../account/account.ts';
import type { Domain } from '../domain.ts';
import { TestSystem } from '../kernel.testing.ts';
import { Tree } from '../tree.ts';
import { RingUser } from './ring.testing.ts';

const op = OPERATION;
const OUT = 0x8000;
const SIZE = 200_000;

const domainOf = (user: RingUser): Domain => user.system.kernel.core.peek(user.id) as Domain;
const objectOf = (user: RingUser, handle: number): number =>
  user.system.kernel.core.clists.objectAt(domainOf(user), handle);

async function segmentUser(size = SIZE) {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 16);
  const { core } = system.kernel;
  return { system, user, core, handle: core.segments.create(domainOf(user), size) };
}

test('a segment is read and written like a file that does not grow', async () => {
  const { system, user, handle } = await segmentUser();
  user.write(0x6000, 'hello');
  user.write(0x6100, ' world');
  user.write(0x5000, new Uint8Array(new Uint32Array([0x6000, 5, 0x6100, 6]).buffer));
  const vector = { handle, first: 0x5000, firstLength: 2, flags: SUBMIT.vector };
  assert.equal(user.run({ ...vector, op: op.write, offset: 65_530n }).result, 11);
  const write = { op: op.write, handle, first: 0x6000, firstLength: 5 };
  assert.equal(user.run({ ...write, offset: BigInt(SIZE - 5) }).result, 5);
  for (const offset of [BigInt(SIZE - 4), BigInt(SIZE), 1n << 52n, 1n << 63n, APPEND_OFFSET, STREAM_OFFSET]) {
    assert.equal(user.run({ ...write, offset }).result, -ERRNO.INVAL, String(offset));
  }
  system.checkpoint();
  system.crash();
  const read = { op: op.read, handle, first: OUT, firstLength: 100 };
  assert.equal(user.run({ ...read, firstLength: 12, offset: 65_529n }).result, 12);
  assert.equal(user.text(OUT, 12), '\0hello world');
  assert.equal(user.run({ ...read, offset: BigInt(SIZE - 6) }).result, 6);
  assert.equal(user.text(OUT, 6), '\0hello');
  assert.equal(user.run({ ...read, offset: BigInt(SIZE) }).result, 0);
  assert.equal(user.run({ ...read, offset: 1n << 52n }).result, 0);
  assert.equal(user.run({ ...read, offset: STREAM_OFFSET }).result, -ERRNO.INVAL);
  assert.equal(user.run({ ...vector, op: op.read, offset: 65_530n }).result, 11);
  assert.equal(user.text(0x6100, 6), ' world');
  assert.equal(user.run({ op: op.describe, handle, second: OUT, secondLength: 64 }).result, 64);
  assert.equal(system.space.view.getBigUint64(user.base + OUT + ATTRIBUTE.size, true), BigInt(SIZE));
  assert.equal(user.run({ op: op.describe, handle, second: OUT, secondLength: 63 }).result, -ERRNO.INVAL);
  const below = { op: op.describe, handle, first: 0x6000, firstLength: 5, second: OUT, secondLength: 64 };
  assert.equal(user.run(below).result, -ERRNO.NOTDIR);
  assert.equal(user.run({ op: op.wait, handle, options: OPTION.read }).result, OPTION.read);
  assert.equal(user.run({ op: op.list, handle, first: OUT, firstLength: 64 }).result, -ERRNO.NOTSUP);
});

test('rights, seals and freezing hold for rings as they do for calls', async () => {
  const { system, user, core, handle } = await segmentUser();
  const other = await RingUser.make(system, 'b');
  const give = (rights: number): number => core.clists.pass(domainOf(user), handle, domainOf(other), rights);
  const write = { op: op.write, first: OUT, firstLength: 4 };
  const read = { ...write, op: op.read };
  const [reader, writer] = [give(RIGHT.read), give(RIGHT.write)];
  assert.equal(other.run({ ...write, handle: reader }).result, -ERRNO.NOTCAPABLE);
  assert.equal(other.run({ ...read, handle: reader }).result, 4);
  assert.equal(other.run({ ...read, handle: writer }).result, -ERRNO.NOTCAPABLE);
  assert.equal(other.run({ ...write, handle: writer }).result, 4);
  const object = objectOf(user, handle);
  assert.equal(core.segments.freeze(object, domainOf(user), handle), 0);
  assert.equal(other.run({ ...write, handle: writer }).result, -ERRNO.BUSY);
  assert.equal(user.run({ ...write, handle }).result, 4);
  assert.equal(core.segments.thaw(object, domainOf(user)), 0);
  // A copy that shares its bytes has them to itself when they change.
  other.write(OUT, 'abcd');
  const copy = core.segments.copy(domainOf(user), object);
  assert.equal(other.run({ ...write, handle: writer }).result, 4);
  assert.equal(user.run({ ...read, handle: copy }).result, 4);
  assert.equal(user.text(OUT, 4), '\0\0\0\0');
  core.segments.seal(object);
  assert.equal(other.run({ ...write, handle: writer }).result, -ERRNO.ROFS);
  assert.equal(user.call('cap_revoke', handle), 0);
  assert.equal(other.run({ ...read, handle: reader }).result, -ERRNO.REVOKED);
});

test('map gives the segment once more with fewer rights, which ends when the first is revoked', async () => {
  const { system, user, core, handle } = await segmentUser();
  const other = await RingUser.make(system, 'b');
  const give = (rights: number): number => core.clists.pass(domainOf(user), handle, domainOf(other), rights);
  const before = other.call('cap_count');
  const plain = give(RIGHT.read | RIGHT.write);
  assert.equal(other.run({ op: op.map, handle: plain }).result, -ERRNO.NOTCAPABLE);
  const there = give(RIGHTS_ALL);
  const wanted = RIGHT.read | RIGHT.map | RIGHT.revoke;
  const mapped = other.run({ op: op.map, handle: there, rights: wanted }).result;
  assert.ok(mapped > 0 && mapped !== there);
  assert.equal(objectOf(other, mapped), objectOf(user, handle));
  assert.equal(other.call('cap_revoke', mapped), -ERRNO.NOTCAPABLE);
  const write = { op: op.write, first: OUT, firstLength: 4 };
  assert.equal(other.run({ ...write, handle: mapped }).result, -ERRNO.NOTCAPABLE);
  const all = other.run({ op: op.map, handle: there }).result;
  assert.equal(other.run({ ...write, handle: all }).result, 4);
  assert.equal(user.call('cap_revoke', handle), 0);
  assert.equal(other.run({ ...write, op: op.read, handle: mapped }).result, -ERRNO.REVOKED);
  for (const one of [plain, there, mapped, all]) other.call('cap_close', one);
  assert.equal(other.call('cap_count'), before);
});

test('map of a file gives its bytes as a segment of the client, whatever becomes of the file', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 16);
  const { core } = system.kernel;
  const tree = Tree.open(system.space, 0n);
  const root = system.kernel.authority.grant(user.id, { name: 'tree', ...core.nodes.capability(tree.root) });
  const used = (): number => usedOf(system.space, domainOf(user).account, RESOURCE.memory);
  const [before, segments] = [used(), system.space.segments.count];
  for (const size of [0, 5, 65_536, 150_001]) {
    const firstLength = user.write(0x6000, `f${size}`);
    const open = { op: op.open, handle: root, first: 0x6000, firstLength };
    const options = OPTION.create | OPTION.read | OPTION.write;
    const file = user.run({ ...open, options }).result;
    user.write(OUT, 'begin');
    if (size > 0) user.run({ op: op.write, handle: file, first: OUT, firstLength: 5 });
    user.write(OUT, 'end');
    if (size > 5) {
      user.run({ op: op.write, handle: file, first: OUT, firstLength: 3, offset: BigInt(size - 3) });
    }
    const mapped = user.run({ op: op.map, handle: file }).result;
    assert.ok(mapped > 0);
    assert.equal(used() - before, Math.ceil(size / 65_536) * 65_536);
    // The file is overwritten, cut and removed.
    user.write(OUT, 'xxxxx');
    user.run({ op: op.write, handle: file, first: OUT, firstLength: 5 });
    tree.setSize(core.objects.a(objectOf(user, file)), 1, 0n);
    user.write(0x6000, `f${size}`);
    assert.equal(user.run({ ...open, op: op.remove }).result, 0);
    assert.equal(user.run({ op: op.close, handle: file }).result, 0);
    const read = { op: op.read, handle: mapped, first: OUT };
    assert.equal(user.run({ ...read, firstLength: 10 }).result, Math.min(size, 10));
    if (size > 0) assert.equal(user.text(OUT, 5), 'begin');
    if (size > 5) {
      assert.equal(user.run({ ...read, firstLength: 10, offset: BigInt(size - 4) }).result, 4);
      assert.equal(user.text(OUT, 4), '\0end');
    }
    assert.equal(user.run({ op: op.close, handle: mapped }).result, 0);
    assert.deepEqual([used(), system.space.segments.count], [before, segments]);
  }
});

test('map of a file asks for the right to read, for room and for memory, and takes rights away', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 16);
  const { core } = system.kernel;
  const tree = Tree.open(system.space, 0n);
  const node = tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  tree.setSize(node, 100_000, 0n);
  const file = system.kernel.authority.grant(user.id, { name: 'file', ...core.nodes.capability(node) });
  const blind = user.call('cap_copy', file, RIGHT.map | RIGHT.write);
  assert.equal(user.run({ op: op.map, handle: blind }).result, -ERRNO.NOTCAPABLE);
  const still = user.call('cap_copy', file, RIGHT.read);
  assert.equal(user.run({ op: op.map, handle: still }).result, -ERRNO.NOTCAPABLE);
  const mapped = user.run({ op: op.map, handle: file, rights: RIGHT.read | RIGHT.map }).result;
  const write = { op: op.write, handle: mapped, first: OUT, firstLength: 1 };
  assert.equal(user.run(write).result, -ERRNO.NOTCAPABLE);
  const segments = system.space.segments.count;
  // Holes cost nothing in a file, but a segment is paid for whole.
  tree.setSize(node, 2 ** 33, 0n);
  assert.equal(user.run({ op: op.map, handle: file }).result, -ERRNO.DQUOT);
  assert.equal(system.space.segments.count, segments);
});
