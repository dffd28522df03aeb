import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT } from '../../abi/objects.ts';
import { FRAME_BYTES, WINDOW_BASE } from '../../base/limits.ts';
import { FULL } from '../../compiler/index.ts';
import { wat } from '../../wasm/wat.testing.ts';
import { usedOf } from '../account/account.ts';
import { load } from '../kernel.testing.ts';
import { SegmentSystem } from './segment.testing.ts';

const OUT = 'out of bounds memory access';

/** Two domains that have a segment mapped; `a` made it. */
async function shared(bytes = 200_000n, rights = 255) {
  const system = new SegmentSystem();
  await system.domains('a', 'b');
  const handle = system.ok('a', 'seg_create', bytes);
  const at = system.map('a', handle);
  const there = system.pass('a', handle, 'b', rights);
  return { system, handle, at, there };
}

test('what one domain writes into a segment another reads through its own pointers', async () => {
  const { system, at, there } = await shared();
  const near = system.map('b', there);
  assert.ok(at > WINDOW_BASE && near > WINDOW_BASE);
  system.call('a', 'set', at + 150_000, 77);
  assert.equal(system.call('b', 'get', near + 150_000), 77);
  system.call('b', 'fill', near, 5, 150_000);
  assert.equal(system.call('a', 'get8', at + 149_999), 5);
  assert.equal(system.call('a', 'get', at + 150_000), 77);
  assert.equal(system.call('b', 'add', near + 150_000, 3), 77);
  system.call('a', 'copy', 100, at + 150_000, 4);
  assert.equal(system.call('a', 'get', 100), 80);
  system.call('a', 'fill', at, 1, 4096);
  assert.equal(system.call('b', 'sum', near, 1024), (0x01010101 * 1024) | 0);
});

test('an access beyond a mapping traps, and writes nothing of what would have fitted', async () => {
  const { system, at, there } = await shared(100_000n);
  const near = system.map('b', there, false);
  const end = at + 100_000;
  assert.equal(system.call('a', 'get', end - 4), 0);
  assert.equal(system.call('a', 'get', end - 3), OUT);
  assert.equal(system.call('a', 'set64', end - 4, -1n), OUT);
  assert.equal(system.call('b', 'get', near + 100_000 - 4), 0);
  assert.equal(system.call('a', 'fill', end - 10, 1, 11), OUT);
  assert.equal(system.call('a', 'copy', end - 10, 0, 11), OUT);
  assert.equal(system.call('b', 'get', near + 100_000 - 4), 0);
  assert.equal(system.call('a', 'get', at - 4), OUT);
  assert.equal(system.call('b', 'set', near, 1), OUT);
  assert.equal(system.call('b', 'add', near, 1), OUT);
  assert.equal(system.call('b', 'fill', near, 1, 1), OUT);
  assert.equal(system.call('b', 'copy', near, 0, 1), OUT);
  assert.equal(system.call('b', 'get', WINDOW_BASE), OUT);
  assert.equal(system.call('b', 'get', -4), OUT);
});

test('revoking is seen by the next access of every mapper, in the middle of a function too', async () => {
  const { system, handle, at, there } = await shared();
  const near = system.map('b', there);
  system.call('a', 'set', at, 40);
  const derived = system.ok('b', 'cap_derive', there, 255, 0n);
  const other = system.map('b', derived);
  assert.equal(system.call('b', 'get', other), 40);
  // Its own mapping is of the same capability: that ends too.
  assert.equal(system.call('a', 'around', at, handle), OUT);
  assert.equal(system.call('b', 'get', near), OUT);
  assert.equal(system.call('b', 'get', other), OUT);
  assert.equal(system.call('b', 'seg_size', there), -ERRNO.REVOKED);
  const again = system.map('a', handle);
  assert.equal(system.call('a', 'get', again), 40);
  assert.equal(system.kernel.core.windows.count, 1);
});

