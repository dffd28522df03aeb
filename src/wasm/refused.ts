/**
 * Instructions that are well formed WebAssembly and refused: an `UnsupportedError` that names the construct
 * and says where. Everything else that `optable.ts` does not know is malformed.
 */
import { MalformedError, UnsupportedError } from '../base/errors.ts';

const LEGACY = 'legacy exception handling (rebuild with the exnref form: try_table)';
const TYPED = 'typed function references';
const GC = 'garbage collection';

const REFUSED: Readonly<Record<number, readonly [string, string]>> = {
  6: ['try', LEGACY],
  7: ['catch', LEGACY],
  9: ['rethrow', LEGACY],
  20: ['call_ref', TYPED],
  21: ['return_call_ref', TYPED],
  24: ['delegate', LEGACY],
  25: ['catch_all', LEGACY],
  211: ['ref.eq', GC],
  212: ['ref.as_non_null', TYPED],
  213: ['br_on_null', TYPED],
  214: ['br_on_non_null', TYPED],
};

/** The number after prefix 0xfb of the last GC instruction (i31.get_u). */
const LAST_GC = 30;

/** Refuses the one-byte opcode at `offset`. */
export function refuseOpcode(byte: number, offset: number): never {
  const refused = REFUSED[byte];
  if (refused !== undefined) {
    throw new UnsupportedError(`${refused[0]} is not supported: ${refused[1]}`, offset);
  }
  throw new MalformedError(`illegal opcode 0x${byte.toString(16)}`, offset);
}

/** Refuses the opcode `number` after `prefix`, which is at `offset`. */
export function refusePrefixed(prefix: number, number: number, offset: number): never {
  if (prefix === 0xfb && number <= LAST_GC) {
    throw new UnsupportedError(`instruction 0xfb ${number} is not supported: ${GC}`, offset);
  }
  throw new MalformedError(`illegal opcode 0x${prefix.toString(16)} ${number}`, offset);
}
