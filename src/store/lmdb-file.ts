/**
 * Checks an LMDB file by reading it, before anything maps it. LMDB trusts its file: a page number out of range or a
 * file cut short kills the process with SIGBUS or SIGSEGV, and a damaged free list makes it write over living pages.
 * After `checkLmdbFile` has accepted a file, opening and reading it is safe, and every record is reachable exactly once.
 *
 * It cannot tell whether a record's bytes are the ones that were written: the store's own hashes do that.
 *
 * Spec: the structures MDB_meta, MDB_db, MDB_page, MDB_node and MDB_ovpage in liblmdb's mdb.c (data version 2, 64-bit,
 * little-endian) as shipped in npm `lmdb` 3.5, whose free lists also hold runs (-n before the first of n pages) and
 * empty slots (0). Never use it on a file somebody writes to with `deep`: pages change under it.
 *
 * Why: RATIONALE.md#an-lmdb-file-is-read-before-it-is-mapped
 */
import { MalformedError } from '../base/errors.ts';

/** A file to read from at random. */
export interface FileReader {
  readonly bytes: number;
  /** Exactly `length` bytes at `offset`; the caller keeps within the file. Valid until the next call. */
  read(offset: number, length: number): Uint8Array;
}

/** The only page size the store uses, also where the operating system's pages are larger. */
export const LMDB_PAGE_BYTES = 4096;
/** Bytes of a page's header. A value of LMDB_PAGE_BYTES less this fills one page of its own. */
export const LMDB_HEADER_BYTES = 24;

const META_PAGES = 2;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const NO_ROOT = -1;
const FLAG_BRANCH = 1;
const FLAG_LEAF = 2;
const FLAG_META = 8;
const NODE_BIG = 1;
const NODE_TREE = 2;
const NODE_HEADER_BYTES = 8;
const TREE_BYTES = 48;
const INTEGER_KEY = 8;
/** The environment's flags are kept with the free list's; this one says the path is the file itself. */
const ENV_NO_FOLDER = 0x4000;
const DEPTH_MAX = 32;

interface Tree {
  readonly name: string;
  readonly flags: number;
  readonly depth: number;
  readonly branch: number;
  readonly leaf: number;
  readonly overflow: number;
  readonly entries: number;
  readonly root: number;
}

/** What stands in the file, for messages and tests. */
export interface LmdbFacts {
  /** Number of the last transaction. */
  readonly transaction: number;
  /** Pages in use or free, with the two meta pages. */
  readonly pages: number;
}

/**
 * Checks the meta pages and the file's length, and with `deep` every page of structure and the free list. Throws
 * `MalformedError` with the offset in the file.
 */
export function checkLmdbFile(file: FileReader, deep: boolean): LmdbFacts {
  if (file.bytes < META_PAGES * LMDB_PAGE_BYTES) {
    throw new MalformedError(`the file ends before its two head pages: ${file.bytes} bytes`, file.bytes);
  }
  const metas = [readMeta(file, 0), readMeta(file, 1)] as const;
  const [even, odd] = [metas[0].transaction, metas[1].transaction];
  // Transactions write the two in turn. Before the first one both say 0.
  if (Math.abs(even - odd) !== 1 && even + odd !== 0) {
    throw new MalformedError(`the head pages are of transactions ${even} and ${odd}`, LMDB_PAGE_BYTES);
  }
  if (even % 2 !== 0 || (odd % 2 !== 1 && odd !== 0)) {
    throw new MalformedError(`transactions ${even} and ${odd} are in each other's head page`, 0);
  }
  const meta = even >= odd ? metas[0] : metas[1];
  if (deep) new Walker(file, meta).all();
  return { transaction: meta.transaction, pages: meta.lastPage + 1 };
}

interface Meta {
  readonly transaction: number;
  readonly lastPage: number;
  readonly free: Tree;
  readonly main: Tree;
}

