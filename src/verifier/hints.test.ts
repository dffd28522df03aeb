import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FunctionHints } from '../abi/hints.ts';
import { MalformedError } from '../base/errors.ts';
import { encodeHints } from '../compiler/hints.ts';
import { decodeHints } from './hints.ts';

const HINTS: FunctionHints[] = [
  { index: 3, limits: [{ local: 200, memory: 0 }], loops: [] },
  {
    index: 700,
    limits: [
      { local: 5, memory: 0 },
      { local: 6, memory: 3 },
    ],
    loops: [
      { loop: 0, varying: [0, 1, 300], fuel: -1, pointers: [] },
      { loop: 4, varying: [], fuel: 9, pointers: [{ local: 7, memory: 1, step: 8, reach: 4_000_000_000 }] },
    ],
  },
];

test('hints are read as they were written', () => {
  const bytes = encodeHints(HINTS);
  assert.deepEqual(decodeHints(bytes, 0, bytes.length), HINTS);
  assert.deepEqual(decodeHints(bytes, 0, 0), []);
});

test('hints that end early are refused with the place', () => {
  const bytes = encodeHints(HINTS);
  const ends = new Set([0, encodeHints(HINTS.slice(0, 1)).length]);
  for (let end = 1; end < bytes.length; end++) {
    if (ends.has(end)) continue;
    assert.throws(
      () => decodeHints(bytes, 0, end),
      (error) => error instanceof MalformedError && error.offset >= 0,
    );
  }
});

test('hints with numbers or lists too large are refused, not read', () => {
  for (const bytes of [
    [0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    [0x00, 0xff, 0xff, 0xff, 0x0f],
    [0x00, 0x00, 0x90, 0x80, 0x80, 0x80, 0x00],
    // Zero, in so many bytes that what each is multiplied by overflows: it was read as no number at all.
    [...new Array<number>(160).fill(0x80), 0x00, 0x00, 0x00],
  ]) {
    assert.throws(() => decodeHints(Uint8Array.from(bytes), 0, bytes.length), MalformedError);
  }
});
