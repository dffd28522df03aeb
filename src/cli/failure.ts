/**
 * Errors as plain data, to cross threads and sockets, and back. Their kind is kept: what the host cannot give stays an
 * EnvironmentError, refused bytes stay refused, and a bug stays a bug with its stack.
 */
import { EnvironmentError, MalformedError } from '../base/errors.ts';

export interface Failure {
  readonly kind: 'environment' | 'malformed' | 'bug';
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export function packError(error: unknown): Failure {
  if (error instanceof EnvironmentError) {
    return { kind: 'environment', code: error.code, message: error.message, hint: error.hint };
  }
  if (error instanceof MalformedError) {
    return { kind: 'malformed', code: error.name, message: error.message, hint: '' };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { kind: 'bug', code: 'bug', message, hint: '' };
}

export function unpackError(value: unknown): Error {
  const { kind, code, message, hint } = value as Failure;
  if (kind === 'environment') return new EnvironmentError(String(code), String(message), String(hint));
  // The offset is in the message already.
  if (kind === 'malformed') return new MalformedError(String(message), -1);
  return new BugElsewhere(String(message));
}

/** A bug of ours in another thread or process. Its stack is that of where it happened. */
class BugElsewhere extends Error {
  constructor(stack: string) {
    super(stack.split('\n')[0]);
    this.name = 'AssertionError';
    this.stack = stack;
  }
}
