/**
 * What requests bring (abi/ring.ts): capabilities that a server takes when it wants them, and at its own expense, so that no client can fill its
 * list. What is lent is a capability derived for the request, and ends with that.
 *
 * Loans stand in a heap block of the request: the server's number, then for each capability brought the one derived of it
 * and its handle, 0 where none was taken.
 */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, OPTION } from '../../abi/ring.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { keepLoans } from './kept.ts';
import type { Operation } from './operation.ts';

const HEAD_BYTES = 8;
const LOAN_BYTES = 16;
const LENT_TO_READ = RIGHT.read | RIGHT.map | RIGHT.share;

/** How many capabilities a request of a client brings; -errno where they make no sense. */
export function countBrought(op: Operation): number {
  if (op.bringsSegment) return 1;
  if (op.code !== OPERATION.invoke) return 0;
  if ((op.options & OPTION.handles) !== 0) return op.other;
  return op.other === 0 ? 0 : 1;
}

/**
 * Gives the server one of what a request brings: its handle, or -errno: INVAL where there is none, EXIST where it has been lent that one,
 * NOTCAPABLE where the client may not share it, NOTSUP to lend what a kind stands before, DQUOT, what the client's handle gives.
 * @throws SpaceFullError with nothing changed
 */
export function takeBrought(
  core: Core,
  op: Operation,
  client: Domain,
  server: Domain,
  which: number,
): number {
  if (which >= op.brought) return -ERRNO.INVAL;
  const handle = handleOf(op, which);
  const isLent = op.bringsSegment || (op.options & OPTION.lend) !== 0;
  if (!isLent) return core.clists.pass(client, handle, server, RIGHTS_ALL);
  const kind = op.bringsSegment ? OBJECT.segment : 0;
  const found = core.clists.find(client, handle, RIGHT.share, kind);
  if (typeof found === 'number') return found;
  const most = !op.bringsSegment
    ? RIGHTS_ALL
    : op.code === OPERATION.read
      ? LENT_TO_READ | RIGHT.write
      : LENT_TO_READ;
  return lend(core, op, found, found.rights & most & ~RIGHT.revoke, server, which);
}

/** The client's handle of one of what it brings, as it is now: its arguments are its own, and it may change them. */
function handleOf(op: Operation, which: number): number {
  if (op.bringsSegment) return op.first;
  if ((op.options & OPTION.handles) === 0) return op.other;
  const bytes = op.copyGiven(4 * which, 4);
  return bytes.length < 4 ? 0 : new DataView(bytes.buffer).getUint32(0, true);
}

function lend(
  { space, clists, capabilities }: Core,
  op: Operation,
  { capability, turn }: { capability: number; turn: number },
  rights: number,
  server: Domain,
  which: number,
): number {
  if (op.loans !== 0 && space.getNumber(loanAt(op, which)) !== 0) return -ERRNO.EXIST;
  const bad = clists.reserve(server, 1);
  if (bad !== 0) return bad;
  if (op.loans === 0) {
    const block = space.heap.alloc(HEAD_BYTES + LOAN_BYTES * op.brought);
    space.zero(block, HEAD_BYTES + LOAN_BYTES * op.brought);
    space.setNumber(block, server.id);
    keepLoans(op, block);
  }
  const derived = capabilities.derive(capability, turn, rights, 0n, server.account);
  if (derived < 0) return derived;
  capabilities.retain(derived);
  const handle = clists.insert(server, derived, 0, rights);
  space.setNumber(loanAt(op, which), derived);
  space.setNumber(loanAt(op, which) + 8, handle);
  return handle;
}

/** The request is over: what its server was lent is so no more, wherever it has passed it on to. */
export function endLoans({ space, clists, capabilities, peek }: Core, op: Operation): void {
  if (op.loans === 0) return;
  const server = peek(space.getNumber(op.loans));
  for (let which = 0; which < op.brought; which++) {
    const [capability, handle] = [space.getNumber(loanAt(op, which)), space.getNumber(loanAt(op, which) + 8)];
    if (capability === 0) continue;
    if (server !== undefined) clists.closeIf(server, handle, capability);
    // Where nobody else has it any more there is nothing to revoke, and nothing that others know becomes untrue.
    if (capabilities.isShared(capability)) capabilities.revoke(capability);
    capabilities.release(capability);
  }
  space.heap.free(op.loans);
  keepLoans(op, 0);
}

const loanAt = (op: Operation, which: number): number => op.loans + HEAD_BYTES + LOAN_BYTES * which;
