import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RawValue } from './frames.ts';
import { program, TestSystem } from './kernel.testing.ts';
import { type Argument, toNumber } from './values.ts';

const BOTH = [false, true];
const label = (stress: boolean): string => (stress ? ', unwound at every safepoint' : '');

const DEEP = `(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "log64" (func $log64 (param i64)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "sleep" (func $sleep (param i64)))
  (import "env" "now" (func $now (result i64)))
  (import "env" "exit" (func $exit (param i32)))
  (tag $t (param i32))
  (func $dive (param $n i32) (param $x i64) (result i64)
    (if (result i64) (local.get $n)
      (then (i64.add (i64.extend_i32_u (local.get $n)) (call $dive (i32.sub (local.get $n) (i32.const 1)) (i64.mul (local.get $x) (i64.const 3)))))
      (else (i64.add (i64.extend_i32_u (call $wait (i32.const 5))) (local.get $x)))))
  (func (export "deep") (param i32) (call $log64 (call $dive (local.get 0) (i64.const 1))))
  (func (export "sleepy")
    (call $log (i32.const 1)) (call $sleep (i64.const 1000)) (call $log (i32.const 2)) (call $sleep (i64.const 500)) (call $log (i32.const 3)))
  (func (export "quit") (call $quit (i32.const 20)))
  (func $quit (param i32)
    (block $caught
      (try_table (catch_all $caught)
        (if (local.get 0) (then (call $quit (i32.sub (local.get 0) (i32.const 1)))) (else (call $exit (i32.const 42))))
        (return)))
    (call $log (i32.const 666)))
  (func $thrower (param $n i32)
    (if (local.get $n) (then (call $thrower (i32.sub (local.get $n) (i32.const 1))))
      (else (drop (call $wait (i32.const 1))) (throw $t (i32.const 77)))))
  (func (export "catch")
    (block $h (result i32)
      (try_table (catch $t $h) (call $thrower (i32.const 5)))
      (i32.const 0))
    (call $log))
  (func (export "uncaught") (call $thrower (i32.const 3)))
  (func $forever (param i32) (result i32) (i32.add (call $forever (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func (export "forever") (drop (call $forever (i32.const 0))))
  (func (export "time") (call $log64 (call $now)))
  (func (export "spin") (loop $l (br $l)))
)`;
const module = program(DEEP);

