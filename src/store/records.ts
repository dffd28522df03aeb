/**
 * The small records of a store and how they are written: a kind, a version, a body, a hash over all of it. Numbers are
 * little-endian. A record that does not read back is refused as `MalformedError`; the caller says which store it was in.
 * A record of a later version is never guessed at.
 */
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import type { PageHasher } from '../base/hash.ts';
import { HashSum } from './hashes.ts';

/** Kinds of records, four letters each, so that one never passes for another. */
export const KIND_SPACE = 'PSPC';
export const KIND_CHECKPOINT = 'PCKP';
export const KIND_MODULE = 'PMOD';
export const KIND_RELEASED = 'PREL';
const RECORD_VERSION = 1;
const HEAD_BYTES = 8;
const HASH_BYTES = 8;

/** Names of records in the table `record`. */
export const RECORD_SPACE = 'space';
export const RECORD_CHECKPOINT = 'checkpoint';
export const RELEASED_PREFIX = 'released/';
/** What names of sinks look like: short enough for a key in UTF-8. */
export const SINK_PATTERN = /^\P{Cc}{1,160}$/u;

/** A record's bytes. `name` is hashed with it: a record under another's name is refused. */
export function seal(hasher: PageHasher, kind: string, name: string, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + body.length + HASH_BYTES);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 4; i++) bytes[i] = kind.charCodeAt(i);
  view.setUint32(4, RECORD_VERSION, true);
  bytes.set(body, HEAD_BYTES);
  const [low, high] = hashOf(hasher, name, bytes.subarray(0, -HASH_BYTES));
  view.setUint32(bytes.length - 8, low, true);
  view.setUint32(bytes.length - 4, high, true);
  return bytes;
}

/** The body of a record that `seal` made, a copy. Throws `MalformedError`. */
export function unseal(hasher: PageHasher, kind: string, name: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length < HEAD_BYTES + HASH_BYTES)
    throw new MalformedError(`record ${name} is cut short`, bytes.length);
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const found = String.fromCharCode(...copy.subarray(0, 4));
  if (found !== kind) throw new MalformedError(`record ${name} is not what it should be`, 0);
  const version = view.getUint32(4, true);
  const [low, high] = hashOf(hasher, name, copy.subarray(0, -HASH_BYTES));
  if (view.getUint32(copy.length - 8, true) !== low || view.getUint32(copy.length - 4, true) !== high) {
    throw new MalformedError(`record ${name} does not match its checksum`, copy.length - HASH_BYTES);
  }
  if (version !== RECORD_VERSION) throw new MalformedError(`record ${name} has version ${version}`, 4);
  return copy.subarray(HEAD_BYTES, -HASH_BYTES);
}

function hashOf(hasher: PageHasher, name: string, bytes: Uint8Array): readonly [number, number] {
  const label = new TextEncoder().encode(name);
  const all = new Uint8Array(label.length + 1 + bytes.length);
  all.set(label);
  all.set(bytes, label.length + 1);
  hasher.hashBytes(all);
  return [hasher.out[0]!, hasher.out[1]!];
}

/** The record that makes a checkpoint: written in the transaction of its pages, last. */
export interface CheckpointRecord {
  /** Number of the checkpoint, rising; an integer up to 2^53 - 1. */
  readonly seq: number;
  /** When it was taken, milliseconds since 1970. */
  readonly time: number;
  /** The sum over all its pages. */
  readonly sum: HashSum;
  /** The kernel's own bytes. */
  readonly meta: Uint8Array;
}

const CHECKPOINT_BYTES = 28;

export function encodeCheckpoint(record: CheckpointRecord): Uint8Array {
  const body = new Uint8Array(CHECKPOINT_BYTES + record.meta.length);
  const view = new DataView(body.buffer);
  view.setBigUint64(0, BigInt(record.seq), true);
  view.setBigUint64(8, BigInt(record.time), true);
  view.setUint32(16, record.sum.pages, true);
  view.setUint32(20, record.sum.low, true);
  view.setUint32(24, record.sum.high, true);
  body.set(record.meta, CHECKPOINT_BYTES);
  return body;
}

export function decodeCheckpoint(body: Uint8Array): CheckpointRecord {
  if (body.length < CHECKPOINT_BYTES)
    throw new MalformedError('the checkpoint record is cut short', body.length);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const sum = new HashSum();
  sum.pages = view.getUint32(16, true);
  sum.low = view.getUint32(20, true);
  sum.high = view.getUint32(24, true);
  return {
    seq: Number(view.getBigUint64(0, true)),
    time: Number(view.getBigUint64(8, true)),
    sum,
    meta: body.slice(CHECKPOINT_BYTES),
  };
}

/** A stored program without its bytes. */
export interface ModuleRecord {
  readonly originalBytes: number;
  readonly rewrittenBytes: number;
  /** Hashes of the two, low and high word each. */
  readonly originalHash: readonly [number, number];
  readonly rewrittenHash: readonly [number, number];
  readonly meta: Uint8Array;
}

const MODULE_BYTES = 32;

export function encodeModule(record: ModuleRecord): Uint8Array {
  const body = new Uint8Array(MODULE_BYTES + record.meta.length);
  const view = new DataView(body.buffer);
  view.setBigUint64(0, BigInt(record.originalBytes), true);
  view.setBigUint64(8, BigInt(record.rewrittenBytes), true);
  const halves = [...record.originalHash, ...record.rewrittenHash];
  for (const [i, half] of halves.entries()) view.setUint32(16 + i * 4, half, true);
  body.set(record.meta, MODULE_BYTES);
  return body;
}

export function decodeModule(body: Uint8Array): ModuleRecord {
  if (body.length < MODULE_BYTES) throw new MalformedError('a module record is cut short', body.length);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    originalBytes: Number(view.getBigUint64(0, true)),
    rewrittenBytes: Number(view.getBigUint64(8, true)),
    originalHash: [view.getUint32(16, true), view.getUint32(20, true)],
    rewrittenHash: [view.getUint32(24, true), view.getUint32(28, true)],
    meta: body.slice(MODULE_BYTES),
  };
}

/** How far output to a sink got out: a count of bytes or whatever the sink counts, up to 2^53 - 1. */
export function encodeReleased(position: number | bigint): Uint8Array {
  const value = Number(position);
  assert(Number.isSafeInteger(value) && value >= 0, 'a position is a count');
  const body = new Uint8Array(8);
  new DataView(body.buffer).setBigUint64(0, BigInt(value), true);
  return body;
}

export function decodeReleased(body: Uint8Array): number {
  if (body.length !== 8)
    throw new MalformedError('a record of released output has a wrong length', body.length);
  return Number(new DataView(body.buffer, body.byteOffset, body.byteLength).getBigUint64(0, true));
}
