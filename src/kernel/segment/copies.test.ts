/** Copies of segments: what they cost, and whose bytes are whose. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SegmentSystem } from './segment.testing.ts';

const OUT = 'out of bounds memory access';

test('a copy is written where it lies though who it shared with is gone, and its other windows show it', async () => {
  const system = new SegmentSystem();
  await system.domains('a');
  const handle = system.ok('a', 'seg_create', 200_000n);
  const at = system.map('a', handle);
  system.call('a', 'fill', at, 1, 200_000);
  const copy = system.ok('a', 'seg_copy', handle);
  system.ok('a', 'seg_unmap', system.map('a', copy)); // it has places now, and its bytes lie elsewhere
  system.ok('a', 'seg_unmap', at);
  system.ok('a', 'cap_close', handle);
  const looks = system.map('a', copy, false);
  assert.equal(system.call('a', 'get', looks + 65_534), 0x01010101);
  const writes = system.map('a', copy);
  assert.equal(system.call('a', 'between', looks + 100, writes + 100, 7), 7);
  assert.equal(system.call('a', 'between', writes + 65_534, looks + 65_534, 7), OUT);
  assert.equal(system.call('a', 'between', looks + 65_534, writes + 65_534, 8), 8);
});

test('what is copied and written costs the frames that are written', async () => {
  const system = new SegmentSystem();
  await system.domains('a', 'b');
  const handle = system.ok('a', 'seg_create', 6_400_000n);
  const at = system.map('a', handle);
  system.call('a', 'fill', at, 1, 6_400_000);
  const { frames } = system.space;
  const before = frames.usedCount;
  const copies = [1, 2, 3].map(() => system.ok('a', 'seg_copy', handle));
  assert.ok(frames.usedCount <= before + 1, 'nothing is copied');
  system.call('a', 'set', at + 65_534, 2);
  assert.ok(frames.usedCount <= before + 3, 'two frames, for all three');
  for (const copy of copies) {
    const near = system.map('a', copy, false);
    assert.equal(system.call('a', 'get', near + 65_534), 0x01010101);
    assert.equal(system.call('a', 'get', near + 1_000_000), 0x01010101);
  }
  const there = system.map('b', system.pass('a', copies[0]!, 'b'), false);
  system.call('a', 'set', at + 1_000_000, 3);
  assert.equal(system.call('b', 'get', there + 1_000_000), 0x01010101);
  assert.equal(system.call('b', 'get', there + 983_038), 0x01010101, 'over the edge of two frames apart');
});
