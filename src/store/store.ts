/**
 * The single-level store: the pages of one space as of its last checkpoint, the programs its domains run, and how far
 * its output got out. `open.ts` opens it:
 *
 *     const store = await openStore(folder, { engine: lmdbEngine, powers: hostPowers, create: true });
 *     const checkpoint = store.loadCheckpoint();           // null in a new store
 *     for (const { page, bytes } of checkpoint.pages) …    // each page verified as it comes
 *     await store.commit({ seq, meta, pages, data, freed }); // durable when it resolves
 *     await store.close();
 *
 * Never give `commit` a later checkpoint after one failed: try the failed one again, or end the process. Pages that
 * were taken with it are stored nowhere else.
 */
import { assert } from '../base/assert.ts';
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import { PageHasher } from '../base/hash.ts';
import { PAGE_BYTES } from '../base/limits.ts';
import type { Engine, Lock, Snapshot, StorePowers } from './engine.ts';
import { currentOwner, damaged, type Manifest, type Owner, type Paths } from './folder.ts';
import { HASHES_WORDS } from './hashes.ts';
import * as modules from './modules.ts';
import { PageTable, type Plan, type ReadPage } from './pages.ts';
import {
  type CheckpointRecord,
  decodeCheckpoint,
  decodeReleased,
  encodeCheckpoint,
  encodeReleased,
  KIND_CHECKPOINT,
  KIND_RELEASED,
  KIND_SPACE,
  RECORD_CHECKPOINT,
  RECORD_SPACE,
  RELEASED_PREFIX,
  SINK_PATTERN,
  seal,
  unseal,
} from './records.ts';

/** Room for structure that a failed write may have lacked, beside its pages. */
const SLACK_PAGES = 256;

/** A program in the store. */
export type StoredModule = modules.ModuleParts;

/** What to make durable as one. The arrays must stay as they are until `commit` resolves; they may be shared memory. */
export interface Commit {
  /** Larger than that of every checkpoint before; an integer. */
  readonly seq: number;
  /** The kernel's own bytes, stored with the checkpoint. */
  readonly meta: Uint8Array;
  /** Numbers of pages that may have changed, rising. */
  readonly pages: Uint32Array;
  /** Their bytes, PAGE_BYTES each, in the same order. */
  readonly data: Uint8Array;
  /** Numbers of pages that became free or zero; none of `pages`. */
  readonly freed: Uint32Array;
  /** Hashes of `pages`, two words each, as `PageHashes.takeChanged` gives them; computed here when left out. */
  readonly hashes?: Uint32Array;
  /** Positions of output to record in the same transaction; see `setReleased`. */
  readonly released?: Iterable<readonly [sink: string, position: number | bigint]>;
}

/** What a commit did. */
export interface Committed {
  /** Pages that were written, and removed. */
  readonly written: number;
  readonly removed: number;
}

/** The last complete checkpoint. */
export interface Checkpoint {
  readonly seq: number;
  /** When it was taken, milliseconds since 1970. */
  readonly time: number;
  readonly meta: Uint8Array;
  /** How many pages it has. */
  readonly pageCount: number;
  /**
   * Its pages by rising number, to be read once. Each is verified as it comes, and the whole when the last has come:
   * act on nothing before. Throws `EnvironmentError` store-damaged at the first page that is not as it was stored, and
   * at the end when one is missing or of another checkpoint.
   */
  readonly pages: Iterable<ReadPage>;
}

/** What anybody may know of a store. */
export interface Description {
  readonly folder: string;
  readonly version: number;
  /** 32 hexadecimal digits. */
  readonly space: string;
  readonly created: string;
  readonly owner: Owner | 'unknown' | null;
  /** The last checkpoint; null when there is none. */
  readonly checkpoint: { readonly seq: number; readonly time: number; readonly pages: number } | null;
  readonly modules: readonly string[];
  /** Bytes of the data file. */
  readonly fileBytes: number;
}

