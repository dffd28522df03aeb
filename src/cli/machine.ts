/**
 * What a core does all day: runs the kernel in slices, returns to the event loop between them so that drivers and
 * messages get their turn, and takes a checkpoint when somebody waits for one (output, an answer, the end of a
 * program) or when enough has been run since the last.
 *
 * One checkpoint is on its way to the disk at a time. What is said while it is, waits for the next: so under load many
 * outputs share one write to the disk, and an idle space writes nothing.
 *
 * Why: RATIONALE.md#the-store-has-a-thread-the-core-another
 */

import { assert } from '../base/assert.ts';
import { PageHasher } from '../base/hash.ts';
import type { CutOptions } from '../kernel/cut.ts';
import { SUPERBLOCK_ADDRESS, Superblock } from '../space/index.ts';
import { PageHashes } from '../store/hashes.ts';
import type { Composition } from './compose.ts';
import type { CheckpointMeta, CoreStart, FromCore } from './messages.ts';

/** After so long without work the owner may stop its ticker, in milliseconds. */
const QUIET_MS = 100;
/** How often it is looked whether output has got out that somebody waits for, in milliseconds. */
const POLL_MS = 2;

export interface MachineHooks {
  post(message: FromCore, transfer?: ArrayBuffer[]): void;
  /** The small record beside the pages. */
  meta(): CheckpointMeta;
  /** Whether a domain is left that could go on without a deadline; asked when nothing runs. */
  alive(): boolean;
}

/** Waits for a checkpoint that holds everything so far. */
interface Waiter {
  seq: number;
  done(seq: number): void;
}

export class Machine {
  readonly #c: Composition;
  readonly #start: CoreStart;
  readonly #hooks: MachineHooks;
  readonly #cutOptions: CutOptions;
  #scheduled: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #quiet: NodeJS.Timeout | undefined;
  #busy = false;
  #running = true;
  #ranSinceCut = false;
  #lastCut = performance.now();
  /** The checkpoint on its way to the disk, or -1. */
  #inFlight = -1;
  #durable: number;
  #waiters: Waiter[] = [];
  /** Looked at whenever something may have got out; dropped when they answer true. */
  #watches: (() => boolean)[] = [];
  #idleTold = false;

