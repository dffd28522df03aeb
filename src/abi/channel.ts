/**
 * What a process that holds one program and the kernel that it belongs to say to each other. The program's state goes to
 * and fro as deltas: the kernel sends an *order* (what changed, and run), the process answers with a *stop* (what changed
 * since, and why it stopped). Nothing else is said, and each side speaks only in its turn; see kernel/enforced.ts.
 *
 * A message is u32 kind, u32 bytes of payload, payload; little endian. An order or a stop is any number of PAGES, FRAMES,
 * TABLES and STATE, then ORDER or STOP, which ends it. Before that the process is sent an OPEN (JSON, see drivers/processes.ts)
 * and its program as PROGRAM messages, and answers with a READY; or, where it cannot run it, at any time with FAILED.
 *
 * What comes from the process may come from an attacker: `DeltaReader` and `MessageReader` believe nothing and keep no
 * more than the limits they are given. MalformedError tells what was wrong.
 */
import { assert } from '../base/assert.ts';
import {
  CHANNEL_MESSAGE_BYTES,
  CHANNEL_TABLES_BYTES,
  CHANNEL_TEXT_BYTES,
  PAGE_BYTES,
} from '../base/limits.ts';
import { MalformedError } from '../base/malformed.ts';

/** Kinds of message. */
export const MESSAGE = {
  ...{ open: 1, program: 2, order: 3, pages: 4, frames: 5, tables: 6 },
  ...{ ready: 7, stop: 8, failed: 9, state: 10 },
} as const;
const HEADER_BYTES = 8;
const PAGES_A_MESSAGE = 128;

/** Why a program stopped. */
export const STOP = {
  /** It was asked to, or a call it made waits for the kernel: the innermost frame tells. */
  paused: 0,
  /** No frame is left. */
  returned: 1,
  trapped: 2,
  /** An exception of the program's that nobody caught. */
  exception: 3,
  /** memory.atomic.wait: until `deadline`, then the instruction is begun again. */
  waiting: 4,
} as const;

/** Pages of one memory. */
export interface PageRun {
  readonly memory: number;
  /** Numbers from the memory's beginning, ascending. */
  readonly numbers: Uint32Array;
  /** PAGE_BYTES for each. */
  readonly data: Uint8Array;
}

/** What changed of a program's state since the other side had it whole. */
export interface Delta {
  /** WebAssembly pages of each memory; it does not shrink, and what is new is zero. */
  readonly sizes: readonly number[];
  readonly pages: readonly PageRun[];
  /** Bytes of saved frames, from the outermost, that are as they were; `frames` come behind them. */
  readonly keptFrameBytes: number;
  readonly frames: Uint8Array;
  /** All tables that can change (kernel/saved.ts); null where they are as they were. */
  readonly tables: Int32Array | null;
  /** The state zone from STATE_OFFSET on, whole. */
  readonly state: Uint8Array;
  /** Scratch of the system call in progress. */
  readonly scratch: Uint8Array;
}

export interface Order extends Delta {
  /** None of its code has run: memories are to be filled from the program's own segments. */
  readonly fresh: boolean;
  /** The program's time, ns. */
  readonly now: bigint;
}

export interface Stop extends Delta {
  /** One of STOP. */
  readonly reason: number;
  /** Memory past its limit was asked for. */
  readonly memoryRefused: boolean;
  /** For STOP.waiting, in the program's time. */
  readonly deadline: bigint;
  /** For people: why it trapped, and where. */
  readonly text: string;
  readonly trace: string;
}

/** What one side accepts. */
export interface DeltaLimits {
  /** Most WebAssembly pages of each memory. */
  readonly pages: readonly number[];
  readonly stateBytes: number;
  readonly scratchBytes: number;
  readonly frameBytes: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One message as pieces to be written one after the other. */
export function message(kind: number, ...payload: Uint8Array[]): Uint8Array[] {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  const length = payload.reduce((sum, part) => sum + part.length, 0);
  assert(length <= CHANNEL_MESSAGE_BYTES, 'a message is no longer than its reader takes');
  view.setUint32(0, kind, true);
  view.setUint32(4, length, true);
  return [header, ...payload];
}

/** Bytes of any length as messages of one kind. */
export function* pieces(kind: number, bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHANNEL_MESSAGE_BYTES) {
    yield* message(kind, bytes.subarray(at, at + CHANNEL_MESSAGE_BYTES));
  }
}

export function encodeOrder(order: Order): Uint8Array[] {
  const head = new Packer().u32(order.fresh ? 1 : 0).u64(order.now);
  return [...changes(order), ...message(MESSAGE.order, common(head, order).bytes())];
}

