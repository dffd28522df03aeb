/**
 * What must hold of a rewritten module outside its code: the evidence tells the truth, imports and exports are those
 * of the contract, globals and tables of the system are made as the kernel expects and named by nobody else, and no
 * function of the system becomes a reference. README.md numbers these rules M1 to M9.
 *
 * Throws `RefusedError` with the offset of what broke a rule, or -1 where the evidence alone is wrong.
 */
import type { Evidence, Range } from '../abi/evidence.ts';
import { STATE_OFFSET } from '../abi/layout.ts';
import { PRELUDE_ORDER } from '../abi/prelude.ts';
import {
  EXPORT,
  GUEST_EXPORT,
  SPACE_IMPORT,
  SYSTEM_IMPORTS,
  SYSTEM_MODULE,
  UNWIND_IMPORT,
} from '../abi/system.ts';
import { FRAME_BYTES, MAX_MEMORIES, SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../base/limits.ts';
import { RefusedError } from '../base/malformed.ts';
import { type Decoded, FUNC, GLOBAL, imported, MEMORY, signature, TABLE, TAG } from './decode.ts';

const I32 = 0x7f;
const I64 = 0x7e;
const FUNCREF = 0x70;
/** Flags of the space's limits: it has a maximum, is shared, and has 64-bit addresses. */
const SPACE_FLAGS = 7;
/** The largest control area: more globals than any program has, and far below what makes addresses wrap. */
const CONTROL_MAX = 1 << 30;

export function demand(ok: boolean, reason: string, at = -1): asserts ok {
  if (!ok) throw new RefusedError(reason, -1, at);
}
const within = (index: number, range: Range): boolean =>
  index >= range.start && index < range.start + range.count;

/** Checks all of a module but the bodies of its functions. */
export function checkModule(m: Decoded, evidence: Evidence): void {
  checkImports(m, evidence);
  checkFunctionRanges(m, evidence);
  checkWindows(evidence);
  checkMemories(evidence);
  checkGlobals(m, evidence);
  checkTables(m, evidence);
  checkMentions(m, evidence);
  checkExports(m, evidence);
  demand(m.start < 0, 'a start function', m.start);
  demand(m.activeData < 0, 'an active data segment', m.activeData);
}

/** How many imports are the system's: the space, its functions, the unwind tag. */
export const SYSTEM_ITEMS = SYSTEM_IMPORTS.length + 2;

/** M1: the space, the system's functions, the unwind tag, and then only the program's own. */
function checkImports(m: Decoded, evidence: Evidence): void {
  checkSystemImports(m);
  for (const item of m.imports.slice(SYSTEM_ITEMS)) {
    demand(item.module !== SYSTEM_MODULE, 'an import of the system is out of place', item.at);
  }
  const count = imported(m, FUNC) - SYSTEM_IMPORTS.length;
  demand(
    evidence.imports.start === SYSTEM_IMPORTS.length && evidence.imports.count === count,
    'evidence: the imported functions are not where it says',
  );
}

/** Of M1, the part that holds of resume modules too: what is the system's, and that there is no other memory. */
export function checkSystemImports(m: Decoded): void {
  demand(m.imports.length >= SYSTEM_ITEMS, 'imports of the system are missing');
  m.imports.slice(0, SYSTEM_ITEMS).forEach((item, i) => {
    const fits = (name: string, kind: number): boolean =>
      item.module === SYSTEM_MODULE && item.name === name && item.kind === kind;
    if (i === 0) {
      const { flags, min, max } = item.limits;
      const exact = flags === SPACE_FLAGS && min === SPACE_MIN_FRAMES && max === SPACE_MAX_FRAMES;
      demand(fits(SPACE_IMPORT, MEMORY) && exact, 'the first import is not the space', item.at);
    } else if (i === SYSTEM_ITEMS - 1) {
      const typed = item.kind === TAG && m.types[item.type]!.signature === signature([], []);
      demand(fits(UNWIND_IMPORT, TAG) && typed, 'the unwind tag is not where it must be', item.at);
    } else {
      const { name, params, results } = SYSTEM_IMPORTS[i - 1]!;
      const typed = item.kind === FUNC && m.types[item.type]!.signature === signature(params, results);
      demand(fits(name, FUNC) && typed, `import ${i} is not the system function ${name}`, item.at);
    }
  });
  demand(m.memories === 1, 'a second memory');
}

/** M2: the groups of functions follow one another, and those the kernel calls take and give nothing. */
function checkFunctionRanges(m: Decoded, evidence: Evidence): void {
  const { imports, prelude, templates, wrappers, quick } = evidence;
  let next = imports.start + imports.count;
  for (const [name, range] of Object.entries({ prelude, templates, wrappers, quick })) {
    demand(range.start === next && range.count >= 0, `evidence: ${name} functions are out of place`);
    next += range.count;
  }
  demand(prelude.count === PRELUDE_ORDER.length, 'evidence: the prelude is not complete');
  demand(templates.count === evidence.templateList.length, 'evidence: templates differ in number');
  demand(wrappers.count === imports.count, 'evidence: imports and wrappers differ in number');
  const { init, save, restore, suspend, functionAt } = evidence;
  demand(init === next && save === next + 1 && restore === next + 2, 'evidence: init, save, restore');
  demand(restore < m.functions.length, 'evidence: more functions than there are');
  const typeOf = (index: number): string => m.types[m.functions[index]!]!.signature;
  for (let i = init; i <= restore; i++) {
    demand(
      typeOf(i) === signature([], []),
      `function ${i}, which the kernel calls, has parameters or results`,
    );
  }
  demand(functionAt === (suspend ? restore + 1 : -1), 'evidence: functionAt is out of place');
  if (!suspend) return;
  const typed = functionAt < m.functions.length && typeOf(functionAt) === signature([I32], [FUNCREF]);
  demand(typed, 'functionAt does not give a function for a number');
}

/** Of M2: with windows, of a first memory of 32-bit addresses, the first templates are those that find them. */
function checkWindows({ windows, memories, templateList }: Evidence): void {
  if (!windows) return;
  demand(memories[0]?.is64 === false, 'evidence: windows of no memory');
  const fits = [0, 1, 2, 3].every((i) => templateList[i]?.kind === 'window' && templateList[i].a === i);
  demand(fits, 'evidence: the window templates are out of place');
}

/** M3: memories are of possible sizes, and their globals are those of their places. */
function checkMemories(evidence: Evidence): void {
  const { memories, hdrGlobal, controlBytes, systemGlobals } = evidence;
  demand(memories.length <= MAX_MEMORIES, 'evidence: too many memories');
  demand(
    controlBytes > STATE_OFFSET && controlBytes <= CONTROL_MAX && controlBytes % FRAME_BYTES === 0,
    'evidence: the control area has no possible size',
  );
  demand(hdrGlobal === systemGlobals.start, 'evidence: hdr is not the first global of the system');
  const count = 1 + Math.max(0, memories.length * 2 - 1);
  demand(systemGlobals.count === count, 'evidence: globals of the system differ in number');
  memories.forEach((memory, i) => {
    const places = memory.baseGlobal === hdrGlobal + 2 * i && memory.limitGlobal === hdrGlobal + 2 * i + 1;
    demand(places, `evidence: the globals of memory ${i}`);
    demand(
      memory.min >= 0 && (memory.max < 0 || memory.max >= memory.min),
      `evidence: the size of memory ${i}`,
    );
    demand(memory.min <= SPACE_MAX_FRAMES, `evidence: memory ${i} does not fit in any space`);
  });
}

/** M4: the globals of the system are mutable i64 that begin as 0, and no constant expression reads them. */
function checkGlobals(m: Decoded, evidence: Evidence): void {
  const { start } = evidence.systemGlobals;
  m.globals.slice(start).forEach(({ type, mutable, isZero, at }, i) => {
    // An imported one begins as nothing that is known, so none is.
    demand(type === I64 && mutable === 1 && isZero, `global ${start + i} of the system`, at);
  });
}

/** M5: behind the program's tables stands, perhaps, `refs`. */
function checkTables(m: Decoded, evidence: Evidence): void {
  const { programTables, refsTable } = evidence;
  demand(programTables >= 0, 'evidence: tables of the program');
  demand(refsTable === -1 || refsTable === programTables, 'evidence: the refs table is out of place');
  demand(m.tables.length === programTables + (refsTable < 0 ? 0 : 1), 'evidence: tables differ in number');
  demand(imported(m, TABLE) <= programTables, 'evidence: a table of the system is imported');
  for (const { type, flags } of m.tables.slice(programTables)) {
    demand(type === FUNCREF && (flags & ~1) === 0, 'a table of the system has the wrong type');
  }
}

/**
 * Whether code may call a function from anywhere, and so hold a reference to it: not the system's and the program's
 * imports, nor what the kernel alone calls.
 */
export function isCallable(evidence: Evidence, index: number): boolean {
  const { prelude, init, restore } = evidence;
  return index >= prelude.start && (index < init || index > restore);
}

/** M6: tables and globals begin with functions that all code may call, and with no global of the system. */
function checkMentions(m: Decoded, evidence: Evidence): void {
  for (const { index, at } of m.functionMentions)
    demand(isCallable(evidence, index), `a reference to function ${index}`, at);
  for (const { index, at } of m.globalMentions)
    demand(index < evidence.systemGlobals.start, 'a constant expression reads a global of the system', at);
}

/** M7: the system's exports are complete and name what they must; all others are the program's own things. */
function checkExports(m: Decoded, evidence: Evidence): void {
  const owed = systemExports(m, evidence);
  for (const { name, kind, index, at } of m.exports) {
    const system = owed.get(name);
    if (system !== undefined) {
      demand(system.kind === kind && system.index === index, `export "${name}" is something else`, at);
      owed.delete(name);
      continue;
    }
    const free = name.startsWith(EXPORT.result) && kind === GLOBAL; // a global as free as the program's own
    demand(free || name.startsWith(GUEST_EXPORT), `export "${name}"`, at);
    const { wrappers, init, programTables, systemGlobals } = evidence;
    const own =
      (kind === FUNC && index >= wrappers.start && index < init) ||
      (kind === TABLE && index < programTables) ||
      (kind === GLOBAL && index < systemGlobals.start) ||
      (kind === TAG && index > 0);
    demand(own, `export "${name}" is not the program's`, at);
  }
  for (const [name, { optional }] of owed) demand(optional, `export "${name}" is missing`);
}

interface SystemExport {
  readonly kind: number;
  readonly index: number;
  readonly optional: boolean;
}

function systemExports(m: Decoded, evidence: Evidence): Map<string, SystemExport> {
  const owed = new Map<string, SystemExport>();
  const add = (name: string, kind: number, index: number, optional = false): void => {
    owed.set(name, { kind, index, optional });
  };
  add(EXPORT.hdr, GLOBAL, evidence.hdrGlobal);
  evidence.memories.forEach((memory, i) => {
    if (i > 0) add(`${EXPORT.base}${i}`, GLOBAL, memory.baseGlobal);
    add(`${EXPORT.limit}${i}`, GLOBAL, memory.limitGlobal);
  });
  for (let i = 0; i < evidence.programTables; i++) add(EXPORT.table + i, TABLE, i, true);
  for (let i = 0; i < evidence.systemGlobals.start; i++) add(EXPORT.global + i, GLOBAL, i, true);
  for (let i = 1; i < m.tags; i++) add(EXPORT.tag + (i - 1), TAG, i, true);
  if (evidence.suspend) add(EXPORT.function, FUNC, evidence.functionAt);
  if (evidence.refsTable >= 0) add(EXPORT.refs, TABLE, evidence.refsTable);
  add(EXPORT.init, FUNC, evidence.init);
  add(EXPORT.save, FUNC, evidence.save);
  add(EXPORT.restore, FUNC, evidence.restore);
  return owed;
}

/** M8: the program's tables are free for all code; of the system's only `refs` may be read. */
export function isFree(evidence: Evidence, table: number, reading: boolean): boolean {
  return table < evidence.programTables || (reading && table === evidence.refsTable);
}

/** M9: why a function may not call another, or the empty string. */
export function callRefusal(evidence: Evidence, caller: number, callee: number): string {
  const { imports, wrappers, init, restore } = evidence;
  if (callee >= init && callee <= restore) return `function ${callee} is for the kernel to call`;
  if (within(callee, imports) && !within(caller, wrappers)) {
    return `imported function ${callee} is for its wrapper to call`;
  }
  return '';
}
