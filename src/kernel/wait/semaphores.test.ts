import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { moveEpoch } from '../capability/epoch.ts';
import { program } from '../kernel.testing.ts';
import { liveOn, SharedSystem } from './wait.testing.ts';

const IMPORTS = `
  (import "env" "log" (func $log (param i32)))
  (import "env" "pause" (func $pause))
  (import "env" "try" (func $try (param i32) (result i32)))
  (import "env" "give" (func $give_word (param i32) (result i32)))
  (import "perdure_kernel" "sem_wait" (func $sem_wait (param i32 i64) (result i32)))
  (import "perdure_kernel" "sem_wake" (func $sem_wake (param i32) (result i32)))
  (import "perdure_kernel" "wait_any" (func $wait_any (param i32 i32 i64) (result i32)))
  (func $take (param $s i32)
    (if (i32.eqz (call $try (local.get $s)))
      (then (drop (call $sem_wait (local.get $s) (i64.const -1))))))
  (func $give (param $s i32)
    (if (call $give_word (local.get $s)) (then (drop (call $sem_wake (local.get $s))))))`;

const PROGRAM = program(`(module ${IMPORTS}
  (memory 1)
  (func (export "wait") (param $s i32) (param $timeout i64)
    (call $log (call $sem_wait (local.get $s) (local.get $timeout))))
  (func (export "waits") (param $s i32) (param $n i32)
    (loop $l
      (call $log (call $sem_wait (local.get $s) (i64.const -1)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "any") (param $n i32) (param $timeout i64) (local $i i32)
    (loop $l
      (i32.store (i32.add (i32.const 8) (i32.shl (local.get $i) (i32.const 2)))
        (i32.add (i32.const ${WINDOW_BASE}) (i32.shl (local.get $i) (i32.const 3))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (call $log (call $wait_any (i32.const 8) (local.get $n) (local.get $timeout))))
  (func (export "give") (param $s i32) (param $n i32)
    (loop $l
      (call $give (local.get $s))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "wake") (param $s i32) (call $log (call $sem_wake (local.get $s))))
  (func (export "bad")
    (call $log (call $sem_wait (i32.const 65532) (i64.const 0)))
    (call $log (call $sem_wait (i32.const -4) (i64.const 0)))
    (call $log (call $sem_wait (i32.const 6) (i64.const 0)))
    (call $log (call $sem_wake (i32.const 65536)))
    (call $log (call $sem_wake (i32.const 1)))
    (call $log (call $wait_any (i32.const 65532) (i32.const 2) (i64.const 0)))
    (call $log (call $wait_any (i32.const 8) (i32.const 0) (i64.const 0)))
    (call $log (call $wait_any (i32.const 8) (i32.const -1) (i64.const 0)))
    (call $log (call $wait_any (i32.const 8) (i32.const 257) (i64.const 0)))
    (i32.store (i32.const 12) (i32.const 65534))
    (call $log (call $wait_any (i32.const 8) (i32.const 2) (i64.const 0))))
  (func (export "own")
    (call $log (call $sem_wait (i32.const 8) (i64.const 0)))
    (i32.store (i32.const 8) (i32.const 2))
    (call $log (call $sem_wait (i32.const 8) (i64.const 0)))
    (call $log (call $sem_wait (i32.const 8) (i64.const -1)))
    (call $log (i32.load (i32.const 8)))
    (call $log (call $sem_wait (i32.const 8) (i64.const 50)))
    (call $log (i32.load (i32.const 12)))))`);

const S = WINDOW_BASE;
const LATE = -ERRNO.TIMEDOUT;

/** A system with domains of these names, each calling what it says. */
async function start(
  calls: Readonly<Record<string, readonly [string, ...(number | bigint)[]]>>,
  options = {},
): Promise<SharedSystem> {
  const system = new SharedSystem(options);
  for (const name of Object.keys(calls)) system.add(name, await PROGRAM);
  for (const name of Object.keys(calls)) go(system, name, calls[name] as readonly [string]);
  return system;
}
function go(
  system: SharedSystem,
  name: string,
  [entry, ...args]: readonly [string, ...(number | bigint)[]],
): void {
  system.kernel.start(system.kernel.find(name), entry, args);
  system.runAll();
}
const order = (system: SharedSystem): string[] => system.personality.logs.map(([name]) => name);
const blocked = (system: SharedSystem, name: string): boolean =>
  system.kernel.status(system.kernel.find(name)).state === 'blocked';

