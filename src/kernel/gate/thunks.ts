/**
 * Thunks: how values cross a gate that JavaScript cannot carry. A number loses the bits of a NaN on its way through it, an
 * i64 becomes a bigint, a v128 cannot pass at all. So on the caller's side a small function of WebAssembly stores the
 * parameters in the transfer area (abi/layout.ts) and calls the gate, which takes nothing; on the callee's side another
 * loads them and calls the procedure; results go the same way back. Between, no code runs but the kernel's.
 *
 * Where all values are i32, and there is one result at most, nothing of this is needed.
 */
import { TRANSFER_ADDRESS, VALUE_BYTES } from '../../abi/layout.ts';
import type { FunctionShape } from '../../abi/program.ts';
import { unreachable } from '../../base/assert.ts';
import { pushUnsigned } from '../../base/leb.ts';
import { SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../../base/limits.ts';
import type { Space } from '../../space/index.ts';
import { F32, F64, I32, I64, V128 } from '../frames.ts';

// biome-ignore lint/suspicious/noExplicitAny: a function of WebAssembly, or one that it imports
export type Callable = (...args: any[]) => unknown;

export const isDirect = ({ params, results }: FunctionShape): boolean =>
  results.length <= 1 && [...params, ...results].every((type) => type === I32);

/** A function of this type that hands everything to one that takes nothing. */
export function callerSide(space: Space, shape: FunctionShape, gate: Callable): WebAssembly.Func {
  return instantiate(space, shape, 'caller', gate);
}

const calleeSides = new WeakMap<Callable, Callable>();
/** The reverse: takes nothing, and calls a function of this type. */
export function calleeSide(space: Space, shape: FunctionShape, procedure: Callable): Callable {
  let found = calleeSides.get(procedure);
  if (found === undefined) {
    found = instantiate(space, shape, 'callee', procedure) as Callable;
    calleeSides.set(procedure, found);
  }
  return found;
}

type Side = 'caller' | 'callee';
const modules = new Map<string, WebAssembly.Module>();

function instantiate(space: Space, shape: FunctionShape, side: Side, f: Callable): WebAssembly.Func {
  const key = `${side} ${shape.params.join()} ${shape.results.join()}`;
  let module = modules.get(key);
  if (module === undefined) {
    module = new WebAssembly.Module(thunk(shape, side));
    modules.set(key, module);
  }
  const instance = new WebAssembly.Instance(module, { '': { m: space.memory, f: f as WebAssembly.Func } });
  return instance.exports.t as WebAssembly.Func;
}

const section = (id: number, content: number[]): number[] => [id, ...sized(content)];
function sized(content: number[]): number[] {
  const out: number[] = [];
  pushUnsigned(out, content.length);
  return [...out, ...content];
}
function vector(items: number[][]): number[] {
  const out: number[] = [];
  pushUnsigned(out, items.length);
  return [...out, ...items.flat()];
}
function unsigned(value: number): number[] {
  const out: number[] = [];
  pushUnsigned(out, value);
  return out;
}

/** Where value i lies, as the immediate of an access: alignment 1, offset. The address under it is 0. */
const place = (i: number): number[] => [0, ...unsigned(TRANSFER_ADDRESS + VALUE_BYTES * i)];
const ZERO = [0x42, 0]; // i64.const 0

function load(type: number, i: number): number[] {
  const code = { [I32]: [0x28], [I64]: [0x29], [F32]: [0x2a], [F64]: [0x2b], [V128]: [0xfd, 0] }[type];
  return [...ZERO, ...(code ?? unreachable('only numbers and vectors cross')), ...place(i)];
}
function store(type: number, i: number): number[] {
  const code = { [I32]: [0x36], [I64]: [0x37], [F32]: [0x38], [F64]: [0x39], [V128]: [0xfd, 11] }[type];
  return [...(code ?? unreachable('only numbers and vectors cross')), ...place(i)];
}

/** Type 0 is the procedure's, type 1 takes and gives nothing. Imports memory `m` and function `f`, exports function `t`. */
function thunk({ params, results }: FunctionShape, side: Side): Uint8Array<ArrayBuffer> {
  const [own, other] = side === 'caller' ? [0, 1] : [1, 0];
  const taken = side === 'caller' ? params : results;
  const given = side === 'caller' ? results : params;
  // Results of a call lie on the stack, the last on top, and each has to go under its address.
  const locals = side === 'caller' ? [] : results.map((type) => [1, type]);
  const code = [
    ...(side === 'caller' ? [] : given.flatMap(load)),
    ...(side === 'caller'
      ? taken.flatMap((type, i) => [...ZERO, 0x20, ...unsigned(i), ...store(type, i)])
      : []),
    ...[0x10, 0],
    ...(side === 'caller'
      ? given.flatMap(load)
      : [
          ...results.flatMap((_, i) => [0x21, ...unsigned(results.length - 1 - i)]),
          ...taken.flatMap((type, i) => [...ZERO, 0x20, ...unsigned(i), ...store(type, i)]),
        ]),
    0x0b,
  ];
  const memory = [0x02, 0x07, ...unsigned(SPACE_MIN_FRAMES), ...unsigned(SPACE_MAX_FRAMES)];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      vector([
        [0x60, ...vector([[...params]].flat().map((t) => [t])), ...vector(results.map((t) => [t]))],
        [0x60, 0, 0],
      ]),
    ),
    ...section(
      2,
      vector([
        [0, 1, 0x6d, ...memory],
        [0, 1, 0x66, 0, other],
      ]),
    ),
    ...section(3, vector([[own]])),
    ...section(7, vector([[1, 0x74, 0, 1]])),
    ...section(10, vector([sized([...vector(locals), ...code])])),
  ]);
}
