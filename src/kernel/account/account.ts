/**
 * Accounts: what may be used, and is. Each domain has one, alone or with others. A part can be taken off an account for one
 * of its own; what is not used of it comes back when nobody holds that any more.
 *
 * What an account pays for may outlive all who used the account (a capability that somebody else got), and may even grow (a
 * segment that somebody else got). Its record stays until all of that has been given back and nothing names it to charge it later;
 * meanwhile all that it is charged is charged to the account that it was a part of, too, which has its left part back. So nobody gets more
 * than there was by making accounts and leaving them.
 *
 * An account is named by the address of its record, a heap block. 0 is the system, which pays for anything.
 */
import { ACCOUNT_PARTS, RESOURCE, type Resource, type ResourceName, UNLIMITED } from '../../abi/account.ts';
import { assert } from '../../base/assert.ts';
import {
  DEFAULT_CAPABILITIES,
  DEFAULT_DOMAINS,
  DEFAULT_MEMORY_LIMIT_BYTES,
  DEFAULT_OUTBOX_BYTES,
  DEFAULT_REQUESTS,
  DEFAULT_RING_ENTRIES,
} from '../../base/limits.ts';
import { defineRecord, num, nums, type Space, u32 } from '../../space/index.ts';

export const AccountRecord = defineRecord('account', {
  parent: num('kernel', 'The account that it is a part of, 0 for none.'),
  object: num('kernel', 'Address of the object that it is to programs, 0 while none has asked for it.'),
  refs: u32('kernel', 'Who holds it: domains that use it, its object, its parts.'),
  depth: u32('kernel', 'How many times something was divided.'),
  ended: u32('kernel', '1 when nobody holds it and it only waits for what it paid for.'),
  behind: u32('kernel', 'Parts of it that have ended, and still wait for what they paid for.'),
  named: u32('kernel', 'Records that name it, to charge it later.'),
  limits: nums(ACCOUNT_PARTS, 'kernel', 'The most of each RESOURCE; UNLIMITED for no limit.'),
  used: nums(ACCOUNT_PARTS, 'core', 'What is used of each, parts taken off included.'),
});
const A = AccountRecord.fields;

/** Amounts by name of resource. */
export type Limits = Partial<Readonly<Record<ResourceName, number>>>;

const DEFAULTS: Readonly<Record<ResourceName, number>> = {
  memory: DEFAULT_MEMORY_LIMIT_BYTES,
  cpu: UNLIMITED,
  capabilities: DEFAULT_CAPABILITIES,
  requests: DEFAULT_REQUESTS,
  entries: DEFAULT_RING_ENTRIES,
  domains: DEFAULT_DOMAINS,
  outbox: DEFAULT_OUTBOX_BYTES,
};
const RESOURCES = Object.values(RESOURCE);
const nameOf = (resource: Resource): ResourceName =>
  Object.keys(RESOURCE)[RESOURCES.indexOf(resource)] as ResourceName;

/** A new account that is no part of another, with the usual limits where none are given. Nobody holds it yet. */
export function openAccount(space: Space, limits: Limits): number {
  const at = space.heap.alloc(AccountRecord.bytes);
  for (const resource of RESOURCES) {
    const name = nameOf(resource);
    A.limits.set(space, at, resource, limits[name] ?? DEFAULTS[name]);
  }
  return at;
}

/**
 * A part of an account: `parts` by RESOURCE. Nobody holds it yet. 0 where less than that is left.
 * @throws SpaceFullError with nothing changed
 */
export function divideAccount(space: Space, parent: number, parts: readonly number[]): number {
  if (RESOURCES.some((resource) => !mayCharge(space, parent, resource, parts[resource] as number))) return 0;
  const at = space.heap.alloc(AccountRecord.bytes);
  for (const resource of RESOURCES) {
    A.limits.set(space, at, resource, parts[resource] as number);
    charge(space, parent, resource, parts[resource] as number);
  }
  A.parent.set(space, at, parent);
  A.depth.set(space, at, A.depth.get(space, parent) + 1);
  holdAccount(space, parent);
  return at;
}

