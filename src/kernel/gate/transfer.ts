/**
 * The transfer area (abi/layout.ts) as the kernel sees it: values on their way through a gate whose type JavaScript cannot
 * carry. Its pages are not marked: what lies there is over when the call has begun, or has returned.
 */
import { TRANSFER_ADDRESS, VALUE_BYTES } from '../../abi/layout.ts';
import type { Space } from '../../space/index.ts';
import { F64, I64, type RawValue, V128 } from '../frames.ts';
import type { Hand } from './hands.ts';

const at = (i: number): number => TRANSFER_ADDRESS + VALUE_BYTES * i;

/** The bits of value i. */
export function transferred({ view }: Space, type: number, i: number): RawValue {
  const low = view.getBigUint64(at(i), true);
  const wide = type === I64 || type === F64 || type === V128;
  const high = type === V128 ? view.getBigUint64(at(i) + 8, true) : 0n;
  return { type, low: wide ? low : low & 0xffffffffn, high };
}

/** The first values as an answer keeps them. */
export const copyTransferred = (space: Space, count: number): Uint8Array =>
  space.u8.slice(TRANSFER_ADDRESS, at(count));

/** Puts values there as an answer has them; those that it does not have are zero. */
export function transfer(space: Space, values: Uint8Array, count: number): void {
  space.u8.fill(0, TRANSFER_ADDRESS, at(count));
  space.u8.set(values.subarray(0, VALUE_BYTES * count), TRANSFER_ADDRESS);
}

export const transferHand = ({ view }: Space): Hand => ({
  get: (i) => view.getInt32(at(i), true),
  set: (i, value) => view.setInt32(at(i), value, true),
});
