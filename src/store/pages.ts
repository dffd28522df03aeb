/**
 * Pages in the engine: how a page is cut into two records, what a commit has to write, and how pages are read back and
 * verified. Used by `Store` only.
 *
 * Why: RATIONALE.md#pages-are-stored-in-two-pieces
 */
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import type { PageHasher } from '../base/hash.ts';
import { PAGE_BYTES } from '../base/limits.ts';
import { type Snapshot, VALUE_BEST_BYTES, type Writes } from './engine.ts';
import { HashSum, PageHashes, SPACE_MAX_PAGES } from './hashes.ts';

/** Bytes of a page in the table `head`; the rest lies in `tail`, before the page's hash. */
export const HEAD_BYTES = VALUE_BEST_BYTES;
const TAIL_BYTES = PAGE_BYTES - HEAD_BYTES;
const TAIL_VALUE_BYTES = TAIL_BYTES + 8;

/** What a commit changes: pages as in `Commit` of `store.ts`. */
export interface PageChanges {
  readonly pages: Uint32Array;
  readonly data: Uint8Array;
  readonly freed: Uint32Array;
  readonly hashes?: Uint32Array;
}

/** A page while it is read back. */
export interface ReadPage {
  readonly page: number;
  /** Valid until the next page is asked for. */
  readonly bytes: Uint8Array;
}

/** The hashes and the sum of what is stored, and the work on pages that keeps them true. */
export class PageTable {
  readonly #hasher: PageHasher;
  readonly #hashes = new PageHashes();
  #sum = new HashSum();
  /** One more than the largest page ever seen. */
  #end = 0;
  /** Whether the table says all that is stored. */
  loaded: boolean;

  constructor(hasher: PageHasher, empty: boolean) {
    this.#hasher = hasher;
    this.loaded = empty;
  }

  get sum(): HashSum {
    return this.#sum.copy();
  }

