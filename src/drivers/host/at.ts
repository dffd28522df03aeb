/**
 * The host's file calls relative to an open directory (the `*at` family of POSIX), which Node does not have, by way of
 * /proc/self/fd/N/NAME: the kernel goes straight to the directory the descriptor is open on, wherever it lies now, and
 * then to one name in it. No call here follows a symbolic link, except through a descriptor of our own.
 *
 * Names are one component as a *binary string*: each character is a byte. Every function returns a result or -errno and
 * never throws. Never pass a name that did not come from `isName`: a slash or `..` in it would be followed.
 */
import * as fs from 'node:fs';
import { ERRNO } from '../../abi/errno.ts';
import { assert } from '../../base/assert.ts';
import { FILE_TYPE, type HostStat } from '../../kernel/ports.ts';
import { errnoOf } from '../errno.ts';

const { O_NOFOLLOW, O_DIRECTORY, O_CREAT, O_EXCL, O_RDWR, O_NONBLOCK, O_RDONLY } = fs.constants;
/** Linux's O_PATH, which Node does not name: a descriptor that only stands for the file. */
const O_PATH = 0o10000000;
/** Open files are made with this mode, less the process's umask. */
const FILE_MODE = 0o666;
const DIRECTORY_MODE = 0o777;

/** True for what can be one name in a directory: not empty, `.` or `..`, no slash, no zero byte. */
export function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}

export function toBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export function fromBinary(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function pathOf(directory: number, name: string): Buffer {
  assert(isName(name), 'only checked names reach the host');
  return Buffer.from(`/proc/self/fd/${directory}/${name}`, 'latin1');
}

function attempt(call: () => unknown): number {
  try {
    const result = call();
    return typeof result === 'number' ? result : 0;
  } catch (error) {
    return -errnoOf(error);
  }
}

/** A descriptor that stands for the file or link with this name. */
export function lookAt(directory: number, name: string): number {
  return attempt(() => fs.openSync(pathOf(directory, name), O_PATH | O_NOFOLLOW));
}

/** A descriptor that stands for a directory of the host, by any path: for what the user granted. */
export function lookAtFolder(path: string): number {
  return attempt(() => fs.openSync(path, O_PATH | O_DIRECTORY));
}

/** Opens the very file a descriptor stands for; refuses what is not a regular file, for opening others has effects. */
export function reopenFile(fd: number, flags: number): number {
  const stat = statOf(fd);
  if (typeof stat === 'number') return stat;
  if (stat.type === FILE_TYPE.directory) return -ERRNO.ISDIR;
  if (stat.type === FILE_TYPE.symbolicLink) return -ERRNO.LOOP;
  if (stat.type !== FILE_TYPE.regularFile) return -ERRNO.NOTSUP;
  return attempt(() => fs.openSync(`/proc/self/fd/${fd}`, flags | O_NONBLOCK));
}

/** A second descriptor for the directory a descriptor stands for. */
export function reopenDirectory(fd: number): number {
  return attempt(() => fs.openSync(`/proc/self/fd/${fd}/`, O_PATH | O_DIRECTORY));
}

export function close(fd: number): void {
  fs.closeSync(fd);
}

export function typeOf(mode: bigint): number {
  const kind = Number(mode) & fs.constants.S_IFMT;
  if (kind === fs.constants.S_IFREG) return FILE_TYPE.regularFile;
  if (kind === fs.constants.S_IFDIR) return FILE_TYPE.directory;
  if (kind === fs.constants.S_IFLNK) return FILE_TYPE.symbolicLink;
  if (kind === fs.constants.S_IFCHR) return FILE_TYPE.characterDevice;
  if (kind === fs.constants.S_IFBLK) return FILE_TYPE.blockDevice;
  if (kind === fs.constants.S_IFSOCK) return FILE_TYPE.socketStream;
  return FILE_TYPE.unknown;
}

/**
 * Which file. Hosts give inode numbers out again, so the time of birth belongs to it (0 where the host has none); the
 * device's number may be another after the host was started again, so it counts only in its place.
 */
export interface Identity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly bornNs: bigint;
}

export interface FullStat extends HostStat {
  readonly bornNs: bigint;
}

export function isSame(a: Identity | number, b: Identity): boolean {
  if (typeof a === 'number' || a.inode !== b.inode || a.bornNs !== b.bornNs) return false;
  return a.bornNs !== 0n || a.device === b.device;
}

