/**
 * Settings of V8 for rewritten programs. Call `tuneEngine` once, before the process compiles its first program; the
 * flags hold for the whole process.
 *
 * V8 decides what to inline by the size of a function's bytes and of its graph. Safepoints make both larger with code
 * that hardly ever runs, so with V8's own limits small hot functions stop being inlined: recursive Fibonacci from C
 * took 2.4 times as long, and 1.1 to 1.3 times with these (RATIONALE.md#v8-is-told-to-inline-more).
 */
import { setFlagsFromString } from 'node:v8';

const FLAGS = [
  '--wasm-inlining-factor=8',
  '--wasm-inlining-min-budget=400',
  '--wasm-inlining-max-size=2000',
  '--wasm-inlining-budget=20000',
];

export function tuneEngine(): void {
  for (const flag of FLAGS) setFlagsFromString(flag);
}
