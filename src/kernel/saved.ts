/**
 * What of a running instance must be put into the space before a checkpoint, and back into a new instance after it:
 * mutable globals (its own code does that: `save` and `restore`) and tables, of the program and of modules it has made.
 */
import { functionNumber } from '../abi/frame.ts';
import { assert } from '../base/assert.ts';
import type { Space } from '../space/index.ts';
import { type Domain, DomainRecord } from './domain.ts';
import type { Instance } from './instance.ts';
import { usedControlBytes } from './zone.ts';

const R = DomainRecord.fields;

/** Marks the control page and state zone, which running code changes without marks. */
export function markControl(domain: Domain): void {
  domain.space.mark(domain.region, usedControlBytes(domain.module));
}

/** An index or length as a table takes it: a bigint where the program declares its addresses 64 bits wide. */
export const address = (table: WebAssembly.Table, index: number): number | bigint =>
  typeof table.length === 'bigint' ? BigInt(index) : index;

/** The tables of a domain that can change, by number: as functions are numbered (abi/frame.ts). */
function tableNumbers(domain: Domain): readonly number[] {
  const { maker, module } = domain;
  if (maker === null) return module.info.mutableTables;
  return [0, ...maker.numbers()].flatMap((number) =>
    (domain.infos(number)?.mutableTables ?? []).map((index) => functionNumber(number, index)),
  );
}

/**
 * Tables as one block: u32 tables; for each u32 number, u32 length, i32 function numbers (-1: null). Null where one holds
 * what is no function of the domain.
 */
export function readTables(instance: Instance, indices: readonly number[]): Int32Array<ArrayBuffer> | null {
  const words: number[] = [indices.length];
  for (const index of indices) {
    const table = instance.table(index);
    assert(table !== undefined, 'tables that change are exported');
    const length = Number(table.length);
    words.push(index, length);
    for (let i = 0; i < length; i++) {
      const item: unknown = table.get(address(table, i));
      const found = instance.refIndex(item);
      if (found < 0 && item !== null) return null;
      words.push(found);
    }
  }
  return Int32Array.from(words);
}

/** Makes tables that are there as long as they were. False where they cannot be. */
export function growTables(instance: Instance, words: Int32Array): boolean {
  return eachTable(words, (number, length) => {
    const table = instance.table(number);
    const missing = length - Number(table?.length ?? length);
    if (table !== undefined && missing > 0) table.grow(address(table, missing));
    return missing >= 0; // tables never shrink
  });
}

/** The reverse of `readTables`; data that does not fit the domain is refused: false, tables half set. */
export function writeTables(instance: Instance, words: Int32Array): boolean {
  if (!growTables(instance, words)) return false;
  return eachTable(words, (number, length, from) => {
    const table = instance.table(number);
    for (let i = 0; i < length; i++)
      table?.set(address(table, i), instance.refOf(words[from + i] as number) as null);
    return table !== undefined;
  });
}

/** False where one was refused, or the words are not whole tables. `take` may throw what a table throws. */
function eachTable(
  words: Int32Array,
  take: (number: number, length: number, from: number) => boolean,
): boolean {
  let at = 1;
  for (let n = words[0] ?? 0; n > 0; n--) {
    const number = words[at] as number;
    const length = words[at + 1] as number;
    at += 2;
    if (!(number >= 0 && length >= 0) || at + length > words.length) return false;
    try {
      if (!take(number, length, at)) return false;
    } catch {
      return false; // longer than its declaration allows
    }
    at += length;
  }
  return at === words.length;
}

/** Takes functions out of the tables that are of no module of the domain. */
export function scrubTables(domain: Domain, instance: Instance): void {
  for (const number of tableNumbers(domain)) {
    const table = instance.table(number);
    for (let i = 0; table !== undefined && i < Number(table.length); i++) {
      const item: unknown = table.get(address(table, i));
      if (item !== null && instance.refIndex(item) < 0) table.set(address(table, i), null);
    }
  }
}

/** Saves the tables that can change; writes only where something did. False where they cannot be saved. */
export function saveTables(space: Space, domain: Domain, instance: Instance): boolean {
  const numbers = tableNumbers(domain);
  if (numbers.length === 0) return true;
  const words = readTables(instance, numbers);
  if (words === null) return false;
  const bytes = new Uint8Array(words.buffer);
  const old = R.tables.get(space, domain.at);
  if (old !== 0 && space.view.getUint32(old, true) === bytes.length) {
    const have = space.u8.subarray(old + 8, old + 8 + bytes.length);
    if (bytes.every((byte, i) => have[i] === byte)) return true;
  }
  keepTables(space, domain, words);
  return true;
}

/** Keeps tables as `readTables` gives them. */
export function keepTables(space: Space, domain: Domain, words: Int32Array): void {
  const old = R.tables.get(space, domain.at);
  // The length comes first, in 8 bytes.
  const block = space.heap.alloc(8 + words.byteLength);
  space.setU32(block, words.byteLength);
  space.writeBytes(block + 8, new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
  R.tables.set(space, domain.at, block);
  if (old !== 0) space.heap.free(old);
}

/** The words `saveTables` kept, or null. */
export function savedTables(space: Space, domain: Domain): Int32Array<ArrayBuffer> | null {
  const block = R.tables.get(space, domain.at);
  if (block === 0) return null;
  return new Int32Array(space.readBytes(block + 8, space.view.getUint32(block, true)).buffer);
}

/** Puts everything a checkpoint needs of a running instance into the space; gives why that cannot be done, or null. */
export function saveInstance(space: Space, domain: Domain): string | null {
  const { instance } = domain;
  assert(instance !== null, 'only a running form is saved');
  instance.save();
  const kept = saveTables(space, domain, instance);
  markControl(domain);
  return kept ? null : 'a host reference cannot be kept';
}
