/**
 * Code made at run time. A program that was granted the compiler imports it from `COMPILER_MODULE`, hands it a module as
 * bytes, and finds the module's exported functions in its own table 0. Such a *made module* belongs to the domain as the
 * program does: it is rewritten, verified, saved and resumed like it. Domains number theirs; 0 is the program.
 *
 *   compile(code: i32, length: i32, error: i32, capacity: i32) -> i32
 *       The index in table 0 of the module's first exported function; the others follow, in the order of its exports.
 *       Or -errno, with a text for people at `error` (UTF-8, at most `capacity` bytes, the last of them 0):
 *       INVAL it is no module, or does not fit the program; NOTSUP it uses what made modules may not; TOOBIG it is too
 *       large; NOMEM no room in the table, the state or the domain's memory; DQUOT too many; FAULT it is not in memory.
 *   release(first: i32) -> i32
 *       Lets the module go whose first function `compile` put there: table 0 no longer has its functions. Frames and
 *       references that are left keep it alive. 0, or -errno: NOENT there is none.
 *
 * What a made module may import, all from `MADE_IMPORTS`: memory 0 of the program as `MADE_MEMORY`; functions, globals,
 * tables and tags of the program, by the names under which that exports them. What the program imports and exports again
 * is among them: so it calls other domains, by the program's gates and no others. It has no memory, tag or start function of
 * its own. Its segments are applied as the specification says.
 */
import { assert } from '../base/assert.ts';
import { FUNCTION_BITS, MODULES_END } from './frame.ts';

export const COMPILER_MODULE = 'perdure_compiler';
export const MADE_IMPORTS = 'env';
export const MADE_MEMORY = 'memory';

/** What the code of a made module has to know of its domain. */
export interface MadePlace {
  /** From 1; below MODULES_END. */
  readonly number: number;
  /** H of the program: its control area is theirs too. */
  readonly controlBytes: number;
  /** Where in the state zone its globals and flags may lie, bytes from hdr. */
  readonly stateStart: number;
  readonly stateEnd: number;
  /** The program's memory has windows, and so has theirs. */
  readonly windows: boolean;
}

/** The part of a program's state zone that its made modules share, bytes from hdr. */
export interface MadeZone {
  readonly start: number;
  readonly end: number;
}

/** The name of a made module in its name section, by which V8 tells its code from others'. */
export const madeModuleName = (number: number): string => `made-${number}`;

/** The made module whose code, or continuations, have this name with V8; 0 for the program's. */
export function madeModuleNumber(name: string): number {
  const match = /\/made-(\d{1,4})-/.exec(name);
  return match ? Number(match[1]) : 0;
}

assert(2 ** FUNCTION_BITS * MODULES_END === 2 ** 31, 'every function of a domain has a number of 31 bits');
