import { test } from 'node:test';
import {
  ADD,
  access,
  BLOCK,
  br,
  brIf,
  DROP,
  END,
  EXTEND_U,
  get,
  global,
  I32,
  I64,
  IF,
  i32,
  i64,
  LOAD,
  LOOP,
  set,
  tee,
} from '../../tools/fuzzing/assembly.ts';
import type { LoopHint, PointerHint } from '../abi/hints.ts';
import {
  accepts,
  B,
  B1,
  check,
  E,
  HDR,
  IMPORT,
  L,
  L1,
  load,
  P,
  pointer,
  Q,
  refuses,
  reload,
  trap,
  X,
  Y,
} from './attacks.testing.ts';

const SUB = 0x6b;
const I32_ADD = 0x6a;
const AND = 0x71;
/** More locals: another pointer, another count. */
const P2 = 9;
const Q2 = 10;

const at = (step = 4, reach = 8, local = P!, memory = 0): PointerHint => ({ local, memory, step, reach });
const counted = (pointers: PointerHint[], fuel = Q!, varying = [P!, Q!]): LoopHint => ({
  ...{ loop: 0, varying: [...varying].sort((a, b) => a - b), fuel, pointers },
});
const withHints = (...loops: LoopHint[]) => ({
  loops: loops.map((hint, loop) => ({ ...hint, loop })),
  locals: [I64, I64, I64, I64, I64, I64, I32, I64, I32],
});

/** What stands before the loop; 16 rounds of 4 bytes and a reach of 8 need 68 bytes. */
const enter = (covered = 68, rounds = i32(16)): number[] => [
  ...[...reload, ...check(covered), ...pointer(), ...set(P!), ...rounds, ...set(Q!)],
];
const step = (by = 4): number[] => [...get(P!), ...i64(by), ADD, ...set(P!)];
const count = [...get(Q!), ...i32(1), SUB, ...tee(Q!)];
const body = (inner: number[] = step(), back = [...count, ...brIf(0)]): number[] => [
  ...[...LOOP, ...get(P!), ...load(0), ...inner, ...back, END],
];
const HINT = withHints(counted([at()]));
const ok = (code: number[], hints = HINT): void => accepts(code, hints);
const no = (reason: RegExp, code: number[], hints = HINT): void => refuses(reason, code, hints);

test('a check before the loop covers all its rounds, and not a byte more', () => {
  ok([...enter(), ...body()]);
  no(/covers 67 bytes, 16 rounds of the loop need 68/, [...enter(67), ...body()]);
  no(/17 rounds of the loop need 72/, [...enter(68, i32(17)), ...body()]);
  ok([...enter(72, i32(17)), ...body()]);
  no(/need 69/, [...enter(), ...body()], withHints(counted([at(4, 9)])));
  no(/need 83/, [...enter(), ...body()], withHints(counted([at(5, 8)])));
  no(/covers 8 bytes, the access reaches 9/, [...enter(), ...body([...get(P!), ...load(1), ...step()])]);
  no(/covers 7 bytes, the access reaches 8/, [...enter(), ...body()], withHints(counted([at(4, 7)])));
  const low = [...enter(), ...global(HDR), ...get(E!), ADD, ...set(P!)];
  no(/may lead below the memory/, [...low, ...body()]);
  ok([...enter(8, i32(1)), ...body()]);
  no(/covers 7 bytes/, [...enter(7, i32(1)), ...body()]);
  // A constant in the pointer counts; where nothing was asked nothing is covered.
  const ahead = [...get(P!), ...i64(8), ADD, ...set(P!)];
  ok([...enter(76), ...ahead, ...body()]);
  no(/need 76/, [...enter(75), ...ahead, ...body()]);
  const unchecked = [
    ...reload,
    ...get(X!),
    EXTEND_U,
    ...set(E!),
    ...pointer(),
    ...set(P!),
    ...i32(16),
    ...set(Q!),
  ];
  no(/no check covers the pointer/, [...unchecked, ...body()]);
});

test('the rounds are a constant that is known, from 1 to 2^20', () => {
  no(/constant number of rounds/, [...enter(68, i32(0)), ...body()]);
  no(/constant number of rounds/, [...enter(68, i32(-1)), ...body()]);
  no(/constant number of rounds/, [...enter(68, get(X!)), ...body()]);
  no(/constant number of rounds/, [...enter(68, [...get(X!), ...i32(15), AND]), ...body()]);
  no(/constant number of rounds/, [...enter(), ...get(X!), ...IF, ...i32(3), ...set(Q!), END, ...body()]);
  ok([...enter(), ...get(X!), ...IF, END, ...body()]);
  const still = withHints(counted([at(0)]));
  ok([...enter(8, i32(2 ** 20)), ...body([])], still);
  no(/constant number of rounds/, [...enter(8, i32(2 ** 20 + 1)), ...body([])], still);
});

