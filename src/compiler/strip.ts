/**
 * Innermost loops in two versions (loops.ts says which). At the head, once every so many rounds, all pointers are tested
 * for all these rounds at once; then the fast version runs, in which they are absolute addresses that only move, with
 * neither checks nor marks nor polls; a counter of rounds brings control back to the head. Where the test fails, one
 * round is made in the program's own way, which traps where the program traps.
 *
 *     block $exit
 *       loop $outer                     the program's loop: its poll is here
 *         block $slow
 *           for each pointer: x := its near address; x + low + reach + step * (rounds - 1) > limit → $slow
 *           pointer := base + x + low; where it is stored through: its page is marked
 *           fuel := rounds
 *           loop $fast                  hints: fuel, pointers
 *             block $again
 *               the body; a branch to the loop goes to $again
 *               → $exit
 *             end
 *             pointers += steps; fuel -= 1; fuel ≠ 0 → $fast; → $outer
 *           end
 *         end
 *         the body; a branch to the loop goes to $outer
 *       end
 *     end
 *
 * Why: RATIONALE.md#loops-in-two-versions
 */
import { type PointerHint, WINDOW_READ, WINDOW_WRITE } from '../abi/hints.ts';
import { emitI64Const } from '../wasm/emit.ts';
import { OP } from '../wasm/opcodes.ts';
import { blockFuncType, EMPTY_BLOCK, I32, I64 } from '../wasm/types.ts';
import { loopHead, spillOutside } from './control.ts';
import { blockTypeOf, type Emitter } from './emitter.ts';
import type { LoopShape, Pointer, Recipe } from './loops.ts';
import { emitIsPast, emitMark } from './memory.ts';
import { type Control, type FunctionState, NO_DETOURS } from './state.ts';
import { callsNothing, emitTried } from './windows.ts';

/** Numbers of scratch locals: loops in two versions never nest, so all of a function share them. */
const FUEL = 20;
const POINTERS = 32;

/** Writes entries [from, to). */
type Walk = (f: FunctionState, from: number, to: number) => void;

/** Writes the loop at entry i. `walk`: writes the program's entries [from, to). */
export function writeTwice(f: FunctionState, i: number, walk: Walk): void {
  const { e, body } = f;
  const shape = f.addresses.loops.get(i)!;
  const type = blockFuncType(e.plan.types, body.a[i]!)!;
  const { height } = e;
  f.heights[i] = height;
  if (body.lastSite[i]! > 0) spillOutside(f, OP.loop, height);
  const exit = e.open(OP.block, blockTypeOf(e, type));
  e.facts.open();
  const outer = e.open(OP.loop, blockTypeOf(e, type));
  const control: Control = {
    entry: i,
    op: OP.loop,
    label: outer,
    height,
    type,
    detours: NO_DETOURS,
  };
  f.enter(control);
  e.facts.open();
  e.enter(height);
  if (body.site[i]! > 0) loopHead(f, control, i);

  const slow = e.open(OP.block, EMPTY_BLOCK);
  e.facts.open();
  const windows = e.plan.windows && callsNothing(body, i + 1, body.match[i]!);
  const inWindow = (pointer: Pointer): boolean => windows && pointer.memory === 0;
  const locals = shape.pointers.map((pointer, n) =>
    emitPointer(e, shape, pointer, n, slow, inWindow(pointer)),
  );
  const fuel = e.scratch(I32, FUEL);
  e.i32(shape.rounds);
  e.set(fuel);
  const fast = e.open(OP.loop, EMPTY_BLOCK);
  // What does not move keeps what the test has shown, but of windows nothing is kept from before a loop.
  const moving = shape.pointers.flatMap((pointer, n) =>
    pointer.step !== 0 || inWindow(pointer) ? [hintOf(pointer, locals[n]!, inWindow(pointer))] : [],
  );
  e.varying.fuelled(fuel, moving);
  const again = e.open(OP.block, EMPTY_BLOCK);
  e.facts.open();
  f.strip = { shape, locals };
  f.relabel(i, again);
  walk(f, i + 1, body.match[i]!);
  f.relabel(i, outer);
  f.strip = null;
  if (body.fallsInto(body.match[i]!)) e.branch(OP.br, exit);
  e.facts.close(true);
  e.close();
  emitRound(e, shape, locals, fuel);
  e.branch(OP.br_if, fast);
  e.branch(OP.br, outer);
  e.close();
  e.op(OP.unreachable); // nothing falls out of the fast loop
  e.facts.close(true);
  e.close();
  e.truncate(height);

  walk(f, i + 1, body.match[i]! + 1);
  e.close();
  e.facts.close(true);
}

function hintOf({ memory, step, reach, storesAt }: Pointer, local: number, inWindow: boolean): PointerHint {
  const right = storesAt < 0 ? WINDOW_READ : WINDOW_WRITE;
  return { local, memory: inWindow ? right : memory, step, reach };
}

/** Tests a pointer for all rounds, and makes it; gives its local. `inWindow`: it may be one into a window. */
function emitPointer(
  e: Emitter,
  shape: LoopShape,
  pointer: Pointer,
  n: number,
  slow: number,
  inWindow: boolean,
): number {
  const { memory, recipe, low, reach, step, stepLocal, storesAt } = pointer;
  const near = e.scratch(I64, 1);
  const local = e.scratch(I64, POINTERS + n);
  if (stepLocal >= 0) {
    e.get(stepLocal);
    e.i32(step);
    e.op(OP.i32_gt_u);
    e.branch(OP.br_if, slow);
  }
  for (const { op, operand } of recipe) emitRecipe(e, op, operand);
  const all = Math.abs(step) * (shape.rounds - 1);
  // Of one that goes down its lowest place is tested: where it would be below 0 it is huge.
  if (step < 0) {
    e.i32(all);
    e.op(OP.i32_sub);
  }
  e.op(OP.i64_extend_i32_u);
  e.set(near);
  let first = step < 0 ? low + all : low;
  if (inWindow) {
    emitTried(e, near, low, reach + all, storesAt >= 0, slow);
    first -= low;
  } else {
    e.get(near);
    emitIsPast(e, memory, low + reach + all);
    e.branch(OP.br_if, slow);
    e.get(e.role('base', memory));
    e.get(near);
    e.op(OP.i64_add);
  }
  if (first > 0) {
    emitI64Const(e.w, first);
    e.op(OP.i64_add);
  }
  if (storesAt >= 0 && e.plan.options.track) emitMark(e, storesAt);
  e.set(local);
  return local;
}

function emitRecipe(e: Emitter, op: Recipe['op'], operand: number): void {
  if (op === OP.local_get) e.get(operand);
  else if (op === OP.i32_const) e.i32(operand);
  else e.op(op);
}

/** A round of the fast version is over: pointers move, and the rounds left, less this one, are left on the stack. */
function emitRound(e: Emitter, shape: LoopShape, locals: readonly number[], fuel: number): void {
  shape.pointers.forEach(({ step, stepLocal }, n) => {
    if (step === 0) return;
    e.get(locals[n]!);
    if (stepLocal < 0) emitI64Const(e.w, Math.abs(step));
    else {
      e.get(stepLocal);
      e.op(OP.i64_extend_i32_u);
    }
    e.op(step < 0 ? OP.i64_sub : OP.i64_add);
    e.set(locals[n]!);
  });
  e.get(fuel);
  e.i32(1);
  e.op(OP.i32_sub);
  e.tee(fuel);
}
