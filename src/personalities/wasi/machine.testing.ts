/**
 * For tests: real programs on the real kernel with WASI, over ports a test controls, killed as often as wanted. A
 * crash comes between two slices, and slices are made to end after random system calls: so the program goes on from
 * saved frames in a fresh space, while what was written stays outside (as after a durable checkpoint).
 */
import { Prng } from '../../base/prng.ts';
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import type { Grant as NamedGrant } from '../../kernel/capability/authority.ts';
import { load } from '../../kernel/kernel.testing.ts';
import { type DomainStatus, Kernel } from '../../kernel/kernel.ts';
import type { LoadedModule } from '../../kernel/program.ts';
import { Space } from '../../space/index.ts';
import { type Grant, homeOf } from './grants.ts';
import { WasiPersonality } from './personality.ts';
import { FakePorts } from './ports.testing.ts';

/** Ends the slice after some calls, so that a crash can come there. */
class RestlessWasi extends WasiPersonality {
  readonly #random: Prng;
  readonly #chance: number;
  constructor(space: Space, ports: FakePorts, random: Prng, chance: number) {
    super(space, ports);
    this.#random = random;
    this.#chance = chance;
  }
  override resolve(
    module: string,
    name: string,
    shape?: { params: number[]; results: number[] },
  ): SystemCall | undefined {
    const call = super.resolve(module, name, shape);
    if (call === undefined || this.#chance === 0) return call;
    return (caller: Caller, ...args: never[]) => {
      if (this.#random.chance(this.#chance)) caller.yield();
      return call(caller, ...args);
    };
  }
}

export interface MachineOptions {
  /** How likely a slice ends at a system call, and then how likely a crash is. */
  yieldChance?: number;
  crashChance?: number;
  seed?: number;
}

export class Machine {
  readonly ports = new FakePorts();
  kernel: Kernel;
  wasi: WasiPersonality;
  crashes = 0;
  readonly #modules = new Map<string, LoadedModule>();
  readonly #pages = new Map<number, Uint8Array>();
  readonly #random: Prng;
  readonly #options: MachineOptions;
  #time = 0n;

  constructor(options: MachineOptions = {}) {
    this.#options = options;
    this.#random = new Prng(options.seed ?? 1);
    const space = Space.create({ id: new Uint8Array(16).fill(3) });
    this.wasi = this.#personality(space);
    this.kernel = new Kernel(space, this.#kernelOptions());
  }

  #personality(space: Space): WasiPersonality {
    return new RestlessWasi(space, this.ports, this.#random, this.#options.yieldChance ?? 0);
  }
  #kernelOptions() {
    const powers = {
      monotonicNs: (): bigint => {
        this.#time += 1000n;
        return this.#time;
      },
      threadCpuMicros: () => 0,
    };
    return { powers, personality: this.wasi };
  }

  /** Starts a program as a domain. `named`: capabilities it is granted besides, under names of the kernel's. */
  start(
    name: string,
    bytes: Uint8Array,
    args: string[] = [],
    grants: Grant[] = [homeOf(name)],
    named: NamedGrant[] = [],
  ): number {
    const module = load(bytes);
    this.#modules.set(module.hash, module);
    const personalityState = this.wasi.createState({ args: [name, ...args], env: [], grants });
    const id = this.kernel.createDomain({ name, module, personalityState, grants: named });
    this.kernel.start(id, '_start');
    return id;
  }

  /** A domain of another machine comes here, as by a file, with what it is granted. */
  take(from: Machine, id: number, grants: NamedGrant[] = []): number {
    const { hash, name } = from.status(id);
    const module = from.#modules.get(hash) as LoadedModule;
    this.#modules.set(hash, module);
    const image = structuredClone(from.kernel.exportDomain(id));
    return this.kernel.importDomain(image, module, name, false, grants);
  }

  /** Runs until all domains have ended or wait for something outside. */
  run(): void {
    for (;;) {
      const { idle, nextDeadline } = this.kernel.run({ maxSlices: 1 });
      if (idle && nextDeadline === null) return;
      if (idle && nextDeadline !== null && nextDeadline > this.kernel.now()) this.#time += nextDeadline;
      if (this.#random.chance(this.#options.crashChance ?? 0)) this.crash();
    }
  }

  /** The process dies right after a checkpoint; everything goes on from there. */
  crash(): void {
    const cut = this.kernel.cut();
    if (cut !== null) {
      for (const [i, page] of cut.pages.entries()) {
        this.#pages.set(page, Uint8Array.from(cut.data.subarray(i * 4096, (i + 1) * 4096)));
      }
      for (const page of cut.freed) this.#pages.delete(page);
    }
    const space = Space.load(Array.from(this.#pages, ([page, bytes]) => ({ page, bytes })));
    this.wasi = this.#personality(space);
    this.kernel = Kernel.recover(space, this.#kernelOptions(), (hash) => this.#modules.get(hash));
    this.crashes++;
  }

  status(id: number): DomainStatus {
    return this.kernel.status(id);
  }
}
