/**
 * What the verifier knows of each instruction whose effect on the operand stack is fixed: how many operands it takes
 * and gives, what immediates follow, and how many bytes of memory it touches. Written from the specification and not
 * from wasm/optable.ts; a test holds it against V8's own validation.
 *
 * An entry is one number: bits 0-1 operands taken, bit 2 a result is given, bits 3-5 the immediate, bits 6-10 bytes
 * of memory touched (0: none), bits 13-14 what an integer result is at most (`most`; 0: anything). 0 means: not an instruction of this kind; the pass handles it or refuses it.
 * The address of a memory access is always the deepest operand it takes.
 */
import { MalformedError } from '../base/errors.ts';
import type { Cursor } from './cursor.ts';

export const IMM_NONE = 0;
export const IMM_MEMARG = 1;
export const IMM_LANE = 2;
export const IMM_MEMARG_LANE = 3;
export const IMM_16 = 4;
/** Marks an entry as present where all other bits would be zero. */
const PRESENT = 1 << 12;
/** Entries from here up have a bound. */
export const BOUNDED: number = 1 << 13;

export const takes = (entry: number): number => entry & 3;
export const gives = (entry: number): number => (entry >> 2) & 1;
export const immediate = (entry: number): number => (entry >> 3) & 7;
export const touches = (entry: number): number => (entry >> 6) & 31;
export const most = (entry: number): number => MOST[entry >> 13]!;
const MOST: readonly number[] = [Infinity, 1, 0xff, 0xffff];
const A_BIT = 1 << 13;
const A_BYTE = 2 << 13;
const TWO_BYTES = 3 << 13;

const entry = (takes: number, gives: number, imm: number, size: number): number =>
  takes | (gives << 2) | (imm << 3) | (size << 6) | PRESENT;
const LOAD = (size: number): number => entry(1, 1, IMM_MEMARG, size);
const STORE = (size: number): number => entry(2, 0, IMM_MEMARG, size);
const UNARY = entry(1, 1, IMM_NONE, 0);
const BINARY = entry(2, 1, IMM_NONE, 0);
const TERNARY = entry(3, 1, IMM_NONE, 0);

/** Ranges of codes, both ends included, that share an entry. */
function table(size: number, ranges: readonly (readonly [number, number, number])[]): Uint16Array {
  const out = new Uint16Array(size);
  for (const [first, last, value] of ranges) out.fill(value, first, last + 1);
  return out;
}
/** Consecutive codes with entries of their own. */
function run(first: number, entries: readonly number[]): (readonly [number, number, number])[] {
  return entries.map((value, i) => [first + i, first + i, value] as const);
}

/** Instructions of one byte. */
export const PLAIN = table(256, [
  ...run(0x28, [4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4].map(LOAD)),
  ...[0x2d, 0x31].map((code) => [code, code, LOAD(1) | A_BYTE] as const), // load8_u
  ...[0x2f, 0x33].map((code) => [code, code, LOAD(2) | TWO_BYTES] as const), // load16_u
  ...run(0x36, [4, 8, 4, 8, 1, 2, 1, 2, 4].map(STORE)),
  [0x45, 0x45, UNARY | A_BIT], // i32.eqz
  [0x46, 0x4f, BINARY | A_BIT],
  [0x50, 0x50, UNARY | A_BIT], // i64.eqz
  [0x51, 0x66, BINARY | A_BIT], // i64, f32 and f64 comparisons
  [0x67, 0x69, UNARY],
  [0x6a, 0x78, BINARY],
  [0x79, 0x7b, UNARY],
  [0x7c, 0x8a, BINARY],
  [0x8b, 0x91, UNARY], // f32
  [0x92, 0x98, BINARY],
  [0x99, 0x9f, UNARY], // f64
  [0xa0, 0xa6, BINARY],
  [0xa7, 0xc4, UNARY], // conversions, sign extensions
  [0xd1, 0xd1, UNARY], // ref.is_null
]);

/** Behind 0xfc: the saturating conversions. The bulk instructions are the pass's. */
export const PREFIX_FC = table(32, [[0, 7, UNARY]]);

