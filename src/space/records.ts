/**
 * Typed records: how kernel state lies in the space. A record type is a list of named fields, each with its width, a
 * word on what it means, and who may write it. Fields are read and written through the space, so that changed pages
 * are marked; nothing here holds state.
 *
 *     const Item = defineRecord('item', {
 *       count: u32('kernel', 'How many there are.'),
 *       where: num('kernel', 'Address of the first.'),
 *     });
 *     Item.fields.count.set(space, at, 3);
 *
 * Fields are aligned to their own width, in the order given; widths are part of the format of a checkpoint, so a
 * field is never moved or widened once shipped: add at the end and raise the format's version.
 *
 * Why: RATIONALE.md#all-kernel-state-is-in-the-space
 */
import { assert } from '../base/assert.ts';
import type { Space } from './space.ts';

/**
 * Who may write a field. `kernel`: kernel code on the core that runs it. `core`: the core on which the domain runs, at
 * any time. `any`: any thread, by atomics only. `owner`: the part of the system the record belongs to.
 */
export type FieldWriter = 'kernel' | 'core' | 'any' | 'owner';

export abstract class Field {
  /** Bytes from the start of the record; set by `defineRecord`. */
  offset = -1;
  readonly bytes: number;
  readonly align: number;
  readonly writer: FieldWriter;
  readonly doc: string;
  constructor(bytes: number, align: number, writer: FieldWriter, doc: string) {
    this.bytes = bytes;
    this.align = align;
    this.writer = writer;
    this.doc = doc;
  }
  /** Address of this field in the record at `record`. */
  address(record: number): number {
    return record + this.offset;
  }
}

class U8Field extends Field {
  get(space: Space, record: number): number {
    return space.u8[record + this.offset] as number;
  }
  set(space: Space, record: number, value: number): void {
    space.setU8(record + this.offset, value);
  }
}
class U16Field extends Field {
  get(space: Space, record: number): number {
    return space.view.getUint16(record + this.offset, true);
  }
  set(space: Space, record: number, value: number): void {
    space.setU16(record + this.offset, value);
  }
}
class U32Field extends Field {
  get(space: Space, record: number): number {
    return space.view.getUint32(record + this.offset, true);
  }
  set(space: Space, record: number, value: number): void {
    space.setU32(record + this.offset, value);
  }
}
class I32Field extends Field {
  get(space: Space, record: number): number {
    return space.view.getInt32(record + this.offset, true);
  }
  set(space: Space, record: number, value: number): void {
    space.setU32(record + this.offset, value);
  }
}
class U64Field extends Field {
  get(space: Space, record: number): bigint {
    return space.view.getBigUint64(record + this.offset, true);
  }
  set(space: Space, record: number, value: bigint): void {
    space.setU64(record + this.offset, value);
  }
}
class NumberField extends Field {
  get(space: Space, record: number): number {
    return space.getNumber(record + this.offset);
  }
  set(space: Space, record: number, value: number): void {
    space.setNumber(record + this.offset, value);
  }
}
class NumbersField extends Field {
  readonly length: number;
  constructor(length: number, writer: FieldWriter, doc: string) {
    super(8 * length, 8, writer, doc);
    this.length = length;
  }
  get(space: Space, record: number, index: number): number {
    assert(index >= 0 && index < this.length, 'an element of the field');
    return space.getNumber(record + this.offset + 8 * index);
  }
  set(space: Space, record: number, index: number, value: number): void {
    assert(index >= 0 && index < this.length, 'an element of the field');
    space.setNumber(record + this.offset + 8 * index, value);
  }
}
class BytesField extends Field {
  /** A copy. */
  get(space: Space, record: number): Uint8Array<ArrayBuffer> {
    return space.readBytes(record + this.offset, this.bytes);
  }
  /** Writes the bytes and fills the rest of the field with zeros. */
  set(space: Space, record: number, value: Uint8Array): void {
    assert(value.length <= this.bytes, 'the bytes fit in their field');
    space.zero(record + this.offset, this.bytes);
    space.writeBytes(record + this.offset, value);
  }
}

export const u8 = (writer: FieldWriter, doc: string): U8Field => new U8Field(1, 1, writer, doc);
export const u16 = (writer: FieldWriter, doc: string): U16Field => new U16Field(2, 2, writer, doc);
export const u32 = (writer: FieldWriter, doc: string): U32Field => new U32Field(4, 4, writer, doc);
export const i32 = (writer: FieldWriter, doc: string): I32Field => new I32Field(4, 4, writer, doc);
/** 64 bits as a bigint. */
export const u64 = (writer: FieldWriter, doc: string): U64Field => new U64Field(8, 8, writer, doc);
/** 64 bits as a number: addresses, sizes, counts, all below 2^53. */
export const num = (writer: FieldWriter, doc: string): NumberField => new NumberField(8, 8, writer, doc);
/** `length` numbers of 64 bits. */
export const nums = (length: number, writer: FieldWriter, doc: string): NumbersField =>
  new NumbersField(length, writer, doc);
/** `length` bytes. */
export const bytes = (length: number, writer: FieldWriter, doc: string): BytesField =>
  new BytesField(length, 8, writer, doc);

export interface RecordType<F extends Record<string, Field>> {
  readonly name: string;
  /** Bytes of one record, a multiple of 8. */
  readonly bytes: number;
  readonly fields: F;
}

/** Lays the fields out in order. Call once for each type, at load. */
export function defineRecord<F extends Record<string, Field>>(name: string, fields: F): RecordType<F> {
  let at = 0;
  for (const [key, field] of Object.entries(fields)) {
    assert(field.offset === -1, `field ${name}.${key} belongs to one record type`);
    at = Math.ceil(at / field.align) * field.align;
    field.offset = at;
    at += field.bytes;
  }
  return { name, bytes: Math.ceil(at / 8) * 8, fields };
}
