/**
 * The operand stack and the open constructs of the function being verified, and how states of knowledge meet where
 * control does: rules F to J of README.md.
 *
 * The pass tells where it is (`at`, `function`) before each instruction; refusals are thrown with that.
 */
import type { LoopHint } from '../abi/hints.ts';
import { NESTING_MAX, OPERANDS_MAX } from '../base/limits.ts';
import { RefusedError } from '../base/malformed.ts';
import type { Locals } from './locals.ts';
import { beginRounds, entryRefusal, type Rounds, roundRefusal } from './rounds.ts';
import { NONE, type Touches, type Values } from './values.ts';

// Kinds of constructs. A try_table is a block; an if becomes an ELSE when its second part begins.
export const BLOCK = 0;
export const LOOP = 1;
export const IF = 2;
const ELSE = 3;

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
  /** The state of the locals when it was opened. */
  floor: number;
  /** How many ways lead to its end so far: branches, and the end of an if's first part. */
  ways: number;
  /** What may be touched about the one result of an if's first part. */
  first: Touches | null;
  /** A loop's. */
  hint: LoopHint | null;
  /** What is known at the head of a loop that counts its rounds. */
  rounds: Rounds | null;
}

export class Control {
  /** Function, and offset of the instruction. */
  function = 0;
  at = 0;
  /** Constructs that are open; the function's body is the outermost. */
  depth = 0;
  /** Whether the instruction before goes on to the next, which else is an `end` or `else`. */
  isLive = true;
  #stack: Int32Array = new Int32Array(1024);
  #sp = 0;
  /** Operands below the innermost construct's own. */
  #floor = 0;
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
    this.isLive = true;
    this.#sp = 0;
    this.#floor = 0;
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
    if (this.#sp <= this.#floor) this.refuse('too few operands');
    return this.#stack[--this.#sp]!;
  }

  /** Takes the topmost `count` operands; gives the id of the deepest of them. */
  popMany(count: number): number {
    if (this.#sp - count < this.#floor) this.refuse('too few operands');
    this.#sp -= count;
    return this.#stack[this.#sp]!;
  }

  /** The id of the topmost operand; only after something was pushed, or is about to be popped. */
  get top(): number {
    return this.#sp > 0 ? this.#stack[this.#sp - 1]! : NONE;
  }

  /** Opens a construct; `condition`: what an if asks. */
  open(kind: number, params: number, results: number, condition = NONE): Frame {
    if (this.depth === this.#frames.length) {
      if (this.depth === NESTING_MAX) this.refuse(`more than ${NESTING_MAX} constructs open`);
      const blank = { kind: 0, start: 0, height: 0, params: 0, results: 0, condition: 0, floor: 0, ways: 0 };
      this.#frames.push({ ...blank, first: null, hint: null, rounds: null });
    }
    const frame = this.#frames[this.depth++]!;
    if (this.#sp - params < this.#floor) this.refuse('too few operands');
    frame.kind = kind;
    frame.start = this.at;
    frame.height = this.#sp - params;
    this.#floor = frame.height;
    frame.params = params;
    frame.results = results;
    frame.condition = condition;
    frame.floor = this.#locals.floor;
    frame.ways = 0;
    frame.hint = null;
    frame.rounds = null;
    return frame;
  }

  /** Opens a loop. What may be set in it, all locals where there is no hint, is forgotten: a round may have set it. */
  openLoop(params: number, results: number, hint: LoopHint | null): void {
    const frame = this.open(LOOP, params, results);
    this.#sp = frame.height;
    this.pushUnknown(params);
    const isCounted = hint !== null && hint.fuel >= 0;
    if (isCounted) this.demand(entryRefusal(this.#values, this.#locals, hint));
    this.#values.leave(this.at);
    if (hint === null) {
      this.#locals.floor = this.at;
      return;
    }
    frame.hint = hint;
    this.demand(this.#locals.enterLoop(hint.varying, this.at));
    if (!isCounted) return;
    const rounds = beginRounds(this.#values, this.#locals, hint, this.at);
    if (typeof rounds === 'string') this.refuse(rounds);
    frame.rounds = rounds;
  }

  /** Refuses for a reason that is not empty. */
  demand(wrong: string): void {
    if (wrong !== '') this.refuse(wrong);
  }

  /** A branch; `condition`: what a `br_if` asks. */
  branch(label: number, condition = NONE): void {
    if (label >= this.depth) this.refuse(`there is no label ${label}`);
    const frame = this.#frames[this.depth - 1 - label]!;
    if (frame.rounds !== null) this.demand(roundRefusal(this.#values, this.#locals, frame.rounds, condition));
    frame.ways++;
  }

  /** A catch clause of the try_table just opened: control may come from any call in it. Labels count from outside. */
  catchTo(label: number): void {
    this.branch(label + 1);
  }

  /** `else`: the state is that of the `if`. */
  else(): void {
    const frame = this.#frames[this.depth - 1]!;
    if (frame.kind !== IF) this.refuse('else without if');
    this.#checkHeight(frame);
    // Of the result of an if that both parts leave by their ends, and no branch, something may be known behind it.
    if (this.isLive) frame.ways++;
    frame.first = this.isLive && frame.results === 1 ? this.#values.touches(this.top) : null;
    frame.kind = ELSE;
    this.#restore(frame, frame.params);
    this.#values.isZero(frame.condition, this.at);
  }

  /** `end`: joins all edges that lead here. */
  end(): void {
    const frame = this.#frames[this.depth - 1]!;
    const { isLive } = this;
    const { kind, ways, first } = frame;
    this.#checkHeight(frame);
    this.depth--;
    this.#floor = this.depth === 0 ? 0 : this.#frames[this.depth - 1]!.height;
    if (frame.hint !== null) this.#locals.leaveLoop(frame.hint.varying);
    if (kind === LOOP || (kind !== IF && ways === 0)) {
      // One way in, for branches to a loop do not lead here: what holds before the end holds behind. Or none.
      if (!isLive) this.#operands(frame, frame.results);
      return;
    }
    const second = kind === ELSE && isLive && ways === 1 && first ? this.#values.touches(this.top) : null;
    this.#restore(frame, frame.results);
    if (first && second) this.#stack[this.#sp - 1] = this.#values.oneOf(first, second, this.at);
    if (kind === IF && !isLive && ways === 0) this.#values.isZero(frame.condition, this.at);
  }

  #checkHeight(frame: Frame): void {
    if (this.isLive && this.#sp !== frame.height + frame.results) this.refuse('wrong number of operands');
  }

  /** Makes void what was learnt or set since the construct began and gives back the state of then. */
  #restore(frame: Frame, operands: number): void {
    this.#values.join(frame.start, this.at);
    this.#locals.floor = frame.floor;
    this.#operands(frame, operands);
  }

  /** A construct's operands are so many now, of which nothing is known. */
  #operands(frame: Frame, count: number): void {
    this.isLive = true;
    this.#sp = frame.height;
    this.pushUnknown(count);
  }
}
