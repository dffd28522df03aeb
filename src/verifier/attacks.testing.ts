/**
 * What the tests of the verifier share: a module with one function in which attacks are made, and the pieces of code
 * that attacks and what is like them consist of.
 */

import assert from 'node:assert/strict';
import {
  ADD,
  access,
  assemble,
  baseOf,
  call,
  DROP,
  END,
  EXTEND_U,
  type FunctionParts,
  GT_U,
  get,
  global,
  I32,
  I64,
  IF,
  i64,
  LOAD64,
  type ModuleParts,
  places,
  set,
  UNREACHABLE,
} from '../../tools/fuzzing/assembly.ts';
import { RefusedError } from '../base/errors.ts';
import { verify } from './verify.ts';

// One function (i32, i64) -> () in a module with two memories, the second with 64-bit addresses. Attacks are refused
// with the reason that belongs to the broken rule; beside each stands what is like it and is accepted.
export const [X, Y, E, P, B, L, B1, L1, Q] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const MEMORIES = [
  { is64: false, min: 1, max: -1 },
  { is64: true, min: 1, max: -1 },
];
export const HDR = 1; // behind one global of the program
export const LIMIT = HDR + 1;
export const BASE1 = HDR + 2;
export const LIMIT1 = HDR + 3;

const FUNCTION: FunctionParts = {
  ...{ params: [I32, I64], results: [], locals: [I64, I64, I64, I64, I64, I64, I32], code: [] },
  limits: [
    { local: L!, memory: 0 },
    { local: L1!, memory: 1 },
  ],
};
export const module_ = (code: number[], change: Partial<FunctionParts> = {}): ModuleParts => ({
  memories: MEMORIES,
  imports: [{ params: [], results: [] }],
  quick: [{ ...FUNCTION, code, ...change }],
  globals: 1,
  refs: true,
  datas: [[1, 2, 3]],
});
/** Index of the type () -> (): that of the second system function. */
export const PLAIN = 1;
export const PLACES = places(module_([]));
export const IMPORT = call(PLACES.wrappers);

export const reload = [
  ...[...baseOf(HDR, 0), ...set(B!), ...global(LIMIT), ...set(L!)],
  ...[...global(BASE1), ...set(B1!), ...global(LIMIT1), ...set(L1!)],
];
/** e := x, and the question whether e + k lies behind the limit. */
export const extend = [...get(X!), EXTEND_U, ...set(E!)];
export const exceeds = (k: number | bigint, e = E!, limit = L!): number[] => [
  ...get(e),
  ...i64(k),
  ADD,
  ...get(limit),
  GT_U,
];
export const trap = [...IF, UNREACHABLE, END];
export const check = (k: number): number[] => [...extend, ...exceeds(k), ...trap];
export const pointer = (base = -1, e = E!): number[] => [
  ...(base < 0 ? baseOf(HDR, 0) : get(base)),
  ...get(e),
  ADD,
];
export const load = (offset: number | bigint = 0): number[] => [...access(LOAD64, offset), DROP];
export const use = [...pointer(), ...load()];
/** The same with the base that a local holds. */
export const useLocal = [...pointer(B!), ...load()];

export function accepts(code: number[], change?: Partial<FunctionParts>): void {
  const bytes = assemble(module_(code, change));
  verify(bytes);
  assert.ok(WebAssembly.validate(bytes), 'V8 takes what the verifier takes here');
}
export function refuses(reason: RegExp, code: number[], change?: Partial<FunctionParts>): void {
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
