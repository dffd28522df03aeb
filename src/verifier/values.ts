/**
 * Values with identities, facts about them, and where in the code both still hold.
 *
 * An id names one value that never changes: what an instruction produced at one place, as long as that place dominates
 * the place where the id is used. Ids are made again for every function (`begin`). A VALUE id stands for
 * `base + root + constant`, where base is the base address of a memory or nothing, and root is an id without parts. The
 * constant is negative only where the sum was begun at HDR.
 *
 * Nothing is ever undone. Everything that stops holding at a join is stamped with the offset of the instruction that
 * made it, and a join only notes the range of code whose stamps are void from there on (`join`). So a function costs
 * time linear in its length (but for one binary search over the noted ranges), whatever it nests.
 *
 * Never keep an id across `begin`.
 */

import { WINDOW_READ, WINDOW_WRITE } from '../abi/hints.ts';
import { larger } from '../base/arrays.ts';
import { assert } from '../base/assert.ts';
import { MAX_MEMORIES } from '../base/limits.ts';
import { I32_MAX, mostOf } from './bounds.ts';

/** A value about which nothing is known and nothing can be: facts never attach to it. */
export const NONE = 0;
/** The root of constants. */
export const ZERO = 1;
/** LIMITS + m is the limit of memory m. */
export const LIMITS = 2;
/**
 * BASES + m is the base of memory m: where its data begins. It never changes while code of the domain has native frames;
 * nor does HDR, which lies the control area before the base of memory 0.
 */
export const BASES = LIMITS + MAX_MEMORIES;
export const HDR = BASES + MAX_MEMORIES;
const FIRST = HDR + 1;

// Kinds of ids.
export const OPAQUE = 0;
/** base + root + constant. */
export const VALUE = 1;
export const LIMIT = 2;
/** An i32 that is zero only if root + constant <= limit of memory `base`. */
export const EXCEEDS = 3;
/** An i32 that is zero only if the two EXCEEDS `root` and `constant` are zero. */
export const EITHER = 4;
/** The page number of a VALUE with a base. */
export const PAGE = 5;
/** The rounds a loop has left, an i32, at its head; and one less than the rounds `root`. */
export const ROUNDS = 6;
export const DECREMENT = 7;
/** base + root + something from 0 to `constant`. */
export const STEPPED = 8;
/** base + root - `constant`. */
export const RETREATED = 10;
/** An i32 that is zero only if the i32 `root` is at most `constant`. */
export const ABOVE = 9;

/** Facts for this memory say that root + k <= I32_MAX. */
const WORD = MAX_MEMORIES;
assert(
  WINDOW_READ > WORD && WINDOW_WRITE > WORD,
  'what stands in the place of a memory is none, and tells itself apart',
);

/** The largest constant part of a VALUE, and the largest fact: sums of a few stay far below 2^53 and 2^64. */
export const CONSTANT_MAX = 2 ** 41;

/** Bytes about a value, an address, that may be touched: those from value + `from` to value + `to`; none unless from < to. */
export interface Touches {
  /** WINDOW_READ, or WINDOW_WRITE where they may be written too. */
  readonly memory: number;
  readonly from: number;
  readonly to: number;
}

/** Ints a node takes, one of them spare. */
const NODE_INTS = 4;

export class Values {
  kind: Uint8Array = new Uint8Array(256);
  root: Int32Array = new Int32Array(256);
  /** Memory + 1, or 0 for no base. */
  base: Int8Array = new Int8Array(256);
  constant: Float64Array = new Float64Array(256);
  /** What a value is at most wherever it is known, as an unsigned number. */
  #most: Float64Array = new Float64Array(256);
  /** The 64-bit extension of an i32 value, when it was made; else 0. */
  #extended: Int32Array = new Int32Array(256);
  /** First of the nodes that hold a root's facts, one for each memory; 0 for none. */
  #node: Int32Array = new Int32Array(256);
  #next = FIRST;

  // Nodes: memory, newest fact, next node. Facts: bound, stamp, next older fact. Number 0 is not used of either.
  #nodes: Int32Array = new Int32Array(256);
  #nodeCount = 1;
  #bounds: Float64Array = new Float64Array(64);
  #stamps: Int32Array = new Int32Array(64);
  #older: Int32Array = new Int32Array(64);
  #factCount = 1;

  // Ranges of code whose stamps are void: ascending, disjoint.
  #from: Int32Array = new Int32Array(64);
  #to: Int32Array = new Int32Array(64);
  #ranges = 0;

