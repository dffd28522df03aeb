/**
 * Segments as objects: bytes with a size, that domains can map (windows.ts), read and write, seal, freeze and copy. An object of
 * the kind `segment` keeps a state record; the bytes are a segment of the space (space/segments.ts).
 *
 * - Sealed, it is never written again. Frozen, it is written by nobody but who froze it, until that one thaws it, ends, or
 *   loses its capability. Both are true of everybody when the call returns: no code keeps an address over a call.
 * - A copy has the frames of what it was copied of, until one of the two is written: then that frame is copied.
 * - What is mapped to be written has an extent, a place for each frame of it, and is shown to who may write it there alone:
 *   such bytes move in calls only. Who may only read is shown frames where they lie. Pages that nobody touched
 *   take no memory of the machine.
 * - One that was made of a file of the host has holes where nothing was read yet (sources.ts).
 *
 * Why: RATIONALE.md#segments
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { FRAME_BYTES } from '../../base/limits.ts';
import { HAVE, type Have, SEGMENT_MAX_BYTES, type Space, shareable } from '../../space/index.ts';
import { mayCharge, nameAccount, refund, unnameAccount } from '../account/account.ts';
import { moveEpoch } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import { type Domain, STATE } from '../domain.ts';
import { Joined } from './joined.ts';
import { type SourceFile, Sources } from './sources.ts';
import { chargeState, type SegmentFacts, StateRecord } from './state.ts';

const S = StateRecord.fields;

const framesOf = (bytes: number): number => Math.ceil(bytes / FRAME_BYTES);
/** What an entry of a list of frames takes, of a segment that is charged for the frames it has. */
const ENTRY_BYTES = 4;

export class SegmentObjects {
  readonly #core: Core;
  readonly #space: Space;
  /** Copies of stretches, and frames that are to be free: until nothing runs. */
  readonly joined: Joined;
  readonly #sources: Sources;

