/**
 * Rings, and what is under way in them, of a domain that is carried to another space. What waits there begins again where it arrives, by
 * the handle it was submitted with, or by what it held. What may have been done already does not: a request that its server had
 * been given ends with LEFT (CANCELED where its domain serves it itself), an effect on the host with IO.
 */
import { ERRNO } from '../../abi/errno.ts';
import { OPERATION, RING_FLAGS_ALL, ringBytes, SUBMISSION_BYTES, SUBMIT } from '../../abi/ring.ts';
import { EnvironmentError, MalformedError } from '../../base/errors.ts';
import { IOVECS_MAX, RING_ENTRIES_MAX, WINDOW_BASE } from '../../base/limits.ts';
import type { Space } from '../../space/index.ts';
import type { Core } from '../core.ts';
import { type Domain, NO_DEADLINE } from '../domain.ts';
import { Operation } from './operation.ts';
import { PHASE, RingRecord } from './records.ts';
import type { Ring } from './ring.ts';
import { rightsNeeded } from './server.ts';

const R = RingRecord.fields;
const WORDS = SUBMISSION_BYTES / 4;

export interface RingImage {
  /** Near address. */
  pointer: number;
  entries: number;
  flags: number;
  /** The kernel's indices. */
  submissionHead: number;
  completionTail: number;
  requestTail: number;
}

export interface OperationImage {
  /** Index of its ring among the objects. */
  ring: number;
  /** `later`: when the one before it is over; `again`: it begins anew; `until`: its time comes; `over`. */
  state: 'later' | 'again' | 'until' | 'over';
  /** As it was submitted: the 16 words; of one that is over, only the user data. Buffers that vectors named: pairs. */
  words: Int32Array;
  pairs: Int32Array;
  /** Of `later`: index of the one it comes after, -1 for all before it; and whether only where that succeeds. */
  after: number;
  linked: boolean;
  /** Of `until`: ns that are left. */
  remaining: bigint;
  /** Of `over`. */
  result: number;
  value: bigint;
  /** Of `again`, where its handle is another's now: index of the capability it goes through, and its rights. Else -1. */
  capability: number;
  held: number;
}

export function ringImage(space: Space, at: number): RingImage {
  return {
    pointer: R.pointer.get(space, at),
    entries: R.entries.get(space, at),
    flags: R.flags.get(space, at),
    submissionHead: R.submissionHead.get(space, at),
    completionTail: R.completionTail.get(space, at),
    requestTail: R.requestTail.get(space, at),
  };
}

function demand(ok: boolean, what: string): asserts ok {
  if (!ok) throw new MalformedError(`domain image: ${what}`, -1);
}
const isWord = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;

/** @throws MalformedError where no ring can be like that in this domain */
export function checkRing(domain: Domain, image: RingImage): void {
  const { pointer, entries, flags, submissionHead, completionTail, requestTail } = image;
  const words = [pointer, entries, flags, submissionHead, completionTail, requestTail];
  demand(words.every(isWord), 'a ring');
  const power = entries > 0 && (entries & (entries - 1)) === 0;
  demand(power && entries <= RING_ENTRIES_MAX && pointer % 64 === 0, 'the size of a ring');
  demand((flags & ~RING_FLAGS_ALL) === 0, 'flags of a ring');
  const end = pointer + ringBytes(entries, flags);
  // In a window that is not there, it is a ring that cannot be entered.
  demand(end <= domain.bytesOf(0) || (pointer >= WINDOW_BASE && end <= 2 ** 32), 'where a ring lies');
}

/** A ring that was checked; whether its entries may be charged has been asked. @throws SpaceFullError */
export function arriveRing(core: Core, domain: Domain, image: RingImage): Ring {
  const { space, rings } = core;
  const { pointer, entries, flags, submissionHead, completionTail, requestTail } = image;
  const ring = rings.table.create(domain, pointer, entries, flags);
  R.submissionHead.set(space, ring.at, submissionHead);
  R.completionTail.set(space, ring.at, completionTail);
  R.requestTail.set(space, ring.at, requestTail);
  return ring;
}

/** Those of a domain, oldest first. @param rings index of each ring, by address; @param indexOf of a capability, -1 for none */
export function operationImages(
  core: Core,
  operations: readonly Operation[],
  rings: ReadonlyMap<number, number>,
  indexOf: (capability: number) => number,
): OperationImage[] {
  const kept = operations.filter(({ ring }) => ring !== null && rings.has(ring.at));
  const places = new Map(kept.map((op, i) => [op.id, i]));
  return kept.map((op) => ({
    ...{ ring: rings.get(op.ring?.at ?? 0) as number, linked: op.linked, after: places.get(op.after) ?? -1 },
    ...stateOf(core, op, indexOf),
  }));
}

type StateImage = Omit<OperationImage, 'ring' | 'linked' | 'after'>;

