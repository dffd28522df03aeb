/** The table section. A table with an initial value belongs to typed function references and is refused. */
import { UnsupportedError } from '../../base/errors.ts';
import type { Reader } from '../reader.ts';
import { decodeTableType, encodeTableType } from '../typecodec.ts';
import type { TableType } from '../types.ts';
import type { Writer } from '../writer.ts';

const WITH_INIT = 0x40;

export function decodeTables(r: Reader): TableType[] {
  const count = r.count('tables');
  const tables: TableType[] = [];
  for (let i = 0; i < count; i++) {
    if (r.pos < r.end && r.bytes[r.pos] === WITH_INIT) {
      throw new UnsupportedError(
        'a table with an initial value is not supported: typed function references',
        r.pos,
      );
    }
    tables.push(decodeTableType(r));
  }
  return tables;
}

export function encodeTables(w: Writer, tables: readonly TableType[]): void {
  w.u32(tables.length);
  for (const table of tables) encodeTableType(w, table);
}
