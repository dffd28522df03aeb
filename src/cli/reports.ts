/** What the kernel tells of frames and values, as it is told to people and to other processes. */
import type {
  InspectedCall,
  InspectedStack,
  InspectedValue,
  Inspection as KernelInspection,
} from '../kernel/inspect.ts';
import type { TraceFrame } from '../kernel/trace.ts';
import type {
  CallFrame,
  FrameReport,
  Inspection,
  ReachedReport,
  StackReport,
  ValueReport,
  VisitReport,
} from './types.ts';

export function callFrame({
  functionIndex,
  function: functionName,
  offset,
  inlined,
  source,
  made,
}: TraceFrame): CallFrame {
  const known = { functionIndex, functionName, offset, inlined: inlined === true, source: source ?? null };
  return made === undefined ? known : { ...known, made };
}

export function stackReport({ frames, omitted, omittedAt, atLeast }: InspectedStack): StackReport {
  const stack = frames.map(
    (frame): FrameReport => ({
      ...callFrame(frame),
      locals: valueReports(frame.locals, 'local'),
      operands: valueReports(frame.operands, ''),
    }),
  );
  return { stack, omitted, omittedAt, ...(atLeast ? { atLeast: true } : {}) };
}

const reachedReports = (calls: readonly InspectedCall[]): ReachedReport[] =>
  calls.map((call) => ({ name: call.name, ...stackReport(call) }));

/** What leads out of a program and into it. */
export function crossings({
  calls,
  visits,
  visitCount,
}: KernelInspection): Pick<Inspection, 'calls' | 'visits' | 'visitCount'> {
  const reports = visits.map(
    ({ caller, procedure, waiting, calls: onward, ...stack }): VisitReport => ({
      ...{ caller: caller?.name ?? null, procedure, waiting },
      ...{ calls: reachedReports(onward), ...stackReport(stack) },
    }),
  );
  return { calls: reachedReports(calls), visits: reports, visitCount };
}

function valueReports(list: readonly InspectedValue[], unnamed: string): ValueReport[] {
  return list
    .filter(({ value }) => value !== null)
    .map(({ name: known, index, type, value }) => ({
      name: known ?? (unnamed === '' ? '' : `${unnamed}${index}`),
      type,
      value: value!,
    }));
}
