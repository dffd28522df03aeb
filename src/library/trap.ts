/** The error for a program that did not end by itself. */
import type { CallFrame, ExitReport } from '../cli/types.ts';

/**
 * A program was ended before it ended itself: by a trap, an uncaught exception, a limit, or a stop. The message says why,
 * and `report.frames` where: its own call stack, with source lines where it carries them.
 */
export class TrapError extends Error {
  override name = 'TrapError';
  readonly code = 'trap';
  readonly report: ExitReport;

  /** @internal */
  constructor(report: ExitReport) {
    super(`${report.name}: ${report.reason}`);
    this.report = report;
  }

  /** Innermost first. */
  get frames(): readonly CallFrame[] {
    return this.report.frames;
  }
}
