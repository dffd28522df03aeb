/** What a kernel is made with, and what it says of its runs. */
import type { OutboxMeter } from './account/meter.ts';
import type { Personality } from './caller.ts';
import type { Powers } from './core.ts';
import type { Enclosures } from './enclosure.ts';
import type { RawValue } from './frames.ts';
import type { MakeModule } from './loader.ts';
import type { Ports } from './ports.ts';
import type { Trace } from './trace.ts';
import type { OnAnswer } from './turns.ts';

export interface KernelOptions {
  powers: Powers;
  personality: Personality;
  /** What host objects stand for; the personality's where it is not given. Without any there are none. */
  ports?: Ports;
  /** By which drivers charge what waits to get out. */
  meter?: OutboxMeter;
  /** Unwind at every safepoint: for tests of suspend and resume. */
  stress?: boolean;
  /** Most bytes of saved call stack of a domain while it runs; FRAME_STACK_MAX_BYTES where it is not given. */
  frameStackBytes?: number;
  /** Compiles code that programs make at run time; without it none may. */
  compiler?: MakeModule;
  /** Processes for programs that are to run in their own. */
  enclosures?: Enclosures;
  /** Something people should know, in one line. */
  problem?: (text: string) => void;
  /** A domain has ended; its status can still be asked. */
  onEnd?: (id: number) => void;
  /** A program has made a domain, which has run nothing yet. It may throw SpaceFullError: then there is none. */
  onMade?: (id: number) => void;
  /** A domain is no more. */
  onDrop?: (id: number) => void;
  /** What came of a call that `callProcedure` began. */
  onAnswer?: OnAnswer;
}

export interface RunResult {
  slices: number;
  /** Nothing is ready. */
  idle: boolean;
  /** When a blocked activation wants to go on, in `now()` terms. */
  nextDeadline: bigint | null;
}

/** How a call of a resident domain ended. */
export type Outcome =
  | { kind: 'returned'; results: RawValue[] }
  | { kind: 'trap'; reason: string; trace: Trace }
  | { kind: 'exception'; exception: unknown }
  | { kind: 'exit'; code: number }
  | { kind: 'blocked' };
