/**
 * Saving and restoring call frames (abi/frame.ts), and the polls that ask for it.
 *
 * Why: RATIONALE.md#unwinding-by-exception
 */

import {
  FRAME_COUNT_MAX,
  functionNumber,
  KIND_BEFORE,
  KIND_CALLING,
  maskWordsFor,
  TRAILER_BYTES,
  writeTrailer,
} from '../abi/frame.ts';
import { FLAG_ADDRESS, RESULTS_OFFSET, VALUE_BYTES } from '../abi/layout.ts';
import { SYSTEM } from '../abi/system.ts';
import { assert, unreachable } from '../base/assert.ts';
import { UnsupportedError } from '../base/errors.ts';
import { MODULE_MAX_BYTES } from '../base/limits.ts';
import { emitI64Const, emitIndex } from '../wasm/emit.ts';
import { OP } from '../wasm/opcodes.ts';
import {
  EMPTY_BLOCK,
  EXNREF,
  EXTERNREF,
  F32,
  F64,
  FUNCREF,
  I32,
  I64,
  isRefType,
  V128,
  type ValueType,
} from '../wasm/types.ts';
import type { Emitter } from './emitter.ts';

/** What a frame holds at one place of one function: the live locals, and the operands by type. */
export interface FrameShape {
  /** Function index and instruction offset, of the module. */
  functionIndex: number;
  offset: number;
  /** KIND_BEFORE or KIND_CALLING. */
  kind: number;
  /** Live locals, ascending. */
  locals: readonly number[];
  /** Types of the operands kept, from the bottom. */
  operands: readonly ValueType[];
}

/** Pushes the value on the stack to the frame stack. */
function emitPush(e: Emitter, type: ValueType): void {
  const { plan } = e;
  switch (type) {
    case I32:
      return e.call(plan.prelude('push_i32'));
    case I64:
      return e.call(plan.prelude('push_i64'));
    case F32:
      return e.call(plan.prelude('push_f32'));
    case F64:
      return e.call(plan.prelude('push_f64'));
    case V128:
      return e.call(plan.prelude('push_v128'));
    case FUNCREF:
      e.call(SYSTEM.refIndex);
      return e.call(plan.prelude('push_i32'));
    case EXTERNREF:
      e.call(SYSTEM.externId);
      return e.call(plan.prelude('push_i32'));
    case EXNREF:
      return e.call(e.plan.helpers.saveExn);
    default:
      return unreachable('no other value types get past the decoder');
  }
}

/** Pops a value from the frame stack onto the stack. */
function emitPop(e: Emitter, type: ValueType): void {
  const { plan } = e;
  switch (type) {
    case I32:
      return e.call(plan.prelude('pop_i32'));
    case I64:
      return e.call(plan.prelude('pop_i64'));
    case F32:
      return e.call(plan.prelude('pop_f32'));
    case F64:
      return e.call(plan.prelude('pop_f64'));
    case V128:
      return e.call(plan.prelude('pop_v128'));
    case FUNCREF:
      e.call(plan.prelude('pop_i32'));
      return e.call(SYSTEM.refOf);
    case EXTERNREF:
      e.call(plan.prelude('pop_i32'));
      return e.call(SYSTEM.externOf);
    case EXNREF:
      return e.call(e.plan.helpers.loadExn);
    default:
      return unreachable('no other value types get past the decoder');
  }
}

/** Saves a frame of a function of a rewritten module from the locals and the slots of the operands. */
export function emitSave(e: Emitter, shape: FrameShape, localTypes: ArrayLike<ValueType>): void {
  emitValues(e, shape, localTypes);
  emitFrameEnd(e, [shape], -1, localTypes);
}

/**
 * The values of a frame, from the locals and the slots of the operands.
 * @param localTypes of the whole function
 */
export function emitValues(e: Emitter, shape: FrameShape, localTypes: ArrayLike<ValueType>): void {
  const { locals, operands } = shape;
  e.saves++;
  const count = locals.length + operands.length;
  const typeOf = (i: number): ValueType =>
    i < locals.length ? localTypes[locals[i]!]! : operands[i - locals.length]!;
  for (let i = 0; i < count; ) {
    let run = 0;
    while (run < 4 && i + run < count && typeOf(i + run) === I32) run++;
    const pushed = run === 4 ? 4 : run >= 2 ? 2 : 1; // where a push for several of them exists
    for (const next = i + pushed; i < next; i++) {
      const slot = i - locals.length;
      e.get(slot < 0 ? locals[i]! : e.slot(slot, operands[slot]!));
    }
    if (pushed === 1) emitPush(e, typeOf(i - 1));
    else e.call(e.plan.prelude(pushed === 4 ? 'push_i32_x4' : 'push_i32_x2'));
  }
}

