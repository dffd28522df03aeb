/**
 * Sockets that users grant to programs: listening ones (`listen`) and connected ones (`connect`), and the connections a
 * program accepts. A program can make none itself.
 *
 * The space keeps which sockets a domain has and where a listener listens, so that it listens there again after a
 * restart. A connection does not outlive the process: after a restart every operation on it is ERRNO.CONNRESET, as it
 * is for the peer. So what a connection has received or still has to send may die with the process, and is kept here;
 * but bytes sent leave, and the end of sending shows, only once a checkpoint that holds the sending is durable.
 */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { ERRNO } from '../abi/errno.ts';
import { EnvironmentError } from '../base/errors.ts';
import { ACCEPT_QUEUE_MAX, OUTBOX_MAX_BYTES, SOCKET_INBOX_MAX_BYTES } from '../base/limits.ts';
import { Block, blocksOf, pushFront, unlinkBlock } from '../kernel/outbox-memory.ts';
import {
  type Driver,
  type Listener,
  type Readiness,
  type Socket,
  type Wake,
  WOULD_BLOCK,
} from '../kernel/ports.ts';
import { errnoOf } from './errno.ts';
import { type DriverState, STATE } from './state.ts';

const FIELD = { next: 0, id: 8, kind: 16, port: 20, domain: 24, host: 32, hostBytes: 40 } as const;
const RECORD_BYTES = 48;
const LISTENER = 1;
const CONNECTION = 2;
const RETRY_MS = 1000;

/** Where to listen or connect to: a name or number and a port, or the path of a Unix socket. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/** `host:port`, `[v6]:port`, or `unix:PATH`; undefined where it is none of them. */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith('unix:')) return text.length > 5 ? { path: text.slice(5) } : undefined;
  const parts = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65535) return undefined;
  return { host: parts[1] ?? parts[2] ?? '', port };
}

export interface NetworkOptions {
  readonly state: DriverState;
  readonly wake: Wake;
  /** For people: a listener cannot listen again yet. */
  readonly problem: (address: string, errno: number) => void;
}

export class Network implements Driver {
  readonly #o: NetworkOptions;
  readonly #listeners = new Map<number, ListenerObject>();
  readonly #connections = new Map<number, Connection>();
  /** Closed by their programs, with bytes still to go out. */
  readonly #leaving = new Set<Connection>();
  readonly #records = new Map<number, Block>();

  constructor(options: NetworkOptions) {
    this.#o = options;
    for (const record of [...blocksOf(options.state.root, STATE.netObjects, FIELD.next)]) {
      const id = record.u64(FIELD.id);
      this.#records.set(id, record);
      if (record.u32(FIELD.kind) === CONNECTION)
        this.#connections.set(id, new Connection(this.#ends(id), undefined));
      else this.#listenAgain(id, record);
    }
  }

  /**
   * Grants a listening socket to a domain.
   * @throws EnvironmentError where the address cannot be had
   */
  async listen(domain: number, address: Address): Promise<Listener> {
    const server = await bound(address);
    const own = server.address();
    const port = own !== null && typeof own === 'object' ? own.port : 0;
    const host = 'path' in address ? `unix:${address.path}` : address.host;
    const id = this.#record(LISTENER, domain, host, port);
    if (id === 0) {
      server.close();
      throw new EnvironmentError('space-full', 'the space is full', 'remove programs that ended: perdure rm');
    }
    return this.#adopt(id, server);
  }

