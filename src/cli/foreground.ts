/**
 * Commands that show programs in this process's terminal until they end or the user has had enough: run, up, attach.
 *
 * Whoever opens the space first owns it. A second process hands its program to the owner and shows it from there; when
 * the owner goes away, however it does, the process that shows a program takes the space over and the program
 * goes on. So a program is in the foreground of the process that started it, whoever happens to host it.
 */
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import type { Parsed } from './args.ts';
import { becomeBackground, isBackground, startBackground } from './background.ts';
import { Host } from './host.ts';
import type { HostOptions } from './hosting.ts';
import { clean, Progress, paint, say } from './output.ts';
import { RemoteSpace } from './remote.ts';
import { readProgram, runRequest, spaceFolder } from './request.ts';
import { type Served, serveSpace } from './serve.ts';
import { traceLines } from './show.ts';
import { exitCodeOf, onStopSignal, type StopSignal } from './signals.ts';
import { readSourceMap } from './sourcemap.ts';
import { terminalStreams } from './terminal.ts';
import { type DomainSummary, EXIT, type ExitReport, type RunRequest } from './types.ts';
import { parseTime } from './units.ts';

/** Another process may be between taking the space and answering; so long is it asked again, in milliseconds. */
const OWNER_ANSWERS_MS = 5000;
const OWNER_PAUSE_MS = 100;
/** A process in the background ends when it has had nothing to do for so long, in milliseconds. */
const USELESS_MS = 5000;

type Opened = { kind: 'remote'; space: RemoteSpace } | { kind: 'local'; space: Session };

/** A host in the foreground of this process, with its control socket. */
class Session {
  readonly host: Host;
  #served: Served | undefined;
  readonly #ended = new Map<string, ExitReport>();
  readonly #waiting = new Map<string, (report: ExitReport) => void>();
  /** Ends in order. */
  readonly reports: ExitReport[] = [];
  onReport: (report: ExitReport) => void = () => {};
  readonly #shutdown = Promise.withResolvers<'shutdown'>();
  readonly #lost = Promise.withResolvers<never>();
  readonly #idle = Promise.withResolvers<'idle'>();

  private constructor(host: Host) {
    this.host = host;
    this.#lost.promise.catch(() => {});
    host.events.exit = (report) => this.#exited(report);
    host.events.idle = () => this.#idle.resolve('idle');
    host.events.problem = (text) => say(clean(text));
    host.events.lost = (error) => this.#lost.reject(error);
  }

  static async open(options: HostOptions): Promise<Session> {
    const session = new Session(await Host.open(options));
    session.#served = await serveSpace(session.host, () => session.#shutdown.resolve('shutdown'));
    return session;
  }

