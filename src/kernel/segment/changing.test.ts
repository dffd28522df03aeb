/**
 * What another domain can write may change between any two reads. Here it does: after each read of bytes in a window all of
 * the segment is overwritten, so that who reads twice gets something else the second time. Calls over input in such a
 * window do what they do over the same input in own memory.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { toNumber } from '../values.ts';

const CALLS: Readonly<Record<string, string>> = {
  granted: 'ii=i',
  cap_restore: 'ii=i',
  sturdy_forget: 'ii=i',
  account_own: '=i',
  account_divide: 'ii=i',
  wait_any: 'iiI=i',
  seg_create: 'I=i',
  seg_map: 'iIIii=I',
  seg_write: 'iIii=i',
  seg_read: 'iIii=i',
};
const type = (letters: string): string => [...letters].map((c) => (c === 'i' ? 'i32' : 'i64')).join(' ');
const PROGRAM = program(`(module
  ${Object.entries(CALLS)
    .map(([name, t]) => {
      const [takes, gives] = t.split('=') as [string, string];
      return `(import "perdure_kernel" "${name}" (func $${name} (param ${type(takes)}) (result ${type(gives)})))
        (export "${name}" (func $${name}))`;
    })
    .join('\n')}
  (memory (export "memory") 2))`);

const INPUT = 4096;

/** A domain with a segment mapped; `put` writes input where calls are to find it, in own memory or in the window. */
async function domain(changing: boolean) {
  const system = new TestSystem();
  const id = system.add('a', await PROGRAM, { resident: true });
  const { core } = system.kernel;
  const whose = core.peek(id)!;
  const call = (name: string, ...args: (number | bigint)[]): number => {
    const given = args.map((arg) => (typeof arg === 'number' ? arg | 0 : arg));
    const outcome = system.kernel.invoke(id, name, given);
    assert.ok(outcome.kind === 'returned', `${name}: ${JSON.stringify(outcome.kind)}`);
    return Number(toNumber(outcome.results[0]!));
  };
  const handle = call('seg_create', 8192n);
  const near = call('seg_map', handle, 0n, 8192n, 3, 0);
  const pointer = changing ? near : INPUT;
  const at = changing ? core.windows.resolve(whose, near, 8192, true) : whose.addressOf(0) + INPUT;
  let changes = 0;
  if (changing) {
    const { space } = system;
    const read = space.readBytes.bind(space);
    space.readBytes = (from, length) => {
      const copy = read(from, length);
      if (from >= at && from < at + 8192) {
        space.u8.fill(0xee, at, at + 8192);
        changes++;
      }
      return copy;
    };
  }
  const put = (bytes: Uint8Array): number => {
    system.space.writeBytes(at, bytes);
    return pointer;
  };
  return { system, id, call, put, handle, changes: () => changes };
}

test('input that changes between two reads is read once', async () => {
  const results: unknown[] = [];
  for (const changing of [false, true]) {
    const { system, id, call, put, changes } = await domain(changing);
    const { authority } = system.kernel;
    const text = (value: string): [number, number] => {
      const bytes = new TextEncoder().encode(value);
      return [put(bytes), bytes.length];
    };
    const got: number[] = [];
    authority.grant(id, { name: 'a-thing', ...authority.domain(id) });
    got.push(call('granted', ...text('a-thing')), call('granted', ...text('another')));
    const sturdy = authority.sturdy(authority.domain(id), RIGHTS_ALL);
    got.push(call('cap_restore', ...text(sturdy)), call('cap_restore', ...text(sturdy.replace(/.$/, 'x'))));
    got.push(call('sturdy_forget', ...text('perdure:')));
    const parts = new Uint8Array(new BigUint64Array([1000n, 1000n, 1n, 1n, 1n, 1n]).buffer);
    got.push(call('account_divide', call('account_own'), put(parts)));
    // Two semaphores in own memory, the second of which has something to take.
    system.space.setU32(system.kernel.core.peek(id)!.addressOf(0) + 1032, 1);
    const list = put(new Uint8Array(new Uint32Array([1024, 1032]).buffer));
    got.push(call('wait_any', list, 2, 0n));
    assert.equal(changes() > 0, changing);
    results.push(got);
  }
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual((results[0] as number[]).slice(-1), [1]);
});

test('bytes that are copied while they change are those of one moment or another, and nothing beside them is written', async () => {
  const { system, call, put, handle } = await domain(true);
  const other = call('seg_create', 16n);
  const pointer = put(new Uint8Array(64).fill(3));
  assert.equal(call('seg_write', other, 0n, pointer, 16), 16);
  assert.equal(call('seg_write', other, 1n, pointer, 16), -ERRNO.INVAL);
  assert.equal(call('seg_read', other, 0n, 256, 100), 16);
  const own = system.kernel.core.peek(system.kernel.find('a'))!.addressOf(0);
  const bytes = [...system.space.u8.subarray(own + 256, own + 256 + 20)];
  assert.deepEqual(bytes, [...new Array<number>(16).fill(3), 0, 0, 0, 0]);
  // Out of and into the same segment, one over the other.
  put(Uint8Array.from({ length: 64 }, (_, i) => i));
  assert.equal(call('seg_write', handle, 8n, pointer, 32), 32);
  assert.equal(call('seg_read', handle, 8n, 512, 32), 32);
  assert.deepEqual(
    [...system.space.u8.subarray(own + 512, own + 544)],
    Array.from({ length: 32 }, (_, i) => i),
  );
});
