/**
 * The hints for the loops of the code being written (abi/hints.ts): which locals each of them sets, and how it counts its
 * rounds. Every set of a local is told, in the order of the code.
 */
import type { LoopHint, PointerHint } from '../abi/hints.ts';
import { larger } from '../base/arrays.ts';

const NO_POINTERS: readonly PointerHint[] = [];

/** A loop that is open. */
interface OpenLoop {
  readonly label: number;
  /** Its number among the function's loops. */
  readonly loop: number;
  /** Where its locals begin in the list. */
  readonly from: number;
  fuel: number;
  pointers: readonly PointerHint[];
}

export class Varying {
  /** Whether there are to be hints at all. */
  hinted = true;
  readonly #open: OpenLoop[] = [];
  #count = 0;
  #hints: LoopHint[] = [];
  /** The locals set in the loops that are open: the first `#listed` count. */
  #list: Int32Array = new Int32Array(256);
  #listed = 0;
  /** By local: the stamp it was last listed with. Each open loop has one, and gets another when a loop in it ends. */
  #stamps: Int32Array = new Int32Array(256);
  #lastStamp = 0;
  /** The innermost open loop's, 0 outside of all. */
  #stamp = 0;

  /** A function begins. */
  reset(): void {
    this.#open.length = 0;
    this.#count = 0;
    this.#hints = [];
    this.#listed = 0;
    this.#stamp = 0;
    if (this.#lastStamp > 2 ** 30) {
      this.#lastStamp = 0;
      this.#stamps.fill(0);
    }
  }

  /** The function's hints, by loop. */
  hints(): LoopHint[] {
    return this.#hints.sort((a, b) => a.loop - b.loop);
  }

  /** The code just written sets a local. */
  sets(local: number): void {
    if (this.#stamp !== 0) this.#note(local);
  }

  #note(local: number): void {
    if (local >= this.#stamps.length) this.#stamps = larger(this.#stamps, new Int32Array(local * 2));
    if (this.#stamps[local] === this.#stamp) return;
    this.#stamps[local] = this.#stamp;
    if (this.#listed === this.#list.length) this.#list = larger(this.#list, new Int32Array(this.#listed * 2));
    this.#list[this.#listed++] = local;
  }

  /** A loop opens with this label. */
  open(label: number): void {
    if (this.hinted) this.#stamp = ++this.#lastStamp;
    this.#open.push({ label, loop: this.#count++, from: this.#listed, fuel: -1, pointers: NO_POINTERS });
  }

  /** The loop just opened counts its rounds down in `fuel`, and these locals are its pointers. */
  fuelled(fuel: number, pointers: readonly PointerHint[]): void {
    const loop = this.#open.at(-1)!;
    loop.fuel = fuel;
    loop.pointers = pointers;
    this.sets(fuel);
    for (const { local } of pointers) this.sets(local);
  }

  /** The innermost open label ends. */
  close(label: number): void {
    const last = this.#open.length - 1;
    if (last < 0 || this.#open[last]!.label !== label) return;
    const { loop, from, fuel, pointers } = this.#open.pop()!;
    if (!this.hinted) return;
    const varying = this.#ascending(from);
    this.#stamp = last === 0 ? 0 : ++this.#lastStamp;
    if (last === 0) this.#listed = 0;
    this.#hints.push({ loop, varying, fuel, pointers });
  }

  /** The locals listed from there on, which the list has once each and ascending afterwards. */
  #ascending(from: number): number[] {
    const list = this.#list;
    const stamp = ++this.#lastStamp;
    let end = from;
    for (let at = from; at < this.#listed; at++) {
      const local = list[at]!;
      if (this.#stamps[local] === stamp) continue;
      this.#stamps[local] = stamp;
      list[end++] = local;
    }
    this.#listed = end;
    if (end - from > SHORT) list.subarray(from, end).sort();
    else insertionSort(list, from, end);
    const varying: number[] = [];
    for (let at = from; at < end; at++) varying.push(list[at]!);
    return varying;
  }
}

/** Up to so many are sorted by hand: the engine's way is dear to call. */
const SHORT = 24;

function insertionSort(list: Int32Array, from: number, end: number): void {
  for (let at = from + 1; at < end; at++) {
    const local = list[at]!;
    let to = at;
    for (; to > from && list[to - 1]! > local; to--) list[to] = list[to - 1]!;
    list[to] = local;
  }
}
