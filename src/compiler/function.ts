/**
 * One function of the program, emitted twice from its flat body: the quick version, which runs, and the resume
 * version, which restores a saved frame and goes on in its middle.
 *
 * Quick: the program's code with its memory accesses lowered, a poll at the entry and at each loop, and each call inside a
 * `try_table` of ours that catches the unwind exception, saves the frame and leaves by one common throw at the end of
 * the function, outside everything of the program's.
 *
 * Resume: the same code, cut at every safepoint. Each sequence of instructions that holds safepoints (directly or in a
 * nested block) opens one label for each of these points; at its start, when a site is being sought, it branches to
 * the point whose sites include the one sought, and nested blocks do the same inside. At a point all operands of the
 * sequence are in their slots, so both ways into it agree. When the site is reached, `site` becomes 0 and the code
 * runs on as the quick version would: calls from here go to quick versions.
 *
 * Why: RATIONALE.md#two-versions-of-each-function
 */
import { KIND_BEFORE } from '../abi/frame.ts';
import { RESUME_SITE_OFFSET } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import { EMPTY_BLOCK, I32 } from '../wasm/types.ts';
import { BODY_LABEL, type FlatBody } from './body.ts';
import { call, closeTails, grow, notify, openTails, poll, returnCall, wait } from './calls.ts';
import { branch, branchTable, elseArm, endBlock, openBlock, returns } from './control.ts';
import { blockTypeOf, type Emitter } from './emitter.ts';
import { emitStoreResults, type FrameShape, type Helpers } from './frames.ts';
import type { Liveness } from './liveness.ts';
import { emitReload } from './memory.ts';
import { access, fixed, type Handler, PLAIN } from './plain.ts';
import { closePoint, openPoints, restoreFrames } from './points.ts';
import { type Control, type FunctionInput, FunctionState } from './state.ts';

/** By opcode. */
const HANDLERS: readonly Handler[] = handlers();

function handlers(): Handler[] {
  const list: Handler[] = Array.from(OP_ACCESS, (kind) => (kind === ACCESS_NONE ? fixed : access));
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

  constructor(emitter: Emitter, body: FlatBody, liveness: Liveness, helpers: Helpers) {
    this.#f = new FunctionState(emitter, body, liveness, helpers);
  }

  /** What the frame holds at each site, by site number; complete after a version was emitted. */
  get shapes(): FrameShape[] {
    return this.#f.shapes;
  }

  /** Emits the quick version into the emitter. The body is loaded and, with `suspend`, its liveness known. */
  quick(input: FunctionInput): void {
    const f = this.#f;
    const { e, body } = f;
    f.begin(input, false);
    const { suspend } = e.plan.options;
    emitReload(e, f.liveness.entryRoles);
    const escapes = suspend && (body.hasSites || body.catches.size > 0);
    if (escapes) f.unwind = e.open(OP.block, EMPTY_BLOCK);
    if (suspend && body.entryPoll) poll(f, f.shape(1, body.start[0]!, KIND_BEFORE, 0));
    this.#run();
    if (escapes) {
      e.op(OP.return);
      e.close();
      e.op(OP.throw, 0);
    }
  }

  /** Emits the resume version into the emitter, after the quick version of the same body. */
  resume(input: FunctionInput): void {
    const f = this.#f;
    const { e } = f;
    f.begin(input, true);
    const { results } = input.type;
    f.site = e.newLocal(I32);
    e.op(OP.global_get, e.plan.hdrGlobal);
    e.systemAccess(OP.i32_load, RESUME_SITE_OFFSET);
    e.set(f.site);
    restoreFrames(f);
    emitReload(e, f.body.memories);
    f.unwind = e.open(OP.block, EMPTY_BLOCK);
    f.ret = e.open(OP.block, blockTypeOf(e, { params: [], results }));
    openTails(f);
    this.#run();
    closeTails(f);
    e.close();
    emitStoreResults(e, results);
    e.op(OP.return);
    e.close();
    e.op(OP.throw, 0);
  }

  /** The program's instructions, from the first to the body's end. */
  #run(): void {
    const f = this.#f;
    const { e, body } = f;
    const top: Control = {
      entry: BODY_LABEL,
      op: OP.block,
      label: f.ret,
      height: 0,
      type: { params: [], results: f.input.type.results },
      points: [],
      passed: 0,
      detours: [],
    };
    f.enter(top);
    if (f.resume) openPoints(f, top, 0, body.count - 1);
    for (let i = 0; i < body.count; i++) {
      if (f.resume) {
        const { control } = f;
        if (control.points[control.passed] === i) closePoint(f, control, i);
      }
      e.note(body.start[i]!);
      const op = body.op[i]!;
      HANDLERS[op]!(f, i, op);
    }
    assert(f.controls.length === 0, 'every block was closed');
  }
}
