import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ADD,
  access,
  assemble,
  BLOCK,
  baseOf,
  brIf,
  call,
  DROP,
  ELSE,
  END,
  EXTEND_U,
  GT_U,
  get,
  global,
  H,
  IF,
  i32,
  i64,
  LOAD,
  LOAD64,
  OR,
  SHR_U,
  STORE8,
  STORE64,
  set,
  tee,
  u,
} from '../../tools/fuzzing/assembly.ts';
import { FLAG_ADDRESS, MARKS_ADDRESS, STATE_OFFSET } from '../abi/layout.ts';
import {
  accepts,
  B,
  B1,
  BASE1,
  check,
  E,
  exceeds,
  extend,
  HDR,
  IMPORT,
  L,
  L1,
  LIMIT,
  LIMIT1,
  load,
  module_,
  P,
  PLACES,
  PLAIN,
  pointer,
  Q,
  refuses,
  reload,
  trap,
  use,
  useLocal,
  X,
  Y,
} from './attacks.testing.ts';
import { verify } from './verify.ts';

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

test('what is known of one value is not known of another', () => {
  const unknown = [...get(X!), ...get(X!), ...get(X!), 0x1b, EXTEND_U]; // select
  const checked = [...reload, ...unknown, ...set(E!), ...exceeds(8), ...trap];
  accepts([...checked, ...use]);
  refuses(/no check covers/, [...checked, ...unknown, ...set(E!), ...use]);
  // Of a sum with a base nothing is learnt: that may have wrapped.
  const asked = [...reload, ...get(Y!), ...set(E!), ...pointer(), ...get(L!), GT_U, ...trap];
  refuses(/no check covers/, [...asked, ...use]);
  accepts([...asked, ...exceeds(0), ...trap, ...exceeds(8), ...trap, ...use]);
});

test('what is known in one function is not known in the next', () => {
  const [first] = module_([...reload, ...check(8), ...use]).quick;
  const verified = (code: number[]): void => {
    const parts = module_([]);
    verify(assemble({ ...parts, quick: [first!, { ...first!, code }] }));
  };
  verified(first!.code);
  assert.throws(() => verified([...reload, ...extend, ...use, ...check(8)]), /no check covers/);
  assert.throws(() => verified([...extend, ...exceeds(8), ...trap, ...useLocal]), /not a base/);
});

