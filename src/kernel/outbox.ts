/**
 * What has been said but may not be heard yet. An outbox is a queue of bytes in the space, each run of them for one of
 * two destinations (standard output, standard error), in the order the program wrote them. Bytes are appended at
 * absolute positions that never repeat; they may leave once the checkpoint that holds them is durable, and they
 * are dropped when they have left for good. So after a crash the outbox of the recovered checkpoint still holds every
 * byte that may or may not have got out, and its position in the whole.
 *
 * `ByteQueue` is the growing ring of bytes underneath, also used for input that waits to be read.
 *
 * Each run is paid for by somebody (outbox-meter.ts), who is charged for the bytes and for the run, and gets that back
 * when they are dropped.
 *
 * Who calls what: a stream appends; the core calls `cut(seq)` and `durable(seq)`; a releaser (drivers/release.ts) reads
 * up to `limit` and drops. Never drop what is not out: it is what makes a restart exact.
 *
 * Why: RATIONALE.md#output-waits-for-its-checkpoint
 */
import { assert } from '../base/assert.ts';
import type { Block } from './outbox-memory.ts';
import type { Meter } from './outbox-meter.ts';

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

/** A run: u64 position after its last byte; u64 destination, and DESTINATIONS times who pays for it. */
const RUN_BYTES = 16;
const DESTINATIONS = 4;
const OUTBOX = { bytes: 0, runs: 32, count1: 64, count2: 72 } as const;
/** Bytes an outbox record takes; zeros are an empty one. */
export const OUTBOX_RECORD_BYTES = 80;

/** Whom bytes are for, and who pays for them while they wait. */
interface Whose {
  readonly destination: Destination;
  readonly payer: number;
}

/** A run of bytes for one destination. */
export interface Piece extends Whose {
  readonly position: number;
  readonly bytes: Uint8Array;
}

export class Outbox {
  readonly #record: Block;
  readonly #base: number;
  readonly #bytes: ByteQueue;
  readonly #runs: ByteQueue;
  readonly #meter: Meter;
  /** Tails at cuts that are not durable yet, oldest first. */
  #cuts: { seq: number; tail: number }[] = [];
  #limit: number;

  /**
   * @param maxBytes most bytes kept; past it appends are refused.
   * @param durable whether what the record holds now is durable (it was recovered) or not (it is new).
   */
  constructor(record: Block, base: number, maxBytes: number, durable: boolean, meter: Meter) {
    this.#record = record;
    this.#base = base;
    this.#meter = meter;
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

  /** Bytes that a payer can append, by what there is room for here and what it may still be charged for. */
  roomOf(payer: number): number {
    return Math.max(0, Math.min(this.room, this.#meter.room(payer) - RUN_BYTES));
  }

  /** Whether there is room here, but who pays may not have more waiting. */
  isShort(payer: number): boolean {
    return this.room > 0 && this.roomOf(payer) === 0;
  }

  /** Appends as much as fits, and charges it to whoever pays, who is not asked; returns how much. */
  append(destination: Destination, from: Uint8Array, payer: number): number {
    if (from.length === 0 || this.room === 0) return 0;
    const joins = (last: Whose | undefined): boolean =>
      last?.destination === destination && last.payer === payer;
    // A run's room first: bytes without a run would have no destination.
    if (!joins(this.#lastRun())) {
      if (this.#runs.append(runOf(this.tail, { destination, payer })) === 0) return 0;
      this.#meter.charge(payer, RUN_BYTES);
    }
    const taken = this.#bytes.append(from);
    this.#meter.charge(payer, taken);
    this.#endLastRun(this.tail);
    return taken;
  }

  /** The bytes of one run from a position on, at most `max` and never past `end`; undefined when there are none. */
  piece(position: number, end: number, max: number): Piece | undefined {
    if (position >= end) return undefined;
    const run = this.#runAt(position);
    const bytes = this.#bytes.copy(position, Math.min(run.end - position, end - position, max));
    return { destination: run.destination, payer: run.payer, position, bytes };
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
    let at = this.head;
    this.#bytes.drop(position);
    while (this.#runs.length > 0 && at <= position) {
      const { end, payer } = this.#runOn(this.#runs.head);
      const over = end <= position;
      if (over) this.#runs.drop(this.#runs.head + RUN_BYTES);
      // Last: whoever is woken by it may look at what there is.
      this.#meter.refund(payer, Math.min(end, position) - at + (over ? RUN_BYTES : 0));
      if (!over) break;
      at = end;
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

  /** The run at a position of the queue of runs. */
  #runOn(position: number): Whose & { end: number } {
    const view = new DataView(this.#runs.copy(position, RUN_BYTES).buffer);
    const whose = Number(view.getBigUint64(8, true));
    return {
      end: Number(view.getBigUint64(0, true)),
      destination: (whose % DESTINATIONS) as Destination,
      payer: Math.floor(whose / DESTINATIONS),
    };
  }

  /** The run a kept byte belongs to: the first that ends after it. */
  #runAt(position: number): Whose & { end: number } {
    let low = 0;
    let high = this.#runs.length / RUN_BYTES - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runOn(this.#runs.head + middle * RUN_BYTES).end > position) high = middle;
      else low = middle + 1;
    }
    const run = this.#runOn(this.#runs.head + low * RUN_BYTES);
    assert(run.end > position, 'every byte of an outbox belongs to a run');
    return run;
  }

  #lastRun(): Whose | undefined {
    return this.#runs.length === 0 ? undefined : this.#runOn(this.#runs.tail - RUN_BYTES);
  }

  #endLastRun(end: number): void {
    this.#runs.patch(this.#runs.tail - RUN_BYTES, u64Bytes(end));
  }
}

function runOf(end: number, { destination, payer }: Whose): Uint8Array {
  const run = new Uint8Array(RUN_BYTES);
  run.set(u64Bytes(end));
  run.set(u64Bytes(DESTINATIONS * payer + destination), 8);
  return run;
}
const u64Bytes = (value: number): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
