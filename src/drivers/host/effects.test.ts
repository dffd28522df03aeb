import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERRNO, errnoName } from '../../abi/errno.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import type { Image } from '../../kernel/outbox-memory.testing.ts';
import { type HostDirectory, type HostFile, type Operation, WOULD_BLOCK } from '../../kernel/ports.ts';
import { openOptions, scratch, TestProcess, tick } from './testing.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const ROOT = 1; // the first object of a space is the folder granted in these tests

/** What is in a folder: path to kind, content or target, and which names are one file. */
function shape(folder: string): Record<string, string> {
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

interface Case {
  readonly name: string;
  /** Something a stranger did between the crash and the restart, and what then comes of it. */
  readonly stranger?: (folder: string) => void;
  readonly call: (op: Operation, root: HostDirectory, file: HostFile) => unknown;
  readonly errno?: number;
  readonly after: Record<string, string>;
}

const START = { a: 'aaaa', d: 'directory', 'd/x': 'xx', e: 'directory', l: '-> a' };
const open = openOptions({ create: true, exclusive: true, write: true });

/** Every kind of effect; `errno` and `after` hold wherever the process dies. */
const CASES: readonly Case[] = [
  { name: 'create', call: (op, root) => root.open(op, bytes('new'), open), after: { ...START, new: '' } },
  {
    name: 'makeDirectory',
    call: (op, root) => root.makeDirectory(op, bytes('n')),
    after: { ...START, n: 'directory' },
  },
  {
    name: 'removeDirectory',
    call: (op, root) => root.removeDirectory(op, bytes('e')),
    after: { a: 'aaaa', d: 'directory', 'd/x': 'xx', l: '-> a' },
  },
  {
    name: 'removeDirectory of a full one',
    call: (op, root) => root.removeDirectory(op, bytes('d')),
    errno: ERRNO.NOTEMPTY,
    after: START,
  },
  {
    name: 'unlink',
    call: (op, root) => root.unlink(op, bytes('d/x')),
    after: { a: 'aaaa', d: 'directory', e: 'directory', l: '-> a' },
  },
  {
    name: 'rename',
    call: (op, root) => root.rename(op, bytes('a'), root, bytes('e/b')),
    after: { d: 'directory', 'd/x': 'xx', e: 'directory', 'e/b': 'aaaa', l: '-> a' },
  },
  {
    name: 'rename over another',
    call: (op, root) => root.rename(op, bytes('a'), root, bytes('d/x')),
    after: { d: 'directory', 'd/x': 'aaaa', e: 'directory', l: '-> a' },
  },
  {
    name: 'rename of a directory',
    call: (op, root) => root.rename(op, bytes('d'), root, bytes('e')),
    after: { a: 'aaaa', e: 'directory', 'e/x': 'xx', l: '-> a' },
  },
  {
    name: 'link',
    call: (op, root) => root.link(op, bytes('a'), false, root, bytes('e/b')),
    after: { ...START, 'e/b': '= a' },
  },
  {
    name: 'symlink',
    call: (op, root) => root.symlink(op, bytes('../a'), bytes('e/s')),
    after: { ...START, 'e/s': '-> ../a' },
  },
  { name: 'setSize', call: (op, _root, file) => file.setSize(op, 2), after: { ...START, a: 'aa' } },
  {
    name: 'truncation by opening',
    call: (op, root) => root.open(op, bytes('a'), openOptions({ truncate: true, write: true })),
    after: { ...START, a: '' },
  },
  {
    name: 'setTimes',
    call: (op, root) => root.setTimes(op, bytes('l'), true, { accessedNs: null, modifiedNs: 7_000_000_000n }),
    after: START,
  },
  { name: 'sync', call: (op, _root, file) => file.sync(op), after: START },
  {
    name: 'write then sync',
    call: (op, _root, file) => {
      if (op.effect === 0) assert.equal(file.write(op, bytes('BB'), 3), 2);
      return file.sync(op);
    },
    after: { ...START, a: 'aaaBB' },
  },
];

function fill(folder: string): void {
  fs.mkdirSync(join(folder, 'd'));
  fs.mkdirSync(join(folder, 'e'));
  fs.writeFileSync(join(folder, 'a'), 'aaaa');
  fs.writeFileSync(join(folder, 'd', 'x'), 'xx');
  fs.symlinkSync('a', join(folder, 'l'));
}

interface Begun {
  readonly image: Image;
  readonly file: number;
  readonly effect: number;
}

/** Runs a case to where its intent is in a checkpoint, and lets it go as far as `reach` says. */
async function begin(
  folder: string,
  each: Case,
  reach: 'before' | 'intent' | 'applied' | 'recorded',
): Promise<Begun> {
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  assert.equal(root.id, ROOT);
  const file = await p.open(root, 'a', { write: true });
  let image = p.cut();
  const op: Operation = { domain: 1, effect: 0 };
  if (reach === 'before') {
    assert.equal(each.call(op, root, file), WOULD_BLOCK);
    // Not durable, so nothing may have reached the host.
    assert.deepEqual(shape(folder), START);
    await p.folders.close();
    return { image, file: file.id, effect: 0 };
  }
  assert.equal(each.call(op, root, file), WOULD_BLOCK);
  image = p.cut();
  assert.equal(p.folders.wantsCheckpoint(), false);
  assert.deepEqual(shape(folder), START);
  if (reach !== 'intent') {
    p.folders.durable(p.seq);
    await p.settle();
    assert.deepEqual(shape(folder), each.after, each.name);
    assert.ok(p.woken.includes(1));
    if (reach === 'recorded') image = p.cut();
  }
  await p.folders.close();
  return { image, file: file.id, effect: op.effect };
}

/** Starts again from the checkpoint and goes on with the call. */
async function goOn(each: Case, { image, file, effect }: Begun): Promise<unknown> {
  const p = new TestProcess(image);
  const root = p.folders.object(ROOT) as HostDirectory;
  const object = p.folders.object(file) as HostFile;
  const op: Operation = { domain: 1, effect };
  for (;;) {
    await p.settle();
    const result = each.call(op, root, object);
    if (result !== WOULD_BLOCK) {
      // The outcome was collected: nothing of the effect stays behind.
      await p.checkpoint();
      await p.folders.close();
      return typeof result === 'object' ? 0 : result;
    }
    await p.checkpoint();
  }
}

for (const reach of ['before', 'intent', 'applied', 'recorded'] as const) {
  test(`every effect happens once when the process dies at: ${reach}`, async (t) => {
    for (const each of CASES) {
      const folder = scratch(t);
      fill(folder);
      const begun = await begin(folder, each, reach);
      const result = await goOn(each, begun);
      assert.equal(
        result === 0 ? 'SUCCESS' : errnoName(-(result as number)),
        errnoName(each.errno ?? 0),
        each.name,
      );
      assert.deepEqual(shape(folder), each.after, each.name);
    }
  });
}

test('what strangers did meanwhile is not taken for ours, nor undone', async (t) => {
  const put = (path: string, text: string) => (folder: string) => {
    fs.rmSync(join(folder, path), { force: true, recursive: true });
    fs.writeFileSync(join(folder, path), text);
  };
  const remove = (path: string) => (folder: string) => fs.rmSync(join(folder, path));
  const cases: (Case & { readonly reach: 'intent' | 'applied' })[] = [
    {
      name: 'a link was in the way',
      reach: 'intent',
      stranger: (folder) => fs.symlinkSync('elsewhere', join(folder, 'new')),
      call: (op, root) => root.open(op, bytes('new'), open),
      errno: ERRNO.EXIST,
      after: { ...START, new: '-> elsewhere' },
    },
    {
      name: 'a directory came where a file was to be',
      reach: 'intent',
      stranger: (folder) => fs.mkdirSync(join(folder, 'new')),
      call: (op, root) => root.open(op, bytes('new'), open),
      errno: ERRNO.EXIST,
      after: { ...START, new: 'directory' },
    },
    {
      name: 'the name was unlinked, and used for another file',
      reach: 'applied',
      stranger: put('d/x', 'another'),
      call: (op, root) => root.unlink(op, bytes('d/x')),
      after: { ...START, 'd/x': 'another' },
    },
    {
      name: 'the file to be renamed was taken away',
      reach: 'intent',
      stranger: remove('a'),
      call: (op, root) => root.rename(op, bytes('a'), root, bytes('b')),
      errno: ERRNO.NOENT,
      after: { d: 'directory', 'd/x': 'xx', e: 'directory', l: '-> a' },
    },
    {
      name: 'the file to be renamed was replaced',
      reach: 'intent',
      stranger: (folder) => {
        fs.writeFileSync(join(folder, 'other'), 'other');
        fs.renameSync(join(folder, 'other'), join(folder, 'a'));
      },
      call: (op, root) => root.rename(op, bytes('a'), root, bytes('b')),
      errno: ERRNO.NOENT,
      after: { ...START, a: 'other' },
    },
    {
      name: 'a symbolic link says something else',
      reach: 'intent',
      stranger: (folder) => fs.symlinkSync('other', join(folder, 'e/s')),
      call: (op, root) => root.symlink(op, bytes('../a'), bytes('e/s')),
      errno: ERRNO.EXIST,
      after: { ...START, 'e/s': '-> other' },
    },
    {
      name: 'another file has the name of the link',
      reach: 'intent',
      stranger: put('e/b', 'b'),
      call: (op, root) => root.link(op, bytes('a'), false, root, bytes('e/b')),
      errno: ERRNO.EXIST,
      after: { ...START, 'e/b': 'b' },
    },
  ];
  for (const each of cases) {
    const folder = scratch(t);
    fill(folder);
    const applied = each.reach === 'applied';
    const expected = {
      ...each,
      after: applied ? { a: 'aaaa', d: 'directory', e: 'directory', l: '-> a' } : each.after,
    };
    const begun = await begin(folder, expected, each.reach);
    each.stranger?.(folder);
    const result = await goOn(each, begun);
    assert.equal(
      result === 0 ? 'SUCCESS' : errnoName(-(result as number)),
      errnoName(each.errno ?? 0),
      each.name,
    );
    assert.deepEqual(shape(folder), each.after, each.name);
  }
});

test('reads see what is queued, the host only what is durable', async (t) => {
  const folder = scratch(t);
  fs.writeFileSync(join(folder, 'f'), '0123456789');
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { write: true });
  const op: Operation = { domain: 1, effect: 0 };
  assert.equal(file.write(op, bytes('AB'), 2), 2);
  assert.equal(file.write(op, bytes('Z'), 13), 1);
  const into = Buffer.alloc(20, '.');
  assert.equal(file.read(into, 0), 14);
  assert.equal(into.toString('latin1', 0, 14), '01AB456789\0\0\0Z');
  assert.equal(file.read(into, 11), 3);
  assert.equal(file.read(into, 14), 0);
  assert.equal(file.size(), 14);
  const stat = root.stat(bytes('f'), true);
  assert.equal(typeof stat === 'number' ? stat : stat.size, 14);
  const again = await p.open(root, 'f', {});
  await tick();
  assert.equal(again.read(into.subarray(0, 4), 1), 4);
  assert.equal(into.toString('latin1', 0, 4), '1AB4');
  assert.equal(fs.readFileSync(join(folder, 'f'), 'latin1'), '0123456789');
  assert.equal(p.folders.wantsCheckpoint(), true);
  await p.checkpoint();
  assert.equal(fs.readFileSync(join(folder, 'f'), 'latin1'), '01AB456789\0\0\0Z');
  assert.equal(file.read(into, 0), 14);
  assert.equal(p.folders.wantsCheckpoint(), false);
  await p.folders.close();
});

