/**
 * Mutations of rewritten modules for the verifier's fuzzer: mostly of single instructions, cut at their boundaries and
 * in ways that keep types, for those get past V8; some of the evidence; a few of raw bytes.
 *
 * A `Mutable` takes a well-formed module apart once; `mutate` gives a changed copy and says what was changed.
 */
import { EVIDENCE_SECTION } from '../../src/abi/evidence.ts';
import { HINTS_SECTION } from '../../src/abi/hints.ts';
import type { Prng } from '../../src/base/prng.ts';
import { Cursor } from '../../src/verifier/cursor.ts';
import { changed, u, wordsOf } from './changes.ts';
import { type Code, cut, tidy } from './cut.ts';

interface Body {
  /** Local declarations, as they are. */
  head: Uint8Array;
  code: Code;
}

interface Section {
  id: number;
  payload: Uint8Array;
}

export interface Mutant {
  bytes: Uint8Array<ArrayBuffer>;
  what: string;
  /** Number of the body that was changed, -1 where none was; and the numbers of its code as it is now. */
  body: number;
  words: readonly number[];
}

export class Mutable {
  readonly #sections: Section[] = [];
  readonly #bodies: Body[] = [];
  readonly #bytes: Uint8Array;
  /** Bodies that are not fixed templates: only they are worth changing often. */
  readonly #first: number;

  /** `first`: how many of the bodies come before those of the program. */
  constructor(bytes: Uint8Array, first: number) {
    this.#bytes = bytes;
    this.#first = first;
    const c = new Cursor(bytes);
    c.pos = 8;
    while (c.pos < bytes.length) {
      const id = c.u8();
      const start = c.skip(c.u32());
      this.#sections.push({ id, payload: bytes.slice(start, c.pos) });
      if (id === 10) this.#takeBodies(bytes.subarray(start, c.pos));
    }
  }

