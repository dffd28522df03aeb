/**
 * What is under way: has objects do what submissions ask for, and says how they ended. Whatever cannot be done
 * at once has an `OperationRecord`; the rest here are indices of those records, made again by the constructor.
 *
 *     core.rings.submit(ring, domain, count)
 *     core.rings.work()          between slices: who was woken, whose time has come
 *
 * An operation that waits is asked again when its domain is woken (`stir`), so the same attempt is made after a restart.
 */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT } from '../../abi/objects.ts';
import { OPERATION, SUBMIT } from '../../abi/ring.ts';
import { assert } from '../../base/assert.ts';
import type { Space } from '../../space/index.ts';
import type { Core } from '../core.ts';
import { type Domain, NO_DEADLINE } from '../domain.ts';
import { WOULD_BLOCK } from '../ports.ts';
import { Intake, NO_ROOM } from './intake.ts';
import { leaveRing, updateOperation } from './kept.ts';
import { Ledger } from './ledger.ts';
import { endLoans } from './loans.ts';
import { Operation } from './operation.ts';
import { PHASE } from './records.ts';
import type { Ring } from './ring.ts';
import { RingTable } from './ring-table.ts';
import { isForSemaphore, takeSemaphore, waitAtSemaphore } from './semaphores.ts';
import { type ObjectServer, rightsNeeded } from './server.ts';
import { Tables } from './tables.ts';
import { attempt, close, Deriver, targetAgain, targetOf } from './targets.ts';

export class Rings {
  readonly core: Core;
  readonly space: Space;
  readonly tables: Tables;
  readonly #servers: (ObjectServer | undefined)[] = [];
  readonly #deriver: Deriver;
  readonly table: RingTable;
  readonly #ledger: Ledger;
  readonly #stirred = new Set<number>();
  /** Those that have been told. */
  readonly #told: Operation[] = [];
  readonly #intake: Intake;
  /** What is to begin now, or is to be cancelled: a list, since a chain is longer than the native stack is deep. */
  readonly #due: { op: Operation; cancel: boolean }[] = [];
  #beginning = false;

  constructor(core: Core) {
    this.core = core;
    this.space = core.space;
    this.#intake = new Intake(this);
    this.#deriver = new Deriver(core);
    this.table = new RingTable(core);
    this.#ledger = new Ledger(core);
    this.tables = new Tables(this);
    this.#load();
    core.objects.onEnd(OBJECT.ring, (object) => {
      const ring = this.ring(core.objects.a(object));
      if (ring !== undefined) this.close(ring);
    });
  }

  /** Which part of the kernel answers for objects of a kind. */
  serve(kind: number, server: ObjectServer): void {
    assert(this.#servers[kind] === undefined, 'one part of the kernel answers for a kind');
    this.#servers[kind] = server;
  }

  #load(): void {
    this.tables.load();
    for (const op of this.#ledger.load(this.table.rings)) {
      if (op.table !== 0) this.tables.index(op);
      if (op.phase === PHASE.told) this.#told.push(op);
    }
  }

