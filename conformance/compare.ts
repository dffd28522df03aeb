/**
 * Whether what an engine gave is what a script wants: results by exact bits and NaN patterns, traps by kind.
 */
import type { Outcome, TrapKind } from './engine.ts';
import { isNan } from './numbers.ts';
import type { NanPattern, Pattern, Value } from './script.ts';

function floatMatches(pattern: bigint | NanPattern, bits: bigint, width: 32 | 64): boolean {
  return typeof pattern === 'bigint' ? pattern === bits : isNan(bits, width, pattern);
}

/** Heap types under which a reference may be reported: an engine that knows only its top is believed. */
const TOPS: Readonly<Record<string, string>> = {
  nofunc: 'func',
  noextern: 'extern',
  noexn: 'exn',
  host: 'extern',
  func: 'func',
  extern: 'extern',
  exn: 'exn',
};

export function matches(pattern: Pattern, value: Value | undefined): boolean {
  if (value === undefined) return false;
  switch (pattern.type) {
    case 'either':
      return pattern.of.some((p) => matches(p, value));
    case 'ref': {
      if (value.type !== 'ref') return false;
      const wanted = TOPS[pattern.heap];
      if (wanted !== undefined && wanted !== TOPS[value.heap] && pattern.heap !== 'null') return false;
      return pattern.value === undefined
        ? pattern.heap === 'null'
          ? value.value === 'null'
          : value.value !== 'null'
        : pattern.value === value.value;
    }
    case 'v128':
      return (
        value.type === 'v128' &&
        pattern.lanes.every((lane, i) => {
          const bits = BigInt.asUintN(pattern.lane, value.bits >> BigInt(i * pattern.lane));
          return floatMatches(lane, bits, pattern.lane as 32 | 64);
        })
      );
    case 'f32':
      return value.type === 'f32' && floatMatches(pattern.bits, value.bits, 32);
    case 'f64':
      return value.type === 'f64' && floatMatches(pattern.bits, value.bits, 64);
    default:
      return value.type === pattern.type && value.bits === pattern.bits;
  }
}

/** The specification's words for traps, as kinds; where V8 has one message for two of them, either is right. */
const MESSAGES: readonly (readonly [RegExp, readonly TrapKind[]])[] = [
  [/^unreachable/, ['unreachable']],
  [/^out of bounds memory access/, ['memory']],
  [/^(out of bounds table access|undefined element|undefined)/, ['table']],
  [/^(indirect call type mismatch|uninitialized element|uninitialized)/, ['indirect', 'table']],
  [/^null (reference|function reference|exception reference|structure|array|i31)/, ['null', 'indirect']],
  [/^integer divide by zero/, ['divide']],
  // V8 says the same of a number too large to convert and of a NaN
  [/^integer overflow/, ['overflow', 'conversion']],
  [/^invalid conversion to integer/, ['conversion']],
  [/^unaligned atomic/, ['unaligned']],
  [/^call stack exhausted/, ['exhausted']],
];

/** Whether an outcome is the trap that a script's message stands for. */
export function isTrap(outcome: Outcome, message: string): boolean {
  if (outcome.kind !== 'trap') return false;
  const wanted = MESSAGES.find(([pattern]) => pattern.test(message))?.[1];
  return wanted === undefined ? false : wanted.includes(outcome.trap);
}

export function describe(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'trap':
      return `trap ${outcome.trap} (${outcome.message})`;
    case 'exception':
      return 'an exception';
    case 'values':
      return `[${outcome.values.map(show).join(', ')}]`;
  }
}

function show(value: Value): string {
  return value.type === 'ref'
    ? `ref.${value.heap} ${value.value}`
    : `${value.type} 0x${value.bits.toString(16)}`;
}
