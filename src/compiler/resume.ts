/**
 * Resume modules (abi/resume.ts): from places where frames stand to a module with their continuations.
 *
 * For each place in a function with safepoints there is its continuation () -> results (continuation.ts), and an entry
 * () -> () that calls it and stores what it gives; so `return` and tail calls of the program are what they always are. A
 * function that has not begun and polls nothing at its entry, as imported ones, is just called by its entry.
 *
 * Index spaces of globals, tables and tags are those of the rewritten module, all of whose are imported, so that code is
 * written as it is there. Only functions stand elsewhere (links.ts).
 */
import { HINTS_SECTION } from '../abi/hints.ts';
import { continuationName, type FrameSite, resumeModuleName } from '../abi/resume.ts';
import { EXPORT, globalExport, MAIN_MODULE, SYSTEM_IMPORTS } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { type Custom, emptyModule, encodeModule, type Import } from '../wasm/module.ts';
import { encodeNames } from '../wasm/names.ts';
import { OP } from '../wasm/opcodes.ts';
import { Reader } from '../wasm/reader.ts';
import type { ImportDesc } from '../wasm/sections/import.ts';
import { systemImports } from './assemble.ts';
import type { EmittedFunction, MapEntry } from './emitter.ts';
import { emitRestore, emitStoreResults } from './frames.ts';
import type { FunctionCompiler } from './function.ts';
import { encodeHints } from './hints.ts';
import { Links } from './links.ts';
import { entryShape } from './parts.ts';
import { hiddenTypes, SYSTEM_GLOBAL } from './plan.ts';
import type { Program } from './program.ts';

/** Magic and version; the section with the bodies. */
const HEADER_BYTES = 8;
const CODE_SECTION = 10;

/** A function of a resume module. */
interface Part {
  readonly type: number;
  readonly emitted: EmittedFunction;
  readonly site: FrameSite;
  /** It is the entry, which the kernel calls. */
  readonly entry: boolean;
  readonly map: readonly MapEntry[];
}

export interface ResumeModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Functions imported, the system's included; `parts` follow. */
  readonly imported: number;
  /** Where in `bytes` the code of each part begins. */
  readonly starts: readonly number[];
  readonly parts: readonly Part[];
}

/**
 * @param sites places of safepoints, and beginnings of functions
 * @param mapped whether the parts' maps are wanted
 */
export function compileResume(
  program: Program,
  sites: readonly FrameSite[],
  number: number,
  mapped = false,
): ResumeModule {
  const { emitter: e, plan } = program;
  const links = new Links();
  const parts: Part[] = [];
  const plain = plan.typeIndex([], []);
  const add = (type: number, site: FrameSite, entry: boolean, emit: () => void): number => {
    e.links = links;
    e.map = mapped ? [] : null;
    emit();
    const map = e.map ?? [];
    e.links = null;
    e.map = null;
    return parts.push({ type, emitted: e.finish(), site, entry, map }) - 1;
  };
  const continued: [site: FrameSite, part: number][] = [];
  // Those of one function one after the other, so that it is laid out once.
  const ordered = [...sites].sort((a, b) => a.functionIndex - b.functionIndex);
  let compiler: FunctionCompiler | null = null;
  ordered.forEach((site, n) => {
    const { functionIndex } = site;
    const defined = functionIndex - plan.importedFunctions;
    if (ordered[n - 1]?.functionIndex !== functionIndex)
      compiler = defined < 0 ? null : program.prepared(defined);
    const found = compiler?.shapes.findIndex((s) => s?.offset === site.offset && s.kind === site.kind) ?? -1;
    if (found < 0) {
      add(plain, site, true, () => emitEntry(program, site));
      return;
    }
    e.frameEnds.clear();
    const { results } = plan.functionType(functionIndex);
    const emit = (): void => compiler!.continuation(program.input(defined), found);
    continued.push([site, add(plan.typeIndex([], results), site, false, emit)]);
  });
  // Only now is known how many functions are imported.
  const imported = SYSTEM_IMPORTS.length + links.functions.length;
  for (const [site, part] of continued) {
    add(plain, site, true, () => {
      const { results } = plan.functionType(site.functionIndex);
      e.begin([], 0);
      e.op(OP.call, imported + part);
      emitStoreResults(e, results);
    });
  }
  assert(
    imported === SYSTEM_IMPORTS.length + links.functions.length,
    'entries call nothing that was not called before',
  );
  const bytes = assembleResume(program, parts, links, number);
  return { bytes, imported, starts: startsOf(bytes, parts), parts };
}

function startsOf(bytes: Uint8Array, parts: readonly Part[]): number[] {
  const r = new Reader(bytes, HEADER_BYTES);
  for (let id = r.u8(); ; id = r.u8()) {
    const size = r.u32();
    if (id === CODE_SECTION) break;
    r.pos += size;
  }
  r.u32(); // how many there are
  return parts.map(({ emitted: { code } }) => {
    const size = r.u32();
    r.pos += size;
    return r.pos - (code.end - code.start);
  });
}

/** The entry of a function that has not begun: calls it with the parameters that its frame holds. */
function emitEntry({ emitter: e, plan }: Program, { functionIndex, offset }: FrameSite): void {
  const { params, results } = plan.functionType(functionIndex);
  e.begin(params, 0);
  emitRestore(e, entryShape(functionIndex, params.length, offset), params);
  params.forEach((_, local) => e.get(local));
  e.call(plan.functionIndex(functionIndex));
  emitStoreResults(e, results);
}

function assembleResume(
  { plan, outputTypes: types }: Program,
  parts: readonly Part[],
  links: Links,
  number: number,
): Uint8Array<ArrayBuffer> {
  const out = emptyModule();
  const imported = SYSTEM_IMPORTS.length + links.functions.length;
  const globals = [
    ...plan.globals,
    ...hiddenTypes(plan),
    ...Array.from({ length: plan.systemGlobalCount }, () => SYSTEM_GLOBAL),
  ];
  const fromMain = (name: string | number, desc: ImportDesc): Import => ({
    module: MAIN_MODULE,
    name: String(name),
    ...desc,
  });
  out.imports = [
    ...systemImports(plan),
    ...globals.map((global, i) =>
      fromMain(globalExport(i, plan.systemGlobalStart), { kind: 'global', global }),
    ),
    ...plan.tables.map((table, i) => fromMain(EXPORT.table + i, { kind: 'table', table })),
    ...plan.tags.map((tag, i) => fromMain(EXPORT.tag + i, { kind: 'tag', tag })),
    ...links.functions.map((index) =>
      fromMain(index, { kind: 'func', type: types[index - plan.preludeStart]! }),
    ),
  ];
  out.functions = parts.map((part) => part.type);
  out.codes = parts.map((part) => part.emitted.code);
  parts.forEach(({ entry, site }, i) => {
    if (entry) out.exports.push({ name: continuationName(site), kind: 'func', index: imported + i });
  });
  out.types = plan.types; // last: everything above may have asked for more
  const hints = encodeHints(
    parts.map(({ emitted }, i) => ({ index: imported + i, limits: emitted.limits, loops: emitted.loops })),
  );
  const section: Custom = { name: HINTS_SECTION, after: 0, source: hints, start: 0, end: hints.length };
  const names = {
    module: resumeModuleName(number, plan.moduleNumber),
    functions: new Map(),
    locals: new Map(),
  };
  out.customs = [section, encodeNames(names)];
  return encodeModule(out);
}
