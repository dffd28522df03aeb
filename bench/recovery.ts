/**
 * Recovery once the process is up: from opening the store to the first instruction a recovered program runs, pages
 * read and verified on the way. `recovery.ms` is for a program of 16 MiB, all of it written.
 */
import { Kernel } from '../src/kernel/index.ts';
import { Space } from '../src/space/index.ts';
import { hostPowers, lmdbEngine } from '../src/store/engine-lmdb.ts';
import { openStore } from '../src/store/open.ts';
import { Cutter, withStore } from './checkpoint.ts';
import type { Group } from './groups.ts';
import { type Figure, figure, short, table } from './stats.ts';
import { install, kernelOptions, newKernel, reached, toucher } from './system.ts';

const SIZES_MIB = [1, 16, 64];
const RUNS = 7;
const ENGINE = { engine: lmdbEngine, powers: hostPowers };

async function measure(mib: number): Promise<Figure> {
  const module = await install(toucher(mib));
  return withStore(async (folder) => {
    const store = await openStore(folder, { ...ENGINE, create: true });
    const kernel = newKernel();
    const id = kernel.createDomain({ name: 'recovered', module, resident: true });
    kernel.invoke(id, 'touch', [0, 1, mib * 256, 5]);
    kernel.start(id, 'wait');
    runUntilReached(kernel);
    await new Cutter(kernel, store).cut();
    await store.close();
    const times: number[] = [];
    for (let run = 0; run < RUNS; run++) times.push(await recoverOnce(folder, module));
    return figure(times);
  });
}

/** Runs a program that calls `reached` for ever until its first call, and leaves it suspended. When that was. */
function runUntilReached(kernel: Kernel): number {
  let first = 0;
  reached.hook = () => {
    if (first === 0) first = reached.at;
    kernel.core.raiseFlag();
  };
  kernel.run({ maxSlices: 1 });
  reached.hook = undefined;
  if (first === 0) throw new Error('the program did not run');
  return first;
}

type Installed = Awaited<ReturnType<typeof install>>;

async function recoverOnce(folder: string, module: Installed): Promise<number> {
  const before = performance.now();
  const store = await openStore(folder, { ...ENGINE, create: false });
  const checkpoint = store.loadCheckpoint();
  if (!checkpoint) throw new Error('the checkpoint is gone');
  const kernel = Kernel.recover(Space.load(checkpoint.pages), kernelOptions(), () => module);
  const at = runUntilReached(kernel);
  await store.close();
  return at - before;
}

export const recovery: Group = async (_args, print) => {
  const rows: { memoryMiB: number; time: Figure }[] = [];
  for (const memoryMiB of SIZES_MIB) rows.push({ memoryMiB, time: await measure(memoryMiB) });
  print(
    table([
      ['memory MiB', 'recovery ms', 'least-most'],
      ...rows.map((r) => [
        String(r.memoryMiB),
        short(r.time.value),
        `${short(r.time.min)}-${short(r.time.max)}`,
      ]),
    ]),
  );
  print(`median of ${RUNS}`);
  return { ms: rows.find((r) => r.memoryMiB === 16)!.time.value, runs: RUNS, rows };
};
