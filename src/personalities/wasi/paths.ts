/**
 * Calls that take a path: each from a directory descriptor, into the space's own tree or into a granted folder of the
 * host. The two are told apart here and nowhere below: the tree's functions (kernel/tree-path.ts) and HostDirectory
 * (kernel/ports.ts) answer alike. A path that would leave the directory it is given from is PERM in both.
 */
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import type { HostDirectory } from '../../kernel/ports.ts';
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
} from '../../kernel/tree-path.ts';
import {
  FDFLAGS_ALL,
  LOOKUP_SYMLINK_FOLLOW,
  OFLAGS,
  OFLAGS_ALL,
  RIGHT,
  RIGHTS_ALL,
  RIGHTS_DIRECTORY,
  RIGHTS_FILE,
} from './abi.ts';
import { type Context, errnoOf } from './context.ts';
import { encodeHostStat, encodeNodeStat, timesOf } from './descriptors.ts';
import { ERRNO } from './errno.ts';
import { give, giveU32, readPath } from './guest.ts';
import { ServedDirectory, ServedFile } from './served.ts';
import { D, fill, freeNumber, isDirectory, isServed, KIND, type NewDescriptor } from './state.ts';

type PathCall = (c: Context, k: Caller, ...args: never[]) => number;

export function pathCalls(context: Context): Record<string, SystemCall> {
  const calls: Readonly<Record<string, PathCall>> = {
    path_create_directory: change(RIGHT.PATH_CREATE_DIRECTORY, makeDirectoryAt, 'makeDirectory'),
    path_remove_directory: change(RIGHT.PATH_REMOVE_DIRECTORY, removeDirectoryAt, 'removeDirectory'),
    path_unlink_file: change(RIGHT.PATH_UNLINK_FILE, unlinkAt, 'unlink'),
    path_filestat_get: filestatGet,
    path_filestat_set_times: setTimes,
    path_link: link,
    path_open: open,
    path_readlink: readlink,
    path_rename: rename,
    path_symlink: symlink,
  };
  return Object.fromEntries(
    Object.entries(calls).map(([name, call]) => [
      name,
      (k: Caller, ...args: never[]) => call(context, k, ...args),
    ]),
  );
}

/** A directory descriptor a path starts from, and the path. Exactly one of `node` and `host` is there. */
interface Place {
  at: number;
  node: number;
  host: HostDirectory | undefined;
  path: Uint8Array;
}

/** @param writes refuse a read-only grant */
function place(
  c: Context,
  k: Caller,
  fd: number,
  rights: number,
  path: number,
  length: number,
  writes: boolean,
): Place | number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const kind = D.kind.get(c.space, at);
  if (!isDirectory(kind)) return ERRNO.NOTDIR;
  if (c.lacks(at, rights)) return ERRNO.NOTCAPABLE;
  const bytes = readPath(k, path, length);
  if (typeof bytes === 'number') return bytes;
  if (bytes.length === 0) return ERRNO.NOENT;
  if (writes && D.readOnly.get(c.space, at) !== 0) return ERRNO.ROFS;
  if (kind === KIND.directory) return { at, node: D.object.get(c.space, at), host: undefined, path: bytes };
  const host = c.hostDirectory(at);
  if (host === undefined) return ERRNO.STALE;
  if (bytes.includes(0)) return ERRNO.INVAL;
  return { at, node: 0, host, path: bytes };
}

type TreeChange = (tree: Context['tree'], base: number, path: Uint8Array, now: bigint) => number;

/** The three calls that change one name and need nothing but a path. */
function change(
  rights: number,
  inTree: TreeChange,
  onHost: 'makeDirectory' | 'removeDirectory' | 'unlink',
): PathCall {
  return (c: Context, k: Caller, fd: number, path: number, length: number): number => {
    const p = place(c, k, fd, rights, path, length, true);
    if (typeof p === 'number') return p;
    const { host } = p;
    if (host === undefined) return errnoOf(inTree(c.tree, p.node, p.path, c.realtime()));
    return errnoOf(c.effect<number>(k, (op) => host[onHost](op, p.path)));
  };
}

const follows = (flags: number): boolean => (flags & LOOKUP_SYMLINK_FOLLOW) !== 0;

