/**
 * A whole module: from bytes to its parts and back. `decodeModule` reads every section and checks their
 * order, sizes and counts, but leaves function bodies as ranges of bytes; `decodeAll` also walks every
 * instruction. `encodeModule` writes the parts in canonical order; what was not changed is copied. Nothing is
 * copied out of the input, so keep it unchanged for as long as the module lives.
 *
 * Every input that is not well formed is a `MalformedError` with the byte offset; what is well formed but not
 * taken is an `UnsupportedError`. Types and indices are not checked: that is validation, and V8 does it.
 */
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import { MODULE_MAX_BYTES } from '../base/limits.ts';
import { InstructionCursor } from './instructions.ts';
import { OP } from './opcodes.ts';
import { Reader } from './reader.ts';
import { type Code, decodeCodes, encodeCodes } from './sections/code.ts';
import { type Custom, decodeCustom, encodeCustom } from './sections/custom.ts';
import { type Data, decodeDatas, encodeDatas } from './sections/data.ts';
import { decodeDataCount, encodeDataCount } from './sections/datacount.ts';
import { decodeElements, type Element, encodeElements } from './sections/element.ts';
import { decodeExports, type Export, encodeExports } from './sections/export.ts';
import { decodeFunctions, encodeFunctions } from './sections/function.ts';
import { decodeGlobals, encodeGlobals, type Global } from './sections/global.ts';
import { decodeImports, encodeImports, type Import } from './sections/import.ts';
import { decodeMemories, encodeMemories } from './sections/memory.ts';
import { decodeStart, encodeStart } from './sections/start.ts';
import { decodeTables, encodeTables } from './sections/table.ts';
import { decodeTags, encodeTags } from './sections/tag.ts';
import { decodeTypes, encodeTypes } from './sections/type.ts';
import type { FuncType, MemoryType, TableType, TagType } from './types.ts';
import { Writer } from './writer.ts';

export type { Code, Custom, Data, Element, Export, Global, Import };

export interface Module {
  types: FuncType[];
  imports: Import[];
  /** Type index of each function the module defines; `codes` has the bodies in the same order. */
  functions: number[];
  tables: TableType[];
  memories: MemoryType[];
  tags: TagType[];
  globals: Global[];
  exports: Export[];
  /** Function index, or undefined. */
  start: number | undefined;
  elements: Element[];
  /** What the data count section says; undefined where there is none. */
  dataCount: number | undefined;
  codes: Code[];
  datas: Data[];
  customs: Custom[];
}

const CUSTOM = 0;
/** Section ids in the order in which they must stand. */
const ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11] as const;
const RANK: readonly number[] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6];
const MAGIC_AND_VERSION = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

type Written = (source: Uint8Array) => void;

/** A module with nothing in it. */
export function emptyModule(): Module {
  return {
    types: [],
    imports: [],
    functions: [],
    tables: [],
    memories: [],
    tags: [],
    globals: [],
    exports: [],
    start: undefined,
    elements: [],
    dataCount: undefined,
    codes: [],
    datas: [],
    customs: [],
  };
}

/** The parts of a module; bodies stay ranges of `bytes`. */
export function decodeModule(bytes: Uint8Array): Module {
  const r = new Reader(bytes);
  if (bytes.length > MODULE_MAX_BYTES) r.fail('the module is too large');
  decodeHeader(r);
  const module = emptyModule();
  let last = 0;
  let lastKept = 0; // an empty section is not written back
  let codeAt = -1;
  let dataAt = -1;
  while (r.pos < bytes.length) {
    const at = r.pos;
    const id = r.u8();
    const size = r.u32();
    if (size > bytes.length - r.pos) r.fail('the section does not fit in the module', at);
    r.end = r.pos + size;
    if (id === CUSTOM) {
      module.customs.push(decodeCustom(r, lastKept));
    } else {
      if (id >= RANK.length) r.fail(`malformed section id ${id}`, at);
      if (RANK[id]! <= RANK[last]!) r.fail('unexpected section: out of order or there twice', at);
      last = id;
      if (id === 10) codeAt = at;
      if (id === 11) dataAt = at;
      decodeSection(r, id, module);
      if (isPresent(module, id)) lastKept = id;
    }
    if (r.pos !== r.end) r.fail('section size mismatch: bytes are left over', r.pos);
    r.end = bytes.length;
  }
  if (module.functions.length !== module.codes.length) {
    r.fail(
      `function and code section disagree: ${module.functions.length} and ${module.codes.length}`,
      codeAt < 0 ? bytes.length : codeAt,
    );
  }
  if (module.dataCount !== undefined && module.dataCount !== module.datas.length) {
    r.fail(
      `data count and data section disagree: ${module.dataCount} and ${module.datas.length}`,
      dataAt < 0 ? bytes.length : dataAt,
    );
  }
  return module;
}

