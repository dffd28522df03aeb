/**
 * `perdure describe`: what a program wants and what it offers, from the program alone. Nothing is installed and nothing of it is
 * run; it is compiled and verified as an installation would, to tell whether that would refuse it, and where.
 */
import { createHash } from 'node:crypto';
import { GATE_EXPORT, parseProcedure } from '../abi/gate.ts';
import { COMPILER_MODULE } from '../abi/made.ts';
import { KERNEL_MODULE } from '../abi/objects.ts';
import type { FunctionShape } from '../abi/program.ts';
import { MalformedError } from '../base/errors.ts';
import { Kernel } from '../kernel/index.ts';
import { hasSignature } from '../personalities/wasi/index.ts';
import { Space } from '../space/index.ts';
import { decodeModule, type Module } from '../wasm/module.ts';
import { decodeProducers } from '../wasm/producers.ts';
import { valueTypeName } from '../wasm/types.ts';
import type { Parsed } from './args.ts';
import { installProgram } from './install.ts';
import { Progress } from './output.ts';
import { readProgram } from './request.ts';
import { descriptionPage } from './show-program.ts';
import { EXIT } from './types.ts';

const FRAME = 65536;
const ENTRIES = ['exclusive', 'nested', 'concurrent'] as const;
const WASI_MODULES = ['wasi_snapshot_preview1', 'wasi_unstable'];

/** Some of what a program imports, under what people call it. */
export interface Part {
  readonly part: string;
  readonly functions: readonly string[];
}

export interface MemoryDescription {
  readonly minBytes: number;
  /** As it says itself; null where it says nothing. */
  readonly maxBytes: number | null;
  readonly shared: boolean;
}

export interface ProcedureDescription {
  readonly name: string;
  /** "(i32, i64) -> i32" */
  readonly type: string;
}

/** A procedure that it calls, of what it is to be granted: the domain `grant`, or the gate `grant.name`. */
export interface GateWish extends ProcedureDescription {
  readonly grant: string;
}

/** A procedure that it offers to other programs. */
export interface OfferDescription extends ProcedureDescription {
  /** Who may come in while somebody is inside. */
  readonly entry: 'exclusive' | 'nested' | 'concurrent';
  /** Indices of the parameters and results that are capabilities. */
  readonly capabilityParams: readonly number[];
  readonly capabilityResults: readonly number[];
}

export interface ProgramDescription {
  readonly sha256: string;
  readonly bytes: number;
  readonly languages: readonly string[];
  readonly tools: readonly string[];
  /** What runs first: the export `_start`, a start function, or nothing, as with programs that are only called. */
  readonly starts: readonly string[];
  readonly memories: readonly MemoryDescription[];
  readonly wants: {
    readonly wasi: readonly Part[];
    readonly kernel: readonly Part[];
    readonly gates: readonly GateWish[];
    /** It makes code while it runs. */
    readonly compiler: boolean;
    /** What nobody supplies, with kind or type. */
    readonly unknown: readonly string[];
  };
  readonly offers: {
    readonly procedures: readonly OfferDescription[];
    /** Other functions that it exports, for whoever embeds it. */
    readonly functions: readonly ProcedureDescription[];
  };
  /** Why it cannot be installed, and so would not persist; null where it can. `offset`: in the program, -1 where none applies. */
  readonly refused: { readonly message: string; readonly offset: number } | null;
}

/** Parts of WASI by how the names of their functions begin, the first that fits. */
const WASI_PARTS: readonly (readonly [RegExp, string])[] = [
  [/^args_/, 'its arguments'],
  [/^environ_/, 'its environment'],
  [/^clock_/, 'the clocks'],
  [/^random_/, 'random numbers'],
  [/^fd_(prestat|readdir)|^path_/, 'files and folders'],
  [/^fd_/, 'its streams and open files'],
  [/^sock_/, 'sockets'],
  [/^poll_/, 'waiting'],
  [/^(proc_exit|proc_raise|sched_)/, 'ending itself and giving way'],
];
const KERNEL_PARTS: readonly (readonly [RegExp, string])[] = [
  [/^(cap_|caps$|granted)/, 'capabilities'],
  [/^(sem_|wait_any)/, 'semaphores'],
  [/^waitset_/, 'wait sets'],
  [/^account_/, 'accounts'],
  [/^ring_/, 'rings'],
  [/^(table_|request_)/, 'serving objects'],
  [/^seg_/, 'segments'],
  [/^(gate_|activation_end)/, 'gates'],
  [/^(domain|program|activation)_/, 'domains'],
  [/^kind_/, 'kinds of capability'],
  [/^sturdy_/, 'sturdy references'],
];

export async function runDescribe(parsed: Parsed): Promise<number> {
  const [file] = parsed.positionals as [string];
  const description = await describeProgram(readProgram(file));
  const text = parsed.flags.has('json')
    ? `${JSON.stringify({ file, ...description }, null, 2)}\n`
    : descriptionPage(file, description);
  process.stdout.write(text);
  return description.refused === null && description.wants.unknown.length === 0 ? 0 : EXIT.refused;
}

/** Of a module that may be anything. */
export async function describeProgram(bytes: Uint8Array): Promise<ProgramDescription> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  let module: Module;
  let shapes: readonly FunctionShape[];
  let offers: ProgramDescription['offers'];
  try {
    module = decodeModule(bytes);
    shapes = functionShapes(module);
    offers = offersOf(module, shapes);
  } catch (error) {
    return { ...NOTHING, sha256, bytes: bytes.length, refused: refusalOf(error) };
  }
  return {
    sha256,
    bytes: bytes.length,
    ...decodeProducers(module.customs),
    starts: startsOf(module),
    memories: memoriesOf(module),
    wants: wantsOf(module, shapes),
    offers,
    refused: await refusal(sha256, bytes),
  };
}

