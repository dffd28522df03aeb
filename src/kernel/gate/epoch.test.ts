import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EPOCH_ADDRESS } from '../../abi/layout.ts';
import { GateSystem, program } from './gates.testing.ts';

test('2^32 revocations later a gate does not take its old epoch for the one of now', async () => {
  const system = new GateSystem();
  system.add('b', await program(`(module (func (export "gate:one") (result i32) (i32.const 1)))`));
  const caller = program(`(module
    (import "b" "one" (func $one (result i32)))
    (import "perdure_kernel" "gate_error" (func $error (result i32)))
    (import "env" "log" (func $log (param i32)))
    (func (export "ask") (call $log (call $one)) (call $log (call $error))))`);
  const a = system.add('a', await caller, { resident: true });
  const ask = (): unknown[] => {
    system.kernel.start(a, 'ask');
    system.runAll();
    return system.values('a').slice(-2);
  };
  assert.deepEqual(ask(), [1, 0]);
  const { space } = system.kernel;
  const epoch = space.getNumber(EPOCH_ADDRESS);
  system.revoked.add('a b');
  space.setNumber(EPOCH_ADDRESS, epoch + 2 ** 32);
  assert.deepEqual(ask(), [0, 128]);
});
