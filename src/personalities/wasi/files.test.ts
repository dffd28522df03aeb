import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FDFLAGS, FILETYPE, FSTFLAGS, OFLAGS, RIGHT, RIGHTS_ALL, RIGHTS_DIRECTORY } from './abi.ts';
import { Blocked, Guest } from './guest.testing.ts';

const SET = 0;
const CUR = 1;
const END = 2;
const CREAT = { oflags: OFLAGS.CREAT };

function fdstat(
  guest: Guest,
  fd: number,
): { type: number; flags: number; rights: number; inheriting: number } {
  const out = guest.room(24);
  guest.ok('fd_fdstat_get', fd, out);
  return {
    type: guest.u8(out),
    flags: guest.u16(out + 2),
    rights: Number(guest.u64(out + 8)),
    inheriting: Number(guest.u64(out + 16)),
  };
}

describe('files through descriptors', () => {
  it('reads back what was written, at the position that goes along', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    assert.equal(fd, 4, 'the lowest free number');
    assert.equal(guest.write(fd, 'hello, '), 7);
    assert.equal(guest.write(fd, 'world'), 5);
    assert.equal(guest.seek(fd, 0, CUR), 12);
    assert.equal(guest.read(fd, 10), '');
    assert.equal(guest.seek(fd, -5, END), 7);
    assert.equal(guest.read(fd, 3), 'wor');
    assert.equal(guest.read(fd, 100), 'ld');
    assert.equal(guest.errno('fd_seek', fd, -13n, CUR, guest.room(8)), 'INVAL');
    assert.equal(guest.errno('fd_seek', fd, 0n, 7, guest.room(8)), 'INVAL');
    assert.equal(guest.seek(fd, 1000, SET), 1000);
    assert.equal(guest.read(fd, 4), '');
    guest.write(fd, 'x');
    assert.equal(guest.size(fd), 1001);
    guest.seek(fd, 998, SET);
    assert.equal(guest.read(fd, 10), '\0\0x');
  });

  it('gathers and scatters over several buffers, and passes over empty ones', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    const out = guest.room(4);
    guest.ok(
      'fd_write',
      fd,
      ...guest.vectors(guest.put('one '), [0, 0], guest.put('two '), guest.put('three')),
      out,
    );
    assert.equal(guest.u32(out), 13);
    const [a, b, c] = [guest.room(3), guest.room(5), guest.room(20)];
    guest.ok('fd_pread', fd, ...guest.vectors([a, 3], [b, 5], [0, 0], [c, 20]), 0n, out);
    assert.equal(guest.u32(out), 13);
    assert.deepEqual([guest.textAt(a, 3), guest.textAt(b, 5), guest.textAt(c, 5)], ['one', ' two ', 'three']);
    guest.ok('fd_write', fd, 0, 0, out);
    assert.equal(guest.u32(out), 0);
  });

  it('leaves the position alone in pread and pwrite', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    guest.write(fd, 'abcdef');
    const out = guest.room(4);
    guest.ok('fd_pwrite', fd, ...guest.vectors(guest.put('XY')), 2n, out);
    const buffer = guest.room(6);
    guest.ok('fd_pread', fd, ...guest.vectors([buffer, 6]), 1n, out);
    assert.equal(guest.u32(out), 5);
    assert.equal(guest.textAt(buffer, 5), 'bXYef');
    guest.ok('fd_tell', fd, out);
    assert.equal(guest.u64(out), 6n);
    assert.equal(guest.errno('fd_pread', fd, ...guest.vectors([buffer, 6]), -1n, out), 'INVAL');
  });

  it('appends wherever the position is, until the flag is taken away', () => {
    const guest = new Guest();
    const fd = guest.open('file', { ...CREAT, fdflags: FDFLAGS.APPEND });
    guest.write(fd, 'aa');
    guest.seek(fd, 0, SET);
    guest.write(fd, 'bb');
    assert.equal(guest.seek(fd, 0, CUR), 4);
    const other = guest.open('file');
    guest.seek(other, 0, END);
    guest.write(other, 'cc');
    guest.write(fd, 'dd');
    guest.ok('fd_fdstat_set_flags', fd, 0);
    guest.seek(fd, 0, SET);
    guest.write(fd, 'ee');
    guest.seek(other, 0, SET);
    assert.equal(guest.read(other, 20), 'eebbccdd');
    assert.equal(guest.errno('fd_fdstat_set_flags', fd, 32), 'INVAL');
  });

  it('sets sizes and makes room', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    guest.write(fd, '0123456789');
    guest.ok('fd_filestat_set_size', fd, 4n);
    guest.ok('fd_filestat_set_size', fd, 6n);
    guest.seek(fd, 0, SET);
    assert.equal(guest.read(fd, 20), '0123\0\0');
    guest.ok('fd_allocate', fd, 2n, 2n);
    assert.equal(guest.size(fd), 6);
    guest.ok('fd_allocate', fd, 90n, 20n);
    assert.equal(guest.size(fd), 110);
    assert.equal(guest.errno('fd_allocate', fd, 0n, 0n), 'INVAL');
    assert.equal(guest.errno('fd_allocate', fd, 1n << 60n, 1n), 'FBIG');
    assert.equal(guest.errno('fd_filestat_set_size', fd, 1n << 40n), 'FBIG');
    assert.equal(guest.errno('fd_filestat_set_size', fd, -1n), 'FBIG');
    guest.ok('fd_filestat_set_size', fd, 8n << 30n); // a hole takes no room
    assert.equal(guest.size(fd), 8 * 2 ** 30);
    guest.seek(fd, -3, END);
    assert.equal(guest.read(fd, 10), '\0\0\0');
    const out = guest.room(4);
    assert.equal(guest.errno('fd_pwrite', fd, ...guest.vectors(guest.put('x')), 1n << 50n, out), 'FBIG');
  });

  it('sets times, and refuses what contradicts itself', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    const out = guest.room(64);
    const times = (): bigint[] => {
      guest.ok('fd_filestat_get', fd, out);
      return [guest.u64(out + 40), guest.u64(out + 48)];
    };
    const [atim] = times();
    guest.ok('fd_filestat_set_times', fd, 77n, 88n, FSTFLAGS.MTIM);
    assert.deepEqual(times(), [atim, 88n]);
    guest.ok('fd_filestat_set_times', fd, 77n, 0n, FSTFLAGS.ATIM | FSTFLAGS.MTIM_NOW);
    assert.equal(times()[0], 77n);
    assert.ok((times()[1] as bigint) > 1_600_000_000_000_000_000n);
    for (const flags of [FSTFLAGS.ATIM | FSTFLAGS.ATIM_NOW, FSTFLAGS.MTIM | FSTFLAGS.MTIM_NOW, 16]) {
      assert.equal(guest.errno('fd_filestat_set_times', fd, 1n, 2n, flags), 'INVAL');
    }
  });

  it('lays filestat out as the interface says', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    guest.write(fd, 'abc');
    const out = guest.room(64);
    guest.memory.fill(0xff, out, out + 64);
    guest.ok('fd_filestat_get', fd, out);
    assert.ok(guest.u64(out + 8) > 0n, 'inode');
    assert.deepEqual(Array.from(guest.bytesAt(out + 16, 8)), [FILETYPE.REGULAR_FILE, 0, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual([guest.u64(out + 24), guest.u64(out + 32)], [1n, 3n]);
    const same = guest.room(64);
    guest.ok('path_filestat_get', 3, 0, ...guest.put('file'), same);
    assert.deepEqual(guest.bytesAt(same, 64), guest.bytesAt(out, 64));
  });

  it('gives files and directories the rights that mean something for them', () => {
    const guest = new Guest();
    const root = fdstat(guest, 3);
    assert.deepEqual(root, {
      type: FILETYPE.DIRECTORY,
      flags: 0,
      rights: RIGHTS_DIRECTORY,
      inheriting: RIGHTS_ALL,
    });
    const fd = guest.open('file', {
      ...CREAT,
      rights: BigInt(RIGHT.FD_READ | RIGHT.PATH_OPEN),
      fdflags: FDFLAGS.SYNC,
    });
    assert.deepEqual(fdstat(guest, fd), {
      type: FILETYPE.REGULAR_FILE,
      flags: FDFLAGS.SYNC,
      rights: RIGHT.FD_READ,
      inheriting: 0,
    });
    const all = guest.open('file', { rights: -1n, inheriting: -1n });
    assert.equal(
      fdstat(guest, all).rights & RIGHT.FD_WRITE,
      RIGHT.FD_WRITE,
      'all 64 bits ask for everything',
    );
    const directory = guest.open('.', { rights: BigInt(RIGHT.FD_SEEK | RIGHT.FD_READDIR) });
    assert.equal(fdstat(guest, directory).rights, RIGHT.FD_READDIR);
  });

  it('lets rights be dropped, never gained', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    const { rights } = fdstat(guest, fd);
    const rest = rights & ~RIGHT.FD_WRITE;
    guest.ok('fd_fdstat_set_rights', fd, BigInt(rest), 0n);
    assert.equal(fdstat(guest, fd).rights, rest);
    const out = guest.room(4);
    assert.equal(guest.errno('fd_write', fd, ...guest.vectors(guest.put('x')), out), 'NOTCAPABLE');
    assert.equal(guest.errno('fd_fdstat_set_rights', fd, BigInt(rights), 0n), 'NOTCAPABLE');
    assert.equal(guest.errno('fd_fdstat_set_rights', fd, BigInt(rest), 2n), 'NOTCAPABLE');
    assert.equal(guest.errno('fd_fdstat_set_rights', fd, -1n, 0n), 'NOTCAPABLE');
    guest.ok('fd_fdstat_set_rights', 3, BigInt(RIGHTS_DIRECTORY), BigInt(RIGHTS_ALL & ~RIGHT.FD_WRITE));
    assert.equal(
      guest.tryOpen('file'),
      'NOTCAPABLE',
      'what is opened has no more than its directory passes on',
    );
    assert.equal(typeof guest.tryOpen('file', { rights: BigInt(RIGHT.FD_READ) }), 'number');
    guest.ok('fd_fdstat_set_rights', 3, BigInt(RIGHTS_DIRECTORY & ~RIGHT.PATH_FILESTAT_SET_SIZE), 0n);
    assert.equal(guest.tryOpen('file', { rights: 0n, oflags: OFLAGS.TRUNC }), 'NOTCAPABLE');
  });

  it('says what is wrong with the descriptor before anything else', () => {
    const guest = new Guest();
    const out = guest.room(64);
    for (const bad of [99, -1, 0x7fffffff, 4]) {
      for (const [name, ...args] of [
        ['fd_read', bad, 0, 0, out],
        ['fd_close', bad],
        ['fd_seek', bad, 0n, 0, out],
        ['fd_tell', bad, out],
        ['fd_sync', bad],
        ['fd_filestat_get', bad, out],
        ['fd_fdstat_get', bad, out],
        ['fd_prestat_get', bad, out],
        ['fd_readdir', bad, out, 8, 0n, out],
        ['fd_renumber', bad, 0],
        ['fd_renumber', 0, bad],
        ['path_open', bad, 0, out, 1, 0, 0n, 0n, 0, out],
        ['sock_shutdown', bad, 1],
      ] as [string, ...(number | bigint)[]][]) {
        assert.equal(guest.errno(name, ...args), 'BADF', `${name} ${bad}`);
      }
    }
    const buffer: [number, number] = [guest.room(8), 8];
    for (const [name, expected, ...args] of [
      ['fd_read', 'ISDIR', ...guest.vectors(buffer), out],
      ['fd_write', 'ISDIR', ...guest.vectors(buffer), out],
      ['fd_pread', 'ISDIR', ...guest.vectors(buffer), 0n, out],
      ['fd_pwrite', 'ISDIR', ...guest.vectors(buffer), 0n, out],
      ['fd_seek', 'ISDIR', 0n, CUR, out],
      ['fd_tell', 'ISDIR', out],
      ['fd_allocate', 'ISDIR', 0n, 1n],
      ['fd_filestat_set_size', 'ISDIR', 0n],
      ['fd_advise', 'BADF', 0n, 0n, 0],
      ['sock_shutdown', 'NOTSOCK', 1],
      ['fd_sync', 'SUCCESS'],
    ] as [string, string, ...(number | bigint)[]][]) {
      assert.equal(guest.errno(name, 3, ...args), expected, `${name} of a directory`);
    }
    for (const [name, expected, ...args] of [
      ['fd_seek', 'SPIPE', 0n, CUR, out],
      ['fd_tell', 'SPIPE', out],
      ['fd_pread', 'SPIPE', ...guest.vectors(buffer), 0n, out],
      ['fd_read', 'NOTCAPABLE', ...guest.vectors(buffer), out],
      ['fd_filestat_set_size', 'INVAL', 0n],
      ['fd_sync', 'INVAL'],
      ['fd_prestat_get', 'BADF', out],
      ['fd_readdir', 'NOTDIR', out, 8, 0n, out],
      ['path_open', 'NOTDIR', 0, out, 1, 0, 0n, 0n, 0, out],
      ['sock_shutdown', 'NOTSOCK', 1],
      ['sock_accept', 'NOTSOCK', 0, out],
    ] as [string, string, ...(number | bigint)[]][]) {
      assert.equal(guest.errno(name, 1, ...args), expected, `${name} of standard output`);
    }
    const fd = guest.open('file', CREAT);
    assert.equal(guest.errno('path_open', fd, 0, ...guest.put('x'), 0, 0n, 0n, 0, out), 'NOTDIR');
    assert.equal(guest.errno('fd_advise', fd, 0n, 0n, 6), 'INVAL');
    assert.equal(guest.errno('fd_advise', fd, -1n, 0n, 0), 'INVAL');
    guest.ok('fd_advise', fd, 10n, 50n, 5);
  });

  it('renumbers onto open descriptors only, closing what was there', () => {
    const guest = new Guest();
    const a = guest.open('a', CREAT);
    const b = guest.open('b', CREAT);
    guest.write(a, 'in a');
    guest.ok('fd_renumber', a, b);
    assert.equal(guest.errno('fd_close', a), 'BADF');
    guest.seek(b, 0, SET);
    assert.equal(guest.read(b, 10), 'in a');
    assert.equal(guest.errno('fd_renumber', b, a), 'BADF');
    guest.ok('fd_renumber', b, b);
    guest.ok('fd_renumber', 1, b);
    assert.equal(guest.errno('fd_fdstat_get', 1, guest.room(24)), 'BADF');
    guest.write(b, 'out');
    assert.equal(guest.ports.stdout.text(), 'out');
  });

  it('tells preopened directories and their names', () => {
    const guest = new Guest({
      grants: [
        { kind: 'tree', path: '/home/x', guest: '/' },
        { kind: 'tree', path: '/shared', guest: '/data' },
      ],
    });
    const out = guest.room(8);
    guest.ok('fd_prestat_get', 4, out);
    assert.deepEqual([guest.u8(out), guest.u32(out + 4)], [0, 5]);
    const name = guest.room(8);
    assert.equal(guest.errno('fd_prestat_dir_name', 4, name, 4), 'NAMETOOLONG');
    guest.ok('fd_prestat_dir_name', 4, name, 8);
    assert.equal(guest.textAt(name, 8), '/data\0\0\0');
    assert.equal(guest.errno('fd_prestat_get', 5, out), 'BADF');
    guest.ok('fd_close', 3);
    assert.equal(guest.errno('fd_prestat_get', 3, out), 'BADF');
    const reopened = guest.open('.', { fd: 4, rights: 0n });
    assert.equal(guest.errno('fd_prestat_get', reopened, out), 'BADF', 'only what was granted is preopened');
  });

  it('keeps an unlinked file until its descriptor is closed, through a crash', () => {
    const guest = new Guest();
    const fd = guest.open('file', CREAT);
    guest.write(fd, 'still here');
    guest.ok('path_unlink_file', 3, ...guest.put('file'));
    guest.recover();
    assert.equal(guest.tryOpen('file'), 'NOENT');
    assert.equal(guest.seek(fd, 0, CUR), 10);
    guest.seek(fd, 0, SET);
    assert.equal(guest.read(fd, 20), 'still here');
    const nodes = guest.wasi.tree.nodes;
    guest.ok('fd_close', fd);
    assert.equal(guest.wasi.tree.nodes, nodes - 1);
  });

  it('opens no more than there may be, and the lowest number first', () => {
    const guest = new Guest();
    const opened: number[] = [];
    for (;;) {
      const fd = guest.tryOpen('.', { rights: 0n });
      if (typeof fd === 'string') {
        assert.equal(fd, 'MFILE');
        break;
      }
      opened.push(fd);
    }
    assert.equal(opened.length, 4096 - 4);
    guest.ok('fd_close', 17);
    guest.ok('fd_close', 9);
    assert.equal(guest.open('.', { rights: 0n }), 9);
    assert.equal(guest.open('.', { rights: 0n }), 17);
  });

  it('gives everything back when the domain ends', () => {
    const guest = new Guest();
    const cycle = (): void => {
      const state = guest.wasi.createState({
        args: ['a'],
        env: ['X=1'],
        grants: [{ kind: 'tree', path: '/h', guest: '/' }],
      });
      const mine = guest.state;
      guest.state = state;
      for (let i = 0; i < 20; i++) guest.open(`f${i}`, CREAT);
      for (let i = 0; i < 20; i++) guest.ok('path_unlink_file', 3, ...guest.put(`f${i}`));
      guest.wasi.release(guest.space, 2, state, { kind: 'exit', code: 0 });
      guest.state = mine;
    };
    cycle();
    const before = [guest.space.heap.blockCount, guest.wasi.tree.nodes, guest.space.segments.count];
    cycle();
    assert.deepEqual(
      [guest.space.heap.blockCount, guest.wasi.tree.nodes, guest.space.segments.count],
      before,
    );
  });
});

