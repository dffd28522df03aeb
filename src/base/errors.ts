/**
 * The four kinds of error, which are never mixed.
 *
 * - `MalformedError` (and its subclasses): bytes that came from outside are not what they must be. It says
 *   where: the byte offset in the input. Nothing has been changed when it is thrown.
 * - errno values: what a guest sees of its own mistakes. They are numbers, not exceptions; see
 *   `src/personalities/wasi/errno.ts`.
 * - `EnvironmentError`: the host cannot give what is needed (a folder, a lock, disk space). It carries a code for
 *   scripts and a hint that says what to do. Edges print it in one line and exit.
 * - `AssertionError` (`assert.ts`): a bug of ours. Never catch it to go on.
 *
 * Why: RATIONALE.md#four-kinds-of-error
 */

/** Input that is not well formed. `offset` is the byte offset in that input, or -1 where none applies. */
export class MalformedError extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(offset >= 0 ? `${message} (at byte 0x${offset.toString(16)})` : message);
    this.name = new.target.name;
    this.offset = offset;
  }
}

/** A WebAssembly module that uses something Perdure does not take; well formed, but refused. */
export class UnsupportedError extends MalformedError {}

/** The verifier's refusal: the function (index in the rewritten module, -1 for the module) and a reason. */
export class RefusedError extends MalformedError {
  readonly functionIndex: number;
  constructor(reason: string, functionIndex: number, offset: number) {
    super(functionIndex >= 0 ? `function ${functionIndex}: ${reason}` : reason, offset);
    this.functionIndex = functionIndex;
  }
}

/** The host cannot give what is needed. `code` is for scripts, `hint` tells the user what to do. */
export class EnvironmentError extends Error {
  readonly code: string;
  readonly hint: string;
  constructor(code: string, message: string, hint = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'EnvironmentError';
    this.code = code;
    this.hint = hint;
  }
}
