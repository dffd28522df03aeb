/**
 * The functions that every rewritten module carries with exactly these bodies: the only code that touches memory at
 * addresses nobody proved. They are few, they check for themselves, and the verifier accepts them by comparing bytes,
 * so what is argued here once holds for every program.
 *
 * Soundness, for all of them: `hdr`, base and limit globals are written by the kernel alone; the control page is
 * written by the kernel and by these bodies alone (the verifier keeps all other code at or above STATE_OFFSET).
 *
 * - push_*: [stackPointer, stackPointer + size) lies below stackLimit when the store is made, and the kernel keeps
 *   stackBase ≤ stackPointer ≤ stackLimit, so the bytes written are the domain's own frame stack.
 * - the frame template: as push_*, with a size that is a u32, so that the sum cannot wrap.
 * - pop_*: reads [stackPointer - size, stackPointer) only after that was found to begin at or above stackBase.
 * - fill, copy, init: the whole range is found to lie below the limit of its memory, or in a window, before anything is
 *   written; the marks written are those of the range's pages.
 * - window: gives near + delta only where the entry for [near + low, + bytes) says that this is mapped with the right asked for
 *   and its epoch is the space's, so that what it says is true; or what the kernel's `window` gives, less `low`. Entry, epoch
 *   and the words that tell where the table lies are the kernel's, and no code but this reads them. The count is compared
 *   before the entry is read; sums of hostile arguments may wrap, and what is compared and added is the same number.
 *
 * Why: RATIONALE.md#functions-with-fixed-bodies
 */
import { pushSigned, pushUnsigned } from '../base/leb.ts';
import { FRAME_SHIFT, PAGE_SHIFT, WINDOW_BASE } from '../base/limits.ts';
import { CONTROL, EPOCH_ADDRESS, MARKS_ADDRESS, WINDOW } from './layout.ts';
import { SYSTEM } from './system.ts';

const I32 = 0x7f;
const I64 = 0x7e;
const F32 = 0x7d;
const F64 = 0x7c;
const V128 = 0x7b;

/** A function with a fixed body. `body` is a whole code entry without its size: local declarations and expression. */
export interface TemplateFunction {
  readonly params: readonly number[];
  readonly results: readonly number[];
  readonly body: Uint8Array;
}

/** One memory of the program as the templates see it. */
export interface TemplateMemory {
  readonly is64: boolean;
  /** Global that holds the address where its data begins, less `offset`. */
  readonly baseGlobal: number;
  readonly limitGlobal: number;
  /** The control bytes H for memory 0, else 0. */
  readonly offset: number;
  /** Index of the window template for reading, behind which that for writing stands; -1 for a memory without windows. */
  readonly windows: number;
}

/** The prelude, in the order in which its functions stand; PRELUDE[name] is the place of one. */
export const PRELUDE_ORDER = [
  'push_i32',
  'push_i32_x2',
  'push_i32_x4',
  'push_i64',
  'push_f32',
  'push_f64',
  'push_v128',
  'pop_i32',
  'pop_i64',
  'pop_f32',
  'pop_f64',
  'pop_v128',
] as const;
export type PreludeName = (typeof PRELUDE_ORDER)[number];

const TYPES: Readonly<Record<string, number>> = { i32: I32, i64: I64, f32: F32, f64: F64, v128: V128 };

