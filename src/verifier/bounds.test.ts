import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ADD,
  access,
  BLOCK,
  br,
  brIf,
  DROP,
  ELSE,
  END,
  EXTEND_U,
  GT_U,
  get,
  global,
  H,
  IF,
  i32,
  i64,
  LOAD,
  LOOP,
  SHR_U,
  STORE8,
  set,
} from '../../tools/fuzzing/assembly.ts';
import { MARKS_ADDRESS, STATE_OFFSET } from '../abi/layout.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import {
  accepts,
  B,
  B1,
  E,
  exceeds,
  HDR,
  L,
  load,
  pointer,
  Q,
  refuses,
  reload,
  trap,
  X,
  Y,
} from './attacks.testing.ts';
import { mostOf } from './bounds.ts';
import { gives, most, PLAIN, PREFIXED, takes, touches } from './opcodes.ts';
import { BASES, NONE, STEPPED, HDR as SYSTEM_HDR, Values } from './values.ts';

const AND = 0x71;
const MUL = 0x6c;
const SHL = 0x74;
const I32_SHR_U = 0x76;
const REM_U = 0x70;
const I32_ADD = 0x6a;

/** Memories here have 64 KiB at least: an access of 8 bytes at a value of at most `most` ends in it when this fits. */
const LAST = 65536 - 8;
/** A load of 8 bytes, `extra` behind the near address that this i32 is. */
const at = (value: number[], extra = 0): number[] => [
  ...[...reload, ...value, EXTEND_U, ...set(E!), ...pointer(), ...load(extra)],
];
/** The value is known to be at most `bound` and not known to be less. */
function bounded(value: number[], bound: number): void {
  accepts(at(value, LAST - bound));
  refuses(/covers|no check covers/, at(value, LAST - bound + 1));
}

test('what a memory has at least needs no check where the address is bounded', () => {
  bounded([...get(X!), ...i32(0xff), AND], 0xff);
  bounded([...get(X!), ...i32(LAST), AND], LAST);
  refuses(/covers 7 bytes/, at([...get(X!), ...i32(LAST + 1), AND]));
  refuses(/no check covers/, at([...get(X!), ...i32(65537), AND]));
  refuses(/no check covers/, at(get(X!)));
  const near = [...get(X!), ...i32(0xff), AND, EXTEND_U, ...set(E!)];
  const low = [...reload, ...near, ...global(HDR), ...get(E!), ADD];
  refuses(/control area/, [...low, ...load(H - 1)]);
  refuses(/control area|no check/, [...low, ...load(STATE_OFFSET)]);
  accepts([...reload, ...near, ...pointer(B1, E), ...load(LAST - 0xff)]);
  refuses(/covers/, [...reload, ...near, ...pointer(B1, E), ...load(LAST - 0xff + 1)]);
  accepts([...reload, ...near, ...pointer(), ...i64(1), ADD, ...load(LAST - 0x100)]);
  refuses(/covers/, [...reload, ...near, ...pointer(), ...i64(1), ADD, ...load(LAST - 0xff)]);
});

test('a constant address in what a memory has at least needs no check', () => {
  const constant = (c: number): number[] => [...reload, ...get(B!), ...i64(c), ADD, ...load(0)];
  accepts(constant(0));
  accepts(constant(LAST));
  refuses(/covers 65536 bytes, the access reaches 65537/, constant(LAST + 1));
  accepts([...reload, ...get(B1!), ...load(LAST)]);
  refuses(/covers 65536 bytes/, [...reload, ...get(B1!), ...load(LAST + 1)]);
});

test('marks of pages that a memory has at least', () => {
  const mark = (mask: number, page: number): number[] => [
    ...[...reload, ...get(X!), ...i32(mask), AND, EXTEND_U, ...set(E!), ...pointer()],
    ...[...i64(12), SHR_U, ...i32(1), ...access(STORE8, MARKS_ADDRESS + page)],
  ];
  accepts(mark(0xff, 15));
  refuses(/outside the memory/, mark(0xff, 16));
  accepts(mark(0xfff, 15));
  refuses(/outside the memory/, mark(0x1000, 15));
});

