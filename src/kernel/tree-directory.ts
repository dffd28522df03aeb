/**
 * The contents of one directory: names to nodes, findable by name and listable in a stable order. All of it in the
 * space; nothing is remembered here between calls.
 *
 * Two structures over the same entries. A hash table of chains finds a name; an array of slots in order of creation
 * gives readers a place to go on from. A slot is a serial, which never comes back in this directory, and an entry; the
 * cookie of an entry is its serial. Removing an entry empties its slot and moves no other, so a reader that goes on
 * from a cookie sees every entry that was there all the time exactly once, whatever else was added and removed. When
 * the array is full its empty slots are squeezed out (serials keep their order) or it doubles.
 *
 * Callers keep `.` and `..` and everything about nodes; here a node is a number.
 */
import { type Space, SUPERBLOCK_ADDRESS, Superblock } from '../space/index.ts';
import { DirectoryRecord, EntryRecord, SLOT_BYTES, tryAlloc } from './tree-records.ts';

const D = DirectoryRecord.fields;
const E = EntryRecord.fields;

/** Serial of the first entry: 1 and 2 are the cookies behind `.` and `..`. */
export const FIRST_SERIAL = 3;
const FIRST_BUCKETS = 8;
const FIRST_SLOTS = 8;

/** Where the key of the hash lies: half of the space's id, which is drawn at random and which no guest sees. */
const KEY_ADDRESS = Superblock.fields.id.address(SUPERBLOCK_ADDRESS) + 8;

/**
 * HalfSipHash-1-3 over a name (Aumasson and Bernstein): keyed, because names come from programs that might choose them
 * to fall into one bucket, and the time of a look-up is everybody's. The values are kept in the space.
 */
export function hashName(space: Space, name: Uint8Array): number {
  const [k0, k1] = [space.view.getUint32(KEY_ADDRESS, true), space.view.getUint32(KEY_ADDRESS + 4, true)];
  let [v0, v1, v2, v3] = [k0 | 0, k1 | 0, k0 ^ 0x6c796765, k1 ^ 0x74656462];
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
  };
  const whole = name.length & ~3;
  const byte = (i: number): number => name[i] ?? 0;
  for (let i = 0; i <= whole; i += 4) {
    let word = byte(i) | (byte(i + 1) << 8) | (byte(i + 2) << 16);
    word |= (i < whole ? byte(i + 3) : name.length) << 24;
    v3 ^= word;
    rounds(1);
    v0 ^= word;
  }
  v2 ^= 0xff;
  rounds(3);
  return (v1 ^ v3) >>> 0;
}

/** An empty directory; 0 where there is no space. */
export function createDirectory(space: Space): number {
  const directory = tryAlloc(space, DirectoryRecord.bytes);
  if (directory === 0) return 0;
  D.nextSerial.set(space, directory, FIRST_SERIAL);
  return directory;
}

/** Gives back the space of a directory and of its entries, if it still has any. */
export function destroyDirectory(space: Space, directory: number): void {
  const slots = D.slots.get(space, directory);
  const used = D.slotsUsed.get(space, directory);
  for (let i = 0; i < used; i++) {
    const entry = space.getNumber(slots + i * SLOT_BYTES + 8);
    if (entry !== 0) space.heap.free(entry);
  }
  if (slots !== 0) space.heap.free(slots);
  const buckets = D.buckets.get(space, directory);
  if (buckets !== 0) space.heap.free(buckets);
  space.heap.free(directory);
}

export function countEntries(space: Space, directory: number): number {
  return D.count.get(space, directory);
}

/** The entry with this name, or 0. */
export function findEntry(space: Space, directory: number, name: Uint8Array): number {
  const bucketCount = D.bucketCount.get(space, directory);
  if (bucketCount === 0) return 0;
  const hash = hashName(space, name);
  let entry = space.getNumber(D.buckets.get(space, directory) + (hash & (bucketCount - 1)) * 8);
  while (entry !== 0) {
    if (E.hash.get(space, entry) === hash && equalName(space, entry, name)) {
      return entry;
    }
    entry = E.next.get(space, entry);
  }
  return 0;
}

function equalName(space: Space, entry: number, name: Uint8Array): boolean {
  if (E.nameBytes.get(space, entry) !== name.length) return false;
  const { u8 } = space;
  const at = entry + EntryRecord.bytes;
  for (let i = 0; i < name.length; i++) if (u8[at + i] !== name[i]) return false;
  return true;
}

export function entryNode(space: Space, entry: number): number {
  return E.node.get(space, entry);
}

/** A private copy of an entry's name. */
export function entryName(space: Space, entry: number): Uint8Array {
  return space.readBytes(entry + EntryRecord.bytes, E.nameBytes.get(space, entry));
}

/** Lets an entry lead to another node. */
export function setEntryNode(space: Space, entry: number, node: number): void {
  E.node.set(space, entry, node);
}

/** Adds a name that the caller has found not to be there. False where there is no space; then nothing changed. */
export function addEntry(space: Space, directory: number, name: Uint8Array, node: number): boolean {
  if (!roomForBucket(space, directory) || !roomForSlot(space, directory)) return false;
  const entry = tryAlloc(space, EntryRecord.bytes + name.length);
  if (entry === 0) return false;
  const hash = hashName(space, name);
  const serial = D.nextSerial.get(space, directory);
  D.nextSerial.set(space, directory, serial + 1);
  E.node.set(space, entry, node);
  E.serial.set(space, entry, serial);
  E.hash.set(space, entry, hash);
  E.nameBytes.set(space, entry, name.length);
  space.writeBytes(entry + EntryRecord.bytes, name);
  const bucket = bucketOf(space, directory, hash);
  E.next.set(space, entry, space.getNumber(bucket));
  space.setNumber(bucket, entry);
  const used = D.slotsUsed.get(space, directory);
  const slot = D.slots.get(space, directory) + used * SLOT_BYTES;
  space.setNumber(slot, serial);
  space.setNumber(slot + 8, entry);
  D.slotsUsed.set(space, directory, used + 1);
  D.count.set(space, directory, D.count.get(space, directory) + 1);
  return true;
}

