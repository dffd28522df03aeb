/**
 * Puts a rewritten module together: imports, tables, globals, segments and exports around its functions, and the
 * evidence.
 */
import { EVIDENCE_SECTION, EVIDENCE_VERSION, type Evidence, encodeEvidence } from '../abi/evidence.ts';
import { HINTS_SECTION } from '../abi/hints.ts';
import { madeModuleName } from '../abi/made.ts';
import {
  EXPORT,
  GUEST_EXPORT,
  globalExport,
  SPACE_IMPORT,
  SYSTEM_IMPORTS,
  SYSTEM_MODULE,
  UNWIND_IMPORT,
} from '../abi/system.ts';
import { SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../base/limits.ts';
import { type ConstExpr, constExpr } from '../wasm/constexpr.ts';
import {
  type Code,
  type Element,
  type Export,
  emptyModule,
  type Global,
  type Import,
  type Module,
} from '../wasm/module.ts';
import { encodeNames } from '../wasm/names.ts';
import { OP } from '../wasm/opcodes.ts';
import { EXNREF, FUNCREF } from '../wasm/types.ts';
import { BRANCH_HINTS_SECTION } from './branchhints.ts';
import { helperTypes } from './helpers.ts';
import { ownMemories } from './own.ts';
import { COUNTER_EXPORT, COUNTERS, hiddenTypes, type Plan, SYSTEM_GLOBAL } from './plan.ts';
import type { Program } from './program.ts';
import { COMPILER_VERSION } from './version.ts';

export function evidenceOf(program: Program): Evidence {
  const { plan } = program;
  const parts = plan.partsStart;
  return {
    version: EVIDENCE_VERSION,
    compiler: COMPILER_VERSION,
    isolate: plan.options.isolate,
    suspend: plan.options.suspend,
    track: plan.options.track,
    windows: plan.windows,
    controlBytes: plan.controlBytes,
    hdrGlobal: plan.hdrGlobal,
    memories: plan.memoryEvidence,
    imports: { start: SYSTEM_IMPORTS.length, count: plan.importedFunctions },
    prelude: { start: plan.preludeStart, count: plan.templateStart - plan.preludeStart },
    templates: { start: plan.templateStart, count: plan.templates.length },
    templateList: plan.templates,
    wrappers: { start: plan.wrapperStart, count: plan.importedFunctions },
    quick: { start: plan.quickStart, count: program.module.functions.length },
    init: parts,
    save: parts + 1,
    restore: parts + 2,
    functionAt: plan.helpers.functionAt,
    systemGlobals: { start: plan.systemGlobalStart, count: plan.systemGlobalCount },
    refsTable: plan.refsTable,
    programTables: plan.tables.length,
  };
}

/** What the kernel supplies. */
export function systemImports(plan: Plan): Import[] {
  return [
    ...(plan.options.isolate ? [] : ownMemories(plan)),
    {
      module: SYSTEM_MODULE,
      name: SPACE_IMPORT,
      kind: 'memory',
      memory: {
        min: BigInt(SPACE_MIN_FRAMES),
        max: BigInt(SPACE_MAX_FRAMES),
        is64: true,
        shared: true,
      },
    },
    ...SYSTEM_IMPORTS.map(
      ({ name, params, results }): Import => ({
        module: SYSTEM_MODULE,
        name,
        kind: 'func',
        type: plan.typeIndex(params, results),
      }),
    ),
    { module: SYSTEM_MODULE, name: UNWIND_IMPORT, kind: 'tag', tag: { type: plan.typeIndex([], []) } },
  ];
}

const SECTIONS = [EVIDENCE_SECTION, HINTS_SECTION, BRANCH_HINTS_SECTION];

/** The functions, from the prelude on: their types, bodies, and what is said of them (abi/hints.ts). */
interface Functions {
  readonly types: readonly number[];
  readonly codes: Code[];
  readonly hints: Uint8Array;
  readonly branches: Uint8Array;
}

export function assemble(
  program: Program,
  { types, codes, hints, branches }: Functions,
  evidence: Evidence,
): Module {
  const { plan, module } = program;
  const out = emptyModule();
  out.imports = [...systemImports(plan), ...module.imports.filter((item) => item.kind !== 'memory')];
  out.functions = [...types];
  out.codes = codes;
  const functionCount = BigInt(plan.functionTypes.length);
  const systemTable = { min: functionCount, max: functionCount, is64: false, element: FUNCREF };
  out.tables = [...module.tables, ...(plan.usesRefs ? [systemTable] : [])];
  out.tags = module.tags;
  out.globals = [
    ...module.globals.map((global): Global => ({ ...global, init: remapped(plan, global.init) })),
    ...hiddenGlobals(plan),
    ...Array.from(
      { length: plan.systemGlobalCount + (plan.countersStart < 0 ? 0 : COUNTERS) },
      (): Global => ({
        ...SYSTEM_GLOBAL,
        init: constExpr([{ op: OP.i64_const, value: 0n }]),
      }),
    ),
  ];
  out.elements = [
    ...module.elements.map((element) => remappedElement(plan, element)),
    ...systemElements(plan),
  ];
  out.datas = module.datas.map((data) => ({
    ...data,
    mode: 'passive' as const,
    memory: 0,
    offset: undefined,
  }));
  if (plan.options.suspend) {
    const ends = program.emitter.frameEnds.subarray();
    out.datas.push({
      mode: 'passive',
      memory: 0,
      offset: undefined,
      source: ends,
      start: 0,
      end: ends.length,
    });
  }
  out.dataCount = out.datas.length > 0 ? out.datas.length : undefined;
  out.exports = exportsOf(program, evidence);
  out.types = plan.types; // last: everything above may have asked for more
  const said = [encodeEvidence(evidence), hints, ...(branches.length > 0 ? [branches] : [])];
  out.customs = said.map((source, i) => ({
    ...{ name: SECTIONS[i]!, after: 0, source, start: 0, end: source.length },
  }));
  if (plan.moduleNumber > 0) {
    const names = { module: madeModuleName(plan.moduleNumber), functions: new Map(), locals: new Map() };
    out.customs.push(encodeNames(names));
  }
  return out;
}

function hiddenGlobals(plan: Plan): Global[] {
  return hiddenTypes(plan).map((global) => ({
    ...global,
    init: constExpr([{ op: OP.ref_null, value: global.type }]),
  }));
}

function remapped(plan: Plan, expr: ConstExpr): ConstExpr {
  if (!expr.ops.some((o) => o.op === OP.ref_func)) return expr;
  return constExpr(
    expr.ops.map((o) =>
      o.op === OP.ref_func ? { op: o.op, value: plan.functionIndex(Number(o.value)) } : o,
    ),
  );
}

function remappedElement(plan: Plan, element: Element): Element {
  return {
    ...element,
    functions: element.functions?.map((index) => plan.functionIndex(index)),
    expressions: element.expressions?.map((expr) => remapped(plan, expr)),
  };
}

function systemElements(plan: Plan): Element[] {
  const elements: Element[] = [];
  const part = { table: 0, offset: undefined, type: FUNCREF, functions: undefined, expressions: undefined };
  if (plan.usesRefs) {
    const offset = constExpr([{ op: OP.i32_const, value: 0 }]);
    const functions = plan.functionTypes.map((_, index) => plan.functionIndex(index));
    elements.push({ ...part, mode: 'active', table: plan.refsTable, offset, functions });
  }
  if (plan.options.suspend) {
    // What `functionAt` refers to must have been declared.
    const { preludeStart: start, partsStart: end } = plan;
    const functions = Array.from({ length: end - start }, (_, i) => start + i);
    helperTypes(plan).forEach((_, i) => {
      functions.push(end + 3 + i);
    });
    elements.push({ ...part, mode: 'declarative', functions });
  }
  return elements;
}

function exportsOf(program: Program, evidence: Evidence): Export[] {
  const { plan, module } = program;
  const list: Export[] = [];
  for (const item of module.exports) {
    if (item.kind === 'memory') continue;
    const index =
      item.kind === 'func'
        ? plan.functionIndex(item.index)
        : item.kind === 'tag'
          ? item.index + 1
          : item.index;
    list.push({ name: GUEST_EXPORT + item.name, kind: item.kind, index });
  }
  if (plan.usesRefs) list.push({ name: EXPORT.refs, kind: 'table', index: plan.refsTable });
  for (const [key, index] of plan.hiddenGlobals) {
    if (!key.startsWith(`${EXNREF}:`)) list.push({ name: EXPORT.result + key, kind: 'global', index });
  }
  for (let n = 0; plan.countersStart >= 0 && n < COUNTERS; n++) {
    list.push({ name: COUNTER_EXPORT + n, kind: 'global', index: plan.countersStart + n });
  }
  const { suspend } = plan.options;
  const { start, count } = evidence.systemGlobals;
  for (let index = suspend ? 0 : start; index < start + count; index++) {
    list.push({ name: globalExport(index, start), kind: 'global', index });
  }
  if (suspend || plan.tablesChange) {
    plan.tables.forEach((_, index) => {
      list.push({ name: EXPORT.table + index, kind: 'table', index });
    });
  }
  if (suspend) {
    plan.tags.forEach((_, i) => {
      list.push({ name: EXPORT.tag + i, kind: 'tag', index: i + 1 });
    });
    list.push({ name: EXPORT.function, kind: 'func', index: evidence.functionAt });
  }
  list.push({ name: EXPORT.init, kind: 'func', index: evidence.init });
  list.push({ name: EXPORT.save, kind: 'func', index: evidence.save });
  list.push({ name: EXPORT.restore, kind: 'func', index: evidence.restore });
  return list;
}
