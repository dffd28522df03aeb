/**
 * Calls through a kind by the short way of gates and by the long one: whatever the kind's procedure does, they come to the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { END } from '../domain.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { NO_TRACE } from '../trace.ts';

const SERVER = program(`(module
  (global $n (mut i32) (i32.const 0))
  (func $add (param i32) (result i32)
    (global.set $n (i32.add (global.get $n) (local.get 0))) (global.get $n))
  (func (export "gate:short") (param i32) (result i32) (call $add (local.get 0)))
  (func (export "gate:wide") (param i64 f64) (result i64)
    (if (f64.ne (local.get 1) (f64.const 0.5)) (then unreachable))
    (i64.extend_i32_s (call $add (i32.wrap_i64 (local.get 0)))))
  (func (export "gate:long:cv") (param i32 i32) (result i32) (call $add (local.get 1)))
  (func (export "gate:own") (param f64 i64 v128) (result i32) (call $add (i32.const 1000)))
  (func (export "main")))`);

/** Does what `act` does, and answers what that gives; 1000 calls the server first. */
const GUARD = program(`(module
  (import "env" "act" (func $act (result i32)))
  (import "target" "own" (func $own (param f64 i64 v128) (result i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "gate_own" (func $gate (param i32 i32) (result i32)))
  (import "perdure_kernel" "kind_create" (func $kind (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "kind_wrap" (func $wrap (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "domain_grant" (func $grant (param i32 i32 i32 i32 i32) (result i32)))
  (memory 1)
  (data (i32.const 16) "target") (data (i32.const 32) "client") (data (i32.const 48) "server") (data (i32.const 64) "check")
  (func (export "make")
    (drop (call $grant (call $granted (i32.const 32) (i32.const 6)) (i32.const 48) (i32.const 6)
      (call $wrap (call $kind (call $gate (i32.const 64) (i32.const 5)) (i32.const 0) (i32.const 0))
        (call $granted (i32.const 16) (i32.const 6)) (i32.const -1) (i64.const -5))
      (i32.const -1))))
  (func (export "gate:check") (param i64 i32) (result i32) (local $r i32)
    (if (i64.ne (local.get 0) (i64.const -5)) (then unreachable))
    (local.set $r (call $act))
    (if (i32.eq (local.get $r) (i32.const 1000))
      (then (drop (call $own (f64.const 7) (i64.const 8) (v128.const i32x4 9 9 9 9))) (local.set $r (call $error))))
    (if (i32.eq (local.get $r) (i32.const 1001)) (then unreachable))
    (local.get $r)))`);

/** By the short way; with arguments that lie in the transfer area; by the long way, since it passes a capability, of nothing. */
const CALLS = {
  short: ['(param i32) (result i32)', '(call $call (i32.const 1))'],
  wide: ['(param i64 f64) (result i64)', '(i32.wrap_i64 (call $call (i64.const 1) (f64.const 0.5)))'],
  long: ['(param i32 i32) (result i32)', '(call $call (i32.const -1) (i32.const 1))'],
} as const;
type Way = keyof typeof CALLS;
const WAYS = Object.keys(CALLS) as Way[];
const client = (way: Way) => {
  const [type, call] = CALLS[way];
  return program(`(module
    (import "env" "log" (func $log (param i32)))
    (import "server" "${way}" (func $call ${type}))
    (import "perdure_kernel" "gate_error" (func $error (result i32)))
    (func (export "calls") (param $n i32)
      (loop $l
        (call $log ${call})
        (call $log (call $error))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))`);
};
const CLIENTS = { short: client('short'), wide: client('wide'), long: client('long') };

/** What the kind's procedure may do, by name. */
const ACTS = [
  'pass',
  'pass',
  'pass',
  'refuse',
  'odd',
  'trap',
  'pause',
  'sleep',
  'call',
  'epoch',
  'halt',
  'endServer',
  'endGuard',
] as const;
type Act = (typeof ACTS)[number];

