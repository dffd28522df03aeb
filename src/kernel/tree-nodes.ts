/**
 * Nodes of the file tree and what they hold, names aside: attributes, holders, contents. `Tree` (tree.ts) adds the
 * names and is what others use; its comment says what holds for both.
 */
import { ERRNO } from '../abi/errno.ts';
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, SPACE_MAX_FRAMES } from '../base/limits.ts';
import { type Space, SpaceFullError } from '../space/index.ts';
import { countEntries, createDirectory, destroyDirectory } from './tree-directory.ts';
import { EntryRecord, NODE_TYPE, NodeRecord, TargetRecord, TreeRecord, tryAlloc } from './tree-records.ts';

/** No file is longer than a space can be. */
export const FILE_MAX_BYTES = SPACE_MAX_FRAMES * FRAME_BYTES;

const N = NodeRecord.fields;
const T = TreeRecord.fields;

/** What there is to know of a node. */
export interface NodeStat {
  /** The inode number. */
  number: number;
  /** One of NODE_TYPE. */
  type: number;
  links: number;
  /** Bytes of a file or of a link's target; of a directory what its entries take. */
  size: number;
  accessed: bigint;
  modified: bigint;
  changed: bigint;
}

export class TreeNodes {
  readonly space: Space;
  protected readonly address: number;

  protected constructor(space: Space, address: number) {
    this.space = space;
    this.address = address;
  }

  get root(): number {
    return T.root.get(this.space, this.address);
  }

  /** Nodes that exist, those that have lost their names but are held included. */
  get nodes(): number {
    return T.nodes.get(this.space, this.address);
  }

  type(node: number): number {
    return N.type.get(this.space, node);
  }

  isDirectory(node: number): boolean {
    return this.type(node) === NODE_TYPE.directory;
  }

  /** The inode number. */
  number(node: number): number {
    return N.number.get(this.space, node);
  }

  /** The segment that holds a file's bytes. Its size is the file's. */
  segment(file: number): number {
    return N.data.get(this.space, file);
  }

  size(node: number): number {
    const { space } = this;
    const data = N.data.get(space, node);
    switch (this.type(node)) {
      case NODE_TYPE.file:
        return space.segments.size(data);
      case NODE_TYPE.link:
        return TargetRecord.fields.bytes.get(space, data);
      default:
        return countEntries(space, data) * EntryRecord.bytes;
    }
  }

  stat(node: number): NodeStat {
    const { space } = this;
    return {
      number: N.number.get(space, node),
      type: N.type.get(space, node),
      links: N.links.get(space, node),
      size: this.size(node),
      accessed: N.accessed.get(space, node),
      modified: N.modified.get(space, node),
      changed: N.changed.get(space, node),
    };
  }

  /** Sets times; null leaves one as it is. */
  setTimes(node: number, accessed: bigint | null, modified: bigint | null, now: bigint): void {
    if (accessed !== null) N.accessed.set(this.space, node, accessed);
    if (modified !== null) N.modified.set(this.space, node, modified);
    N.changed.set(this.space, node, now);
  }

  /** Keeps a node from going away while it has no name. */
  retain(node: number): void {
    N.opens.set(this.space, node, N.opens.get(this.space, node) + 1);
  }

  /** Ends a `retain`. */
  release(node: number): void {
    const opens = N.opens.get(this.space, node);
    assert(opens > 0, 'a node is released as often as it was retained');
    N.opens.set(this.space, node, opens - 1);
    this.dropIfUnused(node);
  }

  /** Gives a node the number it had in the space it was carried from: programs remember inode numbers. */
  setNumber(node: number, number: number): void {
    N.number.set(this.space, node, number);
  }

  /** Copies bytes of a file to global address `to`, which is marked. Returns how many; 0 at the end. */
  read(file: number, offset: number, to: number, length: number): number {
    return this.space.segments.read(this.segment(file), offset, to, length);
  }

  /** Copies bytes from global address `from` into a file, which grows where needed. Returns `length`, -FBIG, -NOSPC. */
  write(file: number, offset: number, from: number, length: number, now: bigint): number {
    if (offset + length > FILE_MAX_BYTES) return -ERRNO.FBIG;
    try {
      this.space.segments.write(this.segment(file), offset, from, length);
    } catch (error) {
      return noSpace(error);
    }
    if (length > 0) this.touch(file, now);
    return length;
  }

  /** Sets a file's size. What is added reads as zero and takes no room. */
  setSize(file: number, size: number, now: bigint): number {
    if (size > FILE_MAX_BYTES) return -ERRNO.FBIG;
    try {
      this.space.segments.truncate(this.segment(file), size);
    } catch (error) {
      return noSpace(error);
    }
    this.touch(file, now);
    return 0;
  }

  /** Makes room for a range, so that writing there cannot fail for want of it, and the file at least that long. */
  allocate(file: number, offset: number, length: number, now: bigint): number {
    const end = offset + length;
    if (end > FILE_MAX_BYTES) return -ERRNO.FBIG;
    try {
      this.space.segments.reserve(this.segment(file), offset, length);
    } catch (error) {
      return noSpace(error);
    }
    return end > this.size(file) ? this.setSize(file, end, now) : 0;
  }

  protected index(directory: number): number {
    return N.data.get(this.space, directory);
  }

  protected touch(node: number, now: bigint): void {
    N.modified.set(this.space, node, now);
    N.changed.set(this.space, node, now);
  }

  /** A node with one link that holds `data`; `undo` gives data back where there is no room. */
  protected createNode(type: number, data: number, now: bigint, undo: () => void): number {
    const { space } = this;
    const node = tryAlloc(space, NodeRecord.bytes);
    if (node === 0) {
      undo();
      return -ERRNO.NOSPC;
    }
    const number = T.nextNumber.get(space, this.address);
    T.nextNumber.set(space, this.address, number + 1);
    T.nodes.set(space, this.address, this.nodes + 1);
    N.type.set(space, node, type);
    N.links.set(space, node, type === NODE_TYPE.directory ? 2 : 1);
    N.number.set(space, node, number);
    N.accessed.set(space, node, now);
    N.data.set(space, node, data);
    this.touch(node, now);
    return node;
  }

  protected createDirectoryNode(now: bigint): number {
    const index = createDirectory(this.space);
    if (index === 0) return -ERRNO.NOSPC;
    return this.createNode(NODE_TYPE.directory, index, now, () => destroyDirectory(this.space, index));
  }

  protected dropIfUnused(node: number): void {
    if (N.links.get(this.space, node) === 0 && N.opens.get(this.space, node) === 0) this.destroy(node);
  }

  protected destroy(node: number): void {
    const { space } = this;
    const data = N.data.get(space, node);
    const type = this.type(node);
    if (type === NODE_TYPE.file) space.segments.destroy(data);
    else if (type === NODE_TYPE.directory) destroyDirectory(space, data);
    else space.heap.free(data);
    T.nodes.set(space, this.address, this.nodes - 1);
    space.heap.free(node);
  }
}

/** -NOSPC for a full space; anything else is a bug and goes on. */
export function noSpace(error: unknown): number {
  if (error instanceof SpaceFullError) return -ERRNO.NOSPC;
  throw error;
}

/**
 * Where a space begins to number its nodes: somewhere of its own below 2^52, so that the files of a domain carried here
 * from another space keep their numbers and are not mistaken for files that were here before.
 */
export function firstNumber(id: Uint8Array): number {
  const [a = 0, b = 0, c = 0] = id;
  return (a * 4096 + b * 16 + (c >> 4)) * 2 ** 32 + 1;
}
