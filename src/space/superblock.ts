/**
 * The first record of the space, at address 0: what finds everything else. Parts of the system that keep state hang it
 * on a root slot of their own: `space.root(ROOT.tree)`, `space.setRoot(ROOT.tree, address)`.
 */
import { FLAG_ADDRESS } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { bytes, defineRecord, num, nums, u32, u64 } from './records.ts';

export const SUPERBLOCK_ADDRESS = 0;
/** "perdure\0" as two words. */
export const MAGIC_LOW = 0x64726570;
export const MAGIC_HIGH = 0x00657275;
/**
 * Version of everything the kernel keeps in the space. 2 has frames of version 2 and modules made at run time; 3 has
 * objects, capabilities and an epoch, those who wait, rings and tables, segments mapped into domains, whose frames may be
 * shared, and in what waits to get out who pays for it. What a space of an older version holds means the same in one of
 * version 3: its domains have no capabilities, and their records become longer when they are opened
 * (`RecordTable.openWidened`).
 */
export const SPACE_VERSION = 3;
export const SPACE_OLDEST_VERSION = 1;

export const ROOT_SLOTS = 32;
/** Root slots, by owner. A slot holds an address (of a heap block), 0 while unused. Numbers never change meaning. */
export const ROOT = {
  domains: 0,
  segments: 1,
  tree: 2,
  outbox: 3,
  ports: 4,
  wasi: 5,
  /** Domains that make code at run time. */
  makers: 6,
  objects: 7,
  capabilities: 8,
  /** Rings, what is under way, and what domains serve. */
  rings: 9,
  operations: 10,
  tables: 11,
  sturdies: 12,
  /** Segments mapped into domains. */
  mappings: 13,
  /** Extents and families of segments. */
  kept: 14,
  /** Where segments come from that are read when they are touched. */
  sources: 15,
  activations: 20,
  /** Who waits at semaphores and for notifications. */
  waiters: 16,
  waitSets: 17,
  waitMembers: 18,
  /** For tests and embedders. */
  user: 31,
} as const;

export const HEAP_CLASS_SLOTS = 40;

export const Superblock = defineRecord('superblock', {
  magicLow: u32('kernel', 'MAGIC_LOW.'),
  magicHigh: u32('kernel', 'MAGIC_HIGH.'),
  version: u32('kernel', 'SPACE_VERSION.'),
  reserved: u32('kernel', 'Zero.'),
  id: bytes(16, 'kernel', 'The 128-bit id of the space, drawn when it was made.'),
  nextDomain: num('kernel', 'Number of the next domain. Never used twice.'),
  nextId: num('kernel', 'Low half of the next id of a segment or an object. Never used twice.'),
  sequence: num('kernel', 'Number of the last checkpoint cut; the cut that holds this page has this number.'),
  clock: u64('kernel', 'Monotonic time of the space at the last cut, ns. Goes on over restarts.'),
  flag: u32('any', 'The safepoint word; its value in a checkpoint means nothing.'),
  grace: u32('any', 'Ticks without a safepoint (GRACE_ADDRESS); its value in a checkpoint means nothing.'),
  heapBlocks: num('kernel', 'Blocks of the kernel heap in use.'),
  heapBytes: num('kernel', 'Bytes of those blocks, rounded up to their size classes.'),
  roots: nums(ROOT_SLOTS, 'owner', 'See ROOT.'),
  heapPartial: nums(
    HEAP_CLASS_SLOTS,
    'kernel',
    'Heap frames with a free block, by size class: first of a list.',
  ),
});

assert(Superblock.fields.flag.offset === FLAG_ADDRESS, 'the safepoint word is where the compiler reads it');
assert(SUPERBLOCK_ADDRESS + Superblock.bytes <= 4096, 'the superblock is one page');
