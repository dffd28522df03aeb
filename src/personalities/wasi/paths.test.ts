import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FILETYPE, OFLAGS, RIGHT } from './abi.ts';
import { Guest } from './guest.testing.ts';

const FOLLOW = 1;
const CREAT = { oflags: OFLAGS.CREAT };
const DIRECTORY = { oflags: OFLAGS.DIRECTORY, rights: 0n };

const mkdir = (g: Guest, path: string): string => g.errno('path_create_directory', 3, ...g.put(path));
const rmdir = (g: Guest, path: string): string => g.errno('path_remove_directory', 3, ...g.put(path));
const unlink = (g: Guest, path: string): string => g.errno('path_unlink_file', 3, ...g.put(path));
const rename = (g: Guest, from: string, to: string): string =>
  g.errno('path_rename', 3, ...g.put(from), 3, ...g.put(to));
const link = (g: Guest, from: string, to: string, flags = 0): string =>
  g.errno('path_link', 3, flags, ...g.put(from), 3, ...g.put(to));
const symlink = (g: Guest, target: string, path: string): string =>
  g.errno('path_symlink', ...g.put(target), 3, ...g.put(path));
function create(g: Guest, path: string): void {
  g.ok('fd_close', g.open(path, CREAT));
}
function typeOf(g: Guest, path: string, flags = 0): number | string {
  const out = g.room(64);
  const result = g.errno('path_filestat_get', 3, flags, ...g.put(path), out);
  return result === 'SUCCESS' ? g.u8(out + 16) : result;
}

interface Listed {
  next: bigint;
  ino: bigint;
  type: number;
  name: string;
}
/** One call of fd_readdir: whole entries, and how many bytes it gave. */
function readdir(g: Guest, fd: number, cookie: bigint, bytes: number): { entries: Listed[]; used: number } {
  const [buffer, out] = [g.room(bytes), g.room(4)];
  g.ok('fd_readdir', fd, buffer, bytes, cookie, out);
  const used = g.u32(out);
  const entries: Listed[] = [];
  for (let at = buffer; at + 24 <= buffer + used; ) {
    const length = g.u32(at + 16);
    if (at + 24 + length > buffer + used) break;
    entries.push({
      next: g.u64(at),
      ino: g.u64(at + 8),
      type: g.u8(at + 20),
      name: g.textAt(at + 24, length),
    });
    at += 24 + length;
  }
  return { entries, used };
}
/** The whole directory, as wasi-libc reads it. */
function listAll(g: Guest, fd: number, bytes = 256): Listed[] {
  const all: Listed[] = [];
  for (let cookie = 0n; ; ) {
    const { entries, used } = readdir(g, fd, cookie, bytes);
    all.push(...entries);
    if (used < bytes) return all;
    cookie = (all[all.length - 1] as Listed).next;
  }
}

