/**
 * Runs rewritten modules that the verifier let pass, watched (`watch.ts`): with hostile arguments, hostile frames, limits
 * that grow during calls, the safepoint word raised at any poll, and the domain moved between calls. Says whether any
 * byte outside the domain was read or written, any global or table of the system changed, or a function got out that is
 * not the program's. Some hundred microseconds a module: the space is made once, nothing is compared byte by byte.
 */
import type { Evidence } from '../../src/abi/evidence.ts';
import {
  CONTROL,
  FLAG_ADDRESS,
  MARKS_ADDRESS,
  RESUME_MODE_OFFSET,
  STATE_OFFSET,
} from '../../src/abi/layout.ts';
import { EXPORT, GUEST_EXPORT, MAIN_MODULE, SYSTEM_MODULE } from '../../src/abi/system.ts';
import { UnsupportedError } from '../../src/base/errors.ts';
import { FRAME_BYTES, PAGE_BYTES, SPACE_MAX_FRAMES } from '../../src/base/limits.ts';
import { Prng } from '../../src/base/prng.ts';
import { argument, hurting } from './arguments.ts';
import { elements } from './elements.ts';
import { Mapped, SEGMENT_FRAMES } from './mapped.ts';
import { type Fixed, MARK, OWN, POLL, PRELUDE, Watch, type Watcher } from './watch.ts';

const I64 = 0x7e;
const SPACE_FRAMES = 192;
const FIRST = 0x600000 + FRAME_BYTES;
const STACK_BYTES = 2 * PAGE_BYTES;
/** By how many pages a memory may grow. */
const GROWTH_MAX = 2;
/** Frames there are for a domain: it has two such places, and moves from one to the other. */
const HALF = ((SPACE_FRAMES * FRAME_BYTES - FIRST) / FRAME_BYTES / 2) | 0;
/** Steps of one call, and of all of a module's; calls of a module. */
const CALL_FUEL = 3000;
const CALLS = 24;
/** How much of the calls go to the function that was changed. */
const AIMED = 0.8;
/** Values that frames are filled with: more than the functions here have. */
const FRAME_SLOTS = 48;

export interface Judgement {
  /** What went wrong, or null: the module kept to its domain. */
  escape: string | null;
  calls: number;
  traps: number;
  unwinds: number;
}

/** What a module is called with: exported functions by name, and their parameters by code. */
export interface Callable {
  readonly name: string;
  readonly params: readonly number[];
}

export interface Case {
  readonly bytes: Uint8Array;
  readonly evidence: Evidence;
  readonly callables: readonly Callable[];
  /** Numbers that the code has, which arguments are made of. */
  readonly words: readonly number[];
  /** The function to call most often, by index; -1 for none. */
  readonly focus: number;
  /** A verified resume module of it: its continuations are called too, most often. */
  readonly continuations?: Uint8Array;
}

/** A domain of the moment. */
class Ground {
  region = FIRST;
  stack = 0;
  bases: number[] = [];
  limits: number[] = [];
  exports: WebAssembly.Exports = {};
}

export class Court {
  readonly #watcher: Watcher;
  readonly #resumeWatcher: Watcher;
  readonly #watch = new Watch();
  readonly #memory: WebAssembly.Memory;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #contents: Uint8Array;
  readonly #windows: Mapped;
  readonly #unwind = new WebAssembly.Tag({ parameters: [] });
  #prng = new Prng(0);
  #ground = new Ground();
  #evidence: Evidence | null = null;
  #problem: string | null = null;

