/** Upper bounds of i32 values, as far as the verifier follows them too (its rules are written there once more). */
import { OP } from '../wasm/opcodes.ts';

/**
 * The most that an i32 instruction of two operands gives when they are at most x and y; Infinity where that is not known.
 * `literal`: the second operand where it is a constant, else -1. Constants count from 0 up: -1 is not known to be much.
 */
export function mostOf(op: number, x: number, y: number, literal: number): number {
  switch (op) {
    case OP.i32_add:
      return within(x + y);
    case OP.i32_mul:
      return x === 0 || y === 0 ? 0 : within(x * y);
    case OP.i32_and:
      return Math.min(x, y);
    case OP.i32_rem_u:
      return Math.min(x, Math.max(0, y - 1));
    case OP.i32_shl:
      return literal < 0 ? Infinity : within(x * 2 ** (literal & 31));
    case OP.i32_shr_u:
      return literal < 0 ? x : Math.floor(Math.min(x, 0xffffffff) / 2 ** (literal & 31));
    default:
      return Infinity;
  }
}

const within = (most: number): number => (most <= 0xffffffff ? most : Infinity);
