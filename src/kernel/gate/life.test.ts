import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { Space } from '../../space/index.ts';
import { wat } from '../../wasm/wat.testing.ts';
import { loadAlone } from '../kernel.testing.ts';
import { Kernel } from '../kernel.ts';
import { toNumber } from '../values.ts';
import { GateSystem, program } from './gates.testing.ts';

const ENV = `(import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))`;
const ERROR = '(import "perdure_kernel" "gate_error" (func $error (result i32)))';
const END = '(import "perdure_kernel" "activation_end" (func $end (result i32)))';

/** Has a start function, which must have run before anybody comes in. */
const SERVER = program(`(module ${ENV} ${END}
  (global $begun (mut i32) (i32.const 0))
  (func $start (global.set $begun (i32.const 40)))
  (start $start)
  (func (export "gate:get") (result i32) (global.set $begun (i32.add (global.get $begun) (i32.const 1))) (global.get $begun))
  (func (export "gate:wait") (param i32 i64) (result i32 i64)
    (call $wait (local.get 0)) (i64.add (local.get 1) (i64.const 1)))
  (func (export "gate:fail") (unreachable))
  (func (export "gate:leave") (result i32) (call $end))
  (func (export "main") (param i32) (call $log (i32.const 1)) (if (local.get 0) (then (drop (call $end)))) (call $log (i32.const 2))))`);
const CLIENT = program(`(module ${ENV} ${ERROR}
  (import "s" "get" (func $get (result i32)))
  (import "s" "wait" (func $slow (param i32 i64) (result i32 i64)))
  (import "s" "leave" (func $leave (result i32)))
  (import "s" "fail" (func $fail))
  (func (export "get") (call $log (call $get)) (call $log (call $error)))
  (func (export "leave") (call $log (call $leave)) (call $log (call $error)))
  (func (export "slow") (local i64)
    (call $slow (i32.const 6) (i64.const 0x123456789abc)) (local.set 0) (call $log)
    (call $log (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 16)))) (call $log (call $error))))`);
/** The same without an ear for errors. */
const DEAF = program(`(module (import "s" "fail" (func $fail)) ${ENV}
  (func (export "run") (call $fail) (call $log (i32.const 1))))`);

