/**
 * One function body laid out flat: parallel arrays, one entry an instruction, with the structure already resolved.
 * Instructions that cannot be reached are left out (validation lets them have any operands, and nothing they do can be
 * seen), so later passes never meet a stack of unknown height.
 *
 * `FlatBody.load` may be called again and again; the arrays are reused. A block's entry names its end, an if its
 * else; a branch names the block it goes to by entry (or BODY_LABEL for the function's own label).
 *
 * Why: RATIONALE.md#two-versions-of-each-function
 */
import { UnsupportedError } from '../base/errors.ts';
import { BODY, type CatchClause, InstructionCursor } from '../wasm/instructions.ts';
import { OP } from '../wasm/opcodes.ts';
import {
  ACCESS_NONE,
  IMM_BLOCK,
  IMM_BR_TABLE,
  IMM_SELECT,
  IMM_TRY_TABLE,
  OP_ACCESS,
  OP_IMMEDIATE,
} from '../wasm/optable.ts';
import type { ValueType } from '../wasm/types.ts';

/** The label of the function body itself: branching there returns. */
export const BODY_LABEL = -1;

/** A catch clause with its label resolved to the entry of a block, or BODY_LABEL. */
export interface ResolvedCatch {
  kind: number;
  tag: number;
  target: number;
}

export class FlatBody {
  readonly bytes: Uint8Array;
  count = 0;
  op: Uint16Array = new Uint16Array(256);
  /** Byte range of the instruction in the module. */
  start: Uint32Array = new Uint32Array(256);
  end: Uint32Array = new Uint32Array(256);
  /** imm0, imm1 of the cursor; for blocks: a is the block type; for br and br_if: a is the target's entry. */
  a: Int32Array = new Int32Array(256);
  b: Int32Array = new Int32Array(256);
  /** memarg offset, as the cursor gives it. */
  offset: Float64Array = new Float64Array(256);
  /** Blocks: entry of the end. `else`, `end`: entry of what they belong to. */
  match: Int32Array = new Int32Array(256);
  /** `if`: entry of its else, or -1. */
  elseAt: Int32Array = new Int32Array(256);
  /** Number of the safepoint at this entry, from 1; 0 for none. Loops: their poll; calls; waits. */
  site: Int32Array = new Int32Array(256);
  /** Blocks: the last site inside, the first site inside (the loop's own included); 0 and 0 for none. */
  firstSite: Int32Array = new Int32Array(256);
  lastSite: Int32Array = new Int32Array(256);
  /** Loops: some branch goes back. Others: a catch clause goes to their end. Bits TARGETED, CAUGHT; calls and ends: IN_LOOP. */
  flags: Uint8Array = new Uint8Array(256);
  /** br_table targets (default last), try_table clauses, select types: by entry. */
  readonly targets: Map<number, Int32Array> = new Map();
  readonly catches: Map<number, ResolvedCatch[]> = new Map();
  readonly selects: Map<number, ValueType> = new Map();
  /** Sites of this body, the entry poll (site 1 when `entryPoll`) included. */
  sites = 0;
  entryPoll = false;
  /** Any kind of call, tail calls included. */
  calls = false;
  /** Memories (bit set) that this body accesses or asks the size of. */
  memories = 0;
  /** Some call, loop, wait or growth is a safepoint. */
  get hasSites(): boolean {
    return this.sites > 0;
  }

