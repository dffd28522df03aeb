/** Waiting that can be given up: promises with an AbortSignal, and nothing left behind when it is aborted. */

/** What can be given up. */
export interface Abortable {
  /** Aborted: the promise rejects with the signal's reason, and what had been begun for it is undone. */
  readonly signal?: AbortSignal | undefined;
}

/** The work's result, unless the signal is aborted first. The work itself goes on: see to it where that matters. */
export async function unlessAborted<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (signal === undefined) return work;
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
    work.catch(() => {});
  }
}

/** Who waits for what, by a key. */
export class Waiters<K, V> {
  readonly #waiting = new Map<K, Set<PromiseWithResolvers<V>>>();

  async wait(key: K, signal?: AbortSignal): Promise<V> {
    signal?.throwIfAborted();
    const waiter = Promise.withResolvers<V>();
    const waiters = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiters.add(waiter));
    try {
      return await unlessAborted(signal, waiter.promise);
    } finally {
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiting.get(key) === waiters) this.#waiting.delete(key);
    }
  }

  resolve(key: K, value: V): void {
    for (const waiter of this.#take(key)) waiter.resolve(value);
  }

  reject(key: K, error: Error): void {
    for (const waiter of this.#take(key)) waiter.reject(error);
  }

  rejectAll(error: Error): void {
    for (const key of [...this.#waiting.keys()]) this.reject(key, error);
  }

  #take(key: K): PromiseWithResolvers<V>[] {
    const waiters = [...(this.#waiting.get(key) ?? [])];
    this.#waiting.delete(key);
    return waiters;
  }
}
