/**
 * Why a program ended badly and where, in terms of the program. Its call stack has up to three parts, innermost first:
 * frames that an unwinding has just saved, frames of the native stack (native.ts), and outer frames that were saved
 * before and have not been resumed. Only for reports; nothing is decided by it.
 */
import {
  frameBytes,
  functionNumber,
  indexOf,
  isFrameVersion,
  moduleOf,
  readTrailer,
  TRAILER_BYTES,
} from '../abi/frame.ts';
import { madeModuleNumber } from '../abi/made.ts';
import type { Domain } from './domain.ts';
import { type NativeStack, nativeStack } from './native.ts';
import type { NativePlace, ProgramPlace } from './program.ts';
import { Ends, type Place, TRACE_ENDS, type Trace, traceOf } from './trace.ts';

export const STACK_EXHAUSTED = 'call stack exhausted';

export interface TrapReport {
  readonly reason: string;
  readonly trace: Trace;
}

/** A call stack on its way out, before it is put into words: that may need more native stack than there is. */
export interface RawStack {
  /** Frames saved by the unwinding that goes on, where it will not get far enough to be read later. */
  readonly unwound?: Ends<Place>;
  /** Made where the program stood: it knows the native stack. */
  readonly error: Error;
  /** Frames saved before, where the frame stack is given up; else they are still on it. */
  readonly outer?: Ends<Place>;
}

/** Where more of a frame than this has been saved when the frame stack is full, the frames behind it are not told. */
const BEGUN_MOST_BYTES = 8192;

type Lazy = Ends<() => Place | null>;

/** What V8 threw out of the program's code, as a reason and the program's call stack. */
export function describeTrap(domain: Domain, error: Error): TrapReport {
  const stack = nativeStack(error);
  const exhausted = error instanceof RangeError;
  let reason = exhausted ? STACK_EXHAUSTED : error.message;
  let first: Place | null = null;
  const innermost = stack.frames[0]?.() ?? null;
  if (innermost !== null && !exhausted) {
    const made = madeModuleNumber(innermost.module);
    const trap = domain.infos(made)?.describeTrap(innermost, error.message) ?? null;
    if (trap) reason = trap.kind;
    // The system's own functions have no place in the program; their caller has.
    first = trap && (trap.functionIndex < 0 ? NOWHERE : placeIn(made, trap));
  }
  const places: Lazy = new Ends(TRACE_ENDS);
  pushNative(places, domain, stack, first);
  pushSaved(places, savedPlaces(domain));
  return { reason, trace: traceOf(domain, places, stack.cut) };
}

/** The call stack of a domain that ended inside the kernel. */
export function endTrace(domain: Domain, { unwound, error, outer }: RawStack): Trace {
  const places: Lazy = new Ends(TRACE_ENDS);
  if (unwound) pushSaved(places, unwound);
  const stack = nativeStack(error);
  pushNative(places, domain, stack, null);
  pushSaved(places, outer ?? savedPlaces(domain));
  return traceOf(domain, places, stack.cut);
}

/** The call stack of places that have been noted. */
export function placesTrace(domain: Domain, list: Ends<Place>): Trace {
  const places: Lazy = new Ends(TRACE_ENDS);
  pushSaved(places, list);
  return traceOf(domain, places);
}

/** The call stack of a domain that does not run. */
export function savedTrace(domain: Domain): Trace {
  return placesTrace(domain, savedPlaces(domain, [domain.stackBase, domain.stackPointer]));
}

const NOWHERE: Place = { functionNumber: -1, offset: 0 };

const placeIn = (made: number, { functionIndex, offset }: ProgramPlace): Place => ({
  functionNumber: functionNumber(made, functionIndex),
  offset,
});

/** The place in one of the domain's modules for one in its machine code. */
function placeOf(domain: Domain, native: NativePlace): Place | null {
  const made = madeModuleNumber(native.module);
  const place = domain.infos(made)?.placeOf(native) ?? null;
  return place && placeIn(made, place);
}

function pushNative(places: Lazy, domain: Domain, stack: NativeStack, first: Place | null): void {
  stack.frames.forEach((frame, i) => {
    places.push(() => {
      if (i === 0 && first !== null) return first === NOWHERE ? null : first;
      const native = frame();
      return native && placeOf(domain, native);
    });
  });
}

function pushSaved(places: Lazy, saved: Ends<Place>): void {
  const lazy: Lazy = new Ends(TRACE_ENDS);
  for (const [list, then] of [
    [saved.first, saved.omitted],
    [saved.last, 0],
  ] as const) {
    for (const place of list) lazy.push(() => place);
    lazy.skip(then);
  }
  places.append(lazy);
}

/**
 * Places of the saved frames in [from, end) of the space, innermost first; by default those that were saved
 * before the code ran that runs now. Only their trailers are looked at, which may be anything.
 */
export function savedPlaces(
  domain: Domain,
  [from, end]: readonly [number, number] = domain.outside ?? [
    domain.stackBase,
    domain.stackBase + domain.liveFrom,
  ],
): Ends<Place> {
  const places = new Ends<Place>(TRACE_ENDS);
  walk(domain, from, end, (place) => places.push(place));
  return places;
}

/**
 * Places of the frames that the unwinding now going on has saved, innermost first. It lays the innermost down first, and
 * may have begun to save one more: where its values are is found by trying.
 */
export function unwoundPlaces(domain: Domain): Ends<Place> {
  const from = domain.stackBase + domain.liveFrom;
  const end = domain.stackPointer;
  for (let begun = 0; begun <= BEGUN_MOST_BYTES && end - begun >= from; begun += 8) {
    const places = new Ends<Place>(TRACE_ENDS);
    if (walk(domain, from, end - begun, (place) => places.push(place))) return places.reversed();
  }
  return new Ends(TRACE_ENDS);
}

/** Steps down over frames by their trailers. False where they do not end exactly at `from`. */
function walk(domain: Domain, from: number, end: number, take: (place: Place) => void): boolean {
  const { view } = domain.space;
  while (end - TRAILER_BYTES >= from) {
    const trailer = readTrailer(view, end);
    const { functionNumber, instructionOffset: offset } = trailer;
    const info = domain.infos(moduleOf(functionNumber));
    end -= frameBytes(trailer);
    if (!isFrameVersion(trailer.version) || info === null || end < from) return false;
    if (indexOf(functionNumber) >= info.functionCount) return false;
    take({ functionNumber, offset });
  }
  return end === from;
}
