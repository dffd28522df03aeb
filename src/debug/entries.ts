/**
 * The entries of `.debug_info`, versions 2 to 5: abbreviations, attributes and their forms. What an entry means is
 * `inlined.ts`; here it is only read, with every form there is, so that entries can be stepped over.
 */
import { type Budget, Cursor, textAt } from './bytes.ts';

export interface InfoSections {
  readonly info: Uint8Array;
  readonly abbrev: Uint8Array;
  readonly texts?: Uint8Array | undefined;
  readonly lineTexts?: Uint8Array | undefined;
  readonly textOffsets?: Uint8Array | undefined;
  readonly addresses?: Uint8Array | undefined;
  readonly ranges?: Uint8Array | undefined;
  readonly rangeLists?: Uint8Array | undefined;
}

export const TAG = { inlined: 0x1d, unit: 0x11, function: 0x2e } as const;
export const ATTRIBUTE = {
  name: 0x03,
  lineTable: 0x10,
  low: 0x11,
  high: 0x12,
  folder: 0x1b,
  origin: 0x31,
  specification: 0x47,
  ranges: 0x55,
  callColumn: 0x57,
  callFile: 0x58,
  callLine: 0x59,
  linkageName: 0x6e,
  textOffsets: 0x72,
  addresses: 0x73,
  rangeLists: 0x74,
} as const;

/** What kind of value a form has, where that makes a difference. */
export const CLASS = {
  other: 0,
  constant: 1,
  address: 2,
  addressIndex: 3,
  offset: 4,
  listIndex: 5,
  entry: 6,
  text: 7,
};

interface Abbreviation {
  readonly tag: number;
  readonly children: boolean;
  /** Attribute, form, value of an implicit constant: three numbers each. */
  readonly attributes: readonly number[];
}
type Abbreviations = ReadonlyMap<number, Abbreviation>;

/** A unit of compilation before its entries. Offsets are in `.debug_info`. */
export interface UnitHead {
  readonly offset: number;
  readonly version: number;
  readonly addressBytes: number;
  readonly abbreviations: number;
  /** Of the unit's own entry. */
  readonly first: number;
  readonly end: number;
}

export interface Value {
  readonly class: number;
  readonly number: number;
  readonly text: string | null;
}

/** An entry that was read: only the attributes that somebody asks for are kept. */
export interface Entry {
  readonly offset: number;
  readonly tag: number;
  readonly children: boolean;
  readonly values: ReadonlyMap<number, Value>;
}

/** Steps over a unit's head; the cursor is then at its first entry. Units of other kinds than compilation give null. */
export function readUnitHead(c: Cursor): UnitHead | null {
  const offset = c.pos;
  const end = c.unit();
  const version = c.u16();
  if (version < 2 || version > 5) c.fail(`debug information of version ${version}`);
  let kind = 1;
  let addressBytes: number;
  let abbreviations: number;
  if (version >= 5) {
    kind = c.u8();
    addressBytes = c.u8();
    abbreviations = c.u32();
  } else {
    abbreviations = c.u32();
    addressBytes = c.u8();
  }
  if (kind !== 1) return null;
  return { offset, version, addressBytes, abbreviations, first: c.pos, end };
}

const KEPT: ReadonlySet<number> = new Set(Object.values(ATTRIBUTE));

export class EntryReader {
  readonly sections: InfoSections;
  readonly #budget: Budget;
  readonly #abbreviations = new Map<number, Abbreviations>();

  constructor(sections: InfoSections, budget: Budget) {
    this.sections = sections;
    this.#budget = budget;
  }

