/**
 * An instance of one rewritten module of a domain: of its program, or of one that it has made at run time. The globals
 * by which its code knows where the domain lies are its own; only the kernel writes them.
 */
import { EXPORT, MAIN_MODULE, SYSTEM_MODULE } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import type { Continuation, Resume } from './continuations.ts';
import type { Domain } from './domain.ts';
import type { LoadedModule } from './program.ts';

/** A call into the rewritten module with nothing passed and nothing returned. */
type Plain = () => void;

export class Part {
  readonly module: LoadedModule;
  readonly exports: WebAssembly.Exports;
  /** The functions of the module by index, where it uses references. */
  readonly refs: WebAssembly.Table | null;
  readonly #hdr: WebAssembly.Global;
  /** Limit global of each memory, and base global (null for memory 0, which hdr stands for). */
  readonly #limits: WebAssembly.Global[] = [];
  readonly #bases: (WebAssembly.Global | null)[] = [];
  readonly #system: Record<string, WebAssembly.ExternValue>;
  readonly #resumes = new WeakMap<Resume, WebAssembly.Exports>();

  /** @throws WebAssembly.RuntimeError or LinkError */
  constructor(module: LoadedModule, imports: WebAssembly.Imports) {
    const { exports } = new WebAssembly.Instance(module.program, imports);
    this.exports = exports;
    this.module = module;
    this.#hdr = exports[EXPORT.hdr] as WebAssembly.Global;
    this.#system = imports[SYSTEM_MODULE] as Record<string, WebAssembly.ExternValue>;
    this.refs = (exports[EXPORT.refs] as WebAssembly.Table | undefined) ?? null;
    assert(this.#hdr !== undefined, 'a verified module exports hdr');
    for (let i = 0; i < module.evidence.memories.length; i++) {
      this.#limits.push(exports[EXPORT.limit + i] as WebAssembly.Global);
      this.#bases.push(i === 0 ? null : (exports[EXPORT.base + i] as WebAssembly.Global));
    }
  }

  /** See `Instance.place`. */
  place(domain: Domain): void {
    this.#hdr.value = BigInt(domain.region);
    for (let i = 0; i < this.#limits.length; i++) {
      const { min } = this.module.evidence.memories[i] as { min: number };
      assert(domain.pagesOf(i) >= min, 'a memory has what the program declares');
      this.resize(domain, i);
      const base = this.#bases[i];
      if (base) base.value = BigInt(domain.addressOf(i));
    }
  }

  resize(domain: Domain, memory: number): void {
    const limit = this.#limits[memory];
    if (limit !== undefined) limit.value = BigInt(domain.bytesOf(memory));
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
}
