import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL, STURDY_BYTES } from '../../abi/objects.ts';
import { sha256 } from '../../base/sha256.ts';
import { Space } from '../../space/index.ts';
import type { Domain } from '../domain.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { Kernel } from '../kernel.ts';

const PROGRAM = program('(module (memory 1) (func (export "_start")))');

async function two() {
  const system = new TestSystem();
  const module = await PROGRAM;
  for (const name of ['a', 'b']) system.add(name, module);
  const of = (name: string): Domain => system.kernel.core.peek(system.kernel.find(name)) as Domain;
  const core = () => system.kernel.core;
  const handle = core().clists.make(of('a'), OBJECT.table);
  /** A text for what `a` has at a handle. */
  const sturdy = (at: number, rights = RIGHTS_ALL): string => {
    const found = core().clists.find(of('a'), at);
    assert.ok(typeof found !== 'number');
    const text = core().sturdies.make(found, found.rights & rights, of('a').account);
    assert.ok(typeof text === 'string');
    return text;
  };
  return { system, of, core, handle, sturdy };
}

test('a text gives the capability back, after a restart too, until that is revoked', async () => {
  const { system, of, core, handle, sturdy } = await two();
  const badged = core().clists.derive(of('a'), handle, RIGHT.read | RIGHT.share, 9n);
  const [text, other] = [sturdy(badged), sturdy(handle)];
  assert.match(text, /^perdure:[0-9a-f]{32}:[A-Za-z0-9_-]{43}$/);
  system.checkpoint();
  system.crash();
  const restored = system.kernel.authority.restore(text);
  const there = core().clists.insert(of('b'), restored.capability, restored.turn, restored.rights);
  const found = core().clists.find(of('b'), there);
  assert.ok(typeof found !== 'number');
  assert.deepEqual([found.badge, found.rights], [9n, RIGHT.read | RIGHT.share]);
  core().clists.revoke(of('a'), badged);
  assert.equal(core().clists.find(of('b'), there), -ERRNO.REVOKED);
  assert.throws(() => system.kernel.authority.restore(text), /it was revoked/);
  assert.throws(() => system.kernel.authority.restore(text), /there is none such/);
  core().clists.clear(of('a'));
  assert.ok(system.kernel.authority.restore(other), 'a text holds its object');
  system.kernel.authority.forgetSturdy(other);
  core().clists.clear(of('b'));
  assert.deepEqual([core().objects.count, core().capabilities.count, core().sturdies.count], [0, 0, 0]);
});

test('no other text gives anything, and the space does not hold the secret', async () => {
  const { system, core, handle, sturdy } = await two();
  const [text, other] = [sturdy(handle), sturdy(handle)];
  const [, object = '', secret = ''] = text.split(':');
  const wrong = [
    ...[
      '',
      'perdure:',
      `x${text}`,
      `${text}x`,
      text.toUpperCase(),
      `perdure:${object}:${secret.slice(0, -1)}`,
    ],
    ...[`perdure:${object}:${'A'.repeat(43)}`, `perdure:${'0'.repeat(32)}:${secret}`],
    `perdure:${object}:${secret.slice(0, -1)}${secret.endsWith('B') ? 'C' : 'B'}`,
    `perdure:${object}:${secret.startsWith('A') ? 'B' : 'A'}${secret.slice(1)}`,
  ];
  for (const each of wrong) {
    const errno = core().sturdies.find(each);
    assert.ok(errno === -ERRNO.INVAL || errno === -ERRNO.NOENT, each);
  }
  assert.notEqual(text, other);
  const bytes = Buffer.from(secret, 'base64url');
  assert.equal(bytes.length, 32);
  assert.equal(Buffer.from(system.space.u8.buffer).indexOf(bytes), -1);
  assert.equal(core().sturdies.count, 2);
});

