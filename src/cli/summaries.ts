/**
 * How domains are told of in short: how they ended, as a shell and as people are told, what they were called
 * with, and why one could not be made; the limits of one, as the kernel takes them.
 */
import { EnvironmentError } from '../base/errors.ts';
import { type DomainStatus, ProgramTrapError } from '../kernel/kernel.ts';
import type { DomainOptions } from '../kernel/roster.ts';
import { unpack, S as WASI_STATE } from '../personalities/wasi/state.ts';
import { type Space, SpaceFullError } from '../space/index.ts';
import { EXIT, type RunRequest } from './types.ts';
import { showTime } from './units.ts';

/** Characters of a domain's arguments kept in the small record. */
const RECORD_ARGUMENT_CHARACTERS = 500;

/** Arguments for people, in what every checkpoint can afford. */
export function shortened(list: readonly string[]): readonly string[] {
  let left = RECORD_ARGUMENT_CHARACTERS;
  const kept: string[] = [];
  for (const argument of list) {
    if (left <= 0) return [...kept, '…'];
    kept.push(argument.length > left ? `${argument.slice(0, left)}…` : argument);
    left -= argument.length;
  }
  return kept;
}

/** The arguments of a domain whose WASI state lies there. */
export function readArguments(space: Space, state: number): readonly string[] {
  const bytes = space.readBytes(WASI_STATE.args.get(space, state), WASI_STATE.argBytes.get(space, state));
  return unpack(bytes).map((argument) => new TextDecoder().decode(argument));
}

/** What a shell is told; a program's own code in the eight bits there are. */
export function exitCodeOf({ end, exitCode, reason }: DomainStatus): number {
  if (end === 'exit') return exitCode & 0xff;
  if (end === 'limit') return reason === 'cpu limit' ? EXIT.cpuLimit : EXIT.trapped;
  return end === 'killed' ? EXIT.stopped : EXIT.trapped;
}

export function reasonOf({ end, reason, cpuLimitMs }: DomainStatus): string | null {
  if (end === 'exit') return null;
  if (end === 'limit' && reason === 'cpu limit') {
    return `used up its processor time of ${showTime(cpuLimitMs)} (--cpu)`;
  }
  return end === 'trap' ? `trap: ${reason}` : end === 'exception' ? 'uncaught exception' : reason;
}

/** Errors of making a domain as users should see them. */
export function explained(error: unknown, name: string): unknown {
  if (error instanceof ProgramTrapError) {
    return new EnvironmentError('trapped', `${name} trapped before it began: ${error.message}`);
  }
  if (error instanceof SpaceFullError) {
    return new EnvironmentError('space-full', 'the space is full', 'remove programs that ended: perdure rm');
  }
  return error;
}

/** The limits of a request, as the kernel takes them. */
export function limitsOf({
  memoryLimitBytes,
  outboxLimitBytes,
  cpuLimitMs,
}: RunRequest): Partial<DomainOptions> {
  return {
    ...(memoryLimitBytes === null ? {} : { memoryLimitBytes }),
    ...(outboxLimitBytes === null ? {} : { limits: { outbox: outboxLimitBytes } }),
    ...(cpuLimitMs === null ? {} : { cpuLimitMs }),
  };
}
