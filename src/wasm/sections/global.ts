/** The global section: type and initial value of each global the module defines. */
import { type ConstExpr, decodeConstExpr, encodeConstExpr } from '../constexpr.ts';
import type { Reader } from '../reader.ts';
import { decodeGlobalType, encodeGlobalType } from '../typecodec.ts';
import type { GlobalType } from '../types.ts';
import type { Writer } from '../writer.ts';

export interface Global extends GlobalType {
  readonly init: ConstExpr;
}

export function decodeGlobals(r: Reader): Global[] {
  const count = r.count('globals');
  const globals: Global[] = [];
  for (let i = 0; i < count; i++) globals.push({ ...decodeGlobalType(r), init: decodeConstExpr(r) });
  return globals;
}

export function encodeGlobals(w: Writer, globals: readonly Global[]): void {
  w.u32(globals.length);
  for (const global of globals) {
    encodeGlobalType(w, global);
    encodeConstExpr(w, global.init);
  }
}
