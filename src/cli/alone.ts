/**
 * A process that runs one program for the kernel it belongs to: started by drivers/processes.ts, ends with it. This thread
 * only listens on standard input: a byte there asks the program for a safepoint, its end is our end. A worker
 * (alone-core.ts), which has the deep native stack that programs want, does the rest.
 */
import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { FLAG_ADDRESS } from '../abi/layout.ts';
import { CORE_STACK_MIB } from '../base/limits.ts';

/** JavaScript of ours that a program's process needs is small: what is more is a bug. */
const HEAP_MIB = 1024;

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const worker = new Worker(new URL(`./alone-core.${extension}`, import.meta.url), {
  resourceLimits: { stackSizeMb: CORE_STACK_MIB, maxOldGenerationSizeMb: HEAP_MIB },
});
let flag: Int32Array | undefined;
let early = false;
const raise = (): void => {
  if (flag === undefined) early = true;
  else Atomics.store(flag, FLAG_ADDRESS >> 2, 1);
};
worker.on('message', (memory: WebAssembly.Memory) => {
  flag = new Int32Array(memory.buffer);
  if (early) raise();
});
const end = (): void => {
  process.kill(process.pid, 'SIGKILL'); // at once, whatever the program does
};
worker.on('error', (error: Error) => {
  writeSync(2, `${error.message}\n${error.stack}\n`);
  end();
});
worker.on('exit', end);
process.stdin.on('data', raise);
process.stdin.on('end', end);
process.stdin.on('error', end);
