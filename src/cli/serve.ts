/**
 * The owner's end of the control socket: requests of other processes become calls of the host. One connection may
 * follow one program: its output flows to the client as the client takes it, and what the client types flows back.
 */

import { EnvironmentError } from '../base/errors.ts';
import { compactMap } from '../debug/index.ts';
import { type Connection, type Handler, type Message, serveControl } from './control.ts';
import type { Host } from './host.ts';
import type { Attachment } from './hosting.ts';
import { encodePlain } from './plain.ts';
import type {
  DomainSummary,
  ExitReport,
  ImportOptions,
  RemoveOptions,
  RunRequest,
  WrittenValue,
} from './types.ts';
import { FRAME } from './wire.ts';

/** The served space: what the process does beside answering. */
export interface Served {
  /** Connections there are now. */
  readonly clients: number;
  /** Tells clients that a program they follow has ended. */
  exited(report: ExitReport): void;
  close(): Promise<void>;
}

/** Serves the space of `host` in its folder until closed. `shutdown`: somebody wants this process to suspend and end. */
export async function serveSpace(host: Host, shutdown: () => void): Promise<Served> {
  const clients = new Set<Client>();
  const server = await serveControl(host.folder, (connection) => {
    const client = new Client(host, connection, shutdown);
    clients.add(client);
    connection.onClose = () => {
      clients.delete(client);
      client.gone();
    };
    return client;
  });
  return {
    get clients() {
      return clients.size;
    },
    exited: (report) => clients.forEach((client) => void client.exited(report)),
    close: () => server.close(),
  };
}

class Client implements Handler {
  readonly #host: Host;
  readonly #connection: Connection;
  readonly #shutdown: () => void;
  #received: Uint8Array[] = [];
  #attachment: Attachment | undefined;
  #followed: string | undefined;
  /** Resolved one by one as the client says that it has taken what was sent. */
  readonly #taken: { resolve(): void; reject(error: Error): void }[] = [];

  constructor(host: Host, connection: Connection, shutdown: () => void) {
    this.#host = host;
    this.#connection = connection;
    this.#shutdown = shutdown;
    connection.onBytes = (kind, bytes) => {
      if (kind === FRAME.data) this.#received.push(bytes);
      if (kind === FRAME.stdin) this.#attachment?.input(bytes);
    };
  }

  event(message: Message): void {
    if (message.event === 'taken') this.#taken.shift()?.resolve();
  }

  exited(report: ExitReport): void {
    if (report.name === this.#followed) this.#connection.send({ event: 'exit', report });
  }

  gone(): void {
    this.#attachment?.detach();
    this.#attachment = undefined;
    const error = new EnvironmentError('client-gone', 'the client went away');
    for (const taken of this.#taken.splice(0)) taken.reject(error);
  }

  async request(message: Message): Promise<unknown> {
    const host = this.#host;
    const name = String(message.name);
    switch (message.op) {
      case 'hello':
        return null;
      case 'list':
        return host.list();
      case 'run':
        return this.#run(message.request as RunRequest, Number(message.mapBytes));
      case 'resume':
        return host.resume(message.names as string[] | null);
      case 'suspend':
        return host.suspend(name);
      case 'inspect':
        return host.inspect(name);
      case 'call':
        return this.#call(name, String(message.procedure), message.values as WrittenValue[]);
      case 'stop':
        return host.stop(name);
      case 'remove':
        return host.remove(name, message.options as RemoveOptions);
      case 'export': {
        const archive = await host.export(name, message.keep === true);
        return this.#connection.sendBytes(FRAME.data, archive);
      }
      case 'files': {
        const found = await host.files(name, String(message.path));
        if (found.kind === 'folder') return found;
        return this.#connection.sendBytes(FRAME.data, found.bytes);
      }
      case 'import':
        return host.import(this.#takeReceived(), message.options as ImportOptions);
      case 'attach':
        return this.#attach(name);
      case 'shutdown':
        this.#shutdown();
        return null;
      default:
        throw new EnvironmentError(
          'control',
          `the owner does not know "${String(message.op)}"`,
          'is it of another version?',
        );
    }
  }

  /** Results are no JSON. Capabilities among them are for nobody: whoever asks cannot use them. */
  async #call(name: string, procedure: string, values: readonly WrittenValue[]): Promise<void> {
    const answer = await this.#host.call(name, procedure, values);
    for (const value of answer.values) {
      if (typeof value === 'object' && 'held' in value && value.held !== null) {
        await this.#host.release(value.held);
      }
    }
    return this.#connection.sendBytes(FRAME.data, Buffer.concat([...encodePlain(answer)]));
  }

  /** The program comes before the request, and behind it its source map. */
  #run(request: RunRequest, mapBytes: number): Promise<DomainSummary> {
    const bytes = this.#takeReceived();
    const split = mapBytes > 0 && mapBytes < bytes.length ? bytes.length - mapBytes : bytes.length;
    const sourceMap = split < bytes.length ? compactMap(bytes.subarray(split)) : undefined;
    return this.#host.run({ ...request, sourceMap }, bytes.subarray(0, split), (text) => {
      this.#connection.send({ event: 'step', text });
    });
  }

  #takeReceived(): Uint8Array {
    const pieces = this.#received;
    this.#received = [];
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  async #attach(name: string): Promise<void> {
    this.#attachment?.detach();
    this.#followed = name;
    this.#attachment = await this.#host.attach(name, async (stderr, bytes) => {
      const taken = new Promise<void>((resolve, reject) => void this.#taken.push({ resolve, reject }));
      taken.catch(() => {});
      await this.#connection.sendBytes(stderr ? FRAME.stderr : FRAME.stdout, bytes);
      await taken;
    });
  }
}
