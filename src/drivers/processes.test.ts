/** Children that are not ours: they speak garbage, out of turn, too much or not at all. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encodeStop, type Order, STOP, type Stop } from '../abi/channel.ts';
import type { Enclosure, EnclosureOptions, Lost } from '../kernel/enclosure.ts';
import type { LoadedModule } from '../kernel/program.ts';
import { Processes } from './processes.ts';

const LIMITS = { pages: [2], stateBytes: 32, scratchBytes: 64, frameBytes: 65536 };
const MODULE = {
  hash: '00',
  alone: { original: new Uint8Array(10), rewritten: new Uint8Array(20) },
} as unknown as LoadedModule;
const DELTA = {
  ...{ sizes: [1], pages: [], keptFrameBytes: 0, frames: new Uint8Array(8), tables: null },
  ...{ state: new Uint8Array(32), scratch: new Uint8Array(64) },
};
const ORDER: Order = { ...DELTA, fresh: true, now: 5n };
const GOOD = Buffer.concat(
  encodeStop({ ...DELTA, reason: STOP.paused, memoryRefused: false, deadline: 0n, text: '', trace: '' }),
);

/** Writes to the channel, and stays until standard input ends. `ready`: a READY message. */
const PREAMBLE = `
import { writeSync, readSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { spawnSync } from 'node:child_process';
const ready = Buffer.from([7, 0, 0, 0, 0, 0, 0, 0]);
const good = Buffer.from('${GOOD.toString('base64')}', 'base64');
const say = (...parts) => writeSync(3, Buffer.concat(parts));
const fail = (text) => say(Buffer.from([9, 0, 0, 0, text.length, 0, 0, 0]), Buffer.from(text));
const hear = () => readSync(3, Buffer.alloc(100000));
process.stdin.on('data', () => {}).on('end', () => process.exit());
`;

