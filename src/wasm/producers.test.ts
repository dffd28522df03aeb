import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeProducers } from './producers.ts';

const text = (value: string): number[] => [value.length, ...Buffer.from(value)];
const section = (bytes: readonly number[]) => [
  { name: 'producers', after: 0, source: Uint8Array.from(bytes), start: 0, end: bytes.length },
];
const WHOLE = [
  2,
  ...[...text('language'), 1, ...text('C11'), ...text('')],
  ...[...text('processed-by'), 2, ...text('clang'), ...text('14'), ...text('lld'), ...text('')],
];

test('languages and tools are told with their versions', () => {
  assert.deepEqual(decodeProducers(section(WHOLE)), { languages: ['C11'], tools: ['clang 14', 'lld'] });
  assert.deepEqual(decodeProducers([]), { languages: [], tools: [] });
});

test('a section cut anywhere, or with counts that promise too much, tells what comes before the break', () => {
  for (let end = 0; end < WHOLE.length; end++) {
    const { tools } = decodeProducers(section(WHOLE.slice(0, end)));
    assert.ok(tools.length < 2);
  }
  assert.deepEqual(decodeProducers(section([0xff, 0xff, 0xff, 0xff, 0x0f])), { languages: [], tools: [] });
});
