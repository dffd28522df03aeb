/**
 * Paths in the file tree: from a directory and bytes to a node, and the operations a guest asks for by path. A path
 * never leads out of the directory it is given from: an absolute path, one `..` too many, or a symbolic link that
 * would leave, is -PERM. Links are followed here, at most LINK_DEPTH_MAX for one path.
 *
 * The functions mirror those of HostDirectory (ports.ts) one for one, with errnos alike, so that a personality can
 * treat a folder of the space and one of the host the same way. Where a rule is not stated, POSIX and Linux are it.
 */
import { ERRNO } from '../abi/errno.ts';
import { LINK_DEPTH_MAX, NAME_MAX_BYTES, PATH_MAX_BYTES } from '../base/limits.ts';
import type { Tree } from './tree.ts';
import { NODE_TYPE } from './tree-records.ts';

/** What happens to a symbolic link at the end of a path: stay, follow only where a slash stands behind it, follow. */
export const FOLLOW = { never: 0, slash: 1, always: 2 } as const;

/** The end of a path. */
export interface Resolved {
  /** Directory of the last name. */
  directory: number;
  /** The last name; empty where the path ends in `.`, `..` or is the directory itself. */
  name: Uint8Array;
  /** The node there, 0 where there is none. */
  node: number;
  /** A slash stood at the end: only a directory will do. */
  slash: boolean;
}

const SLASH = 0x2f;
const DOT = 0x2e;
const EMPTY = new Uint8Array(0);

/** 0 for a path that can be looked up at all, else an errno. Encodings are the personality's to check. */
function checkPath(path: Uint8Array): number {
  if (path.length === 0) return -ERRNO.NOENT;
  if (path.length > PATH_MAX_BYTES) return -ERRNO.NAMETOOLONG;
  if (path.includes(0)) return -ERRNO.INVAL;
  return path[0] === SLASH ? -ERRNO.PERM : 0;
}

/** Puts the components of a path on a stack of those still to go, first on top. */
function pushComponents(pending: Uint8Array[], path: Uint8Array): void {
  let end = path.length;
  for (let i = path.length - 1; i >= -1; i--) {
    if (i >= 0 && path[i] !== SLASH) continue;
    if (end > i + 1) pending.push(path.subarray(i + 1, end));
    end = i;
  }
}

const isDot = (name: Uint8Array): boolean => name.length === 1 && name[0] === DOT;
const isDotDot = (name: Uint8Array): boolean => name.length === 2 && name[0] === DOT && name[1] === DOT;

/** Follows a path from `base`. @param follow one of FOLLOW. */
export function resolve(tree: Tree, base: number, path: Uint8Array, follow: number): Resolved | number {
  const wrong = checkPath(path);
  if (wrong < 0) return wrong;
  const pending: Uint8Array[] = [];
  pushComponents(pending, path);
  let slash = path[path.length - 1] === SLASH;
  let links = 0;
  let at = base;
  for (;;) {
    const name = pending.pop();
    if (name === undefined) return { directory: at, name: EMPTY, node: at, slash: true };
    if (isDot(name)) continue;
    if (isDotDot(name)) {
      if (at === base) return -ERRNO.PERM;
      at = tree.parent(at);
      if (at < 0) return at;
      continue;
    }
    if (name.length > NAME_MAX_BYTES) return -ERRNO.NAMETOOLONG;
    const last = pending.length === 0;
    const node = tree.lookup(at, name);
    if (node < 0) return last ? { directory: at, name, node: 0, slash } : -ERRNO.NOENT;
    const type = tree.type(node);
    if (
      type === NODE_TYPE.link &&
      (!last || follow === FOLLOW.always || (slash && follow === FOLLOW.slash))
    ) {
      if (++links > LINK_DEPTH_MAX) return -ERRNO.LOOP;
      const target = tree.readLink(node) as Uint8Array;
      const bad = checkPath(target);
      if (bad < 0) return bad;
      if (last && target[target.length - 1] === SLASH) slash = true;
      pushComponents(pending, target);
      continue;
    }
    if (last) return { directory: at, name, node, slash };
    if (type !== NODE_TYPE.directory) return -ERRNO.NOTDIR;
    at = node;
  }
}

/** The node a path leads to, or an errno. */
function existing(tree: Tree, base: number, path: Uint8Array, follow: number): number {
  const end = resolve(tree, base, path, follow);
  if (typeof end === 'number') return end;
  if (end.node === 0) return -ERRNO.NOENT;
  return end.slash && !tree.isDirectory(end.node) ? -ERRNO.NOTDIR : end.node;
}

/** A path whose last name is to be made or taken away. `dots` is the errno where it ends in `.`, `..` or nothing. */
function lastName(tree: Tree, base: number, path: Uint8Array, dots: number): Resolved | number {
  const end = resolve(tree, base, path, FOLLOW.never);
  return typeof end !== 'number' && end.name.length === 0 ? dots : end;
}

