/**
 * Starting a program that is installed: from asking the kernel for a domain to the first instruction the program runs,
 * and what a domain takes when it is gone again. `spawn.us` is the median in microseconds.
 */
import type { Group } from './groups.ts';
import { figure, short, table } from './stats.ts';
import { install, newKernel, reached, toucher } from './system.ts';

const WARM = 300;
const RUNS = 2000;

export const spawn: Group = async (_args, print) => {
  const kernel = newKernel();
  const module = await install(toucher(1));
  const starts: number[] = [];
  const ends: number[] = [];
  for (let i = 0; i < WARM + RUNS; i++) {
    const before = performance.now();
    const id = kernel.createDomain({ name: 'spawned', module });
    kernel.start(id, 'reach');
    kernel.run();
    const after = performance.now();
    kernel.remove(id);
    if (i < WARM) continue;
    starts.push((reached.at - before) * 1000);
    ends.push((performance.now() - after) * 1000);
  }
  const start = figure(starts);
  const end = figure(ends);
  const cells = (name: string, f: typeof start): string[] => [
    name,
    short(f.value),
    `${short(f.min)}-${short(f.max)}`,
  ];
  print(
    table([['spawn', 'us', 'least-most'], cells('to the first instruction', start), cells('removal', end)]),
  );
  print(`a program with 1 MiB of memory, median of ${RUNS}`);
  return { us: start.value, start, remove: end };
};
