/**
 * For tests only: modules from the text format, and what two modules have in common apart from where their bytes lie.
 * `EVERYTHING` together use every kind of section, segment, immediate and type that Perdure takes.
 */
import wabt from 'wabt';
import type { Module } from './module.ts';

const FEATURES = {
  exceptions: true,
  mutable_globals: true,
  sat_float_to_int: true,
  sign_extension: true,
  simd: true,
  threads: true,
  multi_value: true,
  tail_call: true,
  bulk_memory: true,
  reference_types: true,
  extended_const: true,
  relaxed_simd: true,
  memory64: true,
  multi_memory: true,
};

/** The bytes of a module in the text format, with its name section. */
export async function wat(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const tools = await wabt();
  const parsed = tools.parseWat('test.wat', text, FEATURES);
  try {
    return Uint8Array.from(parsed.toBinary({ write_debug_names: true }).buffer);
  } finally {
    parsed.destroy();
  }
}

/** What a module says: no offsets, ranges as their bytes, bigints as text. */
export function parts(module: Module): unknown {
  return plain(module);
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  const range = value as { source?: Uint8Array; start: number; end: number };
  const isRange = range.source instanceof Uint8Array;
  const out: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    if (isRange && (name === 'source' || name === 'start' || name === 'end')) continue;
    out[name] = plain(item);
  }
  if (isRange) out.bytes = Buffer.from(range.source!.subarray(range.start, range.end)).toString('hex');
  return out;
}

const BASICS = `(module $basics
  (type $pair (func (param i32 i64) (result f32 f64)))
  (import "env" "f" (func $imported (type $pair)))
  (import "env" "g" (global $ig (mut i64)))
  (import "env" "t" (table $it 1 5 funcref))
  (import "env" "m" (memory $im 1 9))
  (global $g (mut i32) (i32.const -7))
  (global $h f64 (f64.const 0x1.8p-3))
  (global $k i32 (i32.add (i32.const 5) (i32.mul (i32.const 3) (i32.const 4))))
  (func $swap (export "swap") (type $pair) (local $a i32) (local $b i32) (local $c f64)
    (f32.const 1.5) (f64.const -2.25))
  (func $control (export "control") (param $n i32) (result i32)
    (local $s i64)
    (block $out (result i32)
      (loop $again
        (br_if $out (i32.const 9) (i32.eqz (local.get $n))) drop
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (if (i32.and (local.get $n) (i32.const 1)) (then (br $again)) (else (nop)))
        (block $a (block $b (block $c (br_table $a $b $c $again (local.get $n)))))
      )
      (i64.const 0x7fff_ffff_ffff_ffff) (i64.const -0x8000_0000_0000_0000) i64.xor i32.wrap_i64
      (call $control) (select (i32.const 1) (i32.const 2)))
  )
  (func $indirect (param i32) (result f32 f64)
    (i32.const 1) (i64.const 2) (local.get 0) (call_indirect $it (type $pair)))
  (func $tail (param i32) (result i32) (return_call $control (local.get 0)))
  (func $tails (param i32) (result f32 f64)
    (return_call_indirect $it (type $pair) (i32.const 1) (i64.const 2) (local.get 0)))
  (func $values (param i32) (result i32 i64)
    (local.get 0) (block (param i32) (result i32 i64) (i64.const 1)) (i64.extend32_s) (i32.const 3) (drop))
  (func $memory (param i32) (result i32)
    (i32.store8 offset=70000 (local.get 0) (i32.const 255))
    (i64.store offset=1 align=1 (local.get 0) (i64.const 1))
    (memory.grow (memory.size)) (i32.load16_s offset=4294967295 (local.get 0)) i32.add
    (i32.trunc_sat_f64_s (global.get $h)) i32.add)
  (start $begin)
  (func $begin (global.set $g (i32.const 1)))
  (elem (i32.const 0) $swap $control)
  (data (i32.const 8) "hello\\00world")
  (data (i32.add (i32.const 8) (i32.const 1)) ""))`;

