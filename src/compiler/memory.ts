/**
 * isolate: memory accesses of the program, rewritten into the space. For an access of `size` bytes at near address x
 * with the constant offset o, and k = o + size:
 *
 *     e := x widened to 64 bits;  trap unless e + k ≤ limit;  access at base + e, offset o
 *
 * The trap is `unreachable`; the kernel knows from the original place that it was an access. With 64-bit addresses
 * e + k could wrap, so e ≤ limit is asked too; limits are far below 2^40, and a larger k always traps.
 *
 * track: a store first marks the page its pointer lies in (abi/layout.ts, MARK_SLOP_BYTES). The mark comes after the
 * check and before the store; nothing can come between them, so a checkpoint sees both or neither.
 *
 * Why: RATIONALE.md#base-and-limit-in-the-code
 */
import { MARKS_ADDRESS, STATE_OFFSET } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, MEMORY32_MAX_PAGES, PAGE_BYTES, PAGE_SHIFT } from '../base/limits.ts';
import { emitI64Const } from '../wasm/emit.ts';
import { OP, PREFIX_FC } from '../wasm/opcodes.ts';
import {
  ACCESS_LOAD_LANE,
  ACCESS_STORE_LANE,
  ADDRESS,
  OP_ACCESS,
  OP_ACCESS_BYTES,
  OP_POPS,
  OP_WRITES,
  writeOp,
} from '../wasm/optable.ts';
import { EMPTY_BLOCK, I32, I64, type ValueType } from '../wasm/types.ts';
import type { FlatBody } from './body.ts';
import type { Emitter } from './emitter.ts';
import type { Anchor } from './facts.ts';
import type { FunctionState } from './state.ts';
import { NOTHING } from './terms.ts';
import { coveredAt, emitCovered, emitWindowed, hasWindows } from './windows.ts';

/** An end of access at or past this traps wherever the limit is. */
export const K_ALWAYS_TRAPS = 2 ** 40;
/**
 * How far behind an anchor an access may end. Its address is the anchor's plus a constant, modulo 2^32; this and the
 * largest memory of 32-bit addresses together stay below 2^32, so for what is inside the sum does not wrap, and what
 * is not inside traps.
 */
export const REACH_MAX = 2 ** 30;
assert(REACH_MAX + MEMORY32_MAX_PAGES * FRAME_BYTES < 2 ** 32, 'no address behind an anchor wraps');

/** Why an access is inside: what a module compiled to count its accesses counts, in the order of its counters. */
export const PROOFS = ['check', 'anchor', 'minimum', 'loop'] as const;
const BY_CHECK = 0;
const BY_ANCHOR = 1;
const BY_MINIMUM = 2;
const BY_LOOP = 3;

/** The type of addresses of a memory. */
export function addressType(e: Emitter, memory: number): ValueType {
  return e.plan.wide[memory] === 1 ? I64 : I32;
}

/**
 * Puts the bases of the memories in the mask into their locals: once, at a function's beginning (abi/hints.ts). That of
 * memory 0 lies behind the control area.
 */
export function emitBases(e: Emitter, mask: number): void {
  const { plan } = e;
  if (!plan.options.isolate) return;
  for (let m = 0; mask >>> m !== 0; m++) {
    if (((mask >>> m) & 1) === 0) continue;
    e.op(OP.global_get, plan.memoryEvidence[m]!.baseGlobal);
    if (m === 0) {
      emitI64Const(e.w, plan.controlBytes);
      e.op(OP.i64_add);
    }
    e.set(e.role('base', m));
  }
}

/** Reads the limits of the memories in the mask into their locals: at the beginning, and behind what may grow them. */
export function emitLimits(e: Emitter, mask: number): void {
  const { plan } = e;
  if (!plan.options.isolate) return;
  for (let m = 0; mask >>> m !== 0; m++) {
    if (((mask >>> m) & 1) === 0) continue;
    e.op(OP.global_get, plan.memoryEvidence[m]!.limitGlobal);
    e.set(e.role('limit', m));
  }
}

/** Leaves on the stack whether the number there (i64) plus `k` is past the limit. */
export function emitIsPast(e: Emitter, memory: number, k: number): void {
  emitI64Const(e.w, k);
  e.op(OP.i64_add);
  e.get(e.role('limit', memory));
  e.op(OP.i64_gt_u);
}