function stateOf(core: Core, op: Operation, indexOf: (capability: number) => number): StateImage {
  const nothing = { remaining: 0n, result: 0, value: 0n, capability: -1, held: 0 };
  const left = op.deadline === NO_DEADLINE ? op.limit : op.deadline - core.now();
  const begun = {
    ...nothing,
    words: wordsOf(op, left > 0n || op.limit === 0n ? left : 1n),
    pairs: pairsOf(op),
  };
  const over = (result: number, value = 0n): StateImage => {
    const words = new Int32Array(WORDS);
    words.set([op.userLow, op.userHigh], 2);
    return { ...nothing, state: 'over', words, pairs: new Int32Array(0), result, value };
  };
  if (op.phase === PHASE.done || op.phase === PHASE.told) return over(op.result, op.value);
  if (op.phase === PHASE.waiting) return { ...begun, state: 'later' };
  if (op.code === OPERATION.timeout) {
    return { ...begun, words: wordsOf(op, 0n), state: 'until', remaining: left > 0n ? left : 0n };
  }
  if (op.effect !== 0) return over(-ERRNO.IO);
  if (op.phase === PHASE.delivered) {
    return over(indexOf(op.capability) < 0 ? -ERRNO.LEFT : -ERRNO.CANCELED);
  }
  if (!op.holds) return { ...begun, state: 'again' };
  const bad = core.capabilities.check(op.capability, op.turn);
  if (bad !== 0) return over(bad);
  const owner = op.owner as Domain;
  if (core.clists.capabilityAt(owner, op.handle) === op.capability) return { ...begun, state: 'again' };
  const capability = indexOf(op.capability);
  return capability < 0 ? over(-ERRNO.LEFT) : { ...begun, state: 'again', capability, held: op.held };
}

/** The words of a submission that asks for the same, with this time limit. */
function wordsOf(op: Operation, limit: bigint): Int32Array {
  const given = (op.flags & SUBMIT.vector) !== 0 ? [0, 0] : [op.first, op.firstLength];
  const { segmentOffset: at } = op;
  const second = op.bringsSegment ? [at % 2 ** 32, Math.floor(at / 2 ** 32)] : [op.second, op.secondLength];
  return Int32Array.of(
    ...[op.code | (op.flags << 8) | (op.method << 16), op.handle, op.userLow, op.userHigh, ...given],
    ...[op.offsetLow, op.offsetHigh, Number(limit & 0xffffffffn), Number(limit >> 32n)],
    ...[...second, op.other, op.rights, op.options, 0],
  );
}
function pairsOf(op: Operation): Int32Array {
  if ((op.flags & SUBMIT.vector) === 0) return new Int32Array(0);
  return Int32Array.from(op.pairs ?? (op.firstLength > 0 ? [op.first, op.firstLength] : []));
}

/** What an image says of rings and capabilities that are there already. */
interface Arrived {
  ring(index: number): Ring | undefined;
  /** 0 where there is none. */
  capability(index: number): number;
}

/**
 * Operations of a domain whose list is there; what begins again does so when the domain is looked at next.
 * @throws MalformedError; EnvironmentError where they are more than the domain may have; SpaceFullError
 */
export function arriveOperations(
  core: Core,
  domain: Domain,
  images: readonly OperationImage[],
  there: Arrived,
): void {
  const made: Operation[] = [];
  for (const image of images) {
    const ring = there.ring(image.ring);
    demand(ring !== undefined, 'the ring of an operation');
    const op = restore(core, domain, ring, image);
    const { after } = image;
    if (image.state === 'later' && after !== -1) {
      const before = Number.isInteger(after) ? made[after] : undefined;
      demand(before?.ring === ring && before.phase !== PHASE.done, 'what an operation comes after');
      op.after = before.id;
    }
    const capability = there.capability(image.capability);
    demand(capability === 0 || image.state === 'again', 'what an operation goes through');
    if (capability !== 0) hold(core, op, capability, image.held);
    if (!core.rings.keep(op, PHASES[image.state])) {
      op.holds = false;
      throw new EnvironmentError('over-limit', `${domain.name}: more is under way than the program may have`);
    }
    if (op.holds) core.capabilities.retain(capability);
    made.push(op);
  }
  for (const op of made) op.ring?.tell();
  core.rings.stir(domain.id);
}

const PHASES = {
  later: PHASE.waiting,
  again: PHASE.carried,
  until: PHASE.asked,
  over: PHASE.done,
} as const;

function restore(core: Core, domain: Domain, ring: Ring, image: OperationImage): Operation {
  const { words, pairs, state } = image;
  demand(words instanceof Int32Array && words.length === WORDS, 'an operation');
  demand(pairs instanceof Int32Array && pairs.length <= 2 * IOVECS_MAX && pairs.length % 2 === 0, 'buffers');
  demand(Object.hasOwn(PHASES, state), 'how far an operation is');
  const op = new Operation(core);
  const bad = op.decode(
    Uint32Array.from(words),
    ring,
    domain,
    Array.from(pairs, (word) => word >>> 0),
  );
  demand(bad === 0, 'what an operation asks for');
  op.linked = image.linked === true;
  const timed = op.code === OPERATION.timeout;
  demand(state === 'until' ? timed : state !== 'again' || !timed, 'how far a timeout is');
  if (state === 'until') {
    const { remaining } = image;
    demand(
      typeof remaining === 'bigint' && remaining >= 0n && remaining < 1n << 63n,
      'the time that is left',
    );
    op.deadline = core.now() + remaining;
  }
  if (state === 'over') {
    const { result, value } = image;
    demand(Number.isInteger(result) && result === (result | 0) && typeof value === 'bigint', 'a result');
    demand(op.code === OPERATION.nop, 'an operation that is over');
    op.result = result;
    op.value = BigInt.asIntN(64, value);
  }
  return op;
}

/** It goes through this one, not by its handle. */
function hold({ capabilities }: Core, op: Operation, capability: number, held: number): void {
  demand(isWord(held) && (held & ~capabilities.rights(capability)) === 0, 'the rights of an operation');
  const needed = rightsNeeded(op.code, op.options);
  demand((held & needed) === needed, 'the rights of an operation');
  op.capability = capability;
  op.turn = capabilities.turn(capability);
  op.badge = capabilities.badge(capability);
  op.held = held;
  op.holds = true;
}
