/**
 * A domain as one file, to carry to another machine: named sections of bytes, each piece with a checksum that also
 * covers where it stands. It is written and read as a stream; nothing needs to know a length before it is there.
 *
 *     for (const piece of writeArchive([{ name: 'meta', bytes }, { name: 'pages', bytes: pagePieces(pages) }])) …
 *     for (const { name, bytes } of readArchive(file)) …
 *
 * Any damage, a missing end included, is refused as `MalformedError` with the offset in the file. The checksums guard
 * against accidents; whoever can write the file can make them match: what is in it is as trusted as its sender.
 *
 * Format, numbers little-endian. Head: "PERDURE\0", u32 version, u32 0. Then records: 'S' u8 length, name (ASCII)
 * begins a section; 'D' 3 zero bytes, u32 length, bytes continues it; 'E' 3 zero bytes, u32 number of sections ends the
 * file. The head and each record are followed by 8 bytes of checksum over the record's offset (u64) and itself.
 */
import { assert } from '../base/assert.ts';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { HASH_KEY_BYTES, PageHasher } from '../base/hash.ts';
import { ARCHIVE_NAME_MAX_BYTES, ARCHIVE_PIECE_BYTES, PAGE_BYTES } from '../base/limits.ts';

export const ARCHIVE_VERSION = 1;
const MAGIC = 'PERDURE\0';
const HEAD_BYTES = 16;
const HASH_BYTES = 8;
const [SECTION, DATA, END] = [0x53, 0x44, 0x45];

export interface Section {
  /** Printable ASCII, 1 to ARCHIVE_NAME_MAX_BYTES characters; each name once. */
  readonly name: string;
  /** Its bytes, whole or in pieces of any size. */
  readonly bytes: Uint8Array | Iterable<Uint8Array>;
}

export interface ReadSection {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Checksums of records by their place. The key is public and the same everywhere. */
class Checksum {
  readonly #hasher = new PageHasher(new Uint8Array(HASH_KEY_BYTES).fill(0x50));

