/**
 * For tests only: programs in the text format made ready for a kernel, a personality of a few calls, a clock that tests
 * move, and a store that keeps cuts. Tests of the kernel run real compiler output, so that both sides of the contract
 * are tested against each other.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { ALONE, compile, FULL, makeModule, programInfo } from '../compiler/index.ts';
import { type PageImage, Space } from '../space/index.ts';
import { wat } from '../wasm/wat.testing.ts';
import type { Caller, Ending, Personality, SystemCall } from './caller.ts';
import type { Powers } from './core.ts';
import { Kernel, type KernelOptions } from './kernel.ts';
import { formOf, type LoadedModule, type ProgramForm } from './program.ts';

/** A program from its bytes, as an installer would make it. */
export function load(bytes: Uint8Array, options = FULL): LoadedModule {
  const compiled = compile(bytes, options);
  return {
    hash: createHash('sha256').update(bytes).digest('hex'),
    program: new WebAssembly.Module(compiled.bytes),
    evidence: compiled.evidence,
    info: programInfo(bytes, compiled.bytes, options),
    windowed: options.windows === true,
  };
}
/** The same, compiled for a process of its own. */
export function loadAlone(bytes: Uint8Array): LoadedModule {
  const { bytes: rewritten, evidence } = compile(bytes, ALONE);
  return {
    hash: createHash('sha256').update(bytes).digest('hex'),
    get program(): WebAssembly.Module {
      throw new Error('nothing of an enforced program is compiled here');
    },
    evidence,
    info: programInfo(bytes, rewritten, ALONE),
    alone: { original: bytes, rewritten },
  };
}
export const program = async (text: string): Promise<LoadedModule> => load(await wat(text));

/** Time stands still until a test moves it; processor time goes by `cpuStep` at each reading. */
export class TestPowers implements Powers {
  ns = 1000n;
  cpuMicros = 0;
  cpuStep = 0;
  monotonicNs(): bigint {
    return this.ns;
  }
  threadCpuMicros(): number {
    this.cpuMicros += this.cpuStep;
    return this.cpuMicros;
  }
  random(into: Uint8Array): void {
    randomFillSync(into);
  }
}

/** Module "env": what test programs call. */
export class TestPersonality implements Personality {
  /** What `log` was given, by domain. */
  readonly logs: [domain: string, value: number | bigint][] = [];
  readonly endings: [domain: number, ending: Ending, state: number][] = [];
  /** What `text` found in memory, ended by a 0. */
  readonly texts: string[] = [];
  /** `wait` returns once this is true. */
  open = false;
  readonly calls: Record<string, SystemCall> = {
    log: (caller: Caller, value: number) => {
      this.logs.push([caller.name, value]);
    },
    log64: (caller: Caller, value: bigint) => {
      this.logs.push([caller.name, value]);
    },
    /** Blocks until the test opens the gate; then gives its argument plus one. */
    wait: (caller: Caller, value: number): number => {
      if (!this.open) caller.block();
      return value + 1;
    },
    /** Sleeps so many ns, by a deadline in its scratch words. */
    sleep: (caller: Caller, ns: bigint) => {
      let deadline = caller.getScratch(0);
      if (deadline === 0n) {
        deadline = caller.now() + ns;
        caller.setScratch(0, deadline);
      }
      if (caller.now() < deadline) caller.block(deadline);
    },
    /** Ends the slice. */
    pause: (caller: Caller) => caller.yield(),
    exit: (caller: Caller, code: number) => caller.exit(code),
    fail: () => {
      throw new Error('a bug of ours');
    },
    /** Fills memory; 0 when it lay outside. */
    fill: (caller: Caller, at: number, length: number): number =>
      caller.writeBytes(at, new Uint8Array(length >>> 0 > 1e6 ? 0 : length).fill(0xab)) && length >>> 0 <= 1e6
        ? 1
        : 0,
    grab: (caller: Caller, value: number) => {
      caller.personalityState = caller.space.heap.alloc(100);
      caller.space.setU32(caller.personalityState, value);
    },
    text: (caller: Caller, at: number) => {
      const bytes = caller.readBytes(at, 400) ?? new Uint8Array(1);
      this.texts.push(Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString());
    },
    now: (caller: Caller): bigint => caller.now(),
  };

  /** For programs in C that ask for the time. */
  readonly #clock: SystemCall = (caller: Caller, _clock: number, _precision: bigint, at: number): number =>
    caller.setU64(at, caller.now()) ? 0 : 21;

  resolve(module: string, name: string): SystemCall | undefined {
    if (module === 'wasi_snapshot_preview1' && name === 'clock_time_get') return this.#clock;
    return module === 'env' ? this.calls[name] : undefined;
  }
  release(space: Space, domain: number, state: number, ending: Ending): void {
    space.heap.free(state);
    this.endings.push([domain, ending, state]);
  }
  describe(space: Space, _domain: number, state: number): unknown {
    return space.view.getUint32(state, true);
  }
  adopt(space: Space, _domain: number, data: unknown): number {
    const state = space.heap.alloc(100);
    space.setU32(state, Number(data));
    return state;
  }
}

const keyOf = (hash: string, form: ProgramForm): string => (form === 'space' ? hash : `${hash} ${form}`);

/** A kernel, and everything to kill and recover it with. */
export class TestSystem {
  readonly powers = new TestPowers();
  personality = new TestPersonality();
  readonly modules = new Map<string, LoadedModule>();
  readonly pages = new Map<number, Uint8Array>();
  kernel: Kernel;
  readonly #options: Partial<KernelOptions>;

  constructor(options: Partial<KernelOptions> = {}) {
    this.#options = options;
    this.kernel = new Kernel(Space.create({ id: new Uint8Array(16).fill(5) }), this.kernelOptions());
  }
  /** For another kernel in its place. */
  kernelOptions(): KernelOptions {
    return {
      powers: this.powers,
      personality: this.personality,
      compiler: makeModule,
      ...this.#options,
    };
  }
  get space(): Space {
    return this.kernel.space;
  }

  add(name: string, module: LoadedModule, more: object = {}): number {
    this.modules.set(keyOf(module.hash, formOf(module)), module);
    return this.kernel.createDomain({ name, module, ...more });
  }

  /** Makes the state so far durable. */
  checkpoint(): void {
    const cut = this.kernel.cut();
    if (cut === null) return;
    for (const [i, page] of cut.pages.entries()) {
      this.pages.set(page, Uint8Array.from(cut.data.subarray(i * 4096, i * 4096 + 4096)));
    }
    for (const page of cut.freed) this.pages.delete(page);
  }

  /** The process dies; what the last checkpoint holds comes back, in a fresh space. */
  crash(): void {
    const images = [...this.pages].map(([page, bytes]): PageImage => ({ page, bytes }));
    this.powers.ns = 77n; // another host, another clock
    const { logs, open } = this.personality;
    this.personality = new TestPersonality();
    this.personality.logs.push(...logs);
    this.personality.open = open;
    this.kernel = Kernel.recover(Space.load(images), this.kernelOptions(), (hash, form) =>
      this.modules.get(keyOf(hash, form)),
    );
  }

  /** Runs until nothing is ready. */
  runAll(limit = 100000): void {
    for (let i = 0; i < limit; i++) if (this.kernel.run().idle) return;
    throw new Error('it never comes to rest');
  }
  values(name: string): (number | bigint)[] {
    return this.personality.logs.filter(([n]) => n === name).map(([, value]) => value);
  }
}
