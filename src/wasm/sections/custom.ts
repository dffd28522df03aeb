/**
 * Custom sections: a name and bytes that mean nothing to the format. They may stand between any two sections.
 */
import type { Reader } from '../reader.ts';
import type { ByteRange } from '../types.ts';
import type { Writer } from '../writer.ts';

/** The bytes behind the name are `source[start .. end)`. */
export interface Custom extends ByteRange {
  readonly name: string;
  /** Id of the last section before it that is neither custom nor empty; 0 where there is none. */
  readonly after: number;
}

/** Takes the rest of the section. */
export function decodeCustom(r: Reader, after: number): Custom {
  const name = r.name();
  const start = r.pos;
  r.pos = r.end;
  return { name, after, source: r.bytes, start, end: r.end };
}

export function encodeCustom(w: Writer, custom: Custom): void {
  w.name(custom.name);
  w.rawRange(custom.source, custom.start, custom.end);
}
