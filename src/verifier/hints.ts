/**
 * Reads what a module claims of its functions (abi/hints.ts has the format). Every number is one below 2^32.
 */
import type { FunctionHints, LimitLocal, LoopHint, PointerHint } from '../abi/hints.ts';
import { Cursor } from './cursor.ts';

/**
 * Reads the section's payload at [start, end) of `bytes`.
 * @throws MalformedError where it is not what `encodeHints` makes.
 */
export function decodeHints(bytes: Uint8Array, start: number, end: number): FunctionHints[] {
  const c = new Cursor(bytes);
  c.pos = start;
  c.end = end;
  // A count never exceeds the bytes that are left, so no list is larger than the section.
  const list = <T>(read: () => T): T[] => Array.from({ length: c.count() }, read);
  const ascending = (): (() => number) => {
    let last = -1;
    return () => {
      last += c.u32() + 1;
      return last;
    };
  };
  const limit = (): LimitLocal => ({ local: c.u32(), memory: c.u32() });
  const pointer = (): PointerHint => {
    const local = c.u32();
    const code = c.u32();
    const step = c.u32();
    return { local, memory: Math.floor(code / 2), step: code % 2 === 1 ? -step : step, reach: c.u32() };
  };
  const loop = (next: () => number): LoopHint => {
    const at = next();
    const varying = list(ascending());
    const fuel = c.u32() - 1;
    return { loop: at, varying, fuel, pointers: fuel < 0 ? [] : list(pointer) };
  };
  const functions: FunctionHints[] = [];
  const index = ascending();
  while (c.pos < end) {
    const at = index();
    const limits = list(limit);
    const loops = ascending();
    functions.push({ index: at, limits, loops: list(() => loop(loops)) });
  }
  return functions;
}
