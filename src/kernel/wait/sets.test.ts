import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { moveEpoch } from '../capability/epoch.ts';
import type { Domain } from '../domain.ts';
import { program } from '../kernel.testing.ts';
import { liveOn, SharedSystem } from './wait.testing.ts';

/** Members are at 8 times their number in the shared memory; the number stands in memory with it. Handles are logged. */
const PROGRAM = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "pause" (func $pause))
  (import "env" "give" (func $give_word (param i32) (result i32)))
  (import "perdure_kernel" "sem_wait" (func $sem_wait (param i32 i64) (result i32)))
  (import "perdure_kernel" "sem_wake" (func $sem_wake (param i32) (result i32)))
  (import "perdure_kernel" "waitset_create" (func $create (result i32)))
  (import "perdure_kernel" "waitset_add" (func $add (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "waitset_remove" (func $remove (param i32 i32) (result i32)))
  (import "perdure_kernel" "waitset_wait" (func $wait (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "cap_close" (func $close (param i32) (result i32)))
  (memory 1)
  (func $at (param i32) (result i32) (i32.add (i32.const ${WINDOW_BASE}) (i32.shl (local.get 0) (i32.const 3))))
  (func $told (param $n i32) (local $i i32)
    (call $log (local.get $n))
    (if (i32.gt_s (local.get $n) (i32.const 0)) (then
      (loop $l
        (call $log (i32.load (i32.add (i32.const 64) (i32.shl (local.get $i) (i32.const 3)))))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))))))
  (func $make (export "make") (param $n i32) (result i32) (local $set i32)
    (local.set $set (call $create))
    (loop $l
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (drop (call $add (local.get $set) (call $at (local.get $n)) (i64.extend_i32_u (i32.add (local.get $n) (i32.const 100)))))
      (br_if $l (local.get $n)))
    (local.get $set))
  (func (export "add") (param i32 i32) (call $log (call $add (local.get 0) (call $at (local.get 1)) (i64.const 7))))
  (func (export "remove") (param i32 i32) (call $log (call $remove (local.get 0) (call $at (local.get 1)))))
  (func $wait1 (export "wait") (param $set i32) (param $most i32) (param $timeout i64)
    (call $told (call $wait (local.get $set) (i32.const 64) (local.get $most) (local.get $timeout))))
  (func (export "both") (param $n i32) (param $most i32) (param $timeout i64)
    (call $wait1 (call $make (local.get $n)) (local.get $most) (local.get $timeout)))
  (func (export "take") (param i32) (call $log (call $sem_wait (call $at (local.get 0)) (i64.const -1))))
  (func $give (export "give") (param $m i32) (param $n i32)
    (loop $l
      (if (call $give_word (call $at (local.get $m))) (then (drop (call $sem_wake (call $at (local.get $m))))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "close") (param i32) (call $log (call $close (local.get 0))))
  (func (export "own") (local $set i32)
    (local.set $set (call $create))
    (call $log (call $add (local.get $set) (i32.const 8) (i64.const -9)))
    (call $log (call $add (local.get $set) (i32.const 8) (i64.const 1)))
    (call $log (call $add (local.get $set) (i32.const 9) (i64.const 1)))
    (call $log (call $add (local.get $set) (i32.const 65532) (i64.const 1)))
    (call $log (call $add (i32.add (local.get $set) (i32.const 1)) (i32.const 16) (i64.const 1)))
    (call $log (call $wait (local.get $set) (i32.const 65529) (i32.const 1) (i64.const 0)))
    (call $log (call $wait (local.get $set) (i32.const 64) (i32.const 0) (i64.const 0)))
    (call $log (call $wait (local.get $set) (i32.const 64) (i32.const 1) (i64.const 0)))
    (i32.store (i32.const 8) (i32.const 3))
    (call $log (call $sem_wake (i32.const 8)))
    (call $log (call $wait (local.get $set) (i32.const 64) (i32.const 10) (i64.const 0)))
    (call $log (i32.wrap_i64 (i64.load (i32.const 64))))
    (call $log (i32.load (i32.const 8)))
    (call $log (call $remove (local.get $set) (i32.const 8)))
    (call $log (call $remove (local.get $set) (i32.const 8)))
    (call $log (i32.load (i32.const 12))))
  ;; Passes tokens on: from the members of its own set to the semaphores of all.
  (global $random (mut i32) (i32.const 0))
  (func $next (param $below i32) (result i32)
    (global.set $random (i32.add (i32.mul (global.get $random) (i32.const 1103515245)) (i32.const 12345)))
    (i32.rem_u (i32.shr_u (global.get $random) (i32.const 16)) (local.get $below)))
  (func (export "pass") (param $seed i32) (param $rounds i32) (param $members i32) (param $set i32) (local $n i32)
    (global.set $random (local.get $seed))
    (if (i32.eqz (local.get $set)) (then (local.set $set (call $make (local.get $members)))))
    (loop $l
      (local.set $n (call $wait (local.get $set) (i32.const 64) (i32.add (i32.const 1) (call $next (i32.const 3)))
        (select (i64.const -1) (i64.const 5) (call $next (i32.const 3)))))
      (br_if $l (i32.eqz (local.get $n)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (call $log (local.get $n)) (return)))
      (if (i32.eqz (call $next (i32.const 4))) (then (call $pause)))
      (loop $g
        (call $give (call $next (local.get $members)) (i32.const 1))
        (br_if $g (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (br_if $l (i32.gt_s (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1))) (i32.const 0))))
    (call $log (i32.const 1))))`);

async function add(system: SharedSystem, name: string, more = {}): Promise<Domain> {
  const id = system.add(name, await PROGRAM, { resident: true, ...more });
  return system.kernel.core.peek(id) as Domain;
}
/** Calls; the result where there is one at once. */
function call(
  system: SharedSystem,
  { id }: { id: number },
  entry: string,
  ...args: (number | bigint)[]
): number {
  const end = system.kernel.invoke(id, entry, args);
  return end.kind === 'returned' ? Number(end.results[0]?.low ?? 0) : -1;
}
async function two(): Promise<{ system: SharedSystem; server: Domain; client: Domain; set: number }> {
  const system = new SharedSystem();
  const server = await add(system, 'server');
  const client = await add(system, 'client');
  return { system, server, client, set: call(system, server, 'make', 10) };
}
const rest = (system: SharedSystem, domain: Domain): void => {
  for (let last = -1; last !== system.values(domain.name).length; ) {
    last = system.values(domain.name).length;
    system.runAll();
  }
};

test('what is given is told once, with its number; who has more is told again, after the others', async () => {
  const { system, server, client, set } = await two();
  call(system, client, 'give', 3, 2);
  call(system, client, 'give', 7, 1);
  assert.equal(system.waiters(8 * 3), 0, 'told already: nobody needs to tell again');
  call(system, client, 'give', 5, 1);
  for (const most of [2, 10, 10]) call(system, server, 'wait', set, most, 0n);
  assert.deepEqual(system.values('server'), [2, 103, 107, 2, 105, 103, 0]);
  for (let i = 0; i < 10; i++) assert.deepEqual([system.count(8 * i), system.waiters(8 * i)], [0, 1]);
});

test('who waits on a set is handed what it waits for, first come first served, also after a restart', async () => {
  for (const crash of [false, true]) {
    const { system, server, client, set } = await two();
    const other = await add(system, 'other');
    const passed = system.kernel.core.clists.pass(server, set, other, RIGHTS_ALL);
    call(system, other, 'wait', passed, 4, -1n);
    call(system, server, 'wait', set, 4, -1n);
    system.checkpoint();
    if (crash) system.crash();
    const again = system.kernel.core.peek(client.id) as Domain;
    system.runAll();
    call(system, again, 'give', 2, 1);
    call(system, again, 'give', 4, 1);
    rest(system, server);
    rest(system, other);
    assert.deepEqual(
      [system.values('other'), system.values('server')],
      [
        [1, 102],
        [1, 104],
      ],
    );
    assert.equal(system.waits.count, 0);
  }
});

test('what was ready before a restart is ready after it', async () => {
  const { system, server, client, set } = await two();
  call(system, client, 'give', 3, 1);
  system.checkpoint();
  system.crash();
  const again = system.kernel.core.peek(client.id) as Domain;
  call(system, again, 'give', 6, 1);
  call(system, system.kernel.core.peek(server.id) as Domain, 'wait', set, 9, -1n);
  assert.deepEqual(system.values('server').sort(), [103, 106, 2]);
});

test('who waits for the semaphore itself comes before sets, and one semaphore may be in several', async () => {
  const { system, server, client, set } = await two();
  const other = await add(system, 'other');
  const second = call(system, other, 'make', 10);
  call(system, server, 'wait', set, 4, -1n);
  call(system, other, 'wait', second, 4, -1n);
  const direct = await add(system, 'direct');
  call(system, direct, 'take', 1);
  call(system, client, 'give', 1, 1);
  rest(system, direct);
  assert.deepEqual([system.values('direct'), system.values('server'), system.values('other')], [[0], [], []]);
  call(system, client, 'give', 1, 2);
  rest(system, server);
  assert.deepEqual(
    [system.values('server'), system.values('other')],
    [
      [1, 101],
      [1, 101],
    ],
  );
});

test('a wait on a set ends when its time is up, and when the set ends, is revoked or cannot be used any more', async () => {
  const { system, server, set } = await two();
  const { clists } = system.kernel.core;
  const [late, gone, revoked] = [
    await add(system, 'late'),
    await add(system, 'gone'),
    await add(system, 'revoked'),
  ];
  const pass = (to: Domain): number => clists.pass(server, set, to, RIGHTS_ALL);
  call(system, late, 'wait', pass(late), 1, 50n);
  system.powers.ns += 50n;
  system.runAll();
  assert.deepEqual(system.values('late'), [0]);
  const derived = clists.derive(server, set, RIGHTS_ALL, 0n);
  call(system, revoked, 'wait', clists.pass(server, derived, revoked, RIGHTS_ALL), 1, -1n);
  call(system, gone, 'wait', pass(gone), 1, -1n);
  clists.revoke(server, derived);
  system.runAll();
  assert.deepEqual(system.values('revoked'), [-ERRNO.REVOKED]);
  const found = clists.find(server, set);
  assert.ok(typeof found !== 'number');
  system.kernel.core.objects.destroy(found.object);
  system.runAll();
  assert.deepEqual(system.values('gone'), [-ERRNO.GONE]);
  call(system, server, 'add', set, 11);
  assert.deepEqual(system.values('server'), [-ERRNO.GONE]);
  for (let i = 0; i < 10; i++) assert.equal(system.waiters(8 * i), 0);
  assert.deepEqual([system.waits.count, system.waits.sets.count], [0, 0]);
});

test('arguments are checked, and members of memory of its own are counted like others', async () => {
  const system = new SharedSystem();
  const own = await add(system, 'own');
  call(system, own, 'own');
  const { EXIST, INVAL, FAULT, BADF, NOENT } = ERRNO;
  assert.deepEqual(system.values('own'), [
    ...[0, -EXIST, -INVAL, -FAULT, -BADF, -FAULT, -INVAL, 0],
    ...[0, 1, -9, 2, 0, -NOENT, 0],
  ]);
});

test('members count against what a domain may have, and are given back with set, domain, and right to the memory', async () => {
  const system = new SharedSystem();
  const first = await add(system, 'first');
  call(system, first, 'make', 1);
  system.kernel.remove(first.id);
  const blocks = system.space.heap.blockCount;
  const domain = await add(system, 'a', { limits: { capabilities: 8 } });
  const set = call(system, domain, 'make', 10);
  call(system, domain, 'add', set, 20);
  assert.deepEqual(system.values('a'), [-ERRNO.DQUOT], 'two were the set, six members');
  for (let i = 4; i < 10; i++) call(system, domain, 'remove', set, i);
  call(system, domain, 'add', set, 20);
  assert.deepEqual(system.values('a').slice(1), [0, 0, 0, 0, 0, 0, 0]);
  call(system, domain, 'close', set);
  const next = call(system, domain, 'make', 6);
  const b = await add(system, 'b');
  const there = system.kernel.core.clists.pass(domain, next, b, RIGHTS_ALL);
  call(system, b, 'add', there, 12);
  system.refused.set('a', -ERRNO.REVOKED);
  moveEpoch(system.space);
  call(system, b, 'give', 2, 1);
  call(system, b, 'give', 12, 1);
  call(system, b, 'wait', there, 5, 0n);
  assert.deepEqual(system.values('b'), [0, 1, 7], 'what was given to it by who may not is not told');
  system.kernel.remove(domain.id);
  call(system, b, 'give', 12, 1);
  call(system, b, 'give', 3, 1);
  call(system, b, 'wait', there, 5, 0n);
  assert.deepEqual(system.values('b').slice(3), [1, 7]);
  system.kernel.remove(b.id);
  assert.equal(system.waits.sets.count, 0);
  assert.equal(system.space.heap.blockCount, blocks);
});

test('sets of volatile domains are gone after a restart', async () => {
  const system = new SharedSystem();
  const gone = await add(system, 'gone', { volatile: true });
  const kept = await add(system, 'kept');
  const mine = call(system, kept, 'make', 3);
  call(system, gone, 'make', 3);
  const there = system.kernel.core.clists.pass(kept, mine, gone, RIGHTS_ALL);
  call(system, gone, 'add', there, 9);
  system.checkpoint();
  system.crash();
  const again = system.kernel.core.peek(kept.id) as Domain;
  assert.equal(system.waits.sets.count, 1);
  call(system, again, 'add', mine, 9);
  assert.deepEqual(system.values('kept'), [0]);
});

test('no wake-up is lost by sets: whatever the turns, stops, deaths and restarts, tokens go round', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  for (let life = 0; life < 10; life++) {
    const stress = life % 2 === 1;
    const system = new SharedSystem({ stress });
    const names = Array.from({ length: 2 + prng.below(6) }, (_, i) => `d${i}`);
    const victims = new Set(names.slice(1).filter(() => prng.chance(0.2)));
    const members = 1 + prng.below(6);
    // Each of the ended may have taken three along, and more may lie where only their own sets would look.
    const tokens = 3 * victims.size + 1 + prng.below(4);
    let shared = 0;
    for (const [i, name] of names.entries()) {
      const domain = await add(system, name, { resident: false });
      let set = 0;
      if (i === 0) shared = 0;
      else if (shared !== 0 && prng.chance(0.5)) {
        set = system.kernel.core.clists.pass(domainOf(system, 'd0'), shared, domain, RIGHTS_ALL);
      }
      if (i === 0 && prng.chance(0.5)) {
        shared = system.waits.sets.create(domain);
        set = shared;
        for (let m = 0; m < members; m++) addMember(system, domain, set, m);
      }
      system.kernel.start(domain.id, 'pass', [prng.below(1 << 30), i === 0 ? 1e9 : 30, members, set]);
    }
    for (let i = 0; i < tokens; i++) system.setCount(8 * (i % members), system.count(8 * (i % members)) + 1);
    system.checkpoint();
    liveOn(system, prng, { names, awaited: names.slice(1), victims, stress, life });
    system.kernel.kill(system.kernel.find('d0'));
    assert.equal(system.waits.count, 0);
    assert.equal(system.waits.sets.count, 0);
    for (let m = 0; m < members; m++) assert.equal(system.waiters(8 * m), 0);
  }
});

const domainOf = (system: SharedSystem, name: string): Domain =>
  system.kernel.core.peek(system.kernel.find(name)) as Domain;

function addMember(system: SharedSystem, domain: Domain, handle: number, member: number): void {
  const found = system.kernel.core.clists.find(domain, handle);
  const near = WINDOW_BASE + 8 * member;
  const key = system.waits.places.semaphore(domain, near);
  assert.ok(typeof found !== 'number' && typeof key !== 'number');
  const { sets } = system.waits;
  assert.equal(sets.add(sets.of(found.object), domain, key, near, BigInt(member)), 0);
}