/** Traps where the number on the stack (i64) plus `k` is past the limit; `ea`: local that holds the number. */
function emitBeyond(e: Emitter, memory: number, k: number, ea: number): void {
  emitIsPast(e, memory, k);
  if (addressType(e, memory) === I64) {
    e.get(ea);
    e.get(e.role('limit', memory));
    e.op(OP.i64_gt_u);
    e.op(OP.i32_or);
  }
  e.trapIf();
}

/**
 * Traps unless the access at entry i and those of its run that lie further behind (runs.ts) are inside. It lies `distance`
 * bytes behind the near address on the stack, which the i64 local `ea` holds as well. Gives how many bytes from there are
 * inside.
 */
function emitRunCheck(f: FunctionState, i: number, place: Place, distance: number, ea: number): number {
  const { e, body } = f;
  const { memory } = place;
  const own = distance + place.end;
  const last = lastOfRun(f, i, distance);
  const known = last === i ? own : endBehind(f, i, last, distance);
  emitIsPast(e, memory, known);
  if (last === i) {
    e.trapIf();
    return known;
  }
  e.open(OP.if, EMPTY_BLOCK);
  // Something traps: the first that is past the limit.
  for (let next = i; next !== last; next = f.addresses.runs.further[next]!) {
    e.note(body.start[next]!);
    e.get(ea);
    emitBeyond(e, memory, next === i ? own : endBehind(f, i, next, distance), ea);
  }
  e.note(body.start[last]!);
  e.op(OP.unreachable);
  e.close();
  e.note(body.start[i]!);
  return known;
}

/** The furthest access of the run of the one at entry i, which lies `distance` bytes behind an anchor, that its reach covers. */
export function lastOfRun(f: FunctionState, i: number, distance: number): number {
  const { further } = f.addresses.runs;
  let last = i;
  for (let next = further[i]!; next >= 0; next = further[next]!) {
    if (endBehind(f, i, next, distance) > REACH_MAX) break;
    last = next;
  }
  return last;
}

/** Where the access at entry `other` of i's run ends, from what lies `distance` bytes before i's address. */
export function endBehind(
  { addresses, body }: FunctionState,
  i: number,
  other: number,
  distance: number,
): number {
  const between = (addresses.constant[other]! - addresses.constant[i]!) | 0;
  return distance + between + body.offset[other]! + OP_ACCESS_BYTES[body.op[other]!]!;
}

/** Takes a near address off the stack into the i64 local `ea`, and traps unless [address, address + k) is inside. */
export function emitCheck(e: Emitter, memory: number, k: number, ea: number): void {
  if (addressType(e, memory) === I32) e.op(OP.i64_extend_i32_u);
  if (k >= K_ALWAYS_TRAPS) {
    e.set(ea);
    // In a block: what is written behind it is never reached, but looked at by the verifier.
    e.open(OP.block, EMPTY_BLOCK);
    e.op(OP.unreachable);
    e.close();
    return;
  }
  e.tee(ea);
  emitBeyond(e, memory, k, ea);
}

/** Leaves base + `near` (a local) on the stack. */
function emitGlobal(e: Emitter, memory: number, near: number): void {
  e.get(e.role('base', memory));
  e.get(near);
  e.op(OP.i64_add);
}

/** Marks the page of a store `at` bytes behind the global address on the stack, which stays there. Gives that distance in whole pages. */
export function emitMark(e: Emitter, at: number): number {
  const { w } = e;
  const pages = Math.floor(at / PAGE_BYTES);
  const pointer = e.scratch(I64, 2);
  e.tee(pointer);
  emitI64Const(w, PAGE_SHIFT);
  e.op(OP.i64_shr_u);
  e.i32(1);
  e.spaceAccess(OP.i32_store8, 0, MARKS_ADDRESS + pages);
  e.get(pointer);
  return pages * PAGE_BYTES;
}

/** The access itself: the global address and what it takes beside it are on the stack. `rule`: one of PROOFS. */
function emitPlain(e: Emitter, body: FlatBody, i: number, offset: number, rule: number): void {
  const { w } = e;
  if (e.plan.countersStart >= 0) emitCount(e, e.plan.countersStart + rule);
  const op = body.op[i]!;
  // The memory is the space, memory 0.
  if (op < PREFIX_FC) w.byteAndU32(op, body.b[i]!);
  else {
    writeOp(w, op);
    w.u32(body.b[i]!);
  }
  w.u64(offset);
  const access = OP_ACCESS[op];
  if (access === ACCESS_LOAD_LANE || access === ACCESS_STORE_LANE) w.u8(body.bytes[body.end[i]! - 1]!);
}