test('each instruction bounds its result as it should, and no tighter', () => {
  const byte = [...get(X!), ...i32(0xff), AND];
  bounded([...byte, ...byte, I32_ADD], 0x1fe);
  bounded([...byte, ...i32(3), SHL], 0xff * 8);
  bounded([...byte, ...i32(35), SHL], 0xff * 8);
  bounded([...byte, ...i32(100), MUL], 25500);
  bounded([...get(X!), ...i32(20), I32_SHR_U], 4095);
  bounded([...get(X!), ...i32(52), I32_SHR_U], 4095);
  bounded([...get(X!), ...i32(1000), REM_U], 999);
  bounded([...byte, ...i32(1000), REM_U], 0xff);
  bounded([...get(X!), ...i32(5), 0x4c], 1); // le_s
  bounded([...get(X!), 0x45], 1);
  bounded([...byte, ...byte, ...byte, I32_ADD, ...i32(4), SHL, I32_ADD], 0xff + 0x1fe * 16);
  const loaded = (code: number): number[] => [...get(B!), ...access(code, 0)];
  bounded(loaded(0x2d), 255);
  bounded([...loaded(0x2f), ...i32(1), I32_SHR_U], 32767);
});

test('what may have wrapped, and what is signed, has no bound', () => {
  const none = (value: number[]): void => refuses(/no check covers/, at(value));
  const byte = [...get(X!), ...i32(0xff), AND];
  none([...byte, ...i32(-1), I32_ADD]);
  none([...byte, ...i32(1), 0x6b]); // sub
  none([...byte, ...i32(25), SHL]);
  none([...i32(1), ...byte, SHL]);
  none([...byte, ...i32(0x7fffffff), MUL]);
  none([...get(X!), ...byte, I32_SHR_U]);
  none([...get(X!), ...i32(20), 0x75]); // shr_s
  none([...get(X!), ...i32(1000), 0x6f]); // rem_s
  none([...byte, ...get(X!), 0x72]); // or
  none([...get(B!), ...access(0x2c, 0)]); // load8_s
  none([...get(B!), ...access(0x2e, 0)]); // load16_s
  none([...get(B!), ...access(LOAD, 0)]);
  none([...byte, ...get(X!), ...get(Q!), 0x1b]); // select
  // Sign extension of a bounded value is not its extension.
  refuses(/no check covers|no base|not a base/, [
    ...reload,
    ...byte,
    0xac,
    ...set(E!),
    ...pointer(),
    ...load(0),
  ]);
});

test('a comparison with a constant that is known to be false bounds a value', () => {
  const under = (condition: number[], end = trap): number[] =>
    at([...condition, ...end, ...get(X!)], LAST - 100);
  accepts(under([...get(X!), ...i32(100), 0x4b])); // gt_u
  refuses(/covers/, under([...get(X!), ...i32(101), 0x4b]));
  accepts(under([...get(X!), ...i32(101), 0x4f])); // ge_u
  refuses(/covers/, under([...get(X!), ...i32(102), 0x4f]));
  accepts(under([...i32(100), ...get(X!), 0x49])); // lt_u
  refuses(/covers/, under([...i32(101), ...get(X!), 0x49]));
  accepts(under([...i32(101), ...get(X!), 0x4d])); // le_u
  refuses(/covers/, under([...i32(102), ...get(X!), 0x4d]));
  for (const op of [0x46, 0x47, 0x48, 0x4a, 0x4c, 0x4e, 0x49, 0x4d])
    refuses(/no check covers/, under([...get(X!), ...i32(100), op]));
  for (const op of [0x4b, 0x4f]) refuses(/no check covers/, under([...i32(100), ...get(X!), op]));
  refuses(/no check covers/, under([...get(X!), ...i32(0), 0x4f])); // never false
  refuses(/no check covers/, under([...get(X!), ...i32(100), 0x4b, 0x45]));
  refuses(/no check covers/, under([...get(X!), ...i32(-1), 0x4b]));
  refuses(/no check covers/, under([...get(X!), ...i32(100), 0x4b], [...IF, END]));
  refuses(/no check covers/, under([...get(Q!), ...i32(100), 0x4b]));
});

