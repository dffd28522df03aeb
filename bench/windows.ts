/**
 * Windows: what being compiled with them costs a program that works in its own memory (against the same program without), and
 * what working in a window costs; mapping, handing bytes over, copying, and revoking, to who revokes and to a bystander.
 *
 * `windows.taxes.NAME` are ratios of processor time; `.inside` too, by kernel: in own memory and in a window, against the program
 * without windows. All else is in nanoseconds of processor time. Beside handing over stand what a Node user has: a pipe and a worker, as in the other
 * benches.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { OBJECT, RIGHTS_ALL } from '../src/abi/objects.ts';
import type { Kernel } from '../src/kernel/index.ts';
import { pipe, worker } from './baselines.ts';
import type { Group } from './groups.ts';
import { aim, type Figure, figure, geomean, median, short, table } from './stats.ts';
import { install, newKernel } from './system.ts';
import { standard } from './taxes.ts';
import type { ChildResult, ChildTask } from './taxes-child.ts';
import { files } from './windows-files.ts';

const RUNS = 7;
const WARM = 2;
/** Processor time is told in steps of some milliseconds: so long is measured at a time. */
const LEAST_MS = 100;
const KIB = 1024;
const SIZES = [4 * KIB, 64 * KIB, KIB * KIB, 16 * KIB * KIB];
const COPIED = [KIB * KIB, 64 * KIB * KIB, 256 * KIB * KIB];
const MAPPERS = [1, 100, 10_000];
const REVOCATIONS = 10_000;

/** Loops over n words from p on. `reads` adds them up, `writes` stores, `jumps` follows a chain that jumps about. */
const KERNELS = ['reads', 'writes', 'jumps', 'fields'] as const;
const CODE = `
  (memory (export "memory") 64)
  (func (export "reads") (param $p i32) (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s) (i32.load (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "writes") (param $p i32) (param $n i32) (result i32)
    (loop $l
      (i32.store (local.get $p) (local.get $n))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $n))
  (func (export "jumps") (param $p i32) (param $n i32) (result i32) (local $at i32)
    (loop $l
      (local.set $at (i32.and (i32.add (i32.mul (i32.add (local.get $at) (i32.load (i32.add (local.get $p) (local.get $at))))
        (i32.const 1664525)) (i32.const 1013904223)) (i32.const 0x3fffc)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $at))
  (func (export "fields") (param $p i32) (param $n i32) (result i32) (local $q i32)
    (loop $l
      (local.set $q (i32.add (local.get $p) (i32.and (i32.mul (local.get $n) (i32.const 2654435761)) (i32.const 0x3ffe0))))
      (i32.store offset=12 (local.get $q) (i32.add (i32.load (local.get $q)) (i32.add (i32.load offset=4 (local.get $q))
        (i32.load offset=8 (local.get $q)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $q))`;
