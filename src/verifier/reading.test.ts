import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assemble } from '../../tools/fuzzing/assembly.ts';
import type { Evidence } from '../abi/evidence.ts';
import { MalformedError, RefusedError } from '../base/errors.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { Cursor } from './cursor.ts';
import { decode } from './decode.ts';
import { FunctionPass, type Surroundings } from './pass.ts';

// The verifier must see the very instructions that V8 runs: where it took one byte more or less for an immediate, all
// behind it could be other code than it looked at. And it must see the very numbers.

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

/** A number as LEB128, in more bytes than it needs. */
function long(value: bigint, isSigned: boolean, more: number): number[] {
  const out: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    const byte = Number(rest & 127n);
    const isLast = isSigned ? rest >> 6n === (byte & 0x40 ? -1n : 0n) : rest >> 7n === 0n;
    if (isLast && out.length >= more) return [...out, byte];
    out.push(byte | 0x80);
  }
}

test(`numbers are the same in however many bytes they are written (PERDURE_SEED=${seed})`, () => {
  const prng = new Prng(seed);
  const read = (bytes: number[], how: (c: Cursor) => number): number => {
    const c = new Cursor(Uint8Array.from(bytes));
    const value = how(c);
    assert.equal(c.pos, bytes.length);
    return value;
  };
  for (let i = 0; i < 20_000; i++) {
    const bits = BigInt(prng.below(54));
    const size = ((BigInt(prng.u32()) << 32n) | BigInt(prng.u32())) & ((1n << bits) - 1n);
    const value = prng.chance(0.5) ? size : -size;
    const s64 = read(long(value, true, prng.below(10)), (c) => c.s64());
    assert.equal(s64, Number(value), `${value} as a signed number`);
    assert.equal(
      read(long(size, false, prng.below(10)), (c) => c.u64()),
      Number(size),
    );
    const word = BigInt.asIntN(32, value);
    const i32 = read(long(word, true, prng.below(5)), (c) => c.i32());
    assert.equal(i32, Number(BigInt.asUintN(32, word)), `${word} as an i32`);
    const u32 = BigInt.asUintN(32, size);
    assert.equal(
      read(long(u32, false, prng.below(5)), (c) => c.u32()),
      Number(u32),
    );
  }
});

test('numbers of too many bytes, or with bits that do not count, are refused', () => {
  const ways: readonly (readonly [bits: bigint, isSigned: boolean, how: (c: Cursor) => number])[] = [
    [32n, false, (c) => c.u32()],
    [64n, false, (c) => c.u64()],
    [32n, true, (c) => c.i32()],
    [33n, true, (c) => c.s33()],
    [64n, true, (c) => c.s64()],
  ];
  for (const [bits, isSigned, how] of ways) {
    const refused = (bytes: number[]): void =>
      assert.throws(() => how(new Cursor(Uint8Array.from(bytes))), MalformedError);
    const most = Math.ceil(Number(bits) / 7);
    refused(long(0n, isSigned, most));
    refused(long(isSigned ? -1n : 1n, isSigned, most));
    refused(long(1n << (isSigned ? bits - 1n : bits), isSigned, 0));
    if (isSigned) refused(long(-(1n << (bits - 1n)) - 1n, isSigned, 0));
    refused(new Array<number>(200).fill(0x80));
  }
});

// --- instructions

/** How many there are of everything that an instruction may name. */
const MANY = 12;
const section = (id: number, body: number[]): number[] => [
  id,
  (body.length & 0x7f) | 0x80,
  body.length >> 7,
  ...body,
];
const many = (item: readonly number[]): number[] => [
  MANY,
  ...new Array<readonly number[]>(MANY).fill(item).flat(),
];

