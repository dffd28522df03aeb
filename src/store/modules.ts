/**
 * Programs in the store: the bytes as they were installed and as they were rewritten, under a name the caller made
 * from the contents (SHA-256 of the program and the compiler's version). A name says everything about its contents, so
 * a module is written once, never changed, and removed only when nothing names it.
 *
 * The bytes lie in parts of one engine page each, as values of many pages would need many free pages side by side; the
 * module's record is written in the same transaction.
 */
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import type { PageHasher } from '../base/hash.ts';
import { type Engine, type Snapshot, VALUE_BEST_BYTES } from './engine.ts';
import { decodeModule, encodeModule, KIND_MODULE, type ModuleRecord, seal, unseal } from './records.ts';

const PREFIX = 'module/';
const HASH_PATTERN = /^[0-9A-Za-z._-]{1,200}$/;

/** What to store of a program. */
export interface ModuleParts {
  readonly original: Uint8Array;
  readonly rewritten: Uint8Array;
  /** The caller's own bytes: what the compiler and the verifier said. */
  readonly meta: Uint8Array;
}

type Piece = 'original' | 'rewritten';

const partKey = (hash: string, piece: Piece, index: number): string =>
  `${hash}/${piece[0]}/${index.toString().padStart(6, '0')}`;
const partCount = (bytes: number): number => Math.ceil(bytes / VALUE_BEST_BYTES);

/** A stored program. Its bytes are read, and verified, when they are asked for; throws `MalformedError`. */
export class StoredModule implements ModuleParts {
  readonly hash: string;
  readonly record: ModuleRecord;
  readonly #engine: Engine;
  readonly #hasher: PageHasher;
  readonly #bytes = new Map<Piece, Uint8Array>();

  constructor(engine: Engine, hasher: PageHasher, hash: string, record: ModuleRecord) {
    this.hash = hash;
    this.record = record;
    this.#engine = engine;
    this.#hasher = hasher;
  }

  get meta(): Uint8Array {
    return this.record.meta;
  }
  get original(): Uint8Array {
    return this.#read('original', this.record.originalBytes, this.record.originalHash);
  }
  get rewritten(): Uint8Array {
    return this.#read('rewritten', this.record.rewrittenBytes, this.record.rewrittenHash);
  }

  #read(piece: Piece, length: number, hash: readonly [number, number]): Uint8Array {
    const known = this.#bytes.get(piece);
    if (known) return known;
    const bytes = new Uint8Array(length);
    const snapshot = this.#engine.snapshot();
    try {
      for (let i = 0, at = 0; at < length; i++, at += VALUE_BEST_BYTES) {
        const part = snapshot.get('module', partKey(this.hash, piece, i));
        if (part?.length !== Math.min(VALUE_BEST_BYTES, length - at)) {
          throw new MalformedError(`a part of module ${this.hash} (${piece}) is missing`, at);
        }
        bytes.set(part, at);
      }
    } finally {
      snapshot.done();
    }
    this.#hasher.hashBytes(bytes);
    if (this.#hasher.out[0] !== hash[0] || this.#hasher.out[1] !== hash[1]) {
      throw new MalformedError(`module ${this.hash} (${piece}) does not match its checksum`, 0);
    }
    this.#bytes.set(piece, bytes);
    return bytes;
  }
}

function recordOf(snapshot: Snapshot, hasher: PageHasher, hash: string): ModuleRecord | null {
  const bytes = snapshot.get('record', PREFIX + hash);
  return bytes ? decodeModule(unseal(hasher, KIND_MODULE, hash, bytes)) : null;
}

/**
 * Stores a program; does nothing when one of that name is there, unless it is to be replaced. Durable when it resolves.
 */
export async function putModule(
  engine: Engine,
  hasher: PageHasher,
  hash: string,
  module: ModuleParts,
  replace = false,
): Promise<void> {
  assert(HASH_PATTERN.test(hash), 'a module is named by a hash');
  if (!replace && hasModule(engine, hash)) return;
  const hashOf = (bytes: Uint8Array): readonly [number, number] => {
    hasher.hashBytes(bytes);
    return [hasher.out[0]!, hasher.out[1]!];
  };
  const body = encodeModule({
    originalBytes: module.original.length,
    rewrittenBytes: module.rewritten.length,
    originalHash: hashOf(module.original),
    rewrittenHash: hashOf(module.rewritten),
    meta: module.meta,
  });
  const record = seal(hasher, KIND_MODULE, hash, body);
  await engine.write((writes) => {
    for (const piece of ['original', 'rewritten'] as const) {
      const bytes = module[piece];
      for (let i = 0, at = 0; at < bytes.length; i++, at += VALUE_BEST_BYTES) {
        writes.put('module', partKey(hash, piece, i), bytes.subarray(at, at + VALUE_BEST_BYTES));
      }
    }
    writes.put('record', PREFIX + hash, record);
  });
}

/** The program of that name, or null. Throws `MalformedError`. */
export function getModule(engine: Engine, hasher: PageHasher, hash: string): StoredModule | null {
  const snapshot = engine.snapshot();
  try {
    const record = recordOf(snapshot, hasher, hash);
    return record && new StoredModule(engine, hasher, hash, record);
  } finally {
    snapshot.done();
  }
}

export function hasModule(engine: Engine, hash: string): boolean {
  const snapshot = engine.snapshot();
  try {
    return snapshot.get('record', PREFIX + hash) !== undefined;
  } finally {
    snapshot.done();
  }
}

/** Names of all stored programs. */
export function listModules(engine: Engine): string[] {
  const snapshot = engine.snapshot();
  try {
    const names: string[] = [];
    for (const { key } of snapshot.entries('record')) {
      if (key.startsWith(PREFIX)) names.push(key.slice(PREFIX.length));
    }
    return names;
  } finally {
    snapshot.done();
  }
}

/** Removes every program not in `live`, as one transaction. How many it removed. */
export async function collectModules(
  engine: Engine,
  hasher: PageHasher,
  live: ReadonlySet<string>,
): Promise<number> {
  const dead = listModules(engine).filter((hash) => !live.has(hash));
  if (dead.length === 0) return 0;
  const snapshot = engine.snapshot();
  const records: [string, ModuleRecord][] = [];
  try {
    for (const hash of dead) {
      const record = recordOf(snapshot, hasher, hash);
      if (record) records.push([hash, record]);
    }
  } finally {
    snapshot.done();
  }
  await engine.write((writes) => {
    for (const [hash, record] of records) {
      for (const piece of ['original', 'rewritten'] as const) {
        const parts = partCount(piece === 'original' ? record.originalBytes : record.rewrittenBytes);
        for (let i = 0; i < parts; i++) writes.remove('module', partKey(hash, piece, i));
      }
      writes.remove('record', PREFIX + hash);
    }
  });
  return records.length;
}
