/**
 * Random programs about memory, in the text format: accesses beside every edge (the limit, pages of 4 and 64 KiB, 2^32
 * and 2^64), loops in the shapes that compilers emit (`loops.ts`) and in shapes a little off, with several memories, 32
 * and 64 bits wide, shared or not, vectors and atomics, calls that grow a memory in the middle.
 *
 * Every function ends by itself but for what runs into a trap. Exports: `f0`, `f1`, … of (i32, i32, i32, i64) -> i64.
 */
import type { Prng } from '../../src/base/prng.ts';
import { Body } from './loops.ts';
import type { Call, Draw } from './sameness.ts';

export interface MemoryShape {
  readonly name: string;
  readonly is64: boolean;
  readonly min: number;
  readonly max: number;
  readonly shared: boolean;
}

export interface EdgeProgram {
  readonly text: string;
  /** Draws calls whose arguments lie about the edges of these memories. */
  readonly draw: Draw;
}

const FUNCTIONS = 4;
const CALLS = 12;
const SEGMENTS = 3;
const SEGMENT_BYTES = 80;
export const STRIDES = [1, 2, 4, 8, 12, 16, 24, 64, 100, 1024, 4096, 65536] as const;

export function edgeProgram(prng: Prng, count = FUNCTIONS): EdgeProgram {
  const memories = memoriesOf(prng);
  const functions = Array.from({ length: count }, (_, i) => new Body(prng, memories).text(`f${i}`));
  const text = `(module
  (import "m" "host" (func $host (param i32) (result i32)))
  ${memories.map(memoryText).join('\n  ')}
  (global $sp (mut i32) (i32.const ${prng.pick([65536, 65520, 32768, 32768, 1024, 16, 0, -16])}))
  (global $wide (mut i64) (i64.const ${prng.pick([65536, 65528, 32768, 32768, 8, 0, -8])}))
  (global $limit i32 (i32.const ${(memories[0]?.min ?? 1) * 65536}))
  (type $leaf (func (param i32) (result i64)))
  (table 2 funcref) (elem (i32.const 0) $leaf $grows)
  ${Array.from({ length: SEGMENTS }, () => `(data "${bytesText(prng)}")`).join('\n  ')}
  (func $fill (export "fill") ${memories.flatMap((memory) => fillText(prng, memory)).join(' ')})
  (start $fill)
  (func $leaf (export "leaf") (param $p i32) (result i64) ${leafText(prng, memories)})
  (func $grows (export "grows") (param $p i32) (result i64) ${growText(prng, memories)})
  ${functions.join('\n  ')})`;
  return { text, draw: drawOf(memories, count) };
}

function memoriesOf(prng: Prng): MemoryShape[] {
  const count = prng.pick([1, 1, 1, 2, 3]);
  return Array.from({ length: count }, (_, i) => {
    const min = prng.pick([0, 1, 1, 1, 1, 1, 1, 2, 3]);
    return {
      name: `$m${i}`,
      is64: prng.chance(0.25),
      min,
      max: min + prng.below(3),
      shared: prng.chance(0.2),
    };
  });
}

const memoryText = ({ name, is64, min, max, shared }: MemoryShape): string =>
  `(memory ${name}${is64 ? ' i64' : ''} ${min} ${max}${shared ? ' shared' : ''})`;

const bytesText = (prng: Prng): string =>
  Array.from({ length: SEGMENT_BYTES }, () => `\\${prng.below(256).toString(16).padStart(2, '0')}`).join('');

/** Something to read about the edges of a memory. */
function fillText(prng: Prng, { name, is64, min }: MemoryShape): string[] {
  const size = min * 65536;
  return [0, 4096 - 40, 65536 - 40, size - SEGMENT_BYTES].flatMap((at) => {
    if (at < 0 || at + SEGMENT_BYTES > size) return [];
    const segment = prng.below(SEGMENTS);
    return [
      `(memory.init ${name} ${segment} (${is64 ? 'i64' : 'i32'}.const ${at}) (i32.const 0) (i32.const ${SEGMENT_BYTES}))`,
    ];
  });
}

function leafText(prng: Prng, memories: readonly MemoryShape[]): string {
  const { name, is64 } = prng.pick(memories);
  const at = is64 ? '(i64.extend_i32_u (local.get $p))' : '(local.get $p)';
  if (prng.chance(0.5)) return `(i64.load8_u ${name} offset=${prng.below(3)} ${at})`;
  return `(i64.store8 ${name} ${at} (i64.const 77)) (i64.const 1)`;
}

function growText(prng: Prng, memories: readonly MemoryShape[]): string {
  const { name, is64 } = prng.pick(memories);
  const type = is64 ? 'i64' : 'i32';
  const grown = `(memory.grow ${name} (${type}.const ${prng.below(2)}))`;
  const wide = is64 ? grown : `(i64.extend_i32_s ${grown})`;
  // Not at each call: a loop would have it all at once.
  return `(if (result i64) (i32.eqz (i32.and (local.get $p) (i32.const ${prng.pick([0, 3, 15])}))) (then ${wide}) (else (i64.const 5)))`;
}

function drawOf(memories: readonly MemoryShape[], functions: number): Draw {
  const ends = memories.flatMap(({ min, max }) => [min * 65536, min * 65536, max * 65536]);
  return (prng) =>
    Array.from({ length: CALLS }, (): Call => {
      // Loops in two versions test for up to 1024 rounds at once.
      const many = prng.pick([1023, 1024, 1025, 2047, prng.below(2048)]);
      const count = prng.pick([0, 1, 2, 3, 7, prng.below(16), prng.below(40), many]);
      const near = prng.pick([0, 0, 0, 1, -1, 4, -4, -8, prng.below(40) - 20]);
      // Where `count` rounds end just inside or just behind; or well inside, so that much runs before anything traps.
      const edge =
        prng.pick([...ends, ...ends, 65536, 4096, 2 ** 31, 2 ** 32]) - count * prng.pick(STRIDES) + near;
      const inside = prng.below(32) * 1024 + prng.pick([0, 0, 8, 1]);
      const start = prng.chance(0.5) ? inside : edge;
      const other = prng.chance(0.6)
        ? prng.below(32768) & ~7
        : prng.pick([edge, start, edge - 16, prng.u32() | 0, -4]);
      const counted = prng.chance(0.9) ? count : prng.pick([-1, prng.u32() | 0, 2 ** 31, 100]);
      const wide = prng.chance(0.5)
        ? BigInt(inside)
        : prng.pick([BigInt(start), BigInt(other), BigInt(start) + (1n << 32n), -8n, 1n << 63n]);
      return [`f${prng.below(functions)}`, [start | 0, other | 0, counted | 0, wide]];
    });
}
