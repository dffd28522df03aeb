/**
 * Programmable kinds (abi/kind.ts): before a capability of a kind is used, the kind's domain is asked. This is the one
 * place for it: `find` for what a program does by a kernel call, `authorize` for its calls through gates, `pose` for operations
 * of rings.
 *
 * The question is a call of a procedure, on the native stack where there is enough of it. Where the procedure unwinds (it waits,
 * or a checkpoint is made), the program's own call unwinds with it, is made again when the procedure has returned, and finds
 * the answer. So the procedure may compute, wait, call others and be checkpointed like any. An answer says which capability
 * it is for; one that nobody asks for any more is dropped.
 */
import { ERRNO } from '../../abi/errno.ts';
import { sameShape } from '../../abi/gate.ts';
import { KIND_PROCEDURES } from '../../abi/kind.ts';
import { VALUE_BYTES } from '../../abi/layout.ts';
import { OBJECT, type ObjectKind, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import type { FunctionShape } from '../../abi/program.ts';
import { GUEST_EXPORT } from '../../abi/system.ts';
import { defineRecord, num, SpaceFullError } from '../../space/index.ts';
import { shapeOf } from '../calls.ts';
import type { Core } from '../core.ts';
import { type Domain, FLAG, NO_DEADLINE } from '../domain.ts';
import { entryFrame, I32, I64, type RawValue } from '../frames.ts';
import { type Activation, CAUSE } from '../gate/activations.ts';
import { cameOut, goIn, goOut } from '../gate/crossing.ts';
import { type Offered, procedureAt } from '../gate/procedures.ts';
import type { Callable } from '../gate/thunks.ts';
import { copyTransferred, transfer } from '../gate/transfer.ts';
import { makeVisit, type Visit } from '../gate/visit.ts';
import { door } from '../gate/visits.ts';
import { rightsNeeded } from '../ring/server.ts';
import type { Held } from './capabilities.ts';
import type { Found } from './clists.ts';

const KindRecord = defineRecord('kind', {
  check: num('kernel', 'The capability of the gate that is asked before each use.'),
  checkTurn: num('kernel', 'Its turn.'),
  derive: num('kernel', 'That of the gate that is asked before one is derived, 0 for none.'),
  deriveTurn: num('kernel', 'Its turn.'),
  revoked: num('kernel', 'That of the gate that is told of a revocation, 0 for none.'),
  revokedTurn: num('kernel', 'Its turn.'),
});
const K = KindRecord.fields;
export type Question = keyof typeof KIND_PROCEDURES;
const QUESTIONS = Object.keys(KIND_PROCEDURES) as Question[];
/** Records lie at multiples of 8: an address and one of these say what is asked for. */
const ASKED = { check: 0, derive: 1, revoked: 2 } as const;
const SHAPES = Object.fromEntries(
  QUESTIONS.map((question) => [question, shapeOf(KIND_PROCEDURES[question])]),
) as Record<Question, FunctionShape>;

interface Asked {
  readonly domain: Domain;
  readonly offered: Offered;
}
interface Answer {
  readonly errno: number;
  /** The result's bits. */
  readonly low: bigint;
}

/** A kind's procedure for the short way of a gate. */
export interface Judge {
  readonly domain: Domain;
  readonly check: Callable;
  /** Most nested calls, this one among them. */
  readonly depth: number;
  readonly functionIndex: number;
  readonly badge: bigint;
  /** What it is asked about. */
  readonly capability: number;
}

export class Kinds {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
    const { objects, capabilities, space } = core;
    objects.onEnd(OBJECT.kind, (object) => {
      const at = objects.a(object);
      for (const question of QUESTIONS) {
        const gate = K[question].get(space, at);
        if (gate !== 0) capabilities.release(gate);
      }
      space.heap.free(at);
    });
  }

  /**
   * A kind of gates, in the domain's list: a handle, or -errno.
   * @throws SpaceFullError with nothing made
   */
  create(domain: Domain, handles: Readonly<Record<Question, number>>): number {
    const { clists, capabilities, space } = this.#core;
    const gates: Partial<Record<Question, Held>> = {};
    for (const question of QUESTIONS) {
      if (handles[question] === 0 && question !== 'check') continue;
      const found = clists.find(domain, handles[question], RIGHT.invoke, OBJECT.gate);
      if (typeof found === 'number') return found;
      const procedure = this.#procedure(found.object);
      if (typeof procedure === 'number') return -procedure;
      if (!sameShape(procedure.offered.shape, SHAPES[question])) return -ERRNO.INVAL;
      gates[question] = { capability: found.capability, turn: found.turn };
    }
    const bad = clists.reserve(domain, 1);
    if (bad !== 0) return bad;
    const at = space.heap.alloc(KindRecord.bytes);
    let handle: number;
    try {
      handle = clists.make(domain, OBJECT.kind, at);
    } catch (error) {
      space.heap.free(at);
      throw error;
    }
    for (const question of QUESTIONS) {
      const gate = gates[question];
      if (gate === undefined) continue;
      K[question].set(space, at, gate.capability);
      K[`${question}Turn`].set(space, at, gate.turn);
      capabilities.retain(gate.capability);
    }
    return handle;
  }

  /** A capability of a kind before another one: a handle, or -errno. @throws SpaceFullError with nothing made */
  wrap(domain: Domain, kind: number, target: number, rights: number, badge: bigint): number {
    const { clists, capabilities } = this.#core;
    const of = this.find(kind, RIGHT.invoke, OBJECT.kind, domain);
    if (typeof of === 'number') return of;
    const { object } = of;
    const found = clists.look(domain, target, RIGHT.derive);
    if (typeof found === 'number') return found;
    const bad = clists.reserve(domain, 1);
    if (bad !== 0) return bad;
    const { capability, turn } = found;
    const at = capabilities.derive(capability, turn, found.rights & rights, 0n, domain.account);
    if (at < 0) return at;
    capabilities.setKind(at, object, badge, capability);
    return clists.insert(domain, at, 0, RIGHTS_ALL);
  }

  /**
   * What a handle of the caller stands for, for a kernel call that is about to use it: as `CLists.find`, and the kinds before
   * it have been asked. Throws to unwind while they are.
   */
  find(handle: number, rights: number, kind: ObjectKind, domain = this.#core.caller()): Found | number {
    const { clists, capabilities } = this.#core;
    const found = clists.look(domain, handle, rights, kind);
    if (typeof found === 'number' || capabilities.kind(found.capability) === 0) return found;
    const bad = this.authorize(found.capability, rights);
    return bad === 0 ? clists.look(domain, handle, rights, kind) : -bad;
  }

  /**
   * Asks the kinds before a capability, outermost first, whether the caller may use it in such a way: 0 or an errno. Throws
   * to unwind where one of them has unwound; then the caller's call is made again.
   * @param values how many lie in the transfer area, and are to stay there
   */
  authorize(capability: number, rights: number, values = 0): number {
    const { capabilities } = this.#core;
    let at = capability;
    const answered = this.#answered((key) => this.#isBefore(capability, key));
    if (answered !== null) {
      const [key, { errno, low }] = answered;
      if (errno !== 0) return errno;
      if (low !== 0n) return refusal(Number(BigInt.asIntN(32, low)));
      at = capabilities.over(key);
    }
    while (capabilities.kind(at) !== 0) {
      const errno = this.#ask('check', at, rights, values);
      if (errno !== 0) return errno;
      at = capabilities.over(at);
    }
    return 0;
  }

  /** `CLists.derive` for a capability of a kind, which is asked. */
  derive(handle: number, rights: number, badge: bigint): number {
    const { clists } = this.#core;
    const domain = this.#core.caller();
    const found = clists.look(domain, handle, RIGHT.derive);
    if (typeof found === 'number') return found;
    const { capability } = found;
    if (!this.isAsked(capability, true)) return clists.derive(domain, handle, rights, badge);
    const answered = this.#answered((key) => key === capability, ASKED.derive);
    if (answered === null) return -this.#ask('derive', capability, found.rights & rights);
    const [, { errno, low }] = answered;
    const given = BigInt.asIntN(64, low);
    if (errno !== 0 || given < 0n) return -(errno !== 0 ? errno : refusal(Number(-given)));
    return this.deriveKnown(domain, handle, rights, badge, given);
  }

  /** Whether a capability has a kind, and that has a say in its use, or in what is derived of it. */
  isAsked(capability: number, derives: boolean): boolean {
    const kind = this.#core.capabilities.kind(capability);
    return kind !== 0 && (!derives || K.derive.get(this.#core.space, this.#core.objects.a(kind)) !== 0);
  }
  /** `CLists.derive` where the kind has been asked, and knows the new one by a badge of its own: a handle, or -errno. */
  deriveKnown(domain: Domain, handle: number, rights: number, badge: bigint, known: bigint): number {
    const { clists, capabilities } = this.#core;
    const found = clists.look(domain, handle, RIGHT.derive);
    if (typeof found === 'number') return found;
    const { capability } = found;
    const derived = clists.derive(domain, handle, rights, badge);
    if (derived < 0) return derived;
    const made = clists.look(domain, derived);
    if (typeof made !== 'number')
      capabilities.setKind(
        made.capability,
        capabilities.kind(capability),
        known,
        capabilities.over(capability),
      );
    return derived;
  }

  /** `CLists.revoke`; a kind is told, after it was done. */
  revoke(handle: number): number {
    const { clists, capabilities, space } = this.#core;
    const domain = this.#core.caller();
    const found = clists.look(domain, handle, RIGHT.revoke);
    if (typeof found === 'number') return found;
    const { capability } = found;
    const kind = capabilities.kind(capability);
    const tells = kind !== 0 && K.revoked.get(space, this.#core.objects.a(kind)) !== 0;
    if (!tells) return clists.revoke(domain, handle);
    if (this.#answered((key) => key === capability, ASKED.revoked) !== null) return 0;
    const bad = clists.revoke(domain, handle);
    if (bad === 0) this.#ask('revoked', capability, null);
    return bad;
  }

  /** A kernel call is over: an answer that it did not take is not for the next one. */
  drop(): void {
    const { passage, activation } = this.#core;
    if (activation !== null && passage.depth === activation.visits.length) passage.takeAnswer(activation);
  }

  /** Whether a capability that a kind stands before, or the kind's own, is at `key`, on the way from `capability`. */
  #isBefore(capability: number, key: number): boolean {
    const { capabilities } = this.#core;
    for (let at = capability; capabilities.kind(at) !== 0; at = capabilities.over(at))
      if (at === key) return true;
    return false;
  }

  /** The answer that has come to the call that is made again, where it is the one meant. Others are dropped. */
  #answered(meant: (key: number) => boolean, asked = 0): [key: number, answer: Answer] | null {
    const { passage } = this.#core;
    const activation = this.#core.running();
    if (!passage.answered || passage.depth !== activation.visits.length) return null;
    const { answerFor, answerErrno: errno, answerValues: values } = activation;
    passage.takeAnswer(activation);
    if (answerFor === 0 || answerFor % 8 !== asked || !meant(answerFor - asked)) return null;
    const low = values.length < 8 ? 0n : new DataView(values.buffer).getBigUint64(0, true);
    return [answerFor - asked, { errno, low }];
  }

  /** The procedure of a gate, or an errno. */
  #procedure(gate: number): Asked | number {
    const { objects, peek } = this.#core;
    const domain = peek(objects.a(gate));
    if (domain === undefined || domain.ended || domain.ending !== null) return ERRNO.GONE;
    if (domain.halted) return ERRNO.STOPPED;
    const offered = procedureAt(domain.module, objects.b(gate));
    return offered === undefined ? ERRNO.NOSYS : { domain, offered };
  }

  /**
   * Puts a question to the kind of a capability: throws to unwind, or gives an errno where it cannot be put.
   * @param rights null where the procedure takes only the badge
   * @param values how many lie in the transfer area, and are to stay there
   */
  #ask(question: Question, capability: number, rights: number | null, values = 0): number {
    const { activations, passage, unwind } = this.#core;
    const found = this.#toAsk(question, capability);
    if (typeof found === 'number') return found;
    const { domain, offered } = found;
    const activation = this.#core.running();
    if (this.#core.caller().hasFlag(FLAG.enforced)) return ERRNO.NOTSUP;
    if (passage.depth >= offered.depth) return ERRNO.DEPTH;
    const closed = door(this.#core, activation, domain, offered.entry);
    if (closed === ERRNO.BUSY) {
      activations.waitFor(activation, domain);
      activation.deadline = NO_DEADLINE;
      this.#core.blocked = true;
    }
    if (closed === ERRNO.BUSY || closed === ERRNO.AGAIN) throw unwind;
    if (closed !== 0) return closed;
    if (domain.module.info.startFunction < 0 || domain.hasFlag(FLAG.started)) {
      const broken = this.#core.prepare(domain);
      if (broken !== null) this.#core.condemn(domain, broken);
      if (broken !== null) return ERRNO.GONE;
      if (question === 'check' && this.#core.boards.hasHeadroom()) {
        return this.#natively(found, capability, rights as number, values);
      }
    }
    const visit = this.#visit(found, question, capability, rights);
    activations.enter(activation, domain);
    visit.entered = true;
    passage.left.push(visit);
    throw unwind;
  }

  /** The question on the native stack, before the caller's call. What is being handed over by that stays as it is. */
  #natively({ domain, offered }: Asked, capability: number, rights: number, values: number): number {
    const core = this.#core;
    const { passage } = core;
    const caller = core.caller();
    const check = domain.instance?.exports[GUEST_EXPORT + offered.exported] as (
      badge: bigint,
      rights: number,
    ) => number;
    const badge = BigInt.asIntN(64, core.capabilities.kindBadge(capability));
    const { blocked } = core;
    const { error: last } = passage;
    const kept = values === 0 ? null : copyTransferred(core.space, values);
    const below = goIn(core, domain);
    let result: number;
    try {
      result = check(badge, rights);
    } catch (error) {
      return cameOut(core, caller, domain, offered.functionIndex, error, below, capability);
    }
    goOut(core, caller, domain, below);
    core.activations.left(domain);
    if (kept !== null) transfer(core.space, kept, values);
    core.blocked = blocked;
    passage.error = last;
    if (caller.halted) this.keepAnswer(caller, result, capability);
    return result === 0 ? 0 : refusal(result);
  }

  /** The caller has been stopped while a kind was asked: it makes its call again when it goes on. */
  keepAnswer(caller: Domain, result: number, capability: number): never {
    const { passage, unwind } = this.#core;
    const answer = new Uint8Array(VALUE_BYTES);
    new DataView(answer.buffer).setInt32(0, result, true);
    try {
      if (caller.ending === null) passage.answer(this.#core.running(), 0, answer, capability);
    } catch (error) {
      throw this.#core.translate(error);
    }
    throw unwind;
  }

  /** What the short way of a gate needs to ask the kind of a capability itself; null where it cannot. */
  judge(caller: Domain, capability: number): Judge | null {
    const { capabilities } = this.#core;
    if (capabilities.kind(capabilities.over(capability)) !== 0 || caller.hasFlag(FLAG.enforced)) return null;
    const found = this.#toAsk('check', capability);
    if (typeof found === 'number') return null;
    const { domain, offered } = found;
    const begun = domain.module.info.startFunction < 0 || domain.hasFlag(FLAG.started);
    if (!begun || this.#core.prepare(domain) !== null) return null;
    return {
      domain,
      check: domain.instance?.exports[GUEST_EXPORT + offered.exported] as Callable,
      depth: offered.depth,
      functionIndex: offered.functionIndex,
      badge: capabilities.kindBadge(capability),
      capability,
    };
  }

  /**
   * Asks the kinds before a capability for an operation of a ring, which waits for `Rings.allow`. 0, or an errno where they
   * cannot be asked.
   * @param rights that it needs, or is to have where one is derived
   */
  pose(id: number, question: 'check' | 'derive', capability: number, rights: number): number {
    const { activations } = this.#core;
    const found = this.#toAsk(question, capability);
    if (typeof found === 'number') return found;
    let activation: Activation | null = null;
    try {
      activation = activations.create(CAUSE.question, found.offered.functionIndex, id);
      const visit = this.#visit(found, question, capability, rights);
      activation.push(visit);
    } catch (error) {
      if (activation !== null) activations.remove(activation);
      if (error instanceof SpaceFullError) return ERRNO.NOSPC;
      throw error;
    }
    activations.ready(activation);
    return 0;
  }

  /** The answer to such a question has come, or never will. */
  told(activation: Activation, errno: number, low: bigint): void {
    const { capabilities, rings } = this.#core;
    const { asker, visits } = activation;
    const operation = rings.operation(asker);
    if (operation === undefined || !operation.holds) return;
    const { askedFor } = visits[0] as Visit;
    if (askedFor % 8 === ASKED.derive) {
      const known = BigInt.asIntN(64, low);
      const bad = errno !== 0 ? errno : known < 0n ? refusal(Number(-known)) : 0;
      rings.allow(operation, bad, known);
      return;
    }
    const refused = errno !== 0 ? errno : low === 0n ? 0 : refusal(Number(BigInt.asIntN(32, low)));
    const next = refused === 0 ? capabilities.over(askedFor) : 0;
    const more = next !== 0 && capabilities.kind(next) !== 0;
    const rights = rightsNeeded(operation.code, operation.options);
    const bad = more ? this.pose(operation.id, 'check', next, rights) : refused;
    if (!more || bad !== 0) rings.allow(operation, bad);
  }

  /** Where a question about a capability goes, or an errno. */
  #toAsk(question: Question, capability: number): Asked | number {
    const { space, objects, capabilities } = this.#core;
    const kind = capabilities.kind(capability);
    if (objects.isGone(kind)) return ERRNO.GONE;
    const at = objects.a(kind);
    const gate = K[question].get(space, at);
    const dead = capabilities.check(gate, K[`${question}Turn`].get(space, at));
    return dead !== 0 ? -dead : this.#procedure(capabilities.object(gate));
  }

  /** The visit of its domain in which a question is answered. @throws SpaceFullError */
  #visit({ domain, offered }: Asked, question: Question, capability: number, rights: number | null): Visit {
    const { info } = domain.module;
    const args: RawValue[] = [{ type: I64, low: this.#core.capabilities.kindBadge(capability), high: 0n }];
    if (rights !== null) args.push({ type: I32, low: BigInt(rights), high: 0n });
    const frames = [entryFrame(info, offered.functionIndex, args) as Uint8Array];
    const begins = !domain.hasFlag(FLAG.started) && info.startFunction >= 0;
    if (begins) frames.push(entryFrame(info, info.startFunction, []) as Uint8Array);
    const visit = makeVisit(domain, offered.functionIndex);
    visit.keep(frames);
    visit.askedFor = capability + ASKED[question];
    if (begins) domain.setFlag(FLAG.started, true);
    return visit;
  }
}

/** The errno that a kind gives; one that is none refuses all the same. */
export const refusal = (errno: number): number => (errno > 0 && errno < 4096 ? errno : ERRNO.NOTCAPABLE);
