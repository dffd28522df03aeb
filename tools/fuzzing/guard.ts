/** What the fuzzer's arena needs from Node: stopping code that does not end, and comparing memory fast. */
import { Script } from 'node:vm';
import { Arena, type Guard } from './arena.ts';

const RUN = new Script('globalThis.__perdureGuarded()');

/** Runs a function and stops it, loops of WebAssembly included, when it takes too long. */
export const guard: Guard = (run, ms) => {
  (globalThis as unknown as Record<string, unknown>).__perdureGuarded = run;
  try {
    RUN.runInThisContext({ timeout: ms });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
    throw error;
  }
};

export function makeArena(): Arena {
  return new Arena(guard, (a, b) => Buffer.compare(view(a), view(b)) === 0);
}

const view = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
