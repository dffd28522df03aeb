/**
 * Segments: stretches of bytes with a persistent 128-bit id; the contents of files, and later what is shared. A segment
 * is small (one heap block) or framed (a list of frames, holes allowed); it becomes framed by itself. What was never
 * written reads as zero.
 *
 * A segment is named by the address of its record ("handle"), valid until `destroy`. Ranges given here are the
 * caller's to check against what a guest may touch: addresses are global.
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, SEGMENT_SMALL_BYTES, SPACE_MAX_FRAMES } from '../base/limits.ts';
import { SpaceFullError } from './errors.ts';
import { OWNER } from './frames.ts';
import { defineRecord, num, u32, u64 } from './records.ts';
import type { Space } from './space.ts';
import { ROOT } from './superblock.ts';
import { RecordTable } from './table.ts';

const SegmentRecord = defineRecord('segment', {
  idHigh: u64('kernel', 'High half of the id: the first half of the id of the space it was made in.'),
  idLow: u64('kernel', 'Low half: counts up in that space.'),
  size: num('kernel', 'Bytes.'),
  content: num(
    'kernel',
    'Heap block: the bytes themselves, or one u32 a frame: its frame number, 0 for a hole.',
  ),
  entries: u32('kernel', 'Room in the list of frames; 0 for a small segment.'),
  row: u32('kernel', 'Its row in the table.'),
});
const R = SegmentRecord.fields;
export const SEGMENT_MAX_BYTES = SPACE_MAX_FRAMES * FRAME_BYTES;

export class Segments {
  readonly #space: Space;
  #table: RecordTable | null = null;

  constructor(space: Space) {
    this.#space = space;
  }

  /** After loading: forget caches. */
  rebuild(): void {
    this.#table = null;
  }

  get count(): number {
    return this.#rows().liveCount;
  }

  /** A new empty segment. Returns its handle. */
  create(): number {
    const space = this.#space;
    const table = this.#rows();
    const row = table.insert();
    const at = table.address(row);
    const { high, low } = space.nextId();
    R.idHigh.set(space, at, high);
    R.idLow.set(space, at, low);
    R.row.set(space, at, row);
    return at;
  }

  /** Frees the segment and its contents. */
  destroy(segment: number): void {
    this.truncate(segment, 0);
    this.#rows().remove(R.row.get(this.#space, segment));
  }

  /** All handles. */
  *all(): Generator<number> {
    for (const row of this.#rows().rows()) yield this.#rows().address(row);
  }

  /** The 128-bit id as 32 hexadecimal digits. */
  idText(segment: number): string {
    const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
    return hex(R.idHigh.get(this.#space, segment)) + hex(R.idLow.get(this.#space, segment));
  }

  size(segment: number): number {
    return R.size.get(this.#space, segment);
  }

  /** Bytes of the space its contents take. */
  allocatedBytes(segment: number): number {
    const space = this.#space;
    const content = R.content.get(space, segment);
    const entries = R.entries.get(space, segment);
    if (content === 0) return 0;
    if (entries === 0) return space.heap.blockBytes(content);
    let frames = 0;
    for (let i = 0; i < entries; i++) if (space.u32[content / 4 + i] !== 0) frames++;
    return frames * FRAME_BYTES;
  }

  /** Copies bytes from `offset` on to global address `to`. Returns how many there were: less than `length` at the end. */
  read(segment: number, offset: number, to: number, length: number): number {
    const n = this.#clip(segment, offset, length);
    const space = this.#space;
    this.#each(segment, offset, n, (from, count, done) => {
      if (from === 0) space.zero(to + done, count);
      else space.copy(to + done, from, count);
    });
    return n;
  }

  /** The same into a buffer of its own. */
  readBytes(segment: number, offset: number, length: number): Uint8Array<ArrayBuffer> {
    const n = this.#clip(segment, offset, length);
    const out = new Uint8Array(n);
    this.#each(segment, offset, n, (from, count, done) => {
      if (from !== 0) out.set(this.#space.u8.subarray(from, from + count), done);
    });
    return out;
  }

  /**
   * Writes `length` bytes from global address `from`; the segment grows where needed.
   * @throws SpaceFullError with nothing changed.
   */
  write(segment: number, offset: number, from: number, length: number): void {
    if (length === 0) return;
    this.#prepare(segment, offset, length);
    this.#each(segment, offset, length, (to, count, done) => {
      assert(to !== 0, 'no hole is left where bytes go');
      this.#space.copy(to, from + done, count);
    });
  }

  /** The same from JavaScript. */
  writeBytes(segment: number, offset: number, data: Uint8Array): void {
    if (data.length === 0) return;
    this.#prepare(segment, offset, data.length);
    this.#each(segment, offset, data.length, (to, count, done) => {
      assert(to !== 0, 'no hole is left where bytes go');
      this.#space.writeBytes(to, data.subarray(done, done + count));
    });
  }

  /**
   * Sets the size; what is cut off is freed, what is added is zero.
   * @throws SpaceFullError with nothing changed.
   */
  truncate(segment: number, size: number): void {
    const space = this.#space;
    const old = R.size.get(space, segment);
    if (size > old) {
      if (R.entries.get(space, segment) === 0 && size <= SEGMENT_SMALL_BYTES) this.#roomSmall(segment, size);
      else this.#roomFramed(segment, size);
    } else if (size < old) {
      this.#cut(segment, size, old);
    }
    R.size.set(space, segment, size);
  }

  /** Makes sure that writing [offset, offset + length) cannot run out of space (the size stays). */
  reserve(segment: number, offset: number, length: number): void {
    const size = this.size(segment);
    if (length > 0) this.#prepare(segment, offset, length);
    if (offset + length > size) R.size.set(this.#space, segment, size);
  }

  /**
   * Lays the contents in one extent without holes, where they stay until it grows or is cut. Gives its address.
   * @throws SpaceFullError with nothing changed
   */
  layOut(segment: number): number {
    const space = this.#space;
    const frames = Math.max(1, Math.ceil(this.size(segment) / FRAME_BYTES));
    this.#roomFramed(segment, frames * FRAME_BYTES);
    const list = R.content.get(space, segment);
    const frameAt = (i: number): number => space.u32[list / 4 + i] as number;
    const first = frameAt(0);
    let have = 0;
    while (first !== 0 && have < frames && frameAt(have) === first + have) have++;
    if (have === frames) return first * FRAME_BYTES;
    let rest = have;
    while (rest < frames && frameAt(rest) === 0) rest++;
    if (have > 0 && rest === frames && space.frames.growInPlace(first * FRAME_BYTES, have, frames)) {
      for (let i = have; i < frames; i++) space.setU32(list + 4 * i, first + i);
      return first * FRAME_BYTES;
    }
    const to = space.frames.alloc(frames, OWNER.segment | R.row.get(space, segment));
    for (let i = 0; i < frames; i++) {
      if (frameAt(i) !== 0) space.frames.copyInto(to + i * FRAME_BYTES, frameAt(i) * FRAME_BYTES, 1);
      this.#dropFrame(list, i);
      space.setU32(list + 4 * i, to / FRAME_BYTES + i);
    }
    return to;
  }

  /**
   * Moves its frames to lower places where there are any, each run of them as one piece. Returns the frames moved; who
   * keeps an address asks `layOut` again.
   */
  compact(segment: number): number {
    const space = this.#space;
    const [list, entries] = [R.content.get(space, segment), R.entries.get(space, segment)];
    const frameAt = (i: number): number => space.u32[list / 4 + i] as number;
    let moved = 0;
    for (let i = 0, run = 1; i < entries; i += run) {
      const first = frameAt(i);
      run = 1;
      if (first === 0) continue;
      while (i + run < entries && frameAt(i + run) === first + run) run++;
      const from = first * FRAME_BYTES;
      if (!space.frames.hasRoomBelow(from, run)) continue;
      const to = space.frames.alloc(run, space.frames.ownerAt(from));
      space.frames.copyInto(to, from, run);
      space.frames.free(from, run);
      for (let k = 0; k < run; k++) space.setU32(list + 4 * (i + k), to / FRAME_BYTES + k);
      moved += run;
    }
    return moved;
  }

  /**
   * Fills a new segment with the first bytes of another. Holes stay holes, and pages of zeros untouched.
   * @throws SpaceFullError; the caller destroys it
   */
  copyFrom(segment: number, from: number, bytes: number): void {
    this.truncate(segment, bytes);
    if (this.allocatedBytes(from) === 0) return;
    const space = this.#space;
    this.#each(from, 0, bytes, (address, count, done) => {
      if (address === 0) return;
      this.#prepare(segment, done, count);
      this.#each(segment, done, count, (to, part, before) => {
        if (part === FRAME_BYTES) space.frames.copyInto(to, address + before, 1);
        else space.copy(to, address + before, part);
      });
    });
  }

  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.segments, SegmentRecord.bytes);
    return this.#table;
  }

  #clip(segment: number, offset: number, length: number): number {
    assert(offset >= 0 && length >= 0, 'a range of a segment');
    return Math.max(0, Math.min(length, R.size.get(this.#space, segment) - offset));
  }

  /** Visits the pieces of [offset, offset + length): global address (0 for a hole), bytes, bytes done before. */
  #each(
    segment: number,
    offset: number,
    length: number,
    visit: (address: number, count: number, done: number) => void,
  ): void {
    const space = this.#space;
    const content = R.content.get(space, segment);
    if (length === 0) return;
    if (R.entries.get(space, segment) === 0) {
      visit(content === 0 ? 0 : content + offset, length, 0);
      return;
    }
    for (let done = 0; done < length; ) {
      const inside = (offset + done) % FRAME_BYTES;
      const count = Math.min(FRAME_BYTES - inside, length - done);
      const frame = space.u32[content / 4 + Math.floor((offset + done) / FRAME_BYTES)] as number;
      visit(frame === 0 ? 0 : frame * FRAME_BYTES + inside, count, done);
      done += count;
    }
  }

  /** Room and no holes for [offset, offset + length); raises the size to cover it. */
  #prepare(segment: number, offset: number, length: number): void {
    const space = this.#space;
    const end = offset + length;
    if (R.entries.get(space, segment) === 0 && end <= SEGMENT_SMALL_BYTES) {
      this.#roomSmall(segment, end);
    } else {
      this.#roomFramed(segment, end);
      this.#fillHoles(segment, Math.floor(offset / FRAME_BYTES), Math.floor((end - 1) / FRAME_BYTES));
    }
    if (end > R.size.get(space, segment)) R.size.set(space, segment, end);
  }

  #roomSmall(segment: number, size: number): void {
    const { heap } = this.#space;
    const content = R.content.get(this.#space, segment);
    // Half more than needed, so that a file written a line at a time is not copied for each line.
    const roomy = Math.min(size + (size >> 1), SEGMENT_SMALL_BYTES);
    if (content === 0) R.content.set(this.#space, segment, heap.alloc(Math.max(size, 48)));
    else if (heap.blockBytes(content) < size)
      R.content.set(this.#space, segment, heap.resize(content, roomy));
  }

  /** Makes it framed, with a list long enough for `size`. */
  #roomFramed(segment: number, size: number): void {
    const space = this.#space;
    if (size > SEGMENT_MAX_BYTES) throw new SpaceFullError(size);
    const wanted = Math.ceil(size / FRAME_BYTES);
    const entries = R.entries.get(space, segment);
    if (wanted <= entries) return;
    const content = R.content.get(space, segment);
    if (entries > 0) {
      const list = space.heap.resize(content, 4 * Math.max(wanted, entries + (entries >> 1)));
      R.content.set(space, segment, list);
      R.entries.set(space, segment, Math.floor(space.heap.blockBytes(list) / 4));
      return;
    }
    const list = space.heap.alloc(4 * wanted);
    if (content !== 0) {
      let frame: number;
      try {
        frame = space.frames.alloc(1, OWNER.segment | R.row.get(space, segment));
      } catch (error) {
        space.heap.free(list);
        throw error;
      }
      space.copy(frame, content, space.heap.blockBytes(content));
      space.setU32(list, frame / FRAME_BYTES);
      space.heap.free(content);
    }
    R.content.set(space, segment, list);
    R.entries.set(space, segment, Math.floor(space.heap.blockBytes(list) / 4));
  }

  #fillHoles(segment: number, first: number, last: number): void {
    const space = this.#space;
    const list = R.content.get(space, segment);
    const owner = OWNER.segment | R.row.get(space, segment);
    const added: number[] = [];
    try {
      for (let i = first; i <= last; i++) {
        if (space.u32[list / 4 + i] !== 0) continue;
        space.setU32(list + 4 * i, space.frames.alloc(1, owner) / FRAME_BYTES);
        added.push(i);
      }
    } catch (error) {
      for (const i of added) this.#dropFrame(list, i);
      throw error;
    }
  }

  #dropFrame(list: number, i: number): void {
    const space = this.#space;
    const frame = space.u32[list / 4 + i] as number;
    if (frame === 0) return;
    space.frames.free(frame * FRAME_BYTES, 1);
    space.setU32(list + 4 * i, 0);
  }

  #cut(segment: number, size: number, old: number): void {
    const space = this.#space;
    const content = R.content.get(space, segment);
    const entries = R.entries.get(space, segment);
    if (content === 0) return;
    if (size === 0) {
      for (let i = 0; i < entries; i++) this.#dropFrame(content, i);
      space.heap.free(content);
      R.content.set(space, segment, 0);
      R.entries.set(space, segment, 0);
      return;
    }
    if (entries === 0) {
      space.zero(content + size, old - size);
      return;
    }
    for (let i = Math.ceil(size / FRAME_BYTES); i < entries; i++) this.#dropFrame(content, i);
    const inside = size % FRAME_BYTES;
    const frame = space.u32[content / 4 + Math.floor(size / FRAME_BYTES)] as number;
    if (inside !== 0 && frame !== 0) space.zero(frame * FRAME_BYTES + inside, FRAME_BYTES - inside);
  }
}
