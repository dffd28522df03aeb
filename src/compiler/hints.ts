/**
 * Writes what the compiler tells the verifier of each function (abi/hints.ts has the format).
 */
import type { FunctionHints, LoopHint } from '../abi/hints.ts';
import { larger } from '../base/arrays.ts';

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
