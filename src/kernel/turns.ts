/**
 * Turns: gives activations their slices, one after the other, and does what follows from how each ended. Wakes, stops and
 * lets go on; ends domains that were condemned while something ran, now that nothing is on the native stack.
 */
import { ERRNO } from '../abi/errno.ts';
import { LEAVING_STEPS_MAX } from '../base/limits.ts';
import { clearFrames, type Ending, type SliceEnd } from './activation.ts';
import type { Core } from './core.ts';
import { type Domain, END, FLAG, STATE } from './domain.ts';
import type { RawValue } from './frames.ts';
import { type Activation, CAUSE } from './gate/activations.ts';
import { hasProcedures } from './gate/procedures.ts';
import { errnoOf, onlyTheCall, severVisits } from './gate/visits.ts';
import type { RunResult } from './options.ts';
import { readResults } from './results.ts';
import type { Roster } from './roster.ts';
import type { Runner } from './runner.ts';
import { Scheduler } from './scheduler.ts';

/** What came of a call of a procedure by the host: an error, 0 for none, and the results. */
export interface Answer {
  readonly errno: number;
  readonly results: readonly RawValue[];
}
export type OnAnswer = (ticket: number, answer: Answer) => void;

/** How an outermost visit is over. */
type Over = Ending | { kind: 'returned' } | { kind: 'quit' } | { kind: 'refused'; errno: number };

export class Turns {
  readonly #core: Core;
  readonly #roster: Roster;
  readonly #runner: Runner;
  readonly #stress: boolean;
  readonly #onAnswer: OnAnswer;
  readonly #scheduler = new Scheduler();

  constructor(core: Core, roster: Roster, runner: Runner, stress: boolean, onAnswer: OnAnswer = () => {}) {
    this.#core = core;
    this.#roster = roster;
    this.#runner = runner;
    this.#stress = stress;
    this.#onAnswer = onAnswer;
    core.activations.ready = (activation) => this.makeReady(activation);
  }

  /** Runs activations in turn; see the head of kernel.ts. */
  run(most: number): RunResult {
    const core = this.#core;
    const scheduler = this.#scheduler;
    const result = (slices: number, idle: boolean): RunResult => {
      return { slices, idle, nextDeadline: this.#nextDeadline() };
    };
    core.clearFlag();
    for (let slices = 0; slices < most; slices++) {
      for (const activation of scheduler.expired(core.now())) this.makeReady(activation);
      core.rings.work();
      const activation = this.#next();
      if (activation === null) return result(slices, true);
      core.yielded = false;
      const { home } = activation;
      this.slice(activation);
      core.waits?.revocable.noteSlice(home);
      if (core.yielded || this.#stress) core.clearFlag();
      else if (core.flagRaised) return result(slices + 1, false);
    }
    return result(most, false);
  }

  /** Whose turn it is; before that, whoever waits where it may not any more goes on, and finds out. */
  #next(): Activation | null {
    const { rings, waits } = this.#core;
    if (waits?.revocable.lookAgain(false) === true) rings.work();
    const next = this.#scheduler.next();
    if (next !== null || waits?.revocable.lookAgain(true) !== true) return next;
    rings.work();
    return this.#scheduler.next();
  }

  #nextDeadline(): bigint | null {
    const { rings, waits } = this.#core;
    const times = [this.#scheduler.nextDeadline(), rings.nextDeadline, waits?.revocable.nextLook ?? null];
    return times.reduce(
      (first, time) => (first === null || (time !== null && time < first) ? time : first),
      null,
    );
  }

  makeReady(activation: Activation): void {
    if (activation.state === STATE.running) return; // it is told by how its slice ends
    this.unblock(activation);
    this.#scheduler.enqueue(activation);
  }
  /** It may go on, by whoever gives it its next slice. */
  unblock(activation: Activation): void {
    activation.innermost.domain.sleepers.delete(activation);
    activation.state = STATE.ready;
  }

  /** One turn, and what follows from how it ended. */
  slice(activation: Activation): SliceEnd {
    const end = this.#runner.slice(activation);
    this.settle(activation, end);
    return end;
  }

  settle(activation: Activation, end: SliceEnd): void {
    if (end.kind === 'paused') this.#again(activation);
    else if (end.kind === 'blocked') this.#block(activation);
    else if (end.kind === 'halted')
      activation.state = STATE.ready; // stopped, or condemned
    else this.#over(activation, end);
    this.bury();
  }

  /** Ends what was condemned while something ran, and the visits of what was stopped. */
  bury(): void {
    // While something runs, the slice's end is waited for: whoever goes may have native frames.
    if (this.#core.activation !== null) return;
    const { condemned, stopped, segments } = this.#core;
    segments.joined.clear();
    for (const domain of stopped.splice(0)) {
      domain.leaveProcess();
      severVisits(this.#core, domain, ERRNO.STOPPED, false);
    }
    // Whoever ends may give things back by which others end.
    for (let each = condemned.shift(); each !== undefined; each = condemned.shift()) {
      const { domain, end, code, reason, trace } = each;
      if (domain.alive && !domain.ended) this.#roster.end(domain, end, code, reason, trace);
      if (domain.alive && domain.doomed) this.#roster.drop(domain);
    }
  }

  #again(activation: Activation): void {
    activation.state = STATE.ready;
    this.#scheduler.enqueue(activation);
  }

  #block(activation: Activation): void {
    const { domain } = activation.innermost;
    const { waitsFor } = activation;
    const free = waitsFor !== null && waitsFor.visits === 0 && waitsFor.waiters[0] === activation;
    if (free || (waitsFor === null && domain.wakePending)) {
      domain.wakePending = false;
      this.#again(activation);
      return;
    }
    activation.state = STATE.blocked;
    if (waitsFor === null) domain.sleepers.add(activation);
    this.#scheduler.sleep(activation);
  }

  /** Its outermost visit is over. */
  #over(activation: Activation, end: Over): void {
    const { home, cause } = activation;
    const resident = home.hasFlag(FLAG.resident);
    if (activation.visits.length > 1 && end.kind === 'ended') {
      // It has come to a limit in a call: what is inside goes on for itself.
      activation.state = STATE.ready;
      this.#roster.end(home, end.end, end.code, end.reason, end.trace);
      return;
    }
    if (cause === CAUSE.call) this.#onAnswer(activation.id, answerOf(activation, home, end));
    else if (cause === CAUSE.question) {
      const { errno, results } = answerOf(activation, home, end);
      this.#core.kinds.told(activation, errno, results[0]?.low ?? 0n);
    }
    this.#core.activations.remove(activation);
    if (end.kind === 'ended' && !(resident && onlyTheCall(home, end.end))) {
      this.#roster.end(home, end.end, end.code, end.reason, end.trace);
    } else if (cause !== CAUSE.start) return;
    else if (resident) {
      if (end.kind === 'ended') clearFrames(home);
      home.state = STATE.created;
      this.#roster.rests(home);
    } else if (end.kind === 'quit' || hasProcedures(home.module)) {
      clearFrames(home);
      home.state = STATE.idle;
      this.#roster.rests(home);
    } else this.#roster.end(home, END.exit, 0, '');
  }