test('a full queue makes writers wait, and small writes share a block', async (t) => {
  const folder = scratch(t);
  const p = new TestProcess(undefined, 10000);
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  const op: Operation = { domain: 1, effect: 0 };
  const before = p.memory.blocks;
  let at = 0;
  for (; at < 3000; at += 3) assert.equal(file.write(op, bytes('abc'), at), 3);
  assert.ok(p.memory.blocks - before <= 1);
  assert.equal(file.write(op, new Uint8Array(50000), at), 7000);
  assert.equal(file.write(op, bytes('x'), 10000), WOULD_BLOCK);
  await p.checkpoint();
  assert.ok(p.woken.includes(1));
  assert.equal(file.write(op, bytes('x'), 10000), 1);
  file.close();
  assert.equal(p.folders.object(file.id), undefined);
  await p.checkpoint();
  assert.equal(fs.statSync(join(folder, 'f')).size, 10001, 'a closed file still gets what was written');
  p.folders.forget(1);
  await p.checkpoint();
  assert.equal(p.memory.blocks, 1, 'nothing is left but the root');
  await p.folders.close();
});

test('a file that is gone after a restart is stale; writes to it are dropped and told of', async (t) => {
  const folder = scratch(t);
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  const other = await p.open(root, 'g', { create: true, write: true });
  file.write({ domain: 1, effect: 0 }, bytes('lost'), 0);
  const image = p.cut();
  await p.folders.close();
  fs.rmSync(join(folder, 'f'));
  fs.rmSync(join(folder, 'g'));
  fs.writeFileSync(join(folder, 'g'), 'a stranger');
  const q = new TestProcess(image);
  await q.settle();
  assert.deepEqual(
    q.problems.map(({ path, errno, waits }) => ({ path, errno, waits })),
    [{ path: 'f', errno: ERRNO.STALE, waits: false }],
  );
  for (const id of [file.id, other.id]) {
    const found = q.folders.object(id) as HostFile;
    assert.equal(found.read(new Uint8Array(4), 0), -ERRNO.STALE);
    assert.equal(found.write({ domain: 1, effect: 0 }, bytes('x'), 0), -ERRNO.STALE);
    assert.equal(found.sync({ domain: 1, effect: 0 }), -ERRNO.STALE);
  }
  await q.folders.close();
});

