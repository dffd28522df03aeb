/**
 * Imports for any program, for comparing two ways of running it: what a host function gives back depends on its name
 * and arguments alone, and everything it is told is noted. Make one `World` a run: its globals and tables are its own.
 */
import { assert } from '../../src/base/assert.ts';
import { decodeModule, type Import, type Module } from '../../src/wasm/module.ts';
import {
  EXNREF,
  EXTERNREF,
  F32,
  F64,
  FUNCREF,
  I32,
  I64,
  V128,
  type ValueType,
} from '../../src/wasm/types.ts';

/** The one exception that host functions throw, where they do. */
const HOST_TAG = new WebAssembly.Tag({ parameters: [] });
/** Name of the host function that throws (Binaryen's generator calls it so). */
const THROWS = 'throw';

export type HostFunction = WebAssembly.Func;

/** What a program wants of its host, from its bytes. */
export class Wants {
  readonly module: Module;

  constructor(bytes: Uint8Array) {
    this.module = decodeModule(bytes);
  }

  get imports(): readonly Import[] {
    return this.module.imports;
  }
}

export class World {
  /** Calls of host functions in their order, with what they were given. */
  readonly log: string[] = [];
  readonly #wants: Wants;
  readonly #made = new Map<string, WebAssembly.ExternValue>();

  constructor(wants: Wants) {
    this.#wants = wants;
  }

  /** True when the program takes only functions from its host. */
  get isAlone(): boolean {
    return this.#wants.imports.every(({ kind }) => kind === 'func' || kind === 'memory');
  }

  /** A function by its type. `before` runs first and may throw what the run under test wants thrown. */
  call(name: string, results: readonly ValueType[], before: () => void = () => {}): HostFunction {
    return (...args) => {
      before();
      const told = `${name}(${args.map(show).join()})`;
      this.log.push(told);
      if (name === THROWS) throw new WebAssembly.Exception(HOST_TAG, []);
      const values = results.map((type, i) => valueFor(type, hash(told) + i));
      return values.length > 1 ? values : values[0];
    };
  }

  /** A global, table, memory or tag that the program imports. */
  thing(module: string, name: string): WebAssembly.ExternValue {
    const key = `${module}\0${name}`;
    const made = this.#made.get(key) ?? this.#make(module, name);
    this.#made.set(key, made);
    return made;
  }

  #make(module: string, name: string): WebAssembly.ExternValue {
    const found = this.#wants.imports.find((item) => item.module === module && item.name === name)!;
    if (found.kind === 'global') {
      const { type, mutable } = found.global;
      const descriptor = { value: TYPE_NAMES[type]!, mutable };
      return new WebAssembly.Global(descriptor, valueFor(type, 3));
    }
    if (found.kind === 'table') {
      const { min, max, is64, element } = found.table;
      const size = (n: bigint): never => (is64 ? n : Number(n)) as never;
      return new WebAssembly.Table({
        element: TYPE_NAMES[element] as 'anyfunc',
        initial: size(min),
        ...(max === undefined ? {} : { maximum: size(max) }),
        ...(is64 ? { address: 'i64' } : {}),
      });
    }
    if (found.kind === 'memory') {
      const { min, max, is64, shared } = found.memory;
      const size = (n: bigint): never => (is64 ? n : Number(n)) as never;
      return new WebAssembly.Memory({
        initial: size(min),
        ...(max === undefined ? {} : { maximum: size(max) }),
        ...(is64 ? { address: 'i64' } : {}),
        shared,
      });
    }
    assert(found.kind === 'tag', 'functions are made by call()');
    const { params } = this.#wants.module.types[found.tag.type]!;
    return new WebAssembly.Tag({ parameters: params.map((code) => TYPE_NAMES[code]!) });
  }

  /** Everything, for plain V8. */
  imports(): WebAssembly.Imports {
    const all: Record<string, Record<string, WebAssembly.ExternValue>> = {};
    for (const item of this.#wants.imports) {
      const { module, name } = item;
      all[module] ??= {};
      all[module][name] =
        item.kind === 'func'
          ? this.call(name, this.#wants.module.types[item.type]!.results)
          : this.thing(module, name);
    }
    return all;
  }
}

const TYPE_NAMES: Readonly<Record<number, WebAssembly.ValueTypeName>> = {
  ...{ [I32]: 'i32', [I64]: 'i64', [F32]: 'f32', [F64]: 'f64', [V128]: 'v128' },
  ...{ [FUNCREF]: 'anyfunc', [EXTERNREF]: 'externref', [EXNREF]: 'exnref' },
};

function show(value: unknown): string {
  if (typeof value === 'function') return 'function';
  return Object.is(value, -0) ? '-0' : String(value);
}

function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h ^ (h >>> 15)) >>> 0;
}

/** Some value of a type. */
function valueFor(type: ValueType, h: number): unknown {
  if (type === I32) return h % 3 === 0 ? h | 0 : h % 100;
  if (type === I64) return BigInt(h % 1000);
  if (type === F32 || type === F64) return (h % 4001) / 4 - 500;
  return null;
}
