/**
 * The thread that installs programs: rewrites, verifies, and lets V8 compile, so that neither the owner nor running
 * programs wait for a large module. One program a thread; see `install.ts`. Compiler and verifier meet here and know
 * nothing of each other.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { ALONE, compile, FULL } from '../compiler/index.ts';
import { verify } from '../verifier/verify.ts';
import { packError } from './failure.ts';
import type { InstallerMessage, InstallerTask } from './messages.ts';

function say(message: InstallerMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

function install({ original, alone }: InstallerTask): void {
  say({ kind: 'step', text: 'compiling' });
  const { bytes } = compile(original, alone ? ALONE : FULL);
  if (alone) {
    // What keeps it in is its process: nothing of it is run here, nor made machine code.
    say({ kind: 'done', rewritten: bytes }, [bytes.buffer]);
    return;
  }
  say({ kind: 'step', text: 'verifying' });
  verify(bytes);
  say({ kind: 'step', text: 'making machine code' });
  const program = new WebAssembly.Module(bytes);
  say({ kind: 'done', rewritten: bytes, program }, [bytes.buffer]);
}

try {
  install(workerData as InstallerTask);
} catch (error) {
  say({ kind: 'failed', error: packError(error) });
}
