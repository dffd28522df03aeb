/** Times at which operations are looked at again: a heap of them, made anew after a restart from what is under way. */
export class Timers {
  readonly #heap: { time: bigint; id: number }[] = [];

  get next(): bigint | null {
    return this.#heap[0]?.time ?? null;
  }

  add(time: bigint, id: number): void {
    const heap = this.#heap;
    let i = heap.push({ time, id }) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if ((heap[parent] as { time: bigint }).time <= time) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  /** Takes out the first whose time is not after `now`: its operation, or 0. */
  take(now: bigint): number {
    const first = this.#heap[0];
    if (first === undefined || first.time > now) return 0;
    this.#pop();
    return first.id;
  }

  get count(): number {
    return this.#heap.length;
  }

  /** Drops what nobody wants any more. */
  sweep(wanted: (id: number) => boolean): void {
    const kept = this.#heap.filter(({ id }) => wanted(id));
    this.#heap.length = 0;
    for (const { time, id } of kept) this.add(time, id);
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as { time: bigint; id: number };
    if (heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      if (left >= heap.length) return;
      const right = left + 1;
      const least = right < heap.length && this.#time(right) < this.#time(left) ? right : left;
      if (this.#time(i) <= this.#time(least)) return;
      this.#swap(i, least);
      i = least;
    }
  }
  #time(i: number): bigint {
    return (this.#heap[i] as { time: bigint }).time;
  }
  #swap(i: number, j: number): void {
    const heap = this.#heap;
    const kept = heap[i] as { time: bigint; id: number };
    heap[i] = heap[j] as { time: bigint; id: number };
    heap[j] = kept;
  }
}
