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
  type FunctionParts,
  GT_U,
  get,
  global,
  H,
  I32,
  I64,
  IF,
  i32,
  i64,
  LOAD,
  LOAD64,
  LOOP,
  type ModuleParts,
  OR,
  places,
  RETURN,
  SHR_U,
  STORE8,
  STORE64,
  set,
  tee,
  UNREACHABLE,
  u,
} from '../../tools/fuzzing/assembly.ts';
import { FLAG_ADDRESS, MARKS_ADDRESS, STATE_OFFSET } from '../abi/layout.ts';
import { MalformedError, RefusedError } from '../base/errors.ts';
import { verify } from './verify.ts';

// One function (i32, i64) -> () in a module with two memories, the second with 64-bit addresses. Attacks are refused
// with the reason that belongs to the broken rule; beside each stands what is like it and is accepted.
const [X, Y, E, P, B, L, B1, L1, Q] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const MEMORIES = [
  { is64: false, min: 1, max: -1 },
  { is64: true, min: 1, max: -1 },
];
const HDR = 1; // behind one global of the program
const LIMIT = HDR + 1;
const BASE1 = HDR + 2;
const LIMIT1 = HDR + 3;

const FUNCTION: FunctionParts = {
  ...{ params: [I32, I64], results: [], locals: [I64, I64, I64, I64, I64, I64, I32], code: [] },
  roles: [
    { local: B!, role: 'base', memory: 0 },
    { local: L!, role: 'limit', memory: 0 },
    { local: B1!, role: 'base', memory: 1 },
    { local: L1!, role: 'limit', memory: 1 },
  ],
};
const module_ = (code: number[], change: Partial<FunctionParts> = {}): ModuleParts => ({
  memories: MEMORIES,
  imports: [{ params: [], results: [] }],
  quick: [{ ...FUNCTION, code, ...change }],
  globals: 1,
  refs: true,
  datas: [[1, 2, 3]],
});
/** Index of the type () -> (): that of the second system function. */
const PLAIN = 1;
const PLACES = places(module_([]));
const IMPORT = call(PLACES.wrappers);

const reload = [
  ...[...global(HDR), ...set(B!), ...global(LIMIT), ...set(L!)],
  ...[...global(BASE1), ...set(B1!), ...global(LIMIT1), ...set(L1!)],
];
/** e := x, and the question whether e + k lies behind the limit. */
const extend = [...get(X!), EXTEND_U, ...set(E!)];
const exceeds = (k: number | bigint, e = E!, limit = L!): number[] => [
  ...get(e),
  ...i64(k),
  ADD,
  ...get(limit),
  GT_U,
];
const trap = [...IF, UNREACHABLE, END];
const check = (k: number): number[] => [...extend, ...exceeds(k), ...trap];
const pointer = (base = B!, e = E!): number[] => [...get(base), ...get(e), ADD];
const load = (offset: number | bigint = H): number[] => [...access(LOAD64, offset), DROP];
const use = [...pointer(), ...load()];

function accepts(code: number[], change?: Partial<FunctionParts>): void {
  const bytes = assemble(module_(code, change));
  verify(bytes);
  assert.ok(WebAssembly.validate(bytes), 'V8 takes what the verifier takes here');
}
function refuses(reason: RegExp, code: number[], change?: Partial<FunctionParts>): void {
  const bytes = assemble(module_(code, change));
  assert.ok(WebAssembly.validate(bytes), 'the attack is a module that V8 would run');
  assert.throws(
    () => verify(bytes),
    (error) => {
      assert.ok(error instanceof RefusedError, String(error));
      assert.match(error.message, reason);
      assert.equal(error.functionIndex, PLACES.quick);
      assert.ok(error.offset > 0 && error.offset < bytes.length);
      return true;
    },
  );
}

test('an access is accepted behind its check, and refused without it', () => {
  accepts([...reload, ...check(8), ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...use]);
  refuses(/no check covers/, [...reload, ...use, ...check(8)]);
  refuses(/no check covers/, [
    ...reload,
    ...check(8),
    ...get(X!),
    EXTEND_U,
    ...i64(1),
    0x85,
    ...set(E!),
    ...use,
  ]);
});

