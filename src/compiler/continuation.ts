/**
 * The continuation of a site: a function () -> the results of the program's function, which takes a saved frame's values
 * off the frame stack, runs from the site to the function's end, and is from then on the function itself.
 *
 * The constructs C1 ⊃ … ⊃ Ck around the site are opened again without parameters, the operands that lie between them
 * pushed first; then comes the rest of Ck behind the site, Ck's end, the rest of C(k-1) behind Ck, and so on to the end of
 * the body. A block or the arm of an if stands in as a block, a try_table as itself. A loop stands for the round that was
 * begun, behind which the whole loop follows afresh:
 *
 *     block $exit (results)
 *       block $again (results: the loop's parameters)   branches to the loop's head come here
 *         … the rest of the round …
 *         br $exit
 *       end
 *       loop … the whole loop … end
 *     end
 *
 * So a resumed loop is from its second round on the code it always is, and V8 sees nothing but plain structure.
 *
 * Why: RATIONALE.md#continuations-are-made-when-they-are-needed
 */
import { KIND_CALLING } from '../abi/frame.ts';
import { assert } from '../base/assert.ts';
import { OP } from '../wasm/opcodes.ts';
import { blockFuncType, EMPTY_BLOCK } from '../wasm/types.ts';
import type { FlatBody } from './body.ts';
import { returnedCall } from './calls.ts';
import { endBlock, openTry } from './control.ts';
import { blockTypeOf } from './emitter.ts';
import { emitRestore, type FrameShape } from './frames.ts';
import { emitBases, emitLimits } from './memory.ts';
import type { Control, FunctionState } from './state.ts';

/** Writes entries [from, to). */
type Walk = (f: FunctionState, from: number, to: number) => void;

/** A construct around the site. */
interface StandIn {
  readonly control: Control;
  /** A loop's label $exit; else -1. */
  readonly exit: number;
}

/** Writes the body of the continuation of a site whose function was emitted before: `f` has begun anew for it. */
export function emitContinuation(f: FunctionState, site: number, walk: Walk): void {
  const { e, body } = f;
  const shape = f.shapes[site]!;
  emitRestore(e, shape, f.input.locals);
  emitBases(e, body.memories);
  emitLimits(e, body.memories);
  f.unwind = e.open(OP.block, EMPTY_BLOCK);
  f.handlers.open(e, f.liveness, body.sites);
  f.enterBody();
  const at = entryOf(body, site);
  // A loop's poll was answered, and stands inside the loop; other instructions stand in what is around them.
  const inside = at >= 0 && body.op[at] === OP.loop ? at + 1 : at;
  const around = constructsAround(body, inside).map((entry) => openStandIn(f, entry, shape));
  e.pushFromSlots(shape.operands, shape.operands.length);
  let next = Math.max(0, inside);
  if (shape.kind === KIND_CALLING) {
    returnedCall(f, at);
    next++;
  }
  for (const standIn of around.toReversed()) next = finish(f, standIn, next, walk);
  walk(f, next, body.count);
  e.op(OP.return);
  f.handlers.close(e, f.input.locals);
  e.close();
  e.op(OP.throw, 0);
}

/** The entry of a site; -1 for the poll before the first instruction. */
function entryOf(body: FlatBody, site: number): number {
  if (body.entryPoll && site === 1) return -1;
  const at = body.site.indexOf(site);
  assert(at >= 0 && at < body.count, 'the site is one of this body');
  return at;
}

/** The entries of the constructs that an entry lies in, outermost first. */
function constructsAround(body: FlatBody, inside: number): number[] {
  const around: number[] = [];
  for (let i = 0; i < inside; i++) {
    const end = body.match[i]!;
    if (end <= i) continue; // opens nothing
    if (end < inside) i = end;
    else around.push(i);
  }
  return around;
}

function openStandIn(f: FunctionState, entry: number, shape: FrameShape): StandIn {
  const { e, body } = f;
  const height = f.heights[entry]!;
  e.pushFromSlots(shape.operands, height);
  const op = body.op[entry]!;
  const { params, results } = blockFuncType(e.plan.types, body.a[entry]!)!;
  const type = { params: [], results };
  const control: Control = { entry, op: OP.block, label: 0, height, type, detours: [] };
  let exit = -1;
  if (op === OP.try_table) {
    control.label = openTry(f, control);
  } else if (op === OP.loop) {
    exit = e.open(OP.block, blockTypeOf(e, type));
    e.facts.open();
    control.label = e.open(OP.block, blockTypeOf(e, { params: [], results: params }));
  } else {
    control.label = e.open(OP.block, blockTypeOf(e, type));
  }
  f.enter(control);
  e.facts.open();
  return { control, exit };
}

/** Writes the rest of a construct from entry `next` on, and its end. Gives the entry behind it. */
function finish(f: FunctionState, { control, exit }: StandIn, next: number, walk: Walk): number {
  const { e, body } = f;
  const { entry } = control;
  const end = body.match[entry]!;
  const elseAt = body.op[entry] === OP.if ? body.elseAt[entry]! : -1;
  walk(f, next, elseAt >= next ? elseAt : end); // the other arm of an if is not for this round
  if (exit < 0) {
    endBlock(f, end);
    return end + 1;
  }
  e.branch(OP.br, exit);
  const { params } = blockFuncType(e.plan.types, body.a[entry]!)!;
  f.controls.pop();
  e.close();
  e.facts.close(true);
  e.truncate(control.height);
  e.pushAll(params);
  walk(f, entry, end + 1);
  e.close();
  e.facts.close(true);
  return end + 1;
}
