import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACCOUNT_PARTS, RESOURCE, UNLIMITED } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OPERATION } from '../../abi/ring.ts';
import { FRAME_BYTES } from '../../base/limits.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { RingUser } from '../ring/ring.testing.ts';
import { PROGRAM, SegmentSystem } from '../segment/segment.testing.ts';
import { charge, divideAccount, holdAccount, left, openAccount, refund, usedOf } from './account.ts';

const RESOURCES = Object.values(RESOURCE);

const CALLS = `
  (import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "pause" (func $pause))
  (import "perdure_kernel" "account_own" (func $own (result i32)))
  (import "perdure_kernel" "account_divide" (func $divide (param i32 i32) (result i32)))
  (import "perdure_kernel" "account_status" (func $status (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_copy" (func $copy (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_derive" (func $derive (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "cap_revoke" (func $revoke (param i32) (result i32)))
  (import "perdure_kernel" "cap_close" (func $close (param i32) (result i32)))
  (import "perdure_kernel" "seg_create" (func $segment (param i64) (result i32)))
  (import "perdure_kernel" "seg_write" (func $fill (param i32 i64 i32 i32) (result i32)))
  (memory 1 1000)`;

/** A neighbour that counts how many turns it has had, and what it can still do in each. */
const NEIGHBOUR = program(`(module ${CALLS}
  (func (export "_start") (local $h i32) (local $i i32)
    (local.set $h (call $own))
    (loop $l
      (call $log (i32.and
        (i32.gt_s (call $close (call $derive (call $copy (local.get $h) (i32.const -1)) (i32.const -1) (i64.const 0))) (i32.const -1))
        (i32.gt_s (memory.grow (i32.const 1)) (i32.const 0))))
      (call $pause)
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))))`);

/** Both run until the neighbour is done; it must not notice anything. Returns the system, for what became of the other. */
async function beside(attack: string, more: object): Promise<TestSystem> {
  const system = new TestSystem({ stress: false });
  system.powers.cpuStep = 100;
  const victim = system.add('victim', await NEIGHBOUR);
  const attacker = system.add('attacker', await program(`(module ${CALLS} ${attack})`), more);
  system.kernel.start(victim, '_start');
  system.kernel.start(attacker, '_start');
  for (let i = 0; i < 200 && system.kernel.status(victim).state !== 'exited'; i++) {
    system.kernel.run({ maxSlices: 1 });
  }
  assert.equal(system.kernel.status(victim).end, 'exit');
  assert.deepEqual(system.values('victim'), new Array(20).fill(1));
  return system;
}

test('a program that takes memory for ever gets what it may have, and a neighbour all of its own', async () => {
  const system = await beside(
    `(func (export "_start") (loop $l
       (br_if $l (i32.gt_s (memory.grow (i32.const 1)) (i32.const 0)))
       (call $log (memory.size))))`,
    { memoryLimitBytes: 50 << 16 },
  );
  assert.deepEqual(system.values('attacker'), [50]);
});

test('a program that fills segments for ever gets what it may have, and a neighbour all of its own', async () => {
  const system = await beside(
    `(func (export "_start") (local $h i32) (local $n i32)
       (loop $l
         (local.set $h (call $segment (i64.const 1048576)))
         (if (i32.gt_s (local.get $h) (i32.const 0)) (then
           (local.set $h (call $fill (local.get $h) (i64.const 0) (i32.const 0) (i32.const 65536)))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))))
         (br_if $l (i32.gt_s (local.get $h) (i32.const 0))))
       (call $log (local.get $h))
       (call $log (i32.lt_u (local.get $n) (i32.const 200))))`,
    { memoryLimitBytes: 100 << 16 },
  );
  assert.deepEqual(system.values('attacker'), [-ERRNO.DQUOT, 1]);
});

test('a program that computes for ever ends at what it may compute, and a neighbour goes on', async () => {
  const system = await beside('(func (export "_start") (loop $l (call $pause) (br $l)))', { cpuLimitMs: 1 });
  const { end, reason } = system.kernel.status(system.kernel.find('attacker'));
  assert.deepEqual([end, reason], ['limit', 'cpu limit']);
});

test('a program that derives and revokes for ever is told that it has enough, and a neighbour goes on', async () => {
  const system = await beside(
    `(func (export "_start") (local $h i32) (local $d i32)
       (local.set $h (call $own))
       (loop $l
         (local.set $d (call $derive (local.get $h) (i32.const -1) (i64.const 0)))
         (br_if $l (i32.gt_s (call $revoke (local.get $d)) (i32.const -1))))
       (call $log (local.get $d)))`,
    { limits: { capabilities: 5000 } },
  );
  assert.deepEqual(system.values('attacker'), [-ERRNO.DQUOT]);
});

test('a program that divides for ever gets no more by it', async () => {
  const system = await beside(
    `(func (export "_start") (local $h i32) (local $d i32)
       (i64.store (i32.const 0) (i64.const 65536))
       (i64.store (i32.const 16) (i64.const 10))
       (local.set $h (call $own))
       (loop $l
         (local.set $d (call $divide (local.get $h) (i32.const 0)))
         (br_if $l (i32.gt_s (local.get $d) (i32.const 0))))
       (call $log (local.get $d))
       (call $log (call $status (local.get $h) (i32.const 200)))
       (call $log (i32.wrap_i64 (i64.load (i32.const 200))))
       (call $log (i32.wrap_i64 (i64.load (i32.const 208))))
       (call $log (memory.grow (i32.const 1))))`,
    { memoryLimitBytes: 40 << 16 },
  );
  assert.deepEqual(system.values('attacker'), [-ERRNO.DQUOT, 0, 40 << 16, 40 << 16, -1]);
  const account = system.space.heap.blockCount;
  system.kernel.remove(system.kernel.find('attacker'));
  assert.ok(system.space.heap.blockCount < account, 'and its parts go with it');
  assert.deepEqual([system.kernel.core.objects.count, system.kernel.core.capabilities.count], [0, 0]);
});

