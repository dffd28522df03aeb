import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import {
  OPERATION,
  OPTION,
  REQUEST_CANCELED,
  REQUEST_RELEASED,
  RING_SERVES,
  STREAM_OFFSET,
  SUBMIT,
  TABLE_KIND,
} from '../../abi/ring.ts';
import { usedOf } from '../account/account.ts';
import type { Domain } from '../domain.ts';
import { TestSystem } from '../kernel.testing.ts';
import { type Request, RingUser } from './ring.testing.ts';

const op = OPERATION;
const [IN, OUT] = [0x7000, 0x8000];

/** A server with a table, and a client with an object of it. */
async function pair(
  kind: number,
  methods = 0,
  more: { server?: object; client?: object; entries?: number } = {},
) {
  const system = new TestSystem();
  const server = await RingUser.make(system, 'server', more.entries ?? 8, RING_SERVES, more.server);
  const client = await RingUser.make(system, 'client', 16, 0, more.client);
  const table = server.call('table_create', server.handle, kind, methods);
  assert.ok(table > 0, `${table}`);
  const give = (number: bigint, rights = RIGHTS_ALL): number => {
    const object = server.call('table_object', table, number, rights);
    assert.ok(object > 0);
    const { core } = system.kernel;
    const [from, to] = [core.peek(server.id), core.peek(client.id)];
    assert.ok(from && to);
    const handle = core.clists.pass(from, object, to, rights);
    server.call('cap_close', object);
    return handle;
  };
  return { system, server, client, table, give };
}
const one = (list: Request[]): Request => {
  assert.equal(list.length, 1);
  return list[0] as Request;
};
/** Fields of a reply. */
const reply = (request: Request, result: number) => ({
  op: op.reply,
  offset: request.number,
  rights: result >>> 0,
  flags: SUBMIT.quiet,
});

test('a stream served by a domain is read and written like any other', async () => {
  const { system, server, client, give } = await pair(TABLE_KIND.stream);
  const handle = give(7n);
  client.write(IN, 'a question');
  client.submit({ op: op.write, user: 1n, handle, first: IN, firstLength: 10, offset: STREAM_OFFSET });
  const write = one(server.requests());
  assert.equal(write.op, op.write);
  assert.equal(write.object, 7n);
  assert.equal(new TextDecoder().decode(write.data), 'a question');
  assert.deepEqual(client.results(), {});
  server.submit({ ...reply(write, 10), limit: 42n });
  assert.deepEqual(client.completions(), [{ user: 1n, result: 10, value: 42n }]);
  client.submit({ op: op.read, user: 2n, handle, first: OUT, firstLength: 100, offset: STREAM_OFFSET });
  const read = one(server.requests());
  assert.equal(read.room, 100);
  server.submit({ ...reply(read, 6), first: 0x5000, firstLength: server.write(0x5000, 'answer') });
  assert.deepEqual(client.results(), { 2: 6 });
  assert.equal(client.text(OUT, 6), 'answer');
  assert.deepEqual(server.results(), {});
  // A stream has no names; the server is not asked.
  assert.equal(client.run({ op: op.list, handle, first: OUT, firstLength: 100 }).result, -ERRNO.NOTSUP);
  assert.deepEqual(server.requests(), []);
  assert.equal(system.kernel.core.rings.count, 0);
});

test('large data is read and written within the buffers of the request, and nowhere else', async () => {
  const { server, client, give } = await pair(TABLE_KIND.file);
  const handle = give(1n);
  const data = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
  client.write(IN, data);
  client.submit({ op: op.write, user: 1n, handle, first: IN, firstLength: 5000 });
  const write = one(server.requests());
  assert.equal(write.given, 5000);
  assert.deepEqual(write.data, data.subarray(0, 176));
  assert.equal(server.call('request_read', write.number, 100, 0x9000, 10000), 4900);
  assert.deepEqual(server.read(0x9000, 4900), data.subarray(100));
  assert.equal(server.call('request_read', write.number, 5000, 0x9000, 10), 0);
  assert.equal(server.call('request_read', write.number, 0xffff_ffff, 0x9000, 10), 0);
  assert.equal(server.call('request_write', write.number, 0, 0x9000, 10), 0);
  assert.equal(server.call('request_read', write.number, 0, 16 * 65536 - 4, 10), -ERRNO.FAULT);
  // The client has none of it.
  assert.equal(client.call('request_read', write.number, 0, 0x9000, 10), -ERRNO.NOENT);
  assert.equal(client.run({ ...reply(write, 0), flags: 0 }).result, -ERRNO.NOENT);
  server.submit(reply(write, 5000));
  assert.equal(server.call('request_read', write.number, 0, 0x9000, 10), -ERRNO.NOENT);
  assert.equal(server.run({ ...reply(write, 5000), flags: 0 }).result, -ERRNO.NOENT);
  assert.deepEqual(client.results(), { 1: 5000 });
  // Two pieces of the client's, filled in the middle.
  client.write(OUT, '.'.repeat(200));
  client.write(0x5000, new Uint8Array(new Uint32Array([OUT, 10, OUT + 100, 10]).buffer));
  client.submit({ op: op.read, user: 2n, handle, first: 0x5000, firstLength: 2, flags: SUBMIT.vector });
  const read = one(server.requests());
  assert.equal(read.room, 20);
  server.write(0x9000, '0123456789abcdef');
  assert.equal(server.call('request_write', read.number, 7, 0x9000, 16), 13);
  server.submit(reply(read, 20));
  assert.equal(client.text(OUT + 7, 3), '012');
  assert.equal(client.text(OUT + 100, 10), '3456789abc');
  assert.equal(client.text(OUT + 110, 2), '..');
});

