/**
 * Windows of the domain that the court runs: segments that are mapped at random places with random rights, others after each
 * call that the domain's code makes. Their table is filled as it is asked for.
 */
import { CONTROL, EPOCH_ADDRESS, MARKS_ADDRESS, WINDOW } from '../../src/abi/layout.ts';
import { FRAME_BYTES, PAGE_BYTES, WINDOW_BASE } from '../../src/base/limits.ts';
import type { Prng } from '../../src/base/prng.ts';
import { MARK, OWN, PRELUDE, READ } from './watch.ts';

/** Frames that it needs: for the table, and for segments. */
export const SEGMENT_FRAMES = 10;
/** Entries of the table. */
const COUNT = 8;

/** Bytes of a segment that are mapped. */
interface Window {
  readonly near: number;
  readonly bytes: number;
  readonly writable: boolean;
  readonly at: number;
}

export class Mapped {
  readonly #view: DataView;
  readonly #table: number;
  #windows: Window[] = [];

  /** @param frame the first of its frames */
  constructor(view: DataView, frame: number) {
    this.#view = view;
    this.#table = frame * FRAME_BYTES;
  }

  /** Other windows than before. */
  remap(prng: Prng): void {
    const windows: Window[] = [];
    let slot = prng.below(3);
    for (let place = prng.below(2); place < 4 && slot < COUNT; place++) {
      const bytes = prng.pick([8, 4096, 5001, FRAME_BYTES, FRAME_BYTES + 700]);
      const at = this.#table + (1 + 2 * place) * FRAME_BYTES + prng.pick([0, 0, 16, 4096, 8184]);
      windows.push({ near: WINDOW_BASE + slot * FRAME_BYTES, bytes, writable: prng.chance(0.6), at });
      slot += 2 + prng.below(3);
    }
    this.#windows = windows;
    this.#view.setBigUint64(EPOCH_ADDRESS, this.#epoch + 1n, true);
  }

  get #epoch(): bigint {
    return this.#view.getBigUint64(EPOCH_ADDRESS, true);
  }

  /** Tells a domain where its table is. */
  tell(region: number): void {
    this.#view.setBigUint64(region + CONTROL.windows, BigInt(this.#table), true);
    this.#view.setBigUint64(region + CONTROL.windowCount, BigInt(COUNT), true);
  }

  /** What may be touched because of windows: for `Watch`. */
  places(region: number): [start: number, end: number, kind: number][] {
    const list: [number, number, number][] = [
      [EPOCH_ADDRESS, EPOCH_ADDRESS + 8, PRELUDE],
      [region + CONTROL.windows, region + CONTROL.windowCount + 8, PRELUDE],
      [this.#table, this.#table + COUNT * WINDOW.bytes, PRELUDE],
    ];
    for (const { at, bytes, writable } of this.#windows) {
      list.push([at, at + bytes, writable ? OWN : READ]);
      const [first, last] = [Math.floor(at / PAGE_BYTES), Math.floor((at + bytes - 1) / PAGE_BYTES)];
      if (writable) list.push([MARKS_ADDRESS + first, MARKS_ADDRESS + last + 1, MARK]);
    }
    return list;
  }

  /** The kernel's `window`. */
  find(near: bigint, bytes: bigint, write: number): bigint {
    const [from, size] = [BigInt.asUintN(64, near), BigInt.asUintN(64, bytes)];
    for (const w of this.#windows) {
      const end = BigInt(w.near + w.bytes);
      if (from < BigInt(w.near) || from + size > end || (write !== 0 && !w.writable)) continue;
      const entry = this.#table + WINDOW.bytes * Number((from - BigInt(WINDOW_BASE)) >> 16n);
      const delta = BigInt(w.at - w.near);
      const set = (offset: number, value: bigint): void =>
        this.#view.setBigInt64(entry + offset, value, true);
      set(WINDOW.delta, delta);
      set(WINDOW.readEnd, end);
      set(WINDOW.writeEnd, w.writable ? end : 0n);
      set(WINDOW.epoch, this.#epoch);
      return from + delta;
    }
    throw new WebAssembly.RuntimeError('memory access out of bounds');
  }

  /** Often, a near address just inside a window, at its beginning or end, or just not; else null. `words`: of the code. */
  hurting(prng: Prng, words: readonly number[]): bigint | null {
    if (this.#windows.length === 0 || prng.chance(0.4)) return null;
    const { near, bytes } = prng.pick(this.#windows);
    const end = near + bytes - (words.length > 0 && prng.chance(0.8) ? prng.pick(words) : prng.below(65));
    return BigInt((prng.chance(0.4) ? near : end) + (prng.chance(0.5) ? 0 : prng.below(5) - 2));
  }
}
