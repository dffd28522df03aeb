/**
 * Innermost loops whose addresses move by the same few bytes each round, as LLVM, rustc and AssemblyScript write them:
 * `LoopWatch` looks on while addresses.ts goes over the body, and at the end knows for each such loop the pointers that
 * a second version of it can keep, and for how many rounds one test of them is enough. strip.ts writes that version.
 *
 * A local moves by a constant when at every branch back to the head it holds its value at the head plus that
 * constant. An address whose term is made of such locals and of values from before the loop moves by what they do.
 * Addresses with the same term share a pointer, for they differ by constants.
 *
 * Why: RATIONALE.md#loops-in-two-versions
 */
import { MARK_SLOP_BYTES } from '../abi/layout.ts';
import { PAGE_BYTES } from '../base/limits.ts';
import { OP } from '../wasm/opcodes.ts';
import { OP_ACCESS_BYTES, OP_WRITES } from '../wasm/optable.ts';
import type { Addresses } from './addresses.ts';
import type { FlatBody } from './body.ts';
import { LoopScan } from './loopscan.ts';
import { NOTHING, type Terms } from './terms.ts';

/** Pointers of one loop: each takes a register. */
const POINTERS_MAX = 8;
/** Rounds between two tests: a poll waits no longer. */
const ROUNDS_MAX = 1024;
/** The same where each round calls, in all, functions that end soon (quiet.ts) so often: they may take a microsecond each. */
const CALLING_ROUNDS_MAX = 128;
/** With fewer accesses for each call, what must survive the call, pointers and count, costs more than it saves. */
const CALL_ACCESSES_MIN = 4;
/** With fewer rounds the test costs more than it saves. */
const ROUNDS_MIN = 4;
/** How far a pointer that is only read through may move between two tests. */
const STRETCH_MAX = 32768;
/** A step that is a value from before the loop is tested to be at most this, when the pointer is stored through or not. */
const STORING_STEP_MAX = 256;
const READING_STEP_MAX = 2048;
/** Addresses that differ by more than this do not share a pointer. */
const SPREAD_MAX = 16384;

/** A value at the head of a loop: instructions that leave it on the stack. */
export interface Recipe {
  readonly op: number;
  /** Local, constant or none. */
  readonly operand: number;
}

export interface Pointer {
  readonly memory: number;
  /** Leaves the i32 value x at the loop's head; the pointer is base + x + low. */
  readonly recipe: readonly Recipe[];
  readonly low: number;
  /** Bytes from the pointer that a round touches. */
  readonly reach: number;
  /** Bytes it moves each round, down where that is negative; with a `stepLocal` at most. */
  readonly step: number;
  /** i32 local, not set in the loop, by which it moves; -1 where it moves by `step`. */
  readonly stepLocal: number;
  /** From the pointer to the first byte stored to, or -1: nothing is. */
  readonly storesAt: number;
}

export interface LoopShape {
  readonly entry: number;
  readonly rounds: number;
  readonly pointers: readonly Pointer[];
  /** By entry of an access: its pointer, and how far behind it (the memarg's offset included). */
  readonly accesses: ReadonlyMap<number, { readonly pointer: number; readonly delta: number }>;
}

/** What a local moves by; a constant that is not a number: nothing that can be told. */
interface Step {
  readonly term: number;
  readonly constant: number;
}
const NO_STEP: Step = { term: NOTHING, constant: Number.NaN };

/** An innermost loop while the look passes over it. */
interface Watched {
  entry: number;
  varying: readonly number[];
  /** Head symbols of the varying i32 locals, and what they move by: a term and a constant; none is known before a branch back is seen. */
  heads: number[];
  steps: (Step | undefined)[];
  /** Symbols from this one on were made in the loop. */
  firstSymbol: number;
  accesses: number[];
  /** Calls of functions that end soon. */
  calls: number;
  /** Locals that hold a term at the head: term, local and constant of each; of those with one term the last counts. */
  holders: number[];
}

export class LoopWatch {
  // Loops in the order of the text: the locals set in them, and those read in the ones that may be worth it, else null.
  readonly #varying: (readonly number[])[] = [];
  readonly #read: (readonly number[] | null)[] = [];
  /** How many of them were opened. */
  #opened = 0;
  #body!: FlatBody;
  /** The innermost loops that are open: at most one is of use. */
  readonly #open: (Watched | null)[] = [];
  /** The innermost open loop, if it is watched. */
  #now: Watched | null = null;
  readonly #done: Watched[] = [];
  readonly #scan = new LoopScan();

  /** Looks for the locals that each loop sets. */
  begin(body: FlatBody): void {
    this.#body = body;
    this.#opened = 0;
    this.#now = null;
    this.#open.length = 0;
    this.#done.length = 0;
    if (body.loops > 0) this.#scan.run(body, this.#varying, this.#read);
  }

  /** Some open loop is watched. */
  get watches(): boolean {
    return this.#now !== null;
  }

