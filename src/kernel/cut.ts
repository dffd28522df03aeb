/**
 * Cuts: one consistent state of the space as its changed pages, for a store to make durable. Taken between slices, when
 * every domain's state is in the space.
 */
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
  /** PAGE_BYTES for each page. */
  data: Uint8Array<SharedArrayBuffer>;
  /** From `take`; empty without it. */
  hashes: Uint32Array;
  /** Pages that are zero now: drop them. */
  zeroed: Uint32Array;
  /** Pages that are nobody's now (and zero): drop them. */
  freed: Uint32Array;
}

/** Collects the pages; null when nothing changed since the last cut. The caller has saved all instances. */
export function takeCut(core: Core, options: CutOptions): Cut | null {
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
    data: space.dirty.copyPages(taken.pages),
    hashes: Uint32Array.from(taken.hashes),
    zeroed: Uint32Array.from(taken.zeroed),
    freed,
  };
}
