/**
 * Running a domain: the trampoline. It takes the innermost saved frame, calls its continuation, hands its results (or its
 * exception) to the frame outside it, and so on until no frame is left, or the code unwinds.
 *
 * Between two frames everything is in the space, so the domain can stop there too, unless an exception is on its way:
 * that is carried in JavaScript to the next frame at once.
 *
 * Why: RATIONALE.md#frames-are-resumed-one-at-a-time
 */
import { KIND_BEFORE, reverseFrames } from '../abi/frame.ts';
import {
  RESULTS_OFFSET,
  RESUME_MODE_OFFSET,
  RESUME_RESULTS,
  RESUME_THROW,
  VALUE_BYTES,
} from '../abi/layout.ts';
import { EXPORT } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { EnvironmentError, UnsupportedError } from '../base/errors.ts';
import { continuationOf } from './continuations.ts';
import type { Core } from './core.ts';
import { type Domain, DomainRecord, END, type Ended, STATE } from './domain.ts';
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
  V128,
} from './frames.ts';
import type { Instance } from './instance.ts';
import { growByMoving, growStack } from './memory.ts';
import { deepStacks } from './native.ts';
import { fromReference, isReference, toReference } from './references.ts';
import { sweepModules } from './sweep.ts';
import { Ends, NO_TRACE, TRACE_ENDS } from './trace.ts';
import { describeTrap, endTrace, placesTrace, savedTrace, type TrapReport } from './traps.ts';
import { toNumber, toRaw } from './values.ts';

const R = DomainRecord.fields;
export const DAMAGED = 'damaged call stack';

/** How a slice of a domain ended. */
export type SliceEnd =
  /** No frame is left: its outermost function returned. */
  | { kind: 'returned' }
  /** It was asked to stop at a safepoint, and can go on. */
  | { kind: 'paused' }
  /** It waits in a system call. */
  | { kind: 'blocked' }
  /** It is over. `end` is one of END. */
  | ({ kind: 'ended'; end: number; code: number; exception?: unknown } & TrapReport);

/** Pushes the frame that calls a function. False where there is no room, or the program has no such safepoint. */
export function pushEntry(domain: Domain, functionIndex: number, args: readonly RawValue[]): boolean {
  const frame = entryFrame(domain.module.info, functionIndex, args);
  if (frame === null) return false;
  while (domain.stackPointer + frame.length > domain.stackLimit) if (!growStack(domain)) return false;
  domain.space.writeBytes(domain.stackPointer, frame);
  domain.setStackPointer(domain.stackPointer + frame.length);
  return true;
}

/**
 * Results of the function that returned last, by its result types.
 * @throws EnvironmentError where one is a reference that stayed in the program's hands: its function was suspended
 */
export function readResults(domain: Domain, functionIndex: number): RawValue[] {
  const { view } = domain.space;
  return domain.module.info.functionShape(functionIndex).results.map((type, i) => {
    if (isReference(type) && domain.carriesReferences) return referenceResult(domain, type, i);
    const at = domain.region + RESULTS_OFFSET + VALUE_BYTES * i;
    // What lies behind a narrower value is left over from another.
    const high = type === V128 ? view.getBigUint64(at + 8, true) : 0n;
    return { type, low: view.getBigUint64(at, true), high };
  });
}

/** A reference among the results: the instance keeps it in a global, as it keeps it between two frames. */
function referenceResult(domain: Domain, type: number, i: number): RawValue {
  const global = domain.instance?.exports[`${EXPORT.result}${type}:${i}`] as WebAssembly.Global | undefined;
  const kept = global === undefined ? null : toReference(domain, type, global.value);
  if (kept !== null) return kept;
  throw new EnvironmentError(
    'reference-result',
    `${domain.name}: its result is a reference that cannot be told`,
  );
}

/** Runs `domain` (which has an instance) until it returns, pauses, blocks or ends. */
export function runActivation(core: Core, domain: Domain, stress: boolean): SliceEnd {
  assert(core.current === null, 'one domain runs at a time');
  const { instance } = domain;
  assert(instance !== null, 'a domain that runs has an instance');
  const limit = Error.stackTraceLimit;
  deepStacks();
  core.current = domain;
  core.blocked = false;
  domain.state = STATE.running;
  domain.ran = true;
  let end: SliceEnd | null = null;
  try {
    for (let first = true; end === null; first = false) {
      if (stress) core.raiseFlag();
      else if (!first && core.flagRaised && canStopHere(domain)) return { kind: 'paused' };
      end = step(core, domain, instance);
    }
  } finally {
    core.current = null;
    domain.pending = null;
    domain.left = null;
    Error.stackTraceLimit = limit;
  }
  const { fault } = core;
  core.fault = null;
  if (fault) throw fault.error;
  return end;
}

/**
 * Whether everything is in the space between two frames: not an exception on its way, nor a result of reference type,
 * which the program's code carries in globals that are not saved.
 */
