/**
 * Activations: executions, each with a record of its own. An activation is a stack of visits: the domain where it began, and
 * each domain that it has entered through a gate and not left. While its code runs, the native stack holds the inner ones;
 * between slices all are here.
 *
 * A visit keeps the saved frames of its domain that are this activation's, in a block of the heap. Those of the activation
 * that a domain was started with stay on the domain's frame stack, below whatever others do there meanwhile.
 *
 * An activation and a domain are two things: each domain counts who is inside of it (`visits`, `occupant`), and who waits
 * for that to end (`waiters`, rebuilt after recovery by making their calls again).
 */
import { assert } from '../../base/assert.ts';
import { bytes, defineRecord, num, RecordTable, ROOT, type Space, u8, u32, u64 } from '../../space/index.ts';
import { SCRATCH_WORDS } from '../caller.ts';
import { type Domain, NO_DEADLINE, STATE } from '../domain.ts';
import { makeVisit, Visit, VisitRecord } from './visit.ts';

/** Why an activation is. Numbers are part of the checkpoint. */
export const CAUSE = {
  /** A domain was started. */
  start: 1,
  /** The host calls a procedure, and may wait for its results. */
  call: 2,
  /** Whoever called is gone; nobody waits for the results. */
  orphan: 3,
  /** The kernel asks a kind for an operation of a ring (capability/kinds.ts). */
  question: 4,
} as const;

export const ActivationRecord = defineRecord('activation', {
  id: num('kernel', 'Number of the activation; never used twice.'),
  row: u32('kernel', 'Its row in the table.'),
  state: u8('core', 'STATE.ready, running or blocked.'),
  cause: u8('core', 'One of CAUSE.'),
  scratchUsed: u8('core', '1 when a scratch word may be non-zero.'),
  answered: u8('core', '1 when the innermost call has ended and its caller has not been told.'),
  entry: u32('core', 'Function the outermost visit began with.'),
  errno: u32('core', 'How the answered call ended: 0 for results, or an error.'),
  gateError: u32('core', 'How the last call through a gate ended, as the code that runs sees it.'),
  answerFor: num(
    'core',
    'What was asked, where the call was a question to a kind (capability/kinds.ts); 0 else.',
  ),
  values: num('core', 'Heap block: results of the answered call, VALUE_BYTES each; 0 for none.'),
  innermost: num('core', 'Its innermost visit.'),
  asker: num('kernel', 'Of CAUSE.question: number of the operation.'),
  deadline: u64('core', 'When it wants to be woken, ns; NO_DEADLINE for never.'),
  scratch: bytes(8 * SCRATCH_WORDS, 'core', 'Scratch words of the system call in progress.'),
});
const [A, V] = [ActivationRecord.fields, VisitRecord.fields];

export class Activation {
  readonly space: Space;
  /** Address of the record. */
  readonly at: number;
  readonly id: number;
  /** Outermost first. Those on the native stack are not among them. */
  visits: Visit[] = [];
  alive = true;
  /** In the ready queue. */
  queued = false;
  /** The domain that was started with it. */
  startOf: Domain | null = null;
  /** The domain that it waits to enter. */
  waitsFor: Domain | null = null;

  constructor(space: Space, at: number) {
    this.space = space;
    this.at = at;
    this.id = A.id.get(space, at);
  }

  /** The domain where it began, which pays for it. */
  get home(): Domain {
    const [first] = this.visits;
    assert(first !== undefined, 'an activation is somewhere');
    return first.domain;
  }
  get innermost(): Visit {
    const last = this.visits.at(-1);
    assert(last !== undefined, 'an activation is somewhere');
    return last;
  }

  get state(): number {
    return A.state.get(this.space, this.at);
  }
  set state(value: number) {
    A.state.set(this.space, this.at, value);
  }
  get cause(): number {
    return A.cause.get(this.space, this.at);
  }
  set cause(value: number) {
    A.cause.set(this.space, this.at, value);
  }
  get asker(): number {
    return A.asker.get(this.space, this.at);
  }
  get entry(): number {
    return A.entry.get(this.space, this.at);
  }
  set entry(value: number) {
    A.entry.set(this.space, this.at, value);
  }
  /** In time of the space. */
  get deadline(): bigint {
    return A.deadline.get(this.space, this.at);
  }
  set deadline(value: bigint) {
    A.deadline.set(this.space, this.at, value);
  }
  get gateError(): number {
    return A.gateError.get(this.space, this.at);
  }
  set gateError(value: number) {
    A.gateError.set(this.space, this.at, value);
  }
  /** It cannot go on now: the domain where it is has been stopped. */
  get parked(): boolean {
    return this.innermost.domain.stopped;
  }

