/**
 * Enforced domains: their code runs in a process of its own, everything else is here. The record, the image of their
 * memory, saved frames and tables lie in this space like those of any other domain, and their system calls are made here.
 *
 * The process gets an order (what changed, run), and answers with a stop: at each call the program makes, at the latest when
 * it is asked to, its code unwinds and all that changed comes back. So between an order and its stop the space holds the
 * program as it was before the order, and after it as it is; there is nothing in between. Checkpoints need not wait for
 * the process, and a process that dies takes nothing with it but some computing, which another does again: no call was
 * made meanwhile, and nothing was said.
 *
 * All that comes from the process may come from an attacker. It cannot be worse than the program: what it sends is
 * the program's own memory and frames, which are believed nowhere.
 *
 * Why: RATIONALE.md#a-program-in-a-process-of-its-own
 */
import { type Order, type PageRun, STOP, type Stop } from '../abi/channel.ts';
import { RESULTS_OFFSET, STATE_OFFSET, VALUE_BYTES } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { EnvironmentError } from '../base/errors.ts';
import { FRAME_BYTES, PAGE_BYTES, PROCESS_DEATHS_MAX } from '../base/limits.ts';
import { chargeTime } from './account/time.ts';
import { damaged, ended, type SliceEnd } from './activation.ts';
import { CoreCaller } from './call.ts';
import { type ImportValue, SCRATCH_WORDS } from './caller.ts';
import type { Core } from './core.ts';
import { type Domain, END, FLAG, NO_DEADLINE, STATE } from './domain.ts';
import type { Enclosure, Enclosures, Lost } from './enclosure.ts';
import { type FrameHead, readFrame, readFrameValues } from './frames.ts';
import type { Activation } from './gate/activations.ts';
import type { Imports } from './imports.ts';
import { growStack, growTo, mostPages } from './memory.ts';
import type { ImportName, LoadedModule } from './program.ts';
import { keepTables, markControl, savedTables } from './saved.ts';
import { Touched } from './touched.ts';
import { NO_TRACE, retold } from './trace.ts';
import { STACK_EXHAUSTED, savedTrace } from './traps.ts';
import { toNumber, toRaw } from './values.ts';
import { stateBytes } from './zone.ts';

/** What this process knows of the one in which a domain's code runs. */
export class Seat {
  readonly enclosure: Enclosure;
  /** An order is out whose stop has not come. */
  computing = false;
  /** It has had an order, so it has the whole state but for what follows. */
  informed = false;
  /** Pages (of memory 0) that system calls wrote since. */
  readonly written = new Set<number>();
  /** Bytes of saved frames that it has. */
  knownFrames = 0;

  constructor(enclosure: Enclosure) {
    this.enclosure = enclosure;
  }

  close(): void {
    this.enclosure.close();
  }
}

export class Enforcer {
  readonly #core: Core;
  readonly #imports: Imports;
  readonly #caller: CoreCaller;
  readonly #enclosures: Enclosures | undefined;
  /** How often in a row the process of a domain was lost before it had stopped once. */
  readonly #deaths = new WeakMap<Domain, number>();
  readonly #problem: (text: string) => void;

  constructor(
    core: Core,
    imports: Imports,
    enclosures?: Enclosures,
    problem: (text: string) => void = () => {},
  ) {
    this.#core = core;
    this.#imports = imports;
    this.#caller = new CoreCaller(core);
    this.#enclosures = enclosures;
    this.#problem = problem;
  }

  /** @throws EnvironmentError where programs cannot have processes here, or it wants what they cannot have or nobody supplies */
  check(domain: Domain): void {
    if (domain.hasFlag(FLAG.resident)) {
      throw new EnvironmentError(
        'no-processes',
        `${domain.name}: what is called from outside cannot have a process of its own`,
      );
    }
    if (this.#enclosures === undefined) {
      throw new EnvironmentError(
        'no-processes',
        `${domain.name}: programs cannot have processes of their own here`,
      );
    }
    this.#imports.checkAlone(domain);
  }

