/**
 * Lists of frames: where the bytes of a large segment lie. An entry a frame: its number, 0 for a hole, and perhaps SHARED or LOADED.
 *
 * - A frame may be of several segments at once, at the same place in each: copies of one another. These form a ring, the
 *   family, in which one finds who has a frame. SHARED says that somebody else may have it; without it nobody has.
 * - A segment may have an extent, frames in a row which are kept for it: place n is for its frame n. What is shared may lie
 *   elsewhere. A place where nothing lies is zero. Who has a frame in its place keeps it there: when it is to be written,
 *   it is the others who get another one.
 * - LOADED says that a frame holds what can be read again from where the segment's bytes come from (kernel/segment/sources.ts). Such
 *   frames are of one segment alone, are in no checkpoint, and are made holes again when there is need or after a restart.
 *
 * So bytes in their places never move but when the extent does (`layOut`, `compact`).
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, SPACE_MAX_FRAMES } from '../base/limits.ts';
import { OWNER } from './frames.ts';
import { Kept } from './kept.ts';
import { defineRecord, num, u32, u64 } from './records.ts';
import type { Space } from './space.ts';

export const SegmentRecord = defineRecord('segment', {
  idHigh: u64('kernel', 'High half of the id: the first half of the id of the space it was made in.'),
  idLow: u64('kernel', 'Low half: counts up in that space.'),
  size: num('kernel', 'Bytes.'),
  content: num('kernel', 'Heap block: the bytes themselves, or a u32 a frame, see framelists.ts.'),
  entries: u32('kernel', 'Room in the list of frames; 0 for a small segment.'),
  row: u32('kernel', 'Its row in the table.'),
});
const R = SegmentRecord.fields;

/** What a frame is to be. */
export const HAVE = {
  /** No hole. */
  filled: 0,
  /** In its place, where it has one. */
  placed: 1,
  /** That, and nobody else's. */
  alone: 2,
} as const;
export type Have = (typeof HAVE)[keyof typeof HAVE];

const SHARED = 0x4000_0000;
export const LOADED = 0x8000_0000;
export const FRAME = 0x00ff_ffff;
assert(SPACE_MAX_FRAMES <= FRAME, 'a frame number leaves room for what is said of it');

export class FrameLists {
  readonly #space: Space;
  readonly #kept: Kept;

  constructor(space: Space) {
    this.#space = space;
    this.#kept = new Kept(space);
  }

  /** After loading: forget caches. */
  rebuild(): void {
    this.#kept.rebuild();
  }

  /** Number of its frame `i`, 0 for a hole. */
  frame(segment: number, i: number): number {
    return this.entry(segment, i) & FRAME;
  }

  /** The frame kept for its frame `i`, 0 for none. */
  place(segment: number, i: number): number {
    return this.#kept.place(segment, i);
  }

