import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OP } from '../wasm/opcodes.ts';
import { Writer } from '../wasm/writer.ts';
import { type Call, same, sameBytes } from './same.testing.ts';

const id = () => ({ m: { id: (x: number) => x, slow: () => {} } });

test('a catch clause may name a loop, which finds its base and limit fresh', async () => {
  const { always } = await same(
    `(module
      (import "m" "id" (func $id (param i32) (result i32)))
      (memory (export "mem") 1 9)
      (tag $e (param i32)) (tag $n)
      (func $t (param i32)
        (drop (memory.grow (i32.and (local.get 0) (i32.const 1))))
        (if (i32.lt_u (call $id (local.get 0)) (i32.const 9)) (then (throw $e (i32.add (local.get 0) (i32.const 1)))))
        (if (i32.eq (local.get 0) (i32.const 9)) (then (throw $n))))
      (func (export "f") (param i32) (result i32)
        (i32.store (i32.const 8) (i32.const 1))
        (i32.const 40)
        (local.get 0)
        (loop $l (param i32) (result i32)
          (local.set 0)
          (loop $again
            (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.load (i32.const 8))))
            (try_table (catch $e $l) (catch_all $again)
              (call $t (local.get 0)) (local.set 0 (i32.add (local.get 0) (i32.const 1))) (call $t (local.get 0))))
          (i32.load (i32.const 4)))
        (i32.add))
      (func (export "refs") (param i32) (result i32) (local $x exnref)
        (i64.const 1) (local.get 0) (ref.null exn)
        (loop $l (param i32 exnref) (result i32)
          (local.set $x) (local.set 0)
          (i32.store offset=70000 (i32.const 0) (local.get 0))
          (i32.const 3)
          (try_table (param i32) (result i32) (catch_ref $e $l)
            (call $t (local.get 0)) (i32.add (call $id (i32.const 2))))
          (i32.add (ref.is_null (local.get $x))))
        (br_if 0 (i32.const 0))
        (i32.add (i32.wrap_i64)))
    )`.replace('(i32.add (i32.wrap_i64)))', '(local.set 0) (drop) (local.get 0))'),
    [
      ['f', 0],
      ['f', 8],
      ['f', 10],
      ['f', 30],
      ['refs', 0],
      ['refs', 30],
    ],
    id,
  );
  assert.ok(always.unwinds > 20);
});

test('a loop entered with fresh bases that only catches gives them back fresh', async () => {
  await same(
    `(module
      (import "m" "id" (func $id (param i32) (result i32)))
      (memory (export "mem") 1) (tag $e)
      (func $t (param i32) (if (call $id (local.get 0)) (then (throw $e))))
      (func (export "f") (param i32) (result i32)
        (i32.store (i32.const 0) (i32.const 1))
        (loop $l
          (block $c (try_table (catch_all $c) (call $t (local.get 0))))
          (br_if $l (local.tee 0 (i32.shr_u (local.get 0) (i32.const 1)))))
        (local.get 0)))`,
    [['f', 9]],
    id,
  );
});

test('memories with 64-bit addresses trap at both ends of the number line', async () => {
  const calls: Call[] = [];
  for (const at of [
    0n,
    65508n,
    65520n,
    65528n,
    65529n,
    65536n,
    -1n,
    -8n,
    -12n,
    1n << 40n,
    (1n << 63n) - 1n,
    -(1n << 63n),
  ]) {
    calls.push(
      ['store', at, 77n],
      ['load', at],
      ['near', at],
      ['huge', at],
      ['fill', at, 3n],
      ['add', at],
      ['sum', at],
    );
  }
  await same(
    `(module (memory (export "mem") i64 1 3)
      (func (export "load") (param i64) (result i64) (i64.load (local.get 0)))
      (func (export "near") (param i64) (result i32) (i32.load8_u offset=65535 (local.get 0)))
      (func (export "huge") (param i64) (result i32) (i32.load offset=0xffff_ffff_ffff_fff0 (local.get 0)))
      (func (export "store") (param i64 i64) (i64.store (local.get 0) (local.get 1)) (i64.store offset=8 (local.get 0) (local.get 1)))
      (func (export "sum") (param i64) (result i64)
        (i64.store8 offset=3 (i64.add (local.get 0) (i64.const 8)) (i64.const 9))
        (local.set 0 (i64.add (local.get 0) (i64.const 12)))
        (if (i64.lt_u (local.get 0) (i64.const 65000)) (then (i64.store (local.get 0) (i64.const 1))))
        (i64.add (i64.load (local.get 0)) (i64.load offset=8 (local.get 0))))
      (func (export "add") (param i64) (result i64) (i64.atomic.rmw.add (local.get 0) (i64.const 5)))
      (func (export "fill") (param i64 i64) (memory.fill (local.get 0) (i32.const 9) (local.get 1)))
      (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
      (func (export "size") (result i64) (memory.size)))`,
    [...calls, ['grow', 1n], ['size'], ['grow', 5n], ['grow', -1n], ['load', 65536n]],
  );
});

