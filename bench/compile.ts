/**
 * Installing: how fast the compiler rewrites and the verifier verifies, in MB (10^6 bytes) of the program's code a
 * second. The whole of each: decoding and encoding for the one, decoding for the other.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { canBuild, guest } from '../guests/build.ts';
import { BUILT } from '../guests/toolchain.ts';
import { compile } from '../src/compiler/index.ts';
import { verify } from '../src/verifier/verify.ts';
import { decodeModule } from '../src/wasm/module.ts';
import type { Group } from './groups.ts';
import { type Figure, figure, short, table } from './stats.ts';

const RUNS = 7;

async function programs(): Promise<string[]> {
  const list = [await guest('flite'), await guest('queens')];
  const sqlite = join(BUILT, 'sqlite3.wasm');
  if (existsSync(sqlite)) list.push(sqlite);
  if (!canBuild('lisp')) list.push(await guest('lisp'));
  return list;
}

function rates(bytes: number, work: () => void): Figure {
  work(); // the first run pays for V8's compilers
  const once = performance.now();
  work();
  const repeats = Math.max(1, Math.round(50 / (performance.now() - once)));
  const list: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const before = performance.now();
    for (let i = 0; i < repeats; i++) work();
    list.push((bytes * repeats) / 1000 / (performance.now() - before));
  }
  return figure(list);
}

/** The group `compile`. */
export const compileRates: Group = async (args, print) => {
  const result: Record<string, unknown> = {};
  const cells: string[][] = [['program', 'code MB', 'compile MB/s', 'verify MB/s', 'code grows']];
  for (const path of args.length > 0 ? args : await programs()) {
    const original = readFileSync(path);
    const size = codeBytes(original);
    const made = compile(original).bytes;
    const compileRate = rates(size, () => compile(original));
    const verifyRate = rates(size, () => verify(made));
    const growth = codeBytes(made) / size;
    const name = basename(path, '.wasm');
    result[name] = { codeBytes: size, compile: compileRate, verify: verifyRate, growth };
    cells.push([
      name,
      short(size / 1e6),
      short(compileRate.value),
      short(verifyRate.value),
      `${short(growth)}x`,
    ]);
  }
  print(table(cells));
  print(`bytes of the program's code, median of ${RUNS} runs`);
  return { runs: RUNS, ...result };
};

function codeBytes(bytes: Uint8Array): number {
  return decodeModule(bytes).codes.reduce((sum, code) => sum + code.end - code.start, 0);
}
