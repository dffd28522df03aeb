/** Rings that lie in windows: what is shared, moves and goes there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, RING_SERVES, ringBytes, TABLE_KIND } from '../../abi/ring.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { TestSystem } from '../kernel.testing.ts';
import { RingUser } from './ring.testing.ts';
import { Ring } from './ring.ts';
import { domainOf, SIZE, Window } from './window.testing.ts';

const op = OPERATION;
const MS = 1_000_000n;

/** A program whose ring lies 4096 bytes into a window. */
async function placed(system: TestSystem, name: string, flags = 0): Promise<[RingUser, Window]> {
  const user = await RingUser.make(system, name, 8, flags);
  const window = new Window(user);
  assert.ok(user.place(window.near + 4096) > 0);
  return [user, window];
}

test('a ring in a window works as one in memory does, where the segment has moved and after a restart too', async () => {
  const system = new TestSystem();
  const [user, window] = await placed(system, 'a');
  for (let round = 0n; round < 20n; round++) {
    assert.equal(user.submit(...[1n, 2n, 3n].map((n) => ({ op: op.nop, user: 10n * round + n }))), 3);
    assert.deepEqual(
      user.completions().map((each) => each.user),
      [1n, 2n, 3n].map((n) => 10n * round + n),
    );
  }
  user.submit({ op: op.timeout, user: 1n, offset: MS }, { op: op.timeout, user: 2n, offset: 2n * MS });
  const { segments } = system.kernel.core;
  const before = segments.address(window.object);
  for (let size = 2 * SIZE; segments.address(window.object) === before; size += SIZE) {
    new Window(user);
    assert.equal(segments.grow(window.object, size), 0);
  }
  system.powers.ns += MS;
  system.runAll();
  assert.deepEqual(user.results(), { 1: 0 });
  system.checkpoint();
  system.crash();
  system.powers.ns += MS;
  system.runAll();
  assert.deepEqual(user.results(), { 2: 0 });
});

test('what can be no place of a ring is refused', async () => {
  const system = new TestSystem();
  const [user, window] = await placed(system, 'a');
  const errno = (near: number): number => -user.call('ring_create', near, 8, 0);
  assert.equal(errno(WINDOW_BASE), ERRNO.FAULT);
  assert.equal(errno(window.near + 32), ERRNO.INVAL);
  assert.equal(errno(window.near + SIZE - (SIZE % 64)), ERRNO.FAULT);
  assert.equal(errno(0xffff_ffc0), ERRNO.FAULT);
  assert.equal(errno(window.map(RIGHT.read)), ERRNO.FAULT);
});

test('completions of a ring whose window is gone wait until something is there again', async () => {
  const system = new TestSystem();
  const [user, window] = await placed(system, 'a');
  const { near } = window;
  user.submit({ op: op.timeout, user: 1n, offset: MS }, { op: op.timeout, user: 2n, offset: 2n * MS });
  window.unmap();
  system.powers.ns += MS;
  system.runAll();
  assert.equal(user.enter(1), -ERRNO.FAULT);
  assert.equal(user.enter(0, 1, -1n), -ERRNO.FAULT, 'who waits is told, too');
  assert.equal(window.map(RIGHTS_ALL), near);
  assert.equal(user.enter(), 0);
  assert.deepEqual(user.results(), { 1: 0 });
  // Frozen by another: not to be written for the time.
  const other = await RingUser.make(system, 'other');
  const theirs = system.kernel.core.clists.pass(domainOf(user), window.handle, domainOf(other), RIGHTS_ALL);
  const { segments } = system.kernel.core;
  assert.equal(segments.freeze(window.object, domainOf(other), theirs), 0);
  system.powers.ns += MS;
  system.runAll();
  assert.equal(user.enter(), -ERRNO.FAULT);
  assert.equal(segments.thaw(window.object, domainOf(other)), 0);
  assert.equal(user.enter(), 0);
  assert.deepEqual(user.results(), { 2: 0 });
  // Revoked for good: the ring can still be closed, and all of it is given back.
  user.submit({ op: op.timeout, user: 3n, offset: MS }, { op: op.timeout, user: 4n, offset: 2n * MS });
  system.kernel.core.objects.destroy(window.object);
  system.powers.ns += MS;
  system.runAll();
  assert.equal(user.enter(), -ERRNO.FAULT);
  assert.equal(user.call('cap_close', user.handle), 0);
  assert.equal(system.kernel.core.rings.count, 0);
});

test('whoever waits in a ring whose window goes meanwhile is told at the next wake', async () => {
  const system = new TestSystem();
  const [user, window] = await placed(system, 'a');
  user.push({ op: op.timeout, user: 1n, offset: MS });
  assert.equal(user.outcome('ring_enter', user.handle, 1, 1, -1n).kind, 'blocked');
  window.unmap();
  system.powers.ns += MS;
  system.kernel.core.rings.work();
  assert.equal(user.result(system.kernel.proceed(user.id)), -ERRNO.FAULT);
});

