/**
 * Plain data as bytes and back: null, booleans, numbers, bigints, strings, byte arrays, Int32Arrays, arrays and objects.
 * For the image of a domain in an archive. Decoding believes nothing: every length is checked against what is there,
 * nesting is bounded, and names of properties cannot reach a prototype. Meaning is checked by who uses it.
 *
 * Encoding: a tag byte, then for n null, t true, f false nothing; d a float64; g, G a bigint of at least and below zero
 * as u32 length and its magnitude, low byte first; s, b, i u32 length and the bytes of a string, byte array, Int32Array;
 * a, o u32 count and the elements, or pairs of name (as s without its tag) and value. Numbers little-endian.
 */
import { MalformedError } from '../base/errors.ts';

const MAX_DEPTH = 32;
const TAG = Object.fromEntries([...'ntfdgGsbiao'].map((letter) => [letter, letter.charCodeAt(0)]));

/** The pieces of the encoding, in order; large byte arrays are passed through uncopied. */
export function* encodePlain(value: unknown, depth = 0): Generator<Uint8Array> {
  if (depth > MAX_DEPTH) throw new TypeError('plain data is nested too deeply');
  if (value === null || value === undefined) yield Uint8Array.of(TAG.n!);
  else if (typeof value === 'boolean') yield Uint8Array.of(value ? TAG.t! : TAG.f!);
  else if (typeof value === 'number') yield float(value);
  else if (typeof value === 'bigint') yield* bigint(value);
  else if (typeof value === 'string') yield* sized(TAG.s!, new TextEncoder().encode(value));
  else if (value instanceof Uint8Array) yield* sized(TAG.b!, value);
  else if (value instanceof Int32Array) {
    yield* sized(TAG.i!, new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  } else if (Array.isArray(value)) {
    yield head(TAG.a!, value.length);
    for (const item of value) yield* encodePlain(item, depth + 1);
  } else if (typeof value === 'object') {
    const entries = Object.entries(value);
    yield head(TAG.o!, entries.length);
    for (const [name, item] of entries) {
      yield* sized(-1, new TextEncoder().encode(name));
      yield* encodePlain(item, depth + 1);
    }
  } else throw new TypeError(`a ${typeof value} is not plain data`);
}

function head(tag: number, count: number): Uint8Array {
  const bytes = new Uint8Array(tag < 0 ? 4 : 5);
  if (tag >= 0) bytes[0] = tag;
  new DataView(bytes.buffer).setUint32(tag < 0 ? 0 : 1, count, true);
  return bytes;
}

function* sized(tag: number, bytes: Uint8Array): Generator<Uint8Array> {
  yield head(tag, bytes.length);
  yield bytes;
}

function float(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = TAG.d!;
  new DataView(bytes.buffer).setFloat64(1, value, true);
  return bytes;
}

function bigint(value: bigint): Generator<Uint8Array> {
  const magnitude: number[] = [];
  for (let rest = value < 0n ? -value : value; rest > 0n; rest >>= 8n) magnitude.push(Number(rest & 0xffn));
  return sized(value < 0n ? TAG.G! : TAG.g!, Uint8Array.from(magnitude));
}

/** @throws MalformedError with the offset, for anything `encodePlain` does not make */
export function decodePlain(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new MalformedError('plain data goes on after its end', reader.at);
  return value;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): unknown {
    const at = this.at;
    const tag = this.#take(1)[0]!;
    if (depth > MAX_DEPTH) throw new MalformedError('plain data is nested too deeply', at);
    switch (String.fromCharCode(tag)) {
      case 'n':
        return null;
      case 't':
        return true;
      case 'f':
        return false;
      case 'd':
        this.#take(8);
        return this.#view.getFloat64(at + 1, true);
      case 'g':
        return this.#magnitude();
      case 'G':
        return -this.#magnitude();
      case 's':
        return this.#text();
      case 'b':
        return this.#take(this.#count(1)).slice();
      case 'i': {
        const raw = this.#take(this.#count(1)).slice();
        if (raw.length % 4 !== 0) throw new MalformedError('an array of integers is cut short', at);
        return new Int32Array(raw.buffer);
      }
      case 'a':
        return Array.from({ length: this.#count(1) }, () => this.value(depth + 1));
      case 'o':
        return this.#object(depth);
      default:
        throw new MalformedError(`plain data has no tag ${tag}`, at);
    }
  }

  #object(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (let left = this.#count(5); left > 0; left--) {
      const at = this.at;
      const name = this.#text();
      if (name === '__proto__' || Object.hasOwn(object, name)) {
        throw new MalformedError('an object has a name twice, or one it cannot have', at);
      }
      object[name] = this.value(depth + 1);
    }
    return object;
  }

  #magnitude(): bigint {
    const bytes = this.#take(this.#count(1));
    if (bytes.length > 64) throw new MalformedError('an integer is too long', this.at);
    return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  }

  #text(): string {
    const at = this.at;
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(this.#take(this.#count(1)));
    } catch (error) {
      if (error instanceof MalformedError) throw error;
      throw new MalformedError('a text is not UTF-8', at);
    }
  }

  /** A count of things that take at least `least` bytes each, so that it cannot promise more than there is. */
  #count(least: number): number {
    const at = this.at;
    this.#take(4);
    const count = this.#view.getUint32(at, true);
    if (count * least > this.#bytes.length - this.at) throw new MalformedError('plain data is cut short', at);
    return count;
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.at) throw new MalformedError('plain data is cut short', this.at);
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }
}
