/** The function section: the type index of each function the module defines. */
import type { Reader } from '../reader.ts';
import type { Writer } from '../writer.ts';

export function decodeFunctions(r: Reader): number[] {
  const count = r.count('functions');
  const types: number[] = [];
  for (let i = 0; i < count; i++) types.push(r.u32());
  return types;
}

export function encodeFunctions(w: Writer, types: readonly number[]): void {
  w.u32(types.length);
  for (const type of types) w.u32(type);
}
