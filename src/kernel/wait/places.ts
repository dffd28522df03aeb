/**
 * Places that can be waited at: an offset in the memory of a domain, or in a segment. The same place has one `Place` however it was come by,
 * so whoever waits and whoever wakes find each other. Nothing here is state: places are made from the records of those who
 * wait, and go when nobody does.
 *
 * What is sealed the kernel does not change either, nor what somebody else than who runs keeps frozen: or who had named some words as a
 * semaphore before could have them changed under the eyes of who relies on that.
 */
import { ERRNO } from '../../abi/errno.ts';
import { SEMAPHORE, SEMAPHORE_BYTES } from '../../abi/semaphore.ts';
import { assert } from '../../base/assert.ts';
import { MAX_MEMORIES, WINDOW_BASE } from '../../base/limits.ts';
import { type Space, SpaceFullError } from '../../space/index.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { Link, LinkedList } from './lists.ts';
import type { Waiter } from './queues.ts';
import type { Member } from './sets.ts';

/** One of those who wait at a place: a waiter is at several places when it waits for any of them. */
export class Seat extends Link<Seat> {
  readonly waiter: Waiter;
  /** Which of its places this is. */
  readonly index: number;
  readonly place: Place;
  /** The address by which its domain knows the place, or the handle of the wait set. */
  readonly near: number;
  constructor(waiter: Waiter, index: number, place: Place, near: number) {
    super();
    this.waiter = waiter;
    this.index = index;
    this.place = place;
    this.near = near;
    place.seats.push(this);
  }
}

/** What is waited for at a place: a semaphore, a notification (memory.atomic.wait), a wait set. They never meet. */
export const SORT = { semaphore: 0, atomic: 1, set: 2 } as const;
const SORTS = 4;

/** Where a place is, in two numbers that stand in records. */
export interface Key {
  /** Twice the memory: the domain's id and the memory's index; or twice the segment, and one. */
  readonly owner: number;
  /** Four times the offset in it, and the SORT. */
  readonly spot: number;
}

export const memoryKey = (domain: number, memory: number, offset: number, sort: number): Key => ({
  owner: 2 * (domain * MAX_MEMORIES + memory),
  spot: SORTS * offset + sort,
});
/** A wait set is a place as well: this is the one of a number. No domain has the number 0. */
export const setKey = (set: number): Key => memoryKey(0, 0, set, SORT.set);

/** Segments mapped into domains. */
export interface Mapped {
  /**
   * What lies at a near address from WINDOW_BASE up, for `bytes` bytes that the domain may read and write: the segment
   * (by handle), the offset there. Or -errno.
   */
  locate(domain: Domain, near: number, bytes: number): { segment: number; offset: number } | number;
  /** The same for who waits there already: see `Windows.claim`. */
  claim(domain: Domain, near: number, bytes: number): { segment: number; offset: number } | number;
  /** Global address of bytes of a mapped segment, now; below 0 where they lie nowhere. `writes`: to be changed. */
  address(segment: number, offset: number, bytes: number, writes: boolean): number;
  /** Whether the kernel may change a segment now: see `Windows.mayChange`. */
  mayChange(segment: number): number;
}

export class Place {
  readonly key: Key;
  /** Who waits here, first come first. */
  readonly seats = new LinkedList<Seat>();
  /** Members of wait sets that are to be told when there is something to take. */
  readonly armed = new LinkedList<Member>();
  /** Members of wait sets, armed or not. */
  members = 0;
  constructor(key: Key) {
    this.key = key;
  }
  get sort(): number {
    return this.key.spot % SORTS;
  }
  /** Who waits here may lose the right to it. */
  get isRevocable(): boolean {
    return this.key.owner % 2 === 1 || this.sort === SORT.set;
  }
}

export class Places {
  readonly #space: Space;
  readonly #core: Core;
  /** Places where something may have to be said or given that could not, since their segment was frozen. */
  readonly held = new Set<Place>();
  /** Filled in by what maps segments. */
  mapped: Mapped | null = null;
  readonly #owners = new Map<number, Map<number, Place>>();

  constructor(core: Core) {
    this.#core = core;
    this.#space = core.space;
  }

  /** The key of a semaphore that the domain points to, or -errno. */
  semaphore(domain: Domain, pointer: number): Key | number {
    const near = pointer < 0 ? pointer + 0x100000000 : pointer; // an i32, whose bits are the address
    // Memory in another process changes there meanwhile, and nobody shares it.
    if (domain.module.alone !== undefined) return -ERRNO.NOTSUP;
    if (near % 4 !== 0) return -ERRNO.INVAL;
    return this.at(domain, 0, near, SEMAPHORE_BYTES, SORT.semaphore);
  }

  /** The key of `bytes` bytes at a near address of a memory, or -errno. */
  at(domain: Domain, memory: number, near: number, bytes: number, sort: number): Key | number {
    if (near + bytes <= domain.bytesOf(memory)) return memoryKey(domain.id, memory, near, sort);
    if (memory !== 0 || near < WINDOW_BASE || this.mapped === null) return -ERRNO.FAULT;
    const found = this.mapped.locate(domain, near, bytes);
    if (typeof found === 'number') return found;
    return { owner: 2 * found.segment + 1, spot: SORTS * found.offset + sort };
  }