test('semaphores are taken in the order of those who wait, also after a restart, and nobody is told that need not be', async () => {
  for (const crash of [false, true]) {
    const system = await start({
      c: ['wait', S, -1n],
      a: ['wait', S, -1n],
      b: ['wait', S, -1n],
      giver: ['wait', S + 64, 0n],
    });
    assert.equal(system.waiters(0), 1);
    assert.equal(system.waits.count, 3);
    const give = async (name: string): Promise<void> => {
      system.add(name, await PROGRAM);
      go(system, name, ['give', S, 1]);
    };
    await give('first');
    system.checkpoint();
    if (crash) system.crash();
    await give('second');
    assert.deepEqual(order(system), ['giver', 'c', 'a']);
    await give('third');
    assert.deepEqual(order(system), ['giver', 'c', 'a', 'b']);
    assert.deepEqual(system.values('b'), [0]);
    assert.equal(system.waiters(0), 0);
    await give('fourth');
    assert.equal(system.count(0), 1, 'what nobody waits for stays to be taken');
    assert.equal(system.waits.count, 0);
  }
});

test('a stopped waiter keeps its place, and what it is given until it goes on, also after a restart', async () => {
  const system = await start({ a: ['wait', S, -1n], b: ['wait', S, -1n] });
  system.kernel.stop(system.kernel.find('a'));
  system.add('giver', await PROGRAM);
  go(system, 'giver', ['give', S, 1]);
  assert.deepEqual(order(system), []);
  system.checkpoint();
  system.crash();
  system.runAll();
  assert.ok(blocked(system, 'b'));
  system.kernel.resume(system.kernel.find('a'));
  system.runAll();
  assert.deepEqual(order(system), ['a']);
  assert.equal(system.count(0), 0);
});

test('who waits for any of several takes one of one of them, and waits nowhere after', async () => {
  const system = await start({ a: ['any', 3, -1n], b: ['wait', S + 8, -1n] });
  assert.deepEqual([system.waiters(0), system.waiters(8), system.waiters(16)], [1, 1, 1]);
  system.add('giver', await PROGRAM);
  system.checkpoint();
  system.crash();
  go(system, 'giver', ['give', S + 8, 2]);
  assert.deepEqual(system.values('a'), [1]);
  assert.deepEqual(system.values('b'), [0]);
  assert.deepEqual([system.waiters(0), system.waiters(8), system.waiters(16)], [0, 0, 0]);
  system.setCount(16, 1);
  system.add('c', await PROGRAM);
  go(system, 'c', ['any', 3, -1n]);
  assert.deepEqual(system.values('c'), [2], 'and the first that has one where it need not wait');
});

test('a time that is up gives an error, once what there is has been looked at; what was given before wins', async () => {
  const system = await start({ a: ['wait', S, 100n], b: ['any', 2, 100n], c: ['wait', S + 8, 100n] });
  system.checkpoint();
  system.crash();
  system.add('giver', await PROGRAM);
  system.runAll();
  system.powers.ns += 100n;
  system.setCount(8, 2); // given, and not told
  system.kernel.start(system.kernel.find('giver'), 'give', [S, 1]);
  system.kernel.wake(system.kernel.find('giver'));
  system.runAll();
  assert.deepEqual(system.values('a'), [0]);
  assert.deepEqual(system.values('b'), [1]);
  assert.deepEqual(system.values('c'), [0]);
});

test('waiting ends without a semaphore when its time is up', async () => {
  const system = await start({ a: ['wait', S, 100n], b: ['any', 2, 150n], c: ['wait', S, 0n] });
  assert.deepEqual(system.values('c'), [LATE]);
  system.powers.ns += 100n;
  system.runAll();
  assert.deepEqual(order(system), ['c', 'a']);
  assert.deepEqual([system.waiters(0), system.waiters(8)], [1, 1]);
  system.powers.ns += 50n;
  system.runAll();
  assert.deepEqual(system.values('b'), [LATE]);
  assert.deepEqual([system.waiters(0), system.waiters(8), system.waits.count], [0, 0, 0]);
});

