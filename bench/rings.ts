/**
 * Rings: what an operation costs that does nothing, by how many are submitted at once; a read of 4 KiB from a file of the
 * tree, through a ring and by a call of WASI; a request that another domain serves, there and back; a request with much data, which
 * the server copies, or maps as the segment that the request brings, and looks at a byte of each page. Beside them what there is
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
const SIZES = [65_536, 1 << 20];
/** Requests under way at a time, where there are several. */
const MANY = 10;

const IMPORTS = `
  (import "perdure_kernel" "ring_create" (func $create (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "ring_enter" (func $enter (param i32 i32 i32 i64) (result i32)))
  (import "perdure_kernel" "table_create" (func $table (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "table_object" (func $object (param i32 i64 i32) (result i32)))`;
/** Ring at 4096: submissions at 4224, completions behind 128 of those, requests behind 256 of these. */
const [SUBMISSIONS, COMPLETIONS] = [4096 + 128, 4096 + 128 + ENTRIES * 64];
const REQUESTS = COMPLETIONS + 2 * ENTRIES * 32;

/** Submits `count` operations in batches, all alike, as the slots of the queue were filled before: with memory or with a segment. */
const CLIENT = `(module ${IMPORTS}
  (memory 40)
  (global $ring (mut i32) (i32.const 0)) (global $tail (mut i32) (i32.const 0))
  (func (export "open") (param $op i32) (param $handle i32) (param $length i32) (param $segment i32) (result i32) (local $i i32) (local $at i32)
    (if (i32.eqz (global.get $ring)) (then (global.set $ring (call $create (i32.const 4096) (i32.const ${ENTRIES}) (i32.const 0)))))
    (loop $l
      (local.set $at (i32.add (i32.const ${SUBMISSIONS}) (i32.shl (local.get $i) (i32.const 6))))
      (i32.store8 (local.get $at) (local.get $op))
      (i32.store offset=4 (local.get $at) (local.get $handle))
      (i32.store8 offset=1 (local.get $at) (select (i32.const ${SUBMIT.segment}) (i32.const 0) (local.get $segment)))
      (i32.store offset=16 (local.get $at) (select (local.get $segment) (i32.const 0x20000) (local.get $segment)))
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

/** Answers one request after the other, having looked at a byte of each page of what the client gives: copied, or where it lies. */
const TAKER = `(module ${IMPORTS}
  (import "perdure_kernel" "request_take" (func $take (param i64 i32) (result i32)))
  (import "perdure_kernel" "request_read" (func $read (param i64 i32 i32 i32) (result i32)))
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  (import "perdure_kernel" "seg_unmap" (func $unmap (param i32) (result i32)))
  (memory 40)
  (global $ring (mut i32) (i32.const 0))
  (global $sum (mut i32) (i32.const 0))
  (func (export "open") (result i32)
    (global.set $ring (call $create (i32.const 4096) (i32.const ${ENTRIES}) (i32.const ${RING_SERVES})))
    (call $object (call $table (global.get $ring) (i32.const ${TABLE_KIND.stream}) (i32.const 0)) (i64.const 1) (i32.const 255)))
  (func $look (param $at i32) (param $bytes i32) (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $bytes)))
    (loop $l
      (global.set $sum (i32.add (global.get $sum) (i32.load8_u (local.get $at))))
      (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (local.get $end)))))
  (func (export "serve") (local $head i32) (local $from i32) (local $to i32) (local $at i32) (local $given i32)
    (loop $l
      (drop (call $enter (global.get $ring) (i32.const 0) (i32.const 1) (i64.const -1)))
      (loop $m
        (if (i32.ne (local.get $head) (i32.load (i32.const ${4096 + 24}))) (then
          (local.set $from (i32.add (i32.const ${REQUESTS}) (i32.shl (i32.and (local.get $head) (i32.const ${ENTRIES - 1})) (i32.const 8))))
          (local.set $given (i32.load offset=40 (local.get $from)))
          (if (i32.load offset=72 (local.get $from)) (then
            (local.set $at (i32.wrap_i64 (call $map (call $take (i64.load (local.get $from)) (i32.const 0)) (i64.const 0)
              (i64.extend_i32_u (local.get $given)) (i32.const 1) (i32.const 0))))
            (call $look (local.get $at) (local.get $given))
            (drop (call $unmap (local.get $at))))
          (else
            (drop (call $read (i64.load (local.get $from)) (i32.const 0) (i32.const 0x100000) (local.get $given)))
            (call $look (i32.const 0x100000) (local.get $given))))
          (local.set $to (i32.add (i32.const ${SUBMISSIONS}) (i32.shl (i32.and (local.get $head) (i32.const ${ENTRIES - 1})) (i32.const 6))))
          (i32.store8 (local.get $to) (i32.const ${OPERATION.reply}))
          (i32.store8 offset=1 (local.get $to) (i32.const ${SUBMIT.quiet}))
          (i64.store offset=24 (local.get $to) (i64.load (local.get $from)))
          (i32.store offset=52 (local.get $to) (local.get $given))
          (local.set $head (i32.add (local.get $head) (i32.const 1)))
          (i32.store (i32.const 4168) (local.get $head))
          (i32.store (i32.const 4160) (local.get $head))
          (drop (call $enter (global.get $ring) (i32.const 1) (i32.const 0) (i64.const 0)))
          (br $m))))
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
  call(kernel, id, 'open', OPERATION.nop, 0, 0, 0);
  const nop: Record<string, number> = {};
  for (const batch of BATCHES) nop[batch] = timed(kernel, id, OPERATIONS - (OPERATIONS % batch), batch);
  const tree = Tree.open(kernel.space, 0n);
  const file = tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  tree.setSize(file, 4096, 0n);
  const handle = kernel.authority.grant(id, { name: 'f', ...kernel.core.nodes.capability(file) });
  call(kernel, id, 'open', OPERATION.read, handle, 4096, 0);
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

/** A client with an object that a server has made, and is about to serve. */
async function pair(program: string): Promise<{ kernel: Kernel; from: number; to: number; handle: number }> {
  const kernel = newKernel();
  const [client, server] = await Promise.all([install(CLIENT), install(program)]);
  const from = kernel.createDomain({ name: 'server', module: server, resident: true });
  const object = call(kernel, from, 'open');
  const to = kernel.createDomain({ name: 'client', module: client, resident: true });
  const [serves, asks] = [kernel.core.peek(from), kernel.core.peek(to)];
  if (serves === undefined || asks === undefined) throw new Error('no domains');
  return { kernel, from, to, handle: kernel.core.clists.pass(serves, object, asks, 255) };
}
/** Nanoseconds each of `count` operations of a client in batches. */
function trips(kernel: Kernel, to: number, count: number, batch: number): number {
  const list: number[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const before = performance.now();
    kernel.start(to, 'run', [count, batch]);
    while (kernel.status(to).state !== 'created') kernel.run();
    if (run > 0) list.push(((performance.now() - before) * 1e6) / count);
  }
  return figure(list).value;
}

/** A request and its answer, by how many are under way: nanoseconds each. */
async function served(): Promise<Record<string, number>> {
  const { kernel, from, to, handle } = await pair(SERVER);
  call(kernel, to, 'open', OPERATION.read, handle, 8, 0);
  kernel.start(from, 'serve');
  return Object.fromEntries(
    BATCHES.map((batch) => [batch, trips(kernel, to, TRIPS - (TRIPS % batch), batch)]),
  );
}

/** The same with much that the server looks at: nanoseconds each where it is copied, and where it is mapped. */
async function large(bytes: number): Promise<{ copied: number; lent: number; many: number }> {
  const { kernel, from, to, handle } = await pair(TAKER);
  kernel.start(from, 'serve');
  const asks = kernel.core.peek(to);
  if (asks === undefined) throw new Error('no domain');
  const segment = kernel.core.segments.create(asks, bytes);
  const at = kernel.core.segments.address(kernel.core.clists.objectAt(asks, segment));
  kernel.space.u8.fill(1, at, at + bytes);
  const count = bytes > 100_000 ? 1000 : 5000;
  call(kernel, to, 'open', OPERATION.write, handle, bytes, 0);
  const copied = trips(kernel, to, count, 1);
  call(kernel, to, 'open', OPERATION.write, handle, bytes, segment);
  return { copied, lent: trips(kernel, to, count, 1), many: trips(kernel, to, count, MANY) };
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

/** Microseconds of a request that hands over so much, and of a pipe. */
async function handed(print: (line: string) => void): Promise<Record<number, Record<string, number>>> {
  const rows = [['to a server, and its answer, us', 'copied', 'as a segment', `${MANY} at once`, 'pipe']];
  const all: Record<number, Record<string, number>> = {};
  await using child = await pipe();
  for (const bytes of SIZES) {
    const { copied, lent, many } = await large(bytes);
    const byPipe = figure((await child.handOver(bytes, 300)).map((ms) => ms * 1e6)).value;
    const us = { copied: copied / 1000, lent: lent / 1000, many: many / 1000, pipe: byPipe / 1000 };
    all[bytes] = us;
    rows.push([`${bytes / 1024} KiB`, short(us.copied), short(us.lent), short(us.many), short(us.pipe)]);
  }
  print(table(rows));
  const { lent = 0, pipe: byPipe = 0 } = all[1 << 20] ?? {};
  print(aim('times the rate of a pipe at 1 MiB, as a segment', byPipe / lent, 20, true));
  return all;
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
  return { nop, read, request, wasi, others, handed: await handed(print) };
};
