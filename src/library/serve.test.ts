/** Objects served in TypeScript, asked by programs through rings; over restarts, too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATTRIBUTE, LISTED, LISTED_BYTES, OPERATION, OPTION } from '../abi/ring.ts';
import { folderFor } from '../base/folder.testing.ts';
import { ERRNO, GuestError, type RequestContext, type ServedObject, Space } from '../index.ts';
import { answers, CLIENT, clientOf, encode } from './client.testing.ts';

test('what a program asks of an object, TypeScript answers', async (t) => {
  await using space = await Space.open(folderFor(t));
  const calls: unknown[] = [];
  const contexts: RequestContext[] = [];
  const object: ServedObject = {
    read: ({ offset, length }, context) => {
      contexts.push(context);
      calls.push(['read', offset, length]);
      return Buffer.from('some bytes').subarray(Number(offset ?? 0));
    },
    write: async (bytes, { offset }) => {
      calls.push(['write', Buffer.from(bytes).toString(), offset]);
      if (offset === 'end') return 2;
    },
    list: () => [{ name: 'a' }, { name: 'folder', type: 'folder' }],
    describe: (path) => {
      if (path === 'none') throw new GuestError(ERRNO.NOENT);
      return { size: 123, modifiedNs: 5n };
    },
    create: (path, { link }) => void calls.push(['create', path, link]),
    remove: (path, { folder }) => {
      calls.push(['remove', path, folder]);
      throw new Error('broken');
    },
    invoke: (method, bytes) =>
      method === 9 ? { result: 77 } : Buffer.concat([bytes, Buffer.from(`${method}`)]),
  };
  const problems: string[] = [];
  await using events = space.events();
  await using served = await space.serve('thing', object);
  const { domain, ask } = await clientOf(space, { imports: { x: served } });
  const read = await ask({ operation: OPERATION.read, room: 6, offset: 5n });
  assert.deepEqual([read.result, read.filled.subarray(0, 6).toString()], [5, 'bytes\0']);
  const [first] = contexts;
  assert.deepEqual([first?.badge, first?.again, first?.rights.includes('revoke')], [0n, false, false]);
  assert.equal((await ask({ operation: OPERATION.write, first: 'hello', offset: 2n ** 64n - 1n })).result, 5);
  assert.equal((await ask({ operation: OPERATION.write, first: 'more', offset: 2n ** 64n - 2n })).result, 2);
  const list = await ask({ operation: OPERATION.list, room: 200 });
  const at = LISTED_BYTES + 1;
  assert.equal(list.result, at + LISTED_BYTES + 6);
  assert.equal(list.filled.subarray(at + LISTED_BYTES, list.result).toString(), 'folder');
  assert.deepEqual([list.filled[LISTED.type], list.filled[at + LISTED.type]], [4, 3]);
  const rest = await ask({ operation: OPERATION.list, room: 200, offset: 1n });
  assert.equal(rest.result, LISTED_BYTES + 6, 'from the cookie on');
  const told = await ask({ operation: OPERATION.describe, first: 'f', room: 64 });
  assert.deepEqual([told.result, told.filled.readUInt32LE(ATTRIBUTE.size)], [64, 123]);
  assert.equal((await ask({ operation: OPERATION.describe, first: 'none', room: 64 })).result, -ERRNO.NOENT);
  assert.equal((await ask({ operation: OPERATION.create, first: 'd', options: OPTION.directory })).result, 0);
  const symbolic = { operation: OPERATION.create, first: 'l', second: 'to', options: OPTION.symbolic };
  assert.equal((await ask(symbolic)).result, 0);
  assert.equal((await ask({ operation: OPERATION.remove, first: 'f' })).result, -ERRNO.IO);
  const invoked = await ask({ operation: OPERATION.invoke, method: 300, first: 'ab', room: 10 });
  assert.deepEqual([invoked.result, invoked.filled.subarray(0, 5).toString()], [5, 'ab300']);
  assert.equal((await ask({ operation: OPERATION.invoke, method: 9 })).result, 77);
  assert.equal((await ask({ operation: OPERATION.sync })).result, -ERRNO.NOTSUP);
  assert.equal((await ask({ operation: OPERATION.open, first: 'f' })).result, -ERRNO.NOTSUP);
  assert.deepEqual(calls, [
    ['read', 5n, 6],
    ['write', 'hello', null],
    ['write', 'more', 'end'],
    ['create', 'd', null],
    ['create', 'l', 'to'],
    ['remove', 'f', false],
  ]);
  domain.endInput();
  assert.equal(await domain.finished(), 0);
  for await (const event of events) {
    if (event.kind === 'problem') problems.push(event.text);
    if (event.kind === 'ended') break;
  }
  assert.deepEqual(problems, ['thing: broken']);
});

test('each program has its own badge, rights hold, and an object that ends is gone until it is served again', async (t) => {
  await using space = await Space.open(folderFor(t));
  const badges: bigint[] = [];
  const object: ServedObject = { read: (_, { badge }) => Buffer.from([badges.push(badge)]) };
  const served = await space.serve('counter', object);
  await assert.rejects(space.serve('counter', object), { code: 'name-taken' });
  await using root = await space.hold(served);
  await using lent = await root.derive({ rights: ['read', 'share'], badge: 42n });
  const { ask } = await clientOf(space, { imports: { x: lent } });
  const read = { operation: OPERATION.read, room: 1 };
  assert.equal((await ask(read)).result, 1);
  assert.equal((await ask({ operation: OPERATION.write, first: 'x' })).result, -ERRNO.NOTCAPABLE);
  await served[Symbol.asyncDispose]();
  assert.equal((await ask(read)).result, -ERRNO.GONE);
  await using again = await space.serve('counter', object);
  assert(again);
  assert.equal((await ask(read)).result, 1);
  await lent.revoke();
  assert.equal((await ask(read)).result, -ERRNO.REVOKED);
  assert.deepEqual(badges, [42n, 42n]);
});

for (const unanswered of ['again', 'fail'] as const) {
  test(`a request that a restart finds unanswered is to ${unanswered === 'again' ? 'come again' : 'fail'}`, async (t) => {
    const folder = folderFor(t);
    const seen: RequestContext[] = [];
    {
      await using space = await Space.open(folder);
      const arrived = Promise.withResolvers<void>();
      const object: ServedObject = {
        invoke: (_method, _bytes, context) => {
          seen.push(context);
          arrived.resolve();
          return new Promise(() => {});
        },
      };
      const served = await space.serve('slow', object, { unanswered });
      const { domain } = await clientOf(space, { imports: { x: served } });
      domain.write(encode({ operation: OPERATION.invoke, method: 1, first: 'abc', room: 8 }));
      await arrived.promise;
    }
    await using space = await Space.open(folder);
    const domain = await space.get('client');
    const said = answers();
    await domain.follow(said.take);
    if (unanswered === 'again') {
      const bytes: string[] = [];
      const object: ServedObject = {
        invoke: (_method, given, context) => {
          seen.push(context);
          bytes.push(Buffer.from(given).toString());
          return Buffer.from('late');
        },
      };
      await space.serve('slow', object);
      const { result, filled } = await said.next();
      assert.deepEqual([result, filled.subarray(0, 4).toString(), bytes], [4, 'late', ['abc']]);
      assert.deepEqual(
        seen.map(({ again }) => again),
        [false, true],
      );
      assert.equal(seen[0]?.id, seen[1]?.id);
    } else assert.equal((await said.next()).result, -ERRNO.GONE);
    domain.endInput();
    assert.equal(await domain.finished(), 0);
  });
}

test('a program knows no difference: its standard streams can be objects served in TypeScript', async (t) => {
  await using space = await Space.open(folderFor(t));
  const said = answers();
  const input = [encode({ operation: OPERATION.nop }), encode({ operation: OPERATION.nop })];
  await using stdin = await space.serve('in', { read: () => input.shift() ?? new Uint8Array(0) });
  await using stdout = await space.serve('out', { write: (bytes) => said.take(bytes) });
  const domain = await space.spawn(await CLIENT, { imports: { stdin, stdout } });
  assert.equal((await said.next()).result, 0);
  assert.equal((await said.next()).result, 0);
  assert.equal(await domain.finished(), 0);
});
