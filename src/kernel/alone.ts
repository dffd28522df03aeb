/**
 * The kernel of a program that is alone in its process. The program's memories are its own (`own.ts`); its frames and
 * state zone lie in a space that holds nothing else. It has no personality: whatever it calls unwinds, and the kernel
 * that the program belongs to makes the call (`enforced.ts`).
 *
 *     const alone = new Alone(module, { ... });
 *     const stop = alone.run(order);       again and again; another thread raises the safepoint word of `alone.space`
 *
 * Nothing here is durable: an order to a new process brings the whole state.
 *
 * Why: RATIONALE.md#a-program-in-a-process-of-its-own
 */
import { type Order, STOP, type Stop } from '../abi/channel.ts';
import { readTrailer } from '../abi/frame.ts';
import { FIRST_FREE_ADDRESS, OWN_MARKS_BYTES, STATE_OFFSET } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { PageHasher } from '../base/hash.ts';
import { FRAME_BYTES } from '../base/limits.ts';
import { OWNER, Space } from '../space/index.ts';
import type { SliceEnd } from './activation.ts';
import type { Personality } from './caller.ts';
import { Core, type Powers } from './core.ts';
import { type Domain, END, FLAG, NO_DEADLINE, STATE } from './domain.ts';
import type { Activation } from './gate/activations.ts';
import { Imports } from './imports.ts';
import { growStack, placeAlone, trimStack } from './memory.ts';
import { OwnMemory } from './own.ts';
import type { LoadedModule } from './program.ts';
import { Roster } from './roster.ts';
import { Runner } from './runner.ts';
import { keepTables, savedTables } from './saved.ts';
import { NO_TRACE, placesText } from './trace.ts';
import { STACK_EXHAUSTED } from './traps.ts';
import { stateBytes } from './zone.ts';

export interface AloneOptions {
  /** Nanoseconds from any fixed point. */
  monotonicNs(): bigint;
  /** HASH_KEY_BYTES random bytes. */
  readonly hashKey: Uint8Array;
  /** Most bytes of all memories. */
  readonly memoryLimitBytes: number;
  /** Most bytes of saved call stack. */
  readonly frameStackBytes: number;
}

/** The program's time, as the last order gave it. */
class ProgramClock {
  readonly #monotonicNs: () => bigint;
  #ahead = 0n;
  #started = false;

  constructor(monotonicNs: () => bigint) {
    this.#monotonicNs = monotonicNs;
  }
  set(now: bigint): void {
    this.#ahead = now - this.#monotonicNs();
    this.#started = true;
  }
  now(): bigint {
    return this.#started ? this.#ahead + this.#monotonicNs() : 0n;
  }
}

/** Every call waits: for the kernel that makes it. */
const WAITING: Personality = { resolve: () => (caller) => caller.block() };

export class Alone {
  /** For another thread, to raise the safepoint word in. */
  readonly space: Space;
  readonly #core: Core;
  readonly #domain: Domain;
  readonly #hasher: PageHasher;
  readonly #clock: ProgramClock;
  readonly #activation: Activation;
  #runner: Runner | null = null;
  #memories: OwnMemory[] = [];
  /** Bytes of saved frames that the kernel has as they are here. */
  #knownFrames = 0;
  #knownTables: Int32Array | null = null;

