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
import { EpochStamp } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import { type Domain, FLAG, NO_DEADLINE } from '../domain.ts';
import { entryFrame, I32, type RawValue } from '../frames.ts';
import { headroom } from '../headroom.ts';
import type { LoadedModule } from '../program.ts';
import { STACK_EXHAUSTED } from '../traps.ts';
import { type Board, boardFor } from './boards.ts';
import { type Below, cameOut, EMPTY, goIn, goOut } from './crossing.ts';
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
export class Gate {
  readonly #core: Core;
  readonly #passage: Passage;
  readonly #caller: Domain;
  readonly #from: string;
  readonly #name: string;
  readonly #shape: FunctionShape;
  readonly #direct: boolean;
  readonly #board: Board;
  /** When what follows was looked up. */
  readonly #epoch = new EpochStamp();
  #callee: Domain;
  #procedure: Offered | null = null;
  /** Where the procedure is on the board; -1 where it is not. */
  #slot = -1;
  #depthMax = 0;
  #shortMax = 0; // by the short way, which is not open where kinds are asked or capabilities passed
  #asks = 0;

  constructor(core: Core, caller: Domain, from: string, name: string, shape: FunctionShape) {
    this.#core = core;
    this.#passage = core.passage;
    this.#caller = caller;
    this.#callee = caller;
    this.#from = from;
    this.#name = name;
    this.#shape = shape;
    this.#direct = isDirect(shape);
    this.#board = this.#direct ? boardFor(shape.params.length, shape.results.length) : boardFor(0, 0);
  }

