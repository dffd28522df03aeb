/**
 * The kernel: domains over one space, on one thread. Everything that must outlive this object is in the space; make a
 * space, make a kernel on it, and after a crash `Kernel.recover` on the space the checkpoint holds.
 *
 *     const kernel = new Kernel(Space.create({ id }), { powers, personality });
 *     const id = kernel.createDomain({ name: 'demo', module, personalityState });
 *     kernel.start(id, '_start');
 *     const { idle, nextDeadline } = kernel.run();
 *     const cut = kernel.cut();
 *
 * `run` returns when the safepoint word is raised, when nothing is ready, or after `maxSlices`. Raise the word from
 * another thread (FLAG_ADDRESS in `space.memory`) again and again while something is wanted: one raise can be lost
 * between two slices. Call everything else between runs only, `wake` also from inside system calls.
 */
import { assert } from '../base/assert.ts';
import { EnvironmentError } from '../base/errors.ts';
import { DEFAULT_MEMORY_LIMIT_BYTES, DOMAIN_NAME_MAX_BYTES } from '../base/limits.ts';
import { RecordTable, ROOT, type Space, SUPERBLOCK_ADDRESS, Superblock } from '../space/index.ts';
import { clearFrames, pushEntry, readResults, runActivation, type SliceEnd } from './activation.ts';
import type { Personality } from './caller.ts';
import { Core, type Powers } from './core.ts';
import { type Cut, type CutOptions, takeCut } from './cut.ts';
import {
  Domain,
  DomainRecord,
  END,
  END_NAMES,
  type EndName,
  FLAG,
  hashOf,
  NO_DEADLINE,
  STATE,
  STATE_NAMES,
  type StateName,
} from './domain.ts';
import type { RawValue } from './frames.ts';
import { headroom } from './headroom.ts';
import { adoptImage, checkImage, type DomainImage, makeImage } from './image.ts';
import { Imports } from './imports.ts';
import { type Inspection, inspectDomain } from './inspect.ts';
import { Instance } from './instance.ts';
import { framesOf, placeDomain, releaseExtents, relocateDomain } from './memory.ts';
import type { LoadedModule } from './program.ts';
import { savedTables, saveInstance, writeTables } from './saved.ts';
import { Scheduler } from './scheduler.ts';
import { describeTrap } from './traps.ts';
import { type Argument, toRaw } from './values.ts';

const R = DomainRecord.fields;
const S = Superblock.fields;

export interface KernelOptions {
  powers: Powers;
  personality: Personality;
  /** Unwind at every safepoint: for tests of suspend and resume. */
  stress?: boolean;
  /** A domain has ended; its status can still be asked. */
  onEnd?: (id: number) => void;
}

export interface DomainOptions {
  /** Not empty, unique in the space, no control characters, at most DOMAIN_NAME_MAX_BYTES. */
  name: string;
  module: LoadedModule;
  /** Most bytes of all its memories. */
  memoryLimitBytes?: number;
  /** Most processor time in milliseconds; 0 for no limit. */
  cpuLimitMs?: number;
  /** Not part of checkpoints. */
  volatile?: boolean;
  detached?: boolean;
  /** It can be called again after a call returned or trapped. */
  resident?: boolean;
  /** Imports nobody supplies trap when called, instead of being refused. */
  trapUnknownImports?: boolean;
  /** The personality's state for it; the kernel releases it with the domain, and when it cannot be made. */
  personalityState?: number;
}

export interface DomainStatus {
  id: number;
  name: string;
  state: StateName;
  /** How it ended; 'none' while it has not. */
  end: EndName;
  exitCode: number;
  reason: string;
  trace: string;
  hash: string;
  memoryBytes: number;
  memoryLimitBytes: number;
  /** Bytes of the space it holds. */
  spaceBytes: number;
  cpuMicros: number;
  cpuLimitMs: number;
  volatile: boolean;
  detached: boolean;
  personalityState: number;
}

export interface RunResult {
  slices: number;
  /** Nothing is ready. */
  idle: boolean;
  /** When a blocked domain wants to go on, in `now()` terms. */
  nextDeadline: bigint | null;
}

