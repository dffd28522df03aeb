/**
 * Why a program trapped and where, in terms of the program: from V8's error and its stack text, which names function
 * and byte offset of each wasm frame of the rewritten module. Only for reports; nothing is decided by it.
 */
import type { Domain } from './domain.ts';
import { readFrame } from './frames.ts';
import { STACK_EXHAUSTED } from './imports.ts';
import type { ProgramPlace } from './program.ts';

/** Lines of call stack kept with a domain that ended badly. */
export const TRACE_LINES = 64;

export interface TrapReport {
  reason: string;
  trace: string;
}

/** Frames of wasm code in an error's stack text, innermost first. */
function placesIn(stack: string): { functionIndex: number; offset: number }[] {
  const places = [];
  for (const line of stack.split('\n')) {
    const match = /wasm-function\[(\d{1,9})\]:0x([0-9a-f]{1,12})\)?$/.exec(line);
    if (match)
      places.push({ functionIndex: Number(match[1]), offset: Number.parseInt(match[2] as string, 16) });
  }
  return places;
}

/** What V8 threw out of the program's code, as a reason and the program's call stack. */
export function describeTrap(domain: Domain, error: Error): TrapReport {
  const { info } = domain.module;
  const places = placesIn(error.stack ?? '');
  let reason = error instanceof RangeError ? STACK_EXHAUSTED : error.message;
  const lines: string[] = [];
  const first = places[0];
  if (first && !(error instanceof RangeError)) {
    const trap = info.describeTrap(first.functionIndex, first.offset, error.message);
    if (trap) reason = trap.kind;
  }
  for (const [i, { functionIndex, offset }] of places.entries()) {
    const place =
      (i === 0 ? info.describeTrap(functionIndex, offset, error.message) : null) ??
      info.placeOf(functionIndex, offset);
    // The system's own functions (bulk memory templates) have no place in the program; their caller has.
    if (place && place.functionIndex >= 0) lines.push(showPlace(domain, place));
  }
  return { reason, trace: [...lines, ...savedLines(domain, TRACE_LINES - lines.length)].join('\n') };
}

/** The frames still on the frame stack, innermost first, as lines. */
export function savedLines(domain: Domain, most: number): string[] {
  const { space, stackBase, module } = domain;
  const lines: string[] = [];
  let end = domain.stackPointer;
  while (end > stackBase) {
    if (lines.length >= most) {
      lines.push('…');
      break;
    }
    const frame = readFrame(space, module.info, stackBase, end);
    if (frame === null) break;
    const { functionIndex, instructionOffset: offset } = frame.trailer;
    lines.push(showPlace(domain, { functionIndex, offset }));
    end = frame.start;
  }
  return lines;
}

function showPlace(domain: Domain, { functionIndex, offset }: ProgramPlace): string {
  const name = domain.module.info.functionName(functionIndex);
  return offset === 0 ? `at ${name}` : `at ${name} (byte 0x${offset.toString(16)})`;
}
