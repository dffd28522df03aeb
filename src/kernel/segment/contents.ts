/**
 * Segments as objects: bytes with a size, that domains can map (windows.ts), read and write, seal, freeze and copy. An object of
 * the kind `segment` keeps a state record; the bytes are a segment of the space (space/segments.ts).
 *
 * - Sealed, it is never written again. Frozen, it is written by nobody but who froze it, until that one thaws it, ends, or
 *   loses its capability. Both are true of everybody when the call returns: no code keeps an address over a call.
 * - A copy shares the bytes of what it was copied of until one of the two is written or mapped to be written; then the
 *   whole is copied. What is mapped to be written is copied at once.
 * - What is mapped lies in one extent, with no holes. Pages of it that nobody touched take no memory of the machine.
 *
 * Why: RATIONALE.md#segments
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { FRAME_BYTES } from '../../base/limits.ts';
import { defineRecord, num, type Space, u8, u32 } from '../../space/index.ts';
import { charge, mayCharge, refund } from '../account/account.ts';
import { moveEpoch } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import { type Domain, STATE } from '../domain.ts';

const StateRecord = defineRecord('segment state', {
  segment: num('kernel', 'The segment of the space with the bytes; 0 while they are those of `source`.'),
  size: num('kernel', 'Bytes.'),
  address: num('kernel', 'Where its extent lies, 0 while it has none.'),
  payer: num('kernel', 'The account that was charged for its frames.'),
  source: num('kernel', 'The state whose bytes it shares, 0 for none.'),
  copies: num('kernel', 'The first state that shares its bytes, 0 for none.'),
  next: num('kernel', 'The next state that shares the same bytes.'),
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

  constructor(core: Core) {
    this.#core = core;
    this.#space = core.space;
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

  /** The same for whoever made the space: nobody pays for it, and nobody holds the object yet. @throws SpaceFullError */
  createFree(bytes: number): number {
    const space = this.#space;
    const at = space.heap.alloc(StateRecord.bytes);
    S.size.set(space, at, bytes);
    try {
      this.#fill(at, bytes);
    } catch (error) {
      space.heap.free(at);
      throw error;
    }
    return this.#core.objects.create(OBJECT.segment, 0, at);
  }

  /** A copy of a segment, owned by a domain: a handle, or -errno. @throws SpaceFullError with nothing changed */
  copy(domain: Domain, object: number): number {
    const [space, from] = [this.#space, this.#state(object)];
    const bytes = S.size.get(space, from);
    const room = this.#mayHave(domain, bytes);
    if (room !== 0) return room;
    return this.#make(domain, bytes, (at) => {
      const source = S.source.get(space, from) || from;
      S.source.set(space, at, source);
      S.next.set(space, at, S.copies.get(space, source));
      S.copies.set(space, source, at);
      try {
        // Who maps it to be written writes without asking again.
        if (S.writers.get(space, source) > 0) this.#own(at);
      } catch (error) {
        this.#unlink(at);
        throw error;
      }
    });
  }

  /**
   * A new segment with the bytes that one of the space (space/segments.ts) has now, owned by a domain: a handle with these
   * rights, or -errno. They are copied, for whoever has that one goes on to write, cut and grow it.
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
    this.#own(at);
    space.segments.truncate(S.segment.get(space, at), bytes);
    charge(space, payer, RESOURCE.memory, more);
    S.size.set(space, at, bytes);
    if (S.address.get(space, at) !== 0) this.#layOut(at);
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

  /** Whether a domain with these rights may write: 0, -NOTCAPABLE, -ROFS (sealed) or -BUSY (frozen). */
  mayWrite(object: number, domain: Domain, rights: number): number {
    const [space, at] = [this.#space, this.#state(object)];
    if ((rights & RIGHT.write) === 0) return -ERRNO.NOTCAPABLE;
    if (S.sealed.get(space, at) !== 0) return -ERRNO.ROFS;
    const freezer = this.#freezer(object);
    return freezer === 0 || freezer === domain.id ? 0 : -ERRNO.BUSY;
  }

  /** Copies bytes from `offset` on to global address `to`: how many there were. */
  read(object: number, offset: number, to: number, length: number): number {
    return this.#space.segments.read(this.#bytes(this.#state(object)), offset, to, length);
  }
  /** Sees to it that it has bytes of its own to write. @throws SpaceFullError with nothing changed */
  prepare(object: number): void {
    this.#own(this.#state(object));
  }
  /** Copies `length` bytes from global address `from`, all inside. @throws SpaceFullError with nothing changed */
  write(object: number, offset: number, from: number, length: number): void {
    const at = this.#state(object);
    this.#own(at);
    this.#space.segments.write(S.segment.get(this.#space, at), offset, from, length);
  }

  /** The segment is mapped, to be written or not, or a mapping ends. @throws SpaceFullError with nothing changed, for one that begins */
  mapped(object: number, writes: boolean, begins: boolean): void {
    const [space, at] = [this.#space, this.#state(object)];
    if (begins && writes) this.#own(at);
    if (begins) this.address(object);
    if (writes) S.writers.set(space, at, S.writers.get(space, at) + (begins ? 1 : -1));
  }

  /**
   * Where its bytes lie in one piece; good until anything is called that may move it.
   * @throws SpaceFullError
   */
  address(object: number): number {
    const at = this.#state(object);
    const state = S.source.get(this.#space, at) || at;
    const known = S.address.get(this.#space, state);
    return known !== 0 ? known : this.#layOut(state);
  }

  /** Moves bytes of segments, and of files, to lower places where there are any. Returns the frames moved. Nothing runs. */
  compact(): number {
    const { space, objects } = this.#core;
    let moved = 0;
    for (const segment of space.segments.all()) moved += space.segments.compact(segment);
    for (const object of moved === 0 ? [] : objects.all()) {
      if (objects.kind(object) !== OBJECT.segment) continue;
      const at = this.#state(object);
      if (S.address.get(space, at) !== 0) this.#layOut(at);
    }
    return moved;
  }

  #state(object: number): number {
    return this.#core.objects.b(object);
  }
  #bytes(at: number): number {
    return S.segment.get(this.#space, S.source.get(this.#space, at) || at);
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

  /** Lays its own bytes in one extent. */
  #layOut(at: number): number {
    const space = this.#space;
    const before = S.address.get(space, at);
    const address = space.segments.layOut(S.segment.get(space, at));
    S.address.set(space, at, address);
    if (before !== 0 && before !== address) moveEpoch(space);
    return address;
  }

  /** Gives it bytes that are nobody else's, for it is to be written. @throws SpaceFullError with nothing changed */
  #own(at: number): void {
    const space = this.#space;
    if (S.source.get(space, at) !== 0) {
      this.#copyBytes(at, this.#bytes(at));
      this.#unlink(at);
      moveEpoch(space);
    } else if (S.copies.get(space, at) !== 0) {
      const [segment, address] = [S.segment.get(space, at), S.address.get(space, at)];
      this.#copyBytes(at, segment);
      this.#handOn(at, segment, address);
      moveEpoch(space);
    }
  }

  /** A segment of its own with the bytes of this one. */
  #copyBytes(at: number, from: number): void {
    const space = this.#space;
    const bytes = S.size.get(space, at);
    const segment = space.segments.create();
    try {
      space.segments.copyFrom(segment, from, bytes);
    } catch (error) {
      space.segments.destroy(segment);
      throw error;
    }
    S.segment.set(space, at, segment);
    S.address.set(space, at, 0);
  }

  /** The first of those that share its bytes gets them, and the others share them with that one. */
  #handOn(at: number, segment: number, address: number): void {
    const space = this.#space;
    const heir = S.copies.get(space, at);
    S.segment.set(space, heir, segment);
    S.address.set(space, heir, address);
    S.source.set(space, heir, 0);
    S.copies.set(space, heir, S.next.get(space, heir));
    S.next.set(space, heir, 0);
    S.copies.set(space, at, 0);
    for (let one = S.copies.get(space, heir); one !== 0; one = S.next.get(space, one))
      S.source.set(space, one, heir);
  }

  /** It shares the bytes of its source no longer. */
  #unlink(at: number): void {
    const space = this.#space;
    const source = S.source.get(space, at);
    if (S.copies.get(space, source) === at) S.copies.set(space, source, S.next.get(space, at));
    else {
      let one = S.copies.get(space, source);
      while (S.next.get(space, one) !== at) one = S.next.get(space, one);
      S.next.set(space, one, S.next.get(space, at));
    }
    S.source.set(space, at, 0);
    S.next.set(space, at, 0);
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
    const space = this.#space;
    const segment = S.segment.get(space, at);
    if (S.source.get(space, at) !== 0) this.#unlink(at);
    else if (S.copies.get(space, at) !== 0) this.#handOn(at, segment, S.address.get(space, at));
    else space.segments.destroy(segment);
    space.heap.free(at);
  }
}
