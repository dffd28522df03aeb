/**
 * Perdure as a library: a space in this process, its programs, and their ends.
 *
 *     import { Space } from 'perdure';
 *
 *     await using space = await Space.open('my-space');
 *     const program = await readFile('hello.wasm');
 *     const domain = await space.spawn(program, { arguments: ['hello'], stdout: (bytes) => { ... } });
 *     const { exitCode } = await domain.ended();
 *
 * Kill this process at any moment; `Space.open` on the same folder goes on with every program from where it was. Every
 * promise here resolves when what it tells is durable, so what you have been told stays true.
 *
 * Errors are classes with a `code`: `EnvironmentError` for what cannot be done (its codes are `ENVIRONMENT_CODES`, its
 * `hint` is for people), `MalformedError`, `UnsupportedError` and `RefusedError` (with a byte offset) for programs and
 * archives that are refused, `TrapError` for programs that were ended. An `AssertionError` is a bug of Perdure. What
 * programs see of their own mistakes is numbers, `ERRNO`. One process opens a space at a time.
 */
import { resolve } from 'node:path';
import { EnvironmentError } from './base/errors.ts';
import { type Attachment, Host } from './cli/host.ts';
import type {
  CallFrame,
  DirGrant,
  DomainSummary,
  ExitReport,
  FilesReport,
  GrantName,
  Inspection,
  Isolation,
  RemoveOptions,
} from './cli/types.ts';
import { compactMap } from './debug/index.ts';

export { ERRNO, type Errno, errnoName } from './abi/errno.ts';
export { AssertionError } from './base/assert.ts';
export { ENVIRONMENT_CODES, type EnvironmentCode } from './base/codes.ts';
export { EnvironmentError, MalformedError, RefusedError, UnsupportedError } from './base/errors.ts';
export type {
  CallFrame,
  DirGrant,
  DomainState,
  DomainSummary,
  ExitReport,
  FilesReport,
  FrameReport,
  GrantName,
  Inspection,
  Isolation,
  RemoveOptions,
  ValueReport,
} from './cli/types.ts';

/** How a space is opened. */
export interface SpaceOptions {
  /** Make the space where the folder is missing or empty. Default true. */
  readonly create?: boolean;
  /** Which programs go on at once: all of them (the default), those spawned as detached, or none. */
  readonly resume?: 'all' | 'detached' | 'none';
  /** The most running time a crash can take back, ms. Default 1000; output and answers never wait for it. */
  readonly checkpointEveryMs?: number;
  /** What becomes of output to a pipe or callback whose fate a crash has made unknown. Default 'at-least-once'. */
  readonly output?: 'at-least-once' | 'at-most-once';
  /** Only look at the last checkpoint; another process may own the space. Nothing runs, nothing can be changed. */
  readonly readOnly?: boolean;
  /** Told in one line what people should know, such as a full disk. */
  readonly problem?: (text: string) => void;
}

/** What a program is started with. What is not given here it does not have. */
export interface SpawnOptions {
  /** Default 'program'; a number is added where it is taken. */
  readonly name?: string;
  /** The program's name first. */
  readonly arguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Folders of the host. `host` is a path of this process, `guest` an absolute one of the program. */
  readonly dirs?: readonly DirGrant[];
  /** Addresses (`HOST:PORT`, `unix:PATH`) of sockets it is given: listening ones, then connected ones. */
  readonly listen?: readonly string[];
  readonly connect?: readonly string[];
  /** Most memory, bytes. Default 1 GiB. */
  readonly memoryLimitBytes?: number;
  /** Most processor time, ms. Default no limit. */
  readonly cpuLimitMs?: number;
  /** It ends with this process and is in no checkpoint. */
  readonly volatile?: boolean;
  /** See SpaceOptions.resume. */
  readonly detached?: boolean;
  /** Unknown imports trap when called, instead of being refused. */
  readonly trapUnknownImports?: boolean;
  /** What else it is given: the compiler, with which it can make code at run time (README). */
  readonly grants?: readonly GrantName[];
  /**
   * What keeps it in: its checked code, in this process with others ('space', the default), or a process of its own as
   * well ('process').
   */
  readonly isolation?: Isolation;
  /** The program's source map (JSON), for call stacks; kept with the program. One with DWARF needs none. */
  readonly sourceMap?: Uint8Array;
  readonly stdout?: OutputCallback;
  readonly stderr?: OutputCallback;
}