  constructor(module: LoadedModule, options: AloneOptions) {
    const { memories } = module.evidence;
    const space = Space.create();
    this.space = space;
    const marks = Math.max(1, (memories.length * OWN_MARKS_BYTES) / FRAME_BYTES);
    const at = space.frames.alloc(marks, OWNER.domain);
    assert(at === FIRST_FREE_ADDRESS, 'marks lie where rewritten stores expect them');
    this.#clock = new ProgramClock(options.monotonicNs);
    const powers: Powers = { monotonicNs: () => this.#clock.now(), threadCpuMicros: () => 0 };
    this.#core = new Core(space, powers, WAITING);
    this.#core.frameStackMax = options.frameStackBytes;
    this.#hasher = new PageHasher(options.hashKey);
    const { memoryLimitBytes } = options;
    this.#domain = new Roster(this.#core, () => {}).add({ name: 'alone', module, memoryLimitBytes });
    this.#activation = this.#core.activations.start(this.#domain, 0);
    this.#domain.state = STATE.ready;
  }

  /**
   * Takes over what changed, runs the program until it stops, and gives back what it changed.
   * @throws RangeError where the process cannot have the memory
   */
  run(order: Order): Stop {
    const domain = this.#domain;
    const first = this.#runner === null;
    if (this.#runner === null) this.#runner = this.#begin(order);
    this.#takeOver(order);
    this.#clock.set(order.now);
    domain.stackLow = Number.POSITIVE_INFINITY;
    let end = this.#runner.slice(this.#activation);
    // Not before: a wish to stop that comes early still holds.
    this.#core.clearFlag();
    const reason = domain.instance === null ? null : this.#runner.save(domain);
    if (reason !== null) end = { kind: 'ended', end: END.trap, code: 0, reason, trace: NO_TRACE };
    return this.#stop(end, first && order.fresh);
  }

  /** The first order says how large the memories are. */
  #begin(order: Order): Runner {
    const [domain, core] = [this.#domain, this.#core];
    this.#memories = domain.module.evidence.memories.map(
      (memory, i) => new OwnMemory(i, memory, order.sizes[i] ?? 0, this.space, this.#hasher),
    );
    domain.own = this.#memories;
    placeAlone(
      domain,
      this.#memories.map((memory) => memory.pages),
    );
    domain.setFlag(FLAG.initialised, !order.fresh);
    return new Runner(
      core,
      new Imports(
        core,
        this.#memories.map(({ memory }) => memory),
      ),
      false,
    );
  }

  #takeOver(order: Order): void {
    const [domain, space] = [this.#domain, this.space];
    for (const run of order.pages) (this.#memories[run.memory] as OwnMemory).write(run);
    space.writeBytes(domain.region + STATE_OFFSET, order.state);
    this.#activation.scratch = order.scratch;
    if (order.tables !== null) keepTables(space, domain, order.tables);
    const bytes = order.keptFrameBytes + order.frames.length;
    while (domain.stackLimit - domain.stackBase < bytes) {
      if (!growStack(domain, this.#core.frameStackMax)) throw new RangeError(STACK_EXHAUSTED);
    }
    space.writeBytes(domain.stackBase + order.keptFrameBytes, order.frames);
    domain.setStackPointer(domain.stackBase + bytes);
    this.#knownFrames = bytes;
    this.#activation.deadline = NO_DEADLINE;
  }

  #stop(end: SliceEnd, all: boolean): Stop {
    const [domain, space] = [this.#domain, this.space];
    const over = end.kind === 'ended' || end.kind === 'returned';
    if (!over) trimStack(domain);
    const length = over ? 0 : domain.stackPointer - domain.stackBase;
    const kept = Math.min(this.#knownFrames, domain.stackLow, length);
    const waiting = end.kind === 'blocked' && !this.#callsOut();
    return {
      reason: reasonOf(end, waiting),
      memoryRefused: domain.hasFlag(FLAG.memoryRefused),
      deadline: this.#activation.deadline,
      text: end.kind === 'ended' ? end.reason : '',
      trace: end.kind === 'ended' ? placesText(end.trace) : '',
      sizes: this.#memories.map((memory) => memory.pages),
      pages: over
        ? []
        : this.#memories.map((memory) => memory.changed(all)).filter(({ numbers }) => numbers.length > 0),
      keptFrameBytes: kept,
      frames: space.readBytes(domain.stackBase + kept, length - kept),
      tables: this.#changedTables(),
      state: space.readBytes(domain.region + STATE_OFFSET, stateBytes(domain.module)),
      scratch: this.#activation.scratch,
    };
  }

  /** Whether the innermost frame is of an imported function; else it waits in the middle of one of its own. */
  #callsOut(): boolean {
    const domain = this.#domain;
    const { functionNumber } = readTrailer(this.space.view, domain.stackPointer);
    return functionNumber < domain.module.info.importedFunctionCount;
  }

  #changedTables(): Int32Array | null {
    const tables = savedTables(this.space, this.#domain);
    const known = this.#knownTables;
    if (tables === null) return null;
    if (known?.length === tables.length && known.every((word, i) => word === tables[i])) return null;
    this.#knownTables = tables;
    return tables;
  }
}

function reasonOf(end: SliceEnd, waiting: boolean): number {
  if (end.kind === 'returned') return STOP.returned;
  if (end.kind === 'ended') return end.end === END.exception ? STOP.exception : STOP.trapped;
  return waiting ? STOP.waiting : STOP.paused;
}
