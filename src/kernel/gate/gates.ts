/**
 * Gates: what a program's import of another domain's procedure is. A call goes from the caller's code to a function of the
 * kernel and from there into the callee's, on the native stack; a trap in the callee, which no WebAssembly can catch, is
 * caught here. What was looked up is good while the epoch stands: then a call costs a few comparisons (`#enter`).
 *
 * All else goes the long way (`#slowly`): it looks up, waits at the callee's door, tells errors, and where the native stack
 * is all but used up leaves the call to the trampoline.
 *
 * A call that has unwound is made again, as all calls of imports are: then its answer is there (visits.ts).
 * Why: RATIONALE.md#a-gate-is-a-function-of-the-kernel
 */
import { ERRNO, errnoText } from '../../abi/errno.ts';
import { sameShape } from '../../abi/gate.ts';
import { VALUE_BYTES } from '../../abi/layout.ts';
import { KERNEL_MODULE, RIGHT } from '../../abi/objects.ts';
import type { FunctionShape } from '../../abi/program.ts';
import { GUEST_EXPORT } from '../../abi/system.ts';
import { assert } from '../../base/assert.ts';
import { epochOf } from '../capability/epoch.ts';
import { type Judge, refusal } from '../capability/kinds.ts';
import type { Core } from '../core.ts';
import { type Domain, FLAG, NO_DEADLINE } from '../domain.ts';
import { entryFrame, I32, type RawValue } from '../frames.ts';
import { headroom } from '../headroom.ts';
import type { LoadedModule } from '../program.ts';
import { STACK_EXHAUSTED } from '../traps.ts';
import { GATE, KEPT_VALUES_MAX } from './board-code.ts';
import type { Boards, Entrance, Subscriber } from './boards.ts';
import { cameOut, EMPTY, goIn, goOut } from './crossing.ts';
import { type Hand, handOf, handOver, takeOver } from './hands.ts';
import type { Passage } from './passage.ts';
import { type Offered, procedureNamed } from './procedures.ts';
import { type Callable, calleeSide, callerSide, isDirect } from './thunks.ts';
import { copyTransferred, transfer, transferHand, transferred } from './transfer.ts';
import { makeVisit } from './visit.ts';
import { door } from './visits.ts';

/** Whether a program can be told errors of its calls; else they trap. */
const readsErrors = ({ info }: LoadedModule): boolean =>
  info.imports.some(({ module, name }) => module === KERNEL_MODULE && name === 'gate_error');

/** The import of a procedure in one instance of a program. */
export class Gate implements Subscriber {
  readonly #core: Core;
  readonly #passage: Passage;
  readonly #boards: Boards;
  readonly #caller: Domain;
  readonly #from: string;
  readonly #name: string;
  readonly #shape: FunctionShape;
  readonly #direct: boolean;
  readonly #entrance: Entrance;
  /** Its line on the board, where a program has its function; 0 else. */
  #line = 0;
  /** When what follows was looked up; 0 for never. */
  #epoch = 0;
  #callee: Domain;
  #procedure: Offered | null = null;
  /** Where the procedure is on the board, if it is. */
  #slot: number | null = null;
  #asks = 0;
  /** The kind that the short way asks, and where its procedure is on the board. */
  #judge: Judge | null = null;
  #judgeSlot: number | null = null;

  constructor(core: Core, caller: Domain, from: string, name: string, shape: FunctionShape) {
    this.#core = core;
    this.#passage = core.passage;
    this.#boards = core.boards;
    this.#caller = caller;
    this.#callee = caller;
    this.#from = from;
    this.#name = name;
    this.#shape = shape;
    this.#direct = isDirect(shape);
    this.#entrance = core.boards.entrance(this.#direct ? shape.params.length : 0);
  }