test("what a server opens for a client is the client's, with the rights it asked for", async () => {
  const { server, client, table, give } = await pair(TABLE_KIND.file);
  const handle = give(1n);
  const open = {
    op: op.open,
    user: 1n,
    handle,
    first: IN,
    firstLength: client.write(IN, 'x/y'),
    rights: RIGHT.read,
  };
  client.submit({ ...open, options: OPTION.read });
  const request = one(server.requests());
  assert.equal(new TextDecoder().decode(request.data), 'x/y');
  assert.equal(request.rights, RIGHT.read);
  assert.equal(server.run({ ...reply(request, 0), flags: 0 }).result, -ERRNO.INVAL);
  assert.equal(server.run({ ...reply(request, 0), flags: 0, other: 999 }).result, -ERRNO.BADF);
  const object = server.call('table_object', table, 2n, RIGHTS_ALL);
  server.submit({ ...reply(request, 0), other: object, options: OPTION.move, limit: 4n });
  const [opened] = client.completions();
  assert.ok(opened && opened.result > 0);
  assert.equal(opened.value, 4n);
  assert.equal(
    client.run({ op: op.write, handle: opened.result, first: 0, firstLength: 1 }).result,
    -ERRNO.NOTCAPABLE,
  );
  client.submit({ op: op.read, user: 2n, handle: opened.result, first: OUT, firstLength: 1 });
  assert.equal(one(server.requests()).object, 2n);
  assert.equal(server.call('cap_close', object), -ERRNO.BADF);
  // What it is given has no right that it has not got to what it opens.
  const shared = client.call('cap_derive', handle, RIGHT.read | RIGHT.share, 0n);
  client.submit({ ...open, handle: shared, rights: 0 });
  const again = one(server.requests());
  server.submit({ ...reply(again, 0), other: server.call('table_object', table, 3n, RIGHTS_ALL) });
  const [less] = client.completions();
  assert.ok(less && less.result > 0);
  const write = { op: op.write, handle: less.result, first: 0, firstLength: 1 };
  assert.equal(client.run(write).result, -ERRNO.NOTCAPABLE);
});

test('a generic table has the methods it declared; a capability can be passed along', async () => {
  const { system, server, client, give } = await pair(TABLE_KIND.generic, 3);
  const handle = give(1n);
  assert.equal(client.run({ op: op.invoke, handle, method: 3 }).result, -ERRNO.NOSYS);
  assert.equal(client.run({ op: op.read, handle, first: OUT, firstLength: 1 }).result, -ERRNO.NOTSUP);
  const args = { first: IN, firstLength: client.write(IN, 'args'), second: OUT, secondLength: 8 };
  client.submit({ op: op.invoke, user: 1n, handle, method: 2, other: client.handle, ...args });
  const request = one(server.requests());
  assert.equal(request.method, 2);
  assert.equal(request.brought, 1);
  const taken = server.call('request_take', request.number, 0);
  assert.ok(taken > 0);
  const { core } = system.kernel;
  const domain = core.peek(server.id);
  assert.ok(domain);
  assert.ok(typeof core.clists.find(domain, taken) !== 'number');
  server.submit({ ...reply(request, 77), first: 0x5000, firstLength: server.write(0x5000, 'result') });
  assert.deepEqual(client.results(), { 1: 77 });
  assert.equal(client.text(OUT, 6), 'result');
  // Another object of the same table is told by its number.
  client.submit({ op: op.invoke, user: 1n, handle, method: 0, other: give(9n) });
  assert.equal(one(server.requests()).other, 9n);
});

