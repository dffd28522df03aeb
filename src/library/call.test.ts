/** Procedures of programs, called from TypeScript and granted to other programs. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { folderFor } from '../base/folder.testing.ts';
import { inspectionPage } from '../cli/show.ts';
import { CallError, Capability, ERRNO, type Grant, Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';

const SERVER = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\\40\\00\\00\\00\\01\\00\\00\\00")
  (global $calls (mut i32) (i32.const 0))
  (func (export "gate:add") (param i32 i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.add (local.get 0) (local.get 1)))
  (func (export "gate:calls") (result i32) (global.get $calls))
  (func (export "gate:nothing"))
  (func (export "gate:swap") (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)
    (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "gate:divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "gate:input") (result i32)
    (drop (call $read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16)))
    (i32.load8_u (i32.const 64))))`;
/** Ends with calc.add(3, 4). */
const CLIENT = `(module
  (import "calc" "add" (func $add (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (call $add (i32.const 3) (i32.const 4)))))`;
let server: Uint8Array;
let client: Uint8Array;

before(async () => {
  server = await wat(SERVER);
  client = await wat(CLIENT);
});

test('procedures are called as functions: what they take and give arrives whole, and is durable', async (t) => {
  const folder = folderFor(t);
  {
    await using space = await Space.open(folder);
    const calc = await space.spawn(server, { name: 'calc' });
    const add = calc.procedure<(a: number, b: number) => number>('add');
    await using events = space.events();
    const before = await space.checkpoint();
    const sum: number = await add(2, 40);
    assert.equal(sum, 42);
    // What it tells is in a checkpoint that has been told of.
    let last = before;
    for await (const event of events) {
      if (event.kind === 'checkpoint') last = event.number;
      if (last > before) break;
    }
    assert.equal(await add(-1, 0xffff_ffff), -2);
    assert.equal(await calc.call('nothing'), undefined);
    const v128 = Uint8Array.from({ length: 16 }, (_, i) => 255 - i);
    const swapped = await calc.call('swap', [-5, -(2n ** 63n), 0.5, Number.NaN, v128]);
    assert.deepEqual(swapped, [v128, Number.NaN, 0.5, -(2n ** 63n), -5]);
    assert.equal(await calc.call<number>('calls'), 2);
    assert.equal((await calc.inspect()).state, 'waiting');
    await space.idle();
  }
  await using space = await Space.open(folder);
  assert.equal(await (await space.get('calc')).call('calls'), 2);
});

test('what does not fit is refused before anything happens; what fails there is an error with an errno', async (t) => {
  await using space = await Space.open(folderFor(t));
  const calc = await space.spawn(server, { name: 'calc' });
  await assert.rejects(calc.call('subtract', [1, 2]), { code: 'no-such-export' });
  const bad: unknown[][] = [
    [1],
    [1, 2, 3],
    [1, 1.5],
    [1, 2n],
    [1, 2 ** 32],
    [1, 'clock'],
    ['1', 2],
    [1, null],
  ];
  for (const args of bad) {
    await assert.rejects(
      calc.call('add', args as number[]),
      { code: 'bad-argument' },
      JSON.stringify(args.map(String)),
    );
  }
  await assert.rejects(calc.call('swap', [1, 1.5, 0, 0, new Uint8Array(16)]), { code: 'bad-argument' });
  await assert.rejects(calc.call('swap', [1, 1n, 0, 0, new Uint8Array(15)]), { code: 'bad-argument' });
  assert.equal(await calc.call('calls'), 0);
  await assert.rejects(calc.call('divide', [1, 0]), (error: unknown) => {
    assert(error instanceof CallError);
    assert.deepEqual([error.errno, error.message], [ERRNO.FAULTED, 'calc: divide: FAULTED']);
    return true;
  });
  assert.match((await calc.ended()).reason ?? '', /divide by zero/);
  await assert.rejects(calc.call('calls'), { code: 'ended' });
});