// The few opcodes used here, by their names in the specification.
const IF = [0x04, 0x40];
const LOOP = [0x03, 0x40];
const END = 0x0b;
const UNREACHABLE = 0x00;
const RETURN = 0x0f;
const I64_EQ = 0x51;
const I64_GT_U = 0x56;
const I64_LE_U = 0x58;
const I64_MUL = 0x7e;
const I64_LT_U = 0x54;
const I64_ADD = 0x7c;
const I64_SUB = 0x7d;
const I64_SHR_U = 0x88;
const I32_OR = 0x72;
const EXTEND_U = 0xad;
const WRAP = 0xa7;
const I32_REINTERPRET_F32 = 0xbc;
const F32_REINTERPRET_I32 = 0xbe;

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const tee = (local: number): number[] => [0x22, local];
function op(code: number, index: number): number[] {
  const out = [code];
  pushUnsigned(out, index);
  return out;
}
const globalGet = (index: number): number[] => op(0x23, index);
const call = (index: number): number[] => op(0x10, index);
function const64(value: number): number[] {
  const out = [0x42];
  pushSigned(out, value);
  return out;
}
/** A memory access with alignment 1 (2^0) at a constant offset. `space`: the index of the space's memory. */
function access(code: readonly number[], offset: number, space = 0): number[] {
  const out = space === 0 ? [...code, 0] : [...code, 0x40, space];
  pushUnsigned(out, offset);
  return out;
}
const LOAD64 = [0x29];
const STORE64 = [0x37];

function template(params: readonly number[], results: readonly number[], code: number[]): TemplateFunction {
  return { params, results, body: Uint8Array.from([...code, END]) };
}

function storeOf(type: string, space: number, at: number): number[] {
  switch (type) {
    case 'i32':
      return [EXTEND_U, ...access(STORE64, at, space)];
    case 'f32':
      return [I32_REINTERPRET_F32, EXTEND_U, ...access(STORE64, at, space)];
    case 'i64':
      return access(STORE64, at, space);
    case 'f64':
      return access([0x39], at, space);
    default:
      return access([0xfd, 0x0b], at, space);
  }
}

function loadOf(type: string, space: number): number[] {
  switch (type) {
    case 'i32':
      return [...access(LOAD64, 0, space), WRAP];
    case 'f32':
      return [...access(LOAD64, 0, space), WRAP, F32_REINTERPRET_I32];
    case 'i64':
      return access(LOAD64, 0, space);
    case 'f64':
      return access([0x2b], 0, space);
    default:
      return access([0xfd, 0x00], 0, space);
  }
}

/** Leaves the stack pointer in local `sp`, once [sp, sp + size) has room; `size` is code that gives an i64. */
function makeRoom(hdr: number, space: number, sp: number, size: number[]): number[] {
  return [
    ...LOOP,
    ...[...globalGet(hdr), ...access(LOAD64, CONTROL.stackPointer, space), ...tee(sp)],
    ...[...size, I64_ADD],
    ...[...globalGet(hdr), ...access(LOAD64, CONTROL.stackLimit, space), I64_GT_U],
    ...[...IF, ...call(SYSTEM.stack), 0x0c, 1, END],
    END,
  ];
}

/** The stack pointer moves past what was written at local `sp`. */
function advance(hdr: number, space: number, sp: number, size: number[]): number[] {
  return [
    ...[...globalGet(hdr), ...get(sp), ...size, I64_ADD],
    ...access(STORE64, CONTROL.stackPointer, space),
  ];
}

/** Pushes `count` values of one type, the first one lowest. */
function push(type: string, count: number, hdr: number, space: number): TemplateFunction {
  const size = const64((type === 'v128' ? 16 : 8) * count);
  const sp = count;
  const stores: number[] = [];
  for (let i = 0; i < count; i++) stores.push(...get(sp), ...get(i), ...storeOf(type, space, 8 * i));
  return template(
    new Array<number>(count).fill(TYPES[type] as number),
    [],
    [...[1, 1, I64], ...makeRoom(hdr, space, sp, size), ...stores, ...advance(hdr, space, sp, size)],
  );
}

function pop(type: string, hdr: number, space: number): TemplateFunction {
  const size = type === 'v128' ? 16 : 8;
  return template(
    [],
    [TYPES[type] as number],
    [
      ...[1, 1, I64], // one local: the stack pointer, moved down
      ...[
        ...globalGet(hdr),
        ...access(LOAD64, CONTROL.stackPointer, space),
        ...const64(size),
        I64_SUB,
        ...tee(0),
      ],
      ...[...globalGet(hdr), ...access(LOAD64, CONTROL.stackBase, space), I64_LT_U],
      ...[...IF, UNREACHABLE, END],
      ...[...globalGet(hdr), ...get(0), ...access(STORE64, CONTROL.stackPointer, space)],
      ...[...get(0), ...loadOf(type, space)],
    ],
  );
}

