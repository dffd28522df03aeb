/** For tests: ports that are simple objects under the test's control, and live on through a guest's crashes. */
import { ERRNO } from '../../abi/errno.ts';
import { Prng } from '../../base/prng.ts';
import {
  type ConsoleStreams,
  type Listener,
  type PortObject,
  type Ports,
  type Readiness,
  type Socket,
  type StreamObject,
  WOULD_BLOCK,
} from '../../kernel/ports.ts';

/** One direction of bytes with an end that can be stuck or closed. */
export class Pipe {
  bytes: number[] = [];
  ended = false;
  /** Bytes it takes before it is full. */
  room = Number.POSITIVE_INFINITY;
  subscribers = new Set<number>();

  take(into: Uint8Array, peek = false): number {
    if (this.bytes.length === 0) return this.ended ? 0 : WOULD_BLOCK;
    const count = Math.min(into.length, this.bytes.length);
    into.set(this.bytes.slice(0, count));
    if (!peek) this.bytes.splice(0, count);
    return count;
  }
  put(from: Uint8Array): number {
    if (this.ended) return -ERRNO.PIPE;
    const count = Math.min(from.length, this.room - this.bytes.length);
    if (count === 0) return WOULD_BLOCK;
    for (let i = 0; i < count; i++) this.bytes.push(from[i] as number);
    return count;
  }
  text(): string {
    return new TextDecoder().decode(Uint8Array.from(this.bytes));
  }
  say(text: string): void {
    for (const byte of new TextEncoder().encode(text)) this.bytes.push(byte);
  }
}

class FakeStream implements StreamObject {
  readonly kind = 'stream';
  readonly terminal = false;
  readonly pipe: Pipe;
  constructor(pipe: Pipe) {
    this.pipe = pipe;
  }
  read(into: Uint8Array): number {
    return this.pipe.take(into);
  }
  write(from: Uint8Array): number {
    return this.pipe.put(from);
  }
  ready(): Readiness {
    const { pipe } = this;
    const bytes = pipe.bytes.length;
    return {
      readable: bytes > 0 || pipe.ended,
      writable: pipe.ended || bytes < pipe.room,
      bytes,
      hangup: pipe.ended,
    };
  }
  subscribe(domain: number): void {
    this.pipe.subscribers.add(domain);
  }
}

export class FakeSocket implements Socket {
  readonly kind = 'socket';
  readonly id: number;
  readonly incoming = new Pipe();
  readonly outgoing = new Pipe();
  closed = false;
  constructor(id: number) {
    this.id = id;
  }
  receive(into: Uint8Array, peek: boolean): number {
    return this.incoming.take(into, peek);
  }
  send(from: Uint8Array): number {
    return this.outgoing.put(from);
  }
  shutdown(receive: boolean, send: boolean): number {
    if (receive) this.incoming.ended = true;
    if (send) this.outgoing.ended = true;
    return 0;
  }
  ready(): Readiness {
    const bytes = this.incoming.bytes.length;
    const readable = bytes > 0 || this.incoming.ended;
    const writable = this.outgoing.ended || this.outgoing.bytes.length < this.outgoing.room;
    return { readable, writable, bytes, hangup: this.incoming.ended };
  }
  subscribe(domain: number): void {
    this.incoming.subscribers.add(domain);
  }
  close(): void {
    this.closed = true;
  }
}

export class FakeListener implements Listener {
  readonly kind = 'listener';
  readonly id: number;
  readonly waiting: Socket[] = [];
  subscribers = new Set<number>();
  closed = false;
  constructor(id: number) {
    this.id = id;
  }
  accept(): Socket | number {
    return this.waiting.shift() ?? WOULD_BLOCK;
  }
  ready(): Readiness {
    return { readable: this.waiting.length > 0, writable: false, bytes: this.waiting.length, hangup: false };
  }
  subscribe(domain: number): void {
    this.subscribers.add(domain);
  }
  close(): void {
    this.closed = true;
  }
}

/** Ports that live on through `recover`, as the world outside does. */
export class FakePorts implements Ports {
  time = 1_700_000_000_000_000_000n;
  readonly clock = { realtimeNs: () => this.time++, monotonicNs: () => this.time, resolutionNs: 1n };
  readonly random = {
    fill: (into: Uint8Array): void => {
      for (let i = 0; i < into.length; i++) into[i] = this.#random.below(256);
    },
  };
  readonly #random = new Prng(7);
  readonly stdin = new Pipe();
  readonly stdout = new Pipe();
  readonly stderr = new Pipe();
  readonly objects = new Map<number, PortObject>();
  readonly #streams: ConsoleStreams = {
    stdin: new FakeStream(this.stdin),
    stdout: new FakeStream(this.stdout),
    stderr: new FakeStream(this.stderr),
  };
  console(): ConsoleStreams {
    return this.#streams;
  }
  object(id: number): PortObject | undefined {
    return this.objects.get(id);
  }
}
