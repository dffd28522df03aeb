/**
 * A store's folder: which files it has, its manifest, and who owns it. A folder is looked at before anything in it is
 * touched: one that is foreign, damaged, newer or in use is refused and left as it was, byte for byte.
 *
 * Files: `perdure.json` the manifest, `space.mdb` (with what the engine keeps beside it) the data, `owner.lock` a lock
 * of the operating system, `owner.json` who holds it. To copy a store, copy the folder while nobody owns it.
 *
 * The lock is the truth about ownership: the kernel of the host drops it when the owner dies, kill -9 included, so no
 * process number can be mistaken for another's and two processes can never both get it. `owner.json` is only what the
 * second one is told. Never open `owner.lock` by other means in the owner's process: closing it would drop the lock.
 *
 * Why: RATIONALE.md#the-lock-of-sqlite-owns-a-space
 */
import { EnvironmentError } from '../base/errors.ts';
import { HASH_KEY_BYTES } from '../base/hash.ts';
import type { EngineFactory, Lock, StorePowers } from './engine.ts';

/** The version of the format this code reads and writes. */
export const STORE_VERSION = 1;
const FORMAT = 'perdure-space';

/** How often, and with what pauses, a lock is tried whose holder has not said who he is. */
const OWNER_TRIES = 10;
const OWNER_PAUSE_MS = 20;
/** What a folder may hold before it has a manifest: a creation that was cut short. */
const UNFINISHED = /^(owner\.lock|(owner|perdure)\.json\.tmp|owner\.json)$/;

export interface Paths {
  readonly folder: string;
  readonly manifest: string;
  readonly data: string;
  readonly lock: string;
  readonly owner: string;
}

export function pathsOf(folder: string): Paths {
  const base = folder.replace(/(?<=.)\/+$/, '');
  const at = (name: string): string => (base === '/' ? `/${name}` : `${base}/${name}`);
  return {
    folder: base,
    manifest: at('perdure.json'),
    data: at('space.mdb'),
    lock: at('owner.lock'),
    owner: at('owner.json'),
  };
}

/** What the manifest says. */
export interface Manifest {
  readonly version: number;
  /** 'creating' until the data file has been made: what is found then is no store yet. */
  readonly state: 'creating' | 'ready';
  /** The space's persistent id: 32 hexadecimal digits. */
  readonly space: string;
  /** The key of the page hashes. */
  readonly hashKey: Uint8Array;
  /** When it was created, ISO 8601. */
  readonly created: string;
}

/** Who has a store open. */
export interface Owner {
  readonly pid: number;
  readonly command: string;
  readonly host: string;
  /** Since when, ISO 8601. */
  readonly since: string;
}

export const damaged = (paths: Paths, what: string, cause?: unknown): EnvironmentError =>
  new EnvironmentError(
    'store-damaged',
    `the space in ${paths.folder} is damaged: ${what}`,
    'Nothing in it was changed. Bring the folder back from a copy, or check the disk it is on.',
    { cause },
  );

/**
 * The manifest of the store in a folder; null when the folder does not exist or is empty. Changes nothing. Throws
 * `EnvironmentError`: store-foreign, store-damaged, store-newer.
 */
export function readManifest(paths: Paths, powers: StorePowers): Manifest | null {
  const names = powers.list(paths.folder);
  if (names === null) return null;
  const bytes = powers.read(paths.manifest);
  if (bytes !== null) return parseManifest(paths, bytes);
  const foreign = names.filter((name) => !UNFINISHED.test(name));
  // no manifest yet: the first of a creation's steps may have been cut short, before the manifest itself
  if (foreign.length === 0) return null;
  if (foreign.includes('space.mdb')) throw damaged(paths, 'its manifest perdure.json is missing');
  const some = foreign.slice(0, 3).join(', ');
  throw new EnvironmentError(
    'store-foreign',
    `${paths.folder} is not a space: it holds other things (${some}${foreign.length > 3 ? ', …' : ''})`,
    'Give a folder that is empty or does not exist yet, or one that holds a space. Nothing was changed.',
  );
}

