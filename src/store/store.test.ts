import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PageHasher } from '../base/hash.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { hostPowers, lmdbEngine } from './engine-lmdb.ts';
import { PageHashes } from './hashes.ts';
import { describe, openStore, readOnly } from './open.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);
const random = new Prng(seed);
const real = { engine: lmdbEngine, powers: hostPowers };
const roots: string[] = [];
const fresh = (): string => {
  roots.push(mkdtempSync(join(tmpdir(), 'perdure-store-')));
  return join(roots.at(-1)!, 'deep', 'space');
};
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});
const none = new Uint32Array(0);
const meta = new Uint8Array([1, 2, 3]);
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(b);

test('what was committed is there after closing and opening, from shared memory too', async () => {
  const folder = fresh();
  const store = await openStore(folder, { ...real, create: true });
  assert.equal(store.loadCheckpoint(), null);
  assert.equal(store.seq, -1);
  const model = new Map<number, Uint8Array>();
  for (let seq = 0; seq < 30; seq++) {
    const pages: number[] = [];
    for (let page = 0; page < 400; page++) if (random.chance(0.2)) pages.push(page * 997);
    const data = new Uint8Array(new SharedArrayBuffer(pages.length * 4096));
    for (const [i, page] of pages.entries()) {
      const bytes = data.subarray(i * 4096, i * 4096 + 4096);
      for (let at = 0; at < 4096; at += 1 + random.below(300)) bytes[at] = random.u32();
      bytes[4095] = random.u32(); // the end of a page lies in another record
      if (random.chance(0.1)) bytes.fill(0);
      if (bytes.some((byte) => byte !== 0)) model.set(page, bytes.slice());
      else model.delete(page);
    }
    const freed = [...model.keys()].filter((page) => !pages.includes(page) && random.chance(0.1));
    for (const page of freed) model.delete(page);
    const bytes = new Uint8Array(seq * 700).fill(seq);
    await store.commit({
      seq,
      meta: bytes,
      pages: new Uint32Array(pages),
      data,
      freed: new Uint32Array(freed),
    });
  }
  await store.close();
  const again = await openStore(folder, { ...real, create: false });
  const checkpoint = again.loadCheckpoint()!;
  assert.equal(checkpoint.seq, 29);
  assert.equal(again.seq, 29);
  assert.ok(same(checkpoint.meta, new Uint8Array(29 * 700).fill(29)));
  assert.equal(checkpoint.pageCount, model.size);
  const found = new Map(Array.from(checkpoint.pages, ({ page, bytes }) => [page, bytes.slice()]));
  assert.deepEqual(
    [...found.keys()],
    [...model.keys()].sort((a, b) => a - b),
  );
  for (const [page, bytes] of found) assert.ok(same(bytes, model.get(page)!), `page ${page}`);
  await again.close();
});

test('a first page in which the safepoint word changed after it was hashed is stored as it was copied', async () => {
  const folder = fresh();
  const store = await openStore(folder, { ...real, create: true });
  const hasher = new PageHasher(store.manifest.hashKey);
  const pages = new Uint32Array([0, 5]);
  for (let seq = 1; seq <= 3; seq++) {
    const data = new Uint8Array(2 * 4096).fill(seq);
    const hashes = new Uint32Array(4);
    for (let i = 0; i < 2; i++) {
      hasher.hash(data, i * 4096);
      hashes.set(hasher.out.subarray(0, 2), i * 2);
    }
    data[64] = 99; // another thread raised the word
    await store.commit({ seq, meta, pages, data, freed: none, hashes });
  }
  await store.close();
  const again = await openStore(folder, { ...real, create: false });
  const found = Array.from(again.loadCheckpoint()!.pages, ({ page, bytes }) => [page, bytes[0], bytes[64]]);
  assert.deepEqual(found, [
    [0, 3, 99],
    [5, 3, 3],
  ]);
  await again.close();
});

