/**
 * The data formats of wasi_snapshot_preview1 for 32-bit guests: constants, and encoders of the structures a guest
 * reads. All little endian, with the padding that the witx layout rules give. Encoders write whole structures,
 * padding included, so that no old byte of ours can be seen through a hole.
 *
 * Sizes: iovec 8, dirent 24, fdstat 24, filestat 64, prestat 8, subscription 48, event 32.
 */

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_PROCESS_CPUTIME = 2;
export const CLOCK_THREAD_CPUTIME = 3;

export const FILETYPE = {
  UNKNOWN: 0,
  BLOCK_DEVICE: 1,
  CHARACTER_DEVICE: 2,
  DIRECTORY: 3,
  REGULAR_FILE: 4,
  SOCKET_DGRAM: 5,
  SOCKET_STREAM: 6,
  SYMBOLIC_LINK: 7,
} as const;

export const FDFLAGS = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 } as const;
export const FDFLAGS_ALL = 31;
export const OFLAGS = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const;
export const OFLAGS_ALL = 15;
export const LOOKUP_SYMLINK_FOLLOW = 1;
export const FSTFLAGS = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8 } as const;
export const FSTFLAGS_ALL = 15;
export const WHENCE_SET = 0;
export const WHENCE_CUR = 1;
export const WHENCE_END = 2;
/** The advices of fd_advise are 0 to this. */
export const ADVICE_LAST = 5;
export const EVENT_CLOCK = 0;
export const EVENT_FD_READ = 1;
export const EVENT_FD_WRITE = 2;
/** Flag of an event: the other end is gone. */
export const EVENT_HANGUP = 1;
export const SUBCLOCK_ABSTIME = 1;
export const RIFLAGS = { RECV_PEEK: 1, RECV_WAITALL: 2 } as const;
export const RIFLAGS_ALL = 3;
export const ROFLAGS_DATA_TRUNCATED = 1;
export const SDFLAGS_ALL = 3;
/** `d_next` of the first entry of a directory is past this. */
export const COOKIE_START = 0;

/** Rights, as numbers: there are thirty, so they fit 32 bits. */
export const RIGHT = {
  FD_DATASYNC: 1 << 0,
  FD_READ: 1 << 1,
  FD_SEEK: 1 << 2,
  FD_FDSTAT_SET_FLAGS: 1 << 3,
  FD_SYNC: 1 << 4,
  FD_TELL: 1 << 5,
  FD_WRITE: 1 << 6,
  FD_ADVISE: 1 << 7,
  FD_ALLOCATE: 1 << 8,
  PATH_CREATE_DIRECTORY: 1 << 9,
  PATH_CREATE_FILE: 1 << 10,
  PATH_LINK_SOURCE: 1 << 11,
  PATH_LINK_TARGET: 1 << 12,
  PATH_OPEN: 1 << 13,
  FD_READDIR: 1 << 14,
  PATH_READLINK: 1 << 15,
  PATH_RENAME_SOURCE: 1 << 16,
  PATH_RENAME_TARGET: 1 << 17,
  PATH_FILESTAT_GET: 1 << 18,
  PATH_FILESTAT_SET_SIZE: 1 << 19,
  PATH_FILESTAT_SET_TIMES: 1 << 20,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  PATH_SYMLINK: 1 << 24,
  PATH_REMOVE_DIRECTORY: 1 << 25,
  PATH_UNLINK_FILE: 1 << 26,
  POLL_FD_READWRITE: 1 << 27,
  SOCK_SHUTDOWN: 1 << 28,
  SOCK_ACCEPT: 1 << 29,
} as const;
export const RIGHTS_ALL = 2 ** 30 - 1;

/** What can be done with an open file of each kind; rights beyond these mean nothing for it and are dropped. */
export const RIGHTS_FILE =
  RIGHT.FD_DATASYNC |
  RIGHT.FD_READ |
  RIGHT.FD_SEEK |
  RIGHT.FD_FDSTAT_SET_FLAGS |
  RIGHT.FD_SYNC |
  RIGHT.FD_TELL |
  RIGHT.FD_WRITE |
  RIGHT.FD_ADVISE |
  RIGHT.FD_ALLOCATE |
  RIGHT.FD_FILESTAT_GET |
  RIGHT.FD_FILESTAT_SET_SIZE |
  RIGHT.FD_FILESTAT_SET_TIMES |
  RIGHT.POLL_FD_READWRITE;
export const RIGHTS_DIRECTORY =
  RIGHT.FD_FDSTAT_SET_FLAGS |
  RIGHT.FD_SYNC |
  RIGHT.FD_DATASYNC |
  RIGHT.PATH_CREATE_DIRECTORY |
  RIGHT.PATH_CREATE_FILE |
  RIGHT.PATH_LINK_SOURCE |
  RIGHT.PATH_LINK_TARGET |
  RIGHT.PATH_OPEN |
  RIGHT.FD_READDIR |
  RIGHT.PATH_READLINK |
  RIGHT.PATH_RENAME_SOURCE |
  RIGHT.PATH_RENAME_TARGET |
  RIGHT.PATH_FILESTAT_GET |
  RIGHT.PATH_FILESTAT_SET_SIZE |
  RIGHT.PATH_FILESTAT_SET_TIMES |
  RIGHT.FD_FILESTAT_GET |
  RIGHT.FD_FILESTAT_SET_TIMES |
  RIGHT.PATH_SYMLINK |
  RIGHT.PATH_REMOVE_DIRECTORY |
  RIGHT.PATH_UNLINK_FILE;
