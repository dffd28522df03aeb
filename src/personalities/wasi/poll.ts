/**
 * poll_oneoff: waits until one of many things has happened, and tells all that have. Every kind of descriptor can be
 * polled; files and directories are always ready. A relative timeout counts from the first run of the call, noted in
 * the scratch, so a program killed in its sleep sleeps on for what was left; time without a process does not count.
 */
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import type { Waitable } from '../../kernel/ports.ts';
import {
  CLOCK_THREAD_CPUTIME,
  EVENT_BYTES,
  EVENT_CLOCK,
  EVENT_FD_READ,
  EVENT_FD_WRITE,
  EVENT_HANGUP,
  encodeEvent,
  type PollEvent,
  RIGHT,
  SUBCLOCK_ABSTIME,
  type Subscription,
} from './abi.ts';
import type { Context } from './context.ts';
import { ERRNO } from './errno.ts';
import { give, giveU32 } from './guest.ts';
import { timeOf } from './process.ts';
import { D, isDirectory, isFile, KIND } from './state.ts';

/** Scratch word: when the call was first made, in the space's monotonic time plus one. */
const STARTED = 1;
/** Most subscriptions of one call: more than descriptors there can be. */
const SUBSCRIPTIONS_MAX = 16384;
const FOREVER = 2n ** 64n - 1n;

export function pollCalls(context: Context): Record<string, SystemCall> {
  return {
    poll_oneoff: (caller: Caller, input: number, output: number, count: number, out: number) =>
      poll(context, caller, input, output, count, out),
  };
}

function poll(
  context: Context,
  caller: Caller,
  input: number,
  output: number,
  count: number,
  out: number,
): number {
  const wanted = count >>> 0;
  if (wanted === 0 || wanted > SUBSCRIPTIONS_MAX) return ERRNO.INVAL;
  const copy = caller.readBytes(input >>> 0, wanted * context.dialect.subscriptionBytes);
  if (
    copy === null ||
    caller.range(output >>> 0, wanted * EVENT_BYTES, true) < 0 ||
    caller.range(out >>> 0, 4, true) < 0
  ) {
    return ERRNO.FAULT;
  }
  const view = new DataView(copy.buffer);
  const events: PollEvent[] = [];
  const waiting: Waitable[] = [];
  const now = caller.now();
  const started = startOf(caller, now);
  let deadline = FOREVER;
  for (let i = 0; i < wanted; i++) {
    const subscription = context.dialect.subscription(view, i * context.dialect.subscriptionBytes);
    const { tag } = subscription;
    if (tag === EVENT_CLOCK) {
      const due = dueAt(context, caller, subscription, started, now);
      if (due < 0n) events.push(event(subscription, -Number(due)));
      else if (due <= now) events.push(event(subscription, ERRNO.SUCCESS));
      else if (due < deadline) deadline = due;
    } else if (tag === EVENT_FD_READ || tag === EVENT_FD_WRITE) {
      const happened = descriptorEvent(context, caller, subscription, waiting);
      if (happened !== null) events.push(happened);
    } else {
      return ERRNO.INVAL;
    }
  }
  if (events.length === 0) {
    for (const object of waiting) object.subscribe(caller.domainId);
    if (deadline === FOREVER) caller.block();
    caller.block(deadline);
  }
  const bytes = new Uint8Array(events.length * EVENT_BYTES);
  const encoded = new DataView(bytes.buffer);
  for (const [i, happened] of events.entries()) encodeEvent(encoded, i * EVENT_BYTES, happened);
  const given = give(caller, output, bytes);
  return given === ERRNO.SUCCESS ? giveU32(caller, out, events.length) : given;
}

/** When this call was first made. */
function startOf(caller: Caller, now: bigint): bigint {
  const noted = caller.getScratch(STARTED);
  if (noted !== 0n) return noted - 1n;
  caller.setScratch(STARTED, now + 1n);
  return now;
}

function event(subscription: Subscription, error: number, bytes = 0, flags = 0): PollEvent {
  return { userdata: subscription.userdata, error, type: subscription.tag, bytes, flags };
}

/** When a clock subscription is due, in the space's monotonic time; -errno where it makes no sense. */
function dueAt(context: Context, caller: Caller, s: Subscription, started: bigint, now: bigint): bigint {
  if (s.clock > CLOCK_THREAD_CPUTIME || (s.clockFlags & ~SUBCLOCK_ABSTIME) !== 0) return -BigInt(ERRNO.INVAL);
  if ((s.clockFlags & SUBCLOCK_ABSTIME) === 0) return started + s.timeout;
  const left = s.timeout - timeOf(context, caller, s.clock);
  return left <= 0n ? now : now + left;
}

/** What a descriptor has to say now; null where nothing, and then what to wait for is in `waiting`. */
function descriptorEvent(
  context: Context,
  caller: Caller,
  s: Subscription,
  waiting: Waitable[],
): PollEvent | null {
  const { space } = context;
  const at = context.find(caller, s.fd);
  if (at === 0) return event(s, ERRNO.BADF);
  const reading = s.tag === EVENT_FD_READ;
  const kind = D.kind.get(space, at);
  if (isDirectory(kind)) return event(s, ERRNO.SUCCESS);
  if (context.lacks(at, RIGHT.POLL_FD_READWRITE)) return event(s, ERRNO.NOTCAPABLE);
  if (isFile(kind)) {
    return event(s, ERRNO.SUCCESS, reading ? Math.max(0, sizeLeft(context, at)) : 0);
  }
  const object =
    kind === KIND.socket
      ? context.socket(at)
      : kind === KIND.listener
        ? context.listener(at)
        : context.stream(caller, at);
  if (object === undefined) return event(s, ERRNO.SUCCESS, 0, EVENT_HANGUP);
  const ready = object.ready();
  if (!(reading ? ready.readable : ready.writable)) {
    waiting.push(object);
    return null;
  }
  return event(s, ERRNO.SUCCESS, reading ? ready.bytes : 0, ready.hangup ? EVENT_HANGUP : 0);
}

/** Bytes between a file's position and its end. */
function sizeLeft(context: Context, at: number): number {
  if (D.kind.get(context.space, at) === KIND.servedFile) return 0; // nothing is asked of who serves it
  const object = D.object.get(context.space, at);
  const size =
    D.kind.get(context.space, at) === KIND.file
      ? context.tree.size(object)
      : (context.hostFile(at)?.size() ?? 0);
  return size - D.offset.get(context.space, at);
}
