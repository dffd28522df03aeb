import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO, errnoName } from '../../abi/errno.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { wat } from '../../wasm/wat.testing.ts';
import type { Domain } from '../domain.ts';
import { LocalEnclosures } from '../enforced.testing.ts';
import { loadAlone, program } from '../kernel.testing.ts';
import { SharedSystem } from './wait.testing.ts';

const CALLS: Readonly<Record<string, string>> = {
  sem_wait: 'iI',
  sem_wake: 'i',
  wait_any: 'iiI',
  waitset_create: '',
  waitset_add: 'iiI',
  waitset_remove: 'ii',
  waitset_wait: 'iiiI',
  cap_close: 'i',
};
const params = (types: string): string =>
  types === '' ? '' : `(param ${[...types].map((c) => (c === 'i' ? 'i32' : 'i64')).join(' ')})`;
const PROGRAM = program(`(module
  (import "env" "log" (func $log (param i32)))
  ${Object.entries(CALLS)
    .map(([name, t]) => `(import "perdure_kernel" "${name}" (func $${name} ${params(t)} (result i32)))`)
    .join('\n')}
  (memory (export "memory") 1)
  ${Object.entries(CALLS)
    .map(
      ([name, t]) =>
        `(func (export "${name}") ${params(t)} (call $log (call $${name} ${[...t].map((_, i) => `(local.get ${i})`).join(' ')})))`,
    )
    .join('\n')})`);

test('whatever is called with whatever arguments over whatever words, every call ends or waits, and all is given back', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  for (let life = 0; life < 8; life++) {
    const prng = new Prng(seed + life);
    const system = new SharedSystem({ stress: life % 4 === 3 });
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) system.add(name, await PROGRAM, { resident: true });
    const blank = system.space.heap.blockCount;
    const domain = (name: string): Domain => system.kernel.core.peek(system.kernel.find(name)) as Domain;
    let handles: number[] = [];
    const pointer = (): number => {
      const near = prng.pick([
        8,
        12,
        16,
        200,
        65528,
        65532,
        WINDOW_BASE,
        WINDOW_BASE + 8,
        WINDOW_BASE + 4092,
        -1,
      ]);
      return (prng.chance(0.9) ? near : near + prng.below(9)) | 0;
    };
    const argument = (type: string, i: number): number | bigint => {
      if (type === 'I') return prng.pick([-1n, 0n, 5n, 1n << 62n, -(1n << 63n)]);
      if (i === 0 && prng.chance(0.7)) return prng.chance(0.5) ? pointer() : prng.pick([0, ...handles]);
      return prng.chance(0.6) ? pointer() : prng.pick([0, 1, 2, 3, 256, 257, -1, 2 ** 31 - 1]);
    };
    for (let step = 0; step < 400; step++) {
      const each = domain(prng.pick(names));
      if (prng.chance(0.3)) {
        const at = prng.chance(0.5)
          ? system.at(4 * prng.below(1024))
          : each.addressOf(0) + 4 * prng.below(16384);
        system.space.setU32(at, prng.pick([0, 1, 2, 0xffff_ffff, WINDOW_BASE, 8, 16]));
      }
      const act = prng.below(30);
      if (act === 0) system.checkpoint();
      else if (act === 1 && system.pages.size > 0) system.crash();
      else if (act === 2) system.powers.ns += 10n;
      else if (act === 3) system.kernel.relocate(each.id);
      const target = domain(each.name);
      if (system.kernel.status(target.id).state === 'blocked') {
        if (prng.chance(0.3)) system.runAll();
        continue;
      }
      const [name, types] = prng.pick(Object.entries(CALLS)) as [string, string];
      if (!['created', 'idle'].includes(system.kernel.status(target.id).state)) continue;
      const before = system.values(target.name).length;
      system.kernel.start(target.id, name, [...types].map(argument));
      system.runAll();
      const result = system.values(target.name)[before];
      assert.ok(
        result === undefined || Number(result) >= 0 || errnoName(-Number(result)) !== String(-Number(result)),
      );
      if (name === 'waitset_create' && Number(result) > 0) {
        handles = [...handles, Number(result)].slice(-6);
        const to = prng.pick(names);
        if (prng.chance(0.5)) system.kernel.core.clists.pass(target, Number(result), domain(to), RIGHTS_ALL);
      }
    }
    for (const name of names) system.kernel.remove(system.kernel.find(name));
    assert.deepEqual([system.waits.count, system.waits.sets.count], [0, 0]);
    const tables = 12;
    assert.ok(
      system.space.heap.blockCount <= blank + tables,
      `${system.space.heap.blockCount} blocks, ${blank} before`,
    );
  }
});

test('a program in a process of its own has no semaphores, and may wait on sets of others', async () => {
  const processes = new LocalEnclosures();
  const system = new SharedSystem({ enclosures: processes });
  const module = loadAlone(
    await wat(`(module
      (import "env" "log" (func $log (param i32)))
      (import "perdure_kernel" "sem_wait" (func $wait (param i32 i64) (result i32)))
      (import "perdure_kernel" "sem_wake" (func $wake (param i32) (result i32)))
      (import "perdure_kernel" "waitset_add" (func $add (param i32 i32 i64) (result i32)))
      (import "perdure_kernel" "waitset_wait" (func $told (param i32 i32 i32 i64) (result i32)))
      (memory (export "memory") 1)
      (func (export "go") (param i32)
        (i32.store (i32.const 8) (i32.const 3))
        (call $log (call $wait (i32.const 8) (i64.const -1)))
        (call $log (call $wake (i32.const 8)))
        (call $log (call $add (local.get 0) (i32.const 8) (i64.const 1)))
        (call $log (call $told (local.get 0) (i32.const 64) (i32.const 4) (i64.const -1)))
        (call $log (i32.load (i32.const 64)))
        (call $log (i32.load (i32.const 8)))))`),
  );
  const alone = system.add('alone', module);
  const maker = system.add('maker', await PROGRAM, { resident: true });
  const { clists } = system.kernel.core;
  const of = (id: number): Domain => system.kernel.core.peek(id) as Domain;
  const set = system.waits.sets.create(of(maker));
  const there = clists.pass(of(maker), set, of(alone), RIGHTS_ALL);
  system.kernel.start(maker, 'waitset_add', [set, WINDOW_BASE | 0, 77n]);
  system.runAll();
  system.kernel.start(alone, 'go', [there]);
  const proceed = (): void => {
    for (let i = 0; i < 50; i++) {
      system.runAll();
      for (const id of processes.due) system.kernel.wake(id);
      processes.due.clear();
    }
  };
  proceed();
  system.setCount(0, 1);
  system.kernel.start(maker, 'sem_wake', [WINDOW_BASE | 0]);
  proceed();
  const refused = -ERRNO.NOTSUP;
  assert.deepEqual(system.values('alone'), [refused, refused, refused, 1, 77, 3]);
});
