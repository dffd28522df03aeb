/**
 * The functions of a rewritten module that are not the program's: wrappers of its imports, init, save, restore, and
 * the helpers (helpers.ts).
 */
import { KIND_BEFORE } from '../abi/frame.ts';
import { RESULTS_OFFSET } from '../abi/layout.ts';
import { SYSTEM_IMPORTS } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { emitI64Const } from '../wasm/emit.ts';
import { CATCH, CATCH_REF } from '../wasm/instructions.ts';
import { OP } from '../wasm/opcodes.ts';
import { writeOp } from '../wasm/optable.ts';
import { EMPTY_BLOCK, EXNREF, F32, F64, FUNCREF, I32, I64, V128, type ValueType } from '../wasm/types.ts';
import { blockTypeOf, type Emitter } from './emitter.ts';
import {
  argumentSlots,
  emitGlobalRestore,
  emitGlobalSave,
  emitIfFlag,
  emitSave,
  exnSlots,
  type FrameShape,
} from './frames.ts';

import { helperTypes } from './helpers.ts';
import type { SegmentOp } from './scan.ts';

/**
 * The wrapper of an imported function: calls it, and when it unwinds saves a frame that says "in this call, with these
 * arguments". What a made module imports is the program's: it has frames of its own, and its wrapper none.
 */
export function emitWrapper(e: Emitter, index: number): void {
  const type = e.plan.functionType(index);
  e.begin(type.params, type.params.length);
  const call = (): void => {
    type.params.forEach((_, i) => e.get(i));
    e.op(OP.call, SYSTEM_IMPORTS.length + index);
  };
  if (!e.plan.options.suspend || e.plan.moduleNumber > 0) return call();
  const handler = e.open(OP.block, EMPTY_BLOCK);
  e.openGuard(blockTypeOf(e, { params: [], results: type.results }), handler);
  call();
  e.close();
  e.op(OP.return);
  e.close();
  emitSave(e, entryShape(index, type.params.length, 0), type.params);
  e.op(OP.throw, 0);
}

/** The frame of a function that has not begun: its parameters. */
export function entryShape(functionIndex: number, params: number, offset: number): FrameShape {
  const locals = Array.from({ length: params }, (_, i) => i);
  return { functionIndex, offset, kind: KIND_BEFORE, locals, operands: [] };
}

/** init: the active data segments, in order. */
export function emitInit(e: Emitter): void {
  e.begin([], 0);
  e.plan.module.datas.forEach((data, i) => {
    if (data.offset === undefined) return;
    const { source, start, end } = data.offset;
    e.w.rawRange(source, start, end - 1);
    e.w.u8(OP.i32_const);
    e.w.s32(0);
    e.w.u8(OP.i32_const);
    e.w.s32(data.end - data.start);
    if (e.plan.options.isolate) e.call(e.plan.template('init', data.memory, i));
    else emitOwnInit(e, data.memory, i);
    emitDrop(e, 9, i);
  });
}

/** memory.init of a memory of the program's own. Whoever calls `init` takes all pages for changed. */
function emitOwnInit(e: Emitter, memory: number, segment: number): void {
  e.w.u8(0xfc);
  e.w.u32(8);
  e.w.u32(segment);
  e.w.u32(memory);
}

/** save: the program's mutable globals into the state zone. */
export function emitSaveGlobals(e: Emitter): void {
  e.begin([], 0);
  for (const { index, type, offset } of e.plan.savedGlobals) emitGlobalSave(e, index, type, offset);
}

/** restore: globals from the state zone; segments dropped that were dropped. */
export function emitRestoreGlobals(e: Emitter): void {
  e.begin([], 0);
  const { plan } = e;
  for (const { index, type, offset } of plan.savedGlobals) {
    emitGlobalRestore(e, index, type, offset);
  }
  plan.module.datas.forEach((data, i) => {
    if (data.mode === 'active') emitDrop(e, 9, i);
    else emitIfFlag(e, plan.dataFlags + i * 16, () => emitDrop(e, 9, i));
  });
  plan.module.elements.forEach((element, i) => {
    if (element.mode !== 'passive') return;
    emitIfFlag(e, plan.elementFlags + i * 16, () => emitDrop(e, 13, i));
  });
  assert(plan.elementFlags >= RESULTS_OFFSET, 'flags lie in the state zone');
}

