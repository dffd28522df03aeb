import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIRST_FREE_ADDRESS, FLAG_ADDRESS, FRAME_TABLE_ADDRESS, MARKS_ADDRESS } from '../abi/layout.ts';
import { FRAME_BYTES, PAGE_BYTES, SPACE_MIN_FRAMES } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { SpaceFullError } from './errors.ts';
import { OWNER, OWNER_VOLATILE } from './frames.ts';
import { bytes, defineRecord, i32, num, nums, u8, u16, u32, u64 } from './records.ts';
import { MARK_SLOP, type PageImage, Space } from './space.ts';
import { ROOT, SPACE_VERSION, Superblock } from './superblock.ts';
import { RecordTable } from './table.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
const random = (): Prng => {
  console.log(`PERDURE_SEED=${seed}`);
  return new Prng(seed);
};

/** A store as the engine keeps one: pages by number, absent ones zero. */
function applyCut(space: Space, store: Map<number, Uint8Array>): void {
  const { pages, freed } = space.dirty.collect();
  const data = space.dirty.copyPages(pages);
  for (const [i, page] of pages.entries()) {
    store.set(page, data.slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES));
  }
  for (const page of freed) assert.ok(store.delete(page), 'only pages the store may hold are freed');
}
function reload(store: Map<number, Uint8Array>): Space {
  return Space.load([...store].map(([page, data]): PageImage => ({ page, bytes: data })));
}

test('extents never overlap, are zero when given, and are found again from the frame table', () => {
  const prng = random();
  const space = Space.create();
  const live = new Map<number, { count: number; owner: number; tag: number }>();
  for (let step = 0; step < 3000; step++) {
    if (live.size > 0 && prng.chance(0.45)) {
      const [address, extent] = prng.pick([...live]);
      const end = address + extent.count * FRAME_BYTES;
      assert.equal(space.u32[address >> 2], extent.tag);
      assert.equal(space.u32[(end >> 2) - 1], extent.tag);
      if (prng.chance(0.3)) {
        const more = 1 + prng.below(4);
        if (space.frames.growInPlace(address, extent.count, extent.count + more)) {
          assert.equal(space.u32[(end + more * FRAME_BYTES - 4) >> 2], 0, 'what is added is zero');
          space.u32[(end >> 2) - 1] = 0;
          extent.count += more;
          space.u32[((address + extent.count * FRAME_BYTES) >> 2) - 1] = extent.tag;
          assert.equal(space.frames.ownerAt(end), extent.owner);
        }
      } else {
        space.frames.free(address, extent.count);
        live.delete(address);
      }
    } else {
      const count = 1 + prng.below(prng.chance(0.1) ? 60 : 5);
      const owner = OWNER.domain | (step & 0xffff);
      const address = space.frames.alloc(count, owner);
      assert.equal(address % FRAME_BYTES, 0);
      assert.ok(address >= FIRST_FREE_ADDRESS);
      assert.equal(space.u32[address >> 2], 0);
      assert.equal(space.u32[((address + count * FRAME_BYTES) >> 2) - 1], 0);
      for (const [other, { count: n }] of live) {
        assert.ok(address + count * FRAME_BYTES <= other || other + n * FRAME_BYTES <= address);
      }
      space.u32[address >> 2] = step + 1;
      space.u32[((address + count * FRAME_BYTES) >> 2) - 1] = step + 1;
      live.set(address, { count, owner, tag: step + 1 });
    }
    const used = [...live.values()].reduce((sum, e) => sum + e.count, 0);
    assert.equal(space.frames.usedCount, used);
  }
  const free = space.frames.freeCount;
  space.frames.rebuild();
  assert.equal(space.frames.freeCount, free);
  for (const [address, { count }] of live) space.frames.free(address, count);
  assert.equal(space.frames.usedCount, 0);
});

