/**
 * Installing: how fast the compiler rewrites and the verifier verifies, in MB (10^6 bytes) of the program's code a
 * second. The whole of each: decoding and encoding for the one, decoding for the other. `one core` is both after one
 * another, in processor time of their thread once V8 has optimised them; `install` is what a user waits for, a thread
 * begun for it, with nothing optimised and V8's own compiling, on all cores.
 *
 * Beside them, in the same run: V8's validation of the program, and Binaryen reading and writing it (its WebAssembly
 * build; programs up to 2 MB of code). `peak` is what a fresh process grows by, compiling and verifying once, in
 * sizes of the module.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { canBuild, guest } from '../guests/build.ts';
import { BUILT } from '../guests/toolchain.ts';
import { INSTALLER_LIMITS, installProgram } from '../src/cli/install.ts';
import { compile } from '../src/compiler/index.ts';
import { verify } from '../src/verifier/verify.ts';
import { decodeModule } from '../src/wasm/module.ts';
import type { Group } from './groups.ts';
import { aim, type Figure, figure, short, table } from './stats.ts';

const RUNS = 7;
/** Smaller modules are lost in what V8 itself takes, in bytes. */
const PEAK_MIN = 1_000_000;
/** As little room for young objects as the installer's thread has. */
const YOUNG = `--max-semi-space-size=${Math.floor(INSTALLER_LIMITS.maxYoungGenerationSizeMb / 3)}`;
/** Code that Binaryen is given, in bytes: beyond it takes minutes, below is too quick to tell. */
const [BINARYEN_MIN, BINARYEN_MAX] = [100_000, 2_000_000];

async function programs(folder: string): Promise<string[]> {
  const list = [await guest('flite'), await guest('queens')];
  const sqlite = join(BUILT, 'sqlite3.wasm');
  if (existsSync(sqlite)) list.push(sqlite);
  if (!canBuild('lisp')) list.push(await guest('lisp'));
  const large = join(folder, 'binaryen.wasm');
  writeFileSync(large, await binaryenItself());
  list.push(large);
  return list;
}

/** The module inside the npm package `binaryen`, 10 MB of C++: taken when the package gives it to V8. */
async function binaryenItself(): Promise<Uint8Array> {
  const { instantiate } = WebAssembly;
  let taken: Uint8Array | undefined;
  const take = (source: Uint8Array<ArrayBuffer>, imports: WebAssembly.Imports): unknown => {
    taken = source.slice();
    return instantiate(source, imports);
  };
  Object.assign(WebAssembly, { instantiate: take });
  await import('binaryen');
  Object.assign(WebAssembly, { instantiate });
  if (taken === undefined) throw new Error('the package binaryen holds no module any more');
  return taken;
}

/** Processor time of this thread, in milliseconds: other threads of V8's and other processes are not in it. */
function processorMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function rates(bytes: number, work: () => void): Figure {
  for (let i = 0; i < 3; i++) work(); // the first runs pay for V8's compilers
  const once = processorMs();
  work();
  const repeats = Math.max(1, Math.round(50 / Math.max(0.1, processorMs() - once)));
  const list: number[] = [];
  for (let run = 0; run < (repeats === 1 ? 3 : RUNS); run++) {
    const before = processorMs();
    for (let i = 0; i < repeats; i++) work();
    list.push((bytes * repeats) / 1000 / (processorMs() - before));
  }
  return figure(list);
}

/** Bytes that a process takes more than one that only loaded the compiler and the program. */
function peakBytes(path: string): number {
  const child = new URL('./compile-child.ts', import.meta.url).pathname;
  const peak = (work: string): number =>
    Number(execFileSync(process.execPath, [YOUNG, child, path, work], { encoding: 'utf8' }));
  return peak('both') - peak('none');
}

interface Measured {
  readonly figures: Record<string, unknown>;
  readonly cells: string[];
  /** Aims, met or missed, of programs large enough. */
  readonly aims: string[];
}

async function measure(path: string): Promise<Measured> {
  const program = readFileSync(path);
  const code = codeBytes(program);
  const made = compile(program).bytes;
  const compiled = rates(code, () => compile(program));
  const verified = rates(code, () => verify(made));
  const both = 1 / (1 / compiled.value + 1 / verified.value);
  const v8 = rates(code, () => WebAssembly.validate(program));
  const asked = code >= BINARYEN_MIN && code <= BINARYEN_MAX;
  const binaryen = !asked ? undefined : await binaryenRate(program, code);
  const before = performance.now();
  await installProgram('0'.repeat(64), program, 'space', () => {});
  const installMs = performance.now() - before;
  const peak = peakBytes(path) / program.length;
  const growth = { code: codeBytes(made) / code, module: made.length / program.length };
  const cells = [
    basename(path, '.wasm'),
    ...[code / 1e6, compiled.value, verified.value, both, v8.value].map(short),
    binaryen === undefined ? '' : short(binaryen),
    short(installMs),
    program.length < PEAK_MIN ? '' : `${short(peak)}x`,
    `${short(growth.code)}x`,
    `${short(growth.module)}x`,
  ];
  const figures = { codeBytes: code, moduleBytes: program.length, compile: compiled, verify: verified };
  const name = basename(path, '.wasm');
  const aims = [
    aim(`${name}, compile and verify on one core, MB/s`, both, 15, true),
    aim(`${name}, peak memory by the module's size`, peak, 10),
    aim(`${name}, code by the program's`, growth.code, 2.5),
  ];
  return {
    figures: { ...figures, both, validate: v8, binaryen, installMs, peak, growth },
    cells,
    aims: code < BINARYEN_MIN || program.length < PEAK_MIN ? [] : aims,
  };
}

async function binaryenRate(program: Uint8Array, code: number): Promise<number> {
  const { default: binaryen } = await import('binaryen');
  const before = processorMs();
  const module = binaryen.readBinary(program);
  module.emitBinary();
  module.dispose();
  return code / 1000 / (processorMs() - before);
}

/** The group `compile`. */
export const compileRates: Group = async (args, print) => {
  const result: Record<string, unknown> = {};
  const folder = mkdtempSync(join(tmpdir(), 'perdure-bench-'));
  const rows = [
    ['program', 'code MB', 'compile', 'verify', 'one core', 'V8 validates', 'Binaryen'],
    ['install ms', 'peak', 'code grows', 'module grows'],
  ].flat();
  const cells: string[][] = [rows];
  const aims: string[] = [];
  try {
    for (const path of args.length > 0 ? args : await programs(folder)) {
      const measured = await measure(path);
      result[basename(path, '.wasm')] = measured.figures;
      cells.push(measured.cells);
      aims.push(...measured.aims);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  print(table(cells));
  print(
    `MB of the program's code a second of processor time, median of ${RUNS} runs, or 3 of long ones; see bench/compile.ts`,
  );
  aims.forEach(print);
  return { runs: RUNS, ...result };
};

function codeBytes(bytes: Uint8Array): number {
  return decodeModule(bytes).codes.reduce((sum, code) => sum + code.end - code.start, 0);
}
