import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as opcodes from './opcodes.ts';
import { follows, gives, PLAIN, PREFIXED, takes, touches } from './opcodes.ts';

// V8 is asked whether an instruction with operands of some types is valid: exactly one choice of types is, and it must
// have as many operands and results as the table says. So the table cannot be wrong in what the verifier relies on.

const TYPES = [0x7f, 0x7e, 0x7d, 0x7c, 0x7b]; // i32 i64 f32 f64 v128
const REFS = [0x70];

const section = (id: number, body: number[]): number[] => [
  id,
  (body.length & 0x7f) | 0x80,
  body.length >> 7,
  ...body,
];

/** True when V8 takes a function from these parameters to these results, with this code. */
function valid(params: readonly number[], results: readonly number[], code: readonly number[]): boolean {
  const body = [0, ...params.flatMap((_, i) => [0x20, i]), ...code, 0x0b];
  return WebAssembly.validate(
    Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(1, [1, 0x60, params.length, ...params, results.length, ...results]),
      ...section(3, [1, 0]),
      ...section(4, [1, 0x70, 0, 1]),
      ...section(5, [1, 7, 1, 1]), // a shared memory with 64-bit addresses
      ...section(6, [1, 0x7e, 1, 0x42, 0, 0x0b]),
      ...section(9, [1, 1, 0, 1, 0]),
      ...section(12, [1]),
      ...section(10, [1, (body.length & 0x7f) | 0x80, body.length >> 7, ...body]),
      ...section(11, [1, 1, 0]),
    ]),
  );
}

/** How V8 types an instruction: its parameters and results, or null when there is no way. */
function typing(code: readonly number[], most: number): [number[], number[]] | null {
  const types = [...TYPES, ...REFS];
  for (let count = 0; count <= most; count++) {
    for (let n = 0; n < types.length ** count; n++) {
      const params = Array.from(
        { length: count },
        (_, i) => types[Math.floor(n / types.length ** i) % types.length]!,
      );
      for (const results of [[], ...types.map((type) => [type])]) {
        if (valid(params, results, code)) return [params, results];
      }
    }
  }
  return null;
}

/** What may follow an instruction, by the kind that the table says; where it says nothing else, indices. */
const IMMEDIATES: Readonly<Record<number, readonly number[]>> = {
  0: [],
  [opcodes.MEMARG]: [0, 0],
  [opcodes.MEMARG_LANE]: [0, 0, 0],
  [opcodes.BYTES_4]: [0, 0, 0, 0],
  [opcodes.BYTES_8]: new Array<number>(8).fill(0),
  [opcodes.BYTES_16]: new Array<number>(16).fill(0),
  [opcodes.TABLE_TABLE]: [0, 0],
  [opcodes.SEGMENT_TABLE]: [0, 0],
  [opcodes.HEAP_TYPE]: [0x70],
  [opcodes.VALUE_TYPE_LIST]: [1, 0x7e],
};
/** Atomic accesses must be aligned exactly. */
const alignment = (prefix: number[], size: number): number => (prefix[0] === 0xfe ? Math.log2(size) : 0);

function check(name: string, prefix: number[], table: Uint16Array, code: (i: number) => number[]): void {
  test(`every instruction of ${name} takes and gives what V8 says`, () => {
    let known = 0;
    table.forEach((entry, i) => {
      if (entry === 0) return;
      known++;
      const bytes = [...prefix, ...code(i), ...(IMMEDIATES[follows(entry)] ?? [0])];
      const size = touches(entry);
      if (size > 0) bytes[prefix.length + code(i).length] = alignment(prefix, size);
      const found = typing(bytes, 3);
      assert.ok(found, `V8 knows no ${bytes.map((b) => b.toString(16))}`);
      assert.deepEqual(
        [found[0].length, found[1].length],
        [takes(entry), gives(entry)],
        `0x${i.toString(16)}`,
      );
      if (size === 0) return;
      assert.equal(found[0][0], 0x7e, 'the deepest operand is the address');
      // The most that alignment may be is the size of what is touched.
      const aligned = [...bytes];
      aligned[prefix.length + code(i).length] = Math.log2(size);
      assert.ok(valid(...found, aligned), 'aligned by its size');
      aligned[prefix.length + code(i).length] = Math.log2(size) + 1;
      assert.ok(!valid(...found, aligned), 'not aligned by more');
    });
    assert.ok(known > 0);
  });
}

const leb = (i: number): number[] => (i < 128 ? [i] : [(i & 0x7f) | 0x80, i >> 7]);
check('one byte', [], PLAIN, (i) => [i]);
check('the prefix 0xfc', [0xfc], PREFIXED[0xfc]!, leb);
check('vectors', [0xfd], PREFIXED[0xfd]!, leb);
check('atomics', [0xfe], PREFIXED[0xfe]!, leb);

test('no instruction that V8 knows and that touches memory is missing', () => {
  // Whatever has a memarg is either in the tables or is wait or notify.
  for (const [prefix, table, most] of [
    [[], PLAIN, 256],
    [[0xfd], PREFIXED[0xfd]!, 512],
    [[0xfe], PREFIXED[0xfe]!, 256],
  ] as const) {
    for (let i = 0; i < most; i++) {
      if (table[i] || (prefix.length === 0 && (i < 0x28 || i > 0x3e))) continue;
      for (const lane of [[], [0]]) {
        const code = [...prefix, ...leb(i), 0, 0, ...lane];
        if (prefix[0] === 0xfe && i < 4) continue; // wait, notify, fence
        assert.equal(typing(code, 2), null, `0x${code.map((b) => b.toString(16))}`);
      }
    }
  }
});