test('the space grows on demand and says when it is full', () => {
  const space = Space.create({ maxFrames: SPACE_MIN_FRAMES + 64 });
  const first = space.frames.alloc(SPACE_MIN_FRAMES - FIRST_FREE_ADDRESS / FRAME_BYTES, OWNER.domain | 1);
  const second = space.frames.alloc(60, OWNER.domain | 2);
  assert.equal(second, SPACE_MIN_FRAMES * FRAME_BYTES);
  assert.throws(() => space.frames.alloc(5, OWNER.domain | 3), SpaceFullError);
  assert.equal(space.frames.growInPlace(second, 60, 65), false);
  assert.ok(space.frames.growInPlace(second, 60, 64));
  space.frames.free(first, 10);
  assert.equal(space.frames.alloc(10, OWNER.domain | 3), first, 'what was freed is given again');
});

test('heap blocks come zeroed, keep their bytes, and leave nothing behind', () => {
  const prng = random();
  const space = Space.create();
  const live = new Map<number, Uint8Array>();
  const check = (at: number): void => {
    const want = live.get(at) as Uint8Array;
    assert.deepEqual(space.readBytes(at, want.length), want);
  };
  for (let step = 0; step < 20000; step++) {
    const grow = prng.chance(step < 12000 ? 0.6 : 0.3);
    if (grow || live.size === 0) {
      const size = prng.chance(0.02) ? prng.below(300000) : prng.below(prng.chance(0.1) ? 33000 : 400);
      const at = space.heap.alloc(size);
      assert.equal(at % 16, 0);
      assert.ok(space.heap.blockBytes(at) >= size);
      assert.ok(
        space.u8.subarray(at, at + size).every((b) => b === 0),
        'a block is zero',
      );
      const data = new Uint8Array(size).fill((step % 255) + 1);
      space.writeBytes(at, data);
      live.set(at, data);
    } else {
      const at = [...live.keys()][prng.below(Math.min(live.size, 50))] as number;
      check(at);
      if (prng.chance(0.2)) {
        const old = live.get(at) as Uint8Array;
        const to = space.heap.resize(at, old.length * 2 + 1);
        live.delete(at);
        live.set(to, old);
        check(to);
      } else {
        space.heap.free(at);
        live.delete(at);
      }
    }
    assert.equal(space.heap.blockCount, live.size);
  }
  for (const at of live.keys()) check(at);
  for (const at of live.keys()) space.heap.free(at);
  assert.equal(space.heap.blockCount, 0);
  assert.equal(space.heap.usedBytes, 0);
  assert.ok(space.frames.usedCount <= 40, 'at most one empty frame a size class is kept');
});

test('heap blocks of different sizes never overlap', () => {
  const prng = random();
  const space = Space.create();
  const spans: [number, number][] = [];
  for (let i = 0; i < 2000; i++) {
    const at = space.heap.alloc(prng.below(40000));
    spans.push([at, space.heap.blockBytes(at)]);
  }
  spans.sort((a, b) => a[0] - b[0]);
  for (let i = 1; i < spans.length; i++) {
    const [before, now] = [spans[i - 1] as [number, number], spans[i] as [number, number]];
    assert.ok(before[0] + before[1] <= now[0]);
  }
});

