/**
 * The epoch: a word of the space (EPOCH_ADDRESS) that goes up whenever something that was looked up before may not be true
 * any more. Whoever keeps what a capability allowed keeps the epoch at which it looked, and looks again when that has
 * moved. No epoch is 0.
 */
import { EPOCH_ADDRESS } from '../../abi/layout.ts';
import type { Space } from '../../space/index.ts';

export const epochOf = (space: Space): number => space.getNumber(EPOCH_ADDRESS);

export function moveEpoch(space: Space): void {
  space.setNumber(EPOCH_ADDRESS, epochOf(space) + 1);
}
