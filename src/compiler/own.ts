/**
 * Memories of a program's own: what is written instead of `memory.ts` when nothing is isolated, because the program has
 * a process for itself. Accesses stay V8's to check; growing and waiting are the kernel's all the same.
 *
 * track: as with a shared space, but marks are counted from each memory's own beginning (abi/layout.ts, `ownMarks`).
 * A mark is made before the access, which may still trap: then it stands for a page that did not change, no more.
 *
 * Why: RATIONALE.md#a-program-in-a-process-of-its-own
 */
import { OWN_MARKS_BYTES, ownMarks } from '../abi/layout.ts';
import { OWN_MEMORY_IMPORT, SYSTEM_MODULE } from '../abi/system.ts';
import { PAGE_BYTES, PAGE_SHIFT } from '../base/limits.ts';
import { emitI64Const } from '../wasm/emit.ts';
import type { Import } from '../wasm/module.ts';
import { OP } from '../wasm/opcodes.ts';
import { ADDRESS, OP_ACCESS_BYTES, OP_POPS } from '../wasm/optable.ts';
import { EMPTY_BLOCK, I32, I64 } from '../wasm/types.ts';
import type { FlatBody } from './body.ts';
import type { Emitter } from './emitter.ts';
import { addressType } from './memory.ts';
import type { Plan } from './plan.ts';
import type { FunctionState } from './state.ts';

/** Number of the page of an address (in a local), as an i64 on the stack; always within the marks of its memory. */
function emitPage(e: Emitter, memory: number, address: number): void {
  const wide = addressType(e, memory) === I64;
  e.get(address);
  e.w.u8(wide ? OP.i64_const : OP.i32_const);
  e.w.s32(PAGE_SHIFT);
  e.op(wide ? OP.i64_shr_u : OP.i32_shr_u);
  if (!wide) {
    e.op(OP.i64_extend_i32_u);
    return;
  }
  emitI64Const(e.w, OWN_MARKS_BYTES / 2 - 1);
  e.op(OP.i64_and);
}

/** Before a store at entry i whose operands are on the stack: marks its page. */
export function emitOwnMark(f: FunctionState, i: number): void {
  const { e, body } = f;
  const op = body.op[i]!;
  const memory = body.a[i]!;
  const offset = body.offset[i]!;
  const size = OP_ACCESS_BYTES[op]!;
  const { term, constant } = { term: f.addresses.term[i]!, constant: f.addresses.constant[i]! };
  const narrow = addressType(e, memory) === I32;
  const anchor = e.facts.find(memory, term);
  if (anchor?.constant === constant && e.facts.isMarked(anchor, offset, size)) return;
  // An offset past all marks traps wherever the address is.
  const pages = Math.min(Math.floor(offset / PAGE_BYTES), OWN_MARKS_BYTES / 2);
  const pops = OP_POPS[op]!;
  const held: number[] = [];
  for (let p = pops.length - 1; p >= 1; p--) {
    const type = pops[p]!;
    const local = e.scratch(type === ADDRESS ? addressType(e, memory) : type, 8 + p);
    e.set(local);
    held.unshift(local);
  }
  const address = e.scratch(addressType(e, memory), 2);
  e.set(address);
  emitPage(e, memory, address);
  e.i32(1);
  e.spaceAccess(OP.i32_store8, 0, ownMarks(memory) + pages);
  for (const local of [address, ...held]) e.get(local);
  if (!narrow) return;
  e.facts.learn(memory, term, constant, 0, address);
  e.facts.mark(memory, term, pages * PAGE_BYTES);
}

/**
 * Before memory.fill, copy or init with (address, x, count) on the stack: marks the pages it will write in `memory`.
 * @param countType type of the count
 * @param middleType type of the operand between
 */
export function emitOwnRangeMark(
  e: Emitter,
  memory: number,
  middleType: number,
  countType: number,
  origin: number,
): void {
  const wide = addressType(e, memory) === I64;
  const [address, middle, count] = [
    e.scratch(addressType(e, memory), 2),
    e.scratch(middleType, 3),
    e.scratch(countType, 4),
  ];
  e.set(count);
  e.set(middle);
  e.set(address);
  const widened = (local: number, is64: boolean): void => {
    e.get(local);
    if (!is64) e.op(OP.i64_extend_i32_u);
  };
  if (wide)
    refuseOutside(
      e,
      memory,
      () => widened(address, true),
      () => widened(count, countType === I64),
      origin,
    );
  emitPage(e, memory, address);
  emitI64Const(e.w, ownMarks(memory));
  e.op(OP.i64_add);
  e.i32(1);
  // Pages from that of the first byte to that of the last: none for an empty range at a page's beginning.
  widened(address, wide);
  emitI64Const(e.w, PAGE_BYTES - 1);
  e.op(OP.i64_and);
  widened(count, countType === I64);
  e.op(OP.i64_add);
  emitI64Const(e.w, PAGE_BYTES - 1);
  e.op(OP.i64_add);
  emitI64Const(e.w, PAGE_SHIFT);
  e.op(OP.i64_shr_u);
  e.w.u8(0xfc);
  e.w.u32(11); // memory.fill
  e.w.u32(e.plan.spaceMemory);
  for (const local of [address, middle, count]) e.get(local);
}

/** With 64-bit addresses a range may be longer than all marks: traps where it does not lie inside the memory. */
function refuseOutside(
  e: Emitter,
  memory: number,
  address: () => void,
  count: () => void,
  origin: number,
): void {
  const bytes = (): void => {
    e.op(OP.memory_size, memory);
    emitI64Const(e.w, 16);
    e.op(OP.i64_shl);
  };
  count();
  bytes();
  e.op(OP.i64_gt_u);
  address();
  bytes();
  count();
  e.op(OP.i64_sub);
  e.op(OP.i64_gt_u);
  e.op(OP.i32_or);
  e.open(OP.if, EMPTY_BLOCK);
  e.note(origin, 'out of bounds memory access');
  e.op(OP.unreachable);
  e.close();
  e.note(origin);
}

/**
 * The address of a wait or notify at entry i, taken off the stack; leaves the memory's index and the effective address
 * (i64) there. The kernel's function checks it.
 */
export function emitOwnAtomicAddress(e: Emitter, body: FlatBody, i: number): void {
  const memory = body.a[i]!;
  const wide = addressType(e, memory) === I64;
  const near = e.scratch(I64, 2);
  if (!wide) e.op(OP.i64_extend_i32_u);
  // Past any memory: the kernel finds it outside.
  const offset = Math.min(body.offset[i]!, 2 ** 40);
  emitI64Const(e.w, offset);
  e.op(OP.i64_add);
  e.set(near);
  if (wide) {
    e.get(near);
    emitI64Const(e.w, offset);
    e.op(OP.i64_lt_u);
    e.open(OP.if, EMPTY_BLOCK);
    e.note(body.start[i]!, 'out of bounds memory access');
    e.op(OP.unreachable);
    e.close();
    e.note(body.start[i]!);
  }
  e.i32(memory);
  e.get(near);
}

/** The program's memories as imports, so that the space can come after them. */
export function ownMemories(plan: Plan): Import[] {
  return plan.memories.map((memory, i) => ({
    module: SYSTEM_MODULE,
    name: OWN_MEMORY_IMPORT + i,
    kind: 'memory',
    memory: { min: memory.min, max: memory.max, is64: memory.is64, shared: memory.shared },
  }));
}
