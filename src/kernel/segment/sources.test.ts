/** Segments whose bytes come from files: far larger than there is memory, over restarts, and files that change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO, errnoText } from '../../abi/errno.ts';
import { FRAME_BYTES, SPACE_MIN_FRAMES } from '../../base/limits.ts';
import { charge, left, usedOf } from '../account/account.ts';
import { byteAt } from './file.testing.ts';
import { SegmentSystem } from './segment.testing.ts';

const MIB = 1 << 20;
const unreadable = (errno: number): string => `what is mapped here cannot be read: ${errnoText(errno)}`;
const wordAt = (offset: number): number =>
  byteAt(offset) | (byteAt(offset + 1) << 8) | (byteAt(offset + 2) << 16) | (byteAt(offset + 3) << 24);

/** A domain that has a file of so many bytes mapped. */
async function over(bytes: number, writable = false) {
  const system = new SegmentSystem();
  await system.domains('a', 'b');
  const { handle, file, held } = system.over('a', bytes);
  assert.ok(handle > 0);
  return { system, handle, file, held, at: system.map('a', handle, writable) };
}
/** So many bytes of memory are left to a domain. */
function leave(system: SegmentSystem, name: string, bytes: number): void {
  const { account } = system.domain(name);
  charge(system.space, account, RESOURCE.memory, left(system.space, account, RESOURCE.memory) - bytes);
}
const used = (system: SegmentSystem, name: string): number =>
  usedOf(system.space, system.domain(name).account, RESOURCE.memory);

test('a file far larger than the memory of who reads it, and than the space, is read through pointers', async () => {
  const bytes = 128 * MIB + 100;
  const system = new SegmentSystem({}, SPACE_MIN_FRAMES);
  await system.domains('a', 'b');
  const before = used(system, 'a');
  leave(system, 'a', 4 * MIB);
  const start = used(system, 'a');
  const { handle, file } = system.over('a', bytes);
  const at = system.map('a', handle, false);
  let sum = 0;
  const words = Math.floor(bytes / 4);
  for (let i = 0; i < words; i++) sum = (sum + wordAt(4 * i)) | 0;
  assert.equal(system.call('a', 'sum', at, words), sum);
  assert.ok(used(system, 'a') <= start + 4 * MIB && used(system, 'a') > before);
  assert.ok(file.reads < 2 * Math.ceil(bytes / FRAME_BYTES), `${file.reads} reads`);
  assert.ok(system.space.frames.usedCount < 400, `${system.space.frames.usedCount} frames`);
  assert.equal(system.call('a', 'get', at + bytes - 4), wordAt(bytes - 4));
  assert.equal(system.call('a', 'get', at + bytes - 3), 'out of bounds memory access');
  // A stretch of several frames, which need not be there together.
  system.call('a', 'copy', 1024, at + 100 * MIB - 50_000, 100_000);
  for (const i of [0, 49_999, 50_000, 99_999])
    assert.equal(system.call('a', 'get8', 1024 + i), byteAt(100 * MIB - 50_000 + i));
  assert.equal(system.call('a', 'copy', 1024, at + 10 * MIB, 120_000), undefined);
  system.ok('a', 'cap_close', handle);
  system.ok('a', 'seg_unmap', at);
  assert.equal(used(system, 'a'), start);
  assert.ok(file.closed);
});

test('what was shown is there until the next call, though it was dropped for what was asked for behind it', async () => {
  const { system, at } = await over(3 * FRAME_BYTES);
  leave(system, 'a', FRAME_BYTES);
  assert.equal(system.call('a', 'again', at, at + FRAME_BYTES), wordAt(0));
  assert.equal(system.call('a', 'again', at + FRAME_BYTES, at + 2 * FRAME_BYTES), wordAt(FRAME_BYTES));
  assert.equal(system.call('a', 'get', at), wordAt(0));
  leave(system, 'a', 0);
  assert.equal(system.call('a', 'get', at + FRAME_BYTES), wordAt(FRAME_BYTES), 'in the place of the other');
});

test('a space that is full of what can be read again has room for other things', async () => {
  const system = new SegmentSystem({}, SPACE_MIN_FRAMES);
  await system.domains('a', 'b');
  const { handle } = system.over('a', 200 * MIB);
  const at = system.map('a', handle, false);
  const other = system.map('b', system.over('b', 30 * MIB).handle, false);
  system.call('b', 'sum', other, (30 * MIB) / 4);
  for (let i = 0; i < 200; i++) assert.equal(system.call('a', 'get', at + i * MIB), wordAt(i * MIB));
  let sum = 0;
  for (let i = 0; i < 200 * MIB; i += 4) sum = (sum + wordAt(i)) | 0;
  assert.equal(system.call('a', 'sum', at, (200 * MIB) / 4), sum);
  assert.equal(system.call('b', 'get', other + MIB), wordAt(MIB));
  assert.ok(system.map('b', system.ok('b', 'seg_create', 2_000_000n)) > 0);
});

test('who has no room for a frame is told so, and nobody else is', async () => {
  const { system, at, handle } = await over(3 * FRAME_BYTES);
  const near = system.map('b', system.pass('a', handle, 'b'), false);
  leave(system, 'a', 0);
  assert.equal(system.call('a', 'get', at), unreadable(ERRNO.DQUOT));
  assert.equal(system.call('b', 'get', near), unreadable(ERRNO.DQUOT), 'its payer is another');
  // Reading by a call needs no frame.
  assert.equal(
    system.ok('b', 'seg_read', handle === 0 ? 0 : system.pass('a', handle, 'b'), 70_000n, 200, 4),
    4,
  );
  assert.equal(system.call('b', 'get', 200), wordAt(70_000));
  const other = system.over('b', FRAME_BYTES);
  assert.equal(system.call('b', 'get', system.map('b', other.handle, false)), wordAt(0));
  assert.equal(
    system.call('a', 'seg_map', handle, 0n, 100n, 3, 0),
    -ERRNO.DQUOT,
    'to be written it is charged whole',
  );
});

