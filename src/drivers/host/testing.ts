/** For tests of host folders: a process with a space, whose checkpoints and crashes the test decides. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Image, TestMemory } from '../../kernel/outbox-memory.testing.ts';
import { TestMeter } from '../../kernel/outbox-meter.testing.ts';
import {
  type HostDirectory,
  type HostFile,
  type HostOpenOptions,
  type Operation,
  WOULD_BLOCK,
} from '../../kernel/ports.ts';
import { DriverState } from '../state.ts';
import type { HostProblem } from './core.ts';
import { HostFolders } from './folders.ts';

export const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What was charged when an image was taken: it is in the space, too. */
const meters = new WeakMap<Image, TestMeter>();

export class TestProcess {
  readonly memory: TestMemory;
  readonly folders: HostFolders;
  readonly meter: TestMeter;
  readonly problems: Parameters<HostProblem>[0][] = [];
  readonly woken: number[] = [];
  seq = 0;

  /** @param image the checkpoint it starts from, none for a new space. */
  constructor(image?: Image, limitBytes = 1 << 20, powerSafe = true) {
    this.meter = (image && meters.get(image)?.copy()) ?? new TestMeter(limitBytes);
    this.memory = image === undefined ? new TestMemory() : TestMemory.from(image);
    this.folders = new HostFolders({
      state: new DriverState(this.memory, this.memory.root(1)),
      wake: (domain) => void this.woken.push(domain),
      now: () => BigInt(Date.now()) * 1_000_000n,
      problem: (problem) => void this.problems.push(problem),
      meter: this.meter,
      powerSafe,
    });
  }

  cut(): Image {
    this.folders.cut(++this.seq);
    const image = this.memory.image();
    meters.set(image, this.meter.copy());
    return image;
  }

  /** A checkpoint, durable at once, and time for what it lets go. */
  async checkpoint(): Promise<void> {
    this.cut();
    this.folders.durable(this.seq);
    await this.settle();
  }

  async settle(): Promise<void> {
    while (!this.folders.settled()) await tick();
  }

  /** Calls until the call no longer blocks, with a checkpoint whenever it does. */
  async run<T>(call: (op: Operation) => T | number): Promise<T | number> {
    const op: Operation = { domain: 1, effect: 0 };
    for (;;) {
      const result = call(op);
      if (result !== WOULD_BLOCK) return result;
      await this.checkpoint();
    }
  }

  /** Opens and throws where that fails. */
  async open(directory: HostDirectory, path: string, options: Partial<HostOpenOptions>): Promise<HostFile> {
    const result = await this.run((op) =>
      directory.open(op, Buffer.from(path, 'latin1'), openOptions(options)),
    );
    if (typeof result === 'number' || result.kind !== 'file') throw new Error(`open ${path}: ${result}`);
    return result;
  }
}

export function openOptions(options: Partial<HostOpenOptions>): HostOpenOptions {
  return {
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    follow: true,
    read: true,
    write: false,
    ...options,
  };
}

/** A folder that goes when the test ends. */
export function scratch(t: { after(callback: () => void): void }): string {
  const folder = fs.mkdtempSync(join(tmpdir(), 'perdure-host-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What is in a folder: path to kind, content or target, and which names are one file. */
export function shape(folder: string): Record<string, string> {
  const out: Record<string, string> = {};
  const firstName = new Map<bigint, string>();
  const visit = (at: string): void => {
    for (const name of fs.readdirSync(join(folder, at)).sort()) {
      const path = at === '' ? name : `${at}/${name}`;
      const stat = fs.lstatSync(join(folder, path), { bigint: true });
      const same = firstName.get(stat.ino);
      if (stat.isDirectory()) {
        out[path] = 'directory';
        visit(path);
      } else if (stat.isSymbolicLink()) out[path] = `-> ${fs.readlinkSync(join(folder, path))}`;
      else if (same !== undefined) out[path] = `= ${same}`;
      else {
        firstName.set(stat.ino, path);
        out[path] = fs.readFileSync(join(folder, path), 'latin1');
      }
    }
  };
  visit('');
  return out;
}