  /** Forgets what was looked up. */
  close(): void {
    if (this.#slot >= 0) this.#board.unplug(this.#slot);
    this.#slot = -1;
    this.#epoch.forget();
  }

  /** The function that the program imports. */
  function(): WebAssembly.Func {
    return this.#direct
      ? this.#arity(this.#shape.params.length)
      : callerSide(this.#core.space, this.#shape, this.#arity(0));
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

  /** Fixed arities: an array of arguments costs more than all the rest. */
  #arity(count: number): Callable {
    const { go } = this.#board;
    switch (count) {
      case 0:
        return () => {
          if (!this.#enter()) return this.#slowly([]);
          let result: unknown;
          try {
            result = go(this.#slot);
          } catch (error) {
            return this.#notBegun(error) ? this.#slowly([]) : this.#caught(error, EMPTY);
          }
          return this.#leave(result as number);
        };
      case 1:
        return (a) => {
          if (!this.#enter()) return this.#slowly([a]);
          let result: unknown;
          try {
            result = go(this.#slot, a);
          } catch (error) {
            return this.#notBegun(error) ? this.#slowly([a]) : this.#caught(error, EMPTY);
          }
          return this.#leave(result as number);
        };
      case 2:
        return (a, b) => {
          if (!this.#enter()) return this.#slowly([a, b]);
          let result: unknown;
          try {
            result = go(this.#slot, a, b);
          } catch (error) {
            return this.#notBegun(error) ? this.#slowly([a, b]) : this.#caught(error, EMPTY);
          }
          return this.#leave(result as number);
        };
      case 3:
        return (a, b, c) => {
          if (!this.#enter()) return this.#slowly([a, b, c]);
          let result: unknown;
          try {
            result = go(this.#slot, a, b, c);
          } catch (error) {
            return this.#notBegun(error) ? this.#slowly([a, b, c]) : this.#caught(error, EMPTY);
          }
          return this.#leave(result as number);
        };
      default:
        return (...args) => {
          if (!this.#enter()) return this.#slowly(args);
          let result: unknown;
          try {
            result = go(this.#slot, ...args);
          } catch (error) {
            return this.#notBegun(error) ? this.#slowly(args) : this.#caught(error, EMPTY);
          }
          return this.#leave(result as number);
        };
    }
  }

  /**
   * Goes into the callee by the short way. False, with nothing done, where that is not open. Here and in `#leave` nothing is
   * taken apart as an array: that is three times the bytecode, and V8 has a budget of it for what it inlines.
   */
  #enter(): boolean {
    const core = this.#core;
    const passage = this.#passage;
    const callee = this.#callee;
    if (
      !this.#epoch.isNow(core.space.i32) ||
      !callee.open ||
      passage.answered ||
      passage.depth >= this.#shortMax
    ) {
      return false;
    }
    callee.open = false;
    callee.visits = 1;
    callee.nativeFrames++;
    passage.depth++;
    core.current = callee;
    return true;
  }

  /** True where no native stack was left to begin with: then nothing has been done. */
  #notBegun(error: unknown): boolean {
    const { begun } = this.#board;
    if (begun.value !== 0 || !(error instanceof RangeError)) return false;
    begun.value = 1;
    this.#out(EMPTY);
    this.#core.activations.left(this.#callee);
    return true;
  }

  /** Comes back from the short way. */
  #leave(result: number): number {
    const core = this.#core;
    const passage = this.#passage;
    const callee = this.#callee;
    const caller = this.#caller;
    callee.visits = 0;
    callee.nativeFrames--;
    passage.depth--;
    passage.error = 0;
    core.current = caller;
    callee.open = callee.waiters.length === 0;
    return !callee.open || caller.halted ? this.#tell(0, result) : result;
  }

  #slowly(args: number[]): number {
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
      if (errno === 0 && this.#asks !== 0) {
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
    const { entry } = this.#procedure as Offered;
    if (passage.depth >= this.#depthMax) return ERRNO.DEPTH;
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
    if (this.#epoch.isNow(core.space.i32) && this.#callee.ran) return 0;
    this.close();
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
    this.#callee = callee;
    this.#procedure = procedure;
    this.#slot = this.#board.plug(this.#direct ? call : calleeSide(core.space, this.#shape, call));
    this.#depthMax = procedure.depth;
    this.#asks = found.asks ?? 0;
    const plain = procedure.capabilityParams.length + procedure.capabilityResults.length === 0;
    this.#shortMax = plain && this.#asks === 0 ? procedure.depth : 0;
    if (!mustBegin(callee)) this.#epoch.take(core.space.i32);
    return 0;
  }

  /** The call on the native stack. */
  #natively(args: number[]): number {
    const [core, callee] = [this.#core, this.#callee];
    const below = goIn(core, callee);
    let result: unknown;
    try {
      result = this.#board.go(this.#slot, ...args);
    } catch (error) {
      if (!this.#notBegun(error)) return this.#caught(error, below);
      try {
        this.#defer(args);
      } catch (thrown) {
        throw core.translate(thrown);
      }
    }
    const results = [result as number];
    const errno = this.#take(results);
    this.#out(below);
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
  #take(results: number[]): number {
    const { capabilityResults } = this.#procedure as Offered;
    if (capabilityResults.length === 0 || this.#caller.halted) return 0;
    return takeOver(this.#core, this.#callee, this.#caller, capabilityResults, this.#hand(results));
  }
  #hand(values: number[]): Hand {
    return this.#direct ? handOf(values) : transferHand(this.#core.space);
  }

  #out(below: Below): void {
    goOut(this.#core, this.#caller, this.#callee, below);
  }

  /** Something came out of the callee's code. What the callee had below it is given, to be put back. */
  #caught(error: unknown, below: Below): number {
    const { functionIndex } = this.#procedure as Offered;
    return this.#tell(cameOut(this.#core, this.#caller, this.#callee, functionIndex, error, below), 0);
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
    this.#passage.answer(this.#core.running(), errno, bytes);
  }
}

function entered(frame: Uint8Array | null): Uint8Array {
  assert(frame !== null, 'a function can be begun with its parameters');
  return frame;
}

/** Whether the callee's start function has to run first. */
const mustBegin = (callee: Domain): boolean =>
  callee.module.info.startFunction >= 0 && !callee.hasFlag(FLAG.started);
