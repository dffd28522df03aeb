/**
 * What is already known of addresses at a point of one function, so that it need not be checked or marked again: for
 * a local that has not been set since, how far from the address it holds accesses are known to be inside (`checked`),
 * and which page near it is marked (`marked`).
 *
 * The verifier follows the same facts by the identity of values; this keeps to what it can see in one pass: a fact
 * holds in straight code and in constructs opened after it, what is learnt in a construct is forgotten at its end,
 * and at a loop's head and behind a loop nothing is known. Marks also end at every safepoint: a checkpoint may
 * have cleared them.
 *
 * Why: RATIONALE.md#checks-that-are-known-to-hold-are-left-out
 */
import { MARK_SLOP_BYTES } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';

const MEMORIES = 16;

interface Snapshot {
  checked: Map<number, number>;
  marked: Map<number, number>;
  /** How many safepoints were passed when it was taken. */
  safepoints: number;
  /** It is a loop, or one was in it: behind it the verifier takes locals that the loop read for other values. */
  loop: boolean;
  /** Locals set since, in the construct and those inside it. */
  assigned: Set<number>;
}

export class Facts {
  /** By local and memory: bytes from the address that are known to be inside. */
  #checked = new Map<number, number>();
  /** By local and memory: distance from the address, in whole pages and bytes, of the page that is marked. */
  #marked = new Map<number, number>();
  #safepoints = 0;
  #memories = MEMORIES;
  readonly #open: Snapshot[] = [];

  /** A function begins, of a program with this many memories. */
  reset(memories: number): void {
    assert(memories <= MEMORIES, 'keys have room for each memory');
    this.#memories = memories;
    this.#checked.clear();
    this.#marked.clear();
    this.#open.length = 0;
  }

  /** A construct of the program opens. */
  open(loop: boolean): void {
    this.#open.push({
      checked: new Map(this.#checked),
      marked: new Map(this.#marked),
      safepoints: this.#safepoints,
      loop,
      assigned: new Set(),
    });
    if (loop) this.forget();
  }

  /** The second arm of an if begins: what is known is what was known at the if. */
  otherArm(): void {
    const snapshot = this.#open.at(-1)!;
    if (snapshot.loop) this.forget();
    else this.#restore(snapshot);
  }

  close(): void {
    const snapshot = this.#open.pop()!;
    if (snapshot.loop) this.forget();
    else this.#restore(snapshot);
    const outer = this.#open.at(-1);
    if (outer === undefined) return;
    outer.loop ||= snapshot.loop;
    for (const local of snapshot.assigned) outer.assigned.add(local);
  }

  #restore(snapshot: Snapshot): void {
    const holds = ([key]: [number, number]): boolean => !snapshot.assigned.has(Math.floor(key / MEMORIES));
    this.#checked = new Map([...snapshot.checked].filter(holds));
    this.#marked = new Map(
      snapshot.safepoints === this.#safepoints ? [...snapshot.marked].filter(holds) : [],
    );
  }

  /** A local gets another value. */
  assign(local: number): void {
    this.#open.at(-1)?.assigned.add(local);
    if (this.#checked.size === 0 && this.#marked.size === 0) return;
    for (let m = 0; m < this.#memories; m++) {
      this.#checked.delete(local * MEMORIES + m);
      this.#marked.delete(local * MEMORIES + m);
    }
  }

  /** A poll or a call: a checkpoint may have come and gone. */
  safepoint(): void {
    this.#safepoints++;
    this.#marked.clear();
  }

  forget(): void {
    this.#checked.clear();
    this.#marked.clear();
  }

  isChecked(local: number, memory: number, k: number): boolean {
    return (this.#checked.get(local * MEMORIES + memory) ?? -1) >= k;
  }
  learn(local: number, memory: number, k: number): void {
    this.#checked.set(local * MEMORIES + memory, k);
  }

  /** Bytes [at, at + size), counted from the local's address and the memory's base, are covered by a mark. */
  isMarked(local: number, memory: number, at: number, size: number): boolean {
    const page = this.#marked.get(local * MEMORIES + memory);
    return page !== undefined && at >= page - MARK_SLOP_BYTES && at + size <= page + MARK_SLOP_BYTES + 1;
  }
  /** The mark made was for the page that the local's address lies in, plus `page` bytes (whole pages). */
  mark(local: number, memory: number, page: number): void {
    this.#marked.set(local * MEMORIES + memory, page);
  }
}
