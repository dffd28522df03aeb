/**
 * What programs are shown that may only read, where a stretch lies in several frames that are apart: a copy of it. Nobody writes
 * those bytes until the reader's next call (windows.ts), so a copy is as good.
 *
 * Copies are kept until nothing runs, for addresses of them are in use till then, and so are frames that were shown and are to be
 * free; where there are many copies, the program is asked to stop at its next safepoint.
 */
import { FRAME_BYTES } from '../../base/limits.ts';
import { OWNER, OWNER_VOLATILE, type Space } from '../../space/index.ts';

/** Copies begin at what is a multiple of this in the segment too. */
const ALIGNMENT = 16;

export class Joined {
  readonly #space: Space;
  readonly #stopSoon: () => void;
  readonly #runs: { address: number; frames: number }[] = [];
  /** Where in the last copy's frames there is room, and how far. */
  #next = 0;
  #end = 0;

  /** @param stopSoon asks what runs to stop at its next safepoint */
  constructor(space: Space, stopSoon: () => void) {
    this.#space = space;
    this.#stopSoon = stopSoon;
  }

  /** Bytes that copies take. */
  copiedBytes = 0;
  /** Frames that are to be free. */
  retired = 0;

  /** Global address of room for a copy of bytes from this offset of a segment on. @throws SpaceFullError */
  room(offset: number, length: number): number {
    const lead = offset % ALIGNMENT;
    let at = Math.ceil(this.#next / ALIGNMENT) * ALIGNMENT + lead;
    if (at + length > this.#end) {
      const frames = Math.ceil((length + lead) / FRAME_BYTES);
      const address = this.#space.frames.alloc(frames, (OWNER.segment | OWNER_VOLATILE) >>> 0);
      if (this.#runs.length > 0) this.#stopSoon();
      this.#runs.push({ address, frames });
      this.copiedBytes += frames * FRAME_BYTES;
      this.#end = address + frames * FRAME_BYTES;
      at = address + lead;
    }
    this.#next = at + length;
    return at;
  }

  /** Frees frames when nothing runs. */
  retire(frames: readonly number[]): void {
    this.retired += frames.length;
    for (const frame of frames) this.#runs.push({ address: frame * FRAME_BYTES, frames: 1 });
  }

  /** Nothing runs: none of it is looked at any more. */
  clear(): void {
    for (const { address, frames } of this.#runs.splice(0)) this.#space.frames.free(address, frames);
    this.#next = 0;
    this.#end = 0;
    this.copiedBytes = 0;
    this.retired = 0;
  }
}
