/**
 * Resume modules (abi/resume.ts): `verifyResume(bytes, main)` accepts one or refuses it, as `verify` does a rewritten
 * module. What it accepts keeps the promise in README.md when it is instantiated with an instance of the rewritten module
 * whose evidence `main` is, `main` having been verified.
 *
 * Give V8 the very bytes that were verified, and each import from the instance under exactly the name it has here.
 */
import type { Evidence } from '../abi/evidence.ts';
import { EXPORT, globalExport, MAIN_MODULE, SYSTEM_IMPORTS } from '../abi/system.ts';
import { type Decoded, decode, FUNC, GLOBAL, imported, signature, TABLE, TAG } from './decode.ts';
import { checkSystemImports, demand, isCallable, SYSTEM_ITEMS } from './rules.ts';
import { checkBodies, windowsOf } from './verify.ts';

const I64 = 0x7e;

/**
 * @throws RefusedError where a rule is broken; MalformedError where the bytes are no such module at all. Both carry the
 * byte offset.
 */
export function verifyResume(bytes: Uint8Array, main: Evidence): void {
  const m = decode(bytes);
  checkSystemImports(m);
  const functions = checkMainImports(m, main);
  checkNothingElse(m);
  m.exports.forEach(({ name, kind, index, at }) => {
    const plain = kind === FUNC && index >= imported(m, FUNC) && index < m.functions.length;
    demand(plain && typeOf(m, index) === signature([], []), `export "${name}" is no continuation`, at);
  });
  // There is nothing here that only some functions may call, and nothing to which a reference may be made.
  const none = { start: 0, count: 0 };
  const evidence: Evidence = {
    ...main,
    ...{
      imports: none,
      wrappers: none,
      quick: none,
      templates: none,
      prelude: { start: Infinity, count: 0 },
    },
    ...{ init: -1, save: -1, restore: -1, functionAt: -1, refsTable: -1 },
  };
  const known = windowsOf(main);
  const windows = new Map(functions.map((index, i) => [SYSTEM_IMPORTS.length + i, known.get(index)]));
  checkBodies(m, evidence, [], windows);
}

const typeOf = (m: Decoded, index: number): string => m.types[m.functions[index]!]!.signature;

/**
 * R1: all globals, tables and tags of the rewritten module, in its order, and functions that all its code may call. Gives
 * the functions' indices there.
 */
function checkMainImports(m: Decoded, main: Evidence): number[] {
  const functions: number[] = [];
  const { systemGlobals, programTables } = main;
  const seen = new Map<number, number>();
  for (const { module, name, kind, at } of m.imports.slice(SYSTEM_ITEMS)) {
    demand(module === MAIN_MODULE, 'an import from elsewhere', at);
    const i = seen.get(kind) ?? 0;
    seen.set(kind, i + 1);
    if (kind === GLOBAL)
      demand(name === globalExport(i, systemGlobals.start), `global ${i} is not "${name}"`, at);
    else if (kind === TABLE)
      demand(i < programTables && name === EXPORT.table + i, `table ${i} is not "${name}"`, at);
    else if (kind === TAG) demand(name === EXPORT.tag + i, `tag ${i} is not "${name}"`, at);
    else {
      demand(kind === FUNC && isCallableName(main, name), `function "${name}" is for nobody to call`, at);
      functions.push(Number(name));
    }
  }
  const globals = systemGlobals.start + systemGlobals.count;
  demand(m.globals.length === globals, 'the globals are not all of the rewritten module');
  m.globals.slice(systemGlobals.start).forEach(({ type, mutable }, i) => {
    demand(type === I64 && mutable === 1, `global ${systemGlobals.start + i} of the system`);
  });
  return functions;
}

function isCallableName(main: Evidence, name: string): boolean {
  return /^(0|[1-9]\d{0,8})$/.test(name) && isCallable(main, Number(name));
}

/** R2: it has functions and exports, and nothing besides. */
function checkNothingElse(m: Decoded): void {
  demand(m.globals.length === imported(m, GLOBAL), 'a global of its own');
  demand(m.tables.length === imported(m, TABLE), 'a table of its own');
  demand(m.tags === imported(m, TAG), 'a tag of its own');
  demand(m.elements < 0, 'an element segment', m.elements);
  demand(m.datas === 0, 'a data segment', m.activeData);
  demand(m.start < 0, 'a start function', m.start);
}
