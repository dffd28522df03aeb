/**
 * What the kernel wants of a process that runs one program for it: the port, which a driver implements. Types only.
 *
 * The process has no state that matters: it can be ended at any time, and another goes on from what the space holds.
 */
import type { DeltaLimits, Order, Stop } from '../abi/channel.ts';
import type { LoadedModule } from './program.ts';

export interface EnclosureOptions {
  readonly domain: number;
  /** For messages. */
  readonly name: string;
  /** With `alone`. */
  readonly module: LoadedModule;
  /** What may come out of it. */
  readonly limits: DeltaLimits;
  readonly memoryLimitBytes: number;
}

/** The process is no more, or is not to be believed. */
export interface Lost {
  /** One line for people. */
  readonly lost: string;
  /** It said what no process of ours says: there is no use in another. */
  readonly hostile: boolean;
}

/** One process. Nothing here blocks. */
export interface Enclosure {
  /** False once it has ended, whoever wished it. */
  readonly alive: boolean;
  /** Lets the program go on. Only when it is alive and stands; `wake` is called when `take` has something. */
  run(order: Order): void;
  /** Asks the program to stop at a safepoint, if it runs. */
  ask(): void;
  /** Where it stopped, or that it was lost, once; null while it runs. */
  take(): Stop | Lost | null;
  /** Processor time it has used since this was asked last, microseconds. */
  cpuMicros(): number;
  /** Ends it at once. */
  close(): void;
}

export interface Enclosures {
  /** A process, which may take its time to start. */
  open(options: EnclosureOptions): Enclosure;
}
