/**
 * Accesses of programs with windows: near addresses of memory 0 from WINDOW_BASE up may be mapped segments. For an access of
 * `size` bytes at near address x with the constant offset o:
 *
 *     e := x widened to 64 bits
 *     p := if e + o + size > limit then window(e, o, size) else base + e      the template traps where nothing is mapped
 *     access at p, offset o
 *
 * Later accesses off the same pointer take p as long as no kernel code may have run: until the next call, and the next loop's
 * head. Then the same is asked again. All else, what is known of own memory without a check and loops in two versions, is as
 * without windows.
 *
 * Why: RATIONALE.md#windows
 */
import { FIRST_FREE_ADDRESS } from '../abi/layout.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../base/limits.ts';
import { emitI64Const } from '../wasm/emit.ts';
import { OP } from '../wasm/opcodes.ts';
import { OP_ACCESS_BYTES, OP_WRITES } from '../wasm/optable.ts';
import { EMPTY_BLOCK, I64 } from '../wasm/types.ts';
import { type FlatBody, isCall } from './body.ts';
import type { Emitter } from './emitter.ts';
import type { Anchor } from './facts.ts';
import { emitIsPast, emitMark, endBehind, lastOfRun, type Place, REACH_MAX } from './memory.ts';
import type { FunctionState } from './state.ts';

/** The block type of what leaves an i64. */
const GIVES_I64 = I64 - 128;

/** Whether accesses to this memory are written here. */
export const hasWindows = (e: Emitter, memory: number): boolean => e.plan.windows && memory === 0;

/** How far the address of an access lies behind an anchor's that covers it all, or -1. */
export function coveredAt(anchor: Anchor | undefined, place: Place, writes: boolean): number {
  if (anchor === undefined || (writes && !anchor.writes)) return -1;
  const distance = (place.constant - anchor.constant) | 0;
  // Behind the anchor and inside: so the sum did not wrap.
  const inside =
    distance >= 0 && distance + place.offset >= anchor.low && distance + place.end <= anchor.known;
  return inside ? distance : -1;
}

/** Calls a window template: near address, distance and bytes are on the stack. */
function callWindow(e: Emitter, which: number): void {
  const { links, plan } = e;
  const index = plan.template('window', which, 0);
  e.op(OP.call, links === null ? index : links.of(index)); // not `call`: what is known of windows stays known
}

function windowArguments(e: Emitter, near: number, low: number, bytes: number): void {
  e.get(near);
  emitI64Const(e.w, low);
  emitI64Const(e.w, bytes);
}

/**
 * Takes a near address off the stack, leaves the global address p for which [p + low, p + end) may be touched there.
 * `near`: an i64 local to keep it in.
 */
function emitTranslated(e: Emitter, near: number, low: number, end: number, writes: boolean): void {
  e.tee(near);
  emitIsPast(e, 0, end);
  e.openUnlikely(GIVES_I64);
  windowArguments(e, near, low, end - low);
  callWindow(e, writes ? 1 : 0);
  e.w.u8(OP.else);
  e.get(near);
  e.get(e.role('base', 0));
  e.op(OP.i64_add);
  e.close();
}

/**
 * Marks the page of the store at entry i, `at` bytes behind p on the stack, of which bytes from `low` on may be touched. Leaves
 * the address for the access there; gives its offset.
 */
function emitMarkAt(
  f: FunctionState,
  i: number,
  anchor: Anchor | undefined,
  at: number,
  low: number,
): number {
  const { e, body, place } = f;
  const op = body.op[i]!;
  if (OP_WRITES[op] !== 1 || !e.plan.options.track) return at;
  if (anchor && e.facts.isMarked(anchor, at, OP_ACCESS_BYTES[op]!)) return at;
  const isFar = Math.floor(at / PAGE_BYTES) * PAGE_BYTES < low;
  if (isFar) {
    // What lies in whole pages from p may be another's.
    emitI64Const(e.w, at);
    e.op(OP.i64_add);
  }
  const page = emitMark(e, isFar ? 0 : at);
  if (anchor) e.facts.mark(0, place.term, isFar ? at : page);
  return isFar ? 0 : at;
}

/** An access that an anchor covers: leaves the global address on the stack, gives the offset. `distance`: of its address. */
export function emitCovered(f: FunctionState, i: number, anchor: Anchor, distance: number): number {
  f.e.get(anchor.local);
  return emitMarkAt(f, i, anchor, distance + f.place.offset, anchor.low);
}

