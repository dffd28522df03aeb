/** Processor time, as it is charged: to the domain, for whoever asks what it used, and to its account. */
import { RESOURCE, UNLIMITED } from '../../abi/account.ts';
import { type Domain, DomainRecord } from '../domain.ts';
import { charge, left, limitOf } from './account.ts';

const R = DomainRecord.fields;

/** False where its account has no more. */
export function chargeTime(domain: Domain, micros: number): boolean {
  const { space, at, account } = domain;
  const before = R.cpuUsed.get(space, at);
  const now = Math.round(before + micros);
  R.cpuUsed.set(space, at, now);
  charge(space, account, RESOURCE.cpu, now - before);
  return left(space, account, RESOURCE.cpu) > 0;
}

/** The most of it that its account may use, in milliseconds; 0 for no limit. */
export function cpuLimitMs(domain: Domain): number {
  const limit = limitOf(domain.space, domain.account, RESOURCE.cpu);
  return limit === UNLIMITED ? 0 : limit / 1000;
}