  /** None of the caller's code that has it will run again. */
  close(): void {
    this.#forget();
    if (this.#line !== 0) this.#boards.closeGate(this.#line);
    this.#line = 0;
  }
  /** Forgets what was looked up. */
  #forget(): void {
    this.#epoch = 0;
    if (this.#line !== 0) this.#boards.set64(this.#line + GATE.epoch, 0n);
    if (this.#slot !== null) this.#boards.unplug(this.#slot);
    this.#slot = null;
    if (this.#asking) return;
    if (this.#judgeSlot !== null) this.#boards.unplug(this.#judgeSlot);
    this.#judgeSlot = null;
    this.#judge = null;
  }
  /** A kind is being asked by the short way. */
  get #asking(): boolean {
    return this.#line !== 0 && this.#boards.get(this.#line + GATE.asking) !== 0;
  }

  /** The function that the program imports. */
  function(): WebAssembly.Func {
    this.#line = this.#boards.openGate(this);
    this.#boards.set(this.#line + GATE.caller, this.#caller.line);
    return this.#direct
      ? this.#arity(this.#shape.params.length, this.#entrance.go, this.#line)
      : callerSide(this.#core.space, this.#shape, this.#arity(0, this.#entrance.go, this.#line));
  }

  /** Why the program cannot be made a domain with this import: for people; null where it can. */
  refusal(): { known: boolean; text: string } | null {
    const [from, name] = [this.#from, this.#name];
    const found = this.#core.granted(this.#caller, from, name);
    if (found === null) return { known: false, text: `${from}.${name}` };
    const errno = this.#lookUp();
    if (errno === ERRNO.NOSYS) return { known: true, text: `${from}.${name}: there is no such procedure` };
    if (errno === ERRNO.INVAL)
      return { known: true, text: `${from}.${name}: the procedure has another type` };
    return errno === 0 || errno === ERRNO.STOPPED
      ? null
      : { known: true, text: `${from}.${name}: ${errnoText(errno)}` };
  }

  /**
   * Fixed arities: an array of arguments costs more than all the rest. Each is `try` around the board's function and nothing else,
   * of what is at hand: V8 makes one code of it for all gates.
   */
  #arity(count: number, go: Callable, line: number): Callable {
    switch (count) {
      case 0:
        return () => {
          try {
            return go(line);
          } catch (error) {
            return this.#cameOut(error, []);
          }
        };
      case 1:
        return (a) => {
          try {
            return go(line, a);
          } catch (error) {
            return this.#cameOut(error, [a]);
          }
        };
      case 2:
        return (a, b) => {
          try {
            return go(line, a, b);
          } catch (error) {
            return this.#cameOut(error, [a, b]);
          }
        };
      case 3:
        return (a, b, c) => {
          try {
            return go(line, a, b, c);
          } catch (error) {
            return this.#cameOut(error, [a, b, c]);
          }
        };
      default:
        return (...args) => {
          try {
            return go(line, ...args);
          } catch (error) {
            return this.#cameOut(error, args);
          }
        };
    }
  }

  /** Something came out of the board: of what it called here, of the kind that was asked, or of the callee. */
  #cameOut(error: unknown, args: number[]): number {
    const boards = this.#boards;
    if (boards.takeRelayed()) throw error;
    if (boards.current === this.#caller) {
      // Too little native stack was left. What the caller calls of its own domain, it never enters by the short way.
      if (!(error instanceof RangeError)) throw error;
      return this.slowly(args);
    }
    const asking = this.#asking;
    boards.set(this.#line + GATE.asking, 0);
    const domain = asking ? (this.#judge as Judge).domain : this.#callee;
    domain.noteInside();
    const { functionIndex } = (asking ? this.#judge : this.#procedure) as Judge | Offered;
    const askedFor = asking ? (this.#judge as Judge).capability : 0;
    return this.#tell(cameOut(this.#core, this.#caller, domain, functionIndex, error, EMPTY, askedFor), 0);
  }

  /** The callee has returned by the short way, and something happened meanwhile. */
  back(result: number): number {
    this.#callee.leftByShort();
    return this.#tell(0, result);
  }

  /** The kind has answered by the short way, and the call cannot go on by it. */
  judged(answer: number, args: number[]): number {
    const core = this.#core;
    const { domain, capability } = this.#judge as Judge;
    domain.leftByShort();
    core.activations.callNext(domain);
    if (this.#caller.halted) core.kinds.keepAnswer(this.#caller, answer, capability);
    return answer === 0 ? this.slowly(args, true) : this.#tell(refusal(answer), 0);
  }

  /**
   * All that the short way is not for.
   * @param allowed by the kind, which has been asked
   */
  slowly(args: number[], allowed = false): number {
    const core = this.#core;
    try {
      headroom();
    } catch {
      core.trap(STACK_EXHAUSTED);
    }
    try {
      core.blocked = false;
      if (this.#caller.ending !== null) throw core.unwind;
      const activation = core.running();
      const told = this.#passage.answered && this.#passage.depth === activation.visits.length;
      if (told && activation.answerFor === 0) return this.#answer();
      let errno = this.#mayEnter();
      if (errno === 0 && this.#asks !== 0 && !allowed) {
        const values = this.#direct ? 0 : this.#shape.params.length;
        errno = core.kinds.authorize(this.#asks, RIGHT.invoke, values) || this.#lookUp();
      }
      if (told) core.kinds.drop(); // an answer about another call
      if (errno === 0) errno = this.#give(args);
      if (errno !== 0) return this.#tell(errno, 0);
      if (mustBegin(this.#callee)) this.#defer(args);
    } catch (error) {
      throw core.translate(error);
    }
    return this.#natively(args);
  }

  /** What may refuse a call, or let it wait: an errno, or 0 where the callee is to be entered now. */
  #mayEnter(): number {
    const [core, passage] = [this.#core, this.#passage];
    const errno = this.#lookUp();
    if (errno !== 0) return errno;
    const { entry, depth } = this.#procedure as Offered;
    if (passage.depth >= depth) return ERRNO.DEPTH;
    const activation = core.running();
    const closed = door(core, activation, this.#callee, entry);
    if (closed === ERRNO.AGAIN) throw core.unwind;
    if (closed !== ERRNO.BUSY) return closed;
    core.activations.waitFor(activation, this.#callee);
    activation.deadline = NO_DEADLINE;
    core.blocked = true;
    throw core.unwind;
  }

  /** Finds the callee, where that was not done in this epoch. Gives an errno, or 0. */
  #lookUp(): number {
    const core = this.#core;
    if (this.#epoch === epochOf(core.space) && this.#callee.ran) return 0;
    this.#forget();
    const found = core.granted(this.#caller, this.#from, this.#name);
    if (found === null) {
      if (this.#caller.hasFlag(FLAG.trapUnknown)) core.trap(`unknown import ${this.#from}.${this.#name}`);
      return ERRNO.NOTCAPABLE;
    }
    if (typeof found === 'number') return found;
    const callee = core.peek(found.domain);
    if (callee === undefined) return ERRNO.GONE;
    if (callee.halted) return callee.stopped ? ERRNO.STOPPED : ERRNO.GONE;
    if (callee.hasFlag(FLAG.enforced)) return ERRNO.NOTSUP;
    const procedure = procedureNamed(callee.module, found.procedure);
    if (procedure === undefined) return ERRNO.NOSYS;
    if (!sameShape(procedure.shape, this.#shape)) return ERRNO.INVAL;
    const broken = core.prepare(callee);
    if (broken !== null) core.condemn(callee, broken);
    if (broken !== null) return ERRNO.GONE;
    const call = callee.instance?.exports[GUEST_EXPORT + procedure.exported] as Callable;
    // A call of this gate by the short way, which has come here by way of others, comes back to what it has entered.
    const other = this.#procedure !== null && (callee !== this.#callee || procedure !== this.#procedure);
    if (other && this.#callee.unnoted !== 0) throw core.unwind;
    this.#callee = callee;
    this.#procedure = procedure;
    this.#asks = found.asks ?? 0;
    if (this.#line === 0) return 0;
    this.#slot = this.#boards.plug(
      this.#direct ? call : calleeSide(core.space, this.#shape, call),
      !this.#direct || this.#shape.results.length === 0,
    );
    if (!mustBegin(callee) && !this.#asking) this.#epoch = epochOf(core.space);
    this.#write(procedure);
    return 0;
  }

  /** What has been looked up goes to the board; where the short way is not open, it is nested too deep there always. */
  #write({ depth, capabilityParams, capabilityResults }: Offered): void {
    const [core, boards, line] = [this.#core, this.#boards, this.#line];
    boards.set(line + GATE.callee, this.#callee.line);
    boards.set(line + GATE.slot, this.#slot as number);
    boards.set64(line + GATE.epoch, BigInt(this.#epoch));
    const plain = capabilityParams.length + capabilityResults.length === 0;
    const values = this.#direct ? 0 : this.#shape.params.length;
    const judges = this.#asks !== 0 && values <= KEPT_VALUES_MAX && !this.#asking;
    const judge = judges ? core.kinds.judge(this.#caller, this.#asks) : null;
    const open = plain && (this.#asks === 0 || judge !== null);
    boards.set(line + GATE.depth, open ? depth : 0);
    if (!this.#asking) boards.set(line + GATE.guard, 0);
    if (judge === null) return;
    this.#judge = judge;
    this.#judgeSlot = boards.plug(judge.check, false);
    boards.set(line + GATE.guard, judge.domain.line);
    boards.set(line + GATE.values, values);
    boards.set(line + GATE.guardSlot, this.#judgeSlot);
    boards.set(line + GATE.guardDepth, judge.depth);
    boards.set64(line + GATE.badge, judge.badge);
  }

  /** The call on the native stack. */
  #natively(args: number[]): number {
    const [core, caller, callee, procedure] = [
      this.#core,
      this.#caller,
      this.#callee,
      this.#procedure as Offered,
    ];
    const below = goIn(core, callee);
    let result: unknown;
    try {
      result = this.#entrance.call(this.#line, ...args);
    } catch (error) {
      if (!this.#boards.notBegun(error)) {
        return this.#tell(cameOut(core, caller, callee, procedure.functionIndex, error, below), 0);
      }
      goOut(core, caller, callee, below);
      core.activations.left(callee);
      try {
        this.#defer(args);
      } catch (thrown) {
        throw core.translate(thrown);
      }
    }
    const results = [result as number];
    const errno = this.#take(callee, procedure, results);
    goOut(core, caller, callee, below);
    core.activations.left(callee);
    return this.#tell(errno, results[0] as number);
  }

  /** Capabilities among the arguments become the callee's. */
  #give(args: number[]): number {
    const { capabilityParams } = this.#procedure as Offered;
    if (capabilityParams.length === 0) return 0;
    return handOver(this.#core, this.#caller, this.#callee, capabilityParams, this.#hand(args));
  }
  /** Those among the results become the caller's. */
  #take(callee: Domain, { capabilityResults }: Offered, results: number[]): number {
    if (capabilityResults.length === 0 || this.#caller.halted) return 0;
    return takeOver(this.#core, callee, this.#caller, capabilityResults, this.#hand(results));
  }
  #hand(values: number[]): Hand {
    return this.#direct ? handOf(values) : transferHand(this.#core.space);
  }

  /** Leaves the call to the trampoline: the caller unwinds, and the callee begins on an empty native stack. */
  #defer(args: readonly number[]): never {
    const [core, callee, procedure] = [this.#core, this.#callee, this.#procedure as Offered];
    const { info } = callee.module;
    const raws = this.#direct
      ? args.map((value): RawValue => ({ type: I32, low: BigInt(value >>> 0), high: 0n }))
      : this.#shape.params.map((type, i) => transferred(core.space, type, i));
    const frames = [entered(entryFrame(info, procedure.functionIndex, raws))];
    const begins = mustBegin(callee);
    if (begins) frames.push(entered(entryFrame(info, info.startFunction, [])));
    const visit = makeVisit(callee, procedure.functionIndex);
    visit.keep(frames);
    if (begins) callee.setFlag(FLAG.started, true);
    core.activations.enter(core.running(), callee);
    visit.entered = true;
    this.#passage.left.push(visit);
    throw core.unwind;
  }

  /** The call has been made before: what came of it. */
  #answer(): number {
    const activation = this.#core.running();
    const [errno, values] = [activation.answerErrno, activation.answerValues];
    this.#passage.takeAnswer(activation);
    if (errno !== 0) return this.#tell(errno, 0);
    const { results } = this.#shape;
    if (!this.#direct) {
      transfer(this.#core.space, values, results.length);
    }
    const low = values.length < 4 ? 0 : new DataView(values.buffer).getInt32(0, true);
    return this.#tell(0, low);
  }

  /** Back in the caller's code, with results or an error. */
  #tell(errno: number, result: number): number {
    const [core, passage, callee, caller] = [this.#core, this.#passage, this.#callee, this.#caller];
    passage.error = errno;
    if (callee.visits === 0 && callee.waiters.length !== 0) {
      // Whoever waits for the callee comes before the next call of this one.
      core.activations.callNext(callee);
      core.yielded = true;
      core.raiseFlag();
    }
    if (caller.halted) {
      if (caller.ending === null) this.#keepAnswer(errno, result);
      throw core.unwind;
    }
    if (errno === 0) return result;
    if (!readsErrors(caller.module)) core.trap(`call of ${this.#from}.${this.#name}: ${errnoText(errno)}`);
    if (!this.#direct) transfer(core.space, new Uint8Array(0), this.#shape.results.length);
    return 0;
  }

  /** The caller has been stopped meanwhile: it makes the call again when it goes on. */
  #keepAnswer(errno: number, result: number): void {
    const count = errno === 0 ? this.#shape.results.length : 0;
    const bytes = this.#direct
      ? new Uint8Array(VALUE_BYTES * count)
      : copyTransferred(this.#core.space, count);
    if (this.#direct && count > 0) new DataView(bytes.buffer).setInt32(0, result, true);
    try {
      this.#passage.answer(this.#core.running(), errno, bytes);
    } catch (error) {
      throw this.#core.translate(error);
    }
  }
}

function entered(frame: Uint8Array | null): Uint8Array {
  assert(frame !== null, 'a function can be begun with its parameters');
  return frame;
}

/** Whether the callee's start function has to run first. */
const mustBegin = (callee: Domain): boolean =>
  callee.module.info.startFunction >= 0 && !callee.hasFlag(FLAG.started);
