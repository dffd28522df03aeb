/**
 * One random function about memory (`edges.ts`), as text: straight accesses off one pointer, branches between them, and
 * loops. The loops are those that LLVM, rustc and AssemblyScript make of `for` and `while`: pointers that step by a
 * constant, counters up and down, ends asked by `!=`, `<` and `>=`, at the top or the bottom, nested, unrolled, with an
 * index times a size. Now and then something is a little off: a step in one branch only, an end that is stepped over.
 */
import type { Prng } from '../../src/base/prng.ts';
import { type MemoryShape, STRIDES } from './edges.ts';

type T = 'i32' | 'i64';

/** Name, what is loaded or stored, bytes. */
const LOADS: readonly (readonly [string, string, number])[] = [
  ['i64.load', '%', 8],
  ['i64.load8_u', '%', 1],
  ['i64.load16_s', '%', 2],
  ['i64.load32_u', '%', 4],
  ['i32.load', '(i64.extend_i32_u %)', 4],
  ['i32.load8_s', '(i64.extend_i32_s %)', 1],
  ['i32.load16_u', '(i64.extend_i32_u %)', 2],
  ['f64.load', '(i64.reinterpret_f64 %)', 8],
  ['f32.load', '(i64.extend_i32_u (i32.reinterpret_f32 %))', 4],
  ['v128.load', '(i64x2.extract_lane 1 %)', 16],
  ['v128.load32_splat', '(i64x2.extract_lane 0 %)', 4],
  ['v128.load8x8_u', '(i64x2.extract_lane 1 %)', 8],
];
const STORES: readonly (readonly [string, string, number])[] = [
  ['i64.store', '%', 8],
  ['i64.store8', '%', 1],
  ['i64.store32', '%', 4],
  ['i32.store', '(i32.wrap_i64 %)', 4],
  ['i32.store8', '(i32.wrap_i64 %)', 1],
  ['i32.store16', '(i32.wrap_i64 %)', 2],
  ['f64.store', '(f64.convert_i64_s %)', 8],
  ['v128.store', '(i64x2.splat %)', 16],
];
const ATOMICS: readonly (readonly [string, string, number])[] = [
  ['i64.atomic.rmw.add', '%', 8],
  ['i64.atomic.rmw8.xchg_u', '%', 1],
  ['i64.atomic.rmw32.or_u', '%', 4],
];
const SMALL = [0, 0, 0, 0, 1, 4, 8, 12, 16, 100] as const;
const LARGE = [
  4088,
  4095,
  4096,
  65528,
  65535,
  65536,
  2 ** 31 - 8,
  2 ** 31,
  2 ** 32 - 8,
  2 ** 32 - 1,
] as const;
const HUGE = ['4294967296', '1099511627776', '9223372036854775808', '18446744073709551608'] as const;

/** Locals that hold addresses or counts, of both types: `$p` is i32, `$P` i64. */
const POINTERS = ['p', 'q'] as const;
const COUNTERS = ['i', 'j', 'k'] as const;

export class Body {
  readonly #prng: Prng;
  readonly #memories: readonly MemoryShape[];
  #labels = 0;
  #budget = 24;
  /** Loops that are open: calls inside are dear. */
  #depth = 0;

  constructor(prng: Prng, memories: readonly MemoryShape[]) {
    this.#prng = prng;
    this.#memories = memories;
  }

