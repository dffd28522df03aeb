/**
 * Finds a function type among those of a module by its parameters and results: a tree in which the way from the root
 * spells them. No keys are made, and no choice of types makes it slow.
 */
import type { ValueType } from '../wasm/types.ts';

/** Stands between parameters and results on the way from the root. */
const ARROW = 0;

export class TypeIndex {
  // By node, 0 being the root: what leads to it, its first child and the next of its parent's (0: none; at most nine
  // lead from a node), and the index of the type it spells or -1.
  readonly #letter: number[] = [ARROW];
  readonly #child: number[] = [0];
  readonly #next: number[] = [0];
  readonly #index: number[] = [-1];

  /** The index of an equal type that was placed before; else `index`, which is this one’s from now on. */
  place(params: readonly ValueType[], results: readonly ValueType[], index: number): number {
    let node = 0;
    for (let i = 0; i < params.length; i++) node = this.#step(node, params[i]!);
    node = this.#step(node, ARROW);
    for (let i = 0; i < results.length; i++) node = this.#step(node, results[i]!);
    const known = this.#index[node]!;
    if (known < 0) this.#index[node] = index;
    return known < 0 ? index : known;
  }

  #step(from: number, letter: number): number {
    let node = this.#child[from]!;
    while (node !== 0 && this.#letter[node] !== letter) node = this.#next[node]!;
    if (node !== 0) return node;
    node = this.#letter.length;
    this.#letter.push(letter);
    this.#child.push(0);
    this.#next.push(this.#child[from]!);
    this.#index.push(-1);
    this.#child[from] = node;
    return node;
  }
}
