import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import type { SystemCall } from '../caller.ts';
import { END } from '../domain.ts';
import { NO_TRACE } from '../trace.ts';
import { GateSystem, program } from './gates.testing.ts';

/**
 * A calls B, B calls C. C does what it is told, by `act`, then waits if it is to, then returns 7; B adds 100 and stores that
 * it has gone on; A logs the result and the error.
 */
const TEXT = {
  a: `(module
    (import "b" "middle" (func $middle (param i32) (result i32)))
    (import "perdure_kernel" "gate_error" (func $error (result i32)))
    (import "env" "log" (func $log (param i32)))
    (func (export "run") (param i32)
      (call $log (call $middle (local.get 0))) (call $log (call $error))
      (call $log (call $middle (i32.const -1))) (call $log (call $error))))`,
  b: `(module
    (import "c" "inner" (func $inner (param i32) (result i32)))
    (import "perdure_kernel" "gate_error" (func $error (result i32)))
    (import "env" "log" (func $log (param i32)))
    (func (export "gate:middle") (param i32) (result i32) (local $x i32)
      (if (i32.lt_s (local.get 0) (i32.const 0)) (then (return (i32.const 1))))
      (local.set $x (call $inner (local.get 0)))
      (call $log (call $error))
      (i32.add (local.get $x) (i32.const 100))))`,
  c: `(module
    (import "env" "act" (func $act (param i32)))
    (import "env" "wait" (func $wait (param i32) (result i32)))
    (import "env" "log" (func $log (param i32)))
    (func $deep (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))
        (else (drop (call $wait (i32.const 0))) (i32.const 7))))
    (func (export "gate:inner") (param i32) (result i32)
      (call $act (local.get 0))
      (local.set 0 (call $deep (i32.const 20)))
      (call $log (local.get 0))
      (local.get 0)))`,
} as const;
const MODULES = { a: program(TEXT.a), b: program(TEXT.b), c: program(TEXT.c) };

type Name = 'a' | 'b' | 'c';

/** Ends a domain as a call of the kernel does, while it may be on the native stack. */
function endInside(system: GateSystem, name: Name): void {
  const { core } = system.kernel;
  const domain = core.peek(system.kernel.find(name));
  const end = { end: END.killed, code: 0, reason: 'by another', trace: NO_TRACE };
  if (domain !== undefined) core.condemn(domain, end);
  if (domain === core.current) throw core.unwind;
}

async function threeDomains(stress: boolean, act?: SystemCall): Promise<GateSystem> {
  const system = new GateSystem({ stress });
  system.personality.calls.act = act ?? (() => {});
  for (const name of ['c', 'b', 'a'] as const) system.add(name, await MODULES[name]);
  return system;
}

/** Everything is given back, and nobody is inside of anything. */
function nothingLeft(system: GateSystem): void {
  const { kernel } = system;
  assert.equal(kernel.core.activations.count, 0);
  for (const id of kernel.ids()) {
    const domain = kernel.core.peek(id);
    assert.deepEqual(
      [domain?.visits, domain?.present, domain?.waiters.length],
      [0, 0, 0],
      String(domain?.name),
    );
  }
}

const WANT: Record<Name, Record<Name, number[]>> = {
  // Who goes during the call: what each logs. A is told of B only, B of C only.
  a: { a: [], b: [0], c: [7] },
  b: { a: [0, ERRNO.GONE, 0, ERRNO.GONE], b: [], c: [7] },
  c: { a: [100, 0, 1, 0], b: [ERRNO.GONE], c: [] },
};

for (const stress of [false, true]) {
  const how = stress ? ', unwound at every safepoint' : '';
  for (const name of ['a', 'b', 'c'] as const) {
    test(`${name} of a calling b calling c is ended from inside the innermost call${how}`, async () => {
      const system = await threeDomains(stress, () => endInside(system, name));
      system.personality.open = true;
      const a = system.kernel.find('a');
      system.kernel.start(a, 'run', [1]);
      system.runAll();
      if (name === 'c') assert.deepEqual(system.values('c'), [], 'it does not run on');
      for (const each of ['a', 'b', 'c'] as const)
        assert.deepEqual(system.values(each), WANT[name][each], each);
      assert.equal(system.kernel.status(system.kernel.find(name)).state, 'exited');
      nothingLeft(system);
    });

    for (const gone of ['killed', 'removed'] as const) {
      test(`${name} of a calling b calling c is ${gone} while c waits, with crashes around it${how}`, async () => {
        const system = await threeDomains(stress);
        system.kernel.start(system.kernel.find('a'), 'run', [1]);
        system.runAll();
        const again = (): void => {
          system.checkpoint();
          system.crash();
          system.personality.calls.act = () => assert.fail('no call is made twice');
          system.runAll();
        };
        again();
        const id = system.kernel.find(name);
        if (gone === 'killed') system.kernel.kill(id);
        else system.kernel.remove(id);
        again();
        system.personality.open = true;
        for (const id of system.kernel.ids()) system.kernel.wake(id);
        system.runAll();
        for (const each of ['a', 'b', 'c'] as const) {
          const want = [...WANT[name][each]];
          // A domain that was removed is found by nobody any more.
          assert.deepEqual(system.values(each), want, each);
        }
        nothingLeft(system);
      });
    }
  }

  for (const inside of [true, false]) {
    const where = inside ? 'from inside the call' : 'while c waits';
    test(`b of a calling b calling c is stopped ${where}: c goes on for nobody, a is told${how}`, async () => {
      const system = await threeDomains(stress, () => {
        const b = system.kernel.core.peek(system.kernel.find('b'));
        if (inside && b !== undefined) system.kernel.core.halt(b);
      });
      system.kernel.start(system.kernel.find('a'), 'run', [1]);
      system.runAll();
      const b = system.kernel.find('b');
      if (!inside) assert.equal(system.kernel.stop(b), true);
      assert.equal(system.kernel.status(b).state, 'stopped');
      system.checkpoint();
      system.crash();
      system.personality.open = true;
      system.runAll();
      assert.deepEqual(system.values('c'), [7]);
      assert.deepEqual(system.values('b'), []);
      assert.deepEqual(system.values('a'), [0, ERRNO.STOPPED, 0, ERRNO.STOPPED]);
      nothingLeft(system);
      assert.equal(system.kernel.resume(b), true);
      const again = system.add('again', await MODULES.a);
      system.kernel.start(again, 'run', [-1]);
      system.runAll();
      assert.deepEqual(system.values('again'), [1, 0, 1, 0]);
    });

    test(`a of a calling b calling c is stopped ${where}: it finds the answer when it goes on${how}`, async () => {
      const system = await threeDomains(stress, () => {
        const a = system.kernel.core.peek(system.kernel.find('a'));
        if (inside && a !== undefined) system.kernel.core.halt(a);
      });
      const a = system.kernel.find('a');
      system.kernel.start(a, 'run', [1]);
      system.runAll();
      if (!inside) system.kernel.stop(a);
      system.personality.open = true;
      system.kernel.wake(system.kernel.find('c'));
      system.runAll();
      assert.deepEqual([system.values('a'), system.values('b'), system.values('c')], [[], [0], [7]]);
      system.checkpoint();
      system.crash();
      system.runAll();
      assert.equal(system.kernel.status(a).state, 'stopped');
      system.kernel.resume(a);
      system.runAll();
      assert.deepEqual(system.values('a'), [107, 0, 1, 0]);
      nothingLeft(system);
    });
  }
}
