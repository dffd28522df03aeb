/** What is told of a program's call stack when it ends badly, however it came there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wat } from '../wasm/wat.testing.ts';
import { LocalEnclosures } from './enforced.testing.ts';
import { loadAlone, program, TestSystem } from './kernel.testing.ts';
import type { LoadedModule } from './program.ts';
import { type Code, decodeTrace, Ends, NO_TRACE, retold, type Trace } from './trace.ts';

const TEXT = `(module
  (import "env" "pause" (func $pause))
  (import "env" "exit" (func $exit (param i32)))
  (import "env" "missing" (func $missing))
  (tag $t (param i32))
  (memory 1)
  (func $leaf (param $how i32)
    (if (i32.eq (local.get $how) (i32.const 0)) (then (drop (i32.load (i32.const -1)))))
    (if (i32.eq (local.get $how) (i32.const 1)) (then (memory.fill (i32.const -9) (i32.const 0) (i32.const 99))))
    (if (i32.eq (local.get $how) (i32.const 2)) (then (call $missing)))
    (if (i32.eq (local.get $how) (i32.const 3)) (then (throw $t (i32.const 5))))
    (if (i32.eq (local.get $how) (i32.const 4)) (then (loop $l (br $l)))))
  (func $down (param $how i32) (param $depth i32) (result i32)
    (if (i32.eqz (local.get $depth)) (then (call $leaf (local.get $how)) (return (i32.const 1))))
    (if (i32.eq (local.get $depth) (i32.const 3)) (then (call $pause)))
    (i32.add (call $down (local.get $how) (i32.sub (local.get $depth) (i32.const 1))) (i32.const 1)))
  (func $outer (param $how i32) (param $depth i32)
    (call $pause)
    (drop (call $down (local.get $how) (local.get $depth))))
  (func (export "run") (param $how i32) (param $depth i32)
    (call $outer (local.get $how) (local.get $depth))))`;
const module = program(TEXT);

interface Ended {
  readonly reason: string;
  readonly trace: Trace;
}

/** Runs until it has ended, a few times through a crash on the way. */
async function endOf(how: number, depth: number, options: object = {}, crashes = false): Promise<Ended> {
  const system = new TestSystem(options);
  const cpuLimitMs = how === 4 ? 1 : 0;
  system.powers.cpuStep = how === 4 ? 300 : 0;
  const id = system.add('a', await module, { trapUnknownImports: true, cpuLimitMs });
  system.kernel.start(id, 'run', [how, depth]);
  for (let i = 0; i < 1e6 && system.kernel.status(id).state !== 'exited'; i++) {
    system.kernel.run({ maxSlices: 1 });
    if (crashes && i < 9) {
      system.checkpoint();
      system.crash();
    }
  }
  system.checkpoint();
  system.crash();
  return { reason: system.kernel.status(id).reason, trace: system.kernel.trace(id) };
}

const names = ({ trace }: Ended): string[] => trace.frames.map((frame) => frame.function);
const DOWN = ['leaf', 'down', 'down', 'down', 'down', 'down', 'down', 'outer', 'run'];

test('a trap tells the same call stack, whether the program was suspended on its way there or not', async () => {
  const [plain, stress, crashed] = [
    await endOf(0, 5),
    await endOf(0, 5, { stress: true }),
    await endOf(0, 5, {}, true),
  ];
  assert.equal(plain.reason, 'out of bounds memory access');
  assert.deepEqual(names(plain), DOWN);
  assert.ok(plain.trace.frames.every((frame) => frame.offset > 0));
  assert.deepEqual(stress, plain);
  assert.deepEqual(crashed, plain);
});

test('a trap inside a system function is told at its caller; one inside an imported function begins there', async () => {
  for (const options of [{}, { stress: true }]) {
    const fill = await endOf(1, 5, options);
    assert.equal(fill.reason, 'out of bounds memory access');
    assert.deepEqual(names(fill), DOWN);
    const missing = await endOf(2, 5, options);
    assert.equal(missing.reason, 'unknown import env.missing');
    assert.deepEqual(names(missing), ['missing', ...DOWN]);
    assert.equal(missing.trace.frames[0]!.offset, 0);
    assert.ok(missing.trace.frames[1]!.offset > 0);
  }
});

test('a program in a process of its own tells the same, in words of this process', async () => {
  const bytes = await wat(TEXT);
  for (const how of [0, 1, 2]) {
    const enclosures = new LocalEnclosures();
    const system = new TestSystem({ enclosures });
    const id = system.add('a', loadAlone(bytes), { trapUnknownImports: true });
    system.kernel.start(id, 'run', [how, 5]);
    while (system.kernel.status(id).state !== 'exited') {
      system.kernel.run();
      for (const due of enclosures.due) system.kernel.wake(due);
    }
    const plain = await endOf(how, 5);
    assert.equal(system.kernel.status(id).reason, plain.reason);
    assert.deepEqual(system.kernel.trace(id), plain.trace);
  }
});

