/**
 * What the program's own i32 globals hold, as far as straight code tells: a term and a constant (terms.ts) for each that was
 * read or set. AssemblyScript keeps a stack of its own whose pointer is a global, moved up and down for every call: so its
 * accesses share an anchor. All is forgotten at calls, at loops, and where ways meet; an `if` whose part does not go on
 * leaves what was known before.
 *
 * Constants are not told: the verifier does not follow globals, so nothing but equality may come of this.
 */
import { OP } from '../wasm/opcodes.ts';
import { I32 } from '../wasm/types.ts';
import { CAUGHT, type FlatBody, leaves, TARGETED } from './body.ts';
import type { Plan } from './plan.ts';
import { NOTHING } from './terms.ts';

/** Most globals that are followed at once: each if copies what is known, and programs may nest them by the thousand. */
const FOLLOWED_MAX = 8;

/** What a global holds. */
interface Held {
  readonly term: number;
  readonly constant: number;
}
type Known = Map<number, Held>;

export class GlobalTerms {
  #plan!: Plan;
  #known: Known = new Map();
  /** By open construct: what was known where an if opened; null for nothing, and for others. */
  readonly #before: (Known | null)[] = [];

  /** A function begins. */
  begin(plan: Plan): void {
    this.#plan = plan;
    this.#before.length = 0;
    this.forget();
  }

  /** Of imported globals two may be one and the same. */
  #isFollowed(global: number): boolean {
    return global >= this.#plan.importedGlobals && this.#plan.globals[global]!.type === I32;
  }

  forget(): void {
    if (this.#known.size > 0) this.#known = new Map();
  }

  /** A construct opens. */
  open(op: number): void {
    if (op === OP.loop) this.forget();
    this.#before.push(op === OP.if && this.#known.size > 0 ? new Map(this.#known) : null);
  }

  /** The second part of an if begins. */
  otherPart(): void {
    this.#known = new Map(this.#before.at(-1));
  }

  /** The construct that began at an entry ends at entry i. */
  close(body: FlatBody, entry: number, i: number): void {
    const before = this.#before.pop()!;
    if (isSkipped(body, entry, i)) this.#known = before ?? new Map();
    else this.forget();
  }

  /** The global holds this from here on. */
  set(global: number, term: number, constant: number): void {
    if (term === NOTHING) this.#known.delete(global);
    else if (this.#isFollowed(global)) this.#hold(global, { term, constant });
  }

  /** What a global holds, by the name that `make` gives where it is not known; null for one that is not followed. */
  get(global: number, make: () => number): Held | null {
    if (!this.#isFollowed(global)) return null;
    const known = this.#known.get(global);
    if (known !== undefined) return known;
    const held = { term: make(), constant: 0 };
    this.#hold(global, held);
    return held;
  }

  #hold(global: number, held: Held): void {
    if (this.#known.size < FOLLOWED_MAX || this.#known.has(global)) this.#known.set(global, held);
  }
}

/** True for an if, which ends at entry i, whose one part never comes to its end. */
function isSkipped(body: FlatBody, entry: number, i: number): boolean {
  if (body.op[entry] !== OP.if || body.elseAt[entry]! >= 0) return false;
  return (body.flags[entry]! & (TARGETED | CAUGHT)) === 0 && leaves(body.op[i - 1]!);
}
