/**
 * For tests: a process with a space, a kernel, WASI and the real drivers of host folders and sockets; its checkpoints
 * and crashes are the test's. One domain, number 1.
 */
import assert from 'node:assert/strict';
import { Prng } from '../../base/prng.ts';
import { HostFolders } from '../../drivers/host/folders.ts';
import { Network } from '../../drivers/net.ts';
import { DriverState } from '../../drivers/state.ts';
import { OutboxMeter } from '../../kernel/account/meter.ts';
import { load } from '../../kernel/kernel.testing.ts';
import { Kernel } from '../../kernel/kernel.ts';
import { rootCell, stateMemory } from '../../kernel/outbox-space.ts';
import type { LoadedModule } from '../../kernel/program.ts';
import { ROOT, Space } from '../../space/index.ts';
import { ERRNO } from './errno.ts';
import type { Grant } from './grants.ts';
import { WasiPersonality } from './personality.ts';
import { FakePorts } from './ports.testing.ts';

/** The only domain there is. */
const DOMAIN = 1;
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class DriverMachine {
  readonly ports = new FakePorts();
  space: Space = Space.create({ id: new Uint8Array(16).fill(3) });
  folders!: HostFolders;
  network!: Network;
  kernel!: Kernel;
  crashes = 0;
  #wasi!: WasiPersonality;
  #meter!: OutboxMeter;
  readonly #random: Prng;
  #module: LoadedModule | undefined;
  readonly #pages = new Map<number, Uint8Array>();
  #seq = 0;
  #time = 0n;

  constructor(seed: number) {
    this.#random = new Prng(seed);
    this.#compose();
    this.kernel = new Kernel(this.space, this.#options());
  }

  #compose(): void {
    const { space } = this;
    const state = new DriverState(stateMemory(space), rootCell(space, ROOT.ports));
    const wake = (domain: number): void => this.kernel.wake(domain);
    this.#meter = new OutboxMeter(space, wake);
    const meter = this.#meter;
    this.folders = new HostFolders({
      state,
      wake,
      meter,
      now: () => BigInt(Date.now()) * 1_000_000n,
      // A write that is made again after a crash may find its file already removed, as it was to be.
      problem: ({ errno, ...where }) => assert.equal(errno, ERRNO.STALE, JSON.stringify(where)),
    });
    this.network = new Network({
      state,
      wake,
      meter,
      problem: (address) => assert.fail(`cannot listen: ${address}`),
    });
    this.ports.object = (id) => this.folders.object(id) ?? this.network.object(id);
    this.#wasi = new WasiPersonality(space, this.ports);
  }
  #options() {
    const powers = { monotonicNs: () => (this.#time += 1000n), threadCpuMicros: () => 0 };
    return { powers, personality: this.#wasi, meter: this.#meter };
  }

  /** A folder of the host as the root of what the program sees. */
  folder(path: string, readOnly = false): Grant {
    return { kind: 'host', id: this.folders.grant(DOMAIN, path, readOnly).id, guest: '/', readOnly };
  }
  /** A socket that listens on a free port. */
  async listener(): Promise<Grant & { kind: 'listener' }> {
    const { id } = await this.network.listen(DOMAIN, { host: '127.0.0.1', port: 0 });
    return { kind: 'listener', id };
  }

  start(bytes: Uint8Array, args: string[], grants: Grant[]): number {
    this.#module = load(bytes);
    const personalityState = this.#wasi.createState({ args: ['guest', ...args], env: [], grants });
    const id = this.kernel.createDomain({ name: 'guest', module: this.#module, personalityState });
    this.kernel.start(id, '_start');
    return id;
  }

  /** A domain of a program that is only called. */
  add(name: string, module: LoadedModule, more: object): number {
    this.#module = module;
    return this.kernel.createDomain({ name, module, ...more });
  }

  /** A checkpoint; the process may die before it is durable, before anything is let out, or right after. */
  async checkpoint(crashChance = 0): Promise<void> {
    this.#seq++;
    this.folders.cut(this.#seq);
    this.network.cut(this.#seq);
    const cut = this.kernel.cut();
    if (this.#random.chance(crashChance)) return this.crash();
    for (const [i, page] of (cut?.pages ?? []).entries()) {
      this.#pages.set(page, Uint8Array.from(cut!.data.subarray(i * 4096, (i + 1) * 4096)));
    }
    for (const page of cut?.freed ?? []) this.#pages.delete(page);
    if (this.#random.chance(crashChance)) return this.crash();
    this.folders.durable(this.#seq);
    this.network.durable(this.#seq);
    while (!this.folders.settled()) await tick();
    if (this.#random.chance(crashChance)) return this.crash();
  }

  /** The process dies; another goes on from the last durable checkpoint. */
  async crash(): Promise<void> {
    await this.close();
    this.crashes++;
    this.space = Space.load(Array.from(this.#pages, ([page, bytes]) => ({ page, bytes })));
    this.#compose();
    this.kernel = Kernel.recover(this.space, this.#options(), () => this.#module);
  }

  async close(): Promise<void> {
    await this.folders.close();
    await this.network.close();
  }

  /** Runs the program to its end. */
  async run(id: number, crashChance = 0): Promise<void> {
    await this.checkpoint();
    for (;;) {
      const { idle } = this.kernel.run({ maxSlices: 1 });
      if (this.kernel.status(id).state === 'exited') return;
      if (idle) await this.checkpoint(crashChance);
    }
  }

  /** Runs, with a checkpoint whenever something waits for one, until `done`. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      this.kernel.run({ maxSlices: 10 });
      if (this.network.wantsCheckpoint() || this.folders.wantsCheckpoint()) await this.checkpoint();
      await tick();
    }
  }
}