/**
 * The prelude for a module whose `hdr` global has this index. `space` is 0 in every module that is run; others (compiled
 * without isolation, to measure) have the space behind their own memories.
 */
export function preludeFunctions(hdr: number, space = 0): TemplateFunction[] {
  return PRELUDE_ORDER.map((name) => {
    const [, kind, type, count] = /^(push|pop)_([a-z0-9]+?)(?:_x(\d))?$/.exec(name) as unknown as string[];
    return kind === 'push'
      ? push(type as string, Number(count ?? 1), hdr, space)
      : pop(type as string, hdr, space);
  });
}

const addressType = (memory: TemplateMemory): number => (memory.is64 ? I64 : I32);
/** local `to` (i64) := parameter `from`, widened. */
const widen = (from: number, is64: boolean, to: number): number[] => [
  ...get(from),
  ...(is64 ? [] : [EXTEND_U]),
  ...set(to),
];

/**
 * Leaves the global address of [at, at + n) in `at`; traps unless that lies below the limit, or in a window that may be
 * read, or written as well.
 */
function toGlobal(memory: TemplateMemory, at: number, n: number, writes: boolean): number[] {
  const { windows, baseGlobal, limitGlobal, offset } = memory;
  const outside = windows < 0 ? [UNREACHABLE] : inWindow(windows + (writes ? 1 : 0), at, n);
  return [
    ...[...get(n), ...globalGet(limitGlobal), I64_GT_U],
    ...[...get(at), ...globalGet(limitGlobal), ...get(n), I64_SUB, I64_GT_U],
    ...[I32_OR, 0x04, I64, ...outside, 0x05],
    ...[...get(at), ...globalGet(baseGlobal), I64_ADD, ...const64(offset), I64_ADD],
    ...[END, ...set(at)],
  ];
}
function inWindow(template: number, at: number, n: number): number[] {
  return [...get(at), ...const64(0), ...get(n), ...call(template)];
}

/**
 * The window templates take (near, low, bytes). 0 and 1 give the global address p of `near`, such that [p + low, + bytes) may be
 * read, or written as well; 2 and 3 only tell, as an i32, whether the table says so, and nothing rests on what they say.
 */
export function windowTemplate(hdr: number, which: number): TemplateFunction {
  const [near, low, bytes, at, entry, end] = [0, 1, 2, 3, 4, 5] as const;
  const [writes, asks] = [which & 1, which > 1];
  const word = (local: number, offset: number): number[] => [...get(local), ...access(LOAD64, offset)];
  const ofControl = (offset: number): number[] => [...globalGet(hdr), ...access(LOAD64, offset)];
  const found = asks ? [0x41, 1] : [...get(near), ...word(entry, WINDOW.delta), I64_ADD];
  const otherwise = asks
    ? [0x41, 0]
    : [...get(at), ...get(bytes), 0x41, writes, ...call(SYSTEM.window), ...get(low), I64_SUB];
  return template(
    [I64, I64, I64],
    [asks ? I32 : I64],
    [
      ...[1, 3, I64],
      ...[...get(near), ...get(low), I64_ADD, ...tee(at)],
      ...[...const64(WINDOW_BASE), I64_SUB, ...const64(FRAME_SHIFT), I64_SHR_U, ...tee(entry)],
      ...[...ofControl(CONTROL.windowCount), I64_LT_U, ...IF],
      ...[
        ...get(entry),
        ...const64(WINDOW.bytes),
        I64_MUL,
        ...ofControl(CONTROL.windows),
        I64_ADD,
        ...set(entry),
      ],
      ...[...word(entry, WINDOW.epoch), ...const64(0), ...access(LOAD64, EPOCH_ADDRESS), I64_EQ, ...IF],
      // bytes ≤ end, so that the difference is none that wrapped
      ...[
        ...get(bytes),
        ...word(entry, writes ? WINDOW.writeEnd : WINDOW.readEnd),
        ...tee(end),
        I64_LE_U,
        ...IF,
      ],
      ...[...get(at), ...get(end), ...get(bytes), I64_SUB, I64_LE_U, ...IF],
      ...[...found, RETURN],
      ...[END, END, END, END],
      ...otherwise,
    ],
  );
}
/** Marks the pages of [at, at + n), a global range, when it is not empty. */
function markRange(at: number, n: number): number[] {
  const page = [...get(at), ...const64(PAGE_SHIFT), I64_SHR_U];
  const last = [...get(at), ...get(n), I64_ADD, ...const64(1), I64_SUB, ...const64(PAGE_SHIFT), I64_SHR_U];
  return [
    ...[...get(n), 0x50, 0x45, ...IF], // i64.eqz, i32.eqz: n is not zero
    ...[...page, ...const64(MARKS_ADDRESS), I64_ADD, 0x41, 1],
    ...[...last, ...page, I64_SUB, ...const64(1), I64_ADD],
    ...[0xfc, 11, 0], // memory.fill
    END,
  ];
}

