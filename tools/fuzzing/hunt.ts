/**
 * The hunt for a mutant that the verifier lets pass and that, run, touches one byte outside its domain. Programs are small
 * and many (a block of seeds shares one), so that a mutant costs well under a millisecond: changed, verified, and if it
 * passes run in the `Court`. Some of those that pass run among the canaries of the `Arena` too, and some of those that
 * do not are run all the same, to see that the oracle sees.
 */
import type { Evidence } from '../../src/abi/evidence.ts';
import { MalformedError, RefusedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { compile, FULL } from '../../src/compiler/index.ts';
import { decode, FUNC } from '../../src/verifier/decode.ts';
import { verify } from '../../src/verifier/verify.ts';
import { wat } from '../../src/wasm/wat.testing.ts';
import { type Arena, subjectOf } from './arena.ts';
import { countingModule } from './counting.ts';
import { type Callable, type Case, Court, callablesOf } from './court.ts';
import { edgeProgram } from './edges.ts';
import { generate } from './generate.ts';
import { makeArena } from './guard.ts';
import type { Found, Kind } from './kinds.ts';
import { Mutable, type Mutant } from './mutate.ts';
import { type Program, programs } from './programs.ts';
import { Watcher } from './watch.ts';

/** So many seeds in a row are mutants of one program. */
const BLOCK = 256;
/** One of so many blocks is of a program written by hand, which has what the random ones have not. */
const BY_HAND = 8;
/** One of four is of counting loops: those with this remainder. They are small, and many: so many seeds share one. */
const COUNTING = 3;
const COUNTING_SEEDS = 16;
/** One of so many accepted mutants, or random modules, runs among canaries too; one of so many refused is run all the same. */
const CANARIES = 400;
const CANARIES_RANDOM = 10;
const PROBES = 40;

export interface HuntCounts {
  mutants: number;
  /** Refused by the verifier; of these run all the same, and of these seen to escape. */
  refused: number;
  probed: number;
  probedEscapes: number;
  /** Accepted by the verifier but not by V8. */
  invalid: number;
  /** Accepted by both, and run; of these among canaries too. */
  run: number;
  canaries: number;
  calls: number;
  traps: number;
  unwinds: number;
}

/** A module taken apart for mutation, with the evidence it was accepted with. */
export interface Prey {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly evidence: Evidence;
  readonly mutable: Mutable;
  readonly callables: readonly Callable[];
  readonly words: readonly number[];
}

export class Hunt implements Kind {
  readonly name: 'mutants' | 'random';
  readonly counts: HuntCounts = {
    ...{ mutants: 0, refused: 0, probed: 0, probedEscapes: 0, invalid: 0 },
    ...{ run: 0, canaries: 0, calls: 0, traps: 0, unwinds: 0 },
  };
  readonly #court: Court;
  readonly #byHand: readonly Program[];
  #arena: Arena | null = null;
  #block = -1;
  #isCounting = false;
  #prey: Prey | null = null;

  private constructor(name: 'mutants' | 'random', court: Court, byHand: readonly Program[]) {
    this.name = name;
    this.#court = court;
    this.#byHand = byHand;
  }

  /** Of mutants; or of random modules as they are, each of them new. */
  static async make(name: 'mutants' | 'random'): Promise<Hunt> {
    return new Hunt(name, new Court([await Watcher.make(), await Watcher.make()]), await programs());
  }

  async run(seed: number): Promise<Found | null> {
    if (this.name === 'random') {
      const prey = preyOf('random', generate(new Prng(seed), true));
      const { bytes, words } = prey;
      return this.#try(prey, { bytes, what: 'as it was made', body: -1, words }, seed);
    }
    const isCounting = Math.floor(seed / BLOCK) % 4 === COUNTING;
    const block = Math.floor(seed / (isCounting ? COUNTING_SEEDS : BLOCK));
    if (block !== this.#block || isCounting !== this.#isCounting) {
      this.#prey = isCounting
        ? preyOf(`counting ${block}`, countingModule(block))
        : await this.#preyOf(block);
      this.#block = block;
      this.#isCounting = isCounting;
    }
    const prey = this.#prey!;
    const prng = new Prng(seed);
    if (isCounting && prng.chance(0.5)) {
      const bytes = countingModule(block, prng);
      return this.#try(prey, { bytes, what: 'a number off', body: -1, words: prey.words }, seed);
    }
    return this.#try(prey, prey.mutable.mutate(prng), seed);
  }

  async #preyOf(block: number): Promise<Prey> {
    if (block % BY_HAND === 0) {
      const { name, bytes } = this.#byHand[(block / BY_HAND) % this.#byHand.length]!;
      return preyOf(name, bytes);
    }
    if (block % 2 === 1) return preyOf(`random ${block}`, generate(new Prng(block), true));
    const { text } = edgeProgram(new Prng(block), 1);
    return preyOf(`edges ${block}`, compile(await wat(text), { ...FULL, windows: block % 4 === 0 }).bytes);
  }

  #try(prey: Prey, mutant: Mutant, seed: number): Found | null {
    const { counts } = this;
    const { bytes } = mutant;
    counts.mutants++;
    const found = (problem: string): Found => ({
      problem: `${prey.name}, ${mutant.what}: ${problem}`,
      bytes,
    });
    let evidence: Evidence | null = null;
    try {
      evidence = verify(bytes);
    } catch (error) {
      if (!(error instanceof MalformedError)) return found(`the verifier threw ${String(error)}`);
      if (error instanceof RefusedError && error.functionIndex >= 0 && error.offset < 0)
        return found(`a refusal without a place: ${error.message}`);
      counts.refused++;
      if (seed % PROBES === 0 && WebAssembly.validate(bytes)) this.#probe(prey, mutant, seed);
      return null;
    }
    if (!WebAssembly.validate(bytes)) {
      counts.invalid++;
      return null;
    }
    const judgement = this.#court.judge(caseOf(prey, mutant, evidence), seed);
    counts.run++;
    counts.calls += judgement.calls;
    counts.traps += judgement.traps;
    counts.unwinds += judgement.unwinds;
    if (judgement.escape !== null) return found(judgement.escape);
    if (seed % (this.name === 'random' ? CANARIES_RANDOM : CANARIES) === 0) {
      counts.canaries++;
      this.#arena ??= makeArena();
      const canaries = this.#arena.judge(subjectOf(bytes, evidence), seed);
      if (canaries.escape !== null) return found(`among canaries: ${canaries.escape}`);
    }
    return null;
  }

  #probe(prey: Prey, mutant: Mutant, seed: number): void {
    try {
      const judgement = this.#court.judge(caseOf(prey, mutant, prey.evidence), seed);
      this.counts.probed++;
      if (judgement.escape !== null) this.counts.probedEscapes++;
    } catch {
      // It has another shape than its evidence says, and the court cannot run it.
    }
  }

  /** Runs a random module as it was made, though the verifier refuses it; whether it was seen to escape. */
  unrepaired(seed: number): boolean {
    const bytes = generate(new Prng(seed), false);
    const { evidence, callables, words } = preyOf('random', generate(new Prng(seed), true));
    return this.#court.judge({ bytes, evidence, callables, words, focus: -1 }, seed).escape !== null;
  }

  summary(): string {
    const c = this.counts;
    return (
      `${c.refused} refused, ${c.invalid} by V8 alone, ${c.run} run (${c.canaries} among canaries too) with ${c.calls} calls, ` +
      `${c.traps} traps, ${c.unwinds} unwindings; of ${c.probed} refused and run all the same ${c.probedEscapes} escaped`
    );
  }
}

const caseOf = ({ callables }: Prey, { bytes, body, words }: Mutant, evidence: Evidence): Case => ({
  ...{ bytes, evidence, callables, words },
  focus: body < 0 ? -1 : evidence.prelude.start + body,
});

export function preyOf(name: string, bytes: Uint8Array<ArrayBuffer>): Prey {
  const evidence = verify(bytes);
  const mutable = new Mutable(bytes, evidence.wrappers.start - evidence.prelude.start);
  const decoded = decode(bytes);
  const exports = decoded.exports.flatMap(({ name: text, kind, index }) => {
    if (kind !== FUNC) return [];
    const [list] = decoded.types[decoded.functions[index]!]!.signature.split('>') as [string];
    return [{ name: text, params: list === '' ? [] : list.split(',').map(Number) }];
  });
  return { name, bytes, evidence, mutable, callables: callablesOf(exports), words: mutable.words };
}
