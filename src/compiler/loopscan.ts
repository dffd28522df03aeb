/**
 * Which locals the loops of a body set and read, and which loops are short and simple enough that a second version of them
 * may be worth it (loops.ts): known before the look at the addresses comes to them.
 */
import { larger } from '../base/arrays.ts';
import { OP, OP_LIMIT } from '../wasm/opcodes.ts';
import { type FlatBody, isCall, QUIET, TARGETED } from './body.ts';

/** Entries of a loop's body past which it is not written twice. */
const BODY_MAX = 600;

export class LoopScan {
  // Locals set, and read, in the loops that are open; by depth of loops where theirs begin, and what was seen in them.
  #set: number[] = [];
  #got: number[] = [];
  readonly #entry: number[] = [];
  readonly #place: number[] = [];
  readonly #setFrom: number[] = [];
  readonly #gotFrom: number[] = [];
  readonly #fits: boolean[] = [];
  /** By local: the list that it was last put on. */
  #seen: Int32Array = new Int32Array(256);
  #list = 0;

  /** Gives both by loop, in the order of the text; reads are told of loops that may be worth a second version only. */
  run(body: FlatBody, varying: (readonly number[])[], read: (readonly number[] | null)[]): void {
    const { op: ops, a, flags, site, match, count } = body;
    let loops = 0;
    let depth = 0;
    this.#set.length = 0;
    this.#got.length = 0;
    for (let i = 0; i < count; i++) {
      const kind = SEEN[ops[i]!]!;
      if (kind === NOT_SEEN) continue;
      if (kind === LOOPS) {
        if (depth > 0) this.#fits[depth - 1] = false;
        this.#entry[depth] = i;
        this.#place[depth] = loops++;
        this.#setFrom[depth] = this.#set.length;
        this.#gotFrom[depth] = this.#got.length;
        this.#fits[depth++] = true;
      } else if (depth === 0) {
        // outside of all loops
      } else if (kind === GETS) {
        if (this.#fits[depth - 1]) this.#got.push(a[i]!);
      } else if (kind === SETS) {
        this.#set.push(a[i]!);
      } else if (kind === CALLS || site[i]! > 0) {
        if ((flags[i]! & QUIET) === 0) this.#fits[depth - 1] = false;
      } else if (kind === ENDS && match[i] === this.#entry[depth - 1]) {
        depth--;
        const entry = this.#entry[depth]!;
        const fits = this.#fits[depth]! && i - entry <= BODY_MAX && (flags[entry]! & TARGETED) !== 0;
        this.#set = this.#once(this.#set, this.#setFrom[depth]!);
        varying[this.#place[depth]!] = this.#set.slice(this.#setFrom[depth]!);
        if (fits) this.#got = this.#once(this.#got, this.#gotFrom[depth]!);
        read[this.#place[depth]!] = fits ? this.#got.slice(this.#gotFrom[depth]!) : null;
        this.#got.length = this.#gotFrom[depth]!;
      }
    }
  }

  /** The list, of whose locals from there on each is kept where it stands first. */
  #once(list: number[], from: number): number[] {
    const now = ++this.#list;
    let kept = from;
    for (let at = from; at < list.length; at++) {
      const local = list[at]!;
      if (local >= this.#seen.length) this.#seen = larger(this.#seen, new Int32Array(local * 2));
      if (this.#seen[local] === now) continue;
      this.#seen[local] = now;
      list[kept++] = local;
    }
    list.length = kept;
    return list;
  }
}

// What matters of an instruction in a loop, by its number.
const NOT_SEEN = 0;
const GETS = 1;
const SETS = 2;
const LOOPS = 3;
const ENDS = 4;
/** No loop with one of these is written twice, but for calls that are no safepoints. */
const CALLS = 5;
/** Nor with one that is a safepoint. */
const MAY_BE_SITE = 6;

const SEEN = new Uint8Array(OP_LIMIT);
SEEN[OP.local_get] = GETS;
SEEN[OP.local_set] = SEEN[OP.local_tee] = SETS;
SEEN[OP.loop] = LOOPS;
SEEN[OP.end] = ENDS;
SEEN[OP.try_table] = CALLS;
SEEN[OP.memory_grow] = SEEN[OP.memory_atomic_wait32] = SEEN[OP.memory_atomic_wait64] = MAY_BE_SITE;
for (let op: number = 0; op < OP_LIMIT; op++) if (isCall(op)) SEEN[op] = CALLS;
