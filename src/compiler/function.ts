/**
 * One function of the program, emitted from its flat body: its code with memory accesses lowered, a poll at the entry and
 * at each loop, and each call inside a `try_table` of ours that catches the unwind exception, saves the frame and leaves by
 * one common throw at the end of the function, outside everything of the program's.
 *
 * Its continuations, by which it goes on from a saved frame, are written by `continuation.ts` with the same emitters.
 *
 * Why: RATIONALE.md#unwinding-by-exception
 */
import { KIND_BEFORE } from '../abi/frame.ts';
import { unreachable } from '../base/assert.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import type { Addresses } from './addresses.ts';
import type { FlatBody } from './body.ts';
import { call, grow, notify, poll, returnCall, wait } from './calls.ts';
import { emitContinuation } from './continuation.ts';
import { branch, branchTable, elseArm, endBlock, openBlock, returns } from './control.ts';
import type { Emitter } from './emitter.ts';
import type { FrameShape } from './frames.ts';
import type { Liveness } from './liveness.ts';
import { emitBases, emitLimits, prepareAccess } from './memory.ts';
import { access, copyRun, type Handler, isCopied, PLAIN } from './plain.ts';
import { type FunctionInput, FunctionState } from './state.ts';
import { writeTwice } from './strip.ts';

const impossible: Handler = () => unreachable('every instruction that is not copied has a handler');

/** By opcode. */
const HANDLERS: readonly Handler[] = handlers();

function handlers(): Handler[] {
  const list: Handler[] = Array.from(OP_ACCESS, (kind) => (kind === ACCESS_NONE ? impossible : access));
  for (const op of [OP.block, OP.loop, OP.if, OP.try_table]) list[op] = openBlock;
  list[OP.else] = elseArm;
  list[OP.end] = endBlock;
  list[OP.br] = branch;
  list[OP.br_if] = branch;
  list[OP.br_table] = branchTable;
  list[OP.return] = returns;
  list[OP.call] = call;
  list[OP.call_indirect] = call;
  list[OP.return_call] = returnCall;
  list[OP.return_call_indirect] = returnCall;
  for (const [op, handler] of PLAIN) list[op] = handler;
  list[OP.memory_atomic_wait32] = wait;
  list[OP.memory_atomic_wait64] = wait;
  list[OP.memory_atomic_notify] = notify;
  list[OP.memory_grow] = grow;
  return list;
}

export class FunctionCompiler {
  readonly #f: FunctionState;

  constructor(emitter: Emitter, body: FlatBody, liveness: Liveness) {
    this.#f = new FunctionState(emitter, body, liveness);
  }

  get addresses(): Addresses {
    return this.#f.addresses;
  }

  /** What the frame holds at each site, by site number; complete after the function was emitted. */
  get shapes(): FrameShape[] {
    return this.#f.shapes;
  }

  /** Emits the function into the emitter. The body is loaded and, with `suspend`, its liveness known. */
  quick(input: FunctionInput): void {
    const f = this.#f;
    const { e, body } = f;
    f.begin(input, false);
    const { suspend } = e.plan.options;
    f.addresses.run(body, input, e.plan);
    emitBases(e, body.memories);
    emitLimits(e, f.liveness.entryRoles);
    const escapes = suspend && (body.hasSites || body.catches.size > 0);
    if (escapes) f.handlers.open(e, f.liveness, body.sites);
    if (escapes) f.openBody();
    if (suspend && body.entryPoll) poll(f, 1, f.shape(1, body.start[0]!, KIND_BEFORE, 0));
    f.enterBody();
    walk(f, 0, body.count);
    if (escapes) f.closeBody();
  }

  /** Emits the continuation of one of its sites, () -> its results, after the function itself. */
  continuation(input: FunctionInput, site: number): void {
    this.#f.begin(input, true);
    emitContinuation(this.#f, site, walk);
  }
}

/** Writes the program's instructions of entries [from, to). What is copied as it is, is copied in runs. */
function walk(f: FunctionState, from: number, to: number): void {
  const { e, body, addresses } = f;
  let run = from;
  for (let i = from; i < to; i++) {
    const op = body.op[i]!;
    const access = addresses.begins[i]!;
    if ((access >= 0 && access < to) || e.map !== null) {
      copyRun(f, run, i);
      run = i;
      e.note(body.start[i]!);
      if (access >= 0 && access < to && prepareAccess(f, access)) {
        i = addresses.to[access]!;
        run = i + 1;
        continue;
      }
    }
    if (isCopied(f, i, op)) continue;
    copyRun(f, run, i);
    e.note(body.start[i]!);
    if (op === OP.loop && f.strip === null && addresses.loops.has(i)) {
      writeTwice(f, i, walk);
      i = body.match[i]!;
    } else {
      HANDLERS[op]!(f, i, op);
    }
    run = i + 1;
  }
  copyRun(f, run, to);
}
