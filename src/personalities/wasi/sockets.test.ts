import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { it } from 'node:test';
import { wat } from '../../wasm/wat.testing.ts';
import { DriverMachine } from './drivers.testing.ts';

/** Echoes what each connection sends behind one digit, which counts the messages of all connections. */
const SERVER = `(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv" (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $fd i32)
    (i32.store8 (i32.const 999) (i32.const 48))
    (loop $connections
      (if (call $accept (i32.const 3) (i32.const 0) (i32.const 100)) (then (unreachable)))
      (local.set $fd (i32.load (i32.const 100)))
      (block $over
        (loop $messages
          (i32.store (i32.const 16) (i32.const 1000))
          (i32.store (i32.const 20) (i32.const 100))
          (br_if $over (call $recv (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 104) (i32.const 108)))
          (br_if $over (i32.eqz (i32.load (i32.const 104))))
          (i32.store8 (i32.const 999) (i32.add (i32.load8_u (i32.const 999)) (i32.const 1)))
          (i32.store (i32.const 24) (i32.const 999))
          (i32.store (i32.const 28) (i32.add (i32.load (i32.const 104)) (i32.const 1)))
          (br_if $over (call $send (local.get $fd) (i32.const 24) (i32.const 1) (i32.const 0) (i32.const 112)))
          (br $messages)))
      (drop (call $close (local.get $fd)))
      (br $connections))))`;

function client(port: number): { socket: Socket; text: () => string; over: () => boolean } {
  const socket = connect(port, '127.0.0.1');
  let [text, over] = ['', false];
  socket.on('data', (bytes) => {
    text += bytes;
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    over = true;
  });
  return { socket, text: () => text, over: () => over };
}

it('a server accepts, answers, and goes on serving after its process was killed', async () => {
  const machine = new DriverMachine(1);
  const grant = await machine.listener();
  const port = machine.network.portOf(grant.id);
  machine.start(await wat(SERVER), [], [grant]);
  await machine.checkpoint();

  const first = client(port);
  first.socket.write('hello');
  await machine.until(() => first.text() === '1hello');
  first.socket.write('again');
  await machine.until(() => first.text() === '1hello2again');

  await machine.checkpoint();
  await machine.crash();
  await machine.until(first.over);
  const second = client(port);
  second.socket.write('anybody?');
  await machine.until(() => second.text() !== '');
  assert.equal(second.text(), '3anybody?', 'it remembers what it had counted');
  second.socket.end();
  await machine.until(second.over);
  const third = client(port);
  third.socket.write('x');
  await machine.until(() => third.text() === '4x');
  third.socket.destroy();
  await machine.close();
});
