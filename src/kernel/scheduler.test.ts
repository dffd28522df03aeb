import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { NO_DEADLINE, STATE } from './domain.ts';
import type { Activation } from './gate/activations.ts';
import { Scheduler } from './scheduler.ts';

/** As much of an activation as the scheduler looks at. */
interface Fake {
  state: number;
  deadline: bigint;
  alive: boolean;
  queued: boolean;
  parked: boolean;
}
const fake = (): Fake => ({
  state: STATE.ready,
  deadline: NO_DEADLINE,
  alive: true,
  queued: false,
  parked: false,
});
const asActivation = (each: Fake): Activation => each as unknown as Activation;

test('ready activations come in turn, each once, and never one that is not ready any more', () => {
  const scheduler = new Scheduler();
  const [a, b, c] = [fake(), fake(), fake()];
  for (const activation of [a, b, a, c, b]) scheduler.enqueue(asActivation(activation));
  b.parked = true;
  assert.equal(scheduler.next(), a);
  scheduler.enqueue(asActivation(a));
  assert.equal(scheduler.next(), c);
  c.alive = false;
  assert.equal(scheduler.next(), a);
  assert.equal(scheduler.next(), null);
});

test('deadlines come in order, and only those that still mean something', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const scheduler = new Scheduler();
  const activations = Array.from({ length: 50 }, fake);
  let now = 0n;
  for (let step = 0; step < 30000; step++) {
    const activation = prng.pick(activations);
    if (activation.state === STATE.blocked && prng.chance(0.5)) {
      activation.state = STATE.ready; // woken by something else
    } else {
      activation.state = STATE.blocked;
      activation.deadline = prng.chance(0.1) ? NO_DEADLINE : now + BigInt(prng.below(5000));
      scheduler.sleep(asActivation(activation));
    }
    const want = activations.filter((d) => d.state === STATE.blocked && d.deadline !== NO_DEADLINE);
    const least = want.reduce<bigint | null>((m, d) => (m === null || d.deadline < m ? d.deadline : m), null);
    assert.equal(scheduler.nextDeadline(), least);
    if (step % 10 === 0) {
      now += BigInt(prng.below(200));
      const due = new Set(want.filter((d) => d.deadline <= now));
      for (const expired of scheduler.expired(now)) {
        assert.ok(due.delete(expired as unknown as Fake));
        expired.state = STATE.ready;
      }
      assert.equal(due.size, 0);
    }
    assert.ok(scheduler.sleeperCount <= 1024, 'stale entries do not pile up');
  }
});
