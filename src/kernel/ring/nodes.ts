/**
 * Files and folders of the space's tree as objects: what a capability to a node can be asked (abi/ring.ts). Bytes move
 * straight between a file's segment and the client's memory; nothing ever waits.
 *
 * What is opened through a folder stands on a capability of its own, derived of the folder's: revoking that one ends it too.
 */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { ATTRIBUTES_BYTES, OPERATION, OPTION } from '../../abi/ring.ts';
import { PATH_MAX_BYTES, TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import type { Held } from '../capability/capabilities.ts';
import type { Core } from '../core.ts';
import { Tree } from '../tree.ts';
import {
  linkAt,
  makeDirectoryAt,
  nodeAt,
  openAt,
  readLinkAt,
  removeDirectoryAt,
  renameAt,
  symlinkAt,
  unlinkAt,
} from '../tree-path.ts';
import { NODE_TYPE } from '../tree-records.ts';
import { decodeChange, encodeListed, encodeStat, nodeStat } from './attributes.ts';
import { giveOpened } from './opened.ts';
import { AT_END, type Operation } from './operation.ts';
import { alwaysReady, type ObjectServer, type Target } from './server.ts';

/** Cookie behind `.` and `..`, which only a tree lists. */
const DOTS = 2;

export class Nodes implements ObjectServer {
  readonly waits = false;
  readonly #core: Core;
  #opened: Tree | null = null;

  constructor(core: Core) {
    this.#core = core;
    core.objects.onEnd(OBJECT.node, (object) => this.#tree.release(core.objects.a(object)));
  }

  get #tree(): Tree {
    this.#opened ??= Tree.open(this.#core.space, this.#core.realtime());
    return this.#opened;
  }

  /** The first capability to a node, which whoever grants it passes on. @throws SpaceFullError */
  capability(node: number, rights = RIGHTS_ALL): Held {
    const { objects, capabilities } = this.#core;
    const capability = capabilities.root(objects.create(OBJECT.node, node), rights);
    this.#tree.retain(node);
    return { capability, turn: capabilities.turn(capability) };
  }

  attempt(op: Operation, target: Target): number {
    const node = this.#core.objects.a(target.object);
    switch (op.code) {
      case OPERATION.read:
        return this.#read(op, node);
      case OPERATION.write:
        return this.#write(op, node);
      case OPERATION.list:
        return this.#list(op, node);
      case OPERATION.open:
        return this.#open(op, node, target);
      case OPERATION.describe:
        return this.#describe(op, node);
      case OPERATION.change:
        return this.#change(op, node);
      case OPERATION.map:
        return this.#map(op, node, target);
      case OPERATION.rename:
      case OPERATION.link:
        return this.#rename(op, node);
      case OPERATION.create:
      case OPERATION.remove:
      case OPERATION.readLink:
        return this.#names(op, node);
      default:
        return alwaysReady(op);
    }
  }

  #read(op: Operation, node: number): number {
    const tree = this.#tree;
    if (tree.isDirectory(node)) return -ERRNO.ISDIR;
    const start = op.offset;
    if (start < 0 || start > Number.MAX_SAFE_INTEGER - TRANSFER_MAX_BYTES) return -ERRNO.INVAL;
    let moved = 0;
    op.pieces(1, (address, length) => {
      const got = tree.read(node, start + moved, address, length);
      moved += got;
      return got === length;
    });
    return moved;
  }

  #write(op: Operation, node: number): number {
    const tree = this.#tree;
    if (tree.isDirectory(node)) return -ERRNO.ISDIR;
    const start = op.offset === AT_END ? tree.size(node) : op.offset;
    if (start < 0 || start > Number.MAX_SAFE_INTEGER - TRANSFER_MAX_BYTES) return -ERRNO.INVAL;
    const now = this.#core.realtime();
    let [moved, failed] = [0, 0];
    op.pieces(1, (address, length) => {
      const got = tree.write(node, start + moved, address, length, now);
      if (got < 0) failed = got;
      else moved += got;
      return got === length;
    });
    if (op.offset === AT_END) op.value = BigInt(start + moved);
    return moved === 0 ? failed : moved;
  }

  /**
   * A copy, the client's own: a file can be cut, which a segment that is mapped cannot, and what was once read stays read
   * where the file is revoked.
   */
  #map({ owner, rights }: Operation, node: number, target: Target): number {
    const tree = this.#tree;
    if (owner === null) return -ERRNO.GONE;
    if ((target.rights & RIGHT.read) === 0) return -ERRNO.NOTCAPABLE;
    if (tree.isDirectory(node)) return -ERRNO.ISDIR;
    if (tree.type(node) !== NODE_TYPE.file) return -ERRNO.INVAL;
    return this.#core.segments.createFrom(owner, tree.segment(node), rights === 0 ? RIGHTS_ALL : rights);
  }

  #list(op: Operation, node: number): number {
    const tree = this.#tree;
    if (!tree.isDirectory(node)) return -ERRNO.NOTDIR;
    if (op.offset < 0) return -ERRNO.INVAL;
    let used = 0;
    for (let cookie = Math.max(op.offset, DOTS); used < op.room; ) {
      const entry = tree.next(node, cookie);
      if (entry === null) break;
      cookie = entry.cookie;
      used += op.fill(encodeListed(cookie, BigInt(entry.number), entry.type, entry.name), used);
    }
    return used;
  }

  #open(op: Operation, node: number, target: Target): number {
    const { options } = op;
    const has = (bit: number): boolean => (options & bit) !== 0;
    const tree = this.#tree;
    const how = {
      create: has(OPTION.create),
      exclusive: has(OPTION.exclusive),
      truncate: has(OPTION.truncate),
      directory: has(OPTION.directory),
      follow: has(OPTION.follow),
      write: has(OPTION.write),
    };
    return giveOpened(this.#core, op, target, () => {
      const path = op.bytes(1);
      const found = path.length === 0 ? node : openAt(tree, node, path, how, this.#core.realtime());
      if (found < 0) return found;
      tree.retain(found);
      const undo = (): void => tree.release(found);
      return { kind: OBJECT.node, a: found, b: 0, type: tree.type(found), undo };
    });
  }

  /** The node that the path of an operation leads to: an empty one to itself. */
  #at(op: Operation, node: number): number {
    const path = op.bytes(1);
    return path.length === 0 ? node : nodeAt(this.#tree, node, path, (op.options & OPTION.follow) !== 0);
  }

  #describe(op: Operation, node: number): number {
    const there = this.#at(op, node);
    if (there < 0) return there;
    if (op.room < ATTRIBUTES_BYTES) return -ERRNO.INVAL;
    return op.fill(encodeStat(nodeStat(this.#tree.stat(there))));
  }

  #change(op: Operation, node: number): number {
    const tree = this.#tree;
    const change = decodeChange(op.bytes(2), op.options);
    if (change === null) return -ERRNO.INVAL;
    const there = this.#at(op, node);
    if (there < 0) return there;
    const now = this.#core.realtime();
    if (change.size !== null) {
      if (tree.isDirectory(there)) return -ERRNO.ISDIR;
      const result = tree.setSize(there, change.size, now);
      if (result < 0) return result;
    }
    if (change.accessedNs !== null || change.modifiedNs !== null) {
      tree.setTimes(there, change.accessedNs, change.modifiedNs, now);
    }
    return 0;
  }

  #rename(op: Operation, node: number): number {
    const { clists, objects } = this.#core;
    let to = node;
    if (op.other !== 0) {
      if (op.owner === null) return -ERRNO.GONE;
      const other = clists.find(op.owner, op.other, RIGHT.write);
      if (typeof other === 'number') return other;
      if (other.kind !== OBJECT.node) return -ERRNO.XDEV;
      to = objects.a(other.object);
    }
    const [path, toPath] = [op.bytes(1), op.bytes(2)];
    const tree = this.#tree;
    if (!tree.isDirectory(node) || !tree.isDirectory(to)) return -ERRNO.NOTDIR;
    const now = this.#core.realtime();
    if (op.code === OPERATION.rename) return renameAt(tree, node, path, to, toPath, now);
    return linkAt(tree, node, path, (op.options & OPTION.follow) !== 0, to, toPath, now);
  }

  #names(op: Operation, node: number): number {
    const tree = this.#tree;
    if (!tree.isDirectory(node)) return -ERRNO.NOTDIR;
    const path = op.bytes(1);
    const now = this.#core.realtime();
    if (op.code === OPERATION.readLink) {
      const says = readLinkAt(tree, node, path);
      return typeof says === 'number' ? says : op.fill(says);
    }
    const directory = (op.options & OPTION.directory) !== 0;
    if (op.code === OPERATION.remove) {
      return directory ? removeDirectoryAt(tree, node, path, now) : unlinkAt(tree, node, path, now);
    }
    if (directory) return makeDirectoryAt(tree, node, path, now);
    if ((op.options & OPTION.symbolic) === 0) return -ERRNO.INVAL;
    if (op.secondLength > PATH_MAX_BYTES) return -ERRNO.NAMETOOLONG;
    return symlinkAt(tree, node, op.bytes(2), path, now);
  }
}
