/** Typed arrays that grow. */

/** Copies an array into a larger one of its kind just made; gives that. */
export function larger<T extends { set(from: T): void }>(from: T, made: T): T {
  made.set(from);
  return made;
}
