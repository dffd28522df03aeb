/**
 * The hashes of all pages as they were last taken into a checkpoint: two 32-bit words a page, 0 for a page of zeros
 * (such pages are not stored). The words may lie in shared memory, so that the core that takes a checkpoint can leave
 * out what did not change before it copies anything:
 *
 *     const hashes = new PageHashes(words);                  // words: from Store.pageHashes(), sent to the worker once
 *     const found = hashes.takeChanged(hasher, marked, n);   // hasher: new PageHasher(key, spaceMemory)
 *     // copy found.pages out of the space, let programs go on, then Store.commit with found.hashes and found.zeroed
 *
 * Rule: one thread takes; what it has taken must be committed, in that order, or the process ends. A commit that
 * failed is tried again as it was; otherwise pages taken with it would never be stored.
 */
import { assert } from '../base/assert.ts';
import { HASH_BATCH, type PageHasher } from '../base/hash.ts';
import { FRAME_BYTES, PAGE_BYTES, SPACE_MAX_FRAMES } from '../base/limits.ts';

/** Pages of the largest space. */
export const SPACE_MAX_PAGES = SPACE_MAX_FRAMES * (FRAME_BYTES / PAGE_BYTES);
/** Words of a table of hashes. The memory is reserved, not used, until a page's words are written. */
export const HASHES_WORDS = SPACE_MAX_PAGES * 2;

/** What `takeChanged` found; the arrays are views and stay as they are until the next call. */
export interface Taken {
  /** Numbers of the changed pages that are not zero, in the order given. */
  readonly pages: Uint32Array;
  /** Their hashes, two words each. */
  readonly hashes: Uint32Array;
  /** Numbers of the changed pages that are all zero now. */
  readonly zeroed: Uint32Array;
}

/** A table of hashes; see the head of this file. */
export class PageHashes {
  readonly words: Uint32Array;
  #pages = new Uint32Array(0);
  #hashes = new Uint32Array(0);
  #zeroed = new Uint32Array(0);

  /** `words`: HASHES_WORDS words, on shared memory when several threads look at them; by default new and not shared. */
  constructor(words: Uint32Array = new Uint32Array(HASHES_WORDS)) {
    assert(words.length === HASHES_WORDS, 'a table of hashes has a place for each page of the largest space');
    this.words = words;
  }

  /** Whether the page's hash is the one given. */
  has(page: number, low: number, high: number): boolean {
    return this.words[page * 2] === low && this.words[page * 2 + 1] === high;
  }

  set(page: number, low: number, high: number): void {
    this.words[page * 2] = low;
    this.words[page * 2 + 1] = high;
  }

  /** Whether the page has content that is not zero. */
  isStored(page: number): boolean {
    return (this.words[page * 2]! | this.words[page * 2 + 1]!) !== 0;
  }

  /**
   * Of the first `count` numbers in `marked`, those whose pages in the hasher's target changed since they were taken
   * last; takes them. Pages freed since must not be among `marked`: give them to `forget`.
   */
  takeChanged(hasher: PageHasher, marked: Uint32Array, count: number): Taken {
    if (this.#pages.length < count) {
      this.#pages = new Uint32Array(count);
      this.#hashes = new Uint32Array(count * 2);
      this.#zeroed = new Uint32Array(count);
    }
    let changed = 0;
    let zero = 0;
    for (let from = 0; from < count; from += HASH_BATCH) {
      const batch = Math.min(HASH_BATCH, count - from);
      hasher.hashPages(marked, from, batch);
      for (let i = 0; i < batch; i++) {
        const page = marked[from + i]!;
        const low = hasher.out[i * 2]!;
        const high = hasher.out[i * 2 + 1]!;
        if (this.has(page, low, high)) continue;
        this.set(page, low, high);
        if ((low | high) === 0) {
          this.#zeroed[zero++] = page;
        } else {
          this.#hashes[changed * 2] = low;
          this.#hashes[changed * 2 + 1] = high;
          this.#pages[changed++] = page;
        }
      }
    }
    return {
      pages: this.#pages.subarray(0, changed),
      hashes: this.#hashes.subarray(0, changed * 2),
      zeroed: this.#zeroed.subarray(0, zero),
    };
  }

  /** Pages that were freed: their content does not matter any more. Give the same ones to `Store.commit` as freed. */
  forget(pages: Uint32Array): void {
    for (const page of pages) this.set(page, 0, 0);
  }
}

/**
 * A sum over all stored pages of their numbers and hashes, kept up to date page by page. Two states of the space with
 * the same sum are the same: it catches what hashes of single pages cannot, a page that is missing or from another
 * checkpoint, as a disk that lost a write leaves behind.
 */
export class HashSum {
  pages = 0;
  low = 0;
  high = 0;

  add(page: number, low: number, high: number): void {
    this.#change(page, low, high, 1);
  }

  remove(page: number, low: number, high: number): void {
    this.#change(page, low, high, -1);
  }

  copy(): HashSum {
    const sum = new HashSum();
    sum.pages = this.pages;
    sum.low = this.low;
    sum.high = this.high;
    return sum;
  }

  equals(other: HashSum): boolean {
    return this.pages === other.pages && this.low === other.low && this.high === other.high;
  }

  #change(page: number, low: number, high: number, by: 1 | -1): void {
    const mixed = Math.imul(page ^ 0x2545f491, 0x9e3779b1);
    const a = Math.imul(low ^ mixed, 0x85ebca6b);
    const b = Math.imul(high ^ ((mixed << 16) | (mixed >>> 16)), 0xc2b2ae35);
    this.pages += by;
    this.low = (this.low + by * (a ^ (b >>> 15))) >>> 0;
    this.high = (this.high + by * (b ^ (a >>> 15))) >>> 0;
  }
}
