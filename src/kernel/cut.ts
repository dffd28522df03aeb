/**
 * Cuts: one consistent state of the space as its changed pages, for a store to make durable. Taken between slices, when
 * every domain's state is in the space.
 */
import { CUT_BUFFER_BYTES, CUT_BUFFER_KEEP_BYTES, PAGE_BYTES } from '../base/limits.ts';
import { SUPERBLOCK_ADDRESS, Superblock } from '../space/index.ts';
import type { Core } from './core.ts';

const S = Superblock.fields;

/** Of marked pages, those that really changed; as the store's table of hashes finds them. */
export interface TakenPages {
  /** Changed pages that are not zero. */
  readonly pages: Uint32Array;
  /** Two words each, for the store. */
  readonly hashes: Uint32Array;
  /** Changed pages that are all zero now. */
  readonly zeroed: Uint32Array;
}

export interface CutOptions {
  /** Leaves out what did not change. Without it every marked page is in the cut. */
  take?: (marked: Uint32Array) => TakenPages;
  /** Called with the pages an earlier checkpoint may hold and that are free now, before `take`. */
  forget?: (freed: Uint32Array) => void;
}

export interface Cut {
  /** Counts up by one from cut to cut of a space. */
  seq: number;
  /** Page numbers, ascending. */
  pages: Uint32Array;
  /** PAGE_BYTES for each page. Good until `Kernel.durable` was called for this cut. */
  data: Uint8Array<SharedArrayBuffer>;
  /** From `take`; empty without it. */
  hashes: Uint32Array;
  /** Pages that are zero now: drop them. */
  zeroed: Uint32Array;
  /** Pages that are nobody's now (and zero): drop them. */
  freed: Uint32Array;
}

/** Buffers for cuts: those of cuts that became durable serve again. */
export class CutBuffers {
  #free: SharedArrayBuffer[] = [];
  readonly #used = new Map<number, SharedArrayBuffer>();

  /** Room for this many bytes, for the cut with this number. */
  take(seq: number, bytes: number): SharedArrayBuffer {
    const i = this.#free.findIndex((buffer) => buffer.byteLength >= bytes);
    const [found] = i < 0 ? [] : this.#free.splice(i, 1);
    // A quarter more than asked for, so that the next cut, a little larger, finds room too.
    const buffer = found ?? new SharedArrayBuffer(Math.max(bytes + (bytes >> 2), CUT_BUFFER_BYTES));
    this.#used.set(seq, buffer);
    return buffer;
  }

  /** Cuts up to this number are durable. */
  release(seq: number): void {
    for (const [each, buffer] of this.#used) {
      if (each > seq) continue;
      this.#used.delete(each);
      this.#free.push(buffer);
    }
    // One large and one more are enough for a cut at a time; a cut of half the space is rare and not kept for.
    this.#free.sort((a, b) => b.byteLength - a.byteLength);
    this.#free = this.#free.filter(({ byteLength }) => byteLength <= CUT_BUFFER_KEEP_BYTES).slice(0, 2);
  }
}

/** Collects the pages; null when nothing changed since the last cut. The caller has saved all instances. */
export function takeCut(core: Core, buffers: CutBuffers, options: CutOptions): Cut | null {
  const { space } = core;
  if (!space.dirty.any()) return null;
  const seq = S.sequence.get(space, SUPERBLOCK_ADDRESS) + 1;
  S.sequence.set(space, SUPERBLOCK_ADDRESS, seq);
  S.clock.set(space, SUPERBLOCK_ADDRESS, core.now());
  const { pages: marked, freed } = space.dirty.collect();
  options.forget?.(freed);
  const none = new Uint32Array(0);
  const taken = options.take?.(marked) ?? { pages: marked, hashes: none, zeroed: none };
  return {
    seq,
    pages: Uint32Array.from(taken.pages),
    data: space.dirty.copyPages(taken.pages, buffers.take(seq, taken.pages.length * PAGE_BYTES)),
    hashes: Uint32Array.from(taken.hashes),
    zeroed: Uint32Array.from(taken.zeroed),
    freed,
  };
}
