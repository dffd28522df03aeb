/**
 * Wait sets: semaphores to wait for together, as many as one may have. Sets and members are records; the lists here are made
 * from them and from what the semaphores count.
 *
 * A member is *armed*, which is to say that its semaphore says somebody waits, so that whoever gives tells the kernel; or it stands in the
 * set's list of those that may be ready, and nobody tells anything. So giving to a semaphore and being told of
 * it cost the same however many members there are, and what is given to a member many times over before anybody asks
 * enters the kernel once. Who waits on a set is handed what it waits for (queues.ts); nothing is ready while somebody waits.
 */

import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { defineRecord, num, RecordTable, ROOT, type Space, u32, u64 } from '../../space/index.ts';
import { charge, mayCharge, refund } from '../account/account.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { Link, LinkedList } from './lists.ts';
import { type Key, type Place, setKey } from './places.ts';
import type { Waits } from './queues.ts';

const SetRecord = defineRecord('wait set', {
  object: num('kernel', 'Its object.'),
});
const MemberRecord = defineRecord('wait set member', {
  set: u32('kernel', 'Row of the set.'),
  domain: u32('kernel', 'Who added it.'),
  account: num('kernel', 'Who is charged for it.'),
  owner: num('kernel', 'The place of the semaphore: see `Key`.'),
  spot: num('kernel', 'Likewise.'),
  near: num('kernel', 'The address by which that domain knows it.'),
  user: u64('kernel', "The program's number for it."),
});
const M = MemberRecord.fields;

/** A member as the domain that added it knows it. */
export interface MemberImage {
  near: number;
  user: bigint;
}

export class Member extends Link<Member> {
  readonly set: WaitSet;
  readonly place: Place;
  readonly row: number;
  constructor(set: WaitSet, place: Place, row: number) {
    super();
    this.set = set;
    this.place = place;
    this.row = row;
    set.members.set(place, this);
    place.members++;
  }
}

export class WaitSet {
  readonly row: number;
  readonly object: number;
  readonly members = new Map<Place, Member>();
  /** Members that may have something to take, in the order in which they came to. */
  readonly ready = new LinkedList<Member>();
  /** Made from its record: what is ready is not known yet. While somebody waits on it, nothing is. */
  isNew = false;
  constructor(row: number, object: number) {
    this.row = row;
    this.object = object;
  }
}

export class WaitSets {
  readonly #core: Core;
  readonly #space: Space;
  readonly #waits: Waits;
  readonly #sets = new Map<number, WaitSet>();
  /** The sets to which a domain has added members. */
  readonly #addedTo = new Map<number, Set<WaitSet>>();
  #setTable: RecordTable | null = null;
  #memberTable: RecordTable | null = null;

