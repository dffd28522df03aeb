/**
 * Perdure as an engine under test: each module goes through compiler and verifier and becomes a domain of one space
 * a script. With `unwind` every safepoint unwinds: the whole call stack is saved in the space and resumed from there,
 * at every call, loop and entry.
 *
 * What scripts link across modules: functions are called through (the callee runs to its end inside the call),
 * globals, tables and tags are shared by JavaScript; a memory is never shared, since a domain's memory is its own.
 */
import { createHash } from 'node:crypto';
import type { FunctionShape } from '../src/abi/program.ts';
import { EnvironmentError, MalformedError, RefusedError } from '../src/base/errors.ts';
import { compile, FULL, programInfo, trapKind } from '../src/compiler/index.ts';
import type { Caller, ImportValue, Personality, SystemCall } from '../src/kernel/index.ts';
import {
  Kernel,
  type Outcome as KernelOutcome,
  type LoadedModule,
  ProgramTrapError,
  type RawValue,
} from '../src/kernel/index.ts';
import { Space } from '../src/space/index.ts';
import { verify } from '../src/verifier/verify.ts';
import { CODES } from './codes.ts';
import {
  type Engine,
  type Extern,
  type Imports,
  Incapable,
  type Instance,
  LinkFailure,
  type Outcome,
  RefusedModule,
  StartFailure,
  type TrapKind,
} from './engine.ts';
import type { Value } from './script.ts';
import { type ExportType, exportTypes } from './signatures.ts';
import { fromRaw, globalValue, toRaw } from './v8.ts';

/** The kernel's reasons are the specification's words. */
const TRAPS: readonly (readonly [RegExp, TrapKind])[] = [
  [/^unreachable/, 'unreachable'],
  [/out of bounds memory access/, 'memory'],
  [/undefined element|out of bounds table access|table index is out of bounds/, 'table'],
  [/indirect call type mismatch|uninitialized element/, 'indirect'],
  [/null/, 'null'],
  [/integer divide by zero/, 'divide'],
  [/unrepresentable in integer range/, 'conversion'],
  [/integer overflow/, 'overflow'],
  [/unaligned/, 'unaligned'],
  [/call stack exhausted/, 'exhausted'],
];
const trapOf = (reason: string): Outcome => ({
  kind: 'trap',
  trap: TRAPS.find(([pattern]) => pattern.test(reason))?.[1] ?? 'other',
  message: reason,
});

interface Loaded {
  readonly module: LoadedModule;
  readonly bytes: Uint8Array;
}

/** What one module's imports are while it is made. */
class Linker implements Personality {
  resolveExtern: Imports = () => undefined;
  readonly kernel: () => Kernel;
  constructor(kernel: () => Kernel) {
    this.kernel = kernel;
  }
  resolve(module: string, name: string, shape: FunctionShape): SystemCall | undefined {
    const extern = this.resolveExtern(module, name);
    if (!(extern instanceof DomainFunction) || !sameShape(extern.shape, shape)) return undefined;
    const { call } = extern;
    return (caller: Caller, ...args: ImportValue[]): ImportValue => {
      // The callee is a quick function run inside this call: it must not unwind through it.
      this.kernel().core.clearFlag();
      try {
        return call(...args);
      } catch (error) {
        if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError)
          return caller.trap(trapKind(error.message));
        throw error;
      }
    };
  }
  provide(module: string, name: string): WebAssembly.ExternValue | undefined {
    const extern = this.resolveExtern(module, name);
    return extern instanceof DomainFunction ? undefined : (extern as WebAssembly.ExternValue | undefined);
  }
}

/** An exported function, with the type JavaScript does not tell. */
class DomainFunction {
  readonly call: (...args: ImportValue[]) => ImportValue;
  readonly shape: FunctionShape;
  constructor(call: (...args: ImportValue[]) => ImportValue, shape: FunctionShape) {
    this.call = call;
    this.shape = shape;
  }
}

const sameShape = (a: FunctionShape, b: FunctionShape): boolean =>
  a.params.join() === b.params.join() && a.results.join() === b.results.join();

/** @param windows programs are compiled as if they could map segments, though they map none */
export function perdureEngine(unwind: boolean, windows = false): Engine {
  let kernel: Kernel;
  let names = 0;
  const linker = new Linker(() => kernel);
  const reset = (): void => {
    const powers = { monotonicNs: () => process.hrtime.bigint(), threadCpuMicros: () => 0 };
    kernel = new Kernel(Space.create({ id: new Uint8Array(16) }), {
      powers,
      personality: linker,
      stress: unwind,
      // Unwound at every call, runaway recursion fills this frame by frame.
      frameStackBytes: 4 << 20,
    });
  };
  reset();
  return {
    name: unwind ? 'perdure, unwound at every safepoint' : 'perdure',
    compile: (bytes) => load(bytes, windows),
    reset,
    instantiate(loaded, resolve): Instance {
      const { module, bytes } = loaded as Loaded;
      checkMemories(module, resolve);
      linker.resolveExtern = resolve;
      let id: number;
      try {
        // A module can be instantiated again with other imports: each instance is a program of its own.
        id = kernel.createDomain({
          name: `m${names++}`,
          module: { ...module },
          volatile: true,
          resident: true,
        });
      } catch (error) {
        if (error instanceof ProgramTrapError) throw new StartFailure(trapOf(error.message));
        if (
          error instanceof EnvironmentError ||
          error instanceof WebAssembly.LinkError ||
          error instanceof TypeError
        )
          throw new LinkFailure((error as Error).message);
        throw error;
      }
      const start = outcomeOf(kernel, id, kernel.initialize(id));
      if (start.kind !== 'values') throw new StartFailure(start);
      return new DomainInstance(kernel, id, module, exportTypes(bytes));
    },
  };
}