const NOTHING = {
  languages: [],
  tools: [],
  starts: [],
  memories: [],
  wants: { wasi: [], kernel: [], gates: [], compiler: false, unknown: [] },
  offers: { procedures: [], functions: [] },
};

function refusalOf(error: unknown): { message: string; offset: number } {
  if (!(error instanceof MalformedError)) throw error;
  return { message: error.message, offset: error.offset };
}

async function refusal(hash: string, bytes: Uint8Array): Promise<ProgramDescription['refused']> {
  const progress = new Progress(true);
  try {
    await installProgram(hash, bytes, 'space', (text) => progress.step(text));
    return null;
  } catch (error) {
    return refusalOf(error);
  } finally {
    progress.done();
  }
}

/** Types of all functions by index; of a type that is not there, nothing goes in or out. */
function functionShapes(module: Module): FunctionShape[] {
  const imported = module.imports.flatMap((item) => (item.kind === 'func' ? [item.type] : []));
  return [...imported, ...module.functions].map((type) => module.types[type] ?? { params: [], results: [] });
}

const showShape = ({ params, results }: FunctionShape): string =>
  `(${params.map(valueTypeName).join(', ')})${results.length === 0 ? '' : ` -> ${results.map(valueTypeName).join(', ')}`}`;

function startsOf(module: Module): string[] {
  const exported = ['_initialize', '_start'].filter((name) =>
    module.exports.some((item) => item.kind === 'func' && item.name === name),
  );
  return [...(module.start === undefined ? [] : ['its start function']), ...exported];
}

function memoriesOf(module: Module): MemoryDescription[] {
  const imported = module.imports.flatMap((item) => (item.kind === 'memory' ? [item.memory] : []));
  return [...imported, ...module.memories].map(({ min, max, shared }) => ({
    minBytes: Number(min) * FRAME,
    maxBytes: max === undefined ? null : Number(max) * FRAME,
    shared,
  }));
}

function wantsOf(module: Module, shapes: readonly FunctionShape[]): ProgramDescription['wants'] {
  const [wasi, kernel, unknown] = [[] as string[], [] as string[], [] as string[]];
  const gates: GateWish[] = [];
  let compiler = false;
  let index = 0;
  const calls = kernelCalls();
  for (const item of module.imports) {
    const { module: from, name } = item;
    if (item.kind !== 'func') {
      unknown.push(`${from}.${name} (${item.kind})`);
      continue;
    }
    const shape = shapes[index++] as FunctionShape;
    if (from === COMPILER_MODULE) compiler = true;
    else if (WASI_MODULES.includes(from) && hasSignature(name, shape.params, shape.results)) wasi.push(name);
    else if (from === KERNEL_MODULE && calls.resolve(name, shape) !== undefined) kernel.push(name);
    else if (isGate(from, name, shape)) gates.push({ grant: from, name, type: showShape(shape) });
    else unknown.push(`${from}.${name} ${showShape(shape)}`);
  }
  return {
    wasi: partsOf(wasi, WASI_PARTS),
    kernel: kernelParts(kernel),
    gates,
    compiler,
    unknown,
  };
}

/** What the kernel offers: asked of one that runs nothing. */
export function kernelCalls(): Kernel['core']['calls'] {
  const powers = { monotonicNs: () => 0n, threadCpuMicros: () => 0 };
  return new Kernel(Space.create(), { powers, personality: { resolve: () => undefined } }).core.calls;
}

/** What calls of the kernel are about. */
export const kernelParts = (functions: readonly string[]): Part[] => partsOf(functions, KERNEL_PARTS);

function partsOf(functions: readonly string[], table: readonly (readonly [RegExp, string])[]): Part[] {
  const parts = new Map<string, string[]>();
  for (const name of functions) {
    const part = table.find(([pattern]) => pattern.test(name))?.[1] ?? 'other calls';
    parts.set(part, [...(parts.get(part) ?? []), name]);
  }
  return [...parts].map(([part, list]) => ({ part, functions: list }));
}

/** Whether an import could be a procedure of another domain: what is neither the system's nor of a type that cannot cross. */
function isGate(from: string, name: string, shape: FunctionShape): boolean {
  if (WASI_MODULES.includes(from) || from === KERNEL_MODULE) return false;
  try {
    return parseProcedure(GATE_EXPORT + name, shape)?.name === name;
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return false;
  }
}

/** @throws MalformedError for an export that says of a procedure what cannot be */
function offersOf(module: Module, shapes: readonly FunctionShape[]): ProgramDescription['offers'] {
  const procedures: OfferDescription[] = [];
  const functions: ProcedureDescription[] = [];
  for (const item of module.exports) {
    if (item.kind !== 'func') continue;
    const shape = shapes[item.index] ?? { params: [], results: [] };
    const procedure = parseProcedure(item.name, shape);
    if (procedure === null) {
      functions.push({ name: item.name, type: showShape(shape) });
      continue;
    }
    const { name, capabilityParams, capabilityResults } = procedure;
    const entry = ENTRIES[procedure.entry] ?? 'exclusive';
    procedures.push({ name, type: showShape(shape), entry, capabilityParams, capabilityResults });
  }
  return { procedures, functions };
}
