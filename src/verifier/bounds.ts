/**
 * Upper bounds of integers that instructions make, from those of their operands: README.md, "Bounds". All numbers are
 * unsigned; Infinity stands for a value of which nothing is known.
 */

/** The largest i32, as an unsigned number. */
export const I32_MAX = 0xffffffff;

/**
 * The most that an i32 instruction of two operands can give when they are at most x and y. `literal`: the second
 * operand where it is a constant, else -1.
 */
export function mostOf(op: number, x: number, y: number, literal: number): number {
  switch (op) {
    case 0x6a: // i32.add
      return within(x + y);
    case 0x6c: // i32.mul
      return x === 0 || y === 0 ? 0 : within(x * y);
    case 0x70: // i32.rem_u: traps when y is 0
      return Math.min(x, Math.max(0, y - 1));
    case 0x71: // i32.and
      return Math.min(x, y);
    case 0x74: // i32.shl
      return literal < 0 ? Infinity : within(x * 2 ** (literal % 32));
    case 0x76: // i32.shr_u
      return literal < 0 ? x : Math.floor(Math.min(x, I32_MAX) / 2 ** (literal % 32));
    default:
      return Infinity;
  }
}

/** What would not fit may have wrapped. */
const within = (most: number): number => (most <= I32_MAX ? most : Infinity);
