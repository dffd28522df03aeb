import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERRNO, errnoName } from '../abi/errno.ts';
import { type Image, TestMemory } from '../kernel/outbox-memory.testing.ts';
import { TestMeter } from '../kernel/outbox-meter.testing.ts';
import { type Listener, type Socket, WOULD_BLOCK } from '../kernel/ports.ts';
import { parseAddress } from './address.ts';
import { scratch } from './host/testing.ts';
import { Network } from './net.ts';
import { DriverState } from './state.ts';

const LOCAL = { host: '127.0.0.1', port: 0 };

interface World {
  readonly memory: TestMemory;
  readonly meter: TestMeter;
  readonly network: Network;
  readonly problems: string[];
  checkpoint(): void;
  /** Waits until a call no longer blocks. */
  until<T>(call: () => T): Promise<T>;
}

function start(image?: Image, meter = new TestMeter(4 << 20)): World {
  const memory = image === undefined ? new TestMemory() : TestMemory.from(image);
  const problems: string[] = [];
  const network = new Network({
    meter,
    state: new DriverState(memory, memory.root(1)),
    wake: () => {},
    problem: (address, errno) => void problems.push(`${address} ${errnoName(errno)}`),
  });
  let seq = 0;
  return {
    memory,
    meter,
    network,
    problems,
    checkpoint: () => {
      network.cut(++seq);
      network.durable(seq);
    },
    until: async (call) => {
      for (;;) {
        const result = call();
        if (result !== WOULD_BLOCK) return result;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
  };
}

/** A client of the outside: what it has heard, and whether the other side has ended. */
function client(port: number | string): { socket: net.Socket; text: () => string; over: () => boolean } {
  const socket = typeof port === 'string' ? net.connect(port) : net.connect(port, '127.0.0.1');
  let text = '';
  let over = false;
  socket.on('data', (bytes) => {
    text += bytes;
  });
  socket.on('end', () => {
    over = true;
  });
  socket.on('error', () => {});
  return { socket, text: () => text, over: () => over };
}

const wait = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
};

test('a granted listener gives connections, and what is sent leaves when it is durable', async () => {
  const { network, memory, checkpoint, until } = start();
  const listener = await network.listen(7, LOCAL);
  assert.equal(listener.accept(), WOULD_BLOCK);
  assert.equal(listener.ready().readable, false);
  const outside = client(network.portOf(listener.id));
  const socket = (await until(() => listener.accept())) as Socket;
  assert.equal(network.object(socket.id), socket);
  const into = new Uint8Array(new SharedArrayBuffer(16));
  assert.equal(socket.receive(into, false), WOULD_BLOCK);
  outside.socket.write('hello');
  assert.equal(await until(() => socket.receive(into.subarray(0, 3), true)), 3);
  assert.equal(socket.receive(into.subarray(0, 3), false), 3);
  assert.equal(socket.ready().bytes, 2);
  assert.equal(socket.receive(into.subarray(3), false), 2);
  assert.equal(Buffer.from(into.slice(0, 5)).toString(), 'hello');

  assert.equal(socket.send(Buffer.from('answer')), 6);
  assert.equal(network.wantsCheckpoint(), true);
  network.cut(100);
  assert.equal(network.wantsCheckpoint(), false);
  assert.equal(socket.send(Buffer.from(', later')), 7);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(outside.text(), '');
  network.durable(100);
  await wait(() => outside.text() === 'answer');
  assert.equal(network.settled(), false);
  assert.equal(socket.shutdown(false, true), 0);
  assert.equal(socket.send(Buffer.from('x')), -ERRNO.PIPE);
  assert.equal(outside.over(), false);
  checkpoint();
  await wait(() => outside.over());
  assert.equal(outside.text(), 'answer, later');
  await wait(() => network.settled());
  outside.socket.end();
  assert.equal(await until(() => socket.receive(into, false)), 0);
  assert.equal(socket.ready().hangup, true);
  socket.close();
  assert.equal(network.object(socket.id), undefined);
  network.forget(7);
  assert.equal(network.object(listener.id), undefined);
  assert.equal(memory.blocks, 1, 'nothing is left but the root');
  await network.close();
});

test('what was sent before a close still gets out', async () => {
  const { network, checkpoint, until, meter, memory } = start();
  const listener = await network.listen(7, LOCAL);
  const outside = client(network.portOf(listener.id));
  const socket = (await until(() => listener.accept())) as Socket;
  socket.send(Buffer.from('goodbye'));
  socket.close();
  const held = meter.of(7);
  assert.ok(held > 7);
  const later = start(memory.image(), meter.copy());
  assert.equal(later.meter.total, 0, 'what died with the process is paid for no more');
  await later.network.close();
  assert.equal(network.settled(), false);
  assert.equal(network.wantsCheckpoint(), true);
  checkpoint();
  await wait(() => outside.over());
  assert.equal(outside.text(), 'goodbye');
  await wait(() => network.settled());
  assert.equal(meter.total, 0);
  await network.close();
});

test('one that sends on many connections waits at what its account may have, and is told of room', async () => {
  const { network, checkpoint, until, meter } = start(undefined, new TestMeter(300_000));
  const listener = await network.listen(7, LOCAL);
  const outsides: net.Socket[] = [];
  const sockets: Socket[] = [];
  for (let i = 0; i < 3; i++) {
    outsides.push(net.connect(network.portOf(listener.id), '127.0.0.1'));
    sockets.push((await until(() => listener.accept())) as Socket);
  }
  const chunk = new Uint8Array(200_000);
  const [a, b, c] = sockets as [Socket, Socket, Socket];
  assert.equal(a.send(chunk), 200_000);
  assert.ok(b.send(chunk) < 100_000);
  assert.equal(c.send(chunk), WOULD_BLOCK);
  assert.equal(c.ready().writable, false);
  c.subscribe(7);
  assert.ok(meter.waiting.has(7) && meter.of(7) <= 300_000);
  for (const outside of outsides) outside.resume();
  checkpoint();
  await wait(() => meter.total === 0);
  assert.equal(c.send(chunk), 200_000);
  await network.close();
  await wait(() => meter.total === 0);
  for (const outside of outsides) outside.destroy();
});

test('a slow reader makes the sender wait, and a fast sender the reader', async () => {
  const { network, checkpoint, until } = start();
  const listener = await network.listen(7, LOCAL);
  const outside = net.connect(network.portOf(listener.id), '127.0.0.1');
  outside.pause();
  const socket = (await until(() => listener.accept())) as Socket;
  const chunk = new Uint8Array(200000);
  let sent = 0;
  for (let stuck = 0; stuck < 50; ) {
    const taken = socket.send(chunk);
    checkpoint();
    if (taken > 0) sent += taken;
    else stuck++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(socket.ready().writable, false);
  let heard = 0;
  outside.on('data', (bytes) => {
    heard += bytes.length;
  });
  outside.resume();
  await wait(() => heard === sent);
  outside.write(new Uint8Array(3_000_000));
  outside.end();
  await wait(() => socket.ready().bytes > 200_000);
  assert.ok(socket.ready().bytes < 2_000_000);
  let got = 0;
  for (;;) {
    const count = await until(() => socket.receive(chunk, false));
    if (count <= 0) break;
    got += count;
  }
  assert.equal(got, 3_000_000);
  await network.close();
});

test('after a restart a listener listens again, and connections are reset', async () => {
  const before = start();
  const listener = await before.network.listen(7, LOCAL);
  const port = before.network.portOf(listener.id);
  const outside = client(port);
  const socket = (await before.until(() => listener.accept())) as Socket;
  socket.send(Buffer.from('never heard'));
  const [image, meter] = [before.memory.image(), before.meter.copy()];
  const blocked = net.createServer();
  await before.network.close();
  await wait(() => outside.socket.destroyed || outside.over());
  assert.equal(outside.text(), '');
  await new Promise<void>((resolve) => blocked.listen(port, '127.0.0.1', resolve));

  const after = start(image, meter);
  assert.equal(meter.total, 0, 'what will never be sent is paid for no more');
  await wait(() => after.problems.length > 0);
  assert.deepEqual(after.problems, [`127.0.0.1:${port} ADDRINUSE`]);
  const dead = after.network.object(socket.id) as Socket;
  assert.equal(dead.receive(new Uint8Array(4), false), -ERRNO.CONNRESET);
  assert.equal(dead.send(Buffer.from('x')), -ERRNO.CONNRESET);
  assert.equal(dead.shutdown(true, true), -ERRNO.NOTCONN);
  assert.deepEqual(dead.ready(), { readable: true, writable: true, bytes: 0, hangup: true });
  dead.close();
  const again = after.network.object(listener.id) as Listener;
  assert.equal(again.accept(), WOULD_BLOCK);
  blocked.close();
  const second = net.connect(port, '127.0.0.1');
  second.on('error', () => setTimeout(() => second.connect(port, '127.0.0.1'), 50));
  const accepted = (await after.until(() => again.accept())) as Socket;
  assert.equal(accepted.kind, 'socket');
  second.destroy();
  after.network.keepOnly(new Set([7]));
  assert.equal(after.network.object(listener.id), again);
  after.network.keepOnly(new Set([8]));
  assert.equal(after.network.object(listener.id), undefined, 'a domain that is gone listens no more');
  assert.equal(after.memory.blocks, 1);
  await after.network.close();
});

test('a Unix socket whose owner was killed is listened on again', async (t) => {
  const path = join(scratch(t), 'socket');
  const before = start();
  const listener = await before.network.listen(7, { path });
  const image = before.memory.image();
  await before.network.close();
  // Node removes the file on closing; a killed process does not.
  const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script, path]);
  const after = start(image);
  const outside = net.connect({ path: '/' });
  outside.on('error', () => setTimeout(() => outside.connect(path), 20));
  const again = after.network.object(listener.id) as Listener;
  assert.equal(typeof (await after.until(() => again.accept())), 'object');
  assert.deepEqual(after.problems, []);
  outside.destroy();
  await after.network.close();
});

