import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESUME_MODE_OFFSET, STATE_OFFSET } from '../abi/layout.ts';
import { FRAME_BYTES } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { OWNER } from '../space/index.ts';
import type { DomainImage } from './image.ts';
import { program, TestSystem } from './kernel.testing.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
const random = (): Prng => {
  console.log(`PERDURE_SEED=${seed}`);
  return new Prng(seed);
};

/** No loops, so that whatever is made of its frames comes to an end. */
const PROGRAM = program(`(module
  (import "env" "log64" (func $log64 (param i64)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "fill" (func $fill (param i32 i32) (result i32)))
  (import "env" "grab" (func $grab (param i32)))
  (tag $t (param i64 f64))
  (memory 2 4) (memory $b 1)
  (table $t 4 8 funcref)
  (global $g (mut i32) (i32.const 3)) (global $f (mut funcref) (ref.null func)) (global $v (mut v128) (v128.const i64x2 1 2))
  (elem declare func $leaf)
  (func $leaf (result i32) (i32.const 9))
  (func $deep (param $n i32) (param $x i64) (param $f f64) (param $v v128) (param $r funcref) (result i64)
    (i64.store (local.get $n) (local.get $x))
    (drop (call $fill (i32.mul (local.get $n) (i32.const 8)) (local.get $n)))
    (table.set $t (i32.and (local.get $n) (i32.const 3)) (local.get $r))
    (global.set $f (local.get $r))
    (memory.copy $b 0 (local.get $n) (local.get $n) (i32.const 8))
    (if (result i64) (i32.and (local.get $n) (i32.const 63))
      (then (i64.add (local.get $x)
        (call $deep (i32.sub (local.get $n) (i32.const 1)) (i64.add (local.get $x) (i64.const 1)) (local.get $f) (i64x2.splat (local.get $x)) (ref.func $leaf))))
      (else (i64.add (i64.extend_i32_s (call $wait (i32.const 1))) (i64.trunc_sat_f64_s (local.get $f))))))
  (func $try (param i32) (result i64)
    (block $h (result i64 f64 exnref)
      (try_table (catch_ref $t $h) (return (call $deep (local.get 0) (i64.const 5) (f64.const 2.5) (v128.const i64x2 0 0) (ref.null func))))
      unreachable)
    (drop) (drop))
  (func (export "_start") (call $grab (i32.const 4)) (call $log64 (call $try (i32.const 40)))))`);

/** A domain that waits deep in its calls, between two that must not be touched. */
async function surrounded() {
  const system = new TestSystem();
  const module = await PROGRAM;
  const canary = (): number => {
    const at = system.space.frames.alloc(2, OWNER.domain | 0x7777);
    system.space.u8.fill(0x5c, at, at + 2 * FRAME_BYTES);
    system.space.mark(at, 2 * FRAME_BYTES);
    return at;
  };
  const canaries = [canary()];
  const id = system.add('a', module);
  canaries.push(canary());
  system.kernel.start(id, '_start');
  system.runAll();
  assert.equal(system.kernel.status(id).state, 'blocked');
  const check = (): void => {
    for (const at of canaries) {
      assert.ok(system.space.u8.subarray(at, at + 2 * FRAME_BYTES).every((byte) => byte === 0x5c));
    }
  };
  return { system, id, check };
}

/** Where the domain's saved frames and state zone lie. */
function places(system: TestSystem, id: number): { stack: number; stackBytes: number; state: number } {
  const hdr = Number((system.kernel.instance(id).exports['k:hdr'] as WebAssembly.Global).value);
  return {
    stack: system.space.getNumber(hdr + 16),
    stackBytes: system.kernel.inspect(id).stackBytes,
    state: hdr + STATE_OFFSET,
  };
}

test('whatever stands in saved frames and state zone, the kernel and its neighbours stay whole', async () => {
  const prng = random();
  const ends = new Map<string, number>();
  for (let round = 0; round < 150; round++) {
    const { system, id, check } = await surrounded();
    const { stack, stackBytes, state } = places(system, id);
    for (let n = 1 + prng.below(4); n > 0; n--) {
      const inFrames = prng.chance(0.8);
      const at = inFrames ? stack + prng.below(stackBytes / 8) * 8 : state + prng.below(64) * 8;
      const kind = prng.below(5);
      if (kind === 0) system.space.setU64(at, BigInt(prng.u32()) << 32n);
      else if (kind === 1) system.space.setU64(at, (BigInt(prng.u32()) << 32n) | BigInt(prng.u32()));
      else if (kind === 2) system.space.setU8(at + prng.below(8), prng.below(256));
      else if (kind === 3) system.space.setU64(at, BigInt(prng.below(12)));
      else if (inFrames) system.space.copy(at, stack + prng.below(stackBytes / 8) * 8, 8);
    }
    if (prng.chance(0.2)) system.kernel.inspect(id);
    if (prng.chance(0.2)) system.kernel.relocate(id);
    system.checkpoint();
    system.crash();
    system.personality.open = true;
    system.kernel.wake(id);
    system.runAll();
    assert.equal(system.kernel.core.current, null);
    const { end, reason } = system.kernel.status(id);
    ends.set(reason || end, (ends.get(reason || end) ?? 0) + 1);
    system.checkpoint();
    system.kernel.remove(id);
    check();
  }
  console.log([...ends].map(([reason, n]) => `${reason}: ${n}`).join('; '));
  assert.ok((ends.get('damaged call stack') ?? 0) > 5, 'damage is found');
  assert.ok((ends.get('exit') ?? 0) > 5, 'and what is whole goes on');
});

