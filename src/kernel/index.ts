/** The kernel. Import from here; ports, outbox and file tree have their own modules. */
export type { Caller, Ending, ImportValue, Personality, SystemCall } from './caller.ts';
export type { Grant } from './capability/authority.ts';
export type { Held } from './capability/capabilities.ts';
export type { Restored } from './capability/sturdy.ts';
export type { Powers } from './core.ts';
export type { Cut, CutOptions, TakenPages } from './cut.ts';
export type { EndName, StateName } from './domain.ts';
export type { RawValue } from './frames.ts';
export type { DomainImage } from './image.ts';
export type { InspectedFrame, InspectedValue, Inspection } from './inspect.ts';
export {
  type DomainOptions,
  type DomainStatus,
  Kernel,
  type KernelOptions,
  type Outcome,
  ProgramTrapError,
  type RunResult,
} from './kernel.ts';
export type { LoadedModule, ProgramInfo } from './program.ts';
export { type Argument, showValue, toNumber, toRaw, typeName } from './values.ts';
