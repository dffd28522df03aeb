/**
 * Random programs for the compiler's tests: well typed, structured, and sure to end (every function and loop burns fuel
 * from a global, and traps when there is none). They use calls, blocks, loops and ifs with parameters and results,
 * br_if and br_table, memory, tables, exceptions and locals of all number types. The same seed gives the same program.
 */
import type { Prng } from '../base/prng.ts';

type Type = 'i32' | 'i64' | 'f32' | 'f64';
const TYPES: readonly Type[] = ['i32', 'i64', 'f32', 'f64'];

interface Signature {
  params: Type[];
  results: Type[];
}
interface Label {
  name: string;
  types: Type[];
}

const BINARY: Record<Type, readonly string[]> = {
  i32: ['add', 'sub', 'mul', 'and', 'or', 'xor', 'shl', 'shr_u', 'rotl', 'div_u', 'rem_s'],
  i64: ['add', 'sub', 'mul', 'and', 'or', 'xor', 'shl', 'shr_s', 'rotr'],
  f32: ['add', 'sub', 'mul', 'min'],
  f64: ['add', 'sub', 'mul', 'max'],
};
/** How an i32 becomes each type, and back. */
const FROM: Record<Type, string> = {
  i32: '',
  i64: 'i64.extend_i32_s',
  f32: 'f32.convert_i32_s',
  f64: 'f64.convert_i32_s',
};
const TO: Record<Type, string> = {
  i32: '',
  i64: 'i32.wrap_i64',
  f32: 'i32.trunc_sat_f32_s',
  f64: 'i32.trunc_sat_f64_s',
};
const LOADS: Record<Type, readonly string[]> = {
  i32: ['i32.load', 'i32.load8_s', 'i32.load16_u'],
  i64: ['i64.load', 'i64.load32_s', 'i64.load8_u'],
  f32: ['f32.load'],
  f64: ['f64.load'],
};
const STORES: Record<Type, readonly string[]> = {
  i32: ['i32.store', 'i32.store8', 'i32.store16'],
  i64: ['i64.store', 'i64.store32'],
  f32: ['f32.store'],
  f64: ['f64.store'],
};
const OFFSETS = ['', ' offset=4', ' offset=1000', ' offset=4090', ' offset=9000', ' offset=65530'];

/** Text of a program that imports `m.id` (i32) -> i32 and exports `f0`… of (i32, i64) -> one value, and `mem`. */
export function randomProgram(random: Prng): { text: string; functions: number } {
  return new Generator(random).program();
}

class Generator {
  readonly #random: Prng;
  readonly #signatures: Signature[] = [];
  #locals: Type[] = [];
  #labels: Label[] = [];
  #results: Type[] = [];
  #names = 0;
  #budget = 0;

  constructor(random: Prng) {
    this.#random = random;
  }

  program(): { text: string; functions: number } {
    const r = this.#random;
    const functions = 2 + r.below(4);
    for (let i = 0; i < functions; i++) {
      const params: Type[] = i < 2 ? ['i32', 'i64'] : this.#types(4);
      this.#signatures.push({ params, results: i < 2 ? [this.#type()] : this.#types(3) });
    }
    const bodies = this.#signatures.map((signature, i) => this.#function(signature, i));
    const wide = r.chance(0.2);
    const text = `(module
      (import "m" "id" (func $id (param i32) (result i32)))
      (memory (export "mem") 1 3) (global $fuel (mut i32) (i32.const 0)) (tag $e (param i32))
      (type $s (func (param i32 i64) (result ${this.#signatures[0]!.results.join(' ')})))
      (table 3 funcref) (elem (i32.const 0) $f0 $f${this.#signatures[1]!.results[0] === this.#signatures[0]!.results[0] ? 1 : 0})
      (data (i32.const ${wide ? 65500 : 0}) "some bytes to begin with")
      (func (export "fuel") (global.set $fuel (i32.const 150)))
      (func $burn
        (global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))
        (if (i32.lt_s (global.get $fuel) (i32.const 0)) (then (unreachable))))
      ${bodies.join('\n')})`;
    return { text, functions: 2 };
  }