test('a window that goes while submissions are taken: those that were taken are done, the others stay', async (t) => {
  const system = new TestSystem();
  const [user, window] = await placed(system, 'a');
  const { copy } = Ring.prototype;
  t.after(() => {
    Ring.prototype.copy = copy;
  });
  Ring.prototype.copy = function (i: number): boolean {
    if (i === 5) window.unmap();
    return copy.call(this, i);
  };
  user.push(...[1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n].map((n) => ({ op: op.nop, user: n })));
  assert.equal(user.enter(8), 5);
  Ring.prototype.copy = copy;
  assert.equal(user.enter(8), -ERRNO.FAULT);
  window.map(RIGHTS_ALL);
  assert.equal(user.enter(), 0);
  assert.equal(user.header('submissionHead'), 5, 'what was taken can be filled in again');
  assert.equal(user.enter(8), 3);
  assert.deepEqual(Object.keys(user.results()), ['1', '2', '3', '4', '5', '6', '7', '8']);
});

test('requests for a server whose ring is not there wait in the records of its clients', async () => {
  const system = new TestSystem();
  const [server, window] = await placed(system, 'server', RING_SERVES);
  const client = await RingUser.make(system, 'client');
  const table = server.call('table_create', server.handle, TABLE_KIND.stream, 0);
  const made = server.call('table_object', table, 7n, RIGHTS_ALL);
  const { clists } = system.kernel.core;
  const handle = clists.pass(domainOf(server), made, domainOf(client), RIGHTS_ALL);
  window.unmap();
  client.submit({ op: op.write, handle, user: 1n, first: 0x8000, firstLength: 4 });
  client.submit({ op: op.write, handle, user: 2n, first: 0x8000, firstLength: 4 });
  assert.equal(server.enter(), -ERRNO.FAULT);
  window.map(RIGHTS_ALL);
  assert.equal(server.enter(), 0);
  const [one, two] = server.requests();
  server.submit({ op: op.reply, offset: one?.number ?? 0n, rights: 4 });
  assert.deepEqual(client.results(), { 1: 4 });
  window.unmap();
  assert.equal(server.call('cap_close', server.handle), 0);
  assert.deepEqual(client.results(), { 2: -ERRNO.GONE });
  assert.ok(two !== undefined);
});

test('two domains share a ring; whatever one of them writes there, at any moment, nothing else is touched', async (t) => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const system = new TestSystem();
  const [user, window] = await placed(system, 'a');
  const peer = await RingUser.make(system, 'peer');
  const quiet = await RingUser.make(system, 'quiet');
  const { clists } = system.kernel.core;
  const passed = clists.pass(domainOf(user), window.handle, domainOf(peer), RIGHTS_ALL);
  const theirs = new Window(peer, passed);
  // What the peer submits is done in the name of whose ring it is, when that one enters it.
  const mine = user.call('cap_copy', user.handle, RIGHTS_ALL);
  user.push({ op: op.close, handle: mine, user: 5n });
  assert.equal(peer.enter(), 0);
  assert.equal(user.enter(1), 1);
  assert.deepEqual(user.results(), { 5: 0 });
  for (let i = 0; i < 16 * 4096; i++) system.space.setU32(quiet.base + 0x10000 + 4 * i, i ^ 0x5a5a5a5a);
  const scribble = (): void => {
    const at = 4096 + 4 * prng.below(ringBytes(8, 0) / 4);
    const words = prng.below(2) === 0 ? prng.u32() : prng.below(20);
    theirs.write(at, new Uint8Array(new Uint32Array([words]).buffer));
  };
  // The peer writes between two entries that are taken, too, as one that runs at the same time could.
  const { copy } = Ring.prototype;
  t.after(() => {
    Ring.prototype.copy = copy;
  });
  Ring.prototype.copy = function (i: number): boolean {
    const there = copy.call(this, i);
    if (this.pointer === window.near + 4096) scribble();
    return there;
  };
  for (let step = 0; step < 2000; step++) {
    user.push({ op: prng.below(21), handle: prng.below(6), user: 1n, first: prng.u32(), offset: 1n });
    for (let n = prng.below(6); n >= 0; n--) scribble();
    const result = user.enter(prng.below(8));
    assert.ok(result >= 0 || result === -ERRNO.BADMSG || result === -ERRNO.BADF, `step ${step}: ${result}`);
    if (result === -ERRNO.BADF && user.place(window.near + 4096) < 0) break; // it was closed by an entry
    system.powers.ns += BigInt(prng.below(3));
    system.runAll();
    if (prng.below(300) === 0) {
      system.checkpoint();
      system.crash();
    }
    if (step % 20 === 0) {
      assert.equal(quiet.run({ op: op.nop }).result, 0);
      user.place(window.near + 4096);
      user.setHeader('completionHead', 0);
    }
  }
  for (let i = 0; i < 16 * 4096; i++)
    assert.equal(system.space.view.getUint32(quiet.base + 0x10000 + 4 * i, true), (i ^ 0x5a5a5a5a) >>> 0);
  system.kernel.remove(user.id);
  assert.equal(system.kernel.core.rings.count, 0);
});
