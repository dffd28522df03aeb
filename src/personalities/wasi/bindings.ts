/**
 * What descriptors stand on: each has a handle in its domain's capability list, of what was granted or of what it was opened
 * through. The kernel has a domain bound once, before it runs; from then on a descriptor is as good as its capability. Revoked
 * or closed, the descriptor is BADF in every call but fd_close; where a server has ended, its objects are STALE.
 *
 * Whether a capability is good is looked up once in an epoch; the Maps here are caches of that.
 */
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { assert } from '../../base/assert.ts';
import { GRANT_NAME_MAX_BYTES } from '../../base/limits.ts';
import type { Held } from '../../kernel/capability/capabilities.ts';
import { epochOf } from '../../kernel/capability/epoch.ts';
import { findGrant } from '../../kernel/capability/grants.ts';
import type { Core } from '../../kernel/core.ts';
import type { Domain } from '../../kernel/domain.ts';
import { HOST } from '../../kernel/ring/hosts.ts';
import type { Space } from '../../space/index.ts';
import { ERRNO } from './errno.ts';
import { BOUND_VERSION, D, find, isServed, KIND, openNumbers, S } from './state.ts';

const STREAMS = ['stdin', 'stdout', 'stderr'] as const;
/** What a program may have beside descriptors, by the names under which it is granted. */
export type Source = 'clock' | 'random';

interface Sources {
  epoch: number;
  clock: boolean;
  random: boolean;
}

export class Bindings {
  readonly #space: Space;
  #core: Core | null = null;
  /** The epoch at which a descriptor was last found good, by its record's address. */
  readonly #checked = new Map<number, number>();
  readonly #domains = new Map<number, number>();
  readonly #sources = new Map<number, Sources>();

  constructor(space: Space) {
    this.#space = space;
  }

