/** Functions whose loops nest too deep to follow what they do. */
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import type { Addresses } from './addresses.ts';
import type { FlatBody } from './body.ts';

/**
 * Loops nested deeper have no hints, and nothing is known in their function: each hint names the locals that all loops
 * inside set, so their number grows with the square of the depth.
 */
export const HINTED_DEPTH_MAX = 64;

/** Nothing is known of any access. */
export function knowNothing(addresses: Addresses, body: FlatBody): void {
  for (let i = 0; i < body.count; i++) {
    if (OP_ACCESS[body.op[i]!] === ACCESS_NONE) continue;
    addresses.term[i] = addresses.terms.symbol();
    addresses.constant[i] = 0;
    addresses.most[i] = Infinity;
    addresses.from[i] = -1;
    addresses.offset[i] = -1;
    addresses.pure[i] = 0;
    addresses.use(addresses.term[i]!);
  }
}
