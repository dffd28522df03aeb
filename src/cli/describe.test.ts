import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { guest } from '../../guests/build.ts';
import { wat } from '../wasm/wat.testing.ts';
import { Tool } from './cli.testing.ts';
import { describeProgram, kernelCalls, kernelParts } from './describe.ts';

test('a program is described by what it imports and exports, in words and for scripts, and nothing is made of it', async (t) => {
  const tool = new Tool(t);
  const file = join(tool.folder, 'p.wasm');
  writeFileSync(
    file,
    await wat(`(module
      (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open" (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_readdir" (func (param i32 i32 i32 i64 i32) (result i32)))
      (import "perdure_kernel" "sem_wait" (func (param i32 i64) (result i32)))
      (import "perdure_kernel" "waitset_create" (func (result i32)))
      (import "shop" "price" (func (param i32) (result i64)))
      (import "perdure_compiler" "compile" (func (param i32 i32 i32 i32) (result i32)))
      (memory 2 4)
      (func (export "_start"))
      (func (export "gate:keep:vc=v!nested") (param i64 i32) (result f32) (f32.const 1))
      (func (export "answer") (param i32 f64) (result i64 v128) (i64.const 1) (v128.const i64x2 1 2)))`),
  );
  const json = await tool.run('describe', '--json', file);
  assert.equal(json.code, 0, json.stderr);
  const { sha256, ...rest } = JSON.parse(json.stdout);
  assert.match(sha256, /^[0-9a-f]{64}$/);
  assert.deepEqual(rest.wants, {
    wasi: [
      { part: 'the clocks', functions: ['clock_time_get'] },
      { part: 'files and folders', functions: ['path_open', 'fd_readdir'] },
    ],
    kernel: [
      { part: 'semaphores', functions: ['sem_wait'] },
      { part: 'wait sets', functions: ['waitset_create'] },
    ],
    gates: [{ grant: 'shop', name: 'price', type: '(i32) -> i64' }],
    compiler: true,
    unknown: [],
  });
  assert.deepEqual(rest.memories, [{ minBytes: 131072, maxBytes: 262144, shared: false }]);
  assert.deepEqual(rest.offers.functions, [
    { name: '_start', type: '()' },
    { name: 'answer', type: '(i32, f64) -> i64, v128' },
  ]);
  assert.deepEqual(rest.offers.procedures, [
    {
      name: 'keep',
      type: '(i64, i32) -> f32',
      entry: 'nested',
      capabilityParams: [1],
      capabilityResults: [],
    },
  ]);
  assert.deepEqual([rest.starts, rest.refused], [['_start'], null]);
  const { stdout } = await tool.run('describe', file);
  assert.match(stdout, /the clocks {2}\(clock_time_get\)\n/);
  assert.match(stdout, /Perdure: wait sets/);
  assert.match(stdout, /shop\.price\(i32\) -> i64/);
  assert.match(stdout, /keep\(i64, capability\) -> f32/);
  assert.match(stdout, /it can be installed, and persists\n$/);
  assert.match((await tool.run('ps')).stderr, /no space|not a space|there is/i, 'there is no space yet');
});

test('what nobody supplies is named with its type, also where only the type is wrong, and the exit code says so', async (t) => {
  const tool = new Tool(t);
  const file = join(tool.folder, 'p.wasm');
  writeFileSync(
    file,
    await wat(`(module
      (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32) (result i32)))
      (import "perdure_kernel" "sem_wait" (func (param i32)))
      (import "env" "memory" (memory 1))
      (import "perdure_kernel" "constructor" (func)))`),
  );
  const { wants } = await describeProgram(
    await wat(`(module (import "a\\1b" "f" (func (param externref))) (import "a" "g" (global i32)))`),
  );
  assert.deepEqual(wants.unknown, ['a\x1b.f (externref)', 'a.g (global)']);
  const { code, stdout } = await tool.run('describe', file);
  assert.equal(code, 126);
  assert.match(stdout, /clock_time_get \(i32\) -> i32: nobody supplies it/);
  assert.match(stdout, /sem_wait \(i32\): nobody supplies it/);
  assert.match(stdout, /env\.memory \(memory\)/);
  assert.match(stdout, /perdure_kernel\.constructor \(\)/);
});

test('a program that cannot be installed is told why and where, as far as it can be read', async () => {
  const good = await wat('(module (func (export "f") (param i32) (result i32) (local.get 0)))');
  const bad = good.slice();
  bad[bad.findIndex((byte, i) => byte === 0x20 && bad[i + 1] === 0 && bad[i + 2] === 0x0b) + 1] = 5; // no such local
  const described = await describeProgram(bad);
  assert.deepEqual(described.offers.functions, [{ name: 'f', type: '(i32) -> i32' }]);
  assert.ok(described.refused !== null && described.refused.offset > 0);
  const cut = await describeProgram(good.subarray(0, 20));
  assert.ok(cut.refused !== null);
  assert.deepEqual(cut.offers.functions, []);
  const gate = await describeProgram(await wat('(module (func (export "gate:f!sometimes")))'));
  assert.match(gate.refused?.message ?? '', /!nested or !concurrent/);
});

test('who made a program is told where it says so', async () => {
  const { readFileSync } = await import('node:fs');
  const { tools, refused } = await describeProgram(readFileSync(await guest('flite')));
  assert.equal(refused, null);
  assert.ok(
    tools.some((tool) => /clang/.test(tool)),
    tools.join(),
  );
});

test('every call of the kernel is of a part that has a name, and every name has calls', () => {
  const parts = kernelParts(kernelCalls().names());
  const others = parts.filter(({ part }) => part === 'other calls').flatMap(({ functions }) => functions);
  assert.deepEqual(others, []);
  assert.deepEqual(parts.map(({ part }) => part).sort(), [
    'accounts',
    'capabilities',
    'domains',
    'gates',
    'kinds of capability',
    'rings',
    'segments',
    'semaphores',
    'serving objects',
    'sturdy references',
    'wait sets',
  ]);
});
