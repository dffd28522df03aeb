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
 *
 * Why: RATIONALE.md#segments
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { FRAME_BYTES } from '../../base/limits.ts';
import { defineRecord, HAVE, type Have, num, type Space, u8, u32 } from '../../space/index.ts';
import { charge, mayCharge, refund } from '../account/account.ts';
import { moveEpoch } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import { type Domain, STATE } from '../domain.ts';
import { Joined } from './joined.ts';

const StateRecord = defineRecord('segment state', {
  segment: num('kernel', 'The segment of the space with the bytes.'),
  size: num('kernel', 'Bytes.'),
  payer: num('kernel', 'The account that was charged for its frames.'),
  freezer: u32('kernel', 'The domain that froze it, 0 for none.'),
  handle: u32('kernel', 'Its handle for it: with that, or with the domain, the freezing ends.'),
  writers: u32('kernel', 'Mappings of it that may write.'),
  sealed: u8('kernel', '1 when it is never written again.'),
});
const S = StateRecord.fields;

const framesOf = (bytes: number): number => Math.ceil(bytes / FRAME_BYTES);

export class SegmentObjects {
  readonly #core: Core;
  readonly #space: Space;
  readonly joined: Joined;

  constructor(core: Core) {
    this.#core = core;
    this.#space = core.space;
    this.joined = new Joined(core.space, () => core.pauseSoon());
    core.objects.onEnd(OBJECT.segment, (object) => this.#end(object));
  }

  /**
   * A new segment of zeros, owned by a domain. Returns the handle, or -errno.
   * @throws SpaceFullError with nothing changed
   */
  create(domain: Domain, bytes: number): number {
    const room = this.#mayHave(domain, bytes);
    return room !== 0 ? room : this.#make(domain, bytes, (at) => this.#fill(at, bytes));
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
    charge(space, payer, RESOURCE.memory, framesOf(bytes) * FRAME_BYTES);
    return object;
  }

  /** What goes with one that is carried to another space, beside its bytes; `freezer` is a domain, 0 for none. */
  describe(object: number): { size: number; sealed: boolean; freezer: number; handle: number } {
    const [space, at] = [this.#space, this.#state(object)];
    const freezer = this.#freezer(object);
    const [size, sealed] = [S.size.get(space, at), S.sealed.get(space, at) !== 0];
    return { size, sealed, freezer, handle: freezer === 0 ? 0 : S.handle.get(space, at) };
  }
  /** A copy of a segment, owned by a domain: a handle, or -errno. @throws SpaceFullError with nothing changed */
  copy(domain: Domain, object: number): number {
    const [space, from] = [this.#space, this.#state(object)];
    const bytes = S.size.get(space, from);
    const room = this.#mayHave(domain, bytes);
    if (room !== 0) return room;
    const handle = this.#make(domain, bytes, (at) => this.#copyBytes(at, S.segment.get(space, from)));
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
    const room = this.#mayHave(domain, bytes);
    if (room !== 0) return room;
    return this.#make(domain, bytes, (at) => this.#copyBytes(at, segment), rights);
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
    const more = (framesOf(bytes) - framesOf(before)) * FRAME_BYTES;
    const payer = S.payer.get(space, at);
    if (!mayCharge(space, payer, RESOURCE.memory, more)) return -ERRNO.DQUOT;
    const segment = S.segment.get(space, at);
    if (space.segments.isLaidOut(segment) && space.segments.layOut(segment, bytes)) moveEpoch(space);
    space.segments.truncate(segment, bytes);
    charge(space, payer, RESOURCE.memory, more);
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

  /** Copies bytes from `offset` on to global address `to`: how many there were. */
  read(object: number, offset: number, to: number, length: number): number {
    return this.#space.segments.read(S.segment.get(this.#space, this.#state(object)), offset, to, length);
  }
  /** Sees to it that a part has bytes of its own to write. @throws SpaceFullError with nothing changed */
  prepare(object: number, offset: number, length: number): void {
    const segment = S.segment.get(this.#space, this.#state(object));
    if (length > 0 && this.#space.segments.hasFamily(segment)) this.#own(segment, offset, length, HAVE.alone);
  }
  /** Copies `length` bytes from global address `from`, all inside. @throws SpaceFullError with nothing changed */
  write(object: number, offset: number, from: number, length: number): void {
    this.prepare(object, offset, length);
    this.#space.segments.write(S.segment.get(this.#space, this.#state(object)), offset, from, length);
  }

  /** The segment is mapped, to be written or not, or a mapping ends. @throws SpaceFullError with nothing changed, for one that begins */
  mapped(object: number, writes: boolean, begins: boolean): void {
    const [space, at] = [this.#space, this.#state(object)];
    const segment = S.segment.get(space, at);
    const family = space.segments.hasFamily(segment);
    if (begins && (writes || !family) && space.segments.layOut(segment)) moveEpoch(space);
    // Who may write one of them now is shown the others in their places alone.
    else if (begins && writes && family) moveEpoch(space);
    if (writes) S.writers.set(space, at, S.writers.get(space, at) + (begins ? 1 : -1));
  }

  /** The segment of the space with its bytes. */
  bytesOf(object: number): number {
    return S.segment.get(this.#space, this.#state(object));
  }

  /**
   * Global address of a part in the segment's extent, for who may write it, or another that has frames of it; with `writes`
   * nobody else has them. It moves in calls only.
   * @throws SpaceFullError
   */
  placed(object: number, offset: number, length: number, writes: boolean): number {
    const { segments } = this.#space;
    const segment = this.bytesOf(object);
    const [first, end] = [Math.floor(offset / FRAME_BYTES), Math.ceil((offset + length) / FRAME_BYTES)];
    if (!segments.lists.inPlace(segment, first, end, writes)) {
      if (!segments.isLaidOut(segment) && segments.layOut(segment)) moveEpoch(this.#space);
      this.#own(segment, offset, length, writes ? HAVE.alone : HAVE.placed);
    }
    return segments.addressOf(segment, offset);
  }

  /** Global address of a byte; good until anything is called that may move it. @throws SpaceFullError */
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

  #mayHave(domain: Domain, bytes: number): number {
    const room = framesOf(bytes) * FRAME_BYTES;
    return mayCharge(this.#space, domain.account, RESOURCE.memory, room) ? 0 : -ERRNO.DQUOT;
  }

  #make(domain: Domain, bytes: number, fill: (at: number) => void, rights = RIGHTS_ALL): number {
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
    charge(space, domain.account, RESOURCE.memory, framesOf(bytes) * FRAME_BYTES);
    return handle;
  }

  #fill(at: number, bytes: number): void {
    const { segments } = this.#space;
    const segment = segments.create();
    try {
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
    refund(space, S.payer.get(space, at), RESOURCE.memory, framesOf(S.size.get(space, at)) * FRAME_BYTES);
    this.#core.objects.setB(object, 0);
    this.#drop(at);
  }

  #drop(at: number): void {
    this.#space.segments.destroy(S.segment.get(this.#space, at));
    this.#space.heap.free(at);
  }
}
