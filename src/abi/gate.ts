/**
 * Procedures: functions that a program offers to other domains. It exports each under a name that says so:
 *
 *     gate:NAME[:PARAMS[=RESULTS]][!nested|!concurrent][!depth=N]
 *
 * NAME is what callers import, 1 to 64 characters without ':' and '!'. PARAMS and RESULTS have a letter for each parameter
 * and result: `v` a value that passes as it is, `c` a capability, which the kernel hands from the one's list into the
 * other's (an i32, a handle on both sides). Without them all are values. Who may enter while somebody is inside the
 * domain:
 *
 *     (nothing)     nobody: a call waits until the domain is free; an activation that would wait for itself is refused
 *     !nested       the activation that is inside, last in first out
 *     !concurrent   anybody
 *
 * `!depth=N`: a call is refused that would be visit N + 1 or deeper of its activation, the one where it began counted.
 * Parameters and results are numbers or v128; references do not cross.
 */
import { MalformedError } from '../base/errors.ts';
import { GATE_DEPTH_MAX, GATE_NAME_MAX, GATE_VALUES_MAX } from '../base/limits.ts';
import type { FunctionShape } from './program.ts';

export const GATE_EXPORT = 'gate:';

export const ENTRY = { exclusive: 0, nested: 1, concurrent: 2 } as const;

/** A procedure as its export declares it. */
export interface Procedure {
  readonly name: string;
  /** The whole name of the export. */
  readonly exported: string;
  readonly shape: FunctionShape;
  /** Indices of the parameters and results that are capabilities. */
  readonly capabilityParams: readonly number[];
  readonly capabilityResults: readonly number[];
  /** One of ENTRY. */
  readonly entry: number;
  /** Most visits of an activation that is inside. */
  readonly depth: number;
}

const I32 = 0x7f;
/** Whether a procedure can be of this type: of i32, i64, f32, f64 and v128, and not too many. */
export const canCross = ({ params, results }: FunctionShape): boolean =>
  Math.max(params.length, results.length) <= GATE_VALUES_MAX &&
  [...params, ...results].every((type) => type >= 0x7b && type <= I32);

/**
 * The procedure that an export declares, or null where its name is none of a procedure.
 * @throws MalformedError with the offset in the name
 */
export function parseProcedure(exported: string, shape: FunctionShape): Procedure | null {
  if (!exported.startsWith(GATE_EXPORT)) return null;
  const refuse = (what: string, offset: number): never => {
    throw new MalformedError(`export "${exported}": ${what}`, offset);
  };
  const [head, ...options] = exported.split('!') as [string, ...string[]];
  const [name = '', types, ...rest] = head.slice(GATE_EXPORT.length).split(':');
  if (name === '' || name.length > GATE_NAME_MAX) {
    refuse(`a procedure has a name of 1 to ${GATE_NAME_MAX} characters`, GATE_EXPORT.length);
  }
  if (rest.length > 0) refuse('one colon behind the name', head.lastIndexOf(':'));
  let at = GATE_EXPORT.length + name.length + 1;
  const [params, results, ...more] = types === undefined ? [] : types.split('=');
  if (more.length > 0) refuse("one '=' between parameters and results", head.lastIndexOf('='));
  const capabilityParams = kinds(params, shape.params, 'parameter', at, refuse);
  if (params !== undefined) at += params.length + 1;
  const capabilityResults = kinds(results, shape.results, 'result', at, refuse);
  let entry: number = ENTRY.exclusive;
  let depth = GATE_DEPTH_MAX;
  at = head.length;
  for (const option of options) {
    const n = /^depth=([1-9][0-9]{0,3})$/.exec(option)?.[1];
    if (n !== undefined) depth = Math.min(Number(n), GATE_DEPTH_MAX);
    else if (option === 'nested' && entry === ENTRY.exclusive) entry = ENTRY.nested;
    else if (option === 'concurrent' && entry === ENTRY.exclusive) entry = ENTRY.concurrent;
    else refuse('what may follow is !nested or !concurrent, and !depth=N with N from 1 to 9999', at);
    at += option.length + 1;
  }
  if (!canCross(shape)) {
    const what = `references do not cross between domains, nor more than ${GATE_VALUES_MAX} values`;
    refuse(what, GATE_EXPORT.length);
  }
  return { name, exported, shape, capabilityParams, capabilityResults, entry, depth };
}

/** Indices of the capabilities among the letters; where there are no letters, all are values. */
function kinds(
  letters: string | undefined,
  types: readonly number[],
  what: string,
  at: number,
  refuse: (what: string, offset: number) => never,
): number[] {
  if (letters === undefined) return [];
  if (letters.length !== types.length) {
    refuse(`${letters.length} letters for ${types.length} ${what}s`, at);
  }
  const found: number[] = [];
  for (const [i, letter] of [...letters].entries()) {
    if (letter === 'c') found.push(i);
    else if (letter !== 'v') refuse(`a ${what} is v (a value) or c (a capability)`, at + i);
    if (letter === 'c' && types[i] !== I32) refuse(`a ${what} that is a capability is an i32`, at + i);
  }
  return found;
}

/** Whether two functions have the same type. */
export function sameShape(a: FunctionShape, b: FunctionShape): boolean {
  const same = (x: readonly number[], y: readonly number[]): boolean =>
    x.length === y.length && x.every((type, i) => type === y[i]);
  return same(a.params, b.params) && same(a.results, b.results);
}