test('a round that goes back counts one, and says so in its condition', () => {
  const one = (back: number[], reason = /does not count one round/): void =>
    no(reason, [...enter(), ...body(step(), back)]);
  ok([...enter(), ...body(step(), [...get(Q!), ...i32(-1), I32_ADD, ...set(Q!), ...get(Q!), ...brIf(0)])]);
  one([...get(Q!), ...i32(2), SUB, ...tee(Q!), ...brIf(0)]);
  one([...get(Q!), ...i32(0), SUB, ...tee(Q!), ...brIf(0)]);
  one([...get(Q!), ...i32(-2), I32_ADD, ...tee(Q!), ...brIf(0)]);
  one([...get(Q!), ...i32(1), I32_ADD, ...tee(Q!), ...brIf(0)]);
  one([...i32(1), ...get(Q!), SUB, ...tee(Q!), ...brIf(0)]);
  one([...count, DROP, ...count, ...brIf(0)]);
  one([...count, 0x45, ...brIf(0)]);
  one([...count, DROP, ...get(X!), ...brIf(0)]);
  one([...count, DROP, ...br(0)]);
  one([...count, ...IF, ...br(1), END]);
  one([...count, 0x0e, 1, 0, 1]);
  one([...get(Q!), ...brIf(0)]);
  one([...get(Q!), ...i32(0), 0x4b, ...tee(Q!), ...brIf(0)]); // 1 while there are any left: for ever
  one([...get(Q!), ...i32(1), SUB, ...brIf(0)], /does not hold the rounds that are left/);
  one([...count, ...get(X!), ...set(Q!), ...brIf(0)], /does not hold the rounds that are left/);
  one([...get(X!), ...IF, ...count, DROP, END, ...get(Q!), ...brIf(0)]);
  ok([...enter(), ...body(step(), [...BLOCK, ...count, ...brIf(1), END])]);
  ok([...enter(), ...body([...step(), ...get(X!), ...IF, ...count, ...brIf(1), END], [])]);
  // A catch clause asks nothing.
  const catching = [0x1f, 0x40, 1, 2, 0, ...IMPORT, END];
  no(/does not count one round/, [...enter(), ...body([...catching, ...step()])]);
});

test('the count of another loop is not this one’s', () => {
  const inner = [...i32(16), ...set(Q2), ...LOOP, ...get(Q2), ...i32(1), SUB, ...tee(Q2)];
  const outer = counted([at()], Q!, [P!, Q!, Q2]);
  const second = counted([], Q2, [Q2]);
  ok([...enter(), ...body([...inner, ...brIf(0), END, ...step()])], withHints(outer, second));
  no(
    /does not count one round/,
    [...enter(), ...body([...inner, ...brIf(1), END, ...step()])],
    withHints(outer, second),
  );
  // From the inner loop to the outer one's head: what counts there may have counted in an earlier round of the inner.
  const through = [...inner, DROP, ...step(), ...count, ...brIf(1), END];
  const far = counted([], Q2, [P!, Q!, Q2]);
  no(/does not count one round/, [...enter(), ...LOOP, ...through, END], withHints(outer, far));
});

test('a pointer moves by its step at most, and forwards', () => {
  const moved = (reason: RegExp, inner: number[], hint = counted([at()])): void =>
    no(reason, [...enter(), ...body(inner)], withHints(hint));
  ok([...enter(), ...body(step(3))]);
  ok([...enter(), ...body([])]);
  ok([...enter(), ...body([...step(2), ...step(2)])]);
  moved(/moves by up to 5, not 4/, step(5));
  moved(/moves by up to 5, not 4/, [...step(4), ...step(1)]);
  moved(/does not hold the pointer/, step(-4));
  moved(/does not hold the pointer/, [...pointer(), ...set(P!)]);
  moved(/does not hold the pointer/, [...get(B!), ...set(P!)]);
  moved(/does not hold the pointer/, [...get(Y!), ...set(P!)]);
  moved(/does not hold the pointer/, [...get(P!), ...i64(4), 0x7e, ...set(P!)]); // mul
  moved(/does not hold the pointer/, [...get(P!), ...i64(12), 0x88, ...set(P!)]); // the number of its page
  moved(/does not hold the pointer/, [...get(P!), ...i64(12), 0x88, ...set(P!)]); // its page
  moved(/does not hold the pointer/, [...get(X!), ...IF, ...step(), END]);
  ok([...enter(), ...body([...get(X!), ...IF, ...get(P!), ...load(0), END, ...step()])]);
  moved(/does not hold a pointer into memory 1/, step(), counted([at(4, 8, P!, 1)]));
});

