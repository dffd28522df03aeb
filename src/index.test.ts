import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { canBuild, guest } from '../guests/build.ts';
import { folderFor } from './base/folder.testing.ts';
import { EnvironmentError, MalformedError, Space, TrapError, UnsupportedError } from './index.ts';

let queens: Uint8Array;
let primes: Uint8Array;

before(async () => {
  queens = readFileSync(await guest('queens'));
  primes = readFileSync(await guest('primes'));
});

/** Collects what a program writes. */
function collector() {
  let text = '';
  const waiting: { pattern: RegExp; resolve: () => void }[] = [];
  return {
    take(bytes: Uint8Array) {
      text += Buffer.from(bytes).toString();
      for (const { pattern, resolve } of waiting) if (pattern.test(text)) resolve();
    },
    saw: (pattern: RegExp) =>
      new Promise<void>((resolve) => {
        if (pattern.test(text)) resolve();
        else waiting.push({ pattern, resolve });
      }),
    get text() {
      return text;
    },
  };
}

test('a trap is an error with the call stack in source lines, also when the space is opened again', async (t) => {
  const folder = folderFor(t);
  const path = await guest('debug/faults-as');
  const lines = (error: unknown): unknown => {
    assert(error instanceof TrapError);
    assert.match(error.message, /^as: trap: out of bounds memory access$/);
    return error.frames.map(({ functionName, source }) => [functionName, source?.line]);
  };
  const expected = [
    ['faults/outer', 12],
    ['faults/_start', 26],
  ];
  {
    await using space = await Space.open(folder);
    const sourceMap = readFileSync(`${path}.map`);
    const domain = await space.spawn(readFileSync(path), { name: 'as', sourceMap });
    assert.deepEqual(await domain.finished().catch(lines), expected);
    const bad = space.spawn(readFileSync(path), { sourceMap: Buffer.from('{}') });
    await assert.rejects(bad, { name: 'MalformedError', message: /source map/ });
  }
  await using space = await Space.open(folder);
  assert.deepEqual(await (await space.get('as')).finished().catch(lines), expected);
  const primeNumbers = await space.spawn(primes, { name: 'p', arguments: ['primes', '10'] });
  assert.equal(await primeNumbers.finished(), 0);
});

test('a program is installed once, spawned, followed to its end, and stays in the list', async (t) => {
  await using space = await Space.open(join(folderFor(t), 'new'));
  const program = await space.install(primes);
  assert.match(program.hash, /^[0-9a-f]{64}$/);
  const out = collector();
  const domain = await space.spawn(program, { arguments: ['primes', '2000'], stdout: out.take });
  assert.deepEqual(await domain.ended(), {
    id: domain.id,
    name: 'program',
    exitCode: 0,
    reason: null,
    frames: [],
    omitted: 0,
    omittedAt: 0,
  });
  assert.match(out.text, /1000\. prime 7919.*\n.*2000\. prime 17389/);
  await space.idle();
  const [listed] = await space.list();
  assert.deepEqual([listed?.name, listed?.state, listed?.exitCode], ['program', 'exited', 0]);
  assert.deepEqual(
    await domain.ended(),
    await (await space.get('program')).ended(),
    'asked again, it says the same',
  );
});

test('a closed space opened again goes on in the middle, and what is heard joins up', async (t) => {
  const folder = folderFor(t);
  const whole = collector();
  const first = collector();
  const second = collector();
  {
    await using space = await Space.open(folder);
    const other = await space.spawn(queens, { name: 'whole', arguments: ['q', '11'], stdout: whole.take });
    await other.ended();
    const domain = await space.spawn(queens, { name: 'q', arguments: ['q', '13'], stdout: first.take });
    await first.saw(/ 2: /);
    const inspected = await domain.inspect();
    assert.equal(inspected.state, 'running');
  }
  await using space = await Space.open(folder, { create: false });
  const domain = await space.get('q');
  await domain.follow(second.take);
  assert.equal((await domain.ended()).exitCode, 0);
  const numbers = [...(first.text + second.text).matchAll(/^ *(\d+): /gm)].map((found) => Number(found[1]));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  );
  assert.match(second.text, /done: 73712 placements/);
});

