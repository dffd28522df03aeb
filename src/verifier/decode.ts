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

export interface Global {
  /** Value type and mutability byte. */
  readonly type: number;
  readonly mutable: number;
  /** It begins as the constant i64 0. */
  readonly isZero: boolean;
  readonly at: number;
}

export interface Table {
  /** Element type, and flags of the limits. */
  readonly type: number;
  readonly flags: number;
}

/** Where something outside code names a function or a global by its index. */
export interface Mention {
  readonly index: number;
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
  memories: number;
  tags: number;
  globals: Global[];
  exports: Export[];
  /** Functions and globals that constant expressions and element segments name. */
  functionMentions: Mention[];
  globalMentions: Mention[];
  /** Offset of a start section, of the first element segment, of the first data segment that is not passive; or -1. */
  start: number;
  elements: number;
  activeData: number;
  datas: number;
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
    ...{ bytes, types: [], imports: [], functions: [], tables: [], memories: 0, tags: 0, globals: [] },
    ...{ exports: [], functionMentions: [], globalMentions: [], start: -1, elements: -1, activeData: -1 },
    ...{ datas: 0, bodies: [], evidence: [], hints: [] },
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
  if (m.bodies.length !== m.functions.length - imported(m, FUNC))
    c.fail('functions and bodies differ in number');
  return m;
}

/** How many imports there are of a kind. */
export const imported = (m: Decoded, kind: number): number =>
  m.imports.filter((item) => item.kind === kind).length;

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
    else if (id === 6) globalItem(m, c, true);
    else if (id === 7) m.exports.push({ at: c.pos, name: c.name(), kind: exportKind(c), index: c.u32() });
    else if (id === 9) elementItem(m, c);
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
    m.tables.push({ type: valueType(c), flags: limits(c).flags });
  } else if (kind === MEMORY) {
    bounds = limits(c);
    m.memories++;
  } else if (kind === GLOBAL) {
    globalItem(m, c, false);
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

function globalItem(m: Decoded, c: Cursor, hasInit: boolean): void {
  const at = c.pos;
  const [type, mutable] = [valueType(c), c.u8()];
  if (mutable > 1) c.fail('malformed mutability', c.pos - 1);
  m.globals.push({ type, mutable, isZero: hasInit && constExpr(m, c) === 0, at });
}

function tableItem(m: Decoded, c: Cursor): void {
  const hasInit = c.bytes[c.pos] === 0x40;
  if (hasInit) {
    c.u8();
    if (c.u8() !== 0) c.fail('malformed table', c.pos - 1);
  }
  m.tables.push({ type: valueType(c), flags: limits(c).flags });
  if (hasInit) constExpr(m, c);
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

/** Reads a constant expression, and notes what it names. Gives its value where it is one i64.const, else NaN. */
function constExpr(m: Decoded, c: Cursor): number {
  let value = Number.NaN;
  for (let n = 0; ; n++) {
    const at = c.pos;
    const op = c.u8();
    if (op === 0x0b) return n === 1 ? value : Number.NaN;
    if (op === 0x42) value = c.s64();
    else if (op === 0x41) c.i32();
    else if (op === 0x43) c.skip(4);
    else if (op === 0x44) c.skip(8);
    else if (op === 0x23) m.globalMentions.push({ index: c.u32(), at });
    else if (op === 0xd2) m.functionMentions.push({ index: c.u32(), at });
    else if (op === 0xd0) heapType(c);
    else if (op === 0xfd && c.u32() === 12) c.skip(16);
    else if (!((op >= 0x6a && op <= 0x6c) || (op >= 0x7c && op <= 0x7e)))
      c.fail('not a constant instruction', at); // i32 and i64 add, sub, mul are
  }
}

/** An element segment: flags tell whether it is active, names a table or is declared, and has expressions for items. */
function elementItem(m: Decoded, c: Cursor): void {
  const at = c.pos;
  if (m.elements < 0) m.elements = at;
  const flags = c.u32();
  if (flags > 7) c.fail('malformed element segment', at);
  const isActive = (flags & 1) === 0;
  const hasExpressions = (flags & 4) !== 0;
  if (isActive && flags & 2) c.u32(); // the table, which V8 compares with those there are
  if (isActive) constExpr(m, c);
  if ((flags & 3) !== 0) {
    if (hasExpressions) valueType(c);
    else if (c.u8() !== 0) c.fail('malformed element kind', c.pos - 1);
  }
  for (let n = c.count(); n > 0; n--) {
    if (hasExpressions) constExpr(m, c);
    else m.functionMentions.push({ at: c.pos, index: c.u32() });
  }
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
    constExpr(m, c);
  }
  c.blob();
  m.datas++;
}
