/**
 * The space's own file tree: directories, files, symbolic links, hard links, as records in the space, contents as
 * segments. It belongs to the checkpoint like all else in the space, so a program's memory and its files never
 * disagree after a crash; there is no journal and no repair, because every operation here is whole between two cuts.
 *
 *     const tree = Tree.open(space, now);
 *     const node = tree.createFile(tree.root, name, now);
 *
 * Operations work on nodes (addresses of their records) and single names; `tree-path.ts` makes them from paths. A
 * result below zero is an errno (-ERRNO.x); nothing throws because of what a guest asked. An operation that fails
 * has changed nothing. A node that somebody keeps between calls must be `retain`ed: it then outlives its last name.
 * Times are nanoseconds since 1970. Reading changes no times, so that it makes no page dirty.
 *
 * Why: RATIONALE.md#files-of-a-space-have-no-journal
 */
import { ERRNO } from '../abi/errno.ts';
import { assert } from '../base/assert.ts';
import { NAME_MAX_BYTES, PATH_MAX_BYTES } from '../base/limits.ts';
import { ROOT, type Space, SpaceFullError } from '../space/index.ts';
import {
  addEntry,
  countEntries,
  entryAfter,
  entryName,
  entryNode,
  entrySerial,
  findEntry,
  removeEntry,
  setEntryNode,
  setNextSerial,
} from './tree-directory.ts';
import { firstNumber, noSpace, TreeNodes } from './tree-nodes.ts';
import { NODE_TYPE, NodeRecord, TargetRecord, TREE_VERSION, TreeRecord } from './tree-records.ts';

export { FILE_MAX_BYTES, type NodeStat } from './tree-nodes.ts';

const LINKS_MAX = 0xffff_0000;

const N = NodeRecord.fields;
const T = TreeRecord.fields;

/** One entry of a listing. Going on from `cookie` gives what comes after it. */
export interface ListedEntry {
  cookie: number;
  number: number;
  type: number;
  name: Uint8Array;
}

const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);

export class Tree extends TreeNodes {
  /** The tree of a space, made when it has none. @throws SpaceFullError when there is no room for its root. */
  static open(space: Space, now: bigint): Tree {
    const have = space.root(ROOT.tree);
    if (have !== 0) {
      assert(T.version.get(space, have) === TREE_VERSION, 'the checkpoint has a file tree of this version');
      return new Tree(space, have);
    }
    const address = space.heap.alloc(TreeRecord.bytes);
    T.version.set(space, address, TREE_VERSION);
    T.nextNumber.set(space, address, firstNumber(space.id));
    const tree = new Tree(space, address);
    const root = tree.createDirectoryNode(now);
    if (root < 0) throw new SpaceFullError(NodeRecord.bytes);
    N.parent.set(space, root, root);
    T.root.set(space, address, root);
    space.setRoot(ROOT.tree, address);
    return tree;
  }

  /** The node a name leads to, or -NOENT. `.` and `..` are the path resolver's. */
  lookup(directory: number, name: Uint8Array): number {
    const entry = findEntry(this.space, this.index(directory), name);
    return entry === 0 ? -ERRNO.NOENT : entryNode(this.space, entry);
  }

  /** The directory above; of the root the root. -NOENT of a directory that was removed. */
  parent(directory: number): number {
    const parent = N.parent.get(this.space, directory);
    return parent === 0 ? -ERRNO.NOENT : parent;
  }

