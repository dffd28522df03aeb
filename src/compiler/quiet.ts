/**
 * Which functions can never be suspended: they hold no loop and call nothing but such functions, so they end soon and
 * reach no safepoint. A call of one is no safepoint either: it needs no handler, and what is known of addresses and
 * marks stays known behind it.
 *
 *     const quiet = new QuietFunctions(importedFunctions);
 *     quiet.begin(bytes); quiet.look(op, index); …; quiet.end();      for each function, in order
 *     quiet.find()                                                     by function index: 1 for quiet
 *
 * Why: RATIONALE.md#calls-of-functions-that-end-soon
 */
import { OP } from '../wasm/opcodes.ts';

/** Bytes of code that a call of a quiet function may run through, in all: time enough for a poll to wait. */
const WEIGHT_MAX = 4000;

/** Instructions that no quiet function has: safepoints, and what may take long. */
export const STOPPING: readonly number[] = [
  ...[OP.loop, OP.call_indirect, OP.return_call, OP.return_call_indirect],
  ...[OP.memory_grow, OP.memory_fill, OP.memory_copy, OP.memory_init],
  ...[OP.table_fill, OP.table_copy, OP.table_init, OP.table_grow],
  ...[OP.memory_atomic_wait32, OP.memory_atomic_wait64, OP.memory_atomic_notify],
];
const STOPS: ReadonlySet<number> = new Set(STOPPING);

interface Candidate {
  readonly index: number;
  weight: number;
  /** Callees not yet known to be quiet. */
  waiting: number;
}

export class QuietFunctions {
  readonly #imported: number;
  #index: number;
  #weight = 0;
  #fits = true;
  #callees: number[] = [];
  readonly #candidates = new Map<number, Candidate>();
  readonly #callers = new Map<number, number[]>();

  constructor(imported: number) {
    this.#imported = imported;
    this.#index = imported;
  }

  /** The next function begins; `bytes` of code. */
  begin(bytes: number): void {
    this.#weight = bytes;
    this.#fits = bytes <= WEIGHT_MAX;
    this.#callees = [];
  }

  /** An instruction of it: every call and all that is STOPPING must be told. `index`: the function that a call names. */
  look(op: number, index: number): void {
    if (!this.#fits) return;
    if (STOPS.has(op) || (op === OP.call && index < this.#imported)) this.#fits = false;
    else if (op === OP.call) this.#callees.push(index);
  }

  /** The function ends. */
  end(): void {
    const index = this.#index++;
    if (!this.#fits) return;
    this.#candidates.set(index, { index, weight: this.#weight, waiting: this.#callees.length });
    for (const callee of this.#callees) {
      const callers = this.#callers.get(callee);
      if (callers) callers.push(index);
      else this.#callers.set(callee, [index]);
    }
  }

  /** Callees before callers; who calls itself, however far around, never gets its turn. */
  find(): Uint8Array {
    const quiet = new Uint8Array(this.#index);
    const ready = [...this.#candidates.values()].filter((c) => c.waiting === 0);
    for (let next = ready.pop(); next; next = ready.pop()) {
      if (next.weight > WEIGHT_MAX) continue;
      quiet[next.index] = 1;
      for (const index of this.#callers.get(next.index) ?? []) {
        const caller = this.#candidates.get(index)!;
        caller.weight += next.weight;
        if (--caller.waiting === 0) ready.push(caller);
      }
    }
    return quiet;
  }
}