test('what is linked to a request that fails before it is delivered is cancelled', async () => {
  const { system, client, give } = await pair(TABLE_KIND.generic, 3);
  const handle = give(1n);
  const bad = { op: op.invoke, handle, method: 1, other: 999, limit: 1000n };
  client.submit({ ...bad, user: 1n, flags: SUBMIT.link }, { op: op.nop, user: 2n });
  assert.deepEqual(client.results(), { 1: -ERRNO.BADF, 2: -ERRNO.CANCELED });
  client.submit({ ...bad, user: 3n }, { op: op.nop, user: 4n, flags: SUBMIT.drain });
  assert.deepEqual(client.results(), { 3: -ERRNO.BADF, 4: 0 });
  assert.equal(system.kernel.core.rings.count, 0);
});

test('a badge that a client derives reaches the server, with the number that it gave', async () => {
  const { server, client, give } = await pair(TABLE_KIND.stream);
  const handle = give(5n);
  const badged = client.call('cap_derive', handle, RIGHTS_ALL, 0xdeadbeefcafen);
  client.submit({ op: op.read, handle: badged, first: OUT, firstLength: 1 });
  const request = one(server.requests());
  assert.equal(request.object, 5n);
  assert.equal(request.badge, 0xdeadbeefcafen);
});

test('a slow server pushes back on its clients and on nobody else', async () => {
  const { server, client, give } = await pair(TABLE_KIND.stream, 0, { entries: 2 });
  const handle = give(1n);
  const reads = Array.from({ length: 16 }, (_, i) => ({
    op: op.read,
    user: BigInt(i),
    handle,
    first: OUT,
    firstLength: 1,
  }));
  assert.equal(client.submit(...reads), 16);
  assert.equal(client.submit(...reads), 16);
  assert.equal(client.submit(...reads), 0);
  assert.deepEqual(client.results(), {});
  const seen: bigint[] = [];
  while (seen.length < 32) {
    const requests = server.requests();
    assert.ok(requests.length > 0 && requests.length <= 2);
    for (const request of requests) {
      seen.push(request.number);
      server.submit(reply(request, 1));
    }
    server.enter();
  }
  assert.deepEqual(
    seen,
    [...seen].sort((a, b) => Number(a - b)),
  );
  assert.equal(client.completions().length, 32);
  assert.equal(client.enter(16), 16);
});

test('a server that dies, or drops its table, or whose ring is closed, answers all its clients', async () => {
  const ways: [string, (p: Awaited<ReturnType<typeof pair>>) => void][] = [
    ['killed', ({ system, server }) => system.kernel.kill(server.id)],
    ['removed', ({ system, server }) => system.kernel.remove(server.id)],
    ['table closed', ({ server, table }) => assert.equal(server.call('cap_close', table), 0)],
    ['ring closed', ({ server }) => assert.equal(server.call('cap_close', server.handle), 0)],
  ];
  for (const [name, end] of ways) {
    const p = await pair(TABLE_KIND.stream, 0, { entries: 1 });
    const handle = p.give(1n);
    const read = { op: op.read, handle, first: OUT, firstLength: 1 };
    p.client.submit(
      { ...read, user: 1n },
      { ...read, user: 2n, flags: SUBMIT.link },
      { op: op.nop, user: 3n },
    );
    end(p);
    assert.deepEqual(p.client.results(), { 1: -ERRNO.GONE, 2: -ERRNO.GONE, 3: -ERRNO.CANCELED }, name);
    assert.equal(p.client.run(read).result, -ERRNO.GONE);
    assert.equal(p.system.kernel.core.rings.count, 0, name);
    assert.equal(p.system.kernel.core.rings.tables.count, 0, name);
  }
});