/** How a call of a resident domain ended. */
export type Outcome =
  | { kind: 'returned'; results: RawValue[] }
  | { kind: 'trap'; reason: string; trace: string }
  | { kind: 'exception'; exception: unknown }
  | { kind: 'exit'; code: number }
  | { kind: 'blocked' };

/** The program trapped before it began: an active segment that does not fit. */
export class ProgramTrapError extends Error {
  override name = 'ProgramTrapError';
  readonly trace: string;
  constructor(reason: string, trace: string) {
    super(reason);
    this.trace = trace;
  }
}

export class Kernel {
  readonly space: Space;
  readonly core: Core;
  readonly #imports: Imports;
  readonly #options: KernelOptions;
  readonly #table: RecordTable;
  readonly #domains = new Map<number, Domain>();
  readonly #byName = new Map<string, Domain>();
  readonly #scheduler = new Scheduler();
  /** Domains that ran since the last cut: what their instances hold is not in the space yet. */
  readonly #ran = new Set<Domain>();

  constructor(space: Space, options: KernelOptions) {
    headroom();
    this.space = space;
    this.#options = options;
    this.core = new Core(space, options.powers, options.personality);
    this.#imports = new Imports(this.core);
    this.#table = RecordTable.open(space, ROOT.domains, DomainRecord.bytes);
  }

  /** The programs the domains of a space need: ask before `recover`. */
  static moduleHashes(space: Space): string[] {
    const table = RecordTable.open(space, ROOT.domains, DomainRecord.bytes);
    const needed = [...table.rows()].map((row) => table.address(row)).filter((at) => needsModule(space, at));
    return [...new Set(needed.map((at) => hashOf(space, at)))];
  }

