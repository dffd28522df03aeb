/**
 * Coming and going: who may enter a domain, what follows when a visit is over, and what becomes of the rest of an
 * activation when one of the domains it is in goes.
 *
 * Whoever called what is over is told by an answer, which lies in the activation until the call is made again and takes it.
 */
import { ERRNO } from '../../abi/errno.ts';
import { ENTRY } from '../../abi/gate.ts';
import { VALUE_BYTES } from '../../abi/layout.ts';
import { SpaceFullError } from '../../space/index.ts';
import type { SliceEnd } from '../activation.ts';
import type { Core } from '../core.ts';
import { type Domain, END, FLAG, NO_DEADLINE } from '../domain.ts';
import type { RawValue } from '../frames.ts';
import { readResults } from '../results.ts';
import { type Activation, CAUSE } from './activations.ts';
import { takeOver } from './hands.ts';
import { procedureAt } from './procedures.ts';
import type { Visit } from './visit.ts';

const NOTHING = new Uint8Array(0);
/** Longest chain of activations that wait for each other that is looked along. */
const CHAIN_MAX = 64;

/**
 * Whether an activation may enter a domain now: 0; BUSY where it has to wait; AGAIN where that can be told only when its
 * visits are saved; REENTERED where it would wait for itself, DEADLK where it would by way of others.
 */
export function door(core: Core, activation: Activation, domain: Domain, entry: number): number {
  // Who went in by the short way, has not been noted.
  if (domain.visits === 1 && domain.nativeFrames > 0) domain.occupant = activation;
  if (entry === ENTRY.concurrent) return 0;
  if (domain.visits === 0) {
    const [first] = domain.waiters;
    return first === undefined || first === activation ? 0 : ERRNO.BUSY;
  }
  if (domain.occupant === activation) return entry === ENTRY.nested ? 0 : ERRNO.REENTERED;
  if (domain.occupant === null) {
    if (core.passage.depth > activation.visits.length) return ERRNO.AGAIN;
    if (activation.visits.some((visit) => visit.entered && visit.domain === domain)) return ERRNO.REENTERED;
  }
  let waited: Domain | null = domain;
  for (let n = 0; waited !== null && n < CHAIN_MAX; n++) {
    const { occupant }: Domain = waited;
    if (occupant === activation) return ERRNO.DEADLK;
    waited = occupant?.waitsFor ?? null;
  }
  return ERRNO.BUSY;
}

/** The visit with which an activation begins comes in, or waits: 0, BUSY, or why it never can. */
export function enterHome(core: Core, activation: Activation, visit: Visit): number {
  const { domain } = visit;
  const started = activation.startOf !== null;
  const entry = started
    ? ENTRY.exclusive
    : (procedureAt(domain.module, visit.entry)?.entry ?? ENTRY.exclusive);
  const errno = door(core, activation, domain, entry);
  if (errno === ERRNO.BUSY) {
    core.activations.waitFor(activation, domain);
    activation.deadline = NO_DEADLINE;
  }
  if (errno !== 0) return errno;
  core.activations.enter(activation, domain);
  visit.entered = true;
  return 0;
}

/** The error by which a caller learns how the domain called has ended. */
export const errnoOf = (end: number): number =>
  end === END.trap || end === END.exception ? ERRNO.FAULTED : ERRNO.GONE;

/** Whether only the call fails, and the domain lives on. */
export const onlyTheCall = (domain: Domain, end: number): boolean =>
  domain.hasFlag(FLAG.resident) && end !== END.limit && end !== END.killed;

/**
 * The innermost visit of an activation, which is not the outermost, has come so far. Null where the caller goes on.
 */
export function leaveVisit(core: Core, activation: Activation, visit: Visit, end: SliceEnd): SliceEnd | null {
  if (end.kind === 'paused' || end.kind === 'blocked' || end.kind === 'quit') return end;
  const { domain } = visit;
  let errno: number = ERRNO.SUCCESS;
  let values: Uint8Array = NOTHING;
  if (end.kind === 'returned') {
    values = resultBytes(readResults(domain, visit.entry));
    errno = takeCapabilities(core, activation, visit, values);
    if (errno !== 0) values = NOTHING;
  } else if (end.kind === 'halted') errno = domain.stopped ? ERRNO.STOPPED : ERRNO.GONE;
  else if (end.kind === 'refused') errno = end.errno;
  else {
    errno = errnoOf(end.end);
    if (!onlyTheCall(domain, end.end)) core.condemn(domain, end);
  }
  domain.pending = null;
  domain.left = null;
  domain.growth = null;
  domain.carriesReferences = false;
  const { askedFor } = visit;
  core.activations.leave(activation.pop());
  activation.clearScratch();
  try {
    core.passage.answer(activation, errno, values, askedFor);
  } catch (error) {
    if (!(error instanceof SpaceFullError)) throw error;
    core.passage.answer(activation, ERRNO.NOMEM, NOTHING, askedFor);
  }
  core.passage.depth = activation.visits.length;
  return null;
}