test('a client that gives up is forgotten: the server is told, and its answer goes nowhere', async () => {
  const { system, server, client, give } = await pair(TABLE_KIND.stream, 0, { entries: 1 });
  const handle = give(3n);
  const read = { op: op.read, handle, first: OUT, firstLength: 1 };
  client.submit({ ...read, user: 1n }, { ...read, user: 2n });
  const request = one(server.requests());
  client.submit({ op: op.cancel, user: 8n, offset: 2n }, { op: op.cancel, user: 9n, offset: 1n });
  const { CANCELED, NOENT } = ERRNO;
  assert.deepEqual(client.results(), { 1: -CANCELED, 2: -CANCELED, 8: 0, 9: 0 });
  const notice = one(server.requests());
  assert.equal(notice.op, REQUEST_CANCELED);
  assert.equal(notice.number, request.number);
  assert.equal(server.run({ ...reply(request, 1), flags: 0 }).result, -NOENT);
  // One that takes too long, and a client that is killed.
  client.submit({ ...read, user: 3n, limit: 100n });
  one(server.requests());
  system.powers.ns += 100n;
  system.kernel.run();
  assert.deepEqual(client.results(), { 3: -ERRNO.TIMEDOUT });
  assert.equal(one(server.requests()).op, REQUEST_CANCELED);
  client.submit({ ...read, user: 4n });
  one(server.requests());
  system.kernel.kill(client.id);
  const end = server.requests();
  server.enter();
  end.push(...server.requests());
  assert.deepEqual(
    end.map(({ op, object }) => [op, object]),
    [
      [REQUEST_CANCELED, 3n],
      [REQUEST_RELEASED, 3n],
    ],
  );
  assert.equal(system.kernel.core.rings.count, 0);
});

test('requests in every state survive a restart; a server that does not is gone for its clients', async () => {
  for (const volatile of [false, true]) {
    const p = await pair(TABLE_KIND.stream, 0, { entries: 1, server: { volatile } });
    const { system, server, client } = p;
    const handle = p.give(3n);
    const read = { op: op.read, handle, first: OUT, firstLength: 1 };
    client.submit({ ...read, user: 1n }, { ...read, user: 2n, flags: SUBMIT.link }, { ...read, user: 3n });
    const taken = one(server.requests());
    system.checkpoint();
    system.crash();
    system.kernel.run();
    if (volatile) {
      assert.deepEqual(client.results(), { 1: -ERRNO.GONE, 2: -ERRNO.GONE, 3: -ERRNO.CANCELED });
    } else {
      server.submit(reply(taken, 1));
      server.enter();
      server.submit(reply(one(server.requests()), 1));
      server.submit(reply(one(server.requests()), 1));
      assert.deepEqual(client.results(), { 1: 1, 2: 1, 3: 1 });
    }
    assert.equal(system.kernel.core.rings.count, 0);
  }
});

test('a client whose memory has moved gets its answer where it is now', async () => {
  const { system, server, client, give } = await pair(TABLE_KIND.stream);
  const handle = give(1n);
  client.submit({ op: op.read, user: 1n, handle, first: OUT, firstLength: 10 });
  system.kernel.relocate(client.id);
  system.kernel.relocate(server.id);
  const request = one(server.requests());
  server.submit({ ...reply(request, 5), first: 0x5000, firstLength: server.write(0x5000, 'there') });
  assert.deepEqual(client.results(), { 1: 5 });
  assert.equal(client.text(OUT, 5), 'there');
});

test('what cannot be a table or an object of one is refused', async () => {
  const { server, client, table } = await pair(TABLE_KIND.stream);
  assert.equal(server.call('table_create', server.handle, 9, 0), -ERRNO.INVAL);
  assert.equal(server.call('table_create', server.handle, TABLE_KIND.generic, 70000), -ERRNO.INVAL);
  assert.equal(server.call('table_create', table, TABLE_KIND.file, 0), -ERRNO.INVAL);
  assert.equal(client.call('table_create', client.handle, TABLE_KIND.file, 0), -ERRNO.INVAL);
  assert.equal(server.call('table_object', table, -1n, RIGHTS_ALL), -ERRNO.INVAL);
  assert.equal(server.call('table_object', server.handle, 1n, RIGHTS_ALL), -ERRNO.INVAL);
  assert.equal(server.call('table_object', 12345, 1n, RIGHTS_ALL), -ERRNO.BADF);
});

test('what a server is told and does not take is charged to it, and ends where it may have no more', async () => {
  const { system, server, table } = await pair(TABLE_KIND.stream, 0, {
    server: { limits: { requests: 20 } },
  });
  const { account } = system.kernel.core.peek(server.id) as Domain;
  for (let n = 0; n < 100; n++) {
    server.call('cap_close', server.call('table_object', table, BigInt(n), RIGHTS_ALL));
  }
  assert.equal(system.kernel.core.rings.count, 20);
  assert.equal(usedOf(system.space, account, RESOURCE.requests), 20);
  const told: bigint[] = [];
  for (let i = 0; i < 4; i++) {
    told.push(...server.requests().map(({ object }) => object));
    server.enter();
  }
  assert.deepEqual(
    told,
    Array.from({ length: 28 }, (_, n) => BigInt(n)),
  );
  assert.equal(usedOf(system.space, account, RESOURCE.requests), 0);
});