  /** @param watchers for rewritten modules and for resume modules */
  constructor(watchers: readonly [Watcher, Watcher]) {
    [this.#watcher, this.#resumeWatcher] = watchers;
    this.#memory = new WebAssembly.Memory({
      initial: BigInt(SPACE_FRAMES + SEGMENT_FRAMES),
      maximum: BigInt(SPACE_MAX_FRAMES),
      shared: true,
      address: 'i64',
    });
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#view = new DataView(this.#memory.buffer);
    this.#windows = new Mapped(this.#view, SPACE_FRAMES);
    const words = new Int32Array(8 * FRAME_BYTES).map(
      (_, i) => Math.imul(i, 0x9e3779b1) >>> (i & 3 ? 24 : 0),
    );
    this.#contents = new Uint8Array(words.buffer);
  }

  judge(subject: Case, seed: number): Judgement {
    const { bytes, evidence, callables, words, focus } = subject;
    const judgement: Judgement = { escape: null, calls: 0, traps: 0, unwinds: 0 };
    if (framesOf(evidence) > HALF - 2) return judgement;
    this.#prng = new Prng(seed);
    this.#evidence = evidence;
    this.#problem = null;
    const fixed: Fixed = {
      start: evidence.prelude.start,
      end: evidence.templates.start + evidence.templates.count,
    };
    let module: WebAssembly.Module;
    try {
      module = new WebAssembly.Module(this.#watcher.watched(bytes, fixed, SPACE_FRAMES));
    } catch (error) {
      if (error instanceof UnsupportedError) return judgement; // a type that no program may have
      throw error;
    }
    this.#settle();
    let instance: WebAssembly.Instance;
    try {
      instance = new WebAssembly.Instance(module, this.#imports(module));
    } catch {
      return judgement; // an element segment that does not fit
    }
    this.#ground.exports = instance.exports;
    this.#setGlobals();
    this.#remap();
    this.#call(EXPORT.init, instance.exports[EXPORT.init], [], judgement);
    const isFocus = (f: unknown): boolean => typeof f === 'function' && f.name === String(focus);
    const called = callables.filter(({ name }) => isFocus(instance.exports[name]));
    const continuations = subject.continuations ? this.#continuations(subject.continuations, instance) : [];
    for (let n = 0; n < CALLS && this.#problem === null; n++) {
      const aimed = this.#prng.chance(AIMED);
      if (continuations.length > 0 && aimed) this.#continue(continuations, words, judgement);
      else if (callables.length > 0) {
        const { name, params } = this.#prng.pick(aimed && called.length > 0 ? called : callables);
        this.#call(name, instance.exports[name], this.#arguments(params, words), judgement);
      }
      if (this.#prng.chance(0.1)) this.#move();
    }
    for (const name of [EXPORT.save, EXPORT.restore]) this.#call(name, instance.exports[name], [], judgement);
    this.#inspect();
    judgement.escape = this.#problem;
    return judgement;
  }

  // --- the domain

  #settle(): void {
    const g = this.#ground;
    const memories = this.#evidence!.memories;
    g.limits = memories.map(({ min }) => min * FRAME_BYTES);
    this.#place(FIRST);
    const control = this.#evidence!.controlBytes;
    this.#bytes.fill(0, g.region, g.region + control);
    for (const [i, base] of g.bases.entries()) {
      const at = i === 0 ? g.region + control : base;
      this.#bytes.set(this.#contents.subarray(0, g.limits[i]!), at);
    }
    this.#bytes.fill(3, g.stack, g.stack + STACK_BYTES);
    this.#setStack(64 + 8 * this.#prng.below(64));
    this.#places();
  }

  /** Where everything lies, from an address on: with room behind each memory to grow. */
  #place(from: number): void {
    const g = this.#ground;
    const { memories, controlBytes } = this.#evidence!;
    g.region = from;
    let at = from + controlBytes;
    g.bases = memories.map(({ min }, i) => {
      const base = i === 0 ? g.region : at;
      at += roomOf(min);
      return base;
    });
    g.stack = at;
  }

  #setStack(used: number): void {
    const { region, stack } = this.#ground;
    this.#view.setBigUint64(region + CONTROL.stackBase, BigInt(stack), true);
    this.#view.setBigUint64(region + CONTROL.stackPointer, BigInt(stack + used), true);
    this.#view.setBigUint64(region + CONTROL.stackLimit, BigInt(stack + STACK_BYTES), true);
    this.#windows.tell(region);
  }

  /** Tells the watch what belongs to the domain now. */
  #places(): void {
    const g = this.#ground;
    const { controlBytes } = this.#evidence!;
    const list: [number, number, number][] = [
      [FLAG_ADDRESS, FLAG_ADDRESS + 4, POLL],
      [g.region + CONTROL.stackPointer, g.region + CONTROL.stackLimit + 8, PRELUDE],
      [g.stack, g.stack + STACK_BYTES, PRELUDE],
    ];
    const front = [g.region + STATE_OFFSET, g.region + controlBytes + (g.limits[0] ?? 0)] as const;
    list.push([...front, OWN], [...marks(g.region, front[1]), MARK]);
    for (let i = 1; i < g.bases.length; i++) {
      const extent = [g.bases[i]!, g.bases[i]! + g.limits[i]!] as const;
      list.push([...extent, OWN], [...marks(...extent), MARK]);
    }
    if (this.#evidence!.windows) list.push(...this.#windows.places(g.region));
    this.#watch.places = list;
  }

  /** Other windows than before, as there may be after any call the code makes. */
  #remap(): void {
    if (!this.#evidence!.windows) return;
    this.#windows.remap(this.#prng);
    this.#places();
  }

  #setGlobals(): void {
    const { exports, region, bases, limits } = this.#ground;
    (exports[EXPORT.hdr] as WebAssembly.Global).value = BigInt(region);
    limits.forEach((limit, i) => {
      (exports[EXPORT.limit + i] as WebAssembly.Global).value = BigInt(limit);
      if (i > 0) (exports[EXPORT.base + i] as WebAssembly.Global).value = BigInt(bases[i]!);
    });
  }

  /** No code of the domain has native frames: it may be anywhere else afterwards. */
  #move(): void {
    const g = this.#ground;
    const { controlBytes } = this.#evidence!;
    const before = { region: g.region, bases: g.bases, stack: g.stack };
    const used = Number(this.#view.getBigUint64(g.region + CONTROL.stackPointer, true)) - g.stack;
    this.#place(
      FIRST +
        (g.region < FIRST + HALF * FRAME_BYTES ? HALF * FRAME_BYTES : 0) +
        this.#prng.below(2) * FRAME_BYTES,
    );
    const copy = (to: number, from: number, bytes: number): void => {
      this.#bytes.copyWithin(to, from, from + bytes);
    };
    copy(g.region, before.region, controlBytes + (g.limits[0] ?? 0));
    for (let i = 1; i < g.bases.length; i++) copy(g.bases[i]!, before.bases[i]!, g.limits[i]!);
    copy(g.stack, before.stack, STACK_BYTES);
    this.#setStack(Math.max(0, Math.min(STACK_BYTES, used)));
    this.#setGlobals();
    this.#places();
  }

  /** A limit grows, as it may during any call the code makes. */
  #grow(): void {
    const { limits } = this.#ground;
    if (limits.length === 0) return;
    const i = this.#prng.below(limits.length);
    if (limits[i]! >= (this.#evidence!.memories[i]!.min + GROWTH_MAX) * FRAME_BYTES) return;
    limits[i]! += FRAME_BYTES;
    this.#setGlobals();
    this.#places();
  }

  // --- running

  #call(name: string, f: unknown, args: readonly unknown[], judgement: Judgement): void {
    const { region } = this.#ground;
    const prng = this.#prng;
    this.#watch.fuel = CALL_FUEL;
    this.#watch.polls = prng.chance(0.4) ? 1 + prng.below(6) : 0;
    this.#view.setUint32(FLAG_ADDRESS, prng.chance(0.1) ? 1 : 0, true);
    this.#view.setUint32(region + RESUME_MODE_OFFSET, prng.below(4) >> 1, true);
    judgement.calls++;
    try {
      (f as WebAssembly.Func)(...args);
    } catch (error) {
      if (error instanceof WebAssembly.Exception && error.is(this.#unwind)) judgement.unwinds++;
      else judgement.traps++;
    }
    this.#view.setUint32(FLAG_ADDRESS, 0, true);
    const bad = this.#watch.takeBad();
    if (bad === null) return;
    const g = this.#ground;
    this.#problem ??= `${name}(${args.join()}): ${bad.bytes} bytes at ${where(bad.at, g)}, limits ${g.limits.join()}`;
  }

  /** The continuations of a resume module, instantiated with the rewritten module it is for. */
  #continuations(bytes: Uint8Array, main: WebAssembly.Instance): (readonly [string, unknown])[] {
    const none = { start: -1, end: -1 };
    let module: WebAssembly.Module;
    try {
      module = new WebAssembly.Module(this.#resumeWatcher.watched(bytes, none, SPACE_FRAMES));
    } catch (error) {
      if (error instanceof UnsupportedError) return []; // a type that no program may have
      throw error;
    }
    const imports = this.#imports(module);
    const functionAt = main.exports[EXPORT.function] as WebAssembly.Func;
    const items: Record<string, WebAssembly.ExternValue> = {};
    for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
      if (from !== MAIN_MODULE) continue;
      items[name] =
        kind === 'function' ? (functionAt(Number(name)) as WebAssembly.Func) : main.exports[name]!;
    }
    imports[MAIN_MODULE] = items;
    return Object.entries(new WebAssembly.Instance(module, imports).exports);
  }

  /** Goes on from a frame whose values hurt. */
  #continue(
    continuations: (readonly [string, unknown])[],
    words: readonly number[],
    judgement: Judgement,
  ): void {
    const prng = this.#prng;
    const { stack } = this.#ground;
    const used = prng.chance(0.9) ? FRAME_SLOTS : prng.below(STACK_BYTES / 8);
    this.#setStack(8 * used);
    const share = prng.pick([0.05, 0.4]);
    for (let slot = 0; slot < FRAME_SLOTS; slot++) {
      const value = prng.chance(share) ? this.#hurting(words) : BigInt(prng.below(4096));
      this.#view.setBigInt64(stack + 8 * slot, BigInt.asIntN(64, value), true);
    }
    const [name, f] = prng.pick(continuations);
    this.#call(name, f, [], judgement);
  }

  /** Most often one argument hurts: code gets far enough to use it. */
  #arguments(params: readonly number[], words: readonly number[]): unknown[] {
    const prng = this.#prng;
    const all = prng.chance(0.15);
    const one = prng.chance(0.9) ? prng.below(params.length || 1) : -1;
    return params.map((type, i) =>
      argument(
        type,
        all || i === one
          ? this.#hurting(words, type === I64)
          : BigInt(prng.below(prng.pick([40, 4096, 65536]))),
      ),
    );
  }

  #hurting(words: readonly number[], wide = true): bigint {
    const near = this.#evidence!.windows ? this.#windows.hurting(this.#prng, words) : null;
    return near ?? hurting(this.#prng, this.#ground.limits, words, wide);
  }

  /** What must be as it was: globals of the system, its table, and whose functions the program's tables hold. */
  #inspect(): void {
    const { exports, region, bases, limits } = this.#ground;
    const evidence = this.#evidence!;
    const is = (name: string, value: number): void => {
      if ((exports[name] as WebAssembly.Global).value !== BigInt(value))
        this.#problem ??= `${name} was changed`;
    };
    is(EXPORT.hdr, region);
    limits.forEach((limit, i) => {
      is(EXPORT.limit + i, limit);
      if (i > 0) is(EXPORT.base + i, bases[i]!);
    });
    for (let i = 0; i < evidence.programTables; i++) {
      const table = exports[EXPORT.table + i] as WebAssembly.Table | undefined;
      if (table === undefined) continue;
      for (const f of elements(table)) this.#own(f, `table ${i}`);
    }
  }

  /** A function that the program has must be one that all its code may call. */
  #own(f: unknown, place: string): void {
    if (typeof f !== 'function') return;
    const { prelude, init, restore } = this.#evidence!;
    const index = Number(f.name);
    if (!(index >= prelude.start && (index < init || index > restore)))
      this.#problem ??= `${place} holds function ${f.name}`;
  }

  #imports(module: WebAssembly.Module): WebAssembly.Imports {
    const prng = this.#prng;
    const unwound = new WebAssembly.Exception(this.#unwind, []);
    const host = (): void => {
      this.#remap();
      if (prng.chance(0.3)) this.#grow();
      if (prng.chance(0.1)) this.#view.setUint32(FLAG_ADDRESS, 1, true);
    };
    const system: Record<string, WebAssembly.ExternValue> = {
      space: this.#memory,
      unwind: this.#unwind,
      grow: (memory: number) => {
        const before = BigInt((this.#ground.limits[memory] ?? 0) / FRAME_BYTES);
        if (prng.chance(0.2)) throw unwound;
        this.#remap();
        if (prng.chance(0.7)) this.#grow();
        return before;
      },
      rethrow: () => {
        throw unwound;
      },
      stack: () => {
        throw new Error('the frame stack is full');
      },
      wait: () => {
        host();
        return 0;
      },
      notify: () => {
        this.#remap();
        return 0;
      },
      ref_index: (f: unknown) => {
        this.#own(f, 'ref_index');
        return -1;
      },
      extern_id: () => -1,
      extern_of: () => null,
      ref_of: () => null,
      window: (near: bigint, bytes: bigint, write: number) => this.#windows.find(near, bytes, write),
    };
    const imports: WebAssembly.Imports = {
      [SYSTEM_MODULE]: system,
      watch: { memory: this.#watch.memory },
    };
    for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
      if (from === SYSTEM_MODULE || kind !== 'function') continue;
      imports[from] ??= {};
      imports[from][name] = () => {
        host();
        if (prng.chance(0.1)) throw unwound;
        return prng.below(100);
      };
    }
    return imports;
  }
}

/** Bytes for a memory: with room to grow, and a frame behind it that is not its own. */
const roomOf = (min: number): number => (min + GROWTH_MAX + 1) * FRAME_BYTES;
const framesOf = ({ controlBytes, memories }: Evidence): number =>
  (controlBytes + memories.reduce((sum, { min }) => sum + roomOf(min), 0)) / FRAME_BYTES + 1;

/** The functions that `callables` may name in this module: what it exports of the program. */
export function callablesOf(exports: readonly { name: string; params: readonly number[] }[]): Callable[] {
  return exports.filter(({ name }) => name.startsWith(GUEST_EXPORT));
}

const marks = (from: number, to: number): [number, number] => [
  MARKS_ADDRESS + from / PAGE_BYTES,
  MARKS_ADDRESS + to / PAGE_BYTES,
];

const where = (at: bigint, { region, bases, stack }: Ground): string =>
  `0x${at.toString(16)} (hdr + ${at - BigInt(region)}${bases.map((base, i) => (i > 0 ? `, base ${i} + ${at - BigInt(base)}` : '')).join('')}, stack + ${at - BigInt(stack)})`;
