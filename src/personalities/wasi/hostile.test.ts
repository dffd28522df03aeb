import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Prng, seedFrom } from '../../base/prng.ts';
import { Blocked, Exited, Guest, MEMORY_BYTES, Trapped } from './guest.testing.ts';
import { FakeListener, FakePorts, FakeSocket } from './ports.testing.ts';
import { FUNCTION_NAMES, signatureOf } from './signatures.ts';

/** Numbers at the edges of what pointers, lengths, counts, flags and descriptors can be. */
const EDGES = [
  0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 64, 255, 256, 4095, 4096, 65535, 65536, 0x7fffffff, -0x80000000, -1, -8,
];
const WIDE_EDGES = [0n, 1n, 4n, 100n, 2n ** 32n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, -1n, -(2n ** 63n)];

function argument(random: Prng): number {
  switch (random.below(5)) {
    case 0:
      return random.pick(EDGES);
    case 1:
      return MEMORY_BYTES - random.below(80);
    case 2:
      return random.below(8); // a descriptor
    case 3:
      return random.below(MEMORY_BYTES);
    default:
      return random.below(64);
  }
}

/** Guest memory that has something in it: small numbers, pointers, names. */
function scribble(random: Prng, guest: Guest): void {
  const { memory } = guest;
  for (let i = 0; i < 64; i++) {
    const at = random.below(MEMORY_BYTES - 64);
    for (let k = 0; k < 48; k += 4) {
      const value = random.chance(0.3) ? random.u32() : argument(random);
      new DataView(memory.buffer, memory.byteOffset + at + k).setUint32(0, value, true);
    }
  }
  for (let i = 0; i < 32; i++) {
    memory.set(
      new TextEncoder().encode(random.pick(['a/b', '../x', 'dir', 'l', './a//', '.\0a', 'ü'])),
      random.below(4000),
    );
  }
}

/** So many calls with any arguments; how often each errno came. Everything that must hold is asserted on the way. */
function attack(seed: number, calls: number): Map<number, number> {
  const random = new Prng(seed);
  const ports = new FakePorts();
  const make = (): Guest => {
    const guest = new Guest({
      ports,
      grants: [
        { kind: 'tree', path: '/h', guest: '/' },
        { kind: 'listener', id: 50 },
        { kind: 'socket', id: 51 },
      ],
    });
    ports.objects.set(50, new FakeListener(50));
    ports.objects.set(51, new FakeSocket(51));
    return guest;
  };
  let guest = make();
  const results = new Map<number, number>();
  for (let i = 0; i < calls; i++) {
    if (i % 3000 === 2999) guest = make();
    if (i % 50 === 0) scribble(random, guest);
    if (random.chance(0.1)) ports.stdin.say('some input');
    const name = random.pick(FUNCTION_NAMES);
    const args = Array.from(signatureOf(name), (type) =>
      type === 'i'
        ? argument(random) | 0
        : random.chance(0.5)
          ? random.pick(WIDE_EDGES)
          : BigInt(random.below(5000)),
    );
    try {
      const result = guest.call(name, ...args);
      assert.ok(Number.isInteger(result) && result >= 0 && result <= 76, `${name} gave ${result}`);
      results.set(result, (results.get(result) ?? 0) + 1);
    } catch (error) {
      const expected = error instanceof Blocked || error instanceof Exited || error instanceof Trapped;
      assert.ok(
        expected,
        `${name}(${args.join(', ')}): ${error instanceof Error ? error.stack : String(error)}`,
      );
    }
    if (i % 1000 === 0) guest.recover();
  }
  guest.checkCanaries();
  return results;
}

describe('hostile calls', () => {
  it('with any arguments and any memory end in an errno, and touch nothing outside', () => {
    const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
    console.log(`seed ${seed}`);
    attack(seed, 12_000);
  });

  it('get far enough to fail in many ways', () => {
    // Of a seed that is always the same, so this is so every time or never.
    const results = attack(1, 6000);
    assert.ok((results.get(0) ?? 0) > 500, 'many calls do something');
    assert.ok(results.size > 12, `many ways to fail: ${[...results.keys()].join(' ')}`);
  });

  it('whose results do not fit change nothing', () => {
    const guest = new Guest();
    const fd = guest.open('file', { oflags: 1 });
    const bad = MEMORY_BYTES - 3;
    assert.equal(guest.errno('fd_write', fd, ...guest.vectors(guest.put('data')), bad), 'FAULT');
    assert.equal(guest.size(fd), 0);
    assert.equal(guest.errno('path_open', 3, 0, ...guest.put('new'), 1, 2n, 0n, 0, bad), 'FAULT');
    assert.equal(guest.tryOpen('new'), 'NOENT');
    guest.write(fd, 'data');
    assert.equal(guest.errno('fd_seek', fd, 0n, 0, bad), 'FAULT');
    const out = guest.room(8);
    guest.ok('fd_tell', fd, out);
    assert.equal(guest.u64(out), 4n);
    assert.equal(guest.errno('fd_write', fd, ...guest.vectors(guest.put('ok'), [bad, 4]), out), 'FAULT');
    assert.equal(guest.errno('fd_write', fd, bad - 4, 1, out), 'FAULT');
    assert.equal(guest.errno('fd_write', fd, 0, -1, out), 'FAULT');
    assert.equal(guest.errno('fd_read', 0, ...guest.vectors([0xffff_fff0, 32]), out), 'FAULT');
    assert.equal(guest.size(fd), 4);
  });

  it('with a thousand and more buffers, or gigabytes, move a part', () => {
    const guest = new Guest();
    const fd = guest.open('file', { oflags: 1 });
    const out = guest.room(4);
    const many = Array.from({ length: 2000 }, () => [0, 1] as [number, number]);
    guest.ok('fd_write', fd, ...guest.vectors(...many), out);
    assert.equal(guest.u32(out), 1024);
  });
});
