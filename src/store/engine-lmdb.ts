/**
 * The real engine and the real host: LMDB through npm `lmdb`, files and locks through Node. The only file of the store
 * that imports either. `lmdbEngine` and `hostPowers` are given to `openStore`; nothing else is meant to be used.
 *
 * How LMDB is set up, and why:
 * - pages of 4096 bytes, everywhere, so that a store moves between machines; the largest values that come and go are
 *   4072 bytes, which with the page's header fill one page: 2 % of the file is structure, and a changed page costs one
 *   page. Whole pages of the space as values would take two each; larger LMDB pages rewrite their neighbours too.
 * - `overlappingSync` off: a transaction is reported when it is on the disk, not before.
 * - writes run on LMDB's own thread, in one batch each; nothing here writes synchronously once a store is open, as that
 *   would make LMDB commit a batch that is being filled in two halves.
 * - a large map from the start, so that it never has to move. It is address space, not memory and not disk.
 *
 * Why: RATIONALE.md#lmdb-is-the-engine
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { type Database, open, type RootDatabase, type Transaction } from 'lmdb';
import { assert } from '../base/assert.ts';
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import { STORE_MAP_BYTES } from '../base/limits.ts';
import {
  type Engine,
  type EngineFactory,
  type Key,
  type Lock,
  type Snapshot,
  type StorePowers,
  TABLES,
  type Table,
  type Writes,
} from './engine.ts';
import { checkLmdbFile, LMDB_PAGE_BYTES } from './lmdb-file.ts';

type Tables = Record<Table, Database<Uint8Array, Key<Table>>>;

/** Files open for reading only, in this thread, and how many times. */
const readers = new Map<string, number>();

/** Opens LMDB files. */
export const lmdbEngine: EngineFactory = {
  check(path, deep) {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw new MalformedError('the file is missing', -1);
      throw hostError(error, `cannot read ${path}`);
    }
    try {
      let buffer = new Uint8Array(LMDB_PAGE_BYTES);
      const read = (offset: number, length: number): Uint8Array => {
        if (buffer.length < length) buffer = new Uint8Array(length);
        const got = readSync(fd, buffer, 0, length, offset);
        if (got !== length) throw new MalformedError('the file ends here', offset + got);
        return buffer.subarray(0, length);
      };
      checkLmdbFile({ bytes: fstatSync(fd).size, read }, deep);
    } finally {
      closeSync(fd);
    }
  },

  open(path, mode) {
    const readOnly = mode === 'read';
    // npm `lmdb` opens a file once a process and shares it: one opened for reading cannot be written then
    assert(
      readOnly || !readers.has(resolve(path)),
      'readers of a store close before the same process owns it',
    );
    let root: RootDatabase;
    try {
      root = open({
        path,
        noSubdir: true,
        encoding: 'binary',
        pageSize: LMDB_PAGE_BYTES,
        mapSize: STORE_MAP_BYTES,
        maxDbs: TABLES.length,
        overlappingSync: false,
        eventTurnBatching: false,
        readOnly,
      });
      const tables = {} as Tables;
      for (const name of TABLES) {
        const keyEncoding = name === 'head' || name === 'tail' ? 'uint32' : 'ordered-binary';
        // the typings lack `encoder`; with it no value is copied before whoever reads it copies it
        const options = { name, encoding: 'binary', keyEncoding, encoder: RAW } as { name: string };
        const table = root.openDB<Uint8Array, Key<Table>>(options);
        if (!table) throw new MalformedError(`table ${name} is missing`, -1);
        tables[name] = table;
      }
      return new LmdbEngine(root, tables, readOnly ? resolve(path) : null);
    } catch (error) {
      if (error instanceof MalformedError) throw error;
      throw hostError(error, `cannot open ${path}`);
    }
  },

  files: (path) => [path, `${path}-lock`],
};

class LmdbEngine implements Engine {
  readonly #root: RootDatabase;
  readonly #tables: Tables;
  readonly #reads: string | null;
  broken: string | null = null;

