/** The calls by which a program divides what it may use (abi/account.ts), and what an account is as an object. */
import { ACCOUNT_PARTS, RESOURCE, UNLIMITED } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { ACCOUNT_DEPTH_MAX } from '../../base/limits.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { AccountRecord, divideAccount, holdAccount, limitOf, mayCharge, usedOf } from './account.ts';

const A = AccountRecord.fields;
const RESOURCES = Object.values(RESOURCE);

/** Says what becomes of an account when nobody has a capability to it any more. */
export function registerAccounts(core: Core): void {
  const { space, objects, calls } = core;
  objects.onEnd(OBJECT.account, (object) => {
    const account = objects.a(object);
    A.object.set(space, account, 0);
    core.releaseAccount(account);
  });
  calls.add(accountCalls(core));
}

/** What an account is as an object, made where it was none yet: whoever asks holds it. @throws SpaceFullError with nothing changed */
export function accountObject({ space, objects }: Core, account: number): number {
  const known = A.object.get(space, account);
  if (known !== 0) return known;
  const object = objects.create(OBJECT.account, account);
  A.object.set(space, account, object);
  holdAccount(space, account);
  return object;
}

/** A capability to an account, in the domain's list: a handle, or -DQUOT. @throws SpaceFullError with nothing changed */
function giveAccount({ space, capabilities, clists }: Core, domain: Domain, account: number): number {
  const object = A.object.get(space, account);
  if (object === 0) {
    const handle = clists.make(domain, OBJECT.account, account);
    if (handle < 0) return handle;
    const found = clists.find(domain, handle);
    if (typeof found !== 'number') A.object.set(space, account, found.object);
    holdAccount(space, account);
    return handle;
  }
  const bad = clists.reserve(domain, 1);
  if (bad !== 0) return bad;
  const capability = capabilities.root(object, RIGHTS_ALL, domain.account);
  return clists.insert(domain, capability, 0, RIGHTS_ALL);
}

function accountCalls(core: Core): KernelCalls {
  const { space, clists, objects } = core;
  /** The account at a handle, or -errno. */
  const find = (handle: number, rights: number): number => {
    const found = core.kinds.find(handle, rights, OBJECT.account);
    return typeof found === 'number' ? found : objects.a(found.object);
  };
  return {
    account_own: { type: '=i', call: () => giveAccount(core, core.caller(), core.caller().account) },
    account_divide: {
      type: 'ii=i',
      call: (caller, handle: number, pointer: number) => {
        const account = find(handle, RIGHT.write);
        if (account < 0) return account;
        const bytes = caller.readBytes(pointer, 8 * ACCOUNT_PARTS);
        if (bytes === null) return -ERRNO.FAULT;
        const view = new DataView(bytes.buffer);
        const parts = RESOURCES.map((resource) => Number(view.getBigUint64(8 * resource, true)));
        if (A.depth.get(space, account) >= ACCOUNT_DEPTH_MAX) return -ERRNO.DEPTH;
        // The handle takes a place and a record of the caller, which may be of the same account as the parts.
        const own = core.caller().account === account ? 2 : 0;
        const enough = RESOURCES.every((resource) =>
          mayCharge(
            space,
            account,
            resource,
            (parts[resource] as number) + (resource === RESOURCE.capabilities ? own : 0),
          ),
        );
        if (!enough || parts.some((each) => each >= UNLIMITED)) return -ERRNO.DQUOT;
        const bad = clists.reserve(core.caller(), 1);
        if (bad !== 0) return bad;
        const part = divideAccount(space, account, parts);
        holdAccount(space, part);
        try {
          return giveAccount(core, core.caller(), part);
        } finally {
          core.releaseAccount(part);
        }
      },
    },
    account_status: {
      type: 'ii=i',
      call: (caller, handle: number, pointer: number) => {
        const account = find(handle, RIGHT.read);
        if (account < 0) return account;
        const out = new BigUint64Array(2 * ACCOUNT_PARTS);
        for (const resource of RESOURCES) {
          out[2 * resource] = BigInt(limitOf(space, account, resource));
          out[2 * resource + 1] = BigInt(usedOf(space, account, resource));
        }
        return caller.writeBytes(pointer, new Uint8Array(out.buffer)) ? 0 : -ERRNO.FAULT;
      },
    },
  };
}
