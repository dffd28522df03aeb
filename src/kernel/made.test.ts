/** Code made at run time: what it may do, and that it lives through stops, restarts and journeys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../abi/errno.ts';
import { wat } from '../wasm/wat.testing.ts';
import { TestSystem } from './kernel.testing.ts';
import { logs, logsOf, MEMORY, making } from './made.testing.ts';

test('a program makes a module, and calls its functions through its own table', async () => {
  const module = await wat(`(module ${MEMORY}
    (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func (export "peek") (param i32) (result i32) (i32.load (local.get 0))))`);
  const main = `
    (local.set $a (call $make (i32.const 0)))
    (call $log (local.get $a))
    (call $log (call_indirect (type $unary) (i32.const 21) (local.get $a)))
    (i32.store (i32.const 100) (i32.const 77))
    (call $log (call_indirect (type $unary) (i32.const 100) (i32.add (local.get $a) (i32.const 1))))
    (call $log (table.size $t))`;
  for (const stress of [false, true]) {
    assert.deepEqual(await logsOf(await making([module], main), { stress }), [3, 42, 77, 5]);
  }
});

test('a made module reaches what its program has mapped', async () => {
  const module = await wat(`(module ${MEMORY}
    (func (export "next") (param i32) (result i32)
      (i32.store offset=8 (local.get 0) (i32.add (i32.load offset=4 (local.get 0)) (i32.const 1)))
      (i32.load offset=8 (local.get 0))))`);
  const memory = `
    (import "perdure_kernel" "seg_create" (func $create (param i64) (result i32)))
    (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
    (memory (export "memory") 2 8)`;
  const main = `
    (local.set $a (call $make (i32.const 0)))
    (local.set $b (i32.wrap_i64
      (call $map (call $create (i64.const 100)) (i64.const 0) (i64.const 100) (i32.const 3) (i32.const 0))))
    (i32.store offset=4 (local.get $b) (i32.const 41))
    (call $log (call_indirect (type $unary) (local.get $b) (local.get $a)))
    (call $log (i32.load offset=8 (local.get $b)))
    (i32.store (i32.const 104) (i32.const 6))
    (call $log (call_indirect (type $unary) (i32.const 100) (local.get $a)))`;
  for (const stress of [false, true])
    assert.deepEqual(await logsOf(await making([module], main, { memory }), { stress }), [42, 42, 7]);
});

test('a made module stands in the middle of the stack through stops and restarts', async () => {
  const module = `(module ${MEMORY}
    (import "env" "helper" (func $helper (param i32) (result i32)))
    (global $sum (mut i32) (i32.const 5))
    (func (export "run") (param $n i32) (result i32)
      (loop $again
        (global.set $sum (i32.add (global.get $sum) (call $helper (local.get $n))))
        (i32.store (i32.const 200) (global.get $sum))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i32.add (global.get $sum) (i32.load (i32.const 200)))))`;
  const parts = {
    more: `(func $helper (export "helper") (param i32) (result i32)
      (call $log (local.get 0)) (call $pause) (i32.mul (local.get 0) (i32.const 10)))`,
  };
  const main = `
    (local.set $a (call $make (i32.const 0)))
    (call $log (call_indirect (type $unary) (i32.const 3) (local.get $a)))
    (call $log (call_indirect (type $unary) (i32.const 1) (local.get $a)))`;
  await logs([module], main, [3, 2, 1, 130, 1, 150], parts);
});

test('what a module imports of the program is the program’s', async () => {
  const module = `(module
    (import "env" "count" (global $count (mut i32)))
    (import "env" "ten" (global $ten i32))
    (import "env" "table" (table $t 3 funcref))
    (import "env" "helper" (func $helper (param i32) (result i32)))
    (import "env" "tag" (tag $tag (param i32)))
    (global $own (mut i64) (i64.const 1))
    (global $start i32 (global.get $ten))
    (elem (table $t) (offset (i32.const 1)) func $one $helper)
    (func $one (result i32) (i32.const 1))
    (func (export "run") (result i32)
      (global.set $count (i32.add (global.get $count) (global.get $ten)))
      (global.set $own (i64.mul (i64.const 3) (i64.add (global.get $own) (i64.extend_i32_u (global.get $start)))))
      (block $caught (result i32)
        (try_table (result i32) (catch $tag $caught)
          (i32.add (i32.wrap_i64 (global.get $own)) (call $helper (i32.const 1))))))
    (func (export "fill") (table.fill $t (i32.const 2) (ref.func $one) (i32.const 1))))`;
  const parts = {
    more: `(global $count (export "count") (mut i32) (i32.const 1)) (global (export "ten") i32 (i32.const 10))
      (tag $tag (export "tag") (param i32))
      (func $helper (export "helper") (param i32) (result i32)
        (call $pause)
        (if (i32.gt_u (global.get $count) (i32.const 20)) (then (throw $tag (i32.const 500))))
        (i32.add (local.get 0) (i32.const 1000)))`,
  };
  const main = `
    (local.set $a (call $make (i32.const 0)))
    (call $log (call_indirect (type $nullary) (local.get $a)))
    (call $log (global.get $count))
    (call $log (call_indirect (type $nullary) (local.get $a)))
    (call $log (call_indirect (type $nullary) (i32.const 1)))
    (global.set $count (i32.const 0))
    (call $log (call_indirect (type $unary) (i32.const 7) (i32.const 2)))
    (call $pause)
    (call_indirect (i32.add (local.get $a) (i32.const 1)))
    (call $log (call_indirect (type $nullary) (i32.const 2)))`;
  // The second call of $helper throws, as the count is then 21.
  await logs([module], main, [1034, 11, 500, 1, 1007, 1], parts);
});

test('segments are applied as the specification says, and those that were dropped stay dropped', async () => {
  const module = `(module ${MEMORY}
    (import "env" "table" (table $t 3 funcref))
    (table $mine 2 funcref)
    (data (i32.const 300) "\\07")
    (data $later "\\01\\02\\03")
    (elem (table $t) (i32.const 0) func $seven)
    (elem $passive func $seven $eight)
    (func $seven (result i32) (i32.const 7))
    (func $eight (result i32) (i32.const 8))
    (func (export "copy") (memory.init $later (i32.const 400) (i32.const 0) (i32.const 3)))
    (func (export "drop") (data.drop $later) (elem.drop $passive))
    (func (export "table") (table.init $mine $passive (i32.const 0) (i32.const 0) (i32.const 2)))
    (func (export "call") (param i32) (result i32) (call_indirect $mine (result i32) (local.get 0)))
    (func (export "grow") (result i32) (table.grow $mine (ref.func $eight) (i32.const 3))))`;
  const main = `
    (local.set $a (call $make (i32.const 0)))
    (call $log (i32.load8_u (i32.const 300)))
    (i32.store8 (i32.const 300) (i32.const 9))
    (call $pause)
    (call $log (i32.load8_u (i32.const 300)))
    (call $log (call_indirect (type $nullary) (i32.const 0)))
    (table.set $t (i32.const 0) (ref.null func))
    (call_indirect (local.get $a))
    (call $pause)
    (call $log (i32.load (i32.const 400)))
    (call $log (ref.is_null (table.get $t (i32.const 0))))
    (call_indirect (i32.add (local.get $a) (i32.const 2)))
    (call $log (call_indirect (type $nullary) (i32.add (local.get $a) (i32.const 4))))
    (call_indirect (i32.add (local.get $a) (i32.const 1)))
    (call $pause)
    (call $log (call_indirect (type $unary) (i32.const 0) (i32.add (local.get $a) (i32.const 3))))
    (call $log (call_indirect (type $unary) (i32.const 4) (i32.add (local.get $a) (i32.const 3))))
    (call $log (i32.const -1))
    (block $caught
      (try_table (catch_all $caught) (call_indirect (local.get $a))))
    (call $log (i32.const -2))`;
  const logged = [7, 9, 7, 0x030201, 1, 2, 7, 8, -1];
  const made = await making([await wat(module)], main);
  for (const stress of [false, true]) {
    const system = new TestSystem({ stress });
    const id = system.add('a', made, { compiler: true });
    system.kernel.start(id, 'main');
    while (system.kernel.status(id).state !== 'exited') {
      system.kernel.run({ maxSlices: 1 });
      system.checkpoint();
      system.crash();
    }
    assert.deepEqual(system.values('a'), logged);
    const { reason } = system.kernel.status(id);
    assert.equal(reason, 'out of bounds memory access', 'a segment that was dropped has no bytes');
    const [inner, outer] = system.kernel.trace(id).frames;
    assert.deepEqual([inner?.function, inner?.made, outer?.function], ['copy', 1, 'main']);
  }
});

test('references go between modules, and stand in their frames, globals and results', async () => {
  const first = `(module
    (import "env" "table" (table $t 3 funcref))
    (import "env" "yes" (func $yes (result i32)))
    (global $kept (mut funcref) (ref.null func))
    (func $nine (export "nine") (result i32) (call $yes) (i32.const 9) i32.add)
    (func (export "keep") (param i32) (global.set $kept (table.get $t (local.get 0))))
    (func (export "give") (result funcref) (drop (call $yes)) (global.get $kept))
    (func (export "mine") (result funcref) (drop (call $yes)) (ref.func $nine)))`;
  const second = `(module
    (import "env" "table" (table $t 3 funcref))
    (import "env" "yes" (func $yes (result i32)))
    (type $give (func (result funcref)))
    (func (export "ask") (param $from i32) (result i32)
      (local $f funcref)
      (local.set $f (call_indirect $t (type $give) (local.get $from)))
      (drop (call $yes))
      (table.set $t (i32.const 2) (local.get $f))
      (call_indirect $t (result i32) (i32.const 2))))`;
  const parts = { more: '(func $yes (export "yes") (result i32) (call $pause) (i32.const 1))' };
  // $a: nine, keep, give, mine; $b: ask
  const main = `
    (local.set $a (call $make (i32.const 0)))
    (local.set $b (call $make (i32.const 1)))
    (call_indirect (param i32) (local.get $a) (i32.add (local.get $a) (i32.const 1)))
    (call $log (call_indirect (type $unary) (i32.add (local.get $a) (i32.const 2)) (local.get $b)))
    (call $log (call_indirect (type $unary) (i32.add (local.get $a) (i32.const 3)) (local.get $b)))
    (table.set $t (i32.const 0) (ref.func $yes))
    (call_indirect (param i32) (i32.const 0) (i32.add (local.get $a) (i32.const 1)))
    (call $log (call_indirect (type $unary) (i32.add (local.get $a) (i32.const 2)) (local.get $b)))`;
  await logs([first, second], main, [10, 10, 1], parts);
});

test('a made module grows memory, and finds it where it was moved to', async () => {
  const module = `(module (import "env" "memory" (memory 2))
    (func (export "grow") (param i32) (result i32)
      (i32.store (i32.const 8) (i32.const 1234))
      (drop (memory.grow (local.get 0)))
      (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 55))
      (i32.add (i32.load (i32.const 8)) (memory.size))))`;
  const made = await making(
    [await wat(module)],
    `
    (local.set $a (call $make (i32.const 0)))
    (call $log (call_indirect (type $unary) (i32.const 3) (local.get $a)))
    (call $log (i32.load (i32.const 327676)))
    (drop (memory.grow (i32.const 1)))
    (call $log (call_indirect (type $unary) (i32.const 1) (local.get $a)))`,
  );
  const system = new TestSystem();
  const id = system.add('a', made, { compiler: true });
  system.add('wall', made, { compiler: true }); // directly behind it, so that it has to be moved
  system.kernel.start(id, 'main');
  system.runAll();
  assert.equal(system.kernel.status(id).end, 'exit', system.kernel.status(id).reason);
  assert.deepEqual(system.values('a'), [1239, 55, 1241]);
});

test('what is released goes when nothing can reach it: its number and slots are used again', async () => {
  const modules = [1, 2].map(
    (n) => `(module
      (import "env" "yes" (func $yes (param i32) (result i32)))
      (global $g (mut i32) (i32.const ${n}))
      (func (export "run") (param i32) (result i32)
        (global.set $g (i32.add (global.get $g) (i32.const 1)))
        (i32.add (call $yes (local.get 0)) (global.get $g))))`,
  );
  const parts = {
    // Releases the caller's module while its frame is on the stack, and makes and releases many others meanwhile.
    more: `(global $first (mut i32) (i32.const 0)) (global $kept (mut funcref) (ref.null func))
      (func $yes (export "yes") (param i32) (result i32)
        (local $i i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
        (call $log (call $release (global.get $first)))
        (call $log (ref.is_null (table.get $t (global.get $first))))
        (loop $again
          (call $log (call $release (call $make (i32.const 1))))
          (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 80))))
        (call $pause)
        (i32.const 100))`,
  };
  const main = `
    (global.set $first (call $make (i32.const 0)))
    (global.set $kept (table.get $t (global.get $first)))
    (call $log (call_indirect (type $unary) (i32.const 1) (global.get $first)))
    (table.set $t (i32.const 0) (global.get $kept))
    (global.set $kept (ref.null func))
    (call $log (call_indirect (type $unary) (i32.const 0) (i32.const 0)))
    (call $log (i32.lt_u (table.size $t) (i32.const 45)))
    (call $log (call $release (i32.const 77)))`;
  const expected = [0, 1, ...new Array<number>(80).fill(0), 102, 3, 1, -ERRNO.NOENT];
  await logs(modules, main, expected, parts, false);
});

test('a domain that made code is carried to another space, and must be granted the compiler there', async () => {
  const module = `(module (import "env" "yes" (func $yes (result i32)))
    (global $n (mut i32) (i32.const 0)) (data $d "x") (table $own 1 funcref)
    (func $f (export "run") (result i32)
      (data.drop $d)
      (table.set $own (i32.const 0) (ref.func $f))
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (i32.add (call $yes) (global.get $n)))
    (func (export "own") (result i32) (ref.is_null (table.get $own (i32.const 0)))))`;
  const made = await making(
    [await wat('(module (func (export "a")) (func (export "b")))'), await wat(module)],
    `(drop (call $make (i32.const 0)))
    (drop (call $release (call $make (i32.const 0))))
    (local.set $a (call $make (i32.const 1)))
    (call $log (call_indirect (type $nullary) (local.get $a)))
    (call $log (call_indirect (type $nullary) (i32.add (local.get $a) (i32.const 1))))
    (call $log (call_indirect (type $nullary) (local.get $a)))
    (call $log (call $make (i32.const 0)))`,
    { more: '(func $yes (export "yes") (result i32) (call $pause) (i32.const 100))' },
  );
  const from = new TestSystem({ stress: true });
  const id = from.add('a', made, { compiler: true });
  from.kernel.start(id, 'main');
  const stack = (system: TestSystem, domain: number): unknown[] =>
    system.kernel.inspect(domain).frames.map((frame) => [frame.function, frame.made]);
  const inside = [
    ['yes', undefined],
    ['f', 3],
    ['main', undefined],
  ];
  while (JSON.stringify(stack(from, id)) !== JSON.stringify(inside)) from.kernel.run({ maxSlices: 1 });
  const image = from.kernel.exportDomain(id);
  assert.equal(image.made?.length, 3);
  const to = new TestSystem();
  to.modules.set(made.hash, made);
  assert.throws(() => to.kernel.importDomain(image, made), { code: 'not-granted' });
  const other = to.kernel.importDomain(image, made, 'a', true);
  assert.deepEqual(stack(to, other), inside);
  to.checkpoint();
  to.crash();
  to.runAll();
  assert.equal(to.kernel.status(other).end, 'exit', to.kernel.status(other).reason);
  assert.deepEqual(to.values('a'), [101, 0, 102, 9]);
  for (const spoil of [
    { made: [] },
    { made: image.made!.slice(0, 2) },
    { made: image.made!.map((each) => ({ ...each, number: 1 })) },
    { made: image.made!.map((each) => ({ ...each, state: [] })) },
    { made: image.made!.map((each) => ({ ...each, code: each.code.slice(1) })) },
    { made: image.made!.map((each) => ({ ...each, slots: -1 })) },
    { made: 7 },
  ]) {
    const hostile = { ...image, ...spoil } as typeof image;
    assert.throws(() => to.kernel.importDomain(hostile, made, 'b', true), { name: /MalformedError|Unsupp/ });
  }
});

test('wherever the native stack ends, a module is made, or refused, or the program traps', async () => {
  const module = await wat('(module (func (export "run") (result i32) (i32.const 1)))');
  const parts = {
    // Goes down as deep as it is told, makes a module there, and gives what compile did.
    more: `(func $down (param $n i32) (result i32)
      (if (i32.eqz (local.get $n)) (then (return (call $make (i32.const 0)))))
      (i32.add (i32.const 0) (call $down (i32.sub (local.get $n) (i32.const 1)))))
      (func (export "deep") (param i32) (result i32) (call $down (local.get 0)))`,
  };
  const made = await making([module], '', parts);
  const system = new TestSystem();
  const id = system.add('a', made, { compiler: true, resident: true });
  const seen = new Set<string>();
  const at = (depth: number): string => {
    const outcome = system.kernel.invoke(id, 'deep', [depth]);
    const answer = outcome.kind === 'returned' ? Number(BigInt.asIntN(32, outcome.results[0]!.low)) : -1000;
    const kind = outcome.kind === 'returned' ? (answer >= 0 ? 'made' : `refused ${answer}`) : outcome.kind;
    seen.add(kind);
    return kind;
  };
  let [low, high] = [0, 1_000_000];
  while (high - low > 64) {
    const middle = (low + high) >> 1;
    if (at(middle) === 'made') low = middle;
    else high = middle;
  }
  for (let depth = low - 500; depth < high + 3000; depth += 97) at(depth);
  assert.ok(
    [...seen].every((kind) => ['made', 'trap', `refused ${-ERRNO.NOMEM}`].includes(kind)),
    [...seen].join(),
  );
  assert.ok(seen.has('made') && seen.has('trap'));
});