export const RIGHTS_STREAM =
  RIGHT.FD_READ |
  RIGHT.FD_WRITE |
  RIGHT.FD_DATASYNC |
  RIGHT.FD_SYNC |
  RIGHT.FD_FDSTAT_SET_FLAGS |
  RIGHT.FD_FILESTAT_GET |
  RIGHT.POLL_FD_READWRITE;
export const RIGHTS_SOCKET = RIGHTS_STREAM | RIGHT.SOCK_SHUTDOWN;
export const RIGHTS_LISTENER =
  RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_FILESTAT_GET | RIGHT.POLL_FD_READWRITE | RIGHT.SOCK_ACCEPT;

export const IOVEC_BYTES = 8;
export const DIRENT_BYTES = 24;
export const FDSTAT_BYTES = 24;
export const FILESTAT_BYTES = 64;
export const PRESTAT_BYTES = 8;
export const SUBSCRIPTION_BYTES = 48;
export const EVENT_BYTES = 32;

/** What filestat tells. Times are nanoseconds since 1970. */
export interface Filestat {
  dev: bigint;
  ino: bigint;
  filetype: number;
  nlink: bigint;
  size: number;
  atim: bigint;
  mtim: bigint;
  ctim: bigint;
}

/** Preview 1 has 64 bytes, with a wide count of links; the interface before it 56. */
function encodeFilestat(stat: Filestat, wide: boolean): Uint8Array {
  const bytes = new Uint8Array(wide ? FILESTAT_BYTES : FILESTAT_BYTES - 8);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, stat.dev, true);
  view.setBigUint64(8, stat.ino, true);
  view.setUint8(16, stat.filetype);
  if (wide) view.setBigUint64(24, stat.nlink, true);
  else view.setUint32(20, Number(stat.nlink & 0xffff_ffffn), true);
  const rest = wide ? 32 : 24;
  view.setBigUint64(rest, BigInt(stat.size), true);
  view.setBigUint64(rest + 8, stat.atim, true);
  view.setBigUint64(rest + 16, stat.mtim, true);
  view.setBigUint64(rest + 24, stat.ctim, true);
  return bytes;
}

export function encodeFdstat(filetype: number, flags: number, base: number, inheriting: number): Uint8Array {
  const bytes = new Uint8Array(FDSTAT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, filetype);
  view.setUint16(2, flags, true);
  view.setUint32(8, base, true);
  view.setUint32(16, inheriting, true);
  return bytes;
}

/** Writes one event into `view` at `at`. */
export function encodeEvent(view: DataView, at: number, event: PollEvent): void {
  view.setBigUint64(at, event.userdata, true);
  view.setUint16(at + 8, event.error, true);
  view.setUint8(at + 10, event.type);
  view.setBigUint64(at + 16, BigInt(event.bytes), true);
  view.setUint16(at + 24, event.flags, true);
}

export interface PollEvent {
  userdata: bigint;
  error: number;
  type: number;
  /** Bytes that can be read or written; 0 for a clock. */
  bytes: number;
  flags: number;
}

/** A subscription of poll_oneoff, read from a private copy of the guest's bytes. */
export interface Subscription {
  userdata: bigint;
  tag: number;
  /** fd_read and fd_write. */
  fd: number;
  /** clock. */
  clock: number;
  timeout: bigint;
  precision: bigint;
  clockFlags: number;
}

/** @param clock offset of a clock's fields: behind the identifier that the old interface has there */
function decodeSubscription(view: DataView, at: number, clock: number): Subscription {
  return {
    userdata: view.getBigUint64(at, true),
    tag: view.getUint8(at + 8),
    fd: view.getUint32(at + 16, true),
    clock: view.getUint32(at + clock, true),
    timeout: view.getBigUint64(at + clock + 8, true),
    precision: view.getBigUint64(at + clock + 16, true),
    clockFlags: view.getUint16(at + clock + 24, true),
  };
}

/** What differs between preview 1 and wasi_unstable, the interface of 2019 that some old programs import. */
export interface Dialect {
  readonly filestat: (stat: Filestat) => Uint8Array;
  readonly subscriptionBytes: number;
  readonly subscription: (view: DataView, at: number) => Subscription;
  /** WHENCE_* of a number that the guest gave, -1 for none. */
  readonly whence: (given: number) => number;
}

export const PREVIEW1: Dialect = {
  filestat: (stat) => encodeFilestat(stat, true),
  subscriptionBytes: SUBSCRIPTION_BYTES,
  subscription: (view, at) => decodeSubscription(view, at, 16),
  whence: (given) => (given >>> 0 <= WHENCE_END ? given : -1),
};

export const UNSTABLE: Dialect = {
  filestat: (stat) => encodeFilestat(stat, false),
  subscriptionBytes: SUBSCRIPTION_BYTES + 8,
  subscription: (view, at) => decodeSubscription(view, at, 24),
  whence: (given) => [WHENCE_CUR, WHENCE_END, WHENCE_SET][given >>> 0] ?? -1,
};

/** Bytes of one directory entry as fd_readdir gives it: the structure and the name behind it. */
export function encodeDirent(next: bigint, ino: bigint, filetype: number, name: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(DIRENT_BYTES + name.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, next, true);
  view.setBigUint64(8, ino, true);
  view.setUint32(16, name.length, true);
  view.setUint8(20, filetype);
  bytes.set(name, DIRENT_BYTES);
  return bytes;
}
