/** A space in this process: opening, programs, their ends, events. */
import { resolve } from 'node:path';
import { EnvironmentError } from '../base/errors.ts';
import { NODE_NEEDED } from '../base/limits.ts';
import { Host } from '../cli/host.ts';
import type {
  CallFrame,
  DirGrant,
  DomainSummary,
  ExitReport,
  ImportGrant,
  MapGrant,
  RunRequest,
  SpaceEvent,
} from '../cli/types.ts';
import { compactMap } from '../debug/index.ts';
import { apart, checkBytes } from './bytes.ts';
import { Capability, type Grant, type Grantable, importOf, SOURCE, sourceFrom } from './capability.ts';
import { Domain, type DomainHost } from './domain.ts';
import { type EventOptions, EventStream } from './events.ts';
import type {
  ImportOptions,
  InstallOptions,
  Mappable,
  Program,
  SpaceOptions,
  SpawnOptions,
} from './options.ts';
import { Segment } from './segment.ts';
import { Served, type ServeOptions } from './serve.ts';
import type { ServedObject } from './served-object.ts';
import { type Abortable, unlessAborted, Waiters } from './signal.ts';

/** How many ends of programs are remembered that nobody has asked for; the space itself has those of all it holds. */
const ENDS_KEPT = 1024;

/** A space, open in this process. */
export class Space implements AsyncDisposable {
  /** Where it lies, absolute. */
  readonly folder: string;
  readonly #host: Host;
  readonly #ends = new Map<number, ExitReport>();
  readonly #ended = new Waiters<number, ExitReport>();
  readonly #idle = new Waiters<'idle', void>();
  readonly #streams = new Map<EventStream, (event: SpaceEvent) => boolean>();
  readonly #forDomains: DomainHost;
  #over: Error | undefined;

