/**
 * One operation for a system call of a personality: begun when the call is first made, its result taken when the call is made
 * again after the wait. So a program that knows nothing of rings works on whatever object a domain serves.
 *
 * What is given and filled lies in blocks of the kernel's heap that belong to the operation, so the program's memory may be
 * anywhere meanwhile, in another process too. At most one operation a call; its number is in the last scratch word.
 */
import { ERRNO } from '../../abi/errno.ts';
import { SpaceFullError } from '../../space/index.ts';
import { type Caller, SCRATCH_WORDS } from '../caller.ts';
import type { Core } from '../core.ts';
import { Operation } from './operation.ts';
import { PHASE } from './records.ts';

export interface Wanted {
  /** One of OPERATION. */
  readonly code: number;
  readonly handle: number;
  /** Paths, data: what the object is given. */
  readonly first?: Uint8Array;
  readonly second?: Uint8Array;
  /** Bytes that it may fill. */
  readonly room?: number;
  readonly offset?: bigint;
  readonly options?: number;
  readonly rights?: number;
  readonly other?: number;
}

export interface Done {
  /** From 0 up, or -errno. */
  readonly result: number;
  readonly value: bigint;
  /** What was filled: `room` bytes. */
  readonly data: Uint8Array;
}

const WORD = SCRATCH_WORDS - 1;

/** Does not return while the operation is under way. */
export function perform(core: Core, caller: Caller, wanted: Wanted): Done {
  const known = Number(caller.getScratch(WORD));
  const op = known === 0 ? begin(core, wanted) : core.rings.operation(known);
  if (typeof op === 'number') return { result: op, value: 0n, data: new Uint8Array(0) };
  // A domain that was carried here from another space names an operation of that one.
  if (op === undefined || op.domain !== caller.domainId || op.ring !== null) {
    return { result: -ERRNO.IO, value: 0n, data: new Uint8Array(0) };
  }
  if (op.phase !== PHASE.done) {
    caller.setScratch(WORD, BigInt(op.id));
    caller.block();
  }
  const out = op.outBuffer;
  const done = { result: op.result, value: op.value, data: out === 0 ? new Uint8Array(0) : op.bytes(out) };
  core.rings.release(op);
  return done;
}

/** The operation, under way or done; -errno where there is no room for it. */
function begin(core: Core, wanted: Wanted): Operation | number {
  const { code, handle, first, second, room = 0, offset = 0n, options = 0, rights = 0, other = 0 } = wanted;
  const op = Operation.of(core, core.caller(), { code, handle, offset64: offset, options, rights, other });
  try {
    const fills = op.outBuffer;
    block(op, 1, fills === 1 ? room : first);
    block(op, 2, fills === 2 ? room : second);
    if (core.rings.start(op)) return op;
  } catch (error) {
    if (!(error instanceof SpaceFullError)) throw error;
  }
  for (const [bit, at] of [
    [1, op.first],
    [2, op.second],
  ] as const) {
    if ((op.own & bit) !== 0) core.space.heap.free(at);
  }
  return -ERRNO.NOSPC;
}

/** Gives an operation a buffer of its own: bytes, or room for so many. @throws SpaceFullError */
function block(op: Operation, which: 1 | 2, what: Uint8Array | number | undefined): void {
  const length = typeof what === 'number' ? what : (what?.length ?? 0);
  if (length === 0) return;
  const { heap } = op.space;
  const at = typeof what === 'number' ? heap.alloc(length) : heap.allocBytes(what as Uint8Array);
  op.own |= which;
  if (which === 1) [op.first, op.firstLength] = [at, length];
  else [op.second, op.secondLength] = [at, length];
}
