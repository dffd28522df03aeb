/** The verifier takes the continuation of every safepoint, whatever the compiler knew of the code before it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { verifyResume } from '../verifier/resume.ts';
import { verify } from '../verifier/verify.ts';
import { wat } from '../wasm/wat.testing.ts';
import { compile, FULL } from './compile.ts';
import { randomProgram } from './generate.testing.ts';
import { Program } from './program.ts';
import { compileResume } from './resume.ts';

/** Verifies the continuations of all sites one by one; gives how many there are. */
async function verifyAll(text: string): Promise<number> {
  const bytes = await wat(text);
  const main = verify(compile(bytes).bytes);
  const program = new Program(bytes, FULL);
  let sites = 0;
  for (let defined = 0; defined < program.module.codes.length; defined++) {
    const shapes = [...program.quick(defined).shapes].filter((shape) => shape !== undefined);
    for (const { functionIndex, offset, kind } of shapes) {
      verifyResume(compileResume(program, [{ functionIndex, offset, kind }], 1).bytes, main);
      sites++;
    }
  }
  return sites;
}

test('an address that was on the stack before the call is checked, or known again, behind it', async () => {
  const sites = await verifyAll(`(module (import "m" "f" (func $f (result i32))) (memory 1)
    (func (export "constant") (i32.store (i32.const 16) (call $f)))
    (func (export "bounded") (param $p i32)
      (i32.store (i32.and (local.get $p) (i32.const 255)) (call $f)))
    (func (export "local") (param $p i32) (local $q i32)
      (local.set $q (i32.and (local.get $p) (i32.const 255)))
      (drop (call $f))
      (i32.store offset=8 (local.get $q) (i32.load (local.get $q))))
    (func (export "checked") (param $p i32)
      (i32.store (local.get $p) (i32.const 1))
      (i32.store (local.get $p) (call $f))
      (i32.store offset=4 (local.get $p) (call $f)))
    (func (export "loop") (param $p i32) (param $n i32)
      (loop $outer
        (drop (call $f))
        (loop $l
          (i32.store (local.get $p) (i32.load offset=8 (local.get $p)))
          (local.set $p (i32.add (local.get $p) (i32.const 4)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (br_if $outer (call $f)))))`);
  assert.equal(sites, 13);
});

test('so are those of random programs', async () => {
  const first = seedFrom(process.env.PERDURE_SEED, Date.now());
  for (let round = 0; round < 10; round++) {
    const seed = (first + round) >>> 0;
    try {
      await verifyAll(randomProgram(new Prng(seed)).text);
    } catch (error) {
      console.log(`PERDURE_SEED=${seed} replays this`);
      throw error;
    }
  }
});
