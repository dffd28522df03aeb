/**
 * One program in the ways that the taxes compare, each ready to be run again and again. `plain` is the program as it
 * is on this V8; `alone` as it runs in a process of its own. All but `plain` and Asyncify's are our compiler's output,
 * run from its quick entry with no kernel around it, so that what is measured is the code.
 *
 *   const variant = await makeVariant('both', bytes)
 *   const { ms, code, output } = variant.run(['program', '10'])       a fresh instance of the same machine code
 */
import { FLAG_ADDRESS } from '../src/abi/layout.ts';
import { EXPORT, GUEST_EXPORT } from '../src/abi/system.ts';
import { EnvironmentError } from '../src/base/errors.ts';
import { FRAME_BYTES } from '../src/base/limits.ts';
import { ALONE, COUNTER_EXPORT, compile, PROOFS } from '../src/compiler/index.ts';
import { decodeModule, encodeModule } from '../src/wasm/module.ts';
import { asyncified } from './asyncify.ts';
import { BenchWasi } from './wasi.ts';

export const VARIANTS = ['plain', 'isolation', 'suspend', 'alone', 'both', 'asyncify'] as const;
/** `windows`: as `both`, for a program that may map segments. */
export type VariantName = (typeof VARIANTS)[number] | 'windows';

export interface VariantRun {
  /** Processor time from the call of `_start` to its return; instantiation does not count. */
  readonly ms: number;
  readonly code: number;
  /** What it printed, and the sizes and hashes of the files it wrote. */
  readonly output: string;
  /** Variant `counted`: how many accesses were made, by PROOFS of the compiler. */
  readonly counts?: readonly number[];
}
export interface Variant {
  readonly name: VariantName;
  /** Bytes of the module. */
  readonly bytes: number;
  run(args: readonly string[]): VariantRun;
}

/** Where the one domain lies, and the most it may grow to. */
const BASE = 16 << 20;
const MOST_BYTES = 1 << 30;

/** Processor time of this thread: on a machine that does other things as well, it is what a program took. */
function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function timed(wasi: BenchWasi, start: () => void): VariantRun {
  const before = threadMs();
  const code = wasi.run(start);
  const ms = threadMs() - before;
  return { ms, code, output: wasi.output + wasi.fileSummary() };
}

function startOf(exports: Record<string, unknown>, prefix: string): () => void {
  (exports[prefix + MODULE_START] as (() => void) | undefined)?.();
  const start = exports[`${prefix}_start`];
  if (typeof start !== 'function')
    throw new EnvironmentError('tools', 'the program has no _start', 'benches run WASI commands');
  return start as () => void;
}

function plain(name: VariantName, bytes: Uint8Array): Variant {
  const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  return {
    name,
    bytes: bytes.length,
    run(args) {
      const wasi = new BenchWasi(args);
      const imports = { ...wasi.imports(module), bench: { poll: () => undefined } };
      const { exports } = new WebAssembly.Instance(module, imports);
      wasi.attach(() => (exports.memory as WebAssembly.Memory).buffer);
      return timed(wasi, startOf(exports, ''));
    },
  };
}

/** A space for rewritten programs, made once: the same pages are used again, cleared in between. */
let space: WebAssembly.Memory | undefined;
/** Bytes from BASE on that any run may have written. */
let used = 0;
function theSpace(): WebAssembly.Memory {
  space ??= new WebAssembly.Memory({
    address: 'i64',
    initial: BigInt((BASE + MOST_BYTES) / FRAME_BYTES) + 16n,
    maximum: 262144n,
    shared: true,
  });
  return space;
}

type Options = Parameters<typeof compile>[1];

