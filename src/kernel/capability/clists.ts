/**
 * Capability lists: what a domain has. A list is a heap block that grows, of places that a handle names (abi/objects.ts). A
 * place that was given back is used again under another tag, so that old handles to it are bad ones. One whose tags have all
 * been used is worn: it waits until the list has as many places as the domain may have capabilities, and is then used again
 * in its turn. So no handle comes back before that many times HANDLE_TAGS others have been given out.
 *
 * What was revoked or is gone is let go when its handle is next used; the place stays taken and goes on to say why, until
 * it is closed.
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import {
  HANDLE_TAGS,
  handleIndex,
  handleOf,
  handleTag,
  type ObjectKind,
  RIGHT,
  RIGHTS_ALL,
} from '../../abi/objects.ts';
import { assert } from '../../base/assert.ts';
import { CAPABILITIES_MAX } from '../../base/limits.ts';
import { defineRecord, num, type Space, u16, u32 } from '../../space/index.ts';
import { charge, limitOf, mayCharge, refund } from '../account/account.ts';
import { type Domain, DomainRecord } from '../domain.ts';
import type { Capabilities, Held } from './capabilities.ts';
import type { ObjectId, Objects } from './objects.ts';

const List = defineRecord('capability list', {
  room: u32('core', 'Places in the block.'),
  used: u32('core', 'Places taken.'),
  high: u32('core', 'Places that were ever taken; place 0 never is.'),
  free: u32('core', 'First of the places given back that are not worn, 0 for none.'),
  worn: u32('core', 'The place that has been worn longest, 0 for none.'),
  lastWorn: u32('core', 'And the one that has been last.'),
});
const Slot = defineRecord('capability slot', {
  capability: num('core', 'Address of the record; 0 where it was found dead.'),
  turn: num('core', 'Its turn when it came here.'),
  rights: u16('core', 'RIGHT bits.'),
  tag: u16('core', 'How often the place was given back, modulo HANDLE_TAGS.'),
  state: u32('core', '0: given back, and `next` counts; 1: taken; more: taken, and dead of this errno.'),
  next: u32('core', 'Next of the places given back, or of those worn; 0 for none.'),
});
const [D, L, S] = [DomainRecord.fields, List.fields, Slot.fields];
const FIRST_ROOM = 5;
const TAKEN = 1;
const NOTHING = { capability: 0, turn: 0, rights: 0 };

/** What a handle stands for. `find` gives the same object each time. */
export interface Found extends Held {
  readonly handle: number;
  /** Address of the object (objects.ts). */
  readonly object: number;
  readonly kind: ObjectKind;
  readonly badge: bigint;
  readonly rights: number;
}

/** A place of a list, as it is carried to another space. */
export interface Place {
  readonly tag: number;
  /** 0: given back; 1: taken; more: taken, and dead of this errno. */
  readonly state: number;
  /** Of one that is taken and not dead; 0 else. */
  readonly capability: number;
  readonly turn: number;
  readonly rights: number;
}

