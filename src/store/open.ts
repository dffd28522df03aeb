/**
 * Opening a store: looking at the folder, taking it, creating it. One process owns a store at a time; others may look
 * at its last checkpoint meanwhile (`readOnly`, `describe`).
 *
 * Never touch a folder before everything that can be known by reading has been checked.
 */
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import { PageHasher } from '../base/hash.ts';
import type { EngineFactory, StorePowers } from './engine.ts';
import {
  currentOwner,
  damaged,
  type Manifest,
  newManifest,
  type Paths,
  pathsOf,
  readManifest,
  removeUnfinished,
  takeOwnership,
  writeManifest,
} from './folder.ts';
import { KIND_SPACE, RECORD_SPACE, seal } from './records.ts';
import { type Description, Store } from './store.ts';

export interface OpenOptions {
  readonly engine: EngineFactory;
  readonly powers: StorePowers;
  /** Make a store where the folder is empty or missing. */
  readonly create: boolean;
}

/**
 * Opens the store in `folder` and takes it for this process. Throws `EnvironmentError`: store-missing (nothing there
 * and `create` not set), store-foreign, store-damaged, store-newer, store-busy, or what the host says.
 */
export async function openStore(folder: string, options: OpenOptions): Promise<Store> {
  const { engine, powers, create } = options;
  const paths = pathsOf(folder);
  // Look before touching, take the lock, and look again: somebody may have been faster.
  const before = readManifest(paths, powers);
  if (before === null && !create) throw missing(paths);
  if (before?.state === 'ready') checkData(paths, engine, false);
  if (before === null) powers.makeFolder(paths.folder);
  const lock = takeOwnership(paths, powers);
  try {
    let manifest = readManifest(paths, powers);
    if (manifest === null || manifest.state === 'creating')
      manifest = await createStore(paths, engine, powers);
    else checkData(paths, engine, true);
    const data = engine.open(paths.data, 'write');
    try {
      return new Store(paths, manifest, data, powers, lock);
    } catch (error) {
      await data.close();
      throw error;
    }
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Opens the last checkpoint for reading, whoever owns the store. Throws as `openStore`. */
export function readOnly(folder: string, options: Omit<OpenOptions, 'create'>): Store {
  const { engine, powers } = options;
  const paths = pathsOf(folder);
  const manifest = readManifest(paths, powers);
  if (manifest === null || manifest.state === 'creating') throw missing(paths);
  // While somebody writes, pages change under a reader of the file; the writer has checked it.
  checkData(paths, engine, currentOwner(paths, powers) === null);
  const data = engine.open(paths.data, 'read');
  try {
    return new Store(paths, manifest, data, powers, null);
  } catch (error) {
    void data.close();
    throw error;
  }
}

/** Says what is in a folder, without taking it. Throws as `openStore`. */
export function describe(folder: string, options: Omit<OpenOptions, 'create'>): Description {
  const store = readOnly(folder, options);
  try {
    return store.describe();
  } finally {
    void store.close();
  }
}

const missing = (paths: Paths): EnvironmentError =>
  new EnvironmentError(
    'store-missing',
    `there is no space in ${paths.folder}`,
    'Run a program first; it creates one.',
  );

function checkData(paths: Paths, engine: EngineFactory, deep: boolean): void {
  try {
    engine.check(paths.data, deep);
  } catch (error) {
    if (error instanceof MalformedError) throw damaged(paths, `space.mdb: ${error.message}`, error);
    throw error;
  }
}

/**
 * Makes a new store. The manifest says 'creating' until the data file is there with its record: cut short anywhere,
 * the next one begins anew, and a data file that was lost later is not taken for one that was never made.
 */
async function createStore(paths: Paths, engine: EngineFactory, powers: StorePowers): Promise<Manifest> {
  const manifest = newManifest(powers);
  writeManifest(paths, powers, manifest);
  removeUnfinished(paths, powers, engine);
  const data = engine.open(paths.data, 'create');
  try {
    const hasher = new PageHasher(manifest.hashKey);
    const body = new TextEncoder().encode(manifest.space);
    const record = seal(hasher, KIND_SPACE, RECORD_SPACE, body);
    await data.write((writes) => writes.put('record', RECORD_SPACE, record));
  } finally {
    await data.close();
  }
  const ready: Manifest = { ...manifest, state: 'ready' };
  writeManifest(paths, powers, ready);
  return ready;
}
