import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { GateSystem, program } from './gates.testing.ts';

const KERNEL = '(import "perdure_kernel" "gate_error" (func $error (result i32)))';
const ENV = `(import "env" "log" (func $log (param i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))`;

/** `ping` and `pong` call each other, so many times; by how the procedures are declared they may, or not. */
const pingPong = (other: string, how: string): string => `(module
  (import "${other}" "ping" (func $ping (param i32) (result i32))) ${KERNEL} ${ENV}
  (global $inside (mut i32) (i32.const 0))
  (func $go (export "gate:ping${how}") (param $n i32) (result i32) (local $r i32)
    (global.set $inside (i32.add (global.get $inside) (i32.const 1)))
    (if (local.get $n) (then
      (local.set $r (call $ping (i32.sub (local.get $n) (i32.const 1))))
      (if (call $error) (then (local.set $r (i32.sub (i32.const 0) (call $error)))))))
    (global.set $inside (i32.sub (global.get $inside) (i32.const 1)))
    (if (result i32) (i32.lt_s (local.get $r) (i32.const 0))
      (then (local.get $r))
      (else (i32.add (local.get $r) (i32.const 1)))))
  (func (export "run") (param i32) (call $log (call $go (local.get 0))))
  (func (export "main") (param i32)
    (drop (call $wait (i32.const 0))) (call $log (call $ping (local.get 0))) (call $log (call $error))))`;

/** Takes its time. */
const SLOW = program(`(module ${ENV}
  (func (export "gate:slow") (param i32) (result i32) (call $log (local.get 0)) (call $wait (local.get 0)))
  (func (export "gate:many!concurrent") (param i32) (result i32) (call $wait (local.get 0)))
  (func (export "gate:quick") (param i32) (result i32) (call $log (local.get 0)) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "main") (call $log (call $wait (i32.const 10)))))`);
const user = (
  name: string,
): string => `(module (import "s" "${name}" (func $call (param i32) (result i32))) ${KERNEL} ${ENV}
  (func (export "run") (param i32) (call $log (call $call (local.get 0))) (call $log (call $error))))`;

for (const stress of [false, true]) {
  const label = stress ? ', unwound at every safepoint' : '';

  test(`an activation enters a domain again only where that says so${label}`, async () => {
    for (const [how, want] of [
      ['', [-ERRNO.REENTERED]],
      ['!nested', [11]],
      ['!concurrent', [11]],
      ['!nested!depth=7', [-ERRNO.DEPTH]],
    ] as const) {
      const system = new GateSystem({ stress });
      system.add('b', await program(pingPong('a', how)), { trapUnknownImports: true });
      const a = system.add('a', await program(pingPong('b', how)));
      system.kernel.start(a, 'run', [10]);
      system.runAll();
      assert.deepEqual(system.values('a'), want, how);
      assert.equal(system.kernel.core.activations.count, 0);
    }
  });

  test(`calls nested deeper than may be are refused, and all else of the stack is whole${label}`, async () => {
    const system = new GateSystem({ stress });
    system.add('b', await program(pingPong('a', '!nested')), { trapUnknownImports: true });
    const a = system.add('a', await program(pingPong('b', '!nested')));
    system.kernel.start(a, 'run', [10_000]);
    system.runAll();
    assert.deepEqual(system.values('a'), [-ERRNO.DEPTH]);
  });

  test(`who calls a domain in which somebody is waits, in the order of coming, over a crash too${label}`, async () => {
    const system = new GateSystem({ stress });
    const s = system.add('s', await SLOW);
    const names = ['one', 'two', 'three'];
    for (const [i, name] of names.entries()) {
      system.kernel.start(system.add(name, await program(user(i === 1 ? 'quick' : 'slow'))), 'run', [i + 1]);
      system.runAll();
    }
    const states = (): string[] => names.map((name) => system.kernel.status(system.kernel.find(name)).state);
    assert.deepEqual(states(), ['blocked', 'blocked', 'blocked']);
    assert.deepEqual(system.values('two'), [], 'quick as it is, somebody is inside');
    system.checkpoint();
    system.crash();
    system.runAll();
    assert.deepEqual(states(), ['blocked', 'blocked', 'blocked']);
    system.personality.open = true;
    system.kernel.wake(s);
    system.runAll();
    assert.deepEqual(system.values('s'), [1, 2, 3]);
    const results = names.map((name) => system.values(name));
    assert.deepEqual(results, [
      [2, 0],
      [4, 0],
      [4, 0],
    ]);
  });

  test(`where many may be inside nobody waits for another, and each finds its own${label}`, async () => {
    const system = new GateSystem({ stress });
    const s = system.add('s', await SLOW);
    for (let i = 0; i < 5; i++)
      system.kernel.start(system.add(`u${i}`, await program(user('many'))), 'run', [i]);
    system.runAll();
    assert.equal(system.kernel.core.peek(s)?.visits, 5);
    system.checkpoint();
    system.crash();
    system.runAll();
    assert.equal(system.kernel.core.peek(s)?.visits, 5);
    system.personality.open = true;
    system.kernel.wake(s);
    system.runAll();
    for (let i = 0; i < 5; i++) assert.deepEqual(system.values(`u${i}`), [i + 1, 0]);
  });

  test(`two that would wait for each other are told, and one of them only${label}`, async () => {
    const system = new GateSystem({ stress });
    const b = system.add('b', await program(pingPong('a', '')), { trapUnknownImports: true });
    const a = system.add('a', await program(pingPong('b', '')));
    // Each is inside of itself when it calls the other.
    system.kernel.start(a, 'main', [0]);
    system.kernel.start(b, 'main', [0]);
    system.runAll();
    system.personality.open = true;
    system.kernel.wake(a);
    system.kernel.wake(b);
    system.runAll();
    const logs = [system.values('a'), system.values('b')];
    assert.ok(
      logs.some((log) => log[1] === ERRNO.DEADLK),
      JSON.stringify(logs),
    );
    assert.ok(logs.some((log) => log[0] === 1 && log[1] === 0));
    assert.ok(['exited', 'idle'].includes(system.kernel.status(a).state));
  });

  test(`a domain that still runs itself is waited for${label}`, async () => {
    const system = new GateSystem({ stress });
    const s = system.add('s', await SLOW);
    system.kernel.start(s, 'main');
    system.runAll();
    system.kernel.start(system.add('u', await program(user('quick'))), 'run', [4]);
    system.runAll();
    assert.deepEqual(system.values('u'), []);
    system.personality.open = true;
    system.kernel.wake(s);
    system.runAll();
    assert.deepEqual(system.values('u'), [8, 0]);
    assert.equal(system.kernel.status(s).state, 'idle', 'it lives on, for it can be called');
    system.checkpoint();
    system.crash();
    assert.equal(system.kernel.status(s).state, 'idle');
    system.kernel.start(system.add('v', await program(user('quick'))), 'run', [5]);
    system.runAll();
    assert.deepEqual(system.values('v'), [10, 0]);
  });

  test(`who waits at a door can be ended, and so can the domain behind it${label}`, async () => {
    for (const gone of ['one', 'two', 's']) {
      const system = new GateSystem({ stress });
      const s = system.add('s', await SLOW);
      for (const name of ['one', 'two', 'three']) {
        system.kernel.start(system.add(name, await program(user('slow'))), 'run', [7]);
        system.runAll();
      }
      system.kernel.remove(system.kernel.find(gone));
      system.personality.open = true;
      if (gone !== 's') system.kernel.wake(s);
      system.runAll();
      for (const name of ['one', 'two', 'three']) {
        const want = gone === name ? [] : gone === 's' ? [0, ERRNO.GONE] : [8, 0];
        assert.deepEqual(system.values(name), want, `${gone} ${name}`);
      }
      assert.equal(system.kernel.core.activations.count, 0);
    }
  });
}

