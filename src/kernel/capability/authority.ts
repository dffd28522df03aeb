/**
 * What whoever made the space may do with capabilities, from outside of any domain: `kernel.authority`. Call it between
 * runs, or from inside a kernel call.
 */
import { ERRNO, errnoName } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { EnvironmentError } from '../../base/errors.ts';
import { GRANT_NAME_MAX_BYTES, GRANTS_MAX } from '../../base/limits.ts';
import type { Core } from '../core.ts';
import { type Domain, DomainRecord } from '../domain.ts';
import type { LoadedModule } from '../program.ts';
import type { Held } from './capabilities.ts';
import type { Found } from './clists.ts';
import { clearGrants, findGrant, setGrant } from './grants.ts';
import type { Restored } from './sturdy.ts';

const D = DomainRecord.fields;
const encoder = new TextEncoder();

/** What a domain is to have from its beginning. */
export interface Grant extends Held {
  /** 1 to GRANT_NAME_MAX_BYTES bytes of UTF-8. */
  readonly name: string;
  /** RIGHT bits; all but `revoke` where they are not given. */
  readonly rights?: number;
}

/** A part of a segment to be mapped. */
export interface MapOptions {
  /** A multiple of 4096. */
  readonly offset: number;
  readonly bytes: number;
  readonly writable?: boolean;
  /** Near address, a multiple of 64 KiB from WINDOW_BASE up; 0 for any. */
  readonly near?: number;
}

export class Authority {
  readonly #core: Core;
  constructor(core: Core) {
    this.#core = core;
  }

  /** The first capability to a domain, which the kernel holds. */
  domain(id: number): Held {
    const { space, objects, capabilities } = this.#core;
    const { at } = this.#get(id);
    let capability = D.capability.get(space, at);
    if (capability === 0) {
      const object = objects.create(OBJECT.domain, id);
      capability = capabilities.root(object, RIGHTS_ALL);
      capabilities.retain(capability);
      D.capability.set(space, at, capability);
    }
    return { capability, turn: capabilities.turn(capability) };
  }

  /**
   * Gives a domain a capability under a name, in place of the one that it had under that name. Returns the handle, which is
   * the one it had where that one stayed behind in another space.
   * @throws EnvironmentError: a name that cannot be, or more than the domain may have
   */
  grant(id: number, { name, capability, turn, rights = RIGHTS_ALL & ~RIGHT.revoke }: Grant): number {
    const { space, clists } = this.#core;
    const domain = this.#get(id);
    const bytes = encoder.encode(name);
    const old = findGrant(space, domain, bytes);
    if (old >= 0 && clists.revive(domain, old, { capability, turn }, rights)) {
      this.#core.moveEpoch();
      return old;
    }
    const handle = clists.insert(domain, capability, turn, rights);
    const bad = handle < 0 ? handle : setGrant(space, domain, bytes, handle);
    if (bad !== 0 && handle >= 0) clists.close(domain, handle);
    if (bad !== 0) this.#refuse(domain, name, -bad);
    if (old >= 0) clists.close(domain, old);
    // Imports that were bound by the name lead elsewhere now.
    if (old >= 0) this.#core.moveEpoch();
    return handle;
  }

