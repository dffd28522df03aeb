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

/**
 * A number that hurts code which has these numbers in it: mostly just inside for a check of one of these reaches, or just
 * not. `wide`: it will be 64 bits wide, and may come close to wrapping.
 */
export function hurting(
  prng: Prng,
  limits: readonly number[],
  words: readonly number[],
  wide: boolean,
): bigint {
  const limit = BigInt(limits.length > 0 ? prng.pick(limits) : 0);
  const word = BigInt(words.length > 0 ? prng.pick(words) : 8);
  const small = prng.chance(0.5) ? 0n : BigInt(prng.below(5)) - 2n;
  if (wide && prng.chance(0.2)) return prng.chance(0.5) ? -word + small : -BigInt(prng.below(70000));
  switch (prng.below(14)) {
    case 0:
      return limit - word * BigInt(prng.below(40)) + small;
    case 1:
      return limit + small;
    case 2:
      return small;
    case 3:
      return (1n << 32n) - word + small;
    case 4:
      return word + small;
    case 5:
      return prng.pick([
        ...[-word + small, (1n << 31n) + small, (1n << 63n) + small, (1n << 40n) - word],
        BigInt(prng.u32()),
      ]);
    case 6:
      return limit - BigInt(prng.pick([1, 2, 4, 8, 16, 64, 4096])) + small;
    default: // just inside for a check of this reach, or just not
      return limit - word + small;
  }
}
