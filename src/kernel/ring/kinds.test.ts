import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, OPTION, RING_SERVES } from '../../abi/ring.ts';
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
  (func (export "gate:derive") (param $badge i64) (param $rights i32) (result i64)
    (call $log64 (local.get $badge)) (call $log (local.get $rights))
    (drop (call $wait (i32.const 0)))
    (if (i32.eq (local.get $rights) (i32.const ${RIGHT.write})) (then (return (i64.const ${-ERRNO.PERM}))))
    (i64.add (local.get $badge) (i64.const 100)))
  (func (export "gate:slow") (param $badge i64) (param $rights i32) (result i32)
    (call $wait (i32.const -1)))
  (func (export "gate:bad") (param $badge i64) (param $rights i32) (result i32) unreachable))`);

type Root = (system: TestSystem, user: RingUser) => { capability: number; turn: number };
const treeRoot: Root = ({ kernel, space }) => kernel.core.nodes.capability(Tree.open(space, 0n).root);
/** What the user has at a handle. */
const own =
  (handle: (user: RingUser) => number): Root =>
  ({ kernel: { core } }, user) => {
    const found = core.clists.look(core.peek(user.id) as Domain, handle(user));
    assert.ok(typeof found !== 'number');
    return found;
  };

/**
 * A user with the tree's root, or something else, by kinds of the guard, one for each procedure named, the last the outermost.
 * With "check derive" the kind has a say in what is derived, too.
 */
async function guardedOf(root: Root, ...procedures: string[]) {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'user', 16, RING_SERVES);
  Tree.open(system.space, 0n);
  const id = system.add('guard', await GUARD);
  const { core } = system.kernel;
  const guard = core.peek(id) as Domain;
  const { capability, turn } = root(system, user);
  let handle = core.clists.insert(guard, capability, turn, RIGHTS_ALL);
  const gate = (name: string): number => {
    const procedure = procedureNamed(guard.module, name);
    assert.ok(procedure);
    return core.clists.make(guard, OBJECT.gate, id, procedure.functionIndex);
  };
  for (const [n, names] of procedures.entries()) {
    const [check, derive] = names.split(' ') as [string, string?];
    const made = { check: gate(check), derive: derive === undefined ? 0 : gate(derive), revoked: 0 };
    const kind = core.kinds.create(guard, made);
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
const guarded = (...procedures: string[]) => guardedOf(treeRoot, ...procedures);
const OPEN = {
  op: OPERATION.open,
  ...{ first: 0x6000, firstLength: 4, second: 0, secondLength: 0, rights: RIGHT.read | RIGHT.write },
  options: OPTION.create | OPTION.write,
};

test('a kind is asked before an operation of a ring, and before those on what was opened through it', async () => {
  const { user, ask, system } = await guarded('check');
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

/** What the guard was asked about, by badge. */
const badges = (system: TestSystem): unknown[] => system.values('guard').filter((_, i) => i % 2 === 0);
const SHARE = { op: OPERATION.share, second: 0, secondLength: 0 };

test('what is derived in a ring of a capability of a kind is of that kind', async () => {
  const { ask, system, given } = await guarded('check');
  const derived = ask({ ...SHARE, handle: given, rights: RIGHT.read }) as number;
  assert.ok(derived > 0, `${derived}`);
  assert.deepEqual(badges(system), [], 'it has no say in that');
  assert.ok((ask({ handle: derived }) as number) >= 0);
  assert.deepEqual(badges(system), [70n]);
});

test('a kind that has a say in it is asked before one is derived in a ring, over a crash, and gives its badge', async () => {
  const { ask, system, user, given } = await guarded('check derive');
  const rights = RIGHT.read | RIGHT.derive;
  assert.equal(ask({ ...SHARE, handle: given, rights }), undefined, 'it waits');
  system.checkpoint();
  system.crash();
  system.personality.open = true;
  system.kernel.wake(system.kernel.find('guard'));
  system.runAll();
  const derived = user.results()['1'] as number;
  assert.ok(derived > 0, `${derived}`);
  assert.deepEqual(system.values('guard'), [70n, rights]);
  assert.ok((ask({ handle: derived }) as number) >= 0);
  assert.deepEqual(badges(system), [70n, 170n]);
  assert.equal(ask({ ...SHARE, handle: given, rights: RIGHT.write }), -ERRNO.PERM);
  assert.equal(
    ask({ ...SHARE, handle: derived, rights: RIGHT.write }),
    derived + 1,
    'no right is left of it',
  );
  // The handle may stand for another by the time the kind has answered.
  system.personality.open = false;
  assert.equal(ask({ ...SHARE, handle: given, rights: RIGHT.read }), undefined);
  assert.equal(user.call('cap_close', given), 0);
  system.personality.open = true;
  system.kernel.wake(system.kernel.find('guard'));
  system.runAll();
  assert.equal(user.results()['1'], -ERRNO.BADF);
});

test('a kind before a ring is asked once for each time that it is entered, however long that waits', async () => {
  const { system, user, given } = await guardedOf(
    own((of) => of.handle),
    'check',
  );
  user.push({ op: OPERATION.timeout, offset: 100n, user: 9n });
  assert.equal(user.outcome('ring_enter', given, 1, 1, -1n).kind, 'blocked');
  assert.deepEqual(system.values('guard'), [70n, RIGHT.invoke]);
  system.powers.ns += 200n;
  system.runAll();
  assert.deepEqual(user.results(), { 9: 0 });
  assert.deepEqual(badges(system), [70n]);
  assert.equal(user.call('ring_enter', given, 0, 0, 0n), 0);
  assert.equal(user.call('ring_enter', given, 0, 0, 0n), 0);
  assert.equal(user.call('ring_enter', given, 0, 0, 0n), -ERRNO.DQUOT);
  assert.equal(user.enter(), 0, 'its own handle it has besides');
});

test('a kind before a table is asked for each object that is made of it', async () => {
  const { system, user, given } = await guardedOf(
    own((of) => of.call('table_create', of.handle, 3, 0)),
    'check',
  );
  for (const n of [1n, 2n, 3n]) assert.ok(user.call('table_object', given, n, RIGHTS_ALL) > 0);
  assert.equal(user.call('table_object', given, 4n, RIGHTS_ALL), -ERRNO.DQUOT);
  assert.deepEqual(system.values('guard').slice(0, 2), [70n, RIGHT.manage]);
});

test('a kind before a wait set is asked for each use, once also where that waits, over a crash', async () => {
  const { system, user, given } = await guardedOf(
    own((of) => of.call('waitset_create')),
    'check',
  );
  assert.equal(user.call('waitset_add', given, 0x8000, 5n), 0);
  assert.equal(user.outcome('waitset_wait', given, 0x8100, 4, -1n).kind, 'blocked');
  system.checkpoint();
  system.crash();
  system.runAll();
  system.space.setU32(user.base + 0x8000, 1);
  const { waits, peek } = system.kernel.core;
  const key = waits?.places.semaphore(peek(user.id) as Domain, 0x8000);
  assert.ok(typeof key === 'object');
  waits?.wake(key);
  system.runAll();
  assert.equal(user.read(0x8100, 1)[0], 5);
  assert.deepEqual(system.values('guard'), [70n, RIGHT.write, 70n, RIGHT.read]);
  assert.equal(user.call('waitset_remove', given, 0x8000), 0);
  assert.equal(user.call('waitset_remove', given, 0x8000), -ERRNO.DQUOT);
});
