/**
 * What is known about each instruction, in tables indexed by its number (`opcodes.ts`): its name, the kind of
 * its immediates, its operands and results where they are the same for every use, and the class and size of a
 * memory access. Built once at load from the groups at the end; checked against V8 for every instruction by
 * the tests.
 */
import { assert } from '../base/assert.ts';
import { OP, OP_LIMIT, PREFIX_FC, PREFIX_FD, PREFIX_FE } from './opcodes.ts';
import { F32, F64, FUNCREF, I32, I64, V128, type ValueType } from './types.ts';
import type { Writer } from './writer.ts';

/** Kinds of immediates; how the instruction cursor gives them is said in `instructions.ts`. */
export const IMM_NONE = 0;
/** One index (local, global, function, table, memory, tag, segment): imm0. */
export const IMM_INDEX = 1;
/** A branch label: imm0. */
export const IMM_LABEL = 2;
export const IMM_BLOCK = 3;
export const IMM_I32 = 4;
export const IMM_MEMARG = 5;
export const IMM_I64 = 6;
export const IMM_F32 = 7;
export const IMM_F64 = 8;
/** Two indices, in the order of the binary format: imm0, imm1. */
export const IMM_INDEX2 = 9;
export const IMM_BR_TABLE = 10;
/** 16 bytes: v128.const and the lanes of i8x16.shuffle. */
export const IMM_V128 = 11;
/** A lane number: imm2. */
export const IMM_LANE = 12;
export const IMM_MEMARG_LANE = 13;
export const IMM_SELECT = 14;
export const IMM_REF_NULL = 15;
export const IMM_TRY_TABLE = 16;
/** The zero byte of atomic.fence. */
export const IMM_FENCE = 17;
export const IMM_ELSE = 18;
export const IMM_END = 19;
/** No instruction of ours has this number. */
export const IMM_UNKNOWN = 255;

/** Classes of memory access; `ACCESS_NONE` for all instructions that have no memarg. */
export const ACCESS_NONE = 0;
export const ACCESS_LOAD = 1;
export const ACCESS_STORE = 2;
/** Loads one lane of a v128; stores one lane of a v128. */
export const ACCESS_LOAD_LANE = 3;
export const ACCESS_STORE_LANE = 4;
export const ACCESS_ATOMIC_LOAD = 5;
export const ACCESS_ATOMIC_STORE = 6;
/** Atomic read-modify-write, exchange among them. */
export const ACCESS_RMW = 7;
export const ACCESS_CMPXCHG = 8;
export const ACCESS_WAIT = 9;
export const ACCESS_NOTIFY = 10;

/** In `OP_POPS` and `OP_PUSHES`: the address type of the memory that the instruction names (I32 or I64). */
export const ADDRESS: ValueType = 0;

/** The text format's name, or undefined where there is no instruction. */
export const OP_NAME: (string | undefined)[] = new Array(OP_LIMIT).fill(undefined);
/** An `IMM_` constant for each number; `IMM_UNKNOWN` where there is no instruction. */
export const OP_IMMEDIATE: Uint8Array = new Uint8Array(OP_LIMIT).fill(IMM_UNKNOWN);
/** Operands, the last one on top; null where they depend on immediates, types or the stack. */
export const OP_POPS: (readonly ValueType[] | null)[] = new Array(OP_LIMIT).fill(null);
/** Results, the last one on top; null exactly where `OP_POPS` is. */
export const OP_PUSHES: (readonly ValueType[] | null)[] = new Array(OP_LIMIT).fill(null);
/** An `ACCESS_` constant. */
export const OP_ACCESS: Uint8Array = new Uint8Array(OP_LIMIT);
/** Bytes accessed in memory; 0 for no access. The natural alignment is this number. */
export const OP_ACCESS_BYTES: Uint8Array = new Uint8Array(OP_LIMIT);
/** log2 of `OP_ACCESS_BYTES`: the largest align immediate, and the only one for atomics. */
export const OP_ALIGN: Uint8Array = new Uint8Array(OP_LIMIT);
/**
 * 1 for the instructions that write to memory (memory.fill, copy and init are not among them: they have no
 * memarg).
 */
