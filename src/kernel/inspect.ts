/**
 * Looking into a domain that does not run: its call stack in terms of the program, with the values of its locals and
 * operands, from its saved frames. Changes nothing.
 */
import { type Domain, STATE } from './domain.ts';
import { type RawValue, readFrame, readFrameValues } from './frames.ts';
import type { Activation } from './gate/activations.ts';
import { procedureAt } from './gate/procedures.ts';
import type { Visit } from './gate/visit.ts';
import { decodeTrace, describePlace, Ends, type TraceFrame } from './trace.ts';
import { showValue, typeName } from './values.ts';

export interface InspectedValue {
  /** From the name section; undefined where it has none. */
  name?: string;
  index: number;
  type: string;
  /** For people; null for a local that is dead at this place and has no value. */
  value: string | null;
}

export interface InspectedFrame extends TraceFrame {
  /** True where the frame waits for a call it has made, false where its instruction has not begun. */
  calling: boolean;
  locals: InspectedValue[];
  operands: InspectedValue[];
}

/** Saved frames of one domain, innermost first. */
export interface InspectedStack {
  /** Innermost first. Of a domain that ended badly: its stack at the end, without values. */
  frames: InspectedFrame[];
  /** Frames left out, and how many of `frames` come before them. */
  omitted: number;
  omittedAt: number;
  /** `omitted` is the least it can be. */
  atLeast?: true;
  /** The rest of the stack is not whole frames of this program. */
  damaged: boolean;
}

/** What a domain called, and what that called: where the activation it was started with is now. */
export interface InspectedCall extends InspectedStack {
  domain: number;
  name: string;
}

/** Somebody else's activation in a domain: a call of one of its procedures. */
export interface InspectedVisit extends InspectedStack {
  /** The domain that called; null where the owner of the space did, or is not told what became of it. */
  caller: { domain: number; name: string } | null;
  /** Null where it is a question to a kind. */
  procedure: string | null;
  /** It is not inside yet: it waits until it may enter. */
  waiting: boolean;
  /** What it has called from here: as `Inspection.calls`. */
  calls: InspectedCall[];
}

export interface Inspection extends InspectedStack {
  /** Innermost first; the last is what the innermost of `frames` has called. */
  calls: InspectedCall[];
  /** Calls of its procedures that are not over, by others; of many the first. */
  visits: InspectedVisit[];
  visitCount: number;
  /** Pages (64 KiB) of each memory. */
  memories: number[];
  /** Bytes of saved frames. */
  stackBytes: number;
  /** What it has made at run time, where it may: modules, those of them it has let go, and bytes of their code. */
  made?: { modules: number; released: number; codeBytes: number };
}

/** So many calls by others are described. */
const VISITS_MOST = 16;

/**
 * @param activations all there are
 * @param most frames described at most from each end of a stack; those between are counted
 */
export function inspectDomain(domain: Domain, activations: Iterable<Activation>, most = 100): Inspection {
  const result: Inspection = {
    frames: [],
    omitted: 0,
    omittedAt: 0,
    damaged: false,
    calls: [],
    visits: [],
    visitCount: 0,
    memories: [],
    stackBytes: 0,
  };
  if (domain.state === STATE.exited) {
    const { frames, ...rest } = decodeTrace(domain.trace);
    const without = { calling: false, locals: [], operands: [] };
    return { ...result, frames: frames.map((frame) => ({ ...frame, ...without })), ...rest };
  }
  const { stackBase, stackPointer, main } = domain;
  for (let i = 0; i < domain.memoryCount; i++) result.memories.push(domain.pagesOf(i));
  if (domain.maker !== null) {
    const { used: modules, released, codeBytes } = domain.maker;
    result.made = { modules, released, codeBytes };
  }
  result.stackBytes = stackPointer - stackBase;
  result.calls = inspectCalls(main?.visits.slice(1) ?? [], most);
  for (const activation of activations) {
    if (activation === main) continue;
    for (const [i, visit] of activation.visits.entries()) {
      if (visit.domain !== domain) continue;
      if (result.visitCount++ < VISITS_MOST) result.visits.push(inspectVisit(activation.visits, i, most));
    }
  }
  return { ...result, ...inspectStack(domain, stackBase, stackPointer, most) };
}

/** @param inner visits, outermost first */
function inspectCalls(inner: readonly Visit[], most: number): InspectedCall[] {
  return inner.toReversed().map((visit) => ({
    ...{ domain: visit.domain.id, name: visit.domain.name },
    ...inspectVisited(visit, most),
  }));
}

const inspectVisited = ({ domain, frames, frameBytes }: Visit, most: number): InspectedStack =>
  inspectStack(domain, frames, frames + frameBytes, most);

function inspectVisit(visits: readonly Visit[], i: number, most: number): InspectedVisit {
  const visit = visits[i] as Visit;
  const caller = visits[i - 1]?.domain;
  const procedure = visit.askedFor === 0 ? procedureAt(visit.domain.module, visit.entry) : undefined;
  return {
    caller: caller === undefined ? null : { domain: caller.id, name: caller.name },
    procedure: procedure?.name ?? null,
    waiting: !visit.entered,
    calls: inspectCalls(visits.slice(i + 1), most),
    ...inspectVisited(visit, most),
  };
}

/** The frames in [base, end) of the space. */
function inspectStack(domain: Domain, base: number, end: number, most: number): InspectedStack {
  const found = new Ends<NonNullable<ReturnType<typeof readFrame>>>(most);
  let damaged = false;
  while (end > base) {
    const frame = readFrame(domain.space, domain.infos, base, end);
    damaged = frame === null;
    if (frame === null) break;
    found.push(frame);
    end = frame.start;
  }
  const first = found.first.flatMap((frame) => describe(domain, frame));
  const frames = [...first, ...found.last.flatMap((frame) => describe(domain, frame))];
  return { frames, omitted: found.omitted, omittedAt: found.omitted > 0 ? first.length : 0, damaged };
}

/** A frame, behind the functions that were inlined at its place; the values are the whole frame's. */
function describe(domain: Domain, frame: NonNullable<ReturnType<typeof readFrame>>): InspectedFrame[] {
  const { info, functionIndex } = frame;
  const { functionNumber, instructionOffset, kind } = frame.trailer;
  const { locals, operands } = readFrameValues(domain.space, frame);
  const show = (type: number, index: number, value: RawValue | null): InspectedValue => ({
    index,
    type: typeName(type),
    value: value === null ? null : showValue(value),
  });
  const calling = kind !== 0;
  const shown = describePlace(domain, { functionNumber, offset: instructionOffset });
  const inlined = shown.slice(0, -1).map((each) => ({ ...each, calling, locals: [], operands: [] }));
  const whole: InspectedFrame = {
    ...(shown.at(-1) as TraceFrame),
    calling,
    locals: locals.map((value, i) => {
      const name = info.localName(functionIndex, i);
      const local = show(frame.layout.locals[i] as number, i, value);
      return name === undefined ? local : { name, ...local };
    }),
    operands: operands.map((value, i) => show(frame.layout.operands[i] as number, i, value)),
  };
  return [...inlined, whole];
}
