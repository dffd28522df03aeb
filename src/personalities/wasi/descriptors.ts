/**
 * Descriptors themselves: their state, flags, rights, attributes, positions, closing and renumbering. What is read and
 * written through them is in io.ts, directories' contents in listing.ts.
 *
 * The order of checks is the same everywhere: the number (BADF), what it stands for (ISDIR, NOTDIR, SPIPE, NOTSOCK), the
 * rights (NOTCAPABLE), the arguments (INVAL), a read-only grant (ROFS), then the deed.
 */
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import type { HostStat } from '../../kernel/ports.ts';
import { TREE_DEVICE } from '../../kernel/ring/attributes.ts';
import { FILE_MAX_BYTES, type NodeStat } from '../../kernel/tree.ts';
import {
  ADVICE_LAST,
  encodeFdstat,
  FDFLAGS_ALL,
  FILETYPE,
  FSTFLAGS,
  FSTFLAGS_ALL,
  RIGHT,
  RIGHTS_ALL,
  WHENCE_CUR,
  WHENCE_END,
  WHENCE_SET,
} from './abi.ts';
import { type Context, errnoOf } from './context.ts';
import { ERRNO } from './errno.ts';
import { give, giveU64, offsetOf } from './guest.ts';
import { D, DescriptorRecord, inTree, isDirectory, isFile, isGranted, isServed, KIND } from './state.ts';

const SIGNED_MAX = 2n ** 63n - 1n;

export function descriptorCalls(context: Context): Record<string, SystemCall> {
  const c = context;
  return {
    fd_advise: (k: Caller, fd: number, offset: bigint, length: bigint, advice: number) =>
      fdAdvise(c, k, fd, offset, length, advice),
    fd_allocate: (k: Caller, fd: number, offset: bigint, length: bigint) =>
      fdAllocate(c, k, fd, offset, length),
    fd_close: (k: Caller, fd: number) => fdClose(c, k, fd),
    fd_datasync: (k: Caller, fd: number) => fdSync(c, k, fd, RIGHT.FD_DATASYNC),
    fd_sync: (k: Caller, fd: number) => fdSync(c, k, fd, RIGHT.FD_SYNC),
    fd_fdstat_get: (k: Caller, fd: number, out: number) => fdstatGet(c, k, fd, out),
    fd_fdstat_set_flags: (k: Caller, fd: number, flags: number) => setFlags(c, k, fd, flags),
    fd_fdstat_set_rights: (k: Caller, fd: number, base: bigint, inheriting: bigint) =>
      setRights(c, k, fd, base, inheriting),
    fd_filestat_get: (k: Caller, fd: number, out: number) => filestatGet(c, k, fd, out),
    fd_filestat_set_size: (k: Caller, fd: number, size: bigint) => setSize(c, k, fd, size),
    fd_filestat_set_times: (k: Caller, fd: number, atim: bigint, mtim: bigint, flags: number) =>
      setTimes(c, k, fd, atim, mtim, flags),
    fd_prestat_get: (k: Caller, fd: number, out: number) => prestatGet(c, k, fd, out),
    fd_prestat_dir_name: (k: Caller, fd: number, out: number, length: number) =>
      prestatName(c, k, fd, out, length),
    fd_renumber: (k: Caller, from: number, to: number) => renumber(c, k, from, to),
    fd_seek: (k: Caller, fd: number, offset: bigint, whence: number, out: number) =>
      seek(c, k, fd, offset, whence, out),
    fd_tell: (k: Caller, fd: number, out: number) => tell(c, k, fd, out),
  };
}

/** Gives back what a descriptor stands for and frees its number. */
export function closeDescriptor(context: Context, state: number, at: number): void {
  const { space, bindings } = context;
  const object = D.object.get(space, at);
  const kind = D.kind.get(space, at);
  if (inTree(kind)) context.tree.release(object);
  else if (isServed(kind)) {
    if (D.handle.get(space, at) === 0 && object !== 0) bindings.core.capabilities.release(object);
  } else if (kind !== KIND.stream && !(bindings.bound && isGranted(space, at))) {
    context.ports.object(object)?.close();
  }
  bindings.close(state, at);
  for (const block of [D.name.get(space, at), D.listing.get(space, at)])
    if (block !== 0) space.heap.free(block);
  space.zero(at, DescriptorRecord.bytes);
}