test('a check covers its bytes and not one more', () => {
  accepts([...reload, ...check(16), ...pointer(), ...load(H + 8)]);
  refuses(/covers 16 bytes, the access reaches 17/, [...reload, ...check(16), ...pointer(), ...load(H + 9)]);
  refuses(/covers 7 bytes/, [...reload, ...check(7), ...use]);
  refuses(/covers 8 bytes/, [...reload, ...check(8), ...pointer(), ...load(2n ** 64n - 1n)]);
  accepts([...reload, ...check(8), ...pointer(), ...i64(1), ADD, ...access(LOAD, H), DROP]);
  refuses(/covers 8 bytes/, [...reload, ...check(8), ...pointer(), ...i64(1), ADD, ...load()]);
});

test('the check must end in a trap, ask the right thing, and be asked of the right memory', () => {
  refuses(/no check covers/, [...reload, ...extend, ...exceeds(8), ...IF, END, ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...exceeds(8), 0x45, ...trap, ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...exceeds(8), ...IF, ...use, END]);
  refuses(/no check covers/, [...reload, ...extend, ...exceeds(8).slice(0, -1), 0x55, ...trap, ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...exceeds(8, E, L1), ...trap, ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...exceeds(8), DROP, ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...exceeds(8, Y), ...trap, ...use]);
  accepts([...reload, ...extend, ...exceeds(8), ...IF, ELSE, ...use, END]);
  accepts([...reload, ...BLOCK, ...extend, ...exceeds(8), ...brIf(0), ...use, END]);
  refuses(/no check covers/, [...reload, ...BLOCK, ...extend, ...exceeds(8), ...brIf(0), END, ...use]);
});

test('a fact ends where ways meet that do not all know it', () => {
  const inside = [...exceeds(8), ...trap];
  refuses(/no check covers/, [...reload, ...extend, ...get(X!), ...IF, ...inside, END, ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...get(X!), ...IF, ...inside, ELSE, ...use, END]);
  refuses(/no check covers/, [
    ...reload,
    ...extend,
    ...BLOCK,
    ...get(X!),
    ...brIf(0),
    ...inside,
    END,
    ...use,
  ]);
  const table = [...get(X!), 0x0e, 1, 0, 1];
  refuses(/no check covers/, [
    ...reload,
    ...extend,
    ...BLOCK,
    ...BLOCK,
    ...table,
    END,
    ...inside,
    END,
    ...use,
  ]);
  accepts([...reload, ...extend, ...BLOCK, ...inside, END, ...use]);
  accepts([...reload, ...extend, ...inside, ...get(X!), ...IF, ...use, ELSE, ...use, END, ...use]);
  accepts([...reload, ...extend, ...get(X!), ...IF, RETURN, ELSE, ...inside, END, ...use]);
});

test('a weaker fact from outside is still known when a stronger one from inside has ended', () => {
  const inside = [...get(X!), ...IF, ...exceeds(16), ...trap, ...pointer(), ...load(H + 8), END];
  accepts([...reload, ...check(8), ...inside, ...use]);
  refuses(/covers 8 bytes/, [...reload, ...check(8), ...inside, ...pointer(), ...load(H + 8)]);
});

test('a local that is set loses what was known of it, wherever that happens', () => {
  const change = [...get(Y!), ...set(E!)];
  refuses(/no check covers/, [...reload, ...check(8), ...change, ...use]);
  refuses(/no check covers/, [...reload, ...check(8), ...get(X!), ...IF, ...change, END, ...use]);
  refuses(/no check covers/, [...reload, ...check(8), ...get(X!), ...IF, ELSE, ...change, END, ...use]);
  refuses(/no check covers/, [
    ...reload,
    ...check(8),
    ...LOOP,
    ...use,
    ...change,
    ...get(X!),
    ...brIf(0),
    END,
  ]);
  refuses(/no check covers/, [
    ...[...reload, ...check(8), ...BLOCK, ...change, ...get(X!), ...brIf(0), ...check(8), END, ...use],
  ]);
  accepts([...reload, ...check(8), ...get(E!), ...set(P!), ...change, ...pointer(B, P), ...load()]);
});

