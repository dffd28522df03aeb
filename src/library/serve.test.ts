/** Objects served in TypeScript, asked by programs through rings; over restarts, too. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { ATTRIBUTE, LISTED, LISTED_BYTES, OPERATION, OPTION } from '../abi/ring.ts';
import { folderFor } from '../base/folder.testing.ts';
import { ERRNO, GuestError, type RequestContext, type ServedObject, Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';

/**
 * Does what its input says to the object `x`, one operation after the other, until it ends: 32 bytes for each (u32 operation,
 * options, method, bytes given first, bytes given second, room; u64 offset), then what is given, padded to 256 bytes. For
 * each it writes 264 bytes: i32 result, u32 zero, and what was filled in.
 */
const CLIENT = `(module
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "ring_create" (func $create (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "ring_enter" (func $enter (param i32 i32 i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x")
  (func $all (param $fd i32) (param $at i32) (param $length i32) (result i32)
    (loop $more
      (i32.store (i32.const 8) (local.get $at))
      (i32.store (i32.const 12) (local.get $length))
      (if (if (result i32) (local.get $fd)
            (then (call $write (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16)))
            (else (call $read (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16))))
        (then unreachable))
      (if (i32.eqz (i32.load (i32.const 16))) (then (return (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 16))))
      (br_if $more (local.tee $length (i32.sub (local.get $length) (i32.load (i32.const 16))))))
    (i32.const 1))
  (func (export "_start") (local $ring i32) (local $x i32) (local $turn i32) (local $s i32)
    (local.set $ring (call $create (i32.const 4096) (i32.const 4) (i32.const 0)))
    (local.set $x (call $granted (i32.const 0) (i32.const 1)))
    (block $end (loop $next
      (br_if $end (i32.eqz (call $all (i32.const 0) (i32.const 1024) (i32.const 288))))
      (memory.fill (i32.const 2048) (i32.const 0) (i32.const 264))
      ;; The submission, at its place of four.
      (local.set $s (i32.add (i32.const 4224) (i32.shl (i32.and (local.get $turn) (i32.const 3)) (i32.const 6))))
      (memory.fill (local.get $s) (i32.const 0) (i32.const 64))
      (i32.store8 (local.get $s) (i32.load (i32.const 1024)))
      (i32.store offset=56 (local.get $s) (i32.load (i32.const 1028)))
      (i32.store16 offset=2 (local.get $s) (i32.load (i32.const 1032)))
      (i32.store offset=4 (local.get $s) (local.get $x))
      (i64.store offset=24 (local.get $s) (i64.load (i32.const 1048)))
      (i32.store offset=16 (local.get $s) (i32.const 1056))
      (i32.store offset=20 (local.get $s) (i32.load (i32.const 1036)))
      (i32.store offset=40 (local.get $s) (i32.add (i32.const 1056) (i32.load (i32.const 1036))))
      (i32.store offset=44 (local.get $s) (i32.load (i32.const 1040)))
      ;; What is to be filled is the second buffer, or the first where nothing is given in it.
      (if (i32.load (i32.const 1044)) (then
        (if (i32.or (i32.eq (i32.load (i32.const 1024)) (i32.const ${OPERATION.read}))
                    (i32.eq (i32.load (i32.const 1024)) (i32.const ${OPERATION.list})))
          (then (i32.store offset=16 (local.get $s) (i32.const 2056))
                (i32.store offset=20 (local.get $s) (i32.load (i32.const 1044))))
          (else (i32.store offset=40 (local.get $s) (i32.const 2056))
                (i32.store offset=44 (local.get $s) (i32.load (i32.const 1044)))))))
      (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
      (i32.store (i32.const 4160) (local.get $turn))
      (drop (call $enter (local.get $ring) (i32.const 1) (i32.const 1) (i64.const -1)))
      ;; Its completion, of eight.
      (i32.store (i32.const 2048) (i32.load offset=8 (i32.add (i32.const 4480)
        (i32.shl (i32.and (i32.sub (local.get $turn) (i32.const 1)) (i32.const 7)) (i32.const 5)))))
      (i32.store (i32.const 4164) (local.get $turn))
      (drop (call $all (i32.const 1) (i32.const 2048) (i32.const 264)))
      (br $next)))))`;
let client: Uint8Array;

before(async () => {
  client = await wat(CLIENT);
});

interface Asked {
  readonly operation: number;
  readonly options?: number;
  readonly method?: number;
  readonly first?: string | Uint8Array;
  readonly second?: string | Uint8Array;
  readonly room?: number;
  readonly offset?: bigint;
}

