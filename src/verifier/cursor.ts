/**
 * The verifier's own reader of bytes. It shares nothing with wasm/reader.ts, which the compiler uses, so that one bug
 * in reading cannot fool both. Every read is bounded by `end`; every failure is a `MalformedError` with the offset.
 *
 * 64-bit integers are read as doubles: the verifier only compares them with limits far below 2^53, and everything
 * larger is refused where it matters. Never use this where an exact 64-bit value is needed.
 */
import { MalformedError } from '../base/malformed.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Cursor {
  readonly bytes: Uint8Array;
  pos: number;
  end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.pos = 0;
    this.end = bytes.length;
  }

  fail(message: string, offset = this.pos): never {
    throw new MalformedError(message, offset);
  }

  u8(): number {
    if (this.pos >= this.end) this.fail('unexpected end');
    return this.bytes[this.pos++]!;
  }

  /** Unsigned LEB128, 32 bits. */
  u32(): number {
    const byte = this.pos < this.end ? this.bytes[this.pos]! : 0x80;
    if (byte >= 0x80) return this.#longU32();
    this.pos++;
    return byte;
  }

  #longU32(): number {
    let byte = this.u8();
    let value = byte & 0x7f;
    for (let shift = 7; shift < 35; shift += 7) {
      byte = this.u8();
      if (shift === 28 && byte > 0x0f) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    return this.fail('integer too large', this.pos - 1);
  }

  /** Unsigned LEB128, 64 bits, as the nearest double. */
  u64(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++, scale *= 128) {
      const byte = this.u8();
      if (i === 9 && byte > 1) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return this.fail('integer too large', this.pos - 1);
  }

  /** Signed LEB128 of 32 bits, read as the unsigned number with the same bits. */
  i32(): number {
    return this.#signed(32) >>> 0;
  }

  /** Signed LEB128 of 33 bits: block types and heap types. */
  s33(): number {
    return this.#signed(33);
  }

  /** Signed LEB128 of 64 bits, as a double that is exact below 2^53 and has the right sign always. */
  s64(): number {
    return this.#signed(64);
  }

  #signed(bits: number): number {
    const first = this.pos < this.end ? this.bytes[this.pos]! : 0x80;
    if (first >= 0x80) return this.#longSigned(bits);
    this.pos++;
    return first & 0x40 ? first - 0x80 : first;
  }

  #longSigned(bits: number): number {
    const most = Math.ceil(bits / 7);
    // The number and its complement: one of them is small where the number is, and so exact, in however many bytes it is
    // written. Taking 2^70 from a sum near it would give 0 for -1 in ten bytes.
    let value = 0;
    let complement = 0;
    let scale = 1;
    for (let i = 1; i <= most; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      complement += (~byte & 0x7f) * scale;
      scale *= 128;
      if (byte >= 0x80) continue;
      if (i === most) {
        const spare = byte & (0x7f << (bits - 7 * (most - 1) - 1)) & 0x7f; // sign bit and what must repeat it
        if (spare !== 0 && spare !== ((0x7f << (bits - 7 * (most - 1) - 1)) & 0x7f)) break;
      }
      return byte & 0x40 ? -1 - complement : value;
    }
    return this.fail('integer too large', this.pos - 1);
  }

  /** Steps over `count` bytes; gives the offset of the first. */
  skip(count: number): number {
    const at = this.pos;
    if (count > this.end - at) this.fail('unexpected end');
    this.pos = at + count;
    return at;
  }

  name(): string {
    const length = this.u32();
    const at = this.skip(length);
    try {
      return UTF8.decode(this.bytes.subarray(at, at + length));
    } catch {
      return this.fail('malformed UTF-8', at);
    }
  }

  /** The length of a vector whose items take a byte at least each. */
  count(): number {
    const at = this.pos;
    const count = this.u32();
    if (count > this.end - this.pos) this.fail('vector longer than what is left', at);
    return count;
  }

  /** Steps over a vector of bytes. */
  blob(): void {
    this.skip(this.u32());
  }
}
