/**
 * Taking submissions out of a ring: what is linked to what, what waits for all before it, and what begins at once. What a
 * submission asks for is none of its business (rings.ts).
 */
import { ERRNO } from '../../abi/errno.ts';
import { SUBMIT } from '../../abi/ring.ts';
import type { Domain } from '../domain.ts';
import { WOULD_BLOCK } from '../ports.ts';
import { Operation } from './operation.ts';
import { PHASE } from './records.ts';
import type { Ring } from './ring.ts';
import type { Rings } from './rings.ts';

/** Instead of a result: nothing has been done, for there was no room for a record. */
export const NO_ROOM = -0x20000;

/** Of the submissions being taken: what the next one is linked to. */
interface Chain {
  /** The one before was linked to the next. */
  linked: boolean;
  failed: boolean;
  /** It is under way: its number. */
  id: number;
}

export class Intake {
  readonly #rings: Rings;
  #spare: Operation;

  constructor(rings: Rings) {
    this.#rings = rings;
    this.#spare = new Operation(rings.core);
  }

  /** Takes at most `wanted` submissions. How many, or -errno (Ring.read). */
  submit(ring: Ring, owner: Domain, wanted: number): number {
    ring.domain = owner;
    const indices = ring.read();
    if (typeof indices === 'number') return indices;
    // Each that is under way has a completion kept free for it.
    const room = indices.room - ring.operations.size;
    const most = Math.min(wanted, indices.submitted, Math.max(0, room));
    const chain: Chain = { linked: false, failed: false, id: 0 };
    let taken = 0;
    for (; taken < most; taken++) {
      if (!ring.copy(taken)) break;
      const op = this.#spare;
      const bad = op.decode(ring.taken, ring, owner);
      const isTaken = this.#take(op, bad, ring, chain);
      // It has had a record, and somebody may still have it in hand.
      if (op.id !== 0) this.#spare = new Operation(this.#rings.core);
      if (!isTaken) break;
      if (ring.closed) return taken + 1;
    }
    if (ring.closed) return taken;
    ring.advance(taken);
    ring.tell();
    return taken;
  }

  /** One submission. False where there is no room for its record: it stays in the queue. */
  #take(op: Operation, bad: number, ring: Ring, chain: Chain): boolean {
    const linked = chain.linked;
    if (linked && chain.failed) this.#rings.settle(op, -ERRNO.CANCELED);
    else if (bad < 0) {
      this.#rings.settle(op, bad);
      chain.failed = true;
    } else if (linked && chain.id !== 0) {
      if (!this.#wait(op, chain.id, true)) return false;
      chain.id = op.id;
    } else if ((ring.draining !== 0 || (op.flags & SUBMIT.drain) !== 0) && ring.operations.size > 0) {
      const drains = (op.flags & SUBMIT.drain) !== 0;
      if (!this.#wait(op, drains ? 0 : ring.draining, false)) return false;
      if (drains) ring.draining = op.id;
      chain.id = op.id;
    } else {
      const result = this.#rings.begin(op);
      if (result === NO_ROOM) return false;
      chain.id = result === WOULD_BLOCK ? op.id : 0;
      chain.failed = result < 0 && result !== WOULD_BLOCK;
    }
    chain.linked = (op.flags & SUBMIT.link) !== 0;
    if (!chain.linked) {
      chain.failed = false;
      chain.id = 0;
    }
    return true;
  }

  /** Keeps an operation that is to begin later. False where there is no room for it. */
  #wait(op: Operation, after: number, linked: boolean): boolean {
    op.after = after;
    op.linked = linked;
    return this.#rings.keep(op, PHASE.waiting);
  }
}