  readonly #cursor: InstructionCursor;
  readonly #open: number[] = [];

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#cursor = new InstructionCursor(bytes);
  }

  /**
   * Lays out the body [start, end) of `bytes`. `suspend`: number its safepoints. `entered`: it may be begun from a
   * saved frame (it is exported, or the start function), so where it has safepoints its entry is one of them.
   */
  load(start: number, end: number, suspend: boolean, entered: boolean): void {
    this.count = 0;
    this.calls = false;
    this.memories = 0;
    this.targets.clear();
    this.catches.clear();
    this.selects.clear();
    this.#open.length = 0;
    const cursor = this.#cursor;
    cursor.reset(start, end);
    /** While positive: how many blocks are open inside unreachable code; -1 when reachable. */
    let dead = -1;
    while (cursor.next()) {
      const { op } = cursor;
      if (dead >= 0) {
        const kind = OP_IMMEDIATE[op];
        if (kind === IMM_BLOCK || kind === IMM_TRY_TABLE) dead++;
        else if (op === OP.end && dead > 0) dead--;
        else if ((op === OP.end || op === OP.else) && dead === 0) dead = -1;
        if (dead >= 0) continue;
      }
      this.#append(cursor);
      if (isTerminator(op)) dead = 0;
    }
    this.#number(suspend, entered);
  }

  #append(cursor: InstructionCursor): void {
    const i = this.count++;
    if (i === this.op.length) this.#grow();
    const { op } = cursor;
    this.op[i] = op;
    this.start[i] = cursor.offset;
    this.end[i] = cursor.end;
    this.a[i] = cursor.imm0;
    this.b[i] = cursor.imm1;
    this.offset[i] = cursor.memOffset;
    this.match[i] = -1;
    this.elseAt[i] = -1;
    this.site[i] = 0;
    this.firstSite[i] = 0;
    this.lastSite[i] = 0;
    this.flags[i] = 0;
    const kind = OP_IMMEDIATE[op];
    if (OP_ACCESS[op] !== ACCESS_NONE || op === OP.memory_size) this.memories |= 1 << cursor.imm0;
    if (kind === IMM_BLOCK) {
      this.a[i] = cursor.blockType;
      this.#open.push(i);
    } else if (kind === IMM_TRY_TABLE) {
      this.a[i] = cursor.blockType;
      this.catches.set(
        i,
        cursor.catches.slice(0, cursor.catchCount).map((c) => this.#catch(c)),
      );
      this.#open.push(i);
    } else if (op === OP.end) {
      if (cursor.imm0 !== BODY) {
        const opened = this.#open.pop()!;
        this.match[i] = opened;
        this.match[opened] = i;
      }
    } else if (op === OP.else) {
      const opened = this.#open.at(-1)!;
      this.match[i] = opened;
      this.elseAt[opened] = i;
    } else if (op === OP.br || op === OP.br_if) {
      this.a[i] = this.#target(cursor.imm0);
    } else if (kind === IMM_BR_TABLE) {
      const list = Int32Array.from([...cursor.targets.subarray(0, cursor.targetCount), cursor.imm0]);
      this.targets.set(
        i,
        list.map((label) => this.#target(label)),
      );
    } else if (kind === IMM_SELECT) {
      if (cursor.selectTypes.length !== 1) {
        throw new UnsupportedError('select with other than one type', cursor.offset);
      }
      this.selects.set(i, cursor.selectTypes[0]!);
    }
  }

  #catch(clause: CatchClause): ResolvedCatch {
    const target = this.#target(clause.label);
    if (target >= 0 && this.op[target] !== OP.loop) this.flags[target]! |= CAUGHT;
    return { kind: clause.kind, tag: clause.tag, target };
  }

  /** The entry of the block a label names, marked as a target. */
  #target(label: number): number {
    const target = this.#open[this.#open.length - 1 - label] ?? BODY_LABEL;
    if (target >= 0) this.flags[target]! |= TARGETED;
    return target;
  }

  /** Numbers the sites in order and tells each block which lie inside. */
  #number(suspend: boolean, entered: boolean): void {
    let sites = 0;
    let loops = 0;
    let others = false;
    for (let i = 0; i < this.count; i++) {
      const op = this.op[i]!;
      if (isCall(op)) this.calls = true;
      else if (isSiteOp(op) || (op === OP.loop && (this.flags[i]! & TARGETED) !== 0)) others = true;
    }
    const firstLoop = this.op[0] === OP.loop && (this.flags[0]! & TARGETED) !== 0;
    this.entryPoll = suspend && (this.calls || (entered && others)) && !firstLoop;
    if (this.entryPoll) sites = 1;
    for (let i = 0; i < this.count; i++) {
      const op = this.op[i]!;
      const kind = OP_IMMEDIATE[op];
      if (kind === IMM_BLOCK || kind === IMM_TRY_TABLE) {
        this.firstSite[i] = sites + 1;
        if (op === OP.loop) {
          loops++;
          if (suspend && (this.flags[i]! & TARGETED) !== 0) this.site[i] = ++sites;
        }
      } else if (op === OP.else) {
        this.lastSite[i] = sites; // the last of the first arm
      } else if (op === OP.end && this.match[i]! >= 0) {
        const opened = this.match[i]!;
        if (this.op[opened] === OP.loop) loops--;
        if (loops > 0) this.flags[i]! |= IN_LOOP;
        this.lastSite[opened] = sites;
        if (this.firstSite[opened]! > sites) this.firstSite[opened] = this.lastSite[opened] = 0;
      } else {
        if (loops > 0) this.flags[i]! |= IN_LOOP;
        if (suspend && isSiteOp(op)) this.site[i] = ++sites;
      }
    }
    this.sites = sites;
  }

  #grow(): void {
    const size = this.op.length * 2;
    const larger = <T extends { set(from: T): void }>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.op = larger(this.op, new Uint16Array(size));
    this.start = larger(this.start, new Uint32Array(size));
    this.end = larger(this.end, new Uint32Array(size));
    this.a = larger(this.a, new Int32Array(size));
    this.b = larger(this.b, new Int32Array(size));
    this.offset = larger(this.offset, new Float64Array(size));
    this.match = larger(this.match, new Int32Array(size));
    this.elseAt = larger(this.elseAt, new Int32Array(size));
    this.site = larger(this.site, new Int32Array(size));
    this.firstSite = larger(this.firstSite, new Int32Array(size));
    this.lastSite = larger(this.lastSite, new Int32Array(size));
    this.flags = larger(this.flags, new Uint8Array(size));
  }
}

/** Flags of an entry. */
export const TARGETED = 1;
export const CAUGHT = 2;
export const IN_LOOP = 4;

/** Nothing behind it in its block is reached. */
function isTerminator(op: number): boolean {
  switch (op) {
    case OP.unreachable:
    case OP.br:
    case OP.br_table:
    case OP.return:
    case OP.return_call:
    case OP.return_call_indirect:
    case OP.throw:
    case OP.throw_ref:
      return true;
    default:
      return false;
  }
}

/** Every kind of call of the program's own. */
export function isCall(op: number): boolean {
  return op >= OP.call && op <= OP.return_call_indirect;
}

/**
 * Instructions other than loops that are safepoints: calls, and what the kernel may have to unwind the code for first.
 */
function isSiteOp(op: number): boolean {
  return (
    op === OP.call ||
    op === OP.call_indirect ||
    op === OP.memory_atomic_wait32 ||
    op === OP.memory_atomic_wait64 ||
    op === OP.memory_grow
  );
}
