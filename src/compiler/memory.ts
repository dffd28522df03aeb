/**
 * isolate: memory accesses of the program, rewritten into the space. For an access of `size` bytes at near address x
 * with the constant offset o, and k = o + size:
 *
 *     e := x widened to 64 bits;  trap unless e + k ≤ limit;  access at base + e, offset o (and H for memory 0)
 *
 * The trap is `unreachable`; the kernel knows from the original place that it was an access. With 64-bit addresses
 * e + k could wrap, so e ≤ limit is asked too; limits are far below 2^40, and a larger k always traps.
 *
 * track: a store first marks the page its pointer lies in (abi/layout.ts, MARK_SLOP_BYTES). The mark comes after the
 * check and before the store; nothing can come between them, so a checkpoint sees both or neither.
 *
 * Why: RATIONALE.md#base-and-limit-in-the-code
 */
import { MARKS_ADDRESS } from '../abi/layout.ts';
import { SYSTEM } from '../abi/system.ts';
import { PAGE_BYTES, PAGE_SHIFT } from '../base/limits.ts';
import { emitI64Const } from '../wasm/emit.ts';
import { OP } from '../wasm/opcodes.ts';
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

/** An end of access at or past this traps wherever the limit is. */
const K_ALWAYS_TRAPS = 2 ** 40;

/** The type of addresses of a memory. */
export function addressType(e: Emitter, memory: number): ValueType {
  return e.plan.memories[memory]!.is64 ? I64 : I32;
}

/** Loads base and limit of the memories in the mask into their role locals. */
export function emitReload(e: Emitter, mask: number): void {
  const { plan } = e;
  if (!plan.options.isolate) return;
  plan.memoryEvidence.forEach((memory, m) => {
    if (((mask >>> m) & 1) === 0) return;
    e.op(OP.global_get, memory.baseGlobal);
    e.set(e.role('base', m));
    e.op(OP.global_get, memory.limitGlobal);
    e.set(e.role('limit', m));
  });
}

/**
 * Takes a near address off the stack into a local as i64, and traps unless [address, address + k) is inside.
 * `origin`: the program's local that the address is a copy of, or -1; where that is known to be inside already, the
 * check is left out.
 */
export function emitCheck(e: Emitter, memory: number, k: number, origin = -1): number {
  const wide = addressType(e, memory) === I64;
  const ea = e.scratch(I64, 1);
  if (!wide) e.op(OP.i64_extend_i32_u);
  if (origin >= 0 && e.facts.isChecked(origin, memory, k)) {
    e.set(ea);
    return ea;
  }
  if (k >= K_ALWAYS_TRAPS) {
    e.set(ea);
    e.op(OP.unreachable);
    return ea;
  }
  e.w.u8(OP.local_tee);
  e.w.u32(ea);
  emitI64Const(e.w, k);
  e.op(OP.i64_add);
  e.get(e.role('limit', memory));
  e.op(OP.i64_gt_u);
  if (wide) {
    e.get(ea);
    e.get(e.role('limit', memory));
    e.op(OP.i64_gt_u);
    e.op(OP.i32_or);
  }
  e.open(OP.if, EMPTY_BLOCK);
  e.op(OP.unreachable);
  e.close();
  if (origin >= 0) e.facts.learn(origin, memory, k);
  return ea;
}

/** Marks the page of a store to [offset, offset + size) from the global address on the stack, which stays there. */
function emitMark(e: Emitter, memory: number, offset: number, size: number, origin: number): void {
  const at = offset + e.plan.dataOffset(memory);
  if (origin >= 0 && e.facts.isMarked(origin, memory, at, size)) return;
  const { w } = e;
  const pages = Math.floor(at / PAGE_BYTES);
  const pointer = e.scratch(I64, 2);
  w.u8(OP.local_tee);
  w.u32(pointer);
  emitI64Const(w, PAGE_SHIFT);
  e.op(OP.i64_shr_u);
  w.u8(OP.i32_const);
  w.s32(1);
  e.spaceAccess(OP.i32_store8, 0, MARKS_ADDRESS + pages);
  e.get(pointer);
  if (origin >= 0) e.facts.mark(origin, memory, pages * PAGE_BYTES);
}

