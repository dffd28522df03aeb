/**
 * An installed program as the kernel takes it: the verified module, its evidence, and what the compiler can tell of
 * the program it was made from (abi/program.ts).
 */
import type { Evidence } from '../abi/evidence.ts';
import type { ProgramInfo, ProgramSources } from '../abi/program.ts';

export type * from '../abi/program.ts';

/**
 * How a program was compiled: to run in the space; the same with windows, though it does not itself ask for them; to run in a
 * process of its own.
 */
export type ProgramForm = 'space' | 'windows' | 'process';

/** An installed program, ready for instances. */
export interface LoadedModule {
  /** SHA-256 of the program as it was shipped, 64 hexadecimal digits: its identity in domain records. */
  readonly hash: string;
  /** The rewritten module, verified and compiled. */
  readonly program: WebAssembly.Module;
  readonly evidence: Evidence;
  readonly info: ProgramInfo;
  /**
   * Where it was compiled for a process of its own (`evidence.isolate` is false): its bytes as they were shipped and as
   * they were rewritten. `program` is then never asked for: nothing of it is compiled in this process.
   */
  readonly alone?: { readonly original: Uint8Array; readonly rewritten: Uint8Array };
  /** It was compiled with windows, though it does not import what maps segments. */
  readonly windowed?: boolean;
  /** Source lines, where whoever installed it has looked for them. */
  readonly sources?: ProgramSources;
}

export const formOf = ({ alone, windowed }: LoadedModule): ProgramForm =>
  alone !== undefined ? 'process' : windowed === true ? 'windows' : 'space';
