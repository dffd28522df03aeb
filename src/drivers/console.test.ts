import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../abi/errno.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import type { Destination } from '../kernel/outbox.ts';
import { type Image, TestMemory } from '../kernel/outbox-memory.testing.ts';
import { UNMETERED } from '../kernel/outbox-meter.ts';
import { WOULD_BLOCK } from '../kernel/ports.ts';
import { capture, simple, tick } from './console.testing.ts';
import { ConsoleDriver } from './console.ts';
import { NO_LOG, type ReadPlace, type ReleaseLog, type ReleasePolicy, type Sinks } from './release.ts';
import type { Sink } from './sink.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

/** A file of a simulated host; `alive` ends at a crash, in the middle of a write where chance has it. */
interface SimFile {
  inode: bigint;
  bytes: number[];
}

class Host {
  readonly random: Prng;
  files: SimFile[] = [];
  log = new Map<string, number>();
  constructor(random: Prng) {
    this.random = random;
  }

  file(): SimFile {
    const file = { inode: BigInt(this.files.length + 1), bytes: [] };
    this.files.push(file);
    return file;
  }

  readonly readPlace: ReadPlace = (place, length) => {
    const file = this.files.find((each) => each.inode === place.inode);
    if (file === undefined) return undefined;
    const bytes = file.bytes.slice(place.offset, place.offset + length);
    return { size: file.bytes.length, bytes: Uint8Array.from(bytes) };
  };
}

/** One process: what it starts dies with it. */
class Process {
  readonly host: Host;
  alive = true;
  constructor(host: Host) {
    this.host = host;
  }

