import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, OPTION } from '../../abi/ring.ts';
import type { Domain } from '../domain.ts';
import { procedureNamed } from '../gate/procedures.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { Tree } from '../tree.ts';
import { RingUser, type Submission } from './ring.testing.ts';

/** Lets so much pass, and says what it was asked. */
const GUARD = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "log64" (func $log64 (param i64)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (global $left (mut i32) (i32.const 3))
  (func (export "gate:check") (param $badge i64) (param $rights i32) (result i32)
    (call $log64 (local.get $badge)) (call $log (local.get $rights))
    (if (i32.eqz (global.get $left)) (then (return (i32.const ${ERRNO.DQUOT}))))
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (i32.const 0))
  (func (export "gate:slow") (param $badge i64) (param $rights i32) (result i32)
    (call $wait (i32.const -1)))
  (func (export "gate:bad") (param $badge i64) (param $rights i32) (result i32) unreachable))`);

/** A user with the tree's root by kinds of the guard, one for each procedure named, the last the outermost. */
async function guarded(...procedures: string[]) {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'user', 16);
  Tree.open(system.space, 0n);
  const id = system.add('guard', await GUARD);
  const { core } = system.kernel;
  const guard = core.peek(id) as Domain;
  const root = core.nodes.capability(Tree.open(system.space, 0n).root);
  let handle = core.clists.insert(guard, root.capability, root.turn, RIGHTS_ALL);
  for (const [n, name] of procedures.entries()) {
    const procedure = procedureNamed(guard.module, name);
    assert.ok(procedure);
    const check = core.clists.make(guard, OBJECT.gate, id, procedure.functionIndex);
    const kind = core.kinds.create(guard, { check, derive: 0, revoked: 0 });
    handle = core.kinds.wrap(guard, kind, handle, RIGHTS_ALL, BigInt(70 + n));
    assert.ok(handle > 0);
  }
  const given = core.clists.pass(guard, handle, core.peek(user.id) as Domain, RIGHTS_ALL);
  /** What comes of an operation when all that can run has. */
  const ask = (s: Partial<Submission>): number | undefined => {
    user.submit({ op: OPERATION.describe, handle: given, user: 1n, second: 0x7000, secondLength: 100, ...s });
    system.runAll();
    return user.results()['1'];
  };
  return { system, user, given, ask };
}
const OPEN = {
  op: OPERATION.open,
  ...{ first: 0x6000, firstLength: 4, second: 0, secondLength: 0, rights: RIGHT.read | RIGHT.write },
  options: OPTION.create | OPTION.write,
};

test('a kind is asked before an operation of a ring, and before those on what was opened through it', async () => {
  const { user, given, ask, system } = await guarded('check');
  user.write(0x6000, 'file');
  const file = ask(OPEN) as number;
  assert.ok(file > 0, `${file}`);
  user.write(0x6000, 'text');
  const write = {
    op: OPERATION.write,
    handle: file,
    first: 0x6000,
    firstLength: 4,
    second: 0,
    secondLength: 0,
  };
  assert.equal(ask(write), 4);
  assert.equal(ask(write), 4);
  assert.equal(ask(write), -ERRNO.DQUOT);
  assert.deepEqual(
    system.values('guard').filter((_, i) => i % 2 === 0),
    [70n, 70n, 70n, 70n],
  );
  assert.equal(
    ask({ op: OPERATION.share, handle: given, rights: 1, second: 0, secondLength: 0 }),
    -ERRNO.NOTSUP,
    'a call derives of it',
  );
});

test('kinds before each other are asked in turn, the outermost first', async () => {
  const { ask, system } = await guarded('check', 'check');
  assert.ok((ask({}) as number) >= 0);
  assert.deepEqual(system.values('guard'), [71n, 0, 70n, 0]);
  assert.equal(ask({}), -ERRNO.DQUOT);
});

test('an operation waits for the kind, over a crash; can be cancelled meanwhile, and has a time limit', async () => {
  const { ask, system, user, given } = await guarded('check', 'slow');
  assert.equal(ask({}), undefined);
  system.checkpoint();
  system.crash();
  system.runAll();
  assert.deepEqual(user.results(), {});
  system.personality.open = true;
  system.kernel.wake(system.kernel.find('guard'));
  system.runAll();
  assert.ok((user.results()['1'] as number) >= 0);
  assert.deepEqual(system.values('guard'), [70n, 0]);
  system.personality.open = false;
  user.submit({ op: OPERATION.describe, handle: given, user: 5n, second: 0x7000, secondLength: 100 });
  system.runAll();
  user.submit({ op: OPERATION.cancel, offset: 5n, user: 6n });
  assert.deepEqual(user.results(), { 5: -ERRNO.CANCELED, 6: 0 });
  user.submit({
    op: OPERATION.describe,
    handle: given,
    user: 7n,
    limit: 100n,
    second: 0x7000,
    secondLength: 100,
  });
  system.runAll();
  system.powers.ns += 100n;
  system.runAll();
  assert.deepEqual(user.results(), { 7: -ERRNO.TIMEDOUT });
  system.personality.open = true;
  system.kernel.wake(system.kernel.find('guard'));
  system.runAll();
  assert.deepEqual(user.results(), {}, 'an answer that comes too late is nobody’s');
  system.kernel.remove(user.id);
  system.kernel.remove(system.kernel.find('guard'));
  assert.deepEqual([system.kernel.core.objects.count, system.kernel.core.rings.count], [0, 0]);
});

test('an operation fails where its kind traps, or goes while it is asked', async () => {
  const { ask } = await guarded('bad');
  assert.equal(ask({}), -ERRNO.FAULTED);
  assert.equal(ask({}), -ERRNO.GONE);
  const other = await guarded('slow');
  assert.equal(other.ask({}), undefined);
  other.system.kernel.remove(other.system.kernel.find('guard'));
  other.system.runAll();
  assert.deepEqual(other.user.results(), { 1: -ERRNO.GONE });
});
