/**
 * Reading and writing: fd_read, fd_write, fd_pread, fd_pwrite. Bytes of the space's own files move straight between
 * the segment and guest memory; streams and host files get views of guest memory.
 *
 * A call that has moved anything returns that; only one that could move nothing waits, or says AGAIN where the
 * descriptor is non-blocking. So a call made again after waiting never repeats an effect.
 */
import { SERVED_TRANSFER_BYTES, TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import { type HostFile, type Waitable, WOULD_BLOCK } from '../../kernel/ports.ts';
import { FDFLAGS, RIGHT } from './abi.ts';
import type { Context } from './context.ts';
import { ERRNO } from './errno.ts';
import { giveU32, offsetOf } from './guest.ts';
import { D, isDirectory, isFile, KIND } from './state.ts';

/** Most bytes gathered into one write to a host file. */
const GATHER_BYTES = 1 << 20;

export function ioCalls(context: Context): Record<string, SystemCall> {
  return {
    fd_read: (caller: Caller, fd: number, vectors: number, count: number, result: number) =>
      transfer(context, caller, fd, vectors, count, null, result, false),
    fd_write: (caller: Caller, fd: number, vectors: number, count: number, result: number) =>
      transfer(context, caller, fd, vectors, count, null, result, true),
    fd_pread: (caller: Caller, fd: number, vectors: number, count: number, offset: bigint, result: number) =>
      transfer(context, caller, fd, vectors, count, offset, result, false),
    fd_pwrite: (caller: Caller, fd: number, vectors: number, count: number, offset: bigint, result: number) =>
      transfer(context, caller, fd, vectors, count, offset, result, true),
  };
}

/** @param place where in the file, or null for the descriptor's own offset */
function transfer(
  context: Context,
  caller: Caller,
  fd: number,
  vectors: number,
  count: number,
  place: bigint | null,
  result: number,
  writing: boolean,
): number {
  const { space } = context;
  const at = context.find(caller, fd);
  if (at === 0) return ERRNO.BADF;
  const kind = D.kind.get(space, at);
  if (isDirectory(kind)) return ERRNO.ISDIR;
  if (place !== null && !isFile(kind)) return ERRNO.SPIPE;
  const right = writing ? RIGHT.FD_WRITE : RIGHT.FD_READ;
  if (context.lacks(at, right)) return ERRNO.NOTCAPABLE;
  if (caller.range(result >>> 0, 4, true) < 0) return ERRNO.FAULT;
  const fault = context.buffers.load(caller, vectors, count, !writing);
  if (fault !== ERRNO.SUCCESS) return fault;
  let moved: number;
  if (isFile(kind)) {
    let offset = D.offset.get(space, at);
    if (place !== null) offset = offsetOf(place);
    if (offset < 0 || offset > Number.MAX_SAFE_INTEGER - TRANSFER_MAX_BYTES) return ERRNO.INVAL;
    moved = fileTransfer(context, caller, at, kind, offset, place === null, writing);
  } else {
    moved = streamTransfer(context, caller, at, kind, writing);
  }
  return moved < 0 ? -moved : giveU32(caller, result, moved);
}

/** @param moving whether the descriptor's offset goes along */
function fileTransfer(
  context: Context,
  caller: Caller,
  at: number,
  kind: number,
  offset: number,
  moving: boolean,
  writing: boolean,
): number {
  const { space, tree } = context;
  const append = writing && moving && (D.flags.get(space, at) & FDFLAGS.APPEND) !== 0;
  if (writing && D.readOnly.get(space, at) !== 0) return -ERRNO.ROFS;
  let start = offset;
  let moved: number;
  if (kind === KIND.file) {
    const node = D.object.get(space, at);
    if (append) start = tree.size(node);
    moved = writing ? treeWrite(context, node, start) : treeRead(context, node, start);
  } else if (kind === KIND.servedFile) {
    ({ start, moved } = servedTransfer(context, at, start, append, writing));
  } else {
    const file = context.hostFile(at);
    if (file === undefined) return -ERRNO.STALE;
    if (append) {
      start = file.size();
      if (start < 0) return start;
    }
    moved = writing ? hostWrite(context, caller, file, start) : hostRead(context, caller, file, start);
  }
  if (moving && moved >= 0 && (moved > 0 || append)) D.offset.set(space, at, start + moved);
  return moved;
}

/** One operation for one call: several buffers are gathered first, or filled after. */
function servedTransfer(
  context: Context,
  at: number,
  offset: number,
  append: boolean,
  writing: boolean,
): { start: number; moved: number } {
  const { buffers } = context;
  const file = context.servedFile(at);
  if (file === undefined) return { start: offset, moved: -ERRNO.STALE };
  if (buffers.total === 0) return { start: offset, moved: 0 };
  if (!writing) {
    const bytes = new Uint8Array(Math.min(buffers.total, SERVED_TRANSFER_BYTES));
    const moved = file.read(bytes, offset);
    if (moved > 0) scatter(context, bytes.subarray(0, moved));
    return { start: offset, moved };
  }
  if (!append) return { start: offset, moved: file.write(NO_EFFECT, gather(context), offset) };
  const { taken, end } = file.append(gather(context));
  return { start: Math.max(0, end - taken), moved: taken };
}
const NO_EFFECT = { domain: 0, effect: 0 };

/** Puts bytes into the buffers, one after the other. */
function scatter({ buffers, space }: Context, bytes: Uint8Array): void {
  let done = 0;
  for (let i = 0; i < buffers.count && done < bytes.length; i++) {
    const count = Math.min(buffers.lengths[i] as number, bytes.length - done);
    space.writeBytes(buffers.addresses[i] as number, bytes.subarray(done, done + count));
    done += count;
  }
}

function treeRead(context: Context, node: number, offset: number): number {
  const { buffers, tree } = context;
  let moved = 0;
  for (let i = 0; i < buffers.count; i++) {
    const length = buffers.lengths[i] as number;
    const got = tree.read(node, offset + moved, buffers.addresses[i] as number, length);
    moved += got;
    if (got < length) break;
  }
  return moved;
}

function treeWrite(context: Context, node: number, offset: number): number {
  const { buffers, tree } = context;
  const now = buffers.total > 0 ? context.realtime() : 0n;
  let moved = 0;
  for (let i = 0; i < buffers.count; i++) {
    const length = buffers.lengths[i] as number;
    const put = tree.write(node, offset + moved, buffers.addresses[i] as number, length, now);
    if (put < 0) return moved > 0 ? moved : put;
    moved += put;
  }
  return moved;
}

function hostRead(context: Context, caller: Caller, file: HostFile, offset: number): number {
  const { buffers, space } = context;
  let moved = 0;
  for (let i = 0; i < buffers.count; i++) {
    const address = buffers.addresses[i] as number;
    const length = buffers.lengths[i] as number;
    space.mark(address, length);
    const from = offset + moved;
    const got = file.read(space.u8.subarray(address, address + length), from);
    if (got === WOULD_BLOCK && moved === 0) context.ask(caller, () => got);
    if (got < 0) return moved > 0 ? moved : got;
    moved += got;
    if (got < length) break;
  }
  return moved;
}

/** One effect for one call: several buffers are gathered first. */
function hostWrite(context: Context, caller: Caller, file: HostFile, offset: number): number {
  const { buffers } = context;
  if (buffers.total === 0) return 0;
  const bytes = gather(context);
  return context.effect<number>(caller, (op) => file.write(op, bytes, offset));
}

/** The bytes of the buffers as one array: a view where there is one buffer, a copy of the first GATHER_BYTES else. */
export function gather(context: Context): Uint8Array {
  const { buffers, space } = context;
  const first = buffers.addresses[0] as number;
  if (buffers.count === 1) return space.u8.subarray(first, first + (buffers.lengths[0] as number));
  const bytes = new Uint8Array(Math.min(buffers.total, GATHER_BYTES));
  let done = 0;
  for (let i = 0; i < buffers.count && done < bytes.length; i++) {
    const address = buffers.addresses[i] as number;
    const length = Math.min(buffers.lengths[i] as number, bytes.length - done);
    bytes.set(space.u8.subarray(address, address + length), done);
    done += length;
  }
  return bytes;
}

function streamTransfer(
  context: Context,
  caller: Caller,
  at: number,
  kind: number,
  writing: boolean,
): number {
  const { buffers, space } = context;
  if (kind === KIND.listener) return -ERRNO.NOTCONN;
  const socket = kind === KIND.socket ? context.socket(at) : undefined;
  if (kind === KIND.socket && socket === undefined) return -ERRNO.CONNRESET;
  const stream = socket === undefined ? context.stream(caller, at) : undefined;
  if (kind === KIND.servedStream && buffers.total > 0) {
    if (writing) return stream?.write(gather(context)) ?? 0;
    const bytes = new Uint8Array(Math.min(buffers.total, SERVED_TRANSFER_BYTES));
    const got = stream?.read(bytes) ?? 0;
    if (got > 0) scatter(context, bytes.subarray(0, got));
    return got;
  }
  const target = (socket ?? stream) as Waitable;
  let moved = 0;
  for (let i = 0; i < buffers.count; i++) {
    const address = buffers.addresses[i] as number;
    const length = buffers.lengths[i] as number;
    const view = space.u8.subarray(address, address + length);
    let got: number;
    if (writing) {
      got = socket === undefined ? (stream?.write(view) ?? 0) : socket.send(view);
    } else {
      space.mark(address, length);
      got = socket === undefined ? (stream?.read(view) ?? 0) : socket.receive(view, false);
    }
    if (got < 0) return moved > 0 ? moved : refuseOrWait(context, caller, at, target, got);
    moved += got;
    if (got < length) break;
  }
  return moved;
}

/** Waits for `target` where `result` says so and the descriptor lets it; else the errno. Negative, if it returns. */
export function refuseOrWait(
  context: Context,
  caller: Caller,
  at: number,
  target: Waitable,
  result: number,
): number {
  if (result !== WOULD_BLOCK) return result;
  if ((D.flags.get(context.space, at) & FDFLAGS.NONBLOCK) !== 0) return -ERRNO.AGAIN;
  target.subscribe(caller.domainId);
  caller.block();
}