function parseManifest(paths: Paths, bytes: Uint8Array): Manifest {
  const bad = (what: string): EnvironmentError => damaged(paths, `its manifest perdure.json ${what}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw bad('is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null) throw bad('is not an object');
  const fields = parsed as Record<string, unknown>;
  if (fields.format !== FORMAT) {
    throw new EnvironmentError(
      'store-foreign',
      `${paths.folder} is not a space: its perdure.json is of another kind`,
      'Give a folder that is empty or does not exist yet, or one that holds a space. Nothing was changed.',
    );
  }
  const { version, state, space, hashKey, created } = fields;
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) throw bad('has no version');
  if (version > STORE_VERSION) {
    throw new EnvironmentError(
      'store-newer',
      `the space in ${paths.folder} was written by a newer Perdure: its format is ${version}, this one knows up to ${STORE_VERSION}`,
      'Use the newer Perdure. Nothing was changed.',
    );
  }
  if (state !== 'creating' && state !== 'ready') throw bad('has no state');
  if (typeof space !== 'string' || !/^[0-9a-f]{32}$/.test(space)) throw bad('has no space id');
  if (typeof hashKey !== 'string' || !/^[0-9a-f]{32}$/.test(hashKey)) throw bad('has no hash key');
  if (typeof created !== 'string') throw bad('does not say when it was created');
  return { version, state, space, hashKey: unhex(hashKey), created };
}

export function writeManifest(paths: Paths, powers: StorePowers, manifest: Manifest): void {
  const { version, state, space, hashKey, created } = manifest;
  const fields = { format: FORMAT, version, state, space, hashKey: hex(hashKey), created };
  powers.write(paths.manifest, new TextEncoder().encode(`${JSON.stringify(fields, null, 2)}\n`));
}

/** A manifest for a store about to be created. */
export function newManifest(powers: StorePowers): Manifest {
  return {
    version: STORE_VERSION,
    state: 'creating',
    space: hex(powers.random(16)),
    hashKey: powers.random(HASH_KEY_BYTES),
    created: new Date(powers.now()).toISOString(),
  };
}

/** Removes a data file whose creation did not end; nothing was ever stored in it. */
export function removeUnfinished(paths: Paths, powers: StorePowers, engine: EngineFactory): void {
  for (const file of engine.files(paths.data)) powers.remove(file);
}

/**
 * Takes the store for this process. Throws `EnvironmentError` store-busy, saying who has it.
 *
 * Tries for a moment: the lock may be looked at right now (`currentOwner`), and one who just got it may not have
 * written who he is.
 */
export function takeOwnership(paths: Paths, powers: StorePowers): Lock {
  let lock = powers.lock(paths.lock);
  for (let tries = 0; lock === null && tries < OWNER_TRIES; tries++) {
    const owner = readOwner(paths, powers);
    if (owner && powers.isAlive(owner.pid)) throw busy(paths, owner);
    powers.pause(OWNER_PAUSE_MS);
    lock = powers.lock(paths.lock);
  }
  if (lock === null) throw busy(paths, readOwner(paths, powers));
  const held = lock;
  const owner: Owner = { ...powers.self, since: new Date(powers.now()).toISOString() };
  try {
    powers.write(paths.owner, new TextEncoder().encode(`${JSON.stringify(owner)}\n`));
  } catch (error) {
    held.release();
    throw error;
  }
  return {
    release: () => {
      powers.remove(paths.owner);
      held.release();
    },
  };
}

/** Who has the store; null when nobody has, 'unknown' when he does not say. Takes nothing and writes nothing. */
export function currentOwner(paths: Paths, powers: StorePowers): Owner | 'unknown' | null {
  if (!powers.isLocked(paths.lock)) return null;
  return readOwner(paths, powers) ?? 'unknown';
}

/** What the last one who took the store wrote about himself. */
function readOwner(paths: Paths, powers: StorePowers): Owner | null {
  const bytes = powers.read(paths.owner);
  if (bytes === null) return null;
  try {
    const { pid, command, host, since } = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Owner>;
    if (typeof pid !== 'number') return null;
    return { pid, command: `${command}`, host: `${host}`, since: `${since}` };
  } catch {
    return null; // it is only there to be shown
  }
}

function busy(paths: Paths, owner: Owner | null): EnvironmentError {
  const who = owner
    ? `process ${owner.pid} (${owner.command}) on ${owner.host}, since ${owner.since}`
    : 'another process, which did not say who it is';
  return new EnvironmentError(
    'store-busy',
    `the space in ${paths.folder} is in use by ${who}`,
    owner ? `Use that process, or end it first: kill ${owner.pid}` : 'End that process first.',
  );
}

export const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

export function unhex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}
