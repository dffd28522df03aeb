/**
 * The host's clocks as a port. Wall time has the fine steps of the monotonic clock between the host's own, coarser,
 * readings, and follows when the host's clock is set.
 */
import type { Clock } from '../kernel/ports.ts';

const SLACK_NS = 2_000_000n;

/** Sources: wall time in ms, monotonic time in ns. */
export interface TimeSources {
  readonly wallMs: () => number;
  readonly steadyNs: () => bigint;
}

const HOST: TimeSources = { wallMs: Date.now, steadyNs: () => process.hrtime.bigint() };

export function hostClock(sources: TimeSources = HOST): Clock {
  let anchorWall = BigInt(Math.floor(sources.wallMs())) * 1_000_000n;
  let anchorSteady = sources.steadyNs();
  return {
    resolutionNs: 1_000n,
    monotonicNs: sources.steadyNs,
    realtimeNs: () => {
      const wall = BigInt(Math.floor(sources.wallMs())) * 1_000_000n;
      const steady = sources.steadyNs();
      const fine = anchorWall + (steady - anchorSteady);
      if (fine >= wall - SLACK_NS && fine <= wall + SLACK_NS) return fine;
      anchorWall = wall;
      anchorSteady = steady;
      return wall;
    },
  };
}
