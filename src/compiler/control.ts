/**
 * The program's blocks, loops, ifs and try_tables, and the branches to them.
 */
import { KIND_BEFORE } from '../abi/frame.ts';
import { assert } from '../base/assert.ts';
import { CATCH, CATCH_ALL, CATCH_ALL_REF, CATCH_REF } from '../wasm/instructions.ts';
import { OP } from '../wasm/opcodes.ts';
import { blockFuncType, I32 } from '../wasm/types.ts';
import { CAUGHT, type ResolvedCatch } from './body.ts';
import { poll } from './calls.ts';
import { blockTypeOf } from './emitter.ts';
import { emitBases, emitLimits } from './memory.ts';
import { type Control, type FunctionState, NO_DETOURS } from './state.ts';

/** block, loop, if and try_table. */
export function openBlock(f: FunctionState, i: number, op: number): void {
  const { e, body } = f;
  const type = blockFuncType(e.plan.types, body.a[i]!)!;
  if (op === OP.if) e.pop();
  const height = e.height - type.params.length;
  f.heights[i] = height;
  if (body.lastSite[i]! > 0) spillOutside(f, op, height);
  const control: Control = { entry: i, op, label: 0, height, type, detours: NO_DETOURS };
  control.label = op === OP.try_table ? openTry(f, control) : e.open(op, body.a[i]!);
  f.enter(control);
  e.facts.open();
  e.enter(height);
  if (op === OP.loop) rememberBases(f);
  if (op === OP.loop && body.site[i]! > 0) loopHead(f, control, i);
}

/** Of a loop without hints the verifier takes it that it may set any local. */
export function rememberBases({ e, body }: FunctionState): void {
  if (!e.varying.hinted) emitBases(e, body.memories);
}

/**
 * Sites inside a construct must find the operands outside it in their slots. An if's condition is above them, on the
 * real stack but no longer an operand.
 */
export function spillOutside(f: FunctionState, op: number, height: number): void {
  const { e } = f;
  const floor = f.control.height;
  if (op !== OP.if) {
    e.spill(floor, height);
  } else if (!e.isSpilled(floor, height)) {
    const condition = e.scratch(I32, 3);
    e.set(condition);
    e.spill(floor, height);
    e.get(condition);
  }
}

/** A loop that is a safepoint polls at its head. */
export function loopHead(f: FunctionState, control: Control, i: number): void {
  const { e } = f;
  const { params } = control.type;
  if (params.length > 0) e.stash(control.height);
  const site = f.body.site[i]!;
  poll(f, site, f.shape(site, f.body.start[i]!, KIND_BEFORE, e.height), f.armedAt(i));
  if (params.length > 0) e.unstash(control.height);
}

/**
 * try_table: the unwind exception passes it by, whatever it catches. Gives the label.
 *
 * A clause that names a loop goes a way round: to a block of ours about the try_table, behind which base and limit are
 * read again before the loop is entered. A loop's head may rely on them, and whoever threw may have moved the domain.
 */
export function openTry(f: FunctionState, control: Control): number {
  const { e } = f;
  const { w } = e;
  const clauses = f.body.catches.get(control.entry)!;
  openDetours(f, control, clauses);
  const ours = e.plan.options.suspend && clauses.some((c) => c.kind >= CATCH_ALL);
  w.u8(OP.try_table);
  e.blockType(blockTypeOf(e, control.type));
  w.u32(clauses.length + (ours ? 1 : 0));
  if (ours) {
    w.u8(CATCH);
    w.u32(0);
    w.u32(e.depth - f.unwind);
  }
  const detours = new Map(control.detours.map(({ loop, label }) => [loop, label]));
  for (const clause of clauses) emitClause(f, clause, detours.get(clause.target));
  return e.deeper();
}

/** Opens a block for each loop that a clause names, within one that the try_table's own results leave by. */
function openDetours(f: FunctionState, control: Control, clauses: readonly ResolvedCatch[]): void {
  const { e, body } = f;
  const loops = new Set(clauses.map((c) => c.target).filter((t) => t >= 0 && body.op[t] === OP.loop));
  if (loops.size === 0) return;
  const { params } = control.type;
  e.open(OP.block, blockTypeOf(e, control.type));
  control.detours = [...loops].map((loop) => {
    const results = blockFuncType(e.plan.types, body.a[loop]!)!.params;
    return { loop, label: e.open(OP.block, blockTypeOf(e, { params, results })) };
  });
}

/** Behind the try_table's end: the blocks of `openDetours` end, the one opened last first. */
function closeDetours(f: FunctionState, { detours }: Control): void {
  const { e } = f;
  if (detours.length === 0) return;
  e.branch(OP.br, detours[0]!.label - 1);
  for (const { loop } of detours.toReversed()) {
    e.close();
    emitLimits(e, f.body.memories);
    e.branch(OP.br, f.labelOf(loop));
  }
  e.close();
}

/** `detour`: the label that the clause goes to instead of its own. */
function emitClause(f: FunctionState, { kind, tag, target }: ResolvedCatch, detour?: number): void {
  const { w, depth } = f.e;
  assert(kind <= CATCH_ALL_REF, 'the decoder knows four kinds');
  w.u8(kind);
  if (kind <= CATCH_REF) w.u32(tag + 1); // behind the unwind tag
  w.u32(depth - (detour ?? f.labelOf(target)));
}

export function elseArm(f: FunctionState): void {
  const { e, control } = f;
  e.op(OP.else);
  e.facts.otherArm();
  e.truncate(control.height);
  e.pushAll(control.type.params);
}

export function endBlock(f: FunctionState, i: number): void {
  const { e } = f;
  const control = f.controls.pop()!;
  e.truncate(control.height);
  if (control.entry < 0) return; // the body's: its label is the caller's to close
  e.close();
  closeDetours(f, control);
  e.facts.close(f.body.joins(control.entry) || control.op !== f.body.op[control.entry]);
  e.pushAll(control.type.results);
  if ((f.body.flags[control.entry]! & CAUGHT) !== 0) f.reload(i);
}

/** br and br_if. */
export function branch(f: FunctionState, i: number, op: number): void {
  if (op === OP.br_if) f.e.pop();
  f.e.branch(op, f.labelOf(f.body.a[i]!));
}

export function branchTable(f: FunctionState, i: number): void {
  const { e } = f;
  e.pop();
  const targets = f.body.targets.get(i)!;
  e.w.u8(OP.br_table);
  e.w.u32(targets.length - 1);
  for (const target of targets) e.w.u32(e.depth - f.labelOf(target));
}

export function returns(f: FunctionState): void {
  f.e.op(OP.return);
}
