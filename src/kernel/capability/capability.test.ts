import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { HANDLE_TAGS, OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { CAPABILITIES_MAX, CAPABILITY_DEPTH_MAX, GRANTS_MAX } from '../../base/limits.ts';
import { defineRecord, RecordTable, Space, u32 } from '../../space/index.ts';
import type { Domain } from '../domain.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { epochOf } from './epoch.ts';
import { Objects } from './objects.ts';

const PROGRAM = program('(module (memory 1) (func (export "_start")))');

/** Two domains; `a` has an object. */
async function two(more: object = {}) {
  const system = new TestSystem();
  const module = await PROGRAM;
  system.add('a', module, more);
  system.add('b', module);
  const of = (name: string): Domain => system.kernel.core.peek(system.kernel.find(name)) as Domain;
  const clists = () => system.kernel.core.clists;
  return { system, of, clists, handle: clists().make(of('a'), OBJECT.table) };
}

test('revoking costs the same whatever was derived and passed on, and all of it is revoked', async () => {
  const { system, of, clists, handle } = await two();
  const written = (): number => {
    const cut = system.kernel.cut();
    return cut?.pages.length ?? 0;
  };
  const costs: number[] = [];
  for (const count of [1, 10_000]) {
    const passed: number[] = [];
    let from = handle;
    for (let i = 0; i < count; i++) {
      from = clists().derive(of('a'), i % 60 === 0 ? handle : from, RIGHTS_ALL, 0n);
      assert.ok(from > 0);
      passed.push(clists().pass(of('a'), from, of('b'), RIGHTS_ALL));
    }
    written();
    assert.equal(clists().revoke(of('a'), handle), 0);
    costs.push(written());
    for (const each of passed) assert.equal(clists().find(of('b'), each), -ERRNO.REVOKED);
    assert.ok(typeof clists().find(of('a'), handle) !== 'number', 'who revoked goes on to have it');
  }
  assert.deepEqual(costs, [costs[0], costs[0]]);
  assert.ok(costs[0]! <= 4, `${costs[0]} pages: the epoch, the record, the place, the superblock`);
});

test('what was passed on cannot revoke; what was derived is revoked apart, by who derived it', async () => {
  const { of, clists, handle } = await two();
  const there = clists().pass(of('a'), handle, of('b'), RIGHTS_ALL);
  assert.equal(clists().revoke(of('b'), there), -ERRNO.NOTCAPABLE);
  const derived = clists().derive(of('b'), there, RIGHT.read, 7n);
  const found = clists().find(of('b'), derived);
  assert.ok(typeof found !== 'number');
  assert.deepEqual([found.badge, found.rights], [7n, RIGHT.read | RIGHT.revoke]);
  assert.equal(
    clists().pass(of('b'), derived, of('a'), RIGHTS_ALL),
    -ERRNO.NOTCAPABLE,
    'it was not to be shared',
  );
  const copy = clists().copy(of('b'), derived, RIGHTS_ALL);
  assert.equal(clists().revoke(of('b'), derived), 0);
  assert.equal(clists().find(of('b'), copy), -ERRNO.REVOKED);
  assert.ok(typeof clists().find(of('b'), there) !== 'number');
});

test('nobody passes for another: a badge is given once', async () => {
  const { of, clists, handle } = await two();
  const badged = clists().derive(of('a'), handle, RIGHTS_ALL, 1n);
  assert.equal(clists().derive(of('a'), badged, RIGHTS_ALL, 2n), -ERRNO.NOTCAPABLE);
  const again = clists().find(of('a'), clists().derive(of('a'), badged, RIGHTS_ALL, 0n));
  assert.ok(typeof again !== 'number' && again.badge === 1n);
});

test('a chain of derivations ends somewhere, and its last is ended by its first', async () => {
  const { of, clists, handle } = await two();
  let last = handle;
  for (let i = 0; i < CAPABILITY_DEPTH_MAX; i++) last = clists().derive(of('a'), last, RIGHTS_ALL, 0n);
  assert.equal(clists().derive(of('a'), last, RIGHTS_ALL, 0n), -ERRNO.DEPTH);
  clists().revoke(of('a'), handle);
  assert.equal(clists().find(of('a'), last), -ERRNO.REVOKED);
});

test('who has used up what it may have is told so, and nobody else', async () => {
  const { of, clists, handle } = await two({ limits: { capabilities: 100 } });
  let made = 0;
  while (clists().copy(of('a'), handle, RIGHTS_ALL) > 0) made++;
  assert.equal(made, 98, 'two were the object');
  assert.equal(clists().derive(of('a'), handle, RIGHTS_ALL, 0n), -ERRNO.DQUOT);
  assert.equal(clists().make(of('a'), OBJECT.table), -ERRNO.DQUOT);
  const there = clists().pass(of('a'), handle, of('b'), RIGHTS_ALL);
  assert.ok(there > 0);
  assert.equal(clists().pass(of('b'), there, of('a'), RIGHTS_ALL), -ERRNO.DQUOT);
  clists().clear(of('a'));
  assert.ok(clists().make(of('a'), OBJECT.table) > 0, 'what is given back can be used again');
  assert.ok(CAPABILITIES_MAX >= 1_000_000);
});

test('a handle that was closed is a bad one, also when its place is taken again', async () => {
  const { of, clists, handle } = await two();
  const seen = new Set<number>();
  for (let i = 0; i < HANDLE_TAGS - 1; i++) {
    const copy = clists().copy(of('a'), handle, RIGHTS_ALL);
    assert.ok(!seen.has(copy));
    seen.add(copy);
    clists().close(of('a'), copy);
    assert.equal(clists().find(of('a'), copy), -ERRNO.BADF);
  }
  for (const bad of [0, -1, -(2 ** 31), 2 ** 31 - 1, handle + 1]) {
    assert.equal(clists().find(of('a'), bad), -ERRNO.BADF);
    assert.equal(clists().close(of('a'), bad), -ERRNO.BADF);
  }
});

test('no handle is given out twice before as many others as the list has places and tags, nor one that is in use', async () => {
  const most = 5;
  const { system, of, clists, handle } = await two({ limits: { capabilities: most } });
  const kept = clists().copy(of('a'), handle, RIGHTS_ALL);
  const given = new Set<number>([handle, kept]);
  const next = (): number => {
    const copy = clists().copy(of('a'), handle, RIGHTS_ALL);
    clists().close(of('a'), copy);
    return copy;
  };
  // Two of the five places are in use all the time.
  for (let i = 0; i < (most - 2) * HANDLE_TAGS; i++) {
    const copy = next();
    assert.ok(copy > 0 && !given.has(copy), `after ${i}`);
    given.add(copy);
    if (i % 1000 === 0) {
      system.checkpoint();
      system.crash();
    }
  }
  const oldest = next();
  assert.ok(given.has(oldest) && oldest !== handle && oldest !== kept, 'then the one of longest ago');
  assert.equal(clists().objectAt(of('a'), kept), clists().objectAt(of('a'), handle));
  clists().close(of('a'), kept);
  assert.ok(!given.has(next()), 'a place that was in use has tags left');
});

test('a kind is told once of the end of an object, by whichever comes first', () => {
  const space = Space.create();
  const objects = new Objects(space);
  const ended: number[] = [];
  objects.onEnd(OBJECT.segment, (object) => {
    objects.retain(object);
    objects.release(object);
    ended.push(objects.a(object));
  });
  const [one, other, third] = [1, 2, 3].map((a) => objects.create(OBJECT.segment, a)) as [
    number,
    number,
    number,
  ];
  for (const object of [one, other]) objects.retain(object);
  const text = objects.idText(other);
  assert.match(text, /^[0-9a-f]{32}$/);
  assert.equal(objects.find(text), other);
  objects.release(one);
  assert.deepEqual(ended, [1]);
  const epoch = epochOf(space);
  objects.destroy(other);
  objects.destroy(other);
  assert.ok(epochOf(space) > epoch && objects.isGone(other));
  assert.equal(objects.find(text), 0);
  objects.destroy(third);
  assert.deepEqual([ended, objects.count], [[1, 2, 3], 1]);
  objects.release(other);
  assert.equal(objects.count, 0);
  assert.notEqual(objects.idText(objects.create(OBJECT.segment)), text, 'no id is used twice');
});

const GUEST = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_copy" (func $copy (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_derive" (func $derive (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "cap_close" (func $close (param i32) (result i32)))
  (import "perdure_kernel" "cap_revoke" (func $revoke (param i32) (result i32)))
  (import "perdure_kernel" "cap_describe" (func $describe (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_count" (func $count (result i32)))
  (memory 1)
  (data (i32.const 16) "thing") (data (i32.const 32) "nothing")
  (func (export "_start") (local $h i32) (local $c i32) (local $d i32)
    (local.set $h (call $granted (i32.const 16) (i32.const 5)))
    (call $log (call $granted (i32.const 32) (i32.const 7)))
    (call $log (call $granted (i32.const 65535) (i32.const 7)))
    (call $log (call $granted (i32.const 0) (i32.const -1)))
    (call $log (call $revoke (local.get $h)))
    (local.set $c (call $copy (local.get $h) (i32.const 0x21)))
    (local.set $d (call $derive (local.get $c) (i32.const -1) (i64.const -5)))
    (call $log (call $describe (local.get $d) (i32.const 100)))
    (call $log (i32.load (i32.const 100)))
    (call $log (i32.load (i32.const 104)))
    (call $log (i32.wrap_i64 (i64.load (i32.const 108))))
    (call $log (i32.load (i32.const 116)))
    (call $log (call $describe (local.get $d) (i32.const 65505)))
    (call $log (call $count))
    (call $log (call $revoke (local.get $d)))
    (call $log (call $close (local.get $c)))
    (call $log (call $close (local.get $c)))
    (drop (call $wait (i32.const 0)))
    (call $log (call $describe (local.get $h) (i32.const 200)))
    (call $log (call $describe (local.get $d) (i32.const 200)))
    (call $log (call $count))))`);

test('a program works with what it was granted, over a crash, and loses it with its domain', async () => {
  const system = new TestSystem();
  const module = await GUEST;
  const target = system.add('target', module);
  const grants = [{ name: 'thing', ...system.kernel.authority.domain(target) }];
  const id = system.add('guest', module, { grants });
  system.kernel.start(id, '_start');
  const n = (errno: number): number => -errno;
  const first = [
    ...[n(ERRNO.NOENT), n(ERRNO.FAULT), n(ERRNO.NOENT), n(ERRNO.NOTCAPABLE)],
    ...[0, OBJECT.domain, RIGHT.read | RIGHT.derive | RIGHT.revoke, -5, 0x05050505, n(ERRNO.FAULT)],
    ...[3, 0, 0, n(ERRNO.BADF)],
  ];
  system.runAll();
  assert.deepEqual(system.values('guest'), first);
  system.checkpoint();
  system.crash();
  system.kernel.remove(target);
  system.personality.open = true;
  system.runAll();
  assert.deepEqual(system.values('guest').slice(first.length), [n(ERRNO.GONE), n(ERRNO.GONE), 2]);
  const { capabilities, objects } = system.kernel.core;
  assert.deepEqual([capabilities.count, objects.count], [0, 0], 'it has ended, and given back what it had');
});

test('volatile domains take what they had with them, and what points at them is gone', async () => {
  const { system, of, clists, handle } = await two();
  const fleeting = system.add('fleeting', await PROGRAM, { volatile: true });
  const held = system.kernel.authority.domain(fleeting);
  const pointing = clists().insert(of('a'), held.capability, held.turn, RIGHTS_ALL);
  const lent = clists().pass(of('a'), handle, of('fleeting'), RIGHTS_ALL);
  const back = clists().pass(
    of('fleeting'),
    clists().derive(of('fleeting'), lent, RIGHTS_ALL, 0n),
    of('b'),
    RIGHTS_ALL,
  );
  system.checkpoint();
  system.crash();
  assert.equal(clists().find(of('a'), pointing), -ERRNO.GONE);
  assert.ok(typeof clists().find(of('b'), back) !== 'number', 'what it had made for others is theirs');
  clists().clear(of('a'));
  clists().clear(of('b'));
  const { capabilities, objects } = system.kernel.core;
  assert.deepEqual([capabilities.count, objects.count], [0, 0]);
});

test('names of grants: given again, too long, too many', async () => {
  const { system, of, clists } = await two();
  const { authority } = system.kernel;
  const id = system.kernel.find('a');
  const held = authority.domain(system.kernel.find('b'));
  const old = authority.grant(id, { name: 'x', ...held });
  const next = authority.grant(id, { name: 'x', ...held, rights: RIGHT.read });
  assert.equal(clists().find(of('a'), old), -ERRNO.BADF);
  assert.ok(typeof clists().find(of('a'), next) !== 'number');
  for (const name of ['', 'y'.repeat(65)]) {
    assert.throws(() => authority.grant(id, { name, ...held }), /nothing can be granted under the name/);
  }
  const count = clists().count(of('a'));
  for (let i = 1; i < GRANTS_MAX; i++) authority.grant(id, { name: `n${i}`, ...held });
  assert.throws(() => authority.grant(id, { name: 'one more', ...held }), /may not have "one more"/);
  assert.equal(clists().count(of('a')), count + GRANTS_MAX - 1, 'a grant that is refused leaves nothing');
  const module = await PROGRAM;
  const grants = [{ name: '', ...held }];
  assert.throws(() => system.kernel.createDomain({ name: 'bad', module, grants }), /nothing can be granted/);
  assert.equal(system.kernel.find('bad'), -1);
});

test('a table of an older version is opened with longer rows, each at its number', () => {
  const space = Space.create();
  const [small, large] = [defineRecord('small', { n: u32('owner', 'A number.') }), 32];
  const old = RecordTable.open(space, 31, small.bytes);
  const rows = Array.from({ length: 2000 }, () => old.insert());
  for (const row of rows) small.fields.n.set(space, old.address(row), row);
  for (const row of rows) if (row % 3 === 0) old.remove(row);
  const [blocks, live] = [space.heap.blockCount, old.liveCount];
  const wide = RecordTable.openWidened(space, 31, large);
  assert.equal(wide.liveCount, live);
  for (const row of wide.rows()) assert.equal(small.fields.n.get(space, wide.address(row)), row);
  assert.ok(rows.every((row) => wide.isLive(row) === (row % 3 !== 0)));
  assert.equal(wide.insert() % 3, 0, 'free rows are used again');
  assert.ok(space.heap.blockCount > blocks, 'longer rows take more room');
  const again = RecordTable.openWidened(space, 31, large);
  assert.equal(again.liveCount, wide.liveCount);
});
