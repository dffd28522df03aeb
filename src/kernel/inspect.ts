/**
 * Looking into a domain that does not run: its call stack in terms of the program, with the values of its locals and
 * operands, from its saved frames. Changes nothing.
 */
import { type Domain, STATE } from './domain.ts';
import { type RawValue, readFrame, readFrameValues } from './frames.ts';
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

export interface Inspection extends InspectedStack {
  /** Innermost first; the last is what the innermost of `frames` has called. */
  calls: InspectedCall[];
  /** Pages (64 KiB) of each memory. */
  memories: number[];
  /** Bytes of saved frames. */
  stackBytes: number;
  /** What it has made at run time, where it may: modules, those of them it has let go, and bytes of their code. */
  made?: { modules: number; released: number; codeBytes: number };
}

/** @param most frames described at most from each end of the stack; those between are counted */
export function inspectDomain(domain: Domain, most = 100): Inspection {
  const result: Inspection = {
    frames: [],
    omitted: 0,
    omittedAt: 0,
    damaged: false,
    calls: [],
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
  const inner = main?.visits.slice(1).reverse() ?? [];
  result.calls = inner.map(({ domain: callee, frames, frameBytes }) => ({
    ...{ domain: callee.id, name: callee.name },
    ...inspectStack(callee, frames, frames + frameBytes, most),
  }));
  return { ...result, ...inspectStack(domain, stackBase, stackPointer, most) };
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
