import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { ERRNO } from '../abi/errno.ts';
import { TestMemory } from '../kernel/outbox-memory.testing.ts';
import { Block } from '../kernel/outbox-memory.ts';
import { WOULD_BLOCK } from '../kernel/ports.ts';
import { scratch } from './host/testing.ts';
import { flow, openInput } from './input.ts';
import { STDIN_RECORD_BYTES, StandardInput } from './stdin.ts';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function start(memory = new TestMemory()): { memory: TestMemory; stdin: StandardInput; woken: number[] } {
  const woken: number[] = [];
  if (memory.root(1).get() === 0) memory.root(1).set(memory.allocate(STDIN_RECORD_BYTES));
  const stdin = new StandardInput(
    new Block(memory, memory.root(1).get()),
    0,
    (domain) => void woken.push(domain),
  );
  return { memory, stdin, woken };
}

function text(stdin: StandardInput, length: number): string | number {
  const into = new Uint8Array(length);
  const count = stdin.read(into);
  return count < 0 ? count : Buffer.from(into.subarray(0, count)).toString();
}

test('a file is read by position, which goes back with the checkpoint', (t) => {
  const path = join(scratch(t), 'in');
  fs.writeFileSync(path, 'one two three');
  const fd = fs.openSync(path, 'r');
  fs.readSync(fd, new Uint8Array(4));
  const { memory, stdin } = start();
  assert.equal(stdin.attach(openInput(fd)), true);
  assert.equal(text(stdin, 4), 'two ', 'from where the descriptor stood');
  const image = memory.image();
  assert.equal(text(stdin, 2), 'th');
  fs.closeSync(fd);

  const again = start(TestMemory.from(image)).stdin;
  assert.deepEqual(again.ready(), { readable: true, writable: false, bytes: 5, hangup: false });
  assert.equal(
    again.attach({ kind: 'file', device: 0n, inode: 0n, path: '', offset: 0 }),
    false,
    'it goes on with its own file',
  );
  assert.equal(text(again, 20), 'three');
  assert.equal(text(again, 20), '');
  assert.equal(again.write(), -ERRNO.BADF);

  fs.rmSync(path);
  fs.writeFileSync(path, 'a stranger');
  const lost = start(TestMemory.from(image)).stdin;
  assert.equal(text(lost, 3), -ERRNO.STALE);
  again.remove();
  lost.remove();
  stdin.remove();
  assert.equal(memory.blocks, 1);
});

test('what flows in waits in the space to be read, up to its limit, and the end stays the end', async () => {
  const { memory, stdin, woken } = start();
  assert.equal(text(stdin, 5), WOULD_BLOCK, 'nobody feeds it yet');
  stdin.subscribe(9);
  const stream = new PassThrough({ highWaterMark: 1024 });
  stdin.attach(flow(stream, false, true));
  stream.write('hello');
  await tick();
  assert.deepEqual(woken, [9]);
  assert.equal(text(stdin, 3), 'hel');

  const copy = start(TestMemory.from(memory.image())).stdin;
  assert.equal(text(copy, 9), 'lo', 'what was not read is in the checkpoint');
  assert.equal(text(copy, 9), WOULD_BLOCK);

  assert.equal(text(stdin, 9), 'lo');
  let sent = 0;
  for (let round = 0; round < 400; round++) {
    if (!stream.writableNeedDrain) {
      stream.write(Buffer.alloc(1000, 'x'));
      sent += 1000;
    }
    await tick();
  }
  assert.ok(sent >= 65536 && sent < 100_000, `the inbox took ${sent}`);
  let got = 0;
  while (got < sent) {
    const part = text(stdin, 5000);
    if (typeof part === 'string') got += part.length;
    else await tick();
  }
  stream.end('!');
  await tick();
  await tick();
  assert.equal(text(stdin, 5), '!');
  assert.equal(text(stdin, 5), '');
  assert.equal(stdin.ready().hangup, true);
  const ended = start(TestMemory.from(memory.image())).stdin;
  assert.equal(text(ended, 5), '');
  assert.equal(ended.attach(flow(new PassThrough(), false, true)), false, 'an end is an end');
  stdin.remove();
  assert.equal(memory.blocks, 1);
});

test('a client that leaves is not the end of the input', async () => {
  const { stdin } = start();
  const first = new PassThrough();
  stdin.attach(flow(first, true, true));
  assert.equal(stdin.terminal, true);
  first.write('a');
  await tick();
  stdin.detach();
  assert.equal(stdin.attached, false);
  await tick();
  assert.equal(text(stdin, 5), 'a');
  assert.equal(text(stdin, 5), WOULD_BLOCK);
  const second = new PassThrough();
  stdin.attach(flow(second, false, true));
  second.end('b');
  await tick();
  await tick();
  assert.equal(text(stdin, 5), 'b');
  assert.equal(text(stdin, 5), '');
});

test('a pipe and a device are read without stopping anybody', async (t) => {
  const path = join(scratch(t), 'pipe');
  spawnSync('mkfifo', [path]);
  const keep = fs.openSync(path, fs.constants.O_RDWR);
  const reader = fs.openSync(path, fs.constants.O_RDONLY);
  const { stdin } = start();
  stdin.attach(openInput(reader));
  await tick();
  assert.equal(text(stdin, 5), WOULD_BLOCK);
  fs.writeSync(keep, 'piped');
  let seen: string | number = WOULD_BLOCK;
  while (seen === WOULD_BLOCK) {
    await tick();
    seen = text(stdin, 9);
  }
  assert.equal(seen, 'piped');
  fs.closeSync(keep);
  while (text(stdin, 9) !== '') await tick();
  const nothing = start().stdin;
  nothing.attach(openInput(fs.openSync('/dev/null', 'r')));
  while (text(nothing, 9) !== '') await tick();
});
