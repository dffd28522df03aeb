/**
 * The verifier's pass over one function: forward, once, with no search. README.md gives each rule and why it is sound;
 * the names here are the names there.
 *
 * V8 compiles the same bytes, so operand types are taken for granted; heights of the operand stack and label depths
 * are checked all the same, for this code must refuse what is malformed and never go wrong on it.
 */
import type { Evidence, RoleLocal } from '../abi/evidence.ts';
import { FLAG_ADDRESS, MARKS_ADDRESS, STATE_OFFSET } from '../abi/layout.ts';
import { SYSTEM_IMPORTS } from '../abi/system.ts';
import { MalformedError, RefusedError } from '../base/errors.ts';
import { PAGE_SHIFT } from '../base/limits.ts';
import type { Cursor } from './cursor.ts';
import type { FuncShape } from './decode.ts';
import {
  gives,
  IMM_MEMARG_LANE,
  immediate,
  memargOffset,
  PLAIN,
  PREFIX_FC,
  PREFIX_FD,
  PREFIX_FE,
  selectType,
  skipImmediate,
  skipInstruction,
  takes,
  touches,
  valueType,
} from './opcodes.ts';
import { LIMITS, NONE, PAGE, VALUE, Values, ZERO } from './values.ts';

/** Most locals of a function, parameters included: V8's limit. */
export const LOCALS_MAX = 50_000;
/** Most operands on the stack and constructs open at once: far more than any compiler makes. */
export const OPERANDS_MAX = 1_000_000;
export const NESTING_MAX = 100_000;
const I32_LOAD = 0x28;
const I32_STORE8 = 0x3a;

const BLOCK = 0;
const LOOP = 1;
const IF = 2;
const ELSE = 3;
/** No branch has reached a label yet; branches of several epochs have. */
const NO_EPOCH = -1;
const MIXED = -2;

/** A construct that is open. Objects are kept and used again for every construct at the same depth. */
interface Frame {
  kind: number;
  /** Offset of the instruction that opened it. */
  start: number;
  /** Operands below the construct's own. */
  height: number;
  params: number;
  results: number;
  /** `if`: what it asked. */
  condition: number;
  // The state when it was opened.
  fresh: number;
  epoch: number;
  floor: number;
  // What the branches to its end brought.
  reached: boolean;
  reachedFresh: number;
  reachedEpoch: number;
}

/** What the pass must know of the module. */
export interface Surroundings {
  readonly evidence: Evidence;
  readonly types: readonly FuncShape[];
  /** Type index of every function, imported ones included. */
  readonly functions: readonly number[];
}

export class FunctionPass {
  readonly #c: Cursor;
  readonly #module: Surroundings;
  readonly #evidence: Evidence;
  readonly #values = new Values();
  /** By global, from the first of the system: memory + 1 for a base, -(memory + 1) for a limit. */
  readonly #systemGlobal: number[] = [];

  #function = 0;
  /** Offset of the instruction. */
  #at = 0;
  #stack: Int32Array = new Int32Array(1024);
  #sp = 0;
  readonly #frames: Frame[] = [];
  #depth = 0;
  #locals = 0;
  /** Value and stamp of each ordinary local; a stamp before #floor is void. */
  readonly #localValue = new Int32Array(LOCALS_MAX);
  readonly #localStamp = new Int32Array(LOCALS_MAX);
  #floor = 0;
  /** Roles: for the function `#roleOwner[local]`; memory + 1 for a base, -(memory + 1) for a limit. */
  readonly #role = new Int8Array(LOCALS_MAX);
  readonly #roleOwner = new Int32Array(LOCALS_MAX).fill(-1);
  readonly #roleBit = new Int32Array(LOCALS_MAX);
  /** Bits of the base locals that are known to hold the base of now. */
  #fresh = 0;
  /** Changes with every instruction after which bases may have changed. */
  #epoch = 0;
  #epochs = 0;