test('what was known on entry of a loop holds in it only for values, not for locals', () => {
  refuses(/no check covers/, [...reload, ...check(8), ...LOOP, ...use, END]);
  accepts([...reload, ...LOOP, ...check(8), ...use, ...get(X!), ...brIf(0), END]);
  accepts([...reload, ...LOOP, ...check(8), END, ...use]);
});

test('64-bit near addresses must be known not to wrap', () => {
  const p = [...pointer(B1, Y), ...load(0)];
  refuses(/no check covers/, [...reload, ...exceeds(8, Y, L1), ...trap, ...p]);
  const alone = [...get(Y!), ...get(L1!), GT_U];
  accepts([...reload, ...alone, ...exceeds(8, Y, L1), OR, ...trap, ...p]);
  accepts([...reload, ...exceeds(8, Y, L1), ...alone, OR, ...trap, ...p]);
  accepts([...reload, ...alone, ...trap, ...exceeds(8, Y, L1), ...trap, ...p]);
  refuses(/covers 0 bytes/, [...reload, ...alone, ...trap, ...p]);
  refuses(/no check covers/, [...reload, ...alone, ...exceeds(8, Y, L1), 0x71, ...trap, ...p]); // and
  refuses(/no check covers|covers/, [
    ...reload,
    ...alone,
    ...exceeds(-(2n ** 63n), Y, L1),
    OR,
    ...trap,
    ...p,
  ]);
  refuses(/no check covers|covers/, [...reload, ...alone, ...exceeds(-8, Y, L1), OR, ...trap, ...p]);
});

test('a base is believed until the next call, on every way', () => {
  refuses(/not a base/, use);
  refuses(/not a base/, [...reload, ...check(8), ...IMPORT, ...use]);
  accepts([...reload, ...check(8), ...IMPORT, ...reload, ...use]);
  refuses(/not a base/, [...reload, ...check(8), ...get(X!), ...IF, ...IMPORT, END, ...use]);
  accepts([...reload, ...check(8), ...get(X!), ...IF, ...IMPORT, ...reload, END, ...use]);
  refuses(/not a base/, [...reload, ...check(8), ...get(X!), ...IF, ELSE, ...IMPORT, END, ...use]);
  refuses(/not a base/, [
    ...[...reload, ...check(8), ...BLOCK, ...IMPORT, ...get(X!), ...brIf(0), ...reload, END, ...use],
  ]);
  refuses(/not a base/, [...reload, ...check(8), ...i32(0), ...i64(1), ...call(0), DROP, ...use]);
  refuses(/not a base/, [...reload, ...check(8), ...i32(0), 0x11, PLAIN, 0, ...use]);
});

test('an address is not kept over a call, in a local or on the stack', () => {
  refuses(/may have changed/, [
    ...reload,
    ...check(8),
    ...pointer(),
    ...set(P!),
    ...IMPORT,
    ...reload,
    ...get(P!),
    ...load(),
  ]);
  refuses(/may have changed/, [...reload, ...check(8), ...pointer(), ...IMPORT, ...reload, ...load()]);
  refuses(/may have changed/, [
    ...reload,
    ...check(8),
    ...global(HDR),
    ...IMPORT,
    ...access(LOAD64, STATE_OFFSET),
    DROP,
  ]);
  refuses(/may have changed/, [
    ...[...reload, ...check(8), ...pointer(), ...get(X!), ...IF, ...IMPORT, ...reload, END, ...load()],
  ]);
  // The text of a loop has no call on its last way, but an earlier round has.
  const round = [...get(X!), ...IF, ...IMPORT, ...reload, ...br(1), END];
  refuses(/may have changed/, [...reload, ...check(8), ...pointer(), ...LOOP, ...round, END, ...load()]);
  accepts([...reload, ...check(8), ...pointer(), ...set(P!), ...get(X!), ...IF, END, ...get(P!), ...load()]);
});

