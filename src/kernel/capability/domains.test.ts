import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOMAIN_FLAG, DOMAIN_STATUS_BYTES } from '../../abi/domains.ts';
import { ERRNO } from '../../abi/errno.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { Kernel } from '../kernel.ts';

const CALLS = `
  (import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "pause" (func $pause))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_close" (func $close (param i32) (result i32)))
  (import "perdure_kernel" "account_own" (func $account (result i32)))
  (import "perdure_kernel" "account_divide" (func $divide (param i32 i32) (result i32)))
  (import "perdure_kernel" "program_own" (func $own (result i32)))
  (import "perdure_kernel" "domain_create" (func $create (param i32 i32 i32 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_grant" (func $grant (param i32 i32 i32 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_start" (func $start (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_stop" (func $stop (param i32) (result i32)))
  (import "perdure_kernel" "domain_resume" (func $resume (param i32) (result i32)))
  (import "perdure_kernel" "domain_destroy" (func $destroy (param i32) (result i32)))
  (import "perdure_kernel" "domain_wait" (func $await (param i32) (result i32)))
  (import "perdure_kernel" "domain_status" (func $status (param i32 i32) (result i32)))
  (memory 1 100)
  (data (i32.const 16) "kid") (data (i32.const 32) "work") (data (i32.const 48) "thing") (data (i32.const 64) "a/b")
  (func $child (param $account i32) (param $flags i32) (result i32)
    (call $create (call $own) (i32.const 16) (i32.const 3) (local.get $account) (local.get $flags)))
  (func $begin (param $h i32) (result i32) (call $start (local.get $h) (i32.const 32) (i32.const 4)))`;

const guest = (text: string) => program(`(module ${CALLS} ${text})`);

async function run(text: string, more: object = {}): Promise<TestSystem> {
  const system = new TestSystem();
  system.kernel.start(system.add('maker', await guest(text), more), '_start');
  system.runAll();
  return system;
}

test('a program makes a domain, gives it something, starts it and waits for it, over a crash', async () => {
  const text = `
    (func (export "work")
      (call $log (i32.ge_s (call $granted (i32.const 48) (i32.const 5)) (i32.const 0)))
      (call $log (call $granted (i32.const 16) (i32.const 3)))
      (call $log (call $wait (i32.const 41))))
    (func (export "_start") (local $h i32)
      (local.set $h (call $child (i32.const 0) (i32.const 0)))
      (call $log (call $grant (local.get $h) (i32.const 48) (i32.const 5) (call $account) (i32.const 1)))
      (call $log (call $start (local.get $h) (i32.const 48) (i32.const 5)))
      (call $log (call $begin (local.get $h)))
      (call $log (call $begin (local.get $h)))
      (call $log (call $await (local.get $h)))
      (call $log (call $status (local.get $h) (i32.const 256)))
      (call $log (i32.load (i32.const 256)))
      (call $log (i32.load (i32.const 260)))
      (call $log (call $status (local.get $h) (i32.const ${65536 - DOMAIN_STATUS_BYTES + 1})))
      (call $log (call $destroy (local.get $h)))
      (call $log (call $destroy (local.get $h))))`;
  const system = await run(text);
  assert.deepEqual(system.values('maker'), [0, -ERRNO.NOENT, 0, -ERRNO.BUSY]);
  assert.deepEqual(system.values('maker/kid'), [1, -ERRNO.NOENT]);
  system.checkpoint();
  system.crash();
  system.runAll();
  system.personality.open = true;
  system.kernel.wake(system.kernel.find('maker/kid'));
  system.runAll();
  assert.deepEqual(system.values('maker/kid').slice(2), [42]);
  assert.deepEqual(system.values('maker').slice(4), [0, 0, 5, 1, -ERRNO.FAULT, 0, -ERRNO.GONE]);
  assert.equal(system.kernel.find('maker/kid'), -1);
});

test('a domain without anything to run lives, and is started again; one that is stopped goes on later', async () => {
  const text = `
    (global $n (mut i32) (i32.const 0))
    (func (export "work")
      (global.set $n (i32.add (global.get $n) (i32.const 1))) (call $log (global.get $n)) (call $pause)
      (call $log (i32.const 9)))
    (func (export "_start") (local $h i32)
      (local.set $h (call $child (i32.const 0) (i32.const ${DOMAIN_FLAG.resident})))
      (call $log (call $begin (local.get $h)))
      (call $log (call $stop (local.get $h)))
      (call $log (call $stop (local.get $h)))
      (call $log (call $resume (local.get $h)))
      (call $log (call $resume (local.get $h)))
      (call $log (call $await (local.get $h)))
      (call $log (call $begin (local.get $h)))
      (call $log (call $await (local.get $h))))`;
  const system = await run(text);
  assert.deepEqual(system.values('maker'), [0, 0, -ERRNO.BUSY, 0, -ERRNO.BUSY, 0, 0, 0]);
  assert.deepEqual(system.values('maker/kid'), [1, 9, 2, 9]);
  assert.equal(system.kernel.status(system.kernel.find('maker/kid')).state, 'created');
});

