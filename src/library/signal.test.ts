import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { unlessAborted, Waiters } from './signal.ts';

test('who gives up waiting gets the reason, and leaves nothing behind', async () => {
  const waiters = new Waiters<string, number>();
  const keeper = new AbortController();
  const giver = new AbortController();
  const reason = new Error('enough');
  const given = waiters.wait('a', giver.signal);
  const kept = waiters.wait('a', keeper.signal);
  giver.abort(reason);
  await assert.rejects(given, reason);
  waiters.resolve('a', 7);
  assert.equal(await kept, 7);
  assert.deepEqual(getEventListeners(keeper.signal, 'abort'), []);
  assert.deepEqual(getEventListeners(giver.signal, 'abort'), []);
  await assert.rejects(waiters.wait('a', giver.signal), reason);
});

test('all are told of the end, each once', async () => {
  const waiters = new Waiters<number, string>();
  const all = [waiters.wait(1), waiters.wait(1), waiters.wait(2)];
  waiters.resolve(1, 'x');
  waiters.rejectAll(new Error('over'));
  const settled = await Promise.allSettled(all);
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
});

test('work that fails after it was given up disturbs nobody', async () => {
  const work = Promise.withResolvers<void>();
  const late = unlessAborted(AbortSignal.abort('now'), work.promise);
  await assert.rejects(late, (error) => error === 'now');
  work.reject(new Error('late'));
  await new Promise((resolve) => setImmediate(resolve));
});
