import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wat } from '../wasm/wat.testing.ts';
import { compile, FULL } from './compile.ts';
import { TestHost } from './host.testing.ts';
import { programInfo } from './info.ts';
import { Program } from './program.ts';
import { same } from './same.testing.ts';

/** Which access of the first function is checked together with which further one: entries in the program's order. */
async function chains(body: string): Promise<number[][]> {
  const program = new Program(
    await wat(`(module (import "m" "f" (func $f)) (memory 2) (global $g (mut i32) (i32.const 0))
      (func (param $p i32) (param $q i32) (result i32) (local $i i32) ${body}))`),
    FULL,
  );
  program.quick(0);
  const { further } = program.addresses.runs;
  const list: number[][] = [];
  for (let i = 0; i < 40; i++) if (further[i]! > i) list.push([i, further[i]!]);
  return list;
}

const load = (offset: number, p = '$p'): string => `(i32.load offset=${offset} (local.get ${p}))`;

test('loads off one pointer are checked at the first, whatever is computed in between', async () => {
  assert.deepEqual(await chains(`(i32.add ${load(0)} ${load(8)})`), [[1, 3]]);
  assert.deepEqual(await chains(`(local.set $i ${load(4)}) (i32.mul ${load(12)} (local.get $i))`), [[1, 4]]);
  assert.deepEqual(await chains(`(i32.add (i32.add ${load(0)} ${load(4)}) ${load(4, '$q')})`), [[1, 3]]);
});

test('a store may be the last of them', async () => {
  const store = `(i32.store offset=8 (local.get $p) ${load(4)})`;
  assert.deepEqual(await chains(`${store} ${load(12)}`), [[2, 3]]);
});

test('what could be seen, trap otherwise or lead elsewhere ends a run', async () => {
  for (const between of [
    '(i32.store (local.get $q) (i32.const 1))',
    '(call $f)',
    '(global.set $g (i32.const 1))',
    '(local.set $i (i32.div_u (local.get $i) (local.get $q)))',
    '(local.set $i (i32.rem_u (local.get $i) (local.get $q)))',
    '(local.set $i (i32.trunc_f32_s (f32.const 1)))',
    '(drop (i32.atomic.load (local.get $q)))',
    '(drop (memory.grow (i32.const 1)))',
    '(block $b (br_if $b (local.get $q)))',
    '(if (local.get $q) (then (return (i32.const 1))))',
    '(loop)',
  ]) {
    assert.deepEqual(await chains(`(local.set $i ${load(0)}) ${between} ${load(8)}`), [], between);
  }
});

const STRUCTS = `(module (memory (export "m") 1)
  (func (export "sum") (param $p i32) (result i32)
    (i32.add (i32.add ${load(0)} ${load(4)}) (i32.add ${load(8)} ${load(24)})))
  (func (export "move") (param $p i32) (param $q i32)
    (i32.store offset=12 (local.get $p) (i32.add ${load(0)} ${load(8)}))
    (i32.store (local.get $q) (i32.const 7)))
  (func (export "mixed") (param $p i32) (param $q i32) (result i32)
    (i32.store (local.get $p) (i32.const 1))
    (i32.store offset=4 (local.get $p) (i32.const 2))
    (i32.add ${load(8)} (i32.div_u ${load(12)} (local.get $q)))))`;

test('near the end of memory all is as it was: results, traps and what was stored before', async () => {
  const ends = [65504, 65508, 65511, 65512, 65516, 65520, 65524, 65525, 65528, 65532, 65535, 65536, -4, -16];
  await same(STRUCTS, [
    ...ends.map((p) => ['sum', p] as const),
    ...ends.map((p) => ['move', p, 100] as const),
    ...ends.map((p) => ['mixed', p, 0] as const),
    ...ends.map((p) => ['mixed', p, 3] as const),
  ]);
});

test('a trap belongs to the first access that is past the end', async () => {
  const bytes = await wat(STRUCTS);
  const info = programInfo(bytes, compile(bytes, FULL).bytes);
  const host = new TestHost(bytes, {});
  const offsetOf = (p: number): number => {
    try {
      host.call('sum', p);
    } catch (error) {
      const { stack, message } = error as Error;
      const at = /at .*?(wasm:\S*):wasm-function\[(\d+)\]:0x([0-9a-f]+)/.exec(stack!)!;
      const place = { module: at[1]!, functionIndex: Number(at[2]), offset: Number.parseInt(at[3]!, 16) };
      const trap = info.describeTrap(place, message)!;
      assert.equal(trap.kind, 'out of bounds memory access');
      return bytes[trap.offset + 2]!; // the memarg's offset, behind opcode and alignment
    }
    return -1;
  };
  assert.deepEqual([65508, 65509, 65524, 65525, 65528, 65529, 65532, 65533, -4].map(offsetOf), [
    ...[-1, 24, 24, 8, 8, 4, 4, 0, 0],
  ]);
});
