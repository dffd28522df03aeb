/**
 * Errors as plain data, to cross threads and sockets, and back. Their kind is kept: what the host cannot give stays an
 * EnvironmentError, refused bytes stay refused, and a bug stays a bug with its stack.
 */
import { isEnvironmentCode } from '../base/codes.ts';
import { EnvironmentError, MalformedError, RefusedError, UnsupportedError } from '../base/errors.ts';
import { SpaceFullError } from '../space/index.ts';

export interface Failure {
  readonly kind: 'environment' | 'malformed' | 'bug';
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** Where in refused bytes, and in which function. */
  readonly offset?: number;
  readonly functionIndex?: number;
}

export function packError(error: unknown): Failure {
  if (error instanceof EnvironmentError) {
    return { kind: 'environment', code: error.code, message: error.message, hint: error.hint };
  }
  if (error instanceof SpaceFullError) {
    const hint = 'remove programs that ended: perdure rm';
    return { kind: 'environment', code: 'space-full', message: error.message, hint };
  }
  if (error instanceof MalformedError) {
    const { code, message, offset } = error;
    const where = error instanceof RefusedError ? { offset, functionIndex: error.functionIndex } : { offset };
    return { kind: 'malformed', code, message, hint: '', ...where };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { kind: 'bug', code: 'bug', message, hint: '' };
}

export function unpackError(value: unknown): Error {
  const { kind, code, message, hint, offset = -1, functionIndex = -1 } = value as Failure;
  if (kind === 'environment') {
    return new EnvironmentError(isEnvironmentCode(code) ? code : 'control', String(message), String(hint));
  }
  if (kind !== 'malformed') return new BugElsewhere(String(message));
  // The message says already where.
  const text = String(message);
  if (code === 'refused') return Object.assign(new RefusedError(text, -1, -1), { offset, functionIndex });
  const Kind = code === 'unsupported' ? UnsupportedError : MalformedError;
  return Object.assign(new Kind(text, -1), { offset });
}

/** A bug of ours in another thread or process. Its stack is that of where it happened. */
class BugElsewhere extends Error {
  constructor(stack: string) {
    super(stack.split('\n')[0]);
    this.name = 'AssertionError';
    this.stack = stack;
  }
}
