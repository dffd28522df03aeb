/**
 * Takes a rewritten module apart as far as the verifier must see: index spaces, names, and every place where something
 * refers to a function, global or table. It decides nothing: `rules.ts` does. Whatever is not well formed, or belongs
 * to a part of WebAssembly that no rewritten module uses, is a `MalformedError` with its offset.
 */
import { EVIDENCE_SECTION } from '../abi/evidence.ts';
import { HINTS_SECTION } from '../abi/hints.ts';
import { Cursor } from './cursor.ts';
import { heapType, valueType } from './opcodes.ts';

/** Most parameters, and results, of a function: V8's limit. */
const TYPES_MAX = 1000;

export const FUNC = 0;
export const TABLE = 1;
export const MEMORY = 2;
export const GLOBAL = 3;
export const TAG = 4;

export interface FuncShape {
  /** How many. */
  readonly params: number;
  readonly results: number;
  /** The types themselves, for comparison: `signature`. */
  readonly signature: string;
}

export const signature = (params: readonly number[], results: readonly number[]): string =>
  `${params.join()}>${results.join()}`;

export interface Import {
  readonly module: string;
  readonly name: string;
  readonly kind: number;
  /** FUNC, TAG: index of the type. */
  readonly type: number;
  /** MEMORY: flags, least and greatest pages. */
  readonly limits: Limits;
  readonly at: number;
}

export interface Limits {
  readonly flags: number;
  readonly min: number;
  readonly max: number;
}

export interface Export {
  readonly name: string;
  readonly kind: number;
  readonly index: number;
  readonly at: number;
}

/** A constant expression: what it refers to, and its value where it is one constant. */
export interface ConstExpr {
  readonly functions: readonly number[];
  readonly globals: readonly number[];
  /** The one i64.const it consists of, else NaN. */
  readonly i64: number;
  readonly at: number;
}

export interface Global {
  /** Value type and mutability byte. */
  readonly type: number;
  readonly mutable: number;
  readonly init: ConstExpr;
}

export interface Table {
  /** Element type. */
  readonly type: number;
  readonly limits: Limits;
}

export interface Segment {
  /** The table it is for, or -1 when it is passive or declared. */
  readonly table: number;
  /** Offset and items; where items are indices, `functions` has them and `items` is empty. */
  readonly offset: ConstExpr | null;
  readonly functions: readonly number[];
  readonly items: readonly ConstExpr[];
  readonly at: number;
}

export interface Body {
  readonly start: number;
  readonly end: number;
}

/** Everything but code, in order of index; imports are part of each index space. */
export interface Decoded {
  readonly bytes: Uint8Array;
  types: FuncShape[];
  imports: Import[];
  /** Type index of each function. */
  functions: number[];
  tables: Table[];
  /** The init expressions of tables that have one. */
  tableInits: ConstExpr[];
  memories: number;
  tags: number;
  importedGlobals: number;
  globals: Global[];
  exports: Export[];
  /** Offset of a start section, or -1. */
  start: number;
  segments: Segment[];
  datas: number;
  /** Offset of the first data segment that is not passive, or -1. */
  activeData: number;
  bodies: Body[];
  /** Payloads of custom sections named EVIDENCE_SECTION. */
  evidence: Body[];
  /** And of those named HINTS_SECTION. */
  hints: Body[];
}

/** Section numbers in the order in which sections stand. */
const ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

export function decode(bytes: Uint8Array): Decoded {
  const c = new Cursor(bytes);
  const head = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  if (bytes.length < 8 || head.some((byte, i) => bytes[i] !== byte)) c.fail('not a WebAssembly module');
  c.pos = 8;
  const m: Decoded = {
    ...{ bytes, types: [], imports: [], functions: [], tables: [], tableInits: [], memories: 0, tags: 0 },
    ...{ importedGlobals: 0, globals: [], exports: [], start: -1, segments: [], datas: 0, activeData: -1 },
    ...{ bodies: [], evidence: [], hints: [] },
  };
  let last = -1;
  while (c.pos < bytes.length) {
    const at = c.pos;
    const id = c.u8();
    const size = c.u32();
    const start = c.skip(size);
    c.pos = start;
    c.end = start + size;
    if (id === 0) {
      const name = c.name();
      if (name === EVIDENCE_SECTION) m.evidence.push({ start: c.pos, end: c.end });
      if (name === HINTS_SECTION) m.hints.push({ start: c.pos, end: c.end });
      c.pos = c.end;
    } else {
      const place = ORDER.indexOf(id);
      if (place < 0) c.fail(`unknown section ${id}`, at);
      if (place <= last) c.fail(`section ${id} is out of order`, at);
      last = place;
      section(m, c, id, at);
      if (c.pos !== c.end) c.fail(`section ${id} is longer than what is in it`);
    }
    c.end = bytes.length;
  }
  if (m.bodies.length !== m.functions.length - m.imports.filter((i) => i.kind === FUNC).length) {
    c.fail('functions and bodies differ in number');
  }
  return m;
}

function section(m: Decoded, c: Cursor, id: number, at: number): void {
  if (id === 8) m.start = at;
  if (id === 8 || id === 12) {
    c.u32(); // the start function, or the count of data segments, which V8 compares with them
    return;
  }
  const count = c.count();
  for (let i = 0; i < count; i++) {
    if (id === 1) m.types.push(funcType(c));
    else if (id === 2) importItem(m, c);
    else if (id === 3) m.functions.push(typeIndex(m, c));
    else if (id === 4) tableItem(m, c);
    else if (id === 5) memoryItem(m, c);
    else if (id === 13) tagItem(m, c);
    else if (id === 6) m.globals.push({ type: valueType(c), mutable: mutability(c), init: constExpr(c) });
    else if (id === 7) m.exports.push({ at: c.pos, name: c.name(), kind: exportKind(c), index: c.u32() });
    else if (id === 9) m.segments.push(segment(c));
    else if (id === 10) m.bodies.push(body(c));
    else dataItem(m, c);
  }
}

