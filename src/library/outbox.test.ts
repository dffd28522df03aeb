/** What programs have written and nobody has heard, as their accounts are charged for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folderFor } from '../base/folder.testing.ts';
import { inspectionPage } from '../cli/show.ts';
import { type Domain, Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';

const LIMIT = 20_000;
/** Writes so many times 1,000 bytes, 0 for without end; ends with the errno where one fails. */
const writer = (times: number) =>
  wat(`(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\40\\00\\00\\00\\e8\\03\\00\\00")
    (func (export "_start") (local $n i32) (local $e i32)
      (memory.fill (i32.const 64) (i32.const 120) (i32.const 999))
      (i32.store8 (i32.const 1063) (i32.const 10))
      (loop $l
        (local.set $e (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (if (local.get $e) (then (call $exit (local.get $e))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $l (i32.ne (local.get $n) (i32.const ${times}))))))`);

/** What waits, when that is no longer more than before. */
async function settled(domain: Domain): Promise<number> {
  for (let before = -1; ; ) {
    const { account } = await domain.inspect();
    const used = account?.outbox.used as number;
    if (used === before && used > 0) return used;
    before = used;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a program that nobody listens to has so much waiting and no more, also in the next process; then all of it is heard', async (t) => {
  const folder = folderFor(t);
  {
    await using space = await Space.open(folder);
    const flood = await space.spawn(await writer(0), { name: 'flood', outboxLimitBytes: LIMIT });
    const used = await settled(flood);
    assert.ok(used > LIMIT - 100 && used <= LIMIT, `${used}`);
    assert.match(inspectionPage(await flood.inspect()), /outbox 19\.5 KiB of 19\.5 KiB/);
    // Others have their own.
    let heard = 0;
    const stdout = (bytes: Uint8Array): void => {
      heard += bytes.length;
    };
    const calm = await space.spawn(await writer(100), { stdout });
    assert.equal(await calm.finished(), 0);
    while (heard < 100_000) await new Promise((resolve) => setTimeout(resolve, 5));
    const mute = await space.spawn(await writer(1), { outboxLimitBytes: 10 });
    assert.equal((await mute.ended()).exitCode, 19, 'DQUOT: there will never be room');
    await space.checkpoint();
  }
  await using space = await Space.open(folder);
  const flood = await space.get('flood');
  assert.ok((await settled(flood)) <= LIMIT);
  let text = '';
  const { promise, resolve } = Promise.withResolvers<void>();
  await flood.follow((bytes) => {
    text += Buffer.from(bytes).toString('latin1');
    if (text.length > 10 * LIMIT) resolve();
  });
  await promise;
  assert.ok(/^(x*\n)+x*$/.test(text), 'all of it, and nothing else');
});