/** data.drop (9) or elem.drop (13). */
function emitDrop(e: Emitter, op: 9 | 13, index: number): void {
  e.w.u8(0xfc);
  e.w.u32(op);
  e.w.u32(index);
}

/** Most targets of one br_table. */
const FAN = 1024;

/**
 * (i32) -> funcref: the function of this module with this index, of those that code may call or hold a reference to;
 * traps for others. Two levels of br_table, since V8 limits the size of one.
 */
export function emitFunctionAt(e: Emitter): void {
  const { plan } = e;
  const { preludeStart: first, partsStart } = plan;
  const end = partsStart + 3 + helperTypes(plan).length;
  const callable = (index: number): boolean => index < partsStart || index >= partsStart + 3;
  const fan = (count: number, selector: () => void, arm: (i: number) => void): void => {
    for (let i = 0; i <= count; i++) e.open(OP.block, EMPTY_BLOCK);
    selector();
    e.w.u8(OP.br_table);
    e.w.u32(count);
    for (let i = 0; i <= count; i++) e.w.u32(i);
    for (let i = 0; i <= count; i++) {
      e.close();
      if (i < count) arm(i);
      else e.op(OP.unreachable);
    }
  };
  e.begin([I32], 1);
  const place = e.newLocal(I32);
  e.get(0);
  e.i32(first);
  e.op(OP.i32_sub);
  e.set(place);
  const shifted = (): void => {
    e.get(place);
    e.i32(Math.log2(FAN));
    e.op(OP.i32_shr_u);
  };
  fan(Math.ceil((end - first) / FAN), shifted, (hi) => {
    const low = (): void => {
      e.get(place);
      e.i32(FAN - 1);
      e.op(OP.i32_and);
    };
    fan(Math.min(FAN, end - first - hi * FAN), low, (lo) => {
      const index = first + hi * FAN + lo;
      if (!callable(index)) return e.op(OP.unreachable);
      e.op(OP.ref_func, index);
      e.op(OP.return);
    });
  });
}

/** An instruction on a segment of this module, with its operands as parameters. */
export function emitOnSegment(e: Emitter, { op, a, b }: SegmentOp, params: readonly ValueType[]): void {
  e.begin(params, params.length);
  params.forEach((_, i) => e.get(i));
  writeOp(e.w, op);
  e.w.u32(a);
  if (params.length > 0) e.w.u32(b);
}

/** (i32) -> funcref: the program's function with this index, null for a negative one. */
export function emitFunctionOf(e: Emitter): void {
  e.begin([I32], 1);
  e.get(0);
  e.w.u8(OP.i32_const);
  e.w.s32(0);
  e.op(OP.i32_lt_s);
  e.open(OP.if, FUNCREF - 128);
  e.w.u8(OP.ref_null);
  e.w.u8(FUNCREF);
  e.w.u8(OP.else);
  e.get(0);
  e.op(OP.table_get, e.plan.refsTable);
  e.close();
}

