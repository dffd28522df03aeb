/**
 * Processes for enforced domains (kernel/enclosure.ts): a child of this process for each, started with an empty
 * environment, Node's permission model, and three ways out: the channel (abi/channel.ts) on descriptor 3, its standard
 * input, on which it is asked to stop at a safepoint and by whose end it knows that we are gone, and standard error, of
 * which the beginning is kept to say why it died.
 *
 * What comes out of it is parsed as hostile. A child that breaks the protocol, does not stop when asked, or uses more
 * memory than its program may, is killed; its domain is told by `take`. Nothing here ever waits for one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Duplex, Readable, Writable } from 'node:stream';
import {
  DeltaReader,
  encodeOrder,
  MESSAGE,
  MessageReader,
  message,
  type Order,
  pieces,
  type Stop,
} from '../abi/channel.ts';
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import { HASH_KEY_BYTES } from '../base/hash.ts';
import { CHANNEL_TEXT_BYTES, PROCESS_OVERHEAD_BYTES } from '../base/limits.ts';
import type { Enclosure, EnclosureOptions, Enclosures, Lost } from '../kernel/enclosure.ts';

/** How often running children are looked at, in milliseconds. */
const TICK_MS = 50;
/** One that has been asked to stop at a safepoint and has not after this long is given up, in milliseconds. */
const ANSWER_MS = 30_000;
/** One that has had nothing to do for this long is ended; another is started when there is. In milliseconds. */
const IDLE_MS = 60_000;
/** Bytes of standard error that are kept. */
const STDERR_BYTES = 4096;
/** Clock ticks a second in /proc, on every Linux there is. */
const PROC_TICKS = 100;
const PROC_PAGE_BYTES = 4096;

export interface ProcessesOptions {
  /** The child's program: a path. */
  readonly entry: string;
  /** What it may read: its own code. Paths as `--allow-fs-read` takes them. */
  readonly readable: readonly string[];
  wake(domain: number): void;
  /** The longest that a program runs before what it did is brought home, in milliseconds. */
  readonly stopEveryMs: number;
  /** For tests: after so long without an answer, and without anything to do, in milliseconds. */
  readonly answerMs?: number;
  readonly idleMs?: number;
}

/** What a child is told first. */
export interface Opening {
  readonly hash: string;
  readonly originalBytes: number;
  readonly rewrittenBytes: number;
  readonly memoryLimitBytes: number;
  readonly pages: readonly number[];
  readonly stateBytes: number;
  readonly scratchBytes: number;
  readonly frameBytes: number;
  /** Hexadecimal. */
  readonly hashKey: string;
}

export class Processes implements Enclosures {
  readonly #options: ProcessesOptions;
  readonly #children = new Set<Child>();
  #ticker: NodeJS.Timeout | undefined;

  constructor(options: ProcessesOptions) {
    this.#options = options;
  }

  open(options: EnclosureOptions): Enclosure {
    const child = new Child(options, this.#options, () => this.#children.delete(child));
    this.#children.add(child);
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS).unref();
    return child;
  }