test('a text for a domain works where the domain was carried to', async () => {
  const { system } = await two();
  const { authority } = system.kernel;
  const id = system.kernel.find('a');
  const text = authority.sturdy(authority.domain(id), RIGHT.read);
  const image = structuredClone(system.kernel.exportDomain(id));
  const module = await PROGRAM;
  const elsewhere = new Kernel(Space.create({ id: new Uint8Array(16).fill(8) }), system.kernelOptions());
  const arrived = elsewhere.importDomain(image, module);
  const restored = elsewhere.authority.restore(text);
  assert.equal(restored.rights, RIGHT.read);
  assert.equal(elsewhere.core.objects.a(elsewhere.core.capabilities.object(restored.capability)), arrived);
  const twin = elsewhere.importDomain(image, module, 'twin');
  assert.notEqual(
    elsewhere.authority.domain(twin).capability,
    elsewhere.authority.domain(arrived).capability,
  );
  elsewhere.remove(arrived);
  assert.throws(() => elsewhere.authority.restore(text), /the object is no more/);
  const bad = structuredClone(image);
  bad.object!.sturdies[0]!.hash = new Uint8Array(31);
  assert.throws(() => elsewhere.importDomain(bad, module, 'c'), /hash of a reference/);
  elsewhere.remove(twin);
  assert.deepEqual([elsewhere.core.objects.count, elsewhere.core.capabilities.count], [0, 0]);
});

test('who knows a text cannot take its place by an image of a program', async () => {
  const { system } = await two();
  const { authority, core } = system.kernel;
  const [a, b] = [system.kernel.find('a'), system.kernel.find('b')];
  const text = authority.sturdy(authority.domain(b), RIGHT.read);
  const image = structuredClone(system.kernel.exportDomain(a));
  const hash = sha256(Buffer.from(text.slice(-43), 'base64url'));
  image.object = { id: 'f'.repeat(32), sturdies: [{ hash, rights: 255, badge: 0n }] };
  system.kernel.importDomain(image, await PROGRAM, 'c');
  assert.equal(core.objects.a(core.capabilities.object(authority.restore(text).capability)), b);
});

test('texts for what is gone vanish with a restart', async () => {
  const { system, core, handle, sturdy } = await two();
  const text = sturdy(handle);
  const found = system.kernel.authority.restore(text);
  core().objects.destroy(core().capabilities.object(found.capability));
  system.checkpoint();
  system.crash();
  assert.equal(core().sturdies.count, 0);
});

const GUEST = program(`(module
  (import "env" "log" (func $log (param i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_describe" (func $describe (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_sturdy" (func $sturdy (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "cap_restore" (func $restore (param i32 i32) (result i32)))
  (import "perdure_kernel" "sturdy_forget" (func $forget (param i32 i32) (result i32)))
  (memory 1)
  (data (i32.const 16) "thing")
  (func (export "_start") (local $h i32)
    (local.set $h (call $granted (i32.const 16) (i32.const 5)))
    (call $log (call $sturdy (local.get $h) (i32.const 3) (i32.const ${65536 - STURDY_BYTES + 1})))
    (call $log (call $sturdy (local.get $h) (i32.const 3) (i32.const 1024)))
    (local.set $h (call $restore (i32.const 1024) (i32.const ${STURDY_BYTES})))
    (call $log (call $describe (local.get $h) (i32.const 512)))
    (call $log (i32.load (i32.const 516)))
    (call $log (call $sturdy (local.get $h) (i32.const 3) (i32.const 2048)))
    (call $log (call $restore (i32.const 1024) (i32.const 20)))
    (call $log (call $forget (i32.const 1024) (i32.const ${STURDY_BYTES})))
    (call $log (call $forget (i32.const 1024) (i32.const ${STURDY_BYTES})))
    (call $log (call $restore (i32.const -1) (i32.const ${STURDY_BYTES})))))`);

test('a program makes texts of what it may share, restores and forgets them', async () => {
  const { system } = await two();
  const grants = [{ name: 'thing', ...system.kernel.authority.domain(system.kernel.find('b')) }];
  const id = system.add('guest', await GUEST, { grants });
  system.kernel.start(id, '_start');
  system.runAll();
  assert.deepEqual(system.values('guest'), [
    ...[-ERRNO.FAULT, STURDY_BYTES, 0, RIGHT.read | RIGHT.write, -ERRNO.NOTCAPABLE],
    ...[-ERRNO.INVAL, 0, -ERRNO.NOENT, -ERRNO.FAULT],
  ]);
});