export function encodeStop(stop: Stop): Uint8Array[] {
  const head = new Packer()
    .u32(stop.reason)
    .u32(stop.memoryRefused ? 1 : 0)
    .u64(stop.deadline)
    .data(clipped(stop.text))
    .data(clipped(stop.trace));
  return [...changes(stop), ...message(MESSAGE.stop, common(head, stop).bytes())];
}

/** A text as bytes, cut where it is too long. */
export function clipped(text: string): Uint8Array {
  return encoder.encode(text).subarray(0, CHANNEL_TEXT_BYTES);
}

function* changes({ pages, frames, tables, state }: Delta): Generator<Uint8Array> {
  for (const { memory, numbers, data } of pages) {
    for (let at = 0; at < numbers.length; at += PAGES_A_MESSAGE) {
      const part = numbers.slice(at, at + PAGES_A_MESSAGE);
      yield* message(
        MESSAGE.pages,
        Uint8Array.from(new Uint8Array(Uint32Array.of(memory, part.length).buffer)),
        new Uint8Array(part.buffer),
        data.subarray(at * PAGE_BYTES, (at + part.length) * PAGE_BYTES),
      );
    }
  }
  yield* pieces(MESSAGE.frames, frames);
  yield* pieces(MESSAGE.state, state);
  if (tables !== null) {
    yield* pieces(MESSAGE.tables, new Uint8Array(tables.buffer, tables.byteOffset, tables.byteLength));
  }
}

function common(head: Packer, { sizes, keptFrameBytes, tables, scratch }: Delta): Packer {
  head.u32(sizes.length);
  for (const pages of sizes) head.u64(BigInt(pages));
  return head
    .u64(BigInt(keptFrameBytes))
    .u32(tables === null ? 0 : 1)
    .data(scratch);
}

/** Cuts a stream of bytes into messages. */
export class MessageReader {
  #held: Uint8Array[] = [];
  #length = 0;