  /** A loop opens: the locals it sets get symbols, and it is watched when it may be worth it. */
  open(addresses: Addresses, entry: number, params: number): void {
    const firstSymbol = addresses.terms.count;
    const n = this.#opened++;
    const varying = this.#varying[n]!;
    addresses.renew(varying);
    const read = params === 0 ? this.#read[n]! : null;
    this.#now = read && watch(addresses, entry, firstSymbol, varying, read);
    this.#open.push(this.#now);
  }

  /** A loop ends. Gives whether it was watched. */
  close(): boolean {
    const watched = this.#open.pop()!;
    this.#now = this.#open.at(-1) ?? null;
    if (watched !== null && watched.accesses.length > 0) this.#done.push(watched);
    return watched !== null;
  }

  access(i: number): void {
    if (this.#now !== null) this.#now.accesses.push(i);
  }

  /** A call of a function that ends soon. */
  call(): void {
    if (this.#now !== null) this.#now.calls++;
  }

  /** A branch to an entry, with the locals as they are now. */
  branch(addresses: Addresses, target: number): void {
    const watched = this.#now;
    if (watched === null || watched.entry !== target) return;
    const { varying, heads, steps } = watched;
    for (let n = 0; n < varying.length; n++) {
      const moved = stepOf(watched, addresses, varying[n]!, heads[n]!);
      const known = steps[n];
      const same = known === undefined || (known.term === moved.term && known.constant === moved.constant);
      steps[n] = same ? moved : NO_STEP;
    }
  }

  /** Works out which of the loops watched are worth a second version. */
  finish(addresses: Addresses): void {
    for (const watched of this.#done) {
      const shape = shapeOf(watched, addresses, addresses.terms, this.#body);
      if (shape) addresses.loops.set(watched.entry, shape);
    }
  }
}

/** Begins to watch a loop at its head. `varying`, `read`: the locals that it sets, and reads. */
function watch(
  addresses: Addresses,
  entry: number,
  firstSymbol: number,
  varying: readonly number[],
  read: readonly number[],
): Watched {
  const moving: number[] = [];
  const heads: number[] = [];
  const steps: (Step | undefined)[] = [];
  const holders: number[] = [];
  const hold = (local: number): void => {
    const term = addresses.termOf(local);
    if (term !== NOTHING) holders.push(term, local, addresses.constantOf(local));
  };
  for (let n = 0; n < read.length; n++) if (addresses.isI32(read[n]!)) hold(read[n]!);
  for (let n = 0; n < varying.length; n++) {
    const local = varying[n]!;
    if (!addresses.isI32(local)) continue;
    moving.push(local);
    heads.push(addresses.termOf(local));
    steps.push(undefined);
    hold(local);
  }
  return { entry, varying: moving, heads, steps, firstSymbol, accesses: [], calls: 0, holders };
}

/** Where in `holders` the local stands that holds a term, or -1. */
function holderOf({ holders }: Watched, term: number): number {
  let at = holders.length - 3;
  while (at >= 0 && holders[at] !== term) at -= 3;
  return at;
}

/** How far a local is from its value at the head: by a constant, or by a value from before the loop. */
function stepOf(watched: Watched, addresses: Addresses, local: number, head: number): Step {
  const term = addresses.termOf(local);
  const constant = addresses.constantOf(local);
  if (term === head) return { term: NOTHING, constant };
  const parts = addresses.terms.parts(term);
  if (parts === null || constant !== 0) return NO_STEP;
  const by = parts[0] === head ? parts[1] : parts[1] === head ? parts[0] : NOTHING;
  const held = by === NOTHING ? -1 : holderOf(watched, by);
  const { holders } = watched;
  const before = held >= 0 && holders[held + 2] === 0 && !watched.varying.includes(holders[held + 1]!);
  return before ? { term: by, constant: 0 } : NO_STEP;
}

/** Accesses off one pointer, while they are gathered. */
interface Group {
  memory: number;
  term: number;
  step: number;
  stepLocal: number;
  members: { access: number; constant: number }[];
}

function shapeOf(watched: Watched, addresses: Addresses, terms: Terms, body: FlatBody): LoopShape | null {
  const groups = gather(watched, addresses, terms, body);
  const pointers: Pointer[] = [];
  const accesses = new Map<number, { pointer: number; delta: number }>();
  const calling = Math.ceil(CALLING_ROUNDS_MAX / watched.calls);
  let rounds = Math.min(ROUNDS_MAX, calling); // without calls that is infinite
  for (const group of groups) {
    if (pointers.length === POINTERS_MAX) break;
    const recipe = recipeOf(watched, terms, group.term);
    if (recipe === null) continue;
    const made = pointerOf(group, recipe, body);
    const most = roundsOf(made.pointer);
    if (most < ROUNDS_MIN) continue;
    rounds = Math.min(rounds, most);
    for (const { access, delta } of made.deltas) accesses.set(access, { pointer: pointers.length, delta });
    pointers.push(made.pointer);
  }
  if (pointers.length === 0 || accesses.size < watched.calls * CALL_ACCESSES_MIN) return null;
  return { entry: watched.entry, rounds, pointers, accesses };
}

/** The accesses that move by a constant, by memory and term, those with many of them first. */
function gather(watched: Watched, addresses: Addresses, terms: Terms, body: FlatBody): Group[] {
  const steps = (symbol: number): number => {
    const at = watched.heads.indexOf(symbol);
    if (at >= 0) return watched.steps[at]?.constant ?? Number.NaN;
    return symbol < watched.firstSymbol ? 0 : Number.NaN;
  };
  const groups: Group[] = [];
  for (const access of watched.accesses) {
    if (addresses.from[access]! < 0) continue;
    const term = addresses.term[access]!;
    const constant = addresses.constant[access]!;
    const memory = body.a[access]!;
    if (term === NOTHING || body.offset[access]! > 2 ** 31) continue;
    const moved = terms.fold(term, steps);
    if (!(Math.abs(moved) <= STRETCH_MAX)) continue;
    const stepLocal = stepLocalOf(watched, terms, term);
    if (stepLocal === MIXED || (stepLocal >= 0 && moved !== 0)) continue;
    const found = groups.find(
      (g) =>
        g.memory === memory &&
        g.term === term &&
        Math.abs(
          constant + body.offset[access]! - g.members[0]!.constant - body.offset[g.members[0]!.access]!,
        ) < SPREAD_MAX,
    );
    if (found) found.members.push({ access, constant });
    else groups.push({ memory, term, step: moved, stepLocal, members: [{ access, constant }] });
  }
  return groups.sort((a, b) => b.members.length - a.members.length);
}

/** The step of a term is no single value. */
const MIXED = -2;

/** The local by which a term moves; -1 where it moves by constants only. */
function stepLocalOf(watched: Watched, terms: Terms, term: number): number {
  let local = -1;
  for (const [n, step] of watched.steps.entries()) {
    if (step === undefined || step.term === NOTHING) continue;
    const times = terms.fold(term, (symbol) => (symbol === watched.heads[n] ? 1 : 0));
    if (times === 0) continue;
    if (times !== 1 || local >= 0) return MIXED;
    local = watched.holders[holderOf(watched, step.term) + 1]!;
  }
  return local;
}

function pointerOf(
  group: Group,
  recipe: readonly Recipe[],
  body: FlatBody,
): { pointer: Pointer; deltas: { access: number; delta: number }[] } {
  const { members, memory, stepLocal } = group;
  const least = Math.min(...members.map((m) => m.constant));
  const places = members.map((m) => ({
    access: m.access,
    at: m.constant - least + body.offset[m.access]!,
    size: OP_ACCESS_BYTES[body.op[m.access]!]!,
    stores: OP_WRITES[body.op[m.access]!] === 1,
  }));
  const low = Math.min(...places.map((p) => p.at));
  const reach = Math.max(...places.map((p) => p.at + p.size)) - low;
  const stores = places.filter((p) => p.stores).map((p) => p.at - low);
  const storesAt = stores.length === 0 ? -1 : Math.min(...stores);
  const most = storesAt < 0 ? READING_STEP_MAX : STORING_STEP_MAX;
  const step = stepLocal < 0 ? group.step : most;
  const base =
    least === 0 ? recipe : [...recipe, { op: OP.i32_const, operand: least }, { op: OP.i32_add, operand: 0 }];
  return {
    pointer: { memory, recipe: base, low, reach, step, stepLocal, storesAt },
    deltas: places.map((p) => ({ access: p.access, delta: p.at - low })),
  };
}

/** Rounds after which a pointer must be tested again, and its page marked. */
function roundsOf({ step, reach, storesAt }: Pointer): number {
  let stretch = STRETCH_MAX;
  if (storesAt >= 0) {
    // One mark for the page of `storesAt` is enough for what lies so far before and behind it.
    const marked = Math.floor(storesAt / PAGE_BYTES) * PAGE_BYTES;
    const room = marked + MARK_SLOP_BYTES + 1 - reach;
    stretch = step < 0 && room >= 0 ? storesAt - marked + MARK_SLOP_BYTES : room;
  }
  if (stretch < 0) return 0;
  return step === 0 ? ROUNDS_MAX : Math.floor(stretch / Math.abs(step)) + 1;
}

/** How to compute a term at the head of the loop; null where its parts are in no local. */
function recipeOf(watched: Watched, terms: Terms, term: number): Recipe[] | null {
  const held = holderOf(watched, term);
  if (held >= 0) {
    const get = { op: OP.local_get, operand: watched.holders[held + 1]! };
    const constant = watched.holders[held + 2]!;
    if (constant === 0) return [get];
    return [get, { op: OP.i32_const, operand: -constant | 0 }, { op: OP.i32_add, operand: 0 }];
  }
  const parts = terms.parts(term);
  if (parts) {
    const [x, y] = [recipeOf(watched, terms, parts[0]), recipeOf(watched, terms, parts[1])];
    return x && y ? [...x, ...y, { op: OP.i32_add, operand: 0 }] : null;
  }
  const shifted = terms.shifted(term);
  if (shifted === null) return null;
  const x = recipeOf(watched, terms, shifted[0]);
  return x && [...x, { op: OP.i32_const, operand: shifted[1] }, { op: OP.i32_shl, operand: 0 }];
}
