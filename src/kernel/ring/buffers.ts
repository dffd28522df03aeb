/** Where buffers of operations lie now: in memory, in windows, in segments that are not mapped. Good until anything is called. */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { FRAME_BYTES, WINDOW_BASE } from '../../base/limits.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { roomy } from './roomy.ts';

/** What is asked. */
export type Memory = Pick<Core, 'space' | 'windows' | 'clists' | 'segments'>;

export function isInMemory(owner: Domain | null, pointer: number, length: number): boolean {
  return owner !== null && pointer + length <= owner.pagesOf(0) * FRAME_BYTES;
}

/** Global address of a near range; -FAULT where it is none, or may not be written; -NOSPC. */
export function addressOf(
  { windows }: Memory,
  owner: Domain | null,
  pointer: number,
  length: number,
  writes: boolean,
): number {
  if (owner === null) return -ERRNO.FAULT;
  if (isInMemory(owner, pointer, length)) return owner.addressOf(0) + pointer;
  if (pointer < WINDOW_BASE) return -ERRNO.FAULT;
  return roomy(() => {
    const at = windows.resolve(owner, pointer, length, writes);
    return at < 0 ? -ERRNO.FAULT : at;
  });
}

/**
 * Global address of `length` bytes from `offset` on of the segment at a handle, which has bytes of its own where they are to be written;
 * or -errno: what the handle gives, NOTCAPABLE, ROFS, BUSY, INVAL where it is not so long, NOSPC, and where its bytes come from
 * a file what reading that gives.
 */
export function addressInSegment(
  { clists, segments }: Memory,
  owner: Domain | null,
  handle: number,
  offset: number,
  length: number,
  writes: boolean,
): number {
  if (owner === null) return -ERRNO.FAULT;
  const found = clists.find(owner, handle, writes ? RIGHT.write : RIGHT.read, OBJECT.segment);
  if (typeof found === 'number') return found;
  const { object, rights } = found;
  const bad = writes ? segments.mayWrite(object, owner, rights) : 0;
  if (bad !== 0) return bad;
  if (offset + length > segments.size(object)) return -ERRNO.INVAL;
  // Where nothing lies there is nothing to be found.
  if (length === 0) return 0;
  return roomy(() =>
    writes ? segments.placed(object, offset, length, true) : segments.shown(object, offset, length, owner),
  );
}
