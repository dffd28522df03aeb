/**
 * What every emitter of one function needs: the code written so far, the labels open in it, extra locals, and the
 * operand stack by type. `control.ts`, `calls.ts`, `plain.ts`, `memory.ts` and `frames.ts` add the instructions.
 *
 * Labels: a block opened when `depth` was d has the id d + 1; a branch to id L is written `depth - L`. The function's
 * own label has the id 0.
 *
 * Operands: `types` holds the type of each operand of the program's stack, from the bottom. All of them are on the
 * real stack between two instructions. An operand that must survive in a saved frame is also put into the local that belongs to its height and type (`slot`); `spilled` tells that this local
 * holds it. V8 makes nothing of such copies.
 */

import type { LimitLocal, LoopHint } from '../abi/hints.ts';
import { larger } from '../base/arrays.ts';
import { assert } from '../base/assert.ts';
import { UnsupportedError } from '../base/errors.ts';
import { FUNCTION_MAX_BYTES, LOCALS_MAX, MAX_MEMORIES, NESTING_MAX, OPERANDS_MAX } from '../base/limits.ts';
import { emitIndex } from '../wasm/emit.ts';
import { CATCH } from '../wasm/instructions.ts';
import { OP, PREFIX_FC } from '../wasm/opcodes.ts';
import type { Code, LocalRun } from '../wasm/sections/code.ts';
import { EMPTY_BLOCK, type FuncType, I64, type ValueType } from '../wasm/types.ts';
import { Arena, Writer } from '../wasm/writer.ts';
import { Facts } from './facts.ts';
import type { Links } from './links.ts';
import type { Plan } from './plan.ts';
import { Varying } from './varying.ts';

/** Where an instruction of the program begins in the emitted code; `kind` overrides what a trap there means. */
export interface MapEntry {
  /** Offset in the emitted code (behind the locals). */
  at: number;
  /** Offset of the instruction in the program's module. */
  origin: number;
  kind?: string;
}

// Copies: what a module has itself V8 takes for constants, what it imports it loads each time.
const { local_get: LOCAL_GET, local_set: LOCAL_SET, local_tee: LOCAL_TEE, i32_const: I32_CONST } = OP;
const NO_TYPES: readonly ValueType[] = [];
/** Value types differ in their lowest five bits. */
const TYPES = 32;

/** A function as it goes into the output. */
export interface EmittedFunction {
  readonly code: Code;
  readonly limits: readonly LimitLocal[];
  readonly loops: readonly LoopHint[];
  /** Where in the code `if`s stand that are hardly ever taken. */
  readonly unlikely: readonly number[];
}

export class Emitter {
  readonly plan: Plan;
  readonly w = new Writer(4096);
  /** Masks and trailers of all frames of the module so far. */
  readonly frameEnds = new Writer(4096);
  /** Offset in the program of what is being compiled. */
  origin = -1;
  /** Where in the code numbers of types stand that the plan did not foresee, and places among the ends of frames. */
  readonly typeUses: number[] = [];
  readonly endUses: number[] = [];
  /** The same of `if`s that are hardly ever taken. */
  readonly #unlikely: number[] = [];
  /** Labels open in the code. */
  depth = 0;
  /** The most that were open at once. */
  #deepest = 0;
  /** How many operands there are. */
  height = 0;
  /** By height: their types. Only the first `height` count, here and below. */
  types: Uint8Array = new Uint8Array(256);
  spilled: Uint8Array = new Uint8Array(256);
  /** The operands [from, to) are known to be spilled, so that a deep stack is not searched at each call. */
  #spilledFrom = 0;
  #spilledTo = 0;
  readonly facts: Facts;
  /** What is written is part of a resume module, where the rewritten module's functions stand elsewhere. */
  links: Links | null = null;
  /** How often the function saves a frame: once for each handler. */
  saves = 0;
  /** Filled only while a trap is being explained. */
  map: MapEntry[] | null = null;
  /** How many locals there are, and those that are not parameters. */
  #locals = 0;
  readonly #runs: LocalRun[] = [];
  // Locals made on demand, plus 1, by what they are for: operands, pieces of lowered instructions, bases and limits.
  #slots: Int32Array = new Int32Array(TYPES * 64);
  #slotsEnd = 0;
  #scratch: Int32Array = new Int32Array(TYPES * 64);
  readonly #roleLocals: Int32Array = new Int32Array(2 * MAX_MEMORIES);
  readonly #limits: LimitLocal[] = [];
  readonly #kept = new Arena();
  /** The verifier is told which locals each loop of the function sets. */
  readonly varying = new Varying();

