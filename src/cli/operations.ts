/**
 * What can be asked of a core, on the core's thread. Every operation leaves the space in order when it throws, and its
 * answer waits for the checkpoint that holds what it did (`core.ts` sees to that).
 */
import { EnvironmentError } from '../base/errors.ts';
import { type InputFlow, openInput } from '../drivers/input.ts';
import { openSinkPair, type Sink } from '../drivers/sink.ts';
import type { DomainStatus } from '../kernel/kernel.ts';
import type { LoadedModule } from '../kernel/program.ts';
import { SpaceFullError } from '../space/index.ts';
import { Arrivals } from './arrivals.ts';
import { Asleep } from './asleep.ts';
import { CARRIED_VERSION, type CarriedAbout } from './carry.ts';
import type { Composition } from './compose.ts';
import { Holdings } from './holdings.ts';
import { HostCalls } from './hostcalls.ts';
import { mappingsOf } from './mappings.ts';
import type { CoreStart, InstalledProgram } from './messages.ts';
import { encodePlain } from './plain.ts';
import { callFrame, crossings, stackReport } from './reports.ts';
import { exitCodeOf, readArguments, reasonOf, shortened } from './summaries.ts';
import { readHome, removeHome } from './treefiles.ts';
import type {
  CallAnswer,
  CallValue,
  DomainState,
  DomainSummary,
  ExitReport,
  FilesReport,
  Inspection,
  RunRequest,
  SpaceEvent,
} from './types.ts';

/** States of domains that do nothing now: they wait for something, or to be called. */
const RESTING: readonly string[] = ['blocked', 'created', 'idle'];

/** A client that follows a domain, on the core's side. */
export interface CoreClient {
  readonly sink: (stderr: boolean) => Sink;
  readonly input: InputFlow;
}

/** How a client that follows a domain stops: `unfeed` ends its input, `detach` then its output. */
export interface CoreAttachment {
  readonly unfeed: () => void;
  readonly detach: () => void;
}

export class Operations {
  /** How domains come. */
  readonly arrivals: Arrivals;
  /** Capabilities that the owner has and grants. */
  readonly holdings: Holdings;
  /** Calls of procedures by the owner that are waited for. */
  readonly calls: HostCalls;
  readonly #c: Composition;
  readonly #start: CoreStart;
  readonly #happened: (event: SpaceEvent) => void;
  readonly #asleep = new Asleep();
  /** Names of domains that have been told of. */
  readonly #names = new Map<number, string>();
  /** Arguments of domains, for people; ended domains have them nowhere else. */
  readonly #arguments = new Map<number, readonly string[]>();

  /** @param happened is told what operations have done to domains; it is not durable then */
  constructor(
    composition: Composition,
    start: CoreStart,
    programs: Map<string, LoadedModule>,
    happened: (event: SpaceEvent) => void,
  ) {
    this.#happened = happened;
    this.#c = composition;
    this.holdings = new Holdings(composition.kernel, composition.state, composition.served);
    this.calls = new HostCalls(composition.kernel, this.holdings);
    this.arrivals = new Arrivals(composition, this.holdings, programs, {
      begun: (id, name, args) => {
        this.#arguments.set(id, args);
        this.#begun(id, name);
      },
      dropped: (id) => this.dropped(id),
    });
    this.#start = start;
    for (const { id, state, arguments: args } of start.domains) {
      if (state === 'exited') this.#arguments.set(id, args);
    }
  }