  /** One turn: takes what has come from its process, makes the call it stands in, and lets it go on. */
  slice(domain: Domain): SliceEnd {
    const { seat } = domain;
    domain.state = STATE.running;
    mainOf(domain).deadline = NO_DEADLINE;
    if (seat?.computing) {
      const come = seat.enclosure.take();
      this.#charge(domain, seat);
      if (come === null) return { kind: 'blocked' };
      seat.computing = false;
      const end = 'lost' in come ? this.#lost(domain, come) : this.#apply(domain, seat, come);
      if (end !== null) return end;
    }
    const end = this.#makeCalls(domain);
    if (end !== null) return end;
    this.#order(domain);
    return { kind: 'blocked' };
  }

  /** What its process did, if it stands by now; null where it runs on. */
  takeHome(domain: Domain): SliceEnd | null {
    const { seat } = domain;
    const come = seat?.enclosure.take() ?? null;
    if (seat === null || come === null) {
      seat?.enclosure.ask();
      return null;
    }
    this.#charge(domain, seat);
    seat.computing = false;
    return (
      ('lost' in come ? this.#lost(domain, come) : this.#apply(domain, seat, come)) ?? { kind: 'paused' }
    );
  }

  #charge(domain: Domain, seat: Seat): void {
    chargeTime(domain, seat.enclosure.cpuMicros());
  }

  /** Null where another process may go on. */
  #lost(domain: Domain, { lost, hostile }: Lost): SliceEnd | null {
    domain.seat?.close();
    domain.seat = null;
    const deaths = (this.#deaths.get(domain) ?? 0) + 1;
    this.#deaths.set(domain, deaths);
    if (!hostile && deaths < PROCESS_DEATHS_MAX) {
      this.#problem(`${domain.name}: ${lost}; it goes on in another from its last call`);
      return null;
    }
    const often = deaths > 1 ? `, ${deaths} times in a row` : '';
    return { kind: 'ended', end: END.trap, code: 0, reason: `${lost}${often}`, trace: savedTrace(domain) };
  }

  /** Puts what the process did into the space. Null where the program goes on. */
  #apply(domain: Domain, seat: Seat, stop: Stop): SliceEnd | null {
    this.#deaths.delete(domain);
    const { space } = domain;
    if (stop.memoryRefused) domain.setFlag(FLAG.memoryRefused, true);
    const trace = retold(domain, stop.trace);
    if (stop.reason === STOP.trapped) {
      return { kind: 'ended', end: END.trap, code: 0, reason: stop.text, trace };
    }
    if (stop.reason === STOP.exception) {
      return { kind: 'ended', end: END.exception, code: 0, reason: 'uncaught exception', trace };
    }
    for (const [memory, pages] of stop.sizes.entries()) {
      if (growTo(domain, memory, pages)) continue;
      return {
        kind: 'ended',
        end: END.limit,
        code: 0,
        reason: 'no room for its memory in the space',
        trace: NO_TRACE,
      };
    }
    for (const run of stop.pages) writePages(domain, run);
    const kept = stop.keptFrameBytes;
    const bytes = kept + stop.frames.length;
    if (kept > seat.knownFrames) return damaged(domain);
    while (domain.stackLimit - domain.stackBase < bytes) {
      if (growStack(domain, this.#core.frameStackMax)) continue;
      return { kind: 'ended', end: END.trap, code: 0, reason: STACK_EXHAUSTED, trace: NO_TRACE };
    }
    space.writeBytes(domain.stackBase + kept, stop.frames);
    domain.setStackPointer(domain.stackBase + bytes);
    seat.knownFrames = bytes;
    space.writeBytes(domain.region + STATE_OFFSET, stop.state);
    markControl(domain);
    domain.setFlag(FLAG.initialised, true);
    if (stop.tables !== null) keepTables(space, domain, stop.tables);
    setScratch(domain, stop.scratch);
    if (stop.reason === STOP.returned) return { kind: 'returned' };
    if (stop.reason !== STOP.waiting) return null;
    if (stop.deadline !== NO_DEADLINE) {
      const deadline = BigInt.asIntN(64, stop.deadline) - domain.clockOffset;
      mainOf(domain).deadline = deadline < 0n ? 0n : deadline;
    }
    return { kind: 'blocked' };
  }

  /** Makes the system calls that the innermost frames stand in. Null when the program's own code is next. */
  #makeCalls(domain: Domain): SliceEnd | null {
    const { space, module } = domain;
    for (;;) {
      if (domain.stackPointer === domain.stackBase) return { kind: 'returned' };
      const frame = readFrame(space, domain.infos, domain.stackBase, domain.stackPointer);
      if (frame === null) return damaged(domain);
      if (frame.functionIndex >= module.info.importedFunctionCount) return null;
      const end = this.#makeCall(domain, frame);
      if (end !== null) return end;
      domain.setStackPointer(frame.start);
    }
  }