export class CLists {
  readonly #space: Space;
  readonly #objects: Objects;
  readonly #capabilities: Capabilities;
  readonly #found = {
    handle: 0,
    object: 0,
    kind: 1 as ObjectKind,
    badge: 0n,
    rights: 0,
    capability: 0,
    turn: 0,
  };

  constructor(space: Space, objects: Objects, capabilities: Capabilities) {
    this.#space = space;
    this.#objects = objects;
    this.#capabilities = capabilities;
  }

  /** Places taken. */
  count(domain: Domain): number {
    const list = this.#list(domain);
    return list === 0 ? 0 : L.used.get(this.#space, list);
  }

  /**
   * Puts a capability into the list. Returns its handle, or -DQUOT.
   * @throws SpaceFullError with nothing changed
   */
  insert(domain: Domain, capability: number, turn: number, rights: number): number {
    const bad = this.reserve(domain);
    if (bad !== 0) return bad;
    const space = this.#space;
    const list = this.#list(domain);
    const index = this.#takePlace(domain, list);
    const at = this.#slot(list, index);
    S.capability.set(space, at, capability);
    S.turn.set(space, at, turn);
    S.rights.set(space, at, rights & this.#capabilities.rights(capability));
    S.state.set(space, at, TAKEN);
    S.next.set(space, at, 0);
    L.used.set(space, list, L.used.get(space, list) + 1);
    this.#capabilities.retain(capability);
    charge(space, domain.account, RESOURCE.capabilities, 1);
    return handleOf(index, S.tag.get(space, at));
  }

  /**
   * Makes sure that the next `insert` finds room: 0 or -DQUOT. `records`: of those that are to be made for it beside.
   * @throws SpaceFullError with nothing changed
   */
  reserve(domain: Domain, records = 0): number {
    const space = this.#space;
    if (!mayCharge(space, domain.account, RESOURCE.capabilities, 1 + records)) return -ERRNO.DQUOT;
    const list = this.#list(domain);
    if (list !== 0 && L.used.get(space, list) >= CAPABILITIES_MAX) return -ERRNO.DQUOT;
    if (list === 0) {
      const block = space.heap.alloc(List.bytes + FIRST_ROOM * Slot.bytes);
      L.room.set(space, block, FIRST_ROOM);
      L.high.set(space, block, 1);
      D.clist.set(space, domain.at, block);
    } else if (this.#wantsFresh(domain, list) && L.high.get(space, list) === L.room.get(space, list)) {
      const room = 2 * L.room.get(space, list);
      const block = space.heap.resize(list, List.bytes + room * Slot.bytes);
      L.room.set(space, block, Math.floor((space.heap.blockBytes(block) - List.bytes) / Slot.bytes));
      D.clist.set(space, domain.at, block);
    }
    return 0;
  }

  /**
   * Makes an object with its first capability, for the domain to own. Returns the handle, or -DQUOT with nothing made; who
   * has something to give back in that case asks `reserve(domain, 1)` before.
   * @throws SpaceFullError with nothing made
   */
  make(domain: Domain, kind: ObjectKind, a = 0, b = 0, rights = RIGHTS_ALL, id?: ObjectId): number {
    const bad = this.reserve(domain, 1);
    if (bad !== 0) return bad;
    const object = this.#objects.create(kind, a, b, id);
    let capability: number;
    try {
      capability = this.#capabilities.root(object, rights, domain.account);
    } catch (error) {
      this.#objects.forget(object);
      throw error;
    }
    return this.insert(domain, capability, 0, rights);
  }

  /**
   * What a handle stands for, or -errno: BADF, REVOKED, GONE, INVAL where it is of another kind, NOTCAPABLE where any of
   * `rights` is missing; NOTSUP where a kind is to be asked before it is used, which `Kinds.find` does. The result is good
   * until the next call.
   */
  find(domain: Domain, handle: number, rights = 0, kind: ObjectKind | 0 = 0): Found | number {
    const found = this.look(domain, handle, rights, kind);
    if (typeof found === 'number') return found;
    return this.#capabilities.kind(found.capability) === 0 ? found : -ERRNO.NOTSUP;
  }

  /** The same for what does not use the object: a kind is not asked. */
  look(domain: Domain, handle: number, rights = 0, kind: ObjectKind | 0 = 0): Found | number {
    const space = this.#space;
    const at = this.#at(domain, handle);
    if (at === 0) return -ERRNO.BADF;
    const state = S.state.get(space, at);
    if (state !== TAKEN) return -state;
    const capability = S.capability.get(space, at);
    const turn = S.turn.get(space, at);
    const bad = this.#capabilities.check(capability, turn);
    if (bad !== 0) {
      this.#letGo(at, -bad);
      return bad;
    }
    const found = this.#found;
    found.object = this.#capabilities.object(capability);
    found.kind = this.#objects.kind(found.object);
    if (kind !== 0 && found.kind !== kind) return -ERRNO.INVAL;
    found.rights = S.rights.get(space, at);
    if ((found.rights & rights) !== rights) return -ERRNO.NOTCAPABLE;
    found.handle = handle;
    found.badge = this.#capabilities.badge(capability);
    found.capability = capability;
    found.turn = turn;
    return found;
  }

  /** The object at a handle that is good, 0 for any other handle. What `find` gave stays as it is. */
  objectAt(domain: Domain, handle: number): number {
    const capability = this.capabilityAt(domain, handle);
    return capability === 0 ? 0 : this.#capabilities.object(capability);
  }
  /** The capability there. */
  capabilityAt(domain: Domain, handle: number): number {
    const [space, at] = [this.#space, this.#at(domain, handle)];
    if (at === 0 || S.state.get(space, at) !== TAKEN) return 0;
    const capability = S.capability.get(space, at);
    return this.#capabilities.check(capability, S.turn.get(space, at)) === 0 ? capability : 0;
  }

  /** The same capability once more in the same list, with those of `rights` that it has. A handle, or -errno. */
  copy(domain: Domain, handle: number, rights: number): number {
    const found = this.look(domain, handle);
    if (typeof found === 'number') return found;
    const { capability, turn } = found;
    return this.insert(domain, capability, turn, found.rights & rights);
  }

  /** A copy in another domain's list, never with the right to revoke. A handle there, or -errno; NOTCAPABLE without `share`. */
  pass(from: Domain, handle: number, to: Domain, rights: number): number {
    const found = this.look(from, handle, RIGHT.share);
    if (typeof found === 'number') return found;
    const { capability, turn } = found;
    return this.insert(to, capability, turn, found.rights & rights & ~RIGHT.revoke);
  }

  /** From one list to another, with all its rights: the handle is closed. A handle there, or -errno. */
  move(from: Domain, handle: number, to: Domain): number {
    const found = this.look(from, handle, RIGHT.share);
    if (typeof found === 'number') return found;
    const { capability, turn, rights } = found;
    const there = this.insert(to, capability, turn, rights);
    if (there >= 0) this.close(from, handle);
    return there;
  }

  /**
   * A capability derived of the one at this handle (capabilities.ts), of the same kind. A handle, or -errno. Whether the kind
   * has a say in that, Kinds.isAsked tells.
   */
  derive(domain: Domain, handle: number, rights: number, badge: bigint): number {
    const found = this.look(domain, handle, RIGHT.derive);
    if (typeof found === 'number') return found;
    const bad = this.reserve(domain, 1);
    if (bad !== 0) return bad;
    const { capability, turn } = found;
    const derived = this.#capabilities.derive(capability, turn, found.rights & rights, badge, domain.account);
    return derived < 0 ? derived : this.insert(domain, derived, 0, RIGHTS_ALL);
  }

  /** Ends all other copies of the capability at this handle, and what was derived of it. 0 or -errno. */
  revoke(domain: Domain, handle: number): number {
    const found = this.look(domain, handle, RIGHT.revoke);
    if (typeof found === 'number') return found;
    const turn = this.#capabilities.revoke(found.capability);
    S.turn.set(this.#space, this.#at(domain, handle), turn);
    return 0;
  }

  /** Gives the place back. 0 or -BADF. */
  close(domain: Domain, handle: number): number {
    const space = this.#space;
    const at = this.#at(domain, handle);
    if (at === 0) return -ERRNO.BADF;
    const list = this.#list(domain);
    const [capability, tag] = [S.capability.get(space, at), S.tag.get(space, at)];
    space.zero(at, Slot.bytes);
    S.tag.set(space, at, (tag + 1) % HANDLE_TAGS);
    this.#givePlace(list, handleIndex(handle), at);
    L.used.set(space, list, L.used.get(space, list) - 1);
    refund(space, domain.account, RESOURCE.capabilities, 1);
    if (capability !== 0) this.#capabilities.release(capability);
    return 0;
  }

  /** The same where the handle still stands for that capability, dead or not. */
  closeIf(domain: Domain, handle: number, capability: number): void {
    const at = this.#at(domain, handle);
    if (at === 0) return;
    const known = S.capability.get(this.#space, at);
    if (known === capability || known === 0) this.close(domain, handle);
  }

  /** Gives the whole list back. */
  clear(domain: Domain): void {
    const handles = [...this.handles(domain)];
    for (const handle of handles) this.close(domain, handle);
    const list = this.#list(domain);
    if (list === 0) return;
    D.clist.set(this.#space, domain.at, 0);
    this.#space.heap.free(list);
  }

  /** All places that ever were taken, from place 1 on. What is dead is told as dead, and not let go of. */
  *places(domain: Domain): Generator<Place> {
    const space = this.#space;
    const list = this.#list(domain);
    for (let index = 1; list !== 0 && index < L.high.get(space, list); index++) {
      const at = this.#slot(list, index);
      const [tag, capability] = [S.tag.get(space, at), S.capability.get(space, at)];
      const [turn, rights] = [S.turn.get(space, at), S.rights.get(space, at)];
      let state = S.state.get(space, at);
      if (state === TAKEN) state = -this.#capabilities.check(capability, turn) || TAKEN;
      yield state === TAKEN ? { tag, state, capability, turn, rights } : { ...NOTHING, tag, state };
    }
  }

  /**
   * Gives a domain without a list one of these places. Whether it may have them has been asked.
   * @throws SpaceFullError with nothing changed
   */
  lay(domain: Domain, places: readonly Place[]): void {
    if (places.length === 0) return;
    const space = this.#space;
    assert(this.#list(domain) === 0 && places.length <= CAPABILITIES_MAX, 'a list is laid once');
    const room = Math.max(FIRST_ROOM, places.length + 1);
    const list = space.heap.alloc(List.bytes + room * Slot.bytes);
    L.room.set(space, list, room);
    L.high.set(space, list, places.length + 1);
    D.clist.set(space, domain.at, list);
    let used = 0;
    for (const [i, { tag, state, capability, turn, rights }] of places.entries()) {
      const at = this.#slot(list, i + 1);
      S.tag.set(space, at, tag);
      S.state.set(space, at, state);
      if (state === 0) {
        this.#givePlace(list, i + 1, at);
        continue;
      }
      used++;
      if (state !== TAKEN) continue;
      S.capability.set(space, at, capability);
      S.turn.set(space, at, turn);
      S.rights.set(space, at, rights & this.#capabilities.rights(capability));
      this.#capabilities.retain(capability);
    }
    L.used.set(space, list, used);
    charge(space, domain.account, RESOURCE.capabilities, used);
  }

  /** Whether what a handle stood for stayed behind in another space. */
  isLeft(domain: Domain, handle: number): boolean {
    const at = this.#at(domain, handle);
    return at !== 0 && S.state.get(this.#space, at) === ERRNO.LEFT;
  }
  /** Has the handle of something that stayed behind stand for this from now on. False for any other handle. */
  revive(domain: Domain, handle: number, { capability, turn }: Held, rights: number): boolean {
    if (!this.isLeft(domain, handle)) return false;
    const [space, at] = [this.#space, this.#at(domain, handle)];
    S.capability.set(space, at, capability);
    S.turn.set(space, at, turn);
    S.rights.set(space, at, rights & this.#capabilities.rights(capability));
    S.state.set(space, at, TAKEN);
    this.#capabilities.retain(capability);
    return true;
  }

  /** All handles that have not been closed, dead ones too. */
  *handles(domain: Domain): Generator<number> {
    const space = this.#space;
    for (let index = 1; ; index++) {
      const list = this.#list(domain);
      if (list === 0 || index >= L.high.get(space, list)) return;
      const at = this.#slot(list, index);
      if (S.state.get(space, at) !== 0) yield handleOf(index, S.tag.get(space, at));
    }
  }

  /** The place of a handle that has not been closed; 0 for none. */
  #at(domain: Domain, handle: number): number {
    const list = this.#list(domain);
    const index = handleIndex(handle);
    if (list === 0 || handle < 0 || index === 0 || index >= L.high.get(this.#space, list)) return 0;
    const at = this.#slot(list, index);
    const taken = S.state.get(this.#space, at) !== 0;
    return taken && S.tag.get(this.#space, at) === handleTag(handle) ? at : 0;
  }

  /** Whether the next place is to be one that never was taken. */
  #wantsFresh(domain: Domain, list: number): boolean {
    const space = this.#space;
    if (L.free.get(space, list) !== 0) return false;
    const most = Math.min(CAPABILITIES_MAX, limitOf(space, domain.account, RESOURCE.capabilities));
    return L.worn.get(space, list) === 0 || L.high.get(space, list) <= most;
  }

  /** A place to be used; there is room for a fresh one where it is to be that. */
  #takePlace(domain: Domain, list: number): number {
    const space = this.#space;
    if (this.#wantsFresh(domain, list)) {
      const index = L.high.get(space, list);
      L.high.set(space, list, index + 1);
      return index;
    }
    const queue = L.free.get(space, list) !== 0 ? L.free : L.worn;
    const index = queue.get(space, list);
    queue.set(space, list, S.next.get(space, this.#slot(list, index)));
    return index;
  }

  /** A place that has its next tag is not used now. */
  #givePlace(list: number, index: number, at: number): void {
    const space = this.#space;
    if (S.tag.get(space, at) !== 0) {
      S.next.set(space, at, L.free.get(space, list));
      L.free.set(space, list, index);
      return;
    }
    if (L.worn.get(space, list) === 0) L.worn.set(space, list, index);
    else S.next.set(space, this.#slot(list, L.lastWorn.get(space, list)), index);
    L.lastWorn.set(space, list, index);
  }

  #letGo(at: number, errno: number): void {
    const capability = S.capability.get(this.#space, at);
    S.capability.set(this.#space, at, 0);
    S.state.set(this.#space, at, errno);
    this.#capabilities.release(capability);
  }

  #list(domain: Domain): number {
    return D.clist.get(this.#space, domain.at);
  }
  #slot(list: number, index: number): number {
    return list + List.bytes + index * Slot.bytes;
  }
}

assert(ERRNO.REVOKED > TAKEN && ERRNO.GONE > TAKEN, 'a dead place is told from one that is taken');