test('a loop may trust a base only if each way back does', () => {
  refuses(/branch to a loop/, [
    ...reload,
    ...LOOP,
    ...check(8),
    ...use,
    ...IMPORT,
    ...get(X!),
    ...brIf(0),
    END,
  ]);
  accepts([...reload, ...LOOP, ...check(8), ...use, ...IMPORT, ...reload, ...get(X!), ...brIf(0), END]);
  accepts([...LOOP, ...reload, ...check(8), ...use, ...IMPORT, ...get(X!), ...brIf(0), END]);
  refuses(/not a base/, [...LOOP, ...check(8), ...use, ...reload, ...get(X!), ...brIf(0), END]);
  const catching = [0x1f, 0x40, 1, 2, 0, ...IMPORT, END]; // catch_all to the loop
  refuses(/branch to a loop/, [...reload, ...LOOP, ...catching, END]);
  accepts([...LOOP, ...catching, END]);
});

test('a caught exception brings the state of no place', () => {
  const caught = (inner: number[]): number[] => [
    ...BLOCK,
    0x1f,
    0x40,
    1,
    2,
    0,
    ...inner,
    END,
    ...reload,
    END,
  ];
  refuses(/not a base/, [...reload, ...check(8), ...caught(IMPORT), ...use]);
  accepts([...reload, ...check(8), ...caught(IMPORT), ...reload, ...use]);
  refuses(/no check covers/, [
    ...reload,
    ...extend,
    ...caught([...exceeds(8), ...trap, ...IMPORT]),
    ...reload,
    ...use,
  ]);
  refuses(/no check covers/, [
    ...[...reload, ...check(8), ...caught([...get(Y!), ...set(E!), ...IMPORT, ...extend]), ...reload, ...use],
  ]);
});

test('role locals hold their role and nothing else', () => {
  refuses(/base local/, [...get(Y!), ...set(B!)]);
  refuses(/base local/, [...global(BASE1), ...set(B!)]);
  refuses(/base local/, [...global(HDR), ...i64(8), ADD, ...set(B!)]);
  refuses(/base local/, [...global(HDR), ...IMPORT, ...set(B!)]);
  refuses(/base local/, [...global(HDR), ...tee(P!), DROP, ...get(Y!), ...tee(B!), DROP]);
  refuses(/limit local/, [...get(Y!), ...set(L!)]);
  refuses(/limit local/, [...global(LIMIT1), ...set(L!)]);
  accepts([...global(HDR), ...tee(B!), ...tee(P!), DROP, ...get(L!), ...set(L!)]);
  const roles = (role: 'base' | 'limit', local: number, memory = 0) => ({ roles: [{ local, role, memory }] });
  refuses(/not a local of its own/, [], roles('limit', Y!));
  refuses(/not a local of its own/, [], roles('base', 9));
  refuses(/names memory/, [], roles('limit', E!, 2));
  refuses(/two roles/, [], { roles: [...roles('base', E!).roles, ...roles('limit', E!).roles] });
});

test('what is not a base and a value is no address', () => {
  refuses(/no base/, [...get(Y!), ...load()]);
  refuses(/no base/, [...i64(0), ...load()]);
  refuses(/no base/, [...i64(0), ...access(LOAD, FLAG_ADDRESS + 1), DROP]);
  refuses(/no base/, [...i64(0), ...access(LOAD64, FLAG_ADDRESS), DROP]);
  refuses(/no base/, [...i64(0), ...i32(1), ...access(0x36, FLAG_ADDRESS)]);
  refuses(/no base/, [...i64(8), ...access(LOAD, FLAG_ADDRESS), DROP]);
  accepts([...i64(0), ...access(LOAD, FLAG_ADDRESS), DROP]);
  refuses(/not a base/, [...reload, ...check(8), ...get(B!), ...get(B!), ADD, ...load()]);
  refuses(/not a base/, [...reload, ...check(8), ...get(B!), ...get(E!), 0x7d, ...load()]); // sub
  refuses(/not a base/, [...reload, ...check(8), ...pointer(), ...get(E!), ADD, ...load()]);
  refuses(/not a base/, [...reload, ...check(8), ...pointer(), ...i64(-8), ADD, ...load()]);
  refuses(/not a base/, [...reload, ...check(8), ...pointer(), ...pointer(), ...get(X!), 0x1b, ...load()]); // select
  refuses(/not a base/, [...get(L!), ...load()]);
});

