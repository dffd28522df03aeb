/**
 * The records of the file tree, in blocks of the kernel heap. Written by the kernel alone, on the core that runs the
 * call. The formats are part of the checkpoint: a field never changes its meaning; a changed layout is a new
 * TREE_VERSION.
 */
import { defineRecord, num, type Space, SpaceFullError, u32, u64 } from '../space/index.ts';

export const TREE_VERSION = 1;

/** Types of nodes, as wasi's `filetype` numbers them. */
export const NODE_TYPE = { directory: 3, file: 4, link: 7 } as const;

/** One for each space. */
export const TreeRecord = defineRecord('tree', {
  version: u32('kernel', 'TREE_VERSION.'),
  nodes: u32('kernel', 'Nodes that exist.'),
  root: num('kernel', 'Node of the root directory.'),
  nextNumber: num('kernel', 'Number of the next node made; numbers never come back.'),
});

/** A file, directory or symbolic link, whatever its names. */
export const NodeRecord = defineRecord('node', {
  type: u32('kernel', 'One of NODE_TYPE.'),
  links: u32(
    'kernel',
    'Names that lead here; of a directory 2 and one for each directory in it, 0 when removed.',
  ),
  number: num('kernel', 'The inode number.'),
  opens: u32('kernel', 'Holders (open descriptors); with neither links nor holders the node goes.'),
  accessed: u64('kernel', 'Nanoseconds since 1970; set only on request.'),
  modified: u64('kernel', 'Nanoseconds since 1970: contents.'),
  changed: u64('kernel', 'Nanoseconds since 1970: contents or attributes.'),
  data: num('kernel', 'File: handle of its segment. Directory: its DirectoryRecord. Link: its TargetRecord.'),
  parent: num('kernel', 'Of a directory: the node it is in (the root: itself), 0 when removed.'),
});

/** What a symbolic link says; the bytes follow. */
export const TargetRecord = defineRecord('link target', {
  bytes: u32('kernel', 'Length of the target.'),
});

export const DirectoryRecord = defineRecord('directory', {
  buckets: num('kernel', 'Array of the first entries, 8 bytes each; 0 while there is none.'),
  bucketCount: u32('kernel', 'A power of two, or 0.'),
  count: u32('kernel', 'Entries.'),
  slots: num('kernel', 'Array of SLOT_BYTES each: serial, entry (0: empty); serials ascend.'),
  slotCapacity: u32('kernel', 'Slots there is room for.'),
  slotsUsed: u32('kernel', 'Slots in use or emptied.'),
  nextSerial: num('kernel', 'Serial of the next entry; serials never come back.'),
});
export const SLOT_BYTES = 16;

/** One name; its bytes follow. */
export const EntryRecord = defineRecord('entry', {
  next: num('kernel', 'Next entry of the bucket, or 0.'),
  node: num('kernel', 'Where it leads.'),
  serial: num('kernel', 'Its place in the order of listing.'),
  hash: u32('kernel', 'hashName of the name.'),
  nameBytes: u32('kernel', 'Length of the name.'),
});

/** A zeroed heap block, or 0 where the space is full. */
export function tryAlloc(space: Space, bytes: number): number {
  try {
    return space.heap.alloc(bytes);
  } catch (error) {
    if (error instanceof SpaceFullError) return 0;
    throw error;
  }
}