/** An open store. Made by `openStore` and `readOnly` only. */
export class Store {
  readonly paths: Paths;
  readonly manifest: Manifest;
  readonly #engine: Engine;
  readonly #powers: StorePowers;
  /** Null when the store was opened for reading. */
  readonly #lock: Lock | null;
  readonly #hasher: PageHasher;
  readonly #table: PageTable;
  /** Number of the last durable checkpoint; -1 before the first. */
  #seq: number;
  /** Commits one after another. */
  #queue: Promise<unknown> = Promise.resolve();
  /** Number of the commit that failed and has to be tried again before any other. */
  #failed = -1;
  /** Snapshots handed out and not over yet. */
  readonly #snapshots = new Set<Snapshot>();
  #closed = false;

  constructor(paths: Paths, manifest: Manifest, engine: Engine, powers: StorePowers, lock: Lock | null) {
    this.paths = paths;
    this.manifest = manifest;
    this.#engine = engine;
    this.#powers = powers;
    this.#lock = lock;
    this.#hasher = new PageHasher(manifest.hashKey);
    const checkpoint = this.#reading((snapshot) => {
      const label = snapshot.get('record', RECORD_SPACE);
      if (!label) throw new MalformedError('the record of its space is missing', -1);
      const space = new TextDecoder().decode(unseal(this.#hasher, KIND_SPACE, RECORD_SPACE, label));
      if (space !== manifest.space) throw new MalformedError(`it belongs to another space, ${space}`, -1);
      const record = this.#record(snapshot);
      for (const _ of record ? [] : snapshot.entries('tail')) {
        throw new MalformedError('it has pages but no checkpoint', -1);
      }
      return record;
    });
    this.#seq = checkpoint?.seq ?? -1;
    this.#table = new PageTable(this.#hasher, checkpoint === null);
  }

  /** Number of the last durable checkpoint; -1 before the first. */
  get seq(): number {
    return this.#seq;
  }