/** 0 where the descriptor is a file, else the errno that says what it is. */
function fileOnly(context: Context, at: number): number {
  const kind = D.kind.get(context.space, at);
  if (isFile(kind)) return 0;
  return isDirectory(kind) ? ERRNO.ISDIR : ERRNO.SPIPE;
}

function fdAdvise(c: Context, k: Caller, fd: number, offset: bigint, length: bigint, advice: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const other = fileOnly(c, at);
  if (other !== 0) return other === ERRNO.ISDIR ? ERRNO.BADF : other;
  if (c.lacks(at, RIGHT.FD_ADVISE)) return ERRNO.NOTCAPABLE;
  if (advice >>> 0 > ADVICE_LAST) return ERRNO.INVAL;
  const [from, count] = [BigInt.asUintN(64, offset), BigInt.asUintN(64, length)];
  return from > SIGNED_MAX || count > SIGNED_MAX ? ERRNO.INVAL : ERRNO.SUCCESS;
}

function fdAllocate(c: Context, k: Caller, fd: number, offset: bigint, length: bigint): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const other = fileOnly(c, at);
  if (other !== 0) return other;
  if (c.lacks(at, RIGHT.FD_ALLOCATE)) return ERRNO.NOTCAPABLE;
  const [from, count] = [offsetOf(offset), offsetOf(length)];
  if (count === 0) return ERRNO.INVAL;
  if (from < 0 || count < 0 || from + count > FILE_MAX_BYTES) return ERRNO.FBIG;
  if (D.readOnly.get(c.space, at) !== 0) return ERRNO.ROFS;
  if (D.kind.get(c.space, at) === KIND.file) {
    return errnoOf(c.tree.allocate(D.object.get(c.space, at), from, count, c.realtime()));
  }
  if (D.kind.get(c.space, at) === KIND.servedFile) return ERRNO.NOTSUP;
  const file = c.hostFile(at);
  if (file === undefined) return ERRNO.STALE;
  const size = file.size();
  if (size < 0) return -size;
  if (k.getScratch(0) === 0n && size >= from + count) return ERRNO.SUCCESS;
  return errnoOf(c.effect<number>(k, (op) => file.setSize(op, from + count)));
}

function fdClose(c: Context, k: Caller, fd: number): number {
  const at = c.findAny(k, fd);
  if (at === 0) return ERRNO.BADF;
  closeDescriptor(c, k.personalityState, at);
  return ERRNO.SUCCESS;
}

/**
 * The space's own files are durable with the checkpoint that anything seen outside waits for, so there is nothing to
 * wait for here. A host file is synced on the host.
 */
function fdSync(c: Context, k: Caller, fd: number, right: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const kind = D.kind.get(c.space, at);
  if (!isFile(kind) && !isDirectory(kind)) return ERRNO.INVAL;
  if (c.lacks(at, right)) return ERRNO.NOTCAPABLE;
  if (inTree(kind)) return ERRNO.SUCCESS;
  const target = c.hostFile(at) ?? c.hostDirectory(at);
  return target === undefined ? ERRNO.STALE : errnoOf(c.effect<number>(k, (op) => target.sync(op)));
}

/** `filetype` of what the descriptor stands for. */
export function filetypeOf(c: Context, k: Caller, at: number): number {
  const kind = D.kind.get(c.space, at);
  if (isFile(kind)) return FILETYPE.REGULAR_FILE;
  if (isDirectory(kind)) return FILETYPE.DIRECTORY;
  if (kind === KIND.socket || kind === KIND.listener) return FILETYPE.SOCKET_STREAM;
  return c.stream(k, at).terminal ? FILETYPE.CHARACTER_DEVICE : FILETYPE.UNKNOWN;
}

function fdstatGet(c: Context, k: Caller, fd: number, out: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const { space } = c;
  const stat = encodeFdstat(
    filetypeOf(c, k, at),
    D.flags.get(space, at),
    D.rights.get(space, at),
    D.inheriting.get(space, at),
  );
  return give(k, out, stat);
}

function setFlags(c: Context, k: Caller, fd: number, flags: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  if (c.lacks(at, RIGHT.FD_FDSTAT_SET_FLAGS)) return ERRNO.NOTCAPABLE;
  if ((flags & ~FDFLAGS_ALL) !== 0) return ERRNO.INVAL;
  D.flags.set(c.space, at, flags);
  return ERRNO.SUCCESS;
}

