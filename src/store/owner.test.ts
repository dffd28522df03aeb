import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../base/errors.ts';
import { hostPowers, lmdbEngine } from './engine-lmdb.ts';
import { describe, openStore, readOnly } from './open.ts';

const real = { engine: lmdbEngine, powers: hostPowers };
const commit = (seq: number) => ({
  seq,
  meta: new Uint8Array(1),
  pages: new Uint32Array([seq % 7]),
  data: new Uint8Array(4096).fill(seq),
  freed: new Uint32Array(0),
});

/** Opens the store and says how it went in one line; then keeps it until it is killed or its input ends. */
async function child(folder: string): Promise<void> {
  try {
    const store = await openStore(folder, { ...real, create: true });
    await store.commit(commit(store.seq + 1));
    console.log(`have ${store.seq}`);
    process.stdin.resume();
    await once(process.stdin, 'end');
    await store.close();
  } catch (error) {
    console.log(error instanceof EnvironmentError ? `${error.code} ${error.message}` : `bug ${error}`);
  }
}

if (process.env.STORE_OWNER_CHILD !== undefined) {
  await child(process.env.STORE_OWNER_CHILD);
} else {
  const root = mkdtempSync(join(tmpdir(), 'perdure-owner-'));
  const started: ChildProcess[] = [];
  after(() => {
    for (const process of started) process.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true });
  });

  const start = (folder: string): ChildProcess => {
    const process_ = spawn(process.execPath, [fileURLToPath(import.meta.url), 'some', 'words'], {
      env: { ...process.env, STORE_OWNER_CHILD: folder },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    started.push(process_);
    return process_;
  };
  const line = async (process: ChildProcess): Promise<string> => {
    let text = '';
    for await (const part of process.stdout!) {
      text += part;
      if (text.includes('\n')) break;
    }
    return text.trim();
  };
  const end = async (process: ChildProcess, signal?: NodeJS.Signals): Promise<void> => {
    if (process.exitCode !== null || process.signalCode !== null) return;
    const exit = once(process, 'exit');
    if (signal) process.kill(signal);
    else process.stdin!.end();
    await exit;
  };

  test('the second process is told who has the store, and looks at it all the same', async () => {
    const folder = join(root, 'two');
    const owner = start(folder);
    assert.equal(await line(owner), 'have 0');
    await assert.rejects(openStore(folder, { ...real, create: true }), (error) => {
      assert.ok(error instanceof EnvironmentError);
      assert.equal(error.code, 'store-busy');
      assert.match(
        error.message,
        new RegExp(`process ${owner.pid} \\(owner\\.test\\.ts some words\\) on .*, since 20`),
      );
      assert.match(error.hint, new RegExp(`kill ${owner.pid}`));
      return true;
    });
    assert.match(await line(start(folder)), /^store-busy /);
    assert.equal((describe(folder, real).owner as { pid: number }).pid, owner.pid);
    const reader = readOnly(folder, real);
    assert.equal(reader.loadCheckpoint()!.seq, 0);
    await reader.close();
    await end(owner);
    assert.equal(describe(folder, real).owner, null);
    const store = await openStore(folder, { ...real, create: false });
    assert.equal(store.seq, 0);
    await store.close();
  });

  test('the store of a process that was killed is taken over at once, also when its number is in use again', async () => {
    const folder = join(root, 'killed');
    for (let round = 0; round < 3; round++) {
      const owner = start(folder);
      assert.equal(await line(owner), `have ${round * 2}`);
      await end(owner, 'SIGKILL');
      const left = JSON.parse(readFileSync(join(folder, 'owner.json'), 'utf8')) as { pid: number };
      assert.equal(left.pid, owner.pid);
      // another process has that number now: this one
      writeFileSync(join(folder, 'owner.json'), JSON.stringify({ ...left, pid: process.pid }));
      assert.equal(describe(folder, real).owner, null);
      const store = await openStore(folder, { ...real, create: false });
      assert.equal(store.seq, round * 2);
      await store.commit(commit(round * 2 + 1));
      await store.close();
    }
  });

  test('of many processes that start at once, on a store to be created, exactly one gets it', async () => {
    const folder = join(root, 'race');
    const all = Array.from({ length: 4 }, () => start(folder));
    const lines = await Promise.all(all.map(line));
    const winners = lines.filter((text) => text.startsWith('have'));
    assert.equal(winners.length, 1, lines.join('\n'));
    assert.equal(lines.filter((text) => text.startsWith('store-busy')).length, 3, lines.join('\n'));
    await Promise.all(all.map((process) => end(process)));
    const store = await openStore(folder, { ...real, create: false });
    assert.equal(store.seq, 0);
    await store.close();
  });

  test('one process cannot own a store twice, and owns it until it closes', async () => {
    const folder = join(root, 'once');
    const store = await openStore(folder, { ...real, create: true });
    await assert.rejects(openStore(folder, { ...real, create: true }), { code: 'store-busy' });
    await store.commit(commit(0));
    await store.close();
    const again = await openStore(folder, { ...real, create: true });
    assert.equal(again.loadCheckpoint()!.seq, 0);
    await again.close();
  });
}
