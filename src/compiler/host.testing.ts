/**
 * The least that can run a rewritten module: one domain at a fixed base, no kernel. For the compiler's own tests, so
 * that they fail for the compiler's faults only. With `always` every safepoint unwinds: the whole stack is saved,
 * then resumed frame by frame. The domain moves at every unwind, which every growth of a memory is, and what it leaves behind
 * is overwritten, so that an address kept for too long is noticed.
 */
import {
  KIND_BEFORE,
  maskWordsFor,
  readTrailer,
  reverseFrames,
  TRAILER_BYTES,
  writeTrailer,
} from '../abi/frame.ts';
import {
  CONTROL,
  EPOCH_ADDRESS,
  FLAG_ADDRESS,
  MARKS_ADDRESS,
  MARKS_BYTES,
  OWN_MARKS_BYTES,
  ownMarks,
  RESULTS_OFFSET,
  RESUME_MODE_OFFSET,
  RESUME_RESULTS,
  RESUME_THROW,
  WINDOW,
} from '../abi/layout.ts';
import type { ProgramInfo } from '../abi/program.ts';
import { continuationName, type FrameSite } from '../abi/resume.ts';
import { EXPORT, MAIN_MODULE } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, PAGE_BYTES, WINDOW_BASE } from '../base/limits.ts';
import { isRefType } from '../wasm/types.ts';
import { ALONE, type Compiled, compile, FULL } from './compile.ts';
import { programInfo } from './info.ts';

/** Where the domain lies, behind the marks of memories of its own; it goes to and fro. */
const BASES = [160 << 20, 320 << 20] as const;
const STACK = 144 << 20;
const STACK_BYTES = 8 << 20;
/** Distance between the extents of two memories. */
const APART = 48 << 20;
/** Pages that a memory may have. */
const MAX_PAGES = 512;

/** The window table, and how many entries it has: not all there could be. */
const WINDOWS = 140 << 20;
const WINDOW_COUNT = 64;
/** Where segments may lie. */
export const SEGMENTS = 480 << 20;

/** A stretch of near addresses that is mapped. */
export interface TestWindow {
  /** A multiple of 64 KiB from WINDOW_BASE up. */
  readonly near: number;
  /** In the space, from SEGMENTS up. */
  readonly at: number;
  readonly bytes: number;
  readonly writable: boolean;
}

type Imports = Record<string, Record<string, unknown>>;
export type Value = number | bigint;

export class TestHost {
  readonly compiled: Compiled;
  readonly info: ProgramInfo;
  readonly space: WebAssembly.Memory;
  readonly view: DataView;
  readonly exports: Record<string, unknown>;
  /** Unwind at every safepoint. */
  always: boolean;
  /** How many times the stack was saved. */
  unwinds = 0;
  /** How many times the domain moved. */
  moves = 0;
  readonly #imports: Record<string, unknown>;
  readonly #unwind = new WebAssembly.Tag({ parameters: [] });
  #pending: unknown;
  #max: number[] = [];
  readonly #imported = new Set<string>();
  #base: number = BASES[0];

  /** The program's memories where they are its own; see `alone`. */
  readonly #own: WebAssembly.Memory[] | null;

