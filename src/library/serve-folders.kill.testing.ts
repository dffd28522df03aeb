/**
 * For tests only: a process that serves a folder, kept in files of the host, to a program that has one of them open for its whole life; to
 * be killed at any time. `node serve-folders.kill.testing.ts FOLDER` says `+` when a request has been done, and ends with the
 * program's exit code. The file is moved on the way: who has it open knows it by its number.
 */
import { closeSync, mkdirSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ERRNO, GuestError, type ServedFile, type ServedFolder, Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';

const [place = ''] = process.argv.slice(2);
const tree = join(place, 'tree');
mkdirSync(tree, { recursive: true });
const NAMES = ['log', 'moved'];

const PROGRAM = `(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "log")
  (data (i32.const 16) "\\20\\00\\00\\00\\04\\00\\00\\00")
  (func (export "_start") (local $n i32)
    (if (call $open (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 1) (i64.const 0x1fffffff)
                    (i64.const 0x1fffffff) (i32.const 0) (i32.const 24)) (then unreachable))
    (loop $more
      (i32.store (i32.const 32) (local.get $n))
      (if (call $write (i32.load (i32.const 24)) (i32.const 16) (i32.const 1) (i32.const 28)) (then unreachable))
      (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100))))))`;

/** The file of an inode, under whatever name. */
function numbered(key: string): string {
  for (const name of NAMES) {
    try {
      if (`${statSync(join(tree, name)).ino}` === key) return join(tree, name);
    } catch {
      // It has the other.
    }
  }
  throw new GuestError(ERRNO.STALE);
}

function fileOf(key: string): ServedFile {
  return {
    key,
    read: ({ offset, length }) => {
      const bytes = new Uint8Array(length);
      const fd = openSync(numbered(key), 'r');
      const count = readSync(fd, bytes, 0, length, Number(offset));
      closeSync(fd);
      return bytes.subarray(0, count);
    },
    write: (bytes, { offset }) => {
      const fd = openSync(numbered(key), 'r+');
      writeSync(fd, bytes, 0, bytes.length, Number(offset));
      closeSync(fd);
      process.stdout.write('+');
      if (offset === 200n) renameSync(join(tree, 'log'), join(tree, 'moved'));
    },
    describe: () => ({ size: statSync(numbered(key)).size }),
  };
}

const root: ServedFolder = {
  open: (path, { create }, { again }) => {
    if (path !== 'log') throw new GuestError(ERRNO.NOENT);
    if (create && !again) closeSync(openSync(join(tree, path), 'a'));
    return fileOf(`${statSync(join(tree, path)).ino}`);
  },
  reopen: fileOf,
  list: () => [],
  describe: () => ({ type: 'folder' }),
};

const space = await Space.open(join(place, 'space'));
const served = await space.serve('tree', root);
const there = (await space.list()).some(({ name }) => name === 'writer');
const domain = there
  ? await space.get('writer')
  : await space.spawn(await wat(PROGRAM), { name: 'writer', imports: { '/d': served } });
process.exitCode = await domain.finished();
await space.close();
