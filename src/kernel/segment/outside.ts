/**
 * Bytes of segments for whoever made the space: between runs, or from inside a kernel call. No domain's rights are asked for; what is
 * sealed, or frozen by a domain, is not written.
 */
import { ERRNO, errnoText } from '../../abi/errno.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { EnvironmentError } from '../../base/errors.ts';
import { SEGMENT_TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import type { Core } from '../core.ts';

/** Bytes go through the space's own memory in pieces of this size. */
const PIECE_BYTES = Math.min(1 << 18, SEGMENT_TRANSFER_MAX_BYTES);

/**
 * At most `length` bytes from `offset` on; fewer where it ends.
 * @throws EnvironmentError where they come from a file of the host and cannot be read; SpaceFullError
 */
export function readSegment(core: Core, object: number, offset: number, length: number): Uint8Array {
  const { segments, space } = core;
  const bytes = new Uint8Array(Math.max(0, Math.min(length, segments.size(object) - offset)));
  through(core, bytes.length, (piece, done, count) => {
    const got = segments.read(object, offset + done, piece, count);
    if (got < 0) throw unreadable(got);
    bytes.set(space.u8.subarray(piece, piece + count), done);
  });
  return bytes;
}

const unreadable = (result: number): EnvironmentError =>
  new EnvironmentError(
    'unreadable-segment',
    `bytes of the segment come from a file that cannot be read: ${errnoText(-result)}`,
    'the file must be as it was when it was mapped, and the folder granted',
  );

/**
 * Puts bytes at `offset`: 0, -INVAL where they are not all inside, -ROFS, -BUSY, or what reading gives of the file that it comes
 * from. @throws SpaceFullError, perhaps with some written
 */
export function writeSegment(core: Core, object: number, offset: number, bytes: Uint8Array): number {
  const { segments, space } = core;
  const bad = segments.mayWrite(object, null, RIGHTS_ALL);
  if (bad !== 0) return bad;
  if (offset + bytes.length > segments.size(object)) return -ERRNO.INVAL;
  const missing = segments.prepare(object, offset, bytes.length);
  if (missing !== 0) return missing;
  through(core, bytes.length, (piece, done, count) => {
    space.writeBytes(piece, bytes.subarray(done, done + count));
    segments.write(object, offset + done, piece, count);
  });
  return 0;
}

/** Calls back for each piece of `length` bytes, with memory to put it in. */
function through(
  { space }: Core,
  length: number,
  each: (at: number, done: number, count: number) => void,
): void {
  if (length === 0) return;
  const at = space.heap.alloc(Math.min(length, PIECE_BYTES));
  try {
    for (let done = 0; done < length; done += PIECE_BYTES)
      each(at, done, Math.min(PIECE_BYTES, length - done));
  } finally {
    space.heap.free(at);
  }
}
