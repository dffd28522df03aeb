import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { guest } from '../../guests/build.ts';
import { folderFor } from '../base/folder.testing.ts';
import { EnvironmentError, Space } from '../index.ts';
import { lmdbEngine } from '../store/engine-lmdb.ts';

/** Does `work`; how many threads were begun for it. The core of a space is one, an installer is one more. */
async function threadsOf(work: () => Promise<void>): Promise<number> {
  let threads = 0;
  const count = (): void => {
    threads++;
  };
  process.on('worker', count);
  await work();
  process.off('worker', count);
  return threads;
}

/** Runs a program in the space to its end; what it wrote. */
async function run(folder: string, program: Uint8Array, name: string, ...args: string[]): Promise<string> {
  await using space = await Space.open(folder);
  let text = '';
  const domain = await space.spawn(program, {
    name,
    arguments: [name, ...args],
    stdout: (bytes) => {
      text += Buffer.from(bytes).toString();
    },
  });
  assert.equal((await domain.ended()).exitCode, 0);
  await space.idle();
  return text;
}

/** Changes the stored parts of programs in a space's file; `which`: `o` for what was shipped, `r` for what became of it. */
async function damage(folder: string, which: string): Promise<void> {
  const engine = lmdbEngine.open(join(folder, 'space.mdb'), 'write');
  const snapshot = engine.snapshot();
  const parts: [string, Uint8Array][] = [];
  for (const { key, value } of snapshot.entries('module')) {
    if (which.includes(key.split('/')[1]!)) parts.push([key, value.slice()]);
  }
  snapshot.done();
  await engine.write((writes) => {
    for (const [key, value] of parts) {
      value[value.length >> 1]! ^= 1;
      writes.put('module', key, value);
    }
  });
  await engine.close();
}

test('the second start of flite neither compiles nor verifies', async (t) => {
  const folder = folderFor(t);
  const flite = readFileSync(await guest('flite'));
  const speak = (name: string) => run(folder, flite, name, '-t', 'hello', '-o', '/out.wav').then(() => {});
  assert.equal(await threadsOf(() => speak('first')), 2);
  assert.equal(await threadsOf(() => speak('second')), 1);
});

test('a rewritten program that is damaged in the store is made anew, once', async (t) => {
  const folder = folderFor(t);
  const queens = readFileSync(await guest('queens'));
  const said = await run(folder, queens, 'first', '6');
  await damage(folder, 'r');
  assert.equal(await threadsOf(async () => assert.equal(await run(folder, queens, 'second', '6'), said)), 2);
  assert.equal(await threadsOf(async () => assert.equal(await run(folder, queens, 'third', '6'), said)), 1);
});

test('a suspended program goes on where only what was made of it is damaged; where all is, the space says so', async (t) => {
  const folder = folderFor(t);
  const queens = readFileSync(await guest('queens'));
  {
    await using space = await Space.open(folder);
    await space.spawn(queens, { name: 'queens', arguments: ['queens', '11'] });
  }
  await damage(folder, 'r');
  {
    await using space = await Space.open(folder);
    assert.equal((await (await space.get('queens')).ended()).exitCode, 0);
  }
  {
    await using space = await Space.open(folder);
    await space.spawn(queens, { name: 'again', arguments: ['queens', '12'] });
  }
  await damage(folder, 'or');
  await assert.rejects(
    Space.open(folder),
    (error) => error instanceof EnvironmentError && error.code === 'store-damaged',
  );
});
