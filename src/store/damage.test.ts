import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../base/errors.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { hostPowers, lmdbEngine } from './engine-lmdb.ts';
import { openStore, readOnly } from './open.ts';

const real = { engine: lmdbEngine, powers: hostPowers };
const PAGES = 600;
const none = new Uint32Array(0);

const pageBytes = (page: number): Uint8Array => {
  const random = new Prng(page);
  const bytes = new Uint8Array(4096);
  for (let i = 0; i < 4096; i += 16) bytes[i] = random.u32();
  return bytes;
};
const moduleBytes = (seed: number): Uint8Array => new Uint8Array(20_000).map((_, i) => (i * seed) >> 3);

/** A store with several generations of pages, a program and a position: trees of two levels, free pages. */
async function build(folder: string): Promise<void> {
  const store = await openStore(folder, { ...real, create: true });
  for (let seq = 1; seq <= 4; seq++) {
    const pages = new Uint32Array(PAGES).map((_, i) => i * 2);
    const data = new Uint8Array(PAGES * 4096);
    for (const [i, page] of pages.entries()) {
      data.set(pageBytes(seq === 4 || i % seq === 0 ? page : page + seq), i * 4096);
    }
    await store.commit({ seq, meta: new Uint8Array(100).fill(5), pages, data, freed: none });
  }
  await store.putModule('m', {
    original: moduleBytes(3),
    rewritten: moduleBytes(5),
    meta: new Uint8Array(9),
  });
  await store.setReleased('out', 99);
  await store.close();
}

/** What the store holds must be what was put there: anything else than that, or a refusal, is a failure. */
async function check(folder: string): Promise<string> {
  const before = snapshotOf(folder);
  let changed = false;
  try {
    const store = await openStore(folder, { ...real, create: true });
    try {
      const checkpoint = store.loadCheckpoint()!;
      assert.equal(checkpoint.seq, 4);
      assert.deepEqual(checkpoint.meta, new Uint8Array(100).fill(5));
      let count = 0;
      for (const { page, bytes } of checkpoint.pages) {
        assert.ok(Buffer.from(pageBytes(page)).equals(bytes), `page ${page}`);
        count++;
      }
      assert.equal(count, PAGES);
      const module = store.getModule('m')!;
      assert.ok(Buffer.from(moduleBytes(3)).equals(module.original));
      assert.ok(Buffer.from(moduleBytes(5)).equals(module.rewritten));
      assert.equal(store.getReleased('out'), 99);
      changed = true;
      const data = new Uint8Array(40 * 4096).fill(3);
      const pages = new Uint32Array(40).map((_, i) => i * 3 + 1);
      await store.commit({ seq: 5, meta: new Uint8Array(1), pages, data, freed: none });
    } finally {
      await store.close();
    }
    const again = await openStore(folder, { ...real, create: false });
    const pages = Array.from(again.loadCheckpoint()!.pages, ({ page }) => page);
    assert.ok(pages.includes(1) && pages.length > PAGES);
    await again.close();
    return 'whole';
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    assert.equal(error.code, 'store-damaged', error.message);
    assert.ok(error.message.includes(folder) && error.hint !== '', 'the error says where and what to do');
    if (!changed) assert.deepEqual(snapshotOf(folder), before, `refused, but changed: ${error.message}`);
    return error.message;
  }
}

/** All a folder holds, but LMDB's table of readers, which holds nothing of the store. */
function snapshotOf(folder: string): [string, string][] {
  const names = readdirSync(folder).filter((name) => name !== 'space.mdb-lock');
  return names.sort().map((name) => [name, readFileSync(join(folder, name)).toString('base64')]);
}

/** One mutation of a copy of the store. */
async function mutate(from: string, to: string, seed: number): Promise<string> {
  const random = new Prng(seed);
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to);
  for (const name of ['perdure.json', 'space.mdb', 'owner.lock'])
    copyFileSync(join(from, name), join(to, name));
  const path = join(to, 'space.mdb');
  const bytes = readFileSync(path);
  const kind = random.below(10);
  if (kind < 2) {
    truncateSync(path, random.below(bytes.length));
  } else {
    // bits; half of the time in the head pages or in some page's header, where LMDB is most easily hurt
    for (let flips = kind < 8 ? 1 : 1 + random.below(20); flips > 0; flips--) {
      let at = random.below(bytes.length);
      if (random.chance(0.2)) at = random.below(8192) & ~0xf00;
      else if (random.chance(0.4)) at = (at & ~4095) + random.below(200);
      bytes[at]! ^= 1 << random.below(8);
    }
    if (kind === 9) bytes.copy(bytes, random.below(bytes.length / 4096) * 4096, 0, 4096);
    writeFileSync(path, bytes);
  }
  return check(to);
}

