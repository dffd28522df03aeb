/**
 * Who waits where. Each waiter is a record in the space, so that after a restart everybody is at their place in the queue;
 * the queues themselves are made from the records.
 *
 * Whoever gives hands over: what a waiter is to have is taken off the semaphore for it, and its answer put into the scratch words of its
 * call, which is made again and finds it there. So a semaphore that was given is never both free and
 * promised, nobody who comes later gets between, and a checkpoint at any moment holds all of it. A waiter that ends when
 * it has been answered takes along what it was given, as if it had ended an instruction later. An operation of a ring waits
 * in the same queues, and has its answer in its record (`Rings.told`).
 *
 * Why: RATIONALE.md#who-waits-is-handed-what-it-waits-for
 */
import { ERRNO } from '../../abi/errno.ts';
import { defineRecord, num, RecordTable, ROOT, type Space, u32 } from '../../space/index.ts';
import type { Caller } from '../caller.ts';
import type { Core } from '../core.ts';
import { type Domain, NO_DEADLINE } from '../domain.ts';
import type { Operation } from '../ring/operation.ts';
import { type Key, type Place, Places, Seat, SORT } from './places.ts';
import { Revocable } from './revocable.ts';
import { semaphoreCalls } from './semaphores.ts';
import { waitSetCalls } from './setcalls.ts';
import { WaitSets } from './sets.ts';

const WaiterRecord = defineRecord('waiter', {
  domain: u32('kernel', 'The domain whose code waits.'),
  places: u32('kernel', 'How many places it waits at.'),
  ticket: num('kernel', 'Those with lower ones came before. Also in scratch word 0 of its call.'),
  owner: num('kernel', 'The place: see `Key`.'),
  spot: num('kernel', 'Likewise.'),
  near: num('kernel', 'See `Seat`.'),
  activation: num('kernel', 'The activation that waits, 0 for none.'),
  operation: num('kernel', 'The operation of a ring that waits instead, 0 for none.'),
  list: num('kernel', 'Where it waits at several: a heap block with these three of each; else 0.'),
});
const W = WaiterRecord.fields;
const LIST_BYTES = 24;

/** Scratch words of a call that waits. */
const SCRATCH = { ticket: 0, deadline: 1, answered: 2, answer: 3, extra: 4 } as const;

/** A place as a domain points to it. */
export interface Pointed extends Key {
  readonly near: number;
}

/** Who waits: an activation, in the code of a domain, or an operation of its ring; the other one is 0. */
interface Who {
  readonly domain: number;
  readonly activation: number;
  readonly operation: number;
}

export interface Waiter extends Who {
  activation: number;
  readonly ticket: number;
  readonly row: number;
  seats: readonly Seat[];
}

export class Waits {
  readonly places: Places;
  readonly sets: WaitSets;
  /** Those who wait where they may lose the right to. */
  readonly revocable: Revocable;
  readonly #core: Core;
  readonly #space: Space;
  readonly #byTicket = new Map<number, Waiter>();
  /** An activation waits in one call at a time. */
  readonly #byActivation = new Map<number, Waiter>();
  readonly #byOperation = new Map<number, Waiter>();
  readonly #byDomain = new Map<number, Set<Waiter>>();
  #opened: RecordTable | null = null;
  #nextTicket = 1;

  constructor(core: Core) {
    this.#core = core;
    this.#space = core.space;
    this.places = new Places(core);
    this.sets = new WaitSets(core, this);
    this.revocable = new Revocable(core, this.places, {
      left: (seat) => this.#left(seat),
      thawed: (place) => this.#thawed(place),
    });
    core.calls.add(semaphoreCalls(core, this));
    core.calls.add(waitSetCalls(core, this));
  }

  /** For tests and reports: how many wait. */
  get count(): number {
    return this.#byTicket.size;
  }

  /**
   * Waits for a semaphore of these to have one, and takes it: gives its index. Where none comes in time: `late`.
   * Does not return while it waits, but makes its call again.
   * @param timeout ns; below 0 for ever, 0 to try only
   */
  take(caller: Caller, keys: readonly Pointed[], timeout: bigint, late: number): number {
    return this.#wait(caller, keys, timeout, late, () => this.takeNow(keys));
  }

  /** Takes one of the first of these semaphores that has one: its index, or -1. Whoever waits there already comes before. */
  takeNow(keys: readonly Key[]): number {
    return keys.findIndex((key) => !this.places.find(key)?.seats.first && this.places.take(key));
  }

