import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageHasher, UNKNOWN_HASH } from './hash.ts';
import { Prng, seedFrom } from './prng.ts';

const MASK = (1n << 64n) - 1n;
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);
const random = new Prng(seed);
const randomBytes = (n: number): Uint8Array => new Uint8Array(n).map(() => random.u32());
const key = randomBytes(16);
type Half = readonly [number, number];
const half = (h: PageHasher): Half => [h.out[0]!, h.out[1]!];

/** The same function, slowly and plainly: NH twice, then the mix. */
function reference(keyBytes: Uint8Array, page: Uint8Array): bigint {
  const view = new DataView(keyBytes.buffer);
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [number, number, number, number];
  d = (d ^ 0x9e3779b9) >>> 0;
  const words: bigint[] = [];
  for (let i = -16; i < 1044; i++) {
    const m = Math.imul(b, 5);
    if (i >= 0) words.push(BigInt(Math.imul((m << 7) | (m >>> 25), 9) >>> 0));
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
  }
  const data = new DataView(page.buffer, page.byteOffset);
  const m = (i: number): bigint => BigInt(data.getUint32(i * 4, true));
  const low = (x: bigint): bigint => x & 0xffff_ffffn;
  const nh = (shift: number): bigint => {
    let sum = 0n;
    for (let i = 0; i < 1024; i += 8) {
      for (let j = i; j < i + 4; j++) {
        sum += low(m(j) + words[j + shift]!) * low(m(j + 4) + words[j + 4 + shift]!);
      }
    }
    return sum & MASK;
  };
  const long = (i: number): bigint => words[i]! | (words[i + 1]! << 32n);
  const mix = (h: bigint): bigint => {
    h = ((h ^ (h >> 33n)) * 0xff51afd7ed558ccdn) & MASK;
    h = ((h ^ (h >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK;
    return h ^ (h >> 33n);
  };
  return mix(mix((nh(4) + long(1042)) & MASK) ^ ((nh(0) + long(1040)) & MASK));
}

test('the module computes what the plain definition says', () => {
  const hasher = new PageHasher(key);
  for (let i = 0; i < 20; i++) {
    const bytes = randomBytes(4096);
    if (i % 3 === 1) bytes.fill(0, random.below(4096));
    bytes[random.below(4096)] = 1;
    hasher.hash(bytes, 0);
    const [low, high] = half(hasher);
    assert.equal((BigInt(high) << 32n) | BigInt(low), reference(key, bytes));
  }
});

test('the page of zeros, and it alone, has hash 0', () => {
  const hasher = new PageHasher(key);
  hasher.hash(new Uint8Array(4096), 0);
  assert.deepEqual(half(hasher), [0, 0]);
  for (let bit = 0; bit < 4096 * 8; bit += 37) {
    const page = new Uint8Array(4096);
    page[bit >> 3] = 1 << (bit & 7);
    hasher.hash(page, 0);
    assert.notDeepEqual(half(hasher), [0, 0], `bit ${bit}`);
    assert.notDeepEqual(half(hasher), [UNKNOWN_HASH, UNKNOWN_HASH], `bit ${bit}`);
  }
});

test('a flipped bit, swapped words and another key change the hash', () => {
  const hasher = new PageHasher(key);
  const other = new PageHasher(randomBytes(16));
  const page = randomBytes(4096);
  const words = new Uint32Array(page.buffer);
  hasher.hash(page, 0);
  const before = half(hasher);
  other.hash(page, 0);
  assert.notDeepEqual(half(other), before);
  for (let i = 0; i < 2000; i++) {
    const at = random.below(4096);
    const flip = 1 << random.below(8);
    page[at]! ^= flip;
    hasher.hash(page, 0);
    assert.notDeepEqual(half(hasher), before, `byte ${at}`);
    page[at]! ^= flip;
    const [x, y] = [random.below(1024), random.below(1024)];
    if (words[x] === words[y]) continue;
    [words[x], words[y]] = [words[y]!, words[x]!];
    hasher.hash(page, 0);
    assert.notDeepEqual(half(hasher), before, `words ${x} and ${y}`);
    [words[x], words[y]] = [words[y]!, words[x]!];
  }
  hasher.hash(page, 0);
  assert.deepEqual(half(hasher), before);
});

test('pages of a shared 64-bit memory hash in place as copies of them do', () => {
  const Memory = (
    globalThis as unknown as { WebAssembly: { Memory: new (d: object) => { buffer: SharedArrayBuffer } } }
  ).WebAssembly.Memory;
  const memory = new Memory({ initial: 1024n, maximum: 262144n, shared: true, address: 'i64' });
  const space = new Uint8Array(memory.buffer);
  const numbers = new Uint32Array([0, 16383, 7, 8, 100]);
  for (const page of numbers.subarray(0, 4)) space.set(randomBytes(4096), page * 4096);
  const hasher = new PageHasher(key, memory);
  const copies = new PageHasher(key);
  hasher.hashPages(numbers, 1, 4);
  for (let i = 0; i < 4; i++) {
    copies.hash(space, numbers[i + 1]! * 4096);
    assert.deepEqual([hasher.out[i * 2], hasher.out[i * 2 + 1]], half(copies));
  }
  assert.deepEqual([hasher.out[6], hasher.out[7]], [0, 0], 'page 100 was never written');
});

test('a run of pages hashes as its pages one by one', () => {
  const hasher = new PageHasher(key);
  const count = hasher.stagePages;
  const bytes = randomBytes(count * 4096 + 100);
  hasher.hashRun(bytes, 100, count);
  const run = hasher.out.slice(0, count * 2);
  for (let i = 0; i < count; i++) {
    hasher.hash(bytes, 100 + i * 4096);
    assert.deepEqual(half(hasher), [run[i * 2], run[i * 2 + 1]]);
  }
});

test('the hash of bytes depends on every byte, on their number and their order', () => {
  const hasher = new PageHasher(key);
  const seen = new Set<string>();
  const bytes = randomBytes(10000);
  for (const length of [0, 1, 2, 4087, 4088, 4089, 8176, 9999, 10000]) {
    hasher.hashBytes(bytes.subarray(0, length));
    seen.add(half(hasher).join());
    hasher.hashBytes(new Uint8Array(length));
    seen.add(half(hasher).join());
  }
  assert.equal(seen.size, 17, 'the empty one is the same twice');
  hasher.hashBytes(bytes);
  const before = half(hasher);
  for (let i = 0; i < 200; i++) {
    const at = random.below(10000);
    bytes[at]! ^= 0x10;
    hasher.hashBytes(bytes);
    assert.notDeepEqual(half(hasher), before);
    bytes[at]! ^= 0x10;
  }
});
