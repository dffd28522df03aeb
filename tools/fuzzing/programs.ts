/**
 * Small programs whose compiled form the verifier's fuzzer mutates: everything that touches memory, tables, globals
 * and control, in functions that take the addresses they use as parameters, with calls to the host in between.
 */
import { compile, FULL } from '../../src/compiler/index.ts';
import { wat } from '../../src/wasm/wat.testing.ts';

const TEXT = `(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory $m 1 4)
  (memory $w i64 1)
  (global $g (mut i32) (i32.const 7))
  (table $t 4 funcref)
  (elem (i32.const 0) $sum $copy)
  (elem declare func $sum)
  (data (memory $m) (i32.const 100) "perdure")
  (data $passive "goes on")
  (tag $error (param i32))

  (func $sum (export "sum") (param $from i32) (param $count i32) (result i32) (local $s i32)
    (block $out
      (loop $next
        (br_if $out (i32.eqz (local.get $count)))
        (local.set $s (i32.add (local.get $s) (i32.load8_u offset=3 (local.get $from))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (local.set $count (i32.and (i32.sub (local.get $count) (i32.const 1)) (i32.const 255)))
        (br $next)))
    (local.get $s))

  (func $copy (export "copy") (param $to i32) (param $from i32) (result i32)
    (i64.store (local.get $to) (i64.load align=1 (local.get $from)))
    (drop (call $host (local.get $from)))
    (i32.store16 offset=8 (local.get $to) (i32.load16_s offset=6 (local.get $from)))
    (f64.store offset=4096 (local.get $to) (f64.convert_i32_s (call $host (i32.const 3))))
    (i32.load offset=4100 (local.get $to)))

  (func (export "wide") (param $at i64) (param $value i32) (result i64)
    (i32.store $w offset=4 (local.get $at) (local.get $value))
    (global.set $g (call $host (local.get $value)))
    (i64.add (i64.load $w (local.get $at)) (i64.load32_u $w offset=65532 (local.get $at))))

  (func (export "bulk") (param $to i32) (param $from i64) (param $count i32)
    (memory.fill $m (local.get $to) (i32.const 1) (local.get $count))
    (memory.copy $m $w (local.get $to) (local.get $from) (local.get $count))
    (memory.init $m $passive (local.get $to) (i32.const 1) (i32.const 3))
    (drop (memory.grow $m (i32.const 1)))
    (i32.store (local.get $to) (memory.size $m)))

  (func (export "vector") (param $at i32) (result i32)
    (v128.store offset=16 (local.get $at) (i8x16.add (v128.load (local.get $at)) (v128.load32_splat offset=1 (local.get $at))))
    (v128.store16_lane offset=2 3 (local.get $at) (v128.load (local.get $at)))
    (i32x4.extract_lane 1 (v128.load8_lane 5 (local.get $at) (v128.load64_zero (local.get $at)))))

  (func (export "indirect") (param $which i32) (param $a i32) (param $b i32) (result i32)
    (i32.add (i32.load (local.get $a))
      (call_indirect (param i32 i32) (result i32) (local.get $a) (local.get $b) (i32.and (local.get $which) (i32.const 3)))))

  (func (export "choose") (param $which i32) (param $at i32) (result i32)
    (block $c (block $b (block $a
      (br_table $a $b $c (i32.and (local.get $which) (i32.const 3))))
      (i32.store8 (local.get $at) (i32.const 9)))
      (drop (call $host (local.get $at)))
      (return (i32.load (local.get $at))))
    (if (result i32) (local.get $which)
      (then (local.set $at (call $host (local.get $at))) (i32.load (local.get $at)))
      (else (i32.load8_s (local.get $at)))))

  (func (export "catching") (param $at i32) (result i32)
    (block $caught (result i32)
      (try_table (catch $error $caught)
        (if (i32.eqz (call $host (local.get $at))) (then (throw $error (local.get $at))))
        (i32.store (local.get $at) (i32.const 4)))
      (i32.const 8))
    (i32.add (i32.load (local.get $at))))

  (func (export "tables") (param $at i32) (param $which i32)
    (table.set $t (i32.and (local.get $which) (i32.const 3)) (ref.func $sum))
    (i32.store (local.get $at) (table.size $t)))
)`;

const ATOMICS = `(module
  (import "env" "host" (func $host (result i32)))
  (memory 1 3 shared)
  (func (export "rmw") (param $at i32) (param $v i32) (result i32)
    (drop (i32.atomic.rmw8.add_u offset=5 (local.get $at) (local.get $v)))
    (drop (call $host))
    (i32.atomic.store offset=8 (local.get $at) (i32.atomic.rmw.cmpxchg (local.get $at) (local.get $v) (i32.const 2)))
    (i32.add (memory.atomic.notify (local.get $at) (i32.const 1)) (i32.atomic.load (local.get $at))))
  (func (export "wait") (param $at i32) (param $v i64) (result i32)
    (memory.atomic.wait64 offset=8 (local.get $at) (local.get $v) (i64.const 0))))`;

export interface Program {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The programs as they are. */
export async function sources(): Promise<Program[]> {
  const entries = Object.entries({ everything: TEXT, atomics: ATOMICS });
  return Promise.all(entries.map(async ([name, text]) => ({ name, bytes: await wat(text) })));
}

/** The programs, compiled. */
export async function programs(): Promise<Program[]> {
  const each = await sources();
  const windows = { ...FULL, windows: true };
  return [
    ...each.map(({ name, bytes }) => ({ name, bytes: compile(bytes).bytes })),
    ...each.map(({ name, bytes }) => ({ name: `${name}, windows`, bytes: compile(bytes, windows).bytes })),
  ];
}
