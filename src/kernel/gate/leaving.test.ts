/** Programs that are carried elsewhere in the middle of calls of others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import type { Activation } from './activations.ts';
import { GateSystem, program } from './gates.testing.ts';

const ENV = `(import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))`;
/** Adds in a loop, so that there are safepoints inside; waits for 0. */
const SERVER = program(`(module ${ENV}
  (func (export "gate:add") (param i32 i32) (result i32)
    (if (i32.eqz (local.get 1)) (then (drop (call $wait (i32.const 0)))))
    (loop $more
      (if (local.get 1) (then
        (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
        (br $more))))
    (local.get 0))
  (func (export "main")))`);
/** Counts errors beside the sum. */
const CLIENT = program(`(module ${ENV}
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "s" "add" (func $add (param i32 i32) (result i32)))
  (func (export "run") (param i32) (local $sum i32) (local $errors i32)
    (loop $more
      (local.set $sum (call $add (local.get $sum) (local.get 0)))
      (if (call $error) (then (local.set $errors (i32.add (local.get $errors) (i32.const 1)))))
      (br_if $more (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (call $log (local.get $sum)) (call $log (local.get $errors)))
  (func (export "wait") (drop (call $add (i32.const 1) (i32.const 0))) (call $log (call $error))))`);

const mainOf = (system: GateSystem): Activation =>
  system.kernel.core.peek(system.kernel.find('c'))?.main as Activation;

test('who is called back before it is carried has its results, and no call is made twice or lost', async () => {
  const carried = { inside: 0, times: 0 };
  for (let slices = 1; slices < 60; slices++) {
    let system = new GateSystem({ stress: true });
    system.add('s', await SERVER);
    system.kernel.start(system.add('c', await CLIENT), 'run', [10]);
    system.kernel.run({ maxSlices: slices });
    const c = system.kernel.find('c');
    if (system.kernel.status(c).state !== 'ready') break;
    carried.times++;
    if (mainOf(system).visits.length > 1) carried.inside++;
    system.kernel.bringBack(c);
    assert.equal(mainOf(system).visits.length, 1);
    assert.equal(system.kernel.core.flagRaised, false);
    const image = structuredClone(system.kernel.exportDomain(c));
    system = new GateSystem({ stress: true });
    system.add('s', await SERVER);
    system.kernel.importDomain(image, await CLIENT);
    system.runAll();
    assert.deepEqual(system.values('c'), [55, 0], `after ${slices} slices`);
  }
  assert.ok(carried.inside > 10 && carried.times > carried.inside, 'both cases came up');
});

test('who waits in another is not waited for: its call ends with an error where it arrives', async () => {
  const system = new GateSystem();
  system.add('s', await SERVER);
  const c = system.add('c', await CLIENT);
  system.kernel.start(c, 'wait');
  system.runAll();
  system.kernel.bringBack(c);
  assert.equal(mainOf(system).visits.length, 2);
  const other = new GateSystem();
  other.add('s', await SERVER);
  other.kernel.importDomain(structuredClone(system.kernel.exportDomain(c)), await CLIENT);
  other.runAll();
  assert.deepEqual(other.values('c'), [ERRNO.GONE]);
});

test('who never comes back from a call is carried all the same', async () => {
  const endless =
    program(`(module (func (export "gate:add") (param i32 i32) (result i32) (loop $for_ever (br $for_ever)) (i32.const 0))
    (func (export "main")))`);
  const system = new GateSystem({ stress: true });
  system.add('s', await endless);
  const c = system.add('c', await CLIENT);
  system.kernel.start(c, 'run', [1]);
  system.kernel.run({ maxSlices: 5 });
  system.kernel.bringBack(c);
  const other = new GateSystem();
  other.add('s', await SERVER);
  other.kernel.importDomain(structuredClone(system.kernel.exportDomain(c)), await CLIENT);
  other.runAll();
  assert.deepEqual(other.values('c').slice(1), [1]);
});
