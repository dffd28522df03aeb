/**
 * What is known of the results of instructions that take two operands and touch no memory: README.md, "values".
 */
import { PAGE_SHIFT } from '../base/limits.ts';
import { I32_MAX } from './bounds.ts';
import { NONE, type Values } from './values.ts';

/** The id of what an instruction of two operands gives, NONE where nothing is known of it. */
export function resultOf(values: Values, op: number, x: number, y: number): number {
  switch (op) {
    case 0x49: // i32.lt_u
      return values.above(y, x, 0);
    case 0x4b: // i32.gt_u
      return values.above(x, y, 0);
    case 0x4d: // i32.le_u
      return values.above(y, x, 1);
    case 0x4f: // i32.ge_u
      return values.above(x, y, 1);
    case 0x56: // i64.gt_u
      return values.exceeds(x, y);
    case 0x6a: // i32.add
      return values.decrement(x, y, I32_MAX) || values.bounded(op, x, y);
    case 0x6b: // i32.sub
      return values.decrement(x, y, 1);
    case 0x6c: // i32.mul
    case 0x70: // i32.rem_u
    case 0x71: // i32.and
    case 0x74: // i32.shl
    case 0x76: // i32.shr_u
      return values.bounded(op, x, y);
    case 0x72: // i32.or
      return values.either(x, y);
    case 0x7c: // i64.add
      return values.add(x, y);
    case 0x7d: // i64.sub
      return values.retreat(x, y);
    case 0x88: // i64.shr_u
      return values.page(x, y, PAGE_SHIFT);
    default:
      return NONE;
  }
}
