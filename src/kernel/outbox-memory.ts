/**
 * The part of the space that drivers keep their state in, as they see it: blocks of a heap, read and written through
 * accessors that mark what changed. Everything a driver must still know after a restart lies in such blocks, reached
 * from one root; its JavaScript objects are rebuilt from there.
 *
 * `StateMemory` is what it needs of the space (the kernel's heap fits); `Block` reads and writes one block. Never keep
 * the arrays of `bytes()` and `view()` over a call that may allocate: the space may grow.
 */
import { assert } from '../base/assert.ts';

export interface StateMemory {
  /** Address of a new zero-filled block, aligned to 8; 0 where the space is full. */
  allocate(bytes: number): number;
  release(address: number): void;
  /** The whole space now. */
  bytes(): Uint8Array;
  view(): DataView;
  /** Notes that bytes were changed, for the next checkpoint. */
  mark(address: number, length: number): void;
}

/** One persistent word that leads to a driver's state; 0 at first. */
export interface RootCell {
  get(): number;
  set(address: number): void;
}

/** Fields of one block by byte offset, little endian. A u64 holds a safe integer (addresses, ids, positions). */
export class Block {
  readonly memory: StateMemory;
  readonly address: number;

  constructor(memory: StateMemory, address: number) {
    assert(address > 0, 'a block has an address');
    this.memory = memory;
    this.address = address;
  }

  /** Allocates; undefined where the space is full. */
  static create(memory: StateMemory, bytes: number): Block | undefined {
    const address = memory.allocate(bytes);
    return address === 0 ? undefined : new Block(memory, address);
  }

  u32(offset: number): number {
    return this.memory.view().getUint32(this.address + offset, true);
  }

  setU32(offset: number, value: number): void {
    this.memory.view().setUint32(this.address + offset, value, true);
    this.memory.mark(this.address + offset, 4);
  }

  i32(offset: number): number {
    return this.memory.view().getInt32(this.address + offset, true);
  }

  setI32(offset: number, value: number): void {
    this.memory.view().setInt32(this.address + offset, value, true);
    this.memory.mark(this.address + offset, 4);
  }

  u64(offset: number): number {
    return Number(this.memory.view().getBigUint64(this.address + offset, true));
  }

  setU64(offset: number, value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a u64 field holds a safe integer');
    this.setBig(offset, BigInt(value));
  }

  big(offset: number): bigint {
    return this.memory.view().getBigUint64(this.address + offset, true);
  }

  setBig(offset: number, value: bigint): void {
    this.memory.view().setBigUint64(this.address + offset, value, true);
    this.memory.mark(this.address + offset, 8);
  }

  /** A copy of bytes of the block. */
  copy(offset: number, length: number): Uint8Array {
    return this.memory.bytes().slice(this.address + offset, this.address + offset + length);
  }

  setBytes(offset: number, bytes: Uint8Array): void {
    this.memory.bytes().set(bytes, this.address + offset);
    this.memory.mark(this.address + offset, bytes.length);
  }

  release(): void {
    this.memory.release(this.address);
  }
}

/** Adds a block to the front of a list whose links are u64 fields: the head in `owner`, the next in the block. */
export function pushFront(owner: Block, headOffset: number, block: Block, nextOffset: number): void {
  block.setU64(nextOffset, owner.u64(headOffset));
  owner.setU64(headOffset, block.address);
}

/** Adds a block to the end of such a list. `last` is the last block, if the caller knows it. */
export function pushBack(
  owner: Block,
  headOffset: number,
  block: Block,
  nextOffset: number,
  last: Block | undefined,
): void {
  block.setU64(nextOffset, 0);
  if (last === undefined) owner.setU64(headOffset, block.address);
  else last.setU64(nextOffset, block.address);
}

/** The blocks of such a list, from its head. The caller may not change the list meanwhile. */
export function* blocksOf(owner: Block, headOffset: number, nextOffset: number): Generator<Block> {
  for (let at = owner.u64(headOffset); at !== 0; ) {
    const block = new Block(owner.memory, at);
    yield block;
    at = block.u64(nextOffset);
  }
}

/** Takes a block out of such a list and leaves the block itself alone. */
export function unlinkBlock(owner: Block, headOffset: number, block: Block, nextOffset: number): void {
  const next = block.u64(nextOffset);
  if (owner.u64(headOffset) === block.address) {
    owner.setU64(headOffset, next);
    return;
  }
  for (const each of blocksOf(owner, headOffset, nextOffset)) {
    if (each.u64(nextOffset) === block.address) {
      each.setU64(nextOffset, next);
      return;
    }
  }
  assert(false, 'a block that is taken out of a list is in it');
}