test('a folder that is missing is waited for; one that was copied is taken by its paths', async (t) => {
  const home = scratch(t);
  const folder = join(home, 'folder');
  fs.mkdirSync(folder);
  const p = new TestProcess();
  const root = p.folders.grant(1, folder, false);
  const file = await p.open(root, 'f', { create: true, write: true });
  file.write({ domain: 1, effect: 0 }, bytes('text'), 0);
  const image = p.cut();
  await p.folders.close();
  fs.renameSync(folder, join(home, 'away'));
  const q = new TestProcess(image);
  q.folders.durable(1);
  assert.deepEqual(
    q.problems.map((each) => [each.folder, errnoName(each.errno), each.waits]),
    [[folder, 'NOENT', true]],
  );
  assert.equal(q.folders.settled(), false);
  fs.cpSync(join(home, 'away'), folder, { recursive: true });
  q.folders.durable(2);
  await q.settle();
  assert.equal(fs.readFileSync(join(folder, 'f'), 'latin1'), 'text');
  assert.equal((q.folders.object(file.id) as HostFile).size(), 4);
  assert.deepEqual(q.folders.granted(1), [{ id: ROOT, path: folder, readOnly: false }]);
  await q.folders.close();
});

/**
 * A program of random operations, the same for the same seed, whose progress, results and half-done call are in the
 * space (root slots 2..6). Files it has open are not removed or replaced: those do not outlive a process.
 */
