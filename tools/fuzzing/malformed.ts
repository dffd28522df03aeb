/**
 * Bytes that are no module, or one nobody would make: programs and rewritten modules cut short, overwritten, with
 * counts blown up, sections twice or exchanged. Decoder, compiler and verifier must answer each with what they have for
 * it, an error of their own with a place, in bounded time; nothing else may come out. What the compiler takes, the
 * verifier must take from it, and it must do what it does on plain V8.
 */
import { MalformedError, UnsupportedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { compile } from '../../src/compiler/index.ts';
import { verify } from '../../src/verifier/verify.ts';
import { decodeAll } from '../../src/wasm/module.ts';
import { EVERYTHING, wat } from '../../src/wasm/wat.testing.ts';
import type { Guard } from './arena.ts';
import { edgeProgram } from './edges.ts';
import { generate } from './generate.ts';
import type { Found, Kind } from './kinds.ts';
import { Comparer } from './sameness.ts';

/** Processor time one step may take for a module of a few kilobytes: a thousand times what it needs, in ms. */
const STEP_MS = 3000;
/** So many seeds in a row begin with the same module. */
const BLOCK = 64;
/** Bytes that mean much in many places. */
const TELLING = [
  ...[0, 1, 2, 3, 4, 5, 0x0b, 0x10, 0x11, 0x1f, 0x20, 0x3f, 0x40, 0x41, 0x5e, 0x60, 0x63, 0x64, 0x69],
  ...[0x6f, 0x70, 0x7b, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff],
];

export class Malformed implements Kind {
  readonly name = 'malformed';
  readonly #comparer: Comparer;
  #block = -1;
  #program: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #rewritten: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #refused = 0;
  #unsupported = 0;
  #taken = 0;
  #slowest = 0;
  #largest = 0;

  constructor(guard: Guard) {
    this.#comparer = new Comparer(guard);
  }

  async run(seed: number): Promise<Found | null> {
    const block = Math.floor(seed / BLOCK);
    if (block !== this.#block) {
      this.#block = block;
      const prng = new Prng(block);
      const text = prng.chance(0.3) ? prng.pick(EVERYTHING) : edgeProgram(prng, 1).text;
      this.#program = await wat(text);
      this.#rewritten = prng.chance(0.5) ? compile(this.#program).bytes : generate(prng, true);
    }
    const prng = new Prng(seed);
    const ofProgram = prng.chance(0.6);
    const bytes = mangled(prng, ofProgram ? this.#program : this.#rewritten);
    const problem = ofProgram ? this.#asProgram(bytes, seed) : this.#asRewritten(bytes);
    return problem === null ? null : { problem, bytes };
  }

  #asProgram(bytes: Uint8Array<ArrayBuffer>, seed: number): string | null {
    const valid = WebAssembly.validate(bytes);
    const decoded = this.#step('the decoder', bytes, () => void decodeAll(bytes));
    if (typeof decoded === 'string') return decoded;
    if (decoded === null && valid) {
      const { error } = this;
      if (!(error instanceof UnsupportedError)) return `V8 takes what the decoder refuses: ${error?.message}`;
    }
    let rewritten: Uint8Array<ArrayBuffer> | null = null;
    const compiled = this.#step('the compiler', bytes, () => {
      rewritten = compile(bytes).bytes;
    });
    if (typeof compiled === 'string') return compiled;
    if (compiled === null) {
      if (this.error instanceof UnsupportedError) this.#unsupported++;
      else if (valid) return `V8 takes what the compiler refuses: ${this.error?.message}`;
      else this.#refused++;
      return null;
    }
    if (!valid) return 'the compiler takes what V8 refuses';
    this.#taken++;
    this.#largest = Math.max(this.#largest, (rewritten as unknown as Uint8Array).length / bytes.length);
    return this.#comparer.compare(bytes, seed);
  }

  #asRewritten(bytes: Uint8Array<ArrayBuffer>): string | null {
    const verified = this.#step('the verifier', bytes, () => void verify(bytes));
    if (typeof verified === 'string') return verified;
    if (verified === null) this.#refused++;
    else this.#taken++;
    return null;
  }

  /** The error of the last step that was refused. */
  error: MalformedError | null = null;

  /** True when it was taken, null when it was refused as it should be, or what is wrong. */
  #step(who: string, bytes: Uint8Array, step: () => void): true | null | string {
    const before = process.cpuUsage().user;
    let result: true | null | string = true;
    try {
      step();
    } catch (error) {
      result = null;
      if (!(error instanceof MalformedError))
        return `${who} threw ${String((error as Error)?.stack ?? error)}`;
      // -1 is for what concerns the module as a whole.
      const { offset } = error;
      if (!(Number.isInteger(offset) && offset >= -1 && offset <= bytes.length))
        return `${who} refuses at byte ${offset} of ${bytes.length}: ${error.message}`;
      this.error = error;
    }
    const ms = (process.cpuUsage().user - before) / 1000;
    this.#slowest = Math.max(this.#slowest, ms);
    return ms > STEP_MS ? `${who} took ${Math.round(ms)} ms for ${bytes.length} bytes` : result;
  }

  summary(): string {
    const { calls } = this.#comparer.tally;
    return (
      `${this.#refused} refused, ${this.#unsupported} unsupported, ${this.#taken} taken, ${calls} calls compared; ` +
      `the slowest step took ${Math.round(this.#slowest)} ms, the largest output ${this.#largest.toFixed(1)} times its input`
    );
  }
}

function mangled(prng: Prng, original: Uint8Array): Uint8Array<ArrayBuffer> {
  let out = [...original];
  // Many with one small change: some of these are modules still.
  const small = prng.chance(0.5);
  for (let edits = small ? 1 : 1 + prng.below(3); edits > 0; edits--) {
    const at = 8 + prng.below(Math.max(1, out.length - 8));
    switch (small ? 12 : prng.below(12)) {
      case 0:
        out = out.slice(0, at); // cut short
        break;
      case 1:
        out.splice(at, 1 + prng.below(4));
        break;
      case 2:
        out.splice(at, 0, prng.pick(TELLING));
        break;
      case 3: {
        const [from, length] = [prng.below(out.length), 1 + prng.below(40)];
        out.splice(at, 0, ...out.slice(from, from + length));
        break;
      }
      case 4: // a count or an index that is far too large
        out.splice(at, 1, 0xff, 0xff, 0xff, 0xff, prng.pick([0x0f, 0x7f, 0x07, 0x00]));
        break;
      case 5:
        out[at] = (out[at] ?? 0) ^ (1 << prng.below(8));
        break;
      case 6:
        out[prng.below(8)] = prng.below(256);
        break;
      case 7:
        for (let i = at; i < Math.min(out.length, at + 1 + prng.below(20)); i++) out[i] = prng.below(256);
        break;
      default:
        out[at] = prng.chance(0.7) ? prng.pick(TELLING) : ((out[at] ?? 0) + prng.pick([1, -1])) & 0xff;
    }
  }
  return Uint8Array.from(out);
}