  #takeBodies(payload: Uint8Array): void {
    const c = new Cursor(payload);
    for (let n = c.u32(); n > 0; n--) {
      const end = c.u32() + c.pos;
      const start = c.pos;
      for (let runs = c.u32(); runs > 0; runs--) {
        c.u32();
        c.u8();
      }
      const head = payload.slice(start, c.pos);
      this.#bodies.push({ head, code: cut(payload, c.pos, end) });
      c.pos = end;
    }
  }

  mutate(prng: Prng): Mutant {
    if (prng.chance(0.02)) return this.#flip(prng);
    if (prng.chance(0.04)) return this.#declared(prng);
    const hints = this.#sections.find((section) => customName(section) === HINTS_SECTION);
    const said: string[] = [];
    const sections = new Map<Section, Uint8Array>();
    const section = this.#sections.find((one) => customName(one) === EVIDENCE_SECTION);
    if (section !== undefined && prng.chance(0.1)) {
      sections.set(section, changedText(section, prng, said));
    }
    if (hints !== undefined && prng.chance(0.15)) sections.set(hints, changedNumbers(hints, prng, said));
    if (said.length > 0 && prng.chance(0.7))
      return {
        ...{ bytes: this.#encode(-1, [], sections), what: said.join('; ') },
        ...{ body: -1, words: this.words },
      };
    const index = prng.chance(0.02)
      ? prng.below(this.#bodies.length)
      : this.#first + prng.below(Math.max(1, this.#bodies.length - this.#first));
    const body = this.#bodies[Math.min(index, this.#bodies.length - 1)]!;
    let code = [...body.code];
    const codes = this.#bodies.map((one) => one.code);
    const rounds = prng.chance(0.3) ? 2 + prng.below(3) : 1;
    for (let i = 0; i < rounds; i++) said.push(changed(code, prng, codes));
    if (prng.chance(0.95)) code = tidy(code);
    return {
      ...{ bytes: this.#encode(index, code, sections), what: `body ${index}: ${said.join('; ')}` },
      ...{ body: index, words: wordsOf([code]) },
    };
  }

  /** Numbers of the program's code. */
  get words(): readonly number[] {
    return wordsOf(this.#bodies.slice(this.#first).map(({ code }) => code));
  }

  /** A number or two in a section other than code: types, imports, globals, exports, elements. */
  #declared(prng: Prng): Mutant {
    const section = prng.pick(
      this.#sections.filter(({ id, payload }) => id > 0 && id !== 10 && payload.length > 1),
    );
    const payload = section.payload.slice();
    const said: string[] = [];
    for (let n = 1 + prng.below(2); n > 0; n--) {
      const at = prng.below(payload.length);
      const before = payload[at]!;
      payload[at] = prng.pick([before + 1, before - 1, prng.pick([...payload]), before ^ 1]) & 0xff;
      said.push(`byte ${at} of section ${section.id}: ${before} to ${payload[at]}`);
    }
    const bytes = this.#encode(-1, [], new Map([[section, payload]]));
    return { bytes, what: said.join('; '), body: -1, words: this.words };
  }

  #flip(prng: Prng): Mutant {
    const bytes = this.#bytes.slice();
    const at = prng.below(bytes.length);
    const before = bytes[at]!;
    bytes[at] = prng.chance(0.5) ? before ^ (1 << prng.below(8)) : prng.below(256);
    return { bytes, what: `byte ${at}: ${before} to ${bytes[at]}`, body: -1, words: this.words };
  }

  #encode(index: number, code: Code, changed: ReadonlyMap<Section, Uint8Array>): Uint8Array<ArrayBuffer> {
    const out: Uint8Array[] = [this.#bytes.subarray(0, 8)];
    for (const section of this.#sections) {
      const { id, payload } = section;
      let body = changed.get(section) ?? payload;
      if (id === 10 && index >= 0)
        body = join([Uint8Array.from(u(this.#bodies.length)), ...this.#entries(index, code)]);
      out.push(Uint8Array.from([id, ...u(body.length)]), body);
    }
    return join(out);
  }

  #entries(index: number, code: Code): Uint8Array[] {
    return this.#bodies.flatMap((body, i) => {
      const entry = join([body.head, ...(i === index ? code : body.code)]);
      return [Uint8Array.from(u(entry.length)), entry];
    });
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The name of a custom section; empty for any other. */
function customName({ id, payload }: Section): string {
  return id === 0 ? new Cursor(payload).name() : '';
}

/** A custom section of text with one number, or one word of the roles, changed. */
function changedText(section: Section, prng: Prng, said: string[]): Uint8Array {
  const name = customName(section).length + 1;
  const before = new TextDecoder().decode(section.payload.subarray(name));
  let after = before;
  if (prng.chance(0.85)) {
    const numbers = [...before.matchAll(/\d+/g)];
    const one = prng.pick(numbers);
    const value = Number(one[0]);
    const other = Number(prng.pick(numbers)[0]);
    const changed = prng.pick([value + 1, value - 1, 0, value * 2, prng.below(64), value + 65536, other, -1]);
    after = before.slice(0, one.index) + changed + before.slice(one.index + one[0].length);
    said.push(`evidence: ${value} to ${changed} at ${one.index}`);
  }
  if (prng.chance(0.25)) {
    const from = prng.pick(['b0', 'l0', 'b1', 'l1', ',', ';', 'true', 'false', '"fill"', '"copy"', '"init"']);
    const to = prng.pick(['l0', 'b0', 'b1', 'l1', ';', ',', 'false', 'true', '"copy"', '"init"', '"frame"']);
    after = after.replace(from, to);
    said.push(`evidence: ${from} to ${to}`);
  }
  return join([section.payload.subarray(0, name), new TextEncoder().encode(after)]);
}

/** A custom section of unsigned LEB128 numbers with some of them changed, moved, left out or twice there. */
function changedNumbers(section: Section, prng: Prng, said: string[]): Uint8Array {
  const c = new Cursor(section.payload);
  const name = customName(section).length + 1;
  c.pos = name;
  const numbers: number[] = [];
  while (c.pos < c.end) numbers.push(c.u32());
  if (numbers.length === 0) numbers.push(0);
  let long = -1;
  for (let n = prng.chance(0.2) ? 2 : 1; n > 0; n--) {
    const at = prng.below(numbers.length);
    const value = numbers[at]!;
    const kind = prng.below(13);
    if (kind === 12) long = at;
    else if (kind === 0) numbers.splice(at, 1);
    else if (kind === 1) numbers.splice(at, 0, prng.pick(numbers));
    else if (kind === 2) numbers.reverse();
    else
      numbers[at] = prng.pick([
        ...[value + 1, Math.max(0, value - 1), value + 8, Math.max(0, value - 8), 0, 1, value * 2],
        ...[value >>> 1, value + 4096, 65536, prng.pick(numbers), prng.below(32)],
      ]);
    said.push(`hints: number ${at}, ${value}: change ${kind}, now ${numbers[at]}`);
    if (numbers.length === 0) break;
  }
  const zeros = prng.pick([1, 4, 8, 20, 160]);
  const bytes = numbers.flatMap((one, i) => (i === long ? padded(u(one), zeros) : u(one)));
  return join([section.payload.subarray(0, name), Uint8Array.from(bytes)]);
}

/** A number in so many more bytes. */
function padded(number: readonly number[], zeros: number): number[] {
  const continued = number.map((byte) => byte | 0x80);
  return [...continued, ...new Array<number>(zeros - 1).fill(0x80), 0];
}
