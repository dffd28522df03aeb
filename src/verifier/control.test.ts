import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  access,
  assemble,
  BLOCK,
  br,
  brIf,
  call,
  DROP,
  ELSE,
  END,
  get,
  global,
  IF,
  i32,
  i64,
  LOAD,
  LOAD64,
  LOOP,
  RETURN,
  set,
  UNREACHABLE,
  u,
} from '../../tools/fuzzing/assembly.ts';
import { STATE_OFFSET } from '../abi/layout.ts';
import { MalformedError } from '../base/errors.ts';
import {
  accepts,
  B,
  check,
  E,
  exceeds,
  extend,
  HDR,
  IMPORT,
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
  const inside = [...get(X!), ...IF, ...exceeds(16), ...trap, ...pointer(), ...load(8), END];
  accepts([...reload, ...check(8), ...inside, ...use]);
  refuses(/covers 8 bytes/, [...reload, ...check(8), ...inside, ...pointer(), ...load(8)]);
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

test('a base is in a local where that was set on every way by the same instruction', () => {
  refuses(/not a base/, useLocal);
  refuses(/not a base/, [...check(8), ...useLocal, ...reload]);
  refuses(/not a base/, [...get(X!), ...IF, ...reload, END, ...check(8), ...useLocal]);
  refuses(/not a base/, [...get(X!), ...IF, ...reload, ELSE, END, ...check(8), ...useLocal]);
  refuses(/not a base/, [...get(X!), ...IF, ...reload, ELSE, ...reload, END, ...check(8), ...useLocal]);
  accepts([...reload, ...get(X!), ...IF, RETURN, END, ...check(8), ...useLocal]);
  refuses(/not a base/, [...BLOCK, ...get(X!), ...brIf(0), ...reload, END, ...check(8), ...useLocal]);
  refuses(/not a base/, [...BLOCK, ...i32(0), 0x0e, 0, 0, END, ...check(8), ...useLocal]);
  refuses(/not a base/, [...get(X!), ...IF, ...reload, ELSE, ...check(8), ...useLocal, END]);
  // In the round before is not on every way.
  refuses(/not a base/, [...LOOP, ...check(8), ...useLocal, ...reload, ...get(X!), ...brIf(0), END]);
  accepts([...LOOP, ...reload, ...check(8), ...useLocal, ...get(X!), ...brIf(0), END, ...useLocal]);
  refuses(/not a base/, [...reload, ...LOOP, ...check(8), ...useLocal, ...get(X!), ...brIf(0), END]);
});

test('a base and an address stay what they are over calls', () => {
  accepts([...reload, ...check(8), ...IMPORT, ...use]);
  accepts([...reload, ...check(8), ...IMPORT, ...reload, ...use]);
  accepts([...reload, ...check(8), ...get(X!), ...IF, ...IMPORT, ...reload, END, ...use]);
  accepts([...reload, ...check(8), ...i32(0), 0x11, PLAIN, 0, ...use]);
  accepts([...reload, ...check(8), ...pointer(), ...set(P!), ...IMPORT, ...get(P!), ...load()]);
  accepts([...reload, ...check(8), ...pointer(), ...IMPORT, ...load()]);
  accepts([...global(HDR), ...IMPORT, ...access(LOAD64, STATE_OFFSET), DROP]);
  const round = [...get(X!), ...IF, ...IMPORT, ...br(1), END];
  accepts([...reload, ...check(8), ...pointer(), ...LOOP, ...round, END, ...load()]);
  refuses(/no base/, [...reload, ...check(8), ...pointer(), ...set(P!), ...LOOP, ...get(P!), ...load(), END]);
});

test('a caught exception brings the state of no place in its try_table', () => {
  const caught = (inner: number[]): number[] => [...BLOCK, 0x1f, 0x40, 1, 2, 0, ...inner, END, ...br(0), END];
  accepts([...reload, ...check(8), ...caught(IMPORT), ...use]);
  refuses(/not a base/, [...check(8), ...caught([...IMPORT, ...reload]), ...useLocal]);
  refuses(/not a base/, [...check(8), ...caught([...reload, ...IMPORT]), ...useLocal]);
  refuses(/no check covers/, [...reload, ...extend, ...caught([...exceeds(8), ...trap, ...IMPORT]), ...use]);
  refuses(/no check covers/, [
    ...[...reload, ...check(8), ...caught([...get(Y!), ...set(E!), ...IMPORT, ...extend]), ...use],
  ]);
  const again = [0x1f, 0x40, 1, 2, 0, ...IMPORT, END]; // catch_all to the loop
  accepts([...reload, ...LOOP, ...check(8), ...use, ...again, END]);
  refuses(/not a base/, [...LOOP, ...check(8), ...useLocal, ...again, ...reload, END]);
});

/** Code that V8 takes, and that is refused with its place before any rule for memory is asked. */
function malformed(reason: RegExp, code: number[]): void {
  const bytes = assemble(module_(code));
  assert.throws(
    () => verify(bytes),
    (error) => error instanceof MalformedError && reason.test(error.message) && error.offset > 0,
  );
}

test('no code stands where none is reached, and behind it nothing is known', () => {
  const dead = (code: number[]): void => malformed(/cannot be reached/, code);
  dead([UNREACHABLE, ...i64(0), ...load()]);
  dead([RETURN, 0x01]);
  dead([...BLOCK, ...br(0), ...LOOP, END, END]);
  dead([...BLOCK, ...i32(0), 0x0e, 0, 0, 0x01, END]);
  dead([...get(X!), ...get(Y!), 0x12, PLACES.quick, 0x01]); // return_call
  dead([...get(X!), ...IF, ...br(0), 0x01, ELSE, END]);
  // Behind the end of a construct that nothing leaves V8 takes code for reachable, and so does the verifier.
  const nowhere = [...BLOCK, UNREACHABLE, END];
  accepts([...reload, ...check(8), ...nowhere, ...use]);
  refuses(/no base/, [...nowhere, ...i64(0), ...load()]);
  refuses(/no check covers/, [...reload, ...nowhere, ...extend, ...use]);
  refuses(/not a base/, [0x02, 0x7e, UNREACHABLE, END, ...load()]);
  accepts([0x02, 0x7e, UNREACHABLE, END, DROP, ...LOOP, ...br(0), END, ...get(X!), DROP]);
  accepts([...get(X!), ...IF, RETURN, ELSE, ...br(0), END]);
  refuses(/no check covers/, [...reload, ...extend, ...BLOCK, ...get(X!), ...IF, ...br(1), END, END, ...use]);
  refuses(/no check covers/, [...reload, ...get(X!), ...IF, ...check(8), ...br(0), END, ...use]);
});

test('what an if asked is known behind it only where its first part cannot get there', () => {
  const asked = [...reload, ...extend, ...exceeds(8), ...IF];
  accepts([...asked, RETURN, END, ...use]);
  refuses(/no check covers/, [...asked, END, ...use]);
  refuses(/no check covers/, [...asked, ...br(0), END, ...use]);
  refuses(/no check covers/, [...asked, ...get(X!), ...brIf(0), RETURN, END, ...use]);
  refuses(/no check covers/, [...asked, 0x1f, 0x40, 1, 2, 0, ...IMPORT, END, RETURN, END, ...use]);
  accepts([...BLOCK, ...asked, ...br(1), END, ...use, END]);
  accepts([...asked, RETURN, ELSE, ...use, END]);
  refuses(/no check covers/, [...asked, ...use, END]);
});

test('malformed code is refused with its place', () => {
  malformed(/not for rewritten code/, [0xff]);
  malformed(/not for rewritten code/, [0x06, 0x40, END]); // the old try
  malformed(/not for rewritten code/, [0xd2, ...u(PLACES.quick), 0x14, PLAIN]); // call_ref
  malformed(/not for rewritten code/, [0xd2, ...u(PLACES.quick), 0x15, PLAIN]); // return_call_ref
  malformed(/not for rewritten code/, [...BLOCK, 0xd0, 0x70, 0xd5, 0, DROP, END]); // br_on_null
  malformed(/not for rewritten code/, [...i32(0), 0xfb, 0x1c, DROP]); // ref.i31
  malformed(/not for rewritten code/, [0xfd, ...u(0x120), DROP]); // half precision
  malformed(/too few operands/, [DROP]);
  malformed(/too few operands/, [...i32(1), ...BLOCK, DROP, END, DROP]);
  malformed(/too few operands/, [...i32(1), ...BLOCK, DROP, ...i32(1), END, DROP]);
  malformed(/too few operands/, [...i32(1), ...BLOCK, ...set(Q!), ...i32(1), END, DROP]);
  malformed(/no label/, br(7));
  malformed(/no local/, get(77));
  malformed(/no function/, call(999));
  malformed(/no type/, [0x02, 0xe3, 0x00, END]);
  malformed(/unknown heap type/, [0xd0, 0x00, DROP]);
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
