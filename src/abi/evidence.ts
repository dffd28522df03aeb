/**
 * The custom section `perdure.evidence`: what the compiler says of the module it made. The kernel reads from it how to
 * run the module; the verifier believes none of it until checked.
 *
 * The section's payload is UTF-8 JSON: it is read once at install, and a wrong byte in it must be refused with a
 * reason, never misread. All numbers are non-negative integers. What is said of each function is in a section of its
 * own (hints.ts).
 */
import { MalformedError } from '../base/malformed.ts';

export const EVIDENCE_SECTION = 'perdure.evidence';
export const EVIDENCE_VERSION = 5;

/** A run of functions, globals or tables by index. */
export interface Range {
  start: number;
  count: number;
}

export interface MemoryEvidence {
  is64: boolean;
  /** Declared shared by the program (the space always is). */
  shared: boolean;
  /** Pages of 64 KiB; `max` is -1 where the program declares none. */
  min: number;
  max: number;
  /** The module declares it as an import; the kernel makes it all the same. `[module, name]`. */
  imported: readonly [string, string] | null;
  baseGlobal: number;
  limitGlobal: number;
}

/**
 * A template (abi/prelude.ts): fill(a), copy(to a, from b), init(memory a, segment b), frame(segment b; a is 0), window(a; b is
 * 0).
 */
export interface TemplateEvidence {
  kind: (typeof TEMPLATE_KINDS)[number];
  a: number;
  b: number;
}

const TEMPLATE_KINDS = ['fill', 'copy', 'init', 'frame', 'window'] as const;

export interface Evidence {
  version: number;
  /** Version of the compiler: part of the key under which rewritten modules are kept. */
  compiler: string;
  /** Which transformations were made. A module without `isolate` touches no space and is for measurements only. */
  isolate: boolean;
  suspend: boolean;
  track: boolean;
  /** Near addresses of memory 0 from WINDOW_BASE up are windows; the first two templates find what is there. */
  windows: boolean;
  /** H: bytes of the control area in front of memory 0. */
  controlBytes: number;
  hdrGlobal: number;
  memories: MemoryEvidence[];
  /** Imports of the program that are functions: function indices in the rewritten module. */
  imports: Range;
  prelude: Range;
  templates: Range;
  templateList: TemplateEvidence[];
  wrappers: Range;
  quick: Range;
  /** Function indices of init, save, restore, and of `k:function` (-1 without `suspend`). */
  init: number;
  save: number;
  restore: number;
  functionAt: number;
  /** Globals from here on belong to the system. */
  systemGlobals: Range;
  /** The table of the system, `refs`, or -1. The program's tables come before. */
  refsTable: number;
  /** Tables, tags and globals of the program (imported ones included), counts. */
  programTables: number;
}

export function encodeEvidence(evidence: Evidence): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(evidence));
}

type Check = (value: unknown) => boolean;
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= -1;
const isFlag: Check = (value) => typeof value === 'boolean';
const isText: Check = (value) => typeof value === 'string';
const isList =
  (item: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(item);
const isObject =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(fields).every(([key, check]) => check((value as Record<string, unknown>)[key]));
const isRange = isObject({ start: isCount, count: isCount });
const isImported: Check = (value) =>
  value === null || (isList(isText)(value) && (value as string[]).length === 2);

const FIELDS: Readonly<Record<keyof Evidence, Check>> = {
  ...{ version: isCount, compiler: isText, isolate: isFlag, suspend: isFlag, track: isFlag },
  windows: isFlag,
  ...{ controlBytes: isCount, hdrGlobal: isCount, refsTable: isCount, programTables: isCount },
  ...{ init: isCount, save: isCount, restore: isCount, functionAt: isCount },
  ...{ imports: isRange, prelude: isRange, templates: isRange, wrappers: isRange, quick: isRange },
  systemGlobals: isRange,
  memories: isList(
    isObject({
      ...{ is64: isFlag, shared: isFlag, min: isCount, max: isCount, imported: isImported },
      ...{ baseGlobal: isCount, limitGlobal: isCount },
    }),
  ),
  templateList: isList(
    isObject({
      kind: (value) => (TEMPLATE_KINDS as readonly unknown[]).includes(value),
      ...{ a: isCount, b: isCount },
    }),
  ),
};

/**
 * Reads the payload of the section.
 * @throws MalformedError where it is not what `encodeEvidence` makes: shapes and types are checked here, truth is
 * the verifier's to check.
 */
export function decodeEvidence(payload: Uint8Array): Evidence {
  let value: Evidence;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as Evidence;
  } catch {
    throw new MalformedError('evidence: not JSON', -1);
  }
  const version = (value as Evidence | null)?.version;
  if (version !== EVIDENCE_VERSION)
    throw new MalformedError(`evidence: version ${String(version)} is not ${EVIDENCE_VERSION}`, -1);
  for (const [key, check] of Object.entries(FIELDS)) {
    if (!check(value[key as keyof Evidence]))
      throw new MalformedError(`evidence: ${key} is missing or of the wrong type`, -1);
  }
  return value;
}
