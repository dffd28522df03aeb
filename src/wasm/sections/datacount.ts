/** The data count section: how many data segments there are, told before the code that names them. */
import type { Reader } from '../reader.ts';
import type { Writer } from '../writer.ts';

export function decodeDataCount(r: Reader): number {
  return r.u32();
}

export function encodeDataCount(w: Writer, count: number): void {
  w.u32(count);
}
