import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_BYTES } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { OWNER } from '../space/index.ts';
import { program, TestSystem } from './kernel.testing.ts';
import { toNumber } from './values.ts';

const MEMORIES = `(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (memory $a 1 100) (memory $b 2) (memory $c i64 0 5)
  (func $fill (i32.store $b (i32.const 100) (i32.const 0x6c6c6568))) (start $fill)
  (func (export "grow_a") (param i32) (result i32) (memory.grow $a (local.get 0)))
  (func (export "grow_b") (param i32) (result i32) (memory.grow $b (local.get 0)))
  (func (export "grow_c") (param i64) (result i64) (memory.grow $c (local.get 0)))
  (func (export "size_a") (result i32) (memory.size $a))
  (func (export "set_a") (param i32 i32) (i32.store $a (local.get 0) (local.get 1)))
  (func (export "get_a") (param i32) (result i32) (i32.load $a (local.get 0)))
  (func (export "set_b") (param i32 i32) (i32.store $b (local.get 0) (local.get 1)))
  (func (export "get_b") (param i32) (result i32) (i32.load $b (local.get 0)))
  (func (export "set_c") (param i64 i32) (i32.store $c (local.get 0) (local.get 1)))
  (func (export "get_c") (param i64) (result i32) (i32.load $c (local.get 0)))
  (func $nest (param $n i32) (result i32) (local $k i32)
    (local.set $k (i32.mul (local.get $n) (i32.const 4)))
    (i32.store $a (local.get $k) (local.get $n))
    (if (result i32) (local.get $n)
      (then (i32.add (call $nest (i32.sub (local.get $n) (i32.const 1))) (i32.load $a (local.get $k))))
      (else (call $wait (i32.const 10)))))
  (func (export "nest") (param i32) (call $log (call $nest (local.get 0))))
)`;
const module = program(MEMORIES);

async function resident(more: object = {}) {
  const system = new TestSystem();
  const id = system.add('a', await module, { resident: true, ...more });
  const call = (name: string, ...args: (number | bigint)[]): number | bigint | string | undefined => {
    const outcome = system.kernel.invoke(id, name, args);
    if (outcome.kind === 'returned') return outcome.results[0] && toNumber(outcome.results[0]);
    return outcome.kind === 'trap' ? outcome.reason : outcome.kind;
  };
  return { system, id, call };
}

test('memories grow to their maximum and not beyond, and keep their contents', async () => {
  const { call } = await resident();
  assert.equal(call('set_a', 65532, 11), undefined);
  assert.equal(call('get_a', 65533), 'out of bounds memory access');
  assert.equal(call('grow_a', 0), 1);
  assert.equal(call('grow_a', 50), 1);
  assert.equal(call('get_a', 65532), 11);
  assert.equal(call('get_a', 51 * 65536 - 4), 0);
  assert.equal(call('grow_a', 50), -1);
  assert.equal(call('grow_a', -1), -1);
  assert.equal(call('grow_a', 49), 51);
  assert.equal(call('size_a'), 100);
  assert.equal(call('get_b', 100), 0x6c6c6568);
  assert.equal(call('grow_b', 3), 2);
  assert.equal(call('get_b', 100), 0x6c6c6568);
  assert.equal(call('get_c', 0n), 'out of bounds memory access');
  assert.equal(call('grow_c', 2n), 0n);
  assert.equal(call('set_c', 70000n, 5), undefined);
  assert.equal(call('grow_c', 4n), -1n);
  assert.equal(call('grow_c', 2n ** 63n), -1n);
  assert.equal(call('grow_c', 3n), 2n);
  assert.equal(call('get_c', 70000n), 5);
});

test('growth past the memory limit is refused to the program, and so is a start', async () => {
  const { call, system } = await resident({ memoryLimitBytes: 10 * FRAME_BYTES });
  assert.equal(call('grow_a', 8), -1);
  assert.equal(call('grow_a', 7), 1);
  assert.equal(call('grow_b', 1), -1);
  assert.equal(call('grow_a', 1), -1);
  const blocks = system.space.heap.blockCount;
  const frames = system.space.frames.usedCount;
  assert.throws(
    () => system.add('b', [...system.modules.values()][0]!, { memoryLimitBytes: 2 * FRAME_BYTES }),
    {
      name: 'EnvironmentError',
      code: 'memory-limit',
    },
  );
  assert.equal(system.space.heap.blockCount, blocks, 'nothing is left of it');
  assert.equal(system.space.frames.usedCount, frames);
});

