import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
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

/** `b` calls back before it answers; then the gate leads to `c`. */
const callee = (how: string, answer: number) =>
  program(`(module
    (import "a" "back" (func $back (param i32) (result i32)))
    (import "env" "log" (func $log (param i32)))
    (func (export "gate:call") (param i32) (result i32)
      (if (i32.eq (local.get 0) (i32.const 1)) (then (call $log (call $back (i32.const 2)))))
      ${how}
      (i32.const ${answer})))`);
const WAYS = {
  returns: '',
  traps: '(if (i32.eq (local.get 0) (i32.const 1)) (then unreachable))',
  waits: '',
};

for (const [name, how] of Object.entries(WAYS)) {
  for (const stress of [false, true]) {
    test(`a gate that leads elsewhere in the middle of a call comes back to where it went in, which ${name}${stress ? ', unwound at every safepoint' : ''}`, async () => {
      const system = new GateSystem({ stress });
      const resident = { resident: true, trapUnknownImports: true };
      system.add('b', await callee(how, 20), resident);
      system.add('c', await callee('', 30), resident);
      const { core } = system.kernel;
      const { granted } = core;
      let to = 'b';
      core.granted = (caller, module, procedure) => granted(caller, module === 'b' ? to : module, procedure);
      system.personality.calls.act = (caller) => {
        to = 'c';
        core.moveEpoch();
        if (name === 'waits' && caller.getScratch(0) === 0n) {
          caller.setScratch(0, 1n);
          caller.yield();
        }
      };
      const a = system.add(
        'a',
        await program(`(module
          (import "b" "call" (func $call (param i32) (result i32)))
          (import "perdure_kernel" "gate_error" (func $error (result i32)))
          (import "env" "log" (func $log (param i32)))
          (import "env" "act" (func $act))
          (func (export "gate:back!nested") (param i32) (result i32)
            (call $act)
            (local.set 0 (call $call (local.get 0)))
            (call $log (call $error)) (local.get 0))
          (func (export "run")
            (call $log (call $call (i32.const 0)))
            (call $log (call $call (i32.const 1))) (call $log (call $error))
            (call $log (call $call (i32.const 0)))))`),
        resident,
      );
      system.kernel.start(a, 'run');
      system.runAll();
      const fault = name === 'traps';
      assert.deepEqual(system.values('a'), [20, 0, ...(fault ? [0, ERRNO.FAULTED] : [20, 0]), 30]);
      for (const id of system.kernel.ids()) {
        const domain = core.peek(id);
        assert.deepEqual([domain?.visits, domain?.nativeFrames], [0, 0], String(domain?.name));
      }
    });
  }
}
