/**
 * Runs of loads off one pointer, so that one check does for all of them. Where the program loads from p, then from
 * p + 4 and p + 8, and certainly comes from the first to the last with nothing in between that could be seen or could
 * trap otherwise, all the way may be checked at the first: what traps later would have trapped with nothing else done.
 * A store may be the last of a run, for all that could be seen before it is loads.
 *
 *     runs.begin(entries); runs.access(…) or runs.instruction(op) for each entry, in order
 *     runs.further[i]      the next access of i's run that ends further behind the same pointer, or -1
 */
import { OP, PREFIX_FD, PREFIX_FE } from '../wasm/opcodes.ts';
import { ACCESS_LOAD, ACCESS_NONE, ACCESS_STORE, OP_ACCESS } from '../wasm/optable.ts';
import { FIXED, KIND, OTHER } from './addresskinds.ts';
import { NOTHING } from './terms.ts';

/** Pointers that one run follows, and accesses of one pointer: each may be told apart where it traps. */
const POINTERS_MAX = 8;
const FURTHER_MAX = 4;

export class Runs {
  further: Int32Array = new Int32Array(256);
  // Pointers of the run: term, memory, the constant and reach of the first access, the last one in its chain and how many.
  #count = 0;
  readonly #term = new Int32Array(POINTERS_MAX);
  readonly #memory = new Int32Array(POINTERS_MAX);
  readonly #constant = new Int32Array(POINTERS_MAX);
  readonly #reach = new Float64Array(POINTERS_MAX);
  readonly #last = new Int32Array(POINTERS_MAX);
  readonly #links = new Int32Array(POINTERS_MAX);

  /** A function with so many entries begins. */
  begin(entries: number): void {
    if (this.further.length < entries) this.further = new Int32Array(entries * 2);
    this.further.fill(-1, 0, entries);
    this.#count = 0;
  }

  /** An instruction that is no access. */
  instruction(op: number): void {
    if (CALM[op] === 0) this.#count = 0;
  }

  /** An access at entry i to `term + constant`, which ends `end` bytes behind that. */
  access(i: number, op: number, memory: number, term: number, constant: number, end: number): void {
    const access = OP_ACCESS[op];
    const isPlain = access === ACCESS_LOAD || access === ACCESS_STORE;
    if (isPlain && term !== NOTHING) this.#follow(i, memory, term, constant, end);
    if (access !== ACCESS_LOAD) this.#count = 0;
  }

  #follow(i: number, memory: number, term: number, constant: number, end: number): void {
    for (let p = 0; p < this.#count; p++) {
      if (this.#term[p] !== term || this.#memory[p] !== memory) continue;
      const distance = (constant - this.#constant[p]!) | 0;
      if (distance < 0 || distance + end <= this.#reach[p]! || this.#links[p] === FURTHER_MAX) return;
      this.further[this.#last[p]!] = i;
      this.#last[p] = i;
      this.#links[p]!++;
      this.#reach[p] = distance + end;
      return;
    }
    if (this.#count === POINTERS_MAX) return;
    const p = this.#count++;
    this.#term[p] = term;
    this.#memory[p] = memory;
    this.#constant[p] = constant;
    this.#reach[p] = end;
    this.#last[p] = i;
    this.#links[p] = 0;
  }
}

/** By instruction: 1 for those that always go on to the next, and leave nothing that could be seen after a trap. */
const CALM: Uint8Array = calm();

function calm(): Uint8Array {
  const list = KIND.map((kind, op) => (kind === OTHER || OP_ACCESS[op] !== ACCESS_NONE ? 0 : 1));
  // What is FIXED is calm from the comparisons to the last sign extension, and in SIMD, but for what traps.
  for (let op = 0; op < list.length; op++) {
    const isNumeric = (op >= OP.i32_eqz && op <= OP.i64_extend32_s) || (op >= PREFIX_FD && op < PREFIX_FE);
    if (KIND[op] === FIXED && !isNumeric) list[op] = 0;
  }
  for (const op of [OP.i64_const, OP.f32_const, OP.f64_const, OP.global_get, OP.drop, OP.select])
    list[op] = 1;
  for (const op of [OP.i32_div_s, OP.i32_div_u, OP.i32_rem_s, OP.i32_rem_u]) list[op] = 0;
  for (const op of [OP.i64_div_s, OP.i64_div_u, OP.i64_rem_s, OP.i64_rem_u]) list[op] = 0;
  for (let op = OP.i32_trunc_f32_s; op <= OP.i32_trunc_f64_u; op++) list[op] = 0;
  for (let op = OP.i64_trunc_f32_s; op <= OP.i64_trunc_f64_u; op++) list[op] = 0;
  return list;
}
