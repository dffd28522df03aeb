/**
 * What programs are shown that may only read: frames where they lie, and where a stretch lies in several that are apart, a copy of
 * the stretch. Nobody writes those bytes until the reader's next call (windows.ts), so a copy is as good.
 *
 * Copies are kept until nothing runs, for addresses of them are in use till then; where there are many, the program is asked
 * to stop at its next safepoint.
 */
import { FRAME_BYTES } from '../../base/limits.ts';
import { HAVE, OWNER, OWNER_VOLATILE, type Space } from '../../space/index.ts';

/** Copies begin at what is a multiple of this in the segment too. */
const ALIGNMENT = 16;

export class Joined {
  readonly #space: Space;
  readonly #stopSoon: () => void;
  readonly #runs: { address: number; frames: number }[] = [];
  /** Where in the last of them there is room, and how far. */
  #next = 0;
  #end = 0;

  /** @param stopSoon asks what runs to stop at its next safepoint */
  constructor(space: Space, stopSoon: () => void) {
    this.#space = space;
    this.#stopSoon = stopSoon;
  }

  /**
   * Global address of a part of a segment of the space, to be read until the next call of who reads it.
   * @throws SpaceFullError
   */
  show(segment: number, offset: number, length: number): number {
    const { segments } = this.#space;
    segments.own(segment, offset, length, HAVE.filled);
    const first = Math.floor(offset / FRAME_BYTES);
    const end = Math.ceil((offset + length) / FRAME_BYTES);
    if (segments.lists.rowEnd(segment, first, end) === end) return segments.addressOf(segment, offset);
    const at = this.#room(length, offset % ALIGNMENT);
    segments.read(segment, offset, at, length);
    return at;
  }

  /** Nothing runs: the copies are not looked at any more. */
  clear(): void {
    for (const { address, frames } of this.#runs.splice(0)) this.#space.frames.free(address, frames);
    this.#next = 0;
    this.#end = 0;
  }

  #room(length: number, lead: number): number {
    let at = Math.ceil(this.#next / ALIGNMENT) * ALIGNMENT + lead;
    if (at + length > this.#end) {
      const frames = Math.ceil((length + lead) / FRAME_BYTES);
      const address = this.#space.frames.alloc(frames, (OWNER.segment | OWNER_VOLATILE) >>> 0);
      this.#runs.push({ address, frames });
      if (this.#runs.length > 1) this.#stopSoon();
      this.#end = address + frames * FRAME_BYTES;
      at = address + lead;
    }
    this.#next = at + length;
    return at;
  }
}