test('suspend holds a program, resume lets it go on, stop ends it, remove forgets it', async (t) => {
  await using space = await Space.open(folderFor(t));
  const out = collector();
  const domain = await space.spawn(queens, { name: 'q', arguments: ['q', '16'], stdout: out.take });
  await out.saw(/ 1: /);
  await domain.suspend();
  const held = await domain.inspect();
  assert.equal(held.state, 'suspended');
  assert(held.stack.some((frame) => /place/.test(frame.functionName ?? '')));
  const lines = out.text.length;
  await new Promise((resolve) => setTimeout(resolve, 100));
  const more = out.text.length;
  await domain.resume();
  await out.saw(new RegExp(`^[^]{${more + 60}}`));
  assert(more - lines < 200, 'nothing but what had been said came while it was held');
  await domain.stop();
  assert.deepEqual([(await domain.ended()).exitCode, (await domain.ended()).reason], [143, 'stopped']);
  await domain.remove();
  assert.deepEqual(await space.list(), []);
  await assert.rejects(space.get('q'), { code: 'no-such-domain' });
});

test('one process has a space at a time; a second may look', async (t) => {
  const folder = folderFor(t);
  await using space = await Space.open(folder);
  await space.spawn(primes, { name: 'p', arguments: ['p', '1000'] });
  await space.checkpoint();
  await assert.rejects(Space.open(folder), (error: EnvironmentError) => {
    assert.equal(error.code, 'store-busy');
    assert.match(error.message, new RegExp(String(process.pid)));
    return true;
  });
  await using looking = await Space.open(folder, { readOnly: true });
  assert.deepEqual(
    (await looking.list()).map((domain) => domain.name),
    ['p'],
  );
});

test('errors say what kind they are', async (t) => {
  const folder = folderFor(t);
  await assert.rejects(Space.open(join(folder, 'none'), { create: false }), { code: 'store-missing' });
  await using space = await Space.open(join(folder, 'space'));
  await assert.rejects(space.spawn(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 99)), MalformedError);
  await assert.rejects(space.import(new Uint8Array(100)), MalformedError);
  // A module with a type of the GC proposal: it is said what is not taken, and where.
  const gc = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 3, 1, 0x5f, 0);
  await assert.rejects(space.install(gc), (error: unknown) => {
    assert(error instanceof UnsupportedError, String(error));
    assert.deepEqual([error.code, error.name, error.offset], ['unsupported', 'UnsupportedError', 11]);
    return true;
  });
  const domain = await space.spawn(queens, { name: 'q', arguments: ['q', '16'] });
  await assert.rejects(space.spawn(queens, { name: 'q' }), { code: 'name-taken' });
  await assert.rejects(space.spawn(queens, { name: 'a b' }), { code: 'bad-name' });
  await assert.rejects(domain.remove(), { code: 'running' });
  assert.throws(() => domain.write(Uint8Array.of(1)), EnvironmentError);
  const ended = domain.ended();
  ended.catch(() => {});
  await space.close();
  await assert.rejects(ended, { code: 'closed' });
});

test('a domain exported while it runs goes on in another space from that very point', async (t) => {
  const folder = folderFor(t);
  const first = collector();
  const second = collector();
  await using here = await Space.open(join(folder, 'here'));
  await using there = await Space.open(join(folder, 'there'));
  const domain = await here.spawn(queens, { name: 'q', arguments: ['q', '13'], stdout: first.take });
  await first.saw(/ 2: /);
  const moved = await there.import(await domain.export(), { name: 'moved' });
  await moved.follow(second.take);
  assert.equal((await moved.ended()).exitCode, 0);
  const numbers = [...(first.text + second.text).matchAll(/^ *(\d+): /gm)].map((found) => Number(found[1]));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  );
});

test('volatile programs are in no checkpoint', async (t) => {
  const folder = folderFor(t);
  {
    await using space = await Space.open(folder);
    await space.spawn(queens, { name: 'kept', arguments: ['q', '16'] });
    await space.spawn(queens, { name: 'gone', arguments: ['q', '16'], volatile: true });
    assert.deepEqual((await space.list()).map((domain) => domain.name).sort(), ['gone', 'kept']);
  }
  await using space = await Space.open(folder, { resume: 'none' });
  assert.deepEqual(
    (await space.list()).map((domain) => [domain.name, domain.state]),
    [['kept', 'suspended']],
  );
});

test('input is fed to a followed program, and a granted folder is seen', async (t) => {
  const missing = canBuild('cat');
  if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
  const folder = folderFor(t);
  mkdirSync(join(folder, 'host'));
  writeFileSync(join(folder, 'host', 'a'), 'from the host\n');
  await using space = await Space.open(join(folder, 'space'));
  const out = collector();
  const cat = await space.spawn(readFileSync(await guest('cat')), {
    arguments: ['cat', '--echo'],
    stdout: out.take,
  });
  cat.write(Buffer.from('one\n'));
  cat.write(Buffer.from('two\n'));
  cat.endInput();
  assert.equal((await cat.ended()).exitCode, 0);
  assert.equal(out.text, 'one\ntwo\n');
});
