/**
 * What every emitter of one function needs: the code written so far, the labels open in it, extra locals, and the
 * operand stack by type. `control.ts`, `calls.ts`, `plain.ts`, `memory.ts` and `frames.ts` add the instructions.
 *
 * Labels: a block opened when `depth` was d has the id d + 1; a branch to id L is written `depth - L`. The function's
 * own label has the id 0.
 *
 * Operands: `types` holds the type of each operand of the program's stack, from the bottom. All of them are on the
 * real stack between two instructions. An operand that must survive in a saved frame, or across a join of the resume
 * version, is also put into the local that belongs to its height and type (`slot`); `spilled` tells that this local
 * holds it. V8 makes nothing of such copies.
 */

import type { RoleLocal } from '../abi/evidence.ts';
import { assert } from '../base/assert.ts';
import { emitIndex } from '../wasm/emit.ts';
import { CATCH } from '../wasm/instructions.ts';
import { OP } from '../wasm/opcodes.ts';
import type { LocalRun } from '../wasm/sections/code.ts';
import { EMPTY_BLOCK, type FuncType, I64, type ValueType } from '../wasm/types.ts';
import { Writer } from '../wasm/writer.ts';
import { Facts } from './facts.ts';
import type { Plan } from './plan.ts';

/** Where an instruction of the program begins in the emitted code; `kind` overrides what a trap there means. */
export interface MapEntry {
  /** Offset in the emitted code (behind the locals). */
  at: number;
  /** Offset of the instruction in the program's module. */
  origin: number;
  kind?: string;
}

export class Emitter {
  readonly plan: Plan;
  readonly w = new Writer(4096);
  /** Masks and trailers of all frames of the module so far. */
  readonly frameEnds = new Writer(4096);
  /** Labels open in the code. */
  depth = 0;
  types: ValueType[] = [];
  spilled: boolean[] = [];
  /** For each operand: the local it is a copy of, as long as that has not been set since; else -1. */
  origins: number[] = [];
  readonly facts = new Facts();
  /** Filled only while a trap is being explained. */
  map: MapEntry[] | null = null;
  #localTypes: ValueType[] = [];
  #parameters = 0;
  readonly #slots = new Map<number, number>();
  readonly #scratch = new Map<number, number>();
  readonly #roles: RoleLocal[] = [];

  constructor(plan: Plan) {
    this.plan = plan;
  }

  /** Begins a function; `parameters` of the `locals` are its parameters. */
  begin(locals: readonly ValueType[], parameters: number): void {
    this.w.clear();
    this.depth = 0;
    this.types = [];
    this.spilled = [];
    this.origins = [];
    this.facts.reset(this.plan.memories.length);
    this.#localTypes = [...locals];
    this.#parameters = parameters;
    this.#slots.clear();
    this.#scratch.clear();
    this.#roles.length = 0;
  }