  /** After all domains have come back: everything is asked again. */
  recover(): void {
    for (const op of this.#ledger.all()) if (op.domain !== 0 && this.owner(op) === null) this.#drop(op);
    for (const ring of this.table.rings.values()) this.flush(ring);
    for (const domain of this.#ledger.domains()) this.#stirred.add(domain);
  }

  get count(): number {
    return this.#ledger.count;
  }
  operation(id: number): Operation | undefined {
    return this.#ledger.get(id);
  }
  /** Those of a domain, oldest first. */
  of(domain: Domain): Operation[] {
    return this.#ledger.of(domain.id);
  }
  ring(at: number): Ring | undefined {
    return this.table.rings.get(at);
  }

  /** The domain of an operation; null where it is gone. */
  owner(op: Operation): Domain | null {
    op.owner ??= this.core.peek(op.domain) ?? null;
    return op.owner;
  }

  /** Gives back a ring that nobody holds. What has begun on the host happens all the same. */
  close(ring: Ring): void {
    ring.closed = true;
    this.tables.ringGone(ring);
    for (const op of [...ring.operations.values()]) {
      if (op.phase === PHASE.asked) this.stop(op, -ERRNO.CANCELED);
      else if (op.at !== 0) this.#drop(op);
    }
    this.table.remove(ring);
  }

  /** The domain has ended: nothing of it is under way any more. Its rings go with their handles. */
  forget(domain: Domain): void {
    for (const op of this.#ledger.of(domain.id)) this.#drop(op);
    this.#stirred.delete(domain.id);
  }

  /** Takes at most `wanted` submissions. How many, or -errno (Ring.read). */
  submit(ring: Ring, owner: Domain, wanted: number): number {
    return this.#intake.submit(ring, owner, wanted);
  }

  /** What it asks for is done or begun. Its result, WOULD_BLOCK where it is under way, NO_ROOM where nothing was done. */
  begin(op: Operation): number {
    const { code } = op;
    if (code === OPERATION.nop) return this.settle(op, 0);
    if (code === OPERATION.timeout) {
      if (op.at === 0 && !this.keep(op, PHASE.asked)) return NO_ROOM;
      this.#setDeadline(op, op.offset64);
      return WOULD_BLOCK;
    }
    if (code === OPERATION.cancel) return this.settle(op, this.#cancel(op));
    if (code === OPERATION.close) return this.settle(op, close(this.core, op, this.owner(op) as Domain));
    if (code === OPERATION.reply) return this.settle(op, op.reach() || this.tables.reply(op));
    if (isForSemaphore(op)) return this.#waitForSemaphore(op);
    const target = op.allowed ? targetAgain(this.core, op) : targetOf(this.core, op, this.owner(op));
    if (typeof target === 'number') return this.settle(op, target);
    const derives = code === OPERATION.share;
    const { capability: held } = target;
    const asks = !op.allowed && this.core.kinds.isAsked(held, derives);
    const server = derives ? this.#deriver : this.#servers[target.kind];
    if (server === undefined) return this.settle(op, -ERRNO.NOTSUP);
    if ((server.waits || asks) && !op.holds) {
      op.held = target.rights;
      op.badge = target.badge;
      op.capability = target.capability;
      op.turn = target.turn;
      op.holds = true;
      if (op.at === 0 && !this.keep(op, PHASE.asked)) {
        op.holds = false;
        return NO_ROOM;
      }
      this.core.capabilities.retain(op.capability);
    }
    if (asks) op.phase = PHASE.asking;
    return this.#begun(op, asks ? this.#pose(op) : op.reach() || attempt(server, op, target));
  }

  /** What has been asked of is done, or goes on by itself. */
  #begun(op: Operation, result: number): number {
    if (result !== WOULD_BLOCK) return this.settle(op, result);
    // It has had a record, and is over by what came of asking: a request that could not be delivered, a kind that knew at once.
    if (op.at === 0 || op.phase === PHASE.done) return op.result;
    if (op.limitLow !== 0 || op.limitHigh !== 0) this.#setDeadline(op, op.limit);
    else updateOperation(op);
    return WOULD_BLOCK;
  }

  #waitForSemaphore(op: Operation): number {
    const now = takeSemaphore(this.core, op);
    if (now === WOULD_BLOCK && op.at === 0 && !this.keep(op, PHASE.asked)) return NO_ROOM;
    return this.#begun(op, now === WOULD_BLOCK ? waitAtSemaphore(this.core, op) : now);
  }
  /** Whether an operation still waits at a semaphore or a wait set. */
  isWaiting(id: number): boolean {
    return this.#ledger.get(id)?.phase === PHASE.asked;
  }
  /** Of one at a set: 0, or why it may not any more. */
  mayWait(id: number): number {
    const op = this.#ledger.get(id);
    return op === undefined ? -ERRNO.CANCELED : this.core.capabilities.check(op.capability, op.turn);
  }
  /**
   * It has what it waited for, or is told why not. That is in its record now; it is over when `work` is next called, since
   * what follows may end what whoever gives has in hand.
   */
  told(id: number, result: number, value: bigint): void {
    const op = this.#ledger.get(id) as Operation;
    [op.phase, op.result, op.value] = [PHASE.told, result, value];
    updateOperation(op);
    this.#told.push(op);
  }

  #pose(op: Operation): number {
    const derives = op.code === OPERATION.share;
    const wanted = derives ? op.held & op.rights : rightsNeeded(op.code, op.options);
    const errno = this.core.kinds.pose(op.id, derives ? 'derive' : 'check', op.capability, wanted);
    return errno === 0 ? WOULD_BLOCK : -errno;
  }
  /**
   * The kinds before an operation's object have been asked: it begins, or fails.
   * @param known the badge that a kind gave to what is to be derived
   */
  allow(op: Operation, errno: number, known: bigint | null = null): void {
    if (op.phase !== PHASE.asking || this.owner(op) === null) return;
    op.known = known;
    op.phase = PHASE.asked;
    op.allowed = true;
    if (errno === 0) this.begin(op);
    else this.settle(op, -errno);
    op.ring?.tell();
  }

  #setDeadline(op: Operation, ns: bigint): void {
    const time = this.core.now() + ns;
    op.deadline = time < NO_DEADLINE ? time : NO_DEADLINE - 1n;
    updateOperation(op);
    this.at(op.deadline, op);
  }

