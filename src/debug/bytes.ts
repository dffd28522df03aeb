/**
 * A cursor over a DWARF section. The bytes come with the program, so they are hostile: every read is bounded by `end`,
 * every failure is a `MalformedError` with the offset in the section, and work that is not paid for by bytes read must
 * be taken from a `Budget`.
 */
import { MalformedError } from '../base/errors.ts';

const UTF8 = new TextDecoder();
/** Paths and names are much shorter. */
const TEXT_MAX_BYTES = 4096;

/** A bound on work: what costs more gives up. */
export class Budget {
  #left: number;

  constructor(steps: number) {
    this.#left = steps;
  }
  /** @throws MalformedError where it is used up */
  spend(steps = 1): void {
    this.#left -= steps;
    if (this.#left < 0) throw new MalformedError('debug information that takes too much work', -1);
  }
}

export class Cursor {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  pos: number;
  end: number;

  constructor(bytes: Uint8Array, pos = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.pos = pos;
    this.end = Math.min(end, bytes.length);
  }

  fail(message: string): never {
    throw new MalformedError(message, this.pos);
  }

  /** Steps over `count` bytes; gives where they begin. */
  skip(count: number): number {
    const at = this.pos;
    if (!(count >= 0 && count <= this.end - at)) this.fail('unexpected end');
    this.pos = at + count;
    return at;
  }

  u8(): number {
    if (this.pos >= this.end) this.fail('unexpected end');
    return this.bytes[this.pos++] as number;
  }
  i8(): number {
    return (this.u8() << 24) >> 24;
  }
  u16(): number {
    return this.#view.getUint16(this.skip(2), true);
  }
  u24(): number {
    return this.u16() + 0x10000 * this.u8();
  }
  u32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }
  /** Larger ones than 2^53 lose their low bits; no offset or line is as large. */
  u64(): number {
    return this.u32() + 0x100000000 * this.u32();
  }

  /** An address: 4 bytes, or 8 with 64-bit memory. */
  address(size: number): number {
    if (size === 4) return this.u32();
    return size === 8 ? this.u64() : this.fail(`addresses of ${size} bytes`);
  }

  /** An unsigned LEB128. Like `u64`, exact up to 2^53. */
  uleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    return this.fail('an integer that is too long');
  }
  sleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return byte & 0x40 ? value - scale : value;
    }
    return this.fail('an integer that is too long');
  }

  /** A text that ends with a zero byte. */
  text(): string {
    const rest = this.bytes.subarray(this.pos, this.end);
    const length = rest.indexOf(0);
    if (length < 0) this.fail('a text without an end');
    this.pos += length + 1;
    return UTF8.decode(rest.subarray(0, length));
  }

  /** The length that begins a unit; `end` is set to the unit's end. Gives where the unit ends. */
  unit(): number {
    const length = this.u32();
    if (length >= 0xfffffff0) this.fail('64-bit DWARF, which no module needs');
    if (length > this.end - this.pos) this.fail('a unit that does not fit');
    this.end = this.pos + length;
    return this.end;
  }
}

/** A text in a section of texts, cut where it is very long, since many may name the same; null where there is none. */
export function textAt(section: Uint8Array | undefined, offset: number): string | null {
  if (section === undefined || !(offset < section.length)) return null;
  const rest = section.subarray(offset, offset + TEXT_MAX_BYTES);
  const length = rest.indexOf(0);
  return UTF8.decode(length < 0 ? rest : rest.subarray(0, length));
}