test('pointers that are none, counts out of bounds and crooked addresses are refused', async () => {
  const system = await start({ a: ['bad'] });
  const { FAULT, INVAL } = ERRNO;
  assert.deepEqual(
    system.values('a'),
    [FAULT, FAULT, INVAL, FAULT, INVAL, FAULT, INVAL, INVAL, INVAL, INVAL].map((errno) => -errno),
  );
  assert.equal(system.waits.count, 0);
});

test('a semaphore in memory of its own is counted down, and waited for as long as was said', async () => {
  const system = await start({ a: ['own'] });
  assert.deepEqual(system.values('a'), [LATE, 0, 0, 0]);
  system.kernel.relocate(system.kernel.find('a'));
  system.powers.ns += 50n;
  system.runAll();
  assert.deepEqual(system.values('a').slice(4), [LATE, 0]);
});

test('whoever ends while it waits is passed over, and leaves nothing behind', async () => {
  const system = await start({ a: ['wait', S, -1n], b: ['any', 3, -1n], c: ['wait', S, -1n] });
  const blocks = system.space.heap.blockCount;
  system.kernel.kill(system.kernel.find('b'), '');
  assert.equal(system.space.heap.blockCount, blocks - 2, 'its list, and the visit of its activation');
  assert.deepEqual([system.waiters(0), system.waiters(8)], [1, 0]);
  system.kernel.remove(system.kernel.find('a'));
  system.add('giver', await PROGRAM);
  go(system, 'giver', ['give', S, 1]);
  assert.deepEqual(order(system), ['c']);
  assert.equal(system.waits.count, 0);
});

test('a volatile domain that waited is gone after a restart, and its place with it', async () => {
  const system = new SharedSystem();
  system.add('a', await PROGRAM, { volatile: true });
  system.add('b', await PROGRAM);
  go(system, 'a', ['wait', S, -1n]);
  go(system, 'b', ['wait', S, -1n]);
  system.checkpoint();
  system.crash();
  assert.equal(system.waits.count, 1);
  system.add('giver', await PROGRAM);
  go(system, 'giver', ['give', S, 1]);
  assert.deepEqual(order(system), ['b']);
});

test('who may not use a segment any more gets nothing of it and is told; the next one is served', async () => {
  const system = await start({ a: ['wait', S, -1n], b: ['any', 2, -1n], c: ['wait', S, -1n] });
  system.refused.set('a', -ERRNO.REVOKED);
  system.add('giver', await PROGRAM);
  go(system, 'giver', ['give', S, 1]);
  assert.deepEqual(system.values('a'), [-ERRNO.REVOKED]);
  assert.deepEqual(system.values('b'), [0]);
  assert.ok(blocked(system, 'c'));
  system.refused.set('c', -ERRNO.REVOKED);
  system.runAll();
  assert.ok(blocked(system, 'c'), 'nothing has said yet that there is anything to look at');
  moveEpoch(system.space);
  system.runAll();
  assert.deepEqual(system.values('c'), [-ERRNO.REVOKED]);
  assert.deepEqual([system.waiters(0), system.waits.count], [0, 0]);
});

test('whatever stands in the words, the kernel hands out what they say and goes on', async () => {
  const system = await start({ a: ['waits', S, 3], b: ['waits', S, 2] });
  system.space.setU32(system.at(4), 0); // nobody waits, it says
  system.setCount(0, 0xffff_ffff);
  system.add('giver', await PROGRAM);
  go(system, 'giver', ['wake', S]);
  assert.deepEqual(system.values('giver'), [2]);
  assert.deepEqual(system.values('a'), [0, 0, 0]);
  assert.deepEqual(system.values('b'), [0, 0]);
  assert.equal(system.count(0), 0xffff_fffa);
  assert.equal(system.waiters(0), 0);
});

test('a waiter that is carried to another space waits there as long as it had left', async () => {
  const system = await start({ a: ['own'] });
  const image = structuredClone(system.kernel.exportDomain(system.kernel.find('a')));
  system.kernel.remove(system.kernel.find('a'));
  assert.equal(system.waits.count, 0);
  system.powers.ns += 49n;
  system.kernel.importDomain(image, await PROGRAM);
  system.runAll();
  assert.ok(blocked(system, 'a'));
  system.powers.ns += 50n;
  system.runAll();
  assert.deepEqual(system.values('a').slice(4), [LATE, 0]);
});

