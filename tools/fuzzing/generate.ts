/**
 * Random modules for the verifier's fuzzer, made of the code of `pieces.ts`: two memories, the second with 64-bit
 * addresses, two imported functions, and one function that takes the addresses it uses.
 */
import type { LimitLocal, LoopHint } from '../../src/abi/hints.ts';
import { assert } from '../../src/base/assert.ts';
import { RefusedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { Cursor } from '../../src/verifier/cursor.ts';
import { decode } from '../../src/verifier/decode.ts';
import { verify } from '../../src/verifier/verify.ts';
import {
  assemble,
  BLOCK,
  DROP,
  I32,
  I64,
  i64,
  type ModuleParts,
  places,
  UNREACHABLE,
  WINDOW_TEMPLATES,
} from './assembly.ts';
import { cut, reachable } from './cut.ts';
import { Generator, LIMITS } from './pieces.ts';

/** Locals with a role, which no hint names. */

/**
 * A random module. With `repair`, whatever the verifier refuses in it is taken out, instruction by instruction, until it
 * accepts the rest: so every access left is one that the verifier let pass.
 */
export function generate(prng: Prng, repair: boolean): Uint8Array<ArrayBuffer> {
  const at = places(partsWith([], []));
  let code = split(new Generator(prng, at).body());
  const hinted = prng.chance(0.7) ? 0.8 : 0;
  const hintSeed = prng.u32();
  const left = prng.chance(0.5) ? 0.4 : 0;
  for (;;) {
    const bytes = assemble(partsWith(code.flat(), loopHints(new Prng(hintSeed), code, hinted, left)));
    if (!repair) return bytes;
    const refused = refusalIn(bytes, at.quick);
    if (refused < 0) return bytes;
    let offset = 0;
    const repaired = code.map((instruction) => {
      const here = offset === refused;
      offset += instruction.length;
      return here ? harmless(instruction) : instruction;
    });
    code = split(repaired.flat());
  }
}

const split = (code: readonly number[]): number[][] =>
  reachable(cut(Uint8Array.from(code))).map((instruction) => [...instruction]);

/** Where in the code of this function the verifier refuses it; -1 when it accepts the module. */
function refusalIn(bytes: Uint8Array, index: number): number {
  try {
    verify(bytes);
    return -1;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.functionIndex !== index) throw error;
    const m = decode(bytes);
    const { start } = m.bodies[index - (m.functions.length - m.bodies.length)]!;
    const c = new Cursor(bytes);
    c.pos = start;
    for (let runs = c.u32(); runs > 0; runs--) c.skip(2);
    return error.offset - c.pos;
  }
}

const NOP = 0x01;

/** Instructions of the same type that do nothing the verifier minds. */
function harmless(instruction: readonly number[]): number[] {
  const op = instruction[0]!;
  if (op >= 0x28 && op <= 0x35) return [DROP, ...i64(0)];
  if (op >= 0x36 && op <= 0x3e) return [DROP, DROP];
  if (op === 0x1f || op === 0x03) return BLOCK;
  if (op === 0x22) return [NOP];
  if (op === 0x0c) return [UNREACHABLE];
  if (op === 0x0e) return [DROP, UNREACHABLE];
  assert(
    op === 0x21 || op === 0x0d,
    `the verifier refuses instruction 0x${op.toString(16)} of what is generated`,
  );
  return [DROP];
}

/**
 * Hints for some of the loops: the locals that are set in them. `share`: the probability for each loop; `left`: that of a
 * local that it is left out, so that the hint is not true until repaired.
 */
function loopHints(prng: Prng, code: readonly number[][], share: number, left: number): LoopHint[] {
  // Drawn for all, so that each keeps what it has while the code is repaired.
  const drawn = Array.from({ length: 400 }, () => [prng.chance(share), prng.u32()] as const);
  const hints: { loop: number; set: Set<number> }[] = [];
  /** Constructs that are open: the loop's hint, or null for what is no loop. */
  const open: ({ set: Set<number> } | null)[] = [];
  for (const [op, local] of code as [number, number][]) {
    if (op === 0x03) {
      const hint = { loop: hints.length, set: new Set<number>() };
      hints.push(hint);
      open.push(hint);
    } else if (op === 0x02 || op === 0x04 || op === 0x1f) open.push(null);
    else if (op === 0x0b) open.pop();
    else if ((op === 0x21 || op === 0x22) && !LIMITS.includes(local)) {
      for (const hint of open) hint?.set.add(local);
    }
  }
  return hints
    .filter(({ loop }) => drawn[loop]?.[0])
    .map(({ loop, set }) => {
      const mask = new Prng(drawn[loop]![1]);
      const out = Array.from({ length: 32 }, () => mask.chance(left));
      const varying = [...set].filter((local) => !out[local % 32]).sort((a, b) => a - b);
      return { loop, varying, fuel: -1, pointers: [] };
    });
}

function partsWith(code: number[], loops: LoopHint[]): ModuleParts {
  const limits: LimitLocal[] = [0, 1].map((memory) => ({ local: LIMITS[memory]!, memory }));
  const locals = [I64, I64, I64, I64, I64, I32, I32, I64, I32, I64, I64, I64, I64, I64];
  return {
    memories: [
      { is64: false, min: 1, max: -1 },
      { is64: true, min: 1, max: -1 },
    ],
    windows: true,
    templates: WINDOW_TEMPLATES,
    imports: [
      { params: [], results: [] },
      { params: [], results: [] },
    ],
    quick: [{ params: [I32, I32, I32, I64, I64], results: [I64], locals, limits, loops, code }],
  };
}