function encode(asked: Asked): Uint8Array {
  const bytes = Buffer.alloc(288);
  const [first, second] = [Buffer.from(asked.first ?? ''), Buffer.from(asked.second ?? '')];
  const words = [
    asked.operation,
    asked.options ?? 0,
    asked.method ?? 0,
    first.length,
    second.length,
    asked.room ?? 0,
  ];
  words.forEach((word, i) => {
    bytes.writeUInt32LE(word, 4 * i);
  });
  bytes.writeBigUInt64LE(asked.offset ?? 0n, 24);
  bytes.set(first, 32);
  bytes.set(second, 32 + first.length);
  return bytes;
}

/** Takes answers as they come. */
function answers() {
  let bytes = Buffer.alloc(0);
  const waiting: (() => void)[] = [];
  return {
    take(more: Uint8Array) {
      bytes = Buffer.concat([bytes, more]);
      for (const look of waiting.splice(0)) look();
    },
    async next(): Promise<{ result: number; filled: Buffer }> {
      while (bytes.length < 264) await new Promise<void>((resolve) => waiting.push(resolve));
      const result = bytes.readInt32LE(0);
      const filled = bytes.subarray(8, 264);
      bytes = bytes.subarray(264);
      return { result, filled };
    },
  };
}

async function clientOf(space: Space, imports: Parameters<Space['spawn']>[1]) {
  const said = answers();
  const domain = await space.spawn(client, { name: 'client', ...imports, stdout: said.take });
  const ask = async (asked: Asked) => {
    domain.write(encode(asked));
    return said.next();
  };
  return { domain, ask, said };
}

test('what a program asks of an object, TypeScript answers', async (t) => {
  await using space = await Space.open(folderFor(t));
  const calls: unknown[] = [];
  const contexts: RequestContext[] = [];
  const object: ServedObject = {
    read: ({ offset, length }, context) => {
      contexts.push(context);
      calls.push(['read', offset, length]);
      return Buffer.from('some bytes').subarray(Number(offset ?? 0));
    },
    write: async (bytes, { offset }) => {
      calls.push(['write', Buffer.from(bytes).toString(), offset]);
      if (offset === 'end') return 2;
    },
    list: () => [{ name: 'a' }, { name: 'folder', type: 'folder' }],
    describe: (path) => {
      if (path === 'none') throw new GuestError(ERRNO.NOENT);
      return { size: 123, modifiedNs: 5n };
    },
    create: (path, { link }) => void calls.push(['create', path, link]),
    remove: (path, { folder }) => {
      calls.push(['remove', path, folder]);
      throw new Error('broken');
    },
    invoke: (method, bytes) =>
      method === 9 ? { result: 77 } : Buffer.concat([bytes, Buffer.from(`${method}`)]),
  };
  const problems: string[] = [];
  await using events = space.events();
  await using served = await space.serve('thing', object);
  const { domain, ask } = await clientOf(space, { imports: { x: served } });
  const read = await ask({ operation: OPERATION.read, room: 6, offset: 5n });
  assert.deepEqual([read.result, read.filled.subarray(0, 6).toString()], [5, 'bytes\0']);
  const [first] = contexts;
  assert.deepEqual([first?.badge, first?.again, first?.rights.includes('revoke')], [0n, false, false]);
  assert.equal((await ask({ operation: OPERATION.write, first: 'hello', offset: 2n ** 64n - 1n })).result, 5);
  assert.equal((await ask({ operation: OPERATION.write, first: 'more', offset: 2n ** 64n - 2n })).result, 2);
  const list = await ask({ operation: OPERATION.list, room: 200 });
  const at = LISTED_BYTES + 1;
  assert.equal(list.result, at + LISTED_BYTES + 6);
  assert.equal(list.filled.subarray(at + LISTED_BYTES, list.result).toString(), 'folder');
  assert.deepEqual([list.filled[LISTED.type], list.filled[at + LISTED.type]], [4, 3]);
  const rest = await ask({ operation: OPERATION.list, room: 200, offset: 1n });
  assert.equal(rest.result, LISTED_BYTES + 6, 'from the cookie on');
  const told = await ask({ operation: OPERATION.describe, first: 'f', room: 64 });
  assert.deepEqual([told.result, told.filled.readUInt32LE(ATTRIBUTE.size)], [64, 123]);
  assert.equal((await ask({ operation: OPERATION.describe, first: 'none', room: 64 })).result, -ERRNO.NOENT);
  assert.equal((await ask({ operation: OPERATION.create, first: 'd', options: OPTION.directory })).result, 0);
  const symbolic = { operation: OPERATION.create, first: 'l', second: 'to', options: OPTION.symbolic };
  assert.equal((await ask(symbolic)).result, 0);
  assert.equal((await ask({ operation: OPERATION.remove, first: 'f' })).result, -ERRNO.IO);
  const invoked = await ask({ operation: OPERATION.invoke, method: 300, first: 'ab', room: 10 });
  assert.deepEqual([invoked.result, invoked.filled.subarray(0, 5).toString()], [5, 'ab300']);
  assert.equal((await ask({ operation: OPERATION.invoke, method: 9 })).result, 77);
  assert.equal((await ask({ operation: OPERATION.sync })).result, -ERRNO.NOTSUP);
  assert.equal((await ask({ operation: OPERATION.open, first: 'f' })).result, -ERRNO.NOTSUP);
  assert.deepEqual(calls, [
    ['read', 5n, 6],
    ['write', 'hello', null],
    ['write', 'more', 'end'],
    ['create', 'd', null],
    ['create', 'l', 'to'],
    ['remove', 'f', false],
  ]);
  domain.endInput();
  assert.equal(await domain.finished(), 0);
  for await (const event of events) {
    if (event.kind === 'problem') problems.push(event.text);
    if (event.kind === 'ended') break;
  }
  assert.deepEqual(problems, ['thing: broken']);
});

