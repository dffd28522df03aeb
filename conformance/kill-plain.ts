/**
 * A WASI program on plain V8, in a process of its own: `node kill-plain.ts PROGRAM.wasm FOLDER [ARGUMENTS...]`, FOLDER
 * being its `/` and what it is granted. Its exit code is passed through. It runs in a worker, whose call stack can be as deep as a space's.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { HOST_GRANT } from './kill-programs.ts';

const STACK_MIB = 200;

async function run([program, folder, ...args]: readonly [string, string, ...string[]]): Promise<void> {
  const { WASI } = await import('node:wasi');
  const wasi = new WASI({
    version: 'preview1',
    args: [basename(program), ...args],
    env: {},
    preopens: { '/': folder, [HOST_GRANT]: folder },
    returnOnExit: true,
  });
  const module = new WebAssembly.Module(readFileSync(program));
  let exports: WebAssembly.Exports = {};
  const imports = wasi.getImportObject() as WebAssembly.Imports;
  imports.perdure_compiler = {
    compile: (at: number, length: number) => make(exports, at, length),
    release: () => 0,
  };
  const instance = new WebAssembly.Instance(module, imports);
  exports = instance.exports;
  process.exitCode = wasi.start(instance);
}

/** What `perdure_compiler.compile` does for a program, done by V8 alone. */
function make(exports: WebAssembly.Exports, at: number, length: number): number {
  const { memory, __indirect_function_table: table } = exports as {
    memory: WebAssembly.Memory;
    __indirect_function_table: WebAssembly.Table;
  };
  const module = new WebAssembly.Module(new Uint8Array(memory.buffer).slice(at, at + length));
  const functions = Object.values(new WebAssembly.Instance(module, { env: exports }).exports);
  const first = table.grow(functions.length);
  functions.forEach((each, i) => {
    table.set(first + i, each as () => void);
  });
  return first;
}

if (isMainThread) {
  process.removeAllListeners('warning'); // that node:wasi is experimental
  const worker = new Worker(import.meta.filename, {
    workerData: process.argv.slice(2),
    resourceLimits: { stackSizeMb: STACK_MIB },
  });
  worker.on('error', (error) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 70;
  });
  worker.on('exit', (code) => {
    process.exitCode ||= code;
  });
} else {
  process.removeAllListeners('warning');
  await run(workerData as [string, string]);
}
