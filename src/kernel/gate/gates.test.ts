import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { GateSystem, program } from './gates.testing.ts';

const BOTH = [false, true];
const label = (stress: boolean): string => (stress ? ', unwound at every safepoint' : '');

/** Adds; divides, which may trap; waits; counts. */
const CALLEE = program(`(module
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "exit" (func $exit (param i32)))
  (import "env" "log" (func $log (param i32)))
  (tag $t)
  (global $calls (mut i32) (i32.const 0))
  (func (export "gate:add") (param i32 i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.add (local.get 0) (local.get 1)))
  (func (export "gate:divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "gate:slow") (param i32) (result i32)
    (i32.add (call $wait (local.get 0)) (call $sum (local.get 0))))
  (func $sum (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (local.get 0) (call $sum (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func (export "gate:throw") (throw $t))
  (func (export "gate:exit") (call $exit (i32.const 3)))
  (func (export "gate:calls") (result i32) (global.get $calls)))`);

const CALLER = program(`(module
  (import "b" "add" (func $add (param i32 i32) (result i32)))
  (import "b" "divide" (func $divide (param i32 i32) (result i32)))
  (import "b" "slow" (func $slow (param i32) (result i32)))
  (import "b" "throw" (func $throw))
  (import "b" "exit" (func $exit))
  (import "b" "calls" (func $calls (result i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "env" "log" (func $log (param i32)))
  (func (export "sum") (param $n i32) (local $i i32) (local $x i32)
    (loop $l
      (local.set $x (call $add (local.get $x) (local.get $i)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (call $log (local.get $x))
    (call $log (call $calls)))
  (func (export "wait") (param i32)
    (call $log (call $slow (local.get 0))) (call $log (call $error)))
  (func (export "divide") (param i32 i32)
    (call $log (call $divide (local.get 0) (local.get 1))) (call $log (call $error))
    (call $log (call $add (i32.const 1) (i32.const 2))) (call $log (call $error)))
  (func (export "throw") (call $throw) (call $log (call $error)))
  (func (export "exit") (call $exit) (call $log (call $error))))`);

for (const stress of BOTH) {
  test(`a program calls another's procedures like functions of its own${label(stress)}`, async () => {
    const system = new GateSystem({ stress });
    const b = system.add('b', await CALLEE);
    const a = system.add('a', await CALLER);
    system.kernel.start(a, 'sum', [1000]);
    system.runAll();
    assert.deepEqual(system.values('a'), [499500, 1000]);
    assert.equal(system.kernel.status(a).end, 'exit');
    assert.equal(system.kernel.status(b).state, 'created');
  });

  test(`a call that waits goes on in another process${label(stress)}`, async () => {
    const system = new GateSystem({ stress });
    const b = system.add('b', await CALLEE);
    const a = system.add('a', await CALLER);
    system.kernel.start(a, 'wait', [100]);
    system.runAll();
    assert.equal(system.kernel.status(a).state, 'blocked');
    const { frames, calls } = system.kernel.inspect(a);
    assert.deepEqual(
      [
        ...calls.map((call) => [call.name, ...call.frames.map((frame) => frame.function)]),
        frames.map((frame) => frame.function),
      ],
      [
        ['b', 'wait', 'gate:slow'],
        ['slow', 'wait'],
      ],
    );
    const { visits, visitCount, frames: own } = system.kernel.inspect(b);
    assert.deepEqual(own, []);
    assert.equal(visitCount, 1);
    assert.deepEqual(
      visits.map((visit) => [
        visit.caller?.name,
        visit.procedure,
        visit.waiting,
        ...visit.frames.map((frame) => frame.function),
      ]),
      [['a', 'slow', false, 'wait', 'gate:slow']],
    );
    system.checkpoint();
    system.crash();
    system.runAll();
    system.kernel.relocate(a);
    system.kernel.relocate(b);
    system.checkpoint();
    system.crash();
    system.personality.open = true;
    system.kernel.wake(b);
    system.runAll();
    assert.deepEqual(system.values('a'), [101 + 5050, 0]);
    assert.equal(system.kernel.status(a).end, 'exit');
  });

  for (const [how, want] of [
    ['divide', [0, ERRNO.FAULTED, 0, ERRNO.GONE]],
    ['throw', [ERRNO.FAULTED]],
    ['exit', [ERRNO.GONE]],
  ] as const) {
    test(`what ends the callee (${how}) is an error to the caller${label(stress)}`, async () => {
      const system = new GateSystem({ stress });
      const b = system.add('b', await CALLEE);
      const a = system.add('a', await CALLER);
      system.kernel.start(a, how, how === 'divide' ? [1, 0] : []);
      system.runAll();
      assert.deepEqual(system.values('a'), want);
      assert.equal(system.kernel.status(a).end, 'exit');
      assert.equal(system.kernel.status(b).state, 'exited');
      assert.equal(
        system.kernel.status(b).reason,
        { divide: 'integer divide by zero', throw: 'uncaught exception', exit: '' }[how],
      );
    });
  }

  test(`a resident callee lives on after a call that failed${label(stress)}`, async () => {
    const system = new GateSystem({ stress });
    const b = system.add('b', await CALLEE, { resident: true });
    const a = system.add('a', await CALLER);
    system.kernel.start(a, 'divide', [1, 0]);
    system.runAll();
    assert.deepEqual(system.values('a'), [0, ERRNO.FAULTED, 3, 0]);
    assert.equal(system.kernel.status(b).state, 'created');
  });
}
