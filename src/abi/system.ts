/**
 * The system's side of a rewritten module: what it imports from the kernel and what it exports to it. The order of
 * the imports is fixed, so that their indices are constants in compiler and verifier alike.
 */
import { FRAME_BYTES } from '../base/limits.ts';

/** The module name of everything the kernel supplies. A program that imports from it is refused. */
export const SYSTEM_MODULE = 'perdure';
/** The space itself: memory 0 of every rewritten module. */
export const SPACE_IMPORT = 'space';
/** Memories of a program that is alone in its process, followed by a number; they come before the space. */
export const OWN_MEMORY_IMPORT = 'memory';
/** The exception by which code unwinds; it carries nothing. Tag 0 of every rewritten module. */
export const UNWIND_IMPORT = 'unwind';

const I32 = 0x7f;
const I64 = 0x7e;
const FUNCREF = 0x70;
const EXTERNREF = 0x6f;

export interface SystemImport {
  readonly name: string;
  /** Value types by their binary codes. */
  readonly params: readonly number[];
  readonly results: readonly number[];
}

/**
 * Functions of the kernel, by index. All are total: they assume nothing about their arguments.
 *
 * - `grow(memory, delta)`: memory.grow; previous size in pages, or -1; the limit may have grown. Unwinds where the memory must
 *   be moved first, then the call is made again.
 * - `rethrow()`: throws the pending exception of the callee of a resumed site.
 * - `stack()`: makes room on the frame stack, or ends the program by wasm's stack exhaustion.
 * - `wait(memory, address, expected, timeout, width)`: memory.atomic.wait32 (width 4) or wait64 (width 8).
 * - `notify(memory, address, count)`: memory.atomic.notify.
 * - `ref_index(ref)`: the number of a function of this domain (abi/frame.ts, `functionNumber`), -1 for null.
 * - `ref_of(number)`: the reverse; null for a negative one and for what is none.
 * - `extern_id(ref)`: -1 for null; for any other host reference a number by which a volatile domain finds it again
 *   (`extern_of`); in a domain that persists it ends the program, for a host reference cannot be kept.
 * - `window(near, bytes, write)`: the global address of `bytes` (unsigned) that are mapped from there on for reading, or with
 *   `write` for writing; a trap where they are not. For the window templates (prelude.ts), where the table does not tell. Ends no
 *   mapping and moves nothing.
 */
export const SYSTEM_IMPORTS: readonly SystemImport[] = [
  { name: 'grow', params: [I32, I64], results: [I64] },
  { name: 'rethrow', params: [], results: [] },
  { name: 'stack', params: [], results: [] },
  { name: 'wait', params: [I32, I64, I64, I64, I32], results: [I32] },
  { name: 'notify', params: [I32, I64, I32], results: [I32] },
  { name: 'ref_index', params: [FUNCREF], results: [I32] },
  { name: 'extern_id', params: [EXTERNREF], results: [I32] },
  { name: 'extern_of', params: [I32], results: [EXTERNREF] },
  { name: 'ref_of', params: [I32], results: [FUNCREF] },
  { name: 'window', params: [I64, I64, I32], results: [I64] },
];

/** Function indices of the system imports. */
export const SYSTEM = {
  grow: 0,
  rethrow: 1,
  stack: 2,
  wait: 3,
  notify: 4,
  refIndex: 5,
  externId: 6,
  externOf: 7,
  refOf: 8,
  window: 9,
} as const;

/** The program's own exports carry this prefix, so that none can be mistaken for the system's. */
export const GUEST_EXPORT = 'g:';
/**
 * Exports for the kernel. `limit`, `base`, `table`, `global` and `tag` are followed by a number; `result`, the globals in
 * which results of reference type lie, by the type's code, a colon and the number of the result. `function`, type
 * (i32) -> (funcref), gives a function by its index in the module; for what no code may call it traps.
 */
export const EXPORT = {
  hdr: 'k:hdr',
  limit: 'k:limit',
  base: 'k:base',
  table: 'k:table',
  global: 'k:global',
  tag: 'k:tag',
  function: 'k:function',
  refs: 'k:refs',
  result: 'k:result',
  init: 'k:init',
  save: 'k:save',
  restore: 'k:restore',
} as const;

/**
 * A resume module is made later, of continuations of saved frames (abi/resume.ts). It imports, in this order: what every
 * rewritten module imports of the system; from `MAIN_MODULE` all globals, tables and tags of the domain's rewritten
 * module, by the names under which that exports them and in its order; and functions of it, by their index in decimal.
 */
export const MAIN_MODULE = 'main';

/** Under which name a rewritten module exports its global of this index. `systemGlobals`: where those of the system begin. */
export function globalExport(index: number, systemGlobals: number): string {
  const at = index - systemGlobals;
  if (at < 0) return EXPORT.global + index;
  if (at === 0) return EXPORT.hdr;
  return at % 2 === 1 ? `${EXPORT.limit}${(at - 1) / 2}` : `${EXPORT.base}${at / 2}`;
}

/**
 * Bytes of control area (control page and state zone) a module needs: a multiple of FRAME_BYTES.
 * @param stateEnd where its state zone ends: bytes from hdr
 */
export function controlBytes(stateEnd: number): number {
  return Math.ceil(stateEnd / FRAME_BYTES) * FRAME_BYTES;
}
