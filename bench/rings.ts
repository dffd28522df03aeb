/**
 * Rings: what an operation costs that does nothing, by how many are submitted at once; a read of 4 KiB from a file of the
 * tree, through a ring and by a call of WASI; a request that another domain serves, there and back. Beside them what there is
 * today: a message to a worker and back, and a pipe to a child process and back.
 */
import { OPERATION, RING_SERVES, SUBMIT, TABLE_KIND } from '../src/abi/ring.ts';
import { Kernel } from '../src/kernel/index.ts';
import { Tree } from '../src/kernel/tree.ts';
import { WasiPersonality } from '../src/personalities/wasi/index.ts';
import { FakePorts } from '../src/personalities/wasi/ports.testing.ts';
import { Space } from '../src/space/index.ts';
import { pipe, worker } from './baselines.ts';
import type { Group } from './groups.ts';
import { aim, figure, short, table } from './stats.ts';
import { install, kernelOptions, newKernel } from './system.ts';

const RUNS = 9;
const BATCHES = [1, 8, 32, 128];
const OPERATIONS = 200_000;
const TRIPS = 20_000;
const ENTRIES = 128;

const IMPORTS = `
  (import "perdure_kernel" "ring_create" (func $create (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "ring_enter" (func $enter (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "table_create" (func $table (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "table_object" (func $object (param i32 i64 i32) (result i32)))`;
/** Ring at 4096: submissions at 4224, completions behind 128 of those, requests behind 256 of these. */
const [SUBMISSIONS, COMPLETIONS] = [4096 + 128, 4096 + 128 + ENTRIES * 64];
const REQUESTS = COMPLETIONS + 2 * ENTRIES * 32;

/** Submits `count` operations in batches, all alike, as the slots of the queue were filled before. */
const CLIENT = `(module ${IMPORTS}
  (memory 16)
  (global $ring (mut i32) (i32.const 0)) (global $tail (mut i32) (i32.const 0))
  (func (export "open") (param $op i32) (param $handle i32) (param $length i32) (result i32) (local $i i32) (local $at i32)
    (if (i32.eqz (global.get $ring)) (then (global.set $ring (call $create (i32.const 4096) (i32.const ${ENTRIES}) (i32.const 0)))))
    (loop $l
      (local.set $at (i32.add (i32.const ${SUBMISSIONS}) (i32.shl (local.get $i) (i32.const 6))))
      (i32.store8 (local.get $at) (local.get $op))
      (i32.store offset=4 (local.get $at) (local.get $handle))
      (i32.store offset=16 (local.get $at) (i32.const 0x20000))
      (i32.store offset=20 (local.get $at) (local.get $length))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${ENTRIES}))))
    (global.get $ring))
  (func (export "run") (param $count i32) (param $batch i32) (result i32) (local $sum i32) (local $i i32)
    (loop $l
      (global.set $tail (i32.add (global.get $tail) (local.get $batch)))
      (i32.store (i32.const 4160) (global.get $tail))
      (drop (call $enter (global.get $ring) (local.get $batch) (local.get $batch) (i64.const -1)))
      (local.set $i (i32.const 0))
      (loop $m
        (local.set $sum (i32.add (local.get $sum) (i32.ge_s (i32.load (i32.add (i32.const ${COMPLETIONS + 8})
          (i32.shl (i32.and (i32.load (i32.const 4164)) (i32.const ${2 * ENTRIES - 1})) (i32.const 5)))) (i32.const 0))))
        (i32.store (i32.const 4164) (i32.add (i32.load (i32.const 4164)) (i32.const 1)))
        (br_if $m (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $batch))))
      (br_if $l (i32.gt_s (local.tee $count (i32.sub (local.get $count) (local.get $batch))) (i32.const 0))))
    (local.get $sum)))`;

/** Answers every request with its length, as many at a time as there are. */
const SERVER = `(module ${IMPORTS}
  (memory 16)
  (global $ring (mut i32) (i32.const 0))
  (func (export "open") (result i32)
    (global.set $ring (call $create (i32.const 4096) (i32.const ${ENTRIES}) (i32.const ${RING_SERVES})))
    (call $object (call $table (global.get $ring) (i32.const ${TABLE_KIND.stream}) (i32.const 0)) (i64.const 1) (i32.const 255)))
  (func (export "serve") (local $head i32) (local $tail i32) (local $new i32) (local $from i32) (local $to i32)
    (loop $l
      (local.set $new (i32.const 0))
      (loop $m
        (if (i32.ne (local.get $head) (i32.load (i32.const ${4096 + 24}))) (then
          (local.set $from (i32.add (i32.const ${REQUESTS}) (i32.shl (i32.and (local.get $head) (i32.const ${ENTRIES - 1})) (i32.const 8))))
          (local.set $to (i32.add (i32.const ${SUBMISSIONS}) (i32.shl (i32.and (local.get $tail) (i32.const ${ENTRIES - 1})) (i32.const 6))))
          (i32.store8 (local.get $to) (i32.const ${OPERATION.reply}))
          (i32.store8 offset=1 (local.get $to) (i32.const ${SUBMIT.quiet}))
          (i64.store offset=24 (local.get $to) (i64.load (local.get $from)))
          (i32.store offset=52 (local.get $to) (i32.load offset=48 (local.get $from)))
          (local.set $head (i32.add (local.get $head) (i32.const 1)))
          (local.set $tail (i32.add (local.get $tail) (i32.const 1)))
          (local.set $new (i32.add (local.get $new) (i32.const 1)))
          (br $m))))
      (i32.store (i32.const 4168) (local.get $head))
      (i32.store (i32.const 4160) (local.get $tail))
      (drop (call $enter (global.get $ring) (local.get $new) (i32.const 1) (i64.const -1)))
      (br $l))))`;

