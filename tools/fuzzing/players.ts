/**
 * Two ways to run the same program: plain V8, and Perdure's kernel with its code rewritten, verified and suspended at
 * safepoints drawn at random. Both give outcomes and state in the same terms, to be compared (`sameness.ts`).
 */
import { createHash } from 'node:crypto';
import { assert } from '../../src/base/assert.ts';
import type { Prng } from '../../src/base/prng.ts';
import { compile, FULL, programInfo, trapKind } from '../../src/compiler/index.ts';
import type { Caller, ImportValue, Personality, SystemCall } from '../../src/kernel/index.ts';
import {
  Kernel,
  type KernelOptions,
  type Outcome as KernelOutcome,
  type LoadedModule,
  ProgramTrapError,
  type RawValue,
} from '../../src/kernel/index.ts';
import { toNumber } from '../../src/kernel/values.ts';
import { type PageImage, Space } from '../../src/space/index.ts';
import { verify } from '../../src/verifier/verify.ts';
import { decodeModule, encodeModule } from '../../src/wasm/module.ts';
import { FUNCREF } from '../../src/wasm/types.ts';
import { Wants, World } from './world.ts';

/** The call stack ran out: how deep differs from one way of running to another, so nothing after it is compared. */
export const EXHAUSTED = 'trap: call stack exhausted';
/** JavaScript cannot be given a v128: V8's TypeError, or what the kernel makes of it. */
export const IMPASSABLE = 'trap: a value that cannot pass to the host';

export type Argument = number | bigint | null;

/** What is compared of a program at rest. Functions are named by their index in the program. */
export interface State {
  memories: Uint8Array[];
  globals: string[];
  tables: string[];
}

export interface Player {
  /** Results as text, or 'trap: KIND', or 'exception'. */
  call(name: string, args: readonly Argument[]): string;
  state(): State;
  readonly log: readonly string[];
}

const MEMORY = 'fuzz:memory';
const GLOBAL = 'fuzz:global';
const TABLE = 'fuzz:table';

/** The program with everything exported, so that everything can be compared. `globals`: these too. */
export function exposed(bytes: Uint8Array, globals: boolean): Uint8Array<ArrayBuffer> {
  const module = decodeModule(bytes);
  const exports = [...module.exports];
  const imported = (kind: string): number => module.imports.filter((item) => item.kind === kind).length;
  const all = (kind: 'memory' | 'global' | 'table', name: string, defined: number): void => {
    for (let i = 0; i < imported(kind) + defined; i++) exports.push({ name: name + i, kind, index: i });
  };
  all('memory', MEMORY, module.memories.length);
  all('table', TABLE, module.tables.length);
  if (globals) all('global', GLOBAL, module.globals.length);
  return encodeModule({ ...module, exports }) as Uint8Array<ArrayBuffer>;
}

const count = (names: Iterable<string>, prefix: string): number =>
  [...names].filter((name) => name.startsWith(prefix)).length;
const text = (value: unknown): string => (Object.is(value, -0) ? '-0' : String(value));

/** Elements of a table as text; `indexOf` names a function. */
function elements(table: WebAssembly.Table, indexOf: (f: unknown) => number): string {
  const length = Number(table.length);
  const wide = typeof (table.length as unknown) === 'bigint';
  const out: (number | string)[] = [];
  for (let i = 0; i < Math.min(length, 1000); i++) {
    try {
      const item: unknown = table.get(wide ? BigInt(i) : i);
      out.push(item === null ? 'null' : typeof item === 'function' ? indexOf(item) : typeof item);
    } catch {
      break; // exnref: not for JavaScript
    }
  }
  return `${length}: ${out.join()}`;
}

function globalText(global: WebAssembly.Global, indexOf: (f: unknown) => number): string {
  try {
    const value: unknown = global.value;
    return typeof value === 'function' ? `function ${indexOf(value)}` : text(value);
  } catch {
    return 'not for JavaScript'; // v128
  }
}

export class PlainPlayer implements Player {
  readonly #instance: WebAssembly.Instance;
  readonly #world: World;