function readMeta(file: FileReader, index: number): Meta {
  const base = index * LMDB_PAGE_BYTES;
  const bytes = file.read(base, LMDB_PAGE_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bad = (message: string, at: number): MalformedError =>
    new MalformedError(`head page ${index}: ${message}`, base + at);
  if (view.getUint16(18, true) !== FLAG_META) throw bad('is not a head page', 18);
  const at = LMDB_HEADER_BYTES;
  if (view.getUint32(at, true) !== MAGIC) throw bad('does not begin as an LMDB file does', at);
  const version = view.getUint32(at + 4, true);
  if (version !== DATA_VERSION) throw bad(`has LMDB data version ${version}, not ${DATA_VERSION}`, at + 4);
  const pageBytes = view.getUint32(at + 24, true);
  if (pageBytes !== LMDB_PAGE_BYTES) throw bad(`has pages of ${pageBytes} bytes`, at + 24);
  const mapBytes = u64(view, at + 16);
  const lastPage = u64(view, at + 120);
  const transaction = u64(view, at + 128);
  if (!(lastPage >= 1 && lastPage < 2 ** 36)) throw bad(`says its last page is ${lastPage}`, at + 120);
  if (!(mapBytes >= (lastPage + 1) * LMDB_PAGE_BYTES && mapBytes < 2 ** 47)) {
    throw bad(`says it maps ${mapBytes} bytes`, at + 16);
  }
  if (!(transaction < 2 ** 52)) throw bad(`says it is of transaction ${transaction}`, at + 128);
  const free = readTree(view, at + 24, 'the free list');
  const main = readTree(view, at + 72, 'the list of tables');
  if ((free.flags & ~ENV_NO_FOLDER) !== INTEGER_KEY) throw bad(`has flags ${free.flags}`, at + 28);
  if (main.flags !== 0) throw bad(`has flags ${main.flags} for its tables`, at + 76);
  return { transaction, lastPage, free, main };
}

/** A u64 as a number; what is beyond 2^53 comes out large, and -1 is all ones. */
function u64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  const low = view.getUint32(at, true);
  return high === 0xffff_ffff && low === 0xffff_ffff ? NO_ROOT : high * 2 ** 32 + low;
}

function readTree(view: DataView, at: number, name: string): Tree {
  return {
    name,
    flags: view.getUint16(at + 4, true),
    depth: view.getUint16(at + 6, true),
    branch: u64(view, at + 8),
    leaf: u64(view, at + 16),
    overflow: u64(view, at + 24),
    entries: u64(view, at + 32),
    root: u64(view, at + 40),
  };
}

/** What the entries of a tree are. */
type Kind = 'tables' | 'values' | 'free';
/** Makes the error for a place in the page in hand. */
type Bad = (message: string, at: number) => MalformedError;

/** Counts of one tree, to compare with what its record says. */
interface Counts {
  branch: number;
  leaf: number;
  overflow: number;
  entries: number;
}

class Walker {
  readonly #file: FileReader;
  readonly #meta: Meta;
  readonly #filePages: number;
  /** One bit a page: reachable, or in the free list. */
  readonly #seen: Uint8Array;
  readonly #tables: Tree[] = [];
  /** A copy of the page in hand at each depth, as a parent is read on after its child. */
  readonly #pages: { bytes: Uint8Array; view: DataView }[] = [];

  constructor(file: FileReader, meta: Meta) {
    this.#file = file;
    this.#meta = meta;
    this.#filePages = Math.floor(file.bytes / LMDB_PAGE_BYTES);
    this.#seen = new Uint8Array((meta.lastPage >> 3) + 1);
  }

  all(): void {
    this.#tree(this.#meta.main, 'tables');
    for (const table of this.#tables) this.#tree(table, 'values');
    // last, so that a page both free and in use is met here
    this.#tree(this.#meta.free, 'free');
  }

  #tree(tree: Tree, kind: Kind): void {
    const counts: Counts = { branch: 0, leaf: 0, overflow: 0, entries: 0 };
    const fail = (message: string): never => {
      throw new MalformedError(`${tree.name}: ${message}`, Math.max(0, tree.root) * LMDB_PAGE_BYTES);
    };
    if (tree.root === NO_ROOT) {
      if (tree.depth !== 0 || tree.entries !== 0) fail('has no root but entries');
    } else {
      if (tree.depth < 1 || tree.depth > DEPTH_MAX) fail(`has depth ${tree.depth}`);
      this.#page(tree, kind, tree.root, 1, null, null, counts);
    }
    for (const part of ['branch', 'leaf', 'overflow', 'entries'] as const) {
      if (counts[part] !== tree[part])
        fail(`has ${counts[part]} of the ${tree[part]} (${part}) it should have`);
    }
  }

