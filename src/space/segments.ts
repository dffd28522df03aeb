/**
 * Segments: stretches of bytes with a persistent 128-bit id; the contents of files, and what is shared. A segment is small
 * (one heap block) or framed (a list of frames, holes allowed: framelists.ts); it becomes framed by itself. What was never
 * written reads as zero. Copies have the same frames until they are written.
 *
 * A segment is named by the address of its record ("handle"), valid until `destroy`. Ranges given here are the
 * caller's to check against what a guest may touch: addresses are global.
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, SEGMENT_SMALL_BYTES, SPACE_MAX_FRAMES } from '../base/limits.ts';
import { SpaceFullError } from './errors.ts';
import { FrameLists, HAVE, type Have, SegmentRecord } from './framelists.ts';
import { OWNER } from './frames.ts';
import type { Space } from './space.ts';
import { ROOT } from './superblock.ts';
import { RecordTable } from './table.ts';

const R = SegmentRecord.fields;
export const SEGMENT_MAX_BYTES = SPACE_MAX_FRAMES * FRAME_BYTES;

export class Segments {
  readonly lists: FrameLists;
  readonly #space: Space;
  #table: RecordTable | null = null;

  constructor(space: Space) {
    this.#space = space;
    this.lists = new FrameLists(space);
  }

  /** After loading: forget caches. */
  rebuild(): void {
    this.#table = null;
    this.lists.rebuild();
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

  /** Bytes of the space its contents take, those that copies have too included. */
  allocatedBytes(segment: number): number {
    const space = this.#space;
    const content = R.content.get(space, segment);
    const entries = R.entries.get(space, segment);
    if (content === 0) return 0;
    if (entries === 0) return space.heap.blockBytes(content);
    return this.lists.count(segment) * FRAME_BYTES;
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

  isLaidOut(segment: number): boolean {
    return this.lists.place(segment, 0) !== 0;
  }
  /** Whether another segment may have frames of this one. */
  hasFamily(segment: number): boolean {
    return this.lists.hasFamily(segment);
  }
  /** Global address of a byte that is no hole. */
  addressOf(segment: number, offset: number): number {
    return this.lists.frame(segment, Math.floor(offset / FRAME_BYTES)) * FRAME_BYTES + (offset % FRAME_BYTES);
  }

  /** Makes sure that writing [offset, offset + length) cannot run out of space (the size stays). */
  reserve(segment: number, offset: number, length: number): void {
    const size = this.size(segment);
    if (length > 0) this.#prepare(segment, offset, length);
    if (offset + length > size) R.size.set(this.#space, segment, size);
  }

  /**
   * Gives it an extent for so many bytes, where its frames have places: see FrameLists. `loads`: holes stay holes. Whether
   * bytes have moved.
   * @throws SpaceFullError with nothing changed
   */
  layOut(segment: number, bytes = this.size(segment), loads = false): boolean {
    const frames = Math.max(1, Math.ceil(bytes / FRAME_BYTES));
    this.#roomFramed(segment, frames * FRAME_BYTES);
    return this.lists.layOut(segment, frames, loads);
  }

  /**
   * Sees to it that a part of it lies in frames as they are to be. Whether bytes have moved of which somebody may know the
   * address, of this segment or another.
   * @throws SpaceFullError with nothing changed
   */
  own(segment: number, offset: number, length: number, have: Have): boolean {
    this.#roomFramed(segment, Math.max(1, this.size(segment)));
    const end = Math.ceil((offset + length) / FRAME_BYTES);
    return this.lists.own(segment, Math.floor(offset / FRAME_BYTES), end, have);
  }

  /** Moves its frames to lower places where there are any. Returns the frames moved; who keeps an address asks again. */
  compact(segment: number): number {
    return R.entries.get(this.#space, segment) === 0 ? 0 : this.lists.compact(segment);
  }

  /**
   * A new segment with the same bytes. The frames are of both until one of the two is written.
   * @throws SpaceFullError with nothing changed
   */
  copy(from: number): number {
    const space = this.#space;
    const segment = this.create();
    const bytes = this.size(from);
    try {
      const small = R.entries.get(space, from) === 0;
      const content = R.content.get(space, from);
      if (content === 0) this.truncate(segment, bytes);
      else if (small) this.write(segment, 0, content, bytes);
      else {
        this.#roomFramed(segment, Math.max(bytes, 1));
        this.lists.share(segment, from);
        R.size.set(space, segment, bytes);
      }
    } catch (error) {
      this.destroy(segment);
      throw error;
    }
    return segment;
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
      const frame = this.lists.frame(segment, Math.floor((offset + done) / FRAME_BYTES));
      visit(frame === 0 ? 0 : frame * FRAME_BYTES + inside, count, done);
      done += count;
    }
  }

  /** Room for [offset, offset + length), no holes there, and nothing that others have; raises the size to cover it. */
  #prepare(segment: number, offset: number, length: number): void {
    const space = this.#space;
    const end = offset + length;
    if (R.entries.get(space, segment) === 0 && end <= SEGMENT_SMALL_BYTES) {
      this.#roomSmall(segment, end);
    } else {
      this.#roomFramed(segment, end);
      this.lists.own(segment, Math.floor(offset / FRAME_BYTES), Math.ceil(end / FRAME_BYTES), HAVE.alone);
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
    const content = R.content.get(space, segment);
    const frames = Math.ceil(size / FRAME_BYTES);
    if (content === 0 || R.entries.get(space, segment) > 0) {
      this.lists.reserve(segment, frames);
      return;
    }
    const frame = space.frames.alloc(1, OWNER.segment);
    try {
      this.lists.reserve(segment, frames);
    } catch (error) {
      space.frames.free(frame, 1);
      throw error;
    }
    space.copy(frame, content, space.heap.blockBytes(content));
    space.heap.free(content);
    this.lists.put(segment, 0, frame / FRAME_BYTES);
  }

  #cut(segment: number, size: number, old: number): void {
    const space = this.#space;
    const content = R.content.get(space, segment);
    const entries = R.entries.get(space, segment);
    if (content === 0) return;
    if (size === 0) {
      if (entries > 0) this.lists.dropAll(segment);
      this.lists.leave(segment);
      space.heap.free(content);
      R.content.set(space, segment, 0);
      R.entries.set(space, segment, 0);
      return;
    }
    if (entries === 0) {
      space.zero(content + size, old - size);
      return;
    }
    const inside = size % FRAME_BYTES;
    const last = Math.floor(size / FRAME_BYTES);
    if (inside !== 0 && this.lists.frame(segment, last) !== 0) {
      this.lists.own(segment, last, last + 1, HAVE.alone);
      space.zero(this.lists.frame(segment, last) * FRAME_BYTES + inside, FRAME_BYTES - inside);
    }
    for (let i = Math.ceil(size / FRAME_BYTES); i < entries; i++) this.lists.drop(segment, i);
  }
}
