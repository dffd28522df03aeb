/** `wait` of a ring for semaphores and wait sets: in the same queues as calls that wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, SUBMIT } from '../../abi/ring.ts';
import { SEMAPHORE } from '../../abi/semaphore.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { TestSystem } from '../kernel.testing.ts';
import type { Waits } from '../wait/queues.ts';
import { RingUser } from './ring.testing.ts';
import { domainOf, Window } from './window.testing.ts';

const { wait, timeout, cancel, nop } = OPERATION;
const S = 0x10000;
const MS = 1_000_000n;

const waits = ({ kernel }: TestSystem): Waits => kernel.core.waits as Waits;
const word = (user: RingUser, near: number, offset: number): number => {
  const { core } = user.system.kernel;
  return near < WINDOW_BASE
    ? user.base + near + offset
    : core.windows.resolve(domainOf(user), near + offset, 4, true);
};
const countOf = (user: RingUser, near: number): number =>
  user.system.space.view.getUint32(word(user, near, SEMAPHORE.count), true);
const waitersOf = (user: RingUser, near: number): number =>
  user.system.space.view.getUint32(word(user, near, SEMAPHORE.waiters), true);

/** Gives as programs do: the kernel is told where somebody waits. How many were woken. */
function give(user: RingUser, near: number, n = 1): number {
  user.system.space.setU32(word(user, near, SEMAPHORE.count), countOf(user, near) + n);
  const woken = waitersOf(user, near) === 0 ? 0 : user.call('sem_wake', near);
  user.system.runAll();
  return woken;
}

test('one ring waits for semaphores, a wait set and a time, and takes one of each that came', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a');
  const set = user.call('waitset_create');
  assert.equal(user.call('waitset_add', set, S + 64, 777n), 0);
  user.push(
    { op: wait, user: 1n, first: S },
    { op: wait, user: 2n, first: S + 8 },
    { op: wait, user: 3n, handle: set },
    { op: timeout, user: 4n, offset: MS },
  );
  assert.equal(user.outcome('ring_enter', user.handle, 4, 1, -1n).kind, 'blocked');
  assert.deepEqual([waitersOf(user, S), waitersOf(user, S + 8), waitersOf(user, S + 64)], [1, 1, 1]);
  const waker = await RingUser.make(system, 'b');
  // Whoever gives here is the program itself, by way of another call of it.
  system.space.setU32(word(user, S + 8, SEMAPHORE.count), 2);
  assert.equal(waits(system).wake({ owner: keyOf(user, S + 8).owner, spot: keyOf(user, S + 8).spot }), 1);
  assert.equal(user.result(system.kernel.proceed(user.id)), 4);
  assert.deepEqual(user.results(), { 2: 0 });
  assert.equal(countOf(user, S + 8), 1);
  give(user, S + 64, 3);
  assert.deepEqual(user.completions(), [{ user: 3n, result: 0, value: 777n }]);
  assert.equal(countOf(user, S + 64), 2);
  // What is there already is taken at once; an operation on a set tells one member at a time.
  user.submit({ op: wait, user: 5n, first: S + 8 }, { op: wait, user: 6n, handle: set });
  assert.deepEqual(user.completions(), [
    { user: 5n, result: 0, value: 0n },
    { user: 6n, result: 0, value: 777n },
  ]);
  system.powers.ns += MS;
  system.runAll();
  assert.deepEqual(user.results(), { 4: 0 });
  give(user, S);
  assert.deepEqual(user.results(), { 1: 0 });
  assert.equal(waits(system).count, 0);
  assert.equal(system.kernel.core.rings.count, 0);
  assert.equal(waker.enter(), 0);
});

const keyOf = (user: RingUser, near: number) => {
  const key = waits(user.system).places.semaphore(domainOf(user), near);
  assert.ok(typeof key !== 'number');
  return key;
};