/** Bytes of the masks and trailer of each frame of a function. */
const frameEndBytes = (localTypes: ArrayLike<ValueType>): number =>
  maskWordsFor(localTypes.length) * 8 + TRAILER_BYTES;

/**
 * Masks and trailer, all of whose bytes are constants: copied from the segment that holds those of all frames.
 * @param shapes all frames it may be
 * @param which the i32 local that tells which of them, where they are several
 */
export function emitFrameEnd(
  e: Emitter,
  shapes: readonly FrameShape[],
  which: number,
  localTypes: ArrayLike<ValueType>,
): void {
  const at = e.frameEnds.length;
  for (const shape of shapes) writeFrameEnd(e, shape, localTypes);
  const size = frameEndBytes(localTypes);
  if (shapes.length > 1) {
    e.get(which);
    e.i32(size);
    e.op(OP.i32_mul);
  }
  e.w.u8(OP.i32_const);
  e.endPlace(at);
  if (shapes.length > 1) e.op(OP.i32_add);
  e.i32(size);
  e.call(e.plan.frameTemplate);
}

/**
 * The same in a resume module, which has no segments: they are pushed.
 * @param which the i32 local that holds the `placeNumber` of the frame, which is like `shape` otherwise; -1 for `shape`
 */
export function emitPlacedEnd(
  e: Emitter,
  shape: FrameShape,
  which: number,
  localTypes: ArrayLike<ValueType>,
): void {
  const size = frameEndBytes(localTypes);
  writeFrameEnd(e, shape, localTypes);
  const words = new DataView(e.frameEnds.bytes.buffer, e.frameEnds.length - size, size);
  for (let word = 0; word < size; word += 8) {
    const value = words.getBigInt64(word, true);
    if (which < 0 || word < size - TRAILER_BYTES) emitI64(e, value);
    else if (word < size - TRAILER_BYTES / 2) emitPlaced(e, which, OP.i32_shr_u, OFFSET_SHIFT, value);
    else emitPlaced(e, which, OP.i32_and, KIND_SHIFT, value);
    e.call(e.plan.prelude('push_i64'));
  }
  e.frameEnds.clear();
}

function writeFrameEnd(e: Emitter, shape: FrameShape, localTypes: ArrayLike<ValueType>): void {
  const { functionIndex, offset: instructionOffset, kind, locals, operands } = shape;
  const masks = maskWordsFor(localTypes.length);
  let slots = 0;
  for (let i = 0; i < locals.length; i++) slots += slotsOf(e, localTypes[locals[i]!]!);
  for (let i = 0; i < operands.length; i++) slots += slotsOf(e, operands[i]!);
  if (Math.max(slots, operands.length) > FRAME_COUNT_MAX) {
    throw new UnsupportedError(
      `function ${functionIndex} keeps too many values alive at once`,
      instructionOffset,
    );
  }
  const at = e.frameEnds.length;
  const bytes = e.frameEnds.zeros(masks * 8 + TRAILER_BYTES);
  for (let i = 0; i < locals.length; i++) bytes[at + (locals[i]! >>> 3)]! |= 1 << (locals[i]! & 7);
  writeTrailer(bytes, at + masks * 8, {
    functionNumber: functionNumber(e.plan.moduleNumber, functionIndex),
    instructionOffset,
    kind,
    operands: operands.length,
    maskWords: masks,
    slots,
  });
}

/** Offset and kind of a frame in one number. */
export const placeNumber = ({ offset, kind }: FrameShape): number => (offset << 1) | kind;
assert(MODULE_MAX_BYTES < 2 ** 30 && KIND_BEFORE < 2 && KIND_CALLING < 2, 'they fit in an i32');
/** Bits below the offset in the first word of a trailer, and below the kind in the second; above the offset there is nothing. */
const OFFSET_SHIFT = 32n;
const KIND_SHIFT = 8n;

/** Leaves a word of a trailer on the stack, with offset or kind from a `placeNumber`: `which`, by `op` 1. */
function emitPlaced(e: Emitter, which: number, op: number, shift: bigint, word: bigint): void {
  e.get(which);
  e.i32(1);
  e.op(op);
  e.op(OP.i64_extend_i32_u);
  emitI64(e, shift);
  e.op(OP.i64_shl);
  const replaced = shift === KIND_SHIFT ? 0xffn << KIND_SHIFT : 0xffffffffn << OFFSET_SHIFT;
  emitI64(e, BigInt.asIntN(64, BigInt.asUintN(64, word) & ~replaced));
  e.op(OP.i64_or);
}

function emitI64(e: Emitter, value: bigint): void {
  e.w.u8(OP.i64_const);
  e.w.s64(value);
}

/** Slots of 8 bytes that a value of this type takes in a frame. */
function slotsOf(e: Emitter, type: ValueType): number {
  return type === V128 ? 2 : type === EXNREF ? exnSlots(e) : 1;
}

