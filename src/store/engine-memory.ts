/**
 * An engine and a host made of memory, with a disk that can lose power between any two of its writes. For tests: the
 * same store code runs on it as on LMDB, each write is counted, and the test says at which one the light goes out.
 *
 * What the disk does is what disks do: a write may be lost, or torn, or overtaken by a later one until it has been
 * waited for. What the engine does is what LMDB promises: pages first, then one head that makes them count. With
 * `torn` it breaks that promise on purpose, to show that the store notices.
 */
import { assert } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import {
  type Engine,
  type EngineFactory,
  type Key,
  type Snapshot,
  type StorePowers,
  TABLES,
  type Table,
  type Writes,
} from './engine.ts';

/** Thrown at the moment the power fails, and by everything the dead process still tries. */
export class PowerFailure extends Error {
  override name = 'PowerFailure';
}

type Content = Record<Table, Map<Key<Table>, Uint8Array>>;

interface DiskState {
  files: Map<string, Uint8Array>;
  engines: Map<string, Content>;
}

/** A write on its way to the disk. */
interface Pending {
  apply(state: DiskState): void;
  /** What is left of it when the power fails in its middle; lost when absent. */
  tear?(state: DiskState, random: Prng): void;
}

export interface MemoryOptions {
  /** The number of the write, from 1, at which the power fails; never when left out. */
  readonly failAt?: number;
  /** Decides what of the unfinished writes survives. */
  readonly random?: Prng;
  /** Transactions are not atomic: a broken engine. */
  readonly torn?: boolean;
}

/** A host whose disk survives `recover`. Give it to `openStore` as engine and as powers. */
export class MemoryHost {
  /** Writes made so far. */
  steps = 0;
  dead = false;
  readonly options: MemoryOptions;
  /** What is safely on the disk. */
  #durable: DiskState;
  /** What a running process sees. */
  #visible: DiskState;
  #pending: Pending[] = [];
  readonly #locks = new Set<string>();
  #clock = 1_000_000;
  pid = 100;

  constructor(options: MemoryOptions = {}, durable: DiskState = { files: new Map(), engines: new Map() }) {
    this.options = options;
    this.#durable = durable;
    this.#visible = copyState(durable);
  }

