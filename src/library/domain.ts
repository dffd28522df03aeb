/** A program in a space, as whoever embeds the space has it in hand. */
import { EnvironmentError } from '../base/errors.ts';
import type { Host } from '../cli/host.ts';
import type { Attachment } from '../cli/hosting.ts';
import type {
  ExitReport,
  FilesReport,
  GrantSource,
  Inspection,
  RemoveOptions,
  RightName,
} from '../cli/types.ts';
import { apart } from './bytes.ts';
import { type CallArgument, type CallReturn, call, type ProcedureFunction, procedureOf } from './call.ts';
import {
  Capability,
  type DeriveOptions,
  type Grant,
  type Grantable,
  importOf,
  SOURCE,
} from './capability.ts';
import type { EventOptions, EventStream } from './events.ts';
import type { OutputCallback } from './options.ts';
import { type Abortable, unlessAborted } from './signal.ts';
import { TrapError } from './trap.ts';

/** What a handle needs of its space. */
export interface DomainHost {
  readonly host: Host;
  /** How the domain ended, when it has. */
  ended(id: number, name: string, signal?: AbortSignal): Promise<ExitReport>;
  /** Events of the space from now on, but for ends, of which `wanted` is true. */
  events(options: EventOptions, wanted: (id: number) => boolean): EventStream;
}

/** Following a program: what it writes is taken, and its standard input can be fed, until this is stopped. */
export class Following implements Disposable {
  readonly #attachment: Attachment;
  readonly #signal: AbortSignal | undefined;
  #stopped = false;

  /** @internal */
  constructor(attachment: Attachment, signal: AbortSignal | undefined) {
    this.#attachment = attachment;
    this.#signal = signal;
    if (signal?.aborted) this.stop();
    else signal?.addEventListener('abort', this.stop);
  }

  /** Feeds its standard input. */
  write(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#fed().input(apart(bytes));
  }

  /** Ends its standard input. */
  endInput(): void {
    this.#fed().input(new Uint8Array(0));
  }

  /** What it writes from now on stays in the space until somebody takes it. */
  readonly stop = (): void => {
    this.#stopped = true;
    this.#signal?.removeEventListener('abort', this.stop);
    this.#attachment.detach();
  };

  /** The same as `stop`. */
  [Symbol.dispose](): void {
    this.stop();
  }

  #fed(): Attachment {
    if (!this.#stopped) return this.#attachment;
    throw new EnvironmentError('not-followed', 'the program is not followed any more', 'call follow() first');
  }
}

/**
 * A program in a space. The object is only a handle: keep it, lose it, get another by name. Disposing it ends what it
 * follows; the program goes on.
 */
export class Domain implements Grantable, Disposable {
  /** Its number; never used again in its space. */
  readonly id: number;
  readonly name: string;
  readonly #space: DomainHost;
  readonly #host: Host;
  #following: Following | undefined;

  /** @internal */
  get [SOURCE](): GrantSource {
    return { kind: 'domain', name: this.name };
  }

  /** @internal */
  constructor(space: DomainHost, id: number, name: string) {
    this.#space = space;
    this.#host = space.host;
    this.id = id;
    this.name = name;
  }

  /**
   * How it ended, when it has, and everything it wrote is out.
   * @throws EnvironmentError closed: the space was closed before; no-such-domain: it was removed before
   */
  ended({ signal }: Abortable = {}): Promise<ExitReport> {
    return this.#space.ended(this.id, this.name, signal);
  }

  /** Its exit code, when it has ended by itself. @throws TrapError where it was ended; and as `ended` */
  async finished(options: Abortable = {}): Promise<number> {
    const report = await this.ended(options);
    if (report.reason !== null) throw new TrapError(report);
    return report.exitCode;
  }

  /**
   * What happens to it from now on. The last is its end, also where it has ended already, or that it is removed.
   * Otherwise as `Space.events`.
   */
  events(options: EventOptions = {}): EventStream {
    const stream = this.#space.events(options, (id) => id === this.id);
    const over = new AbortController();
    stream.whenOver(() => over.abort());
    this.ended({ signal: over.signal }).then(
      (report) => {
        stream.push({ kind: 'ended', id: this.id, name: this.name, report });
        stream.end();
      },
      // It was removed, which has been told; or the space was closed or lost, and so are its streams.
      () => stream.end(),
    );
    return stream;
  }