  constructor(plan: Plan) {
    this.plan = plan;
    this.facts = new Facts(plan.windows);
  }

  /**
   * Begins a function with locals of the types of `first`, of which so many are its parameters, and locals declared
   * in runs behind them.
   */
  begin(first: readonly ValueType[], parameters: number, runs: readonly LocalRun[] = []): void {
    this.w.clear();
    this.depth = 0;
    this.#deepest = 0;
    this.height = 0;
    this.typeUses.length = 0;
    this.endUses.length = 0;
    this.#unlikely.length = 0;
    this.#spilledTo = 0;
    this.saves = 0;
    this.facts.reset();
    this.#runs.length = 0;
    this.#locals = parameters;
    for (let i = parameters; i < first.length; i++) this.newLocal(first[i]!);
    for (const { count, type } of runs) this.#addLocals(count, type);
    this.#slots.fill(0, 0, this.#slotsEnd);
    this.#slotsEnd = 0;
    this.#scratch.fill(0);
    this.#roleLocals.fill(0);
    this.#limits.length = 0;
    this.varying.reset();
  }

  /** The code of functions finished that lies in this array is not needed any more. */
  release(source: Uint8Array): void {
    this.#kept.release(source);
  }

  /** The function: locals, and what was emitted, closed by `end`. */
  finish(): EmittedFunction {
    assert(this.depth === 0, 'all labels are closed');
    this.w.u8(OP.end);
    this.#checkSize();
    const code = { locals: [...this.#runs], ...this.#kept.keep(this.w.bytes, this.w.length) };
    return {
      code,
      limits: this.#limits.slice(),
      loops: this.varying.hints(),
      unlikely: this.#unlikely.slice(),
    };
  }

  newLocal(type: ValueType): number {
    this.#addLocals(1, type);
    return this.#locals - 1;
  }
  #addLocals(count: number, type: ValueType): void {
    const last = this.#runs.length - 1;
    if (last >= 0 && this.#runs[last]!.type === type)
      this.#runs[last] = { count: this.#runs[last]!.count + count, type };
    else if (count > 0) this.#runs.push({ count, type });
    this.#locals += count;
  }

  /** What V8 does not take is refused here, and before it has taken all memory. */
  #checkSize(): void {
    if (this.#locals > LOCALS_MAX || this.w.length > FUNCTION_MAX_BYTES) this.#refuse();
  }
  #refuse(): never {
    throw new UnsupportedError('a function is too large once it is rewritten; split it', this.origin);
  }

  /** The local for the operand at a height. */
  slot(height: number, type: ValueType): number {
    const place = height * TYPES + (type & (TYPES - 1));
    if (place >= this.#slots.length) this.#slots = larger(this.#slots, new Int32Array(place * 2));
    const known = this.#slots[place]!;
    if (known !== 0) return known - 1;
    const local = this.newLocal(type);
    this.#slots[place] = local + 1;
    if (place >= this.#slotsEnd) this.#slotsEnd = place + 1;
    return local;
  }

  /** A local for use within one lowered instruction; `n` tells several of one type apart. */
  scratch(type: ValueType, n = 0): number {
    const place = n * TYPES + (type & (TYPES - 1));
    if (place >= this.#scratch.length) this.#scratch = larger(this.#scratch, new Int32Array(place * 2));
    const known = this.#scratch[place]!;
    if (known !== 0) return known - 1;
    const local = this.newLocal(type);
    this.#scratch[place] = local + 1;
    return local;
  }

  /** The local that holds base or limit of a memory. */
  role(role: 'base' | 'limit', memory: number): number {
    const place = 2 * memory + (role === 'base' ? 0 : 1);
    const known = this.#roleLocals[place]!;
    if (known !== 0) return known - 1;
    const local = this.newLocal(I64);
    this.#roleLocals[place] = local + 1;
    if (role === 'limit') this.#limits.push({ local, memory });
    return local;
  }

  /** `call`, or `return_call`, of a function of the rewritten module. */
  call(index: number, op: number = OP.call): void {
    this.facts.called();
    this.op(op, this.links === null ? index : this.links.of(index));
  }
  op(op: number, index = -1): void {
    if (index < 0) this.w.u8(op);
    else if (op < PREFIX_FC) this.w.byteAndU32(op, index);
    else emitIndex(this.w, op, index);
  }
  get(local: number): void {
    this.w.byteAndU32(LOCAL_GET, local);
  }
  set(local: number): void {
    this.w.byteAndU32(LOCAL_SET, local);
    this.varying.sets(local);
  }
  tee(local: number): void {
    this.w.byteAndU32(LOCAL_TEE, local);
    this.varying.sets(local);
  }

  i32(value: number): void {
    this.w.byteAndS32(I32_CONST, value);
  }
  /** Traps where the i32 on the stack is not 0. */
  trapIf(): void {
    this.deeper();
    this.w.two(OP.if | ((EMPTY_BLOCK & 0x7f) << 8));
    this.w.two(OP.unreachable | (OP.end << 8));
    this.depth--;
  }

  /** Opens a label; gives its id. */
  open(op: number, blockType: number): number {
    this.w.u8(op);
    this.blockType(blockType);
    this.deeper();
    if (op === OP.loop) this.#openLoop();
    return this.depth;
  }
  /** Opens an `if` that is hardly ever taken. */
  openUnlikely(blockType: number): void {
    this.#unlikely.push(this.w.length);
    this.open(OP.if, blockType);
  }
  #openLoop(): void {
    this.facts.called(); // a round may have
    this.varying.open(this.depth);
  }
  /**
   * Writes a block type. A type that the plan did not foresee has another number in another order of functions: it is
   * of fixed width, so that the code of a function does not depend on what was compiled before it.
   */
  blockType(type: number): void {
    if (type < this.plan.fixedTypes) return this.w.s33(type);
    if (type >= 1 << (7 * TYPE_BYTES - 1)) this.#refuse();
    this.typeUses.push(this.w.length);
    writePadded(this.w.zeros(TYPE_BYTES), this.w.length - TYPE_BYTES, TYPE_BYTES, type);
  }
  /** Writes a place among the ends of frames, of fixed width for the same reason. */
  endPlace(at: number): void {
    if (at >= 1 << (7 * END_BYTES - 1))
      throw new UnsupportedError('the module has too many safepoints', this.origin);
    this.endUses.push(this.w.length);
    writePadded(this.w.zeros(END_BYTES), this.w.length - END_BYTES, END_BYTES, at);
  }
  /** Opens so many blocks in front of the code from byte `at` on, whose labels all code from there on has counted with. */
  openBefore(at: number, count: number): void {
    this.#deepest += count;
    if (this.#deepest > NESTING_MAX) this.#refuse();
    const bytes = 2 * count;
    this.w.insert(at, bytes);
    for (let i = 0; i < bytes; i += 2) this.w.bytes.set(OPENED, at + i);
    for (const uses of [this.typeUses, this.endUses, this.#unlikely]) {
      for (let i = 0; i < uses.length; i++) if (uses[i]! >= at) uses[i]! += bytes;
    }
    for (const entry of this.map ?? []) if (entry.at >= at) entry.at += bytes;
  }
  /** One more label is open; gives its id. */
  deeper(): number {
    if (this.depth === NESTING_MAX) this.#refuse();
    if (++this.depth > this.#deepest) this.#deepest = this.depth;
    return this.depth;
  }
  close(): void {
    this.w.u8(OP.end);
    this.varying.close(this.depth);
    this.depth--;
  }

  /** Opens a try_table whose unwind exceptions go to a label. */
  openGuard(blockType: number, label: number): void {
    const { w } = this;
    w.u8(OP.try_table);
    this.blockType(blockType);
    w.u32(1);
    w.u8(CATCH);
    w.u32(0); // the unwind tag
    w.u32(this.depth - label);
    this.deeper();
  }
  branch(op: number, label: number): void {
    emitIndex(this.w, op, this.depth - label);
  }

  push(type: ValueType): void {
    const h = this.height++;
    if (h === this.types.length) this.#grow();
    this.types[h] = type;
    this.spilled[h] = 0;
    if (h < this.#spilledTo) this.#spilledTo = h;
  }
  pushAll(types: readonly ValueType[]): void {
    for (let i = 0; i < types.length; i++) this.push(types[i]!);
  }
  pop(count = 1): ValueType {
    assert(this.height >= count, 'the program was validated');
    this.height -= count;
    return this.types[this.height]!;
  }
  /** So many operands are gone, and one of this type is there; none where the type is 0. */
  replace(count: number, type: ValueType): void {
    this.height -= count;
    if (type !== 0) this.push(type);
  }
  /** Operands above a height are gone. */
  truncate(height: number): void {
    if (height < this.height) this.height = height;
  }
  /** The types of the operands [from, to). */
  operands(from: number, to: number = this.height): readonly ValueType[] {
    if (from >= to) return NO_TYPES;
    const list: ValueType[] = [];
    for (let h = from; h < to; h++) list.push(this.types[h]!);
    return list;
  }

  #grow(): void {
    const size = this.types.length * 2;
    if (size > OPERANDS_MAX) this.#refuse();
    this.types = larger(this.types, new Uint8Array(size));
    this.spilled = larger(this.spilled, new Uint8Array(size));
  }

  /** The operands from `floor` up become those of a construct: not in their slots yet. */
  enter(floor: number): void {
    this.spilled.fill(0, floor, this.height);
    this.#spilledTo = Math.min(this.#spilledTo, floor);
  }
  /** Takes the operands from `floor` up off the real stack into their slots; they stay operands. */
  stash(floor: number): void {
    for (let h = this.height - 1; h >= floor; h--) {
      this.set(this.slot(h, this.types[h]!));
      this.spilled[h] = 1;
    }
  }

  /** Puts stashed operands [from, to) back on the real stack. */
  unstash(from: number, to = this.height): void {
    for (let h = from; h < to; h++) this.get(this.slot(h, this.types[h]!));
  }

  /** The lowest operand of [floor, count) that is not in its slot; `count` where all are. */
  #unspilled(floor: number, count: number): number {
    const goesOn = floor >= this.#spilledFrom && floor < this.#spilledTo;
    let lowest = goesOn ? Math.min(this.#spilledTo, count) : floor;
    while (lowest < count && this.spilled[lowest] === 1) lowest++;
    if (!goesOn) this.#spilledFrom = floor;
    if (!goesOn || lowest > this.#spilledTo) this.#spilledTo = lowest;
    return lowest;
  }

  /** The operands [floor, count) are all in their slots. */
  isSpilled(floor: number, count: number): boolean {
    return this.#unspilled(floor, count) >= count;
  }

  /** Sees to it that the operands [floor, count) are in their slots too, while all stay on the real stack. */
  spill(floor: number, count: number): void {
    const lowest = this.#unspilled(floor, count);
    if (lowest >= count) return;
    this.stash(lowest + 1);
    this.tee(this.slot(lowest, this.types[lowest]!));
    this.spilled[lowest] = 1;
    this.unstash(lowest + 1);
  }

  /** Operands whose slots hold their values already become operands, up to a height. `types`: of all operands. */
  pushFromSlots(types: readonly ValueType[], to: number): void {
    for (let h = this.height; h < to; h++) {
      this.get(this.slot(h, types[h]!));
      this.push(types[h]!);
      this.spilled[h] = 1;
    }
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

  /** What is written from here on belongs to the instruction of the program at this offset. */
  note(origin: number, kind?: string): void {
    this.origin = origin;
    if (this.w.length > FUNCTION_MAX_BYTES) this.#checkSize();
    if (this.map)
      this.map.push(kind === undefined ? { at: this.w.length, origin } : { at: this.w.length, origin, kind });
  }
}

/** A block without parameters and results. */
const OPENED = Uint8Array.of(OP.block, 0x40);

/** Bytes of the number of a type that the plan did not foresee, and of a place among the ends of frames. */
export const TYPE_BYTES = 3;
export const END_BYTES = 4;

/** Writes a number as a LEB128 of that many bytes; the highest bit that they can tell is not set, so it may be signed. */
export function writePadded(bytes: Uint8Array, at: number, count: number, value: number): void {
  for (let i = 0; i < count - 1; i++) bytes[at + i] = ((value >>> (7 * i)) & 0x7f) | 0x80;
  bytes[at + count - 1] = value >>> (7 * (count - 1));
}

/** What `writePadded` wrote. */
export function readPadded(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value |= (bytes[at + i]! & 0x7f) << (7 * i);
  return value;
}

/** A block type as an s33, from the output's types. */
export const blockTypeOf = (e: Emitter, type: FuncType): number => e.plan.blockType(type);