/** Rights can be dropped, never added. */
function setRights(c: Context, k: Caller, fd: number, base: bigint, inheriting: bigint): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const { space } = c;
  const known = BigInt(RIGHTS_ALL);
  if ((base & ~known) !== 0n || (inheriting & ~known) !== 0n) return ERRNO.NOTCAPABLE;
  const [wanted, passed] = [Number(base), Number(inheriting)];
  if (c.lacks(at, wanted) || (passed & ~D.inheriting.get(space, at)) !== 0) return ERRNO.NOTCAPABLE;
  D.rights.set(space, at, wanted);
  D.inheriting.set(space, at, passed);
  return ERRNO.SUCCESS;
}

export function encodeNodeStat(c: Context, stat: NodeStat): Uint8Array {
  return c.dialect.filestat({
    dev: TREE_DEVICE,
    ino: BigInt(stat.number),
    filetype: stat.type,
    nlink: BigInt(stat.links),
    size: stat.size,
    atim: stat.accessed,
    mtim: stat.modified,
    ctim: stat.changed,
  });
}

export function encodeHostStat(c: Context, stat: HostStat): Uint8Array {
  return c.dialect.filestat({
    dev: stat.device,
    ino: stat.inode,
    filetype: stat.type,
    nlink: stat.links,
    size: stat.size,
    atim: stat.accessedNs,
    mtim: stat.modifiedNs,
    ctim: stat.changedNs,
  });
}

function filestatGet(c: Context, k: Caller, fd: number, out: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  if (c.lacks(at, RIGHT.FD_FILESTAT_GET)) return ERRNO.NOTCAPABLE;
  const kind = D.kind.get(c.space, at);
  if (inTree(kind)) {
    return give(k, out, encodeNodeStat(c, c.tree.stat(D.object.get(c.space, at))));
  }
  if (isFile(kind) || isDirectory(kind)) {
    const [file, directory] = [c.hostFile(at), c.hostDirectory(at)];
    if (file === undefined && directory === undefined) return ERRNO.STALE;
    const stat = c.ask(k, () => file?.stat() ?? directory?.stat(new Uint8Array(0), true) ?? -ERRNO.STALE);
    return typeof stat === 'number' ? errnoOf(stat) : give(k, out, encodeHostStat(c, stat));
  }
  const none = { dev: 0n, ino: 0n, nlink: 1n, size: 0, atim: 0n, mtim: 0n, ctim: 0n };
  return give(k, out, c.dialect.filestat({ ...none, filetype: filetypeOf(c, k, at) }));
}

function setSize(c: Context, k: Caller, fd: number, size: bigint): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const other = fileOnly(c, at);
  if (other !== 0) return other === ERRNO.SPIPE ? ERRNO.INVAL : other;
  if (c.lacks(at, RIGHT.FD_FILESTAT_SET_SIZE)) return ERRNO.NOTCAPABLE;
  const wanted = offsetOf(size);
  if (wanted < 0) return ERRNO.FBIG;
  if (D.readOnly.get(c.space, at) !== 0) return ERRNO.ROFS;
  if (D.kind.get(c.space, at) === KIND.file) {
    return errnoOf(c.tree.setSize(D.object.get(c.space, at), wanted, c.realtime()));
  }
  const file = c.hostFile(at);
  if (file === undefined) return ERRNO.STALE;
  return errnoOf(c.effect<number>(k, (op) => file.setSize(op, wanted)));
}

/** The times `flags` ask for, null for one that stays; an errno where the flags contradict each other. */
export function timesOf(
  c: Context,
  atim: bigint,
  mtim: bigint,
  flags: number,
): { atim: bigint | null; mtim: bigint | null } | number {
  if ((flags & ~FSTFLAGS_ALL) !== 0) return ERRNO.INVAL;
  const pick = (given: number, now: number, value: bigint): bigint | null | undefined => {
    if ((flags & given) !== 0) return (flags & now) !== 0 ? undefined : BigInt.asUintN(64, value);
    return (flags & now) !== 0 ? c.realtime() : null;
  };
  const accessed = pick(FSTFLAGS.ATIM, FSTFLAGS.ATIM_NOW, atim);
  const modified = pick(FSTFLAGS.MTIM, FSTFLAGS.MTIM_NOW, mtim);
  return accessed === undefined || modified === undefined ? ERRNO.INVAL : { atim: accessed, mtim: modified };
}

