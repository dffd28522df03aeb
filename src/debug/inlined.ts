/**
 * Which functions were inlined at a code address: from the tree of `.debug_info`, where an inlined call is an entry
 * inside the function that has its code, with the ranges it takes and the line it was called at.
 *
 * Only the heads of units are looked at before a question; a unit that covers an address is then read as a whole, once.
 */
import { MalformedError } from '../base/errors.ts';
import { Budget, Cursor, textAt } from './bytes.ts';
import {
  ATTRIBUTE,
  CLASS,
  type Entry,
  EntryReader,
  type InfoSections,
  readUnitHead,
  TAG,
  type UnitHead,
  type Value,
} from './entries.ts';

/** From address to address, pairs, the second past the end. */
type Ranges = readonly number[];

/** An inlined call. */
export interface InlinedCall {
  readonly name: string;
  /** Where it was called; the file by its number in the unit's line table. */
  readonly file: number;
  readonly line: number;
  readonly column: number;
}

/** What covers an address, the innermost call first. */
export interface Covering {
  readonly lineTable: number;
  readonly calls: readonly InlinedCall[];
}

interface Unit {
  readonly head: UnitHead;
  readonly lineTable: number;
  readonly folder: string | null;
  readonly low: number;
  readonly bases: { readonly texts: number; readonly addresses: number; readonly lists: number };
  /** Null where it does not tell. */
  readonly ranges: Ranges | null;
  functions: Node[] | null;
}

interface Node {
  readonly entry: Entry;
  readonly ranges: Ranges;
  readonly calls: Node[];
  /** What the entry tells, once somebody asked. */
  call: InlinedCall | null;
}

/** Steps for each byte of the sections, and some: honest information takes about one. */
const STEPS_A_BYTE = 4;
const STEPS = 100_000;
/** Units that are read for one address, where several say that they cover it. */
const UNITS_MOST = 4;
/** Entries followed from an inlined call to its name. */
const HOPS_MOST = 8;
/** Deepest tree. */
const DEPTH_MOST = 1000;
/** Most ranges of one entry. */
const RANGES_MOST = 10_000;

export class InlinedCalls {
  readonly #sections: InfoSections;
  readonly #reader: EntryReader;
  readonly #budget: Budget;
  readonly #units: Unit[] = [];