function filestatGet(
  c: Context,
  k: Caller,
  fd: number,
  flags: number,
  path: number,
  length: number,
  out: number,
): number {
  const p = place(c, k, fd, RIGHT.PATH_FILESTAT_GET, path, length, false);
  if (typeof p === 'number') return p;
  const { host } = p;
  if (host === undefined) {
    const node = nodeAt(c.tree, p.node, p.path, follows(flags));
    return node < 0 ? -node : give(k, out, encodeNodeStat(c, c.tree.stat(node)));
  }
  const stat = c.ask(k, () => host.stat(p.path, follows(flags)));
  return typeof stat === 'number' ? errnoOf(stat) : give(k, out, encodeHostStat(c, stat));
}

function setTimes(
  c: Context,
  k: Caller,
  fd: number,
  flags: number,
  path: number,
  length: number,
  atim: bigint,
  mtim: bigint,
  fstflags: number,
): number {
  const p = place(c, k, fd, RIGHT.PATH_FILESTAT_SET_TIMES, path, length, true);
  if (typeof p === 'number') return p;
  const times = timesOf(c, atim, mtim, fstflags);
  if (typeof times === 'number') return times;
  const { host } = p;
  if (host === undefined) {
    const node = nodeAt(c.tree, p.node, p.path, follows(flags));
    if (node < 0) return -node;
    c.tree.setTimes(node, times.atim, times.mtim, c.realtime());
    return ERRNO.SUCCESS;
  }
  const set = { accessedNs: times.atim, modifiedNs: times.mtim };
  return errnoOf(c.effect<number>(k, (op) => host.setTimes(op, p.path, follows(flags), set)));
}

function link(
  c: Context,
  k: Caller,
  fd: number,
  flags: number,
  path: number,
  length: number,
  toFd: number,
  toPath: number,
  toLength: number,
): number {
  const from = place(c, k, fd, RIGHT.PATH_LINK_SOURCE, path, length, true);
  if (typeof from === 'number') return from;
  const to = place(c, k, toFd, RIGHT.PATH_LINK_TARGET, toPath, toLength, true);
  if (typeof to === 'number') return to;
  const [source, target] = [from.host, to.host];
  if (source === undefined && target === undefined) {
    return errnoOf(linkAt(c.tree, from.node, from.path, follows(flags), to.node, to.path, c.realtime()));
  }
  if (source === undefined || target === undefined) return ERRNO.XDEV;
  return errnoOf(c.effect<number>(k, (op) => source.link(op, from.path, follows(flags), target, to.path)));
}

function rename(
  c: Context,
  k: Caller,
  fd: number,
  path: number,
  length: number,
  toFd: number,
  toPath: number,
  toLength: number,
): number {
  const from = place(c, k, fd, RIGHT.PATH_RENAME_SOURCE, path, length, true);
  if (typeof from === 'number') return from;
  const to = place(c, k, toFd, RIGHT.PATH_RENAME_TARGET, toPath, toLength, true);
  if (typeof to === 'number') return to;
  const [source, target] = [from.host, to.host];
  if (source === undefined && target === undefined) {
    return errnoOf(renameAt(c.tree, from.node, from.path, to.node, to.path, c.realtime()));
  }
  if (source === undefined || target === undefined) return ERRNO.XDEV;
  return errnoOf(c.effect<number>(k, (op) => source.rename(op, from.path, target, to.path)));
}

function symlink(
  c: Context,
  k: Caller,
  target: number,
  targetLength: number,
  fd: number,
  path: number,
  length: number,
): number {
  const p = place(c, k, fd, RIGHT.PATH_SYMLINK, path, length, true);
  if (typeof p === 'number') return p;
  const says = readPath(k, target, targetLength);
  if (typeof says === 'number') return says;
  if (says.length === 0) return ERRNO.NOENT;
  if (says.includes(0)) return ERRNO.INVAL;
  const { host } = p;
  if (host === undefined) return errnoOf(symlinkAt(c.tree, p.node, says, p.path, c.realtime()));
  return errnoOf(c.effect<number>(k, (op) => host.symlink(op, says, p.path)));
}

function readlink(
  c: Context,
  k: Caller,
  fd: number,
  path: number,
  length: number,
  buffer: number,
  bufferBytes: number,
  out: number,
): number {
  const p = place(c, k, fd, RIGHT.PATH_READLINK, path, length, false);
  if (typeof p === 'number') return p;
  if (k.range(buffer >>> 0, bufferBytes >>> 0, true) < 0) return ERRNO.FAULT;
  const { host } = p;
  const says =
    host === undefined ? readLinkAt(c.tree, p.node, p.path) : c.ask(k, () => host.readlink(p.path));
  if (typeof says === 'number') return errnoOf(says);
  const piece = says.subarray(0, bufferBytes >>> 0);
  const given = give(k, buffer, piece);
  return given === ERRNO.SUCCESS ? giveU32(k, out, piece.length) : given;
}

