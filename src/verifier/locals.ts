/**
 * The locals of one function as the verifier sees them, and how fresh what it knows of bases is.
 *
 * An ordinary local holds a value id with a stamp; ids whose stamp lies before `floor` or was made void by a join are
 * forgotten, and the next read gives the local a new id; so does what may be a sum that wrapped. A role local holds a base or a limit and nothing else ever:
 * a limit local needs no care (0, with which it starts, and every limit of the past are at most the limit of now), a
 * base local is only believed while its bit in `fresh` is set.
 *
 * `fresh`, `epoch` and `floor` are the state that control flow saves and restores; ids and stamps need no restoring.
 */
import type { RoleLocal } from '../abi/evidence.ts';
import { LOCALS_MAX } from '../base/limits.ts';
import { LIMITS, NONE, VALUE, type Values, ZERO } from './values.ts';

/** Locals there is room for at first. */
const FIRST_ROOM = 256;
/** Most base locals of a function: the bits of `fresh`. */
const BASES_MAX = 31;

export class Locals {
  /** Bits of the base locals that are known to hold the base of now. */
  fresh = 0;
  /** Changes with every instruction after which bases may have changed. */
  epoch = 0;
  /** Stamps before this are void. */
  floor = 0;
  #epochs = 0;
  #count = 0;
  readonly #values: Values;
  // As long as the function with the most locals so far needs them: most have few, and every module gets its own.
  #value = new Int32Array(FIRST_ROOM);
  #stamp = new Int32Array(FIRST_ROOM);
  // Roles, for the function #owner[local]: memory + 1 for a base, -(memory + 1) for a limit.
  #role = new Int8Array(FIRST_ROOM);
  #owner = new Int32Array(FIRST_ROOM).fill(-1);
  #bit = new Int32Array(FIRST_ROOM);
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
    this.#owner = larger(this.#owner, -1);
    this.#bit = larger(this.#bit, 0);
    const role = new Int8Array(size);
    role.set(this.#role);
    this.#role = role;
  }

  /** A new function; `start`: offset of its first byte. */
  begin(index: number, start: number): void {
    this.#function = index;
    this.fresh = 0;
    this.epoch = 0;
    this.#epochs = 0;
    this.floor = start;
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
      if (this.#owner[local] === this.#function) return `local ${local} has two roles`;
      this.#owner[local] = this.#function;
      this.#role[local] = role === 'base' ? memory + 1 : -(memory + 1);
      if (role === 'base' && bases === BASES_MAX) return `more than ${BASES_MAX} base locals`;
      this.#bit[local] = role === 'base' ? 1 << bases++ : 0;
    }
    return '';
  }

  /** The id of what a local holds. `at`: offset of the instruction. */
  get(local: number, at: number): number {
    const values = this.#values;
    if (this.#owner[local] === this.#function) {
      const role = this.#role[local]!;
      if (role < 0) return LIMITS - role - 1;
      return (this.fresh & this.#bit[local]!) !== 0 ? values.baseOf(role - 1, this.epoch) : NONE;
    }
    const stamp = this.#stamp[local]!;
    let id = this.#value[local]!;
    if (id === NONE || stamp < this.floor || values.isVoid(stamp) || values.mayWrap(id)) {
      id = values.fresh();
      this.#value[local] = id;
      this.#stamp[local] = at;
    }
    return id;
  }

  /** Gives what is wrong with setting this local to this value, or the empty string. */
  set(local: number, id: number, at: number): string {
    if (this.#owner[local] !== this.#function) {
      this.#value[local] = id;
      this.#stamp[local] = at;
      return '';
    }
    const role = this.#role[local]!;
    if (role < 0) return id === LIMITS - role - 1 ? '' : `limit local ${local} is set to something else`;
    if (!this.#isBase(id, role)) return `base local ${local} is set to something else`;
    this.fresh |= this.#bit[local]!;
    return '';
  }

  /** True for exactly the base of memory `role - 1` as it is now. */
  #isBase(id: number, role: number): boolean {
    const values = this.#values;
    return (
      values.kind[id] === VALUE &&
      values.base[id] === role &&
      values.root[id] === ZERO &&
      values.constant[id] === 0 &&
      values.epoch[id] === this.epoch
    );
  }

  /** A new epoch: addresses made before are not believed any more. Base locals still are. */
  newEpoch(): void {
    this.epoch = ++this.#epochs;
  }

  /** From here on bases may have changed. */
  stale(): void {
    this.fresh = 0;
    this.newEpoch();
  }
}