export const OP_WRITES: Uint8Array = new Uint8Array(OP_LIMIT);

/** The name of an instruction, for messages; never throws. */
export function opName(op: number): string {
  return OP_NAME[op] ?? `opcode 0x${op.toString(16)}`;
}

/** Writes the opcode of an instruction, prefix included. */
export function writeOp(w: Writer, op: number): void {
  if (op < PREFIX_FC) {
    w.u8(op);
  } else if (op < PREFIX_FD) {
    w.u8(0xfc);
    w.u32(op - PREFIX_FC);
  } else if (op < PREFIX_FE) {
    w.u8(0xfd);
    w.u32(op - PREFIX_FD);
  } else {
    w.u8(0xfe);
    w.u32(op - PREFIX_FE);
  }
}

const WRITING: readonly number[] = [
  ACCESS_STORE,
  ACCESS_STORE_LANE,
  ACCESS_ATOMIC_STORE,
  ACCESS_RMW,
  ACCESS_CMPXCHG,
];

const TYPE_LETTERS: Readonly<Record<string, ValueType>> = {
  a: ADDRESS,
  i: I32,
  l: I64,
  f: F32,
  d: F64,
  v: V128,
  r: FUNCREF,
};

const DOTTED = /^(i32|i64|f32|f64|v128|[if]\d+x\d+|local|global|table|memory|ref|data|elem|atomic)_/;

function textName(name: string): string {
  if (name === 'select_t') return 'select';
  return name
    .replace(DOTTED, '$1.')
    .replace('.atomic_', '.atomic.')
    .replace(/(rmw\d*)_/, '$1.');
}

function typesOf(letters: string): ValueType[] {
  return [...letters].map((letter) => TYPE_LETTERS[letter]!);
}

function numbersOf(names: string): number[] {
  return names
    .trim()
    .split(/\s+/)
    .map((name) => {
      const op = (OP as Readonly<Record<string, number>>)[name];
      assert(op !== undefined, `no instruction ${name}`);
      assert(OP_NAME[op] === undefined, `${name} is defined twice`);
      OP_NAME[op] = textName(name);
      return op;
    });
}

/** `signature`: the letters of operands and results around a `>`, or `?` where they are not fixed. */
function define(immediate: number, signature: string, names: string): number[] {
  const [pops, pushes] = signature.split('>');
  const ops = numbersOf(names);
  for (const op of ops) {
    OP_IMMEDIATE[op] = immediate;
    OP_POPS[op] = pushes === undefined ? null : typesOf(pops!);
    OP_PUSHES[op] = pushes === undefined ? null : typesOf(pushes);
  }
  return ops;
}

function access(kind: number, bytes: number, signature: string, names: string): void {
  const lane = kind === ACCESS_LOAD_LANE || kind === ACCESS_STORE_LANE;
  const writes = WRITING.includes(kind);
  for (const op of define(lane ? IMM_MEMARG_LANE : IMM_MEMARG, signature, names)) {
    OP_ACCESS[op] = kind;
    OP_ACCESS_BYTES[op] = bytes;
    OP_ALIGN[op] = 31 - Math.clz32(bytes);
    OP_WRITES[op] = writes ? 1 : 0;
  }
}

