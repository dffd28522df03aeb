/**
 * What WASI keeps for a domain, all of it in the space: arguments, environment and the table of descriptors. One
 * `StateRecord` a domain, at `caller.personalityState`. Nothing here is remembered in JavaScript, so a domain goes on
 * from a checkpoint with the same descriptors, offsets and rights.
 *
 * A descriptor is a `DescriptorRecord` in an array; its number is its index. Numbers come from guests and mean nothing
 * until `find` has found them; everything else in these records is ours.
 */
import { OPEN_FILES_MAX } from '../../base/limits.ts';
import { defineRecord, num, type Space, u8, u16, u32 } from '../../space/index.ts';

/** What a descriptor stands for. */
export const KIND = {
  free: 0,
  /** One of the domain's standard streams: `object` is 0, 1 or 2. */
  stream: 1,
  /** `object` is a node of the space's file tree, retained. */
  file: 2,
  directory: 3,
  /** `object` is the id of a port object. */
  hostFile: 4,
  hostDirectory: 5,
  socket: 6,
  listener: 7,
  /** `object` is the handle. Before its domain is bound: a capability, retained, and its turn is in `offset`. */
  servedFile: 8,
  servedDirectory: 9,
  servedStream: 10,
} as const;

export const isServed = (kind: number): boolean => kind >= KIND.servedFile;
export const isDirectory = (kind: number): boolean =>
  kind === KIND.directory || kind === KIND.hostDirectory || kind === KIND.servedDirectory;
export const isFile = (kind: number): boolean =>
  kind === KIND.file || kind === KIND.hostFile || kind === KIND.servedFile;
export const inTree = (kind: number): boolean => kind === KIND.file || kind === KIND.directory;

export const DescriptorRecord = defineRecord('wasi descriptor', {
  kind: u8('kernel', 'One of KIND.'),
  readOnly: u8(
    'kernel',
    '1 where nothing may be changed through it; what is opened through it inherits that.',
  ),
  flags: u16('kernel', 'FDFLAGS.'),
  rights: u32('kernel', 'Rights of the descriptor itself.'),
  inheriting: u32('kernel', 'The most rights of what is opened through it.'),
  handle: u32(
    'kernel',
    'The capability it stands on, in the list of its domain; 0 until the domain is bound.',
  ),
  offset: num('kernel', 'Position of reads and writes in a file.'),
  object: num('kernel', 'See KIND.'),
  name: num('kernel', 'Of a preopened directory: block with its name, else 0.'),
  nameBytes: u32('kernel', 'Length of that name.'),
  listed: u32('kernel', 'Entries in `listing`.'),
  listing: num(
    'kernel',
    'Of a host directory being listed: block with what it held, else 0; see listing.ts.',
  ),
});

export const StateRecord = defineRecord('wasi state', {
  version: u32('kernel', 'STATE_VERSION, then BOUND_VERSION.'),
  argCount: u32('kernel', 'Arguments.'),
  args: num('kernel', 'Block: the arguments, each ended by a zero byte.'),
  argBytes: u32('kernel', 'Bytes of that.'),
  envCount: u32('kernel', 'Variables.'),
  env: num('kernel', 'Block: NAME=VALUE, each ended by a zero byte.'),
  envBytes: u32('kernel', 'Bytes of that.'),
  capacity: u32('kernel', 'Descriptors there is room for in `descriptors`.'),
  descriptors: num('kernel', 'Array of DescriptorRecord.'),
});
/** Of a state whose descriptors stand on no capabilities yet, and of one where they do (bindings.ts). */
export const STATE_VERSION = 1;
export const BOUND_VERSION = 2;

export const S = StateRecord.fields;
export const D = DescriptorRecord.fields;
const FIRST_CAPACITY = 8;

/** Address of a descriptor's record, 0 where the number names none that is open. */
export function find(space: Space, state: number, fd: number): number {
  const index = fd >>> 0;
  if (state === 0 || index >= S.capacity.get(space, state)) return 0;
  const at = S.descriptors.get(space, state) + index * DescriptorRecord.bytes;
  return D.kind.get(space, at) === KIND.free ? 0 : at;
}