  constructor(composition: Composition, start: CoreStart, hooks: MachineHooks) {
    this.#c = composition;
    this.#start = start;
    this.#hooks = hooks;
    this.#durable = this.sequence;
    const { hashes } = start;
    this.#cutOptions = {};
    if (hashes !== undefined) {
      const hasher = new PageHasher(hashes.key, composition.space.memory);
      const known = new PageHashes(hashes.words);
      this.#cutOptions = {
        take: (marked) => known.takeChanged(hasher, marked, marked.length),
        forget: (freed) => known.forget(freed),
      };
    }
  }

  /** Number of the last checkpoint that was taken. */
  get sequence(): number {
    return Superblock.fields.sequence.get(this.#c.space, SUPERBLOCK_ADDRESS);
  }

  /** There may be something to do. Cheap; call it whenever in doubt. */
  wake(): void {
    this.#idleTold = false;
    if (this.#start.readOnly) return;
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.#pump();
    });
  }

  /** Calls back with the number of the checkpoint that holds all that has happened so far, once it is durable. */
  whenDurable(done: (seq: number) => void): void {
    if (this.#start.readOnly) {
      done(this.#durable);
      return;
    }
    this.#waiters.push({ seq: -1, done });
    this.wake();
  }

  /** Asks `ready` again and again until it says true. */
  watch(ready: () => boolean): void {
    this.#watches.push(ready);
    this.wake();
  }

  /** Programs run no more; checkpoints are still taken and output still gets out. */
  halt(): void {
    this.#running = false;
  }

  durable(seq: number): void {
    assert(seq === this.#inFlight, 'checkpoints become durable in order');
    this.#inFlight = -1;
    this.#durable = seq;
    this.#c.kernel.durable(seq);
    for (const driver of this.#c.drivers) driver.durable(seq);
    this.#answer();
    this.wake();
  }

  /** Waiters of checkpoints that are durable. */
  #answer(): void {
    const due = this.#waiters.filter((waiter) => waiter.seq >= 0 && waiter.seq <= this.#durable);
    this.#waiters = this.#waiters.filter((waiter) => waiter.seq < 0 || waiter.seq > this.#durable);
    for (const waiter of due) waiter.done(this.#durable);
  }

  #pump(): void {
    const { kernel } = this.#c;
    let idle = true;
    let deadline: bigint | null = null;
    if (this.#running) {
      this.#setBusy();
      const result = kernel.run();
      if (result.slices > 0) this.#ranSinceCut = true;
      idle = result.idle;
      deadline = result.nextDeadline;
    }
    this.#cutIfWanted();
    this.#watches = this.#watches.filter((ready) => !ready());
    if (!idle) this.wake();
    else this.#rest(deadline);
  }

  #cutIfWanted(): void {
    if (this.#inFlight >= 0) return;
    const wanted =
      this.#waiters.some((waiter) => waiter.seq < 0) ||
      this.#c.drivers.some((driver) => driver.wantsCheckpoint());
    const due = this.#ranSinceCut && performance.now() - this.#lastCut >= this.#start.checkpointEveryMs;
    if (wanted || due) this.#cut();
  }

  #cut(): void {
    const { kernel, drivers } = this.#c;
    const seq = this.sequence + 1;
    for (const driver of drivers) driver.cut(seq);
    const cut = kernel.cut(this.#cutOptions);
    this.#ranSinceCut = false;
    this.#lastCut = performance.now();
    for (const waiter of this.#waiters) if (waiter.seq < 0) waiter.seq = cut === null ? seq - 1 : seq;
    if (cut === null) {
      // Nothing has changed since the last one, which is durable.
      for (const driver of drivers) driver.durable(seq);
      this.#answer();
      return;
    }
    assert(cut.seq === seq, 'drivers were told the number of this cut');
    this.#inFlight = seq;
    const freed = cut.zeroed.length === 0 ? cut.freed : concat(cut.freed, cut.zeroed);
    const { pages, data, hashes } = cut;
    const filtered = this.#start.hashes !== undefined;
    this.#hooks.post({
      kind: 'cut',
      seq,
      pages,
      data,
      freed,
      meta: JSON.stringify(this.#hooks.meta()),
      ...(filtered ? { hashes } : {}),
    });
  }

  /** Nothing is ready: sleep until a message, a driver or the clock has something. */
  #rest(deadline: bigint | null): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let ms = Number.POSITIVE_INFINITY;
    if (deadline !== null) ms = Math.max(0, Number((deadline - this.#c.kernel.now()) / 1000n) / 1000);
    if (this.#watches.length > 0) ms = Math.min(ms, POLL_MS);
    if (this.#ranSinceCut) {
      const left = this.#lastCut + this.#start.checkpointEveryMs - performance.now();
      ms = Math.min(ms, Math.max(left, 1));
    }
    if (ms !== Number.POSITIVE_INFINITY) {
      this.#timer = setTimeout(() => this.#pump(), Math.min(Math.ceil(ms), 2 ** 31 - 1));
    }
    this.#quiet ??= setTimeout(() => this.#setQuiet(), QUIET_MS);
    this.#tellIdle(deadline !== null);
  }

  /** Nothing is left that could go on by itself, everything said is out, and all of it is durable. */
  #tellIdle(sleeping: boolean): void {
    if (this.#idleTold || this.#inFlight >= 0 || this.#waiters.length > 0 || this.#watches.length > 0) return;
    if (!this.#running || this.#ranSinceCut || sleeping || this.#hooks.alive()) return;
    if (!this.#c.drivers.every((driver) => driver.settled())) {
      this.#timer ??= setTimeout(() => this.#pump(), POLL_MS);
      return;
    }
    this.#idleTold = true;
    this.#hooks.post({ kind: 'event', event: { kind: 'idle' } });
  }

  #setBusy(): void {
    clearTimeout(this.#quiet);
    this.#quiet = undefined;
    if (this.#busy) return;
    this.#busy = true;
    this.#hooks.post({ kind: 'busy', busy: true });
  }

  #setQuiet(): void {
    this.#quiet = undefined;
    this.#busy = false;
    this.#hooks.post({ kind: 'busy', busy: false });
  }
}

function concat(a: Uint32Array, b: Uint32Array): Uint32Array {
  const all = new Uint32Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
