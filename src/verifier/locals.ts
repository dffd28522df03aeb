/**
 * The locals of one function as the verifier sees them.
 *
 * An ordinary local holds a value id with a stamp; ids whose stamp lies before `floor` or was made void by a join are
 * forgotten, and the next read gives the local a new id; so does what may be a sum that wrapped. A limit local holds a
 * limit and nothing else ever; it needs no care (0, with which it starts, and every limit of the past are at most the limit
 * of now).
 *
 * `floor` is the state that control flow saves and restores; ids and stamps need no restoring. Loops with a hint are entered
 * and left here, so that each set is known to be one that all of them announce (README.md, rule I).
 */
import type { LimitLocal } from '../abi/hints.ts';
import { larger } from '../base/arrays.ts';
import { LOCALS_MAX } from '../base/limits.ts';
import { LIMITS, NONE, type Values } from './values.ts';

/** The stamp of what a local holds for good. */
const FOREVER = 2 ** 31 - 1;
/** Locals there is room for at first. */
const FIRST_ROOM = 256;

export class Locals {
  /** Stamps before this are void. */
  floor = 0;
  #count = 0;
  readonly #values: Values;
  // As long as the function with the most locals so far needs them: most have few, and every module gets its own.
  #value = new Int32Array(FIRST_ROOM);
  #stamp = new Int32Array(FIRST_ROOM);
  /** How many loops with a hint are open, and for each local how many of these name it. */
  #hinted = 0;
  #named = new Int32Array(FIRST_ROOM);
  /** The function's limit locals. */
  #limits: readonly LimitLocal[] = [];

  constructor(values: Values) {
    this.#values = values;
  }

  /** How many there are, parameters included: at most LOCALS_MAX. */
  get count(): number {
    return this.#count;
  }
  set count(count: number) {
    this.#count = count;
    if (count <= this.#value.length) return;
    const size = Math.min(LOCALS_MAX, 2 * count);
    this.#value = larger(this.#value, new Int32Array(size));
    this.#stamp = larger(this.#stamp, new Int32Array(size));
    this.#named = larger(this.#named, new Int32Array(size));
  }

  /** A new function; `start`: offset of its first byte. */
  begin(start: number): void {
    for (const { local } of this.#limits) this.#stamp[local] = 0;
    this.#limits = [];
    this.floor = start;
  }

  /** Gives what is wrong with the limit locals, or the empty string. */
  declareLimits(limits: readonly LimitLocal[], params: number, memories: number): string {
    for (const { local, memory } of limits) {
      // A parameter starts with a value the caller chose; any other local starts as 0, which is below every limit.
      if (local < params || local >= this.count) return `limit local ${local} is not a local of its own`;
      if (memory >= memories) return `limit local ${local} names memory ${memory}`;
      if (this.isLimit(local)) return `local ${local} is named twice`;
      this.define(local, LIMITS + memory, FOREVER);
    }
    this.#limits = limits;
    return '';
  }

  isLimit(local: number): boolean {
    return this.#stamp[local] === FOREVER;
  }

  /** The id of what a local holds, NONE where that is not known. */
  peek(local: number): number {
    const stamp = this.#stamp[local]!;
    return stamp < this.floor || this.#values.isVoid(stamp) ? NONE : this.#value[local]!;
  }

  /** The id of what a local holds, a new one where that is not known. `at`: offset of the instruction. */
  get(local: number, at: number): number {
    const known = this.peek(local);
    if (known !== NONE && !this.#values.mayWrap(known)) return known;
    const id = this.#values.fresh();
    this.define(local, id, at);
    return id;
  }

  /** Gives what is wrong with setting this local to this value, or the empty string. */
  set(local: number, id: number, at: number): string {
    if (this.isLimit(local))
      return this.#value[local] === id ? '' : `limit local ${local} is set to something else`;
    if (this.#named[local]! < this.#hinted)
      return `local ${local} is set in a loop that is said not to set it`;
    this.define(local, id, at);
    return '';
  }

  /**
   * The head of a loop with a hint: of the locals it may set nothing is known any more. Gives what is wrong with the list,
   * or the empty string.
   */
  enterLoop(varying: readonly number[], at: number): string {
    for (const local of varying) {
      if (this.#named[local] !== this.#hinted)
        return `a loop may set local ${local}, and a loop around it may not`;
      this.#named[local] = this.#hinted + 1;
      if (!this.isLimit(local)) this.define(local, NONE, at);
    }
    this.#hinted++;
    return '';
  }

  leaveLoop(varying: readonly number[]): void {
    this.#hinted--;
    for (const local of varying) this.#named[local] = this.#hinted;
  }

  /** True when the innermost loop with a hint may set this ordinary local. */
  varies(local: number): boolean {
    return this.#named[local] === this.#hinted && !this.isLimit(local);
  }

  /** An ordinary local holds this from here on. */
  define(local: number, id: number, at: number): void {
    this.#value[local] = id;
    this.#stamp[local] = at;
  }
}
