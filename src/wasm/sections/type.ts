/** The type section: function types. Types of GC (struct, array, rec, sub) are refused by name. */
import { UnsupportedError } from '../../base/errors.ts';
import type { Reader } from '../reader.ts';
import { decodeValueType } from '../typecodec.ts';
import type { FuncType, ValueType } from '../types.ts';
import type { Writer } from '../writer.ts';

const FUNC = 0x60;
const REFUSED: Readonly<Record<number, string>> = {
  78: 'a recursive type group (rec)',
  79: 'a final subtype (sub final)',
  80: 'a subtype (sub)',
  94: 'an array type',
  95: 'a struct type',
};

export function decodeTypes(r: Reader): FuncType[] {
  const count = r.count('types');
  const types: FuncType[] = [];
  for (let i = 0; i < count; i++) {
    const at = r.pos;
    const form = r.u8();
    if (form !== FUNC) {
      const refused = REFUSED[form];
      if (refused !== undefined)
        throw new UnsupportedError(`${refused} is not supported: garbage collection`, at);
      r.fail(`malformed type form 0x${form.toString(16)}`, at);
    }
    types.push({ params: decodeResultType(r), results: decodeResultType(r) });
  }
  return types;
}

function decodeResultType(r: Reader): ValueType[] {
  const count = r.count('value types');
  const types: ValueType[] = [];
  for (let i = 0; i < count; i++) types.push(decodeValueType(r));
  return types;
}

export function encodeTypes(w: Writer, types: readonly FuncType[]): void {
  w.u32(types.length);
  for (const { params, results } of types) {
    w.u8(FUNC);
    w.u32(params.length);
    for (const type of params) w.u8(type);
    w.u32(results.length);
    for (const type of results) w.u8(type);
  }
}
