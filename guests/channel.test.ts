import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Prng, seedFrom } from '../src/base/prng.ts';
import type { Domain } from '../src/kernel/domain.ts';
import { load, TestSystem } from '../src/kernel/kernel.testing.ts';
import type { LoadedModule } from '../src/kernel/program.ts';
import { canBuild, guest } from './build.ts';

const skip = canBuild('stream');
let loaded: LoadedModule | undefined;
async function stream(): Promise<LoadedModule> {
  loaded ??= load(readFileSync(await guest('stream')));
  return loaded;
}

/** Two domains at a channel in a segment; `receiver` made it. */
class Channel extends TestSystem {
  segment = 0;
  async open(slots: number, bytes: number): Promise<void> {
    for (const name of ['receiver', 'sender']) this.add(name, await stream(), { resident: true });
    this.segment = this.call('receiver', 'create', slots, bytes);
    const there = this.kernel.core.clists.pass(this.of('receiver'), this.segment, this.of('sender'), 255);
    assert.equal(this.call('receiver', 'open', this.segment, slots, bytes, 1), 0);
    assert.equal(this.call('sender', 'open', there, slots, bytes, 0), 0);
  }
  of(name: string): Domain {
    return this.kernel.core.peek(this.kernel.find(name)) as Domain;
  }
  call(name: string, entry: string, ...args: number[]): number {
    const end = this.kernel.invoke(this.of(name).id, entry, args);
    assert.equal(end.kind, 'returned');
    return end.kind === 'returned' ? Number(BigInt.asIntN(32, end.results[0]?.low ?? 0n)) : -1;
  }
  begin(name: string, entry: string, ...args: number[]): void {
    this.kernel.start(this.of(name).id, entry, args);
  }
  isDone(name: string): boolean {
    return ['created', 'idle'].includes(this.kernel.status(this.of(name).id).state);
  }
  result(name: string): number {
    assert.ok(this.isDone(name), this.kernel.status(this.of(name).id).reason);
    return this.call(name, 'outcome');
  }
}

test('every message comes once, in order and whole, whatever happens to the two in between', {
  skip,
}, async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  for (let life = 0; life < 6; life++) {
    const prng = new Prng(seed + life);
    const system = new Channel({ stress: life % 3 === 2 });
    await system.open(2 ** prng.below(4), 64 * (1 + prng.below(30)));
    const messages = 60;
    system.begin('receiver', 'listen', messages, seed & 0xffff);
    system.begin('sender', 'talk', messages, seed & 0xffff);
    system.checkpoint();
    for (let step = 0; !system.isDone('receiver') || !system.isDone('sender'); step++) {
      assert.ok(step < 100_000, `life ${life}: they get on`);
      system.kernel.run({ maxSlices: 1 + prng.below(3) });
      const act = prng.below(life % 3 === 2 ? 400 : 60);
      const { id } = system.of(prng.pick(['receiver', 'sender']));
      if (act < 3) system.checkpoint();
      else if (act === 3) system.crash();
      else if (act === 4) system.kernel.relocate(id);
      else if (act === 5) system.kernel.compact();
      else if (act === 6 && system.kernel.stop(id)) {
        system.kernel.run({ maxSlices: 3 });
        system.kernel.resume(id);
      }
    }
    assert.equal(system.result('sender'), messages, `life ${life}`);
    assert.equal(system.result('receiver'), messages, `life ${life}`);
  }
});

test('whatever the other side writes into the channel, a receiver gets messages, errors or nothing, and no more', {
  skip,
}, async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const system = new Channel();
  await system.open(4, 128);
  const { segments, clists } = system.kernel.core;
  const found = clists.find(system.of('receiver'), system.segment);
  assert.ok(typeof found !== 'number');
  const { object } = found;
  system.begin('receiver', 'survive', 400);
  const bytes = 128 + 4 * 192;
  for (let step = 0; step < 100_000 && !system.isDone('receiver'); step++) {
    const at = segments.address(object) + 4 * prng.below(bytes / 4);
    system.space.setU32(at, prng.pick([0, 1, 2, 4, 128, 129, 0x7fff_ffff, 0xffff_ffff, prng.u32()]));
    if (prng.chance(0.3)) system.space.setU32(segments.address(object) + 4, 0);
    system.kernel.wake(system.of('receiver').id);
    system.kernel.run({ maxSlices: 2 });
    system.powers.ns += BigInt(prng.below(2000));
  }
  assert.ok(system.result('receiver') >= 0);
});

test('where the segment is revoked, whoever waits at the channel is told or stopped, and the other goes on', {
  skip,
}, async () => {
  const system = new Channel();
  await system.open(4, 128);
  system.begin('sender', 'send', 100, 64);
  system.runAll();
  assert.ok(!system.isDone('sender'), 'the channel is full');
  assert.equal(system.kernel.core.clists.revoke(system.of('receiver'), system.segment), 0);
  system.runAll();
  assert.ok(system.isDone('sender'));
  assert.equal(system.kernel.core.waits?.count, 0);
});