  /**
   * Grants a connected socket to a domain.
   * @throws EnvironmentError where nobody answers
   */
  async connect(domain: number, address: Address): Promise<Socket> {
    const socket = net.connect({ ...address, allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) =>
        reject(
          new EnvironmentError('no-connection', `cannot connect to ${textOf(address)}: ${error.message}`),
        ),
      );
    });
    const connection = this.#connection(domain, socket);
    if (connection !== undefined) return connection;
    socket.destroy();
    throw new EnvironmentError('space-full', 'the space is full', 'remove programs that ended: perdure rm');
  }

  object(id: number): Listener | Socket | undefined {
    return this.#listeners.get(id) ?? this.#connections.get(id);
  }

  /** The address a listener has: its port where it was given 0. */
  portOf(id: number): number {
    return this.#records.get(id)?.u32(FIELD.port) ?? 0;
  }

  /** The domain is gone; what it sent and closed still gets out. */
  forget(domain: number): void {
    for (const [id, record] of [...this.#records]) {
      if (record.u64(FIELD.domain) === domain) this.object(id)?.close();
    }
  }

  cut(seq: number): void {
    for (const connection of this.#open()) connection.cut(seq);
  }

  durable(seq: number): void {
    for (const connection of [...this.#open()]) connection.durable(seq);
  }

  wantsCheckpoint(): boolean {
    for (const connection of this.#open()) if (connection.waiting) return true;
    return false;
  }

  settled(): boolean {
    for (const connection of this.#open()) if (!connection.settled) return false;
    return true;
  }

  async close(): Promise<void> {
    for (const listener of this.#listeners.values()) listener.stop();
    for (const connection of this.#open()) connection.abort();
  }

  *#open(): Generator<Connection> {
    yield* this.#connections.values();
    yield* this.#leaving;
  }

  /** A record in the space; its id, or 0 where the space is full. */
  #record(kind: number, domain: number, host: string, port: number): number {
    const { state } = this.#o;
    const bytes = Buffer.from(host);
    const block = Block.create(state.memory, RECORD_BYTES);
    const text = bytes.length === 0 ? undefined : Block.create(state.memory, bytes.length);
    if (block === undefined || (bytes.length > 0 && text === undefined)) {
      block?.release();
      text?.release();
      return 0;
    }
    text?.setBytes(0, bytes);
    const id = state.nextObject();
    block.setU64(FIELD.id, id);
    block.setU32(FIELD.kind, kind);
    block.setU32(FIELD.port, port);
    block.setU64(FIELD.domain, domain);
    block.setU64(FIELD.host, text?.address ?? 0);
    block.setU32(FIELD.hostBytes, bytes.length);
    pushFront(state.root, STATE.netObjects, block, FIELD.next);
    this.#records.set(id, block);
    return id;
  }

  #drop(id: number): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    this.#records.delete(id);
    unlinkBlock(this.#o.state.root, STATE.netObjects, record, FIELD.next);
    const host = record.u64(FIELD.host);
    if (host !== 0) record.memory.release(host);
    record.release();
  }

  #adopt(id: number, server: net.Server | undefined): ListenerObject {
    const domain = this.#records.get(id)?.u64(FIELD.domain) ?? 0;
    const listener = new ListenerObject({
      id,
      wake: this.#o.wake,
      take: (socket) => this.#connection(domain, socket),
      closed: () => {
        this.#listeners.delete(id);
        this.#drop(id);
      },
    });
    this.#listeners.set(id, listener);
    if (server !== undefined) listener.serve(server);
    return listener;
  }

  /** After a restart; until the address can be had, programs wait for connections that do not come. */
  #listenAgain(id: number, record: Block): void {
    const from = record.u64(FIELD.host);
    const length = record.u32(FIELD.hostBytes);
    const host = from === 0 ? '' : Buffer.from(record.memory.bytes().slice(from, from + length)).toString();
    const address = host.startsWith('unix:')
      ? { path: host.slice(5) }
      : { host, port: record.u32(FIELD.port) };
    const listener = this.#adopt(id, undefined);
    let told = false;
    const attempt = (): void => {
      if (listener.stopped) return;
      const free = 'path' in address ? removeDeadSocket(address.path) : Promise.resolve();
      free
        .then(() => bound(address))
        .then(
          (server) => (listener.stopped ? server.close() : listener.serve(server)),
          (error: EnvironmentError) => {
            if (!told) this.#o.problem(textOf(address), errnoOf(error.cause));
            told = true;
            setTimeout(attempt, RETRY_MS).unref();
          },
        );
    };
    attempt();
  }

  #connection(domain: number, socket: net.Socket): Connection | undefined {
    const id = this.#record(CONNECTION, domain, '', 0);
    if (id === 0) return undefined;
    const connection = new Connection(this.#ends(id), socket);
    this.#connections.set(id, connection);
    return connection;
  }

  #ends(id: number): ConnectionHooks {
    return {
      id,
      wake: this.#o.wake,
      closed: (connection) => {
        this.#connections.delete(id);
        this.#drop(id);
        if (!connection.settled) this.#leaving.add(connection);
      },
      gone: (connection) => void this.#leaving.delete(connection),
    };
  }
}

function textOf(address: Address): string {
  return 'path' in address ? `unix:${address.path}` : `${address.host}:${address.port}`;
}

/** A process that was killed leaves the file of its Unix socket behind; nobody answers there. */
function removeDeadSocket(path: string): Promise<void> {
  return new Promise((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve();
    });
    probe.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNREFUSED') resolve();
      else fs.unlink(path, () => resolve());
    });
  });
}

/** A server that listens. @throws EnvironmentError */
function bound(address: Address): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const hint = cause.code === 'EADDRINUSE' ? 'end what listens there, or take another port' : '';
      reject(
        new EnvironmentError('no-listen', `cannot listen on ${textOf(address)}: ${cause.message}`, hint, {
          cause,
        }),
      );
    });
    // An empty host is every address of this machine.
    const { host, ...rest } = { host: '', ...address };
    server.listen(host === '' ? rest : { ...rest, host }, () => resolve(server));
  });
}

interface ListenerHooks {
  readonly id: number;
  readonly wake: Wake;
  readonly take: (socket: net.Socket) => Connection | undefined;
  readonly closed: () => void;
}

class ListenerObject implements Listener {
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

interface ConnectionHooks {
  readonly id: number;
  readonly wake: Wake;
  readonly closed: (connection: Connection) => void;
  readonly gone: (connection: Connection) => void;
}

/** A connection, or what is left of one after a restart (no socket). */
class Connection implements Socket {
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
    const taken = Math.min(from.length, this.#room);
    if (taken === 0) return from.length === 0 ? 0 : WOULD_BLOCK;
    this.#held.push(from.slice(0, taken));
    this.#tail += taken;
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
    const writable = this.#room > 0 || this.#noSend || this.#error !== 0;
    return { readable: bytes > 0 || over, writable, bytes, hangup: over };
  }

  subscribe(domain: number): void {
    this.#waiting.add(domain);
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
    return OUTBOX_MAX_BYTES - (this.#tail - this.#taken);
  }

  /** Lets bytes before a position go, and then the end. */
  #release(tail: number, end: boolean): void {
    const socket = this.#socket;
    if (socket === undefined || this.#error !== 0) return;
    while (this.#left < tail) {
      const first = this.#held[0] as Uint8Array;
      const part = first.subarray(0, tail - this.#left);
      if (part.length === first.length) this.#held.shift();
      else this.#held[0] = first.subarray(part.length);
      this.#left += part.length;
      socket.write(part, (error) => {
        if (error) return;
        this.#taken += part.length;
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