/** Takes the program's address off the stack, leaves the global one there, translated and marked; gives the offset. */
export function emitWindowed(f: FunctionState, i: number): number {
  const { e, addresses, body, place } = f;
  const { term, constant, offset } = place;
  const writes = OP_WRITES[body.op[i]!] === 1;
  const near = e.scratch(I64, 1);
  e.op(OP.i64_extend_i32_u);
  if (offset > FIRST_FREE_ADDRESS) {
    // Less the offset the global address could be below 0.
    emitI64Const(e.w, offset);
    e.op(OP.i64_add);
    emitTranslated(e, near, 0, place.end - offset, writes);
    return emitMarkAt(f, i, undefined, 0, 0);
  }
  const [low, end] = reachOfRun(f, i);
  const kept = end <= REACH_MAX && addresses.uses[term]! > 1;
  emitTranslated(e, near, low, end, writes);
  if (kept) {
    const spare = e.facts.spareLocal();
    const local = spare >= 0 ? spare : e.newLocal(I64);
    e.tee(local);
    e.facts.learn(0, term, constant, end, local, low, writes);
  }
  return emitMarkAt(f, i, kept ? e.facts.find(0, term) : undefined, offset, low);
}

/**
 * Where the bytes lie that the access at entry i and those of its run (runs.ts) touch, from its address. All of them lie closer
 * together than two mappings, or a mapping and own memory, ever do: where they are not all in one, one of them traps.
 */
function reachOfRun(f: FunctionState, i: number): [low: number, end: number] {
  const { addresses, body, place } = f;
  const last = lastOfRun(f, i, 0);
  let low = place.offset;
  let { end } = place;
  for (let next = i; next !== last; ) {
    next = addresses.runs.further[next]!;
    const to = endBehind(f, i, next, 0);
    const from = Math.min(low, to - OP_ACCESS_BYTES[body.op[next]!]!);
    // A store may be the last of a run, and asks for more than the loads.
    if (OP_WRITES[body.op[next]!] === 1 || to - from > FRAME_BYTES) break;
    low = from;
    end = to;
  }
  return [low, end];
}

/**
 * Where [near + low, near + low + bytes) for a near address in a local is neither below the limit nor mapped as the table
 * tells, branches to `slow`; else leaves the global address of near + low. For loops in two versions.
 */
export function emitTried(
  e: Emitter,
  near: number,
  low: number,
  bytes: number,
  writes: boolean,
  slow: number,
): void {
  e.get(near);
  emitIsPast(e, 0, low + bytes);
  e.open(OP.if, GIVES_I64);
  windowArguments(e, near, low, bytes);
  callWindow(e, writes ? 3 : 2);
  e.op(OP.i32_eqz);
  e.branch(OP.br_if, slow);
  windowArguments(e, near, low, bytes);
  callWindow(e, writes ? 1 : 0);
  e.w.u8(OP.else);
  e.get(near);
  e.get(e.role('base', 0));
  e.op(OP.i64_add);
  e.close();
  if (low === 0) return;
  emitI64Const(e.w, low);
  e.op(OP.i64_add);
}

/** For wait and notify: traps where [near + offset, + size) for a near address in a local is neither below the limit nor mapped. */
export function emitAsked(e: Emitter, near: number, offset: number, size: number): void {
  e.get(near);
  emitIsPast(e, 0, offset + size);
  e.open(OP.if, EMPTY_BLOCK);
  windowArguments(e, near, offset, size);
  callWindow(e, 0);
  e.op(OP.drop);
  e.close();
}

/** True where no code of entries [from, to) calls anything: addresses of windows are kept over all of them. */
export function callsNothing(body: FlatBody, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (isCall(body.op[i]!) || CALLING.has(body.op[i]!)) return false;
  return true;
}

/** Instructions for which a function of the system or a template is called. */
const CALLING: ReadonlySet<number> = new Set([
  ...[OP.memory_fill, OP.memory_copy, OP.memory_init, OP.memory_grow, OP.data_drop, OP.elem_drop],
  ...[OP.table_init, OP.table_set, OP.table_get, OP.table_fill, OP.table_copy, OP.table_grow, OP.ref_func],
  ...[OP.memory_atomic_wait32, OP.memory_atomic_wait64, OP.memory_atomic_notify],
]);
