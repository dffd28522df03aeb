/**
 * The hunt (`hunt.ts`) among resume modules: mutants of the continuations of a small program are verified, and what passes
 * is run with an instance of the program's rewritten module, from frames whose values hurt.
 */
import { KIND_BEFORE, KIND_CALLING } from '../../src/abi/frame.ts';
import type { FrameSite } from '../../src/abi/resume.ts';
import { MalformedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { compile, FULL, programInfo } from '../../src/compiler/index.ts';
import { verifyResume } from '../../src/verifier/resume.ts';
import { decodeModule } from '../../src/wasm/module.ts';
import { wat } from '../../src/wasm/wat.testing.ts';
import { Court } from './court.ts';
import { edgeProgram } from './edges.ts';
import { type Prey, preyOf } from './hunt.ts';
import type { Found, Kind } from './kinds.ts';
import { Mutable, type Mutant } from './mutate.ts';
import { sources } from './programs.ts';
import { Watcher } from './watch.ts';

/** So many seeds in a row are mutants of one program's continuations. */
const BLOCK = 256;
const BY_HAND = 6;
/** Continuations of one module. */
const SITES = 3;

interface ContinuedPrey {
  readonly main: Prey;
  readonly mutable: Mutable;
}

export class ContinuedHunt implements Kind {
  readonly name = 'continuations';
  readonly counts = { mutants: 0, refused: 0, invalid: 0, run: 0, calls: 0, traps: 0, unwinds: 0 };
  readonly #court: Court;
  readonly #byHand: readonly Uint8Array<ArrayBuffer>[];
  #block = -1;
  #prey: ContinuedPrey | null = null;

  private constructor(court: Court, byHand: readonly Uint8Array<ArrayBuffer>[]) {
    this.#court = court;
    this.#byHand = byHand;
  }

  static async make(): Promise<ContinuedHunt> {
    const byHand = (await sources()).map(({ bytes }) => bytes);
    return new ContinuedHunt(new Court([await Watcher.make(), await Watcher.make()]), byHand);
  }

  async run(seed: number): Promise<Found | null> {
    const block = Math.floor(seed / BLOCK);
    if (block !== this.#block) {
      const text = edgeProgram(new Prng(block), 1).text;
      const byHand =
        block % BY_HAND === 0 ? this.#byHand[(block / BY_HAND) % this.#byHand.length] : undefined;
      this.#prey = continuedPrey(byHand ?? (await wat(text)), new Prng(block));
      this.#block = block;
    }
    if (this.#prey === null) return null; // a program without safepoints
    return this.#try(this.#prey, this.#prey.mutable.mutate(new Prng(seed)), seed);
  }

  #try({ main }: ContinuedPrey, { bytes, what, words }: Mutant, seed: number): Found | null {
    const { counts } = this;
    const found = (problem: string): Found => ({
      problem: `block ${this.#block}, ${what}: ${problem}`,
      bytes,
    });
    counts.mutants++;
    try {
      verifyResume(bytes, main.evidence);
    } catch (error) {
      if (!(error instanceof MalformedError)) return found(`the verifier threw ${String(error)}`);
      counts.refused++;
      return null;
    }
    if (!WebAssembly.validate(bytes)) {
      counts.invalid++;
      return null;
    }
    const { evidence, callables } = main;
    const subject = { bytes: main.bytes, evidence, callables, words, focus: -1, continuations: bytes };
    let judgement: ReturnType<Court['judge']>;
    try {
      judgement = this.#court.judge(subject, seed);
    } catch (error) {
      // What it imports is not there, or of another type: the kernel gets no instance of it either.
      if (!(error instanceof WebAssembly.LinkError || error instanceof WebAssembly.RuntimeError)) throw error;
      counts.invalid++;
      return null;
    }
    counts.run++;
    counts.calls += judgement.calls;
    counts.traps += judgement.traps;
    counts.unwinds += judgement.unwinds;
    return judgement.escape === null ? null : found(judgement.escape);
  }

  summary(): string {
    const { refused, invalid, run, calls, traps, unwinds } = this.counts;
    return `${refused} refused, ${invalid} by V8 alone, ${run} run with ${calls} calls, ${traps} traps, ${unwinds} unwindings`;
  }
}

function continuedPrey(program: Uint8Array<ArrayBuffer>, prng: Prng): ContinuedPrey | null {
  const options = { ...FULL, windows: prng.chance(0.5) };
  const rewritten = compile(program, options).bytes;
  const info = programInfo(program, rewritten, options);
  const sites: FrameSite[] = [];
  decodeModule(program).codes.forEach(({ start, end }, i) => {
    const functionIndex = info.importedFunctionCount + i;
    for (let offset = start; offset < end; offset++) {
      for (const kind of [KIND_BEFORE, KIND_CALLING]) {
        if (info.frameLayout(functionIndex, offset, kind)) sites.push({ functionIndex, offset, kind });
      }
    }
  });
  if (sites.length === 0) return null;
  const some = new Set(Array.from({ length: SITES }, () => prng.pick(sites)));
  const bytes = info.resumeModule([...some], 0);
  const main = preyOf('main', rewritten);
  verifyResume(bytes, main.evidence);
  return { main, mutable: new Mutable(bytes, 0) };
}
