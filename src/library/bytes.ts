/** Bytes on their way to another thread. */

/**
 * The same bytes in a buffer of their own: what is sent to another thread takes its whole buffer along, and these may be a small part of a
 * large one.
 */
export function apart(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength === bytes.buffer.byteLength) return bytes;
  // Of a Buffer, `slice` is another view.
  return Uint8Array.prototype.slice.call(bytes);
}