function canStopHere(domain: Domain): boolean {
  return domain.pending === null && !domain.carriesReferences;
}

function hasReferenceResult({ info, functionIndex }: FrameHead): boolean {
  return info.functionShape(functionIndex).results.some(isReference);
}

/** Resumes the innermost frame. Null when there may be more to do. */
function step(core: Core, domain: Domain, instance: Instance): SliceEnd | null {
  const { space } = domain;
  const { infos } = domain;
  const base = domain.stackBase;
  const end = domain.stackPointer;
  if (end === base) return domain.pending === null ? { kind: 'returned' } : uncaught(domain);
  const found = readFrame(space, infos, base, end);
  if (found === null) return damaged(domain);
  const frame = found.extra.length === 0 ? found : trimFrame(space, infos, base, found);
  const offset = frame.start - base;
  const throwing = domain.pending !== null;
  domain.stackLow = Math.min(domain.stackLow, offset);
  domain.nativeFrames = true;
  domain.liveFrom = offset;
  try {
    if (throwing || !mayCallQuick(core, domain, frame) || !callQuick(core, domain, instance, frame)) {
      const part = instance.part(frame.module);
      assert(part !== undefined, 'a module that has frames has an instance');
      const resume = part.continuation(continuationOf(core, domain, frame));
      domain.setStackPointer(frame.masks);
      const mode = throwing ? RESUME_THROW : RESUME_RESULTS;
      space.view.setUint32(domain.region + RESUME_MODE_OFFSET, mode, true);
      if (domain.carriesReferences && domain.returnedFrom !== frame.module) {
        instance.carryResults(domain.returnedFrom, frame.module);
      }
      domain.carriesReferences = hasReferenceResult(frame);
      domain.returnedFrom = frame.module;
      resume();
    } else {
      domain.carriesReferences = false;
    }
  } catch (error) {
    domain.nativeFrames = false;
    return thrown(core, domain, error, frame, throwing);
  }
  domain.nativeFrames = false;
  if (domain.ending !== null) return ended(domain);
  // A frame that was resumed has taken its values off the stack, and nothing else.
  if (domain.stackPointer !== domain.stackBase + offset) return damaged(domain);
  domain.pending = null;
  domain.left = null;
  return null;
}

/** Something came out of the program's code, which went on from `frame`. */
function thrown(
  core: Core,
  domain: Domain,
  error: unknown,
  frame: FrameHead,
  throwing: boolean,
): SliceEnd | null {
  const { space } = domain;
  if (domain.ending !== null) return ended(domain);
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
    // Frames were saved from the inside outwards, and without marks.
    if (from > to || !reverseFrames(space.u8, from, to)) return damaged(domain);
    space.mark(from, to - from);
    domain.pending = null;
    domain.left = null;
    if (core.blocked) return { kind: 'blocked' };
    if (domain.growth !== null) growByMoving(domain); // the instruction is begun again
    if (domain.sweep === 'wanted') sweepModules(domain); // so is the call
    // Nobody wants it to stop: it goes on from the head of a loop, or with a memory that was moved.
    return core.flagRaised ? { kind: 'paused' } : null;
  }
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    return { kind: 'ended', end: END.trap, code: 0, ...describeTrap(domain, error) };
  }
  if (error instanceof UnsupportedError) {
    const reason = `cannot go on: ${error.message}`;
    return { kind: 'ended', end: END.trap, code: 0, reason, trace: savedTrace(domain) };
  }
  if (error instanceof TypeError) {
    // Of its own: it passed a v128 to the host. Otherwise a continuation is of a shape that no compiler makes.
    if (!/type incompatibility/.test(error.message)) return damaged(domain);
    const report = { ...describeTrap(domain, error), reason: 'a value that cannot pass to the host' };
    return { kind: 'ended', end: END.trap, code: 0, ...report };
  }
  throw error;
}

/** How the domain ends whose `ending` is set. */
export function ended(domain: Domain): SliceEnd {
  const { end, code, reason, stack } = domain.ending as Ended;
  domain.ending = null;
  const trace = stack === undefined ? NO_TRACE : endTrace(domain, stack);
  return { kind: 'ended', end, code, reason, trace };
}
export function damaged(domain: Domain): SliceEnd {
  domain.ending = null;
  return { kind: 'ended', end: END.trap, code: 0, reason: DAMAGED, trace: NO_TRACE };
}
function uncaught(domain: Domain): SliceEnd {
  const exception = domain.pending;
  const trace = domain.left === null ? NO_TRACE : placesTrace(domain, domain.left);
  domain.pending = null;
  return { kind: 'ended', end: END.exception, code: 0, reason: 'uncaught exception', trace, exception };
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
  const outermost = frame.start === domain.stackBase;
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
  domain.clearScratch();
  R.entry.set(domain.space, domain.at, 0);
}