test('a connected socket can be granted, also over a Unix socket; nobody there is a clear error', async (t) => {
  const path = join(scratch(t), 'socket');
  const { network, checkpoint, until } = start();
  const listener = await network.listen(1, { path });
  const socket = await network.connect(2, { path });
  const other = (await until(() => listener.accept())) as Socket;
  socket.send(Buffer.from('across'));
  checkpoint();
  const into = new Uint8Array(10);
  assert.equal(await until(() => other.receive(into, false)), 6);
  network.forget(2);
  checkpoint();
  assert.equal(await until(() => other.receive(into, false)), 0);
  network.forget(1);
  await assert.rejects(network.connect(2, { path: `${path}.none` }), { code: 'no-connection' });
  const taken = await network.listen(1, LOCAL);
  await assert.rejects(network.listen(1, { host: '127.0.0.1', port: network.portOf(taken.id) }), {
    code: 'no-listen',
  });
  await network.close();
});

test('addresses are read as users write them', () => {
  assert.deepEqual(parseAddress('localhost:80'), { host: 'localhost', port: 80 });
  assert.deepEqual(parseAddress(':8080'), { host: '', port: 8080 });
  assert.deepEqual(parseAddress('[::1]:1'), { host: '::1', port: 1 });
  assert.deepEqual(parseAddress('unix:/tmp/x'), { path: '/tmp/x' });
  for (const bad of ['localhost', 'a:b', 'a:70000', '::1:80', 'unix:', ''])
    assert.equal(parseAddress(bad), undefined);
});