  /** After opening: who goes on, and whose streams are this process's. */
  begin(): void {
    const { kernel, console, folders, network } = this.#c;
    const there = new Set(kernel.ids());
    for (const driver of [console, folders, network]) driver.keepOnly(there);
    if (this.#start.stdio) console.bind(openSinkPair(1, 2));
    const attached: number[] = [];
    for (const id of kernel.ids()) {
      const status = kernel.status(id);
      this.#names.set(id, status.name);
      const goesOn = this.#start.resume === 'all' || (this.#start.resume === 'detached' && status.detached);
      if (!console.has(id)) console.open(id, status.name, { detached: true });
      // What a program has made is named after it.
      const here = goesOn && this.#start.stdio && !status.name.includes('/');
      if (console.isDetached(id) === here) console.setDetached(id, !here);
      if (status.state === 'exited') continue;
      goesOn ? kernel.resume(id) : this.#asleep.put(id, kernel, status);
      if (here) attached.push(id);
    }
    // One program alone gets what is typed; of several, nobody could say which.
    if (attached.length === 1) console.attachInput(attached[0]!, openInput(0));
  }

  /** Makes a domain of a program and starts it. Only one at a time: others must wait for the promise. */
  async spawn(request: RunRequest, installed: InstalledProgram, foreground: boolean): Promise<DomainSummary> {
    const id = await this.arrivals.spawn(request, installed, foreground);
    const { kernel } = this.#c;
    this.#asleep.take(request.imports, kernel).forEach((each) => this.#letGoOn(each));
    return this.summary(id);
  }

  list(): DomainSummary[] {
    return this.#c.kernel.ids().map((id) => this.summary(id));
  }

  /** The domains for the small record beside a checkpoint: without volatile ones, arguments cut short. */
  record(): DomainSummary[] {
    return this.list()
      .filter((domain) => !domain.volatile)
      .map((domain) => ({ ...domain, arguments: shortened(domain.arguments) }));
  }

  summary(id: number): DomainSummary {
    const status = this.#c.kernel.status(id);
    const ended = status.state === 'exited';
    return {
      id,
      name: status.name,
      state: this.#stateOf(status),
      exitCode: ended ? exitCodeOf(status) : null,
      reason: ended ? reasonOf(status) : null,
      cpuMs: Math.round(status.cpuMicros / 1000),
      cpuLimitMs: status.cpuLimitMs === 0 ? null : status.cpuLimitMs,
      memoryBytes: ended ? 0 : status.memoryBytes,
      memoryLimitBytes: status.memoryLimitBytes,
      program: status.hash,
      arguments: this.#argumentsOf(status),
      detached: status.detached,
      volatile: status.volatile,
      isolation: status.enforced ? 'process' : 'space',
      windows: status.windowed,
      idle: status.state === 'created' || status.state === 'idle',
    };
  }

  #stateOf(status: DomainStatus): DomainState {
    if (status.state === 'exited') return 'exited';
    if (status.state === 'stopped' || this.#start.readOnly || this.#start.paused) return 'suspended';
    return RESTING.includes(status.state) ? 'waiting' : 'running';
  }

  #argumentsOf({ id, personalityState }: DomainStatus): readonly string[] {
    const known = this.#arguments.get(id);
    if (known !== undefined) return known;
    if (personalityState === 0) return [];
    const list = readArguments(this.#c.space, personalityState);
    this.#arguments.set(id, list);
    return list;
  }

  exitReport(id: number): ExitReport {
    const { name, exitCode, reason } = this.summary(id);
    const { frames, ...rest } = this.#c.kernel.trace(id);
    return { id, name, exitCode: exitCode ?? 0, reason, frames: frames.map(callFrame), ...rest };
  }

  /** Lets suspended domains go on. */
  resume(names: readonly string[] | null): void {
    const { kernel } = this.#c;
    const ids = names === null ? kernel.ids() : names.map((name) => this.find(name));
    for (const id of ids) this.#letGoOn(id);
  }

  #letGoOn(id: number): void {
    const { kernel } = this.#c;
    const { name } = kernel.status(id);
    if (kernel.resume(id)) this.#happened({ kind: 'resumed', id, name });
  }