export interface TreeOpenOptions {
  readonly create: boolean;
  readonly exclusive: boolean;
  readonly truncate: boolean;
  readonly directory: boolean;
  readonly follow: boolean;
  readonly write: boolean;
}

/** Opens, and makes where asked. Returns the node, not retained. -LOOP for a link at the end that is not followed. */
export function openAt(
  tree: Tree,
  base: number,
  path: Uint8Array,
  options: TreeOpenOptions,
  now: bigint,
): number {
  const follow = options.create && options.exclusive ? FOLLOW.never : FOLLOW.slash;
  const end = resolve(tree, base, path, options.follow && follow !== FOLLOW.never ? FOLLOW.always : follow);
  if (typeof end === 'number') return end;
  if (end.node === 0) {
    if (!options.create) return -ERRNO.NOENT;
    if (end.slash) return -ERRNO.ISDIR;
    return tree.createFile(end.directory, end.name, now);
  }
  if (options.create && options.exclusive) return -ERRNO.EXIST;
  const type = tree.type(end.node);
  if (type === NODE_TYPE.directory) {
    return options.write || options.truncate || (options.create && !options.directory)
      ? -ERRNO.ISDIR
      : end.node;
  }
  if (type === NODE_TYPE.link) return -ERRNO.LOOP;
  if (options.directory || end.slash) return -ERRNO.NOTDIR;
  if (options.truncate) {
    const result = tree.setSize(end.node, 0, now);
    if (result < 0) return result;
  }
  return end.node;
}

/** The node whose attributes a path asks for or sets. */
export function nodeAt(tree: Tree, base: number, path: Uint8Array, follow: boolean): number {
  return existing(tree, base, path, follow ? FOLLOW.always : FOLLOW.slash);
}

export function makeDirectoryAt(tree: Tree, base: number, path: Uint8Array, now: bigint): number {
  const end = lastName(tree, base, path, -ERRNO.EXIST);
  if (typeof end === 'number') return end;
  if (end.node !== 0) return -ERRNO.EXIST;
  const made = tree.createDirectory(end.directory, end.name, now);
  return Math.min(made, 0);
}

export function removeDirectoryAt(tree: Tree, base: number, path: Uint8Array, now: bigint): number {
  const end = lastName(tree, base, path, -ERRNO.INVAL);
  if (typeof end === 'number') return end;
  return tree.removeDirectory(end.directory, end.name, now);
}

export function unlinkAt(tree: Tree, base: number, path: Uint8Array, now: bigint): number {
  const end = lastName(tree, base, path, -ERRNO.ISDIR);
  if (typeof end === 'number') return end;
  if (end.slash && end.node !== 0 && !tree.isDirectory(end.node)) return -ERRNO.NOTDIR;
  return tree.unlink(end.directory, end.name, now);
}

export function renameAt(
  tree: Tree,
  base: number,
  path: Uint8Array,
  toBase: number,
  toPath: Uint8Array,
  now: bigint,
): number {
  const from = lastName(tree, base, path, -ERRNO.BUSY);
  if (typeof from === 'number') return from;
  const to = lastName(tree, toBase, toPath, -ERRNO.BUSY);
  if (typeof to === 'number') return to;
  if (from.node === 0) return -ERRNO.NOENT;
  if ((from.slash || to.slash) && !tree.isDirectory(from.node)) return -ERRNO.NOTDIR;
  return tree.rename(from.directory, from.name, to.directory, to.name, now);
}

/** Another name for a file. The first path's last link is followed only when asked. */
export function linkAt(
  tree: Tree,
  base: number,
  path: Uint8Array,
  follow: boolean,
  toBase: number,
  toPath: Uint8Array,
  now: bigint,
): number {
  const node = existing(tree, base, path, follow ? FOLLOW.always : FOLLOW.slash);
  if (node < 0) return node;
  const to = lastName(tree, toBase, toPath, -ERRNO.EXIST);
  if (typeof to === 'number') return to;
  if (to.node !== 0) return -ERRNO.EXIST;
  if (to.slash) return -ERRNO.NOENT;
  return tree.link(node, to.directory, to.name, now);
}

/** A symbolic link that says `target`, as given. -PERM for an absolute target: nothing could ever follow it. */
export function symlinkAt(
  tree: Tree,
  base: number,
  target: Uint8Array,
  path: Uint8Array,
  now: bigint,
): number {
  const wrong = checkPath(target);
  if (wrong < 0) return wrong;
  const end = lastName(tree, base, path, -ERRNO.EXIST);
  if (typeof end === 'number') return end;
  if (end.node !== 0) return -ERRNO.EXIST;
  if (end.slash) return -ERRNO.NOENT;
  const made = tree.createLink(end.directory, end.name, target, now);
  return Math.min(made, 0);
}

/** What a symbolic link says; -INVAL where the path leads to something else. */
export function readLinkAt(tree: Tree, base: number, path: Uint8Array): Uint8Array | number {
  const node = existing(tree, base, path, FOLLOW.slash);
  if (node < 0) return node;
  return tree.readLink(node) ?? -ERRNO.INVAL;
}