  /** Marks pages as used and checks that they are in the file and were not met before. `from`: where they are named. */
  #claim(first: number, count: number, from: number, inFile: boolean): void {
    if (!(first >= META_PAGES && count >= 1 && first + count - 1 <= this.#meta.lastPage)) {
      throw new MalformedError(`page ${first} (of ${count}) is out of range`, from);
    }
    if (inFile && first + count > this.#filePages) {
      throw new MalformedError(`page ${first + count - 1} lies past the end of the file`, from);
    }
    for (let page = first; page < first + count; page++) {
      const bit = 1 << (page & 7);
      if (this.#seen[page >> 3]! & bit) throw new MalformedError(`page ${page} is used twice`, from);
      this.#seen[page >> 3]! |= bit;
    }
  }

  /** Checks a page of the tree and all below it: keys in [`from`, `to`). */
  #page(
    tree: Tree,
    kind: Kind,
    page: number,
    depth: number,
    from: Uint8Array | null,
    to: Uint8Array | null,
    counts: Counts,
  ): void {
    const base = page * LMDB_PAGE_BYTES;
    this.#claim(page, 1, base, true);
    this.#pages[depth] ??= frame();
    const { bytes, view } = this.#pages[depth]!;
    bytes.set(this.#file.read(base, LMDB_PAGE_BYTES));
    const leaf = depth === tree.depth;
    const bad: Bad = (message, at) =>
      new MalformedError(`page ${page} of ${tree.name}: ${message}`, base + at);
    const { nodes, upper } = this.#header(view, page, leaf, bad);
    counts[leaf ? 'leaf' : 'branch']++;
    const integer = (tree.flags & INTEGER_KEY) !== 0;
    let previous: Uint8Array | null = from;
    for (let i = 0; i < nodes; i++) {
      const at = LMDB_HEADER_BYTES + view.getUint16(LMDB_HEADER_BYTES + i * 2, true);
      if (at < LMDB_HEADER_BYTES + upper) throw bad(`entry ${i} is outside`, at);
      const key = this.#keyOf(depth, i, bad);
      // the first key of a branch page is not looked at
      if (leaf || i > 0) {
        if (integer && key.length !== 4 && key.length !== 8)
          throw bad(`a key has ${key.length} bytes`, at + 6);
        const order = previous ? compare(previous, key, integer) : -1;
        // a leaf's first key may equal its parent's key for it
        if (order > 0 || (order === 0 && i > 0)) throw bad(`entry ${i} is out of order`, at);
        if (to && compare(key, to, integer) >= 0) throw bad(`entry ${i} belongs to a later page`, at);
        previous = key;
      }
      if (leaf) {
        this.#entry(kind, depth, at, key, bad, counts);
        continue;
      }
      const low = view.getUint16(at, true) + view.getUint16(at + 2, true) * 2 ** 16;
      const child = low + view.getUint16(at + 4, true) * 2 ** 32;
      const next = i + 1 < nodes ? this.#keyOf(depth, i + 1, bad) : to;
      this.#page(tree, kind, child, depth + 1, i > 0 ? key : from, next, counts);
    }
  }

  /** Checks a page's header. */
  #header(view: DataView, page: number, leaf: boolean, bad: Bad): { nodes: number; upper: number } {
    if (u64(view, 0) !== page) throw bad(`says it is page ${u64(view, 0)}`, 0);
    if (u64(view, 8) > this.#meta.transaction) throw bad(`is of transaction ${u64(view, 8)}`, 8);
    const flags = view.getUint16(18, true);
    if (flags !== (leaf ? FLAG_LEAF : FLAG_BRANCH)) throw bad(`has flags ${flags}`, 18);
    // both count from the end of the header
    const lower = view.getUint16(20, true);
    const upper = view.getUint16(22, true);
    const room = LMDB_PAGE_BYTES - LMDB_HEADER_BYTES;
    if (lower % 2 !== 0 || lower > upper || upper > room) throw bad(`has bounds ${lower} and ${upper}`, 20);
    const nodes = lower >> 1;
    if (nodes < (leaf ? 1 : 2)) throw bad(`has ${nodes} entries`, 20);
    return { nodes, upper };
  }

  /** The key of entry `i` of the page in hand at a depth. */
  #keyOf(depth: number, i: number, bad: Bad): Uint8Array {
    const { bytes, view } = this.#pages[depth]!;
    const at = LMDB_HEADER_BYTES + view.getUint16(LMDB_HEADER_BYTES + i * 2, true);
    if (at + NODE_HEADER_BYTES > LMDB_PAGE_BYTES) throw bad(`entry ${i} is outside`, at);
    const end = at + NODE_HEADER_BYTES + view.getUint16(at + 6, true);
    if (end > LMDB_PAGE_BYTES) throw bad(`the key of entry ${i} is outside`, at + 6);
    return bytes.subarray(at + NODE_HEADER_BYTES, end);
  }

