/**
 * Errors for bytes that came from outside and are not what they must be: they say where. In a file of their own, for they
 * are all that the verifier has to do with errors; errors.ts has the other kinds.
 */

/** Input that is not well formed. `offset` is the byte offset in that input, or -1 where none applies. */
export class MalformedError extends Error {
  readonly code: 'malformed' | 'unsupported' | 'refused' = 'malformed';
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(offset >= 0 ? `${message} (at byte 0x${offset.toString(16)})` : message);
    this.name = new.target.name;
    this.offset = offset;
  }
}

/** A WebAssembly module that uses something Perdure does not take; well formed, but refused. */
export class UnsupportedError extends MalformedError {
  override readonly code = 'unsupported';
}

/** The verifier's refusal: the function (index in the rewritten module, -1 for the module) and a reason. */
export class RefusedError extends MalformedError {
  override readonly code = 'refused';
  readonly functionIndex: number;
  constructor(reason: string, functionIndex: number, offset: number) {
    super(functionIndex >= 0 ? `function ${functionIndex}: ${reason}` : reason, offset);
    this.functionIndex = functionIndex;
  }
}
