/**
 * `wait` for a semaphore or a wait set: the operation waits in the same queues as calls do (kernel/wait), among them in the
 * order of coming, and is handed what it waits for. While it is in a queue it has a record; what it is handed stands in that.
 */
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT } from '../../abi/objects.ts';
import { NO_HANDLE, OPERATION } from '../../abi/ring.ts';
import type { Core } from '../core.ts';
import { WOULD_BLOCK } from '../ports.ts';
import { setKey } from '../wait/places.ts';
import type { Pointed, Waits } from '../wait/queues.ts';
import type { Operation } from './operation.ts';
import { roomy } from './roomy.ts';
import type { ObjectServer, Target } from './server.ts';

/** It has no object, but the address of a semaphore. */
export const isForSemaphore = ({ code, handle }: Operation): boolean =>
  code === OPERATION.wait && handle === NO_HANDLE;

/** Takes one where there is one for it: 0, -errno, or WOULD_BLOCK. */
export function takeSemaphore({ waits }: Core, op: Operation): number {
  if (waits === null) return -ERRNO.NOTSUP;
  const key = keyOf(waits, op);
  if (typeof key === 'number') return key;
  return waits.takeNow([key]) === 0 ? 0 : WOULD_BLOCK;
}

/** Puts it, which is under way, in the queue: WOULD_BLOCK, or -errno. */
export function waitAtSemaphore({ waits }: Core, op: Operation): number {
  const key = keyOf(waits as Waits, op);
  return typeof key === 'number' ? key : seat(waits as Waits, op, key);
}

function keyOf(waits: Waits, op: Operation): Pointed | number {
  if (op.owner === null) return -ERRNO.GONE;
  const key = waits.places.semaphore(op.owner, op.first);
  return typeof key === 'number' ? key : { ...key, near: op.first };
}

function seat(waits: Waits, op: Operation, key: Pointed): number {
  return roomy(() => {
    waits.seat(op, key);
    return WOULD_BLOCK;
  });
}

/** Wait sets as objects of rings: they can be waited for, which takes one of one member, and nothing else. */
export class WaitSetServer implements ObjectServer {
  readonly waits = true;
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  attempt(op: Operation, { object, rights }: Target): number {
    const { waits } = this.#core;
    if (op.code !== OPERATION.wait || waits === null) return -ERRNO.NOTSUP;
    if ((rights & RIGHT.read) === 0) return -ERRNO.NOTCAPABLE;
    if (waits.isSeated(op)) return WOULD_BLOCK;
    const set = waits.sets.of(object);
    const told: bigint[] = [];
    waits.sets.collect(set, 1, told);
    if (told[0] === undefined) return seat(waits, op, { ...setKey(set.row), near: op.handle });
    op.value = told[0];
    return 0;
  }
}
