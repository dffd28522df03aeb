import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { FLAG_ADDRESS } from '../abi/layout.ts';
import { program, TestSystem } from './kernel.testing.ts';
import { Kernel } from './kernel.ts';
import { toNumber } from './values.ts';

const PROGRAM = `(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "grab" (func $grab (param i32)))
  (import "env" "pause" (func $pause))
  (memory 2)
  (global $g (mut i64) (i64.const 5)) (global $f (mut f64) (f64.const -0.5)) (global $v (mut v128) (v128.const i32x4 1 2 3 4))
  (func (export "_start") (call $grab (i32.const 7)) (call $log (i32.const 1)) (drop (call $wait (i32.const 1))) (call $log (i32.const 2)))
  (func (export "busy") (loop $l (br $l)))
  (func (export "steps") (local $i i32)
    (loop $l (call $log (local.get $i)) (call $pause) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4)))))
  (func (export "last") (call $pause))
  (func (export "oob") (drop (i32.load (i32.const -4))))
)`;
const module = program(PROGRAM);

test('a processor time limit ends a program with that reason', async () => {
  const system = new TestSystem();
  const id = system.add('a', await module, { cpuLimitMs: 4 });
  system.powers.cpuStep = 1000;
  system.kernel.start(id, 'steps');
  system.runAll();
  const { end, cpuMicros } = system.kernel.status(id);
  assert.deepEqual([end, cpuMicros], ['exit', 4000], 'who returns in time has not reached the limit');
  const second = system.add('b', await module, { cpuLimitMs: 2 });
  system.kernel.start(second, 'steps');
  system.runAll();
  const status = system.kernel.status(second);
  assert.deepEqual([status.end, status.reason], ['limit', 'cpu limit']);
  assert.deepEqual(system.values('b'), [0, 1]);
});

test('only what can be stopped becomes a domain, and only what marks its changes one that persists', async () => {
  const system = new TestSystem();
  const loaded = await module;
  const claiming = (claims: object) => ({ ...loaded, evidence: { ...loaded.evidence, ...claims } });
  assert.throws(() => system.add('a', claiming({ track: false })), /without marks/);
  assert.throws(() => system.add('a', claiming({ suspend: false })), /without safepoints/);
  assert.throws(
    () => system.add('a', claiming({ suspend: false }), { volatile: true }),
    /without safepoints/,
  );
  system.add('a', claiming({ track: false }), { volatile: true });
  assert.equal(system.kernel.ids().length, 1);
});

test('a raised safepoint word brings a loop without calls back', async () => {
  const system = new TestSystem();
  const id = system.add('a', await module);
  system.kernel.start(id, 'busy');
  const raise = `const { workerData } = require('node:worker_threads');
    const word = new Int32Array(workerData.buffer);
    setInterval(() => Atomics.store(word, ${FLAG_ADDRESS / 4}, 1), 2);`;
  const worker = new Worker(raise, { eval: true, workerData: system.space.memory });
  try {
    for (let i = 0; i < 5; i++) {
      const { idle, slices } = system.kernel.run();
      assert.deepEqual([idle, slices], [false, 1]);
    }
  } finally {
    await worker.terminate();
  }
  assert.equal(system.kernel.inspect(id).frames[0]?.function, 'busy');
});

test('a program that is to stop in its last instruction has ended, and is not told to go on', async () => {
  const system = new TestSystem();
  const id = system.add('a', await module);
  system.kernel.start(id, 'last');
  system.kernel.run({ maxSlices: 1 });
  assert.equal(system.kernel.status(id).end, 'exit');
});

test('stop suspends until resume, kill ends, remove forgets', async () => {
  const system = new TestSystem();
  const { kernel } = system;
  const id = system.add('a', await module);
  assert.equal(kernel.find('a'), id);
  kernel.start(id, 'steps');
  kernel.run({ maxSlices: 2 });
  assert.ok(kernel.stop(id));
  assert.equal(kernel.stop(id), false);
  system.runAll();
  assert.deepEqual(system.values('a'), [0, 1]);
  system.checkpoint();
  system.crash();
  assert.equal(system.kernel.status(id).state, 'stopped');
  assert.ok(system.kernel.resume(id));
  assert.equal(system.kernel.resume(id), false);
  system.runAll();
  assert.deepEqual(system.values('a'), [0, 1, 2, 3]);
  const second = system.add('b', await module);
  system.kernel.start(second, '_start');
  system.runAll();
  system.kernel.kill(second);
  assert.deepEqual(
    system.personality.endings.map(([domain, ending]) => [domain, ending.kind]),
    [[second, 'killed']],
  );
  const status = system.kernel.status(second);
  assert.deepEqual([status.state, status.end, status.reason], ['exited', 'killed', 'killed']);
  system.kernel.wake(second);
  system.kernel.remove(second);
  assert.equal(system.kernel.find('b'), -1);
  assert.throws(() => system.kernel.status(second), { code: 'no-such-domain' });
  system.kernel.wake(second);
});