/** Rights that mean nothing at all are dropped, as programs ask for "everything" by setting all 64 bits. */
const known = (rights: bigint): number => Number(rights & BigInt(RIGHTS_ALL));

function open(
  c: Context,
  k: Caller,
  fd: number,
  lookup: number,
  path: number,
  length: number,
  oflags: number,
  base: bigint,
  passed: bigint,
  fdflags: number,
  out: number,
): number {
  const create = (oflags & OFLAGS.CREAT) !== 0;
  const truncate = (oflags & OFLAGS.TRUNC) !== 0;
  const needed =
    RIGHT.PATH_OPEN | (create ? RIGHT.PATH_CREATE_FILE : 0) | (truncate ? RIGHT.PATH_FILESTAT_SET_SIZE : 0);
  const p = place(c, k, fd, needed, path, length, false);
  if (typeof p === 'number') return p;
  const directory = (oflags & OFLAGS.DIRECTORY) !== 0;
  if ((oflags & ~OFLAGS_ALL) !== 0 || (fdflags & ~FDFLAGS_ALL) !== 0) return ERRNO.INVAL;
  if (directory && (create || truncate)) return ERRNO.INVAL;
  const [rights, inheriting] = [known(base), known(passed)];
  if (((rights | inheriting) & ~D.inheriting.get(c.space, p.at)) !== 0) return ERRNO.NOTCAPABLE;
  if (k.range(out >>> 0, 4, true) < 0) return ERRNO.FAULT;
  const number = freeNumber(c.space, k.personalityState);
  if (number < 0) return ERRNO.MFILE;
  // Making room may have moved the records: what is needed of the directory's is read anew.
  const from = c.find(k, fd);
  const readOnly = D.readOnly.get(c.space, from) !== 0;
  const options = {
    create,
    exclusive: (oflags & OFLAGS.EXCL) !== 0,
    truncate,
    directory,
    follow: follows(lookup),
    read: (rights & RIGHT.FD_READ) !== 0,
    write: (rights & RIGHT.FD_WRITE) !== 0,
  };
  const made =
    p.host === undefined
      ? openInTree(c, p, options, readOnly)
      : openOnHost(c, k, p.host, p.path, options, readOnly);
  if (typeof made === 'number') return made;
  const directoryMade = isDirectory(made.kind);
  fill(c.space, k.personalityState, number, {
    kind: made.kind,
    object: made.object,
    // What is opened in a folder of tree or host stands on the folder's capability.
    handle: isServed(made.kind) ? made.object : D.handle.get(c.space, from),
    rights: rights & (directoryMade ? RIGHTS_DIRECTORY : RIGHTS_FILE),
    inheriting: directoryMade ? inheriting : 0,
    flags: fdflags,
    readOnly,
  });
  return giveU32(k, out, number);
}

interface Options {
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
  directory: boolean;
  follow: boolean;
  read: boolean;
  write: boolean;
}
type Made = Pick<NewDescriptor, 'kind' | 'object'>;

/** In a read-only grant nothing is made, cut or opened for writing; what would only be opened may be. */
function openInTree(c: Context, p: Place, options: Options, readOnly: boolean): Made | number {
  const { tree } = c;
  if (readOnly && (options.write || options.truncate || options.create)) {
    const there = nodeAt(tree, p.node, p.path, options.follow);
    if (there < 0) return options.create && there === -ERRNO.NOENT ? ERRNO.ROFS : -there;
    if (options.create && options.exclusive) return ERRNO.EXIST;
    if (!tree.isDirectory(there) && (options.write || options.truncate)) return ERRNO.ROFS;
  }
  const node = openAt(tree, p.node, p.path, options, c.realtime());
  if (node < 0) return -node;
  tree.retain(node);
  return { kind: tree.isDirectory(node) ? KIND.directory : KIND.file, object: node };
}

function openOnHost(
  c: Context,
  k: Caller,
  host: HostDirectory,
  path: Uint8Array,
  options: Options,
  readOnly: boolean,
): Made | number {
  if (readOnly && (options.write || options.truncate)) return ERRNO.ROFS;
  const object = c.effect(k, (op) => host.open(op, path, options));
  if (typeof object === 'number') return errnoOf(object);
  const directory = object.kind === 'directory';
  if (object instanceof ServedDirectory || object instanceof ServedFile) {
    return { kind: directory ? KIND.servedDirectory : KIND.servedFile, object: object.id };
  }
  return { kind: directory ? KIND.hostDirectory : KIND.hostFile, object: object.id };
}
