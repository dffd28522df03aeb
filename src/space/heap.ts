/**
 * The kernel's heap: blocks of any size in the space, for records and whatever hangs off them. All of its state is in
 * the space, so it goes on after recovery without a scan.
 *
 * A heap frame holds blocks of one size class behind a header; blocks above the largest class are whole frames. Blocks
 * come zeroed and never move. Guests cannot reach it: addresses of heap blocks are nowhere in a domain's reach.
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES } from '../base/limits.ts';
import { OWNER, OWNER_NUMBER_MASK } from './frames.ts';
import { defineRecord, num, u32 } from './records.ts';
import type { Space } from './space.ts';
import { HEAP_CLASS_SLOTS, SUPERBLOCK_ADDRESS, Superblock } from './superblock.ts';

const HeapFrame = defineRecord('heap frame', {
  sizeClass: u32('kernel', 'Index in CLASS_BYTES.'),
  used: u32('kernel', 'Blocks in use.'),
  free: u32('kernel', 'Offset of the first free block, 0 for none; a free block begins with the next.'),
  fresh: u32('kernel', 'Offset of the first block never used.'),
  next: num('kernel', 'Next frame of this class with a free block.'),
  previous: num('kernel', 'Previous frame of this class with a free block.'),
});
const H = HeapFrame.fields;
const S = Superblock.fields;
const HEADER_BYTES = 64;

/** Sizes of blocks; multiples of 16, each within an eighth or so of the next. */
export const CLASS_BYTES: readonly number[] = [
  16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536,
  1792, 2048, 2560, 3072, 4080, 5440, 6544, 8176, 10912, 16368, 21824, 32736,
];
const LARGEST = CLASS_BYTES[CLASS_BYTES.length - 1] as number;
/** Class of a size by (size + 15) >> 4. */
const CLASS_OF = new Uint8Array((LARGEST >> 4) + 1);
for (let unit = 0, index = 0; unit < CLASS_OF.length; unit++) {
  if (unit * 16 > (CLASS_BYTES[index] as number)) index++;
  CLASS_OF[unit] = index;
}

export class Heap {
  readonly #space: Space;
  constructor(space: Space) {
    this.#space = space;
  }

