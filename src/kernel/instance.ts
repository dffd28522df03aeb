/**
 * A domain's running form: an instance of its rewritten module over the space, and one of each module it has made at run
 * time (made.ts). It holds nothing that is not in the space too, or can be made again from there: drop it at any time
 * between slices and make another.
 */
import { functionNumber, indexOf, moduleOf } from '../abi/frame.ts';
import { EXPORT, GUEST_EXPORT, SYSTEM_MODULE } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import type { Domain } from './domain.ts';
import { Part } from './part.ts';
import type { LoadedModule } from './program.ts';

const names = new WeakMap<LoadedModule, Map<number, string>>();
/** Exported functions of a program by index: one name for each. */
function exportNames(module: LoadedModule): Map<number, string> {
  let map = names.get(module);
  if (map === undefined) {
    map = new Map();
    for (const { name, kind } of WebAssembly.Module.exports(module.program)) {
      if (kind !== 'function' || !name.startsWith(GUEST_EXPORT)) continue;
      const plain = name.slice(GUEST_EXPORT.length);
      map.set(module.info.exportedFunction(plain), plain);
    }
    names.set(module, map);
  }
  return map;
}

export class Instance {
  /** The program's. */
  readonly main: Part;
  readonly #system: Record<string, WebAssembly.ExternValue>;
  /** Those of made modules, by number. */
  readonly #made = new Map<number, Part>();
  #numbers: Map<unknown, number> | null = null;

  /**
   * Instantiates: active element segments are applied, which may trap as wasm does.
   * @throws WebAssembly.RuntimeError or LinkError
   */
  constructor(domain: Domain, imports: WebAssembly.Imports) {
    this.main = new Part(domain.module, imports);
    this.#system = imports[SYSTEM_MODULE] as Record<string, WebAssembly.ExternValue>;
    this.place(domain);
  }

  get exports(): WebAssembly.Exports {
    return this.main.exports;
  }

  /**
   * An instance of a made module. `own`: what it imports of the program.
   * @throws WebAssembly.RuntimeError or LinkError
   */
  addPart(domain: Domain, number: number, module: LoadedModule, own: WebAssembly.Imports): Part {
    assert(number > 0 && !this.#made.has(number), 'a made module has one instance');
    const part = new Part(module, { ...own, [SYSTEM_MODULE]: this.#system });
    // Its code has not run, so that of others may be on the native stack.
    part.place(domain);
    this.#made.set(number, part);
    if (this.#numbers !== null) addNumbers(this.#numbers, number, part);
    return part;
  }

  dropPart(number: number): void {
    this.#made.delete(number);
    this.#numbers = null;
  }

  /** The instance of a module of the domain: 0 is the program. */
  part(number: number): Part | undefined {
    return number === 0 ? this.main : this.#made.get(number);
  }

  /**
   * Tells the code where its domain lies now and how large its memories are. Never while code of it is on the native
   * stack, and no memory ever has less than the program declares: the verifier counts on both.
   */
  place(domain: Domain): void {
    assert(domain.nativeFrames === 0, 'a domain whose code runs stays where it is');
    this.main.place(domain);
    for (const part of this.#made.values()) part.place(domain);
  }

  /** Tells the code the size of a memory that has grown where it is. */
  resize(domain: Domain, memory: number): void {
    this.main.resize(domain, memory);
    for (const part of this.#made.values()) part.resize(domain, memory);
  }

  save(): void {
    this.main.save();
    for (const part of this.#made.values()) part.save();
  }
  restore(): void {
    this.main.restore();
    for (const part of this.#made.values()) part.restore();
  }

  /** The quick version of a function of the program, or null where it is not at hand. */
  quickFunction(functionIndex: number): WebAssembly.Func | null {
    const name = exportNames(this.main.module).get(functionIndex);
    const value = name === undefined ? undefined : this.exports[GUEST_EXPORT + name];
    return typeof value === 'function' ? (value as WebAssembly.Func) : null;
  }

  /** A table of a module of the domain, by number as functions are numbered. */
  table(number: number): WebAssembly.Table | undefined {
    return this.part(moduleOf(number))?.exports[EXPORT.table + indexOf(number)] as
      | WebAssembly.Table
      | undefined;
  }

  /** Hands the results of reference type that a function of one module left to the code of another. */
  carryResults(from: number, to: number): void {
    const [source, target] = [this.part(from)?.exports, this.part(to)?.exports];
    if (source === undefined || target === undefined) return;
    for (const name of Object.keys(target)) {
      if (!name.startsWith(EXPORT.result)) continue;
      const global = source[name] as WebAssembly.Global | undefined;
      if (global !== undefined) (target[name] as WebAssembly.Global).value = global.value;
    }
  }

  /** The number of a function of this domain, -1 for null or a function of none. */
  refIndex(reference: unknown): number {
    if (reference === null) return -1;
    if (this.#numbers === null) {
      this.#numbers = new Map();
      addNumbers(this.#numbers, 0, this.main);
      for (const [number, part] of this.#made) addNumbers(this.#numbers, number, part);
    }
    return this.#numbers.get(reference) ?? -1;
  }

  /** The function with a number, null for -1 and for what is none. */
  refOf(number: number): unknown {
    if (number < 0) return null;
    const refs = this.part(moduleOf(number))?.refs;
    const index = indexOf(number);
    return refs && index < refs.length ? refs.get(index) : null;
  }
}

function addNumbers(numbers: Map<unknown, number>, module: number, { refs }: Part): void {
  for (let i = 0; refs !== null && i < refs.length; i++) {
    const each: unknown = refs.get(i);
    if (each !== null) numbers.set(each, functionNumber(module, i));
  }
}
