/** Code made at run time that calls other domains: by the gates of the program that made it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { wat } from '../../wasm/wat.testing.ts';
import { answer, MEMORY, making } from '../made.testing.ts';
import { GateSystem, program } from './gates.testing.ts';

/** Adds after a pause; mixes what JavaScript cannot carry; calls its caller back, which enters it again; traps. */
const CALLEE = program(`(module
  (import "a" "back" (func $back (param i32) (result i32)))
  (import "env" "pause" (func $pause))
  (func (export "gate:add!nested") (param i32) (result i32)
    (call $pause) (i32.add (local.get 0) (i32.const 1000)))
  (func (export "gate:mix") (param i64 f64) (result i64)
    (call $pause) (i64.xor (local.get 0) (i64.reinterpret_f64 (local.get 1))))
  (func (export "gate:around") (param i32) (result i32)
    (i32.mul (call $back (local.get 0)) (i32.const 3)))
  (func (export "gate:fail") (param i32) (result i32) unreachable))`);

/** Calls gates in each way there is: an import exported again, a function that calls it, an import in the table. */
const MADE = `(module ${MEMORY}
  (import "env" "table" (table $t 3 funcref))
  (import "env" "add" (func $add (param i32) (result i32)))
  (import "env" "mix" (func $mix (param i64 f64) (result i64)))
  (import "env" "around" (func $around (param i32) (result i32)))
  (import "env" "fail" (func $fail (param i32) (result i32)))
  (import "env" "error" (func $error (result i32)))
  (type $unary (func (param i32) (result i32)))
  (global $calls (mut i32) (i32.const 0))
  (func (export "run") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (local.set $sum (i32.add (local.get $sum) (call $add (local.get $n))))
      (local.set $sum (i32.add (local.get $sum) (call_indirect $t (type $unary) (local.get $n) (i32.const 1))))
      (i32.store (i32.const 200) (local.get $sum))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.load (i32.const 200)))
  (func (export "wide") (param i32) (result i32)
    (i32.wrap_i64 (i64.shr_u (call $mix (i64.const 0x1122334455667788) (f64.const 1)) (i64.const 32))))
  (func (export "nest") (param i32) (result i32) (i32.add (call $around (local.get 0)) (global.get $calls)))
  (func (export "inner") (param i32) (result i32)
    (i32.add (call $add (local.get 0)) (global.get $calls)))
  (func (export "lose") (param i32) (result i32) (drop (call $fail (local.get 0))) (call $error)))`;

const IMPORTS = `
  (import "b" "add" (func $add (param i32) (result i32)))
  (import "b" "mix" (func $mix (param i64 f64) (result i64)))
  (import "b" "around" (func $around (param i32) (result i32)))
  (import "b" "fail" (func $fail (param i32) (result i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (export "add" (func $add)) (export "mix" (func $mix)) (export "error" (func $error))
  (memory (export "memory") 2 8)`;
const MORE = `
  (global $made (mut i32) (i32.const 0))
  (elem (i32.const 1) func $add)
  (func (export "around") (param i32) (result i32) (call $around (local.get 0)))
  (func (export "fail") (param i32) (result i32) (call $fail (local.get 0)))
  (func (export "gate:back!nested") (param i32) (result i32)
    (call_indirect (type $unary) (local.get 0) (i32.add (global.get $made) (i32.const 3))))`;
const call = (argument: number, which: number): string =>
  `(call $log (call_indirect (type $unary) (i32.const ${argument}) (i32.add (local.get $a) (i32.const ${which}))))`;
const MAIN = `
  (local.set $a (call $make (i32.const 0)))
  (global.set $made (local.get $a))
  ${call(3, 0)} ${call(0, 1)}
  ${call(5, 2)} ${call(0, 4)} ${call(1, 4)}`;
/** 3 + 2 + 1, twice, and 1000 for each of six calls; then the high half, with that of 1.0; then what `inner` gives, thrice. */
const WANT = [6012, 0x11223344 ^ 0x3ff00000, 3 * (1005 + 3) + 3, ERRNO.FAULTED, ERRNO.GONE];

const caller = (async () => making([await wat(MADE)], MAIN, { memory: IMPORTS, more: MORE }))();

async function begin(stress: boolean): Promise<GateSystem> {
  const system = new GateSystem({ stress });
  system.add('b', await CALLEE, { trapUnknownImports: true });
  const a = system.add('a', await caller, { compiler: true });
  system.kernel.start(a, 'main');
  return system;
}
function end(system: GateSystem): void {
  assert.equal(system.kernel.status(system.kernel.find('a')).state, 'idle');
  assert.deepEqual(system.values('a'), WANT);
}

for (const stress of [false, true]) {
  const how = stress ? ', unwound at every safepoint' : '';
  test(`a made module calls other domains by the gates of its program${how}`, async () => {
    const system = await begin(stress);
    system.runAll();
    end(system);
  });

  test(`the same with the process killed after each slice${how}`, async () => {
    const system = await begin(stress);
    const a = system.kernel.find('a');
    for (let lives = 0; system.kernel.status(a).state !== 'idle'; lives++) {
      assert.ok(lives < 600, 'it comes to its end');
      system.kernel.run({ maxSlices: 1 });
      if (lives % 3 === 0) system.kernel.relocate(a);
      system.checkpoint();
      system.crash();
    }
    end(system);
  });
}

test('a made module calls no domain by itself, and no gate with another type', async () => {
  const own = await answer('(module (import "b" "add" (func $add)) (func (export "f") (call $add)))');
  assert.equal(own[0], ERRNO.INVAL);
  assert.match(own[1], /the module imports b.add/);
  const memory = `
    (import "env" "log" (func $add (param i32)))
    (export "add" (func $add))
    (memory (export "memory") 2 8)`;
  // `log` is bound as a gate is: a function of JavaScript, which V8 by itself would link with any type.
  const other = await answer(
    '(module (import "env" "add" (func $add (param i64))) (func (export "f") (call $add (i64.const 1))))',
    { memory },
  );
  assert.equal(other[0], ERRNO.INVAL);
  assert.match(other[1], /imported function does not match/);
});