test('record fields are aligned, apart from each other, and keep what is set', () => {
  const R = defineRecord('test', {
    a: u8('owner', ''),
    b: u16('owner', ''),
    c: u32('owner', ''),
    d: u64('owner', ''),
    e: num('owner', ''),
    f: nums(3, 'owner', ''),
    g: bytes(20, 'owner', ''),
    h: i32('owner', ''),
  });
  const space = Space.create();
  const at = space.heap.alloc(R.bytes);
  const f = R.fields;
  f.a.set(space, at, 0x1ff);
  f.b.set(space, at, 0xabcd);
  f.c.set(space, at, 0xffffffff);
  f.d.set(space, at, 0xfedcba9876543210n);
  f.e.set(space, at, Number.MAX_SAFE_INTEGER);
  for (let i = 0; i < 3; i++) f.f.set(space, at, i, 2 ** 40 + i);
  f.g.set(space, at, new Uint8Array(20).fill(9));
  f.h.set(space, at, -5);
  assert.equal(f.a.get(space, at), 0xff);
  assert.equal(f.b.get(space, at), 0xabcd);
  assert.equal(f.c.get(space, at), 0xffffffff);
  assert.equal(f.d.get(space, at), 0xfedcba9876543210n);
  assert.equal(f.e.get(space, at), Number.MAX_SAFE_INTEGER);
  for (let i = 0; i < 3; i++) assert.equal(f.f.get(space, at, i), 2 ** 40 + i);
  assert.deepEqual(f.g.get(space, at), new Uint8Array(20).fill(9));
  f.g.set(space, at, new Uint8Array([1]));
  assert.deepEqual(f.g.get(space, at).subarray(0, 3), new Uint8Array([1, 0, 0]));
  assert.equal(f.h.get(space, at), -5);
  assert.throws(() => f.e.set(space, at, -1), /whole number/);
  assert.throws(() => f.e.set(space, at, 2 ** 53), /whole number/);
});

test('rows of a table keep address and contents, and freed rows are used again', () => {
  const prng = random();
  const space = Space.create();
  let table = RecordTable.open(space, ROOT.user, 40);
  const live = new Map<number, number>();
  for (let step = 0; step < 5000; step++) {
    if (live.size > 0 && prng.chance(0.45)) {
      const [row, value] = prng.pick([...live]);
      assert.equal(space.getNumber(table.address(row)), value);
      table.remove(row);
      live.delete(row);
    } else {
      const row = table.insert();
      assert.ok(!live.has(row));
      assert.equal(space.getNumber(table.address(row)), 0, 'a row comes zeroed');
      space.setNumber(table.address(row), step + 1);
      live.set(row, step + 1);
    }
    if (step % 1000 === 0) table = RecordTable.open(space, ROOT.user, 40);
  }
  assert.equal(table.liveCount, live.size);
  assert.deepEqual(
    [...table.rows()],
    [...live.keys()].sort((a, b) => a - b),
  );
  assert.equal(table.isLive(1e6), false);
});

test('segments read as what was written to them, over every size and hole', () => {
  const prng = random();
  const space = Space.create({ id: new Uint8Array(16).fill(7) });
  const model = new Map<number, Uint8Array>();
  const scratch = space.frames.alloc(8, OWNER.domain | 1);
  for (let step = 0; step < 1500; step++) {
    const kind = prng.below(10);
    if (model.size === 0 || kind === 0) {
      model.set(space.segments.create(), new Uint8Array(0));
    } else {
      const [segment, bytes] = prng.pick([...model]);
      const span = prng.chance(0.5) ? 20000 : 400000;
      const offset = prng.below(span);
      if (kind < 5) {
        const data = new Uint8Array(prng.below(prng.chance(0.5) ? 100 : 200000)).fill(1 + (step % 255));
        if (prng.chance(0.5)) {
          space.segments.writeBytes(segment, offset, data);
        } else {
          space.writeBytes(scratch, data);
          space.segments.write(segment, offset, scratch, data.length);
        }
        const size = data.length === 0 ? bytes.length : Math.max(bytes.length, offset + data.length);
        const next = new Uint8Array(size);
        next.set(bytes);
        if (data.length > 0) next.set(data, offset);
        model.set(segment, next);
      } else if (kind < 7) {
        space.segments.truncate(segment, offset);
        const next = new Uint8Array(offset);
        next.set(bytes.subarray(0, offset));
        model.set(segment, next);
      } else if (kind === 7) {
        const act = prng.below(4);
        if (act === 0) {
          space.segments.destroy(segment);
          model.delete(segment);
        } else if (act === 1) {
          for (const each of space.segments.all()) space.segments.compact(each);
        } else if (model.size < 20) {
          model.set(space.segments.copy(segment), bytes.slice());
        }
      } else {
        const length = prng.below(100000);
        const want = bytes.subarray(offset, offset + length);
        assert.deepEqual(space.segments.readBytes(segment, offset, length), Uint8Array.from(want));
        space.u8.fill(0xee, scratch, scratch + length);
        assert.equal(space.segments.read(segment, offset, scratch, length), want.length);
        assert.deepEqual(space.readBytes(scratch, want.length), Uint8Array.from(want));
        assert.ok(length === want.length || space.u8[scratch + want.length] === 0xee, 'not a byte more');
      }
    }
  }
  for (const [segment, bytes] of model) {
    assert.equal(space.segments.size(segment), bytes.length);
    assert.deepEqual(space.segments.readBytes(segment, 0, bytes.length), bytes);
  }
  const blocks = space.heap.blockCount;
  assert.equal(space.segments.count, model.size);
  for (const segment of model.keys()) space.segments.destroy(segment);
  assert.ok(space.heap.blockCount < blocks);
  assert.equal(space.segments.count, 0);
  assert.equal(space.frames.ownedBy(OWNER.segment).length, 0);
});

