/**
 * Charges what waits to get out to accounts (RESOURCE.outbox). Payers are addresses of accounts. The charges are in the
 * accounts, and what they are for is in records of the drivers, in the same space: so after a restart both are as they
 * were. Who waits for room asks again then, and is only remembered here.
 */
import { RESOURCE } from '../../abi/account.ts';
import type { Space } from '../../space/index.ts';
import type { Meter } from '../outbox-meter.ts';
import type { Wake } from '../ports.ts';
import { charge, charged, left, refund, usedOf } from './account.ts';

export class OutboxMeter implements Meter {
  readonly #space: Space;
  readonly #wake: Wake;
  /** Domains that wait for room, by account. */
  readonly #waiting = new Map<number, Set<number>>();
  /** The account of a domain. The kernel sets it. */
  accountOf: (domain: number) => number = () => 0;

  constructor(space: Space, wake: Wake) {
    this.#space = space;
    this.#wake = wake;
  }

  payer(domain: number): number {
    return this.accountOf(domain);
  }
  room(payer: number): number {
    return left(this.#space, payer, RESOURCE.outbox);
  }
  isIdle(payer: number): boolean {
    return usedOf(this.#space, payer, RESOURCE.outbox) === 0;
  }
  charge(payer: number, bytes: number): void {
    charge(this.#space, payer, RESOURCE.outbox, bytes);
  }

  refund(payer: number, bytes: number): void {
    if (payer === 0 || bytes === 0) return;
    const told = this.#waiting.size === 0 ? [] : [...charged(this.#space, payer)];
    refund(this.#space, payer, RESOURCE.outbox, bytes);
    for (const account of told) this.roomMade(account);
  }

  subscribe(payer: number, domain: number): void {
    const those = this.#waiting.get(payer);
    if (those === undefined) this.#waiting.set(payer, new Set([domain]));
    else those.add(domain);
  }

  /** There may be more room in an account: a part of it has come back, or bytes are out. */
  roomMade(account: number): void {
    const those = this.#waiting.get(account);
    if (those === undefined) return;
    this.#waiting.delete(account);
    for (const domain of those) this.#wake(domain);
  }
}