  constructor(cursor: Cursor, module: Surroundings) {
    this.#c = cursor;
    this.#module = module;
    this.#evidence = module.evidence;
    const first = this.#evidence.systemGlobals.start;
    this.#systemGlobal[this.#evidence.hdrGlobal - first] = 1;
    this.#evidence.memories.forEach((memory, i) => {
      this.#systemGlobal[memory.baseGlobal - first] = i + 1;
      this.#systemGlobal[memory.limitGlobal - first] = -(i + 1);
    });
  }

  /**
   * Verifies the body at [start, end): local declarations and instructions.
   * @throws RefusedError for what breaks a rule, MalformedError for what is no WebAssembly.
   */
  run(index: number, roles: readonly RoleLocal[], start: number, end: number): void {
    const c = this.#c;
    c.pos = start;
    c.end = end;
    this.#function = index;
    this.#at = start;
    const type = this.#module.types[this.#module.functions[index]!]!;
    this.#values.begin();
    this.#sp = 0;
    this.#depth = 0;
    this.#floor = start;
    this.#fresh = 0;
    this.#epoch = 0;
    this.#epochs = 0;
    this.#declareLocals(type.params);
    this.#declareRoles(roles, type.params);
    this.#open(BLOCK, 0, type.results);
    while (this.#depth > 0) {
      this.#at = c.pos;
      const op = c.u8();
      const entry = PLAIN[op]!;
      if (entry !== 0) this.#simple(op, entry);
      else if (!this.#instruction(op)) this.#skipDead();
    }
    if (c.pos !== end) c.fail('code behind the end of the function');
  }

  #refuse(reason: string): never {
    throw new RefusedError(reason, this.#function, this.#at);
  }

  #declareLocals(params: number): void {
    const c = this.#c;
    let locals = params;
    for (let runs = c.count(); runs > 0; runs--) {
      locals += c.u32();
      if (locals > LOCALS_MAX) this.#refuse(`more than ${LOCALS_MAX} locals`);
      valueType(c);
    }
    this.#locals = locals;
  }

  #declareRoles(roles: readonly RoleLocal[], params: number): void {
    let bases = 0;
    for (const { local, role, memory } of roles) {
      // A parameter starts with a value the caller chose; any other local starts as 0, which is below every limit.
      if (local < params || local >= this.#locals)
        this.#refuse(`role local ${local} is not a local of its own`);
      if (memory >= this.#evidence.memories.length && (role === 'limit' || memory > 0)) {
        this.#refuse(`role local ${local} names memory ${memory}`);
      }
      if (this.#roleOwner[local] === this.#function) this.#refuse(`local ${local} has two roles`);
      this.#roleOwner[local] = this.#function;
      this.#role[local] = role === 'base' ? memory + 1 : -(memory + 1);
      if (role === 'base' && ++bases > 31) this.#refuse('more than 31 base locals');
      this.#roleBit[local] = role === 'base' ? 1 << (bases - 1) : 0;
    }
  }

  // --- the operand stack

  #push(id: number): void {
    if (this.#sp === this.#stack.length) this.#room(1);
    this.#stack[this.#sp++] = id;
  }

  #pushUnknown(count: number): void {
    if (this.#sp + count > this.#stack.length) this.#room(count);
    this.#stack.fill(NONE, this.#sp, this.#sp + count);
    this.#sp += count;
  }

  #room(count: number): void {
    if (this.#sp + count > OPERANDS_MAX) this.#refuse(`more than ${OPERANDS_MAX} operands`);
    const larger = new Int32Array(Math.max(this.#stack.length * 2, this.#sp + count));
    larger.set(this.#stack);
    this.#stack = larger;
  }

  #pop(): number {
    if (this.#sp <= this.#frames[this.#depth - 1]!.height) this.#refuse('too few operands');
    return this.#stack[--this.#sp]!;
  }

  #popMany(count: number): void {
    if (this.#sp - count < this.#frames[this.#depth - 1]!.height) this.#refuse('too few operands');
    this.#sp -= count;
  }

  // --- locals

  #localIndex(): number {
    const local = this.#c.u32();
    if (local >= this.#locals) this.#refuse(`there is no local ${local}`);
    return local;
  }

  #localGet(local: number): number {
    const values = this.#values;
    if (this.#roleOwner[local] === this.#function) {
      const role = this.#role[local]!;
      if (role < 0) return LIMITS - role - 1;
      return (this.#fresh & this.#roleBit[local]!) !== 0 ? values.baseOf(role - 1, this.#epoch) : NONE;
    }
    const stamp = this.#localStamp[local]!;
    let id = this.#localValue[local]!;
    if (id === NONE || stamp < this.#floor || values.isVoid(stamp)) {
      id = values.fresh();
      this.#localValue[local] = id;
      this.#localStamp[local] = this.#at;
    }
    return id;
  }

  #localSet(local: number, id: number): void {
    if (this.#roleOwner[local] !== this.#function) {
      this.#localValue[local] = id;
      this.#localStamp[local] = this.#at;
      return;
    }
    const role = this.#role[local]!;
    if (role < 0) {
      if (id !== LIMITS - role - 1) this.#refuse(`limit local ${local} is set to something else`);
      return;
    }
    if (!this.#isBase(id, role)) this.#refuse(`base local ${local} is set to something else`);
    this.#fresh |= this.#roleBit[local]!;
  }

  /** True for exactly the base of memory `role - 1` as it is now. */
  #isBase(id: number, role: number): boolean {
    const values = this.#values;
    return (
      values.kind[id] === VALUE &&
      values.base[id] === role &&
      values.root[id] === ZERO &&
      values.constant[id] === 0 &&
      values.epoch[id] === this.#epoch
    );
  }

  /** From here on bases may have changed. */
  #stale(): void {
    this.#fresh = 0;
    this.#epoch = ++this.#epochs;
  }

  // --- memory

  /** An instruction with a table entry. */
  #simple(op: number, entry: number): void {
    const c = this.#c;
    const values = this.#values;
    const size = touches(entry);
    const count = takes(entry);
    if (size !== 0) {
      const offset = memargOffset(c);
      if (immediate(entry) === IMM_MEMARG_LANE) c.u8();
      if (this.#sp - count < this.#frames[this.#depth - 1]!.height) this.#refuse('too few operands');
      this.#access(op, this.#stack[this.#sp - count]!, offset, size);
      this.#sp -= count;
      if (gives(entry) !== 0) this.#push(NONE);
      return;
    }
    skipImmediate(c, entry);
    if (count === 2) {
      const y = this.#pop();
      const x = this.#pop();
      let id = NONE;
      if (op === 0x7c) id = values.add(x, y);
      else if (op === 0x56) id = values.exceeds(x, y);
      else if (op === 0x88) id = values.page(x, y, PAGE_SHIFT);
      else if (op === 0x72) id = values.either(x, y);
      this.#push(id);
      return;
    }
    if (count === 1) {
      const x = this.#pop();
      this.#push(op === 0xad ? values.extend(x) : NONE);
      return;
    }
    this.#popMany(count);
    this.#pushUnknown(gives(entry));
  }

  /** Rules A to D: the access of `size` bytes at `address` + `offset`. `op` is the plain opcode or the prefix. */
  #access(op: number, address: number, offset: number, size: number): void {
    const values = this.#values;
    const kind = values.kind[address];
    const base = values.base[address]!;
    if (kind === VALUE && base === 0) {
      if (op === I32_LOAD && offset === FLAG_ADDRESS && values.isLiteral(address, 0)) return; // A: the poll
      this.#refuse('the address has no base');
    }
    if ((kind !== VALUE && kind !== PAGE) || base === 0)
      this.#refuse('the address is not a base and a value');
    if (values.epoch[address] !== this.#epoch) this.#refuse('the base may have changed since it was read');
    const memory = base - 1;
    const root = values.root[address]!;
    const front = memory === 0 ? this.#evidence.controlBytes : 0;
    // A module without memories has a control area all the same.
    const known = memory < this.#evidence.memories.length || root === ZERO ? values.known(root, memory) : -1;
    if (kind === PAGE) return this.#mark(op, address, offset, front, known);
    const first = values.constant[address]! + offset;
    if (memory === 0 && root === ZERO && first >= STATE_OFFSET && first + size <= front) return; // B
    if (known < 0) this.#refuse('no check covers the value in the address');
    if (first < front) this.#refuse('the access reaches into the control area');
    if (first - front + size > known) {
      this.#refuse(`the check covers ${known} bytes, the access reaches ${first - front + size}`);
    }
  }

  /** D: i32.store8 of 1 into the mark of a page of the same memory. */
  #mark(op: number, address: number, offset: number, front: number, known: number): void {
    if (op !== I32_STORE8) this.#refuse('a page number is used as an address');
    if (!this.#values.isLiteral(this.#stack[this.#sp - 1]!, 1))
      this.#refuse('a mark is set to something else than 1');
    if (known < 0) this.#refuse('no check covers the value in the address of a mark');
    const pages = offset - MARKS_ADDRESS;
    const reach = this.#values.constant[address]! + pages * 2 ** PAGE_SHIFT;
    if (pages < 0 || reach >= front + known) this.#refuse('a mark for a page outside the memory');
  }

  // --- structure

  #open(kind: number, params: number, results: number): void {
    if (this.#depth === this.#frames.length) {
      if (this.#depth === NESTING_MAX) this.#refuse(`more than ${NESTING_MAX} constructs open`);
      const blank = { kind: 0, start: 0, height: 0, params: 0, results: 0, condition: 0, fresh: 0, epoch: 0 };
      this.#frames.push({ ...blank, floor: 0, reached: false, reachedFresh: 0, reachedEpoch: 0 });
    }
    const outer = this.#depth === 0 ? 0 : this.#frames[this.#depth - 1]!.height;
    const frame = this.#frames[this.#depth++]!;
    if (this.#sp - params < outer) this.#refuse('too few operands');
    frame.kind = kind;
    frame.start = this.#at;
    frame.height = this.#sp - params;
    frame.params = params;
    frame.results = results;
    frame.condition = NONE;
    frame.fresh = this.#fresh;
    frame.epoch = this.#epoch;
    frame.floor = this.#floor;
    frame.reached = false;
    frame.reachedFresh = -1;
    frame.reachedEpoch = NO_EPOCH;
  }

  /** Opens a construct with the block type that follows. */
  #openTyped(kind: number): Frame {
    const at = this.#c.pos;
    const code = this.#c.s33();
    let params = 0;
    let results = 0;
    if (code >= 0) {
      const type = this.#module.types[code];
      if (type === undefined) throw new MalformedError(`there is no type ${code}`, at);
      params = type.params;
      results = type.results;
    } else if (code !== -64) {
      results = 1;
    }
    this.#open(kind, params, results);
    return this.#frames[this.#depth - 1]!;
  }

  /** An edge with the state of now to the end of a construct, or back to a loop's head. */
  #edge(frame: Frame, fresh: number, epoch: number): void {
    if (frame.kind === LOOP) {
      if ((frame.fresh & ~fresh) !== 0) this.#refuse('a branch to a loop with bases that may have changed');
      return;
    }
    frame.reachedFresh &= fresh;
    if (!frame.reached) frame.reachedEpoch = epoch;
    else if (frame.reachedEpoch !== epoch) frame.reachedEpoch = MIXED;
    frame.reached = true;
  }

  #branch(label: number): void {
    if (label >= this.#depth) this.#refuse(`there is no label ${label}`);
    this.#edge(this.#frames[this.#depth - 1 - label]!, this.#fresh, this.#epoch);
  }

  #loop(): void {
    const frame = this.#openTyped(LOOP);
    this.#sp = frame.height;
    this.#pushUnknown(frame.params);
    this.#floor = this.#at; // locals may have been set by an earlier round
    this.#epoch = ++this.#epochs; // bases on the stack may be of before the last round
    frame.epoch = this.#epoch;
  }

  #tryTable(): void {
    const c = this.#c;
    this.#openTyped(BLOCK);
    this.#depth--; // the labels of its clauses count from outside
    for (let n = c.count(); n > 0; n--) {
      const kind = c.u8();
      if (kind > 3) c.fail('malformed catch clause', c.pos - 1);
      if (kind < 2) c.u32();
      const label = c.u32();
      if (label >= this.#depth) this.#refuse(`there is no label ${label}`);
      this.#edge(this.#frames[this.#depth - 1 - label]!, 0, MIXED);
    }
    this.#depth++;
  }

  /** `else`: the state is that of the `if`. */
  #else(live: boolean): boolean {
    const frame = this.#frames[this.#depth - 1]!;
    if (frame.kind !== IF) this.#refuse('else without if');
    if (live) {
      if (this.#sp !== frame.height + frame.results) this.#refuse('wrong number of operands');
      this.#edge(frame, this.#fresh, this.#epoch);
    }
    frame.kind = ELSE;
    this.#restore(frame, frame.params);
    this.#values.isZero(frame.condition, this.#at);
    return true;
  }

  /** Makes void what was learnt or set since the construct began and gives back the state of then. */
  #restore(frame: Frame, operands: number): void {
    this.#values.join(frame.start, this.#at);
    this.#floor = frame.floor;
    this.#fresh = frame.fresh;
    this.#epoch = frame.epoch;
    this.#sp = frame.height;
    this.#pushUnknown(operands);
  }

  /** `end`: joins all edges that lead here. Gives whether code behind it can be reached. */
  #end(live: boolean): boolean {
    const frame = this.#frames[this.#depth - 1]!;
    if (live && this.#sp !== frame.height + frame.results) this.#refuse('wrong number of operands');
    this.#depth--;
    if (frame.kind === IF) {
      if (live) this.#edge(frame, this.#fresh, this.#epoch);
      if (!frame.reached) {
        this.#restore(frame, frame.results);
        this.#values.isZero(frame.condition, this.#at);
        return true;
      }
      this.#edge(frame, frame.fresh, frame.epoch);
    } else {
      if (!frame.reached) return live; // one way in at most: what holds before the end holds behind it
      if (live) this.#edge(frame, this.#fresh, this.#epoch);
    }
    this.#restore(frame, frame.results);
    this.#fresh = frame.reachedFresh;
    this.#epoch = frame.reachedEpoch === MIXED ? ++this.#epochs : frame.reachedEpoch;
    return true;
  }

  /** Steps over code that cannot be reached, up to where it can be again. */
  #skipDead(): void {
    const c = this.#c;
    let nested = 0;
    while (this.#depth > 0) {
      this.#at = c.pos;
      const op = skipInstruction(c);
      if (op === 0x0b) {
        if (nested > 0) nested--;
        else if (this.#end(false)) return;
      } else if (op === 0x05) {
        if (nested === 0 && this.#else(false)) return;
      } else if ((op >= 0x02 && op <= 0x04) || op === 0x1f) {
        nested++;
      }
    }
  }

  // --- all other instructions; false when what follows cannot be reached

  #instruction(op: number): boolean {
    const c = this.#c;
    switch (op) {
      case 0x00: // unreachable
      case 0x0a: // throw_ref
      case 0x0f: // return
        return false;
      case 0x01: // nop
        return true;
      case 0x02: // block
        this.#openTyped(BLOCK);
        return true;
      case 0x03:
        this.#loop();
        return true;
      case 0x04: {
        const condition = this.#pop();
        this.#openTyped(IF).condition = condition;
        return true;
      }
      case 0x05: // else, of a then part whose end can be reached
        return this.#else(true);
      case 0x0b:
        return this.#end(true);
      case 0x08: // throw
        c.u32();
        return false;
      case 0x0c: // br
        this.#branch(c.u32());
        return false;
      case 0x0d: {
        const condition = this.#pop();
        this.#branch(c.u32());
        this.#values.isZero(condition, this.#at);
        return true;
      }
      case 0x0e: // br_table
        for (let n = c.count(); n >= 0; n--) this.#branch(c.u32());
        return false;
      case 0x10:
      case 0x12:
        return this.#call(op === 0x10);
      case 0x11:
      case 0x13:
        return this.#callIndirect(op === 0x11);
      case 0x1f:
        this.#tryTable();
        return true;
      case 0xfc:
      case 0xfd:
      case 0xfe:
        this.#prefixed(op);
        return true;
      default:
        this.#plain(op);
        return true;
    }
  }

  #plain(op: number): void {
    const c = this.#c;
    switch (op) {
      case 0x1a: // drop
        this.#pop();
        return;
      case 0x1c: // select with a type
      case 0x1b:
        if (op === 0x1c) selectType(c);
        this.#popMany(3);
        return this.#push(NONE);
      case 0x20: // local.get
        return this.#push(this.#localGet(this.#localIndex()));
      case 0x21: // local.set
        return this.#localSet(this.#localIndex(), this.#pop());
      case 0x22: {
        const local = this.#localIndex();
        const given = this.#pop();
        const id = given === NONE ? this.#values.fresh() : given;
        this.#localSet(local, id);
        return this.#push(id);
      }
      case 0x23: // global.get
        return this.#push(this.#globalGet(c.u32()));
      case 0x24: // global.set
        if (c.u32() >= this.#evidence.systemGlobals.start) this.#refuse('a global of the system is written');
        this.#pop();
        return;
      case 0x25: // table.get
        this.#table(c.u32(), true);
        this.#pop();
        return this.#push(NONE);
      case 0x26: // table.set
        this.#table(c.u32(), false);
        return this.#popMany(2);
      case 0x41:
        return this.#push(this.#values.literal(c.i32()));
      case 0x42:
        return this.#push(this.#values.literal(c.s64()));
      case 0x43:
        c.skip(4);
        return this.#push(NONE);
      case 0x44:
        c.skip(8);
        return this.#push(NONE);
      case 0xd0: // ref.null
        c.s33();
        return this.#push(NONE);
      case 0xd2: // ref.func
        this.#reference(c.u32());
        return this.#push(NONE);
    }
    if (op === 0x3f || op === 0x40) this.#refuse('memory.size and memory.grow are the system’s');
    throw new MalformedError(`unknown instruction 0x${op.toString(16)}`, this.#at);
  }

  #prefixed(prefix: number): void {
    const code = this.#c.u32();
    const entry = (prefix === 0xfc ? PREFIX_FC : prefix === 0xfd ? PREFIX_FD : PREFIX_FE)[code];
    if (entry) return this.#simple(prefix, entry);
    if (prefix === 0xfc) return this.#bulk(code);
    if (prefix === 0xfe && code === 3) {
      this.#c.u8(); // atomic.fence
      return;
    }
    if (prefix === 0xfe && code < 3) this.#refuse('wait and notify are the system’s');
    throw new MalformedError(`unknown instruction 0x${prefix.toString(16)} ${code}`, this.#at);
  }

  #bulk(code: number): void {
    const c = this.#c;
    switch (code) {
      case 8:
      case 10:
      case 11:
        return this.#refuse('memory.init, copy and fill are for the templates');
      case 9: // data.drop
      case 13: // elem.drop
        c.u32();
        return;
      case 12: // table.init
        c.u32();
        this.#table(c.u32(), false);
        return this.#popMany(3);
      case 14: // table.copy
        this.#table(c.u32(), false);
        this.#table(c.u32(), false);
        return this.#popMany(3);
      case 15: // table.grow
        this.#table(c.u32(), false);
        this.#popMany(2);
        return this.#push(NONE);
      case 16: // table.size
        this.#table(c.u32(), false);
        return this.#push(NONE);
      case 17: // table.fill
        this.#table(c.u32(), false);
        return this.#popMany(3);
    }
    throw new MalformedError(`unknown instruction 0xfc ${code}`, this.#at);
  }

  #globalGet(index: number): number {
    const role = this.#systemGlobal[index - this.#evidence.systemGlobals.start];
    if (role === undefined) return NONE;
    return role > 0 ? this.#values.baseOf(role - 1, this.#epoch) : LIMITS - role - 1;
  }

  /** The program's tables are free for all; of the system's only `refs` may be read. */
  #table(index: number, reading: boolean): void {
    if (index < this.#evidence.programTables) return;
    if (!reading || index !== this.#evidence.refsTable) this.#refuse(`table ${index} belongs to the system`);
  }

  /** Only the program's functions become references. */
  #reference(index: number): void {
    const { wrappers, resume } = this.#evidence;
    if (index < wrappers.start || index >= resume.start) this.#refuse(`a reference to function ${index}`);
  }

  #call(returns: boolean): boolean {
    const index = this.#c.u32();
    const { evidence, functions, types } = this.#module;
    if (index >= functions.length) this.#refuse(`there is no function ${index}`);
    const { wrappers, resume, init, restore, imports } = evidence;
    if (
      (index >= resume.start && index < resume.start + resume.count) ||
      (index >= init && index <= restore)
    ) {
      this.#refuse(`function ${index} is for the kernel to call`);
    }
    if (index >= SYSTEM_IMPORTS.length && index < imports.start + imports.count) {
      const mayCall =
        (this.#function >= wrappers.start && this.#function < wrappers.start + wrappers.count) ||
        (this.#function >= resume.start && this.#function < resume.start + resume.count);
      if (!mayCall) this.#refuse(`imported function ${index} is for its wrapper to call`);
    }
    return this.#called(types[functions[index]!]!, returns);
  }

  #callIndirect(returns: boolean): boolean {
    const c = this.#c;
    const type = this.#module.types[c.u32()];
    if (type === undefined) this.#refuse('there is no such type');
    const table = c.u32();
    if (table >= this.#evidence.programTables) this.#refuse(`table ${table} belongs to the system`);
    this.#pop();
    return this.#called(type, returns);
  }

  #called(type: FuncShape, returns: boolean): boolean {
    this.#popMany(type.params);
    if (!returns) return false;
    this.#stale();
    this.#pushUnknown(type.results);
    return true;
  }
}