test('a segment needs the rights that its operations have', async () => {
  const { system, there } = await shared(1000n, RIGHT.read | RIGHT.map);
  assert.equal(system.call('b', 'seg_map', there, 0n, 1000n, 3, 0), -ERRNO.NOTCAPABLE);
  for (const [call, ...args] of [
    ['seg_grow', 2000n],
    ['seg_seal'],
    ['seg_freeze'],
    ['seg_write', 0n, 0, 4],
  ] as const)
    assert.equal(system.call('b', call, there, ...args), -ERRNO.NOTCAPABLE, call);
  assert.equal(system.ok('b', 'seg_read', there, 0n, 0, 4), 4);
  const bare = system.pass('a', system.ok('a', 'seg_create', 10n), 'b', RIGHT.map);
  assert.equal(system.call('b', 'seg_map', bare, 0n, 10n, 1, 0), -ERRNO.NOTCAPABLE);
  assert.equal(system.call('b', 'seg_read', bare, 0n, 0, 4), -ERRNO.NOTCAPABLE);
  assert.equal(system.call('b', 'seg_size', 99), -ERRNO.BADF);
});

test('mappings keep a distance, and lie where they are wanted when that is free', async () => {
  const { system, handle, at } = await shared(100_000n);
  const map = (near: number, offset = 0n, bytes = 100n) =>
    system.call('a', 'seg_map', handle, offset, bytes, 1, near);
  assert.equal(at, WINDOW_BASE + FRAME_BYTES);
  assert.equal(map(at), -ERRNO.EXIST);
  assert.equal(map(at + 2 * FRAME_BYTES), -ERRNO.EXIST, 'no distance');
  assert.equal(map(at + 3 * FRAME_BYTES), at + 3 * FRAME_BYTES);
  assert.equal(map(0), at + 5 * FRAME_BYTES);
  assert.equal(map(WINDOW_BASE), -ERRNO.INVAL);
  assert.equal(map(2 ** 32 - FRAME_BYTES), -ERRNO.INVAL);
  assert.equal(map(2 ** 32 - 2 * FRAME_BYTES), 2 ** 32 - 2 * FRAME_BYTES);
  assert.equal(map(at + 100), -ERRNO.INVAL);
  assert.equal(map(65536), -ERRNO.INVAL);
  assert.equal(map(0, 100n), -ERRNO.INVAL);
  assert.equal(map(0, 0n, 100_001n), -ERRNO.INVAL);
  assert.equal(map(0, 0n, 0n), -ERRNO.INVAL);
  assert.equal(map(0, -1n), -ERRNO.INVAL);
  const behind = map(0, 4096n) as number;
  system.call('a', 'set', at + 4096 + 96, 9);
  assert.equal(system.call('a', 'get', behind + 96), 9);
  assert.equal(system.call('a', 'get', behind + 97), OUT);
  assert.equal(system.call('a', 'seg_unmap', behind + 1), -ERRNO.INVAL);
  assert.equal(system.call('a', 'seg_unmap', behind), 0);
  assert.equal(system.call('a', 'get', behind), OUT);
  assert.equal(system.call('a', 'get', at + 4096 + 96), 9);
});

test('what grows keeps its contents and its mappings, wherever it moves to', async () => {
  const { system, handle, at, there } = await shared(60_000n);
  system.call('a', 'set', at + 50_000, 7);
  const near = system.map('b', there);
  const other = system.map('b', system.ok('b', 'seg_create', 10n)); // perhaps in the way
  assert.equal(system.ok('a', 'seg_grow', handle, 5_000_000n), 0);
  assert.equal(system.call('b', 'get', near + 50_000), 7);
  assert.equal(system.call('b', 'get', near + 60_000), OUT, 'as long as when it was mapped');
  const all = system.map('b', there);
  system.call('b', 'set', all + 4_999_996, 8);
  assert.equal(system.call('b', 'set', other, 8), undefined);
  assert.equal(system.call('a', 'set', at + 50_000, 9), undefined);
  assert.equal(system.call('b', 'get', all + 50_000), 9);
  assert.equal(system.call('a', 'seg_grow', handle, 10n), -ERRNO.INVAL);
});

test('what is sealed is written by nobody, ever', async () => {
  const { system, handle, at, there } = await shared();
  system.call('a', 'set', at, 5);
  const near = system.map('b', there);
  system.call('b', 'set', near, 6);
  assert.equal(system.call('a', 'seg_seal', handle), 0);
  for (const [name, place] of [
    ['a', at],
    ['b', near],
  ] as const) {
    assert.equal(system.call(name, 'set', place, 1), OUT);
    assert.equal(system.call(name, 'get', place), 6);
  }
  assert.equal(system.call('a', 'seg_write', handle, 0n, 0, 4), -ERRNO.ROFS);
  assert.equal(system.call('a', 'seg_grow', handle, 900_000n), -ERRNO.ROFS);
  assert.equal(system.call('a', 'seg_map', handle, 0n, 10n, 3, 0), -ERRNO.ROFS);
});

