/**
 * Reading and making saved call frames (abi/frame.ts) against what their modules say their shape is. A frame stack may
 * hold anything: a program can push what it likes, an imported archive even more. Everything is checked against the
 * bounds and the layout; what does not fit is null, never an assertion.
 */
import {
  type FrameTrailer,
  frameBytes,
  indexOf,
  isFrameVersion,
  KIND_BEFORE,
  KIND_CALLING,
  maskWordsFor,
  moduleOf,
  readTrailer,
  TRAILER_BYTES,
  writeTrailer,
} from '../abi/frame.ts';
import { assert } from '../base/assert.ts';
import { MODULE_MAX_BYTES } from '../base/limits.ts';
import type { Space } from '../space/index.ts';
import type { FrameLayout, ProgramInfo, ValueType } from './program.ts';

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export const FUNCREF = 0x70;
export const EXTERNREF = 0x6f;
export const EXNREF = 0x69;

/** A value as its bits: `high` is 0 but for v128. */
export interface RawValue {
  type: ValueType;
  low: bigint;
  high: bigint;
}

/** What is known of the modules of a domain, by number: 0 is the program. Null where there is none. */
export type Infos = (module: number) => ProgramInfo | null;

export interface FrameHead {
  /** The module whose function it is of, and the function's index there. */
  readonly module: number;
  readonly info: ProgramInfo;
  readonly functionIndex: number;
  /** Where the frame begins. */
  start: number;
  /** Where its masks begin: past its values. */
  masks: number;
  trailer: FrameTrailer;
  layout: FrameLayout;
  /** Locals among the values that this compiler's code does not expect, ascending: see `trimFrame`. */
  extra: readonly number[];
}

/** What the kernel remembers of a program's frames. */
interface Shapes {
  /** Layouts by function, offset and kind in one number. */
  layouts: Map<number, FrameLayout>;
  /** Words of 8 bytes that an exception takes, its tag included. */
  exceptionSlots: number;
}
/** Past the largest offset in a program. */
const OFFSET_END = MODULE_MAX_BYTES;
const shapesOf = new WeakMap<ProgramInfo, Shapes>();

function shapes(info: ProgramInfo): Shapes {
  let known = shapesOf.get(info);
  if (known === undefined) {
    let most = 0;
    for (let tag = 0; ; tag++) {
      const params = info.tagParams(tag);
      if (params === null) break;
      most = Math.max(
        most,
        params.reduce((sum, type) => sum + (type === V128 ? 2 : 1), 0),
      );
    }
    known = { layouts: new Map(), exceptionSlots: most + 1 };
    shapesOf.set(info, known);
  }
  return known;
}

/** `info.frameLayout`, asked once for each place. */
function layoutAt(
  info: ProgramInfo,
  functionIndex: number,
  offset: number,
  kind: number,
): FrameLayout | null {
  if (offset >= OFFSET_END) return null;
  const { layouts } = shapes(info);
  const key = functionIndex * (2 * OFFSET_END) + offset * 2 + kind;
  const known = layouts.get(key);
  if (known !== undefined) return known;
  const layout = info.frameLayout(functionIndex, offset, kind);
  // Forged frames may name any place: only those that exist are remembered.
  if (layout !== null) layouts.set(key, layout);
  return layout;
}

const slotsOf = (type: ValueType, exceptionSlots: number): number =>
  type === V128 ? 2 : type === EXNREF ? exceptionSlots : 1;

const ZERO = { low: 0n, high: 0n };
const NULL = { low: 0xffffffffn, high: 0n };
/** What a local begins with that is no parameter. */
const initial = (type: ValueType): typeof ZERO =>
  type === FUNCREF || type === EXTERNREF || type === EXNREF ? NULL : ZERO;

/** The frame that ends at `end`, on a stack that begins at `base`; null where there is none that fits its module. */
export function readFrame(space: Space, infos: Infos, base: number, end: number): FrameHead | null {
  if (end - TRAILER_BYTES < base) return null;
  const { view } = space;
  const trailer = readTrailer(view, end);
  const { kind } = trailer;
  if (!isFrameVersion(trailer.version) || (kind !== KIND_BEFORE && kind !== KIND_CALLING)) return null;
  const start = end - frameBytes(trailer);
  const module = moduleOf(trailer.functionNumber);
  const info = infos(module);
  const functionIndex = indexOf(trailer.functionNumber);
  if (info === null || functionIndex >= info.functionCount || start < base) return null;
  const layout = layoutAt(info, functionIndex, trailer.instructionOffset, kind);
  if (layout === null || layout.operands.length !== trailer.operands) return null;
  if (trailer.maskWords !== maskWordsFor(layout.locals.length)) return null;
  const masks = end - TRAILER_BYTES - 8 * trailer.maskWords;
  // The code that resumes needs the locals that live there. More may have been kept, by another compiler.
  let slots = 0;
  let next = 0;
  const extra: number[] = [];
  const { exceptionSlots } = shapes(info);
  for (let word = 0; word < trailer.maskWords * 2; word++) {
    let want = 0;
    for (; next < layout.live.length && (layout.live[next] as number) < 32 * (word + 1); next++) {
      const local = layout.live[next] as number;
      want |= 1 << (local & 31);
      slots += slotsOf(layout.locals[local] as ValueType, exceptionSlots);
    }
    const mask = view.getInt32(masks + 4 * word, true);
    if ((mask & want) !== want) return null;
    for (let rest = mask & ~want; rest !== 0; rest &= rest - 1) {
      const local = 32 * word + 31 - Math.clz32(rest & -rest);
      if (local >= layout.locals.length) return null;
      slots += slotsOf(layout.locals[local] as ValueType, exceptionSlots);
      extra.push(local);
    }
  }
  for (const type of layout.operands) slots += slotsOf(type, exceptionSlots);
  return slots === trailer.slots
    ? { module, info, functionIndex, start, masks, trailer, layout, extra }
    : null;
}

