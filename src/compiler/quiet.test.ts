import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wat } from '../wasm/wat.testing.ts';
import { FULL } from './compile.ts';
import { Program } from './program.ts';

/** By function of the program: whether it is quiet. */
async function quiet(functions: string): Promise<number[]> {
  const bytes = await wat(
    `(module (import "m" "f" (func $import)) (memory 1) (table 1 funcref) ${functions})`,
  );
  return [...new Program(bytes, FULL).plan.quiet];
}

test('functions that call only such as end soon are quiet, whatever their order', async () => {
  assert.deepEqual(
    await quiet(
      '(func $a (call $b)) (func $b (call $c) (call $c)) (func $c (drop (i32.load (i32.const 0))))',
    ),
    [0, 1, 1, 1],
  );
});

test('loops, imports, indirect calls, growth, and recursion however far around are not', async () => {
  assert.deepEqual(
    await quiet(`(func (loop)) (func (call $import)) (func (call_indirect (i32.const 0)))
      (func (drop (memory.grow (i32.const 0)))) (func $r (call $s)) (func $s (call $r)) (func (call $r))`),
    [0, 0, 0, 0, 0, 0, 0, 0],
  );
});

test('what calls much in all is not, though each part is small', async () => {
  const parts = Array.from({ length: 12 }, (_, i) => `(func $f${i + 1} (call $f${i}) (call $f${i}))`);
  const list = await quiet(`(func $f0 ${'(nop)'.repeat(40)}) ${parts.join('')}`);
  assert.deepEqual(list.slice(0, 9), [0, 1, 1, 1, 1, 1, 1, 1, 0]);
});

test('a program with quiet calls in loops behaves as on plain V8, unwound everywhere', async () => {
  const { same } = await import('./same.testing.ts');
  await same(
    `(module (memory (export "m") 1)
      (func $up (param i32) (result i32) (i32.and (local.get 0) (i32.const 95)))
      (func $put (param i32 i32) (i32.store8 (local.get 0) (call $up (local.get 1))))
      (func (export "f") (param $i i32) (param $n i32) (result i32)
        (loop $l
          (call $put (local.get $i) (i32.add (local.get $i) (i32.const 97)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
        (i32.load (i32.const 0))))`,
    [
      ['f', 0, 20],
      ['f', 65500, 65536],
      ['f', 65500, 65537],
    ],
  );
});
