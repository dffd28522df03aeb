/** The import section. Imports come first in the index space of their kind, in this order. */
import type { Reader } from '../reader.ts';
import {
  decodeGlobalType,
  decodeMemoryType,
  decodeTableType,
  decodeTagType,
  encodeGlobalType,
  encodeMemoryType,
  encodeTableType,
  encodeTagType,
} from '../typecodec.ts';
import type { GlobalType, MemoryType, TableType, TagType } from '../types.ts';
import type { Writer } from '../writer.ts';
import { EXTERN_KINDS } from './export.ts';

export type ImportDesc =
  | { readonly kind: 'func' /** Index of the function type. */; readonly type: number }
  | { readonly kind: 'table'; readonly table: TableType }
  | { readonly kind: 'memory'; readonly memory: MemoryType }
  | { readonly kind: 'global'; readonly global: GlobalType }
  | { readonly kind: 'tag'; readonly tag: TagType };

export type Import = { readonly module: string; readonly name: string } & ImportDesc;

export function decodeImports(r: Reader): Import[] {
  const count = r.count('imports');
  const imports: Import[] = [];
  for (let i = 0; i < count; i++) {
    const module = r.name();
    const name = r.name();
    imports.push({ module, name, ...decodeDesc(r) });
  }
  return imports;
}

function decodeDesc(r: Reader): ImportDesc {
  const kind = r.u8();
  switch (kind) {
    case 0:
      return { kind: 'func', type: r.u32() };
    case 1:
      return { kind: 'table', table: decodeTableType(r) };
    case 2:
      return { kind: 'memory', memory: decodeMemoryType(r) };
    case 3:
      return { kind: 'global', global: decodeGlobalType(r) };
    case 4:
      return { kind: 'tag', tag: decodeTagType(r) };
    default:
      return r.fail('malformed import kind', r.pos - 1);
  }
}

export function encodeImports(w: Writer, imports: readonly Import[]): void {
  w.u32(imports.length);
  for (const item of imports) {
    w.name(item.module);
    w.name(item.name);
    encodeDesc(w, item);
  }
}

function encodeDesc(w: Writer, desc: ImportDesc): void {
  w.u8(EXTERN_KINDS.indexOf(desc.kind));
  if (desc.kind === 'func') w.u32(desc.type);
  else if (desc.kind === 'table') encodeTableType(w, desc.table);
  else if (desc.kind === 'memory') encodeMemoryType(w, desc.memory);
  else if (desc.kind === 'global') encodeGlobalType(w, desc.global);
  else encodeTagType(w, desc.tag);
}
