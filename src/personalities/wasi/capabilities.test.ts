import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, RING_SERVES, TABLE_KIND } from '../../abi/ring.ts';
import { findGrant } from '../../kernel/capability/grants.ts';
import { load, TestSystem } from '../../kernel/kernel.testing.ts';
import { Kernel } from '../../kernel/kernel.ts';
import { RingUser } from '../../kernel/ring/ring.testing.ts';
import { Space } from '../../space/index.ts';
import { wat } from '../../wasm/wat.testing.ts';
import { type Grant, homeOf } from './grants.ts';
import { WasiPersonality } from './personality.ts';
import { FakePorts } from './ports.testing.ts';

/** A test system whose programs are those of WASI, and whose kernel serves rings besides. */
class WasiSystem extends TestSystem {
  readonly ports = new FakePorts();
  wasi: WasiPersonality;

  constructor() {
    super();
    const space = Space.create({ id: new Uint8Array(16).fill(5) });
    this.wasi = new WasiPersonality(space, this.ports);
    this.kernel = new Kernel(space, this.kernelOptions());
  }
  override kernelOptions() {
    // The first kernel is made before there is a personality of ours; nothing runs on it.
    return { ...super.kernelOptions(), ...(this.wasi === undefined ? {} : { personality: this.wasi }) };
  }
  /** A resident program whose exports are calls of WASI. */
  async program(name: string, text: string, grants: Grant[]): Promise<number> {
    const personalityState = this.wasi.createState({ args: [name], env: [], grants });
    return this.add(name, load(await wat(text)), { resident: true, personalityState });
  }
  run(name: string, entry: string, ...args: (number | bigint)[]): number {
    const end = this.kernel.invoke(this.kernel.find(name), entry, args);
    assert.equal(end.kind, 'returned');
    return Number(end.kind === 'returned' ? end.results[0]?.low : -1n);
  }
}

const WASI = 'wasi_snapshot_preview1';
const PROGRAM = `(module
  (import "${WASI}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "${WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "${WASI}" "fd_close" (func $close (param i32) (result i32)))
  (import "${WASI}" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "${WASI}" "random_get" (func $random (param i32 i32) (result i32)))
  (import "${WASI}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "${WASI}" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file") (data (i32.const 16) "\\40\\01\\00\\00\\0a\\00\\00\\00") (data (i32.const 32) "0123456789")
  (data (i32.const 24) "\\20\\00\\00\\00\\0a\\00\\00\\00")
  (func (export "read") (param i32) (result i32) (call $read (local.get 0) (i32.const 16) (i32.const 1) (i32.const 100)))
  (func (export "write") (param i32) (result i32) (call $write (local.get 0) (i32.const 24) (i32.const 1) (i32.const 100)))
  (func (export "close") (param i32) (result i32) (call $close (local.get 0)))
  (func (export "time") (result i32) (call $time (i32.const 0) (i64.const 1) (i32.const 200)))
  (func (export "random") (result i32) (call $random (i32.const 200) (i32.const 8)))
  (func (export "open") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1) (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 104)))
  (func (export "mkdir") (result i32) (call $mkdir (i32.const 3) (i32.const 0) (i32.const 1)))
  (func (export "moved") (result i32) (i32.load (i32.const 100)))
  (func (export "got") (result i32) (i32.load (i32.const 0x140))))`;

/** Revokes what a domain was granted under a name, from outside. */
function revoke(system: WasiSystem, program: string, name: string): void {
  const { core } = system.kernel;
  const domain = core.peek(system.kernel.find(program));
  assert.ok(domain);
  const handle = findGrant(core.space, domain, new TextEncoder().encode(name));
  assert.ok(handle > 0, name);
  const found = core.clists.find(domain, handle);
  assert.ok(typeof found !== 'number');
  core.capabilities.revoke(found.capability);
}

