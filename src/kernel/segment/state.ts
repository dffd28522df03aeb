/** What is kept of each object of the kind `segment` (contents.ts). */
import { RESOURCE } from '../../abi/account.ts';
import { defineRecord, num, type Space, u8, u32 } from '../../space/index.ts';
import { charge, refund } from '../account/account.ts';

export const StateRecord = defineRecord('segment state', {
  segment: num('kernel', 'The segment of the space with the bytes.'),
  size: num('kernel', 'Bytes.'),
  payer: num('kernel', 'The account that is charged for it.'),
  charged: num('kernel', 'Bytes that it was charged.'),
  source: num('kernel', 'Where bytes come from that have not been read (sources.ts), 0 for nowhere.'),
  freezer: u32('kernel', 'The domain that froze it, 0 for none.'),
  handle: u32('kernel', 'Its handle for it: with that, or with the domain, the freezing ends.'),
  writers: u32('kernel', 'Mappings of it that may write.'),
  sealed: u8('kernel', '1 when it is never written again.'),
});

/** What there is to know of one, beside its bytes. */
export interface SegmentFacts {
  readonly size: number;
  /** The account that pays for it, and bytes that it was charged. */
  readonly payer: number;
  readonly charged: number;
  readonly sealed: boolean;
  /** The domain that keeps it frozen, 0 for none, and the handle of who froze it last. */
  readonly freezer: number;
  readonly handle: number;
}

/** Its payer is charged so much more for it, or less. Whether that may be was asked. */
export function chargeState(space: Space, state: number, bytes: number): void {
  const { payer, charged } = StateRecord.fields;
  charged.set(space, state, charged.get(space, state) + bytes);
  if (bytes > 0) charge(space, payer.get(space, state), RESOURCE.memory, bytes);
  else if (bytes < 0) refund(space, payer.get(space, state), RESOURCE.memory, -bytes);
}
