/**
 * The continuation of a site: a function () -> the results of the program's function, which takes a saved frame's values
 * off the frame stack and runs from the site to the function's end.
 *
 * The constructs C1 ⊃ … ⊃ Ck around the site are opened again without parameters, the operands that lie between them
 * pushed first; then comes the rest of Ck behind the site, Ck's end, the rest of C(k-1) behind Ck, and so on to the end of
 * the body: what of it can be reached (remains.ts). A block or the arm of an if stands in as a block where something still
 * branches to it, a try_table as itself. A loop stands for the round that was begun; who branches to its head goes there by
 * way of a frame that says so, saved as if the program had stopped there:
 *
 *     block $exit (results)
 *       block $again (results: the loop's parameters)   branches to the loop's head come here
 *         … the rest of the round …
 *         br $exit
 *       end
 *       the frame at the loop's head is saved, and the function left
 *     end
 *
 * The kernel goes on from that frame at once. The continuation of a loop's head holds the loop as it always is, but that its
 * poll lets the first round pass. So no loop is ever there twice, and places in a loop share the code for its other rounds.
 *
 * Why: RATIONALE.md#continuations-are-made-when-they-are-needed
 */
import { KIND_CALLING } from '../abi/frame.ts';
import { assert } from '../base/assert.ts';
import { OP } from '../wasm/opcodes.ts';
import { blockFuncType } from '../wasm/types.ts';
import type { FlatBody } from './body.ts';
import { leave, returnedCall } from './calls.ts';
import { endBlock, openTry } from './control.ts';
import { blockTypeOf } from './emitter.ts';
import { emitRestore, type FrameShape } from './frames.ts';
import { emitBases, emitLimits } from './memory.ts';
import { type Remaining, remainsOf } from './remains.ts';
import { type Control, type FunctionState, NO_DETOURS } from './state.ts';

/** Writes entries [from, to). */
type Walk = (f: FunctionState, from: number, to: number) => void;

/** A construct around the site. */
interface StandIn {
  readonly remaining: Remaining;
  readonly control: Control;
  /** A label was opened for it. */
  readonly opened: boolean;
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
  const at = entryOf(body, site);
  const next = Math.max(0, shape.kind === KIND_CALLING ? at + 1 : at);
  const remains = remainsOf(body, at, next);
  f.handlers.open(e, f.liveness, body.sites, remains.sites);
  f.openBody();
  f.enterBody();
  const around = remains.around.map((remaining) => openStandIn(f, remaining, shape));
  e.pushFromSlots(shape.operands, shape.operands.length);
  if (at >= 0 && body.op[at] === OP.loop) f.pass(at);
  if (shape.kind === KIND_CALLING) returnedCall(f, at);
  let open = true;
  for (const standIn of around.toReversed()) open = finish(f, standIn, open, walk);
  writeRest(f, remains.body, body.count - 1, open, walk);
  f.closeBody();
}

/** The entry of a site; -1 for the poll before the first instruction. */
function entryOf(body: FlatBody, site: number): number {
  if (body.entryPoll && site === 1) return -1;
  const at = body.site.indexOf(site);
  assert(at >= 0 && at < body.count, 'the site is one of this body');
  return at;
}

function openStandIn(f: FunctionState, remaining: Remaining, shape: FrameShape): StandIn {
  const { e, body } = f;
  const { entry, targeted } = remaining;
  const height = f.heights[entry]!;
  e.pushFromSlots(shape.operands, height);
  const op = body.op[entry]!;
  const { params, results } = blockFuncType(e.plan.types, body.a[entry]!)!;
  const type = { params: [], results };
  const control: Control = { entry, op: OP.block, label: 0, height, type, detours: NO_DETOURS };
  const opened = targeted || op === OP.try_table;
  let exit = -1;
  if (op === OP.try_table) {
    control.label = openTry(f, control);
  } else if (op === OP.loop && opened) {
    exit = e.open(OP.block, blockTypeOf(e, type));
    control.label = e.open(OP.block, blockTypeOf(e, { params: [], results: params }));
  } else if (opened) {
    control.label = e.open(OP.block, blockTypeOf(e, type));
  }
  f.enter(control);
  if (opened) e.facts.open();
  return { remaining, control, opened, exit };
}

/**
 * Writes entries that follow, or what stands for them where nothing gets there. `end`: the entry at which they end; `open`:
 * code may stand here, for what was written last goes on or closed a block. Gives the same for what comes behind.
 */
function writeRest(f: FunctionState, rest: Remaining, end: number, open: boolean, walk: Walk): boolean {
  if (rest.reached) {
    walk(f, rest.next, rest.to);
    return f.body.fallsInto(end, rest.next);
  }
  if (open) f.e.op(OP.unreachable);
  return false;
}

/** Writes the rest of a construct, and its end. Takes and gives what `writeRest` does. */
function finish(f: FunctionState, standIn: StandIn, open: boolean, walk: Walk): boolean {
  const { remaining, control, opened, exit } = standIn;
  const { e, body } = f;
  const { entry } = remaining;
  const falls = writeRest(f, remaining, remaining.to, open, walk);
  if (opened && exit < 0) {
    endBlock(f, body.match[entry]!);
    return true;
  }
  if (opened) {
    if (falls) e.branch(OP.br, exit);
    e.close();
    e.facts.close(true);
  }
  f.controls.pop();
  e.truncate(control.height);
  if (opened) {
    e.pushAll(blockFuncType(e.plan.types, body.a[entry]!)!.params);
    e.stash(control.height);
    leave(f, body.site[entry]!);
    e.close();
    e.truncate(control.height);
  }
  e.pushAll(control.type.results);
  return opened || falls;
}
