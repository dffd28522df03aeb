/**
 * Finding out whether pages are zero, and making them so: a few instructions of WebAssembly over the space, because
 * JavaScript looks at shared memory several times slower than vectors do, and this is most of what ending a domain costs.
 */
import { assert } from '../base/assert.ts';
import { pushUnsigned } from '../base/leb.ts';
import { PAGE_BYTES, SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../base/limits.ts';

export interface Wiper {
  /** Zeroes the pages in [at, end) that are not; both are multiples of PAGE_BYTES. Pages that are stay untouched. */
  wipe(at: bigint, end: bigint): void;
  /** Whether the page at this address is zero. */
  isZero(at: bigint): number;
}

function leb(value: number): number[] {
  const out: number[] = [];
  pushUnsigned(out, value);
  return out;
}
const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content];
const body = (content: number[]): number[] => [...leb(content.length), ...content];

const I32 = 0x7f;
const I64 = 0x7e;
const V128 = 0x7b;
const EMPTY = 0x40;
const END = 0x0b;
/** i64.const PAGE_BYTES, signed LEB of two bytes: the sign bit of the second is clear. */
const PAGE = [0x42, 0x80, 0x20];
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const ADD = 0x7c;
const LESS = 0x54;
const OR = [0xfd, 0x50];
const ANY = [0xfd, 0x53];
const NO_VECTOR = [0xfd, 0x0c, ...new Array<number>(16).fill(0)];
const load = (offset: number): number[] => [0xfd, 0x00, 4, offset];

/** acc := or of all vectors of the page at local 0. Locals: `p` i64, `acc` v128. */
const scan = (p: number, acc: number): number[] => [
  ...[...get(0), ...set(p), ...NO_VECTOR, ...set(acc)],
  ...[0x03, EMPTY, ...get(acc)],
  ...[0, 16, 32, 48].flatMap((offset) => [...get(p), ...load(offset), ...OR]),
  ...set(acc),
  ...[...get(p), 0x42, 0xc0, 0x00, ADD, 0x22, p, ...get(0), ...PAGE, ADD, LESS, 0x0d, 0, END], // p += 64; again
];

let compiled: WebAssembly.Module | null = null;

function compile(): WebAssembly.Module {
  const memory = [3 | 4, ...leb(SPACE_MIN_FRAMES), ...leb(SPACE_MAX_FRAMES)]; // shared, 64-bit, with a maximum
  // while at < end: scan; if any: memory.fill(at, 0, page); at += page
  const wipe = [
    ...[2, 1, I64, 1, V128],
    ...[0x02, EMPTY, 0x03, EMPTY, ...get(0), ...get(1), LESS, 0x45, 0x0d, 1],
    ...scan(2, 3),
    ...[...get(3), ...ANY, 0x04, EMPTY, ...get(0), 0x41, 0, ...PAGE, 0xfc, 11, 0, END],
    ...[...get(0), ...PAGE, ADD, ...set(0), 0x0c, 0, END, END, END],
  ];
  const isZero = [2, 1, I64, 1, V128, ...scan(1, 2), ...get(2), ...ANY, 0x45, END];
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(1, [2, 0x60, 2, I64, I64, 0, 0x60, 1, I64, 1, I32]),
      ...section(2, [1, 1, 0x73, 1, 0x6d, 2, ...memory]), // "s" "m"
      ...section(3, [2, 0, 1]),
      ...section(7, [2, 1, 0x77, 0, 0, 1, 0x7a, 0, 1]), // "w", "z"
      ...section(10, [2, ...body(wipe), ...body(isZero)]),
    ]),
  );
}

/** For the space with this memory. */
export function makeWiper(memory: WebAssembly.Memory): Wiper {
  assert(PAGE_BYTES === 4096, 'the page size is built into the code');
  compiled ??= compile();
  const { exports } = new WebAssembly.Instance(compiled, { s: { m: memory } });
  return { wipe: exports.w as Wiper['wipe'], isZero: exports.z as Wiper['isZero'] };
}