  /** Throws what instantiating throws. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#world = new World(new Wants(bytes));
    this.#instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), this.#world.imports());
  }

  get log(): readonly string[] {
    return this.#world.log;
  }

  call(name: string, args: readonly Argument[]): string {
    return outcomeOf(() => (this.#instance.exports[name] as WebAssembly.Func)(...args));
  }

  state(): State {
    const { exports } = this.#instance;
    const names = Object.keys(exports);
    const list = <T>(prefix: string, give: (item: never) => T): T[] =>
      Array.from({ length: count(names, prefix) }, (_, i) => give(exports[prefix + i] as never));
    return {
      memories: list(MEMORY, (memory: WebAssembly.Memory) => new Uint8Array(memory.buffer)),
      globals: list(GLOBAL, (global: WebAssembly.Global) => globalText(global, plainIndex)),
      tables: list(TABLE, (table: WebAssembly.Table) => elements(table, plainIndex)),
    };
  }
}

/** V8 gives exported functions their index as name. Functions of the host have none of ours. */
const plainIndex = (f: unknown): number => Number((f as { name: string }).name);

/** What comes of running something on plain V8, in the words that `PerdurePlayer` has too. */
export function outcomeOf(run: () => unknown): string {
  try {
    const result = run();
    const list = result === undefined ? [] : Array.isArray(result) ? result : [result];
    return list
      .map((value) =>
        typeof value === 'function'
          ? `function ${plainIndex(value)}`
          : value !== null && typeof value === 'object'
            ? 'object'
            : text(value),
      )
      .join();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) return `trap: ${trapKind(error.message)}`;
    if (error instanceof RangeError && /call stack/.test(error.message)) return EXHAUSTED;
    if (error instanceof WebAssembly.Exception) return 'exception';
    if (error instanceof TypeError) return IMPASSABLE;
    throw error;
  }
}

/** How a program is disturbed while it runs. */
export interface Manner {
  readonly name: string;
  /** Unwind at every safepoint. */
  readonly stress: boolean;
  /** Probability that a slice begins with an unwinding, that a host call asks for one, and that it waits. */
  readonly raise: number;
  readonly block: number;
  /** Probability that the domain is moved, or the process dies, whenever it is at rest. */
  readonly move: number;
  readonly crash: number;
}

export const MANNERS: readonly Manner[] = [
  { name: 'undisturbed', stress: false, raise: 0, block: 0, move: 0, crash: 0 },
  { name: 'unwound everywhere', stress: true, raise: 0, block: 0.3, move: 0.05, crash: 0 },
  { name: 'unwound here and there', stress: false, raise: 0.4, block: 0.2, move: 0.2, crash: 0.02 },
];

const ID = { id: new Uint8Array(16).fill(5) };

/** A kernel that is used for one program after another, so that making its space costs little. */
export class Machine {
  kernel: Kernel;
  /** The program of the moment. */
  player: PerdurePlayer | null = null;
  readonly #options: KernelOptions;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(stress: boolean) {
    const personality: Personality = {
      resolve: (module, name, shape) => this.player!.systemCall(module, name, shape.results),
      provide: (module, name) => this.player!.world.thing(module, name),
    };
    const powers = {
      monotonicNs: () => 1000n,
      threadCpuMicros: () => {
        this.player?.sliceBegins();
        return 0;
      },
    };
    // Unwound at every call, runaway recursion fills this frame by frame.
    this.#options = { powers, personality, stress, frameStackBytes: 4 << 20 };
    this.kernel = new Kernel(Space.create(ID), this.#options);
  }

