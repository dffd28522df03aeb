/**
 * Modules for the verifier's fuzzer whose loops count their rounds behind one check, one in another, and whose other
 * accesses need no check because the address is bounded: accepted as they are, and every number in them as large or
 * small as the verifier lets it be. So a mutant that changes one by one must be refused or do no harm.
 */
import { type LimitLocal, type LoopHint, type PointerHint, WINDOW_WRITE } from '../../src/abi/hints.ts';
import { FRAME_BYTES } from '../../src/base/limits.ts';
import { Prng } from '../../src/base/prng.ts';
import {
  ADD,
  access,
  assemble,
  baseOf,
  brIf,
  call,
  DROP,
  END,
  EXTEND_U,
  GT_U,
  get,
  global,
  I32,
  I64,
  IF,
  i32,
  i64,
  LOOP,
  limitGlobal,
  type ModuleParts,
  places,
  set,
  tee,
  UNREACHABLE,
  WINDOW_TEMPLATES,
} from './assembly.ts';
import { cut } from './cut.ts';

const PARAMS = [I32, I32, I32, I64];
const X = [0, 1, 2];
const BASES = [4, 5];
const LIMITS = [6, 7];
const SUM = 8;
const FIRST_OWN = 9;
const I32_GT_U = 0x4b;
const AND = 0x71;
const SUB = 0x6b;
const SUB64 = 0x7d;

/** Bytes of 8, 4, 2 and 1, and loads and stores of i64 that touch them. */
const LOADS: Readonly<Record<number, number>> = { 8: 0x29, 4: 0x35, 2: 0x33, 1: 0x31 };
const STORES: Readonly<Record<number, number>> = { 8: 0x37, 4: 0x3e, 2: 0x3d, 1: 0x3c };

/** A module that the verifier accepts; `wrong`: but for one of its numbers, drawn by this, which is a little off. */
export function countingModule(seed: number, wrong?: Prng): Uint8Array<ArrayBuffer> {
  const at = places(partsOf([], [], []));
  const make = (off: number, by: number): Maker => {
    const maker = new Maker(new Prng(seed), at, off, by);
    maker.body();
    return maker;
  };
  const right = make(-1, 0);
  const { locals, loops, code } = wrong
    ? make(wrong.below(right.numbers), wrong.pick([1, 1, 1, -1, -1, 8, 4096]))
    : right;
  return assemble(partsOf(locals, loops, code));
}

function partsOf(own: readonly number[], loops: LoopHint[], code: number[]): ModuleParts {
  const limits: LimitLocal[] = [0, 1].map((memory) => ({ local: LIMITS[memory]!, memory }));
  return {
    memories: [
      { is64: false, min: 1, max: -1 },
      { is64: true, min: 1, max: -1 },
    ],
    windows: true,
    templates: WINDOW_TEMPLATES,
    imports: [{ params: [], results: [] }],
    quick: [
      { params: PARAMS, results: [I64], locals: [I64, I64, I64, I64, I64, ...own], limits, loops, code },
    ],
  };
}

class Maker {
  readonly #prng: Prng;
  readonly #hdr: number;
  readonly #import: number;
  readonly #windows: number;
  /** Types of the locals behind SUM. */
  readonly locals: number[] = [];
  readonly loops: LoopHint[] = [];
  code: number[] = [];
  /** How many numbers there were so far; the one that is to be off, and by how much. */
  numbers = 0;
  readonly #off: number;
  readonly #by: number;

  constructor(prng: Prng, { hdr, wrappers, templates }: ReturnType<typeof places>, off: number, by: number) {
    this.#prng = prng;
    this.#hdr = hdr;
    this.#import = wrappers;
    this.#windows = templates;
    this.#off = off;
    this.#by = by;
  }

