/**
 * Functions of the rewritten module that code of a resume module calls: which ones, and where they stand among that
 * module's functions. They are its imports behind the system's, in the order in which they are first named.
 */
import { SYSTEM_IMPORTS } from '../abi/system.ts';

export class Links {
  /** Their indices in the rewritten module. */
  readonly functions: number[] = [];
  readonly #places = new Map<number, number>();

  /** Where a function of the rewritten module stands; the system's own stand in the same place everywhere. */
  of(index: number): number {
    if (index < SYSTEM_IMPORTS.length) return index;
    let place = this.#places.get(index);
    if (place === undefined) {
      place = SYSTEM_IMPORTS.length + this.functions.push(index) - 1;
      this.#places.set(index, place);
    }
    return place;
  }
}