  /** The process dies; the kernel that comes up knows what was durable, which is everything. */
  crash(module: LoadedModule): void {
    this.checkpoint();
    const images = [...this.#pages].map(([page, bytes]): PageImage => ({ page, bytes }));
    this.kernel = Kernel.recover(Space.load(images), this.#options, () => module);
  }

  checkpoint(): void {
    const cut = this.kernel.cut();
    if (cut === null) return;
    for (const [i, page] of cut.pages.entries())
      this.#pages.set(page, Uint8Array.from(cut.data.subarray(i * 4096, i * 4096 + 4096)));
    for (const page of cut.freed) this.#pages.delete(page);
    this.kernel.durable(cut.seq);
  }

  /** The first page in [start, end) that is another in the last checkpoint, -1 for none: a store that marked nothing. */
  missed(start: number, end: number): number {
    const { u8 } = this.kernel.space;
    for (let at = start; at < end; at += 4096) {
      const kept = this.#pages.get(at / 4096) ?? NO_PAGE;
      if (Buffer.compare(u8.subarray(at, at + 4096), kept) !== 0) return (at - start) / 4096;
    }
    return -1;
  }
}

/** A program compiled and verified. @throws what compiler and verifier throw */
export function load(bytes: Uint8Array): LoadedModule {
  const compiled = compile(bytes, FULL);
  verify(compiled.bytes);
  return {
    hash: createHash('sha256').update(bytes).digest('hex'),
    program: new WebAssembly.Module(compiled.bytes),
    evidence: compiled.evidence,
    info: programInfo(bytes, compiled.bytes),
  };
}

const NO_PAGE = new Uint8Array(4096);

let names = 0;

export class PerdurePlayer implements Player {
  readonly world: World;
  /** How often its call stack was saved. */
  slices = 0;
  /** What a checkpoint has missed. */
  unmarked: string | null = null;
  readonly #machine: Machine;
  readonly #module: LoadedModule;
  readonly #manner: Manner;
  readonly #prng: Prng;
  readonly #id: number;
  readonly #persistent: boolean;

  /** Throws a text like that of `call` when its start fails. */
  constructor(machine: Machine, bytes: Uint8Array, module: LoadedModule, manner: Manner, prng: Prng) {
    this.world = new World(new Wants(bytes));
    this.#machine = machine;
    this.#module = module;
    this.#manner = manner;
    this.#prng = prng;
    machine.player = this;
    // What a host lends (tables, globals) is no part of a checkpoint.
    this.#persistent = manner.crash > 0 && this.world.isAlone;
    const options = { name: `m${names++}`, module, volatile: !this.#persistent, resident: true };
    this.#id = machine.kernel.createDomain(options);
    const start = this.#finish(() => machine.kernel.initialize(this.#id));
    if (start !== '') {
      this.end();
      throw new ProgramTrapError(start);
    }
  }

  get log(): readonly string[] {
    return this.world.log;
  }

  /** The machine is free for another program. */
  end(): void {
    this.#machine.kernel.remove(this.#id);
    this.#machine.player = null;
  }

  systemCall(_module: string, name: string, results: readonly number[]): SystemCall {
    let caller: Caller;
    let waited = false;
    const call = this.world.call(name, results, () => {
      if (waited) waited = false;
      else if (this.#prng.chance(this.#manner.block)) {
        waited = true;
        caller.block();
      }
      if (this.#prng.chance(this.#manner.raise)) caller.yield();
    });
    return (from: Caller, ...args: ImportValue[]): ImportValue => {
      caller = from;
      return call(...args) as ImportValue;
    };
  }

  sliceBegins(): void {
    this.slices++;
    if (this.#prng.chance(this.#manner.raise)) this.#machine.kernel.core.raiseFlag();
  }

  call(name: string, args: readonly Argument[]): string {
    return this.#finish(() => this.#machine.kernel.invoke(this.#id, name, args));
  }

  #finish(begin: () => KernelOutcome): string {
    let outcome = begin();
    for (; outcome.kind === 'blocked'; outcome = this.#machine.kernel.proceed(this.#id)) this.#rest();
    const found = this.#text(outcome);
    this.#rest();
    return found;
  }

  /** Between two runs: whatever the kernel may do there. */
  #rest(): void {
    const { move, crash } = this.#manner;
    if (this.#prng.chance(move)) this.#machine.kernel.relocate(this.#id);
    if (!this.#persistent) return;
    if (this.#prng.chance(0.15)) this.#checkMarks();
    if (this.#prng.chance(crash)) this.#machine.crash(this.#module);
  }

  /** A checkpoint holds what the memories hold. */
  #checkMarks(): void {
    this.#machine.checkpoint();
    for (const [i, { byteOffset, length }] of this.state().memories.entries()) {
      const page = this.#machine.missed(byteOffset, byteOffset + length);
      if (page >= 0) this.unmarked ??= `page ${page} of memory ${i} was changed and not marked`;
    }
  }

  #text(outcome: KernelOutcome): string {
    if (outcome.kind === 'returned') return outcome.results.map((raw) => this.#value(raw)).join();
    if (outcome.kind === 'exception') return 'exception';
    assert(outcome.kind === 'trap', `a call ended with ${outcome.kind}`);
    return `trap: ${outcome.reason}`;
  }

  #value(raw: RawValue): string {
    const number = toNumber(raw);
    if (number !== undefined) return text(number);
    const index = Number(BigInt.asIntN(32, raw.low));
    if (index < 0) return 'null';
    return raw.type === FUNCREF
      ? `function ${index}`
      : typeof this.#machine.kernel.fromReference(this.#id, raw);
  }

  state(): State {
    const { kernel } = this.#machine;
    const instance = kernel.instance(this.#id);
    const { info, evidence } = this.#module;
    const { exports } = instance;
    const at = (name: string): number => Number((exports[name] as WebAssembly.Global).value);
    const guest = Object.keys(exports).map((name) => name.slice(2));
    const list = <T>(prefix: string, give: (item: never) => T): T[] =>
      Array.from({ length: count(guest, prefix) }, (_, i) => give(exports[`g:${prefix}${i}`] as never));
    // Wrappers stand for imported functions, and the program's own come right behind them.
    const indexOf = (f: unknown): number => plainIndex(f) - evidence.wrappers.start;
    return {
      memories: evidence.memories.map((_, i) => {
        const memory = info.exportedMemory(MEMORY + i);
        const start = memory === 0 ? at('k:hdr') + evidence.controlBytes : at(`k:base${memory}`);
        return kernel.space.u8.subarray(start, start + at(`k:limit${memory}`));
      }),
      globals: list(GLOBAL, (global: WebAssembly.Global) => globalText(global, indexOf)),
      tables: list(TABLE, (table: WebAssembly.Table) => elements(table, indexOf)),
    };
  }
}
