/**
 * Who pays for capabilities: each place in a list is charged to the domain whose list it is, each record to the domain that
 * had it made. A record outlives that domain where others hold it; then nobody is charged for it any more.
 */
import { CAPABILITIES_MAX, DEFAULT_CAPABILITIES } from '../../base/limits.ts';
import type { Core } from '../core.ts';
import { type Domain, DomainRecord } from '../domain.ts';

const R = DomainRecord.fields;

export class Charges {
  readonly #core: Core;
  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether the domain of this number may have so many more. The system (0) always may. */
  mayCharge(payer: number, count: number): boolean {
    const domain = this.#core.peek(payer);
    if (domain === undefined) return true;
    return R.capabilitiesUsed.get(domain.space, domain.at) + count <= this.limit(domain);
  }
  charge(payer: number, count: number): void {
    this.#add(payer, count);
  }
  refund(payer: number, count: number): void {
    this.#add(payer, -count);
  }

  limit(domain: Domain): number {
    const own = R.capabilityLimit.get(domain.space, domain.at);
    return Math.min(own === 0 ? DEFAULT_CAPABILITIES : own, CAPABILITIES_MAX);
  }

  #add(payer: number, count: number): void {
    const domain = this.#core.peek(payer);
    if (domain === undefined) return;
    R.capabilitiesUsed.set(domain.space, domain.at, R.capabilitiesUsed.get(domain.space, domain.at) + count);
  }
}
