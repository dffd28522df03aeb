import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { type Destination, OUTBOX_RECORD_BYTES, Outbox, STDERR, STDOUT } from './outbox.ts';
import { TestMemory } from './outbox-memory.testing.ts';
import { Block } from './outbox-memory.ts';
import { TestMeter } from './outbox-meter.testing.ts';
import { type Meter, UNMETERED } from './outbox-meter.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

function makeOutbox(memory: TestMemory, maxBytes: number, meter: Meter = UNMETERED): Outbox {
  const block = Block.create(memory, OUTBOX_RECORD_BYTES);
  assert.ok(block);
  memory.root(1).set(block.address);
  return new Outbox(block, 0, maxBytes, false, meter);
}

function recovered(memory: TestMemory, maxBytes: number, meter: Meter = UNMETERED): Outbox {
  return new Outbox(new Block(memory, memory.root(1).get()), 0, maxBytes, true, meter);
}

test(`an outbox agrees with a list of bytes under random use (seed ${seed})`, () => {
  const random = new Prng(seed);
  for (let round = 0; round < 20; round++) {
    let memory = new TestMemory();
    const max = 1 + random.below(20000);
    let meter = new TestMeter(1 << 20);
    let outbox = makeOutbox(memory, max, meter);
    let model: { byte: number; to: Destination; payer: number }[] = [];
    let dropped = 0;
    for (let step = 0; step < 300; step++) {
      const action = random.below(4);
      if (action < 2) {
        const to = random.pick([STDOUT, STDERR] as const);
        const bytes = Uint8Array.from({ length: random.below(random.chance(0.1) ? 9000 : 40) }, () =>
          random.below(256),
        );
        const payer = 16 * random.below(3);
        const taken = outbox.append(to, bytes, payer);
        assert.equal(taken, Math.min(bytes.length, max - model.length));
        for (const byte of bytes.subarray(0, taken)) model.push({ byte, to, payer });
      } else if (action === 2) {
        const count = random.below(model.length + 1);
        outbox.drop(outbox.head + count);
        model = model.slice(count);
        dropped += count;
      } else if (random.chance(0.1)) {
        memory = TestMemory.from(memory.image());
        meter = meter.copy();
        outbox = recovered(memory, max, meter);
      }
      for (const payer of [16, 32]) {
        const runs = model.filter(
          ({ to, payer: by }, i) => by === payer && (model[i - 1]?.to !== to || model[i - 1]?.payer !== by),
        );
        const kept = model.filter((each) => each.payer === payer).length;
        assert.equal(meter.charged.get(payer) ?? 0, kept + 16 * runs.length);
      }
      assert.equal(outbox.head, dropped);
      assert.equal(outbox.tail, dropped + model.length);
    }
    const seen: typeof model = [];
    let at = outbox.head;
    for (;;) {
      const piece = outbox.piece(at, outbox.tail, 1 + random.below(100));
      if (piece === undefined) break;
      for (const byte of piece.bytes) seen.push({ byte, to: piece.destination, payer: piece.payer });
      at += piece.bytes.length;
    }
    assert.deepEqual(seen, model);
    const toOut = model.filter((each) => each.to === STDOUT).length;
    assert.equal(outbox.countBetween(STDOUT, outbox.head, outbox.tail), toOut);
    outbox.clear();
    assert.equal(meter.total, 0);
    assert.equal(memory.blocks, 1, 'an emptied outbox keeps only its record');
  }
});

test('bytes may leave when the checkpoint that holds them is durable, not before', () => {
  const memory = new TestMemory();
  const outbox = makeOutbox(memory, 1000);
  outbox.append(STDOUT, Buffer.from('one'), 0);
  assert.equal(outbox.limit, 0);
  outbox.cut(1);
  outbox.append(STDOUT, Buffer.from('two'), 0);
  outbox.cut(2);
  outbox.append(STDERR, Buffer.from('three'), 0);
  outbox.durable(1);
  assert.equal(outbox.limit, 3);
  outbox.durable(2);
  assert.equal(outbox.limit, 6);
  assert.equal(recovered(memory, 1000).limit, 11, 'what was recovered is durable');
});

test('a full space refuses bytes and loses none that were taken', () => {
  const memory = new TestMemory();
  const outbox = makeOutbox(memory, 1 << 20);
  memory.limitBytes = 20000;
  let taken = 0;
  const line = Buffer.alloc(500, 'x');
  for (let count = 0; count < 100; count++) taken += outbox.append(STDOUT, line, 0);
  assert.ok(taken >= 4000 && taken < 50000);
  assert.equal(outbox.piece(0, outbox.tail, 1 << 20)?.bytes.length, taken);
  assert.equal(outbox.append(STDERR, line, 0), 0);
  assert.equal(outbox.piece(0, outbox.tail, 1 << 20)?.bytes.length, taken);
});