for (const stress of [false, true]) {
  const label = stress ? ', unwound at every safepoint' : '';
  const result = (system: GateSystem, ticket: number): unknown => {
    const answer = system.answers.get(ticket);
    return answer && [answer.errno, ...answer.results.map((raw) => toNumber(raw))];
  };

  test(`the host calls procedures, also several at once, of a domain that nothing was started in${label}`, async () => {
    const system = new GateSystem({ stress });
    const { kernel } = system;
    const s = system.add('s', await SERVER);
    const tickets = [
      kernel.callProcedure(s, 'wait', [3, -1n]),
      kernel.callProcedure(s, 'get'),
      kernel.callProcedure(s, 'get'),
    ];
    system.runAll();
    assert.deepEqual(
      tickets.map((ticket) => result(system, ticket)),
      [undefined, undefined, undefined],
    );
    system.personality.open = true;
    kernel.wake(s);
    system.runAll();
    assert.deepEqual(
      tickets.map((ticket) => result(system, ticket)),
      [
        [0, 4, 0n],
        [0, 41],
        [0, 42],
      ],
    );
    assert.equal(kernel.status(s).state, 'created');
    assert.throws(() => kernel.callProcedure(s, 'nothing'), { code: 'no-such-export' });
    assert.throws(() => kernel.callProcedure(s, 'wait', [1]), { code: 'bad-argument' });
    const bad = kernel.callProcedure(s, 'fail');
    const late = kernel.callProcedure(s, 'get');
    system.runAll();
    assert.deepEqual(result(system, bad), [ERRNO.FAULTED]);
    assert.deepEqual(result(system, late), [ERRNO.GONE], 'the trap has ended the domain');
    assert.equal(kernel.core.activations.count, 0);
  });

  test(`a start function runs before anybody who calls${label}`, async () => {
    const system = new GateSystem({ stress });
    system.add('s', await SERVER);
    system.kernel.start(system.add('c', await CLIENT), 'get');
    system.runAll();
    assert.deepEqual(system.values('c'), [41, 0]);
  });

  test(`an activation ends, and the domain lives on and is called${label}`, async () => {
    for (const quits of [0, 1]) {
      const system = new GateSystem({ stress });
      const s = system.add('s', await SERVER);
      system.kernel.start(s, 'main', [quits]);
      system.runAll();
      assert.deepEqual(system.values('s'), quits ? [1] : [1, 2]);
      assert.equal(system.kernel.status(s).state, 'idle');
      assert.equal(system.kernel.core.activations.count, 0);
      const c = system.add('c', await CLIENT);
      system.kernel.start(c, 'leave');
      system.runAll();
      assert.deepEqual(system.values('c'), [-ERRNO.INVAL, 0], 'a call by others can only return');
      system.kernel.start(s, 'main', [1]);
      system.runAll();
      assert.equal(system.kernel.status(s).state, 'idle', 'it can be started again');
    }
  });

  test(`a caller that is carried away finds its call to have failed; one that was answered has its answer${label}`, async () => {
    for (const answered of [false, true]) {
      const system = new GateSystem({ stress });
      const s = system.add('s', await SERVER);
      const c = system.add('c', await CLIENT);
      system.kernel.start(c, 'slow');
      system.runAll();
      if (answered) {
        system.kernel.stop(c);
        system.personality.open = true;
        system.kernel.wake(s);
        system.runAll();
      }
      const image = structuredClone(system.kernel.exportDomain(c));
      system.kernel.remove(c);
      system.kernel = new Kernel(Space.create({ id: new Uint8Array(16).fill(9) }), system.kernelOptions());
      system.kernel.core.granted = () => ERRNO.GONE;
      const there = system.kernel.importDomain(image, await CLIENT);
      if (answered) system.kernel.resume(there);
      system.runAll();
      const want = answered ? [7, 0x12345678 | 0, 0] : [0, 0, ERRNO.GONE];
      assert.deepEqual(system.values('c'), want);
    }
  });

  test(`a callee that is carried away while it is called is as if it had been ended here${label}`, async () => {
    const system = new GateSystem({ stress });
    const s = system.add('s', await SERVER);
    const c = system.add('c', await CLIENT);
    system.kernel.start(c, 'slow');
    system.runAll();
    const image = structuredClone(system.kernel.exportDomain(s));
    system.kernel.remove(s);
    system.runAll();
    assert.deepEqual(system.values('c'), [0, 0, ERRNO.GONE]);
    // It goes on being called, here or elsewhere; of the call that was cut off nothing is left.
    const again = system.kernel.importDomain(image, await SERVER);
    system.kernel.start(system.add('d', await CLIENT), 'get');
    system.runAll();
    assert.deepEqual(system.values('d'), [41, 0]);
    assert.equal(system.kernel.core.peek(again)?.visits, 0);
  });

  test(`who cannot be told of an error traps, with the gate and the reason${label}`, async () => {
    const system = new GateSystem({ stress });
    system.add('s', await SERVER);
    const c = system.add('c', await DEAF);
    system.kernel.start(c, 'run');
    system.runAll();
    assert.deepEqual(system.values('c'), []);
    const { end, reason } = system.kernel.status(c);
    assert.deepEqual([end, reason], ['trap', 'call of s.fail: it ended in a trap or an exception']);
    assert.ok(system.kernel.trace(c).frames.some((frame) => frame.function === 'run'));
  });

  test(`what a call does is paid for by who made it${label}`, async () => {
    const system = new GateSystem({ stress });
    system.powers.cpuStep = 3;
    const s = system.add('s', await SERVER);
    const c = system.add('c', await CLIENT);
    system.kernel.start(c, 'get');
    system.runAll();
    assert.ok(system.kernel.status(c).cpuMicros > 0);
    assert.equal(system.kernel.status(s).cpuMicros, 0);
  });

  test(`a right that is taken away is missed at the next call${label}`, async () => {
    const system = new GateSystem({ stress });
    const s = system.add('s', await SERVER);
    const c = system.add('c', await CLIENT, { resident: true });
    system.kernel.invoke(c, 'get');
    system.revoked.add('c s');
    system.kernel.core.moveEpoch();
    system.kernel.invoke(c, 'get');
    system.revoked.clear();
    system.kernel.core.moveEpoch();
    system.kernel.invoke(c, 'get');
    assert.deepEqual(system.values('c'), [41, 0, 0, ERRNO.REVOKED, 42, 0]);
    assert.equal(system.kernel.status(s).state, 'created');
  });
}

test('a program is refused whose procedures are named wrongly, or whose imports have another type', async () => {
  const system = new GateSystem();
  const bad = async (text: string): Promise<unknown> => {
    const module = await program(text);
    try {
      system.add('x', module);
    } catch (error) {
      return (error as Error).message;
    }
    return 'it was taken';
  };
  const named = (name: string, type = ''): string => `(module (func (export "${name}") ${type} unreachable))`;
  assert.match(String(await bad(named('gate:'))), /"gate:": a procedure has a name/);
  assert.match(String(await bad(named('gate:f:v'))), /1 letters for 0 parameters/);
  assert.match(String(await bad(named('gate:f:x', '(param i32)'))), /v \(a value\) or c/);
  assert.match(String(await bad(named('gate:f:c', '(param i64)'))), /a capability is an i32/);
  assert.match(String(await bad(named('gate:f!often'))), /!nested or !concurrent/);
  assert.match(String(await bad(named('gate:f', '(param funcref)'))), /references do not cross/);
  assert.match(
    String(await bad('(module (func (export "gate:f")) (func (export "gate:f!nested")))')),
    /two procedures are named "f"/,
  );
  system.add('s', await SERVER);
  assert.match(
    String(await bad('(module (import "s" "get" (func (param i32))))')),
    /s\.get: the procedure has another type/,
  );
  assert.match(String(await bad('(module (import "s" "got" (func)))')), /s\.got: there is no such procedure/);
  assert.match(String(await bad('(module (import "t" "f" (func)))')), /nobody supplies: t\.f$/);
});