/** Behind 0xfd: vectors, relaxed ones included. */
export const PREFIX_FD = table(288, [
  ...run(0, [16, 8, 8, 8, 8, 8, 8, 1, 2, 4, 8].map(LOAD)),
  [11, 11, STORE(16)],
  [12, 12, entry(0, 1, IMM_16, 0)], // v128.const
  [13, 13, entry(2, 1, IMM_16, 0)], // shuffle
  [14, 14, BINARY],
  [15, 20, UNARY], // splats
  [21, 34, entry(1, 1, IMM_LANE, 0)], // extract_lane, but for:
  ...[23, 26, 28, 30, 32, 34].map((code) => [code, code, entry(2, 1, IMM_LANE, 0)] as const),
  [35, 76, BINARY],
  [77, 77, UNARY],
  [78, 81, BINARY],
  [82, 82, TERNARY], // bitselect
  [83, 83, UNARY],
  ...run(
    84,
    [1, 2, 4, 8].map((size) => entry(2, 1, IMM_MEMARG_LANE, size)),
  ),
  ...run(
    88,
    [1, 2, 4, 8].map((size) => entry(2, 0, IMM_MEMARG_LANE, size)),
  ),
  ...run(92, [4, 8].map(LOAD)),
  [94, 100, UNARY],
  [101, 102, BINARY],
  [103, 106, UNARY],
  [107, 115, BINARY],
  [116, 117, UNARY],
  [118, 121, BINARY],
  [122, 122, UNARY],
  [123, 123, BINARY],
  [124, 129, UNARY],
  [130, 130, BINARY],
  [131, 132, UNARY],
  [133, 134, BINARY],
  [135, 138, UNARY],
  [139, 147, BINARY],
  [148, 148, UNARY],
  [149, 153, BINARY],
  [155, 159, BINARY],
  [160, 161, UNARY],
  [163, 164, UNARY],
  [167, 170, UNARY],
  [171, 174, BINARY],
  [177, 177, BINARY],
  [181, 186, BINARY],
  [188, 191, BINARY],
  [192, 193, UNARY],
  [195, 196, UNARY],
  [199, 202, UNARY],
  [203, 206, BINARY],
  [209, 209, BINARY],
  [213, 223, BINARY],
  [224, 225, UNARY],
  [227, 227, UNARY],
  [228, 235, BINARY],
  [236, 237, UNARY],
  [239, 239, UNARY],
  [240, 247, BINARY],
  [248, 255, UNARY],
  [256, 256, BINARY], // relaxed
  [257, 260, UNARY],
  [261, 268, TERNARY],
  [269, 274, BINARY],
  [275, 275, TERNARY],
]);

const WIDTHS = [4, 8, 1, 2, 1, 2, 4];
/** Behind 0xfe: atomics. wait, notify and fence are the pass's. */
export const PREFIX_FE = table(80, [
  ...run(0x10, WIDTHS.map(LOAD)),
  ...run(0x17, WIDTHS.map(STORE)),
  ...[0x1e, 0x25, 0x2c, 0x33, 0x3a, 0x41].flatMap((first) =>
    run(
      first,
      WIDTHS.map((size) => entry(2, 1, IMM_MEMARG, size)),
    ),
  ),
  ...run(
    0x48,
    WIDTHS.map((size) => entry(3, 1, IMM_MEMARG, size)),
  ),
]);

/** The table behind a prefix byte. */
export const prefixed = (op: number): Uint16Array | undefined =>
  op === 0xfd ? PREFIX_FD : op === 0xfc ? PREFIX_FC : op === 0xfe ? PREFIX_FE : undefined;

/** Reads a memarg and gives its offset. One that names a memory is refused: there is one memory, the space. */
export function memargOffset(c: Cursor): number {
  if (c.u32() >= 32) c.fail('a memory access names a memory');
  return c.u64();
}

const VALUE_TYPES: readonly number[] = [0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f, 0x69];

const NULL_TYPES: readonly number[] = [0x70, 0x6f, 0x69];

/** Reads a value type: a number, v128, funcref, externref or exnref. */
export function valueType(c: Cursor): number {
  const type = c.u8();
  if (!VALUE_TYPES.includes(type)) c.fail(`unknown value type 0x${type.toString(16)}`, c.pos - 1);
  return type;
}

/** What `blockType` gives for no result, and for one; all else is the index of a type. */
export const NO_RESULT: number = -1;
export const ONE_RESULT: number = -2;

/**
 * Reads a block type. Only those value types that rewritten modules use: others have more bytes of their own, which V8
 * would read and this would take for instructions.
 */
export function blockType(c: Cursor): number {
  const at = c.pos;
  const first = c.u8();
  if (first === 0x40) return NO_RESULT;
  if (VALUE_TYPES.includes(first)) return ONE_RESULT;
  c.pos = at;
  const index = c.s33();
  if (index < 0) c.fail('unknown block type', at);
  return index;
}

/** Reads the heap type of a null: funcref's, externref's or exnref's, for the same reason. */
export function nullType(c: Cursor): void {
  const at = c.pos;
  if (!NULL_TYPES.includes(c.s33() + 0x80)) c.fail('unknown heap type', at);
}