test('frames that end before they begin, or are cut off, are damage and nothing worse', async () => {
  for (const bytes of [0, 8, 24, 32, -8, -24]) {
    const { system, id, check } = await surrounded();
    const { stack, stackBytes } = places(system, id);
    const hdr = Number((system.kernel.instance(id).exports['k:hdr'] as WebAssembly.Global).value);
    system.space.setNumber(hdr + 8, stack + (bytes < 0 ? stackBytes + bytes : bytes));
    system.personality.open = true;
    system.kernel.wake(id);
    system.runAll();
    const { state, reason } = system.kernel.status(id);
    assert.equal(state, 'exited');
    assert.equal(reason, bytes === 0 ? '' : 'damaged call stack');
    check();
  }
});

test('a forged request to throw, with no exception there, is damage', async () => {
  const { system, id } = await surrounded();
  const { state } = places(system, id);
  system.space.setU32(state - STATE_OFFSET + RESUME_MODE_OFFSET, 1);
  system.personality.open = true;
  system.kernel.wake(id);
  system.runAll();
  assert.equal(
    system.kernel.status(id).end,
    'exit',
    'the kernel says how a frame is resumed, not the state zone',
  );
});

test('an image carries a domain to another space, where it goes on', async () => {
  const { system, id } = await surrounded();
  system.powers.ns += 5000n;
  const image = system.kernel.exportDomain(id);
  const other = new TestSystem();
  other.space.frames.alloc(7, OWNER.domain | 0x7777);
  const [module] = [...system.modules.values()];
  assert.ok(module);
  other.modules.set(module.hash, module);
  const imported = other.kernel.importDomain(structuredClone(image), module, 'b');
  assert.deepEqual(other.kernel.inspect(imported), system.kernel.inspect(id));
  other.runAll();
  other.checkpoint();
  other.crash();
  for (const each of [system, other]) {
    each.personality.open = true;
    each.kernel.wake(each.kernel.ids()[0] as number);
    each.runAll();
  }
  assert.deepEqual(other.values('b'), system.values('a'));
  assert.equal(other.values('b').length, 1);
  assert.throws(() => system.kernel.exportDomain(id), { code: 'ended' });
});

/** Every path to a value inside plain data. */
function* paths(value: unknown, at: (string | number)[] = []): Generator<(string | number)[]> {
  yield at;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  for (const [key, item] of Object.entries(value)) yield* paths(item, [...at, key]);
}

test('an image with anything wrong in it is refused or harmless, and leaves nothing behind', async () => {
  const prng = random();
  const { system, id } = await surrounded();
  const image = system.kernel.exportDomain(id);
  const [module] = [...system.modules.values()];
  assert.ok(module);
  const target = new TestSystem();
  target.kernel.remove(target.kernel.importDomain(image, module, 'first'));
  const { blockCount } = target.space.heap;
  const frames = target.space.frames.usedCount;
  const all = [...paths(image)].filter((path) => path.length > 0);
  const junk = [
    undefined,
    null,
    -1,
    1.5,
    Number.NaN,
    2 ** 40,
    'x',
    [],
    {},
    -5n,
    new Uint8Array(7),
    new Int32Array([9, 9]),
  ];
  let refused = 0;
  for (let round = 0; round < 600; round++) {
    const broken = structuredClone(image) as unknown as Record<string, unknown>;
    const path = prng.pick(all);
    let holder = broken as Record<string | number, unknown>;
    for (const key of path.slice(0, -1)) holder = holder[key] as Record<string | number, unknown>;
    const key = path[path.length - 1] as string;
    const old = holder[key];
    if (old instanceof Uint8Array && old.length > 0 && prng.chance(0.8)) {
      old[prng.below(old.length)] = prng.below(256);
    } else if (old instanceof Int32Array && old.length > 0 && prng.chance(0.8)) {
      old[prng.below(old.length)] = prng.u32() | 0;
    } else {
      holder[key] = prng.pick(junk);
    }
    target.personality.open = true;
    let made = -1;
    try {
      made = target.kernel.importDomain(broken as unknown as DomainImage, module, 'b');
    } catch (error) {
      const { name } = error as Error;
      assert.ok(
        ['MalformedError', 'EnvironmentError', 'ProgramTrapError', 'SpaceFullError'].includes(name),
        `${path.join('.')}: ${(error as Error).stack}`,
      );
      refused++;
    }
    if (made >= 0) {
      target.runAll();
      target.kernel.cut();
      target.kernel.remove(made);
    }
    assert.equal(target.space.heap.blockCount, blockCount, path.join('.'));
    assert.equal(target.space.frames.usedCount, frames, path.join('.'));
  }
  assert.ok(refused > 50 && refused < 600);
});
