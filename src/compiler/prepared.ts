/**
 * Functions laid out and looked at, whose continuations can be written: those asked for last are kept, each in arrays of
 * its own, for a program stops again and again in the same ones, and what is found out of a large one takes longer than a
 * continuation of it does.
 *
 *     const compiler = prepared.of(key, make)      `make` lays out, analyses and emits the function once
 */
import type { FlatBody } from './body.ts';
import type { FunctionCompiler } from './function.ts';
import type { Liveness } from './liveness.ts';

export interface PreparedFunction {
  readonly body: FlatBody;
  readonly liveness: Liveness;
  readonly compiler: FunctionCompiler;
}

/** Most functions kept, and most instructions of them together: each takes about 150 bytes. */
const FUNCTIONS_MAX = 64;
const ENTRIES_MAX = 100_000;

export class Prepared {
  /** By key, the one asked for last at the end. */
  readonly #kept = new Map<number, PreparedFunction>();
  #entries = 0;

  of(key: number, make: () => PreparedFunction): FunctionCompiler {
    let found = this.#kept.get(key);
    if (found !== undefined) {
      this.#kept.delete(key);
    } else {
      found = make();
      this.#entries += found.body.count;
    }
    this.#kept.set(key, found);
    for (const [oldest, { body }] of this.#kept) {
      const few = this.#kept.size <= FUNCTIONS_MAX && this.#entries <= ENTRIES_MAX;
      if (few || this.#kept.size === 1) break;
      this.#kept.delete(oldest);
      this.#entries -= body.count;
    }
    return found.compiler;
  }
}