test('a trap ends the program with its kind and its call stack, and they are kept', async () => {
  const system = new TestSystem();
  const id = system.add('a', await module);
  system.kernel.start(id, 'oob');
  system.runAll();
  system.checkpoint();
  system.crash();
  const { end, reason } = system.kernel.status(id);
  assert.deepEqual([end, reason], ['trap', 'out of bounds memory access']);
  const [frame, ...more] = system.kernel.trace(id).frames;
  assert.deepEqual([frame?.function, more], ['oob', []]);
  assert.ok(frame!.offset > 0);
});

test('domains come and go without leaving anything', async () => {
  const system = new TestSystem();
  const loaded = await module;
  const round = (i: number): void => {
    const ids = ['a', 'b', 'c'].map((name) => system.add(`${name}${i}`, loaded, { volatile: i % 2 === 0 }));
    for (const id of ids) system.kernel.start(id, '_start');
    system.runAll();
    system.kernel.kill(ids[0] as number, 'enough');
    system.kernel.stop(ids[1] as number);
    system.checkpoint();
    if (i % 3 === 0) system.crash();
    for (const id of system.kernel.ids()) system.kernel.remove(id);
  };
  for (let i = 1; i < 4; i++) round(i);
  const { blockCount, usedBytes } = system.space.heap;
  const frames = system.space.frames.usedCount;
  for (let i = 4; i < 30; i++) round(i);
  assert.deepEqual([system.space.heap.blockCount, system.space.heap.usedBytes], [blockCount, usedBytes]);
  assert.equal(system.space.frames.usedCount, frames);
});

test('a volatile domain is in no checkpoint, and its state is released at recovery', async () => {
  const system = new TestSystem();
  const kept = system.add('kept', await module);
  const gone = system.add('gone', await module, { volatile: true });
  for (const id of [kept, gone]) system.kernel.start(id, '_start');
  system.runAll();
  const region = system.kernel.instance(gone).exports['k:hdr'] as WebAssembly.Global;
  system.checkpoint();
  const page = Number(region.value) / 4096;
  for (let p = page; p < page + 16; p++) assert.ok(!system.pages.has(p));
  system.crash();
  assert.deepEqual(system.kernel.ids(), [kept]);
  assert.deepEqual(
    system.personality.endings.map(([domain, ending]) => [domain, ending.kind]),
    [[gone, 'removed']],
  );
  system.personality.open = true;
  system.runAll();
  assert.deepEqual(system.values('kept'), [1, 2]);
  system.checkpoint();
  system.crash();
  assert.deepEqual(system.kernel.ids(), [kept]);
});

test('names, exports and arguments that cannot be are refused, with nothing left behind', async () => {
  const system = new TestSystem();
  const loaded = await module;
  const id = system.add('a', loaded);
  const { blockCount } = system.space.heap;
  const state = system.space.heap.alloc(10);
  assert.throws(() => system.add('a', loaded, { personalityState: state }), { code: 'name-taken' });
  for (const name of ['', 'x'.repeat(65), 'a\nb', '\ud800']) {
    assert.throws(() => system.add(name, loaded), { code: 'bad-name' });
  }
  assert.equal(system.space.heap.blockCount, blockCount, "the personality's state is released");
  assert.throws(() => system.kernel.start(id, 'nothing'), { code: 'no-such-export' });
  assert.throws(() => system.kernel.start(id, '_start', [1]), { code: 'bad-argument' });
  system.kernel.start(id, '_start');
});

test('imports nobody supplies are all named, or become traps on request', async () => {
  const system = new TestSystem();
  const text = `(module (import "env" "log" (func (param i32))) (import "a" "x" (func)) (import "b" "y" (func $y))
    (func (export "_start") (call $y)))`;
  const loaded = await program(text);
  assert.throws(() => system.add('a', loaded), {
    code: 'unknown-imports',
    message: 'the program wants imports that nobody supplies: a.x, b.y',
  });
  const id = system.add('a', loaded, { trapUnknownImports: true });
  system.checkpoint();
  system.crash();
  system.kernel.start(id, '_start');
  system.runAll();
  assert.equal(system.kernel.status(id).reason, 'unknown import b.y');
});

