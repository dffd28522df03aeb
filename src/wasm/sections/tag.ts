/** The tag section: exception tags. */
import type { Reader } from '../reader.ts';
import { decodeTagType, encodeTagType } from '../typecodec.ts';
import type { TagType } from '../types.ts';
import type { Writer } from '../writer.ts';

export function decodeTags(r: Reader): TagType[] {
  const count = r.count('tags');
  const tags: TagType[] = [];
  for (let i = 0; i < count; i++) tags.push(decodeTagType(r));
  return tags;
}

export function encodeTags(w: Writer, tags: readonly TagType[]): void {
  w.u32(tags.length);
  for (const tag of tags) encodeTagType(w, tag);
}