for (const stress of BOTH) {
  test(`a program that waits deep in its calls goes on when woken, also in another process${label(stress)}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await module);
    system.kernel.start(id, 'deep', [200]);
    system.runAll();
    assert.equal(system.kernel.status(id).state, 'blocked');
    const want = BigInt.asIntN(64, (200n * 201n) / 2n + 6n + 3n ** 200n);
    system.checkpoint();
    system.crash();
    system.runAll();
    assert.equal(
      system.kernel.status(id).state,
      'blocked',
      'a call that has to wait is made again, and waits again',
    );
    const { frames, omitted } = system.kernel.inspect(id);
    assert.equal(frames.length + omitted, 203);
    assert.equal(frames[0]?.function, 'wait');
    assert.deepEqual(frames[0]?.locals[0], { index: 0, type: 'i32', value: '5' });
    assert.equal(frames[1]?.function, 'dive');
    assert.equal(frames[1]?.locals[1]?.name, 'x');
    assert.equal(frames[1]?.locals[1]?.value, String(BigInt.asIntN(64, 3n ** 200n)));
    assert.equal(frames[2]?.calling, true);
    assert.equal(frames.at(-1)?.function, 'deep');
    system.personality.open = true;
    system.kernel.wake(id);
    system.runAll();
    assert.deepEqual(system.values('a'), [want]);
    assert.equal(system.kernel.status(id).end, 'exit');
  });

  test(`sleepers wake at their deadlines, which go on over a restart${label(stress)}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await module);
    system.kernel.start(id, 'sleepy');
    let result = system.kernel.run();
    while (!result.idle) result = system.kernel.run();
    assert.deepEqual(system.values('a'), [1]);
    assert.equal(result.nextDeadline, system.kernel.now() + 1000n);
    system.powers.ns += 400n;
    assert.equal(system.kernel.run().idle, true);
    assert.deepEqual(system.values('a'), [1]);
    system.checkpoint();
    system.crash();
    system.runAll();
    assert.equal(system.kernel.run().nextDeadline, system.kernel.now() + 600n, 'the time that passed counts');
    system.powers.ns += 599n;
    system.runAll();
    assert.deepEqual(system.values('a'), [1]);
    system.powers.ns += 1n;
    system.runAll();
    assert.deepEqual(system.values('a'), [1, 2], 'the scratch words of a call are zero for the next');
    system.powers.ns += 500n;
    system.runAll();
    assert.deepEqual(system.values('a'), [1, 2, 3]);
  });

  test(`an exit passes all handlers of the program${label(stress)}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await module);
    system.kernel.start(id, 'quit');
    system.runAll();
    assert.deepEqual(system.values('a'), []);
    const { end, exitCode } = system.kernel.status(id);
    assert.deepEqual({ end, exitCode }, { end: 'exit', exitCode: 42 });
  });

  test(`an exception thrown in a resumed function reaches its handler${label(stress)}`, async () => {
    const system = new TestSystem({ stress });
    const id = system.add('a', await module);
    system.kernel.start(id, 'catch');
    system.runAll();
    system.checkpoint();
    system.crash();
    system.personality.open = true;
    system.kernel.wake(id);
    system.runAll();
    assert.deepEqual(system.values('a'), [77]);
  });

  test(`an exception nobody catches ends the program${label(stress)}`, async () => {
    const system = new TestSystem({ stress });
    system.personality.open = true;
    const id = system.add('a', await module);
    system.kernel.start(id, 'uncaught');
    system.runAll();
    assert.equal(system.kernel.status(id).end, 'exception');
  });
}

test("endless recursion ends in wasm's trap, and the domain can be called again", async () => {
  const system = new TestSystem();
  const id = system.add('a', await module, { resident: true });
  const outcome = system.kernel.invoke(id, 'forever');
  assert.equal(outcome.kind, 'trap');
  assert.equal(outcome.kind === 'trap' && outcome.reason, 'call stack exhausted');
  assert.equal(outcome.kind === 'trap' && outcome.trace.frames[0]?.function, 'forever');
  assert.equal(system.kernel.invoke(id, 'time').kind, 'returned');
});

test('a wake that comes while the call still runs is not lost', async () => {
  const system = new TestSystem();
  let calls = 0;
  system.personality.calls.wait = (caller, value: number): number => {
    if (calls++ === 0) {
      system.kernel.wake(caller.domainId);
      caller.block();
    }
    return value;
  };
  const id = system.add('a', await module);
  system.kernel.start(id, 'deep', [3]);
  system.runAll();
  assert.equal(calls, 2);
  assert.equal(system.kernel.status(id).end, 'exit');
});

test('a bug of ours in a system call is not hidden by the program', async () => {
  const system = new TestSystem();
  const text = `(module (import "env" "fail" (func $fail))
    (func (export "_start") (block $h (try_table (catch_all $h) (call $fail)))))`;
  const id = system.add('a', await program(text));
  system.kernel.start(id, '_start');
  assert.throws(() => system.kernel.run(), /a bug of ours/);
  assert.equal(system.kernel.core.current, null);
});

test('a system call finds native stack, however deep its caller is', async () => {
  const measure = (n: number): number => {
    try {
      return measure(n + 1);
    } catch {
      return n;
    }
  };
  const whole = measure(0);
  let least = whole;
  const system = new TestSystem();
  // Measuring at every depth would take long: only where little is left.
  system.personality.calls.log = (_caller, depth: number) => {
    if (depth > 2000) least = Math.min(least, measure(0));
  };
  const text = `(module (import "env" "log" (func $log (param i32)))
    (func $down (param i32) (result i32)
      (call $log (local.get 0)) (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
    (func (export "_start") (drop (call $down (i32.const 0)))))`;
  const id = system.add('a', await program(text));
  system.kernel.start(id, '_start');
  system.runAll();
  assert.equal(system.kernel.status(id).reason, 'call stack exhausted');
  assert.ok(least < whole && least > whole / 40, `${least} of ${whole} levels were left`);
});

test('the start function runs once, before what is called first', async () => {
  const text = `(module (import "env" "log" (func $log (param i32)))
    (func $s (call $log (i32.const 1))) (start $s)
    (func (export "f") (param i32) (call $log (local.get 0))))`;
  const system = new TestSystem();
  const id = system.add('a', await program(text), { resident: true });
  system.kernel.invoke(id, 'f', [2]);
  system.kernel.invoke(id, 'f', [3]);
  assert.deepEqual(system.values('a'), [1, 2, 3]);
});

test('references go in and come out of calls', async () => {
  const text = `(module (import "env" "pause" (func $pause)) (table 1 funcref)
    (func $f (result i32) (i32.const 5)) (elem declare func $f)
    (func (export "same") (param externref) (result externref) (local.get 0))
    (func $take (param externref) (result externref) (call $pause) (local.get 0))
    (func (export "later") (param externref) (result i32) (ref.is_null (call $take (local.get 0))))
    (func (export "function") (result funcref) (ref.func $f))
    (func (export "called") (param funcref) (result i32) (table.set (i32.const 0) (local.get 0)) (call $pause)
      (call_indirect (result i32) (i32.const 0))))`;
  const loaded = await program(text);
  for (const stress of BOTH) {
    const system = new TestSystem({ stress });
    const { kernel } = system;
    const [v, p] = [
      system.add('v', loaded, { resident: true, volatile: true }),
      system.add('p', loaded, { resident: true }),
    ];
    const call = (id: number, name: string, ...args: Argument[]): RawValue => {
      const outcome = kernel.invoke(id, name, args);
      assert.ok(outcome.kind === 'returned');
      return outcome.results[0] as RawValue;
    };
    const thing = { a: 'thing' };
    const raw = kernel.toReference(v, 0x6f, thing) as RawValue;
    assert.equal(kernel.toReference(p, 0x6f, thing), null, 'a domain that persists takes none of ours');
    assert.equal(call(v, 'later', raw).low, 0n);
    assert.equal(call(p, 'later', null).low, 1n);
    assert.equal(kernel.fromReference(v, call(v, 'same', raw)), thing);
    assert.equal(kernel.fromReference(p, call(p, 'same', null)), null);
    const f = call(p, 'function');
    assert.equal(typeof kernel.fromReference(p, f), 'function');
    assert.equal(call(p, 'called', f).low, 5n);
  }
});

test('a local of reference type begins as null, however its function is entered', async () => {
  const text = `(module (import "env" "pause" (func $pause)) (func $f) (elem declare func $f)
    (func (export "f") (result f64) (local funcref externref)
      (call $pause)
      (f64.convert_i32_u (i32.add (ref.is_null (local.get 0)) (ref.is_null (local.get 1))))))`;
  for (const stress of BOTH) {
    const system = new TestSystem({ stress });
    const id = system.add('a', await program(text), { resident: true, volatile: true });
    const outcome = system.kernel.invoke(id, 'f');
    assert.ok(outcome.kind === 'returned');
    assert.equal(toNumber(outcome.results[0] as RawValue), 2);
  }
});

test('a trap keeps its kind when other continuations were made since', async () => {
  const text = `(module (memory 1)
    (func (export "f") (param i32) (result f64) (loop $l (br_if $l (i32.const 0))) (drop (i32.load offset=65536 (local.get 0))) (f64.const 1))
    (func (export "g") (param f32) (result ${'i64 '.repeat(60)})
      (loop $l (br_if $l (i32.const 0))) ${'(i64.const 2)'.repeat(60)}))`;
  for (const stress of BOTH) {
    const system = new TestSystem({ stress });
    const id = system.add('a', await program(text), { resident: true, volatile: true });
    for (const name of ['f', 'g', 'f']) {
      const outcome = system.kernel.invoke(id, name, [1]);
      if (name === 'f')
        assert.ok(outcome.kind === 'trap' && outcome.reason === 'out of bounds memory access');
    }
  }
});

test('a vector that is passed to the host traps by that name', async () => {
  const text = `(module (import "env" "log" (func $log (param v128)))
    (func (export "f") (param i32) (result i32)
      (if (local.get 0) (then (call $log (v128.const i64x2 1 2)))) (i32.const 7)))`;
  for (const stress of BOTH) {
    const system = new TestSystem({ stress });
    const id = system.add('a', await program(text), { resident: true, volatile: true });
    const outcome = system.kernel.invoke(id, 'f', [1]);
    assert.ok(outcome.kind === 'trap');
    assert.equal(outcome.reason, 'a value that cannot pass to the host');
    assert.equal(system.kernel.invoke(id, 'f', [0]).kind, 'returned');
  }
});

test('a start function is found also where nobody exports it and it calls nothing', async () => {
  const text = `(module (global $g (mut i32) (i32.const 1)) (func $s (global.set $g (i32.const 7))) (start $s)
    (func (export "g") (result i32) (global.get $g)))`;
  const system = new TestSystem();
  const id = system.add('a', await program(text), { resident: true });
  const outcome = system.kernel.invoke(id, 'g');
  assert.equal(outcome.kind === 'returned' && outcome.results[0]?.low, 7n);
});

for (const stress of BOTH) {
  test(`memory.atomic.wait waits for its time, also over a restart${label(stress)}`, async () => {
    const text = `(module (import "env" "log" (func $log (param i32))) (memory 1 1 shared)
      (func (export "_start")
        (call $log (memory.atomic.wait32 (i32.const 8) (i32.const 5) (i64.const -1)))
        (call $log (memory.atomic.wait64 offset=8 (i32.const 8) (i64.const 0) (i64.const 1000)))
        (call $log (memory.atomic.notify (i32.const 8) (i32.const 1)))
        (call $log (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const 0)))
        (drop (memory.atomic.wait32 (i32.const 10) (i32.const 0) (i64.const 0)))))`;
    const system = new TestSystem({ stress });
    const id = system.add('a', await program(text));
    system.kernel.start(id, '_start');
    system.runAll();
    assert.deepEqual(system.values('a'), [1]);
    system.powers.ns += 999n;
    system.kernel.wake(id);
    system.checkpoint();
    system.crash();
    system.runAll();
    assert.deepEqual(system.values('a'), [1], 'a wake is not a notification');
    system.powers.ns += 1n;
    system.runAll();
    assert.deepEqual(system.values('a'), [1, 2, 0, 2]);
    assert.equal(system.kernel.status(id).reason, 'unaligned atomic');
  });
}

test('memory.atomic.wait traps where it must', async () => {
  const text = `(module (memory 1) (memory $s 1 1 shared)
    (func (export "unshared") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0))))
    (func (export "outside") (drop (memory.atomic.wait64 $s (i32.const 65532) (i64.const 0) (i64.const 0))))
    (func (export "notify") (result i32) (memory.atomic.notify (i32.const 65532) (i32.const 1)))
    (func (export "far") (result i32) (memory.atomic.notify offset=4294967295 (i32.const -4) (i32.const 1))))`;
  const system = new TestSystem();
  const id = system.add('a', await program(text), { resident: true });
  const call = (name: string): string => {
    const outcome = system.kernel.invoke(id, name);
    return outcome.kind === 'trap' ? outcome.reason : outcome.kind;
  };
  assert.equal(call('unshared'), 'expected shared memory');
  assert.equal(call('outside'), 'out of bounds memory access');
  assert.equal(call('notify'), 'returned');
  assert.equal(call('far'), 'out of bounds memory access');
});