  #type(): Type {
    return this.#random.pick(TYPES);
  }
  #types(below: number): Type[] {
    return Array.from({ length: this.#random.below(below) }, () => this.#type());
  }

  #function({ params, results }: Signature, index: number): string {
    const locals = Array.from({ length: this.#random.chance(0.1) ? 70 : 6 }, () => this.#type());
    this.#locals = [...params, ...locals];
    this.#labels = [];
    this.#results = results;
    this.#budget = 60;
    const exported = index < 2 ? ` (export "f${index}")` : '';
    return `(func $f${index}${exported} (param ${params.join(' ')}) (result ${results.join(' ')}) (local ${locals.join(' ')})
      call $burn\n${this.#sequence(results, 0)})`;
  }

  /** Statements, and then the values of these types. */
  #sequence(types: readonly Type[], depth: number): string {
    let text = '';
    for (let n = this.#random.below(5); n > 0; n--) text += this.#statement(depth);
    return text + this.#values(types, depth);
  }

  #values(types: readonly Type[], depth: number): string {
    return types.map((type) => this.#value(type, depth)).join('');
  }

  /** Leaves nothing more on the stack than there was. */
  #statement(depth: number): string {
    const r = this.#random;
    if (this.#budget-- <= 0) return 'nop\n';
    switch (r.below(12)) {
      case 0:
      case 1:
      case 2: {
        const local = r.below(this.#locals.length);
        return `${this.#value(this.#locals[local]!, depth + 1)}local.set ${local}\n`;
      }
      case 3:
      case 4: {
        const type = this.#type();
        const store = r.pick(STORES[type]);
        return `${this.#address(depth)}${this.#value(type, depth + 1)}${store}${r.pick(OFFSETS)}\n`;
      }
      case 5:
        return this.#branch(depth);
      case 6: {
        const types = this.#types(3);
        return `${this.#block(types, depth + 1)}${'drop\n'.repeat(types.length)}`;
      }
      case 7: {
        const types = this.#types(3);
        return `${this.#loop(types, depth + 1)}${'drop\n'.repeat(types.length)}`;
      }
      case 8:
        return `${this.#value('i32', depth + 1)}if\n${this.#sequence([], depth + 1)}${
          r.chance(0.5) ? `else\n${this.#sequence([], depth + 1)}` : ''
        }end\n`;
      case 9:
        return this.#catching(depth);
      case 10: {
        const callee = r.below(this.#signatures.length);
        const { params, results } = this.#signatures[callee]!;
        return `${this.#values(params, depth + 1)}call $f${callee}\n${'drop\n'.repeat(results.length)}`;
      }
      default:
        return this.#rare(depth);
    }
  }

  #rare(depth: number): string {
    const r = this.#random;
    switch (r.below(6)) {
      case 0:
        return `i32.const ${r.below(2)}\nmemory.grow\ndrop\n`;
      case 1:
        return `i32.const ${r.below(65536)}\n${this.#value('i32', depth + 1)}i32.const ${r.below(9000)}\nmemory.fill\n`;
      case 2:
        return `i32.const ${r.below(60000)}\ni32.const ${r.below(60000)}\ni32.const ${r.below(9000)}\nmemory.copy\n`;
      case 3:
        return `${this.#value('i32', depth + 1)}i32.const 7\ni32.and\ni32.eqz\nif\n${this.#value('i32', depth + 2)}throw $e\nend\n`;
      case 4:
        return `${this.#value('i32', depth + 1)}i32.const 15\ni32.and\ni32.eqz\nif\n${this.#values(this.#results, depth + 2)}return\nend\n`;
      default:
        return 'memory.size\ndrop\n';
    }
  }

  #branch(depth: number): string {
    const r = this.#random;
    if (this.#labels.length === 0) return 'nop\n';
    const { name, types } = r.pick(this.#labels);
    const same = this.#labels.filter((label) => label.types.join() === types.join());
    const values = this.#values(types, depth + 1);
    const condition = this.#value('i32', depth + 1);
    if (r.chance(0.4)) {
      const targets = Array.from({ length: 1 + r.below(4) }, () => `$${r.pick(same).name}`).join(' ');
      return `${condition}if\n${values}${this.#value('i32', depth + 2)}br_table ${targets} $${name}\nend\n`;
    }
    return `${values}${condition}br_if $${name}\n${'drop\n'.repeat(types.length)}`;
  }

  #typeUse(params: readonly Type[], results: readonly Type[]): string {
    return `${params.length ? ` (param ${params.join(' ')})` : ''}${results.length ? ` (result ${results.join(' ')})` : ''}`;
  }

  /** What stands at the start of a construct with parameters: they go into locals or are dropped. */
  #take(params: readonly Type[]): string {
    return params
      .toReversed()
      .map((type) => {
        const locals = this.#locals.flatMap((t, i) => (t === type ? [i] : []));
        return locals.length > 0 && this.#random.chance(0.7)
          ? `local.set ${this.#random.pick(locals)}\n`
          : 'drop\n';
      })
      .join('');
  }

  #block(types: Type[], depth: number): string {
    const name = `l${this.#names++}`;
    const params = this.#types(3);
    let text = `${this.#values(params, depth + 1)}block $${name}${this.#typeUse(params, types)}\n`;
    this.#labels.push({ name, types });
    text += this.#take(params) + this.#sequence(types, depth);
    this.#labels.pop();
    return `${text}end\n`;
  }

  #loop(types: Type[], depth: number): string {
    const name = `l${this.#names++}`;
    const params = this.#types(3);
    let text = `${this.#values(params, depth + 1)}loop $${name}${this.#typeUse(params, types)}\ncall $burn\n`;
    this.#labels.push({ name, types: params });
    text += this.#take(params) + this.#sequence(types, depth);
    this.#labels.pop();
    return `${text}end\n`;
  }

  /** A try_table whose clause names a block, or a loop that is open. */
  #catching(depth: number): string {
    const name = `c${this.#names++}`;
    const loops = this.#labels.filter((label) => label.types.join() === 'i32');
    const all = this.#labels.filter((label) => label.types.length === 0);
    const clauses = [
      loops.length > 0 && this.#random.chance(0.5)
        ? `(catch $e $${this.#random.pick(loops).name})`
        : `(catch $e $${name})`,
      all.length > 0 && this.#random.chance(0.3) ? `(catch_all $${this.#random.pick(all).name})` : '',
    ];
    const body = this.#sequence([], depth + 1);
    return `block $${name} (result i32)\ntry_table ${clauses.join(' ')}\n${body}end\n${this.#value('i32', depth + 1)}end\ndrop\n`;
  }

  #address(depth: number): string {
    const r = this.#random;
    if (r.chance(0.6)) {
      const locals = this.#locals.flatMap((type, i) => (type === 'i32' ? [i] : []));
      if (locals.length > 0) {
        const local = r.pick(locals);
        return r.chance(0.3)
          ? `local.get ${local}\ni32.const 0xfff8\ni32.and\nlocal.tee ${local}\n`
          : `local.get ${local}\n`;
      }
    }
    return `${this.#value('i32', depth + 1)}i32.const 0x1ffff\ni32.and\n`;
  }

  /** Leaves one value of a type. */
  #value(type: Type, depth: number): string {
    const r = this.#random;
    if (depth > 6 || this.#budget-- <= 0) return this.#leaf(type);
    switch (r.below(11)) {
      case 0:
      case 1:
        return this.#leaf(type);
      case 2:
      case 3:
        return `${this.#value(type, depth + 1)}${this.#value(type, depth + 1)}${type}.${r.pick(BINARY[type])}\n`;
      case 4:
        return `${this.#address(depth)}${r.pick(LOADS[type])}${r.pick(OFFSETS)}\n`;
      case 5: {
        const other = this.#type();
        const to = [TO[other], FROM[type]].filter((op) => op !== '').join('\n');
        return `${this.#value(other, depth + 1)}${to}\n`;
      }
      case 6:
        return `${this.#value('i32', depth + 1)}call $id\n${FROM[type]}\n`;
      case 7:
        return this.#block([type], depth + 1);
      case 8: {
        const name = `l${this.#names++}`;
        const condition = this.#value('i32', depth + 1);
        this.#labels.push({ name, types: [type] });
        const arms = `${this.#sequence([type], depth + 1)}else\n${this.#sequence([type], depth + 1)}`;
        this.#labels.pop();
        return `${condition}if $${name} (result ${type})\n${arms}end\n`;
      }
      case 9:
        return this.#call(type, depth);
      default:
        return `${this.#value(type, depth + 1)}${this.#value(type, depth + 1)}${this.#value('i32', depth + 1)}select\n`;
    }
  }

  #leaf(type: Type): string {
    const r = this.#random;
    const locals = this.#locals.flatMap((t, i) => (t === type ? [i] : []));
    if (locals.length > 0 && r.chance(0.7)) return `local.get ${r.pick(locals)}\n`;
    const whole = r.pick([0, 1, 2, 7, 100, 65535, -1, 4096]);
    return `${type}.const ${whole}\n`;
  }

  /** A call whose last result is the value, or if there is no such function an indirect one, converted. */
  #call(type: Type, depth: number): string {
    const fitting = this.#signatures.flatMap(({ results }, i) => (results.at(-1) === type ? [i] : []));
    if (fitting.length === 0 || this.#random.chance(0.2)) {
      const only = this.#signatures[0]!.results[0]!;
      const to = [TO[only], FROM[type]].filter((op) => op !== '' && only !== type).join('\n');
      return `${this.#values(['i32', 'i64'], depth + 1)}i32.const ${this.#random.below(3)}\ncall_indirect (type $s)\n${to}\n`;
    }
    const callee = this.#random.pick(fitting);
    const { params, results } = this.#signatures[callee]!;
    const below = results.length - 1;
    const call = `${this.#values(params, depth + 1)}call $f${callee}\n`;
    if (below === 0) return call;
    const name = this.#locals.lastIndexOf(type);
    if (name < 0) return `${call}${'drop\n'.repeat(results.length)}${this.#leaf(type)}`;
    return `${call}local.set ${name}\n${'drop\n'.repeat(below)}local.get ${name}\n`;
  }
}