test('a segment that outlives who made it is charged, as it grows, where that one had its part from', async () => {
  const system = new SegmentSystem();
  const { space } = system;
  const whole = openAccount(space, { memory: 100 * FRAME_BYTES });
  holdAccount(space, whole);
  const parts = RESOURCES.map((resource) => (resource === RESOURCE.memory ? 50 * FRAME_BYTES : 1000));
  system.add('a', await PROGRAM, { resident: true, account: divideAccount(space, whole, parts) });
  await system.domains('b');
  const handle = system.ok('a', 'seg_create', 0n);
  const there = system.pass('a', handle, 'b');
  const frames = (count: number): bigint => BigInt(count * FRAME_BYTES);
  const free = (): number => left(space, whole, RESOURCE.memory) / FRAME_BYTES;
  system.kernel.remove(system.kernel.find('a'));
  assert.equal(free(), 100, 'it paid for nothing yet');
  assert.equal(system.call('b', 'seg_grow', there, frames(51)), -ERRNO.DQUOT);
  assert.equal(system.ok('b', 'seg_grow', there, frames(40)), 0);
  assert.equal(free(), 60);
  charge(space, whole, RESOURCE.memory, 58 * FRAME_BYTES);
  assert.equal(
    system.call('b', 'seg_grow', there, frames(45)),
    -ERRNO.DQUOT,
    'there is not so much any more',
  );
  refund(space, whole, RESOURCE.memory, 58 * FRAME_BYTES);
  system.checkpoint();
  system.crash();
  const blocks = system.space.heap.blockCount;
  system.kernel.remove(system.kernel.find('b'));
  assert.equal(left(system.space, whole, RESOURCE.memory), 100 * FRAME_BYTES);
  assert.ok(system.space.heap.blockCount < blocks);
});

test('domains of one account share it', async () => {
  const system = new TestSystem();
  const module = await program(`(module ${CALLS} (func (export "_start")
    (loop $l (br_if $l (i32.gt_s (memory.grow (i32.const 1)) (i32.const 0))))
    (call $log (memory.size)) (drop (call $wait (i32.const 0)))))`);
  const account = openAccount(system.space, { memory: 30 << 16, cpu: UNLIMITED });
  for (const name of ['a', 'b']) system.kernel.start(system.add(name, module, { account }), '_start');
  system.runAll();
  assert.deepEqual([...system.values('a'), ...system.values('b')], [29, 1]);
  system.checkpoint();
  system.crash();
  system.kernel.remove(system.kernel.find('a'));
  assert.equal(usedOf(system.space, account, RESOURCE.memory), 1 << 16);
  const none = openAccount(system.space, { memory: 0 });
  assert.throws(() => system.add('c', module, { account: none }), /its limit is 0 MiB/);
});

test('an account is divided so often, and only into what can be', async () => {
  const system = new TestSystem();
  const module = await program(`(module ${CALLS} (func (export "_start") (local $h i32) (local $i i32)
    (local.set $h (call $own))
    (loop $l
      (call $log (i32.ge_s (local.tee $h (call $divide (local.get $h) (i32.const 0))) (i32.const 0)))
      (br_if $l (i32.gt_s (local.get $h) (i32.const 0))))
    (call $log (local.get $h))
    (i64.store (i32.const 0) (i64.const -1))
    (call $log (call $divide (call $own) (i32.const 0)))
    (call $log (call $divide (call $own) (i32.const ${65536 - 8 * ACCOUNT_PARTS + 1})))
    (call $log (call $status (call $own) (i32.const -1)))))`);
  system.kernel.start(system.add('a', module), '_start');
  system.runAll();
  const values = system.values('a');
  assert.deepEqual(values.slice(0, 17), [...new Array(16).fill(1), 0]);
  assert.deepEqual(values.slice(17), [-ERRNO.DEPTH, -ERRNO.DQUOT, -ERRNO.FAULT, -ERRNO.FAULT]);
  assert.deepEqual([system.kernel.core.objects.count, system.kernel.core.capabilities.count], [0, 0]);
});

test('a program that asks for ever has so many requests under way, and a neighbour as many as it wants', async () => {
  const system = new TestSystem();
  const attacker = await RingUser.make(system, 'attacker', 256, 0, { limits: { requests: 10 } });
  const neighbour = await RingUser.make(system, 'neighbour', 256);
  const later = { op: OPERATION.timeout, offset: 1000n };
  const flood = Array.from({ length: 200 }, (_, n) => ({ ...later, user: BigInt(n) }));
  assert.equal(attacker.submit(...flood), 10, 'the others stay in its queue');
  assert.equal(attacker.enter(200), 0);
  assert.equal(neighbour.submit(...flood), 200);
  system.powers.ns += 1000n;
  system.runAll();
  assert.equal(neighbour.completions().length, 200);
  assert.equal(attacker.completions().length, 10);
  assert.equal(attacker.enter(200), 10, 'what is over makes room');
  system.kernel.remove(attacker.id);
  system.kernel.remove(neighbour.id);
  assert.equal(system.kernel.core.rings.count, 0);
});
