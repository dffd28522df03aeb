/**
 * The console: standard input, output and error of every domain, and the output of this process they come out of.
 *
 * A domain is *attached* or *detached*. What an attached one writes goes into the console's own outbox, in the order
 * of writing over all domains and both streams, already in its final form (with the domain's name before each line
 * where several write), because positions must be those of the bytes outside. What a detached one writes stays in an
 * outbox of its own until it is attached, or a client takes it (`attachClient`). So does what attached ones write while
 * the console's outbox is full; it follows in turns. So each has as much room as any other, and one that writes without
 * end only makes its own writes wait. Whoever writes pays for it until it is out (kernel/outbox-meter.ts), and waits where its
 * account has no more for that either. All of that is state in the space; the order of things after a crash is the one the
 * checkpoint has.
 *
 * Use: `new ConsoleDriver(...)` on the space (new or recovered), `open` for each new domain, `bind` with the sinks of
 * this process, `attachInput` for the domain that gets its input. `remove` when a domain's record goes.
 */
import { ERRNO } from '../abi/errno.ts';
import { assert } from '../base/assert.ts';
import { CONSOLE_TURN_BYTES, DOMAIN_NAME_MAX_BYTES, OUTBOX_MAX_BYTES } from '../base/limits.ts';
import { type Destination, Outbox, STDERR, STDOUT } from '../kernel/outbox.ts';
import {
  Block,
  blocksOf,
  pushFront,
  type RootCell,
  type StateMemory,
  unlinkBlock,
} from '../kernel/outbox-memory.ts';
import type { Meter } from '../kernel/outbox-meter.ts';
import {
  type ConsoleStreams,
  type Driver,
  type Readiness,
  type StreamObject,
  type Wake,
  WOULD_BLOCK,
} from '../kernel/ports.ts';
import { DETACHED, DOMAIN, DOMAIN_BYTES, ENDED, ROOT, ROOT_BYTES } from './console-records.ts';
import type { InputSource } from './input.ts';
import { type ReadPlace, type ReleaseLog, type ReleasePolicy, Releaser, type Sinks } from './release.ts';
import { readPlace } from './sink.ts';
import { StandardInput } from './stdin.ts';

const NEWLINE = 10;

export interface ConsoleOptions {
  readonly memory: StateMemory;
  readonly root: RootCell;
  readonly wake: Wake;
  readonly meter: Meter;
  readonly log: ReleaseLog;
  /** For pipes and terminals; files are exact. */
  readonly policy: ReleasePolicy;
  /** Names before lines: always, never, or as soon as two domains are attached. */
  readonly prefix: 'always' | 'never' | 'auto';
  readonly problem?: (destination: Destination, errno: number) => void;
  readonly readPlace?: ReadPlace;
}

interface Domain {
  readonly record: Block;
  readonly id: number;
  readonly name: string;
  readonly own: Outbox;
  readonly streams: ConsoleStreams;
  readonly stdin: StandardInput;
  readonly waiting: Set<number>;
  releaser: Releaser | undefined;
  sinks: Sinks | undefined;
}

export class ConsoleDriver implements Driver {
  readonly #o: ConsoleOptions;
  readonly #root: Block;
  readonly #outbox: Outbox;
  readonly #releaser: Releaser;
  readonly #domains = new Map<number, Domain>();
  #sinks: Sinks = { stdout: undefined, stderr: undefined };

