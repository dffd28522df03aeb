/** Capabilities from outside: granted, narrowed, taken away, kept as texts. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { folderFor } from '../base/folder.testing.ts';
import { ERRNO, Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';

/** Waits for a line of input, then ends with what it may do with `x` (RIGHT bits), or with the errno. */
const PROBE = `(module
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_describe" (func $describe (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x")
  (data (i32.const 8) "\\40\\00\\00\\00\\01\\00\\00\\00")
  (func (export "_start") (local $x i32) (local $result i32)
    (local.set $x (call $granted (i32.const 0) (i32.const 1)))
    (drop (call $read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16)))
    ;; What was granted meanwhile counts too.
    (if (i32.lt_s (local.get $x) (i32.const 0))
      (then (local.set $x (call $granted (i32.const 0) (i32.const 1)))))
    (if (i32.lt_s (local.get $x) (i32.const 0))
      (then (call $exit (i32.sub (i32.const 0) (local.get $x)))))
    (local.set $result (call $describe (local.get $x) (i32.const 128)))
    (call $exit (if (result i32) (i32.lt_s (local.get $result) (i32.const 0))
      (then (i32.sub (i32.const 0) (local.get $result)))
      (else (i32.load (i32.const 132)))))))`;
let probe: Uint8Array;

before(async () => {
  probe = await wat(PROBE);
});

const stdout = (): void => {};

test('a program is granted another under a name, narrowed where that is said, and has nothing else', async (t) => {
  await using space = await Space.open(folderFor(t));
  const server = await space.spawn(probe, { name: 'server', stdout });
  const ends = async (imports: Parameters<Space['spawn']>[1]): Promise<number> => {
    const domain = await space.spawn(probe, { ...imports, stdout });
    domain.endInput();
    return domain.finished();
  };
  assert.equal(await ends({}), ERRNO.NOENT);
  assert.equal(await ends({ imports: { y: server } }), ERRNO.NOENT);
  assert.equal(await ends({ imports: { x: server } }), 255 - 64, 'all but revoke');
  assert.equal(await ends({ imports: { x: { to: server, rights: ['read', 'share'] } } }), 1 + 16);
  assert.equal(await ends({ imports: { x: 'clock' } }), 255 - 64);
  await assert.rejects(ends({ imports: { '': server } }), { code: 'bad-name' });
  const late = await space.spawn(probe, { stdout });
  await late.grant('x', { to: server, rights: ['invoke'] });
  const { capabilities, capabilityCount, account } = await late.inspect();
  const names = ['/', 'clock', 'random', 'stderr', 'stdin', 'stdout', 'x'];
  assert.deepEqual(capabilities.map(({ name }) => name).sort(), names);
  assert.equal(capabilityCount, names.length);
  assert.equal(account?.capabilities.used, names.length);
  const x = capabilities.find(({ name }) => name === 'x');
  assert.deepEqual([x?.name, x?.kind, x?.state, x?.rights], ['x', 'domain', 'good', ['invoke']]);
  late.endInput();
  assert.equal(await late.finished(), 4);
  await server.remove({ force: true });
  await assert.rejects(ends({ imports: { x: server } }), { code: 'no-such-domain' });
});

test('what is held is derived, revoked with all that came of it, and let go', async (t) => {
  await using space = await Space.open(folderFor(t));
  const server = await space.spawn(probe, { name: 'server', stdout });
  const whole = await server.capability();
  const part = await whole.derive({ rights: ['read', 'derive', 'share'], badge: 7n });
  const less = await part.derive({ rights: ['read', 'share', 'write'] });
  const holders = await Promise.all(
    [whole, part, less].map((x) => space.spawn(probe, { imports: { x }, stdout })),
  );
  const other = await space.spawn(probe, { imports: { x: server }, stdout });
  const report = (await holders[2]!.inspect()).capabilities[0];
  assert.deepEqual([report?.rights, report?.badge], [['read', 'share'], '7']);
  await assert.rejects(less.derive(), { code: 'no-capability', message: /NOTCAPABLE/ });
  await assert.rejects(part.derive({ badge: 8n }), { code: 'no-capability' });
  await part.revoke();
  assert.equal((await holders[1]!.inspect()).capabilities[0]?.state, 'REVOKED');
  await assert.rejects(less.derive(), { code: 'no-capability', message: /REVOKED/ });
  for (const domain of [...holders, other]) domain.endInput();
  const codes = await Promise.all([...holders, other].map((domain) => domain.finished()));
  assert.deepEqual(codes, [191, ERRNO.REVOKED, ERRNO.REVOKED, 191]);
  await part.derive({ rights: ['read'] });
  {
    await using gone = await part.derive({ rights: ['read', 'share'] });
    await space.spawn(probe, { imports: { x: gone } });
    await gone[Symbol.asyncDispose]();
    await assert.rejects(space.spawn(probe, { imports: { x: gone } }), { code: 'not-held' });
  }
});

test('a text gives a capability back after a restart, without the right to revoke, until it is forgotten', async (t) => {
  const folder = folderFor(t);
  let text: string;
  let all: string;
  {
    await using space = await Space.open(folder);
    const server = await space.spawn(probe, { name: 'server', stdout });
    await using capability = await server.capability({ rights: ['read', 'share', 'derive'] });
    text = await capability.sturdy();
    all = await server.sturdy({ rights: ['invoke', 'share'] });
    assert.match(text, /^perdure:[0-9a-f]{32}:/);
  }
  await using space = await Space.open(folder);
  await using restored = await space.restore(text);
  const domain = await space.spawn(probe, {
    imports: { x: { to: restored, rights: ['read', 'revoke'] } },
    stdout,
  });
  domain.endInput();
  assert.equal(await domain.finished(), 1);
  await assert.rejects(restored.revoke(), { code: 'no-capability', message: /NOTCAPABLE/ });
  assert.equal(await (await space.get('server')).inspect().then(({ state }) => state), 'waiting');
  await space.forget(text);
  await assert.rejects(space.restore(text), { code: 'bad-reference' });
  await assert.rejects(space.restore('perdure:1:2'), { code: 'bad-reference' });
  await (await space.get('server')).remove({ force: true });
  await assert.rejects(space.restore(all), { code: 'bad-reference', message: /no more/ });
});
