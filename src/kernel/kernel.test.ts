import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GRACE_ADDRESS } from '../abi/layout.ts';
import { GRACE_TICKS_MAX } from '../base/limits.ts';
import { program, TestSystem } from './kernel.testing.ts';
import type { Trace } from './trace.ts';
import { toNumber } from './values.ts';

const COUNTER = `(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "pause" (func $pause))
  (memory 1)
  (global $g (mut i32) (i32.const 100))
  (data (i32.const 16) "\\07\\00\\00\\00")
  (func $step (param $n i32) (result i32)
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (call $log (i32.add (i32.add (i32.load (i32.const 16)) (global.get $g)) (local.get $n)))
    (call $pause)
    (i32.add (local.get $n) (i32.const 1)))
  (func (export "_start") (local $i i32)
    (loop $l
      (local.set $i (call $step (local.get $i)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 5)))))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "step") (param i32) (result i32) (call $step (local.get 0)))
)`;
const COUNTED = [108, 111, 114, 117, 120].map((n) => n + 1);

test('a program runs to its end', async () => {
  const system = new TestSystem();
  const id = system.add('a', await program(COUNTER));
  system.kernel.start(id, '_start');
  system.runAll();
  assert.deepEqual(system.values('a'), COUNTED);
  const status = system.kernel.status(id);
  assert.equal(status.state, 'exited');
  assert.equal(status.end, 'exit');
  assert.equal(status.exitCode, 0);
  assert.equal(status.spaceBytes, 0, 'its memory is given back');
});

test('two programs take turns', async () => {
  const system = new TestSystem();
  const module = await program(COUNTER);
  for (const name of ['a', 'b']) system.kernel.start(system.add(name, module), '_start');
  system.runAll();
  const order = system.personality.logs.map(([name]) => name).join('');
  assert.equal(order, 'ababababab');
  assert.deepEqual(system.values('a'), COUNTED);
  assert.deepEqual(system.values('b'), COUNTED);
});

for (const stress of [false, true]) {
  test(`a program killed after every slice goes on from the checkpoint${stress ? ', unwound everywhere' : ''}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await program(COUNTER));
    system.kernel.start(id, '_start');
    for (let i = 0; i < 10000; i++) {
      system.checkpoint();
      const logs = system.personality.logs.length;
      if (i % 3 === 1) {
        system.kernel.run({ maxSlices: 1 }); // lost
        system.personality.logs.length = logs;
      }
      system.crash();
      if (system.kernel.status(id).state === 'exited') break;
      system.kernel.run({ maxSlices: 1 });
    }
    assert.equal(system.kernel.status(id).state, 'exited');
    assert.deepEqual(system.values('a'), COUNTED);
  });
}

test('resident domains are called again and again, and survive their traps', async () => {
  const system = new TestSystem();
  const id = system.add('a', await program(COUNTER), { resident: true });
  const call = (name: string, ...args: number[]): unknown => {
    const outcome = system.kernel.invoke(id, name, args);
    return outcome.kind === 'returned' ? outcome.results.map(toNumber) : outcome;
  };
  assert.deepEqual(call('add', 2, 3), [5]);
  const trap = call('div', 1, 0) as { kind: string; reason: string; trace: Trace };
  assert.equal(trap.kind, 'trap');
  assert.equal(trap.reason, 'integer divide by zero');
  assert.equal(trap.trace.frames[0]?.function, 'div');
  assert.deepEqual(call('step', 10), [11]);
  assert.deepEqual(call('step', 10), [11]);
  assert.deepEqual(system.values('a'), [119, 121]);
  assert.deepEqual(call('add', -1, 3), [2]);
});

test('where the machine gives a slice little of the processor the next one may last longer, but not for long', async () => {
  const graceAfter = async (ms: number, cpuMs: number): Promise<number> => {
    const system = new TestSystem();
    const { pause } = system.personality.calls;
    system.personality.calls.pause = (caller, ...args) => {
      system.powers.ns += BigInt(ms * 1e6);
      return pause!(caller, ...args);
    };
    system.powers.cpuStep = cpuMs * 1000;
    system.kernel.start(system.add('a', await program(COUNTER)), '_start');
    system.kernel.run({ maxSlices: 1 });
    return system.space.view.getInt32(GRACE_ADDRESS, true);
  };
  assert.equal(await graceAfter(10, 10), 0);
  assert.equal(await graceAfter(40, 10), 3);
  assert.equal(await graceAfter(4, 1), 0, 'it was stopped for another reason');
  assert.equal(await graceAfter(1000, 1), GRACE_TICKS_MAX);
});
