/**
 * A file of the host mapped by a program that has far less memory than that: what the first touch of 64 KiB costs, and looking at all of
 * it; beside `readSync` into a buffer, which the same loop over plain memory then adds up.
 *
 * In processor time, the file being in the host's memory.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import wabt from 'wabt';
import { RIGHTS_ALL } from '../src/abi/objects.ts';
import { HostFolders } from '../src/drivers/host/folders.ts';
import { DriverState } from '../src/drivers/state.ts';
import { OutboxMeter } from '../src/kernel/account/meter.ts';
import { rootCell, stateMemory } from '../src/kernel/outbox-space.ts';
import type { HostFile, Ports } from '../src/kernel/ports.ts';
import { ROOT } from '../src/space/index.ts';
import { median, short, table } from './stats.ts';
import { install, kernelOptions, newKernel } from './system.ts';

const MIB = 1 << 20;
const FRAME = 65536;
const FILE_BYTES = 256 * MIB;
const MEMORY_BYTES = 16 * MIB;
const RUNS = 5;

const CODE = `
  (memory (export "memory") 2)
  (func (export "sum") (param $p i32) (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s) (i32.load (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "touch") (param $p i32) (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s) (i32.load (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const ${FRAME})))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))`;
const PLAIN = `(module ${CODE})`;
const MAPPING = `(module
  (import "perdure_kernel" "seg_map" (func $map (param i32 i64 i64 i32 i32) (result i64)))
  ${CODE}
  (func (export "map") (param $h i32) (param $bytes i64) (result i32)
    (i32.wrap_i64 (call $map (local.get $h) (i64.const 0) (local.get $bytes) (i32.const 1) (i32.const 0)))))`;

/** A kernel whose host objects are real files, and a folder granted to its first domain. */
function withFiles(folder: string) {
  let folders: HostFolders | undefined;
  const ports = { object: (id: number) => folders?.object(id) } as unknown as Ports;
  const kernel = newKernel({ ...kernelOptions().personality, ports });
  folders = new HostFolders({
    state: new DriverState(stateMemory(kernel.space), rootCell(kernel.space, ROOT.ports)),
    meter: new OutboxMeter(kernel.space, () => {}),
    wake: () => {},
    now: () => BigInt(Date.now()) * 1_000_000n,
    problem: () => {},
  });
  const how = { create: false, exclusive: false, truncate: false, directory: false };
  const open = (name: string): HostFile => {
    const options = { ...how, follow: true, read: true, write: false };
    const file = folders.grant(1, folder, true).open({ domain: 1, effect: 0 }, Buffer.from(name), options);
    if (typeof file === 'number' || file.kind !== 'file') throw new Error(`open gave ${file}`);
    return file;
  };
  return { kernel, open };
}

/** Microseconds of processor time. */
function micros(act: () => void): number {
  const start = process.threadCpuUsage();
  act();
  const { user, system } = process.threadCpuUsage(start);
  return user + system;
}
const often = (act: () => void): number => median(Array.from({ length: RUNS }, () => micros(act)));

/** What it takes in the space. */
async function mapped(folder: string): Promise<{ touch: number; stream: number; frames: number }> {
  const { kernel, open } = withFiles(folder);
  const { hosts, segments, peek } = kernel.core;
  const module = await install(MAPPING);
  const id = kernel.createDomain({ name: 'a', module, resident: true, memoryLimitBytes: MEMORY_BYTES });
  const call = (what: string, ...args: (number | bigint)[]): number => {
    const given = args.map((a) => (typeof a === 'number' ? a | 0 : a));
    const outcome = kernel.invoke(id, what, given);
    if (outcome.kind !== 'returned') throw new Error(JSON.stringify(outcome));
    return Number(outcome.results[0]?.low);
  };
  const file = open('file');
  const stat = file.stat();
  const domain = peek(id);
  if (typeof stat === 'number' || domain === undefined) throw new Error('no file');
  const held = hosts.capability({ kind: 'port', id: file.id });
  const handle = segments.createOver(domain, { ...held, stat }, RIGHTS_ALL);
  const near = call('map', handle, BigInt(FILE_BYTES));
  call('sum', near, FILE_BYTES / 4);
  const touch = often(() => call('touch', near, FILE_BYTES / FRAME));
  const stream = often(() => call('sum', near, FILE_BYTES / 4));
  return { touch, stream, frames: kernel.space.frames.usedCount };
}

/** What it takes without. */
async function read(folder: string): Promise<{ touch: number; stream: number }> {
  const parsed = (await wabt()).parseWat('plain.wat', PLAIN);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(parsed.toBinary({}).buffer.slice()));
  const { memory, sum } = exports as { memory: WebAssembly.Memory; sum: (p: number, n: number) => number };
  const buffer = new Uint8Array(memory.buffer, 0, FRAME);
  const fd = openSync(join(folder, 'file'), 'r');
  const each = (act: () => void): void => {
    for (let at = 0; at < FILE_BYTES; at += FRAME) {
      readSync(fd, buffer, 0, FRAME, at);
      act();
    }
  };
  each(() => sum(0, FRAME / 4));
  const touch = often(() => each(() => {}));
  const stream = often(() => each(() => sum(0, FRAME / 4)));
  closeSync(fd);
  return { touch, stream };
}

export async function files(print: (line: string) => void): Promise<Record<string, unknown>> {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-bench-'));
  try {
    writeFileSync(join(folder, 'file'), Buffer.alloc(FILE_BYTES, 'some text, and some more. '));
    const [there, plain] = [await mapped(folder), await read(folder)];
    const count = FILE_BYTES / FRAME;
    const gib = (us: number): string => short(FILE_BYTES / us / 1073.741824);
    print(
      table([
        [`a file of ${FILE_BYTES / MIB} MiB`, `mapped, in ${MEMORY_BYTES / MIB} MiB`, 'readSync'],
        ['us, first touch of 64 KiB', short(there.touch / count), short(plain.touch / count)],
        ['GiB/s, all words added up', gib(there.stream), gib(plain.stream)],
      ]),
    );
    print(`frames in use: ${there.frames}, of ${count} of the file`);
    return {
      touchUs: there.touch / count,
      readUs: plain.touch / count,
      streamUs: there.stream,
      readStreamUs: plain.stream,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
