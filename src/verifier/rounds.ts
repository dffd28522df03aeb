/**
 * Loops that count their rounds down (rule L of README.md): what must hold where such a loop is entered, what is known at
 * its head, and which branches may lead back to it.
 */
import { type LoopHint, WINDOW_READ, WINDOW_WRITE } from '../abi/hints.ts';
import type { Locals } from './locals.ts';
import { DECREMENT, NONE, RETREATED, STEPPED, VALUE, type Values } from './values.ts';

/** The most rounds a loop may be entered with: products with them stay far below 2^53. */
const ROUNDS_MAX = 2 ** 20;
/** The most pointers of a loop: each branch back to its head looks at all of them. */
const POINTERS_MAX = 64;

/** Such a loop while it is open: the ids at its head. */
export interface Rounds {
  readonly hint: LoopHint;
  /** Of the rounds left. */
  readonly left: number;
  /** What each pointer is behind the base. */
  readonly roots: readonly number[];
}

/** Why hints name what a function has not, or the empty string. */
export function hintsRefusal(loops: readonly LoopHint[], locals: number, memories: number): string {
  for (const { loop, varying, fuel, pointers } of loops) {
    if (pointers.length > POINTERS_MAX)
      return `the hint for loop ${loop} names over ${POINTERS_MAX} pointers`;
    let most = Math.max(fuel, varying.at(-1) ?? -1); // varying locals are ascending
    for (const { local } of pointers) most = Math.max(most, local);
    if (most >= locals) return `the hint for loop ${loop} names local ${most}, which does not exist`;
    const wrong = pointers.find(
      ({ memory }) => memory >= memories && memory !== WINDOW_READ && memory !== WINDOW_WRITE,
    );
    if (wrong) return `the hint for loop ${loop} names memory ${wrong.memory}, which does not exist`;
  }
  return '';
}

/** Why the loop may not be entered with what its locals hold now, or the empty string. */
export function entryRefusal(values: Values, locals: Locals, { fuel, pointers }: LoopHint): string {
  const rounds = values.literalOf(locals.peek(fuel));
  if (!(rounds >= 1 && rounds <= ROUNDS_MAX))
    return `local ${fuel} does not hold a constant number of rounds from 1 to ${ROUNDS_MAX}`;
  for (const { local, memory, step, reach } of pointers) {
    const id = locals.peek(local);
    if (values.kind[id] !== VALUE || values.base[id] !== memory + 1)
      return `local ${local} does not hold a pointer into memory ${memory}`;
    const ahead = values.constant[id]!;
    if (ahead + Math.min(step, 0) * (rounds - 1) < 0)
      return `local ${local} begins ${ahead} bytes behind a value, ${rounds} rounds may lead below the memory`;
    const needed = ahead + Math.max(step, 0) * (rounds - 1) + reach;
    const known = values.known(values.root[id]!, memory);
    if (known < 0) return `no check covers the pointer in local ${local}`;
    if (known < needed) return `a check covers ${known} bytes, ${rounds} rounds of the loop need ${needed}`;
  }
  return '';
}

/**
 * The head, when what the loop may set has been forgotten: gives what its locals hold now, or why the hint is wrong.
 * `at`: offset of the loop.
 */
export function beginRounds(values: Values, locals: Locals, hint: LoopHint, at: number): Rounds | string {
  for (const local of [hint.fuel, ...hint.pointers.map((pointer) => pointer.local)]) {
    if (!locals.varies(local)) return `local ${local} counts or moves in a loop that is said not to set it`;
    if (locals.peek(local) !== NONE) return `local ${local} is named twice in a loop's hint`;
    locals.define(local, values.rounds(), at);
  }
  const roots = hint.pointers.map(({ local, memory, reach }) => {
    const root = values.fresh();
    values.remember(root, memory, reach, at);
    locals.define(local, values.pointer(memory, root), at);
    return root;
  });
  return { hint, left: locals.peek(hint.fuel), roots };
}

/** Why a branch back to the head with this condition (NONE where it has none) is refused, or the empty string. */
export function roundRefusal(values: Values, locals: Locals, rounds: Rounds, condition: number): string {
  const { fuel, pointers } = rounds.hint;
  if (values.kind[condition] !== DECREMENT || values.root[condition] !== rounds.left)
    return 'a branch to a loop that does not count one round';
  if (locals.peek(fuel) !== condition) return `local ${fuel} does not hold the rounds that are left`;
  for (const [i, { local, memory, step, reach }] of pointers.entries()) {
    if (values.known(rounds.roots[i]!, memory) < reach) return `the window of local ${local} may be gone`;
    const id = locals.peek(local);
    const kind = values.kind[id];
    const isDown = kind === RETREATED;
    // What has this root has the pointer's base: no rule takes the one from the other.
    if ((kind !== VALUE && kind !== STEPPED && !isDown) || values.root[id] !== rounds.roots[i])
      return `local ${local} does not hold the pointer of this round`;
    const moved = isDown ? -values.constant[id]! : values.constant[id]!;
    if (moved < Math.min(step, 0) || moved > Math.max(step, 0))
      return `local ${local} moves by up to ${moved}, not ${step}`;
  }
  return '';
}