/**
 * Drops from the innermost frame the locals that this compiler's code does not expect, so that it can be resumed.
 * Gives the frame as it is now; the stack ends where its trailer does.
 */
export function trimFrame(space: Space, infos: Infos, base: number, frame: FrameHead): FrameHead {
  const { exceptionSlots } = shapes(frame.info);
  const { layout, trailer } = frame;
  const drop = new Set(frame.extra);
  const kept: Uint8Array[] = [];
  let at = frame.start;
  const take = (type: ValueType, keep: boolean): void => {
    const bytes = 8 * slotsOf(type, exceptionSlots);
    if (keep) kept.push(space.readBytes(at, bytes));
    at += bytes;
  };
  for (const local of savedLocals(frame)) take(layout.locals[local] as ValueType, !drop.has(local));
  for (const type of layout.operands) take(type, true);
  const slots = kept.reduce((sum, bytes) => sum + bytes.length / 8, 0);
  const rest = new Uint8Array(8 * trailer.maskWords + TRAILER_BYTES);
  for (const local of layout.live) {
    const byte = local >> 3;
    rest[byte] = (rest[byte] as number) | (1 << (local & 7));
  }
  writeTrailer(rest, 8 * trailer.maskWords, { ...trailer, slots });
  at = frame.start;
  for (const bytes of [...kept, rest]) {
    space.writeBytes(at, bytes);
    at += bytes.length;
  }
  const trimmed = readFrame(space, infos, base, at);
  assert(trimmed !== null && trimmed.extra.length === 0, 'a trimmed frame is what the code expects');
  return trimmed;
}

/** The locals among a frame's values, ascending. */
function savedLocals({ layout, extra }: FrameHead): readonly number[] {
  return extra.length === 0 ? layout.live : [...layout.live, ...extra].sort((a, b) => a - b);
}

/** Values of a frame that was read from the same place. A local that is dead there is null. */
export function readFrameValues(
  space: Space,
  frame: FrameHead,
): { locals: (RawValue | null)[]; operands: RawValue[] } {
  const { exceptionSlots } = shapes(frame.info);
  const { layout } = frame;
  let at = frame.start;
  const next = (type: ValueType): RawValue => {
    const end = at + 8 * slotsOf(type, exceptionSlots);
    // Of an exception its tag is told, which lies at the end.
    const low = space.view.getBigUint64(type === EXNREF ? end - 8 : at, true);
    const high = type === V128 ? space.view.getBigUint64(at + 8, true) : 0n;
    at = end;
    return { type, low, high };
  };
  const locals: (RawValue | null)[] = layout.locals.map(() => null);
  for (const local of savedLocals(frame)) locals[local] = next(layout.locals[local] as ValueType);
  return { locals, operands: layout.operands.map(next) };
}

/** Whether every frame in [base, end) fits its module. */
export function framesAreWhole(space: Space, infos: Infos, base: number, end: number): boolean {
  while (end > base) {
    const frame = readFrame(space, infos, base, end);
    if (frame === null) return false;
    end = frame.start;
  }
  return true;
}

/**
 * The frame that starts a function of the program: before its first instruction, with those of its parameters that live there.
 * @param args one for each parameter, of its type
 */
export function entryFrame(
  info: ProgramInfo,
  functionIndex: number,
  args: readonly RawValue[],
): Uint8Array<ArrayBuffer> | null {
  const offset = info.firstInstruction(functionIndex);
  const layout = layoutAt(info, functionIndex, offset, KIND_BEFORE);
  if (layout === null || layout.operands.length > 0) return null;
  const { exceptionSlots } = shapes(info);
  const maskWords = maskWordsFor(layout.locals.length);
  let slots = 0;
  for (const local of layout.live) slots += slotsOf(layout.locals[local] as ValueType, exceptionSlots);
  const bytes = new Uint8Array(8 * (slots + maskWords) + TRAILER_BYTES);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const local of layout.live) {
    const type = layout.locals[local] as ValueType;
    const { low, high } = args[local] ?? initial(type);
    const end = at + 8 * slotsOf(type, exceptionSlots);
    view.setBigUint64(type === EXNREF ? end - 8 : at, low, true);
    if (type === V128) view.setBigUint64(at + 8, high, true);
    const byte = 8 * slots + 8 * (local >> 6) + ((local & 63) >> 3);
    bytes[byte] = (bytes[byte] as number) | (1 << (local & 7));
    at = end;
  }
  const place = { functionNumber: functionIndex, instructionOffset: offset, kind: KIND_BEFORE, operands: 0 };
  writeTrailer(bytes, bytes.length - TRAILER_BYTES, { ...place, maskWords, slots });
  return bytes;
}