test('a caller that has used up the native stack does not make the callee fault', async () => {
  const system = new GateSystem();
  system.add(
    's',
    await program(`(module
    (func $sum (export "gate:sum") (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (local.get 0) (call $sum (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0)))))`),
  );
  const c = system.add(
    'c',
    await program(`(module
    (import "s" "sum" (func $sum (param i32) (result i32))) ${KERNEL} ${ENV}
    (func $down (param i32 i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1)) (i32.const 1)))
        (else (call $sum (local.get 1)))))
    (func (export "run") (param i32 i32)
      (call $log (call $down (local.get 0) (local.get 1))) (call $log (call $error))))`),
    { resident: true },
  );
  let deep = 1000;
  for (; deep < 100_000; deep += 97) {
    const { kind } = system.kernel.invoke(c, 'run', [deep, 1000]);
    if (kind !== 'returned') break;
    assert.deepEqual(system.values('c').splice(-2), [deep + 500500, 0], String(deep));
    if (deep > 8000) deep += 500;
  }
  assert.ok(deep > 6000, `the caller itself may go so deep: ${deep}`);
});

test('a callee that uses up the native stack before it calls on does so once, and nobody stays inside', async () => {
  const system = new GateSystem();
  const resident = { resident: true };
  system.add(
    'c',
    await program(`(module (func (export "gate:nop") (param i32) (result i32) (local.get 0)))`),
    resident,
  );
  // Small frames, so that some call of c finds almost any number of bytes left.
  const b = system.add(
    'b',
    await program(`(module
    (import "c" "nop" (func $nop (param i32) (result i32)))
    (import "env" "log" (func $log (param i32)))
    (global $n (mut i32) (i32.const 0))
    (func $down (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (else (call $nop (i32.const 0)))))
    (func (export "gate:deep") (param i32) (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (call $log (global.get $n))
      (call $down (local.get 0))))`),
    resident,
  );
  const a = system.add(
    'a',
    await program(`(module
    (import "b" "deep" (func $deep (param i32) (result i32))) ${KERNEL}
    (import "env" "log" (func $log (param i32)))
    (func $pad (param i32 i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $pad (i32.sub (local.get 0) (i32.const 1)) (local.get 1)) (i32.const 0)))
        (else (call $deep (local.get 1)))))
    (func (export "run") (param i32 i32) (call $log (call $pad (local.get 0) (local.get 1))) (call $log (call $error))))`),
    resident,
  );
  let calls = 0;
  const run = (pad: number, deep: number): number => {
    system.kernel.start(a, 'run', [pad, deep]);
    system.runAll();
    const domain = system.kernel.core.peek(b);
    assert.deepEqual([domain?.visits, domain?.nativeFrames, domain?.open], [0, 0, true], `${pad} ${deep}`);
    assert.deepEqual(system.values('b'), [++calls], `it is called once: ${pad} ${deep}`);
    const [result, errno] = system.values('a').splice(-2) as [number, number];
    assert.equal(result, errno === 0 ? deep : 0);
    system.personality.logs.length = 0;
    return errno;
  };
  let [low, high] = [0, 1 << 20];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (run(0, middle) === 0) low = middle;
    else high = middle;
  }
  assert.ok(low > 1000, `so deep it may go: ${low}`);
  for (let pad = 0; pad < 4; pad++) for (let deep = low - 10; deep < low + 10; deep++) run(pad, deep);
});
