/**
 * fd_readdir. Entries are given from a cookie on, `.` and `..` first; the buffer is filled to its end, the last entry
 * cut where it does not fit, so a result shorter than the buffer is the end of the directory.
 *
 * In the space's own tree cookies are true for ever (tree-directory.ts). A host directory has none that could be
 * kept, so what it holds is noted in the space when a listing begins (cookie 0) and later calls read from the note:
 * a program that is listing a directory when the process is killed goes on with the same listing.
 */

import { LISTED, LISTED_BYTES } from '../../abi/ring.ts';
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import type { HostEntry } from '../../kernel/ports.ts';
import type { Space } from '../../space/index.ts';
import { encodeDirent, FILETYPE, RIGHT } from './abi.ts';
import { type Context, errnoOf } from './context.ts';
import { ERRNO } from './errno.ts';
import { giveU32, offsetOf } from './guest.ts';
import { D, isDirectory, KIND } from './state.ts';

/** One noted entry: u64 inode, u32 type, u32 length of the name; the name; padding to 8. */
const NOTE_HEADER_BYTES = 16;
const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);

interface Entry {
  /** Going on from here gives what comes behind. */
  cookie: number;
  inode: bigint;
  type: number;
  name: Uint8Array;
}

export function listingCalls(context: Context): Record<string, SystemCall> {
  return {
    fd_readdir: (caller: Caller, fd: number, buffer: number, bytes: number, cookie: bigint, out: number) =>
      readdir(context, caller, fd, buffer, bytes, cookie, out),
  };
}

function readdir(
  context: Context,
  caller: Caller,
  fd: number,
  buffer: number,
  bytes: number,
  cookie: bigint,
  out: number,
): number {
  const at = context.find(caller, fd);
  if (at === 0) return ERRNO.BADF;
  const kind = D.kind.get(context.space, at);
  if (!isDirectory(kind)) return ERRNO.NOTDIR;
  if (context.lacks(at, RIGHT.FD_READDIR)) return ERRNO.NOTCAPABLE;
  const capacity = bytes >>> 0;
  if (caller.range(buffer >>> 0, capacity, true) < 0 || caller.range(out >>> 0, 4, true) < 0)
    return ERRNO.FAULT;
  const from = offsetOf(cookie);
  if (kind === KIND.servedDirectory) {
    const bytes = served(context, caller, at, from, buffer >>> 0, capacity);
    return bytes < 0 ? -bytes : giveU32(caller, out, bytes);
  }
  const entries = kind === KIND.directory ? inTree(context, at, from) : onHost(context, caller, at, from);
  if (typeof entries === 'number') return entries;
  let used = 0;
  for (const entry of entries) {
    const record = encodeDirent(BigInt(entry.cookie), entry.inode, entry.type, entry.name);
    const piece = record.subarray(0, capacity - used);
    caller.writeBytes((buffer >>> 0) + used, piece);
    used += piece.length;
    if (used === capacity) break;
  }
  return giveU32(caller, out, used);
}

/** Entries behind `from` (-1: past any cookie). */
function* inTree(context: Context, at: number, from: number): Generator<Entry> {
  const directory = D.object.get(context.space, at);
  for (let cookie = from; cookie >= 0; ) {
    const entry = context.tree.next(directory, cookie);
    if (entry === null) return;
    cookie = entry.cookie;
    yield { cookie, inode: BigInt(entry.number), type: entry.type, name: entry.name };
  }
}

/** Cookies of a server begin behind those of the dots: this much is added to them. */
const AFTER_DOTS = 2;

/**
 * What a server lists: its entries are laid out as preview 1 has them, so they go to the program as they are, but for the cookies.
 * One operation a call.
 */
