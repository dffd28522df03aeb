/**
 * Reading what a guest points at. Everything is copied out of guest memory once and checked in the copy: a second
 * thread or a later line of ours may find other bytes there. A pointer that does not fit is FAULT, never an exception.
 */
import { IOVECS_MAX, PATH_MAX_BYTES, TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import type { Caller } from '../../kernel/caller.ts';
import { IOVEC_BYTES } from './abi.ts';
import { ERRNO } from './errno.ts';

/**
 * The buffers of a vectored call as global addresses, checked against guest memory. One is reused for all calls: it
 * holds only until the next `load`.
 */
export class Buffers {
  count = 0;
  total = 0;
  readonly addresses: number[] = [];
  readonly lengths: number[] = [];

  /**
   * Reads `count` iovecs at `pointer`. Past IOVECS_MAX buffers or TRANSFER_MAX_BYTES bytes the rest is left out: a
   * short read or write. Returns SUCCESS or FAULT. `writes`: the buffers are to be written to.
   */
  load(caller: Caller, pointer: number, count: number, writes: boolean): number {
    const wanted = Math.min(count >>> 0, IOVECS_MAX);
    this.count = 0;
    this.total = 0;
    if (wanted === 1) return this.#one(caller, pointer, writes);
    if (caller.range(pointer >>> 0, (count >>> 0) * IOVEC_BYTES) < 0) return ERRNO.FAULT;
    const copy = caller.readBytes(pointer >>> 0, wanted * IOVEC_BYTES);
    if (copy === null) return ERRNO.FAULT;
    const view = new DataView(copy.buffer);
    for (let i = 0; i < wanted; i++) {
      const fault = this.#add(caller, view.getUint32(i * 8, true), view.getUint32(i * 8 + 4, true), writes);
      if (fault) return ERRNO.FAULT;
    }
    return ERRNO.SUCCESS;
  }

  #one(caller: Caller, pointer: number, writes: boolean): number {
    const address = caller.getU32(pointer >>> 0);
    const length = caller.getU32((pointer >>> 0) + 4);
    if (address < 0 || length < 0) return ERRNO.FAULT;
    return this.#add(caller, address, length, writes) ? ERRNO.FAULT : ERRNO.SUCCESS;
  }

  #add(caller: Caller, pointer: number, length: number, writes: boolean): boolean {
    const address = caller.range(pointer, length, writes);
    if (address < 0) return true;
    const taken = Math.min(length, TRANSFER_MAX_BYTES - this.total);
    if (taken === 0) return false;
    this.addresses[this.count] = address;
    this.lengths[this.count] = taken;
    this.count++;
    this.total += taken;
    return false;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A path's bytes, or the errno (positive): FAULT, NAMETOOLONG, ILSEQ where it is not UTF-8. */
export function readPath(caller: Caller, pointer: number, length: number): Uint8Array | number {
  const bytes = length >>> 0;
  if (caller.range(pointer >>> 0, bytes) < 0) return ERRNO.FAULT;
  if (bytes > PATH_MAX_BYTES) return ERRNO.NAMETOOLONG;
  const copy = caller.readBytes(pointer >>> 0, bytes);
  if (copy === null) return ERRNO.FAULT;
  for (let i = 0; i < copy.length; i++) {
    if ((copy[i] as number) < 0x80) continue;
    try {
      utf8.decode(copy);
    } catch {
      return ERRNO.ILSEQ;
    }
    break;
  }
  return copy;
}

/** SUCCESS where the bytes could be written to the guest. */
export function give(caller: Caller, pointer: number, bytes: Uint8Array): number {
  return caller.writeBytes(pointer >>> 0, bytes) ? ERRNO.SUCCESS : ERRNO.FAULT;
}

export function giveU32(caller: Caller, pointer: number, value: number): number {
  return caller.setU32(pointer >>> 0, value) ? ERRNO.SUCCESS : ERRNO.FAULT;
}

export function giveU64(caller: Caller, pointer: number, value: bigint): number {
  return caller.setU64(pointer >>> 0, value) ? ERRNO.SUCCESS : ERRNO.FAULT;
}

/** Largest value that counts as a file offset. */
const OFFSET_MAX = 2n ** 53n - 1n;

/** An unsigned 64-bit argument (which arrives signed) as a safe integer, or -1 where it is beyond any file. */
export function offsetOf(value: bigint): number {
  const unsigned = BigInt.asUintN(64, value);
  return unsigned > OFFSET_MAX ? -1 : Number(unsigned);
}
