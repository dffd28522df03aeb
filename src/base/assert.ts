/**
 * Assertions: statements that are false only when this project has a bug. They stay on in production: a kernel that
 * goes on after a broken invariant destroys what users gave it to keep.
 */

/** A bug of ours. Never thrown for anything a guest, a file or a host can cause. */
export class AssertionError extends Error {
  override name = 'AssertionError';
}

/** Throws `AssertionError` unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Marks a place that cannot be reached. */
export function unreachable(message: string): never {
  throw new AssertionError(message);
}
