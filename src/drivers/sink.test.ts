import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERRNO } from '../abi/errno.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { scratch } from './host/testing.ts';
import { openSink, openSinkPair, readPlace } from './sink.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
const VICTIM = fileURLToPath(new URL('./victim.testing.ts', import.meta.url));

test('a file tells where its next byte goes, and gives back what it holds from there', async (t) => {
  const path = join(scratch(t), 'out');
  fs.writeFileSync(path, 'before');
  const appending = fs.openSync(path, 'a');
  const sink = openSink(appending);
  assert.equal(sink.terminal, false);
  const place = sink.place?.();
  assert.ok(place);
  assert.deepEqual([place.path, place.offset], [path, 6]);
  assert.equal(sink.write(Buffer.from('mine')), 4);
  assert.equal(sink.place?.().offset, 10);
  await sink.sync?.();
  const found = readPlace(place, 3);
  assert.deepEqual([found?.size, Buffer.from(found?.bytes ?? []).toString()], [10, 'min']);
  fs.renameSync(path, `${path}2`);
  assert.equal(readPlace(place, 3), undefined, 'another name, and nobody has it open for us');
  assert.equal(readPlace(place, 3, [appending])?.size, 10);
  fs.writeFileSync(path, 'another file');
  assert.equal(readPlace(place, 3), undefined, 'another file of the name');

  const over = fs.openSync(`${path}2`, 'r+');
  fs.writeSync(over, 'BE');
  const pair = openSinkPair(over, fs.openSync(`${path}2`, 'r+'));
  assert.equal(pair.stdout, pair.stderr, 'both go to one file');
  assert.equal(pair.stdout.place?.().offset, 2, 'the offset of the descriptor, not the end of the file');
});

test('a slow reader of a pipe holds up nobody, and one that goes away is EPIPE', async (t) => {
  const path = join(scratch(t), 'pipe');
  spawnSync('mkfifo', [path]);
  const reader = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const writer = fs.openSync(path, fs.constants.O_WRONLY);
  const sink = openSink(writer);
  assert.equal(sink.place, undefined);
  let taken = 0;
  const write = Promise.resolve(sink.write(new Uint8Array(300_000))).then((count) => {
    taken = count;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(taken, 0);
  const into = new Uint8Array(65536);
  let got = 0;
  while (got < 300_000) {
    try {
      got += fs.readSync(reader, into);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  await write;
  assert.equal(taken, 300_000);
  fs.closeSync(reader);
  const results = [await sink.write(Buffer.from('a')), await sink.write(Buffer.from('b'))];
  assert.equal(results.at(-1), -ERRNO.PIPE);
  sink.close();
  fs.closeSync(writer);
  assert.equal(fs.writeSync(fs.openSync('/dev/null', 'w'), 'x'), 1);
  const nothing = openSink(fs.openSync('/dev/null', 'w'));
  assert.equal(await nothing.write(Buffer.from('into the void')), 13);
});

function expected(lines: number, which: (n: number) => boolean, input: string): string {
  let text = '';
  for (let n = 0; n < lines; n++) if (which(n)) text += `line ${n} ${'#'.repeat(n % 37)}\n`;
  let sum = 0;
  for (const byte of Buffer.from(input)) sum = (sum * 31 + byte) % 1000003;
  return which(0) ? `${text}sum ${sum}\n` : text;
}

/** Runs the victim until it ends by itself, killing it on the way; how often it was killed. */
async function kill(
  random: Prng,
  args: readonly string[],
  options: () => SpawnOptions,
  started?: (child: ChildProcess) => void,
): Promise<number> {
  for (let kills = 0; ; kills++) {
    const child = spawn(process.execPath, [VICTIM, ...args], options());
    started?.(child);
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    const timer = kills < 8 ? setTimeout(() => child.kill('SIGKILL'), 60 + random.below(120)) : undefined;
    const code = await ended;
    clearTimeout(timer);
    if (code !== null) {
      assert.equal(code, 0);
      return kills;
    }
  }
}

test(`SIGKILL at any moment: files hold each line once, and input is read on (seed ${seed})`, async (t) => {
  const random = new Prng(seed);
  const folder = scratch(t);
  const input = Array.from({ length: 3000 }, (_, n) => `input ${n}\n`).join('');
  fs.writeFileSync(join(folder, 'in'), input);
  const lines = 2500;
  const [out, err] = [join(folder, 'out'), join(folder, 'err')];
  const kills = await kill(random, [folder, String(lines)], () => ({
    stdio: [fs.openSync(join(folder, 'in'), 'r'), fs.openSync(out, 'a'), fs.openSync(err, 'a')],
  }));
  assert.ok(kills > 0, 'it was killed at all');
  assert.equal(
    fs.readFileSync(out, 'utf8'),
    expected(lines, (n) => n % 5 !== 4, input),
  );
  assert.equal(
    fs.readFileSync(err, 'utf8'),
    expected(lines, (n) => n % 5 === 4, input),
  );
});

for (const policy of ['at-least-once', 'at-most-once'] as const) {
  test(`SIGKILL at any moment: a pipe hears each line ${policy} (seed ${seed})`, async (t) => {
    const random = new Prng(seed + 1);
    const folder = scratch(t);
    const lines = 2000;
    const heard: string[] = [];
    const options = (): SpawnOptions => ({
      stdio: ['ignore', 'pipe', fs.openSync(join(folder, 'err'), 'a')],
    });
    const kills = await kill(random, [folder, String(lines), policy], options, (child) => {
      const index = heard.push('') - 1;
      child.stdout?.on('data', (bytes) => {
        heard[index] += bytes;
      });
    });
    assert.ok(kills > 0, 'it was killed at all');
    const whole = expected(lines, (n) => n % 5 !== 4, '');
    let at = 0;
    for (const text of heard.filter((each) => each !== '')) {
      const start = policy === 'at-least-once' ? whole.lastIndexOf(text, at) : whole.indexOf(text, at);
      assert.ok(start >= 0, `${JSON.stringify(text.slice(0, 60))} cannot follow byte ${at}`);
      at = start + text.length;
    }
    assert.equal(at, whole.length);
    assert.equal(
      fs.readFileSync(join(folder, 'err'), 'utf8'),
      expected(lines, (n) => n % 5 === 4, ''),
    );
  });
}
