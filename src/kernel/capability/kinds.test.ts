import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT } from '../../abi/objects.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { findGrant } from './grants.ts';

/** A server with a procedure that adds. */
const SERVER = program(`(module
  (global $n (mut i64) (i64.const 0))
  (func (export "gate:add") (param i64 f64) (result i64 f64)
    (global.set $n (i64.add (global.get $n) (local.get 0)))
    (global.get $n) (f64.mul (local.get 1) (f64.const 2)))
  (func (export "_start")))`);

/** What a kind is made with, and how it passes on what it makes: it wraps what it was granted under "target". */
const KIND = (text: string) =>
  program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "log64" (func $log64 (param i64)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "pause" (func $pause))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "gate_own" (func $gate (param i32 i32) (result i32)))
  (import "perdure_kernel" "kind_create" (func $kind (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "kind_wrap" (func $wrap (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "domain_grant" (func $grant (param i32 i32 i32 i32 i32) (result i32)))
  (memory 1)
  (data (i32.const 16) "target") (data (i32.const 32) "client") (data (i32.const 48) "server")
  (data (i32.const 64) "check") (data (i32.const 80) "derive") (data (i32.const 96) "revoked")
  (func (export "make") (local $c i32)
    (local.set $c (call $wrap
      (call $kind (call $gate (i32.const 64) (i32.const 5))
        (select (call $gate (i32.const 80) (i32.const 6)) (i32.const 0) (i32.ge_s (call $gate (i32.const 80) (i32.const 6)) (i32.const 0)))
        (select (call $gate (i32.const 96) (i32.const 7)) (i32.const 0) (i32.ge_s (call $gate (i32.const 96) (i32.const 7)) (i32.const 0))))
      (call $granted (i32.const 16) (i32.const 6)) (i32.const -1) (i64.const 77)))
    (call $log (i32.ge_s (local.get $c) (i32.const 0)))
    (call $log (call $grant (call $granted (i32.const 32) (i32.const 6)) (i32.const 48) (i32.const 6) (local.get $c) (i32.const -1))))
  ${text})`);

/** Calls the server so often, and tells what came of each call. */
const CLIENT = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "log64" (func $log64 (param i64)))
  (import "server" "add" (func $add (param i64 f64) (result i64 f64)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_copy" (func $copy (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_derive" (func $derive (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "cap_revoke" (func $revoke (param i32) (result i32)))
  (import "perdure_kernel" "domain_status" (func $status (param i32 i32) (result i32)))
  (memory 1) (data (i32.const 16) "server")
  (func $server (result i32) (call $granted (i32.const 16) (i32.const 6)))
  (func (export "calls") (param $n i32) (local $r i64)
    (loop $l
      (call $add (i64.const 10) (f64.const 1.5))
      drop (local.set $r)
      (call $log (call $error))
      (call $log64 (local.get $r))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "status") (call $log (call $status (call $server) (i32.const 100))))
  (func (export "derive") (local $d i32)
    (local.set $d (call $derive (call $server) (i32.const 5) (i64.const 0)))
    (call $log (select (i32.const 0) (local.get $d) (i32.ge_s (local.get $d) (i32.const 0))))
    (if (i32.ge_s (local.get $d) (i32.const 0)) (then
      (call $log (call $status (local.get $d) (i32.const 100)))
      (call $log (call $revoke (local.get $d)))
      (call $log (call $status (local.get $d) (i32.const 100)))))))`);

/** Server, kind and client; the client has been granted what the kind made of the server. */
async function three(kind: string, options: object = {}) {
  const system = new TestSystem(options);
  const resident = { resident: true };
  const server = system.add('server', await SERVER, resident);
  const { authority } = system.kernel;
  const client = system.add('client', await CLIENT, { ...resident, trapUnknownImports: true, lazily: true });
  const grants = [
    { name: 'target', ...authority.domain(server) },
    { name: 'client', ...authority.domain(client) },
  ];
  const guard = system.add('guard', await KIND(kind), { ...resident, grants });
  const call = (name: string, what: string, args: number[] = []): (number | bigint)[] => {
    const before = system.values('client').length;
    system.kernel.start(system.kernel.find(name), what, args);
    system.runAll();
    return system.values('client').slice(before);
  };
  call('guard', 'make');
  assert.deepEqual(system.values('guard').splice(0), [1, 0]);
  return { system, server, client, guard, call, told: () => system.values('guard').slice(2) };
}

const TWICE = `
  (global $left (mut i32) (i32.const 2))
  (func (export "gate:check") (param $badge i64) (param $rights i32) (result i32)
    (call $log64 (local.get $badge)) (call $log (local.get $rights))
    (if (i32.eqz (global.get $left)) (then (return (i32.const ${ERRNO.NOTCAPABLE}))))
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (i32.const 0))`;

for (const stress of [false, true]) {
  test(`a kind is asked before each call, which goes on as it was or not at all${stress ? ', at every safepoint' : ''}`, async () => {
    const { call, told } = await three(TWICE, { stress });
    assert.deepEqual(call('client', 'calls', [3]), [0, 10n, 0, 20n, ERRNO.NOTCAPABLE, 0n]);
    assert.deepEqual(told(), [77n, RIGHT.invoke, 77n, RIGHT.invoke, 77n, RIGHT.invoke]);
  });
}

test('a kind is asked before a kernel call, too, with the rights that this needs', async () => {
  const { call, told } = await three(TWICE);
  assert.deepEqual(call('client', 'status'), [0]);
  assert.deepEqual(call('client', 'calls', [1]), [0, 10n]);
  assert.deepEqual(call('client', 'status'), [-ERRNO.NOTCAPABLE]);
  assert.deepEqual(told(), [77n, RIGHT.read, 77n, RIGHT.invoke, 77n, RIGHT.read]);
});

test('a kind that waits makes the call wait, over a crash; each use is counted once', async () => {
  const slow = TWICE.replace('(call $log64 (local.get $badge))', '(call $log (call $wait (i32.const 1)))');
  const { system, call, told } = await three(slow);
  assert.deepEqual(call('client', 'calls', [3]), []);
  system.checkpoint();
  system.crash();
  system.runAll();
  system.personality.open = true;
  system.kernel.wake(system.kernel.find('guard'));
  system.runAll();
  assert.deepEqual(system.values('client'), [0, 10n, 0, 20n, ERRNO.NOTCAPABLE, 0n]);
  assert.deepEqual(told(), [2, RIGHT.invoke, 2, RIGHT.invoke, 2, RIGHT.invoke]);
});

test('nothing passes where the kind traps, is stopped or gone', async () => {
  const { system, guard, call } = await three(
    `(global $n (mut i32) (i32.const 0))
     (func (export "gate:check") (param i64 i32) (result i32)
       (global.set $n (i32.add (global.get $n) (i32.const 1)))
       (if (i32.eq (global.get $n) (i32.const 2)) (then unreachable))
       (i32.const 0))`,
  );
  assert.deepEqual(call('client', 'calls', [3]), [0, 10n, ERRNO.FAULTED, 0n, 0, 20n]);
  system.kernel.stop(guard);
  assert.deepEqual(call('client', 'calls', [1]), [ERRNO.STOPPED, 0n]);
  system.kernel.resume(guard);
  assert.deepEqual(call('client', 'calls', [1]), [0, 30n]);
  system.kernel.remove(guard);
  assert.deepEqual(call('client', 'calls', [1]), [ERRNO.GONE, 0n]);
});

test('an answer that is no errno refuses', async () => {
  const { call } = await three(`(func (export "gate:check") (param i64 i32) (result i32) (i32.const -1))`);
  assert.deepEqual(call('client', 'calls', [1]), [ERRNO.NOTCAPABLE, 0n]);
});

test('a kind says what derived ones are, and is told when one was revoked', async () => {
  const { call, told } = await three(
    `(func (export "gate:check") (param $badge i64) (param i32) (result i32) (call $log64 (local.get $badge)) (i32.const 0))
     (func (export "gate:derive") (param $badge i64) (param $rights i32) (result i64)
       (call $log (local.get $rights))
       (i64.add (local.get $badge) (i64.const 1)))
     (func (export "gate:revoked") (param $badge i64) (call $log64 (i64.sub (i64.const 0) (local.get $badge))))`,
  );
  assert.deepEqual(call('client', 'derive'), [0, 0, 0, 0]);
  assert.deepEqual(told(), [5, 78n, -78n, 78n]);
});

test('a kind may refuse to have anything derived', async () => {
  const { call } = await three(
    `(func (export "gate:check") (param i64 i32) (result i32) (i32.const 0))
     (func (export "gate:derive") (param i64 i32) (result i64) (i64.const -${ERRNO.PERM}))`,
  );
  assert.deepEqual(call('client', 'derive'), [-ERRNO.PERM]);
});

test('everything is given back', async () => {
  const { system, call } = await three(TWICE);
  call('client', 'calls', [1]);
  for (const id of system.kernel.ids()) system.kernel.remove(id);
  const { objects, capabilities } = system.kernel.core;
  assert.deepEqual([objects.count, capabilities.count], [0, 0]);
});

test('a text for a capability of a kind is asked for like that, and does not go along where its domain is carried', async () => {
  const { system, client, server, call } = await three(TWICE);
  const { authority, core } = system.kernel;
  const domain = core.peek(client);
  assert.ok(domain);
  const found = core.clists.look(domain, findGrant(system.space, domain, new TextEncoder().encode('server')));
  assert.ok(typeof found !== 'number');
  const text = authority.sturdy(found);
  const restored = authority.restore(text);
  assert.notEqual(core.capabilities.kind(restored.capability), 0);
  const plain = authority.sturdy(authority.domain(server));
  const image = system.kernel.exportDomain(server);
  assert.equal(image.object?.sturdies.length, 1, 'the one that is not of a kind');
  authority.grant(client, { name: 'server', ...authority.restore(text) });
  assert.deepEqual(call('client', 'calls', [3]), [0, 10n, 0, 20n, ERRNO.NOTCAPABLE, 0n]);
  authority.grant(client, { name: 'server', ...authority.restore(plain) });
  assert.deepEqual(call('client', 'calls', [1]), [0, 30n]);
});
