/**
 * Which pages a checkpoint must hold: those marked since the last cut (and, for marks made by rewritten programs, their
 * neighbours), less those of free frames and of volatile owners; and which pages earlier checkpoints hold that are now
 * nobody's.
 *
 * Marks are the page map of the space at MARKS_ADDRESS. They are for durability, never for safety: a program that
 * leaves one out harms only its own checkpoint.
 *
 * Why: RATIONALE.md#changed-pages-are-marked-by-the-program
 */
import { FIRST_FREE_ADDRESS, FRAME_TABLE_ADDRESS, MARKS_ADDRESS } from '../abi/layout.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../base/limits.ts';
import { OWNER_VOLATILE } from './frames.ts';
import { MARK_SLOP, type Space } from './space.ts';

const PAGES_A_FRAME = FRAME_BYTES / PAGE_BYTES;
const FIRST_FREE_PAGE = FIRST_FREE_ADDRESS / PAGE_BYTES;

export interface DirtyPages {
  /** Page numbers, ascending. */
  pages: Uint32Array;
  /** Pages that an earlier checkpoint may hold and that are free (zero) now; disjoint from `pages`. */
  freed: Uint32Array;
}

export class Dirty {
  readonly #space: Space;
  /** One byte a page: some checkpoint may hold it. A cache: rebuilt from what was loaded. */
  #stored = new Uint8Array(0);
  #freed: number[] = [];

  constructor(space: Space) {
    this.#space = space;
  }

  /** A page came from a checkpoint, or goes to one. */
  loaded(page: number): void {
    if (page >= this.#stored.length) {
      const more = new Uint8Array(Math.max(this.#space.byteLength / PAGE_BYTES, page + 1));
      more.set(this.#stored);
      this.#stored = more;
    }
    this.#stored[page] = 1;
  }

  /** The frames [first, first + count) became free: forget their marks, remember what the store should drop. */
  frameFreed(first: number, count: number): void {
    const [from, to] = [first * PAGES_A_FRAME, (first + count) * PAGES_A_FRAME];
    this.#space.u8.fill(0, MARKS_ADDRESS + from, MARKS_ADDRESS + to);
    for (let page = from; page < Math.min(to, this.#stored.length); page++) {
      if (this.#stored[page] === 0) continue;
      this.#stored[page] = 0;
      this.#freed.push(page);
    }
  }

  /** True when a cut would hold something. */
  any(): boolean {
    if (this.#freed.length > 0) return true;
    const from = MARKS_ADDRESS >> 2;
    const marks = this.#space.i32.subarray(from, from + this.#space.byteLength / PAGE_BYTES / 4);
    return marks.some((four) => four !== 0);
  }

  /** The pages for this cut; clears the marks. Call only when no program runs. */
  collect(): DirtyPages {
    const space = this.#space;
    const pages: number[] = [];
    let last = -1;
    const limit = space.byteLength / PAGE_BYTES;
    this.#eachMarked((page, value) => {
      const slop = value === MARK_SLOP ? 1 : 0;
      const to = Math.min(page + slop, limit - 1);
      for (let p = Math.max(page - slop, last + 1); p <= to; p++) {
        last = p;
        if (this.#persistent(p)) pages.push(p);
      }
    });
    space.u8.fill(0, MARKS_ADDRESS, MARKS_ADDRESS + limit);
    for (const page of pages) this.loaded(page);
    const freed = this.#freed.filter((page) => this.#stored[page] === 0);
    this.#freed = [];
    return { pages: Uint32Array.from(pages), freed: Uint32Array.from(freed) };
  }

  /**
   * Copies of these pages, one after the other, in shared memory that another thread can read. `reuse` is taken for it
   * where it is large enough: memory that was never touched costs far more than the copying.
   */
  copyPages(pages: Uint32Array, reuse: SharedArrayBuffer | null = null): Uint8Array<SharedArrayBuffer> {
    const bytes = pages.length * PAGE_BYTES;
    const buffer = reuse !== null && reuse.byteLength >= bytes ? reuse : new SharedArrayBuffer(bytes);
    const data = new Uint8Array(buffer, 0, bytes);
    const u8 = this.#space.u8;
    for (let i = 0; i < pages.length; ) {
      const first = pages[i] as number;
      let run = 1;
      while (i + run < pages.length && pages[i + run] === first + run) run++;
      data.set(u8.subarray(first * PAGE_BYTES, (first + run) * PAGE_BYTES), i * PAGE_BYTES);
      i += run;
    }
    return data;
  }

  #persistent(page: number): boolean {
    if (page < FIRST_FREE_PAGE) {
      return page * PAGE_BYTES < MARKS_ADDRESS || page * PAGE_BYTES >= FRAME_TABLE_ADDRESS;
    }
    const owner = this.#space.u32[(FRAME_TABLE_ADDRESS >> 2) + Math.floor(page / PAGES_A_FRAME)] as number;
    return owner !== 0 && (owner & OWNER_VOLATILE) === 0;
  }

  #eachMarked(visit: (page: number, value: number) => void): void {
    const { i32, u8, byteLength } = this.#space;
    const base = MARKS_ADDRESS >> 2;
    const words = byteLength / PAGE_BYTES / 4;
    for (let word = 0; word < words; word++) {
      if (i32[base + word] === 0) continue;
      for (let page = word * 4; page < word * 4 + 4; page++) {
        const value = u8[MARKS_ADDRESS + page] as number;
        if (value !== 0) visit(page, value);
      }
    }
  }
}
