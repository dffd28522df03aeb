/**
 * A process in the background that owns a space: started by `run --detach`, `up --detach`, and by a foreground process
 * that leaves detached programs behind. It is an ordinary `perdure up` without a terminal; it tells its starter
 * over a channel that it has the space, or why not, and from then on writes what it has to say to a file of the space.
 */
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../base/errors.ts';
import { packError, unpackError } from './failure.ts';

const VARIABLE = 'PERDURE_BACKGROUND';
const LOG_FILE = 'background.log';

export type BackgroundMode = 'all' | 'detached';

/** Which programs this process is to go on with, if it is one in the background. */
export function isBackground(): BackgroundMode | undefined {
  const mode = process.env[VARIABLE];
  return mode === 'all' || mode === 'detached' ? mode : undefined;
}

/** Starts one. Resolves with its process number once it owns the space and answers. */
export function startBackground(folder: string, mode: BackgroundMode): Promise<number> {
  const launcher = fileURLToPath(new URL('../../bin/perdure.mjs', import.meta.url));
  const child = spawn(process.execPath, [launcher, 'up', '--space', folder], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, [VARIABLE]: mode },
    cwd: '/',
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => {
      reject(
        new EnvironmentError('background', `the process in the background ended at once (exit code ${code})`),
      );
    });
    child.on('message', (message: { ready?: boolean; error?: unknown }) => {
      child.removeAllListeners();
      child.disconnect();
      child.unref();
      if (message.ready) resolve(child.pid!);
      else reject(unpackError(message.error));
    });
  });
}

/** In the process in the background: it owns the space now, and nobody sees what it says. */
export function becomeBackground(folder: string): void {
  logToSpace(folder);
  process.send?.({ ready: true });
  process.channel?.unref();
}

/** In the process in the background: it does not come to own the space. False where nobody listens any more. */
export function failBackground(error: unknown): boolean {
  return process.connected ? (process.send?.({ error: packError(error) }) ?? false) : false;
}

/** Sends what this process says to a file of the space instead of a terminal nobody sees. */
function logToSpace(folder: string): void {
  const file = join(folder, LOG_FILE);
  process.stderr.write = ((text: string | Uint8Array) => {
    try {
      appendFileSync(file, text);
    } catch {
      // The folder is gone or full; there is nowhere else to say it.
    }
    return true;
  }) as typeof process.stderr.write;
}
