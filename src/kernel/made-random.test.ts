/** Random modules made at run time do what they do where V8 makes them: results, traps, and what is in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { randomProgram } from '../compiler/generate.testing.ts';
import { wat } from '../wasm/wat.testing.ts';
import type { Kernel } from './index.ts';
import { load, TestSystem } from './kernel.testing.ts';

const ROUNDS = Number(process.env.PERDURE_ROUNDS ?? 20);

/** A random program as a module that has its memory, its tag and its import from the program that makes it. */
function asMade(text: string): string {
  return text
    .replace('(import "m" "id"', '(import "env" "id"')
    .replace(
      '(memory (export "mem") 1 3) (global $fuel (mut i32) (i32.const 0)) (tag $e (param i32))',
      '(import "env" "memory" (memory 1 3)) (import "env" "e" (tag $e (param i32))) (global $fuel (mut i32) (i32.const 0))',
    );
}

/** Makes the module and calls its functions; `call0` and `call1` give a number out of what f0 and f1 give. */
function program(code: Uint8Array, results: readonly string[]): string {
  const data = [...code].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
  const to: Record<string, string> = {
    ...{ i32: 'i64.extend_i32_s', i64: 'nop', f32: 'i64.trunc_sat_f32_s', f64: 'i64.trunc_sat_f64_s' },
  };
  const calls = results.map(
    (type, i) => `(func (export "call${i}") (param i32 i64) (result i64)
      (call_indirect (param i32 i64) (result ${type}) (local.get 0) (local.get 1)
        (i32.add (global.get $first) (i32.const ${i + 1}))) ${to[type]})`,
  );
  // The order of its exports: f0 and f1 come behind fuel, which is declared before them.
  return `(module
    (import "perdure_compiler" "compile" (func $compile (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1 3) (tag (export "e") (param i32)) (table (export "table") 0 10 funcref)
    (global $first (mut i32) (i32.const 0))
    (data (i32.const 32768) "${data}")
    (func (export "id") (param i32) (result i32) (local.get 0))
    (func (export "make") (result i32)
      (global.set $first (call $compile (i32.const 32768) (i32.const ${code.length}) (i32.const 0) (i32.const 200)))
      (global.get $first))
    (func (export "fuel") (call_indirect (global.get $first)))
    (func (export "sum") (result i64) (local $i i32) (local $x i64)
      (loop $next
        (local.set $x (i64.mul (i64.xor (local.get $x) (i64.load (local.get $i))) (i64.const 1099511628211)))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8)))
          (i32.mul (memory.size) (i32.const 65536)))))
      (i64.add (local.get $x) (i64.extend_i32_u (memory.size))))
    ${calls.join('\n')})`;
}

type Arguments = readonly (number | bigint)[];
/** What a call gives: a number, or how it ended. */
type Run = (name: string, args: Arguments) => unknown;

function onPlainV8(bytes: Uint8Array<ArrayBuffer>): Run {
  let exports: WebAssembly.Exports = {};
  const compile = (at: number, length: number): number => {
    const { memory, table } = exports as { memory: WebAssembly.Memory; table: WebAssembly.Table };
    const module = new WebAssembly.Module(new Uint8Array(memory.buffer).slice(at, at + length));
    const made = Object.values(new WebAssembly.Instance(module, { env: exports }).exports);
    const first = table.grow(made.length);
    made.forEach((each, i) => {
      table.set(first + i, each as () => void);
    });
    return first;
  };
  const module = new WebAssembly.Module(bytes);
  exports = new WebAssembly.Instance(module, { perdure_compiler: { compile } } as never).exports;
  return (name, args) => {
    try {
      return BigInt((exports[name] as (...args: Arguments) => number | bigint | undefined)(...args) ?? 0);
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) return 'trap';
      if (error instanceof WebAssembly.Exception) return 'exception';
      throw error;
    }
  };
}

/** @param deadly whether the process dies after each call */
function inSpace(bytes: Uint8Array, stress: boolean, deadly: boolean): Run {
  const system = new TestSystem({ stress });
  const id = system.add('a', load(bytes), { compiler: true, resident: true });
  return (name, args) => {
    const outcome = system.kernel.invoke(id, name, args);
    if (deadly) {
      system.checkpoint();
      system.crash();
    }
    return shown(outcome);
  };
}

function shown(outcome: ReturnType<Kernel['invoke']>): unknown {
  if (outcome.kind !== 'returned') return outcome.kind;
  const [result] = outcome.results;
  if (result === undefined) return 0n;
  return result.type === 0x7f ? BigInt.asIntN(32, result.low) : BigInt.asIntN(64, result.low);
}

test('random modules do what they do where V8 makes them', async () => {
  // The same ones each time, unless others are asked for: src/compiler/random.test.ts looks for new ones.
  const first = seedFrom(process.env.PERDURE_SEED, 777_000);
  let returned = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const seed = (first + round) >>> 0;
    const random = new Prng(seed);
    const { text } = randomProgram(random);
    const results = [0, 1].map((i) => new RegExp(`\\(func \\$f${i} .*\\(result (\\w+)\\)`).exec(text)![1]!);
    const bytes = await wat(program(await wat(asMade(text)), results));
    const calls: [string, Arguments][] = [['make', []]];
    for (let n = 0; n < 3; n++) {
      const args = [random.below(70000), BigInt(random.below(1000))];
      calls.push(['fuel', []], [`call${random.below(2)}`, args], ['sum', []]);
    }
    const plain = onPlainV8(bytes);
    const runs = [inSpace(bytes, false, false), inSpace(bytes, true, false), inSpace(bytes, true, true)];
    for (const [name, args] of calls) {
      const expected = plain(name, args);
      if (name.startsWith('call') && typeof expected === 'bigint') returned++;
      for (const [i, run] of runs.entries()) {
        const replay = `run ${i} of ${name}; PERDURE_SEED=${seed} PERDURE_ROUNDS=1 replays this`;
        assert.equal(run(name, args), expected, replay);
      }
    }
  }
  assert.ok(ROUNDS < 10 || returned >= ROUNDS / 2, `${returned} calls returned`);
});
