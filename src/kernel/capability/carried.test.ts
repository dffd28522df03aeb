/** What goes with a domain that is carried to another space, and what stays behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import {
  COMPLETION,
  COMPLETION_BYTES,
  OPERATION,
  REQUEST_RELEASED,
  RING_HEADER,
  RING_HEADER_BYTES,
  RING_SERVES,
  STREAM_OFFSET,
  SUBMISSION,
  SUBMISSION_BYTES,
  SUBMIT,
  TABLE_KIND,
} from '../../abi/ring.ts';
import { FRAME_BYTES } from '../../base/limits.ts';
import { accountObject } from '../account/calls.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { RingUser } from '../ring/ring.testing.ts';
import { byteAt } from '../segment/file.testing.ts';
import { PROGRAM, SegmentSystem } from '../segment/segment.testing.ts';
import { counts, domainOf, errno, found } from './carried.testing.ts';

const OUT = 'out of bounds memory access';

/** Carries a domain to another space as a file would. It stays where it was. */
function carry(from: TestSystem, name: string, to: TestSystem, grants: object[] = []): number {
  const domain = domainOf(from, name);
  const image = structuredClone(from.kernel.exportDomain(domain.id));
  to.modules.set(domain.module.hash, domain.module);
  return to.kernel.importDomain(image, domain.module, name, false, grants as []);
}

test('a domain is carried with its segments: handles, pointers, bytes and what was sealed are the same', async () => {
  const system = new SegmentSystem();
  await system.domains('a', 'b');
  const handle = system.ok('a', 'seg_create', 200_000n);
  const at = system.map('a', handle);
  const sealed = system.ok('a', 'seg_create', 5000n);
  const sealedAt = system.map('a', sealed);
  const frozen = system.ok('a', 'seg_create', 100n);
  const closed = system.ok('a', 'seg_create', 70_000n);
  const closedAt = system.map('a', closed, false);
  const theirs = system.ok('b', 'seg_create', 300n);
  const readable = system.pass('b', theirs, 'a', RIGHT.read | RIGHT.map);
  const hidden = system.pass('b', system.ok('b', 'seg_create', 300n), 'a', RIGHT.write | RIGHT.share);
  const inside = system.map('a', readable, false);
  system.call('b', 'set', system.map('b', theirs), 7);
  system.call('a', 'set', at + 150_000, 5);
  system.call('a', 'set', sealedAt, 6);
  system.ok('a', 'seg_seal', sealed);
  system.ok('a', 'seg_freeze', frozen);
  system.ok('a', 'cap_close', closed);
  const before = counts(system);
  const other = new SegmentSystem();
  await other.domains('b');
  // Tables of records come to be with the first of their kind.
  carry(system, 'a', other);
  other.ok('b', 'cap_close', other.pass('a', frozen, 'b'));
  other.kernel.remove(other.kernel.find('a'));
  const empty = counts(other);
  carry(system, 'a', other);
  assert.deepEqual(counts(system), before, 'an export changes nothing');
  assert.equal(other.call('a', 'get', at + 150_000), 5);
  assert.equal(other.call('a', 'get', sealedAt), 6);
  assert.equal(other.call('a', 'set', sealedAt, 1), OUT);
  assert.equal(other.call('a', 'get', inside), 7);
  assert.equal(other.call('a', 'set', inside, 1), OUT);
  assert.equal(other.call('a', 'get', closedAt), 0, 'a mapping holds its segment');
  assert.equal(errno(other, 'a', closed), ERRNO.BADF);
  assert.equal(
    errno(other, 'a', hidden),
    ERRNO.LEFT,
    'what it could not read is not shown to it by carrying it',
  );
  assert.equal(other.call('a', 'seg_write', sealed, 0n, 0, 4), -ERRNO.ROFS);
  const guest = other.pass('a', frozen, 'b');
  assert.equal(other.call('b', 'seg_write', guest, 0n, 0, 4), -ERRNO.BUSY);
  assert.equal(other.call('a', 'seg_thaw', frozen), 0);
  // From here on there are two.
  system.call('b', 'set', system.map('b', theirs), 8);
  other.call('a', 'set', at, 9);
  assert.equal(other.call('a', 'get', inside), 7);
  assert.equal(system.call('a', 'get', at), 0);
  other.checkpoint();
  other.crash();
  other.kernel.compact();
  assert.equal(other.call('a', 'get', at), 9);
  assert.equal(other.call('a', 'get', inside), 7);
  other.kernel.remove(other.kernel.find('a'));
  other.ok('b', 'cap_close', guest);
  assert.deepEqual(counts(other), empty);
});

