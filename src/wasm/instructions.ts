/**
 * A cursor over the instructions of one function body (or one constant expression). It decodes one
 * instruction at a time into its own fields and allocates nothing, checks the form of every immediate, and
 * sees to it that blocks nest and that the body ends with the `end` that closes it. Types are not checked:
 * that is validation, and V8 does it.
 *
 *     cursor.reset(code.start, code.end);
 *     while (cursor.next()) switch (cursor.op) { … }
 *
 * Fields hold what the last `next()` decoded, and only those that the kind of immediate names; the others are
 * stale.
 *   IMM_INDEX, IMM_LABEL  imm0
 *   IMM_INDEX2       imm0, imm1 in the order of the bytes: call_indirect type, table; memory.init data, memory;
 *                    memory.copy destination, source; table.init element segment, table; table.copy
 *                    destination, source
 *   IMM_I32          imm0 (an int32)
 *   IMM_I64          lo, hi (int32s), and `i64`
 *   IMM_F32          imm0 (the bits, as an int32)
 *   IMM_F64          lo, hi (the bits), and `f64bits`
 *   IMM_MEMARG       imm0 memory, imm1 log2 of the alignment, memOffset
 *   IMM_MEMARG_LANE  these, and imm2 the lane
 *   IMM_LANE         imm2
 *   IMM_V128         16 bytes at bytes[end - 16]
 *   IMM_BLOCK        blockType (see `blockFuncType`)
 *   IMM_TRY_TABLE    blockType, catches[0 .. catchCount); their labels count from outside the try_table
 *   IMM_BR_TABLE     targets[0 .. targetCount), and imm0 the default label
 *   IMM_SELECT       selectTypes
 *   IMM_REF_NULL     imm0: FUNCREF, EXTERNREF or EXNREF
 *   IMM_ELSE, IMM_END  imm0: the instruction that opened what ends here (OP.if for else; OP.else where an if had
 *                    one; `BODY` for the body's end)
 */
import { OP, PREFIX_FC, PREFIX_FD, PREFIX_FE } from './opcodes.ts';
import {
  IMM_BLOCK,
  IMM_BR_TABLE,
  IMM_ELSE,
  IMM_END,
  IMM_F32,
  IMM_F64,
  IMM_FENCE,
  IMM_I32,
  IMM_I64,
  IMM_INDEX,
  IMM_INDEX2,
  IMM_LABEL,
  IMM_LANE,
  IMM_MEMARG,
  IMM_MEMARG_LANE,
  IMM_NONE,
  IMM_REF_NULL,
  IMM_SELECT,
  IMM_TRY_TABLE,
  IMM_UNKNOWN,
  IMM_V128,
  OP_IMMEDIATE,
} from './optable.ts';
import { bigintOf, Reader } from './reader.ts';
import { refuseOpcode, refusePrefixed } from './refused.ts';
import { decodeHeapType, decodeValueType, refuseType } from './typecodec.ts';
import { EMPTY_BLOCK, isValueType, type ValueType } from './types.ts';
import type { Writer } from './writer.ts';

/** `imm0` of the `end` that closes the whole body. */
export const BODY = -1;

/** Kinds of catch clauses. */
export const CATCH = 0;
export const CATCH_REF = 1;
export const CATCH_ALL = 2;
export const CATCH_ALL_REF = 3;

export interface CatchClause {
  /** CATCH, CATCH_REF, CATCH_ALL or CATCH_ALL_REF. */
  kind: number;
  /** Index of the tag; 0 for the kinds that catch all. */
  tag: number;
  /** Label, counted from outside the try_table. */
  label: number;
}

/** In a memarg's first integer: a memory index follows. */
const HAS_MEMORY = 0x40;

/** By byte: the integers behind an instruction that consists of these alone; OTHER for all others. */
const OTHER = 255;
const INTEGERS = Uint8Array.from({ length: 256 }, (_, op) => {
  const kind = OP_IMMEDIATE[op]!;
  if (kind === IMM_NONE) return 0;
  if (kind === IMM_INDEX || kind === IMM_LABEL || kind === IMM_I32 || kind === IMM_I64) return 1;
  return kind === IMM_MEMARG ? 2 : OTHER;
});

