/**
 * Code made at run time: how long it takes from a module's bytes to functions in the table, and what calls of them cost,
 * beside what a Node user does: `new WebAssembly.Module`, `new WebAssembly.Instance`, `table.set`. The same program does it
 * here and on plain V8. `compile.us` is the median in microseconds of one module, each other than all before;
 * `restart.us` is what a restart costs for each module that a domain has made: all are compiled and verified again.
 * `calls.own` and `calls.made` are millions of calls a second through the table, of a function of the program and of one
 * that was made.
 */
import wabt from 'wabt';
import { WAT_FEATURES } from '../guests/build.ts';
import { PAGE_BYTES } from '../src/base/limits.ts';
import { tuneEngine } from '../src/drivers/engine.ts';
import { Kernel } from '../src/kernel/index.ts';
import { Space } from '../src/space/index.ts';
import type { Group } from './groups.ts';
import { figure, median, short, table } from './stats.ts';
import { install, kernelOptions, newKernel, reached } from './system.ts';

const MODULES = 700;
const WARM = 100;
const CALLS = 50_000_000;
const RUNS = 7;
const CODE = 4096;
/** Stands in the code for a number that each module has another of. */
const MARK = 0x0bad_cafe;

/** A hash of bytes in memory, and a small function for the calls. */
const MODULE = `(module
  (import "env" "memory" (memory 1))
  (func (export "hash") (param $at i32) (param $end i32) (result i32) (local $x i32)
    (local.set $x (i32.const ${MARK}))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (local.set $x (i32.mul (i32.xor (local.get $x) (i32.load8_u (local.get $at))) (i32.const 16777619)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (local.get $x))
  (func (export "mix") (param i32) (result i32)
    (i32.add (i32.mul (local.get 0) (i32.const 31)) (i32.load (i32.and (local.get 0) (i32.const 1020))))))`;

function programText(code: Uint8Array): string {
  const data = [...code].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
  const mark = Buffer.from(code).indexOf(Uint8Array.of(0xfe, 0x95, 0xb7, 0xdd));
  if (mark < 0) throw new Error('the mark is a constant of five bytes');
  return `(module
    (import "bench" "reached" (func $reached))
    (import "perdure_compiler" "compile" (func $compile (param i32 i32 i32 i32) (result i32)))
    (type $mix (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (table (export "table") 2 10000 funcref)
    (elem (i32.const 0) $own)
    (data (i32.const ${CODE}) "${data}")
    (func $own (param i32) (result i32)
      (i32.add (i32.mul (local.get 0) (i32.const 31)) (i32.load (i32.and (local.get 0) (i32.const 1020)))))
    (func $make (result i32)
      (call $compile (i32.const ${CODE}) (i32.const ${code.length}) (i32.const 0) (i32.const 0)))
    (func (export "make") (local $i i32)
      (loop $next
        ;; Two of the bits of each of the lower bytes of the number: 16,384 modules.
        (i32.store16 (i32.const ${CODE + mark})
          (i32.or (i32.const 0x8080) (i32.or (i32.and (local.get $i) (i32.const 127))
            (i32.and (i32.shl (local.get $i) (i32.const 1)) (i32.const 0x7f00)))))
        (call $reached)
        (if (i32.lt_s (call $make) (i32.const 0)) (then (unreachable)))
        (call $reached)
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${MODULES})))))
    (func $calls (param $slot i32) (local $i i32) (local $x i32)
      (call $reached)
      (loop $next
        (local.set $x (call_indirect (type $mix) (local.get $x) (local.get $slot)))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${CALLS}))))
      (call $reached))
    (func (export "own") (call $calls (i32.const 0)))
    (func (export "made") (call $calls (i32.add (call $make) (i32.const 1)))))`;
}

async function binary(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const parsed = (await wabt()).parseWat('jit.wat', text, WAT_FEATURES);
  const bytes = parsed.toBinary({}).buffer.slice();
  parsed.destroy();
  return bytes;
}

/** Milliseconds between each two calls of `reached`, while a function of the program runs. */
type Times = (name: string) => number[];

