/**
 * The name section: what a program calls its functions and locals, for people who inspect it. It is a hint,
 * so a broken one never fails: a subsection that is not well formed is left out, and so is all behind it.
 * Never decide anything by a name.
 */
import { MalformedError } from '../base/errors.ts';
import { Reader } from './reader.ts';
import type { Custom } from './sections/custom.ts';
import type { ByteRange } from './types.ts';
import { Writer } from './writer.ts';

export interface Names {
  module: string | undefined;
  /** By function index, imports counted. */
  functions: Map<number, string>;
  /** By function index, then by local index, parameters counted. */
  locals: Map<number, Map<number, string>>;
}

const SECTION = 'name';
const MODULE = 0;
const FUNCTIONS = 1;
const LOCALS = 2;
/** Id of the data section: behind it is where tools expect the names. */
const AFTER_DATA = 11;

/** The names in the first name section among a module's custom sections; empty where there is none. */
export function decodeNames(customs: readonly Custom[]): Names {
  const section = customs.find((custom) => custom.name === SECTION);
  if (section === undefined) return { module: undefined, functions: new Map(), locals: new Map() };
  return decodeNameBytes(section);
}

/** The names in the contents of a name section. */
export function decodeNameBytes(section: ByteRange): Names {
  const names: Names = { module: undefined, functions: new Map(), locals: new Map() };
  const r = new Reader(section.source, section.start, section.end);
  try {
    while (r.pos < section.end) {
      const id = r.u8();
      const size = r.u32();
      if (size > section.end - r.pos) r.fail('the subsection does not fit');
      r.end = r.pos + size;
      decodeSubsection(r, id, names);
      r.pos = r.end;
      r.end = section.end;
    }
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
  }
  return names;
}

/** Sets a part of `names` only once the whole subsection was read. */
function decodeSubsection(r: Reader, id: number, names: Names): void {
  if (id === MODULE) {
    names.module = r.name();
  } else if (id === FUNCTIONS) {
    names.functions = decodeNameMap(r);
  } else if (id === LOCALS) {
    const count = r.count('functions');
    const locals = new Map<number, Map<number, string>>();
    for (let i = 0; i < count; i++) locals.set(r.u32(), decodeNameMap(r));
    names.locals = locals;
  }
}

function decodeNameMap(r: Reader): Map<number, string> {
  const count = r.count('names');
  const map = new Map<number, string>();
  for (let i = 0; i < count; i++) map.set(r.u32(), r.name());
  return map;
}

/** A name section that says these names; put it among a module's `customs`. */
export function encodeNames(names: Names): Custom {
  const w = new Writer();
  if (names.module !== undefined) {
    const at = begin(w, MODULE);
    w.name(names.module);
    w.endSize(at);
  }
  if (names.functions.size > 0) {
    const at = begin(w, FUNCTIONS);
    encodeNameMap(w, names.functions);
    w.endSize(at);
  }
  if (names.locals.size > 0) {
    const at = begin(w, LOCALS);
    w.u32(names.locals.size);
    for (const [index, locals] of inOrder(names.locals)) {
      w.u32(index);
      encodeNameMap(w, locals);
    }
    w.endSize(at);
  }
  return { name: SECTION, after: AFTER_DATA, source: w.toBytes(), start: 0, end: w.length };
}

function begin(w: Writer, id: number): number {
  w.u8(id);
  return w.beginSize();
}

function encodeNameMap(w: Writer, map: ReadonlyMap<number, string>): void {
  w.u32(map.size);
  for (const [index, name] of inOrder(map)) {
    w.u32(index);
    w.name(name);
  }
}

/** The format wants ascending indices. */
function inOrder<T>(map: ReadonlyMap<number, T>): [number, T][] {
  return [...map].sort(([a], [b]) => a - b);
}
