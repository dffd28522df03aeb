/**
 * Does a program do on Perdure what it does on plain V8? `compare` calls its exports with the same arguments in both,
 * and asks after each call for the same results or trap, the same calls of the host, and the same memories, globals
 * and tables.
 */
import { UnsupportedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { trapKind } from '../../src/compiler/index.ts';
import { ProgramTrapError } from '../../src/kernel/index.ts';
import type { LoadedModule } from '../../src/kernel/program.ts';
import { decodeModule } from '../../src/wasm/module.ts';
import { EXNREF, F32, F64, FUNCREF, I32, I64, V128 } from '../../src/wasm/types.ts';
import type { Guard } from './arena.ts';
import {
  type Argument,
  EXHAUSTED,
  exposed,
  load,
  MANNERS,
  Machine,
  outcomeOf,
  PerdurePlayer,
  PlainPlayer,
  type Player,
  type State,
} from './players.ts';

/** How long one program may take on plain V8, and on Perdure: what takes longer is not compared. */
const PLAIN_MS = 30;
const PERDURE_MS = 4000;
const CALLS = 10;
/** Called before each call where a program exports it: makes its loops end (Binaryen's generator calls it so). */
const REFUEL = 'hangLimitInitializer';

export type Call = readonly [name: string, args: readonly Argument[]];

export interface Tally {
  programs: number;
  /** Not taken by the compiler; taking too long. */
  unsupported: number;
  slow: number;
  calls: number;
  traps: number;
  slices: number;
}
export const noTally = (): Tally => ({ programs: 0, unsupported: 0, slow: 0, calls: 0, traps: 0, slices: 0 });

/** Draws the calls to make; null where none is given. */
export type Draw = (prng: Prng) => Call[];

/** Programs on plain V8 beside Perdure. Keep one for many programs: it has kernels with their spaces. */
export class Comparer {
  readonly tally = noTally();
  readonly #guard: Guard;
  #machines = MANNERS.map(({ stress }) => new Machine(stress));

  constructor(guard: Guard) {
    this.#guard = guard;
  }

  /** Says what differs, or gives null. Everything is drawn from the seed. `only`: this manner (an index) alone. */
  compare(
    program: Uint8Array<ArrayBuffer>,
    seed: number,
    draw: Draw = callsOf(program),
    only = -1,
  ): string | null {
    const { tally } = this;
    tally.programs++;
    const bytes = exposed(program, seed % 2 === 0);
    let module: LoadedModule;
    try {
      module = load(bytes);
    } catch (error) {
      if (error instanceof UnsupportedError) {
        tally.unsupported++;
        return null;
      }
      return `it is not loaded: ${String(error)}`;
    }
    const calls = draw(new Prng(seed));
    const { slow } = tally;
    for (const [i, manner] of MANNERS.entries()) {
      if (only >= 0 && i !== only) continue;
      if (tally.slow > slow) break; // it would be slow again
      const difference = this.#inManner(bytes, module, calls, seed, i);
      if (difference !== null) return `${manner.name}: ${difference}`;
    }
    return null;
  }

  #inManner(
    bytes: Uint8Array<ArrayBuffer>,
    module: LoadedModule,
    calls: readonly Call[],
    seed: number,
    which: number,
  ): string | null {
    const [machine, manner] = [this.#machines[which]!, MANNERS[which]!];
    const begin = (): PerdurePlayer => new PerdurePlayer(machine, bytes, module, manner, new Prng(seed));
    const plain = this.#timed(() => attempt(() => new PlainPlayer(bytes)), PLAIN_MS);
    if (plain === null) return this.#slow(which, false);
    const perdure = this.#timed(() => attempt(begin), PERDURE_MS);
    if (perdure === null) return this.#slow(which, true);
    const [one, other] = [plain.value, perdure.value];
    if (typeof one === 'string' || typeof other === 'string') {
      if (typeof other !== 'string') other.end();
      const same =
        typeof one === 'string' && typeof other === 'string' && (isSame(one, other) || one === EXHAUSTED);
      return same ? null : `starting: ${describe(one)}, on Perdure ${describe(other)}`;
    }
    const difference = this.#calls(one, other, calls, which);
    this.tally.slices += other.slices;
    return difference;
  }

  /** Makes the calls in both. Afterwards the machine is free. */
  #calls(plain: PlainPlayer, perdure: PerdurePlayer, calls: readonly Call[], which: number): string | null {
    const { tally } = this;
    let difference = differs(plain, perdure);
    for (const [name, args] of calls) {
      if (difference !== null) break;
      const expected = this.#timed(() => plain.call(name, args), PLAIN_MS)?.value;
      if (expected === undefined) {
        this.#slow(which, false);
        break;
      }
      const found = this.#timed(() => perdure.call(name, args), PERDURE_MS)?.value;
      if (found === undefined) return this.#slow(which, true);
      tally.calls++;
      if (expected.startsWith('trap')) tally.traps++;
      if (expected === EXHAUSTED || found === EXHAUSTED) break;
      const what = `${name}(${args.join()})`;
      difference = isSame(expected, found)
        ? differs(plain, perdure, what)
        : `${what} gives "${expected}", on Perdure "${found}"`;
    }
    perdure.end();
    return difference ?? perdure.unmarked;
  }

  /** What `run` gives, or null when it took too long. */
  #timed<T>(run: () => T, ms: number): { value: T } | null {
    let result: { value: T } | null = null;
    this.#guard(() => {
      result = { value: run() };
    }, ms);
    return result;
  }

  /** `broken`: the kernel was stopped in the middle and is of no use any more. */
  #slow(which: number, broken: boolean): null {
    this.tally.slow++;
    if (broken) this.#machines[which] = new Machine(MANNERS[which]!.stress);
    return null;
  }
}