  /** Whether its frames [first, end) lie in their places, and with `alone` nobody else can have them: what `own` does nothing for. */
  inPlace(segment: number, first: number, end: number, alone: boolean): boolean {
    const space = this.#space;
    const extent = this.#kept.place(segment, 0);
    if (extent === 0 || this.#kept.place(segment, end - 1) === 0) return false;
    const list = R.content.get(space, segment) / 4;
    const mask = alone ? -1 : FRAME;
    for (let i = first; i < end; i++)
      if (((space.u32[list + i] as number) & mask) !== extent + i) return false;
    return true;
  }

  /** Where the frames end that lie in a row from frame `i` on: at most `end`. `i` itself is no hole. */
  rowEnd(segment: number, i: number, end: number): number {
    const { u32 } = this.#space;
    const list = R.content.get(this.#space, segment) / 4;
    const last = Math.min(end, R.entries.get(this.#space, segment));
    let at = i + 1;
    for (let next = ((u32[list + i] as number) & FRAME) + 1; at < last; at++, next++)
      if (((u32[list + at] as number) & FRAME) !== next) break;
    return at;
  }

  /**
   * Where the frames end from frame `i` on that may be written as they are: at most `end`, `i` where that one is SHARED or
   * LOADED. `loads`: whether it has any of these.
   */
  aloneEnd(segment: number, i: number, end: number, loads: boolean): number {
    const { u32 } = this.#space;
    if (!loads && this.#kept.next(segment) === 0) return end;
    const list = R.content.get(this.#space, segment) / 4;
    let at = i;
    while (at < end && ((u32[list + at] as number) & (SHARED | LOADED)) === 0) at++;
    return at;
  }

  /** Whether another segment may have frames of this one. */
  hasFamily(segment: number): boolean {
    return this.#kept.next(segment) !== 0;
  }
  isFamily(segment: number, other: number): boolean {
    if (segment === other) return true;
    for (let each = this.#kept.next(segment); each !== 0 && each !== segment; ) {
      if (each === other) return true;
      each = this.#kept.next(each);
    }
    return false;
  }

  /**
   * Makes a list with room for so many frames out of what there is of one.
   * @throws SpaceFullError with nothing changed
   */
  reserve(segment: number, frames: number): void {
    const space = this.#space;
    const entries = R.entries.get(space, segment);
    if (frames <= entries) return;
    const content = R.content.get(space, segment);
    const list =
      entries === 0
        ? space.heap.alloc(4 * frames)
        : space.heap.resize(content, 4 * Math.max(frames, entries + (entries >> 1)));
    R.content.set(space, segment, list);
    R.entries.set(space, segment, Math.floor(space.heap.blockBytes(list) / 4));
  }

  /** Frame `i`, a hole, is this one from now on. */
  put(segment: number, i: number, frame: number): void {
    this.#space.setU32(R.content.get(this.#space, segment) + 4 * i, frame);
  }

  /**
   * Sees to it that the frames [first, end) are what HAVE says. Whether bytes have moved that somebody may know the address
   * of, of this segment or another.
   * @throws SpaceFullError with nothing changed
   */
  own(segment: number, first: number, end: number, have: Have): boolean {
    const fresh: number[] = [];
    for (let i = first; i < end; i++) if (this.#needsFrame(segment, i, have)) fresh.push(0);
    this.#alloc(fresh);
    let moved = false;
    for (let i = first; i < end; i++) {
      moved = this.#ownOne(segment, i, have, fresh) || moved;
      if (have === HAVE.alone) this.#keepChanges(segment, i);
    }
    assert(fresh.length === 0, 'no more is taken than is needed');
    return moved;
  }

  /** What is written to frame `i` from now on is kept; so is all of it. */
  #keepChanges(segment: number, i: number): void {
    const word = this.entry(segment, i);
    if ((word & LOADED) === 0) return;
    this.put(segment, i, word & FRAME);
    this.#space.mark((word & FRAME) * FRAME_BYTES, FRAME_BYTES);
  }

  /**
   * Gives `to`, which has an empty list long enough, the frames of `from` that are not LOADED; both have them now.
   * @throws SpaceFullError with nothing changed
   */
  share(to: number, from: number): void {
    const space = this.#space;
    this.#kept.join(to, from);
    const [source, list] = [R.content.get(space, from), R.content.get(space, to)];
    const frames = Math.min(R.entries.get(space, from), R.entries.get(space, to));
    const { u32 } = space;
    for (let i = 0; i < frames; i++) {
      const word = u32[source / 4 + i] as number;
      const frame = word & FRAME;
      if (frame === 0 || (word & LOADED) !== 0) continue;
      u32[source / 4 + i] = frame | SHARED;
      u32[list / 4 + i] = frame | SHARED;
    }
    space.mark(source, 4 * frames);
    space.mark(list, 4 * frames);
  }

  /** Makes frame `i` a hole. What nobody else has is freed. */
  drop(segment: number, i: number): void {
    const word = this.entry(segment, i);
    const frame = word & FRAME;
    if (frame === 0) return;
    assert(frame !== this.place(segment, i), 'what has an extent is not cut');
    if (!this.#isShared(segment, i, word)) this.#space.frames.free(frame * FRAME_BYTES, 1);
    this.put(segment, i, 0);
  }

  /** Makes holes of all its frames. What nobody else has is freed. */
  dropAll(segment: number): void {
    const space = this.#space;
    const [list, entries] = [R.content.get(space, segment), R.entries.get(space, segment)];
    this.dissolve(segment);
    for (let i = 0, run = 1; i < entries; i += run) {
      run = 1;
      const frame = this.#aloneAt(segment, list, i);
      if (frame === 0) continue;
      while (i + run < entries && this.#aloneAt(segment, list, i + run) === frame + run) run++;
      space.frames.free(frame * FRAME_BYTES, run);
    }
    space.zero(list, 4 * entries);
  }
  /** The frame `i` of a list, 0 where it is a hole or somebody else has that frame. */
  #aloneAt(segment: number, list: number, i: number): number {
    const word = this.#space.u32[list / 4 + i] as number;
    return this.#isShared(segment, i, word) ? 0 : word & FRAME;
  }

  /** It goes from its family, of which it has nothing any more. */
  leave(segment: number): void {
    this.#kept.leave(segment);
  }

  /** Frames that it has, and those that are kept for it: what it would free, if others had none of it. */
  count(segment: number): number {
    const entries = R.entries.get(this.#space, segment);
    let count = this.#kept.extent(segment)[1];
    for (let i = 0; i < entries; i++) {
      const frame = this.frame(segment, i);
      if (frame !== 0 && frame !== this.place(segment, i)) count++;
    }
    return count;
  }

  /**
   * Gives it an extent of `frames`, and brings into its places what nobody else has. Where holes are is zero, so they are
   * none any more, unless `loads`: then they are what was not read yet. Whether bytes have moved.
   * @throws SpaceFullError with nothing changed
   */
  layOut(segment: number, frames: number, loads: boolean): boolean {
    const space = this.#space;
    this.reserve(segment, frames);
    const [first, have] = this.#kept.extent(segment);
    if (have >= frames) return false;
    let moved = false;
    if (have > 0 && space.frames.growInPlace(first * FRAME_BYTES, have, frames)) {
      this.#kept.setExtent(segment, first, frames);
    } else {
      const to = space.frames.alloc(frames, OWNER.segment);
      try {
        this.#kept.reserve(segment);
      } catch (error) {
        space.frames.free(to, frames);
        throw error;
      }
      this.dissolve(segment);
      this.#kept.setExtent(segment, to / FRAME_BYTES, frames);
      moved = have > 0;
    }
    for (let i = 0; i < frames; i++) {
      const [word, place] = [this.entry(segment, i), this.place(segment, i)];
      if (word === 0) {
        if (!loads) this.put(segment, i, place);
      } else if ((word & FRAME) !== place && !this.#isShared(segment, i, word)) {
        this.#bring(segment, i);
        moved = true;
      }
    }
    return moved;
  }

  /** It has no extent any more: what lies there is as any other frame. */
  dissolve(segment: number): void {
    const space = this.#space;
    const [first, count] = this.#kept.extent(segment);
    if (count === 0) return;
    this.#kept.setExtent(segment, 0, 0);
    for (let i = 0, run = 1; i < count; i += run) {
      run = 1;
      if (this.frame(segment, i) === first + i) continue;
      while (i + run < count && this.frame(segment, i + run) !== first + i + run) run++;
      space.frames.free((first + i) * FRAME_BYTES, run);
    }
  }

  /** Moves frames to lower places where there are any, each row of them as one piece, an extent whole. How many moved. */
  compact(segment: number): number {
    const space = this.#space;
    const entries = R.entries.get(space, segment);
    const [extent, places] = this.#kept.extent(segment);
    let moved = this.#move(segment, extent, 0, places);
    if (moved > 0) this.#kept.setExtent(segment, this.#movedTo, places);
    for (let i = 0, run = 1; i < entries; i += run) {
      run = 1;
      const first = this.frame(segment, i);
      // What lies in the extent of another moves with that.
      if (first === 0 || this.#isPlaced(segment, i, first)) continue;
      while (i + run < entries && this.frame(segment, i + run) === first + run) {
        if (this.#isPlaced(segment, i + run, first + run)) break;
        run++;
      }
      moved += this.#move(segment, first, i, run);
    }
    return moved;
  }

  #movedTo = 0;
  /** Moves frames in a row that are kept for frames `i` and on of a segment, for all who have them. How many moved. */
  #move(segment: number, first: number, i: number, count: number): number {
    const { frames } = this.#space;
    if (count === 0 || !frames.hasRoomBelow(first * FRAME_BYTES, count)) return 0;
    const to = frames.alloc(count, OWNER.segment) / FRAME_BYTES;
    frames.copyInto(to * FRAME_BYTES, first * FRAME_BYTES, count);
    let each = segment;
    do {
      for (let k = 0; k < count; k++) {
        const word = this.entry(each, i + k);
        if ((word & FRAME) === first + k) this.put(each, i + k, (word & ~FRAME) | (to + k));
      }
      each = this.#kept.next(each);
    } while (each !== 0 && each !== segment);
    frames.free(first * FRAME_BYTES, count);
    this.#movedTo = to;
    return count;
  }
  #isPlaced(segment: number, i: number, frame: number): boolean {
    let each = segment;
    do {
      if (this.place(each, i) === frame) return true;
      each = this.#kept.next(each);
    } while (each !== 0 && each !== segment);
    return false;
  }

  /** Entry `i` as it is: FRAME, SHARED, LOADED. */
  entry(segment: number, i: number): number {
    const space = this.#space;
    if (i >= R.entries.get(space, segment)) return 0;
    return space.u32[R.content.get(space, segment) / 4 + i] as number;
  }

  /** Whether anybody else has the frame `i` of a segment, of which this is the entry. */
  #isShared(segment: number, i: number, word: number): boolean {
    if ((word & SHARED) === 0) return false;
    for (let each = this.#kept.next(segment); each !== 0 && each !== segment; ) {
      if (this.frame(each, i) === (word & FRAME)) return true;
      each = this.#kept.next(each);
    }
    return false;
  }

  #needsFrame(segment: number, i: number, have: Have): boolean {
    const word = this.entry(segment, i);
    const [frame, place] = [word & FRAME, this.place(segment, i)];
    if (frame === 0) return place === 0;
    if (have !== HAVE.alone || !this.#isShared(segment, i, word)) return false;
    return place === 0 || frame === place;
  }

  #alloc(frames: number[]): void {
    const space = this.#space;
    for (let n = 0; n < frames.length; n++) {
      try {
        frames[n] = space.frames.alloc(1, OWNER.segment);
      } catch (error) {
        for (const frame of frames.slice(0, n)) space.frames.free(frame, 1);
        throw error;
      }
    }
    frames.reverse();
  }

  /** What `own` says, for one frame. */
  #ownOne(segment: number, i: number, have: Have, fresh: number[]): boolean {
    const { frames } = this.#space;
    const word = this.entry(segment, i);
    const [frame, place] = [word & FRAME, this.place(segment, i)];
    const take = (): number => (fresh.pop() as number) / FRAME_BYTES;
    if (frame === 0) {
      this.put(segment, i, place || take());
      return false;
    }
    if (have === HAVE.filled) return false;
    const shared = this.#isShared(segment, i, word);
    if (!shared && (word & SHARED) !== 0) this.put(segment, i, word & ~SHARED);
    if (place !== 0 && frame !== place) {
      this.#bring(segment, i);
      return true;
    }
    if (!shared || have !== HAVE.alone) return false;
    const other = take();
    frames.copyInto(other * FRAME_BYTES, frame * FRAME_BYTES, 1);
    if (place === 0) {
      this.put(segment, i, other);
    } else {
      this.#giveOthers(segment, i, frame, other);
      this.put(segment, i, frame);
    }
    return true;
  }

  /** Frame `i` comes to its place. Whoever else has what it was has that on. */
  #bring(segment: number, i: number): void {
    const { frames } = this.#space;
    const word = this.entry(segment, i);
    const place = this.place(segment, i);
    const from = (word & FRAME) * FRAME_BYTES;
    frames.copyInto(place * FRAME_BYTES, from, 1);
    if (!this.#isShared(segment, i, word)) frames.free(from, 1);
    this.put(segment, i, place | (word & LOADED));
  }

  #giveOthers(segment: number, i: number, frame: number, other: number): void {
    for (let each = this.#kept.next(segment); each !== segment; ) {
      if (this.frame(each, i) === frame) this.put(each, i, other | SHARED);
      each = this.#kept.next(each);
    }
  }
}