test('what a program was granted can be taken away: its descriptors are bad ones then, and can be closed', async () => {
  const system = new WasiSystem();
  await system.program('a', PROGRAM, [homeOf('a')]);
  assert.equal(system.run('a', 'write', 1), 0);
  assert.equal(system.run('a', 'open'), 0);
  assert.equal(system.run('a', 'write', 4), 0);
  revoke(system, 'a', 'stdout');
  assert.equal(system.run('a', 'write', 1), ERRNO.BADF);
  assert.equal(system.run('a', 'write', 2), 0);
  assert.equal(system.run('a', 'close', 1), 0);
  assert.equal(system.run('a', 'close', 1), ERRNO.BADF);
  // The folder takes along what was opened in it.
  revoke(system, 'a', '/');
  assert.equal(system.run('a', 'write', 4), ERRNO.BADF);
  assert.equal(system.run('a', 'open'), ERRNO.BADF);
  assert.equal(system.run('a', 'close', 4), 0);
  for (const source of ['time', 'random']) assert.equal(system.run('a', source), 0);
  revoke(system, 'a', 'clock');
  assert.equal(system.run('a', 'time'), ERRNO.NOTCAPABLE);
  assert.equal(system.run('a', 'random'), 0);
  revoke(system, 'a', 'random');
  assert.equal(system.run('a', 'random'), ERRNO.NOTCAPABLE);
  system.kernel.remove(system.kernel.find('a'));
  assert.equal(system.kernel.core.objects.count, 0);
});

test('an unmodified program reads and writes streams and files that another domain serves', async () => {
  const system = new WasiSystem();
  const server = await RingUser.make(system, 'server', 8, RING_SERVES);
  const held = (kind: number, number: bigint) => {
    const { core } = system.kernel;
    const domain = core.peek(server.id);
    assert.ok(domain);
    const table = server.call('table_create', server.handle, kind, 0);
    const found = core.clists.find(domain, server.call('table_object', table, number, RIGHTS_ALL));
    assert.ok(typeof found !== 'number');
    return { capability: found.capability, turn: found.turn, table };
  };
  const [stream, folder] = [held(TABLE_KIND.stream, 1n), held(TABLE_KIND.file, 2n)];
  await system.program('a', PROGRAM, [
    { kind: 'stream', fd: 0, ...stream },
    { kind: 'served', guest: '/', ...folder },
  ]);
  const id = system.kernel.find('a');
  assert.equal(system.kernel.invoke(id, 'read', [0]).kind, 'blocked');
  let [request] = server.requests();
  assert.ok(request);
  assert.deepEqual([request.op, request.object, request.room], [OPERATION.read, 1n, 10]);
  const data = { first: 0x5000, firstLength: server.write(0x5000, 'abcd') };
  server.submit({ op: OPERATION.reply, offset: request.number, rights: 4, ...data });
  server.completions();
  assert.equal(system.kernel.proceed(id).kind, 'returned');
  assert.equal(system.run('a', 'moved'), 4);
  assert.equal(system.run('a', 'got'), 0x64636261);
  // A file in its folder: opened, written, and gone with the server.
  assert.equal(system.kernel.invoke(id, 'open').kind, 'blocked');
  [request] = server.requests();
  assert.ok(request);
  assert.deepEqual([request.op, new TextDecoder().decode(request.data)], [OPERATION.open, 'file']);
  const object = server.call('table_object', folder.table, 3n, RIGHTS_ALL);
  server.submit({ op: OPERATION.reply, offset: request.number, rights: 0, other: object, limit: 4n });
  server.completions();
  assert.equal(system.kernel.proceed(id).kind, 'returned');
  assert.equal(system.kernel.invoke(id, 'write', [4]).kind, 'blocked');
  [request] = server.requests();
  assert.ok(request);
  assert.deepEqual([request.object, new TextDecoder().decode(request.data)], [3n, '0123456789']);
  system.checkpoint();
  server.submit({ op: OPERATION.reply, offset: request.number, rights: 7 });
  assert.equal(system.kernel.proceed(id).kind, 'returned');
  assert.equal(system.run('a', 'moved'), 7);
  assert.equal(system.kernel.invoke(id, 'mkdir').kind, 'blocked');
  system.kernel.kill(server.id);
  const end = system.kernel.proceed(id);
  assert.ok(end.kind === 'returned' && Number(end.results[0]?.low) === ERRNO.STALE);
  assert.equal(system.run('a', 'mkdir'), ERRNO.STALE);
  assert.equal(system.run('a', 'close', 4), 0);
  system.kernel.remove(id);
  assert.equal(system.kernel.core.rings.count, 0);
});
