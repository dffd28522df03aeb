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
 */

import { KIND_BEFORE, KIND_CALLING } from '../abi/frame.ts';
import { RESUME_MODE_OFFSET, RESUME_SITE_OFFSET } from '../abi/layout.ts';
import { SYSTEM } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { CATCH_ALL, CATCH_ALL_REF, CATCH_REF } from '../wasm/instructions.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, ADDRESS, OP_ACCESS, OP_POPS, OP_PUSHES } from '../wasm/optable.ts';
import {
  blockFuncType,
  EMPTY_BLOCK,
  FUNCREF,
  type FuncType,
  I32,
  I64,
  type ValueType,
} from '../wasm/types.ts';
import { BODY_LABEL, CAUGHT, type FlatBody, type ResolvedCatch } from './body.ts';
import type { Emitter } from './emitter.ts';
import {
  emitLoadResults,
  emitPoll,
  emitRestore,
  emitSave,
  emitSetFlag,
  emitStoreResults,
  type FrameShape,
  type Helpers,
} from './frames.ts';
import type { Liveness } from './liveness.ts';
import { addressType, emitAccess, emitAtomicAddress, emitGrow, emitReload, emitSize } from './memory.ts';

/** One open construct of the program. */
interface Control {
  /** Entry in the flat body; BODY_LABEL for the function's body. */
  entry: number;
  op: number;
  /** Label id in the output where branches to it go. */
  label: number;
  /** Operands below its own. */
  height: number;
  type: FuncType;
  /** Resume version: entries of its current sequence that are points, and how many are passed. */
  points: number[];
  passed: number;
}

export interface FunctionInput {
  /** Index in the program's function index space. */
  index: number;
  type: FuncType;
  /** Types of all locals, parameters first. */
  locals: readonly ValueType[];
}

export class FunctionCompiler {
  readonly #e: Emitter;
  readonly #body: FlatBody;
  readonly #liveness: Liveness;
  readonly #helpers: Helpers;
  #input: FunctionInput = { index: 0, type: { params: [], results: [] }, locals: [] };
  #resume = false;
  #controls: Control[] = [];
  /** Label behind which the unwind exception is thrown. */
  #unwind = 0;
  /** Resume version: where `return` goes; the local that holds the site sought; labels of tail calls by entry. */
  #ret = 0;
  #site = -1;
  #tails = new Map<number, number>();
  /** What the frame holds at each site, by site number; complete after a version was emitted. */
  shapes: FrameShape[] = [];

  constructor(emitter: Emitter, body: FlatBody, liveness: Liveness, helpers: Helpers) {
    this.#e = emitter;
    this.#body = body;
    this.#liveness = liveness;
    this.#helpers = helpers;
  }

