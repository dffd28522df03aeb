/**
 * Operations on objects that whoever embeds the space serves, by their port: asked in the order in which they come, answered some time
 * later. What such an object opens is an object of its own, known by the number of the request that opened it; both sides
 * know that number without telling it.
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { OPERATION, REQUEST_BYTES } from '../../abi/ring.ts';
import { TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import { charge, limitOf, mayCharge, usedOf } from '../account/account.ts';
import type { Core } from '../core.ts';
import { type ServedAnswer, type ServedPort, WOULD_BLOCK } from '../ports.ts';
import { writeSegment } from '../segment/outside.ts';
import { HOST } from './hosts.ts';
import { updateOperation } from './kept.ts';
import { giveOpened } from './opened.ts';
import type { Operation } from './operation.ts';
import { PHASE } from './records.ts';
import type { Target } from './server.ts';

const {
  open,
  read,
  write,
  list,
  describe,
  create,
  remove,
  rename,
  link,
  change,
  readLink,
  sync,
  wait,
  invoke,
  map,
} = OPERATION;
/** What can be asked: all that an object can be asked for. */
const ASKED = new Set<number>([
  open,
  read,
  write,
  list,
  describe,
  create,
  remove,
  rename,
  link,
  change,
  readLink,
  sync,
  wait,
  invoke,
  map,
]);

/** How soon it is asked again whether there is room, where nobody tells, ns. */
const ASK_AGAIN_NS = 10_000_000n;

export class HostServed {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** The last capability to what was opened is gone. */
  ended(object: number): void {
    const { objects, ports } = this.#core;
    if (objects.b(object) === HOST.opened) ports?.served?.release(objects.a(object));
  }

  attempt(op: Operation, target: Target, port: ServedPort): number {
    if (!ASKED.has(op.code)) return -ERRNO.NOTSUP;
    // Nobody waits for it any more, and whoever serves it has been told.
    if (op.phase === PHASE.orphan) return -ERRNO.CANCELED;
    const { objects } = this.#core;
    const number = objects.a(target.object);
    const isOpened = objects.b(target.object) === HOST.opened;
    let other: number | null = null;
    if (op.other !== 0) {
      const found = this.#other(op, number, isOpened, port);
      if (found < 0) return found;
      other = found;
    }
    const bad = this.#pay(op);
    if (bad !== 0) return bad;
    const answer = port.ask(op, number, isOpened, () => ({
      operation: op.code,
      method: op.method,
      options: op.options,
      offset: op.offset64,
      given: op.copyGiven(0, op.given),
      givenFirst: op.givenFirst,
      room: op.room,
      badge: target.badge,
      rights: target.rights,
      other,
    }));
    return answer === WOULD_BLOCK ? WOULD_BLOCK : this.#done(op, target, answer, port);
  }

  /**
   * What it gives is copied and kept until it is answered: charged to its account. 0; WOULD_BLOCK while there is no room, -DQUOT
   * where there will be none by itself.
   */
  #pay(op: Operation): number {
    if (op.outbox !== 0) return 0;
    const core = this.#core;
    const { space, rings } = core;
    const bytes = op.given + REQUEST_BYTES;
    if (bytes > TRANSFER_MAX_BYTES) return -ERRNO.INVAL;
    if (mayCharge(space, op.payer, RESOURCE.outbox, bytes)) {
      charge(space, op.payer, RESOURCE.outbox, bytes);
      op.outbox = bytes;
      updateOperation(op);
      return 0;
    }
    const never = bytes > limitOf(space, op.payer, RESOURCE.outbox);
    if (never || usedOf(space, op.payer, RESOURCE.outbox) === 0) return -ERRNO.DQUOT;
    core.meter?.subscribe(op.payer, op.domain);
    rings.at(core.now() + ASK_AGAIN_NS, op);
    return WOULD_BLOCK;
  }

  #done(op: Operation, target: Target, answer: ServedAnswer, port: ServedPort): number {
    if (op.code === open && answer.result >= 0) return this.#give(op, target, answer, port);
    if (op.code === map && answer.result >= 0) return this.#segment(op, target, answer.data);
    op.value = answer.value;
    if (answer.result >= 0) op.fill(answer.data);
    return answer.result;
  }

  /** What was opened, as an object of the client's; where it cannot be given, whoever serves it is told. */
  #give(op: Operation, target: Target, { opened }: ServedAnswer, port: ServedPort): number {
    const id = op.effect;
    if (opened === undefined) return -ERRNO.IO;
    let given = -1;
    try {
      given = giveOpened(this.#core, op, target, () => {
        if (!port.keep(id, this.#core.objects.a(target.object), this.#isOpened(target), opened.key)) {
          return -ERRNO.NOSPC;
        }
        return { kind: OBJECT.host, a: id, b: HOST.opened, type: opened.type, undo: () => {} };
      });
    } finally {
      if (given < 0) port.release(id);
    }
    return given;
  }

  /** A new segment of the client's with these bytes. */
  #segment(op: Operation, target: Target, bytes: Uint8Array): number {
    const { clists, segments } = this.#core;
    const { owner, rights } = op;
    if (owner === null) return -ERRNO.GONE;
    if ((target.rights & RIGHT.read) === 0) return -ERRNO.NOTCAPABLE;
    const handle = segments.create(owner, bytes.length);
    const found = handle < 0 ? handle : clists.find(owner, handle);
    if (typeof found === 'number') return found;
    writeSegment(this.#core, found.object, 0, bytes);
    if (rights === 0) return handle;
    const narrowed = clists.copy(owner, handle, rights);
    clists.close(owner, handle);
    return narrowed;
  }

  /** The other object of a rename or link: 0 for the named one itself, the number of what was opened, -errno where it is another's. */
  #other(op: Operation, number: number, isOpened: boolean, port: ServedPort): number {
    const { clists, objects } = this.#core;
    if (op.code !== rename && op.code !== link) return -ERRNO.NOTSUP;
    if (op.owner === null) return -ERRNO.GONE;
    const found = clists.find(op.owner, op.other, RIGHT.write);
    if (typeof found === 'number') return found;
    const [a, b] = [objects.a(found.object), objects.b(found.object)];
    if (found.kind !== OBJECT.host || (b !== HOST.served && b !== HOST.opened)) return -ERRNO.XDEV;
    const same = port.rootOf(a, b === HOST.opened) === port.rootOf(number, isOpened);
    return same ? (b === HOST.opened ? a : 0) : -ERRNO.XDEV;
  }

  #isOpened({ object }: Target): boolean {
    return this.#core.objects.b(object) === HOST.opened;
  }
}
