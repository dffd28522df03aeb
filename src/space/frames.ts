/**
 * The frame allocator: contiguous extents of 64 KiB frames, first fit. Who owns a frame is in the frame table of the
 * space; the list of free runs kept here is rebuilt from it.
 *
 * A free frame is all zero: whatever is freed is wiped at once, so nothing leaks from one owner to the next, and what
 * is allocated need not be cleared. Wiping looks before it writes, so frames that were never touched stay untouched
 * on the host too.
 *
 * Why: RATIONALE.md#frames-of-64-kib-wiped-when-freed
 */
import { FIRST_FREE_ADDRESS, FRAME_TABLE_ADDRESS } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, FRAME_SHIFT, PAGE_BYTES } from '../base/limits.ts';
import { SpaceFullError } from './errors.ts';
import type { Space } from './space.ts';
import { makeWiper, type Wiper } from './wiper.ts';

/** An owner in the frame table: a kind, a number below 2^28, and whether checkpoints leave the frame out. */
export const OWNER = { heap: 1 << 28, heapLarge: 2 << 28, domain: 3 << 28, segment: 4 << 28 } as const;
export const OWNER_VOLATILE = 0x8000_0000;
export const OWNER_NUMBER_MASK = 0x0fff_ffff;

const FIRST_FRAME = FIRST_FREE_ADDRESS / FRAME_BYTES;
const TABLE = FRAME_TABLE_ADDRESS >> 2;

export class Frames {
  readonly #space: Space;
  readonly #wiper: Wiper;
  /** Free runs, ascending and never adjacent: first frame, and length. */
  #starts: number[] = [];
  #lengths: number[] = [];
  #free = 0;

  constructor(space: Space) {
    this.#space = space;
    this.#wiper = makeWiper(space.memory);
  }

  /** Frames that are free now, without growing the space. */
  get freeCount(): number {
    return this.#free;
  }
  /** Frames in use, the fixed part of the space not counted. */
  get usedCount(): number {
    return this.#space.frameCount - FIRST_FRAME - this.#free;
  }

  /**
   * Finds the free runs from the frame table: after the space was made or loaded.
   * @param tableFrames frames from here on are known to be free
   */
  rebuild(tableFrames = 0): void {
    const space = this.#space;
    this.#starts = [];
    this.#lengths = [];
    this.#free = 0;
    // The table may name frames whose pages were all zero, so that no page of theirs was loaded.
    let frames = Math.min(tableFrames, space.maxFrames);
    while (frames > space.frameCount && space.u32[TABLE + frames - 1] === 0) frames--;
    const beyond = frames - space.frameCount;
    if (beyond > 0 && !space.grow(beyond)) throw new SpaceFullError(beyond * FRAME_BYTES);
    let start = -1;
    const count = space.frameCount;
    const { u32 } = space;
    for (let frame = FIRST_FRAME; frame <= count; frame++) {
      const free = frame < count && u32[TABLE + frame] === 0;
      if (free && start < 0) start = frame;
      if (!free && start >= 0) {
        this.#starts.push(start);
        this.#lengths.push(frame - start);
        this.#free += frame - start;
        start = -1;
      }
    }
  }