  /** What activations in a domain wait for may have come. */
  wake(domain: Domain): void {
    if (this.#core.activation !== null) domain.wakePending = true;
    for (const activation of [...domain.sleepers]) this.makeReady(activation);
  }

  /**
   * Suspends a domain: it is not inside of calls by others any more, and what it was doing itself waits. From inside of a
   * call, too: code of it that is on the native stack does not go on. False where there is nothing to suspend.
   */
  stop(domain: Domain): boolean {
    const { state } = domain;
    const nothing = state === STATE.created && !hasProcedures(domain.module) && !this.#core.isRunning(domain);
    if (nothing || state === STATE.stopped || state === STATE.exited || domain.halted) return false;
    this.#core.halt(domain);
    this.bury();
    return true;
  }

  resume(domain: Domain): boolean {
    if (!domain.stopped) return false;
    domain.halted = false;
    this.#core.moveEpoch();
    const fresh = domain.hasFlag(FLAG.resident) || !domain.hasFlag(FLAG.started);
    domain.state = domain.main !== null ? STATE.ready : fresh ? STATE.created : STATE.idle;
    for (const activation of this.#core.activations.all()) {
      if (activation.innermost.domain === domain) this.makeReady(activation);
    }
    return true;
  }

  /**
   * Lets what a domain does come back from calls of others, from safepoint to safepoint, where that takes no more than
   * LEAVING_STEPS_MAX and waits for nothing: who is carried elsewhere cannot take along what it does in others.
   */
  bringBack(domain: Domain): void {
    for (let step = 0; step < LEAVING_STEPS_MAX; step++) {
      const { main } = domain;
      if (main === null || main.visits.length < 2 || main.state !== STATE.ready) break;
      this.#core.raiseFlag();
      if (this.slice(main).kind !== 'paused') break;
    }
    this.#core.clearFlag();
  }

  /** The domain goes: whoever called it is told, and the host. */
  sever(domain: Domain): void {
    severVisits(this.#core, domain, ERRNO.GONE, true, (activation) => {
      domain.sleepers.delete(activation);
      if (activation.cause === CAUSE.call) this.#onAnswer(activation.id, { errno: ERRNO.GONE, results: [] });
      else if (activation.cause === CAUSE.question) this.#core.kinds.told(activation, ERRNO.GONE, 0n);
    });
  }
}

function answerOf(activation: Activation, home: Domain, end: Over): Answer {
  if (end.kind === 'returned') return { errno: 0, results: readResults(home, activation.entry) };
  if (end.kind === 'quit') return { errno: ERRNO.CANCELED, results: [] };
  if (end.kind === 'refused') return { errno: end.errno, results: [] };
  return { errno: errnoOf(end.end), results: [] };
}
