/**
 * The custom section `metadata.code.branch_hint` of WebAssembly's branch hinting: which `if`s are hardly ever taken. V8 lays their
 * code out of the way and keeps values in registers past it. It changes nothing but speed, and nobody else reads it.
 *
 * Why: RATIONALE.md#windows
 */
import { encodeLocals } from '../wasm/sections/code.ts';
import { Writer } from '../wasm/writer.ts';
import type { EmittedFunction } from './emitter.ts';

export const BRANCH_HINTS_SECTION = 'metadata.code.branch_hint';
const UNLIKELY = 0;

export class BranchHints {
  readonly #functions = new Writer(256);
  readonly #locals = new Writer(64);
  #count = 0;

  /** A function of the rewritten module by its index; ascending. */
  add(index: number, { code, unlikely }: EmittedFunction): void {
    if (unlikely.length === 0) return;
    // Places are told from where the function's locals are declared.
    this.#locals.clear();
    encodeLocals(this.#locals, code.locals);
    const w = this.#functions;
    this.#count++;
    w.u32(index);
    w.u32(unlikely.length);
    for (const at of unlikely) {
      w.u32(this.#locals.length + at);
      w.u32(1);
      w.u8(UNLIKELY);
    }
  }

  /** The section's payload; empty where there is nothing to say. */
  bytes(): Uint8Array {
    if (this.#count === 0) return new Uint8Array(0);
    const w = new Writer(8 + this.#functions.length);
    w.u32(this.#count);
    w.rawRange(this.#functions.bytes, 0, this.#functions.length);
    return w.toBytes();
  }
}
