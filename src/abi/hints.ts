/**
 * The custom section `perdure.hints`: what the compiler tells the verifier about each function, so that one forward
 * pass is enough. Nothing in it is believed: a hint that the code does not bear out is a refusal. The
 * verifier alone reads it (verifier/hints.ts).
 *
 * The payload is a run of function entries in ascending order, all numbers unsigned LEB128 below 2^32:
 *
 *   function   index less the previous one's less 1 (the first: its index); roles: count, then (local, 2 × memory for
 *              its base or 2 × memory + 1 for its limit) each; loops: count, then entries in ascending order
 *   loop       its number among all `loop` instructions of the function's text, less the previous one's less 1; varying:
 *              count, then each local, ascending, less the previous one's less 1; fuel: 0, or the local plus 1 and then
 *              pointers: count, then (local, memory, step, reach) each
 *
 * Functions without hints and loops without hints have no entry. `LoopHint` says what an entry claims.
 */
import { larger } from '../base/arrays.ts';

export const HINTS_SECTION = 'perdure.hints';

/** A local that only ever holds the base or the limit of a memory. */
export interface RoleLocal {
  readonly local: number;
  readonly role: 'base' | 'limit';
  readonly memory: number;
}

/** An i64 local that holds an absolute address and moves by at most `step` bytes a round. */
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
 * n is at least 1, and each pointer's value is base + r with r + step × (n - 1) + reach at most the limit of its memory,
 * in whole numbers.
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
  readonly roles: readonly RoleLocal[];
  readonly loops: readonly LoopHint[];
}

/** `functions`: ascending by index; their loops by number, varying locals ascending. */
export function encodeHints(functions: readonly FunctionHints[]): Uint8Array {
  let out = new Uint8Array(1024);
  let length = 0;
  const number = (value: number): void => {
    if (length + 5 > out.length) out = larger(out, new Uint8Array(length * 2));
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) out[length++] = (rest & 127) | 128;
    out[length++] = rest;
  };
  let previous = -1;
  for (const { index, roles, loops } of functions) {
    if (roles.length === 0 && loops.length === 0) continue;
    number(index - previous - 1);
    previous = index;
    number(roles.length);
    for (const { local, role, memory } of roles) {
      number(local);
      number(2 * memory + (role === 'limit' ? 1 : 0));
    }
    number(loops.length);
    let last = -1;
    for (const hint of loops) {
      number(hint.loop - last - 1);
      last = hint.loop;
      encodeLoop(hint, number);
    }
  }
  return out.slice(0, length);
}

function encodeLoop({ varying, fuel, pointers }: LoopHint, number: (value: number) => void): void {
  number(varying.length);
  let previous = -1;
  for (const local of varying) {
    number(local - previous - 1);
    previous = local;
  }
  number(fuel + 1);
  if (fuel < 0) return;
  number(pointers.length);
  for (const { local, memory, step, reach } of pointers)
    for (const n of [local, memory, step, reach]) number(n);
}