  /** The code entry: locals, and what was emitted, closed by `end`. */
  finish(): { locals: LocalRun[]; code: Uint8Array; roles: RoleLocal[] } {
    assert(this.depth === 0, 'all labels are closed');
    this.w.u8(OP.end);
    const locals: { count: number; type: ValueType }[] = [];
    for (const type of this.#localTypes.slice(this.#parameters)) {
      const last = locals.at(-1);
      if (last?.type === type) last.count++;
      else locals.push({ count: 1, type });
    }
    return { locals, code: this.w.toBytes(), roles: [...this.#roles] };
  }

  newLocal(type: ValueType): number {
    this.#localTypes.push(type);
    return this.#localTypes.length - 1;
  }

  /** The local for the operand at a height. */
  slot(height: number, type: ValueType): number {
    const key = height * 256 + type;
    let local = this.#slots.get(key);
    if (local === undefined) {
      local = this.newLocal(type);
      this.#slots.set(key, local);
    }
    return local;
  }

  /** A local for use within one lowered instruction; `n` tells several of one type apart. */
  scratch(type: ValueType, n = 0): number {
    const key = n * 256 + type;
    let local = this.#scratch.get(key);
    if (local === undefined) {
      local = this.newLocal(type);
      this.#scratch.set(key, local);
    }
    return local;
  }

  /** The local that holds base or limit of a memory. */
  role(role: 'base' | 'limit', memory: number): number {
    const known = this.#roles.find((r) => r.role === role && r.memory === memory);
    if (known) return known.local;
    const local = this.newLocal(I64);
    this.#roles.push({ local, role, memory });
    return local;
  }

  op(op: number, index?: number): void {
    if (index === undefined) this.w.u8(op);
    else emitIndex(this.w, op, index);
  }
  get(local: number): void {
    emitIndex(this.w, OP.local_get, local);
  }
  set(local: number): void {
    emitIndex(this.w, OP.local_set, local);
  }

  i32(value: number): void {
    this.w.u8(OP.i32_const);
    this.w.s32(value);
  }

  /** Opens a label; gives its id. */
  open(op: number, blockType: number): number {
    this.w.u8(op);
    this.w.s33(blockType);
    return ++this.depth;
  }
  close(): void {
    this.w.u8(OP.end);
    this.depth--;
  }
  /** Opens a try_table whose unwind exceptions go to the block opened last. */
  openGuard(blockType: number): void {
    const { w } = this;
    w.u8(OP.try_table);
    w.s33(blockType);
    w.u32(1);
    w.u8(CATCH);
    w.u32(0); // the unwind tag
    w.u32(0);
    this.depth++;
  }
  branch(op: number, label: number): void {
    emitIndex(this.w, op, this.depth - label);
  }

  push(...types: readonly ValueType[]): void {
    for (const type of types) {
      this.types.push(type);
      this.spilled.push(false);
      this.origins.push(-1);
    }
  }
  pop(count = 1): ValueType {
    assert(this.types.length >= count, 'the program was validated');
    let type: ValueType = 0;
    for (let i = 0; i < count; i++) {
      type = this.types.pop()!;
      this.spilled.pop();
      this.origins.pop();
    }
    return type;
  }
  /** Operands above a height are gone. */
  truncate(height: number): void {
    this.types.length = height;
    this.spilled.length = height;
    this.origins.length = height;
  }

  /** The operand on top is a copy of `local`, which operands before it may be no longer when it was just set. */
  copies(local: number): void {
    this.origins[this.origins.length - 1] = local;
  }
  /** A local gets another value. */
  assign(local: number): void {
    for (let h = this.origins.length - 1; h >= 0; h--) if (this.origins[h] === local) this.origins[h] = -1;
    this.facts.assign(local);
  }

  get height(): number {
    return this.types.length;
  }

  /** Takes the operands from `floor` up off the real stack into their slots; they stay operands. */
  stash(floor: number): void {
    for (let h = this.height - 1; h >= floor; h--) {
      this.set(this.slot(h, this.types[h]!));
      this.spilled[h] = true;
    }
  }

  /** Puts stashed operands [from, to) back on the real stack. */
  unstash(from: number, to = this.height): void {
    for (let h = from; h < to; h++) this.get(this.slot(h, this.types[h]!));
  }

  /** The operands [floor, count) are all in their slots. */
  isSpilled(floor: number, count: number): boolean {
    while (floor < count && this.spilled[floor]) floor++;
    return floor >= count;
  }

  /** Sees to it that the operands [floor, count) are in their slots too, while all stay on the real stack. */
  spill(floor: number, count: number): void {
    let lowest = floor;
    while (lowest < count && this.spilled[lowest]) lowest++;
    if (lowest >= count) return;
    this.stash(lowest + 1);
    emitIndex(this.w, OP.local_tee, this.slot(lowest, this.types[lowest]!));
    this.spilled[lowest] = true;
    this.unstash(lowest + 1);
  }

  /** An i32 or i64 access of the system to the space, at hdr plus a constant. `hdr` is on the stack already. */
  systemAccess(op: number, offset: number): void {
    this.spaceAccess(op, 0, offset);
  }
  spaceAccess(op: number, align: number, offset: number): void {
    const { w } = this;
    if (op >= 0x200) {
      w.u8(0xfd);
      w.u32(op - 0x200);
    } else {
      w.u8(op);
    }
    const memory = this.plan.spaceMemory;
    w.u32(memory === 0 ? align : align | 0x40);
    if (memory !== 0) w.u32(memory);
    w.u64(offset);
  }

  note(origin: number, kind?: string): void {
    if (this.map)
      this.map.push(kind === undefined ? { at: this.w.length, origin } : { at: this.w.length, origin, kind });
  }
}

/** A block type as an s33, from the output's types. */
export function blockTypeOf(e: Emitter, type: FuncType): number {
  if (type.params.length === 0 && type.results.length === 0) return EMPTY_BLOCK;
  if (type.params.length === 0 && type.results.length === 1) return type.results[0]! - 128;
  return e.plan.typeIndex(type.params, type.results);
}