/** Adds one to an i64 global. */
function emitCount(e: Emitter, global: number): void {
  e.op(OP.global_get, global);
  emitI64Const(e.w, 1);
  e.op(OP.i64_add);
  e.op(OP.global_set, global);
}

/** The address of an access as facts see it: one object, used again for each. */
export class Place {
  memory = 0;
  term = 0;
  constant = 0;
  /** The memarg's offset, and where the access ends, from the address. */
  offset = 0.5;
  end = 0.5;
}

function placeOf({ addresses, body, place }: FunctionState, i: number): Place {
  const offset = body.offset[i]!;
  place.memory = body.a[i]!;
  place.term = addresses.term[i]!;
  place.constant = addresses.constant[i]!;
  place.offset = offset;
  place.end = offset + OP_ACCESS_BYTES[body.op[i]!]!;
  return place;
}

/** How far behind an anchor an address lies, or -1 where it cannot be reached from there. */
function behind(anchor: Anchor | undefined, place: Place): number {
  if (anchor === undefined) return -1;
  const distance = (place.constant - anchor.constant) | 0;
  return distance >= 0 && distance + place.end <= REACH_MAX ? distance : -1;
}

/** True where the declared minimum of the memory shows that the access is inside. */
function isBelowMinimum(f: FunctionState, i: number, place: Place): boolean {
  const { e, addresses } = f;
  if (addressType(e, place.memory) === I64) return false;
  const { min } = e.plan.memoryEvidence[place.memory]!;
  const most = place.term === NOTHING ? place.constant >>> 0 : addresses.most[i]!;
  if (f.continued && place.term !== NOTHING) return false;
  return most + place.end <= min * FRAME_BYTES;
}

/** The mark of a store whose global address is on the stack, unless its anchor's is known to be enough. */
function emitMarkFor(
  f: FunctionState,
  i: number,
  place: Place,
  anchor: Anchor | undefined,
  at: number,
): void {
  const { e } = f;
  const op = f.body.op[i]!;
  if (OP_WRITES[op] !== 1 || !e.plan.options.track) return;
  if (anchor && e.facts.isMarked(anchor, at, OP_ACCESS_BYTES[op]!)) return;
  const page = emitMark(e, at);
  if (anchor) e.facts.mark(place.memory, place.term, page);
}

/**
 * Before the address of an access at entry i is computed: where it is known to be inside, leaves the global address on
 * the stack instead, and gives true. The access takes it from there (`f.prepared`).
 */
export function prepareAccess(f: FunctionState, i: number): boolean {
  const { e, addresses } = f;
  if (addresses.pure[i] !== 1 || !e.plan.options.isolate) return false;
  const place = placeOf(f, i);
  const pointer = f.strip === null ? undefined : f.strip.shape.accesses.get(i);
  if (f.strip !== null && pointer !== undefined) {
    e.get(f.strip.locals[pointer.pointer]!);
    return prepared(f, i, pointer.delta, BY_LOOP);
  }
  if (place.term === NOTHING) {
    if (!isBelowMinimum(f, i, place)) return false;
    e.get(e.role('base', place.memory));
    const at = (place.constant >>> 0) + place.offset;
    emitMarkFor(f, i, place, undefined, at);
    return prepared(f, i, at, BY_MINIMUM);
  }
  const anchor = e.facts.find(place.memory, place.term);
  if (hasWindows(e, place.memory)) {
    const covered = coveredAt(anchor, place, OP_WRITES[f.body.op[i]!] === 1);
    return (
      anchor !== undefined && covered >= 0 && prepared(f, i, emitCovered(f, i, anchor, covered), BY_ANCHOR)
    );
  }
  const distance = behind(anchor, place);
  if (anchor === undefined || distance < 0 || distance + place.end > anchor.known) return false;
  emitGlobal(e, place.memory, anchor.local);
  const at = distance + place.offset;
  emitMarkFor(f, i, place, anchor, at);
  return prepared(f, i, at, BY_ANCHOR);
}

function prepared({ e, addresses }: FunctionState, i: number, at: number, rule: number): true {
  addresses.offset[i] = at;
  addresses.rule[i] = rule;
  e.push(I32);
  return true;
}