  constructor(core: Core) {
    this.#core = core;
    this.#space = core.space;
    this.joined = new Joined(core.space, () => core.pauseSoon());
    this.#sources = new Sources(core, this.joined);
    core.objects.onEnd(OBJECT.segment, (object) => this.#end(object));
  }

  /**
   * A new segment of zeros, owned by a domain. Returns the handle, or -errno.
   * @throws SpaceFullError with nothing changed
   */
  create(domain: Domain, bytes: number): number {
    return this.#make(domain, bytes, FRAME_BYTES * framesOf(bytes), (at) => this.#fill(at, bytes));
  }

  /**
   * The same for whoever made the space, or a domain that is carried here: nobody holds the object yet, and whether `payer`
   * may be charged is not asked (0: nobody pays). @throws SpaceFullError with nothing changed
   */
  createFree(bytes: number, payer = 0): number {
    const space = this.#space;
    const at = space.heap.alloc(StateRecord.bytes);
    S.size.set(space, at, bytes);
    try {
      this.#fill(at, bytes);
    } catch (error) {
      space.heap.free(at);
      throw error;
    }
    let object: number;
    try {
      object = this.#core.objects.create(OBJECT.segment, 0, at);
    } catch (error) {
      this.#drop(at);
      throw error;
    }
    S.payer.set(space, at, payer);
    nameAccount(space, payer);
    chargeState(this.#space, at, framesOf(bytes) * FRAME_BYTES);
    return object;
  }

  /** What is to be known of one that is carried to another space, beside its bytes. */
  describe(object: number): SegmentFacts {
    const [space, at] = [this.#space, this.#state(object)];
    const [size, payer, charged] = [S.size.get(space, at), S.payer.get(space, at), S.charged.get(space, at)];
    const [sealed, handle] = [S.sealed.get(space, at) !== 0, S.handle.get(space, at)];
    return { size, payer, charged, sealed, handle, freezer: this.#freezer(object) };
  }

  /** A copy of a segment, owned by a domain: a handle, or -errno. @throws SpaceFullError with nothing changed */
  copy(domain: Domain, object: number): number {
    const [space, from] = [this.#space, this.#state(object)];
    const segment = S.segment.get(space, from);
    const bytes = S.size.get(space, from);
    const sourced = S.source.get(space, from) !== 0;
    const cost = sourced
      ? ENTRY_BYTES * framesOf(bytes) + FRAME_BYTES * shareable(space, segment)
      : FRAME_BYTES * framesOf(bytes);
    const handle = this.#make(domain, bytes, cost, (at) => {
      this.#copyBytes(at, segment);
      if (sourced) this.#attach(at, () => this.#sources.attachCopy(at, from));
    });
    // Who maps it to be written asks again, before the first write to each frame.
    if (handle >= 0 && S.writers.get(space, from) > 0) moveEpoch(space);
    return handle;
  }

  /**
   * A new segment with the bytes that one of the space (space/segments.ts) has now, owned by a domain: a handle with these
   * rights, or -errno.
   * @throws SpaceFullError with nothing changed
   */
  createFrom(domain: Domain, segment: number, rights: number): number {
    const bytes = this.#space.segments.size(segment);
    const cost = FRAME_BYTES * framesOf(bytes);
    return this.#make(domain, bytes, cost, (at) => this.#copyBytes(at, segment), rights);
  }

  /**
   * A new segment with the bytes of a file of the host, read when they are touched, owned by a domain: a handle with these
   * rights, or -errno: FBIG for a file larger than a space can be, DQUOT.
   * @throws SpaceFullError with nothing changed
   */
  createOver(domain: Domain, file: SourceFile, rights: number): number {
    const { size } = file.stat;
    if (size > SEGMENT_MAX_BYTES) return -ERRNO.FBIG;
    const fill = (at: number): void => {
      this.#fill(at, size, true);
      this.#attach(at, () => this.#sources.attach(at, file));
    };
    return this.#make(domain, size, ENTRY_BYTES * framesOf(size), fill, rights);
  }

  size(object: number): number {
    return S.size.get(this.#space, this.#state(object));
  }

  /** More bytes, which are zero. 0 or -errno. @throws SpaceFullError with nothing changed but where it lies */
  grow(object: number, bytes: number): number {
    const [space, at] = [this.#space, this.#state(object)];
    const before = S.size.get(space, at);
    if (S.sealed.get(space, at) !== 0) return -ERRNO.ROFS;
    if (bytes < before) return -ERRNO.INVAL;
    if (bytes > SEGMENT_MAX_BYTES) return -ERRNO.NOSPC;
    const more = (framesOf(bytes) - framesOf(before)) * this.#costOfFrame(at);
    const payer = S.payer.get(space, at);
    if (!mayCharge(space, payer, RESOURCE.memory, more)) return -ERRNO.DQUOT;
    const segment = S.segment.get(space, at);
    if (space.segments.isLaidOut(segment)) this.#places(at, bytes);
    space.segments.truncate(segment, bytes);
    chargeState(this.#space, at, more);
    S.size.set(space, at, bytes);
    return 0;
  }

  seal(object: number): void {
    S.sealed.set(this.#space, this.#state(object), 1);
    moveEpoch(this.#space);
  }

  /** 0, or -BUSY where somebody else has frozen it. */
  freeze(object: number, domain: Domain, handle: number): number {
    const [space, at] = [this.#space, this.#state(object)];
    const freezer = this.#freezer(object);
    if (freezer !== 0) return freezer === domain.id ? 0 : -ERRNO.BUSY;
    S.freezer.set(space, at, domain.id);
    S.handle.set(space, at, handle);
    moveEpoch(space);
    return 0;
  }
  /** 0, or -PERM where it was not this domain that froze it. */
  thaw(object: number, domain: Domain): number {
    if (this.#freezer(object) !== domain.id) return -ERRNO.PERM;
    S.freezer.set(this.#space, this.#state(object), 0);
    moveEpoch(this.#space);
    return 0;
  }

  /** Whether a domain (null for whoever made the space) with these rights may write: 0, -NOTCAPABLE, -ROFS (sealed) or -BUSY (frozen). */
  mayWrite(object: number, domain: Domain | null, rights: number): number {
    const [space, at] = [this.#space, this.#state(object)];
    if ((rights & RIGHT.write) === 0) return -ERRNO.NOTCAPABLE;
    if (S.sealed.get(space, at) !== 0) return -ERRNO.ROFS;
    const freezer = this.#freezer(object);
    return freezer === 0 || freezer === domain?.id ? 0 : -ERRNO.BUSY;
  }

  /** Copies bytes from `offset` on to global address `to`: how many there were, or -errno where its source has none. */
  read(object: number, offset: number, to: number, length: number): number {
    const [space, at] = [this.#space, this.#state(object)];
    const segment = S.segment.get(space, at);
    if (S.source.get(space, at) === 0) return space.segments.read(segment, offset, to, length);
    const bytes = Math.max(0, Math.min(length, S.size.get(space, at) - offset));
    for (let done = 0; done < bytes; ) {
      const from = offset + done;
      const part = Math.min(bytes - done, FRAME_BYTES - (from % FRAME_BYTES));
      if (space.segments.lists.frame(segment, Math.floor(from / FRAME_BYTES)) !== 0) {
        space.segments.read(segment, from, to + done, part);
      } else {
        const bad = this.#sources.read(at, from, to + done, part);
        space.mark(to + done, part);
        if (bad !== 0) return bad;
      }
      done += part;
    }
    return bytes;
  }
  /**
   * Sees to it that a part has bytes of its own to write: 0, or -errno where its source has none.
   * @throws SpaceFullError with nothing changed
   */
  prepare(object: number, offset: number, length: number): number {
    const at = this.#state(object);
    const segment = S.segment.get(this.#space, at);
    if (length === 0) return 0;
    const bad = this.#load(at, offset, length);
    if (bad !== 0) return bad;
    if (this.#hasSource(at) || this.#space.segments.hasFamily(segment))
      this.#own(segment, offset, length, HAVE.alone);
    return 0;
  }
  /** Copies `length` bytes from global address `from`, all inside, to a part that was prepared. */
  write(object: number, offset: number, from: number, length: number): void {
    this.#space.segments.write(this.bytesOf(object), offset, from, length);
  }

  /**
   * The segment is mapped, to be written or not, or a mapping ends. 0, or -DQUOT for one that begins.
   * @throws SpaceFullError with nothing changed, for one that begins
   */
  mapped(object: number, writes: boolean, begins: boolean): number {
    const [space, at] = [this.#space, this.#state(object)];
    const segment = S.segment.get(space, at);
    const family = space.segments.hasFamily(segment);
    if (begins && (writes || !(family || this.#hasSource(at)))) {
      const bad = this.#layOut(at);
      if (bad !== 0) return bad;
    }
    // Who may write one of them now is shown all in their places alone, and may have been shown some elsewhere.
    const frames = framesOf(S.size.get(space, at));
    if (begins && writes && (family || !space.segments.lists.inPlace(segment, 0, frames, false)))
      moveEpoch(space);
    if (writes) S.writers.set(space, at, S.writers.get(space, at) + (begins ? 1 : -1));
    return 0;
  }

  /** The segment of the space with its bytes. */
  bytesOf(object: number): number {
    return S.segment.get(this.#space, this.#state(object));
  }
  /** Whether there may be frames that are as they were read from elsewhere. */
  hasSource(object: number): boolean {
    return this.#hasSource(this.#state(object));
  }

  /**
   * Global address of a part in the segment's extent, for who may write it, or another that has frames of it; with `writes`
   * nobody else has them. It moves in calls only. Or -errno, where its source has no bytes.
   * @throws SpaceFullError
   */
  placed(object: number, offset: number, length: number, writes: boolean): number {
    const { segments } = this.#space;
    const at = this.#state(object);
    const segment = S.segment.get(this.#space, at);
    const [first, end] = [Math.floor(offset / FRAME_BYTES), Math.ceil((offset + length) / FRAME_BYTES)];
    if (!segments.lists.inPlace(segment, first, end, writes)) {
      const bad = this.#layOut(at) || this.#load(at, offset, length);
      if (bad !== 0) return bad;
      this.#own(segment, offset, length, writes ? HAVE.alone : HAVE.placed);
    }
    return segments.addressOf(segment, offset);
  }

  /**
   * Global address of a part, for a domain that may write none of those that have frames of it: where it lies, or that of a
   * copy. It may be read until the next call of who reads it. Or -errno: where its source has no bytes, DQUOT.
   * @throws SpaceFullError
   */
  shown(object: number, offset: number, length: number, domain: Domain): number {
    const space = this.#space;
    const { lists } = space.segments;
    const at = this.#state(object);
    const segment = S.segment.get(space, at);
    const [first, end] = [Math.floor(offset / FRAME_BYTES), Math.ceil((offset + length) / FRAME_BYTES)];
    const isThere = lists.frame(segment, first) !== 0;
    if (end === first + 1 && !isThere) {
      const bad = this.#load(at, offset, length);
      if (bad !== 0) return bad;
      this.#own(segment, offset, length, HAVE.filled);
    }
    if (end === first + 1 || (isThere && lists.rowEnd(segment, first, end) === end))
      return space.segments.addressOf(segment, offset);
    // Copies go soon, and are not charged; but there are no more than could be.
    const held = this.joined.copiedBytes + length;
    if (held > FRAME_BYTES && !mayCharge(space, domain.account, RESOURCE.memory, held)) return -ERRNO.DQUOT;
    const copy = this.joined.room(offset, length);
    const got = this.read(object, offset, copy, length);
    return got < 0 ? got : copy;
  }

  /** Global address of a byte; good until anything is called that may move it; or -errno. @throws SpaceFullError */
  address(object: number, offset = 0): number {
    return this.placed(object, offset, 1, false);
  }

  /** Moves bytes of segments, and of files, to lower places where there are any. Returns the frames moved. Nothing runs. */
  compact(): number {
    const { space } = this.#core;
    let moved = 0;
    for (const segment of space.segments.all()) moved += space.segments.compact(segment);
    if (moved > 0) moveEpoch(space);
    return moved;
  }

  #state(object: number): number {
    return this.#core.objects.b(object);
  }
  #own(segment: number, offset: number, length: number, have: Have): void {
    if (this.#space.segments.own(segment, offset, length, have)) moveEpoch(this.#space);
  }

  #hasSource(at: number): boolean {
    return S.source.get(this.#space, at) !== 0;
  }
  /** Sees to it that a part is there that comes from elsewhere: 0 or -errno. @throws SpaceFullError */
  #load(at: number, offset: number, length: number): number {
    if (!this.#hasSource(at)) return 0;
    return this.#sources.load(at, Math.floor(offset / FRAME_BYTES), framesOf(offset + length));
  }

  /** Gives it an extent, for which one with a source is charged whole: 0 or -DQUOT. @throws SpaceFullError with nothing changed */
  #layOut(at: number): number {
    const space = this.#space;
    if (space.segments.isLaidOut(S.segment.get(space, at))) return 0;
    const bytes = S.size.get(space, at);
    const more = this.#hasSource(at) ? framesOf(bytes) * FRAME_BYTES - S.charged.get(space, at) : 0;
    if (!mayCharge(space, S.payer.get(space, at), RESOURCE.memory, more)) return -ERRNO.DQUOT;
    this.#places(at, bytes);
    chargeState(this.#space, at, more);
    return 0;
  }
  #places(at: number, bytes: number): void {
    const { segments } = this.#space;
    if (segments.layOut(S.segment.get(this.#space, at), bytes, this.#hasSource(at))) moveEpoch(this.#space);
  }
  /** What it is charged for a frame, whether that is there or not. */
  #costOfFrame(at: number): number {
    const loads = this.#hasSource(at) && !this.#space.segments.isLaidOut(S.segment.get(this.#space, at));
    return loads ? ENTRY_BYTES : FRAME_BYTES;
  }
  /** A new object for a domain, which pays `cost` bytes for it; `fill` gives the state its segment. A handle or -errno. */
  #make(
    domain: Domain,
    bytes: number,
    cost: number,
    fill: (at: number) => void,
    rights = RIGHTS_ALL,
  ): number {
    if (!mayCharge(this.#space, domain.account, RESOURCE.memory, cost)) return -ERRNO.DQUOT;
    const { clists } = this.#core;
    const bad = clists.reserve(domain, 1);
    if (bad !== 0) return bad;
    const space = this.#space;
    const at = space.heap.alloc(StateRecord.bytes);
    S.size.set(space, at, bytes);
    try {
      fill(at);
    } catch (error) {
      space.heap.free(at);
      throw error;
    }
    let handle: number;
    try {
      handle = clists.make(domain, OBJECT.segment, 0, at, rights);
    } catch (error) {
      this.#drop(at);
      throw error;
    }
    S.payer.set(space, at, domain.account);
    nameAccount(space, domain.account);
    chargeState(this.#space, at, cost);
    return handle;
  }

  /** `attach` gives a state that has its segment a source, or throws. */
  #attach(at: number, attach: () => void): void {
    try {
      attach();
    } catch (error) {
      this.#space.segments.destroy(S.segment.get(this.#space, at));
      throw error;
    }
  }

  /** @param holes it is a list of frames from the beginning, all of them holes */
  #fill(at: number, bytes: number, holes = false): void {
    const { segments } = this.#space;
    const segment = segments.create();
    try {
      if (holes) segments.own(segment, 0, 0, HAVE.filled);
      segments.truncate(segment, bytes);
    } catch (error) {
      segments.destroy(segment);
      throw error;
    }
    S.segment.set(this.#space, at, segment);
  }

  /** Its bytes are those that a segment of the space has now. */
  #copyBytes(at: number, from: number): void {
    S.segment.set(this.#space, at, this.#space.segments.copy(from));
  }

  /** The domain that keeps it frozen, 0 for none. */
  #freezer(object: number): number {
    const [space, at] = [this.#space, this.#state(object)];
    const id = S.freezer.get(space, at);
    if (id === 0) return 0;
    const domain = this.#core.peek(id);
    if (domain !== undefined && domain.state !== STATE.exited) {
      if (this.#core.clists.objectAt(domain, S.handle.get(space, at)) === object) return id;
    }
    S.freezer.set(space, at, 0);
    return 0;
  }

  #end(object: number): void {
    const space = this.#space;
    const at = this.#state(object);
    this.#core.waits?.segmentGone(object);
    const payer = S.payer.get(space, at);
    refund(space, payer, RESOURCE.memory, S.charged.get(space, at));
    unnameAccount(space, payer);
    this.#core.objects.setB(object, 0);
    this.#drop(at);
  }

  #drop(at: number): void {
    this.#sources.detach(at);
    this.#space.segments.destroy(S.segment.get(this.#space, at));
    this.#space.heap.free(at);
  }
}
