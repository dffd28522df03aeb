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
import { type FlatBody, isCall, TARGETED } from './body.ts';
import { NOTHING, type Terms } from './terms.ts';

/** Entries of a loop's body past which it is not written twice. */
const BODY_MAX = 600;
/** Pointers of one loop: each takes a register. */
const POINTERS_MAX = 8;
/** Rounds between two tests: a poll waits no longer. */
const ROUNDS_MAX = 1024;
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
  /** Bytes it moves each round; with a `stepLocal` at most. */
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
  /** Locals that hold a term at the head, by term: local and constant. */
  holders: Map<number, { local: number; constant: number }>;
}

export class LoopWatch {
  /** By entry of a loop: the locals set in it. */
  readonly #varying = new Map<number, number[]>();
  /** By entry of an innermost loop: the locals read in it. */
  readonly #read = new Map<number, number[]>();
  #body!: FlatBody;
  /** The innermost loops that are open: at most one is of use. */
  readonly #open: (Watched | null)[] = [];
  readonly #done: Watched[] = [];

  /** Looks for the locals that each loop sets. */
  begin(body: FlatBody): void {
    this.#body = body;
    this.#varying.clear();
    this.#read.clear();
    this.#open.length = 0;
    this.#done.length = 0;
    const loops: { entry: number; set: Set<number>; read: Set<number>; inner: boolean; calls: boolean }[] =
      [];
    for (let i = 0; i < body.count; i++) {
      const op = body.op[i]!;
      const now = loops.at(-1);
      if (op === OP.loop) {
        if (now) now.inner = false;
        loops.push({ entry: i, set: new Set(), read: new Set(), inner: true, calls: false });
      } else if (now === undefined) {
        // outside of all loops
      } else if (op === OP.local_get) {
        now.read.add(body.a[i]!);
      } else if (op === OP.local_set || op === OP.local_tee) {
        now.set.add(body.a[i]!);
      } else if (isCall(op) || body.site[i]! > 0 || op === OP.try_table) {
        now.calls = true;
      } else if (op === OP.end && body.match[i] === now.entry) {
        loops.pop();
        this.#varying.set(now.entry, [...now.set]);
        const fits = now.inner && !now.calls && i - now.entry <= BODY_MAX;
        if (fits && (body.flags[now.entry]! & TARGETED) !== 0) this.#read.set(now.entry, [...now.read]);
        const outer = loops.at(-1);
        if (outer) for (const local of now.set) outer.set.add(local);
      }
    }
  }

  /** A loop opens: the locals it sets get symbols, and it is watched when it may be worth it. */
  open(addresses: Addresses, entry: number, params: number): void {
    const firstSymbol = addresses.terms.count;
    const varying = this.#varying.get(entry)!;
    addresses.renew(varying);
    const read = params === 0 ? this.#read.get(entry) : undefined;
    if (read === undefined) {
      this.#open.push(null);
      return;
    }
    const heads = varying.filter((local) => addresses.isI32(local));
    const holders = new Map<number, { local: number; constant: number }>();
    for (const local of [...read, ...heads]) {
      if (!addresses.isI32(local)) continue;
      const term = addresses.termOf(local);
      if (term !== NOTHING) holders.set(term, { local, constant: addresses.constantOf(local) });
    }
    this.#open.push({
      entry,
      varying: heads,
      heads: heads.map((local) => addresses.termOf(local)),
      steps: heads.map(() => undefined),
      firstSymbol,
      accesses: [],
      holders,
    });
  }

  /** A loop ends. Gives whether it was watched. */
  close(): boolean {
    const watched = this.#open.pop();
    if (watched && watched.accesses.length > 0) this.#done.push(watched);
    return watched !== null;
  }

  access(i: number): void {
    this.#open.at(-1)?.accesses.push(i);
  }

  /** A branch to an entry, with the locals as they are now. */
  branch(addresses: Addresses, target: number): void {
    const watched = this.#open.at(-1);
    if (!watched || watched.entry !== target) return;
    watched.varying.forEach((local, n) => {
      const moved = stepOf(watched, addresses, local, watched.heads[n]!);
      const known = watched.steps[n];
      const same = known === undefined || (known.term === moved.term && known.constant === moved.constant);
      watched.steps[n] = same ? moved : NO_STEP;
    });
  }

  /** Works out which of the loops watched are worth a second version. */
  finish(addresses: Addresses): void {
    for (const watched of this.#done) {
      const shape = shapeOf(watched, addresses, addresses.terms, this.#body);
      if (shape) addresses.loops.set(watched.entry, shape);
    }
  }
}

/** How far a local is from its value at the head: by a constant, or by a value from before the loop. */
function stepOf(watched: Watched, addresses: Addresses, local: number, head: number): Step {
  const term = addresses.termOf(local);
  const constant = addresses.constantOf(local);
  if (term === head) return { term: NOTHING, constant };
  const parts = addresses.terms.parts(term);
  if (parts === null || constant !== 0) return NO_STEP;
  const by = parts[0] === head ? parts[1] : parts[1] === head ? parts[0] : NOTHING;
  const held = by === NOTHING ? undefined : watched.holders.get(by);
  const before = held !== undefined && held.constant === 0 && !watched.varying.includes(held.local);
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
  let rounds = ROUNDS_MAX;
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
  return pointers.length === 0 ? null : { entry: watched.entry, rounds, pointers, accesses };
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
    if (!(moved >= 0 && moved <= STRETCH_MAX)) continue;
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
    local = watched.holders.get(step.term)!.local;
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
  if (step === 0) return storesAt >= 0 && !markCovers(storesAt, reach, 0) ? 0 : ROUNDS_MAX;
  const stretch =
    storesAt < 0
      ? STRETCH_MAX
      : MARK_SLOP_BYTES + 1 - (reach - Math.floor(storesAt / PAGE_BYTES) * PAGE_BYTES);
  return stretch < 0 ? 0 : Math.floor(stretch / step) + 1;
}

/** One mark for the page of `storesAt` is enough for all bytes up to `reach` and `moved`. */
function markCovers(storesAt: number, reach: number, moved: number): boolean {
  return reach + moved <= Math.floor(storesAt / PAGE_BYTES) * PAGE_BYTES + MARK_SLOP_BYTES + 1;
}

/** How to compute a term at the head of the loop; null where its parts are in no local. */
function recipeOf(watched: Watched, terms: Terms, term: number): Recipe[] | null {
  const held = watched.holders.get(term);
  if (held) {
    const get = { op: OP.local_get, operand: held.local };
    if (held.constant === 0) return [get];
    return [get, { op: OP.i32_const, operand: -held.constant | 0 }, { op: OP.i32_add, operand: 0 }];
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
