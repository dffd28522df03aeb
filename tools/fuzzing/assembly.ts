/**
 * Rewritten modules made by hand, byte by byte, for tests of the verifier: the contract of abi/ without the compiler.
 * `assemble(parts)` lays out imports, prelude, wrappers and quick functions as the compiler would; the code of
 * functions is written with the small words below. Nothing is checked here: tests make broken modules with it too.
 */
import { EVIDENCE_SECTION, EVIDENCE_VERSION, type Evidence, encodeEvidence } from '../../src/abi/evidence.ts';
import { HINTS_SECTION, type LimitLocal, type LoopHint } from '../../src/abi/hints.ts';
import type { TemplateFunction } from '../../src/abi/prelude.ts';
import {
  copyTemplate,
  fillTemplate,
  frameTemplate,
  initTemplate,
  PRELUDE_ORDER,
  preludeFunctions,
  windowTemplate,
} from '../../src/abi/prelude.ts';
import { SYSTEM_IMPORTS } from '../../src/abi/system.ts';
import { pushSigned, pushUnsigned } from '../../src/base/leb.ts';
import { SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../../src/base/limits.ts';
import { encodeHints } from '../../src/compiler/hints.ts';

export const I32 = 0x7f;
export const I64 = 0x7e;
export const FUNCREF = 0x70;
export const H = 65536;

export function u(value: number | bigint): number[] {
  const out: number[] = [];
  pushUnsigned(out, value);
  return out;
}
export function s(value: number | bigint): number[] {
  const out: number[] = [];
  pushSigned(out, value);
  return out;
}

// Words for code.
export const get = (local: number): number[] => [0x20, ...u(local)];
export const set = (local: number): number[] => [0x21, ...u(local)];
export const tee = (local: number): number[] => [0x22, ...u(local)];
export const global = (index: number): number[] => [0x23, ...u(index)];
export const i32 = (value: number): number[] => [0x41, ...s(value)];
export const i64 = (value: number | bigint): number[] => [0x42, ...s(value)];
export const access = (code: number | number[], offset: number | bigint): number[] => [
  ...[code].flat(),
  0,
  ...u(offset),
];
export const call = (index: number): number[] => [0x10, ...u(index)];
export const br = (label: number): number[] => [0x0c, ...u(label)];
export const brIf = (label: number): number[] => [0x0d, ...u(label)];
export const BLOCK = [0x02, 0x40];
export const LOOP = [0x03, 0x40];
export const IF = [0x04, 0x40];
export const ELSE = 0x05;
export const END = 0x0b;
export const UNREACHABLE = 0x00;
export const RETURN = 0x0f;
export const DROP = 0x1a;
export const ADD = 0x7c;
export const GT_U = 0x56;
export const OR = 0x72;
export const SHR_U = 0x88;
export const EXTEND_U = 0xad;
export const LOAD = 0x28;
export const LOAD64 = 0x29;
export const STORE = 0x36;
export const STORE64 = 0x37;
export const STORE8 = 0x3a;

export interface FunctionParts {
  params: number[];
  results: number[];
  locals?: number[];
  limits?: LimitLocal[];
  loops?: LoopHint[];
  code: number[];
}

export interface ModuleParts {
  memories?: { is64: boolean; min: number; max: number }[];
  /** Imported functions of the program, from module "env", named "0", "1", …: parameters and results. */
  imports?: { params: number[]; results: number[] }[];
  templates?: Evidence['templateList'];
  /** The first templates are the four that find windows. */
  windows?: boolean;
  quick: FunctionParts[];
  save?: FunctionParts;
  /** Program globals: mutable i64. */
  globals?: number;
  datas?: number[][];
  /** Whether there is a refs table. */
  refs?: boolean;
}

const name = (text: string): number[] => {
  const bytes = [...new TextEncoder().encode(text)];
  return [...u(bytes.length), ...bytes];
};
const vector = (items: readonly number[][]): number[] => [...u(items.length), ...items.flat()];
const section = (id: number, body: number[]): number[] => [id, ...u(body.length), ...body];

/** The templates of a module with windows: these and no more. */
export const WINDOW_TEMPLATES: Evidence['templateList'] = [0, 1, 2, 3].map((a) => ({
  kind: 'window',
  a,
  b: 0,
}));

/** Where things lie in a module of these parts; what code must know to call and read. */
export function places(parts: ModuleParts) {
  const imports = (parts.imports ?? []).length;
  const prelude = SYSTEM_IMPORTS.length + imports;
  const templates = prelude + PRELUDE_ORDER.length;
  const wrappers = templates + (parts.templates ?? []).length;
  const quick = wrappers + imports;
  const init = quick + parts.quick.length;
  const hdr = parts.globals ?? 0;
  return { imports, prelude, templates, wrappers, quick, init, hdr };
}

/** Globals of memory i. */
export const baseGlobal = (hdr: number, memory: number): number => hdr + 2 * memory;
export const limitGlobal = (hdr: number, memory: number): number => hdr + 2 * memory + 1;
/** The base of memory i. */
export const baseOf = (hdr: number, memory: number): number[] => [
  ...global(baseGlobal(hdr, memory)),
  ...(memory === 0 ? [...i64(H), ADD] : []),
];

type Places = ReturnType<typeof places>;

const memoriesOf = (parts: ModuleParts): NonNullable<ModuleParts['memories']> =>
  parts.memories ?? [{ is64: false, min: 1, max: -1 }];

/** Prelude and templates. */
function fixedFunctions(parts: ModuleParts, { hdr }: Places): TemplateFunction[] {
  const memory = (i: number) => ({
    is64: memoriesOf(parts)[i]!.is64,
    baseGlobal: baseGlobal(hdr, i),
    limitGlobal: limitGlobal(hdr, i),
    offset: i === 0 ? H : 0,
    windows:
      parts.windows && i === 0
        ? SYSTEM_IMPORTS.length + (parts.imports ?? []).length + PRELUDE_ORDER.length
        : -1,
  });
  const bulk = (parts.templates ?? []).map(({ kind, a, b }): TemplateFunction => {
    if (kind === 'window') return windowTemplate(hdr, a);
    if (kind === 'fill') return fillTemplate(memory(a));
    if (kind === 'copy') return copyTemplate(memory(a), memory(b));
    return kind === 'frame' ? frameTemplate(hdr, b) : initTemplate(memory(a), b);
  });
  return [...preludeFunctions(hdr), ...bulk];
}

/** Wrappers and quick functions, init, save and restore, and the function that gives functions. */
function ownFunctions(parts: ModuleParts): FunctionParts[] {
  const empty: FunctionParts = { params: [], results: [], code: [] };
  const wrappers = (parts.imports ?? []).map(({ params, results }, i) => ({
    ...{ params, results },
    code: [...params.flatMap((_, p) => get(p)), ...call(SYSTEM_IMPORTS.length + i)],
  }));
  return [...wrappers, ...parts.quick, empty, parts.save ?? empty, empty, FUNCTION_AT];
}

/** Gives none for every number: who runs these modules resumes nothing. */
const FUNCTION_AT: FunctionParts = { params: [I32], results: [FUNCREF], code: [0xd0, FUNCREF] };

function importSection(parts: ModuleParts, typeOf: TypeOf): number[][] {
  return [
    [...name('perdure'), ...name('space'), 2, 7, ...u(SPACE_MIN_FRAMES), ...u(SPACE_MAX_FRAMES)],
    ...SYSTEM_IMPORTS.map(({ name: text, params, results }) => [
      ...[...name('perdure'), ...name(text), 0, ...u(typeOf(params, results))],
    ]),
    [...name('perdure'), ...name('unwind'), 4, 0, ...u(typeOf([], []))],
    ...(parts.imports ?? []).map(({ params, results }, i) => [
      ...[...name('env'), ...name(`${i}`), 0, ...u(typeOf(params, results))],
    ]),
  ];
}

function exportSection(parts: ModuleParts, at: Places): number[][] {
  return [
    ...parts.quick.map((_, i) => [...name(`g:${i}`), 0, ...u(at.quick + i)]),
    [...name('k:hdr'), 3, ...u(at.hdr)],
    ...memoriesOf(parts).flatMap((_, i) => [
      ...(i > 0 ? [[...name(`k:base${i}`), 3, ...u(baseGlobal(at.hdr, i))]] : []),
      [...name(`k:limit${i}`), 3, ...u(limitGlobal(at.hdr, i))],
    ]),
    [...name('k:table0'), 1, 0],
    [...name('k:function'), 0, ...u(at.init + 3)],
    ...(parts.refs ? [[...name('k:refs'), 1, 1]] : []),
    ...['init', 'save', 'restore'].map((text, i) => [...name(`k:${text}`), 0, ...u(at.init + i)]),
  ];
}

function evidenceOf(parts: ModuleParts, at: Places): Evidence {
  const range = (start: number, end: number) => ({ start, count: end - start });
  return {
    ...{ version: EVIDENCE_VERSION, compiler: 'by hand', isolate: true, suspend: true, track: true },
    windows: parts.windows === true,
    ...{ controlBytes: H, hdrGlobal: at.hdr },
    memories: memoriesOf(parts).map((memory, i) => ({
      ...{ ...memory, shared: false, imported: null },
      ...{ baseGlobal: baseGlobal(at.hdr, i), limitGlobal: limitGlobal(at.hdr, i) },
    })),
    imports: range(SYSTEM_IMPORTS.length, at.prelude),
    prelude: range(at.prelude, at.templates),
    templates: range(at.templates, at.wrappers),
    templateList: parts.templates ?? [],
    wrappers: range(at.wrappers, at.quick),
    quick: range(at.quick, at.init),
    ...{ init: at.init, save: at.init + 1, restore: at.init + 2, functionAt: at.init + 3 },
    systemGlobals: range(at.hdr, at.hdr + systemGlobals(parts)),
    ...{ refsTable: parts.refs ? 1 : -1, programTables: 1 },
  };
}

const systemGlobals = (parts: ModuleParts): number => 1 + Math.max(0, memoriesOf(parts).length * 2 - 1);
type TypeOf = (params: readonly number[], results: readonly number[]) => number;

export function assemble(parts: ModuleParts): Uint8Array<ArrayBuffer> {
  const at = places(parts);
  const fixed = fixedFunctions(parts, at);
  const own = ownFunctions(parts);
  const types: string[] = [];
  const typeOf: TypeOf = (params, results) => {
    const key = JSON.stringify([0x60, ...u(params.length), ...params, ...u(results.length), ...results]);
    if (!types.includes(key)) types.push(key);
    return types.indexOf(key);
  };
  const imports = importSection(parts, typeOf);
  const functions = [...fixed, ...own].map(({ params, results }) => u(typeOf(params, results)));
  const globals = Array.from({ length: at.hdr + systemGlobals(parts) }, () => [I64, 1, 0x42, 0, END]);
  const program = Array.from({ length: at.init - at.wrappers }, (_, i) => u(at.wrappers + i));
  const sizes = [program.length, ...(parts.refs ? [program.length] : [])];
  const elements = [
    [0, 0x41, 0, END, ...vector(program)],
    ...(parts.refs ? [[2, 1, 0x41, 0, END, 0, ...vector(program)]] : []),
  ];
  const entry = (body: readonly number[]): number[] => [...u(body.length), ...body];
  const bodies = [
    ...fixed.map(({ body }) => entry([...body])),
    ...own.map(({ locals, code }) =>
      entry([...vector((locals ?? []).map((type) => [1, type])), ...code, END]),
    ),
  ];
  const hints = own
    .map(({ limits = [], loops = [] }, i) => ({ index: at.wrappers + i, limits, loops }))
    .filter(({ limits, loops }) => limits.length + loops.length > 0);
  const datas = (parts.datas ?? []).map((bytes) => [1, ...u(bytes.length), ...bytes]);
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types.map((key) => JSON.parse(key) as number[]))),
    ...section(2, vector(imports)),
    ...section(3, vector(functions)),
    ...section(4, vector(sizes.map((size) => [FUNCREF, 0, ...u(size)]))),
    ...section(6, vector(globals)),
    ...section(7, vector(exportSection(parts, at))),
    ...section(9, vector(elements)),
    ...(datas.length > 0 ? section(12, u(datas.length)) : []),
    ...section(10, vector(bodies)),
    ...(datas.length > 0 ? section(11, vector(datas)) : []),
    ...section(0, [...name(EVIDENCE_SECTION), ...encodeEvidence(evidenceOf(parts, at))]),
    ...(hints.length > 0 ? section(0, [...name(HINTS_SECTION), ...encodeHints(hints)]) : []),
  ]);
}