  /** Every number that matters passes here. */
  #n(value: number): number {
    return this.numbers++ === this.#off ? Math.max(0, value + this.#by) : value;
  }

  #local(type: number): number {
    this.locals.push(type);
    return FIRST_OWN + this.locals.length - 1;
  }

  body(): void {
    const out = [0, 1].flatMap((memory) => [
      ...[...baseOf(this.#hdr, memory), ...set(BASES[memory]!)],
      ...[...global(limitGlobal(this.#hdr, memory)), ...set(LIMITS[memory]!)],
    ]);
    for (let n = 1 + this.#prng.below(3); n > 0; n--) {
      const kind = this.#prng.below(10);
      out.push(...(kind < 5 ? this.#checked() : kind < 7 ? this.#windowed() : this.#bounded()));
    }
    this.code = [...out, ...get(SUM)];
  }

  /** An access of up to `reach` bytes at a pointer that is `moved` behind where they begin, most often of the last. */
  #access(pointer: number[], reach: number, moved = 0): number[] {
    const { chance, below, pick } = bound(this.#prng);
    const size = pick([8, 4, 2, 1].filter((n) => n + moved <= reach));
    const last = reach - moved - size;
    const offset = this.#n(chance(0.7) ? last : below(last + 1));
    if (chance(0.4)) return [...pointer, ...i64(below(1000)), ...access(STORES[size]!, offset)];
    return [...pointer, ...access(LOADS[size]!, offset), ...get(SUM), ADD, ...set(SUM)];
  }

  /** A counting loop behind a check, or with an address that needs none. */
  #checked(): number[] {
    const { chance, below, pick } = bound(this.#prng);
    const memory = below(2);
    const near = this.#local(I64);
    const pointer = this.#local(I64);
    const rounds = pick([1, 2, 3, 8, 17]);
    const step = pick([0, 1, 4, 8, 24, -1, -4, -8]);
    const down = Math.max(-step, 0) * (rounds - 1);
    const ahead = down + (chance(0.3) ? pick([1, 8, 4096]) : 0);
    const reach = pick([8, 9, 16, 64]);
    const needed = ahead + Math.max(step, 0) * (rounds - 1) + reach;
    const exceeds = [...get(near), ...i64(this.#n(needed)), ADD, ...get(LIMITS[memory]!), GT_U];
    const known = chance(0.75)
      ? [...get(pick(X)), EXTEND_U, ...set(near), ...exceeds, ...IF, UNREACHABLE, END]
      : [...this.#word(FRAME_BYTES - needed), EXTEND_U, ...set(near)];
    const sum = [
      ...get(BASES[memory]!),
      ...get(near),
      ADD,
      ...(ahead > 0 ? [...i64(this.#n(ahead)), ADD] : []),
    ];
    const hint = { local: pointer, memory, step, reach };
    return [...known, ...sum, ...set(pointer), ...this.#loop(hint, rounds, 0)];
  }

  /** A counting loop in a window or in own memory, whichever it is. */
  #windowed(): number[] {
    const { chance, pick } = bound(this.#prng);
    const near = this.#local(I64);
    const pointer = this.#local(I64);
    const rounds = pick([1, 2, 3, 17]);
    const step = pick([0, 1, 8, 24, -1, -8]);
    const reach = pick([8, 9, 16]);
    const low = chance(0.3) ? pick([8, 4096]) : 0;
    const down = Math.max(-step, 0) * (rounds - 1);
    const bytes = Math.abs(step) * (rounds - 1) + reach;
    const exceeds = [...get(near), ...i64(this.#n(low + bytes)), ADD, ...get(LIMITS[0]!), GT_U];
    const window = [...get(near), ...i64(this.#n(low)), ...i64(this.#n(bytes)), ...call(this.#windows + 1)];
    const either = [...exceeds, IF[0]!, I64, ...window, 0x05, ...get(BASES[0]!), ...get(near), ADD, END];
    const ahead = low + down > 0 ? [...i64(this.#n(low + down)), ADD] : [];
    const begin = [...get(pick(X)), EXTEND_U, ...set(near), ...either, ...ahead, ...set(pointer)];
    return [...begin, ...this.#loop({ local: pointer, memory: WINDOW_WRITE, step, reach }, rounds, 2)];
  }

  /** An i32 that is at most this, by a mask or a question, which may be asked in several ways. */
  #word(most: number): number[] {
    const x = this.#prng.pick(X);
    if (this.#prng.chance(0.5)) return [...get(x), ...i32(this.#n(most)), AND];
    const ask = this.#prng.pick([
      [...get(x), ...i32(this.#n(most)), I32_GT_U],
      [...get(x), ...i32(this.#n(most + 1)), 0x4f],
      [...i32(this.#n(most)), ...get(x), 0x49],
      [...i32(this.#n(most + 1)), ...get(x), 0x4d],
    ]);
    return [...ask, ...IF, UNREACHABLE, END, ...get(x)];
  }

  /** An access without a check, at an address that is bounded. */
  #bounded(): number[] {
    const { chance, below, pick } = bound(this.#prng);
    const memory = below(2);
    const reach = pick([8, 16, 64]);
    const [factor, by] = pick([
      [1, []],
      [4, [...i32(this.#n(2)), 0x74]],
      [3, [...i32(this.#n(3)), 0x6c]],
      [0.5, [...i32(this.#n(1)), 0x76]],
    ] as const);
    const word = this.#word(Math.floor((FRAME_BYTES - reach) / factor));
    const near = [...word, ...by, EXTEND_U];
    return this.#access(
      chance(0.2)
        ? [...get(BASES[memory]!), ...i64(this.#n(FRAME_BYTES - reach)), ADD]
        : [...near, ...get(BASES[memory]!), ADD],
      reach,
    );
  }

  /** The loop whose pointer is at its beginning. Its hint stands before those of the loops inside. */
  #loop(hint: PointerHint, rounds: number, depth: number): number[] {
    const { chance, pick } = bound(this.#prng);
    const { local, step, reach } = hint;
    const fuel = this.#local(I32);
    const place =
      this.loops.push({
        loop: this.loops.length,
        varying: [],
        fuel,
        pointers: [{ ...hint, step: step < 0 ? -this.#n(-step) : this.#n(step), reach: this.#n(reach) }],
      }) - 1;
    const inner: number[] = [];
    if (chance(0.8)) inner.push(...this.#access(get(local), reach));
    if (depth < 2 && chance(0.4)) inner.push(...this.#inner(hint, depth));
    // Of a window nothing is known behind a call.
    if (hint.memory !== WINDOW_WRITE && chance(0.2)) inner.push(...call(this.#import));
    if (chance(0.3)) inner.push(...get(pick(X)), ...IF, ...this.#access(get(local), reach), END);
    const count = chance(0.7) ? [...i32(this.#n(1)), SUB] : [...i32(-this.#n(1)), 0x6a];
    const moved = chance(0.3) && step > 0 ? [...this.#word(step), EXTEND_U] : i64(this.#n(Math.abs(step)));
    const back = [
      ...[...get(local), ...moved, step < 0 ? SUB64 : ADD, ...set(local)],
      ...(step >= 0 && step < reach && chance(0.3) && moved[0] === 0x42
        ? this.#access(get(local), reach, step)
        : []),
      ...[...get(fuel), ...count, ...tee(fuel), ...brIf(0)],
    ];
    const code = [...i32(this.#n(rounds)), ...set(fuel), ...LOOP, ...inner, ...back, END];
    this.loops[place] = { ...this.loops[place]!, varying: setIn([...inner, ...back]) };
    return chance(0.9) ? code : [...code, ...get(local), DROP];
  }

  /** A loop inside: over just the bytes that a round of the outer one reaches. */
  #inner({ local, memory, reach }: PointerHint, depth: number): number[] {
    const { pick } = bound(this.#prng);
    const pointer = this.#local(I64);
    const size = pick([1, 8].filter((n) => n <= reach));
    const rounds = Math.floor(reach / size);
    const left = reach - size * (rounds - 1);
    const hint = { local: pointer, memory, step: size, reach: left };
    return [...get(local), ...set(pointer), ...this.#loop(hint, rounds, depth + 1)];
  }
}

const bound = (prng: Prng) => ({
  chance: (p: number): boolean => prng.chance(p),
  below: (n: number): number => prng.below(n),
  pick: <T>(list: readonly T[]): T => prng.pick(list),
});

/** The locals that code sets, ascending. */
function setIn(code: readonly number[]): number[] {
  const sets = cut(Uint8Array.from(code)).filter(([op]) => op === 0x21 || op === 0x22);
  return [...new Set(sets.map((one) => one[1]!))].sort((a, b) => a - b);
}