test('a call is given up, or outlived by the space; a program that goes tells who waits', async (t) => {
  const folder = folderFor(t);
  const space = await Space.open(folder);
  const calc = await space.spawn(server, { name: 'calc', stdout: () => {} });
  const control = new AbortController();
  const given = calc.call('input', [], { signal: control.signal });
  control.abort();
  await assert.rejects(given, { name: 'AbortError' });
  await assert.rejects(calc.call('calls', [], { signal: control.signal }), { name: 'AbortError' });
  calc.write(Buffer.from('A'));
  assert.equal(await calc.call('calls'), 0, 'the one given up has ended');
  const waiting = calc.call('input');
  const removed = assert.rejects(waiting, { code: 'call', errno: ERRNO.GONE });
  await calc.remove({ force: true });
  await removed;
  const again = await space.spawn(server, { name: 'again', stdout: () => {} });
  const open = assert.rejects(again.call('input'), { code: 'closed' });
  await again.inspect();
  await space.close();
  await open;
});

test('a program calls another that it was granted, whole or one procedure', async (t) => {
  await using space = await Space.open(folderFor(t));
  const calc = await space.spawn(server, { name: 'server' });
  const add = calc.procedure<(a: number, b: number) => number>('add');
  assert.equal(await (await space.spawn(client, { imports: { calc } })).finished(), 7);
  assert.equal(await (await space.spawn(client, { imports: { 'calc.add': add } })).finished(), 7);
  await using lent = await calc.capability({ rights: ['invoke', 'share'] });
  assert.equal(await (await space.spawn(client, { imports: { calc: lent } })).finished(), 7);
  await assert.rejects(space.spawn(client, { imports: { 'calc.add': calc.procedure('none') } }), {
    code: 'no-such-export',
  });
  assert.equal(await calc.call('calls'), 3);
});

/** Makes a domain of itself, which cannot say anything; waits for it; makes another that it destroys. */
const PARENT = `(module
  (import "perdure_kernel" "program_own" (func $own (result i32)))
  (import "perdure_kernel" "domain_create" (func $create (param i32 i32 i32 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_start" (func $start (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_wait" (func $wait (param i32) (result i32)))
  (import "perdure_kernel" "domain_destroy" (func $destroy (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "kid other hello from the kid\\n")
  (data (i32.const 64) "\\0a\\00\\00\\00\\13\\00\\00\\00")
  (func (export "kid")
    ;; BADF: it was given no streams.
    (if (i32.ne (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 72)) (i32.const 8))
      (then unreachable)))
  (func (export "_start") (local $kid i32) (local $other i32)
    (local.set $kid (call $create (call $own) (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 0)))
    (if (i32.lt_s (local.get $kid) (i32.const 0)) (then unreachable))
    (if (call $start (local.get $kid) (i32.const 0) (i32.const 3)) (then unreachable))
    (if (call $wait (local.get $kid)) (then unreachable))
    (local.set $other (call $create (call $own) (i32.const 4) (i32.const 5) (i32.const 0) (i32.const 0)))
    (if (call $destroy (local.get $other)) (then unreachable))))`;

/** Tells of capabilities that it is given, and gives them back. */
const HOLDER = `(module
  (import "perdure_kernel" "cap_describe" (func $describe (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "gate:rights:cv=vv") (param i32 i32) (result i32 i32)
    (if (i32.lt_s (call $describe (local.get 0) (i32.const 128)) (i32.const 0)) (then unreachable))
    (i32.load (i32.const 132)) (local.get 1))
  (func (export "gate:same:c=c") (param i32) (result i32) (local.get 0))
  (func (export "gate:none:=c") (result i32) (i32.const -1))
  (func (export "gate:any:=c") (result i32) (i32.const 77777)))`;

