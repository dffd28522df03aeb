/**
 * What goes with a domain that is carried to another space, beside its own state (image.ts): its list with the same handles, and
 * what that leads to, as far as it is the domain's own. That is: itself, its account and its gates; segments that it may read, with their bytes as
 * of now, whoever else has them and wherever they come from; rings, with what is under way in them; the tables and objects that it serves; wait sets, with the members it
 * added; what it has mapped.
 *
 * All else stays behind, and what has a kind before it: there the handle says LEFT, until something is granted under the same
 * name. A capability comes along with its rights, its badge, and what it was derived of, as far as that comes along too; where
 * something between the two stays behind, it is derived of the one further up.
 *
 * arrival.ts makes it anew.
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, type ObjectKind, RIGHT } from '../../abi/objects.ts';
import { EnvironmentError } from '../../base/errors.ts';
import { DEFAULT_REQUESTS, FRAME_BYTES } from '../../base/limits.ts';
import { left } from '../account/account.ts';
import type { Core } from '../core.ts';
import { type Domain, DomainRecord } from '../domain.ts';
import { type OperationImage, operationImages, type RingImage, ringImage } from '../ring/carried.ts';
import { readSegment } from '../segment/outside.ts';
import type { MemberImage } from '../wait/sets.ts';
import type { Held } from './capabilities.ts';
import { grantsOf } from './grants.ts';

export interface SegmentImage {
  kind: typeof OBJECT.segment;
  size: number;
  sealed: boolean;
  /** The handle by which the domain keeps it frozen, 0 where it does not. */
  frozen: number;
  /** What is not zero: pieces of at most 64 KiB. */
  pieces: { offset: number; bytes: Uint8Array }[];
}

/** Other objects are given by their index, which is lower than their own. */
export type BelongingImage =
  | { kind: typeof OBJECT.domain | typeof OBJECT.account }
  | { kind: typeof OBJECT.gate; procedure: number }
  | SegmentImage
  | ({ kind: typeof OBJECT.ring } & RingImage)
  | { kind: typeof OBJECT.table; ring: number; type: number; methods: number }
  | { kind: typeof OBJECT.served; table: number; number: number }
  | { kind: typeof OBJECT.waitSet; members: MemberImage[] };

export interface CapabilityImage {
  /** Index of the object. */
  object: number;
  /** Index of the one it was derived of, lower than its own; -1 for none that came along. */
  parent: number;
  rights: number;
  badge: bigint;
}

export interface MappingImage {
  capability: number;
  near: number;
  bytes: number;
  offset: number;
  writable: boolean;
}

export interface BelongingsImage {
  /** PLACE_WORDS for each place of the list, from place 1 on: state (clists.ts), tag, index of the capability or -1, rights. */
  places: Int32Array;
  names: { name: string; handle: number }[];
  objects: BelongingImage[];
  capabilities: CapabilityImage[];
  mappings: MappingImage[];
  operations: OperationImage[];
}
export const PLACE_WORDS = 4;

/** Nothing changes by it. */
export function belongingsImage(core: Core, domain: Domain): BelongingsImage {
  return new Packer(core, domain).pack();
}

/** Kinds of what can be a domain's own; what others are made of comes first. */
const KINDS: readonly ObjectKind[] = [
  OBJECT.ring,
  OBJECT.table,
  OBJECT.served,
  OBJECT.domain,
  OBJECT.account,
  OBJECT.gate,
  OBJECT.segment,
  OBJECT.waitSet,
];

class Packer {
  readonly #core: Core;
  readonly #domain: Domain;
  /** Index of each object that comes along, and of each capability, by address. */
  readonly #objects = new Map<number, number>();
  /** Index of each ring's object, by the ring. */
  readonly #rings = new Map<number, number>();
  readonly #capabilities = new Map<number, number>();
  readonly #images: CapabilityImage[] = [];
  /** Segments over files of the host that come along, and bytes that the account has room for beside them. */
  readonly #sourced = new Map<number, SegmentImage>();
  #room: number;
  /** Capabilities that come along. */
  readonly #along = new Set<number>();

