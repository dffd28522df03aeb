/**
 * The verifier's pass over one function: forward, once, with no search. README.md gives each rule and why it is sound;
 * the names here are the names there.
 *
 * V8 compiles the same bytes, so operand types are taken for granted; heights of the operand stack and label depths
 * are checked all the same, for this code must refuse what is malformed and never go wrong on it.
 */
import type { Evidence } from '../abi/evidence.ts';
import type { FunctionHints, LoopHint } from '../abi/hints.ts';
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, LOCALS_MAX } from '../base/limits.ts';
import { accessRefusal } from './access.ts';
import { BLOCK, Control, IF } from './control.ts';
import type { Cursor } from './cursor.ts';
import type { FuncShape } from './decode.ts';
import { Locals } from './locals.ts';
import * as table from './opcodes.ts';
import { resultOf } from './results.ts';
import { hintsRefusal } from './rounds.ts';
import { callRefusal, isCallable, isFree } from './rules.ts';
import { BASES, HDR, LIMITS, NONE, Values } from './values.ts';

/** What the pass must know of the module. */
export interface Surroundings {
  readonly evidence: Evidence;
  readonly types: readonly FuncShape[];
  /** Type index of every function, imported ones included. */
  readonly functions: readonly number[];
  /** By index of a window template: WINDOW_READ, WINDOW_WRITE or NEITHER. */
  readonly windows: ReadonlyMap<number, number | undefined>;
}

