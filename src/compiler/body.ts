/**
 * One function body laid out flat: parallel arrays, one entry an instruction, with the structure already resolved.
 * Instructions that cannot be reached are left out (validation lets them have any operands, and nothing they do can be
 * seen), so later passes never meet a stack of unknown height.
 *
 * `FlatBody.load` may be called again and again; the arrays are reused. A block's entry names its end, an if its
 * else; a branch names the block it goes to by entry (or BODY_LABEL for the function's own label).
 *
 * Why: RATIONALE.md#continuations-are-made-when-they-are-needed
 */
import { larger } from '../base/arrays.ts';
import { assert } from '../base/assert.ts';
import { UnsupportedError } from '../base/errors.ts';
import { BODY, InstructionCursor } from '../wasm/instructions.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import type { ValueType } from '../wasm/types.ts';
import {
  ACCESS,
  BARE,
  BLOCK,
  BR_TABLE,
  BRANCH,
  CALL,
  CONSTANT,
  CURSORS,
  ELSE,
  END,
  INDEX,
  KERNELS,
  KIND,
  LEAVES,
  MEMARG,
  PLAIN,
  SELECT,
  STRAIGHT,
  STRAIGHT_MAX,
} from './bodykinds.ts';

/** The label of the function body itself: branching there returns. */
export const BODY_LABEL = -1;

/** A catch clause with its label resolved to the entry of a block, or BODY_LABEL. */
export interface ResolvedCatch {
  kind: number;
  tag: number;
  target: number;
}

/** Instructions that a byte of code holds, in almost all long functions, and how many are made room for ahead at most. */
const ENTRIES_PER_BYTE = 0.55;
const EXPECTED_MAX = 1 << 17;

export class FlatBody {
  readonly bytes: Uint8Array;
  count = 0;
  op: Uint16Array = new Uint16Array(256);
  /** Byte range of the instruction in the module. */
  start: Uint32Array = new Uint32Array(256);
  end: Uint32Array = new Uint32Array(256);
  /**
   * imm0, imm1 of the cursor (imm1 of accesses, calls, and what the kernel carries out only); for blocks: a is the
   * block type; for br and br_if: a is the target's entry.
   */
  a: Int32Array = new Int32Array(256);
  b: Int32Array = new Int32Array(256);
  /** Accesses: memarg offset, as the cursor gives it. */
  offset: Float64Array = new Float64Array(256);
  /** Blocks: entry of the end. `else`, `end`: entry of what they belong to. */
  match: Int32Array = new Int32Array(256).fill(-1);
  /** `if`: entry of its else, or -1. */
  elseAt: Int32Array = new Int32Array(256).fill(-1);
  /** Number of the safepoint at this entry, from 1; 0 for none. Loops: their poll; calls; waits. */
  site: Int32Array = new Int32Array(256);
  /** Blocks: the last site inside, the first site inside (the loop's own included); 0 and 0 for none. */
  firstSite: Int32Array = new Int32Array(256);
  lastSite: Int32Array = new Int32Array(256);
  /** Loops: some branch goes back. Others: a catch clause goes to their end. Bits TARGETED, CAUGHT; calls and ends: IN_LOOP; calls: QUIET. */
  flags: Uint8Array = new Uint8Array(256);
  /** br_table targets (default last), try_table clauses, select types: by entry. */
  readonly targets: Map<number, Int32Array> = new Map();
  readonly catches: Map<number, ResolvedCatch[]> = new Map();
  readonly selects: Map<number, ValueType> = new Map();
  /** Sites of this body, the entry poll (site 1 when `entryPoll`) included. */
  sites = 0;
  entryPoll = false;
  /** Any kind of call, tail calls included, of what is not quiet (quiet.ts). */
  calls = false;
  /** How deep constructs nest, how many are loops, and how many labels branches and clauses name in all. */
  deepest = 0;
  loops = 0;
  /** How deep loops nest. */
  loopDepth = 0;
  branches = 0;
  /** Memories (bit set) that this body accesses or asks the size of. */
  memories = 0;
  /** Entries there is room for: what others know by entry has room for as many. */
  get room(): number {
    return this.op.length;
  }
  /** Some call, loop, wait or growth is a safepoint. */
  get hasSites(): boolean {
    return this.sites > 0;
  }