  text(name: string): string {
    const lines = Array.from({ length: 2 + this.#prng.below(4) }, () => this.#statement()).join('\n    ');
    return `(func $${name} (export "${name}") (param $a i32) (param $b i32) (param $n i32) (param $w i64) (result i64)
    (local $p i32) (local $q i32) (local $e i32) (local $i i32) (local $j i32) (local $k i32)
    (local $P i64) (local $Q i64) (local $E i64) (local $I i64) (local $J i64) (local $K i64) (local $acc i64)
    (local.set $p (local.get $a)) (local.set $P (local.get $w)) (local.set $q (local.get $b)) (local.set $Q (local.get $w))
    ${lines}
    (local.get $acc))`;
  }

  #memory(): MemoryShape {
    return this.#prng.pick(this.#memories);
  }

  #statement(): string {
    const { chance, below } = {
      chance: (p: number) => this.#prng.chance(p),
      below: (n: number) => this.#prng.below(n),
    };
    if (this.#budget-- <= 0) return '(nop)';
    const kind = below(this.#depth > 1 ? 12 : 16);
    if (kind < 4) return this.#access(this.#memory());
    if (kind < 6) return this.#several(this.#memory());
    if (kind < 7) return this.#moved();
    if (kind < 8) return this.#branched();
    if (kind < 9) return chance(0.5) ? this.#called() : this.#grown();
    if (kind < 10) return this.#stack();
    if (kind < 11) return chance(0.3) ? this.#bulk() : this.#access(this.#memory());
    return this.#loop();
  }

  #statements(most: number): string {
    return Array.from({ length: 1 + this.#prng.below(most) }, () => this.#statement()).join(' ');
  }

  // --- accesses

  #name(name: string, type: T): string {
    return `$${type === 'i32' ? name : name.toUpperCase()}`;
  }

  /** An address of a memory's type. */
  #address(memory: MemoryShape): string {
    const prng = this.#prng;
    const type = typeOf(memory);
    const pointer = `(local.get ${this.#name(prng.pick(POINTERS), type)})`;
    switch (prng.below(14)) {
      case 0:
        return `(${type}.const ${prng.chance(0.5) ? prng.below(65536) : this.#place(memory)})`;
      case 1:
        return `(${type}.add ${pointer} (${type}.const ${prng.pick([4, 8, -4, -8, 16, -1])}))`;
      case 2:
        return `(${type}.add ${pointer} (${type}.shl (local.get ${this.#name(prng.pick(COUNTERS), type)}) (${type}.const ${prng.below(4)})))`;
      case 3:
        return `(${type}.and ${pointer} (${type}.const 0xfff8))`;
      case 4:
        return type === 'i64' ? '(i64.extend_i32_u (local.get $p))' : '(i32.wrap_i64 (local.get $P))';
      case 5:
        return `(${type}.or ${pointer} (${type}.const ${prng.pick([1, 4, 8])}))`;
      default:
        return pointer;
    }
  }

  /** A constant near an edge of a memory. */
  #place({ min, max, is64 }: MemoryShape): number {
    const prng = this.#prng;
    const edge = prng.pick([0, 4096, 65536, min * 65536, min * 65536, max * 65536, is64 ? 2 ** 32 : -8]);
    return edge + prng.pick([0, -1, -2, -4, -8, -8, -16, -17, 8]);
  }

