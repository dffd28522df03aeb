/**
 * What has been said but may not be heard yet. An outbox is a queue of bytes in the space, each run of them for one of
 * two destinations (standard output, standard error), in the order the program wrote them. Bytes are appended at
 * absolute positions that never repeat; they may leave once the checkpoint that holds them is durable, and they
 * are dropped when they have left for good. So after a crash the outbox of the recovered checkpoint still holds every
 * byte that may or may not have got out, and its position in the whole.
 *
 * `ByteQueue` is the growing ring of bytes underneath, also used for input that waits to be read.
 *
 * Who calls what: a stream appends; the core calls `cut(seq)` and `durable(seq)`; a releaser (drivers/release.ts) reads
 * up to `limit` and drops. Never drop what is not out: it is what makes a restart exact.
 *
 * Why: RATIONALE.md#output-waits-for-its-checkpoint
 */
import { assert } from '../base/assert.ts';
import type { Block } from './outbox-memory.ts';

const QUEUE = { block: 0, capacity: 8, offset: 12, head: 16, tail: 24 } as const;
export const QUEUE_BYTES = 32;
const FIRST_CAPACITY = 4096;
/** A larger block is given back when the queue runs empty. */
const KEPT_CAPACITY = 65536;

/** A queue of bytes by absolute position; its record is `QUEUE_BYTES` at `base` of a block. Zeros are an empty one. */
export class ByteQueue {
  readonly #record: Block;
  readonly #base: number;
  readonly #maxBytes: number;

  constructor(record: Block, base: number, maxBytes: number) {
    this.#record = record;
    this.#base = base;
    this.#maxBytes = maxBytes;
  }

  /** Position of the first byte kept. */
  get head(): number {
    return this.#record.u64(this.#base + QUEUE.head);
  }

  /** Position after the last byte. */
  get tail(): number {
    return this.#record.u64(this.#base + QUEUE.tail);
  }

  get length(): number {
    return this.tail - this.head;
  }

  get room(): number {
    return this.#maxBytes - this.length;
  }

  /** Appends as much as there is room for; returns how much that was. Reads `from` once. */
  append(from: Uint8Array): number {
    const wanted = Math.min(from.length, this.room);
    if (wanted === 0 || !this.#reserve(this.length + wanted)) return 0;
    this.#each(this.length, wanted, (address, at, length) => {
      this.#record.memory.bytes().set(from.subarray(at, at + length), address);
      this.#record.memory.mark(address, length);
    });
    this.#record.setU64(this.#base + QUEUE.tail, this.tail + wanted);
    return wanted;
  }

  /** A copy of up to `length` bytes from a position. */
  copy(position: number, length: number): Uint8Array {
    assert(position >= this.head && position <= this.tail, 'positions read lie in the queue');
    const out = new Uint8Array(Math.min(length, this.tail - position));
    this.#each(position - this.head, out.length, (address, at, count) => {
      out.set(this.#record.memory.bytes().subarray(address, address + count), at);
    });
    return out;
  }

  /** Changes bytes that are kept. */
  patch(position: number, bytes: Uint8Array): void {
    assert(
      position >= this.head && position + bytes.length <= this.tail,
      'what is changed lies in the queue',
    );
    this.#each(position - this.head, bytes.length, (address, at, count) => {
      this.#record.memory.bytes().set(bytes.subarray(at, at + count), address);
      this.#record.memory.mark(address, count);
    });
  }

  /** Forgets everything before a position. An empty queue begins at its block's start again: fewer pages change. */
  drop(position: number): void {
    const { head, tail } = this;
    assert(position >= head && position <= tail, 'what is dropped lies in the queue');
    if (position === head) return;
    const capacity = this.#record.u32(this.#base + QUEUE.capacity);
    if (position === tail && capacity > KEPT_CAPACITY) {
      this.clear();
      return;
    }
    const offset = (this.#record.u32(this.#base + QUEUE.offset) + (position - head)) % capacity;
    this.#record.setU32(this.#base + QUEUE.offset, position === tail ? 0 : offset);
    this.#record.setU64(this.#base + QUEUE.head, position);
  }

  /** Gives the bytes' block back; the queue is empty then and keeps its positions. */
  clear(): void {
    const block = this.#record.u64(this.#base + QUEUE.block);
    if (block !== 0) this.#record.memory.release(block);
    this.#record.setU64(this.#base + QUEUE.block, 0);
    this.#record.setU32(this.#base + QUEUE.capacity, 0);
    this.#record.setU32(this.#base + QUEUE.offset, 0);
    this.#record.setU64(this.#base + QUEUE.head, this.tail);
  }

  /** Calls back for the one or two stretches of the ring that hold `length` bytes from `start` after the head. */
  #each(start: number, length: number, visit: (address: number, at: number, count: number) => void): void {
    const block = this.#record.u64(this.#base + QUEUE.block);
    const capacity = this.#record.u32(this.#base + QUEUE.capacity);
    const first = (this.#record.u32(this.#base + QUEUE.offset) + start) % Math.max(capacity, 1);
    const before = Math.min(length, capacity - first);
    if (before > 0) visit(block + first, 0, before);
    if (length > before) visit(block, before, length - before);
  }

  /** Makes the ring hold `bytes`; false where the space is full. */
  #reserve(bytes: number): boolean {
    let capacity = this.#record.u32(this.#base + QUEUE.capacity);
    if (bytes <= capacity) return true;
    capacity = Math.max(capacity, FIRST_CAPACITY);
    while (capacity < bytes) capacity *= 2;
    const { memory } = this.#record;
    const block = memory.allocate(capacity);
    if (block === 0) return false;
    const kept = this.copy(this.head, this.length);
    memory.bytes().set(kept, block);
    memory.mark(block, kept.length);
    const old = this.#record.u64(this.#base + QUEUE.block);
    if (old !== 0) memory.release(old);
    this.#record.setU64(this.#base + QUEUE.block, block);
    this.#record.setU32(this.#base + QUEUE.capacity, capacity);
    this.#record.setU32(this.#base + QUEUE.offset, 0);
    return true;
  }
}

