/** What the kernel tells of frames and values, as it is told to people and to other processes. */
import type { InspectedValue } from '../kernel/inspect.ts';
import type { TraceFrame } from '../kernel/trace.ts';
import type { CallFrame, ValueReport } from './types.ts';

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

export function valueReports(list: readonly InspectedValue[], unnamed: string): ValueReport[] {
  return list
    .filter(({ value }) => value !== null)
    .map(({ name: known, index, type, value }) => ({
      name: known ?? (unnamed === '' ? '' : `${unnamed}${index}`),
      type,
      value: value!,
    }));
}
