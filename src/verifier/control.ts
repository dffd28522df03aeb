/**
 * The operand stack and the open constructs of the function being verified, and how states of knowledge meet where
 * control does: rules F to K of README.md.
 *
 * The pass tells where it is (`at`, `function`) before each instruction; refusals are thrown with that.
 */
import { RefusedError } from '../base/errors.ts';
import { NESTING_MAX, OPERANDS_MAX } from '../base/limits.ts';
import type { Locals } from './locals.ts';
import { NONE, type Values } from './values.ts';

// Kinds of constructs. A try_table is a block; an if becomes an ELSE when its second part begins.
export const BLOCK = 0;
export const LOOP = 1;
export const IF = 2;
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

export class Control {
  /** Function, and offset of the instruction. */
  function = 0;
  at = 0;
  /** Constructs that are open; the function's body is the outermost. */
  depth = 0;
  #stack: Int32Array = new Int32Array(1024);
  #sp = 0;
  readonly #frames: Frame[] = [];
  readonly #values: Values;
  readonly #locals: Locals;

  constructor(values: Values, locals: Locals) {
    this.#values = values;
    this.#locals = locals;
  }

  /** A new function; nothing is open. */
  begin(index: number, start: number): void {
    this.function = index;
    this.at = start;
    this.depth = 0;
    this.#sp = 0;
  }

  refuse(reason: string): never {
    throw new RefusedError(reason, this.function, this.at);
  }

  push(id: number): void {
    if (this.#sp === this.#stack.length) this.#room(1);
    this.#stack[this.#sp++] = id;
  }

  pushUnknown(count: number): void {
    if (this.#sp + count > this.#stack.length) this.#room(count);
    for (const end = this.#sp + count; this.#sp < end; this.#sp++) this.#stack[this.#sp] = NONE;
  }

  #room(count: number): void {
    if (this.#sp + count > OPERANDS_MAX) this.refuse(`more than ${OPERANDS_MAX} operands`);
    const larger = new Int32Array(Math.max(this.#stack.length * 2, this.#sp + count));
    larger.set(this.#stack);
    this.#stack = larger;
  }

  pop(): number {
    if (this.#sp <= this.#frames[this.depth - 1]!.height) this.refuse('too few operands');
    return this.#stack[--this.#sp]!;
  }

  /** Takes the topmost `count` operands; gives the id of the deepest of them. */
  popMany(count: number): number {
    if (this.#sp - count < this.#frames[this.depth - 1]!.height) this.refuse('too few operands');
    this.#sp -= count;
    return this.#stack[this.#sp]!;
  }

  /** The id of the topmost operand; only after something was pushed, or is about to be popped. */
  get top(): number {
    return this.#sp > 0 ? this.#stack[this.#sp - 1]! : NONE;
  }

  /** Opens a construct; `condition`: what an if asks. A loop's own state begins here. */
  open(kind: number, params: number, results: number, condition = NONE): void {
    if (this.depth === this.#frames.length) {
      if (this.depth === NESTING_MAX) this.refuse(`more than ${NESTING_MAX} constructs open`);
      const blank = { kind: 0, start: 0, height: 0, params: 0, results: 0, condition: 0, fresh: 0, epoch: 0 };
      this.#frames.push({ ...blank, floor: 0, reached: false, reachedFresh: 0, reachedEpoch: 0 });
    }
    const outer = this.depth === 0 ? 0 : this.#frames[this.depth - 1]!.height;
    const frame = this.#frames[this.depth++]!;
    if (this.#sp - params < outer) this.refuse('too few operands');
    frame.kind = kind;
    frame.start = this.at;
    frame.height = this.#sp - params;
    frame.params = params;
    frame.results = results;
    frame.condition = condition;
    frame.fresh = this.#locals.fresh;
    frame.epoch = this.#locals.epoch;
    frame.floor = this.#locals.floor;
    frame.reached = false;
    frame.reachedFresh = -1;
    frame.reachedEpoch = NO_EPOCH;
    if (kind !== LOOP) return;
    this.#sp = frame.height;
    this.pushUnknown(params);
    this.#locals.floor = this.at; // locals may have been set by an earlier round
    this.#locals.newEpoch(); // bases on the stack may be of before the last round
  }

  /** An edge with the state of now to the end of a construct, or back to a loop's head. */
  #edge(frame: Frame, fresh: number, epoch: number): void {
    if (frame.kind === LOOP) {
      if ((frame.fresh & ~fresh) !== 0) this.refuse('a branch to a loop with bases that may have changed');
      return;
    }
    frame.reachedFresh &= fresh;
    if (!frame.reached) frame.reachedEpoch = epoch;
    else if (frame.reachedEpoch !== epoch) frame.reachedEpoch = MIXED;
    frame.reached = true;
  }

  /** A branch with the state of now. */
  branch(label: number): void {
    if (label >= this.depth) this.refuse(`there is no label ${label}`);
    this.#edge(this.#frames[this.depth - 1 - label]!, this.#locals.fresh, this.#locals.epoch);
  }

  /** A catch clause of the try_table just opened: control may come from any call in it. Labels count from outside. */
  catchTo(label: number): void {
    if (label >= this.depth - 1) this.refuse(`there is no label ${label}`);
    this.#edge(this.#frames[this.depth - 2 - label]!, 0, MIXED);
  }

  /** `else`: the state is that of the `if`. */
  else(live: boolean): void {
    const frame = this.#frames[this.depth - 1]!;
    if (frame.kind !== IF) this.refuse('else without if');
    if (live) {
      if (this.#sp !== frame.height + frame.results) this.refuse('wrong number of operands');
      this.#edge(frame, this.#locals.fresh, this.#locals.epoch);
    }
    frame.kind = ELSE;
    this.#restore(frame, frame.params);
    this.#values.isZero(frame.condition, this.at);
  }

  /** Makes void what was learnt or set since the construct began and gives back the state of then. */
  #restore(frame: Frame, operands: number): void {
    this.#values.join(frame.start, this.at);
    this.#locals.floor = frame.floor;
    this.#locals.fresh = frame.fresh;
    this.#locals.epoch = frame.epoch;
    this.#sp = frame.height;
    this.pushUnknown(operands);
  }

  /** `end`: joins all edges that lead here. Gives whether code behind it can be reached. */
  end(live: boolean): boolean {
    const frame = this.#frames[this.depth - 1]!;
    if (live && this.#sp !== frame.height + frame.results) this.refuse('wrong number of operands');
    this.depth--;
    if (frame.kind === IF) {
      if (live) this.#edge(frame, this.#locals.fresh, this.#locals.epoch);
      if (!frame.reached) {
        this.#restore(frame, frame.results);
        this.#values.isZero(frame.condition, this.at);
        return true;
      }
      this.#edge(frame, frame.fresh, frame.epoch);
    } else {
      if (!frame.reached) return live; // one way in at most: what holds before the end holds behind it
      if (live) this.#edge(frame, this.#locals.fresh, this.#locals.epoch);
    }
    this.#restore(frame, frame.results);
    this.#locals.fresh = frame.reachedFresh;
    if (frame.reachedEpoch === MIXED) this.#locals.newEpoch();
    else this.#locals.epoch = frame.reachedEpoch;
    return true;
  }
}
