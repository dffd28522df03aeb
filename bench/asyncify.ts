/**
 * The other way to stop a program anywhere: Binaryen's Asyncify with a flag polled at the same places as ours, function
 * entries and loop heads. The baseline beside which "suspend" is measured.
 *
 * The polls are put in with our codec: `if (global.get flag) call poll`, where `poll` is an import that Asyncify is
 * told may unwind. Then Binaryen runs its pass and its optimizer over the whole program, as its documentation asks.
 * The result is kept in .cache/bench by hash, because Binaryen takes its time with a large program.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { writeAtomically } from '../guests/toolchain.ts';
import { constExpr } from '../src/wasm/constexpr.ts';
import { InstructionCursor } from '../src/wasm/instructions.ts';
import { decodeModule, encodeModule } from '../src/wasm/module.ts';
import { OP } from '../src/wasm/opcodes.ts';
import { I32 } from '../src/wasm/types.ts';
import { Writer } from '../src/wasm/writer.ts';

const POLL = 'bench poll';
/** What V8 takes; with all features on, Binaryen writes newer forms. */
const FEATURES = [
  'Atomics',
  'MutableGlobals',
  'NontrappingFPToInt',
  'SIMD128',
  'BulkMemory',
  'BulkMemoryOpt',
  'SignExt',
  'ExceptionHandling',
  'TailCall',
  'ReferenceTypes',
  'CallIndirectOverlong',
  'Multivalue',
  'Memory64',
  'RelaxedSIMD',
  'ExtendedConst',
  'MultiMemory',
] as const;
/** Part of the key: change it with anything below. */
const VERSION = '3';

/** The program with polls that call a function exported as POLL, which does nothing. */
export function withPolls(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes);
  const imported = (kind: string): number => module.imports.filter((i) => i.kind === kind).length;
  const flag = imported('global') + module.globals.length;
  const poll = imported('func') + module.functions.length;
  const w = new Writer(bytes.length * 2);
  const writePoll = (): void => {
    w.u8(OP.global_get);
    w.u32(flag);
    w.u8(OP.if);
    w.u8(0x40);
    w.u8(OP.call);
    w.u32(poll);
    w.u8(OP.end);
  };
  const cursor = new InstructionCursor(bytes);
  const places: number[] = [];
  for (const code of module.codes) {
    places.push(w.length);
    writePoll();
    cursor.reset(code.start, code.end);
    while (cursor.next()) {
      w.raw(bytes.subarray(cursor.offset, cursor.end));
      if (cursor.op === OP.loop) writePoll();
    }
  }
  places.push(w.length);
  w.u8(OP.end);
  const source = w.subarray();
  const moved = module.codes.map((code, i) => ({
    ...code,
    source,
    start: places[i]!,
    end: places[i + 1]!,
  }));
  const type = module.types.length;
  return encodeModule({
    ...module,
    types: [...module.types, { params: [], results: [] }],
    functions: [...module.functions, type],
    globals: [
      ...module.globals,
      { type: I32, mutable: true, init: constExpr([{ op: OP.i32_const, value: 0 }]) },
    ],
    exports: [...module.exports, { name: POLL, kind: 'func', index: poll }],
    codes: [...moved, { locals: [], source, start: places.at(-1)!, end: w.length }],
    customs: [],
  });
}

/** The program with polls, instrumented by Asyncify. It imports `bench.poll`. */
export async function asyncified(bytes: Uint8Array): Promise<Uint8Array> {
  const require = createRequire(import.meta.url);
  const { version } = require('binaryen/package.json') as { version: string };
  const key = createHash('sha256').update(`${VERSION} ${version}`).update(bytes).digest('hex').slice(0, 32);
  const path = join(import.meta.dirname, '..', '.cache', 'bench', `asyncify-${key}.wasm`);
  if (existsSync(path)) return readFileSync(path);
  const { default: binaryen } = await import('binaryen');
  let module: ReturnType<typeof binaryen.readBinary> | undefined;
  try {
    module = binaryen.readBinary(withPolls(bytes));
    let features = 0;
    for (const name of FEATURES) features |= binaryen.Features[name];
    module.setFeatures(features);
    const name = binaryen.getExportInfo(module.getExport(POLL)).value;
    module.removeExport(POLL);
    module.removeFunction(name);
    module.addFunctionImport(name, 'bench', 'poll', binaryen.none, binaryen.none);
    binaryen.setPassArgument('asyncify-imports', 'bench.poll');
    binaryen.setOptimizeLevel(2);
    binaryen.setShrinkLevel(0);
    module.runPasses(['asyncify']);
    module.optimize();
    const result = module.emitBinary();
    writeAtomically(path, result);
    return result;
  } catch (error) {
    // a stack trace through Binaryen shows a file of one long line
    throw new Error(`Asyncify failed: ${(error as Error).message}`);
  } finally {
    module?.dispose();
  }
}