/** memory.fill on one memory of the program: (address, value, count). */
export function fillTemplate(memory: TemplateMemory): TemplateFunction {
  const [d, n] = [3, 4];
  return template(
    [addressType(memory), I32, addressType(memory)],
    [],
    [
      ...[1, 2, I64],
      ...[...widen(0, memory.is64, d), ...widen(2, memory.is64, n)],
      ...[...toGlobal(memory, d, n, true), ...markRange(d, n)],
      ...[...get(d), ...get(1), ...get(n), 0xfc, 11, 0],
    ],
  );
}

/** memory.copy between two memories of the program, which may be the same: (to, from, count). */
export function copyTemplate(to: TemplateMemory, from: TemplateMemory): TemplateFunction {
  const count64 = to.is64 && from.is64;
  const [d, s, n] = [3, 4, 5];
  return template(
    [addressType(to), addressType(from), count64 ? I64 : I32],
    [],
    [
      ...[1, 3, I64],
      ...[...widen(0, to.is64, d), ...widen(1, from.is64, s), ...widen(2, count64, n)],
      ...[...toGlobal(to, d, n, true), ...toGlobal(from, s, n, false), ...markRange(d, n)],
      ...[...get(d), ...get(s), ...get(n), 0xfc, 10, 0, 0],
    ],
  );
}

/** memory.init from data segment `segment`: (to, from, count). The segment's own bounds are V8's to check. */
export function initTemplate(memory: TemplateMemory, segment: number): TemplateFunction {
  const [d, n] = [3, 4];
  return template(
    [addressType(memory), I32, I32],
    [],
    [
      ...[1, 2, I64],
      ...[...widen(0, memory.is64, d), ...widen(2, false, n)],
      ...[...toGlobal(memory, d, n, true), ...markRange(d, n)],
      ...[...get(d), ...get(1), ...get(2), 0xfc, ...op(8, segment), 0],
    ],
  );
}

/**
 * The constant end of saved frames, masks and trailer, from data segment `segment`: (offset in it, bytes). Writes only
 * where room was made; V8 checks the segment's own bounds.
 */
export function frameTemplate(hdr: number, segment: number, space = 0): TemplateFunction {
  const sp = 2;
  const size = [...get(1), EXTEND_U];
  return template(
    [I32, I32],
    [],
    [
      ...[1, 1, I64],
      ...makeRoom(hdr, space, sp, size),
      ...[...get(sp), ...get(0), ...get(1), 0xfc, ...op(8, segment), space],
      ...advance(hdr, space, sp, size),
    ],
  );
}