  /** How much of a write a dying process still gets done, and whether it dies in it. */
  #cut(length: number): number {
    if (!this.alive) return 0;
    if (!this.host.random.chance(0.1)) return length;
    this.alive = false;
    return this.host.random.below(length + 1);
  }

  fileSink(file: SimFile): Sink {
    return {
      terminal: false,
      place: () => ({ device: 1n, inode: file.inode, path: `/sim/${file.inode}`, offset: file.bytes.length }),
      write: (bytes) => {
        file.bytes.push(...bytes.subarray(0, this.#cut(bytes.length)));
        return this.alive ? bytes.length : new Promise(() => {});
      },
      sync: () => tick(),
      close: () => {},
    };
  }

  pipeSink(into: number[]): Sink {
    return {
      terminal: false,
      write: async (bytes) => {
        await Promise.resolve();
        const length = 1 + this.host.random.below(bytes.length);
        into.push(...bytes.subarray(0, this.#cut(length)));
        return this.alive ? length : new Promise(() => {});
      },
      close: () => {},
    };
  }

  releaseLog(): ReleaseLog {
    return {
      get: (key) => this.host.log.get(key),
      set: async (key, position) => {
        await Promise.resolve();
        if (!this.alive) return new Promise(() => {});
        this.host.log.set(key, position);
      },
    };
  }
}

/** The program: line n goes to a stream n decides; how far it is, is state in the space (root slot 2). */
function lineOf(n: number): { to: Destination; text: string } {
  const random = new Prng(n * 7919 + 1);
  return {
    to: random.chance(0.3) ? 2 : 1,
    text: `${n}${'.'.repeat(random.below(60))}${random.chance(0.8) ? '\n' : ''}`,
  };
}

interface Setting {
  host: Host;
  lines: number;
  policy: ReleasePolicy;
  sinks: (process: Process) => Sinks;
}

/** Runs the program to its end over many lives of the process. Returns the number of crashes. */
async function live({ host, lines, policy, sinks }: Setting): Promise<number> {
  const { random } = host;
  let durable: { image: Image; seq: number } | undefined;
  let crashes = 0;
  for (;;) {
    const process = new Process(host);
    const memory = durable === undefined ? new TestMemory() : TestMemory.from(durable.image);
    const seqs: { seq: number; image: Image }[] = [];
    let seq = durable?.seq ?? 0;
    const driver = new ConsoleDriver({
      memory,
      root: memory.root(1),
      wake: () => {},
      meter: UNMETERED,
      log: process.releaseLog(),
      policy,
      prefix: 'auto',
      readPlace: host.readPlace,
    });
    const counter = memory.root(2);
    if (!driver.has(7)) driver.open(7, 'seven', { detached: false });
    driver.bind(sinks(process));
    while (process.alive) {
      const action = random.below(8);
      if (action < 3 && counter.get() < lines) {
        const { to, text } = lineOf(counter.get());
        const streams = driver.streams(7);
        const done = (to === 1 ? streams.stdout : streams.stderr).write(Buffer.from(text));
        assert.equal(done, text.length);
        counter.set(counter.get() + 1);
      } else if (action === 3) {
        driver.cut(++seq);
        seqs.push({ seq, image: memory.image() });
      } else if (action === 4) {
        const next = seqs.shift();
        if (next !== undefined) {
          durable = next;
          if (random.chance(0.03)) process.alive = false;
          else driver.durable(next.seq);
        }
      } else if (action === 5) {
        await tick();
      } else if (random.chance(0.02)) {
        process.alive = false;
      }
      if (counter.get() === lines && !driver.wantsCheckpoint() && seqs.length === 0) {
        await tick();
        if (process.alive && driver.settled()) return crashes;
      }
    }
    crashes++;
    await tick();
  }
}

function expected(lines: number, want: (to: Destination) => boolean): string {
  let text = '';
  for (let n = 0; n < lines; n++) {
    const line = lineOf(n);
    if (want(line.to)) text += line.text;
  }
  return text;
}
const textOf = (bytes: readonly number[]): string => Buffer.from(bytes).toString();

test(`regular files hold every byte once, however often the process dies (seed ${seed})`, async () => {
  const random = new Prng(seed);
  let crashes = 0;
  for (let round = 0; round < 12; round++) {
    const host = new Host(random);
    const lines = 150;
    if (round % 3 === 0) {
      const out = host.file();
      const err = host.file();
      const sinks = (p: Process): Sinks => ({ stdout: p.fileSink(out), stderr: p.fileSink(err) });
      crashes += await live({ host, lines, policy: 'at-least-once', sinks });
      assert.equal(
        textOf(out.bytes),
        expected(lines, (to) => to === 1),
      );
      assert.equal(
        textOf(err.bytes),
        expected(lines, (to) => to === 2),
      );
    } else if (round % 3 === 1) {
      const both = host.file();
      const sinks = (p: Process): Sinks => {
        const sink = p.fileSink(both);
        return { stdout: sink, stderr: sink };
      };
      crashes += await live({ host, lines, policy: 'at-most-once', sinks });
      assert.equal(
        textOf(both.bytes),
        expected(lines, () => true),
      );
    } else {
      const sinks = (p: Process): Sinks => {
        const sink = p.fileSink(host.file());
        return { stdout: sink, stderr: sink };
      };
      crashes += await live({ host, lines, policy: 'at-least-once', sinks });
      assert.equal(
        host.files.map((file) => textOf(file.bytes)).join(''),
        expected(lines, () => true),
      );
    }
  }
  assert.ok(crashes > 30, `the simulation crashed only ${crashes} times`);
});

test(`a pipe misses nothing by default, and repeats nothing on request (seed ${seed})`, async () => {
  const random = new Prng(seed ^ 0x5555);
  let crashes = 0;
  let unequal = 0;
  for (const policy of ['at-least-once', 'at-most-once'] as const) {
    for (let round = 0; round < 6; round++) {
      const host = new Host(random);
      const lives: number[][] = [];
      const sinks = (p: Process): Sinks => {
        const pipe: number[] = [];
        lives.push(pipe);
        const sink = p.pipeSink(pipe);
        return { stdout: sink, stderr: sink };
      };
      crashes += await live({ host, lines: 100, policy, sinks });
      const whole = expected(100, () => true);
      // Each life says one stretch of the whole; where it begins tells what was missed or repeated.
      let at = 0;
      for (const bytes of lives) {
        const text = textOf(bytes);
        if (text.length === 0) continue;
        const start = policy === 'at-least-once' ? whole.lastIndexOf(text, at) : whole.indexOf(text, at);
        assert.ok(start >= 0, `${policy}: ${JSON.stringify(text)} cannot follow byte ${at}`);
        if (start !== at) unequal++;
        at = start + text.length;
      }
      if (policy === 'at-least-once') assert.equal(at, whole.length);
    }
  }
  assert.ok(crashes > 20);
  assert.ok(unequal > 0, 'the window that cannot be closed was hit');
});

test('lines carry the name of their domain where several write, and never run into one another', async () => {
  const { driver } = simple();
  driver.open(1, 'one', { detached: false });
  driver.streams(1).stdout.write(Buffer.from('alone\n'));
  driver.open(2, 'two', { detached: false });
  driver.streams(1).stdout.write(Buffer.from('a\nb'));
  driver.streams(2).stdout.write(Buffer.from('c\n'));
  driver.streams(1).stdout.write(Buffer.from('d\n'));
  const out = capture();
  driver.bind({ stdout: out.sink, stderr: out.sink });
  await tick();
  assert.equal(out.text(), '', 'nothing leaves before a checkpoint');
  assert.equal(driver.wantsCheckpoint(), true);
  driver.cut(1);
  driver.durable(1);
  await tick();
  assert.equal(out.text(), 'alone\none | a\none | b\ntwo | c\none | d\n');
  assert.equal(driver.streams(1).stdout.terminal, true);
  assert.equal(driver.settled(), true);
  driver.ended(1);
  driver.streams(2).stdout.write(Buffer.from('e\n'));
  driver.cut(2);
  driver.durable(2);
  await tick();
  assert.match(out.text(), /two \| e\n$/, 'names stay while the console is the same');
});

test('a detached domain writes until its outbox is full, and goes on when somebody takes the bytes', async () => {
  const { driver, woken, memory } = simple();
  driver.open(3, 'three', { detached: true });
  const { stdout } = driver.streams(3);
  const chunk = Buffer.alloc(300000, 'x');
  let written = 0;
  for (;;) {
    const taken = stdout.write(chunk);
    if (taken === WOULD_BLOCK) break;
    written += taken;
  }
  assert.equal(written, 1 << 20);
  assert.equal(stdout.ready().writable, false);
  stdout.subscribe(3);
  assert.equal(driver.wantsCheckpoint(), false, 'nobody listens');
  let heard = 0;
  const leave = driver.attachClient(3, {
    stdout: {
      terminal: false,
      write: async (bytes) => {
        heard += bytes.length;
        return bytes.length;
      },
      close: () => {},
    },
    stderr: undefined,
  });
  driver.cut(1);
  driver.durable(1);
  for (let count = 0; count < 50; count++) await tick();
  assert.equal(heard, 1 << 20);
  assert.ok(woken.includes(3));
  leave();
  assert.equal(stdout.write(chunk), chunk.length);
  driver.setDetached(3, false);
  const out = capture();
  driver.bind({ stdout: out.sink, stderr: out.sink });
  driver.cut(2);
  driver.durable(2);
  for (let count = 0; count < 50; count++) await tick();
  assert.equal(out.text().length, chunk.length);
  driver.remove(3);
  assert.equal(memory.blocks, 2, 'the root and the list of runs');
});

test('a reader that went away is EPIPE for its stream and nothing for the other', async () => {
  const { driver } = simple();
  driver.open(1, 'p', { detached: false });
  const err = capture();
  const gone: Sink = { terminal: false, write: async () => -ERRNO.PIPE, close: () => {} };
  driver.bind({ stdout: gone, stderr: err.sink });
  const { stdout, stderr } = driver.streams(1);
  assert.equal(stdout.write(Buffer.from('lost\n')), 5);
  assert.equal(stderr.write(Buffer.from('kept\n')), 5);
  driver.cut(1);
  driver.durable(1);
  await tick();
  assert.equal(err.text(), 'kept\n');
  assert.equal(stdout.write(Buffer.from('more\n')), -ERRNO.PIPE);
  assert.deepEqual(stdout.ready(), { readable: false, writable: true, bytes: 0, hangup: true });
  assert.equal(stderr.write(Buffer.from('more\n')), 5);
  assert.equal(stdout.read(new Uint8Array(1)), -ERRNO.BADF);
});

test('a sink without room is tried again and told of', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const memory = new TestMemory();
  const problems: number[] = [];
  const driver = new ConsoleDriver({
    memory,
    root: memory.root(1),
    wake: () => {},
    meter: UNMETERED,
    log: NO_LOG,
    policy: 'at-least-once',
    prefix: 'never',
    problem: (_to, errno) => void problems.push(errno),
  });
  driver.open(1, 'p', { detached: false });
  const out = capture();
  let full = true;
  const sink: Sink = { ...out.sink, write: (bytes) => (full ? -ERRNO.NOSPC : out.sink.write(bytes)) };
  driver.bind({ stdout: sink, stderr: undefined });
  driver.streams(1).stdout.write(Buffer.from('text\n'));
  driver.cut(1);
  driver.durable(1);
  await tick();
  assert.deepEqual([problems, driver.settled()], [[ERRNO.NOSPC], false]);
  full = false;
  t.mock.timers.tick(1000);
  await tick();
  assert.equal(out.text(), 'text\n');
});
