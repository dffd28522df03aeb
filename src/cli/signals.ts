/**
 * Ctrl-C and its relatives. The first one asks for a clean end; a second one ends the process at once, which is safe:
 * a space survives any death. Under a launcher (an old Node that started this one) signals sent to the launcher alone
 * come by its channel, and ours ends with it, kill -9 included.
 */

/** Exit codes for a shell: 128 and the signal's number. */
const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGQUIT: 131 } as const;
export type StopSignal = keyof typeof CODES;

/** A terminal signals launcher and child alike; what comes again by the channel this soon is the same Ctrl-C. */
const SAME_MS = 500;

export function exitCodeOf(signal: StopSignal): number {
  return CODES[signal];
}

/**
 * Calls `first` at the first signal. A second one while that goes on ends the process.
 * @returns how to stop listening
 */
export function onStopSignal(first: (signal: StopSignal) => void): () => void {
  let stopping = false;
  let lastReal = Number.NEGATIVE_INFINITY;
  const take = (signal: StopSignal): void => {
    if (stopping) dieBy(signal);
    stopping = true;
    first(signal);
  };
  const handlers = (Object.keys(CODES) as StopSignal[]).map((signal) => {
    const handler = () => {
      lastReal = performance.now();
      take(signal);
    };
    process.on(signal, handler);
    return () => void process.off(signal, handler);
  });
  const byChannel = (message: unknown): void => {
    const signal = (message as { signal?: StopSignal } | null)?.signal;
    if (signal === undefined || !(signal in CODES)) return;
    if (performance.now() - lastReal > SAME_MS) take(signal);
  };
  process.on('message', byChannel);
  process.channel?.unref();
  return () => {
    for (const off of handlers) off();
    process.off('message', byChannel);
  };
}

/** Ends this process at once as the signal does where nobody listens. */
function dieBy(signal: StopSignal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** Dies when the launcher does: nobody may believe a program dead that goes on out of sight. */
export function dieWithLauncher(): void {
  if (process.env.PERDURE_LAUNCHED !== '1' || process.channel === undefined) return;
  delete process.env.PERDURE_LAUNCHED;
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  process.channel?.unref();
}
