/**
 * Sockets that users grant to programs: listening ones (`listen`) and connected ones (`connect`), and the connections a
 * program accepts. A program can make none itself.
 *
 * The space keeps which sockets a domain has and where a listener listens, so that it listens there again after a
 * restart. A connection does not outlive the process: after a restart every operation on it is ERRNO.CONNRESET, as it
 * is for the peer. So what a connection has received or still has to send may die with the process, and is kept here;
 * but bytes sent leave, and the end of sending shows, only once a checkpoint that holds the sending is durable. What they are
 * charged for meanwhile stands in the connection's record, so that it is given back where they die.
 */
import * as net from 'node:net';
import { EnvironmentError } from '../base/errors.ts';
import { Block, blocksOf, pushFront, unlinkBlock } from '../kernel/outbox-memory.ts';
import type { Meter } from '../kernel/outbox-meter.ts';
import type { Driver, Listener, Socket, Wake } from '../kernel/ports.ts';
import { type Address, bound, removeDeadSocket, textOf } from './address.ts';
import { errnoOf } from './errno.ts';
import { Connection, type ConnectionHooks, ListenerObject } from './sockets.ts';
import { type DriverState, STATE } from './state.ts';

const FIELD = { next: 0, id: 8, kind: 16, port: 20, domain: 24, host: 32, hostBytes: 40 } as const;
/** In the place of `host` and `hostBytes` of listeners: who pays for what a connection sends, and the bytes charged now. */
const PAID = { payer: 32, bytes: 40 } as const;
const RECORD_BYTES = 48;
const LISTENER = 1;
const CONNECTION = 2;
/** A connection that its program has closed, with bytes still to go out; it has no domain. */
const LEAVING = 3;
const RETRY_MS = 1000;

export interface NetworkOptions {
  readonly state: DriverState;
  readonly wake: Wake;
  readonly meter: Meter;
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
      const kind = record.u32(FIELD.kind);
      if (kind !== LISTENER) this.#charge(record, 0);
      if (kind === CONNECTION) this.#connections.set(id, new Connection(this.#ends(id), undefined));
      else if (kind === LEAVING) this.#drop(id);
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

  /** Whether the domain has a socket: something may come in for it. */
  has(domain: number): boolean {
    for (const record of this.#records.values()) if (record.u64(FIELD.domain) === domain) return true;
    return false;
  }

  /** After a restart: volatile domains are gone, and their sockets with them. */
  keepOnly(domains: ReadonlySet<number>): void {
    const known = new Set([...this.#records.values()].map((record) => record.u64(FIELD.domain)));
    for (const domain of known) if (!domains.has(domain)) this.forget(domain);
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
    const host = record.u32(FIELD.kind) === LISTENER ? record.u64(FIELD.host) : 0;
    if (host !== 0) record.memory.release(host);
    if (record.u32(FIELD.kind) !== LISTENER) this.#charge(record, 0);
    record.release();
  }

  /** Who pays for what a connection holds: its domain, which is made after a connection that it is granted. */
  #payer(record: Block): number {
    let payer = record.u64(PAID.payer);
    if (payer !== 0) return payer;
    payer = this.#o.meter.payer(record.u64(FIELD.domain));
    if (record.u32(PAID.bytes) === 0) record.setU64(PAID.payer, payer);
    return payer;
  }

  /** What a connection holds is so many bytes now. */
  #charge(record: Block, bytes: number): void {
    const { meter } = this.#o;
    const before = record.u32(PAID.bytes);
    if (bytes === before) return;
    const payer = this.#payer(record);
    record.setU32(PAID.bytes, bytes);
    if (bytes > before) meter.charge(payer, bytes - before);
    else meter.refund(payer, before - bytes);
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
    const { wake, meter } = this.#o;
    const record = this.#records.get(id) as Block;
    const payer = (): number => this.#payer(record);
    return {
      id,
      wake,
      room: () => meter.room(payer()),
      isIdle: () => meter.isIdle(payer()),
      subscribe: (domain) => meter.subscribe(payer(), domain),
      holds: (bytes) => {
        if (this.#records.get(id) === record) this.#charge(record, bytes);
      },
      closed: (connection) => {
        this.#connections.delete(id);
        if (!connection.settled) this.#leaving.add(connection);
        if (connection.settled || record.u32(PAID.bytes) === 0) {
          this.#drop(id);
          return;
        }
        record.setU32(FIELD.kind, LEAVING);
        record.setU64(FIELD.domain, 0);
      },
      gone: (connection) => {
        this.#leaving.delete(connection);
        this.#drop(id);
      },
    };
  }
}