  /** Emits the quick version into the emitter. The body is loaded and, with `suspend`, its liveness known. */
  quick(input: FunctionInput): void {
    const e = this.#begin(input, false, input.type.params.length);
    const { suspend } = e.plan.options;
    emitReload(e, this.#liveness.entryRoles);
    const escapes = suspend && (this.#body.hasSites || this.#body.catches.size > 0);
    if (escapes) this.#unwind = e.open(OP.block, EMPTY_BLOCK);
    if (suspend && this.#body.entryPoll) this.#poll(this.#entryShape());
    this.#run(0);
    if (escapes) {
      e.op(OP.return);
      e.close();
      e.op(OP.throw, 0);
    }
  }

  /** Emits the resume version into the emitter, after the quick version of the same body. */
  resume(input: FunctionInput): void {
    const e = this.#begin(input, true, 0);
    const { results } = input.type;
    this.#site = e.newLocal(I32);
    e.op(OP.global_get, e.plan.hdrGlobal);
    e.systemAccess(OP.i32_load, RESUME_SITE_OFFSET);
    e.set(this.#site);
    this.#restoreFrames();
    emitReload(e, this.#body.memories);
    this.#unwind = e.open(OP.block, EMPTY_BLOCK);
    this.#ret = e.open(OP.block, blockTypeOf(e, { params: [], results }));
    const tails: number[] = [];
    for (let i = 0; i < this.#body.count; i++) {
      const op = this.#body.op[i]!;
      if (op === OP.return_call || op === OP.return_call_indirect) tails.push(i);
    }
    for (const i of tails.toReversed()) this.#tails.set(i, e.open(OP.block, EMPTY_BLOCK));
    this.#run(this.#ret);
    if (tails.length > 0) e.branch(OP.br, this.#ret);
    for (const i of tails) {
      e.close();
      this.#tailCall(i);
      e.branch(OP.br, this.#ret);
    }
    e.close();
    emitStoreResults(e, results);
    e.op(OP.return);
    e.close();
    e.op(OP.throw, 0);
  }

  #begin(input: FunctionInput, resume: boolean, parameters: number): Emitter {
    this.#input = input;
    this.#resume = resume;
    this.#controls = [];
    this.#unwind = 0;
    this.#ret = 0;
    this.#tails.clear();
    if (!resume) this.shapes = [];
    this.#e.begin(input.locals, parameters);
    return this.#e;
  }

  /** The program's instructions, from the first to the body's end. `label`: where branches to the body's label go. */
  #run(label: number): void {
    const body = this.#body;
    const e = this.#e;
    const top: Control = {
      entry: BODY_LABEL,
      op: OP.block,
      label,
      height: 0,
      type: { params: [], results: this.#input.type.results },
      points: [],
      passed: 0,
    };
    this.#controls.push(top);
    if (this.#resume) this.#openPoints(top, 0, body.count - 1);
    for (let i = 0; i < body.count; i++) {
      const control = this.#controls.at(-1)!;
      if (this.#resume && control.points[control.passed] === i) this.#closePoint(control);
      e.note(body.start[i]!);
      this.#instruction(i, body.op[i]!);
    }
    assert(this.#controls.length === 0, 'every block was closed');
  }

  // ---- points of the resume version ----

  /** Opens the labels of a sequence [from, to) of entries, and dispatches to the point that holds the site. */
  #openPoints(control: Control, from: number, to: number): void {
    const body = this.#body;
    const e = this.#e;
    const points: number[] = [];
    for (let i = from; i < to; i++) {
      if (body.site[i]! > 0 || body.lastSite[i]! > 0) points.push(i);
      if (body.match[i]! > i) i = body.match[i]!; // over a nested block
    }
    control.points = points;
    control.passed = 0;
    if (points.length === 0) return;
    e.stash(control.height);
    const first = e.depth + 1;
    for (let p = 0; p < points.length; p++) e.open(OP.block, EMPTY_BLOCK);
    e.get(this.#site);
    e.open(OP.if, EMPTY_BLOCK);
    // The innermost label belongs to the first point.
    points.forEach((i, p) => {
      const label = first + points.length - 1 - p;
      if (p === points.length - 1) {
        e.branch(OP.br, label);
        return;
      }
      e.get(this.#site);
      e.w.u8(OP.i32_const);
      e.w.s32(Math.max(body.site[i]!, body.lastSite[i]!));
      e.op(OP.i32_le_u);
      e.branch(OP.br_if, label);
    });
    e.close();
    e.unstash(control.height);
  }

  /** Ends the label of the next point: both ways meet here, with all operands in their slots. */
  #closePoint(control: Control): void {
    const e = this.#e;
    e.stash(control.height);
    e.close();
    control.passed++;
    e.unstash(control.height);
    e.facts.forget(); // whoever was sought comes in here knowing nothing
    e.origins.fill(-1);
  }

  #seeking(): void {
    this.#e.get(this.#site);
  }

  #found(): void {
    const e = this.#e;
    e.w.u8(OP.i32_const);
    e.w.s32(0);
    e.set(this.#site);
  }

  /** At the function's start: by site, pops the frame's values into locals and slots. */
  #restoreFrames(): void {
    const e = this.#e;
    const { sites } = this.#body;
    const go = e.open(OP.block, EMPTY_BLOCK);
    for (let s = sites; s >= 0; s--) e.open(OP.block, EMPTY_BLOCK);
    e.get(this.#site);
    e.w.u8(OP.br_table);
    e.w.u32(sites + 1);
    for (let s = 0; s <= sites; s++) e.w.u32(s);
    e.w.u32(0);
    e.close();
    e.op(OP.unreachable); // no such site: the kernel never asks for one
    for (let s = 1; s <= sites; s++) {
      e.close();
      emitRestore(e, this.#helpers, this.shapes[s]!, this.#input.locals);
      if (s === 1 && this.#body.entryPoll) this.#found();
      if (s < sites) e.branch(OP.br, go);
    }
    e.close();
  }

  // ---- safepoints ----

  #entryShape(): FrameShape {
    return this.#shape(1, this.#body.start[0]!, KIND_BEFORE, 0);
  }

  /** The frame at a site; the operands are the lowest `operands` of those there now. */
  #shape(site: number, offset: number, kind: number, operands: number): FrameShape {
    const known = this.shapes[site];
    if (known) return known;
    const shape = {
      functionIndex: this.#input.index,
      offset,
      kind,
      locals: this.#liveness.at(site),
      operands: this.#e.types.slice(0, operands),
    };
    this.shapes[site] = shape;
    return shape;
  }

  #poll(shape: FrameShape): void {
    const e = this.#e;
    e.facts.safepoint();
    emitPoll(e);
    e.open(OP.if, EMPTY_BLOCK);
    emitSave(e, this.#helpers, shape, this.#input.locals);
    e.branch(OP.br, this.#unwind);
    e.close();
  }

  /**
   * A call (its operands on the stack) that may unwind. `make` writes it; `args` operands are consumed. The operands
   * below them, or with KIND_BEFORE all, are in their slots when the handler looks.
   */
  #guarded(
    site: number,
    offset: number,
    kind: number,
    args: number,
    results: readonly ValueType[],
    make: () => void,
  ): void {
    const e = this.#e;
    const kept = kind === KIND_BEFORE ? e.height : e.height - args;
    e.spill(this.#controls.at(-1)!.height, kept);
    const shape = this.#shape(site, offset, kind, kept);
    const params = e.types.slice(e.height - args);
    const done = e.open(OP.block, blockTypeOf(e, { params, results }));
    e.open(OP.block, blockTypeOf(e, { params, results: [] }));
    e.w.u8(OP.try_table);
    e.w.s33(blockTypeOf(e, { params, results }));
    e.w.u32(1);
    e.w.u8(0); // catch
    e.w.u32(0); // the unwind tag
    e.w.u32(0); // label: the block just opened
    e.depth++;
    e.note(offset);
    make();
    e.close();
    e.branch(OP.br, done);
    e.close();
    emitSave(e, this.#helpers, shape, this.#input.locals);
    e.branch(OP.br, this.#unwind);
    e.close();
  }

  /** call and call_indirect. `args` counts the table's index too. */
  #call(i: number, args: number, results: readonly ValueType[], make: () => void): void {
    const e = this.#e;
    const body = this.#body;
    const site = body.site[i]!;
    const offset = body.start[i]!;
    if (site === 0) {
      make();
    } else if (!this.#resume) {
      this.#guarded(site, offset, KIND_CALLING, args, results, make);
    } else {
      // The arguments are on the stack: take them off, they are wanted in one arm only.
      const first = e.height - args;
      e.stash(first);
      this.#seeking();
      const types = e.types;
      const spilled = e.spilled;
      const origins = e.origins;
      e.open(OP.if, blockTypeOf(e, { params: [], results }));
      this.#found();
      e.op(OP.global_get, e.plan.hdrGlobal);
      e.systemAccess(OP.i32_load, RESUME_MODE_OFFSET);
      e.open(OP.if, EMPTY_BLOCK);
      e.op(OP.call, SYSTEM.rethrow);
      e.op(OP.unreachable);
      e.close();
      emitLoadResults(e, results);
      e.w.u8(OP.else);
      e.types = [...types];
      e.spilled = [...spilled];
      e.origins = [...origins];
      e.unstash(first);
      this.#guarded(site, offset, KIND_CALLING, args, results, make);
      e.types = types;
      e.spilled = spilled;
      e.origins = origins;
      e.close();
    }
    if (args > 0) e.pop(args);
    e.push(...results);
    this.#reload(i);
  }

  #tailCall(i: number): void {
    const e = this.#e;
    const body = this.#body;
    const indirect = body.op[i] === OP.return_call_indirect;
    for (const local of this.#tailLocals.get(i)!) e.get(local);
    if (indirect) this.#callIndirect(OP.call_indirect, i);
    else e.op(OP.call, e.plan.functionIndex(body.a[i]!));
  }

  /** Resume version: the locals that hold a tail call's arguments, by entry. */
  readonly #tailLocals = new Map<number, number[]>();

  #callIndirect(op: number, i: number): void {
    const { w } = this.#e;
    w.u8(op);
    w.u32(this.#body.a[i]!);
    w.u32(this.#body.b[i]!);
  }

  /** return_call and return_call_indirect, whose frames are nobody's to save. */
  #returnCall(i: number, args: number): void {
    const e = this.#e;
    if (!this.#resume) {
      if (this.#body.op[i] === OP.return_call) e.op(OP.return_call, e.plan.functionIndex(this.#body.a[i]!));
      else this.#callIndirect(OP.return_call_indirect, i);
      e.pop(args);
      return;
    }
    // A real tail call cannot leave the results where the kernel looks for them; a call outside all of the
    // program's try_tables, whose unwinding nobody records, means the same.
    const locals = e.types.slice(e.height - args).map((type) => e.newLocal(type));
    for (const local of locals.toReversed()) e.set(local);
    this.#tailLocals.set(i, locals);
    e.branch(OP.br, this.#tails.get(i)!);
    e.pop(args);
  }

  /**
   * Base and limit read again behind entry i. In the resume version a dispatch may lead from anywhere to any later
   * point, as far as the verifier can see, so there they are always fresh.
   */
  #reload(i: number): void {
    this.#e.facts.safepoint();
    emitReload(this.#e, this.#resume ? this.#body.memories : this.#liveness.reload[i]!);
  }

  // ---- instructions ----

  #instruction(i: number, op: number): void {
    const e = this.#e;
    const body = this.#body;
    switch (op) {
      case OP.block:
      case OP.loop:
      case OP.if:
      case OP.try_table:
        return this.#openBlock(i, op);
      case OP.else:
        return this.#else(i);
      case OP.end:
        return this.#end(i);
      case OP.br:
      case OP.br_if:
        if (op === OP.br_if) e.pop();
        return e.branch(op, this.#labelOf(body.a[i]!));
      case OP.br_table: {
        e.pop();
        const targets = body.targets.get(i)!;
        e.w.u8(op);
        e.w.u32(targets.length - 1);
        for (const target of targets) e.w.u32(e.depth - this.#labelOf(target));
        return;
      }
      case OP.return:
        if (this.#resume) e.branch(OP.br, this.#ret);
        else e.op(op);
        return;
      case OP.call: {
        const type = e.plan.functionType(body.a[i]!);
        return this.#call(i, type.params.length, type.results, () =>
          e.op(op, e.plan.functionIndex(body.a[i]!)),
        );
      }
      case OP.call_indirect: {
        const type = e.plan.types[body.a[i]!]!;
        return this.#call(i, type.params.length + 1, type.results, () => this.#callIndirect(op, i));
      }
      case OP.return_call:
        return this.#returnCall(i, e.plan.functionType(body.a[i]!).params.length);
      case OP.return_call_indirect:
        return this.#returnCall(i, e.plan.types[body.a[i]!]!.params.length + 1);
      default:
        if (OP_ACCESS[op] !== ACCESS_NONE) return this.#access(i, op);
        return this.#plain(i, op);
    }
  }

  #labelOf(entry: number): number {
    for (let c = this.#controls.length - 1; c >= 0; c--) {
      const control = this.#controls[c]!;
      if (control.entry === entry) return control.label;
    }
    return assert(false, 'branches go to open blocks') as never;
  }

  #openBlock(i: number, op: number): void {
    const e = this.#e;
    const body = this.#body;
    const type = blockFuncType(e.plan.types, body.a[i]!)!;
    const holdsSites = body.lastSite[i]! > 0;
    const seeks = this.#resume && holdsSites;
    if (op === OP.if) {
      e.pop();
      if (seeks) this.#seekingCondition(i);
    }
    const height = e.height - type.params.length;
    if (holdsSites) {
      // Sites inside must find the operands out here in their slots. The if's condition is above them, on the
      // real stack but no longer an operand.
      const floor = this.#controls.at(-1)!.height;
      if (op !== OP.if) e.spill(floor, height);
      else if (e.spilled.slice(floor, height).includes(false)) {
        const condition = e.scratch(I32, 3);
        e.set(condition);
        e.spill(floor, height);
        e.get(condition);
      }
    }
    const control: Control = { entry: i, op, label: 0, height, type, points: [], passed: 0 };
    if (op === OP.try_table) control.label = this.#openTry(i, body.a[i]!);
    else control.label = e.open(op, body.a[i]!);
    this.#controls.push(control);
    e.facts.open(op === OP.loop);
    e.origins.fill(-1, op === OP.loop ? 0 : height);
    for (let h = height; h < e.height; h++) e.spilled[h] = false;
    if (op === OP.loop && body.site[i]! > 0) this.#loopHead(control, i);
    else if (seeks)
      this.#openPoints(
        control,
        i + 1,
        op === OP.if && body.elseAt[i]! >= 0 ? body.elseAt[i]! : body.match[i]!,
      );
  }

  /** When a site is sought in an if, the arm is chosen by the site, not by the condition on the stack. */
  #seekingCondition(i: number): void {
    const e = this.#e;
    const body = this.#body;
    const condition = e.scratch(I32, 3);
    const elseAt = body.elseAt[i]!;
    const thenLast = body.lastSite[elseAt >= 0 ? elseAt : i]!;
    e.set(condition);
    e.get(this.#site);
    e.w.u8(OP.i32_const);
    e.w.s32(thenLast);
    e.op(OP.i32_le_u);
    e.get(condition);
    e.get(this.#site);
    e.op(OP.select); // site ≠ 0 ? site ≤ last of the first arm : condition
  }

  /** A loop that is a safepoint: its poll is the first point of its sequence. */
  #loopHead(control: Control, i: number): void {
    const e = this.#e;
    const site = this.#body.site[i]!;
    const { params } = control.type;
    const shapeAt = (): FrameShape => this.#shape(site, this.#body.start[i]!, KIND_BEFORE, e.height);
    if (params.length > 0) e.stash(control.height);
    if (this.#resume) {
      // The poll is a point without an instruction. Who was saved here has answered it: asking again at once would
      // let a word that stays raised stop the program for ever.
      this.#openLoopPoints(control, i, site);
      this.#seeking();
      e.open(OP.if, EMPTY_BLOCK);
      this.#found();
      e.w.u8(OP.else);
      this.#poll(shapeAt());
      e.close();
    } else {
      this.#poll(shapeAt());
    }
    if (params.length > 0) e.unstash(control.height);
  }

  /** Like `openPoints` for a loop's body, with the poll in front; ends the poll's own label at once. */
  #openLoopPoints(control: Control, i: number, site: number): void {
    const e = this.#e;
    const body = this.#body;
    const points: number[] = [];
    for (let j = i + 1; j < body.match[i]!; j++) {
      if (body.site[j]! > 0 || body.lastSite[j]! > 0) points.push(j);
      if (body.match[j]! > j) j = body.match[j]!;
    }
    control.points = points;
    control.passed = 0;
    const first = e.depth + 1;
    for (let p = 0; p < points.length; p++) e.open(OP.block, EMPTY_BLOCK);
    if (points.length === 0) return;
    // Sites past the poll's: on to their points. The poll itself, and no site at all, fall through.
    e.get(this.#site);
    e.w.u8(OP.i32_const);
    e.w.s32(site);
    e.op(OP.i32_gt_u);
    e.open(OP.if, EMPTY_BLOCK);
    points.forEach((j, p) => {
      const label = first + points.length - 1 - p;
      if (p === points.length - 1) {
        e.branch(OP.br, label);
        return;
      }
      e.get(this.#site);
      e.w.u8(OP.i32_const);
      e.w.s32(Math.max(body.site[j]!, body.lastSite[j]!));
      e.op(OP.i32_le_u);
      e.branch(OP.br_if, label);
    });
    e.close();
  }

  /** try_table: the unwind exception passes it by, whatever it catches. */
  #openTry(i: number, blockType: number): number {
    const e = this.#e;
    const clauses = this.#body.catches.get(i)!;
    const ours = e.plan.options.suspend && clauses.some((c) => c.kind >= CATCH_ALL);
    e.w.u8(OP.try_table);
    e.w.s33(blockType);
    e.w.u32(clauses.length + (ours ? 1 : 0));
    if (ours) {
      e.w.u8(0);
      e.w.u32(0);
      e.w.u32(e.depth - this.#unwind);
    }
    for (const clause of clauses) this.#clause(clause);
    return ++e.depth;
  }

  #clause(clause: ResolvedCatch): void {
    const { w } = this.#e;
    w.u8(clause.kind);
    if (clause.kind <= CATCH_REF) w.u32(clause.tag + 1);
    w.u32(this.#e.depth - this.#labelOf(clause.target));
    assert(clause.kind <= CATCH_ALL_REF, 'the decoder knows four kinds');
  }

  #else(i: number): void {
    const e = this.#e;
    const control = this.#controls.at(-1)!;
    e.w.u8(OP.else);
    e.facts.otherArm();
    e.truncate(control.height);
    e.push(...control.type.params);
    const opened = this.#body.match[i]!;
    if (this.#resume && this.#body.lastSite[opened]! > 0) {
      this.#openPoints(control, i + 1, this.#body.match[opened]!);
    }
  }

  #end(i: number): void {
    const e = this.#e;
    const control = this.#controls.pop()!;
    e.truncate(control.height);
    if (control.entry === BODY_LABEL) return; // its label is the caller's to close
    e.close();
    e.facts.close();
    e.push(...control.type.results);
    if ((this.#body.flags[control.entry]! & CAUGHT) !== 0) this.#reload(i);
  }

  #access(i: number, op: number): void {
    const e = this.#e;
    const body = this.#body;
    const memory = body.a[i]!;
    const pops = OP_POPS[op]!.map((type) => (type === ADDRESS ? addressType(e, memory) : type));
    const pushes = OP_PUSHES[op]!;
    if (!e.plan.options.isolate) {
      e.w.rawRange(body.bytes, body.start[i]!, body.end[i]!);
    } else if (op === OP.memory_atomic_notify) {
      const count = e.scratch(I32, 9);
      e.set(count);
      emitAtomicAddress(e, body, i);
      e.get(count);
      e.op(OP.call, SYSTEM.notify);
      this.#reload(i);
    } else if (op === OP.memory_atomic_wait32 || op === OP.memory_atomic_wait64) {
      return this.#wait(i, op);
    } else {
      emitAccess(e, body, i);
    }
    e.pop(pops.length);
    e.push(...pushes);
  }

  /** memory.atomic.wait: the kernel's, and a safepoint at which the instruction is begun again. */
  #wait(i: number, op: number): void {
    const e = this.#e;
    const body = this.#body;
    const width = op === OP.memory_atomic_wait32 ? 4 : 8;
    const make = (): void => {
      const timeout = e.scratch(I64, 9);
      const expected = e.scratch(I64, 10);
      e.set(timeout);
      if (width === 4) e.op(OP.i64_extend_i32_u);
      e.set(expected);
      if (!e.plan.memories[body.a[i]!]!.shared) {
        emitAtomicAddress(e, body, i);
        e.note(body.start[i]!, 'expected shared memory');
        e.op(OP.unreachable);
        return;
      }
      emitAtomicAddress(e, body, i);
      e.get(expected);
      e.get(timeout);
      e.w.u8(OP.i32_const);
      e.w.s32(width);
      e.op(OP.call, SYSTEM.wait);
    };
    if (this.#resume) this.#found();
    if (body.site[i]! > 0) this.#guarded(body.site[i]!, body.start[i]!, KIND_BEFORE, 3, [I32], make);
    else make();
    e.pop(3);
    e.push(I32);
    this.#reload(i);
  }

  /** Everything without control flow and without a memarg. */
  #plain(i: number, op: number): void {
    const e = this.#e;
    const body = this.#body;
    const { plan } = e;
    const a = body.a[i]!;
    const b = body.b[i]!;
    const copy = (): void => e.w.rawRange(body.bytes, body.start[i]!, body.end[i]!);
    switch (op) {
      case OP.drop:
        e.pop();
        return copy();
      case OP.select:
        e.pop(2);
        e.copies(-1); // the operand left has the result's type, but may be the other one
        return copy();
      case OP.select_t:
        e.pop(3);
        e.push(body.selects.get(i)!);
        return copy();
      case OP.local_get:
        e.push(this.#input.locals[a]!);
        e.copies(a);
        return copy();
      case OP.local_set:
        e.pop();
        e.assign(a);
        return copy();
      case OP.local_tee:
        e.assign(a);
        e.copies(a);
        return copy();
      case OP.global_get:
        e.push(plan.globals[a]!.type);
        return copy();
      case OP.global_set:
        e.pop();
        return copy();
      case OP.table_get:
        e.pop();
        e.push(plan.tables[a]!.element);
        return copy();
      case OP.table_set:
        e.pop(2);
        return copy();
      case OP.table_size:
        e.push(plan.tables[a]!.is64 ? I64 : I32);
        return copy();
      case OP.table_grow:
        e.pop(2);
        e.push(plan.tables[a]!.is64 ? I64 : I32);
        return copy();
      case OP.table_fill:
      case OP.table_copy:
      case OP.table_init:
        e.pop(3);
        return copy();
      case OP.ref_null:
        e.push(a);
        return copy();
      case OP.ref_is_null:
        e.pop();
        e.push(I32);
        return copy();
      case OP.ref_func:
        e.push(FUNCREF);
        return e.op(op, plan.functionIndex(a));
      case OP.throw:
        e.pop(plan.types[plan.tags[a]!.type]!.params.length);
        return e.op(op, a + 1);
      case OP.throw_ref:
        e.pop();
        return copy();
      case OP.memory_size:
        if (plan.options.isolate) emitSize(e, a);
        else copy();
        e.push(addressType(e, a));
        return;
      case OP.memory_grow:
        if (!plan.options.isolate) return copy();
        emitGrow(e, a);
        return this.#reload(i);
      case OP.memory_fill:
      case OP.memory_copy:
      case OP.memory_init:
        e.pop(3);
        if (!plan.options.isolate) return copy();
        if (op === OP.memory_fill) e.op(OP.call, plan.template('fill', a, 0));
        else if (op === OP.memory_copy) e.op(OP.call, plan.template('copy', a, b));
        else e.op(OP.call, plan.template('init', b, a));
        return this.#reload(i);
      case OP.data_drop:
        copy();
        return emitSetFlag(e, plan.dataFlags + a * 16);
      case OP.elem_drop:
        copy();
        return emitSetFlag(e, plan.elementFlags + a * 16);
      case OP.unreachable:
        return copy();
      default: {
        const pops = OP_POPS[op];
        const pushes = OP_PUSHES[op];
        assert(pops && pushes, 'every other instruction has a fixed signature');
        if (pops.length > 0) e.pop(pops.length);
        e.push(...pushes);
        return copy();
      }
    }
  }
}

/** A block type as an s33, from the output's types. */
export function blockTypeOf(e: Emitter, type: FuncType): number {
  if (type.params.length === 0 && type.results.length === 0) return EMPTY_BLOCK;
  if (type.params.length === 0 && type.results.length === 1) return type.results[0]! - 128;
  return e.plan.typeIndex(type.params, type.results);
}
