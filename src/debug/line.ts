/**
 * DWARF line tables, versions 2 to 5: which source line a code address is of. `.debug_line` holds, for each unit of
 * compilation, a program for a small machine that emits rows (address, file, line, column). Its rows come in sequences
 * of ascending addresses, in WebAssembly one for each function.
 *
 * `lineTables` runs everything once and remembers where sequences are; `LineTables.at` runs one again to its row. Time
 * is linear in the bytes of the section, whatever they are.
 */

import type { SourcePlace } from '../abi/program.ts';
import { MalformedError } from '../base/errors.ts';
import { Cursor, textAt } from './bytes.ts';

/** The texts that line tables refer to. */
export interface LineSections {
  readonly line: Uint8Array;
  readonly lineTexts: Uint8Array | undefined;
  readonly texts: Uint8Array | undefined;
}

/** A unit's table before its rows. Offsets are in `.debug_line`. */
interface Header {
  readonly offset: number;
  readonly version: number;
  readonly end: number;
  /** Where the tables of folders and files begin, and the program behind them. */
  readonly tables: number;
  readonly program: number;
  readonly step: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** Operands of the standard opcodes from 1 up. */
  readonly operands: Uint8Array;
}

interface Sequence {
  readonly header: Header;
  readonly start: number;
  readonly low: number;
  /** Past the last address. */
  readonly high: number;
}

interface Row {
  address: number;
  file: number;
  line: number;
  column: number;
}

interface Files {
  /** Folder 0 is where the compiler ran; '' where the table does not tell. */
  readonly folders: readonly string[];
  readonly files: readonly { readonly name: string; readonly folder: number }[];
}

/** A sequence of more bytes than this is no function's. */
const SEQUENCE_MAX_BYTES = 1 << 19;

const CONTENT = { path: 1, folder: 2 } as const;
const [EXTENDED, COPY, ADVANCE_PC, ADVANCE_LINE, SET_FILE, SET_COLUMN] = [0, 1, 2, 3, 4, 5];
const [CONST_ADD_PC, FIXED_ADVANCE_PC] = [8, 9];
const [END_SEQUENCE, SET_ADDRESS] = [1, 2];

function readHeader(c: Cursor): Header {
  const offset = c.pos;
  const end = c.unit();
  const version = c.u16();
  if (version < 2 || version > 5) c.fail(`line tables of version ${version}`);
  if (version >= 5) c.skip(2); // size of addresses and of segment selectors
  const length = c.u32();
  const program = c.pos + length;
  if (program > end) c.fail('a header that does not fit');
  const step = c.u8();
  if (version >= 4) c.u8();
  c.u8(); // whether rows are statements
  const [lineBase, lineRange, opcodeBase] = [c.i8(), c.u8(), c.u8()];
  if (lineRange === 0 || opcodeBase === 0) c.fail('a line table that cannot be');
  const operands = c.bytes.subarray(c.skip(opcodeBase - 1), c.pos);
  return { offset, version, end, tables: c.pos, program, step, lineBase, lineRange, opcodeBase, operands };
}

/** Runs a table's program in [from, header.end); `take` gets each row, the same object every time. */
function run(
  bytes: Uint8Array,
  header: Header,
  from: number,
  take: (row: Row, last: boolean, next: number) => boolean,
): void {
  const c = new Cursor(bytes, from, header.end);
  const { step, lineBase, lineRange, opcodeBase, operands } = header;
  const begin = (): Row => ({ address: 0, file: 1, line: 1, column: 0 });
  let row = begin();
  while (c.pos < c.end) {
    const opcode = c.u8();
    if (opcode >= opcodeBase) {
      const adjusted = opcode - opcodeBase;
      row.address += step * Math.floor(adjusted / lineRange);
      row.line += lineBase + (adjusted % lineRange);
      if (!take(row, false, c.pos)) return;
    } else if (opcode === EXTENDED) {
      const length = c.uleb();
      const next = c.skip(length) + length;
      c.pos = next - length;
      const kind = length === 0 ? -1 : c.u8();
      if (kind === SET_ADDRESS) row.address = c.address(length - 1);
      c.pos = next;
      if (kind !== END_SEQUENCE) continue;
      if (!take(row, true, next)) return;
      row = begin();
    } else if (opcode === COPY) {
      if (!take(row, false, c.pos)) return;
    } else if (opcode === ADVANCE_PC) row.address += step * c.uleb();
    else if (opcode === ADVANCE_LINE) row.line += c.sleb();
    else if (opcode === SET_FILE) row.file = c.uleb();
    else if (opcode === SET_COLUMN) row.column = c.uleb();
    else if (opcode === CONST_ADD_PC) row.address += step * Math.floor((255 - opcodeBase) / lineRange);
    else if (opcode === FIXED_ADVANCE_PC) row.address += c.u16();
    else for (let i = operands[opcode - 1] as number; i > 0; i--) c.uleb();
  }
}

export class LineTables {
  readonly #sections: LineSections;
  readonly #headers = new Map<number, Header>();
  readonly #sequences: Sequence[] = [];
  readonly #files = new Map<Header, Files>();

  /** Never throws: it takes as many units as are well formed, from the first. */
  constructor(sections: LineSections) {
    this.#sections = sections;
    const c = new Cursor(sections.line);
    try {
      while (c.pos < sections.line.length) {
        const header = readHeader(c);
        this.#headers.set(header.offset, header);
        this.#index(header);
        [c.pos, c.end] = [header.end, sections.line.length];
      }
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
    }
    this.#sequences.sort((a, b) => a.low - b.low);
  }

