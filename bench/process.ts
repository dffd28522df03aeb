/**
 * Programs in processes of their own beside programs in the space: what it takes from asking the kernel for a domain to the
 * first call the program makes, and what a call costs, by how much there is to bring home: stack alone, further frames
 * that are new since the call before, pages of memory. The process runs the sources: Node strips their types at each
 * start, which an installed package has behind it.
 */
import { aloneCode } from '../src/cli/compose.ts';
import { Processes } from '../src/drivers/processes.ts';
import { Kernel } from '../src/kernel/index.ts';
import { Space } from '../src/space/index.ts';
import type { Group } from './groups.ts';
import { type Figure, figure, short, table } from './stats.ts';
import { install, installAlone, kernelOptions, reached } from './system.ts';

const SPAWNS = 15;
const CALLS = 3000;
const WARM_CALLS = 300;

/** `calls(depth, pages)`: calls for ever, from so deep in its own calls, having written to so many pages. */
const CALLER = `(module
  (import "bench" "reached" (func $reached))
  (memory 64)
  (func $touch (param $pages i32)
    (loop $next
      (i32.store (i32.shl (local.get $pages) (i32.const 12)) (i32.add (i32.load (i32.shl (local.get $pages) (i32.const 12))) (i32.const 1)))
      (br_if $next (i32.gt_s (local.tee $pages (i32.sub (local.get $pages) (i32.const 1))) (i32.const 0)))))
  (func $deep (param $depth i32) (result i32)
    (if (result i32) (local.get $depth)
      (then (i32.add (call $deep (i32.sub (local.get $depth) (i32.const 1))) (local.get $depth)))
      (else (call $reached) (i32.const 1))))
  (func (export "calls") (param $depth i32) (param $pages i32)
    (loop $again
      (if (local.get $pages) (then (call $touch (local.get $pages))))
      (drop (call $deep (local.get $depth)))
      (br $again))))`;

type Module = Awaited<ReturnType<typeof install>>;

class Bench {
  readonly kernel: Kernel;
  readonly #processes: Processes;

  constructor() {
    this.#processes = new Processes({
      ...aloneCode(),
      stopEveryMs: 500,
      wake: (domain) => {
        this.kernel.wake(domain);
        this.kernel.run();
      },
    });
    const space = Space.create({ id: new Uint8Array(16).fill(7) });
    this.kernel = new Kernel(space, { ...kernelOptions(), enclosures: this.#processes });
  }

  close(): void {
    this.#processes.close();
  }

  /** Runs `calls` until it has called so often; gives the moments of its calls, ms. */
  async calls(module: Module, count: number, depth = 0, pages = 0): Promise<{ from: number; at: number[] }> {
    const { kernel } = this;
    const at: number[] = [];
    const done = Promise.withResolvers<void>();
    const alive = setInterval(() => {}, 1000); // children alone do not keep a process
    reached.hook = () => {
      if (at.push(reached.at) < count) return;
      reached.hook = undefined;
      kernel.core.raiseFlag();
      done.resolve();
    };
    const from = performance.now();
    const id = kernel.createDomain({ name: 'caller', module });
    kernel.start(id, 'calls', [depth, pages]);
    kernel.run();
    await done.promise;
    clearInterval(alive);
    kernel.remove(id);
    return { from, at };
  }
}

async function spawned(bench: Bench, module: Module): Promise<Figure> {
  const times: number[] = [];
  for (let i = 0; i <= SPAWNS; i++) {
    const { from, at } = await bench.calls(module, 1);
    if (i > 0) times.push((at[0] as number) - from);
  }
  return figure(times);
}

async function called(bench: Bench, module: Module, depth: number, pages: number): Promise<Figure> {
  const { at } = await bench.calls(module, WARM_CALLS + CALLS, depth, pages);
  const gaps = at.slice(WARM_CALLS).map((moment, i) => (moment - (at[WARM_CALLS + i - 1] as number)) * 1000);
  return figure(gaps);
}

/** The group `process`. */
export const processes: Group = async (_args, print) => {
  const modules = { space: await install(CALLER), process: await installAlone(CALLER) };
  const bench = new Bench();
  const figures: Record<string, Record<string, Figure>> = {};
  const rows: string[][] = [['', 'in the space', 'in a process']];
  const row = async (name: string, unit: string, measure: (module: Module) => Promise<Figure>) => {
    const both = { space: await measure(modules.space), process: await measure(modules.process) };
    figures[name] = both;
    const cell = ({ value, min }: Figure): string => `${short(value)} ${unit} (least ${short(min)})`;
    rows.push([name, cell(both.space), cell(both.process)]);
  };
  try {
    await row('to the first call', 'ms', (module) => spawned(bench, module));
    await row('a call', 'us', (module) => called(bench, module, 0, 0));
    await row('a call from 20 new frames', 'us', (module) => called(bench, module, 20, 0));
    await row('a call with 16 pages written', 'us', (module) => called(bench, module, 0, 16));
  } finally {
    bench.close();
  }
  print(table(rows));
  print(`medians of ${SPAWNS} starts and ${CALLS} calls`);
  return figures;
};