  /** The entry at the cursor, or null at the end of a list of children. */
  read(c: Cursor, unit: UnitHead): Entry | null {
    const offset = c.pos;
    this.#budget.spend();
    const code = c.uleb();
    if (code === 0) return null;
    const abbreviation = this.#tableAt(unit.abbreviations).get(code);
    if (abbreviation === undefined) c.fail(`abbreviation ${code}, which is not declared`);
    const { tag, children, attributes } = abbreviation;
    const values = new Map<number, Value>();
    for (let i = 0; i < attributes.length; i += 3) {
      const attribute = attributes[i] as number;
      const value = this.#value(
        c,
        unit,
        attributes[i + 1] as number,
        attributes[i + 2] as number,
        KEPT.has(attribute),
      );
      if (value !== null) values.set(attribute, value);
    }
    return { offset, tag, children, values };
  }

  #tableAt(offset: number): Abbreviations {
    let table = this.#abbreviations.get(offset);
    if (table === undefined) {
      table = this.#readTable(offset);
      this.#abbreviations.set(offset, table);
    }
    return table;
  }

  #readTable(offset: number): Abbreviations {
    const c = new Cursor(this.sections.abbrev, offset);
    const table = new Map<number, Abbreviation>();
    for (let code = c.uleb(); code !== 0; code = c.uleb()) {
      const tag = c.uleb();
      const children = c.u8() !== 0;
      const attributes: number[] = [];
      for (;;) {
        this.#budget.spend();
        const [attribute, form] = [c.uleb(), c.uleb()];
        const implicit = form === 0x21 ? c.sleb() : 0;
        if (attribute === 0 && form === 0) break;
        attributes.push(attribute, form, implicit);
      }
      table.set(code, { tag, children, attributes });
    }
    return table;
  }

  #value(c: Cursor, unit: UnitHead, form: number, implicit: number, keep: boolean): Value | null {
    this.#budget.spend();
    const read = FORMS[form];
    if (read !== undefined) {
      const number = read[1](c, unit);
      return keep ? { class: read[0], number, text: null } : null;
    }
    switch (form) {
      case 0x21: // a constant of the abbreviation's
        return keep ? { class: CLASS.constant, number: implicit, text: null } : null;
      case 0x16: // the form is told here
        return this.#value(c, unit, c.uleb(), 0, keep);
      case 0x08:
        return this.#text(keep, c.text());
      case 0x0e:
        return this.#text(keep, keep ? textAt(this.sections.texts, c.u32()) : this.#skip(c, 4));
      case 0x1f:
        return this.#text(keep, keep ? textAt(this.sections.lineTexts, c.u32()) : this.#skip(c, 4));
      default:
        return c.fail(`form ${form}, which nobody knows`);
    }
  }
  #skip(c: Cursor, bytes: number): null {
    c.skip(bytes);
    return null;
  }
  #text(keep: boolean, text: string | null): Value | null {
    if (!keep) return null;
    this.#budget.spend((text?.length ?? 0) / 64);
    return { class: CLASS.text, number: 0, text };
  }
}

type Read = (c: Cursor, unit: UnitHead) => number;
const skipped =
  (count: (c: Cursor) => number): Read =>
  (c) =>
    c.skip(count(c));
const bytes = (count: number): Read => skipped(() => count);
const inUnit =
  (read: (c: Cursor) => number): Read =>
  (c, unit) =>
    unit.offset + read(c);
const u8: Read = (c) => c.u8();
const u16: Read = (c) => c.u16();
const u24: Read = (c) => c.u24();
const u32: Read = (c) => c.u32();
const u64: Read = (c) => c.u64();
const uleb: Read = (c) => c.uleb();
/** An offset in another section or entry; with version 2, references are as long as addresses. */
const reference: Read = (c, unit) => (unit.version === 2 ? c.address(unit.addressBytes) : c.u32());

/** Forms with a number, or with bytes that nobody here looks at. Indices of texts are such: names come otherwise too. */
const FORMS: Readonly<Record<number, readonly [class_: number, read: Read]>> = {
  1: [CLASS.address, (c, unit) => c.address(unit.addressBytes)],
  3: [CLASS.other, skipped((c) => c.u16())],
  4: [CLASS.other, skipped((c) => c.u32())],
  5: [CLASS.constant, u16],
  6: [CLASS.constant, u32],
  7: [CLASS.constant, u64],
  9: [CLASS.other, skipped((c) => c.uleb())],
  10: [CLASS.other, skipped((c) => c.u8())],
  11: [CLASS.constant, u8],
  12: [CLASS.constant, u8],
  13: [CLASS.constant, (c) => c.sleb()],
  15: [CLASS.constant, uleb],
  16: [CLASS.entry, reference],
  17: [CLASS.entry, inUnit((c) => c.u8())],
  18: [CLASS.entry, inUnit((c) => c.u16())],
  19: [CLASS.entry, inUnit((c) => c.u32())],
  20: [CLASS.entry, inUnit((c) => c.u64())],
  21: [CLASS.entry, inUnit((c) => c.uleb())],
  23: [CLASS.offset, u32],
  24: [CLASS.other, skipped((c) => c.uleb())],
  25: [CLASS.constant, () => 1],
  26: [CLASS.text, uleb],
  27: [CLASS.addressIndex, uleb],
  28: [CLASS.other, bytes(4)],
  29: [CLASS.other, bytes(4)],
  30: [CLASS.other, bytes(16)],
  32: [CLASS.other, bytes(8)],
  34: [CLASS.other, uleb],
  35: [CLASS.listIndex, uleb],
  36: [CLASS.other, bytes(8)],
  37: [CLASS.text, u8],
  38: [CLASS.text, u16],
  39: [CLASS.text, u24],
  40: [CLASS.text, u32],
  41: [CLASS.addressIndex, u8],
  42: [CLASS.addressIndex, u16],
  43: [CLASS.addressIndex, u24],
  44: [CLASS.addressIndex, u32],
  7968: [CLASS.other, bytes(4)],
  7969: [CLASS.other, bytes(4)],
};