test('what was learnt of a value holds where it was learnt, and not behind', () => {
  const small = [...get(X!), ...i32(100), 0x4b];
  const use = [...pointer(), ...load(LAST - 100)];
  const before = [...reload, ...get(X!), EXTEND_U, ...set(E!)]; // extended before anything is known
  accepts([...before, ...small, ...trap, ...use]);
  accepts([...before, ...BLOCK, ...small, ...brIf(0), ...use, END]);
  refuses(/no check covers/, [...before, ...BLOCK, ...small, ...brIf(0), END, ...use]);
  accepts([...before, ...small, ...IF, ELSE, ...use, END]);
  refuses(/no check covers/, [...before, ...small, ...IF, ...use, END]);
  refuses(/no check covers/, [...before, ...get(Q!), ...IF, ...small, ...trap, END, ...use]);
  // Nor of the extension that was made there.
  const inside = [...small, ...trap, ...get(X!), EXTEND_U, DROP];
  refuses(/no check covers/, [
    ...reload,
    ...get(Q!),
    ...IF,
    ...inside,
    END,
    ...get(X!),
    EXTEND_U,
    ...set(E!),
    ...use,
  ]);
  refuses(/no check covers/, [...before, ...small, ...trap, ...get(Q!), EXTEND_U, ...set(E!), ...use]);
  // A value made while the bound is known keeps it: it is made nowhere else.
  const twice = [...get(X!), ...get(X!), I32_ADD, EXTEND_U, ...set(E!), ...pointer(), ...load(LAST - 200)];
  accepts([...reload, ...small, ...trap, ...twice]);
  refuses(/no check covers/, [...reload, ...get(Q!), ...IF, ...small, ...trap, END, ...twice]);
  // A local that is set again is another value.
  refuses(/no check covers/, [
    ...reload,
    ...small,
    ...trap,
    ...get(Q!),
    ...set(X!),
    ...get(X!),
    EXTEND_U,
    ...set(E!),
    ...use,
  ]);
  refuses(/no check covers/, [
    ...reload,
    ...small,
    ...trap,
    ...LOOP,
    ...get(X!),
    EXTEND_U,
    ...set(E!),
    ...use,
    ...get(Q!),
    ...brIf(0),
    END,
  ]);
  refuses(/no check covers/, [...before, ...BLOCK, ...small, ...IF, ...br(1), END, ...br(0), END, ...use]);
});

test('a check of a bounded value may wrap no more than one of an extended one', () => {
  const both = [...reload, ...get(X!), ...i32(0xfffff), AND, EXTEND_U, ...set(E!), ...exceeds(8), ...trap];
  accepts([...both, ...pointer(), ...load(0)]);
  refuses(/covers 8 bytes/, [...both, ...pointer(), ...load(1)]);
  refuses(/no check covers/, [
    ...reload,
    ...get(Y!),
    ...i64(0xff),
    0x83,
    ...set(E!),
    ...get(E!),
    ...i64(8),
    ADD,
    ...get(L!),
    GT_U,
    ...trap,
    ...pointer(),
    ...load(0),
  ]);
});

// The bounds against V8: whatever an instruction gives for operands that keep theirs is at most what the rule says.
const WORDS = [
  0, 1, 2, 7, 8, 31, 32, 33, 255, 256, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
];
const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 0x7f) | 0x80, ...leb(Math.floor(n / 128))]);
const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content];

