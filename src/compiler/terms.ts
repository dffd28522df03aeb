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

export class Terms {
  #kind: Uint8Array = new Uint8Array(1024);
  #a: Int32Array = new Int32Array(1024);
  #b: Int32Array = new Int32Array(1024);
  #count = 1;
  readonly #known = new Map<number, number>();

  /** A new function. */
  reset(): void {
    this.#count = 1;
    this.#known.clear();
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
    const [a, b] = x < y ? [x, y] : [y, x];
    return this.#consed(SUM, a, b);
  }

  /** `x << bits`, 0 <= bits < 32. */
  shift(x: number, bits: number): number {
    if (x === NOTHING || bits === 0) return x;
    return this.#consed(SHIFT, x, bits);
  }

  #consed(kind: number, a: number, b: number): number {
    if (this.#count >= TERMS_MAX) return this.symbol();
    const key = (a * TERMS_MAX + b) * 2 + (kind - 1);
    const found = this.#known.get(key);
    if (found !== undefined) return found;
    const id = this.#make(kind, a, b);
    this.#known.set(key, id);
    return id;
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
