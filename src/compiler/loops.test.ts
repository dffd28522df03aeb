import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wat } from '../wasm/wat.testing.ts';
import { FULL } from './compile.ts';
import { HINTED_DEPTH_MAX } from './deep.ts';
import type { LoopShape, Pointer } from './loops.ts';
import { Program } from './program.ts';
import { same } from './same.testing.ts';

/** The loops of the first function that are worth a second version. */
async function loops(body: string): Promise<LoopShape[]> {
  const program = new Program(
    await wat(`(module (import "m" "f" (func $f)) (memory 2)
      (func (param $p i32) (param $n i32) (param $q i32) (local $i i32) ${body}))`),
    FULL,
  );
  program.quick(0);
  return [...program.addresses.loops.values()];
}

const next = (local: string, by: string): string =>
  `(local.set ${local} (i32.add (local.get ${local}) ${by}))`;
const repeat = '(br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))';

test('accesses off one pointer share it, whatever adds their constants', async () => {
  const [shape, ...others] = await loops(`(loop $l
    (i32.store offset=4 (local.get $p) (i32.load (i32.add (local.get $p) (i32.const 20))))
    ${next('$p', '(i32.const 8)')} ${repeat})`);
  assert.equal(others.length, 0);
  assert.deepEqual(
    shape!.pointers.map(({ low, reach, step, storesAt }) => ({ low, reach, step, storesAt })),
    [{ low: 4, reach: 20, step: 8, storesAt: 0 }],
  );
  assert.deepEqual(
    [...shape!.accesses.values()].map((a) => a.delta).sort((a, b) => a - b),
    [0, 16],
  );
  // The mark reaches 4,097 bytes from the page of the first store: 20 + 8 × rounds stay within.
  assert.equal(shape!.rounds, Math.floor((4097 - 20) / 8) + 1);
});

test('an index that is shifted moves by as much more', async () => {
  const [shape] = await loops(`(loop $l
    (drop (f64.load (i32.add (local.get $p) (i32.shl (local.get $i) (i32.const 3)))))
    ${next('$i', '(i32.const 2)')} ${repeat})`);
  assert.equal(shape!.pointers[0]!.step, 16);
});

test('a pointer may go down, and a mark reaches as far before its page as behind it', async () => {
  const [shape] = await loops(`(loop $l
    (i32.store offset=4 (local.get $p) (i32.load (local.get $p))) ${next('$p', '(i32.const -8)')} ${repeat})`);
  const [{ step, reach, storesAt }] = shape!.pointers as [Pointer];
  assert.deepEqual([step, reach, storesAt], [-8, 8, 4]);
  assert.equal(shape!.rounds, Math.floor((4096 + 4) / 8) + 1);
});

test('loops that go down do what they do on plain V8, to both ends of memory', async () => {
  const down = (by: number): string =>
    `(loop $l (i32.store offset=4 (local.get $p) (i32.add (local.get $n) (i32.load (local.get $p))))
       ${next('$p', `(i32.const ${-by})`)} ${repeat})`;
  await same(
    `(module (memory (export "m") 2)
       (func (export "words") (param $p i32) (param $n i32) ${down(4)})
       (func (export "few") (param $p i32) (param $n i32) ${down(2000)})
       (func (export "bytes") (param $p i32) (param $n i32) (result i32)
         (loop $l (i32.store8 (local.get $p) (local.get $n)) ${next('$p', '(i32.const -1)')} ${repeat})
         (local.get $p)))`,
    [
      ...[131_064, 131_065, 131_068, 70_000, 8192, 4100].map((p) => ['words', p, 1030] as const),
      ...[16, 4096].map((p) => ['words', p, 1030] as const),
      ...[131_064, 120_000, 9000].map((p) => ['few', p, 60] as const),
      ...[131_071, 131_072, 65_536, 4095, 5000, 100, -1].map((p) => ['bytes', p, 5000] as const),
    ],
  );
});

test('a pointer may move by a value from before the loop', async () => {
  const [shape] = await loops(`(loop $l (i32.store8 (local.get $p) (i32.const 1))
    ${next('$p', '(local.get $q)')} ${repeat})`);
  assert.equal(shape!.pointers[0]!.stepLocal, 2);
});

test('loops whose addresses nobody can foretell have one version', async () => {
  const load = '(drop (i32.load (local.get $p)))';
  for (const body of [
    `(loop $l (local.set $p (i32.load (local.get $p))) ${repeat})`, // a list
    `(loop $l ${load} ${next('$p', '(local.get $p)')} ${repeat})`,
    `(loop $l ${load} (if (local.get $q) (then ${next('$p', '(i32.const 4)')})) ${repeat})`,
    `(loop $l ${load} ${next('$p', '(i32.const 20000)')} ${repeat})`,
    `(loop $l ${load} (call $f) ${next('$p', '(i32.const 4)')} ${repeat})`,
    `(loop $l (i32.store (local.get $p) (local.get $n)) ${next('$p', '(local.get $q)')}
       ${next('$q', '(i32.const 4)')} ${repeat})`,
  ]) {
    assert.equal((await loops(body)).length, 0, body);
  }
});

test('a loop may call functions that end soon, with fewer rounds between two tests', async () => {
  const program = new Program(
    await wat(`(module (memory 2) (func $upper (param i32) (result i32) (i32.and (local.get 0) (i32.const 95)))
      (func (param $p i32) (param $n i32) (loop $l
        (i32.store8 (local.get $p) (call $upper (i32.load8_u offset=1 (local.get $p))))
        (i32.store8 offset=2 (local.get $p) (i32.load8_u offset=3 (local.get $p)))
        ${next('$p', '(i32.const 1)')} ${repeat})))`),
    FULL,
  );
  program.quick(1);
  const [shape] = [...program.addresses.loops.values()];
  assert.equal(shape!.accesses.size, 4);
  assert.equal(shape!.rounds, 128);
});

test('calls in a loop written twice do what they do on plain V8, and may throw out of it', async () => {
  await same(
    `(module (memory (export "m") 2) (tag $e (param i32)) (global $g (mut i32) (i32.const 0))
       (func $rot (param i32) (result i32)
         (global.set $g (i32.add (global.get $g) (i32.const 1)))
         (if (i32.eq (global.get $g) (i32.const 300)) (then (throw $e (local.get 0))))
         (i32.xor (local.get 0) (global.get $g)))
       (func (export "f") (param $p i32) (param $n i32) (result i32)
         (block $caught (result i32)
           (try_table (catch $e $caught)
             (loop $l
               (i32.store offset=4 (local.get $p) (call $rot (i32.load (local.get $p))))
               (i32.store offset=8 (local.get $p) (i32.load offset=2 (local.get $p)))
               ${next('$p', '(i32.const 4)')} ${repeat}))
           (local.get $p))))`,
    [
      ['f', 16, 100],
      ['f', 130_900, 100],
      ['f', 4000, 500],
      ['f', 4000, 500],
    ],
  );
});

test('loops nested too deep for hints do what they do on plain V8', async () => {
  const depth = HINTED_DEPTH_MAX + 1;
  const count = (n: number): string =>
    `(loop $l${n} ${n < depth ? count(n + 1) : '(i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get $p)))'}
       (br_if $l${n} (i32.eqz (local.tee $x${n} (i32.eqz (local.get $x${n}))))))`;
  const locals = Array.from({ length: depth }, (_, n) => `(local $x${n + 1} i32)`).join(' ');
  await same(
    `(module (memory (export "m") 1) (func (export "f") (param $p i32) (result i32) ${locals}
       ${count(1)} (i32.load (i32.const 8))))`,
    [['f', 3]],
  );
});
