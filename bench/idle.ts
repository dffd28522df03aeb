/**
 * Domains that exist and do nothing: what each takes beside its pages, and whether others notice. A domain here is a program
 * with one page of memory that has run once and can be called; every so many a cut is taken, as a space with a store does, at
 * which instances that have not run for long are let go.
 *
 * `npm run bench -- idle [COUNT]`: 100,000 when nothing is said. Beside it: what a Node user has, a worker each.
 */
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { PAGE_BYTES } from '../src/base/limits.ts';
import type { Group } from './groups.ts';
import { aim, median, short, table } from './stats.ts';
import { install, newKernel } from './system.ts';

const COUNT = 100_000;
const CUT_EVERY = 5000;
const WORKERS = 50;
const PROGRAM = `(module
  (import "bench" "reached" (func $reached))
  (memory 1)
  (func (export "gate:reach") (call $reached))
  (func (export "reach") (i32.store (i32.const 64) (i32.const 1)) (call $reached)))`;

/** Collects what nobody holds. */
function settle(): NodeJS.MemoryUsage {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage();
}

export const idle: Group = async (args, print) => {
  const count = Number(args[0] ?? COUNT);
  const kernel = newKernel();
  const module = await install(PROGRAM);
  const { space } = kernel;
  const make = (name: string): number => {
    const before = performance.now();
    const id = kernel.createDomain({ name, module, resident: true });
    kernel.start(id, 'reach');
    kernel.run();
    return (performance.now() - before) * 1000;
  };
  for (let i = 0; i < 500; i++) make(`warm ${i}`);
  const before = { ...settle(), heap: space.heap.usedBytes };
  const times: number[] = [];
  let pages = 0;
  for (let i = 0; i < count; i++) {
    times.push(make(`idle ${i}`));
    if (i % CUT_EVERY !== CUT_EVERY - 1 && i !== count - 1) continue;
    const cut = kernel.cut();
    pages += cut?.pages.length ?? 0;
    if (cut !== null) kernel.durable(cut.seq);
  }
  const after = settle();
  const [first, last] = [median(times.slice(0, 1000)), median(times.slice(-1000))];
  const each = (bytes: number): number => bytes / count;
  const kernelBytes = each(after.heapUsed - before.heapUsed + space.heap.usedBytes - before.heap);
  const resident = each(after.rss - before.rss);
  const workers = await workerBytes();
  print(
    table([
      ['idle', 'bytes each'],
      ['in the kernel: records', short(each(space.heap.usedBytes - before.heap))],
      ['in the kernel: JavaScript', short(each(after.heapUsed - before.heapUsed))],
      ['pages written to', short(each(pages * PAGE_BYTES))],
      ['of the process, all in all', short(resident)],
      ['a worker thread that waits', short(workers)],
    ]),
  );
  print(
    `${count} domains in one process; made and run once in ${short(first)} us at first, ${short(last)} us at last`,
  );
  print(aim('bytes of the kernel for an idle domain', kernelBytes, 8192));
  return { count, kernelBytes, resident, workers, firstUs: first, lastUs: last };
};

/** Bytes that one more waiting worker takes. */
async function workerBytes(): Promise<number> {
  const before = settle().rss;
  const workers: Worker[] = [];
  for (let i = 0; i < WORKERS; i++) {
    const worker = new Worker('require("worker_threads").parentPort.once("message", () => {})', {
      eval: true,
    });
    await once(worker, 'online');
    workers.push(worker);
  }
  const bytes = (settle().rss - before) / WORKERS;
  await Promise.all(workers.map((worker) => worker.terminate()));
  return bytes;
}
