/**
 * Who runs next: ready domains in turn, blocked ones when woken or when their deadline has come. Nothing here is state:
 * after recovery every blocked domain is made ready and makes its call again.
 */
import { type Domain, NO_DEADLINE, STATE } from './domain.ts';

interface Sleeper {
  deadline: bigint;
  domain: Domain;
}

export class Scheduler {
  #ready: Domain[] = [];
  #head = 0;
  /** A binary heap by deadline. Entries of domains that went on meanwhile are dropped when they come up. */
  readonly #sleepers: Sleeper[] = [];

  /** Puts the domain at the end of the queue. */
  enqueue(domain: Domain): void {
    if (domain.queued) return;
    domain.queued = true;
    this.#ready.push(domain);
  }

  /** The next domain that is ready, or null. */
  next(): Domain | null {
    while (this.#head < this.#ready.length) {
      const domain = this.#ready[this.#head++] as Domain;
      domain.queued = false;
      if (this.#head > 1024 && this.#head * 2 > this.#ready.length) {
        this.#ready = this.#ready.slice(this.#head);
        this.#head = 0;
      }
      if (domain.alive && domain.state === STATE.ready) return domain;
    }
    this.#ready = [];
    this.#head = 0;
    return null;
  }

  /** A blocked domain with a deadline waits for its time. */
  sleep(domain: Domain): void {
    const { deadline } = domain;
    if (deadline === NO_DEADLINE) return;
    const heap = this.#sleepers;
    let i = heap.push({ deadline, domain }) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if ((heap[parent] as Sleeper).deadline <= deadline) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  /** Domains whose deadline is not after `now`. */
  *expired(now: bigint): Generator<Domain> {
    for (let first = this.#first(); first !== null && first.deadline <= now; first = this.#first()) {
      this.#pop();
      yield first.domain;
    }
  }

  /** The earliest deadline of a blocked domain, or null. */
  nextDeadline(): bigint | null {
    return this.#first()?.deadline ?? null;
  }

  #first(): Sleeper | null {
    for (;;) {
      const first = this.#sleepers[0];
      if (first === undefined) return null;
      const { domain, deadline } = first;
      if (domain.alive && domain.state === STATE.blocked && domain.deadline === deadline) return first;
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
