/**
 * Looking into a domain that does not run: its call stack in terms of the program, with the values of its locals and
 * operands, from its saved frames. Changes nothing.
 */
import { type Domain, STATE } from './domain.ts';
import { type RawValue, readFrame, readFrameValues } from './frames.ts';
import { showValue, typeName } from './values.ts';

export interface InspectedValue {
  /** From the name section; undefined where it has none. */
  name?: string;
  index: number;
  type: string;
  /** For people; null for a local that is dead at this place and has no value. */
  value: string | null;
}

export interface InspectedFrame {
  functionIndex: number;
  function: string;
  /** Bytes from the start of the program's module; 0 in an imported function. */
  offset: number;
  /** True where the frame waits for a call it has made, false where its instruction has not begun. */
  calling: boolean;
  locals: InspectedValue[];
  operands: InspectedValue[];
}

export interface Inspection {
  /** Innermost first. */
  frames: InspectedFrame[];
  /** Frames there are beyond `frames`. */
  more: number;
  /** The rest of the stack is not whole frames of this program. */
  damaged: boolean;
  /** Pages (64 KiB) of each memory. */
  memories: number[];
  /** Bytes of saved frames. */
  stackBytes: number;
}

/** @param most frames described at most; the rest is counted */
export function inspectDomain(domain: Domain, most = 1000): Inspection {
  const frames: InspectedFrame[] = [];
  const result: Inspection = { frames, more: 0, damaged: false, memories: [], stackBytes: 0 };
  if (domain.state === STATE.exited) return result;
  const { space, stackBase } = domain;
  for (let i = 0; i < domain.memoryCount; i++) result.memories.push(domain.pagesOf(i));
  let end = domain.stackPointer;
  result.stackBytes = end - stackBase;
  while (end > stackBase) {
    const frame = readFrame(space, domain.module.info, stackBase, end);
    if (frame === null) {
      result.damaged = true;
      break;
    }
    if (frames.length < most) frames.push(describe(domain, frame));
    else result.more++;
    end = frame.start;
  }
  return result;
}

function describe(domain: Domain, frame: NonNullable<ReturnType<typeof readFrame>>): InspectedFrame {
  const { info } = domain.module;
  const { functionIndex, instructionOffset, kind } = frame.trailer;
  const { locals, operands } = readFrameValues(domain.space, info, frame);
  const show = (type: number, index: number, value: RawValue | null): InspectedValue => ({
    index,
    type: typeName(type),
    value: value === null ? null : showValue(value),
  });
  return {
    functionIndex,
    function: info.functionName(functionIndex),
    offset: instructionOffset,
    calling: kind !== 0,
    locals: locals.map((value, i) => {
      const name = info.localName(functionIndex, i);
      const shown = show(frame.layout.locals[i] as number, i, value);
      return name === undefined ? shown : { name, ...shown };
    }),
    operands: operands.map((value, i) => show(frame.layout.operands[i] as number, i, value)),
  };
}
