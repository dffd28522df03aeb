/**
 * Running forms: makes instances from the space, gives domains their turns, and puts what instances hold back into the
 * space before a cut.
 *
 * Why: RATIONALE.md#instances-of-idle-domains-are-let-go
 */

import { RESOURCE } from '../abi/account.ts';
import { assert } from '../base/assert.ts';
import { EnvironmentError } from '../base/errors.ts';
import { GATE_FRAMES_FREE_BYTES } from '../base/limits.ts';
import type { Space } from '../space/index.ts';
import { isOverdrawn } from './account/account.ts';
import { chargeTime } from './account/time.ts';
import { runActivation, type SliceEnd } from './activation.ts';
import { moveEpoch } from './capability/epoch.ts';
import { checkFit } from './checks.ts';
import type { Core } from './core.ts';
import { type Domain, END, FLAG } from './domain.ts';
import type { Enforcer } from './enforced.ts';
import type { Activation } from './gate/activations.ts';
import type { Imports } from './imports.ts';
import { Instance } from './instance.ts';
import { addParts } from './making.ts';
import { trimStack } from './memory.ts';
import { growTables, savedTables, saveInstance, writeTables } from './saved.ts';
import { NO_TRACE, type Trace } from './trace.ts';
import { describeTrap, savedTrace } from './traps.ts';

/** The program trapped before it began: an active segment that does not fit. */
export class ProgramTrapError extends Error {
  override name = 'ProgramTrapError';
  readonly trace: Trace;
  constructor(reason: string, trace: Trace = NO_TRACE) {
    super(reason);
    this.trace = trace;
  }
}

export class Runner {
  readonly #core: Core;
  readonly #space: Space;
  readonly #imports: Imports;
  readonly #stress: boolean;
  readonly #enforcer: Enforcer | null;
  /** Domains that ran since the last cut: what their instances hold is not in the space yet. */
  readonly #ran = new Set<Domain>();
  /** Domains with instances that can be made again, those that ran last at the end. */
  readonly #live = new Set<Domain>();

  constructor(core: Core, imports: Imports, stress: boolean, enforcer: Enforcer | null = null) {
    this.#core = core;
    this.#space = core.space;
    this.#imports = imports;
    this.#stress = stress;
    this.#enforcer = enforcer;
    core.prepare = (domain) => this.#prepare(domain);
  }

  /**
   * The instance of a domain, made again from the space where there is none.
   * @throws ProgramTrapError
   */
  instance(domain: Domain): Instance {
    if (domain.instance === null) this.#instantiate(domain);
    return domain.instance as Instance;
  }