  /** The call of an imported function that its frame asks for; its result goes to the result area. */
  #makeCall(domain: Domain, frame: FrameHead): SliceEnd | null {
    const core = this.#core;
    const { space, module, seat } = domain;
    const { functionIndex } = frame;
    const call = this.#imports.calls(module, domain.hasFlag(FLAG.trapUnknown))[functionIndex] as
      | ((caller: CoreCaller, ...args: unknown[]) => ImportValue | undefined)
      | undefined;
    const { params, results } = module.info.functionShape(functionIndex);
    const { locals } = readFrameValues(space, frame);
    const args = params.map((type, i) => toNumber(locals[i] ?? { type, low: 0n, high: 0n }));
    assert(core.current === null, 'one domain runs at a time');
    core.current = domain;
    core.activation = mainOf(domain);
    core.blocked = false;
    domain.liveFrom = domain.stackPointer - domain.stackBase;
    core.touched = new Touched(domain);
    let end: SliceEnd | null = null;
    try {
      const value =
        call === undefined
          ? core.trap(`unknown import ${importName(module, functionIndex)}`)
          : call(this.#caller, ...args);
      core.running().clearScratch();
      keepResult(domain, results, value);
    } catch (error) {
      if (core.translate(error) !== core.unwind) throw error;
      if (domain.ending !== null) end = ended(domain);
      else end = core.blocked ? { kind: 'blocked' } : { kind: 'paused' };
    } finally {
      for (const page of core.touched.finish()) seat?.written.add(page);
      core.touched = null;
      core.current = null;
      core.activation = null;
    }
    const { fault } = core;
    core.fault = null;
    if (fault !== null) throw fault.error;
    return end;
  }

  /** Sends what the process does not have yet, and lets it run. */
  #order(domain: Domain): void {
    if (domain.seat?.enclosure.alive === false) {
      domain.seat.close();
      domain.seat = null;
    }
    domain.seat ??= this.#open(domain);
    const { space, seat } = domain;
    const whole = !seat.informed;
    const length = domain.stackPointer - domain.stackBase;
    const kept = whole ? 0 : Math.min(length, seat.knownFrames);
    const order: Order = {
      fresh: !domain.hasFlag(FLAG.initialised),
      now: this.#core.now() + domain.clockOffset,
      sizes: Array.from({ length: domain.memoryCount }, (_, i) => domain.pagesOf(i)),
      pages: whole ? allPages(domain) : writtenPages(domain, seat.written),
      keptFrameBytes: kept,
      frames: space.readBytes(domain.stackBase + kept, length - kept),
      tables: whole ? savedTables(space, domain) : null,
      state: space.readBytes(domain.region + STATE_OFFSET, stateBytes(domain.module)),
      scratch: mainOf(domain).scratch,
    };
    seat.written.clear();
    seat.knownFrames = length;
    seat.informed = true;
    seat.computing = true;
    seat.enclosure.run(order);
  }

  #open(domain: Domain): Seat {
    assert(this.#enclosures !== undefined, 'enforced domains are made where there are processes for them');
    return new Seat(
      this.#enclosures.open({
        domain: domain.id,
        name: domain.name,
        module: domain.module,
        memoryLimitBytes: domain.memoryBytes + domain.settleMemory(),
        limits: {
          pages: mostPages(domain),
          stateBytes: stateBytes(domain.module),
          scratchBytes: 8 * SCRATCH_WORDS,
          frameBytes: this.#core.frameStackMax,
        },
      }),
    );
  }
}

