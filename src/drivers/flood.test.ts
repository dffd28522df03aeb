import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestMemory } from '../kernel/outbox-memory.testing.ts';
import { UNMETERED } from '../kernel/outbox-meter.ts';
import { WOULD_BLOCK } from '../kernel/ports.ts';
import { capture, simple, tick } from './console.testing.ts';
import { ConsoleDriver } from './console.ts';
import { NO_LOG } from './release.ts';

/** Writes until it would wait; returns how much that was. */
function flood(driver: ConsoleDriver, id: number, chunk: Uint8Array): number {
  let written = 0;
  for (;;) {
    const taken = driver.streams(id).stdout.write(chunk);
    if (taken === WOULD_BLOCK) return written;
    assert.ok(taken > 0);
    written += taken;
  }
}

test('one that floods the console makes only its own writes wait, and the lines of others get their turn, also after a crash', async () => {
  const { driver, woken, memory } = simple();
  driver.open(1, 'flood', { detached: false });
  driver.open(2, 'calm', { detached: false });
  const chunk = Buffer.from(`${'x'.repeat(99)}\n`.repeat(50));
  let flooded = flood(driver, 1, chunk);
  assert.ok(flooded <= 2 << 20, 'there is an end to what waits');
  const stdout = (id: number) => driver.streams(id).stdout;
  assert.deepEqual([stdout(1).ready().writable, stdout(2).ready().writable], [false, true]);
  assert.equal(stdout(2).write(Buffer.from('first\nsecond\n')), 13);
  stdout(1).subscribe(1);
  const image = memory.image();

  /** Lets a console run, flooded again whenever there is room, until the other's lines are out. */
  const drain = async (console: ConsoleDriver, again: boolean): Promise<string> => {
    let [text, seq] = ['', 0];
    console.bind({
      stdout: {
        terminal: true,
        write: (piece) => {
          // A slow reader: the console is never empty.
          const some = piece.subarray(0, 10_000);
          text += Buffer.from(some).toString('latin1');
          return some.length;
        },
        close: () => {},
      },
      stderr: undefined,
    });
    const done = (): boolean => (again ? text.includes('second\n') : console.settled());
    while (!done()) {
      assert.ok(seq < 5000, 'the lines get out');
      console.cut(++seq);
      console.durable(seq);
      await tick();
      if (again) flooded += flood(console, 1, chunk);
    }
    return text;
  };
  const text = await drain(driver, true);
  assert.ok(woken.includes(1));
  const before = text.indexOf('calm');
  assert.ok(before < (1 << 20) + (1 << 14), `behind what the console had, not all of the flood: ${before}`);
  assert.match(text, /\ncalm \| first\ncalm \| second\n/);

  const recovered = TestMemory.from(image);
  const after = new ConsoleDriver({
    memory: recovered,
    root: recovered.root(1),
    wake: () => {},
    meter: UNMETERED,
    log: NO_LOG,
    policy: 'at-least-once',
    prefix: 'auto',
  });
  const all = await drain(after, false);
  const lines = all.split('\n');
  assert.deepEqual(
    lines.filter((line) => line.startsWith('calm')),
    ['calm | first', 'calm | second'],
  );
  assert.ok(lines.every((line) => /^((flood \| )?x*|calm \| .*)$/.test(line)));
});

test('a program that is removed is still heard, as far as the console has room', async () => {
  const { driver, memory } = simple('never');
  driver.open(1, 'flood', { detached: false });
  driver.open(2, 'calm', { detached: true });
  driver.streams(2).stdout.write(Buffer.from('last words\n'));
  driver.setDetached(2, false);
  flood(driver, 1, Buffer.alloc(100_000, 'x'));
  const blocks = memory.blocks;
  driver.remove(1);
  assert.ok(memory.blocks < blocks, 'what found no room is given back');
  const out = capture();
  driver.bind({ stdout: out.sink, stderr: out.sink });
  driver.cut(1);
  driver.durable(1);
  await tick();
  assert.match(out.text(), /^last words\nx{1000}/);
});