  /** One entry of a leaf page: the node at `at`. */
  #entry(kind: Kind, depth: number, at: number, key: Uint8Array, bad: Bad, counts: Counts): void {
    const { bytes, view } = this.#pages[depth]!;
    const dataAt = at + NODE_HEADER_BYTES + key.length;
    const length = view.getUint16(at, true) + view.getUint16(at + 2, true) * 2 ** 16;
    const flags = view.getUint16(at + 4, true);
    counts.entries++;
    if (kind === 'tables') {
      const room = dataAt + TREE_BYTES <= LMDB_PAGE_BYTES;
      if (flags !== NODE_TREE || length !== TREE_BYTES || !room)
        throw bad('has an entry that is no table', at);
      const table = readTree(
        view,
        dataAt,
        `table ${JSON.stringify(String.fromCharCode(...key.filter((byte) => byte !== 0)))}`,
      );
      if (table.flags !== 0 && table.flags !== INTEGER_KEY)
        throw bad(`${table.name} has flags ${table.flags}`, at);
      this.#tables.push(table);
      return;
    }
    let data: Uint8Array;
    if (flags === NODE_BIG) {
      if (dataAt + 24 > LMDB_PAGE_BYTES) throw bad('has a reference outside', at);
      const first = u64(view, dataAt);
      const pages = u64(view, dataAt + 16);
      const needed = Math.floor((LMDB_HEADER_BYTES - 1 + length) / LMDB_PAGE_BYTES) + 1;
      if (pages !== needed) throw bad(`keeps ${length} bytes in ${pages} pages`, at);
      this.#claim(first, pages, u64(view, 0) * LMDB_PAGE_BYTES + at, true);
      counts.overflow += pages;
      if (kind !== 'free') return;
      data = this.#file.read(first * LMDB_PAGE_BYTES + LMDB_HEADER_BYTES, length).slice();
    } else if (flags === 0) {
      if (dataAt + length > LMDB_PAGE_BYTES) throw bad('has a value outside', at);
      if (kind !== 'free') return;
      data = bytes.slice(dataAt, dataAt + length);
    } else {
      throw bad(`has an entry with flags ${flags}`, at + 4);
    }
    this.#freeList(data, bad, at, u64(view, 0) * LMDB_PAGE_BYTES + at);
  }

  /** A list of free pages: a count, then page numbers, 0 for empty slots, -n before the first page of a run of n. */
  #freeList(data: Uint8Array, bad: Bad, at: number, where: number): void {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    if (data.length < 8) throw bad('has an empty free list', at);
    const count = u64(view, 0);
    if (count > data.length / 8 - 1) throw bad(`has a free list of ${count} in ${data.length} bytes`, at);
    let run = 1;
    for (let i = 1; i <= count; i++) {
      const value = view.getBigInt64(i * 8, true);
      if (value > 0n) {
        this.#claim(Number(value), run, where, false);
        run = 1;
      } else if (value < 0n) {
        run = Number(-value);
      }
    }
  }
}

function frame(): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(LMDB_PAGE_BYTES);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** LMDB's order of keys: numbers by value, all else byte by byte. */
function compare(a: Uint8Array, b: Uint8Array, integer: boolean): number {
  if (integer) {
    for (let i = Math.max(a.length, b.length) - 1; i >= 0; i--) {
      const difference = (a[i] ?? 0) - (b[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  }
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
