/**
 * The store alone: what a durable commit costs by how much changed and how the changes lie, what the file takes for the
 * data in it, how fast a checkpoint is loaded, and how fast pages are hashed. `commitMsPerMiB` is for changes that lie
 * side by side, `scatteredMsPerMiB` for single pages anywhere.
 */
import { statSync } from 'node:fs';
import { HASH_KEY_BYTES, PageHasher } from '../src/base/hash.ts';
import { Prng } from '../src/base/prng.ts';
import { hostPowers, lmdbEngine } from '../src/store/engine-lmdb.ts';
import { openStore } from '../src/store/open.ts';
import type { Store } from '../src/store/store.ts';
import { withStore } from './checkpoint.ts';
import type { Group } from './groups.ts';
import { type Figure, figure, short, table } from './stats.ts';

const SPACE_MIB = 64;
const PAGES_A_MIB = 256;
const PAGE_BYTES = 4096;
const CHANGED_MIB = [0.0625, 1, 8];
const RUNS = 9;
const LOADS = 5;

const host = { engine: lmdbEngine, powers: hostPowers };
const random = new Prng(1);

/** Bytes nobody can compress, a new start each time. */
function filled(pages: number): Uint8Array {
  const words = new Uint32Array(new SharedArrayBuffer(pages * PAGE_BYTES));
  let value = random.u32();
  for (let i = 0; i < words.length; i++) words[i] = value = (Math.imul(value, 1664525) + 1013904223) | 0;
  return new Uint8Array(words.buffer);
}

/** `count` numbers below `pages`, rising: from one place on, or anywhere. */
function choose(pages: number, count: number, scattered: boolean): Uint32Array {
  const chosen = new Set<number>();
  const first = random.below(pages - count + 1);
  while (chosen.size < count) chosen.add(scattered ? random.below(pages) : first + chosen.size);
  return Uint32Array.from(chosen).sort();
}

interface Row {
  readonly changedMiB: number;
  readonly scattered: boolean;
  readonly commit: Figure;
}

async function commits(store: Store): Promise<Row[]> {
  const pages = SPACE_MIB * PAGES_A_MIB;
  const rows: Row[] = [];
  for (const changedMiB of CHANGED_MIB) {
    for (const scattered of [false, true]) {
      const times: number[] = [];
      for (let run = 0; run < RUNS; run++) {
        const numbers = choose(pages, changedMiB * PAGES_A_MIB, scattered);
        const data = filled(numbers.length);
        const before = performance.now();
        await commit(store, numbers, data);
        times.push(performance.now() - before);
      }
      rows.push({ changedMiB, scattered, commit: figure(times) });
    }
  }
  return rows;
}

const commit = (store: Store, pages: Uint32Array, data: Uint8Array) =>
  store.commit({ seq: store.seq + 1, meta: new Uint8Array(64), pages, data, freed: new Uint32Array(0) });

async function loads(folder: string): Promise<{ open: Figure; load: Figure }> {
  const opens: number[] = [];
  const times: number[] = [];
  for (let run = 0; run < LOADS; run++) {
    const before = performance.now();
    const store = await openStore(folder, { ...host, create: false });
    const opened = performance.now();
    let pages = 0;
    for (const { bytes } of store.loadCheckpoint()!.pages) pages += bytes.length / PAGE_BYTES;
    times.push(performance.now() - opened);
    opens.push(opened - before);
    if (pages !== SPACE_MIB * PAGES_A_MIB) throw new Error(`${pages} pages were loaded`);
    await store.close();
  }
  return { open: figure(opens), load: figure(times) };
}

/** GB/s of hashing pages where they lie in a space. */
function hashing(): Figure {
  const { Memory } = (
    globalThis as unknown as { WebAssembly: { Memory: new (d: object) => { buffer: SharedArrayBuffer } } }
  ).WebAssembly;
  const memory = new Memory({ initial: 1024n, maximum: 262144n, shared: true, address: 'i64' });
  new Uint8Array(memory.buffer).set(filled(1024));
  const hasher = new PageHasher(new Uint8Array(HASH_KEY_BYTES).fill(7), memory);
  const pages = new Uint32Array(2048).map((_, i) => i);
  const speeds: number[] = [];
  for (let run = 0; run < 40; run++) {
    const before = performance.now();
    hasher.hashPages(pages, 0, pages.length);
    if (run >= 20) speeds.push((pages.length * PAGE_BYTES) / (performance.now() - before) / 1e6);
  }
  return figure(speeds);
}

export const store: Group = async (_args, print) =>
  withStore(async (folder) => {
    const space = await openStore(folder, { ...host, create: true });
    const all = choose(SPACE_MIB * PAGES_A_MIB, SPACE_MIB * PAGES_A_MIB, false);
    const data = filled(all.length);
    const before = performance.now();
    await commit(space, all, data);
    const first = performance.now() - before;
    const size = (): number => statSync(space.paths.data).size / data.length;
    const fileRatio = size();
    const unchanged: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      const start = performance.now();
      await commit(space, all, data);
      unchanged.push(performance.now() - start);
    }
    const rows = await commits(space);
    const fileRatioAfter = size();
    await space.close();
    const { open, load } = await loads(folder);
    const hash = hashing();
    print(
      table([
        ['changed MiB', 'pages lie', 'durable ms', 'least-most', 'ms a MiB'],
        ...rows.map((r) => [
          short(r.changedMiB),
          r.scattered ? 'anywhere' : 'together',
          short(r.commit.value),
          `${short(r.commit.min)}-${short(r.commit.max)}`,
          short(r.commit.value / r.changedMiB),
        ]),
      ]),
    );
    print(
      `the first ${SPACE_MIB} MiB: ${short(first)} ms; the same again, unchanged: ${short(figure(unchanged).value)} ms`,
    );
    print(`file by data: ${short(fileRatio)} then, ${short(fileRatioAfter)} after all of the above`);
    print(
      `open and check ${short(open.value)} ms; load and verify ${short(SPACE_MIB / load.value)} MiB a ms`,
    );
    print(`hashing in place ${short(hash.value)} GB/s; median of ${RUNS} commits and ${LOADS} loads`);
    const largest = (scattered: boolean): number => {
      const row = rows.findLast((r) => r.scattered === scattered)!;
      return row.commit.value / row.changedMiB;
    };
    return {
      commitMsPerMiB: largest(false),
      scatteredMsPerMiB: largest(true),
      firstMs: first,
      unchangedMs: figure(unchanged).value,
      fileRatio,
      fileRatioAfter,
      openMs: open.value,
      loadMiBPerMs: SPACE_MIB / load.value,
      hashGBPerS: hash.value,
      runs: RUNS,
      rows,
    };
  });