/** Steps over the type list of a typed select. */
export function selectType(c: Cursor): void {
  if (c.u32() !== 1) c.fail('a select of more than one value');
  valueType(c);
}

/** Steps over the immediates of an instruction with a table entry. */
export function skipImmediate(c: Cursor, entry: number): void {
  switch (immediate(entry)) {
    case IMM_MEMARG:
      memargOffset(c);
      return;
    case IMM_MEMARG_LANE:
      memargOffset(c);
      c.u8();
      return;
    case IMM_LANE:
      c.u8();
      return;
    case IMM_16:
      c.skip(16);
      return;
  }
}

// What follows an instruction that has no entry above.
const NOTHING = 1;
const INDEX = 2;
const TWO_INDICES = 3;
const SIGNED = 4; // i32.const
const SIGNED_64 = 5;
const FLOAT = 6;
const DOUBLE = 7;
const BR_TABLE = 8;
const SELECT = 9;
const TRY_TABLE = 10;
const BLOCK_TYPE = 11;
const NULL_TYPE = 12;

const OTHERS = table(256, [
  [0x00, 0x01, NOTHING], // unreachable, nop
  [0x02, 0x04, BLOCK_TYPE], // block, loop, if
  [0x05, 0x05, NOTHING], // else
  [0x08, 0x08, INDEX], // throw
  [0x0a, 0x0b, NOTHING], // throw_ref, end
  [0x0c, 0x0d, INDEX], // br, br_if
  [0x0e, 0x0e, BR_TABLE],
  [0x0f, 0x0f, NOTHING], // return
  [0x10, 0x10, INDEX], // call
  [0x11, 0x11, TWO_INDICES], // call_indirect
  [0x12, 0x12, INDEX], // return_call
  [0x13, 0x13, TWO_INDICES], // return_call_indirect
  [0x1a, 0x1b, NOTHING], // drop, select
  [0x1c, 0x1c, SELECT],
  [0x1f, 0x1f, TRY_TABLE],
  [0x20, 0x26, INDEX], // locals, globals, table.get and set
  [0x41, 0x41, SIGNED],
  [0x42, 0x42, SIGNED_64],
  [0x43, 0x43, FLOAT],
  [0x44, 0x44, DOUBLE],
  [0xd0, 0xd0, NULL_TYPE], // ref.null
  [0xd2, 0xd2, INDEX], // ref.func
]);

/**
 * Steps over one instruction without looking at what it does: for code that cannot be reached. Gives its first byte.
 * What it does not know it refuses, as the pass does.
 */
export function skipInstruction(c: Cursor): number {
  const at = c.pos;
  const op = c.u8();
  if (PLAIN[op] !== 0) {
    skipImmediate(c, PLAIN[op]!);
  } else if (OTHERS[op] !== 0) {
    skipOther(c, OTHERS[op]!);
  } else {
    const table = prefixed(op);
    if (table === undefined) throw new MalformedError(`unknown instruction 0x${op.toString(16)}`, at);
    skipPrefixed(c, op, table);
  }
  return op;
}

function skipOther(c: Cursor, what: number): void {
  switch (what) {
    case INDEX:
      c.u32();
      return;
    case TWO_INDICES:
      c.u32();
      c.u32();
      return;
    case SIGNED:
      c.i32();
      return;
    case BLOCK_TYPE:
      blockType(c);
      return;
    case NULL_TYPE:
      return nullType(c);
    case SIGNED_64:
      c.s64();
      return;
    case FLOAT:
      c.skip(4);
      return;
    case DOUBLE:
      c.skip(8);
      return;
    case BR_TABLE:
      for (let n = c.count(); n >= 0; n--) c.u32();
      return;
    case SELECT:
      selectType(c);
      return;
    case TRY_TABLE:
      blockType(c);
      for (let n = c.count(); n > 0; n--) {
        if (c.u8() < 2) c.u32();
        c.u32();
      }
  }
}

function skipPrefixed(c: Cursor, prefix: number, entries: Uint16Array): void {
  const at = c.pos - 1;
  const code = c.u32();
  const known = entries[code];
  if (known) return skipImmediate(c, known);
  if (prefix === 0xfc) {
    if (code === 8 || code === 10 || code === 12 || code === 14) {
      c.u32();
      c.u32();
      return;
    }
    if (code === 9 || code === 11 || (code >= 13 && code <= 17)) {
      c.u32();
      return;
    }
  }
  if (prefix === 0xfe && code < 3) return skipImmediate(c, LOAD(8));
  if (prefix === 0xfe && code === 3) {
    c.u8();
    return;
  }
  throw new MalformedError(`unknown instruction 0x${prefix.toString(16)} ${code}`, at);
}
