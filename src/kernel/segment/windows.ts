/**
 * Windows: segments mapped into the near addresses of domains, from WINDOW_BASE up, and what their programs and the kernel find
 * there. The window table (abi/layout.ts) tells the program's code; its entries are filled as they are asked for, and
 * say the truth until the epoch moves. A mapping keeps the capability that allowed it. When that is found dead, it is gone.
 *
 * Between two mappings, and before the first, at least 64 KiB are free, for the compiler takes accesses together that lie closer.
 *
 * Why: RATIONALE.md#windows
 */
import { ERRNO } from '../../abi/errno.ts';
import { WINDOW } from '../../abi/layout.ts';
import { RIGHT } from '../../abi/objects.ts';
import { FRAME_BYTES, PAGE_BYTES, WINDOW_BASE } from '../../base/limits.ts';
import { defineRecord, num, RecordTable, ROOT, type Space, u32 } from '../../space/index.ts';
import { epochOf } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import { type Domain, DomainRecord } from '../domain.ts';
import { writeControl } from '../memory.ts';
import type { SegmentObjects } from './contents.ts';

const MappingRecord = defineRecord('mapping', {
  capability: num('kernel', 'What allowed it.'),
  turn: num('kernel', 'Its turn then.'),
  object: num('kernel', 'The segment, as an object.'),
  near: num('kernel', 'Near address where it begins: a multiple of 64 KiB.'),
  bytes: num('kernel', 'How long it is.'),
  offset: num('kernel', 'Where in the segment it begins: a multiple of 4096.'),
  rights: u32('kernel', 'RIGHT bits that it has: read, and perhaps write.'),
  row: u32('kernel', 'Its row in the table.'),
});
const [M, D] = [MappingRecord.fields, DomainRecord.fields];

/** Entries of the largest table: up to where near addresses end. */
const SLOTS = (2 ** 32 - WINDOW_BASE) / FRAME_BYTES;
/** So many entries of a mapping are filled together. */
const FILLED = 16;

/** What is to be mapped, by whom. */
export interface Mapping {
  readonly capability: number;
  readonly turn: number;
  readonly object: number;
  /** Those that whoever maps it has. */
  readonly rights: number;
  readonly offset: number;
  readonly bytes: number;
  readonly writable: boolean;
  /** Near address where it is wanted, 0 for any. */
  readonly near: number;
}

/** What is mapped; `rights` are those that the mapping has. */
export type Mapped = Omit<Mapping, 'writable'>;

export class Windows {
  readonly #core: Core;
  readonly #space: Space;
  readonly #contents: SegmentObjects;
  #table: RecordTable | null = null;
  /** By domain, what `#writable` has found: a cache. */
  readonly #writers = new Map<number, Set<number>>();

  constructor(core: Core, contents: SegmentObjects) {
    this.#core = core;
    this.#space = core.space;
    this.#contents = contents;
  }

  /**
   * Maps a part of a segment. Returns the near address, or -errno: NOTSUP for a program without windows, INVAL for a part that is none, or an
   * address that none can have, EXIST for one that is taken, NOMEM where there are none, NOTCAPABLE, ROFS or BUSY where it may not be written.
   * @throws SpaceFullError with nothing mapped
   */
  map(domain: Domain, wanted: Mapping): number {
    const { object, bytes, offset, rights, writable } = wanted;
    const { evidence } = domain.module;
    if (!evidence.windows || !evidence.track || domain.own !== null) return -ERRNO.NOTSUP;
    if ((rights & RIGHT.read) === 0) return -ERRNO.NOTCAPABLE;
    const inside = offset >= 0 && bytes > 0 && offset + bytes <= this.#contents.size(object);
    if (!inside || offset % PAGE_BYTES !== 0) return -ERRNO.INVAL;
    const bad = writable ? this.#contents.mayWrite(object, domain, rights) : 0;
    if (bad !== 0) return bad;
    const slots = Math.ceil(bytes / FRAME_BYTES);
    const slot = wanted.near === 0 ? this.#find(domain, slots) : this.#at(domain, wanted.near, slots);
    if (slot < 0) return slot;
    this.#reserve(domain, slot + slots);
    const row = this.#rows().insert();
    let refused: number;
    try {
      refused = this.#contents.mapped(object, writable, true);
    } catch (error) {
      this.#rows().remove(row);
      throw error;
    }
    if (refused !== 0) {
      this.#rows().remove(row);
      return refused;
    }
    const near = WINDOW_BASE + slot * FRAME_BYTES;
    this.#write(domain, row, { ...wanted, near }, slots);
    return near;
  }

