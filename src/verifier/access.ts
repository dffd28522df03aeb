/**
 * The rules for memory accesses outside the templates, A to D of README.md, over value ids.
 */
import type { Evidence } from '../abi/evidence.ts';
import { WINDOW_READ } from '../abi/hints.ts';
import { FLAG_ADDRESS, MARKS_ADDRESS, STATE_OFFSET } from '../abi/layout.ts';
import { PAGE_SHIFT } from '../base/limits.ts';
import { PAGE, VALUE, type Values, ZERO } from './values.ts';

const I32_LOAD = 0x28;
const I32_STORE8 = 0x3a;

/**
 * Gives why an access may leave the domain, or the empty string.
 * @param op the plain opcode, or the prefix of another
 * @param address id of the address
 * @param top id of the topmost operand: what a plain store stores
 * @param offset the constant offset
 * @param size bytes touched
 * @param writes whether they are written
 */
export function accessRefusal(
  values: Values,
  evidence: Evidence,
  op: number,
  address: number,
  top: number,
  offset: number,
  size: number,
  writes: boolean,
): string {
  const kind = values.kind[address];
  const base = values.base[address]!;
  if (kind === VALUE && base === 0) {
    const isPoll = op === I32_LOAD && offset === FLAG_ADDRESS && values.literalOf(address) === 0;
    return isPoll ? '' : 'the address has no base'; // A
  }
  if ((kind !== VALUE && kind !== PAGE) || base === 0) return 'the address is not a base and a value';
  const memory = base - 1;
  const root = values.root[address]!;
  const known = values.known(root, memory);
  if (writes && memory === WINDOW_READ) return 'a window may only be read';
  if (kind === PAGE) {
    if (op !== I32_STORE8) return 'a page number is used as an address';
    return markRefusal(values, address, top, offset, known);
  }
  const first = values.constant[address]! + offset;
  const reach = first + size;
  const state = STATE_OFFSET - evidence.controlBytes;
  if (root === ZERO && first >= state && reach <= 0) return ''; // B: only what was begun at hdr is before a base
  if (known < 0) return 'no check covers the value in the address'; // C
  if (first < 0) return 'the access reaches into the control area';
  return reach <= known ? '' : `the check covers ${known} bytes, the access reaches ${reach}`;
}

/** D: i32.store8 of 1 into the mark of a page of the same memory. */
function markRefusal(values: Values, address: number, top: number, offset: number, known: number): string {
  if (values.literalOf(top) !== 1) return 'a mark is set to something else than 1';
  if (known < 0) return 'no check covers the value in the address of a mark';
  const pages = offset - MARKS_ADDRESS;
  const reach = values.constant[address]! + pages * 2 ** PAGE_SHIFT;
  // Only what was begun at hdr is before a base.
  const before = reach < 0 && values.root[address] !== ZERO;
  return pages >= 0 && !before && reach < known ? '' : 'a mark for a page outside the memory';
}