const codeOf = (program: LoadedModule): Code => ({ module: program, infos: () => program.info });

test('what another process tells of a stack is taken for places, or not at all', async () => {
  const { info } = await module;
  const frames = [
    { functionIndex: 4, offset: 9, function: 'lie' },
    { functionIndex: 1e9, offset: 1 },
    null,
    7,
  ];
  const told = retold(codeOf(await module), JSON.stringify({ frames, omitted: 3, omittedAt: 1 }));
  assert.deepEqual(told, {
    frames: [{ functionIndex: 4, function: info.functionName(4), offset: 9 }],
    omitted: 3,
    omittedAt: 1,
  });
  for (const text of ['', '{', 'null', '[]', '{"frames":5}'])
    assert.deepEqual(retold(codeOf(await module), text), NO_TRACE);
});

test('a deep stack loses its middle, and the count of what is left out is exact', async () => {
  for (const options of [{}, { stress: true }]) {
    const { trace } = await endOf(0, 2500, options);
    assert.equal(trace.frames.length, 64);
    assert.equal(trace.omitted, 2504 - 64);
    assert.equal(trace.omittedAt, 32);
    assert.deepEqual([trace.frames[0]!.function, trace.frames[63]!.function], ['leaf', 'run']);
  }
});

test('an exhausted call stack is told from both ends, the native one as the saved one', async () => {
  const native = await endOf(0, 1e9);
  assert.equal(native.reason, 'call stack exhausted');
  assert.equal(names(native)[0], 'down');
  assert.equal(names(native).at(-1), 'run');
  const frameStackBytes = 128 << 10;
  const saved = await endOf(0, 1e9, { stress: true, frameStackBytes });
  assert.equal(saved.reason, 'call stack exhausted');
  assert.equal(names(saved)[0], 'down');
  assert.deepEqual(names(saved).slice(-2), ['outer', 'run']);
  assert.ok(saved.trace.omitted > 1000);
  // Deep on the native stack first, then unwound all at once into too little room.
  const system = new TestSystem({ frameStackBytes });
  const text = TEXT.replace('(i32.const 3)) (then (call $pause', '(i32.const -6000)) (then (call $pause');
  const id = system.add('a', await program(text), { trapUnknownImports: true });
  system.kernel.start(id, 'run', [0, -1]);
  system.runAll();
  const trace = system.kernel.trace(id);
  assert.equal(system.kernel.status(id).reason, 'call stack exhausted');
  assert.deepEqual(
    trace.frames.slice(-2).map((frame) => frame.function),
    ['outer', 'run'],
  );
  assert.ok(trace.omitted > 5000 && trace.omitted < 6100, String(trace.omitted));
});

test('an uncaught exception tells the functions it left', async () => {
  const { reason, trace } = await endOf(3, 5, { stress: true });
  assert.equal(reason, 'uncaught exception');
  assert.deepEqual(
    trace.frames.map((frame) => frame.function),
    DOWN,
  );
  assert.ok(trace.frames.slice(1).every((frame) => frame.offset > 0));
});

test('a program at the end of its processor time tells where it was', async () => {
  const ended = await endOf(4, 1, { stress: true });
  assert.equal(ended.reason, 'cpu limit');
  assert.deepEqual(names(ended), ['leaf', 'down', 'down', 'outer', 'run']);
});

test('call stacks that older versions kept as text are read', () => {
  const { frames } = decodeTrace('at main (byte 0x2f4)\nat env.f\n…');
  assert.deepEqual(
    frames.map((frame) => [frame.function, frame.offset]),
    [
      ['main', 0x2f4],
      ['env.f', 0],
      ['…', 0],
    ],
  );
});

test('the ends of a sequence are the same whether it comes in one or in parts', () => {
  const whole = new Ends<number>(4);
  const parts = new Ends<number>(4);
  for (let at = 0, size = 1; at < 100; at += size, size += 3) {
    const part = new Ends<number>(4);
    for (let i = at; i < Math.min(100, at + size); i++) part.push(i);
    parts.append(part.reversed().reversed());
  }
  for (let i = 0; i < 100; i++) whole.push(i);
  for (const ends of [whole, parts]) {
    assert.deepEqual([ends.first, ends.last, ends.omitted], [[0, 1, 2, 3], [96, 97, 98, 99], 92]);
  }
});