  /** Scratch words of the system call in progress: see `Caller`. */
  getScratch(word: number): bigint {
    return this.space.view.getBigUint64(this.#scratch(word), true);
  }
  setScratch(word: number, value: bigint): void {
    this.space.setU64(this.#scratch(word), value);
    A.scratchUsed.set(this.space, this.at, 1);
  }
  #scratch(word: number): number {
    return A.scratch.address(this.at) + 8 * (word & (SCRATCH_WORDS - 1));
  }
  get scratch(): Uint8Array<ArrayBuffer> {
    return A.scratch.get(this.space, this.at);
  }
  set scratch(value: Uint8Array) {
    A.scratch.set(this.space, this.at, value);
    A.scratchUsed.set(this.space, this.at, 1);
  }
  clearScratch(): void {
    if (A.scratchUsed.get(this.space, this.at) === 0) return;
    this.space.zero(A.scratch.address(this.at), 8 * SCRATCH_WORDS);
    A.scratchUsed.set(this.space, this.at, 0);
  }

  /** The call that its innermost code stands in has ended, and the code does not know it yet. */
  get answered(): boolean {
    return A.answered.get(this.space, this.at) !== 0;
  }
  /** What was asked, where the call was a question to a kind; 0 else. */
  get answerFor(): number {
    return A.answerFor.get(this.space, this.at);
  }
  get answerErrno(): number {
    return A.errno.get(this.space, this.at);
  }
  /** Results as their bits, VALUE_BYTES each. */
  get answerValues(): Uint8Array<ArrayBuffer> {
    const block = A.values.get(this.space, this.at);
    return block === 0 ? new Uint8Array(0) : this.space.readBytes(block, this.space.heap.blockBytes(block));
  }
  /** @throws SpaceFullError where there is no room for results; nothing is answered then */
  answer(errno: number, values: Uint8Array, askedFor = 0): void {
    const { space, at } = this;
    this.takeAnswer();
    if (values.length > 0) A.values.set(space, at, space.heap.allocBytes(values));
    A.errno.set(space, at, errno);
    A.answerFor.set(space, at, askedFor);
    A.answered.set(space, at, 1);
  }
  takeAnswer(): void {
    const { space, at } = this;
    const block = A.values.get(space, at);
    if (block !== 0) space.heap.free(block);
    A.values.set(space, at, 0);
    A.answered.set(space, at, 0);
  }

  push(visit: Visit): void {
    V.outer.set(this.space, visit.at, this.visits.at(-1)?.at ?? 0);
    this.visits.push(visit);
    visit.domain.present++;
    visit.payBy(this.home.account);
    A.innermost.set(this.space, this.at, visit.at);
  }
  /** Takes the innermost visit off; whoever does it drops it, or keeps it. */
  pop(): Visit {
    const visit = this.visits.pop();
    assert(visit !== undefined, 'an activation leaves where it was');
    visit.domain.present--;
    visit.domain.sleepers.delete(this);
    A.innermost.set(this.space, this.at, this.visits.at(-1)?.at ?? 0);
    return visit;
  }
  /** Other visits in place of those it has. */
  replaceVisits(visits: readonly Visit[]): void {
    while (this.visits.length > 0) this.pop();
    for (const visit of visits) this.push(visit);
  }
}

/** The activations of a space. */
export class Activations {
  /** Told of an activation that may go on. Set by whoever schedules. */
  ready: (activation: Activation) => void = () => {};
  readonly #space: Space;
  readonly #table: RecordTable;
  readonly #all = new Map<number, Activation>();

  constructor(space: Space) {
    this.#space = space;
    this.#table = RecordTable.open(space, ROOT.activations, ActivationRecord.bytes);
  }

  get count(): number {
    return this.#all.size;
  }
  /** All there are; those that come while somebody goes through them too. */
  all(): Iterable<Activation> {
    return this.#all.values();
  }
  peek(id: number): Activation | undefined {
    return this.#all.get(id);
  }

