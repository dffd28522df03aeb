/** Sets of bits for one function after the other: rows of words in a buffer that is used again and only grows. */

/** Sets of the same number of bits, by row. */
export class Rows {
  #words = new Uint32Array(64);
  /** Words a row. */
  width = 1;

  /** The words, with room for this many rows; use them until the next call. */
  upTo(rows: number): Uint32Array {
    const needed = rows * this.width;
    if (needed > this.#words.length) {
      const larger = new Uint32Array(Math.max(needed, this.#words.length * 2));
      larger.set(this.#words);
      this.#words = larger;
    }
    return this.#words;
  }
}