  /** A new empty file. -EXIST, -NAMETOOLONG, -INVAL, -NOENT (in a removed directory), -NOSPC; so the next two. */
  createFile(directory: number, name: Uint8Array, now: bigint): number {
    return this.#create(directory, name, now, () => {
      const segment = this.space.segments.create();
      return this.createNode(NODE_TYPE.file, segment, now, () => this.space.segments.destroy(segment));
    });
  }

  createDirectory(directory: number, name: Uint8Array, now: bigint): number {
    const node = this.#create(directory, name, now, () => this.createDirectoryNode(now));
    if (node < 0) return node;
    N.parent.set(this.space, node, directory);
    N.links.set(this.space, directory, N.links.get(this.space, directory) + 1);
    return node;
  }

  /** A symbolic link; the target is not looked at here. */
  createLink(directory: number, name: Uint8Array, target: Uint8Array, now: bigint): number {
    if (target.length > PATH_MAX_BYTES) return -ERRNO.NAMETOOLONG;
    return this.#create(directory, name, now, () => {
      const block = this.space.heap.alloc(TargetRecord.bytes + target.length);
      TargetRecord.fields.bytes.set(this.space, block, target.length);
      this.space.writeBytes(block + TargetRecord.bytes, target);
      return this.createNode(NODE_TYPE.link, block, now, () => this.space.heap.free(block));
    });
  }

  /** The target of a symbolic link, copied; null where the node is something else. */
  readLink(node: number): Uint8Array | null {
    if (this.type(node) !== NODE_TYPE.link) return null;
    return this.space.readBytes(N.data.get(this.space, node) + TargetRecord.bytes, this.size(node));
  }

  /** One more name for a file or a symbolic link. -PERM for a directory. */
  link(node: number, directory: number, name: Uint8Array, now: bigint): number {
    if (this.isDirectory(node)) return -ERRNO.PERM;
    const links = N.links.get(this.space, node);
    if (links >= LINKS_MAX) return -ERRNO.MLINK;
    if (links === 0) return -ERRNO.NOENT; // it lost its last name and is going
    const wrong = this.#checkFresh(directory, name);
    if (wrong < 0) return wrong;
    if (!addEntry(this.space, this.index(directory), name, node)) return -ERRNO.NOSPC;
    N.links.set(this.space, node, links + 1);
    N.changed.set(this.space, node, now);
    this.touch(directory, now);
    return 0;
  }

  /** Takes a name away from a file or symbolic link. -ISDIR for a directory. */
  unlink(directory: number, name: Uint8Array, now: bigint): number {
    const index = this.index(directory);
    const entry = findEntry(this.space, index, name);
    if (entry === 0) return -ERRNO.NOENT;
    const node = entryNode(this.space, entry);
    if (this.isDirectory(node)) return -ERRNO.ISDIR;
    removeEntry(this.space, index, entry);
    this.touch(directory, now);
    this.#loseName(node, now);
    return 0;
  }

  /** Removes an empty directory. -NOTDIR, -NOTEMPTY. */
  removeDirectory(directory: number, name: Uint8Array, now: bigint): number {
    const index = this.index(directory);
    const entry = findEntry(this.space, index, name);
    if (entry === 0) return -ERRNO.NOENT;
    const node = entryNode(this.space, entry);
    if (!this.isDirectory(node)) return -ERRNO.NOTDIR;
    if (countEntries(this.space, this.index(node)) > 0) return -ERRNO.NOTEMPTY;
    removeEntry(this.space, index, entry);
    this.touch(directory, now);
    this.#loseDirectory(directory, node, now);
    return 0;
  }

  /**
   * Moves a name, replacing what the new name led to as POSIX has it: anything but a directory by anything but a
   * directory, an empty directory by a directory. -INVAL for a directory moved below itself. Where both names lead to
   * one node, nothing happens.
   */
  rename(from: number, fromName: Uint8Array, to: number, toName: Uint8Array, now: bigint): number {
    const { space } = this;
    const entry = findEntry(space, this.index(from), fromName);
    if (entry === 0) return -ERRNO.NOENT;
    const node = entryNode(space, entry);
    const isDirectory = this.isDirectory(node);
    if (isDirectory && this.#isBelow(to, node)) return -ERRNO.INVAL;
    const wrong = this.#checkName(to, toName);
    if (wrong < 0) return wrong;
    const taken = findEntry(space, this.index(to), toName);
    const replaced = taken === 0 ? 0 : entryNode(space, taken);
    if (replaced === node) return 0;
    if (taken === 0) {
      if (!addEntry(space, this.index(to), toName, node)) return -ERRNO.NOSPC;
    } else {
      const refusal = this.#mayReplace(isDirectory, replaced);
      if (refusal < 0) return refusal;
      setEntryNode(space, taken, node);
    }
    removeEntry(space, this.index(from), entry);
    if (isDirectory && from !== to) {
      N.links.set(space, from, N.links.get(space, from) - 1);
      N.links.set(space, to, N.links.get(space, to) + 1);
      N.parent.set(space, node, to);
    }
    N.changed.set(space, node, now);
    this.touch(from, now);
    this.touch(to, now);
    if (replaced !== 0) {
      if (isDirectory) this.#loseDirectory(to, replaced, now);
      else this.#loseName(replaced, now);
    }
    return 0;
  }

  /** What comes after `cookie` in a directory (0: from the start), `.` and `..` first; null at the end. */
  next(directory: number, cookie: number): ListedEntry | null {
    const { space } = this;
    if (cookie === 0)
      return { cookie: 1, number: this.number(directory), type: NODE_TYPE.directory, name: DOT };
    if (cookie === 1) {
      const parent = N.parent.get(space, directory) || directory;
      return { cookie: 2, number: this.number(parent), type: NODE_TYPE.directory, name: DOT_DOT };
    }
    const entry = entryAfter(space, this.index(directory), cookie);
    if (entry === 0) return null;
    const node = entryNode(space, entry);
    return {
      cookie: entrySerial(space, entry),
      number: this.number(node),
      type: this.type(node),
      name: entryName(space, entry),
    };
  }

  /** Makes the next entry of a directory have this cookie, if that does not go back: for images (tree-whole.ts). */
  setNextCookie(directory: number, cookie: number): void {
    setNextSerial(this.space, this.index(directory), cookie);
  }

  /** Whether a name may be put into a directory at all: 0 or an errno. */
  #checkName(directory: number, name: Uint8Array): number {
    if (N.parent.get(this.space, directory) === 0) return -ERRNO.NOENT;
    if (name.length > NAME_MAX_BYTES) return -ERRNO.NAMETOOLONG;
    if (name.length === 0 || name.includes(0x2f) || name.includes(0)) return -ERRNO.INVAL;
    if (name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)))
      return -ERRNO.INVAL;
    return 0;
  }

  #checkFresh(directory: number, name: Uint8Array): number {
    const wrong = this.#checkName(directory, name);
    if (wrong < 0) return wrong;
    return findEntry(this.space, this.index(directory), name) === 0 ? 0 : -ERRNO.EXIST;
  }

  #create(directory: number, name: Uint8Array, now: bigint, make: () => number): number {
    const wrong = this.#checkFresh(directory, name);
    if (wrong < 0) return wrong;
    let node: number;
    try {
      node = make();
    } catch (error) {
      return noSpace(error);
    }
    if (node < 0) return node;
    if (!addEntry(this.space, this.index(directory), name, node)) {
      this.destroy(node);
      return -ERRNO.NOSPC;
    }
    this.touch(directory, now);
    return node;
  }

  #mayReplace(byDirectory: boolean, replaced: number): number {
    if (!byDirectory) return this.isDirectory(replaced) ? -ERRNO.ISDIR : 0;
    if (!this.isDirectory(replaced)) return -ERRNO.NOTDIR;
    return countEntries(this.space, this.index(replaced)) > 0 ? -ERRNO.NOTEMPTY : 0;
  }

  /** True where `directory` is `node` or lies somewhere in it. */
  #isBelow(directory: number, node: number): boolean {
    for (let at = directory; ; ) {
      if (at === node) return true;
      const parent = N.parent.get(this.space, at);
      if (parent === 0 || parent === at) return false;
      at = parent;
    }
  }

  #loseName(node: number, now: bigint): void {
    N.links.set(this.space, node, N.links.get(this.space, node) - 1);
    N.changed.set(this.space, node, now);
    this.dropIfUnused(node);
  }

  /** An empty directory has lost its name in `parent`. */
  #loseDirectory(parent: number, node: number, now: bigint): void {
    N.links.set(this.space, parent, N.links.get(this.space, parent) - 1);
    N.links.set(this.space, node, 0);
    N.parent.set(this.space, node, 0);
    N.changed.set(this.space, node, now);
    this.dropIfUnused(node);
  }
}
