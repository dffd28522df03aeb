/**
 * Changes of single instructions of a body for the verifier's fuzzer (`mutate.ts`): cut at their boundaries and mostly in
 * ways that keep types, for those get past V8. An instruction that was changed may be none any more.
 */
import { MalformedError } from '../../src/base/errors.ts';
import { pushSigned, pushUnsigned } from '../../src/base/leb.ts';
import type { Prng } from '../../src/base/prng.ts';
import { Cursor } from '../../src/verifier/cursor.ts';
import type { Code } from './cut.ts';

export const u = (value: number | bigint): number[] => {
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

/** Constants and offsets of some bodies, for arguments that fit them. */
export function wordsOf(bodies: readonly Code[]): readonly number[] {
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

/**
 * Changes a body in place in one way; says what it did.
 * @param bodies where code of others may come from
 */
export function changed(code: Code, prng: Prng, bodies: readonly Code[]): string {
  try {
    return prng.chance(0.3) ? shifted(code, prng) : change(code, prng, bodies);
  } catch (error) {
    if (error instanceof MalformedError) return 'nothing'; // what an earlier change left cannot be read
    throw error;
  }
}

const text = (instruction: Uint8Array): string =>
  [...instruction].map((b) => b.toString(16).padStart(2, '0')).join('');

function change(code: Code, prng: Prng, bodies: readonly Code[]): string {
  if (code.length < 2) return 'nothing';
  // Without the last `end`, which nothing may follow.
  const at = prng.below(code.length - 1);
  const old = code[at]!;
  switch (prng.below(19)) {
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
    case 11: {
      const changed = longer(prng.chance(0.5) ? altered(old, prng, code) : old, prng);
      code[at] = changed;
      return `${text(old)} at ${at} is longer: ${text(changed)}`;
    }
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
    if (prng.chance(0.2)) {
      const negative = s(prng.pick([-value, -1, -4, -8, -64]));
      code[where] = longer(Uint8Array.from([op, ...negative]), prng);
      return `${text(old)} at ${where} is negative: ${text(code[where]!)}`;
    }
    if (!Number.isSafeInteger(value)) return 'nothing';
    code[where] = Uint8Array.from([op, ...s(value + by)]);
  }
  return `${text(old)} at ${where} moved by ${by}`;
}

/** Writes the number that an instruction ends with in more bytes than it needs, sometimes in more than it may have. */
function longer(one: Uint8Array, prng: Prng): Uint8Array {
  const op = one[0]!;
  const isSigned = op === 0x41 || op === 0x42;
  if (one.length < 2 || (op > 0x10 && op < 0x20) || op > 0x42) return one;
  const last = one.at(-1)!;
  const fill = isSigned && (last & 0x40) !== 0 ? 0x7f : 0;
  const most = op === 0x42 || isAccess(op) ? 10 : 5;
  const count = prng.chance(0.9) ? Math.max(0, most - one.length - prng.below(2) + 1) : prng.below(12);
  if (count === 0) return one;
  const bytes = new Array<number>(count - 1).fill(fill | 0x80);
  return Uint8Array.from([...one.subarray(0, -1), last | 0x80, ...bytes, fill]);
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
function foreign(code: Code, prng: Prng, at: number, bodies: readonly Code[]): string {
  const from = prng.pick(bodies);
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