  /** Has an operation looked at again at a time. */
  at(time: bigint, op: Operation): void {
    this.#ledger.at(time, op);
  }

  /** Gives an operation a record. False where there is no room, or its domain has too many under way. */
  keep(op: Operation, phase: number): boolean {
    return this.#ledger.keep(op, phase);
  }

  /**
   * It is over. Its completion is posted, or waits for room; a call that waits is woken; what comes after it begins.
   * Returns the result.
   */
  settle(op: Operation, result: number): number {
    endLoans(this.core, op);
    op.result = result;
    const { ring } = op;
    const quiet = result >= 0 && (op.flags & SUBMIT.quiet) !== 0;
    if (ring === null) {
      op.phase = PHASE.done;
      updateOperation(op);
      if (op.at !== 0) this.core.wake(op.domain);
      return result;
    }
    if (quiet || ring.post(op.userLow, op.userHigh, result, op.value)) {
      if (op.at !== 0) this.#ledger.free(op);
    } else if (op.at === 0) this.keep(op, PHASE.done);
    else this.#holdBack(op, ring);
    if (op.id !== 0) {
      this.core.wake(op.domain);
      this.#next(op, result >= 0);
    }
    return result;
  }

  /** The completion of an operation whose record is still needed: it has one of its own, where there is no room. */
  #tell({ owner, userLow, userHigh }: Operation, ring: Ring, result: number): void {
    if (ring.post(userLow, userHigh, result, 0n)) return;
    const told = Operation.of(this.core, owner as Domain, { code: OPERATION.nop });
    this.keep(Object.assign(told, { ring, userLow, userHigh, result }), PHASE.done);
  }

  #holdBack(op: Operation, ring: Ring): void {
    op.phase = PHASE.done;
    ring.backlog++;
    updateOperation(op);
  }

  /** What waited for an operation begins, or is cancelled where it was linked to one that failed. */
  #next(op: Operation, succeeded: boolean, ring = op.ring): void {
    if (ring?.closed === true) return;
    const list = this.#ledger.takeAfter(op.id);
    if (ring !== null && ring.draining === op.id) ring.draining = 0;
    for (const next of list) this.#due.push({ op: next, cancel: next.linked && !succeeded });
    if (ring !== null && ring.draining !== 0) {
      const first = ring.operations.values().next().value;
      if (first !== undefined && first.phase === PHASE.waiting && first.after === 0) {
        this.#due.push({ op: first, cancel: false });
      }
    }
    if (!this.#beginning) this.#beginDue();
  }

  #beginDue(): void {
    this.#beginning = true;
    try {
      for (let due = this.#due.pop(); due !== undefined; due = this.#due.pop()) {
        const { op, cancel } = due;
        if (op.at === 0 || op.phase !== PHASE.waiting) continue;
        op.phase = PHASE.asked;
        if (cancel) this.settle(op, -ERRNO.CANCELED);
        else this.begin(op);
      }
    } finally {
      this.#beginning = false;
    }
  }

  /** An operation of a ring by its user data, for `cancel`. */
  #cancel(by: Operation): number {
    for (const op of (by.ring as Ring).operations.values()) {
      if (op.userLow !== by.offsetLow || op.userHigh !== by.offsetHigh) continue;
      if (op === by || op.phase === PHASE.done || op.phase === PHASE.told) continue;
      this.stop(op, -ERRNO.CANCELED);
      return 0;
    }
    return -ERRNO.NOENT;
  }

  /**
   * Ends an operation before it is done. What it has begun on the host happens all the same: its outcome is waited for, so
   * that nothing of it stays there.
   */
  stop(op: Operation, result: number): void {
    this.#giveUp(op);
    const { ring } = op;
    if (op.effect === 0 || ring === null || op.phase !== PHASE.asked) {
      this.settle(op, result);
      return;
    }
    ring.operations.delete(op.id);
    op.ring = null;
    op.phase = PHASE.orphan;
    leaveRing(op);
    this.#tell(op, ring, result);
    this.core.wake(op.domain);
    this.#next(op, false, ring);
  }

  /** Ends a request with its server's answer. */
  answer(op: Operation, result: number): void {
    this.tables.unindex(op);
    this.settle(op, result);
  }

  /** Posts completions that waited for room. */
  flush(ring: Ring): void {
    ring.domain ??= this.core.peek(ring.domainId) ?? null;
    for (const op of ring.operations.values()) {
      if (op.phase !== PHASE.done) continue;
      if (!ring.post(op.userLow, op.userHigh, op.result, op.value)) return;
      this.#ledger.free(op);
    }
    ring.tell();
  }

  /** It may be that what a domain waits for has come. */
  stir(domain: number): void {
    if (this.#ledger.has(domain)) this.#stirred.add(domain);
  }

  /** Whoever has it in hand is to do nothing for it any more: its server, or who gives to a semaphore. */
  #giveUp(op: Operation): void {
    this.tables.giveUp(op);
    endLoans(this.core, op);
    if (op.effect !== 0) this.core.ports?.served?.cancel(op.effect);
    if (op.code === OPERATION.wait) this.core.waits?.unseat(op);
  }

  /** Asks again whom there is reason to ask, and ends what is over. */
  work(): void {
    this.#endTold();
    if (this.#stirred.size > 0) {
      const domains = [...this.#stirred];
      this.#stirred.clear();
      for (const op of domains.flatMap((domain) => this.#ledger.of(domain))) this.#askAgain(op);
    }
    if (this.#ledger.timers.next === null) return;
    const now = this.core.now();
    for (let id = this.#ledger.timers.take(now); id !== 0; id = this.#ledger.timers.take(now)) {
      const op = this.#ledger.get(id);
      if (op === undefined || OVER.has(op.phase)) continue;
      if (op.deadline > now) this.#askAgain(op);
      else if (op.code === OPERATION.timeout) this.settle(op, 0);
      else this.stop(op, -ERRNO.TIMEDOUT);
      op.ring?.tell();
    }
  }
  #endTold(): void {
    while (this.#told.length > 0) {
      for (const op of this.#told.splice(0)) {
        if (op.at === 0 || op.phase !== PHASE.told) continue;
        this.settle(op, op.result);
        op.ring?.tell();
      }
    }
  }
  /** When `work` has something to do by the clock. */
  get nextDeadline(): bigint | null {
    const now = this.#stirred.size > 0 || this.#told.length > 0;
    return now ? this.core.now() : this.#ledger.timers.next;
  }

  #askAgain(op: Operation): void {
    if (op.phase === PHASE.carried && this.owner(op) !== null) {
      op.phase = PHASE.asked;
      op.allowed = op.holds;
      this.begin(op);
      op.ring?.tell();
      return;
    }
    const orphan = op.phase === PHASE.orphan;
    if ((op.phase !== PHASE.asked && !orphan) || op.code === OPERATION.timeout) return;
    if (op.at === 0 || this.owner(op) === null) return;
    if (isForSemaphore(op)) {
      this.core.waits?.isSeated(op);
      return;
    }
    const target = targetAgain(this.core, op);
    const bad = typeof target === 'number' ? target : orphan ? 0 : op.reach();
    if (typeof target === 'number' || bad !== 0) {
      this.stop(op, bad);
      return;
    }
    const result = attempt(this.#servers[target.kind] as ObjectServer, op, target);
    if (result === WOULD_BLOCK) updateOperation(op);
    else if (!orphan) this.settle(op, result);
    else {
      if (op.code === OPERATION.open && result >= 0 && op.owner !== null)
        this.core.clists.close(op.owner, result);
      this.#ledger.free(op);
    }
  }

  /** Ends an operation that nobody asks after any more. */
  #drop(op: Operation): void {
    this.#giveUp(op);
    this.#ledger.takeAfter(op.id);
    this.#ledger.free(op);
  }

  /** Begins the operation of a call, which then has a record. False where there is no room for that. */
  start(op: Operation): boolean {
    if (!this.keep(op, PHASE.asked)) return false;
    this.begin(op);
    return true;
  }

  /** A call's operation whose result has been taken. */
  release(op: Operation): void {
    if (op.at !== 0) this.#ledger.free(op);
  }
}

/** Their time does not matter any more. */
const OVER = new Set<number>([PHASE.done, PHASE.notice, PHASE.told]);
