import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ADD,
  access,
  assemble,
  BLOCK,
  br,
  brIf,
  call,
  DROP,
  ELSE,
  END,
  EXTEND_U,
  get,
  I64,
  IF,
  i32,
  i64,
  LOAD64,
  LOOP,
  type ModuleParts,
  places,
  RETURN,
  SHR_U,
  STORE8,
  STORE64,
  set,
  tee,
} from '../../tools/fuzzing/assembly.ts';
import { type LoopHint, WINDOW_READ, WINDOW_WRITE } from '../abi/hints.ts';
import { MARKS_ADDRESS } from '../abi/layout.ts';
import { SYSTEM } from '../abi/system.ts';
import { RefusedError } from '../base/errors.ts';
import { check, E, exceeds, extend, module_, P, PLAIN, pointer, Q, reload, X, Y } from './attacks.testing.ts';
import { verify } from './verify.ts';

const FOUR = [0, 1, 2, 3].map((a) => ({ kind: 'window' as const, a, b: 0 }));
const parts = (code: number[], loops: LoopHint[] = [], locals?: number[]): ModuleParts => {
  const plain = module_(code, { loops, ...(locals ? { locals } : {}) });
  return { ...plain, windows: true, templates: FOUR };
};
const AT = places(parts([]));
const IMPORT = call(AT.wrappers);
const GIVES = [0x04, I64];
const [READ, WRITE] = [0, 1];

/** Asks for [near + low, + bytes); leaves p. */
const window = (which: number, low: number, bytes: number, near = get(Y!)): number[] => [
  ...[...near, ...i64(low), ...i64(bytes), ...call(AT.templates + which)],
];
const load = (offset = 0): number[] => [...access(LOAD64, offset), DROP];
const store = (offset = 0): number[] => [...i64(7), ...access(STORE64, offset)];
/** From a window, or from own memory: what the compiler writes. */
const either = (which: number, low = 0, bytes = 8, k = low + bytes): number[] => [
  ...[...extend, ...exceeds(k), ...GIVES, ...window(which, low, bytes, get(E!)), ELSE, ...pointer(), END],
];

function accepts(code: number[], loops?: LoopHint[], locals?: number[]): void {
  const bytes = assemble(parts([...reload, ...code], loops, locals));
  verify(bytes);
  assert.ok(WebAssembly.validate(bytes), 'V8 takes what the verifier takes here');
}
function refuses(reason: RegExp, code: number[], loops?: LoopHint[], locals?: number[]): void {
  const bytes = assemble(parts([...reload, ...code], loops, locals));
  assert.ok(WebAssembly.validate(bytes), 'the attack is a module that V8 would run');
  assert.throws(
    () => verify(bytes),
    (error) =>
      error instanceof RefusedError && reason.test(error.message) && error.functionIndex === AT.quick,
  );
}

test('what a window template gives may be touched where it was asked for, and not a byte further', () => {
  accepts([...window(READ, 0, 8), ...load()]);
  accepts([...window(READ, 24, 16), ...load(32)]);
  refuses(/covers 16 bytes, the access reaches 17/, [...window(READ, 24, 16), ...load(33)]);
  refuses(/reaches into/, [...window(READ, 24, 16), ...load(23)]);
  refuses(/reaches into/, [...window(READ, 8, 8), ...load()]);
  refuses(/not a base/, [...window(READ, 0, 0), ...load()]);
  refuses(/not a base/, [...get(Y!), ...get(Y!), ...i64(8), ...call(AT.templates), ...load()]);
  refuses(/not a base/, [...get(Y!), ...i64(0), ...get(Y!), ...call(AT.templates), ...load()]);
  refuses(/not a base/, [...get(Y!), ...i64(-8), ...i64(16), ...call(AT.templates), ...load()]);
  refuses(/./, [...window(READ, 0, 8), ...get(Y!), ADD, ...load()]);
  accepts([...window(READ, 0, 24), ...i64(8), ADD, ...load(8)]);
  refuses(/./, [...window(READ, 0, 24), ...i64(8), ADD, ...load(9)]);
  refuses(/./, [...window(2, 0, 8), EXTEND_U, ...load()]); // it only tells
});

test('what was got for reading is not written', () => {
  const rmw = [...i64(1), 0xfe, 0x1f, 3, 0, DROP]; // i64.atomic.rmw.add
  const lane = (code: number): number[] => [
    0xfd,
    0x0c,
    ...new Array<number>(16).fill(0),
    0xfd,
    code,
    3,
    0,
    0,
  ];
  accepts([...window(WRITE, 0, 8), ...store()]);
  accepts([...window(WRITE, 0, 8), ...load()]);
  accepts([...window(WRITE, 0, 8), ...rmw]);
  accepts([...window(READ, 0, 8), ...lane(0x57), DROP]); // v128.load64_lane
  accepts([...window(WRITE, 0, 8), ...lane(0x5b)]);
  for (const writing of [store(), rmw, lane(0x5b)])
    refuses(/may only be read/, [...window(READ, 0, 8), ...writing]);
});

