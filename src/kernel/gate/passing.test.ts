import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { GateSystem, program } from './gates.testing.ts';

/** All types there and back, through memory on both sides, so that every bit is seen. */
const VALUES = ['i32', 'i64', 'f32', 'f64', 'v128'] as const;
const BYTES = { i32: 4, i64: 8, f32: 4, f64: 8, v128: 16 };
const SERVER = program(`(module
  (import "env" "wait" (func $wait (param i32) (result i32)))
  ${VALUES.map((type) => `(func (export "gate:echo_${type}") (param ${type}) (result ${type}) (local.get 0))`).join('\n')}
  (func (export "gate:turn") (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)
    (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "gate:slowly") (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)
    (drop (call $wait (i32.const 1)))
    (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0)))`);
const AT = [0, 16, 32, 48, 64];
const load = VALUES.map((type, i) => `(${type}.load (i32.const ${AT[i]}))`).join(' ');
const keep = `(local.set $i) (local.set $I) (local.set $f) (local.set $F) (local.set $v)
  (i32.store (i32.const 100) (local.get $i)) (i64.store (i32.const 116) (local.get $I)) (f32.store (i32.const 132) (local.get $f))
  (f64.store (i32.const 148) (local.get $F)) (v128.store (i32.const 164) (local.get $v))`;
const LOCALS = '(local $i i32) (local $I i64) (local $f f32) (local $F f64) (local $v v128)';
const CLIENT = program(`(module
  ${VALUES.map((type) => `(import "s" "echo_${type}" (func $${type} (param ${type}) (result ${type})))`).join('\n')}
  (import "s" "turn" (func $turn (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)))
  (import "s" "slowly" (func $slowly (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)))
  (import "env" "log" (func $log (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\01\\02\\03\\84") (data (i32.const 16) "\\01\\02\\03\\04\\05\\06\\07\\88")
  (data (i32.const 32) "\\55\\55\\a5\\7f") (data (i32.const 48) "\\11\\22\\33\\44\\55\\66\\f4\\ff")
  (data (i32.const 64) "\\01\\02\\03\\04\\05\\06\\07\\08\\ff\\fe\\fd\\fc\\fb\\fa\\f9\\f8")
  (func $same (result i32) (local $at i32)
    (loop $next (result i32)
      (if (i32.ne (i32.load8_u (local.get $at)) (i32.load8_u (i32.add (i32.const 100) (local.get $at))))
        (then (return (local.get $at))))
      (if (result i32) (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 80))
        (then (br $next)) (else (i32.const -1)))))
  (func (export "each")
    ${VALUES.map((type, i) => `(${type}.store (i32.const ${100 + AT[i]!}) (call $${type} (${type}.load (i32.const ${AT[i]}))))`).join('\n')}
    (call $log (call $same)))
  (func (export "all") ${LOCALS} (call $turn ${load}) ${keep} (call $log (call $same)))
  (func (export "slowly") ${LOCALS} (call $slowly ${load}) ${keep} (call $log (call $same))))`);
assert.equal(Object.keys(BYTES).length, VALUES.length);

for (const stress of [false, true]) {
  const how = stress ? ', unwound at every safepoint' : '';
  for (const name of ['each', 'all', 'slowly']) {
    test(`every bit of every type crosses: ${name}${how}`, async () => {
      const system = new GateSystem({ stress });
      system.add('s', await SERVER);
      const c = system.add('c', await CLIENT);
      system.kernel.start(c, name);
      system.runAll();
      if (name === 'slowly') {
        system.checkpoint();
        system.crash();
        system.personality.open = true;
        system.runAll();
      }
      assert.deepEqual(system.values('c'), [-1]);
      assert.equal(system.kernel.status(c).end, 'exit');
    });
  }
}

/** Takes a capability, keeps it, gives it back with another. */
const HOLDER = program(`(module
  (import "perdure_kernel" "cap_describe" (func $describe (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_close" (func $close (param i32) (result i32)))
  (import "env" "log" (func $log (param i32)))
  (memory 1)
  (func (export "gate:rights:c=v") (param i32) (result i32)
    (drop (call $describe (local.get 0) (i32.const 0)))
    (i32.load (i32.const 4)))
  (func (export "gate:back:cv=cv") (param i32 i64) (result i32 i64)
    (local.get 0) (i64.add (local.get 1) (i64.const 1)))
  (func (export "gate:two:cc=v") (param i32 i32) (result i32) (i32.const 1))
  (func (export "gate:none:v=c") (param i32) (result i32) (local.get 0)))`);
const GIVER = program(`(module
  (import "h" "rights" (func $rights (param i32) (result i32)))
  (import "h" "back" (func $back (param i32 i64) (result i32 i64)))
  (import "h" "two" (func $two (param i32 i32) (result i32)))
  (import "h" "none" (func $none (param i32) (result i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "perdure_kernel" "cap_describe" (func $describe (param i32 i32) (result i32)))
  (import "env" "log" (func $log (param i32)))
  (memory 1) (data (i32.const 100) "it")
  (func (export "run") (local $it i32) (local $n i64)
    (local.set $it (call $granted (i32.const 100) (i32.const 2)))
    (call $log (call $rights (local.get $it))) (call $log (call $error))
    (call $back (local.get $it) (i64.const 41)) (local.set $n) (local.set $it)
    (call $log (call $describe (local.get $it) (i32.const 0)))
    (call $log (i32.load (i32.const 0))) (call $log (i32.load (i32.const 4)))
    (call $log (i32.wrap_i64 (local.get $n)))
    (call $log (call $two (local.get $it) (i32.const 77))) (call $log (call $error))
    (call $log (call $none (i32.const 99))) (call $log (call $error))
    (call $log (call $none (i32.const -5))) (call $log (call $error))))`);

for (const stress of [false, true]) {
  test(`capabilities are handles on both sides, and nothing is left of those of a call that failed${stress ? ', unwound at every safepoint' : ''}`, async () => {
    const system = new GateSystem({ stress });
    const h = system.add('h', await HOLDER);
    const held = system.kernel.authority.domain(h);
    const g = system.add('g', await GIVER, { grants: [{ name: 'it', ...held }] });
    system.kernel.start(g, 'run');
    system.runAll();
    const rights = 255 & ~RIGHT.revoke;
    const log = [rights, 0, 0, OBJECT.domain, rights, 42, 0, ERRNO.BADF, 0, ERRNO.BADF, -5, 0];
    assert.deepEqual(system.values('g'), log);
    const { core } = system.kernel;
    const holder = core.peek(h);
    assert.ok(holder);
    assert.equal(core.clists.count(holder), 2, 'what it was given by the two calls that came to be');
  });
}
