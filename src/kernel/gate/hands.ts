/**
 * Capabilities among the parameters and results of procedures: what is a handle on one side becomes one on the other, of
 * the same capability, without the right to revoke it. A negative number is no handle and passes as it is.
 */
import { ERRNO } from '../../abi/errno.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { SpaceFullError } from '../../space/index.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';

/** Where the values are: an i32 by its index. */
export interface Hand {
  get(i: number): number;
  set(i: number, value: number): void;
}

export const handOf = (values: number[]): Hand => ({
  get: (i) => values[i] as number,
  set: (i, value) => {
    values[i] = value;
  },
});

/**
 * Gives all of them to another domain, or none. An errno, or 0.
 * @throws SpaceFullError with nothing given
 */
export function handOver(
  core: Core,
  from: Domain,
  to: Domain,
  indices: readonly number[],
  hand: Hand,
): number {
  const given: number[] = [];
  const takeBack = (): void => {
    for (const handle of given) core.clists.close(to, handle);
  };
  try {
    for (const i of indices) {
      const handle = hand.get(i);
      if (handle < 0) continue;
      const there = core.clists.pass(from, handle, to, RIGHTS_ALL);
      if (there < 0) {
        takeBack();
        return -there;
      }
      given.push(there);
      hand.set(i, there);
    }
    return 0;
  } catch (error) {
    takeBack();
    throw error;
  }
}

/** The same of results, which come from where nothing can be undone: an error where there is no room. */
export function takeOver(
  core: Core,
  from: Domain,
  to: Domain,
  indices: readonly number[],
  hand: Hand,
): number {
  try {
    return handOver(core, from, to, indices, hand);
  } catch (error) {
    if (!(error instanceof SpaceFullError)) throw error;
    return ERRNO.NOMEM;
  }
}