define(IMM_NONE, '?', 'unreachable throw_ref return drop select ref_is_null');
define(IMM_NONE, '>', 'nop');
define(IMM_BLOCK, '?', 'block loop if');
define(
  IMM_INDEX,
  '?',
  `
  throw call return_call local_get local_set local_tee global_get global_set table_get table_set
  table_grow table_size table_fill
`,
);
define(IMM_LABEL, '?', 'br br_if');
define(IMM_BR_TABLE, '?', 'br_table');
define(IMM_INDEX2, '?', 'call_indirect return_call_indirect memory_copy table_init table_copy');
define(IMM_SELECT, '?', 'select_t');
define(IMM_TRY_TABLE, '?', 'try_table');
define(IMM_INDEX, '>a', 'memory_size');
define(IMM_INDEX, 'a>a', 'memory_grow');
define(IMM_I32, '>i', 'i32_const');
define(IMM_I64, '>l', 'i64_const');
define(IMM_F32, '>f', 'f32_const');
define(IMM_F64, '>d', 'f64_const');
define(IMM_NONE, 'i>i', 'i32_eqz i32_clz i32_ctz i32_popcnt i32_extend8_s i32_extend16_s');
define(
  IMM_NONE,
  'ii>i',
  `
  i32_eq i32_ne i32_lt_s i32_lt_u i32_gt_s i32_gt_u i32_le_s i32_le_u i32_ge_s i32_ge_u i32_add
  i32_sub i32_mul i32_div_s i32_div_u i32_rem_s i32_rem_u i32_and i32_or i32_xor i32_shl i32_shr_s
  i32_shr_u i32_rotl i32_rotr
`,
);
define(IMM_NONE, 'l>i', 'i64_eqz i32_wrap_i64');
define(
  IMM_NONE,
  'll>i',
  `
  i64_eq i64_ne i64_lt_s i64_lt_u i64_gt_s i64_gt_u i64_le_s i64_le_u i64_ge_s i64_ge_u
`,
);
define(IMM_NONE, 'ff>i', 'f32_eq f32_ne f32_lt f32_gt f32_le f32_ge');
define(IMM_NONE, 'dd>i', 'f64_eq f64_ne f64_lt f64_gt f64_le f64_ge');
define(IMM_NONE, 'l>l', 'i64_clz i64_ctz i64_popcnt i64_extend8_s i64_extend16_s i64_extend32_s');
define(
  IMM_NONE,
  'll>l',
  `
  i64_add i64_sub i64_mul i64_div_s i64_div_u i64_rem_s i64_rem_u i64_and i64_or i64_xor i64_shl
  i64_shr_s i64_shr_u i64_rotl i64_rotr
`,
);
define(IMM_NONE, 'f>f', 'f32_abs f32_neg f32_ceil f32_floor f32_trunc f32_nearest f32_sqrt');
define(IMM_NONE, 'ff>f', 'f32_add f32_sub f32_mul f32_div f32_min f32_max f32_copysign');
define(IMM_NONE, 'd>d', 'f64_abs f64_neg f64_ceil f64_floor f64_trunc f64_nearest f64_sqrt');
define(IMM_NONE, 'dd>d', 'f64_add f64_sub f64_mul f64_div f64_min f64_max f64_copysign');
define(
  IMM_NONE,
  'f>i',
  `
  i32_trunc_f32_s i32_trunc_f32_u i32_reinterpret_f32 i32_trunc_sat_f32_s i32_trunc_sat_f32_u
`,
);
define(IMM_NONE, 'd>i', 'i32_trunc_f64_s i32_trunc_f64_u i32_trunc_sat_f64_s i32_trunc_sat_f64_u');
define(IMM_NONE, 'i>l', 'i64_extend_i32_s i64_extend_i32_u');
define(IMM_NONE, 'f>l', 'i64_trunc_f32_s i64_trunc_f32_u i64_trunc_sat_f32_s i64_trunc_sat_f32_u');
define(
  IMM_NONE,
  'd>l',
  `
  i64_trunc_f64_s i64_trunc_f64_u i64_reinterpret_f64 i64_trunc_sat_f64_s i64_trunc_sat_f64_u
`,
);
define(IMM_NONE, 'i>f', 'f32_convert_i32_s f32_convert_i32_u f32_reinterpret_i32');
define(IMM_NONE, 'l>f', 'f32_convert_i64_s f32_convert_i64_u');
define(IMM_NONE, 'd>f', 'f32_demote_f64');
define(IMM_NONE, 'i>d', 'f64_convert_i32_s f64_convert_i32_u');
define(IMM_NONE, 'l>d', 'f64_convert_i64_s f64_convert_i64_u f64_reinterpret_i64');
define(IMM_NONE, 'f>d', 'f64_promote_f32');
define(IMM_REF_NULL, '?', 'ref_null');
define(IMM_INDEX, '>r', 'ref_func');
define(IMM_INDEX2, 'aii>', 'memory_init');
define(IMM_INDEX, '>', 'data_drop elem_drop');
define(IMM_INDEX, 'aia>', 'memory_fill');
define(IMM_V128, '>v', 'v128_const');
define(IMM_V128, 'vv>v', 'i8x16_shuffle');
define(
  IMM_NONE,
  'vv>v',
  `
  i8x16_swizzle i8x16_eq i8x16_ne i8x16_lt_s i8x16_lt_u i8x16_gt_s i8x16_gt_u i8x16_le_s i8x16_le_u
  i8x16_ge_s i8x16_ge_u i16x8_eq i16x8_ne i16x8_lt_s i16x8_lt_u i16x8_gt_s i16x8_gt_u i16x8_le_s
  i16x8_le_u i16x8_ge_s i16x8_ge_u i32x4_eq i32x4_ne i32x4_lt_s i32x4_lt_u i32x4_gt_s i32x4_gt_u
  i32x4_le_s i32x4_le_u i32x4_ge_s i32x4_ge_u f32x4_eq f32x4_ne f32x4_lt f32x4_gt f32x4_le f32x4_ge
  f64x2_eq f64x2_ne f64x2_lt f64x2_gt f64x2_le f64x2_ge v128_and v128_andnot v128_or v128_xor
  i8x16_narrow_i16x8_s i8x16_narrow_i16x8_u i8x16_add i8x16_add_sat_s i8x16_add_sat_u i8x16_sub
  i8x16_sub_sat_s i8x16_sub_sat_u i8x16_min_s i8x16_min_u i8x16_max_s i8x16_max_u i8x16_avgr_u
  i16x8_q15mulr_sat_s i16x8_narrow_i32x4_s i16x8_narrow_i32x4_u i16x8_add i16x8_add_sat_s
  i16x8_add_sat_u i16x8_sub i16x8_sub_sat_s i16x8_sub_sat_u i16x8_mul i16x8_min_s i16x8_min_u
  i16x8_max_s i16x8_max_u i16x8_avgr_u i16x8_extmul_low_i8x16_s i16x8_extmul_high_i8x16_s
  i16x8_extmul_low_i8x16_u i16x8_extmul_high_i8x16_u i32x4_add i32x4_sub i32x4_mul i32x4_min_s
  i32x4_min_u i32x4_max_s i32x4_max_u i32x4_dot_i16x8_s i32x4_extmul_low_i16x8_s
  i32x4_extmul_high_i16x8_s i32x4_extmul_low_i16x8_u i32x4_extmul_high_i16x8_u i64x2_add i64x2_sub
  i64x2_mul i64x2_eq i64x2_ne i64x2_lt_s i64x2_gt_s i64x2_le_s i64x2_ge_s i64x2_extmul_low_i32x4_s
  i64x2_extmul_high_i32x4_s i64x2_extmul_low_i32x4_u i64x2_extmul_high_i32x4_u f32x4_add f32x4_sub
  f32x4_mul f32x4_div f32x4_min f32x4_max f32x4_pmin f32x4_pmax f64x2_add f64x2_sub f64x2_mul
  f64x2_div f64x2_min f64x2_max f64x2_pmin f64x2_pmax i8x16_relaxed_swizzle f32x4_relaxed_min
  f32x4_relaxed_max f64x2_relaxed_min f64x2_relaxed_max i16x8_relaxed_q15mulr_s
  i16x8_relaxed_dot_i8x16_i7x16_s
`,
);
define(IMM_NONE, 'i>v', 'i8x16_splat i16x8_splat i32x4_splat');
define(IMM_NONE, 'l>v', 'i64x2_splat');
define(IMM_NONE, 'f>v', 'f32x4_splat');
define(IMM_NONE, 'd>v', 'f64x2_splat');
define(
  IMM_LANE,
  'v>i',
  `
  i8x16_extract_lane_s i8x16_extract_lane_u i16x8_extract_lane_s i16x8_extract_lane_u
  i32x4_extract_lane
`,
);
define(IMM_LANE, 'vi>v', 'i8x16_replace_lane i16x8_replace_lane i32x4_replace_lane');
define(IMM_LANE, 'v>l', 'i64x2_extract_lane');
define(IMM_LANE, 'vl>v', 'i64x2_replace_lane');
define(IMM_LANE, 'v>f', 'f32x4_extract_lane');
define(IMM_LANE, 'vf>v', 'f32x4_replace_lane');
define(IMM_LANE, 'v>d', 'f64x2_extract_lane');
define(IMM_LANE, 'vd>v', 'f64x2_replace_lane');
define(
  IMM_NONE,
  'v>v',
  `
  v128_not f32x4_demote_f64x2_zero f64x2_promote_low_f32x4 i8x16_abs i8x16_neg i8x16_popcnt f32x4_ceil
  f32x4_floor f32x4_trunc f32x4_nearest f64x2_ceil f64x2_floor f64x2_trunc
  i16x8_extadd_pairwise_i8x16_s i16x8_extadd_pairwise_i8x16_u i32x4_extadd_pairwise_i16x8_s
  i32x4_extadd_pairwise_i16x8_u i16x8_abs i16x8_neg i16x8_extend_low_i8x16_s i16x8_extend_high_i8x16_s
  i16x8_extend_low_i8x16_u i16x8_extend_high_i8x16_u f64x2_nearest i32x4_abs i32x4_neg
  i32x4_extend_low_i16x8_s i32x4_extend_high_i16x8_s i32x4_extend_low_i16x8_u
  i32x4_extend_high_i16x8_u i64x2_abs i64x2_neg i64x2_extend_low_i32x4_s i64x2_extend_high_i32x4_s
  i64x2_extend_low_i32x4_u i64x2_extend_high_i32x4_u f32x4_abs f32x4_neg f32x4_sqrt f64x2_abs
  f64x2_neg f64x2_sqrt i32x4_trunc_sat_f32x4_s i32x4_trunc_sat_f32x4_u f32x4_convert_i32x4_s
  f32x4_convert_i32x4_u i32x4_trunc_sat_f64x2_s_zero i32x4_trunc_sat_f64x2_u_zero
  f64x2_convert_low_i32x4_s f64x2_convert_low_i32x4_u i32x4_relaxed_trunc_f32x4_s
  i32x4_relaxed_trunc_f32x4_u i32x4_relaxed_trunc_f64x2_s_zero i32x4_relaxed_trunc_f64x2_u_zero
`,
);
define(
  IMM_NONE,
  'vvv>v',
  `
  v128_bitselect f32x4_relaxed_madd f32x4_relaxed_nmadd f64x2_relaxed_madd f64x2_relaxed_nmadd
  i8x16_relaxed_laneselect i16x8_relaxed_laneselect i32x4_relaxed_laneselect i64x2_relaxed_laneselect
  i32x4_relaxed_dot_i8x16_i7x16_add_s
`,
);
define(
  IMM_NONE,
  'v>i',
  `
  v128_any_true i8x16_all_true i8x16_bitmask i16x8_all_true i16x8_bitmask i32x4_all_true i32x4_bitmask
  i64x2_all_true i64x2_bitmask
`,
);
define(
  IMM_NONE,
  'vi>v',
  `
  i8x16_shl i8x16_shr_s i8x16_shr_u i16x8_shl i16x8_shr_s i16x8_shr_u i32x4_shl i32x4_shr_s
  i32x4_shr_u i64x2_shl i64x2_shr_s i64x2_shr_u
`,
);
define(IMM_FENCE, '>', 'atomic_fence');
access(ACCESS_LOAD, 4, 'a>i', 'i32_load');
access(ACCESS_LOAD, 8, 'a>l', 'i64_load');
access(ACCESS_LOAD, 4, 'a>f', 'f32_load');
access(ACCESS_LOAD, 8, 'a>d', 'f64_load');
access(ACCESS_LOAD, 1, 'a>i', 'i32_load8_s i32_load8_u');
access(ACCESS_LOAD, 2, 'a>i', 'i32_load16_s i32_load16_u');
access(ACCESS_LOAD, 1, 'a>l', 'i64_load8_s i64_load8_u');
access(ACCESS_LOAD, 2, 'a>l', 'i64_load16_s i64_load16_u');
access(ACCESS_LOAD, 4, 'a>l', 'i64_load32_s i64_load32_u');
access(ACCESS_STORE, 4, 'ai>', 'i32_store');
access(ACCESS_STORE, 8, 'al>', 'i64_store');
access(ACCESS_STORE, 4, 'af>', 'f32_store');
access(ACCESS_STORE, 8, 'ad>', 'f64_store');
access(ACCESS_STORE, 1, 'ai>', 'i32_store8');
access(ACCESS_STORE, 2, 'ai>', 'i32_store16');
access(ACCESS_STORE, 1, 'al>', 'i64_store8');
access(ACCESS_STORE, 2, 'al>', 'i64_store16');
access(ACCESS_STORE, 4, 'al>', 'i64_store32');
access(ACCESS_LOAD, 16, 'a>v', 'v128_load');
access(
  ACCESS_LOAD,
  8,
  'a>v',
  `
  v128_load8x8_s v128_load8x8_u v128_load16x4_s v128_load16x4_u v128_load32x2_s v128_load32x2_u
  v128_load64_splat v128_load64_zero
`,
);
access(ACCESS_LOAD, 1, 'a>v', 'v128_load8_splat');
access(ACCESS_LOAD, 2, 'a>v', 'v128_load16_splat');
access(ACCESS_LOAD, 4, 'a>v', 'v128_load32_splat v128_load32_zero');
access(ACCESS_STORE, 16, 'av>', 'v128_store');
access(ACCESS_LOAD_LANE, 1, 'av>v', 'v128_load8_lane');
access(ACCESS_LOAD_LANE, 2, 'av>v', 'v128_load16_lane');
access(ACCESS_LOAD_LANE, 4, 'av>v', 'v128_load32_lane');
access(ACCESS_LOAD_LANE, 8, 'av>v', 'v128_load64_lane');
access(ACCESS_STORE_LANE, 1, 'av>', 'v128_store8_lane');
access(ACCESS_STORE_LANE, 2, 'av>', 'v128_store16_lane');
access(ACCESS_STORE_LANE, 4, 'av>', 'v128_store32_lane');
access(ACCESS_STORE_LANE, 8, 'av>', 'v128_store64_lane');
access(ACCESS_NOTIFY, 4, 'ai>i', 'memory_atomic_notify');
access(ACCESS_WAIT, 4, 'ail>i', 'memory_atomic_wait32');
access(ACCESS_WAIT, 8, 'all>i', 'memory_atomic_wait64');
access(ACCESS_ATOMIC_LOAD, 4, 'a>i', 'i32_atomic_load');
access(ACCESS_ATOMIC_LOAD, 8, 'a>l', 'i64_atomic_load');
access(ACCESS_ATOMIC_LOAD, 1, 'a>i', 'i32_atomic_load8_u');
access(ACCESS_ATOMIC_LOAD, 2, 'a>i', 'i32_atomic_load16_u');
access(ACCESS_ATOMIC_LOAD, 1, 'a>l', 'i64_atomic_load8_u');
access(ACCESS_ATOMIC_LOAD, 2, 'a>l', 'i64_atomic_load16_u');
access(ACCESS_ATOMIC_LOAD, 4, 'a>l', 'i64_atomic_load32_u');
access(ACCESS_ATOMIC_STORE, 4, 'ai>', 'i32_atomic_store');
access(ACCESS_ATOMIC_STORE, 8, 'al>', 'i64_atomic_store');
access(ACCESS_ATOMIC_STORE, 1, 'ai>', 'i32_atomic_store8');
access(ACCESS_ATOMIC_STORE, 2, 'ai>', 'i32_atomic_store16');
access(ACCESS_ATOMIC_STORE, 1, 'al>', 'i64_atomic_store8');
access(ACCESS_ATOMIC_STORE, 2, 'al>', 'i64_atomic_store16');
access(ACCESS_ATOMIC_STORE, 4, 'al>', 'i64_atomic_store32');
access(
  ACCESS_RMW,
  4,
  'ai>i',
  `
  i32_atomic_rmw_add i32_atomic_rmw_sub i32_atomic_rmw_and i32_atomic_rmw_or i32_atomic_rmw_xor
  i32_atomic_rmw_xchg
`,
);
access(
  ACCESS_RMW,
  8,
  'al>l',
  `
  i64_atomic_rmw_add i64_atomic_rmw_sub i64_atomic_rmw_and i64_atomic_rmw_or i64_atomic_rmw_xor
  i64_atomic_rmw_xchg
`,
);
access(
  ACCESS_RMW,
  1,
  'ai>i',
  `
  i32_atomic_rmw8_add_u i32_atomic_rmw8_sub_u i32_atomic_rmw8_and_u i32_atomic_rmw8_or_u
  i32_atomic_rmw8_xor_u i32_atomic_rmw8_xchg_u
`,
);
access(
  ACCESS_RMW,
  2,
  'ai>i',
  `
  i32_atomic_rmw16_add_u i32_atomic_rmw16_sub_u i32_atomic_rmw16_and_u i32_atomic_rmw16_or_u
  i32_atomic_rmw16_xor_u i32_atomic_rmw16_xchg_u
`,
);
access(
  ACCESS_RMW,
  1,
  'al>l',
  `
  i64_atomic_rmw8_add_u i64_atomic_rmw8_sub_u i64_atomic_rmw8_and_u i64_atomic_rmw8_or_u
  i64_atomic_rmw8_xor_u i64_atomic_rmw8_xchg_u
`,
);
access(
  ACCESS_RMW,
  2,
  'al>l',
  `
  i64_atomic_rmw16_add_u i64_atomic_rmw16_sub_u i64_atomic_rmw16_and_u i64_atomic_rmw16_or_u
  i64_atomic_rmw16_xor_u i64_atomic_rmw16_xchg_u
`,
);
access(
  ACCESS_RMW,
  4,
  'al>l',
  `
  i64_atomic_rmw32_add_u i64_atomic_rmw32_sub_u i64_atomic_rmw32_and_u i64_atomic_rmw32_or_u
  i64_atomic_rmw32_xor_u i64_atomic_rmw32_xchg_u
`,
);
access(ACCESS_CMPXCHG, 4, 'aii>i', 'i32_atomic_rmw_cmpxchg');
access(ACCESS_CMPXCHG, 8, 'all>l', 'i64_atomic_rmw_cmpxchg');
access(ACCESS_CMPXCHG, 1, 'aii>i', 'i32_atomic_rmw8_cmpxchg_u');
access(ACCESS_CMPXCHG, 2, 'aii>i', 'i32_atomic_rmw16_cmpxchg_u');
access(ACCESS_CMPXCHG, 1, 'all>l', 'i64_atomic_rmw8_cmpxchg_u');
access(ACCESS_CMPXCHG, 2, 'all>l', 'i64_atomic_rmw16_cmpxchg_u');
access(ACCESS_CMPXCHG, 4, 'all>l', 'i64_atomic_rmw32_cmpxchg_u');
define(IMM_ELSE, '?', 'else');
define(IMM_END, '?', 'end');
