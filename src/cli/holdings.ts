/**
 * Capabilities as whoever made the space has them: what a program is granted, what a program has, and what is held for the
 * owner of this process, on the core's thread. What is held is let go at the latest when the space is opened again; what is to
 * outlive the process is a sturdy reference.
 */
import { RESOURCE, UNLIMITED } from '../abi/account.ts';
import { ERRNO, errnoName } from '../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../abi/objects.ts';
import { EnvironmentError } from '../base/errors.ts';
import type { ServedObjects } from '../drivers/served.ts';
import { type DriverState, STATE } from '../drivers/state.ts';
import { limitOf, usedOf } from '../kernel/account/account.ts';
import type { Grant } from '../kernel/capability/authority.ts';
import { findGrant, grantsOf } from '../kernel/capability/grants.ts';
import type { Restored } from '../kernel/capability/sturdy.ts';
import { procedureNamed } from '../kernel/gate/procedures.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { Block, blocksOf, pushFront, unlinkBlock } from '../kernel/outbox-memory.ts';
import { readSegment, writeSegment } from '../kernel/segment/outside.ts';
import type { Grant as WasiGrant } from '../personalities/wasi/index.ts';
import { SpaceFullError } from '../space/index.ts';
import type { SegmentRequest } from './messages.ts';
import type {
  AccountReport,
  CapabilityReport,
  GrantSource,
  ImportGrant,
  Inspection,
  Narrowing,
  RightName,
} from './types.ts';

/** A capability held for the owner: a block in a list, so that the next process finds what this one held. */
const HELD = { next: 0, capability: 8, turn: 16, rights: 24 } as const;
const HELD_BYTES = 32;
/** Most capabilities of a program that are told of. */
const REPORTED_MAX = 1000;

const KIND_NAMES = new Map<number, string>(Object.entries(OBJECT).map(([name, kind]) => [kind, name]));

/** RIGHT bits of names. */
export function rightsOf(names: readonly RightName[]): number {
  return names.reduce((bits, name) => bits | RIGHT[name], 0);
}

function rightNames(bits: number): RightName[] {
  return (Object.keys(RIGHT) as RightName[]).filter((name) => (bits & RIGHT[name]) !== 0);
}

const STREAMS = ['stdin', 'stdout', 'stderr'];

/**
 * Grants that a program has as descriptors: `stdin`, `stdout` and `stderr` stand for its standard streams, a name that begins with
 * `/` is where it sees a folder. The others it has by name alone.
 */
export function descriptorsOf(grants: readonly Grant[]): { descriptors: WasiGrant[]; named: Grant[] } {
  const descriptors: WasiGrant[] = [];
  const named: Grant[] = [];
  for (const grant of grants) {
    const { name, capability, turn, rights = RIGHTS_ALL } = grant;
    const fd = STREAMS.indexOf(name);
    if (fd >= 0) descriptors.push({ kind: 'stream', capability, turn, fd: fd as 0 | 1 | 2 });
    else if (name.startsWith('/')) {
      const readOnly = (rights & RIGHT.write) === 0;
      descriptors.push({ kind: 'served', capability, turn, guest: name, readOnly });
    } else named.push(grant);
  }
  return { descriptors, named };
}

export class Holdings {
  readonly #kernel: Kernel;
  readonly #state: DriverState;
  readonly #served: ServedObjects;
  readonly #held = new Map<number, Block>();
  #next = 1;

  constructor(kernel: Kernel, state: DriverState, served: ServedObjects) {
    this.#served = served;
    this.#kernel = kernel;
    this.#state = state;
    for (const block of [...blocksOf(state.root, STATE.held, HELD.next)]) this.#letGo(block);
  }

  /**
   * What these sources are, for the time of `use`, which passes them on.
   * @throws EnvironmentError where there is no such thing, or not any more
   */
  granting<T>(imports: readonly ImportGrant[], use: (grants: Grant[]) => T): T {
    const { capabilities } = this.#kernel.core;
    const grants: Grant[] = [];
    try {
      for (const { name, from, rights } of imports) {
        const { capability, turn, rights: most } = this.#source(from, RIGHT.share);
        capabilities.retain(capability);
        const wanted = rights === undefined ? RIGHTS_ALL & ~RIGHT.revoke : rightsOf(rights);
        grants.push({ name, capability, turn, rights: wanted & most });
      }
      return use(grants);
    } finally {
      for (const { capability } of grants) capabilities.release(capability);
    }
  }

