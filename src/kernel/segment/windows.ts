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

export class Windows {
  readonly #core: Core;
  readonly #space: Space;
  readonly #contents: SegmentObjects;
  #table: RecordTable | null = null;

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
    try {
      this.#contents.mapped(object, writable, true);
    } catch (error) {
      this.#rows().remove(row);
      throw error;
    }
    const near = WINDOW_BASE + slot * FRAME_BYTES;
    this.#write(domain, row, { ...wanted, near }, slots);
    return near;
  }

  /** Ends the mapping that begins at a near address: 0 or -INVAL. */
  unmap(domain: Domain, near: number): number {
    const mapping = this.#mappingAt(domain, near);
    if (mapping === 0 || M.near.get(this.#space, mapping) !== near) return -ERRNO.INVAL;
    this.#drop(domain, mapping);
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
    D.windows.set(space, domain.at, 0);
    D.windowCount.set(space, domain.at, 0);
    space.heap.free(table);
  }

  /** How many mappings there are. */
  get count(): number {
    return this.#space.root(ROOT.mappings) === 0 ? 0 : this.#rows().liveCount;
  }

  /**
   * Global address of `bytes` bytes of a window of the domain, which may be read, or with `writes` written; -1 where
   * any of them may not. Tells the domain's code. Good until any code runs.
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
    if (this.#core.capabilities.check(M.capability.get(space, mapping), M.turn.get(space, mapping)) !== 0) {
      this.#drop(domain, mapping);
      return -1;
    }
    const object = M.object.get(space, mapping);
    const writable = this.#contents.mayWrite(object, domain, M.rights.get(space, mapping)) === 0;
    if (writes && !writable) return -1;
    const delta = this.#contents.address(object) + M.offset.get(space, mapping) - begin;
    this.#tell(domain, Math.min(near, begin + length - 1), begin, length, delta, writable);
    return near + delta;
  }

  /** Where in which segment bytes of a window lie that the domain may read and write, or -FAULT. */
  locate(domain: Domain, near: number, bytes: number): { segment: number; offset: number } | number {
    if (this.resolve(domain, near, bytes, true) < 0) return -ERRNO.FAULT;
    const mapping = this.#mappingAt(domain, near);
    const offset = near - M.near.get(this.#space, mapping) + M.offset.get(this.#space, mapping);
    return { segment: M.object.get(this.#space, mapping), offset };
  }
  /** Global address of a byte of a segment, -1 where there is none. */
  address(object: number, offset: number): number {
    if (this.#core.objects.isGone(object) || offset >= this.#contents.size(object)) return -1;
    return this.#contents.address(object) + offset;
  }

  /** Entries of the mapping about a near address are true from here on. */
  #tell(domain: Domain, near: number, begin: number, length: number, delta: number, writable: boolean): void {
    const space = this.#space;
    const table = D.windows.get(space, domain.at);
    const [first, end, at] = [slotOf(begin), slotOf(begin + length - 1) + 1, slotOf(near)];
    const from = Math.max(first, at - (at % FILLED));
    const to = Math.min(end, from + FILLED);
    const epoch = epochOf(space);
    const added = BigInt.asUintN(64, BigInt(delta));
    for (let slot = from; slot < to; slot++) {
      const entry = table + slot * WINDOW.bytes;
      space.setU64(entry + WINDOW.delta, added);
      space.setNumber(entry + WINDOW.readEnd, begin + length);
      space.setNumber(entry + WINDOW.writeEnd, writable ? begin + length : 0);
      space.setNumber(entry + WINDOW.epoch, epoch);
    }
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
    this.#rows().remove(M.row.get(space, mapping));
    this.#core.capabilities.release(capability);
  }

  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.mappings, MappingRecord.bytes);
    return this.#table;
  }
}

const slotOf = (near: number): number => Math.floor((near - WINDOW_BASE) / FRAME_BYTES);
