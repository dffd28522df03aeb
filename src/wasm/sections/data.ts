/** The data section: segments that are copied into memory, at start (active) or by memory.init (passive). */
import { type ConstExpr, decodeConstExpr, encodeConstExpr } from '../constexpr.ts';
import type { Reader } from '../reader.ts';
import type { ByteRange } from '../types.ts';
import type { Writer } from '../writer.ts';

/** The bytes of the segment are `source[start .. end)`. */
export interface Data extends ByteRange {
  readonly mode: 'active' | 'passive';
  /** Memory of an active segment; 0 for a passive one. */
  readonly memory: number;
  /** Where an active segment goes in its memory. */
  readonly offset: ConstExpr | undefined;
}

const PASSIVE = 1;
const EXPLICIT_MEMORY = 2;

export function decodeDatas(r: Reader): Data[] {
  const count = r.count('data segments');
  const datas: Data[] = [];
  for (let i = 0; i < count; i++) datas.push(decodeData(r));
  return datas;
}

function decodeData(r: Reader): Data {
  const at = r.pos;
  const flags = r.u32();
  if (flags > EXPLICIT_MEMORY) r.fail('malformed data segment kind', at);
  const memory = flags === EXPLICIT_MEMORY ? r.u32() : 0;
  const offset = flags === PASSIVE ? undefined : decodeConstExpr(r);
  const size = r.u32();
  const start = r.skip(size);
  return { mode: offset ? 'active' : 'passive', memory, offset, source: r.bytes, start, end: r.pos };
}

export function encodeDatas(w: Writer, datas: readonly Data[]): void {
  w.u32(datas.length);
  for (const { memory, offset, source, start, end } of datas) {
    w.u8(offset === undefined ? PASSIVE : memory === 0 ? 0 : EXPLICIT_MEMORY);
    if (offset !== undefined) {
      if (memory !== 0) w.u32(memory);
      encodeConstExpr(w, offset);
    }
    w.u32(end - start);
    w.rawRange(source, start, end);
  }
}
