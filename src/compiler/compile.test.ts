import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnsupportedError } from '../base/errors.ts';
import { wat } from '../wasm/wat.testing.ts';
import { compile } from './compile.ts';
import { type Call, same } from './same.testing.ts';

test('calls, loops and operands across calls give what plain V8 gives', async () => {
  const { always } = await same(
    `(module
      (func $fib (export "fib") (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
          (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                         (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
      (func $three (param i32) (result i32 i64 f64)
        (local.get 0) (i64.extend_i32_s (local.get 0)) (f64.convert_i32_s (local.get 0)))
      (func $loopy (export "loopy") (param i32) (result i64 f64)
        (local $sum i64) (local $f f64)
        (loop $l
          (call $three (local.get 0))
          (local.set $f (f64.add (local.get $f)))
          (local.set $sum (i64.add (local.get $sum)))
          (drop)
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $sum) (local.get $f))
      (func (export "mixed") (param i32) (result i32)
        (i32.const 1000)
        (block (param i32) (result i32)
          (i32.const 7)
          (loop $l (param i32 i32) (result i32)
            (i32.add (call $fib (i32.const 7)))
            (i32.add)
            (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))
            (if (param i32) (result i32)
              (then (call $fib (i32.const 3)) (br $l))
              (else (call $fib (i32.const 4)) (i32.add)))))
        (i32.mul (call $fib (i32.const 9))))
    )`,
    [
      ['fib', 10],
      ['loopy', 20],
      ['mixed', 5],
    ],
  );
  assert.ok(always.unwinds > 300, `${always.unwinds} unwinds`);
});

test('loads and stores trap exactly where plain V8 traps', async () => {
  const calls: Call[] = [];
  for (const address of [0, 1, 65528, 65529, 65532, 65533, 65535, 65536, 0x7fffffff, -1, -4, -8]) {
    calls.push(
      ['store', address, 0x0102030405060708n],
      ['load', address],
      ['load8', address],
      ['far', address],
      ['v', address],
    );
  }
  await same(
    `(module (memory 1) (data (i32.const 65530) "abcdef")
      (func (export "load") (param i32) (result i64) (i64.load (local.get 0)))
      (func (export "load8") (param i32) (result i32) (i32.load8_s offset=3 (local.get 0)))
      (func (export "far") (param i32) (result i32) (i32.load offset=4294967295 (local.get 0)))
      (func (export "v") (param i32) (result i64) (i64x2.extract_lane 1 (v128.load (local.get 0))))
      (func (export "store") (param i32 i64) (i64.store (local.get 0) (local.get 1))))`,
    calls,
  );
});

test('memory.grow, size, fill, copy and init behave as on plain V8', async () => {
  await same(
    `(module (memory 1 4) (data $d "hello world")
      (func (export "size") (result i32) (memory.size))
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
      (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
      (func (export "init") (param i32 i32 i32) (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
      (func (export "drop") (data.drop $d))
      (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))`,
    [
      ['size'],
      ['grow', 1],
      ['size'],
      ['grow', 9],
      ['load', 100000],
      ['load', 131072],
      ['fill', 131000, 7, 72],
      ['fill', 131000, 7, 73],
      ['fill', 131072, 7, 0],
      ['fill', 131073, 7, 0],
      ['fill', 0, 7, -1],
      ['init', 10, 0, 11],
      ['init', 10, 1, 11],
      ['init', 10, 11, 0],
      ['load', 12],
      ['copy', 20, 10, 11],
      ['load', 22],
      ['copy', 0, 131070, 3],
      ['copy', 131070, 0, 3],
      ['copy', 12, 10, 20],
      ['load', 30],
      ['drop'],
      ['init', 10, 0, 1],
      ['init', 10, 0, 0],
      ['drop'],
    ],
  );
});

test('call_indirect, br_table and tail calls survive an unwind at every safepoint', async () => {
  await same(
    `(module
      (type $t (func (param i32) (result i32)))
      (import "m" "twice" (func $twice (param i32) (result i32)))
      (table funcref (elem $a $b $twice $c))
      (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
      (func $b (type $t) (call_indirect (type $t) (local.get 0) (i32.const 0)))
      (func $c (type $t) (return_call_indirect (type $t) (i32.mul (local.get 0) (i32.const 3)) (i32.const 2)))
      (func (export "via") (param i32 i32) (result i32)
        (i32.sub (i32.const 5) (call_indirect (type $t) (local.get 0) (local.get 1))))
      (func $even (export "even") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (return_call $odd (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 1))))
      (func $odd (param i32) (result i32)
        (if (result i32) (local.get 0) (then (return_call $even (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 0))))
      (func (export "switch") (param i32) (result i32)
        (block $d (block $c (block $b (block $a (br_table $a $b $c $d (local.get 0)))
          (return (call $a (i32.const 10)))) (return (call $b (i32.const 20)))) (return (call $twice (i32.const 30))))
        (call $c (i32.const 40))))`,
    [
      ['via', 4, 0],
      ['via', 4, 1],
      ['via', 4, 2],
      ['via', 4, 3],
      ['via', 4, 4],
      ['even', 30],
      ['even', 31],
      ['switch', 0],
      ['switch', 1],
      ['switch', 2],
      ['switch', 3],
      ['switch', 99],
    ],
    () => ({ m: { twice: (x: number) => x * 2 } }),
  );
});

