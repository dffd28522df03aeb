/** Frames of segments that hold what can be read again (LOADED, framelists.ts): brought in, dropped, forgotten. */
import { FRAME_BYTES } from '../base/limits.ts';
import { FRAME, LOADED, SegmentRecord } from './framelists.ts';
import type { Space } from './space.ts';

const R = SegmentRecord.fields;

/** Frames taken from a list, and the entry at which to go on. */
export interface Taken {
  readonly frames: readonly number[];
  readonly next: number;
}

/** Frame `i`, a hole, is this one, in its place or anywhere where it has none. */
export function putLoaded({ segments: { lists } }: Space, segment: number, i: number, frame: number): void {
  lists.put(segment, i, (frame | LOADED) >>> 0);
}

/**
 * Takes such frames from a list, from entry `from` on and round, but none of [keep, keepEnd): at most `count`. They are the
 * caller's to free.
 */
export function takeLoaded(
  space: Space,
  segment: number,
  from: number,
  count: number,
  keep = 0,
  keepEnd = 0,
): Taken {
  const { lists } = space.segments;
  const entries = R.entries.get(space, segment);
  const frames: number[] = [];
  let i = from;
  for (let seen = 0; seen < entries && frames.length < count; seen++, i++) {
    if (i >= entries) i = 0;
    const word = lists.entry(segment, i);
    if ((word & LOADED) === 0 || (i >= keep && i < keepEnd)) continue;
    frames.push(word & FRAME);
    lists.put(segment, i, 0);
  }
  return { frames, next: i };
}

/** After a restart, which such frames do not survive: they are holes. How many there were. */
export function forgetLoaded(space: Space, segment: number): number {
  const { frames, segments } = space;
  const entries = R.entries.get(space, segment);
  const places = new Set<number>();
  for (let i = 0; i < entries; i++) places.add(segments.lists.place(segment, i));
  const taken = takeLoaded(space, segment, 0, entries).frames;
  for (const frame of taken) {
    if (places.has(frame)) frames.wipe(frame * FRAME_BYTES, 1);
    else frames.free(frame * FRAME_BYTES, 1);
  }
  return taken.length;
}

/** How many frames a copy would share: those are not. */
export function shareable(space: Space, segment: number): number {
  let count = 0;
  for (let i = 0; i < R.entries.get(space, segment); i++) {
    const word = space.segments.lists.entry(segment, i);
    if (word !== 0 && (word & LOADED) === 0) count++;
  }
  return count;
}
