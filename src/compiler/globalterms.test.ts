import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wat } from '../wasm/wat.testing.ts';
import { FULL } from './compile.ts';
import { Program } from './program.ts';
import { same } from './same.testing.ts';

/** Whether the first and the last load of a function are known to be off one pointer. */
async function share(between: string): Promise<boolean> {
  const program = new Program(
    await wat(`(module (import "m" "f" (func $f)) (memory 2) (global $sp (mut i32) (i32.const 9000))
      (func (param $p i32) (local $x i32)
        (global.set $sp (i32.sub (global.get $sp) (i32.const 8)))
        (local.set $x (i32.load (global.get $sp)))
        ${between}
        (local.set $x (i32.load offset=4 (global.get $sp)))))`),
    FULL,
  );
  program.quick(0);
  const { addresses } = program;
  const loads: number[] = [];
  for (let i = 0; i < 60; i++) if (addresses.uses[addresses.term[i]!]! > 1) loads.push(addresses.term[i]!);
  return loads.length > 0;
}

test('accesses through a global are off one pointer, wherever it was moved to', async () => {
  assert.ok(await share(''));
  assert.ok(await share('(global.set $sp (i32.add (global.get $sp) (i32.const 4)))'));
  assert.ok(await share('(if (i32.lt_s (global.get $sp) (i32.const 16)) (then (call $f) (unreachable)))'));
  assert.ok(await share('(if (local.get $p) (then (global.set $sp (i32.const 1)) (return)))'));
});

test('not where someone else may have set it', async () => {
  for (const between of [
    '(call $f)',
    '(global.set $sp (local.get $p))',
    '(global.set $sp (i32.const 100))',
    '(if (local.get $p) (then (global.set $sp (local.get $p))))',
    '(if (local.get $p) (then (call $f)))',
    '(if (local.get $p) (then (return)) (else (global.set $sp (local.get $p))))',
    '(block $b (br_if $b (local.get $p)) (global.set $sp (local.get $p)))',
    '(block $b (if (local.get $p) (then (global.set $sp (local.get $p)) (br $b))))',
    '(loop $l (global.set $sp (local.get $p)) (br_if $l (local.get $x)))',
  ])
    assert.equal(await share(between), false, between);
});

test('imported globals may be one and the same', async () => {
  await same(
    `(module (import "m" "g" (global $a (mut i32))) (import "m" "g" (global $b (mut i32))) (memory (export "m") 1)
       (func (export "f") (result i32)
         (global.set $a (i32.const 65532))
         (drop (i32.load (global.get $b)))
         (global.set $a (i32.const 65534))
         (i32.load (global.get $b))))`,
    [['f']],
    () => ({ m: { g: new WebAssembly.Global({ value: 'i32', mutable: true }, 8) } }),
  );
});

test('a stack whose pointer is a global does what it does on plain V8', async () => {
  await same(
    `(module (memory (export "m") 1) (global $sp (mut i32) (i32.const 65536))
       (func $push (param i32)
         (global.set $sp (i32.sub (global.get $sp) (i32.const 4)))
         (if (i32.lt_s (global.get $sp) (i32.const 1024)) (then (unreachable)))
         (i32.store (global.get $sp) (i32.const 0))
         (i32.store (global.get $sp) (local.get 0)))
       (func $pop (result i32)
         (i32.load (global.get $sp))
         (global.set $sp (i32.add (global.get $sp) (i32.const 4))))
       (func (export "f") (param $n i32) (result i32) (local $x i32)
         (if (local.get $n) (then (call $push (local.get $n)) (call $push (i32.const 7)))
           (else (global.set $sp (i32.sub (global.get $sp) (i32.const 8)))))
         (local.set $x (call $pop))
         (i32.add (local.get $x) (i32.mul (i32.const 100) (call $pop))))
       (func (export "set") (param i32) (global.set $sp (local.get 0))))`,
    [
      ['f', 5],
      ['f', 0],
      ['set', 1030],
      ['f', 1],
      ['f', 2],
      ['set', 65532],
      ['f', 3],
      ['set', 65540],
      ['f', 0],
      ['f', 4],
    ],
  );
});
