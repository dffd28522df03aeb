import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { APPEND_OFFSET, OPERATION, OPTION, SUBMIT } from '../../abi/ring.ts';
import { seedFrom } from '../../base/prng.ts';
import type { TestSystem } from '../../kernel/kernel.testing.ts';
import { RingUser, type Submission } from '../../kernel/ring/ring.testing.ts';
import { DriverMachine } from './drivers.testing.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
const op = OPERATION;

async function begin(t: TestContext) {
  const path = mkdtempSync(join(tmpdir(), 'perdure-ring-host-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  const machine = new DriverMachine(seed);
  t.after(() => machine.close());
  const user = await RingUser.make(machine as unknown as TestSystem, 'guest', 16);
  const grant = machine.folder(path);
  assert.ok(grant.kind === 'host');
  const held = machine.kernel.core.hosts.capability({ kind: 'port', id: grant.id });
  const handle = machine.kernel.authority.grant(user.id, { name: 'folder', ...held });
  await machine.checkpoint();
  const at = (text: string, to: number): Partial<Submission> => ({
    first: to,
    firstLength: user.write(to, text),
  });
  return { path, machine, user, handle, at };
}

test('what changes a folder of the host is under way until it is durable there, over kills at any moment', async (t) => {
  for (const chance of [0, 0.3]) {
    const { path, machine, user, handle, at } = await begin(t);
    const { link } = SUBMIT;
    const results: Record<string, number> = {};
    /** Submits, and takes a checkpoint or dies until all has completed. */
    const done = async (...list: Submission[]): Promise<void> => {
      user.push(...list);
      assert.equal(user.enter(list.length), list.length);
      const want = list.map(({ user: n }) => String(n));
      for (let tries = 0; want.some((n) => results[n] === undefined); tries++) {
        assert.ok(tries < 1000, JSON.stringify(results));
        // The first one holds what was submitted: a crash goes back to that.
        await machine.checkpoint(tries === 0 ? 0 : chance);
        if (tries === 0 && chance > 0) await machine.crash();
        machine.kernel.run();
        for (const { user: n, result } of user.peek()) results[String(n)] = result;
      }
      await machine.checkpoint();
      user.completions();
      await machine.checkpoint();
    };
    await done(
      { op: op.create, user: 1n, handle, ...at('dir', 0x5000), options: OPTION.directory, flags: link },
      { op: op.open, user: 2n, handle, ...at('dir/file', 0x5100), options: OPTION.create | OPTION.write },
    );
    assert.equal(results['1'], 0);
    const file = results['2'] as number;
    assert.ok(file > 0, JSON.stringify(results));
    await done(
      { op: op.write, user: 3n, handle: file, ...at('hello', 0x5200), offset: APPEND_OFFSET, flags: link },
      { op: op.write, user: 4n, handle: file, ...at(' world', 0x5300), offset: APPEND_OFFSET, flags: link },
      { op: op.sync, user: 5n, handle: file, flags: link },
      {
        ...{ op: op.rename, user: 6n, handle, ...at('dir/file', 0x5400) },
        ...{ second: 0x5500, secondLength: user.write(0x5500, 'moved') },
      },
    );
    assert.deepEqual([results['3'], results['4'], results['5'], results['6']], [5, 6, 0, 0]);
    assert.equal(readFileSync(join(path, 'moved'), 'utf8'), 'hello world');
    assert.equal(machine.kernel.core.rings.count, 0);
  }
});

test('what was begun on the host and given up happens, unseen, and nothing of it stays', async (t) => {
  const { path, machine, user, handle, at } = await begin(t);
  const folder = { op: op.create, options: OPTION.directory, handle };
  user.submit(
    { ...folder, user: 1n, ...at('a', 0x5000) },
    { ...folder, user: 2n, ...at('b', 0x5100), limit: 1n },
    { op: op.open, user: 3n, handle, ...at('c', 0x5200), options: OPTION.create },
    { op: op.cancel, user: 4n, offset: 1n },
    { op: op.cancel, user: 5n, offset: 3n },
  );
  machine.kernel.run();
  const { CANCELED, TIMEDOUT } = ERRNO;
  assert.deepEqual(user.results(), { 1: -CANCELED, 2: -TIMEDOUT, 3: -CANCELED, 4: 0, 5: 0 });
  assert.equal(machine.kernel.core.rings.count, 3);
  const handles = user.call('cap_count');
  await machine.checkpoint();
  await machine.crash();
  for (let i = 0; i < 10 && machine.kernel.core.rings.count > 0; i++) {
    await machine.checkpoint();
    machine.kernel.run();
  }
  assert.equal(machine.kernel.core.rings.count, 0);
  for (const name of ['a', 'b', 'c']) assert.ok(existsSync(join(path, name)), name);
  assert.equal(user.call('cap_count'), handles);
  assert.deepEqual(user.results(), {});
});