test('bytes of others and of files of the host come along as its own, where they can be read and there is room', async () => {
  const system = new SegmentSystem();
  await system.domains('b');
  const few = 60 * FRAME_BYTES;
  system.add('a', await PROGRAM, { resident: true, memoryLimitBytes: few });
  const files = [100_000, 20 * FRAME_BYTES, 20 * FRAME_BYTES].map((bytes) => system.over('a', bytes));
  const at = files.map(({ handle }) => system.map('a', handle, true));
  system.call('a', 'set', at[0]! + 70_000, 5);
  files[1]!.file.failing = -ERRNO.IO;
  const [some, all] = [4 * FRAME_BYTES, few].map((bytes) => {
    const theirs = system.ok('b', 'seg_create', BigInt(bytes));
    return system.pass('b', theirs, 'a');
  });
  const shared = system.map('a', some!);
  system.call('a', 'set', shared, 6);
  const before = counts(system);
  const other = new SegmentSystem();
  carry(system, 'a', other);
  assert.deepEqual(counts(system), before);
  assert.equal(other.call('a', 'get', at[0]! + 70_000), 5);
  assert.equal(other.call('a', 'get8', at[0]! + 99_999), byteAt(99_999));
  assert.equal(other.call('a', 'get', shared), 6);
  assert.deepEqual(
    [...files.map(({ handle }) => handle), some!, all!].map((handle) => errno(other, 'a', handle)),
    ['good', ERRNO.LEFT, 'good', 'good', ERRNO.LEFT],
  );
  assert.equal(other.call('a', 'get', at[1]!), OUT);
});

test('capabilities come along with rights, badges and descent; the rest of the list says that it stayed behind', async () => {
  const system = new SegmentSystem();
  await system.domains('a', 'b', 'c');
  const { clists, authority, hosts } = system.kernel.core;
  const [a, c] = [domainOf(system, 'a'), domainOf(system, 'c')];
  const segment = system.ok('a', 'seg_create', 100n);
  const copy = clists.copy(a, segment, RIGHT.read | RIGHT.share);
  const child = clists.derive(a, segment, RIGHT.read | RIGHT.derive | RIGHT.share, 5n);
  // Something between that only somebody else has.
  const abroad = clists.pass(a, child, c, RIGHTS_ALL);
  const back = clists.pass(c, clists.derive(c, abroad, RIGHT.read | RIGHT.share, 0n), a, RIGHTS_ALL);
  clists.close(a, child);
  const apart = system.ok('a', 'seg_create', 100n);
  const revoked = clists.derive(a, apart, RIGHTS_ALL, 0n);
  clists.revoke(a, apart);
  const closed = clists.copy(a, segment, RIGHTS_ALL);
  clists.close(a, closed);
  const friend = authority.grant(a.id, { name: 'friend', ...authority.domain(c.id) });
  const clock = authority.grant(a.id, { name: 'clock', ...hosts.capability({ kind: 'clock' }) });
  const self = authority.grant(a.id, { name: 'me', ...authority.domain(a.id), rights: RIGHT.read });
  const money = clists.insert(
    a,
    system.kernel.core.capabilities.root(accountObject(system.kernel.core, a.account)),
    0,
    RIGHT.read,
  );
  const unnamed = clists.insert(a, authority.domain(c.id).capability, 0, RIGHT.invoke);

  const other = new SegmentSystem();
  await other.domains('x', 'b');
  carry(system, 'a', other);
  assert.equal(found(other, 'a', segment).rights, RIGHTS_ALL);
  assert.equal(found(other, 'a', copy).rights, RIGHT.read | RIGHT.share);
  assert.equal(found(other, 'a', copy).capability, found(other, 'a', segment).capability);
  assert.deepEqual(
    [found(other, 'a', back).badge, found(other, 'a', back).rights],
    [5n, RIGHT.read | RIGHT.share],
  );
  assert.equal(errno(other, 'a', revoked), ERRNO.REVOKED);
  assert.equal(errno(other, 'a', closed), ERRNO.BADF);
  assert.equal(errno(other, 'a', child), ERRNO.BADF);
  assert.deepEqual(
    [friend, clock, unnamed].map((each) => errno(other, 'a', each)),
    [ERRNO.LEFT, ERRNO.LEFT, ERRNO.LEFT],
  );
  const there = domainOf(other, 'a');
  assert.equal(other.kernel.core.objects.a(found(other, 'a', self).object), there.id);
  assert.equal(other.kernel.core.objects.a(found(other, 'a', money).object), there.account);
  assert.equal(found(other, 'a', self).capability, other.kernel.core.authority.domain(there.id).capability);
  // No handle that was closed comes to life by what is made now.
  assert.notEqual(other.kernel.core.clists.copy(there, segment, RIGHTS_ALL), closed);
  // What is granted again has its handle again, and nothing else has it before.
  const x = other.kernel.core.authority.domain(other.kernel.find('x'));
  assert.equal(other.kernel.core.authority.grant(there.id, { name: 'friend', ...x }), friend);
  assert.equal(other.kernel.core.objects.a(found(other, 'a', friend).object), other.kernel.find('x'));
  other.checkpoint();
  other.crash();
  assert.equal(errno(other, 'a', clock), ERRNO.LEFT);
  assert.equal(errno(other, 'a', back), 'good');
  assert.equal(other.call('a', 'cap_revoke', segment), 0);
  assert.deepEqual([errno(other, 'a', back), errno(other, 'a', copy)], [ERRNO.REVOKED, ERRNO.REVOKED]);
  assert.equal(errno(system, 'a', back), 'good', 'where it came from nothing was revoked');
  // Once more from there: what stayed behind then has done so now.
  const third = new SegmentSystem();
  carry(other, 'a', third);
  assert.equal(errno(third, 'a', clock), ERRNO.LEFT);
  assert.equal(errno(third, 'a', friend), ERRNO.LEFT);
  assert.equal(errno(third, 'a', segment), 'good');
  // Who may manage it gives it the same handle again too.
  const manager = third.add('m', await MANAGER, { resident: true });
  const held = third.kernel.authority.domain(third.kernel.find('a'));
  const [of, what] = [1, 2].map((n) => third.kernel.authority.grant(manager, { name: `${n}`, ...held }));
  const outcome = third.kernel.invoke(manager, 'give', [of!, what!]);
  assert.equal(outcome.kind === 'returned' && outcome.results[0]?.low, 0n);
  assert.equal(errno(third, 'a', friend), 'good');
});