  /**
   * Takes what it writes, beginning with what nobody has taken yet, until that is stopped or the signal aborted. One at a
   * time: another call replaces the first. A callback that throws is given no more; what it was given counts as not taken, and an event
   * `problem` tells.
   */
  async follow(
    stdout: OutputCallback,
    stderr: OutputCallback = stdout,
    { signal }: Abortable = {},
  ): Promise<Following> {
    signal?.throwIfAborted();
    this.unfollow();
    const attaching = this.#host.attach(this.name, async (isError, bytes) => {
      try {
        await (isError ? stderr : stdout)(bytes);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#host.problem(
          `${this.name}: what takes its output has failed, and is given no more of it: ${why}`,
        );
        throw error;
      }
    });
    const attachment = await unlessAborted(signal, attaching).catch((error: unknown) => {
      attaching.then((late) => late.detach()).catch(() => {});
      throw error;
    });
    this.#following = new Following(attachment, signal);
    return this.#following;
  }

  /** Stops what `follow`, or `spawn` with callbacks, began by this handle. */
  unfollow(): void {
    this.#following?.stop();
    this.#following = undefined;
  }

  /** The same as `unfollow`. */
  [Symbol.dispose](): void {
    this.unfollow();
  }

  /** Feeds its standard input, once it is followed. */
  write(bytes: Uint8Array): void {
    this.#followed().write(bytes);
  }

  /** Ends its standard input. */
  endInput(): void {
    this.#followed().endInput();
  }

  #followed(): Following {
    if (this.#following !== undefined) return this.#following;
    throw new EnvironmentError('not-followed', `${this.name} is not followed`, 'call follow() first');
  }

  /** State, memory and call stack, in terms of the program as it was shipped. */
  inspect(): Promise<Inspection> {
    return this.#host.inspect(this.name);
  }

  /**
   * Gives it one more capability under a name, in the place of the one it had under that name.
   * @throws EnvironmentError no-capability: what is granted was revoked; too-many-grants; bad-name
   */
  async grant(name: string, grant: Grant): Promise<void> {
    await this.#host.grant(this.name, importOf(name, grant));
  }

  /**
   * Calls one of its procedures (what it exports as `gate:NAME`), which runs beside all else. Resolves when the results are
   * durable. Aborted, nobody waits any more; what was called goes on. So it does over a restart: then nobody is told.
   * @throws CallError where the call fails in the program; EnvironmentError no-such-export, bad-argument, ended
   */
  call<R extends CallReturn = CallReturn>(
    procedure: string,
    args: readonly CallArgument[] = [],
    options: Abortable = {},
  ): Promise<R> {
    return call(this.#host, this.name, procedure, args, options) as Promise<R>;
  }

  /**
   * One of its procedures as a function: `const add = domain.procedure<(a: number, b: number) => number>('add')`. It can be
   * granted, too: `spawn(program, { imports: { 'calc.add': add } })`.
   * @typeParam F its type, were it called directly
   */
  procedure<F extends (...args: never[]) => unknown>(procedure: string): ProcedureFunction<F> {
    return procedureOf<F>(this.#host, this.name, procedure);
  }

  /** A capability to it, derived of the one the system has: to be granted to others, and to be taken away from them. */
  capability(options: DeriveOptions = {}): Promise<Capability> {
    return Capability.of(this.#host, this[SOURCE], options);
  }

  /** What it was granted, or has mapped (`SpawnOptions.map`), under a name: to be granted to others, mapped there, or held. */
  granted(name: string): Grantable {
    return { [SOURCE]: { kind: 'granted', name: this.name, as: name } };
  }

  /** A text that gives a capability to it: see `Capability.sturdy`. */
  sturdy(options: { readonly rights?: readonly RightName[] } = {}): Promise<string> {
    return this.#host.sturdy(this[SOURCE], options.rights);
  }

  /** What lies at a path of its own folder: a file's bytes, or a folder's entries. */
  files(path = '/'): Promise<FilesReport> {
    return this.#host.files(this.name, path);
  }

  /** Holds it where it is until `resume`. */
  suspend(): Promise<void> {
    return this.#host.suspend(this.name);
  }

  /** Lets it go on after `suspend`, or where the space was opened without resuming it. */
  resume(): Promise<void> {
    return this.#host.resume([this.name]);
  }

  /** Ends it, with exit code 143. */
  stop(): Promise<void> {
    return this.#host.stop(this.name);
  }

  /** Forgets it, with its files unless they are kept. */
  remove(options: Partial<RemoveOptions> = {}): Promise<void> {
    return this.#host.remove(this.name, { force: false, keepFiles: false, ...options });
  }

  /** The program in the middle of what it does, as one file for `Space.import`. It is suspended here unless `keep`. */
  export({ keep = false }: { readonly keep?: boolean } = {}): Promise<Uint8Array> {
    return this.#host.export(this.name, keep);
  }
}
