import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GateSystem, program } from './gate/gates.testing.ts';

/** Counts in a global, which only an instance and the saved state know. */
const COUNTER = program(`(module
  (memory 1)
  (global $n (mut i32) (i32.const 0))
  (func (export "gate:next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.store (i32.const 16) (global.get $n))
    (i32.add (i32.mul (i32.load (i32.const 16)) (i32.const 100)) (global.get $n)))
  (func (export "itself") (drop (call 0))))`);

const caller = (name: string): ReturnType<typeof program> =>
  program(`(module
    (import "${name}" "next" (func $next (result i32)))
    (import "env" "log" (func $log (param i32)))
    (func (export "ask") (call $log (call $next))))`);

test('instances of idle domains are let go, and made again with all they held', async () => {
  const system = new GateSystem();
  const { core } = system.kernel;
  core.instancesMax = 3;
  const names = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5'];
  const counters: number[] = [];
  const askers: number[] = [];
  for (const name of names) counters.push(system.add(name, await COUNTER, { resident: true }));
  for (const name of names) askers.push(system.add(`ask ${name}`, await caller(name), { resident: true }));
  const live = (): number => [...counters, ...askers].filter((id) => core.peek(id)?.instance !== null).length;
  for (let round = 1; round <= 4; round++) {
    for (const id of askers) {
      system.kernel.start(id, 'ask');
      system.runAll();
    }
    for (const name of names) assert.equal(system.values(`ask ${name}`).at(-1), 101 * round);
    assert.equal(live(), 12, 'nothing is let go while it may be in the middle of something');
    system.kernel.cut();
    assert.equal(live(), 3);
  }
});

test('a caller finds the new instance of what had been let go, though nothing else changed', async () => {
  const system = new GateSystem();
  const { core } = system.kernel;
  const counter = system.add('c', await COUNTER, { resident: true });
  const asker = system.add('a', await caller('c'), { resident: true });
  const ask = (): unknown => {
    system.kernel.start(asker, 'ask');
    system.runAll();
    return system.values('a').at(-1);
  };
  assert.equal(ask(), 101);
  const before = core.peek(counter)?.instance;
  core.instancesMax = 1;
  // The asker runs last, so its instance stays, with the gate in it.
  system.kernel.cut();
  assert.equal(core.peek(counter)?.instance, null);
  core.instancesMax = 100;
  system.kernel.start(counter, 'itself');
  system.runAll();
  assert.notEqual(core.peek(counter)?.instance, before);
  assert.equal(ask(), 303);
});