test('a check covers its bytes and not one more', () => {
  accepts([...reload, ...check(16), ...pointer(), ...load(8)]);
  refuses(/covers 16 bytes, the access reaches 17/, [...reload, ...check(16), ...pointer(), ...load(9)]);
  refuses(/covers 7 bytes/, [...reload, ...check(7), ...use]);
  refuses(/covers 8 bytes/, [...reload, ...check(8), ...pointer(), ...load(2n ** 64n - 1n)]);
  accepts([...reload, ...check(8), ...pointer(), ...i64(1), ADD, ...access(LOAD, 0), DROP]);
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

test('a sum of a 64-bit near address that may have wrapped is a value of its own', () => {
  const sum = [...get(Y!), ...i64(8), ADD];
  const both = [...exceeds(8, E, L1), ...get(E!), ...get(L1!), GT_U, OR, ...trap];
  const access_ = [...pointer(B1, E), ...load(0)];
  accepts([...reload, ...sum, ...set(E!), ...both, ...access_]);
  accepts([...reload, ...sum, ...tee(E!), DROP, ...both, ...access_]);
  // What was learnt of the sum says nothing of its parts, nor the other way round.
  refuses(/no check covers/, [...reload, ...sum, ...set(E!), ...both, ...pointer(B1, Y), ...load(0)]);
  refuses(/no check covers/, [
    ...reload,
    ...sum,
    ...set(E!),
    ...both,
    ...pointer(B1, Y),
    ...i64(8),
    ADD,
    ...load(0),
  ]);
  const root = [...exceeds(8, Y, L1), ...get(Y!), ...get(L1!), GT_U, OR, ...trap];
  refuses(/covers 8 bytes/, [...reload, ...root, ...sum, ...set(E!), ...access_]);
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

test('limit locals hold a limit and nothing else', () => {
  refuses(/limit local/, [...get(Y!), ...set(L!)]);
  refuses(/limit local/, [...global(LIMIT1), ...set(L!)]);
  refuses(/limit local/, [...global(LIMIT1), ...tee(L!), DROP]);
  accepts([...global(LIMIT), ...tee(L!), DROP, ...get(L!), ...set(L!)]);
  accepts([...global(LIMIT), ...IMPORT, ...set(L!)]);
  const limit = (local: number, memory = 0) => ({ limits: [{ local, memory }] });
  refuses(/not a local of its own/, [], limit(Y!));
  refuses(/not a local of its own/, [], limit(9));
  refuses(/names memory/, [], limit(E!, 2));
  refuses(/named twice/, [], { limits: [...limit(E!).limits, ...limit(E!).limits] });
});

test('a base is what was read as one', () => {
  const at = (code: number[]): number[] => [...reload, ...check(8), ...code, ...useLocal];
  accepts(at([]));
  accepts(at([...baseOf(HDR, 0), ...IMPORT, ...set(B!)])); // what was read before a call is the base still
  accepts(at([...baseOf(HDR, 0), ...tee(B!), ...tee(P!), DROP]));
  refuses(/./, at([...get(Y!), ...set(B!)]));
  refuses(/./, at([...global(BASE1), ...set(B!)]));
  refuses(/./, at([...baseOf(HDR, 0), ...i64(8), ADD, ...set(B!)]));
  refuses(/./, at([...global(HDR), ...set(B!)]));
  refuses(/./, at([...global(HDR), ...i64(H - 1), ADD, ...set(B!)]));
  refuses(/./, at([...baseOf(HDR, 0), ...get(Y!), ADD, ...set(B!)]));
  refuses(/./, [...global(LIMIT), ...set(L!), ...check(8), ...useLocal]); // it began as 0
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
  refuses(/control area/, at(H - 7));
  refuses(/no check covers/, [...reload, ...pointer(), ...load(STATE_OFFSET)]);
  const value = [...reload, ...check(8), ...global(HDR), ...get(E!), ADD];
  refuses(/control area/, [...value, ...load(STATE_OFFSET)]);
  refuses(/control area/, [...value, ...load(H - 1)]);
  accepts([...value, ...load(H)]);
  refuses(/covers 8 bytes, the access reaches 9/, [...value, ...load(H + 1)]);
  accepts([...value, ...i64(H), ADD, ...load()]);
  // A bounded value added to a pointer must not bring it back into memory 0 from nowhere.
  refuses(/not a base|no check/, [...value, ...get(X!), ...i32(7), 0x71, EXTEND_U, ADD, ...load(H)]);
});

test('marks are set to 1, for pages of the memory only', () => {
  const mark = (page: number, value = 1, store = access(STORE8, MARKS_ADDRESS + page)): number[] => [
    ...[...reload, ...check(8), ...pointer(), ...i64(12), SHR_U, ...i32(value), ...store],
  ];
  accepts(mark(0));
  refuses(/outside the memory/, mark(1));
  refuses(/outside the memory/, mark(-1));
  refuses(/other than 1|else than 1/, mark(0, 0));
  refuses(/page number/, mark(0, 1, access(0x36, MARKS_ADDRESS)));
  const unchecked = [...reload, ...extend, ...pointer(), ...i64(12), SHR_U, ...i32(1)];
  refuses(/no check covers/, [...unchecked, ...access(STORE8, MARKS_ADDRESS)]);
  const late = [...reload, ...check(8), ...pointer(), ...i64(12), SHR_U, ...IMPORT, ...i32(1)];
  accepts([...late, ...access(STORE8, MARKS_ADDRESS)]);
  refuses(/not a base/, [
    ...[...reload, ...check(8), ...pointer(), ...i64(11), SHR_U, ...i32(1), ...access(STORE8, MARKS_ADDRESS)],
  ]);
});

test('memory instructions that no rule allows are refused', () => {
  refuses(/not for rewritten code/, [0x3f, 0, DROP]);
  refuses(/not for rewritten code/, [...i64(1), 0x40, 0, DROP]);
  refuses(/not for rewritten code/, [...i64(0), ...i32(0), ...i64(0), 0xfc, 11, 0]);
  refuses(/not for rewritten code/, [...i64(0), ...i64(0), ...i64(0), 0xfc, 10, 0, 0]);
  refuses(/not for rewritten code/, [...i64(0), ...i32(0), ...i32(0), 0xfc, 8, 0, 0]);
  refuses(/not for rewritten code/, [...i64(0), ...i32(0), 0xfe, 0, 2, 0, DROP]);
  accepts([0xfc, 9, 0, 0xfe, 3, 0]); // data.drop, atomic.fence
  refuses(/no check covers/, [...reload, ...extend, ...pointer(), 0xfd, 0, 0, ...u(0), DROP]); // v128.load
  accepts([...reload, ...check(16), ...pointer(), 0xfd, 0, 0, ...u(0), DROP]);
  refuses(/covers 15/, [...reload, ...check(15), ...pointer(), 0xfd, 0, 0, ...u(0), DROP]);
  const rmw = (k: number): number[] => [
    ...reload,
    ...check(k),
    ...pointer(),
    ...i64(1),
    0xfe,
    0x1f,
    3,
    ...u(0),
    DROP,
  ];
  accepts(rmw(8));
  refuses(/covers 7/, rmw(7));
});

test('globals, tables and functions of the system are out of reach', () => {
  refuses(/global of the system/, [...i64(0), 0x24, HDR]);
  accepts([...i64(0), 0x24, 0]);
  const table = (code: number[]): void => refuses(/belongs to the system/, code);
  const t = 1;
  table([...i32(0), 0xd0, 0x70, 0x26, t]);
  table([...i32(0), 0x11, PLAIN, t]);
  table([0xfc, 16, t, DROP]);
  table([0xd0, 0x70, ...i32(1), 0xfc, 15, t, DROP]);
  table([...i32(0), 0xd0, 0x70, ...i32(0), 0xfc, 17, t]);
  table([...i32(0), ...i32(0), ...i32(0), 0xfc, 14, t, 0]);
  table([...i32(0), ...i32(0), ...i32(0), 0xfc, 14, 0, t]);
  table([...i32(0), ...i32(0), ...i32(0), 0xfc, 12, 0, t]);
  accepts([...i32(0), 0x25, t, DROP]); // a reference by its original index
  refuses(/for the kernel/, call(PLACES.init));
  refuses(/for its wrapper/, call(PLACES.prelude - 1));
  refuses(/for its wrapper/, [0x12, PLACES.prelude - 1]);
  accepts([...call(1), ...call(2), ...i32(1), ...call(PLACES.prelude)]);
});

test('a store is checked by the deepest of its operands', () => {
  accepts([...reload, ...check(8), ...pointer(), ...get(Y!), ...access(STORE64, 0)]);
  refuses(/no base/, [...reload, ...check(8), ...get(Y!), ...pointer(), ...access(STORE64, 0)]);
  accepts([...reload, ...check(8), ...get(E!), ...set(P!), ...get(X!), ...tee(Q!), DROP]);
});