  /** `reads`: the file's full path when it is open for reading only. */
  constructor(root: RootDatabase, tables: Tables, reads: string | null) {
    this.#root = root;
    this.#tables = tables;
    this.#reads = reads;
    if (reads) readers.set(reads, (readers.get(reads) ?? 0) + 1);
  }

  snapshot(): Snapshot {
    return new LmdbSnapshot(this.#tables, this.#root.useReadTransaction());
  }

  async write(fill: (writes: Writes) => void): Promise<void> {
    if (this.broken !== null) throw new Error(this.broken);
    // Collected first: LMDB would commit the part of a batch that was there when its callback threw.
    const tables: Database<Uint8Array, Key<Table>>[] = [];
    const keys: Key<Table>[] = [];
    const values: (Uint8Array | null)[] = [];
    const add = (table: Table, key: Key<Table>, value: Uint8Array | null): void => {
      tables.push(this.#tables[table]);
      keys.push(key);
      values.push(value);
    };
    fill({ put: add, remove: (table, key) => add(table, key, null) });
    try {
      await this.#root.batch(() => {
        for (let i = 0; i < keys.length; i++) {
          const value = values[i]!;
          if (value) tables[i]!.put(keys[i]!, value);
          else tables[i]!.remove(keys[i]!);
        }
      });
    } catch (error) {
      throw await this.#failed(error);
    }
  }

  /** The reason behind a failed batch. Finds out whether LMDB gave up on the file, as it does after a failed sync. */
  async #failed(error: unknown): Promise<unknown> {
    let reason = error;
    try {
      await (error as { commitError?: Promise<unknown> }).commitError;
    } catch (inner) {
      reason = inner;
    }
    try {
      this.#root.transactionSync(() => undefined);
    } catch (probe) {
      this.broken = `the data file cannot be written any more (${(probe as Error).message})`;
    }
    return reason;
  }

  async close(): Promise<void> {
    const left = this.#reads ? readers.get(this.#reads)! - 1 : 0;
    if (this.#reads && left > 0) readers.set(this.#reads, left);
    else if (this.#reads) readers.delete(this.#reads);
    await this.#root.close();
  }
}

/** The last views given out: npm `lmdb` reads into one buffer, again and again, that is longer than its `length` says. */
const views: Uint8Array[] = [];

/** A view of the first `length` bytes; the same one for the same buffer and length, of the last few. */
function viewOf(bytes: Uint8Array, length: number): Uint8Array {
  for (const view of views) {
    if (view.length === length && view.buffer === bytes.buffer && view.byteOffset === bytes.byteOffset)
      return view;
  }
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, length);
  if (views.length === 4) views.shift();
  views.push(view);
  return view;
}

/** How values are coded: not at all. */
const RAW = {
  encode: (value: Uint8Array): Uint8Array => value,
  decode: (bytes: Uint8Array, length: number): Uint8Array => viewOf(bytes, length),
};

/** A transaction for reading; npm `lmdb` renews its own at each turn of the event loop. */
class LmdbSnapshot implements Snapshot {
  readonly #tables: Tables;
  readonly #transaction: Transaction;
  readonly #options: { transaction: Transaction };

  constructor(tables: Tables, transaction: Transaction) {
    this.#tables = tables;
    this.#transaction = transaction;
    this.#options = { transaction };
  }

  get<T extends Table>(table: T, key: Key<T>): Uint8Array | undefined {
    // the typings lack the options, which `getBinary` and `getBinaryFast` take as `get` does
    const database = this.#tables[table] as unknown as {
      getBinaryFast(key: Key<Table>, options: object): Uint8Array | undefined;
    };
    const bytes = database.getBinaryFast(key, this.#options);
    return bytes && viewOf(bytes, bytes.length);
  }

