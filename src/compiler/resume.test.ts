/** The verifier takes the continuation of every safepoint, whatever the compiler knew of the code before it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KIND_CALLING } from '../abi/frame.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { verifyResume } from '../verifier/resume.ts';
import { verify } from '../verifier/verify.ts';
import { wat } from '../wasm/wat.testing.ts';
import { compile, FULL } from './compile.ts';
import type { FrameShape } from './frames.ts';
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
    const shapes = [...program.prepared(defined).shapes].filter((shape) => shape !== undefined);
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

/** The continuation of one place, as code. */
function continuationBytes(program: Program, { functionIndex, offset, kind }: FrameShape): number {
  const { parts } = compileResume(program, [{ functionIndex, offset, kind }], 1);
  const { code } = parts.find((part) => !part.entry)!.emitted;
  return code.end - code.start;
}

const nested = (depth: number, body: string): string =>
  depth === 0
    ? body
    : `(loop $l${depth} ${body} ${nested(depth - 1, body)} (br_if $l${depth} (call $f)) ${body})`;

test('no continuation is longer than its function, however deep the loops nest', async () => {
  const body = '(drop (call $f))'.repeat(10);
  const program = new Program(
    await wat(`(module (import "m" "f" (func $f (result i32))) (func (export "run") ${nested(30, body)}))`),
    FULL,
  );
  const { code } = program.defined(0);
  const whole = code.end - code.start;
  const shapes = program.prepared(0).shapes.filter((shape) => shape !== undefined);
  assert.equal(shapes.length > 600, true);
  for (const shape of shapes)
    assert.ok(
      continuationBytes(program, shape) < whole * 1.5,
      `${continuationBytes(program, shape)} ${whole}`,
    );
});

test('of a switch only the case that was begun is left', async () => {
  const cases = Array.from({ length: 100 }, (_, n) => n);
  const program = new Program(
    await wat(`(module (import "m" "f" (func $f (result i32)))
      (func (export "run") (param $op i32)
        (loop $next
          (block $done
            ${'(block '.repeat(100)}
            (br_table ${cases.join(' ')} (local.get $op))
            ${cases.map(() => `) ${'(drop (call $f))'.repeat(20)} (br $done)`).join('\n')})
          (br_if $next (local.tee $op (call $f))))))`),
    FULL,
  );
  const { code } = program.defined(0);
  const shapes = program.prepared(0).shapes.filter((shape) => shape?.kind === KIND_CALLING);
  assert.equal(shapes.length, 100 * 20 + 1);
  for (const shape of shapes.filter((_, n) => n % 50 === 3)) {
    assert.ok(continuationBytes(program, shape) * 10 < code.end - code.start);
  }
});

test('a continuation is the same whether its function was looked at just now or long ago', async () => {
  const functions = Array.from(
    { length: 70 },
    (_, n) => `(func (export "${n}") (local $i i32)
      (loop $l
        (i32.store (local.get $i) (call $f))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const ${n})))))`,
  );
  const program = new Program(
    await wat(`(module (import "m" "f" (func $f (result i32))) (memory 1) ${functions.join('\n')})`),
    FULL,
  );
  const shapes = program.module.codes.flatMap((_, defined) =>
    program.prepared(defined).shapes.filter((shape) => shape !== undefined),
  );
  const make = ({ functionIndex, offset, kind }: FrameShape): Uint8Array =>
    compileResume(program, [{ functionIndex, offset, kind }], 1).bytes;
  const prng = new Prng(1);
  for (let round = 0; round < 12; round++) {
    const shape = shapes[prng.below(shapes.length)]!;
    const kept = make(shape);
    for (let defined = 0; defined < 70; defined++) program.prepared(defined); // no room is left for it
    assert.deepEqual(make(shape), kept);
  }
});

test('a large function of deeply nested loops can be stopped', async () => {
  const bytes = await wat(
    `(module (import "m" "f" (func $f (result i32)))
      (func (export "run") ${nested(50, '(drop (call $f))'.repeat(100))}))`,
  );
  const { bytes: rewritten } = compile(bytes);
  const program = new Program(bytes, FULL);
  const shapes = program.prepared(0).shapes.filter((shape) => shape !== undefined);
  const innermost = shapes[shapes.length >>> 1]!;
  verifyResume(compileResume(program, [innermost], 1).bytes, verify(rewritten));
});
