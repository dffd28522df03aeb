/** `perdure export` and `import` of programs that have more than memory and files. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canBuild, guest } from '../../guests/build.ts';
import { OPERATION, RING_HEADER, RING_HEADER_BYTES, SUBMISSION } from '../abi/ring.ts';
import { wat } from '../wasm/wat.testing.ts';
import { Tool } from './cli.testing.ts';

const RING = 4096;
const ENTRY = RING + RING_HEADER_BYTES;
const WORDS = 50_000;

/**
 * Fills a segment through a window, begins a timeout of a ring, and waits at a semaphore in the segment until it is too late. Then it
 * waits for the ring, adds up what the window holds, has another program double it, and says what was wrong, as the bits of a letter.
 */
const WORKER = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "perdure_kernel" "seg_create" (func $create (param i64) (result i32)))
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  (import "perdure_kernel" "sem_wait" (func $wait (param i32 i64) (result i32)))
  (import "perdure_kernel" "ring_create" (func $ring (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "ring_enter" (func $enter (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "calc" "twice" (func $twice (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "begun\\n")
  (func $word (param $at i32) (param $i i32) (result i32)
    (i32.add (local.get $at) (i32.add (i32.const 64) (i32.shl (local.get $i) (i32.const 2)))))
  (func (export "_start") (local $at i32) (local $i i32) (local $r i32) (local $sum i32) (local $bad i32)
    (local.set $at (i32.wrap_i64 (call $map (call $create (i64.const 300000)) (i64.const 0) (i64.const 300000) (i32.const 3) (i32.const 0))))
    (loop $l (i32.store (call $word (local.get $at) (local.get $i)) (local.get $i))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${WORDS}))))
    (local.set $r (call $ring (i32.const ${RING}) (i32.const 4) (i32.const 0)))
    (i32.store (i32.const ${ENTRY}) (i32.const ${OPERATION.timeout}))
    (i64.store (i32.const ${ENTRY + SUBMISSION.offset}) (i64.const 1500000000))
    (i32.store (i32.const ${RING + RING_HEADER.submissionTail}) (i32.const 1))
    (drop (call $enter (local.get $r) (i32.const 1) (i32.const 0) (i64.const 0)))
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.ne (call $wait (local.get $at) (i64.const 1000000000)) (i32.const -73)) (then (local.set $bad (i32.const 1))))
    (drop (call $enter (local.get $r) (i32.const 0) (i32.const 1) (i64.const -1)))
    (if (i32.ne (i32.load (i32.const ${RING + RING_HEADER.completionTail})) (i32.const 1))
      (then (local.set $bad (i32.or (local.get $bad) (i32.const 2)))))
    (local.set $i (i32.const 0))
    (loop $l (local.set $sum (i32.add (local.get $sum) (i32.load (call $word (local.get $at) (local.get $i)))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${WORDS}))))
    (if (i32.ne (local.get $sum) (i32.const ${((WORDS * (WORDS - 1)) / 2) | 0}))
      (then (local.set $bad (i32.or (local.get $bad) (i32.const 4)))))
    (if (i32.ne (call $twice (local.get $sum)) (i32.shl (local.get $sum) (i32.const 1)))
      (then (local.set $bad (i32.or (local.get $bad) (i32.const 8)))))
    (if (call $error) (then (local.set $bad (i32.or (local.get $bad) (i32.const 16)))))
    (i32.store8 (i32.const 64) (i32.add (i32.const 64) (local.get $bad))) (i32.store8 (i32.const 65) (i32.const 10))
    (i32.store (i32.const 4) (i32.const 2))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))`;
const CALC =
  '(module (func (export "gate:twice") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1))))';

test('a program is exported in the middle of its waits, with what it has, and ends elsewhere as it should', async (t) => {
  const tool = new Tool(t);
  writeFileSync(join(tool.folder, 'worker.wasm'), await wat(WORKER));
  writeFileSync(join(tool.folder, 'calc.wasm'), await wat(CALC));
  const there = ['--space', join(tool.folder, 'there')];
  for (const [name, args] of [
    ['first', []],
    ['second', there],
  ] as const) {
    const { code, stderr } = await tool.run(
      'run',
      ...args,
      '--detach',
      '--quiet',
      '--name',
      name,
      'calc.wasm',
    );
    assert.equal(code, 0, stderr);
    // No process in the background owns it from here on.
    await tool.run('stop', ...args);
  }
  const running = tool.start(['run', '--grant', 'calc=first', 'worker.wasm']);
  await running.saw(/begun/);
  running.child.kill('SIGINT');
  assert.equal((await running.ended).stdout, 'begun\n');
  await tool.run('stop');
  // In the middle of all that it waits for.
  const exported = await tool.run('export', '--keep', 'worker', 'w.perdure');
  assert.equal(exported.code, 0, exported.stderr);
  const on = await tool.run('up', '--exit-when-idle');
  assert.equal(on.stdout, 'worker | @\n', 'where it was it goes on');
  for (const [name, grants, wrong] of [
    ['granted', ['--grant', 'calc=second'], '@\n'],
    ['alone', [], 'X\n'],
  ] as const) {
    const imported = await tool.run('import', ...there, '--name', name, ...grants, 'w.perdure');
    assert.equal(imported.code, 0, imported.stderr);
    const up = await tool.run('up', ...there, '--exit-when-idle');
    assert.equal(up.stdout, `${name} | ${wrong}`);
  }
});

const skip = canBuild('words') ?? false;

test('a program that knows nothing of its windows is carried with what is mapped there', {
  skip,
}, async (t) => {
  const tool = new Tool(t);
  copyFileSync(await guest('words'), join(tool.folder, 'words.wasm'));
  const text = 'the quick brown fox jumps over the lazy dog\\n'.repeat(2000);
  writeFileSync(join(tool.folder, 'text'), text);
  const args = ['--map', 'text=text:ro', '--map', 'sum=new:64K', 'words.wasm', '30', '25'];
  const running = tool.start(['run', ...args], { input: '' });
  await running.saw(/round 5:/);
  running.child.kill('SIGINT');
  const before = (await running.ended).stdout;
  assert.equal((await tool.run('export', 'words', 'w.perdure')).code, 0);
  const other = ['--space', join(tool.folder, 'other')];
  assert.equal((await tool.run('import', ...other, 'w.perdure')).code, 0);
  const after = await tool.run('up', ...other, '--exit-when-idle', '--quiet');
  assert.equal(after.code, 0, after.stderr);
  const whole = await tool.run('run', '--space', join(tool.folder, 'third'), ...args);
  assert.equal(before + after.stdout, whole.stdout);
});
