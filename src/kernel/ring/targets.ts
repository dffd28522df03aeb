/** What an operation is done to, and the doing of it where that takes no more than one attempt. */
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT } from '../../abi/objects.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import type { Operation } from './operation.ts';
import { PHASE } from './records.ts';
import { roomy } from './roomy.ts';
import { type ObjectServer, rightsNeeded, type Target } from './server.ts';

/** What its handle stands for, or -errno. Kinds before it are not asked. */
export function targetOf(core: Core, op: Operation, owner: Domain | null): Target | number {
  if (owner === null) return -ERRNO.GONE;
  const found = core.clists.look(owner, op.handle, rightsNeeded(op.code, op.options));
  // Reaching its buffer looks at the list again.
  return op.bringsSegment && typeof found !== 'number' ? { ...found } : found;
}

/** The same of one that is under way, which has kept what it needs: its handle may have been closed. */
export function targetAgain({ capabilities, objects }: Core, op: Operation): Target | number {
  const { capability, turn, badge, held: rights } = op;
  const bad = capabilities.check(capability, turn);
  if (bad !== 0 && op.phase !== PHASE.orphan) return bad;
  const object = capabilities.object(capability);
  return { object, kind: objects.kind(object), rights, badge, capability, turn };
}

export const attempt = (server: ObjectServer, op: Operation, target: Target): number =>
  roomy(() => server.attempt(op, target));

/** Gives a handle back. */
export const close = ({ clists }: Core, op: Operation, owner: Domain): number =>
  roomy(() => clists.close(owner, op.handle));

/** Deriving of what a handle stands for: the same of all objects, and done at once. */
export class Deriver implements ObjectServer {
  readonly waits = false;
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  attempt({ owner, handle, rights, offset64: badge, known }: Operation, { capability }: Target): number {
    const { clists, kinds } = this.#core;
    if (owner === null) return -ERRNO.GONE;
    const found = clists.look(owner, handle, RIGHT.derive);
    if (typeof found === 'number') return found;
    if (found.capability !== capability) return -ERRNO.BADF; // another since a kind was asked
    if (known !== null) return kinds.deriveKnown(owner, handle, rights, badge, known);
    return clists.derive(owner, handle, rights, badge);
  }
}