class Program {
  readonly seed: number;
  readonly process: TestProcess;
  readonly folders: HostDirectory;
  constructor(seed: number, process: TestProcess) {
    this.seed = seed;
    this.process = process;
    this.folders = process.folders.object(ROOT) as HostDirectory;
    if (this.#slot(4) === 0) this.#setSlot(4, process.memory.allocate(8000));
  }

  get steps(): number {
    return this.#slot(2);
  }

  /** Results so far. */
  results(): number[] {
    const view = this.process.memory.view();
    return Array.from({ length: this.steps }, (_, index) => view.getInt32(this.#slot(4) + index * 4, true));
  }

  /** One operation, or one more call of it: false when it waits. */
  step(): boolean {
    const random = new Prng(this.seed * 1000 + this.steps);
    const slot = (): number => this.#slot(3);
    const set = (value: number): void => this.#setSlot(3, value);
    const op: Operation = {
      domain: 1,
      get effect() {
        return slot();
      },
      set effect(value) {
        set(value);
      },
    };
    const result = this.#operation(op, random);
    if (result === WOULD_BLOCK) return false;
    this.process.memory.view().setInt32(this.#slot(4) + this.steps * 4, result, true);
    this.#setSlot(2, this.steps + 1);
    return true;
  }

  #operation(op: Operation, random: Prng): number {
    const root = this.folders;
    const held = 5 + random.below(2);
    const name = (): Uint8Array =>
      bytes(random.pick(['p', 'q', 'd/r', 'd/s', 'd/t/u', 'd', 'd/t', 'e/z', 'l/s']));
    const kind = random.below(14);
    if (kind < 4) return this.#write(op, random, held);
    if (kind === 4) return this.#read(random, held);
    if (kind === 5) return this.#reopen(op, held);
    if (kind === 6) return root.makeDirectory(op, bytes(random.pick(['d', 'd/t', 'e'])));
    if (kind === 7) return root.removeDirectory(op, bytes(random.pick(['d', 'd/t', 'e'])));
    if (kind === 8) return root.rename(op, name(), root, name());
    if (kind === 9) return root.unlink(op, name());
    if (kind === 10) return root.link(op, name(), random.chance(0.5), root, name());
    if (kind === 11) return root.symlink(op, bytes('d'), bytes('l'));
    if (kind === 12) return this.#held(held)?.setSize(op, random.below(3000)) ?? 1;
    const options = openOptions({
      create: random.chance(0.8),
      exclusive: random.chance(0.3),
      truncate: random.chance(0.5),
      write: true,
    });
    const made = root.open(op, name(), options);
    if (typeof made === 'number') return made;
    made.close();
    return 0;
  }

  #held(slot: number): HostFile | undefined {
    const object = this.process.folders.object(this.#slot(slot));
    return object?.kind === 'file' ? object : undefined;
  }

  /** Files held open move with their directory `h`, which is renamed to and fro. */
  #reopen(op: Operation, slot: number): number {
    const root = this.folders;
    const here = typeof root.stat(bytes('h1'), false) === 'number' ? 'h2' : 'h1';
    const held = this.#held(slot);
    if (held !== undefined && op.effect === 0 && this.steps % 3 === 0) {
      held.close();
      this.#setSlot(slot, 0);
      return 2;
    }
    if (held !== undefined) {
      // Which name the directory has is decided once: an effect in doubt may have changed it.
      const from = op.effect === 0 ? here : this.#slot(7) === 1 ? 'h1' : 'h2';
      if (op.effect === 0) this.#setSlot(7, from === 'h1' ? 1 : 2);
      return root.rename(op, bytes(from), root, bytes(from === 'h1' ? 'h2' : 'h1'));
    }
    const made = root.open(op, bytes(`${here}/file${slot}`), openOptions({ create: true, write: true }));
    if (typeof made === 'number') return made;
    this.#setSlot(slot, made.id);
    return 3;
  }

  #write(op: Operation, random: Prng, slot: number): number {
    const text = Buffer.alloc(1 + random.below(400), 97 + random.below(26));
    return this.#held(slot)?.write(op, text, random.below(2000)) ?? 1;
  }

  #read(random: Prng, slot: number): number {
    const into = new Uint8Array(1000);
    const count = this.#held(slot)?.read(into, random.below(2000)) ?? 1;
    let sum = count;
    if (count > 0) for (const byte of into.subarray(0, count)) sum = (Math.imul(sum, 31) + byte) >>> 1;
    return sum & 0x3fffffff;
  }

