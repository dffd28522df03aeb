/**
 * What the emitters of one function share while one of its two versions is written: the flat body with what is known
 * of it, the open constructs, the labels that everything leaves by, and the frame of each safepoint. `function.ts`
 * says what the versions are; `control.ts`, `points.ts`, `calls.ts` and `plain.ts` write the instructions.
 */
import { OP } from '../wasm/opcodes.ts';
import type { LocalRun } from '../wasm/sections/code.ts';
import type { FuncType, ValueType } from '../wasm/types.ts';
import { BODY_LABEL, type FlatBody } from './body.ts';
import type { Emitter } from './emitter.ts';
import type { FrameShape, Helpers } from './frames.ts';
import type { Liveness } from './liveness.ts';
import { emitReload } from './memory.ts';

/** One open construct of the program. */
export interface Control {
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
  /** try_table: blocks of ours through which its clauses go to loops, the outermost first. */
  detours: { loop: number; label: number }[];
}

export interface FunctionInput {
  /** Index in the program's function index space. */
  index: number;
  type: FuncType;
  /** Types of all locals, parameters first. */
  locals: ArrayLike<ValueType>;
  /** Those beside the parameters, as they are declared. */
  runs: readonly LocalRun[];
}

/** A tail call of the resume version, made outside all of the program's constructs. */
export interface Tail {
  label: number;
  /** The locals that hold its arguments. */
  locals: readonly number[];
}

export class FunctionState {
  readonly e: Emitter;
  readonly body: FlatBody;
  readonly liveness: Liveness;
  readonly helpers: Helpers;
  input: FunctionInput = { index: 0, type: { params: [], results: [] }, locals: [], runs: [] };
  /** The version being written is the resume version. */
  resume = false;
  controls: Control[] = [];
  /** Label behind which the unwind exception is thrown. */
  unwind = 0;
  /** Where branches to the body's own label go: 0, or in the resume version the label where `return` goes. */
  ret = 0;
  /** Resume version: the local that holds the site sought, 0 once it is found. */
  site = -1;
  /** Resume version: by entry. */
  readonly tails = new Map<number, Tail>();
  /** What the frame holds at each site, by site number; complete after a version was emitted. */
  shapes: FrameShape[] = [];
  /** Label ids of the program's blocks, by entry. */
  #labels: Int32Array = new Int32Array(256);

  constructor(emitter: Emitter, body: FlatBody, liveness: Liveness, helpers: Helpers) {
    this.e = emitter;
    this.body = body;
    this.liveness = liveness;
    this.helpers = helpers;
  }

  begin(input: FunctionInput, resume: boolean): void {
    this.input = input;
    this.resume = resume;
    this.controls = [];
    this.unwind = 0;
    this.ret = 0;
    this.tails.clear();
    if (!resume) this.shapes = [];
    if (this.#labels.length < this.body.count) this.#labels = new Int32Array(this.body.count * 2);
    this.e.begin(input.type.params, resume ? 0 : input.type.params.length, input.runs);
  }

  get control(): Control {
    return this.controls[this.controls.length - 1]!;
  }

  enter(control: Control): void {
    this.controls.push(control);
    if (control.entry >= 0) this.#labels[control.entry] = control.label;
  }

  /** The label id in the output of an open block of the program. */
  labelOf(entry: number): number {
    return entry === BODY_LABEL ? this.ret : this.#labels[entry]!;
  }

  /** The frame at a site; the operands are the lowest `operands` of those there now. */
  shape(site: number, offset: number, kind: number, operands: number): FrameShape {
    const known = this.shapes[site];
    if (known) return known;
    const shape = {
      functionIndex: this.input.index,
      offset,
      kind,
      locals: this.liveness.at(site),
      operands: this.e.operands(0, operands),
    };
    this.shapes[site] = shape;
    return shape;
  }

  /**
   * Base and limit read again behind entry i. In the resume version a dispatch may lead from anywhere to any later
   * point, as far as the verifier can see, so there they are always fresh.
   */
  reload(i: number): void {
    this.e.facts.safepoint();
    emitReload(this.e, this.resume ? this.body.memories : this.liveness.reload[i]!);
  }

  /** Leaves the site sought on the stack. */
  seeking(): void {
    this.e.get(this.site);
  }

  /** The site sought is here: from now on the code runs as the quick version would. */
  found(): void {
    this.e.i32(0);
    this.e.set(this.site);
  }

  /** Leaves on the stack whether the site sought is at most `site`, which 0 (none) is too. */
  soughtUpTo(site: number): void {
    this.e.get(this.site);
    this.e.i32(site);
    this.e.op(OP.i32_le_u);
  }
}
