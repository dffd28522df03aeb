/**
 * Who runs next: ready activations in turn, blocked ones when woken or when their deadline has come. Nothing here is state:
 * after recovery every blocked activation is made ready and makes its call again.
 */
import { NO_DEADLINE, STATE } from './domain.ts';
import type { Activation } from './gate/activations.ts';

interface Sleeper {
  deadline: bigint;
  activation: Activation;
}

/** Least length of the heap at which it is swept. */
const SWEEP_FIRST = 1024;

export class Scheduler {
  /** For tests: entries in the heap. */
  get sleeperCount(): number {
    return this.#sleepers.length;
  }

  #ready: Activation[] = [];
  #head = 0;
  /** A binary heap by deadline. Entries of activations that went on meanwhile are dropped when they come up. */
  #sleepers: Sleeper[] = [];
  /** When the heap is this long, entries that mean nothing any more are thrown out. */
  #sweepAt = SWEEP_FIRST;

  /** Puts the activation at the end of the queue. */
  enqueue(activation: Activation): void {
    if (activation.queued) return;
    activation.queued = true;
    this.#ready.push(activation);
  }

  /** The next activation that is ready, or null. */
  next(): Activation | null {
    while (this.#head < this.#ready.length) {
      const activation = this.#ready[this.#head++] as Activation;
      activation.queued = false;
      if (this.#head > 1024 && this.#head * 2 > this.#ready.length) {
        this.#ready = this.#ready.slice(this.#head);
        this.#head = 0;
      }
      if (activation.alive && activation.state === STATE.ready && !activation.parked) return activation;
    }
    this.#ready = [];
    this.#head = 0;
    return null;
  }

  /** A blocked activation with a deadline waits for its time. */
  sleep(activation: Activation): void {
    const { deadline } = activation;
    if (deadline === NO_DEADLINE) return;
    if (this.#sleepers.length >= this.#sweepAt) this.#sweep();
    this.#push({ deadline, activation });
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#sleepers;
    let i = heap.push(sleeper) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if ((heap[parent] as Sleeper).deadline <= sleeper.deadline) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  /** An activation that is woken and waits again, over and over, leaves an entry each time: keeps one for each. */
  #sweep(): void {
    const valid = new Map<Activation, Sleeper>();
    for (const sleeper of this.#sleepers) if (this.#means(sleeper)) valid.set(sleeper.activation, sleeper);
    this.#sleepers = [];
    for (const sleeper of valid.values()) this.#push(sleeper);
    this.#sweepAt = Math.max(SWEEP_FIRST, 2 * this.#sleepers.length);
  }

  #means({ activation, deadline }: Sleeper): boolean {
    return activation.alive && activation.state === STATE.blocked && activation.deadline === deadline;
  }

  /** Activations whose deadline is not after `now`. */
  *expired(now: bigint): Generator<Activation> {
    for (let first = this.#first(); first !== null && first.deadline <= now; first = this.#first()) {
      this.#pop();
      yield first.activation;
    }
  }

  /** The earliest deadline of a blocked activation, or null. */
  nextDeadline(): bigint | null {
    return this.#first()?.deadline ?? null;
  }

  #first(): Sleeper | null {
    for (;;) {
      const first = this.#sleepers[0];
      if (first === undefined) return null;
      if (this.#means(first)) return first;
      this.#pop();
    }
  }

  #pop(): void {
    const heap = this.#sleepers;
    const last = heap.pop() as Sleeper;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      if (left >= heap.length) return;
      const right = left + 1;
      const least =
        right < heap.length && (heap[right] as Sleeper).deadline < (heap[left] as Sleeper).deadline
          ? right
          : left;
      if ((heap[i] as Sleeper).deadline <= (heap[least] as Sleeper).deadline) return;
      this.#swap(i, least);
      i = least;
    }
  }

  #swap(i: number, j: number): void {
    const heap = this.#sleepers;
    [heap[i], heap[j]] = [heap[j] as Sleeper, heap[i] as Sleeper];
  }
}