  /** On a new or recovered space. @throws Error only where the space has no room for the first record */
  constructor(options: ConsoleOptions) {
    this.#o = options;
    const { memory, root } = options;
    const recovered = root.get() !== 0;
    if (!recovered) {
      const address = memory.allocate(ROOT_BYTES);
      assert(address !== 0, 'a new space has room for the console');
      root.set(address);
    }
    this.#root = new Block(memory, root.get());
    this.#outbox = new Outbox(this.#root, ROOT.outbox, OUTBOX_MAX_BYTES, recovered, options.meter);
    this.#releaser = this.#makeReleaser(this.#outbox, 'console', this.#root, () => this.#moveAll());
    for (const record of blocksOf(this.#root, ROOT.domains, DOMAIN.next)) this.#adopt(record, true);
  }

  /** Makes the streams of a new domain. False where the space is full. */
  open(id: number, name: string, options: { detached: boolean }): boolean {
    assert(!this.#domains.has(id), 'a domain has one console');
    const record = Block.create(this.#o.memory, DOMAIN_BYTES);
    if (record === undefined) return false;
    const bytes = Buffer.from(name).subarray(0, DOMAIN_NAME_MAX_BYTES);
    record.setU64(DOMAIN.id, id);
    record.setU32(DOMAIN.flags, options.detached ? DETACHED : 0);
    record.setU32(DOMAIN.nameBytes, bytes.length);
    record.setBytes(DOMAIN.name, bytes);
    if (this.#writers() === 0) this.#root.setU32(ROOT.prefix, 0);
    pushFront(this.#root, ROOT.domains, record, DOMAIN.next);
    this.#adopt(record, false);
    return true;
  }

  /** Forgets a domain and what it wrote that nobody has taken, and that the console has no room for. */
  remove(id: number): void {
    const domain = this.#domains.get(id);
    if (domain === undefined) return;
    while (this.#moveSome(domain));
    domain.releaser?.unbind();
    domain.stdin.remove();
    domain.own.clear();
    unlinkBlock(this.#root, ROOT.domains, domain.record, DOMAIN.next);
    domain.record.release();
    this.#domains.delete(id);
  }

  has(id: number): boolean {
    return this.#domains.has(id);
  }

  /** After a restart: volatile domains are gone, and what they had here goes too. */
  keepOnly(ids: ReadonlySet<number>): void {
    for (const id of [...this.#domains.keys()]) if (!ids.has(id)) this.remove(id);
  }

  /** The streams of a domain that was opened. */
  streams(id: number): ConsoleStreams {
    return this.#domain(id).streams;
  }

  /** Gives the console the output of this process. Bytes that are waiting begin to leave. */
  bind(sinks: Sinks): void {
    this.#sinks = sinks;
    this.#releaser.bind(sinks);
    this.#moveAll();
  }

  /** Whether what a domain writes goes to the console of this process, or stays with it. */
  setDetached(id: number, detached: boolean): void {
    const domain = this.#domain(id);
    this.#setFlag(domain, DETACHED, detached);
    this.#move(domain);
  }

  /** The domain will write nothing more. What it wrote is kept. */
  ended(id: number): void {
    this.#setFlag(this.#domain(id), ENDED, true);
  }

  isDetached(id: number): boolean {
    return (this.#domain(id).record.u32(DOMAIN.flags) & DETACHED) !== 0;
  }

  /** Takes what a domain writes to a client, from what is still kept on, until the function given back is called. */
  attachClient(id: number, sinks: Sinks): () => void {
    const domain = this.#domain(id);
    domain.releaser ??= this.#makeReleaser(domain.own, `domain ${id}`, undefined, () => this.#wakeOf(domain));
    domain.sinks = sinks;
    domain.releaser.bind(sinks);
    return () => {
      if (domain.sinks !== sinks) return;
      domain.sinks = undefined;
      domain.releaser?.unbind();
      if (this.#domains.has(id)) this.#move(domain);
    };
  }

  /** Feeds a domain's standard input; see stdin.ts for what becomes of a domain that has one already. */
  attachInput(id: number, source: InputSource): boolean {
    return this.#domain(id).stdin.attach(source);
  }

  detachInput(id: number): void {
    this.#domain(id).stdin.detach();
  }

  /** The domain will never get (more) input. */
  endInput(id: number): void {
    this.#domain(id).stdin.end();
  }

  /** True while someone or something feeds the domain: a wait for input may end. */
  hasInput(id: number): boolean {
    return this.#domain(id).stdin.attached;
  }

  /** Bytes a domain has written that nobody has taken yet, the console's outbox aside. */
  keptBytes(id: number): number {
    return this.#domain(id).own.length;
  }

  cut(seq: number): void {
    this.#releaser.cut(seq);
    for (const domain of this.#domains.values()) (domain.releaser ?? domain.own).cut(seq);
  }

  durable(seq: number): void {
    this.#releaser.durable(seq);
    for (const domain of this.#domains.values()) (domain.releaser ?? domain.own).durable(seq);
  }

  wantsCheckpoint(): boolean {
    if (this.#releaser.waiting) return true;
    for (const domain of this.#domains.values()) if (domain.releaser?.waiting) return true;
    return false;
  }

  settled(): boolean {
    if (this.#bound && !this.#releaser.idle) return false;
    for (const domain of this.#domains.values()) {
      if (domain.sinks !== undefined && domain.releaser?.idle === false) return false;
      if (this.#bound && domain.own.length > 0 && this.#toConsole(domain)) return false;
    }
    return true;
  }

  async close(): Promise<void> {
    this.#releaser.unbind();
    for (const domain of this.#domains.values()) {
      domain.releaser?.unbind();
      domain.stdin.detach();
    }
    this.#sinks.stdout?.close();
    if (this.#sinks.stderr !== this.#sinks.stdout) this.#sinks.stderr?.close();
  }

  get #bound(): boolean {
    return this.#sinks.stdout !== undefined || this.#sinks.stderr !== undefined;
  }

  #domain(id: number): Domain {
    const domain = this.#domains.get(id);
    assert(domain !== undefined, 'a domain has a console from its making to its removal');
    return domain;
  }

  #makeReleaser(outbox: Outbox, key: string, record: Block | undefined, changed: () => void): Releaser {
    const { log, policy, problem } = this.#o;
    return new Releaser({
      outbox,
      record,
      base: ROOT.releaser,
      key,
      log,
      policy,
      readPlace: this.#o.readPlace ?? ((place, length) => readPlace(place, length, [1, 2])),
      changed,
      problem,
    });
  }

  #adopt(record: Block, recovered: boolean): void {
    const id = record.u64(DOMAIN.id);
    const name = Buffer.from(record.copy(DOMAIN.name, record.u32(DOMAIN.nameBytes))).toString();
    const stdin = new StandardInput(record, DOMAIN.stdin, this.#o.wake);
    const domain: Domain = {
      record,
      id,
      name,
      own: new Outbox(record, DOMAIN.outbox, OUTBOX_MAX_BYTES, recovered, this.#o.meter),
      stdin,
      streams: { stdin, stdout: this.#output(id, STDOUT), stderr: this.#output(id, STDERR) },
      waiting: new Set(),
      releaser: undefined,
      sinks: undefined,
    };
    this.#domains.set(id, domain);
  }

  #output(id: number, to: Destination): StreamObject {
    const isTerminal = (): boolean => {
      const domain = this.#domain(id);
      const sinks = domain.sinks ?? (this.#toConsole(domain) ? this.#sinks : undefined);
      return (to === STDOUT ? sinks?.stdout : sinks?.stderr)?.terminal ?? false;
    };
    return {
      kind: 'stream',
      get terminal() {
        return isTerminal();
      },
      read: () => -ERRNO.BADF,
      write: (from) => this.#write(this.#domain(id), to, from),
      ready: () => this.#outputReady(this.#domain(id), this.#failed(this.#domain(id), to)),
      subscribe: (domain) => this.#subscribe(this.#domain(id), domain),
    };
  }

  /** Whether what the domain writes now is for the console of this process. */
  #toConsole(domain: Domain): boolean {
    return domain.sinks === undefined && (domain.record.u32(DOMAIN.flags) & DETACHED) === 0;
  }

  #failed(domain: Domain, to: Destination): number {
    return (this.#toConsole(domain) ? this.#releaser : domain.releaser)?.failed(to) ?? 0;
  }

  #write(domain: Domain, to: Destination, from: Uint8Array): number {
    const failed = this.#failed(domain, to);
    if (failed !== 0) return -failed;
    if (from.length === 0) return 0;
    const { own } = domain;
    const { meter } = this.#o;
    const payer = meter.payer(domain.id);
    const direct = this.#toConsole(domain) && own.length === 0;
    // A copy: the program's bytes may change while we look for line ends.
    const bytes = direct ? from.slice(0, Math.min(from.length, OUTBOX_MAX_BYTES)) : from;
    let taken = direct ? this.#say(domain, to, bytes, payer, this.#outbox.roomOf(payer)) : 0;
    if (taken < bytes.length) {
      taken += own.append(to, bytes.subarray(taken, taken + own.roomOf(payer)), payer);
    }
    if (taken > 0) return taken;
    if (own.isShort(payer)) return meter.isIdle(payer) ? -ERRNO.DQUOT : WOULD_BLOCK;
    return own.length === 0 && (!direct || this.#outbox.length === 0) ? -ERRNO.NOSPC : WOULD_BLOCK;
  }

  #outputReady({ id, own }: Domain, failed: number): Readiness {
    const { meter } = this.#o;
    const payer = meter.payer(id);
    const writable = failed !== 0 || own.roomOf(payer) > 0 || (own.isShort(payer) && meter.isIdle(payer));
    return { readable: false, writable, bytes: 0, hangup: failed !== 0 };
  }

  #subscribe({ id, own, waiting }: Domain, domain: number): void {
    const payer = this.#o.meter.payer(id);
    waiting.add(domain);
    if (own.isShort(payer)) this.#o.meter.subscribe(payer, domain);
  }

  /**
   * Puts bytes into the console's outbox in their final form; returns how many of `bytes` that were.
   * @param most bytes to put there, leads aside
   */
  #say(domain: Domain, to: Destination, bytes: Uint8Array, payer: number, most: number): number {
    const lineField = to === STDOUT ? ROOT.line1 : ROOT.line2;
    const prefixed = this.#prefixed();
    let line = this.#root.u64(lineField);
    let taken = 0;
    const wanted = Math.min(bytes.length, most);
    while (taken < wanted) {
      let lead = '';
      if (prefixed && line !== domain.id) lead = `${line === 0 ? '' : '\n'}${domain.name} | `;
      const head = Buffer.from(lead);
      let end = wanted;
      if (prefixed) {
        const newline = bytes.indexOf(NEWLINE, taken);
        if (newline >= 0) end = Math.min(end, newline + 1);
      }
      const part = bytes.subarray(taken, Math.min(end, taken + this.#outbox.room - head.length));
      if (this.#outbox.room <= head.length) break;
      const whole = head.length === 0 ? part : Buffer.concat([head, part]);
      if (this.#outbox.append(to, whole, payer) === 0) break;
      taken += part.length;
      line = part[part.length - 1] === NEWLINE ? 0 : domain.id;
    }
    if (line !== this.#root.u64(lineField)) this.#root.setU64(lineField, line);
    return taken;
  }

  #prefixed(): boolean {
    if (this.#o.prefix !== 'auto') return this.#o.prefix === 'always';
    if (this.#root.u32(ROOT.prefix) === 0 && this.#writers() > 1) this.#root.setU32(ROOT.prefix, 1);
    return this.#root.u32(ROOT.prefix) !== 0;
  }

  /** Domains that may write to the console. */
  #writers(): number {
    let count = 0;
    for (const domain of this.#domains.values()) if (domain.record.u32(DOMAIN.flags) === 0) count++;
    return count;
  }

  #setFlag(domain: Domain, flag: number, on: boolean): void {
    const flags = domain.record.u32(DOMAIN.flags);
    domain.record.setU32(DOMAIN.flags, on ? flags | flag : flags & ~flag);
  }

  /**
   * Moves what attached domains have kept into the console's outbox, in turns, as there is room; then wakes who waits.
   * Whose turn is first next time is who has waited longest.
   */
  #moveAll(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const domain of [...this.#domains.values()].filter(({ own }) => own.length > 0)) {
        if (!this.#moveSome(domain)) continue;
        moved = true;
        this.#domains.delete(domain.id);
        this.#domains.set(domain.id, domain);
      }
    }
    for (const domain of this.#domains.values()) this.#wakeOf(domain);
  }

  #move(domain: Domain): void {
    while (this.#moveSome(domain));
    this.#wakeOf(domain);
  }

  /** A turn: whole lines where it has them. False where it has nothing for the console, or that has no room. */
  #moveSome(domain: Domain): boolean {
    const { own } = domain;
    if (!this.#toConsole(domain)) return false;
    const piece = own.piece(own.head, own.tail, CONSOLE_TURN_BYTES);
    if (piece === undefined) return false;
    const lines = piece.bytes.lastIndexOf(NEWLINE) + 1;
    const bytes = piece.bytes.subarray(0, lines || undefined);
    // Charged twice for a moment, by whoever has written it.
    const taken = this.#say(domain, piece.destination, bytes, piece.payer, bytes.length);
    own.drop(own.head + taken);
    return taken > 0;
  }

  #wakeOf(domain: Domain): void {
    const domains = [...domain.waiting];
    domain.waiting.clear();
    for (const id of domains) this.#o.wake(id);
  }
}