  /**
   * @param alone compiled for a process of its own: with memories of its own
   * @param windows compiled with windows
   */
  constructor(program: Uint8Array, imports: Imports = {}, always = false, alone = false, windows = false) {
    this.always = always;
    const options = { ...(alone ? ALONE : FULL), windows };
    this.compiled = compile(program, options);
    this.info = programInfo(program, this.compiled.bytes, options);
    this.#own = alone ? this.compiled.evidence.memories.map(ownMemory) : null;
    this.space = new WebAssembly.Memory({
      address: 'i64',
      initial: 8192n,
      maximum: 262144n,
      shared: true,
    } as unknown as WebAssembly.MemoryDescriptor);
    this.view = new DataView(this.space.buffer);
    this.#imports = this.#system();
    const module = new WebAssembly.Module(this.compiled.bytes);
    const instance = new WebAssembly.Instance(module, {
      ...this.#restarting(imports),
      perdure: this.#imports,
    } as WebAssembly.Imports);
    this.exports = instance.exports as Record<string, unknown>;
    this.#max = this.compiled.evidence.memories.map(({ max }) =>
      max < 0 ? MAX_PAGES : Math.min(MAX_PAGES, max),
    );
    this.compiled.evidence.memories.forEach((memory, i) => {
      this.#limit(i).value = BigInt(memory.min * 65536);
    });
    this.#place();
    this.#stack();
    (this.exports[EXPORT.init] as () => void)();
    if (this.info.startFunction >= 0) this.run(this.info.startFunction, []);
  }

  #limit(memory: number): WebAssembly.Global {
    return this.exports[EXPORT.limit + memory] as WebAssembly.Global;
  }
  #size(memory: number): number {
    return Number(this.#limit(memory).value);
  }

  /** Tells the code where everything lies. */
  #place(): void {
    (this.exports[EXPORT.hdr] as WebAssembly.Global).value = BigInt(this.#base);
    this.view.setBigUint64(this.#base + CONTROL.windows, BigInt(WINDOWS), true);
    this.view.setBigUint64(this.#base + CONTROL.windowCount, BigInt(WINDOW_COUNT), true);
    this.compiled.evidence.memories.forEach((_, i) => {
      if (i > 0) (this.exports[EXPORT.base + i] as WebAssembly.Global).value = BigInt(this.#base + i * APART);
    });
  }

  #stack(): void {
    this.view.setBigUint64(this.#base + CONTROL.stackPointer, BigInt(STACK), true);
    this.view.setBigUint64(this.#base + CONTROL.stackBase, BigInt(STACK), true);
    this.view.setBigUint64(this.#base + CONTROL.stackLimit, BigInt(STACK + STACK_BYTES), true);
  }

  #move(): void {
    const from = this.#base;
    const to = BASES[0] + BASES[1] - from;
    const bytes = new Uint8Array(this.space.buffer);
    const { controlBytes, memories } = this.compiled.evidence;
    for (let i = 0; i < (this.#own ? 1 : Math.max(1, memories.length)); i++) {
      const at = from + i * APART;
      const size = (i === 0 ? controlBytes : 0) + (i < memories.length && !this.#own ? this.#size(i) : 0);
      bytes.copyWithin(to + i * APART, at, at + size);
      bytes.fill(0xa5, at, at + size);
    }
    this.#base = to;
    this.moves++;
    this.#place();
  }

  /** The bytes of one of the program's memories, as they are now. */
  memory(index: number): Uint8Array {
    if (this.#own) return new Uint8Array(this.#own[index]!.buffer).slice();
    const at = this.#memoryAt(index);
    return new Uint8Array(this.space.buffer).slice(at, at + this.#size(index));
  }
  #memoryAt(index: number): number {
    return this.#base + (index === 0 ? this.compiled.evidence.controlBytes : index * APART);
  }

  clearMarks(): void {
    new Uint8Array(this.space.buffer, MARKS_ADDRESS, this.space.buffer.byteLength / PAGE_BYTES).fill(0);
    this.#own?.forEach((_, i) => {
      new Uint8Array(this.space.buffer, ownMarks(i), OWN_MARKS_BYTES).fill(0);
    });
  }
  /** Pages of a memory that differ from what they were, but neither they nor a neighbour are marked. */
  unmarked(index: number, before: Uint8Array): number[] {
    const marks = this.#own
      ? new Uint8Array(this.space.buffer, ownMarks(index), OWN_MARKS_BYTES)
      : new Uint8Array(this.space.buffer, MARKS_ADDRESS, MARKS_BYTES);
    const now = this.memory(index);
    const first = this.#own ? 0 : this.#memoryAt(index) / PAGE_BYTES;
    const pages: number[] = [];
    for (let page = 0; page * PAGE_BYTES < before.length; page++) {
      const [from, to] = [page * PAGE_BYTES, (page + 1) * PAGE_BYTES];
      if (Buffer.compare(now.subarray(from, to), before.subarray(from, to)) === 0) continue;
      const at = first + page;
      if (!marks[at - 1] && !marks[at] && !marks[at + 1]) pages.push(page);
    }
    return pages;
  }

  #system(): Record<string, unknown> {
    return {
      ...Object.fromEntries((this.#own ?? []).map((memory, i) => [`memory${i}`, memory])),
      space: this.space,
      unwind: this.#unwind,
      grow: (memory: number, delta: bigint): bigint => {
        this.#restart('grow', true);
        const limit = this.#limit(memory);
        const pages = limit.value >> 16n;
        if (delta < 0n || pages + delta > BigInt(this.#max[memory]!)) return -1n;
        if (this.#own) {
          const { is64 } = this.compiled.evidence.memories[memory]!;
          this.#own[memory]!.grow((is64 ? delta : Number(delta)) as number);
          limit.value = (pages + delta) << 16n;
          return pages;
        }
        const at = this.#memoryAt(memory) + this.#size(memory);
        new Uint8Array(this.space.buffer).fill(0, at, at + (Number(delta) << 16));
        limit.value = (pages + delta) << 16n;
        return pages;
      },
      rethrow: () => {
        throw this.#pending;
      },
      stack: () => {
        throw new Error('the test stack is full');
      },
      wait: (memory: number, address: bigint, _expected: bigint, _timeout: bigint, width: number): number => {
        this.#atomic(memory, address, width);
        this.#restart('wait');
        return 2; // in time nobody comes
      },
      notify: (memory: number, address: bigint) => {
        this.#atomic(memory, address, 4);
        return 0;
      },
      ref_index: (ref: unknown): number => {
        if (ref === null) return -1;
        const table = this.exports[EXPORT.refs] as WebAssembly.Table;
        for (let i = 0; i < table.length; i++) if (table.get(i) === ref) return i;
        throw new Error('a function of nobody');
      },
      extern_id: (ref: unknown): number => (ref === null ? -1 : this.#externs.push(ref) - 1),
      extern_of: (id: number): unknown => (id < 0 ? null : this.#externs[id]),
      window: (near: bigint, bytes: bigint, write: number): bigint => this.#window(near, bytes, write),
      ref_of: (index: number): unknown =>
        index < 0 ? null : (this.exports[EXPORT.refs] as WebAssembly.Table).get(index),
    };
  }
  readonly #externs: unknown[] = [];

  /** What is mapped; the table is filled as it is asked for, and all of it is true until the next `map`. */
  #windows: readonly TestWindow[] = [];

  /** From here on these are the windows, and no others. */
  map(windows: readonly TestWindow[]): void {
    this.#windows = windows;
    this.view.setBigUint64(EPOCH_ADDRESS, this.view.getBigUint64(EPOCH_ADDRESS, true) + 1n, true);
    this.#place();
  }

  #window(near: bigint, bytes: bigint, write: number): bigint {
    const at = Number(BigInt.asUintN(64, near));
    const size = Number(BigInt.asUintN(64, bytes));
    const found = this.#windows.find((w) => at >= w.near && at + size <= w.near + w.bytes);
    if (!found || (write !== 0 && !found.writable))
      throw new WebAssembly.RuntimeError('out of bounds memory access');
    const end = BigInt(found.near + found.bytes);
    const entry = WINDOWS + WINDOW.bytes * Math.floor((at - WINDOW_BASE) / FRAME_BYTES);
    this.view.setBigInt64(entry + WINDOW.delta, BigInt(found.at - found.near), true);
    this.view.setBigUint64(entry + WINDOW.readEnd, end, true);
    this.view.setBigUint64(entry + WINDOW.writeEnd, found.writable ? end : 0n, true);
    this.view.setBigUint64(entry + WINDOW.epoch, this.view.getBigUint64(EPOCH_ADDRESS, true), true);
    return BigInt(found.at + at - found.near);
  }

  #atomic(memory: number, address: bigint, width: number): void {
    const inside = BigInt.asUintN(64, address) <= BigInt(this.#size(memory) - width);
    if (!inside || address % BigInt(width) !== 0n) throw new WebAssembly.RuntimeError('a bad atomic');
  }

  /** With `always`, an import's first call unwinds and only the second is made, as when a program has to wait. */
  #restarting(imports: Imports): Imports {
    const wrapped: Imports = {};
    for (const [module, items] of Object.entries(imports)) {
      wrapped[module] = {};
      for (const [name, item] of Object.entries(items)) {
        wrapped[module][name] =
          typeof item !== 'function' ||
          Object.hasOwn(item, 'length') === false ||
          item instanceof WebAssembly.Table
            ? item
            : (...args: unknown[]): unknown => {
                this.#restart(`${module}.${name}`);
                return item(...args);
              };
      }
    }
    return wrapped;
  }

  #restart(key: string, each = this.always): void {
    if (!each || this.#imported.delete(key)) return;
    this.#imported.add(key);
    throw new WebAssembly.Exception(this.#unwind, []);
  }

  /** Calls an exported function of numbers. */
  call(name: string, ...args: Value[]): Value[] {
    const index = this.info.exportedFunction(name);
    assert(index >= 0, `no export ${name}`);
    return this.run(index, args);
  }

  run(index: number, args: Value[]): Value[] {
    this.#pushEntry(index, args);
    this.trampoline();
    return this.#results(index);
  }

  #pushEntry(index: number, args: Value[]): void {
    const first = this.info.firstInstruction(index);
    const layout = this.info.frameLayout(index, first, KIND_BEFORE);
    assert(layout, 'every function has an entry');
    const { params } = this.info.functionShape(index);
    for (const local of layout.live) {
      const type = layout.locals[local]!;
      this.#push(type, local < params.length ? args[local]! : isRefType(type) ? -1 : 0);
    }
    const words = new Array<bigint>(maskWordsFor(layout.locals.length)).fill(0n);
    for (const local of layout.live) words[local >>> 6]! |= 1n << BigInt(local & 63);
    for (const word of words) this.#pushRaw(word);
    const place = { functionNumber: index, instructionOffset: first, kind: KIND_BEFORE, operands: 0 };
    const trailer = new Uint8Array(TRAILER_BYTES);
    writeTrailer(trailer, 0, { ...place, maskWords: words.length, slots: layout.live.length });
    for (const word of new BigUint64Array(trailer.buffer)) this.#pushRaw(word);
  }

  get #sp(): number {
    return Number(this.view.getBigUint64(this.#base + CONTROL.stackPointer, true));
  }
  set #sp(value: number) {
    this.view.setBigUint64(this.#base + CONTROL.stackPointer, BigInt(value), true);
  }

  #pushRaw(word: bigint): void {
    this.view.setBigUint64(this.#sp, BigInt.asUintN(64, word), true);
    this.#sp += 8;
  }
  #push(type: number, value: Value): void {
    this.#write(this.#sp, type, value);
    this.#sp += type === 0x7b ? 16 : 8;
  }
  #write(at: number, type: number, value: Value): void {
    if (type === 0x7e) this.view.setBigInt64(at, BigInt.asIntN(64, BigInt(value)), true);
    else if (type === 0x7d) this.view.setFloat32(at, Number(value), true);
    else if (type === 0x7c) this.view.setFloat64(at, Number(value), true);
    else this.view.setInt32(at, Number(value), true);
  }
  #results(index: number): Value[] {
    return this.info.functionShape(index).results.map((type, i) => {
      const at = this.#base + RESULTS_OFFSET + i * 16;
      if (type === 0x7e) return this.view.getBigInt64(at, true);
      if (type === 0x7d) return this.view.getFloat32(at, true);
      if (type === 0x7c) return this.view.getFloat64(at, true);
      return this.view.getInt32(at, true);
    });
  }

  /** What resume modules were made for, by number. */
  readonly resumed: FrameSite[] = [];
  readonly #continuations = new Map<string, () => void>();

  /** The continuation of a site: from a resume module made for it alone. */
  #continuation(site: FrameSite): () => void {
    const name = continuationName(site);
    let found = this.#continuations.get(name);
    if (found === undefined) {
      const module = new WebAssembly.Module(this.info.resumeModule([site], this.resumed.push(site) - 1));
      const lookup = this.exports[EXPORT.function] as (index: number) => unknown;
      const main: Record<string, unknown> = { ...this.exports };
      for (const item of WebAssembly.Module.imports(module)) {
        if (item.module === MAIN_MODULE && item.kind === 'function')
          main[item.name] = lookup(Number(item.name));
      }
      const imports = { perdure: this.#imports, [MAIN_MODULE]: main } as WebAssembly.Imports;
      found = new WebAssembly.Instance(module, imports).exports[name] as () => void;
      this.#continuations.set(name, found);
    }
    return found;
  }

  /** Runs the saved frames, innermost first, until none is left. */
  trampoline(): void {
    const { view } = this;
    let mode = RESUME_RESULTS;
    while (this.#sp > STACK) {
      const trailer = readTrailer(view, this.#sp);
      const { functionNumber: functionIndex } = trailer; // of the program: there is no other module
      const layout = this.info.frameLayout(functionIndex, trailer.instructionOffset, trailer.kind);
      assert(layout, `a frame stands at no safepoint: ${JSON.stringify(trailer)}`);
      assert(layout.operands.length === trailer.operands, 'the operands are those of the place');
      this.#sp -= TRAILER_BYTES + trailer.maskWords * 8;
      view.setUint32(this.#base + RESUME_MODE_OFFSET, mode, true);
      view.setUint32(FLAG_ADDRESS, this.always ? 1 : 0, true);
      const resume = this.#continuation({ ...trailer, functionIndex, offset: trailer.instructionOffset });
      mode = RESUME_RESULTS;
      const low = this.#sp - trailer.slots * 8;
      try {
        resume();
      } catch (error) {
        if (!(error instanceof WebAssembly.Exception)) {
          this.#sp = STACK; // a trap ends it all
          throw error;
        }
        if (error.is(this.#unwind)) {
          this.unwinds++;
          assert(reverseFrames(new Uint8Array(this.space.buffer), low, this.#sp), 'frames are whole');
          this.#move();
          continue;
        }
        this.#pending = error;
        mode = RESUME_THROW;
      }
    }
    if (mode === RESUME_THROW) throw this.#pending;
  }
}

function ownMemory({ is64, shared, min, max }: Compiled['evidence']['memories'][number]): WebAssembly.Memory {
  const number = (n: number): number | bigint => (is64 ? BigInt(n) : n);
  return new WebAssembly.Memory({
    ...(is64 ? { address: 'i64' } : {}),
    initial: number(min),
    ...(max < 0 ? {} : { maximum: number(max) }),
    shared,
  } as unknown as WebAssembly.MemoryDescriptor);
}