  #offset(memory: MemoryShape): string {
    const prng = this.#prng;
    const list: readonly (number | string)[] = prng.chance(0.85)
      ? SMALL
      : memory.is64 && prng.chance(0.4)
        ? HUGE
        : LARGE;
    const offset = prng.pick(list);
    return offset === 0 ? '' : ` offset=${offset}`;
  }

  #access(memory: MemoryShape, address = this.#address(memory), offset = this.#offset(memory)): string {
    const prng = this.#prng;
    if (prng.chance(memory.shared ? 0.2 : 0.03)) {
      const [op, , bytes] = prng.pick(ATOMICS);
      const at = `(${typeOf(memory)}.and ${address} (${typeOf(memory)}.const ${prng.chance(0.95) ? -bytes : -1}))`;
      return `(local.set $acc (i64.xor (local.get $acc) (${op} ${memory.name}${offset} ${at} (local.get $acc))))`;
    }
    if (prng.chance(0.55))
      return `(local.set $acc (i64.add (local.get $acc) ${this.#load(memory, address, offset)}))`;
    const [op, value] = prng.pick(STORES);
    const what = prng.chance(0.5) ? '(local.get $acc)' : `(i64.const ${prng.below(1000)})`;
    return `(${op} ${memory.name}${offset}${op.startsWith('f') ? '' : this.#align()} ${address} ${value.replace('%', what)})`;
  }

  #align(): string {
    return this.#prng.chance(0.2) ? ' align=1' : '';
  }

  #load(memory: MemoryShape, address: string, offset: string): string {
    const [op, value] = this.#prng.pick(LOADS);
    return value.replace('%', `(${op} ${memory.name}${offset}${this.#align()} ${address})`);
  }

  /** Several accesses off one pointer, up or down, with stores and calls in between. */
  #several(memory: MemoryShape): string {
    const prng = this.#prng;
    const address = this.#address(memory);
    const step = prng.pick([1, 2, 4, 8, 8, 16]);
    const from = prng.pick([0, 0, 0, 4, 8, 4080, prng.chance(0.3) ? 65520 : 0]);
    const count = 2 + prng.below(4);
    const down = prng.chance(0.4);
    return Array.from({ length: count }, (_, i) => {
      const offset = from + step * (down ? count - 1 - i : i);
      const one = this.#access(memory, address, offset === 0 ? '' : ` offset=${offset}`);
      return prng.chance(0.1) ? `${one} ${this.#statement()}` : one;
    }).join(' ');
  }

  // --- what changes pointers and limits

  #moved(): string {
    const prng = this.#prng;
    const type: T = prng.chance(0.3) ? 'i64' : 'i32';
    const [to, from] = [this.#name(prng.pick(POINTERS), type), this.#name(prng.pick(POINTERS), type)];
    const memory = this.#memory();
    switch (prng.below(5)) {
      case 0:
        return `(local.set ${to} (${type}.add (local.get ${from}) (${type}.const ${prng.pick([...STRIDES, -4, -8])})))`;
      case 1:
        return `(local.set ${to} (local.get ${from}))`;
      case 2: // a pointer out of memory
        if (prng.chance(0.8)) return this.#access(memory);
        return `(local.set ${this.#name('p', typeOf(memory))} (${typeOf(memory)}.load ${memory.name} ${this.#address(memory)}))`;
      case 3: // counted from the end
        return `(local.set ${this.#name('q', typeOf(memory))} (${typeOf(memory)}.sub (${typeOf(memory)}.shl (memory.size ${memory.name}) (${typeOf(memory)}.const 16)) (${typeOf(memory)}.const ${prng.below(64)})))`;
      default:
        return `(local.set ${this.#name('p', typeOf(memory))} (${typeOf(memory)}.const ${this.#place(memory)}))`;
    }
  }

  #branched(): string {
    const prng = this.#prng;
    const condition = `(i32.and (local.get ${prng.pick(['$n', '$i', '$b'])}) (i32.const ${prng.pick([1, 2, 4])}))`;
    switch (prng.below(4)) {
      case 0:
        return `(if ${condition} (then ${this.#statements(2)}))`;
      case 1:
        return `(if ${condition} (then ${this.#statements(2)}) (else ${this.#statements(2)}))`;
      case 2: {
        const label = `$b${this.#labels++}`;
        return `(block ${label} ${this.#statements(2)} (br_if ${label} ${condition}) ${this.#statements(2)})`;
      }
      default: {
        const [a, b] = [`$b${this.#labels++}`, `$b${this.#labels++}`];
        return `(block ${a} (block ${b} (br_table ${a} ${b} ${a} (i32.and (local.get $n) (i32.const 3)))) ${this.#statements(2)})`;
      }
    }
  }

  #called(): string {
    const prng = this.#prng;
    const argument = `(local.get ${prng.pick(['$p', '$i', '$n'])})`;
    const call = prng.pick([
      `(call $leaf ${argument})`,
      `(call $grows ${argument})`,
      `(i64.extend_i32_u (call $host ${argument}))`,
      `(call_indirect (type $leaf) ${argument} (i32.and (local.get $i) (i32.const 1)))`,
    ]);
    return `(local.set $acc (i64.add (local.get $acc) ${call}))`;
  }

  #grown(): string {
    const memory = this.#memory();
    const type = typeOf(memory);
    return `(drop (memory.grow ${memory.name} (${type}.const ${this.#prng.pick([0, 1, 1, -1])})))`;
  }

  /** A frame on the program's own stack, as C has it. */
  #stack(): string {
    const prng = this.#prng;
    const memory = this.#memories[0]!;
    const size = prng.pick([16, 32, 4096, 65536]);
    if (memory.is64) {
      const at = `(local.set $P (i64.sub (global.get $wide) (i64.const ${size})))`;
      return `${at} (global.set $wide (local.get $P)) ${this.#statements(2)} (global.set $wide (i64.add (local.get $P) (i64.const ${size})))`;
    }
    const at = `(global.set $sp (local.tee $p (i32.sub (global.get $sp) (i32.const ${size}))))`;
    return `${at} ${this.#several(memory)} ${this.#statements(2)} (global.set $sp (i32.add (local.get $p) (i32.const ${size})))`;
  }

  #bulk(): string {
    const prng = this.#prng;
    const [to, from] = [this.#memory(), this.#memory()];
    const length = prng.pick([0, 1, 8, 100, 4096]);
    if (prng.chance(0.5))
      return `(memory.fill ${to.name} ${this.#address(to)} (i32.const ${prng.below(256)}) (${typeOf(to)}.const ${length}))`;
    const count = to.is64 && from.is64 ? 'i64' : 'i32';
    return `(memory.copy ${to.name} ${from.name} ${this.#address(to)} ${this.#address(from)} (${count}.const ${length}))`;
  }

  // --- loops

  #loop(): string {
    this.#depth++;
    const memory = this.#memory();
    const text = this.#prng.chance(0.5) ? this.#stepping(memory) : this.#counting(memory);
    this.#depth--;
    return text;
  }

  /** What is done each round, off the pointer `p` (or what is made of the index). */
  #round(memory: MemoryShape, address: string): string {
    const prng = this.#prng;
    const offset = prng.chance(0.6)
      ? ''
      : ` offset=${prng.pick([1, 3, 4, 8, 12, 4096, prng.chance(0.2) ? 65532 : 16])}`;
    const out = [this.#access(memory, address, offset)];
    if (prng.chance(0.4)) out.push(this.#access(memory, address, ` offset=${prng.pick([2, 4, 8, 16])}`));
    if (prng.chance(0.35)) out.push(this.#statement());
    if (prng.chance(0.15)) out.unshift(this.#statement());
    return out.join(' ');
  }

  /** A pointer steps from a start to an end. */
  #stepping(memory: MemoryShape): string {
    const prng = this.#prng;
    const type = typeOf(memory);
    const name = prng.pick(POINTERS);
    const [p, e] = [this.#name(name, type), this.#name('e', type)];
    const label = `$l${this.#labels++}`;
    const stride = prng.pick(STRIDES) * (prng.chance(0.15) ? -1 : 1);
    const count = this.#count(type);
    // Now and then the end is one that is never met, and only a trap ends the loop.
    const skew = prng.chance(0.06) ? prng.pick([1, -1, 2]) : 0;
    const end = `(${type}.add (${type}.add (local.get ${p}) (${type}.mul ${count} (${type}.const ${stride}))) (${type}.const ${skew}))`;
    const start = prng.chance(0.4) ? `(local.set ${p} ${this.#start(memory)})` : '';
    const begin = `${start} (local.set ${e} ${end})`;
    const step = `(${type}.add (local.get ${p}) (${type}.const ${stride}))`;
    const ask =
      skew === 0 ? prng.pick(['ne', 'ne', 'ne', stride > 0 ? 'lt_u' : 'gt_u']) : stride > 0 ? 'lt_u' : 'gt_u';
    const body = this.#round(memory, `(local.get ${p})`);
    const off = this.#slightly(type, p);
    switch (prng.below(4)) {
      case 0: // asked at the top, as rustc does
        return `${begin} (block $out${label.slice(1)} (loop ${label} (br_if $out${label.slice(1)} (${type}.eq (local.get ${p}) (local.get ${e}))) ${body} ${off} (local.set ${p} ${step}) (br ${label})))`;
      case 1: // with the sum kept on its way
        return `${begin} (if (${type}.ne (local.get ${p}) (local.get ${e})) (then (loop ${label} ${body} ${off} (br_if ${label} (${type}.${ask} (local.tee ${p} ${step}) (local.get ${e}))))))`;
      case 2: // stepped before it is used
        return `${begin} (if (${type}.ne (local.get ${p}) (local.get ${e})) (then (loop ${label} (local.set ${p} ${step}) ${body} (br_if ${label} (${type}.${ask} (local.get ${p}) (local.get ${e}))))))`;
      default:
        return `${begin} (loop ${label} ${body} ${off} (local.set ${p} ${step}) (br_if ${label} (${type}.${ask} (local.get ${p}) (local.get ${e}))))`;
    }
  }

  /** A counter goes up or down, and addresses are made of it or of pointers that step beside it. */
  #counting(memory: MemoryShape): string {
    const prng = this.#prng;
    const type = typeOf(memory);
    const counter: T = prng.chance(0.8) ? type : type === 'i32' ? 'i64' : 'i32';
    const i = this.#name(COUNTERS[Math.min(this.#depth - 1, 2)]!, counter);
    const p = this.#name(prng.pick(POINTERS), type);
    const label = `$l${this.#labels++}`;
    const shift = prng.below(5);
    const stride = prng.pick(STRIDES);
    const index =
      counter === type
        ? `(local.get ${i})`
        : type === 'i64'
          ? `(i64.extend_i32_u (local.get ${i}))`
          : `(i32.wrap_i64 (local.get ${i}))`;
    const byIndex = prng.chance(0.6);
    const scaled = prng.chance(0.7)
      ? `(${type}.shl ${index} (${type}.const ${shift}))`
      : `(${type}.mul ${index} (${type}.const ${stride}))`;
    const address = byIndex
      ? `(${type}.add ${prng.chance(0.8) ? `(local.get ${p})` : `(${type}.const ${this.#place(memory)})`} ${scaled})`
      : `(local.get ${p})`;
    const stepped = byIndex
      ? ''
      : `(local.set ${p} (${type}.add (local.get ${p}) (${type}.const ${stride})))`;
    const second = prng.chance(0.25) ? this.#second(type, p) : '';
    const body = `${this.#round(memory, address)} ${second} ${stepped} ${this.#slightly(type, p)}`;
    const count = this.#count(counter);
    const by = prng.pick([1, 1, 1, 2, 4]);
    const up = `(${counter}.add (local.get ${i}) (${counter}.const ${by}))`;
    const down = `(${counter}.sub (local.get ${i}) (${counter}.const 1))`;
    const out = `$out${label.slice(1)}`;
    switch (prng.below(5)) {
      case 0: // AssemblyScript: for (let i = 0; i < n; i++)
        return `(local.set ${i} (${counter}.const 0)) (loop ${label} (if (${counter}.${prng.pick(['lt_s', 'lt_u'])} (local.get ${i}) ${count}) (then ${body} (local.set ${i} ${up}) (br ${label}))))`;
      case 1: // LLVM: do … while (i != n), behind a question whether there is anything to do
        return `(local.set ${i} (${counter}.const 0)) (if (${counter}.ne ${count} (${counter}.const 0)) (then (loop ${label} ${body} (br_if ${label} (${counter}.lt_u (local.tee ${i} ${up}) ${count})))))`;
      case 2: // down to nothing
        return `(local.set ${i} ${count}) (block ${out} (br_if ${out} (${counter}.eqz (local.get ${i}))) (loop ${label} ${body} (br_if ${label} (${counter}.ne (local.tee ${i} ${down}) (${counter}.const 0)))))`;
      case 3: // for (i = n; i-- > 0; )
        return `(local.set ${i} ${count}) (block ${out} (loop ${label} (br_if ${out} (${counter}.eqz (local.get ${i}))) (local.set ${i} ${down}) ${body} (br ${label})))`;
      default: // while, with the question at the top
        return `(local.set ${i} (${counter}.const 0)) (block ${out} (loop ${label} (br_if ${out} (${counter}.ge_u (local.get ${i}) ${count})) ${body} (local.set ${i} ${up}) (br ${label})))`;
    }
  }

  /** A second pointer that steps beside the first. */
  #second(type: T, first: string): string {
    const q = this.#name(first.toLowerCase() === '$p' ? 'q' : 'p', type);
    const memory = this.#memories.find((one) => typeOf(one) === type);
    if (memory === undefined) return '';
    const step = `(local.set ${q} (${type}.add (local.get ${q}) (${type}.const ${this.#prng.pick([1, 4, 8, -4, -8, 16])})))`;
    return `${this.#access(memory, `(local.get ${q})`, '')} ${step}`;
  }

  /** Mostly nothing; else what takes a loop out of its pattern. */
  #slightly(type: T, p: string): string {
    const prng = this.#prng;
    if (!prng.chance(0.12)) return '';
    const step = prng.pick([4, 8, -4, 65536]);
    const moved = `(local.set ${p} (${type}.add (local.get ${p}) (${type}.const ${step})))`;
    return prng.pick([
      `(if (i32.eq (local.get $n) (i32.const 3)) (then ${moved}))`,
      `(if (i64.eqz (local.get $acc)) (then ${moved}))`,
      this.#grown(),
      this.#called(),
    ]);
  }

  /** How many rounds: few, whatever the arguments are. */
  #count(type: T): string {
    const mask = this.#prng.pick([3, 3, 7, 15, 15, 63, this.#depth === 1 ? 2047 : 15]);
    const n = type === 'i32' ? '(local.get $n)' : '(i64.extend_i32_u (local.get $n))';
    return this.#prng.chance(0.9)
      ? `(${type}.and ${n} (${type}.const ${mask}))`
      : `(${type}.const ${this.#prng.below(20)})`;
  }

  #start(memory: MemoryShape): string {
    const type = typeOf(memory);
    const prng = this.#prng;
    const argument = type === 'i32' ? '(local.get $b)' : '(local.get $w)';
    return prng.pick([argument, argument, `(${type}.const ${this.#place(memory)})`]);
  }
}

const typeOf = ({ is64 }: MemoryShape): T => (is64 ? 'i64' : 'i32');
