/**
 * Running an activation: the trampoline. It takes the innermost saved frame of the innermost visit, calls its continuation,
 * hands its results (or its exception) to the frame outside it, and so on until no frame is left, or the code unwinds.
 * Of a visit that is over the caller's frame is next (gate/visits.ts).
 *
 * Between two frames everything is in the space, so the activation can stop there too, unless an exception is on its way:
 * that is carried in JavaScript to the next frame at once.
 *
 * Why: RATIONALE.md#frames-are-resumed-one-at-a-time
 */
import { ERRNO } from '../abi/errno.ts';
import { KIND_BEFORE, reverseFrames } from '../abi/frame.ts';
import {
  RESULTS_OFFSET,
  RESUME_MODE_OFFSET,
  RESUME_RESULTS,
  RESUME_THROW,
  VALUE_BYTES,
} from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { UnsupportedError } from '../base/errors.ts';
import { SpaceFullError } from '../space/index.ts';
import { continuationOf } from './continuations.ts';
import type { Core } from './core.ts';
import { type Domain, END, type Ended, STATE } from './domain.ts';
import {
  EXNREF,
  entryFrame,
  type FrameHead,
  I32,
  I64,
  type RawValue,
  readFrame,
  readFrameValues,
  trimFrame,
} from './frames.ts';
import type { Activation } from './gate/activations.ts';
import type { Visit } from './gate/visit.ts';
import { enterHome, leaveVisit } from './gate/visits.ts';
import type { Instance } from './instance.ts';
import { growByMoving, growStack } from './memory.ts';
import { deepStacks } from './native.ts';
import { fromReference, isReference, toReference } from './references.ts';
import { sweepModules } from './sweep.ts';
import { Ends, NO_TRACE, TRACE_ENDS } from './trace.ts';
import {
  describeTrap,
  endTrace,
  placesTrace,
  STACK_EXHAUSTED,
  savedTrace,
  type TrapReport,
} from './traps.ts';
import { toNumber, toRaw } from './values.ts';

export const DAMAGED = 'damaged call stack';

/** How a slice of a domain ended. */
export type SliceEnd =
  /** No frame is left: its outermost function returned. */
  | { kind: 'returned' }
  /** It was asked to stop at a safepoint, and can go on. */
  | { kind: 'paused' }
  /** It waits in a system call. */
  | { kind: 'blocked' }
  /** It is over by its own call, though its code has not returned. */
  | { kind: 'quit' }
  /** Its domain is to end, or has been stopped: whoever did that sees to what follows. */
  | { kind: 'halted' }
  /** It was to begin with a call, which was refused. */
  | { kind: 'refused'; errno: number }
  /** It is over. `end` is one of END. */
  | ({ kind: 'ended'; end: number; code: number; exception?: unknown } & TrapReport);

/** How a domain ends. `end` is one of END; `exception`, where one was not caught. */
export type Ending = Extract<SliceEnd, { kind: 'ended' }>;

/** Pushes the frame that calls a function. False where there is no room, or the program has no such safepoint. */
export function pushEntry(domain: Domain, functionIndex: number, args: readonly RawValue[]): boolean {
  const frame = entryFrame(domain.module.info, functionIndex, args);
  if (frame === null) return false;
  while (domain.stackPointer + frame.length > domain.stackLimit) if (!growStack(domain)) return false;
  domain.space.writeBytes(domain.stackPointer, frame);
  domain.setStackPointer(domain.stackPointer + frame.length);
  return true;
}