test('several memories keep apart, and each grows for itself', async () => {
  await same(
    `(module
      (import "m" "id" (func $id (param i32) (result i32)))
      (memory $a (export "a") 1 4) (memory $b (export "b") i64 1 4) (memory $c (export "c") 0 3)
      (data (memory $a) (i32.const 100) "first") (data $p "third") (data $s "second")
      (func $begin (memory.init $b $s (i64.const 200) (i32.const 0) (i32.const 6)))
      (start $begin)
      (func (export "mix") (param i32) (result i64) (local $at i64)
        (local.set $at (i64.extend_i32_u (local.get 0)))
        (i32.store $a (local.get 0) (i32.load8_u $b offset=200 (local.get $at)))
        (i64.store $b (local.get $at) (i64.load $a offset=96 (local.get 0)))
        (drop (call $id (i32.const 1)))
        (i32.store8 $a offset=4096 (local.get 0) (i32.const 17))
        (i32.store8 $b offset=9000 (local.get $at) (i32.const 18))
        (i64.add (i64.load $b (local.get $at)) (i64.extend_i32_u (i32.load $a (local.get 0)))))
      (func (export "grow") (param i32) (result i64)
        (i64.add (i64.extend_i32_s (memory.grow $c (local.get 0))) (memory.grow $b (i64.extend_i32_s (local.get 0)))))
      (func (export "copy") (param i32 i32 i32)
        (memory.copy $c $a (local.get 0) (local.get 1) (local.get 2))
        (memory.copy $b $c (i64.extend_i32_u (local.get 0)) (local.get 1) (local.get 2))
        (memory.init $c $p (local.get 0) (i32.const 1) (i32.const 3)))
      (func (export "sizes") (result i32 i64 i32) (memory.size $a) (memory.size $b) (memory.size $c)))`,
    [
      ['mix', 0],
      ['mix', 4],
      ['copy', 0, 0, 0],
      ['copy', 10, 96, 20],
      ['grow', 1],
      ['copy', 10, 96, 20],
      ['mix', 65000],
      ['grow', 2],
      ['grow', 1],
      ['sizes'],
      ['copy', 131072, 10, 100],
    ],
    id,
  );
});

test('atomics trap on unaligned addresses; waits are safepoints and begin again', async () => {
  const calls: Call[] = [];
  for (const at of [0, 4, 1, 6, 65528, 65532, 65536, -4]) {
    calls.push(['wait32', at], ['wait64', at], ['notify', at], ['cmpxchg', at], ['add', at, 7n]);
  }
  const { always } = await same(
    `(module (memory (export "mem") 1 1 shared)
      (func (export "wait32") (param i32) (result i32) (local $keep i64)
        (local.set $keep (i64.const 40))
        (i32.const 100)
        (memory.atomic.wait32 offset=4 (local.get 0) (i32.atomic.load offset=4 (local.get 0)) (i64.const 0))
        (i32.wrap_i64 (local.get $keep)) (i32.add) (i32.add))
      (func (export "wait64") (param i32) (result i32)
        (memory.atomic.wait64 (local.get 0) (i64.atomic.load (local.get 0)) (i64.const 0)))
      (func (export "notify") (param i32) (result i32) (memory.atomic.notify offset=8 (local.get 0) (i32.const 1)))
      (func (export "cmpxchg") (param i32) (result i32)
        (i32.atomic.rmw.cmpxchg (local.get 0) (i32.const 0) (i32.const 3)))
      (func (export "add") (param i32 i64) (result i64)
        (i64.add (i64.atomic.rmw.add (local.get 0) (local.get 1)) (i64.atomic.rmw32.xchg_u (local.get 0) (i64.const 9)))))`,
    calls,
  );
  assert.ok(always.unwinds >= 4);
});

test('waiting on a memory that is not shared traps, and notifying wakes nobody', async () => {
  await same(
    `(module (memory 1)
      (func (export "wait") (param i32) (result i32) (memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const 0)))
      (func (export "notify") (param i32) (result i32) (memory.atomic.notify (local.get 0) (i32.const 1))))`,
    [
      ['wait', 0],
      ['wait', 1],
      ['notify', 0],
      ['notify', 2],
    ],
  );
});