test("the program's own exceptions pass through ours, and its catch_all never sees ours", async () => {
  await same(
    `(module
      (import "m" "slow" (func $slow (param i32) (result i32)))
      (tag $e (param i32 i64))
      (func $thrower (param i32) (if (i32.and (call $slow (local.get 0)) (i32.const 1)) (then (throw $e (local.get 0) (i64.const 99)))))
      (func (export "catches") (param i32) (result i32)
        (block $all
          (block $one (result i32 i64)
            (try_table (catch $e $one) (catch_all $all) (call $thrower (local.get 0)) (call $thrower (i32.add (local.get 0) (i32.const 2))))
            (return (call $slow (i32.const 1000))))
          (i64.eq (i64.const 99)) (i32.add) (return))
        (i32.const -1))
      (func (export "all") (param i32) (result i32)
        (block $all (try_table (catch_all $all) (call $thrower (local.get 0))) (return (i32.const 5)))
        (call $slow (i32.const 6)))
      (func (export "rethrows") (param i32) (result i32)
        (local $x exnref)
        (block $one (result i32 i64 exnref)
          (try_table (catch_ref $e $one) (call $thrower (local.get 0)))
          (return (i32.const 8)))
        (local.set $x) (drop) (drop)
        (drop (call $slow (i32.const 1)))
        (throw_ref (local.get $x)))
      (func (export "escapes") (param i32) (call $thrower (local.get 0))))`,
    [
      ['catches', 0],
      ['catches', 1],
      ['catches', 3],
      ['all', 1],
      ['all', 2],
      ['rethrows', 2],
      ['rethrows', 3],
      ['escapes', 1],
      ['escapes', 2],
    ],
    () => ({ m: { slow: (x: number) => x } }),
  );
});

test('v128 and reference locals, tables and globals live through an unwind', async () => {
  await same(
    `(module
      (import "m" "slow" (func $slow))
      (global $g (mut i64) (i64.const 5)) (global $r (mut funcref) (ref.null func))
      (table $t 4 funcref)
      (func $a (result i32) (i32.const 11)) (func $b (result i32) (i32.const 22))
      (elem declare func $a $b)
      (func (export "simd") (param i32) (result i64)
        (local $v v128)
        (local.set $v (i32x4.splat (local.get 0)))
        (call $slow)
        (local.set $v (i32x4.add (local.get $v) (i32x4.splat (i32.const 3))))
        (v128.const i64x2 7 9)
        (call $slow)
        (i64x2.extract_lane 1 (i64x2.add (local.get $v))))
      (func (export "refs") (param i32) (result i32)
        (local $f funcref)
        (local.set $f (if (result funcref) (local.get 0) (then (ref.func $a)) (else (ref.func $b))))
        (call $slow)
        (table.set $t (i32.const 2) (local.get $f))
        (global.set $r (local.get $f))
        (call $slow)
        (i32.add (call_indirect $t (result i32) (i32.const 2)) (ref.is_null (global.get $r))))
      (func (export "global") (result i64) (global.set $g (i64.add (global.get $g) (i64.const 1))) (call $slow) (global.get $g)))`,
    [['simd', 4], ['refs', 0], ['refs', 1], ['global'], ['global']],
    () => ({ m: { slow: () => {} } }),
  );
});

test('unreachable code, nested ifs and loops that are never left twice keep their meaning', async () => {
  await same(
    `(module
      (import "m" "id" (func $id (param i32) (result i32)))
      (func (export "f") (param i32) (result i32) (local $i i32)
        (block $out (result i32)
          (i32.const 3)
          (if (param i32) (result i32) (i32.gt_s (local.get 0) (i32.const 5))
            (then (call $id) (if (result i32) (call $id (i32.and (local.get 0) (i32.const 1)))
                (then (call $id (i32.const 4)) (br $out (call $id (i32.const 77))) (i32.add) (call $id))
                (else (loop $l (result i32) (local.set $i (i32.add (local.get $i) (call $id (i32.const 1))))
                   (br_if $l (i32.lt_s (local.get $i) (i32.const 4))) (call $id (local.get $i)))))
              (i32.add))
            (else (return (call $id)) (unreachable) (call $id (i32.const 1))))
          (br_if $out (call $id (i32.const 55)) (i32.eq (local.get 0) (i32.const 8)))
          (i32.mul)))
      (func (export "trap") (param i32) (drop (call $id (i32.div_s (i32.const 1) (call $id (local.get 0)))))))`,
    [
      ['f', 0],
      ['f', 5],
      ['f', 6],
      ['f', 7],
      ['f', 8],
      ['f', 9],
      ['trap', 0],
      ['trap', 1],
    ],
    () => ({ m: { id: (x: number) => x } }),
  );
});

test('code that changes a table of exceptions is refused with its place: a checkpoint would lose them', async () => {
  const text = (code: string): string =>
    `(module (table $t 2 funcref) (table $e 2 exnref) (elem declare exnref (ref.null exn)) (func ${code}))`;
  compile(
    await wat(text('(drop (table.get $e (i32.const 0))) (table.set $t (i32.const 0) (ref.null func))')),
  );
  for (const code of [
    '(table.set $e (i32.const 0) (ref.null exn))',
    '(table.fill $e (i32.const 0) (ref.null exn) (i32.const 1))',
    '(table.copy $e $e (i32.const 0) (i32.const 1) (i32.const 1))',
    '(drop (table.grow $e (ref.null exn) (i32.const 1)))',
    '(table.init $e 0 (i32.const 0) (i32.const 0) (i32.const 0))',
  ]) {
    const bytes = await wat(text(code));
    assert.throws(
      () => compile(bytes),
      (error) => error instanceof UnsupportedError && /exnref/.test(error.message) && error.offset > 0,
    );
  }
});