  entries<T extends Table>(table: T): Iterable<{ key: Key<T>; value: Uint8Array }> {
    const start = table === 'head' || table === 'tail' ? { start: 0 } : {};
    const range = this.#tables[table].getRange({ ...start, ...this.#options });
    return range as unknown as Iterable<{ key: Key<T>; value: Uint8Array }>;
  }

  done(): void {
    this.#transaction.done();
  }
}

/** Errors of the host in one line with what to do. */
function hostError(error: unknown, what: string): EnvironmentError {
  if (error instanceof EnvironmentError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const hints: Record<string, string> = {
    EACCES: 'Give the user of this process the right to it.',
    EPERM: 'Give the user of this process the right to it.',
    EROFS: 'It is on a read-only file system; choose another place.',
    ENOSPC: 'Make room on that disk.',
    ENOTDIR: 'A part of the path is a file; choose another.',
    EMFILE: 'Raise the limit of open files (ulimit -n).',
  };
  const reason = error instanceof Error ? error.message : String(error);
  return new EnvironmentError('store-host', `${what}: ${reason}`, hints[`${code}`] ?? '', { cause: error });
}

function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw hostError(error, what);
  }
}

function syncFolder(path: string): void {
  if (process.platform === 'win32') return; // folders cannot be opened there, nor need they be
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Node's file system, as the store needs it. */
export const hostPowers: StorePowers = {
  list(folder) {
    try {
      return readdirSync(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw hostError(error, `cannot look into ${folder}`);
    }
  },

  read(path) {
    try {
      return readFileSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw hostError(error, `cannot read ${path}`);
    }
  },

  size: (path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0,

  write(path, bytes) {
    attempt(`cannot write ${path}`, () => {
      const draft = `${path}.tmp`;
      const fd = openSync(draft, 'w');
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(draft, path);
      syncFolder(dirname(path));
    });
  },

  remove: (path) => attempt(`cannot remove ${path}`, () => rmSync(path, { force: true })),

  makeFolder(path) {
    attempt(`cannot make ${path}`, () => {
      const first = mkdirSync(path, { recursive: true });
      if (first === undefined) return;
      for (let at = resolve(path); at.length >= resolve(first).length; at = dirname(at))
        syncFolder(dirname(at));
    });
  },

  // SQLite's lock on an empty database: of the host's kernel, released when the process ends, however it ends. Node has
  // no call for it, and this module comes with Node.
  lock(path) {
    let database: DatabaseSync | undefined;
    try {
      database = openDatabase(path, { timeout: 0 });
      database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE'); // no journal file beside it
    } catch (error) {
      database?.close();
      if (isBusy(error)) return null;
      throw hostError(error, `cannot lock ${path}`);
    }
    const held = database;
    return { release: () => held.close() } satisfies Lock;
  },

  isLocked(path) {
    if (!existsSync(path)) return false;
    let database: DatabaseSync | undefined;
    try {
      database = openDatabase(path, { timeout: 0, readOnly: true });
      database.prepare('SELECT count(*) FROM sqlite_schema').get();
      return false;
    } catch (error) {
      if (isBusy(error)) return true;
      throw hostError(error, `cannot look at ${path}`);
    } finally {
      database?.close();
    }
  },

  isAlive(pid) {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM';
    }
  },

  freeBytes(folder) {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  },

  random: (count) => crypto.getRandomValues(new Uint8Array(count)),
  now: () => Date.now(),
  pause: (milliseconds) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds),

  get self() {
    const words = [basename(process.argv[1] ?? process.argv0), ...process.argv.slice(2)];
    return { pid: process.pid, command: words.join(' ').slice(0, 200), host: hostname() };
  },
};

/** Not imported: so an older Node, which has no such module, gets as far as to be told that it is too old. */
function openDatabase(path: string, options: { timeout: number; readOnly?: boolean }): DatabaseSync {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  return new DatabaseSync(path, options);
}

/** SQLITE_BUSY and SQLITE_LOCKED, with their extended codes. */
function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: number }).errcode;
  return code !== undefined && ((code & 0xff) === 5 || (code & 0xff) === 6);
}