export function holdAccount(space: Space, account: number): void {
  A.refs.set(space, account, A.refs.get(space, account) + 1);
}
/** Lets go. With the last holder, what is left of it comes back to the account that it is a part of. */
export function releaseAccount(space: Space, account: number): void {
  const refs = A.refs.get(space, account);
  assert(refs > 0, 'an account is released by who holds it');
  A.refs.set(space, account, refs - 1);
  if (refs > 1) return;
  A.ended.set(space, account, 1);
  const parent = A.parent.get(space, account);
  if (parent !== 0) {
    // What it was charged beyond its part the other one was not.
    for (const resource of RESOURCES) add(space, parent, resource, -ownLeft(space, account, resource));
    A.behind.set(space, parent, A.behind.get(space, parent) + 1);
    releaseAccount(space, parent);
  }
  forgetUnused(space, account);
}

/** What is left of a resource: 0 or more. */
export function left(space: Space, account: number, resource: Resource): number {
  let least = UNLIMITED;
  for (const at of charged(space, account)) least = Math.min(least, ownLeft(space, at, resource));
  return Math.max(0, least);
}
/** No limit is a very large one, so that the parts of an account are never more together than can be counted. */
function ownLeft(space: Space, account: number, resource: Resource): number {
  return A.limits.get(space, account, resource) - A.used.get(space, account, resource);
}
export function limitOf(space: Space, account: number, resource: Resource): number {
  return account === 0 ? UNLIMITED : A.limits.get(space, account, resource);
}
export function usedOf(space: Space, account: number, resource: Resource): number {
  return account === 0 ? 0 : A.used.get(space, account, resource);
}

/** The accounts that are charged with this one: itself, and where it has ended those that it was a part of. */
export function* charged(space: Space, account: number): Generator<number> {
  for (let at = account; at !== 0; at = A.parent.get(space, at)) {
    yield at;
    if (A.ended.get(space, at) === 0) return;
  }
}
export const parentOf = (space: Space, account: number): number => A.parent.get(space, account);

/** Whether so much more is used than may be: it was charged for what had to be. */
export function isOverdrawn(space: Space, account: number, resource: Resource, by: number): boolean {
  return usedOf(space, account, resource) > limitOf(space, account, resource) + by;
}

export function mayCharge(space: Space, account: number, resource: Resource, amount: number): boolean {
  return amount <= left(space, account, resource);
}

/**
 * Charges what may be charged, or (processor time, which has gone already) what must be. What it is given for is given
 * back by `refund` to the same account, also when everybody has let go of that.
 */
export function charge(space: Space, account: number, resource: Resource, amount: number): void {
  for (const at of charged(space, account)) add(space, at, resource, amount);
}
export function refund(space: Space, account: number, resource: Resource, amount: number): void {
  if (account === 0) return;
  assert(resource !== RESOURCE.cpu, 'time is not given back');
  for (const at of charged(space, account)) add(space, at, resource, -amount);
  forgetUnused(space, account);
}

/** A record names an account (0: none) from now on, or no longer, to charge it: while it does, the account's record stays. */
export function nameAccount(space: Space, account: number): void {
  if (account !== 0) A.named.set(space, account, A.named.get(space, account) + 1);
}
export function unnameAccount(space: Space, account: number): void {
  if (account === 0) return;
  A.named.set(space, account, A.named.get(space, account) - 1);
  forgetUnused(space, account);
}

function add(space: Space, account: number, resource: Resource, amount: number): void {
  const used = A.used.get(space, account, resource) + amount;
  assert(used >= 0, 'no more is given back than was charged');
  A.used.set(space, account, resource, Math.min(used, UNLIMITED));
}

/** Frees the record of an account that has ended and pays for nothing, and then perhaps those that only waited for it. */
function forgetUnused(space: Space, account: number): void {
  for (let at = account; at !== 0; ) {
    if (A.ended.get(space, at) === 0 || A.behind.get(space, at) > 0 || A.named.get(space, at) > 0) return;
    const pays = RESOURCES.some((r) => r !== RESOURCE.cpu && A.used.get(space, at, r) !== 0);
    if (pays) return;
    const parent = A.parent.get(space, at);
    space.heap.free(at);
    if (parent !== 0) A.behind.set(space, parent, A.behind.get(space, parent) - 1);
    at = parent;
  }
}
