/**
 * Calls about the program itself: its arguments and environment, clocks, randomness, giving way, and ending.
 */
import type { Caller, SystemCall } from '../../kernel/caller.ts';
import { CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME } from './abi.ts';
import type { Context } from './context.ts';
import { ERRNO } from './errno.ts';
import { giveU32, giveU64 } from './guest.ts';
import { S } from './state.ts';

/** Random bytes made in one run of a call. */
const RANDOM_RUN_BYTES = 128 << 10;
/** Scratch word: bytes that earlier runs of random_get have filled. */
const FILLED = 0;
/** Processor time is counted in microseconds. */
const CPU_STEP_NS = 1000n;
/** Signals of proc_raise that a program survives: none, CHLD, CONT, URG, WINCH. */
const HARMLESS_SIGNALS: readonly number[] = [0, 16, 17, 22, 27];
/** STOP, TSTP, TTIN, TTOU: nobody inside could wake the program again. */
const STOP_SIGNALS: readonly number[] = [18, 19, 20, 21];
const SIGNAL_NAMES =
  'NONE HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH POLL PWR SYS'.split(
    ' ',
  );

export function processCalls(context: Context): Record<string, SystemCall> {
  const c = context;
  return {
    args_get: (k: Caller, pointers: number, buffer: number) =>
      strings(c, k, S.args, S.argCount, S.argBytes, pointers, buffer),
    args_sizes_get: (k: Caller, count: number, bytes: number) =>
      sizes(c, k, S.argCount, S.argBytes, count, bytes),
    environ_get: (k: Caller, pointers: number, buffer: number) =>
      strings(c, k, S.env, S.envCount, S.envBytes, pointers, buffer),
    environ_sizes_get: (k: Caller, count: number, bytes: number) =>
      sizes(c, k, S.envCount, S.envBytes, count, bytes),
    clock_res_get: (k: Caller, id: number, out: number) => {
      if (id >>> 0 > CLOCK_THREAD_CPUTIME) return ERRNO.INVAL;
      if (!c.bindings.may(k.domainId, 'clock')) return ERRNO.NOTCAPABLE;
      return giveU64(k, out, id >= CLOCK_PROCESS_CPUTIME ? CPU_STEP_NS : c.ports.clock.resolutionNs);
    },
    clock_time_get: (k: Caller, id: number, _precision: bigint, out: number) => {
      if (!c.bindings.may(k.domainId, 'clock')) return ERRNO.NOTCAPABLE;
      const time = timeOf(c, k, id);
      return time < 0n ? ERRNO.INVAL : giveU64(k, out, time);
    },
    random_get: (k: Caller, buffer: number, length: number) => random(c, k, buffer, length),
    sched_yield: (k: Caller) => {
      k.yield();
      return ERRNO.SUCCESS;
    },
    proc_exit: (k: Caller, code: number) => k.exit(code >>> 0),
    proc_raise: (k: Caller, signal: number) => raise(k, signal),
  };
}

/** What a clock says, in nanoseconds; -1 for an unknown clock. */
export function timeOf(c: Context, k: Caller, id: number): bigint {
  switch (id) {
    case CLOCK_REALTIME:
      return c.realtime();
    case CLOCK_MONOTONIC:
      return k.now();
    case CLOCK_PROCESS_CPUTIME:
    case CLOCK_THREAD_CPUTIME:
      return k.cpuTime();
    default:
      return -1n;
  }
}

type NumberField = (typeof S)['args'];
type CountField = (typeof S)['argCount'];

function sizes(
  c: Context,
  k: Caller,
  count: CountField,
  bytes: CountField,
  countOut: number,
  bytesOut: number,
): number {
  const state = k.personalityState;
  const given = giveU32(k, countOut, count.get(c.space, state));
  return given === ERRNO.SUCCESS ? giveU32(k, bytesOut, bytes.get(c.space, state)) : given;
}

/** Copies zero-ended strings to `buffer` and a pointer to each to `pointers`. */
function strings(
  c: Context,
  k: Caller,
  block: NumberField,
  count: CountField,
  bytes: CountField,
  pointers: number,
  buffer: number,
): number {
  const state = k.personalityState;
  const packed = c.space.readBytes(block.get(c.space, state), bytes.get(c.space, state));
  const list = new DataView(new ArrayBuffer(4 * count.get(c.space, state)));
  let at = 0;
  for (let i = 0; i * 4 < list.byteLength; i++) {
    list.setUint32(4 * i, ((buffer >>> 0) + at) >>> 0, true);
    at = packed.indexOf(0, at) + 1;
  }
  if (k.range(pointers >>> 0, list.byteLength, true) < 0) return ERRNO.FAULT;
  if (!k.writeBytes(buffer >>> 0, packed)) return ERRNO.FAULT;
  return k.writeBytes(pointers >>> 0, new Uint8Array(list.buffer)) ? ERRNO.SUCCESS : ERRNO.FAULT;
}

/**
 * Random bytes are slow to make, and a call cannot be interrupted: a long request is filled a piece at a time, others
 * running in between.
 */
function random(c: Context, k: Caller, buffer: number, length: number): number {
  const bytes = length >>> 0;
  if (!c.bindings.may(k.domainId, 'random')) return ERRNO.NOTCAPABLE;
  const to = k.range(buffer >>> 0, bytes, true);
  if (to < 0) return ERRNO.FAULT;
  const done = Number(k.getScratch(FILLED));
  const end = Math.min(done + RANDOM_RUN_BYTES, bytes);
  if (done < end) {
    c.space.mark(to + done, end - done);
    c.ports.random.fill(c.space.u8.subarray(to + done, to + end));
  }
  if (end === bytes) return ERRNO.SUCCESS;
  k.setScratch(FILLED, BigInt(end));
  k.block(k.now());
}

/** There are no handlers in this interface, so a signal does what it does by default. */
function raise(k: Caller, signal: number): number {
  const number = signal & 0xff;
  const name = SIGNAL_NAMES[number];
  if (name === undefined) return ERRNO.INVAL;
  if (HARMLESS_SIGNALS.includes(number)) return ERRNO.SUCCESS;
  if (STOP_SIGNALS.includes(number)) return ERRNO.NOTSUP;
  k.trap(`signal ${name}`);
}