function funcType(c: Cursor): FuncShape {
  if (c.u8() !== 0x60) c.fail('not a function type', c.pos - 1);
  const list = (): number[] => {
    const count = c.count();
    if (count > TYPES_MAX) c.fail(`more than ${TYPES_MAX} parameters or results`);
    return Array.from({ length: count }, () => valueType(c));
  };
  const params = list();
  const results = list();
  return { params: params.length, results: results.length, signature: signature(params, results) };
}

function typeIndex(m: Decoded, c: Cursor): number {
  const index = c.u32();
  if (index >= m.types.length) c.fail(`there is no type ${index}`);
  return index;
}

function limits(c: Cursor): Limits {
  const flags = c.u8();
  if (flags > 7) c.fail('malformed limits', c.pos - 1);
  const read = (): number => (flags & 4 ? c.u64() : c.u32());
  return { flags, min: read(), max: flags & 1 ? read() : -1 };
}

const NO_LIMITS: Limits = { flags: 0, min: 0, max: -1 };

function importItem(m: Decoded, c: Cursor): void {
  const at = c.pos;
  const [module, name, kind] = [c.name(), c.name(), exportKind(c)];
  let type = -1;
  let bounds = NO_LIMITS;
  if (kind === FUNC) {
    type = typeIndex(m, c);
    m.functions.push(type);
  } else if (kind === TABLE) {
    m.tables.push({ type: valueType(c), limits: limits(c) });
  } else if (kind === MEMORY) {
    bounds = limits(c);
    m.memories++;
  } else if (kind === GLOBAL) {
    m.globals.push({ type: valueType(c), mutable: mutability(c), init: NO_INIT });
    m.importedGlobals++;
  } else {
    type = tagItem(m, c);
  }
  m.imports.push({ module, name, kind, type, limits: bounds, at });
}

function exportKind(c: Cursor): number {
  const kind = c.u8();
  if (kind > TAG) c.fail('unknown kind of import or export', c.pos - 1);
  return kind;
}

function mutability(c: Cursor): number {
  const flag = c.u8();
  if (flag > 1) c.fail('malformed mutability', c.pos - 1);
  return flag;
}

function tableItem(m: Decoded, c: Cursor): void {
  const withInit = c.bytes[c.pos] === 0x40;
  if (withInit) {
    c.u8();
    if (c.u8() !== 0) c.fail('malformed table', c.pos - 1);
  }
  m.tables.push({ type: valueType(c), limits: limits(c) });
  if (withInit) m.tableInits.push(constExpr(c));
}

function memoryItem(m: Decoded, c: Cursor): void {
  limits(c);
  m.memories++;
}

function tagItem(m: Decoded, c: Cursor): number {
  if (c.u8() !== 0) c.fail('malformed tag', c.pos - 1);
  m.tags++;
  return typeIndex(m, c);
}

const NO_INIT: ConstExpr = { functions: [], globals: [], i64: Number.NaN, at: -1 };

function constExpr(c: Cursor): ConstExpr {
  const at = c.pos;
  const functions: number[] = [];
  const globals: number[] = [];
  let i64 = Number.NaN;
  for (let n = 0; ; n++) {
    const op = c.u8();
    if (op === 0x0b) return { functions, globals, i64: n === 1 ? i64 : Number.NaN, at };
    if (op === 0x42) i64 = c.s64();
    else if (op === 0x41) c.i32();
    else if (op === 0x43) c.skip(4);
    else if (op === 0x44) c.skip(8);
    else if (op === 0x23) globals.push(c.u32());
    else if (op === 0xd2) functions.push(c.u32());
    else if (op === 0xd0) heapType(c);
    else if (op === 0xfd) {
      if (c.u32() !== 12) c.fail('not a constant instruction');
      c.skip(16);
    } else if (!((op >= 0x6a && op <= 0x6c) || (op >= 0x7c && op <= 0x7e))) {
      c.fail('not a constant instruction', c.pos - 1); // i32 and i64 add, sub, mul are
    }
  }
}

function segment(c: Cursor): Segment {
  const at = c.pos;
  const flags = c.u32();
  if (flags > 7) c.fail('malformed element segment', at);
  const active = (flags & 1) === 0;
  const table = active ? (flags & 2 ? c.u32() : 0) : -1;
  const offset = active ? constExpr(c) : null;
  const expressions = (flags & 4) !== 0;
  if ((flags & 3) !== 0) {
    if (expressions) valueType(c);
    else if (c.u8() !== 0) c.fail('malformed element kind', c.pos - 1);
  }
  const functions: number[] = [];
  const items: ConstExpr[] = [];
  for (let n = c.count(); n > 0; n--) {
    if (expressions) items.push(constExpr(c));
    else functions.push(c.u32());
  }
  return { table, offset, functions, items, at };
}

function body(c: Cursor): Body {
  const size = c.u32();
  const start = c.skip(size);
  return { start, end: start + size };
}

function dataItem(m: Decoded, c: Cursor): void {
  const at = c.pos;
  const flags = c.u32();
  if (flags > 2) c.fail('malformed data segment', at);
  if (flags !== 1) {
    if (m.activeData < 0) m.activeData = at;
    if (flags === 2) c.u32();
    constExpr(c);
  }
  c.blob();
  m.datas++;
}
