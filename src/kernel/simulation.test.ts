import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { Space } from '../space/index.ts';
import { program, TestSystem } from './kernel.testing.ts';
import { Kernel } from './kernel.ts';

/** Computes with everything a checkpoint must hold: memories that grow, globals, tables, exceptions, deep calls. */
const PROGRAM = program(`(module
  (import "env" "log64" (func $log (param i64)))
  (import "env" "pause" (func $pause))
  (import "env" "sleep" (func $sleep (param i64)))
  (type $f (func (param i64) (result i64)))
  (tag $t (param i64 f64))
  (memory 1 40) (memory $b 1)
  (table $table 3 funcref)
  (elem (i32.const 0) $mix $twice $turn)
  (global $state (mut i64) (i64.const 88172645463325252)) (global $sum (mut f64) (f64.const 0))
  (global $vector (mut v128) (v128.const i64x2 1 2))
  (func $random (result i64)
    (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 13))))
    (global.set $state (i64.xor (global.get $state) (i64.shr_u (global.get $state) (i64.const 7))))
    (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 17))))
    (global.get $state))
  (func $mix (param i64) (result i64) (i64.add (local.get 0) (call $random)))
  (func $twice (param i64) (result i64) (i64.mul (local.get 0) (i64.const 3)))
  (func $turn (param i64) (result i64)
    (table.set (i32.const 1) (table.get (i32.and (i32.wrap_i64 (local.get 0)) (i32.const 1))))
    (i64.rotl (local.get 0) (i64.const 9)))
  (func $deep (param $n i32) (param $x i64) (result i64) (local $v v128) (local $g f64)
    (local.set $v (i64x2.add (global.get $vector) (i64x2.splat (local.get $x))))
    (local.set $g (f64.mul (f64.convert_i32_s (local.get $n)) (f64.const 1.5)))
    (if (i32.eqz (local.get $n)) (then (call $pause) (throw $t (local.get $x) (local.get $g))))
    (i64.store $b (i32.shl (i32.and (local.get $n) (i32.const 1023)) (i32.const 3)) (local.get $x))
    (local.set $x (call $deep (i32.sub (local.get $n) (i32.const 1)) (call_indirect (type $f) (local.get $x) (i32.rem_u (local.get $n) (i32.const 3)))))
    (global.set $vector (local.get $v))
    (local.get $x))
  (func $caught (param $n i32) (param $x i64) (result i64)
    (block $h (result i64 f64)
      (try_table (catch $t $h) (return (call $deep (local.get $n) (local.get $x))))
      unreachable)
    (global.set $sum (f64.add (global.get $sum)))
    (i64.add (i64.trunc_sat_f64_s (global.get $sum))))
  (func (export "_start") (local $i i32) (local $x i64)
    (loop $l
      (local.set $x (call $caught (i32.add (i32.const 5) (i32.mul (local.get $i) (i32.const 7))) (i64.xor (local.get $x) (call $random))))
      (i64.store (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0xfff8)) (local.get $x))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 5))) (then (drop (memory.grow (i32.const 1)))))
      (call $log (i64.add (local.get $x) (i64.load (i32.and (i32.wrap_i64 (call $random)) (i32.const 0xfff8)))))
      (call $log (i64x2.extract_lane 1 (global.get $vector)))
      (call $sleep (i64.const 10))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 30))))
    (call $log (i64.extend_i32_u (memory.size)))))`);

async function uninterrupted(): Promise<(number | bigint)[]> {
  const system = new TestSystem();
  const id = system.add('a', await PROGRAM);
  system.kernel.start(id, '_start');
  while (system.kernel.status(id).state !== 'exited') {
    system.runAll();
    system.powers.ns += 10n;
  }
  assert.equal(system.kernel.status(id).end, 'exit');
  return system.values('a');
}

test('seen from outside, a life of kills, moves and journeys is the life of a program nobody touched', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const want = await uninterrupted();
  assert.equal(want.length, 61);
  for (let life = 0; life < 6; life++) {
    const stress = life % 3 === 2;
    const system = new TestSystem({ stress });
    const id = system.add('a', await PROGRAM);
    system.kernel.start(id, '_start');
    let kept = 0;
    const checkpoint = (): void => {
      system.checkpoint();
      kept = system.personality.logs.length;
    };
    checkpoint();
    const find = (): number => system.kernel.find('a');
    let crashes = 0;
    for (let step = 0; system.kernel.status(find()).state !== 'exited'; step++) {
      assert.ok(step < 20000, 'it gets on');
      system.powers.ns += BigInt(prng.below(20));
      if (prng.chance(0.7)) system.kernel.run({ maxSlices: 1 + prng.below(stress ? 40 : 3) });
      const act = prng.below(stress ? 60 : 20);
      if (act < 5) checkpoint();
      else if (act === 5) {
        system.crash();
        system.personality.logs.length = kept;
        crashes++;
      } else if (act === 6 && system.kernel.status(find()).state !== 'exited') system.kernel.relocate(find());
      else if (act === 7) system.kernel.compact();
      else if (act === 8 && system.kernel.stop(find())) system.kernel.resume(find());
      else if (act === 9 && system.kernel.status(find()).state !== 'exited') travel(system, checkpoint);
      else if (act === 10) system.kernel.wake(find());
    }
    assert.deepEqual(system.values('a'), want, `life ${life}, ${crashes} crashes`);
    const blocks = system.space.heap.blockCount;
    system.kernel.remove(find());
    assert.ok(system.space.heap.blockCount <= blocks);
  }
});

/** The domain leaves for a space of its own, where another one lies at its old place. */
function travel(system: TestSystem, checkpoint: () => void): void {
  const image = structuredClone(system.kernel.exportDomain(system.kernel.find('a')));
  const module = system.modules.get(image.hash);
  assert.ok(module);
  system.pages.clear();
  system.kernel = new Kernel(Space.create({ id: new Uint8Array(16).fill(9) }), system.kernelOptions());
  system.add('neighbour', module);
  system.kernel.importDomain(image, module);
  checkpoint();
}
