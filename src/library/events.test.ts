import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpaceEvent } from '../cli/types.ts';
import { EventStream, type MissedEvents } from './events.ts';

const checkpoint = (number: number): SpaceEvent => ({ kind: 'checkpoint', number });

async function all(stream: EventStream): Promise<(SpaceEvent | MissedEvents)[]> {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

test('what nobody takes is kept up to a number; then the oldest go, and it is said how many', async () => {
  const stream = new EventStream({ keep: 3 });
  for (let number = 1; number <= 5; number++) stream.push(checkpoint(number));
  assert.deepEqual(await stream.next(), { done: false, value: { kind: 'missed', count: 2 } });
  assert.deepEqual(await stream.next(), { done: false, value: checkpoint(3) });
  stream.push(checkpoint(6));
  stream.end();
  stream.push(checkpoint(7));
  assert.deepEqual(await all(stream), [4, 5, 6].map(checkpoint));
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test('several may wait at once, and get events in their order', async () => {
  const stream = new EventStream({});
  const taken = [stream.next(), stream.next(), stream.next()];
  stream.push(checkpoint(1));
  stream.push(checkpoint(2));
  stream.end();
  assert.deepEqual(
    (await Promise.all(taken)).map(({ value }) => value),
    [checkpoint(1), checkpoint(2), undefined],
  );
});

test('a bug is thrown after what is kept has been taken; an aborted signal at once', async () => {
  const broken = new EventStream({});
  broken.push(checkpoint(1));
  broken.end(new Error('bug'));
  assert.equal((await broken.next()).value?.kind, 'checkpoint');
  await assert.rejects(broken.next(), /bug/);
  assert.equal((await broken.next()).done, true);

  const control = new AbortController();
  const stream = new EventStream({ signal: control.signal });
  let over = 0;
  stream.whenOver(() => over++);
  const waiting = stream.next();
  control.abort(new Error('given up'));
  await assert.rejects(waiting, /given up/);
  assert.equal(over, 1);
  assert.throws(() => new EventStream({ signal: control.signal }), /given up/);

  const late = new AbortController();
  const kept = new EventStream({ signal: late.signal });
  kept.push(checkpoint(1));
  late.abort(new Error('given up'));
  await assert.rejects(kept.next(), /given up/);
});

test('leaving the loop, or the scope, ends it', async () => {
  const stream = new EventStream({});
  let over = 0;
  stream.whenOver(() => over++);
  stream.push(checkpoint(1));
  stream.push(checkpoint(2));
  for await (const event of stream) if (event.kind === 'checkpoint') break;
  assert.equal(over, 1);
  assert.deepEqual(await all(stream), []);
  {
    await using scoped = new EventStream({});
    scoped.whenOver(() => over++);
  }
  assert.equal(over, 2);
  for (const keep of [0, -1, 1.5, Number.NaN]) assert.throws(() => new EventStream({ keep }), RangeError);
});
