import { test } from 'node:test';
import {
  assemble,
  BLOCK,
  brIf,
  DROP,
  END,
  get,
  global,
  LOOP,
  set,
  tee,
  UNREACHABLE,
} from '../../tools/fuzzing/assembly.ts';
import type { LoopHint } from '../abi/hints.ts';
import {
  accepts,
  check,
  E,
  IMPORT,
  L,
  LIMIT,
  load,
  module_,
  P,
  pointer,
  Q,
  refuses,
  reload,
  use,
  X,
  Y,
} from './attacks.testing.ts';

/** Hints for the first loops of the text; `null`: none for this one. */
const hints = (...lists: (readonly number[] | null)[]): { loops: LoopHint[] } => ({
  loops: lists.flatMap((varying, loop) =>
    varying ? [{ loop, varying: [...varying].sort((a, b) => a - b), fuel: -1, pointers: [] }] : [],
  ),
});
const back = [...get(X!), ...brIf(0)];
const change = [...get(Y!), ...set(E!)];
const SET = /is set in a loop that is said not to set it/;

test('what a loop does not set is known in it, what it may set is not', () => {
  const round = [...reload, ...check(8), ...LOOP, ...use, ...back, END, ...use];
  accepts(round, hints([]));
  accepts(round, hints([P!, Q!]));
  refuses(/no check covers/, round);
  refuses(/no check covers/, round, hints([E!]));
  const changed = [...reload, ...check(8), ...LOOP, ...use, ...change, ...back, END];
  refuses(/no check covers/, changed, hints([E!]));
  refuses(SET, changed, hints([]));
  refuses(SET, changed, hints([P!]));
  accepts([...reload, ...LOOP, ...check(8), ...use, ...change, ...back, END], hints([E!]));
  accepts([...reload, ...check(8), ...pointer(), ...set(P!), ...LOOP, ...get(P!), ...load(), END], hints([]));
});

test('a loop sets what its hint names and nothing else, however deep', () => {
  const loop = (inner: number[]): number[] => [...reload, ...LOOP, ...inner, ...back, END];
  refuses(SET, loop([...get(Y!), ...tee(E!), DROP]), hints([]));
  refuses(SET, loop([...BLOCK, ...change, END]), hints([]));
  refuses(SET, loop([0x1f, 0x40, 1, 2, 0, ...IMPORT, ...change, END]), hints([]));
  accepts([...loop([]), ...change], hints([]));
  accepts(loop([...global(LIMIT), ...set(L!)]), hints([])); // a limit stays a limit
  // Inner loops, with a hint of their own and without.
  const nested = loop([...LOOP, ...change, ...back, END]);
  refuses(SET, nested, hints([], null));
  refuses(SET, nested, hints([P!], null));
  refuses(SET, nested, hints([E!], []));
  refuses(SET, nested, hints(null, []));
  refuses(/a loop around it may not/, nested, hints([], [E!]));
  accepts(nested, hints([E!], null));
  accepts(nested, hints([E!], [E!]));
  accepts(nested, hints([E!, P!], [E!]));
  accepts(nested, hints(null, [E!]));
  // Behind the inner loop the outer one's list counts again, no more and no less.
  const behind = loop([...LOOP, ...back, END, ...change]);
  accepts(behind, hints([E!], []));
  accepts(behind, hints([E!], [E!]));
  refuses(SET, behind, hints([P!], [P!]));
  refuses(/a loop around it may not/, behind, hints([P!], [E!]));
});

test('what one loop may set the next may not, unless it says so', () => {
  const one = [...LOOP, ...change, ...back, END];
  const two = [...reload, ...one, ...one];
  accepts(two, hints([E!], [E!]));
  refuses(SET, two, hints([E!], []));
  refuses(SET, two, hints([], [E!]));
  accepts(two, hints([E!], null));
  const inside = [...reload, ...LOOP, ...LOOP, ...change, ...back, END, ...back, END, ...one];
  accepts(inside, hints([E!], [E!], [E!]));
  refuses(SET, inside, hints([E!], [E!], []));
});

test('an inner loop takes from what is known only what it may set', () => {
  const nested = (inner: number[]): number[] => [
    ...[...reload, ...LOOP, ...check(8), ...LOOP, ...inner, ...back, END, ...back, END],
  ];
  accepts(nested(use), hints([E!], []));
  refuses(/no check covers/, nested(use), hints([E!], [E!]));
  refuses(/no check covers/, nested(use), hints([E!], null));
  // Known behind the inner loop, though the round before the outer one's head may have set it.
  accepts([...reload, ...LOOP, ...check(8), ...LOOP, ...back, END, ...use, ...back, END], hints([E!], []));
});

test('loops are counted as they stand in the text, with those that no way leads to', () => {
  const nowhere = [...BLOCK, UNREACHABLE, END, ...LOOP, ...BLOCK, ...LOOP, END, END, END];
  const dead = [...BLOCK, ...get(X!), ...brIf(0), ...nowhere, END];
  const code = [...reload, ...check(8), ...dead, ...LOOP, ...use, ...back, END];
  accepts(code, hints(null, null, []));
  accepts(code, hints([P!], [P!], []));
  refuses(/no check covers/, code, hints([], [], [E!]));
  refuses(/no check covers/, code, hints([], [], null));
  refuses(/hint for loop 3, which does not exist/, code, hints([], [], [], []));
  refuses(/hint for loop 0, which does not exist/, [], hints([]));
  refuses(/names local 9, which does not exist/, code, hints(null, null, [9]));
  refuses(/names local 9, which does not exist/, code, hints([9], null, []));
});

test('a parameter of a loop is of any round', () => {
  const typed = (type: number): number[] => [
    ...[...reload, ...check(8), ...get(X!), ...pointer(), 0x03, type, ...load(), DROP, END],
  ];
  // Which type (i32, i64) -> () is, V8 tells.
  const type = Array.from({ length: 60 }, (_, i) => i).find((t) =>
    WebAssembly.validate(assemble(module_(typed(t), hints([])))),
  )!;
  accepts([...reload, ...check(8), ...get(X!), ...pointer(), 0x03, type, DROP, DROP, END], hints([]));
  refuses(/not a base/, typed(type), hints([]));
});
