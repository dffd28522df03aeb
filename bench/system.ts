/**
 * A kernel to measure, with no drivers: programs in the text format, installed as the product installs them (compiler,
 * verifier, V8), and a personality of one call, `bench.reached`, by which a program says that it runs.
 */
import { createHash } from 'node:crypto';
import wabt from 'wabt';
import { WAT_FEATURES } from '../guests/build.ts';
import { ALONE, compile, makeModule, programInfo } from '../src/compiler/index.ts';
import type { KernelOptions, LoadedModule } from '../src/kernel/index.ts';
import { Kernel } from '../src/kernel/index.ts';
import { Space } from '../src/space/index.ts';
import { verify } from '../src/verifier/verify.ts';

/** When `bench.reached` was last called, in milliseconds, and what else is to happen then. */
export const reached: { at: number; hook: (() => void) | undefined } = { at: 0, hook: undefined };

export function kernelOptions(): KernelOptions {
  return {
    compiler: makeModule,
    powers: { monotonicNs: () => process.hrtime.bigint(), threadCpuMicros: () => 0 },
    personality: {
      resolve: (module, name) =>
        module === 'bench' && name === 'reached'
          ? () => {
              reached.at = performance.now();
              reached.hook?.();
            }
          : undefined,
    },
  };
}

/** @param personality where programs call something else */
export function newKernel(personality?: KernelOptions['personality']): Kernel {
  const options = kernelOptions();
  const space = Space.create({ id: new Uint8Array(16).fill(7) });
  return new Kernel(space, { ...options, personality: personality ?? options.personality });
}

/** Installs a program given as text. */
export async function install(text: string): Promise<LoadedModule> {
  const parsed = (await wabt()).parseWat('bench.wat', text, WAT_FEATURES);
  const original = parsed.toBinary({}).buffer.slice();
  parsed.destroy();
  return installBytes(original);
}

/** The same of a module. */
export function installBytes(original: Uint8Array): LoadedModule {
  const { bytes } = compile(original);
  return {
    hash: createHash('sha256').update(original).digest('hex'),
    program: new WebAssembly.Module(bytes),
    evidence: verify(bytes),
    info: programInfo(original, bytes),
  };
}

/** The same for a process of its own. */
export async function installAlone(text: string): Promise<LoadedModule> {
  const parsed = (await wabt()).parseWat('bench.wat', text, WAT_FEATURES);
  const original = parsed.toBinary({}).buffer.slice();
  parsed.destroy();
  const { bytes: rewritten, evidence } = compile(original, ALONE);
  return {
    hash: createHash('sha256').update(original).digest('hex'),
    get program(): WebAssembly.Module {
      throw new Error('it is compiled in its own process only');
    },
    evidence,
    info: programInfo(original, rewritten, ALONE),
    alone: { original, rewritten },
  };
}

/** A program of so many MiB whose `touch(from, step, count, value)` writes a byte in `count` pages, every `step`th. */
export function toucher(mib: number): string {
  return `(module
    (import "bench" "reached" (func $reached))
    (memory ${mib * 16})
    (func (export "reach") (call $reached))
    (func (export "wait") (loop $again (call $reached) (br $again)))
    (func (export "touch") (param $page i32) (param $step i32) (param $count i32) (param $value i32)
      (loop $next
        (i32.store8 (i32.shl (local.get $page) (i32.const 12)) (local.get $value))
        (local.set $page (i32.add (local.get $page) (local.get $step)))
        (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))))`;
}
