/**
 * From a program as shipped to one that can be started: `installProgram` on a thread of its own. What comes out has
 * been verified; the store keeps it by the program's hash and the compiler's version.
 */
import { Worker } from 'node:worker_threads';
import type { ProgramForm } from '../kernel/program.ts';
import { unpackError } from './failure.ts';
import type { InstalledProgram, InstallerMessage, InstallerTask } from './messages.ts';

/**
 * What an installing thread may have, in MiB: a native stack for code that nests as deep as its author liked, and little
 * room for young objects, for what is made of a function is garbage when the next one begins.
 */
export const INSTALLER_LIMITS = {
  stackSizeMb: 64,
  maxYoungGenerationSizeMb: 6,
  maxOldGenerationSizeMb: 8192,
};

/** Compiles and, for any form but 'process', verifies. `step` is told what is being done; when `signal` is aborted its reason is thrown and the thread ended. @throws MalformedError, UnsupportedError, RefusedError */
export async function installProgram(
  hash: string,
  original: Uint8Array,
  form: ProgramForm,
  step: (text: string) => void,
  signal?: AbortSignal,
): Promise<InstalledProgram> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./installer.${extension}`, import.meta.url), {
    workerData: { original, form } satisfies InstallerTask,
    resourceLimits: INSTALLER_LIMITS,
  });
  let abort = (): void => {};
  try {
    return await new Promise((resolve, reject) => {
      abort = () => reject(signal?.reason);
      if (signal?.aborted) abort();
      signal?.addEventListener('abort', abort, { once: true });
      worker.on('error', reject);
      worker.on('exit', () => reject(new Error('the installer ended early')));
      worker.on('message', (message: InstallerMessage) => {
        if (message.kind === 'step') step(message.text);
        else if (message.kind === 'failed') reject(unpackError(message.error));
        else {
          const { rewritten, program } = message;
          resolve({ hash, original, rewritten, form, ...(program === undefined ? {} : { program }) });
        }
      });
    });
  } finally {
    signal?.removeEventListener('abort', abort);
    await worker.terminate();
  }
}