  /** The last complete checkpoint, or null. Throws `EnvironmentError` store-damaged. */
  loadCheckpoint(): Checkpoint | null {
    this.#assertOpen();
    const snapshot = this.#engine.snapshot();
    let record: CheckpointRecord | null;
    try {
      record = this.#guard(() => this.#record(snapshot));
    } catch (error) {
      snapshot.done();
      throw error;
    }
    if (record === null) {
      snapshot.done();
      return null;
    }
    this.#snapshots.add(snapshot);
    const { seq, time, meta, sum } = record;
    return { seq, time, meta, pageCount: sum.pages, pages: this.#pages(snapshot, record) };
  }

  *#pages(snapshot: Snapshot, record: CheckpointRecord): Generator<ReadPage, void> {
    assert(this.#snapshots.has(snapshot), 'the pages of a checkpoint are read once, before the store closes');
    try {
      yield* this.#table.read(snapshot, record.sum);
    } catch (error) {
      throw this.#translate(error);
    } finally {
      if (this.#snapshots.delete(snapshot)) snapshot.done();
    }
  }

  /**
   * The hashes of all stored pages, in shared memory, to be sent to the thread that takes checkpoints; see
   * `PageHashes`. Call it once, when nothing is being committed; from then on that thread keeps them.
   */
  pageHashes(): Uint32Array {
    this.#load();
    const words = new Uint32Array(new SharedArrayBuffer(HASHES_WORDS * 4));
    this.#table.copyTo(words);
    return words;
  }

  /**
   * Makes a checkpoint durable: pages that changed are written, those that are zero or free removed, all in one
   * transaction. When it resolves, the checkpoint is the one `loadCheckpoint` gives after any crash; until then it is
   * that one or the one before. Commits may be given before earlier ones have resolved; they are made in order.
   *
   * Rejects with `EnvironmentError` store-full or store-failed; nothing of it is stored then, and only the same commit
   * may follow.
   */
  commit(commit: Commit): Promise<Committed> {
    this.#assertWritable();
    const run = this.#queue.then(() => this.#commit(commit));
    this.#queue = run.catch(() => undefined);
    return run;
  }

  async #commit(commit: Commit): Promise<Committed> {
    if (this.#failed >= 0 && commit.seq !== this.#failed) {
      throw new EnvironmentError(
        'store-failed',
        `checkpoint ${commit.seq} cannot be stored: checkpoint ${this.#failed}, before it, was not`,
        'End the process; the space goes on from its last checkpoint.',
      );
    }
    assert(
      Number.isSafeInteger(commit.seq) && commit.seq > this.#seq,
      'checkpoints are numbered in rising order',
    );
    const released = Array.from(commit.released ?? [], ([sink, position]) => this.#released(sink, position));
    this.#load();
    const plan = this.#table.change(commit);
    const { seq, meta } = commit;
    const time = Math.trunc(this.#powers.now());
    const body = encodeCheckpoint({ seq, time, sum: this.#table.sum, meta });
    const record = seal(this.#hasher, KIND_CHECKPOINT, RECORD_CHECKPOINT, body);
    try {
      // COMMIT POINT: this transaction. LMDB writes its pages, waits for the disk (fdatasync), writes the one head page
      // that names them, and waits again; that last write, smaller than a sector, is what makes the checkpoint exist.
      await this.#engine.write((writes) => {
        plan.into(writes);
        for (const [name, bytes] of released) writes.put('record', name, bytes);
        writes.put('record', RECORD_CHECKPOINT, record);
      });
    } catch (error) {
      this.#table.undo(plan);
      this.#failed = seq;
      throw this.#writeError(error, `checkpoint ${seq} could not be stored`, plan);
    }
    this.#failed = -1;
    this.#seq = seq;
    return { written: plan.written, removed: plan.removes.length };
  }

  /**
   * Stores a program under a name made from its contents; nothing happens when it is there. Durable when it resolves:
   * wait for it before committing a checkpoint that names it. `replace`: it is written all the same, for what is there
   * is damaged. Rejects with `EnvironmentError`.
   */
  async putModule(hash: string, module: modules.ModuleParts, replace = false): Promise<void> {
    this.#assertWritable();
    await this.#writing(`module ${hash}`, () =>
      modules.putModule(this.#engine, this.#hasher, hash, module, replace),
    );
  }

  /** A stored program, or null. Its bytes are read and verified at first use. Throws store-damaged. */
  getModule(hash: string): StoredModule | null {
    this.#assertOpen();
    const found = this.#guard(() => modules.getModule(this.#engine, this.#hasher, hash));
    if (found === null) return null;
    const guard = <T>(read: () => T): T => this.#guard(read);
    return {
      meta: found.meta,
      get original() {
        return guard(() => found.original);
      },
      get rewritten() {
        return guard(() => found.rewritten);
      },
    };
  }

  hasModule(hash: string): boolean {
    this.#assertOpen();
    return this.#guard(() => modules.hasModule(this.#engine, hash));
  }

  /**
   * Removes the programs not in `live`. Call it when a checkpoint that names no other is durable, and not while a
   * `putModule` is under way. Resolves to how many were removed.
   */
  async collectModules(live: ReadonlySet<string>): Promise<number> {
    this.#assertWritable();
    return this.#writing('the removal of unused modules', () =>
      modules.collectModules(this.#engine, this.#hasher, live),
    );
  }

  /** Records how far output to a sink got out, outside any checkpoint. Durable when it resolves. */
  async setReleased(sink: string, position: number | bigint): Promise<void> {
    this.#assertWritable();
    const [name, bytes] = this.#released(sink, position);
    await this.#writing(`the position of ${sink}`, () =>
      this.#engine.write((writes) => writes.put('record', name, bytes)),
    );
  }

  /** How far output to a sink got out, or null when that was never recorded. Throws store-damaged. */
  getReleased(sink: string): number | null {
    this.#assertOpen();
    const name = RELEASED_PREFIX + sink;
    return this.#reading((snapshot) => {
      const bytes = snapshot.get('record', name);
      return bytes ? decodeReleased(unseal(this.#hasher, KIND_RELEASED, name, bytes)) : null;
    });
  }

  /** Forgets a sink. Durable when it resolves. */
  async forgetReleased(sink: string): Promise<void> {
    this.#assertWritable();
    await this.#writing(`the position of ${sink}`, () =>
      this.#engine.write((writes) => writes.remove('record', RELEASED_PREFIX + sink)),
    );
  }

  describe(): Description {
    this.#assertOpen();
    const checkpoint = this.#reading((snapshot) => this.#record(snapshot));
    const { version, space, created } = this.manifest;
    return {
      folder: this.paths.folder,
      version,
      space,
      created,
      owner: currentOwner(this.paths, this.#powers),
      checkpoint: checkpoint && { seq: checkpoint.seq, time: checkpoint.time, pages: checkpoint.sum.pages },
      modules: this.#guard(() => modules.listModules(this.#engine)),
      fileBytes: this.#powers.size(this.paths.data),
    };
  }

  /** Waits for what was begun, closes, and lets others own the store. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // a reader closes at once, in this call: npm `lmdb` shares what is open between those who open it
    if (this.#lock) await this.#queue;
    for (const snapshot of this.#snapshots) snapshot.done();
    this.#snapshots.clear();
    try {
      await this.#engine.close();
    } finally {
      this.#lock?.release();
    }
  }

  #released(sink: string, position: number | bigint): [string, Uint8Array] {
    assert(SINK_PATTERN.test(sink), 'a sink has a short plain name');
    const name = RELEASED_PREFIX + sink;
    return [name, seal(this.#hasher, KIND_RELEASED, name, encodeReleased(position))];
  }

  #record(snapshot: Snapshot): CheckpointRecord | null {
    const bytes = snapshot.get('record', RECORD_CHECKPOINT);
    return bytes ? decodeCheckpoint(unseal(this.#hasher, KIND_CHECKPOINT, RECORD_CHECKPOINT, bytes)) : null;
  }

  /** Makes sure that the table of hashes says what is stored, also when nobody has read the checkpoint. */
  #load(): void {
    if (this.#table.loaded) return;
    const checkpoint = this.loadCheckpoint();
    for (const _ of checkpoint?.pages ?? []);
    assert(this.#table.loaded, 'a checkpoint that was read to its end is loaded');
  }

  #reading<T>(read: (snapshot: Snapshot) => T): T {
    return this.#guard(() => {
      const snapshot = this.#engine.snapshot();
      try {
        return read(snapshot);
      } finally {
        snapshot.done();
      }
    });
  }

  /** Runs something that reads; what is malformed then is damage of this store. */
  #guard<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw this.#translate(error);
    }
  }

  #translate(error: unknown): unknown {
    return error instanceof MalformedError ? damaged(this.paths, error.message, error) : error;
  }

  async #writing<T>(what: string, write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      throw this.#writeError(this.#translate(error), `${what} could not be stored`);
    }
  }

  #writeError(error: unknown, message: string, plan?: Plan): unknown {
    if (error instanceof EnvironmentError || (error as Error)?.name === 'AssertionError') return error;
    const reason = error instanceof Error ? error.message : String(error);
    const free = this.#powers.freeBytes(this.paths.folder);
    if (free < ((plan?.written ?? 0) + SLACK_PAGES) * PAGE_BYTES) {
      const hint = `Make room on that disk (${Math.floor(free / 1024)} KiB are free) and try again.`;
      return new EnvironmentError('store-full', `${message}: no room in ${this.paths.folder}`, hint, {
        cause: error,
      });
    }
    const broken = this.#engine.broken;
    const hint = broken
      ? 'The disk refused a write. Check it, then start again; the space goes on from its last checkpoint.'
      : 'Check the disk and its limits, then try again.';
    return new EnvironmentError('store-failed', `${message}: ${broken ?? reason}`, hint, { cause: error });
  }

  #assertOpen(): void {
    assert(!this.#closed, 'a store is used before it is closed');
  }
  #assertWritable(): void {
    this.#assertOpen();
    assert(this.#lock !== null, 'only its owner writes to a store');
  }
}
