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
import type { Space } from '../space/index.ts';
import { clearFrames, pushEntry } from './activation.ts';
import type { Authority, Grant } from './capability/authority.ts';
import { checkGrants } from './checks.ts';
import { Core } from './core.ts';
import { type Cut, CutBuffers, type CutOptions, takeCut } from './cut.ts';
import { type Domain, END, FLAG, STATE } from './domain.ts';
import { Enforcer } from './enforced.ts';
import type { RawValue } from './frames.ts';
import type { Activation } from './gate/activations.ts';
import { gateCalls } from './gate/calls.ts';
import { grantedTo, grantGate } from './gate/grants.ts';
import { beginCall } from './gate/host.ts';
import { checkProcedures } from './gate/procedures.ts';
import { headroom } from './headroom.ts';
import { adoptImage, checkImage, type DomainImage, makeImage } from './image.ts';
import { Imports } from './imports.ts';
import { type Inspection, inspectDomain } from './inspect.ts';
import type { Instance } from './instance.ts';
import { ModuleLoader } from './loader.ts';
import { compactDomain, placeDomain, relocateDomain } from './memory.ts';
import type { KernelOptions, Outcome, RunResult } from './options.ts';
import type { LoadedModule } from './program.ts';
import { fromReference, isReference, toReference } from './references.ts';
import { readResults } from './results.ts';
import { type DomainOptions, type DomainStatus, type ModuleSource, Roster } from './roster.ts';
import { Runner } from './runner.ts';
import { decodeTrace, NO_TRACE, type Trace } from './trace.ts';
import { Turns } from './turns.ts';
import { type Argument, toRaw } from './values.ts';
import { Waits } from './wait/queues.ts';

export type { KernelOptions, Outcome, RunResult } from './options.ts';
export type { DomainOptions, DomainStatus, ModuleSource } from './roster.ts';
export { ProgramTrapError } from './runner.ts';
export type { Answer } from './turns.ts';

export class Kernel {
  readonly space: Space;
  readonly core: Core;
  /** Capabilities, from outside. */
  readonly authority: Authority;
  readonly #imports: Imports;
  readonly #roster: Roster;
  readonly #runner: Runner;
  readonly #enforcer: Enforcer;
  readonly #turns: Turns;
  readonly #cutBuffers = new CutBuffers();

  constructor(space: Space, options: KernelOptions) {
    headroom();
    this.space = space;
    this.core = new Core(space, options.powers, options.personality, options.ports ?? null);
    this.authority = this.core.authority;
    this.core.wake = (id) => this.#wake(id);
    this.core.control = this;
    if (options.meter !== undefined) {
      this.core.meter = options.meter;
      options.meter.accountOf = (id) => this.core.peek(id)?.account ?? 0;
    }
    if (options.frameStackBytes !== undefined) this.core.frameStackMax = options.frameStackBytes;
    if (options.compiler !== undefined) this.core.loader = new ModuleLoader(options.compiler);
    this.#imports = new Imports(this.core);
    this.core.made = (id) => options.onMade?.(id);
    const dropped = (id: number): void => options.onDrop?.(id);
    this.#roster = new Roster(this.core, (id) => options.onEnd?.(id), dropped);
    this.core.waits = new Waits(this.core);
    this.core.waits.places.mapped = this.core.windows;
    this.#enforcer = new Enforcer(this.core, this.#imports, options.enclosures, options.problem);
    const stress = options.stress === true;
    this.#runner = new Runner(this.core, this.#imports, stress, this.#enforcer);
    this.#turns = new Turns(this.core, this.#roster, this.#runner, stress, options.onAnswer);
    this.#roster.sever = (domain) => this.#turns.sever(domain);
    this.core.calls.add(gateCalls(this.core));
    this.core.granted = grantedTo(this.core);
  }

  /** The programs the domains of a space need: ask before `recover`. */
  static moduleHashes(space: Space): string[] {
    return Roster.moduleHashes(space);
  }

