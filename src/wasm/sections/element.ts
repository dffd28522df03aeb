/**
 * The element section. A segment holds either function indices or constant expressions; exactly one of the
 * two fields is there, as in the bytes, so that writing it back keeps the form.
 */
import { type ConstExpr, decodeConstExpr, encodeConstExpr } from '../constexpr.ts';
import type { Reader } from '../reader.ts';
import { decodeRefType } from '../typecodec.ts';
import { FUNCREF, type ValueType } from '../types.ts';
import type { Writer } from '../writer.ts';

export type ElementMode = 'active' | 'passive' | 'declarative';

export interface Element {
  readonly mode: ElementMode;
  /** Table of an active segment; 0 for the others. */
  readonly table: number;
  /** Where an active segment goes in its table. */
  readonly offset: ConstExpr | undefined;
  /** FUNCREF, EXTERNREF or EXNREF. */
  readonly type: ValueType;
  /** Function indices, or undefined where there are expressions. */
  readonly functions: readonly number[] | undefined;
  /** Constant expressions, or undefined where there are function indices. */
  readonly expressions: readonly ConstExpr[] | undefined;
}

const NOT_ACTIVE = 1;
/** Of an active segment: table index and type are explicit. Of the others: it is declarative. */
const EXPLICIT = 2;
const EXPRESSIONS = 4;
const ELEM_KIND_FUNC = 0;

export function decodeElements(r: Reader): Element[] {
  const count = r.count('element segments');
  const elements: Element[] = [];
  for (let i = 0; i < count; i++) elements.push(decodeElement(r));
  return elements;
}

function decodeElement(r: Reader): Element {
  const at = r.pos;
  const flags = r.u32();
  if (flags > 7) r.fail('malformed element segment kind', at);
  const active = (flags & NOT_ACTIVE) === 0;
  const table = active && flags & EXPLICIT ? r.u32() : 0;
  const offset = active ? decodeConstExpr(r) : undefined;
  let type: ValueType = FUNCREF;
  if (flags & (NOT_ACTIVE | EXPLICIT)) {
    if (flags & EXPRESSIONS) type = decodeRefType(r);
    else if (r.u8() !== ELEM_KIND_FUNC) r.fail('malformed element kind', r.pos - 1);
  }
  const mode: ElementMode = active ? 'active' : flags & EXPLICIT ? 'declarative' : 'passive';
  const count = r.count('elements');
  if (flags & EXPRESSIONS) {
    const expressions: ConstExpr[] = [];
    for (let i = 0; i < count; i++) expressions.push(decodeConstExpr(r));
    return { mode, table, offset, type, functions: undefined, expressions };
  }
  const functions: number[] = [];
  for (let i = 0; i < count; i++) functions.push(r.u32());
  return { mode, table, offset, type, functions, expressions: undefined };
}

export function encodeElements(w: Writer, elements: readonly Element[]): void {
  w.u32(elements.length);
  for (const element of elements) encodeElement(w, element);
}

function encodeElement(w: Writer, element: Element): void {
  const { mode, table, offset, type, functions, expressions } = element;
  const active = offset !== undefined;
  const explicit = active ? table !== 0 || type !== FUNCREF : mode === 'declarative';
  w.u8((active ? 0 : NOT_ACTIVE) | (explicit ? EXPLICIT : 0) | (expressions ? EXPRESSIONS : 0));
  if (active) {
    if (explicit) w.u32(table);
    encodeConstExpr(w, offset);
  }
  if (!active || explicit) w.u8(expressions ? type : ELEM_KIND_FUNC);
  if (expressions) {
    w.u32(expressions.length);
    for (const expression of expressions) encodeConstExpr(w, expression);
  } else {
    w.u32(functions?.length ?? 0);
    for (const index of functions ?? []) w.u32(index);
  }
}
