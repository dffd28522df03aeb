/** The calls on wait sets (abi/semaphore.ts). */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { WAIT_SET_TOLD_MAX } from '../../base/limits.ts';
import type { Caller } from '../caller.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';
import { setKey } from './places.ts';
import type { Waits } from './queues.ts';
import type { WaitSet } from './sets.ts';

export function waitSetCalls(core: Core, waits: Waits): KernelCalls {
  const { places, sets } = waits;
  /** @param asked the kinds before it have been asked for this call */
  const find = (handle: number, rights: number, asked = false): WaitSet | number => {
    const found = asked
      ? core.clists.look(core.caller(), handle, rights, OBJECT.waitSet)
      : core.kinds.find(handle, rights, OBJECT.waitSet);
    return typeof found === 'number' ? found : sets.of(found.object);
  };
  return {
    waitset_create: { type: '=i', call: () => sets.create(core.caller()) },
    waitset_add: {
      type: 'iiI=i',
      call: (_, handle: number, pointer: number, user: bigint): number => {
        const set = find(handle, RIGHT.write);
        if (typeof set === 'number') return set;
        const key = places.semaphore(core.caller(), pointer);
        return typeof key === 'number' ? key : sets.add(set, core.caller(), key, pointer >>> 0, user);
      },
    },
    waitset_remove: {
      type: 'ii=i',
      call: (_, handle: number, pointer: number): number => {
        const set = find(handle, RIGHT.write);
        if (typeof set === 'number') return set;
        const key = places.semaphore(core.caller(), pointer);
        return typeof key === 'number' ? key : sets.remove(set, key);
      },
    },
    waitset_wait: {
      type: 'iiiI=i',
      call: (caller: Caller, handle: number, out: number, capacity: number, timeout: bigint): number => {
        if (capacity <= 0) return -ERRNO.INVAL;
        const most = Math.min(capacity, WAIT_SET_TOLD_MAX);
        if (caller.range(out, 8 * most, true) < 0) return -ERRNO.FAULT;
        const told: bigint[] = [];
        const answer = waits.answered(caller);
        if (answer !== undefined) {
          if (answer < 0) return answer;
          told.push(waits.extra(caller));
        }
        const set = find(handle, RIGHT.read, waits.hasBegun(caller));
        if (typeof set !== 'number') sets.collect(set, most, told);
        else if (told.length === 0) return set;
        if (told.length === 0) {
          const key = { ...setKey((set as WaitSet).row), near: handle };
          return waits.await(caller, key, timeout, 0, () => -1);
        }
        for (let i = 0; i < told.length; i++) caller.setU64((out >>> 0) + 8 * i, told[i] as bigint);
        return told.length;
      },
    },
  };
}