/** Slots of an exnref: its tag, and room for the largest arguments. */
export function exnSlots(e: Emitter): number {
  const { plan } = e;
  const sizes = plan.tags.map((tag) => argumentSlots(plan.types[tag.type]!.params));
  return 1 + Math.max(0, ...sizes);
}

/** Slots of an exception's arguments. */
export function argumentSlots(params: readonly ValueType[]): number {
  return params.reduce((sum, type) => sum + (type === V128 ? 2 : 1), 0);
}

/** Restores a frame's values (trailer and masks are gone already) into the locals and the operands' slots. */
export function emitRestore(e: Emitter, shape: FrameShape, localTypes: ArrayLike<ValueType>): void {
  for (let h = shape.operands.length - 1; h >= 0; h--) {
    const type = shape.operands[h]!;
    emitPop(e, type);
    e.set(e.slot(h, type));
  }
  for (let i = shape.locals.length - 1; i >= 0; i--) {
    const local = shape.locals[i]!;
    emitPop(e, localTypes[local]!);
    e.set(local);
  }
}

/** Leaves the safepoint word on the stack. */
export function emitPoll(e: Emitter): void {
  emitI64Const(e.w, 0);
  e.spaceAccess(OP.i32_load, 2, FLAG_ADDRESS);
}

const STORES = new Map([
  [I32, OP.i32_store],
  [I64, OP.i64_store],
  [F32, OP.f32_store],
  [F64, OP.f64_store],
  [V128, OP.v128_store],
]);
const LOADS = new Map([
  [I32, OP.i32_load],
  [I64, OP.i64_load],
  [F32, OP.f32_load],
  [F64, OP.f64_load],
  [V128, OP.v128_load],
]);

/** Moves the values on the stack, of these types, to the result area. */
export function emitStoreResults(e: Emitter, results: readonly ValueType[]): void {
  for (let i = results.length - 1; i >= 0; i--) {
    const type = results[i]!;
    if (isRefType(type)) {
      emitIndex(e.w, OP.global_set, hidden(e, type, i));
      continue;
    }
    const local = e.scratch(type);
    e.set(local);
    e.op(OP.global_get, e.plan.hdrGlobal);
    e.get(local);
    e.systemAccess(STORES.get(type)!, RESULTS_OFFSET + i * VALUE_BYTES);
  }
}

/** Leaves the values of the result area on the stack. */
export function emitLoadResults(e: Emitter, results: readonly ValueType[]): void {
  results.forEach((type, i) => {
    if (isRefType(type)) {
      emitIndex(e.w, OP.global_get, hidden(e, type, i));
      return;
    }
    e.op(OP.global_get, e.plan.hdrGlobal);
    e.systemAccess(LOADS.get(type)!, RESULTS_OFFSET + i * VALUE_BYTES);
  });
}

function hidden(e: Emitter, type: ValueType, i: number): number {
  return e.plan.hiddenGlobals.get(`${type}:${i}`) ?? unreachable('the plan counted all results');
}

/** State-zone store and load of one saved global; the value is in `local` for the store. */
export function emitGlobalSave(e: Emitter, index: number, type: ValueType, offset: number): void {
  const kept = isRefType(type) ? I32 : type;
  const local = e.scratch(kept);
  e.op(OP.global_get, index);
  if (type === FUNCREF) e.call(SYSTEM.refIndex);
  if (type === EXTERNREF) e.call(SYSTEM.externId);
  e.set(local);
  e.op(OP.global_get, e.plan.hdrGlobal);
  e.get(local);
  e.systemAccess(STORES.get(kept)!, offset);
}

export function emitGlobalRestore(e: Emitter, index: number, type: ValueType, offset: number): void {
  e.op(OP.global_get, e.plan.hdrGlobal);
  e.systemAccess(LOADS.get(isRefType(type) ? I32 : type)!, offset);
  if (type === FUNCREF) e.call(SYSTEM.refOf);
  if (type === EXTERNREF) e.call(SYSTEM.externOf);
  e.op(OP.global_set, index);
}

/** Runs `body` when the i32 at a state-zone offset is not zero. */
export function emitIfFlag(e: Emitter, offset: number, body: () => void): void {
  e.op(OP.global_get, e.plan.hdrGlobal);
  e.systemAccess(OP.i32_load, offset);
  e.open(OP.if, EMPTY_BLOCK);
  body();
  e.close();
}

/** Sets the i32 at a state-zone offset to 1. */
export function emitSetFlag(e: Emitter, offset: number): void {
  e.op(OP.global_get, e.plan.hdrGlobal);
  e.w.u8(OP.i32_const);
  e.w.s32(1);
  e.systemAccess(OP.i32_store, offset);
}
