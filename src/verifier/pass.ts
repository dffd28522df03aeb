/**
 * The verifier's pass over one function: forward, once, with no search. README.md gives each rule and why it is sound;
 * the names here are the names there.
 *
 * V8 compiles the same bytes, so operand types are taken for granted; heights of the operand stack and label depths
 * are checked all the same, for this code must refuse what is malformed and never go wrong on it.
 */
import type { Evidence } from '../abi/evidence.ts';
import type { FunctionHints, LoopHint } from '../abi/hints.ts';
import { MalformedError } from '../base/errors.ts';
import { FRAME_BYTES, LOCALS_MAX } from '../base/limits.ts';
import { accessRefusal } from './access.ts';
import { BLOCK, Control, IF } from './control.ts';
import type { Cursor } from './cursor.ts';
import type { FuncShape } from './decode.ts';
import { Locals } from './locals.ts';
import {
  BOUNDED,
  blockType,
  gives,
  IMM_MEMARG_LANE,
  immediate,
  memargOffset,
  most,
  NO_RESULT,
  nullType,
  PLAIN,
  prefixed,
  selectType,
  skipImmediate,
  skipInstruction,
  takes,
  touches,
  valueType,
} from './opcodes.ts';
import { resultOf } from './results.ts';
import { hintsRefusal } from './rounds.ts';
import { callRefusal, isCallable, isFree } from './rules.ts';
import { BASES, LIMITS, NONE, Values } from './values.ts';

/** What the pass must know of the module. */
export interface Surroundings {
  readonly evidence: Evidence;
  readonly types: readonly FuncShape[];
  /** Type index of every function, imported ones included. */
  readonly functions: readonly number[];
}

const NOTHING: FuncShape = { params: 0, results: 0, signature: '' };
const ONE_OF_ANY: FuncShape = { params: 0, results: 1, signature: '' };

export class FunctionPass {
  readonly #c: Cursor;
  readonly #module: Surroundings;
  readonly #evidence: Evidence;
  readonly #values: Values;
  readonly #locals: Locals;
  readonly #control: Control;
  /** By global, from the first of the system: the id of what it holds. */
  readonly #systemGlobal: Int8Array;
  /** The loops' hints of this function, the next one's place there, and the number of the next loop. */
  #hints: FunctionHints['loops'] = [];
  #nextHint = 0;
  #nextLoop = 0;

