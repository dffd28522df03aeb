/** Capabilities in the hands of whoever embeds a space: to grant, to narrow, to take away again. */
import { EnvironmentError } from '../base/errors.ts';
import type { Host } from '../cli/host.ts';
import type { GrantSource, ImportGrant, RightName } from '../cli/types.ts';

/** What a `Grantable` object stands for; not for callers. */
export const SOURCE: unique symbol = Symbol('perdure.source');

/** Something that a program can be granted as a capability. */
export interface Grantable {
  /** @internal */
  readonly [SOURCE]: GrantSource;
}

/** What a program is granted: something, or the host's clock or random source; with all rights but `revoke`, or these. */
export type Grant =
  | Grantable
  | 'clock'
  | 'random'
  | { readonly to: Grantable | 'clock' | 'random'; readonly rights: readonly RightName[] };

/** How a capability is derived of another. */
export interface DeriveOptions {
  /** Rights, as far as the other has them; all of those where they are not given. `revoke` always comes with it. */
  readonly rights?: readonly RightName[];
  /** A number of 64 bits that whoever serves the object sees, where the other has none. 0 for none, the default. */
  readonly badge?: bigint;
}

/** Every right there is. */
const ALL: readonly RightName[] = ['read', 'write', 'invoke', 'map', 'share', 'derive', 'revoke', 'manage'];

function isGrant(grant: unknown): boolean {
  const to =
    typeof grant === 'object' && grant !== null && 'to' in grant ? (grant as { to: unknown }).to : grant;
  if (to === 'clock' || to === 'random') return true;
  return (typeof to === 'object' || typeof to === 'function') && to !== null && SOURCE in to;
}

const sourceOf = (what: Grantable | 'clock' | 'random'): GrantSource =>
  typeof what === 'string' ? { kind: what } : what[SOURCE];

/** @internal @throws EnvironmentError bad-argument */
export function sourceFrom(what: Grantable): GrantSource {
  if (isGrant(what) && typeof what !== 'string') return what[SOURCE];
  throw new EnvironmentError('bad-argument', `${String(what)} is nothing that can be held or granted`);
}

/** @internal A grant as the space takes it. @throws EnvironmentError bad-argument */
export function importOf(name: string, grant: Grant): ImportGrant {
  if (!isGrant(grant)) {
    throw new EnvironmentError('bad-argument', `"${name}": ${String(grant)} cannot be granted`);
  }
  if (typeof grant !== 'string' && 'to' in grant) {
    return { name, from: sourceOf(grant.to), rights: grant.rights };
  }
  return { name, from: sourceOf(grant) };
}

/**
 * A capability that this process holds. Letting it go (`await using`) takes nothing from those to whom it was granted;
 * revoking does. It is let go at the latest when the space is closed or its process ends.
 */
export class Capability implements Grantable, AsyncDisposable {
  /** @internal */
  readonly [SOURCE]: { readonly kind: 'held'; readonly id: number };
  readonly #host: Host;

  /** @internal */
  protected constructor(host: Host, id: number) {
    this.#host = host;
    this[SOURCE] = { kind: 'held', id };
  }

  /** @internal */
  static hostOf(capability: Capability): Host {
    return capability.#host;
  }

  /** @internal */
  static held(host: Host, id: number): Capability {
    return new Capability(host, id);
  }

  /** @internal */
  static async of(host: Host, from: GrantSource, options?: DeriveOptions): Promise<Capability> {
    const { rights = ALL, badge = 0n } = options ?? {};
    if (typeof badge !== 'bigint') throw new EnvironmentError('bad-argument', 'a badge is a bigint');
    const narrow = options === undefined ? undefined : { rights, badge: BigInt.asUintN(64, badge) };
    return new Capability(host, await host.hold(from, narrow));
  }

  /**
   * A capability to the same object, which is revoked with this one, or alone.
   * @throws EnvironmentError no-capability: this one was revoked, or has a badge already; not-held
   */
  derive(options: DeriveOptions = {}): Promise<Capability> {
    return Capability.of(this.#host, this[SOURCE], options);
  }

  /**
   * Ends every other copy of it, wherever it was granted or passed on, and everything derived of it, at once. It itself can be
   * granted again. @throws EnvironmentError no-capability, not-held
   */
  revoke(): Promise<void> {
    return this.#host.revoke(this[SOURCE].id);
  }

  /**
   * A text that gives it back, with `Space.restore` or `--grant NAME=TEXT`, after a restart too: whoever knows the text has the
   * capability, but for the right to revoke. It ends with what it was made of, or by `Space.forget`.
   */
  sturdy(options: { readonly rights?: readonly RightName[] } = {}): Promise<string> {
    return this.#host.sturdy(this[SOURCE], options.rights);
  }

  /** Lets it go. */
  async [Symbol.asyncDispose](): Promise<void> {
    // With the space it has been let go already.
    await this.#host.release(this[SOURCE].id).catch(() => {});
  }
}