test('a pointer goes down no further than it began ahead of a value that was checked', () => {
  const SUB64 = 0x7d;
  const down = withHints(counted([at(-4)]));
  // 16 rounds go down 60 bytes; where they begin, 8 more are reached.
  const enterDown = (ahead: number, covered: number, rounds = i32(16)): number[] => [
    ...[...reload, ...check(covered), ...pointer(), ...i64(ahead), ADD, ...set(P!), ...rounds, ...set(Q!)],
  ];
  const by = (n: number): number[] => [...get(P!), ...i64(n), SUB64, ...set(P!)];
  ok([...enterDown(60, 68), ...body(by(4))], down);
  ok([...enterDown(64, 72), ...body(by(3))], down);
  ok([...enterDown(60, 68), ...body([])], down);
  ok([...enterDown(0, 8, i32(1)), ...body(by(4))], down);
  no(/begins 59 bytes behind a value, 16 rounds/, [...enterDown(59, 68), ...body(by(4))], down);
  no(/begins 60 bytes behind a value, 17 rounds/, [...enterDown(60, 68, i32(17)), ...body(by(4))], down);
  no(/begins 0 bytes behind/, [...enter(), ...body(by(4))], down);
  no(/covers 67 bytes/, [...enterDown(60, 67), ...body(by(4))], down);
  const moved = (reason: RegExp, inner: number[], hints = down): void =>
    no(reason, [...enterDown(60, 200), ...body(inner)], hints);
  moved(/moves by up to -5, not -4/, by(5));
  moved(/moves by up to 4, not -4/, step());
  moved(/moves by up to -4, not 4/, by(4), HINT);
  moved(/moves by up to -4, not 0/, by(4), withHints(counted([at(0)])));
  moved(/does not hold the pointer/, [...by(2), ...by(2)]);
  moved(/does not hold the pointer/, [...step(8), ...by(4)]);
  moved(/does not hold the pointer/, [...pointer(), ...set(P!), ...by(4)]);
  moved(/does not hold the pointer/, [...get(P!), ...i64(-4), SUB64, ...set(P!)]);
  moved(/does not hold the pointer/, [...i64(4), ...get(P!), SUB64, ...set(P!)]);
  moved(/does not hold the pointer/, [...get(P!), ...get(E!), SUB64, ...set(P!)]);
  moved(/not a base and a value/, [...by(4), ...get(P!), ...load()]);
});

test('a pointer moves by a value that is bounded by its step', () => {
  const by = (value: number[]): number[] => [...get(P!), ...value, EXTEND_U, ADD, ...set(P!)];
  const masked = [...get(X!), ...i32(7), AND];
  const seven = withHints(counted([at(7)]));
  ok([...enter(113), ...body(by(masked))], seven);
  no(/moves by up to 7, not 6/, [...enter(113), ...body(by(masked))], withHints(counted([at(6)])));
  no(/moves by up to 4294967295, not 7/, [...enter(113), ...body(by(get(X!)))], seven);
  no(/does not hold the pointer/, [...enter(113), ...body([...get(P!), ...get(Y!), ADD, ...set(P!)])], seven);
  const reversed = [...masked, EXTEND_U, ...get(P!), ADD, ...set(P!)];
  ok([...enter(113), ...body(reversed)], seven);
  no(
    /moves by up to 8, not 7/,
    [...enter(113), ...body([...get(P!), ...masked, EXTEND_U, ...i64(1), ADD, ADD, ...set(P!)])],
    seven,
  );
  no(/moves by up to 8, not 7/, [...enter(113), ...body([...step(1), ...by(masked)])], seven);
  // Asked in the loop, or before it.
  const asked = [...get(X!), ...i32(7), 0x4b, ...trap];
  ok([...enter(113), ...body([...asked, ...by(get(X!))])], seven);
  ok([...asked, ...enter(113), ...body(by(get(X!)))], seven);
  no(
    /moves by up to 4294967295/,
    [...enter(113), ...body([...get(X!), ...IF, ...asked, END, ...by(get(X!))])],
    seven,
  );
  // Such a sum is no address, and nothing is learnt of it.
  no(
    /not a base/,
    [...enter(113), ...body([...get(P!), ...masked, EXTEND_U, ADD, ...load(0), ...step(1)])],
    seven,
  );
  no(/does not hold the pointer/, [...enter(113), ...body([...by(masked), ...by(masked)])], seven);
});