/** Any load, store or read-modify-write at entry i. Operands are on the stack; results are left there. */
export function emitAccess(f: FunctionState, i: number): void {
  const { e, body } = f;
  const { addresses } = f;
  const known = addresses.offset[i]!;
  if (known >= 0) {
    addresses.offset[i] = -1;
    emitPlain(e, body, i, known, addresses.rule[i]!);
    return;
  }
  // The operands above the address wait in locals.
  const pops = OP_POPS[body.op[i]!]!;
  for (let p = pops.length - 1; p >= 1; p--) e.set(held(e, body.a[i]!, pops[p]!, p));
  const offset = emitAddress(f, i, placeOf(f, i));
  for (let p = 1; p < pops.length; p++) e.get(held(e, body.a[i]!, pops[p]!, p));
  emitPlain(e, body, i, offset, addresses.rule[i]!);
}

/** The local in which the operand p of an access to a memory waits. */
function held(e: Emitter, memory: number, type: ValueType, p: number): number {
  return e.scratch(type === ADDRESS ? addressType(e, memory) : type, 8 + p);
}

/**
 * Takes the program's address off the stack, leaves the global one there, checked and marked; gives the offset, and says
 * in `addresses.rule` why it is inside.
 */
function emitAddress(f: FunctionState, i: number, place: Place): number {
  const { e, addresses } = f;
  const { memory, term, constant, end } = place;
  const pointer = f.strip === null ? undefined : f.strip.shape.accesses.get(i);
  if (f.strip !== null && pointer !== undefined) {
    e.op(OP.drop);
    e.get(f.strip.locals[pointer.pointer]!);
    addresses.rule[i] = BY_LOOP;
    return pointer.delta;
  }
  const anchor = e.facts.find(memory, term);
  const windows = hasWindows(e, memory);
  const covered = windows ? coveredAt(anchor, place, OP_WRITES[f.body.op[i]!] === 1) : -1;
  if (anchor && covered >= 0) {
    e.op(OP.drop);
    addresses.rule[i] = BY_ANCHOR;
    return emitCovered(f, i, anchor, covered);
  }
  const distance = windows ? -1 : behind(anchor, place);
  if (anchor && distance >= 0) {
    e.op(OP.drop);
    addresses.rule[i] = BY_ANCHOR;
    if (distance + end > anchor.known) {
      addresses.rule[i] = BY_CHECK;
      e.get(anchor.local);
      const known = emitRunCheck(f, i, place, distance, anchor.local);
      e.facts.learn(memory, term, anchor.constant, known, anchor.local);
    }
    emitGlobal(e, memory, anchor.local);
    emitMarkFor(f, i, place, e.facts.find(memory, term), distance + place.offset);
    return distance + place.offset;
  }
  if (term === NOTHING && isBelowMinimum(f, i, place)) {
    // Not the operand, of which in a continuation nobody knows that it is this constant.
    addresses.rule[i] = BY_MINIMUM;
    e.op(OP.drop);
    e.get(e.role('base', memory));
    const at = (constant >>> 0) + place.offset;
    emitMarkFor(f, i, place, undefined, at);
    return at;
  }
  if (isBelowMinimum(f, i, place)) {
    addresses.rule[i] = BY_MINIMUM;
    e.op(OP.i64_extend_i32_u);
    e.get(e.role('base', memory));
    e.op(OP.i64_add);
    emitMarkFor(f, i, place, undefined, place.offset);
    return place.offset;
  }
  if (windows) {
    addresses.rule[i] = BY_CHECK;
    return emitWindowed(f, i);
  }
  const kept = addressType(e, memory) === I32 && end <= REACH_MAX && addresses.uses[term]! > 1;
  const spare = kept ? e.facts.spareLocal() : -1;
  const ea = kept ? (spare >= 0 ? spare : e.newLocal(I64)) : e.scratch(I64, 1);
  addresses.rule[i] = BY_CHECK;
  if (kept) {
    e.op(OP.i64_extend_i32_u);
    e.tee(ea);
    e.facts.learn(memory, term, constant, emitRunCheck(f, i, place, 0, ea), ea);
  } else emitCheck(e, memory, end, ea);
  if (end >= K_ALWAYS_TRAPS) {
    e.op(OP.global_get, e.plan.hdrGlobal);
    return STATE_OFFSET;
  }
  emitGlobal(e, memory, ea);
  emitMarkFor(f, i, place, kept ? e.facts.find(memory, term) : undefined, place.offset);
  return place.offset;
}