  /** The kernel that it is the personality of. Without one (in tests of calls alone) nothing is looked up. */
  attach(core: Core): void {
    this.#core = core;
  }
  /** Whether there is a kernel, so that descriptors stand on capabilities. */
  get bound(): boolean {
    return this.#core !== null;
  }
  get core(): Core {
    assert(this.#core !== null, 'only a kernel has descriptors on what domains serve');
    return this.#core;
  }

  /**
   * Gives a domain capabilities to what its descriptors stand for, where it has none yet.
   * @throws EnvironmentError where it may not have that many, SpaceFullError
   */
  bind(id: number, state: number): void {
    const domain = this.core.peek(id);
    assert(domain !== undefined, 'a domain is bound while it is there');
    this.#domains.set(state, id);
    const { space } = this.core;
    if (S.version.get(space, state) === BOUND_VERSION) return;
    // Names first: what was opened through a folder says the folder's handle where it was carried here.
    const all = [...openNumbers(space, state)].map((fd) => this.#named(fd, find(space, state, fd)));
    for (const { at, name } of all) if (name.length > 0) this.#bindDescriptor(domain, at, name);
    for (const { at, name } of all) if (name.length === 0) this.#bindDescriptor(domain, at, name);
    const { hosts, authority } = this.core;
    for (const kind of ['clock', 'random'] as const) {
      if (authority.lacks(domain, bytesOf(kind)))
        authority.grant(id, { name: kind, ...hosts.capability({ kind }, READ_ONLY) });
    }
    S.version.set(space, state, BOUND_VERSION);
  }

  /** A descriptor of a bound domain stands for something else of its kind now. */
  bindAgain(state: number, at: number): void {
    const domain = this.#core?.peek(this.#domains.get(state) ?? 0);
    if (domain === undefined) return;
    const handle = D.handle.get(this.#space, at);
    if (!this.core.clists.isLeft(domain, handle)) this.core.clists.close(domain, handle);
    this.#checked.delete(at);
    this.#bindDescriptor(domain, at, this.#nameOf(at));
  }

  /** A descriptor with the name that the program knows it by, empty for none. */
  #named(fd: number, at: number): { at: number; name: Uint8Array } {
    const kind = D.kind.get(this.#space, at);
    const which = kind === KIND.stream ? D.object.get(this.#space, at) : kind === KIND.servedStream ? fd : 3;
    const stream = STREAMS[which];
    return { at, name: stream === undefined ? this.#nameOf(at) : bytesOf(stream) };
  }

  #bindDescriptor(domain: Domain, at: number, name: Uint8Array): void {
    const { hosts, nodes } = this.core;
    const space = this.#space;
    const kind = D.kind.get(space, at);
    const object = D.object.get(space, at);
    const rights = D.readOnly.get(space, at) !== 0 ? RIGHTS_ALL & ~RIGHT.write : RIGHTS_ALL;
    if (isServed(kind) && object === D.handle.get(space, at)) return; // it was carried here
    if (isServed(kind)) {
      // Until now it has held the capability itself.
      const held = { capability: object, turn: D.offset.get(space, at) };
      D.offset.set(space, at, 0);
      this.#grant(domain, at, held, rights, name);
      this.core.capabilities.release(object);
      D.object.set(space, at, D.handle.get(space, at));
    } else if (kind === KIND.stream) {
      const which = object as 0 | 1 | 2;
      const mine = RIGHTS_ALL & ~(which === 0 ? RIGHT.write : RIGHT.read);
      const held = hosts.capability({ kind: 'stream', domain: domain.id, which }, mine);
      this.#grant(domain, at, held, mine, name);
    } else if (kind === KIND.file || kind === KIND.directory) {
      this.#grant(domain, at, nodes.capability(object, rights), rights, name);
    } else if (object !== 0 || !this.core.clists.isLeft(domain, D.handle.get(space, at))) {
      // What stayed behind does so until it is granted again.
      this.#grant(domain, at, hosts.capability({ kind: 'port', id: object }, rights), rights, name);
    }
  }

  /** Under this name, where it is one that can be granted. */
  #grant(domain: Domain, at: number, held: Held, rights: number, name: Uint8Array): void {
    const { authority, capabilities, clists, space } = this.core;
    const mine = rights & ~RIGHT.revoke;
    const text = new TextDecoder().decode(name);
    const usable = name.length > 0 && name.length <= GRANT_NAME_MAX_BYTES && authority.lacks(domain, name);
    capabilities.retain(held.capability);
    try {
      // Where it was carried here, its handle stays the same.
      let handle = D.handle.get(space, at);
      if (usable) handle = authority.grant(domain.id, { name: text, ...held, rights: mine });
      else if (!clists.revive(domain, handle, held, mine))
        handle = clists.insert(domain, held.capability, held.turn, mine);
      D.handle.set(space, at, Math.max(handle, 0));
    } finally {
      capabilities.release(held.capability);
    }
  }

  #nameOf(at: number): Uint8Array {
    const name = D.name.get(this.#space, at);
    return name === 0 ? new Uint8Array(0) : this.#space.readBytes(name, D.nameBytes.get(this.#space, at));
  }

  /** Whether a descriptor of a domain may be used. */
  good(id: number, at: number): boolean {
    const core = this.#core;
    if (core === null) return true;
    const epoch = epochOf(this.#space);
    if (this.#checked.get(at) === epoch) return true;
    const domain = core.peek(id);
    const handle = D.handle.get(this.#space, at);
    if (domain === undefined) return false;
    const found = core.clists.find(domain, handle);
    // Whoever served it has ended, or stayed behind: the operation itself says so.
    if (found === -ERRNO.GONE && isServed(D.kind.get(this.#space, at))) return true;
    if (found === -ERRNO.LEFT) return true;
    if (typeof found === 'number') return false;
    this.#checked.set(at, epoch);
    return true;
  }

  /** Whether a program may ask the clock, or for random bytes. */
  may(id: number, source: Source): boolean {
    const core = this.#core;
    if (core === null) return true;
    const epoch = epochOf(this.#space);
    let known = this.#sources.get(id);
    if (known === undefined || known.epoch !== epoch) {
      const domain = core.peek(id);
      known = { epoch, clock: this.#has(domain, 'clock'), random: this.#has(domain, 'random') };
      this.#sources.set(id, known);
    }
    return known[source];
  }

  #has(domain: Domain | undefined, source: Source): boolean {
    if (domain === undefined) return false;
    const { clists, objects, space } = this.core;
    const handle = findGrant(space, domain, bytesOf(source));
    const found = handle < 0 ? handle : clists.find(domain, handle, RIGHT.read, OBJECT.host);
    return typeof found !== 'number' && objects.b(found.object) === HOST[source];
  }

  /** A descriptor is being closed: gives its handle back where no other stands on it. */
  close(state: number, at: number): void {
    this.#checked.delete(at);
    const core = this.#core;
    const domain = core?.peek(this.#domains.get(state) ?? 0);
    const handle = D.handle.get(this.#space, at);
    if (core === null || domain === undefined || handle === 0) return;
    for (const fd of openNumbers(this.#space, state)) {
      const other = find(this.#space, state, fd);
      if (other !== at && D.handle.get(this.#space, other) === handle) return;
    }
    core.clists.close(domain, handle);
  }

  /**
   * The handle of a connection that was accepted, on a capability derived of the listener's; -errno.
   * @throws SpaceFullError with nothing made
   */
  accepted(id: number, listener: number, socket: number): number {
    const core = this.#core;
    const domain = core?.peek(id);
    if (core === null || domain === undefined) return 0;
    const { clists, capabilities, objects } = core;
    const found = clists.find(domain, D.handle.get(this.#space, listener));
    if (typeof found === 'number') return found;
    const { capability, turn, rights } = found;
    const bad = clists.reserve(domain, 1);
    if (bad !== 0) return bad;
    const object = objects.create(OBJECT.host, socket, HOST.port);
    const derived = capabilities.derive(capability, turn, rights, 0n, domain.account, object);
    if (derived < 0) objects.forget(object);
    return derived < 0 ? derived : clists.insert(domain, derived, 0, rights);
  }

  /** The state is given back. */
  forget(state: number): void {
    this.#sources.delete(this.#domains.get(state) ?? 0);
    this.#domains.delete(state);
  }
}

const READ_ONLY = RIGHTS_ALL & ~RIGHT.write;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
