/**
 * A space's store as the host uses it: the last checkpoint as chunks of pages to send to the core, programs by their
 * hash, commits and the release log. Opening is the only moment at which anything is read in bulk.
 */

import { EnvironmentError } from '../base/errors.ts';
import { PAGE_BYTES } from '../base/limits.ts';
import { COMPILER_VERSION } from '../compiler/version.ts';
import type { ProgramForm } from '../kernel/program.ts';
import { hostPowers, lmdbEngine } from '../store/engine-lmdb.ts';
import { openStore, readOnly } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { formOfDomain } from './forms.ts';
import { installProgram } from './install.ts';
import type { CheckpointMeta, CutMessage, InstalledProgram, PageChunk } from './messages.ts';
import type { DomainSummary } from './types.ts';

/** Pages of a chunk: 4 MiB. */
const CHUNK_PAGES = 1024;

export interface OpenedSpace {
  readonly id: Uint8Array;
  /** Number of the last checkpoint; -1 before the first. */
  readonly seq: number;
  readonly meta: CheckpointMeta | undefined;
  readonly chunks: readonly PageChunk[];
  /** What the space's domains run. */
  readonly programs: readonly InstalledProgram[];
  readonly released: ReadonlyMap<string, number>;
  /** For the filter of unchanged pages on the core's thread; see store/hashes.ts. Not where the space is only read. */
  readonly hashes: { readonly words: Uint32Array; readonly key: Uint8Array } | undefined;
  getProgram(hash: string, form: ProgramForm): InstalledProgram | undefined;
  putProgram(program: InstalledProgram): Promise<void>;
  /** The source map kept with a program; the first stays. */
  getMap(hash: string): Uint8Array | undefined;
  putMap(hash: string, map: Uint8Array): Promise<void>;
  commit(cut: CutMessage): Promise<void>;
  /** Durable when it resolves. Later positions of a key may overtake earlier ones. */
  setReleased(key: string, position: number): Promise<void>;
  close(): Promise<void>;
}

function decodeMeta(bytes: Uint8Array | undefined, folder: string): CheckpointMeta | undefined {
  if (bytes === undefined) return undefined;
  const meta = JSON.parse(new TextDecoder().decode(bytes)) as CheckpointMeta;
  if (meta.version !== 1) {
    throw new EnvironmentError(
      'store-newer',
      `the space in ${folder} was written by a newer perdure`,
      'use that version, or a later one',
    );
  }
  return meta;
}

/** The programs of a space as its last checkpoint has them. Does not disturb an owner. */
export async function lastDomains(folder: string): Promise<DomainSummary[]> {
  const store = readOnly(folder, { engine: lmdbEngine, powers: hostPowers });
  try {
    const meta = decodeMeta(store.loadCheckpoint()?.meta, folder);
    return (meta?.domains ?? []).map((domain) =>
      domain.state === 'exited' ? domain : { ...domain, state: 'suspended' as const },
    );
  } finally {
    await store.close();
  }
}

/** @throws EnvironmentError as `openStore` */
export async function openSpaceStore(
  folder: string,
  options: { readonly create: boolean; readonly readOnly?: boolean },
): Promise<OpenedSpace> {
  const powers = { engine: lmdbEngine, powers: hostPowers };
  const store = options.readOnly
    ? readOnly(folder, powers)
    : await openStore(folder, { ...powers, create: options.create });
  try {
    const checkpoint = store.loadCheckpoint();
    const meta = decodeMeta(checkpoint?.meta, folder);
    const chunks = chunksOf(checkpoint?.pages ?? []);
    const domains = meta?.domains ?? [];
    const live = domains.filter((domain) => domain.state !== 'exited');
    const programs = new Map<string, InstalledProgram>();
    const wanted = [
      ...live.map((domain) => ({ program: domain.program, form: formOfDomain(domain) })),
      ...(meta?.programs ?? []).map((program) => ({ program, form: 'space' as const })),
    ];
    for (const { program, form } of wanted) {
      const key = keyOf(program, form);
      if (programs.has(key)) continue;
      const loaded = await loadProgram(store, program, form, folder, options.readOnly ?? false);
      programs.set(key, { ...loaded, sourceMap: getMap(store, program) });
    }
    if (!options.readOnly) await forgetPrograms(store, domains, meta?.programs ?? []);
    return {
      id: Buffer.from(store.manifest.space, 'hex'),
      seq: store.seq,
      meta,
      chunks,
      programs: [...programs.values()],
      released: releasedOf(store, domains),
      hashes: options.readOnly ? undefined : { words: store.pageHashes(), key: store.manifest.hashKey },
      getProgram: (hash, form) => getProgram(store, hash, form),
      putProgram: (program) => putProgram(store, program),
      getMap: (hash) => getMap(store, hash),
      putMap: (hash, map) => putMap(store, hash, map),
      commit: (cut) => commit(store, cut),
      setReleased: releaseLog(store),
      close: () => store.close(),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function chunksOf(pages: Iterable<{ readonly page: number; readonly bytes: Uint8Array }>): PageChunk[] {
  const chunks: PageChunk[] = [];
  let numbers = new Uint32Array(CHUNK_PAGES);
  let data = new Uint8Array(0);
  let count = 0;
  const finish = () => {
    if (count > 0) chunks.push({ pages: numbers.slice(0, count), data });
    count = 0;
  };
  for (const { page, bytes } of pages) {
    if (count === 0) data = new Uint8Array(CHUNK_PAGES * PAGE_BYTES);
    numbers[count] = page;
    data.set(bytes, count * PAGE_BYTES);
    if (++count === CHUNK_PAGES) {
      finish();
      numbers = new Uint32Array(CHUNK_PAGES);
    }
  }
  finish();
  return chunks;
}

/** Rewritten modules are this compiler's; the part before the dot is the program's own. */
function keyOf(hash: string, form: ProgramForm): string {
  const suffix = { space: '', windows: '.windows', process: '.alone' }[form];
  return `${hash}.${COMPILER_VERSION}${suffix}`;
}

/** A program's source map is kept apart: it is the same whatever compiler comes, and may come later than the program. */
function mapKeyOf(hash: string): string {
  return `${hash}.map`;
}

function getMap(store: Store, hash: string): Uint8Array | undefined {
  return whole(() => store.getModule(mapKeyOf(hash))?.original);
}

async function putMap(store: Store, hash: string, map: Uint8Array): Promise<void> {
  if (getMap(store, hash) !== undefined) return;
  const none = new Uint8Array(0);
  await store.putModule(mapKeyOf(hash), { original: map, rewritten: none, meta: none }, true);
}

/** Undefined where there is none, and where what the store has does not match its checksum: it can be made anew. */
function getProgram(store: Store, hash: string, form: ProgramForm): InstalledProgram | undefined {
  return whole(() => {
    const found = store.getModule(keyOf(hash, form));
    return found === null ? undefined : { hash, form, original: found.original, rewritten: found.rewritten };
  });
}

/** What can be read of the store; undefined where that is damaged. */
function whole<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof EnvironmentError && error.code === 'store-damaged') return undefined;
    throw error;
  }
}

