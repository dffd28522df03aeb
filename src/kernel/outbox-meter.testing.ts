/** For tests: a meter with one limit for all, that counts what each payer is charged. */
import { assert } from '../base/assert.ts';
import type { Meter } from './outbox-meter.ts';

/** Payers are domains times 16, as accounts lie at multiples of 16. */
export class TestMeter implements Meter {
  readonly #limit: number;
  readonly charged = new Map<number, number>();
  readonly waiting = new Set<number>();

  constructor(limit: number) {
    this.#limit = limit;
  }
  /** What all payers are charged together. */
  get total(): number {
    return [...this.charged.values()].reduce((sum, each) => sum + each, 0);
  }
  of(domain: number): number {
    return this.charged.get(this.payer(domain)) ?? 0;
  }

  payer(domain: number): number {
    return 16 * domain;
  }
  room(payer: number): number {
    return payer === 0 ? this.#limit : this.#limit - (this.charged.get(payer) ?? 0);
  }
  isIdle(payer: number): boolean {
    return (this.charged.get(payer) ?? 0) === 0;
  }
  charge(payer: number, bytes: number): void {
    assert(bytes >= 0, 'charges are not negative');
    if (payer !== 0) this.charged.set(payer, (this.charged.get(payer) ?? 0) + bytes);
  }
  refund(payer: number, bytes: number): void {
    if (payer === 0) return;
    const left = (this.charged.get(payer) ?? 0) - bytes;
    assert(bytes >= 0 && left >= 0, 'no more is given back than was charged');
    this.charged.set(payer, left);
  }
  subscribe(_payer: number, domain: number): void {
    this.waiting.add(domain);
  }
  /** The same charges, as a process has them that starts from an image of now. */
  copy(): TestMeter {
    const copy = new TestMeter(this.#limit);
    for (const [payer, bytes] of this.charged) copy.charge(payer, bytes);
    return copy;
  }
}