  /** Gives a domain more than it began with. */
  grant(id: number, given: ImportGrant): void {
    this.granting([given], ([grant]) => this.#kernel.authority.grant(id, grant as Grant));
  }

  /** Holds what a source is for the owner, or with `narrow` one derived of it. Gives its number. */
  hold(from: GrantSource, narrow?: Narrowing): number {
    const { capabilities } = this.#kernel.core;
    let { capability, turn, rights } = this.#source(from, narrow === undefined ? 0 : RIGHT.derive);
    if (narrow !== undefined) {
      rights &= rightsOf(narrow.rights);
      capability = capabilities.derive(capability, turn, rights, narrow.badge, 0);
      if (capability < 0) refuse(-capability);
      turn = capabilities.turn(capability);
      rights |= RIGHT.revoke;
    }
    return this.keep(capability, turn, rights);
  }

  /** Holds a capability for the owner. Gives its number. @throws SpaceFullError */
  keep(capability: number, turn: number, rights: number): number {
    const { capabilities } = this.#kernel.core;
    // Held in passing, so that what was just made is given back where it cannot be kept.
    capabilities.retain(capability);
    const block = Block.create(this.#state.memory, HELD_BYTES);
    if (block === undefined) {
      capabilities.release(capability);
      throw new SpaceFullError(HELD_BYTES);
    }
    block.setU64(HELD.capability, capability);
    block.setU64(HELD.turn, turn);
    block.setU64(HELD.rights, rights);
    pushFront(this.#state.root, STATE.held, block, HELD.next);
    const id = this.#next++;
    this.#held.set(id, block);
    return id;
  }

  /** What the owner asks of a segment: see SegmentRequest. @throws EnvironmentError, SpaceFullError */
  segment(request: SegmentRequest): number | Uint8Array | undefined {
    const { core } = this.#kernel;
    if (request.what === 'make') {
      const { init } = request;
      const bytes = wholeNumber(typeof init === 'number' ? init : init.length, 'a number of bytes');
      const object = core.segments.createFree(bytes);
      const id = this.keep(core.capabilities.root(object), 0, RIGHTS_ALL);
      if (typeof init !== 'number') writeSegment(core, object, 0, init);
      return id;
    }
    const right = request.what === 'write' ? RIGHT.write : RIGHT.read;
    const { capability } = this.#source({ kind: 'held', id: request.id }, right);
    const object = core.capabilities.object(capability);
    if (core.objects.kind(object) !== OBJECT.segment) refuse(ERRNO.NOTCAPABLE);
    if (request.what === 'size') return core.segments.size(object);
    const offset = wholeNumber(request.offset, 'an offset');
    if (request.what === 'read')
      return readSegment(core, object, offset, wholeNumber(request.length, 'a length'));
    const bad = writeSegment(core, object, offset, request.bytes);
    if (bad === -ERRNO.INVAL)
      throw new EnvironmentError('bad-argument', 'the segment ends before these bytes');
    if (bad !== 0) {
      throw new EnvironmentError('not-writable', `the segment cannot be written now (${errnoName(-bad)})`);
    }
    return undefined;
  }

  /** Ends all other copies of what is held, and all that was derived of it. */
  revoke(id: number): void {
    const { capability } = this.#source({ kind: 'held', id }, RIGHT.revoke);
    this.#block(id).setU64(HELD.turn, this.#kernel.core.capabilities.revoke(capability));
  }

  /** A text that gives what a source is back, in whatever process: see kernel/capability/sturdy.ts. */
  sturdy(from: GrantSource, rights: readonly RightName[] | undefined): string {
    const source = this.#source(from, RIGHT.share);
    return this.#kernel.authority.sturdy(
      source,
      source.rights & (rights === undefined ? RIGHTS_ALL : rightsOf(rights)),
    );
  }

  /** Lets go. Nothing happens where that has been done. */
  release(id: number): void {
    const block = this.#held.get(id);
    this.#held.delete(id);
    if (block !== undefined) this.#letGo(block);
  }

  /** What a domain has, in the order of its handles. */
  capabilitiesOf(id: number): Pick<Inspection, 'capabilities' | 'capabilityCount'> {
    const { core } = this.#kernel;
    const domain = core.peek(id);
    if (domain === undefined) return { capabilities: [], capabilityCount: 0 };
    const names = new Map([...grantsOf(core.space, domain)].map(([name, handle]) => [handle, name]));
    const capabilities: CapabilityReport[] = [];
    for (const handle of core.clists.handles(domain)) {
      if (capabilities.length === REPORTED_MAX) break;
      const name = names.get(handle) ?? null;
      const found = core.clists.look(domain, handle);
      if (typeof found === 'number') {
        const state = errnoName(-found);
        capabilities.push({ handle, name, kind: null, state, rights: [], badge: '0', object: null });
      } else {
        const kind = KIND_NAMES.get(found.kind) ?? String(found.kind);
        const [rights, object] = [rightNames(found.rights), core.objects.idText(found.object)];
        const state = core.capabilities.kind(found.capability) === 0 ? 'good' : 'asks';
        capabilities.push({ handle, name, kind, state, rights, badge: `${found.badge}`, object });
      }
    }
    return { capabilities, capabilityCount: core.clists.count(domain) };
  }

  /** What a domain's account has used of what it may. */
  accountOf(id: number): AccountReport | null {
    const { core } = this.#kernel;
    const domain = core.peek(id);
    if (domain === undefined || domain.account === 0) return null;
    const of = (value: number): number | null => (value === UNLIMITED ? null : value);
    const entries = Object.entries(RESOURCE).map(([name, resource]) => [
      name,
      {
        used: usedOf(core.space, domain.account, resource),
        limit: of(limitOf(core.space, domain.account, resource)),
      },
    ]);
    return Object.fromEntries(entries) as AccountReport;
  }

  /** What a source is now, with `needed` among its rights. */
  #source(from: GrantSource, needed: number): Restored {
    const source = this.#find(from);
    const bad = this.#kernel.core.capabilities.check(source.capability, source.turn);
    if (bad !== 0) refuse(-bad);
    if ((source.rights & needed) !== needed) refuse(ERRNO.NOTCAPABLE);
    return source;
  }

  #find(from: GrantSource): Restored {
    const { authority, core } = this.#kernel;
    switch (from.kind) {
      case 'domain': {
        const id = this.#kernel.find(from.name);
        if (id >= 0) return { ...authority.domain(id), rights: RIGHTS_ALL };
        throw new EnvironmentError('no-such-domain', `there is no program called ${from.name}`);
      }
      case 'gate':
        return this.#gate(from.name, from.procedure);
      case 'granted':
        return this.#granted(from.name, from.as);
      case 'held': {
        const block = this.#block(from.id);
        const [capability, turn] = [block.u64(HELD.capability), block.u64(HELD.turn)];
        return { capability, turn, rights: block.u64(HELD.rights) };
      }
      case 'served': {
        const id = this.#served.numberOf(from.name);
        return { ...core.hosts.capability({ kind: 'served', id }), rights: RIGHTS_ALL };
      }
      case 'sturdy':
        return authority.restore(from.text);
      default:
        return { ...core.hosts.capability(from), rights: RIGHTS_ALL };
    }
  }