/** True when V8 takes this code in a function without parameters and results. It cannot be reached, so it may pop anything. */
function valid(code: readonly number[]): boolean {
  const body = [1, MANY, 0x7e, 0x00, ...code, 0x0b];
  return WebAssembly.validate(
    Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(1, many([0x60, 0, 0])),
      ...section(3, many([0])),
      ...section(4, many([0x70, 0, 1])),
      ...section(5, [1, 7, 1, 1]), // a shared memory with 64-bit addresses
      ...section(13, many([0, 0])),
      ...section(6, many([0x7e, 1, 0x42, 0, 0x0b])),
      ...section(9, many([1, 0, 1, 0])),
      ...section(12, [MANY]),
      ...section(10, [
        ...[MANY, ...new Array<number[]>(MANY - 1).fill([2, 0, 0x0b]).flat()],
        ...[(body.length & 0x7f) | 0x80, body.length >> 7, ...body],
      ]),
      ...section(11, many([1, 0])),
    ]),
  );
}

const IF = 0x04;
const ELSE = 0x05;
const OPENING = [0x02, 0x03, IF, 0x1f];
const RETURN = 0x0f;
const END = 0x0b;
const DROP = 0x1a;

/** A vector and its drop: whatever took its first bytes for immediates would leave an `else` without an `if`. */
const PROBE = [0xfd, 0x0c, ...new Array<number>(16).fill(0x05), DROP];

/**
 * Whether V8 takes the first `length` of these bytes for one instruction: with them the function goes on well, its result
 * dropped where it has one. Blocks go on with a return: no index here is as high.
 */
function isLength(bytes: readonly number[], length: number): boolean {
  const [op] = bytes;
  const code = bytes.slice(0, length);
  if (op === IF) code.push(RETURN, ELSE, RETURN, END);
  else if (OPENING.includes(op!)) code.push(RETURN, END);
  else code.push(...PROBE);
  return valid(code) || valid([...code, DROP]);
}

// As the verifier sees that function: with globals of the system behind the others, and their base as every operand, so that
// accesses at what these allow are taken.
const none = { start: 0, count: 0 };
const SURROUNDINGS: Surroundings = {
  types: new Array(MANY).fill({ params: 0, results: 0, signature: '>' }),
  functions: new Array<number>(MANY).fill(0),
  windows: new Map(),
  evidence: {
    ...{ memories: [], controlBytes: 65536, hdrGlobal: MANY, systemGlobals: { start: MANY, count: 1 } },
    ...{ imports: none, prelude: none, init: -1, restore: -1, programTables: MANY, refsTable: -1 },
  } as unknown as Evidence,
};
const HEAD = [1, MANY, 0x7e];
const OPERANDS = new Array<number[]>(MANY).fill([0x23, MANY]);

/** How many of these bytes the verifier takes for the first instruction, or -1 where it refuses that. */
function lengthToVerifier(code: readonly number[]): number {
  const bytes = Uint8Array.from([...HEAD, ...OPERANDS.flat(), ...code]);
  const c = new Cursor(bytes);
  const pass = new FunctionPass(c, SURROUNDINGS);
  pass.begin(0, { index: 0, limits: [], loops: [] }, 0, bytes.length);
  for (const _ of OPERANDS) pass.step();
  const start = c.pos;
  try {
    pass.step();
    return c.pos - start;
  } catch (error) {
    assert.ok(error instanceof MalformedError, String(error));
    // Behind the instruction: it never goes on to the next.
    const isRead =
      !(error instanceof RefusedError) && error.message.startsWith('code that cannot be reached');
    return isRead ? error.offset - start : -1;
  }
}

/** Bytes that mean something where a type, an index, a count or an alignment may stand. */
function immediates(prng: Prng): number[] {
  const types = [0x40, 0x63, 0x64, 0x7f, 0x7e, 0x7d, 0x7b, 0x70, 0x6f, 0x6e, 0x69, 0x74, 0x78, 0x65, 0x62];
  const bytes = Array.from({ length: 24 }, () => {
    if (prng.chance(0.25)) return prng.pick(types);
    if (prng.chance(0.15)) return prng.pick([0x80, 0x81, 0xff, 0x8b]);
    return prng.chance(0.6) ? prng.below(4) : prng.below(prng.pick([12, 64, 256]));
  });
  if (prng.chance(0.5)) return bytes;
  // An alignment, and an offset where accesses are allowed.
  const alignment = long(BigInt(prng.below(5)), false, prng.below(3));
  const offset = long(BigInt(4096 + prng.below(60_000)), false, prng.below(9));
  return [...alignment, ...offset, ...bytes];
}