  constructor(core: Core, waits: Waits) {
    this.#core = core;
    this.#space = core.space;
    this.#waits = waits;
    core.objects.onEnd(OBJECT.waitSet, (object) => this.#end(this.of(object)));
  }

  /** For tests and reports. */
  get count(): number {
    return this.#sets.size;
  }

  /** The set that an object is. */
  of(object: number): WaitSet {
    return this.#sets.get(this.#core.objects.a(object)) as WaitSet;
  }

  /** A new set of a domain's. Its handle, or -DQUOT. */
  create(domain: Domain): number {
    const { clists, objects } = this.#core;
    const bad = clists.reserve(domain, 1);
    if (bad !== 0) return bad;
    const row = this.#setRows().insert();
    let handle: number;
    try {
      handle = clists.make(domain, OBJECT.waitSet, row);
    } catch (error) {
      this.#setRows().remove(row);
      throw error;
    }
    const found = clists.find(domain, handle);
    const object = typeof found === 'number' ? 0 : found.object;
    SetRecord.fields.object.set(this.#space, this.#setRows().address(row), object);
    this.#sets.set(objects.a(object), new WaitSet(row, object));
    return handle;
  }

  /** The object of a set that was carried here; nobody holds it yet. @throws SpaceFullError with nothing changed */
  arrive(): number {
    const row = this.#setRows().insert();
    let object: number;
    try {
      object = this.#core.objects.create(OBJECT.waitSet, row);
    } catch (error) {
      this.#setRows().remove(row);
      throw error;
    }
    SetRecord.fields.object.set(this.#space, this.#setRows().address(row), object);
    this.#sets.set(row, new WaitSet(row, object));
    return object;
  }

  /** The members of a set that a domain has added and can still reach. */
  membersOf(object: number, domain: number): MemberImage[] {
    const images: MemberImage[] = [];
    for (const member of this.of(object).members.values()) {
      const near = M.near.get(this.#space, this.#memberRows().address(member.row));
      if (this.#adder(member) !== domain) continue;
      if (this.#waits.places.lookAgain(member.place, domain, near) !== 0) continue;
      images.push({ near, user: this.#user(member) });
    }
    return images;
  }

  /** The semaphore at a place becomes a member: 0, -EXIST or -DQUOT. */
  add(set: WaitSet, domain: Domain, key: Key, near: number, user: bigint): number {
    const { places } = this.#waits;
    const known = places.find(key);
    if (known !== undefined && set.members.has(known)) return -ERRNO.EXIST;
    const [space, table, { account }] = [this.#space, this.#memberRows(), domain];
    if (!mayCharge(space, account, RESOURCE.capabilities, 1)) return -ERRNO.DQUOT;
    const row = table.insert();
    const at = table.address(row);
    M.set.set(space, at, set.row);
    M.domain.set(space, at, domain.id);
    M.owner.set(space, at, key.owner);
    M.spot.set(space, at, key.spot);
    M.near.set(space, at, near);
    M.user.set(space, at, BigInt.asUintN(64, user));
    M.account.set(space, at, account);
    charge(space, account, RESOURCE.capabilities, 1);
    this.#noteAdded(domain.id, set);
    this.#arm(new Member(set, places.make(key), row));
    return 0;
  }

  /** 0, or -NOENT where the place is no member. */
  remove(set: WaitSet, key: Key): number {
    const place = this.#waits.places.find(key);
    const member = place === undefined ? undefined : set.members.get(place);
    if (member === undefined) return -ERRNO.NOENT;
    this.#drop(member);
    return 0;
  }

  /** Takes one of each member that has any, until `told` has `most` numbers of members. It may have one already, which is not told again. */
  collect(set: WaitSet, most: number, told: bigint[]): void {
    const { places } = this.#waits;
    if (set.isNew) this.#lookThrough(set);
    const [already] = told;
    // Members with more go to the end, and are not told twice.
    for (let left = set.ready.length; left > 0 && told.length < most; left--) {
      const member = set.ready.first as Member;
      if (this.#isLost(member)) continue;
      if (already !== undefined && this.#user(member) === already) {
        set.ready.remove(member);
        set.ready.push(member);
        continue;
      }
      const taken = places.take(member.place.key);
      set.ready.remove(member);
      if (taken) told.push(this.#user(member));
      member.place.armed.push(member);
      places.settle(member.place);
      // Looked at once more when it was armed: somebody may have given in between. What is frozen is told when it no longer is.
      if (places.count(member.place.key) > 0 && !places.held.has(member.place)) this.#setReady(member);
    }
  }

  /** There is something to take at a place that has armed members: for those who wait on their sets, and else to be told. */
  serve(place: Place): void {
    const { places } = this.#waits;
    while (place.armed.first !== null && places.count(place.key) > 0) {
      const member = place.armed.first;
      if (this.#isLost(member)) continue;
      const own = places.find(setKey(member.set.row));
      const waiter = own === undefined ? null : this.#waits.first(own);
      if (waiter === null) {
        this.#setReady(member);
        continue;
      }
      if (!places.take(place.key)) return;
      // The next one is for another set that has this semaphore, if there is any.
      place.armed.remove(member);
      place.armed.push(member);
      this.#waits.answer(waiter, 0, this.#user(member));
    }
  }

  /** Whether a handle still means the set at a place: 0, or the -errno. */
  lookAgain(place: Place, domain: number, handle: number): number {
    const whose = this.#core.peek(domain);
    if (whose === undefined) return -ERRNO.BADF;
    const found = this.#core.clists.look(whose, handle, RIGHT.read, OBJECT.waitSet);
    if (typeof found === 'number') return found;
    return setKey(this.of(found.object).row).spot === place.key.spot ? 0 : -ERRNO.BADF;
  }

  /** The memory of a place is no more: so it is a member of nothing. */
  placeGone(place: Place): void {
    while (place.armed.first !== null) this.#drop(place.armed.first);
    if (place.members === 0) return;
    for (const set of this.#sets.values()) {
      const member = set.members.get(place);
      if (member !== undefined) this.#drop(member);
    }
  }

  /** A domain has ended: what it had added leaves its sets. */
  forget(domain: number): void {
    const sets = this.#addedTo.get(domain);
    this.#addedTo.delete(domain);
    for (const set of sets ?? []) {
      for (const member of [...set.members.values()]) if (this.#adder(member) === domain) this.#drop(member);
    }
  }

  /** Sets and members from their records. */
  recover(): void {
    const [space, core] = [this.#space, this.#core];
    if (space.root(ROOT.waitSets) === 0) return;
    const sets = this.#setRows();
    for (const row of sets.rows()) {
      const set = new WaitSet(row, SetRecord.fields.object.get(space, sets.address(row)));
      set.isNew = true;
      this.#sets.set(row, set);
    }
    if (space.root(ROOT.waitMembers) === 0) return;
    const table = this.#memberRows();
    for (const row of table.rows()) {
      const at = table.address(row);
      const set = this.#sets.get(M.set.get(space, at)) as WaitSet;
      const key = { owner: M.owner.get(space, at), spot: M.spot.get(space, at) };
      const member = new Member(set, this.#waits.places.make(key), row);
      member.place.armed.push(member);
      // Its semaphore does not say so where it was known as ready.
      this.#waits.places.held.add(member.place);
      const domain = M.domain.get(space, at);
      if (core.peek(domain) === undefined) this.#drop(member);
      else this.#noteAdded(domain, set);
    }
  }

  #end(set: WaitSet): void {
    const place = this.#waits.places.find(setKey(set.row));
    while (place !== undefined) {
      const waiter = this.#waits.first(place);
      if (waiter === null) break;
      this.#waits.answer(waiter, -ERRNO.GONE);
    }
    for (const member of [...set.members.values()]) this.#drop(member);
    for (const sets of this.#addedTo.values()) sets.delete(set);
    this.#sets.delete(set.row);
    this.#setRows().remove(set.row);
  }

  /** True where the member has left the set, since who added it may not use its place any longer. */
  #isLost(member: Member): boolean {
    const near = M.near.get(this.#space, this.#memberRows().address(member.row));
    if (this.#waits.places.lookAgain(member.place, this.#adder(member), near) === 0) return false;
    this.#drop(member);
    return true;
  }

  #lookThrough(set: WaitSet): void {
    set.isNew = false;
    for (const member of set.members.values()) {
      if (member.list === member.place.armed && this.#waits.places.count(member.place.key) > 0) {
        this.#setReady(member);
      }
    }
  }

  #arm(member: Member): void {
    const { place } = member;
    place.armed.push(member);
    this.#waits.places.settle(place);
    if (this.#waits.places.count(place.key) > 0) this.#waits.serve(place);
  }
  #setReady(member: Member): void {
    member.place.armed.remove(member);
    member.set.ready.push(member);
    this.#waits.places.settle(member.place);
  }

  #drop(member: Member): void {
    const { set, place, row } = member;
    member.list?.remove(member);
    set.members.delete(place);
    place.members--;
    this.#waits.places.settle(place);
    const account = M.account.get(this.#space, this.#memberRows().address(row));
    refund(this.#space, account, RESOURCE.capabilities, 1);
    this.#memberRows().remove(row);
  }

  #noteAdded(domain: number, set: WaitSet): void {
    const sets = this.#addedTo.get(domain);
    if (sets === undefined) this.#addedTo.set(domain, new Set([set]));
    else sets.add(set);
  }

  #adder(member: Member): number {
    return M.domain.get(this.#space, this.#memberRows().address(member.row));
  }
  #user(member: Member): bigint {
    return M.user.get(this.#space, this.#memberRows().address(member.row));
  }

  #setRows(): RecordTable {
    this.#setTable ??= RecordTable.open(this.#space, ROOT.waitSets, SetRecord.bytes);
    return this.#setTable;
  }
  #memberRows(): RecordTable {
    this.#memberTable ??= RecordTable.open(this.#space, ROOT.waitMembers, MemberRecord.bytes);
    return this.#memberTable;
  }
}
