/**
 * Points of the resume version: the entries of a sequence of instructions that are safepoints or hold some in a nested
 * block. A sequence opens one label for each of its points, innermost the first, and branches to the one that holds
 * the site sought. A label ends right before its point: there all operands of the sequence are in their slots,
 * whichever way control came.
 */
import { OP } from '../wasm/opcodes.ts';
import { EMPTY_BLOCK } from '../wasm/types.ts';
import type { FlatBody } from './body.ts';
import { operandsInSlots } from './calls.ts';
import { emitRestore } from './frames.ts';
import type { Control, FunctionState } from './state.ts';

/** The points among entries [from, to) of one sequence. */
function pointsOf(body: FlatBody, from: number, to: number): number[] {
  const points: number[] = [];
  for (let i = from; i < to; i++) {
    if (body.site[i]! > 0 || body.lastSite[i]! > 0) points.push(i);
    if (body.match[i]! > i) i = body.match[i]!; // over a nested block
  }
  return points;
}

/** Opens one label a point of the construct; gives the id of the outermost. */
function openLabels(f: FunctionState, control: Control, points: number[]): number {
  control.points = points;
  control.passed = 0;
  const first = f.e.depth + 1;
  for (let p = 0; p < points.length; p++) f.e.open(OP.block, EMPTY_BLOCK);
  return first;
}

/** Branches to the point that holds the site sought, which one of them does. */
function dispatch(f: FunctionState, points: readonly number[], first: number): void {
  const { e, body } = f;
  const last = points.length - 1;
  points.forEach((i, p) => {
    const label = first + last - p; // the innermost label belongs to the first point
    if (p === last) {
      e.branch(OP.br, label);
      return;
    }
    f.soughtUpTo(Math.max(body.site[i]!, body.lastSite[i]!));
    e.branch(OP.br_if, label);
  });
}

/** Opens the labels of a sequence [from, to) of entries, and dispatches to the point that holds the site. */
export function openPoints(f: FunctionState, control: Control, from: number, to: number): void {
  const { e } = f;
  control.points = pointsOf(f.body, from, to);
  control.passed = 0;
  if (control.points.length === 0) return;
  e.stash(control.height);
  const first = openLabels(f, control, control.points);
  f.seeking();
  e.open(OP.if, EMPTY_BLOCK);
  dispatch(f, control.points, first);
  e.close();
  e.unstash(control.height);
}

/**
 * Like `openPoints` for the body of a loop whose poll is site `site`. The poll's own way in goes on behind this, as
 * does the way of those who seek nothing. The operands are in their slots.
 */
export function openLoopPoints(f: FunctionState, control: Control, loop: number, site: number): void {
  const { e } = f;
  const first = openLabels(f, control, pointsOf(f.body, loop + 1, f.body.match[loop]!));
  if (control.points.length === 0) return;
  e.get(f.site);
  e.i32(site);
  e.op(OP.i32_gt_u);
  e.open(OP.if, EMPTY_BLOCK);
  dispatch(f, control.points, first);
  e.close();
}

/**
 * Ends the label of the next point, entry i: both ways meet here, with all operands in their slots. A call's own stay
 * there; it takes them where it needs them.
 */
export function closePoint(f: FunctionState, control: Control, i: number): void {
  const { e } = f;
  e.stash(control.height);
  e.close();
  control.passed++;
  e.unstash(control.height, e.height - operandsInSlots(f, i));
  e.facts.forget(); // whoever was sought comes in here knowing nothing
  e.forgetOrigins();
}

/** At the function's start: by site, pops the frame's values into locals and slots. */
export function restoreFrames(f: FunctionState): void {
  const { e } = f;
  const { sites } = f.body;
  const go = e.open(OP.block, EMPTY_BLOCK);
  for (let s = sites; s >= 0; s--) e.open(OP.block, EMPTY_BLOCK);
  f.seeking();
  e.w.u8(OP.br_table);
  e.w.u32(sites + 1);
  for (let s = 0; s <= sites; s++) e.w.u32(s);
  e.w.u32(0);
  e.close();
  e.op(OP.unreachable); // no such site: the kernel never asks for one
  for (let s = 1; s <= sites; s++) {
    e.close();
    emitRestore(e, f.helpers, f.shapes[s]!, f.input.locals);
    if (s === 1 && f.body.entryPoll) f.found();
    if (s < sites) e.branch(OP.br, go);
  }
  e.close();
}
