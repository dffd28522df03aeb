/**
 * A call stack as data: what is kept of a program that ended badly, and told of one that is suspended. Long stacks lose
 * their middle: what a program was doing is at one end, how it came there at the other.
 *
 * In the domain's record it lies as JSON; a text that is no JSON was written before there was any, one line a frame.
 */
import { functionNumber, indexOf, moduleOf } from '../abi/frame.ts';
import type { Infos } from './frames.ts';
import type { LoadedModule, SourcePlace } from './program.ts';

/** A place in the code of a domain. */
export interface Place {
  readonly functionNumber: number;
  /** Bytes from the start of its module; 0 for an imported function, and where it is not known. */
  readonly offset: number;
}

/** The code a domain has: its program, and what is known of that and of the modules it has made. */
export interface Code {
  readonly module: LoadedModule;
  readonly infos: Infos;
}

/** One function on a call stack. */
export interface TraceFrame {
  /** In its module's function index space. */
  readonly functionIndex: number;
  readonly function: string;
  /** Its module, where that was made at run time: the number of it. */
  readonly made?: number;
  /** Bytes from the start of its module; 0 in an imported function, and where it is not known. */
  readonly offset: number;
  /** Where the program carries debug information that tells it. */
  readonly source?: SourcePlace;
  /** It was inlined into the function of the next frame, and has the same offset. */
  readonly inlined?: true;
}

/** Innermost first. */
export interface Trace {
  readonly frames: readonly TraceFrame[];
  /** Frames left out, and how many of `frames` come before them. */
  readonly omitted: number;
  readonly omittedAt: number;
  /** `omitted` is the least it can be. */
  readonly atLeast?: true;
}

export const NO_TRACE: Trace = { frames: [], omitted: 0, omittedAt: 0 };

/** Most frames kept from each end of a stack at its end. */
export const TRACE_ENDS = 32;
/** Most characters kept of a name or a path, which the program has chosen. */
const TEXT_CHARACTERS = 300;
/** Most frames that one place may stand for, because of inlining. */
const INLINED_MAX = 24;

/** A long sequence of which the two ends are kept. */
export class Ends<T> {
  readonly #most: number;
  readonly #first: T[] = [];
  #last: T[] = [];
  #count = 0;

  /** @param most items kept at each end */
  constructor(most: number) {
    this.#most = most;
  }

  push(item: T): void {
    this.#count++;
    if (this.#first.length < this.#most) {
      this.#first.push(item);
      return;
    }
    this.#last.push(item);
    if (this.#last.length >= 2 * this.#most) this.#last = this.#last.slice(-this.#most);
  }

  /** Everything another sequence of this length kept or left out. */
  append(other: Ends<T>): void {
    for (const item of other.first) this.push(item);
    this.skip(other.omitted);
    for (const item of other.last) this.push(item);
  }

  /** Items that were there and are not kept; both ends are full by now. */
  skip(count: number): void {
    this.#count += count;
  }

  reversed(): Ends<T> {
    const other = new Ends<T>(this.#most);
    for (const item of this.last.toReversed()) other.push(item);
    other.skip(this.omitted);
    for (const item of this.#first.toReversed()) other.push(item);
    return other;
  }

  get first(): readonly T[] {
    return this.#first;
  }
  get last(): readonly T[] {
    return this.#last.slice(-this.#most);
  }
  /** Items between the two. */
  get omitted(): number {
    return this.#count - this.#first.length - this.last.length;
  }
}

/** Frames of a trace from places, ends apart: with names and, where the program tells them, source lines. */
export function traceOf(code: Code, places: Ends<() => Place | null>, cut = false): Trace {
  const resolve = (list: readonly (() => Place | null)[]): TraceFrame[] =>
    list.flatMap((each) => {
      const place = each();
      return place === null ? [] : describePlace(code, place);
    });
  const first = resolve(places.first);
  const { omitted } = places;
  return {
    frames: [...first, ...resolve(places.last)],
    omitted,
    omittedAt: omitted > 0 ? first.length : 0,
    ...(cut ? { atLeast: true as const } : {}),
  };
}

/** One place as frames, innermost first: functions that were inlined there, then the one that has the code. */
export function describePlace(code: Code, { functionNumber, offset }: Place): TraceFrame[] {
  const [made, functionIndex] = [moduleOf(functionNumber), indexOf(functionNumber)];
  const name = shortened(code.infos(made)?.functionName(functionIndex) ?? '?');
  if (made > 0) return [{ functionIndex, function: name, made, offset }];
  const { sources } = code.module;
  const found = offset === 0 || sources === undefined ? [] : sources.at(offset).slice(0, INLINED_MAX);
  if (found.length === 0) return [{ functionIndex, function: name, offset }];
  return found.map(({ inlined, source }): TraceFrame => {
    const file = source && { ...source, file: shortened(source.file) };
    return {
      functionIndex,
      function: inlined === null ? name : shortened(inlined),
      offset,
      ...(file === null ? {} : { source: file }),
      ...(inlined === null ? {} : { inlined: true as const }),
    };
  });
}

function shortened(text: string): string {
  return text.length > TEXT_CHARACTERS ? `${text.slice(0, TEXT_CHARACTERS)}…` : text;
}

/** The places of a trace, for another process to make it of again with `retold`. */
export function placesText({ frames, omitted, omittedAt }: Trace): string {
  const places = frames.map(({ functionIndex, offset }) => ({ functionIndex, offset }));
  return JSON.stringify({ frames: places, omitted, omittedAt });
}

/**
 * A trace that another process told in its own words, told again: only its places are taken, and what is at them is
 * looked up here. What makes no sense is left out.
 */
export function retold(code: Code, text: string): Trace {
  let told: Partial<Trace> | null = null;
  try {
    told = JSON.parse(text) as Partial<Trace> | null;
  } catch {
    // It is no trace, and then there is none.
  }
  if (!Array.isArray(told?.frames)) return NO_TRACE;
  const count = (value: unknown): number => (Number.isSafeInteger(value) ? Math.max(0, value as number) : 0);
  const { functionCount } = code.module.info;
  const places = (told.frames as readonly (Partial<TraceFrame> | null)[]).slice(0, 2 * TRACE_ENDS);
  const omitted = count(told.omitted);
  const frames: TraceFrame[] = [];
  let omittedAt = 0;
  places.forEach((place, i) => {
    if (omitted > 0 && i === told.omittedAt) omittedAt = frames.length;
    const functionIndex = count(place?.functionIndex);
    if (place?.functionIndex !== functionIndex || functionIndex >= functionCount) return;
    const number = functionNumber(0, functionIndex);
    frames.push(...describePlace(code, { functionNumber: number, offset: count(place.offset) }));
  });
  return { frames, omitted, omittedAt };
}

/** A trace as the text kept in a record; '' for one that says nothing. */
export function encodeTrace(trace: Trace): string {
  return trace.frames.length === 0 ? '' : JSON.stringify(trace);
}

/** The trace of a record's text. */
export function decodeTrace(text: string): Trace {
  if (text === '') return NO_TRACE;
  if (text.startsWith('{')) return JSON.parse(text) as Trace;
  const frames = text.split('\n').map((line): TraceFrame => {
    const match = /^(?:at )?(.*?)(?: \(byte 0x([0-9a-f]+)\))?$/s.exec(line) as RegExpExecArray;
    const offset = match[2] === undefined ? 0 : Number.parseInt(match[2], 16);
    return { functionIndex: -1, function: match[1] as string, offset };
  });
  return { ...NO_TRACE, frames };
}