  /** Blocks in use, and their bytes (rounded up to size classes): for leak checks and reports. */
  get blockCount(): number {
    return S.heapBlocks.get(this.#space, SUPERBLOCK_ADDRESS);
  }
  get usedBytes(): number {
    return S.heapBytes.get(this.#space, SUPERBLOCK_ADDRESS);
  }

  /**
   * A zeroed block of at least `size` bytes, aligned to 16. Returns its address.
   * @throws SpaceFullError
   */
  alloc(size: number): number {
    assert(Number.isSafeInteger(size) && size >= 0, 'a block has a size');
    if (size > LARGEST) return this.#allocLarge(size);
    const space = this.#space;
    const sizeClass = CLASS_OF[(size + 15) >> 4] as number;
    let frame = S.heapPartial.get(space, SUPERBLOCK_ADDRESS, sizeClass);
    if (frame === 0) frame = this.#newFrame(sizeClass);
    const bytes = CLASS_BYTES[sizeClass] as number;
    let offset = H.free.get(space, frame);
    if (offset !== 0) {
      H.free.set(space, frame, space.view.getUint32(frame + offset, true));
      space.setU32(frame + offset, 0);
    } else {
      offset = H.fresh.get(space, frame);
      H.fresh.set(space, frame, offset + bytes);
    }
    H.used.set(space, frame, H.used.get(space, frame) + 1);
    if (this.#isFull(frame, bytes)) this.#unlink(frame, sizeClass);
    this.#count(1, bytes);
    return frame + offset;
  }

  /** Frees a block; its bytes are wiped. */
  free(address: number): void {
    const space = this.#space;
    const owner = space.frames.ownerAt(address);
    if (owner >>> 28 === OWNER.heapLarge >>> 28) {
      const bytes = this.blockBytes(address);
      space.frames.free(address, bytes / FRAME_BYTES);
      this.#count(-1, -bytes);
      return;
    }
    assert(owner === OWNER.heap, 'a heap block is freed');
    const frame = address - (address % FRAME_BYTES);
    const sizeClass = H.sizeClass.get(space, frame);
    const bytes = CLASS_BYTES[sizeClass] as number;
    assert((address - frame - HEADER_BYTES) % bytes === 0, 'a block is freed by its address');
    const wasFull = this.#isFull(frame, bytes);
    space.zero(address, bytes);
    space.setU32(address, H.free.get(space, frame));
    H.free.set(space, frame, address - frame);
    const used = H.used.get(space, frame);
    assert(used > 0, 'a block is freed once');
    H.used.set(space, frame, used - 1);
    this.#count(-1, -bytes);
    if (wasFull) this.#link(frame, sizeClass);
    // The last frame of a class is kept, so that one block taken and given in turn costs no frame each time.
    const only = H.next.get(space, frame) === 0 && H.previous.get(space, frame) === 0;
    if (used === 1 && !only) {
      this.#unlink(frame, sizeClass);
      space.frames.free(frame, 1);
    }
  }

  /** Bytes the block at this address can hold: at least what was asked for. */
  blockBytes(address: number): number {
    const space = this.#space;
    const owner = space.frames.ownerAt(address);
    if (owner === OWNER.heap) {
      return CLASS_BYTES[H.sizeClass.get(space, address - (address % FRAME_BYTES))] as number;
    }
    assert(owner >>> 28 === OWNER.heapLarge >>> 28 && address % FRAME_BYTES === 0, 'a block of the heap');
    assert((owner & OWNER_NUMBER_MASK) === address / FRAME_BYTES, 'a block is named by its first byte');
    let frames = 1; // all frames of a large block carry the number of the first
    while (space.frames.ownerAt(address + frames * FRAME_BYTES) === owner) frames++;
    return frames * FRAME_BYTES;
  }

  /** A block of at least `size` bytes with the same contents, the rest zero: the same one if it is large enough. */
  resize(address: number, size: number): number {
    const have = this.blockBytes(address);
    if (size <= have) return address;
    const to = this.alloc(size);
    this.#space.copy(to, address, have);
    this.free(address);
    return to;
  }

  /** A new block that holds these bytes. */
  allocBytes(data: Uint8Array): number {
    const at = this.alloc(data.length);
    this.#space.writeBytes(at, data);
    return at;
  }

  #allocLarge(size: number): number {
    const space = this.#space;
    const frames = Math.ceil(size / FRAME_BYTES);
    const address = space.frames.alloc(frames, OWNER.heapLarge);
    space.frames.setNumber(address, frames, address / FRAME_BYTES);
    this.#count(1, frames * FRAME_BYTES);
    return address;
  }

  #newFrame(sizeClass: number): number {
    const space = this.#space;
    const frame = space.frames.alloc(1, OWNER.heap);
    H.sizeClass.set(space, frame, sizeClass);
    H.fresh.set(space, frame, HEADER_BYTES);
    this.#link(frame, sizeClass);
    return frame;
  }

  #isFull(frame: number, bytes: number): boolean {
    return H.free.get(this.#space, frame) === 0 && H.fresh.get(this.#space, frame) + bytes > FRAME_BYTES;
  }

  #link(frame: number, sizeClass: number): void {
    const space = this.#space;
    const head = S.heapPartial.get(space, SUPERBLOCK_ADDRESS, sizeClass);
    H.next.set(space, frame, head);
    H.previous.set(space, frame, 0);
    if (head !== 0) H.previous.set(space, head, frame);
    S.heapPartial.set(space, SUPERBLOCK_ADDRESS, sizeClass, frame);
  }
  #unlink(frame: number, sizeClass: number): void {
    const space = this.#space;
    const [next, previous] = [H.next.get(space, frame), H.previous.get(space, frame)];
    if (previous === 0) S.heapPartial.set(space, SUPERBLOCK_ADDRESS, sizeClass, next);
    else H.next.set(space, previous, next);
    if (next !== 0) H.previous.set(space, next, previous);
    H.next.set(space, frame, 0);
    H.previous.set(space, frame, 0);
  }

  #count(blocks: number, bytes: number): void {
    const space = this.#space;
    S.heapBlocks.set(space, SUPERBLOCK_ADDRESS, this.blockCount + blocks);
    S.heapBytes.set(space, SUPERBLOCK_ADDRESS, this.usedBytes + bytes);
  }
}

assert(CLASS_BYTES.length <= HEAP_CLASS_SLOTS, 'the superblock has a list for each size class');
assert(HeapFrame.bytes <= HEADER_BYTES, 'the header of a heap frame fits');