test('a window is forgotten at every call, and at every loop head', () => {
  const kept = [...window(READ, 0, 8), ...set(P!)];
  const use = [...get(P!), ...load()];
  accepts([...kept, ...use, ...use]);
  accepts([...kept, ...window(READ, 0, 8), DROP, ...use]); // asking for another ends nothing
  const gone = /no check covers/;
  refuses(gone, [...kept, ...IMPORT, ...use]);
  refuses(gone, [...window(READ, 0, 8), ...IMPORT, ...load()]);
  refuses(gone, [...kept, ...i32(0), 0x11, PLAIN, 0, ...use]);
  refuses(gone, [...kept, ...call(SYSTEM.rethrow), ...use]);
  refuses(gone, [...kept, ...get(X!), ...IF, ...IMPORT, END, ...use]);
  refuses(gone, [...kept, ...get(X!), ...IF, ...IMPORT, ELSE, ...use, END]);
  refuses(gone, [...kept, ...BLOCK, 0x1f, 0x40, 1, 2, 0, ...IMPORT, END, ...br(0), END, ...use]);
  const round = [...LOOP, ...use, ...IMPORT, ...get(X!), ...brIf(0), END];
  const hint = [{ loop: 0, varying: [], fuel: -1, pointers: [] }];
  refuses(gone, [...kept, ...round], hint);
  refuses(gone, [...kept, ...LOOP, ...use, ...get(X!), ...brIf(0), END], hint);
  accepts(
    [...LOOP, ...kept, ...use, ...IMPORT, ...get(X!), ...brIf(0), END],
    [{ ...hint[0]!, varying: [P!] }],
  );
});

test('own memory or a window: of what both parts of an if give the lesser is known', () => {
  accepts([...either(READ), ...load()]);
  accepts([...either(WRITE), ...store()]);
  refuses(/may only be read/, [...either(READ), ...store()]);
  refuses(/covers 8 bytes/, [...either(READ), ...load(1)]);
  refuses(/covers 8 bytes/, [...either(READ, 0, 8, 16), ...load(1)]);
  refuses(/covers 8 bytes/, [...either(READ, 0, 16, 8), ...load(1)]);
  accepts([...either(READ, 16, 8), ...load(16)]);
  refuses(/reaches into/, [...either(READ, 16, 8), ...load(15)]);
  refuses(/reaches into/, [...either(READ, 16, 8), ...load(0)]);
  refuses(/no check covers/, [...either(READ), ...IMPORT, ...load()]);
  const choose = (one: number[], other: number[]): number[] => [
    ...get(X!),
    ...GIVES,
    ...one,
    ELSE,
    ...other,
    END,
  ];
  accepts([...choose(window(READ, 0, 8), window(WRITE, 0, 8)), ...load()]);
  refuses(/may only be read/, [...choose(window(READ, 0, 8), window(WRITE, 0, 8)), ...store()]);
  refuses(/may only be read/, [...choose(window(WRITE, 0, 8), window(READ, 0, 8)), ...store()]);
  accepts([...check(8), ...choose(pointer(), window(WRITE, 0, 8)), ...store()]);
  refuses(/not a base/, [...choose(window(READ, 0, 8), get(Y!)), ...load()]);
  refuses(/not a base/, [...choose(get(Y!), window(READ, 0, 8)), ...load()]);
  refuses(/not a base/, [...choose(window(READ, 0, 8), window(READ, 8, 8)), ...load()]);
  refuses(/not a base/, [...extend, ...choose(window(READ, 0, 8), pointer()), ...load()]); // unchecked
  // A window from before a call is none at the end of a part either.
  const before = [...window(READ, 0, 8), ...set(P!)];
  refuses(/not a base/, [...before, ...choose([...IMPORT, ...get(P!)], window(READ, 0, 8)), ...load()]);
  accepts([...before, ...choose(get(P!), window(READ, 0, 8)), ...load()]);
});

test('what a branch brings to the end of an if is not what its parts give', () => {
  const w = window(READ, 0, 8);
  const branching = [...get(Y!), ...get(X!), ...brIf(0), DROP];
  const choose = (one: number[], other: number[]): number[] => [
    ...get(X!),
    ...GIVES,
    ...one,
    ELSE,
    ...other,
    END,
  ];
  refuses(/not a base/, [...choose([...branching, ...w], w), ...load()]);
  refuses(/not a base/, [...choose(w, [...branching, ...w]), ...load()]);
  refuses(/not a base/, [...choose([...branching, ...w, RETURN], w), ...load()]);
  // Only by a branch: and what an if at the same depth left is not taken for it.
  const leaves = [...get(Y!), ...br(0)];
  const earlier = [
    ...check(64),
    ...choose([...pointer(), ...i64(32), ADD], [...pointer(), ...i64(32), ADD]),
    DROP,
  ];
  refuses(/not a base/, [...earlier, ...choose(leaves, w), ...i64(-8), ADD, ...load()]);
  refuses(/not a base/, [...earlier, ...choose(leaves, w), ...load()]);
  refuses(/not a base/, [...choose(w, leaves), ...load()]);
  accepts([...choose([RETURN], w), ...load()]);
});

