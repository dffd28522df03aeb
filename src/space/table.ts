/**
 * Record tables: rows of one record type with stable addresses and small numbers, kept in heap blocks and found from
 * one root address. Freed rows are used again, lowest cost first; a row's number is therefore not an identity over
 * time: keep an id in the row where one is needed.
 */
import { assert } from '../base/assert.ts';
import { defineRecord, num, u32 } from './records.ts';
import type { Space } from './space.ts';

const Header = defineRecord('record table', {
  rowBytes: u32('owner', 'Bytes of a row with its prefix.'),
  rowsAChunk: u32('owner', 'Rows in each chunk.'),
  live: u32('owner', 'Rows in use.'),
  high: u32('owner', 'Rows that were ever in use; numbers below are valid.'),
  free: u32('owner', 'Number of the first free row plus one, or 0.'),
  chunks: u32('owner', 'Chunks there are.'),
  directory: num('owner', 'Block with the address of each chunk.'),
});
const H = Header.fields;
/** Before each row: u32 1 when live, u32 number of the next free row plus one. */
const PREFIX_BYTES = 8;
const CHUNK_BYTES = 8176;

export class RecordTable {
  readonly #space: Space;
  readonly #header: number;
  readonly #rowBytes: number;
  readonly #rowsAChunk: number;
  /** Addresses of the chunks: a cache of the directory. */
  readonly #chunks: number[] = [];

  private constructor(space: Space, header: number) {
    this.#space = space;
    this.#header = header;
    this.#rowBytes = H.rowBytes.get(space, header);
    this.#rowsAChunk = H.rowsAChunk.get(space, header);
    const directory = H.directory.get(space, header);
    for (let i = 0; i < H.chunks.get(space, header); i++)
      this.#chunks.push(space.getNumber(directory + 8 * i));
  }

  /** The table at this root slot, made when there is none yet. `bytes` is the size of a record. */
  static open(space: Space, rootSlot: number, bytes: number): RecordTable {
    const rowBytes = PREFIX_BYTES + Math.ceil(bytes / 8) * 8;
    let header = space.root(rootSlot);
    if (header === 0) {
      header = space.heap.alloc(Header.bytes);
      H.rowBytes.set(space, header, rowBytes);
      H.rowsAChunk.set(space, header, Math.max(1, Math.floor(CHUNK_BYTES / rowBytes)));
      H.directory.set(space, header, space.heap.alloc(64));
      space.setRoot(rootSlot, header);
    }
    assert(
      H.rowBytes.get(space, header) === rowBytes,
      'a table is opened with the record size it was made with',
    );
    return new RecordTable(space, header);
  }

  /**
   * The same, where rows may be shorter since an older version made them: they get longer by zeros at their end. Rows keep
   * their numbers and get other addresses, so it is for tables whose rows nothing in the space names by address.
   */
  static openWidened(space: Space, rootSlot: number, bytes: number): RecordTable {
    const old = space.root(rootSlot);
    const rowBytes = PREFIX_BYTES + Math.ceil(bytes / 8) * 8;
    if (old === 0 || H.rowBytes.get(space, old) >= rowBytes) return RecordTable.open(space, rootSlot, bytes);
    const from = new RecordTable(space, old);
    space.setRoot(rootSlot, 0);
    const to = RecordTable.open(space, rootSlot, bytes);
    for (let i = 0; i < H.high.get(space, old); i++) {
      to.insert();
      space.copy(to.address(i) - PREFIX_BYTES, from.address(i) - PREFIX_BYTES, from.#rowBytes);
    }
    for (const field of [H.live, H.high, H.free]) field.set(space, to.#header, field.get(space, old));
    for (const chunk of [...from.#chunks, H.directory.get(space, old), old]) space.heap.free(chunk);
    return to;
  }

  get liveCount(): number {
    return H.live.get(this.#space, this.#header);
  }

  /**
   * A zeroed row. Returns its number.
   * @throws SpaceFullError
   */
  insert(): number {
    const [space, header] = [this.#space, this.#header];
    const free = H.free.get(space, header);
    let index: number;
    if (free !== 0) {
      index = free - 1;
      H.free.set(space, header, space.view.getUint32(this.address(index) - 4, true));
      space.setU32(this.address(index) - 4, 0);
    } else {
      index = H.high.get(space, header);
      if (index === this.#chunks.length * this.#rowsAChunk) this.#addChunk();
      H.high.set(space, header, index + 1);
    }
    space.setU32(this.address(index) - PREFIX_BYTES, 1);
    H.live.set(space, header, this.liveCount + 1);
    return index;
  }

  /** Wipes and frees a row. */
  remove(index: number): void {
    const [space, header] = [this.#space, this.#header];
    assert(this.isLive(index), 'a row is removed once');
    const at = this.address(index);
    space.zero(at - PREFIX_BYTES, this.#rowBytes);
    space.setU32(at - 4, H.free.get(space, header));
    H.free.set(space, header, index + 1);
    H.live.set(space, header, this.liveCount - 1);
  }

  /** Address of the record in row `index`, which must have been in use at some time. */
  address(index: number): number {
    const chunk = this.#chunks[Math.floor(index / this.#rowsAChunk)];
    assert(chunk !== undefined && index >= 0, 'a row of the table');
    return chunk + (index % this.#rowsAChunk) * this.#rowBytes + PREFIX_BYTES;
  }

  isLive(index: number): boolean {
    return (
      index >= 0 &&
      index < H.high.get(this.#space, this.#header) &&
      this.#space.view.getUint32(this.address(index) - PREFIX_BYTES, true) === 1
    );
  }

  /** Numbers of the rows in use, ascending. Rows may be inserted and removed while iterating. */
  *rows(): Generator<number> {
    for (let i = 0; i < H.high.get(this.#space, this.#header); i++) if (this.isLive(i)) yield i;
  }

  #addChunk(): void {
    const [space, header] = [this.#space, this.#header];
    const directory = space.heap.resize(H.directory.get(space, header), 8 * (this.#chunks.length + 1));
    H.directory.set(space, header, directory);
    const chunk = space.heap.alloc(this.#rowsAChunk * this.#rowBytes);
    space.setNumber(directory + 8 * this.#chunks.length, chunk);
    this.#chunks.push(chunk);
    H.chunks.set(space, header, this.#chunks.length);
  }
}
