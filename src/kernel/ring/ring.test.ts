import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { OPERATION, SUBMIT } from '../../abi/ring.ts';
import { TestSystem } from '../kernel.testing.ts';
import { RingUser } from './ring.testing.ts';

const { nop, timeout, cancel } = OPERATION;
const S = 1_000_000_000n;

test('null operations come back in order with their user data, over and over the ends of the queues', async () => {
  const ring = await RingUser.make(new TestSystem(), 'a', 8);
  assert.ok(ring.handle > 0);
  assert.equal(ring.header('version'), 1);
  for (let round = 0n; round < 20n; round++) {
    const users = [1n, 2n, 3n, 4n, 5n].map((i) => round * 0x1_0000_0000n + i);
    assert.equal(ring.submit(...users.map((user) => ({ op: nop, user }))), 5);
    assert.deepEqual(
      ring.completions(),
      users.map((user) => ({ user, result: 0, value: 0n })),
    );
  }
});

test('what a ring cannot be is refused', async () => {
  const system = new TestSystem();
  const ring = await RingUser.make(system, 'a', 8);
  const refused: [number, ...number[]][] = [
    [ERRNO.INVAL, 0x1000, 0, 0],
    [ERRNO.INVAL, 0x1000, 6, 0],
    [ERRNO.INVAL, 0x1000, 8192, 0],
    [ERRNO.INVAL, 0x1010, 8, 0],
    [ERRNO.INVAL, 0x1000, 8, 4],
    [ERRNO.FAULT, 0xfff00, 8, 0],
    [ERRNO.FAULT, 0x7fff_ffc0, 8, 0],
  ];
  for (const [errno, ...args] of refused) assert.equal(ring.call('ring_create', ...args), -errno);
  assert.equal(ring.call('ring_enter', 77, 0, 0, 0n), -ERRNO.BADF);
  const poor = await RingUser.make(system, 'poor', 8, 0, { limits: { entries: 12 } });
  assert.equal(poor.call('ring_create', 0x4000, 8, 0), -ERRNO.DQUOT);
  const more = poor.call('ring_create', 0x4000, 4, 0);
  assert.equal(poor.call('ring_create', 0x8000, 1, 0), -ERRNO.DQUOT);
  assert.equal(poor.call('cap_close', more), 0);
  assert.ok(poor.call('ring_create', 0x8000, 4, 0) > 0);
  system.kernel.remove(poor.id);
  system.kernel.remove(ring.id);
  assert.equal(system.kernel.core.rings.table.rings.size, 0);
});

test('a full queue of completions pushes back, and nothing is lost', async () => {
  const ring = await RingUser.make(new TestSystem(), 'a', 4);
  const nops = [1n, 2n, 3n, 4n].map((user) => ({ op: nop, user }));
  assert.equal(ring.submit(...nops), 4);
  assert.equal(ring.submit(...nops), 4);
  assert.equal(ring.submit(...nops), 0);
  assert.equal(ring.completions().length, 8);
  assert.equal(ring.enter(4), 4);
  assert.equal(ring.completions().length, 4);
});

test('a timeout completes when its time has come, and ring_enter waits for it', async () => {
  const system = new TestSystem();
  const ring = await RingUser.make(system, 'a');
  ring.push({ op: timeout, user: 1n, offset: S }, { op: timeout, user: 2n, offset: 2n * S });
  assert.equal(ring.outcome('ring_enter', ring.handle, 2, 1, -1n).kind, 'blocked');
  assert.equal(ring.header('underWay'), 2);
  system.powers.ns += S;
  assert.equal(ring.result(system.kernel.proceed(ring.id)), 2);
  assert.deepEqual(ring.results(), { 1: 0 });
  // The other one, with a limit on the wait itself.
  assert.equal(ring.outcome('ring_enter', ring.handle, 0, 1, 10n).kind, 'blocked');
  system.powers.ns += 10n;
  assert.equal(ring.result(system.kernel.proceed(ring.id)), 0);
  assert.deepEqual(ring.results(), {});
  system.powers.ns += S;
  const { nextDeadline } = system.kernel.run();
  assert.equal(nextDeadline, null);
  assert.deepEqual(ring.results(), { 2: 0 });
  // Nothing is under way, so nothing is waited for.
  assert.equal(ring.enter(0, 1, -1n), 0);
});