  /** A new activation without any visit. @throws SpaceFullError */
  create(cause: number, entry: number, asker = 0): Activation {
    const space = this.#space;
    const row = this.#table.insert();
    const at = this.#table.address(row);
    const id = Number(space.nextId().low);
    A.id.set(space, at, id);
    A.row.set(space, at, row);
    A.state.set(space, at, STATE.ready);
    A.cause.set(space, at, cause);
    A.entry.set(space, at, entry);
    A.asker.set(space, at, asker);
    A.deadline.set(space, at, NO_DEADLINE);
    const activation = new Activation(space, at);
    this.#all.set(id, activation);
    return activation;
  }

  /** The activation that a domain is started with. Its frames are those on the domain's frame stack. @throws SpaceFullError */
  start(domain: Domain, entry: number): Activation {
    assert(domain.main === null, 'a domain is started when it has nothing to run');
    const activation = this.create(CAUSE.start, entry);
    try {
      activation.push(makeVisit(domain, entry, true));
    } catch (error) {
      this.remove(activation);
      throw error;
    }
    domain.main = activation;
    activation.startOf = domain;
    return activation;
  }

  /** Forgets an activation, with whatever visits it has. */
  remove(activation: Activation): void {
    while (activation.visits.length > 0) this.leave(activation.pop());
    this.stopWaiting(activation);
    activation.takeAnswer();
    activation.alive = false;
    this.disown(activation);
    this.#all.delete(activation.id);
    this.#table.remove(A.row.get(this.#space, activation.at));
  }

  /** It is not any more what a domain was started with. */
  disown(activation: Activation): void {
    if (activation.startOf !== null) activation.startOf.main = null;
    activation.startOf = null;
  }

  /** An activation is inside of a domain once more. */
  enter(activation: Activation, domain: Domain): void {
    if (domain.visits === 0) domain.occupant = activation;
    else if (domain.occupant !== activation) domain.occupant = null;
    domain.visits++;
    domain.open = false;
    if (activation.waitsFor !== null) this.stopWaiting(activation);
  }
  /** A visit that no list holds any more is over. */
  leave(visit: Visit): void {
    const { domain, entered } = visit;
    visit.drop();
    if (entered) this.left(domain);
  }
  /** Somebody is not inside of a domain any more. */
  left(domain: Domain): void {
    domain.visits--;
    if (domain.visits > 0) return;
    domain.liveFrom = 0; // nobody is inside, so it has no frames
    domain.open = domain.ran && domain.waiters.length === 0;
    this.callNext(domain);
  }
  /** Whoever waits first may enter. */
  callNext(domain: Domain): void {
    const [first] = domain.waiters;
    if (first !== undefined) this.ready(first);
  }

  /** It waits until it may enter a domain, behind those that do already. */
  waitFor(activation: Activation, domain: Domain): void {
    if (activation.waitsFor === domain) return;
    this.stopWaiting(activation);
    activation.waitsFor = domain;
    domain.waiters.push(activation);
    domain.open = false;
  }
  stopWaiting(activation: Activation): void {
    const domain = activation.waitsFor;
    if (domain === null) return;
    activation.waitsFor = null;
    domain.open = false;
    const wasFirst = domain.waiters[0] === activation;
    domain.waiters = domain.waiters.filter((each) => each !== activation);
    const [next] = domain.waiters;
    if (wasFirst && next !== undefined && domain.visits === 0) this.ready(next);
  }

  /** Handles for all rows of a space that was loaded. All domains have theirs. */
  recover(domainOf: (id: number) => Domain | undefined): void {
    const space = this.#space;
    for (const row of this.#table.rows()) {
      const activation = new Activation(space, this.#table.address(row));
      this.#all.set(activation.id, activation);
      const found: Visit[] = [];
      for (let at = A.innermost.get(space, activation.at); at !== 0; at = V.outer.get(space, at)) {
        const domain = domainOf(V.domain.get(space, at));
        assert(domain !== undefined, 'a domain that goes takes its visits along');
        found.push(new Visit(at, domain));
      }
      activation.visits = found.reverse();
      for (const { domain, entered } of activation.visits) {
        domain.present++;
        if (entered) this.enter(activation, domain);
      }
      if (activation.cause !== CAUSE.start) continue;
      activation.startOf = activation.home;
      activation.startOf.main = activation;
    }
  }
}
