/**
 * The core's thread: takes messages of the owner, lets `operations.ts` and `machine.ts` do the work, and answers when
 * what it did is durable. Started by `host.ts` with a `CoreStart`.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { EnvironmentError } from '../base/errors.ts';
import { tuneEngine } from '../drivers/engine.ts';
import type { ReleaseLog } from '../drivers/release.ts';
import type { ServedPolicy } from '../drivers/served.ts';
import type { CarriedAbout } from './carry.ts';
import { CoreClients } from './clients.ts';
import { type Composition, compose, loadProgram } from './compose.ts';
import { packError } from './failure.ts';
import { programKey } from './forms.ts';
import { Machine } from './machine.ts';
import type { CoreStart, FromCore, InstalledProgram, SegmentRequest, ToCore } from './messages.ts';
import { Operations } from './operations.ts';
import type {
  CallValue,
  GrantSource,
  ImportGrant,
  ImportOptions,
  Narrowing,
  RightName,
  RunRequest,
} from './types.ts';

/** At the end, output that its reader does not take is given up on after this long; it stays in the space. */
const FLUSH_MS = 2000;
/** At the end, processes of programs are waited for this long; what they did not bring home is done again. */
const HOME_MS = 500;

tuneEngine();
const port = parentPort!;
const start = workerData as CoreStart;

function post(message: FromCore): void {
  port.postMessage(message);
}

/** The store's release log, which lives on the owner's thread. */
class RemoteLog implements ReleaseLog {
  readonly #positions = new Map(start.released);
  readonly #waiting = new Map<number, () => void>();
  #next = 1;

  get(key: string): number | undefined {
    return this.#positions.get(key);
  }

  set(key: string, position: number): Promise<void> {
    this.#positions.set(key, position);
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      post({ kind: 'log', id, key, position });
    });
  }

  logged(id: number): void {
    this.#waiting.get(id)?.();
    this.#waiting.delete(id);
  }
}

class CoreThread {
  readonly #log = new RemoteLog();
  readonly #composition: Composition;
  readonly #operations: Operations;
  readonly #machine: Machine;
  readonly #clients: CoreClients;

  #making: Promise<void> = Promise.resolve();

