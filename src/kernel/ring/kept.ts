/** The record of an operation that is under way: all of it, written and read (records.ts). */
import type { Core } from '../core.ts';
import { Operation } from './operation.ts';
import { OperationRecord } from './records.ts';

const O = OperationRecord.fields;

/** Writes all of it into its record. @throws SpaceFullError for a list of buffers, with nothing changed */
export function writeOperation(op: Operation, at: number): void {
  const { space } = op;
  const list = op.pairs === null ? 0 : space.heap.alloc(4 * op.pairs.length);
  op.pairs?.forEach((value, i) => {
    space.setU32(list + 4 * i, value);
  });
  op.at = at;
  O.id.set(space, at, op.id);
  O.row.set(space, at, op.row);
  O.domain.set(space, at, op.domain);
  O.payer.set(space, at, op.payer);
  O.ring.set(space, at, op.ring?.at ?? 0);
  O.code.set(space, at, op.code);
  O.flags.set(space, at, op.flags);
  O.method.set(space, at, op.method);
  O.own.set(space, at, op.own);
  O.handle.set(space, at, op.handle);
  O.other.set(space, at, op.other);
  O.rights.set(space, at, op.rights);
  O.options.set(space, at, op.options);
  O.userLow.set(space, at, op.userLow);
  O.userHigh.set(space, at, op.userHigh);
  O.first.set(space, at, op.pairs === null ? op.first : list);
  O.firstLength.set(space, at, op.firstLength);
  O.firstCount.set(space, at, op.firstCount);
  O.second.set(space, at, op.second);
  O.secondLength.set(space, at, op.secondLength);
  O.offset.set(space, at, op.offset64);
  O.segmentOffset.set(space, at, op.segmentOffset);
  updateOperation(op);
}

/** Writes what changes while it is under way. */
export function updateOperation(op: Operation): void {
  const { space, at } = op;
  if (at === 0) return;
  O.phase.set(space, at, op.phase);
  O.linked.set(space, at, op.linked ? 1 : 0);
  O.result.set(space, at, op.result);
  O.value.set(space, at, BigInt.asUintN(64, op.value));
  O.deadline.set(space, at, op.deadline);
  O.after.set(space, at, op.after);
  O.effect.set(space, at, op.effect);
  O.outbox.set(space, at, op.outbox);
  O.table.set(space, at, op.table);
  O.object.set(space, at, op.object);
  O.badge.set(space, at, op.badge);
  O.held.set(space, at, op.held);
  O.capability.set(space, at, op.holds ? op.capability : 0);
  O.turn.set(space, at, op.turn);
  O.limit.set(space, at, op.limit);
  O.brought.set(space, at, op.brought);
  O.loans.set(space, at, op.loans);
  O.otherObject.set(space, at, op.otherObject);
}

/** The same of a request that has been put in its server's queue. */
export function updateRequest({ space, at, phase, brought, otherObject }: Operation): void {
  O.phase.set(space, at, phase);
  O.brought.set(space, at, brought);
  O.otherObject.set(space, at, otherObject);
}

/** Address of the ring its record names, 0 for none. */
export function ringOfRecord(op: Operation): number {
  return O.ring.get(op.space, op.at);
}
/** What its server was lent, a block or 0. */
export function keepLoans(op: Operation, block: number): void {
  op.loans = block;
  O.loans.set(op.space, op.at, block);
}
/** It no longer belongs to its ring. */
export function leaveRing(op: Operation): void {
  O.ring.set(op.space, op.at, 0);
  updateOperation(op);
}

/** The handle of a record. Its domain and ring are the caller's to find. */
export function readOperation(core: Core, at: number): Operation {
  const { space } = core;
  const op = new Operation(core);
  op.at = at;
  op.id = O.id.get(space, at);
  op.row = O.row.get(space, at);
  op.domain = O.domain.get(space, at);
  op.payer = O.payer.get(space, at);
  op.outbox = O.outbox.get(space, at);
  op.phase = O.phase.get(space, at);
  op.code = O.code.get(space, at);
  op.flags = O.flags.get(space, at);
  op.linked = O.linked.get(space, at) !== 0;
  op.method = O.method.get(space, at);
  op.own = O.own.get(space, at);
  op.handle = O.handle.get(space, at);
  op.other = O.other.get(space, at);
  op.rights = O.rights.get(space, at);
  op.options = O.options.get(space, at);
  op.userLow = O.userLow.get(space, at);
  op.userHigh = O.userHigh.get(space, at);
  op.firstLength = O.firstLength.get(space, at);
  op.firstCount = O.firstCount.get(space, at);
  op.first = O.first.get(space, at);
  if (op.firstCount > 0) {
    const list = op.first;
    op.pairs = Array.from({ length: 2 * op.firstCount }, (_, i) => space.view.getUint32(list + 4 * i, true));
    op.first = op.pairs[0] as number;
  }
  op.second = O.second.get(space, at);
  op.secondLength = O.secondLength.get(space, at);
  op.offset64 = O.offset.get(space, at);
  op.result = O.result.get(space, at);
  op.value = BigInt.asIntN(64, O.value.get(space, at));
  op.deadline = O.deadline.get(space, at);
  op.after = O.after.get(space, at);
  op.effect = O.effect.get(space, at);
  op.table = O.table.get(space, at);
  op.object = O.object.get(space, at);
  op.badge = O.badge.get(space, at);
  op.held = O.held.get(space, at);
  op.capability = O.capability.get(space, at);
  op.holds = op.capability !== 0;
  op.turn = O.turn.get(space, at);
  const limit = O.limit.get(space, at);
  op.limitLow = Number(limit & 0xffffffffn);
  op.limitHigh = Number(limit >> 32n);
  op.brought = O.brought.get(space, at);
  op.segmentOffset = O.segmentOffset.get(space, at);
  op.loans = O.loans.get(space, at);
  op.otherObject = O.otherObject.get(space, at);
  return op;
}

/** Gives back the blocks that belong to it. */
export function freeBuffers(op: Operation): void {
  const { space, at } = op;
  if (at !== 0 && op.firstCount > 0) space.heap.free(O.first.get(space, at));
  if ((op.own & 1) !== 0 && op.first !== 0) space.heap.free(op.first);
  if ((op.own & 2) !== 0 && op.second !== 0) space.heap.free(op.second);
  op.own = 0;
  op.firstCount = 0;
  op.pairs = null;
}