  private constructor(host: Host, options: SpaceOptions) {
    this.folder = host.folder;
    this.#host = host;
    this.#forDomains = {
      host,
      ended: (id, name, signal) => this.#end(id, name, signal),
      events: (wanted, of) =>
        this.#follow(wanted, (event) => event.kind !== 'ended' && 'id' in event && of(event.id)),
    };
    host.events.problem = options.problem ?? (() => {});
    host.events.exit = (report) => {
      this.#ends.delete(report.id);
      this.#ends.set(report.id, report);
      if (this.#ends.size > ENDS_KEPT) this.#ends.delete(this.#ends.keys().next().value!);
      this.#ended.resolve(report.id, report);
    };
    host.events.idle = () => this.#idle.resolve('idle', undefined);
    host.events.happened = (event) => {
      for (const [stream, wanted] of [...this.#streams]) if (wanted(event)) stream.push(event);
      if (event.kind === 'removed') this.#ended.reject(event.id, wasRemoved(event.name));
    };
    host.events.lost = (error) => this.#fail(error, true);
  }

  /**
   * Opens the space in a folder, and goes on with its programs.
   * @throws EnvironmentError old-node, store-missing, store-foreign, store-damaged, store-newer, store-busy (it says who has it)
   */
  static async open(folder: string, options: SpaceOptions = {}): Promise<Space> {
    if (Number.parseInt(process.versions.node, 10) < NODE_NEEDED) {
      const hint = `npm install node@${NODE_NEEDED} brings one`;
      throw new EnvironmentError(
        'old-node',
        `Perdure needs Node ${NODE_NEEDED} or later, and this is ${process.versions.node}`,
        hint,
      );
    }
    const host = await Host.open({
      folder: resolve(folder),
      create: options.create ?? true,
      resume: options.resume ?? 'all',
      readOnly: options.readOnly ?? false,
      policy: options.output ?? 'at-least-once',
      checkpointEveryMs: options.checkpointEveryMs ?? 1000,
    });
    return new Space(host, options);
  }

  /**
   * Compiles and verifies a program, unless the space has it. Aborted, the compiler is stopped.
   * @throws MalformedError, UnsupportedError, RefusedError
   */
  async install(bytes: Uint8Array, { signal, windows = false }: InstallOptions = {}): Promise<Program> {
    checkBytes(bytes);
    const form = windows ? 'windows' : 'space';
    const { hash } = await this.#host.install(bytes, form, () => {}, undefined, signal);
    return { hash, bytes };
  }

  /**
   * Starts a program. Aborted before it resolves, no program is left; from then on the signal means nothing: programs live
   * longer than processes, so what ends one is `Domain.stop`.
   * @throws as `install`; EnvironmentError unknown-imports, name-taken, space-full
   */
  async spawn(program: Program | Uint8Array, options: SpawnOptions = {}): Promise<Domain> {
    const bytes = program instanceof Uint8Array ? program : program.bytes;
    for (const callback of [options.stdout, options.stderr]) checkCallback(callback);
    checkBytes(bytes);
    const summary = await this.#host.run(requestOf(options), bytes, () => {}, false, options.signal);
    const domain = this.#domain(summary);
    if (options.stdout !== undefined || options.stderr !== undefined) {
      await domain.follow(options.stdout ?? (() => {}), options.stderr ?? (() => {}));
    }
    return this.#unlessAborted(options.signal, domain);
  }

  /** A program that has come; none, where the signal was aborted meanwhile. */
  async #unlessAborted(signal: AbortSignal | undefined, domain: Domain): Promise<Domain> {
    if (!signal?.aborted) return domain;
    // Its folder may be older than it.
    await domain.remove({ force: true, keepFiles: true });
    throw signal.reason;
  }

  /** The program with this name. @throws EnvironmentError no-such-domain */
  async get(name: string): Promise<Domain> {
    const summary = (await this.list()).find((domain) => domain.name === name);
    if (summary !== undefined) return this.#domain(summary);
    throw new EnvironmentError('no-such-domain', `there is no program called ${name}`);
  }

  /** All programs of the space, those included that have ended. */
  list(): Promise<DomainSummary[]> {
    return this.#host.list();
  }

  /**
   * Takes in what `Domain.export` gave, here or elsewhere; it goes on at once. Aborted before it resolves, no program is left.
   * @throws MalformedError; EnvironmentError archive-newer, no-such-folder; and as `spawn`
   */
  async import(archive: Uint8Array, options: ImportOptions = {}): Promise<Domain> {
    const { name = null, dirs = [], grants = [], imports = {}, isolation = 'space', signal } = options;
    checkBytes(archive);
    const wanted = { name, dirs: dirsOf(dirs), grants, imports: importsOf(imports), isolation };
    return this.#unlessAborted(signal, this.#domain(await this.#host.import(archive, wanted, signal)));
  }

  /**
   * Serves an object: what programs ask of it, the functions of `object` answer. Its name is how the space knows it over
   * restarts: serve it again when the space is opened again, and what waits for it goes on. A request comes when the
   * checkpoint that holds it is durable; an answer is not given twice, but after a crash a request may come again.
   * @throws EnvironmentError name-taken: this process serves it already; bad-name
   */
  async serve(name: string, object: ServedObject, options: ServeOptions = {}): Promise<Served> {
    if (typeof object !== 'object' || object === null) {
      throw new EnvironmentError('bad-argument', 'what is served is an object');
    }
    return Served.begin(this.#host, name, object, options);
  }

  /** New shared memory: so many bytes of zeros, or a copy of these bytes. It is nobody's charge. @throws EnvironmentError space-full */
  segment(init: number | Uint8Array): Promise<Segment> {
    return Segment.make(this.#host, init);
  }

  /** Holds a capability to something, to be derived from and revoked. */
  async hold(what: Grantable): Promise<Capability> {
    return Capability.of(this.#host, sourceFrom(what), {});
  }

  /** The capability that a sturdy reference stands for. @throws EnvironmentError where that is nothing, or not any more */
  restore(text: string): Promise<Capability> {
    return Capability.of(this.#host, { kind: 'sturdy', text });
  }

  /** Ends a sturdy reference; what was restored from it stays. @throws EnvironmentError where there is none */
  forget(text: string): Promise<void> {
    return this.#host.forget(text);
  }

  /** Makes everything that happened so far durable. Resolves to the number of the checkpoint that holds it. */
  checkpoint({ signal }: Abortable = {}): Promise<number> {
    return unlessAborted(signal, this.#host.checkpoint());
  }

  /** Resolves when no program is left that could go on. */
  idle({ signal }: Abortable = {}): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const idle = this.#idle.wait('idle', signal);
    this.#host.tellIdle();
    return idle;
  }

  /** What happens in the space from now on, as `for await` takes it; see `EventStream` for what becomes of a slow reader. */
  events(options: EventOptions = {}): EventStream {
    return this.#follow(options, () => true);
  }

  /** Suspends every program where it is, durably, and lets the folder go. */
  async close(): Promise<void> {
    await this.#host.close();
    this.#fail(new EnvironmentError('closed', `the space in ${this.folder} was closed`), false);
  }

  /** The same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #domain(summary: DomainSummary): Domain {
    return new Domain(this.#forDomains, summary.id, summary.name);
  }

  #follow(options: EventOptions, wanted: (event: SpaceEvent) => boolean): EventStream {
    const stream = new EventStream(options);
    if (this.#over !== undefined) {
      stream.end();
      return stream;
    }
    this.#streams.set(stream, wanted);
    stream.whenOver(() => this.#streams.delete(stream));
    return stream;
  }

  async #end(id: number, name: string, signal: AbortSignal | undefined): Promise<ExitReport> {
    signal?.throwIfAborted();
    const told = this.#ends.get(id);
    if (told !== undefined) return told;
    if (this.#over !== undefined) throw this.#over;
    const known = new AbortController();
    const signals = signal === undefined ? known.signal : AbortSignal.any([signal, known.signal]);
    const coming = this.#ended.wait(id, signals);
    coming.catch(() => {});
    try {
      return await Promise.race([coming, unlessAborted(signal, this.#endedBefore(id, name, coming))]);
    } finally {
      known.abort();
    }
  }

  /** It may have ended in an earlier process. */
  async #endedBefore(id: number, name: string, coming: Promise<ExitReport>): Promise<ExitReport> {
    const domain = (await this.list()).find((other) => other.id === id);
    if (domain === undefined) throw wasRemoved(name);
    if (domain.state !== 'exited') return coming;
    const { stack, omitted, omittedAt } = await this.#host.inspect(name);
    // What has ended has no values left to be told.
    const frames = stack.map(({ locals, operands, ...frame }): CallFrame => frame);
    return { id, name, exitCode: domain.exitCode ?? 0, reason: domain.reason, frames, omitted, omittedAt };
  }

  /** Nothing more comes of this space. */
  #fail(error: Error, bug: boolean): void {
    this.#over ??= error;
    this.#ended.rejectAll(error);
    this.#idle.rejectAll(error);
    for (const stream of [...this.#streams.keys()]) stream.end(bug ? error : undefined);
  }
}

function checkCallback(callback: unknown): void {
  if (callback === undefined || typeof callback === 'function') return;
  throw new EnvironmentError('bad-argument', 'what takes output is a function');
}

function wasRemoved(name: string): EnvironmentError {
  return new EnvironmentError('no-such-domain', `${name} was removed`);
}

const importsOf = (imports: Readonly<Record<string, Grant>>): ImportGrant[] =>
  Object.entries(imports).map(([name, grant]) => importOf(name, grant));

function variableOf([key, value]: [string, string]): string {
  if (!key.includes('=')) return `${key}=${value}`;
  throw new EnvironmentError('bad-argument', `environment: a name cannot have "=" in it: ${key}`);
}

/** Paths of the host as this process means them. */
const dirsOf = (dirs: readonly DirGrant[]): DirGrant[] =>
  dirs.map((dir) => ({ ...dir, host: typeof dir.host === 'string' ? resolve(dir.host) : dir.host }));

function mapOf(name: string, what: Mappable): MapGrant {
  const given = typeof what === 'object' && what !== null && 'of' in what ? what : { of: what };
  const { of, readOnly = false } = given;
  if (typeof of === 'number') return { name, from: { kind: 'zeros', bytes: of }, readOnly };
  if (of instanceof Uint8Array) return { name, from: { kind: 'bytes', bytes: apart(of) }, readOnly };
  if (typeof of !== 'object' || of === null || !(SOURCE in of)) {
    throw new EnvironmentError('bad-argument', `"${name}": ${String(of)} cannot be mapped`);
  }
  return { name, from: { kind: 'segment', from: of[SOURCE] }, readOnly };
}

function requestOf(options: SpawnOptions): RunRequest {
  const name = options.name ?? 'program';
  return {
    name,
    exact: options.name !== undefined,
    arguments: options.arguments ?? [name],
    environment: Object.entries(options.environment ?? {}).map(variableOf),
    dirs: dirsOf(options.dirs ?? []),
    listen: options.listen ?? [],
    connect: options.connect ?? [],
    memoryLimitBytes: options.memoryLimitBytes ?? null,
    outboxLimitBytes: options.outboxLimitBytes ?? null,
    cpuLimitMs: options.cpuLimitMs ?? null,
    detached: options.detached ?? false,
    volatile: options.volatile ?? false,
    trapUnknownImports: options.trapUnknownImports ?? false,
    grants: options.grants ?? [],
    imports: importsOf(options.imports ?? {}),
    maps: Object.entries(options.map ?? {}).map(([name, what]) => mapOf(name, what)),
    isolation: options.isolation ?? 'space',
    ...(options.sourceMap === undefined ? {} : { sourceMap: compactMap(options.sourceMap) }),
  };
}