  constructor() {
    const programs = new Map(
      start.programs.map((installed) => [programKey(installed.hash, installed.form), loadProgram(installed)]),
    );
    this.#composition = compose(start, {
      log: this.#log,
      program: (hash, form) => programs.get(programKey(hash, form)),
      wake: (domain) => {
        this.#composition.kernel.wake(domain);
        this.#machine.wake();
      },
      made: (domain) => this.#operations.made(domain),
      // Volatile domains go while all this is being made.
      dropped: (domain) => this.#operations?.dropped(domain),
      ended: (domain) => this.#ended(domain),
      request: (request) => post({ kind: 'request', request }),
      notify: (notice) => post({ kind: 'notice', notice }),
      answered: (ticket, answer) => this.#operations.calls.answered(ticket, answer),
      problem: (text) => post({ kind: 'event', event: { kind: 'problem', text } }),
    });
    this.#operations = new Operations(this.#composition, start, programs, (event) =>
      this.#machine.whenDurable(() => post({ kind: 'event', event })),
    );
    this.#machine = new Machine(this.#composition, start, {
      post,
      meta: () => ({
        version: 1,
        domains: this.#operations.record(),
        programs: this.#composition.kernel.core.programs.hashes(),
      }),
      alive: () => this.#operations.alive(),
    });
    this.#clients = new CoreClients(post, () => this.#machine.wake());
  }

  begin(): void {
    this.#operations.begin();
    if (start.paused) this.#machine.halt();
    port.on('message', (message: ToCore) => this.#take(message));
    post({ kind: 'ready', memory: this.#composition.space.memory });
    this.#machine.wake();
  }

  /** A domain has ended: told once that is durable and what it wrote is out. */
  #ended(id: number): void {
    const { console } = this.#composition;
    if (console.has(id)) console.ended(id);
    this.#tellEnd(id);
  }

  #tellEnd(id: number, again = false): void {
    this.#machine.whenDurable(() => {
      const { console, kernel } = this.#composition;
      if (!kernel.has(id)) return;
      const report = this.#operations.exitReport(id);
      this.#machine.watch(() => {
        if (kernel.has(id) && console.has(id) && !this.#isOut(id)) return false;
        post({ kind: 'event', event: { kind: 'ended', id, name: report.name, report }, again });
        return true;
      });
    });
  }

  /** What the domain wrote has left, as far as it has somewhere to go. */
  #isOut(id: number): boolean {
    const { console } = this.#composition;
    if (this.#clients.follows(id)) return console.keptBytes(id) === 0;
    if (console.isDetached(id) || !start.stdio || console.settled()) return true;
    return console.keptBytes(id) === 0 && this.#operations.othersWrite(id);
  }

  #take(message: ToCore): void {
    switch (message.kind) {
      case 'ask':
        this.#ask(message.id, message.op, message.args as Record<string, unknown>);
        break;
      case 'durable':
        this.#machine.durable(message.seq);
        break;
      case 'logged':
        this.#log.logged(message.id);
        break;
      case 'reply':
        this.#composition.served.answer(message.id, message.answer);
        break;
      case 'taken':
        this.#clients.taken(message.client);
        break;
      case 'input':
        this.#clients.input(message.client, message.bytes);
        break;
      case 'detach':
        this.#clients.detach(message.client, message.taking);
        break;
    }
    this.#machine.wake();
  }

  /** Does what is asked, and answers when it is durable. */
  #ask(id: number, op: string, args: Record<string, unknown>): void {
    if (op === 'finish') {
      void this.#finish().then(
        () => post({ kind: 'answer', id }),
        (error: unknown) => post({ kind: 'answer', id, error: packError(error) }),
      );
      return;
    }
    // New domains are made one after the other: their numbers are known before they are there.
    const making = op === 'spawn' || op === 'import';
    if (making) this.#making = this.#making.then(() => this.#perform(id, op, args));
    else void this.#perform(id, op, args);
  }

  async #perform(id: number, op: string, args: Record<string, unknown>): Promise<void> {
    try {
      const done = this.#do(op, args);
      const value = done instanceof Promise ? await done : done;
      if (op === 'idle') post({ kind: 'answer', id, value });
      else
        this.#machine.whenDurable((seq) =>
          post({ kind: 'answer', id, value: op === 'checkpoint' ? seq : value }),
        );
    } catch (error) {
      const failure = packError(error);
      post({ kind: 'answer', id, error: failure });
      // After a bug nothing here can be trusted: the space goes on from its last checkpoint instead.
      if (failure.kind === 'bug') {
        setImmediate(() => {
          throw error;
        });
      }
    }
  }

  #do(op: string, args: Record<string, unknown>): unknown {
    const operations = this.#operations;
    const name = String(args.name);
    switch (op) {
      case 'list':
        return operations.list();
      case 'spawn':
        return operations.spawn(
          args.request as RunRequest,
          args.program as InstalledProgram,
          args.foreground === true,
        );
      case 'resume':
        return operations.resume(args.names as string[] | null);
      case 'suspend':
        return operations.suspend(name);
      case 'foreground':
        return this.#again(operations.foreground(name));
      case 'attach':
        return this.#attach(name, Number(args.client));
      case 'stop':
        return operations.stop(name);
      case 'remove':
        return operations.remove(name, args.force === true, args.keepFiles === true);
      case 'inspect':
        return operations.inspect(name, this.#machine.sequence);
      case 'files':
        return operations.files(name, String(args.path));
      case 'export':
        return operations.export(name, args.keep === true);
      case 'import':
        return operations.summary(
          operations.arrivals.import(
            args.about as CarriedAbout,
            args.image as Uint8Array,
            args.program as InstalledProgram,
            args as unknown as Pick<ImportOptions, 'dirs' | 'grants' | 'imports'>,
          ),
        );
      case 'call':
        return operations.call(name, String(args.procedure), args.values as CallValue[]);
      case 'serve':
        return this.#composition.served.serve(name, args.policy as ServedPolicy);
      case 'unserve':
        return this.#composition.served.end(name);
      case 'grant':
        return operations.holdings.grant(operations.find(name), args.given as ImportGrant);
      case 'hold':
        return operations.holdings.hold(args.from as GrantSource, args.narrow as Narrowing | undefined);
      case 'segment':
        return operations.holdings.segment(args as unknown as SegmentRequest);
      case 'sturdy':
        return operations.holdings.sturdy(args.from as GrantSource, args.rights as RightName[] | undefined);
      case 'forget':
        return this.#composition.kernel.authority.forgetSturdy(String(args.text));
      case 'revoke':
        return operations.holdings.revoke(Number(args.id));
      case 'release':
        return operations.holdings.release(Number(args.id));
      case 'checkpoint':
      case 'idle': // being asked makes it be told again
        return undefined;
      default:
        throw new EnvironmentError('control', `the core does not know "${op}"`);
    }
  }

  #attach(name: string, client: number): void {
    const { id, ...attached } = this.#operations.attach(name, this.#clients.create(client));
    this.#clients.attached(client, id, attached);
    this.#again(id);
  }

  /** Somebody new looks at the domain: if it has ended, they are told as well. */
  #again(id: number): void {
    if (this.#composition.kernel.status(id).state === 'exited') this.#tellEnd(id, true);
  }

  /** Has what programs did in processes of their own, as far as they stop soon. */
  async #bringHome(): Promise<void> {
    const until = performance.now() + HOME_MS;
    while (!this.#composition.kernel.bringHome() && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Stops everything where it is, makes that durable, and lets out what can leave. */
  async #finish(): Promise<void> {
    const { drivers, processes } = this.#composition;
    this.#machine.halt();
    if (!start.readOnly) {
      await this.#bringHome();
      await new Promise((resolve) => this.#machine.whenDurable(resolve));
      const until = performance.now() + FLUSH_MS;
      await new Promise<void>((resolve) => {
        this.#machine.watch(() => {
          const over = drivers.every((driver) => driver.settled()) || performance.now() > until;
          if (over) resolve();
          return over;
        });
      });
      // What got out is in the space now; the next process need not work that out.
      await new Promise((resolve) => this.#machine.whenDurable(resolve));
    }
    processes.close();
    for (const driver of drivers) await driver.close();
  }
}

try {
  new CoreThread().begin();
} catch (error) {
  post({ kind: 'failed', error: packError(error) });
}