/** Grants a domain something as `friend`. */
const MANAGER = program(`(module
  (import "perdure_kernel" "domain_grant" (func $grant (param i32 i32 i32 i32 i32) (result i32)))
  (memory 1) (data (i32.const 0) "friend")
  (func (export "give") (param i32 i32) (result i32)
    (call $grant (local.get 0) (i32.const 0) (i32.const 6) (local.get 1) (i32.const 255))))`);

const RING_AT = 4096;
/** WAT that puts submission `n` of a timeout into the ring. */
const timeout = (n: number, user: number, ns: number, flags: number): string => {
  const at = RING_AT + RING_HEADER_BYTES + n * SUBMISSION_BYTES;
  return `(i32.store (i32.const ${at}) (i32.const ${OPERATION.timeout | (flags << 8)}))
    (i32.store (i32.const ${at + SUBMISSION.userData}) (i32.const ${user}))
    (i64.store (i32.const ${at + SUBMISSION.offset}) (i64.const ${ns}))`;
};
const COMPLETIONS = RING_AT + RING_HEADER_BYTES + 8 * SUBMISSION_BYTES;
const WORDS = 20_000;

/** Has a mapped segment, two timeouts in a ring, a wait set; waits for each in turn, and tells what came of it. */
const WORKER = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "perdure_kernel" "seg_create" (func $create (param i64) (result i32)))
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  (import "perdure_kernel" "sem_wait" (func $wait (param i32 i64) (result i32)))
  (import "perdure_kernel" "waitset_create" (func $set (result i32)))
  (import "perdure_kernel" "waitset_add" (func $add (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "waitset_wait" (func $any (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "ring_create" (func $ring (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "ring_enter" (func $enter (param i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 2)
  (func $word (param $at i32) (param $i i32) (result i32)
    (i32.add (local.get $at) (i32.add (i32.const 64) (i32.shl (local.get $i) (i32.const 2)))))
  (func (export "main") (local $i i32) (local $sum i32) (local $at i32) (local $r i32) (local $s i32)
    (local.set $at (i32.wrap_i64 (call $map (call $create (i64.const 100000)) (i64.const 0) (i64.const 100000) (i32.const 3) (i32.const 0))))
    (call $log (local.get $at))
    (loop $l (i32.store (call $word (local.get $at) (local.get $i)) (local.get $i))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${WORDS}))))
    (local.set $r (call $ring (i32.const ${RING_AT}) (i32.const 8) (i32.const 0)))
    ${timeout(0, 11, 50, SUBMIT.link)} ${timeout(1, 12, 90, 0)}
    (i32.store (i32.const ${RING_AT + RING_HEADER.submissionTail}) (i32.const 2))
    (call $log (call $enter (local.get $r) (i32.const 2) (i32.const 0) (i64.const 0)))
    (call $log (call $wait (local.get $at) (i64.const 30)))
    (local.set $s (call $set))
    (drop (call $add (local.get $s) (i32.add (local.get $at) (i32.const 8)) (i64.const 77)))
    (drop (call $add (local.get $s) (i32.const 64) (i64.const 78)))
    (call $log (call $any (local.get $s) (i32.const 512) (i32.const 4) (i64.const -1)))
    (call $log (i32.load (i32.const 512)))
    (call $log (call $enter (local.get $r) (i32.const 0) (i32.const 2) (i64.const -1)))
    (call $log (i32.load (i32.const ${COMPLETIONS + COMPLETION.userData})))
    (call $log (i32.load (i32.const ${COMPLETIONS + COMPLETION_BYTES + COMPLETION.userData})))
    (local.set $i (i32.const 0))
    (loop $l (local.set $sum (i32.add (local.get $sum) (i32.load (call $word (local.get $at) (local.get $i)))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${WORDS}))))
    (call $log (local.get $sum))))`);

for (const crashes of [false, true]) {
  test(`a program goes on elsewhere in the middle of its waits, rings and windows${crashes ? ', also killed on the way' : ''}`, async () => {
    let system = new TestSystem();
    system.kernel.start(system.add('a', await WORKER), 'main');
    const logs: (number | bigint)[] = [];
    /** Goes on in a fresh space, after so many ns, from wherever it is. */
    const journey = (ns: bigint): void => {
      system.runAll();
      const other = new TestSystem();
      carry(system, 'a', other);
      if (crashes) {
        other.checkpoint();
        other.crash();
      }
      logs.push(...system.values('a'));
      system = other;
      system.powers.ns += ns;
      system.runAll();
    };
    journey(10n); // in sem_wait, with 20 ns to go, and 40 of the first timeout
    journey(10n);
    assert.deepEqual(system.values('a'), []);
    journey(15n); // it has given up, and waits on the set
    const { core } = system.kernel;
    assert.deepEqual([core.waits?.count, core.waits?.sets.count, core.rings.count], [1, 1, 2]);
    const at = Number(logs[0]);
    const { segments, windows } = core;
    const [mapping] = windows.of(domainOf(system, 'a'));
    assert.equal((mapping?.near ?? 0) | 0, at);
    // Somebody gives to the semaphore in the segment.
    const address = segments.address(mapping?.object ?? 0) + 8;
    assert.equal(system.space.u32[address / 4 + 1], 1, 'it says that somebody waits');
    system.space.setU32(address, 1);
    core.waits?.wake({ owner: 2 * (mapping?.object ?? 0) + 1, spot: 4 * 8 });
    journey(15n); // it waits for its ring: 50 ns are over, the other 90 have begun
    journey(89n);
    assert.equal(system.kernel.core.rings.count, 1);
    journey(1n);
    logs.push(...system.values('a'));
    assert.deepEqual(logs.slice(1), [2, -ERRNO.TIMEDOUT, 1, 77, 0, 11, 12, (WORDS * (WORDS - 1)) / 2]);
    assert.equal(system.kernel.status(system.kernel.find('a')).end, 'exit');
    const { rings, windows: left } = system.kernel.core;
    assert.deepEqual([rings.count, left.count, system.space.segments.count], [0, 0, 0]);
  });
}

test('what is under way in rings goes on where its object came along or is granted again; the rest says what became of it', async () => {
  const system = new TestSystem();
  const server = await RingUser.make(system, 'server', 8, RING_SERVES);
  const client = await RingUser.make(system, 'client', 16, RING_SERVES);
  const { core } = system.kernel;
  const table = server.call('table_create', server.handle, TABLE_KIND.stream, 0);
  const stream = (number: bigint): number => server.call('table_object', table, number, RIGHTS_ALL);
  const give = (name: string, handle: number): number => {
    const { capability, turn } = found(system, 'server', handle);
    return core.authority.grant(client.id, { name, capability, turn });
  };
  const again = give('again', stream(1n));
  const never = give('never', stream(2n));
  const given = give('given', stream(3n));
  const closed = give('closed', stream(4n));
  const ownTable = client.call('table_create', client.handle, TABLE_KIND.stream, 0);
  const own = client.call('table_object', ownTable, 5n, RIGHTS_ALL);
  const lent = client.call('table_object', ownTable, 8n, RIGHTS_ALL);
  core.clists.pass(domainOf(system, 'client'), lent, domainOf(system, 'server'), RIGHTS_ALL);
  client.call('cap_close', lent);
  const read = { op: OPERATION.read, first: 0x8000, firstLength: 100, offset: STREAM_OFFSET };
  client.submit({ ...read, user: 3n, handle: given });
  assert.equal(server.requests().length, 1, 'its server has this one');
  // The server's queue is full from here on.
  for (let i = 0; i < 8; i++) client.submit({ ...read, user: 90n, handle: given });
  client.submit({ ...read, user: 1n, handle: again, limit: 1000n });
  client.submit({ ...read, user: 2n, handle: never });
  client.submit({ ...read, user: 4n, handle: closed });
  client.call('cap_close', closed);
  client.submit({ ...read, user: 5n, handle: own, limit: 500n });
  client.submit({ op: OPERATION.nop, user: 6n, flags: SUBMIT.drain });
  const before = counts(system);

  const other = new TestSystem();
  const host = await RingUser.make(other, 'server', 8, RING_SERVES);
  const served = host.call(
    'table_object',
    host.call('table_create', host.handle, TABLE_KIND.stream, 0),
    9n,
    RIGHTS_ALL,
  );
  const { capability, turn } = found(other, 'server', served);
  carry(system, 'client', other, [{ name: 'again', capability, turn }]);
  assert.deepEqual(counts(system), before, 'where it was everything goes on');
  const there = client.carriedTo(other);
  there.enter();
  const results = there.results();
  assert.deepEqual(
    [results[2], results[3], results[4], results[90], results[5], results[6]],
    [-ERRNO.LEFT, -ERRNO.LEFT, -ERRNO.LEFT, -ERRNO.LEFT, -ERRNO.CANCELED, undefined],
  );
  const [request] = host.requests();
  assert.deepEqual([request?.object, request?.op], [9n, OPERATION.read]);
  const answer = { op: OPERATION.reply, rights: 3, first: 0x5000, flags: SUBMIT.quiet };
  host.write(0x5000, 'abc');
  host.submit({ ...answer, offset: request?.number ?? 0n, firstLength: 3 });
  assert.equal(there.text(0x8000, 3), 'abc');
  assert.deepEqual(there.results(), { 1: 3, 6: 0 });
  const [, released] = there.requests();
  assert.deepEqual([released?.op, released?.object], [REQUEST_RELEASED, 8n], 'who had that stayed behind');
  // It serves what it did.
  there.submit({ ...read, user: 7n, handle: own });
  assert.deepEqual(
    there.requests().map(({ object }) => object),
    [5n],
  );
  there.submit({ op: OPERATION.cancel, offset: 7n, flags: SUBMIT.quiet });
  assert.deepEqual(there.results(), { 7: -ERRNO.CANCELED });
  assert.ok(there.call('cap_derive', own, RIGHTS_ALL, 4n) > 0);
  assert.equal(other.kernel.core.rings.count, 0);
});

const CLIENT = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "sleep" (func $sleep (param i64)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "s" "twice" (func $twice (param i32) (result i32)))
  (func (export "main") (local $i i32)
    (loop $l (call $log (call $twice (local.get $i))) (call $log (call $error)) (call $sleep (i64.const 10))
      (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))))`);
const SERVER = program(
  '(module (func (export "gate:twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))',
);

test('procedures of others are called again where they are granted again, before or after it runs', async () => {
  const system = new TestSystem();
  const grantOf = (of: TestSystem, name: string) => ({
    name: 's',
    ...of.kernel.authority.domain(of.kernel.find(name)),
  });
  system.add('server', await SERVER);
  const a = system.add('a', await CLIENT, { grants: [grantOf(system, 'server')] });
  const step = (of: TestSystem): (number | bigint)[] => {
    of.personality.logs.length = 0;
    of.powers.ns += 10n;
    of.runAll();
    return of.values('a');
  };
  system.kernel.start(a, 'main');
  system.runAll();
  const other = new TestSystem();
  other.add('another', await SERVER);
  carry(system, 'a', other);
  assert.deepEqual(step(other).slice(0, 2), [0, ERRNO.LEFT]);
  other.kernel.authority.grant(other.kernel.find('a'), grantOf(other, 'another'));
  assert.deepEqual(step(other).slice(1, 2), [0]);
  const third = new TestSystem();
  third.add('server', await SERVER);
  carry(system, 'a', third, [grantOf(third, 'server')]);
  assert.deepEqual(step(third).slice(0, 2), [2, 0]);
});