function open(
  t: TestContext,
  script: string,
  more: { answerMs?: number; idleMs?: number; memory?: number } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-child-'));
  const entry = join(folder, 'child.mjs');
  writeFileSync(entry, PREAMBLE + script);
  let wake = (): void => {};
  const processes = new Processes({
    ...{ entry, readable: [join(folder, '*')], wake: () => wake(), stopEveryMs: 50 },
    ...(more.answerMs === undefined ? {} : { answerMs: more.answerMs }),
    ...(more.idleMs === undefined ? {} : { idleMs: more.idleMs }),
  });
  t.after(() => {
    processes.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const options: EnclosureOptions = {
    ...{ domain: 1, name: 'a', module: MODULE, limits: LIMITS },
    memoryLimitBytes: more.memory ?? 1 << 20,
  };
  const child = processes.open(options);
  const come = (): Promise<Stop | Lost> =>
    new Promise((resolve) => {
      const look = (): void => {
        const found = child.take();
        if (found !== null) {
          clearInterval(alive);
          resolve(found);
        }
      };
      const alive = setInterval(look, 20); // children alone do not keep a process
      wake = look;
      look();
    });
  return { child, come };
}

/** What is said of a child that gets one order. */
async function fate(t: TestContext, script: string, more = {}): Promise<Lost & { child: Enclosure }> {
  const { child, come } = open(t, script, more);
  child.run(ORDER);
  const found = await come();
  assert.ok('lost' in found, `it is lost: ${script}`);
  assert.equal(child.alive, false);
  return { ...found, child };
}

test('a child that keeps to the protocol is heard, order by order', async (t) => {
  const { child, come } = open(
    t,
    'say(ready); for (;;) { hear(); say(good); await new Promise((r) => setTimeout(r, 1)); }',
  );
  for (let n = 0; n < 5; n++) {
    child.run(ORDER);
    const stop = await come();
    assert.ok(!('lost' in stop));
    assert.equal(stop.reason, STOP.paused);
  }
  assert.ok(child.alive);
});

test('garbage, and words out of turn, end it for good', async (t) => {
  const cases: Record<string, RegExp> = {
    'say(Buffer.alloc(50, 0xee))': /broke the protocol: channel: a message of \d+ bytes/,
    'say(good)': /spoke out of turn/,
    'say(ready, ready)': /kind 7 where none belongs/,
    'say(ready, Buffer.from([77, 0, 0, 0, 0, 0, 0, 0]))': /kind 77/,
    'say(ready); hear(); good[56 + 8] = 99; say(good)': /a reason that is none/,
    'say(ready); hear(); say(good, Buffer.from([1]))': /spoke out of turn/,
    "fail('no\\x1b[31m memory\\n')": /cannot run it: no \[31m memory$/,
  };
  for (const [script, reason] of Object.entries(cases)) {
    const { lost, hostile } = await fate(t, script);
    assert.match(lost, reason);
    assert.equal(hostile, true, script);
  }
});

test('who says more than was asked is heard once', async (t) => {
  const { child, come } = open(t, 'say(ready); hear(); say(good, good)');
  child.run(ORDER);
  assert.ok(!('lost' in (await come())));
  assert.equal(child.alive, false);
});

test('a flood is cut off, and so is one who speaks when nobody asked', async (t) => {
  const flood =
    'say(ready); const pages = Buffer.alloc(8 + 12 + 4096); pages[0] = 4; pages.writeUInt32LE(12 + 4096, 4); pages[12] = 1; for (;;) say(pages);';
  assert.match((await fate(t, flood)).lost, /out of order/);
  const { child } = open(t, 'say(ready); say(good);');
  for (let n = 0; child.alive && n < 500; n++) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(child.alive, false);
});

test('one that dies is told with the reason, and another may go on', async (t) => {
  const killed = await fate(t, "say(ready); process.kill(process.pid, 'SIGKILL')");
  assert.deepEqual([killed.lost, killed.hostile], ['its process ended (SIGKILL)', false]);
  const said = await fate(t, "writeSync(2, '\\nsomething\\x07 broke\\nmore'); process.exit(7)");
  assert.equal(said.lost, 'its process ended (exit code 7: something broke)');
  const closed = await fate(
    t,
    "import { closeSync } from 'node:fs'; say(ready); closeSync(3); setInterval(() => {}, 1000)",
  );
  assert.match(closed.lost, /its process ended/);
});

test('one that does not stop when asked is given up', async (t) => {
  const { lost, hostile } = await fate(t, 'say(ready); for (;;);', { answerMs: 300 });
  assert.equal(lost, 'its process does not stop when it is asked to');
  assert.equal(hostile, false);
});

test('one that never begins is given up', async (t) => {
  const { lost } = await fate(t, 'hear();', { answerMs: 300 });
  assert.equal(lost, 'its process does not start');
});

test('one that uses far more memory than its program may is ended', async (t) => {
  const { lost, hostile } = await fate(
    t,
    'say(ready); const all = []; for (;;) { all.push(Buffer.alloc(64 << 20, 1)); await new Promise((r) => setTimeout(r, 5)); }',
  );
  assert.match(lost, /uses \d+ MiB of memory/);
  assert.equal(hostile, true);
});

test('processor time is counted while it runs', async (t) => {
  const { child } = open(t, 'say(ready); for (;;);', { answerMs: 60_000 });
  child.run(ORDER);
  let used = 0;
  for (let n = 0; used < 100_000 && n < 1000; n++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    used += child.cpuMicros();
  }
  assert.ok(used >= 100_000);
});

test('one without anything to do ends by itself', async (t) => {
  const { child, come } = open(t, 'say(ready); hear(); say(good); setInterval(() => {}, 1000)', {
    idleMs: 100,
  });
  child.run(ORDER);
  assert.ok(!('lost' in (await come())));
  for (let n = 0; child.alive && n < 500; n++) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(child.alive, false);
});

test('a child has no environment, no other descriptors, no files but its code, no network and no processes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-secret-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'file'), 'a secret of ours');
  const held = openSync(join(folder, 'file'), 'r');
  t.after(() => closeSync(held));
  const probe = `
    const found = [];
    if (Object.keys(process.env).length > 0) found.push('environment ' + Object.keys(process.env));
    for (const file of ['/etc/passwd', '${import.meta.filename}']) try { readFileSync(file); found.push(file); } catch {}
    try { spawnSync('true').status === 0 && found.push('processes'); } catch {}
    await new Promise((done) => {
      try {
        const socket = createConnection({ host: '127.0.0.1', port: 9 });
        socket.on('error', (error) => { if (error.code !== 'ERR_ACCESS_DENIED') found.push('network ' + error.code); done(); });
        socket.on('connect', () => { found.push('network'); done(); });
      } catch { done(); }
    });
    for (let fd = 4; fd < 200; fd++) {
      const bytes = Buffer.alloc(20);
      try { readSync(fd, bytes, 0, 20, 0); } catch {}
      if (bytes.includes('secret')) found.push('descriptor ' + fd);
    }
    fail(found.length === 0 ? 'confined' : found.join());`;
  const { lost } = await fate(t, probe);
  assert.equal(lost, 'its process cannot run it: confined');
});