if (process.env.STORE_DAMAGE_CHILD !== undefined) {
  const [from, to, first, count] = process.env.STORE_DAMAGE_CHILD.split('|') as [
    string,
    string,
    string,
    string,
  ];
  for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
    process.stdout.write(`${seed}: `);
    process.stdout.write(`${await mutate(from, to, seed)}\n`);
  }
} else {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const root = mkdtempSync(join(tmpdir(), 'perdure-damage-'));
  const good = join(root, 'good');
  after(() => rmSync(root, { recursive: true, force: true }));

  const copy = (name: string): string => {
    cpSync(good, join(root, name), { recursive: true });
    return join(root, name);
  };

  test('a damaged data file is refused with its bytes untouched, or reads as it was; never a crash or wrong bytes', async () => {
    await build(good);
    // in a process of its own: the worst a damaged file could do is to kill the one who maps it
    const count = 150;
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], {
      env: { ...process.env, STORE_DAMAGE_CHILD: `${good}|${join(root, 'mutant')}|${seed % 1e9}|${count}` },
      encoding: 'utf8',
    });
    const lines = child.stdout.trim().split('\n');
    assert.equal(child.signal, null, `killed by ${child.signal} at mutation ${lines.at(-1)}`);
    assert.equal(child.status, 0, `mutation ${lines.at(-1)}\n${child.stderr.slice(0, 3000)}`);
    const refused = lines.filter((line) => line.includes('is damaged')).length;
    assert.equal(lines.length, count);
    assert.ok(refused > count / 3, `${refused} of ${count} were refused`);
  });

  test('a damaged page is named, and so is a lost one', async () => {
    const folder = copy('page');
    const path = join(folder, 'space.mdb');
    const bytes = readFileSync(path);
    const at = bytes.indexOf(Buffer.from(pageBytes(20).subarray(0, 64)));
    assert.ok(at > 0);
    bytes[at + 100]! ^= 1;
    writeFileSync(path, bytes);
    const message = await check(folder);
    assert.match(message, /page \d+ does not match its checksum|whole/);
    // every copy of it, in use or free: then the one in use is among them
    for (let i = bytes.indexOf(Buffer.from(pageBytes(40).subarray(0, 64))); i >= 0; ) {
      bytes[i + 3000]! ^= 4;
      i = bytes.indexOf(Buffer.from(pageBytes(40).subarray(0, 64)), i + 1);
    }
    bytes[at + 100]! ^= 1;
    writeFileSync(path, bytes);
    assert.match(await check(folder), /page 40 does not match its checksum/);
  });

  test('truncated at any page boundary, or cut to nothing, it is refused', async () => {
    const folder = copy('short');
    const path = join(folder, 'space.mdb');
    const size = readFileSync(path).length;
    for (const length of [0, 1, 4095, 4096, 8191, 8192, 12288, size - 4096 * 300, size - 4096]) {
      copyFileSync(join(good, 'space.mdb'), path);
      truncateSync(path, length);
      const message = await check(folder);
      assert.ok(message.includes('is damaged') || length === size - 4096, `${length}: ${message}`);
    }
  });

  test('foreign, newer, mixed up and half-missing folders are refused and left as they were', async () => {
    const folder = copy('odd');
    const manifest = JSON.parse(readFileSync(join(folder, 'perdure.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    const refuses = async (code: string, pattern: RegExp): Promise<void> => {
      const before = snapshotOf(folder);
      const matches = (error: unknown): boolean => {
        assert.ok(error instanceof EnvironmentError);
        assert.equal(error.code, code);
        assert.match(error.message, pattern);
        assert.ok(error.message.includes(folder) && error.hint !== '');
        return true;
      };
      await assert.rejects(openStore(folder, { ...real, create: true }), matches);
      assert.throws(() => readOnly(folder, real), matches);
      assert.deepEqual(snapshotOf(folder), before);
    };
    const write = (fields: object): void =>
      writeFileSync(join(folder, 'perdure.json'), JSON.stringify({ ...manifest, ...fields }));
    write({ version: 2 });
    await refuses('store-newer', /format is 2/);
    write({ format: 'other' });
    await refuses('store-foreign', /of another kind/);
    write({ hashKey: 'xyz' });
    await refuses('store-damaged', /no hash key/);
    write({ hashKey: '0'.repeat(32) });
    await refuses('store-damaged', /checksum/);
    write({ space: '0'.repeat(32) });
    await refuses('store-damaged', /another space/);
    writeFileSync(join(folder, 'perdure.json'), '{"format"');
    await refuses('store-damaged', /not JSON/);
    rmSync(join(folder, 'perdure.json'));
    await refuses('store-damaged', /manifest .* missing/);
    write({});
    rmSync(join(folder, 'space.mdb'));
    await refuses('store-damaged', /missing/);
    writeFileSync(join(folder, 'space.mdb'), 'SQLite format 3'.padEnd(100_000));
    await refuses('store-damaged', /head page 0/);
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    writeFileSync(join(folder, 'thesis.tex'), 'chapter 1');
    await assert.rejects(openStore(folder, { ...real, create: true }), {
      code: 'store-foreign',
      message: /thesis.tex/,
    });
    assert.deepEqual(readdirSync(folder), ['thesis.tex']);
    const file = join(root, 'file');
    writeFileSync(file, 'x');
    await assert.rejects(openStore(file, { ...real, create: true }), { code: 'store-host' });
  });

  test('a creation that was cut short begins anew', async () => {
    const folder = copy('unfinished');
    const manifest = JSON.parse(readFileSync(join(folder, 'perdure.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    writeFileSync(join(folder, 'perdure.json'), JSON.stringify({ ...manifest, state: 'creating' }));
    truncateSync(join(folder, 'space.mdb'), 5000);
    const store = await openStore(folder, { ...real, create: false });
    assert.equal(store.loadCheckpoint(), null);
    assert.notEqual(store.manifest.space, manifest.space);
    await store.close();
  });
}
