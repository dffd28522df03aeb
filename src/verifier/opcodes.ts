/**
 * What the verifier knows of each instruction whose effect on the operand stack is fixed: how many operands it takes
 * and gives, what follows it, and how many bytes of memory it touches. Written from the specification and not from
 * wasm/optable.ts; a test holds it against V8's own validation. What is in no table here is for the pass to know, or is
 * refused: control flow, calls, what names a local, reads a global or is an integer constant.
 *
 * An entry is one number: bits 0-1 operands taken, bit 2 a result is given, bits 3-6 what follows, bits 7-11 bytes of
 * memory touched (0: none), bits 13-14 what an integer result is at most (`most`; 0: anything). 0 means: no entry.
 * The address of a memory access is always the deepest operand it takes.
 */
import type { Cursor } from './cursor.ts';

// What follows an instruction.
const NOTHING = 0;
export const MEMARG = 1;
export const MEMARG_LANE = 2;
/** Bytes: so many, by the kind. */
export const BYTE = 3;
export const BYTES_4 = 4;
export const BYTES_8 = 5;
export const BYTES_16 = 6;
export const FIXED_BYTES: readonly number[] = [0, 0, 0, 1, 4, 8, 16];
/** Of a data or element segment that is dropped: any. */
export const SEGMENT = 7;
/** Of a global that is written; of a function that is referred to. */
export const GLOBAL = 8;
export const FUNCTION = 9;
/** Of a table that is read; of one that may be written, alone, behind another and behind a segment. */
export const TABLE_READ = 10;
export const TABLE = 11;
export const TABLE_TABLE = 12;
export const SEGMENT_TABLE = 13;
/** Of a null: its heap type. Of a select: its value types. */
export const HEAP_TYPE = 14;
export const VALUE_TYPE_LIST = 15;

/** Marks an entry as present where all other bits would be zero. */
const PRESENT = 1 << 12;
/** Entries from here up have a bound. */
export const BOUNDED: number = 1 << 13;
const MOST: readonly number[] = [Infinity, 1, 0xff, 0xffff];

export const takes = (entry: number): number => entry & 3;
export const gives = (entry: number): number => (entry >> 2) & 1;
export const follows = (entry: number): number => (entry >> 3) & 15;
export const touches = (entry: number): number => (entry >> 7) & 31;
/** What touches memory and takes more than an address writes, unless it loads a lane. */
export const writes = (entry: number): boolean =>
  takes(entry) > 1 && (gives(entry) === 0 || follows(entry) === MEMARG);
export const most = (entry: number): number => MOST[entry >> 13]!;

const entry = (takes: number, gives: number, follows = NOTHING, bytes = 0, most = 0): number =>
  takes | (gives << 2) | (follows << 3) | (bytes << 7) | PRESENT | (most << 13);
const load = (bytes: number, most = 0): number => entry(1, 1, MEMARG, bytes, most);
const store = (bytes: number): number => entry(2, 0, MEMARG, bytes);
/** An atomic exchange or the like; a compare-and-exchange takes three. */
const exchange = (bytes: number, takes = 2): number => entry(takes, 1, MEMARG, bytes);
const loadLane = (bytes: number): number => entry(2, 1, MEMARG_LANE, bytes);
const storeLane = (bytes: number): number => entry(2, 0, MEMARG_LANE, bytes);
const UNARY = entry(1, 1);
const BINARY = entry(2, 1);
const TERNARY = entry(3, 1);
/** Results of 0 or 1. */
const TEST = entry(1, 1, NOTHING, 0, 1);
const COMPARISON = entry(2, 1, NOTHING, 0, 1);

/** Entries and their codes: hexadecimal numbers, and ranges with both ends included. */
function table(size: number, lines: readonly (readonly [entry: number, codes: string])[]): Uint16Array {
  const out = new Uint16Array(size);
  for (const [value, codes] of lines) {
    for (const range of codes.split(' ')) {
      const [first, last = first] = range.split('-').map((code) => Number.parseInt(code, 16));
      out.fill(value, first, last! + 1);
    }
  }
  return out;
}

/** Instructions of one byte. */
export const PLAIN = table(256, [
  [entry(0, 0), '01'], // nop
  [entry(1, 0), '1a'], // drop
  [TERNARY, '1b'], // select
  [entry(3, 1, VALUE_TYPE_LIST), '1c'],
  [entry(1, 0, GLOBAL), '24'],
  [entry(1, 1, TABLE_READ), '25'],
  [entry(2, 0, TABLE), '26'],
  [load(1), '2c 30'], // signed; unsigned ones of one and two bytes have bounds
  [load(1, 2), '2d 31'],
  [load(2), '2e 32'],
  [load(2, 3), '2f 33'],
  [load(4), '28 2a 34 35'],
  [load(8), '29 2b'],
  [store(1), '3a 3c'],
  [store(2), '3b 3d'],
  [store(4), '36 38 3e'],
  [store(8), '37 39'],
  [entry(0, 1, BYTES_4), '43'], // f32.const
  [entry(0, 1, BYTES_8), '44'],
  [TEST, '45 50'],
  [COMPARISON, '46-4f 51-66'],
  [UNARY, '67-69 79-7b 8b-91 99-9f a7-c4 d1'],
  [BINARY, '6a-78 7c-8a 92-98 a0-a6'],
  [entry(0, 1, HEAP_TYPE), 'd0'], // ref.null
  [entry(0, 1, FUNCTION), 'd2'], // ref.func
]);

