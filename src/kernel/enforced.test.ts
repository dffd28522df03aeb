import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STOP, type Stop } from '../abi/channel.ts';
import { FRAME_BYTES } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { OWNER } from '../space/index.ts';
import { wat } from '../wasm/wat.testing.ts';
import { LocalEnclosures } from './enforced.testing.ts';
import { load, loadAlone, TestSystem } from './kernel.testing.ts';

/** Deep calls, globals, memory that grows, a table that changes, and a call at every turn. */
const TEXT = `(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "log64" (func $log64 (param i64)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "fill" (func $fill (param i32 i32) (result i32)))
  (memory (export "memory") 1 40) (memory $b 0 3)
  (data (i32.const 70) "data that is there from the beginning")
  (data $late "and some that comes late")
  (global $turns (mut i32) (i32.const 0))
  (global $sum (mut i64) (i64.const 0))
  (type $f (func (result i32)))
  (table $t 2 funcref) (elem (i32.const 0) $one $two)
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func $swap (local $x funcref)
    (local.set $x (table.get $t (i32.const 0)))
    (table.set $t (i32.const 0) (table.get $t (i32.const 1)))
    (table.set $t (i32.const 1) (local.get $x)))
  (func $hash (param $n i32) (result i64) (local $h i64) (local $at i32)
    (local.set $h (i64.const 1469598103934665603))
    (loop $l
      (local.set $h (i64.mul (i64.xor (local.get $h) (i64.load8_u (local.get $at))) (i64.const 1099511628211)))
      (local.set $at (i32.add (local.get $at) (i32.const 97)))
      (br_if $l (i32.lt_u (local.get $at) (i32.shl (memory.size 0) (i32.const 16)))))
    (local.get $h))
  (func $deep (param $n i32) (result i32)
    (i32.store (i32.add (i32.const 4096) (i32.mul (local.get $n) (i32.const 300))) (local.get $n))
    (if (result i32) (local.get $n)
      (then (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1)))
        (i32.load (i32.add (i32.const 4096) (i32.mul (local.get $n) (i32.const 300))))))
      (else (call $log (i32.const -7)) (call $wait (i32.const 1)))))
  (func (export "run")
    (loop $l
      (global.set $turns (i32.add (global.get $turns) (i32.const 1)))
      (drop (call $fill (i32.mul (global.get $turns) (i32.const 1000)) (i32.const 900)))
      (global.set $sum (i64.add (global.get $sum) (i64.extend_i32_u (call $deep (global.get $turns)))))
      (call $swap)
      (drop (memory.grow 0 (i32.const 1)))
      (drop (memory.grow $b (i32.const 1)))
      (if (memory.size $b) (then
        (i32.store $b (i32.mul (global.get $turns) (i32.const 40)) (global.get $turns))
        (memory.copy $b 0 (i32.const 3000) (i32.const 4000) (i32.const 5000))))
      (if (i32.eq (global.get $turns) (i32.const 9)) (then
        (memory.init $late (i32.const 200) (i32.const 0) (i32.const 24)) (data.drop $late)))
      (memory.fill (i32.add (i32.const 20000) (global.get $turns)) (i32.const 3) (i32.const 5000))
      (call $log (call_indirect $t (type $f) (i32.const 0)))
      (call $log64 (i64.add (global.get $sum) (call $hash (i32.const 0))))
      (br_if $l (i32.lt_u (global.get $turns) (i32.const 30))))
    (call $log (memory.size 0)) (call $log (memory.size $b))))`;

const bytes = await wat(TEXT);

/** What the program says in the shared space. */
const expected = await (async () => {
  const system = new TestSystem();
  system.personality.open = true;
  system.kernel.start(system.add('a', load(bytes)), 'run');
  system.runAll();
  return system.values('a');
})();

function machine() {
  const enclosures = new LocalEnclosures();
  const problems: string[] = [];
  const system = new TestSystem({ enclosures, problem: (text) => void problems.push(text) });
  system.personality.open = true;
  /** Runs to the end, or for so many turns. */
  const run = (turns = Number.POSITIVE_INFINITY): void => {
    for (let turn = 0; turn < turns; turn++) {
      const { idle } = system.kernel.run();
      const due = [...enclosures.due];
      enclosures.due.clear();
      for (const id of due) system.kernel.wake(id);
      if (idle && due.length === 0) return;
    }
  };
  return { enclosures, problems, system, run };
}

test('an enforced domain says what it says in the space, and little of its memory goes to and fro', () => {
  const { enclosures, system, run } = machine();
  const id = system.add('a', loadAlone(bytes));
  system.kernel.start(id, 'run');
  run();
  assert.deepEqual(system.values('a'), expected);
  assert.equal(system.kernel.status(id).end, 'exit');
  assert.equal(enclosures.opened.length, 1);
  const [only] = enclosures.opened;
  assert.ok(
    only!.orders > 100 && only!.moved < 3_000_000,
    `${only!.orders} orders moved ${only!.moved} bytes`,
  );
});

