/**
 * From a program to its rewritten module (the contract is in abi/: system.ts, evidence.ts, layout.ts).
 *
 *     const { bytes, evidence } = compile(program, { isolate: true, suspend: true, track: true });
 *
 * The input is validated by V8 first, so everything behind may rely on types. Large and untrusted: whatever comes out
 * of here, the verifier looks at it as if an adversary had made it.
 */
import { EVIDENCE_SECTION, EVIDENCE_VERSION, type Evidence, encodeEvidence } from '../abi/evidence.ts';
import { encodeHints, type FunctionHints, HINTS_SECTION } from '../abi/hints.ts';
import {
  copyTemplate,
  fillTemplate,
  frameTemplate,
  initTemplate,
  preludeFunctions,
  type TemplateFunction,
} from '../abi/prelude.ts';
import {
  EXPORT,
  GUEST_EXPORT,
  SPACE_IMPORT,
  SYSTEM_IMPORTS,
  SYSTEM_MODULE,
  UNWIND_IMPORT,
} from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { MalformedError } from '../base/errors.ts';
import { LOCALS_MAX, SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../base/limits.ts';
import { type ConstExpr, constExpr } from '../wasm/constexpr.ts';
import {
  type Code,
  decodeModule,
  type Element,
  type Export,
  emptyModule,
  encodeModule,
  type Global,
  type Import,
  type Module,
} from '../wasm/module.ts';
import { OP } from '../wasm/opcodes.ts';
import { EXNREF, FUNCREF, I32 } from '../wasm/types.ts';
import { FlatBody } from './body.ts';
import { type EmittedFunction, Emitter } from './emitter.ts';
import type { Helpers } from './frames.ts';
import { FunctionCompiler } from './function.ts';
import { Liveness } from './liveness.ts';
import { ownMemories } from './own.ts';
import {
  emitEntry,
  emitFunctionOf,
  emitInit,
  emitLoadExn,
  emitRestoreGlobals,
  emitSaveExn,
  emitSaveGlobals,
  emitWrapper,
} from './parts.ts';
import { type CompileOptions, Plan, SYSTEM_GLOBAL } from './plan.ts';
import { scan } from './scan.ts';
import type { FunctionInput } from './state.ts';
import { COMPILER_VERSION } from './version.ts';

export interface Compiled {
  /** The rewritten module, evidence included. */
  bytes: Uint8Array<ArrayBuffer>;
  evidence: Evidence;
}

/** For a domain in the shared space. */
export const FULL: CompileOptions = { isolate: true, suspend: true, track: true };
/** For a program with a process, and memories, of its own. */
export const ALONE: CompileOptions = { isolate: false, suspend: true, track: true };

/** A program decoded and planned: what compiling it and explaining its frames have in common. */
export class Program {
  readonly bytes: Uint8Array;
  readonly module: Module;
  readonly plan: Plan;
  readonly helpers: Helpers;
  readonly body: FlatBody;
  readonly emitter: Emitter;
  readonly #liveness = new Liveness();
  readonly #compiler: FunctionCompiler;
  readonly #locals = new Uint8Array(LOCALS_MAX);

  constructor(bytes: Uint8Array, options: CompileOptions) {
    this.bytes = bytes;
    this.module = decodeModule(bytes);
    const plan = new Plan(this.module, options, scan(bytes, this.module, options.isolate));
    this.plan = plan;
    // The number of resume functions is not known yet; helpers are called by code emitted before them, so their
    // indices must be: the resume functions come last but for the parts, at places counted in advance.
    const parts = plan.resumeStart + resumeCount(this);
    const exceptions = parts + 3 + (plan.usesRefs ? 1 : 0);
    this.helpers = { functionOf: parts + 3, saveExn: exceptions, loadExn: exceptions + 1 };
    this.body = new FlatBody(bytes);
    this.emitter = new Emitter(plan);
    this.#compiler = new FunctionCompiler(this.emitter, this.body, this.#liveness, this.helpers);
  }

  /** What is known of a defined function, by its place among `module.codes`. Good until the next call. */
  input(defined: number): FunctionInput {
    const index = this.plan.importedFunctions + defined;
    const type = this.plan.functionType(index);
    const runs = this.module.codes[defined]!.locals;
    let count = type.params.length;
    this.#locals.set(type.params);
    for (const run of runs) {
      assert(count + run.count <= LOCALS_MAX, 'V8 has validated the program');
      this.#locals.fill(run.type, count, count + run.count);
      count += run.count;
    }
    return { index, type, locals: this.#locals.subarray(0, count), runs };
  }

  /** Emits the quick version of a defined function; afterwards `compiler.shapes` are its frames. */
  quick(defined: number): FunctionCompiler {
    const { start, end } = this.module.codes[defined]!;
    const input = this.input(defined);
    this.body.load(start, end, this.plan.options.suspend, this.plan.entries.has(input.index));
    this.#liveness.run(this.body, input.locals.length, this.plan.memories.length);
    this.#compiler.quick(input);
    return this.#compiler;
  }
}

/** How many functions have a resume version: all imported ones, and the defined ones with a safepoint. */
function resumeCount(program: Program): number {
  const { plan, module, bytes } = program;
  if (!plan.options.suspend) return 0;
  const body = new FlatBody(bytes);
  for (let i = 0; i < plan.importedFunctions; i++) plan.resumed.push(i);
  module.codes.forEach((code, i) => {
    const index = plan.importedFunctions + i;
    body.load(code.start, code.end, true, plan.entries.has(index));
    if (body.hasSites || plan.entries.has(index)) plan.resumed.push(index);
  });
  return plan.resumed.length;
}

/**
 * Rewrites a program.
 * @throws MalformedError where it is not a module, UnsupportedError where it uses what Perdure does not take.
 */
export function compile(bytes: Uint8Array, options: CompileOptions = FULL): Compiled {
  const program = new Program(bytes, options);
  if (!WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) throw invalid(bytes);
  const { plan } = program;
  const functions: (EmittedFunction & { type: number })[] = [];
  const add = (type: number, { code, roles }: EmittedFunction): void => {
    functions.push({ type, code, roles });
  };
  const addTemplate = (template: TemplateFunction): void => {
    const { body, params, results } = template;
    const locals = [{ count: body[1]!, type: body[2]! }];
    functions.push({
      type: plan.typeIndex(params, results),
      code: { locals, source: body, start: 3, end: body.length },
      roles: [],
    });
  };
  const e = program.emitter;
  for (const template of preludeFunctions(plan.hdrGlobal, plan.spaceMemory)) addTemplate(template);
  for (const { kind, a, b } of plan.templates) {
    if (kind === 'frame') {
      addTemplate(frameTemplate(plan.hdrGlobal, b, plan.spaceMemory));
      continue;
    }
    const memory = plan.templateMemory(a);
    if (kind === 'fill') addTemplate(fillTemplate(memory));
    else if (kind === 'copy') addTemplate(copyTemplate(memory, plan.templateMemory(b)));
    else addTemplate(initTemplate(memory, b));
  }
  for (let i = 0; i < plan.importedFunctions; i++) {
    emitWrapper(e, program.helpers, i, false);
    add(plan.functionTypes[i]!, e.finish());
  }
  const resumeType = plan.typeIndex([], []);
  const resumes: EmittedFunction[] = [];
  if (options.suspend) {
    for (let i = 0; i < plan.importedFunctions; i++) {
      emitWrapper(e, program.helpers, i, true);
      resumes.push(e.finish());
    }
  }
  for (let i = 0; i < program.module.codes.length; i++) {
    const compiler = program.quick(i);
    add(plan.functionTypes[plan.importedFunctions + i]!, e.finish());
    if (program.body.hasSites) {
      compiler.resume(program.input(i));
      resumes.push(e.finish());
    } else if (options.suspend && plan.entries.has(plan.importedFunctions + i)) {
      emitEntry(e, program.helpers, plan.importedFunctions + i);
      resumes.push(e.finish());
    }
  }
  for (const resume of resumes) add(resumeType, resume);
  emitInit(e);
  add(resumeType, e.finish());
  emitSaveGlobals(e);
  add(resumeType, e.finish());
  emitRestoreGlobals(e, program.helpers);
  add(resumeType, e.finish());
  addHelpers(program, add);
  const evidence = evidenceOf(program);
  const hints = functions.map(({ roles }, i) => ({ index: plan.preludeStart + i, roles, loops: [] }));
  return { bytes: encodeModule(assemble(program, functions, evidence, hints)), evidence };
}

function addHelpers(program: Program, add: (type: number, f: EmittedFunction) => void): void {
  const { plan, emitter: e } = program;
  if (!plan.options.suspend) return;
  if (plan.usesRefs) {
    emitFunctionOf(e);
    add(plan.typeIndex([I32], [FUNCREF]), e.finish());
  }
  if (plan.usesExceptions) {
    emitSaveExn(e);
    add(plan.typeIndex([EXNREF], []), e.finish());
    emitLoadExn(e);
    add(plan.typeIndex([], [EXNREF]), e.finish());
  }
}

/** V8's reason, with its offset, as an error of ours. */
function invalid(bytes: Uint8Array): MalformedError {
  try {
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  } catch (error) {
    const { message } = error as Error;
    const offset = /@\+(\d+)/.exec(message);
    return new MalformedError(
      message.replace(/^WebAssembly\.Module\(\): /, '').replace(/ @\+\d+$/, ''),
      offset ? Number(offset[1]) : -1,
    );
  }
  return new MalformedError('V8 refuses the module', -1);
}

function evidenceOf(program: Program): Evidence {
  const { plan } = program;
  const parts = plan.resumeStart + plan.resumed.length;
  return {
    version: EVIDENCE_VERSION,
    compiler: COMPILER_VERSION,
    ...plan.options,
    controlBytes: plan.controlBytes,
    hdrGlobal: plan.hdrGlobal,
    memories: plan.memoryEvidence,
    imports: { start: SYSTEM_IMPORTS.length, count: plan.importedFunctions },
    prelude: { start: plan.preludeStart, count: plan.templateStart - plan.preludeStart },
    templates: { start: plan.templateStart, count: plan.templates.length },
    templateList: plan.templates,
    wrappers: { start: plan.wrapperStart, count: plan.importedFunctions },
    quick: { start: plan.quickStart, count: program.module.functions.length },
    resume: { start: plan.resumeStart, count: plan.resumed.length },
    init: parts,
    save: parts + 1,
    restore: parts + 2,
    systemGlobals: { start: plan.systemGlobalStart, count: plan.systemGlobalCount },
    resumeTable: plan.resumeTable,
    refsTable: plan.refsTable,
    programTables: plan.tables.length,
  };
}

/** What the kernel supplies. */
function systemImports(plan: Plan, tagType: number): Import[] {
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
    { module: SYSTEM_MODULE, name: UNWIND_IMPORT, kind: 'tag', tag: { type: tagType } },
  ];
}

function assemble(
  program: Program,
  functions: { type: number; code: Code }[],
  evidence: Evidence,
  hints: FunctionHints[],
): Module {
  const { plan, module } = program;
  const out = emptyModule();
  const tagType = plan.typeIndex([], []);
  out.imports = [...systemImports(plan, tagType), ...module.imports.filter((item) => item.kind !== 'memory')];
  out.functions = functions.map((f) => f.type);
  out.codes = functions.map((f) => f.code);
  const functionCount = BigInt(plan.functionTypes.length);
  const systemTable = { min: functionCount, max: functionCount, is64: false, element: FUNCREF };
  out.tables = [...module.tables, systemTable, ...(plan.usesRefs ? [systemTable] : [])];
  out.tags = module.tags;
  out.globals = [
    ...module.globals.map((global): Global => ({ ...global, init: remapped(plan, global.init) })),
    ...hiddenGlobals(plan),
    ...Array.from(
      { length: plan.systemGlobalCount },
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
    const ends = program.emitter.frameEnds.toBytes();
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
  const said = [encodeEvidence(evidence), encodeHints(hints)];
  out.customs = said.map((source, i) => ({
    ...{ name: [EVIDENCE_SECTION, HINTS_SECTION][i]!, after: 0, source, start: 0, end: source.length },
  }));
  return out;
}

function hiddenGlobals(plan: Plan): Global[] {
  return [...plan.hiddenGlobals.keys()].map((key) => {
    const type = Number(key.split(':')[0]);
    return { type, mutable: true, init: constExpr([{ op: OP.ref_null, value: type }]) };
  });
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
  const active = (table: number, expressions: ConstExpr[]): Element => ({
    mode: 'active',
    table,
    offset: constExpr([{ op: OP.i32_const, value: 0 }]),
    type: FUNCREF,
    functions: undefined,
    expressions,
  });
  const of = (index: number): ConstExpr => constExpr([{ op: OP.ref_func, value: index }]);
  const none = constExpr([{ op: OP.ref_null, value: FUNCREF }]);
  const elements: Element[] = [];
  const resume = new Map(plan.resumed.map((index, i) => [index, plan.resumeStart + i]));
  if (resume.size > 0) {
    elements.push(
      active(
        plan.resumeTable,
        plan.functionTypes.map((_, index) => {
          const at = resume.get(index);
          return at === undefined ? none : of(at);
        }),
      ),
    );
  }
  if (plan.usesRefs) {
    elements.push(
      active(
        plan.refsTable,
        plan.functionTypes.map((_, index) => of(plan.functionIndex(index))),
      ),
    );
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
  list.push({ name: EXPORT.hdr, kind: 'global', index: plan.hdrGlobal });
  plan.memoryEvidence.forEach((memory, i) => {
    list.push({ name: EXPORT.limit + i, kind: 'global', index: memory.limitGlobal });
    if (i > 0) list.push({ name: EXPORT.base + i, kind: 'global', index: memory.baseGlobal });
  });
  list.push({ name: EXPORT.resume, kind: 'table', index: plan.resumeTable });
  if (plan.usesRefs) list.push({ name: EXPORT.refs, kind: 'table', index: plan.refsTable });
  for (const [key, index] of plan.hiddenGlobals) {
    if (!key.startsWith(`${EXNREF}:`)) list.push({ name: EXPORT.result + key, kind: 'global', index });
  }
  if (plan.tablesChange) {
    plan.tables.forEach((table, i) => {
      if (table.element !== 0x69) list.push({ name: EXPORT.table + i, kind: 'table', index: i });
    });
  }
  list.push({ name: EXPORT.init, kind: 'func', index: evidence.init });
  list.push({ name: EXPORT.save, kind: 'func', index: evidence.save });
  list.push({ name: EXPORT.restore, kind: 'func', index: evidence.restore });
  return list;
}
