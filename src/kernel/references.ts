/**
 * References between JavaScript and the bits that stand for them in frames and results: a function by its index in the
 * program, a host reference by a number that only a volatile domain gives (others cannot keep any).
 */
import { type Domain, FLAG } from './domain.ts';
import { EXNREF, EXTERNREF, FUNCREF, type RawValue } from './frames.ts';
import type { ValueType } from './program.ts';

export const isReference = (type: ValueType): boolean =>
  type === FUNCREF || type === EXTERNREF || type === EXNREF;

/** The bits of a reference; null for one that this domain cannot keep. */
export function toReference(domain: Domain, type: ValueType, value: unknown): RawValue | null {
  if (value === null || value === undefined) return { type, low: 0xffffffffn, high: 0n };
  let index: number;
  if (type === FUNCREF) index = domain.instance?.refIndex(value) ?? -1;
  else index = domain.hasFlag(FLAG.volatile) ? domain.keepExtern(value) : -1;
  return index < 0 ? null : { type, low: BigInt(index), high: 0n };
}

/** The reference for its bits; null where they stand for none. */
export function fromReference(domain: Domain, { type, low }: RawValue): unknown {
  const index = Number(BigInt.asIntN(32, low));
  return type === FUNCREF ? (domain.instance?.refOf(index) ?? null) : domain.externOf(index);
}
