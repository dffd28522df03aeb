/** Bytes on their way to another thread. */
import { EnvironmentError } from '../base/errors.ts';

/**
 * The same bytes in a buffer of their own: what is sent to another thread takes its whole buffer along, and these may be a small part of a
 * large one. @throws EnvironmentError bad-argument
 */
export function apart(bytes: Uint8Array): Uint8Array {
  checkBytes(bytes);
  if (bytes.byteLength === bytes.buffer.byteLength) return bytes;
  // Of a Buffer, `slice` is another view.
  return Uint8Array.prototype.slice.call(bytes);
}

/** @throws EnvironmentError bad-argument where they are none */
export function checkBytes(bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array))
    throw new EnvironmentError('bad-argument', 'a Uint8Array is wanted here');
}