function load(bytes: Uint8Array, windows: boolean): Loaded {
  try {
    const options = { ...FULL, windows };
    const compiled = compile(bytes, options);
    verify(compiled.bytes);
    const module: LoadedModule = {
      hash: createHash('sha256').update(bytes).digest('hex'),
      program: new WebAssembly.Module(compiled.bytes),
      evidence: compiled.evidence,
      info: programInfo(bytes, compiled.bytes, options),
    };
    return { module, bytes };
  } catch (error) {
    if (error instanceof RefusedError)
      throw new Error(`the verifier refuses what the compiler made: ${error.message}`);
    if (error instanceof MalformedError) throw new RefusedModule(error.message);
    throw error;
  }
}

/** A memory is made by the kernel, but a script asks whether the one it names would fit. */
function checkMemories(module: LoadedModule, resolve: Imports): void {
  for (const { imported, min, max, shared, is64 } of module.evidence.memories) {
    if (imported === null) continue;
    const extern = resolve(imported[0], imported[1]);
    if (!(extern instanceof DomainMemory)) throw new LinkFailure(`no memory ${imported.join('.')}`);
    const fits =
      extern.pages() >= min &&
      (max < 0 || (extern.max >= 0 && extern.max <= max)) &&
      extern.shared === shared &&
      extern.is64 === is64;
    if (!fits) throw new LinkFailure(`memory ${imported.join('.')} is of another type`);
  }
}

/** What a module exports when it exports a memory: its type. */
class DomainMemory {
  readonly pages: () => number;
  readonly max: number;
  readonly shared: boolean;
  readonly is64: boolean;
  constructor(pages: () => number, max: number, shared: boolean, is64: boolean) {
    this.pages = pages;
    this.max = max;
    this.shared = shared;
    this.is64 = is64;
  }
}

function outcomeOf(kernel: Kernel, id: number, outcome: KernelOutcome): Outcome {
  switch (outcome.kind) {
    case 'returned':
      return { kind: 'values', values: outcome.results.map((raw) => toValue(kernel, id, raw)) };
    case 'trap':
      return trapOf(outcome.reason);
    case 'exception':
      return { kind: 'exception' };
    default:
      throw new Incapable(`a call ended with ${outcome.kind}`);
  }
}

function toValue(kernel: Kernel, id: number, raw: RawValue): Value {
  if (CODES.references.includes(raw.type))
    return fromRaw({ reference: kernel.fromReference(id, raw) as object | null }, raw.type);
  const bits = (raw.high << 64n) | raw.low;
  const narrow = raw.type === CODES.i32 || raw.type === CODES.f32;
  return fromRaw(narrow ? BigInt.asUintN(32, bits) : bits, raw.type);
}

class DomainInstance implements Instance {
  readonly #kernel: Kernel;
  readonly #id: number;
  readonly #module: LoadedModule;
  readonly #types: Map<string, ExportType | undefined>;

  constructor(kernel: Kernel, id: number, module: LoadedModule, types: Map<string, ExportType | undefined>) {
    this.#kernel = kernel;
    this.#id = id;
    this.#module = module;
    this.#types = types;
  }

  export(name: string): Extern | undefined {
    const memory = this.#module.info.exportedMemory(name);
    const declared = this.#module.evidence.memories[memory];
    if (declared) {
      const { max, shared, is64 } = declared;
      const limit = this.#kernel.instance(this.#id).exports[`k:limit${memory}`] as WebAssembly.Global;
      return new DomainMemory(() => Number((limit.value as bigint) >> 16n), max, shared, is64);
    }
    const value = this.#kernel.instance(this.#id).exports[`g:${name}`];
    const index = this.#module.info.exportedFunction(name);
    if (index < 0) return value;
    const call = value as unknown as (...args: ImportValue[]) => ImportValue;
    return new DomainFunction(call, this.#module.info.functionShape(index));
  }

  invoke(name: string, args: readonly Value[]): Outcome {
    const type = this.#types.get(name);
    if (type?.kind !== 'func') throw new Incapable('the type of this function is beyond the adapters');
    const raws = args.map((value, i): RawValue => {
      const raw = toRaw(value);
      const code = type.params[i]!;
      if (typeof raw === 'bigint') return { type: code, low: BigInt.asUintN(64, raw), high: raw >> 64n };
      const kept = this.#kernel.toReference(this.#id, code, raw.reference);
      if (kept === null) throw new Incapable('a reference this domain cannot keep');
      return kept;
    });
    return outcomeOf(this.#kernel, this.#id, this.#kernel.invoke(this.#id, name, raws));
  }

  global(name: string): Value {
    return globalValue(this.#kernel.instance(this.#id).exports[`g:${name}`], this.#types.get(name));
  }
}