/** Runs an activation until it is over, pauses, blocks, or can go no further. */
export function runActivation(core: Core, activation: Activation, stress: boolean): SliceEnd {
  assert(core.activation === null && core.current === null, 'one activation runs at a time');
  const limit = Error.stackTraceLimit;
  deepStacks();
  core.activation = activation;
  core.blocked = false;
  core.passage.begin(activation);
  activation.state = STATE.running;
  let end: SliceEnd | null = null;
  let { domain } = activation.innermost;
  try {
    for (let first = true; end === null; first = false) {
      if (stress) core.raiseFlag();
      else if (!first && core.flagRaised && canStopHere(domain) && !isDone(activation.innermost))
        return { kind: 'paused' };
      const visit = activation.innermost;
      domain = visit.domain;
      core.current = domain;
      end = visitTurn(core, activation, visit);
      core.passage.settle(activation);
      if (end !== null && activation.visits.length > 1) end = leaveVisit(core, activation, visit, end);
    }
  } finally {
    core.current = null;
    core.activation = null;
    core.passage.end(activation);
    domain.pending = null;
    domain.left = null;
    Error.stackTraceLimit = limit;
  }
  const { fault } = core;
  core.fault = null;
  if (fault) throw fault.error;
  return end;
}

/** Goes on with the innermost visit. Null when there may be more to do. */
function visitTurn(core: Core, activation: Activation, visit: Visit): SliceEnd | null {
  const { domain } = visit;
  if (domain.halted) return { kind: 'halted' };
  const broken = core.prepare(domain);
  if (broken !== null) return broken;
  if (!visit.entered) {
    const errno = enterHome(core, activation, visit);
    if (errno !== 0) return errno === ERRNO.BUSY ? { kind: 'blocked' } : { kind: 'refused', errno };
  }
  return step(core, visit);
}

/**
 * Whether everything is in the space between two frames: not an exception on its way, nor a result of reference type,
 * which the program's code carries in globals that are not saved, nor results that another activation, which may be
 * inside of the domain too, would write over.
 */
function canStopHere(domain: Domain): boolean {
  return domain.pending === null && !domain.carriesReferences && !domain.crowded;
}

/** Whether the last frame of a visit has returned. Who has nothing more to do is not stopped: it could not be told from one that never began. */
const isDone = ({ domain, onStack, frameBytes }: Visit): boolean =>
  onStack ? domain.stackPointer === domain.stackBase : frameBytes === 0;

function hasReferenceResult({ info, functionIndex }: FrameHead): boolean {
  return info.functionShape(functionIndex).results.some(isReference);
}

/** Resumes the innermost frame. Null when there may be more to do. */
function step(core: Core, visit: Visit): SliceEnd | null {
  const { domain } = visit;
  const { space, infos } = domain;
  const instance = domain.instance as Instance;
  if (isDone(visit)) return domain.pending === null ? { kind: 'returned' } : uncaught(domain);
  const floor = visit.onStack ? 0 : lay(visit);
  if (floor < 0) return floor === NO_ROOM ? bad(END.trap, STACK_EXHAUSTED) : damaged(domain);
  const base = domain.stackBase + floor;
  const found = readFrame(space, infos, base, domain.stackPointer);
  if (found === null) return damaged(domain);
  const frame = found.extra.length === 0 ? found : trimFrame(space, infos, base, found);
  const offset = frame.start - domain.stackBase;
  const throwing = domain.pending !== null;
  domain.stackLow = Math.min(domain.stackLow, offset);
  domain.nativeFrames++;
  domain.liveFrom = offset;
  domain.outside = visit.onStack ? null : [visit.frames, visit.frames + visit.frameBytes];
  try {
    resumeFrame(core, domain, instance, frame);
  } catch (error) {
    domain.nativeFrames--;
    const end = thrown(core, visit, error, frame, throwing);
    domain.outside = null;
    return end;
  }
  domain.nativeFrames--;
  domain.outside = null;
  if (domain.ending !== null) return ended(domain);
  // A frame that was resumed has taken its values off the stack, and nothing else.
  if (domain.stackPointer !== domain.stackBase + offset) return damaged(domain);
  domain.pending = null;
  domain.left = null;
  return null;
}

const NOT_WHOLE = -1;
const NO_ROOM = -2;

/** Puts the innermost frame of a visit on the domain's frame stack. Gives where it begins there, bytes from the base. */
function lay(visit: Visit): number {
  const { domain, frames, frameBytes } = visit;
  const { space } = domain;
  const frame = readFrame(space, domain.infos, frames, frames + frameBytes);
  if (frame === null) return NOT_WHOLE;
  const length = frames + frameBytes - frame.start;
  while (domain.stackPointer + length > domain.stackLimit) if (!growStack(domain)) return NO_ROOM;
  const to = domain.stackPointer;
  space.copy(to, frame.start, length);
  domain.setStackPointer(to + length);
  visit.frameBytes = frame.start - frames;
  return to - domain.stackBase;
}

