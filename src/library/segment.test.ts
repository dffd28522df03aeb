/** Memory of the owner's that programs share, and programs that find it mapped. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { folderFor } from '../base/folder.testing.ts';
import { Segment, Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';

/** Knows nothing of Perdure: adds 1 to the number at the near address that it is called with, gives what it was. */
const ADDER = `(module (memory (export "memory") 1)
  (func (export "gate:add") (param $at i32) (result i32) (local $was i32)
    (local.set $was (i32.load (local.get $at)))
    (i32.store (local.get $at) (i32.add (local.get $was) (i32.const 1)))
    (local.get $was))
  (func (export "gate:read") (param $at i32) (result i32) (i32.load (local.get $at))))`;
/** Where the first is mapped. */
const FIRST = 0x8001_0000 | 0;
let adder: Uint8Array;

before(async () => {
  adder = await wat(ADDER);
});

test('what a program does to a segment its owner sees, and another program; a restart changes nothing', async (t) => {
  const folder = folderFor(t);
  let text: string;
  {
    await using space = await Space.open(folder);
    await using board = await space.segment(100_000);
    assert.equal(await board.size(), 100_000);
    await board.write(Uint8Array.of(41, 0, 0, 0));
    const a = await space.spawn(adder, { name: 'a', map: { board } });
    const b = await space.spawn(adder, { name: 'b', map: { board: a.granted('board') } });
    const c = await space.spawn(adder, { name: 'c', map: { board: { of: board, readOnly: true } } });
    assert.equal(await a.call('add', [FIRST]), 41);
    assert.equal(await b.call('add', [FIRST]), 42);
    assert.equal(await c.call('read', [FIRST]), 43);
    await assert.rejects(c.call('add', [FIRST]), { code: 'call' });
    assert.match((await c.ended()).reason ?? '', /out of bounds/);
    assert.deepEqual(await board.read(0, 4), Uint8Array.of(43, 0, 0, 0));
    assert.equal((await board.read(99_990)).length, 10, 'to its end');
    const { mappings, capabilities } = await b.inspect();
    const object = capabilities.find(({ name }) => name === 'board')?.object;
    assert.deepEqual(mappings, [{ address: FIRST >>> 0, bytes: 100_000, offset: 0, writable: true, object }]);
    text = await board.sturdy();
  }
  await using space = await Space.open(folder);
  assert.equal(await (await space.get('a')).call('add', [FIRST]), 43);
  assert.equal(await (await space.get('b')).call('read', [FIRST]), 44);
  await using again = await space.restore(text);
  assert.deepEqual(await Segment.from(again).read(0, 4), Uint8Array.of(44, 0, 0, 0));
  await assert.rejects(Segment.from(await space.hold(await space.get('a'))).size(), {
    code: 'no-capability',
  });
  const late = await space.spawn(adder, { name: 'late', map: { board: again } });
  assert.equal(await late.call('read', [FIRST]), 44);
});

test('memory that is made for a program is its own, and what is revoked is gone from all at once', async (t) => {
  await using space = await Space.open(folderFor(t));
  const bytes = Uint8Array.of(7, 0, 0, 0);
  const program = await space.install(adder, { windows: true });
  const own = await space.spawn(program, { map: { one: bytes, two: 10 } });
  const other = await space.spawn(program, { map: { one: bytes } });
  assert.equal(await own.call('add', [FIRST]), 7);
  assert.equal(await other.call('add', [FIRST]), 7);
  assert.equal(await own.call('add', [FIRST + 2 * 65536]), 0);
  await using board = await space.segment(bytes);
  await using lent = await board.derive();
  const borrower = await space.spawn(adder, { map: { board: lent } });
  assert.equal(await borrower.call('read', [FIRST]), 7);
  await lent.revoke();
  await assert.rejects(borrower.call('read', [FIRST]), { code: 'call' });
  assert.deepEqual(await board.read(), bytes);
});

test('what cannot be is refused with a code, and leaves no program', async (t) => {
  await using space = await Space.open(folderFor(t));
  const board = await space.segment(8);
  const other = await space.spawn(adder);
  const refused = (
    map: NonNullable<Parameters<Space['spawn']>[1]>['map'],
    code: string,
    more = {},
  ): Promise<void> => assert.rejects(space.spawn(adder, { name: 'x', map: map!, ...more }), { code });
  await refused({ 'a-b': 8 }, 'bad-name');
  await refused({ a: 0 }, 'bad-mapping');
  await refused({ a: 1.5 }, 'bad-mapping');
  await refused({ a: other }, 'bad-mapping');
  await refused({ a: 2 ** 32 }, 'bad-mapping');
  await refused({ a: 1 << 20 }, 'memory-limit', { memoryLimitBytes: 1 << 17 });
  await refused({ a: board }, 'bad-mapping', { isolation: 'process' });
  await refused({ a: other.granted('nothing') }, 'no-capability');
  assert.deepEqual(
    (await space.list()).map(({ name }) => name),
    ['program'],
  );
  await assert.rejects(board.write(new Uint8Array(9)), { code: 'bad-argument' });
  await assert.rejects(board.write(new Uint8Array(1), -1), { code: 'bad-argument' });
  await assert.rejects(board.read(0, 4, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(space.segment(-1), { code: 'bad-argument' });
  await board[Symbol.asyncDispose]();
  await assert.rejects(board.size(), { code: 'not-held' });
});