test('pages that did not change cost no write, also right after opening', async () => {
  const folder = fresh();
  const data = new Uint8Array(3 * 4096).fill(5);
  data.fill(0, 4096, 8192);
  const pages = new Uint32Array([7, 8, 9]);
  const store = await openStore(folder, { ...real, create: true });
  const commit = (seq: number) => ({ seq, meta, pages, data, freed: new Uint32Array([1]) });
  assert.deepEqual(await store.commit(commit(1)), { written: 2, removed: 0 });
  assert.deepEqual(await store.commit(commit(2)), { written: 0, removed: 0 });
  await store.close();
  const again = await openStore(folder, { ...real, create: true });
  assert.deepEqual(await again.commit(commit(3)), { written: 0, removed: 0 });
  data[8192]! ^= 1;
  assert.deepEqual(await again.commit(commit(4)), { written: 1, removed: 0 });
  data.fill(0, 8192);
  assert.deepEqual(await again.commit(commit(5)), { written: 0, removed: 1 });
  const last = { seq: 6, meta, pages: none, data: new Uint8Array(0), freed: new Uint32Array([7, 9]) };
  assert.deepEqual(await again.commit(last), { written: 0, removed: 1 });
  assert.equal(again.loadCheckpoint()!.pageCount, 0);
  await again.close();
});

test('hashes shared with the thread that takes checkpoints leave out unchanged pages before they are copied', async () => {
  const folder = fresh();
  type Memory = new (d: object) => { buffer: SharedArrayBuffer };
  const Memory = (globalThis as unknown as { WebAssembly: { Memory: Memory } }).WebAssembly.Memory;
  const memory = new Memory({ initial: 1024n, maximum: 262144n, shared: true, address: 'i64' });
  const space = new Uint8Array(memory.buffer);
  let store = await openStore(folder, { ...real, create: true });
  let hashes = new PageHashes(store.pageHashes());
  const marked = new Uint32Array(3000).map((_, i) => i * 3);
  let seq = 0;
  const take = async (): Promise<number[]> => {
    const hasher = new PageHasher(store.manifest.hashKey, memory);
    const taken = hashes.takeChanged(hasher, marked, marked.length);
    const data = new Uint8Array(taken.pages.length * 4096);
    for (const [i, page] of taken.pages.entries())
      data.set(space.subarray(page * 4096, page * 4096 + 4096), i * 4096);
    const { pages, zeroed } = taken;
    const done = await store.commit({ seq: ++seq, meta, pages, data, freed: zeroed, hashes: taken.hashes });
    assert.equal(done.written, pages.length);
    return [pages.length, zeroed.length];
  };
  for (let i = 0; i < 2500; i++) space[i * 3 * 4096 + 4095] = 1 + random.below(255);
  assert.deepEqual(await take(), [2500, 0]);
  assert.deepEqual(await take(), [0, 0]);
  space[2400 * 3 * 4096 + 1] = 9;
  space[4095] = 0;
  assert.deepEqual(await take(), [1, 1]);
  await store.close();
  store = await openStore(folder, { ...real, create: false });
  hashes = new PageHashes(store.pageHashes());
  assert.deepEqual(await take(), [0, 0]);
  for (const { page, bytes } of store.loadCheckpoint()!.pages) {
    assert.ok(same(bytes, space.subarray(page * 4096, page * 4096 + 4096)), `page ${page}`);
  }
  await store.close();
});

test('commits given without waiting are made in order', async () => {
  const folder = fresh();
  const store = await openStore(folder, { ...real, create: true });
  const all: Promise<unknown>[] = [];
  for (let seq = 1; seq <= 20; seq++) {
    const data = new Uint8Array(4096).fill(seq);
    const released = [['out', seq * 10]] as const;
    all.push(store.commit({ seq, meta, pages: new Uint32Array([seq % 3]), data, freed: none, released }));
  }
  await Promise.all(all);
  const pages = Array.from(store.loadCheckpoint()!.pages, ({ page, bytes }) => [page, bytes[0]]);
  assert.deepEqual(pages, [
    [0, 18],
    [1, 19],
    [2, 20],
  ]);
  assert.equal(store.getReleased('out'), 200);
  await store.close();
});

test('programs are kept by name, verified, and removed when nothing names them', async () => {
  const folder = fresh();
  let store = await openStore(folder, { ...real, create: true });
  const bytes = (length: number, by: number): Uint8Array => new Uint8Array(length).map((_, i) => i * by);
  const sizes = [0, 1, 4071, 4072, 4073, 300_000];
  for (const [i, size] of sizes.entries()) {
    assert.equal(store.hasModule(`h${i}`), false);
    const module = { original: bytes(size, 7), rewritten: bytes(size * 2, 11), meta: bytes(i, 3) };
    await store.putModule(`h${i}`, module);
    await store.putModule(`h${i}`, { original: meta, rewritten: meta, meta }); // it is there already
  }
  await store.close();
  store = await openStore(folder, { ...real, create: false });
  for (const [i, size] of sizes.entries()) {
    const module = store.getModule(`h${i}`)!;
    assert.ok(same(module.original, bytes(size, 7)));
    assert.ok(same(module.rewritten, bytes(size * 2, 11)));
    assert.ok(same(module.meta, bytes(i, 3)));
  }
  assert.equal(store.getModule('other'), null);
  assert.equal(await store.collectModules(new Set(['h1', 'h5', 'unknown'])), 4);
  assert.deepEqual(store.describe().modules, ['h1', 'h5']);
  assert.equal(await store.collectModules(new Set(['h1', 'h5'])), 0);
  assert.ok(store.getModule('h5')!.rewritten.length === 600_000);
  await store.close();
});

