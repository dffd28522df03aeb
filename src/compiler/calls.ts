/**
 * Safepoints: polls, calls and waits, with the handlers that save a frame when the unwind exception comes by; and tail
 * calls, which have no frame.
 *
 * Why: RATIONALE.md#the-poll-reads-one-word-at-a-constant-address
 */
import { KIND_BEFORE, KIND_CALLING } from '../abi/frame.ts';
import { RESUME_MODE_OFFSET } from '../abi/layout.ts';
import { SYSTEM } from '../abi/system.ts';
import { OP } from '../wasm/opcodes.ts';
import { EMPTY_BLOCK, type FuncType, I32, I64 } from '../wasm/types.ts';
import type { FlatBody } from './body.ts';
import { QUIET } from './body.ts';
import { blockTypeOf, type Emitter } from './emitter.ts';
import { emitLoadResults, emitPoll, type FrameShape } from './frames.ts';
import { addressType } from './memory.ts';
import { emitAtomicAddress, emitGrow } from './memoryops.ts';
import { emitOwnAtomicAddress } from './own.ts';
import type { FunctionState } from './state.ts';

/**
 * Asks whether to unwind at a site; then saves its frame and leaves.
 * @param armed a local that is 0 where the poll is to pass this once; -1 for none
 */
export function poll(f: FunctionState, site: number, shape: FrameShape, armed = -1): void {
  const { e } = f;
  e.facts.safepoint();
  const label = f.handlers.lead(e, site, shape);
  emitPoll(e);
  if (armed >= 0) {
    e.get(armed);
    e.op(OP.i32_and);
    e.i32(-1);
    e.set(armed);
  }
  e.branch(OP.br_if, label);
}

/** Saves the frame of a site, whose operands are in their slots, and leaves. */
export function leave(f: FunctionState, site: number): void {
  const { e } = f;
  e.branch(OP.br, f.handlers.lead(e, site, f.shapes[site]!));
}

/**
 * Begins what may unwind (its operands are on the stack). The operands below its own, or with KIND_BEFORE all, are in
 * their slots when the handler looks. `args`: how many are its own; `block`: type of a block that takes them and gives the
 * results. What follows is written, then closed.
 */
function guard(f: FunctionState, i: number, kind: number, args: number, block: number): void {
  const { e } = f;
  const site = f.body.site[i]!;
  const offset = f.body.start[i]!;
  const kept = kind === KIND_BEFORE ? e.height : e.height - args;
  e.spill(f.control.height, kept);
  e.openGuard(block, f.handlers.lead(e, site, f.shape(site, offset, kind, kept)));
  e.note(offset);
}

/**
 * In a continuation: the end of a call that was under way when the frame was saved. What it gave, or threw, is where
 * the kernel left it.
 */
export function returnedCall(f: FunctionState, i: number): void {
  const { e } = f;
  e.op(OP.global_get, e.plan.hdrGlobal);
  e.systemAccess(OP.i32_load, RESUME_MODE_OFFSET);
  e.open(OP.if, EMPTY_BLOCK);
  e.call(SYSTEM.rethrow);
  e.op(OP.unreachable);
  e.close();
  const { results } = calleeType(f, i).type;
  emitLoadResults(e, results);
  e.pushAll(results);
}

/** The type of the function a call instruction calls, and its operands: an indirect one takes the table's index too. */
function calleeType(f: FunctionState, i: number): { type: FuncType; args: number } {
  const { plan } = f.e;
  const op = f.body.op[i]!;
  const direct = op === OP.call || op === OP.return_call;
  const type = direct ? plan.functionType(f.body.a[i]!) : plan.types[f.body.a[i]!]!;
  return { type, args: type.params.length + (direct ? 0 : 1) };
}

function emitCallOp(f: FunctionState, op: number, i: number): void {
  const { e, body } = f;
  if (op === OP.call || op === OP.return_call) return e.call(e.plan.functionIndex(body.a[i]!), op);
  e.facts.called();
  e.w.u8(op);
  e.w.u32(body.a[i]!);
  e.w.u32(body.b[i]!);
}

/** call and call_indirect. */
export function call(f: FunctionState, i: number, op: number): void {
  const { e, body } = f;
  const { type, args } = calleeType(f, i);
  if (body.site[i] === 0) emitCallOp(f, op, i);
  else {
    const index = op === OP.call_indirect ? e.types[e.height - 1]! : 0;
    guard(f, i, KIND_CALLING, args, e.plan.callBlock(type, index));
    emitCallOp(f, op, i);
    e.close();
  }
  if (args > 0) e.pop(args);
  e.pushAll(type.results);
  if ((body.flags[i]! & QUIET) === 0) f.reload(i);
}

/** return_call and return_call_indirect, whose frames are nobody's to save. */
export function returnCall(f: FunctionState, i: number, op: number): void {
  const { e } = f;
  const { args } = calleeType(f, i);
  emitCallOp(f, op, i);
  if (args > 0) e.pop(args);
}

/** The memory's index and the checked or own address of a wait or notify, instead of the address on the stack. */
function atomicAddress(e: Emitter, body: FlatBody, i: number): void {
  if (e.plan.options.isolate) emitAtomicAddress(e, body, i);
  else emitOwnAtomicAddress(e, body, i);
}

/** memory.atomic.wait: the kernel's, and a safepoint at which the instruction is begun again. */
export function wait(f: FunctionState, i: number, op: number): void {
  const { e, body } = f;
  const block = { params: e.operands(e.height - 3), results: [I32] };
  const guarded = body.site[i]! > 0;
  if (guarded) guard(f, i, KIND_BEFORE, 3, blockTypeOf(e, block));
  emitWait(f, i, op === OP.memory_atomic_wait32 ? 4 : 8);
  if (guarded) e.close();
  e.pop(3);
  e.push(I32);
  f.reload(i);
}

/** Takes address, expected value (of `width` bytes) and timeout off the stack and waits. */
function emitWait({ e, body }: FunctionState, i: number, width: number): void {
  const timeout = e.scratch(I64, 9);
  const expected = e.scratch(I64, 10);
  e.set(timeout);
  if (width === 4) e.op(OP.i64_extend_i32_u);
  e.set(expected);
  atomicAddress(e, body, i);
  if (!e.plan.memories[body.a[i]!]!.shared) {
    e.note(body.start[i]!, 'expected shared memory');
    e.op(OP.unreachable);
    return;
  }
  e.get(expected);
  e.get(timeout);
  e.i32(width);
  e.call(SYSTEM.wait);
}

/** memory.grow: the kernel's; begun again when the memory had to be moved for it, for which the code must be gone. */
export function grow(f: FunctionState, i: number): void {
  const { e, body } = f;
  const memory = body.a[i]!;
  const result = addressType(e, memory);
  const block = { params: [result], results: [result] };
  const guarded = body.site[i]! > 0;
  if (guarded) guard(f, i, KIND_BEFORE, 1, blockTypeOf(e, block));
  emitGrow(e, memory);
  if (guarded) e.close();
  e.pop();
  e.push(result);
  f.reload(i);
}

/** memory.atomic.notify: the kernel's. */
export function notify(f: FunctionState, i: number): void {
  const { e } = f;
  const count = e.scratch(I32, 9);
  e.set(count);
  atomicAddress(e, f.body, i);
  e.get(count);
  e.call(SYSTEM.notify);
  e.pop(2);
  e.push(I32);
  f.reload(i);
}