  /** One turn of an activation, with its processor time counted for the domain where it began. */
  slice(activation: Activation): SliceEnd {
    const [core, domain] = [this.#core, activation.home];
    const { powers } = core;
    const before = powers.threadCpuMicros();
    const began = powers.monotonicNs();
    core.sliceStartMicros = before;
    const alone = this.#enforcer !== null && domain.hasFlag(FLAG.enforced);
    let end = alone
      ? (this.#enforcer as Enforcer).slice(domain)
      : runActivation(core, activation, this.#stress);
    const took = Math.max(0, powers.threadCpuMicros() - before);
    if (end.kind === 'paused') core.noteSlice(Number(powers.monotonicNs() - began) / 1000, took);
    domain.settleMemory();
    const inTime = chargeTime(domain, took);
    if (end.kind !== 'paused' && end.kind !== 'blocked') return end;
    const [space, { account }, free] = [this.#space, domain, GATE_FRAMES_FREE_BYTES];
    const deep = activation.visits.length > 1 && isOverdrawn(space, account, RESOURCE.memory, free);
    if (inTime && !deep) return end;
    const reason = inTime ? 'memory limit, by the saved frames of its calls' : 'cpu limit';
    end = { kind: 'ended', end: END.limit, code: 0, reason, trace: savedTrace(domain) };
    return end;
  }

  /** Makes a domain ready to run code of. Gives its end where no instance can be made of it any more. */
  #prepare(domain: Domain): Extract<SliceEnd, { kind: 'ended' }> | null {
    try {
      if (domain.instance === null) this.#instantiate(domain);
      if (!domain.ran) this.#noteRan(domain);
      return null;
    } catch (error) {
      // A damaged state, or imports that nobody supplies since an upgrade.
      if (!(error instanceof ProgramTrapError)) throw error;
      return { kind: 'ended', end: END.trap, code: 0, reason: error.message, trace: error.trace };
    }
  }

  /**
   * Puts into the space what instances hold that ran since the last time. Returns the domains for which that cannot be
   * done, with the reason: they must end.
   */
  saveAll(): [Domain, string][] {
    const lost: [Domain, string][] = [];
    for (const domain of this.#ran) {
      domain.ran = false;
      domain.open = false;
      if (!domain.alive || domain.instance === null) continue;
      trimStack(domain);
      if (domain.hasFlag(FLAG.volatile)) continue;
      const reason = this.save(domain);
      if (reason !== null) lost.push([domain, reason]);
    }
    this.#ran.clear();
    this.#dropIdle();
    return lost;
  }

  /** Lets instances go that have not run for long: what they hold is in the space. So an idle domain is its records and pages. */
  #dropIdle(): void {
    let dropped = false;
    for (const domain of this.#live) {
      if (this.#live.size <= this.#core.instancesMax) break;
      this.#live.delete(domain);
      if (!domain.alive || domain.instance === null || domain.carriesReferences) continue;
      assert(domain.nativeFrames === 0, 'nothing runs at a cut');
      domain.dropInstance();
      dropped = true;
    }
    // Gates may know functions of what was dropped.
    if (dropped) moveEpoch(this.#space);
  }

  /** Puts into the space what the instance holds; a reason where that cannot be done. */
  save(domain: Domain): string | null {
    if (domain.instance === null) return null;
    try {
      let reason: string | null = null;
      this.#speakingFor(domain, () => {
        reason = saveInstance(this.#space, domain);
      });
      return reason;
    } catch (error) {
      const { ending } = domain;
      domain.ending = null;
      if (ending === null && !(error instanceof WebAssembly.RuntimeError)) throw error;
      return ending?.reason ?? 'its globals cannot be saved';
    }
  }

  #instantiate(domain: Domain): void {
    const [space, core] = [this.#space, this.#core];
    try {
      checkFit(domain.module, domain.hasFlag(FLAG.volatile));
      const instance = new Instance(domain, this.#imports.of(domain));
      domain.instance = instance;
      this.#speakingFor(domain, () => {
        if (!domain.hasFlag(FLAG.initialised)) {
          instance.main.init();
          domain.setFlag(FLAG.initialised, true);
          return;
        }
        const tables = savedTables(space, domain);
        if (domain.maker !== null) {
          // Their active segments are applied again, to tables as long as they were.
          if (tables !== null && !growTables(instance, tables)) core.trap('damaged tables');
          addParts(domain, instance, domain.maker);
        }
        instance.restore();
        if (tables !== null && !writeTables(instance, tables)) core.trap('damaged tables');
      });
      this.#noteRan(domain);
    } catch (error) {
      domain.dropInstance();
      if (domain.ending !== null) {
        const { reason } = domain.ending;
        domain.ending = null;
        throw new ProgramTrapError(reason);
      }
      if (error instanceof EnvironmentError) throw new ProgramTrapError(error.message);
      if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
      const { reason, trace } = describeTrap(domain, error);
      throw new ProgramTrapError(reason, trace);
    }
  }

  #noteRan(domain: Domain): void {
    domain.ran = true;
    this.#ran.add(domain);
    if (domain.hasFlag(FLAG.volatile) || domain.own !== null) return; // it is nowhere else
    this.#live.delete(domain);
    this.#live.add(domain);
  }

  /** Runs a part of the domain's code that is not its program: system calls in it find their caller. */
  #speakingFor(domain: Domain, body: () => void): void {
    const core = this.#core;
    const { current } = core;
    core.current = domain;
    domain.nativeFrames++;
    try {
      body();
    } finally {
      domain.nativeFrames--;
      core.current = current;
    }
  }
}
