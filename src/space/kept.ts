/**
 * What is kept of segments that have an extent (frames in a row, a place for each frame of the segment) or a family (those that
 * may have frames of it, in a ring). Few have: the rest has no record here. See framelists.ts.
 */
import { defineRecord, num, u32 } from './records.ts';
import type { Space } from './space.ts';
import { ROOT } from './superblock.ts';
import { RecordTable } from './table.ts';

const KeptRecord = defineRecord('segment kept', {
  segment: num('kernel', 'Of which one this is.'),
  family: num('kernel', 'The next of the family, 0 for none.'),
  extent: u32('kernel', 'First frame of its extent, 0 for none.'),
  places: u32('kernel', 'Frames of its extent.'),
  row: u32('kernel', 'Its row in the table.'),
});
const K = KeptRecord.fields;

export class Kept {
  readonly #space: Space;
  #table: RecordTable | null = null;
  /** Address of the record of a segment that has one: a cache. */
  readonly #known = new Map<number, number>();

  constructor(space: Space) {
    this.#space = space;
  }

  /** After loading: forget caches. */
  rebuild(): void {
    this.#table = null;
    this.#known.clear();
    if (this.#space.root(ROOT.kept) === 0) return;
    for (const row of this.#rows().rows()) {
      const at = this.#rows().address(row);
      this.#known.set(K.segment.get(this.#space, at), at);
    }
  }

  /** The place for frame `i`, 0 for none. */
  place(segment: number, i: number): number {
    const at = this.#known.get(segment);
    if (at === undefined || i >= K.places.get(this.#space, at)) return 0;
    return K.extent.get(this.#space, at) + i;
  }
  /** First frame and frames of the extent. */
  extent(segment: number): [first: number, count: number] {
    const at = this.#known.get(segment);
    return at === undefined ? [0, 0] : [K.extent.get(this.#space, at), K.places.get(this.#space, at)];
  }
  /** Sees to it that setting the extent cannot fail. @throws SpaceFullError */
  reserve(segment: number): void {
    this.#at(segment);
  }
  setExtent(segment: number, first: number, count: number): void {
    const at = this.#at(segment);
    K.extent.set(this.#space, at, first);
    K.places.set(this.#space, at, count);
    if (count === 0) this.#forgetUnused(segment);
  }

  /** The next of the family, 0 where there is none. */
  next(segment: number): number {
    const at = this.#known.get(segment);
    return at === undefined ? 0 : K.family.get(this.#space, at);
  }
  /** `segment`, which has no family, is of that of `other` now. @throws SpaceFullError with nothing changed */
  join(segment: number, other: number): void {
    const there = this.#at(other);
    let at: number;
    try {
      at = this.#at(segment);
    } catch (error) {
      this.#forgetUnused(other);
      throw error;
    }
    K.family.set(this.#space, at, K.family.get(this.#space, there) || other);
    K.family.set(this.#space, there, segment);
  }
  leave(segment: number): void {
    const next = this.next(segment);
    if (next === 0) return;
    let before = next;
    while (this.next(before) !== segment) before = this.next(before);
    K.family.set(this.#space, this.#at(before), before === next ? 0 : next);
    K.family.set(this.#space, this.#at(segment), 0);
    this.#forgetUnused(before);
    this.#forgetUnused(segment);
  }

  /** The record, a new one where there is none. @throws SpaceFullError */
  #at(segment: number): number {
    const known = this.#known.get(segment);
    if (known !== undefined) return known;
    const row = this.#rows().insert();
    const at = this.#rows().address(row);
    K.segment.set(this.#space, at, segment);
    K.row.set(this.#space, at, row);
    this.#known.set(segment, at);
    return at;
  }
  #forgetUnused(segment: number): void {
    const [space, at] = [this.#space, this.#known.get(segment)];
    if (at === undefined || K.family.get(space, at) !== 0 || K.places.get(space, at) !== 0) return;
    this.#rows().remove(K.row.get(space, at));
    this.#known.delete(segment);
  }
  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.kept, KeptRecord.bytes);
    return this.#table;
  }
}
