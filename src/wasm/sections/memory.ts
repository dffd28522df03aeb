/** The memory section. */
import type { Reader } from '../reader.ts';
import { decodeMemoryType, encodeMemoryType } from '../typecodec.ts';
import type { MemoryType } from '../types.ts';
import type { Writer } from '../writer.ts';

export function decodeMemories(r: Reader): MemoryType[] {
  const count = r.count('memories');
  const memories: MemoryType[] = [];
  for (let i = 0; i < count; i++) memories.push(decodeMemoryType(r));
  return memories;
}

export function encodeMemories(w: Writer, memories: readonly MemoryType[]): void {
  w.u32(memories.length);
  for (const memory of memories) encodeMemoryType(w, memory);
}