describe('standard streams', () => {
  it('write through to their ports, in order', () => {
    const guest = new Guest();
    const out = guest.room(4);
    guest.ok('fd_write', 1, ...guest.vectors(guest.put('a line'), guest.put('\n')), out);
    assert.equal(guest.u32(out), 7);
    guest.write(2, 'oops');
    assert.equal(guest.ports.stdout.text(), 'a line\n');
    assert.equal(guest.ports.stderr.text(), 'oops');
  });

  it('make a reader wait, then give it what came', () => {
    const guest = new Guest();
    const [out, buffer] = [guest.room(4), guest.room(16)];
    const args = [0, ...guest.vectors([buffer, 16]), out] as const;
    assert.equal(guest.waits('fd_read', ...args), undefined);
    assert.ok(guest.ports.stdin.subscribers.has(1));
    guest.recover();
    guest.waits('fd_read', ...args);
    guest.ports.stdin.say('hi\n');
    guest.ok('fd_read', ...args);
    assert.equal(guest.textAt(buffer, guest.u32(out)), 'hi\n');
    guest.ports.stdin.ended = true;
    guest.ok('fd_read', ...args);
    assert.equal(guest.u32(out), 0);
  });

  it('say AGAIN instead where the descriptor is non-blocking', () => {
    const guest = new Guest();
    guest.ok('fd_fdstat_set_flags', 0, FDFLAGS.NONBLOCK);
    const out = guest.room(4);
    assert.equal(guest.errno('fd_read', 0, ...guest.vectors([guest.room(8), 8]), out), 'AGAIN');
  });

  it('take part of what is written when they are full, and wait only when they take nothing', () => {
    const guest = new Guest();
    guest.ports.stdout.room = 10;
    const out = guest.room(4);
    const args = [1, ...guest.vectors(guest.put('12345678'), guest.put('abcdefgh')), out] as const;
    guest.ok('fd_write', ...args);
    assert.equal(guest.u32(out), 10);
    assert.throws(() => guest.call('fd_write', ...args), Blocked);
    assert.equal(guest.ports.stdout.text(), '12345678ab');
    guest.ports.stdout.ended = true;
    assert.equal(guest.errno('fd_write', ...args), 'PIPE');
  });

  it('are neither terminals nor files unless they are', () => {
    const guest = new Guest();
    assert.equal(fdstat(guest, 1).type, FILETYPE.UNKNOWN);
    const out = guest.room(64);
    guest.ok('fd_filestat_get', 1, out);
    assert.equal(guest.u8(out + 16), FILETYPE.UNKNOWN);
  });
});
