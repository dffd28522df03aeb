/**
 * Checkpoints: how long programs stand still while one is taken, by memory size and by how much of it changed, and how
 * long until it is durable. `checkpoint.pauseMsPerMiB` is the pause by changed MiB at the largest memory and change;
 * `unchangedMs` the pause when next to nothing changed in that memory.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PageHasher } from '../src/base/hash.ts';
import type { Kernel } from '../src/kernel/index.ts';
import { hostPowers, lmdbEngine } from '../src/store/engine-lmdb.ts';
import { PageHashes } from '../src/store/hashes.ts';
import { openStore } from '../src/store/open.ts';
import type { Store } from '../src/store/store.ts';
import type { Group } from './groups.ts';
import { type Figure, figure, short, table } from './stats.ts';
import { install, newKernel, toucher } from './system.ts';

const SIZES_MIB = [16, 64, 256];
const SHARES = [0.001, 0.01, 0.1, 1];
const RUNS = 7;
const PAGES_A_MIB = 256;

export interface CheckpointRow {
  readonly memoryMiB: number;
  readonly changedMiB: number;
  readonly pause: Figure;
  readonly durable: Figure;
}

/** Takes cuts of a kernel and commits them, as the product does. */
export class Cutter {
  readonly #kernel: Kernel;
  readonly #store: Store;
  readonly #hashes: PageHashes;
  readonly #hasher: PageHasher;
  constructor(kernel: Kernel, store: Store) {
    this.#kernel = kernel;
    this.#store = store;
    this.#hashes = new PageHashes(store.pageHashes());
    this.#hasher = new PageHasher(store.manifest.hashKey, kernel.space.memory);
  }

  /** Milliseconds of the pause, and until the cut is durable. */
  async cut(): Promise<{ pause: number; durable: number; pages: number }> {
    const before = performance.now();
    const cut = this.#kernel.cut({
      take: (marked) => this.#hashes.takeChanged(this.#hasher, marked, marked.length),
      forget: (freed) => this.#hashes.forget(freed),
    });
    const pause = performance.now() - before;
    if (!cut) return { pause, durable: pause, pages: 0 };
    const freed = Uint32Array.from([...cut.freed, ...cut.zeroed]).sort();
    await this.#store.commit({ ...cut, freed: unique(freed), meta: new Uint8Array(0) });
    this.#kernel.durable(cut.seq);
    return { pause, durable: performance.now() - before, pages: cut.pages.length };
  }
}

function unique(sorted: Uint32Array): Uint32Array {
  return sorted.filter((page, i) => page !== sorted[i - 1]);
}

/** Runs `work` with a new store in a folder that is gone afterwards. */
export async function withStore<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-bench-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(mib: number): Promise<CheckpointRow[]> {
  return withStore(async (folder) => {
    const store = await openStore(folder, { engine: lmdbEngine, powers: hostPowers, create: true });
    const kernel = newKernel();
    const id = kernel.createDomain({ name: 'touched', module: await install(toucher(mib)), resident: true });
    const cutter = new Cutter(kernel, store);
    const pages = mib * PAGES_A_MIB;
    kernel.invoke(id, 'touch', [0, 1, pages, 1]);
    await cutter.cut();
    const rows: CheckpointRow[] = [];
    let value = 1;
    for (const share of SHARES) {
      const count = Math.max(1, Math.round(pages * share));
      const pauses: number[] = [];
      const durables: number[] = [];
      for (let run = 0; run < RUNS; run++) {
        value = (value % 250) + 1;
        kernel.invoke(id, 'touch', [0, Math.floor(pages / count), count, value]);
        const { pause, durable } = await cutter.cut();
        pauses.push(pause);
        durables.push(durable);
      }
      const changedMiB = count / PAGES_A_MIB;
      rows.push({ memoryMiB: mib, changedMiB, pause: figure(pauses), durable: figure(durables) });
    }
    await store.close();
    return rows;
  });
}

export const checkpoint: Group = async (_args, print) => {
  const rows: CheckpointRow[] = [];
  for (const mib of SIZES_MIB) rows.push(...(await measure(mib)));
  print(
    table([
      ['memory MiB', 'changed MiB', 'pause ms', 'least-most', 'ms a MiB', 'durable ms'],
      ...rows.map((r) => [
        String(r.memoryMiB),
        short(r.changedMiB),
        short(r.pause.value),
        `${short(r.pause.min)}-${short(r.pause.max)}`,
        short(r.pause.value / r.changedMiB),
        short(r.durable.value),
      ]),
    ]),
  );
  print(`median of ${RUNS} checkpoints each`);
  const last = rows.at(-1)!;
  const least = rows[rows.length - SHARES.length]!;
  return {
    pauseMsPerMiB: last.pause.value / last.changedMiB,
    unchangedMs: least.pause.value,
    runs: RUNS,
    rows,
  };
};
