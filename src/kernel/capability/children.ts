/**
 * Domains that programs have made: which of them end with the one that made them, and who waits for one to rest. What is
 * kept here can be made again: links are in the records, and who waits asks again after a restart.
 */
import { type Domain, DomainRecord } from '../domain.ts';

const R = DomainRecord.fields;

export class Children {
  readonly #linked = new Map<number, Set<number>>();
  readonly #waiting = new Map<number, Set<number>>();

  /** There is such a domain, new or found in the space. */
  noteDomain(domain: Domain): void {
    const maker = R.linkedTo.get(domain.space, domain.at);
    if (maker !== 0) this.#of(this.#linked, maker).add(domain.id);
  }

  link(child: Domain, maker: Domain): void {
    R.linkedTo.set(child.space, child.at, maker.id);
    this.noteDomain(child);
  }

  /** The domains that end with this one, which has. They are told once. */
  endWith(domain: Domain): number[] {
    const linked = [...(this.#linked.get(domain.id) ?? [])];
    this.#linked.delete(domain.id);
    return linked;
  }

  /** The domain is no more. */
  forget(domain: Domain): void {
    this.#linked.get(R.linkedTo.get(domain.space, domain.at))?.delete(domain.id);
  }

  /** Wakes `waiter` when the domain of this number has nothing to run, or is no more. */
  wait(id: number, waiter: number): void {
    this.#of(this.#waiting, id).add(waiter);
  }
  /** Those who wait for it, once. */
  take(id: number): Iterable<number> {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return [];
    this.#waiting.delete(id);
    return waiting;
  }

  #of(map: Map<number, Set<number>>, id: number): Set<number> {
    let set = map.get(id);
    if (set === undefined) {
      set = new Set();
      map.set(id, set);
    }
    return set;
  }
}
