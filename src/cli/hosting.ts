/** How a space is hosted by a process, and what its host tells without being asked. */
import type { ReleasePolicy } from '../drivers/release.ts';
import type { ExitReport, SpaceEvent } from './types.ts';

export interface HostOptions {
  /** The space's folder, absolute. */
  readonly folder: string;
  /** Make the space where there is none. */
  readonly create: boolean;
  /** Which of the programs in it go on at once. */
  readonly resume: 'all' | 'detached' | 'none';
  /** Only look: nothing runs, the store is not changed, and another process may own it. */
  readonly readOnly?: boolean;
  /** No program runs; the space can be changed all the same. */
  readonly paused?: boolean;
  /** Programs write to and read from this process's standard streams. */
  readonly stdio?: boolean;
  readonly policy?: ReleasePolicy;
  readonly checkpointEveryMs?: number;
}

/** What a host tells without being asked. */
export interface HostEvents {
  /** A program ended, everything it wrote is out, and its end is durable. */
  exit(report: ExitReport): void;
  /** No program is left that could go on by itself or by input. */
  idle(): void;
  /** Something people should know, in one line. */
  problem(text: string): void;
  /** Anything, these included; ends are not told again. */
  happened(event: SpaceEvent): void;
  /** The core is lost, by a bug. The space goes on from its last checkpoint when opened again. */
  lost(error: Error): void;
}

/** A client that shows what a program writes. */
export interface Attachment {
  /** What it types; an empty array is the end. */
  input(bytes: Uint8Array): void;
  detach(): void;
}

/** Tells nobody. */
export const SILENT: HostEvents = { exit() {}, idle() {}, problem() {}, happened() {}, lost() {} };