test(`instructions end where V8 says that they end (PERDURE_SEED=${seed})`, () => {
  const prng = new Prng(seed);
  const checked = new Set<string>();
  const check = (opcode: readonly number[], tries: number): void => {
    for (let n = 0; n < tries; n++) {
      const bytes = [...opcode, ...immediates(prng)];
      const length = lengthToVerifier(bytes);
      if (length < 0) continue;
      if (isLength(bytes, length)) checked.add(opcode.join());
      else
        for (let other = 1; other <= length + 4; other++)
          assert.ok(
            !isLength(bytes, other),
            `${length}, to V8 ${other}: 0x${bytes.map((b) => b.toString(16))}`,
          );
    }
  };
  for (let op = 0; op < 256; op++) {
    // Prefixes come below; `else` and `end` have nothing behind them.
    if (op === ELSE || op === END || (op >= 0xfb && op <= 0xfe)) continue;
    check([op], OPENING.includes(op) || op >= 0xc5 || op === 0x1c || op === 0xd0 ? 200 : 8);
  }
  for (const [prefix, count] of [
    [0xfb, 32],
    [0xfc, 32],
    [0xfd, 300],
    [0xfe, 96],
  ] as const) {
    for (let code = 0; code < count; code++) check([prefix, ...long(BigInt(code), false, prng.below(3))], 6);
  }
  // Most of what the verifier knows: random alignments and lanes are not always ones that V8 takes.
  assert.ok(checked.size > 400, `${checked.size} instructions were compared`);
});

// --- modules

const KINDS = ['function', 'table', 'memory', 'global', 'tag'];
/** Sections of imports, tables, globals and exports. */
const NAMING = [2, 4, 6, 7];

test(`imports and exports are those that V8 sees (PERDURE_SEED=${seed})`, () => {
  const prng = new Prng(seed);
  const bytes = assemble({
    memories: [{ is64: false, min: 1, max: -1 }],
    imports: [{ params: [], results: [] }],
    quick: [{ params: [], results: [], code: [] }],
    ...{ globals: 2, refs: true },
  });
  const places: number[] = [];
  const c = new Cursor(bytes);
  for (c.pos = 8; c.pos < bytes.length; ) {
    const id = c.u8();
    const size = c.u32();
    if (NAMING.includes(id)) for (let i = 0; i < size; i++) places.push(c.pos + i);
    c.skip(size);
  }
  let compared = 0;
  for (let n = 0; n < 3000; n++) {
    const changed = bytes.slice();
    for (let k = prng.below(3); k >= 0; k--) {
      const at = prng.pick(places);
      changed[at] = prng.pick([changed[at]! + 1, changed[at]! - 1, changed[at]! ^ 0x80, prng.below(256)]);
    }
    let seen: ReturnType<typeof decode>;
    try {
      seen = decode(changed);
    } catch (error) {
      assert.ok(error instanceof MalformedError, String(error));
      continue;
    }
    if (!WebAssembly.validate(changed)) continue;
    const module = new WebAssembly.Module(changed);
    compared++;
    assert.deepEqual(
      seen.imports.map(({ module: from, name, kind }) => ({ module: from, name, kind: KINDS[kind] })),
      WebAssembly.Module.imports(module).map(({ module: from, name, kind }) => ({
        module: from,
        name,
        kind,
      })),
    );
    assert.deepEqual(
      seen.exports.map(({ name, kind }) => ({ name, kind: KINDS[kind] })),
      WebAssembly.Module.exports(module).map(({ name, kind }) => ({ name, kind })),
    );
  }
  assert.ok(compared > 100, `${compared} modules were compared`);
});
