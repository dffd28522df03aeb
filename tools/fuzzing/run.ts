/**
 * The verifier's fuzzer: mutants of accepted modules, judged by running them (`arena.ts`). Used for a short time by the
 * tests and for a long time by `tools/fuzz.ts`.
 */

import { decodeEvidence, type Evidence } from '../../src/abi/evidence.ts';
import { MalformedError, RefusedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { decode } from '../../src/verifier/decode.ts';
import { verify } from '../../src/verifier/verify.ts';
import { type Arena, subjectOf } from './arena.ts';
import { generate } from './generate.ts';
import { Mutable } from './mutate.ts';

export interface Seed {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface Counts {
  mutants: number;
  /** Refused by the verifier; of these, those that V8 takes. */
  refused: number;
  refusedValid: number;
  /** Accepted by the verifier but not by V8. */
  invalid: number;
  /** Accepted by both, and run. */
  run: number;
  calls: number;
  traps: number;
  stopped: number;
  /** Refused, valid, and run all the same: those that did escape. Shows that the oracle sees. */
  probed: number;
  probedEscapes: number;
}

export interface Finding {
  readonly seed: number;
  readonly name: string;
  readonly what: string;
  readonly problem: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export const noCounts = (): Counts => ({
  ...{ mutants: 0, refused: 0, refusedValid: 0, invalid: 0, run: 0 },
  ...{ calls: 0, traps: 0, stopped: 0, probed: 0, probedEscapes: 0 },
});

/** A module taken apart for mutation, with the evidence it was accepted with. */
export class Target {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly evidence: Evidence;
  readonly mutable: Mutable;

  /** Throws when the verifier refuses the module unchanged. */
  constructor({ name, bytes }: Seed) {
    this.name = name;
    this.bytes = bytes;
    this.evidence = verify(bytes);
    this.mutable = new Mutable(bytes, this.evidence.wrappers.start - this.evidence.prelude.start);
  }
}

/**
 * Makes the mutant of this seed and judges it. `probe`: run it even if refused, to see whether the oracle notices.
 * Gives what is wrong with the verifier, or null.
 */
export function tryMutant(
  target: Target,
  arena: Arena,
  seed: number,
  counts: Counts,
  probe = false,
): Finding | null {
  const { bytes, what } = target.mutable.mutate(new Prng(seed));
  return judge({ seed, name: target.name, what, bytes }, target.evidence, arena, counts, probe);
}

interface Case {
  readonly seed: number;
  readonly name: string;
  readonly what: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** `assumed`: the evidence with which a refused module is run when `probe` asks for it; null: its own. */
function judge(
  made: Case,
  assumed: Evidence | null,
  arena: Arena,
  counts: Counts,
  probe: boolean,
): Finding | null {
  const { bytes, seed } = made;
  counts.mutants++;
  let evidence: Evidence | null = null;
  try {
    evidence = verify(bytes);
  } catch (error) {
    if (!(error instanceof MalformedError))
      return { ...made, problem: `the verifier threw ${String(error)}` };
    if (error instanceof RefusedError && error.functionIndex >= 0 && error.offset < 0) {
      return { ...made, problem: `a refusal without a place: ${error.message}` };
    }
    counts.refused++;
    if (!WebAssembly.validate(bytes)) return null;
    counts.refusedValid++;
    if (!probe) return null;
  }
  if (!WebAssembly.validate(bytes)) {
    counts.invalid++;
    return null;
  }
  const verdict = arena.judge(subjectOf(bytes, evidence ?? assumed ?? evidenceOf(bytes)), seed);
  if (evidence === null) {
    counts.probed++;
    if (verdict.escape) counts.probedEscapes++;
    return null;
  }
  counts.run++;
  counts.calls += verdict.calls;
  counts.traps += verdict.traps;
  counts.stopped += verdict.stopped;
  return verdict.escape ? { ...made, problem: verdict.escape } : null;
}

/** The evidence a module carries, true or not. */
function evidenceOf(bytes: Uint8Array): Evidence {
  const { start, end } = decode(bytes).evidence[0]!;
  return decodeEvidence(bytes.subarray(start, end));
}

/** Makes the random module of this seed and judges it; see `tryMutant`. */
export function tryGenerated(arena: Arena, seed: number, counts: Counts, probe = false): Finding | null {
  const bytes = generate(new Prng(seed), !probe);
  return judge({ seed, name: 'generated', what: 'a random module', bytes }, null, arena, counts, probe);
}
