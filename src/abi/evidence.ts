/**
 * The custom section `perdure.evidence`: what the compiler says of the module it made. The kernel reads from it how to
 * run the module; the verifier believes none of it until checked.
 *
 * The section's payload is UTF-8 JSON: it is read once at install, and a wrong byte in it must be refused with a
 * reason, never misread. All numbers are non-negative integers. What is said of each function is in a section of its
 * own (hints.ts).
 */
import { MalformedError } from '../base/errors.ts';

export const EVIDENCE_SECTION = 'perdure.evidence';
export const EVIDENCE_VERSION = 4;

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

/** A template (abi/prelude.ts): fill(a), copy(to a, from b), init(memory a, segment b), frame(segment b; a is 0). */
export interface TemplateEvidence {
  kind: 'fill' | 'copy' | 'init' | 'frame';
  a: number;
  b: number;
}

export interface Evidence {
  version: number;
  /** Version of the compiler: part of the key under which rewritten modules are kept. */
  compiler: string;
  /** Which transformations were made. A module without `isolate` touches no space and is for measurements only. */
  isolate: boolean;
  suspend: boolean;
  track: boolean;
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

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= -1;
const isRange = (value: unknown): value is Range =>
  typeof value === 'object' &&
  value !== null &&
  isCount((value as Range).start) &&
  isCount((value as Range).count);

/**
 * Reads the payload of the section.
 * @throws MalformedError where it is not what `encodeEvidence` makes: shapes and types are checked here, truth is
 * the verifier's to check.
 */
export function decodeEvidence(payload: Uint8Array): Evidence {
  let value: Partial<Evidence>;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as Partial<Evidence>;
  } catch {
    throw new MalformedError('evidence: not JSON', -1);
  }
  const demand = (ok: boolean, what: string): void => {
    if (!ok) throw new MalformedError(`evidence: ${what} is missing or of the wrong type`, -1);
  };
  demand(typeof value === 'object' && value !== null && !Array.isArray(value), 'the object');
  if (value.version !== EVIDENCE_VERSION) {
    throw new MalformedError(`evidence: version ${String(value.version)} is not ${EVIDENCE_VERSION}`, -1);
  }
  demand(typeof value.compiler === 'string', 'compiler');
  for (const key of ['isolate', 'suspend', 'track'] as const) demand(typeof value[key] === 'boolean', key);
  for (const key of [
    'controlBytes',
    'hdrGlobal',
    'init',
    'save',
    'restore',
    'functionAt',
    'refsTable',
    'programTables',
  ] as const) {
    demand(isCount(value[key]), key);
  }
  for (const key of ['imports', 'prelude', 'templates', 'wrappers', 'quick', 'systemGlobals'] as const) {
    demand(isRange(value[key]), key);
  }
  demand(Array.isArray(value.memories) && value.memories.every(isMemory), 'memories');
  demand(Array.isArray(value.templateList) && value.templateList.every(isTemplate), 'templateList');
  return value as Evidence;
}

function isMemory(value: unknown): boolean {
  const m = value as MemoryEvidence | null;
  return (
    typeof m === 'object' &&
    m !== null &&
    typeof m.is64 === 'boolean' &&
    typeof m.shared === 'boolean' &&
    isCount(m.min) &&
    isCount(m.max) &&
    isCount(m.baseGlobal) &&
    isCount(m.limitGlobal) &&
    (m.imported === null ||
      (Array.isArray(m.imported) &&
        m.imported.length === 2 &&
        m.imported.every((s) => typeof s === 'string')))
  );
}

function isTemplate(value: unknown): boolean {
  const t = value as TemplateEvidence | null;
  return (
    typeof t === 'object' &&
    t !== null &&
    ['fill', 'copy', 'init', 'frame'].includes(t.kind) &&
    isCount(t.a) &&
    isCount(t.b)
  );
}