  /**
   * A kernel on the space of a checkpoint: every domain goes on where the cut found it. Volatile domains are gone.
   * @param source the program for a hash, or undefined where it is not at hand
   * @throws EnvironmentError naming a program that is missing
   */
  static recover(
    space: Space,
    options: KernelOptions,
    source: (hash: string) => LoadedModule | undefined,
  ): Kernel {
    const kernel = new Kernel(space, options);
    for (const row of [...kernel.#table.rows()]) kernel.#recoverRow(kernel.#table.address(row), source);
    return kernel;
  }

  /** Monotonic time of the space, ns. */
  now(): bigint {
    return this.core.now();
  }

  /**
   * A new domain: its memory is placed and filled, none of its code has run. Returns its id.
   * @throws EnvironmentError (name, memory limit, unknown imports), SpaceFullError, ProgramTrapError; nothing is left
   */
  createDomain(options: DomainOptions): number {
    const { module, personalityState = 0 } = options;
    let domain: Domain | null = null;
    try {
      checkName(options.name, this.#byName.has(options.name));
      this.#imports.for(module, options.trapUnknownImports === true);
      domain = this.#newRecord(options);
      const pages = module.evidence.memories.map((memory) => memory.min);
      placeDomain(domain, pages);
      this.#instantiate(domain);
      return domain.id;
    } catch (error) {
      if (domain !== null) this.#drop(domain);
      else if (personalityState !== 0) this.#release(0, personalityState);
      throw error;
    }
  }

  /**
   * Makes the domain call an exported function when it runs next; its start function comes first.
   * @throws EnvironmentError where there is no such function, or the arguments do not fit it
   */
  start(id: number, exportName: string, args: readonly Argument[] = []): void {
    const domain = this.#domain(id);
    const { info } = domain.module;
    assert(domain.state === STATE.created, 'a domain is started when it has nothing to run');
    const functionIndex = info.exportedFunction(exportName);
    if (functionIndex < 0) {
      throw new EnvironmentError(
        'no-such-export',
        `${domain.name}: the program exports no function "${exportName}"`,
      );
    }
    const { params } = info.functionShape(functionIndex);
    const raws = params.map((type, i) => toRaw(type, args[i] ?? 0));
    if (args.length > params.length || raws.some((raw) => raw === null)) {
      throw new EnvironmentError('bad-argument', `${domain.name}: the arguments do not fit "${exportName}"`);
    }
    clearFrames(domain);
    R.entry.set(this.space, domain.at, functionIndex);
    let pushed = pushEntry(domain, functionIndex, raws as RawValue[]);
    if (pushed && info.startFunction >= 0 && !domain.hasFlag(FLAG.started)) {
      pushed = pushEntry(domain, info.startFunction, []);
    }
    if (!pushed) {
      clearFrames(domain);
      throw new EnvironmentError('no-such-export', `${domain.name}: "${exportName}" cannot be started`);
    }
    domain.setFlag(FLAG.started, true);
    this.#makeReady(domain);
  }

  /** Runs domains in turn; see the head of this file. */
  run(options: { maxSlices?: number } = {}): RunResult {
    const { core } = this;
    const most = options.maxSlices ?? Number.POSITIVE_INFINITY;
    core.clearFlag();
    let slices = 0;
    for (; slices < most; slices++) {
      for (const domain of this.#scheduler.expired(this.now())) this.#makeReady(domain);
      const domain = this.#scheduler.next();
      if (domain === null) return { slices, idle: true, nextDeadline: this.#scheduler.nextDeadline() };
      core.yielded = false;
      this.#slice(domain);
      if (core.yielded || this.#options.stress) core.clearFlag();
      else if (core.flagRaised) {
        slices++;
        break;
      }
    }
    return { slices, idle: false, nextDeadline: this.#scheduler.nextDeadline() };
  }

  /** Calls an exported function of a resident domain and runs only that domain until the call is over or blocks. */
  invoke(id: number, exportName: string, args: readonly Argument[] = []): Outcome {
    const domain = this.#domain(id);
    assert(domain.hasFlag(FLAG.resident), 'only resident domains are called');
    this.start(id, exportName, args);
    return this.proceed(id);
  }

  /** Goes on with a call of a resident domain that was blocked. */
  proceed(id: number): Outcome {
    const domain = this.#domain(id);
    if (domain.state === STATE.blocked) this.#makeReady(domain);
    for (;;) {
      this.core.clearFlag();
      const end = this.#slice(domain);
      if (end.kind === 'blocked') return { kind: 'blocked' };
      if (end.kind === 'returned') {
        return { kind: 'returned', results: readResults(domain, R.entry.get(this.space, domain.at)) };
      }
      if (end.kind !== 'ended') continue;
      if (end.end === END.exit) return { kind: 'exit', code: end.code };
      if (end.end === END.exception) return { kind: 'exception', exception: end.exception };
      return { kind: 'trap', reason: end.reason, trace: end.trace };
    }
  }

  /** What the domain waits for may have come. Safe for any id, at any time. */
  wake(id: number): void {
    const domain = this.#domains.get(id);
    if (domain === undefined) return;
    if (domain.state === STATE.running) domain.wakePending = true;
    else if (domain.state === STATE.blocked) this.#makeReady(domain);
  }

  /** Suspends a domain until `resume`. False where there is nothing to suspend. */
  stop(id: number): boolean {
    const domain = this.#domain(id);
    if (domain.state !== STATE.ready && domain.state !== STATE.blocked) return false;
    domain.state = STATE.stopped;
    return true;
  }

  /** Lets a stopped domain go on. */
  resume(id: number): boolean {
    const domain = this.#domain(id);
    if (domain.state !== STATE.stopped) return false;
    this.#makeReady(domain);
    return true;
  }

  /** Ends a domain. What is left is its record, until `remove`. */
  kill(id: number, reason = 'killed'): void {
    const domain = this.#domain(id);
    if (domain.state !== STATE.exited) this.#end(domain, END.killed, 0, reason, '');
  }

  /** Forgets a domain, ending it if it has not ended. */
  remove(id: number): void {
    const domain = this.#domain(id);
    if (domain.state !== STATE.exited) this.#end(domain, END.killed, 0, 'removed', '');
    this.#drop(domain);
  }

  setDetached(id: number, detached: boolean): void {
    this.#domain(id).setFlag(FLAG.detached, detached);
  }

  /** Moves everything the domain has to another place in the space. */
  relocate(id: number): void {
    relocateDomain(this.#domain(id));
  }

  /** Id of the domain with this name, or -1. */
  find(name: string): number {
    return this.#byName.get(name)?.id ?? -1;
  }

  ids(): number[] {
    return [...this.#domains.keys()];
  }

  status(id: number): DomainStatus {
    const { space } = this;
    const domain = this.#domain(id);
    const { at } = domain;
    return {
      id,
      name: domain.name,
      state: STATE_NAMES[domain.state] as StateName,
      end: END_NAMES[R.end.get(space, at)] as EndName,
      exitCode: R.exitCode.get(space, at),
      reason: domain.reason,
      trace: domain.trace,
      hash: hashOf(space, at),
      memoryBytes: domain.memoryBytes,
      memoryLimitBytes: R.memoryLimit.get(space, at),
      spaceBytes: framesOf(space, domain),
      cpuMicros: R.cpuUsed.get(space, at),
      cpuLimitMs: R.cpuLimit.get(space, at) / 1000,
      volatile: domain.hasFlag(FLAG.volatile),
      detached: domain.hasFlag(FLAG.detached),
      personalityState: R.personality.get(space, at),
    };
  }

  /** State, memory and the program's own call stack with values. The domain is not running. */
  inspect(id: number): Inspection {
    return inspectDomain(this.#domain(id));
  }

  /** The running form of a domain: for embedders and test suites. It may be replaced at any time. */
  instance(id: number): Instance {
    const domain = this.#domain(id);
    assert(domain.state !== STATE.exited, 'a domain that ended has no instance');
    return this.#instance(domain);
  }

  /**
   * The changed pages since the last cut, as one consistent state of the space; null when nothing changed. What
   * instances hold is saved first, so a domain that cannot be saved (a host reference in a global) ends here.
   */
  cut(options: CutOptions = {}): Cut | null {
    assert(this.core.current === null, 'a cut is made while nothing runs');
    for (const domain of this.#ran) {
      domain.ran = false;
      if (!domain.alive || domain.instance === null || domain.hasFlag(FLAG.volatile)) continue;
      this.#save(domain);
    }
    this.#ran.clear();
    return takeCut(this.core, options);
  }

  /** A domain as plain data, to carry to another space. It must not run; it stays where it is. */
  exportDomain(id: number): DomainImage {
    const domain = this.#domain(id);
    if (domain.instance !== null && domain.ran) this.#save(domain);
    return makeImage(this.core, domain);
  }

  /**
   * A domain from an image, stopped or as it was. The image may be hostile. Returns its id.
   * @throws MalformedError, EnvironmentError, SpaceFullError with nothing left behind
   */
  importDomain(image: DomainImage, module: LoadedModule, name = image.name): number {
    checkImage(image, module);
    checkName(name, this.#byName.has(name));
    this.#imports.for(module, image.trapUnknownImports === true);
    const domain = this.#newRecord({
      name,
      module,
      memoryLimitBytes: image.memoryLimitBytes,
      cpuLimitMs: image.cpuLimitMs,
      trapUnknownImports: image.trapUnknownImports === true,
      resident: image.resident === true,
    });
    try {
      const ready = adoptImage(this.core, domain, image);
      if (domain.state !== STATE.exited) this.#instance(domain);
      if (ready) this.#makeReady(domain);
      return domain.id;
    } catch (error) {
      this.#drop(domain);
      throw error;
    }
  }

  // ----------------------------------------------------------------------------------------------------------------

  #domain(id: number): Domain {
    const domain = this.#domains.get(id);
    if (domain === undefined) throw new EnvironmentError('no-such-domain', `there is no domain ${id}`);
    return domain;
  }

  #newRecord(options: DomainOptions): Domain {
    const { space } = this;
    const row = this.#table.insert();
    const at = this.#table.address(row);
    const id = S.nextDomain.get(space, SUPERBLOCK_ADDRESS);
    S.nextDomain.set(space, SUPERBLOCK_ADDRESS, id + 1);
    const name = new TextEncoder().encode(options.name);
    R.id.set(space, at, id);
    R.row.set(space, at, row);
    R.state.set(space, at, STATE.created);
    R.flags.set(
      space,
      at,
      (options.volatile ? FLAG.volatile : 0) |
        (options.detached ? FLAG.detached : 0) |
        (options.resident ? FLAG.resident : 0) |
        (options.trapUnknownImports ? FLAG.trapUnknown : 0),
    );
    R.name.set(space, at, name);
    R.nameBytes.set(space, at, name.length);
    R.hash.set(space, at, hashBytes(options.module.hash));
    R.memoryLimit.set(space, at, options.memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT_BYTES);
    R.cpuLimit.set(space, at, Math.ceil((options.cpuLimitMs ?? 0) * 1000));
    R.created.set(space, at, this.now());
    R.deadline.set(space, at, NO_DEADLINE);
    R.personality.set(space, at, options.personalityState ?? 0);
    const domain = new Domain(space, at, options.module);
    this.#adopt(domain);
    return domain;
  }

  #adopt(domain: Domain): void {
    this.#domains.set(domain.id, domain);
    this.#byName.set(domain.name, domain);
  }

  #recoverRow(at: number, source: (hash: string) => LoadedModule | undefined): void {
    const { space } = this;
    const needed = needsModule(space, at);
    const hash = hashOf(space, at);
    const module = needed ? source(hash) : undefined;
    // Domains that have ended or are to be dropped are told and cleaned up without their program.
    const domain = new Domain(space, at, module ?? ({ hash } as LoadedModule));
    if (needed && module === undefined) {
      throw new EnvironmentError(
        'missing-program',
        `${domain.name}: its program ${hash} is not in the store`,
      );
    }
    this.#adopt(domain);
    if (domain.hasFlag(FLAG.volatile)) {
      this.#drop(domain);
      return;
    }
    if (domain.state === STATE.ready || domain.state === STATE.blocked) this.#makeReady(domain);
    assert(domain.state !== STATE.running, 'no code runs at a cut');
  }

  #makeReady(domain: Domain): void {
    domain.state = STATE.ready;
    this.#scheduler.enqueue(domain);
  }

  /** The instance of a domain, made again from the space where there is none. */
  #instance(domain: Domain): Instance {
    if (domain.instance === null) this.#instantiate(domain);
    return domain.instance as Instance;
  }

  #instantiate(domain: Domain): void {
    const { space, core } = this;
    try {
      const instance = new Instance(
        domain,
        this.#imports.for(domain.module, domain.hasFlag(FLAG.trapUnknown)),
      );
      domain.instance = instance;
      this.#speakingFor(domain, () => {
        if (!domain.hasFlag(FLAG.initialised)) {
          instance.init();
          domain.setFlag(FLAG.initialised, true);
          return;
        }
        instance.restore();
        const tables = savedTables(space, domain);
        if (tables !== null && !writeTables(instance, tables)) core.trap('damaged tables');
      });
      this.#noteRan(domain);
    } catch (error) {
      domain.instance = null;
      if (domain.ending !== null) {
        const { reason } = domain.ending;
        domain.ending = null;
        throw new ProgramTrapError(reason, '');
      }
      if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
      const { reason, trace } = describeTrap(domain, error);
      throw new ProgramTrapError(reason, trace);
    }
  }