  /** Whether a domain's near address still means a place: 0, or the -errno it gets. */
  lookAgain({ key }: Place, domain: number, near: number): number {
    if (key.owner % 2 === 0) return 0;
    const whose = this.#core.peek(domain);
    if (whose === undefined || this.mapped === null) return -ERRNO.FAULT;
    const now = this.mapped.claim(whose, near, SEMAPHORE_BYTES);
    if (typeof now === 'number') return now;
    const same = 2 * now.segment + 1 === key.owner && now.offset === Math.floor(key.spot / SORTS);
    return same ? 0 : -ERRNO.FAULT;
  }

  find({ owner, spot }: Key): Place | undefined {
    return this.#owners.get(owner)?.get(spot);
  }

  make(key: Key): Place {
    let places = this.#owners.get(key.owner);
    if (places === undefined) {
      places = new Map();
      this.#owners.set(key.owner, places);
    }
    let place = places.get(key.spot);
    if (place === undefined) {
      place = new Place(key);
      places.set(key.spot, place);
    }
    return place;
  }

  /** Says in the semaphore whether anybody waits there, and forgets the place where nobody does. */
  settle(place: Place): void {
    const { owner, spot } = place.key;
    const waiting = place.seats.first !== null || place.armed.first !== null;
    if (place.sort === SORT.semaphore) this.#tell(place.key, waiting);
    const places = this.#owners.get(owner);
    if (waiting || place.members > 0 || places?.get(spot) !== place) return;
    places.delete(spot);
    if (places.size === 0) this.#owners.delete(owner);
  }

  /** Nobody waits at a place, though its semaphore may say so. */
  clear(key: Key): void {
    this.#tell(key, false);
  }

  /** A segment is no more: its number may be another object's from now on. */
  segmentGone(segment: number): void {
    for (const place of this.held) if (place.key.owner === 2 * segment + 1) this.held.delete(place);
  }

  /** All places in a segment. */
  inSegment(segment: number): Place[] {
    return [...(this.#owners.get(2 * segment + 1)?.values() ?? [])];
  }

  /** The count of a semaphore; 0 where its memory is no more. */
  count(key: Key): number {
    const at = this.address(key);
    return at < 0 ? 0 : Atomics.load(this.#space.u32, (at + SEMAPHORE.count) / 4);
  }

  /** Takes one off the count of a semaphore; false where there is none. Somebody else may be changing the word. */
  take(key: Key): boolean {
    if (this.count(key) === 0) return false;
    const at = this.#changeable(key);
    if (at < 0) return false;
    const { i32 } = this.#space;
    const word = (at + SEMAPHORE.count) / 4;
    for (;;) {
      const count = Atomics.load(i32, word);
      if (count === 0) return false;
      if (Atomics.compareExchange(i32, word, count, count - 1) !== count) continue;
      this.#space.mark(at, SEMAPHORE_BYTES);
      return true;
    }
  }

  /** Global address of the place now, -1 where it is no more. Good until anything is moved. */
  address({ owner, spot }: Key): number {
    const [whose, offset] = [Math.floor(owner / 2), Math.floor(spot / SORTS)];
    if (owner % 2 === 1) return this.mapped?.address(whose, offset, SEMAPHORE_BYTES, false) ?? -1;
    const domain = this.#core.peek(Math.floor(whose / MAX_MEMORIES));
    if (domain === undefined || domain.region === 0) return -1;
    assert(offset < domain.bytesOf(whose % MAX_MEMORIES), 'a memory never shrinks');
    return domain.addressOf(whose % MAX_MEMORIES) + offset;
  }

  /** Whether the words of a place may be changed now: 0 or -errno. */
  mayChange({ owner }: Key): number {
    return owner % 2 === 0 ? 0 : (this.mapped?.mayChange(Math.floor(owner / 2)) ?? -ERRNO.GONE);
  }
  /** As `address`, to change the words; below 0 too where that may not be now. @throws SpaceFullError */
  #changeable(key: Key): number {
    const bad = this.mayChange(key);
    if (bad === -ERRNO.BUSY) {
      const place = this.find(key);
      if (place !== undefined) this.held.add(place);
    }
    if (bad !== 0 || key.owner % 2 === 0) return bad === 0 ? this.address(key) : -1;
    const offset = Math.floor(key.spot / SORTS);
    return this.mapped?.address(Math.floor(key.owner / 2), offset, SEMAPHORE_BYTES, true) ?? -1;
  }

  /** Says in a semaphore whether anybody waits. @throws SpaceFullError where somebody does, which nobody would be told */
  #tell(key: Key, waiting: boolean): void {
    const at = this.address(key);
    const value = waiting ? 1 : 0;
    if (at < 0 || Atomics.load(this.#space.i32, (at + SEMAPHORE.waiters) / 4) === value) return;
    try {
      const to = this.#changeable(key) + SEMAPHORE.waiters;
      if (to < SEMAPHORE.waiters) return;
      Atomics.store(this.#space.i32, to / 4, value);
      this.#space.mark(to, 4);
    } catch (error) {
      if (waiting || !(error instanceof SpaceFullError)) throw error;
    }
  }
}