test('marks are those of pages that may be written', () => {
  const mark = (pages = 0): number[] => [
    ...[...i64(12), SHR_U, ...i32(1), ...access(STORE8, MARKS_ADDRESS + pages)],
  ];
  accepts([...window(WRITE, 0, 8), ...mark()]);
  accepts([...either(WRITE), ...mark()]);
  refuses(/may only be read/, [...window(READ, 0, 8), ...mark()]);
  refuses(/a mark for a page/, [...window(WRITE, 16, 8), ...mark()]); // a byte before it
  accepts([...window(WRITE, 16, 8), ...i64(16), ADD, ...mark()]);
  refuses(/a mark for a page/, [...window(WRITE, 0, 8), ...mark(1)]);
  accepts([...window(WRITE, 0, 5000), ...mark(1)]);
  refuses(/no check covers/, [...window(WRITE, 0, 8), ...set(P!), ...IMPORT, ...get(P!), ...mark()]);
});

const SUB = 0x6b;
const pointerHint = (memory: number, step = 8, reach = 8) => ({ local: P!, memory, step, reach });
const counted = (memory: number, step?: number): LoopHint[] => [
  { loop: 0, varying: [P!, Q!], fuel: Q!, pointers: [pointerHint(memory, step)] },
];
const loop = (bytes: number, inner: number[], which = WRITE): number[] => [
  ...[...either(which, 0, bytes), ...set(P!), ...i32(16), ...set(Q!)],
  ...[...LOOP, ...inner, ...get(P!), ...i64(8), ADD, ...set(P!)],
  ...[...get(Q!), ...i32(1), SUB, ...tee(Q!), ...brIf(0), END],
];

test('counting loops keep pointers into windows, as long as nothing is called', () => {
  const [read, write] = [
    [...get(P!), ...load()],
    [...get(P!), ...store()],
  ];
  accepts(loop(128, write), counted(WINDOW_WRITE));
  accepts(loop(128, read, READ), counted(WINDOW_READ));
  refuses(/need 128/, loop(127, read), counted(WINDOW_WRITE));
  refuses(/does not hold a pointer into/, loop(128, read), counted(WINDOW_READ));
  refuses(/does not hold a pointer into/, loop(128, read, READ), counted(WINDOW_WRITE));
  refuses(/does not hold a pointer into/, loop(128, read, READ), counted(0));
  refuses(/may only be read/, loop(128, write, READ), counted(WINDOW_READ));
  refuses(/may be gone/, loop(128, [...read, ...IMPORT]), counted(WINDOW_WRITE));
  refuses(/may be gone/, loop(128, [...IMPORT]), counted(WINDOW_WRITE));
  refuses(/may be gone/, loop(128, [...read, ...LOOP, END]), [
    ...counted(WINDOW_WRITE),
    { loop: 1, varying: [], fuel: -1, pointers: [] },
  ]);
  accepts(loop(128, [...read, ...window(READ, 0, 8), DROP]), counted(WINDOW_WRITE));
  for (const memory of [2, 16, 19])
    refuses(/memory \d+, which does not exist/, loop(128, read), counted(memory));
});

test('the window templates are the first, of a memory of 32-bit addresses, and exactly these', () => {
  const plain = parts([]);
  const verified = (change: Partial<ModuleParts>): void => void verify(assemble({ ...plain, ...change }));
  verified({});
  const no = (reason: RegExp, change: Partial<ModuleParts>): void =>
    assert.throws(
      () => verified(change),
      (error) => error instanceof RefusedError && reason.test(error.message),
    );
  const swapped = [FOUR[1]!, FOUR[0]!, FOUR[2]!, FOUR[3]!];
  no(/out of place/, { templates: swapped });
  no(/out of place/, { templates: FOUR.slice(1) });
  no(/out of place/, { templates: [] });
  no(/out of place/, { templates: FOUR.slice(0, 3) });
  const memories = [{ is64: true, min: 1, max: -1 }];
  no(/windows of no memory/, { memories });
  no(/windows of no memory/, { memories: [] });
  // Without windows they give addresses that nobody believes.
  const uses = parts([...window(READ, 0, 8), ...load()]);
  verify(assemble(uses));
  assert.throws(() => verify(assemble({ ...uses, windows: false })), RefusedError);
  const bulk = {
    templates: [...FOUR, { kind: 'fill' as const, a: 0, b: 0 }, { kind: 'copy' as const, a: 0, b: 1 }],
  };
  verified(bulk);
});