test('who freezes a segment alone can write it, until it thaws it, closes it, or ends', async () => {
  const { system, handle, at, there } = await shared();
  const near = system.map('b', there);
  const frozen = (): boolean => system.call('b', 'set', near, 1) === OUT;
  assert.equal(system.call('a', 'seg_freeze', handle), 0);
  assert.ok(frozen());
  assert.equal(system.call('b', 'seg_freeze', there), -ERRNO.BUSY);
  assert.equal(system.call('b', 'seg_thaw', there), -ERRNO.PERM);
  assert.equal(system.call('b', 'seg_write', there, 0n, 0, 4), -ERRNO.BUSY);
  assert.equal(system.call('a', 'set', at, 3), undefined);
  assert.equal(system.call('b', 'get', near), 3);
  assert.equal(system.call('a', 'seg_thaw', handle), 0);
  assert.ok(!frozen());
  assert.equal(system.call('b', 'seg_freeze', there), 0);
  assert.equal(system.call('a', 'set', at, 4), OUT);
  assert.equal(system.call('b', 'cap_close', there), 0);
  assert.equal(system.call('a', 'set', at, 4), undefined);
  assert.equal(system.call('a', 'seg_freeze', handle), 0);
  assert.ok(frozen());
  system.kernel.remove(system.kernel.find('a'));
  assert.ok(!frozen());
});

test('a copy has the bytes of when it was made, whichever of the two is written', async () => {
  const { system, handle } = await shared(100_000n);
  const value = (name: string, of: number): number => {
    system.ok(name, 'seg_read', of, 80_000n, 200, 4);
    return system.ok(name, 'get', 200);
  };
  const write = (of: number, n: number): void => {
    system.call('a', 'set', 100, n);
    system.ok('a', 'seg_write', of, 80_000n, 100, 4);
  };
  // Mapped to be written: copied at once.
  write(handle, 1);
  const first = system.ok('a', 'seg_copy', handle);
  write(handle, 2);
  // Not mapped so: one after the other, and a copy of a copy.
  const source = system.ok('a', 'seg_copy', first);
  const copies = [source, first, source].map((of) => system.ok('a', 'seg_copy', of));
  const reads = copies.map((of) => system.map('a', of, false));
  write(source, 3);
  write(copies[1]!, 4);
  system.call('a', 'cap_close', first);
  assert.deepEqual(
    [handle, source, ...copies].map((of) => value('a', of)),
    [2, 3, 1, 4, 1],
  );
  assert.deepEqual(
    reads.map((at) => system.call('a', 'get', at + 80_000)),
    [1, 4, 1],
  );
  const at = system.map('a', copies[0]!);
  system.call('a', 'set', at + 80_000, 5);
  assert.deepEqual(
    [handle, source, ...copies].map((of) => value('a', of)),
    [2, 3, 5, 4, 1],
  );
});

test('pointers into windows are good over crashes, relocation and compaction', async () => {
  const { system, handle, at, there } = await shared();
  const near = system.map('b', there, false);
  system.call('a', 'set', at + 140_000, 1);
  const held = (): number => system.ok('b', 'get', near + 140_000);
  assert.equal(held(), 1);
  system.checkpoint();
  system.call('a', 'set', at + 140_000, 2);
  system.crash();
  assert.equal(held(), 1);
  for (const name of ['a', 'b']) system.kernel.relocate(system.kernel.find(name));
  system.call('a', 'set', at + 140_000, 3);
  assert.equal(held(), 3);
  system.kernel.compact();
  system.checkpoint();
  system.crash();
  assert.equal(held(), 3);
  assert.equal(system.call('b', 'set', near, 1), OUT);
  system.call('a', 'set', at + 70_000, 4);
  assert.equal(system.call('a', 'cap_revoke', handle), 0);
  system.checkpoint();
  system.crash();
  assert.equal(system.call('b', 'get', near), OUT);
});