const BULK = `(module
  (memory 1) (table $a 10 funcref) (table $b 4 externref)
  (func $f) (func $g)
  (elem $passive func $f $g $f)
  (elem $exprs funcref (ref.func $f) (ref.null func))
  (elem $declared declare func $g)
  (elem (table $a) (i32.const 1) func $f)
  (elem (table $b) (i32.const 0) externref (ref.null extern))
  (elem (i32.const 2) funcref (item ref.func $f))
  (data $d "passive") (data $e "\\ff")
  (func (export "all") (param i32 i32 i32) (param externref) (result i32)
    (memory.init $d (local.get 0) (local.get 1) (local.get 2)) (data.drop $d)
    (memory.copy (local.get 0) (local.get 1) (local.get 2))
    (memory.fill (local.get 0) (local.get 1) (local.get 2))
    (table.init $a $passive (local.get 0) (local.get 1) (local.get 2)) (elem.drop $passive)
    (table.copy $a $a (local.get 0) (local.get 1) (local.get 2))
    (table.fill $b (local.get 0) (local.get 3) (local.get 1))
    (table.set $b (i32.const 1) (table.get $b (i32.const 2)))
    (drop (table.grow $b (ref.null extern) (i32.const 1)))
    (drop (ref.is_null (ref.func $g)))
    (drop (select (result externref) (local.get 3) (ref.null extern) (i32.const 0)))
    (table.size $b)))`;

const EXCEPTIONS = `(module
  (import "env" "tag" (tag $it (param i64)))
  (tag $e (export "e") (param i32)) (tag $n)
  (func (export "catch") (param i32) (result i32)
    (block $all (result exnref)
      (block $ref (result i32 exnref)
        (block $one (result i32)
          (block $none
            (try_table (result i32) (catch $e $one) (catch_ref $e $ref) (catch_all $none) (catch_all_ref $all)
              (throw $e (local.get 0)))
            (return))
          (return (i32.const 3)))
        (return))
      (throw_ref))
    (throw_ref)))`;

const VECTORS = `(module
  (memory 1 1 shared)
  (global v128 (v128.const i64x2 1 -1))
  (func (export "v") (param i32 v128) (result v128) (local v128 v128)
    (v128.store32_lane offset=3 align=1 2 (local.get 0) (local.get 1))
    (i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31 (local.get 1) (v128.load8x8_s (local.get 0)))
    (f32x4.relaxed_madd (local.get 1) (local.get 1))
    (i32x4.replace_lane 3 (i32x4.extract_lane 1 (v128.const f32x4 1 2 3 4)))
    (v128.load64_lane offset=8 1 (local.get 0) (local.get 1)) v128.xor)
  (func (export "a") (param i32) (result i64) atomic.fence
    (drop (i32.atomic.rmw.cmpxchg offset=4 (local.get 0) (i32.const 1) (i32.const 2)))
    (drop (memory.atomic.notify (local.get 0) (i32.const 1)))
    (drop (memory.atomic.wait64 (local.get 0) (i64.const 1) (i64.const -1)))
    (i64.atomic.store32 (local.get 0) (i64.const 3))
    (i64.atomic.rmw16.add_u (local.get 0) (i64.const 3))))`;

const MEMORIES = `(module
  (memory $a 1) (memory $b i64 2 0x1000) (memory $c 0 3)
  (func (export "m") (param i32 i64) (result i64)
    (i32.store $c offset=9 (local.get 0) (i32.load8_u $b offset=0x1_0000_0001 (local.get 1)))
    (i64.store $b offset=0x7fff_ffff_ffff_ffff (local.get 1) (i64.const 1))
    (memory.copy $a $b (local.get 0) (local.get 1) (i32.const 3))
    (memory.fill $b (local.get 1) (i32.const 0) (i64.const 3))
    (v128.store8_lane $c 15 (local.get 0) (v128.const i32x4 0 0 0 0))
    (memory.grow $b (memory.size $b))))`;

/** Texts of valid modules that, together, use everything but a data segment of a memory that is not the first. */
export const EVERYTHING: readonly string[] = [BASICS, BULK, EXCEPTIONS, VECTORS, MEMORIES];
