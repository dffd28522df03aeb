/**
 * The custom section `perdure.hints`: what the compiler tells the verifier about each function, so that one forward
 * pass is enough. Nothing in it is believed: a hint that the code does not bear out is a refusal. It is
 * written by compiler/hints.ts and read by verifier/hints.ts.
 *
 * The payload is a run of function entries in ascending order, all numbers unsigned LEB128 below 2^32:
 *
 *   function   index less the previous one's less 1 (the first: its index); limits: count, then (local, memory) each;
 *              loops: count, then entries in ascending order
 *   loop       its number among all `loop` instructions of the function's text, less the previous one's less 1; varying:
 *              count, then each local, ascending, less the previous one's less 1; fuel: 0, or the local plus 1 and then
 *              pointers: count, then (local, 2 × memory, and 1 more where it moves down, step, reach) each
 *
 * Functions without hints and loops without hints have no entry. `LoopHint` says what an entry claims.
 */

export const HINTS_SECTION = 'perdure.hints';

/** A local that only ever holds the limit of a memory, of now or of before. */
export interface LimitLocal {
  readonly local: number;
  readonly memory: number;
}

/** In the place of a memory: addresses that a window template gave, for reading, and for writing as well (prelude.ts). */
export const WINDOW_READ = 17;
export const WINDOW_WRITE = 18;

/** An i64 local that holds an absolute address and moves by at most `step` bytes a round, down where that is negative. */
export interface PointerHint {
  readonly local: number;
  readonly memory: number;
  readonly step: number;
  readonly reach: number;
}

/**
 * One loop. Without an entry all locals may be set in it.
 *
 * `varying`: the only locals that are set anywhere in the loop. Behind its head all others are what they were before.
 *
 * `fuel` (-1 for none): an i32 local that counts the rounds left. At the loop's head, however it was reached, its value
 * n is at least 1, and each pointer's value is base + r, where from r, and from r + step × (n - 1), `reach` bytes lie in its
 * memory, in whole numbers.
 */
export interface LoopHint {
  readonly loop: number;
  readonly varying: readonly number[];
  readonly fuel: number;
  readonly pointers: readonly PointerHint[];
}

export interface FunctionHints {
  /** In the rewritten module's function index space. */
  readonly index: number;
  readonly limits: readonly LimitLocal[];
  readonly loops: readonly LoopHint[];
}
