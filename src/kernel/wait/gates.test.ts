import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { GateSystem, program } from '../gate/gates.testing.ts';

/** A semaphore in its own memory, which others take of and give to by calling it. */
const SHOP = program(`(module
  (import "perdure_kernel" "sem_wait" (func $wait (param i32 i64) (result i32)))
  (import "perdure_kernel" "sem_wake" (func $wake (param i32) (result i32)))
  (import "perdure_kernel" "waitset_create" (func $create (result i32)))
  (import "perdure_kernel" "waitset_add" (func $add (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "waitset_wait" (func $told (param i32 i32 i32 i64) (result i32)))
  (memory 1)
  (func $give (export "gate:give!concurrent") (result i32)
    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
    (if (result i32) (i32.load (i32.const 12)) (then (call $wake (i32.const 8))) (else (i32.const -1))))
  (func (export "gate:take!concurrent") (param i64) (result i32) (call $wait (i32.const 8) (local.get 0)))
  (func (export "gate:any!concurrent") (param i64) (result i32) (local $set i32)
    (local.set $set (call $create))
    (drop (call $add (local.get $set) (i32.const 8) (i64.const 5)))
    (call $told (local.get $set) (i32.const 64) (i32.const 4) (local.get 0)))
  (func (export "gate:left!concurrent") (result i32) (i32.load (i32.const 8))))`);

const CLIENT = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "shop" "take" (func $take (param i64) (result i32)))
  (import "shop" "any" (func $any (param i64) (result i32)))
  (import "shop" "give" (func $give (result i32)))
  (func $taken (param i32) (call $log (local.get 0)) (call $log (call $error)))
  (func (export "take") (param i64) (call $taken (call $take (local.get 0))))
  (func (export "any") (param i64) (call $taken (call $any (local.get 0))))
  (func (export "give") (call $taken (call $give)))
  (func (export "gate:through!concurrent") (result i32) (call $take (i64.const -1))))`);
const OUTER = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "middle" "through" (func $through (result i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (func (export "go") (call $log (call $through)) (call $log (call $error))))`);

async function start(names: readonly string[], stress = false): Promise<GateSystem> {
  const system = new GateSystem({ stress });
  system.add('shop', await SHOP);
  for (const name of names) system.add(name, await CLIENT);
  return system;
}
function go(system: GateSystem, name: string, entry: string, ...args: bigint[]): void {
  system.kernel.start(system.kernel.find(name), entry, args);
  system.runAll();
}

for (const stress of [false, true]) {
  test(`activations wait inside of another domain for each other, in the order of coming, over restarts (stress ${stress})`, async () => {
    const system = await start(['a', 'b', 'c', 'giver'], stress);
    go(system, 'b', 'take', -1n);
    go(system, 'a', 'any', -1n);
    go(system, 'c', 'take', -1n);
    system.checkpoint();
    system.crash();
    system.runAll();
    for (const [i, want] of [['b'], ['b', 'c'], ['b', 'c', 'a']].entries()) {
      if (i > 0) system.add(`giver${i}`, await CLIENT);
      go(system, i === 0 ? 'giver' : `giver${i}`, 'give');
      const order = system.personality.logs.map(([name]) => name).filter((name) => !name.startsWith('giver'));
      assert.deepEqual([...new Set(order)], want);
    }
    assert.deepEqual(system.values('a'), [1, 0]);
    assert.equal(system.kernel.core.waits?.count, 0);
  });

  test(`where the domain ends in which it waits, the caller is told and nothing is left (stress ${stress})`, async () => {
    const system = await start(['a', 'b'], stress);
    go(system, 'a', 'take', -1n);
    go(system, 'b', 'any', 1000n);
    system.kernel.kill(system.kernel.find('shop'));
    system.runAll();
    assert.deepEqual(system.values('a'), [0, ERRNO.GONE]);
    assert.deepEqual(system.values('b'), [0, ERRNO.GONE]);
    const { waits } = system.kernel.core;
    assert.deepEqual([waits?.count, waits?.sets.count], [0, 0]);
  });

  test(`where the caller ends, what it began waits on and takes what it waits for (stress ${stress})`, async () => {
    const system = await start(['a', 'b', 'giver', 'more'], stress);
    go(system, 'a', 'take', -1n);
    go(system, 'b', 'take', -1n);
    system.kernel.kill(system.kernel.find('a'));
    system.runAll();
    go(system, 'giver', 'give');
    assert.deepEqual(system.values('b'), [], 'the one before it has it');
    go(system, 'more', 'give');
    assert.deepEqual(system.values('b'), [0, 0]);
  });

  test(`where a domain between ends, the inner call keeps its place, the outer one is told (stress ${stress})`, async () => {
    const system = await start(['middle', 'b', 'giver'], stress);
    const outer = system.add('outer', await OUTER);
    system.kernel.start(outer, 'go');
    system.runAll();
    go(system, 'b', 'take', -1n);
    assert.equal(system.kernel.core.waits?.count, 2);
    system.kernel.kill(system.kernel.find('middle'));
    system.runAll();
    assert.deepEqual(system.values('outer'), [0, ERRNO.GONE]);
    assert.equal(system.kernel.core.waits?.count, 2);
    go(system, 'giver', 'give');
    assert.deepEqual(system.values('b'), []);
    assert.equal(system.kernel.core.waits?.count, 1);
  });
}