/** What a window template gives that only tells. */
export const NEITHER = -1;
const END = 0x0b;
const LOCAL_GET = 0x20;
const EXTEND_U = 0xad;
const ELSE = 0x05;
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
    this.#values = new Values(
      this.#evidence.memories.map(({ min }) => min * FRAME_BYTES),
      this.#evidence.controlBytes,
    );
    this.#locals = new Locals(this.#values);
    this.#control = new Control(this.#values, this.#locals);
    const { start: first, count } = this.#evidence.systemGlobals;
    this.#systemGlobal = new Int8Array(count);
    this.#evidence.memories.forEach((memory, i) => {
      this.#systemGlobal[memory.baseGlobal - first] = BASES + i;
      this.#systemGlobal[memory.limitGlobal - first] = LIMITS + i;
    });
    // In the place of a base of memory 0, which no global holds.
    this.#systemGlobal[this.#evidence.hdrGlobal - first] = HDR;
  }

  /**
   * Verifies the body at [start, end): local declarations and instructions.
   * @throws RefusedError for what breaks a rule, MalformedError for what is no WebAssembly.
   */
  run(index: number, hints: FunctionHints, start: number, end: number): void {
    this.begin(index, hints, start, end);
    while (this.#control.depth > 0) this.step();
    if (this.#c.pos !== end) this.#c.fail('code behind the end of the function');
    const left = this.#hints[this.#nextHint];
    if (left) this.#control.refuse(`a hint for loop ${left.loop}, which does not exist`);
  }

  /** The first part of `run`: up to the first instruction. */
  begin(index: number, hints: FunctionHints, start: number, end: number): void {
    const c = this.#c;
    c.pos = start;
    c.end = end;
    const type = this.#module.types[this.#module.functions[index]!]!;
    this.#values.begin();
    this.#locals.begin(start);
    this.#control.begin(index, start);
    this.#declareLocals(type.params);
    this.#declareHints(hints, type.params);
    this.#control.open(BLOCK, 0, type.results);
  }

  /** Verifies the next instruction. */
  step(): void {
    const c = this.#c;
    const at = c.pos;
    this.#control.at = at;
    const op = c.u8();
    const entry = table.PLAIN[op]!;
    if (op === LOCAL_GET) this.#control.push(this.#locals.get(this.#localIndex(), at));
    else if (entry !== 0) this.#fixed(op, entry);
    else if (op >= 0x20 && op <= 0x42) this.#valued(op);
    else if (op >= 0xfc) this.#prefixed(op);
    else this.#structure(op);
  }

  #declareLocals(params: number): void {
    const c = this.#c;
    let locals = params;
    for (let runs = c.count(); runs > 0; runs--) {
      locals += c.u32();
      if (locals > LOCALS_MAX) this.#control.refuse(`more than ${LOCALS_MAX} locals`);
      table.valueType(c);
    }
    this.#locals.count = locals;
  }

  #declareHints({ limits, loops }: FunctionHints, params: number): void {
    const memories = this.#evidence.memories.length;
    const wrong =
      this.#locals.declareLimits(limits, params, memories) ||
      hintsRefusal(loops, this.#locals.count, memories);
    if (wrong !== '') this.#control.refuse(wrong);
    this.#hints = loops;
    this.#nextHint = 0;
    this.#nextLoop = 0;
  }

  // --- instructions with a fixed effect on the operand stack

  #fixed(op: number, entry: number): void {
    const control = this.#control;
    const values = this.#values;
    const count = table.takes(entry);
    const size = table.touches(entry);
    if (size !== 0) this.#access(op, entry, count, size);
    else if (table.follows(entry) !== 0) {
      this.#immediate(table.follows(entry));
      control.popMany(count);
      control.pushUnknown(table.gives(entry));
    } else if (count === 2) {
      const y = control.top;
      const x = control.popMany(2);
      const id = resultOf(values, op, x, y);
      control.push(id === NONE && entry >= table.BOUNDED ? values.fresh(table.most(entry)) : id);
    } else if (count === 1 && table.gives(entry) === 1) {
      const x = control.pop();
      if (entry >= table.BOUNDED) control.push(values.fresh(table.most(entry)));
      else control.push(op === EXTEND_U ? values.extend(x) : NONE);
    } else {
      control.popMany(count);
      control.pushUnknown(table.gives(entry));
    }
  }

  #access(op: number, entry: number, count: number, size: number): void {
    const c = this.#c;
    const control = this.#control;
    const offset = table.memargOffset(c);
    if (table.follows(entry) === table.MEMARG_LANE) c.u8();
    const top = control.top;
    const address = control.popMany(count);
    control.demand(
      accessRefusal(this.#values, this.#evidence, op, address, top, offset, size, table.writes(entry)),
    );
    if (table.gives(entry) !== 0)
      control.push(entry < table.BOUNDED ? NONE : this.#values.fresh(table.most(entry)));
  }

  /** Reads what follows an instruction, and refuses globals, functions and tables that are not for it (M8). */
  #immediate(kind: number): void {
    const c = this.#c;
    switch (kind) {
      case table.BYTE:
      case table.BYTES_4:
      case table.BYTES_8:
      case table.BYTES_16:
        c.skip(table.FIXED_BYTES[kind]!);
        return;
      case table.SEGMENT:
        c.u32();
        return;
      case table.GLOBAL:
        if (c.u32() >= this.#evidence.systemGlobals.start)
          this.#control.refuse('a global of the system is written');
        return;
      case table.FUNCTION: {
        const index = c.u32();
        if (!isCallable(this.#evidence, index)) this.#control.refuse(`a reference to function ${index}`);
        return;
      }
      case table.TABLE_READ:
        return this.#table(c.u32(), true);
      case table.TABLE_TABLE:
        this.#table(c.u32(), false);
        return this.#table(c.u32(), false);
      case table.SEGMENT_TABLE:
        c.u32();
        return this.#table(c.u32(), false);
      case table.TABLE:
        return this.#table(c.u32(), false);
      case table.HEAP_TYPE:
        return table.heapType(c);
      default:
        assert(kind === table.VALUE_TYPE_LIST, 'every kind has a case');
        if (c.u32() !== 1) c.fail('a select of more than one value');
        table.valueType(c);
    }
  }

  #table(index: number, reading: boolean): void {
    if (!isFree(this.#evidence, index, reading)) this.#control.refuse(`table ${index} belongs to the system`);
  }

  #prefixed(prefix: number): void {
    const code = this.#c.u32();
    const entry = table.PREFIXED[prefix]?.[code];
    if (!entry) this.#unknown(`0x${prefix.toString(16)} ${code}`);
    this.#fixed(prefix, entry);
  }

  /** An instruction that is none, or the system's, or belongs to a part of WebAssembly that no rewritten module uses. */
  #unknown(what: string): never {
    this.#control.refuse(`instruction ${what} is not for rewritten code`);
  }

  // --- locals, globals that are read, integer constants

  #valued(op: number): void {
    const c = this.#c;
    const control = this.#control;
    switch (op) {
      case 0x21: // local.set
        return this.#localSet(this.#localIndex(), control.pop());
      case 0x22: {
        const local = this.#localIndex();
        const given = control.pop();
        const id = given === NONE || this.#values.mayWrap(given) ? this.#values.fresh() : given;
        this.#localSet(local, id);
        return control.push(id);
      }
      case 0x23: // global.get
        return control.push(this.#globalGet(c.u32()));
      case 0x41: // i32.const
        return control.push(this.#values.literal(c.i32()));
      case 0x42: // i64.const
        return control.push(this.#values.literal(c.s64()));
      default:
        this.#unknown(`0x${op.toString(16)}`);
    }
  }

  #localIndex(): number {
    const local = this.#c.u32();
    if (local >= this.#locals.count) this.#control.refuse(`there is no local ${local}`);
    return local;
  }

  #localSet(local: number, id: number): void {
    this.#control.demand(this.#locals.set(local, id, this.#control.at));
  }

  #globalGet(index: number): number {
    const own = index - this.#evidence.systemGlobals.start;
    return own < 0 || own >= this.#systemGlobal.length ? NONE : this.#systemGlobal[own]!;
  }

  // --- control flow

  #structure(op: number): void {
    const c = this.#c;
    const control = this.#control;
    switch (op) {
      case 0x02: // block
        return this.#open(BLOCK);
      case 0x03: {
        const { params, results } = this.#blockShape();
        return control.openLoop(params, results, this.#loopHint());
      }
      case 0x04:
        return this.#open(IF, control.pop());
      case ELSE:
        return control.else();
      case END:
        return control.end();
      case 0x0d: {
        const condition = control.pop();
        control.branch(c.u32(), condition);
        return this.#values.isZero(condition, control.at);
      }
      case 0x10: // call
      case 0x12: // return_call
        return this.#call(op === 0x10);
      case 0x11: // call_indirect
      case 0x13: // return_call_indirect
        return this.#called(this.#indirectCallee(), op === 0x11);
      case 0x1f:
        return this.#tryTable();
      case 0x08: // throw
        c.u32();
        break;
      case 0x0c: // br
        control.branch(c.u32());
        break;
      case 0x0e: // br_table
        for (let n = c.count(); n >= 0; n--) control.branch(c.u32());
        break;
      case 0x00: // unreachable
      case 0x0a: // throw_ref
      case 0x0f: // return
        break;
      default:
        this.#unknown(`0x${op.toString(16)}`);
    }
    this.#leave();
  }

  /** F: behind what never goes on stands the end of a construct, or of the first part of an if. */
  #leave(): void {
    const c = this.#c;
    const next = c.bytes[c.pos];
    if (c.pos >= c.end || (next !== END && next !== ELSE)) c.fail('code that cannot be reached');
    this.#control.isLive = false;
  }

  #blockShape(): FuncShape {
    const at = this.#c.pos;
    const code = table.blockType(this.#c);
    if (code < 0) return code === table.NO_RESULT ? NOTHING : ONE_OF_ANY;
    return this.#type(code, at);
  }

  #type(index: number, at: number): FuncShape {
    return this.#module.types[index] ?? this.#c.fail(`there is no type ${index}`, at);
  }

  #open(kind: number, condition = NONE): void {
    const { params, results } = this.#blockShape();
    this.#control.open(kind, params, results, condition);
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
    this.#open(BLOCK);
    for (let n = c.count(); n > 0; n--) {
      const kind = c.u8();
      if (kind > 3) c.fail('malformed catch clause', c.pos - 1);
      if (kind < 2) c.u32();
      this.#control.catchTo(c.u32());
    }
  }

  #call(returns: boolean): void {
    const index = this.#c.u32();
    const { functions, types, windows } = this.#module;
    if (index >= functions.length) this.#control.refuse(`there is no function ${index}`);
    this.#control.demand(callRefusal(this.#evidence, this.#control.function, index));
    const memory = returns ? windows.get(index) : undefined;
    if (memory === undefined) return this.#called(types[functions[index]!]!, returns);
    const values = this.#values;
    const bytes = values.literalOf(this.#control.pop());
    const low = values.literalOf(this.#control.pop());
    this.#control.pop();
    const from = low < 0 || memory === NEITHER ? Infinity : low; // what is no constant is not known
    this.#control.push(values.window(memory, from, low + bytes, this.#control.at));
  }

  #indirectCallee(): FuncShape {
    const at = this.#c.pos;
    const type = this.#type(this.#c.u32(), at);
    this.#table(this.#c.u32(), false);
    this.#control.pop();
    return type;
  }

  #called(type: FuncShape, returns: boolean): void {
    this.#control.popMany(type.params);
    this.#values.leave(this.#control.at);
    if (returns) this.#control.pushUnknown(type.results);
    else this.#leave();
  }
}
