import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Prng, seedFrom } from '../base/prng.ts';
import { hostPowers, lmdbEngine } from './engine-lmdb.ts';
import { openStore } from './open.ts';
import type { Store } from './store.ts';

const real = { engine: lmdbEngine, powers: hostPowers };
const PAGES = 500;

/** Which pages checkpoint `seq` changes, and to what: 0 for zero, else the byte they are filled with. */
function changes(seq: number): Map<number, number> {
  const random = new Prng(seq * 2654435761);
  const found = new Map<number, number>();
  const many = seq % 10 === 0 ? PAGES : 1 + random.below(60);
  for (let i = 0; i < many; i++) found.set(random.below(PAGES), random.chance(0.2) ? 0 : 1 + (seq % 255));
  return found;
}

async function commitNext(store: Store): Promise<void> {
  const seq = store.seq + 1;
  const list = [...changes(seq)].sort((a, b) => a[0] - b[0]);
  const data = new Uint8Array(new SharedArrayBuffer(list.length * 4096));
  for (const [i, [, value]] of list.entries()) data.fill(value, i * 4096, i * 4096 + 4096);
  const pages = new Uint32Array(list.map(([page]) => page));
  const released = [['out', seq]] as const;
  await store.commit({
    seq,
    meta: new Uint8Array([seq & 255]),
    pages,
    data,
    freed: new Uint32Array(0),
    released,
  });
  if (seq % 7 === 0) {
    const bytes = new Uint8Array(30_000).fill(seq);
    await store.putModule(`m${seq}`, { original: bytes, rewritten: bytes, meta: bytes.subarray(0, 4) });
    await store.collectModules(new Set([`m${seq}`, `m${seq - 7}`]));
  }
}

/** Commits without end, saying each number when it is durable. */
async function child(folder: string): Promise<void> {
  const store = await openStore(folder, { ...real, create: true });
  for (;;) {
    await commitNext(store);
    process.stdout.write(`${store.seq}\n`);
  }
}

if (process.env.STORE_KILL_CHILD !== undefined) {
  await child(process.env.STORE_KILL_CHILD);
} else {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  const root = mkdtempSync(join(tmpdir(), 'perdure-kill-'));
  after(() => rmSync(root, { recursive: true, force: true }));

  /** Runs the child until some moment after its start, or after its first commits; the last number it said. */
  const runAndKill = async (folder: string): Promise<number> => {
    const running = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
      env: { ...process.env, STORE_KILL_CHILD: folder },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(running, 'exit');
    let text = '';
    let armed = false;
    const early = random.chance(0.2);
    const kill = (most: number): void => void setTimeout(() => running.kill('SIGKILL'), random.below(most));
    if (early) kill(150);
    for await (const part of running.stdout) {
      text += part;
      if (!armed && !early) kill(120);
      armed = true;
    }
    const [code, signal] = (await exit) as [number | null, string | null];
    assert.equal(signal, 'SIGKILL', `the child ended by itself with ${code}`);
    const said = text.split('\n').slice(0, -1); // the last line may be cut
    return Number(said.at(-1) ?? -1);
  };

  test('killed at random moments, the store holds exactly the last checkpoint that was durable, or the next', async () => {
    const folder = join(root, 'space');
    const model = new Map<number, number>();
    let at = -1;
    for (let round = 0; round < 20; round++) {
      const said = Math.max(await runAndKill(folder), at);
      const store = await openStore(folder, { ...real, create: true });
      assert.ok(store.seq === said || store.seq === said + 1, `said ${said}, found ${store.seq}`);
      const checkpoint = store.loadCheckpoint();
      while (at < store.seq) for (const [page, value] of changes(++at)) model.set(page, value);
      const expected = [...model].filter(([, value]) => value !== 0).sort((a, b) => a[0] - b[0]);
      const found = Array.from(checkpoint?.pages ?? [], ({ page, bytes }) => {
        assert.ok(
          bytes.every((byte) => byte === bytes[0]),
          `page ${page} is of one piece`,
        );
        return [page, bytes[0]!] as [number, number];
      });
      assert.deepEqual(found, expected, `checkpoint ${store.seq}`);
      if (store.seq >= 0) assert.equal(store.getReleased('out'), store.seq);
      for (const hash of store.describe().modules) {
        const module = store.getModule(hash)!;
        assert.ok(module.original.every((byte) => byte === (Number(hash.slice(1)) & 255)));
        assert.equal(module.rewritten.length, 30_000);
      }
      await store.close();
    }
    assert.ok(at >= 10, `${at} checkpoints were made`);
  });
}