  /** Whether a domain has nothing under a name, or only what stayed behind in another space. */
  lacks(domain: Domain, name: Uint8Array): boolean {
    const handle = findGrant(this.#core.space, domain, name);
    return handle < 0 || this.#core.clists.isLeft(domain, handle);
  }

  /** Gives a domain the right to make domains of a program, under a name. Returns the handle. @throws as `grant` does */
  grantProgram(id: number, name: string, module: LoadedModule, rights = RIGHTS_ALL & ~RIGHT.revoke): number {
    const { objects, capabilities, programs } = this.#core;
    this.#get(id);
    const object = programs.create(module);
    objects.retain(object);
    const capability = capabilities.root(object);
    capabilities.retain(capability);
    try {
      return this.grant(id, { name, capability, turn: 0, rights });
    } finally {
      capabilities.release(capability);
      objects.release(object);
    }
  }

  /**
   * Gives a domain a new segment of zeros under a name, in place of what it had under that: the domain pays for it.
   * @throws EnvironmentError where it may not have so many bytes, and as `grant` does; SpaceFullError
   */
  grantSegment(id: number, name: string, bytes: number): Found {
    const { space, clists, segments } = this.#core;
    const domain = this.#get(id);
    const handle = segments.create(domain, bytes);
    if (handle < 0) {
      const hint = 'it counts as memory of the program: grant it more, or map less';
      throw new EnvironmentError('memory-limit', `${domain.name}: it may not have ${bytes} bytes more`, hint);
    }
    const named = encoder.encode(name);
    const old = findGrant(space, domain, named);
    const bad = setGrant(space, domain, named, handle);
    if (bad !== 0) clists.close(domain, handle);
    if (bad !== 0) this.#refuse(domain, name, -bad);
    if (old >= 0) clists.close(domain, old);
    return { ...(clists.find(domain, handle) as Found) };
  }

  /**
   * Maps a segment for a domain that does not ask for it itself: a program compiled with windows (`CompileOptions.windows`), before
   * it is started or between runs. Returns the near address.
   * @throws EnvironmentError where it may not be mapped so; SpaceFullError
   */
  map(id: number, held: Held, { offset, bytes, writable = false, near = 0 }: MapOptions): number {
    const { capabilities, objects, windows } = this.#core;
    const domain = this.#get(id);
    const { capability, turn } = held;
    const bad = capabilities.check(capability, turn);
    const object = capabilities.object(capability);
    const rights = capabilities.rights(capability);
    const isSegment = objects.kind(object) === OBJECT.segment && (rights & RIGHT.map) !== 0;
    const at =
      bad !== 0
        ? bad
        : isSegment
          ? windows.map(domain, { ...held, object, rights, offset, bytes, writable, near })
          : -ERRNO.NOTCAPABLE;
    if (at >= 0) return at;
    throw new EnvironmentError(
      'bad-mapping',
      `${domain.name}: a segment cannot be mapped there so (${errnoName(-at)})`,
      MAP_HINTS[-at] ?? '',
    );
  }

  /**
   * A text that gives this capability back (sturdy.ts), until it is revoked or the text forgotten.
   * @throws EnvironmentError where the host gives no random bytes, or the capability is dead
   */
  sturdy(held: Held, rights = RIGHTS_ALL): string {
    const bad = this.#core.capabilities.check(held.capability, held.turn);
    const text = bad !== 0 ? bad : this.#core.sturdies.make(held, rights, 0);
    return typeof text === 'number' ? refuseReference(-text) : text;
  }
  /** What such a text stands for. @throws EnvironmentError where that is nothing, or nothing any more */
  restore(text: string): Restored {
    const found = this.#core.sturdies.find(text);
    return typeof found === 'number' ? refuseReference(-found) : found;
  }
  /** Ends a text, whoever had it made. @throws EnvironmentError where there is none */
  forgetSturdy(text: string): void {
    const bad = this.#core.sturdies.forget(text);
    if (bad !== 0) refuseReference(-bad);
  }

  /** The domain has ended: what it had is given back. */
  release(domain: Domain): void {
    this.#core.clists.clear(domain);
    clearGrants(this.#core.space, domain);
  }
  /** The domain is no more: so it is for whoever has a capability to it. */
  forget(domain: Domain): void {
    const { space, objects, capabilities } = this.#core;
    const capability = D.capability.get(space, domain.at);
    if (capability === 0) return;
    D.capability.set(space, domain.at, 0);
    objects.destroy(capabilities.object(capability));
    capabilities.release(capability);
  }

  #get(id: number): Domain {
    const domain = this.#core.peek(id);
    if (domain === undefined) throw new EnvironmentError('no-such-domain', `there is no domain ${id}`);
    return domain;
  }

  #refuse(domain: Domain, name: string, errno: number): never {
    if (errno === ERRNO.INVAL) {
      const hint = `1 to ${GRANT_NAME_MAX_BYTES} bytes of UTF-8`;
      throw new EnvironmentError('bad-name', `nothing can be granted under the name "${name}"`, hint);
    }
    throw new EnvironmentError(
      'too-many-grants',
      `${domain.name}: it may not have "${name}" beside what it has (${errnoName(errno)})`,
      `at most ${GRANTS_MAX} names, and as many capabilities as it is allowed`,
    );
  }
}

const MAP_HINTS: Readonly<Record<number, string>> = {
  [ERRNO.NOTSUP]: 'compile the program with windows',
  [ERRNO.ROFS]: 'it is sealed: it can be mapped to be read only',
  [ERRNO.BUSY]: 'another program has frozen it',
  [ERRNO.NOTCAPABLE]: 'it is no segment, or the capability lacks the right to map, read or write it',
};

function refuseReference(errno: number): never {
  const reasons: Record<number, string> = {
    [ERRNO.INVAL]: 'it is not of the form perdure:OBJECT:SECRET',
    [ERRNO.NOENT]: 'there is none such here',
    [ERRNO.REVOKED]: 'it was revoked',
    [ERRNO.GONE]: 'the object is no more',
    [ERRNO.NOTSUP]: 'the host gives no random bytes to make one of',
  };
  throw new EnvironmentError(
    'bad-reference',
    `the reference stands for nothing: ${reasons[errno] ?? errnoName(errno)}`,
  );
}