  of(offset: number, record: Uint8Array): [number, number] {
    const bytes = new Uint8Array(8 + record.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(offset), true);
    bytes.set(record, 8);
    this.#hasher.hashBytes(bytes);
    return [this.#hasher.out[0]!, this.#hasher.out[1]!];
  }
}

/** The file's bytes, piece by piece. `version` is for tests. */
export function* writeArchive(
  sections: Iterable<Section>,
  version = ARCHIVE_VERSION,
): Generator<Uint8Array, void> {
  const checksum = new Checksum();
  const names = new Set<string>();
  let offset = 0;
  const sealed = (record: Uint8Array): Uint8Array => {
    const bytes = new Uint8Array(record.length + HASH_BYTES);
    bytes.set(record);
    const [low, high] = checksum.of(offset, record);
    const view = new DataView(bytes.buffer, record.length);
    view.setUint32(0, low, true);
    view.setUint32(4, high, true);
    offset += bytes.length;
    return bytes;
  };
  const head = new Uint8Array(HEAD_BYTES);
  for (let i = 0; i < MAGIC.length; i++) head[i] = MAGIC.charCodeAt(i);
  new DataView(head.buffer).setUint32(8, version, true);
  yield sealed(head);
  for (const { name, bytes } of sections) {
    assert(isName(name) && !names.has(name), 'a section has a name of its own');
    names.add(name);
    yield sealed(new Uint8Array([SECTION, name.length, ...new TextEncoder().encode(name)]));
    for (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
      for (let at = 0; at < piece.length; at += ARCHIVE_PIECE_BYTES) {
        yield sealed(numbered(DATA, piece.subarray(at, at + ARCHIVE_PIECE_BYTES)));
      }
    }
  }
  const end = numbered(END, new Uint8Array(0));
  new DataView(end.buffer).setUint32(4, names.size, true);
  yield sealed(end);
}

/** A record of a kind, a u32, and bytes; the u32 is their length. */
function numbered(kind: number, bytes: Uint8Array): Uint8Array {
  const record = new Uint8Array(8 + bytes.length);
  record[0] = kind;
  new DataView(record.buffer).setUint32(4, bytes.length, true);
  record.set(bytes, 8);
  return record;
}

const isName = (name: string): boolean =>
  /^[\x20-\x7e]+$/.test(name) && name.length <= ARCHIVE_NAME_MAX_BYTES;

/** What a reader of the stream meets: a section begins, or goes on. */
export type ArchiveEvent = { readonly section: string } | { readonly data: Uint8Array };

/**
 * Reads a file that comes in pieces of any size. Everything yielded has been checked by itself; that the file is whole
 * is known when the generator ends without throwing. `data` is valid until the next step.
 */
export function* readArchiveStream(pieces: Iterable<Uint8Array>): Generator<ArchiveEvent, void> {
  const input = new Input(pieces);
  const checksum = new Checksum();
  /** Takes `length` bytes and their checksum, and checks them. */
  const take = (length: number, what: string): Uint8Array => {
    const offset = input.offset;
    const all = input.take(length + HASH_BYTES, what);
    const record = all.subarray(0, length);
    const [low, high] = checksum.of(offset, record);
    const view = new DataView(all.buffer, all.byteOffset + length, HASH_BYTES);
    if (view.getUint32(0, true) !== low || view.getUint32(4, true) !== high) {
      throw new MalformedError(`${what} does not match its checksum`, offset);
    }
    return record;
  };
  readHead(input, take);
  const names = new Set<string>();
  for (;;) {
    const offset = input.offset;
    const kind = input.peek(1, 'a record')[0]!;
    if (kind === SECTION) {
      const length = input.peek(2, 'the name of a section')[1]!;
      const name = String.fromCharCode(...take(2 + length, 'the name of a section').subarray(2));
      if (!isName(name)) throw new MalformedError('a section has no proper name', offset);
      if (names.has(name)) throw new MalformedError(`there are two sections ${name}`, offset);
      names.add(name);
      yield { section: name };
      continue;
    }
    if (kind !== DATA && kind !== END) throw new MalformedError(`there is no record of kind ${kind}`, offset);
    const head = input.peek(8, 'a record');
    const number = new DataView(head.buffer, head.byteOffset, 8).getUint32(4, true);
    if (head[1] !== 0 || head[2] !== 0 || head[3] !== 0)
      throw new MalformedError('a record is malformed', offset);
    if (kind === END) {
      take(8, 'the end record');
      if (number !== names.size)
        throw new MalformedError(`there are ${names.size} of ${number} sections`, offset);
      break;
    }
    if (names.size === 0) throw new MalformedError('there are bytes before the first section', offset);
    if (number === 0 || number > ARCHIVE_PIECE_BYTES)
      throw new MalformedError(`a piece has ${number} bytes`, offset);
    yield { data: take(8 + number, 'a piece').subarray(8) };
  }
  if (!input.atEnd()) throw new MalformedError('there is more after the end', input.offset);
}

function readHead(input: Input, take: (length: number, what: string) => Uint8Array): void {
  const start = input.peek(HEAD_BYTES, 'the head');
  if (String.fromCharCode(...start.subarray(0, 8)) !== MAGIC) {
    throw new MalformedError('this is not a domain exported by Perdure', 0);
  }
  const version = new DataView(start.buffer, start.byteOffset, HEAD_BYTES).getUint32(8, true);
  take(HEAD_BYTES, 'the head');
  if (version > ARCHIVE_VERSION) {
    throw new UnsupportedError(`it was exported by a newer Perdure: version ${version}, this one knows 1`, 8);
  }
  if (version !== ARCHIVE_VERSION) throw new MalformedError(`there is no version ${version}`, 8);
}

/** All sections of a file, in order. Throws `MalformedError`; then nothing of it may be used. */
export function readArchive(bytes: Uint8Array): ReadSection[] {
  const sections: { name: string; pieces: Uint8Array[] }[] = [];
  for (const event of readArchiveStream([bytes])) {
    if ('section' in event) sections.push({ name: event.section, pieces: [] });
    else sections.at(-1)!.pieces.push(event.data.slice());
  }
  return sections.map(({ name, pieces }) => ({ name, bytes: join(pieces) }));
}

/** All pieces as one array. */
export function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Pages as the bytes of a section: a u32 number and PAGE_BYTES bytes each. */
export function* pagePieces(
  pages: Iterable<{ readonly page: number; readonly bytes: Uint8Array }>,
): Generator<Uint8Array, void> {
  for (const { page, bytes } of pages) {
    const piece = new Uint8Array(4 + PAGE_BYTES);
    new DataView(piece.buffer).setUint32(0, page, true);
    piece.set(bytes.subarray(0, PAGE_BYTES), 4);
    yield piece;
  }
}

/** The pages in a section that `pagePieces` made. Throws `MalformedError` with the offset in the section. */
export function* readPagePieces(bytes: Uint8Array): Generator<{ page: number; bytes: Uint8Array }, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const step = 4 + PAGE_BYTES;
  if (bytes.length % step !== 0) throw new MalformedError('the last page is cut short', bytes.length);
  let previous = -1;
  for (let at = 0; at < bytes.length; at += step) {
    const page = view.getUint32(at, true);
    if (page <= previous) throw new MalformedError(`page ${page} comes after page ${previous}`, at);
    previous = page;
    yield { page, bytes: bytes.subarray(at + 4, at + step) };
  }
}

/** Pieces of any size as a run of bytes. */
class Input {
  offset = 0;
  readonly #pieces: Iterator<Uint8Array>;
  #buffer: Uint8Array = new Uint8Array(0);

  constructor(pieces: Iterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.iterator]();
  }

  /** The next `length` bytes, which stay. */
  peek(length: number, what: string): Uint8Array {
    if (!this.#fill(length)) {
      throw new MalformedError(`the file ends within ${what}`, this.offset + this.#buffer.length);
    }
    return this.#buffer.subarray(0, length);
  }

  take(length: number, what: string): Uint8Array {
    const bytes = this.peek(length, what);
    this.#buffer = this.#buffer.subarray(length);
    this.offset += length;
    return bytes;
  }

  atEnd(): boolean {
    return !this.#fill(1);
  }

  #fill(length: number): boolean {
    while (this.#buffer.length < length) {
      const next = this.#pieces.next();
      if (next.done) return false;
      this.#buffer = this.#buffer.length === 0 ? next.value.subarray() : join([this.#buffer, next.value]);
    }
    return true;
  }
}