/** Destinations. */
export const STDOUT = 1;
export const STDERR = 2;
export type Destination = typeof STDOUT | typeof STDERR;

/** A run: u64 position after its last byte, u64 destination. */
const RUN_BYTES = 16;
const OUTBOX = { bytes: 0, runs: 32, count1: 64, count2: 72 } as const;
/** Bytes an outbox record takes; zeros are an empty one. */
export const OUTBOX_RECORD_BYTES = 80;

/** A run of bytes for one destination. */
export interface Piece {
  readonly destination: Destination;
  readonly position: number;
  readonly bytes: Uint8Array;
}

export class Outbox {
  readonly #record: Block;
  readonly #base: number;
  readonly #bytes: ByteQueue;
  readonly #runs: ByteQueue;
  /** Tails at cuts that are not durable yet, oldest first. */
  #cuts: { seq: number; tail: number }[] = [];
  #limit: number;

  /**
   * @param maxBytes most bytes kept; past it appends are refused.
   * @param durable whether what the record holds now is durable (it was recovered) or not (it is new).
   */
  constructor(record: Block, base: number, maxBytes: number, durable: boolean) {
    this.#record = record;
    this.#base = base;
    this.#bytes = new ByteQueue(record, base + OUTBOX.bytes, maxBytes);
    // Every run has at least one byte, so this many can never be too few.
    this.#runs = new ByteQueue(record, base + OUTBOX.runs, maxBytes * RUN_BYTES);
    this.#limit = durable ? this.#bytes.tail : this.#bytes.head;
  }

  get head(): number {
    return this.#bytes.head;
  }

  get tail(): number {
    return this.#bytes.tail;
  }

  get length(): number {
    return this.#bytes.length;
  }

  get room(): number {
    return this.#bytes.room;
  }

  /** Position up to which bytes may leave. */
  get limit(): number {
    return this.#limit;
  }

  /** Position up to which bytes are held by a checkpoint that is durable or on its way to be. */
  get covered(): number {
    return this.#cuts.at(-1)?.tail ?? this.#limit;
  }

