import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostClock } from './clock.ts';
import { hostRandom, seededRandom } from './random.ts';

test('wall time moves in fine steps and follows when the clock is set', () => {
  let wall = 1_700_000_000_000;
  let steady = 5_000n;
  const clock = hostClock({ wallMs: () => wall, steadyNs: () => steady });
  const start = clock.realtimeNs();
  assert.equal(start, 1_700_000_000_000_000_000n);
  steady += 123_456n;
  assert.equal(clock.realtimeNs() - start, 123_456n);
  wall += 3_600_000;
  assert.equal(clock.realtimeNs() - start, 3_600_000_000_000n);
  wall -= 7_200_000;
  steady += 10n;
  assert.equal(clock.realtimeNs() - start, -3_600_000_000_000n);
  assert.equal(clock.monotonicNs(), steady);
});

test('the host clocks go forward', () => {
  const clock = hostClock();
  const [wall, steady] = [clock.realtimeNs(), clock.monotonicNs()];
  assert.ok(clock.monotonicNs() >= steady);
  assert.ok(wall > 1_600_000_000_000_000_000n);
});

test('random bytes fill shared memory of any length, and a seed repeats them', () => {
  const random = hostRandom();
  for (const length of [0, 1, 4095, 4096, 4097, 20000]) {
    const bytes = new Uint8Array(new SharedArrayBuffer(length));
    random.fill(bytes);
    if (length > 1000) assert.ok(new Set(bytes).size > 200);
  }
  const [a, b] = [new Uint8Array(64), new Uint8Array(64)];
  seededRandom(9).fill(a);
  seededRandom(9).fill(b);
  assert.deepEqual(a, b);
  seededRandom(10).fill(b);
  assert.notDeepEqual(a, b);
});
