/**
 * Calls WebAssembly functions with exact bits. JavaScript cannot pass a v128, and passing a float NaN through a number
 * may change it; so each signature gets a small generated module that takes its arguments from a memory and two
 * tables, calls the function, and puts the results back there.
 *
 *   const call = adapt(f, type)         f: a WebAssembly export; type: from signatures.ts
 *   const results = call(args)          throws what f throws
 *   const value = readGlobal(global, type)
 */
import type { ExportType } from './signatures.ts';
import { VALUE_TYPES } from './signatures.ts';

/** What goes over: the bits of a number or vector, or a reference as JavaScript sees it. */
export type Raw = bigint | { readonly reference: unknown };
type FuncType = Extract<ExportType, { kind: 'func' }>;

const SLOTS = 64;
const memory = new WebAssembly.Memory({ initial: 1 });
const externs = new WebAssembly.Table({ element: 'externref', initial: SLOTS });
const functions = new WebAssembly.Table({ element: 'anyfunc', initial: SLOTS });
const view = new DataView(memory.buffer);
const modules = new Map<string, WebAssembly.Module>();

const LOADS: Readonly<Record<string, readonly number[]>> = {
  i32: [0x28, 2],
  i64: [0x29, 3],
  f32: [0x2a, 2],
  f64: [0x2b, 3],
  v128: [0xfd, 0, 4],
};
const STORES: Readonly<Record<string, readonly number[]>> = {
  i32: [0x36, 2],
  i64: [0x37, 3],
  f32: [0x38, 2],
  f64: [0x39, 3],
  v128: [0xfd, 11, 4],
};

function leb(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...leb(Math.floor(n / 128))];
}
/** i32.const of a number that is not negative. */
function constant(n: number): number[] {
  return n < 0x40
    ? [0x41, n]
    : [0x41, (n & 0x7f) | 0x80, ...(n >> 7 < 0x40 ? [n >> 7] : [((n >> 7) & 0x7f) | 0x80, n >> 14])];
}
function text(s: string): number[] {
  return [s.length, ...Buffer.from(s)];
}
function section(id: number, body: readonly number[]): number[] {
  return [id, ...leb(body.length), ...body];
}

function load(type: number, slot: number): number[] {
  const name = VALUE_TYPES[type]!;
  if (name === 'externref') return [...constant(slot), 0x25, 0];
  if (name === 'funcref') return [...constant(slot), 0x25, 1];
  if (name === 'exnref') return [0xd0, 0x69];
  return [...constant(slot * 16), ...LOADS[name]!, 0];
}

/** Stores a value that `push` leaves on the stack. Of an exnref only whether it is null can be told. */
function store(type: number, slot: number, push: readonly number[]): number[] {
  const name = VALUE_TYPES[type]!;
  if (name === 'externref') return [...constant(slot), ...push, 0x26, 0];
  if (name === 'funcref') return [...constant(slot), ...push, 0x26, 1];
  if (name === 'exnref') return [...constant(slot * 16), ...push, 0xd1, ...STORES.i32!, 0];
  return [...constant(slot * 16), ...push, ...STORES[name]!, 0];
}

const SHARED_IMPORTS = [
  [...text('a'), ...text('m'), 2, 0, 1],
  [...text('a'), ...text('e'), 1, 0x6f, 0, SLOTS],
  [...text('a'), ...text('r'), 1, 0x70, 0, SLOTS],
];

function build(
  types: readonly number[][],
  subject: readonly number[],
  locals: readonly number[],
  code: readonly number[],
): WebAssembly.Module {
  const imports = [...SHARED_IMPORTS, [...text('a'), ...text('f'), ...subject]];
  const declared = [...leb(locals.length), ...locals.flatMap((t) => [1, t])];
  const body = [...declared, ...code, 0x0b];
  const own = subject[0] === 0 ? 1 : 0; // the adapter's index comes after an imported function
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(1, [...leb(types.length), ...types.flat()]),
      ...section(2, [...leb(imports.length), ...imports.flat()]),
      ...section(3, [1, types.length - 1]),
      ...section(7, [1, ...text('c'), 0, own]),
      ...section(10, [1, ...leb(body.length), ...body]),
    ]),
  );
}

function callModule(type: FuncType): WebAssembly.Module {
  const { params, results } = type;
  const key = `${params.join()}>${results.join()}`;
  let module = modules.get(key);
  if (!module) {
    const pops = results.map((_, i) => [0x21, ...leb(i)]).reverse();
    const stores = results.map((t, i) => store(t, i, [0x20, ...leb(i)]));
    const subject = [0x60, ...leb(params.length), ...params, ...leb(results.length), ...results];
    const code = [...params.flatMap(load), 0x10, 0, ...pops.flat(), ...stores.flat()];
    module = build([subject, [0x60, 0, 0]], [0, 0], results, code);
    modules.set(key, module);
  }
  return module;
}

function put(type: number, slot: number, raw: Raw): void {
  if (typeof raw === 'bigint') {
    view.setBigUint64(slot * 16, BigInt.asUintN(64, raw), true);
    view.setBigUint64(slot * 16 + 8, raw >> 64n, true);
  } else if (VALUE_TYPES[type] === 'externref') externs.set(slot, raw.reference);
  else if (VALUE_TYPES[type] === 'funcref') functions.set(slot, raw.reference);
}

const WIDTHS: Readonly<Record<string, number>> = { i32: 32, f32: 32, i64: 64, f64: 64, v128: 128 };

function take(type: number, slot: number): Raw {
  const name = VALUE_TYPES[type]!;
  if (name === 'externref') return { reference: externs.get(slot) };
  if (name === 'funcref') return { reference: functions.get(slot) };
  if (name === 'exnref') return { reference: view.getUint32(slot * 16, true) === 1 ? null : 'an exception' };
  const bits = view.getBigUint64(slot * 16, true) | (view.getBigUint64(slot * 16 + 8, true) << 64n);
  return BigInt.asUintN(WIDTHS[name]!, bits);
}

function instantiate(module: WebAssembly.Module, f: unknown): () => void {
  const imports = { a: { m: memory, e: externs, r: functions, f } } as WebAssembly.Imports;
  return new WebAssembly.Instance(module, imports).exports.c as () => void;
}

/** A way to call `f` with exact bits. */
export function adapt(f: unknown, type: FuncType): (args: readonly Raw[]) => Raw[] {
  const call = instantiate(callModule(type), f);
  return (args) => {
    type.params.forEach((t, i) => {
      put(t, i, args[i]!);
    });
    call();
    return type.results.map(take);
  };
}

/** The value of an exported global, exactly. */
export function readGlobal(global: unknown, type: Extract<ExportType, { kind: 'global' }>): Raw {
  const key = `global ${type.value} ${type.mutable}`;
  let module = modules.get(key);
  if (!module) {
    const subject = [3, type.value, type.mutable ? 1 : 0];
    module = build([[0x60, 0, 0]], subject, [], store(type.value, 0, [0x23, 0]));
    modules.set(key, module);
  }
  instantiate(module, global)();
  return take(type.value, 0);
}
