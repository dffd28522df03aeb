/**
 * Values of procedures as people write and read them: integers in decimal or as 0x..., v128 as 32 hexadecimal digits in
 * the order of its bytes, a capability by what it is to, as behind `--grant NAME=`.
 */
import { EnvironmentError } from '../base/errors.ts';
import { F32, F64, I32, I64, V128 } from '../kernel/frames.ts';
import { typeName } from '../kernel/values.ts';
import { sourceOf } from './request.ts';
import type { CallResult, CallValue, WrittenValue } from './types.ts';

/** What a parameter is: its type, or a capability. */
export interface Wanted {
  readonly type: number;
  readonly capability: boolean;
}

/** The type for people: 'i32', …, 'capability'. */
export const wantedName = ({ type, capability }: Wanted): string =>
  capability ? 'capability' : typeName(type);

const INTEGER = /^-?(?:[0-9]+|0x[0-9a-f]+)$/i;
const FLOAT = /^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?$/i;
const SPECIAL: ReadonlyMap<string, number> = new Map([
  ['nan', Number.NaN],
  ['infinity', Number.POSITIVE_INFINITY],
  ['-infinity', Number.NEGATIVE_INFINITY],
]);

/** The value that is written. @throws EnvironmentError bad-argument, usage */
export function readWritten(
  procedure: string,
  { written }: WrittenValue,
  wanted: Wanted,
): Exclude<CallValue, WrittenValue> {
  if (wanted.capability) return { from: sourceOf(written, procedure) };
  const misfit = (hint: string): EnvironmentError => {
    const what = `${procedure}: "${written}" is no ${wantedName(wanted)}`;
    return new EnvironmentError('bad-argument', what, hint);
  };
  switch (wanted.type) {
    case I32:
    case I64: {
      const bits = wanted.type === I32 ? 32n : 64n;
      const value = INTEGER.test(written) ? integer(written) : null;
      if (value === null || value < -(1n << (bits - 1n)) || value >= 1n << bits) {
        throw misfit(`a whole number of ${bits} bits, in decimal or as 0x...`);
      }
      return bits === 32n ? Number(value) : value;
    }
    case F32:
    case F64: {
      const special = SPECIAL.get(written.toLowerCase());
      if (special === undefined && !FLOAT.test(written)) throw misfit('a number, NaN, Infinity or -Infinity');
      return special ?? Number(written);
    }
    default:
      if (wanted.type !== V128 || !/^[0-9a-f]{32}$/i.test(written)) {
        throw misfit('32 hexadecimal digits, the first byte first');
      }
      return new Uint8Array(Buffer.from(written, 'hex'));
  }
}

/** BigInt knows no minus before 0x. */
const integer = (text: string): bigint => (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text));

/** A result as a line. */
export function resultText(value: CallResult): string {
  const plain = resultPlain(value);
  return plain === null ? 'no capability' : Object.is(plain, -0) ? '-0' : String(plain);
}

/** A result for JSON: i64 in decimal, v128 in hex, what JSON has no number for as text; null for no capability. */
export function resultPlain(value: CallResult): number | string | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value.held === null ? null : 'capability';
}
