import assert from 'node:assert/strict';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { EnvironmentError } from '../base/errors.ts';
import { folderFor } from '../base/folder.testing.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { CONTROL_FILE, connectControl, serveControl } from './control.ts';
import { encodeFrame, encodeJson, FRAME, FRAME_MAX_BYTES, FrameReader } from './wire.ts';

test('frames come out as they went in, however the bytes are cut', () => {
  const prng = new Prng(seedFrom(process.env.PERDURE_SEED, Date.now()));
  const stream = Buffer.concat([
    encodeJson({ op: 'ps' }),
    encodeFrame(FRAME.stdin, new Uint8Array(0)),
    encodeFrame(FRAME.stdout, new Uint8Array(70_000).fill(7)),
    encodeJson({ z: 'ü' }),
  ]);
  for (let round = 0; round < 50; round++) {
    const reader = new FrameReader();
    const frames = [];
    for (let at = 0; at < stream.length; ) {
      const next = at + 1 + prng.below(round % 2 ? 900 : 40_000);
      frames.push(...reader.push(stream.subarray(at, next)));
      at = next;
    }
    assert.deepEqual(
      frames.map((frame) => [frame.kind, frame.payload.length]),
      [
        [FRAME.json, 11],
        [FRAME.stdin, 0],
        [FRAME.stdout, 70_000],
        [FRAME.json, 10],
      ],
      `seed ${prng.seed}`,
    );
  }
});

test('requests are answered in order, errors keep their code and hint', async (t) => {
  const folder = folderFor(t);
  const server = await serveControl(folder, () => ({
    async request({ op }) {
      if (op === 'fail') throw new EnvironmentError('no-such-domain', 'there is none', 'see perdure ps');
      return { heard: op };
    },
  }));
  t.after(() => server.close());
  assert.equal(statSync(join(folder, CONTROL_FILE)).mode & 0o777, 0o600);
  const connection = await connectControl(folder);
  assert(connection);
  const answers = await Promise.allSettled(['a', 'fail', 'b'].map((op) => connection.request({ op })));
  assert.deepEqual(answers[0], { status: 'fulfilled', value: { heard: 'a' } });
  assert.deepEqual(answers[2], { status: 'fulfilled', value: { heard: 'b' } });
  assert(answers[1]?.status === 'rejected' && answers[1].reason instanceof EnvironmentError);
  assert.deepEqual([answers[1].reason.code, answers[1].reason.hint], ['no-such-domain', 'see perdure ps']);
  connection.close();
});

test('a request whose owner goes away fails instead of hanging', async (t) => {
  const folder = folderFor(t);
  const server = await serveControl(folder, () => ({ request: () => new Promise(() => {}) }));
  const connection = await connectControl(folder);
  assert(connection);
  const waiting = connection.request({ op: 'forever' });
  await Promise.all([
    assert.rejects(waiting, { code: 'owner-gone' }),
    new Promise((resolve) => setImmediate(resolve)).then(() => server.close()),
  ]);
  await assert.rejects(connection.request({ op: 'more' }), { code: 'owner-gone' });
});

test('a socket a killed owner left behind is nobody, and is replaced', async (t) => {
  const folder = folderFor(t);
  assert.equal(await connectControl(folder), undefined);
  assert.equal(await connectControl(join(folder, 'nowhere')), undefined);
  writeFileSync(join(folder, CONTROL_FILE), '');
  assert.equal(await connectControl(folder), undefined);
  const server = await serveControl(folder, () => ({ request: async () => 1 }));
  const connection = await connectControl(folder);
  assert.equal(await connection?.request({}), 1);
  connection?.close();
  await server.close();
});

test('a space in a folder whose path is too long for a socket can be reached all the same', async (t) => {
  if (process.platform !== 'linux') return t.skip('needs /proc');
  const folder = join(folderFor(t), 'd'.repeat(90), 'e'.repeat(90));
  mkdirSync(folder, { recursive: true });
  assert.equal(await connectControl(folder), undefined);
  const server = await serveControl(folder, () => ({ request: async () => 'far' }));
  const connection = await connectControl(folder);
  assert.equal(await connection?.request({}), 'far');
  connection?.close();
  await server.close();
});

test('nonsense on the socket ends that connection and no other', async (t) => {
  const folder = folderFor(t);
  const server = await serveControl(folder, () => ({ request: async () => 'fine' }));
  t.after(() => server.close());
  const tooLong = new Uint8Array(5);
  new DataView(tooLong.buffer).setUint32(0, FRAME_MAX_BYTES + 1, true);
  const hostile = [
    tooLong,
    encodeFrame(99, new Uint8Array(3)),
    encodeFrame(FRAME.json, new TextEncoder().encode('{')),
    encodeFrame(FRAME.json, new TextEncoder().encode('[1]')),
  ];
  for (const bytes of hostile) {
    const socket = connect(join(folder, CONTROL_FILE));
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.on('error', () => {});
    socket.write(bytes);
    await closed;
  }
  const connection = await connectControl(folder);
  assert.equal(await connection?.request({}), 'fine');
  connection?.close();
});
