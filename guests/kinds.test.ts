import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERRNO } from '../src/abi/errno.ts';
import { RIGHT } from '../src/abi/objects.ts';
import { load, program, TestSystem } from '../src/kernel/kernel.testing.ts';
import type { Answer } from '../src/kernel/turns.ts';
import { canBuild, guest } from './build.ts';

/** Has a document; gives it to the client by a capability of the guard's kind. */
const OWNER = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "gate_of" (func $gate (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "kind_create" (func $kind (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "kind_wrap" (func $wrap (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "seg_create" (func $create (param i64) (result i32)))
  (import "perdure_kernel" "seg_write" (func $write (param i32 i64 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_grant" (func $grant (param i32 i32 i32 i32 i32) (result i32)))
  (memory 1)
  (data (i32.const 16) "guard") (data (i32.const 32) "client") (data (i32.const 48) "document")
  (data (i32.const 64) "check") (data (i32.const 80) "derive") (data (i32.const 96) "revoked")
  (func $of (param $name i32) (param $length i32) (result i32) (local $gate i32)
    (local.set $gate (call $gate (call $granted (i32.const 16) (i32.const 5)) (local.get $name) (local.get $length)))
    (select (local.get $gate) (i32.const 0) (i32.gt_s (local.get $gate) (i32.const 0))))
  (func (export "give") (param $badge i64) (local $document i32) (local $given i32)
    (local.set $document (call $create (i64.const 100)))
    (call $log (call $write (local.get $document) (i64.const 0) (i32.const 48) (i32.const 8)))
    (local.set $given (call $wrap
      (call $kind (call $of (i32.const 64) (i32.const 5)) (call $of (i32.const 80) (i32.const 6)) (call $of (i32.const 96) (i32.const 7)))
      (local.get $document) (i32.const ${RIGHT.read | RIGHT.write | RIGHT.derive | RIGHT.share}) (local.get $badge)))
    (call $log (call $grant (call $granted (i32.const 32) (i32.const 6)) (i32.const 48) (i32.const 8) (local.get $given) (i32.const -1)))))`);

/** Uses the document: says how many bytes it got, or the error. */
const CLIENT = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "seg_read" (func $read (param i32 i64 i32 i32) (result i32)))
  (import "perdure_kernel" "seg_write" (func $write (param i32 i64 i32 i32) (result i32)))
  (import "perdure_kernel" "cap_derive" (func $derive (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "cap_revoke" (func $revoke (param i32) (result i32)))
  (memory 1)
  (data (i32.const 48) "document")
  (func $document (result i32) (call $granted (i32.const 48) (i32.const 8)))
  (func (export "read") (call $log (call $read (call $document) (i64.const 0) (i32.const 200) (i32.const 8))))
  (func (export "write") (call $log (call $write (call $document) (i64.const 0) (i32.const 200) (i32.const 4))))
  (func (export "derived") (local $d i32)
    (local.set $d (call $derive (call $document) (i32.const 33) (i64.const 0)))
    (call $log (call $read (local.get $d) (i64.const 0) (i32.const 200) (i32.const 8)))
    (call $log (call $revoke (local.get $d)))
    (call $log (call $read (local.get $d) (i64.const 0) (i32.const 200) (i32.const 8)))))`);

class Office {
  readonly answers = new Map<number, Answer>();
  readonly system = new TestSystem({ onAnswer: (ticket, answer) => this.answers.set(ticket, answer) });

  /** A client that has the document by a kind, for which `add` was called with these arguments. */
  static async open(kind: string, ...terms: bigint[]): Promise<Office> {
    const office = new Office();
    const { system } = office;
    const guard = system.add('guard', load(readFileSync(await guest(`kinds/${kind}`))));
    const client = system.add('client', await CLIENT, { resident: true });
    const { authority } = system.kernel;
    const grants = [
      { name: 'guard', ...authority.domain(guard) },
      { name: 'client', ...authority.domain(client) },
    ];
    system.add('owner', await OWNER, { resident: true, grants });
    const badge = office.ask('add', ...terms);
    system.kernel.start(system.kernel.find('owner'), 'give', [badge]);
    system.runAll();
    assert.deepEqual(system.values('owner'), [8, 0]);
    return office;
  }
  /** Calls a procedure of the guard. */
  ask(procedure: string, ...args: bigint[]): bigint {
    const { kernel } = this.system;
    const ticket = kernel.callProcedure(kernel.find('guard'), procedure, args);
    this.system.runAll();
    const answer = this.answers.get(ticket);
    assert.equal(answer?.errno, 0, procedure);
    return BigInt.asIntN(64, answer.results[0]?.low ?? 0n);
  }
  /** What the client gets. */
  use(how = 'read'): number | bigint {
    return this.uses(how).at(-1)!;
  }
  uses(how: string): (number | bigint)[] {
    const { kernel } = this.system;
    const before = this.system.values('client').length;
    kernel.start(kernel.find('client'), how);
    this.system.runAll();
    return this.system.values('client').slice(before);
  }
  pass(ns: bigint): void {
    this.system.powers.ns += ns;
  }
}

const SECOND = 1_000_000_000n;
const skip = canBuild('kinds/expiring') ?? false;

test('expiring: a document for an hour can be read for an hour, also when the machine is restarted in between', {
  skip,
}, async () => {
  const office = await Office.open('expiring', 3600n * SECOND);
  assert.equal(office.use(), 8);
  office.pass(1800n * SECOND);
  assert.equal(office.use(), 8);
  office.system.checkpoint();
  office.system.crash();
  office.pass(1799n * SECOND);
  assert.equal(office.use(), 8);
  office.pass(1n * SECOND);
  assert.equal(office.use(), -ERRNO.REVOKED);
  assert.deepEqual(office.uses('derived')[0], -ERRNO.REVOKED, 'what is derived of it expires with it');
});

test('counted: a document for three readings is read three times, by whomever', { skip }, async () => {
  const office = await Office.open('counted', 3n);
  assert.deepEqual([office.use(), office.use()], [8, 8]);
  assert.equal(office.ask('left', 1n), 1n);
  assert.equal(office.uses('derived')[0], 8);
  assert.deepEqual([office.use(), office.use('write')], [-ERRNO.DQUOT, -ERRNO.DQUOT]);
});

test('limited: two readings at once, then one every ten seconds', { skip }, async () => {
  const office = await Office.open('limited', 2n, 10n * SECOND);
  assert.deepEqual([office.use(), office.use(), office.use()], [8, 8, -ERRNO.AGAIN]);
  office.pass(9n * SECOND);
  assert.equal(office.use(), -ERRNO.AGAIN);
  office.pass(1n * SECOND);
  assert.deepEqual([office.use(), office.use()], [8, -ERRNO.AGAIN]);
  office.pass(3600n * SECOND);
  assert.deepEqual(
    [office.use(), office.use(), office.use()],
    [8, 8, -ERRNO.AGAIN],
    'what was not used is not saved up',
  );
});

test('logged: it is written down when the document was read, written, lent and taken back', {
  skip,
}, async () => {
  const office = await Office.open('logged');
  office.pass(5n * SECOND);
  office.use();
  office.use('write');
  assert.deepEqual(office.uses('derived'), [8, 0, 8], 'who revokes goes on to have it');
  const count = Number(office.ask('written'));
  const log = Array.from({ length: count }, (_, n) =>
    Number(BigInt.asIntN(32, office.ask('what_at', BigInt(n)))),
  );
  assert.deepEqual(log, [
    RIGHT.read,
    RIGHT.write,
    256 | RIGHT.read | RIGHT.derive,
    RIGHT.read,
    512,
    RIGHT.read,
  ]);
  assert.equal(office.ask('badge_at', 0n), 1n);
  assert.ok(office.ask('time_at', 0n) >= 5n * SECOND);
  assert.equal(office.ask('badge_at', 6n), 0n);
});

test('withdrawn: a third party takes the document away, and gives it back', { skip }, async () => {
  const office = await Office.open('withdrawn');
  assert.equal(office.use(), 8);
  office.ask('withdraw', 1n);
  assert.deepEqual([office.use(), office.use('write')], [-ERRNO.REVOKED, -ERRNO.REVOKED]);
  office.system.checkpoint();
  office.system.crash();
  assert.equal(office.use(), -ERRNO.REVOKED);
  office.ask('restore', 1n);
  assert.equal(office.use(), 8);
});