test('a program that is refused memory and fails for it ends with the limit as its reason', async () => {
  const text = `(module (import "env" "exit" (func $exit (param i32))) (memory 1)
    (func (export "abort") (if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)))
    (func (export "exit") (drop (memory.grow (i32.const 100))) (call $exit (i32.const 3)))
    (func (export "cope") (drop (memory.grow (i32.const 100)))))`;
  const loaded = await program(text);
  for (const [name, want] of [
    ['abort', 'unreachable; its memory limit of 2 MiB was reached'],
    ['exit', 'its memory limit of 2 MiB was reached'],
    ['cope', ''],
  ] as const) {
    const system = new TestSystem();
    const id = system.add('a', loaded, { memoryLimitBytes: 32 * FRAME_BYTES });
    system.kernel.start(id, name);
    system.runAll();
    assert.equal(system.kernel.status(id).reason, want);
  }
});

test('domains grow among each other, moving where they must, and never see what is not theirs', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const system = new TestSystem();
  const ids: number[] = [];
  const sizes = new Map<number, number>();
  const model = new Map<number, Map<number, number>>();
  const call = (id: number, name: string, ...args: (number | bigint)[]): unknown => {
    const outcome = system.kernel.invoke(id, name, args);
    assert.equal(outcome.kind, 'returned');
    return outcome.kind === 'returned' && outcome.results[0] && toNumber(outcome.results[0]);
  };
  const loaded = await module;
  for (let step = 0; step < 600; step++) {
    if (ids.length < 3 || (ids.length < 12 && prng.chance(0.1))) {
      const id = system.add(`d${step}`, loaded, { resident: true });
      ids.push(id);
      sizes.set(id, 1);
      model.set(id, new Map());
    }
    const id = prng.pick(ids);
    const pages = sizes.get(id) as number;
    const cells = model.get(id) as Map<number, number>;
    const kind = prng.below(10);
    if (kind < 2) {
      const more = prng.below(6);
      const got = call(id, 'grow_a', more);
      if (pages + more <= 100) {
        assert.equal(got, pages);
        sizes.set(id, pages + more);
      } else assert.equal(got, -1);
    } else if (kind === 2) {
      system.kernel.relocate(id);
    } else if (kind === 3 && ids.length > 3) {
      system.kernel.remove(id);
      ids.splice(ids.indexOf(id), 1);
    } else if (kind < 7) {
      const at = prng.below(pages * 16384) * 4;
      call(id, 'set_a', at, step + 1);
      cells.set(at, step + 1);
    } else {
      const at =
        cells.size > 0 && prng.chance(0.7) ? prng.pick([...cells.keys()]) : prng.below(pages * 16384) * 4;
      assert.equal(call(id, 'get_a', at), cells.get(at) ?? 0);
    }
  }
  for (const id of ids) {
    for (const [at, value] of model.get(id) as Map<number, number>)
      assert.equal(call(id, 'get_a', at), value);
    assert.equal(call(id, 'get_b', 100), 0x6c6c6568);
    system.kernel.remove(id);
  }
  for (const id of sizes.keys()) assert.equal(system.space.frames.ownedBy(OWNER.domain | id).length, 0);
});

const GROWING = `(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (memory $a 1) (memory $b 0)
  (func $deep (param $n i32) (result i32)
    (i32.store offset=100 (i32.shl (local.get $n) (i32.const 2)) (local.get $n))
    (if (result i32) (local.get $n)
      (then (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1)))
        (i32.load offset=100 (i32.shl (local.get $n) (i32.const 2)))))
      (else
        (i32.add (i32.mul (i32.const 1000000) (memory.grow $a (i32.const 7)))
          (i32.mul (i32.const 100000) (memory.grow $b (i32.const 3)))))))
  (func (export "run") (call $log (call $deep (i32.const 50)))
    (call $log (memory.size $a)) (call $log (memory.size $b))
    (drop (call $wait (i32.const 0)))))`;

