/**
 * The locals of one function as the verifier sees them.
 *
 * An ordinary local holds a value id with a stamp; ids whose stamp lies before `floor` or was made void by a join are
 * forgotten, and the next read gives the local a new id; so does what may be a sum that wrapped. A role local holds a
 * base or a limit and nothing else ever. A limit local needs no care (0, with which it starts, and every limit of the
 * past are at most the limit of now); a base local is believed where its bit in `assigned` is set, for elsewhere it may
 * still be the 0 it began with.
 *
 * `floor` and `assigned` are the state that control flow saves and restores; ids and stamps need no restoring. Loops with
 * a hint are entered and left here, so that each set is known to be one that all of them announce (README.md, rule I).
 */
import type { RoleLocal } from '../abi/hints.ts';
import { LOCALS_MAX } from '../base/limits.ts';
import { BASES, LIMITS, NONE, type Values } from './values.ts';

/** Locals there is room for at first. */
const FIRST_ROOM = 256;
/** Most base locals of a function: the bits of `assigned`. */
const BASES_MAX = 31;
const LIMIT_BIT = 1 << 31;

export class Locals {
  /** Stamps before this are void. */
  floor = 0;
  /** Bits of the base locals that were set on every way to here. */
  assigned = 0;
  #count = 0;
  readonly #values: Values;
  // As long as the function with the most locals so far needs them: most have few, and every module gets its own.
  #value = new Int32Array(FIRST_ROOM);
  #stamp = new Int32Array(FIRST_ROOM);
  /** The role of a local of function #owner[local]: the id it holds, BASES + m or LIMITS + m. */
  #role = new Int32Array(FIRST_ROOM);
  #owner = new Int32Array(FIRST_ROOM).fill(-1);
  /** Its bit in `assigned`; limit locals have the highest, which is always set. */
  #bit = new Int32Array(FIRST_ROOM);
  /** How many loops with a hint are open, and for each local how many of these name it. */
  #hinted = 0;
  #named = new Int32Array(FIRST_ROOM);
  #function = -1;

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
    const larger = (old: Int32Array, fill: number): Int32Array<ArrayBuffer> => {
      const made = new Int32Array(size).fill(fill);
      made.set(old);
      return made;
    };
    this.#value = larger(this.#value, 0);
    this.#stamp = larger(this.#stamp, 0);
    this.#role = larger(this.#role, 0);
    this.#owner = larger(this.#owner, -1);
    this.#bit = larger(this.#bit, 0);
    this.#named = larger(this.#named, 0);
  }

  /** A new function; `start`: offset of its first byte. */
  begin(index: number, start: number): void {
    this.#function = index;
    this.floor = start;
    this.assigned = LIMIT_BIT;
  }

  /** Gives what is wrong with the roles, or the empty string. */
  declareRoles(roles: readonly RoleLocal[], params: number, memories: number): string {
    let bases = 0;
    for (const { local, role, memory } of roles) {
      // A parameter starts with a value the caller chose; any other local starts as 0, which is below every limit.
      if (local < params || local >= this.count) return `role local ${local} is not a local of its own`;
      // A module without memories has a base all the same: that of its control area.
      if (memory >= memories && (role === 'limit' || memory > 0))
        return `role local ${local} names memory ${memory}`;
      if (this.isRole(local)) return `local ${local} has two roles`;
      this.#owner[local] = this.#function;
      this.#role[local] = memory + (role === 'base' ? BASES : LIMITS);
      if (role === 'base' && bases === BASES_MAX) return `more than ${BASES_MAX} base locals`;
      this.#bit[local] = role === 'base' ? 1 << bases++ : LIMIT_BIT;
    }
    return '';
  }

  isRole(local: number): boolean {
    return this.#owner[local] === this.#function;
  }

  /** The id of what a local holds, NONE where that is not known. */
  peek(local: number): number {
    if (this.isRole(local)) return (this.assigned & this.#bit[local]!) !== 0 ? this.#role[local]! : NONE;
    const stamp = this.#stamp[local]!;
    return stamp < this.floor || this.#values.isVoid(stamp) ? NONE : this.#value[local]!;
  }

  /** The id of what a local holds, a new one where that is not known. `at`: offset of the instruction. */
  get(local: number, at: number): number {
    const known = this.peek(local);
    if ((known !== NONE && !this.#values.mayWrap(known)) || this.isRole(local)) return known;
    const id = this.#values.fresh();
    this.#value[local] = id;
    this.#stamp[local] = at;
    return id;
  }

  /** Gives what is wrong with setting this local to this value, or the empty string. */
  set(local: number, id: number, at: number): string {
    if (this.isRole(local)) {
      const role = this.#role[local]!;
      if (role !== id) return `${role < BASES ? 'limit' : 'base'} local ${local} is set to something else`;
      this.assigned |= this.#bit[local]!;
      return '';
    }
    if (this.#named[local]! < this.#hinted)
      return `local ${local} is set in a loop that is said not to set it`;
    this.#value[local] = id;
    this.#stamp[local] = at;
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
      if (!this.isRole(local)) this.define(local, NONE, at);
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
    return this.#named[local] === this.#hinted && !this.isRole(local);
  }

  /** An ordinary local holds this from here on. */
  define(local: number, id: number, at: number): void {
    this.#value[local] = id;
    this.#stamp[local] = at;
  }
}