/** Instantiates (i32, i32) -> i32 functions with these bodies. */
function functions(bodies: number[][]): ((x: number, y: number) => number)[] {
  const bytes = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]),
    ...section(3, [...leb(bodies.length), ...bodies.map(() => 0)]),
    ...section(5, [1, 0, 1]),
    ...section(7, [
      ...leb(bodies.length),
      ...bodies.flatMap((_, i) => [3, ...[...`${100 + i}`].map((c) => c.charCodeAt(0)), 0, ...leb(i)]),
    ]),
    ...section(10, [
      ...leb(bodies.length),
      ...bodies.flatMap((code) => [...leb(code.length + 2), 0, ...code, 0x0b]),
    ]),
    ...section(11, [
      1,
      0,
      0x41,
      0,
      0x0b,
      64,
      ...Array.from({ length: 64 }, (_, i) => (i * 151 + 0xf0) & 0xff),
    ]),
  ]);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  return bodies.map((_, i) => exports[`${100 + i}`] as (x: number, y: number) => number);
}

test('no result is above the bound that follows from the operands', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const codes = Array.from({ length: 0x78 - 0x6a + 1 }, (_, i) => 0x6a + i);
  const binary = functions(codes.map((op) => [0x20, 0, 0x20, 1, op]));
  const word = (below: number): number => {
    const any = prng.chance(0.5) ? prng.pick(WORDS) : prng.u32() >>> prng.below(32);
    return any <= below ? any : prng.chance(0.5) ? below : any % (below + 1);
  };
  for (let i = 0; i < 100_000; i++) {
    const k = prng.below(codes.length);
    const [mx, my] = [word(0xffffffff), word(0xffffffff)];
    const isLiteral = prng.chance(0.5);
    const [x, y] = [word(mx), isLiteral ? my : word(my)];
    const bound = mostOf(codes[k]!, prng.chance(0.1) ? Infinity : mx, my, isLiteral ? my : -1);
    if (y === 0 && codes[k]! >= 0x6d && codes[k]! <= 0x70) continue; // traps
    if (codes[k] === 0x6d && y === 0xffffffff) continue; // may trap
    const result = binary[k]!(x, y) >>> 0;
    assert.ok(
      result <= bound,
      `0x${codes[k]!.toString(16)} of ${x} <= ${mx} and ${y} <= ${my}: ${result} > ${bound}`,
    );
  }
});

test('no result is above the bound in the table of instructions', () => {
  const ops = [...PLAIN.keys()].filter((op) => PLAIN[op]! !== 0 && most(PLAIN[op]!) !== Infinity);
  assert.equal(ops.length, 4 + 0x66 - 0x45 + 1);
  const loads = ops.filter((op) => touches(PLAIN[op]!) > 0);
  const bodies = loads.map((op) => [0x20, 0, op, 0, 0, ...(op >= 0x30 ? [0xa7] : [])]);
  functions(bodies).forEach((f, i) => {
    for (let a = 0; a < 60; a++)
      assert.ok(f(a, 0) >>> 0 <= most(PLAIN[loads[i]!]!), `0x${loads[i]!.toString(16)}`);
  });
  // All others are comparisons: V8 says so by their type, and the specification that they give 0 or 1.
  for (const op of ops) {
    const entry = PLAIN[op]!;
    assert.equal(gives(entry), 1);
    if (touches(entry) === 0)
      assert.deepEqual([most(entry), op >= 0x45 && op <= 0x66, takes(entry) > 0], [1, true, true]);
  }
  for (const table of Object.values(PREFIXED)) for (const entry of table) assert.equal(most(entry), Infinity);
});

test('what is added to a pointer moves it forwards, or is not followed', () => {
  const values = new Values([65536], 65536);
  const small = (): number => values.extend(values.fresh(7));
  const sum = values.add(BASES, small());
  assert.equal(values.kind[values.add(sum, small())], STEPPED);
  assert.equal(values.add(sum, values.fresh()), NONE);
  // Begun at hdr it may still be before its base.
  assert.equal(values.add(values.add(SYSTEM_HDR, small()), small()), NONE);
});