test('what cannot be is refused, and leaves nothing', async () => {
  const text = `
    (func (export "_start") (local $h i32) (local $p i32)
      (local.set $p (call $own))
      (call $log (call $create (i32.const 5) (i32.const 16) (i32.const 3) (i32.const 0) (i32.const 0)))
      (call $log (call $create (call $account) (i32.const 16) (i32.const 3) (i32.const 0) (i32.const 0)))
      (call $log (call $create (local.get $p) (i32.const 64) (i32.const 3) (i32.const 0) (i32.const 0)))
      (call $log (call $create (local.get $p) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))
      (call $log (call $create (local.get $p) (i32.const 256) (i32.const 60) (i32.const 0) (i32.const 0)))
      (call $log (call $create (local.get $p) (i32.const -1) (i32.const 3) (i32.const 0) (i32.const 0)))
      (call $log (call $create (local.get $p) (i32.const 16) (i32.const 3) (i32.const 0) (i32.const 64)))
      (call $log (call $create (local.get $p) (i32.const 16) (i32.const 3) (local.get $p) (i32.const 0)))
      (local.set $h (call $child (i32.const 0) (i32.const 0)))
      (call $log (call $child (i32.const 0) (i32.const 0)))
      (call $log (call $await (local.get $p)))
      (call $log (call $grant (local.get $h) (i32.const 16) (i32.const 0) (local.get $p) (i32.const -1)))
      (call $log (call $grant (local.get $h) (i32.const 16) (i32.const 3) (i32.const 77) (i32.const -1)))
      (call $log (i32.ge_s (call $create (local.get $p) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0))))`;
  const system = await run(text);
  assert.deepEqual(system.values('maker'), [
    ...[-ERRNO.BADF, -ERRNO.INVAL, -ERRNO.INVAL, -ERRNO.INVAL, -ERRNO.NAMETOOLONG, -ERRNO.FAULT],
    ...[-ERRNO.INVAL, -ERRNO.INVAL, -ERRNO.EXIST, -ERRNO.INVAL, -ERRNO.INVAL, -ERRNO.BADF, 1],
  ]);
  assert.equal(system.kernel.ids().length, 3);
});

test('an account pays for what is made, and gets it back: no domain more than it may have', async () => {
  const text = `
    (func (export "work") (loop $l (br_if $l (i32.gt_s (memory.grow (i32.const 1)) (i32.const 0)))) (call $log (memory.size)))
    (func (export "_start") (local $a i32) (local $h i32)
      (i64.store (i32.const 512) (i64.const ${5 << 16}))
      (i64.store (i32.const 520) (i64.const 1000000))
      (i64.store (i32.const 528) (i64.const 10))
      (i64.store (i32.const 552) (i64.const 1))
      (local.set $a (call $divide (call $account) (i32.const 512)))
      (local.set $h (call $child (local.get $a) (i32.const 0)))
      (call $log (call $create (call $own) (i32.const 0) (i32.const 0) (local.get $a) (i32.const 0)))
      (drop (call $begin (local.get $h)))
      (drop (call $await (local.get $h)))
      (drop (call $destroy (local.get $h)))
      (call $log (i32.ge_s (call $create (call $own) (i32.const 0) (i32.const 0) (local.get $a) (i32.const 0)) (i32.const 0))))`;
  const system = await run(text);
  assert.deepEqual(system.values('maker'), [-ERRNO.DQUOT, 1]);
  assert.deepEqual(system.values('maker/kid'), [5]);
});

test('a program that makes domains for ever gets what it may have; all goes with it where it is linked', async () => {
  const text = `
    (func (export "_start") (local $h i32) (local $p i32)
      (local.set $p (call $own))
      (loop $l
        (local.set $h (call $create (local.get $p) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const ${DOMAIN_FLAG.linked})))
        (br_if $l (i32.ge_s (local.get $h) (i32.const 0))))
      (call $log (local.get $h))
      (drop (call $wait (i32.const 0))))`;
  const system = new TestSystem();
  const module = await guest(text);
  system.kernel.start(system.add('other', module, { limits: { domains: 0 } }), '_start');
  system.runAll();
  system.kernel.remove(system.kernel.find('other'));
  const before = [system.space.heap.blockCount, system.space.frames.freeCount];
  const id = system.add('maker', module, { limits: { domains: 50 }, memoryLimitBytes: 40 << 16 });
  system.kernel.start(id, '_start');
  system.runAll();
  assert.deepEqual(system.values('maker'), [-ERRNO.DQUOT]);
  assert.equal(system.kernel.ids().length, 40);
  system.checkpoint();
  system.crash();
  system.kernel.remove(system.kernel.find('maker'));
  assert.deepEqual(system.kernel.ids(), []);
  const { objects, capabilities } = system.kernel.core;
  assert.deepEqual([objects.count, capabilities.count], [0, 0]);
  assert.ok(system.space.heap.blockCount <= (before[0] as number) + 8, 'tables grew, no more');
});