test('the state zone is open at constant places, the control page is not', () => {
  const at = (offset: number): number[] => [...global(HDR), ...load(offset)];
  accepts([...at(STATE_OFFSET), ...at(H - 8)]);
  refuses(/control area/, at(STATE_OFFSET - 1));
  refuses(/control area/, at(8));
  refuses(/covers 0 bytes/, at(H));
  refuses(/control area/, at(H - 7));
  refuses(/no check covers/, [...reload, ...pointer(), ...load(STATE_OFFSET)]);
  refuses(/control area/, [...reload, ...check(8), ...pointer(), ...load(STATE_OFFSET)]);
  refuses(/covers 0 bytes/, [...global(BASE1), ...load(STATE_OFFSET)]);
});

test('marks are set to 1, for pages of the memory only', () => {
  const mark = (page: number, value = 1, store = access(STORE8, MARKS_ADDRESS + page)): number[] => [
    ...[...reload, ...check(8), ...pointer(), ...i64(12), SHR_U, ...i32(value), ...store],
  ];
  accepts(mark(H >> 12));
  accepts(mark(0));
  refuses(/outside the memory/, mark((H >> 12) + 1));
  refuses(/outside the memory/, mark(-1));
  refuses(/other than 1|else than 1/, mark(16, 0));
  refuses(/page number/, mark(16, 1, access(0x36, MARKS_ADDRESS + 16)));
  const unchecked = [...reload, ...extend, ...pointer(), ...i64(12), SHR_U, ...i32(1)];
  refuses(/no check covers/, [...unchecked, ...access(STORE8, MARKS_ADDRESS + 16)]);
  const late = [...reload, ...check(8), ...pointer(), ...i64(12), SHR_U, ...IMPORT, ...i32(1)];
  refuses(/may have changed/, [...late, ...access(STORE8, MARKS_ADDRESS + 16)]);
  refuses(/not a base/, [
    ...[...reload, ...check(8), ...pointer(), ...i64(11), SHR_U, ...i32(1), ...access(STORE8, MARKS_ADDRESS)],
  ]);
});

test('memory instructions that no rule allows are refused', () => {
  refuses(/memory.size/, [0x3f, 0, DROP]);
  refuses(/memory.size/, [...i64(1), 0x40, 0, DROP]);
  refuses(/templates/, [...i64(0), ...i32(0), ...i64(0), 0xfc, 11, 0]);
  refuses(/templates/, [...i64(0), ...i64(0), ...i64(0), 0xfc, 10, 0, 0]);
  refuses(/templates/, [...i64(0), ...i32(0), ...i32(0), 0xfc, 8, 0, 0]);
  refuses(/wait and notify/, [...i64(0), ...i32(0), 0xfe, 0, 2, 0, DROP]);
  accepts([0xfc, 9, 0, 0xfe, 3, 0]); // data.drop, atomic.fence
  refuses(/no check covers/, [...reload, ...extend, ...pointer(), 0xfd, 0, 0, ...u(H), DROP]); // v128.load
  accepts([...reload, ...check(16), ...pointer(), 0xfd, 0, 0, ...u(H), DROP]);
  refuses(/covers 15/, [...reload, ...check(15), ...pointer(), 0xfd, 0, 0, ...u(H), DROP]);
  const rmw = (k: number): number[] => [
    ...reload,
    ...check(k),
    ...pointer(),
    ...i64(1),
    0xfe,
    0x1f,
    3,
    ...u(H),
    DROP,
  ];
  accepts(rmw(8));
  refuses(/covers 7/, rmw(7));
});