test('compaction moves segments and files under programs that are in the middle of them', async () => {
  const system = new SegmentSystem({ stress: true });
  await system.domains('a', 'b');
  const { segments, frames } = system.space;
  const gaps: number[] = [];
  // Files and segments, with gaps between them; one of the segments is not mapped, and has holes.
  const file = segments.create();
  for (let i = 0; i < 4; i++) {
    gaps.push(system.ok('a', 'seg_create', 400_000n));
    system.map('a', gaps[i]!);
    segments.writeBytes(file, i * 150_000, Buffer.alloc(100_000, i + 1));
  }
  const handle = system.ok('a', 'seg_create', 300_000n);
  const loose = system.ok('a', 'seg_create', 900_000n);
  const at = system.map('a', handle);
  const near = system.map('b', system.pass('a', handle, 'b'), false);
  for (let i = 0; i < 300_000; i += 4000) system.call('a', 'set', at + i, i);
  system.call('a', 'set', 100, 77);
  system.ok('a', 'seg_write', loose, 500_000n, 100, 4);
  const copy = system.ok('b', 'seg_copy', system.pass('a', loose, 'b'));
  for (const [i, gap] of gaps.entries()) {
    system.ok('a', 'seg_unmap', WINDOW_BASE + FRAME_BYTES + i * 8 * FRAME_BYTES);
    system.ok('a', 'cap_close', gap);
  }
  const { windows, segments: contents } = system.kernel.core;
  const object = system.kernel.core.clists.objectAt(system.domain('a'), handle);
  const before = contents.address(object);
  const free = frames.freeCount;
  const b = system.kernel.find('b');
  system.kernel.start(b, 'sum', [near | 0, 75_000]);
  system.kernel.run({ maxSlices: 20 });
  assert.equal(system.kernel.status(b).state, 'ready');
  assert.ok(system.kernel.compact() > 0);
  while (system.kernel.compact() > 0);
  assert.ok(contents.address(object) < before);
  assert.equal(frames.freeCount, free, 'what was moved from is free');
  assert.equal(windows.count, 2);
  system.kernel.run({ maxSlices: 20 });
  system.checkpoint();
  system.crash();
  system.kernel.compact();
  const outcome = system.kernel.proceed(b);
  const sum = Array.from({ length: 75 }, (_, i) => 4000 * i).reduce((x, y) => x + y);
  assert.equal(outcome.kind === 'returned' && Number(outcome.results[0]?.low), sum);
  for (const [name, of] of [
    ['a', loose],
    ['b', copy],
  ] as const) {
    system.ok(name, 'seg_read', of, 500_000n, 200, 4);
    assert.equal(system.call(name, 'get', 200), 77);
  }
  for (let i = 0; i < 4; i++) {
    const bytes = system.space.segments.readBytes(file, i * 150_000, 100_000);
    assert.ok(bytes.every((byte) => byte === i + 1));
  }
});

test('a write into a segment is in the next checkpoint, whoever made it', async () => {
  const { system, at, there } = await shared();
  const near = system.map('b', there);
  system.checkpoint();
  system.call('b', 'set', near + 100_000, 11);
  system.call('b', 'fill', near + 4000, 12, 9000);
  system.call('b', 'add', near + 190_000, 13);
  system.checkpoint();
  system.crash();
  assert.deepEqual(
    [100_000, 4000, 12_999 - 3, 190_000].map((offset) => system.call('a', 'get', at + offset)),
    [11, 0x0c0c0c0c, 0x0c0c0c0c, 13],
  );
});

test('memory, mappings and records of segments come back when nobody has them any more', async () => {
  const system = new SegmentSystem();
  await system.domains('a', 'b');
  const account = system.domain('a').account;
  const state = (): unknown => [
    system.space.frames.usedCount,
    system.space.segments.count,
    system.kernel.core.objects.count,
    system.kernel.core.windows.count,
    usedOf(system.space, account, RESOURCE.memory),
  ];
  const round = (): void => {
    const handle = system.ok('a', 'seg_create', 300_000n);
    const there = system.pass('a', handle, 'b');
    const copy = system.ok('a', 'seg_copy', handle);
    const [at, near] = [system.map('a', handle), system.map('b', there)];
    system.map('a', copy);
    system.call('a', 'set', at, 1);
    assert.equal(system.call('a', 'cap_close', handle), 0);
    assert.equal(system.call('a', 'cap_close', copy), 0);
    assert.equal(system.call('b', 'get', near), 1, 'a mapping holds it');
    assert.equal(system.call('a', 'get', at), 1);
    assert.equal(system.call('b', 'cap_close', there), 0);
    for (const name of ['a', 'b'])
      for (let slot = 1; slot < 64; slot++) system.call(name, 'seg_unmap', WINDOW_BASE + slot * FRAME_BYTES);
  };
  round();
  const before = state();
  for (let i = 0; i < 20; i++) round();
  assert.deepEqual(state(), before);
  const handle = system.ok('a', 'seg_create', 300_000n);
  system.map('b', system.pass('a', handle, 'b'));
  system.kernel.remove(system.kernel.find('a'));
  system.kernel.remove(system.kernel.find('b'));
  assert.deepEqual([system.space.segments.count, system.kernel.core.windows.count], [0, 0]);
});

