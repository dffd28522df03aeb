/**
 * What a domain brings along (belongings.ts) made anew for it, in a space that it is carried to. An image may say anything, so nothing is
 * believed: all objects are new ones and the domain's own, no rights come to be that it would not have had by making them itself, and
 * its account pays for all of it, which is asked before anything is made. What stayed behind is a dead place of the list.
 *
 * Where something is wrong, what has been made goes with what was held here, and with the domain that the caller drops.
 */
import { RESOURCE, type Resource } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { HANDLE_TAGS, OBJECT, RIGHTS_ALL } from '../../abi/objects.ts';
import { TABLE_KIND } from '../../abi/ring.ts';
import { EnvironmentError, MalformedError } from '../../base/errors.ts';
import { CAPABILITIES_MAX, FRAME_BYTES } from '../../base/limits.ts';
import { limitOf, mayCharge } from '../account/account.ts';
import { accountObject } from '../account/calls.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { procedureAt } from '../gate/procedures.ts';
import { arriveOperations, arriveRing, checkRing } from '../ring/carried.ts';
import type { Ring } from '../ring/ring.ts';
import { writeSegment } from '../segment/outside.ts';
import { type BelongingImage, type BelongingsImage, PLACE_WORDS, type SegmentImage } from './belongings.ts';
import type { Held } from './capabilities.ts';
import type { Place } from './clists.ts';
import { findGrant, setGrant } from './grants.ts';

function demand(ok: boolean, what: string): asserts ok {
  if (!ok) throw new MalformedError(`domain image: ${what}`, -1);
}
const isCount = (value: unknown, below = Number.MAX_SAFE_INTEGER): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < below;
const isRights = (value: unknown): value is number => isCount(value, RIGHTS_ALL + 1);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const encoder = new TextEncoder();

/**
 * Gives a domain that has its memory, and no list yet, what it brings along.
 * @throws MalformedError, EnvironmentError where that is more than it may have, SpaceFullError; the caller drops the domain
 */
export function adoptBelongings(core: Core, domain: Domain, image: BelongingsImage): void {
  checkShape(image);
  const arrival = new Arrival(core, domain);
  try {
    arrival.arrive(image);
  } finally {
    arrival.letGo();
  }
}

const LISTS = ['names', 'objects', 'capabilities', 'mappings', 'operations'] as const;

function checkShape(image: BelongingsImage): void {
  demand(isObject(image), 'what it has');
  for (const list of LISTS) {
    const items: unknown = image[list];
    demand(Array.isArray(items) && items.every(isObject), `its ${list}`);
    demand(items.length <= CAPABILITIES_MAX, `its ${list} are too many`);
  }
  const { places } = image;
  demand(places instanceof Int32Array && places.length % PLACE_WORDS === 0, 'its list');
  demand(places.length / PLACE_WORDS <= CAPABILITIES_MAX, 'its list is too long');
}

class Arrival {
  readonly #core: Core;
  readonly #domain: Domain;
  /** By index: objects, rings among them, capabilities. Held here until all is done. */
  readonly #objects: number[] = [];
  readonly #rings = new Map<number, Ring>();
  readonly #capabilities: Held[] = [];

  constructor(core: Core, domain: Domain) {
    this.#core = core;
    this.#domain = domain;
  }

  arrive(image: BelongingsImage): void {
    const places = readPlaces(image);
    this.#mayHave(image, places);
    for (const each of image.objects) {
      const object = this.#make(each);
      this.#core.objects.retain(object);
      this.#objects.push(object);
    }
    for (const each of image.capabilities) this.#allow(each);
    this.#lay(places);
    this.#name(image);
    for (const each of image.mappings) this.#map(each);
    for (const [i, each] of image.objects.entries()) this.#finish(each, this.#objects[i] as number);
    arriveOperations(this.#core, this.#domain, image.operations, {
      ring: (index) => this.#rings.get(index),
      capability: (index) => (index === -1 ? 0 : this.#capability(index).capability),
    });
  }