test('a program that imports by the names of what all objects have changes nothing of ours', async () => {
  const system = new TestSystem();
  const loaded = await program(`(module
    (import "__proto__" "perdureWasHere" (func))
    (import "constructor" "keys" (func))
    (func (export "_start")))`);
  const { keys } = Object;
  const id = system.add('a', loaded, { trapUnknownImports: true });
  system.kernel.start(id, '_start');
  system.runAll();
  assert.equal(Object.keys, keys);
  assert.ok(!('perdureWasHere' in {}));
});

test('a program whose segments do not fit traps at its start', async () => {
  const system = new TestSystem();
  system.kernel.remove(system.add('first', await module)); // the domain table has its first rows now
  const { blockCount } = system.space.heap;
  for (const text of [
    '(module (memory 1) (data (i32.const 65534) "abc"))',
    '(module (table 1 funcref) (func $f) (elem (i32.const 5) $f))',
  ]) {
    const loaded = await program(text);
    assert.throws(() => system.add('a', loaded), { name: 'ProgramTrapError' });
  }
  assert.equal(system.space.heap.blockCount, blockCount);
});

test('globals of every type, tables and dropped segments come back', async () => {
  const text = `(module
    (import "env" "wait" (func $wait (param i32) (result i32)))
    (import "env" "log" (func $log (param i32)))
    (type $i (func (result i32)))
    (table $t 2 10 funcref) (table $u 1 funcref)
    (memory 1)
    (global $a (mut i32) (i32.const 1)) (global $b (mut f32) (f32.const 1)) (global $c (mut v128) (v128.const i64x2 1 2))
    (global $d (mut funcref) (ref.null func))
    (data $p "hello") (elem $e func $one $two)
    (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
    (func (export "_start")
      (global.set $a (i32.const 77)) (global.set $b (f32.const -0)) (global.set $c (v128.const i64x2 -1 3))
      (global.set $d (ref.func $two))
      (drop (table.grow $t (ref.func $two) (i32.const 3)))
      (table.set $u (i32.const 0) (ref.func $one))
      (data.drop $p) (elem.drop $e)
      (drop (call $wait (i32.const 0)))
      (call $log (global.get $a))
      (call $log (i32.reinterpret_f32 (global.get $b)))
      (call $log (i32x4.extract_lane 2 (global.get $c)))
      (table.set $t (i32.const 1) (global.get $d))
      (call $log (call_indirect $t (type $i) (i32.const 1)))
      (call $log (call_indirect $t (type $i) (i32.const 4)))
      (call $log (call_indirect $u (type $i) (i32.const 0)))
      (call $log (table.size $t))
      (memory.init $p (i32.const 0) (i32.const 0) (i32.const 1))))`;
  const system = new TestSystem();
  const id = system.add('a', await program(text));
  system.kernel.start(id, '_start');
  system.runAll();
  for (let i = 0; i < 3; i++) {
    system.checkpoint();
    system.crash();
  }
  system.personality.open = true;
  system.kernel.wake(id);
  system.runAll();
  assert.deepEqual(system.values('a'), [77, -0x80000000, 3, 2, 2, 1, 5]);
  assert.equal(system.kernel.status(id).reason, 'out of bounds memory access');
});

test('tables with 64-bit addresses come back', async () => {
  const text = `(module
    (import "env" "wait" (func $wait (param i32) (result i32)))
    (import "env" "log" (func $log (param i32)))
    (type $i (func (result i32)))
    (table $t i64 2 10 funcref)
    (elem declare func $two)
    (func $two (result i32) (i32.const 2))
    (func (export "_start")
      (drop (table.grow $t (ref.func $two) (i64.const 3)))
      (drop (call $wait (i32.const 0)))
      (call $log (ref.is_null (table.get $t (i64.const 1))))
      (table.set $t (i64.const 1) (table.get $t (i64.const 4)))
      (call $log (ref.is_null (table.get $t (i64.const 1))))
      (call $log (i32.wrap_i64 (table.size $t)))))`;
  const system = new TestSystem();
  const id = system.add('a', await program(text));
  system.kernel.start(id, '_start');
  system.runAll();
  for (let i = 0; i < 2; i++) {
    system.checkpoint();
    system.crash();
  }
  system.personality.open = true;
  system.kernel.wake(id);
  system.runAll();
  assert.equal(system.kernel.status(id).reason, '');
  assert.deepEqual(system.values('a'), [1, 0, 5]);
});