  /** What is known of windows with an older stamp holds no more. */
  #left = 0;

  /** Bytes that each memory has at least; windows have none. */
  readonly #minimum = new Float64Array(WINDOW_WRITE + 1);

  /** `minimum`: bytes that each memory has at least; `control`: those of the control area. */
  constructor(minimum: readonly number[], control: number) {
    this.#minimum.set(minimum);
    this.#most.fill(Infinity);
    this.#most[ZERO] = 0;
    this.kind[ZERO] = VALUE;
    this.root[ZERO] = ZERO;
    this.kind.fill(LIMIT, LIMITS, BASES);
    this.kind.fill(VALUE, BASES, FIRST);
    this.root.fill(ZERO, BASES, FIRST);
    for (let m = 0; m < MAX_MEMORIES; m++) this.base[BASES + m] = m + 1;
    this.base[HDR] = 1;
    this.constant[HDR] = -control;
  }

  /** Forgets all ids, facts and ranges: a new function. */
  begin(): void {
    // What is not written for each id that is made.
    this.#most.fill(Infinity, FIRST, this.#next);
    this.#extended.fill(0, 0, this.#next);
    this.#node.fill(0, 0, this.#next);
    this.#next = FIRST;
    this.#nodeCount = 1;
    this.#factCount = 1;
    this.#ranges = 0;
    this.#left = 0;
  }