  constructor(cursor: Cursor, module: Surroundings) {
    this.#c = cursor;
    this.#module = module;
    this.#evidence = module.evidence;
    this.#values = new Values(this.#evidence.memories.map(({ min }) => min * FRAME_BYTES));
    this.#locals = new Locals(this.#values);
    this.#control = new Control(this.#values, this.#locals);
    const { start: first, count } = this.#evidence.systemGlobals;
    this.#systemGlobal = new Int8Array(count);
    this.#systemGlobal[this.#evidence.hdrGlobal - first] = BASES;
    this.#evidence.memories.forEach((memory, i) => {
      this.#systemGlobal[memory.baseGlobal - first] = BASES + i;
      this.#systemGlobal[memory.limitGlobal - first] = LIMITS + i;
    });
  }

  /**
   * Verifies the body at [start, end): local declarations and instructions.
   * @throws RefusedError for what breaks a rule, MalformedError for what is no WebAssembly.
   */
  run(index: number, hints: FunctionHints, start: number, end: number): void {
    const c = this.#c;
    c.pos = start;
    c.end = end;
    const type = this.#module.types[this.#module.functions[index]!]!;
    this.#values.begin();
    this.#locals.begin(index, start);
    this.#control.begin(index, start);
    this.#declareLocals(type.params);
    this.#declareHints(hints, type.params);
    this.#control.open(BLOCK, 0, type.results);
    while (this.#control.depth > 0) {
      this.#control.at = c.pos;
      const op = c.u8();
      const entry = PLAIN[op]!;
      if (entry !== 0) this.#simple(op, entry);
      else if (op >= 0x20 && op <= 0x44) this.#plain(op);
      else if (!this.#instruction(op)) this.#skipDead();
    }
    if (c.pos !== end) c.fail('code behind the end of the function');
    const left = this.#hints[this.#nextHint];
    if (left) this.#control.refuse(`a hint for loop ${left.loop}, which does not exist`);
  }

  #declareLocals(params: number): void {
    const c = this.#c;
    let locals = params;
    for (let runs = c.count(); runs > 0; runs--) {
      locals += c.u32();
      if (locals > LOCALS_MAX) this.#control.refuse(`more than ${LOCALS_MAX} locals`);
      valueType(c);
    }
    this.#locals.count = locals;
  }

  #declareHints({ roles, loops }: FunctionHints, params: number): void {
    const memories = this.#evidence.memories.length;
    const wrong =
      this.#locals.declareRoles(roles, params, memories) || hintsRefusal(loops, this.#locals.count, memories);
    if (wrong !== '') this.#control.refuse(wrong);
    this.#hints = loops;
    this.#nextHint = 0;
    this.#nextLoop = 0;
  }

  #localIndex(): number {
    const local = this.#c.u32();
    if (local >= this.#locals.count) this.#control.refuse(`there is no local ${local}`);
    return local;
  }

  #localSet(local: number, id: number): void {
    const wrong = this.#locals.set(local, id, this.#control.at);
    if (wrong !== '') this.#control.refuse(wrong);
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
      const top = this.#control.top;
      const address = this.#control.popMany(count);
      const wrong = accessRefusal(values, this.#evidence, { op, address, top, offset, size });
      if (wrong !== '') this.#control.refuse(wrong);
      if (gives(entry) !== 0) this.#control.push(entry < BOUNDED ? NONE : values.fresh(most(entry)));
      return;
    }
    skipImmediate(c, entry);
    if (count === 2) {
      const y = this.#control.pop();
      const x = this.#control.pop();
      const id = resultOf(values, op, x, y);
      this.#control.push(id === NONE && entry >= BOUNDED ? values.fresh(most(entry)) : id);
      return;
    }
    if (count === 1) {
      const x = this.#control.pop();
      if (entry >= BOUNDED) this.#control.push(values.fresh(most(entry)));
      else this.#control.push(op === 0xad ? values.extend(x) : NONE);
      return;
    }
    this.#control.popMany(count);
    this.#control.pushUnknown(gives(entry));
  }

  // --- structure

  /** Reads the block type that follows. */
  #blockType(): FuncShape {
    const at = this.#c.pos;
    const code = blockType(this.#c);
    if (code < 0) return code === NO_RESULT ? NOTHING : ONE_OF_ANY;
    const type = this.#module.types[code];
    if (type === undefined) throw new MalformedError(`there is no type ${code}`, at);
    return type;
  }

  #openTyped(kind: number, condition = NONE): void {
    const { params, results } = this.#blockType();
    this.#control.open(kind, params, results, condition);
  }

  #openLoop(): void {
    const { params, results } = this.#blockType();
    this.#control.openLoop(params, results, this.#loopHint());
  }

  /** The hint for the next loop of the text, null where it has none. */
  #loopHint(): LoopHint | null {
    const hint = this.#hints[this.#nextHint];
    if (hint?.loop !== this.#nextLoop++) return null;
    this.#nextHint++;
    return hint;
  }

  #tryTable(): void {
    const c = this.#c;
    this.#openTyped(BLOCK);
    for (let n = c.count(); n > 0; n--) {
      const kind = c.u8();
      if (kind > 3) c.fail('malformed catch clause', c.pos - 1);
      if (kind < 2) c.u32();
      this.#control.catchTo(c.u32());
    }
  }

  /** Steps over code that cannot be reached, up to where it can be again. */
  #skipDead(): void {
    const c = this.#c;
    let nested = 0;
    while (this.#control.depth > 0) {
      this.#control.at = c.pos;
      const op = skipInstruction(c);
      if (op === 0x0b) {
        if (nested > 0) nested--;
        else if (this.#control.end(false)) return;
      } else if (op === 0x05) {
        if (nested > 0) continue;
        this.#control.else(false);
        return;
      } else if ((op >= 0x02 && op <= 0x04) || op === 0x1f) {
        nested++;
        if (op === 0x03) this.#loopHint();
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
        this.#openLoop();
        return true;
      case 0x04:
        this.#openTyped(IF, this.#control.pop());
        return true;
      case 0x05: // else, of a first part whose end can be reached
        this.#control.else(true);
        return true;
      case 0x0b:
        return this.#control.end(true);
      case 0x08: // throw
        c.u32();
        return false;
      case 0x0c: // br
        this.#control.branch(c.u32());
        return false;
      case 0x0d: {
        const condition = this.#control.pop();
        this.#control.branch(c.u32(), condition);
        this.#values.isZero(condition, this.#control.at);
        return true;
      }
      case 0x0e: // br_table
        for (let n = c.count(); n >= 0; n--) this.#control.branch(c.u32());
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
        this.#control.pop();
        return;
      case 0x1c: // select with a type
      case 0x1b:
        if (op === 0x1c) selectType(c);
        this.#control.popMany(3);
        return this.#control.push(NONE);
      case 0x20: // local.get
        return this.#control.push(this.#locals.get(this.#localIndex(), this.#control.at));
      case 0x21: // local.set
        return this.#localSet(this.#localIndex(), this.#control.pop());
      case 0x22: {
        const local = this.#localIndex();
        const given = this.#control.pop();
        const id = given === NONE || this.#values.mayWrap(given) ? this.#values.fresh() : given;
        this.#localSet(local, id);
        return this.#control.push(id);
      }
      case 0x23: // global.get
        return this.#control.push(this.#globalGet(c.u32()));
      case 0x24: // global.set
        if (c.u32() >= this.#evidence.systemGlobals.start)
          this.#control.refuse('a global of the system is written');
        this.#control.pop();
        return;
      case 0x25: // table.get
        this.#table(c.u32(), true);
        this.#control.pop();
        return this.#control.push(NONE);
      case 0x26: // table.set
        this.#table(c.u32(), false);
        this.#control.popMany(2);
        return;
      case 0x41:
        return this.#control.push(this.#values.literal(c.i32()));
      case 0x42:
        return this.#control.push(this.#values.literal(c.s64()));
      case 0x43:
        c.skip(4);
        return this.#control.push(NONE);
      case 0x44:
        c.skip(8);
        return this.#control.push(NONE);
      case 0xd0: // ref.null
        nullType(c);
        return this.#control.push(NONE);
      case 0xd2: // ref.func
        this.#reference(c.u32());
        return this.#control.push(NONE);
    }
    if (op === 0x3f || op === 0x40) this.#control.refuse('memory.size and memory.grow are the system’s');
    throw new MalformedError(`unknown instruction 0x${op.toString(16)}`, this.#control.at);
  }

  #prefixed(prefix: number): void {
    const code = this.#c.u32();
    const entry = prefixed(prefix)?.[code];
    if (entry) return this.#simple(prefix, entry);
    if (prefix === 0xfc) return this.#bulk(code);
    if (prefix === 0xfe && code === 3) {
      this.#c.u8(); // atomic.fence
      return;
    }
    if (prefix === 0xfe && code < 3) this.#control.refuse('wait and notify are the system’s');
    throw new MalformedError(`unknown instruction 0x${prefix.toString(16)} ${code}`, this.#control.at);
  }

  #bulk(code: number): void {
    const c = this.#c;
    switch (code) {
      case 8:
      case 10:
      case 11:
        return this.#control.refuse('memory.init, copy and fill are for the templates');
      case 9: // data.drop
      case 13: // elem.drop
        c.u32();
        return;
      case 12: // table.init
        c.u32();
        this.#table(c.u32(), false);
        this.#control.popMany(3);
        return;
      case 14: // table.copy
        this.#table(c.u32(), false);
        this.#table(c.u32(), false);
        this.#control.popMany(3);
        return;
      case 15: // table.grow
        this.#table(c.u32(), false);
        this.#control.popMany(2);
        return this.#control.push(NONE);
      case 16: // table.size
        this.#table(c.u32(), false);
        return this.#control.push(NONE);
      case 17: // table.fill
        this.#table(c.u32(), false);
        this.#control.popMany(3);
        return;
    }
    throw new MalformedError(`unknown instruction 0xfc ${code}`, this.#control.at);
  }

  #globalGet(index: number): number {
    const own = index - this.#evidence.systemGlobals.start;
    return own < 0 || own >= this.#systemGlobal.length ? NONE : this.#systemGlobal[own]!;
  }

  #table(index: number, reading: boolean): void {
    if (!isFree(this.#evidence, index, reading)) this.#control.refuse(`table ${index} belongs to the system`);
  }

  #reference(index: number): void {
    if (!isCallable(this.#evidence, index)) this.#control.refuse(`a reference to function ${index}`);
  }

  #call(returns: boolean): boolean {
    const index = this.#c.u32();
    const { functions, types } = this.#module;
    if (index >= functions.length) this.#control.refuse(`there is no function ${index}`);
    const wrong = callRefusal(this.#evidence, this.#control.function, index);
    if (wrong !== '') this.#control.refuse(wrong);
    return this.#called(types[functions[index]!]!, returns);
  }

  #callIndirect(returns: boolean): boolean {
    const c = this.#c;
    const at = c.pos;
    const type = this.#module.types[c.u32()];
    if (type === undefined) throw new MalformedError('there is no such type', at);
    this.#table(c.u32(), false);
    this.#control.pop();
    return this.#called(type, returns);
  }

  #called(type: FuncShape, returns: boolean): boolean {
    this.#control.popMany(type.params);
    if (!returns) return false;
    this.#control.pushUnknown(type.results);
    return true;
  }
}
