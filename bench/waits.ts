/**
 * Semaphores and wait sets, in one domain's own memory: what one that nobody waits for costs, and how much it is to be told of one
 * member of a wait set that was given to, beside asking all members in turn, as a program without wait sets would.
 * `waits.sets.N.told` and `.polled` are nanoseconds for each that was told, with N members. And what it costs that many wait in
 * segments that may be taken away: to revoke, to a program that computes while another revokes all the time, and until all are told.
 */
import { RIGHTS_ALL } from '../src/abi/objects.ts';
import type { Kernel } from '../src/kernel/index.ts';
import type { Group } from './groups.ts';
import { figure, short, table } from './stats.ts';
import { install, newKernel } from './system.ts';

const RUNS = 9;
const MEMBERS = [10, 1_000, 100_000];
const TOLD = 20_000;
const POLLED = [200_000, 20_000, 200];
const TAKEN = 2_000_000;
const TURNS = 2_000;

/** Semaphores lie from 64 KiB on, the next one 8 bytes behind; which is given to goes through all of them in a jumble. */
const PROGRAM = `(module
  (import "perdure_kernel" "sem_wake" (func $wake (param i32) (result i32)))
  (import "perdure_kernel" "waitset_create" (func $create (result i32)))
  (import "perdure_kernel" "waitset_add" (func $add (param i32 i32 i64) (result i32)))
  (import "perdure_kernel" "waitset_wait" (func $wait (param i32 i32 i32 i64) (result i32)))
  (memory 32)
  (global $set (mut i32) (i32.const 0)) (global $members (mut i32) (i32.const 0)) (global $turn (mut i32) (i32.const 0))
  (func $at (param i32) (result i32) (i32.add (i32.const 65536) (i32.shl (local.get 0) (i32.const 3))))
  (func $give (param $s i32)
    (i32.store (local.get $s) (i32.add (i32.load (local.get $s)) (i32.const 1)))
    (if (i32.load offset=4 (local.get $s)) (then (drop (call $wake (local.get $s))))))
  (func $take (param $s i32) (result i32)
    (if (i32.eqz (i32.load (local.get $s))) (then (return (i32.const 0))))
    (i32.store (local.get $s) (i32.sub (i32.load (local.get $s)) (i32.const 1)))
    (i32.const 1))
  (func $next (result i32)
    (global.set $turn (i32.rem_u (i32.add (global.get $turn) (i32.const 61)) (global.get $members)))
    (call $at (global.get $turn)))
  (func (export "alone") (param $n i32)
    (loop $l
      (call $give (call $at (i32.const 1)))
      (drop (call $take (call $at (i32.const 1))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "size") (param $n i32) (global.set $members (local.get $n)))
  (func (export "join") (local $i i32)
    (global.set $set (call $create))
    (loop $l
      (drop (call $add (global.get $set) (call $at (local.get $i)) (i64.extend_i32_u (local.get $i))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (global.get $members)))))
  (func (export "told") (param $n i32) (result i32) (local $sum i32)
    (loop $l
      (call $give (call $next))
      (local.set $sum (i32.add (local.get $sum) (call $wait (global.get $set) (i32.const 64) (i32.const 16) (i64.const 0))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "polled") (param $n i32) (result i32) (local $sum i32) (local $i i32)
    (loop $l
      (call $give (call $next))
      (local.set $i (i32.const 0))
      (loop $m
        (local.set $sum (i32.add (local.get $sum) (call $take (call $at (local.get $i)))))
        (br_if $m (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (global.get $members))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))`;

/** Waits in a segment; computes in turns, each of which may revoke something; times in ns. */
const WAITER = `(module
  (import "perdure_kernel" "seg_create" (func $create (param i64) (result i32)))
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  (import "perdure_kernel" "sem_wait" (func $wait (param i32 i64) (result i32)))
  (import "perdure_kernel" "cap_revoke" (func $revoke (param i32) (result i32)))
  (import "env" "rest" (func $rest))
  (memory 1)
  (export "create" (func $create))
  (func (export "wait") (param $h i32)
    (drop (call $wait (i32.wrap_i64 (call $map (local.get $h) (i64.const 0) (i64.const 65536) (i32.const 3) (i32.const 0))) (i64.const -1))))
  (func (export "compute") (param $h i32) (param $turns i32) (local $i i32)
    (loop $l
      (local.set $i (i32.const 20000))
      (loop $m (br_if $m (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (if (local.get $h) (then (drop (call $revoke (local.get $h)))))
      (call $rest)
      (br_if $l (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))))`;

