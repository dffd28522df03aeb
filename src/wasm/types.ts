/**
 * The types of the WebAssembly binary format. A value type is a number: its one-byte binary code, so that a
 * list of types compares, prints and encodes without a table. Only types Perdure takes have names here; what
 * belongs to GC and typed function references never gets past the decoder (`typecodec.ts`).
 */

/** A value type: one of I32 I64 F32 F64 V128 FUNCREF EXTERNREF EXNREF. */
export type ValueType = number;

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export const FUNCREF = 0x70;
export const EXTERNREF = 0x6f;
export const EXNREF = 0x69;

/** The s33 of a block type without parameters and results. */
export const EMPTY_BLOCK = -64;

export interface FuncType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/**
 * Bounds of a memory in pages of 64 KiB, or of a table in elements. Bigints, for a 64-bit table goes to
 * 2^64-1.
 */
export interface Limits {
  readonly min: bigint;
  readonly max: bigint | undefined;
  /** Addresses are i64 instead of i32. */
  readonly is64: boolean;
}

export interface MemoryType extends Limits {
  readonly shared: boolean;
}

export interface TableType extends Limits {
  /** FUNCREF, EXTERNREF or EXNREF. */
  readonly element: ValueType;
}

export interface GlobalType {
  readonly type: ValueType;
  readonly mutable: boolean;
}

/** An exception's tag: the index of a function type that has no results. */
export interface TagType {
  readonly type: number;
}

const NAMES: Readonly<Record<number, string>> = {
  [I32]: 'i32',
  [I64]: 'i64',
  [F32]: 'f32',
  [F64]: 'f64',
  [V128]: 'v128',
  [FUNCREF]: 'funcref',
  [EXTERNREF]: 'externref',
  [EXNREF]: 'exnref',
};

/** True for a value type that Perdure takes. */
export function isValueType(code: number): boolean {
  return NAMES[code] !== undefined;
}

/** True for FUNCREF, EXTERNREF and EXNREF. */
export function isRefType(code: number): boolean {
  return code === FUNCREF || code === EXTERNREF || code === EXNREF;
}

/** The name of a value type as the text format writes it; never throws. */
export function valueTypeName(code: ValueType): string {
  return NAMES[code] ?? `type 0x${code.toString(16)}`;
}

/** A function type as the text format writes it, for messages: `[i32 i64] -> [f32]`. */
export function funcTypeName(type: FuncType): string {
  return `[${type.params.map(valueTypeName).join(' ')}] -> [${type.results.map(valueTypeName).join(' ')}]`;
}

/**
 * True when two function types have the same parameters and results (the same type, in a world without GC).
 */
export function sameFuncType(a: FuncType, b: FuncType): boolean {
  return sameTypes(a.params, b.params) && sameTypes(a.results, b.results);
}

function sameTypes(a: readonly ValueType[], b: readonly ValueType[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * The parameters and results of a block, from the s33 the instruction cursor gives.
 * Undefined when it names a type that does not exist (an invalid module).
 */
export function blockFuncType(types: readonly FuncType[], blockType: number): FuncType | undefined {
  if (blockType >= 0) return types[blockType];
  return blockType === EMPTY_BLOCK ? EMPTY : SINGLE[blockType + 128];
}

const EMPTY: FuncType = { params: [], results: [] };
/** By one-byte code: the block that gives one value. */
const SINGLE: FuncType[] = [];
for (const code of Object.keys(NAMES)) SINGLE[Number(code)] = { params: [], results: [Number(code)] };

/** Bytes [start, end) of `source`, not copied: an unchanged part of a module. */
export interface ByteRange {
  readonly source: Uint8Array;
  readonly start: number;
  readonly end: number;
}