test('calls and operations that wait are served in the order of coming, also over a restart', async () => {
  for (const crash of [false, true]) {
    const system = new TestSystem();
    const [a, b, c, giver] = [
      await RingUser.make(system, 'a'),
      await RingUser.make(system, 'b'),
      await RingUser.make(system, 'c'),
      await RingUser.make(system, 'giver'),
    ];
    const shared = new Window(giver);
    const at = [a, b, c].map((user) => {
      const { core } = system.kernel;
      return new Window(user, core.clists.pass(domainOf(giver), shared.handle, domainOf(user), RIGHTS_ALL))
        .near;
    });
    assert.equal(a.submit({ op: wait, user: 1n, first: at[0] as number }), 1);
    assert.equal(b.outcome('sem_wait', at[1] as number, -1n).kind, 'blocked');
    assert.equal(
      c.submit({ op: wait, user: 3n, first: at[2] as number, flags: SUBMIT.link }, { op: nop, user: 4n }),
      2,
    );
    assert.equal(give(giver, shared.near), 1);
    system.checkpoint();
    if (crash) system.crash();
    system.runAll();
    assert.deepEqual(a.results(), { 1: 0 });
    assert.equal(system.kernel.status(b.id).state, 'blocked');
    assert.equal(give(giver, shared.near, 2), 2);
    assert.equal(system.kernel.status(b.id).state, 'created', 'its call has returned');
    assert.deepEqual(c.results(), { 3: 0, 4: 0 });
    assert.deepEqual([countOf(giver, shared.near), waitersOf(giver, shared.near)], [0, 0]);
    give(giver, shared.near);
    assert.equal(countOf(giver, shared.near), 1, 'what nobody waits for stays to be taken');
  }
});

test('what has been handed to an operation is its, whatever comes before the kernel tells it', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a');
  user.submit({ op: wait, user: 1n, first: S, limit: MS }, { op: wait, user: 2n, first: S });
  const handOver = (): void => {
    system.space.setU32(word(user, S, SEMAPHORE.count), 1);
    assert.equal(user.call('sem_wake', S), 1);
  };
  handOver();
  assert.deepEqual(user.peek(), []);
  // Neither time nor a cancel takes it back; nor does a restart.
  system.powers.ns += MS;
  system.checkpoint();
  system.crash();
  user.submit({ op: cancel, user: 3n, offset: 1n });
  assert.deepEqual(user.results(), { 1: 0, 3: -ERRNO.NOENT });
  assert.equal(countOf(user, S), 0);
  handOver();
  assert.equal(user.call('cap_close', user.handle), 0);
  assert.equal(countOf(user, S), 0, 'who ends takes along what it was given');
  assert.deepEqual([waits(system).count, system.kernel.core.rings.count], [0, 0]);
});

test('who is cancelled, late or gone takes nothing and leaves no trace', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a');
  const set = user.call('waitset_create');
  user.call('waitset_add', set, S + 64, 1n);
  user.submit(
    { op: wait, user: 1n, first: S },
    { op: wait, user: 2n, first: S, limit: MS },
    { op: wait, user: 3n, handle: set, flags: SUBMIT.link },
    { op: wait, user: 4n, first: S },
    { op: wait, user: 5n, handle: set, limit: MS },
  );
  user.submit({ op: cancel, user: 6n, offset: 1n }, { op: cancel, user: 7n, offset: 3n });
  const gone = -ERRNO.CANCELED;
  assert.deepEqual(user.results(), { 1: gone, 3: gone, 4: gone, 6: 0, 7: 0 });
  system.powers.ns += MS;
  system.runAll();
  assert.deepEqual(user.results(), { 2: -ERRNO.TIMEDOUT, 5: -ERRNO.TIMEDOUT });
  assert.deepEqual([waits(system).count, waitersOf(user, S)], [0, 0]);
  user.submit({ op: wait, user: 1n, first: S }, { op: wait, user: 2n, handle: set });
  assert.equal(waits(system).count, 2);
  system.kernel.remove(user.id);
  assert.deepEqual([waits(system).count, system.kernel.core.rings.count], [0, 0]);
});

test('a chain of waits for one semaphore is served one after the other', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 64);
  const chain = Array.from({ length: 64 }, (_, i) => ({
    op: wait,
    user: BigInt(i),
    first: S,
    flags: i < 63 ? SUBMIT.link : 0,
  }));
  assert.equal(user.submit(...chain), 64);
  assert.equal(give(user, S), 1);
  assert.deepEqual(user.results(), { 0: 0 });
  assert.equal(waitersOf(user, S), 1);
  give(user, S, 100);
  assert.equal(user.completions().length, 63);
  assert.deepEqual([countOf(user, S), waitersOf(user, S)], [37, 0]);
});