test('a domain can end itself, and the one that made it, in the middle of a call', async () => {
  const text = `
    (func (export "work") (local $h i32)
      (local.set $h (call $granted (i32.const 48) (i32.const 5)))
      (call $log (i32.const 1))
      (drop (call $destroy (local.get $h)))
      (call $log (i32.const 2)))
    (func (export "_start") (local $h i32)
      (local.set $h (call $child (i32.const 0) (i32.const ${DOMAIN_FLAG.linked})))
      (drop (call $grant (local.get $h) (i32.const 48) (i32.const 5) (call $granted (i32.const 48) (i32.const 5)) (i32.const -1)))
      (drop (call $begin (local.get $h)))
      (drop (call $await (local.get $h)))
      (call $log (i32.const 3)))`;
  const system = new TestSystem();
  const id = system.add('maker', await guest(text));
  const { kernel } = system;
  kernel.authority.grant(id, { name: 'thing', ...kernel.authority.domain(id) });
  kernel.start(id, '_start');
  system.runAll();
  assert.deepEqual([system.values('maker/kid'), system.values('maker')], [[1], []]);
  assert.deepEqual(kernel.ids(), [], 'the child went with the maker that it removed');
});

test('the programs that domains may be made of are needed after a restart', async () => {
  const system = new TestSystem();
  const id = system.add('maker', await guest('(func (export "_start"))'));
  const other = await guest('(func (export "work") (call $log (i32.const 7)))');
  system.modules.set(other.hash, other);
  system.kernel.authority.grantProgram(id, 'thing', other);
  assert.ok(Kernel.moduleHashes(system.space).includes(other.hash));
  system.checkpoint();
  system.crash();
  assert.deepEqual(system.kernel.core.programs.hashes(), [other.hash]);
  system.kernel.remove(system.kernel.find('maker'));
  assert.deepEqual(system.kernel.core.programs.hashes(), []);
});

test('a domain that is destroyed leaves nothing: not a frame, block, record or name, however often', async () => {
  const text = `
    (func (export "work") (local $i i32)
      (drop (memory.grow (i32.const 3)))
      (loop $l
        (drop (call $own)) (drop (call $account))
        (drop (call $child (i32.const 0) (i32.const ${DOMAIN_FLAG.linked})))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5))))
      (drop (call $wait (i32.const 0))))
    (func (export "_start") (local $h i32) (local $a i32) (local $p i32)
      (i64.store (i32.const 512) (i64.const ${20 << 16}))
      (i64.store (i32.const 520) (i64.const 1000000))
      (i64.store (i32.const 528) (i64.const 100))
      (i64.store (i32.const 552) (i64.const 10))
      (local.set $p (call $own))
      (local.set $a (call $divide (call $account) (i32.const 512)))
      (local.set $h (call $create (local.get $p) (i32.const 16) (i32.const 3) (local.get $a) (i32.const 0)))
      (drop (call $grant (local.get $h) (i32.const 48) (i32.const 5) (local.get $a) (i32.const -1)))
      (drop (call $begin (local.get $h)))
      (call $pause) (drop (call $stop (local.get $h)))
      (drop (call $destroy (local.get $h))))`;
  const system = new TestSystem();
  const id = system.add('maker', await guest(text), { resident: true });
  const seen = new Set<number>();
  const counts = Array.from({ length: 12 }, (_, round) => {
    system.kernel.start(id, '_start');
    system.runAll();
    const domain = system.kernel.core.peek(id);
    assert.ok(domain);
    system.kernel.core.clists.clear(domain);
    if (round === 6) {
      system.checkpoint();
      system.crash();
    }
    const { core, space } = system.kernel;
    assert.ok(!seen.has(core.nextDomain), 'no number is given twice');
    seen.add(core.nextDomain);
    const { objects, capabilities, activations } = core;
    return [
      ...[space.heap.blockCount, space.frames.freeCount, objects.count, capabilities.count],
      ...[activations.count, system.kernel.ids().length],
    ].join();
  });
  // The first rounds make tables longer, and a restart finds the space as large as it has to be.
  assert.deepEqual(new Set(counts.slice(2, 6)).size, 1, counts.join(' | '));
  assert.deepEqual(new Set(counts.slice(8)).size, 1, counts.join(' | '));
});
