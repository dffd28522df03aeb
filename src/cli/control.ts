/**
 * The control socket: how other processes talk to the one that owns a space. `serveControl` in the owner,
 * `connectControl` elsewhere. A Unix socket in the space's folder, for its user only. Connections carry one request
 * and its answer at a time; `wire.ts` says how they look. The socket proves nothing about ownership: that is the
 * store's lock; a socket left behind by a killed owner is simply replaced.
 */
import { chmodSync, closeSync, openSync, unlinkSync } from 'node:fs';
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import { packError, unpackError } from './failure.ts';
import { decodeJson, encodeFrame, encodeJson, FRAME, FRAME_MAX_BYTES, FrameReader } from './wire.ts';

export const CONTROL_FILE = 'control';
/** Longest path a Unix socket's address can take, in bytes, on the systems we run on. */
const SOCKET_PATH_MAX_BYTES = 100;

export type Message = Record<string, unknown>;

/** What the owner does with one connection: answers its requests, hears its events. Made when it connects. */
export interface Handler {
  request(request: Message): Promise<unknown>;
  event?(event: Message): void;
}

/** One end of a connection. */
export class Connection {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #answers: { resolve(value: unknown): void; reject(error: Error): void }[] = [];
  #closed = false;
  /** Bytes of any kind but JSON. */
  onBytes: (kind: number, bytes: Uint8Array) => void = () => {};
  /** JSON that is no answer: a request at the owner, an event elsewhere. */
  onMessage: (message: Message) => void = () => {};
  onClose: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#take(bytes as Uint8Array));
    socket.on('error', () => {});
    socket.on('close', () => this.#end());
  }

  /** Asks, and waits for the answer. Fails with the error the other side had, or when it goes away. */
  request(request: Message): Promise<unknown> {
    if (this.#closed) return Promise.reject(gone());
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
      this.#socket.write(encodeJson(request));
    });
  }

  send(message: Message): void {
    if (!this.#closed) this.#socket.write(encodeJson(message));
  }

  /** Sends bytes in frames; resolves when the system has taken them, so that a slow reader slows the sender. */
  async sendBytes(kind: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at === 0 || at < bytes.length; at += FRAME_MAX_BYTES) {
      if (this.#closed) throw gone();
      const frame = encodeFrame(kind, bytes.subarray(at, at + FRAME_MAX_BYTES));
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(frame, (error) => (error ? reject(gone()) : resolve()));
      });
    }
  }

  /** Says nothing more; what was sent still arrives. */
  close(): void {
    this.#socket.end();
  }

  get closed(): boolean {
    return this.#closed;
  }

  #take(bytes: Uint8Array): void {
    try {
      for (const frame of this.#reader.push(bytes)) {
        if (frame.kind !== FRAME.json) {
          this.onBytes(frame.kind, frame.payload);
          continue;
        }
        const message = decodeJson(frame);
        if (!('answer' in message)) this.onMessage(message);
        else if (message.answer === 'ok') this.#answers.shift()?.resolve(message.value);
        else this.#answers.shift()?.reject(unpackError(message.error));
      }
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#socket.destroy();
    }
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const answer of this.#answers.splice(0)) answer.reject(gone());
    this.onClose();
  }
}

function gone(): EnvironmentError {
  return new EnvironmentError(
    'owner-gone',
    'the process that owns the space went away',
    'go on with perdure up',
  );
}

/**
 * The socket's address. Where the path is too long for a socket, the folder is opened and named through /proc; the
 * descriptor must stay open until the address has been used.
 */
function address(folder: string): { path: string; release(): void } {
  const path = join(folder, CONTROL_FILE);
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX_BYTES || process.platform !== 'linux') {
    return { path, release: () => {} };
  }
  const descriptor = openSync(folder, 'r');
  return { path: `/proc/self/fd/${descriptor}/${CONTROL_FILE}`, release: () => closeSync(descriptor) };
}

/** Answers requests on the socket of `folder` until `close`. Call it only while owning the space. */
export async function serveControl(
  folder: string,
  accept: (connection: Connection) => Handler,
): Promise<{ close(): Promise<void> }> {
  const { path, release } = address(folder);
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    const connection = new Connection(socket);
    const handler = accept(connection);
    connection.onMessage = (message) => {
      if ('event' in message) handler.event?.(message);
      else answer(handler, message, connection);
    };
  });
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await listen(server, path);
  return {
    async close() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.end();
        setTimeout(() => open.forEach((socket) => void socket.destroy()), 200).unref();
      });
      release();
    },
  };
}

function answer(handler: Handler, request: Message, connection: Connection): void {
  handler.request(request).then(
    (value) => connection.send({ answer: 'ok', value: value ?? null }),
    (error: unknown) => connection.send({ answer: 'error', error: packError(error) }),
  );
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on('error', (error) => {
      reject(
        new EnvironmentError(
          'control',
          `cannot listen in the space: ${error.message}`,
          'is the folder writable?',
        ),
      );
    });
    // The socket is made inside `listen`; nobody else may have it even for a moment.
    const mask = process.umask(0o177);
    try {
      server.listen(path, () => {
        chmodSync(path, 0o600);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

/** A connection to the owner of the space in `folder`, or undefined where nobody listens. */
export async function connectControl(folder: string): Promise<Connection | undefined> {
  let place: ReturnType<typeof address>;
  try {
    place = address(folder);
  } catch {
    return undefined;
  }
  return new Promise((resolve, reject) => {
    const socket = netConnect(place.path);
    socket.once('connect', () => {
      place.release();
      resolve(new Connection(socket));
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      place.release();
      if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(error.code ?? '')) resolve(undefined);
      else {
        const message = `cannot reach the owner of ${folder}: ${error.message}`;
        reject(new EnvironmentError('control', message, 'is it a space of another user?'));
      }
    });
  });
}
