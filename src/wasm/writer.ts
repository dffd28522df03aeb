/**
 * A growing byte buffer that writes the encodings of the WebAssembly binary format. One array, doubled when
 * full, so a byte costs amortised constant time; integers are written in their shortest form.
 *
 * A length that is not known yet: `const at = w.beginSize(); …; w.endSize(at)`. `endSize` moves what was
 * written to close the gap; `endPaddedSize` leaves it where it is and pads the length to five bytes (legal
 * LEB128). Never keep `subarray()` across a later write: growing replaces the buffer.
 */
import { assert } from '../base/assert.ts';
import type { ByteRange } from './types.ts';

const UTF8 = new TextEncoder();
const SCRATCH = new DataView(new ArrayBuffer(8));
const SIZE_BYTES = 5;
const ARENA_BYTES = 1 << 20;

export class Writer {
  /** The buffer; only the first `length` bytes are written. Replaced when it grows. */
  bytes: Uint8Array<ArrayBuffer>;
  /** How many bytes are written. */
  length = 0;
  /** What is copied from elsewhere is counted and not copied. */
  readonly #measures: boolean;
  #counted = 0;

  /** `measures`: it is only to tell, by `size`, how long something would be. */
  constructor(capacity = 1024, measures = false) {
    this.bytes = new Uint8Array(Math.max(16, capacity));
    this.#measures = measures;
  }

  /** Bytes written since `clear`, those included that were counted only. */
  get size(): number {
    return this.length + this.#counted;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  u8(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
  }

  /** Makes room for `count` bytes at byte `at`, with whatever in them; what stood there moves up. */
  insert(at: number, count: number): void {
    this.reserve(count);
    this.bytes.copyWithin(at + count, at, this.length);
    this.length += count;
  }

  /** An unsigned LEB128 of a value in [0, 2^32). */
  u32(value: number): void {
    if (this.length + SIZE_BYTES > this.bytes.length) this.#grow(SIZE_BYTES);
    const bytes = this.bytes;
    let at = this.length;
    while (value > 0x7f) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[at++] = value;
    this.length = at;
  }

  /** A byte, and an unsigned LEB128 of a value in [0, 2^32): most instructions. */
  byteAndU32(byte: number, value: number): void {
    const at = this.length;
    if (value > 0x7f || at + 2 > this.bytes.length) {
      this.u8(byte);
      this.u32(value);
      return;
    }
    this.bytes[at] = byte;
    this.bytes[at + 1] = value;
    this.length = at + 2;
  }

  /** A byte, and a signed LEB128 of an int32: small constants. */
  byteAndS32(byte: number, value: number): void {
    const at = this.length;
    if (value > 0x3f || value < -0x40 || at + 2 > this.bytes.length) {
      this.u8(byte);
      this.s32(value);
      return;
    }
    this.bytes[at] = byte;
    this.bytes[at + 1] = value & 0x7f;
    this.length = at + 2;
  }

  /** Two bytes, the lower one of the number first. */
  two(bytes: number): void {
    const at = this.length;
    if (at + 2 > this.bytes.length) this.#grow(2);
    this.bytes[at] = bytes;
    this.bytes[at + 1] = bytes >>> 8;
    this.length = at + 2;
  }