/** Where an atomic access is both unaligned and outside, either trap is right. */
const EITHER = ['trap: unaligned atomic', 'trap: out of bounds memory access'];
const isSame = (expected: string, found: string): boolean =>
  expected === found || (EITHER.includes(expected) && EITHER.includes(found));
const describe = (player: unknown): string => (typeof player === 'string' ? `"${player}"` : 'it starts');

function attempt<T>(make: () => T): T | string {
  let made: T | undefined;
  try {
    const failed = outcomeOf(() => {
      made = make();
    });
    return made ?? failed;
  } catch (error) {
    if (error instanceof ProgramTrapError) {
      const { message } = error;
      return /^trap|^exception/.test(message) ? message : `trap: ${trapKind(message)}`;
    }
    throw error;
  }
}

/** What differs of two programs at rest. */
function differs(plain: Player, perdure: Player, after = 'the start'): string | null {
  const [expected, found] = [plain.log, perdure.log];
  for (let i = 0; i < Math.max(expected.length, found.length); i++) {
    if (expected[i] !== found[i])
      return `after ${after}: call ${i} of the host is ${expected[i]}, on Perdure ${found[i]}`;
  }
  const difference = stateDiffers(plain.state(), perdure.state());
  return difference === null ? null : `after ${after}: ${difference}`;
}

function stateDiffers(expected: State, found: State): string | null {
  for (const [i, memory] of expected.memories.entries()) {
    const other = found.memories[i]!;
    if (memory.length !== other.length)
      return `memory ${i} has ${memory.length} bytes, on Perdure ${other.length}`;
    if (Buffer.compare(memory, other) === 0) continue;
    const at = memory.findIndex((byte, k) => byte !== other[k]);
    return `memory ${i} at ${at} is ${memory[at]}, on Perdure ${other[at]}`;
  }
  for (const kind of ['globals', 'tables'] as const) {
    for (const [i, item] of expected[kind].entries()) {
      if (item !== found[kind][i]) return `${kind} ${i}: ${item}, on Perdure ${found[kind][i]}`;
    }
  }
  return null;
}

/** Draws calls of what a program exports, with arguments that hurt. */
export function callsOf(bytes: Uint8Array): Draw {
  const module = decodeModule(bytes);
  const imported = module.imports.flatMap((item) => (item.kind === 'func' ? [item.type] : []));
  const types = [...imported, ...module.functions];
  const functions = module.exports.flatMap(({ kind, name, index }) => {
    if (kind !== 'func' || name === REFUEL) return [];
    const { params, results } = module.types[types[index]!]!;
    const known = [...params, ...results].every((type) => type !== V128 && type !== EXNREF);
    return known ? [{ name, params }] : [];
  });
  const refuel: Call[] = module.exports.some(({ name }) => name === REFUEL) ? [[REFUEL, []]] : [];
  const sizes = module.memories.map(({ min }) => Number(min) * 65536);
  return (prng) => {
    if (functions.length === 0) return [];
    return Array.from({ length: CALLS }, () => {
      const { name, params } = prng.pick(functions);
      return [...refuel, [name, params.map((type) => argumentFor(prng, type, sizes))] as Call];
    }).flat();
  };
}

function argumentFor(prng: Prng, type: number, sizes: readonly number[]): Argument {
  const size = sizes.length > 0 ? prng.pick(sizes) : 65536;
  const near = size - prng.below(40) + 8;
  const whole = prng.pick([
    near,
    near,
    prng.below(100),
    prng.below(65536),
    -1 - prng.below(20),
    prng.u32() | 0,
  ]);
  if (type === I32) return whole | 0;
  if (type === I64) return prng.chance(0.1) ? BigInt(whole) << 32n : BigInt(whole);
  if (type === F32 || type === F64) return prng.pick([whole, whole / 4, 0, -0, Number.POSITIVE_INFINITY]);
  void FUNCREF;
  return null;
}
