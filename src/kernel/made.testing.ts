/**
 * For tests only: programs in the text format that make code at run time, from modules they carry as data.
 */
import assert from 'node:assert/strict';
import { makeModule } from '../compiler/index.ts';
import { wat } from '../wasm/wat.testing.ts';
import { program, TestSystem } from './kernel.testing.ts';
import type { MakeModule } from './loader.ts';
import type { LoadedModule } from './program.ts';

const CODE = 4096;
export const ERROR = 512;

const quoted = (bytes: Uint8Array): string =>
  `"${[...bytes].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('')}"`;

export interface Parts {
  /** Declarations besides memory, table and imports. */
  readonly more?: string;
  readonly memory?: string;
  readonly table?: string;
}

/**
 * A program that has these modules in memory, and `main`, the body of its function of no parameters and results; in that
 * `$make` takes a module's number and gives what `compile` does, and locals are $a, $b, $c.
 */
export async function making(
  modules: readonly Uint8Array[],
  main: string,
  parts: Parts = {},
): Promise<LoadedModule> {
  let at = CODE;
  const places = modules.map((bytes) => {
    const place = at;
    at += bytes.length + 8;
    return place;
  });
  const arms = modules.map(
    (bytes, i) =>
      `(if (i32.eq (local.get $n) (i32.const ${i})) (then (return (call $compile
        (i32.const ${places[i]}) (i32.const ${bytes.length}) (i32.const ${ERROR}) (i32.const 400)))))`,
  );
  return program(`(module
    (import "env" "log" (func $log (param i32)))
    (import "env" "pause" (func $pause))
    (import "env" "text" (func $text (param i32)))
    (import "perdure_compiler" "compile" (func $compile (param i32 i32 i32 i32) (result i32)))
    (import "perdure_compiler" "release" (func $release (param i32) (result i32)))
    ${parts.memory ?? '(memory (export "memory") 2 8)'}
    ${parts.table ?? '(table $t (export "table") 3 100 funcref)'}
    (type $unary (func (param i32) (result i32)))
    (type $nullary (func (result i32)))
    ${parts.more ?? ''}
    ${modules.map((bytes, i) => `(data (i32.const ${places[i]}) ${quoted(bytes)})`).join('\n')}
    (func $make (param $n i32) (result i32) ${arms.join('\n')} (i32.const -1))
    (func (export "main") (local $a i32) (local $b i32) (local $c i32) ${main}))`);
}

/** Runs such a program to its end, and gives what it logged. */
export async function logsOf(module: LoadedModule, options: object = {}): Promise<(number | bigint)[]> {
  const system = new TestSystem(options);
  const id = system.add('a', module, { compiler: true });
  system.kernel.start(id, 'main');
  system.runAll();
  const { end, reason } = system.kernel.status(id);
  assert.equal(end, 'exit', reason);
  return system.values('a');
}

export const MEMORY = '(import "env" "memory" (memory 1))';

/** The same with the process killed after each slice, and a slice for each safepoint that is asked for. */
export async function logsOfLives(module: LoadedModule, stress: boolean): Promise<(number | bigint)[]> {
  const system = new TestSystem({ stress });
  const id = system.add('a', module, { compiler: true });
  system.kernel.start(id, 'main');
  for (let lives = 0; system.kernel.status(id).state !== 'exited'; lives++) {
    assert.ok(lives < 3000, 'it comes to its end');
    system.kernel.run({ maxSlices: 1 });
    system.checkpoint();
    system.crash();
  }
  const { end, reason } = system.kernel.status(id);
  assert.equal(end, 'exit', reason);
  return system.values('a');
}

/** Checks what a program logs: in one go, stopped at every safepoint, and in many lives. */
export async function logs(
  modules: readonly string[],
  main: string,
  expected: readonly number[],
  parts: Parts = {},
  everySafepoint = true,
): Promise<void> {
  const module = await making(await Promise.all(modules.map((text) => wat(text))), main, parts);
  assert.deepEqual(await logsOf(module), expected, 'in one go');
  assert.deepEqual(await logsOf(module, { stress: true }), expected, 'stopped at every safepoint');
  assert.deepEqual(await logsOfLives(module, false), expected, 'in a life for each pause');
  if (!everySafepoint) return;
  assert.deepEqual(await logsOfLives(module, true), expected, 'in a life for each safepoint');
}

/** What `compile` answers to a module, and the text it leaves; the program goes on and ends well. */
export async function answer(
  module: string | Uint8Array,
  parts: Parts = {},
  options: object = {},
  compiler: MakeModule = makeModule,
): Promise<[errno: number, text: string]> {
  const bytes = typeof module === 'string' ? await wat(module) : module;
  const made = await making(
    [bytes],
    `(call $log (call $make (i32.const 0))) (call $text (i32.const ${ERROR}))`,
    parts,
  );
  const system = new TestSystem({ compiler });
  const id = system.add('a', made, { compiler: true, ...options });
  system.kernel.start(id, 'main');
  system.runAll();
  system.checkpoint();
  const { end, reason } = system.kernel.status(id);
  assert.equal(end, 'exit', reason);
  return [-Number(system.values('a')[0]), system.personality.texts[0] ?? ''];
}