export function statOf(fd: number): FullStat | number {
  try {
    const stat = fs.fstatSync(fd, { bigint: true });
    return {
      device: stat.dev,
      inode: stat.ino,
      type: typeOf(stat.mode),
      links: stat.nlink,
      size: Number(stat.size),
      accessedNs: stat.atimeNs,
      modifiedNs: stat.mtimeNs,
      changedNs: stat.ctimeNs,
      bornNs: stat.birthtimeNs,
    };
  } catch (error) {
    return -errnoOf(error);
  }
}

/** Attributes of the file or link with this name. */
export function statAt(directory: number, name: string): FullStat | number {
  const fd = lookAt(directory, name);
  if (fd < 0) return fd;
  const stat = statOf(fd);
  close(fd);
  return stat;
}

/** What a symbolic link says, as a binary string. */
export function readlinkAt(directory: number, name: string): string | number {
  try {
    return toBinary(fs.readlinkSync(pathOf(directory, name), 'buffer'));
  } catch (error) {
    return -errnoOf(error);
  }
}

/** Names in a directory, in no order. */
export function namesIn(directory: number): string[] | number {
  try {
    return fs.readdirSync(`/proc/self/fd/${directory}/`, 'buffer').map(toBinary);
  } catch (error) {
    return -errnoOf(error);
  }
}

/** Makes an empty regular file where there is nothing. */
export function createAt(directory: number, name: string): number {
  const flags = O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_NONBLOCK;
  const fd = attempt(() => fs.openSync(pathOf(directory, name), flags, FILE_MODE));
  if (fd >= 0) close(fd);
  return Math.min(fd, 0);
}

export function mkdirAt(directory: number, name: string): number {
  return attempt(() => fs.mkdirSync(pathOf(directory, name), DIRECTORY_MODE));
}

export function rmdirAt(directory: number, name: string): number {
  return attempt(() => fs.rmdirSync(pathOf(directory, name)));
}

export function unlinkAt(directory: number, name: string): number {
  return attempt(() => fs.unlinkSync(pathOf(directory, name)));
}

export function renameAt(directory: number, name: string, toDirectory: number, toName: string): number {
  return attempt(() => fs.renameSync(pathOf(directory, name), pathOf(toDirectory, toName)));
}

/** A second name for a file; for a symbolic link, for the link itself. */
export function linkAt(directory: number, name: string, toDirectory: number, toName: string): number {
  return attempt(() => fs.linkSync(pathOf(directory, name), pathOf(toDirectory, toName)));
}

export function symlinkAt(target: string, directory: number, name: string): number {
  return attempt(() => fs.symlinkSync(Buffer.from(target, 'latin1'), pathOf(directory, name)));
}

/** Node passes times as a double of seconds: a present-day time comes out within a quarter of a microsecond. */
function seconds(ns: bigint): number {
  return Number(ns) / 1e9;
}

/** Times of what a descriptor stands for: not a symbolic link. */
export function setTimesOf(fd: number, accessedNs: bigint, modifiedNs: bigint): number {
  return attempt(() => fs.utimesSync(`/proc/self/fd/${fd}`, seconds(accessedNs), seconds(modifiedNs)));
}

export function setLinkTimesAt(
  directory: number,
  name: string,
  accessedNs: bigint,
  modifiedNs: bigint,
): number {
  return attempt(() => fs.lutimesSync(pathOf(directory, name), seconds(accessedNs), seconds(modifiedNs)));
}

export function truncate(fd: number, size: number): number {
  return attempt(() => fs.ftruncateSync(fd, size));
}

/** Reads until `into` is full or the file ends. */
export function readAll(fd: number, into: Uint8Array, offset: number): number {
  return attempt(() => {
    let at = 0;
    while (at < into.length) {
      const count = fs.readSync(fd, into, at, into.length - at, offset + at);
      if (count === 0) break;
      at += count;
    }
    return at;
  });
}

/** Writes all of `bytes`, or fails with what did not fit still missing. */
export function writeAll(fd: number, bytes: Uint8Array, offset: number): number {
  return attempt(() => {
    for (let at = 0; at < bytes.length; ) {
      at += fs.writeSync(fd, bytes, at, bytes.length - at, offset + at);
    }
    return 0;
  });
}

/** Resolves when the file's content is on disk; a host that cannot tell counts as done. */
export function syncFile(fd: number): Promise<number> {
  return new Promise((resolve) => fs.fdatasync(fd, (error) => resolve(error ? -errnoOf(error) : 0)));
}

/** Resolves when a directory's entries are on disk. */
export function syncDirectory(fd: number): Promise<number> {
  return new Promise((resolve) => {
    fs.open(`/proc/self/fd/${fd}/`, O_RDONLY | O_DIRECTORY, (error, open) => {
      if (error) return resolve(-errnoOf(error));
      fs.fsync(open, () => fs.close(open, () => resolve(0)));
    });
  });
}
