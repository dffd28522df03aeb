/**
 * Going into another domain on the native stack, and coming out of it: for gates, and for what the kernel asks domains
 * itself.
 */
import { SpaceFullError } from '../../space/index.ts';
import { badEnd, type Ending, ended, keepFrames, limited } from '../activation.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { makeVisit } from './visit.ts';
import { errnoOf, onlyTheCall } from './visits.ts';

/** What a domain had on its frame stack below a call, to be put back when that is over. */
export interface Below {
  readonly liveFrom: number;
  readonly outside: Domain['outside'];
}
export const EMPTY: Below = { liveFrom: 0, outside: null };

/** The activation that runs is inside of the callee from now on. */
export function goIn(core: Core, callee: Domain): Below {
  const { liveFrom, outside } = callee;
  core.activations.enter(core.running(), callee);
  callee.liveFrom = callee.stackPointer - callee.stackBase;
  callee.outside = null;
  callee.nativeFrames++;
  core.passage.depth++;
  core.current = callee;
  return { liveFrom, outside };
}

export function goOut(core: Core, caller: Domain, callee: Domain, { liveFrom, outside }: Below): void {
  callee.liveFrom = liveFrom;
  callee.outside = outside;
  callee.nativeFrames--;
  core.passage.depth--;
  core.current = caller;
}

/**
 * Something came out of the callee's code. Gives the errno by which the caller is told of its end, or throws to unwind where
 * the callee has unwound: its frames are a visit then.
 * @param askedFor of that visit
 */
export function cameOut(
  core: Core,
  caller: Domain,
  callee: Domain,
  functionIndex: number,
  error: unknown,
  below: Below,
  askedFor = 0,
): number {
  const { left } = core.passage;
  const from = callee.stackBase + callee.liveFrom;
  let end: Ending | null;
  try {
    if (!(error instanceof WebAssembly.Exception && error.is(core.unwindTag))) end = badEnd(callee, error);
    else if (callee.ending !== null && left.length === 0) end = ended(callee);
    else end = keep(core, callee, functionIndex, from, askedFor);
  } catch (thrown) {
    goOut(core, caller, callee, below);
    core.activations.left(callee);
    throw core.translate(thrown);
  }
  goOut(core, caller, callee, below);
  if (end === null) throw core.unwind;
  callee.setStackPointer(from);
  callee.growth = null;
  if (onlyTheCall(callee, end.end)) callee.ending = null;
  else core.condemn(callee, end);
  for (const visit of left.splice(0)) core.activations.leave(visit);
  core.activations.left(callee);
  return errnoOf(end.end);
}

/** The callee has unwound: its frames are a visit's. Gives its end where they cannot be. */
function keep(
  core: Core,
  callee: Domain,
  functionIndex: number,
  from: number,
  askedFor: number,
): Ending | null {
  try {
    const visit = makeVisit(callee, functionIndex);
    const end = keepFrames(visit, from, callee.stackPointer);
    if (end !== null) {
      visit.drop();
      return end;
    }
    visit.entered = true;
    if (askedFor !== 0) visit.askedFor = askedFor;
    if (callee.visits === 1) callee.occupant = core.activation; // it may have come by the short way
    core.passage.left.push(visit);
    return null;
  } catch (error) {
    if (!(error instanceof SpaceFullError)) throw error;
    return limited(error.message);
  }
}
