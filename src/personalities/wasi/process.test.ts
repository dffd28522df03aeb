import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EnvironmentError } from '../../base/errors.ts';
import { FDFLAGS } from './abi.ts';
import { homeOf } from './grants.ts';
import { Exited, Guest, Trapped } from './guest.testing.ts';
import { FakeListener, FakeSocket } from './ports.testing.ts';
import { FUNCTION_NAMES, hasSignature } from './signatures.ts';

const CLOCK = 0;
const FD_READ = 1;
const FD_WRITE = 2;
const ABSTIME = 1;

type Sub = { userdata: bigint; tag: number; fd?: number; clock?: number; timeout?: bigint; flags?: number };

/** Arguments of poll_oneoff for these subscriptions. */
function subscriptions(g: Guest, subs: Sub[]): [number, number, number, number] {
  const bytes = new Uint8Array(48 * subs.length);
  const view = new DataView(bytes.buffer);
  for (const [i, s] of subs.entries()) {
    view.setBigUint64(48 * i, s.userdata, true);
    view.setUint8(48 * i + 8, s.tag);
    view.setUint32(48 * i + 16, s.tag === CLOCK ? (s.clock ?? 1) : (s.fd ?? 0), true);
    view.setBigUint64(48 * i + 24, s.timeout ?? 0n, true);
    view.setUint16(48 * i + 40, s.flags ?? 0, true);
  }
  const [input] = g.put(bytes);
  return [input, g.room(32 * subs.length), subs.length, g.room(4)];
}
interface Event {
  userdata: bigint;
  error: number;
  type: number;
  bytes: bigint;
  flags: number;
}
function eventsOf(g: Guest, [, output, , out]: [number, number, number, number]): Event[] {
  return Array.from({ length: g.u32(out) }, (_, i) => ({
    userdata: g.u64(output + 32 * i),
    error: g.u16(output + 32 * i + 8),
    type: g.u8(output + 32 * i + 10),
    bytes: g.u64(output + 32 * i + 16),
    flags: g.u16(output + 32 * i + 24),
  }));
}

describe('arguments and environment', () => {
  it('come as they were given', () => {
    const g = new Guest({ args: ['prog', '', 'grüße'], env: ['A=1', 'B='] });
    const [count, bytes] = [g.room(4), g.room(4)];
    for (const [sizes, get, expected] of [
      ['args_sizes_get', 'args_get', ['prog', '', 'grüße']],
      ['environ_sizes_get', 'environ_get', ['A=1', 'B=']],
    ] as const) {
      g.ok(sizes, count, bytes);
      const length = expected.reduce((sum, s) => sum + new TextEncoder().encode(s).length + 1, 0);
      assert.deepEqual([g.u32(count), g.u32(bytes)], [expected.length, length]);
      const [pointers, buffer] = [g.room(4 * expected.length), g.room(length)];
      g.ok(get, pointers, buffer);
      for (const [i, text] of expected.entries()) {
        const at = g.u32(pointers + 4 * i);
        assert.equal(g.textAt(at, new TextEncoder().encode(text).length + 1), `${text}\0`);
      }
    }
  });

  it('cannot hold what would end a string', () => {
    const g = new Guest();
    const blocks = g.space.heap.blockCount;
    assert.throws(() => g.wasi.createState({ args: ['a\0b'], env: [], grants: [] }), EnvironmentError);
    const bad = { kind: 'tree', path: `/${'n'.repeat(300)}`, guest: '/' } as const;
    assert.throws(() => g.wasi.createState({ args: [], env: [], grants: [bad] }), EnvironmentError);
    assert.equal(g.space.heap.blockCount, blocks, 'nothing is left behind');
  });
});

describe('the own folder of a domain', () => {
  it('is its own, whatever it is called', () => {
    const g = new Guest();
    const folders = new Set<number>();
    const strange = ['.', '..', 'a/b', 'a%2fb', '../x', '/', 'plain'];
    for (const name of strange) {
      const grant = homeOf(name);
      assert.ok(grant.kind === 'tree');
      folders.add(g.wasi.folder(grant.path));
    }
    assert.equal(folders.size, strange.length);
    const home = g.wasi.tree.lookup(g.wasi.tree.root, new TextEncoder().encode('home'));
    for (const folder of folders) assert.equal(g.wasi.tree.parent(folder), home);
    assert.throws(() => g.wasi.folder('/home/../home'), EnvironmentError);
  });
});

