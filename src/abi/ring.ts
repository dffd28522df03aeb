/**
 * Rings and the object protocol: queues in a domain's memory by which it asks for operations on objects, learns how
 * they ended, and, where it serves objects, is asked for operations itself. All numbers are little endian. A ring lies
 * in memory 0 or in a window (abi/segment.ts), at a multiple of 64:
 *
 *     ring + 0                       header, RING_HEADER_BYTES: a line that the kernel writes, a line the program writes
 *     ring + RING_HEADER_BYTES       submissions: `entries` of SUBMISSION_BYTES      program writes
 *     behind them                    completions: 2 * `entries` of COMPLETION_BYTES  kernel writes
 *     behind them, with RING_SERVES  requests: `entries` of REQUEST_BYTES            kernel writes
 *
 * An index counts up for ever, modulo 2^32; the entry is at index modulo the queue's length. Who puts entries in moves
 * `tail`, who takes them out moves `head`; each word has one writer. The queue is empty where they are equal.
 *
 * Buffers may lie in windows too. A window is looked up when the buffer is used: where it is
 * gone by then, or may not be written and is to be filled, the operation ends with -FAULT.
 *
 * A ring in a window needs one that may be written. Where that is unmapped, revoked, sealed or frozen by somebody else, ring_enter gives
 * -FAULT; operations under way go on, and their completions, and requests, wait as in a full queue: until something may be
 * written at the address again, or the ring is closed. Who shares the window can put submissions in as well: they are taken
 * when the ring's own domain enters it, and carried out in its name.
 *
 * The kernel keeps its own indices and believes none that it finds in memory but the program's three, which it reads once
 * a call. It reads an entry once, copies it, and looks at the copy alone.
 */
import { assert } from '../base/assert.ts';
import { RING_ENTRIES_MAX } from '../base/limits.ts';

/** Of the layout and of what entries mean. In the header, so that a program can check what it was compiled for. */
export const RING_VERSION = 1;

export const RING_HEADER_BYTES = 128;
/** Offsets of u32 words in the header. */
export const RING_HEADER = {
  /** Kernel: RING_VERSION, `entries`, flags as given to ring_create. */
  version: 0,
  entries: 4,
  flags: 8,
  /** Kernel: submissions taken, completions and requests put in. */
  submissionHead: 16,
  completionTail: 20,
  requestTail: 24,
  /** Kernel: operations under way, and completions that wait for room in their queue. */
  underWay: 28,
  waiting: 32,
  /** Program: submissions put in, completions and requests taken out. */
  submissionTail: 64,
  completionHead: 68,
  requestHead: 72,
} as const;

/** Flags of ring_create. */
export const RING_SERVES = 1;
export const RING_FLAGS_ALL = 1;

export const SUBMISSION_BYTES = 64;
export const COMPLETION_BYTES = 32;
export const REQUEST_BYTES = 256;

/** Bytes of a ring in memory. */
export function ringBytes(entries: number, flags: number): number {
  const each = SUBMISSION_BYTES + 2 * COMPLETION_BYTES + ((flags & RING_SERVES) !== 0 ? REQUEST_BYTES : 0);
  return RING_HEADER_BYTES + entries * each;
}

/**
 * Offsets in a submission. What an operation does not use is zero. `first` and `second` are what it gives or takes: see
 * OPERATION.
 */
export const SUBMISSION = {
  /** u8: one of OPERATION. */
  operation: 0,
  /** u8: SUBMIT bits. */
  flags: 1,
  /** u16: which method, for invoke. */
  method: 2,
  /** u32: handle of the object. */
  handle: 4,
  /** u64: given back in the completion, with no meaning to the kernel but for cancel. */
  userData: 8,
  /**
   * u32 near address and u32 bytes; with SUBMIT.vector the address and the count of pairs (u32 address, u32 bytes); with SUBMIT.segment
   * a handle and bytes. Of wait, a semaphore's address.
   */
  first: 16,
  firstLength: 20,
  /** u64: position in a file, cookie of a listing, number of a request, user data to cancel, ns of a timeout. */
  offset: 24,
  /** u64: ns it may take from when it begins, then it is TIMEDOUT; 0 for no limit. Of reply, the value. */
  limit: 32,
  /** u32 and u32: the second buffer; with SUBMIT.segment a u64, where in the segment the first one begins. */
  second: 40,
  secondLength: 44,
  /** u32: another object: where a name moves to, what is passed along. NO_HANDLE for none. */
  other: 48,
  /** u32: the most rights (abi/objects.ts RIGHT) that what is opened may have; of reply, the result (i32). */
  rights: 52,
  /** u32: see OPTION. */
  options: 56,
  /** u32: zero. */
  reserved: 60,
} as const;

/** Instead of a handle: none. No handle is 0. */
export const NO_HANDLE = 0;

