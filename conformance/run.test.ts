import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assembler } from './assemble.ts';
import { runScript, type ScriptResult } from './run.ts';
import { v8Engine } from './v8.ts';

const assemble = await assembler();
const run = (text: string): Promise<ScriptResult> => runScript(v8Engine(), 'test.wast', text, assemble);

test('assertions that hold are counted, modules and actions beside them', async () => {
  const result = await run(`
    (module (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
    (invoke "f" (i32.const 1))
    (assert_return (invoke "f" (i32.const -1)) (i32.const 0))`);
  assert.deepEqual(result.failures, []);
  assert.equal(result.passed, 3);
  assert.equal(result.assertions, 1);
});

test('each assertion that does not hold is a failure with its line', async () => {
  const result = await run(`(module
    (memory 1)
    (func (export "one") (result i32) (i32.const 1))
    (func (export "nan") (result f32) (f32.const nan:0x200000))
    (func (export "far") (result i32) (i32.load (i32.const -1)))
    (func (export "deep") (call 3)))
    (assert_return (invoke "one") (i32.const 2))
    (assert_return (invoke "nan") (f32.const nan:canonical))
    (assert_trap (invoke "one") "unreachable")
    (assert_trap (invoke "far") "integer divide by zero")
    (assert_exhaustion (invoke "far") "call stack exhausted")
    (assert_exception (invoke "one"))
    (assert_invalid (module (func (result i32) (i32.const 1))) "type mismatch")
    (assert_malformed (module binary "\\00asm" "\\01\\00\\00\\00") "anything")
    (assert_unlinkable (module (func (result i32) (i32.const 1))) "unknown import")
    (assert_trap (module (func)) "unreachable")
    (module (func (result i32)))
    (assert_return (invoke "one") (i32.const 1))`);
  assert.deepEqual(
    result.failures.map((f) => f.line),
    [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18],
  );
});

test('bits of NaNs and vectors go in and out unchanged', async () => {
  const result = await run(`(module
    (func (export "f") (param f32) (result f32) (local.get 0))
    (func (export "d") (param f64) (result f64) (local.get 0))
    (func (export "v") (param v128 i64) (result i64 v128)
      (local.get 1) (i64x2.add (local.get 0) (i64x2.splat (local.get 1))))
    (global (export "g") v128 (v128.const i32x4 1 2 3 4)))
    (assert_return (invoke "f" (f32.const -nan:0x200001)) (f32.const -nan:0x200001))
    (assert_return (invoke "d" (f64.const nan:0x4000000000001)) (f64.const nan:0x4000000000001))
    (assert_return (invoke "v" (v128.const i64x2 1 -1) (i64.const 1)) (i64.const 1) (v128.const i64x2 2 0))
    (assert_return (get "g") (v128.const i32x4 1 2 3 4))
    (assert_return (get "g") (either (v128.const i32x4 0 0 0 0) (v128.const i32x4 1 2 3 4)))`);
  assert.deepEqual(result.failures, []);
  assert.equal(result.assertions, 5);
});

test('instances import what others registered, and share it', async () => {
  const result = await run(`
    (module $a (memory (export "m") 1) (table (export "t") 2 funcref) (global (export "g") (mut i32) (i32.const 5)))
    (register "a" $a)
    (module $b (memory (import "a" "m") 1) (global (import "a" "g") (mut i32))
      (func (export "set") (global.set 0 (i32.const 9)) (i32.store (i32.const 0) (i32.const 7)))
      (func (export "get") (result i32) (i32.load (i32.const 0))))
    (invoke $b "set")
    (assert_return (get $a "g") (i32.const 9))
    (assert_return (invoke $b "get") (i32.const 7))
    (assert_unlinkable (module (import "a" "nothing" (func))) "unknown import")`);
  assert.deepEqual(result.failures, []);
});

test('data segments of a memory that is not the first are written to it', async () => {
  const result = await run(`(module
    (memory $a 1) (memory $b 1) (memory $c (data "z"))
    (data (memory $b) (i32.const 3) "\\2a") (data (i32.const 0) "\\01")
    (func (export "f") (result i32 i32 i32)
      (i32.load8_u $a (i32.const 0)) (i32.load8_u $b (i32.const 3)) (i32.load8_u $c (i32.const 0))))
    (assert_return (invoke "f") (i32.const 1) (i32.const 42) (i32.const 122))`);
  assert.deepEqual(result.failures, []);
});