  /** A signed LEB128 of an int32. */
  s32(value: number): void {
    if (this.length + SIZE_BYTES > this.bytes.length) this.#grow(SIZE_BYTES);
    const bytes = this.bytes;
    let at = this.length;
    value |= 0;
    while (value > 0x3f || value < -0x40) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>= 7;
    }
    bytes[at++] = value & 0x7f;
    this.length = at;
  }

  /** A signed LEB128 of 33 bits: block types and heap types. */
  s33(value: number): void {
    while (value > 0x3f || value < -0x40) {
      const low: number = ((value % 128) + 128) % 128;
      this.u8(low | 0x80);
      value = (value - low) / 128;
    }
    this.u8(value & 0x7f);
  }

  /** A signed LEB128 of an int64, from a bigint (wrapped to 64 bits) or a safe integer. */
  s64(value: bigint | number): void {
    if (typeof value === 'number' && (value | 0) === value) {
      this.s32(value);
      return;
    }
    SCRATCH.setBigInt64(0, BigInt(value), true);
    this.s64parts(SCRATCH.getInt32(0, true), SCRATCH.getInt32(4, true));
  }

  /** A signed LEB128 of an int64 given as two int32s. */
  s64parts(lo: number, hi: number): void {
    lo |= 0;
    hi |= 0;
    while (hi !== lo >> 31 || lo > 0x3f || lo < -0x40) {
      this.u8((lo & 0x7f) | 0x80);
      lo = (lo >>> 7) | (hi << 25);
      hi >>= 7;
    }
    this.u8(lo & 0x7f);
  }

  /** An unsigned LEB128 of 64 bits, from a bigint or a safe integer ≥ 0. */
  u64(value: bigint | number): void {
    if (typeof value === 'number') {
      while (value > 0xffffffff) {
        const low: number = value % 128;
        this.u8(low | 0x80);
        value = (value - low) / 128;
      }
      this.u32(value);
      return;
    }
    while (value > 0x7fn) {
      this.u8(Number(value & 0x7fn) | 0x80);
      value >>= 7n;
    }
    this.u8(Number(value));
  }

  /** Four bytes, little endian: the bits of an f32. */
  f32bits(bits: number): void {
    this.reserve(4);
    const { bytes } = this;
    const at = this.length;
    bytes[at] = bits;
    bytes[at + 1] = bits >>> 8;
    bytes[at + 2] = bits >>> 16;
    bytes[at + 3] = bits >>> 24;
    this.length = at + 4;
  }

  /** Eight bytes, little endian: the bits of an f64. */
  f64bits(bits: bigint): void {
    SCRATCH.setBigUint64(0, bits, true);
    this.f32bits(SCRATCH.getInt32(0, true));
    this.f32bits(SCRATCH.getInt32(4, true));
  }

  /** The bytes as they are. */
  raw(source: Uint8Array): void {
    if (this.#measures) {
      this.#counted += source.length;
      return;
    }
    this.reserve(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
  }

  /** The bytes [start, end) of `source`; short ones without a call into the engine. */
  rawRange(source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    if (this.#measures) {
      this.#counted += count;
      return;
    }
    if (this.length + count > this.bytes.length) this.#grow(count);
    const { bytes, length } = this;
    if (count > 24) {
      bytes.set(source.subarray(start, end), length);
    } else {
      for (let i = 0; i < count; i++) bytes[length + i] = source[start + i]!;
    }
    this.length = length + count;
  }

  /** Writes `count` zeros and gives the buffer, for them to be changed before the next write. */
  zeros(count: number): Uint8Array<ArrayBuffer> {
    this.reserve(count);
    this.bytes.fill(0, this.length, this.length + count);
    this.length += count;
    return this.bytes;
  }

  /** A vector of bytes: its length, then the bytes. */
  vec(source: Uint8Array): void {
    this.u32(source.length);
    this.raw(source);
  }

  name(text: string): void {
    this.vec(UTF8.encode(text));
  }

  /** Leaves room for a length; give the result to `endSize` or `endPaddedSize`. */
  beginSize(): number {
    this.reserve(SIZE_BYTES);
    this.length += SIZE_BYTES;
    return this.length - SIZE_BYTES;
  }

  /**
   * Writes the shortest length of all that was written since `beginSize`, and moves that down to close the
   * gap. Gives by how many bytes it moved. Lengths nest: end the inner one first.
   */
  endSize(at: number): number {
    const start = at + SIZE_BYTES;
    const end = this.length;
    this.length = at;
    this.u32(end - start);
    const shift = start - this.length;
    if (shift > 0) this.bytes.copyWithin(this.length, start, end);
    this.length = end - shift;
    return shift;
  }

  /** Writes the length of all that was written since `beginSize` in five bytes; nothing moves. */
  endPaddedSize(at: number): void {
    this.patchU32(at, this.length - at - SIZE_BYTES);
  }

  /** Overwrites the five bytes at `at` with a padded LEB128. */
  patchU32(at: number, value: number): void {
    assert(at + SIZE_BYTES <= this.length, 'only what was written can be patched');
    for (let i = 0; i < 4; i++) {
      this.bytes[at + i] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    this.bytes[at + 4] = value;
  }

  /** What was written, not copied: good until the next write. */
  subarray(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }

  /** The buffer itself, which was made as large as what is written now. */
  whole(): Uint8Array<ArrayBuffer> {
    return this.length === this.bytes.length ? this.bytes : this.toBytes();
  }

  /** What was written, in an array of its own. */
  toBytes(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }

  /** Forgets all that was written and keeps the buffer. */
  clear(): void {
    this.length = 0;
    this.#counted = 0;
  }
}

/** Bytes that are kept, in few large buffers: an array of its own for each function of a module costs more than its bytes. */
export class Arena {
  #buffer = new Uint8Array(0);
  #used = 0;
  readonly #buffers = new Set<Uint8Array<ArrayBufferLike>>();

  /** A copy of the first `length` bytes of `source`. */
  keep(source: Uint8Array, length: number): ByteRange {
    if (this.#used + length > this.#buffer.length) {
      this.#buffer = new Uint8Array(Math.max(ARENA_BYTES, length));
      this.#buffers.add(this.#buffer);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    this.#buffer.set(source.subarray(0, length), start);
    return { source: this.#buffer, start, end: this.#used };
  }

  /** If this is one of its buffers, none of whose bytes are needed any more: gives its memory back at once. */
  release(source: Uint8Array): void {
    if (!this.#buffers.delete(source)) return;
    if (source === this.#buffer) this.#buffer = new Uint8Array(0);
    (source.buffer as ArrayBuffer).transfer(0);
  }
}