function decodeHeader(r: Reader): void {
  for (let i = 0; i < MAGIC_AND_VERSION.length; i++) {
    if (i >= r.end) r.fail('unexpected end', i);
    if (r.bytes[i] !== MAGIC_AND_VERSION[i]) {
      r.fail(i < 4 ? 'not a WebAssembly module: no magic header' : 'unknown binary version', i < 4 ? 0 : 4);
    }
  }
  r.pos = MAGIC_AND_VERSION.length;
}

function decodeSection(r: Reader, id: number, module: Module): void {
  if (id === 1) module.types = decodeTypes(r);
  else if (id === 2) module.imports = decodeImports(r);
  else if (id === 3) module.functions = decodeFunctions(r);
  else if (id === 4) module.tables = decodeTables(r);
  else if (id === 5) module.memories = decodeMemories(r);
  else if (id === 6) module.globals = decodeGlobals(r);
  else if (id === 7) module.exports = decodeExports(r);
  else if (id === 8) module.start = decodeStart(r);
  else if (id === 9) module.elements = decodeElements(r);
  else if (id === 10) module.codes = decodeCodes(r);
  else if (id === 11) module.datas = decodeDatas(r);
  else if (id === 12) module.dataCount = decodeDataCount(r);
  else module.tags = decodeTags(r);
}

/** Like `decodeModule`, and every instruction of every body is walked once. */
export function decodeAll(bytes: Uint8Array): Module {
  const module = decodeModule(bytes);
  const cursor = new InstructionCursor(bytes);
  for (const code of module.codes) walk(cursor, code, module.dataCount !== undefined);
  return module;
}

function walk(cursor: InstructionCursor, code: Code, dataCounted: boolean): void {
  cursor.reset(code.start, code.end);
  while (cursor.next()) {
    if (!dataCounted && (cursor.op === OP.memory_init || cursor.op === OP.data_drop)) {
      throw new MalformedError('data count section required', cursor.offset);
    }
  }
}

/**
 * The bytes of a module, in an array of its own. Sizes are worked out first: a module may be large, and in a buffer that
 * grows, or has gaps to be closed, it would be there twice.
 *
 * `written` is told of each array that bodies lie in, when the last of them was written: it may be let go then, so that code
 * is not there twice either.
 */
export function encodeModule(module: Module, written?: Written): Uint8Array<ArrayBuffer> {
  const sections: { id: number; size: number; encode: (w: Writer, written?: Written) => void }[] = [];
  const measure = new Writer(1024, true);
  let total = MAGIC_AND_VERSION.length;
  const add = (id: number, encode: (w: Writer, written?: Written) => void): void => {
    measure.clear();
    encode(measure);
    const { size } = measure;
    sections.push({ id, size, encode });
    measure.clear();
    measure.u32(size);
    total += 1 + measure.size + size;
  };
  const addCustoms = (after: number): void => {
    for (const custom of module.customs) {
      if (custom.after === after) add(CUSTOM, (w) => encodeCustom(w, custom));
    }
  };
  addCustoms(CUSTOM);
  for (const id of ORDER) {
    if (isPresent(module, id)) add(id, (w, written) => encodeSection(w, id, module, written));
    addCustoms(id);
  }
  const w = new Writer(total);
  w.raw(Uint8Array.from(MAGIC_AND_VERSION));
  for (const { id, size, encode } of sections) {
    w.u8(id);
    w.u32(size);
    encode(w, written);
  }
  assert(w.length === total, 'each section has the size it was measured to have');
  return w.whole();
}

function isPresent(module: Module, id: number): boolean {
  if (id === 1) return module.types.length > 0;
  if (id === 2) return module.imports.length > 0;
  if (id === 3) return module.functions.length > 0;
  if (id === 4) return module.tables.length > 0;
  if (id === 5) return module.memories.length > 0;
  if (id === 6) return module.globals.length > 0;
  if (id === 7) return module.exports.length > 0;
  if (id === 8) return module.start !== undefined;
  if (id === 9) return module.elements.length > 0;
  if (id === 10) return module.codes.length > 0;
  if (id === 11) return module.datas.length > 0;
  if (id === 12) return module.dataCount !== undefined;
  return module.tags.length > 0;
}

function encodeSection(w: Writer, id: number, module: Module, written?: Written): void {
  if (id === 1) encodeTypes(w, module.types);
  else if (id === 2) encodeImports(w, module.imports);
  else if (id === 3) encodeFunctions(w, module.functions);
  else if (id === 4) encodeTables(w, module.tables);
  else if (id === 5) encodeMemories(w, module.memories);
  else if (id === 6) encodeGlobals(w, module.globals);
  else if (id === 7) encodeExports(w, module.exports);
  else if (id === 8) encodeStart(w, module.start ?? 0);
  else if (id === 9) encodeElements(w, module.elements);
  else if (id === 10) encodeCodes(w, module.codes, written);
  else if (id === 11) encodeDatas(w, module.datas);
  else if (id === 12) encodeDataCount(w, module.dataCount ?? 0);
  else encodeTags(w, module.tags);
}
