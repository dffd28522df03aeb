/**
 * Threads that help an installer with a large program: each compiles or verifies a share while the installer does its
 * own. Where there is one core, or the program is small, there are none and nothing is begun.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { unpackError } from './failure.ts';
import { INSTALLER_LIMITS } from './install.ts';
import type { HelperAnswer, HelperTask } from './messages.ts';

/** A program with less code than this is installed sooner by one thread, in bytes: another takes 0.1 s to begin, and its V8 to warm up. */
const WORTH_BYTES = 3_000_000;
/** Threads at work on one program, the installer's own among them. */
const THREADS_MAX = 8;

export class Helpers implements AsyncDisposable {
  readonly #threads: Worker[];

  /** @param codeBytes of the program to be installed */
  constructor(codeBytes: number) {
    const threads = codeBytes < WORTH_BYTES ? 1 : Math.min(THREADS_MAX, availableParallelism());
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const start = (): Worker =>
      new Worker(new URL(`./helper.${extension}`, import.meta.url), {
        resourceLimits: INSTALLER_LIMITS,
      });
    this.#threads = Array.from({ length: threads - 1 }, start);
  }

  /** Shares that work is cut into. The installer's is number 0. */
  get shares(): number {
    return this.#threads.length + 1;
  }

  /**
   * Has each thread do `task(share)`, for its share from 1 up, and `own` meanwhile here. Gives their answers in order.
   * When several fail, the failure of the lowest share is thrown.
   */
  async work(task: (share: number) => HelperTask, own: () => void): Promise<HelperAnswer[]> {
    const asked = Promise.allSettled(this.#threads.map((thread, i) => ask(thread, task(i + 1))));
    own();
    return (await asked).map((settled) => {
      if (settled.status === 'rejected') throw settled.reason;
      return settled.value;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }
}

function ask(thread: Worker, task: HelperTask): Promise<HelperAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HelperAnswer>();
  const ended = (): void => reject(new Error('a thread that helps the installer ended early'));
  const answered = (answer: HelperAnswer): void => {
    if (answer.kind === 'failed') reject(unpackError(answer.error));
    else resolve(answer);
  };
  thread.on('error', reject).on('exit', ended).on('message', answered);
  thread.postMessage(task);
  return promise.finally(() => thread.off('error', reject).off('exit', ended).off('message', answered));
}