  /** Ends the mapping that begins at a near address: 0 or -INVAL. */
  unmap(domain: Domain, near: number): number {
    const mapping = this.#mappingAt(domain, near);
    if (mapping === 0 || M.near.get(this.#space, mapping) !== near) return -ERRNO.INVAL;
    this.#lose(domain, mapping, -ERRNO.FAULT);
    return 0;
  }

  /** The domain is no more: nothing is mapped there. */
  forget(domain: Domain): void {
    const space = this.#space;
    const [table, count] = [D.windows.get(space, domain.at), D.windowCount.get(space, domain.at)];
    if (table === 0) return;
    for (let slot = 0; slot < count; slot++) {
      const mapping = space.getNumber(table + slot * WINDOW.bytes + WINDOW.mapping);
      if (mapping !== 0) this.#drop(domain, mapping);
    }
    this.#writers.delete(domain.id);
    D.windows.set(space, domain.at, 0);
    D.windowCount.set(space, domain.at, 0);
    space.heap.free(table);
  }

  /** What a domain has mapped, by near address. */
  *of(domain: Domain): Generator<Mapped> {
    const space = this.#space;
    const [table, count] = [D.windows.get(space, domain.at), D.windowCount.get(space, domain.at)];
    let before = 0;
    for (let slot = 0; table !== 0 && slot < count; slot++) {
      const at = space.getNumber(table + slot * WINDOW.bytes + WINDOW.mapping);
      if (at === 0 || at === before) continue;
      before = at;
      const [near, bytes, offset] = [M.near.get(space, at), M.bytes.get(space, at), M.offset.get(space, at)];
      const [capability, turn] = [M.capability.get(space, at), M.turn.get(space, at)];
      const [object, rights] = [M.object.get(space, at), M.rights.get(space, at)];
      yield { capability, turn, object, rights, near, bytes, offset };
    }
  }

  /** How many mappings there are. */
  get count(): number {
    return this.#space.root(ROOT.mappings) === 0 ? 0 : this.#rows().liveCount;
  }

  /**
   * Global address of `bytes` bytes of a window of the domain, which may be read, or with `writes` written; -1 where
   * any of them may not, or -errno where they come from a file and cannot be read. Tells the domain's code. Good until any code runs.
   * @throws SpaceFullError
   */
  resolve(domain: Domain, near: number, bytes: number, writes: boolean): number {
    const space = this.#space;
    let mapping = this.#mappingAt(domain, near);
    // No bytes may lie where a mapping ends.
    if (mapping === 0 && bytes === 0) mapping = this.#mappingAt(domain, near - 1);
    if (mapping === 0) return -1;
    const [begin, length] = [M.near.get(space, mapping), M.bytes.get(space, mapping)];
    if (near + bytes > begin + length) return -1;
    if (this.#check(domain, mapping) !== 0) return -1;
    const object = M.object.get(space, mapping);
    const writable = this.#contents.mayWrite(object, domain, M.rights.get(space, mapping)) === 0;
    if (writes && !writable) return -1;
    // No bytes are where the byte before them is.
    const from = Math.min(near, begin + length - 1);
    const offset = from - begin + M.offset.get(space, mapping);
    const placed = this.#isWriter(domain, mapping);
    const touched = Math.max(bytes, 1);
    const at = placed
      ? this.#contents.placed(object, offset, touched, writes)
      : this.#contents.shown(object, offset, touched, domain);
    if (at < 0) return at;
    this.#tell(domain, mapping, from, placed, writable);
    return at + near - from;
  }

  /** Where in which segment bytes of a window lie that the domain may read and write, or -FAULT. */
  locate(domain: Domain, near: number, bytes: number): { segment: number; offset: number } | number {
    if (this.resolve(domain, near, bytes, true) < 0) return -ERRNO.FAULT;
    return this.#spot(this.#mappingAt(domain, near), near);
  }
  /**
   * The same for who waits there: nothing is placed for it, what somebody keeps frozen is still its own, and it is told why not:
   * -REVOKED, -GONE, -ROFS where nobody may write any more, -NOTCAPABLE, -FAULT where nothing is mapped.
   */
  claim(domain: Domain, near: number, bytes: number): { segment: number; offset: number } | number {
    const space = this.#space;
    const mapping = this.#mappingAt(domain, near);
    if (mapping === 0) return -ERRNO.FAULT;
    if (near + bytes > M.near.get(space, mapping) + M.bytes.get(space, mapping)) return -ERRNO.FAULT;
    const [object, rights] = [M.object.get(space, mapping), M.rights.get(space, mapping)];
    const bad = this.#check(domain, mapping) || this.#contents.mayWrite(object, domain, rights);
    return bad !== 0 && bad !== -ERRNO.BUSY ? bad : this.#spot(mapping, near);
  }
  #spot(mapping: number, near: number): { segment: number; offset: number } {
    const offset = near - M.near.get(this.#space, mapping) + M.offset.get(this.#space, mapping);
    return { segment: M.object.get(this.#space, mapping), offset };
  }
  /** What allowed a mapping, now: 0, or -errno, and then it is gone. */
  #check(domain: Domain, mapping: number): number {
    const space = this.#space;
    const bad = this.#core.capabilities.check(M.capability.get(space, mapping), M.turn.get(space, mapping));
    if (bad !== 0) this.#lose(domain, mapping, bad);
    return bad;
  }
  /** Ends a mapping, and tells those who wait there. */
  #lose(domain: Domain, mapping: number, errno: number): void {
    const [near, bytes] = [M.near.get(this.#space, mapping), M.bytes.get(this.#space, mapping)];
    this.#drop(domain, mapping);
    this.#core.waits?.lost(domain, near, bytes, errno);
  }
  /** Global address of bytes of a segment, below 0 where there are none; `writes`: to be changed. */
  address(object: number, offset: number, bytes: number, writes: boolean): number {
    if (this.#core.objects.isGone(object) || offset + bytes > this.#contents.size(object)) return -1;
    return this.#contents.placed(object, offset, bytes, writes);
  }
  /** Whether the kernel may change bytes of a segment for whoever runs now, if anybody does: 0, -GONE, -ROFS or -BUSY. */
  mayChange(object: number): number {
    const { objects, current } = this.#core;
    return objects.isGone(object) ? -ERRNO.GONE : this.#contents.mayWrite(object, current, RIGHT.write);
  }

  /**
   * Entries of a mapping about a near address are true from here on, where there is something to say. `placed`: only what lies
   * in its place is shown, see `#isWriter`.
   */
  #tell(domain: Domain, mapping: number, near: number, placed: boolean, writable: boolean): void {
    const space = this.#space;
    const { u32, segments } = space;
    const { lists } = segments;
    const [begin, offset] = [M.near.get(space, mapping), M.offset.get(space, mapping)];
    const nearEnd = begin + M.bytes.get(space, mapping);
    const object = M.object.get(space, mapping);
    const [segment, loads] = [this.#contents.bytesOf(object), this.#contents.hasSource(object)];
    const frames = Math.ceil((nearEnd - begin + offset) / FRAME_BYTES);
    const nearOf = (frame: number): number => Math.min(nearEnd, begin + frame * FRAME_BYTES - offset);
    const table = D.windows.get(space, domain.at);
    const [first, end, at] = [slotOf(begin), slotOf(nearEnd - 1) + 1, slotOf(near)];
    const from = Math.max(first, at - (at % FILLED));
    const to = Math.min(end, from + FILLED);
    const epoch = epochOf(space);
    let [rowEnd, aloneEnd] = [0, 0];
    for (let slot = from; slot < to; slot++) {
      const i = Math.floor(offset / FRAME_BYTES) + slot - first;
      const frame = lists.frame(segment, i);
      // What lies in a row with a frame in its place is in its own.
      if (i >= rowEnd) {
        if (frame === 0 || (placed && frame !== lists.place(segment, i))) continue;
        rowEnd = lists.rowEnd(segment, i, frames);
      }
      if (placed && writable && i >= aloneEnd) aloneEnd = lists.aloneEnd(segment, i, rowEnd, loads);
      const entry = table + slot * WINDOW.bytes;
      setWord(u32, entry + WINDOW.delta, (frame - i) * FRAME_BYTES + offset - begin);
      setWord(u32, entry + WINDOW.readEnd, nearOf(rowEnd));
      setWord(u32, entry + WINDOW.writeEnd, i < aloneEnd ? nearOf(aloneEnd) : 0);
      setWord(u32, entry + WINDOW.epoch, epoch);
    }
    space.mark(table + from * WINDOW.bytes, (to - from) * WINDOW.bytes);
  }

  /**
   * Whether a domain may write, in this window or another, the bytes that this one shows. Then it is shown what has a place in the
   * segment's extent, nothing else: what its code got from the template must not move, and no two addresses may stand for
   * the same byte, until its next call. Who writes none of them may be shown frames of others, and copies: until its
   * next call nobody writes them.
   */
  #isWriter(domain: Domain, mapping: number): boolean {
    const space = this.#space;
    if ((M.rights.get(space, mapping) & RIGHT.write) !== 0) return true;
    const segment = this.#contents.bytesOf(M.object.get(space, mapping));
    for (const each of this.#writable(domain)) {
      const object = M.object.get(space, each);
      if (this.#core.objects.isGone(object)) continue;
      if (space.segments.lists.isFamily(segment, this.#contents.bytesOf(object))) return true;
    }
    return false;
  }
  /** Mappings of a domain with the right to write. */
  #writable(domain: Domain): ReadonlySet<number> {
    const known = this.#writers.get(domain.id);
    if (known !== undefined) return known;
    const space = this.#space;
    const found = new Set<number>();
    const [table, count] = [D.windows.get(space, domain.at), D.windowCount.get(space, domain.at)];
    for (let slot = 0; slot < count; slot++) {
      const mapping = space.getNumber(table + slot * WINDOW.bytes + WINDOW.mapping);
      if (mapping !== 0 && (M.rights.get(space, mapping) & RIGHT.write) !== 0) found.add(mapping);
    }
    this.#writers.set(domain.id, found);
    return found;
  }

  /** The mapping that a near address belongs to, 0 for none. */
  #mappingAt(domain: Domain, near: number): number {
    const slot = slotOf(near);
    const space = this.#space;
    if (slot < 0 || slot >= D.windowCount.get(space, domain.at)) return 0;
    return space.getNumber(D.windows.get(space, domain.at) + slot * WINDOW.bytes + WINDOW.mapping);
  }

  #isFree(domain: Domain, slot: number): boolean {
    return this.#mappingAt(domain, WINDOW_BASE + slot * FRAME_BYTES) === 0;
  }

  /** The first place for so many entries with a free one at each side, or -NOMEM. */
  #find(domain: Domain, slots: number): number {
    let free = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      free = this.#isFree(domain, slot) ? free + 1 : 0;
      if (free === slots + 2) return slot - slots;
    }
    return -ERRNO.NOMEM;
  }
  /** The place of a near address, or -errno. */
  #at(domain: Domain, near: number, slots: number): number {
    const slot = slotOf(near);
    if (near % FRAME_BYTES !== 0 || slot < 1 || slot + slots >= SLOTS) return -ERRNO.INVAL;
    for (let i = slot - 1; i <= slot + slots; i++) if (!this.#isFree(domain, i)) return -ERRNO.EXIST;
    return slot;
  }

  /** A table with so many entries at least. */
  #reserve(domain: Domain, count: number): void {
    const space = this.#space;
    const have = D.windowCount.get(space, domain.at);
    if (count <= have) return;
    const room = Math.min(SLOTS, Math.max(count, 2 * have, 4)) * WINDOW.bytes;
    const old = D.windows.get(space, domain.at);
    const table = old === 0 ? space.heap.alloc(room) : space.heap.resize(old, room);
    D.windows.set(space, domain.at, table);
    D.windowCount.set(
      space,
      domain.at,
      Math.min(SLOTS, Math.floor(space.heap.blockBytes(table) / WINDOW.bytes)),
    );
    writeControl(domain);
  }

  #write(domain: Domain, row: number, wanted: Mapping, slots: number): void {
    const space = this.#space;
    const at = this.#rows().address(row);
    M.row.set(space, at, row);
    M.capability.set(space, at, wanted.capability);
    M.turn.set(space, at, wanted.turn);
    M.object.set(space, at, wanted.object);
    M.near.set(space, at, wanted.near);
    M.bytes.set(space, at, wanted.bytes);
    M.offset.set(space, at, wanted.offset);
    M.rights.set(space, at, RIGHT.read | (wanted.writable ? RIGHT.write : 0));
    if (wanted.writable) this.#writers.get(domain.id)?.add(at);
    this.#core.capabilities.retain(wanted.capability);
    const table = D.windows.get(space, domain.at) + slotOf(wanted.near) * WINDOW.bytes;
    for (let i = 0; i < slots; i++) space.setNumber(table + i * WINDOW.bytes + WINDOW.mapping, at);
  }

  #drop(domain: Domain, mapping: number): void {
    const space = this.#space;
    const first = slotOf(M.near.get(space, mapping));
    const slots = Math.ceil(M.bytes.get(space, mapping) / FRAME_BYTES);
    space.zero(D.windows.get(space, domain.at) + first * WINDOW.bytes, slots * WINDOW.bytes);
    const [capability, object] = [M.capability.get(space, mapping), M.object.get(space, mapping)];
    const writes = (M.rights.get(space, mapping) & RIGHT.write) !== 0;
    if (!this.#core.objects.isGone(object)) this.#contents.mapped(object, writes, false);
    this.#writers.get(domain.id)?.delete(mapping);
    this.#rows().remove(M.row.get(space, mapping));
    this.#core.capabilities.release(capability);
  }

  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.mappings, MappingRecord.bytes);
    return this.#table;
  }
}

/** Writes a whole number, modulo 2^64, to where 64 bits are aligned. */
function setWord(u32: Uint32Array, at: number, value: number): void {
  u32[at / 4] = value;
  u32[at / 4 + 1] = Math.floor(value / 2 ** 32);
}

const slotOf = (near: number): number => Math.floor((near - WINDOW_BASE) / FRAME_BYTES);
