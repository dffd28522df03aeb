/**
 * A space that is full at any allocation: each call of the kernel then gives an errno, and leaves nothing behind. Programs
 * neither end by it nor find out anything else.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../abi/errno.ts';
import { KERNEL_MODULE } from '../abi/objects.ts';
import { RING_SERVES } from '../abi/ring.ts';
import { WINDOW_BASE } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { type Space, SpaceFullError } from '../space/index.ts';
import { program, TestSystem } from './kernel.testing.ts';
import type { LoadedModule } from './program.ts';

const NOSPC = BigInt(ERRNO.NOSPC);
const WORDS: Readonly<Record<string, string>> = { i: 'i32', I: 'i64' };
const words = (letters: string): string => [...letters].map((letter) => WORDS[letter]).join(' ');

/** A program whose exports are all calls of the kernel; `env.full` is called before, `env.room` afterwards. */
async function caller(types: ReadonlyMap<string, string>): Promise<LoadedModule> {
  const list = [...types].map(([name, type]) => [name, ...type.split('=')] as const);
  const imports = list.map(
    ([name, takes, gives]) =>
      `(import "${KERNEL_MODULE}" "${name}" (func $${name} (param ${words(takes as string)}) (result ${words(gives as string)})))`,
  );
  const exports = list.map(([name, takes, gives]) => {
    const args = [...(takes as string)].map((_, i) => `(local.get ${i})`).join(' ');
    const type = `(param ${words(takes as string)}) (result ${words(gives as string)})`;
    return `(func (export "${name}") ${type} (call $full) (call $${name} ${args}) (call $room))`;
  });
  return program(`(module ${imports.join('\n')} (import "env" "full" (func $full)) (import "env" "room" (func $room))
    (memory (export "memory") 4)
    (func (export "gate:f") (param i32) (result i32) (local.get 0))
    (func (export "work"))
    ${exports.join('\n')})`);
}

/** From the n-th on, nothing more is given out. Gives back how it was. */
function fillUp(space: Space, n: number): () => void {
  let left = n;
  const use = (bytes: number): void => {
    if (left-- <= 0) throw new SpaceFullError(bytes);
  };
  const { heap, frames } = space;
  const [alloc, resize, extent] = [heap.alloc, heap.resize, frames.alloc];
  heap.alloc = (size) => {
    use(size);
    return alloc.call(heap, size);
  };
  heap.resize = (at, size) => {
    use(size);
    return resize.call(heap, at, size);
  };
  frames.alloc = (count, owner) => {
    use(count * 65536);
    return extent.call(frames, count, owner);
  };
  return () => {
    heap.alloc = alloc;
    heap.resize = resize;
    frames.alloc = extent;
  };
}

/** Arguments that have a chance to mean something: handles that there are, addresses, small numbers. */
function drawn(prng: Prng, letters: string, handles: readonly number[]): (number | bigint)[] {
  const near = (): number =>
    prng.pick([0x1000, 0x2000, 0x8000, WINDOW_BASE + 0x10000, WINDOW_BASE + 0x20000]);
  return [...letters].map((letter) => {
    if (letter === 'I') return prng.pick([0n, 0n, 1n, 3n, 4096n, 70_000n, 200_000n]);
    const what = prng.below(10);
    if (what < 5 && handles.length > 0) return prng.pick(handles);
    return what < 8 ? near() : prng.pick([0, 1, 2, 3, 8, 64, 255]);
  });
}

test('in a full space each call of the kernel gives an errno, and leaves nothing behind', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const table = new TestSystem().kernel.core.calls;
  const types = new Map(table.names().map((name) => [name, table.typeOf(name) as string]));
  const module = await caller(types);
  const names = [...types.keys()];
  const refused = new Set<string>();
  for (let life = 0; life < 40; life++) {
    const system = new TestSystem();
    let [fills, restore] = [false, (): void => {}];
    system.personality.calls.full = () => {
      if (fills) restore = fillUp(system.space, prng.below(4));
    };
    system.personality.calls.room = () => {
      restore();
      restore = () => {};
    };
    const { kernel } = system;
    const id = system.add('a', module, { resident: true });
    const call = (name: string, ...args: (number | bigint)[]): number => {
      const end = kernel.invoke(id, name, args);
      return end.kind === 'returned' ? Number(BigInt.asIntN(32, end.results[0]?.low ?? 0n)) : 0;
    };
    call('ring_create', 0x1000, 8, RING_SERVES);
    const segment = call('seg_create', 200_000n);
    call('seg_map', segment, 0n, 200_000n, 3, 0);
    call('table_create', call('ring_create', 0x4000, 4, RING_SERVES), 1, 2);
    call('domain_create', call('program_own'), 0x8000, 0, 0, 1);
    fills = true;
    for (let step = 0; step < 150; step++) {
      const domain = kernel.core.peek(id);
      if (domain === undefined || kernel.status(id).state !== 'created') break;
      const name = prng.pick(names);
      // What is named by a text outlives who named it.
      if (name === 'cap_sturdy' && life % 4 > 0) continue;
      const args = drawn(prng, (types.get(name) as string).split('=')[0] as string, [
        ...kernel.core.clists.handles(domain),
      ]);
      try {
        const end = kernel.invoke(id, name, args);
        if (end.kind === 'returned' && BigInt.asIntN(32, end.results[0]?.low ?? 0n) === -NOSPC)
          refused.add(name);
        assert.ok(
          end.kind !== 'trap' || !end.reason.includes('full'),
          `${name}(${args}): ${'reason' in end && end.reason}`,
        );
      } finally {
        restore();
      }
    }
    for (const each of kernel.ids()) if (kernel.core.peek(each) !== undefined) kernel.remove(each);
    const { objects, capabilities, rings } = kernel.core;
    if (life % 4 > 0)
      assert.deepEqual([objects.count, capabilities.count, rings.count], [0, 0, 0], `life ${life}`);
  }
  assert.ok(refused.size > 8, [...refused].join(' '));
  // What gives something back needs no room for it.
  for (const name of [
    'cap_close',
    'cap_revoke',
    'seg_unmap',
    'domain_destroy',
    'domain_stop',
    'waitset_remove',
  ])
    assert.ok(!refused.has(name), name);
});