test('exceptions with arguments of every kind, functions and vectors survive in frames', async () => {
  await same(
    `(module
      (import "m" "slow" (func $slow))
      (type $i (func (result i32)))
      (tag $big (param v128 i32 f64)) (tag $small (param i64)) (tag $none)
      (table $t 2 funcref)
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
      (elem declare func $one $two)
      (func $throw (param i32)
        (call $slow)
        (if (i32.eqz (local.get 0)) (then (throw $big (v128.const i64x2 5 6) (i32.const 7) (f64.const 8))))
        (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $small (i64.const 9))))
        (throw $none))
      (func $grab (param i32) (result exnref)
        (block $x (result exnref) (try_table (catch_all_ref $x) (call $throw (local.get 0))) (unreachable)))
      (func (export "carry") (param i32) (result i64) (local $x exnref) (local $v v128) (local $f funcref)
        (local.set $f (ref.func $two))
        (local.set $v (i64x2.splat (i64.const 30)))
        (local.set $x (call $grab (local.get 0)))
        (call $slow)
        (call $grab (i32.sub (i32.const 2) (local.get 0)))
        (ref.func $one)
        (local.get $v)
        (call $slow)
        (i64.add (i64x2.extract_lane 1 (i64x2.add (local.get $v))) (i64.const 0))
        (drop) (table.set $t (i32.const 0) (local.get $f)) (drop) (drop)
        (block $big (result v128 i32 f64)
          (block $small (result i64)
            (block $none
              (try_table (catch $big $big) (catch $small $small) (catch $none $none) (throw_ref (local.get $x))))
            (call $slow)
            (return (i64.extend_i32_s (call_indirect $t (type $i) (i32.const 0)))))
          (return))
        (call $slow)
        (i64.trunc_sat_f64_s) (i64.add (i64.extend_i32_u)) (local.set 0 (i32.wrap_i64))
        (i64.add (i64x2.extract_lane 1) (i64.extend_i32_u (local.get 0))))
      (func (export "null") (param i32) (throw_ref (block (result exnref) (ref.null exn) (call $slow)))))`
      .replace(
        '(i64.trunc_sat_f64_s) (i64.add (i64.extend_i32_u)) (local.set 0 (i32.wrap_i64))',
        '(drop) (local.set 0)',
      )
      .replace(
        '(drop) (table.set $t (i32.const 0) (local.get $f)) (drop) (drop)',
        '(drop) (drop) (drop) (table.set $t (i32.const 0) (local.get $f))',
      ),
    [
      ['carry', 0],
      ['carry', 1],
      ['carry', 2],
      ['null', 0],
    ],
    id,
  );
});

