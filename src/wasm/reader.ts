/**
 * A cursor over the bytes of a WebAssembly module. Every read is bounded by `end`; every failure is a
 * `MalformedError` with the byte offset in the whole input, and an integer that the format calls malformed
 * (too long, or with bits set that its type has not) is refused, not truncated.
 *
 * Use one reader for a whole module: a section is read by lowering `end` for its length. Never read `bytes`
 * without a bound.
 */
import { MalformedError } from '../base/errors.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const SCRATCH = new DataView(new ArrayBuffer(8));

export class Reader {
  readonly bytes: Uint8Array;
  /** Offset of the next byte to read. */
  pos: number;
  /** Offset behind the last byte that may be read. */
  end: number;
  /** What `readLeb64` read: the low and the high half. */
  lo = 0;
  hi = 0;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.pos = start;
    this.end = end;
  }

  /** Throws a `MalformedError` at the offset (by default the current one). */
  fail(message: string, offset: number = this.pos): never {
    throw new MalformedError(message, offset);
  }

  u8(): number {
    if (this.pos >= this.end) this.fail('unexpected end');
    return this.bytes[this.pos++]!;
  }

  /** An unsigned 32-bit LEB128: [0, 2^32). */
  u32(): number {
    const pos = this.pos;
    if (pos < this.end) {
      const b = this.bytes[pos]!;
      if (b < 0x80) {
        this.pos = pos + 1;
        return b;
      }
    }
    return this.#longU32();
  }

  #longU32(): number {
    const { bytes, end } = this;
    const start = this.pos;
    let result = 0;
    for (let i = 0; i < 5; i++) {
      if (start + i >= end) this.fail('unexpected end', end);
      const b = bytes[start + i]!;
      if (i === 4 && b > 0x0f) this.#badLeb(b, start + i);
      result |= (b & 0x7f) << (7 * i);
      if (b < 0x80) {
        this.pos = start + i + 1;
        return result >>> 0;
      }
    }
    return this.fail('integer representation too long', start);
  }

  #badLeb(last: number, offset: number): never {
    this.fail(last >= 0x80 ? 'integer representation too long' : 'integer too large', offset);
  }

  /** A signed 32-bit LEB128. */
  s32(): number {
    const { bytes, end } = this;
    const start = this.pos;
    let result = 0;
    for (let i = 0; i < 5; i++) {
      if (start + i >= end) this.fail('unexpected end', end);
      const b = bytes[start + i]!;
      if (i === 4 && b > 0x07 && (b < 0x78 || b >= 0x80)) this.#badLeb(b, start + i);
      result |= (b & 0x7f) << (7 * i);
      if (b < 0x80) {
        this.pos = start + i + 1;
        const unused = 25 - 7 * i;
        return unused > 0 ? (result << unused) >> unused : result;
      }
    }
    return this.fail('integer representation too long', start);
  }

  /** A signed 33-bit LEB128 (block types, heap types). */
  s33(): number {
    const { bytes, end } = this;
    const start = this.pos;
    let result = 0;
    let scale = 1;
    for (let i = 0; i < 5; i++) {
      if (start + i >= end) this.fail('unexpected end', end);
      const b = bytes[start + i]!;
      if (i === 4 && b > 0x0f && (b < 0x70 || b >= 0x80)) this.#badLeb(b, start + i);
      result += (b & 0x7f) * scale;
      scale *= 128;
      if (b < 0x80) {
        this.pos = start + i + 1;
        return b & 0x40 ? result - scale : result;
      }
    }
    return this.fail('integer representation too long', start);
  }

  /** Reads a 64-bit LEB128 into `lo` and `hi` (two int32s), with no allocation. */
  leb64(signed: boolean): void {
    const { bytes, end } = this;
    const start = this.pos;
    let lo = 0;
    let hi = 0;
    for (let i = 0; i < 10; i++) {
      if (start + i >= end) this.fail('unexpected end', end);
      const b = bytes[start + i]!;
      if (i === 9 && b > (signed ? 0 : 1) && !(signed && b === 0x7f)) this.#badLeb(b, start + i);
      const bits = b & 0x7f;
      if (i < 4) lo |= bits << (7 * i);
      else if (i === 4) {
        lo |= bits << 28;
        hi = bits >>> 4;
      } else hi |= bits << (7 * i - 32);
      if (b < 0x80) {
        this.pos = start + i + 1;
        if (signed && b & 0x40) {
          const width = 7 * i + 7;
          if (width < 32) {
            lo |= -1 << width;
            hi = -1;
          } else if (width < 64) hi |= -1 << (width - 32);
        }
        this.lo = lo;
        this.hi = hi;
        return;
      }
    }
    this.fail('integer representation too long', start);
  }

  /** An unsigned 64-bit LEB128. */
  u64(): bigint {
    this.leb64(false);
    return bigintOf(this.lo, this.hi, false);
  }

  /** A signed 64-bit LEB128. */
  s64(): bigint {
    this.leb64(true);
    return bigintOf(this.lo, this.hi, true);
  }

  /** The bits of an f32, little endian: [0, 2^32). */
  f32bits(): number {
    const at = this.skip(4);
    const b = this.bytes;
    return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
  }

  /** The bits of an f64, little endian. */
  f64bits(): bigint {
    const lo = this.f32bits();
    return bigintOf(lo, this.f32bits(), false);
  }

  /** Steps over `count` bytes and gives the offset of the first. */
  skip(count: number): number {
    const at = this.pos;
    if (count > this.end - at) this.fail('unexpected end', at);
    this.pos = at + count;
    return at;
  }

  /** The next `count` bytes, not copied. */
  take(count: number): Uint8Array {
    const at = this.skip(count);
    return this.bytes.subarray(at, at + count);
  }

  /** A name: its length and well-formed UTF-8. */
  name(): string {
    const length = this.u32();
    const at = this.pos;
    if (length > this.end - at) this.fail('length out of bounds', at);
    this.pos = at + length;
    try {
      return UTF8.decode(this.bytes.subarray(at, at + length));
    } catch {
      return this.fail('malformed UTF-8 encoding', at);
    }
  }

  /**
   * The length of a vector whose items take at least one byte each: no larger than the bytes that are left.
   */
  count(what: string): number {
    const at = this.pos;
    const count = this.u32();
    if (count > this.end - this.pos) this.fail(`${count} ${what} do not fit in what is left`, at);
    return count;
  }
}

/** The 64-bit integer of two halves. */
export function bigintOf(lo: number, hi: number, signed: boolean): bigint {
  SCRATCH.setInt32(0, lo | 0, true);
  SCRATCH.setInt32(4, hi | 0, true);
  return signed ? SCRATCH.getBigInt64(0, true) : SCRATCH.getBigUint64(0, true);
}
