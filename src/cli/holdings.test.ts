/** What the owner holds is in the space, and the next process lets go of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OBJECT, RIGHTS_ALL } from '../abi/objects.ts';
import { ServedObjects } from '../drivers/served.ts';
import { DriverState } from '../drivers/state.ts';
import { program, TestSystem } from '../kernel/kernel.testing.ts';
import { rootCell, stateMemory } from '../kernel/outbox-space.ts';
import { ROOT } from '../space/index.ts';
import { Holdings } from './holdings.ts';

const GUARD = program(
  '(module (memory 1) (func (export "gate:check") (param i64 i32) (result i32) (i32.const 0)) (func (export "_start")))',
);
const PROGRAM = program('(module (memory 1) (func (export "gate:f")) (func (export "_start")))');

function holdingsOf({ kernel }: TestSystem): Holdings {
  const state = new DriverState(stateMemory(kernel.space), rootCell(kernel.space, ROOT.ports));
  return new Holdings(
    kernel,
    state,
    new ServedObjects({ state, wake: () => {}, send: () => {}, notify: () => {} }),
  );
}

test('a process that dies leaves nothing held: records and objects are given back when the space is opened', async () => {
  const system = new TestSystem();
  system.add('a', await PROGRAM);
  holdingsOf(system).hold({ kind: 'domain', name: 'a' });
  const counts = (): number[] => {
    const { capabilities, objects } = system.kernel.core;
    return [capabilities.count, objects.count];
  };
  const few = counts();
  for (let life = 0; life < 3; life++) {
    const holdings = holdingsOf(system);
    const whole = holdings.hold({ kind: 'domain', name: 'a' });
    const part = holdings.hold({ kind: 'held', id: whole }, { rights: ['read', 'derive'], badge: 1n });
    holdings.hold({ kind: 'held', id: part }, { rights: ['read'], badge: 0n });
    holdings.hold({ kind: 'gate', name: 'a', procedure: 'f' });
    holdings.hold({ kind: 'clock' });
    assert(counts()[0]! > few[0]!);
    holdings.release(part);
    holdings.release(part);
    assert.throws(() => holdings.hold({ kind: 'held', id: part }), { code: 'not-held' });
    system.checkpoint();
    system.crash();
  }
  holdingsOf(system);
  assert.deepEqual(counts(), few);
});

test('what cannot be granted, or refused half way, leaves nothing behind', async () => {
  const system = new TestSystem();
  system.add('a', await PROGRAM);
  const holdings = holdingsOf(system);
  holdings.hold({ kind: 'domain', name: 'a' });
  const { capabilities } = system.kernel.core;
  const before = capabilities.count;
  const grants = [
    { name: 'f', from: { kind: 'gate', name: 'a', procedure: 'f' } },
    { name: 'c', from: { kind: 'clock' } },
  ] as const;
  assert.throws(
    () =>
      holdings.granting(grants, () => {
        throw new Error('no room');
      }),
    /no room/,
  );
  assert.throws(
    () => holdings.granting([...grants, { name: 'x', from: { kind: 'domain', name: 'b' } }], () => {}),
    {
      code: 'no-such-domain',
    },
  );
  assert.throws(() => holdings.hold({ kind: 'gate', name: 'a', procedure: 'g' }), { code: 'no-such-export' });
  assert.throws(() => holdings.hold({ kind: 'served', name: 'none' }), { code: 'not-served' });
  assert.equal(capabilities.count, before);
});

test('what a kind stands before is shown as what it is', async () => {
  const system = new TestSystem();
  const [a, b] = [system.add('a', await GUARD), system.add('b', await PROGRAM)];
  const { core } = system.kernel;
  const [guard, holder] = [core.peek(a), core.peek(b)];
  assert(guard !== undefined && holder !== undefined);
  const clock = core.hosts.capability({ kind: 'clock' });
  const target = core.clists.insert(guard, clock.capability, clock.turn, RIGHTS_ALL);
  const check = core.clists.make(guard, OBJECT.gate, guard.id, 0);
  const kind = core.kinds.create(guard, { check, derive: 0, revoked: 0 });
  assert(kind > 0);
  const judged = core.clists.pass(
    guard,
    core.kinds.wrap(guard, kind, target, RIGHTS_ALL, 1n),
    holder,
    RIGHTS_ALL,
  );
  assert(judged > 0);
  const [shown] = holdingsOf(system).capabilitiesOf(b).capabilities;
  assert.deepEqual([shown?.kind, shown?.state], ['host', 'asks']);
});
