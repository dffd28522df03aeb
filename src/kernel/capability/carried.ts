/**
 * What a domain that is carried to another space is to others: the same object there, and the sturdy references to it. What it
 * has itself is in belongings.ts.
 */
import { RESOURCE } from '../../abi/account.ts';
import { OBJECT, RIGHTS_ALL } from '../../abi/objects.ts';
import { EnvironmentError, MalformedError } from '../../base/errors.ts';
import { CAPABILITIES_MAX } from '../../base/limits.ts';
import { mayCharge } from '../account/account.ts';
import type { Core } from '../core.ts';
import { type Domain, DomainRecord } from '../domain.ts';

const D = DomainRecord.fields;

/** A domain as an object, as plain data. */
export interface ObjectImage {
  /** 32 hexadecimal digits. */
  id: string;
  /** `hash`: SHA-256 of the secret. */
  sturdies: { hash: Uint8Array; rights: number; badge: bigint }[];
}

/** Null where nobody has asked for a capability to it. */
export function objectImage(
  { space, objects, capabilities, sturdies }: Core,
  domain: Domain,
): ObjectImage | null {
  const capability = D.capability.get(space, domain.at);
  if (capability === 0) return null;
  const object = capabilities.object(capability);
  return { id: objects.idText(object), sturdies: [...sturdies.to(object)] };
}

function demand(ok: boolean, what: string): asserts ok {
  if (!ok) throw new MalformedError(`domain image: ${what}`, -1);
}

/**
 * Makes the domain that object, unless the space has it already (the domain was copied, or has come back): then it is
 * another, to which no reference leads. The image may be hostile.
 * @throws MalformedError, EnvironmentError where that is more than it may have, SpaceFullError; the caller drops the domain
 */
export function adoptObject(core: Core, domain: Domain, image: ObjectImage): void {
  const { space, objects, capabilities, sturdies } = core;
  demand(typeof image?.id === 'string' && /^[0-9a-f]{32}$/.test(image.id), 'the id of its object');
  demand(Array.isArray(image.sturdies) && image.sturdies.length <= CAPABILITIES_MAX, 'references to it');
  for (const { hash, rights, badge } of image.sturdies) {
    demand(hash instanceof Uint8Array && hash.length === 32, 'the hash of a reference to it');
    demand(
      Number.isInteger(rights) && rights >= 0 && rights <= RIGHTS_ALL,
      'the rights of a reference to it',
    );
    demand(typeof badge === 'bigint' && badge >= 0n && badge < 1n << 64n, 'the badge of a reference to it');
  }
  // Nobody pays for these, so they are no more than the domain could have made itself.
  if (!mayCharge(space, domain.account, RESOURCE.capabilities, 2 * image.sturdies.length)) {
    const what = `${domain.name}: there are more references to it than a program may have here`;
    throw new EnvironmentError('over-limit', what);
  }
  if (objects.find(image.id) !== 0) return;
  const id = { high: BigInt(`0x${image.id.slice(0, 16)}`), low: BigInt(`0x${image.id.slice(16)}`) };
  const object = objects.create(OBJECT.domain, domain.id, 0, id);
  const root = capabilities.root(object);
  capabilities.retain(root);
  D.capability.set(space, domain.at, root);
  for (const { hash, rights, badge } of image.sturdies) {
    // Who knows a reference to something else cannot take its place by it.
    if (sturdies.knows(hash)) continue;
    const derived = capabilities.derive(root, capabilities.turn(root), rights, badge, 0);
    sturdies.add({ capability: derived, turn: 0 }, rights, 0, hash);
  }
}