  constructor(core: Core, domain: Domain) {
    this.#core = core;
    this.#domain = domain;
    this.#room = left(core.space, domain.account, RESOURCE.memory);
  }

  pack(): BelongingsImage {
    const { clists, windows, rings, space } = this.#core;
    const domain = this.#domain;
    const places = [...clists.places(domain)];
    const mapped = [...windows.of(domain)].filter((mapping) => this.#isGood(mapping));
    const operations = rings.of(domain).filter((op) => op.ring !== null);
    const held = operations.filter((op) => op.holds && this.#isGood(op));
    this.#choose(places, mapped, held);
    const index = (capability: number): number => this.#capabilities.get(capability) ?? -1;
    const mappings = mapped.filter(({ capability }) => index(capability) >= 0);
    return {
      places: Int32Array.from(
        places.flatMap(({ state, tag, capability, rights }) => {
          const stays = capability !== 0 && index(capability) < 0;
          return [stays ? ERRNO.LEFT : state, tag, capability === 0 ? -1 : index(capability), rights];
        }),
      ),
      names: [...grantsOf(space, domain)].map(([name, handle]) => ({ name, handle })),
      objects: [...this.#objects.keys()].map((object) => this.#object(object, mappings)),
      capabilities: this.#images,
      mappings: mappings.map(({ capability, near, bytes, offset, rights }) => ({
        ...{ capability: index(capability), near, bytes, offset, writable: (rights & RIGHT.write) !== 0 },
      })),
      operations: operationImages(this.#core, operations, this.#rings, index),
    };
  }

  /** Decides what comes along, and in which order. */
  #choose(
    places: readonly (Held & { rights: number })[],
    mapped: readonly Held[],
    held: readonly Held[],
  ): void {
    const { capabilities, objects, space } = this.#core;
    const free = (capability: number): boolean => capability !== 0 && capabilities.kind(capability) === 0;
    const candidates = new Set([...places, ...mapped, ...held].map((each) => each.capability).filter(free));
    const readable = new Set<number>(
      [...places.filter(({ rights }) => (rights & RIGHT.read) !== 0), ...mapped]
        .filter(({ capability }) => free(capability))
        .map(({ capability }) => capabilities.object(capability)),
    );
    const found = new Set([...candidates].map((capability) => capabilities.object(capability)));
    this.#addServed(found);
    const own = [...found].filter((object) => KINDS.includes(objects.kind(object)));
    own.sort((a, b) => KINDS.indexOf(objects.kind(a)) - KINDS.indexOf(objects.kind(b)));
    for (const object of own) {
      if (!this.#isOwn(object, readable)) continue;
      if (objects.kind(object) === OBJECT.ring) this.#rings.set(objects.a(object), this.#objects.size);
      this.#objects.set(object, this.#objects.size);
    }
    for (const capability of candidates) {
      if (this.#objects.has(capabilities.object(capability))) this.#along.add(capability);
    }
    // Its own first capability, of which all others to itself are derived.
    const first = DomainRecord.fields.capability.get(space, this.#domain.at);
    if (first !== 0 && this.#objects.has(capabilities.object(first))) this.#along.add(first);
    for (const capability of this.#along) this.#add(capability);
  }

  /** Objects of its tables that only others have: they have let go of them where it arrives, of which it is told. */
  #addServed(found: Set<number>): void {
    const { objects, rings } = this.#core;
    let left = DEFAULT_REQUESTS;
    for (const table of [...found].filter((object) => objects.kind(object) === OBJECT.table)) {
      for (const object of rings.tables.objectsOf(objects.a(table))) {
        if (left-- <= 0) return;
        found.add(object);
      }
    }
  }

  #isOwn(object: number, readable: ReadonlySet<number>): boolean {
    const { objects, rings } = this.#core;
    const { id } = this.#domain;
    const a = objects.a(object);
    switch (objects.kind(object)) {
      case OBJECT.domain:
      case OBJECT.gate:
        return a === id;
      case OBJECT.account:
        return a === this.#domain.account;
      case OBJECT.segment:
        return readable.has(object) && this.#hasBytes(object);
      case OBJECT.ring:
        return rings.ring(a)?.domainId === id;
      case OBJECT.table:
        return this.#ringOf(a) >= 0;
      case OBJECT.served:
        return this.#objects.has(rings.tables.describe(a)?.object ?? 0);
      default:
        return true; // a wait set
    }
  }

  /** Index of the ring of a table, -1 where that stays behind. */
  #ringOf(table: number): number {
    return this.#rings.get(this.#core.rings.tables.describe(table)?.ring ?? 0) ?? -1;
  }

  /** The index of a capability that comes along. Those it was derived of get theirs before. */
  #add(capability: number): number {
    const { capabilities } = this.#core;
    const known = this.#capabilities.get(capability);
    if (known !== undefined) return known;
    let above = capabilities.parent(capability);
    while (above !== 0 && !this.#along.has(above)) above = capabilities.parent(above);
    const parent = above === 0 ? -1 : this.#add(above);
    const object = this.#objects.get(capabilities.object(capability)) as number;
    const [rights, badge] = [capabilities.rights(capability), capabilities.badge(capability)];
    const index = this.#images.push({ object, parent, rights, badge }) - 1;
    this.#capabilities.set(capability, index);
    return index;
  }

  #object(object: number, mappings: readonly { near: number; bytes: number }[]): BelongingImage {
    const { objects, rings, waits } = this.#core;
    const kind = objects.kind(object);
    const [a, b] = [objects.a(object), objects.b(object)];
    if (kind === OBJECT.gate) return { kind, procedure: b };
    if (kind === OBJECT.segment) return this.#sourced.get(object) ?? this.#segment(object);
    if (kind === OBJECT.ring) return { kind, ...ringImage(this.#core.space, a) };
    if (kind === OBJECT.table) {
      const table = rings.tables.describe(a);
      return { kind, ring: this.#ringOf(a), type: table?.kind ?? 0, methods: table?.methods ?? 0 };
    }
    if (kind === OBJECT.served) {
      const table = rings.tables.describe(a)?.object ?? 0;
      return { kind, table: this.#objects.get(table) as number, number: b };
    }
    if (kind === OBJECT.domain || kind === OBJECT.account) return { kind };
    const near = (at: number): boolean =>
      at < this.#domain.bytesOf(0) || mappings.some((m) => at >= m.near && at < m.near + m.bytes);
    const members = waits?.sets.membersOf(object, this.#domain.id) ?? [];
    return { kind: OBJECT.waitSet, members: members.filter((member) => near(member.near)) };
  }

  /**
   * Whether all bytes of a segment can come along. Those of others, and those of files of the host, become the domain's own: they do
   * where they can be read, and its account would have room for them.
   */
  #hasBytes(object: number): boolean {
    const { segments } = this.#core;
    const { size, payer, charged } = segments.describe(object);
    const sourced = segments.hasSource(object);
    const paid = payer === this.#domain.account ? charged : 0;
    const more = Math.ceil(size / FRAME_BYTES) * FRAME_BYTES - paid;
    if (more > this.#room) return false;
    try {
      if (sourced) this.#sourced.set(object, this.#segment(object));
    } catch (error) {
      if (error instanceof EnvironmentError) return false;
      throw error;
    }
    this.#room -= Math.max(0, more);
    return true;
  }

  #segment(object: number): SegmentImage {
    const { segments } = this.#core;
    const { size, sealed, freezer, handle } = segments.describe(object);
    const pieces: SegmentImage['pieces'] = [];
    for (let offset = 0; offset < size; offset += FRAME_BYTES) {
      const bytes = readSegment(this.#core, object, offset, FRAME_BYTES);
      let [first, end] = [0, bytes.length];
      while (first < end && bytes[first] === 0) first++;
      while (end > first && bytes[end - 1] === 0) end--;
      if (end > first) pieces.push({ offset: offset + first, bytes: bytes.slice(first, end) });
    }
    const frozen = freezer === this.#domain.id ? handle : 0;
    return { kind: OBJECT.segment, size, sealed, frozen, pieces };
  }

  #isGood({ capability, turn }: Held): boolean {
    return this.#core.capabilities.check(capability, turn) === 0;
  }
}