  /** Calls a procedure. A program that was left where it was goes on for it. */
  call(name: string, procedure: string, values: readonly CallValue[]): Promise<CallAnswer> {
    const id = this.find(name);
    if (this.#asleep.takes(id)) this.#letGoOn(id);
    return this.calls.call(id, procedure, values);
  }

  suspend(name: string): void {
    this.#hold(this.find(name), name);
  }

  #hold(id: number, name: string): void {
    if (this.#c.kernel.stop(id)) this.#happened({ kind: 'suspended', id, name });
  }

  /** Gives a domain the streams of this process, and lets it go on. */
  foreground(name: string): number {
    const { kernel, console } = this.#c;
    const id = this.find(name);
    console.setDetached(id, false);
    if (kernel.status(id).state !== 'exited') console.attachInput(id, openInput(0));
    this.#letGoOn(id);
    return id;
  }

  /** Takes what a domain writes to a client. Returns its id and how that stops. */
  attach(name: string, client: CoreClient): { id: number } & CoreAttachment {
    const { console, kernel } = this.#c;
    const id = this.find(name);
    const off = console.attachClient(id, { stdout: client.sink(false), stderr: client.sink(true) });
    const fed = kernel.status(id).state !== 'exited' && !console.hasInput(id);
    if (fed) console.attachInput(id, client.input);
    let feeds = fed;
    const unfeed = (): void => {
      if (feeds && console.has(id)) console.detachInput(id);
      feeds = false;
    };
    return { id, unfeed, detach: off };
  }

  stop(name: string): void {
    const id = this.find(name);
    if (this.#c.kernel.status(id).state === 'exited') {
      throw new EnvironmentError('ended', `${name} has ended already`);
    }
    this.#c.kernel.kill(id, 'stopped');
  }

  remove(name: string, force: boolean, keepFiles: boolean): void {
    const id = this.find(name);
    const { state } = this.#c.kernel.status(id);
    if (state !== 'exited' && !force) {
      const hint = `perdure stop ${name} ends it; perdure rm --force ${name} ends and removes it`;
      throw new EnvironmentError('running', `${name} has not ended`, hint);
    }
    this.#c.kernel.remove(id);
    if (!keepFiles) removeHome(this.#c.wasi.tree, name);
  }

  /** A program has made a domain: nothing of it goes to or comes from this process. @throws SpaceFullError */
  made(id: number): void {
    const { kernel, console } = this.#c;
    const { name } = kernel.status(id);
    if (!console.open(id, name, { detached: true })) throw new SpaceFullError(0);
    this.#begun(id, name);
  }

  #begun(id: number, name: string): void {
    this.#names.set(id, name);
    this.#happened({ kind: 'spawned', id, name });
  }

  /** A domain is no more, whoever removed it. */
  dropped(id: number): void {
    const { console, folders, network, served } = this.#c;
    for (const driver of [folders, network, served]) driver.forget(id);
    console.remove(id);
    this.#arguments.delete(id);
    const name = this.#names.get(id);
    if (name !== undefined) this.#happened({ kind: 'removed', id, name });
    this.#names.delete(id);
  }

  files(name: string, path: string): FilesReport {
    return readHome(this.#c.wasi.tree, name, path);
  }

  inspect(name: string, checkpoint: number): Inspection {
    const id = this.find(name);
    const inspected = this.#c.kernel.inspect(id);
    return {
      ...this.summary(id),
      checkpoint,
      ...this.holdings.capabilitiesOf(id),
      mappings: mappingsOf(this.#c.kernel, id),
      account: this.holdings.accountOf(id),
      memories: inspected.memories.map((pages) => ({ bytes: pages * 65536 })),
      ...(inspected.made === undefined ? {} : { made: inspected.made }),
      ...crossings(inspected),
      ...stackReport(inspected),
    };
  }

  /** @throws EnvironmentError naming what there is */
  find(name: string): number {
    const id = this.#c.kernel.find(name);
    if (id >= 0) return id;
    const names = this.#c.kernel.ids().map((other) => this.#c.kernel.status(other).name);
    const hint =
      names.length === 0 ? 'the space is empty' : `there are ${names.slice(0, 8).join(', ')}; see perdure ps`;
    throw new EnvironmentError('no-such-domain', `there is no program called ${name}`, hint);
  }

  /** Whether domains other than this one may write to the console of this process now. */
  othersWrite(id: number): boolean {
    const { kernel, console } = this.#c;
    return kernel.ids().some((other) => {
      const { state } = kernel.status(other);
      return other !== id && state !== 'exited' && state !== 'stopped' && !console.isDetached(other);
    });
  }

  /** A domain's image, encoded, and what it is. Without `keep` it stays suspended here. */
  export(name: string, keep: boolean): { about: CarriedAbout; image: Uint8Array } {
    const { kernel } = this.#c;
    const id = this.find(name);
    // What it does in others would be in the image, and never in a space that is only read.
    if (!this.#start.readOnly) kernel.bringBack(id);
    const image = Buffer.concat([...encodePlain(kernel.exportDomain(id))]);
    if (!keep) this.#hold(id, name);
    const { program, arguments: args, windows } = this.summary(id);
    const about = {
      kind: 'perdure domain',
      version: CARRIED_VERSION,
      name,
      program,
      arguments: args,
    } as const;
    return { about: { ...about, ...(windows ? { windows } : {}) }, image };
  }

  /** Whether anything is left that could go on, deadlines aside: by itself or by what comes in. */
  alive(): boolean {
    const { kernel, console, network, served } = this.#c;
    return kernel.ids().some((id) => {
      const { state } = kernel.status(id);
      if (state === 'exited' || state === 'stopped' || state === 'created' || state === 'idle') return false;
      return state !== 'blocked' || console.hasInput(id) || network.has(id) || served.has(id);
    });
  }
}
