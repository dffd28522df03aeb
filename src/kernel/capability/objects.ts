/**
 * The object table: whatever a capability can point at has a row here, with a persistent 128-bit id. What an object is,
 * its kind knows: two numbers of the row are its own.
 *
 * An object is named by the address of its row, good as long as somebody holds it (`retain`, `release`; each capability
 * record does). When nobody does any more, or when it is destroyed before, its kind is told, once. A row that was
 * destroyed stays, gone, until the last holder lets go.
 */
import type { ObjectKind } from '../../abi/objects.ts';
import { assert } from '../../base/assert.ts';
import { defineRecord, num, RecordTable, ROOT, type Space, u8, u32, u64 } from '../../space/index.ts';
import { moveEpoch } from './epoch.ts';

export const ObjectRecord = defineRecord('object', {
  idHigh: u64('kernel', 'High half of the id: the first half of the id of the space it was made in.'),
  idLow: u64('kernel', 'Low half: counts up in that space.'),
  a: num('owner', 'What the kind keeps: a number or an address.'),
  b: num('owner', 'And another.'),
  refs: u32('kernel', 'Who holds it: capability records, and others.'),
  row: u32('kernel', 'Its row in the table.'),
  kind: u8('kernel', 'One of OBJECT.'),
  gone: u8('kernel', '1 when it was destroyed.'),
});
const R = ObjectRecord.fields;

export interface ObjectId {
  readonly high: bigint;
  readonly low: bigint;
}

/**
 * Gives back what an object of a kind stands for. It is told once: when the last that held it has let go, or when it is
 * destroyed. The row is still there. It must not throw.
 */
export type ObjectEnd = (object: number) => void;

export class Objects {
  readonly #space: Space;
  #table: RecordTable | null = null;
  readonly #ends: (ObjectEnd | undefined)[] = [];
  /** Rows by id, made when the first is looked for. */
  #byId: Map<string, number> | null = null;

  constructor(space: Space) {
    this.#space = space;
  }

  /** What is to be done when an object of this kind ends. Each part of the kernel says it for its kinds, at its start. */
  onEnd(kind: ObjectKind, end: ObjectEnd): void {
    assert(this.#ends[kind] === undefined, 'one part of the kernel has a kind');
    this.#ends[kind] = end;
  }

  get count(): number {
    return this.#space.root(ROOT.objects) === 0 ? 0 : this.#rows().liveCount;
  }

  /**
   * A new object, which nobody holds yet: `retain` it, or make its first capability.
   * @param id for what has an id already; a new one where it is not given
   * @throws SpaceFullError with nothing changed
   */
  create(kind: ObjectKind, a = 0, b = 0, id: ObjectId = this.#space.nextId()): number {
    const space = this.#space;
    const row = this.#rows().insert();
    const at = this.#rows().address(row);
    R.idHigh.set(space, at, id.high);
    R.idLow.set(space, at, id.low);
    R.row.set(space, at, row);
    R.kind.set(space, at, kind);
    R.a.set(space, at, a);
    R.b.set(space, at, b);
    this.#byId?.set(this.idText(at), at);
    return at;
  }

  retain(object: number): void {
    R.refs.set(this.#space, object, R.refs.get(this.#space, object) + 1);
  }
  release(object: number): void {
    const space = this.#space;
    assert(R.refs.get(space, object) > 0, 'an object is released by who holds it');
    // It counts as held until its kind has been told, which may hold and release it in passing.
    if (R.refs.get(space, object) === 1 && !this.isGone(object)) this.#end(object);
    const refs = R.refs.get(space, object) - 1;
    R.refs.set(space, object, refs);
    if (refs === 0) this.#rows().remove(R.row.get(space, object));
  }

  /** Ends an object that others may still hold: for all of them it is gone. */
  destroy(object: number): void {
    if (this.isGone(object)) return;
    this.retain(object);
    moveEpoch(this.#space);
    this.#end(object);
    this.release(object);
  }

  /** Takes back an object that nobody holds yet; its kind is not told. */
  forget(object: number): void {
    assert(R.refs.get(this.#space, object) === 0, 'nobody holds it');
    this.#byId?.delete(this.idText(object));
    this.#rows().remove(R.row.get(this.#space, object));
  }

  isGone(object: number): boolean {
    return R.gone.get(this.#space, object) !== 0;
  }
  kind(object: number): ObjectKind {
    return R.kind.get(this.#space, object) as ObjectKind;
  }
  /** The two numbers that are the kind's. */
  a(object: number): number {
    return R.a.get(this.#space, object);
  }
  b(object: number): number {
    return R.b.get(this.#space, object);
  }
  setA(object: number, value: number): void {
    R.a.set(this.#space, object, value);
  }
  setB(object: number, value: number): void {
    R.b.set(this.#space, object, value);
  }

  /** The 128-bit id as 32 hexadecimal digits. */
  idText(object: number): string {
    const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
    return hex(R.idHigh.get(this.#space, object)) + hex(R.idLow.get(this.#space, object));
  }
  id(object: number): ObjectId {
    return { high: R.idHigh.get(this.#space, object), low: R.idLow.get(this.#space, object) };
  }

  /** The object with this id (32 hexadecimal digits), 0 where there is none or it is gone. */
  find(idText: string): number {
    if (this.#byId === null) {
      this.#byId = new Map();
      for (const at of this.all()) this.#byId.set(this.idText(at), at);
    }
    return this.#byId.get(idText) ?? 0;
  }

  /** All that are not gone. */
  *all(): Generator<number> {
    if (this.#space.root(ROOT.objects) === 0) return;
    for (const row of this.#rows().rows()) {
      const at = this.#rows().address(row);
      if (!this.isGone(at)) yield at;
    }
  }

  #end(object: number): void {
    R.gone.set(this.#space, object, 1);
    this.#byId?.delete(this.idText(object));
    this.#ends[this.kind(object)]?.(object);
  }

  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.objects, ObjectRecord.bytes);
    return this.#table;
  }
}