describe('clocks, chance and endings', () => {
  it('tell the time of each clock', () => {
    const g = new Guest();
    const out = g.room(8);
    g.ok('clock_time_get', 0, 0n, out);
    assert.ok(g.u64(out) >= 1_700_000_000_000_000_000n);
    g.ok('clock_time_get', 1, 1n, out);
    assert.equal(g.u64(out), g.now);
    g.ok('clock_time_get', 2, 0n, out);
    assert.equal(g.u64(out), 5_000n);
    g.ok('clock_res_get', 1, out);
    assert.equal(g.u64(out), 1n);
    assert.equal(g.errno('clock_time_get', 4, 0n, out), 'INVAL');
    assert.equal(g.errno('clock_res_get', -1, out), 'INVAL');
  });

  it('fill any length with random bytes, and nothing beside it', () => {
    const g = new Guest();
    g.ok('random_get', 200_000 - 70_000, 70_000);
    const filled = g.bytesAt(130_000, 70_000);
    assert.ok(new Set(filled).size === 256);
    assert.ok(filled.subarray(69_900).some((byte) => byte !== 0));
    assert.equal(g.u8(200_000), 0);
    g.ok('random_get', 0, 0);
    const long = [4096, 250_000 - 4096] as const;
    assert.equal(g.waits('random_get', ...long), g.now, 'a long one lets others run in between');
    g.recover();
    g.memory[5000] = g.u8(5000) ^ 1;
    const [first, second] = [g.u8(5000), g.u8(240_000)];
    assert.equal(second, 0);
    g.ok('random_get', ...long);
    assert.equal(g.u8(5000), first, 'what was filled is not filled again');
    assert.ok(g.bytesAt(240_000, 64).some((byte) => byte !== 0));
    assert.equal(g.errno('random_get', 200_000, 70_000), 'FAULT');
  });

  it('end the program, or only its slice', () => {
    const g = new Guest();
    const ends = (name: string, argument: number, kind: typeof Exited | typeof Trapped): unknown => {
      try {
        g.call(name, argument);
      } catch (error) {
        assert.ok(error instanceof kind);
        return error;
      }
      return assert.fail(`${name} returned`);
    };
    assert.equal((ends('proc_exit', 42, Exited) as Exited).code, 42);
    assert.equal((ends('proc_exit', -1, Exited) as Exited).code, 0xffffffff);
    assert.equal((ends('proc_raise', 6, Trapped) as Trapped).reason, 'signal ABRT');
    g.ok('proc_raise', 0);
    assert.equal(g.errno('proc_raise', 200), 'INVAL');
    assert.equal(g.errno('proc_raise', 18), 'NOTSUP');
    g.ok('sched_yield');
    assert.equal(g.yields, 1);
  });
});