test('positions of output outlive the process, apart from checkpoints', async () => {
  const folder = fresh();
  let store = await openStore(folder, { ...real, create: true });
  assert.equal(store.getReleased('stdout'), null);
  await store.setReleased('stdout', 12);
  await store.setReleased('dir:/a b/é', 2 ** 53 - 1);
  await assert.rejects(store.setReleased('', 1), /short plain name/);
  await assert.rejects(store.setReleased('x', -1), /is a count/);
  await store.setReleased('file:1/log', 2n ** 40n);
  await store.close();
  store = await openStore(folder, { ...real, create: false });
  assert.equal(store.loadCheckpoint(), null);
  assert.equal(store.getReleased('stdout'), 12);
  assert.equal(store.getReleased('file:1/log'), 2 ** 40);
  assert.equal(store.getReleased('dir:/a b/é'), 2 ** 53 - 1);
  await store.forgetReleased('stdout');
  assert.equal(store.getReleased('stdout'), null);
  await store.close();
});

test('another may look at the last checkpoint while the owner goes on', async () => {
  const folder = fresh();
  const store = await openStore(folder, { ...real, create: true });
  const commit = (seq: number, value: number) =>
    store.commit({
      seq,
      meta,
      pages: new Uint32Array([4]),
      data: new Uint8Array(4096).fill(value),
      freed: none,
    });
  await commit(1, 10);
  const reader = readOnly(folder, real);
  const checkpoint = reader.loadCheckpoint()!;
  await commit(2, 20);
  await commit(3, 30);
  assert.deepEqual(
    Array.from(checkpoint.pages, ({ bytes }) => bytes[0]),
    [10],
    'a checkpoint that was loaded stays as it was',
  );
  await reader.close();
  const described = describe(folder, real);
  assert.equal(described.checkpoint?.seq, 3);
  assert.equal((described.owner as { pid: number }).pid, process.pid);
  await commit(4, 40);
  await store.close();
  assert.equal(describe(folder, real).owner, null);
  const later = readOnly(folder, real);
  assert.deepEqual(
    Array.from(later.loadCheckpoint()!.pages, ({ bytes }) => bytes[0]),
    [40],
  );
  assert.throws(() => later.commit({ seq: 5, meta, pages: none, data: meta, freed: none }), /only its owner/);
  await later.close();
  assert.deepEqual(readdirSync(folder).sort(), ['owner.lock', 'perdure.json', 'space.mdb', 'space.mdb-lock']);
});

test('a missing store is created only on request', async () => {
  const folder = fresh();
  await assert.rejects(openStore(folder, { ...real, create: false }), { code: 'store-missing' });
  assert.throws(() => readOnly(folder, real), { code: 'store-missing' });
  assert.equal(hostPowers.list(folder), null);
  hostPowers.makeFolder(folder);
  await (await openStore(`${folder}/`, { ...real, create: true })).close();
  assert.equal(describe(folder, real).checkpoint, null);
});

test('a bug of the caller is refused before anything is written', async () => {
  const store = await openStore(fresh(), { ...real, create: true });
  const base = {
    seq: 1,
    meta,
    pages: new Uint32Array([2, 3]),
    data: new Uint8Array(8192).fill(1),
    freed: none,
  };
  await assert.rejects(store.commit({ ...base, pages: new Uint32Array([3, 2]) }), /rise/);
  await assert.rejects(store.commit({ ...base, pages: new Uint32Array([2, 2]) }), /rise/);
  await assert.rejects(store.commit({ ...base, freed: new Uint32Array([3]) }), /both changed and freed/);
  await assert.rejects(store.commit({ ...base, data: new Uint8Array(5000) }), /bytes of its pages/);
  await store.commit(base);
  await assert.rejects(store.commit(base), /rising order/);
  assert.equal(store.loadCheckpoint()!.pageCount, 2);
  assert.deepEqual(
    Array.from(store.loadCheckpoint()!.pages, ({ page }) => page),
    [2, 3],
  );
  await store.close();
});
