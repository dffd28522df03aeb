/**
 * What `npm run fuzz` and the tests can try, by name. Each kind makes a case of a seed and nothing else, so that a seed
 * replays it.
 *
 * - `edges`, `binaryen`: random programs, plain V8 beside Perdure (`sameness.ts`)
 * - `mutants`: compiled programs, changed, judged by running what the verifier lets pass (`hunt.ts`)
 * - `random`: random rewritten modules out of which everything was taken that the verifier refuses
 * - `continuations`: mutants of resume modules, likewise (`continued.ts`)
 * - `malformed`: bytes that are no module, or one nobody would make (`malformed.ts`)
 */
import { Prng } from '../../src/base/prng.ts';
import { wat } from '../../src/wasm/wat.testing.ts';
import type { Guard } from './arena.ts';
import { binaryenProgram } from './binaryen.ts';
import { ContinuedHunt } from './continued.ts';
import { edgeProgram } from './edges.ts';
import { Hunt } from './hunt.ts';
import { Malformed } from './malformed.ts';
import { reduce } from './reduce.ts';
import { Comparer, callsOf, type Draw } from './sameness.ts';

export interface Found {
  readonly problem: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Makes it smaller, where that can be done. */
  readonly reduced?: () => Uint8Array<ArrayBuffer>;
}

export interface Kind {
  readonly name: string;
  /** Tries one case; gives what is wrong. */
  run(seed: number): Promise<Found | null> | Found | null;
  /** What has been done so far, in one line. */
  summary(): string;
}

/** A kind by its name; undefined where there is none. */
export async function makeKind(name: string, guard: Guard): Promise<Kind | undefined> {
  switch (name) {
    case 'edges':
      return new Programs(name, guard, async (seed) => {
        const { text, draw } = edgeProgram(new Prng(seed));
        return { bytes: await wat(text), draw };
      });
    case 'binaryen':
      return new Programs(name, guard, (seed) => {
        const bytes = binaryenProgram(new Prng(seed));
        return { bytes, draw: callsOf(bytes) };
      });
    case 'mutants':
    case 'random':
      return Hunt.make(name);
    case 'continuations':
      return ContinuedHunt.make();
    case 'malformed':
      return new Malformed(guard);
    default:
      return undefined;
  }
}
export const KINDS = ['edges', 'binaryen', 'mutants', 'random', 'continuations', 'malformed'] as const;

interface Made {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly draw: Draw;
}

class Programs implements Kind {
  readonly name: string;
  readonly #comparer: Comparer;
  readonly #make: (seed: number) => Made | Promise<Made>;

  constructor(name: string, guard: Guard, make: (seed: number) => Made | Promise<Made>) {
    this.name = name;
    this.#comparer = new Comparer(guard);
    this.#make = make;
  }

  async run(seed: number): Promise<Found | null> {
    const { bytes, draw } = await this.#make(seed);
    const problem = this.#comparer.compare(bytes, seed, draw);
    if (problem === null) return null;
    const likewise = (candidate: Uint8Array<ArrayBuffer>): boolean => {
      const other = this.#comparer.compare(candidate, seed, draw);
      return other !== null && shapeOf(other) === shapeOf(problem);
    };
    return { problem, bytes, reduced: () => reduce(bytes, likewise) };
  }

  summary(): string {
    const { programs: all, unsupported, slow, calls, traps, slices } = this.#comparer.tally;
    return `${all} programs (${unsupported} unsupported, ${slow} too slow), ${calls} calls (${traps} traps), resumed ${slices} times`;
  }
}

/** What kind of problem it is: without its numbers, and the call that showed it. */
const shapeOf = (problem: string): string =>
  problem
    .replace(/after .*?: /, '')
    .replace(/0x[0-9a-f]+|-?\d+/g, '0')
    .slice(0, 50);