test('domains with a process of their own neither call nor are called', async () => {
  const system = new GateSystem({
    enclosures: { open: () => assert.fail('none is needed') } as never,
  });
  const text = '(module (func (export "gate:f")) (func (export "run")))';
  const s = system.add('s', loadAlone(await wat(text)));
  assert.throws(() => system.kernel.callProcedure(s, 'f'), {
    code: 'no-such-export',
    message: /process of its own/,
  });
  const caller = '(module (import "s" "f" (func)) (func (export "run") (call 0)))';
  const refused = { code: 'unknown-imports' } as const;
  const module = await program(caller);
  assert.throws(() => system.add('c', module), refused);
  const alone = loadAlone(await wat(caller));
  const said =
    /^the program wants what it cannot have in a process of its own: s\.f \(a procedure of another program\)$/;
  const hint = 'run it with --isolation space';
  assert.throws(() => system.add('e', alone), { ...refused, message: said, hint });
  assert.throws(() => system.add('e', alone, { trapUnknownImports: true }), { message: said });
});

test('what a program cannot have in a process of its own is told apart from what nobody supplies', async () => {
  const system = new GateSystem({
    enclosures: { open: () => assert.fail('none is needed') } as never,
  });
  const map = '(import "perdure_kernel" "seg_map" (func (param i32 i64 i64 i32 i32) (result i64)))';
  const own = '(import "perdure_kernel" "account_own" (func (result i32)))';
  const other = '(import "friend" "add" (func (param i32)))';
  const module = async (imports: string) => loadAlone(await wat(`(module ${imports} (func (export "run")))`));
  const mapping = await module(map + own + other);
  assert.throws(() => system.add('a', mapping), {
    code: 'unknown-imports',
    message: 'the program wants what it cannot have in a process of its own: perdure_kernel.seg_map',
    hint: 'run it with --isolation space',
  });
  const blocks = system.space.heap.blockCount; // with the table of domains
  const unknown = await module(own + other);
  assert.throws(() => system.add('a', unknown), {
    message: 'the program wants imports that nobody supplies: friend.add',
    hint: /procedures of another program, run it with --isolation space and --grant friend=NAME; --trap/,
  });
  assert.throws(() => system.add('a', mapping));
  assert.equal(system.space.heap.blockCount, blocks, 'nothing is left of what was refused');
  system.add('a', mapping, { trapUnknownImports: true });
  system.add('b', await module(own));
});

test('one procedure is granted alone, under its own name', async () => {
  const system = new GateSystem();
  const { kernel } = system;
  const s = system.add('s', await SERVER);
  const text = `(module (import "some" "thing" (func $get (result i32))) ${ENV} ${ERROR}
    (func (export "run") (call $log (call $get)) (call $log (call $error))))`;
  const module = await program(text);
  const c = system.add('c', module, { trapUnknownImports: true, resident: true });
  assert.equal(kernel.invoke(c, 'run').kind, 'trap');
  // The real names of grants, and not those of the tests.
  kernel.core.granted = (await import('./grants.ts')).grantedTo(kernel.core);
  kernel.grantGate(c, 'some.thing', s, 'get');
  assert.equal(kernel.invoke(c, 'run').kind, 'returned');
  assert.deepEqual(system.values('c'), [41, 0]);
  kernel.remove(s);
  assert.equal(kernel.invoke(c, 'run').kind, 'returned');
  assert.deepEqual(system.values('c').slice(2), [0, ERRNO.GONE]);
  assert.throws(() => kernel.grantGate(c, 'x', c, 'y'), { code: 'no-such-export' });
});

test('who comes to a limit while it is inside of another ends; the other is left as after a call', async () => {
  const deep = `(module ${ENV}
    (func $down (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (else (call $wait (i32.const 0)))))
    (func (export "gate:down") (param i32) (result i32) (local.set 0 (call $down (local.get 0))) (call $log (local.get 0)) (local.get 0)))`;
  const caller = `(module (import "s" "down" (func $down (param i32) (result i32))) ${ENV} (memory 1)
    (func (export "run") (param i32) (call $log (call $down (local.get 0)))))`;
  for (const [frames, memoryLimitBytes, end] of [
    [10, 65536, 'exit'],
    [10_000, 65536 + 1000, 'limit'],
    [10_000, 1 << 24, 'exit'],
  ] as const) {
    const system = new GateSystem();
    const s = system.add('s', await program(deep));
    const c = system.add('c', await program(caller), { memoryLimitBytes });
    system.kernel.start(c, 'run', [frames]);
    system.runAll();
    system.checkpoint();
    system.crash();
    system.personality.open = true;
    system.kernel.wake(s);
    system.runAll();
    assert.equal(system.kernel.status(c).end, end);
    assert.deepEqual(system.values('s'), [frames + 1], 'it is not disturbed');
    assert.equal(system.kernel.status(s).state, 'created');
    const blocks = system.space.heap.blockCount;
    system.kernel.remove(c);
    assert.ok(system.space.heap.blockCount <= blocks);
    assert.equal(system.kernel.core.activations.count, 0);
  }
});