/** Capabilities among the results of a visit become the caller's. */
function takeCapabilities(core: Core, activation: Activation, visit: Visit, values: Uint8Array): number {
  const indices = procedureAt(visit.domain.module, visit.entry)?.capabilityResults ?? [];
  const to = activation.visits.at(-2)?.domain;
  if (indices.length === 0 || to === undefined || to.ended || to.ending !== null) return 0;
  const view = new DataView(values.buffer);
  const hand = {
    get: (i: number) => view.getInt32(VALUE_BYTES * i, true),
    set: (i: number, value: number) => view.setInt32(VALUE_BYTES * i, value, true),
  };
  return takeOver(core, visit.domain, to, indices, hand);
}

/** Results as an answer keeps them. */
export function resultBytes(results: readonly RawValue[]): Uint8Array {
  const bytes = new Uint8Array(VALUE_BYTES * results.length);
  const view = new DataView(bytes.buffer);
  for (const [i, { low, high }] of results.entries()) {
    view.setBigUint64(VALUE_BYTES * i, low, true);
    view.setBigUint64(VALUE_BYTES * i + 8, high, true);
  }
  return bytes;
}

/**
 * Ends all visits of a domain; who called is told `errno`. What such a visit had begun in other domains goes on as an
 * activation of its own, whose results nobody takes. Nothing is on the native stack.
 * @param begun also those with which activations began there; a domain that is only stopped keeps them
 * @param lost told of each activation that ends, or goes on for nobody
 */
export function severVisits(
  core: Core,
  domain: Domain,
  errno: number,
  begun: boolean,
  lost: (activation: Activation) => void = () => {},
): void {
  if (domain.present === 0) return;
  for (const activation of core.activations.all()) {
    while (severFirst(core, activation, domain, errno, begun, lost));
  }
}

/** Ends the outermost of the visits. False where there is none. */
function severFirst(
  core: Core,
  activation: Activation,
  domain: Domain,
  errno: number,
  begun: boolean,
  lost: (activation: Activation) => void,
): boolean {
  const { visits } = activation;
  const at = visits.findIndex((visit, i) => visit.domain === domain && (begun || i > 0));
  if (at < 0) return false;
  const [outer, dead, inner] = [visits.slice(0, at), visits[at] as Visit, visits.slice(at + 1)];
  const { activations } = core;
  if (outer.length === 0 && inner.length === 0) {
    lost(activation);
    activations.remove(activation);
    return false;
  }
  if (outer.length === 0) {
    lost(activation);
    activations.disown(activation);
    activation.cause = CAUSE.orphan;
    activation.replaceVisits(inner);
    activations.ready(activation); // a call that waits is made again, and waits again
  } else {
    if (inner.length > 0) split(core, activation, inner);
    activation.replaceVisits(outer);
    activations.stopWaiting(activation);
    activation.clearScratch();
    activation.answer(errno, NOTHING, dead.askedFor);
    activations.ready(activation);
  }
  activations.leave(dead);
  return true;
}

/** The inner visits of an activation become one of their own, which goes on where it was. */
function split(core: Core, activation: Activation, inner: readonly Visit[]): void {
  const { activations } = core;
  let orphan: Activation;
  try {
    orphan = activations.create(CAUSE.orphan, (inner[0] as Visit).entry);
    if (activation.answered)
      orphan.answer(activation.answerErrno, activation.answerValues, activation.answerFor);
  } catch (error) {
    if (!(error instanceof SpaceFullError)) throw error;
    for (const visit of inner.toReversed()) activations.leave(visit);
    return;
  }
  orphan.gateError = activation.gateError;
  orphan.scratch = activation.scratch;
  orphan.replaceVisits(inner);
  // Those it is inside of know it by its new name; a call that waits is made again, and waits again where it must.
  for (const { domain, entered } of inner) {
    if (entered && domain.occupant === activation) domain.occupant = orphan;
  }
  activations.ready(orphan);
}
