/**
 * Random code for the verifier's fuzzer: code of the right types made of the pieces that its rules are about (checks, bases,
 * calls that move the domain, accesses, marks, every kind of control flow) put together with little regard to those
 * rules. Many break them and must be refused; those that are accepted are run (`arena.ts`). What the compiler never
 * makes is tried here: facts used far from their check, addresses kept on the stack, bases kept across joins.
 */

import { MARKS_ADDRESS } from '../../src/abi/layout.ts';
import type { Prng } from '../../src/base/prng.ts';
import {
  ADD,
  access,
  BLOCK,
  baseOf,
  br,
  brIf,
  call,
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
  LOOP,
  limitGlobal,
  OR,
  type places,
  RETURN,
  SHR_U,
  STORE8,
  set,
  tee,
  UNREACHABLE,
} from './assembly.ts';

// Locals: parameters first.
const X = [0, 1, 2]; // i32, hostile
const Y = [3, 4]; // i64, hostile
const E = [5, 6, 7]; // i64: near addresses
const P = [8, 9]; // i64: pointers
const C = [10, 11]; // i32: outcomes of comparisons
const SUM = 12; // i64: what was read
const ROUNDS = 13; // i32: rounds of loops that are left
export const BASES = [14, 15]; // of memory 0 and 1
export const LIMITS = [16, 17];
export const SECOND_BASE = 18; // of memory 0 again

const SUB = 0x7d;

const LOADS: readonly (readonly [number, number])[] = [
  [0x29, 8],
  [0x31, 1],
  [0x33, 2],
  [0x35, 4],
];
const STORES: readonly (readonly [number, number])[] = [
  [0x37, 8],
  [0x3c, 1],
  [0x3d, 2],
  [0x3e, 4],
];

/** Makes the code of one function; `body()` once. */
export class Generator {
  readonly prng: Prng;
  readonly #hdr: number;
  readonly #imports: number;
  /** The first window template. */
  readonly #windows: number;
  /** Kinds of the labels that are open: true for a loop. */
  readonly #labels: boolean[] = [];
  readonly #usual: number;
  /** What most pieces of this module are about, so that they have to do with each other. */
  readonly #focus: number;
  readonly #reached: number;
  /** How many more pieces there may be. */
  #left: number;

  constructor(prng: Prng, { hdr, wrappers, templates }: ReturnType<typeof places>) {
    this.prng = prng;
    this.#hdr = hdr;
    this.#imports = wrappers;
    this.#windows = templates;
    this.#usual = prng.below(2);
    this.#focus = prng.pick(E);
    this.#reached = prng.pick([8, 16, 64]);
    this.#left = 20 + prng.below(80);
  }

