/**
 * Loops that were unwound in their middle and go on in a continuation, beside the same loops run through: time from the
 * place of the unwinding to the loop's end, both when V8 has optimised the code they run in. Each loop is nested in
 * another, and unwinds at the head of the inner one. `ratios` are of the least times, and `geomean` is their mean; `first.ms`
 * is the first run that goes on in the middle: it makes the continuation, and V8 has not optimised it.
 */
import { tuneEngine } from '../src/drivers/engine.ts';
import type { Kernel, LoadedModule } from '../src/kernel/index.ts';
import type { Group } from './groups.ts';
import { aim, figure, geomean, median, short, table } from './stats.ts';
import { install, newKernel, reached } from './system.ts';

const WARM = 12;
const RUNS = 25;
const ROUNDS = 40;

/** The locals of all loops; `$round` counts up to ROUNDS in the outer one. */
const LOCALS =
  '(local $round i32) (local $i i32) (local $j i32) (local $k i32) (local $x i32) (local $f f64)';

/** One round of each loop: what the inner loop, which begins it, does. */
const BODIES: Readonly<Record<string, string>> = {
  // Crosses out multiples of $round + 2.
  sieve: `(local.set $i (i32.const 0))
    (loop $inner
      (i32.store8 (local.get $i) (i32.const 1))
      (br_if $inner (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.add (local.get $round) (i32.const 2))))
        (i32.const 1000000))))`,
  // FNV-1a.
  hash: `(local.set $i (i32.const 0))
    (loop $inner
      (local.set $x (i32.mul (i32.xor (local.get $x) (i32.load8_u (local.get $i))) (i32.const 16777619)))
      (br_if $inner (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 300000))))`,
  // One row of a product of two matrices of 100 x 100.
  matrix: `(local.set $j (i32.const 0))
    (loop $inner
      (local.set $f (f64.const 0))
      (local.set $k (i32.const 0))
      (loop $dot
        (local.set $f (f64.add (local.get $f) (f64.mul
          (f64.load (i32.shl (i32.add (i32.mul (local.get $round) (i32.const 100)) (local.get $k)) (i32.const 3)))
          (f64.load offset=80000 (i32.shl (i32.add (i32.mul (local.get $k) (i32.const 100)) (local.get $j)) (i32.const 3))))))
        (br_if $dot (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 100))))
      (f64.store offset=160000 (i32.shl (local.get $j) (i32.const 3)) (local.get $f))
      (br_if $inner (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 1000))))`,
  // Follows links through a megabyte.
  chase: `(local.set $i (i32.const 0))
    (loop $inner
      (local.set $x (i32.and (i32.add (i32.load (local.get $x)) (i32.const 36028)) (i32.const 0xffffc)))
      (br_if $inner (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))`,
  // Moves the smallest to the front.
  sort: `(local.set $i (i32.const 0))
    (loop $inner
      (if (i32.gt_u (i32.load (local.get $i)) (i32.load offset=4 (local.get $i)))
        (then
          (local.set $x (i32.load (local.get $i)))
          (i32.store (local.get $i) (i32.load offset=4 (local.get $i)))
          (i32.store offset=4 (local.get $i) (local.get $x))))
      (br_if $inner (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 400000))))`,
  // Calls a small function.
  calls: `(local.set $i (i32.const 0))
    (loop $inner
      (local.set $x (call $mix (local.get $x) (local.get $i)))
      (br_if $inner (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))`,
};

const PROGRAM = `(module
  (import "bench" "reached" (func $reached))
  (memory 32)
  (func $mix (param i32 i32) (result i32)
    (i32.add (i32.rotl (i32.xor (local.get 0) (local.get 1)) (i32.const 5)) (i32.const 0x9e3779b9)))
  ${Object.entries(BODIES)
    .map(
      ([name, body]) => `(func (export "${name}") ${LOCALS}
        (loop $outer
          (if (i32.eq (local.get $round) (i32.const 1)) (then (call $reached)))
          ${body}
          (br_if $outer (i32.lt_u (local.tee $round (i32.add (local.get $round) (i32.const 1))) (i32.const ${ROUNDS}))))
        (call $reached))`,
    )
    .join('\n')})`;

/** Runs a loop; gives milliseconds from the unwinding, or where it would be, to its end. */
function once(kernel: Kernel, module: LoadedModule, name: string, unwind: boolean): number {
  const id = kernel.createDomain({ name: 'bench', module });
  let times = 0;
  let from = 0;
  let took = 0;
  reached.hook = () => {
    if (times++ > 0) {
      took = performance.now() - from;
      return;
    }
    if (unwind) kernel.core.raiseFlag();
    from = performance.now();
  };
  kernel.start(id, name);
  while (!kernel.run().idle);
  reached.hook = undefined;
  const { end } = kernel.status(id);
  kernel.remove(id);
  if (times !== 2 || end !== 'exit') throw new Error(`the loop ${name} ended with ${end}`);
  return took;
}

export const resume: Group = async (_args, print) => {
  tuneEngine();
  const kernel = newKernel();
  const rows: string[][] = [['resume', 'fresh ms', 'resumed ms', 'ratio', 'of least', 'first ms']];
  const ratios: Record<string, number> = {};
  const firsts: number[] = [];
  for (const name of Object.keys(BODIES)) {
    const module = await install(PROGRAM); // nothing of it has been continued yet
    firsts.push(once(kernel, module, name, true));
    const lists: [number[], number[]] = [[], []];
    for (let i = 0; i < WARM + RUNS; i++) {
      for (const unwind of [false, true]) {
        const took = once(kernel, module, name, unwind);
        if (i >= WARM) lists[unwind ? 1 : 0].push(took);
      }
    }
    const [fresh, resumed] = lists.map(figure) as [ReturnType<typeof figure>, ReturnType<typeof figure>];
    ratios[name] = resumed.min / fresh.min;
    const shown = [fresh.value, resumed.value, resumed.value / fresh.value, ratios[name]];
    rows.push([name, ...shown.map(short), short(firsts.at(-1)!)]);
  }
  print(table(rows));
  const mean = geomean(Object.values(ratios));
  print(`mean ratio of least times ${short(mean)}; ${RUNS} runs of each`);
  print(aim('worst ratio', Math.max(...Object.values(ratios)), 1.25));
  return { geomean: mean, ratios, first: { ms: median(firsts) } };
};