function rewritten(name: VariantName, bytes: Uint8Array, options: NonNullable<Options>): Variant {
  const compiled = compile(bytes, options);
  const { evidence } = compiled;
  const module = new WebAssembly.Module(compiled.bytes);
  const memory = evidence.memories[0];
  if (!memory || evidence.memories.length > 1)
    throw new EnvironmentError('tools', 'benches run programs with one memory');
  return {
    name,
    bytes: compiled.bytes.length,
    run(args) {
      const shared = theSpace();
      const view = new DataView(shared.buffer);
      new Uint8Array(shared.buffer, BASE, used).fill(0);
      view.setUint32(FLAG_ADDRESS, 0, true);
      const own = options.isolate ? undefined : ownMemory(memory);
      const wasi = new BenchWasi(args);
      let limit: WebAssembly.Global | undefined;
      const grow = (_memory: number, delta: bigint): bigint => {
        const bytes = BigInt(limit!.value as bigint);
        const wanted = bytes + (delta << 16n);
        if (delta < 0n || wanted > BigInt(MOST_BYTES - evidence.controlBytes)) return -1n;
        limit!.value = wanted;
        if (own !== undefined) {
          own.grow(Number(delta));
          return bytes >> 16n;
        }
        used = Math.max(used, Number(wanted) + evidence.controlBytes);
        return bytes >> 16n;
      };
      const { exports } = new WebAssembly.Instance(module, {
        ...wasi.imports(module),
        perdure: { ...systemImports(shared, grow), ...(own ? { memory0: own } : {}) },
      } as WebAssembly.Imports);
      const global = (key: string): WebAssembly.Global => exports[key] as WebAssembly.Global;
      limit = global(`${EXPORT.limit}0`);
      limit.value = BigInt(memory.min) << 16n;
      used = Math.max(used, memory.min * FRAME_BYTES + evidence.controlBytes);
      global(EXPORT.hdr).value = BigInt(BASE);
      (exports[EXPORT.init] as () => void)();
      if (own) wasi.attach(() => own.buffer);
      else wasi.attach(() => shared.buffer, BASE + evidence.controlBytes);
      const result = timed(wasi, startOf(exports, GUEST_EXPORT));
      if (!options.count) return result;
      return { ...result, counts: PROOFS.map((_, n) => Number(global(COUNTER_EXPORT + n).value)) };
    },
  };
}

function ownMemory(memory: { min: number; max: number; is64: boolean; shared: boolean }): WebAssembly.Memory {
  return new WebAssembly.Memory({
    initial: memory.min,
    ...(memory.max >= 0 ? { maximum: memory.max } : {}),
    shared: memory.shared,
  });
}

/** The system's side, as far as code that is never stopped asks for it. */
function systemImports(
  shared: WebAssembly.Memory,
  grow: (memory: number, delta: bigint) => bigint,
): Record<string, unknown> {
  const never = (): never => {
    throw new Error('nothing is suspended in a bench');
  };
  return {
    space: shared,
    unwind: new WebAssembly.Tag({ parameters: [] }),
    grow,
    rethrow: never,
    stack: never,
    wait: () => 2,
    notify: () => 0,
    ref_index: never,
    extern_id: never,
    extern_of: never,
    ref_of: never,
    window: noWindow,
  };
}

const MODULE_START = 'bench start';

/**
 * The program with its start function, if it has one, as an export instead: the kernel calls that of a rewritten
 * module by other means, and here all variants are to be started alike.
 */
function withoutStart(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes);
  if (module.start === undefined) return bytes;
  const exported = { name: MODULE_START, kind: 'func', index: module.start } as const;
  return encodeModule({ ...module, start: undefined, exports: [...module.exports, exported] });
}

/** The program as users run it, but counting its accesses. */
export function makeCounted(program: Uint8Array): Variant {
  const options = { isolate: true, suspend: true, track: true, count: true };
  return rewritten('both', withoutStart(program), options);
}

/** Makes a variant; Asyncify's can take a while the first time. */
export async function makeVariant(name: VariantName, program: Uint8Array): Promise<Variant> {
  const bytes = withoutStart(program);
  switch (name) {
    case 'plain':
      return plain(name, bytes);
    case 'isolation':
      return rewritten(name, bytes, { isolate: true, suspend: false, track: false });
    case 'suspend':
      return rewritten(name, bytes, { isolate: false, suspend: true, track: false });
    case 'alone':
      return rewritten(name, bytes, ALONE);
    case 'both':
      return rewritten(name, bytes, { isolate: true, suspend: true, track: true });
    case 'windows':
      return rewritten(name, bytes, { isolate: true, suspend: true, track: true, windows: true });
    case 'asyncify':
      return plain(name, await asyncified(bytes));
  }
}

/** Nothing is mapped. */
function noWindow(): never {
  throw new WebAssembly.RuntimeError('memory access out of bounds');
}
