/**
 * Sources: segments whose bytes come from a file of the host. A frame is read when it is first touched, and dropped again where
 * room is wanted and nobody has changed it; so such a segment may be far larger than its payer's memory, or the space. What was
 * changed stays, and goes to no file.
 *
 * The file is to be what it was when it was mapped: the same file, as large, not written since. Each read asks. Where it
 * is not, or cannot be read, or its capability is revoked, what was not read yet cannot be, ever; the rest is there.
 *
 * Frames are charged to the segment's payer while they are there. Those that are dropped may be in use by the program that
 * runs, until its next call: they are free when nothing runs, and it is asked to stop at its next safepoint.
 *
 * Why: RATIONALE.md#segments
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT } from '../../abi/objects.ts';
import { FRAME_BYTES, SPACE_LOW_PART } from '../../base/limits.ts';
import {
  defineRecord,
  forgetLoaded,
  num,
  OWNER,
  putLoaded,
  RecordTable,
  ROOT,
  type Space,
  takeLoaded,
  u32,
  u64,
} from '../../space/index.ts';
import { mayCharge } from '../account/account.ts';
import { moveEpoch } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import type { HostFile, HostStat } from '../ports.ts';
import type { Joined } from './joined.ts';
import { chargeState, StateRecord } from './state.ts';

const SourceRecord = defineRecord('segment source', {
  state: num('kernel', 'The state of the segment that has it.'),
  capability: num('kernel', 'What allowed to read the file; held.'),
  turn: num('kernel', 'Its turn then.'),
  size: num('kernel', 'Bytes of the file; behind them is zero.'),
  device: u64('kernel', 'Which file it is: the host’s numbers.'),
  inode: u64('kernel', 'And the second of them.'),
  modified: u64('kernel', 'When it was last written, ns since 1970.'),
  next: u32('kernel', 'The frame at which to go on dropping.'),
  row: u32('kernel', 'Its row in the table.'),
});
const [S, F] = [StateRecord.fields, SourceRecord.fields];

/** A part of what a segment has is dropped at once, this one of so many. */
const DROPPED_PART = 4;
/** Most frames that wait for nothing to run, before no more are dropped. */
const DROPPED_FRAMES_MAX = 4096;

/** A file that can be read, by a capability. */
export interface SourceFile {
  readonly capability: number;
  readonly turn: number;
  readonly stat: HostStat;
}

export class Sources {
  readonly #core: Core;
  readonly #space: Space;
  readonly #joined: Joined;
  #table: RecordTable | null = null;

  /** @param joined frees what is dropped when nothing runs */
  constructor(core: Core, joined: Joined) {
    this.#core = core;
    this.#space = core.space;
    this.#joined = joined;
    if (core.space.root(ROOT.sources) !== 0) this.#restart();
  }