test('processes die, the kernel dies, code is stopped anywhere: nothing is lost or said twice', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  const { enclosures, problems, system, run } = machine();
  let dead = false; // never three times in a row: then the program would end
  enclosures.dies = () => {
    dead = !dead && random.below(9) === 0;
    return dead;
  };
  enclosures.pauses = () => random.below(3) === 0;
  const id = system.add('a', loadAlone(bytes));
  system.kernel.start(id, 'run');
  system.checkpoint();
  let crashes = 0;
  for (let round = 0; system.kernel.status(id).state !== 'exited' && round < 5000; round++) {
    run(1 + random.below(40));
    system.checkpoint();
    // Always after the first two rounds, at which it has not ended: they have 80 turns at most, an order in each.
    if (crashes < 2 || random.below(3) === 0) {
      system.crash();
      crashes++;
    }
    if (random.below(4) === 0) system.kernel.relocate(id);
  }
  assert.deepEqual(system.values('a'), expected);
  assert.ok(problems.length > 3 && crashes > 1, `${problems.length} deaths, ${crashes} crashes`);
});

test('a checkpoint of one kind goes on in the other', () => {
  const { system, run } = machine();
  const modules = [load(bytes), loadAlone(bytes)] as const;
  let id = system.add('a', modules[1]);
  system.kernel.start(id, 'run');
  for (let journey = 0; journey < 12; journey++) {
    // In the space it would run to its end: there it waits in its next call of `wait`.
    system.personality.open = journey % 2 === 0;
    run(system.personality.open ? 7 : 100);
    system.personality.open = true;
    const image = structuredClone(system.kernel.exportDomain(id));
    system.kernel.remove(id);
    id = system.kernel.importDomain(image, modules[journey % 2]!);
    assert.equal(system.kernel.status(id).enforced, journey % 2 === 1);
  }
  run();
  assert.deepEqual(system.values('a'), expected);
});

test('a program whose process dies again and again ends, with the reason', () => {
  const { enclosures, problems, system, run } = machine();
  const id = system.add('a', loadAlone(bytes));
  enclosures.dies = () => true;
  system.kernel.start(id, 'run');
  run();
  const { end, reason } = system.kernel.status(id);
  assert.equal(end, 'trap');
  assert.equal(reason, 'its process was ended (a test), 3 times in a row');
  assert.equal(problems.length, 2);
});

test('a stopped domain has no process, and goes on in another', () => {
  const { enclosures, system, run } = machine();
  const id = system.add('a', loadAlone(bytes));
  system.kernel.start(id, 'run');
  run(20);
  system.kernel.stop(id);
  assert.ok(enclosures.opened.every(({ alive }) => !alive));
  system.kernel.resume(id);
  run();
  assert.deepEqual(system.values('a'), expected);
  assert.equal(enclosures.opened.length, 2);
});

test('a state of more than one message goes to and fro whole', async () => {
  const count = 70_000;
  const { system, run } = machine();
  const text = `(module (import "env" "log" (func $log (param i32))) (import "env" "wait" (func $wait (param i32) (result i32)))
    ${'(global (mut i32) (i32.const 3))'.repeat(count)}
    (func (export "run")
      (global.set ${count - 1} (call $wait (i32.const 6)))
      (global.set 0 (call $wait (i32.const 7)))
      (call $log (i32.add (global.get ${count - 1}) (i32.add (global.get 0) (global.get 50000))))))`;
  const id = system.add('a', loadAlone(await wat(text)));
  system.kernel.start(id, 'run');
  run();
  assert.deepEqual(system.values('a'), [7 + 8 + 3]);
});

test('waiting on memory of its own takes its time, over a death too, and traps as it does in the space', async () => {
  const text = `(module (import "env" "log" (func $log (param i32)))
    (memory 1 1 shared)
    (func (export "run")
      (call $log (memory.atomic.wait32 (i32.const 0) (i32.const 5) (i64.const -1)))
      (call $log (memory.atomic.wait32 offset=4 (i32.const 0) (i32.const 0) (i64.const 1000)))
      (call $log (memory.atomic.notify (i32.const 0) (i32.const 1)))
      (i64.atomic.store (i32.const 8) (i64.const 7))
      (call $log (memory.atomic.wait64 (i32.const 8) (i64.const 7) (i64.const 500)))
      (call $log (memory.atomic.wait32 (i32.const 2) (i32.const 0) (i64.const 0)))))`;
  const waiting = await wat(text);
  const results = [load(waiting), loadAlone(waiting)].map((module) => {
    const { enclosures, system, run } = machine();
    const id = system.add('a', module);
    system.kernel.start(id, 'run');
    run();
    assert.equal(system.kernel.status(id).state, 'blocked');
    assert.deepEqual(system.values('a'), [1]);
    for (const enclosure of enclosures.opened) enclosure.alive = false;
    system.checkpoint();
    for (const step of [999n, 1n, 400n, 100n]) {
      system.powers.ns += step;
      run();
    }
    const { end, reason } = system.kernel.status(id);
    return { values: system.values('a'), end, reason };
  });
  assert.deepEqual(results[0], { values: [1, 2, 0, 2], end: 'trap', reason: 'unaligned atomic' });
  assert.deepEqual(results[1], results[0]);
});

