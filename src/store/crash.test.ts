import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvironmentError } from '../base/errors.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { MemoryHost, type MemoryOptions, PowerFailure } from './engine-memory.ts';
import { openStore } from './open.ts';
import type { Store } from './store.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);

const FOLDER = '/space';
const PAGES = 24;

/** What a store should hold after a checkpoint. */
interface Model {
  readonly seq: number;
  readonly meta: Uint8Array;
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

/** What was begun and what ended before the light went out. */
interface Log {
  /** Checkpoints by number; the last may have been begun only. */
  models: Model[];
  durable: number;
  modules: Map<string, { put: 'begun' | 'done'; removed: boolean }>;
  released: { begun: number; done: number };
}

const moduleBytes = (hash: string, length: number): Uint8Array =>
  new Uint8Array(length).map((_, i) => i * 31 + hash.charCodeAt(hash.length - 1));

/** The same operations for the same seed: checkpoints, programs, positions, restarts. */
async function script(host: MemoryHost, random: Prng, log: Log): Promise<void> {
  const open = (): Promise<Store> =>
    openStore(FOLDER, { engine: host.engine, powers: host.powers, create: true });
  let store = await open();
  let pages = new Map<number, Uint8Array>();
  for (let step = 0; step < 14; step++) {
    const kind = random.below(10);
    if (kind < 6) {
      const seq = log.models.length + 1;
      pages = new Map(pages);
      const numbers: number[] = [];
      const freed: number[] = [];
      for (let page = 0; page < PAGES; page++) {
        if (random.chance(0.1)) {
          freed.push(page);
          pages.delete(page);
        } else if (random.chance(0.35)) {
          numbers.push(page);
          const fate = random.below(4);
          if (fate === 0)
            pages.delete(page); // became zero
          else if (fate > 1)
            pages.set(page, new Uint8Array(4096).fill(1 + random.below(250), random.below(4095)));
        }
      }
      const data = new Uint8Array(numbers.length * 4096);
      for (const [i, page] of numbers.entries()) data.set(pages.get(page) ?? new Uint8Array(4096), i * 4096);
      const meta = new Uint8Array(random.below(50)).fill(seq);
      log.models.push({ seq, meta, pages });
      await store.commit({ seq, meta, pages: new Uint32Array(numbers), data, freed: new Uint32Array(freed) });
      log.durable = seq;
    } else if (kind < 8) {
      const hash = `m${random.below(5)}`;
      const known = log.modules.get(hash);
      if (known?.put !== 'done') log.modules.set(hash, { put: 'begun', removed: false });
      const [original, rewritten] = [moduleBytes(hash, 5000), moduleBytes(`${hash}r`, 300)];
      await store.putModule(hash, { original, rewritten, meta: new Uint8Array([step]) });
      log.modules.set(hash, { put: 'done', removed: false });
    } else if (kind === 8) {
      log.released.begun++;
      await store.setReleased('out', log.released.begun);
      log.released.done = log.released.begun;
    } else {
      const live = new Set([...log.modules.keys()].filter(() => random.chance(0.5)));
      for (const [hash, state] of log.modules) if (!live.has(hash)) state.removed = true;
      await store.collectModules(live);
      for (const hash of [...log.modules.keys()]) if (!live.has(hash)) log.modules.delete(hash);
      await store.close();
      store = await open();
    }
  }
  await store.close();
}

async function run(scriptSeed: number, options: MemoryOptions): Promise<{ host: MemoryHost; log: Log }> {
  const host = new MemoryHost(options);
  const log: Log = { models: [], durable: 0, modules: new Map(), released: { begun: 0, done: 0 } };
  try {
    await script(host, new Prng(scriptSeed), log);
  } catch (error) {
    if (!host.dead) throw error; // else whatever a dying process says
  }
  return { host, log };
}

/** Opens the store after the crash and checks that it is exactly what was durable, or begun. */
async function verify(host: MemoryHost, log: Log): Promise<void> {
  const store = await openStore(FOLDER, { engine: host.engine, powers: host.powers, create: true });
  const found = store.loadCheckpoint();
  const seq = found?.seq ?? 0;
  assert.ok(seq === log.durable || seq === log.durable + 1, `checkpoint ${seq}, durable was ${log.durable}`);
  if (found) {
    const model = log.models[seq - 1]!;
    assert.deepEqual(found.meta, model.meta);
    // the whole is vouched for when the last page has come
    const pages = Array.from(found.pages, ({ page, bytes }) => [page, bytes.slice()] as const);
    const numbers = pages.map(([page]) => page);
    assert.deepEqual(
      numbers,
      [...model.pages.keys()].sort((a, b) => a - b),
    );
    for (const [page, bytes] of pages) {
      assert.ok(
        Buffer.from(model.pages.get(page)!).equals(bytes),
        `page ${page} of checkpoint ${seq} is wrong`,
      );
    }
  }
  for (const [hash, state] of log.modules) {
    const module = store.getModule(hash);
    if (state.put === 'done' && !state.removed) assert.ok(module, `module ${hash} is there`);
    if (!module) continue;
    assert.deepEqual(module.original, moduleBytes(hash, 5000));
    assert.deepEqual(module.rewritten, moduleBytes(`${hash}r`, 300));
  }
  const released = store.getReleased('out') ?? 0;
  assert.ok(released === log.released.done || released === log.released.begun, `released ${released}`);
  // and it goes on
  const data = new Uint8Array(4096).fill(7);
  const next = {
    seq: 1000,
    meta: new Uint8Array(1),
    pages: new Uint32Array([3]),
    data,
    freed: new Uint32Array([4]),
  };
  await store.commit(next);
  await store.close();
  const again = await openStore(FOLDER, { engine: host.engine, powers: host.powers, create: false });
  const last = again.loadCheckpoint()!;
  assert.equal(last.seq, 1000);
  for (const { page, bytes } of last.pages) {
    assert.notEqual(page, 4);
    if (page === 3) assert.deepEqual(bytes, data);
  }
  await again.close();
}

test('power failing between any two writes leaves exactly the last complete checkpoint, or the one being made', async () => {
  for (let round = 0; round < 2; round++) {
    const scriptSeed = seed + round;
    const whole = await run(scriptSeed, {});
    assert.equal(whole.host.dead, false);
    assert.ok(whole.host.steps > 40, 'there is something to interrupt');
    for (let failAt = 1; failAt <= whole.host.steps; failAt++) {
      const random = new Prng(seed ^ (failAt * 7919));
      const { host, log } = await run(scriptSeed, { failAt, random });
      assert.equal(host.dead, true);
      await assert.doesNotReject(verify(host.recover(), log), `script ${scriptSeed}, failing at ${failAt}`);
    }
  }
});

test('a process killed between any two writes leaves exactly the last complete checkpoint, or the one being made', async () => {
  const scriptSeed = seed + 100;
  const whole = await run(scriptSeed, {});
  for (let failAt = 1; failAt <= whole.host.steps; failAt++) {
    const { host, log } = await run(scriptSeed, { failAt });
    await assert.doesNotReject(verify(host.killed(), log), `script ${scriptSeed}, killed at ${failAt}`);
  }
});

test('an engine whose transactions are not atomic is found out: an error, never wrong bytes', async () => {
  let noticed = 0;
  for (let round = 0; round < 2; round++) {
    const whole = await run(seed + round, { torn: true });
    for (let failAt = 1; failAt <= whole.host.steps; failAt++) {
      const random = new Prng(seed ^ (failAt * 104729));
      const { host, log } = await run(seed + round, { failAt, random, torn: true });
      try {
        await verify(host.recover(), log);
      } catch (error) {
        if (!(error instanceof EnvironmentError)) {
          // programs and positions may be gone, as this engine loses what it reported; pages may not be wrong
          assert.match((error as Error).message, /is there|released|durable was/, `failing at ${failAt}`);
          continue;
        }
        assert.equal(error.code, 'store-damaged');
        noticed++;
      }
    }
  }
  assert.ok(noticed > 5, `${noticed} torn checkpoints were noticed`);
});

test('after a commit that failed only the same commit is taken, and then all is stored', async () => {
  const host = new MemoryHost();
  let fail = false;
  const engine: typeof host.engine = {
    ...host.engine,
    open: (path, mode) => {
      const inner = host.engine.open(path, mode);
      return { ...inner, write: (fill) => (fail ? Promise.reject(new Error('refused')) : inner.write(fill)) };
    },
  };
  const store = await openStore(FOLDER, { engine, powers: host.powers, create: true });
  const page = (value: number) => new Uint8Array(4096).fill(value);
  const commit = (seq: number, number: number, value: number, freed: number[] = []) => ({
    seq,
    meta: new Uint8Array(0),
    pages: new Uint32Array([number]),
    data: page(value),
    freed: new Uint32Array(freed),
  });
  await store.commit(commit(1, 10, 1));
  fail = true;
  const second = store.commit(commit(2, 20, 2, [10]));
  const third = store.commit(commit(3, 30, 3));
  await assert.rejects(second, { code: 'store-failed' });
  await assert.rejects(third, { code: 'store-failed' });
  fail = false;
  await assert.rejects(store.commit(commit(3, 30, 3)), { code: 'store-failed' });
  assert.deepEqual(await store.commit(commit(2, 20, 2, [10])), { written: 1, removed: 1 });
  assert.deepEqual(await store.commit(commit(3, 30, 3)), { written: 1, removed: 0 });
  assert.deepEqual([...store.loadCheckpoint()!.pages].length, 2);
  assert.deepEqual(
    Array.from(store.loadCheckpoint()!.pages, ({ page: number, bytes }) => [number, bytes[0]]),
    [
      [20, 2],
      [30, 3],
    ],
  );
  await store.close();
});

test('everything a dead process tries fails', async () => {
  const host = new MemoryHost({ failAt: 3 });
  await assert.rejects(
    openStore(FOLDER, { engine: host.engine, powers: host.powers, create: true }),
    (error) => error instanceof PowerFailure,
  );
});
