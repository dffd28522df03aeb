/**
 * Which pages of memory 0 of a domain one system call writes: whoever writes marks its pages (Space.mark), so the marks of
 * all pages the call looks at are put aside before, and put back after.
 */
import { MARKS_ADDRESS } from '../abi/layout.ts';
import { PAGE_BYTES } from '../base/limits.ts';
import { MARK_EXACT } from '../space/space.ts';
import type { Domain } from './domain.ts';

export class Touched {
  readonly #domain: Domain;
  readonly #first: number;
  /** Pages of the space that the call looked at, and whether they were marked. */
  readonly #pages = new Map<number, boolean>();

  constructor(domain: Domain) {
    this.#domain = domain;
    this.#first = domain.addressOf(0) / PAGE_BYTES;
  }

  /** The call is about to use [at, at + length) of the space. */
  note(at: number, length: number): void {
    if (length === 0) return;
    const { u8 } = this.#domain.space;
    const last = Math.floor((at + length - 1) / PAGE_BYTES);
    for (let page = Math.floor(at / PAGE_BYTES); page <= last; page++) {
      if (this.#pages.has(page)) continue;
      this.#pages.set(page, u8[MARKS_ADDRESS + page] !== 0);
      u8[MARKS_ADDRESS + page] = 0;
    }
  }

  /** The call is over: the pages that it wrote, numbered from the memory's beginning. */
  finish(): number[] {
    const { u8 } = this.#domain.space;
    const written: number[] = [];
    for (const [page, marked] of this.#pages) {
      if (u8[MARKS_ADDRESS + page] !== 0) written.push(page - this.#first);
      else if (marked) u8[MARKS_ADDRESS + page] = MARK_EXACT;
    }
    return written;
  }
}
