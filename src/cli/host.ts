/**
 * A space hosted by this process: the store on this thread, the core on a worker, checkpoints going from one to the
 * other. `Host.open({ folder, ... })`, then the calls of SpaceApi; `close()` suspends everything durably.
 *
 * An answer comes only when what it tells of is durable, and so does the news that a program ended: what has been
 * heard of stays true over kill -9. Nobody else may write to the store while a host is open.
 */
import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { FLAG_ADDRESS, GRACE_ADDRESS } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { EnvironmentError } from '../base/errors.ts';
import { CORE_STACK_MIB, TICK_MS } from '../base/limits.ts';
import type { ProgramForm } from '../kernel/program.ts';
import { type Carried, packCarried, unpackCarried } from './carry.ts';
import { checkGranted, checkImport, checkRequest } from './check-request.ts';
import { unpackError } from './failure.ts';
import { Followers, type Output } from './followers.ts';
import { FORMS, formFor } from './forms.ts';
import { type Attachment, type HostEvents, type HostOptions, SILENT } from './hosting.ts';
import { installProgram } from './install.ts';
import type {
  CoreStart,
  CutMessage,
  FromCore,
  InstalledProgram,
  SegmentRequest,
  ToCore,
} from './messages.ts';
import { checkName } from './request.ts';
import { pause } from './retries.ts';
import { ServedHere } from './servedhere.ts';
import { type OpenedSpace, openSpaceStore } from './spacestore.ts';
import type {
  CallAnswer,
  CallValue,
  DomainSummary,
  FilesReport,
  GrantSource,
  ImportGrant,
  ImportOptions,
  Inspection,
  Narrowing,
  RemoveOptions,
  RightName,
  RunRequest,
  SpaceApi,
  SpaceEvent,
} from './types.ts';