  /** What nothing else holds by now ends. */
  letGo(): void {
    const { capabilities, objects } = this.#core;
    for (const { capability } of this.#capabilities.reverse()) capabilities.release(capability);
    for (const object of this.#objects.reverse()) objects.release(object);
  }

  /** Whether the domain's account has room for all of it. */
  #mayHave(image: BelongingsImage, places: readonly Place[]): void {
    let [memory, entries, members] = [0, 0, 0];
    for (const each of image.objects) {
      if (each.kind === OBJECT.segment) {
        demand(isCount(each.size), 'the size of a segment');
        memory += Math.ceil(each.size / FRAME_BYTES) * FRAME_BYTES;
      } else if (each.kind === OBJECT.ring) {
        this.#checkRing(each);
        entries += each.entries;
      } else if (each.kind === OBJECT.waitSet) {
        demand(Array.isArray(each.members) && each.members.every(isObject), 'members of a wait set');
        members += each.members.length;
      }
    }
    const taken = places.filter(({ state }) => state !== 0).length;
    // Places that were given back cost nothing, and are no more than a list here could have.
    const most = limitOf(this.#core.space, this.#domain.account, RESOURCE.capabilities);
    if (places.length > most) this.#refuse('places of its list');
    this.#may(RESOURCE.memory, memory, 'memory');
    this.#may(RESOURCE.entries, entries, 'entries of rings');
    this.#may(RESOURCE.capabilities, taken + members + image.capabilities.length, 'capabilities');
    this.#may(RESOURCE.requests, image.operations.length, 'operations under way');
  }
  #may(resource: Resource, amount: number, what: string): void {
    if (!mayCharge(this.#core.space, this.#domain.account, resource, amount)) this.#refuse(what);
  }
  #refuse(what: string): never {
    const { name } = this.#domain;
    throw new EnvironmentError('over-limit', `${name}: it brings along more ${what} than it may have here`);
  }

  #checkRing(image: Extract<BelongingImage, { kind: typeof OBJECT.ring }>): void {
    if (this.#domain.module.alone === undefined) return checkRing(this.#domain, image);
    const what = `${this.#domain.name}: a program in a process of its own has no rings`;
    throw new EnvironmentError('unfit-program', what, 'import it without --isolation process');
  }

  /** A new object, held by nobody yet. */
  #make(image: BelongingImage): number {
    const { objects, rings, segments, waits } = this.#core;
    const domain = this.#domain;
    switch (image.kind) {
      case OBJECT.domain:
        return this.#core.capabilities.object(this.#self());
      case OBJECT.account:
        return accountObject(this.#core, domain.account);
      case OBJECT.gate: {
        const { procedure } = image;
        demand(isCount(procedure) && procedureAt(domain.module, procedure) !== undefined, 'a gate');
        return objects.create(OBJECT.gate, domain.id, procedure);
      }
      case OBJECT.segment: {
        const object = segments.createFree(image.size, domain.account);
        try {
          this.#fill(object, image);
        } catch (error) {
          objects.retain(object);
          objects.release(object);
          throw error;
        }
        return object;
      }
      case OBJECT.ring: {
        const ring = arriveRing(this.#core, domain, image);
        this.#rings.set(this.#objects.length, ring);
        try {
          return objects.create(OBJECT.ring, ring.at);
        } catch (error) {
          rings.close(ring);
          throw error;
        }
      }
      case OBJECT.table: {
        const { ring: index, type, methods } = image;
        const ring = this.#rings.get(index);
        demand(ring?.serves === true, 'the ring of a table');
        demand(Object.values<unknown>(TABLE_KIND).includes(type) && isCount(methods, 0x10001), 'a table');
        return rings.tables.arrive(ring, type, methods);
      }
      case OBJECT.served: {
        const { table, number } = image;
        demand(isCount(table, this.#objects.length) && isCount(number), 'a served object');
        const object = this.#objects[table] as number;
        demand(objects.kind(object) === OBJECT.table, 'the table of a served object');
        return rings.tables.arriveObject(object, number);
      }
      case OBJECT.waitSet:
        demand(waits !== null, 'a wait set');
        return waits.sets.arrive();
      default:
        throw new MalformedError('domain image: an object of no kind that can be brought along', -1);
    }
  }

  #fill(object: number, { size, pieces }: SegmentImage): void {
    demand(Array.isArray(pieces), 'the bytes of a segment');
    for (const piece of pieces) {
      demand(isCount(piece?.offset) && piece.bytes instanceof Uint8Array, 'a piece of a segment');
      demand(piece.offset + piece.bytes.length <= size, 'a piece of a segment lies outside');
      writeSegment(this.#core, object, piece.offset, piece.bytes);
    }
  }

  /** The first capability to the domain itself. */
  #self(): number {
    return this.#core.authority.domain(this.#domain.id).capability;
  }

  #allow({ object: index, parent, rights, badge }: BelongingsImage['capabilities'][number]): void {
    const { capabilities, objects } = this.#core;
    demand(isCount(index, this.#objects.length) && isRights(rights), 'a capability');
    demand(typeof badge === 'bigint' && badge >= 0n && badge < 1n << 64n, 'the badge of a capability');
    const object = this.#objects[index] as number;
    const { account } = this.#domain;
    let capability: number;
    if (parent !== -1) {
      demand(isCount(parent, this.#capabilities.length), 'what a capability was derived of');
      const from = this.#capability(parent);
      const inherited = capabilities.badge(from.capability);
      demand(inherited === 0n || inherited === badge, 'the badge of a capability');
      const own = inherited === 0n ? badge : 0n;
      capability = capabilities.derive(from.capability, from.turn, rights, own, account, object);
      demand(capability >= 0, 'capabilities derived of one another');
    } else if (objects.kind(object) === OBJECT.domain) capability = this.#self();
    else capability = capabilities.root(object, rights, account, badge);
    capabilities.retain(capability);
    this.#capabilities.push({ capability, turn: capabilities.turn(capability) });
  }

  #capability(index: number): Held {
    const held = isCount(index) ? this.#capabilities[index] : undefined;
    demand(held !== undefined, 'a capability that is none');
    return held;
  }

  #lay(places: readonly Place[]): void {
    this.#core.clists.lay(
      this.#domain,
      places.map((place) =>
        place.state === 1 ? { ...place, ...this.#capability(place.capability) } : place,
      ),
    );
  }

  #name({ names }: BelongingsImage): void {
    const { space } = this.#core;
    for (const { name, handle } of names) {
      demand(typeof name === 'string' && isCount(handle, 2 ** 31), 'a name');
      const bytes = encoder.encode(name);
      demand(findGrant(space, this.#domain, bytes) < 0, 'a name comes twice');
      demand(setGrant(space, this.#domain, bytes, handle) === 0, 'a name');
    }
  }

  #map({ capability: index, near, bytes, offset, writable }: BelongingsImage['mappings'][number]): void {
    const { capabilities, objects, windows } = this.#core;
    const held = this.#capability(index);
    const object = capabilities.object(held.capability);
    demand(objects.kind(object) === OBJECT.segment, 'what is mapped');
    demand([near, bytes, offset].every((value) => isCount(value)) && near > 0, 'a mapping');
    const rights = capabilities.rights(held.capability);
    const writes = writable === true;
    const at = windows.map(this.#domain, { ...held, object, rights, near, bytes, offset, writable: writes });
    if (at === -ERRNO.NOTSUP) {
      const what = `${this.#domain.name}: it has segments mapped, and its program has no windows here`;
      throw new EnvironmentError('unfit-program', what, 'compile it with windows');
    }
    demand(at === near, 'a mapping');
  }

  /** What can be only when all is there. */
  #finish(image: BelongingImage, object: number): void {
    const { segments, waits } = this.#core;
    if (image.kind === OBJECT.segment) {
      if (image.frozen !== 0) {
        demand(isCount(image.frozen, 2 ** 31), 'who has frozen a segment');
        segments.freeze(object, this.#domain, image.frozen);
      }
      if (image.sealed === true) segments.seal(object);
    }
    if (image.kind !== OBJECT.waitSet || waits === null) return;
    const { sets, places } = waits;
    for (const { near, user } of image.members) {
      demand(isCount(near, 2 ** 32) && typeof user === 'bigint', 'a member of a wait set');
      const key = places.semaphore(this.#domain, near);
      demand(typeof key !== 'number', 'where a member of a wait set lies');
      demand(sets.add(sets.of(object), this.#domain, key, near, user) === 0, 'a member of a wait set');
    }
  }
}

/** The places of a list; of those that are taken, `capability` is an index. */
function readPlaces({ places: words }: BelongingsImage): Place[] {
  return Array.from({ length: words.length / PLACE_WORDS }, (_, i) => {
    const [state, tag, capability, rights] = words.subarray(PLACE_WORDS * i) as unknown as [
      number,
      number,
      number,
      number,
    ];
    demand(isCount(tag, HANDLE_TAGS), 'a place of its list');
    if (state === 1) {
      demand(isRights(rights), 'the rights of a place');
      return { state, tag, capability, turn: 0, rights };
    }
    demand(state === 0 || (isCount(state, 2 ** 16) && state > 1), 'a place of its list');
    return { state, tag, capability: 0, turn: 0, rights: 0 };
  });
}