/** Calls what goes on from a frame that lies on top of the frame stack. */
function resumeFrame(core: Core, domain: Domain, instance: Instance, frame: FrameHead): void {
  const throwing = domain.pending !== null;
  if (!throwing && mayCallQuick(core, domain, frame) && callQuick(core, domain, instance, frame)) {
    domain.carriesReferences = false;
    return;
  }
  const part = instance.part(frame.module);
  assert(part !== undefined, 'a module that has frames has an instance');
  const resume = part.continuation(continuationOf(core, domain, frame));
  domain.setStackPointer(frame.masks);
  const mode = throwing ? RESUME_THROW : RESUME_RESULTS;
  domain.space.view.setUint32(domain.region + RESUME_MODE_OFFSET, mode, true);
  if (domain.carriesReferences && domain.returnedFrom !== frame.module) {
    instance.carryResults(domain.returnedFrom, frame.module);
  }
  domain.carriesReferences = hasReferenceResult(frame);
  domain.returnedFrom = frame.module;
  resume();
}

/** Something came out of the program's code, which went on from `frame`. */
function thrown(
  core: Core,
  visit: Visit,
  error: unknown,
  frame: FrameHead,
  throwing: boolean,
): SliceEnd | null {
  const { domain } = visit;
  // One that is to end while others it has called must go on is left to whoever ended it.
  if (domain.ending !== null && core.passage.left.length === 0) return ended(domain);
  if (error instanceof WebAssembly.Exception) {
    const from = domain.stackBase + domain.liveFrom;
    const to = domain.stackPointer;
    if (!error.is(core.unwindTag)) {
      if (to !== from) return damaged(domain);
      domain.pending = error;
      // Where in its code it was thrown, V8 does not tell; where it came through a call, the frame does.
      const { functionNumber, instructionOffset } = frame.trailer;
      domain.left ??= new Ends(TRACE_ENDS);
      domain.left.push({ functionNumber, offset: throwing ? instructionOffset : 0 });
      return null;
    }
    const end = keepFrames(visit, from, to);
    if (end !== null) return end;
    domain.pending = null;
    domain.left = null;
    if (core.passage.quits) return { kind: 'quit' };
    if (core.blocked) return { kind: 'blocked' };
    // What the innermost visit unwound for: it begins the instruction, or the call, again.
    const inner = core.passage.left[0]?.domain ?? domain;
    if (inner.growth !== null) growByMoving(inner);
    if (inner.sweep === 'wanted') sweepModules(inner);
    // Nobody wants it to stop: it goes on from the head of a loop, or with a memory that was moved.
    return core.flagRaised ? { kind: 'paused' } : null;
  }
  return badEnd(domain, error);
}

/** How a domain ends whose code has thrown what no program can catch, or did not. @throws what is a bug of ours */
export function badEnd(domain: Domain, error: unknown): Ending {
  if (error instanceof WebAssembly.Exception) {
    const trace = domain.left === null ? NO_TRACE : placesTrace(domain, domain.left);
    return bad(END.exception, 'uncaught exception', trace, error);
  }
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    const { reason, trace } = describeTrap(domain, error);
    return bad(END.trap, reason, trace);
  }
  if (error instanceof UnsupportedError) {
    return bad(END.trap, `cannot go on: ${error.message}`, savedTrace(domain));
  }
  if (error instanceof TypeError) {
    // Of its own: it passed a v128 to the host. Otherwise a continuation is of a shape that no compiler makes.
    if (!/type incompatibility/.test(error.message)) return damaged(domain);
    return bad(END.trap, 'a value that cannot pass to the host', describeTrap(domain, error).trace);
  }
  throw error;
}

