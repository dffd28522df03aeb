/**
 * The four calls on sockets. A program has the sockets it was granted (listening or connected) and those it accepts;
 * preview 1 has no way to make others. Reading and writing with fd_read and fd_write works too (io.ts).
 */
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import { FDFLAGS_ALL, RIFLAGS, RIFLAGS_ALL, RIGHT, RIGHTS_SOCKET, SDFLAGS_ALL } from './abi.ts';
import { type Context, errnoOf } from './context.ts';
import { ERRNO } from './errno.ts';
import { giveU32 } from './guest.ts';
import { gather, refuseOrWait } from './io.ts';
import { D, fill, freeNumber, KIND } from './state.ts';

export function socketCalls(context: Context): Record<string, SystemCall> {
  return {
    sock_accept: (caller: Caller, fd: number, flags: number, out: number) =>
      accept(context, caller, fd, flags, out),
    sock_recv: (
      caller: Caller,
      fd: number,
      vectors: number,
      count: number,
      flags: number,
      bytesOut: number,
      flagsOut: number,
    ) => receive(context, caller, fd, vectors, count, flags, bytesOut, flagsOut),
    sock_send: (caller: Caller, fd: number, vectors: number, count: number, flags: number, out: number) =>
      send(context, caller, fd, vectors, count, flags, out),
    sock_shutdown: (caller: Caller, fd: number, how: number) => shutdown(context, caller, fd, how),
  };
}

function accept(context: Context, caller: Caller, fd: number, flags: number, out: number): number {
  const { space } = context;
  const at = context.find(caller, fd);
  if (at === 0) return ERRNO.BADF;
  const kind = D.kind.get(space, at);
  if (kind !== KIND.listener) return kind === KIND.socket ? ERRNO.INVAL : ERRNO.NOTSOCK;
  if (context.lacks(at, RIGHT.SOCK_ACCEPT)) return ERRNO.NOTCAPABLE;
  if ((flags & ~FDFLAGS_ALL) !== 0) return ERRNO.INVAL;
  if (caller.range(out >>> 0, 4, true) < 0) return ERRNO.FAULT;
  const listener = context.listener(at);
  if (listener === undefined) return ERRNO.STALE;
  const number = freeNumber(space, caller.personalityState);
  if (number < 0) return ERRNO.MFILE;
  const socket = listener.accept();
  if (typeof socket === 'number') {
    return -refuseOrWait(context, caller, context.find(caller, fd), listener, socket);
  }
  const handle = context.bindings.accepted(caller.domainId, context.find(caller, fd), socket.id);
  if (handle < 0) {
    socket.close();
    return ERRNO.MFILE;
  }
  fill(space, caller.personalityState, number, {
    kind: KIND.socket,
    object: socket.id,
    handle,
    rights: RIGHTS_SOCKET,
    inheriting: 0,
    flags,
  });
  return giveU32(caller, out, number);
}

/** Record of a connected socket, or the errno as a negative number. */
function socketOnly(context: Context, caller: Caller, fd: number): number {
  const at = context.find(caller, fd);
  if (at === 0) return -ERRNO.BADF;
  const kind = D.kind.get(context.space, at);
  if (kind === KIND.socket) return at;
  return kind === KIND.listener ? -ERRNO.NOTCONN : -ERRNO.NOTSOCK;
}

/**
 * RECV_WAITALL is taken as a wish: bytes come as they are there, so that a program killed and resumed between two
 * pieces has them all the same.
 */
function receive(
  context: Context,
  caller: Caller,
  fd: number,
  vectors: number,
  count: number,
  flags: number,
  bytesOut: number,
  flagsOut: number,
): number {
  const at = socketOnly(context, caller, fd);
  if (at < 0) return -at;
  if (context.lacks(at, RIGHT.FD_READ)) return ERRNO.NOTCAPABLE;
  if ((flags & ~RIFLAGS_ALL) !== 0) return ERRNO.INVAL;
  if (caller.range(bytesOut >>> 0, 4, true) < 0 || caller.range(flagsOut >>> 0, 2, true) < 0)
    return ERRNO.FAULT;
  const { buffers, space } = context;
  const fault = buffers.load(caller, vectors, count, true);
  if (fault !== ERRNO.SUCCESS) return fault;
  const socket = context.socket(at);
  if (socket === undefined) return ERRNO.CONNRESET;
  const peek = (flags & RIFLAGS.RECV_PEEK) !== 0;
  let moved = 0;
  for (let i = 0; i < buffers.count; i++) {
    const address = buffers.addresses[i] as number;
    const length = buffers.lengths[i] as number;
    space.mark(address, length);
    const got = socket.receive(space.u8.subarray(address, address + length), peek);
    if (got < 0) {
      if (moved > 0) break;
      return -refuseOrWait(context, caller, at, socket, got);
    }
    moved += got;
    if (got < length || peek) break; // a second peek would see the same bytes again
  }
  caller.setU16(flagsOut >>> 0, 0);
  return giveU32(caller, bytesOut, moved);
}

function send(
  context: Context,
  caller: Caller,
  fd: number,
  vectors: number,
  count: number,
  flags: number,
  out: number,
): number {
  const at = socketOnly(context, caller, fd);
  if (at < 0) return -at;
  if (context.lacks(at, RIGHT.FD_WRITE)) return ERRNO.NOTCAPABLE;
  if ((flags & 0xffff) !== 0) return ERRNO.INVAL;
  if (caller.range(out >>> 0, 4, true) < 0) return ERRNO.FAULT;
  const fault = context.buffers.load(caller, vectors, count, false);
  if (fault !== ERRNO.SUCCESS) return fault;
  const socket = context.socket(at);
  if (socket === undefined) return ERRNO.CONNRESET;
  if (context.buffers.total === 0) return giveU32(caller, out, 0);
  const sent = socket.send(gather(context));
  return sent < 0 ? -refuseOrWait(context, caller, at, socket, sent) : giveU32(caller, out, sent);
}

function shutdown(context: Context, caller: Caller, fd: number, how: number): number {
  const at = socketOnly(context, caller, fd);
  if (at < 0) return -at;
  if (context.lacks(at, RIGHT.SOCK_SHUTDOWN)) return ERRNO.NOTCAPABLE;
  if ((how & ~SDFLAGS_ALL) !== 0 || (how & SDFLAGS_ALL) === 0) return ERRNO.INVAL;
  const socket = context.socket(at);
  if (socket === undefined) return ERRNO.NOTCONN;
  return errnoOf(socket.shutdown((how & 1) !== 0, (how & 2) !== 0));
}
