/**
 * Programs that stop themselves, or others that stand in calls: nobody is told to come again later.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { GateSystem, program } from './gates.testing.ts';

const KERNEL = `(import "env" "log" (func $log (param i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "domain_stop" (func $stop (param i32) (result i32)))
  (memory 1) (data (i32.const 0) "whom")
  (func $it (result i32) (call $granted (i32.const 0) (i32.const 4)))`;
const next = (name: string): string => `(import "${name}" "call" (func $next (param i32) (result i32)))`;
const TEXT = {
  a: program(`(module ${next('b')} ${KERNEL}
    (func (export "run") (call $log (call $next (i32.const 1))) (call $log (call $error)))
    (func (export "self") (call $log (call $stop (call $it))) (call $log (call $stop (i32.const 77)))))`),
  b: program(`(module ${next('c')} ${KERNEL}
    (func (export "gate:call") (param i32) (result i32)
      (local.set 0 (call $next (i32.add (local.get 0) (i32.const 1))))
      (call $log (local.get 0)) (call $log (call $error))
      (i32.add (local.get 0) (i32.const 100))))`),
  c: program(`(module ${KERNEL}
    (func (export "gate:call") (param i32) (result i32)
      (call $log (call $stop (call $it)))
      (i32.mul (local.get 0) (i32.const 10))))`),
} as const;
type Name = keyof typeof TEXT;

/** A calls b, which calls c, which stops one of them. */
async function chain(whom: Name, stress: boolean): Promise<GateSystem> {
  const system = new GateSystem({ stress });
  const { authority } = system.kernel;
  for (const name of ['a', 'b', 'c'] as const)
    system.add(name, await TEXT[name], { resident: true, trapUnknownImports: true, lazily: true });
  const what = { name: 'whom', ...authority.domain(system.kernel.find(whom)) };
  for (const name of ['a', 'c']) authority.grant(system.kernel.find(name), what);
  return system;
}
const states = (system: GateSystem): string[] =>
  ['a', 'b', 'c'].map((name) => system.kernel.status(system.kernel.find(name)).state);

for (const stress of [false, true]) {
  const how = stress ? ', unwound at every safepoint' : '';

  test(`who stops itself goes on where it was when it is resumed, over a crash too${how}`, async () => {
    const system = await chain('a', stress);
    const a = system.kernel.find('a');
    system.kernel.start(a, 'self');
    system.runAll();
    assert.deepEqual([system.values('a'), states(system)[0]], [[], 'stopped']);
    system.checkpoint();
    system.crash();
    system.runAll();
    assert.deepEqual([system.values('a'), states(system)[0]], [[], 'stopped']);
    system.kernel.resume(a);
    system.runAll();
    assert.deepEqual(system.values('a'), [0, -ERRNO.BADF]);
    system.kernel.start(a, 'self');
    system.runAll();
    assert.equal(states(system)[0], 'stopped', 'the next time it stops again');
  });

  test(`who is stopped by one that it has called goes on with the answer${how}`, async () => {
    const system = await chain('a', stress);
    const a = system.kernel.find('a');
    system.kernel.start(a, 'run');
    system.runAll();
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => system.values(name)),
      [[], [20, 0], [0]],
    );
    assert.equal(states(system)[0], 'stopped');
    system.kernel.resume(a);
    system.runAll();
    assert.deepEqual(system.values('a'), [120, 0]);
  });

  test(`who is stopped between the two ends of a call is missing to who called it${how}`, async () => {
    const system = await chain('b', stress);
    system.kernel.start(system.kernel.find('a'), 'run');
    system.runAll();
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => system.values(name)),
      [[0, ERRNO.STOPPED], [], [0]],
    );
    assert.equal(states(system)[1], 'stopped');
  });

  test(`a callee that stops itself is missing to who called it${how}`, async () => {
    const system = await chain('c', stress);
    system.kernel.start(system.kernel.find('a'), 'run');
    system.runAll();
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => system.values(name)),
      [[100, 0], [0, ERRNO.STOPPED], []],
    );
    assert.equal(states(system)[2], 'stopped');
    assert.equal(system.kernel.core.activations.count, 0);
  });
}
