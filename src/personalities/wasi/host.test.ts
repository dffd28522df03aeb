import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guest } from '../../../guests/build.ts';
import { missingClang } from '../../../guests/toolchain.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { HostFolders } from '../../drivers/host/folders.ts';
import { DriverState } from '../../drivers/state.ts';
import { load } from '../../kernel/kernel.testing.ts';
import { Kernel } from '../../kernel/kernel.ts';
import { rootCell, stateMemory } from '../../kernel/outbox-space.ts';
import type { LoadedModule } from '../../kernel/program.ts';
import { ROOT, Space } from '../../space/index.ts';
import { ERRNO } from './errno.ts';
import { WasiPersonality } from './personality.ts';
import { FakePorts } from './ports.testing.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

/** A process with a space, a kernel, WASI and the real driver of host folders; its checkpoints and crashes are ours. */
class HostMachine {
  readonly ports = new FakePorts();
  readonly random = new Prng(seed);
  space: Space = Space.create({ id: new Uint8Array(16).fill(3) });
  folders!: HostFolders;
  wasi!: WasiPersonality;
  kernel!: Kernel;
  crashes = 0;
  #module: LoadedModule | undefined;
  #pages = new Map<number, Uint8Array>();
  #seq = 0;
  #time = 0n;

  constructor() {
    this.#compose();
    this.kernel = new Kernel(this.space, this.#options());
  }

  #compose(): void {
    const { space } = this;
    this.folders = new HostFolders({
      state: new DriverState(stateMemory(space), rootCell(space, ROOT.ports)),
      wake: (domain) => this.kernel.wake(domain),
      now: () => BigInt(Date.now()) * 1_000_000n,
      // A write that is made again after a crash may find its file already removed, as it was to be.
      problem: ({ errno, ...where }) => assert.equal(errno, ERRNO.STALE, JSON.stringify(where)),
    });
    this.ports.object = (id) => this.folders.object(id);
    this.wasi = new WasiPersonality(space, this.ports);
  }
  #options() {
    const powers = { monotonicNs: () => (this.#time += 1000n), threadCpuMicros: () => 0 };
    return { powers, personality: this.wasi };
  }

  start(bytes: Uint8Array, args: string[], folder: string, readOnly = false): number {
    this.#module = load(bytes);
    const { id: grant } = this.folders.grant(1, folder, readOnly);
    const personalityState = this.wasi.createState({
      args: ['guest', ...args],
      env: [],
      grants: [{ kind: 'host', id: grant, guest: '/', readOnly }],
    });
    const id = this.kernel.createDomain({ name: 'guest', module: this.#module, personalityState });
    this.kernel.start(id, '_start');
    return id;
  }

  /** A checkpoint; the process may die before it is durable, before its effects are applied, or right after. */
  async #checkpoint(crashChance: number): Promise<void> {
    this.folders.cut(++this.#seq);
    const cut = this.kernel.cut();
    if (this.random.chance(crashChance)) return this.#crash();
    for (const [i, page] of (cut?.pages ?? []).entries()) {
      this.#pages.set(page, Uint8Array.from(cut!.data.subarray(i * 4096, (i + 1) * 4096)));
    }
    for (const page of cut?.freed ?? []) this.#pages.delete(page);
    if (this.random.chance(crashChance)) return this.#crash();
    this.folders.durable(this.#seq);
    while (!this.folders.settled()) await new Promise((resolve) => setImmediate(resolve));
    if (this.random.chance(crashChance)) return this.#crash();
  }

  async #crash(): Promise<void> {
    await this.folders.close();
    this.crashes++;
    this.space = Space.load(Array.from(this.#pages, ([page, bytes]) => ({ page, bytes })));
    this.#compose();
    this.kernel = Kernel.recover(this.space, this.#options(), () => this.#module);
  }

  async run(id: number, crashChance = 0): Promise<void> {
    await this.#checkpoint(0);
    for (;;) {
      const { idle } = this.kernel.run({ maxSlices: 1 });
      if (this.kernel.status(id).state === 'exited') return;
      if (idle) await this.#checkpoint(crashChance);
    }
  }
}

describe('host folders through WASI', { skip: missingClang() ?? false }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'perdure-wasi-host-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  const fresh = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path);
    return path;
  };
  const contents = (path: string): Record<string, string> =>
    Object.fromEntries(
      readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .map((file) => [file.slice(path.length), readFileSync(file, 'latin1')])
        .sort(),
    );

  it("serve every function of preview 1 as the space's own tree does", async () => {
    const machine = new HostMachine();
    const id = machine.start(readFileSync(await guest('wasi')), ['.'], fresh('all'));
    await machine.run(id);
    const output = machine.ports.stdout.text();
    assert.deepEqual(
      output.split('\n').filter((line) => line.startsWith('FAIL')),
      [],
    );
    assert.equal(machine.kernel.status(id).exitCode, 0, machine.kernel.status(id).reason);
  });

  it('hold the same files after a run that was killed again and again', async () => {
    console.log(`seed ${seed}`);
    const bytes = readFileSync(await guest('files'));
    const [plain, killed] = [fresh('plain'), fresh('killed')];
    const one = new HostMachine();
    const first = one.start(bytes, ['/', '6', '8'], plain);
    await one.run(first);
    assert.equal(one.kernel.status(first).exitCode, 0, one.ports.stdout.text());
    const two = new HostMachine();
    const second = two.start(bytes, ['/', '6', '8'], killed);
    await two.run(second, 0.15);
    assert.equal(two.kernel.status(second).exitCode, 0, two.ports.stdout.text());
    assert.ok(two.crashes > 2, `${two.crashes} crashes`);
    assert.deepEqual(contents(killed), contents(plain));
    assert.ok(Object.keys(contents(plain)).length > 3);
  });

  it('change nothing when they are granted read-only', async () => {
    const path = fresh('readonly');
    writeFileSync(join(path, 'file'), 'kept');
    const machine = new HostMachine();
    const id = machine.start(readFileSync(await guest('files')), ['/', '1', '1'], path, true);
    await machine.run(id);
    assert.match(machine.ports.stdout.text(), /FAILED create .*Read-only/);
    assert.deepEqual(contents(path), { '/file': 'kept' });
  });
});
