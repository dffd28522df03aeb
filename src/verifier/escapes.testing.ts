/**
 * Modules that the verifier once accepted and that reach what is not theirs: each is valid, and must be refused. Made
 * anew for each run, so that they are refused for what is wrong with them and not for their age.
 */

import type { FunctionParts } from '../../tools/fuzzing/assembly.ts';
import {
  ADD,
  access,
  assemble,
  DROP,
  END,
  get,
  i32,
  i64,
  LOAD64,
  LOOP,
  set,
} from '../../tools/fuzzing/assembly.ts';
import { HINTS_SECTION } from '../abi/hints.ts';
import { B1, E, exceeds, extend, L1, module_, P, Q, reload, trap } from './attacks.testing.ts';

const made = (code: number[], change?: Partial<FunctionParts>): Uint8Array<ArrayBuffer> =>
  assemble(module_(code, change));
const far = [...access(LOAD64, 1_000_000), DROP];

/** By what they do. */
export const ESCAPES: Readonly<Record<string, () => Uint8Array<ArrayBuffer>>> = {
  /** Was read as 0: the sum of its parts was rounded. */
  'a constant -8 in ten bytes': () => {
    const minusEight = [0x42, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    return made([...reload, ...get(B1!), ...minusEight, ADD, ...access(LOAD64, 0), DROP]);
  },
  /** The second byte of (ref null 0) was taken for `unreachable`, and what is behind it for code that never runs. */
  'a block of a reference type with an immediate': () =>
    made([0x02, 0x63, 0x00, ...i64(0), ...access(LOAD64, 0), DROP, 0xd0, 0x00, END, DROP]),
  /** The step was read as NaN: no check is less than that. */
  'a step of more bytes than a number has': () => {
    const known = [
      ...reload,
      ...extend,
      ...exceeds(1, E, L1),
      ...trap,
      ...get(B1!),
      ...get(E!),
      ADD,
      ...set(P!),
    ];
    const code = [...known, ...i32(1), ...set(Q!), ...LOOP, ...get(P!), ...far, END];
    const pointer = { local: P!, memory: 1, step: 5, reach: 1_000_008 };
    const bytes = made(code, {
      loops: [{ loop: 0, varying: [P!, Q!].sort(), fuel: Q!, pointers: [pointer] }],
    });
    return longStep(bytes);
  },
};

/** The module with the step of its only hint, the last number but one of the section, written as a zero of 161 bytes. */
function longStep(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(bytes).indexOf(HINTS_SECTION);
  const begin = text - 1; // behind the section's length, which is one byte
  const end = begin + bytes[begin - 1]!;
  const reach = 3; // bytes
  const payload = [...bytes.subarray(begin, end - reach - 1), ...new Array<number>(160).fill(0x80), 0];
  payload.push(...bytes.subarray(end - reach, end));
  const size = [(payload.length & 0x7f) | 0x80, payload.length >> 7];
  return Uint8Array.from([...bytes.subarray(0, begin - 1), ...size, ...payload, ...bytes.subarray(end)]);
}