/** Whether the capability that a host object's descriptor stands on is to just that object, which then ends with it. */
export function isGranted(space: Space, at: number): boolean {
  const kind = D.kind.get(space, at);
  return kind === KIND.socket || kind === KIND.listener || D.name.get(space, at) !== 0;
}

/** A state with no descriptors. @throws SpaceFullError */
export function createState(space: Space, args: readonly Uint8Array[], env: readonly Uint8Array[]): number {
  const state = space.heap.alloc(StateRecord.bytes);
  try {
    S.version.set(space, state, STATE_VERSION);
    const packedArgs = pack(args);
    S.argCount.set(space, state, args.length);
    S.argBytes.set(space, state, packedArgs.length);
    S.args.set(space, state, space.heap.allocBytes(packedArgs));
    const packedEnv = pack(env);
    S.envCount.set(space, state, env.length);
    S.envBytes.set(space, state, packedEnv.length);
    S.env.set(space, state, space.heap.allocBytes(packedEnv));
    S.descriptors.set(space, state, space.heap.alloc(FIRST_CAPACITY * DescriptorRecord.bytes));
    S.capacity.set(space, state, FIRST_CAPACITY);
  } catch (error) {
    freeState(space, state);
    throw error;
  }
  return state;
}

/** Frees the records. What the descriptors stand for has been given back before. */
export function freeState(space: Space, state: number): void {
  for (const field of [S.args, S.env, S.descriptors]) {
    const block = field.get(space, state);
    if (block !== 0) space.heap.free(block);
  }
  space.heap.free(state);
}

/** The lowest number not in use from `least` on, with room for its record made; -1 where no more may be open. */
export function freeNumber(space: Space, state: number, least = 0): number {
  const capacity = S.capacity.get(space, state);
  const descriptors = S.descriptors.get(space, state);
  let fd = least;
  while (fd < capacity && D.kind.get(space, descriptors + fd * DescriptorRecord.bytes) !== KIND.free) fd++;
  if (fd >= OPEN_FILES_MAX) return -1;
  if (fd >= capacity) grow(space, state, fd + 1);
  return fd;
}

/** @throws SpaceFullError */
function grow(space: Space, state: number, least: number): void {
  const capacity = S.capacity.get(space, state);
  const wanted = Math.min(Math.max(capacity * 2, least), OPEN_FILES_MAX);
  const block = space.heap.resize(S.descriptors.get(space, state), wanted * DescriptorRecord.bytes);
  S.descriptors.set(space, state, block);
  S.capacity.set(space, state, wanted);
}

export interface NewDescriptor {
  kind: number;
  object: number;
  rights: number;
  inheriting: number;
  flags?: number;
  readOnly?: boolean;
  handle?: number;
}

/** Fills the record of a number that `freeNumber` gave. Returns its address. */
export function fill(space: Space, state: number, fd: number, made: NewDescriptor): number {
  const at = S.descriptors.get(space, state) + fd * DescriptorRecord.bytes;
  D.kind.set(space, at, made.kind);
  D.object.set(space, at, made.object);
  D.rights.set(space, at, made.rights);
  D.inheriting.set(space, at, made.inheriting);
  D.flags.set(space, at, made.flags ?? 0);
  D.readOnly.set(space, at, made.readOnly ? 1 : 0);
  D.handle.set(space, at, made.handle ?? 0);
  return at;
}

/** Numbers of the open descriptors, ascending. */
export function* openNumbers(space: Space, state: number): Generator<number> {
  for (let fd = 0; fd < S.capacity.get(space, state); fd++) if (find(space, state, fd) !== 0) yield fd;
}

function pack(list: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(list.reduce((sum, item) => sum + item.length + 1, 0));
  let at = 0;
  for (const item of list) {
    bytes.set(item, at);
    at += item.length + 1;
  }
  return bytes;
}

/** The reverse of how arguments and environment are kept. */
export function unpack(bytes: Uint8Array): Uint8Array[] {
  const list: Uint8Array[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from);
    list.push(bytes.slice(from, end));
    from = end + 1;
  }
  return list;
}
