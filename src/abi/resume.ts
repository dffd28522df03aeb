/**
 * Resume modules: code that goes on from saved frames. A rewritten module holds only the code that runs from the start of
 * a function; where a frame is to be gone on from, the compiler makes its continuation: a function () -> () that pops the
 * frame's values off the frame stack (trailer and masks are gone already), runs from the frame's place to the end of the
 * program's function, and leaves the results in the result area. RESUME_MODE_OFFSET tells it what became of the call that
 * the frame stands in.
 *
 * One module holds the continuations of several places. It exports each under `continuationName`. It is verified on its
 * own against the evidence of the rewritten module it belongs to, and instantiated with that one's instance. Its hints
 * (abi/hints.ts) are all it claims about its code. What it imports: abi/system.ts, `MAIN_MODULE`.
 */

import { madeModuleName } from './made.ts';

/** Where a frame may stand. */
export interface FrameSite {
  /** In the module's function index space. */
  readonly functionIndex: number;
  /** Of the instruction, bytes from the start of the module; 0 for an imported function. */
  readonly offset: number;
  /** KIND_BEFORE or KIND_CALLING. */
  readonly kind: number;
}

export const continuationName = ({ functionIndex, offset, kind }: FrameSite): string =>
  `${functionIndex}:${offset}:${kind}`;

/**
 * The module's name in its name section, by which V8 tells its code from that of the rewritten module. `made`: the made
 * module (made.ts) that it belongs to; 0 for the program.
 */
export const resumeModuleName = (number: number, made: number): string =>
  made === 0 ? `resume-${number}` : `${madeModuleName(made)}-resume-${number}`;

/** The number of a resume module by V8's name for its code; undefined for any other. */
export function resumeModuleNumber(name: string): number | undefined {
  const match = /[/-]resume-(\d{1,9})-[0-9a-f]+$/.exec(name);
  return match ? Number(match[1]) : undefined;
}
