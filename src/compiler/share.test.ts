import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { guest } from '../../guests/build.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { decodeModule } from '../wasm/module.ts';
import { wat } from '../wasm/wat.testing.ts';
import { ALONE, Compilation, compile, FULL } from './compile.ts';
import { randomProgram } from './generate.testing.ts';
import type { CompileOptions } from './plan.ts';
import { compileShare, rangeOf } from './share.ts';

/** The program rewritten in so many shares, each as another thread would hand it over. */
function inShares(program: Uint8Array, options: CompileOptions, of: number): Uint8Array {
  const compilation = new Compilation(program, options);
  compilation.compile(of);
  for (let part = 1; part < of; part++) {
    compilation.place(structuredClone(compileShare(program, options, part, of)));
  }
  return compilation.finish().bytes;
}

function sameInShares(program: Uint8Array, options: CompileOptions, what: string): void {
  const whole = compile(program, options).bytes;
  for (const count of [2, 3, 7]) {
    assert.ok(Buffer.from(whole).equals(inShares(program, options, count)), `${what} in ${count} shares`);
  }
}

test('real programs come out the same in any number of shares', async () => {
  for (const name of ['flite', 'queens']) {
    const program = readFileSync(await guest(name));
    for (const options of [FULL, ALONE]) sameInShares(program, options, name);
  }
});

test('so do random programs', async () => {
  const first = seedFrom(process.env.PERDURE_SEED, Date.now());
  for (let round = 0; round < 10; round++) {
    const seed = (first + round) >>> 0;
    const program = await wat(randomProgram(new Prng(seed)).text);
    sameInShares(program, FULL, `PERDURE_SEED=${seed}`);
  }
});

test('types of blocks that nothing foretells have the numbers they have in one share', async () => {
  const text = `(module (import "m" "f" (func $f)) (tag $i32i64 (param i32 i64)) (tag $f32f64 (param f32 f64))
    (func (i32.const 1) (i64.const 2)
      (loop $l (param i32 i64) (drop) (drop)
        (block $b (result f32 f64) (try_table (catch $i32i64 $l) (catch $f32f64 $b) (call $f)) (return))
        (drop) (drop)))
    (func (f32.const 1) (f64.const 2)
      (loop $l (param f32 f64) (drop) (drop) (try_table (catch $f32f64 $l) (call $f))))
    (func (i32.const 1) (i64.const 2)
      (loop $l (param i32 i64) (drop) (drop) (try_table (catch $i32i64 $l) (call $f)))))`;
  const program = await wat(text);
  assert.ok(compileShare(program, FULL, 0, 1).typeUses.length > 0);
  sameInShares(program, FULL, 'detours');
});

test('shares are about equal, and every function is in one', async () => {
  const { codes } = decodeModule(readFileSync(await guest('flite')));
  const size = (from: number, to: number): number =>
    codes.slice(from, to).reduce((sum, { start, end }) => sum + end - start, 0);
  let next = 0;
  for (let part = 0; part < 4; part++) {
    const [from, to] = rangeOf(codes, part, 4);
    assert.equal(from, next);
    next = to;
    const ratio = size(from, to) / (size(0, codes.length) / 4);
    assert.ok(ratio > 0.8 && ratio < 1.2, `share ${part}: ${ratio}`);
  }
  assert.equal(next, codes.length);
  for (const [part, range] of [
    [0, [0, 0]],
    [1, [0, 0]],
  ] as const)
    assert.deepEqual(rangeOf([], part, 2), range);
});
