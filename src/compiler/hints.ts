/**
 * Writes what the compiler tells the verifier of each function (abi/hints.ts has the format).
 */
import type { FunctionHints, LoopHint } from '../abi/hints.ts';
import { larger } from '../base/arrays.ts';

/** `functions`: ascending by index; their loops by number, varying locals ascending. */
export function encodeHints(functions: readonly FunctionHints[]): Uint8Array {
  const encoder = new HintsEncoder();
  for (const hints of functions) encoder.add(hints);
  return encoder.bytes();
}

/** The same, function by function, so that none has to be kept. */
export class HintsEncoder {
  #out = new Uint8Array(1024);
  #length = 0;
  #previous = -1;

  add({ index, limits, loops }: FunctionHints): void {
    if (limits.length === 0 && loops.length === 0) return;
    this.#number(index - this.#previous - 1);
    this.#previous = index;
    this.#number(limits.length);
    for (const { local, memory } of limits) {
      this.#number(local);
      this.#number(memory);
    }
    this.#number(loops.length);
    let last = -1;
    for (const hint of loops) {
      this.#number(hint.loop - last - 1);
      last = hint.loop;
      this.#loop(hint);
    }
  }

  /** The section's payload. */
  bytes(): Uint8Array {
    return this.#out.slice(0, this.#length);
  }

  #loop({ varying, fuel, pointers }: LoopHint): void {
    this.#number(varying.length);
    let previous = -1;
    for (let i = 0; i < varying.length; i++) {
      this.#number(varying[i]! - previous - 1);
      previous = varying[i]!;
    }
    this.#number(fuel + 1);
    if (fuel < 0) return;
    this.#number(pointers.length);
    for (const { local, memory, step, reach } of pointers) {
      this.#number(local);
      this.#number(2 * memory + (step < 0 ? 1 : 0));
      this.#number(Math.abs(step));
      this.#number(reach);
    }
  }

  #number(value: number): void {
    if (this.#length + 5 > this.#out.length) this.#out = larger(this.#out, new Uint8Array(this.#length * 2));
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#out[this.#length++] = (rest & 127) | 128;
    this.#out[this.#length++] = rest;
  }
}