/** The one activation such a domain has: none can come in from outside. */
function mainOf({ main }: Domain): Activation {
  assert(main !== null, 'an enforced domain that runs has been started');
  return main;
}

function importName({ info }: LoadedModule, functionIndex: number): string {
  const { module, name } = info.imports.filter(({ kind }) => kind === 'func')[functionIndex] as ImportName;
  return `${module}.${name}`;
}

function setScratch(domain: Domain, scratch: Uint8Array): void {
  if (scratch.every((byte) => byte === 0)) {
    mainOf(domain).clearScratch();
    return;
  }
  mainOf(domain).scratch = scratch;
}

/** A call's result, as the program's code finds it. */
function keepResult(domain: Domain, results: readonly number[], value: ImportValue | undefined): void {
  const [type] = results;
  if (type === undefined) return;
  const raw = toRaw(type, value ?? 0);
  if (raw === null) return; // of a type that no personality gives
  const { space, region } = domain;
  space.setU64(region + RESULTS_OFFSET, BigInt.asUintN(64, raw.low));
  space.setU64(region + RESULTS_OFFSET + VALUE_BYTES / 2, 0n);
}

function writePages(domain: Domain, { memory, numbers, data }: PageRun): void {
  const { space } = domain;
  const base = domain.addressOf(memory);
  for (let i = 0; i < numbers.length; ) {
    const first = numbers[i] as number;
    let run = 1;
    while (i + run < numbers.length && numbers[i + run] === first + run) run++;
    space.writeBytes(base + first * PAGE_BYTES, data.subarray(i * PAGE_BYTES, (i + run) * PAGE_BYTES));
    i += run;
  }
}

/** Every page of every memory that is not zero. */
function allPages(domain: Domain): PageRun[] {
  if (!domain.hasFlag(FLAG.initialised)) return [];
  const runs: PageRun[] = [];
  for (let memory = 0; memory < domain.memoryCount; memory++) {
    const { u32 } = domain.space;
    const base = domain.addressOf(memory);
    const numbers: number[] = [];
    for (let page = 0; page < domain.bytesOf(memory) / PAGE_BYTES; page++) {
      if (!isZero(u32, (base + page * PAGE_BYTES) / 4)) numbers.push(page);
    }
    if (numbers.length > 0) runs.push(copied(domain, memory, numbers));
  }
  return runs;
}

/** Whether the page whose words begin at `from` is all zero. Most are wholly zero or begin otherwise. */
function isZero(u32: Uint32Array, from: number): boolean {
  for (let i = from; i < from + PAGE_BYTES / 4; i += 4) {
    if (((u32[i] as number) | (u32[i + 1] as number) | (u32[i + 2] as number) | (u32[i + 3] as number)) !== 0)
      return false;
  }
  return true;
}

function writtenPages(domain: Domain, pages: ReadonlySet<number>): PageRun[] {
  if (pages.size === 0) return [];
  return [
    copied(
      domain,
      0,
      [...pages].sort((a, b) => a - b),
    ),
  ];
}

function copied(domain: Domain, memory: number, numbers: readonly number[]): PageRun {
  const data = new Uint8Array(numbers.length * PAGE_BYTES);
  const { u8 } = domain.space;
  const base = domain.addressOf(memory);
  for (const [i, page] of numbers.entries()) {
    const from = base + page * PAGE_BYTES;
    data.set(u8.subarray(from, from + PAGE_BYTES), i * PAGE_BYTES);
  }
  return { memory, numbers: Uint32Array.from(numbers), data };
}

assert(FRAME_BYTES % PAGE_BYTES === 0, 'memories are whole pages');
