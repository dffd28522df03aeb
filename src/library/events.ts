/**
 * Events as an async iterator: what happens from the call on is kept until it is taken, up to a number of events. Where more
 * has come, the oldest are forgotten, and an event `missed` in their place says how many: a slow reader learns that it
 * is late, and never holds anything up.
 */
import type { SpaceEvent } from '../cli/types.ts';
import type { Abortable } from './signal.ts';

/** How many events that nobody has taken are kept, where nothing else is asked for. */
const EVENTS_KEPT = 1024;

/** In the place of events that were forgotten because they were not taken in time. */
export interface MissedEvents {
  /** Tells it from the events of a space. */
  readonly kind: 'missed';
  /** How many there were. */
  readonly count: number;
}

/** How events are followed. */
export interface EventOptions extends Abortable {
  /** Most events that are kept until they are taken, from 1 up. Default 1024. */
  readonly keep?: number;
}

/**
 * Events to come: `for await (const event of space.events())`. It ends when the space is closed, after what is kept has been
 * taken; where the space is lost by a bug it throws that; where the signal is aborted, the signal's reason, at once.
 * Leaving the loop ends it, and so does the end of an `await using`.
 */
export class EventStream implements AsyncIterableIterator<SpaceEvent | MissedEvents>, AsyncDisposable {
  readonly #keep: number;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.end(this.#signal?.reason, true);
  #events: SpaceEvent[] = [];
  #missed = 0;
  #takers: PromiseWithResolvers<IteratorResult<SpaceEvent | MissedEvents, undefined>>[] = [];
  #closed: (() => void)[] = [];
  #over: { readonly error: unknown } | undefined;

  /** @internal */
  constructor({ keep = EVENTS_KEPT, signal }: EventOptions) {
    if (!Number.isInteger(keep) || keep < 1) throw new RangeError('keep is a whole number from 1 up');
    signal?.throwIfAborted();
    this.#keep = keep;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** @internal Something has happened. */
  push(event: SpaceEvent): void {
    if (this.#over !== undefined) return;
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker.resolve({ done: false, value: event });
      return;
    }
    this.#events.push(event);
    if (this.#events.length <= this.#keep) return;
    this.#events.shift();
    this.#missed++;
  }

  /** @internal Nothing more comes; `error` is thrown to who asks for more. `now`: what is kept is forgotten. */
  end(error?: unknown, now = false): void {
    if (now) {
      this.#events = [];
      this.#missed = 0;
    }
    if (this.#over !== undefined) return;
    this.#over = { error };
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const closed of this.#closed.splice(0)) closed();
    for (const taker of this.#takers.splice(0)) {
      if (error === undefined) taker.resolve({ done: true, value: undefined });
      else taker.reject(error);
    }
  }

  /** @internal Calls back when nothing more comes. */
  whenOver(closed: () => void): void {
    this.#closed.push(closed);
  }

  /** The next event, when there is one. */
  async next(): Promise<IteratorResult<SpaceEvent | MissedEvents, undefined>> {
    if (this.#missed > 0) {
      const count = this.#missed;
      this.#missed = 0;
      return { done: false, value: { kind: 'missed', count } };
    }
    const event = this.#events.shift();
    if (event !== undefined) return { done: false, value: event };
    if (this.#over === undefined) {
      const taker = Promise.withResolvers<IteratorResult<SpaceEvent | MissedEvents, undefined>>();
      this.#takers.push(taker);
      return taker.promise;
    }
    const { error } = this.#over;
    this.#over = { error: undefined };
    if (error !== undefined) throw error;
    return { done: true, value: undefined };
  }

  /** Wants no more events. */
  async return(): Promise<IteratorResult<SpaceEvent | MissedEvents, undefined>> {
    this.end(undefined, true);
    return { done: true, value: undefined };
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The same as `return`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