function served(c: Context, caller: Caller, at: number, from: number, buffer: number, bytes: number): number {
  const directory = c.servedDirectory(at);
  if (directory === undefined) return -ERRNO.STALE;
  if (from < 0) return 0;
  const dots = [DOT, DOT_DOT].map((name, i) => encodeDirent(BigInt(i + 1), 0n, FILETYPE.DIRECTORY, name));
  const head = new Uint8Array(dots.slice(Math.min(from, AFTER_DOTS)).flatMap((dot) => [...dot]));
  const room = bytes - head.length;
  const tail = room <= 0 ? new Uint8Array(0) : directory.listing(Math.max(0, from - AFTER_DOTS), room);
  if (typeof tail === 'number') return tail;
  moveCookies(tail);
  const all = new Uint8Array(head.length + tail.length);
  all.set(head);
  all.set(tail, head.length);
  const piece = all.subarray(0, bytes);
  return caller.writeBytes(buffer, piece) ? piece.length : -ERRNO.FAULT;
}

/** Adds to the cookie of each entry; a server's words may be anything, and then mean nothing to its client. */
function moveCookies(listing: Uint8Array): void {
  const view = new DataView(listing.buffer, listing.byteOffset, listing.length);
  for (let at = 0; at + 8 <= listing.length; ) {
    const cookie = view.getBigUint64(at + LISTED.cookie, true);
    view.setBigUint64(at + LISTED.cookie, BigInt.asUintN(64, cookie + BigInt(AFTER_DOTS)), true);
    if (at + LISTED_BYTES > listing.length) return;
    at += LISTED_BYTES + view.getUint32(at + LISTED.nameBytes, true);
  }
}

function onHost(context: Context, caller: Caller, at: number, from: number): Iterable<Entry> | number {
  const { space } = context;
  const directory = context.hostDirectory(at);
  if (directory === undefined) return ERRNO.STALE;
  if (from === 0 || D.listing.get(space, at) === 0) {
    const list = context.ask(caller, () => directory.list());
    if (typeof list === 'number') return errnoOf(list);
    note(space, at, list);
  }
  const self = context.ask(caller, () => directory.stat(new Uint8Array(0), true));
  return noted(space, at, from, typeof self === 'number' ? 0n : self.inode);
}

const padded = (bytes: number): number => (bytes + 7) & ~7;

/** Keeps what a host directory holds now. @throws SpaceFullError with the old note kept */
function note(space: Space, at: number, list: readonly HostEntry[]): void {
  const bytes = list.reduce((sum, entry) => sum + NOTE_HEADER_BYTES + padded(entry.name.length), 0);
  const block = space.heap.alloc(Math.max(bytes, 8));
  const old = D.listing.get(space, at);
  if (old !== 0) space.heap.free(old);
  D.listing.set(space, at, block);
  D.listed.set(space, at, list.length);
  let to = block;
  for (const entry of list) {
    space.setU64(to, entry.inode);
    space.setU32(to + 8, entry.type);
    space.setU32(to + 12, entry.name.length);
    space.writeBytes(to + NOTE_HEADER_BYTES, entry.name);
    to += NOTE_HEADER_BYTES + padded(entry.name.length);
  }
}

function* noted(space: Space, at: number, from: number, self: bigint): Generator<Entry> {
  if (from < 0) return;
  if (from < 1) yield { cookie: 1, inode: self, type: FILETYPE.DIRECTORY, name: DOT };
  if (from < 2) yield { cookie: 2, inode: self, type: FILETYPE.DIRECTORY, name: DOT_DOT };
  let place = D.listing.get(space, at);
  for (let i = 0; i < D.listed.get(space, at); i++) {
    const length = space.view.getUint32(place + 12, true);
    if (i + 2 >= from) {
      yield {
        cookie: i + 3,
        inode: space.view.getBigUint64(place, true),
        type: space.view.getUint32(place + 8, true),
        name: space.readBytes(place + NOTE_HEADER_BYTES, length),
      };
    }
    place += NOTE_HEADER_BYTES + padded(length);
  }
}