test('several pointers, into several memories', () => {
  const other = [...get(X!), EXTEND_U, ...set(E!), ...get(E!), ...i64(60), ADD, ...get(L1!), 0x56, ...trap];
  const enterBoth = [...enter(), ...other, ...pointer(B1!), ...set(P2)];
  const both = [...get(P2), ...load(0), ...step(), ...get(P2), ...i64(2), ADD, ...set(P2)];
  const hint = (second = at(2, 30, P2, 1)) => withHints(counted([at(), second], Q!, [P!, Q!, P2]));
  ok([...enterBoth, ...body(both)], hint());
  no(/need 61/, [...enterBoth, ...body(both)], hint(at(2, 31, P2, 1)));
  no(/pointer into memory 0/, [...enterBoth, ...body(both)], hint(at(2, 30, P2, 0)));
  // They may not change places, though each stays near its base.
  const swap = [...get(P!), ...get(P2), ...set(P!), ...set(P2)];
  const same = [...enter(), ...get(P!), ...set(P2)];
  const two = withHints(counted([at(), at(4, 8, P2)], Q!, [P!, Q!, P2]));
  ok([...same, ...body()], two);
  no(/does not hold the pointer/, [...same, ...body(swap)], two);
});

test('hints that name what they must not are refused', () => {
  const plain = [...enter(), ...body()];
  no(/said not to set it/, plain, withHints(counted([at()], Q!, [P!])));
  no(/said not to set it/, plain, withHints(counted([at()], Q!, [Q!])));
  no(/named twice/, plain, withHints(counted([at(), at()])));
  no(/does not hold a pointer/, plain, withHints(counted([at(4, 8, Q!)])));
  no(/names local 99, which does not exist/, plain, withHints(counted([at(4, 8, 99)])));
  no(/names local 99, which does not exist/, plain, withHints(counted([at()], 99)));
  no(/names memory 2, which does not exist/, plain, withHints(counted([at(4, 8, P!, 2)])));
  no(/no base/, plain, withHints(counted([at(4, 8, B!)], Q!, [P!, B!, Q!])));
  no(/constant number of rounds/, plain, withHints(counted([at()], L!, [P!, L!, Q!])));
});

test('a loop names as many pointers as its branches can be held to in a time that is linear', () => {
  const many = (count: number) => {
    const own = Array.from({ length: count }, (_, i) => 11 + i);
    const hint = counted(
      own.map((local) => at(0, 8, local)),
      Q!,
      [Q!, ...own],
    );
    return { ...withHints(hint), locals: [...withHints().locals, ...own.map(() => I64)] };
  };
  const start = (count: number): number[] => [
    ...[...reload, ...check(8), ...pointer(), ...set(P!), ...i32(3), ...set(Q!)],
    ...Array.from({ length: count }, (_, i) => [...get(P!), ...set(11 + i)]).flat(),
    ...[
      ...LOOP,
      ...get(11 + count - 1),
      ...load(0),
      ...[...get(Q!), ...i32(1), SUB, ...tee(Q!)],
      ...brIf(0),
      END,
    ],
  ];
  ok(start(64), many(64));
  no(/names over 64 pointers/, start(65), many(65));
});

test('loops that count inside one another', () => {
  // 8 rounds of 64 bytes, in each 8 rounds of 8 bytes.
  const inner = [
    ...[...get(P!), ...set(P2), ...i32(8), ...set(Q2), ...LOOP, ...get(P2), ...load(0)],
    ...[...get(P2), ...i64(8), ADD, ...set(P2), ...get(Q2), ...i32(1), SUB, ...tee(Q2), ...brIf(0), END],
  ];
  const code = (covered: number): number[] => [...enter(covered, i32(8)), ...body([...inner, ...step(64)])];
  const hints = (reach = 64) =>
    withHints(counted([at(64, reach)], Q!, [P!, Q!, P2, Q2]), counted([at(8, 8, P2)], Q2, [P2, Q2]));
  ok(code(512), hints());
  no(/need 512/, code(511), hints());
  no(/covers 63 bytes, 8 rounds of the loop need 64/, code(512), hints(63));
  // Behind the inner loop its pointer is not the outer one's.
  no(
    /does not hold the pointer/,
    [...enter(512, i32(8)), ...body([...inner, ...get(P2), ...set(P!)])],
    hints(),
  );
});

test('what is known at a head of rounds is forgotten where ways meet', () => {
  const later = [...get(P!), ...load(0)];
  ok([...enter(), ...body(), ...get(P!), ...access(LOAD, 0), DROP]);
  no(/covers 8 bytes/, [...enter(), ...body(), ...later]);
  no(
    /no base|not a base|no check/,
    [...enter(), ...get(X!), ...IF, ...body([]), END, ...later],
    withHints(counted([at(0)])),
  );
});