/** Lets the next entry have this serial, if that does not go back: for directories made from an image. */
export function setNextSerial(space: Space, directory: number, serial: number): void {
  D.nextSerial.set(space, directory, Math.max(serial, D.nextSerial.get(space, directory)));
}

/** Takes out an entry that `findEntry` gave for this directory. */
export function removeEntry(space: Space, directory: number, entry: number): void {
  let link = bucketOf(space, directory, E.hash.get(space, entry));
  while (space.getNumber(link) !== entry) link = E.next.address(space.getNumber(link));
  space.setNumber(link, E.next.get(space, entry));
  const slot = slotAfter(space, directory, E.serial.get(space, entry) - 1);
  const slots = D.slots.get(space, directory);
  space.setNumber(slots + slot * SLOT_BYTES + 8, 0);
  const count = D.count.get(space, directory) - 1;
  D.count.set(space, directory, count);
  space.heap.free(entry);
  // A directory in which names come and go (a journal beside a database) keeps its array short.
  let used = D.slotsUsed.get(space, directory);
  while (used > 0 && space.getNumber(slots + (used - 1) * SLOT_BYTES + 8) === 0) used--;
  D.slotsUsed.set(space, directory, used);
  if (used >= 4 * FIRST_SLOTS && count <= used >> 2) squeeze(space, directory, slots);
}

/** The first entry whose serial is greater than `serial`, or 0; with `entrySerial` a reader goes through all. */
export function entryAfter(space: Space, directory: number, serial: number): number {
  const used = D.slotsUsed.get(space, directory);
  const slots = D.slots.get(space, directory);
  for (let slot = slotAfter(space, directory, serial); slot < used; slot++) {
    const entry = space.getNumber(slots + slot * SLOT_BYTES + 8);
    if (entry !== 0) return entry;
  }
  return 0;
}

export function entrySerial(space: Space, entry: number): number {
  return E.serial.get(space, entry);
}

/** Index of the first slot with a serial greater than `serial`: a binary search, since serials ascend. */
function slotAfter(space: Space, directory: number, serial: number): number {
  const slots = D.slots.get(space, directory);
  let low = 0;
  let high = D.slotsUsed.get(space, directory);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (space.getNumber(slots + middle * SLOT_BYTES) > serial) high = middle;
    else low = middle + 1;
  }
  return low;
}

function bucketOf(space: Space, directory: number, hash: number): number {
  const mask = D.bucketCount.get(space, directory) - 1;
  return D.buckets.get(space, directory) + (hash & mask) * 8;
}

/** Keeps chains short: as many buckets as entries, at least. */
function roomForBucket(space: Space, directory: number): boolean {
  const bucketCount = D.bucketCount.get(space, directory);
  if (D.count.get(space, directory) < bucketCount) return true;
  const wanted = bucketCount === 0 ? FIRST_BUCKETS : bucketCount * 2;
  const fresh = tryAlloc(space, wanted * 8);
  if (fresh === 0) return bucketCount !== 0; // longer chains are better than no entry
  const old = D.buckets.get(space, directory);
  for (let i = 0; i < bucketCount; i++) {
    let entry = space.getNumber(old + i * 8);
    while (entry !== 0) {
      const next = E.next.get(space, entry);
      const bucket = fresh + (E.hash.get(space, entry) & (wanted - 1)) * 8;
      E.next.set(space, entry, space.getNumber(bucket));
      space.setNumber(bucket, entry);
      entry = next;
    }
  }
  if (old !== 0) space.heap.free(old);
  D.buckets.set(space, directory, fresh);
  D.bucketCount.set(space, directory, wanted);
  return true;
}

/** Copies the slots that hold an entry to `target`, which may be the array itself, in their order. */
function squeeze(space: Space, directory: number, target: number): void {
  const from = D.slots.get(space, directory);
  const used = D.slotsUsed.get(space, directory);
  let kept = 0;
  for (let i = 0; i < used; i++) {
    const entry = space.getNumber(from + i * SLOT_BYTES + 8);
    if (entry === 0) continue;
    space.setNumber(target + kept * SLOT_BYTES, space.getNumber(from + i * SLOT_BYTES));
    space.setNumber(target + kept * SLOT_BYTES + 8, entry);
    kept++;
  }
  D.slotsUsed.set(space, directory, kept);
}

/** Makes sure that one more slot fits behind those used. */
function roomForSlot(space: Space, directory: number): boolean {
  const used = D.slotsUsed.get(space, directory);
  const capacity = D.slotCapacity.get(space, directory);
  if (used < capacity) return true;
  const old = D.slots.get(space, directory);
  if (capacity > 0 && D.count.get(space, directory) <= capacity >> 1) {
    squeeze(space, directory, old);
    return true;
  }
  const wanted = capacity === 0 ? FIRST_SLOTS : capacity * 2;
  const target = tryAlloc(space, wanted * SLOT_BYTES);
  if (target === 0) return false;
  if (old !== 0) {
    squeeze(space, directory, target);
    space.heap.free(old);
  }
  D.slots.set(space, directory, target);
  D.slotCapacity.set(space, directory, wanted);
  return true;
}
