import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { LOOK_AGAIN_MOST, WINDOW_BASE } from '../../base/limits.ts';
import { program } from '../kernel.testing.ts';
import type { LoadedModule } from '../program.ts';
import { SegmentSystem } from '../segment/segment.testing.ts';

/** Waits in a segment that it maps: at a semaphore, or by the instructions for it. */
const WAITER: Promise<LoadedModule> = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  (import "perdure_kernel" "sem_wait" (func $sem_wait (param i32 i64) (result i32)))
  (import "perdure_kernel" "sem_wake" (func $sem_wake (param i32) (result i32)))
  (import "perdure_kernel" "waitset_create" (func $create (result i32)))
  (import "perdure_kernel" "waitset_add" (func $add (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "waitset_wait" (func $wait (param i32 i32 i32 i64) (result i32)))
  (memory 1 2 shared)
  (global $set (mut i32) (i32.const 0))
  (global $at (mut i32) (i32.const 0))
  (func (export "open") (param i32)
    (global.set $at (i32.wrap_i64 (call $map (local.get 0) (i64.const 0) (i64.const 70000) (i32.const 3) (i32.const 0)))))
  (func (export "wait32") (param $expected i32) (param $timeout i64)
    (call $log (memory.atomic.wait32 (i32.add (global.get $at) (i32.const 69992)) (local.get $expected) (local.get $timeout))))
  (func (export "wait64") (param $expected i64)
    (call $log (memory.atomic.wait64 (i32.add (global.get $at) (i32.const 69992)) (local.get $expected) (i64.const -1))))
  (func (export "notify") (param $most i32)
    (call $log (memory.atomic.notify (i32.add (global.get $at) (i32.const 69992)) (local.get $most))))
  (func (export "beyond") (param $p i32) (call $log (memory.atomic.notify (i32.add (global.get $at) (local.get $p)) (i32.const 1))))
  (func (export "take")
    (call $log (call $sem_wait (global.get $at) (i64.const -1))))
  (func (export "give") (param $n i32)
    (drop (i32.atomic.rmw.add (global.get $at) (local.get $n)))
    (if (i32.load offset=4 (global.get $at)) (then (call $log (call $sem_wake (global.get $at))))))
  (func (export "within") (param $ns i64) (call $log (call $sem_wait (global.get $at) (local.get $ns))))
  (func (export "set") (param $p i32) (param $v i32) (i32.store (i32.add (global.get $at) (local.get $p)) (local.get $v)))
  (func (export "peek") (param $p i32) (result i32) (i32.load (i32.add (global.get $at) (local.get $p))))
  (func (export "wake") (param $p i32) (drop (call $sem_wake (i32.add (global.get $at) (local.get $p)))))
  ;; A wait set with the semaphore at 8, by the number 42
  (func (export "watch")
    (global.set $set (call $create))
    (drop (call $add (global.get $set) (i32.add (global.get $at) (i32.const 8)) (i64.const 42))))
  (func (export "collect")
    (call $log (call $wait (global.get $set) (i32.const 64) (i32.const 8) (i64.const -1)))
    (call $log (i32.load (i32.const 64))))
  (func (export "give2")
    (if (i32.load offset=12 (global.get $at)) (then (drop (call $sem_wake (i32.add (global.get $at) (i32.const 8)))))))
  ;; A token goes to and fro between two semaphores, n times.
  (func (export "bounce") (param $n i32) (param $mine i32) (local $other i32)
    (local.set $mine (i32.add (global.get $at) (i32.shl (local.get $mine) (i32.const 3))))
    (local.set $other (i32.xor (local.get $mine) (i32.const 8)))
    (loop $l
      (if (i32.load (local.get $mine))
        (then (i32.store (local.get $mine) (i32.sub (i32.load (local.get $mine)) (i32.const 1))))
        (else (if (call $sem_wait (local.get $mine) (i64.const -1)) (then (unreachable)))))
      (i32.store (i32.add (global.get $at) (i32.const 64)) (i32.add (i32.load (i32.add (global.get $at) (i32.const 64))) (i32.const 1)))
      (i32.store (local.get $other) (i32.add (i32.load (local.get $other)) (i32.const 1)))
      (if (i32.load offset=4 (local.get $other)) (then (drop (call $sem_wake (local.get $other)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $log (i32.load (i32.add (global.get $at) (i32.const 64))))))`);

async function shared(
  names: readonly string[],
  stress = false,
): Promise<{ system: SegmentSystem; handle: number }> {
  const system = new SegmentSystem({ stress });
  await system.domains('owner');
  const handle = system.ok('owner', 'seg_create', 70000n);
  for (const name of names) {
    system.add(name, await WAITER, { resident: true });
    system.kernel.invoke(system.kernel.find(name), 'open', [system.pass('owner', handle, name)]);
  }
  return { system, handle };
}
/** A word of a segment that the owner has. */
function word(system: SegmentSystem, handle: number, at: number): number {
  system.ok('owner', 'seg_read', handle, BigInt(at), 256, 4);
  return system.call('owner', 'get', 256) as number;
}
function go1(system: SegmentSystem, name: string, entry: string): void {
  system.kernel.start(system.kernel.find(name), entry);
}
function go(system: SegmentSystem, name: string, entry: string, ...args: (number | bigint)[]): void {
  system.kernel.start(system.kernel.find(name), entry, args);
  system.runAll();
}

test('the instructions that wait and notify reach other domains at the same place of a segment, also after a restart', async () => {
  const { system } = await shared(['a', 'b', 'c', 'd']);
  go(system, 'a', 'wait32', 1, -1n);
  go(system, 'a', 'wait32', 0, -1n);
  go(system, 'b', 'wait64', 0n);
  go(system, 'c', 'wait32', 0, 100n);
  assert.deepEqual(system.values('a'), [1], 'it was not what was expected');
  system.checkpoint();
  system.crash();
  system.runAll();
  go(system, 'd', 'notify', 1);
  assert.deepEqual([system.values('a'), system.values('b'), system.values('d')], [[1, 0], [], [1]]);
  system.powers.ns += 100n;
  system.runAll();
  assert.deepEqual(system.values('c'), [2]);
  go(system, 'd', 'notify', -1);
  go(system, 'd', 'notify', -1);
  assert.deepEqual([system.values('b'), system.values('d')], [[0], [1, 1, 0]]);
  const outcome = system.kernel.invoke(system.kernel.find('d'), 'beyond', [70000]);
  assert.equal(outcome.kind === 'trap' && outcome.reason, 'out of bounds memory access');
  const crooked = system.kernel.invoke(system.kernel.find('d'), 'beyond', [2]);
  assert.equal(crooked.kind === 'trap' && crooked.reason, 'unaligned atomic');
});

for (const stress of [false, true]) {
  test(`two domains pass a token to and fro through memory that both have (stress ${stress})`, async () => {
    const { system } = await shared(['a', 'b'], stress);
    const rounds = stress ? 50 : 500;
    system.kernel.start(system.kernel.find('a'), 'bounce', [rounds, 0]);
    system.kernel.start(system.kernel.find('b'), 'bounce', [rounds, 1]);
    system.runAll();
    assert.equal(system.kernel.core.waits?.count, 2, 'nobody has anything yet');
    system.checkpoint();
    system.crash();
    system.add('c', await WAITER, { resident: true });
    system.kernel.invoke(system.kernel.find('c'), 'open', [system.pass('owner', ownerHandle(system), 'c')]);
    system.kernel.start(system.kernel.find('c'), 'give', [1]);
    for (let i = 0; i < 20; i++) {
      system.kernel.run({ maxSlices: 7 });
      system.checkpoint();
      if (i % 5 === 4) system.crash();
      system.kernel.compact();
    }
    system.runAll();
    assert.deepEqual(
      [system.values('a').at(-1), system.values('b').at(-1)].toSorted((x, y) => Number(x) - Number(y)),
      [2 * rounds - 1, 2 * rounds],
    );
  });
}

/** The owner has nothing but the segment. */
const ownerHandle = (system: SegmentSystem): number =>
  [...system.kernel.core.clists.handles(system.domain('owner'))][0] as number;

/** Never waits: so nothing is ever idle. */
const BUSY: Promise<LoadedModule> = program(`(module (import "env" "pause" (func $pause))
  (func (export "run") (loop $l (call $pause) (br $l))))`);

test('who waits where it may not any more is told why at the next turn, though others never rest', async () => {
  const names = Array.from({ length: 3 * LOOK_AGAIN_MOST }, (_, i) => `w${i}`);
  const { system, handle } = await shared(['a', 'b', 'c']);
  const { kernel } = system;
  const other = system.ok('owner', 'seg_create', 70000n);
  for (const name of names) {
    system.add(name, await WAITER, { resident: true });
    kernel.invoke(kernel.find(name), 'open', [system.pass('owner', other, name)]);
  }
  for (const name of ['a', 'b', ...names]) go(system, name, 'take');
  system.add('busy', await BUSY);
  kernel.start(kernel.find('busy'), 'run');
  const turns = (maxSlices: number): void => void kernel.run({ maxSlices });
  turns(10);
  // What is frozen is theirs still, and nobody is told anything.
  assert.equal(system.ok('owner', 'seg_freeze', handle), 0);
  turns(10);
  assert.equal(system.ok('owner', 'seg_thaw', handle), 0);
  turns(10);
  assert.equal(kernel.core.waits?.count, 2 + names.length);
  kernel.invoke(kernel.find('c'), 'give', [1]);
  turns(2);
  assert.deepEqual([system.values('a'), system.values('b')], [[0], []]);
  const unmapped = system.domain('b');
  assert.equal(kernel.core.windows.unmap(unmapped, WINDOW_BASE + 65536), 0);
  turns(2);
  assert.deepEqual(system.values('b'), [-ERRNO.FAULT], 'nothing lies there any more');
  go1(system, 'a', 'take');
  turns(2);
  assert.equal(system.ok('owner', 'seg_seal', handle), 0);
  turns(8);
  assert.deepEqual(system.values('a'), [0, -ERRNO.ROFS], 'nobody will write it any more');
  assert.equal(system.ok('owner', 'cap_revoke', other), 0);
  turns(3);
  const told = (): number => names.filter((name) => system.values(name)[0] === -ERRNO.REVOKED).length;
  assert.ok(told() > 0 && told() < names.length, 'some at each turn');
  turns(names.length + 3);
  assert.equal(told(), names.length);
  assert.equal(kernel.core.waits?.count, 0);
});

test('what is frozen or sealed is not changed for who waits in it; what was held back comes when it is thawed', async () => {
  const { system, handle } = await shared(['a', 'b', 'c']);
  const { kernel } = system;
  const words = (): number[] => [0, 4].map((at) => system.call('c', 'peek', at) as number);
  const waiting = (): number[] => [0, 4, 8, 12].map((at) => word(system, handle, at));
  go(system, 'b', 'watch');
  go(system, 'a', 'within', 100n);
  kernel.invoke(kernel.find('c'), 'set', [8, 3]);
  assert.deepEqual(
    waiting(),
    [0, 1, 3, 1],
    'one waits at the first; the second, a member of a set, has been given',
  );
  kernel.invoke(kernel.find('c'), 'wake', [8]);
  assert.deepEqual(waiting(), [0, 1, 3, 0], 'and is known to be ready');
  assert.equal(system.ok('owner', 'seg_freeze', handle), 0);
  system.powers.ns += 200n;
  go(system, 'b', 'collect');
  system.runAll();
  assert.deepEqual(system.values('a'), [-ERRNO.TIMEDOUT]);
  assert.deepEqual(waiting(), [0, 1, 3, 0], 'nobody saw a byte change');
  assert.deepEqual(system.values('b'), [], 'it waits');
  assert.equal(system.ok('owner', 'seg_thaw', handle), 0);
  system.runAll();
  assert.deepEqual(system.values('b'), [1, 42], 'it is told when that may be');
  assert.deepEqual(waiting(), [0, 0, 2, 0], 'once, and it is known to be ready');
  assert.deepEqual(words(), [0, 0]);

  go(system, 'a', 'take');
  assert.deepEqual(waiting(), [0, 1, 2, 0]);
  assert.equal(system.ok('owner', 'seg_seal', handle), 0);
  system.runAll();
  assert.deepEqual(system.values('a').slice(1), [-ERRNO.ROFS]);
  assert.deepEqual(waiting(), [0, 1, 2, 0], 'what is sealed stays as it is');
});

test('a copy stays as it was when the kernel changes the words of semaphores in what it was made of', async () => {
  const { system, handle } = await shared(['a', 'b', 'c']);
  go(system, 'b', 'watch');
  go(system, 'a', 'within', 100n);
  system.kernel.invoke(system.kernel.find('c'), 'set', [8, 3]);
  system.kernel.invoke(system.kernel.find('c'), 'wake', [8]);
  const copy = system.ok('owner', 'seg_copy', handle);
  const of = (segment: number): number[] => [0, 4, 8, 12].map((at) => word(system, segment, at));
  system.powers.ns += 200n;
  go(system, 'b', 'collect');
  assert.deepEqual(of(handle), [0, 0, 2, 0]);
  assert.deepEqual(of(copy), [0, 1, 3, 0]);
});

test('a member that was known to be ready, and had been taken by another, is told after a restart', async () => {
  const { system } = await shared(['b', 'c']);
  const c = (what: string, ...args: number[]): void =>
    void system.kernel.invoke(system.kernel.find('c'), what, args);
  go(system, 'b', 'watch');
  c('set', 8, 1);
  c('wake', 8);
  c('set', 8, 0);
  system.checkpoint();
  system.crash();
  system.runAll();
  go(system, 'b', 'collect');
  // As programs give: the kernel is told only where the semaphore says that somebody waits.
  c('set', 8, 1);
  assert.equal(system.kernel.invoke(system.kernel.find('c'), 'peek', [12]).kind, 'returned');
  c('give2');
  system.runAll();
  assert.deepEqual(system.values('b'), [1, 42]);
});

test('who waits in a segment that is revoked, or ends, is told so', async () => {
  const { system, handle } = await shared(['a', 'b']);
  const { clists, objects } = system.kernel.core;
  go(system, 'a', 'take');
  assert.equal(system.ok('owner', 'cap_revoke', handle), 0);
  system.runAll();
  assert.deepEqual(system.values('a'), [-ERRNO.REVOKED]);
  const outcome = system.kernel.invoke(system.kernel.find('b'), 'give', [1]);
  assert.equal(outcome.kind === 'trap' && outcome.reason, 'out of bounds memory access');

  const other = system.ok('owner', 'seg_create', 70000n);
  system.add('c', await WAITER, { resident: true });
  system.kernel.invoke(system.kernel.find('c'), 'open', [system.pass('owner', other, 'c')]);
  go(system, 'c', 'take');
  const found = clists.find(system.domain('owner'), other);
  assert.ok(typeof found !== 'number');
  objects.destroy(found.object);
  system.runAll();
  assert.deepEqual(system.values('c'), [-ERRNO.GONE]);
  assert.equal(system.kernel.core.waits?.count, 0);
});

test('what was to be said in a segment when it thaws is not said where that has ended meanwhile', async () => {
  const { system, handle } = await shared([]);
  await system.domains('other');
  const { clists, segments, waits, windows } = system.kernel.core;
  assert.ok(waits !== null);
  const { places, sets } = waits;
  const [owner, other] = [system.domain('owner'), system.domain('other')];
  const there = system.pass('owner', handle, 'other');
  const near = system.map('other', there);
  const setHandle = sets.create(other);
  const set = sets.of(clists.objectAt(other, setHandle));
  const key = places.semaphore(other, near);
  assert.ok(typeof key !== 'number');
  assert.equal(sets.add(set, other, key, near, 1n), 0);
  assert.equal(segments.freeze(clists.objectAt(owner, handle), owner, handle), 0);
  assert.equal(sets.remove(set, key), 0);
  assert.equal(places.held.size, 1, 'the semaphore says that somebody waits, and may not be changed');
  windows.unmap(other, near);
  clists.close(other, there);
  clists.close(owner, handle);
  assert.equal(places.held.size, 0);
  const before = system.space.nextNumber();
  system.runAll();
  assert.ok(system.space.nextNumber() > before, 'nothing is written where the segment was told of');
});