/** Any load, store or read-modify-write at entry i. Operands are on the stack; results are left there. */
export function emitAccess(e: Emitter, body: FlatBody, i: number): void {
  const op = body.op[i]!;
  const memory = body.a[i]!;
  const offset = body.offset[i]!;
  const pops = OP_POPS[op]!;
  const { w, plan } = e;
  const origin = e.originAt(e.height - pops.length);
  // The operands above the address wait in locals.
  const held: number[] = [];
  for (let p = pops.length - 1; p >= 1; p--) {
    const type = pops[p]!;
    const local = e.scratch(type === ADDRESS ? addressType(e, memory) : type, 8 + p);
    e.set(local);
    held.unshift(local);
  }
  const size = OP_ACCESS_BYTES[op]!;
  const k = offset + size;
  const ea = emitCheck(e, memory, k, origin);
  e.get(e.role('base', memory));
  e.get(ea);
  e.op(OP.i64_add);
  if (OP_WRITES[op] === 1 && plan.options.track && k < K_ALWAYS_TRAPS) {
    emitMark(e, memory, offset, size, origin);
  }
  for (const local of held) e.get(local);
  writeOp(w, op);
  w.u32(body.b[i]!); // alignment; the memory is the space, memory 0
  w.u64(k >= K_ALWAYS_TRAPS ? 0 : offset + plan.dataOffset(memory));
  const access = OP_ACCESS[op];
  if (access === ACCESS_LOAD_LANE || access === ACCESS_STORE_LANE) w.u8(body.bytes[body.end[i]! - 1]!);
}

/** memory.size: pages, from the limit. */
export function emitSize(e: Emitter, memory: number): void {
  e.get(e.role('limit', memory));
  emitI64Const(e.w, 16);
  e.op(OP.i64_shr_u);
  if (addressType(e, memory) === I32) e.op(OP.i32_wrap_i64);
}

/** memory.grow: the kernel's to do. */
export function emitGrow(e: Emitter, memory: number): void {
  const wide = addressType(e, memory) === I64;
  const delta = e.scratch(I64, 1);
  if (!wide) e.op(OP.i64_extend_i32_u);
  e.set(delta);
  e.w.u8(OP.i32_const);
  e.w.s32(memory);
  e.get(delta);
  e.call(SYSTEM.grow);
  if (!wide) e.op(OP.i32_wrap_i64);
}

/**
 * The checks that wait and notify share: in bounds, aligned. Takes the address off the stack, leaves the memory's
 * index and the effective near address (i64) there, ready for the kernel's function.
 */
export function emitAtomicAddress(e: Emitter, body: FlatBody, i: number): void {
  const memory = body.a[i]!;
  const offset = body.offset[i]!;
  const size = OP_ACCESS_BYTES[body.op[i]!]!;
  const ea = emitCheck(e, memory, offset + size);
  const near = e.scratch(I64, 2);
  e.get(ea);
  emitI64Const(e.w, offset >= K_ALWAYS_TRAPS ? 0 : offset);
  e.op(OP.i64_add);
  e.w.u8(OP.local_tee);
  e.w.u32(near);
  emitI64Const(e.w, size - 1);
  e.op(OP.i64_and);
  e.op(OP.i64_eqz);
  e.op(OP.i32_eqz);
  e.open(OP.if, EMPTY_BLOCK);
  e.note(body.start[i]!, 'unaligned atomic');
  e.op(OP.unreachable);
  e.close();
  e.note(body.start[i]!);
  e.w.u8(OP.i32_const);
  e.w.s32(memory);
  e.get(near);
}