/** (exnref) -> (): pushes an exception's arguments and the index of its tag, -1 for null, on the frame stack. */
export function emitSaveExn(e: Emitter): void {
  const { plan } = e;
  e.begin([EXNREF], 1);
  const push = { i32: plan.prelude('push_i32') };
  const pushTag = (tag: number, used: number): void => {
    for (let i = used + 1; i < exnSlots(e); i++) {
      emitI64Const(e.w, 0);
      e.call(plan.prelude('push_i64'));
    }
    e.w.u8(OP.i32_const);
    e.w.s32(tag);
    e.call(push.i32);
  };
  e.get(0);
  e.op(OP.ref_is_null);
  e.open(OP.if, EMPTY_BLOCK);
  pushTag(-1, 0);
  e.op(OP.return);
  e.close();
  const tagTypes = plan.tags.map((tag) => plan.types[tag.type]!.params);
  // Labels nest outwards from tag 0, so that each end leaves one tag's arguments.
  const labels = tagTypes
    .map((params) => params)
    .toReversed()
    .map((params) => e.open(OP.block, blockTypeOf(e, { params: [], results: params })))
    .toReversed();
  e.w.u8(OP.try_table);
  e.w.s33(EMPTY_BLOCK);
  e.w.u32(labels.length);
  labels.forEach((label, tag) => {
    e.w.u8(CATCH);
    e.w.u32(tag + 1);
    e.w.u32(e.depth - label);
  });
  e.depth++;
  e.get(0);
  e.op(OP.throw_ref);
  e.close();
  e.op(OP.unreachable); // another's exception: none of them outlives a call
  tagTypes.forEach((params, tag) => {
    e.close();
    if (!canKeep(params)) return e.op(OP.unreachable);
    const locals = params.map((type) => e.newLocal(type));
    for (const local of locals.toReversed()) e.set(local);
    locals.forEach((local, i) => {
      e.get(local);
      pushValue(e, params[i]!);
    });
    pushTag(tag, argumentSlots(params));
    e.op(OP.return);
  });
}

/** By type, how a value in an exception is kept; references there cannot be. */
const KEPT: Readonly<Record<number, 'i32' | 'i64' | 'f32' | 'f64' | 'v128'>> = {
  [I32]: 'i32',
  [I64]: 'i64',
  [F32]: 'f32',
  [F64]: 'f64',
  [V128]: 'v128',
};
const canKeep = (types: readonly ValueType[]): boolean => types.every((type) => KEPT[type] !== undefined);

const pushValue = (e: Emitter, type: ValueType): void => e.call(e.plan.prelude(`push_${KEPT[type]!}`));
const popValue = (e: Emitter, type: ValueType): void => e.call(e.plan.prelude(`pop_${KEPT[type]!}`));

/** () -> exnref: the reverse of `emitSaveExn`, an exception with the same tag and arguments. */
export function emitLoadExn(e: Emitter): void {
  const { plan } = e;
  e.begin([], 0);
  const tagTypes = plan.tags.map((tag) => plan.types[tag.type]!.params);
  e.open(OP.block, EMPTY_BLOCK); // null
  for (let t = 0; t < tagTypes.length; t++) e.open(OP.block, EMPTY_BLOCK);
  e.call(plan.prelude('pop_i32'));
  e.w.u8(OP.br_table);
  e.w.u32(tagTypes.length);
  for (let t = 0; t < tagTypes.length; t++) e.w.u32(t);
  e.w.u32(tagTypes.length);
  const exception = e.newLocal(EXNREF);
  const popRest = (used: number): void => {
    for (let i = used + 1; i < exnSlots(e); i++) {
      e.call(plan.prelude('pop_i64'));
      e.op(OP.drop);
    }
  };
  tagTypes.forEach((params, tag) => {
    e.close();
    if (!canKeep(params)) return e.op(OP.unreachable);
    popRest(argumentSlots(params));
    const locals = params.map((type) => e.newLocal(type));
    for (let i = params.length - 1; i >= 0; i--) {
      popValue(e, params[i]!);
      e.set(locals[i]!);
    }
    e.open(OP.block, blockTypeOf(e, { params: [], results: [...params, EXNREF] }));
    e.w.u8(OP.try_table);
    e.w.s33(EMPTY_BLOCK);
    e.w.u32(1);
    e.w.u8(CATCH_REF);
    e.w.u32(tag + 1);
    e.w.u32(0);
    e.depth++;
    for (const local of locals) e.get(local);
    e.op(OP.throw, tag + 1);
    e.close();
    e.op(OP.unreachable);
    e.close();
    e.set(exception);
    for (let i = 0; i < params.length; i++) e.op(OP.drop);
    e.get(exception);
    e.op(OP.return);
  });
  e.close();
  popRest(0);
  e.w.u8(OP.ref_null);
  e.w.u8(EXNREF);
}
