import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACCOUNT_PARTS, RESOURCE, type Resource, UNLIMITED } from '../../abi/account.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { Space } from '../../space/index.ts';
import {
  charge,
  divideAccount,
  holdAccount,
  left,
  mayCharge,
  nameAccount,
  openAccount,
  refund,
  releaseAccount,
  unnameAccount,
  usedOf,
} from './account.ts';

const MEMORY = RESOURCE.memory;
const parts = (memory: number, cpu = 0): number[] => [
  ...[memory, cpu],
  ...new Array<number>(ACCOUNT_PARTS - 2).fill(0),
];

/** A part that somebody holds; 0 where there is not so much. */
function part(space: Space, parent: number, memory: number): number {
  const at = divideAccount(space, parent, parts(memory));
  if (at !== 0) holdAccount(space, at);
  return at;
}

test('what is taken off is not there any more, and comes back when nobody holds it', () => {
  const space = Space.create();
  const blocks = space.heap.blockCount;
  const whole = openAccount(space, { memory: 100 });
  holdAccount(space, whole);
  const half = part(space, whole, 60);
  assert.equal(part(space, whole, 41), 0);
  assert.deepEqual([left(space, whole, MEMORY), left(space, half, MEMORY)], [40, 60]);
  charge(space, half, MEMORY, 50);
  assert.ok(!mayCharge(space, half, MEMORY, 11) && mayCharge(space, whole, MEMORY, 40));
  refund(space, half, MEMORY, 20);
  releaseAccount(space, half);
  assert.equal(left(space, whole, MEMORY), 70, 'but what it pays for still');
  refund(space, half, MEMORY, 30);
  assert.equal(left(space, whole, MEMORY), 100);
  releaseAccount(space, whole);
  assert.equal(space.heap.blockCount, blocks);
});

test('processor time does not come back', () => {
  const space = Space.create();
  const whole = openAccount(space, { cpu: 1000 });
  holdAccount(space, whole);
  const some = divideAccount(space, whole, parts(0, 400));
  holdAccount(space, some);
  charge(space, some, RESOURCE.cpu, 150);
  releaseAccount(space, some);
  assert.equal(left(space, whole, RESOURCE.cpu), 850);
});

test('parts of what has no limit are never more than can be counted', () => {
  const space = Space.create();
  const whole = openAccount(space, {});
  holdAccount(space, whole);
  const most = UNLIMITED - 1;
  const half = divideAccount(space, whole, parts(0, most));
  holdAccount(space, half);
  assert.equal(divideAccount(space, whole, parts(0, most)), 0, 'the whole of it is given away once');
  charge(space, whole, RESOURCE.cpu, 1000);
  releaseAccount(space, half);
  assert.ok(left(space, whole, RESOURCE.cpu) > most - 2000);
  releaseAccount(space, whole);
});

test('what an account is charged after its end, or beyond its part, is charged where its part came from', () => {
  const space = Space.create();
  const whole = openAccount(space, { memory: 1000 });
  holdAccount(space, whole);
  const some = part(space, whole, 100);
  charge(space, some, MEMORY, 10);
  nameAccount(space, some);
  releaseAccount(space, some);
  assert.deepEqual([left(space, whole, MEMORY), left(space, some, MEMORY)], [990, 90]);
  charge(space, some, MEMORY, 50);
  assert.equal(left(space, whole, MEMORY), 940, 'no more than there was');
  charge(space, whole, MEMORY, 930);
  assert.ok(!mayCharge(space, some, MEMORY, 20) && mayCharge(space, some, MEMORY, 10));
  refund(space, some, MEMORY, 60);
  refund(space, whole, MEMORY, 930);
  const blocks = space.heap.blockCount;
  assert.equal(left(space, whole, MEMORY), 1000);
  // It is still named, and may be charged again.
  charge(space, some, MEMORY, 5);
  refund(space, some, MEMORY, 5);
  unnameAccount(space, some);
  assert.equal(space.heap.blockCount, blocks - 1);
  // Charged because it had to be.
  const over = part(space, whole, 100);
  charge(space, over, MEMORY, 150);
  releaseAccount(space, over);
  assert.equal(left(space, whole, MEMORY), 850);
  refund(space, over, MEMORY, 150);
  assert.equal(left(space, whole, MEMORY), 1000);
});

test('whatever is divided, charged and left, there is never more than there was, and all comes back', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  for (let life = 0; life < 30; life++) {
    const prng = new Prng(seed + life);
    const space = Space.create();
    const blocks = space.heap.blockCount;
    const root = openAccount(space, { memory: 10_000 });
    holdAccount(space, root);
    let held = [root];
    let charges: { account: number; amount: number; resource: Resource }[] = [];
    for (let step = 0; step < 400; step++) {
      const account = prng.pick(held);
      const amount = prng.below(500);
      const act = prng.below(10);
      if (act < 3) {
        const made = part(space, account, amount);
        if (made !== 0) held.push(made);
      } else if (act < 6) {
        if (mayCharge(space, account, MEMORY, amount)) {
          charge(space, account, MEMORY, amount);
          charges.push({ account, amount, resource: MEMORY });
        }
      } else if (act < 8 && charges.length > 0) {
        const back = prng.pick(charges);
        refund(space, back.account, MEMORY, back.amount);
        charges = charges.filter((each) => each !== back);
      } else if (account !== root) {
        releaseAccount(space, account);
        held = held.filter((each) => each !== account);
      }
      const inUse = charges.reduce((sum, each) => sum + each.amount, 0);
      const free = held.reduce((sum, each) => sum + left(space, each, MEMORY), 0);
      assert.ok(inUse <= 10_000 && inUse + free <= 10_000, `${inUse} used, ${free} left`);
    }
    for (const each of held) if (each !== root) releaseAccount(space, each);
    const inUse = charges.reduce((sum, each) => sum + each.amount, 0);
    assert.equal(usedOf(space, root, MEMORY), inUse, 'only what is really in use is charged in the end');
    for (const each of charges) refund(space, each.account, MEMORY, each.amount);
    assert.equal(left(space, root, MEMORY), 10_000);
    releaseAccount(space, root);
    assert.equal(space.heap.blockCount, blocks);
  }
});