  /** One procedure of a domain, as an object. */
  #gate(name: string, procedure: string): Restored {
    const { core } = this.#kernel;
    const domain = core.peek(this.#kernel.find(name));
    if (domain === undefined)
      throw new EnvironmentError('no-such-domain', `there is no program called ${name}`);
    const offered = domain.ended ? undefined : procedureNamed(domain.module, procedure);
    if (offered === undefined) {
      throw new EnvironmentError('no-such-export', `${name}: it has no procedure "${procedure}"`);
    }
    const object = core.objects.create(OBJECT.gate, domain.id, offered.functionIndex);
    const rights = RIGHT.invoke | RIGHT.share | RIGHT.derive;
    return { capability: core.capabilities.root(object, rights), turn: 0, rights };
  }

  /** What a program has under a name. */
  #granted(name: string, as: string): Restored {
    const { core } = this.#kernel;
    const domain = core.peek(this.#kernel.find(name));
    if (domain === undefined)
      throw new EnvironmentError('no-such-domain', `there is no program called ${name}`);
    const handle = findGrant(core.space, domain, new TextEncoder().encode(as));
    const found = handle < 0 ? handle : core.clists.look(domain, handle);
    if (typeof found === 'number') {
      const hint = `perdure inspect ${name} shows what it holds`;
      throw new EnvironmentError('no-capability', `${name} has nothing called "${as}"`, hint);
    }
    return { capability: found.capability, turn: found.turn, rights: found.rights };
  }

  #block(id: number): Block {
    const block = this.#held.get(id);
    if (block !== undefined) return block;
    throw new EnvironmentError('not-held', 'the capability was let go');
  }

  #letGo(block: Block): void {
    unlinkBlock(this.#state.root, STATE.held, block, HELD.next);
    this.#kernel.core.capabilities.release(block.u64(HELD.capability));
    block.release();
  }
}

function wholeNumber(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new EnvironmentError('bad-argument', `${value} is not ${what}`);
}

function refuse(errno: number): never {
  const hint =
    errno === ERRNO.NOTCAPABLE
      ? 'it lacks a right, or has a badge already'
      : 'it was revoked, or what it is to is gone';
  throw new EnvironmentError(
    'no-capability',
    `the capability cannot be used for this (${errnoName(errno)})`,
    hint,
  );
}
