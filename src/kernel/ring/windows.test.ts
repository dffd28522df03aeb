/** Rings whose buffers lie in windows: looked up when they are used, and not before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import {
  OPERATION,
  REQUEST_CANCELED,
  REQUEST_DATA_BYTES,
  RING_SERVES,
  SUBMIT,
  TABLE_KIND,
} from '../../abi/ring.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { FakePorts } from '../../personalities/wasi/ports.testing.ts';
import { TestSystem } from '../kernel.testing.ts';
import { Tree } from '../tree.ts';
import { RingUser } from './ring.testing.ts';
import { domainOf, SIZE, Window } from './window.testing.ts';

const op = OPERATION;
const OUT = 0x8000;

async function fileUser() {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 16);
  const tree = Tree.open(system.space, 0n);
  const node = tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  const file = system.kernel.authority.grant(user.id, {
    name: 'f',
    ...system.kernel.core.nodes.capability(node),
  });
  return { system, user, file, window: new Window(user) };
}

test('bytes go between a file and a window, lists of buffers lie there too, and it may lie elsewhere later', async () => {
  const { system, user, file, window } = await fileUser();
  const { near } = window;
  window.write(10, 'hello');
  user.write(OUT, ' world');
  window.write(4096, new Uint8Array(new Uint32Array([near + 10, 5, OUT, 6]).buffer));
  const vector = { handle: file, first: near + 4096, firstLength: 2, flags: SUBMIT.vector };
  assert.equal(user.run({ ...vector, op: op.write }).result, 11);
  // A segment that grows moves.
  const before = system.kernel.core.segments.address(window.object);
  for (let size = 2 * SIZE; system.kernel.core.segments.address(window.object) === before; size += SIZE) {
    new Window(user);
    assert.equal(system.kernel.core.segments.grow(window.object, size), 0);
  }
  const read = { op: op.read, handle: file, first: near + SIZE - 11, firstLength: 11 };
  assert.equal(user.run(read).result, 11);
  assert.equal(window.text(SIZE - 11, 11), 'hello world');
  // Over a restart, and from a window into another of the same segment.
  system.checkpoint();
  system.crash();
  assert.equal(user.run({ ...read, first: near + 20 }).result, 11);
  assert.equal(window.text(20, 11), 'hello world');
  const along = { op: op.write, handle: window.handle, first: near + 20, firstLength: 11, offset: 25n };
  assert.equal(user.run(along).result, 11);
  assert.equal(window.text(20, 16), 'hellohello world');
});

test('what is no window, ends before the buffer does, or may not be written is a fault, and nothing is written', async () => {
  const { system, user, file, window } = await fileUser();
  const { core } = system.kernel;
  const [near, still] = [window.near, window.map(RIGHT.read)];
  window.write(0, 'as it was');
  user.write(OUT, 'new bytes');
  assert.equal(user.run({ op: op.write, handle: file, first: OUT, firstLength: 9 }).result, 9);
  const read = { op: op.read, handle: file, first: near, firstLength: 9 };
  for (const first of [
    WINDOW_BASE,
    near - 1,
    near + SIZE - 8,
    still,
    0x7fff_ffff,
    0xffff_fff0,
    0xffff_ffff,
  ]) {
    assert.equal(user.run({ ...read, first }).result, -ERRNO.FAULT, first.toString(16));
  }
  user.write(0x5000, new Uint8Array(new Uint32Array([OUT, 4, still, 5]).buffer));
  user.write(OUT, 'left');
  const vector = { ...read, first: 0x5000, firstLength: 2, flags: SUBMIT.vector };
  assert.equal(user.run(vector).result, -ERRNO.FAULT);
  assert.equal(user.text(OUT, 4), 'left');
  assert.equal(user.run({ ...vector, first: WINDOW_BASE }).result, -ERRNO.FAULT);
  assert.equal(user.run({ op: op.write, handle: file, first: still, firstLength: 2 }).result, 2);
  core.segments.seal(window.object);
  assert.equal(user.run(read).result, -ERRNO.FAULT);
  assert.equal(window.text(0, 9), 'as it was');
  window.unmap();
  assert.equal(user.run({ ...read, op: op.write }).result, -ERRNO.FAULT);
  const path = { op: op.open, handle: file, first: near, firstLength: 1 };
  assert.equal(user.run(path).result, -ERRNO.FAULT);
  const describe = { op: op.describe, handle: file, second: near, secondLength: 64 };
  assert.equal(user.run(describe).result, -ERRNO.FAULT);
});

test('a reader whose window goes while it waits gets a fault and takes nothing', async () => {
  const ports = new FakePorts();
  const system = new TestSystem({ ports });
  const user = await RingUser.make(system, 'a');
  const owner = await RingUser.make(system, 'owner');
  const { core } = system.kernel;
  const stream = core.hosts.capability({ kind: 'stream', domain: user.id, which: 0 });
  const stdin = system.kernel.authority.grant(user.id, { name: 'in', ...stream });
  const ours = core.segments.create(domainOf(owner), SIZE);
  const window = new Window(user, core.clists.pass(domainOf(owner), ours, domainOf(user), RIGHTS_ALL));
  const say = (text: string): void => {
    ports.stdin.say(text);
    system.kernel.wake(user.id);
    system.kernel.run();
  };
  const read = { op: op.read, handle: stdin, first: window.near, firstLength: 10 };
  user.submit({ ...read, user: 1n });
  system.checkpoint();
  system.crash();
  say('hello');
  assert.deepEqual(user.results(), { 1: 5 });
  assert.equal(window.text(0, 5), 'hello');
  // Frozen by its owner: for the time, it may not be written.
  const now = system.kernel.core;
  user.submit({ ...read, user: 2n });
  assert.equal(now.segments.freeze(window.object, domainOf(owner), ours), 0);
  say('frozen');
  assert.deepEqual(user.results(), { 2: -ERRNO.FAULT });
  assert.equal(ports.stdin.text(), 'frozen');
  ports.stdin.bytes = [];
  assert.equal(now.segments.thaw(window.object, domainOf(owner)), 0);
  user.submit({ ...read, user: 3n });
  assert.equal(owner.call('cap_revoke', ours), 0);
  say('secret');
  assert.deepEqual(user.results(), { 3: -ERRNO.FAULT });
  assert.equal(ports.stdin.text(), 'secret');
  assert.equal(now.rings.count, 0);
});

test('a server reads and fills the windows of its clients, and hears when they are gone', async () => {
  const system = new TestSystem();
  const server = await RingUser.make(system, 'server', 8, RING_SERVES);
  const client = await RingUser.make(system, 'client');
  const { core } = system.kernel;
  const table = server.call('table_create', server.handle, TABLE_KIND.generic, 10);
  const made = server.call('table_object', table, 7n, RIGHTS_ALL);
  const handle = core.clists.pass(domainOf(server), made, domainOf(client), RIGHTS_ALL);
  const window = new Window(client);
  const bytes = REQUEST_DATA_BYTES + 100;
  window.write(0, 'x'.repeat(bytes));
  const { near } = window;
  const ask = (user: bigint) => ({
    ...{ op: op.invoke, handle, method: 1, user, first: near, firstLength: bytes },
    ...{ second: near + 10_000, secondLength: 50 },
  });
  const request = (user: bigint) => {
    client.submit(ask(user));
    const [one] = server.requests();
    assert.ok(one);
    return one;
  };
  const first = request(1n);
  assert.equal(server.call('request_read', first.number, 0, OUT, 1000), bytes);
  assert.equal(server.text(OUT, bytes), 'x'.repeat(bytes));
  server.write(OUT, 'answer');
  assert.equal(server.call('request_write', first.number, 3, OUT, 6), 6);
  const reply = { op: op.reply, first: OUT, firstLength: 3, rights: 9 };
  assert.equal(server.run({ ...reply, offset: first.number }).result, 0);
  assert.deepEqual(client.results(), { 1: 9 });
  assert.equal(window.text(10_000, 9), 'ansanswer');

  // It is gone when the server reads, writes, or answers.
  const tries: ((number: bigint) => number)[] = [
    (number) => server.call('request_read', number, 0, OUT, 1000),
    (number) => server.call('request_write', number, 0, OUT, 6),
    (number) => server.run({ ...reply, offset: number }).result,
  ];
  for (const attempt of tries) {
    const one = request(2n);
    window.unmap();
    assert.equal(attempt(one.number), -ERRNO.NOENT);
    assert.deepEqual(client.results(), { 2: -ERRNO.FAULT });
    const told = server.requests();
    assert.deepEqual(
      told.map(({ op: code, offset }) => [code, offset]),
      [[REQUEST_CANCELED, 0n]],
    );
    assert.equal(told[0]?.number, one.number);
    assert.equal(window.map(RIGHTS_ALL), near);
  }
  // It is gone before the server's queue has room for the request.
  for (let n = 0; n < 8; n++) client.submit({ op: op.invoke, handle, user: 100n + BigInt(n) });
  client.submit(ask(5n));
  window.unmap();
  const waiting = server.requests();
  assert.equal(waiting.length, 8);
  server.enter();
  assert.deepEqual(server.requests(), []);
  assert.deepEqual(client.results(), { 5: -ERRNO.FAULT });
  assert.equal(window.map(RIGHTS_ALL), near);
  // The answer itself lies in a window of the server's.
  const own = new Window(server);
  own.write(0, 'own');
  for (const { number } of waiting) {
    assert.equal(server.run({ ...reply, offset: number, first: own.near }).result, 0);
  }
  assert.equal(Object.keys(client.results()).length, 8);
  const last = request(3n);
  assert.equal(server.run({ ...reply, offset: last.number, first: own.near }).result, 0);
  assert.equal(window.text(10_000, 3), 'own');
  const again = request(4n);
  own.unmap();
  assert.equal(server.run({ ...reply, offset: again.number, first: own.near }).result, -ERRNO.FAULT);
  assert.equal(server.run({ ...reply, offset: again.number }).result, 0);
  assert.equal(client.results()['4'], 9);
});