/** Takes what a program wrote, once that is durable. The next piece comes when it (or its promise) has returned. */
export type OutputCallback = (bytes: Uint8Array) => void | Promise<void>;

/** A program that has been compiled and verified, and is kept in the space. */
export interface Program {
  /** SHA-256 of its bytes, hexadecimal. */
  readonly hash: string;
  readonly bytes: Uint8Array;
}

/** A space, open in this process. */
export class Space implements AsyncDisposable {
  readonly folder: string;
  readonly #host: Host;
  readonly #ends = new Map<number, ExitReport>();
  readonly #waiting = new Map<number, Set<PromiseWithResolvers<ExitReport>>>();
  #idle: PromiseWithResolvers<void>[] = [];

  private constructor(host: Host, options: SpaceOptions) {
    this.folder = host.folder;
    this.#host = host;
    host.events.problem = options.problem ?? (() => {});
    host.events.exit = (report) => {
      this.#ends.set(report.id, report);
      for (const waiter of this.#waiting.get(report.id) ?? []) waiter.resolve(report);
      this.#waiting.delete(report.id);
    };
    host.events.idle = () => {
      for (const waiter of this.#idle.splice(0)) waiter.resolve();
    };
    host.events.lost = (error) => this.#fail(error);
  }

  /**
   * Opens the space in a folder, and goes on with its programs.
   * @throws EnvironmentError store-missing, store-foreign, store-damaged, store-newer, store-busy (it says who has it)
   */
  static async open(folder: string, options: SpaceOptions = {}): Promise<Space> {
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

  /** Compiles and verifies a program, unless the space has it. @throws MalformedError, UnsupportedError */
  async install(bytes: Uint8Array): Promise<Program> {
    const { hash } = await this.#host.install(bytes, false, () => {});
    return { hash, bytes };
  }

  /** Starts a program. @throws as `install`; EnvironmentError unknown-imports, name-taken, space-full */
  async spawn(program: Program | Uint8Array, options: SpawnOptions = {}): Promise<Domain> {
    const name = options.name ?? 'program';
    const summary = await this.#host.run(
      {
        name,
        exact: options.name !== undefined,
        arguments: options.arguments ?? [name],
        environment: Object.entries(options.environment ?? {}).map(([key, value]) => `${key}=${value}`),
        dirs: (options.dirs ?? []).map((dir) => ({ ...dir, host: resolve(dir.host) })),
        listen: options.listen ?? [],
        connect: options.connect ?? [],
        memoryLimitBytes: options.memoryLimitBytes ?? null,
        cpuLimitMs: options.cpuLimitMs ?? null,
        detached: options.detached ?? false,
        volatile: options.volatile ?? false,
        trapUnknownImports: options.trapUnknownImports ?? false,
        grants: options.grants ?? [],
        isolation: options.isolation ?? 'space',
        ...(options.sourceMap === undefined ? {} : { sourceMap: compactMap(options.sourceMap) }),
      },
      program instanceof Uint8Array ? program : program.bytes,
      () => {},
    );
    const domain = this.#domain(summary);
    if (options.stdout !== undefined || options.stderr !== undefined) {
      await domain.follow(options.stdout ?? (() => {}), options.stderr ?? (() => {}));
    }
    return domain;
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

  /** Takes in what `Domain.export` gave, here or elsewhere; it goes on at once. @throws MalformedError */
  async import(
    archive: Uint8Array,
    name?: string,
    dirs: readonly DirGrant[] = [],
    isolation: Isolation = 'space',
    grants: readonly GrantName[] = [],
  ): Promise<Domain> {
    const options = { name: name ?? null, dirs, grants, isolation };
    return this.#domain(await this.#host.import(archive, options));
  }

  /** Makes everything that happened so far durable. Resolves to the number of the checkpoint that holds it. */
  checkpoint(): Promise<number> {
    return this.#host.checkpoint();
  }

  /** Resolves when no program is left that could go on. */
  idle(): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    this.#idle.push(waiter);
    this.#host.tellIdle();
    return waiter.promise;
  }

  /** Suspends every program where it is, durably, and lets the folder go. */
  async close(): Promise<void> {
    await this.#host.close();
    this.#fail(new EnvironmentError('closed', `the space in ${this.folder} was closed`));
  }

  /** The same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #domain(summary: DomainSummary): Domain {
    return new Domain(this.#host, summary.id, summary.name, () => this.#ended(summary));
  }

  async #ended({ id, name }: DomainSummary): Promise<ExitReport> {
    const waiter = Promise.withResolvers<ExitReport>();
    const waiters = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiters.add(waiter));
    const known = this.#ends.get(id);
    if (known !== undefined) return known;
    // It may have ended in an earlier process.
    const domain = (await this.list()).find((other) => other.id === id);
    if (domain === undefined) throw new EnvironmentError('no-such-domain', `${name} was removed`);
    if (domain.state === 'exited') {
      const { stack, omitted, omittedAt } = await this.#host.inspect(name);
      // What has ended has no values left to be told.
      const frames = stack.map(({ locals, operands, ...frame }): CallFrame => frame);
      return { id, name, exitCode: domain.exitCode ?? 0, reason: domain.reason, frames, omitted, omittedAt };
    }
    return waiter.promise;
  }

  #fail(error: Error): void {
    for (const waiters of this.#waiting.values()) {
      for (const waiter of waiters) {
        waiter.promise.catch(() => {});
        waiter.reject(error);
      }
    }
    for (const waiter of this.#idle.splice(0)) {
      waiter.promise.catch(() => {});
      waiter.reject(error);
    }
    this.#waiting.clear();
  }
}

/**
 * A program was ended before it ended itself: by a trap, an uncaught exception, a limit, or a stop. The message says why,
 * and `report.frames` where: its own call stack, with source lines where it carries them.
 */
export class TrapError extends Error {
  override name = 'TrapError';
  readonly code = 'trap';
  readonly report: ExitReport;
  constructor(report: ExitReport) {
    super(`${report.name}: ${report.reason}`);
    this.report = report;
  }
  /** Innermost first. */
  get frames(): readonly CallFrame[] {
    return this.report.frames;
  }
}

/** A program in a space. The object is only a handle: keep it, lose it, get another by name. */
export class Domain {
  readonly id: number;
  readonly name: string;
  /** How it ended, when it has, and everything it wrote is out. Rejects when the space is closed before. */
  readonly ended: () => Promise<ExitReport>;
  readonly #host: Host;
  #attachment: Attachment | undefined;

  /** @internal */
  constructor(host: Host, id: number, name: string, ended: () => Promise<ExitReport>) {
    this.#host = host;
    this.id = id;
    this.name = name;
    this.ended = ended;
  }

  /** Its exit code, when it has ended by itself. @throws TrapError where it was ended; rejects as `ended` */
  async finished(): Promise<number> {
    const report = await this.ended();
    if (report.reason !== null) throw new TrapError(report);
    return report.exitCode;
  }

  /** Takes what it writes, beginning with what nobody has taken yet. One at a time; a second call replaces the first. */
  async follow(stdout: OutputCallback, stderr: OutputCallback = stdout): Promise<void> {
    this.unfollow();
    this.#attachment = await this.#host.attach(this.name, async (isError, bytes) => {
      await (isError ? stderr : stdout)(bytes);
    });
  }

  /** What it writes from now on stays in the space until somebody takes it. */
  unfollow(): void {
    this.#attachment?.detach();
    this.#attachment = undefined;
  }

  /** Feeds its standard input, once it is followed. */
  write(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#followed().input(bytes);
  }

  /** Ends its standard input. */
  endInput(): void {
    this.#followed().input(new Uint8Array(0));
  }

  #followed(): Attachment {
    if (this.#attachment !== undefined) return this.#attachment;
    throw new EnvironmentError('not-followed', `${this.name} is not followed`, 'call follow() first');
  }

  /** State, memory and call stack, in terms of the program as it was shipped. */
  inspect(): Promise<Inspection> {
    return this.#host.inspect(this.name);
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
  export(keep = false): Promise<Uint8Array> {
    return this.#host.export(this.name, keep);
  }
}