test('a copy costs its list, and each of those that share a frame goes on with what it has when one is written', () => {
  const space = Space.create();
  const { segments, frames } = space;
  const first = segments.create();
  const size = 100 * FRAME_BYTES;
  segments.writeBytes(first, 0, new Uint8Array(size).fill(1));
  const before = frames.usedCount;
  const copies = [1, 2, 3].map(() => segments.copy(first));
  assert.ok(frames.usedCount - before <= 1, 'no frame is copied');
  segments.writeBytes(first, 5 * FRAME_BYTES - 1, new Uint8Array(2).fill(2));
  assert.ok(frames.usedCount - before <= 3, 'two are');
  segments.truncate(copies[0]!, 10 * FRAME_BYTES + 7);
  segments.destroy(first);
  for (const copy of copies) {
    const bytes = segments.readBytes(copy, 0, size);
    assert.equal(bytes.length, segments.size(copy));
    assert.ok(bytes.every((byte) => byte === 1));
    segments.destroy(copy);
  }
  assert.equal(frames.ownedBy(OWNER.segment).length, 0);
});

test('a segment that finds no room is left as it was', () => {
  const space = Space.create({ maxFrames: SPACE_MIN_FRAMES });
  const segment = space.segments.create();
  space.segments.writeBytes(segment, 0, new Uint8Array(100).fill(5));
  const room = space.frames.freeCount;
  space.frames.alloc(room - 4, OWNER.domain | 1);
  const from = FIRST_FREE_ADDRESS;
  assert.throws(() => space.segments.write(segment, 0, from, 10 * FRAME_BYTES), SpaceFullError);
  assert.equal(space.segments.size(segment), 100);
  assert.deepEqual(space.segments.readBytes(segment, 0, 100), new Uint8Array(100).fill(5));
  assert.throws(() => space.segments.truncate(segment, 2 ** 50), SpaceFullError);
  assert.equal(space.segments.size(segment), 100);
});