  /** Ends all of them. */
  close(): void {
    for (const child of this.#children) child.close();
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  #tick(): void {
    for (const child of this.#children) child.tick();
    if (this.#children.size > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }
}

/** An error where the host refuses at once; otherwise it may still tell of one by an event. */
function start({ entry, readable }: ProcessesOptions): ChildProcess | Error {
  const allowed = readable.map((path) => `--allow-fs-read=${path}`);
  try {
    return spawn(
      process.execPath,
      ['--permission', '--allow-worker', ...allowed, '--no-warnings', entry],
      // Detached: in a process group of its own, so that Ctrl-C at a terminal is for its owner alone.
      { stdio: ['pipe', 'ignore', 'pipe', 'pipe'], env: {}, cwd: '/', detached: true },
    );
  } catch (error) {
    return error as Error;
  }
}

class Child implements Enclosure {
  readonly #options: EnclosureOptions;
  readonly #settings: ProcessesOptions;
  readonly #gone: () => void;
  /** Null where the host gave none. */
  readonly #process: ChildProcess | null;
  readonly #messages = new MessageReader();
  readonly #deltas: DeltaReader;
  #alive = true;
  #ready = false;
  #running = false;
  #since = performance.now();
  #asked = false;
  #come: Stop | Lost | null = null;
  #stderr = '';
  /** Processor time at the start of its program, as seen last, and as told: milliseconds. */
  #cpuBefore = 0;
  #cpuSeen = 0;
  #cpuTold = 0;
  #cpuSeenAt = 0;

  constructor(options: EnclosureOptions, settings: ProcessesOptions, gone: () => void) {
    this.#options = options;
    this.#settings = settings;
    this.#gone = gone;
    this.#deltas = new DeltaReader(options.limits);
    const started = start(settings);
    this.#process = 'stdio' in started && started.stdio !== undefined ? started : null;
    if (started instanceof Error) queueMicrotask(() => this.#unstarted(started));
    else started.on('error', (error) => this.#unstarted(error));
    if (this.#process === null) return;
    this.#process.on('exit', (code, signal) => this.#exited(code, signal));
    const stderr = this.#process.stderr as Readable;
    stderr.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < STDERR_BYTES) this.#stderr += chunk.toString('latin1').slice(0, STDERR_BYTES);
    });
    const [channel, control] = [this.#process.stdio[3] as Duplex, this.#process.stdin as Writable];
    channel.on('data', (chunk: Buffer) => this.#take(chunk));
    // Whatever goes wrong with a pipe, the process is at its end, and tells so by exiting.
    for (const stream of [channel, control, stderr]) stream.on('error', () => this.#kill());
    channel.on('end', () => this.#kill());
    // A process that holds a space ends when its work does, whether or not it has children.
    this.#process.unref();
    for (const stream of [channel, control, stderr]) (stream as { unref?(): void }).unref?.();
    this.#introduce();
  }

  get #channel(): Duplex | undefined {
    return this.#process?.stdio[3] as Duplex | undefined;
  }
  get #control(): Writable | null | undefined {
    return this.#process?.stdin;
  }
  get alive(): boolean {
    return this.#alive;
  }

  #introduce(): void {
    const { module, limits, memoryLimitBytes } = this.#options;
    assert(module.alone !== undefined, 'the program was compiled for a process of its own');
    const { original, rewritten } = module.alone;
    const opening: Opening = {
      ...limits,
      hash: module.hash,
      originalBytes: original.length,
      rewrittenBytes: rewritten.length,
      memoryLimitBytes,
      hashKey: randomBytes(HASH_KEY_BYTES).toString('hex'),
    };
    this.#send(message(MESSAGE.open, new TextEncoder().encode(JSON.stringify(opening))));
    this.#send(pieces(MESSAGE.program, original));
    this.#send(pieces(MESSAGE.program, rewritten));
  }

  #send(parts: Iterable<Uint8Array>): void {
    const channel = this.#channel;
    if (channel === undefined || channel.destroyed) return;
    channel.cork();
    for (const part of parts) channel.write(part);
    channel.uncork();
  }

  run(order: Order): void {
    assert(this.#alive && !this.#running, 'an order is for a process that stands');
    this.#running = true;
    this.#asked = false;
    this.#since = performance.now();
    this.#send(encodeOrder(order));
  }

  ask(): void {
    if (!this.#running || this.#asked) return;
    this.#asked = true;
    this.#since = performance.now();
    this.#control?.write('\n');
  }

  take(): Stop | Lost | null {
    const come = this.#come;
    this.#come = null;
    return come;
  }

  cpuMicros(): number {
    // What it takes to start is not the program's.
    if (!this.#ready) return 0;
    if (this.#alive && performance.now() - this.#cpuSeenAt > TICK_MS / 5) this.#measure();
    const used = Math.max(0, this.#cpuSeen - this.#cpuTold);
    this.#cpuTold += used;
    return used * 1000;
  }

  close(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#kill();
    this.#gone();
  }

  /** From time to time: is it in order? */
  tick(): void {
    const elapsed = performance.now() - this.#since;
    if (!this.#running) {
      if (elapsed > (this.#settings.idleMs ?? IDLE_MS)) this.close();
      return;
    }
    if (this.#ready) this.#measure();
    const memory = this.#memoryBytes();
    const most = this.#options.memoryLimitBytes + PROCESS_OVERHEAD_BYTES;
    if (memory > most) {
      this.#lose(
        `its process uses ${memory >> 20} MiB of memory, which is more than its program can need`,
        true,
      );
      return;
    }
    const silent = elapsed > (this.#settings.answerMs ?? ANSWER_MS);
    if (silent && (this.#asked || !this.#ready)) {
      this.#lose(`its process does not ${this.#ready ? 'stop when it is asked to' : 'start'}`);
      return;
    }
    if (!this.#asked && this.#ready && elapsed > this.#settings.stopEveryMs) {
      this.ask();
    } else if (this.#ready && elapsed > TICK_MS) {
      // So that its processor time is counted while it runs.
      this.#settings.wake(this.#options.domain);
    }
  }

  #take(chunk: Buffer): void {
    if (!this.#alive) return;
    try {
      for (const { kind, payload } of this.#messages.push(chunk)) this.#hear(kind, payload);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#lose(`its process broke the protocol: ${error.message}`, true);
    }
  }

  #hear(kind: number, payload: Uint8Array): void {
    if (!this.#ready && kind === MESSAGE.ready) {
      this.#ready = true;
      this.#since = performance.now();
      this.#measure();
      this.#cpuBefore = this.#cpuSeen;
      this.#cpuSeen = 0;
      return;
    }
    if (kind === MESSAGE.failed) {
      const text = new TextDecoder().decode(payload.subarray(0, CHANNEL_TEXT_BYTES));
      this.#lose(`its process cannot run it: ${plain(text)}`, true);
      return;
    }
    if (!this.#ready || !this.#running) throw new MalformedError('it spoke out of turn', -1);
    if (kind !== MESSAGE.stop) {
      this.#deltas.part(kind, payload);
      return;
    }
    const stop = this.#deltas.stop(payload);
    if (this.#messages.inside) throw new MalformedError('it spoke out of turn', -1);
    this.#running = false;
    this.#since = performance.now();
    this.#come = stop;
    this.#settings.wake(this.#options.domain);
  }

  #unstarted(error: Error): void {
    this.#lose(`its process cannot be started: ${error.message}`);
  }

  #exited(code: number | null, signal: string | null): void {
    const said = plain(this.#stderr);
    const why = signal ?? `exit code ${code}`;
    this.#lose(`its process ended (${why}${said === '' ? '' : `: ${said}`})`);
  }

  /** It is over with this process. */
  #lose(lost: string, hostile = false): void {
    if (!this.#alive) return;
    this.#measure();
    this.#alive = false;
    this.#kill();
    this.#gone();
    if (!this.#running) return; // nobody waits for it: another is started when it is wanted
    this.#come = { lost, hostile };
    this.#settings.wake(this.#options.domain);
  }

  #kill(): void {
    this.#process?.kill('SIGKILL');
    this.#channel?.destroy();
    this.#control?.destroy();
  }

  #measure(): void {
    this.#cpuSeenAt = performance.now();
    const used = processMs(this.#process?.pid);
    // Without /proc the time it was given is all that is known.
    if (used !== undefined) this.#cpuSeen = Math.max(this.#cpuSeen, used - this.#cpuBefore);
    else if (this.#running) this.#cpuSeen += Math.min(this.#cpuSeenAt - this.#since, TICK_MS);
  }

  #memoryBytes(): number {
    try {
      return (
        Number(readFileSync(`/proc/${this.#process?.pid}/statm`, 'utf8').split(' ')[1]) * PROC_PAGE_BYTES
      );
    } catch {
      return 0;
    }
  }
}

/** Processor time of a process in milliseconds, where the host tells. */
function processMs(pid: number | undefined): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Behind the name, which may hold anything but ends at the last bracket: user and system time are 14 and 15.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / PROC_TICKS;
  } catch {
    return undefined;
  }
}

/** One short line of what an untrusted process said. */
function plain(text: string): string {
  const line = text.split('\n').find((each) => each.trim() !== '') ?? '';
  return line
    .replace(/[^\x21-\x7e]+/g, ' ')
    .trim()
    .slice(0, 200);
}
