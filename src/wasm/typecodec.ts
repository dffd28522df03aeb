/**
 * Types to and from bytes: value types, limits, and the types of tables, memories, globals and tags, which
 * imports and their own sections share. A type that belongs to GC or typed function references is an
 * `UnsupportedError` that names it; any other unknown byte is malformed.
 */
import { UnsupportedError } from '../base/errors.ts';
import type { Reader } from './reader.ts';
import {
  EXNREF,
  EXTERNREF,
  FUNCREF,
  type GlobalType,
  isRefType,
  isValueType,
  type Limits,
  type MemoryType,
  type TableType,
  type TagType,
  type ValueType,
} from './types.ts';
import type { Writer } from './writer.ts';

const HAS_MAX = 1;
const SHARED = 2;
const IS_64 = 4;
const PAGE_SIZE = 8;

/** Codes of types that are well formed but refused. */
const REFUSED_TYPES: Readonly<Record<number, string>> = {
  100: 'a typed reference (ref)',
  99: 'a typed reference (ref null)',
  106: 'the GC type arrayref',
  107: 'the GC type structref',
  108: 'the GC type i31ref',
  109: 'the GC type eqref',
  110: 'the GC type anyref',
  113: 'the GC type nullref',
  114: 'the GC type nullexternref',
  115: 'the GC type nullfuncref',
  116: 'the GC type nullexnref',
};

/** Throws: `UnsupportedError` for a type Perdure does not take, else `MalformedError`. */
export function refuseType(r: Reader, code: number, offset: number): never {
  const refused = REFUSED_TYPES[code];
  if (refused !== undefined) throw new UnsupportedError(`${refused} is not supported`, offset);
  return r.fail(`malformed value type 0x${code.toString(16)}`, offset);
}

export function decodeValueType(r: Reader): ValueType {
  const code = r.u8();
  if (!isValueType(code)) refuseType(r, code, r.pos - 1);
  return code;
}

export function decodeRefType(r: Reader): ValueType {
  const code = r.u8();
  if (!isRefType(code)) {
    if (isValueType(code)) r.fail('malformed reference type', r.pos - 1);
    refuseType(r, code, r.pos - 1);
  }
  return code;
}

/** A heap type (the immediate of ref.null): FUNCREF, EXTERNREF or EXNREF. */
export function decodeHeapType(r: Reader): ValueType {
  const at = r.pos;
  const heap = r.s33();
  if (heap >= 0) throw new UnsupportedError('a reference to a defined type is not supported', at);
  const code = heap + 128;
  if (code !== FUNCREF && code !== EXTERNREF && code !== EXNREF) {
    if (code === 99 || code === 100) r.fail('malformed heap type', at);
    refuseType(r, code, at);
  }
  return code;
}

function decodeLimits(r: Reader, flags: number): Limits {
  const is64 = (flags & IS_64) !== 0;
  const min = is64 ? r.u64() : BigInt(r.u32());
  const max = flags & HAS_MAX ? (is64 ? r.u64() : BigInt(r.u32())) : undefined;
  return { min, max, is64 };
}

function encodeLimits(w: Writer, limits: Limits, more: number): void {
  w.u8((limits.max === undefined ? 0 : HAS_MAX) | (limits.is64 ? IS_64 : 0) | more);
  w.u64(limits.min);
  if (limits.max !== undefined) w.u64(limits.max);
}

export function decodeMemoryType(r: Reader): MemoryType {
  const at = r.pos;
  const flags = r.u8();
  if (flags & PAGE_SIZE && flags < 16) throw new UnsupportedError('a custom page size is not supported', at);
  if (flags > (HAS_MAX | SHARED | IS_64)) r.fail('malformed limits flags', at);
  return { ...decodeLimits(r, flags), shared: (flags & SHARED) !== 0 };
}

export function encodeMemoryType(w: Writer, type: MemoryType): void {
  encodeLimits(w, type, type.shared ? SHARED : 0);
}

export function decodeTableType(r: Reader): TableType {
  const element = decodeRefType(r);
  const at = r.pos;
  const flags = r.u8();
  if (flags === SHARED || flags === (SHARED | HAS_MAX)) {
    throw new UnsupportedError('a shared table is not supported', at);
  }
  if (flags & ~(HAS_MAX | IS_64)) r.fail('malformed limits flags', at);
  return { element, ...decodeLimits(r, flags) };
}

export function encodeTableType(w: Writer, type: TableType): void {
  w.u8(type.element);
  encodeLimits(w, type, 0);
}

export function decodeGlobalType(r: Reader): GlobalType {
  const type = decodeValueType(r);
  const flag = r.u8();
  if (flag > 1) {
    if (flag < 4) throw new UnsupportedError('a shared global is not supported', r.pos - 1);
    r.fail('malformed mutability', r.pos - 1);
  }
  return { type, mutable: flag === 1 };
}

export function encodeGlobalType(w: Writer, type: GlobalType): void {
  w.u8(type.type);
  w.u8(type.mutable ? 1 : 0);
}

export function decodeTagType(r: Reader): TagType {
  if (r.u8() !== 0) r.fail('malformed tag attribute', r.pos - 1);
  return { type: r.u32() };
}

export function encodeTagType(w: Writer, tag: TagType): void {
  w.u8(0);
  w.u32(tag.type);
}
