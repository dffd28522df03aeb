/**
 * A share of a program's functions, compiled by itself: on another thread, with nothing known of what is compiled before
 * it. It goes into the module as if it had been compiled there (compile.ts), byte for byte: what depends on the functions
 * before, types of blocks that the plan did not foresee and places among the ends of frames, is written in a fixed width
 * and put right afterwards.
 */
import type { LimitLocal, LoopHint } from '../abi/hints.ts';
import type { Code } from '../wasm/module.ts';
import type { LocalRun } from '../wasm/sections/code.ts';
import type { FuncType } from '../wasm/types.ts';
import { type EmittedFunction, END_BYTES, readPadded, TYPE_BYTES, writePadded } from './emitter.ts';
import type { CompileOptions, Plan } from './plan.ts';
import { Program } from './program.ts';

/** Plain data: it crosses threads. */
export interface CompiledShare {
  /** The code of all functions, one behind the other, without their locals; and where each ends. */
  readonly code: Uint8Array<ArrayBuffer>;
  readonly ends: Uint32Array<ArrayBuffer>;
  /** What else is known of each function. */
  readonly about: readonly {
    readonly locals: readonly LocalRun[];
    readonly limits: readonly LimitLocal[];
    readonly loops: readonly LoopHint[];
    readonly unlikely: readonly number[];
  }[];
  /** Types the plan had not, by their number there less `plan.fixedTypes`; and where in `code` their numbers stand. */
  readonly types: readonly FuncType[];
  readonly typeUses: Uint32Array<ArrayBuffer>;
  /** Masks and trailers of frames, and where in `code` places among them stand. */
  readonly frameEnds: Uint8Array<ArrayBuffer>;
  readonly endUses: Uint32Array<ArrayBuffer>;
}

/** The defined functions [from, to) of a share, `part` of 0 … `of` - 1: about as much code as the others have. */
export function rangeOf(
  codes: readonly Code[],
  part: number,
  of: number,
): readonly [from: number, to: number] {
  if (of === 1) return [0, codes.length];
  let total = 0;
  for (const { start, end } of codes) total += end - start;
  const before = (share: number): number => {
    let at = 0;
    let bytes = 0;
    while (at < codes.length && bytes < (total * share) / of) bytes += codes[at]!.end - codes[at++]!.start;
    return share === of ? codes.length : at;
  };
  return [before(part), before(part + 1)];
}

/** Compiles a share of a program that V8 has validated. @throws UnsupportedError */
export function compileShare(
  bytes: Uint8Array,
  options: CompileOptions,
  part: number,
  of: number,
): CompiledShare {
  const program = new Program(bytes, options);
  program.expectAll();
  const { plan, emitter: e } = program;
  const [from, to] = rangeOf(program.module.codes, part, of);
  const emitted: EmittedFunction[] = [];
  const [typeUses, endUses]: [number[], number[]] = [[], []];
  let length = 0;
  for (let i = from; i < to; i++) {
    const one = program.defined(i);
    emitted.push(one);
    for (const at of e.typeUses) typeUses.push(length + at);
    for (const at of e.endUses) endUses.push(length + at);
    length += one.code.end - one.code.start;
  }
  const code = new Uint8Array(length);
  let at = 0;
  const ends = emitted.map(({ code: { source, start, end } }) => {
    code.set(source.subarray(start, end), at);
    at += end - start;
    return at;
  });
  return {
    code,
    ends: Uint32Array.from(ends),
    about: emitted.map(({ code: { locals }, code: _, ...about }) => ({ ...about, locals })),
    types: plan.types.slice(plan.fixedTypes),
    typeUses: Uint32Array.from(typeUses),
    frameEnds: e.frameEnds.toBytes(),
    endUses: Uint32Array.from(endUses),
  };
}

/**
 * The functions of a share as they stand behind all compiled so far, `framesAt` bytes of frames' ends among that. The
 * share's code is changed. Its frames' ends are the caller's to append.
 */
export function placeShare(share: CompiledShare, plan: Plan, framesAt: number): EmittedFunction[] {
  const { code, ends, about, types, typeUses, endUses } = share;
  const numbers = types.map(({ params, results }) => plan.typeIndex(params, results));
  for (const at of typeUses) {
    writePadded(code, at, TYPE_BYTES, numbers[readPadded(code, at, TYPE_BYTES) - plan.fixedTypes]!);
  }
  for (const at of endUses) {
    writePadded(code, at, END_BYTES, readPadded(code, at, END_BYTES) + framesAt);
  }
  return about.map(({ locals, ...rest }, i) => ({
    ...rest,
    code: { locals, source: code, start: i === 0 ? 0 : ends[i - 1]!, end: ends[i]! },
  }));
}