export class InstructionCursor {
  readonly bytes: Uint8Array;
  /** The instruction (see `opcodes.ts`). */
  op = 0;
  /** Offset of the instruction in `bytes`. */
  offset = 0;
  /** Offset behind the instruction: `bytes[offset .. end)` is its encoding. */
  end = 0;
  /** Blocks that are open behind this instruction; 0 outside all, -1 behind the body's end. */
  depth = 0;
  imm0 = 0;
  imm1 = 0;
  imm2 = 0;
  /** The constant offset of an access: exact below 2^53, else the nearest double (2^53 or more). */
  memOffset = 0.5;
  /** Halves of a 64-bit constant. */
  lo = 0;
  hi = 0;
  blockType = EMPTY_BLOCK;
  /** Reused: only the first `targetCount` belong to the last br_table. */
  targets: Uint32Array = new Uint32Array(16);
  targetCount = 0;
  /** Reused, objects included: only the first `catchCount` belong to the last try_table. */
  readonly catches: CatchClause[] = [];
  catchCount = 0;
  readonly selectTypes: ValueType[] = [];

  readonly #r: Reader;
  /** The instruction that opened each open block. */
  #open: Uint8Array = new Uint8Array(64);
  /** True for a constant expression: it ends where its `end` is. */
  #expression = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#r = new Reader(bytes, 0, 0);
    this.memOffset = 0;
  }

  /** Goes to the start of a body that takes exactly the bytes [start, end). */
  reset(start: number, end: number): void {
    this.#r.pos = start;
    this.#r.end = end;
    this.end = start;
    this.depth = 0;
    this.#expression = false;
  }

  /** Goes on at an offset in the body: all between was read by others, and opened or closed nothing. */
  goOn(offset: number): void {
    this.#r.pos = offset;
    this.end = offset;
  }

  /**
   * Goes to the start of an expression that ends before `limit`; behind its last instruction, `end` says
   * where.
   */
  resetExpression(start: number, limit: number): void {
    this.reset(start, limit);
    this.#expression = true;
  }

  /** A 64-bit constant as a signed bigint. */
  get i64(): bigint {
    return bigintOf(this.lo, this.hi, true);
  }

  /** The bits of an f64 constant. */
  get f64bits(): bigint {
    return bigintOf(this.lo, this.hi, false);
  }

  /** The constant offset of an access, exact. */
  get memOffset64(): bigint {
    return bigintOf(this.lo, this.hi, false);
  }

  /** Writes the instruction as it is in `bytes`. */
  copyTo(w: Writer): void {
    w.rawRange(this.bytes, this.offset, this.end);
  }

  /**
   * Decodes the next instruction; false behind the body's end. Throws `MalformedError` or `UnsupportedError`.
   */
  next(): boolean {
    const r = this.#r;
    if (this.depth < 0) return false;
    const offset = r.pos;
    if (offset >= r.end) r.fail('the body ends before its end instruction', offset);
    let op = r.bytes[offset]!;
    r.pos = offset + 1;
    this.offset = offset;
    if (op >= 0xfb) op = this.#prefixed(op, offset);
    this.op = op;
    const kind = OP_IMMEDIATE[op]!;
    if (kind === IMM_INDEX || kind === IMM_LABEL) this.imm0 = r.u32();
    else if (kind === IMM_I32) this.imm0 = r.s32();
    else if (kind === IMM_MEMARG) this.#memarg(r);
    else if (kind !== IMM_NONE) this.#immediates(r, kind);
    this.end = r.pos;
    return true;
  }

  /**
   * Goes to the next instruction that `wanted` (by number) has a 1 for, and decodes it; false where there is none. What
   * lies between is stepped over: that it ends and that its blocks nest is checked, the form of its integers is not.
   */
  nextOf(wanted: Uint8Array): boolean {
    const r = this.#r;
    const { bytes } = r;
    while (this.depth >= 0) {
      let pos = r.pos;
      while (pos < r.end) {
        const op = bytes[pos]!;
        const integers = INTEGERS[op]!;
        if (integers === OTHER || wanted[op] === 1) break;
        // A memarg that names a memory has an integer more.
        let left = integers === 2 && bytes[pos + 1]! >= HAS_MEMORY ? 3 : integers;
        pos++;
        for (; left > 0; left--) while (bytes[pos++]! >= 0x80);
      }
      r.pos = pos;
      if (!this.next()) return false;
      if (wanted[this.op] === 1) return true;
    }
    return false;
  }

  #prefixed(prefix: number, offset: number): number {
    const n = this.#r.u32();
    if (prefix === 0xfc && n < 0x100) prefix = PREFIX_FC + n;
    else if (prefix === 0xfd && n < 0x200) prefix = PREFIX_FD + n;
    else if (prefix === 0xfe && n < 0x100) prefix = PREFIX_FE + n;
    else refusePrefixed(prefix, n, offset);
    if (OP_IMMEDIATE[prefix] === IMM_UNKNOWN) refusePrefixed(this.bytes[offset]!, n, offset);
    return prefix;
  }

  #immediates(r: Reader, kind: number): void {
    switch (kind) {
      case IMM_BLOCK:
        this.#blockType(r);
        this.#openBlock();
        break;
      case IMM_END:
        this.#end(r);
        break;
      case IMM_ELSE:
        this.#else(r);
        break;
      case IMM_INDEX2:
        this.imm0 = r.u32();
        this.imm1 = r.u32();
        break;
      case IMM_I64:
        r.leb64(true);
        this.lo = r.lo;
        this.hi = r.hi;
        break;
      case IMM_F32:
        this.imm0 = r.f32bits() | 0;
        break;
      case IMM_F64:
        this.lo = r.f32bits() | 0;
        this.hi = r.f32bits() | 0;
        break;
      case IMM_BR_TABLE:
        this.#branchTable(r);
        break;
      case IMM_V128:
        r.skip(16);
        break;
      case IMM_LANE:
        this.imm2 = r.u8();
        break;
      case IMM_MEMARG_LANE:
        this.#memarg(r);
        this.imm2 = r.u8();
        break;
      default:
        this.#rareImmediates(r, kind);
    }
  }

  #rareImmediates(r: Reader, kind: number): void {
    if (kind === IMM_SELECT) {
      const count = r.count('types');
      this.selectTypes.length = 0;
      for (let i = 0; i < count; i++) this.selectTypes.push(decodeValueType(r));
    } else if (kind === IMM_REF_NULL) {
      this.imm0 = decodeHeapType(r);
    } else if (kind === IMM_TRY_TABLE) {
      this.#blockType(r);
      this.#catches(r);
      this.#openBlock();
    } else if (kind === IMM_FENCE) {
      if (r.u8() !== 0) r.fail('zero byte expected', r.pos - 1);
    } else {
      refuseOpcode(this.op, this.offset);
    }
  }

  #memarg(r: Reader): void {
    const at = r.pos;
    const flags = r.u32();
    if (flags >= HAS_MEMORY * 2) r.fail('malformed memop flags', at);
    if (flags >= HAS_MEMORY) {
      this.imm1 = flags - HAS_MEMORY;
      this.imm0 = r.u32();
    } else {
      this.imm1 = flags;
      this.imm0 = 0;
    }
    r.leb64(false);
    this.lo = r.lo;
    this.hi = r.hi;
    this.memOffset = (r.hi >>> 0) * 0x1_0000_0000 + (r.lo >>> 0);
  }

  #blockType(r: Reader): void {
    const at = r.pos;
    const type = r.s33();
    if (type < 0 && type !== EMPTY_BLOCK && !isValueType(type + 128)) {
      if (type < EMPTY_BLOCK) r.fail('malformed block type', at);
      refuseType(r, type + 128, at);
    }
    this.blockType = type;
  }

  #openBlock(): void {
    const depth = this.depth++;
    if (depth === this.#open.length) {
      const larger = new Uint8Array(depth * 2);
      larger.set(this.#open);
      this.#open = larger;
    }
    this.#open[depth] = this.op;
  }

  #else(r: Reader): void {
    const depth = this.depth - 1;
    if (depth < 0 || this.#open[depth] !== OP.if) r.fail('else without if', this.offset);
    this.#open[depth] = OP.else;
    this.imm0 = OP.if;
  }

  #end(r: Reader): void {
    const depth = --this.depth;
    if (depth >= 0) {
      this.imm0 = this.#open[depth]!;
      return;
    }
    this.imm0 = BODY;
    if (!this.#expression && r.pos !== r.end) r.fail('the body goes on behind its end', r.pos);
  }

  #branchTable(r: Reader): void {
    const count = r.count('labels');
    if (count > this.targets.length) this.targets = new Uint32Array(Math.max(count, this.targets.length * 2));
    for (let i = 0; i < count; i++) this.targets[i] = r.u32();
    this.targetCount = count;
    this.imm0 = r.u32();
  }

  #catches(r: Reader): void {
    const count = r.count('catch clauses');
    for (let i = 0; i < count; i++) {
      const kind = r.u8();
      if (kind > CATCH_ALL_REF) r.fail('malformed catch clause', r.pos - 1);
      let clause = this.catches[i];
      if (clause === undefined) {
        clause = { kind: 0, tag: 0, label: 0 };
        this.catches.push(clause);
      }
      clause.kind = kind;
      clause.tag = kind < CATCH_ALL ? r.u32() : 0;
      clause.label = r.u32();
    }
    this.catchCount = count;
  }
}