  #noteRan(domain: Domain): void {
    domain.ran = true;
    this.#ran.add(domain);
  }

  /** Runs a part of the domain's code that is not its program: system calls in it find their caller. */
  #speakingFor(domain: Domain, body: () => void): void {
    const { core } = this;
    assert(core.current === null, 'one domain runs at a time');
    core.current = domain;
    try {
      body();
    } finally {
      core.current = null;
    }
  }

  /** Puts into the space what the instance holds. A domain for which that cannot be done ends. */
  #save(domain: Domain): void {
    try {
      this.#speakingFor(domain, () => saveInstance(this.space, domain));
    } catch (error) {
      const { ending } = domain;
      domain.ending = null;
      const known = error instanceof WebAssembly.RuntimeError || ending !== null;
      if (!known) throw error;
      const reason = ending?.reason ?? 'its globals cannot be saved';
      if (domain.state !== STATE.exited) this.#end(domain, END.trap, 0, reason, '');
    }
  }

  /** One turn of a domain. */
  #slice(domain: Domain): SliceEnd {
    const { space, core } = this;
    const { powers } = core;
    const before = powers.threadCpuMicros();
    let end: SliceEnd;
    try {
      this.#instance(domain);
      domain.wakePending = false;
      this.#noteRan(domain);
      end = runActivation(core, domain, this.#options.stress === true);
    } catch (error) {
      if (!(error instanceof ProgramTrapError)) throw error;
      end = { kind: 'ended', end: END.trap, code: 0, reason: error.message, trace: error.trace };
    }
    const used = R.cpuUsed.get(space, domain.at) + Math.max(0, powers.threadCpuMicros() - before);
    R.cpuUsed.set(space, domain.at, Math.round(used));
    const limit = R.cpuLimit.get(space, domain.at);
    if (limit > 0 && used >= limit && (end.kind === 'paused' || end.kind === 'blocked')) {
      end = { kind: 'ended', end: END.limit, code: 0, reason: 'cpu limit', trace: '' };
    }
    this.#settle(domain, end);
    return end;
  }

  #settle(domain: Domain, end: SliceEnd): void {
    const resident = domain.hasFlag(FLAG.resident);
    if (end.kind === 'paused' || (end.kind === 'blocked' && domain.wakePending)) {
      this.#makeReady(domain);
    } else if (end.kind === 'blocked') {
      domain.state = STATE.blocked;
      this.#scheduler.sleep(domain);
    } else if (resident && !(end.kind === 'ended' && (end.end === END.limit || end.end === END.killed))) {
      if (end.kind === 'ended') clearFrames(domain);
      domain.state = STATE.created;
    } else if (end.kind === 'returned') {
      this.#end(domain, END.exit, 0, '', '');
    } else {
      this.#end(domain, end.end, end.code, end.reason, end.trace);
    }
  }

  /** The domain will not run again: everything but its record is given back. */
  #end(domain: Domain, end: number, code: number, reason: string, trace: string): void {
    const { space } = this;
    const { at } = domain;
    this.#giveBack(domain, end, code);
    R.end.set(space, at, end);
    R.exitCode.set(space, at, code);
    domain.setTexts(reason, trace);
    domain.state = STATE.exited;
    this.#options.onEnd?.(domain.id);
  }

  #giveBack(domain: Domain, end: number, code: number): void {
    const { space } = this;
    const { at } = domain;
    domain.instance = null;
    this.#ran.delete(domain);
    const state = R.personality.get(space, at);
    R.personality.set(space, at, 0);
    if (state !== 0) {
      const kind = end === END.exception ? 'trap' : end === END.none ? 'removed' : END_NAMES[end];
      this.core.personality.release?.(space, domain.id, state, {
        kind: kind as 'exit' | 'trap' | 'limit' | 'killed' | 'removed',
        code,
      });
    }
    releaseExtents(domain);
    const tables = R.tables.get(space, at);
    if (tables !== 0) space.heap.free(tables);
    R.tables.set(space, at, 0);
    domain.clearScratch();
    domain.deadline = NO_DEADLINE;
  }

  /** Forgets the record. */
  #drop(domain: Domain): void {
    if (domain.state !== STATE.exited) this.#giveBack(domain, END.none, 0);
    domain.setTexts('', '');
    domain.alive = false;
    this.#domains.delete(domain.id);
    this.#byName.delete(domain.name);
    this.#table.remove(R.row.get(this.space, domain.at));
  }

  #release(id: number, personalityState: number): void {
    this.core.personality.release?.(this.space, id, personalityState, { kind: 'removed', code: 0 });
  }
}

/** Whether the record's domain will run again. */
function needsModule(space: Space, at: number): boolean {
  return R.state.get(space, at) !== STATE.exited && (R.flags.get(space, at) & FLAG.volatile) === 0;
}

function hashBytes(hash: string): Uint8Array {
  assert(/^[0-9a-f]{64}$/.test(hash), 'a program is named by its SHA-256');
  return Uint8Array.from({ length: 32 }, (_, i) => Number.parseInt(hash.slice(2 * i, 2 * i + 2), 16));
}

function checkName(name: string, taken: boolean): void {
  const bad = [...name].some((char) => char < ' ' || char === '\x7f') || !name.isWellFormed();
  if (name === '' || bad || new TextEncoder().encode(name).length > DOMAIN_NAME_MAX_BYTES) {
    throw new EnvironmentError(
      'bad-name',
      `"${name}" cannot be the name of a domain`,
      `1 to ${DOMAIN_NAME_MAX_BYTES} bytes without control characters`,
    );
  }
  if (taken)
    throw new EnvironmentError(
      'name-taken',
      `there is a domain named "${name}" already`,
      'choose another name',
    );
}