  /** @throws MalformedError where a message is longer than any may be */
  push(chunk: Uint8Array): { kind: number; payload: Uint8Array }[] {
    this.#held.push(chunk);
    this.#length += chunk.length;
    const found: { kind: number; payload: Uint8Array }[] = [];
    while (this.#length >= HEADER_BYTES) {
      const head = this.#peek(HEADER_BYTES);
      const view = new DataView(head.buffer, head.byteOffset, HEADER_BYTES);
      const length = view.getUint32(4, true);
      if (length > CHANNEL_MESSAGE_BYTES) {
        throw new MalformedError(`channel: a message of ${length} bytes`, -1);
      }
      if (this.#length < HEADER_BYTES + length) break;
      const kind = view.getUint32(0, true);
      found.push({ kind, payload: this.#take(HEADER_BYTES + length).subarray(HEADER_BYTES) });
    }
    return found;
  }

  /** Whether a message has begun to come. */
  get inside(): boolean {
    return this.#length > 0;
  }

  #join(): Uint8Array {
    if (this.#held.length !== 1) {
      const all = new Uint8Array(this.#length);
      let at = 0;
      for (const part of this.#held) {
        all.set(part, at);
        at += part.length;
      }
      this.#held = [all];
    }
    return this.#held[0] as Uint8Array;
  }
  #peek(bytes: number): Uint8Array {
    const first = this.#held[0] as Uint8Array;
    return first.length >= bytes ? first : this.#join();
  }
  #take(bytes: number): Uint8Array {
    const first = this.#held[0] as Uint8Array;
    const all = first.length >= bytes ? first : this.#join();
    this.#length -= bytes;
    const rest = all.subarray(bytes);
    if (this.#held[0] === all) this.#held[0] = rest;
    if (rest.length === 0) this.#held.shift();
    return all.subarray(0, bytes);
  }
}

/** Puts messages together to orders or stops, within limits. */
export class DeltaReader {
  readonly #limits: DeltaLimits;
  #pages: PageRun[] = [];
  /** The next page number that each memory may name: so no page comes twice. */
  #next: number[] = [];
  #frames: Uint8Array[] = [];
  #frameBytes = 0;
  #tables: Uint8Array[] = [];
  #tableBytes = 0;
  #state: Uint8Array[] = [];
  #stateBytes = 0;

  constructor(limits: DeltaLimits) {
    this.#limits = limits;
  }

  /** A part of a delta. @throws MalformedError for what is none, or more than there can be */
  part(kind: number, payload: Uint8Array): void {
    if (kind === MESSAGE.pages) return this.#takePages(payload);
    if (kind === MESSAGE.frames) {
      this.#frameBytes += payload.length;
      demand(this.#frameBytes <= this.#limits.frameBytes, 'more saved frames than there may be');
      this.#frames.push(payload);
    } else if (kind === MESSAGE.tables) {
      this.#tableBytes += payload.length;
      demand(this.#tableBytes <= CHANNEL_TABLES_BYTES, 'larger tables than there may be');
      this.#tables.push(payload);
    } else if (kind === MESSAGE.state) {
      this.#stateBytes += payload.length;
      demand(this.#stateBytes <= this.#limits.stateBytes, 'a state of another length');
      this.#state.push(payload);
    } else throw new MalformedError(`channel: a message of kind ${kind} where none belongs`, -1);
  }

  #takePages(payload: Uint8Array): void {
    const fields = new Unpacker(payload);
    const memory = fields.u32();
    const count = fields.u32();
    const most = this.#limits.pages[memory];
    demand(most !== undefined, 'pages of a memory that is not there');
    demand(count > 0 && payload.length === 8 + count * (4 + PAGE_BYTES), 'pages of a wrong length');
    const numbers = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const number = fields.u32();
      demand(number >= (this.#next[memory] ?? 0), 'pages out of order');
      demand(number < most * 16, 'a page past the end of its memory');
      this.#next[memory] = number + 1;
      numbers[i] = number;
    }
    this.#pages.push({ memory, numbers, data: payload.subarray(8 + 4 * count) });
  }

  order(payload: Uint8Array): Order {
    const fields = new Unpacker(payload);
    const fresh = fields.u32() === 1;
    const now = fields.u64();
    return { fresh, now, ...this.#finish(fields) };
  }

  stop(payload: Uint8Array): Stop {
    const fields = new Unpacker(payload);
    const reason = fields.u32();
    demand(reason <= STOP.waiting, 'a reason that is none');
    const memoryRefused = (fields.u32() & 1) !== 0;
    const deadline = fields.u64();
    const text = decoder.decode(fields.data(CHANNEL_TEXT_BYTES));
    const trace = decoder.decode(fields.data(CHANNEL_TEXT_BYTES));
    return { reason, memoryRefused, deadline, text, trace, ...this.#finish(fields) };
  }

  #finish(fields: Unpacker): Delta {
    const { pages: most, stateBytes, scratchBytes, frameBytes } = this.#limits;
    demand(fields.u32() === most.length, 'another number of memories');
    const sizes = most.map((limit) => {
      const size = fields.u64();
      demand(size <= BigInt(limit), 'a memory larger than it may be');
      return Number(size);
    });
    const kept = fields.u64();
    demand(kept + BigInt(this.#frameBytes) <= BigInt(frameBytes), 'more saved frames than there may be');
    const changed = fields.u32() === 1;
    demand(changed || this.#tableBytes === 0, 'tables that did not change');
    demand(this.#tableBytes % 4 === 0, 'tables of a wrong length');
    const scratch = fields.data(scratchBytes);
    demand(this.#stateBytes === stateBytes && scratch.length === scratchBytes, 'a state of another length');
    fields.end();
    for (const { memory, numbers } of this.#pages) {
      const last = numbers[numbers.length - 1] as number;
      demand(last < (sizes[memory] as number) * 16, 'a page past the end of its memory');
    }
    const delta: Delta = {
      state: joined(this.#state, stateBytes),
      ...{ sizes, scratch, pages: this.#pages, keptFrameBytes: Number(kept) },
      frames: joined(this.#frames, this.#frameBytes),
      tables: changed ? new Int32Array(joined(this.#tables, this.#tableBytes).buffer) : null,
    };
    this.#pages = [];
    this.#next = [];
    this.#frames = [];
    this.#tables = [];
    this.#state = [];
    this.#frameBytes = this.#tableBytes = this.#stateBytes = 0;
    return delta;
  }
}

function demand(ok: boolean, what: string): asserts ok {
  if (!ok) throw new MalformedError(`channel: ${what}`, -1);
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

class Packer {
  readonly #parts: Uint8Array[] = [];

  u32(value: number): this {
    this.#parts.push(new Uint8Array(Uint32Array.of(value).buffer));
    return this;
  }
  u64(value: bigint): this {
    this.#parts.push(new Uint8Array(BigUint64Array.of(value).buffer));
    return this;
  }
  /** Bytes with their length before them. */
  data(bytes: Uint8Array): this {
    this.u32(bytes.length);
    this.#parts.push(bytes);
    return this;
  }
  bytes(): Uint8Array {
    return joined(
      this.#parts,
      this.#parts.reduce((sum, part) => sum + part.length, 0),
    );
  }
}

class Unpacker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  #next(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw new MalformedError('channel: a message ends early', at);
    this.#at += length;
    return at;
  }
  u32(): number {
    return this.#view.getUint32(this.#next(4), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#next(8), true);
  }
  data(most: number): Uint8Array {
    const length = this.u32();
    if (length > most)
      throw new MalformedError(`channel: ${length} bytes where ${most} are the most`, this.#at);
    const at = this.#next(length);
    return this.#bytes.subarray(at, at + length);
  }
  end(): void {
    if (this.#at !== this.#bytes.length)
      throw new MalformedError('channel: a message does not end', this.#at);
  }
}