  #index(header: Header): void {
    let start = header.program;
    let low = -1;
    run(this.#sections.line, header, start, ({ address }, last, next) => {
      if (low < 0) low = address;
      if (!last) return true;
      // Linkers leave the tables of functions that are gone at address 0 or past everything.
      if (low > 0 && address > low) this.#sequences.push({ header, start, low, high: address });
      [start, low] = [next, -1];
      return true;
    });
  }

  /** The source of a code address, or null. `folder`: where the compiler of a unit ran, by the offset of its table. */
  at(address: number, folder: (table: number) => string | null): SourcePlace | null {
    const sequence = this.#sequenceOf(address);
    if (sequence === null) return null;
    const { header, start } = sequence;
    const found: Row = { address: 0, file: 0, line: 0, column: 0 };
    const most = start + SEQUENCE_MAX_BYTES;
    run(this.#sections.line, header, start, (row, last, next) => {
      if (last || row.address > address || next > most) return false;
      Object.assign(found, row);
      return true;
    });
    return found.line > 0 ? this.#place(header, found, folder) : null;
  }

  /** A file and line that something else names, by the offset of its unit's table. */
  place(table: number, row: Omit<Row, 'address'>, folder: string | null): SourcePlace | null {
    const header = this.#headers.get(table);
    return header === undefined || row.line <= 0 ? null : this.#place(header, row, () => folder);
  }

  #sequenceOf(address: number): Sequence | null {
    const list = this.#sequences;
    let [from, to] = [0, list.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((list[middle] as Sequence).low <= address) from = middle + 1;
      else to = middle;
    }
    const found = list[from - 1];
    return found !== undefined && address < found.high ? found : null;
  }

  #place(
    header: Header,
    { file, line, column }: Omit<Row, 'address'>,
    folder: (table: number) => string | null,
  ): SourcePlace | null {
    let table = this.#files.get(header);
    if (table === undefined) {
      table = readFiles(this.#sections, header);
      this.#files.set(header, table);
    }
    const entry = table.files[file];
    if (entry === undefined) return null;
    const root = folder(header.offset) ?? table.folders[0] ?? '';
    const within = entry.folder === 0 ? '' : (table.folders[entry.folder] ?? '');
    return { file: joined(root, within, entry.name), line, column };
  }
}

/** A path as the compiler was given it, relative to where it ran if it is below. */
function joined(root: string, folder: string, name: string): string {
  const path = folder === '' || name.startsWith('/') ? name : `${folder}/${name}`;
  const base = root === '' || root.endsWith('/') ? root : `${root}/`;
  const relative = base !== '' && path.startsWith(base) ? path.slice(base.length) : path;
  return relative.replace(/^(?:\.\/)+/, '');
}

/** The folders and files of a table; empty where they are not well formed. */
function readFiles(sections: LineSections, header: Header): Files {
  const c = new Cursor(sections.line, header.tables, header.program);
  try {
    return header.version >= 5 ? readFormatted(c, sections) : readPlain(c);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return { folders: [], files: [] };
  }
}

/** Versions 2 to 4: files count from 1, folder 0 is not in the table. */
function readPlain(c: Cursor): Files {
  const folders = [''];
  for (let text = c.text(); text !== ''; text = c.text()) folders.push(text);
  const files = [{ name: '', folder: 0 }];
  for (let name = c.text(); name !== ''; name = c.text()) {
    files.push({ name, folder: c.uleb() });
    c.uleb();
    c.uleb();
  }
  return { folders, files };
}

/** Version 5: the table says how its entries look. */
function readFormatted(c: Cursor, sections: LineSections): Files {
  const folders = readEntries(c, sections).map(({ name }) => name);
  return { folders, files: readEntries(c, sections) };
}

function readEntries(c: Cursor, sections: LineSections): { name: string; folder: number }[] {
  const formats: [content: number, form: number][] = [];
  for (let n = c.u8(); n > 0; n--) formats.push([c.uleb(), c.uleb()]);
  const count = c.uleb();
  // Each entry takes at least a byte, or the count could be anything.
  if (count > c.end - c.pos || (formats.length === 0 && count > 0)) c.fail('a table that does not fit');
  const entries: { name: string; folder: number }[] = [];
  for (let i = 0; i < count; i++) {
    let name = '';
    let folder = 0;
    for (const [content, form] of formats) {
      const value = readValue(c, form, sections);
      if (content === CONTENT.path) name = String(value);
      else if (content === CONTENT.folder) folder = Number(value);
    }
    entries.push({ name, folder });
  }
  return entries;
}

/** A value of one of the forms that tables of files may have. */
function readValue(c: Cursor, form: number, { texts, lineTexts }: LineSections): string | number {
  switch (form) {
    case 0x08:
      return c.text();
    case 0x0e:
      return textAt(texts, c.u32()) ?? '';
    case 0x1f:
      return textAt(lineTexts, c.u32()) ?? '';
    case 0x0b:
      return c.u8();
    case 0x05:
      return c.u16();
    case 0x06:
      return c.u32();
    case 0x07:
      return c.u64();
    case 0x0f:
      return c.uleb();
    case 0x1e:
      return c.skip(16);
    case 0x09:
      return c.skip(c.uleb());
    default:
      return c.fail(`form ${form} in a table of files`);
  }
}
