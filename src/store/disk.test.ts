import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../base/errors.ts';
import { hostPowers, lmdbEngine } from './engine-lmdb.ts';
import { openStore } from './open.ts';

const real = { engine: lmdbEngine, powers: hostPowers };
const commit = (seq: number, count: number, value: number) => ({
  seq,
  meta: new Uint8Array(9),
  pages: new Uint32Array(count).map((_, i) => i),
  data: new Uint8Array(count * 4096).fill(value),
  freed: new Uint32Array(0),
});

/** Runs where files may not grow beyond a few MiB: a disk that takes no more. */
async function child(folder: string): Promise<void> {
  const store = await openStore(folder, { ...real, create: true });
  await store.commit(commit(1, 100, 1));
  const refused = async (what: () => Promise<unknown>): Promise<void> => {
    await assert.rejects(what, (error) => error instanceof EnvironmentError && error.code === 'store-failed');
  };
  for (let tries = 0; tries < 2; tries++) await refused(() => store.commit(commit(2, 3000, 2)));
  await refused(() => store.commit(commit(3, 1, 3)));
  const large = new Uint8Array(12 << 20).fill(1);
  await refused(() =>
    store.putModule('x', { original: large, rewritten: large, meta: large.subarray(0, 1) }),
  );
  assert.equal(store.hasModule('x'), false);
  const first = store.loadCheckpoint()!;
  assert.equal(first.seq, 1);
  assert.deepEqual(new Set(Array.from(first.pages, ({ bytes }) => bytes[4095])), new Set([1]));
  // less of it fits
  assert.deepEqual(await store.commit(commit(2, 50, 3)), { written: 50, removed: 0 });
  await store.close();
  const again = await openStore(folder, { ...real, create: false });
  const values = Array.from(again.loadCheckpoint()!.pages, ({ bytes }) => bytes[0]);
  assert.deepEqual(values, [...new Array(50).fill(3), ...new Array(50).fill(1)]);
  await again.close();
  console.log('all is well');
}

if (process.env.STORE_DISK_CHILD !== undefined) {
  await child(process.env.STORE_DISK_CHILD);
} else {
  test('a disk that takes no more fails the commit, not the process, and what was stored stays', {
    skip: process.platform === 'win32' && 'needs ulimit',
  }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'perdure-disk-'));
    try {
      // 512 bytes a unit
      const run = spawnSync(
        'sh',
        ['-c', 'ulimit -f 8192; exec "$0" "$1"', process.execPath, fileURLToPath(import.meta.url)],
        {
          env: { ...process.env, STORE_DISK_CHILD: join(folder, 'space') },
          encoding: 'utf8',
          timeout: 120_000,
        },
      );
      assert.equal(run.status, 0, run.stderr);
      assert.match(run.stdout, /all is well/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