const PLAIN = `(module ${CODE})`;
const MAPPING = `(module
  (import "perdure_kernel" "seg_create" (func $create (param i64) (result i32)))
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  (import "perdure_kernel" "seg_unmap" (func $unmap (param i32) (result i32)))
  (import "perdure_kernel" "cap_revoke" (func $revoke (param i32) (result i32)))
  (import "perdure_kernel" "cap_count" (func $count (result i32)))
  (import "perdure_kernel" "seg_copy" (func $copy (param i32) (result i32)))
  (import "perdure_kernel" "cap_close" (func $close (param i32) (result i32)))
  ${CODE}
  (export "create" (func $create))
  (func (export "map") (param $h i32) (param $bytes i64) (result i32)
    (i32.wrap_i64 (call $map (local.get $h) (i64.const 0) (local.get $bytes) (i32.const 3) (i32.const 0))))
  ;; n times: maps, adds up a byte of each page, unmaps
  (func (export "look") (param $h i32) (param $bytes i64) (param $n i32) (result i32)
    (local $at i32) (local $p i32) (local $end i32) (local $s i32)
    (loop $l
      (local.set $at (i32.wrap_i64 (call $map (local.get $h) (i64.const 0) (local.get $bytes) (i32.const 1) (i32.const 0))))
      (local.set $p (local.get $at))
      (local.set $end (i32.add (local.get $at) (i32.wrap_i64 (local.get $bytes))))
      (loop $m
        (local.set $s (i32.add (local.get $s) (i32.load8_u (local.get $p))))
        (br_if $m (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 4096))) (local.get $end))))
      (drop (call $unmap (local.get $at)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "mapping") (param $h i32) (param $bytes i64) (param $n i32) (result i32)
    (loop $l
      (drop (call $unmap (i32.wrap_i64 (call $map (local.get $h) (i64.const 0) (local.get $bytes) (i32.const 3) (i32.const 0)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.const 0))
  ;; n times: a copy of the segment is made, a byte of what is mapped at p is written, the copy is closed
  (func (export "snapshot") (param $h i32) (param $p i32) (param $n i32) (result i32) (local $c i32)
    (loop $l
      (local.set $c (call $copy (local.get $h)))
      (i32.store8 (local.get $p) (local.get $n))
      (drop (call $close (local.get $c)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $c))
  ;; n times: some work in a window, and a call, which revokes something else or does nothing
  (func (export "bystander") (param $p i32) (param $h i32) (param $n i32) (result i32) (local $s i32) (local $i i32)
    (loop $l
      (local.set $i (i32.const 16))
      (loop $m
        (local.set $s (i32.add (local.get $s) (i32.load (i32.add (local.get $p) (i32.and (local.get $s) (i32.const 0xffc))))))
        (br_if $m (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (if (local.get $h) (then (drop (call $revoke (local.get $h)))) (else (drop (call $count))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))`;

class Bench {
  readonly kernel: Kernel = newKernel();
  readonly #ids = new Map<string, number>();

