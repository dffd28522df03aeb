/** Giving a client what it has opened: an object of its own, on a capability derived of the one it was opened through. */
import { ERRNO } from '../../abi/errno.ts';
import { type ObjectKind, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import type { Core } from '../core.ts';
import type { Operation } from './operation.ts';
import type { Target } from './server.ts';

/** What was opened: an object's kind and numbers (capability/objects.ts), and its type for the client. */
export interface Opened {
  readonly kind: ObjectKind;
  readonly a: number;
  readonly b: number;
  /** One of FILE_TYPE. */
  readonly type: number;
  /** Gives it back, where it cannot be given. */
  undo(): void;
}

/**
 * Opens and gives: the client's handle, or -errno with nothing open. `value` becomes the type.
 * @throws SpaceFullError with nothing open
 */
export function giveOpened(core: Core, op: Operation, target: Target, open: () => Opened | number): number {
  const { clists, capabilities, objects } = core;
  const { owner } = op;
  if (owner === null) return -ERRNO.GONE;
  const { capability, turn } = target;
  const rights = target.rights & (op.rights === 0 ? RIGHTS_ALL : op.rights);
  const bad = clists.reserve(owner, 1);
  if (bad !== 0) return bad;
  const opened = open();
  if (typeof opened === 'number') return opened;
  let object = 0;
  let through: number;
  try {
    object = objects.create(opened.kind, opened.a, opened.b);
    through = capabilities.derive(capability, turn, rights, 0n, owner.account, object);
  } catch (error) {
    if (object !== 0) objects.forget(object);
    opened.undo();
    throw error;
  }
  if (through < 0) {
    objects.forget(object);
    opened.undo();
    return through;
  }
  op.value = BigInt(opened.type);
  return clists.insert(owner, through, 0, rights | RIGHT.revoke);
}