test('what the cuts hold makes the same space again, at every cut', () => {
  const prng = random();
  let space = Space.create({ id: new Uint8Array(16).fill(1) });
  const store = new Map<number, Uint8Array>();
  let blocks: [number, Uint8Array][] = [];
  for (let cut = 0; cut < 30; cut++) {
    for (let step = 0; step < 40; step++) {
      if (prng.chance(0.5) || blocks.length === 0) {
        const data = new Uint8Array(1 + prng.below(prng.chance(0.1) ? 200000 : 3000)).fill(
          1 + prng.below(255),
        );
        blocks.push([space.heap.allocBytes(data), data]);
      } else {
        const [gone] = blocks.splice(prng.below(blocks.length), 1);
        space.heap.free((gone as [number, Uint8Array])[0]);
      }
    }
    applyCut(space, store);
    if (prng.chance(0.5)) {
      const before = space;
      space = reload(store);
      assert.equal(space.heap.usedBytes, before.heap.usedBytes);
      assert.equal(space.frames.usedCount, before.frames.usedCount);
      for (const [at, data] of blocks) assert.deepEqual(space.readBytes(at, data.length), data);
      // Nothing else differs either, the marks and the safepoint word apart.
      for (let page = FRAME_TABLE_ADDRESS; page < space.byteLength; page += PAGE_BYTES) {
        const [a, b] = [
          space.u8.subarray(page, page + PAGE_BYTES),
          before.u8.subarray(page, page + PAGE_BYTES),
        ];
        assert.ok(Buffer.compare(a, b) === 0, `page at ${page}`);
      }
    }
  }
  for (const [at] of blocks) space.heap.free(at);
  blocks = [];
  assert.equal(space.heap.blockCount, 0);
});

test('a mark of a program stands for the neighbouring pages, one of the kernel only for its own', () => {
  const space = Space.create();
  const at = space.frames.alloc(2, OWNER.domain | 1);
  space.dirty.collect();
  const page = at / PAGE_BYTES + 3;
  space.u8[MARKS_ADDRESS + page] = MARK_SLOP;
  space.setU8((page + 8) * PAGE_BYTES, 1);
  assert.deepEqual([...space.dirty.collect().pages], [page - 1, page, page + 1, page + 8]);
  assert.equal(space.dirty.any(), false);
  assert.deepEqual([...space.dirty.collect().pages], []);
});

test('frames of volatile owners and free frames are in no cut', () => {
  const space = Space.create();
  const store = new Map<number, Uint8Array>();
  const volatile = space.frames.alloc(1, (OWNER.domain | OWNER_VOLATILE | 1) >>> 0);
  const kept = space.frames.alloc(1, OWNER.domain | 2);
  space.setU8(volatile, 1);
  space.setU8(kept, 1);
  applyCut(space, store);
  assert.ok(store.has(kept / PAGE_BYTES));
  assert.ok(!store.has(volatile / PAGE_BYTES));
  space.setU8(kept + 5000, 1);
  space.frames.free(kept, 1);
  applyCut(space, store);
  assert.ok(!store.has(kept / PAGE_BYTES), 'a freed page is dropped from the store');
  assert.equal(reload(store).u8[kept], 0);
});

test('a checkpoint that is not one of a space is refused', () => {
  const page = (n: number): PageImage => ({ page: n, bytes: new Uint8Array(PAGE_BYTES) });
  assert.throws(() => Space.load([page(0)]), /does not begin/);
  assert.throws(() => Space.load([page(1e9)]), /cannot be in a space/);
  assert.throws(() => Space.load([page(-1)]), /cannot be in a space/);
  assert.throws(() => Space.load([{ page: 0, bytes: new Uint8Array(5) }]), /cannot be in a space/);
  assert.throws(
    () => Space.load([page(16 * 70000)], { maxFrames: SPACE_MIN_FRAMES }),
    /past the most memory/,
  );
  const space = Space.create();
  const store = new Map<number, Uint8Array>();
  Superblock.fields.version.set(space, 0, SPACE_VERSION + 1);
  applyCut(space, store);
  assert.throws(() => reload(store), /space version/);
  Superblock.fields.version.set(space, 0, 1);
  applyCut(space, store);
  assert.equal(Superblock.fields.version.get(reload(store), 0), SPACE_VERSION, 'an older one is taken over');
});

test('the safepoint word of a checkpoint is forgotten', () => {
  const space = Space.create();
  const store = new Map<number, Uint8Array>();
  space.setU32(FLAG_ADDRESS, 1);
  applyCut(space, store);
  assert.equal(reload(store).i32[FLAG_ADDRESS >> 2], 0);
});