async function run(way: Way, acts: readonly Act[], stress: boolean): Promise<unknown> {
  const system = new TestSystem({ stress });
  let n = 0;
  const end = { end: END.killed, code: 0, reason: 'by another', trace: NO_TRACE };
  const ids: Record<'server' | 'client' | 'guard', number> = { server: 0, client: 0, guard: 0 };
  const domain = (name: keyof typeof ids) => {
    const found = system.kernel.core.peek(ids[name]);
    assert(found !== undefined);
    return found;
  };
  system.personality.calls.act = (caller) => {
    const again = caller.getScratch(0) !== 0n; // it has paused, or slept
    if (again) return 0;
    const act = acts[n++] ?? 'pass';
    const { core } = system.kernel;
    if (act === 'refuse') return ERRNO.PERM;
    if (act === 'odd') return -5;
    if (act === 'call') return 1000;
    if (act === 'trap') return 1001;
    if (act === 'pause' || act === 'sleep') {
      caller.setScratch(0, 1n);
      if (act === 'sleep') caller.block(caller.now() + 5n);
      caller.yield();
    }
    if (act === 'epoch') core.moveEpoch();
    if (act === 'halt') core.halt(domain('client'));
    if (act === 'endServer') core.condemn(domain('server'), end);
    if (act === 'endGuard') {
      core.condemn(domain('guard'), end);
      throw core.unwind;
    }
    return 0;
  };
  const resident = { resident: true };
  ids.server = system.add('server', await SERVER, resident);
  ids.client = system.add('client', await CLIENTS[way], { ...resident, trapUnknownImports: true });
  const { authority } = system.kernel;
  const grants = [
    { name: 'target', ...authority.domain(ids.server) },
    { name: 'client', ...authority.domain(ids.client) },
  ];
  ids.guard = system.add('guard', await GUARD, { ...resident, grants });
  const rest = (): void => {
    for (let i = 0; i < 100; i++) {
      system.runAll();
      system.powers.ns += 10n;
      if (system.kernel.core.activations.count === 0) return;
      const { state } = system.kernel.status(ids.client);
      if (state === 'stopped') system.kernel.resume(ids.client);
    }
    throw new Error('it never comes to rest');
  };
  system.kernel.start(ids.guard, 'make');
  rest();
  system.kernel.start(ids.client, 'calls', [acts.length + 3]);
  rest();
  for (const id of system.kernel.ids()) {
    const found = system.kernel.core.peek(id);
    assert.deepEqual(
      [found?.visits, found?.nativeFrames, found?.waiters.length],
      [0, 0, 0],
      String(found?.name),
    );
  }
  return { asked: n, told: system.values('client') };
}

async function same(acts: readonly Act[], stress: boolean): Promise<void> {
  const long = await run('long', acts, stress);
  for (const way of ['short', 'wide'] as const)
    assert.deepEqual(await run(way, acts, stress), long, `${way}, stress ${stress}: ${acts}`);
}

test('all ways give what the server computes', async () => {
  for (const way of WAYS)
    assert.deepEqual(await run(way, ['pass', 'refuse', 'call'], false), {
      asked: 6,
      told: [1, 0, 0, ERRNO.PERM, 1002, 0, 1003, 0, 1004, 0, 1005, 0],
    });
});

for (const act of new Set(ACTS)) {
  test(`a kind that does "${act}" when it is asked means the same by all ways`, async () => {
    const acts: Act[] = ['pass', 'pass', act, 'pass', act, act, 'pass'];
    for (const stress of [false, true])
      assert.deepEqual(
        await run('short', acts, stress),
        await run('long', acts, stress),
        `stress: ${stress}`,
      );
  });
}

test('whatever a kind does in turn, all ways come to the same', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  for (let i = 0; i < 30; i++) {
    const acts = Array.from(
      { length: 12 },
      () => ACTS[random.below(ACTS.length - (random.chance(0.8) ? 2 : 0))] as Act,
    );
    const stress = random.chance(0.3);
    await same(acts, stress);
  }
});
