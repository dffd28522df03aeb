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
import { assert } from '../base/assert.ts';

const MEMORIES = 16;

export interface Anchor {
  /** The address is `term + constant`, modulo 2^32; x is that number. */
  readonly constant: number;
  /** [x, x + known) is inside. */
  readonly known: number;
  /** i64 local that holds x. */
  readonly local: number;
  /** The page marked is that of base + x, plus so many bytes (whole pages); NaN for none. */
  readonly page: number;
  /** The mark's safepoint: it is of use until the next one. */
  readonly safepoint: number;
}

export class Facts {
  #anchors = new Map<number, Anchor>();
  /** What was replaced, to be put back: key and anchor. */
  readonly #keys: number[] = [];
  readonly #old: (Anchor | undefined)[] = [];
  /** Where the log stood when each open construct was opened. */
  readonly #open: number[] = [];
  #safepoints = 0;
  /** How many anchors, known or put by, need a local. */
  readonly #users = new Map<number, number>();
  readonly #free: number[] = [];

  /** A function begins, of a program with this many memories. */
  reset(memories: number): void {
    assert(memories <= MEMORIES, 'keys have room for each memory');
    this.#anchors.clear();
    this.#keys.length = 0;
    this.#old.length = 0;
    this.#open.length = 0;
    this.#users.clear();
    this.#free.length = 0;
  }

  /** A construct opens. */
  open(): void {
    this.#open.push(this.#keys.length);
  }

  /** The second arm of an if begins: what is known is what was known at the if. */
  otherArm(): void {
    this.#undo(this.#open.at(-1)!);
  }

  /** A construct ends; `joins`: more ways than one lead behind it. */
  close(joins: boolean): void {
    const from = this.#open.pop()!;
    if (joins) this.#undo(from);
  }

  #undo(from: number): void {
    for (let at = this.#keys.length - 1; at >= from; at--) {
      const key = this.#keys[at]!;
      const now = this.#anchors.get(key);
      const old = this.#old[at];
      if (old) this.#anchors.set(key, old);
      else this.#anchors.delete(key);
      if (now) this.#release(now.local);
    }
    this.#keys.length = from;
    this.#old.length = from;
  }

  #release(local: number): void {
    const users = this.#users.get(local)! - 1;
    this.#users.set(local, users);
    if (users === 0) this.#free.push(local);
  }

  /** A poll or a call: a checkpoint may have come and gone. */
  safepoint(): void {
    this.#safepoints++;
  }

  /** Nothing is known: control may have come from anywhere. */
  forget(): void {
    for (const key of [...this.#anchors.keys()]) {
      this.#keys.push(key);
      this.#old.push(this.#anchors.get(key));
      this.#anchors.delete(key);
    }
  }

  find(memory: number, term: number): Anchor | undefined {
    return this.#anchors.get(term * MEMORIES + memory);
  }

  /** A local for a new anchor: one that no anchor needs any more, or -1. */
  spareLocal(): number {
    return this.#free.pop() ?? -1;
  }

  /** From here on this is the anchor of the term. Without a page it keeps the mark of the one before. */
  learn(memory: number, term: number, constant: number, known: number, local: number): void {
    const before = this.find(memory, term);
    const same = before?.local === local && before.constant === constant;
    const { page, safepoint } = same ? before : { page: Number.NaN, safepoint: -1 };
    this.#put(memory, term, { constant, known, local, page, safepoint });
  }

  #put(memory: number, term: number, anchor: Anchor): void {
    const key = term * MEMORIES + memory;
    this.#keys.push(key);
    this.#old.push(this.#anchors.get(key));
    this.#anchors.set(key, anchor);
    this.#users.set(anchor.local, (this.#users.get(anchor.local) ?? 0) + 1);
  }

  /** Bytes [at, at + size) from the anchor's x and the memory's base are covered by its mark. */
  isMarked(anchor: Anchor, at: number, size: number): boolean {
    const { page, safepoint } = anchor;
    if (safepoint !== this.#safepoints) return false;
    return at >= page - MARK_SLOP_BYTES && at + size <= page + MARK_SLOP_BYTES + 1;
  }

  /** A mark was made for the page of x plus `page` bytes (whole pages). */
  mark(memory: number, term: number, page: number): void {
    const anchor = this.find(memory, term);
    if (anchor) this.#put(memory, term, { ...anchor, page, safepoint: this.#safepoints });
  }
}