  /** Never throws: it takes as many units as are well formed, from the first. */
  constructor(sections: InfoSections) {
    this.#sections = sections;
    this.#budget = new Budget(STEPS + STEPS_A_BYTE * (sections.info.length + sections.abbrev.length));
    this.#reader = new EntryReader(sections, this.#budget);
    const c = new Cursor(sections.info);
    this.#quietly(undefined, () => {
      while (c.pos < sections.info.length) {
        const head = readUnitHead(c);
        const { end } = c;
        if (head !== null) this.#quietly(undefined, () => this.#addUnit(head));
        [c.pos, c.end] = [end, sections.info.length];
      }
      return undefined;
    });
  }

  /** Where the compiler of a unit ran, by the offset of its line table. */
  folder(lineTable: number): string | null {
    return this.#units.find((unit) => unit.lineTable === lineTable)?.folder ?? null;
  }

  /** The inlined calls at an address; null where no function there is known. */
  at(address: number): Covering | null {
    const sure = this.#units.filter(({ ranges }) => ranges !== null && covers(ranges, address));
    const silent = this.#units.filter(({ ranges }) => ranges === null);
    for (const unit of [...sure, ...silent].slice(0, UNITS_MOST)) {
      unit.functions ??= this.#quietly<Node[]>([], () => this.#functionsOf(unit));
      const calls: InlinedCall[] = [];
      const found = unit.functions.find(({ ranges }) => covers(ranges, address));
      if (found === undefined) continue;
      for (let node: Node | undefined = found; node !== undefined; ) {
        node = node.calls.find(({ ranges }) => covers(ranges, address));
        if (node === undefined) continue;
        node.call ??= this.#call(unit, node.entry);
        calls.unshift(node.call);
      }
      return { lineTable: unit.lineTable, calls };
    }
    return null;
  }

  #quietly<T>(otherwise: T, body: () => T): T {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      return otherwise;
    }
  }

  #addUnit(head: UnitHead): void {
    const c = new Cursor(this.#sections.info, head.first, head.end);
    const entry = this.#reader.read(c, head);
    if (entry?.tag !== TAG.unit) return;
    const number = (attribute: number, otherwise: number): number =>
      entry.values.get(attribute)?.number ?? otherwise;
    const bases = {
      texts: number(ATTRIBUTE.textOffsets, 8),
      addresses: number(ATTRIBUTE.addresses, 8),
      lists: number(ATTRIBUTE.rangeLists, 12),
    };
    const unit = {
      head,
      bases,
      low: 0,
      lineTable: number(ATTRIBUTE.lineTable, -1),
      folder: null,
      ranges: null,
      functions: null,
    };
    const low = this.#address(unit, entry.values.get(ATTRIBUTE.low)) ?? 0;
    const told = entry.values.has(ATTRIBUTE.ranges) || entry.values.has(ATTRIBUTE.high);
    this.#units.push({
      ...unit,
      low,
      folder: this.#text(unit, entry.values.get(ATTRIBUTE.folder)),
      ranges: told ? this.#ranges({ ...unit, low }, entry) : null,
    });
  }

  /** All functions of a unit with code, with the calls inlined in them. */
  #functionsOf(unit: Unit): Node[] {
    const functions: Node[] = [];
    const c = new Cursor(this.#sections.info, unit.head.first, unit.head.end);
    /** For each open entry, the node that is around its children. */
    const around: (Node | null)[] = [];
    while (c.pos < c.end) {
      const entry = this.#reader.read(c, unit.head);
      if (entry === null) {
        if (around.pop() === undefined || around.length === 0) break;
        continue;
      }
      let node = around.at(-1) ?? null;
      const isCall = entry.tag === TAG.inlined;
      if (isCall || entry.tag === TAG.function) {
        const ranges = this.#ranges(unit, entry);
        if (ranges.length > 0 || !isCall) {
          const inner: Node = { entry, ranges, calls: [], call: null };
          if (isCall) node?.calls.push(inner);
          else if (ranges.length > 0) functions.push(inner);
          node = inner;
        }
      }
      if (entry.children) around.push(node);
      if (around.length > DEPTH_MOST) c.fail('entries that nest too deep');
    }
    return functions;
  }

  #call(unit: Unit, { values, offset }: Entry): InlinedCall {
    const number = (attribute: number): number => values.get(attribute)?.number ?? 0;
    return {
      name: this.#quietly(null, () => this.#name(unit, offset)) ?? '?',
      file: number(ATTRIBUTE.callFile),
      line: number(ATTRIBUTE.callLine),
      column: number(ATTRIBUTE.callColumn),
    };
  }

  /** The name of an entry, or of what it is an instance of. */
  #name(from: Unit, offset: number): string | null {
    let unit: Unit | undefined = from;
    for (let hop = 0; hop < HOPS_MOST && unit !== undefined; hop++) {
      const entry = this.#reader.read(new Cursor(this.#sections.info, offset, unit.head.end), unit.head);
      if (entry === null) return null;
      const { values } = entry;
      const name = this.#text(unit, values.get(ATTRIBUTE.name) ?? values.get(ATTRIBUTE.linkageName));
      if (name !== null) return name;
      const next = values.get(ATTRIBUTE.origin) ?? values.get(ATTRIBUTE.specification);
      if (next?.class !== CLASS.entry) return null;
      offset = next.number;
      unit = this.#units.find(({ head }) => offset >= head.first && offset < head.end);
    }
    return null;
  }

  #text(unit: Unit, value: Value | undefined): string | null {
    if (value?.class !== CLASS.text) return null;
    if (value.text !== null) return value.text;
    const { texts, textOffsets } = this.#sections;
    if (textOffsets === undefined) return null;
    return textAt(texts, new Cursor(textOffsets, unit.bases.texts + 4 * value.number).u32());
  }

  #address(unit: Unit, value: Value | undefined): number | null {
    if (value?.class === CLASS.address) return value.number;
    return value?.class === CLASS.addressIndex ? this.#addressAt(unit, value.number) : null;
  }

  #addressAt({ head, bases }: Unit, index: number): number {
    const { addresses } = this.#sections;
    const bytes = head.addressBytes;
    const c = new Cursor(addresses ?? new Uint8Array(0), bases.addresses + index * bytes);
    return c.address(bytes);
  }

  /** Where the code of an entry is. Code at address 0 is none: linkers leave that of functions that are gone. */
  #ranges(unit: Unit, { values }: Entry): Ranges {
    const list = values.get(ATTRIBUTE.ranges);
    if (list !== undefined) {
      return unit.head.version >= 5 ? this.#listedRanges(unit, list) : this.#plainRanges(unit, list.number);
    }
    const low = this.#address(unit, values.get(ATTRIBUTE.low));
    const high = values.get(ATTRIBUTE.high);
    if (low === null || low === 0 || high === undefined) return [];
    return [low, this.#address(unit, high) ?? low + high.number];
  }

  /** Pairs from a base, up to version 4. */
  #plainRanges({ head, low }: Unit, offset: number): Ranges {
    const ranges: number[] = [];
    const { ranges: section } = this.#sections;
    if (section === undefined) return ranges;
    const c = new Cursor(section, offset);
    const highest = head.addressBytes === 4 ? 2 ** 32 - 1 : 2 ** 64;
    for (let base = low; ranges.length < 2 * RANGES_MOST; ) {
      this.#budget.spend();
      const [from, to] = [c.address(head.addressBytes), c.address(head.addressBytes)];
      if (from === 0 && to === 0) break;
      if (from === highest) base = to;
      else if (base + from !== 0) ranges.push(base + from, base + to);
    }
    return ranges;
  }

  /** Lists of version 5. */
  #listedRanges(unit: Unit, { class: kind, number }: Value): Ranges {
    const ranges: number[] = [];
    const { rangeLists } = this.#sections;
    if (rangeLists === undefined) return ranges;
    const { lists } = unit.bases;
    const at = kind === CLASS.listIndex ? lists + new Cursor(rangeLists, lists + 4 * number).u32() : number;
    const c = new Cursor(rangeLists, at);
    const bytes = unit.head.addressBytes;
    const add = (from: number, to: number): void => {
      if (from !== 0) ranges.push(from, to);
    };
    for (let base = unit.low; ranges.length < 2 * RANGES_MOST; ) {
      this.#budget.spend();
      const entry = c.u8();
      if (entry === 0) break;
      else if (entry === 1) base = this.#addressAt(unit, c.uleb());
      else if (entry === 2) add(this.#addressAt(unit, c.uleb()), this.#addressAt(unit, c.uleb()));
      else if (entry === 3) {
        const from = this.#addressAt(unit, c.uleb());
        add(from, from + c.uleb());
      } else if (entry === 4) add(base + c.uleb(), base + c.uleb());
      else if (entry === 5) base = c.address(bytes);
      else if (entry === 6) add(c.address(bytes), c.address(bytes));
      else if (entry === 7) {
        const from = c.address(bytes);
        add(from, from + c.uleb());
      } else c.fail(`a list of ranges with ${entry}`);
    }
    return ranges;
  }
}

function covers(ranges: Ranges, address: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) {
    if (address >= (ranges[i] as number) && address < (ranges[i + 1] as number)) return true;
  }
  return false;
}