  readonly #cursor: InstructionCursor;
  /** Entries of the blocks that are open. */
  #open: Int32Array = new Int32Array(64);
  #depth = 0;
  /** Entries whose kind is not PLAIN. */
  #special: Int32Array = new Int32Array(256);
  #specials = 0;

  readonly #quiet: Uint8Array;

  /** `quiet`: by function, 1 for those whose calls are no safepoints. */
  constructor(bytes: Uint8Array, quiet: Uint8Array = new Uint8Array()) {
    this.bytes = bytes;
    this.#quiet = quiet;
    this.#cursor = new InstructionCursor(bytes);
  }

  /**
   * The longest body to come has so many bytes. Arrays that need not grow leave none behind, and what is not written to
   * takes no memory.
   */
  expect(bytes: number): void {
    const size = Math.min(bytes * ENTRIES_PER_BYTE, EXPECTED_MAX) | 0;
    if (size > this.op.length) this.#resize(size);
  }

  /**
   * More ways than one lead behind the construct at an entry, in the program or in what is made of it: a try_table with a
   * clause that names a loop is written with a way round (control.ts).
   */
  joins(entry: number): boolean {
    const op = this.op[entry]!;
    if (op === OP.loop) return false; // only left by its end, or to other labels
    if (op === OP.if || (this.flags[entry]! & (TARGETED | CAUGHT)) !== 0) return true;
    return (
      op === OP.try_table &&
      this.catches.get(entry)!.some((c) => c.target >= 0 && this.op[c.target] === OP.loop)
    );
  }

  /**
   * Lays out the body [start, end) of `bytes`. `suspend`: number its safepoints. `entered`: it may be begun from a
   * saved frame (it is exported, or the start function), so where it has safepoints its entry is one of them.
   */
  load(start: number, end: number, suspend: boolean, entered: boolean): void {
    this.#clear();
    const cursor = this.#cursor;
    cursor.reset(start, end);
    for (;;) {
      this.#straight(cursor, end);
      if (!cursor.next()) break;
      const { op } = cursor;
      if (this.count === this.op.length) this.#resize(this.op.length * 2);
      const i = this.count++;
      this.op[i] = op;
      this.start[i] = cursor.offset;
      this.end[i] = cursor.end;
      this.a[i] = cursor.imm0;
      const kind = KIND[op]!;
      if (kind === PLAIN) continue;
      if (kind === ACCESS) this.#access(cursor, i);
      else if (this.#append(cursor, i, kind)) this.#skipDead(cursor);
    }
    this.#number(suspend, entered);
  }

  /** Takes back what the last body left in the arrays that are not written for every instruction. */
  #clear(): void {
    const { count } = this;
    this.match.fill(-1, 0, count);
    this.elseAt.fill(-1, 0, count);
    this.site.fill(0, 0, count);
    this.firstSite.fill(0, 0, count);
    this.lastSite.fill(0, 0, count);
    this.flags.fill(0, 0, count);
    this.count = 0;
    this.calls = false;
    this.memories = 0;
    this.deepest = 0;
    this.loops = 0;
    this.branches = 0;
    if (this.targets.size > 0) this.targets.clear();
    if (this.catches.size > 0) this.catches.clear();
    if (this.selects.size > 0) this.selects.clear();
    this.#depth = 0;
    this.#specials = 0;
  }