describe('poll_oneoff', () => {
  it('sleeps until the deadline of its first run, through a crash', () => {
    const g = new Guest();
    const args = subscriptions(g, [{ userdata: 7n, tag: CLOCK, timeout: 500n }]);
    assert.equal(g.waits('poll_oneoff', ...args), 1500n);
    g.now = 1200n;
    g.recover();
    assert.equal(g.waits('poll_oneoff', ...args), 1500n, 'woken early, it goes on waiting for the rest');
    g.now = 1500n;
    g.ok('poll_oneoff', ...args);
    assert.deepEqual(eventsOf(g, args), [{ userdata: 7n, error: 0, type: CLOCK, bytes: 0n, flags: 0 }]);
    assert.equal(g.waits('poll_oneoff', ...args), 2000n, 'the next call counts anew');
  });

  it('knows absolute times of both clocks', () => {
    const g = new Guest();
    const later = subscriptions(g, [{ userdata: 1n, tag: CLOCK, timeout: 1400n, flags: ABSTIME }]);
    assert.equal(g.waits('poll_oneoff', ...later), 1400n);
    const wall = g.ports.time + 10_000n;
    const args = subscriptions(g, [{ userdata: 1n, tag: CLOCK, clock: 0, timeout: wall, flags: ABSTIME }]);
    const deadline = g.waits('poll_oneoff', ...args) as bigint;
    assert.ok(deadline > g.now + 9_000n && deadline <= g.now + 10_000n);
    const past = subscriptions(g, [{ userdata: 2n, tag: CLOCK, clock: 0, timeout: 5n, flags: ABSTIME }]);
    g.ok('poll_oneoff', ...past);
    assert.equal(eventsOf(g, past).length, 1);
    const never = subscriptions(g, [{ userdata: 3n, tag: CLOCK, timeout: 2n ** 64n - 1n }]);
    assert.equal(g.waits('poll_oneoff', ...never), undefined);
  });

  it('tells all that is ready and waits for the rest together', () => {
    const g = new Guest();
    const fd = g.open('file', { oflags: 1 });
    g.write(fd, '12345');
    g.seek(fd, 2, 0);
    const subs: Sub[] = [
      { userdata: 1n, tag: FD_READ, fd: 0 },
      { userdata: 2n, tag: CLOCK, timeout: 50n },
    ];
    const waiting = subscriptions(g, subs);
    assert.equal(g.waits('poll_oneoff', ...waiting), 1050n);
    assert.ok(g.ports.stdin.subscribers.has(1));
    g.ports.stdin.say('abc');
    const args = subscriptions(g, [
      ...subs,
      { userdata: 3n, tag: FD_WRITE, fd: 1 },
      { userdata: 4n, tag: FD_READ, fd },
      { userdata: 5n, tag: FD_READ, fd: 99 },
      { userdata: 6n, tag: FD_WRITE, fd: 3 },
    ]);
    g.ok('poll_oneoff', ...args);
    assert.deepEqual(
      eventsOf(g, args).map((e) => [e.userdata, e.error, e.type, e.bytes]),
      [
        [1n, 0, FD_READ, 3n],
        [3n, 0, FD_WRITE, 0n],
        [4n, 0, FD_READ, 3n],
        [5n, 8, FD_READ, 0n],
        [6n, 0, FD_WRITE, 0n],
      ],
    );
    g.ports.stdin.bytes = [];
    g.ports.stdin.ended = true;
    g.ok('poll_oneoff', ...waiting);
    assert.deepEqual(eventsOf(g, waiting), [{ userdata: 1n, error: 0, type: FD_READ, bytes: 0n, flags: 1 }]);
  });

  it('refuses what makes no sense', () => {
    const g = new Guest();
    const one = subscriptions(g, [{ userdata: 1n, tag: 9 }]);
    assert.equal(g.errno('poll_oneoff', ...one), 'INVAL');
    assert.equal(g.errno('poll_oneoff', one[0], one[1], 0, one[3]), 'INVAL');
    assert.equal(g.errno('poll_oneoff', one[0], one[1], -1, one[3]), 'INVAL');
    assert.equal(g.errno('poll_oneoff', one[0], one[1], 16000, one[3]), 'FAULT');
    const bad = subscriptions(g, [{ userdata: 1n, tag: CLOCK, clock: 12 }]);
    g.ok('poll_oneoff', ...bad);
    assert.equal(eventsOf(g, bad)[0]?.error, 28);
  });
});

describe('sockets', () => {
  function guestWith(): { g: Guest; listener: FakeListener } {
    const g = new Guest({ grants: [{ kind: 'listener', id: 50 }] });
    const listener = new FakeListener(50);
    g.ports.objects.set(50, listener);
    return { g, listener };
  }
  function connect(g: Guest, listener: FakeListener): FakeSocket {
    const socket = new FakeSocket(60);
    g.ports.objects.set(60, socket);
    listener.waiting.push(socket);
    return socket;
  }

  it('are accepted from a granted listener, read, written and ended', () => {
    const { g, listener } = guestWith();
    const out = g.room(8);
    g.waits('sock_accept', 3, 0, out);
    assert.ok(listener.subscribers.has(1));
    assert.equal(g.errno('fd_read', 3, ...g.vectors([out, 4]), out), 'NOTCAPABLE');
    const socket = connect(g, listener);
    g.ok('sock_accept', 3, 0, out);
    const fd = g.u32(out);
    assert.equal(fd, 4);
    const [buffer, flags] = [g.room(16), g.room(2)];
    const receive = [fd, ...g.vectors([buffer, 16]), 0, out, flags] as const;
    g.waits('sock_recv', ...receive);
    socket.incoming.say('ping');
    g.ok('sock_recv', fd, ...g.vectors([buffer, 2]), 1, out, flags);
    assert.equal(g.textAt(buffer, g.u32(out)), 'pi', 'peeked');
    g.ok('sock_recv', ...receive);
    assert.equal(g.textAt(buffer, g.u32(out)), 'ping');
    g.ok('sock_send', fd, ...g.vectors(g.put('po'), g.put('ng')), 0, out);
    assert.equal(g.u32(out), 4);
    g.write(fd, '!');
    assert.equal(socket.outgoing.text(), 'pong!');
    assert.equal(g.errno('sock_send', fd, ...g.vectors(g.put('x')), 1, out), 'INVAL');
    assert.equal(g.errno('sock_shutdown', fd, 0), 'INVAL');
    g.ok('sock_shutdown', fd, 2);
    assert.equal(g.errno('sock_send', fd, ...g.vectors(g.put('x')), 0, out), 'PIPE');
    g.ok('fd_close', fd);
    assert.ok(socket.closed);
  });

  it('say AGAIN when non-blocking, and CONNRESET when the host lost them', () => {
    const { g, listener } = guestWith();
    const out = g.room(8);
    g.ok('fd_fdstat_set_flags', 3, FDFLAGS.NONBLOCK);
    assert.equal(g.errno('sock_accept', 3, 0, out), 'AGAIN');
    connect(g, listener);
    g.ok('sock_accept', 3, FDFLAGS.NONBLOCK, out);
    const fd = g.u32(out);
    const receive = [fd, ...g.vectors([g.room(8), 8]), 0, out, g.room(2)] as const;
    assert.equal(g.errno('sock_recv', ...receive), 'AGAIN');
    g.ports.objects.delete(60);
    g.recover();
    assert.equal(g.errno('sock_recv', ...receive), 'CONNRESET');
    assert.equal(g.errno('sock_send', fd, ...g.vectors(g.put('x')), 0, out), 'CONNRESET');
    assert.equal(g.errno('fd_read', fd, ...g.vectors([out, 4]), out), 'CONNRESET');
    g.ok('fd_close', fd);
  });
});

