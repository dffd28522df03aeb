/**
 * i32 values as `term + constant`, modulo 2^32: the same number names the same term wherever the value is known to be
 * the same, so two addresses off one pointer differ by a constant that can be seen.
 *
 * A term is a symbol (a value of which nothing else is known), the sum of two terms, or a term shifted left. Terms are
 * hash-consed: equal ones have equal numbers. NOTHING is the term of constants.
 */
import { larger } from '../base/arrays.ts';
import { assert } from '../base/assert.ts';

/** The term of a constant. */
export const NOTHING = 0;

const SYMBOL = 0;
const SUM = 1;
const SHIFT = 2;
/** Most terms of a function; past it everything is a symbol of its own that equals nothing. */
const TERMS_MAX = 1 << 21;
/** Places in the table of a small function. */
const TABLE_MIN = 256;
/** Places looked at for one term: a program may have been made so that many of its terms fall on one place. */
const PROBES_MAX = 64;

export class Terms {
  #kind: Uint8Array = new Uint8Array(1024);
  #a: Int32Array = new Int32Array(1024);
  #b: Int32Array = new Int32Array(1024);
  #count = 1;
  /** Sums and shifts by what they are of, 0 where nothing is: open addressing in the first `#mask + 1`, at most half full. */
  #known: Int32Array = new Int32Array(TABLE_MIN);
  #mask = TABLE_MIN - 1;
  #entries = 0;

  /** A new function. */
  reset(): void {
    this.#count = 1;
    if (this.#entries > 0) this.#known.fill(0, 0, this.#mask + 1);
    this.#mask = TABLE_MIN - 1;
    this.#entries = 0;
  }

  /** How many there are: a symbol made later has this number or a greater one. */
  get count(): number {
    return this.#count;
  }

  #make(kind: number, a: number, b: number): number {
    const id = this.#count++;
    if (id === this.#kind.length) this.#grow();
    this.#kind[id] = kind;
    this.#a[id] = a;
    this.#b[id] = b;
    return id;
  }

  #grow(): void {
    const size = this.#kind.length * 2;
    this.#kind = larger(this.#kind, new Uint8Array(size));
    this.#a = larger(this.#a, new Int32Array(size));
    this.#b = larger(this.#b, new Int32Array(size));
  }

  /** A value of which nothing is known. */
  symbol(): number {
    return this.#make(SYMBOL, 0, 0);
  }

  sum(x: number, y: number): number {
    if (x === NOTHING) return y;
    if (y === NOTHING) return x;
    return x < y ? this.#consed(SUM, x, y) : this.#consed(SUM, y, x);
  }

  /** `x << bits`, 0 <= bits < 32. */
  shift(x: number, bits: number): number {
    if (x === NOTHING || bits === 0) return x;
    return this.#consed(SHIFT, x, bits);
  }

  #consed(kind: number, a: number, b: number): number {
    if (this.#count >= TERMS_MAX) return this.symbol();
    const place = this.#placeOf(kind, a, b);
    if (place < 0) return this.symbol();
    const found = this.#known[place]!;
    if (found !== 0) return found;
    const id = this.#make(kind, a, b);
    this.#known[place] = id;
    if (++this.#entries * 2 > this.#mask) this.#moreEntries();
    return id;
  }

  /** Where in the table such a term is, or would be; -1 where that takes too long to tell. */
  #placeOf(kind: number, a: number, b: number): number {
    const hash = Math.imul(Math.imul(a, 0x9e3779b1) ^ (b + kind), 0x85ebca6b);
    const first = hash ^ (hash >>> 15);
    for (let n = 0; n < PROBES_MAX; n++) {
      const at = (first + n) & this.#mask;
      const id = this.#known[at]!;
      if (id === 0) return at;
      if (this.#a[id] === a && this.#b[id] === b && this.#kind[id] === kind) return at;
    }
    return -1;
  }

  #moreEntries(): void {
    const size = 2 * (this.#mask + 1);
    if (size > this.#known.length) this.#known = new Int32Array(size);
    else this.#known.fill(0, 0, size);
    this.#mask = size - 1;
    for (let id = 1; id < this.#count; id++) {
      const kind = this.#kind[id]!;
      const place = kind === SYMBOL ? -1 : this.#placeOf(kind, this.#a[id]!, this.#b[id]!);
      if (place >= 0) this.#known[place] = id;
    }
  }

  /** The two terms of a sum; null for others. */
  parts(term: number): readonly [number, number] | null {
    return term !== NOTHING && this.#kind[term] === SUM ? [this.#a[term]!, this.#b[term]!] : null;
  }
  /** The term and the bits of a shift; null for others. */
  shifted(term: number): readonly [number, number] | null {
    return term !== NOTHING && this.#kind[term] === SHIFT ? [this.#a[term]!, this.#b[term]!] : null;
  }

  /**
   * Combines what `leaf` says of each symbol: sums add, shifts multiply. NaN from any leaf makes the whole NaN.
   * Depth is bounded, for a term may be the sum of itself: one deeper than 6 is NaN.
   */
  fold(term: number, leaf: (symbol: number) => number, depth = 0): number {
    if (term === NOTHING) return 0;
    if (depth > 6) return Number.NaN;
    switch (this.#kind[term]) {
      case SUM:
        return this.fold(this.#a[term]!, leaf, depth + 1) + this.fold(this.#b[term]!, leaf, depth + 1);
      case SHIFT:
        return this.fold(this.#a[term]!, leaf, depth + 1) * 2 ** this.#b[term]!;
      default:
        assert(this.#kind[term] === SYMBOL, 'there are three kinds');
        return leaf(term);
    }
  }
}
