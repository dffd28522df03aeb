/**
 * The records of rings: what a ring is, what is under way, what a domain serves. Whatever JavaScript keeps beside them is
 * made again from them (`Rings` in rings.ts). Formats are part of SPACE_VERSION.
 */
import { defineRecord, i32, num, u8, u16, u32, u64 } from '../../space/index.ts';

export const RingRecord = defineRecord('ring', {
  domain: u32('kernel', 'Number of the domain whose it is.'),
  row: u32('kernel', 'Its row in the table.'),
  pointer: num('kernel', 'Near address in memory 0 or in a window.'),
  entries: u32('kernel', 'Submissions there is room for.'),
  flags: u32('kernel', 'As given to ring_create.'),
  submissionHead: u32('kernel', 'Submissions taken.'),
  completionTail: u32('kernel', 'Completions put in.'),
  requestTail: u32('kernel', 'Requests put in.'),
  reserved: u32('kernel', 'Zero.'),
  payer: num('kernel', 'The account that is charged for its entries.'),
});

/** How far an operation is. Numbers are part of the checkpoint. */
export const PHASE = {
  /** Waits for another one of its ring: see `after`. */
  waiting: 1,
  /** Its object could not answer at once, and is asked again. */
  asked: 2,
  /** A request that is not yet in its server's queue, or is. */
  queued: 3,
  delivered: 4,
  /** It is over; its result waits to be taken or for room among the completions. */
  done: 5,
  /** Nobody waits for it any more, but what it began on the host has an outcome to be taken. */
  orphan: 6,
  /** A message for a server without an answer. */
  notice: 7,
  /** The kinds before its object are asked whether it may be. */
  asking: 8,
  /** It waited at a semaphore or a wait set, and has its result: it is over when the kernel comes round to it. */
  told: 9,
  /** It was under way where its domain was carried here from, and begins again. */
  carried: 10,
} as const;

export const OperationRecord = defineRecord('operation', {
  id: num('kernel', 'Its number; never used twice. Of a request: the number its server knows.'),
  row: u32('kernel', 'Its row in the table.'),
  domain: u32('kernel', 'Whose it is; 0 for a notice.'),
  payer: num('kernel', "The account that is charged for it: of a notice, its server's; 0 for the system."),
  ring: num('kernel', 'The ring it came through, 0 for a call that waits for it.'),
  phase: u8('kernel', 'One of PHASE.'),
  code: u8('kernel', 'One of OPERATION.'),
  flags: u8('kernel', 'SUBMIT bits.'),
  linked: u8('kernel', '1: begins only where what it comes after has succeeded.'),
  method: u16('kernel', 'Of invoke.'),
  own: u16('kernel', 'Bits: 1 first, 2 second is a heap block of the kernel.'),
  handle: u32('kernel', 'Of the object, in the list of its domain.'),
  other: u32('kernel', 'Another, or NO_HANDLE.'),
  rights: u32('kernel', 'Rights wanted.'),
  options: u32('kernel', 'OPTION bits.'),
  userLow: u32('kernel', 'User data.'),
  userHigh: u32('kernel', 'Its upper half.'),
  first: num(
    'kernel',
    'Near address of the first buffer, or of a semaphore, or handle of a segment, or a block; of vectors: block of pairs (u32 address, u32 bytes).',
  ),
  firstLength: u32('kernel', 'Bytes in all.'),
  firstCount: u32('kernel', 'Pairs; 0 where it is one buffer.'),
  second: num('kernel', 'The second buffer.'),
  secondLength: u32('kernel', 'Bytes.'),
  result: i32('kernel', 'When it is done.'),
  offset: u64('kernel', 'As submitted.'),
  value: u64('kernel', 'When it is done.'),
  deadline: u64('kernel', 'Time of the space, ns; NO_DEADLINE for none.'),
  after: num('kernel', 'Number of the operation it comes after; 0: all before it.'),
  effect: num('kernel', "The driver's, between two times of asking; see kernel/ports.ts."),
  table: num('kernel', 'Of a request: the table it is for.'),
  object: num('kernel', 'Of a request: number of the object.'),
  badge: u64('kernel', 'Badge of that capability.'),
  held: u32('kernel', 'Its rights.'),
  capability: num('kernel', 'The capability it goes through, held while it is under way; 0 for none.'),
  turn: num('kernel', "That one's turn when it began."),
  limit: u64('kernel', 'How long it may take from when it begins, ns; 0 for no limit.'),
  brought: u32('kernel', 'Of a request: how many capabilities it brings.'),
  segmentOffset: num('kernel', 'With SUBMIT.segment: where in the segment `first` begins.'),
  loans: num('kernel', 'Of a request: heap block of what its server was lent (loans.ts), 0 for none.'),
  otherObject: num('kernel', 'Of a request: number of the other object, where it is of the same table.'),
  outbox: num(
    'kernel',
    'Bytes its account is charged for what is kept of it for whoever serves the object outside.',
  ),
});

export const TableRecord = defineRecord('table', {
  row: u32('kernel', 'Its row.'),
  kind: u32('kernel', 'One of TABLE_KIND.'),
  ring: num('kernel', 'The ring that gets its requests.'),
  methods: u32('kernel', 'Of a generic table: methods it has.'),
  reserved: u32('kernel', 'Zero.'),
  object: num('kernel', 'Its own object.'),
});