  /** An operation of a ring, which is under way, waits at a place. @throws SpaceFullError with nothing changed */
  seat({ id, domain }: Operation, key: Pointed): void {
    this.#serveAll(this.#enter({ domain, activation: 0, operation: id }, [key]));
  }
  /** Whether an operation waits. Looks whether someone has given where it does and ended before telling so. */
  isSeated({ id }: Operation): boolean {
    const waiter = this.#byOperation.get(id);
    if (waiter !== undefined) this.#serveAll(waiter);
    return waiter !== undefined;
  }
  /** It does not any more, if it did. */
  unseat({ id }: Operation): void {
    const waiter = this.#byOperation.get(id);
    if (waiter !== undefined) this.#leave(waiter);
  }

  #serveAll(waiter: Waiter): void {
    for (const { place } of waiter.seats) if (place.sort === SORT.semaphore) this.serve(place);
  }

  /** Waits for an answer at a place; where none comes in time: `late`. `check`: what there is at once, or -1. */
  await(caller: Caller, key: Pointed, timeout: bigint, late: number, check: () => number): number {
    return this.#wait(caller, [key], timeout, late, check);
  }

  #wait(
    caller: Caller,
    keys: readonly Pointed[],
    timeout: bigint,
    late: number,
    attempt: () => number,
  ): number {
    let waiter: Waiter | undefined;
    const ticket = Number(caller.getScratch(SCRATCH.ticket));
    if (ticket !== 0) {
      waiter = this.#own(this.#byTicket.get(ticket), caller.domainId);
      // Someone may have given and ended before telling so.
      if (waiter !== undefined) this.#serveAll(waiter);
      if (caller.getScratch(SCRATCH.answered) !== 0n) return answerOf(caller);
    } else {
      const now = attempt();
      if (now >= 0) return now;
      if (timeout === 0n) return late;
      caller.setScratch(SCRATCH.deadline, timeout < 0n ? NO_DEADLINE : caller.now() + timeout);
    }
    const deadline = caller.getScratch(SCRATCH.deadline);
    if (deadline !== NO_DEADLINE && caller.now() >= deadline) {
      if (waiter !== undefined) this.#leave(waiter);
      return late;
    }
    if (waiter === undefined) {
      waiter = this.#enter(
        { domain: caller.domainId, activation: this.#core.running().id, operation: 0 },
        keys,
      );
      caller.setScratch(SCRATCH.ticket, BigInt(waiter.ticket));
      this.#serveAll(waiter);
      if (caller.getScratch(SCRATCH.answered) !== 0n) return answerOf(caller);
    }
    return caller.block(deadline === NO_DEADLINE ? undefined : deadline);
  }

  /** Whether a call that waits is made again. */
  hasBegun(caller: Caller): boolean {
    return caller.getScratch(SCRATCH.ticket) !== 0n;
  }
  /** What a call that waited was given, undefined where nothing yet. To be asked before its arguments are looked at again. */
  answered(caller: Caller): number | undefined {
    return caller.getScratch(SCRATCH.answered) === 0n ? undefined : answerOf(caller);
  }

  /**
   * For a call that is made again, before its arguments are looked at again: what it was given, or where it waits, which may
   * not be there any more by those arguments; undefined where it does not wait.
   */
  again(caller: Caller): number | readonly [Pointed, ...Pointed[]] | undefined {
    const answer = this.answered(caller);
    if (answer !== undefined) return answer;
    const waiter = this.#own(this.#byTicket.get(Number(caller.getScratch(SCRATCH.ticket))), caller.domainId);
    if (waiter === undefined) return undefined;
    if (waiter.seats.some((seat) => this.#left(seat))) return this.answered(caller);
    return waiter.seats.map(({ place, near }) => ({ ...place.key, near })) as [Pointed];
  }

  /** Lets those who wait at a semaphore take what there is, then wait sets. How many waited and have. */
  serve(place: Place): number {
    let served = 0;
    for (let seat = place.seats.first; seat !== null; seat = place.seats.first) {
      if (this.#left(seat)) continue;
      if (!this.places.take(place.key)) break;
      this.#answer(seat.waiter, seat.index);
      served++;
    }
    if (place.armed.first !== null) this.sets.serve(place);
    this.places.settle(place);
    return served;
  }

  /** What could not be done at a place while others relied on its words. */
  #thawed(place: Place): void {
    const known = this.places.find(place.key);
    if (known !== undefined && known !== place) return;
    this.places.settle(place);
    if (known !== undefined && this.places.count(place.key) > 0) this.serve(place);
  }

  /** The first who waits at a place and still does. */
  first(place: Place): Waiter | null {
    for (let seat = place.seats.first; seat !== null; seat = place.seats.first) {
      if (!this.#left(seat)) return seat.waiter;
    }
    return null;
  }

  /** Lets a waiter go on: its call gives this. @param extra for that call, beside its answer */
  answer(waiter: Waiter, answer: number, extra = 0n): void {
    this.#core.activations.peek(waiter.activation)?.setScratch(SCRATCH.extra, extra);
    this.#answer(waiter, answer, extra);
  }
  extra(caller: Caller): bigint {
    return caller.getScratch(SCRATCH.extra);
  }

  /** The same at the place of a key. */
  wake(key: Key): number {
    const place = this.places.find(key);
    if (place !== undefined) return this.serve(place);
    this.places.clear(key);
    return 0;
  }

  /** Lets up to `most` of those go on who wait for a notification. How many do. */
  notify(key: Key, most: number): number {
    const place = this.places.find(key);
    let notified = 0;
    for (; place !== undefined && notified < most; notified++) {
      const waiter = this.first(place);
      if (waiter === null) break;
      this.#answer(waiter, 0);
    }
    return notified;
  }

  /** A segment is no more: neither is what was waited for in it. */
  segmentGone(segment: number): void {
    for (const place of this.places.inSegment(segment)) {
      for (let seat = place.seats.first; seat !== null; seat = place.seats.first) {
        if (!this.#isOver(seat.waiter)) this.#answer(seat.waiter, -ERRNO.GONE);
      }
      this.sets.placeGone(place);
    }
    this.places.segmentGone(segment);
  }

  /** The domain is no more: it waits nowhere, and no set for what it had added. */
  forget(domain: Domain): void {
    for (const waiter of [...(this.#byDomain.get(domain.id) ?? [])]) this.#leave(waiter);
    this.sets.forget(domain.id);
  }

  /** Everybody goes back to their places, in the order in which they had come. */
  recover(): void {
    const space = this.#space;
    this.sets.recover();
    if (space.root(ROOT.waiters) === 0) return;
    const table = this.#table();
    const rows = [...table.rows()].map((row) => ({ row, ticket: W.ticket.get(space, table.address(row)) }));
    for (const { row, ticket } of rows.sort((a, b) => a.ticket - b.ticket)) {
      const at = table.address(row);
      this.#nextTicket = ticket + 1;
      const who = {
        domain: W.domain.get(space, at),
        activation: W.activation.get(space, at),
        operation: W.operation.get(space, at),
      };
      const waiter = this.#seat(row, who, ticket, this.#keysOf(at));
      this.#isOver(waiter);
    }
  }

  /** True where who sat here does not wait any more: its call is over, or it may not use the place any longer. */
  #left(seat: Seat): boolean {
    if (this.#isOver(seat.waiter)) return true;
    const { place, near, waiter } = seat;
    const again = place.sort === SORT.set ? this.sets : this.places;
    const errno =
      place.sort === SORT.set && waiter.operation !== 0
        ? this.#core.rings.mayWait(waiter.operation)
        : again.lookAgain(place, waiter.domain, near);
    // It may have been told when its mapping was found dead.
    if (errno !== 0 && this.#byTicket.has(waiter.ticket)) this.#answer(waiter, errno);
    return errno !== 0;
  }

  /** True where the call is over in which it waited; its record is then gone too. */
  #isOver(waiter: Waiter): boolean {
    const { activations, rings } = this.#core;
    if (waiter.operation !== 0) {
      if (rings.isWaiting(waiter.operation)) return false;
    } else if (activations.peek(waiter.activation)?.getScratch(SCRATCH.ticket) === BigInt(waiter.ticket))
      return false;
    this.#leave(waiter);
    return true;
  }

  /** What a domain had mapped from a near address on is not its any more: whoever waits there in it is told why. */
  lost(domain: Domain, near: number, bytes: number, errno: number): void {
    for (const waiter of [...(this.#byDomain.get(domain.id) ?? [])]) {
      const lies = (seat: Seat): boolean =>
        seat.place.sort !== SORT.set && seat.near >= near && seat.near < near + bytes;
      if (waiter.seats.some(lies) && !this.#isOver(waiter)) this.#answer(waiter, errno);
    }
  }

  #answer(waiter: Waiter, answer: number, extra = 0n): void {
    const { activations, activation: running, rings } = this.#core;
    const activation = activations.peek(waiter.activation);
    this.#leave(waiter);
    if (waiter.operation !== 0) rings.told(waiter.operation, answer, extra);
    activation?.setScratch(SCRATCH.answered, 1n);
    activation?.setScratch(SCRATCH.answer, BigInt(answer));
    if (activation !== undefined && activation !== running) activations.ready(activation);
  }

  /**
   * The waiter of a ticket in the scratch words of the running call, where it is that call's. It is not where the domain was carried here from
   * another space; and it has another activation where that was split since.
   */
  #own(waiter: Waiter | undefined, domain: number): Waiter | undefined {
    const { id } = this.#core.running();
    if (waiter === undefined || waiter.activation === id) return waiter;
    const { activations } = this.#core;
    const before = activations.peek(waiter.activation)?.getScratch(SCRATCH.ticket);
    if (waiter.domain !== domain || before === BigInt(waiter.ticket)) return undefined;
    if (this.#byActivation.get(waiter.activation) === waiter) this.#byActivation.delete(waiter.activation);
    waiter.activation = id;
    W.activation.set(this.#space, this.#table().address(waiter.row), id);
    this.#byActivation.set(id, waiter);
    return waiter;
  }

  #enter(who: Who, keys: readonly Pointed[]): Waiter {
    const [space, table, first] = [this.#space, this.#table(), keys[0] as Pointed];
    // A call that was made again may have been refused before it came here.
    const before = who.activation === 0 ? undefined : this.#byActivation.get(who.activation);
    if (before !== undefined) this.#leave(before);
    const list = keys.length > 1 ? space.heap.alloc(LIST_BYTES * keys.length) : 0;
    let row: number;
    try {
      row = table.insert();
    } catch (error) {
      if (list !== 0) space.heap.free(list);
      throw error;
    }
    const at = table.address(row);
    const ticket = this.#nextTicket++;
    W.domain.set(space, at, who.domain);
    W.activation.set(space, at, who.activation);
    W.operation.set(space, at, who.operation);
    W.places.set(space, at, keys.length);
    W.ticket.set(space, at, ticket);
    W.owner.set(space, at, first.owner);
    W.spot.set(space, at, first.spot);
    W.near.set(space, at, first.near);
    W.list.set(space, at, list);
    for (const [i, { owner, spot, near }] of list === 0 ? [] : keys.entries()) {
      space.setNumber(list + LIST_BYTES * i, owner);
      space.setNumber(list + LIST_BYTES * i + 8, spot);
      space.setNumber(list + LIST_BYTES * i + 16, near);
    }
    const waiter = this.#seat(row, who, ticket, keys);
    for (const { place } of waiter.seats) this.places.settle(place);
    return waiter;
  }

  #seat(row: number, who: Who, ticket: number, keys: readonly Pointed[]): Waiter {
    const { domain } = who;
    const waiter: Waiter = { ...who, ticket, row, seats: [] };
    waiter.seats = keys.map((key, index) => new Seat(waiter, index, this.places.make(key), key.near));
    this.#byTicket.set(ticket, waiter);
    if (who.activation !== 0) this.#byActivation.set(who.activation, waiter);
    else this.#byOperation.set(who.operation, waiter);
    if (waiter.seats.some(({ place }) => place.isRevocable)) this.revocable.add(waiter);
    let those = this.#byDomain.get(domain);
    if (those === undefined) {
      those = new Set();
      this.#byDomain.set(domain, those);
    }
    those.add(waiter);
    return waiter;
  }

  #leave(waiter: Waiter): void {
    for (const seat of waiter.seats) seat.place.seats.remove(seat);
    for (const { place } of waiter.seats) this.places.settle(place);
    this.#byTicket.delete(waiter.ticket);
    if (this.#byActivation.get(waiter.activation) === waiter) this.#byActivation.delete(waiter.activation);
    this.#byOperation.delete(waiter.operation);
    this.revocable.delete(waiter);
    const those = this.#byDomain.get(waiter.domain);
    those?.delete(waiter);
    if (those?.size === 0) this.#byDomain.delete(waiter.domain);
    const [space, table] = [this.#space, this.#table()];
    const list = W.list.get(space, table.address(waiter.row));
    if (list !== 0) space.heap.free(list);
    table.remove(waiter.row);
  }

  #keysOf(at: number): Pointed[] {
    const space = this.#space;
    const list = W.list.get(space, at);
    const [owner, spot, near] = [W.owner.get(space, at), W.spot.get(space, at), W.near.get(space, at)];
    if (list === 0) return [{ owner, spot, near }];
    return Array.from({ length: W.places.get(space, at) }, (_, i) => ({
      owner: space.getNumber(list + LIST_BYTES * i),
      spot: space.getNumber(list + LIST_BYTES * i + 8),
      near: space.getNumber(list + LIST_BYTES * i + 16),
    }));
  }

  /** The table comes to be with the first who waits. */
  #table(): RecordTable {
    this.#opened ??= RecordTable.open(this.#space, ROOT.waiters, WaiterRecord.bytes);
    return this.#opened;
  }
}

const answerOf = (caller: Caller): number => Number(BigInt.asIntN(32, caller.getScratch(SCRATCH.answer)));
