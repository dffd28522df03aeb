import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Prng, seedFrom } from '../../base/prng.ts';
import type { Image } from '../../kernel/outbox-memory.testing.ts';
import { type HostDirectory, type HostFile, type Operation, WOULD_BLOCK } from '../../kernel/ports.ts';
import { openOptions, scratch, shape, TestProcess, tick } from './testing.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const ROOT = 1; // the first object of a space is the folder granted here

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
  assert.equal(p.meter.total, 0, 'what is out is paid for no more');
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
