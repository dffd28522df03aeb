/**
 * Values of WebAssembly as bits, and to and from JavaScript and people. Bits, because a number loses the payload of a
 * NaN on its way through JavaScript.
 */
import { indexOf, moduleOf } from '../abi/frame.ts';
import { EXNREF, EXTERNREF, F32, F64, FUNCREF, I32, I64, type RawValue, V128 } from './frames.ts';
import type { ValueType } from './program.ts';

const scratch = new DataView(new ArrayBuffer(8));

/** What `start` and `invoke` take for a parameter: a number, a bigint, null for a reference, or the bits. */
export type Argument = number | bigint | null | RawValue;

/** The bits of an argument for a parameter of this type; null where it does not fit. */
export function toRaw(type: ValueType, value: Argument): RawValue | null {
  if (typeof value === 'object' && value !== null) return value.type === type ? value : null;
  switch (type) {
    case I32:
      if (typeof value !== 'number') return null;
      return { type, low: BigInt(value >>> 0), high: 0n };
    case I64:
      if (value === null) return null;
      return { type, low: BigInt.asUintN(64, BigInt(value)), high: 0n };
    case F32:
      scratch.setBigUint64(0, 0n);
      scratch.setFloat32(0, Number(value), true);
      return { type, low: BigInt(scratch.getUint32(0, true)), high: 0n };
    case F64:
      scratch.setFloat64(0, Number(value), true);
      return { type, low: scratch.getBigUint64(0, true), high: 0n };
    case FUNCREF:
    case EXTERNREF:
    case EXNREF:
      return value === null ? { type, low: 0xffffffffn, high: 0n } : null;
    default:
      return null;
  }
}

/** A number or bigint for the bits of a number; undefined for vectors and references. */
export function toNumber({ type, low }: RawValue): number | bigint | undefined {
  scratch.setBigUint64(0, low, true);
  switch (type) {
    case I32:
      return scratch.getInt32(0, true);
    case I64:
      return scratch.getBigInt64(0, true);
    case F32:
      return scratch.getFloat32(0, true);
    case F64:
      return scratch.getFloat64(0, true);
    default:
      return undefined;
  }
}

const NAMES: Readonly<Record<number, string>> = {
  [I32]: 'i32',
  [I64]: 'i64',
  [F32]: 'f32',
  [F64]: 'f64',
  [V128]: 'v128',
  [FUNCREF]: 'funcref',
  [EXTERNREF]: 'externref',
  [EXNREF]: 'exnref',
};
export const typeName = (type: ValueType): string => NAMES[type] ?? `type 0x${type.toString(16)}`;

/** For people: "-5", "1.5", "function 12", "null", "0x0123…" */
export function showValue(value: RawValue): string {
  const { type, low, high } = value;
  const number = toNumber(value);
  if (number !== undefined) return Object.is(number, -0) ? '-0' : String(number);
  if (type === V128) return `0x${((high << 64n) | low).toString(16).padStart(32, '0')}`;
  const index = Number(BigInt.asIntN(32, low));
  if (index === -1) return 'null';
  return type === FUNCREF
    ? `function ${indexOf(index)}${moduleOf(index) > 0 ? ` of made module ${moduleOf(index)}` : ''}`
    : type === EXNREF
      ? `exception of tag ${index}`
      : `reference ${index}`;
}