  /** Copies the hashes to `words`, which are zero. */
  copyTo(words: Uint32Array): void {
    words.set(this.#hashes.words.subarray(0, this.#end * 2));
  }

  /**
   * Decides what to write so that the engine holds the changes, and takes the table to that state. Give what it returns
   * to the engine's transaction; when that fails, call `undo`.
   */
  change(changes: PageChanges): Plan {
    const { pages, data, freed } = changes;
    assert(data.length >= pages.length * PAGE_BYTES, 'a commit has the bytes of its pages');
    assert(!changes.hashes || changes.hashes.length === pages.length * 2, 'a commit has all hashes or none');
    const gone = new Set(freed);
    for (let i = 0, previous = -1; i < pages.length; i++) {
      const page = pages[i]!;
      assert(page > previous && page < SPACE_MAX_PAGES, 'pages rise and lie in the space');
      assert(!gone.has(page), 'a page is not both changed and freed');
      previous = page;
    }
    for (const page of freed) assert(page < SPACE_MAX_PAGES, 'a freed page lies in the space');
    const hashes = changes.hashes
      ? this.#settled(changes.hashes, pages, data)
      : this.#hashAll(data, pages.length);
    const plan = new Plan(this.sum, data);
    for (let i = 0; i < pages.length; i++) {
      const page = pages[i]!;
      if (this.#move(plan, page, hashes[i * 2]!, hashes[i * 2 + 1]!)) plan.puts.push(i, page);
    }
    for (let i = 0; i < freed.length; i++) this.#move(plan, freed[i]!, 0, 0);
    plan.seal(hashes);
    return plan;
  }

  /** The engine did not take it: what is stored is what was. */
  undo(plan: Plan): void {
    for (let i = plan.old.length - 3; i >= 0; i -= 3) {
      this.#hashes.set(plan.old[i]!, plan.old[i + 1]!, plan.old[i + 2]!);
    }
    this.#sum = plan.sumBefore;
  }

  /** Notes that the page has this hash from now on. Whether there is something to put. */
  #move(plan: Plan, page: number, low: number, high: number): boolean {
    if (this.#hashes.has(page, low, high)) return false;
    const words = this.#hashes.words;
    plan.old.push(page, words[page * 2]!, words[page * 2 + 1]!);
    if (this.#hashes.isStored(page)) this.#sum.remove(page, words[page * 2]!, words[page * 2 + 1]!);
    this.#hashes.set(page, low, high);
    if ((low | high) === 0) {
      plan.removes.push(page);
      return false;
    }
    this.#sum.add(page, low, high);
    this.#end = Math.max(this.#end, page + 1);
    return true;
  }

  /**
   * The first page holds the safepoint word, which other threads write at any time: also between the hashing of the
   * page in the space and its copying. So its hash is that of the copy, which is what is stored.
   */
  #settled(given: Uint32Array, pages: Uint32Array, data: Uint8Array): Uint32Array {
    if (pages[0] !== 0) return given;
    const hashes = given.slice();
    this.#hasher.hash(data, 0);
    hashes.set(this.#hasher.out.subarray(0, 2));
    return hashes;
  }

  #hashAll(data: Uint8Array, count: number): Uint32Array {
    const hashes = new Uint32Array(count * 2);
    const run = this.#hasher.stagePages;
    for (let from = 0; from < count; from += run) {
      const part = Math.min(run, count - from);
      this.#hasher.hashRun(data, from * PAGE_BYTES, part);
      hashes.set(this.#hasher.out.subarray(0, part * 2), from * 2);
    }
    return hashes;
  }

  /**
   * All stored pages by rising number, each verified; fills the table on the way. Throws `MalformedError` at a page
   * that is not as it was stored, and at the end when the whole is not what `expected` says.
   */
  *read(snapshot: Snapshot, expected: HashSum): Generator<ReadPage, void> {
    const hasher = this.#hasher;
    const stage = hasher.stage;
    const sum = new HashSum();
    for (const { key: page, value } of snapshot.entries('tail')) {
      if (page >= SPACE_MAX_PAGES) throw new MalformedError(`page ${page} lies outside the space`, -1);
      if (value.length !== TAIL_VALUE_BYTES) throw new MalformedError(`page ${page} has a broken end`, -1);
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      const low = view.getUint32(TAIL_BYTES, true);
      const high = view.getUint32(TAIL_BYTES + 4, true);
      stage.set(value.subarray(0, TAIL_BYTES), HEAD_BYTES);
      const head = snapshot.get('head', page);
      if (head?.length !== HEAD_BYTES) throw new MalformedError(`page ${page} has lost its beginning`, -1);
      stage.set(head);
      hasher.hashStage();
      if (hasher.out[0] !== low || hasher.out[1] !== high || (low | high) === 0) {
        throw new MalformedError(`page ${page} does not match its checksum`, -1);
      }
      sum.add(page, low, high);
      if (!this.loaded) {
        this.#hashes.set(page, low, high);
        this.#end = page + 1;
      }
      yield { page, bytes: stage };
    }
    if (!sum.equals(expected)) {
      const counts = `${sum.pages} pages for the ${expected.pages} it should have`;
      throw new MalformedError(`pages are missing, or not of this checkpoint (${counts})`, -1);
    }
    if (!this.loaded) this.#sum = sum;
    this.loaded = true;
  }
}

/** The page writes of one transaction. */
export class Plan {
  readonly sumBefore: HashSum;
  /** Pairs: index in the commit, page. */
  readonly puts: number[] = [];
  readonly removes: number[] = [];
  /** Triples: page, its hash before. */
  readonly old: number[] = [];
  readonly #data: Uint8Array;
  #tails = new Uint8Array(0);

  constructor(sumBefore: HashSum, data: Uint8Array) {
    this.sumBefore = sumBefore;
    this.#data = data;
  }

  get written(): number {
    return this.puts.length / 2;
  }

  /** Makes the tails, once all pages are known. */
  seal(hashes: Uint32Array): void {
    this.#tails = new Uint8Array(this.written * TAIL_VALUE_BYTES);
    const view = new DataView(this.#tails.buffer);
    for (let i = 0, at = 0; i < this.puts.length; i += 2, at += TAIL_VALUE_BYTES) {
      const index = this.puts[i]!;
      const end = (index + 1) * PAGE_BYTES;
      this.#tails.set(this.#data.subarray(end - TAIL_BYTES, end), at);
      view.setUint32(at + TAIL_BYTES, hashes[index * 2]!, true);
      view.setUint32(at + TAIL_BYTES + 4, hashes[index * 2 + 1]!, true);
    }
  }

  /** Writes it all. */
  into(writes: Writes): void {
    for (const page of this.removes) {
      writes.remove('head', page);
      writes.remove('tail', page);
    }
    for (let i = 0; i < this.puts.length; i += 2) {
      const at = this.puts[i]! * PAGE_BYTES;
      const tail = (i / 2) * TAIL_VALUE_BYTES;
      writes.put('head', this.puts[i + 1]!, this.#data.subarray(at, at + HEAD_BYTES));
      writes.put('tail', this.puts[i + 1]!, this.#tails.subarray(tail, tail + TAIL_VALUE_BYTES));
    }
  }
}
