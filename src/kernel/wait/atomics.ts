/**
 * memory.atomic.wait and notify, whose instructions call the kernel (abi/system.ts). Who waits, waits as at a semaphore;
 * an enforced program, whose own process has no such queues, waits until its time has come.
 */
import type { Caller } from '../caller.ts';
import type { Core } from '../core.ts';
import { NO_DEADLINE } from '../domain.ts';
import { memoryKey, type Places, SORT } from './places.ts';
import type { Pointed, Waits } from './queues.ts';

/** What the instruction gives; 0 where it was notified. */
const NOT_EQUAL = 1;
const TIMED_OUT = 2;
const OUT_OF_BOUNDS = 'out of bounds memory access';

/** memory.atomic.wait32 (width 4) and wait64 (width 8); a safepoint, at which the instruction is begun again. */
export function atomicWait(
  core: Core,
  caller: Caller,
  memory: number,
  address: bigint,
  expected: bigint,
  timeout: bigint,
  width: number,
): number {
  const again = core.waits?.again(caller);
  const result =
    typeof again === 'number'
      ? again
      : again !== undefined
        ? (core.waits as Waits).await(caller, again[0], timeout, TIMED_OUT, () => -1)
        : wait(core, caller, locate(core, memory, address, width), expected, timeout);
  core.running().clearScratch();
  if (result < 0) core.trap(OUT_OF_BOUNDS); // it may not use the segment any more
  return result;
}

function wait(core: Core, caller: Caller, place: AtomicPlace, expected: bigint, timeout: bigint): number {
  if (!place.shared) core.trap('expected shared memory');
  const { view, at, width } = place;
  const differs = (): boolean => {
    const value = width === 8 ? view.getBigInt64(at, true) : BigInt(view.getInt32(at, true));
    return value !== (width === 8 ? BigInt.asIntN(64, expected) : BigInt.asIntN(32, expected));
  };
  const { waits } = core;
  if (waits === null) return waitAlone(caller, timeout, differs);
  return waits.await(caller, place, timeout, TIMED_OUT, () => (differs() ? NOT_EQUAL : -1));
}

/** memory.atomic.notify: how many go on, of at most `count`. */
export function atomicNotify(core: Core, memory: number, address: bigint, count: number): number {
  const place = locate(core, memory, address, 4);
  return core.waits?.notify(place, count >>> 0) ?? 0;
}

/** One activation in a process with its own memory: nobody else could notify it. */
function waitAlone(caller: Caller, timeout: bigint, differs: () => boolean): number {
  if (caller.getScratch(0) === 0n) {
    if (differs()) return NOT_EQUAL;
    caller.setScratch(0, 1n);
    caller.setScratch(1, timeout < 0n ? NO_DEADLINE : caller.now() + timeout);
  }
  const deadline = caller.getScratch(1);
  if (deadline === NO_DEADLINE) return caller.block();
  return caller.now() >= deadline ? TIMED_OUT : caller.block(deadline);
}

interface AtomicPlace extends Pointed {
  /** The program has declared its memory as shared; else waiting traps, in segments too. */
  readonly shared: boolean;
  readonly width: number;
  readonly view: DataView;
  readonly at: number;
}

/** Where an atomic access goes, or the trap wasm has for it. */
function locate(core: Core, memory: number, address: bigint, width: number): AtomicPlace {
  const [domain, near] = [core.caller(), Number(address)];
  if (memory >= domain.memoryCount || address >= 1n << 53n) core.trap(OUT_OF_BOUNDS);
  const own = domain.own?.[memory]?.memory;
  const [places, view] = [core.waits?.places, core.space.view];
  const inside = near + width <= domain.bytesOf(memory);
  if (!inside && places === undefined) core.trap(OUT_OF_BOUNDS);
  const key = inside
    ? memoryKey(domain.id, memory, near, SORT.atomic)
    : (places as Places).at(domain, memory, near, width, SORT.atomic);
  if (typeof key === 'number') core.trap(OUT_OF_BOUNDS);
  if (near % width !== 0) core.trap('unaligned atomic');
  const shared = domain.module.evidence.memories[memory]?.shared === true;
  const place = { ...key, near, shared, width };
  if (own !== undefined) return { ...place, view: new DataView(own.buffer), at: near };
  const at = inside ? domain.addressOf(memory) + near : (places as Places).address(key);
  if (at < 0) core.trap(OUT_OF_BOUNDS);
  return { ...place, view, at };
}