function pairs(times: readonly number[]): number[] {
  return times.flatMap((at, i) => (i % 2 === 1 ? [at - times[i - 1]!] : []));
}

/** Each time with a new instance, here in a domain of its own. */
async function inSpace(text: string): Promise<Times> {
  const kernel = newKernel();
  const module = await install(text);
  return (name) => {
    const times: number[] = [];
    reached.hook = () => times.push(performance.now());
    const id = kernel.createDomain({ name: 'bench', module, compiler: true });
    kernel.start(id, name);
    while (!kernel.run().idle);
    const { end, reason } = kernel.status(id);
    kernel.remove(id);
    reached.hook = undefined;
    if (end !== 'exit') throw new Error(`${name} ended with ${end}: ${reason}`);
    return pairs(times);
  };
}

/** Microseconds for each module, from a loaded space to a domain that can go on. */
async function restart(text: string): Promise<number> {
  const kernel = newKernel();
  const module = await install(text);
  const id = kernel.createDomain({ name: 'bench', module, compiler: true, resident: true });
  kernel.invoke(id, 'make');
  const cut = kernel.cut();
  if (cut === null) throw new Error('what was made is in the space');
  const pages = Array.from(cut.pages, (page, i) => ({
    page,
    bytes: cut.data.slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES),
  }));
  const times = Array.from({ length: RUNS }, () => {
    const space = Space.load(pages);
    const before = performance.now();
    Kernel.recover(space, kernelOptions(), () => module).instance(id);
    return performance.now() - before;
  });
  return (median(times) * 1000) / MODULES;
}

async function onPlainV8(text: string): Promise<Times> {
  const module = new WebAssembly.Module(await binary(text));
  return (name) => {
    const times: number[] = [];
    let exports: WebAssembly.Exports = {};
    const compile = (at: number, length: number): number => {
      const { memory, table } = exports as { memory: WebAssembly.Memory; table: WebAssembly.Table };
      const made = new WebAssembly.Module(new Uint8Array(memory.buffer).slice(at, at + length));
      const functions = Object.values(new WebAssembly.Instance(made, { env: { memory } }).exports);
      const first = table.grow(functions.length);
      functions.forEach((each, i) => {
        table.set(first + i, each as () => void);
      });
      return first;
    };
    const imports = {
      bench: { reached: () => times.push(performance.now()) },
      perdure_compiler: { compile },
    };
    exports = new WebAssembly.Instance(module, imports as never).exports;
    (exports[name] as () => void)();
    return pairs(times);
  };
}

export const jit: Group = async (_args, print) => {
  tuneEngine();
  const code = await binary(MODULE);
  const text = programText(code);
  const [space, plain] = [await inSpace(text), await onPlainV8(text)];
  const micros = (times: number[]) => figure(times.slice(WARM).map((ms) => ms * 1000));
  const [here, there] = [micros(space('make')), micros(plain('make'))];
  const again = await restart(text);
  const rates = (times: Times, name: string): number =>
    median(Array.from({ length: RUNS }, () => CALLS / 1000 / times(name)[0]!));
  const calls = {
    own: rates(space, 'own'),
    made: rates(space, 'made'),
    plainOwn: rates(plain, 'own'),
    plainMade: rates(plain, 'made'),
  };
  print(
    table([
      ['jit', 'here', 'plain V8', 'ratio'],
      [
        `compile, us (module of ${code.length} bytes)`,
        short(here.value),
        short(there.value),
        short(here.value / there.value),
      ],
      ['restart, us a module', short(again), '', ''],
      ...(['own', 'made'] as const).map((name) => {
        const [mine, v8] = [calls[name], calls[name === 'own' ? 'plainOwn' : 'plainMade']];
        return [`calls through the table, ${name}, M/s`, short(mine), short(v8), short(v8 / mine)];
      }),
    ]),
  );
  print(`compile: median of ${MODULES - WARM} modules, each another; calls: median of ${RUNS}`);
  return { compile: { us: here.value, here, plain: there }, restart: { us: again }, calls };
};
