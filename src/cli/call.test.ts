/** `perdure call`: procedures of programs from a shell, with and without a process that owns the space. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { F32, F64, I32, I64, V128 } from '../kernel/frames.ts';
import { wat } from '../wasm/wat.testing.ts';
import { Tool } from './cli.testing.ts';
import { readWritten, resultText } from './written.ts';

const SERVER = `(module
  (memory (export "memory") 1)
  (global $total (mut i32) (i32.const 0))
  (func (export "gate:add") (param i32) (result i32)
    (global.set $total (i32.add (global.get $total) (local.get 0)))
    (global.get $total))
  (func (export "gate:swap") (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)
    (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "gate:same:c=c") (param i32) (result i32) (local.get 0))
  (func (export "gate:divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1))))`;
/** Has more to do than to be called. */
const BUSY = `(module
  (memory (export "memory") 1)
  (global $rounds (mut i64) (i64.const 0))
  (func (export "gate:rounds!concurrent") (result i64) (global.get $rounds))
  (func (export "_start") (loop $l
    (global.set $rounds (i64.add (global.get $rounds) (i64.const 1))) (br $l))))`;
let server: Uint8Array;
let busy: Uint8Array;

before(async () => {
  server = await wat(SERVER);
  busy = await wat(BUSY);
});

async function started(t: TestContext): Promise<Tool> {
  const tool = new Tool(t);
  writeFileSync(join(tool.folder, 'calc.wasm'), server);
  assert.equal((await tool.run('run', '--detach', '--quiet', 'calc.wasm')).code, 0);
  return tool;
}

const BYTES = '000102030405060708090a0b0c0d0eff';

test('a procedure is called whether a process owns the space or not, and what it did stays', async (t) => {
  const tool = await started(t);
  const add = async (number: string): Promise<string> => {
    const { code, stdout, stderr } = await tool.run('call', 'calc', 'add', number);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };
  assert.equal(await add('40'), '40\n');
  const swap = ['calc', 'swap', '-5', '-9223372036854775808', '0.5', '-Infinity', BYTES];
  const lines = `${BYTES}\n-Infinity\n0.5\n-9223372036854775808\n-5\n`;
  const json = `["${BYTES}","-Infinity",0.5,"-9223372036854775808",-5]\n`;
  assert.equal((await tool.run('call', ...swap)).stdout, lines);
  assert.equal((await tool.run('call', '--json', ...swap)).stdout, json);
  assert.equal((await tool.run('call', 'calc', 'same', 'calc#add')).stdout, 'capability\n');
  assert.equal((await tool.run('stop', '--quiet')).code, 0);
  assert.equal((await tool.run('call', 'calc', 'same', 'host:clock')).stdout, 'capability\n');
  assert.equal(await add('-0x1'), '39\n');
  assert.equal((await tool.run('call', ...swap)).stdout, lines);
  assert.equal((await tool.run('call', '--json', ...swap)).stdout, json);
  assert.equal((await tool.run('up', '--detach', '--quiet')).code, 0);
  assert.equal(await add('3'), '42\n');
});

test('values are what is written, or refused with their type', () => {
  const read = (type: number, written: string, capability = false): unknown =>
    readWritten('f', { written }, { type, capability });
  assert.deepEqual([read(I32, '4294967295'), read(I32, '-0x80000000')], [2 ** 32 - 1, -(2 ** 31)]);
  assert.deepEqual([read(I64, '18446744073709551615'), read(I64, '-1')], [2n ** 64n - 1n, -1n]);
  assert.deepEqual([read(F64, '-0'), read(F32, '.5e-1'), read(F64, 'nan')], [-0, 0.05, Number.NaN]);
  assert.deepEqual(read(V128, BYTES), new Uint8Array(Buffer.from(BYTES, 'hex')));
  assert.deepEqual(read(I32, 'a#b', true), { from: { kind: 'gate', name: 'a', procedure: 'b' } });
  const bad: [number, string[], RegExp][] = [
    [I32, ['x', '', '1.5', '4294967296', '-2147483649', '1n', ' 1', '0x', '--1'], /is no i32/],
    [I64, ['18446744073709551616', '-9223372036854775809', '1e3', 'NaN'], /is no i64/],
    [F32, ['', '.', '1e', '0x1', 'one', ' ', 'constructor', '__proto__'], /is no f32/],
    [V128, ['00', `${BYTES}0`, BYTES.replace('0', 'g')], /is no v128/],
  ];
  for (const [type, words, message] of bad) {
    for (const word of words) assert.throws(() => read(type, word), { code: 'bad-argument', message }, word);
  }
  assert.deepEqual([-0, 0, 1n, { held: null }, { held: 1 }].map(resultText), [
    '-0',
    '0',
    '1',
    'no capability',
    'capability',
  ]);
});

test('what does not fit is refused in a line; a program that ends in the call says how', async (t) => {
  const tool = await started(t);
  const refused = async (...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await tool.run('call', ...words);
    assert.deepEqual([code, stdout], [125, ''], stderr);
    assert.match(stderr, /^perdure: [^\n]*\n$/);
    return stderr;
  };
  const check = async (): Promise<void> => {
    assert.match(await refused('calc', 'ad', '1'), /there is no procedure "ad" \(did you mean "add"\?\)/);
    assert.match(await refused('calc', 'nothing'), /\(it has add, swap, same, divide\)/);
    assert.match(await refused('calc', 'divide', '1'), /divide takes 2 \(i32, i32\), not 1/);
    assert.match(await refused('none', 'add', '1'), /there is no program called none/);
  };
  await check();
  assert.match(await refused('calc', 'add', '1.5'), /add: "1.5" is no i32 \(a whole number of 32 bits/);
  await tool.run('stop', '--quiet');
  await check();
  const trapped = await tool.run('call', 'calc', 'divide', '1', '0');
  assert.deepEqual([trapped.code, trapped.stdout], [134, '']);
  assert.match(trapped.stderr, /^perdure: calc: divide: trap: [^\n]*divide by zero[^\n]*\n$/);
  assert.match(await refused('calc', 'add', '1'), /it has ended/);
});

test('without an owner, a program goes on only while it is called', async (t) => {
  const tool = new Tool(t);
  writeFileSync(join(tool.folder, 'busy.wasm'), busy);
  assert.equal((await tool.run('run', '--detach', '--quiet', 'busy.wasm')).code, 0);
  await tool.run('stop', '--quiet');
  const rounds = async (): Promise<bigint> =>
    BigInt((await tool.run('call', 'busy', 'rounds')).stdout.trim());
  const first = await rounds();
  assert(first > 0n);
  assert((await rounds()) > first);
  assert.match((await tool.run('ps')).stdout, /busy +suspended/);
});