  /** How the program ended; at once if it has. */
  ended(name: string): Promise<ExitReport> {
    const report = this.#ended.get(name);
    if (report !== undefined) return Promise.resolve(report);
    return new Promise((resolve) => void this.#waiting.set(name, resolve));
  }

  /** What comes first: one of these, somebody's `perdure stop`, or the loss of the core (which throws). */
  async first<T>(...others: Promise<T>[]): Promise<T | 'shutdown'> {
    return Promise.race([...others, this.#shutdown.promise, this.#lost.promise]);
  }

  whenIdle(): Promise<'idle'> {
    return this.#idle.promise;
  }

  /** Nothing has gone on and nobody has been connected for a while: a process in the background has done its work. */
  async whenUseless(): Promise<'idle'> {
    for (let still = 0; still < USELESS_MS; still += USELESS_MS / 5) {
      await new Promise((resolve) => setTimeout(resolve, USELESS_MS / 5));
      const idle = new Promise<'idle'>((resolve) => {
        this.host.events.idle = () => resolve('idle');
      });
      this.host.tellIdle();
      await idle;
      if (this.#served!.clients > 0) still = 0;
    }
    return 'idle';
  }

  async close(): Promise<void> {
    await this.#served?.close();
    await this.host.close();
  }

  #exited(report: ExitReport): void {
    this.reports.push(report);
    this.#ended.set(report.name, report);
    this.#waiting.get(report.name)?.(report);
    this.#waiting.delete(report.name);
    this.onReport(report);
    this.#served?.exited(report);
  }
}

/** The space's owner, or the space itself if it has none. */
async function openOrConnect(options: HostOptions): Promise<Opened> {
  for (let waited = 0; ; waited += OWNER_PAUSE_MS) {
    const remote = await RemoteSpace.connect(options.folder);
    if (remote !== undefined) return { kind: 'remote', space: remote };
    try {
      return { kind: 'local', space: await Session.open(options) };
    } catch (error) {
      const busy = error instanceof EnvironmentError && error.code === 'store-busy';
      if (!busy || waited >= OWNER_ANSWERS_MS) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, OWNER_PAUSE_MS));
  }
}

function hostOptions(parsed: Parsed, resume: HostOptions['resume'], create: boolean): HostOptions {
  const every = parsed.values.get('checkpoint-every');
  const policy = parsed.values.get('output') ?? 'at-least-once';
  if (policy !== 'at-least-once' && policy !== 'at-most-once') {
    throw new EnvironmentError(
      'usage',
      `--output: "${policy}" is no policy`,
      'at-least-once or at-most-once',
    );
  }
  return {
    folder: spaceFolder(parsed),
    create,
    resume,
    policy,
    stdio: !isBackground(),
    ...(every === undefined ? {} : { checkpointEveryMs: parseTime(every, 'checkpoint-every') }),
  };
}

/** Resolves at the first Ctrl-C or its like; a second one ends the process. */
function stopSignal(): { promise: Promise<StopSignal>; off: () => void } {
  const { promise, resolve } = Promise.withResolvers<StopSignal>();
  return { promise, off: onStopSignal(resolve) };
}

export async function runProgram(parsed: Parsed): Promise<number> {
  const plainRequest = runRequest(parsed);
  const program = readProgram(parsed.positionals[0]!);
  const options = hostOptions(parsed, 'none', true);
  const quiet = parsed.flags.has('quiet');
  const tell = (text: string) => quiet || say(clean(text));
  const sourceMap = readSourceMap(parsed.positionals[0]!, program, tell);
  const request = { ...plainRequest, sourceMap };
  const stop = stopSignal();
  const progress = new Progress(!quiet);
  const step = (text: string) =>
    text === '' ? progress.done() : progress.step(`${text} ${clean(request.name)}`);
  if (request.detached) await ensureBackground(options.folder);
  const opened = await openOrConnect(options);
  try {
    const started =
      opened.kind === 'local'
        ? opened.space.host.run(request, program, step, true)
        : opened.space.run(request, program, step);
    const early = await Promise.race([started, stop.promise]);
    progress.done();
    if (typeof early === 'string') {
      await closeOpened(opened);
      return exitCodeOf(early);
    }
    if (request.detached) return await sayDetached(parsed, opened, early);
    return await follow({ parsed, options, opened, name: early.name, stop: stop.promise, request });
  } catch (error) {
    await closeOpened(opened).catch(() => {});
    // The offset is in the message already; which file it is of is known here.
    if (error instanceof MalformedError) {
      throw new MalformedError(`${clean(parsed.positionals[0]!)}: ${error.message}`, -1);
    }
    throw error;
  } finally {
    progress.done();
    stop.off();
  }
}

async function sayDetached(parsed: Parsed, opened: Opened, domain: DomainSummary): Promise<number> {
  if (parsed.flags.has('json')) process.stdout.write(`${JSON.stringify(domain)}\n`);
  else if (!parsed.flags.has('quiet')) {
    say(`${clean(domain.name)} runs in the background; to see it: ${again(parsed, `attach ${domain.name}`)}`);
  }
  await closeOpened(opened);
  return 0;
}

/** A command for the same space, as the user would type it. */
function again(parsed: Parsed, rest: string): string {
  const space = parsed.values.get('space');
  const [command, ...others] = rest.split(' ');
  const option =
    space === undefined ? [] : ['--space', /^[\w@%+=:,./-]+$/.test(space) ? space : `'${space}'`];
  return ['perdure', command, ...option, ...others].join(' ');
}

async function closeOpened(opened: Opened): Promise<void> {
  await opened.space.close();
}

interface Following {
  readonly parsed: Parsed;
  readonly options: HostOptions;
  readonly name: string;
  readonly stop: Promise<StopSignal>;
  readonly request: RunRequest | undefined;
  opened: Opened;
}

/** Shows a program until it ends; takes the space over when its owner goes away meanwhile. */
async function follow(following: Following): Promise<number> {
  for (;;) {
    const { opened } = following;
    try {
      return opened.kind === 'local'
        ? await followHere(following, opened.space)
        : await followThere(following, opened.space);
    } catch (error) {
      if (!(error instanceof EnvironmentError) || error.code !== 'owner-gone') throw error;
    }
    if (following.request?.volatile) {
      throw new EnvironmentError('owner-gone', `${following.name} was volatile and ended with its process`);
    }
    following.opened = await takeOver(following);
  }
}

/** The space again, with the program going on in it. An owner that is just dying may still have answered. */
async function takeOver({ options, name }: Following): Promise<Opened> {
  for (;;) {
    const opened = await openOrConnect({ ...options, create: false });
    try {
      if (opened.kind === 'remote') await opened.space.resume([name]);
      else await opened.space.host.foreground(name);
      return opened;
    } catch (error) {
      if (!(error instanceof EnvironmentError) || error.code !== 'owner-gone') throw error;
    }
  }
}

async function followHere(following: Following, session: Session): Promise<number> {
  const { name, parsed } = following;
  if (following.request !== undefined && !parsed.flags.has('quiet')) void sayWaiting(session, name);
  const outcome = await session.first<ExitReport | StopSignal>(session.ended(name), following.stop);
  if (typeof outcome === 'object') {
    sayEnd(parsed, outcome);
    await leave(session, following.options.folder);
    return outcome.exitCode;
  }
  await leave(session, following.options.folder);
  saySuspended(following);
  return outcome === 'shutdown' ? EXIT.interrupted : exitCodeOf(outcome);
}

/** Says so when a program has nothing left to do and has not ended: it is there for others to call. */
async function sayWaiting(session: Session, name: string): Promise<void> {
  session.host.tellIdle();
  await session.whenIdle();
  const domain = (await session.host.list().catch(() => [])).find((each) => each.name === name);
  if (domain?.idle === true) say(`${clean(name)} waits to be called; Ctrl-C suspends it`);
}

async function followThere(following: Following, remote: RemoteSpace): Promise<number> {
  const { name, parsed } = following;
  const outcome = await Promise.race([remote.follow(name, terminalStreams()), following.stop]);
  if (typeof outcome === 'object') {
    sayEnd(parsed, outcome);
    await remote.close();
    return outcome.exitCode;
  }
  if (following.request === undefined) {
    if (!parsed.flags.has('quiet')) say(`detached; ${clean(name)} goes on`);
  } else {
    await remote.suspend(name);
    saySuspended(following);
  }
  await remote.close();
  return following.request === undefined ? 0 : exitCodeOf(outcome);
}

function saySuspended({ parsed, name, request }: Following): void {
  if (parsed.flags.has('quiet')) return;
  if (request?.volatile) say(`${clean(name)} was volatile and has ended`);
  else say(`suspended ${paint('bold', clean(name))}; to go on: ${again(parsed, 'up')}`);
}

/**
 * Why a program ended, where it did not end by itself; with its call stack below. As JSON in one line, it is told of
 * every end. On standard error, since standard output is the program's.
 */
function sayEnd(parsed: Parsed, report: ExitReport): void {
  if (parsed.flags.has('json')) {
    process.stderr.write(`${JSON.stringify(report)}\n`);
    return;
  }
  if (report.reason === null) return;
  say(`${paint('red', clean(report.name))}: ${clean(report.reason)}`);
  if (parsed.flags.has('quiet')) return;
  for (const line of traceLines(report)) process.stderr.write(`${line}\n`);
}

/** Lets the space go; a process in the background takes over where detached programs are left. */
async function leave(session: Session, folder: string): Promise<void> {
  const domains = await session.host.list().catch(() => []);
  await session.close();
  if (domains.some((domain) => domain.detached && domain.state !== 'exited' && !domain.volatile)) {
    await startBackground(folder, 'detached');
  }
}

async function ensureBackground(folder: string): Promise<void> {
  const remote = await RemoteSpace.connect(folder);
  if (remote === undefined) await startBackground(folder, 'detached');
  await remote?.close();
}

export async function runAttach(parsed: Parsed): Promise<number> {
  const name = parsed.positionals[0]!;
  const stop = stopSignal();
  const options: HostOptions = { ...hostOptions(parsed, 'none', false) };
  const opened = await openOrConnect(options);
  try {
    if (opened.kind === 'local') await opened.space.host.foreground(name);
    return await follow({ parsed, options, opened, name, stop: stop.promise, request: undefined });
  } catch (error) {
    await closeOpened(opened).catch(() => {});
    throw error;
  } finally {
    stop.off();
  }
}

export async function runUp(parsed: Parsed): Promise<number> {
  const options = hostOptions(parsed, isBackground() ?? 'all', isBackground() === 'detached');
  if (parsed.flags.has('detach')) return upDetached(parsed, options);
  const stop = stopSignal();
  const opened = await openOrConnect(options);
  if (opened.kind === 'remote') return upThere(parsed, opened.space);
  const session = opened.space;
  session.onReport = (report) => sayEnd(parsed, report);
  if (isBackground()) becomeBackground(options.folder);
  else await sayUp(parsed, session);
  try {
    const ends = [];
    if (parsed.flags.has('exit-when-idle')) ends.push(session.whenIdle());
    else if (isBackground() === 'detached') ends.push(session.whenUseless());
    const outcome = await session.first<string>(stop.promise, ...ends);
    const left = (await session.host.list()).filter((domain) => domain.state !== 'exited');
    await session.close();
    if (outcome === 'idle') return session.reports.find((report) => report.exitCode !== 0)?.exitCode ?? 0;
    if (left.length > 0 && !parsed.flags.has('quiet') && !isBackground()) {
      say(`suspended ${names(left)}; to go on: ${again(parsed, 'up')}`);
    }
    return outcome === 'shutdown' ? 0 : exitCodeOf(outcome as StopSignal);
  } finally {
    stop.off();
  }
}

async function sayUp(parsed: Parsed, session: Session): Promise<void> {
  if (parsed.flags.has('quiet')) return;
  const running = (await session.host.list()).filter((domain) => domain.state !== 'exited');
  if (running.length > 0) say(`going on with ${names(running)}`);
  else if (!parsed.flags.has('exit-when-idle'))
    say('nothing is left to go on with; waiting for programs (Ctrl-C ends)');
}

function names(domains: readonly DomainSummary[]): string {
  const shown = domains.slice(0, 5).map((domain) => clean(domain.name));
  const more = domains.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}

async function upThere(parsed: Parsed, remote: RemoteSpace): Promise<number> {
  await remote.resume(null);
  const domains = (await remote.list()).filter((domain) => domain.state !== 'exited');
  await remote.close();
  if (!parsed.flags.has('quiet')) {
    const what = domains.length === 0 ? 'nothing is left to go on with' : `going on: ${names(domains)}`;
    say(
      `another process owns this space; ${what} (see ${again(parsed, 'ps')}, ${again(parsed, 'attach NAME')})`,
    );
  }
  return 0;
}

async function upDetached(parsed: Parsed, options: HostOptions): Promise<number> {
  const remote = await RemoteSpace.connect(options.folder);
  if (remote !== undefined) return upThere(parsed, remote);
  const pid = await startBackground(options.folder, 'all');
  if (!parsed.flags.has('quiet'))
    say(`going on in the background, process ${pid}; to suspend: ${again(parsed, 'stop')}`);
  return 0;
}