export class Host implements SpaceApi {
  readonly folder: string;
  readonly events: HostEvents = { ...SILENT };
  readonly #space: OpenedSpace;
  readonly #worker: Worker;
  readonly #asked = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #followers = new Followers((message) => this.#post(message));
  /** What programs ask of this process. */
  readonly served = new ServedHere({
    ask: (op, args) => this.#ask(op, args),
    answer: (id, answer) => {
      if (this.#lost === undefined) this.#post({ kind: 'reply', id, answer });
    },
  });
  readonly #ending = new AbortController();
  #nextId = 1;
  #flag: Int32Array | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #committing: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #lost: Error | undefined;

  private constructor(folder: string, space: OpenedSpace, worker: Worker) {
    this.folder = folder;
    this.#space = space;
    this.#worker = worker;
  }

  /**
   * Opens the space and, by `resume`, lets its programs go on.
   * @throws EnvironmentError where the store refuses: damaged, foreign, newer, owned by another process.
   */
  static async open(options: HostOptions): Promise<Host> {
    const space = await openSpaceStore(options.folder, options);
    const start: CoreStart = {
      id: space.id,
      chunks: space.chunks,
      hashes: space.hashes,
      programs: space.programs,
      domains: space.meta?.domains ?? [],
      released: space.released,
      resume: options.readOnly ? 'none' : options.resume,
      policy: options.policy ?? 'at-least-once',
      checkpointEveryMs: options.checkpointEveryMs ?? 1000,
      stdio: options.stdio ?? false,
      paused: options.paused ?? false,
      readOnly: options.readOnly ?? false,
    };
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./core.${extension}`, import.meta.url), {
      workerData: start,
      // Drivers close what they open; some of it Node's own streams close, which its bookkeeping does not see.
      trackUnmanagedFds: false,
      resourceLimits: { stackSizeMb: CORE_STACK_MIB, maxOldGenerationSizeMb: 4096 },
      transferList: space.chunks.map((chunk) => chunk.data.buffer as ArrayBuffer),
    });
    const host = new Host(options.folder, space, worker);
    try {
      await host.#whenReady();
    } catch (error) {
      await worker.terminate();
      await space.close();
      throw error;
    }
    return host;
  }

  async list(): Promise<DomainSummary[]> {
    return (await this.#ask('list', {})) as DomainSummary[];
  }

  /**
   * @param foreground its streams are this process's
   * @param signal aborted while it is installed: it is not started
   */
  async run(
    request: RunRequest,
    program: Uint8Array,
    step: (text: string) => void,
    foreground = false,
    signal?: AbortSignal,
  ): Promise<DomainSummary> {
    checkRequest(request);
    const { sourceMap, ...wanted } = request;
    const form = formFor(request.isolation, request.maps.length > 0);
    const installed = await this.install(program, form, step, sourceMap, signal);
    signal?.throwIfAborted();
    // What the program writes may come before we hear that it runs.
    step('');
    const args = { request: wanted, program: installed, foreground };
    return (await this.#ask('spawn', args)) as DomainSummary;
  }

  /** The program, compiled and verified: from the store if it was installed before. */
  async install(
    program: Uint8Array,
    form: ProgramForm,
    step: (text: string) => void,
    sourceMap?: Uint8Array,
    signal?: AbortSignal,
  ): Promise<InstalledProgram> {
    const signals = AbortSignal.any([this.#ending.signal, ...(signal === undefined ? [] : [signal])]);
    signals.throwIfAborted();
    const space = this.#space;
    const hash = createHash('sha256').update(program).digest('hex');
    const map = space.getMap(hash) ?? sourceMap;
    if (map !== undefined) await space.putMap(hash, map);
    const known = space.getProgram(hash, form);
    if (known !== undefined) return { ...known, sourceMap: map };
    const installed = { ...(await installProgram(hash, program, form, step, signals)), sourceMap: map };
    await this.#space.putProgram(installed);
    return installed;
  }

  async resume(names: readonly string[] | null): Promise<void> {
    await this.#ask('resume', { names });
  }

  /** Holds a program where it is until it is resumed, in this process or a later one. */
  async suspend(name: string): Promise<void> {
    await this.#ask('suspend', { name });
  }

  /** Gives a program this process's standard streams, and lets it go on. */
  async foreground(name: string): Promise<void> {
    await this.#ask('foreground', { name });
  }

  async inspect(name: string): Promise<Inspection> {
    return (await this.#ask('inspect', { name })) as Inspection;
  }

  async files(name: string, path: string): Promise<FilesReport> {
    return (await this.#ask('files', { name, path })) as FilesReport;
  }

  async stop(name: string): Promise<void> {
    await this.#ask('stop', { name });
  }

  async remove(name: string, options: RemoveOptions): Promise<void> {
    await this.#ask('remove', { name, ...options });
  }

  async export(name: string, keep: boolean): Promise<Uint8Array> {
    const { about, image } = (await this.#ask('export', { name, keep })) as Omit<Carried, 'program'>;
    const installed = FORMS.map((form) => this.#space.getProgram(about.program, form)).find(Boolean);
    assert(installed !== undefined, 'the program of a domain is in the store');
    const sourceMap = this.#space.getMap(about.program);
    return packCarried({ about, image, program: installed.original, sourceMap });
  }

  async import(archive: Uint8Array, options: ImportOptions, signal?: AbortSignal): Promise<DomainSummary> {
    const { name, dirs, grants, imports, isolation } = options;
    checkGranted(options);
    const { about, image, program, sourceMap } = unpackCarried(archive);
    checkName(name ?? about.name);
    const form = formFor(isolation, about.windows === true);
    const installed = await this.install(program, form, () => {}, sourceMap, signal);
    const named = { ...about, name: name ?? about.name };
    const args = { about: named, image, program: installed, dirs, grants, imports };
    return (await this.#ask('import', args)) as DomainSummary;
  }

  /** Gives a program one more capability. */
  async grant(name: string, given: ImportGrant): Promise<void> {
    checkImport(given);
    await this.#ask('grant', { name, given });
  }

  /** Calls a procedure of a program; its results when they are durable. */
  async call(name: string, procedure: string, values: readonly CallValue[]): Promise<CallAnswer> {
    return (await this.#ask('call', { name, procedure, values })) as CallAnswer;
  }

  /** Holds a capability, or one derived of it, until it is released or the space is closed. Its number. */
  async hold(from: GrantSource, narrow?: Narrowing): Promise<number> {
    checkImport({ name: 'a capability', from, rights: narrow?.rights });
    return (await this.#ask('hold', { from, narrow })) as number;
  }

  /** A text that gives a capability back, in this process or another. */
  async sturdy(from: GrantSource, rights?: readonly RightName[]): Promise<string> {
    checkImport({ name: 'a reference', from, rights });
    return (await this.#ask('sturdy', { from, rights })) as string;
  }

  /** Ends such a text. */
  async forget(text: string): Promise<void> {
    await this.#ask('forget', { text });
  }

  /** Does something with a segment: gives the number of a new one, a size, bytes, or nothing. */
  segment(request: SegmentRequest): Promise<unknown> {
    return this.#ask('segment', request);
  }

  /** Ends all other copies of what is held, and what was derived of it. */
  async revoke(id: number): Promise<void> {
    await this.#ask('revoke', { id });
  }

  async release(id: number): Promise<void> {
    await this.#ask('release', { id });
  }

  /** Makes what happened so far durable; the number of the checkpoint that holds it. */
  async checkpoint(): Promise<number> {
    return (await this.#ask('checkpoint', {})) as number;
  }

  /** Asks for the event `idle`, also when it has been told already. */
  tellIdle(): void {
    void this.#ask('idle', {}).catch(() => {});
  }

  /** Shows what a program writes to a client instead of this process's streams. `output` resolves when it is taken. */
  attach(name: string, output: Output): Promise<Attachment> {
    const { client, attachment, forget } = this.#followers.create(this.#nextId++, output);
    return this.#ask('attach', { name, client }).then(
      () => attachment,
      (error: unknown) => {
        forget();
        throw error;
      },
    );
  }

  /** Suspends every program where it is, makes that durable, and lets the space go. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#end(new EnvironmentError('closed', 'the space was closed'));
    try {
      if (this.#lost === undefined) await this.#ask('finish', {});
    } finally {
      clearInterval(this.#ticker);
      await this.#worker.terminate();
      await this.#committing.catch(() => {});
      await this.#space.close();
    }
  }

  #whenReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = this.#worker;
      worker.on('message', (message: FromCore) => {
        if (message.kind === 'ready') {
          this.#flag = new Int32Array(message.memory.buffer);
          resolve();
        } else if (message.kind === 'failed') reject(unpackError(message.error));
        else this.#take(message);
      });
      worker.on('error', (error: Error) => {
        reject(error);
        this.#lose(error);
      });
      worker.on('exit', () => this.#lose(new Error('the core ended')));
    });
  }

  #ask(op: string, args: unknown): Promise<unknown> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#post({ kind: 'ask', id, op, args });
    });
  }

  /** Sends to the core, and asks the code that runs there for a safepoint so that it is heard. */
  #post(message: ToCore): void {
    this.#worker.postMessage(message);
    this.#raise();
  }

  #raise(): void {
    if (this.#flag !== undefined) Atomics.store(this.#flag, FLAG_ADDRESS >> 2, 1);
  }

  /** Asks the code that runs for a safepoint, unless the core wants it left alone for a while. */
  #tick(): void {
    const flag = this.#flag;
    if (flag !== undefined && Atomics.load(flag, GRACE_ADDRESS >> 2) > 0) {
      Atomics.sub(flag, GRACE_ADDRESS >> 2, 1);
    } else {
      this.#raise();
    }
  }

  #take(message: FromCore): void {
    switch (message.kind) {
      case 'answer': {
        const asked = this.#asked.get(message.id);
        this.#asked.delete(message.id);
        if (message.error === undefined) asked?.resolve(message.value);
        else asked?.reject(unpackError(message.error));
        return;
      }
      case 'cut':
        this.#committing = this.#committing
          .then(() => this.#commit(message))
          .catch((error: Error) => this.#lose(error));
        return;
      case 'busy':
        clearInterval(this.#ticker);
        this.#ticker = message.busy ? setInterval(() => this.#tick(), TICK_MS) : undefined;
        return;
      case 'log':
        void this.#log(message.id, message.key, message.position);
        return;
      case 'output':
        void this.#followers.output(message.client, message.stderr, message.bytes);
        return;
      case 'request':
        void this.served.request(message.request);
        return;
      case 'notice':
        this.served.notice(message.notice);
        return;
      case 'event':
        this.#tell(message.event, message.again);
        return;
      default:
    }
  }

  /** Tells what people should know, in one line. */
  problem(text: string): void {
    this.#tell({ kind: 'problem', text });
  }

  #tell(event: SpaceEvent, again = false): void {
    if (event.kind === 'ended') this.events.exit(event.report);
    else if (event.kind === 'idle') this.events.idle();
    else if (event.kind === 'problem') this.events.problem(event.text);
    if (!again) this.events.happened(event);
  }

  /** The commit point: when the store's promise resolves, the checkpoint is durable, and the core is told. */
  async #commit(cut: CutMessage): Promise<void> {
    for (let tried = 0; ; tried++) {
      try {
        await this.#space.commit(cut);
        this.#post({ kind: 'durable', seq: cut.seq });
        this.#tell({ kind: 'checkpoint', number: cut.seq });
        return;
      } catch (error) {
        if (!(error instanceof EnvironmentError) || (this.#closing !== undefined && tried > 0)) throw error;
        if (tried === 0) {
          this.#tell({ kind: 'problem', text: `${error.message}; output waits, and it is tried again` });
        }
        await pause(tried, () => this.#closing !== undefined);
      }
    }
  }

  /** Writes to the release log, until it can be written. */
  async #log(id: number, key: string, position: number): Promise<void> {
    for (let tried = 0; this.#lost === undefined; tried++) {
      try {
        await this.#space.setReleased(key, position);
        this.#post({ kind: 'logged', id });
        return;
      } catch (error) {
        if (!(error instanceof EnvironmentError)) this.#lose(error as Error);
        await pause(tried, () => this.#closing !== undefined);
      }
    }
  }

  /** Nothing more is begun, and what goes on for this process alone is given up. */
  #end(reason: Error): void {
    this.#ending.abort(reason);
    this.served.over(reason);
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return;
    const told = this.#closing === undefined ? error : new EnvironmentError('closed', 'the space was closed');
    this.#lost = told;
    this.#end(told);
    clearInterval(this.#ticker);
    for (const { reject } of this.#asked.values()) reject(told);
    this.#asked.clear();
    if (this.#closing === undefined) this.events.lost(error);
  }
}