test('what can be no semaphore, or may not be waited for, is an error; so is what goes while it is waited for', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 16);
  const errno = (s: object): number => -user.run({ op: wait, ...s }).result;
  assert.equal(errno({ first: 2 }), ERRNO.INVAL);
  assert.equal(errno({ first: 16 * 65536 }), ERRNO.FAULT);
  assert.equal(errno({ first: WINDOW_BASE }), ERRNO.FAULT);
  assert.equal(errno({ first: 0xfffffffc }), ERRNO.FAULT);
  assert.equal(errno({ first: S, flags: SUBMIT.vector }), ERRNO.INVAL);
  const set = user.call('waitset_create');
  user.call('waitset_add', set, S, 1n);
  const blind = user.call('cap_copy', set, RIGHTS_ALL & ~RIGHT.read);
  assert.equal(errno({ handle: blind }), ERRNO.NOTCAPABLE);
  assert.equal(-user.run({ op: OPERATION.read, handle: set }).result, ERRNO.NOTSUP);
  // A set that ends, or whose capability is revoked; the handle may be closed while it is waited for.
  const derived = user.call('cap_derive', set, RIGHTS_ALL, 0n);
  const copy = user.call('cap_copy', set, RIGHTS_ALL);
  user.submit({ op: wait, user: 1n, handle: derived }, { op: wait, user: 2n, handle: copy });
  assert.equal(user.call('cap_close', copy), 0);
  assert.equal(user.call('cap_revoke', derived), 0);
  system.runAll();
  assert.deepEqual(user.results(), { 1: -ERRNO.REVOKED });
  give(user, S);
  assert.deepEqual(user.results(), { 2: 0 });
  user.submit({ op: wait, user: 3n, handle: set });
  system.kernel.core.objects.destroy(system.kernel.core.clists.objectAt(domainOf(user), set));
  system.runAll();
  assert.deepEqual(user.results(), { 3: -ERRNO.GONE });
  // A segment that is unmapped, or has ended.
  const window = new Window(user);
  const still = window.map(RIGHTS_ALL);
  user.submit({ op: wait, user: 4n, first: window.near }, { op: wait, user: 5n, first: still });
  window.unmap();
  system.kernel.core.moveEpoch();
  system.runAll();
  assert.deepEqual(user.results(), { 4: -ERRNO.FAULT });
  system.kernel.core.objects.destroy(window.object);
  system.runAll();
  assert.deepEqual(user.results(), { 5: -ERRNO.GONE });
  assert.deepEqual([waits(system).count, system.kernel.core.rings.count], [0, 0]);
});

test('random waits, gives, cancels and crashes: as many are taken as were given, in order', async (t) => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const system = new TestSystem();
  const users = [await RingUser.make(system, 'a', 32), await RingUser.make(system, 'b', 32)];
  const shared = new Window(users[0] as RingUser);
  const { clists } = system.kernel.core;
  const passed = clists.pass(
    domainOf(users[0] as RingUser),
    shared.handle,
    domainOf(users[1] as RingUser),
    RIGHTS_ALL,
  );
  const nears = [shared.near, new Window(users[1] as RingUser, passed).near];
  /** What waits at each of three semaphores, first come first; and what is free there. */
  const queues: string[][] = [[], [], []];
  const free = [0, 0, 0];
  const expected: string[] = [];
  const seen: string[] = [];
  let next = 1n;
  const serve = (i: number): void => {
    while ((free[i] as number) > 0 && (queues[i] as string[]).length > 0) {
      expected.push(queues[i]?.shift() as string);
      (free[i] as number)--;
    }
  };
  const collect = (): void => {
    system.runAll();
    for (const [u, user] of users.entries())
      for (const { user: n, result } of user.completions()) if (result === 0) seen.push(`${u} ${n}`);
  };
  for (let step = 0; step < 600; step++) {
    const u = prng.below(2);
    const [user, near, i] = [users[u] as RingUser, nears[u] as number, prng.below(3)];
    const what = prng.below(10);
    if (what < 4 && queues.flat().filter((each) => each.startsWith(`${u} `)).length < 30) {
      user.submit({ op: wait, user: next, first: near + 8 * i });
      queues[i]?.push(`${u} ${next}`);
      next += 1n;
      serve(i);
    } else if (what < 7) {
      const n = 1 + prng.below(2);
      give(user, near + 8 * i, n);
      (free[i] as number) += n;
      serve(i);
    } else if (what < 9) {
      const mine = queues.flat().filter((each) => each.startsWith(`${u} `));
      const one = mine[prng.below(Math.max(1, mine.length))];
      if (one === undefined) continue;
      user.submit({ op: cancel, user: 0n, offset: BigInt(one.slice(2)), flags: SUBMIT.quiet });
      for (const queue of queues) if (queue.includes(one)) queue.splice(queue.indexOf(one), 1);
    } else if (prng.below(4) === 0) {
      system.checkpoint();
      system.crash();
    }
    collect();
    assert.deepEqual([...seen].sort(), [...expected].sort(), `step ${step}`);
    for (const [j, count] of free.entries())
      assert.equal(countOf(users[0] as RingUser, (nears[0] as number) + 8 * j), count, `step ${step}`);
  }
  assert.equal(waits(system).count, queues.flat().length);
});