/** In place of what is there: it was not whole. */
async function putProgram(
  store: Store,
  { hash, form, original, rewritten }: InstalledProgram,
): Promise<void> {
  await store.putModule(keyOf(hash, form), { original, rewritten, meta: new Uint8Array(0) }, true);
}

/** The program as it was shipped, from whatever the store has of it. */
function originalOf(store: Store, hash: string): Uint8Array | undefined {
  for (const key of store.describe().modules) {
    if (!key.startsWith(`${hash}.`) || key === mapKeyOf(hash)) continue;
    const original = whole(() => store.getModule(key)?.original);
    if (original !== undefined) return original;
  }
  return undefined;
}

/** A domain's program; compiled anew where another version of the compiler installed it, or it is damaged. */
async function loadProgram(
  store: Store,
  hash: string,
  form: ProgramForm,
  folder: string,
  readOnly: boolean,
): Promise<InstalledProgram> {
  const known = getProgram(store, hash, form);
  if (known !== undefined) return known;
  const original = originalOf(store, hash);
  if (original === undefined) {
    throw new EnvironmentError(
      'store-damaged',
      `the space in ${folder} is damaged: the program ${hash} is missing or not whole`,
      'bring the folder back from a copy',
    );
  }
  const program = await installProgram(hash, original, form, () => {});
  if (!readOnly) await putProgram(store, program);
  return program;
}

/** Removes the programs that no domain runs, ran or may make domains of, and what older compilers made of those that are left. */
async function forgetPrograms(
  store: Store,
  domains: readonly DomainSummary[],
  programs: readonly string[],
): Promise<void> {
  try {
    await store.collectModules(
      new Set([
        ...programs.flatMap((hash) => [keyOf(hash, 'space'), mapKeyOf(hash)]),
        ...domains.flatMap((domain) => [
          keyOf(domain.program, formOfDomain(domain)),
          mapKeyOf(domain.program),
        ]),
      ]),
    );
  } catch (error) {
    // On a full disk even removing needs room; nothing depends on it.
    if (!(error instanceof EnvironmentError)) throw error;
  }
}

/** Positions of all sinks the space's output may have had; names as the console gives them. */
function releasedOf(store: Store, domains: readonly DomainSummary[]): Map<string, number> {
  const released = new Map<string, number>();
  for (const owner of ['console', ...domains.map((domain) => `domain ${domain.id}`)]) {
    for (const stream of [1, 2]) {
      const key = `${owner}:${stream}`;
      const position = store.getReleased(sinkOf(key));
      if (position !== null) released.set(key, position);
    }
  }
  return released;
}

/** The store's sinks have names without blanks. */
function sinkOf(key: string): string {
  return key.replaceAll(' ', '-');
}

async function commit(store: Store, cut: CutMessage): Promise<void> {
  await store.commit({
    seq: cut.seq,
    meta: new TextEncoder().encode(cut.meta),
    pages: cut.pages,
    data: cut.data,
    freed: cut.freed,
    ...(cut.hashes === undefined ? {} : { hashes: cut.hashes }),
  });
}

/** One write at a time for each key; what comes meanwhile is written as its last position. */
function releaseLog(store: Store): (key: string, position: number) => Promise<void> {
  const waiting = new Map<string, { position: number; done: PromiseWithResolvers<void> }>();
  const running = new Set<string>();
  const run = async (key: string): Promise<void> => {
    for (let next = waiting.get(key); next !== undefined; next = waiting.get(key)) {
      waiting.delete(key);
      const { position, done } = next;
      await store.setReleased(sinkOf(key), position).then(done.resolve, done.reject);
    }
    running.delete(key);
  };
  return (key, position) => {
    const entry = waiting.get(key) ?? { position, done: Promise.withResolvers<void>() };
    entry.position = Math.max(entry.position, position);
    waiting.set(key, entry);
    if (!running.has(key)) {
      running.add(key);
      void run(key);
    }
    return entry.done.promise;
  };
}
