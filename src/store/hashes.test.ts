import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../base/prng.ts';
import { HashSum, PageHashes } from './hashes.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);
const random = new Prng(seed);

test('the sum over pages depends on each page, its hash and its place, not on the order of changes', () => {
  const pages = Array.from({ length: 200 }, (_, i) => [i * 3, random.u32(), random.u32()] as const);
  const sumOf = (list: readonly (readonly [number, number, number])[]): HashSum => {
    const sum = new HashSum();
    for (const [page, low, high] of list) sum.add(page, low, high);
    return sum;
  };
  const sum = sumOf(pages);
  assert.ok(sum.equals(sumOf([...pages].reverse())));
  const detour = sum.copy();
  detour.add(9999, 1, 2);
  detour.remove(...pages[7]!);
  assert.ok(!detour.equals(sum));
  detour.add(...pages[7]!);
  detour.remove(9999, 1, 2);
  assert.ok(detour.equals(sum));
  for (let round = 0; round < 500; round++) {
    const changed = pages.map((page) => [...page] as [number, number, number]);
    const [a, b] = [changed[random.below(200)]!, changed[random.below(200)]!];
    if (a === b) continue;
    const kind = random.below(4);
    if (kind === 0) a[1] = (a[1] ^ (1 << random.below(32))) >>> 0;
    else if (kind === 1) a[2] = (a[2] ^ (1 << random.below(32))) >>> 0;
    else if (kind === 2) [a[0], b[0]] = [b[0], a[0]];
    else a[0] += 1;
    assert.ok(!sumOf(changed).equals(sum), `round ${round}, kind ${kind}`);
  }
});

test('a table of hashes knows which pages have content, and forgets freed ones', () => {
  const hashes = new PageHashes();
  hashes.set(5, 1, 0);
  hashes.set(6, 0, 1);
  assert.deepEqual(
    [4, 5, 6].map((page) => hashes.isStored(page)),
    [false, true, true],
  );
  assert.ok(hashes.has(5, 1, 0) && !hashes.has(5, 1, 1) && hashes.has(4, 0, 0));
  hashes.forget(new Uint32Array([5, 6, 7]));
  assert.ok(!hashes.isStored(5) && !hashes.isStored(6));
});