  /**
   * Takes in what is most common, read here without the cursor: instructions that are nothing but an opcode, an index, a
   * small constant or an access. Stops in front of all else, and before the body's last bytes.
   */
  #straight(cursor: InstructionCursor, end: number): void {
    const { bytes, op: ops, start: starts, end: ends, a, b, offset } = this;
    let at = cursor.end;
    let i = this.count;
    const last = end - STRAIGHT_MAX;
    const room = ops.length;
    while (at < last && i < room) {
      const op = bytes[at]!;
      const form = STRAIGHT[op]!;
      if (form === CURSORS) break;
      let next = at + 1;
      if (form !== BARE) {
        let byte = bytes[next++]!;
        if (form === MEMARG) {
          if (byte >= 0x40) break; // names a memory, or is malformed
          a[i] = 0;
          b[i] = byte;
          byte = bytes[next++]!;
        }
        let value = byte & 0x7f;
        let bits = 7;
        for (; byte >= 0x80 && bits < 28; bits += 7) {
          byte = bytes[next++]!;
          value |= (byte & 0x7f) << bits;
        }
        if (byte >= 0x80) break;
        if (form === INDEX) a[i] = value;
        else if (form === CONSTANT) a[i] = (value << (32 - bits)) >> (32 - bits);
        else {
          offset[i] = value;
          this.memories |= 1;
        }
      }
      ops[i] = op;
      starts[i] = at;
      ends[i++] = next;
      at = next;
    }
    this.count = i;
    cursor.goOn(at);
  }

  #access(cursor: InstructionCursor, i: number): void {
    this.b[i] = cursor.imm1;
    this.offset[i] = cursor.memOffset;
    this.memories |= 1 << cursor.imm0;
  }

  /** What is more than its bytes and first immediate. True where what follows cannot be reached. */
  #append(cursor: InstructionCursor, i: number, kind: number): boolean {
    this.#note(i);
    switch (kind) {
      case BLOCK:
        this.a[i] = cursor.blockType;
        if (cursor.op === OP.try_table) this.#catches(cursor, i);
        this.#openBlock(i);
        return false;
      case END:
        if (cursor.imm0 !== BODY) {
          const opened = this.#open[--this.#depth]!;
          this.match[i] = opened;
          this.match[opened] = i;
        }
        return false;
      case ELSE: {
        const opened = this.#open[this.#depth - 1]!;
        this.match[i] = opened;
        this.elseAt[opened] = i;
        return false;
      }
      case BRANCH:
        this.a[i] = this.#target(cursor.imm0);
        return leaves(cursor.op);
      case BR_TABLE:
        this.#branchTable(cursor, i);
        return true;
      case CALL:
        this.b[i] = cursor.imm1;
        if (cursor.op === OP.call && this.#quiet[cursor.imm0] === 1) this.flags[i]! |= QUIET;
        else this.calls = true;
        return leaves(cursor.op);
      case LEAVES:
        return true;
      case SELECT:
        if (cursor.selectTypes.length !== 1) {
          throw new UnsupportedError('select with other than one type', cursor.offset);
        }
        this.selects.set(i, cursor.selectTypes[0]!);
        return false;
      default:
        assert(kind === KERNELS, 'every kind has a case');
        if (OP_ACCESS[cursor.op] !== ACCESS_NONE || cursor.op === OP.memory_size) this.#access(cursor, i);
        this.b[i] = cursor.imm1;
        return false;
    }
  }

  #note(i: number): void {
    if (this.#specials === this.#special.length) {
      this.#special = larger(this.#special, new Int32Array(this.#specials * 2));
    }
    this.#special[this.#specials++] = i;
  }

  #openBlock(i: number): void {
    if (this.#depth === this.#open.length) {
      this.#open = larger(this.#open, new Int32Array(this.#depth * 2));
    }
    this.#open[this.#depth++] = i;
    if (this.#depth > this.deepest) this.deepest = this.#depth;
    if (this.op[i] === OP.loop) this.loops++;
  }

  /** Steps over what cannot be reached, and takes in the else or end behind which control is back. */
  #skipDead(cursor: InstructionCursor): void {
    const until = this.#depth;
    while (cursor.next()) {
      const { op } = cursor;
      if (op !== OP.end && op !== OP.else) continue;
      if (cursor.depth > (op === OP.else ? until : until - 1)) continue;
      if (this.count === this.op.length) this.#resize(this.op.length * 2);
      const i = this.count++;
      this.op[i] = op;
      this.start[i] = cursor.offset;
      this.end[i] = cursor.end;
      this.a[i] = cursor.imm0;
      this.#append(cursor, i, KIND[op]!);
      return;
    }
  }

  #branchTable(cursor: InstructionCursor, i: number): void {
    const count = cursor.targetCount;
    const list = new Int32Array(count + 1);
    for (let n = 0; n < count; n++) list[n] = this.#target(cursor.targets[n]!);
    list[count] = this.#target(cursor.imm0);
    this.targets.set(i, list);
  }

  #catches(cursor: InstructionCursor, i: number): void {
    const list = cursor.catches.slice(0, cursor.catchCount).map((clause): ResolvedCatch => {
      const target = this.#target(clause.label);
      if (target >= 0 && this.op[target] !== OP.loop) this.flags[target]! |= CAUGHT;
      return { kind: clause.kind, tag: clause.tag, target };
    });
    this.catches.set(i, list);
  }

  /** The entry of the block a label names, marked as a target. */
  #target(label: number): number {
    this.branches++;
    if (label >= this.#depth) return BODY_LABEL;
    const target = this.#open[this.#depth - 1 - label]!;
    this.flags[target]! |= TARGETED;
    return target;
  }

  /** Numbers the sites in order and tells each block which lie inside. */
  #number(suspend: boolean, entered: boolean): void {
    const isPolled = (i: number): boolean => this.op[i] === OP.loop && (this.flags[i]! & TARGETED) !== 0;
    let sites = 0;
    this.entryPoll = suspend && (this.calls || (entered && this.#hasOtherSites(isPolled))) && !isPolled(0);
    if (this.entryPoll) sites = 1;
    let loops = 0;
    this.loopDepth = 0;
    for (let n = 0; n < this.#specials; n++) {
      const i = this.#special[n]!;
      const op = this.op[i]!;
      const kind = KIND[op];
      if (kind === BLOCK) {
        this.firstSite[i] = sites + 1;
        if (op === OP.loop) {
          this.loopDepth = Math.max(this.loopDepth, ++loops);
          if (suspend && isPolled(i)) this.site[i] = ++sites;
        }
      } else if (kind === ELSE) {
        this.lastSite[i] = sites; // the last of the first arm
      } else if (kind === END && this.match[i]! >= 0) {
        const opened = this.match[i]!;
        if (this.op[opened] === OP.loop) loops--;
        if (loops > 0) this.flags[i]! |= IN_LOOP;
        this.lastSite[opened] = sites;
        if (this.firstSite[opened]! > sites) this.firstSite[opened] = this.lastSite[opened] = 0;
      } else {
        if (loops > 0) this.flags[i]! |= IN_LOOP;
        if (suspend && isSiteOp(op) && (this.flags[i]! & QUIET) === 0) this.site[i] = ++sites;
      }
    }
    this.sites = sites;
  }

  /** Some safepoint is not a call. */
  #hasOtherSites(isPolled: (i: number) => boolean): boolean {
    for (let n = 0; n < this.#specials; n++) {
      const i = this.#special[n]!;
      if ((isSiteOp(this.op[i]!) && (this.flags[i]! & QUIET) === 0) || isPolled(i)) return true;
    }
    return false;
  }

  /** Whether control gets to an entry from the one before, when the code begins at entry `from`. */
  fallsInto(i: number, from = 0): boolean {
    return i <= from || !leaves(this.op[i - 1]!);
  }

  #resize(size: number): void {
    const { length } = this.op;
    this.op = larger(this.op, new Uint16Array(size));
    this.start = larger(this.start, new Uint32Array(size));
    this.end = larger(this.end, new Uint32Array(size));
    this.a = larger(this.a, new Int32Array(size));
    this.b = larger(this.b, new Int32Array(size));
    this.offset = larger(this.offset, new Float64Array(size));
    this.match = larger(this.match, new Int32Array(size).fill(-1, length));
    this.elseAt = larger(this.elseAt, new Int32Array(size).fill(-1, length));
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
/** A call that is no safepoint. */
export const QUIET = 8;

/** Instructions that never go on to the next. */
export function leaves(op: number): boolean {
  const isTailCall = op === OP.return_call || op === OP.return_call_indirect;
  return KIND[op] === LEAVES || KIND[op] === BR_TABLE || op === OP.br || isTailCall;
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