const WASI = `(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $read (param i32 i32 i32 i64 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "file") (data (i32.const 16) "\\00\\00\\02\\00\\00\\10\\00\\00")
  (func (export "open") (result i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)))
    (i32.load (i32.const 32)))
  (func (export "run") (param $count i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (i32.eqz (call $read (i32.const 4) (i32.const 16) (i32.const 1) (i64.const 0) (i32.const 40)))))
      (br_if $l (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (local.get $sum)))`;

/** Nanoseconds for each of `count`; it must say that all went well. */
function timed(kernel: Kernel, id: number, count: number, ...args: number[]): number {
  const list: number[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const before = performance.now();
    const end = kernel.invoke(id, 'run', [count, ...args]);
    if (run > 0) list.push(((performance.now() - before) * 1e6) / count);
    const went = end.kind === 'returned' ? Number(end.results[0]?.low) : -1;
    if (went !== count) throw new Error(`${went} of ${count} went well`);
  }
  return figure(list).value;
}

function call(kernel: Kernel, id: number, name: string, ...args: number[]): number {
  const end = kernel.invoke(id, name, args);
  if (end.kind !== 'returned') throw new Error(`${name}: ${end.kind}`);
  return Number(end.results[0]?.low ?? 0n);
}

async function alone(): Promise<{ nop: Record<string, number>; read: Record<string, number> }> {
  const kernel = newKernel();
  const id = kernel.createDomain({ name: 'client', module: await install(CLIENT), resident: true });
  call(kernel, id, 'open', OPERATION.nop, 0, 0);
  const nop: Record<string, number> = {};
  for (const batch of BATCHES) nop[batch] = timed(kernel, id, OPERATIONS - (OPERATIONS % batch), batch);
  const tree = Tree.open(kernel.space, 0n);
  const file = tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  tree.setSize(file, 4096, 0n);
  const handle = kernel.authority.grant(id, { name: 'f', ...kernel.core.nodes.capability(file) });
  call(kernel, id, 'open', OPERATION.read, handle, 4096);
  const read: Record<string, number> = {};
  for (const batch of BATCHES) read[batch] = timed(kernel, id, OPERATIONS - (OPERATIONS % batch), batch);
  return { nop, read };
}

async function byWasi(): Promise<number> {
  const space = Space.create({ id: new Uint8Array(16).fill(7) });
  const wasi = new WasiPersonality(space, new FakePorts());
  const kernel = new Kernel(space, { ...kernelOptions(), personality: wasi });
  const file = wasi.tree.createFile(wasi.folder('/d'), new TextEncoder().encode('file'), 0n);
  wasi.tree.setSize(file, 4096, 0n);
  const grants = [{ kind: 'tree', path: '/d', guest: '/' } as const];
  const personalityState = wasi.createState({ args: [], env: [], grants });
  const options = { name: 'wasi', module: await install(WASI), resident: true, personalityState };
  const id = kernel.createDomain(options);
  if (call(kernel, id, 'open') !== 4) throw new Error('the file was not opened');
  return timed(kernel, id, OPERATIONS);
}

/** A request and its answer, by how many are under way: nanoseconds each. */
async function served(): Promise<Record<string, number>> {
  const kernel = newKernel();
  const [client, server] = await Promise.all([install(CLIENT), install(SERVER)]);
  const from = kernel.createDomain({ name: 'server', module: server, resident: true });
  const object = call(kernel, from, 'open');
  const to = kernel.createDomain({ name: 'client', module: client, resident: true });
  const [serves, asks] = [kernel.core.peek(from), kernel.core.peek(to)];
  if (serves === undefined || asks === undefined) throw new Error('no domains');
  const handle = kernel.core.clists.pass(serves, object, asks, 255);
  call(kernel, to, 'open', OPERATION.read, handle, 8);
  kernel.start(from, 'serve');
  const result: Record<string, number> = {};
  for (const batch of BATCHES) {
    const count = TRIPS - (TRIPS % batch);
    const list: number[] = [];
    for (let run = 0; run <= RUNS; run++) {
      const before = performance.now();
      kernel.start(to, 'run', [count, batch]);
      while (kernel.status(to).state !== 'created') kernel.run();
      if (run > 0) list.push(((performance.now() - before) * 1e6) / count);
    }
    result[batch] = figure(list).value;
  }
  return result;
}

/** What a request costs between threads and processes of Node: 4 KiB there, and a word that they have arrived. */
async function today(): Promise<{ worker: number; pipe: number }> {
  await using thread = await worker();
  await using child = await pipe();
  const ns = (ms: readonly number[]): number => figure(ms.map((each) => each * 1e6)).value;
  return {
    worker: ns(await thread.handOver(4096, 'copy', 500)),
    pipe: ns(await child.handOver(4096, 500)),
  };
}

export const rings: Group = async (_args, print) => {
  const { nop, read } = await alone();
  const request = await served();
  const wasi = await byWasi();
  const rows = [['at once', ...BATCHES.map(String)]];
  const row = (name: string, of: Record<string, number>): void => {
    rows.push([name, ...BATCHES.map((batch) => short(of[batch] as number))]);
  };
  row('null operation, ns', nop);
  row('read of 4 KiB, ns', read);
  row('request to a domain and back, ns', request);
  print(table(rows));
  const others = await today();
  print(
    `  4 KiB to a worker and back: ${short(others.worker)} ns; to a child process by a pipe: ${short(others.pipe)} ns`,
  );
  print(`  read of 4 KiB by a call of WASI: ${short(wasi)} ns`);
  print(aim('null operation at 32, ns', nop[32] as number, 1000));
  return { nop, read, request, wasi, others };
};
