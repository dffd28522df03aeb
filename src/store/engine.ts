/**
 * What the store needs from the outside: a transactional engine and a few powers of the host. The real ones are in
 * `engine-lmdb.ts`, the only file here that imports `lmdb` or `node:*`; `engine-memory.ts` has ones that lose power
 * on purpose, for tests. Never reach around these interfaces: what they do not offer cannot be tested for crashes.
 */

/**
 * The tables of a store.
 *
 * - `head`, `tail`: pages by number (keys are integers in [0, 2^32)): the first HEAD_BYTES of the page, and the rest
 *   with its hash. Two tables because LMDB keeps a value that is exactly one of its pages less a header without waste.
 * - `record`: small records by name; `module`: programs by hash, in parts (keys are strings of at most
 *   ENGINE_KEY_MAX_BYTES).
 *
 * Keep values to VALUE_BEST_BYTES where many come and go: a value of several LMDB pages needs them side by side, and
 * the file grows when the free ones are scattered.
 */
export type Table = 'head' | 'tail' | 'record' | 'module';
export const TABLES: readonly Table[] = ['head', 'tail', 'record', 'module'];
export type Key<T extends Table> = T extends 'head' | 'tail' ? number : string;
export const ENGINE_KEY_MAX_BYTES = 511;
/** A value of this many bytes fills one page of the engine's file exactly, header and all. */
export const VALUE_BEST_BYTES = 4072;

/** One consistent state to read from, however much is committed meanwhile. Call `done` soon: it holds disk space. */
export interface Snapshot {
  /** The value, or undefined. The bytes are valid until the next call of any method of the engine; do not change them. */
  get<T extends Table>(table: T, key: Key<T>): Uint8Array | undefined;
  /** All entries in order of key. Each value is valid until the next step or call. */
  entries<T extends Table>(table: T): Iterable<{ key: Key<T>; value: Uint8Array }>;
  done(): void;
}

/** The writes of one transaction. Values must stay as they are until the transaction is over. */
export interface Writes {
  put<T extends Table>(table: T, key: Key<T>, value: Uint8Array): void;
  /** Removing what is not there is allowed. */
  remove<T extends Table>(table: T, key: Key<T>): void;
}

/** An open engine. */
export interface Engine {
  snapshot(): Snapshot;
  /**
   * Runs `fill`, synchronously, and makes everything it wrote durable as one transaction: when the promise resolves it
   * survives loss of power; when it rejects nothing of it happened. Transactions take effect in the order of the calls.
   * Rejects with the engine's error; the engine may be used again unless it says otherwise in `broken`.
   */
  write(fill: (writes: Writes) => void): Promise<void>;
  /** Set once the engine cannot be used any more, with the reason. */
  readonly broken: string | null;
  /** Waits for what was begun, then closes. */
  close(): Promise<void>;
}

/** Opens engines. */
export interface EngineFactory {
  /**
   * Checks the file at `path` without changing it and without trusting it. Throws `MalformedError` where it is damaged.
   * `deep`: walk all of its structure; not possible while somebody writes to it.
   */
  check(path: string, deep: boolean): void;
  /** Opens the file at `path`, creating it when `mode` is 'create'. The caller has checked it. */
  open(path: string, mode: 'create' | 'write' | 'read'): Engine;
  /** Paths of every file the engine keeps for `path`, itself first. */
  files(path: string): string[];
}

/** Who runs: for messages to others. */
export interface Identity {
  readonly pid: number;
  readonly command: string;
  readonly host: string;
}

/** A lock of the operating system, gone at the latest when the process is. */
export interface Lock {
  release(): void;
}

/** The host, as far as the store needs it. Errors of the host are thrown as `EnvironmentError`. */
export interface StorePowers {
  /** Names in a folder; null when there is no such folder. Refuses a path that is something else. */
  list(folder: string): string[] | null;
  /** A file's bytes; null when there is none. */
  read(path: string): Uint8Array | null;
  /** Bytes of a file; 0 when there is none. */
  size(path: string): number;
  /** Replaces a file as a whole, durably: after a crash it is the old one or the new one. */
  write(path: string, bytes: Uint8Array): void;
  remove(path: string): void;
  /** Makes a folder and those above it, durably. */
  makeFolder(path: string): void;
  /** Takes an exclusive lock on the file at `path`, creating it; null when another holds it. Never waits. */
  lock(path: string): Lock | null;
  /** Whether somebody holds that lock, this process included. Creates nothing. */
  isLocked(path: string): boolean;
  /** Whether a process of this number runs here. */
  isAlive(pid: number): boolean;
  /** Free bytes on the file system of a folder, for messages. */
  freeBytes(folder: string): number;
  /** Random bytes, good enough for keys. */
  random(count: number): Uint8Array;
  /** Milliseconds since 1970. */
  now(): number;
  /** Blocks the calling thread. Only while opening, to let another process finish a write of a few bytes. */
  pause(milliseconds: number): void;
  readonly self: Identity;
}