/** Bits of a submission's flags. */
export const SUBMIT = {
  /** The next submission begins when this one has succeeded; where it fails, those linked to it are CANCELED. */
  link: 1,
  /** Begins when all before it have completed; those behind it wait for it. */
  drain: 2,
  /** `first` is a list of buffers. For read, write, list, invoke. */
  vector: 4,
  /** No completion where it succeeds. */
  quiet: 8,
  /** `first` is bytes of a segment, which is not mapped for it. For read, write. See "What requests bring". */
  segment: 16,
} as const;
export const SUBMIT_ALL = 31;

/**
 * What requests bring
 *
 * A buffer may be part of a segment, whose handle is given in place of an address, with the right to read for write and that to write for
 * read. Whatever answers the operation moves bytes from there or to there. A server can have the segment itself: `request_take`
 * gives it a handle with the rights to read, map and share, and for read that to write, as far as the client's has them. It is
 * *lent*: of a capability derived for this request, which is revoked, and the handle closed, when the request ends, by whatever. A server
 * that maps it trusts the client, and whom that had it from, not to revoke it in between, since then its next access traps; one that does not
 * copies (seg_copy, which leaves the bytes where they are until somebody writes; seg_read; request_read), which gives an errno.
 * A segment is lent whole: the server can see what lies beside the buffer.
 *
 * Invoke brings the capability `other`, or with OPTION.handles as many as `other` says, whose handles (u32) are the first words of `first`.
 * The server takes those it wants, at its own account's expense: each time a copy, of which the client is not told; or with
 * OPTION.lend once, lent. The right to share is needed for all of these. What is never taken costs the server nothing. What a kind (abi/kind.ts)
 * stands before can be given, but is no buffer and cannot be lent: NOTSUP.
 */

/** Most capabilities that one invoke brings. */
export const BROUGHT_MAX = 16;

/**
 * Operations. `in` is what the object is given, `out` what it fills. A result is from 0 up, or -errno (abi/errno.ts).
 * Paths are relative to a directory and never lead out of it; an empty one is the object itself. Times are nanoseconds
 * since 1970.
 */
export const OPERATION = {
  /** Nothing; completes at once. */
  nop: 0,
  /** first: path (in), `rights`, `options`. Result: a handle of the object opened; value: its type (abi/objects.ts). */
  open: 1,
  /** first: out, `offset` (STREAM_OFFSET where it has no positions). Result: bytes; 0 is the end. */
  read: 2,
  /** first: in, `offset`. Result: bytes taken. Offset APPEND_OFFSET writes at the end; value: where that ended. */
  write: 3,
  /**
   * first: out, `offset` the cookie to go on from, 0 at first. Result: bytes of entries: u64 cookie to go on behind it, u64
   * number, u32 bytes of the name, u8 type, 3 zero bytes, the name. The last may be cut; fewer bytes than there was room
   * for are the end.
   */
  list: 4,
  /** first: path (in), second: out, ATTRIBUTES_BYTES as in ATTRIBUTE. */
  describe: 5,
  /** first: path (in), `options` say what; second: what a symbolic link says (in). */
  create: 6,
  /** first: path (in); OPTION.directory for an empty directory. */
  remove: 7,
  /** first: path (in), second: the new one (in), from `other` or, with NO_HANDLE, from the same object. */
  rename: 8,
  /** The same: one more name for a file. */
  link: 9,
  /** first: path (in), second: CHANGE_BYTES as in CHANGE (in), `options` which of them. */
  change: 10,
  /** first: path (in), second: out. Result: bytes of what a symbolic link says. */
  readLink: 11,
  /** What was written is where the object keeps it for good. */
  sync: 12,
  /**
   * Until it can be read or written (`options`: OPTION.read, write). Result: which; value: bytes to be read. Of a wait set,
   * which wants the right `read`: until a member can be taken of, and takes one. Result: 0; value: the member's number. With
   * NO_HANDLE, of the semaphore at near address `first`: takes one. Result: 0. Both are waited for as by the calls of
   * abi/semaphore.ts, among whoever makes those, first come first served; who is CANCELED or TIMEDOUT has taken nothing.
   */
  wait: 13,
  /** first: arguments (in), second: results (out), `method`, `other`: what it brings. Result: the method's. */
  invoke: 14,
  /**
   * Result: a handle of a segment with its bytes, with at most `rights` (0: all). Of a segment, one of itself. Of a file of the
   * tree, which must be readable, a new segment of the client's own with the bytes of this moment: neither changes with the
   * other, and the client pays for its memory. Of a file of the host the same, but what is not touched is not read: such a segment
   * may be far larger than the client's memory, who pays for what is there. It wants the file as it was: once that has been written,
   * cut or exchanged, or the capability revoked, what was not read yet gives STALE or REVOKED, and accesses trap. What is written
   * stays in the segment. Mapped to be written, it is paid for whole.
   */
  map: 15,
  /** A capability derived of `handle` with at most `rights`, its badge `offset`. Result: its handle. */
  share: 16,
  /** Ends the operation of this ring whose user data is `offset`. Result: 0, or -NOENT where there is none. */
  cancel: 17,
  /** Gives the handle back. */
  close: 18,
  /** Completes with 0 after `offset` ns: what is linked to it comes later. */
  timeout: 19,
  /**
   * A server's answer to request `offset`: its result is `rights` (as i32), its value `limit`, and first (in) goes to the
   * beginning of what the client has room for. `other` is an object given to the client with what it asked of rights, for
   * open, map and invoke: the result, of invoke the value, is then the client's handle of it. `options`: OPTION.move. No
   * time limit. -NOENT where nobody waits for an answer to that request any more.
   */
  reply: 20,
} as const;
export const OPERATION_LAST = 20;
/** In requests only, with no answer: the client has given up the request of this number; nobody holds the object any more. */
export const REQUEST_CANCELED = 254;
export const REQUEST_RELEASED = 255;

