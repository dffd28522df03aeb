/** The export section. */
import type { Reader } from '../reader.ts';
import type { Writer } from '../writer.ts';

/** What can be imported and exported, in the order of the binary codes. */
export const EXTERN_KINDS = ['func', 'table', 'memory', 'global', 'tag'] as const;
export type ExternKind = (typeof EXTERN_KINDS)[number];

export interface Export {
  readonly name: string;
  readonly kind: ExternKind;
  /** Index in the index space of its kind, imports counted. */
  readonly index: number;
}

export function decodeExports(r: Reader): Export[] {
  const count = r.count('exports');
  const exports: Export[] = [];
  for (let i = 0; i < count; i++) {
    const name = r.name();
    const kind = EXTERN_KINDS[r.u8()];
    if (kind === undefined) r.fail('malformed export kind', r.pos - 1);
    exports.push({ name, kind, index: r.u32() });
  }
  return exports;
}

export function encodeExports(w: Writer, exports: readonly Export[]): void {
  w.u32(exports.length);
  for (const { name, kind, index } of exports) {
    w.name(name);
    w.u8(EXTERN_KINDS.indexOf(kind));
    w.u32(index);
  }
}