test('what cannot be reached is not looked at, and gives no facts', () => {
  accepts([UNREACHABLE, ...i64(0), ...load()]);
  accepts([...reload, ...BLOCK, ...br(0), ...LOOP, ...i64(0), ...load(), END, END]);
  refuses(/no check covers/, [...reload, ...extend, ...BLOCK, ...br(0), ...exceeds(8), ...trap, END, ...use]);
  refuses(/no check covers/, [...reload, ...extend, ...BLOCK, ...get(X!), ...IF, ...br(1), END, END, ...use]);
});

test('globals, tables and functions of the system are out of reach', () => {
  refuses(/global of the system/, [...i64(0), 0x24, HDR]);
  accepts([...i64(0), 0x24, 0]);
  const table = (code: number[]): void => refuses(/belongs to the system/, code);
  for (const t of [1, 2]) {
    table([...i32(0), 0xd0, 0x70, 0x26, t]);
    table([...i32(0), 0x11, PLAIN, t]);
    table([0xfc, 16, t, DROP]);
    table([0xd0, 0x70, ...i32(1), 0xfc, 15, t, DROP]);
    table([...i32(0), 0xd0, 0x70, ...i32(0), 0xfc, 17, t]);
    table([...i32(0), ...i32(0), ...i32(0), 0xfc, 14, t, 0]);
    table([...i32(0), ...i32(0), ...i32(0), 0xfc, 14, 0, t]);
    table([...i32(0), ...i32(0), ...i32(0), 0xfc, 12, 0, t]);
  }
  table([...i32(0), 0x25, 1, DROP]);
  accepts([...i32(0), 0x25, 2, DROP]); // a reference by its original index
  refuses(/for the kernel/, call(PLACES.init));
  refuses(/for its wrapper/, call(PLACES.prelude - 1));
  refuses(/for its wrapper/, [0x12, PLACES.prelude - 1]);
  accepts([...call(1), ...call(2), ...i32(1), ...call(PLACES.prelude)]);
});

test('malformed code is refused with its place', () => {
  const malformed = (reason: RegExp, code: number[]): void => {
    const bytes = assemble(module_(code));
    assert.throws(
      () => verify(bytes),
      (error) => error instanceof MalformedError && reason.test(error.message) && error.offset > 0,
    );
  };
  malformed(/unknown instruction/, [0xff]);
  malformed(/unknown instruction/, [0x06, 0x40, END]); // the old try
  malformed(/too few operands/, [DROP]);
  malformed(/too few operands/, [...i32(1), ...BLOCK, DROP, END, DROP]);
  malformed(/no label/, br(7));
  malformed(/no local/, get(77));
  malformed(/no function/, call(999));
  malformed(/no type/, [0x02, 0xe3, 0x00, END]);
  malformed(/wrong number of operands/, i32(1));
  malformed(/else without if/, [...BLOCK, ELSE, END]);
  malformed(/behind the end|section/, [END]);
  malformed(/unexpected end/, BLOCK);
  malformed(/names a memory/, [...i64(0), LOAD, 0x40, 0, 64, DROP]);
});

test('deep nesting and many operands are refused, not crashed on', () => {
  const deep = Array.from({ length: 200_000 }, () => BLOCK).flat();
  const bytes = assemble(module_(deep));
  assert.throws(() => verify(bytes), /constructs open/);
  const ends = Array.from({ length: 50_000 }, () => END);
  verify(assemble(module_([...deep.slice(0, 100_000), ...ends])));
});

test('a store is checked by the deepest of its operands', () => {
  accepts([...reload, ...check(8), ...pointer(), ...get(Y!), ...access(STORE64, H)]);
  refuses(/no base/, [...reload, ...check(8), ...get(Y!), ...pointer(), ...access(STORE64, H)]);
  accepts([...reload, ...check(8), ...get(E!), ...set(P!), ...get(X!), ...tee(Q!), DROP]);
});