for (const stress of [false, true]) {
  const how = stress ? ', unwound everywhere' : '';

  test(`code that grows a memory deep in its calls is off the native stack when it moves${how}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await program(GROWING));
    system.add('behind', await module); // so that memory 0 cannot grow where it is
    const places = (): number[] => system.space.frames.ownedBy(OWNER.domain | id);
    const before = places();
    system.kernel.start(id, 'run');
    system.runAll();
    assert.deepEqual(system.values('a'), [1_000_000 + 1275, 8, 3]);
    assert.deepEqual(
      before.filter((frame) => places().includes(frame)),
      [],
      'it has moved',
    );
  });

  test(`growth for which there is no room gives -1, once and for all${how}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await program(GROWING));
    system.kernel.start(id, 'run');
    for (let frames = 16384; frames >= 1; frames >>= 1) {
      try {
        for (;;) system.space.frames.alloc(frames, OWNER.domain | 999);
      } catch {}
    }
    system.runAll();
    assert.deepEqual(system.values('a'), [-1_000_000 - 100_000 + 1275, 1, 0]);
  });

  test(`a domain with live frames is moved, killed, and goes on${stress ? ', unwound everywhere' : ''}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await module);
    system.kernel.start(id, 'nest', [500]);
    system.runAll();
    assert.equal(system.kernel.status(id).state, 'blocked');
    const before = system.kernel.inspect(id).frames.length;
    const other = system.add('other', await module); // so that places differ
    system.kernel.relocate(id);
    system.kernel.remove(other);
    assert.equal(system.kernel.inspect(id).frames.length, before);
    system.checkpoint();
    system.kernel.relocate(id);
    system.checkpoint();
    system.crash();
    system.kernel.relocate(id);
    system.personality.open = true;
    system.kernel.wake(id);
    system.runAll();
    assert.deepEqual(system.values('a'), [11 + (500 * 501) / 2]);
    assert.equal(system.kernel.status(id).end, 'exit');
  });
}

test('a frame stack that needs more than the space has ends the program, not the kernel', async () => {
  const system = new TestSystem();
  const text = `(module (import "env" "wait" (func $wait (param i32) (result i32)))
    (func $down (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (else (call $wait (i32.const 0)))))
    (func (export "_start") (drop (call $down (i32.const 6000)))))`;
  const id = system.add('a', await program(text));
  system.kernel.start(id, '_start');
  const { frames } = system.space;
  // All but a few frames are taken, so the stack of 6000 frames finds no room.
  const hog: number[] = [];
  try {
    for (;;) hog.push(frames.alloc(16384, OWNER.domain | 999));
  } catch {}
  try {
    for (;;) hog.push(frames.alloc(1, OWNER.domain | 999));
  } catch {}
  system.runAll();
  const status = system.kernel.status(id);
  assert.equal(status.end, 'trap');
  assert.equal(status.reason, 'call stack exhausted');
});

test('what a domain leaves behind is zero for the next', async () => {
  const system = new TestSystem();
  const loaded = await module;
  const first = system.add('a', loaded, { resident: true });
  system.kernel.invoke(first, 'grow_a', [40]);
  for (let at = 0; at < 41 * 65536; at += 4096 * 7) system.kernel.invoke(first, 'set_a', [at, -1]);
  system.kernel.remove(first);
  const second = system.add('b', loaded, { resident: true });
  system.kernel.invoke(second, 'grow_a', [90]);
  for (let at = 0; at < 91 * 65536; at += 4096) {
    const outcome = system.kernel.invoke(second, 'get_a', [at]);
    assert.equal(outcome.kind === 'returned' && outcome.results[0]?.low, 0n);
  }
});

test('compaction brings free frames together, and every domain goes on', async () => {
  const system = new TestSystem();
  const loaded = await module;
  const ids = Array.from({ length: 20 }, (_, i) => system.add(`d${i}`, loaded));
  for (const id of ids) system.kernel.start(id, 'nest', [20]);
  system.runAll();
  for (const id of ids.filter((_, i) => i % 2 === 0)) system.kernel.remove(id);
  const kept = ids.filter((_, i) => i % 2 === 1);
  const highest = (): number =>
    Math.max(...kept.flatMap((id) => system.space.frames.ownedBy(OWNER.domain | id)));
  const before = highest();
  assert.ok(system.kernel.compact() > 0);
  while (system.kernel.compact() > 0);
  assert.ok(highest() < before);
  system.checkpoint();
  system.crash();
  system.personality.open = true;
  for (const id of kept) system.kernel.wake(id);
  system.runAll();
  for (const id of kept) assert.equal(system.kernel.status(id).end, 'exit');
  assert.equal(system.personality.logs.length, kept.length);
});

test('a frame stack that was deep is given back', async () => {
  const system = new TestSystem();
  const id = system.add('a', await module, { resident: true });
  system.kernel.invoke(id, 'grow_a', [10]);
  system.kernel.start(id, 'nest', [5000]);
  system.runAll();
  const deep = system.kernel.status(id).spaceBytes;
  system.checkpoint();
  assert.equal(system.kernel.status(id).spaceBytes, deep, 'not while it is deep');
  system.personality.open = true;
  system.kernel.wake(id);
  system.runAll();
  system.checkpoint();
  assert.ok(system.kernel.status(id).spaceBytes < deep);
  assert.deepEqual(system.values('a'), [11 + (5000 * 5001) / 2]);
  system.personality.open = false;
  system.kernel.start(id, 'nest', [5000]);
  system.runAll();
  system.crash();
  assert.equal(system.kernel.status(id).state, 'created');
});
