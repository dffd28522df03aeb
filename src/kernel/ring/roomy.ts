/** What an operation does, or has done for it, needs room in the space; where there is none, that is its result. */
import { ERRNO } from '../../abi/errno.ts';
import { SpaceFullError } from '../../space/index.ts';

/** What it gives, or -NOSPC. A call of a program is told so by whoever made it (calls.ts); an operation is done when nobody calls. */
export function roomy(act: () => number): number {
  try {
    return act();
  } catch (error) {
    if (error instanceof SpaceFullError) return -ERRNO.NOSPC;
    throw error;
  }
}