test('exceptions of the program pass through its frames, and one that nobody catches ends it', async () => {
  const text = `(module (import "env" "log" (func $log (param i32))) (import "env" "wait" (func $wait (param i32) (result i32)))
    (tag $e (param i32))
    (func $throw (param i32) (drop (call $wait (i32.const 0))) (throw $e (local.get 0)))
    (func $catch (param i32) (result i32)
      (block $x (result i32) (try_table (catch $e $x) (call $throw (local.get 0))) (i32.const -1)))
    (func (export "run")
      (call $log (call $catch (i32.const 4)))
      (call $log (i32.add (call $catch (i32.const 5)) (call $wait (i32.const 6))))
      (call $throw (i32.const 7))))`;
  const throwing = await wat(text);
  const results = [load(throwing), loadAlone(throwing)].map((module) => {
    const { system, run } = machine();
    const id = system.add('a', module);
    system.kernel.start(id, 'run');
    run();
    return { values: system.values('a'), end: system.kernel.status(id).end };
  });
  assert.deepEqual(results[0], { values: [4, 12], end: 'exception' });
  assert.deepEqual(results[1], results[0]);
});

test('stops that no honest process sends end the domain at worst, and touch nobody else', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  const neighbour = load(bytes);
  const module = loadAlone(bytes);
  for (let round = 0; round < 25; round++) {
    const { enclosures, system, run } = machine();
    const watched = system.add('b', neighbour);
    system.kernel.instance(watched);
    const at = system.space.frames.ownedBy(OWNER.domain | watched).map((frame) => frame * FRAME_BYTES);
    const before = at.map((from) => Buffer.from(system.space.readBytes(from, FRAME_BYTES)));
    enclosures.change = (stop) => (random.below(6) === 0 ? disturbed(stop, random) : stop);
    const id = system.add('a', module, { memoryLimitBytes: 20 << 20 });
    system.kernel.start(id, 'run');
    for (let turn = 0; turn < 40 && system.kernel.status(id).state !== 'exited'; turn++) {
      run(5);
      if (random.below(5) === 0) system.kernel.inspect(id);
      if (random.below(9) === 0) system.checkpoint();
      if (random.below(9) === 0) system.kernel.relocate(id);
    }
    assert.ok(system.kernel.status(id).memoryBytes <= 20 << 20);
    system.kernel.remove(id);
    const end = system.kernel.status(watched).state;
    assert.equal(end, 'created');
    for (const [i, from] of at.entries()) {
      assert.equal(Buffer.compare(before[i]!, system.space.readBytes(from, FRAME_BYTES)), 0);
    }
  }
});

/** A stop that the channel lets through, with something wrong in it. */
function disturbed(stop: Stop, random: Prng): Stop {
  const noise = (length: number): Uint8Array => Uint8Array.from({ length }, () => random.below(256));
  const all: Partial<Stop>[] = [
    { reason: random.below(5) },
    { keptFrameBytes: random.below(1 << 16) },
    { frames: noise(random.below(400)) },
    { frames: stop.frames.map((byte) => (random.below(40) === 0 ? random.below(256) : byte)) },
    { sizes: stop.sizes.map(() => random.below(600)) },
    { sizes: stop.sizes.map((size) => size >> 1) },
    { pages: [{ memory: 0, numbers: Uint32Array.of(0, 1), data: noise(8192) }] },
    { state: noise(stop.state.length) },
    { scratch: noise(stop.scratch.length) },
    { tables: Int32Array.from({ length: random.below(9) }, () => random.below(1000) - 500) },
    { deadline: random.pick([0n, 1n << 63n, (1n << 64n) - 1n, 77n]), reason: STOP.waiting },
    { text: '\u001b[31m'.repeat(50), trace: 'x\n'.repeat(1000), reason: STOP.trapped },
  ];
  return { ...stop, ...random.pick(all) };
}

test('a program in a process of its own stops itself, and goes on where it was', async () => {
  const { system, run } = machine();
  const text = await wat(`(module
    (import "env" "log" (func $log (param i32)))
    (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
    (import "perdure_kernel" "domain_stop" (func $stop (param i32) (result i32)))
    (memory 1) (data (i32.const 0) "it")
    (func (export "run") (local $i i32)
      (loop $l
        (call $log (local.get $i))
        (call $log (call $stop (call $granted (i32.const 0) (i32.const 2))))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2))))))`);
  const id = system.add('a', loadAlone(text));
  system.kernel.authority.grant(id, { name: 'it', ...system.kernel.authority.domain(id) });
  system.kernel.start(id, 'run');
  run();
  assert.deepEqual([system.values('a'), system.kernel.status(id).state], [[0], 'stopped']);
  system.checkpoint();
  system.crash();
  run();
  system.kernel.resume(id);
  run();
  assert.deepEqual([system.values('a'), system.kernel.status(id).state], [[0, 0, 1], 'stopped']);
  system.kernel.resume(id);
  run();
  assert.deepEqual([system.values('a'), system.kernel.status(id).state], [[0, 0, 1, 0], 'exited']);
});