test('capabilities are handed to procedures, with no more rights than were given, and come back', async (t) => {
  await using space = await Space.open(folderFor(t));
  const holder = await space.spawn(await wat(HOLDER), { name: 'holder' });
  const calc = await space.spawn(server, { name: 'calc' });
  const rights = holder.procedure<(given: Grant, n: number) => [number, number]>('rights');
  assert.deepEqual(await rights(calc, 5), [255 - 64, 5], 'all but revoke');
  assert.deepEqual(await rights({ to: calc, rights: ['read', 'revoke'] }, 6), [1, 6]);
  await using lent = await calc.capability({ rights: ['invoke', 'share', 'derive'] });
  assert.deepEqual(await rights(lent, 7), [4 + 16 + 32, 7]);
  assert.deepEqual((await rights('clock', 8))[1], 8);
  const back = await holder.call('same', [lent]);
  assert(back instanceof Capability);
  assert.equal(await (await space.spawn(client, { imports: { calc: back } })).finished(), 7);
  await lent.revoke();
  await assert.rejects(rights(back, 0), { code: 'no-capability' });
  await back[Symbol.asyncDispose]();
  assert.equal(await holder.call('none'), null);
  assert.equal(await holder.call('any'), null, 'a number that is no handle gives nothing');
  const { capabilityCount } = await holder.inspect();
  for (const bad of [5, 5n, null, new Uint8Array(16)]) {
    await assert.rejects(holder.call('rights', [bad as unknown as Grant, 1]), { code: 'bad-argument' });
  }
  await assert.rejects(holder.call('rights', [calc, 'clock']), { code: 'bad-argument' });
  await assert.rejects(holder.call('rights', [calc]), { code: 'bad-argument' });
  assert.equal(
    (await holder.inspect()).capabilityCount,
    capabilityCount,
    'what is refused leaves nothing there',
  );
});

/** Waits in `calc`, through the program between. */
const FIRST = `(module (import "middle" "through" (func $through (result i32)))
  (memory (export "memory") 1) (func $begin (export "_start") (drop (call $through))))`;
const MIDDLE = `(module (import "calc" "input" (func $input (result i32)))
  (memory (export "memory") 1) (func $through (export "gate:through") (result i32) (call $input)))`;

test('what is in the middle of calls is shown across programs, from each of them, also where nothing runs', async (t) => {
  const folder = folderFor(t);
  const shown = async (space: Space, name: string): Promise<string> => {
    const page = inspectionPage(await (await space.get(name)).inspect());
    const lines = page.slice(page.indexOf('\n\n') + 2).split('\n');
    return lines
      .flatMap((line) => / (?:#\d+ +\S+|in \S+:)|^\S.*/.exec(line)?.[0].trim() ?? [])
      .join(' ')
      .replace(/ +/g, ' ');
  };
  const check = async (space: Space): Promise<void> => {
    const frames = 'in calc: #0 read #1 gate:input in middle: #0 input #1 through';
    assert.equal(
      await shown(space, 'first'),
      `call stack, innermost first: ${frames} in first: #0 through #1 begin`,
    );
    assert.equal(await shown(space, 'middle'), `through called by first, innermost first: ${frames}`);
    const inside = 'input called by middle, innermost first: #0 read #1 gate:input';
    assert.match(await shown(space, 'calc'), new RegExp(`^${inside}`));
  };
  {
    await using space = await Space.open(folder);
    const calc = await space.spawn(server, { name: 'calc', stdout: () => {} });
    const middle = await space.spawn(await wat(MIDDLE), { name: 'middle', imports: { calc } });
    await space.spawn(await wat(FIRST), { name: 'first', imports: { middle } });
    while ((await calc.inspect()).visitCount === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await check(space);
    const outside = assert.rejects(calc.call('input'), { code: 'closed' });
    const { visits, visitCount } = await calc.inspect();
    assert.equal(visitCount, 2);
    assert.deepEqual(
      visits.map(({ caller, procedure, waiting }) => [caller, procedure, waiting]),
      [
        ['middle', 'input', false],
        [null, 'input', true],
      ],
    );
    void outside;
  }
  await using space = await Space.open(folder, { readOnly: true });
  await check(space);
});

test('domains that a program makes are told of like others, and begin with nothing', async (t) => {
  await using space = await Space.open(folderFor(t));
  const events = space.events();
  const parent = await space.spawn(await wat(PARENT), { name: 'p' });
  assert.equal(await parent.finished(), 0);
  const kid = await space.get('p/kid');
  await kid.follow(() => assert.fail('it has no streams'));
  assert.equal(await kid.finished(), 0);
  assert.deepEqual((await kid.inspect()).capabilities, []);
  await space.idle();
  await kid.remove();
  const story: string[] = [];
  for await (const event of events) {
    if ('name' in event) story.push(`${event.kind} ${event.name}`);
    if (event.kind === 'removed' && event.name === 'p/kid') break;
  }
  assert.deepEqual(story.sort(), [
    'ended p',
    'ended p/kid',
    'removed p/kid',
    'removed p/other',
    'spawned p',
    'spawned p/kid',
    'spawned p/other',
  ]);
});