describe('paths', () => {
  it('lead through dots and slashes, and never out', () => {
    const g = new Guest();
    assert.equal(mkdir(g, 'dir'), 'SUCCESS');
    assert.equal(mkdir(g, 'dir/nested'), 'SUCCESS');
    create(g, 'dir/nested/file');
    for (const [path, expected] of [
      ['dir/.//nested/../../dir/nested/../nested///./file', 'number'],
      ['/dir/nested/file', 'PERM'],
      ['dir/nested/../../../dir/nested/file', 'PERM'],
      ['..', 'PERM'],
      ['dir/nested/file\0', 'INVAL'],
      ['dir/nested/file/', 'NOTDIR'],
      ['dir/nested/file///', 'NOTDIR'],
      ['dir/nested/file/x', 'NOTDIR'],
      ['dir/missing/file', 'NOENT'],
      ['', 'NOENT'],
      ['n'.repeat(256), 'NAMETOOLONG'],
      [`${'d/'.repeat(2048)}x`, 'NAMETOOLONG'],
    ] as const) {
      const result = g.tryOpen(path, { rights: 0n });
      assert.equal(typeof result === 'number' ? 'number' : result, expected, path.slice(0, 60));
    }
    assert.equal(typeof g.tryOpen('dir/nested///', { rights: 0n }), 'number');
    const bad = Uint8Array.of(0x61, 0xff, 0x62);
    assert.equal(g.errno('path_create_directory', 3, ...g.put(bad)), 'ILSEQ');
    const inner = g.open('dir', DIRECTORY);
    assert.equal(
      g.tryOpen('..', { fd: inner, rights: 0n }),
      'NOTCAPABLE',
      'a directory opened without PATH_OPEN',
    );
    const able = g.open('dir', { oflags: OFLAGS.DIRECTORY, rights: BigInt(RIGHT.PATH_OPEN) });
    assert.equal(g.tryOpen('..', { fd: able, rights: 0n }), 'PERM', 'nor above a directory below the grant');
  });

  it('open what there is as the flags say', () => {
    const g = new Guest();
    assert.equal(g.tryOpen('file'), 'NOENT');
    create(g, 'file');
    mkdir(g, 'dir');
    assert.equal(g.tryOpen('file', { oflags: OFLAGS.CREAT | OFLAGS.EXCL }), 'EXIST');
    assert.equal(g.tryOpen('file', { oflags: OFLAGS.DIRECTORY }), 'NOTDIR');
    assert.equal(g.tryOpen('dir', { oflags: OFLAGS.CREAT | OFLAGS.DIRECTORY }), 'INVAL');
    assert.equal(g.tryOpen('dir', { rights: BigInt(RIGHT.FD_READ | RIGHT.FD_WRITE) }), 'ISDIR');
    assert.equal(g.tryOpen('dir', { oflags: OFLAGS.CREAT, rights: 0n }), 'ISDIR');
    assert.equal(g.tryOpen('new/', CREAT), 'ISDIR');
    assert.equal(g.tryOpen('file', { oflags: 16 }), 'INVAL');
    assert.equal(g.tryOpen('file', { fdflags: 32 }), 'INVAL');
    assert.equal(typeof g.tryOpen('.', { rights: 0n, fdflags: 4 }), 'number');
    const fd = g.open('file');
    g.write(fd, 'to be cut');
    assert.equal(g.size(g.open('file', { oflags: OFLAGS.CREAT | OFLAGS.TRUNC })), 0);
    assert.equal(g.size(fd), 0);
  });

  it('follow symbolic links only when asked at the end, and always before it', () => {
    const g = new Guest();
    mkdir(g, 'dir');
    create(g, 'dir/file');
    assert.equal(symlink(g, 'dir', 'to-dir'), 'SUCCESS');
    assert.equal(symlink(g, 'dir/file', 'to-file'), 'SUCCESS');
    assert.equal(symlink(g, 'nowhere', 'dangling'), 'SUCCESS');
    assert.equal(symlink(g, 'loop', 'loop'), 'SUCCESS');
    assert.equal(g.tryOpen('to-dir', DIRECTORY), 'LOOP');
    assert.equal(g.tryOpen('to-file', { rights: 0n }), 'LOOP');
    assert.equal(g.tryOpen('dangling', { rights: 0n }), 'LOOP');
    assert.equal(g.tryOpen('loop', { rights: 0n }), 'LOOP');
    assert.equal(g.tryOpen('loop', { rights: 0n, lookup: FOLLOW }), 'LOOP');
    assert.equal(g.tryOpen('dangling', { rights: 0n, lookup: FOLLOW }), 'NOENT');
    assert.equal(g.tryOpen('to-file', { ...DIRECTORY, lookup: FOLLOW }), 'NOTDIR');
    assert.equal(typeof g.tryOpen('to-dir', { ...DIRECTORY, lookup: FOLLOW }), 'number');
    assert.equal(typeof g.tryOpen('to-dir/file', { rights: 0n }), 'number');
    assert.equal(typeOf(g, 'to-file'), FILETYPE.SYMBOLIC_LINK);
    assert.equal(typeOf(g, 'to-file', FOLLOW), FILETYPE.REGULAR_FILE);
    assert.equal(typeOf(g, 'to-dir/'), FILETYPE.DIRECTORY);
    assert.equal(g.tryOpen('dangling', { oflags: OFLAGS.CREAT | OFLAGS.EXCL, lookup: FOLLOW }), 'EXIST');
    g.ok('fd_close', g.open('dangling', { ...CREAT, lookup: FOLLOW }));
    assert.equal(typeOf(g, 'nowhere'), FILETYPE.REGULAR_FILE, 'made where the link leads');
    assert.equal(symlink(g, '/etc', 'absolute'), 'PERM');
    assert.equal(symlink(g, '', 'empty'), 'NOENT');
  });

  it('read symbolic links, as much as fits', () => {
    const g = new Guest();
    symlink(g, 'target', 'link');
    const [buffer, out] = [g.room(10), g.room(4)];
    g.ok('path_readlink', 3, ...g.put('link'), buffer, 10, out);
    assert.deepEqual([g.u32(out), g.textAt(buffer, 10)], [6, 'target\0\0\0\0']);
    g.ok('path_readlink', 3, ...g.put('link'), buffer, 4, out);
    assert.equal(g.u32(out), 4);
    create(g, 'file');
    assert.equal(g.errno('path_readlink', 3, ...g.put('file'), buffer, 4, out), 'INVAL');
    assert.equal(g.errno('path_readlink', 3, ...g.put('none'), buffer, 4, out), 'NOENT');
  });

  it('set the times of a link or of what it leads to', () => {
    const g = new Guest();
    create(g, 'file');
    symlink(g, 'file', 'link');
    const mtim = (path: string): bigint => {
      const out = g.room(64);
      g.ok('path_filestat_get', 3, 0, ...g.put(path), out);
      return g.u64(out + 48);
    };
    g.ok('path_filestat_set_times', 3, 0, ...g.put('link'), 0n, 11n, 4);
    g.ok('path_filestat_set_times', 3, FOLLOW, ...g.put('link'), 0n, 22n, 4);
    assert.deepEqual([mtim('link'), mtim('file')], [11n, 22n]);
    assert.equal(g.errno('path_filestat_set_times', 3, 0, ...g.put('file'), 0n, 0n, 12), 'INVAL');
  });

  it('make and remove names with the errnos of POSIX', () => {
    const g = new Guest();
    assert.equal(mkdir(g, 'dir/'), 'SUCCESS');
    assert.equal(mkdir(g, 'dir'), 'EXIST');
    assert.equal(mkdir(g, '.'), 'EXIST');
    create(g, 'file');
    assert.equal(unlink(g, 'dir'), 'ISDIR');
    assert.equal(unlink(g, 'dir/'), 'ISDIR');
    assert.equal(unlink(g, 'file/'), 'NOTDIR');
    assert.equal(unlink(g, 'none'), 'NOENT');
    assert.equal(rmdir(g, 'file'), 'NOTDIR');
    assert.equal(rmdir(g, 'file/'), 'NOTDIR');
    assert.equal(rmdir(g, '.'), 'INVAL');
    create(g, 'dir/inside');
    assert.equal(rmdir(g, 'dir'), 'NOTEMPTY');
    assert.equal(unlink(g, 'dir/inside'), 'SUCCESS');
    assert.equal(rmdir(g, 'dir/'), 'SUCCESS');
    assert.equal(rmdir(g, 'dir'), 'NOENT');
    for (const [path, expected] of [
      ['new/', 'NOENT'],
      ['file', 'EXIST'],
      ['file/', 'EXIST'],
    ] as const) {
      assert.equal(symlink(g, 'source', path), expected, path);
      assert.equal(link(g, 'file', path), expected, path);
    }
  });

  it('give a file more names, but a directory only one', () => {
    const g = new Guest();
    const fd = g.open('file', CREAT);
    assert.equal(link(g, 'file', 'link'), 'SUCCESS');
    g.write(fd, 'one file');
    assert.equal(g.read(g.open('link'), 20), 'one file');
    const out = g.room(64);
    g.ok('fd_filestat_get', fd, out);
    assert.equal(g.u64(out + 24), 2n);
    assert.equal(link(g, 'file', 'file'), 'EXIST');
    mkdir(g, 'dir');
    assert.equal(link(g, 'dir', 'dir2'), 'PERM');
    assert.equal(link(g, 'file', 'dir'), 'EXIST');
    symlink(g, 'nowhere', 'dangling');
    assert.equal(link(g, 'dangling', 'dangling2'), 'SUCCESS');
    assert.equal(typeOf(g, 'dangling2'), FILETYPE.SYMBOLIC_LINK);
    assert.equal(link(g, 'dangling', 'dangling3', FOLLOW), 'NOENT');
    assert.equal(unlink(g, 'file'), 'SUCCESS');
    g.ok('fd_filestat_get', fd, out);
    assert.equal(g.u64(out + 24), 1n);
  });

  it('rename, replacing what may be replaced', () => {
    const g = new Guest();
    mkdir(g, 'd1');
    assert.equal(rename(g, 'd1/', 'd2'), 'SUCCESS');
    assert.equal(rename(g, 'd2', 'd1/'), 'SUCCESS');
    mkdir(g, 'empty');
    assert.equal(rename(g, 'd1', 'empty'), 'SUCCESS');
    assert.equal(typeOf(g, 'd1'), 'NOENT');
    mkdir(g, 'full');
    create(g, 'full/file');
    assert.equal(rename(g, 'empty', 'full'), 'NOTEMPTY');
    assert.equal(rename(g, 'empty', 'full/file'), 'NOTDIR');
    assert.equal(rename(g, 'full/file', 'empty'), 'ISDIR');
    assert.equal(rename(g, 'full', 'full/in/itself'), 'NOENT');
    assert.equal(rename(g, 'full', 'full/itself'), 'INVAL');
    assert.equal(rename(g, 'full/file', 'moved'), 'SUCCESS');
    assert.equal(rename(g, 'moved/', 'other'), 'NOTDIR');
    assert.equal(rename(g, 'moved', 'other/'), 'NOTDIR');
    assert.equal(rename(g, 'none', 'other'), 'NOENT');
    assert.equal(rename(g, '.', 'other'), 'BUSY');
    g.write(g.open('target', CREAT), 'replaced');
    g.write(g.open('moved'), 'kept');
    assert.equal(rename(g, 'moved', 'target'), 'SUCCESS');
    assert.equal(g.read(g.open('target'), 20), 'kept');
    assert.equal(link(g, 'target', 'twin'), 'SUCCESS');
    assert.equal(rename(g, 'target', 'twin'), 'SUCCESS');
    assert.equal(typeOf(g, 'target'), FILETYPE.REGULAR_FILE, 'two names of one file: nothing happens');
  });

  it('list directories in pieces of any size', () => {
    const g = new Guest();
    mkdir(g, 'dir');
    const fd = g.open('dir', {
      oflags: OFLAGS.DIRECTORY,
      rights: BigInt(RIGHT.FD_READDIR | RIGHT.FD_FILESTAT_GET),
    });
    const out = g.room(64);
    g.ok('fd_filestat_get', fd, out);
    assert.deepEqual(
      listAll(g, fd).map((e) => [e.name, e.type]),
      [
        ['.', FILETYPE.DIRECTORY],
        ['..', FILETYPE.DIRECTORY],
      ],
    );
    assert.equal(listAll(g, fd)[0]?.ino, g.u64(out + 8));
    for (let i = 0; i < 100; i++) create(g, `dir/file.${i}`);
    symlink(g, 'x', 'dir/link');
    for (const bytes of [40, 64, 256, 4096, 65536]) {
      const all = listAll(g, fd, bytes);
      assert.equal(all.length, 103, `buffer of ${bytes}`);
      assert.equal(new Set(all.map((e) => e.name)).size, 103);
      assert.equal(all.find((e) => e.name === 'link')?.type, FILETYPE.SYMBOLIC_LINK);
    }
    const cut = readdir(g, fd, 0n, 60);
    assert.deepEqual(
      [cut.used, cut.entries.length],
      [60, 2],
      'the last entry is cut to the end of the buffer',
    );
    const rest = readdir(g, fd, 100n, 65536).entries;
    g.recover();
    assert.deepEqual(readdir(g, fd, 100n, 65536).entries, rest, 'cookies outlive a crash');
    assert.equal(readdir(g, fd, -1n, 256).used, 0);
    assert.equal(readdir(g, fd, 1n << 40n, 256).used, 0);
  });

  it('change nothing through a read-only grant', () => {
    const writable = new Guest({ grants: [{ kind: 'tree', path: '/d', guest: '/' }] });
    create(writable, 'file');
    mkdir(writable, 'sub');
    create(writable, 'sub/deep');
    const g = new Guest({
      space: writable.space,
      grants: [
        { kind: 'tree', path: '/d', guest: '/', readOnly: true },
        { kind: 'tree', path: '/w', guest: '/w' },
      ],
    });
    assert.equal(g.read(g.open('file', { rights: 2n }), 1), '');
    assert.equal(g.tryOpen('file'), 'ROFS');
    assert.equal(g.tryOpen('file', { rights: 2n, oflags: OFLAGS.TRUNC }), 'ROFS');
    assert.equal(g.tryOpen('new', { rights: 2n, oflags: OFLAGS.CREAT }), 'ROFS');
    assert.equal(typeof g.tryOpen('file', { rights: 2n, oflags: OFLAGS.CREAT }), 'number', 'it is there');
    assert.equal(mkdir(g, 'x'), 'ROFS');
    assert.equal(rmdir(g, 'sub'), 'ROFS');
    assert.equal(unlink(g, 'file'), 'ROFS');
    assert.equal(rename(g, 'file', 'x'), 'ROFS');
    assert.equal(link(g, 'file', 'x'), 'ROFS');
    assert.equal(symlink(g, 'file', 'x'), 'ROFS');
    assert.equal(
      g.errno('path_link', 3, 0, ...g.put('file'), 4, ...g.put('x')),
      'ROFS',
      'a link would be writable',
    );
    assert.equal(g.errno('path_filestat_set_times', 3, 0, ...g.put('file'), 0n, 0n, 8), 'ROFS');
    const all = { rights: -1n & ~BigInt(RIGHT.FD_WRITE), inheriting: -1n };
    const sub = g.open('sub', { ...all, oflags: OFLAGS.DIRECTORY });
    assert.equal(g.tryOpen('deep', { fd: sub }), 'ROFS', 'what is opened through it is read-only too');
    const file = g.open('file', all);
    assert.equal(g.errno('fd_filestat_set_size', file, 0n), 'ROFS');
    assert.equal(g.errno('fd_allocate', file, 0n, 9n), 'ROFS');
    assert.equal(g.errno('fd_filestat_set_times', file, 0n, 0n, 8), 'ROFS');
  });

  it('meet between folders of the tree that were granted, and nowhere else', () => {
    const g = new Guest({
      grants: [
        { kind: 'tree', path: '/a', guest: '/a' },
        { kind: 'tree', path: '/b', guest: '/b' },
      ],
    });
    g.write(g.open('file', CREAT), 'moved along');
    assert.equal(g.errno('path_rename', 3, ...g.put('file'), 4, ...g.put('there')), 'SUCCESS');
    assert.equal(g.read(g.open('there', { fd: 4 }), 20), 'moved along');
    symlink(g, '../b/there', 'out');
    assert.equal(g.tryOpen('out', { lookup: FOLLOW }), 'PERM');
  });
});
