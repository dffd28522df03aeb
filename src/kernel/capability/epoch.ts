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

/** No low word of an epoch, which is an i32. */
const NEVER = 2 ** 40;
const WORD = EPOCH_ADDRESS >> 2;

/** The epoch at which something was looked up, for who compares it at each of many calls: both words, or a program that revokes 2^32 times could bring an old one back. */
export class EpochStamp {
  #low = NEVER;
  #high = 0;
  /** @param words the space's memory as i32 */
  isNow(words: Int32Array): boolean {
    return words[WORD] === this.#low && words[WORD + 1] === this.#high;
  }
  take(words: Int32Array): void {
    this.#low = words[WORD] as number;
    this.#high = words[WORD + 1] as number;
  }
  forget(): void {
    this.#low = NEVER;
  }
}