describe('the table of functions', () => {
  it('has all of preview 1, each with one type only', () => {
    const g = new Guest();
    assert.equal(FUNCTION_NAMES.length, 46);
    for (const name of FUNCTION_NAMES) assert.ok(g.wasi.resolve('wasi_snapshot_preview1', name), name);
    assert.equal(g.wasi.resolve('wasi_snapshot_preview1', 'fd_writes'), undefined);
    assert.equal(g.wasi.resolve('wasi_snapshot_preview1', 'constructor'), undefined);
    assert.equal(g.wasi.resolve('env', 'fd_write'), undefined);
    const i32 = 0x7f;
    assert.ok(hasSignature('fd_write', [i32, i32, i32, i32], [i32]));
    assert.ok(!hasSignature('fd_write', [i32, 0x7e, i32, i32], [i32]));
    assert.ok(!hasSignature('constructor', [], []));
    const shape = { params: [i32], results: [0x7e] };
    assert.equal(g.wasi.resolve('wasi_snapshot_preview1', 'fd_close', shape), undefined);
  });

  it('speaks the dialect of wasi_unstable where its structures differ', () => {
    const g = new Guest();
    const fd = g.open('file', { oflags: 1 });
    g.write(fd, '0123456789');
    g.module = 'wasi_unstable';
    const out = g.room(64);
    g.memory.fill(0xff, out, out + 64);
    g.ok('fd_filestat_get', fd, out);
    assert.deepEqual([g.u8(out + 16), g.u32(out + 20), g.u64(out + 24)], [4, 1, 10n]);
    assert.equal(g.u64(out + 56), 2n ** 64n - 1n, 'it has 56 bytes');
    const [SET, CUR, END] = [2, 0, 1];
    g.ok('fd_seek', fd, 3n, SET, out);
    g.ok('fd_seek', fd, 2n, CUR, out);
    assert.equal(g.u64(out), 5n);
    g.ok('fd_seek', fd, -1n, END, out);
    assert.equal(g.u64(out), 9n);
    assert.equal(g.errno('fd_seek', fd, 0n, 3, out), 'INVAL');
    const bytes = new Uint8Array(112);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, 7n, true); // a clock: identifier at 16, then as in preview 1
    view.setUint32(24, 1, true);
    view.setBigUint64(32, 400n, true);
    view.setBigUint64(56, 8n, true); // reading from standard input
    view.setUint8(64, 1);
    const args = [...g.put(bytes), g.room(64), out] as const;
    const poll = [args[0], args[2], 2, args[3]] as const;
    assert.equal(g.waits('poll_oneoff', ...poll), 1400n);
    g.ports.stdin.say('x');
    g.ok('poll_oneoff', ...poll);
    assert.equal(g.u64(poll[1]), 8n);
    assert.equal(g.wasi.resolve('__proto__', 'fd_seek'), undefined);
  });

  it('ends a program that calls with other types', () => {
    const g = new Guest();
    assert.throws(() => g.call('fd_close', 1n), Trapped);
    assert.throws(() => g.call('fd_seek', 1, 0, 0, 0), Trapped);
    assert.throws(() => g.call('fd_pread', 1, 0), Trapped);
  });
});