test('each program has its own badge, rights hold, and an object that ends is gone until it is served again', async (t) => {
  await using space = await Space.open(folderFor(t));
  const badges: bigint[] = [];
  const object: ServedObject = { read: (_, { badge }) => Buffer.from([badges.push(badge)]) };
  const served = await space.serve('counter', object);
  await assert.rejects(space.serve('counter', object), { code: 'name-taken' });
  await using root = await space.hold(served);
  await using lent = await root.derive({ rights: ['read', 'share'], badge: 42n });
  const { ask } = await clientOf(space, { imports: { x: lent } });
  const read = { operation: OPERATION.read, room: 1 };
  assert.equal((await ask(read)).result, 1);
  assert.equal((await ask({ operation: OPERATION.write, first: 'x' })).result, -ERRNO.NOTCAPABLE);
  await served[Symbol.asyncDispose]();
  assert.equal((await ask(read)).result, -ERRNO.GONE);
  await using again = await space.serve('counter', object);
  assert(again);
  assert.equal((await ask(read)).result, 1);
  await lent.revoke();
  assert.equal((await ask(read)).result, -ERRNO.REVOKED);
  assert.deepEqual(badges, [42n, 42n]);
});

for (const unanswered of ['again', 'fail'] as const) {
  test(`a request that a restart finds unanswered is to ${unanswered === 'again' ? 'come again' : 'fail'}`, async (t) => {
    const folder = folderFor(t);
    const seen: RequestContext[] = [];
    {
      await using space = await Space.open(folder);
      const arrived = Promise.withResolvers<void>();
      const object: ServedObject = {
        invoke: (_method, _bytes, context) => {
          seen.push(context);
          arrived.resolve();
          return new Promise(() => {});
        },
      };
      const served = await space.serve('slow', object, { unanswered });
      const { domain } = await clientOf(space, { imports: { x: served } });
      domain.write(encode({ operation: OPERATION.invoke, method: 1, first: 'abc', room: 8 }));
      await arrived.promise;
    }
    await using space = await Space.open(folder);
    const domain = await space.get('client');
    const said = answers();
    await domain.follow(said.take);
    if (unanswered === 'again') {
      const bytes: string[] = [];
      const object: ServedObject = {
        invoke: (_method, given, context) => {
          seen.push(context);
          bytes.push(Buffer.from(given).toString());
          return Buffer.from('late');
        },
      };
      await space.serve('slow', object);
      const { result, filled } = await said.next();
      assert.deepEqual([result, filled.subarray(0, 4).toString(), bytes], [4, 'late', ['abc']]);
      assert.deepEqual(
        seen.map(({ again }) => again),
        [false, true],
      );
      assert.equal(seen[0]?.id, seen[1]?.id);
    } else assert.equal((await said.next()).result, -ERRNO.GONE);
    domain.endInput();
    assert.equal(await domain.finished(), 0);
  });
}

test('a program knows no difference: its standard streams can be objects served in TypeScript', async (t) => {
  await using space = await Space.open(folderFor(t));
  const said = answers();
  const input = [encode({ operation: OPERATION.nop }), encode({ operation: OPERATION.nop })];
  await using stdin = await space.serve('in', { read: () => input.shift() ?? new Uint8Array(0) });
  await using stdout = await space.serve('out', { write: (bytes) => said.take(bytes) });
  const domain = await space.spawn(client, { imports: { stdin, stdout } });
  assert.equal((await said.next()).result, 0);
  assert.equal((await said.next()).result, 0);
  assert.equal(await domain.finished(), 0);
});
