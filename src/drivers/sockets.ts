/**
 * One listening socket and one connection, as programs use them: buffers between Node's streams and calls that never
 * block. What is sent is held until `durable`; net.ts owns their records in the space, charges what is held, and tells them
 * of checkpoints.
 */
import type * as net from 'node:net';
import { ERRNO } from '../abi/errno.ts';
import { ACCEPT_QUEUE_MAX, OUTBOX_MAX_BYTES, SOCKET_INBOX_MAX_BYTES } from '../base/limits.ts';
import { type Listener, type Readiness, type Socket, type Wake, WOULD_BLOCK } from '../kernel/ports.ts';
import { errnoOf } from './errno.ts';

export interface ListenerHooks {
  readonly id: number;
  readonly wake: Wake;
  readonly take: (socket: net.Socket) => Connection | undefined;
  readonly closed: () => void;
}

export class ListenerObject implements Listener {
  readonly kind = 'listener';
  readonly #hooks: ListenerHooks;
  readonly #pending: net.Socket[] = [];
  readonly #waiting = new Set<number>();
  #server: net.Server | undefined;
  stopped = false;

  constructor(hooks: ListenerHooks) {
    this.#hooks = hooks;
  }

  get id(): number {
    return this.#hooks.id;
  }

  serve(server: net.Server): void {
    this.#server = server;
    server.on('error', () => {});
    server.on('connection', (socket) => {
      if (this.#pending.length >= ACCEPT_QUEUE_MAX) {
        socket.destroy();
        return;
      }
      socket.on('error', () => {});
      this.#pending.push(socket);
      wakeAll(this.#waiting, this.#hooks.wake);
    });
  }

  accept(): Socket | number {
    for (;;) {
      const socket = this.#pending.shift();
      if (socket === undefined) return WOULD_BLOCK;
      // Whoever went away while waiting was never here.
      if (socket.destroyed) continue;
      return this.#hooks.take(socket) ?? -ERRNO.NOBUFS;
    }
  }

  ready(): Readiness {
    return { readable: this.#pending.length > 0, writable: false, bytes: 0, hangup: false };
  }

  subscribe(domain: number): void {
    this.#waiting.add(domain);
  }

  stop(): void {
    this.stopped = true;
    this.#server?.close();
    for (const socket of this.#pending.splice(0)) socket.destroy();
  }

  close(): void {
    this.stop();
    this.#hooks.closed();
  }
}

export interface ConnectionHooks {
  readonly id: number;
  readonly wake: Wake;
  readonly closed: (connection: Connection) => void;
  readonly gone: (connection: Connection) => void;
  /** So many bytes are held now. */
  readonly holds: (bytes: number) => void;
  /** Bytes for which there is room, by what may be charged for them. */
  readonly room: () => number;
  /** There will not be more room by itself. */
  readonly isIdle: () => boolean;
  readonly subscribe: (domain: number) => void;
}

/** What holding the bytes of one sending costs beside them, about. */
const SENDING_BYTES = 128;

/** A connection, or what is left of one after a restart (no socket). */
export class Connection implements Socket {
  readonly kind = 'socket';
  readonly #hooks: ConnectionHooks;
  readonly #socket: net.Socket | undefined;
  readonly #waiting = new Set<number>();
  #received: Uint8Array[] = [];
  #receivedBytes = 0;
  #ended = false;
  #error = 0;
  #noReceive = false;
  /** Bytes sent that may not leave yet, from position #left on; then those the host has not taken yet. */
  #held: Uint8Array[] = [];
  #tail = 0;
  #left = 0;
  #taken = 0;
  /** Bytes that what is between #taken and #tail costs. */
  #cost = 0;
  #cuts: { seq: number; tail: number; end: boolean }[] = [];
  #noSend = false;
  #endSent = false;
  #closed = false;

  constructor(hooks: ConnectionHooks, socket: net.Socket | undefined) {
    this.#hooks = hooks;
    this.#socket = socket;
    if (socket === undefined) {
      this.#error = ERRNO.CONNRESET;
      return;
    }
    socket.on('data', (bytes) => this.#receive(bytes as Uint8Array));
    socket.on('end', () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on('error', (error) => this.#fail(errnoOf(error)));
    socket.on('close', () => this.#fail(this.#ended && this.#endSent ? 0 : ERRNO.CONNRESET));
    socket.resume();
  }

  get id(): number {
    return this.#hooks.id;
  }

  receive(into: Uint8Array, peek: boolean): number {
    if (this.#noReceive) return 0;
    let count = 0;
    let index = 0;
    while (count < into.length && index < this.#received.length) {
      const chunk = this.#received[index] as Uint8Array;
      const part = chunk.subarray(0, into.length - count);
      into.set(part, count);
      count += part.length;
      if (!peek && part.length < chunk.length) this.#received[index] = chunk.subarray(part.length);
      if (part.length === chunk.length) index++;
    }
    if (!peek && count > 0) {
      this.#received.splice(0, index);
      this.#receivedBytes -= count;
      if (this.#receivedBytes < SOCKET_INBOX_MAX_BYTES) this.#socket?.resume();
    }
    if (count > 0 || into.length === 0) return count;
    if (this.#ended) return 0;
    return this.#error === 0 ? WOULD_BLOCK : -this.#error;
  }

  send(from: Uint8Array): number {
    if (this.#noSend) return -ERRNO.PIPE;
    if (this.#error !== 0) return -this.#error;
    const taken = Math.max(0, Math.min(from.length, this.#room));
    if (taken === 0) {
      return from.length === 0 ? 0 : this.#isShort && this.#hooks.isIdle() ? -ERRNO.DQUOT : WOULD_BLOCK;
    }
    this.#held.push(from.slice(0, taken));
    this.#tail += taken;
    this.#hold(taken + SENDING_BYTES);
    return taken;
  }

  shutdown(receive: boolean, send: boolean): number {
    if (this.#error !== 0) return this.#error === ERRNO.CONNRESET ? -ERRNO.NOTCONN : -this.#error;
    if (receive) {
      this.#noReceive = true;
      this.#received = [];
      this.#receivedBytes = 0;
      this.#socket?.resume();
    }
    if (send) this.#noSend = true;
    return 0;
  }

  ready(): Readiness {
    const over = this.#ended || this.#noReceive || this.#error !== 0;
    const bytes = this.#receivedBytes;
    const noWait = this.#noSend || this.#error !== 0 || (this.#isShort && this.#hooks.isIdle());
    const writable = noWait || this.#room > 0;
    return { readable: bytes > 0 || over, writable, bytes, hangup: over };
  }

  subscribe(domain: number): void {
    this.#waiting.add(domain);
    if (this.#isShort) this.#hooks.subscribe(domain);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#noSend = true;
    this.#noReceive = true;
    this.#received = [];
    this.#receivedBytes = 0;
    this.#socket?.resume();
    this.#hooks.closed(this);
  }

  cut(seq: number): void {
    this.#cuts.push({ seq, tail: this.#tail, end: this.#noSend });
  }

  durable(seq: number): void {
    for (const cut of this.#cuts) if (cut.seq <= seq) this.#release(cut.tail, cut.end);
    this.#cuts = this.#cuts.filter((cut) => cut.seq > seq);
  }

  /** Something was sent that no cut holds yet. */
  get waiting(): boolean {
    if (this.#error !== 0) return false;
    const last = this.#cuts.at(-1);
    return this.#tail > (last?.tail ?? this.#left) || (this.#noSend && !this.#endSent && last?.end !== true);
  }

  /** Nothing is on its way out. */
  get settled(): boolean {
    return this.#error !== 0 || (this.#taken === this.#tail && this.#noSend === this.#endSent);
  }

  abort(): void {
    this.#socket?.destroy();
  }

  get #room(): number {
    return Math.min(OUTBOX_MAX_BYTES - (this.#tail - this.#taken), this.#hooks.room() - SENDING_BYTES);
  }
  /** Whether it is the account that has no room. */
  get #isShort(): boolean {
    return this.#hooks.room() <= SENDING_BYTES;
  }

  #hold(more: number): void {
    this.#cost += more;
    this.#hooks.holds(this.#error === 0 ? this.#cost : 0);
  }

  /** Lets bytes before a position go, and then the end. */
  #release(tail: number, end: boolean): void {
    const socket = this.#socket;
    if (socket === undefined || this.#error !== 0) return;
    while (this.#left < tail) {
      const first = this.#held[0] as Uint8Array;
      const part = first.subarray(0, tail - this.#left);
      const cost = part.length + (part.length === first.length ? SENDING_BYTES : 0);
      if (part.length === first.length) this.#held.shift();
      else this.#held[0] = first.subarray(part.length);
      this.#left += part.length;
      socket.write(part, (error) => {
        if (error) return;
        this.#taken += part.length;
        this.#hold(-cost);
        this.#wake();
      });
    }
    if (!end || this.#endSent) return;
    socket.end(() => {
      this.#endSent = true;
      if (this.#closed) this.#hooks.gone(this);
      if (this.#closed || this.#ended) socket.destroySoon();
    });
  }

  #receive(bytes: Uint8Array): void {
    if (this.#noReceive) return;
    this.#received.push(bytes);
    this.#receivedBytes += bytes.length;
    if (this.#receivedBytes >= SOCKET_INBOX_MAX_BYTES) this.#socket?.pause();
    this.#wake();
  }

  #fail(errno: number): void {
    if (this.#error === 0) this.#error = errno === ERRNO.IO ? ERRNO.CONNRESET : errno;
    if (this.#error !== 0) this.#held = [];
    this.#hold(0);
    if (this.#closed) this.#hooks.gone(this);
    this.#wake();
  }

  #wake(): void {
    wakeAll(this.#waiting, this.#hooks.wake);
  }
}

function wakeAll(waiting: Set<number>, wake: Wake): void {
  const domains = [...waiting];
  waiting.clear();
  for (const domain of domains) wake(domain);
}
