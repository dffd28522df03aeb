import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { type Domain, NO_DEADLINE, STATE } from './domain.ts';
import { Scheduler } from './scheduler.ts';

/** As much of a domain as the scheduler looks at. */
interface Fake {
  state: number;
  deadline: bigint;
  alive: boolean;
  queued: boolean;
}
const fake = (): Fake => ({ state: STATE.ready, deadline: NO_DEADLINE, alive: true, queued: false });
const asDomain = (domain: Fake): Domain => domain as unknown as Domain;

test('ready domains come in turn, each once, and never one that is not ready any more', () => {
  const scheduler = new Scheduler();
  const [a, b, c] = [fake(), fake(), fake()];
  for (const domain of [a, b, a, c, b]) scheduler.enqueue(asDomain(domain));
  b.state = STATE.stopped;
  assert.equal(scheduler.next(), a);
  scheduler.enqueue(asDomain(a));
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
  const domains = Array.from({ length: 50 }, fake);
  let now = 0n;
  for (let step = 0; step < 30000; step++) {
    const domain = prng.pick(domains);
    if (domain.state === STATE.blocked && prng.chance(0.5)) {
      domain.state = STATE.ready; // woken by something else
    } else {
      domain.state = STATE.blocked;
      domain.deadline = prng.chance(0.1) ? NO_DEADLINE : now + BigInt(prng.below(5000));
      scheduler.sleep(asDomain(domain));
    }
    const want = domains.filter((d) => d.state === STATE.blocked && d.deadline !== NO_DEADLINE);
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
