/**
 * Accounts as programs see them: shares of what may be used. A domain uses what its account has; a part of it can be taken
 * off and made an account of its own, for a domain that one makes, and is given back when that is used no more.
 *
 *     account_own() -> handle                      the account that pays for the caller
 *     account_divide(handle, pointer) -> handle    a new account with the parts at `pointer`: ACCOUNT_PARTS u64, in the
 *                                                  order of RESOURCE, taken off what is left of that one (needs `write`);
 *                                                  DQUOT where less is left, DEPTH where accounts are nested too deep
 *     account_status(handle, pointer) -> 0         writes ACCOUNT_PARTS pairs of u64: the limit, and what is used of it,
 *                                                  parts that were taken off included (needs `read`)
 */

/** What is counted. Numbers are part of the checkpoint. */
export const RESOURCE = {
  /** Bytes: memories, code made at run time, segments. */
  memory: 0,
  /** Processor time, microseconds. It is not given back. */
  cpu: 1,
  /** Places in capability lists, capability records, sturdy references. */
  capabilities: 2,
  /** Requests that wait for an answer. */
  requests: 3,
  /** Entries of rings. */
  entries: 4,
  /** Domains that programs have made. */
  domains: 5,
  /**
   * Bytes on their way out: written to the console, to files of the host, to connections, and not there yet; given with a
   * request to an object that is served outside, and not answered yet. Where there is no room a write waits until some have left; it fails with DQUOT where none are on their way.
   */
  outbox: 6,
} as const;
export type Resource = (typeof RESOURCE)[keyof typeof RESOURCE];
export type ResourceName = keyof typeof RESOURCE;
export const ACCOUNT_PARTS = Object.keys(RESOURCE).length;
/** A limit that is none: the largest whole number of a double. */
export const UNLIMITED = Number.MAX_SAFE_INTEGER;
