/** Code made at run time: what is refused, limited and given back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../abi/errno.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { makeModule } from '../compiler/index.ts';
import { wat } from '../wasm/wat.testing.ts';
import { TestSystem } from './kernel.testing.ts';
import type { MakeModule } from './loader.ts';
import { answer, ERROR, MEMORY, making, type Parts } from './made.testing.ts';
import type { LoadedModule } from './program.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);
const PLACE = { number: 1, stateStart: 8192, stateEnd: 16384, windows: false };
const RUN = '(func (export "run"))';

test('a module that cannot be made is refused with a number, and a text that says why', async () => {
  const refused: [what: RegExp, errno: number, module: string, parts?: Parts][] = [
    [/exports no function/, ERRNO.INVAL, '(module)'],
    [/memory of its own/, ERRNO.NOTSUP, `(module (memory 1) ${RUN})`],
    [/more than one memory/, ERRNO.NOTSUP, `(module ${MEMORY} (import "env" "m" (memory 1)) ${RUN})`],
    [
      /env.mem \(memory\); it may import env.memory/,
      ERRNO.INVAL,
      `(module (import "env" "mem" (memory 1)) ${RUN})`,
    ],
    [/2 pages, and the module wants 3/, ERRNO.INVAL, `(module (import "env" "memory" (memory 3)) ${RUN})`],
    [/can have 8 pages, not 7/, ERRNO.INVAL, `(module (import "env" "memory" (memory 1 7)) ${RUN})`],
    [/32-bit addresses/, ERRNO.INVAL, `(module (import "env" "memory" (memory i64 1)) ${RUN})`],
    [/not shared/, ERRNO.INVAL, `(module (import "env" "memory" (memory 1 8 shared)) ${RUN})`],
    [/start function/, ERRNO.NOTSUP, '(module (func $s (export "s")) (start $s))'],
    [/tag of its own/, ERRNO.NOTSUP, `(module (tag (param i32)) ${RUN})`],
    [/exnref/, ERRNO.NOTSUP, '(module (func (export "f") (result exnref) (ref.null exn)))'],
    [
      /env.nothing \(function\), which the program does not/,
      ERRNO.INVAL,
      `(module (import "env" "nothing" (func)) ${RUN})`,
    ],
    [/env.log \(function\), which/, ERRNO.INVAL, `(module (import "env" "log" (func (param i32))) ${RUN})`],
    [/wasi.x \(func\); it may/, ERRNO.INVAL, `(module (import "wasi" "x" (func)) ${RUN})`],
    [
      /the system's own/,
      ERRNO.NOTSUP,
      `(module (import "perdure" "space" (memory i64 1024 262144 shared)) ${RUN})`,
    ],
    [/perdure_compiler.compile/, ERRNO.INVAL, `(module (import "perdure_compiler" "compile" (func)) ${RUN})`],
    [/function does not match/, ERRNO.INVAL, `(module (import "env" "main" (func (result i32))) ${RUN})`],
    [/"number".*type/, ERRNO.INVAL, `(module (import "env" "number" (global i64)) ${RUN})`],
    [/mutab/, ERRNO.INVAL, `(module (import "env" "number" (global (mut i32))) ${RUN})`],
    [/table import/, ERRNO.INVAL, `(module (import "env" "table" (table 9 funcref)) ${RUN})`],
    [
      /segment of the module does not fit/,
      ERRNO.INVAL,
      `(module ${MEMORY} (data (i32.const 131071) "ab") ${RUN})`,
    ],
    [
      /segment/,
      ERRNO.INVAL,
      `(module (import "env" "table" (table $t 1 funcref)) (func $f)
       (elem (i32.const 1) $f) (elem (i32.const 2) $f $f) ${RUN})`,
    ],
    [
      /table 0 has 3 slots.*--growable-table/,
      ERRNO.NOMEM,
      `(module ${RUN})`,
      { table: '(table $t 3 3 funcref)' },
    ],
    [
      /more globals and segments/,
      ERRNO.NOTSUP,
      `(module ${'(global (mut i32) (i32.const 0))'.repeat(2049)} ${RUN})`,
    ],
    [
      /more than 64 results/,
      ERRNO.NOTSUP,
      `(module (func (export "f") (result ${'i32 '.repeat(65)}) unreachable))`,
    ],
  ];
  const more = '(global (export "number") i32 (i32.const 1))';
  for (const [what, errno, module, parts] of refused) {
    const [number, text] = await answer(module, { more, ...parts });
    assert.match(text, what, module);
    assert.equal(number, errno, text);
  }
});

test('the system’s own globals have no name by which a module could import them', async () => {
  for (const name of [
    'k:hdr',
    'k:limit0',
    'k:global0',
    'k:table0',
    'hdr',
    '',
    'g:number',
    '__proto__',
    'constructor',
  ]) {
    for (const type of ['(global (mut i64))', '(global i64)', '(func)', '(table 1 funcref)']) {
      const [errno, text] = await answer(`(module (import "env" "${name}" ${type}) ${RUN})`);
      assert.equal(errno, ERRNO.INVAL);
      assert.match(text, /does not export/);
    }
  }
});

test('bytes that are no module are refused with the place in them', async () => {
  const good = await wat(`(module ${MEMORY} (func (export "run") (result i32) (i32.const 1)))`);
  const [errno, text] = await answer(good.slice(0, -2));
  assert.equal(errno, ERRNO.INVAL);
  assert.match(text, /byte 0x/);
  assert.match((await answer(new Uint8Array(0)))[1], /./);
  const body = Buffer.from(good).indexOf(Uint8Array.of(0x41, 1, 0x0b));
  const mistyped = Uint8Array.from(good, (byte, i) => (i === body ? 0x42 : byte)); // an i64
  assert.match((await answer(mistyped))[1], /type.*byte 0x/);
});

test('a domain has so many modules and so much code, and it counts as its memory', async () => {
  const tiny = await wat(`(module ${RUN})`);
  const until = `(local.set $c (i32.const -1))
    (loop $again
      (local.set $c (i32.add (local.get $c) (i32.const 1)))
      (br_if $again (i32.ge_s (local.tee $a (call $make (i32.const 0))) (i32.const 0))))
    (call $log (local.get $c)) (call $log (local.get $a)) (call $text (i32.const ${ERROR}))`;
  const large = { table: '(table $t (export "table") 0 2000 funcref)' };
  const limit = async (made: LoadedModule, options: object): Promise<[unknown[], string]> => {
    const system = new TestSystem();
    const id = system.add('a', made, { compiler: true, ...options });
    system.kernel.start(id, 'main');
    system.runAll();
    assert.equal(system.kernel.status(id).end, 'exit', system.kernel.status(id).reason);
    return [system.values('a'), system.personality.texts[0] as string];
  };
  const [count, text] = await limit(await making([tiny], until, large), {});
  assert.deepEqual(count, [1024, -ERRNO.DQUOT]);
  assert.match(text, /1024 modules/);
  const [few, why] = await limit(await making([tiny], until, large), {
    memoryLimitBytes: 2 * 65536 + 10 * tiny.length,
  });
  assert.deepEqual(few, [10, -ERRNO.DQUOT]);
  assert.match(why, /memory limit/);
});

test('nothing is left of a domain that made code', async () => {
  const made = await making([await wat(`(module ${RUN})`)], '(call $log (call $make (i32.const 0)))');
  const system = new TestSystem();
  const first = system.add('z', made, { compiler: true });
  system.kernel.start(first, 'main');
  system.runAll();
  system.kernel.remove(first);
  const { blockCount, usedBytes } = system.space.heap;
  const id = system.add('a', made, { compiler: true });
  system.kernel.start(id, 'main');
  system.runAll();
  system.checkpoint();
  system.crash();
  system.kernel.remove(id);
  const { heap } = system.space;
  assert.deepEqual([heap.blockCount, heap.usedBytes], [blockCount, usedBytes]);
});

test('who was not granted the compiler does not begin, or traps when it calls it', async () => {
  const made = await making([await wat(`(module ${RUN})`)], '(drop (call $make (i32.const 0)))');
  const system = new TestSystem();
  assert.throws(() => system.add('a', made), { code: 'not-granted', hint: /--grant compiler/ });
  const id = system.add('a', made, { trapUnknownImports: true });
  system.kernel.start(id, 'main');
  system.runAll();
  assert.match(system.kernel.status(id).reason, /perdure_compiler.*not granted/);
  const without = new TestSystem({ compiler: undefined as never });
  assert.throws(() => without.add('a', made, { compiler: true }), { code: 'no-compiler' });
});

test('the same code for the same place is compiled once', async () => {
  let compiled = 0;
  const module = await wat(`(module ${RUN})`);
  const made = await making([module], '(drop (call $make (i32.const 0))) (call $pause)');
  const system = new TestSystem({
    compiler: (code, place) => {
      compiled++;
      return makeModule(code, place);
    },
  });
  for (const name of ['a', 'b', 'c']) {
    const id = system.add(name, made, { compiler: true });
    system.kernel.start(id, 'main');
  }
  system.runAll();
  assert.equal(compiled, 1);
});

test('what the compiler makes is believed nowhere', async () => {
  const module = `(module ${MEMORY} (global (mut i32) (i32.const 0)) (data "abc")
    (func (export "run") (param i32) (result i32) (i32.load (local.get 0))))`;
  const with_ = (compiler: MakeModule) => answer(module, {}, {}, compiler);
  const [elsewhere, text] = await with_((code, place) =>
    makeModule(code, { ...place, controlBytes: place.controlBytes + 65536 }),
  );
  assert.equal(elsewhere, ERRNO.INVAL);
  assert.match(text, /made for another program/);
  const [failed, why] = await with_(() => {
    throw new Error('a bug');
  });
  assert.equal(failed, ERRNO.NOTSUP);
  assert.match(why, /compiler fails on it: a bug/);
  // A program, not a module made at run time; and one that keeps its state where others do.
  assert.match(
    (await with_((code) => makeModule(code, { ...PLACE, controlBytes: 1 << 20 })))[1],
    /another program/,
  );
  assert.match(
    (
      await with_((code, place) => makeModule(code, { ...place, stateEnd: 65536, stateStart: 65536 - 32 }))
    )[1],
    /state where others have theirs/,
  );
  const random = new Prng(seed);
  const answers = new Set<number>();
  for (let i = 0; i < 60; i++) {
    const [errno] = await with_((code, place) => {
      const made = makeModule(code, place);
      const bytes = Uint8Array.from(made.rewritten);
      bytes[8 + random.below(bytes.length - 8)] = random.below(256);
      return { ...made, rewritten: bytes };
    });
    answers.add(Math.max(errno, 0)); // what was turned may be of no consequence
  }
  assert.ok(answers.has(ERRNO.INVAL));
});
