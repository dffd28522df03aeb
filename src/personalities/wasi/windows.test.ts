import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { wat } from '../../wasm/wat.testing.ts';
import { Machine } from './machine.testing.ts';

/** Says "hello world" out of two buffers, one in a window; makes a file of a name there, writes to it and reads it back. */
const TEXT = `(module
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "shared") (data (i32.const 32) "hello ") (data (i32.const 48) "world\\n") (data (i32.const 64) "file")
  (func $demand (param i32 i32) (if (local.get 0) (then (call $exit (local.get 1)))))
  (func (export "_start") (local $w i32) (local $only i32)
    (local.set $w (i32.wrap_i64
      (call $map (call $granted (i32.const 16) (i32.const 6)) (i64.const 0) (i64.const 8192) (i32.const 3) (i32.const 0))))
    (memory.copy (i32.add (local.get $w) (i32.const 256)) (i32.const 48) (i32.const 6))
    (memory.copy (i32.add (local.get $w) (i32.const 512)) (i32.const 64) (i32.const 4))
    (i32.store (local.get $w) (i32.const 32))
    (i32.store offset=4 (local.get $w) (i32.const 6))
    (i32.store offset=8 (local.get $w) (i32.add (local.get $w) (i32.const 256)))
    (i32.store offset=12 (local.get $w) (i32.const 6))
    (call $demand (call $write (i32.const 1) (local.get $w) (i32.const 2) (i32.add (local.get $w) (i32.const 1024))) (i32.const 11))
    (call $demand (i32.ne (i32.load offset=1024 (local.get $w)) (i32.const 12)) (i32.const 12))
    (call $demand (call $open (i32.const 3) (i32.const 0) (i32.add (local.get $w) (i32.const 512)) (i32.const 4)
      (i32.const 1) (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.add (local.get $w) (i32.const 1028))) (i32.const 13))
    (i32.store (i32.const 128) (i32.add (local.get $w) (i32.const 256)))
    (i32.store (i32.const 132) (i32.const 6))
    (call $demand (call $write (i32.load offset=1028 (local.get $w)) (i32.const 128) (i32.const 1) (i32.const 136)) (i32.const 14))
    (i32.store (i32.const 128) (i32.add (local.get $w) (i32.const 4090)))
    (call $demand (call $pread (i32.load offset=1028 (local.get $w)) (i32.const 128) (i32.const 1) (i64.const 0) (i32.const 136)) (i32.const 15))
    (call $demand (i32.ne (i32.load offset=4090 (local.get $w)) (i32.load (i32.const 48))) (i32.const 16))
    ;; what may only be read is no place to read into, but to write from
    (local.set $only (i32.wrap_i64
      (call $map (call $granted (i32.const 16) (i32.const 6)) (i64.const 0) (i64.const 8192) (i32.const 1) (i32.const 0))))
    (i32.store (i32.const 128) (i32.add (local.get $only) (i32.const 256)))
    (call $demand (call $write (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 136)) (i32.const 17))
    (call $demand (i32.ne (i32.const 21)
      (call $pread (i32.load offset=1028 (local.get $w)) (i32.const 128) (i32.const 1) (i64.const 0) (i32.const 136))) (i32.const 18))
    (call $demand (i32.ne (i32.const 21)
      (call $write (i32.const 1) (i32.const 128) (i32.const 1) (i32.add (local.get $only) (i32.const 1024)))) (i32.const 19))))`;

test('system calls take windows like own memory, and read what another may change once', async () => {
  for (const changing of [false, true]) {
    const machine = new Machine();
    const { core, space } = machine.kernel;
    const object = core.segments.createFree(8192);
    const capability = core.capabilities.root(object, RIGHTS_ALL);
    core.capabilities.retain(capability);
    const id = machine.start('program', await wat(TEXT));
    machine.kernel.authority.grant(id, { name: 'shared', capability, turn: 0 });
    const at = core.segments.address(object);
    let changes = 0;
    const read = space.readBytes.bind(space);
    // Buffers and names, once they were read: all but what is written out.
    const volatile = [
      [at, at + 16],
      [at + 512, at + 520],
    ] as const;
    if (changing)
      space.readBytes = (from, length) => {
        const copy = read(from, length);
        for (const [start, end] of volatile) {
          if (from < start || from >= end) continue;
          space.u8.fill(0xee, start, end);
          changes++;
        }
        return copy;
      };
    machine.run();
    const { end, exitCode, reason } = machine.status(id);
    assert.deepEqual([end, exitCode, reason], ['exit', 0, '']);
    assert.equal(machine.ports.stdout.text(), 'hello world\nworld\n');
    assert.equal(changes > 1, changing);
  }
});
