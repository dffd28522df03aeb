/**
 * The number literals of the text format as exact bits: integers with sign, hexadecimal and underscores; floats in
 * decimal and hexadecimal rounded once, to nearest even; infinities and NaNs with payloads. JavaScript's own parsing
 * would round a decimal f32 twice and lose payloads.
 */
import { MalformedError } from '../src/base/errors.ts';

/** An integer literal taken modulo 2^width, as a non-negative bigint. */
export function integerBits(literal: string, width: number): bigint {
  const text = literal.replaceAll('_', '');
  const match = /^([+-]?)(0x[0-9a-fA-F]+|[0-9]+)$/.exec(text);
  if (!match) throw new MalformedError(`not an integer: ${literal}`, -1);
  const magnitude = BigInt(match[2]!);
  return BigInt.asUintN(width, match[1] === '-' ? -magnitude : magnitude);
}

interface Format {
  /** Bits of the fraction stored, and of the exponent. */
  readonly fraction: number;
  readonly exponent: number;
}
const F32: Format = { fraction: 23, exponent: 8 };
const F64: Format = { fraction: 52, exponent: 11 };

function bitLength(n: bigint): number {
  return n === 0n ? 0 : n.toString(2).length;
}

/** numerator / denominator, both positive or zero, rounded to nearest even, without its sign. */
function round(numerator: bigint, denominator: bigint, format: Format): bigint {
  if (numerator === 0n) return 0n;
  const bias = 2 ** (format.exponent - 1) - 1;
  // e is such that 2^e <= value < 2^(e+1), or one too large; the loop settles it
  let e = bitLength(numerator) - bitLength(denominator);
  const least = 1 - bias;
  const scaled = (exponent: number): [bigint, bigint] => {
    const shift = format.fraction - exponent;
    return shift >= 0
      ? [numerator << BigInt(shift), denominator]
      : [numerator, denominator << BigInt(-shift)];
  };
  let [n, d] = scaled(e);
  if (n / d < 1n << BigInt(format.fraction)) [n, d] = scaled(--e);
  if (e < least) {
    e = least;
    [n, d] = scaled(e);
  }
  let significand = n / d;
  const rest = (n % d) * 2n;
  if (rest > d || (rest === d && (significand & 1n) === 1n)) significand++;
  // a significand with its hidden bit carries into the exponent by plain addition, and a subnormal becomes normal
  const hidden = 1n << BigInt(format.fraction);
  const bits = (BigInt(e + bias - 1) << BigInt(format.fraction)) + significand;
  const result = significand < hidden && e === least ? significand : bits;
  const infinity = BigInt(2 ** format.exponent - 1) << BigInt(format.fraction);
  return result > infinity ? infinity : result;
}

function magnitude(text: string, format: Format): bigint {
  const infinity = BigInt(2 ** format.exponent - 1) << BigInt(format.fraction);
  if (text === 'inf') return infinity;
  if (text === 'nan') return infinity | (1n << BigInt(format.fraction - 1));
  if (text.startsWith('nan:0x')) return infinity | BigInt(text.slice(4));
  const hex = /^0x([0-9a-fA-F]+)\.?([0-9a-fA-F]*)(?:[pP]([+-]?[0-9]+))?$/.exec(text);
  if (hex) {
    const digits = BigInt(`0x${hex[1]}${hex[2]}`);
    const power = Number(hex[3] ?? 0) - 4 * hex[2]!.length;
    return power >= 0
      ? round(digits << BigInt(power), 1n, format)
      : round(digits, 1n << BigInt(-power), format);
  }
  const decimal = /^([0-9]+)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?$/.exec(text);
  if (!decimal) throw new MalformedError(`not a number: ${text}`, -1);
  const digits = BigInt(decimal[1]! + decimal[2]!);
  const power = Number(decimal[3] ?? 0) - decimal[2]!.length;
  return power >= 0
    ? round(digits * 10n ** BigInt(power), 1n, format)
    : round(digits, 10n ** BigInt(-power), format);
}

function floatBits(literal: string, format: Format): bigint {
  const text = literal.replaceAll('_', '');
  const sign = text.startsWith('-') ? 1n << BigInt(format.fraction + format.exponent) : 0n;
  return sign | magnitude(text.replace(/^[+-]/, ''), format);
}

/** The bits of an f32 literal. */
export function f32Bits(literal: string): bigint {
  return floatBits(literal, F32);
}

/** The bits of an f64 literal. */
export function f64Bits(literal: string): bigint {
  return floatBits(literal, F64);
}

/** A NaN pattern: `canonical` is the quiet bit alone, `arithmetic` at least the quiet bit; either sign. */
export function isNan(bits: bigint, width: 32 | 64, pattern: 'canonical' | 'arithmetic'): boolean {
  const format = width === 32 ? F32 : F64;
  const unsigned = BigInt.asUintN(width - 1, bits);
  const quiet = BigInt(2 ** (format.exponent + 1) - 1) << BigInt(format.fraction - 1);
  return pattern === 'canonical' ? unsigned === quiet : (unsigned & quiet) === quiet;
}