  body(): number[] {
    const { prng } = this;
    const out = [...i32(3 + prng.below(4)), ...set(ROUNDS)];
    if (prng.chance(0.9)) out.push(...this.#reload());
    for (const memory of [0, 1]) {
      if (prng.chance(0.95)) out.push(...global(limitGlobal(this.#hdr, memory)), ...set(LIMITS[memory]!));
    }
    for (const e of E) {
      const masked = prng.chance(0.6) ? [...i32(0xff8), 0x71] : [];
      if (prng.chance(0.9)) out.push(...get(prng.pick(X)), ...masked, EXTEND_U, ...set(e));
      if (prng.chance(0.4)) out.push(...this.#check(e, this.#memory()));
    }
    while (this.#left > 0) out.push(...this.#piece(0));
    return [...out, ...get(SUM)];
  }

  #pieces(depth: number): number[] {
    const out: number[] = [];
    for (let n = 1 + this.prng.below(6); n > 0; n--) out.push(...this.#piece(depth));
    return out;
  }

  #piece(depth: number): number[] {
    const { prng } = this;
    this.#left--;
    if (prng.chance(0.12)) return this.#windowed(depth);
    const kind = prng.below(depth < 4 && this.#left > 0 ? 34 : 25);
    if (kind < 2) return this.#check(this.#e(), this.#memory());
    if (kind < 7) return this.#access();
    if (kind < 8) return [...this.#pointer(this.#memory()), ...set(prng.pick(P))];
    if (kind < 11) return this.#near();
    if (kind < 13) return this.#call();
    if (kind < 15) return this.#reload();
    if (kind < 16) return this.#mark();
    if (kind < 18) return this.#shuffle();
    if (kind < 19) return this.#compare();
    if (kind < 21) return this.#jump();
    if (kind < 25) return prng.chance(0.3) ? this.#safe() : this.#scenario();
    return this.#construct(depth + 1);
  }

  /** One of the two memories, most often the same. */
  #memory(): number {
    return this.prng.chance(0.8) ? this.#usual : 1 - this.#usual;
  }

  /** base of a memory, from a role local or the global. */
  #base(memory: number): number[] {
    const { prng } = this;
    if (prng.chance(0.03)) return global(this.#hdr);
    if (prng.chance(0.25)) return baseOf(this.#hdr, memory);
    if (memory === 0 && prng.chance(0.15)) return get(SECOND_BASE);
    return get(BASES[memory]!);
  }

  #limit(memory: number): number[] {
    return this.prng.chance(0.2) ? global(limitGlobal(this.#hdr, memory)) : get(LIMITS[memory]!);
  }

  #reload(): number[] {
    const { prng } = this;
    const out: number[] = [];
    for (const memory of [0, 1]) {
      if (prng.chance(0.85)) out.push(...baseOf(this.#hdr, memory), ...set(BASES[memory]!));
      if (prng.chance(0.7)) out.push(...global(limitGlobal(this.#hdr, memory)), ...set(LIMITS[memory]!));
    }
    if (prng.chance(0.4))
      out.push(...(prng.chance(0.5) ? get(BASES[0]!) : baseOf(this.#hdr, 0)), ...set(SECOND_BASE));
    return out;
  }

  /** A near address into one of E. */
  #near(): number[] {
    const { prng } = this;
    const to = this.#e();
    switch (prng.below(11)) {
      case 0:
      case 1:
        return [...get(prng.pick(Y)), ...set(to)];
      case 2:
        return [...get(this.#e()), ...set(to)];
      case 3:
      case 4: // certainly inside, though the verifier cannot know
        return [...get(prng.pick(Y)), ...i64(0xff8), 0x83, ...set(to)];
      case 5:
      case 6:
        return [...get(prng.pick(X)), ...i32(0xff8), 0x71, EXTEND_U, ...set(to)];
      case 7:
      case 8:
      case 9:
        return [...get(prng.pick(X)), ...i32(prng.pick([0, 8, -8, 4096])), 0x6a, EXTEND_U, ...set(to)];
      default:
        return [...get(prng.pick(X)), EXTEND_U, ...set(to)];
    }
  }

  #e(): number {
    return this.prng.chance(0.65) ? this.#focus : this.prng.pick(E);
  }

  #reach(): number {
    const { prng } = this;
    if (prng.chance(0.6)) return this.#reached;
    return prng.chance(0.9)
      ? prng.pick([8, 16, 64])
      : prng.pick([1, 4, 9, 4096, 4104, prng.pick([70000, 2 ** 31])]);
  }

  /** The condition: e + k lies behind the limit. */
  #exceeds(local: number, memory: number): number[] {
    const { prng } = this;
    const sum = [...get(local), ...i64(this.#reach()), ADD, ...this.#limit(memory), GT_U];
    if (prng.chance(0.06))
      return [...sum.slice(0, -1), prng.pick([0x53, 0x54, 0x55, 0x57, 0x58, 0x59, 0x5a])];
    if (prng.chance(0.02)) return [...this.#limit(memory), ...get(local), ...i64(this.#reach()), ADD, GT_U];
    if (prng.chance(0.5)) return sum;
    const alone = [...get(local), ...this.#limit(memory), GT_U];
    return prng.chance(0.5) ? [...alone, ...sum, OR] : [...sum, ...alone, OR];
  }

  #check(local: number, memory: number): number[] {
    const { prng } = this;
    const condition = this.#exceeds(local, memory);
    if (prng.chance(0.1)) return [...condition, ...set(prng.pick(C))];
    if (prng.chance(0.4) && this.#labels.length > 0) {
      const label = prng.below(this.#labels.length);
      if (!this.#labels[this.#labels.length - 1 - label]) return [...condition, ...brIf(label)];
    }
    if (prng.chance(0.2)) return [...condition, ...IF, ...this.#pieces(4), ELSE, ...this.#pieces(4), END];
    return [...condition, ...IF, prng.chance(0.9) ? UNREACHABLE : 0x01, END];
  }

  /** base + near address, on the stack. */
  #pointer(memory: number): number[] {
    const { prng } = this;
    const near = prng.chance(0.1) ? [...get(prng.pick(X)), EXTEND_U] : get(this.#e());
    const base = this.#base(memory);
    const sum = prng.chance(0.8) ? [...base, ...near, ADD] : [...near, ...base, prng.chance(0.9) ? ADD : SUB];
    return prng.chance(0.1) ? [...sum, ...i64(prng.below(64)), ADD] : sum;
  }

  /** An offset that fits a check's reach exactly, or almost. */
  #offset(size: number): number {
    const { prng } = this;
    if (prng.chance(0.85)) return Math.max(0, this.#reach() - size + prng.pick([0, 0, 0, -1, 1, -8]));
    return prng.pick([H, 0, 8, 4096, H - 1, 2 ** 31 - 8]);
  }

  #access(): number[] {
    const { prng } = this;
    const memory = this.#memory();
    const address = prng.chance(0.4) ? get(prng.pick(P)) : this.#pointer(memory);
    // Sometimes other pieces run while the address waits on the stack.
    const between = prng.chance(0.25) && this.#left > 0 ? this.#pieces(3) : [];
    if (prng.chance(0.5)) {
      const [code, size] = prng.pick(LOADS);
      const load = access(code, this.#offset(size));
      return [...address, ...between, ...load, ...get(SUM), ADD, ...set(SUM)];
    }
    const [code, size] = prng.pick(STORES);
    return [...address, ...between, ...i64(prng.u32()), ...access(code, this.#offset(size))];
  }

  /** A check, a pointer and an access that belong together, so that much of what is made is accepted. */
  #safe(): number[] {
    const { prng } = this;
    const memory = this.#memory();
    const e = this.#e();
    const near = prng.chance(0.7) ? [...get(prng.pick(X)), EXTEND_U, ...tee(e), DROP] : [];
    const [code, size] = prng.pick(LOADS);
    const check = [...get(e), ...i64(size + 8), ADD, ...this.#limit(memory), GT_U, ...IF, UNREACHABLE, END];
    const offset = prng.below(9);
    return [
      ...[...near, ...check, ...this.#base(memory), ...get(e), ADD, ...tee(prng.pick(P))],
      ...[...access(code, offset), ...get(SUM), ADD, ...set(SUM)],
    ];
  }

  /** An address that a window template gives, or one of it and of own memory; used at once, later, or not at all. */
  #windowed(depth: number): number[] {
    const { prng } = this;
    const e = this.#e();
    const low = prng.pick([0, 0, 0, 8, 16]);
    const bytes = prng.pick([8, 8, 16, 24]);
    const which = prng.pick([0, 0, 1, 1, 1, 2]);
    const asked = [...get(e), ...i64(low), ...i64(bytes), ...call(this.#windows + which)];
    const window = which > 1 ? [...asked, EXTEND_U] : asked;
    const some = (p: number): number[] =>
      depth < 4 && this.#left > 0 && prng.chance(p) ? this.#pieces(4) : [];
    const own = [...this.#base(0), ...get(e), ADD];
    const parts = prng.chance(0.9)
      ? [window, own]
      : prng.pick([
          [own, window],
          [window, window],
          [window, get(prng.pick(P))],
        ]);
    const condition = prng.chance(0.9)
      ? [...get(e), ...i64(low + bytes), ADD, ...this.#limit(0), GT_U]
      : get(prng.pick(C));
    const calls = (): number[] => (prng.chance(0.1) ? call(this.#imports) : []);
    const [first, second] = [
      [...calls(), ...parts[0]!],
      [...calls(), ...parts[1]!],
    ];
    const either = [...condition, 0x04, 0x7e, ...first, ELSE, ...second, END];
    const address = prng.chance(0.5) ? window : either;
    const kept = [...address, ...tee(prng.pick(P)), ...some(0.2)];
    const size = prng.pick([8, 8, 4]);
    const at = prng.chance(0.8)
      ? low + bytes - size
      : prng.pick([low, 0, Math.max(0, low - 1), low + bytes - size + 1]);
    if (prng.chance(0.3)) return [...kept, DROP];
    if (prng.chance(0.5))
      return [...kept, ...access(size === 8 ? 0x29 : 0x35, at), ...get(SUM), ADD, ...set(SUM)];
    return [...kept, ...i64(prng.u32()), ...access(size === 8 ? 0x37 : 0x3e, at)];
  }

  /** The usual ways to fool a one-pass analysis, in outline: an access, a change, and a way back or around. */
  #scenario(): number[] {
    const { prng } = this;
    const e = this.#e();
    const memory = this.#memory();
    const guard = prng.chance(0.7) ? [...this.#exceeds(e, memory), ...IF, UNREACHABLE, END] : [];
    const raw = [...(prng.chance(0.5) ? get(prng.pick(Y)) : [...get(prng.pick(X)), EXTEND_U]), ...set(e)];
    const offset = prng.below(this.#reached - 7);
    const address = [...this.#base(memory), ...get(e), ADD];
    const load = [...access(0x29, offset), ...get(SUM), ADD, ...set(SUM)];
    const some = (): number[] => (prng.chance(0.3) && this.#left > 0 ? this.#piece(4) : []);
    const maybe = [...get(prng.pick(X)), ...i32(1), 0x71, ...IF];
    const call_ = [...call(this.#imports), ...this.#fresh()];
    const earlier = [...get(ROUNDS), ...i32(2), 0x4a, ...IF]; // in all rounds but the last
    switch (prng.below(7)) {
      case 0: // set in the round before
        return [...guard, ...LOOP, ...some(), ...address, ...load, ...some(), ...raw, ...this.#back(), END];
      case 1: // set on one way
        return [...guard, ...maybe, ...raw, ...some(), END, ...address, ...load];
      case 2: // checked on one way
        return [...raw, ...maybe, ...guard, ...some(), END, ...address, ...load];
      case 3: // moved in the round before, with the address on the stack
        return [
          ...guard,
          ...address,
          ...LOOP,
          ...earlier,
          ...call_,
          ...this.#again(1),
          ...get(SUM),
          RETURN,
          END,
          ...some(),
          END,
          ...load,
        ];
      case 4: // moved on one way
        return [...guard, ...address, ...maybe, ...call_, END, ...load];
      case 5: // moved in the round before, and the base not read again
        return [...LOOP, ...guard, ...address, ...load, ...call(this.#imports), ...this.#again(0), END];
      default: // moved in the round before, with the address in a local
        return [
          ...[...guard, ...address, ...set(P[0]!), ...LOOP, ...get(P[0]!), ...load, ...call_],
          ...[...this.#again(0), END],
        ];
    }
  }

  /** Every base read again. */
  #fresh(): number[] {
    const second = [...baseOf(this.#hdr, 1), ...set(BASES[1]!)];
    return [...baseOf(this.#hdr, 0), ...tee(BASES[0]!), ...set(SECOND_BASE), ...second];
  }

  /** Back to a loop while there are rounds left. */
  #again(label: number): number[] {
    return [...get(ROUNDS), ...i32(1), 0x6b, ...tee(ROUNDS), ...i32(0), 0x4a, ...brIf(label)];
  }

  #mark(): number[] {
    const { prng } = this;
    const memory = this.#memory();
    const pages = prng.pick([0, 0, 0, -16, -1, 1, 2, 16, 32]);
    const value = i32(prng.chance(0.75) ? 1 : prng.below(3));
    const address = prng.chance(0.5) ? get(prng.pick(P)) : this.#pointer(memory);
    return [...address, ...i64(12), SHR_U, ...value, ...access(STORE8, MARKS_ADDRESS + Math.max(0, pages))];
  }

  #call(): number[] {
    const { prng } = this;
    const out = call(this.#imports + prng.below(2));
    return prng.chance(0.5) ? [...out, ...this.#reload()] : out;
  }

  #shuffle(): number[] {
    const { prng } = this;
    const list = prng.pick([X, E, P, P, C]);
    if (prng.chance(0.3)) return [...get(prng.pick(X)), ...i32(prng.below(64)), 0x6a, ...set(prng.pick(X))];
    return [...get(prng.pick(list)), ...set(prng.pick(list))];
  }

  /** A condition kept in a local, and perhaps asked later. */
  #compare(): number[] {
    const { prng } = this;
    if (prng.chance(0.6)) return [...this.#exceeds(this.#e(), this.#memory()), ...set(prng.pick(C))];
    return [...get(prng.pick(C)), ...IF, UNREACHABLE, END];
  }

  #jump(): number[] {
    const { prng } = this;
    if (this.#labels.length === 0)
      return prng.chance(0.2) ? [...get(prng.pick(X)), ...IF, ...get(SUM), RETURN, END] : [];
    const label = prng.below(this.#labels.length);
    const loop = this.#labels[this.#labels.length - 1 - label]!;
    // Back to a loop only while there are rounds left.
    const condition = loop
      ? [...get(ROUNDS), ...i32(1), 0x6b, ...tee(ROUNDS), ...i32(0), 0x4a]
      : [...get(prng.pick([...X, ...C])), ...i32(1), 0x71];
    if (prng.chance(0.3)) return [...condition, ...IF, ...this.#pieces(4), ...br(label + 1), END];
    if (prng.chance(0.1)) return [...condition, 0x0e, 1, label, label, ...this.#pieces(4)];
    return [...condition, ...brIf(label)];
  }

  #construct(depth: number): number[] {
    const { prng } = this;
    const kind = prng.below(7) % 5;
    this.#labels.push(kind === 1);
    const inner = (): number[] => this.#pieces(depth);
    const condition = [...get(prng.pick([...X, ...C])), ...i32(1), 0x71];
    let out: number[];
    if (kind === 0) out = [...BLOCK, ...inner(), END];
    else if (kind === 1) out = [...LOOP, ...inner(), ...this.#back(), END];
    else if (kind === 2) out = [...condition, ...IF, ...inner(), END];
    else if (kind === 3) out = [...condition, ...IF, ...inner(), ELSE, ...inner(), END];
    else out = this.#tryTable(depth);
    this.#labels.pop();
    return out;
  }

  /** Back to the innermost loop; most often with all bases read again, for else the verifier refuses it. */
  #back(): number[] {
    return [...(this.prng.chance(0.75) ? this.#fresh() : []), ...this.#again(0)];
  }

  /** A block around a try_table that catches everything there, or at some label further out. */
  #tryTable(depth: number): number[] {
    const { prng } = this;
    const label = prng.chance(0.8) ? 0 : prng.below(this.#labels.length);
    this.#labels.push(false);
    const inner = this.#pieces(depth + 1);
    this.#labels.pop();
    const out = prng.chance(0.3) ? br(0) : [];
    return [...BLOCK, 0x1f, 0x40, 1, 2, label, ...inner, END, ...out, ...this.#pieces(depth + 1), END];
  }
}
