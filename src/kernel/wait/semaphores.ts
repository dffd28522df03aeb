/** The calls on semaphores (abi/semaphore.ts). */
import { ERRNO } from '../../abi/errno.ts';
import { WAIT_ANY_MAX } from '../../base/limits.ts';
import type { Caller } from '../caller.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';
import type { Key } from './places.ts';
import type { Pointed, Waits } from './queues.ts';

export function semaphoreCalls(core: Core, waits: Waits): KernelCalls {
  const { places } = waits;
  return {
    sem_wait: {
      type: 'iI=i',
      call: (caller: Caller, pointer: number, timeout: bigint): number => {
        const keys = waits.again(caller) ?? one(places.semaphore(core.caller(), pointer), pointer);
        return typeof keys === 'number' ? keys : waits.take(caller, keys, timeout, -ERRNO.TIMEDOUT);
      },
    },
    sem_wake: {
      type: 'i=i',
      call: (_caller: Caller, pointer: number): number => {
        const key = places.semaphore(core.caller(), pointer);
        return typeof key === 'number' ? key : waits.wake(key);
      },
    },
    wait_any: {
      type: 'iiI=i',
      call: (caller: Caller, list: number, count: number, timeout: bigint): number => {
        const keys = waits.again(caller) ?? readKeys(core, waits, caller, list, count);
        return typeof keys === 'number' ? keys : waits.take(caller, keys, timeout, -ERRNO.TIMEDOUT);
      },
    },
  };
}

const one = (key: Key | number, pointer: number): Pointed[] | number =>
  typeof key === 'number' ? key : [{ ...key, near: pointer >>> 0 }];

/** The keys of a list of pointers, or -errno. */
function readKeys(core: Core, waits: Waits, caller: Caller, list: number, count: number): Pointed[] | number {
  if (count <= 0 || count > WAIT_ANY_MAX) return -ERRNO.INVAL;
  const copy = caller.readBytes(list, 4 * count);
  if (copy === null) return -ERRNO.FAULT;
  const view = new DataView(copy.buffer);
  const keys: Pointed[] = [];
  for (let i = 0; i < count; i++) {
    const near = view.getUint32(4 * i, true);
    const key = waits.places.semaphore(core.caller(), near);
    if (typeof key === 'number') return key;
    keys.push({ ...key, near });
  }
  return keys;
}