  /** The machine after power came back: what was waited for is there, of the rest some. */
  recover(options: MemoryOptions = {}): MemoryHost {
    const random = this.options.random;
    for (const write of this.#pending) {
      const fate = random?.below(3);
      if (fate === 0) write.apply(this.#durable);
      else if (fate === 1) write.tear?.(this.#durable, random!);
    }
    return new MemoryHost(options, this.#durable);
  }

  /** The machine after the process alone was killed: everything it wrote is there. */
  killed(options: MemoryOptions = {}): MemoryHost {
    return new MemoryHost(options, this.#visible);
  }

  /** One write. The process sees it at once; the disk when `sync` has returned. */
  #write(write: Pending): void {
    this.#step();
    this.#pending.push(write);
    write.apply(this.#visible);
  }

  #sync(): void {
    this.#step();
    for (const write of this.#pending) write.apply(this.#durable);
    this.#pending = [];
  }

  #step(): void {
    if (this.dead || ++this.steps === this.options.failAt) {
      this.dead = true;
      throw new PowerFailure(`the power failed at write ${this.steps}`);
    }
  }

  #assertAlive(): void {
    if (this.dead) throw new PowerFailure('the power is off');
  }

  readonly engine: EngineFactory = {
    check: () => this.#assertAlive(),
    open: (path, mode) => {
      this.#assertAlive();
      if (mode === 'create') {
        this.#write({ apply: (state) => void state.engines.set(path, emptyContent()) });
        this.#sync();
      }
      assert(this.#visible.engines.has(path), 'an engine file is there when it is opened');
      return this.#open(path);
    },
    files: (path) => [path],
  };

  #open(path: string): Engine {
    const content = (): Content => this.#visible.engines.get(path)!;
    let queue: Promise<unknown> = Promise.resolve();
    const commit = async (ops: readonly Operation[]): Promise<void> => {
      await null; // the caller goes on first, as with a thread that writes
      this.#assertAlive();
      for (const op of ops) {
        if (this.options.torn) this.#write({ apply: (state) => applyTo(state, path, [op]) });
        else this.#step(); // to pages nothing points to yet
      }
      this.#sync();
      if (!this.options.torn) this.#write({ apply: (state) => applyTo(state, path, ops) });
      this.#sync();
    };
    return {
      broken: null,
      snapshot: () => {
        this.#assertAlive();
        return new MemorySnapshot(content());
      },
      write: (fill) => {
        const ops: Operation[] = [];
        const writes: Writes = {
          put: (table, key, value) => void ops.push([table, key, value]),
          remove: (table, key) => void ops.push([table, key, null]),
        };
        const run = queue.then(() => {
          fill(writes);
          return commit(ops.map(([table, key, value]) => [table, key, value ? value.slice() : null]));
        });
        queue = run.catch(() => undefined);
        return run;
      },
      close: async () => {
        await queue;
      },
    };
  }

  readonly powers: StorePowers = this.#makePowers();

  #makePowers(): StorePowers {
    const host = this;
    return {
      list: (folder) => {
        host.#assertAlive();
        const names = [...host.#visible.files.keys(), ...host.#visible.engines.keys()]
          .filter((path) => path.startsWith(`${folder}/`))
          .map((path) => path.slice(folder.length + 1));
        return names.length > 0 ? names : null;
      },
      read: (path) => {
        host.#assertAlive();
        return host.#visible.files.get(path)?.slice() ?? null;
      },
      size: (path) => host.#visible.files.get(path)?.length ?? 0,
      write: (path, bytes) => {
        const copy = bytes.slice();
        const draft = `${path}.tmp`;
        host.#write({
          apply: (state) => void state.files.set(draft, copy),
          tear: (state, random) => void state.files.set(draft, copy.slice(0, random.below(copy.length))),
        });
        host.#sync();
        host.#write({
          apply: ({ files }) => {
            files.set(path, files.get(draft) ?? copy);
            files.delete(draft);
          },
        });
        host.#sync();
      },
      remove: (path) =>
        host.#write({
          apply: (state) => {
            state.files.delete(path);
            state.engines.delete(path);
          },
        }),
      makeFolder: () => host.#assertAlive(),
      lock: (path) => {
        host.#assertAlive();
        if (host.#locks.has(path)) return null;
        host.#locks.add(path);
        return { release: () => void host.#locks.delete(path) };
      },
      isLocked: (path) => host.#locks.has(path),
      isAlive: (pid) => pid === host.pid,
      freeBytes: () => Number.MAX_SAFE_INTEGER,
      random: (count) => new Uint8Array(count).map((_, i) => i * 37 + 11),
      now: () => host.#clock++,
      pause: () => undefined,
      get self() {
        return { pid: host.pid, command: 'memory', host: 'nowhere' };
      },
    };
  }
}

type Operation = readonly [Table, Key<Table>, Uint8Array | null];

function applyTo(state: DiskState, path: string, ops: readonly Operation[]): void {
  const before = state.engines.get(path);
  assert(before, 'an engine file is there when it is written');
  const after = { ...before };
  const copied = new Set<Table>();
  for (const [table, key, value] of ops) {
    if (!copied.has(table)) after[table] = new Map(before[table]); // snapshots keep the old one
    copied.add(table);
    if (value) after[table].set(key, value);
    else after[table].delete(key);
  }
  state.engines.set(path, after);
}

function emptyContent(): Content {
  return Object.fromEntries(TABLES.map((table) => [table, new Map()])) as unknown as Content;
}

function copyState(state: DiskState): DiskState {
  return { files: new Map(state.files), engines: new Map(state.engines) };
}

class MemorySnapshot implements Snapshot {
  readonly #content: Content;
  constructor(content: Content) {
    this.#content = content;
  }
  get<T extends Table>(table: T, key: Key<T>): Uint8Array | undefined {
    return this.#content[table].get(key)?.slice();
  }
  *entries<T extends Table>(table: T): Iterable<{ key: Key<T>; value: Uint8Array }> {
    const order = (a: Key<T>, b: Key<T>): number => (a < b ? -1 : 1);
    const all = [...this.#content[table]] as [Key<T>, Uint8Array][];
    for (const [key, value] of all.sort((a, b) => order(a[0], b[0]))) yield { key, value: value.slice() };
  }
  done(): void {}
}
