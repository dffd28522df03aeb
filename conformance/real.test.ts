/**
 * Real programs in real spaces, beyond what the kill test shows: programs in the middle of deep recursion carried to
 * other spaces, where they lie at another base; call stacks that run out; what SQLite and flite say.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import wabtReady from 'wabt';
import { canBuild, guest, WAT_FEATURES } from '../guests/build.ts';
import { PAGE_BYTES } from '../src/base/limits.ts';
import { Tool } from '../src/cli/cli.testing.ts';
import { openSpaceStore } from '../src/cli/spacestore.ts';
import { type Domain, Space } from '../src/index.ts';
import { OWNER, Space as Pages } from '../src/space/index.ts';
import { runPlain, unavailable } from './kill-programs.ts';

/** Frames of the program below: each keeps locals of every type and an operand while the next one runs. */
const DEPTH = 10_000;
const PROBE = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (table 2 funcref) (elem (i32.const 0) $down $bottom)
  (type $level (func (param i32 i64 f64) (result i64)))
  (data (i32.const 64) "bottom\\n0123456789abcdef")
  (func $say (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $length))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $sayNumber (param $x i64) (local $i i32)
    (loop $l
      (i32.store8 (i32.add (i32.const 128) (local.get $i))
        (i32.load8_u (i32.add (i32.const 71) (i32.wrap_i64 (i64.and (local.get $x) (i64.const 15))))))
      (local.set $x (i64.shr_u (local.get $x) (i64.const 4)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
    (i32.store8 (i32.const 144) (i32.const 10))
    (call $say (i32.const 128) (i32.const 17)))
  (func $bottom (type $level)
    (call $say (i32.const 64) (i32.const 7))
    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i64.load8_u (i32.const 16)))
  (func $down (type $level) (local $v v128) (local $g f32)
    (local.set $v (i64x2.add (i64x2.splat (local.get 1)) (v128.const i64x2 3 5)))
    (local.set $g (f32.convert_i32_u (local.get 0)))
    (i64.store (i32.add (i32.const 4096) (i32.shl (local.get 0) (i32.const 3))) (local.get 1))
    (i64.rotl (local.get 1) (i64.const 7))
    (call_indirect (type $level)
      (i32.sub (local.get 0) (i32.const 1))
      (i64.add (i64.mul (local.get 1) (i64.const 6364136223846793005)) (i64.const 1442695040888963407))
      (f64.add (f64.mul (local.get 2) (f64.const 1.0001)) (f64.const 1))
      (i32.eq (local.get 0) (i32.const 1)))
    (i64.add (i64.mul (i64.const 31)))
    (i64.xor (i64x2.extract_lane 1 (local.get $v)))
    (i64.xor (i64.reinterpret_f64 (local.get 2)))
    (i64.add (i64.extend_i32_u (i32.reinterpret_f32 (local.get $g))))
    (i64.xor (i64.load (i32.add (i32.const 4096) (i32.shl (local.get 0) (i32.const 3)))))
    (if (i32.eqz (i32.rem_u (local.get 0) (i32.const 1000))) (then (call $sayNumber (i64.load (i32.const 4096)))))
    (i64.store (i32.const 4096) (i64.add (i64.load (i32.const 4096)) (i64.load8_u (i32.const 16)))))
  (func (export "_start")
    (call $sayNumber (call $down (i32.const ${DEPTH}) (i64.const 1) (f64.const 0.5)))))`;

let probe: Buffer;
before(async () => {
  const wabt = await wabtReady();
  const module = wabt.parseWat('probe', PROBE, WAT_FEATURES);
  probe = Buffer.from(module.toBinary({ write_debug_names: true }).buffer);
  module.destroy();
});

/** The probe as a file, and what it says on plain V8 when it is given an x. */
async function probeFile(tool: Tool): Promise<{ program: string; whole: string }> {
  const [program, input] = [join(tool.folder, 'probe.wasm'), join(tool.folder, 'x')];
  writeFileSync(program, probe);
  writeFileSync(input, 'x');
  const { output } = await runPlain(program, [], join(tool.folder, 'plain'), input);
  return { program, whole: output.toString() };
}

/** The frames of the space in which a program's memory and stack lie, by the last checkpoint. */
async function framesOf(folder: string, name: string): Promise<number[]> {
  const store = await openSpaceStore(folder, { create: false, readOnly: true });
  try {
    const pages = Pages.load(
      store.chunks.flatMap(({ pages: numbers, data }) =>
        [...numbers].map((page, i) => ({ page, bytes: data.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES) })),
      ),
    );
    const domain = store.meta?.domains.find((one) => one.name === name);
    return pages.frames.ownedBy(OWNER.domain | domain!.id);
  } finally {
    await store.close();
  }
}

function collector() {
  let text = '';
  let look = () => {};
  return {
    take: (bytes: Uint8Array) => {
      text += Buffer.from(bytes).toString();
      look();
    },
    saw: (pattern: RegExp) =>
      new Promise<void>((resolve) => {
        look = () => {
          if (pattern.test(text)) resolve();
        };
        look();
      }),
    get text() {
      return text;
    },
  };
}

test(`${DEPTH} frames, killed, resumed in another process, killed, and unwound there`, async (t) => {
  const tool = new Tool(t);
  const { program, whole } = await probeFile(tool);
  const first = tool.start(['run', '--name', 'probe', program]);
  await first.saw(/bottom\n/);
  first.child.kill('SIGKILL');
  const before = (await first.ended).stdout;
  assert.equal(before, 'bottom\n');
  const page = JSON.parse((await tool.run('inspect', 'probe', '--json')).stdout);
  assert(page.stack.length + page.omitted > DEPTH, `${page.stack.length} + ${page.omitted} frames`);
  const again = tool.start(['up']);
  await again.saw(/going on with probe/, 'stderr');
  again.child.kill('SIGKILL');
  const middle = (await again.ended).stdout;
  const last = await tool.start(['attach', 'probe'], { input: 'x' }).ended;
  assert.equal(last.code, 0, last.stderr);
  // A pipe: what left just before the first kill may come again after it.
  assert.ok(['', 'bottom\n'].includes(middle));
  assert.equal(`bottom\n${last.stdout.replace(/^bottom\n/, '')}`, whole);
});

test(`${DEPTH} frames deep, exported, and gone on with in a fresh process at another base`, async (t) => {
  const tool = new Tool(t);
  const { program, whole } = await probeFile(tool);
  const first = tool.start(['run', '--name', 'probe', program]);
  await first.saw(/bottom\n/);
  first.child.kill('SIGINT');
  const before = await first.ended;
  assert.equal(before.code, 130, before.stderr);
  const exported = await tool.run('export', 'probe', 'probe.perdure');
  assert.equal(exported.code, 0, exported.stderr);

  // In the other space other programs, as large, lie first.
  const there = `${tool.space}-2`;
  {
    await using space = await Space.open(there);
    for (const name of ['a', 'b']) {
      const out = collector();
      await space.spawn(probe, { name, stdout: out.take });
      await out.saw(/bottom\n/);
    }
  }
  const imported = await tool.run('import', '--space', there, '--name', 'moved', 'probe.perdure');
  assert.equal(imported.code, 0, imported.stderr);
  const [here, beyond] = [await framesOf(tool.space, 'probe'), await framesOf(there, 'moved')];
  assert(here.length > 0 && beyond.length >= 3);
  assert.notEqual(beyond[0], here[0], 'it lies at another base');
  const after = await tool.start(['attach', '--space', there, 'moved'], { input: 'x' }).ended;
  assert.equal(after.code, 0, after.stderr);
  assert.equal(before.stdout + after.stdout, whole);

  // The one that lies lower goes; a neighbour, resumed after that, ends as well as any.
  assert.equal((await tool.run('rm', '--space', there, '--force', 'a')).code, 0);
  const neighbour = await tool.start(['attach', '--space', there, 'b'], { input: 'x' }).ended;
  assert.equal(neighbour.code, 0, neighbour.stderr);
  assert.equal(`bottom\n${neighbour.stdout.replace(/^bottom\n/, '')}`, whole);
});

/** Suspends a program when its call stack is as wanted; the depth then, or undefined where it has ended before. */
async function suspendWhen(domain: Domain, wanted: (depth: number) => boolean): Promise<number | undefined> {
  for (;;) {
    await domain.suspend().catch(() => {}); // it may have ended
    const { state, stack, omitted } = await domain.inspect();
    const depth = stack.length + omitted;
    if (state === 'exited') return undefined;
    if (wanted(depth)) return depth;
    await domain.resume();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** `deep`, suspended twice on its way and carried on from there; undefined where it was too quick for that. */
async function journey(spaces: readonly [Space, Space, Space], work: number): Promise<string | undefined> {
  let text = '';
  const take = (bytes: Uint8Array): void => {
    text += Buffer.from(bytes).toString();
  };
  const start = { name: `deep-${work}`, arguments: ['deep', '10000', String(work)], stdout: take };
  let domain = await spaces[0].spawn(readFileSync(await guest('deep')), start);
  let last = 0;
  for (const space of spaces.slice(1)) {
    const before = last;
    const depth = await suspendWhen(domain, (now) => now >= 1000 && now !== before);
    if (depth === undefined) return undefined;
    last = depth;
    domain = await space.import(await domain.export(), { name: `deep-${work}` });
    await domain.follow(take);
    await domain.resume();
  }
  const { exitCode, reason } = await domain.ended();
  assert.deepEqual([exitCode, reason], [0, null]);
  return text;
}

test('a program in C, in the middle of computing in deep recursion, travels through three spaces', async (t) => {
  const missing = canBuild('deep');
  if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
  const tool = new Tool(t);
  await using first = await Space.open(`${tool.space}-a`);
  await using second = await Space.open(`${tool.space}-b`);
  await using third = await Space.open(`${tool.space}-c`);
  for (const space of [second, third]) await space.spawn(probe, { name: 'in-the-way' });
  let work = 500_000;
  let text: string | undefined;
  for (; text === undefined; work *= 4) {
    assert.ok(work < 1e9, 'it can be suspended before it ends');
    text = await journey([first, second, third], work);
  }
  const args = ['10000', String(work / 4)];
  const plain = await runPlain(await guest('deep'), args, join(tool.folder, 'plain'));
  assert.equal(text, plain.output.toString());
});

test('a call stack that runs out is a trap of the program, and nothing else in the space feels it', async (t) => {
  const missing = canBuild('exhaust');
  if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
  const tool = new Tool(t);
  const { program, whole } = await probeFile(tool);
  // The process that hosts all three is the neighbour's.
  const neighbour = tool.start(['run', '--name', 'neighbour', program]);
  await neighbour.saw(/bottom\n/);
  const exhaust = await tool.run('run', await guest('exhaust'));
  assert.equal(exhaust.code, 134);
  assert.equal(exhaust.stdout, 'going down\n');
  assert.match(exhaust.stderr, /^perdure: exhaust: trap: call stack exhausted\n/);
  assert.match(exhaust.stderr, /at down/);
  const memory = await tool.run('run', '--name', 'memory', await guest('exhaust'), 'memory');
  assert.equal(memory.code, 134);
  assert.match(memory.stderr, /^perdure: memory: trap: out of bounds memory access\n/);
  neighbour.child.stdin!.end('x');
  const { code, stdout } = await neighbour.ended;
  assert.deepEqual([code, stdout], [0, whole]);
});

test('flite speaks into a file of the space as it does on plain V8', async (t) => {
  const tool = new Tool(t);
  const program = await guest('flite');
  const args = ['-t', 'Programs that never stop existing.', '-o', '/speech.wav'];
  const home = join(tool.folder, 'plain');
  await runPlain(program, args, home);
  const run = await tool.run('run', '--name', 'flite', program, ...args);
  assert.deepEqual([run.code, run.stderr], [0, '']);
  await using space = await Space.open(tool.space, { readOnly: true });
  const file = await (await space.get('flite')).files('/speech.wav');
  assert(file.kind === 'file');
  assert.ok(file.bytes.length > 20_000);
  assert.ok(readFileSync(join(home, 'speech.wav')).equals(file.bytes));
});

test('SQLite keeps a database in the space between programs that use it', async (t) => {
  const missing = await unavailable('sqlite3');
  if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
  const tool = new Tool(t);
  const program = await guest('sqlite3');
  const sql = (input: string) => tool.start(['run', '--name', 'sql', program, '/x.db'], { input }).ended;
  const made = await sql(
    `create table t(a integer primary key, b text);
    insert into t select value, hex(value * value) from generate_series(1, 20000);
    delete from t where a % 7 = 0; vacuum; select count(*) from t; .exit 5`.replace(' .exit', '\n.exit'),
  );
  assert.deepEqual([made.code, made.stdout], [5, '17143\n'], made.stderr);
  assert.equal((await tool.run('rm', '--keep-files', 'sql')).code, 0);
  const asked = await sql('pragma integrity_check; select sum(a), max(b) from t;\n');
  assert.deepEqual([asked.code, asked.stdout], [0, 'ok\n171431429|39393938323434\n'], asked.stderr);
});