const bad = (end: number, reason: string, trace = NO_TRACE, exception?: unknown): Ending => ({
  ...{ kind: 'ended', end, code: 0, reason, trace },
  ...(exception === undefined ? {} : { exception }),
});
/** The space had no room for what it needed. */
export const limited = (reason: string): Ending => bad(END.limit, reason);

/** Frames that unwinding has left in [from, to) of the frame stack are the visit's. Gives the domain's end where they cannot be. */
export function keepFrames(visit: Visit, from: number, to: number): Ending | null {
  const { domain } = visit;
  const { space } = domain;
  // They were saved from the inside outwards, and without marks.
  if (from > to || !reverseFrames(space.u8, from, to)) return damaged(domain);
  if (visit.onStack) {
    space.mark(from, to - from);
    return null;
  }
  try {
    visit.append(from, to);
    return null;
  } catch (error) {
    if (!(error instanceof SpaceFullError)) throw error;
    return limited(error.message);
  } finally {
    domain.setStackPointer(from);
  }
}

/** How the domain ends whose `ending` is set. */
export function ended(domain: Domain): Ending {
  const { end, code, reason, stack } = domain.ending as Ended;
  domain.ending = null;
  const trace = stack === undefined ? NO_TRACE : endTrace(domain, stack);
  return { kind: 'ended', end, code, reason, trace };
}
export function damaged(domain: Domain): Ending {
  domain.ending = null;
  return bad(END.trap, DAMAGED);
}
function uncaught(domain: Domain): SliceEnd {
  const exception = domain.pending;
  domain.pending = null;
  return badEnd(domain, exception);
}

/**
 * Whether an exported function may be called itself instead of a continuation: the frame stands
 * before its first instruction and holds no more than its parameters, so both begin at the same place with the same
 * values. Only integers go this way, since JavaScript does not keep the bits of NaNs, and references where the kernel
 * itself is the caller; none while a safepoint is asked for: the quick version would come to one at once.
 */
function mayCallQuick(core: Core, domain: Domain, frame: FrameHead): boolean {
  const { functionIndex, info } = frame;
  const { instructionOffset, kind } = frame.trailer;
  if (frame.module !== 0) return false; // calls of made modules are the program's own
  if (kind !== KIND_BEFORE || functionIndex < info.importedFunctionCount || core.flagRaised) return false;
  if (instructionOffset !== info.firstInstruction(functionIndex) || frame.layout.operands.length > 0)
    return false;
  const { params, results } = info.functionShape(functionIndex);
  if (frame.layout.live.some((local) => local >= params.length)) return false;
  const outermost = frame.start === domain.stackBase; // that the kernel itself has called
  return [...params, ...results].every(
    (type) => type === I32 || type === I64 || (outermost && isReference(type) && type !== EXNREF),
  );
}

/** False, with nothing done, where the function cannot be called from here. */
function callQuick(core: Core, domain: Domain, instance: Instance, frame: FrameHead): boolean {
  const { space } = domain;
  const { functionIndex, info } = frame;
  const call = instance.quickFunction(functionIndex);
  if (call === null) return false;
  const { params, results } = info.functionShape(functionIndex);
  const { locals } = readFrameValues(space, frame);
  const args = params.map((type, i) => {
    const raw = locals[i] ?? { type, low: 0n, high: 0n };
    return isReference(type) ? fromReference(domain, raw) : toNumber(raw);
  });
  domain.setStackPointer(frame.start);
  const returned: unknown = call(...args);
  const list = results.length === 0 ? [] : results.length === 1 ? [returned] : (returned as unknown[]);
  for (const [i, type] of results.entries()) {
    const value = list[i];
    const raw = isReference(type) ? toReference(domain, type, value) : toRaw(type, value as number | bigint);
    if (raw === null) core.trap('a host reference cannot be kept');
    const at = domain.region + RESULTS_OFFSET + VALUE_BYTES * i;
    space.view.setBigUint64(at, BigInt.asUintN(64, raw.low), true);
    space.view.setBigUint64(at + 8, 0n, true);
  }
  return true;
}

/** Throws away the saved frames: for a resident domain whose call is over. */
export function clearFrames(domain: Domain): void {
  domain.setStackPointer(domain.stackBase);
  domain.growth = null;
}