  async add(name: string, text: string): Promise<void> {
    const limits = { capabilities: 100_000 };
    const memoryLimitBytes = 2 ** 30;
    const module = await install(text);
    this.#ids.set(name, this.kernel.createDomain({ name, module, resident: true, limits, memoryLimitBytes }));
  }
  call(name: string, what: string, ...args: (number | bigint)[]): number {
    const outcome = this.kernel.invoke(
      this.#ids.get(name)!,
      what,
      args.map((a) => (typeof a === 'number' ? a | 0 : a)),
    );
    if (outcome.kind !== 'returned') throw new Error(`${name}: ${what} ${JSON.stringify(outcome)}`);
    return Number(BigInt.asIntN(32, outcome.results[0]!.low));
  }
  domain(name: string) {
    return this.kernel.core.peek(this.#ids.get(name)!)!;
  }
  /** Nanoseconds of processor time of one of `n`, several times. */
  timed(n: number, act: () => unknown): number[] {
    const before = performance.now();
    act();
    act();
    const times = Math.ceil((2 * LEAST_MS) / (performance.now() - before));
    const once = (): number => {
      const start = process.threadCpuUsage();
      for (let i = 0; i < times; i++) act();
      const { user, system } = process.threadCpuUsage(start);
      return ((user + system) * 1e3) / (n * times);
    };
    for (let i = 0; i < WARM; i++) once();
    return Array.from({ length: RUNS }, once);
  }
}

/** Kernels of guests/ with windows against without, both made to be suspended and tracked. */
async function taxesOf(print: (line: string) => void): Promise<Record<string, unknown>> {
  const rows: string[][] = [['program', 'with windows', 'size']];
  const values: Record<string, Figure> = {};
  for (const [name, path, args] of await standard(print)) {
    const task: ChildTask = {
      program: path,
      args: [name, ...args],
      runs: RUNS,
      warm: 3,
      variants: ['both', 'windows'],
    };
    const run = spawnSync(process.execPath, [
      join(import.meta.dirname, 'taxes-child.ts'),
      JSON.stringify(task),
    ]);
    const { ms, bytes } = JSON.parse(run.stdout.toString()) as ChildResult;
    if (!ms.windows || !ms.both) continue;
    const f = figure(ms.windows.map((t, i) => t / ms.both![i]!));
    values[name] = f;
    rows.push([
      name,
      `${short(f.value)} (${short(f.min)}-${short(f.max)})`,
      `${short(bytes.windows! / bytes.both!)}x`,
    ]);
  }
  const mean = geomean(Object.values(values).map(({ value }) => value));
  rows.push(['geometric mean', short(mean), '']);
  print(table(rows));
  return { ...values, geomean: mean };
}

async function inside(print: (line: string) => void): Promise<Record<string, unknown>> {
  const bench = new Bench();
  await bench.add('without', PLAIN);
  await bench.add('with', MAPPING);
  const handle = bench.call('with', 'create', 1n << 20n);
  const near = bench.call('with', 'map', handle, 1n << 20n);
  const N = 200_000;
  const rows: string[][] = [['ns an access or round', 'without windows', 'own memory', 'in a window']];
  const result: Record<string, unknown> = {};
  for (const what of KERNELS) {
    const of = (name: string, p: number): number =>
      median(
        bench.timed(N * 10, () => {
          for (let i = 0; i < 10; i++) bench.call(name, what, p, N);
        }),
      );
    const [without, own, window] = [of('without', 1 << 20), of('with', 1 << 20), of('with', near)];
    rows.push([
      what,
      short(without),
      `${short(own)} (${short(own / without)}x)`,
      `${short(window)} (${short(window / without)}x)`,
    ]);
    result[what] = { without, own: own / without, window: window / without };
  }
  print(table(rows));
  return result;
}

async function handing(print: (line: string) => void): Promise<Record<string, unknown>> {
  const bench = new Bench();
  await bench.add('a', MAPPING);
  await bench.add('b', MAPPING);
  const { clists } = bench.kernel.core;
  const rows: string[][] = [
    ['us', 'map, unmap', 'pass, map, look, unmap', 'pipe', 'worker, copy', 'worker, transfer'],
  ];
  const result: Record<string, unknown> = {};
  await using there = await pipe();
  await using other = await worker();
  for (const size of SIZES) {
    const handle = bench.call('a', 'create', BigInt(size));
    bench.call('a', 'writes', bench.call('a', 'map', handle, BigInt(size)), size / 4);
    const N = 20_000;
    const map = figure(bench.timed(N, () => bench.call('a', 'mapping', handle, BigInt(size), N)));
    const passed = clists.pass(bench.domain('a'), handle, bench.domain('b'), RIGHTS_ALL);
    const looks = Math.max(200, Math.min(N, 2 ** 31 / size));
    const look = median(bench.timed(looks, () => bench.call('b', 'look', passed, BigInt(size), looks)));
    const pass = median(
      bench.timed(N, () => {
        for (let i = 0; i < N; i++)
          clists.close(
            bench.domain('b'),
            clists.pass(bench.domain('a'), handle, bench.domain('b'), RIGHTS_ALL),
          );
      }),
    );
    const count = size > KIB * KIB ? 20 : 200;
    const [byPipe, byCopy, byTransfer] = [
      await there.handOver(size, count),
      await other.handOver(size, 'copy', count),
      await other.handOver(size, 'transfer', count),
    ].map((ms) => median(ms) * 1000) as [number, number, number];
    const us = (look + pass) / 1000;
    rows.push([
      `${size / KIB} KiB`,
      short(map.value / 1000),
      short(us),
      short(byPipe),
      short(byCopy),
      short(byTransfer),
    ]);
    result[size / KIB] = {
      mapNs: map,
      handNs: look + pass,
      passNs: pass,
      pipeUs: byPipe,
      copyUs: byCopy,
      transferUs: byTransfer,
    };
    if (size === KIB * KIB) print(aim('times the rate of a pipe at 1 MiB', byPipe / us, 20, true));
  }
  print(table(rows));
  return result;
}

/** A copy and one write, beside what a copy of all bytes takes in JavaScript. */
async function copying(print: (line: string) => void): Promise<Record<string, unknown>> {
  const rows: string[][] = [['segment', 'us: copy, write a byte, close', 'Buffer.from of it, and a byte']];
  const result: Record<string, unknown> = {};
  for (const size of COPIED) {
    const bench = new Bench();
    await bench.add('a', MAPPING);
    const handle = bench.call('a', 'create', BigInt(size));
    const near = bench.call('a', 'map', handle, BigInt(size));
    bench.call('a', 'writes', near, size / 4);
    const N = 2000;
    const us = median(bench.timed(N, () => bench.call('a', 'snapshot', handle, near, N))) / 1000;
    const bytes = Buffer.alloc(size, 1);
    const times = Math.max(2, (256 * KIB * KIB) / size);
    const plain = median(
      bench.timed(times, () => {
        for (let i = 0; i < times; i++) {
          const copy = Buffer.from(bytes);
          bytes[i] = copy[i]! + 1;
        }
      }),
    );
    rows.push([`${size / KIB / KIB} MiB`, short(us), short(plain / 1000)]);
    result[size / KIB / KIB] = { us, bufferUs: plain / 1000 };
  }
  print(table(rows));
  return result;
}

async function revoking(print: (line: string) => void): Promise<Record<string, unknown>> {
  const rows: string[][] = [['mappers', 'segment', 'ns to revoke']];
  const result: Record<string, unknown> = {};
  for (const mappers of MAPPERS) {
    for (const size of [64 * KIB, 16 * KIB * KIB]) {
      const bench = new Bench();
      const domains = Math.min(mappers, 10);
      for (let i = 0; i <= domains; i++) await bench.add(`d${i}`, MAPPING);
      const { clists, windows } = bench.kernel.core;
      const owner = bench.domain('d0');
      const handle = bench.call('d0', 'create', BigInt(size));
      // All have one mapped; those of the large one a part of it, for near addresses are few.
      for (let i = 0; i < mappers; i++) {
        const to = bench.domain(`d${1 + (i % domains)}`);
        const found = clists.find(to, clists.pass(owner, handle, to, RIGHTS_ALL), 0, OBJECT.segment);
        if (typeof found === 'number') throw new Error(`passing gave ${found}`);
        const near = windows.map(to, { ...found, offset: 0, bytes: 64 * KIB, writable: true, near: 0 });
        if (near < 0) throw new Error(`mapping gave ${near}`);
        windows.resolve(to, near, 4, true);
      }
      const ns = median(
        bench.timed(REVOCATIONS, () => {
          for (let i = 0; i < REVOCATIONS; i++) clists.revoke(owner, handle);
        }),
      );
      rows.push([String(mappers), `${size / KIB} KiB`, short(ns)]);
      result[`${mappers} of ${size / KIB} KiB`] = ns;
      if (mappers === 10_000) print(aim(`ns to revoke, ${mappers} mappers of ${size / KIB} KiB`, ns, 1000));
    }
  }
  print(table(rows));
  return result;
}

async function bystanders(print: (line: string) => void): Promise<Record<string, unknown>> {
  const bench = new Bench();
  await bench.add('a', MAPPING);
  const other = bench.call('a', 'create', 4096n);
  const handle = bench.call('a', 'create', 65536n);
  const near = bench.call('a', 'map', handle, 65536n);
  const N = 100_000;
  const of = (h: number, p: number): number =>
    median(bench.timed(N, () => bench.call('a', 'bystander', p, h, N)));
  const [calm, revoked] = [of(0, near), of(other, near)];
  // Of what a revocation and the call of it take, so much is the revoker's own.
  const own = of(other, 1 << 20) - of(0, 1 << 20);
  const share = Math.max(0, revoked - calm - own);
  print(
    `a bystander asks again after a revocation: ${short(share)} ns; at 10,000 a second that is ${short((share * 1e4) / 1e7)} % of its time`,
  );
  return { askedAgainNs: share, percentAt10000: (share * 1e4) / 1e7 };
}

export const windows: Group = async (_args, print) => ({
  inside: await inside(print),
  handing: await handing(print),
  copying: await copying(print),
  files: await files(print),
  revoking: await revoking(print),
  bystanders: await bystanders(print),
  taxes: await taxesOf(print),
});
