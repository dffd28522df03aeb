import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MalformedError } from '../base/errors.ts';
import { CHANNEL_MESSAGE_BYTES, PAGE_BYTES } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import {
  type Delta,
  DeltaReader,
  encodeOrder,
  encodeStop,
  MESSAGE,
  MessageReader,
  message,
  type Order,
  STOP,
  type Stop,
} from './channel.ts';

const LIMITS = { pages: [20, 300], stateBytes: 96, scratchBytes: 64, frameBytes: 5_000_000 };
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);

function randomBytes(random: Prng, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, () => random.below(256));
}

function randomDelta(random: Prng): Delta {
  const sizes = [random.below(21), random.below(301)];
  const pages = sizes.flatMap((size, memory) => {
    const numbers = Uint32Array.from({ length: size * 16 }, (_, page) => page).filter(
      () => random.below(9) === 0,
    );
    if (numbers.length === 0) return [];
    return [{ memory, numbers, data: new Uint8Array(numbers.length * PAGE_BYTES).fill(random.below(256)) }];
  });
  return {
    ...{ sizes, pages, state: randomBytes(random, 96), scratch: randomBytes(random, 64) },
    keptFrameBytes: 8 * random.below(1000),
    frames: new Uint8Array(random.pick([0, 8, 5000, 3_000_000])).fill(random.below(256)),
    tables: random.below(2) === 0 ? null : Int32Array.from([1, 0, 2, random.below(9), -1]),
  };
}

function randomStop(random: Prng): Stop {
  return {
    ...randomDelta(random),
    ...{ reason: random.below(5), memoryRefused: random.below(2) === 0, deadline: BigInt(random.below(1e9)) },
    ...{ text: 'wörds', trace: 'at one\nat two' },
  };
}

/** What comes out at the other end, cut into pieces of any size on the way. */
function receive(bytes: Uint8Array, random: Prng): (Order | Stop)[] {
  const messages = new MessageReader();
  const deltas = new DeltaReader(LIMITS);
  const got: (Order | Stop)[] = [];
  for (let at = 0; at < bytes.length; ) {
    const piece = bytes.subarray(at, at + 1 + random.below(random.pick([3, 100, 70_000, 3_000_000])));
    at += piece.length;
    for (const { kind, payload } of messages.push(piece)) {
      if (kind === MESSAGE.order) got.push(deltas.order(payload));
      else if (kind === MESSAGE.stop) got.push(deltas.stop(payload));
      else deltas.part(kind, payload);
    }
  }
  return got;
}

/** Pages of a run that was cut into messages, together again. */
const joined = (all: (Order | Stop)[]) =>
  all.map((one) => {
    const pages = new Map<string, number>();
    for (const { memory, numbers, data } of one.pages) {
      numbers.forEach((page, i) => {
        assert.ok(
          data.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES).every((byte, _, all) => byte === all[0]),
        );
        pages.set(`${memory} ${page}`, data[i * PAGE_BYTES]!);
      });
    }
    return { ...one, pages, state: [...one.state], scratch: [...one.scratch] };
  });

test('orders and stops come out as they went in, wherever the bytes are cut', () => {
  const random = new Prng(seed);
  for (let round = 0; round < 12; round++) {
    const orders = Array.from({ length: 3 }, () => ({
      ...randomDelta(random),
      ...{ fresh: random.below(2) === 0, now: BigInt(random.below(1e9)) },
    }));
    assert.deepEqual(joined(receive(Buffer.concat(orders.flatMap(encodeOrder)), random)), joined(orders));
    const stops = Array.from({ length: 3 }, () => randomStop(random));
    assert.deepEqual(joined(receive(Buffer.concat(stops.flatMap(encodeStop)), random)), joined(stops));
  }
});

test('bytes changed on the way are refused as malformed, or are another stop within the limits', () => {
  const random = new Prng(seed + 1);
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    const stop = { ...randomStop(random), frames: new Uint8Array(40), pages: [] };
    if (random.below(2) === 0) {
      stop.pages.push({
        memory: 1,
        numbers: Uint32Array.of(0, 2),
        data: new Uint8Array(2 * PAGE_BYTES),
      } as never);
    }
    const bytes = Buffer.concat(encodeStop(stop));
    for (let n = 1 + random.below(3); n > 0; n--) {
      const at = random.below(random.pick([24, bytes.length]));
      bytes[at] = random.below(256);
    }
    try {
      for (const { sizes, keptFrameBytes, frames, pages } of receive(bytes, random)) {
        assert.ok(sizes.every((size, i) => size <= LIMITS.pages[i]!));
        assert.ok(keptFrameBytes + frames.length <= LIMITS.frameBytes);
        for (const { memory, numbers } of pages) assert.ok(numbers.every((n) => n < sizes[memory]! * 16));
      }
    } catch (error) {
      assert.ok(error instanceof MalformedError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 50, `${refused} refused`);
});

test('more than there can be is refused before it is kept', () => {
  const refuses = (what: RegExp, ...parts: Uint8Array[][]): void => {
    const random = new Prng(1);
    assert.throws(() => receive(Buffer.concat(parts.flat()), random), what);
  };
  const page = (memory: number, number: number): Uint8Array[] =>
    message(
      MESSAGE.pages,
      new Uint8Array(Uint32Array.of(memory, 1, number).buffer),
      new Uint8Array(PAGE_BYTES),
    );
  refuses(/a page past the end/, page(0, 320));
  refuses(/not there/, page(2, 0));
  refuses(/out of order/, page(0, 5), page(0, 5));
  refuses(/wrong length/, message(MESSAGE.pages, new Uint8Array(Uint32Array.of(0, 2, 0).buffer)));
  const frames = message(MESSAGE.frames, new Uint8Array(CHANNEL_MESSAGE_BYTES));
  refuses(/more saved frames/, frames, frames, frames, frames, frames);
  refuses(/none belongs/, message(77));
  refuses(/a message of 4294967295 bytes/, [Uint8Array.of(8, 0, 0, 0, 255, 255, 255, 255)]);
  const stop = randomStop(new Prng(2));
  const bare = { ...stop, pages: [], frames: new Uint8Array(0), tables: null };
  refuses(/larger than it may be/, encodeStop({ ...bare, sizes: [21, 0] }));
  refuses(
    /past the end/,
    encodeStop({
      ...bare,
      sizes: [0, 0],
      pages: [{ memory: 0, numbers: Uint32Array.of(0), data: new Uint8Array(PAGE_BYTES) }],
    }),
  );
  refuses(/number of memories/, encodeStop({ ...bare, sizes: [1] }));
  refuses(/another length/, encodeStop({ ...bare, state: new Uint8Array(3) }));
  refuses(/a reason that is none/, encodeStop({ ...bare, reason: STOP.waiting + 1 }));
  refuses(/ends early/, message(MESSAGE.stop, new Uint8Array(7)));
});