  /** Whether `alloc(count)` would now give an address below this one. */
  hasRoomBelow(address: number, count: number): boolean {
    const i = this.#find(count);
    return i >= 0 && (this.#starts[i] as number) * FRAME_BYTES < address;
  }

  /** The owner word of the frame that holds this address. */
  ownerAt(address: number): number {
    return this.#space.u32[TABLE + Math.floor(address / FRAME_BYTES)] as number;
  }

  /**
   * `count` zero frames in a row for `owner` (OWNER kind | number | OWNER_VOLATILE). Returns their address.
   * @throws SpaceFullError
   */
  alloc(count: number, owner: number): number {
    assert(Number.isSafeInteger(count) && count > 0, 'an extent has frames');
    let i = this.#find(count);
    if (i < 0) {
      this.#extend(count);
      i = this.#find(count);
    }
    const first = this.#starts[i] as number;
    this.#take(i, first, count);
    this.#setOwner(first, count, owner);
    return first * FRAME_BYTES;
  }

  /** Makes the extent at `address` longer where it lies, if the frames behind it are free (or the space can grow). */
  growInPlace(address: number, count: number, newCount: number): boolean {
    const end = Math.floor(address / FRAME_BYTES) + count;
    const more = newCount - count;
    assert(more > 0, 'an extent grows');
    let i = this.#runAt(end);
    const atEnd = i < 0 ? end === this.#space.frameCount : this.#isLast(i);
    if (i < 0 || (this.#lengths[i] as number) < more) {
      if (!atEnd) return false;
      try {
        this.#extend(more);
      } catch (error) {
        if (error instanceof SpaceFullError) return false;
        throw error;
      }
      i = this.#runAt(end);
    }
    this.#take(i, end, more);
    this.#setOwner(end, more, this.ownerAt(address));
    return true;
  }

  /** Wipes and frees the frames. */
  free(address: number, count: number): void {
    const first = Math.floor(address / FRAME_BYTES);
    assert(address % FRAME_BYTES === 0 && count > 0 && first >= FIRST_FRAME, 'an extent is freed');
    for (let frame = first; frame < first + count; frame++) {
      assert(this.#space.u32[TABLE + frame] !== 0, 'a frame is freed once');
    }
    this.#wiper.wipe(BigInt(address), BigInt(address + count * FRAME_BYTES));
    this.#setOwner(first, count, 0);
    this.#space.dirty.frameFreed(first, count);
    this.#give(first, count);
  }

  /** Makes frames zero that stay whose they are. */
  wipe(address: number, count: number): void {
    this.#wiper.wipe(BigInt(address), BigInt(address + count * FRAME_BYTES));
    this.#space.mark(address, count * FRAME_BYTES);
  }

  /** Gives the frames of an extent another owner number, of the same kind. */
  setNumber(address: number, count: number, number: number): void {
    const owner = (this.ownerAt(address) & ~OWNER_NUMBER_MASK) | number;
    this.#setOwner(address / FRAME_BYTES, count, owner >>> 0);
  }

  /** Copies whole frames into fresh (zero) ones, leaving untouched pages untouched. Marks what it writes. */
  copyInto(to: number, from: number, count: number): void {
    const space = this.#space;
    for (let at = 0; at < count * FRAME_BYTES; at += PAGE_BYTES) {
      if (this.#wiper.isZero(BigInt(from + at)) === 0) space.copy(to + at, from + at, PAGE_BYTES);
    }
  }

  /** Frames of this owner, ascending: for checks and for finding what an owner left behind. */
  ownedBy(owner: number): number[] {
    const found: number[] = [];
    for (let frame = FIRST_FRAME; frame < this.#space.frameCount; frame++) {
      if (this.#space.u32[TABLE + frame] === owner) found.push(frame);
    }
    return found;
  }

  #find(count: number): number {
    const lengths = this.#lengths;
    for (let i = 0; i < lengths.length; i++) if ((lengths[i] as number) >= count) return i;
    return -1;
  }

  /** The free run that begins at this frame, or -1. */
  #runAt(frame: number): number {
    const i = this.#lowerBound(frame);
    return this.#starts[i] === frame ? i : -1;
  }
  #lowerBound(frame: number): number {
    let [low, high] = [0, this.#starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle] as number) < frame) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  #isLast(i: number): boolean {
    return (this.#starts[i] as number) + (this.#lengths[i] as number) === this.#space.frameCount;
  }

  /** Takes the first `count` frames of run i. */
  #take(i: number, first: number, count: number): void {
    const length = this.#lengths[i] as number;
    assert(this.#starts[i] === first && length >= count, 'the run holds what is taken');
    if (length === count) {
      this.#starts.splice(i, 1);
      this.#lengths.splice(i, 1);
    } else {
      this.#starts[i] = first + count;
      this.#lengths[i] = length - count;
    }
    this.#free -= count;
  }

  #give(first: number, count: number): void {
    const [starts, lengths] = [this.#starts, this.#lengths];
    const i = this.#lowerBound(first);
    const joinsNext = starts[i] === first + count;
    const joinsPrevious = i > 0 && (starts[i - 1] as number) + (lengths[i - 1] as number) === first;
    if (joinsPrevious) {
      lengths[i - 1] = (lengths[i - 1] as number) + count + (joinsNext ? (lengths[i] as number) : 0);
      if (joinsNext) {
        starts.splice(i, 1);
        lengths.splice(i, 1);
      }
    } else if (joinsNext) {
      starts[i] = first;
      lengths[i] = (lengths[i] as number) + count;
    } else {
      starts.splice(i, 0, first);
      lengths.splice(i, 0, count);
    }
    this.#free += count;
  }

  /** Grows the space so that its end has a free run of `count`; by half of what it is, since growing visits every instance. */
  #extend(count: number): void {
    const space = this.#space;
    const last = this.#starts.length - 1;
    const have = last >= 0 && this.#isLast(last) ? (this.#lengths[last] as number) : 0;
    const need = count - have;
    const before = space.frameCount;
    const generous = Math.min(Math.max(need, before >> 1), space.maxFrames - before);
    if (!(generous >= need && space.grow(generous)) && !space.grow(need)) {
      throw new SpaceFullError(count * FRAME_BYTES);
    }
    this.#give(before, space.frameCount - before);
  }

  #setOwner(first: number, count: number, owner: number): void {
    this.#space.u32.fill(owner, TABLE + first, TABLE + first + count);
    this.#space.mark(FRAME_TABLE_ADDRESS + 4 * first, 4 * count);
  }
}

assert(FRAME_BYTES === 1 << FRAME_SHIFT, 'frames have the size the table counts in');