test('what is linked begins after success, and is cancelled after a failure', async () => {
  const system = new TestSystem();
  const ring = await RingUser.make(system, 'a', 16);
  const { link } = SUBMIT;
  ring.submit(
    { op: nop, user: 1n, flags: link },
    { op: timeout, user: 2n, offset: S, flags: link },
    { op: nop, user: 3n, flags: link },
    { op: 200, user: 4n, flags: link },
    { op: nop, user: 5n, flags: link },
    { op: nop, user: 6n },
    { op: nop, user: 7n },
  );
  assert.deepEqual(ring.results(), { 1: 0, 4: -ERRNO.INVAL, 5: -ERRNO.CANCELED, 6: -ERRNO.CANCELED, 7: 0 });
  system.powers.ns += S;
  system.kernel.run();
  assert.deepEqual(ring.results(), { 2: 0, 3: 0 });
  // One that is cancelled takes those after it along.
  ring.submit(
    { op: timeout, user: 1n, offset: S, flags: link },
    { op: nop, user: 2n, flags: link },
    { op: nop, user: 3n },
    { op: cancel, user: 4n, offset: 1n },
    { op: cancel, user: 5n, offset: 9n },
  );
  const { CANCELED, NOENT } = ERRNO;
  assert.deepEqual(ring.results(), { 1: -CANCELED, 2: -CANCELED, 3: -CANCELED, 4: 0, 5: -NOENT });
  assert.equal(ring.header('underWay'), 0);
});

test('a chain as long as a queue needs no stack', async () => {
  const system = new TestSystem();
  const ring = await RingUser.make(system, 'a', 4096);
  const rest = Array.from({ length: 4095 }, (_, i) => ({ op: nop, user: BigInt(i + 1), flags: SUBMIT.link }));
  ring.submit({ op: timeout, user: 0n, offset: S, flags: SUBMIT.link }, ...rest);
  assert.equal(ring.header('underWay'), 4096);
  system.powers.ns += S;
  system.kernel.run();
  assert.deepEqual(
    ring.completions().map(({ user }) => user),
    Array.from({ length: 4096 }, (_, i) => BigInt(i)),
  );
});

test('a drain begins when all before it are over, and what is behind it waits', async () => {
  const system = new TestSystem();
  const ring = await RingUser.make(system, 'a', 16);
  ring.submit(
    { op: timeout, user: 1n, offset: 2n * S },
    { op: timeout, user: 2n, offset: S },
    { op: nop, user: 3n, flags: SUBMIT.drain },
    { op: nop, user: 4n },
    { op: timeout, user: 5n, offset: S, flags: SUBMIT.drain },
    { op: nop, user: 6n },
  );
  assert.deepEqual(ring.results(), {});
  system.powers.ns += S;
  system.kernel.run();
  assert.deepEqual(ring.results(), { 2: 0 });
  system.powers.ns += S;
  system.kernel.run();
  assert.deepEqual(ring.results(), { 1: 0, 3: 0, 4: 0 });
  assert.equal(ring.submit({ op: nop, user: 7n }), 1);
  assert.deepEqual(ring.results(), {});
  system.powers.ns += S;
  system.kernel.run();
  assert.deepEqual(ring.results(), { 5: 0, 6: 0, 7: 0 });
  assert.equal(system.kernel.core.rings.count, 0);
});

test('what is under way goes on after a restart', async () => {
  const system = new TestSystem();
  const ring = await RingUser.make(system, 'a', 16);
  ring.submit(
    { op: timeout, user: 1n, offset: S, flags: SUBMIT.link },
    { op: nop, user: 2n, flags: SUBMIT.link },
    { op: nop, user: 3n },
    { op: nop, user: 4n, flags: SUBMIT.drain },
    { op: nop, user: 5n },
  );
  system.checkpoint();
  system.crash();
  assert.equal(system.kernel.core.rings.count, 5);
  assert.deepEqual(ring.results(), {});
  assert.equal(ring.submit({ op: nop, user: 6n }), 1);
  system.powers.ns += S;
  system.kernel.run();
  assert.deepEqual(ring.results(), { 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0 });
  const before = system.space.heap.blockCount;
  system.kernel.remove(ring.id);
  assert.ok(system.space.heap.blockCount <= before);
  assert.equal(system.kernel.core.rings.count + system.kernel.core.rings.table.rings.size, 0);
});

test('only the domain in whose memory a ring lies can enter it; closing it ends what is under way', async () => {
  const system = new TestSystem();
  const a = await RingUser.make(system, 'a');
  const b = await RingUser.make(system, 'b');
  const [from, to] = [system.kernel.core.peek(a.id), system.kernel.core.peek(b.id)];
  assert.ok(from && to);
  const passed = system.kernel.core.clists.pass(from, a.handle, to, 255);
  assert.equal(b.call('ring_enter', passed, 0, 0, 0n), -ERRNO.NOTCAPABLE);
  a.submit({ op: timeout, user: 1n, offset: S });
  // The ring that is closed through itself: what stands behind it is not taken.
  b.call('cap_close', passed);
  a.submit({ op: OPERATION.close, handle: a.handle }, { op: nop });
  assert.equal(system.kernel.core.rings.count, 0);
  assert.equal(system.kernel.core.rings.table.rings.size, 1);
  assert.equal(a.call('ring_enter', a.handle, 1, 0, 0n), -ERRNO.BADF);
});