/** Behind 0xfc. Those that touch memory are for the templates. */
const PREFIX_FC = table(32, [
  [UNARY, '00-07'],
  [entry(0, 0, SEGMENT), '09 0d'], // data.drop, elem.drop
  [entry(3, 0, SEGMENT_TABLE), '0c'], // table.init
  [entry(3, 0, TABLE_TABLE), '0e'], // table.copy
  [entry(2, 1, TABLE), '0f'], // table.grow
  [entry(0, 1, TABLE), '10'], // table.size
  [entry(3, 0, TABLE), '11'], // table.fill
]);

/** Behind 0xfd: vectors, relaxed ones included. */
const PREFIX_FD = table(288, [
  [load(16), '00'],
  [load(8), '01-06 0a 5d'],
  [load(1), '07'],
  [load(2), '08'],
  [load(4), '09 5c'],
  [store(16), '0b'],
  [entry(0, 1, BYTES_16), '0c'], // v128.const
  [entry(2, 1, BYTES_16), '0d'], // i8x16.shuffle
  [entry(1, 1, BYTE), '15-16 18-19 1b 1d 1f 21'], // extract_lane
  [entry(2, 1, BYTE), '17 1a 1c 1e 20 22'], // replace_lane
  ...[1, 2, 4, 8].map((bytes, i) => [loadLane(bytes), `5${4 + i}`] as const),
  ...[1, 2, 4, 8].map((bytes, i) => [storeLane(bytes), `5${(8 + i).toString(16)}`] as const),
  [UNARY, '0f-14 4d 53 5e-64 67-6a 74-75 7a 7c-81 83-84 87-8a 94 a0-a1 a3-a4 a7-aa c0-c1 c3-c4 c7-ca'],
  [UNARY, 'e0-e1 e3 ec-ed ef f8-ff 101-104'],
  [BINARY, '0e 23-4c 4e-51 65-66 6b-73 76-79 7b 82 85-86 8b-93 95-99 9b-9f ab-ae b1 b5-ba bc-bf cb-ce'],
  [BINARY, 'd1 d5-df e4-eb f0-f7 100 10d-112'],
  [TERNARY, '52 105-10c 113'],
]);

/** Behind 0xfe: atomics. wait and notify are the system's. */
const PREFIX_FE = table(80, [
  [entry(0, 0, BYTE), '03'], // atomic.fence
  [load(1), '12 14'],
  [load(2), '13 15'],
  [load(4), '10 16'],
  [load(8), '11'],
  [store(1), '19 1b'],
  [store(2), '1a 1c'],
  [store(4), '17 1d'],
  [store(8), '18'],
  [exchange(1), '20 22 27 29 2e 30 35 37 3c 3e 43 45'],
  [exchange(2), '21 23 28 2a 2f 31 36 38 3d 3f 44 46'],
  [exchange(4), '1e 24-25 2b-2c 32-33 39-3a 40-41 47'],
  [exchange(8), '1f 26 2d 34 3b 42'],
  [exchange(1, 3), '4a 4c'],
  [exchange(2, 3), '4b 4d'],
  [exchange(4, 3), '48 4e'],
  [exchange(8, 3), '49'],
]);

/** The table behind each prefix. */
export const PREFIXED: Readonly<Record<number, Uint16Array>> = {
  252: PREFIX_FC,
  253: PREFIX_FD,
  254: PREFIX_FE,
};

/** Reads a memarg and gives its offset. One that names a memory is refused: there is one memory, the space. */
export function memargOffset(c: Cursor): number {
  if (c.u32() >= 32) c.fail('a memory access names a memory');
  return c.u64();
}

// Only those types that rewritten modules use, each of one byte: others have bytes of their own behind them, which V8 would
// read and this would take for instructions.
const VALUE_TYPES: readonly number[] = [0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f, 0x69];
const HEAP_TYPES: readonly number[] = [0x70, 0x6f, 0x69];

/** Reads a value type: a number, v128, funcref, externref or exnref. */
export function valueType(c: Cursor): number {
  const type = c.u8();
  if (!VALUE_TYPES.includes(type)) c.fail(`unknown value type 0x${type.toString(16)}`, c.pos - 1);
  return type;
}

/** Reads the heap type of a null. */
export function heapType(c: Cursor): void {
  const at = c.pos;
  if (!HEAP_TYPES.includes(c.s33() + 0x80)) c.fail('unknown heap type', at);
}

/** What `blockType` gives for no result, and for one; all else is the index of a type. */
export const NO_RESULT: number = -1;
export const ONE_RESULT: number = -2;

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