function setTimes(c: Context, k: Caller, fd: number, atim: bigint, mtim: bigint, flags: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  if (c.lacks(at, RIGHT.FD_FILESTAT_SET_TIMES)) return ERRNO.NOTCAPABLE;
  const times = timesOf(c, atim, mtim, flags);
  if (typeof times === 'number') return times;
  if (D.readOnly.get(c.space, at) !== 0) return ERRNO.ROFS;
  const kind = D.kind.get(c.space, at);
  if (inTree(kind)) {
    c.tree.setTimes(D.object.get(c.space, at), times.atim, times.mtim, c.realtime());
    return ERRNO.SUCCESS;
  }
  const set = { accessedNs: times.atim, modifiedNs: times.mtim };
  if (isFile(kind)) {
    const file = c.hostFile(at);
    return file === undefined ? ERRNO.STALE : errnoOf(c.effect<number>(k, (op) => file.setTimes(op, set)));
  }
  if (!isDirectory(kind)) return ERRNO.INVAL;
  const directory = c.hostDirectory(at);
  if (directory === undefined) return ERRNO.STALE;
  return errnoOf(c.effect<number>(k, (op) => directory.setTimes(op, new Uint8Array(0), true, set)));
}

function prestatGet(c: Context, k: Caller, fd: number, out: number): number {
  const at = c.find(k, fd);
  if (at === 0 || D.name.get(c.space, at) === 0) return ERRNO.BADF;
  const prestat = new Uint8Array(8); // tag 0: a directory
  new DataView(prestat.buffer).setUint32(4, D.nameBytes.get(c.space, at), true);
  return give(k, out, prestat);
}

function prestatName(c: Context, k: Caller, fd: number, out: number, length: number): number {
  const at = c.find(k, fd);
  const name = at === 0 ? 0 : D.name.get(c.space, at);
  if (name === 0) return ERRNO.BADF;
  const bytes = D.nameBytes.get(c.space, at);
  if (length >>> 0 < bytes) return ERRNO.NAMETOOLONG;
  return give(k, out, c.space.readBytes(name, bytes));
}

/** Moves a descriptor onto the number of another open one, which is closed. */
function renumber(c: Context, k: Caller, from: number, to: number): number {
  const source = c.find(k, from);
  const target = c.findAny(k, to);
  if (source === 0 || target === 0) return ERRNO.BADF;
  if (source === target) return ERRNO.SUCCESS;
  closeDescriptor(c, k.personalityState, target);
  c.space.copy(target, source, DescriptorRecord.bytes);
  c.space.zero(source, DescriptorRecord.bytes);
  return ERRNO.SUCCESS;
}

function seek(c: Context, k: Caller, fd: number, offset: bigint, given: number, out: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const other = fileOnly(c, at);
  if (other !== 0) return other;
  const whence = c.dialect.whence(given);
  // Asking where it stands needs no more than the right to tell.
  const needed = offset === 0n && whence === WHENCE_CUR ? RIGHT.FD_TELL : RIGHT.FD_SEEK;
  if (c.lacks(at, needed) && c.lacks(at, RIGHT.FD_SEEK)) return ERRNO.NOTCAPABLE;
  let base: number;
  if (whence === WHENCE_SET) base = 0;
  else if (whence === WHENCE_CUR) base = D.offset.get(c.space, at);
  else if (whence === WHENCE_END) base = sizeOf(c, at);
  else return ERRNO.INVAL;
  if (base < 0) return -base;
  const wanted = BigInt(base) + offset;
  if (wanted < 0n) return ERRNO.INVAL;
  if (wanted > BigInt(Number.MAX_SAFE_INTEGER)) return ERRNO.OVERFLOW;
  const result = giveU64(k, out, wanted);
  if (result === ERRNO.SUCCESS) D.offset.set(c.space, at, Number(wanted));
  return result;
}

function sizeOf(c: Context, at: number): number {
  if (D.kind.get(c.space, at) === KIND.file) return c.tree.size(D.object.get(c.space, at));
  return c.hostFile(at)?.size() ?? -ERRNO.STALE;
}

function tell(c: Context, k: Caller, fd: number, out: number): number {
  const at = c.find(k, fd);
  if (at === 0) return ERRNO.BADF;
  const other = fileOnly(c, at);
  if (other !== 0) return other;
  if (c.lacks(at, RIGHT.FD_TELL) && c.lacks(at, RIGHT.FD_SEEK)) return ERRNO.NOTCAPABLE;
  return giveU64(k, out, BigInt(D.offset.get(c.space, at)));
}
