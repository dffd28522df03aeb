/**
 * A space another process owns, over its control socket: the same interface as a space of our own. `serve.ts` is the
 * other end. Bytes (programs, archives) travel in frames before or beside the request they belong to.
 */
import { EnvironmentError } from '../base/errors.ts';
import { type Connection, connectControl } from './control.ts';
import { decodePlain } from './plain.ts';
import type {
  CallAnswer,
  DomainSummary,
  ExitReport,
  FilesReport,
  ImportOptions,
  Inspection,
  RemoveOptions,
  RunRequest,
  SpaceApi,
  WrittenValue,
} from './types.ts';
import { FRAME } from './wire.ts';

/** Where the streams of a followed program end in this process. */
export interface FollowStreams {
  /** Takes what it wrote; the promise resolves when it is out. */
  output(kind: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void>;
  /** Calls `take` with what is typed, an empty array at its end; returns how to stop that. */
  input(take: (bytes: Uint8Array) => void): () => void;
}

/** An owner that is alive answers much sooner, whatever its programs do. */
const ANSWER_MS = 10_000;

export class RemoteSpace implements SpaceApi {
  readonly #connection: Connection;
  #received: Uint8Array[] = [];
  #step: (text: string) => void = () => {};
  #onExit: (report: ExitReport) => void = () => {};
  #onOutput: (kind: number, bytes: Uint8Array) => void = () => {};

  private constructor(connection: Connection) {
    this.#connection = connection;
    connection.onBytes = (kind, bytes) => {
      if (kind === FRAME.data) this.#received.push(bytes);
      else this.#onOutput(kind, bytes);
    };
    connection.onMessage = (message) => {
      if (message.event === 'step') this.#step(String(message.text));
      if (message.event === 'exit') this.#onExit(message.report as ExitReport);
    };
  }

  /**
   * The space in `folder`, or undefined where no process owns it.
   * @throws EnvironmentError where the owner is there and says nothing: it was stopped, or the machine is.
   */
  static async connect(folder: string): Promise<RemoteSpace | undefined> {
    const connection = await connectControl(folder);
    if (connection === undefined) return undefined;
    const silent = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const hint = "it may be stopped: see the folder's owner.json, and let it go on or kill it";
      silent.reject(new EnvironmentError('owner-silent', `the owner of ${folder} does not answer`, hint));
      connection.close();
    }, ANSWER_MS);
    try {
      await Promise.race([connection.request({ op: 'hello' }), silent.promise]);
    } catch (error) {
      // It went away between listening and answering: then nobody owns the space.
      if (error instanceof EnvironmentError && error.code === 'owner-gone') return undefined;
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return new RemoteSpace(connection);
  }

  async list(): Promise<DomainSummary[]> {
    return (await this.#connection.request({ op: 'list' })) as DomainSummary[];
  }

  async run(request: RunRequest, program: Uint8Array, step: (text: string) => void): Promise<DomainSummary> {
    this.#step = step;
    const { sourceMap, ...wanted } = request;
    await this.#connection.sendBytes(FRAME.data, program);
    if (sourceMap !== undefined) await this.#connection.sendBytes(FRAME.data, sourceMap);
    const mapBytes = sourceMap?.length ?? 0;
    return (await this.#connection.request({ op: 'run', request: wanted, mapBytes })) as DomainSummary;
  }

  async resume(names: readonly string[] | null): Promise<void> {
    await this.#connection.request({ op: 'resume', names });
  }

  async suspend(name: string): Promise<void> {
    await this.#connection.request({ op: 'suspend', name });
  }

  async call(name: string, procedure: string, values: readonly WrittenValue[]): Promise<CallAnswer> {
    this.#received = [];
    await this.#connection.request({ op: 'call', name, procedure, values });
    return decodePlain(Buffer.concat(this.#received.splice(0))) as CallAnswer;
  }

  async inspect(name: string): Promise<Inspection> {
    return (await this.#connection.request({ op: 'inspect', name })) as Inspection;
  }

  async files(name: string, path: string): Promise<FilesReport> {
    this.#received = [];
    const folder = (await this.#connection.request({ op: 'files', name, path })) as FilesReport | null;
    return folder ?? { kind: 'file', bytes: Buffer.concat(this.#received.splice(0)) };
  }

  async stop(name: string): Promise<void> {
    await this.#connection.request({ op: 'stop', name });
  }

  async remove(name: string, options: RemoveOptions): Promise<void> {
    await this.#connection.request({ op: 'remove', name, options });
  }

  async export(name: string, keep: boolean): Promise<Uint8Array> {
    this.#received = [];
    await this.#connection.request({ op: 'export', name, keep });
    return Buffer.concat(this.#received.splice(0));
  }

  async import(archive: Uint8Array, options: ImportOptions): Promise<DomainSummary> {
    await this.#connection.sendBytes(FRAME.data, archive);
    return (await this.#connection.request({ op: 'import', options })) as DomainSummary;
  }

  /** Makes a checkpoint and ends the owner. */
  async shutdown(): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      this.#connection.onClose = resolve;
    });
    await this.#connection.request({ op: 'shutdown' });
    await gone;
  }

  /**
   * Shows what a program writes and lets it read what is typed, until it ends. Rejects with code 'owner-gone' when
   * its process goes away, which says nothing about the program.
   */
  async follow(name: string, streams: FollowStreams): Promise<ExitReport> {
    const ended = new Promise<ExitReport>((resolve, reject) => {
      this.#onExit = resolve;
      this.#connection.onClose = () =>
        reject(new EnvironmentError('owner-gone', 'the process that owns the space went away'));
    });
    ended.catch(() => {});
    let written = Promise.resolve();
    this.#onOutput = (kind, bytes) => {
      written = written
        .then(() => streams.output(kind === FRAME.stderr ? 'stderr' : 'stdout', bytes))
        .then(() => this.#connection.send({ event: 'taken' }));
    };
    await this.#connection.request({ op: 'attach', name });
    const stop = streams.input((bytes) => {
      this.#connection.sendBytes(FRAME.stdin, bytes).catch(() => {});
    });
    try {
      const report = await ended;
      await written;
      return report;
    } finally {
      stop();
    }
  }

  async close(): Promise<void> {
    this.#connection.close();
  }
}
