/**
 * What waits to get out, as it is charged to who said it (RESOURCE.outbox): this is how drivers see that. A *payer* is a number
 * that stands in a record beside the bytes it pays for, so that they are given back to the same one when they are out,
 * by whatever process, and also when who said them is gone. 0 is the system, which pays for anything.
 *
 * Bytes are charged as they are kept, what is kept beside them included. `account/meter.ts` has the real one.
 */
export interface Meter {
  /** Who pays for what a domain says; 0 where there is no such domain. */
  payer(domain: number): number;
  /** Bytes that a payer may have waiting beyond those it has. */
  room(payer: number): number;
  /** True where nothing of a payer's is on its way, so that there will not be more room by itself. */
  isIdle(payer: number): boolean;
  /** Asks nothing: what must be kept is charged beyond what is there. */
  charge(payer: number, bytes: number): void;
  refund(payer: number, bytes: number): void;
  /** Wakes a domain once, when there may be more room. */
  subscribe(payer: number, domain: number): void;
}

/** Everything is the system's: where there are no accounts. */
export const UNMETERED: Meter = {
  payer: () => 0,
  room: () => Number.MAX_SAFE_INTEGER,
  isIdle: () => true,
  charge: () => {},
  refund: () => {},
  subscribe: () => {},
};
