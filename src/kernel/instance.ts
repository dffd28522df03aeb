/**
 * A domain's running form: an instance of its rewritten module over the space. It holds nothing that is not in the
 * space too, or can be made again from there: drop it at any time between slices and make another.
 */
import { EXPORT, GUEST_EXPORT, MAIN_MODULE, SYSTEM_MODULE } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import type { Continuation, Resume } from './continuations.ts';
import type { Domain } from './domain.ts';
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

/** A call into the rewritten module with nothing passed and nothing returned. */
type Plain = () => void;

export class Instance {
  readonly exports: WebAssembly.Exports;
  readonly #module: LoadedModule;
  readonly #hdr: WebAssembly.Global;
  /** Limit global of each memory, and base global (null for memory 0, which hdr stands for). */
  readonly #limits: WebAssembly.Global[] = [];
  readonly #bases: (WebAssembly.Global | null)[] = [];
  readonly #system: Record<string, WebAssembly.ExternValue>;
  readonly #resumes = new WeakMap<Resume, WebAssembly.Exports>();
  readonly #refs: WebAssembly.Table | null;
  #refIndex: Map<unknown, number> | null = null;

  /**
   * Instantiates: active element segments are applied, which may trap as wasm does.
   * @throws WebAssembly.RuntimeError or LinkError
   */
  constructor(domain: Domain, imports: WebAssembly.Imports) {
    const { exports } = new WebAssembly.Instance(domain.module.program, imports);
    this.exports = exports;
    this.#module = domain.module;
    this.#hdr = exports[EXPORT.hdr] as WebAssembly.Global;
    this.#system = imports[SYSTEM_MODULE] as Record<string, WebAssembly.ExternValue>;
    this.#refs = (exports[EXPORT.refs] as WebAssembly.Table | undefined) ?? null;
    assert(this.#hdr !== undefined, 'a verified module exports hdr');
    for (let i = 0; i < domain.module.evidence.memories.length; i++) {
      this.#limits.push(exports[EXPORT.limit + i] as WebAssembly.Global);
      this.#bases.push(i === 0 ? null : (exports[EXPORT.base + i] as WebAssembly.Global));
    }
    this.place(domain);
  }

  /**
   * Tells the code where its domain lies now and how large its memories are. Never while code of it is on the native
   * stack, and no memory ever has less than the program declares: the verifier counts on both.
   */
  place(domain: Domain): void {
    assert(!domain.nativeFrames, 'a domain whose code runs stays where it is');
    this.#hdr.value = BigInt(domain.region);
    for (let i = 0; i < this.#limits.length; i++) {
      const { min } = this.#module.evidence.memories[i] as { min: number };
      assert(domain.pagesOf(i) >= min, 'a memory has what the program declares');
      (this.#limits[i] as WebAssembly.Global).value = BigInt(domain.bytesOf(i));
      const base = this.#bases[i];
      if (base) base.value = BigInt(domain.addressOf(i));
    }
  }

  /** Tells the code the size of a memory that has grown where it is. */
  resize(domain: Domain, memory: number): void {
    (this.#limits[memory] as WebAssembly.Global).value = BigInt(domain.bytesOf(memory));
  }

  init(): void {
    (this.exports[EXPORT.init] as Plain)();
  }
  save(): void {
    (this.exports[EXPORT.save] as Plain)();
  }
  restore(): void {
    (this.exports[EXPORT.restore] as Plain)();
  }

  /** A continuation, in an instance of its module for this one. */
  continuation({ resume, name }: Continuation): Plain {
    let exports = this.#resumes.get(resume);
    if (exports === undefined) {
      const lookup = this.exports[EXPORT.function] as (index: number) => WebAssembly.Func;
      const main = Object.create(null) as Record<string, WebAssembly.ExternValue>;
      for (const item of resume.others) main[item] = this.exports[item] as WebAssembly.ExternValue;
      for (const index of resume.functions) main[index] = lookup(Number(index));
      const imports = { [SYSTEM_MODULE]: this.#system, [MAIN_MODULE]: main };
      exports = new WebAssembly.Instance(resume.module, imports).exports;
      this.#resumes.set(resume, exports);
    }
    return exports[name] as Plain;
  }

  /** The quick version of a function of the program, or null where it is not at hand. */
  quickFunction(functionIndex: number): WebAssembly.Func | null {
    const name = exportNames(this.#module).get(functionIndex);
    const value = name === undefined ? undefined : this.exports[GUEST_EXPORT + name];
    return typeof value === 'function' ? (value as WebAssembly.Func) : null;
  }

  /** A table of the program. */
  table(index: number): WebAssembly.Table | undefined {
    return this.exports[EXPORT.table + index] as WebAssembly.Table | undefined;
  }

  /** The original index of a function of this program, -1 for null or a function of none. */
  refIndex(reference: unknown): number {
    if (reference === null || this.#refs === null) return -1;
    if (this.#refIndex === null) {
      this.#refIndex = new Map();
      for (let i = 0; i < this.#refs.length; i++) {
        const each: unknown = this.#refs.get(i);
        if (each !== null) this.#refIndex.set(each, i);
      }
    }
    return this.#refIndex.get(reference) ?? -1;
  }

  /** The function of an original index, null for -1 and for what is none. */
  refOf(index: number): unknown {
    return this.#refs !== null && index >= 0 && index < this.#refs.length ? this.#refs.get(index) : null;
  }
}
