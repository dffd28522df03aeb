/** The start section: the function that runs when the module is instantiated. */
import type { Reader } from '../reader.ts';
import type { Writer } from '../writer.ts';

export function decodeStart(r: Reader): number {
  return r.u32();
}

export function encodeStart(w: Writer, functionIndex: number): void {
  w.u32(functionIndex);
}
