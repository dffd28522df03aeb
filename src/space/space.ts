/**
 * The space: the one shared 64-bit memory, and the only way by which JavaScript writes to it. Every write goes through
 * a method here (or is followed by `mark`), so that the next checkpoint knows the page.
 *
 *     const space = Space.create({ id: random16 });
 *     const at = space.heap.alloc(100);
 *     space.setU32(at, 7);
 *
 * Never hold `u8`, `view` or the other views over anything that may allocate: growing the space replaces them. Never
 * hold the address of a domain's memory over a call that may move the domain. Heap blocks never move.
 *
 * Why: RATIONALE.md#one-memory-for-all-programs
 */

import {
  EPOCH_ADDRESS,
  FIRST_FREE_ADDRESS,
  FLAG_ADDRESS,
  FRAME_TABLE_ADDRESS,
  FRAME_TABLE_BYTES,
  MARKS_ADDRESS,
} from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import { FRAME_BYTES, PAGE_BYTES, PAGE_SHIFT, SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../base/limits.ts';
import { Frames } from './frames.ts';
import { Heap } from './heap.ts';
import { Dirty } from './marks.ts';
import { Segments } from './segments.ts';
import {
  MAGIC_HIGH,
  MAGIC_LOW,
  SPACE_OLDEST_VERSION,
  SPACE_VERSION,
  SUPERBLOCK_ADDRESS,
  Superblock,
} from './superblock.ts';

/** Mark written for exact ranges; rewritten programs write 1, which stands for the neighbours too. */
export const MARK_EXACT = 2;
export const MARK_SLOP = 1;

export interface SpaceOptions {
  /** The 128-bit id of a new space. */
  id?: Uint8Array;
  /** Most frames this space may have: what the host is willing to give. */
  maxFrames?: number;
}

/** One page of a checkpoint: its number and PAGE_BYTES bytes. Pages that are not given are zero. */
export interface PageImage {
  page: number;
  bytes: Uint8Array;
}

const S = Superblock.fields;
/** No epoch is 0, so that a record full of zeros was not looked at in any. */
const FIRST_EPOCH = 1;

export class Space {
  /** For instances to import, and for another thread to raise the safepoint word in. */
  readonly memory: WebAssembly.Memory;
  readonly maxFrames: number;
  u8!: Uint8Array;
  i32!: Int32Array;
  u32!: Uint32Array;
  view!: DataView;
  readonly frames: Frames;
  readonly heap: Heap;
  readonly segments: Segments;
  readonly dirty: Dirty;

  private constructor(options: SpaceOptions, frames: number) {
    this.maxFrames = Math.min(options.maxFrames ?? SPACE_MAX_FRAMES, SPACE_MAX_FRAMES);
    assert(this.maxFrames >= SPACE_MIN_FRAMES, 'a space has at least its least size');
    this.memory = new WebAssembly.Memory({
      address: 'i64',
      initial: BigInt(Math.max(frames, SPACE_MIN_FRAMES)),
      maximum: BigInt(SPACE_MAX_FRAMES),
      shared: true,
    } as unknown as WebAssembly.MemoryDescriptor);
    this.#refresh();
    this.dirty = new Dirty(this);
    this.frames = new Frames(this);
    this.heap = new Heap(this);
    this.segments = new Segments(this);
  }

  /** A new, empty space. */
  static create(options: SpaceOptions = {}): Space {
    const space = new Space(options, SPACE_MIN_FRAMES);
    S.magicLow.set(space, SUPERBLOCK_ADDRESS, MAGIC_LOW);
    S.magicHigh.set(space, SUPERBLOCK_ADDRESS, MAGIC_HIGH);
    S.version.set(space, SUPERBLOCK_ADDRESS, SPACE_VERSION);
    S.id.set(space, SUPERBLOCK_ADDRESS, options.id ?? new Uint8Array(16));
    S.nextDomain.set(space, SUPERBLOCK_ADDRESS, 1);
    S.nextId.set(space, SUPERBLOCK_ADDRESS, 1);
    space.setNumber(EPOCH_ADDRESS, FIRST_EPOCH);
    space.frames.rebuild();
    return space;
  }

  /**
   * The space a checkpoint holds.
   * @throws MalformedError when the pages are not those of a space of this version.
   */
  static load(pages: Iterable<PageImage>, options: SpaceOptions = {}): Space {
    const space = new Space(options, SPACE_MIN_FRAMES);
    let tableFrames = 0;
    for (const { page, bytes } of pages) {
      if (
        bytes.length !== PAGE_BYTES ||
        !(page >= 0 && page < SPACE_MAX_FRAMES * (FRAME_BYTES / PAGE_BYTES))
      ) {
        throw new MalformedError(`checkpoint: page ${page} cannot be in a space`, -1);
      }
      const end = (page + 1) * PAGE_BYTES;
      if (end > space.byteLength) {
        const frames = Math.ceil(end / FRAME_BYTES);
        const wanted = Math.min(Math.max(frames, Math.ceil(space.frameCount * 1.5)), space.maxFrames);
        if (frames > wanted || !space.grow(wanted - space.frameCount)) {
          throw new MalformedError(`checkpoint: page ${page} is past the most memory of this space`, -1);
        }
      }
      space.u8.set(bytes, page * PAGE_BYTES);
      space.dirty.loaded(page);
      if (end > FRAME_TABLE_ADDRESS && end <= FRAME_TABLE_ADDRESS + FRAME_TABLE_BYTES) {
        tableFrames = Math.max(tableFrames, (end - FRAME_TABLE_ADDRESS) / 4);
      }
    }
    if (
      S.magicLow.get(space, SUPERBLOCK_ADDRESS) !== MAGIC_LOW ||
      S.magicHigh.get(space, SUPERBLOCK_ADDRESS) !== MAGIC_HIGH
    ) {
      throw new MalformedError('checkpoint: it does not begin as a space does', 0);
    }
    const version = S.version.get(space, SUPERBLOCK_ADDRESS);
    if (version < SPACE_OLDEST_VERSION || version > SPACE_VERSION) {
      throw new MalformedError(`checkpoint: space version ${version}, this is ${SPACE_VERSION}`, 8);
    }
    if (version !== SPACE_VERSION) S.version.set(space, SUPERBLOCK_ADDRESS, SPACE_VERSION);
    if (space.getNumber(EPOCH_ADDRESS) === 0) space.setNumber(EPOCH_ADDRESS, FIRST_EPOCH);
    Atomics.store(space.i32, FLAG_ADDRESS >> 2, 0);
    space.frames.rebuild(tableFrames);
    space.segments.rebuild();
    return space;
  }

  get byteLength(): number {
    return this.u8.length;
  }
  get frameCount(): number {
    return this.u8.length / FRAME_BYTES;
  }
  /** The 128-bit id, a copy. */
  get id(): Uint8Array<ArrayBuffer> {
    return S.id.get(this, SUPERBLOCK_ADDRESS);
  }

  /** A new id of a segment or an object, in two halves: the first half of the id of the space, and a number that counts up. */
  nextId(): { high: bigint; low: bigint } {
    return { high: new DataView(this.id.buffer).getBigUint64(0), low: BigInt(this.nextNumber()) };
  }
  /** That number alone: never used twice in this space. */
  nextNumber(): number {
    const low = S.nextId.get(this, SUPERBLOCK_ADDRESS);
    S.nextId.set(this, SUPERBLOCK_ADDRESS, low + 1);
    return low;
  }

  /** The address kept in a root slot (`ROOT`), 0 when none. */
  root(slot: number): number {
    return S.roots.get(this, SUPERBLOCK_ADDRESS, slot);
  }
  setRoot(slot: number, address: number): void {
    S.roots.set(this, SUPERBLOCK_ADDRESS, slot, address);
  }

  /** Adds frames at the end. False when the limit or the host refuses. For the frame allocator. */
  grow(frames: number): boolean {
    if (this.frameCount + frames > this.maxFrames) return false;
    try {
      this.memory.grow(BigInt(frames) as unknown as number);
    } catch {
      return false;
    }
    this.#refresh();
    return true;
  }

  #refresh(): void {
    const buffer = this.memory.buffer;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Tells that bytes [at, at + length) have changed or will before the next cut. */
  mark(at: number, length: number): void {
    if (length <= 0) return;
    const u8 = this.u8;
    const last = MARKS_ADDRESS + Math.floor((at + length - 1) / PAGE_BYTES);
    for (let i = MARKS_ADDRESS + Math.floor(at / PAGE_BYTES); i <= last; i++) {
      if (u8[i] === 0) u8[i] = MARK_EXACT;
    }
  }

  /** `mark` for up to eight bytes that lie in one page: aligned fields. */
  #markOne(at: number): void {
    const i =
      at < 0x80000000 ? MARKS_ADDRESS + (at >>> PAGE_SHIFT) : MARKS_ADDRESS + Math.floor(at / PAGE_BYTES);
    if (this.u8[i] === 0) this.u8[i] = MARK_EXACT;
  }

  /** Writers of single values; `at` is aligned to the width. Values wrap as in memory. */
  setU8(at: number, value: number): void {
    this.u8[at] = value;
    this.#markOne(at);
  }
  setU16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
    this.#markOne(at);
  }
  setU32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
    this.#markOne(at);
  }
  setU64(at: number, value: bigint): void {
    this.view.setBigUint64(at, value, true);
    this.#markOne(at);
  }
  /** 64 bits from a whole number in [0, 2^53). */
  setNumber(at: number, value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a whole number below 2^53');
    this.view.setUint32(at, value % 0x100000000, true);
    this.view.setUint32(at + 4, Math.floor(value / 0x100000000), true);
    this.#markOne(at);
  }
  getNumber(at: number): number {
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 0x100000000;
  }

  /** A copy of the bytes, in a buffer of its own. */
  readBytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(length);
    copy.set(this.u8.subarray(at, at + length));
    return copy;
  }
  writeBytes(at: number, data: Uint8Array): void {
    this.u8.set(data, at);
    this.mark(at, data.length);
  }
  /** Copies inside the space; the ranges may overlap. */
  copy(to: number, from: number, length: number): void {
    this.u8.copyWithin(to, from, from + length);
    this.mark(to, length);
  }
  zero(at: number, length: number): void {
    this.u8.fill(0, at, at + length);
    this.mark(at, length);
  }
}

assert(FIRST_FREE_ADDRESS < SPACE_MIN_FRAMES * FRAME_BYTES, 'the least space has frames to give');