test('what is written stays, in the space alone; what is not is read again after a crash', async () => {
  const { system, at, file, handle } = await over(300_000, true);
  assert.equal(system.call('a', 'get', at + 200_000), wordAt(200_000));
  system.call('a', 'set', at + 100, 7);
  system.call('a', 'fill', at + 2 * FRAME_BYTES - 10, 9, 20);
  const marked = system.space.dirty.any();
  assert.ok(marked);
  system.checkpoint();
  const pages = system.pages.size;
  for (let i = 0; i < 300_000; i += 4096) system.call('a', 'get', at + i);
  system.checkpoint();
  assert.ok(system.pages.size < pages + 10, 'what was only read is in no checkpoint');
  system.crash();
  assert.equal(system.call('a', 'get', at + 100), 7);
  assert.equal(system.call('a', 'get', at + 104), wordAt(104));
  assert.equal(system.call('a', 'get8', at + 2 * FRAME_BYTES + 9), 9);
  assert.equal(system.call('a', 'get8', at + 2 * FRAME_BYTES + 10), byteAt(2 * FRAME_BYTES + 10));
  const copy = system.ok('a', 'seg_copy', handle);
  const other = system.map('b', system.pass('a', copy, 'b'), false);
  system.call('a', 'set', at + 100, 8);
  assert.equal(system.call('b', 'get', other + 100), 7);
  assert.equal(system.call('b', 'get', other + 200_000), wordAt(200_000));
  // The file is another by now: what was written is there, and what was not is not.
  system.checkpoint();
  system.crash();
  file.modifiedNs++;
  assert.equal(system.call('a', 'get', at + 104), wordAt(104));
  assert.equal(system.call('a', 'get', at + 200_000), unreadable(ERRNO.STALE));
  assert.equal(system.call('b', 'get', other + 104), wordAt(104));
  assert.equal(system.call('b', 'get', other + 200_000), unreadable(ERRNO.STALE));
});

test('a file that was cut, written, exchanged, lost or taken away ends what was not read, and nothing else', async () => {
  for (const [how, errno] of [
    ['cut', ERRNO.STALE],
    ['written', ERRNO.STALE],
    ['exchanged', ERRNO.STALE],
    ['lost', ERRNO.STALE],
    ['failing', ERRNO.IO],
    ['revoked', ERRNO.REVOKED],
  ] as const) {
    const { system, at, handle, file, held } = await over(300_000);
    assert.equal(system.call('a', 'get', at), wordAt(0));
    if (how === 'cut') file.bytes = 100_000;
    else if (how === 'written') file.modifiedNs++;
    else if (how === 'exchanged') file.inode++;
    else if (how === 'lost') system.ports.objects.clear();
    else if (how === 'failing') file.failing = -ERRNO.IO;
    else system.kernel.core.capabilities.revoke(held.capability);
    assert.equal(system.call('a', 'get', at + 200_000), unreadable(errno), how);
    assert.equal(system.call('a', 'copy', 0, at + 60_000, 10_000), unreadable(errno), how);
    assert.equal(system.call('a', 'seg_read', handle, 200_000n, 0, 4), -errno, how);
    assert.equal(system.call('a', 'seg_write', handle, 200_000n, 0, 4), -errno, how);
    assert.equal(system.call('a', 'get', at), wordAt(0), `${how}: what is there is there`);
    assert.equal(system.ok('a', 'seg_read', handle, 8n, 0, 4), 4);
    assert.equal(system.call('a', 'get', 0), wordAt(8));
  }
});

test('one that is mapped to be written has its bytes in their places, and grows by zeros', async () => {
  const { system, at, handle } = await over(100_000, true);
  assert.equal(system.ok('a', 'seg_grow', handle, 400_000n), 0);
  const all = system.map('a', handle, true);
  for (const i of [0, 65_534, 99_996]) assert.equal(system.call('a', 'get', all + i), wordAt(i));
  assert.equal(system.call('a', 'get', all + 100_000), 0);
  assert.equal(system.call('a', 'get', all + 399_996), 0);
  assert.equal(system.call('a', 'between', at + 65_534, all + 65_534, 5), 5);
  assert.equal(system.call('a', 'between', all + 300_000, at + 10, 5), 0);
  const before = used(system, 'b');
  const copy = system.pass('a', system.ok('a', 'seg_copy', handle), 'b');
  assert.equal(system.call('b', 'get', system.map('b', copy, false) + 65_534), 5);
  assert.equal(used(system, 'b'), before);
});

test('a small file, an empty one, and one larger than a space can be', async () => {
  const { system, at } = await over(10, true);
  assert.equal(system.call('a', 'get', at + 6), wordAt(6));
  system.call('a', 'set', at + 6, 1);
  assert.equal(system.call('a', 'get', at + 6), 1);
  const empty = system.over('a', 0);
  assert.equal(system.call('a', 'seg_size', empty.handle), 0);
  assert.equal(system.call('a', 'seg_map', empty.handle, 0n, 0n, 1, 0), -ERRNO.INVAL);
  assert.equal(system.over('a', 2 ** 40).handle, -ERRNO.FBIG);
});
