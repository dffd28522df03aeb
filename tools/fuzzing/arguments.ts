/** Arguments that hurt, for the functions the fuzzer runs: numbers at the edges of everything an address may be. */
import type { Prng } from '../../src/base/prng.ts';

/** A number as a parameter of this type takes it. */
export function argument(type: number, value: bigint): unknown {
  if (type === 0x7e) return BigInt.asIntN(64, value);
  if (type === 0x7f) return Number(BigInt.asIntN(32, value));
  return type === 0x7d || type === 0x7c ? Number(value) : null;
}

/** A near address, or a number, that hurts. */
export function hostile(prng: Prng, limits: readonly number[], controlBytes: number): bigint {
  const limit = BigInt(limits.length > 0 ? prng.pick(limits) : 0);
  const near = BigInt(prng.below(40)) - 20n;
  // Just inside for checks of the usual reaches, or just not.
  const edge = limit - BigInt(prng.pick([1, 4, 8, 9, 16, 64])) + BigInt(prng.below(3)) - 1n;
  return prng.pick([
    ...[edge, edge, edge, limit + near, near, near],
    ...[-1n - BigInt(prng.below(8)), -1n - BigInt(prng.below(64))],
    BigInt(prng.below(65536)),
    0x80000000n + near,
    0xffffffffn + near,
    -BigInt(controlBytes) + near,
    (1n << 63n) + near,
    BigInt(prng.u32()),
    (1n << 40n) + near,
    -BigInt(prng.below(1 << 24)),
  ]);
}
