/**
 * For tests only: a process to be killed. It runs a counting program on the console driver, whose space it keeps in a
 * file (written beside and renamed: a checkpoint is whole or not there), and prints line by line until it is done.
 *
 * node victim.testing.ts FOLDER LINES POLICY; the release log is a file of the folder too. Standard input is summed up
 * into the last line.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type Image, TestMemory } from '../kernel/outbox-memory.testing.ts';
import { UNMETERED } from '../kernel/outbox-meter.ts';
import { WOULD_BLOCK } from '../kernel/ports.ts';
import { ConsoleDriver } from './console.ts';
import { openInput } from './input.ts';
import type { ReleasePolicy } from './release.ts';
import { openSinkPair } from './sink.ts';

const [folder = '', lineCount = '0', policy = 'at-least-once'] = process.argv.slice(2);
const lines = Number(lineCount);
const spaceFile = join(folder, 'space');
const logFile = join(folder, 'log');

function save(image: Image): void {
  const head = JSON.stringify({ blocks: [...image.blocks], next: image.next });
  fs.writeFileSync(`${spaceFile}.new`, Buffer.concat([Buffer.from(`${head}\n`), image.bytes]));
  fs.renameSync(`${spaceFile}.new`, spaceFile);
}

function load(): TestMemory {
  if (!fs.existsSync(spaceFile)) return new TestMemory();
  const all = fs.readFileSync(spaceFile);
  const end = all.indexOf(10);
  const head = JSON.parse(all.toString('utf8', 0, end)) as { blocks: [number, number][]; next: number };
  return TestMemory.from({
    bytes: new Uint8Array(all.subarray(end + 1)),
    blocks: new Map(head.blocks),
    next: head.next,
  });
}

const positions: Record<string, number> = fs.existsSync(logFile)
  ? JSON.parse(fs.readFileSync(logFile, 'utf8'))
  : {};
const memory = load();
const driver = new ConsoleDriver({
  memory,
  root: memory.root(1),
  wake: () => {},
  meter: UNMETERED,
  log: {
    get: (key) => positions[key],
    set: async (key, position) => {
      positions[key] = position;
      fs.writeFileSync(`${logFile}.new`, JSON.stringify(positions));
      fs.renameSync(`${logFile}.new`, logFile);
    },
  },
  policy: policy as ReleasePolicy,
  prefix: 'auto',
});
const line = memory.root(2);
const sum = memory.root(3);
if (!driver.has(1)) driver.open(1, 'victim', { detached: false });
driver.bind(openSinkPair(1, 2));
driver.attachInput(1, openInput(0));
const { stdin, stdout, stderr } = driver.streams(1);

/** One step of the program; false when it has to wait. */
function step(): boolean {
  const n = line.get();
  if (n < lines) {
    const stream = n % 5 === 4 ? stderr : stdout;
    const text = Buffer.from(`line ${n} ${'#'.repeat(n % 37)}\n`);
    const taken = stream.write(text);
    if (taken === WOULD_BLOCK) return false;
    if (taken !== text.length) process.exit(3);
    line.set(n + 1);
    return true;
  }
  const into = new Uint8Array(1000);
  const count = stdin.read(into);
  if (count === WOULD_BLOCK) return false;
  for (const byte of into.subarray(0, Math.max(0, count))) sum.set((sum.get() * 31 + byte) % 1000003);
  if (count > 0) return true;
  if (n === lines) {
    stdout.write(Buffer.from(`sum ${sum.get()}\n`));
    line.set(n + 1);
  }
  return false;
}

for (let seq = 1; ; seq++) {
  for (let count = 0; count < 7; count++) if (!step()) break;
  driver.cut(seq);
  save(memory.image());
  driver.durable(seq);
  await new Promise((resolve) => setTimeout(resolve, 0));
  if (line.get() > lines && driver.settled() && !driver.wantsCheckpoint()) process.exit(0);
}