  /**
   * A kernel on the space of a checkpoint: every domain goes on where the cut found it. Volatile domains are gone.
   * @param source the program for a hash, or undefined where it is not at hand
   * @throws EnvironmentError naming a program that is missing
   */
  static recover(space: Space, options: KernelOptions, source: ModuleSource): Kernel {
    const kernel = new Kernel(space, options);
    kernel.#roster.recover(source);
    kernel.core.rings.recover();
    // Whoever waited makes its call again, and waits again where it must.
    for (const activation of kernel.core.activations.all()) kernel.#turns.makeReady(activation);
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
      checkGrants(this.core, options);
      checkProcedures(module);
      domain = this.#roster.add(options);
      for (const grant of options.grants ?? []) this.authority.grant(domain.id, grant);
      this.#roster.bind(domain);
      if (module.alone === undefined) this.#imports.check(domain);
      else this.#enforcer.check(domain);
      placeDomain(
        domain,
        module.evidence.memories.map((memory) => memory.min),
      );
      if (module.alone === undefined && options.lazily !== true) this.#runner.instance(domain);
      return domain.id;
    } catch (error) {
      if (domain !== null) this.#roster.drop(domain);
      else if (personalityState !== 0) this.#roster.release(personalityState);
      throw error;
    }
  }

  /**
   * Makes the domain call an exported function when it runs next; its start function comes first.
   * @throws EnvironmentError where there is no such function, or the arguments do not fit it; SpaceFullError
   */
  start(id: number, exportName: string, args: readonly Argument[] = []): void {
    this.#turns.makeReady(this.#begin(id, exportName, args));
  }

  #begin(id: number, exportName: string, args: readonly Argument[]): Activation {
    const domain = this.#roster.get(id);
    const { info } = domain.module;
    const free = domain.state === STATE.created || domain.state === STATE.idle;
    assert(free, 'a domain is started when it has nothing to run');
    const functionIndex = info.exportedFunction(exportName);
    if (functionIndex < 0) {
      throw new EnvironmentError(
        'no-such-export',
        `${domain.name}: the program exports no function "${exportName}"`,
      );
    }
    const { params } = info.functionShape(functionIndex);
    const raws = params.map((type, i) =>
      toRaw(type, i < args.length ? (args[i] as Argument) : isReference(type) ? null : 0),
    );
    if (args.length > params.length || raws.some((raw) => raw === null)) {
      throw new EnvironmentError('bad-argument', `${domain.name}: the arguments do not fit "${exportName}"`);
    }
    clearFrames(domain);
    let pushed = pushEntry(domain, functionIndex, raws as RawValue[]);
    if (pushed && info.startFunction >= 0 && !domain.hasFlag(FLAG.started)) {
      pushed = pushEntry(domain, info.startFunction, []);
    }
    if (!pushed) {
      clearFrames(domain);
      throw new EnvironmentError('no-such-export', `${domain.name}: "${exportName}" cannot be started`);
    }
    return this.#begun(domain, functionIndex);
  }

  /** Its entry frame has been pushed. */
  #begun(domain: Domain, functionIndex: number): Activation {
    const activation = this.core.activations.start(domain, functionIndex);
    domain.setFlag(FLAG.started, true);
    domain.state = STATE.ready;
    return activation;
  }

  /** Runs domains in turn; see the head of this file. */
  run(options: { maxSlices?: number } = {}): RunResult {
    return this.#turns.run(options.maxSlices ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Calls a procedure of a domain (abi/gate.ts), as an activation of its own that runs like any other. Returns its ticket, by
   * which `KernelOptions.onAnswer` tells what came of it; after a restart nobody is told. Capabilities among the arguments and
   * results are handles of that domain.
   * @throws EnvironmentError where there is no such procedure, it cannot be called, or the arguments do not fit it
   */
  callProcedure(id: number, name: string, args: readonly Argument[] = []): number {
    const activation = beginCall(this.core, this.#roster.get(id), name, args);
    this.#turns.makeReady(activation);
    return activation.id;
  }

  /** Grants a procedure of one domain to another under a name, as the one gate that may be called. Returns the handle there. */
  grantGate(to: number, name: string, of: number, procedure: string): number {
    return grantGate(this.core, this.#roster.get(to), name, this.#roster.get(of), procedure);
  }

  /** Calls an exported function of a resident domain and runs only that domain until the call is over or blocks. */
  invoke(id: number, exportName: string, args: readonly Argument[] = []): Outcome {
    const domain = this.#roster.get(id);
    assert(domain.hasFlag(FLAG.resident), 'only resident domains are called');
    this.#begin(id, exportName, args);
    return this.proceed(id);
  }

  /** Runs the start function of a resident domain, where it has one and no call has done so yet. */
  initialize(id: number): Outcome {
    const domain = this.#roster.get(id);
    const { startFunction } = domain.module.info;
    if (startFunction < 0 || domain.hasFlag(FLAG.started)) return { kind: 'returned', results: [] };
    clearFrames(domain);
    const pushed = pushEntry(domain, startFunction, []);
    assert(pushed, 'a start function takes nothing, and a fresh stack has room for it');
    this.#begun(domain, startFunction);
    return this.proceed(id);
  }

  /** Goes on with a call of a resident domain that was blocked. */
  proceed(id: number): Outcome {
    const domain = this.#roster.get(id);
    const { main } = domain;
    assert(main !== null, 'a call is under way');
    const { entry } = main;
    for (;;) {
      this.#turns.unblock(main);
      this.core.clearFlag();
      this.core.rings.work();
      const end = this.#turns.slice(main);
      if (end.kind === 'returned') return { kind: 'returned', results: readResults(domain, entry) };
      if (end.kind === 'quit') return { kind: 'exit', code: 0 };
      if (end.kind === 'ended') {
        if (end.end === END.exit) return { kind: 'exit', code: end.code };
        if (end.end === END.exception) return { kind: 'exception', exception: end.exception };
        return { kind: 'trap', reason: end.reason, trace: end.trace };
      }
      if (!main.alive) return { kind: 'trap', reason: domain.reason, trace: NO_TRACE };
      if (main.state === STATE.blocked || main.parked) return { kind: 'blocked' };
    }
  }

  /** What the domain waits for may have come. Safe for any id, at any time. */
  wake(id: number): void {
    this.core.rings.stir(id);
    this.#wake(id);
  }

  #wake(id: number): void {
    const domain = this.#roster.peek(id);
    if (domain !== undefined) this.#turns.wake(domain);
  }

  /** Suspends a domain until `resume`. Calls of it by others fail. False where there is nothing to suspend. */
  stop(id: number): boolean {
    return this.#turns.stop(this.#roster.get(id));
  }

  /** Lets a stopped domain go on. */
  resume(id: number): boolean {
    return this.#turns.resume(this.#roster.get(id));
  }

  /** Ends a domain. What is left is its record, until `remove`. */
  kill(id: number, reason = 'killed'): void {
    const domain = this.#roster.get(id);
    const end = { end: END.killed, code: 0, reason, trace: NO_TRACE };
    if (domain.state === STATE.exited) return;
    if (this.core.activation !== null) this.core.condemn(domain, end);
    else this.#roster.end(domain, end.end, end.code, reason);
  }

  /** Forgets a domain, ending it if it has not ended. */
  remove(id: number): void {
    const domain = this.#roster.get(id);
    if (this.core.isRunning(domain)) {
      this.core.doom(domain);
      return;
    }
    if (domain.state !== STATE.exited) this.#roster.end(domain, END.killed, 0, 'removed');
    if (domain.alive) this.#roster.drop(domain);
  }

  setDetached(id: number, detached: boolean): void {
    this.#roster.get(id).setFlag(FLAG.detached, detached);
  }

  /**
   * Takes what domains have done in processes of their own, and asks those for it that run. True when none is left that
   * does. Call it again and again while nothing is run.
   */
  bringHome(): boolean {
    let home = true;
    for (const id of this.ids()) {
      const domain = this.#roster.get(id);
      if (domain.seat?.computing !== true) continue;
      const end = this.#enforcer.takeHome(domain);
      if (end === null) home = false;
      else if (domain.main !== null) this.#turns.settle(domain.main, end);
    }
    return home;
  }

  /** Moves everything the domain has to another place in the space. */
  relocate(id: number): void {
    relocateDomain(this.#roster.get(id));
  }

  /**
   * Brings free frames together by moving domains, segments and files to lower places. Returns the frames moved; 0 when
   * there is nothing left to gain by it.
   */
  compact(): number {
    const domains = this.ids().map((id) => this.#roster.get(id));
    const living = domains.filter((domain) => domain.state !== STATE.exited);
    return living.reduce((moved, domain) => moved + compactDomain(domain), this.core.segments.compact());
  }

  /** Id of the domain with this name, or -1. */
  find(name: string): number {
    return this.#roster.named(name)?.id ?? -1;
  }

  ids(): number[] {
    return this.#roster.ids();
  }

  has(id: number): boolean {
    return this.#roster.peek(id) !== undefined;
  }

  status(id: number): DomainStatus {
    return this.#roster.status(this.#roster.get(id));
  }

  /** The call stack of a domain that ended badly, as it was then. */
  trace(id: number): Trace {
    return decodeTrace(this.#roster.get(id).trace);
  }

  /** State, memory and the program's own call stack with values. The domain is not running. */
  inspect(id: number): Inspection {
    return inspectDomain(this.#roster.get(id), this.core.activations.all());
  }

  /** The running form of a domain: for embedders and test suites. It may be replaced at any time. */
  instance(id: number): Instance {
    const domain = this.#roster.get(id);
    assert(domain.state !== STATE.exited, 'a domain that ended has no instance');
    assert(domain.module.alone === undefined, 'the code of an enforced domain is in another process');
    return this.#runner.instance(domain);
  }

  /** The bits of a reference for `start` and `invoke`; null for one the domain cannot keep. For embedders. */
  toReference(id: number, type: number, value: unknown): RawValue | null {
    const domain = this.#roster.get(id);
    this.#runner.instance(domain);
    return toReference(domain, type, value);
  }
  /** The reference that such bits stand for. */
  fromReference(id: number, raw: RawValue): unknown {
    const domain = this.#roster.get(id);
    this.#runner.instance(domain);
    return fromReference(domain, raw);
  }

  /**
   * The changed pages since the last cut, as one consistent state of the space; null when nothing changed. What
   * instances hold is saved first, so a domain that cannot be saved (a host reference in a global) ends here.
   */
  cut(options: CutOptions = {}): Cut | null {
    assert(this.core.current === null, 'a cut is made while nothing runs');
    for (const [domain, reason] of this.#runner.saveAll()) this.#roster.end(domain, END.trap, 0, reason);
    this.core.segments.joined.clear();
    return takeCut(this.core, this.#cutBuffers, options);
  }

  /** The cuts up to this number are durable: the kernel may use the memory of their data again. */
  durable(seq: number): void {
    this.#cutBuffers.release(seq);
  }

  /** Has a domain leave the calls of others that it is in, if it soon can: call it before `exportDomain`, or they end with GONE there. */
  bringBack(id: number): void {
    this.#turns.bringBack(this.#roster.get(id));
  }

  /** A domain as plain data, to carry to another space. It must not run; it stays where it is. */
  exportDomain(id: number): DomainImage {
    const domain = this.#roster.get(id);
    const reason = this.#runner.save(domain);
    if (reason !== null) throw new EnvironmentError('cannot-save', `${domain.name}: ${reason}`);
    return makeImage(this.core, domain);
  }

  /**
   * A domain from an image, stopped or as it was. The image may be hostile. What is its own comes along; of what else it had
   * it has again, under the same names and handles, what is among `grants`. Returns its id.
   * @throws MalformedError, EnvironmentError, SpaceFullError with nothing left behind
   */
  importDomain(
    image: DomainImage,
    module: LoadedModule,
    name = image.name,
    compiler = false,
    grants: readonly Grant[] = [],
  ): number {
    checkImage(image, module);
    const { memoryLimitBytes, cpuLimitMs, outboxLimitBytes: outbox } = image;
    const trapUnknownImports = image.trapUnknownImports === true;
    const limits = outbox === undefined ? {} : { outbox };
    const options = { name, module, memoryLimitBytes, cpuLimitMs, limits, trapUnknownImports, compiler };
    checkGrants(this.core, options);
    checkProcedures(module);
    const domain = this.#roster.add({ ...options, resident: image.resident === true });
    try {
      const ready = adoptImage(this.core, domain, image);
      for (const grant of grants) this.authority.grant(domain.id, grant);
      if (module.alone === undefined) this.#imports.check(domain, true);
      else this.#enforcer.check(domain);
      this.#roster.bind(domain);
      if (module.alone === undefined) this.#runner.instance(domain);
      if (ready && domain.main !== null) {
        domain.state = STATE.ready;
        this.#turns.makeReady(domain.main);
      }
      return domain.id;
    } catch (error) {
      this.#roster.drop(domain);
      throw error;
    }
  }
}
