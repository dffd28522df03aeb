/**
 * Mutations of rewritten modules for the verifier's fuzzer: mostly of single instructions, cut at their boundaries and
 * in ways that keep types, for those get past V8; some of the evidence; a few of raw bytes.
 *
 * A `Mutable` takes a well-formed module apart once; `mutate` gives a changed copy and says what was changed.
 */
import { EVIDENCE_SECTION } from '../../src/abi/evidence.ts';
import { HINTS_SECTION } from '../../src/abi/hints.ts';
import { MalformedError } from '../../src/base/errors.ts';
import { pushSigned, pushUnsigned } from '../../src/base/leb.ts';
import type { Prng } from '../../src/base/prng.ts';
import { Cursor } from '../../src/verifier/cursor.ts';
import { skipInstruction } from '../../src/verifier/opcodes.ts';

type Code = Uint8Array[];

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

const u = (value: number | bigint): number[] => {
  const out: number[] = [];
  pushUnsigned(out, value);
  return out;
};
const s = (value: number | bigint): number[] => {
  const out: number[] = [];
  pushSigned(out, value);
  return out;
};

/** Opcodes that take and give the same types, so that one in place of another passes V8. */
const ALIKE: readonly (readonly number[])[] = [
  [0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a], // i64 comparisons
  [0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88], // i64 arithmetic
  [0xac, 0xad], // extensions
  [0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76], // i32 arithmetic
  [0x28, 0x2c, 0x2d, 0x2e, 0x2f], // i32 loads
  [0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35], // i64 loads
  [0x36, 0x3a, 0x3b], // i32 stores
  [0x37, 0x3c, 0x3d, 0x3e], // i64 stores
  [0x0c, 0x0d],
  [0x02, 0x03, 0x04],
  [0x20, 0x23],
  [0x21, 0x22, 0x24],
];
const isAccess = (op: number): boolean => op >= 0x28 && op <= 0x3e;

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
      const code: Code = [];
      while (c.pos < end) {
        const at = c.pos;
        skipInstruction(c);
        code.push(payload.slice(at, c.pos));
      }
      this.#bodies.push({ head, code });
    }
  }

  mutate(prng: Prng): Mutant {
    if (prng.chance(0.02)) return this.#flip(prng);
    const hints = this.#sections.find((section) => customName(section) === HINTS_SECTION);
    const said: string[] = [];
    const changed = new Map<Section, Uint8Array>();
    if (prng.chance(0.1)) {
      const section = this.#sections.find((one) => customName(one) === EVIDENCE_SECTION)!;
      changed.set(section, changedText(section, prng, said));
    }
    if (hints !== undefined && prng.chance(0.15)) changed.set(hints, changedNumbers(hints, prng, said));
    if (said.length > 0 && prng.chance(0.7))
      return {
        ...{ bytes: this.#encode(-1, [], changed), what: said.join('; ') },
        ...{ body: -1, words: this.words },
      };
    const index = prng.chance(0.02)
      ? prng.below(this.#bodies.length)
      : this.#first + prng.below(Math.max(1, this.#bodies.length - this.#first));
    const body = this.#bodies[Math.min(index, this.#bodies.length - 1)]!;
    const code = [...body.code];
    const rounds = prng.chance(0.3) ? 2 + prng.below(3) : 1;
    for (let i = 0; i < rounds; i++) said.push(this.#change(code, prng));
    return {
      ...{ bytes: this.#encode(index, code, changed), what: `body ${index}: ${said.join('; ')}` },
      ...{ body: index, words: wordsOf([code]) },
    };
  }

  #change(code: Code, prng: Prng): string {
    try {
      return prng.chance(0.3) ? shifted(code, prng) : change(code, prng, this.#bodies);
    } catch (error) {
      if (error instanceof MalformedError) return 'nothing'; // what an earlier change left cannot be read
      throw error;
    }
  }

  /** Numbers of the program's code. */
  get words(): readonly number[] {
    return wordsOf(this.#bodies.slice(this.#first).map(({ code }) => code));
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

/** Constants and offsets of some bodies, for arguments that fit them. */
function wordsOf(bodies: readonly Code[]): readonly number[] {
  const found = new Set<number>();
  for (const instruction of bodies.flat()) {
    const op = instruction[0]!;
    if ((op !== 0x41 && op !== 0x42 && !isAccess(op)) || instruction.length < 2) continue;
    const c = new Cursor(instruction);
    c.pos = 1;
    try {
      if (isAccess(op)) {
        c.u32();
        const offset = c.u64();
        found.add(offset).add(offset - 65536);
      } else found.add(op === 0x41 ? c.i32() : c.s64());
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error; // what a change left of an instruction
    }
  }
  return [...found].filter((word) => word > 0 && word < 2 ** 33);
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
  for (let n = prng.chance(0.2) ? 2 : 1; n > 0; n--) {
    const at = prng.below(numbers.length);
    const value = numbers[at]!;
    const kind = prng.below(12);
    if (kind === 0) numbers.splice(at, 1);
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
  return join([section.payload.subarray(0, name), Uint8Array.from(numbers.flatMap((one) => u(one)))]);
}

const text = (instruction: Uint8Array): string =>
  [...instruction].map((b) => b.toString(16).padStart(2, '0')).join('');

/** Changes a body in place in one way; says what it did. */
function change(code: Code, prng: Prng, bodies: readonly Body[]): string {
  if (code.length < 2) return 'nothing';
  // Without the last `end`, which nothing may follow.
  const at = prng.below(code.length - 1);
  const old = code[at]!;
  switch (prng.below(18)) {
    case 0:
      code.splice(at, 1);
      return `without ${text(old)} at ${at}`;
    case 1: {
      const count = 1 + prng.below(6);
      const gone = code.splice(at, Math.min(count, code.length - 1 - at));
      return `without ${gone.length} at ${at}`;
    }
    case 2:
      code.splice(at, 0, old);
      return `${text(old)} twice at ${at}`;
    case 3: {
      const to = prng.below(code.length - 1);
      code.splice(at, 1);
      code.splice(to, 0, old);
      return `${text(old)} moved from ${at} to ${to}`;
    }
    case 4: {
      const count = 1 + prng.below(12);
      const to = prng.below(code.length);
      code.splice(to, 0, ...code.slice(at, Math.min(at + count, code.length - 1)));
      return `${count} from ${at} again at ${to}`;
    }
    case 5:
      return unchecked(code, prng, at);
    case 6:
      return foreign(code, prng, at, bodies);
    case 7:
      return wrapped(code, prng, at);
    case 8:
      return extended(code, prng, at);
    case 9: {
      const count = 1 + prng.below(12);
      const gone = code.splice(at, Math.min(count, code.length - 1 - at));
      const to = prng.below(code.length);
      code.splice(to, 0, ...gone);
      return `${gone.length} moved from ${at} to ${to}`;
    }
    case 10:
      return renamed(code, prng, at);
    default: {
      const changed = altered(old, prng, code);
      code[at] = changed;
      return `${text(old)} at ${at} became ${text(changed)}`;
    }
  }
}

/** Moves one access, or one constant (what a check adds, how far a pointer steps), by a little. */
function shifted(code: Code, prng: Prng): string {
  // Other changes may have left an opcode alone.
  const isWhole = (one: Uint8Array): boolean =>
    isAccess(one[0]!) ? one.length > 2 : (one[0] === 0x41 || one[0] === 0x42) && one.length > 1;
  const at = code.flatMap((one, i) => (isWhole(one) ? [i] : []));
  if (at.length === 0) return 'nothing';
  const where = prng.pick(at);
  const old = code[where]!;
  const by = prng.pick([1, 1, 1, -1, -1, -1, 2, 4, 8, -8]);
  const c = new Cursor(old);
  const op = c.u8();
  if (isAccess(op)) {
    const align = c.u32();
    const next = BigInt(c.u64()) + BigInt(by);
    code[where] = Uint8Array.from([op, align, ...u(next < 0n ? 0n : next)]);
  } else {
    const value = op === 0x41 ? c.i32() | 0 : c.s64();
    if (!Number.isSafeInteger(value)) return 'nothing';
    code[where] = Uint8Array.from([op, ...s(value + by)]);
  }
  return `${text(old)} at ${where} moved by ${by}`;
}

/** Takes one local for another over some instructions. */
function renamed(code: Code, prng: Prng, at: number): string {
  const isLocal = (one: Uint8Array): boolean => one[0]! >= 0x20 && one[0]! <= 0x22 && one.length === 2;
  const used = code.filter(isLocal).map((one) => one[1]!);
  if (used.length === 0) return 'nothing';
  const [from, to] = [prng.pick(used), prng.pick(used)];
  const end = Math.min(code.length, at + 1 + prng.below(60));
  for (let i = at; i < end; i++) {
    const one = code[i]!;
    if (isLocal(one) && one[1] === from) code[i] = Uint8Array.from([one[0]!, to]);
  }
  return `local ${from} is ${to} in [${at}, ${end})`;
}

/** Puts code of another body in. */
function foreign(code: Code, prng: Prng, at: number, bodies: readonly Body[]): string {
  const from = prng.pick(bodies).code;
  const start = prng.below(from.length);
  const piece = from.slice(start, Math.min(start + 1 + prng.below(20), from.length - 1));
  code.splice(at, 0, ...piece);
  return `${piece.length} of another body at ${at}`;
}

/** Puts a construct around some instructions. */
function wrapped(code: Code, prng: Prng, at: number): string {
  const opening = prng.pick([
    [0x02, 0x40],
    [0x03, 0x40],
    [0x41, 1, 0x04, 0x40],
    [0x41, 0, 0x04, 0x40],
  ]);
  const count = 1 + prng.below(12);
  code.splice(Math.min(at + count, code.length - 1), 0, Uint8Array.from([0x0b]));
  code.splice(at, 0, Uint8Array.from(opening));
  return `${count} at ${at} within ${text(Uint8Array.from(opening))}`;
}

/** Puts an instruction in that changes where control goes, or calls the system. */
function extended(code: Code, prng: Prng, at: number): string {
  const extra = Uint8Array.from(
    prng.pick([
      [0x0c, prng.below(4)],
      [0x41, prng.below(2), 0x0d, prng.below(4)],
      [0x10, prng.below(8)],
      [0x41, 0, 0x42, 1, 0x10, 0, 0x1a], // grow
      [0x00],
      [0x0f],
      [0x01],
      [0x10, 2],
    ]),
  );
  code.splice(at, 0, extra);
  return `${text(extra)} at ${at}`;
}

/** Takes a whole check away, or what makes it one. */
function unchecked(code: Code, prng: Prng, from: number): string {
  for (let n = 0; n < code.length; n++) {
    const at = (from + n) % code.length;
    if (code[at]![0] !== 0x04 || code[at + 1]?.[0] !== 0x00 || code[at + 2]?.[0] !== 0x0b) continue;
    switch (prng.below(3)) {
      case 0:
        code.splice(at + 1, 1, Uint8Array.from([0x01]));
        return `check at ${at} does not trap`;
      case 1:
        code.splice(at, 3, Uint8Array.from([0x1a]));
        return `check at ${at} dropped`;
      default:
        code.splice(at, 0, Uint8Array.from([0x45]));
        return `check at ${at} turned round`;
    }
  }
  return 'nothing';
}

/** The instruction with another immediate, or another of its kind. */
function altered(old: Uint8Array, prng: Prng, code: Code): Uint8Array {
  const op = old[0]!;
  const alike = ALIKE.find((list) => list.includes(op));
  if (alike && prng.chance(0.3)) return Uint8Array.from([prng.pick(alike), ...old.subarray(1)]);
  if (old.length === 1) return Uint8Array.from([alike ? prng.pick(alike) : prng.below(0xc5)]);
  const c = new Cursor(old);
  c.pos = 1;
  if (isAccess(op)) {
    const align = c.u32();
    const offset = BigInt(c.u64());
    const others: bigint[] = [
      ...[offset + 1n, offset - 1n, offset + 8n, offset + 4096n, offset - 4096n, offset + 65536n],
      ...[
        offset - 65536n,
        0n,
        8n,
        64n,
        4096n,
        65535n,
        65536n,
        0x100000n,
        1n << 31n,
        1n << 32n,
        (1n << 64n) - 8n,
      ],
      ...[offset * 2n, offset + (1n << 32n), BigInt(prng.u32())],
    ];
    const next = prng.pick(others);
    return Uint8Array.from([op, align, ...u(next < 0n ? 0n : next)]);
  }
  if (op === 0x42) {
    const value = c.s64();
    if (!Number.isSafeInteger(value)) return old;
    const next = prng.pick([
      ...[value + 1, value - 1, value + 8, value - 8, -value, 0, 1, 12, value * 2, value + 2 ** 32],
      ...[value - 2 ** 32, 2 ** 40, 2 ** 41, 65536, value >> 1],
    ]);
    return Uint8Array.from([op, ...s(next)]);
  }
  if (op === 0x41)
    return Uint8Array.from([op, ...s(prng.pick([0, 1, -1, c.i32() | 0, 65536, prng.u32() | 0]))]);
  if ((op >= 0x20 && op <= 0x24) || op === 0x10 || op === 0x0c || op === 0x0d) {
    const index = c.u32();
    // Most often an index that the same body uses in the same way: it is likely to have the right type.
    const used = code.filter((other) => other[0] === op && other.length === 2).map((other) => other[1]!);
    const near = prng.pick([index + 1, Math.max(0, index - 1), index + 2, prng.below(32)]);
    return Uint8Array.from([op, ...u(used.length > 0 && prng.chance(0.6) ? prng.pick(used) : near)]);
  }
  const copy = old.slice();
  const at = 1 + prng.below(old.length - 1);
  copy[at] = prng.chance(0.5) ? copy[at]! ^ (1 << prng.below(7)) : prng.below(128);
  return copy;
}