  #slot(slot: number): number {
    return this.process.memory.root(slot).get();
  }
  #setSlot(slot: number, value: number): void {
    this.process.memory.root(slot).set(value);
  }
}

async function runProgram(
  seed: number,
  steps: number,
  folder: string,
  chaos: Prng | undefined,
  powerSafe: boolean,
): Promise<{ results: number[]; crashes: number }> {
  let p = new TestProcess(undefined, 1 << 20, powerSafe);
  p.folders.grant(1, folder, false);
  let program = new Program(seed, p);
  let durable = p.memory.image();
  let crashes = 0;
  let cuts: { seq: number; image: Image }[] = [];
  while (program.steps < steps || !p.folders.settled() || p.folders.wantsCheckpoint()) {
    const went = program.steps < steps && program.step();
    if (chaos === undefined) {
      if (!went) await p.checkpoint();
      continue;
    }
    const action = chaos.below(6);
    if (action === 0 || !went) cuts.push({ image: p.cut(), seq: p.seq });
    if (action === 1 || !went) {
      const next = cuts.shift();
      if (next !== undefined) {
        durable = next.image;
        if (!chaos.chance(0.05)) p.folders.durable(next.seq);
      }
    }
    if (action === 2) await tick();
    if (chaos.chance(0.06)) {
      await p.folders.close();
      p = new TestProcess(durable, 1 << 20, powerSafe);
      program = new Program(seed, p);
      cuts = [];
      crashes++;
    }
  }
  const results = program.results();
  await p.folders.close();
  return { results, crashes };
}

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

test(`a program that dies all the time does to the host what one does that lives (seed ${seed})`, async (t) => {
  let crashes = 0;
  for (let round = 0; round < 6; round++) {
    const [calm, torn] = [scratch(t), scratch(t)];
    for (const folder of [calm, torn]) fs.mkdirSync(join(folder, 'h1'));
    const programSeed = seed + round;
    const once = await runProgram(programSeed, 120, calm, undefined, false);
    const often = await runProgram(programSeed, 120, torn, new Prng(programSeed ^ 0x77), round === 0);
    crashes += often.crashes;
    assert.deepEqual(often.results, once.results, `program ${programSeed}`);
    assert.deepEqual(shape(torn), shape(calm), `program ${programSeed}`);
  }
  assert.ok(crashes > 20, `only ${crashes} crashes`);
});