test('a program that is missing at recovery is named', async () => {
  const system = new TestSystem();
  system.add('a', await module);
  system.checkpoint();
  system.modules.clear();
  assert.throws(() => system.crash(), { code: 'missing-program' });
});

test('moduleHashes names the programs of domains that will run again', async () => {
  const system = new TestSystem();
  const loaded = await module;
  system.add('a', loaded);
  system.add('b', loaded);
  const other = await program('(module (func (export "_start")))');
  const done = system.add('c', other);
  assert.deepEqual(Kernel.moduleHashes(system.space).sort(), [loaded.hash, other.hash].sort());
  system.kernel.start(done, '_start');
  system.runAll();
  assert.deepEqual(Kernel.moduleHashes(system.space), [loaded.hash]);
});

test('a host reference in a global ends a domain that would persist, not a volatile one', async () => {
  const system = new TestSystem();
  system.personality.calls.ref = () => ({ an: 'object' }) as never;
  const text = `(module (import "env" "ref" (func $ref (result externref))) (import "env" "wait" (func $wait (param i32) (result i32)))
    (global $g (mut externref) (ref.null extern))
    (func (export "_start") (global.set $g (call $ref)) (drop (call $wait (i32.const 1))))
    (func (export "held") (result i32) (local externref) (local.set 0 (call $ref)) (drop (call $wait (i32.const 1))) (ref.is_null (local.get 0))))`;
  const loaded = await program(text);
  const [a, b] = [system.add('a', loaded), system.add('b', loaded, { volatile: true })];
  for (const id of [a, b]) system.kernel.start(id, '_start');
  system.runAll();
  system.checkpoint();
  assert.equal(system.kernel.status(a).reason, 'a host reference cannot be kept');
  assert.equal(system.kernel.status(b).state, 'blocked');
  const [c, d] = [system.add('c', loaded), system.add('d', loaded, { volatile: true, resident: true })];
  system.kernel.start(c, 'held');
  system.kernel.start(d, 'held');
  system.runAll();
  assert.equal(system.kernel.status(c).reason, 'a host reference cannot be kept');
  system.personality.open = true;
  const outcome = system.kernel.proceed(d);
  assert.equal(outcome.kind === 'returned' && outcome.results[0] && toNumber(outcome.results[0]), 0);
});

test('a host reference in a table ends a domain that would persist, not a volatile one', async () => {
  const system = new TestSystem();
  system.personality.calls.ref = () => ({ an: 'object' }) as never;
  const text = `(module (import "env" "ref" (func $ref (result externref))) (import "env" "wait" (func $wait (param i32) (result i32)))
    (table $t 2 externref)
    (func (export "_start") (table.set $t (i32.const 1) (call $ref)) (drop (call $wait (i32.const 1))))
    (func (export "none") (table.set $t (i32.const 1) (ref.null extern)) (drop (call $wait (i32.const 1)))))`;
  const loaded = await program(text);
  const [a, b, c] = [
    system.add('a', loaded),
    system.add('b', loaded, { volatile: true }),
    system.add('c', loaded),
  ];
  for (const id of [a, b]) system.kernel.start(id, '_start');
  system.kernel.start(c, 'none');
  system.runAll();
  system.checkpoint();
  assert.equal(system.kernel.status(a).reason, 'a host reference cannot be kept');
  assert.equal(system.kernel.status(b).state, 'blocked');
  assert.equal(system.kernel.status(c).state, 'blocked');
});

test('the data of a cut stays as it is until the cut is durable', async () => {
  const text = `(module (memory 4) (func (export "fill") (param i32)
    (memory.fill (i32.const 0) (local.get 0) (i32.const 200000))))`;
  const system = new TestSystem();
  const { kernel } = system;
  const id = system.add('a', await program(text), { resident: true });
  const cutOf = (value: number) => {
    kernel.invoke(id, 'fill', [value]);
    const cut = kernel.cut();
    assert.ok(cut);
    return cut;
  };
  const [first, second] = [cutOf(1), cutOf(2)];
  const copy = Uint8Array.from(first.data);
  assert.notEqual(first.data.buffer, second.data.buffer);
  kernel.durable(first.seq);
  const third = cutOf(3);
  assert.equal(third.data.buffer, first.data.buffer, 'then its memory serves again');
  assert.ok(second.data.includes(2) && !second.data.subarray(-4096).includes(3));
  assert.ok(Buffer.compare(copy, Uint8Array.from(third.data)) !== 0);
  kernel.durable(third.seq);
  assert.ok([first.data.buffer, second.data.buffer].includes(cutOf(4).data.buffer));
});