export const STREAM_OFFSET = 0xffff_ffff_ffff_ffffn;
export const APPEND_OFFSET = 0xffff_ffff_ffff_fffen;

/** Bits of `options`. */
export const OPTION = {
  /** open: make a file where there is none; with exclusive only then. */
  create: 1,
  exclusive: 2,
  truncate: 4,
  /** open: only a directory. create: a directory. remove: an empty directory. */
  directory: 8,
  /** Follow a symbolic link that is the path's last name. */
  follow: 16,
  /** open: to be read, written. wait: until it can be. */
  read: 32,
  write: 64,
  /** create: a symbolic link. */
  symbolic: 128,
  /** change: these. */
  size: 256,
  accessed: 512,
  modified: 1024,
  /** reply: what is given is no longer the server's. */
  move: 2048,
  /** invoke: what it brings is lent; it brings several. */
  lend: 4096,
  handles: 8192,
} as const;
export const OPTIONS_ALL = 16383;

/** What describe fills in: as the filestat of wasi_snapshot_preview1. */
export const ATTRIBUTES_BYTES = 64;
export const ATTRIBUTE = {
  /** u64 device, u64 number, u8 type (as wasi's filetype), u64 names. */
  device: 0,
  number: 8,
  type: 16,
  links: 24,
  /** u64 bytes; u64 times. */
  size: 32,
  accessed: 40,
  modified: 48,
  changed: 56,
} as const;

/** What change is given: u64 size in bytes, u64 times. */
export const CHANGE_BYTES = 24;
export const CHANGE = { size: 0, accessed: 8, modified: 16 } as const;

/** Head of an entry of a listing. */
export const LISTED_BYTES = 24;
export const LISTED = { cookie: 0, number: 8, nameBytes: 16, type: 20 } as const;

/** Offsets in a completion. */
export const COMPLETION = {
  /** u64: of the submission. */
  userData: 0,
  /** i32: from 0 up, or -errno. */
  result: 8,
  /** u32: zero. */
  flags: 12,
  /** i64: what else there is to say. */
  value: 16,
  /** u64: zero. */
  reserved: 24,
} as const;

/** Offsets in a request: what the client asked for, of the object that the server knows by a number. */
export const REQUEST = {
  /** u64: its number, for request_read, request_write and reply. */
  number: 0,
  /** u64: the object, by the number given to table_object; u64: badge of the client's capability. */
  object: 8,
  badge: 16,
  /** u8 operation, u8 zero, u16 method, u32 options. */
  operation: 24,
  method: 26,
  options: 28,
  /** u64. */
  offset: 32,
  /** u32: bytes that the client gives in all, first then second; and those of the first alone. */
  given: 40,
  givenFirst: 44,
  /** u32: bytes that the client has room for. */
  room: 48,
  /** u32: how many of the bytes given stand in `data`; all of them where they fit. */
  inside: 52,
  /** u32: rights asked for (open); u32: rights of the client's capability. */
  rights: 56,
  held: 60,
  /**
   * u64: number of `other`, where that is an object of the same table and not lent; of read and write that bring a segment, where in
   * it the buffer begins. u32: how many capabilities it brings, for request_take.
   */
  other: 64,
  brought: 72,
  data: 80,
} as const;
export const REQUEST_DATA_BYTES = REQUEST_BYTES - REQUEST.data;

/** What a table serves: which operations may reach it at all. */
export const TABLE_KIND = { stream: 1, file: 2, generic: 3 } as const;

assert(REQUEST_DATA_BYTES === 176, 'a request has room for small data');
assert(2 ** 31 % RING_ENTRIES_MAX === 0, 'an index modulo the length goes round where the index does');
