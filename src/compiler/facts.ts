/**
 * What is already known of addresses at a point of one function, so that it need not be checked or marked again.
 *
 * Facts speak of terms (terms.ts). For a term and a memory there is at most one anchor: a place `term + constant` whose
 * near address lies widened in a local, from which so many bytes are known to be inside, and near which a page is marked.
 *
 * The verifier follows the same facts by the identity of values, and this keeps to what it can see: an anchor holds in
 * straight code and in constructs opened after it; what is learnt in a construct is forgotten where ways meet behind it.
 * Marks also end at every safepoint: a checkpoint may have cleared them.
 *
 * Why: RATIONALE.md#checks-that-are-known-to-hold-are-left-out
 */
import { MARK_SLOP_BYTES } from '../abi/layout.ts';
import { larger } from '../base/arrays.ts';
import { NOTHING } from './terms.ts';

export interface Anchor {
  /** The address is `term + constant`, modulo 2^32; x is that number. */
  readonly constant: number;
  /** [x + low, x + known) is inside; `low` is 0 but for memories with windows. */
  readonly low: number;
  readonly known: number;
  /** It may be written there too. */
  readonly writes: boolean;
  /** i64 local that holds x, or for a memory with windows the global address of x. */
  readonly local: number;
  /** How often the kernel may have run before it was made. */
  readonly calls: number;
  /** The page marked is that of base + x, plus so many bytes. */
  readonly page: number;
  /** The mark's safepoint: it is of use until the next one. Before the first mark: -1. */
  readonly safepoint: number;
}

export class Facts {
  /** By term: the first of its places, one for each memory; 0 for none. */
  #first: Int32Array = new Int32Array(256);
  // Places, from 1: whose they are, the term's next one, and the anchor that is known.
  readonly #terms: number[] = [NOTHING];
  readonly #memories: number[] = [0];
  readonly #next: number[] = [0];
  readonly #anchors: (Anchor | undefined)[] = [undefined];
  #places = 1;
  /** What was replaced, to be put back: place and anchor. The first `#logged` count. */
  readonly #changed: number[] = [];
  readonly #old: (Anchor | undefined)[] = [];
  #logged = 0;
  /** Where the log stood when each open construct was opened. */
  readonly #open: number[] = [];
  #safepoints = 0;
  #calls = 0;
  /** What is known of memory 0 ends where the kernel may run: it has windows. */
  readonly #windows: boolean;

  constructor(windows: boolean) {
    this.#windows = windows;
  }
  /** By local: how many anchors, known or put by, need it. */
  #users: Int32Array = new Int32Array(256);
  /** Locals from this one on have no users. */
  #usersEnd = 0;
  readonly #free: number[] = [];

  /** A function begins. */
  reset(): void {
    for (let place = 1; place < this.#places; place++) this.#first[this.#terms[place]!] = 0;
    this.#places = 1;
    this.#logged = 0;
    this.#open.length = 0;
    this.#users.fill(0, 0, this.#usersEnd);
    this.#usersEnd = 0;
    this.#free.length = 0;
  }

  /** A construct opens. */
  open(): void {
    this.#open.push(this.#logged);
  }

  /** The second arm of an if begins: what is known is what was known at the if. */
  otherArm(): void {
    this.#undo(this.#open[this.#open.length - 1]!);
  }

  /** A construct ends; `joins`: more ways than one lead behind it. */
  close(joins: boolean): void {
    const from = this.#open.pop()!;
    if (joins) this.#undo(from);
  }

  #undo(from: number): void {
    for (let at = this.#logged - 1; at >= from; at--) {
      const place = this.#changed[at]!;
      const now = this.#anchors[place]!;
      this.#anchors[place] = this.#old[at];
      this.#old[at] = undefined;
      if (--this.#users[now.local]! === 0) this.#free.push(now.local);
    }
    this.#logged = from;
  }

  /** A poll or a call: a checkpoint may have come and gone. */
  safepoint(): void {
    this.#safepoints++;
  }

  /** A call, or the head of a loop, in which there may be one. */
  called(): void {
    this.#calls++;
  }

  find(memory: number, term: number): Anchor | undefined {
    const anchor = this.#anchors[this.#placeOf(memory, term)];
    const isGone = this.#windows && memory === 0 && anchor !== undefined && anchor.calls !== this.#calls;
    return isGone ? undefined : anchor;
  }

  /** The place for the anchor of a term, or 0. */
  #placeOf(memory: number, term: number): number {
    let place = term < this.#first.length ? this.#first[term]! : 0;
    while (place !== 0 && this.#memories[place] !== memory) place = this.#next[place]!;
    return place;
  }

  #makePlace(memory: number, term: number): number {
    if (term >= this.#first.length) this.#first = larger(this.#first, new Int32Array(term * 2));
    const place = this.#places++;
    this.#terms[place] = term;
    this.#memories[place] = memory;
    this.#next[place] = this.#first[term]!;
    this.#anchors[place] = undefined;
    this.#first[term] = place;
    return place;
  }

  /** A local for a new anchor: one that no anchor needs any more, or -1. */
  spareLocal(): number {
    return this.#free.pop() ?? -1;
  }

  /** From here on this is the anchor of the term. Without a page it keeps the mark of the one before. */
  learn(
    memory: number,
    term: number,
    constant: number,
    known: number,
    local: number,
    low = 0,
    writes = true,
  ): void {
    const before = this.find(memory, term);
    const same = before !== undefined && before.local === local && before.constant === constant;
    const page = same ? before.page : 0;
    const safepoint = same ? before.safepoint : -1;
    this.#put(memory, term, { constant, low, known, writes, local, calls: this.#calls, page, safepoint });
  }

  #put(memory: number, term: number, anchor: Anchor): void {
    const { local } = anchor;
    const place = this.#placeOf(memory, term) || this.#makePlace(memory, term);
    if (local >= this.#users.length) this.#users = larger(this.#users, new Int32Array(local * 2));
    this.#changed[this.#logged] = place;
    this.#old[this.#logged++] = this.#anchors[place];
    this.#anchors[place] = anchor;
    this.#users[local]!++;
    if (local >= this.#usersEnd) this.#usersEnd = local + 1;
  }

  /** Bytes [at, at + size) from the anchor's x and the memory's base are covered by its mark. */
  isMarked(anchor: Anchor, at: number, size: number): boolean {
    const { page, safepoint } = anchor;
    if (safepoint !== this.#safepoints) return false;
    return at >= page - MARK_SLOP_BYTES && at + size <= page + MARK_SLOP_BYTES + 1;
  }

  /** A mark was made for the page of x plus `page` bytes. */
  mark(memory: number, term: number, page: number): void {
    const anchor = this.find(memory, term);
    if (anchor === undefined) return;
    this.#put(memory, term, { ...anchor, page, safepoint: this.#safepoints });
  }
}