test('a segment is paid for by who made it', async () => {
  const system = new SegmentSystem();
  await system.domains('b');
  const { PROGRAM } = await import('./segment.testing.ts');
  system.add('a', await PROGRAM, { resident: true, memoryLimitBytes: 10 * FRAME_BYTES });
  const handle = system.ok('a', 'seg_create', BigInt(6 * FRAME_BYTES));
  assert.equal(system.call('a', 'seg_create', BigInt(3 * FRAME_BYTES)), -ERRNO.DQUOT);
  assert.equal(system.call('a', 'seg_copy', handle), -ERRNO.DQUOT);
  assert.equal(system.call('a', 'seg_grow', handle, BigInt(9 * FRAME_BYTES)), -ERRNO.DQUOT);
  assert.equal(system.call('a', 'seg_grow', handle, BigInt(8 * FRAME_BYTES)), 0);
  const there = system.pass('a', handle, 'b');
  assert.ok(system.ok('b', 'seg_copy', there) > 0);
  assert.equal(system.call('a', 'seg_create', -1n), -ERRNO.INVAL);
  assert.equal(system.call('a', 'seg_create', 1n << 60n), -ERRNO.INVAL);
  assert.equal(system.call('b', 'seg_create', 1n << 40n), -ERRNO.DQUOT);
});

/** A program that knows nothing of segments. */
const PLAIN = `(module (memory (export "memory") 1)
  (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "set") (param i32 i32) (i32.store (local.get 0) (local.get 1))))`;

test('who makes a domain maps segments for a program that cannot ask for it', async () => {
  const bytes = await wat(PLAIN);
  const system = new SegmentSystem();
  system.add('plain', load(bytes, { ...FULL, windows: true }), { resident: true });
  system.add('without', load(Uint8Array.from([...bytes, 0, 2, 1, 0x61])), { resident: true });
  const { authority, core } = system.kernel;
  const object = core.segments.createFree(8192);
  const capability = core.capabilities.root(object);
  core.capabilities.retain(capability);
  const map = (name: string, more: object): number =>
    authority.map(system.kernel.find(name), { capability, turn: 0 }, { offset: 0, bytes: 8192, ...more });
  const at = map('plain', { writable: true, near: 0x90000000 });
  assert.equal(at, 0x90000000);
  system.call('plain', 'set', at + 4, 9);
  assert.equal(system.call('plain', 'get', map('plain', {}) + 4), 9);
  assert.throws(() => map('plain', { bytes: 8193 }), { code: 'bad-mapping' });
  assert.throws(() => map('without', {}), { code: 'bad-mapping', hint: /with windows/ });
  assert.equal(system.call('without', 'get', at), OUT);
  core.capabilities.revoke(capability);
  assert.equal(system.call('plain', 'get', at + 4), OUT);
  assert.throws(() => map('plain', {}), { code: 'bad-mapping' });
});

test("the kernel's answer about windows is a trap for whatever is no window", async () => {
  const { system, at } = await shared(5000n);
  const { core } = system.kernel;
  const domain = system.domain('a');
  const odd = [
    0,
    1,
    at - 1,
    at + 4999,
    at + 5000,
    at + 5001,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53,
    2 ** 64,
    -1,
  ];
  for (const near of odd) {
    for (const bytes of [0, 1, 2, 5000, 2 ** 32, 2 ** 53, 2 ** 64]) {
      const inside = near >= at && near + bytes <= at + 5000;
      assert.equal(core.windows.resolve(domain, near, bytes, true) >= 0, inside, `${near} ${bytes}`);
    }
  }
});
