/**
 * The four kinds of error, which are never mixed.
 *
 * - `MalformedError` (and its subclasses): bytes that came from outside are not what they must be. It says
 *   where: the byte offset in the input. Nothing has been changed when it is thrown (`malformed.ts`).
 * - errno values: what a guest sees of its own mistakes. They are numbers, not exceptions; see
 *   `src/personalities/wasi/errno.ts`.
 * - `EnvironmentError`: the host cannot give what is needed (a folder, a lock, disk space). It carries a code for
 *   scripts and a hint that says what to do. Edges print it in one line and exit.
 * - `AssertionError` (`assert.ts`): a bug of ours. Never catch it to go on.
 *
 * Why: RATIONALE.md#four-kinds-of-error
 */

import type { EnvironmentCode } from './codes.ts';

export { MalformedError, RefusedError, UnsupportedError } from './malformed.ts';

/** The host cannot give what is needed. `code` is for scripts (base/codes.ts has them all), `hint` tells the user what to do. */
export class EnvironmentError extends Error {
  readonly code: EnvironmentCode;
  readonly hint: string;
  constructor(code: EnvironmentCode, message: string, hint = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'EnvironmentError';
    this.code = code;
    this.hint = hint;
  }
}
