/**
 * Why a program ended badly and where, in terms of the program. Its call stack has up to three parts, innermost first:
 * frames that an unwinding has just saved, frames of the native stack (native.ts), and outer frames that were saved
 * before and have not been resumed. Only for reports; nothing is decided by it.
 */
import { FRAME_VERSION, frameBytes, readTrailer, TRAILER_BYTES } from '../abi/frame.ts';
import type { Domain } from './domain.ts';
import { type NativeStack, nativeStack } from './native.ts';
import type { ProgramPlace } from './program.ts';
import { Ends, TRACE_ENDS, type Trace, traceOf } from './trace.ts';

export const STACK_EXHAUSTED = 'call stack exhausted';

export interface TrapReport {
  readonly reason: string;
  readonly trace: Trace;
}

/** A call stack on its way out, before it is put into words: that may need more native stack than there is. */
export interface RawStack {
  /** Frames saved by the unwinding that goes on, where it will not get far enough to be read later. */
  readonly unwound?: Ends<ProgramPlace>;
  /** Made where the program stood: it knows the native stack. */
  readonly error: Error;
  /** Frames saved before, where the frame stack is given up; else they are still on it. */
  readonly outer?: Ends<ProgramPlace>;
}

/** Where more of a frame than this has been saved when the frame stack is full, the frames behind it are not told. */
const BEGUN_MOST_BYTES = 8192;

type Lazy = Ends<() => ProgramPlace | null>;

/** What V8 threw out of the program's code, as a reason and the program's call stack. */
export function describeTrap(domain: Domain, error: Error): TrapReport {
  const { info } = domain.module;
  const stack = nativeStack(error);
  const exhausted = error instanceof RangeError;
  let reason = exhausted ? STACK_EXHAUSTED : error.message;
  let first: ProgramPlace | null = null;
  const innermost = stack.frames[0]?.() ?? null;
  if (innermost !== null && !exhausted) {
    const trap = info.describeTrap(innermost, error.message);
    if (trap) reason = trap.kind;
    first = trap;
  }
  const places: Lazy = new Ends(TRACE_ENDS);
  pushNative(places, domain, stack, first);
  pushSaved(places, savedPlaces(domain));
  return { reason, trace: traceOf(domain.module, places, stack.cut) };
}

/** The call stack of a domain that ended inside the kernel. */
export function endTrace(domain: Domain, { unwound, error, outer }: RawStack): Trace {
  const places: Lazy = new Ends(TRACE_ENDS);
  if (unwound) pushSaved(places, unwound);
  const stack = nativeStack(error);
  pushNative(places, domain, stack, null);
  pushSaved(places, outer ?? savedPlaces(domain));
  return traceOf(domain.module, places, stack.cut);
}

/** The call stack of places that have been noted. */
export function placesTrace(domain: Domain, list: Ends<ProgramPlace>): Trace {
  const places: Lazy = new Ends(TRACE_ENDS);
  pushSaved(places, list);
  return traceOf(domain.module, places);
}

/** The call stack of a domain that does not run. */
export function savedTrace(domain: Domain): Trace {
  return placesTrace(domain, savedPlaces(domain, domain.stackPointer));
}

function pushNative(places: Lazy, domain: Domain, stack: NativeStack, first: ProgramPlace | null): void {
  stack.frames.forEach((frame, i) => {
    places.push(() => {
      // The system's own functions have no place in the program; their caller has.
      if (i === 0 && first !== null) return first.functionIndex < 0 ? null : first;
      const native = frame();
      return native && domain.module.info.placeOf(native);
    });
  });
}

function pushSaved(places: Lazy, saved: Ends<ProgramPlace>): void {
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
 * Places of the saved frames in [from, end) of the frame stack, innermost first; by default those that were saved
 * before the code ran that runs now. Only their trailers are looked at, which may be anything.
 */
export function savedPlaces(domain: Domain, end = domain.stackBase + domain.liveFrom): Ends<ProgramPlace> {
  const places = new Ends<ProgramPlace>(TRACE_ENDS);
  walk(domain, domain.stackBase, end, (place) => places.push(place));
  return places;
}

/**
 * Places of the frames that the unwinding now going on has saved, innermost first. It lays the innermost down first, and
 * may have begun to save one more: where its values are is found by trying.
 */
export function unwoundPlaces(domain: Domain): Ends<ProgramPlace> {
  const from = domain.stackBase + domain.liveFrom;
  const end = domain.stackPointer;
  for (let begun = 0; begun <= BEGUN_MOST_BYTES && end - begun >= from; begun += 8) {
    const places = new Ends<ProgramPlace>(TRACE_ENDS);
    if (walk(domain, from, end - begun, (place) => places.push(place))) return places.reversed();
  }
  return new Ends(TRACE_ENDS);
}

/** Steps down over frames by their trailers. False where they do not end exactly at `from`. */
function walk(domain: Domain, from: number, end: number, take: (place: ProgramPlace) => void): boolean {
  const { functionCount } = domain.module.info;
  const { view } = domain.space;
  while (end - TRAILER_BYTES >= from) {
    const trailer = readTrailer(view, end);
    const { functionIndex, instructionOffset: offset } = trailer;
    end -= frameBytes(trailer);
    if (trailer.version !== FRAME_VERSION || functionIndex >= functionCount || end < from) return false;
    take({ functionIndex, offset });
  }
  return end === from;
}
