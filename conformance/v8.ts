/**
 * Plain V8 as an engine under test: the baseline that proves the runner, and the helpers that any engine running its
 * programs on V8 can use: telling traps apart, calling with exact bits.
 */
import { adapt, type Raw, readGlobal } from './adapter.ts';
import {
  type Engine,
  Incapable,
  type Instance,
  LinkFailure,
  type Outcome,
  RefusedModule,
  StartFailure,
  type TrapKind,
} from './engine.ts';
import type { Value } from './script.ts';
import { type ExportType, exportTypes, VALUE_TYPES } from './signatures.ts';

/** V8's messages, in the order they are tried. */
const TRAPS: readonly (readonly [RegExp, TrapKind])[] = [
  [/^unreachable/, 'unreachable'],
  [/memory access out of bounds|data segment/, 'memory'],
  [/table index is out of bounds|table (access )?(is )?out of bounds|element segment|table index/, 'table'],
  [/null function or function signature|function signature mismatch/, 'indirect'],
  [/dereferencing a null pointer|illegal cast|rethrowing null/, 'null'],
  [/(divide|remainder) by zero/, 'divide'],
  [/divide result unrepresentable/, 'overflow'],
  [/float unrepresentable in integer range/, 'conversion'],
  [/unaligned/, 'unaligned'],
];

/** What a thrown value means: a trap of V8's, an exhausted stack, or an exception of the program. Bugs go on up. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof WebAssembly.RuntimeError) {
    const trap = TRAPS.find(([pattern]) => pattern.test(error.message))?.[1] ?? 'other';
    return { kind: 'trap', trap, message: error.message };
  }
  if (error instanceof RangeError && /call stack/.test(error.message))
    return { kind: 'trap', trap: 'exhausted', message: error.message };
  if (error instanceof WebAssembly.Exception) return { kind: 'exception' };
  throw error;
}

/** References of the host are objects that carry the script's number. */
const hosts = new Map<number, object>();
const numbers = new WeakMap<object, number>();
function host(n: number): object {
  let object = hosts.get(n);
  if (!object) {
    object = { host: n };
    hosts.set(n, object);
    numbers.set(object, n);
  }
  return object;
}

/** A script's value as an adapter takes it. */
export function toRaw(value: Value): Raw {
  if (value.type !== 'ref') return value.bits;
  if (value.value === 'null') return { reference: null };
  if (value.value === 'some') throw new Incapable('a reference without a number cannot be passed');
  return { reference: host(value.value) };
}

/** An adapter's value as a script's. */
export function fromRaw(raw: Raw, type: number): Value {
  const name = VALUE_TYPES[type]!;
  if (typeof raw === 'bigint') return { type: name as 'i32', bits: raw };
  const heap = name.replace(/ref$/, '');
  const { reference } = raw;
  if (reference === null) return { type: 'ref', heap, value: 'null' };
  const number = typeof reference === 'object' ? numbers.get(reference) : undefined;
  return { type: 'ref', heap, value: number ?? 'some' };
}

/** Calls an export of V8 with exact bits and says how it went. */
export function invokeExport(f: unknown, type: ExportType | undefined, args: readonly Value[]): Outcome {
  if (type?.kind !== 'func') throw new Incapable('the type of this function is beyond the adapters');
  const call = adapt(f, type);
  const raw = args.map(toRaw);
  try {
    const results = call(raw);
    return { kind: 'values', values: results.map((r, i) => fromRaw(r, type.results[i]!)) };
  } catch (error) {
    return outcomeOf(error);
  }
}

/** The value of an exported global of V8's. */
export function globalValue(global: unknown, type: ExportType | undefined): Value {
  if (type?.kind !== 'global' || type.value === 0)
    throw new Incapable('the type of this global is beyond the adapters');
  return fromRaw(readGlobal(global, type), type.value);
}

interface Compiled {
  readonly module: WebAssembly.Module;
  readonly bytes: Uint8Array;
}

export function v8Engine(): Engine {
  return {
    name: 'v8',
    compile(bytes): Compiled {
      try {
        return { module: new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), bytes };
      } catch (error) {
        if (error instanceof WebAssembly.CompileError) throw new RefusedModule(error.message);
        throw error;
      }
    },
    instantiate(compiled, resolve): Instance {
      const { module, bytes } = compiled as Compiled;
      const imports: Record<string, Record<string, unknown>> = {};
      for (const { module: from, name } of WebAssembly.Module.imports(module)) {
        imports[from] ??= {};
        imports[from][name] = resolve(from, name);
      }
      const types = exportTypes(bytes);
      let instance: WebAssembly.Instance;
      try {
        instance = new WebAssembly.Instance(module, imports as WebAssembly.Imports);
      } catch (error) {
        if (error instanceof WebAssembly.LinkError || error instanceof TypeError)
          throw new LinkFailure(error.message);
        throw new StartFailure(outcomeOf(error));
      }
      const exports = instance.exports as Record<string, unknown>;
      return {
        export: (name) => exports[name],
        invoke: (name, args) => invokeExport(exports[name], types.get(name), args),
        global: (name) => globalValue(exports[name], types.get(name)),
      };
    },
  };
}