  #make(kind: number, root: number, base: number, constant: number): number {
    const id = this.#next++;
    if (id === this.kind.length) this.#grow();
    this.kind[id] = kind;
    this.root[id] = root;
    this.base[id] = base;
    this.constant[id] = constant;
    return id;
  }

  #grow(): void {
    const size = this.kind.length * 2;
    this.kind = larger(this.kind, new Uint8Array(size));
    this.root = larger(this.root, new Int32Array(size));
    this.base = larger(this.base, new Int8Array(size));
    this.constant = larger(this.constant, new Float64Array(size));
    this.#most = larger(this.#most, new Float64Array(size).fill(Infinity));
    this.#extended = larger(this.#extended, new Int32Array(size));
    this.#node = larger(this.#node, new Int32Array(size));
  }

  /** A value of which nothing is known yet but that it is at most `most`. */
  fresh(most = Infinity): number {
    const id = this.#make(VALUE, 0, 0, 0);
    this.root[id] = id;
    this.#most[id] = most;
    return id;
  }

  /** The rounds that a loop has left. */
  rounds(): number {
    return this.#make(ROUNDS, 0, 0, 0);
  }

  /** base + root */
  pointer(memory: number, root: number): number {
    return this.#make(VALUE, root, memory + 1, 0);
  }

  /** An address of which so much is known from here on. */
  window(memory: number, from: number, to: number, stamp: number): number {
    if (from >= to) return NONE;
    const root = this.fresh();
    this.remember(root, memory, to - from, stamp);
    return this.#make(VALUE, root, memory + 1, -from);
  }

  /** An address that is one of two: what may be touched about both is known, and only to be read where one may not be written. */
  oneOf(x: Touches, y: Touches, stamp: number): number {
    const memory = Math.min(x.memory, y.memory);
    return this.window(memory, Math.max(x.from, y.from), Math.min(x.to, y.to), stamp);
  }

  /** What may be touched about an address. */
  touches(id: number): Touches {
    const base = this.base[id]!;
    const known = this.kind[id] === VALUE && base !== 0 ? this.known(this.root[id]!, base - 1) : -1;
    const from = -this.constant[id]!;
    return { memory: base - 1 === WINDOW_READ ? WINDOW_READ : WINDOW_WRITE, from, to: from + known };
  }

  /** The kernel may run here, or a loop's next round begins: what windows showed before need not be there any more. */
  leave(stamp: number): void {
    this.#left = stamp;
  }

  /** A constant of i32 or i64, as an unsigned number; NONE when it is larger than anything useful. */
  literal(value: number): number {
    if (value === 0) return ZERO;
    if (!(value > 0 && value <= CONSTANT_MAX)) return NONE;
    const id = this.#make(VALUE, ZERO, 0, value);
    this.#most[id] = value;
    return id;
  }

  /** The constant that this is, or -1. */
  literalOf(id: number): number {
    const isLiteral = this.kind[id] === VALUE && this.root[id] === ZERO && this.base[id] === 0;
    return isLiteral ? this.constant[id]! : -1;
  }

  /** i64.extend_i32_u: the same i32 gives the same id, for it gives the same number. */
  extend(id: number): number {
    if (id === NONE) return this.fresh(I32_MAX);
    if (this.literalOf(id) >= 0) return id;
    if (this.#extended[id] === 0) {
      const made = this.fresh(Math.min(this.#most[id]!, I32_MAX)); // before the store: it may move the arrays
      this.#extended[id] = made;
    }
    return this.#extended[id]!;
  }

  /** i64.add */
  add(x: number, y: number): number {
    if (this.kind[x] !== VALUE || this.kind[y] !== VALUE) return NONE;
    const rootX = this.root[x]!;
    const rootY = this.root[y]!;
    if (this.base[x] !== 0 && this.base[y] !== 0) return NONE;
    const constant = this.constant[x]! + this.constant[y]!;
    if (constant > CONSTANT_MAX) return NONE;
    const base = this.base[x]! + this.base[y]!;
    if (rootX === ZERO && rootY === ZERO && base !== 0 && constant === 0) return BASES + base - 1;
    if (rootX === ZERO || rootY === ZERO)
      return this.#make(VALUE, rootX === ZERO ? rootY : rootX, base, constant);
    const isLeft = this.base[x] !== 0;
    const most = constant + this.most(isLeft ? rootY : rootX);
    if (base === 0 || constant < 0 || most > CONSTANT_MAX) return NONE;
    return this.#make(STEPPED, isLeft ? rootX : rootY, base, most);
  }

  /** i64.sub of a constant */
  retreat(x: number, y: number): number {
    const by = this.literalOf(y);
    if (this.kind[x] !== VALUE || this.constant[x] !== 0 || by < 0) return NONE;
    return this.#make(RETREATED, this.root[x]!, this.base[x]!, by);
  }

  /** i64.gt_u */
  exceeds(x: number, y: number): number {
    if (this.kind[x] !== VALUE || this.base[x] !== 0 || this.kind[y] !== LIMIT) return NONE;
    return this.#make(EXCEEDS, this.root[x]!, y - LIMITS, this.constant[x]!);
  }

  /** Comparisons of i32 that are zero only if x is at most this constant less `less`. */
  above(x: number, y: number, less: number): number {
    const bound = this.literalOf(y) - less;
    return x !== NONE && bound >= 0 ? this.#make(ABOVE, x, 0, bound) : NONE;
  }

  /** i32.add -1 and i32.sub 1 of a number of rounds */
  decrement(x: number, y: number, one: number): number {
    return this.kind[x] === ROUNDS && this.literalOf(y) === one ? this.#make(DECREMENT, x, 0, 0) : NONE;
  }

  /** Other instructions of two i32: of the result its bound is known, if anything. */
  bounded(op: number, x: number, y: number): number {
    const most = mostOf(op, this.most(x), this.most(y), this.literalOf(y));
    return most === Infinity ? NONE : this.fresh(most);
  }

  /** What a value is at most as an unsigned number, Infinity where nothing is known. */
  most(id: number): number {
    const most = this.#most[id]!;
    if (id === NONE) return Infinity;
    // What was learnt of an i32 is kept with its extension, which is the same number.
    const room = this.#learned(this.#extended[id] || id, WORD);
    return room < 0 ? most : Math.min(most, I32_MAX - room);
  }

  /** i32.or */
  either(x: number, y: number): number {
    return this.kind[x] === EXCEEDS && this.kind[y] === EXCEEDS ? this.#make(EITHER, x, 0, y) : NONE;
  }

  /** i64.shr_u */
  page(x: number, y: number, shift: number): number {
    if (this.kind[x] !== VALUE || this.base[x] === 0 || this.literalOf(y) !== shift) return NONE;
    return this.#make(PAGE, this.root[x]!, this.base[x]!, this.constant[x]!);
  }

  /**
   * True for a root and a constant whose sum may have wrapped: nothing can be learnt of it under that root. Whoever
   * keeps such a value in a local takes it for a new one.
   */
  mayWrap(id: number): boolean {
    if (this.kind[id] !== VALUE || this.base[id] !== 0 || this.constant[id] === 0) return false;
    return !this.#isBounded(this.root[id]!);
  }

  /** From here on this condition is known to be zero. `stamp`: offset of the instruction that made it so. */
  isZero(condition: number, stamp: number): void {
    const kind = this.kind[condition];
    if (kind === EXCEEDS) this.#learn(condition, stamp);
    if (kind === ABOVE) this.#learnMost(this.root[condition]!, this.constant[condition]!, stamp);
    if (kind !== EITHER) return;
    const [one, other] = [this.root[condition]!, this.constant[condition]!];
    this.#learn(one, stamp);
    this.#learn(other, stamp);
    this.#learn(one, stamp); // the other may have shown that this one cannot wrap
  }

  #learn(condition: number, stamp: number): void {
    const root = this.root[condition]!;
    const memory = this.base[condition]!;
    const bound = this.constant[condition]!;
    // root + bound is computed modulo 2^64: it says something about a root that is known not to be near 2^64.
    if (bound === 0 || this.#isBounded(root)) this.remember(root, memory, bound, stamp);
  }

  #learnMost(x: number, most: number, stamp: number): void {
    if (this.literalOf(x) < 0 && most < I32_MAX) this.remember(this.extend(x), WORD, I32_MAX - most, stamp);
  }

  /** From here on root + bound <= limit of the memory. */
  remember(root: number, memory: number, bound: number, stamp: number): void {
    if (this.#learned(root, memory) >= bound) return;
    let node = this.#nodeOf(root, memory);
    if (node === 0) {
      node = NODE_INTS * this.#nodeCount++;
      if (node === this.#nodes.length) this.#nodes = larger(this.#nodes, new Int32Array(node * 2));
      this.#nodes[node] = memory;
      this.#nodes[node + 1] = 0;
      this.#nodes[node + 2] = this.#node[root]!;
      this.#node[root] = node;
    }
    const fact = this.#factCount++;
    if (fact === this.#bounds.length) this.#moreFacts(fact * 2);
    this.#bounds[fact] = bound;
    this.#stamps[fact] = stamp;
    this.#older[fact] = this.#nodes[node + 1]!;
    this.#nodes[node + 1] = fact;
  }

  #moreFacts(size: number): void {
    this.#bounds = larger(this.#bounds, new Float64Array(size));
    this.#stamps = larger(this.#stamps, new Int32Array(size));
    this.#older = larger(this.#older, new Int32Array(size));
  }

  /** The node with a root's facts for a memory, or 0. */
  #nodeOf(root: number, memory: number): number {
    let node = this.#node[root]!;
    while (node !== 0 && this.#nodes[node] !== memory) node = this.#nodes[node + 2]!;
    return node;
  }

  /** True when a root is known to be far from 2^64. */
  #isBounded(root: number): boolean {
    if (this.#most[root] !== Infinity) return true;
    for (let node = this.#node[root]!; node !== 0; node = this.#nodes[node + 2]!) {
      if (this.#learned(root, this.#nodes[node]!) >= 0) return true;
    }
    return false;
  }

  /** The largest k for which root + k <= limit of the memory is known here, without wrapping; -1 if nothing is. */
  known(root: number, memory: number): number {
    const most = this.most(root);
    return Math.max(this.#learned(root, memory), most === Infinity ? -1 : this.#minimum[memory]! - most);
  }

  /** The same, as far as it was learnt. */
  #learned(root: number, memory: number): number {
    const node = this.#nodeOf(root, memory);
    if (node !== 0) {
      let fact = this.#nodes[node + 1]!;
      const oldest = memory > WORD ? this.#left : 0;
      while (fact !== 0 && (this.#stamps[fact]! < oldest || this.isVoid(this.#stamps[fact]!)))
        fact = this.#older[fact]!;
      this.#nodes[node + 1] = fact; // void stamps stay void
      if (fact !== 0) return this.#bounds[fact]!;
    }
    return -1;
  }

  /** A join: what was stamped in [from, to) holds no more. Ranges nest or follow one another. */
  join(from: number, to: number): void {
    let last = this.#ranges;
    while (last > 0 && this.#from[last - 1]! >= from) last--;
    if (last === this.#from.length) {
      this.#from = larger(this.#from, new Int32Array(last * 2));
      this.#to = larger(this.#to, new Int32Array(last * 2));
    }
    this.#from[last] = from;
    this.#to[last] = to;
    this.#ranges = last + 1;
  }

  /** True when what has this stamp was made void by a join. */
  isVoid(stamp: number): boolean {
    let high = this.#ranges;
    if (high === 0 || stamp >= this.#to[high - 1]! || stamp < this.#from[0]!) return false;
    if (stamp >= this.#from[high - 1]!) return true;
    let low = 0; // the first range that begins behind the stamp
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#from[middle]! > stamp) high = middle;
      else low = middle + 1;
    }
    return low > 0 && stamp < this.#to[low - 1]!;
  }
}