  /** A segment comes from a file from now on. @throws SpaceFullError with nothing changed */
  attach(state: number, { capability, turn, stat }: SourceFile): void {
    const space = this.#space;
    const at = this.#insert(state, capability, turn);
    F.size.set(space, at, stat.size);
    F.device.set(space, at, stat.device);
    F.inode.set(space, at, stat.inode);
    F.modified.set(space, at, stat.modifiedNs);
  }
  /** The same for a copy of a segment that has a source. @throws SpaceFullError with nothing changed */
  attachCopy(state: number, of: number): void {
    const space = this.#space;
    const from = S.source.get(space, of);
    const at = this.#insert(state, F.capability.get(space, from), F.turn.get(space, from));
    F.size.set(space, at, F.size.get(space, from));
    F.device.set(space, at, F.device.get(space, from));
    F.inode.set(space, at, F.inode.get(space, from));
    F.modified.set(space, at, F.modified.get(space, from));
  }
  /** The segment is no more. */
  detach(state: number): void {
    const [space, at] = [this.#space, S.source.get(this.#space, state)];
    if (at === 0) return;
    const capability = F.capability.get(space, at);
    S.source.set(space, state, 0);
    this.#rows().remove(F.row.get(space, at));
    this.#core.capabilities.release(capability);
  }

  /**
   * Sees to it that frames [first, end) of a segment are there: 0, or -errno: STALE where the file is another or has changed,
   * REVOKED or GONE where nobody may read it any more, DQUOT, or what reading gave.
   * @throws SpaceFullError
   */
  load(state: number, first: number, end: number): number {
    const space = this.#space;
    const { lists } = space.segments;
    const segment = S.segment.get(space, state);
    const missing: number[] = [];
    for (let i = first; i < end; i++) if (lists.frame(segment, i) === 0) missing.push(i);
    if (missing.length === 0) return 0;
    const counted = !space.segments.isLaidOut(segment);
    const bad = counted ? this.#room(state, missing.length, first, end) : 0;
    if (bad !== 0) return bad;
    for (const i of missing) {
      const place = lists.place(segment, i);
      const at = place === 0 ? space.frames.alloc(1, OWNER.segment) : place * FRAME_BYTES;
      const result = this.read(state, i * FRAME_BYTES, at, FRAME_BYTES);
      if (result !== 0) {
        if (place === 0) space.frames.free(at, 1);
        else space.frames.wipe(at, 1);
        return result;
      }
      putLoaded(space, segment, i, at / FRAME_BYTES);
      if (counted) chargeState(this.#space, state, FRAME_BYTES);
    }
    return 0;
  }

  /** Reads bytes from the file to a global address, zeros behind its end: 0 or -errno, as `load`. Marks nothing. */
  read(state: number, offset: number, to: number, length: number): number {
    const { u8 } = this.#space;
    const source = S.source.get(this.#space, state);
    const file = this.#file(source);
    if (typeof file === 'number') return file;
    const bytes = Math.max(0, Math.min(length, F.size.get(this.#space, source) - offset));
    for (let done = 0; done < bytes; ) {
      const got = file.read(u8.subarray(to + done, to + bytes), offset + done);
      if (got < 0) return got;
      if (got === 0) return -ERRNO.STALE;
      done += got;
    }
    u8.fill(0, to + bytes, to + length);
    // Asked for afterwards: what was read before the file changed is what it was.
    return this.#isSame(source, file.stat());
  }

  #isSame(source: number, stat: HostStat | number): number {
    const space = this.#space;
    if (typeof stat === 'number') return stat;
    const same =
      stat.size === F.size.get(space, source) &&
      stat.device === F.device.get(space, source) &&
      stat.inode === F.inode.get(space, source) &&
      stat.modifiedNs === F.modified.get(space, source);
    return same ? 0 : -ERRNO.STALE;
  }

  #file(source: number): HostFile | number {
    const { capabilities, objects, ports } = this.#core;
    const capability = F.capability.get(this.#space, source);
    const bad = capabilities.check(capability, F.turn.get(this.#space, source));
    if (bad !== 0) return bad;
    const object = capabilities.object(capability);
    const port = objects.kind(object) === OBJECT.host ? ports?.object(objects.a(object)) : undefined;
    return port?.kind === 'file' ? port : -ERRNO.STALE;
  }

  /** Room for so many more frames of a segment, of which [keep, keepEnd) are wanted: 0 or -DQUOT. */
  #room(state: number, frames: number, keep: number, keepEnd: number): number {
    const { space } = this.#core;
    const payer = S.payer.get(space, state);
    const may = (): boolean => mayCharge(space, payer, RESOURCE.memory, frames * FRAME_BYTES);
    const part = Math.ceil(S.charged.get(space, state) / FRAME_BYTES / DROPPED_PART);
    if (!may()) this.#drop(Math.max(frames, part), state, keep, keepEnd, payer);
    if (!may()) return -ERRNO.DQUOT;
    const free = space.frames.freeCount + space.maxFrames - space.frameCount;
    if (free < frames + space.maxFrames / SPACE_LOW_PART)
      this.#drop(Math.max(frames, part), state, keep, keepEnd, null);
    return 0;
  }

  /** Drops so many frames, if there are as many: of this segment first, of others of the same payer, or of all for null. */
  #drop(count: number, state: number, keep: number, keepEnd: number, payer: number | null): void {
    // What never comes to a safepoint has no end of frames that others cannot have yet.
    if (this.#joined.retired > DROPPED_FRAMES_MAX) return;
    let left = count - this.#dropOf(state, count, keep, keepEnd);
    for (const row of this.#rows().rows()) {
      if (left <= 0) break;
      const other = F.state.get(this.#space, this.#rows().address(row));
      if (other === state || (payer !== null && S.payer.get(this.#space, other) !== payer)) continue;
      left -= this.#dropOf(other, left, 0, 0);
    }
    if (left === count) return;
    moveEpoch(this.#space);
    this.#core.pauseSoon();
  }
  #dropOf(state: number, count: number, keep: number, keepEnd: number): number {
    const [space, source] = [this.#space, S.source.get(this.#space, state)];
    const segment = S.segment.get(space, state);
    // What has places would leave them empty, for nobody else.
    if (space.segments.isLaidOut(segment)) return 0;
    const from = F.next.get(space, source);
    const { frames, next } = takeLoaded(space, segment, from, count, keep, keepEnd);
    F.next.set(space, source, next);
    this.#joined.retire(frames);
    chargeState(this.#space, state, -frames.length * FRAME_BYTES);
    return frames.length;
  }

  /** What was read is in no checkpoint. */
  #restart(): void {
    const space = this.#space;
    moveEpoch(space);
    for (const row of this.#rows().rows()) {
      const state = F.state.get(space, this.#rows().address(row));
      const segment = S.segment.get(space, state);
      const count = forgetLoaded(space, segment);
      if (!space.segments.isLaidOut(segment)) chargeState(this.#space, state, -count * FRAME_BYTES);
    }
  }

  #insert(state: number, capability: number, turn: number): number {
    const space = this.#space;
    const row = this.#rows().insert();
    const at = this.#rows().address(row);
    F.row.set(space, at, row);
    F.state.set(space, at, state);
    F.capability.set(space, at, capability);
    F.turn.set(space, at, turn);
    this.#core.capabilities.retain(capability);
    S.source.set(space, state, at);
    return at;
  }
  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.sources, SourceRecord.bytes);
    return this.#table;
  }
}