/** Takes from any of four semaphores and gives to the next, over and over. */
const RUNNER = program(`(module ${IMPORTS}
  (memory 1)
  (global $random (mut i32) (i32.const 0))
  (func $next (param $below i32) (result i32)
    (global.set $random (i32.add (i32.mul (global.get $random) (i32.const 1103515245)) (i32.const 12345)))
    (i32.rem_u (i32.shr_u (global.get $random) (i32.const 16)) (local.get $below)))
  (func $at (param i32) (result i32)
    (i32.add (i32.const ${WINDOW_BASE}) (i32.shl (i32.and (local.get 0) (i32.const 3)) (i32.const 3))))
  (func (export "run") (param $seed i32) (param $rounds i32) (local $i i32)
    (global.set $random (local.get $seed))
    (loop $l (i32.store (i32.shl (local.get $i) (i32.const 2)) (call $at (local.get $i)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
    (loop $l
      (block $got
        (if (i32.eqz (call $next (i32.const 3))) (then
          (br_if $got (call $try (call $at (local.tee $i (call $next (i32.const 4))))))))
        (local.set $i (call $wait_any (i32.const 0) (i32.const 4)
          (select (i64.const -1) (i64.const 5) (call $next (i32.const 3)))))
        (br_if $l (i32.lt_s (local.get $i) (i32.const 0))))
      (if (i32.eqz (call $next (i32.const 4))) (then (call $pause)))
      (call $give (call $at (i32.add (local.get $i) (i32.const 1))))
      (br_if $l (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (call $log (i32.const 1))))`);

test('no wake-up is lost: whatever the turns, stops, deaths, moves and restarts, tokens go round', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  for (let life = 0; life < 12; life++) {
    const stress = life % 2 === 1;
    const system = new SharedSystem({ stress });
    const names = Array.from({ length: 2 + prng.below(8) }, (_, i) => `d${i}`);
    const victims = new Set(names.filter(() => prng.chance(0.2)).slice(0, names.length - 1));
    const tokens = victims.size + 1 + prng.below(3);
    for (let i = 0; i < tokens; i++) {
      const at = 8 * prng.below(4);
      system.setCount(at, system.count(at) + 1);
    }
    for (const name of names) {
      const id = system.add(name, await RUNNER);
      system.kernel.start(id, 'run', [prng.below(1 << 30), 20]);
    }
    system.checkpoint();
    const killed = liveOn(system, prng, { names, awaited: names, victims, stress, life });
    const left = [0, 8, 16, 24].map((at) => system.count(at)).reduce((sum, count) => sum + count, 0);
    assert.ok(left <= tokens && left >= tokens - killed.size, `life ${life}: ${left} of ${tokens} are left`);
    assert.equal(system.waits.count, 0);
    assert.deepEqual(
      [0, 8, 16, 24].map((at) => system.waiters(at)),
      [0, 0, 0, 0],
    );
  }
});

test('however many wait and however much is revoked, looking through them takes a small part of the time', async () => {
  const system = await start({ a: ['wait', S, -1n], b: ['wait', S, -1n] });
  const { mapped } = system.waits.places;
  let looks = 0;
  assert.ok(mapped !== null);
  system.waits.places.mapped = {
    ...mapped,
    claim: (...args) => {
      looks++;
      system.powers.ns += 500n;
      return mapped.claim(...args);
    },
  };
  for (let i = 0; i < 100; i++) {
    moveEpoch(system.space);
    assert.ok(system.kernel.run().nextDeadline !== null || looks === 2 * (i + 1), 'it will be looked');
    system.powers.ns += 100n;
  }
  assert.ok(looks >= 2 && looks <= 4, `${looks} looks in 10 us, 500 ns each`);
  system.refused.set('b', -ERRNO.REVOKED);
  system.powers.ns += 100_000n;
  system.runAll();
  assert.deepEqual(system.values('b'), [-ERRNO.REVOKED]);
  system.powers.ns += 100_000n; // that one has ended, which may have changed what others may
  system.runAll();
  assert.equal(system.kernel.run().nextDeadline, null);
});
