/**
 * What the emitters of one function share while its code, or a continuation of it, is written: the flat body with what
 * is known of it, the open constructs, the label that everything leaves by, and the frame of each safepoint.
 * `function.ts` and `continuation.ts` say what is written; `control.ts`, `calls.ts` and `plain.ts` write the instructions.
 */
import { OP } from '../wasm/opcodes.ts';
import type { LocalRun } from '../wasm/sections/code.ts';
import { EMPTY_BLOCK, type FuncType, I32, type ValueType } from '../wasm/types.ts';
import { Addresses } from './addresses.ts';
import { BODY_LABEL, type FlatBody } from './body.ts';
import { HINTED_DEPTH_MAX } from './deep.ts';
import { blockTypeOf, type Emitter } from './emitter.ts';
import type { FrameShape } from './frames.ts';
import { Handlers } from './handlers.ts';
import type { Liveness } from './liveness.ts';
import type { LoopShape } from './loops.ts';
import { emitLimits, Place } from './memory.ts';

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
  /** try_table: blocks of ours through which its clauses go to loops, the outermost first. */
  detours: readonly { loop: number; label: number }[];
}

export const NO_DETOURS: Control['detours'] = [];

export interface FunctionInput {
  /** Index in the program's function index space. */
  index: number;
  type: FuncType;
  /** Types of all locals, parameters first. */
  locals: ArrayLike<ValueType>;
  /** Those beside the parameters, as they are declared. */
  runs: readonly LocalRun[];
}

/** The second version of a loop, while it is written. */
export interface Strip {
  readonly shape: LoopShape;
  /** The locals of its pointers. */
  readonly locals: readonly number[];
}

export class FunctionState {
  readonly e: Emitter;
  readonly body: FlatBody;
  readonly liveness: Liveness;
  input: FunctionInput = { index: 0, type: { params: [], results: [] }, locals: [], runs: [] };
  readonly handlers = new Handlers();
  controls: Control[] = [];
  /** Label behind which an unwind exception that passes by is thrown on; 0 where none is. */
  unwind = 0;
  /** The label of the body. */
  #body = 0;
  /** What the frame holds at each site, by site number; complete after the function was emitted. */
  shapes: FrameShape[] = [];
  /** Label ids of the program's blocks, by entry. */
  #labels: Int32Array = new Int32Array(256);
  /** By entry of a block: how many operands lie below its own. Complete after the function was emitted. */
  heights: Int32Array = new Int32Array(256);

  /** Where the accesses point; known before anything is written. */
  readonly addresses = new Addresses();
  /** Of the access being written. */
  readonly place = new Place();
  /** What is written is a continuation: of the values that were restored the verifier knows nothing. */
  continued = false;
  /** The loop whose poll lets a round pass, or -1. */
  #passed = -1;
  /** While the second version of a loop is written (strip.ts). */
  strip: Strip | null = null;

  constructor(emitter: Emitter, body: FlatBody, liveness: Liveness) {
    this.e = emitter;
    this.body = body;
    this.liveness = liveness;
  }

  /** Begins the function itself; or, `continued`, a continuation of it, of which shapes and heights are known. */
  begin(input: FunctionInput, continued: boolean): void {
    this.input = input;
    this.controls = [];
    this.unwind = 0;
    this.#body = 0;
    this.strip = null;
    this.#passed = -1;
    this.continued = continued;
    if (!continued) this.shapes = [];
    if (this.#labels.length < this.body.count) {
      this.#labels = new Int32Array(this.body.room);
      this.heights = new Int32Array(this.body.room);
    }
    this.e.varying.hinted = this.body.loopDepth <= HINTED_DEPTH_MAX;
    this.e.begin(input.type.params, continued ? 0 : input.type.params.length, input.runs);
  }

  /** In a continuation: the poll of the loop at entry i, which is written next, lets its first round pass. */
  pass(i: number): void {
    this.#passed = i;
  }

  /** The local that is 0 until the loop at entry i has been passed; -1 where its poll always asks. */
  armedAt(i: number): number {
    if (i !== this.#passed) return -1;
    this.#passed = -1;
    return this.e.newLocal(I32);
  }

  get control(): Control {
    return this.controls[this.controls.length - 1]!;
  }

  /** The body is written into constructs of its own, inside of the handlers' labels. */
  openBody(): void {
    const { e, body, input } = this;
    if (body.catches.size > 0) this.unwind = e.open(OP.block, EMPTY_BLOCK);
    this.#body = e.open(OP.block, blockTypeOf(e, { params: [], results: input.type.results }));
  }

  /** Behind the body: returns, and the handlers. */
  closeBody(): void {
    const { e } = this;
    e.close();
    e.op(OP.return);
    if (this.unwind > 0) {
      e.close();
      e.op(OP.throw, 0);
    }
    this.handlers.close(e, this.input.locals);
  }

  /** Opens the program's body. */
  enterBody(): void {
    const type = { params: [], results: this.input.type.results };
    this.enter({ entry: BODY_LABEL, op: OP.block, label: 0, height: 0, type, detours: NO_DETOURS });
  }

  enter(control: Control): void {
    this.controls.push(control);
    if (control.entry >= 0) this.#labels[control.entry] = control.label;
  }

  /** Branches to an open block of the program go to this label from here on. */
  relabel(entry: number, label: number): void {
    this.#labels[entry] = label;
  }

  /** The label id in the output of an open block of the program. */
  labelOf(entry: number): number {
    return entry === BODY_LABEL ? this.#body : this.#labels[entry]!;
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

  /** Base and limit read again behind entry i. */
  reload(i: number): void {
    this.e.facts.safepoint();
    emitLimits(this.e, this.liveness.reload[i]!);
  }
}