/** A function of `deep` nested blocks, a br_table to all of them, and after each block a count. */
function switchOf(deep: number): Uint8Array {
  const w = new Writer();
  w.raw(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  const section = (id: number, ...bytes: number[]): void => {
    w.u8(id);
    w.vec(Uint8Array.from(bytes));
  };
  section(1, 1, 0x60, 1, 0x7f, 1, 0x7f); // (i32) -> i32
  section(2, 1, 1, 0x6d, 2, 0x69, 0x64, 0, 0); // m.id
  section(3, 1, 0);
  section(7, 1, 1, 0x66, 0, 1); // f
  const body = new Writer();
  body.raw(Uint8Array.of(1, 1, 0x7f));
  for (let i = 0; i < deep; i++) body.raw(Uint8Array.of(OP.block, 0x40));
  body.raw(Uint8Array.of(OP.local_get, 0, OP.call, 0, OP.br_table));
  body.u32(deep);
  for (let i = 0; i <= deep; i++) body.u32(Math.min(i, deep - 1));
  const count = [OP.local_get, 1, OP.i32_const, 1, OP.i32_add, OP.local_set, 1];
  for (let i = 0; i < deep; i++) body.raw(Uint8Array.of(OP.end, ...count));
  body.raw(Uint8Array.of(OP.local_get, 1, OP.call, 0, OP.end));
  const code = new Writer();
  code.u8(1);
  code.vec(body.toBytes());
  w.u8(10);
  w.vec(code.toBytes());
  return w.toBytes();
}

test('a br_table with thousands of targets and blocks thousands deep stay what they are', () => {
  const deep = 3000;
  const calls: Call[] = [0, 1, deep - 1, deep + 7, -1].map((n) => ['f', n]);
  sameBytes(switchOf(deep), calls, id);
});

test('more than 64 locals: those in use at a safepoint are kept, whatever their number', async () => {
  const many = 150;
  const locals = Array.from({ length: many }, (_, i) => ['i32', 'i64', 'f32', 'f64'][i % 4]!);
  const sets = locals.map((type, i) => `(local.set ${i + 1} (${type}.const ${i * 3}))`).join(' ');
  const sum = (from: number): string =>
    locals
      .map((type, i) => {
        if (i < from || i % 7 !== 3) return '';
        const get = `(local.get ${i + 1})`;
        const wide = {
          i32: `(f64.convert_i32_s ${get})`,
          i64: `(f64.convert_i64_s ${get})`,
          f32: `(f64.promote_f32 ${get})`,
          f64: get,
        };
        return `(f64.add ${wide[type as 'i32']})`;
      })
      .join(' ');
  await same(
    `(module (import "m" "id" (func $id (param i32) (result i32)))
      (func (export "f") (param i32) (result f64) (local ${locals.join(' ')})
        ${sets}
        (f64.convert_i32_s (call $id (local.get 0))) ${sum(0)}
        (f64.convert_i32_s (call $id (local.get 0))) (f64.add) ${sum(100)}))`,
    [['f', 5]],
    id,
  );
});

test('loops with parameters and results keep operands below and above their heads', async () => {
  await same(
    `(module (import "m" "id" (func $id (param i32) (result i32)))
      (func (export "f") (param i32) (result i64)
        (f32.const 2) (i64.const 1) (local.get 0)
        (loop $l (param i64 i32) (result i64)
          (local.tee 0)
          (i64.extend_i32_u (call $id)) (i64.mul)
          (local.get 0)
          (if (param i64) (result i64) (i32.gt_s (local.get 0) (i32.const 1))
            (then (i32.sub (local.get 0) (i32.const 1)) (br $l))))
        (i64.extend_i32_u (call $id (i32.const 100))) (i64.add)
        (local.set 0 (i32.const 0)) (i64.store (i32.const 0)) (drop) (i64.load (i32.const 0)))
      (memory 1))`
      .replace('(i64.store (i32.const 0))', '(global.set $g)')
      .replace('(i64.load (i32.const 0))', '(global.get $g)')
      .replace('(memory 1)', '(global $g (mut i64) (i64.const 0))')
      .replace(
        `(local.get 0)
          (if (param`,
        '(if (param',
      ),
    [
      ['f', 1],
      ['f', 6],
    ],
    id,
  );
});

test('start functions run, imported globals are read, and data goes where they say', async () => {
  await same(
    `(module
      (import "m" "at" (global $at i32)) (import "m" "seen" (global $seen (mut i64)))
      (import "m" "id" (func $id (param i32) (result i32)))
      (memory (export "mem") 1)
      (data (global.get $at) "here") (data (i32.add (global.get $at) (i32.const 4)) " and there")
      (global $mine (mut i32) (i32.const 3))
      (func $begin
        (i32.store8 (i32.const 2) (call $id (i32.load8_u (global.get $at))))
        (global.set $mine (i32.add (global.get $mine) (i32.const 1)))
        (global.set $seen (i64.add (global.get $seen) (i64.extend_i32_u (global.get $at)))))
      (start $begin)
      (func (export "f") (result i32 i64) (global.get $mine) (global.get $seen)))`,
    [['f'], ['f']],
    () => ({
      m: {
        id: (x: number) => x,
        at: new WebAssembly.Global({ value: 'i32' }, 1000),
        seen: new WebAssembly.Global({ value: 'i64', mutable: true }, 5n),
      },
    }),
  );
});

test('what select leaves is saved anew, though what it was made from was saved before', async () => {
  const { always } = await same(
    `(module
      (import "m" "id" (func $id (param i32) (result i32)))
      (func (export "f") (param i32) (result i32)
        (select (local.get 0) (i32.const 5) (call $id (i32.const 0)))
        (i32.add (call $id (i32.const 100)))
        (select (result i32) (i32.const 7) (call $id (i32.const 1)))
        (i32.add (call $id (i32.const 1000)))))`,
    [['f', 40]],
    id,
  );
  assert.ok(always.unwinds > 3);
});

test('a shift by a computed constant is bounded for nobody', async () => {
  await same(
    `(module
      (import "m" "id" (func $id (param i32) (result i32)))
      (memory (export "mem") 1)
      (func (export "f") (param i32) (result f32) (local $by i32)
        (local.set $by (i32.sub (i32.const 100) (i32.const 7)))
        (f32.store offset=4090 (i32.shr_u (call $id (local.get 0)) (local.get $by)) (f32.const 7))
        (f32.load offset=4090 (i32.shr_u (local.get 0) (local.get $by)))))`,
    [
      ['f', -1],
      ['f', 5],
    ],
    id,
  );
});