  /** Bytes for a destination before the head, since the beginning of time. */
  countBefore(destination: Destination): number {
    return this.#record.u64(this.#base + (destination === STDOUT ? OUTBOX.count1 : OUTBOX.count2));
  }

  /** Appends as much as fits; returns how much. */
  append(destination: Destination, from: Uint8Array): number {
    if (from.length === 0 || this.room === 0) return 0;
    const last = this.#lastRun();
    // A run's room first: bytes without a run would have no destination.
    if (last !== destination) this.#runs.append(runOf(this.tail, destination));
    if (this.#lastRun() !== destination) return 0;
    const taken = this.#bytes.append(from);
    this.#endLastRun(this.tail);
    return taken;
  }

  /** The bytes of one run from a position on, at most `max` and never past `end`; undefined when there are none. */
  piece(position: number, end: number, max: number): Piece | undefined {
    if (position >= end) return undefined;
    const run = this.#runAt(position);
    const bytes = this.#bytes.copy(position, Math.min(run.end - position, end - position, max));
    return { destination: run.destination, position, bytes };
  }

  /** Bytes for a destination between two positions that are kept. */
  countBetween(destination: Destination, from: number, to: number): number {
    let count = 0;
    for (let at = from; at < to; ) {
      const run = this.#runAt(at);
      const end = Math.min(run.end, to);
      if (run.destination === destination) count += end - at;
      at = end;
    }
    return count;
  }

  /** Forgets what lies before a position: it is out for good. */
  drop(position: number): void {
    for (const destination of [STDOUT, STDERR] as const) {
      const offset = this.#base + (destination === STDOUT ? OUTBOX.count1 : OUTBOX.count2);
      const count = this.countBetween(destination, this.head, position);
      if (count > 0) this.#record.setU64(offset, this.#record.u64(offset) + count);
    }
    this.#bytes.drop(position);
    while (this.#runs.length > 0 && this.#runEnd(this.#runs.head) <= position) {
      this.#runs.drop(this.#runs.head + RUN_BYTES);
    }
  }

  /** Gives the memory of the bytes back, whatever they are. */
  clear(): void {
    this.drop(this.tail);
    this.#bytes.clear();
    this.#runs.clear();
  }

  cut(seq: number): void {
    this.#cuts.push({ seq, tail: this.tail });
  }

  durable(seq: number): void {
    for (const cut of this.#cuts) if (cut.seq <= seq) this.#limit = Math.max(this.#limit, cut.tail);
    this.#cuts = this.#cuts.filter((cut) => cut.seq > seq);
  }

  #runEnd(position: number): number {
    return Number(new DataView(this.#runs.copy(position, 8).buffer).getBigUint64(0, true));
  }

  /** The run a kept byte belongs to: the first that ends after it. */
  #runAt(position: number): { destination: Destination; end: number } {
    let low = 0;
    let high = this.#runs.length / RUN_BYTES - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runEnd(this.#runs.head + middle * RUN_BYTES) > position) high = middle;
      else low = middle + 1;
    }
    const run = this.#runs.copy(this.#runs.head + low * RUN_BYTES, RUN_BYTES);
    const view = new DataView(run.buffer);
    const end = Number(view.getBigUint64(0, true));
    assert(end > position, 'every byte of an outbox belongs to a run');
    return { destination: view.getUint32(8, true) as Destination, end };
  }

  #lastRun(): Destination | undefined {
    if (this.#runs.length === 0) return undefined;
    const last = this.#runs.copy(this.#runs.tail - RUN_BYTES, RUN_BYTES);
    return new DataView(last.buffer).getUint32(8, true) as Destination;
  }

  #endLastRun(end: number): void {
    this.#runs.patch(this.#runs.tail - RUN_BYTES, runOf(end, STDOUT).subarray(0, 8));
  }
}

function runOf(end: number, destination: Destination): Uint8Array {
  const run = new Uint8Array(RUN_BYTES);
  const view = new DataView(run.buffer);
  view.setBigUint64(0, BigInt(end), true);
  view.setUint32(8, destination, true);
  return run;
}