/** So many wait in one segment. */
async function revoked(waiting: number): Promise<{ revoke: number; tax: number; told: number }> {
  const rest = (caller: { yield(): void }): void => caller.yield();
  const kernel = newKernel({ resolve: (_module, name) => (name === 'rest' ? rest : undefined) });
  const module = await install(WAITER);
  const limits = { capabilities: 4 * waiting + 100 };
  const make = (name: string): number => kernel.createDomain({ name, module, resident: true, limits });
  const [first, busy] = [make('owner'), make('busy')];
  const domain = (id: number) => kernel.core.peek(id)!;
  const create = (id: number): number => {
    const end = kernel.invoke(id, 'create', [65536n]);
    return end.kind === 'returned' ? Number(end.results[0]!.low) : -1;
  };
  const { clists, waits } = kernel.core;
  const [shared, other] = [create(first), create(busy)];
  for (let i = 0; i < waiting; i++) {
    const id = make(`w${i}`);
    kernel.start(id, 'wait', [clists.pass(domain(first), shared, domain(id), RIGHTS_ALL)]);
  }
  kernel.run();
  if (waits?.count !== waiting) throw new Error(`${waits?.count} wait`);
  const computing = (handle: number): number => {
    kernel.start(busy, 'compute', [handle, TURNS]);
    const before = performance.now();
    for (let i = 0; i < TURNS; i++) kernel.run({ maxSlices: 1 });
    const took = performance.now() - before;
    kernel.run();
    return took;
  };
  for (let i = 0; i < RUNS; i++) computing(i % 2 === 0 ? other : 0);
  const taxes = Array.from({ length: RUNS }, () => computing(other) / computing(0));
  const costs = Array.from({ length: RUNS }, () => {
    const before = performance.now();
    for (let i = 0; i < 10_000; i++) clists.revoke(domain(busy), other);
    return (performance.now() - before) * 100;
  });
  // Looking through them has rested from what was revoked before.
  await new Promise((resolve) => setTimeout(resolve, 500));
  clists.revoke(domain(first), shared);
  const before = performance.now();
  while (waits.count > 0) waits.revocable.lookAgain(true);
  const told = waiting === 0 ? 0 : ((performance.now() - before) * 1e6) / waiting;
  return { revoke: figure(costs).value, tax: figure(taxes).value - 1, told };
}

export const waits: Group = async (_args, print) => {
  const module = await install(PROGRAM);
  const make = (kernel: Kernel): number =>
    kernel.createDomain({ name: 'waits', module, resident: true, limits: { capabilities: 200_000 } });
  const timed = (kernel: Kernel, id: number, entry: string, times: number): number => {
    const list: number[] = [];
    for (let run = 0; run <= RUNS; run++) {
      const before = performance.now();
      const end = kernel.invoke(id, entry, [times]);
      if (run > 0) list.push(((performance.now() - before) * 1e6) / times);
      const told = end.kind === 'returned' ? (end.results[0]?.low ?? BigInt(times)) : -1n;
      if (Number(told) !== times) throw new Error(`${entry}: ${told} instead of ${times}`);
    }
    return figure(list).value;
  };
  const first = newKernel();
  const alone = timed(first, make(first), 'alone', TAKEN);
  const sets: Record<string, { told: number; polled: number; join: number }> = {};
  const rows = [['members', 'told, ns', 'asked for, ns', 'added, ns']];
  for (const [i, members] of MEMBERS.entries()) {
    const kernel = newKernel();
    const id = make(kernel);
    kernel.invoke(id, 'size', [members]);
    const polled = timed(kernel, id, 'polled', POLLED[i] as number);
    const before = performance.now();
    kernel.invoke(id, 'join', []);
    const join = ((performance.now() - before) * 1e6) / members;
    const told = timed(kernel, id, 'told', TOLD);
    sets[members] = { told, polled, join };
    rows.push([String(members), short(told), short(polled), short(join)]);
  }
  print(table(rows));
  print(`giving and taking where nobody waits: ${short(alone)} ns for both; medians of ${RUNS}`);
  const taken: Record<string, Awaited<ReturnType<typeof revoked>>> = {};
  const table2 = [['waiting', 'to revoke, ns', 'others slower by, %', 'telling, ns each']];
  for (const waiting of [0, 10, 10_000]) {
    const { revoke, tax, told } = await revoked(waiting);
    taken[waiting] = { revoke, tax, told };
    table2.push([String(waiting), short(revoke), short(100 * tax), short(told)]);
  }
  print(table(table2));
  return { alone, sets, revoked: taken };
};
